import type { ErrorCode } from "../shared/errors.ts";
import {
	byteLength,
	type CallPlace,
	type Isolation,
	type Jail,
	type ProcessState,
	type RunnerReport,
	splitEvent,
	type WafReach,
} from "../shared/events.ts";
import type { Decision, GateVerdict } from "../shared/frames.ts";
import type { ApprovalId, TurnId } from "../shared/ids.ts";
import { MAX_EVENT_BYTES, MAX_LINE_BYTES } from "../shared/limits.ts";
import { denialInWords, type Judgement } from "../shared/waf/verdict.ts";
import type { Dialogue, DialogueEvent } from "./providers/provider.ts";
import { EventRedactor } from "./redaction.ts";

/**
 * One process of a session, from its journal to its events; pure. The journal is what the CLI wrote (`line`) and what the daemon
 * did and saw (notes), in one order. Folding it again gives the same events, so that an event's seq is its place in that
 * order and nothing needs to be remembered but the files.
 */
export type Entry = { type: "line"; text: string | null } | Note | Mark;

/**
 * A place in the journal up to which all events are in the log: there were `seq` of them in the generation. Another version of this code
 * may make other events of the same lines; it starts counting here, with what the old one had told the gateway.
 */
export interface Mark {
	type: "mark";
	seq: number;
	counter: number;
	pending: [ApprovalId, string][];
	/** Absent: a daemon of before there were gates. */
	gates?: [ApprovalId, string][];
	turn: HostedTurn | null;
}

interface HostedTurn {
	turnId: TurnId;
	origin: "input" | "cli";
	started: boolean;
	interrupted: boolean;
}

/** What the daemon writes into the journal before it acts on it. */
export type Note =
	| { type: "started"; pid: number; isolation: Isolation; jail?: Jail; waf?: WafReach; why?: string }
	/** The process did not come to be. */
	| { type: "not_started"; code: ErrorCode; detail: string }
	| { type: "turn"; turnId: TurnId; text: string }
	/** A turn that ended before the CLI heard of it. */
	| { type: "turn_dropped"; turnId: TurnId }
	| { type: "interrupt" }
	| { type: "decide"; decision: Decision }
	/** What this machine's own gate says of the call that the CLI asks about with this id. */
	| { type: "judged"; requestId: string; place: CallPlace; judgement: Judgement }
	/** The session's proxy refused it a host. */
	| { type: "refused"; subject: string; rule: string; reason: string }
	/** And the gateway's. */
	| { type: "verdict"; verdict: GateVerdict }
	/** The CLI is stopped, since its output cannot be taken: the journal is at its bound, or the disk almost full. */
	| { type: "paused"; why: PauseWhy; detail: string }
	| { type: "resumed" }
	/** No output for this long in mid-turn. */
	| { type: "silent"; silentMs: number }
	/** `why`: the daemon ended it, for this reason; else it ended by itself. `unseen`: while no daemon looked. */
	| { type: "exited"; exitCode: number | null; signal: string | null; stderr: string; why: StopWhy | null; unseen?: true };

export type StopWhy =
	| "interrupted"
	| "stalled"
	| "terminated"
	| "idle"
	| "drained"
	| "lease_lost"
	| "unusable"
	| "journal_full"
	| "journal_damaged";
export type PauseWhy = "journal_full" | "disk_full";

export interface Output {
	events: RunnerReport[];
	/** Lines for the CLI's stdin. */
	writes: string[];
}

/** Words of a CLI within an event that the session must read itself: longer, it would travel in parts, which nobody reads there. */
const MAX_DETAIL_UNITS = 4_000;
const brief = (words: string): string => (words.length > MAX_DETAIL_UNITS ? `${words.slice(0, MAX_DETAIL_UNITS)}...` : words);

type AtGate = Extract<DialogueEvent, { type: "gate_requested" | "approval_requested" }>;

type IdMaker = <P extends "trn" | "apr" | "prt">(prefix: P, ordinal: string) => string;

