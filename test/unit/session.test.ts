import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ErrorCode } from "../../shared/errors.ts";
import type { RunnerEvent, SessionEvent, StopReason } from "../../shared/events.ts";
import { ApprovalId, generation, idBody, RunnerId, TurnId } from "../../shared/ids.ts";
import { APPROVAL_TIMEOUT_MS, ASK_AGAIN_MS, MAX_WAITING_INPUTS, QUEUE_TIMEOUT_MS } from "../../shared/limits.ts";
import {
	type Effect,
	initial,
	nextAlarm,
	type SessionInput,
	type SessionState,
	step,
	describe as told,
	touchesState,
	whyWaits,
} from "../../worker/session.ts";
import { ALL_EVENTS, GATE_EVENTS, GATEWAY_EVENTS, RUNNER_EVENTS, runnerId } from "../support/samples.ts";

const T0 = 1_000_000;
const body = (n: number): string => idBody(new Uint8Array(26).fill(n % 32).with(0, Math.floor(n / 32) % 32));
const turn = (n: number): TurnId => TurnId.parse(`trn_${body(n)}`);
const apr = (n: number): ApprovalId => ApprovalId.parse(`apr_${body(n)}`);
const other = RunnerId.parse(`run_${body(9)}`);
const by = "access:ann@example.com";
const EMPTY = initial({ provider: "claude-code", workDir: null, model: null, permissionMode: "default" });

// What may happen.
const input = (n: number): SessionInput => ({ type: "input", turnId: turn(n), clientId: `c${n}`, text: `do ${n}`, by });
const interrupt: SessionInput = { type: "interrupt", by };
const terminate: SessionInput = { type: "terminate", by };
const clock: SessionInput = { type: "clock" };
const granted = (n: number, to = runnerId): SessionInput => ({
	type: "granted",
	runnerId: to,
	runnerName: "box",
	generation: generation(n),
	publicKey: "pk",
	windowMs: 600_000,
});
const AWAY =
	"its runner box is away; the session is held for it for 10 minutes and goes on when it is back; releasing it gives the runner up";
const givesUp = (again = false): SessionInput => ({
	type: "give_up",
	by,
	again: again ? { turnId: turn(8), clientId: "again:1", text: "do 1" } : null,
});
const queued = (why: string): SessionInput => ({ type: "queued", why });
const attached = (n: number): SessionInput => ({ type: "attached", generation: generation(n) });
const detached = (n: number): SessionInput => ({ type: "detached", generation: generation(n) });
const released = (n: number, why = "idle"): SessionInput => ({ type: "released", generation: generation(n), why });
const leaseEnded = (n: number, again: boolean, code: ErrorCode = "runner_lost"): SessionInput => ({
	type: "lease_ended",
	generation: generation(n),
	code,
	detail: "gone",
	again,
});
const reports = (event: RunnerEvent): SessionInput => ({ type: "runner_event", event });
const starts = (n: number, origin: "input" | "cli" = "input"): SessionInput => reports({ type: "turn_started", turnId: turn(n), origin });
const ends = (n: number, stopReason: StopReason = "end_turn"): SessionInput => reports({ type: "turn_ended", turnId: turn(n), stopReason });
const is = (state: "starting" | "ready" | "busy" | "dead"): SessionInput => reports({ type: "process_state", state });
const asked = (n: number, ofTurn = 1) =>
	({ type: "approval_requested", turnId: turn(ofTurn), approvalId: apr(n), tool: "Bash", input: { command: "ls" } }) as const;
const asks = (n: number, ofTurn = 1): SessionInput => reports(asked(n, ofTurn));
const decide = (n: number, decision: "allow" | "deny" = "allow"): SessionInput => ({
	type: "decide",
	decision: { approvalId: apr(n), decision },
	by,
});

// What may follow.
const log = (event: SessionEvent): Effect => ({ do: "append", event });
const asLogged = (given: SessionInput): Effect => {
	if (given.type === "runner_event") return log(given.event as SessionEvent);
	if (given.type !== "input") throw new Error("only inputs and reports are logged as they come");
	const { type, turnId, clientId, text } = given;
	return log({ type, turnId, clientId, text, by });
};
const state = (name: ReturnType<typeof told>["name"], why?: string): Effect =>
	log({ type: "session_state", state: name, ...(why === undefined ? {} : { why }) });
const ended = (n: number, stopReason: StopReason, code?: ErrorCode, detail = ""): Effect =>
	log({ type: "turn_ended", turnId: turn(n), stopReason, ...(code === undefined ? {} : { error: { code, detail } }) });
