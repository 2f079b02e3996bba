import { z } from "zod";
import { ErrorCode } from "./errors.ts";
import { ApprovalId, Generation, Offset, RunnerId, TurnId } from "./ids.ts";
import { MAX_EVENT_BYTES, MAX_LINE_BYTES } from "./limits.ts";
import { Judgement } from "./waf/verdict.ts";

/** A process of a session, by the reference's four words. `ready` is the CLI's first protocol answer, never a timer. */
export const ProcessState = z.enum(["starting", "ready", "busy", "dead"]);
export type ProcessState = z.infer<typeof ProcessState>;

/**
 * What a person is told of a session: its process's state, or what stands above it. `idle`: no process, the next input
 * starts one. `queued`: a turn waits for a runner. `offline`: its runner is away. `closed`: ended for good.
 */
export const SessionStateName = z.enum(["idle", "starting", "ready", "busy", "dead", "queued", "offline", "closed"]);
export type SessionStateName = z.infer<typeof SessionStateName>;

/**
 * Why a turn ended: the Agent Client Protocol's words, and `failed` (the error says how). `cancelled` is an interrupt,
 * whatever the CLI calls it.
 */
export const StopReason = z.enum(["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled", "failed"]);
export type StopReason = z.infer<typeof StopReason>;

/** How far a session's processes are contained, from the strongest; reported as reached, never as hoped for. */
export const Isolation = z.enum(["pid_namespace", "cgroup", "process_group"]);
export type Isolation = z.infer<typeof Isolation>;

/** What bounds the files and the network that a session's processes can reach, from the strongest. */
export const Jail = z.enum(["namespaces", "landlock", "none"]);
export type Jail = z.infer<typeof Jail>;

/** Which of a CLI's tool calls pass the gates: all of them, those that it asks about, or none, so that only the jail bounds it. */
export const WafReach = z.enum(["all", "asked", "jail-only"]);
export type WafReach = z.infer<typeof WafReach>;

/** Who did something, as the log names them: `key:key_...`, `access:ann@example.com`, `runner:run_...`, `gateway`. */
export const Actor = z.string().max(256);

export const Usage = z.object({
	inputTokens: z.int().nonnegative(),
	outputTokens: z.int().nonnegative(),
	cacheReadTokens: z.int().nonnegative(),
	cacheWriteTokens: z.int().nonnegative(),
	/** US dollars for this turn alone, as the CLI counts them; null if it does not say. */
	costUsd: z.number().nonnegative().nullable(),
});
export type Usage = z.infer<typeof Usage>;

export const Question = z.object({
	question: z.string(),
	header: z.string().optional(),
	multiSelect: z.boolean().optional(),
	options: z.array(z.object({ label: z.string(), description: z.string().optional() })),
});
export type Question = z.infer<typeof Question>;

const FailureDetail = z.object({ code: ErrorCode, detail: z.string() });
/** Set on what a subagent does: the tool call that started it. */
const parentToolCallId = z.string().optional();
const turnId = TurnId;

/** Events that only the gateway writes. */
const gatewayEvents = [
	z.object({
		type: z.literal("session_created"),
		provider: z.string(),
		workDir: z.string().nullable(),
		by: Actor,
	}),
	z.object({ type: z.literal("input"), turnId, clientId: z.string(), text: z.string(), by: Actor }),
	z.object({ type: z.literal("interrupt_requested"), turnId, by: Actor }),
	z.object({
		type: z.literal("approval_decided"),
		approvalId: ApprovalId,
		decision: z.enum(["allow", "deny"]),
		message: z.string().optional(),
		/** Calls like this one are decided so from now on, in this session or in the whole team. */
		remember: z.enum(["session", "always"]).optional(),
		by: Actor,
	}),
	z.object({
		type: z.literal("session_state"),
		state: SessionStateName,
		/** Why it waits, in words for a person: "2 runners match gpu=true, both at capacity; position 3". */
		why: z.string().optional(),
	}),
	z.object({ type: z.literal("lease_granted"), runnerId: RunnerId, generation: Generation }),
	z.object({ type: z.literal("lease_ended"), runnerId: RunnerId, generation: Generation, why: z.string() }),
	/** What the gates said of a tool call, where it was more than that nothing objects (GAT-4). */
	z.object({
		type: z.literal("tool_verdict"),
		turnId,
		toolCallId: z.string().optional(),
		tool: z.string(),
		...Judgement.shape,
		/** Which gate it was: the machine owner's on the runner, the team's here, or the session's proxy (`jail`). */
		layer: z.enum(["runner", "gateway", "jail"]),
		policyVersion: z.int(),
		/** `policy:3`, or a person's entry: `entry:ID by ACTOR`. */
		by: z.string(),
		/** The policy only logs: this is what it would have said. */
		dryRun: z.literal(true).optional(),
	}),
	/** A prompt was taken although it orders, or speaks of, what a rule stops; the policy says so (PRM-2). */
	z.object({ type: z.literal("prompt_flagged"), turnId, ...Judgement.shape, policyVersion: z.int(), by: Actor }),
	/** Everything before `firstOffset` was removed, since the log had reached its bound in size or age (LOG-8). */
	z.object({ type: z.literal("log_trimmed"), firstOffset: Offset, why: z.enum(["size", "age"]) }),
] as const;

