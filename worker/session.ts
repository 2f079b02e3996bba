import type { z } from "zod";
import type { Approval } from "../shared/api.ts";
import { type AuditAction, type AuditEntry, auditText, type Detail, toolCallDecided } from "../shared/audit.ts";
import { type ErrorCode, type Problem, problem } from "../shared/errors.ts";
import type { CallPlace, ProcessState, RunnerReport, SessionEvent, SessionStateName, StopReason } from "../shared/events.ts";
import type { Decision, GateVerdict, SessionSpec } from "../shared/frames.ts";
import type { ApprovalId, Generation, RunnerId, TurnId } from "../shared/ids.ts";
import { ASK_AGAIN_MS, MAX_ENTRIES, MAX_WAITING_INPUTS, QUEUE_TIMEOUT_MS } from "../shared/limits.ts";
import { unreachable } from "../shared/result.ts";
import { inWords } from "../shared/units.ts";
import {
	BUILT_IN,
	type Decided,
	decidePrompt,
	decideToolCall,
	entryFor,
	type PolicyEntry,
	type VersionedPolicy,
} from "../shared/waf/policy.ts";
import { subjectOf, type ToolCall } from "../shared/waf/tool-call.ts";
import { denialInWords, graver, type Judgement, type Place } from "../shared/waf/verdict.ts";

/**
 * The session's state machine, pure: `step` decides, the object commits and then performs. What must not be lost is
 * in the state: a lease that is asked for is asked for again by the alarm, and the runner is told `desired(state)`
 * whole, at every attach and after every change.
 */
export interface SessionState {
	spec: SessionSpec;
	/** The CLI's own id of the conversation. */
	nativeSessionId: string | null;
	lease: LeaseState;
	process: ProcessState | null;
	/** The current turn; its prompt is in the turns table. */
	turn: Turn | null;
	/** Accepted inputs behind it, in order. */
	waiting: TurnId[];
	/** Of the current turn. */
	approvals: WaitingApproval[];
	/** What the runner was told of calls of the current turn that wait at the gate, until their results are here. */
	verdicts?: (GateVerdict & { toolCallId?: string })[];
	/** What this session's people decided once for the whole session. */
	entries?: PolicyEntry[];
	/** Who sent the inputs that have not ended, and who opened the session. A state of before there were policies has neither. */
	requesters?: Record<TurnId, string>;
	openedBy?: string;
	/** How its processes are bounded, as its runner said last. */
	containment?: Containment;
	closed: boolean;
}

export type Containment = Omit<Extract<RunnerReport, { type: "isolation" }>, "type">;

export type LeaseState =
	| { phase: "none" }
	/** The team was asked for a runner; `why` is its answer if none is free. */
	| { phase: "asking"; why: string | null; askAgainAt: number }
	| {
			phase: "held";
			runnerId: RunnerId;
			/** For people. A state that was stored by an older gateway has none. */
			runnerName?: string;
			generation: Generation;
			publicKey: string;
			/** Whether the runner came; "down" is told after a grace, since links break and come back all the time. */
			link: "never" | "up" | "down";
			/** How long the lease outlives its runner's absence. */
			windowMs?: number;
	  };

export interface Turn {
	turnId: TurnId;
	/** The CLI said that it works on it. */
	started: boolean;
	interrupt: boolean;
	/** When a turn without a runner ends as `no_runner`. */
	giveUpAt: number;
}

export interface WaitingApproval {
	approvalId: ApprovalId;
	expiresAt: number;
	/** Null while it waits. Kept until the turn ends: a runner that comes back hears it again. */
	decision: Decision | null;
	/** Who made the decision; absent: a rule did, or it was made before this was kept. */
	decidedBy?: string;
	/** A rule decided it at once: nobody was asked, and the log has the verdict alone. */
	byRule?: true;
	/** The call that waits; absent: a question of the CLI's. */
	call?: AskedCall;
}

/** What of a call must be known when its approval is decided. Its input is in the log. */
interface AskedCall {
	tool: string;
	kind?: string;
	toolCallId?: string;
	place: CallPlace;
	subject: string;
	rule: string | null;
	reason: string | null;
	/** What the rule says to do instead. */
	suggestion?: string;
	requestedBy: string;
	askedAt: number;
	/** What `remember` would make a rule of; null: the call is too large for one. */
	entry: Pick<PolicyEntry, "tool" | "match"> | null;
}