const withdrawn = (n: number): Effect => log({ type: "approval_withdrawn", approvalId: apr(n), why: "its turn ended" });
const leaseOver = (n: number, why: string): Effect => log({ type: "lease_ended", runnerId, generation: generation(n), why });
const leaseGranted = (n: number, to = runnerId): Effect => log({ type: "lease_granted", runnerId: to, generation: generation(n) });
const interruptLogged = (n: number): Effect => log({ type: "interrupt_requested", turnId: turn(n), by });
const decided = (n: number, decision: "allow" | "deny", who = by, message?: string): Effect =>
	log({ type: "approval_decided", approvalId: apr(n), decision, ...(message === undefined ? {} : { message }), by: who });
const ASK: Effect = { do: "ask_for_runner" };
const STOP_ASKING: Effect = { do: "stop_asking" };
const TELL: Effect = { do: "tell_runner" };
const release = (n: number): Effect => ({ do: "release_lease", generation: generation(n) });

/** The state after these inputs, all at T0. */
const having = (...inputs: SessionInput[]): SessionState => inputs.reduce((s, given) => step(s, given, T0).state, EMPTY);
/** A session whose turn 1 runs. */
const RUNNING = [input(1), granted(1), attached(1), is("busy"), starts(1)];

/** What is written down for the team is told in gates.test.ts. */
const withoutAudit = (effects: Effect[]): Effect[] => effects.filter((effect) => effect.do !== "audit");