export class Hosting {
	readonly #dialogue: Dialogue;
	/** Ids that come out the same whenever the journal is folded again. */
	readonly #deriveId: IdMaker;
	readonly #name: string;
	/** Turns this process has heard of, ended or not. */
	readonly turns = new Set<TurnId>();
	process: ProcessState = "dead";
	turn: HostedTurn | null = null;
	/** Approvals that wait for a decision: the CLI's own id of each. */
	readonly pending = new Map<ApprovalId, string>();
	/** Calls that this machine's gate has not judged yet, by the CLI's id; whoever holds this does, and says it in a note. */
	readonly unjudged = new Map<string, AtGate>();
	/** Calls that wait for the gateway's verdict. */
	readonly gates = new Map<ApprovalId, string>();
	readonly #openTools = new Set<string>();
	/** Set when the CLI said that it cannot be used; the daemon then ends it. */
	unusable: string | null = null;
	/** As the CLI named it; null: it does not know the one it was to resume; undefined: it did not say yet. */
	nativeSessionId: string | null | undefined;
	#wasReady = false;
	#counter = 0;
	#output: Output = { events: [], writes: [] };
	readonly #redactor: EventRedactor;

	/** `secrets`: values that no event may show. The same ones whenever the journal is folded again. */
	constructor(name: string, dialogue: Dialogue, deriveId: IdMaker, secrets: readonly string[] = []) {
		this.#redactor = new EventRedactor(secrets);
		this.#name = name;
		this.#dialogue = dialogue;
		this.#deriveId = deriveId;
	}

	/** Whether silence now has a reason: a tool runs, or a person is asked. */
	get isWaiting(): boolean {
		return this.#openTools.size > 0 || this.pending.size > 0 || this.gates.size > 0;
	}

	/** The call as events show it. */
	shown(call: AtGate): AtGate {
		return this.#redactor.value(call);
	}

	/** What a mark at this place must say. */
	mark(seq: number): Mark {
		return {
			type: "mark",
			seq,
			counter: this.#counter,
			pending: [...this.pending],
			gates: [...this.gates],
			turn: this.turn === null ? null : { ...this.turn },
		};
	}

	take(entry: Entry): Output {
		this.#output = { events: [], writes: [] };
		this.#fold(entry);
		return this.#output;
	}