export type SessionInput =
	| { type: "input"; turnId: TurnId; clientId: string; text: string; by: string }
	| { type: "interrupt"; by: string }
	/** `input`: as the log has it, for a decision that changes it. `mayRule`: may make rules for the whole team. */
	| { type: "decide"; decision: Decision; by: string; mayRule?: boolean }
	| { type: "terminate"; by: string }
	| ({ type: "granted" } & Granted)
	| { type: "queued"; why: string }
	/** The team took the lease back. `again`: the turn never reached the runner, so another may have it. */
	| { type: "lease_ended"; generation: Generation; code: ErrorCode; detail: string; again: boolean }
	| { type: "attached"; generation: Generation }
	| { type: "detached"; generation: Generation }
	| { type: "released"; generation: Generation; why: string }
	/** A person gives up the runner, which may be away for long. `again`: the turn's input, taken once more as this new turn. */
	| { type: "give_up"; by: string; again: { turnId: TurnId; clientId: string; text: string } | null }
	| { type: "runner_event"; event: RunnerReport }
	| { type: "clock" };

/** A lease, as the team gives it. */
export interface Granted {
	runnerId: RunnerId;
	runnerName: string;
	generation: Generation;
	publicKey: string;
	windowMs: number;
}

export type Effect =
	| { do: "append"; event: SessionEvent }
	/** Ask the team for a runner; it answers `granted` or `queued`. */
	| { do: "ask_for_runner" }
	| { do: "stop_asking" }
	/** `forgetHome`: another runner may have the session; what its last one holds is given up. */
	| { do: "release_lease"; generation: Generation; forgetHome?: true }
	/** The same, where there is no lease. */
	| { do: "forget_home" }
	/** Send `desired(state)` on the runner's link. */
	| { do: "tell_runner" }
	/** Write it down for the team's audit log, in the same transaction. */
	| { do: "audit"; entry: AuditEntry }
	/** Make it a rule of the team's policy. */
	| { do: "add_entry"; entry: PolicyEntry; by: string };

/** The rules that hold when a step is taken. */
export interface Rules {
	versioned: VersionedPolicy;
	sessionId: string;
	/** For the ids of new entries: unique in the team. */
	newEntryId: () => string;
}
const NO_RULES: Rules = { versioned: BUILT_IN, sessionId: "", newEntryId: () => "entry" };

export interface Step {
	state: SessionState;
	effects: Effect[];
	/** Set if the input was refused; the state is then unchanged, and there is at most something to be audited. */
	refused?: Problem;
}

export function initial(spec: SessionSpec, openedBy?: string): SessionState {
	return {
		...(openedBy === undefined ? {} : { openedBy }),
		spec,
		nativeSessionId: null,
		lease: { phase: "none" },
		process: null,
		turn: null,
		waiting: [],
		approvals: [],
		closed: false,
	};
}

/** Decides what one input does to a session. Does nothing itself. */
export function step(before: SessionState, input: SessionInput, now: number, rules: Rules = NO_RULES): Step {
	const m = new Move(before, now, rules);
	const refused = m.take(input);
	if (refused) return { state: before, effects: m.effects.filter((effect) => effect.do === "audit"), refused };
	m.settle(before, input);
	// Nothing to write for what changes nothing.
	return m.changes(before) ? { state: m.state, effects: m.effects } : { state: before, effects: [] };
}

/** When `step` must be called with `clock`, or null if it need not. */
export function nextAlarm(state: SessionState): number | null {
	const due: number[] = [];
	if (state.lease.phase === "asking") due.push(state.lease.askAgainAt);
	if (state.turn && !isReached(state.lease)) due.push(state.turn.giveUpAt);
	for (const a of state.approvals) if (a.decision === null) due.push(a.expiresAt);
	return due.length > 0 ? Math.min(...due) : null;
}

/** Whether a runner may know of the current turn. */
const isReached = (lease: LeaseState): boolean => lease.phase === "held" && lease.link !== "never";

/** What a person is told of the session. */
export function describe(state: SessionState): { name: SessionStateName; why: string | null } {
	if (state.closed) return { name: "closed", why: null };
	if (state.lease.phase === "asking" && state.lease.why !== null) return { name: "queued", why: state.lease.why };
	if (state.lease.phase === "held" && state.lease.link === "down") return { name: "offline", why: awayInWords(state.lease) };
	if (state.process !== null) return { name: state.process, why: null };
	return { name: state.lease.phase === "held" ? "starting" : "idle", why: null };
}