type Example = [title: string, before: SessionInput[], given: SessionInput, effects: Effect[]];
const EXAMPLES: Example[] = [
	["[TRN-1] an input is logged, becomes the turn, and asks for a runner", [], input(1), [asLogged(input(1)), ASK]],
	["[TRN-2] a second input waits and asks for nothing", RUNNING, input(2), [asLogged(input(2))]],
	[
		"[TRN-2] the end of a turn begins the next one in order, with the lease that is there",
		[...RUNNING, input(2), input(3)],
		ends(1),
		[asLogged(ends(1)), TELL],
	],
	["[TRN-2] an input into an idle process asks for no runner", [...RUNNING, ends(1), is("ready")], input(2), [asLogged(input(2)), TELL]],
	["[TRN-3] an end of a turn that is not the current one says nothing", RUNNING, ends(2), []],
	["[TRN-3] an end that comes again says nothing", [...RUNNING, ends(1)], ends(1), []],
	["[TRN-3] a start that comes after the end says nothing", [input(1), granted(1), attached(1), terminate], starts(1), []],
	["[TRN-4] an interrupt goes to the runner that may know the turn, which ends it", RUNNING, interrupt, [interruptLogged(1), TELL]],
	["[TRN-4] a second interrupt of a turn says nothing", [...RUNNING, interrupt], interrupt, []],
	["[TRN-4] an interrupt without a turn says nothing", [], interrupt, []],
	[
		"[TRN-4] an interrupt before any runner ends the turn itself, and nobody is asked for any more",
		[input(1)],
		interrupt,
		[interruptLogged(1), ended(1, "cancelled"), STOP_ASKING],
	],
	["[TRN-4] an interrupt keeps what waits", [input(1), input(2)], interrupt, [interruptLogged(1), ended(1, "cancelled")]],
	[
		"[TRN-4] an interrupt before the granted runner came ends the turn itself",
		[input(1), granted(1)],
		interrupt,
		[interruptLogged(1), ended(1, "cancelled")],
	],
	[
		"[TRN-4] an interrupt while the runner is away is told when it is back",
		[...RUNNING, detached(1)],
		interrupt,
		[interruptLogged(1), TELL],
	],
	[
		"[TRN-4] a turn that was interrupted, not begun and given back is cancelled, and waits for no other runner",
		[input(1), granted(1), attached(1), interrupt],
		released(1),
		[release(1), leaseOver(1, "idle"), ended(1, "cancelled"), state("idle")],
	],
	[
		"[TRN-4] terminating ends what waits, what runs, and what is asked",
		[...RUNNING, asks(1), input(2), input(3)],
		terminate,
		[ended(2, "cancelled"), ended(3, "cancelled"), withdrawn(1), ended(1, "cancelled"), TELL, state("closed")],
	],
	[
		"[TRN-4] terminating while a runner is asked for takes the question back",
		[input(1), input(2)],
		terminate,
		[ended(2, "cancelled"), ended(1, "cancelled"), STOP_ASKING, state("closed")],
	],
	["[TRN-4] terminating twice says nothing", [terminate], terminate, []],
	[
		"[TRN-4] the lease of a terminated session ends without a word about state",
		[...RUNNING, terminate],
		released(1),
		[release(1), leaseOver(1, "idle")],
	],
	[
		"[TRN-5] a turn of the CLI's own overtakes the input that the runner had not begun",
		[input(1), granted(1), attached(1), is("ready"), input(2)],
		starts(7, "cli"),
		[asLogged(starts(7, "cli"))],
	],
	[
		"[TRN-5] the overtaken input is next, before later ones",
		[input(1), granted(1), attached(1), is("ready"), input(2), starts(7, "cli"), ends(7)],
		starts(1),
		[asLogged(starts(1))],
	],
	[
		"[TRN-5] an overtaken input that was interrupted is cancelled, and the interrupt is not forgotten",
		[input(1), granted(1), attached(1), is("ready"), interrupt],
		starts(7, "cli"),
		[ended(1, "cancelled"), asLogged(starts(7, "cli"))],
	],
	[
		"[TRN-5] a runner that begins another turn in mid-turn fails the first: nothing would ever end it",
		RUNNING,
		starts(7, "cli"),
		[ended(1, "failed", "internal", "its runner began another turn without ending it"), asLogged(starts(7, "cli"))],
	],
	["[TRN-5] a turn of the CLI's own cannot take the name of one that waits", [...RUNNING, input(2)], starts(2, "cli"), []],
	["[TRN-5] a turn that the CLI begins while it is being ended does not count", [...RUNNING, terminate], starts(7, "cli"), []],
	["[TRN-6] why a turn waits is logged", [input(1)], queued("no runner offers x"), [state("queued", "no runner offers x")]],
	["[TRN-6] the same reason again is not", [input(1), queued("all full")], queued("all full"), []],
	["[TRN-6] another reason is", [input(1), queued("all full")], queued("none online"), [state("queued", "none online")]],
	["[TRN-6] a reason that comes when nothing waits says nothing", [...RUNNING], queued("all full"), []],
	[
		"[TRN-7] a turn whose process died ends, and the next one goes to the same runner",
		[...RUNNING, input(2)],
		ends(1, "failed"),
		[asLogged(ends(1, "failed")), TELL],
	],
	[
		"[APR-1] a question of the current turn is logged, with whose turn it is, the policy, and until when it waits",
		RUNNING,
		asks(1),
		[log({ ...asked(1), rule: null, policyVersion: 0, requestedBy: by, expiresAt: T0 + APPROVAL_TIMEOUT_MS })],
	],
	["[APR-1] the same question again says nothing", [...RUNNING, asks(1)], asks(1), []],
	["[APR-1] a question of a turn that is over says nothing", [...RUNNING, ends(1)], asks(1), []],
	["[APR-2] a decision is logged with who made it, and told", [...RUNNING, asks(1)], decide(1), [decided(1, "allow"), TELL]],
	[
		"[APR-2] what the CLI withdrew is logged once",
		[...RUNNING, asks(1)],
		reports({ type: "approval_withdrawn", approvalId: apr(1) }),
		[log({ type: "approval_withdrawn", approvalId: apr(1) })],
	],
	[
		"[APR-2] and not again",
		[...RUNNING, asks(1), reports({ type: "approval_withdrawn", approvalId: apr(1) })],
		reports({ type: "approval_withdrawn", approvalId: apr(1) }),
		[],
	],
	[
		"[APR-2] what still waits when the runner ends its turn is withdrawn, and what was decided is not",
		[...RUNNING, asks(1), asks(2), decide(1)],
		ends(1),
		[withdrawn(2), asLogged(ends(1))],
	],
	["[LSE-1] a grant is logged", [input(1)], granted(1), [leaseGranted(1), state("starting")]],
	[
		"[LSE-1] a grant after its reason to wait ends the waiting",
		[input(1), queued("all full")],
		granted(1),
		[leaseGranted(1), state("starting")],
	],
	["[LSE-1] a grant that nobody needs any more is given back", [input(1), interrupt], granted(1), [release(1)]],
	["[LSE-1] a grant for a closed session is given back", [input(1), terminate], granted(1), [release(1)]],
	["[LSE-1] the same grant again changes nothing", RUNNING, granted(1), []],
	["[LSE-1] an older grant changes nothing", [input(1), granted(2), attached(2)], granted(1), []],
	[
		"[LSE-1] a newer grant replaces a lease that never came, with its turn",
		[input(1), granted(1)],
		granted(2, other),
		[leaseOver(1, "a newer lease took its place"), leaseGranted(2, other)],
	],
	[
		"[LSE-1] a newer grant ends the turn that the older runner may have begun: it must not run twice",
		[...RUNNING, input(2)],
		granted(2, other),
		[
			leaseOver(1, "a newer lease took its place"),
			leaseGranted(2, other),
			ended(1, "failed", "runner_lost", "a newer lease took its runner's place"),
			TELL,
			state("starting"),
		],
	],
	...[leaseEnded(1, true), released(1), attached(1), detached(1)].map(
		(old): Example => [`[LSE-1] ${old.type} of an older generation changes nothing`, [input(1), granted(2), attached(2)], old, []],
	),
	[
		"[LSE-4] a refused offer for the runner's reasons lets the turn wait on",
		[input(1), granted(1)],
		leaseEnded(1, true, "at_capacity"),
		[leaseOver(1, "gone"), ASK, state("idle")],
	],
	[
		"[LSE-4] a refused offer for the session's reasons fails the turn with them",
		[input(1), granted(1)],
		leaseEnded(1, false, "work_dir_refused"),
		[leaseOver(1, "gone"), ended(1, "failed", "work_dir_refused", "gone"), state("idle")],
	],
	[
		"[LSE-5] a lost lease fails the turn that reached its runner, also if another could have it",
		[input(1), granted(1), attached(1)],
		leaseEnded(1, true),
		[leaseOver(1, "gone"), ended(1, "failed", "runner_lost", "gone"), state("idle")],
	],
	[
		"[LSE-5] and the next one asks anew",
		[...RUNNING, detached(1), input(2)],
		leaseEnded(1, false),
		[leaseOver(1, "gone"), ended(1, "failed", "runner_lost", "gone"), ASK, state("idle")],
	],
	[
		"[LSE-5] a lease that ends without a turn is only logged",
		[...RUNNING, ends(1)],
		leaseEnded(1, false),
		[leaseOver(1, "gone"), state("idle")],
	],
	["[LSE-5] a runner that is away is told to people", RUNNING, detached(1), [state("offline", AWAY)]],
	["[LSE-5] and when it is back", [...RUNNING, detached(1)], attached(1), [state("busy")]],
	["[LSE-8] a link that is back before that was told changes nothing, so that nothing is written", RUNNING, attached(1), []],
	[
		"[LSE-7] a person gives up a runner that is away: its turn ends as lost, and nothing is begun again by itself",
		[...RUNNING, detached(1)],
		givesUp(),
		[
			{ do: "release_lease", generation: generation(1), forgetHome: true },
			leaseOver(1, `released by ${by}`),
			ended(1, "failed", "runner_lost", `released by ${by}`),
			state("idle"),
		],
	],
	[
		"[LSE-7] unless that person says so: then its input is taken once more, as a new turn before all that wait",
		[...RUNNING, input(2), detached(1)],
		givesUp(true),
		[
			{ do: "release_lease", generation: generation(1), forgetHome: true },
			leaseOver(1, `released by ${by}`),
			log({ type: "input", turnId: turn(8), clientId: "again:1", text: "do 1", by }),
			ended(1, "failed", "runner_lost", `released by ${by}`),
			ASK,
			state("idle"),
		],
	],
	[
		"[LSE-7] a turn that never reached its runner asks for another, as itself",
		[input(1), granted(1)],
		givesUp(true),
		[{ do: "release_lease", generation: generation(1), forgetHome: true }, leaseOver(1, `released by ${by}`), ASK, state("idle")],
	],
	[
		"[LSE-7] a session that waits for its runner need not wait for that one",
		[input(1), queued("away")],
		givesUp(),
		[{ do: "forget_home" }],
	],
	[
		"[LSE-5] a release that crossed a new turn takes nothing from it: another lease has it",
		[...RUNNING, ends(1), is("ready"), input(2)],
		released(1),
		[release(1), leaseOver(1, "idle"), ASK, state("idle")],
	],
	[
		"[LSE-5] a release in mid-turn fails the turn",
		RUNNING,
		released(1, "drained"),
		[release(1), leaseOver(1, "drained"), ended(1, "failed", "runner_lost", "drained"), state("idle")],
	],
	[
		"[LSE-5] a release of a closed session ends the lease",
		[...RUNNING, terminate],
		released(1, "terminated"),
		[release(1), leaseOver(1, "terminated")],
	],
];

