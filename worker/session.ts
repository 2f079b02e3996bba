import { type ErrorCode, type Problem, problem } from "../shared/errors.ts";
import type { ProcessState, RunnerEvent, SessionEvent, SessionStateName, StopReason } from "../shared/events.ts";
import type { Decision, SessionSpec } from "../shared/frames.ts";
import type { ApprovalId, Generation, RunnerId, TurnId } from "../shared/ids.ts";
import { APPROVAL_TIMEOUT_MS, ASK_AGAIN_MS, MAX_WAITING_INPUTS, QUEUE_TIMEOUT_MS } from "../shared/limits.ts";
import { unreachable } from "../shared/result.ts";
import { inWords } from "../shared/units.ts";

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
	approvals: Approval[];
	closed: boolean;
}

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

export interface Approval {
	approvalId: ApprovalId;
	expiresAt: number;
	/** Null while it waits. Kept until the turn ends: a runner that comes back hears it again. */
	decision: Decision | null;
}

export type SessionInput =
	| { type: "input"; turnId: TurnId; clientId: string; text: string; by: string }
	| { type: "interrupt"; by: string }
	| { type: "decide"; decision: Decision; by: string }
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
	| { type: "runner_event"; event: RunnerEvent }
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
	| { do: "tell_runner" };

export interface Step {
	state: SessionState;
	effects: Effect[];
	/** Set if the input was refused; the state is then unchanged. */
	refused?: Problem;
}

export function initial(spec: SessionSpec): SessionState {
	return { spec, nativeSessionId: null, lease: { phase: "none" }, process: null, turn: null, waiting: [], approvals: [], closed: false };
}

/** Decides what one input does to a session. Does nothing itself. */
export function step(before: SessionState, input: SessionInput, now: number): Step {
	const m = new Move(before, now);
	const refused = m.take(input);
	if (refused) return { state: before, effects: [], refused };
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

	constructor(before: SessionState, now: number) {
		this.state = { ...before };
		this.#now = now;
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
				this.append({ type: "input", turnId: input.turnId, clientId: input.clientId, text: input.text, by: input.by });
				s.waiting = [...s.waiting, input.turnId];
				this.#next();
				return null;
			case "interrupt":
				if (s.turn === null || s.turn.interrupt) return null;
				this.append({ type: "interrupt_requested", turnId: s.turn.turnId, by: input.by });
				s.turn = { ...s.turn, interrupt: true };
				if (isReached(s.lease)) this.effects.push({ do: "tell_runner" });
				else this.#endTurn("cancelled");
				return null;
			case "decide":
				return this.#decide(input.decision, input.by);
			case "terminate":
				if (s.closed) return null;
				s.closed = true;
				for (const turnId of s.waiting) this.append({ type: "turn_ended", turnId, stopReason: "cancelled" });
				s.waiting = [];
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
		s.turn = null;
		s.approvals = [];
		if (s.lease.phase === "asking" && s.waiting.length === 0) {
			s.lease = { phase: "none" };
			this.effects.push({ do: "stop_asking" });
		}
		this.#next();
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
			}
			this.#endTurn("failed", { code: "runner_lost", detail: why });
		} else this.#next();
		return null;
	}

	#decide(decision: Decision, by: string): Problem | null {
		const s = this.state;
		const approval = s.approvals.find((a) => a.approvalId === decision.approvalId);
		if (approval === undefined) return problem("not_found", "no such approval waits in this session; its turn may have ended");
		if (approval.decision !== null) return problem("conflict", `this approval was already decided: ${approval.decision.decision}`);
		s.approvals = s.approvals.map((a) => (a === approval ? { ...a, decision } : a));
		const { approvalId, message } = decision;
		this.append({ type: "approval_decided", approvalId, decision: decision.decision, ...(message === undefined ? {} : { message }), by });
		this.effects.push({ do: "tell_runner" });
		return null;
	}

	/** What the current lease's runner reports; older generations never come here. */
	#report(event: RunnerEvent): void {
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
			case "approval_requested":
			case "question_asked":
				// Nobody could answer for a turn that is over, nor twice.
				if (s.turn?.turnId !== event.turnId || s.approvals.some((a) => a.approvalId === event.approvalId)) return;
				s.approvals = [...s.approvals, { approvalId: event.approvalId, expiresAt: this.#now + APPROVAL_TIMEOUT_MS, decision: null }];
				break;
			case "approval_withdrawn":
				if (!s.approvals.some((a) => a.approvalId === event.approvalId)) return;
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
				this.#decide({ approvalId: a.approvalId, decision: "deny", message: "nobody answered in time" }, "gateway");
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

/** Whether a runner's event can change the state; all others go straight to the log. */
export const touchesState = (event: RunnerEvent): boolean =>
	event.type === "process_state" ||
	event.type === "turn_started" ||
	event.type === "turn_ended" ||
	event.type === "approval_requested" ||
	event.type === "question_asked" ||
	event.type === "approval_withdrawn";