const awayInWords = ({ runnerName, windowMs }: Extract<LeaseState, { phase: "held" }>): string =>
	`its runner${runnerName === undefined ? "" : ` ${runnerName}`} is away; the session is held for it${
		windowMs === undefined ? "" : ` for ${inWords(windowMs)}`
	} and goes on when it is back; releasing it gives the runner up`;

/** What waits for a person, for the team's list. */
export function openApprovals(state: SessionState): OpenApproval[] {
	return state.approvals.flatMap(({ approvalId, expiresAt, decision, call }) =>
		decision !== null || call === undefined
			? []
			: [
					{
						approvalId,
						...{ tool: call.tool, subject: call.subject, cwd: call.place.cwd, rule: call.rule, reason: call.reason },
						suggestion: call.suggestion ?? null,
						...{ requestedBy: call.requestedBy, askedAt: call.askedAt, expiresAt },
					},
				],
	);
}
export type OpenApproval = Omit<z.output<typeof Approval>, "sessionId" | "offset">;

/** Why this turn has not begun, in words for a person; null if it has, or is about to. */
export function whyWaits(state: SessionState, turnId: TurnId): string | null {
	const place = state.waiting.indexOf(turnId);
	const before = place + (state.turn === null ? 0 : 1);
	if (place >= 0 && before > 0) return `${before === 1 ? "1 turn of this session runs" : `${before} turns of this session run`} before it`;
	return state.turn?.turnId === turnId && !state.turn.started ? describe(state).why : null;
}

/** The state under way: `take` changes a copy and lists effects. */
class Move {
	readonly effects: Effect[] = [];
	state: SessionState;
	readonly #now: number;
	readonly #rules: Rules;

	constructor(before: SessionState, now: number, rules: Rules) {
		this.state = { ...before };
		this.#now = now;
		this.#rules = rules;
	}