describe("what follows from what", () => {
	test.each(EXAMPLES)("%s", (_, before, given, effects) => {
		expect(withoutAudit(step(having(...before), given, T0).effects)).toEqual(effects);
	});

	test.each([
		[
			"[TRN-2] a 17th waiting input",
			[...RUNNING, ...Array.from({ length: MAX_WAITING_INPUTS }, (_, n) => input(n + 2))],
			input(40),
			"too_many_inputs",
		],
		["[TRN-4] an input into a closed session", [terminate], input(1), "session_closed"],
		["[APR-2] a second decision", [...RUNNING, asks(1), decide(1)], decide(1, "deny"), "conflict"],
		["[APR-2] a decision that nobody asked for", RUNNING, decide(1), "not_found"],
		["[APR-2] a decision after the turn", [...RUNNING, asks(1), ends(1)], decide(1), "not_found"],
	] as const)("%s is refused and changes nothing", (_, inputs, given, code) => {
		const before = having(...inputs);
		const { refused, ...rest } = step(before, given, T0);
		expect(refused?.code).toBe(code);
		expect({ ...rest, effects: withoutAudit(rest.effects) }).toEqual({ state: before, effects: [] });
		expect(rest.state).toBe(before);
	});

	test("[TRN-2] sixteen inputs wait behind the running one", () => {
		const full = having(...RUNNING, ...Array.from({ length: MAX_WAITING_INPUTS }, (_, n) => input(n + 2)));
		expect(full.waiting).toEqual(Array.from({ length: MAX_WAITING_INPUTS }, (_, n) => turn(n + 2)));
	});

	test("[TRN-7] the conversation outlives its process and its lease", () => {
		const named = reports({ type: "process_state", state: "ready", nativeSessionId: "n1" });
		expect(having(...RUNNING, named, is("busy"), ends(1), released(1))).toEqual({ ...EMPTY, nativeSessionId: "n1" });
		const lost = reports({ type: "process_state", state: "ready", nativeSessionId: null });
		expect(having(...RUNNING, named, lost).nativeSessionId).toBeNull();
	});

	test.each([
		["idle", null, []],
		["idle", null, [input(1)]],
		["queued", "all full", [input(1), queued("all full")]],
		["starting", null, [input(1), granted(1)]],
		["starting", null, [input(1), granted(1), attached(1)]],
		["starting", null, [input(1), granted(1), attached(1), is("starting")]],
		["ready", null, [input(1), granted(1), attached(1), is("ready")]],
		["busy", null, RUNNING],
		["dead", null, [...RUNNING, is("dead")]],
		["offline", AWAY, [...RUNNING, detached(1)]],
		["closed", null, [...RUNNING, detached(1), terminate]],
	] as const)("[TRN-6] a session is described as %s (%s)", (name, why, inputs) => {
		expect(told(having(...inputs))).toEqual({ name, why });
	});

	test("[LSE-1] a session's state is touched by exactly the reports that the machine knows", () => {
		const touching = [...Object.values(RUNNER_EVENTS), ...Object.values(GATE_EVENTS)].filter(touchesState);
		expect(touching.map((e) => e.type).sort()).toEqual(
			[
				"approval_requested",
				"approval_withdrawn",
				"gate_denied",
				"gate_requested",
				"isolation",
				"process_state",
				"question_asked",
				"tool_result",
				"turn_ended",
				"turn_started",
			].sort(),
		);
		for (const event of Object.values(RUNNER_EVENTS))
			if (!touchesState(event)) expect(step(having(...RUNNING), reports(event), T0).state).toEqual(having(...RUNNING));
		expect(ALL_EVENTS.length).toBe(Object.keys(GATEWAY_EVENTS).length + Object.keys(RUNNER_EVENTS).length);
	});
});