/** Where a tool call would run, as its runner knows it. */
export const CallPlace = z.object({ workDir: z.string().max(4096), cwd: z.string().max(4096), home: z.string().max(4096).nullable() });
export type CallPlace = z.infer<typeof CallPlace>;

/** A tool call at the gates. */
const toolCall = {
	toolCallId: z.string().optional(),
	/** As the CLI calls it. */
	tool: z.string(),
	/** By the Agent Client Protocol's words, where the agent says so: `execute`, `edit`, `read` ... */
	kind: z.string().optional(),
	input: z.unknown(),
	/** Absent: a runner of before there were gates. */
	place: CallPlace.optional(),
	/** What the runner's own gate said. */
	judged: Judgement.optional(),
};
const approvalRequested = z.object({
	type: z.literal("approval_requested"),
	turnId,
	approvalId: ApprovalId,
	...toolCall,
	title: z.string().optional(),
	/** Why somebody is asked: the rule's words, or the CLI's. */
	reason: z.string().optional(),
	/** The rest is the gateway's: which rule asks, of which policy, whose turn it is, and until when it waits. */
	rule: z.string().nullable().optional(),
	suggestion: z.string().optional(),
	policyVersion: z.int().optional(),
	requestedBy: Actor.optional(),
	expiresAt: z.int().optional(),
});
/** Answered like an approval: `allow` with `answers` by question, or `deny`. */
const questionAsked = z.object({
	type: z.literal("question_asked"),
	turnId,
	approvalId: ApprovalId,
	toolCallId: z.string().optional(),
	questions: z.array(Question),
});
/** What waits for a person until it is decided. */
export const Asked = z.discriminatedUnion("type", [approvalRequested, questionAsked]);
export type Asked = z.infer<typeof Asked>;

/** What a runner says of the gates to the session itself. The log has what came of it. */
const gateEvents = [
	/** A tool call that the runner's gate does not deny, and that waits for the gateway's verdict. */
	z.object({ type: z.literal("gate_requested"), turnId, approvalId: ApprovalId, ...toolCall }),
	/** One that it denied. */
	z.object({
		type: z.literal("gate_denied"),
		turnId,
		toolCallId: z.string().optional(),
		tool: z.string(),
		subject: z.string(),
		...Judgement.shape,
		/** `jail`: the session tried to reach a host that nobody allowed. */ layer: z.enum(["runner", "jail"]).optional(),
	}),
] as const;