	take(input: SessionInput): Problem | null {
		const s = this.state;
		switch (input.type) {
			case "input":
				if (s.closed) return problem("session_closed", "this session has ended; open another one, under a new key if it had one");
				if (s.waiting.length >= MAX_WAITING_INPUTS)
					return problem(
						"too_many_inputs",
						`${s.waiting.length} inputs already wait in this session; send this one when some have run`,
						5000,
					);
				return this.#input(input);
			case "interrupt":
				if (s.turn === null || s.turn.interrupt) return null;
				this.append({ type: "interrupt_requested", turnId: s.turn.turnId, by: input.by });
				s.turn = { ...s.turn, interrupt: true };
				if (isReached(s.lease)) this.effects.push({ do: "tell_runner" });
				else this.#endTurn("cancelled");
				return null;
			case "decide":
				return this.#decide(input.decision, input.by, input.mayRule ?? false);
			case "terminate":
				if (s.closed) return null;
				s.closed = true;
				for (const turnId of s.waiting) {
					this.append({ type: "turn_ended", turnId, stopReason: "cancelled" });
					this.#forgetRequester(turnId);
				}
				s.waiting = [];
				this.#audit("session.closed", input.by, {});
				if (s.turn) this.#endTurn("cancelled");
				if (s.lease.phase === "held") this.effects.push({ do: "tell_runner" });
				return null;
			case "granted": {
				if (s.lease.phase === "held" && input.generation <= s.lease.generation) return null;
				// A question that was overtaken by its answer is answered again; the team has forgotten the older lease then.
				const wasReached = isReached(s.lease);
				this.#dropLease("a newer lease took its place");
				// Between the question and its answer the need may have gone.
				if (s.closed || s.turn === null) this.effects.push({ do: "release_lease", generation: input.generation });
				else {
					const { type: _, ...lease } = input;
					s.lease = { phase: "held", ...lease, link: "never" };
					this.append({ type: "lease_granted", runnerId: input.runnerId, generation: input.generation });
					if (wasReached) this.#endTurn("failed", { code: "runner_lost", detail: "a newer lease took its runner's place" });
				}
				return null;
			}
			case "queued":
				if (s.lease.phase === "asking") s.lease = { phase: "asking", why: input.why, askAgainAt: this.#now + ASK_AGAIN_MS };
				return null;
			case "lease_ended": {
				if (s.lease.phase !== "held" || s.lease.generation !== input.generation) return null;
				const wasReached = isReached(s.lease);
				this.#dropLease(input.detail);
				// What reached the runner may have been begun; only what certainly was not may go to another.
				if (s.turn && (wasReached || !input.again)) this.#endTurn("failed", { code: input.code, detail: input.detail });
				else this.#next();
				return null;
			}
			case "attached":
				// A link that came back within the grace changes nothing, so that a storm of them writes nothing.
				if (s.lease.phase === "held" && s.lease.generation === input.generation && s.lease.link !== "up")
					s.lease = { ...s.lease, link: "up" };
				return null;
			case "detached":
				if (s.lease.phase === "held" && s.lease.generation === input.generation && s.lease.link === "up")
					s.lease = { ...s.lease, link: "down" };
				return null;
			case "released":
				if (s.lease.phase !== "held" || s.lease.generation !== input.generation) return null;
				this.effects.push({ do: "release_lease", generation: input.generation });
				this.#dropLease(input.why);
				// A turn that crossed the release on its way was never begun: another lease takes it.
				if (s.turn?.started) this.#endTurn("failed", { code: "runner_lost", detail: input.why });
				else if (s.turn?.interrupt) this.#endTurn("cancelled");
				else this.#next();
				return null;
			case "give_up":
				return this.#giveUp(input.by, input.again);
			case "runner_event":
				this.#report(input.event);
				return null;
			case "clock":
				this.#clock();
				return null;
			default:
				return unreachable(input);
		}
	}

	changes(before: SessionState): boolean {
		const keys = Object.keys(before) as (keyof SessionState)[];
		return this.effects.length > 0 || keys.some((key) => before[key] !== this.state[key]);
	}

	/** After every input: tell what changed for people, unless the log says it already. */
	settle(before: SessionState, input: SessionInput): void {
		const was = describe(before);
		const is = describe(this.state);
		const told = input.type === "runner_event" && is.name === this.state.process;
		if (!told && (was.name !== is.name || was.why !== is.why))
			this.append(is.why === null ? { type: "session_state", state: is.name } : { type: "session_state", state: is.name, why: is.why });
	}

	append(event: SessionEvent): void {
		this.effects.push({ do: "append", event });
	}

	#audit(action: AuditAction, actor: string, detail: Detail, subject = this.#rules.sessionId): void {
		this.effects.push({ do: "audit", entry: { at: this.#now, actor: actor.slice(0, 256), action, subject: auditText(subject), detail } });
	}

	#input(input: Extract<SessionInput, { type: "input" }>): Problem | null {
		const s = this.state;
		const { turnId, clientId, text, by } = input;
		const { versioned, sessionId } = this.#rules;
		const {
			action,
			dryRun,
			explicit: _,
			by: decidedBy,
			policyVersion,
			...judged
		} = decidePrompt(versioned, text, { sessionId, principal: by }, this.#now);
		const shown = dryRun ?? judged;
		if (shown.verdict !== "allow")
			this.#audit("prompt.judged", by, {
				sessionId,
				...{ verdict: shown.verdict, rule: shown.rule, reason: shown.reason, policyVersion, decidedBy },
				outcome: dryRun === undefined ? action : "log",
			});
		if (action === "block") {
			const rule = judged.rule === null ? "" : ` (rule ${judged.rule})`;
			const suggestion = judged.suggestion === undefined ? "" : ` ${judged.suggestion}`;
			return problem("policy_denied", `this prompt orders what the team's policy stops${rule}: ${judged.reason}.${suggestion}`);
		}
		this.append({ type: "input", turnId, clientId, text, by });
		if (action === "flag" || dryRun !== undefined) this.append({ type: "prompt_flagged", turnId, ...shown, policyVersion, by });
		s.waiting = [...s.waiting, turnId];
		s.requesters = { ...s.requesters, [turnId]: by };
		this.#next();
		return null;
	}

	/** The next waiting input becomes the current turn; whatever it needs is asked for. */
	#next(): void {
		const s = this.state;
		if (s.turn === null) {
			const [turnId, ...rest] = s.waiting;
			if (turnId === undefined) return;
			s.waiting = rest;
			s.turn = { turnId, started: false, interrupt: false, giveUpAt: this.#now + QUEUE_TIMEOUT_MS };
			if (s.lease.phase === "held") this.effects.push({ do: "tell_runner" });
		}
		if (s.lease.phase === "none") {
			s.lease = { phase: "asking", why: null, askAgainAt: this.#now + ASK_AGAIN_MS };
			this.effects.push({ do: "ask_for_runner" });
		}
	}

	#endTurn(stopReason: StopReason, error?: { code: ErrorCode; detail: string }): void {
		const s = this.state;
		if (s.turn === null) return;
		const { turnId } = s.turn;
		this.#withdraw();
		this.append(error ? { type: "turn_ended", turnId, stopReason, error } : { type: "turn_ended", turnId, stopReason });
		this.#turnIsOver();
	}

	/** Tells that what still waits for a decision needs none any more. */
	#withdraw(): void {
		for (const a of this.state.approvals)
			if (a.decision === null) this.append({ type: "approval_withdrawn", approvalId: a.approvalId, why: "its turn ended" });
	}