describe("why a turn has not begun", () => {
	const OFFLINE = AWAY;
	test.each<[string, SessionInput[], number, string | null]>([
		["it runs", RUNNING, 1, null],
		["it has ended", [...RUNNING, ends(1)], 1, null],
		["it was never taken", RUNNING, 9, null],
		["nobody has said yet what it waits for", [input(1)], 1, null],
		["no runner is free", [input(1), queued("all full; position 2")], 1, "all full; position 2"],
		["its runner has it and is not at it yet", [input(1), granted(1), attached(1)], 1, null],
		["its runner is away", [input(1), granted(1), attached(1), detached(1)], 1, OFFLINE],
		["its runner is away in mid-turn", [...RUNNING, detached(1)], 1, null],
		["another runs", [...RUNNING, input(2)], 2, "1 turn of this session runs before it"],
		["another runs and two wait", [...RUNNING, input(2), input(3), input(4)], 4, "3 turns of this session run before it"],
		["the CLI is at something of its own", [...RUNNING, ends(1), starts(5, "cli"), input(2)], 2, "1 turn of this session runs before it"],
		["the one before it waits for a runner", [input(1), queued("all full"), input(2)], 2, "1 turn of this session runs before it"],
	])("[SCH-9] %s", (_, inputs, n, why) => {
		expect(whyWaits(having(...inputs), turn(n))).toBe(why);
	});
});