/** Events that a runner reports. */
const runnerEvents = [
	z.object({
		type: z.literal("process_state"),
		state: ProcessState,
		pid: z.int().optional(),
		/** The CLI's own id of the conversation, by which a later process resumes it. Null: it knows it no more. */
		nativeSessionId: z.string().nullable().optional(),
		providerVersion: z.string().optional(),
		exitCode: z.int().nullable().optional(),
		signal: z.string().nullable().optional(),
		why: z.string().optional(),
	}),
	z.object({
		type: z.literal("isolation"),
		reached: Isolation,
		/** Absent: a runner of before there was a jail. */
		jail: Jail.optional(),
		waf: WafReach.optional(),
		/** What is not as strong as it could be, and what to do about it. */
		why: z.string().optional(),
	}),
	z.object({
		type: z.literal("turn_started"),
		turnId,
		/** `cli`: nobody asked; a background task ended, say. */
		origin: z.enum(["input", "cli"]),
	}),
	z.object({ type: z.literal("text_delta"), turnId, messageId: z.string(), text: z.string(), parentToolCallId }),
	z.object({ type: z.literal("thought_delta"), turnId, messageId: z.string(), text: z.string(), parentToolCallId }),
	/** The stream broke and is repeated: all text and thoughts of this message so far are void. */
	z.object({ type: z.literal("text_retracted"), turnId, messageId: z.string() }),
	z.object({
		type: z.literal("tool_call"),
		turnId,
		toolCallId: z.string(),
		tool: z.string(),
		title: z.string().optional(),
		input: z.unknown(),
		parentToolCallId,
	}),
	/** Output of a tool that still runs, where a provider reports it. */
	z.object({ type: z.literal("tool_output"), turnId, toolCallId: z.string(), text: z.string() }),
	z.object({
		type: z.literal("tool_result"),
		turnId,
		toolCallId: z.string(),
		status: z.enum(["completed", "failed"]),
		output: z.string(),
		parentToolCallId,
	}),
	approvalRequested,
	questionAsked,
	z.object({ type: z.literal("approval_withdrawn"), approvalId: ApprovalId, why: z.string().optional() }),
	z.object({
		type: z.literal("retry"),
		turnId,
		attempt: z.int(),
		maxAttempts: z.int().optional(),
		delayMs: z.number().optional(),
		reason: z.string(),
	}),
	z.object({
		type: z.literal("background_task"),
		taskId: z.string(),
		status: z.enum(["started", "running", "completed", "failed", "stopped"]),
		description: z.string(),
		toolCallId: z.string().optional(),
	}),
	z.object({ type: z.literal("usage"), turnId, ...Usage.shape }),
	z.object({ type: z.literal("turn_ended"), turnId, stopReason: StopReason, error: FailureDetail.optional() }),
	/** Something of the runner that a person should know; it changes nothing. */
	z.object({
		type: z.literal("notice"),
		code: z.enum(["silent", "line_too_long", "approval_too_large", "paused", "resumed", "journal_damaged"]),
		detail: z.string(),
	}),
	/** What the CLI wrote and its provider does not know, as it was. */
	z.object({ type: z.literal("raw"), source: z.enum(["stdout", "stderr"]), text: z.string() }),
	/** A slice of an event over `MAX_EVENT_BYTES`: its JSON is `text` of 0 .. count-1 joined. See `PartJoiner`. */
	z.object({
		type: z.literal("part"),
		partId: z.string(),
		index: z.int().nonnegative(),
		count: z.int().positive(),
		text: z.string(),
	}),
] as const;

/** What a log holds and clients see. */
export const SessionEvent = z.discriminatedUnion("type", [...gatewayEvents, ...runnerEvents]);
export type SessionEvent = z.infer<typeof SessionEvent>;

/** What a runner may report: it cannot speak as the gateway or as a person. */
export const RunnerEvent = z.discriminatedUnion("type", [...runnerEvents]);
export type RunnerEvent = z.infer<typeof RunnerEvent>;

/** All that comes on a runner's link: what it reports, and what the gates are asked. */
export const RunnerReport = z.discriminatedUnion("type", [...runnerEvents, ...gateEvents]);
export type RunnerReport = z.infer<typeof RunnerReport>;
type GateEvent = Exclude<RunnerReport, RunnerEvent>;
/** Whether it is for the session itself and never stands in its log. */
export const isGateEvent = (event: RunnerReport): event is GateEvent => event.type === "gate_requested" || event.type === "gate_denied";

export const LoggedEvent = z.object({
	offset: Offset,
	/** When the gateway appended it, ms since the epoch. */
	at: z.int(),
	event: SessionEvent,
});
export type LoggedEvent = z.infer<typeof LoggedEvent>;