	#turnIsOver(): void {
		const s = this.state;
		if (s.turn !== null) this.#forgetRequester(s.turn.turnId);
		s.turn = null;
		s.approvals = [];
		delete s.verdicts;
		if (s.lease.phase === "asking" && s.waiting.length === 0) {
			s.lease = { phase: "none" };
			this.effects.push({ do: "stop_asking" });
		}
		this.#next();
	}

	#forgetRequester(turnId: TurnId): void {
		const s = this.state;
		const left = Object.entries(s.requesters ?? {}).filter(([id]) => id !== turnId);
		if (left.length > 0) s.requesters = Object.fromEntries(left);
		else delete s.requesters;
	}

	#dropLease(why: string): void {
		const s = this.state;
		if (s.lease.phase !== "held") return;
		this.append({ type: "lease_ended", runnerId: s.lease.runnerId, generation: s.lease.generation, why });
		s.lease = { phase: "none" };
		s.process = null;
	}

	#giveUp(by: string, again: Extract<SessionInput, { type: "give_up" }>["again"]): Problem | null {
		const s = this.state;
		if (s.closed) return problem("session_closed", "this session has ended; it holds no runner");
		if (s.lease.phase === "none")
			return problem("conflict", "this session holds no runner and waits for none; its next input asks for one");
		const why = `released by ${by}`;
		if (s.lease.phase === "asking") {
			this.effects.push({ do: "forget_home" });
			return null;
		}
		const wasReached = isReached(s.lease);
		this.effects.push({ do: "release_lease", generation: s.lease.generation, forgetHome: true });
		this.#dropLease(why);
		// Never a silent requeue: what the old runner may have begun ends here, and a person says whether it is begun again.
		if (s.turn && wasReached) {
			if (again !== null) {
				this.append({ type: "input", ...again, by });
				s.waiting = [again.turnId, ...s.waiting];
				s.requesters = { ...s.requesters, [again.turnId]: by };
			}
			this.#endTurn("failed", { code: "runner_lost", detail: why });
		} else this.#next();
		return null;
	}

	#decide(decision: Decision, by: string, mayRule: boolean): Problem | null {
		const s = this.state;
		const { approvalId, message, remember, updatedInput } = decision;
		const approval = s.approvals.find((a) => a.approvalId === approvalId);
		if (approval === undefined) return problem("not_found", "no such approval waits in this session; its turn may have ended");
		const { call } = approval;
		const said: Detail = {
			sessionId: this.#rules.sessionId,
			approvalId,
			decision: decision.decision,
			layer: by === TIMEOUT ? "timeout" : "person",
		};
		if (approval.decision !== null) {
			this.#audit("approval.answered", by, { ...said, counted: false }, call?.subject);
			const { decision: made } = approval.decision;
			return problem("conflict", `this approval was already decided by ${approval.decidedBy ?? "a rule"}: ${made}`);
		}
		if (call !== undefined && updatedInput !== undefined && decision.decision === "allow") {
			// What runs is what was judged: a person who changes the call cannot allow what a rule denies.
			const changed = this.#judge({ ...call, input: updatedInput });
			if (changed.verdict === "deny")
				return problem("policy_denied", `the changed input is denied (rule ${changed.rule}): ${changed.reason}`);
		}
		if (remember !== undefined) {
			const refused = this.#remember(call, decision, by, mayRule);
			if (refused) return refused;
		}
		const stored: Decision = { ...decision };
		delete stored.remember;
		s.approvals = s.approvals.map((a) => (a === approval ? { ...a, decision: stored, decidedBy: by } : a));
		this.append({
			type: "approval_decided",
			approvalId,
			decision: decision.decision,
			...(message === undefined ? {} : { message }),
			...(remember === undefined ? {} : { remember }),
			by,
		});
		this.#audit(
			"approval.answered",
			by,
			{
				...said,
				counted: true,
				...(call === undefined ? {} : { tool: call.tool, rule: call.rule }),
				...(remember === undefined ? {} : { remember }),
			},
			call?.subject,
		);
		this.effects.push({ do: "tell_runner" });
		return null;
	}

	/** Makes a person's answer a rule, of this session or of the team. */
	#remember(call: AskedCall | undefined, decision: Decision, by: string, mayRule: boolean): Problem | null {
		const s = this.state;
		if (call === undefined) return problem("bad_request", "remember: only the answer to a tool call can be remembered");
		if (call.entry === null || decision.updatedInput !== undefined)
			return problem("bad_request", "remember: this call is too large, or was changed, so no rule can be made of it; answer it once");
		const entry: PolicyEntry = { ...call.entry, id: this.#rules.newEntryId(), verdict: decision.decision, author: by, at: this.#now };
		if (decision.remember === "always") {
			if (!mayRule) return problem("forbidden", "remember: a rule for the whole team needs the scope policy:write");
			this.effects.push({ do: "add_entry", entry, by });
		} else if ((s.entries?.length ?? 0) >= MAX_ENTRIES)
			return problem("conflict", `remember: this session has ${MAX_ENTRIES} rules already; answer it once, or make a rule for the team`);
		// Also for the team's: the call that comes next need not wait until the policy is here.
		s.entries = [...(s.entries ?? []), entry].slice(-MAX_ENTRIES);
		return null;
	}

	/** The team's policy on a call, and the stricter of it and what the machine's owner asks for. */
	#judge(asked: {
		tool: string;
		kind?: string | undefined;
		input?: unknown;
		place?: CallPlace | undefined;
		judged?: Judgement | undefined;
	}): Decided {
		const { versioned, sessionId } = this.#rules;
		const s = this.state;
		const who = { sessionId, principal: s.openedBy ?? "" };
		const decided = decideToolCall(versioned, s.entries ?? [], callOf(asked), placeOf(asked.place, s.spec), who, this.#now);
		const { judged } = asked;
		if (judged === undefined || graver(decided, judged) === decided) return decided;
		// The machine's owner asks: no entry of the team answers for a person, and no policy that only logs.
		const { dryRun: _, ...enforced } = decided;
		return { ...enforced, ...judged, explicit: false, by: "the runner's owner" };
	}

	/** A call that waits for its verdict. What a person must decide the CLI asks next, as an approval. */
	#gate(event: Extract<RunnerReport, { type: "gate_requested" }>): void {
		const s = this.state;
		const { approvalId, toolCallId, turnId } = event;
		// Of a turn that is over, or told before and sent again.
		if (s.turn?.turnId !== turnId || s.verdicts?.some((v) => v.approvalId === approvalId)) return;
		const decided = this.#judge(event);
		const verdict = decided.verdict === "allow" ? (decided.explicit ? "allow" : "pass") : decided.verdict;
		const reason = verdict === "deny" ? denialInWords(decided, "the team's policy") : decided.reason;
		s.verdicts = [...(s.verdicts ?? []), { approvalId, verdict, reason, ...(toolCallId === undefined ? {} : { toolCallId }) }];
		if (verdict !== "ask") this.#tellVerdict(event, decided);
		this.effects.push({ do: "tell_runner" });
	}

	/** Into the log, where there is something to tell, and into the audit. */
	#tellVerdict(
		event: {
			turnId: TurnId;
			toolCallId?: string | undefined;
			tool: string;
			input?: unknown;
			place?: CallPlace | undefined;
			kind?: string | undefined;
		},
		decided: Decided,
		layer: "runner" | "gateway" | "jail" = "gateway",
		subject = subjectText(event, this.state.spec),
	): void {
		const { dryRun, explicit, policyVersion, by, ...judged } = decided;
		const { turnId, toolCallId, tool } = event;
		const shown = dryRun ?? judged;
		if (dryRun !== undefined || judged.verdict !== "allow" || explicit || judged.rule !== null)
			this.append({
				type: "tool_verdict",
				turnId,
				...(toolCallId === undefined ? {} : { toolCallId }),
				tool,
				...shown,
				layer,
				policyVersion,
				by,
				...(dryRun === undefined ? {} : { dryRun: true as const }),
			});
		const { lease } = this.state;
		const entry = toolCallDecided({
			at: this.#now,
			by: layer !== "gateway" && lease.phase === "held" ? `runner:${lease.runnerId}` : "gateway",
			sessionId: this.#rules.sessionId,
			...{ turnId, tool, subject, layer, policyVersion },
			...{ verdict: shown.verdict, rule: shown.rule, reason: shown.reason },
			mode: dryRun === undefined ? "enforce" : "log",
		});
		this.effects.push({ do: "audit", entry: { ...entry, detail: { ...entry.detail, decidedBy: auditText(by) } } });
		if (by.startsWith("bypass:"))
			this.#audit(
				"bypass.used",
				this.state.openedBy ?? "gateway",
				{ sessionId: this.#rules.sessionId, tool, decidedBy: auditText(by) },
				subject,
			);
	}

	/** A call that the CLI asks about: denied or allowed by a rule at once, or a record that waits for a person. */
	#ask(event: Extract<RunnerReport, { type: "approval_requested" }>): void {
		const s = this.state;
		const { approvalId, turnId, toolCallId, tool, kind } = event;
		const decided = this.#judge(event);
		const expiresAt = this.#now + this.#rules.versioned.policy.approvalTimeoutMs;
		if (decided.verdict === "deny" || (decided.verdict === "allow" && decided.explicit)) {
			const message = decided.verdict === "deny" ? { message: denialInWords(decided, "the team's policy") } : {};
			s.approvals = [
				...s.approvals,
				{ approvalId, expiresAt, decision: { approvalId, decision: decided.verdict, ...message }, byRule: true },
			];
			this.#tellVerdict(event, decided);
			this.effects.push({ do: "tell_runner" });
			return;
		}
		const requestedBy = s.requesters?.[turnId] ?? s.openedBy ?? "cli";
		const place = placeOf(event.place, s.spec);
		const subject = subjectText(event, s.spec);
		const asks = decided.dryRun === undefined && decided.verdict === "ask";
		const reason = asks ? decided.reason : event.reason;
		const suggestion = asks && decided.suggestion !== undefined ? { suggestion: decided.suggestion } : {};
		const call: AskedCall = {
			tool,
			...(kind === undefined ? {} : { kind }),
			...(toolCallId === undefined ? {} : { toolCallId }),
			place,
			subject: auditText(subject),
			rule: asks ? decided.rule : null,
			reason: reason ?? null,
			...suggestion,
			requestedBy,
			askedAt: this.#now,
			entry: entryOf(callOf(event), place),
		};
		s.approvals = [...s.approvals, { approvalId, expiresAt, decision: null, call }];
		const { reason: _, ...rest } = event;
		this.append({
			...rest,
			...(reason === undefined ? {} : { reason }),
			rule: call.rule,
			...suggestion,
			policyVersion: decided.policyVersion,
			requestedBy,
			expiresAt,
		});
		if (decided.dryRun !== undefined) this.#tellVerdict(event, decided);
		const detail = {
			sessionId: this.#rules.sessionId,
			approvalId,
			turnId,
			tool,
			cwd: auditText(place.cwd),
			rule: call.rule,
			requestedBy,
			expiresAt,
		};
		this.#audit(
			"approval.asked",
			"gateway",
			{ ...detail, policyVersion: decided.policyVersion, reason: auditText(reason ?? "the CLI asks") },
			subject,
		);
	}

	/** What the current lease's runner reports; older generations never come here. */
	#report(event: RunnerReport): void {
		const s = this.state;
		switch (event.type) {
			case "process_state":
				s.process = event.state;
				if (event.nativeSessionId !== undefined) s.nativeSessionId = event.nativeSessionId;
				break;
			case "turn_started":
				if (s.turn?.turnId === event.turnId) s.turn = { ...s.turn, started: true };
				// Of a turn that was ended meanwhile, or one that a terminated session does not count any more.
				else if (s.closed || event.origin === "input" || s.waiting.includes(event.turnId)) return;
				else {
					if (s.turn?.interrupt) this.#endTurn("cancelled");
					else if (s.turn?.started)
						this.#endTurn("failed", { code: "internal", detail: "its runner began another turn without ending it" });
					// It began before the runner heard of the current input, which goes back to the head of the queue.
					if (s.turn) s.waiting = [s.turn.turnId, ...s.waiting];
					s.turn = { turnId: event.turnId, started: true, interrupt: false, giveUpAt: this.#now + QUEUE_TIMEOUT_MS };
				}
				break;
			case "turn_ended":
				// Ended already, by an interrupt or a terminate that overtook it: it ends once.
				if (s.turn?.turnId !== event.turnId) return;
				this.#withdraw();
				this.append(event);
				this.#turnIsOver();
				return;
			case "gate_requested":
				return this.#gate(event);
			case "gate_denied": {
				if (s.turn?.turnId !== event.turnId) return;
				const { type: _, turnId, toolCallId, tool, subject, layer = "runner", ...judged } = event;
				const by = layer === "jail" ? `policy:${this.#rules.versioned.version}` : "the runner's owner";
				const decided = { ...judged, policyVersion: this.#rules.versioned.version, explicit: false, by };
				return this.#tellVerdict({ turnId, tool, toolCallId }, decided, layer, subject);
			}
			case "isolation": {
				const { type: _, ...containment } = event;
				s.containment = containment;
				break;
			}
			case "tool_result":
				// Its verdict has done its work.
				if (s.verdicts?.some((v) => v.toolCallId === event.toolCallId))
					s.verdicts = s.verdicts.filter((v) => v.toolCallId !== event.toolCallId);
				break;
			case "approval_requested":
			case "question_asked":
				// Nobody could answer for a turn that is over, nor twice.
				if (s.turn?.turnId !== event.turnId || s.approvals.some((a) => a.approvalId === event.approvalId)) return;
				if (event.type === "approval_requested") return this.#ask(event);
				s.approvals = [
					...s.approvals,
					{ approvalId: event.approvalId, expiresAt: this.#now + this.#rules.versioned.policy.approvalTimeoutMs, decision: null },
				];
				break;
			case "approval_withdrawn":
				if (!s.approvals.some((a) => a.approvalId === event.approvalId)) return;
				if (s.approvals.some((a) => a.approvalId === event.approvalId && a.byRule)) return;
				s.approvals = s.approvals.filter((a) => a.approvalId !== event.approvalId);
				break;
			default:
				break;
		}
		this.append(event);
	}

	#clock(): void {
		const s = this.state;
		const now = this.#now;
		for (const a of s.approvals)
			if (a.decision === null && a.expiresAt <= now)
				this.#decide({ approvalId: a.approvalId, decision: "deny", message: "nobody answered in time" }, TIMEOUT, false);
		if (s.turn && !isReached(s.lease) && s.turn.giveUpAt <= now) {
			const why = s.lease.phase === "asking" ? s.lease.why : null;
			if (s.lease.phase === "held") {
				this.effects.push({ do: "release_lease", generation: s.lease.generation });
				this.#dropLease("its runner never came");
			}
			this.#endTurn("failed", { code: "no_runner", detail: why ?? "no runner took the session in time" });
		}
		if (s.lease.phase === "asking" && s.lease.askAgainAt <= now) {
			s.lease = { ...s.lease, askAgainAt: now + ASK_AGAIN_MS };
			this.effects.push({ do: "ask_for_runner" });
		}
	}
}