describe("time", () => {
	/** What the alarm does at each time it is due, up to `until`. */
	function sleep(from: SessionState, until: number): { at: number; effects: Effect[] }[] {
		const done: { at: number; effects: Effect[] }[] = [];
		for (let s = from, at = nextAlarm(s); at !== null && at <= until; at = nextAlarm(s)) {
			expect(done.length, "a hot loop").toBeLessThan(1000);
			const next = step(s, clock, at);
			done.push({ at: at - T0, effects: withoutAudit(next.effects) });
			s = next.state;
		}
		return done;
	}

	test("[TRN-6] a session that waits asks again every 15 s", () => {
		expect(sleep(having(input(1)), T0 + 3 * ASK_AGAIN_MS)).toEqual([1, 2, 3].map((n) => ({ at: n * ASK_AGAIN_MS, effects: [ASK] })));
	});

	test("[TRN-6] after 30 minutes the turn ends as no_runner with the last reason, and nobody is asked any more", () => {
		const slept = sleep(having(input(1), queued("all full")), T0 + 2 * QUEUE_TIMEOUT_MS);
		expect(slept.at(-1)).toEqual({
			at: QUEUE_TIMEOUT_MS,
			effects: [ended(1, "failed", "no_runner", "all full"), STOP_ASKING, state("idle")],
		});
		expect(slept.slice(0, -1).every((s) => s.effects.length === 1 && s.effects[0]?.do === "ask_for_runner")).toBe(true);
	});

	test("[TRN-6] without a reason the end says so in its own words", () => {
		expect(step(having(input(1)), clock, T0 + QUEUE_TIMEOUT_MS).effects).toEqual([
			ended(1, "failed", "no_runner", "no runner took the session in time"),
			STOP_ASKING,
		]);
	});

	test("[TRN-6] the next input has its own 30 minutes", () => {
		const ends = sleep(having(input(1), input(2)), T0 + 3 * QUEUE_TIMEOUT_MS).filter((s) => s.effects.some((e) => e.do === "append"));
		expect(ends.map((s) => s.at)).toEqual([QUEUE_TIMEOUT_MS, 2 * QUEUE_TIMEOUT_MS]);
	});

	test("[TRN-6] a turn whose granted runner never comes ends too, and the lease is given back", () => {
		expect(sleep(having(input(1), granted(1)), T0 + 2 * QUEUE_TIMEOUT_MS)).toEqual([
			{
				at: QUEUE_TIMEOUT_MS,
				effects: [
					release(1),
					leaseOver(1, "its runner never came"),
					ended(1, "failed", "no_runner", "no runner took the session in time"),
					state("idle"),
				],
			},
		]);
	});

	test("[TRN-6] a turn that reached its runner may run for as long as it likes", () => {
		expect(nextAlarm(having(...RUNNING))).toBeNull();
		expect(step(having(...RUNNING), clock, T0 + 100 * QUEUE_TIMEOUT_MS).effects).toEqual([]);
	});

	test("[APR-3] an approval that nobody answers is denied by the gateway after 15 minutes, once", () => {
		const waiting = having(...RUNNING, asks(1));
		expect(nextAlarm(waiting)).toBe(T0 + APPROVAL_TIMEOUT_MS);
		expect(step(waiting, clock, T0 + APPROVAL_TIMEOUT_MS - 1).effects).toEqual([]);
		expect(sleep(waiting, T0 + 10 * APPROVAL_TIMEOUT_MS)).toEqual([
			{ at: APPROVAL_TIMEOUT_MS, effects: [decided(1, "deny", "gateway", "nobody answered in time"), TELL] },
		]);
	});

	test("[APR-3] several are denied at once", () => {
		expect(withoutAudit(step(having(...RUNNING, asks(1), asks(2), decide(1)), clock, T0 + APPROVAL_TIMEOUT_MS).effects)).toEqual([
			decided(2, "deny", "gateway", "nobody answered in time"),
			TELL,
		]);
	});
});