/**
 * Whether an event must be in the log before anyone is told. Streamed text is shown at once and stored packed
 * (PROTOCOL.md LOG-4); the `true` rows here force that text in with them, so that the order is one.
 */
export const DURABLE: Record<(SessionEvent | RunnerReport)["type"], boolean> = {
	session_created: true,
	input: true,
	interrupt_requested: true,
	approval_decided: true,
	session_state: true,
	lease_granted: true,
	lease_ended: true,
	tool_verdict: true,
	prompt_flagged: true,
	log_trimmed: true,
	gate_requested: true,
	gate_denied: true,
	process_state: true,
	isolation: true,
	turn_started: true,
	text_delta: false,
	thought_delta: false,
	text_retracted: true,
	tool_call: true,
	tool_output: false,
	tool_result: true,
	approval_requested: true,
	question_asked: true,
	approval_withdrawn: true,
	retry: false,
	background_task: false,
	usage: false,
	turn_ended: true,
	notice: false,
	raw: false,
	part: false,
};

/** UTF-8 bytes of a string. */
export function byteLength(text: string): number {
	let bytes = 0;
	for (let i = 0; i < text.length; i++) {
		const unit = text.charCodeAt(i);
		if (unit < 0x80) bytes += 1;
		else if (unit < 0x800) bytes += 2;
		else if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
			bytes += 4;
			i++;
		} else bytes += 3;
	}
	return bytes;
}

/**
 * The event itself if its JSON fits `maxBytes`, else `part` events that carry it. Nothing is cut off: a 5 MiB tool
 * result is some sixty parts.
 */
export function splitEvent<E extends RunnerReport>(event: E, partId: string, maxBytes: number): (E | RunnerEvent)[] {
	const json = JSON.stringify(event);
	if (json.length * 3 <= maxBytes || byteLength(json) <= maxBytes) return [event];
	// The slice is JSON inside JSON. The inner one has no control characters and no half surrogates left (they are \u001f
	// there, plain ASCII), so quoting only puts a backslash before quotes and backslashes: 2 bytes a code unit. All else
	// stays as it is, at most 3 bytes a unit.
	const longest = { type: "part", partId, index: json.length, count: json.length, text: "" } satisfies RunnerEvent;
	const sliceUnits = Math.floor((maxBytes - byteLength(JSON.stringify(longest))) / 3);
	// A pair of surrogates is never cut, so it must fit.
	if (sliceUnits < 2) throw new Error(`cannot split an event into parts of ${maxBytes} bytes: a part's own fields need almost all of it`);
	const slices: string[] = [];
	for (let at = 0; at < json.length; ) {
		let end = Math.min(json.length, at + sliceUnits);
		const last = json.charCodeAt(end - 1);
		if (last >= 0xd800 && last < 0xdc00 && end < json.length) end--;
		slices.push(json.slice(at, end));
		at = end;
	}
	return slices.map((text, index) => ({ type: "part", partId, index, count: slices.length, text }));
}

/** What an event of the longest line needs, if all of it is control characters, six units each in JSON. */
const MAX_PARTS = Math.ceil((6 * MAX_LINE_BYTES) / ((MAX_EVENT_BYTES - 512) / 3));

/** Puts split events together again; feed it every event in order. Parts that never complete yield nothing. */
export class PartJoiner {
	#open: { partId: string; count: number; texts: string[] } | null = null;

	/** The event to show, or null while a split one is not complete. */
	push(event: SessionEvent): SessionEvent | null {
		if (event.type !== "part") return event;
		if (event.index === 0) this.#open = event.count <= MAX_PARTS ? { partId: event.partId, count: event.count, texts: [] } : null;
		const open = this.#open;
		if (open === null || open.partId !== event.partId || open.count !== event.count || open.texts.length !== event.index) return null;
		open.texts.push(event.text);
		if (event.index + 1 < event.count) return null;
		this.#open = null;
		try {
			// Only runners split, so parts cannot carry what only the gateway may say.
			const joined = RunnerEvent.safeParse(JSON.parse(open.texts.join("")));
			return joined.success && joined.data.type !== "part" ? joined.data : null;
		} catch {
			return null;
		}
	}
}
