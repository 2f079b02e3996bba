import type { ErrorCode } from "../../shared/errors.ts";
import type { Question, RunnerEvent, StopReason, Usage, WafReach } from "../../shared/events.ts";
import type { Decision, SessionSpec } from "../../shared/frames.ts";

/**
 * A kind of CLI: how it is started, spoken to and understood. A provider is pure: it turns lines and wishes into
 * events and lines, and holds no process, file or clock. The same inputs in the same order always give the same
 * outputs, which is what lets a restarted daemon compute from the journal what it has already sent.
 */
export interface Provider {
	/** Arguments and extra environment for one process. */
	launch(launch: Launch): { args: string[]; env: Record<string, string> };
	/** The conversation with one process, from its start to its end. */
	dialogue(launch: Launch): Dialogue;
	/** Which of its tool calls it lets be judged before they run. */
	waf: WafReach;
	/** Whether a line for stdin does nothing more when the CLI gets it twice, as it may when a daemon is killed while it writes. */
	mayRepeat(line: string): boolean;
}

export interface Launch {
	spec: SessionSpec;
	/** Absolute; exists. */
	workDir: string;
	/** The conversation to resume, as an earlier process named it; null starts a new one. */
	nativeSessionId: string | null;
}

/** Total: whatever the line, `take` returns. What it does not understand becomes `raw`. */
export interface Dialogue {
	take(input: DialogueInput): DialogueOutput;
}

export type DialogueInput =
	/** The process was started; nothing was read or written yet. Always first. */
	| { type: "start" }
	/** A whole line of stdout, without its newline. */
	| { type: "line"; text: string }
	/** One at a time, never before the last turn ended. May come before `ready`; the dialogue then holds it back. */
	| { type: "turn"; turnId: string; text: string }
	/** End the running turn, keep the process. */
	| { type: "interrupt" }
	/** A person's answer to the request that was reported with this id. */
	| { type: "decide"; requestId: string; decision: Omit<Decision, "approvalId" | "remember"> }
	/** What the gates say of the call that was reported with this id. `pass`: nothing objects; the CLI's own mode says whether it asks. */
	| { type: "verdict"; requestId: string; verdict: "allow" | "pass" | "ask" | "deny"; reason: string };

export interface DialogueOutput {
	events: DialogueEvent[];
	/** Lines for stdin, without newlines, in order. */
	writes: string[];
}

/** A tool call as the gates judge it. */
interface Call {
	toolCallId?: string;
	tool: string;
	kind?: string;
	input: unknown;
}

/** Events of the log whose turn (and approval id) the host fills in. */
type Stamped = "text_delta" | "thought_delta" | "text_retracted" | "tool_call" | "tool_output" | "tool_result" | "retry";
type WithoutTurn<T> = T extends { turnId: unknown } ? Omit<T, "turnId"> : never;

export type DialogueEvent =
	/** The CLI's first protocol answer: it can take turns. */
	| { type: "ready"; version?: string }
	/** The CLI named its conversation; null: it does not know the one it was to resume, the history is lost. */
	| { type: "native_session"; nativeSessionId: string | null }
	/** The CLI began to work. Also reported when nobody asked it to. */
	| { type: "turn_started" }
	| { type: "turn_ended"; stopReason: StopReason; error?: { code: ErrorCode; detail: string } }
	/** For the turn that is about to end, not cumulative. Comes before its `turn_ended`. */
	| ({ type: "usage" } & Usage)
	| WithoutTurn<Extract<RunnerEvent, { type: Stamped }>>
	/** A call that runs unless its verdict, which the CLI waits for, says otherwise. `cwd`: where, if not in the work directory. */
	| ({ type: "gate_requested"; requestId: string; cwd?: string } & Call)
	| ({ type: "approval_requested"; requestId: string; title?: string; reason?: string } & Call)
	| { type: "question_asked"; requestId: string; toolCallId?: string; questions: Question[] }
	| { type: "approval_withdrawn"; requestId: string; why?: string }
	| Extract<RunnerEvent, { type: "background_task" | "raw" }>
	/** The process cannot be used: it is ended, and the turn fails with this. */
	| { type: "start_failed"; detail: string };

/** A value of unknown JSON as a record, or an empty one: reading `record(x).y` never throws. */
export function record(value: unknown): Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
export const text = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
export const count = (value: unknown): number => (typeof value === "number" && Number.isFinite(value) && value > 0 ? Math.round(value) : 0);
export const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** Deeper JSON than this is nobody's tool call; printing it again could exhaust the stack. */
const MAX_DEPTH = 200;

/** The JSON of a line, or undefined if it is none, or so deep that nothing could be done with it. */
export function parse(line: string): unknown {
	try {
		const value: unknown = JSON.parse(line);
		return isDeeper(value, MAX_DEPTH) ? undefined : value;
	} catch {
		return undefined;
	}
}

function isDeeper(value: unknown, depth: number): boolean {
	if (typeof value !== "object" || value === null) return false;
	return depth === 0 || Object.values(value).some((inner) => isDeeper(inner, depth - 1));
}