/** Who denies what nobody answered. */
const TIMEOUT = "gateway";

const callOf = ({ tool, kind, input }: { tool: string; kind?: string | undefined; input?: unknown }): ToolCall => ({
	tool,
	input,
	...(kind === undefined ? {} : { kind }),
});

/** Where a call runs. A runner of before there were gates does not say; nothing lies in its work directory then, so that nothing passes for its own. */
function placeOf(place: CallPlace | undefined, spec: SessionSpec): CallPlace & Place {
	if (place !== undefined) return place;
	const workDir = spec.workDir ?? "/nonexistent";
	return { workDir, cwd: workDir, home: null };
}

/** The command, path or host of a call, for people. */
function subjectText(
	event: { tool: string; kind?: string | undefined; input?: unknown; place?: CallPlace | undefined },
	spec: SessionSpec,
): string {
	const subjects = subjectOf(callOf(event), placeOf(event.place, spec));
	return subjects.length > 0 ? subjects.map((subject) => subject.text).join("\n") : event.tool;
}

/** What a rule made of this call would match; null if it is too large for one. */
function entryOf(call: ToolCall, place: Place): AskedCall["entry"] {
	const entry = entryFor(call, place, "allow", "entry", "", 0);
	return entry === null ? null : { tool: entry.tool, ...(entry.match === undefined ? {} : { match: entry.match }) };
}

/** Whether a runner's event can change the state; all others go straight to the log. */
export const touchesState = (event: RunnerReport): boolean =>
	event.type === "gate_requested" ||
	event.type === "gate_denied" ||
	event.type === "isolation" ||
	event.type === "tool_result" ||
	event.type === "process_state" ||
	event.type === "turn_started" ||
	event.type === "turn_ended" ||
	event.type === "approval_requested" ||
	event.type === "question_asked" ||
	event.type === "approval_withdrawn";