	#fold(entry: Entry): void {
		switch (entry.type) {
			case "started":
				this.#setProcess("starting", { pid: entry.pid });
				this.#emit({
					type: "isolation",
					reached: entry.isolation,
					...(entry.jail === undefined ? {} : { jail: entry.jail }),
					...(entry.waf === undefined ? {} : { waf: entry.waf }),
					...(entry.why === undefined ? {} : { why: entry.why }),
				});
				this.#say({ type: "start" });
				return;
			case "not_started":
				this.#setProcess("dead", { why: entry.detail });
				this.#endTurn({ type: "turn_ended", stopReason: "failed", error: { code: entry.code, detail: entry.detail } });
				return;
			case "line":
				if (entry.text === null)
					this.#emit({ type: "notice", code: "line_too_long", detail: `a line of over ${MAX_LINE_BYTES} bytes was not kept` });
				else if (entry.text !== "") this.#say({ type: "line", text: entry.text });
				return;
			case "turn":
				this.turns.add(entry.turnId);
				this.turn = { turnId: entry.turnId, origin: "input", started: false, interrupted: false };
				this.#say({ type: "turn", turnId: entry.turnId, text: entry.text });
				return;
			case "turn_dropped":
				this.turns.add(entry.turnId);
				this.#emit({ type: "turn_ended", turnId: entry.turnId, stopReason: "cancelled" });
				return;
			case "interrupt":
				if (this.turn) this.turn.interrupted = true;
				this.#say({ type: "interrupt" });
				return;
			case "decide": {
				const requestId = this.pending.get(entry.decision.approvalId);
				if (requestId === undefined) return;
				this.pending.delete(entry.decision.approvalId);
				const { approvalId: _, remember: __, ...decision } = entry.decision;
				this.#say({ type: "decide", requestId, decision });
				return;
			}
			case "judged":
				this.#judged(entry);
				return;
			case "refused": {
				const { subject, rule, reason } = entry;
				const of = { tool: "network", subject: brief(subject), layer: "jail" as const };
				// Between turns a CLI's own housekeeping is what was refused; that begins none.
				if (this.turn !== null)
					this.#emit({
						type: "gate_denied",
						turnId: this.#beginTurn(),
						...of,
						verdict: "deny",
						rule,
						category: "network",
						reason: brief(reason),
					});
				return;
			}
			case "verdict": {
				const requestId = this.gates.get(entry.verdict.approvalId);
				if (requestId === undefined) return;
				this.gates.delete(entry.verdict.approvalId);
				const { verdict, reason } = entry.verdict;
				this.#say({ type: "verdict", requestId, verdict, reason });
				return;
			}
			case "mark":
				// Nothing new where the same code wrote it.
				this.#counter = entry.counter;
				this.pending.clear();
				for (const [approvalId, requestId] of entry.pending) this.pending.set(approvalId, requestId);
				this.gates.clear();
				for (const [approvalId, requestId] of entry.gates ?? []) this.gates.set(approvalId, requestId);
				this.turn = entry.turn === null ? null : { ...entry.turn };
				return;
			case "paused":
				this.#emit({ type: "notice", code: "paused", detail: entry.detail });
				return;
			case "resumed":
				this.#emit({ type: "notice", code: "resumed", detail: `${this.#name} goes on` });
				return;
			case "silent":
				this.#emit({ type: "notice", code: "silent", detail: `no output for ${Math.round(entry.silentMs / 1000)} s` });
				return;
			case "exited":
				this.#exited(entry);
				return;
		}
	}

	#exited(note: Extract<Note, { type: "exited" }>): void {
		const ended = note.signal !== null ? ` by ${note.signal}` : note.exitCode !== null ? ` with exit code ${note.exitCode}` : "";
		const stderr = note.stderr.trim() === "" ? "" : `; it said: ${note.stderr.trim()}`;
		// Not told yet, but the turn's end must not call it ready.
		this.process = "dead";
		if (this.turn) {
			if (note.why === "stalled")
				this.#endTurn({
					type: "turn_ended",
					stopReason: "failed",
					error: { code: "stalled", detail: `${this.#name} fell silent and was ended` },
				});
			else if (this.turn.interrupted || (note.why !== null && note.why !== "unusable"))
				this.#endTurn({ type: "turn_ended", stopReason: "cancelled" });
			else {
				const code = note.unseen ? "interrupted" : this.#wasReady ? "process_died" : "start_failed";
				const detail = note.unseen
					? `${this.#name} was gone when its runner came back (the machine restarted, or both were killed); send it again to go on with its history${stderr}`
					: (this.unusable ?? `${this.#name} ended${ended}${this.#wasReady ? " in mid-turn" : " before it was ready"}${stderr}`);
				this.#endTurn({ type: "turn_ended", stopReason: "failed", error: { code, detail } });
			}
		}
		const why = note.why ?? `${note.unseen ? "gone when its runner came back" : "ended by itself"}${stderr}`;
		this.#setProcess("dead", { exitCode: note.exitCode, signal: note.signal, why });
	}

	#say(input: Parameters<Dialogue["take"]>[0]): void {
		const { events, writes } = this.#dialogue.take(input);
		this.#output.writes.push(...writes);
		for (const event of events) this.#translate(event);
	}

	#translate(event: DialogueEvent): void {
		switch (event.type) {
			case "ready":
				this.#wasReady = true;
				this.#setProcess("ready", event.version === undefined ? {} : { providerVersion: brief(event.version) });
				return;
			case "native_session":
				if (event.nativeSessionId === this.nativeSessionId) return;
				this.nativeSessionId = event.nativeSessionId;
				this.#setProcess(this.process, { nativeSessionId: event.nativeSessionId });
				return;
			case "turn_started":
				this.#beginTurn();
				return;
			case "turn_ended":
				this.#endTurn(event);
				return;
			case "start_failed":
				this.unusable = event.detail;
				this.#endTurn({ type: "turn_ended", stopReason: "failed", error: { code: "start_failed", detail: event.detail } });
				return;
			case "gate_requested":
			case "approval_requested":
				this.#beginTurn();
				this.unjudged.set(event.requestId, event);
				return;
			case "question_asked":
				this.#ask(event);
				return;
			case "approval_withdrawn":
				this.unjudged.delete(event.requestId);
				for (const [approvalId, requestId] of this.gates) if (requestId === event.requestId) this.gates.delete(approvalId);
				for (const [approvalId, requestId] of this.pending)
					if (requestId === event.requestId) this.#withdraw(approvalId, event.why ?? "the CLI withdrew it");
				return;
			case "background_task":
			case "raw":
				this.#emit(event);
				return;
			case "tool_call":
				this.#openTools.add(event.toolCallId);
				this.#emit({ ...event, turnId: this.#beginTurn() });
				return;
			case "tool_result":
				this.#openTools.delete(event.toolCallId);
				this.#emit({ ...event, turnId: this.#beginTurn() });
				return;
			case "usage":
				// Between turns there is nothing to count it for.
				if (this.turn) this.#emit({ ...event, turnId: this.#beginTurn() });
				return;
			default:
				this.#emit({ ...event, turnId: this.#beginTurn() });
				return;
		}
	}

	/** What the machine's own gate denies goes no further; all else is the gateway's to judge. */
	#judged({ requestId, place, judgement }: Extract<Note, { type: "judged" }>): void {
		const call = this.unjudged.get(requestId);
		if (call === undefined) return;
		this.unjudged.delete(requestId);
		if (judgement.verdict === "deny") return this.#deny(call, judgement);
		if (call.type === "approval_requested") return this.#ask({ ...call, place, judged: judgement });
		const turnId = this.#beginTurn();
		const approvalId = this.#deriveId("apr", `${++this.#counter}`) as ApprovalId;
		const { requestId: _, cwd: __, ...rest } = call;
		const asked: RunnerReport = {
			...rest,
			input: this.#redactor.value(withShortStrings(call.input)),
			turnId,
			approvalId,
			place,
			judged: judgement,
		};
		if (byteLength(JSON.stringify(asked)) > MAX_EVENT_BYTES) return this.#deny(call, TOO_LARGE);
		this.gates.set(approvalId, requestId);
		this.#emit(asked);
	}

	#deny(call: AtGate, judgement: Judgement): void {
		const { requestId, tool, toolCallId } = call;
		const reason = denialInWords(judgement, "the runner's owner");
		const of = toolCallId === undefined ? {} : { toolCallId };
		this.#emit({ type: "gate_denied", turnId: this.#beginTurn(), ...of, tool, subject: brief(judgement.evidence ?? ""), ...judgement });
		if (call.type === "gate_requested") this.#say({ type: "verdict", requestId, verdict: "deny", reason });
		else this.#say({ type: "decide", requestId, decision: { decision: "deny", message: reason } });
	}

	#ask(event: Extract<DialogueEvent, { type: "approval_requested" | "question_asked" }> & { place?: CallPlace; judged?: Judgement }): void {
		const turnId = this.#beginTurn();
		const { requestId, ...rest } = event;
		// By order and not by the CLI's id: some CLIs count from 0 in every process.
		const approvalId = this.#deriveId("apr", `${++this.#counter}`) as ApprovalId;
		// For show: what runs is what the CLI asked about, and it has that still.
		const asked = this.#redactor.value({ ...rest, turnId, approvalId } as RunnerReport);
		if (byteLength(JSON.stringify(asked)) > MAX_EVENT_BYTES) {
			// What cannot be shown whole cannot be allowed.
			this.#emit({
				type: "notice",
				code: "approval_too_large",
				detail: `a tool input of over ${MAX_EVENT_BYTES} bytes cannot be shown for approval and was denied`,
			});
			this.#say({
				type: "decide",
				requestId,
				decision: { decision: "deny", message: "the input is too large to be shown to a person; use smaller steps" },
			});
			return;
		}
		this.pending.set(approvalId, requestId);
		this.#emit(asked);
	}

	#withdraw(approvalId: ApprovalId, why: string): void {
		this.pending.delete(approvalId);
		this.#emit({ type: "approval_withdrawn", approvalId, why: brief(why) });
	}

	/** The id of the turn that what comes now belongs to; one that nobody asked for begins here. */
	#beginTurn(): TurnId {
		const turn = this.turn ?? {
			turnId: this.#deriveId("trn", `${++this.#counter}`) as TurnId,
			origin: "cli",
			started: false,
			interrupted: false,
		};
		this.turn = turn;
		if (!turn.started) {
			turn.started = true;
			this.turns.add(turn.turnId);
			this.#emit({ type: "turn_started", turnId: turn.turnId, origin: turn.origin });
			this.#setProcess("busy", {});
		}
		return turn.turnId;
	}

	#endTurn(event: Extract<DialogueEvent, { type: "turn_ended" }>): void {
		const { turn } = this;
		if (turn === null) return;
		for (const approvalId of [...this.pending.keys()]) this.#withdraw(approvalId, "its turn ended");
		// What still waits at the gate is a background task's; nobody answers for a turn that is over, and no answer would hold the task up.
		for (const requestId of [...this.unjudged.keys(), ...this.gates.values()])
			this.#output.writes.push(...this.#dialogue.take({ type: "verdict", requestId, verdict: "deny", reason: TURN_OVER }).writes);
		this.unjudged.clear();
		this.gates.clear();
		this.#openTools.clear();
		this.turn = null;
		// An interrupt is a cancel, whatever the CLI made of it.
		const stopReason = turn.interrupted && event.stopReason === "failed" ? "cancelled" : event.stopReason;
		this.#emit({
			type: "turn_ended",
			turnId: turn.turnId,
			stopReason,
			...(event.error && stopReason === "failed" ? { error: { ...event.error, detail: brief(event.error.detail) } } : {}),
		});
		if (this.process === "busy") this.#setProcess("ready", {});
	}

	#setProcess(state: ProcessState, more: Omit<Extract<RunnerReport, { type: "process_state" }>, "type" | "state">): void {
		this.process = state;
		this.#emit({ type: "process_state", state, ...more, ...(more.why === undefined ? {} : { why: brief(more.why) }) });
	}

	#emit(event: RunnerReport): void {
		// One id: what was held back is short, and is never in parts.
		const partId = this.#deriveId("prt", `${++this.#counter}`);
		for (const shown of this.#redactor.take(event)) this.#output.events.push(...splitEvent(shown, partId, MAX_EVENT_BYTES));
	}
}

const TURN_OVER = "the turn that it belongs to has ended";
const TOO_LARGE: Judgement = {
	verdict: "deny",
	rule: "call-too-large",
	category: "unresolved",
	reason: `a tool input of over ${MAX_EVENT_BYTES} bytes cannot be judged`,
	suggestion: "use smaller steps",
};

/** Over what the gates judge of a command (64 KiB), so that a cut one is still too long to be allowed. */
const MAX_STRING_UNITS = 70_000;
/** A call's input for the gates, which need no file's content: strings that nobody judges whole are cut. */
function withShortStrings(value: unknown): unknown {
	if (typeof value === "string") return value.length > MAX_STRING_UNITS ? value.slice(0, MAX_STRING_UNITS) : value;
	if (Array.isArray(value)) return value.map(withShortStrings);
	if (typeof value === "object" && value !== null)
		return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withShortStrings(inner)]));
	return value;
}