/** One random thing that happens; numbers choose among what is there when it does. */
const happening = fc.record({
	what: fc.constantFrom(
		...["input", "input", "input", "interrupt", "decide", "decide", "granted", "granted", "granted", "queued", "lease_ended", "attached"],
		...["attached", "attached", "detached", "released", "process_state", "turn_started", "turn_started", "cli", "turn_ended", "turn_ended"],
		...["asks", "asks", "asks again", "withdrawn", "clock", "clock", "clock", "terminate"],
	),
	pick: fc.nat({ max: 5 }),
	/** An old generation, a turn that is over, an unknown approval. */
	wrong: fc.integer({ min: 0, max: 5 }).map((n) => n === 0),
	again: fc.boolean(),
	later: fc.constantFrom(0, 0, 1, 1000, ASK_AGAIN_MS, APPROVAL_TIMEOUT_MS, QUEUE_TIMEOUT_MS + 1),
});
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

/** Plays what happens and holds what is told against what was promised. */
class Model {
	state = EMPTY;
	now = T0;
	made = 0;
	generation = 0;
	/** Inputs in the order they were taken. */
	readonly accepted: TurnId[] = [];
	readonly known = new Set<TurnId>();
	readonly over = new Set<TurnId>();
	readonly asked = new Set<ApprovalId>();
	readonly decided = new Set<ApprovalId>();
	/** What people were told last. */
	shown: ReturnType<typeof told> = { name: "idle", why: null };

	/** The input that this happening stands for now, or null if it cannot happen. */
	toInput(h: Happening): SessionInput | null {
		const { lease } = this.state;
		const held = lease.phase === "held" ? lease.generation : 0;
		const gen = h.wrong ? Math.max(1, held - 1 - h.pick) : Math.max(1, held);
		const own = this.state.turn?.turnId;
		const past = [...this.over][h.pick] ?? turn(1000 + this.made);
		const ofTurn = h.wrong || own === undefined ? past : own;
		const approval = h.wrong ? apr(999) : ([...this.asked].at(-1 - h.pick) ?? apr(999));
		switch (h.what) {
			case "input":
				return input(++this.made);
			case "interrupt":
				return interrupt;
			case "terminate":
				return h.pick === 0 ? terminate : null;
			case "clock":
				return clock;
			case "decide":
				return { type: "decide", decision: { approvalId: approval, decision: h.again ? "allow" : "deny" }, by };
			case "granted":
				return h.wrong && held > 0 ? granted(Math.max(1, held - h.pick)) : granted(++this.generation);
			case "queued":
				return queued(h.again ? "all full" : "none online");
			case "lease_ended":
				return leaseEnded(gen, h.again);
			case "attached":
				return attached(gen);
			case "detached":
				return detached(gen);
			case "released":
				return released(gen);
		}
		// Only a runner that is attached under the current lease gets as far as this machine.
		if (lease.phase !== "held" || lease.link !== "up") return null;
		switch (h.what) {
			case "process_state":
				return is((["starting", "ready", "busy", "dead"] as const)[h.pick % 4] ?? "ready");
			case "turn_started":
				return reports({ type: "turn_started", turnId: ofTurn, origin: "input" });
			case "cli":
				return h.wrong && this.state.waiting[0]
					? reports({ type: "turn_started", turnId: this.state.waiting[0], origin: "cli" })
					: starts(++this.made, "cli");
			case "turn_ended":
				return reports({ type: "turn_ended", turnId: ofTurn, stopReason: "end_turn" });
			case "asks":
				return reports({ type: "question_asked", turnId: ofTurn, approvalId: apr(++this.made), questions: [] });
			case "asks again": {
				const same = this.state.approvals[0]?.approvalId;
				return same === undefined ? null : reports({ type: "question_asked", turnId: ofTurn, approvalId: same, questions: [] });
			}
			default:
				return reports({ type: "approval_withdrawn", approvalId: approval });
		}
	}

	play(given: SessionInput, wrong: boolean): void {
		const before = this.state;
		const frozen = structuredClone(before);
		const next = step(before, given, this.now);
		expect(before, "the state that was given is not changed").toEqual(frozen);
		if (next.refused) expect(next).toEqual({ state: before, effects: [], refused: next.refused });
		const oldLease = "generation" in given && wrong && (before.lease.phase !== "held" || before.lease.generation !== given.generation);
		if (oldLease && given.type !== "granted") expect(next, "an old generation changes nothing").toEqual({ state: before, effects: [] });
		if (given.type === "granted" && before.lease.phase === "held" && given.generation <= before.lease.generation)
			expect(next, "an old grant changes nothing").toEqual({ state: before, effects: [] });
		for (const effect of next.effects) if (effect.do === "append") this.#logged(effect.event);
		this.state = next.state;

		const { turn: current, waiting, approvals, lease, closed } = this.state;
		const open = [...(current ? [current.turnId] : []), ...waiting];
		expect(new Set(open).size, "no turn twice").toBe(open.length);
		expect(new Set(open), "what was taken and has not ended is here, and nothing else").toEqual(
			new Set([...this.known].filter((t) => !this.over.has(t))),
		);
		const places = open.map((t) => this.accepted.indexOf(t)).filter((place) => place >= 0);
		expect(places, "in order").toEqual([...places].sort((a, b) => a - b));
		expect(
			new Set(approvals.filter((a) => a.decision === null).map((a) => a.approvalId)),
			"what is asked and not answered is here, and nothing else",
		).toEqual(this.asked);
		expect(new Set(approvals.map((a) => a.approvalId)).size, "no approval twice").toBe(approvals.length);
		if (before.closed) expect(closed).toBe(true);
		if (current === null) expect({ waiting, approvals }).toEqual({ waiting: [], approvals: [] });
		if (lease.phase === "none") expect(current, "a turn has a runner or asks for one").toBeNull();
		if (lease.phase === "asking") expect(current, "who asks has a turn").not.toBeNull();
		expect(told(this.state), "people were told").toEqual(this.shown);
		if (given.type === "clock") {
			expect(nextAlarm(this.state) ?? Number.POSITIVE_INFINITY, "no hot loop").toBeGreaterThan(this.now);
			expect(step(this.state, clock, this.now).effects).toEqual([]);
		}
	}

	#logged(event: SessionEvent): void {
		switch (event.type) {
			case "input":
				this.accepted.push(event.turnId);
				this.known.add(event.turnId);
				break;
			case "turn_started":
				expect(this.over.has(event.turnId), "nothing starts after its end").toBe(false);
				this.known.add(event.turnId);
				break;
			case "turn_ended":
				expect(this.known.has(event.turnId), "only what began ends").toBe(true);
				expect(this.over.has(event.turnId), "it ends once").toBe(false);
				this.over.add(event.turnId);
				break;
			case "approval_requested":
			case "question_asked":
				this.asked.add(event.approvalId);
				break;
			case "approval_decided":
				expect(this.asked.delete(event.approvalId), "only what is asked is decided").toBe(true);
				expect(this.decided.has(event.approvalId), "it is decided once").toBe(false);
				this.decided.add(event.approvalId);
				break;
			case "approval_withdrawn":
				this.asked.delete(event.approvalId);
				break;
			case "session_state":
				this.shown = { name: event.state, why: event.why ?? null };
				break;
			case "process_state":
				if (!this.state.closed) this.shown = { name: event.state, why: null };
				break;
			default:
				break;
		}
	}
}

describe("whatever comes", () => {
	test("[TRN-3] a turn ends exactly once, whatever comes in whatever order", () => {
		fc.assert(
			fc.property(fc.array(happening, { maxLength: 60, size: "max" }), (happenings) => {
				const model = new Model();
				for (const h of happenings) {
					model.now += h.later;
					const given = model.toInput(h);
					if (given !== null) model.play(given, h.wrong);
				}
				model.play(terminate, false);
				expect(model.over, "after the end of the session every turn has ended").toEqual(model.known);
			}),
			{ numRuns: 200 },
		);
	});

	test("[TRN-6] the alarm alone brings every session without a runner to rest", () => {
		fc.assert(
			fc.property(fc.array(happening, { maxLength: 30, size: "max" }), (happenings) => {
				const model = new Model();
				for (const h of happenings) {
					model.now += h.later;
					const given = model.toInput(h);
					if (given !== null) model.play(given, h.wrong);
				}
				const { lease } = model.state;
				if (lease.phase === "held" && lease.link !== "never") return;
				for (let rings = 0, due = nextAlarm(model.state); due !== null; rings++, due = nextAlarm(model.state)) {
					expect(rings).toBeLessThan(3000);
					model.now = Math.max(due, model.now);
					model.play(clock, false);
				}
				expect(model.over).toEqual(model.known);
			}),
			{ numRuns: 15 },
		);
	});
});
