import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { type Case, check, digestOf, type Finding, type Seen } from "../../chaos/checker.ts";
import type { LoggedEvent, SessionEvent } from "../../shared/events.ts";
import type { Ledger } from "../fixtures/fake-cli.ts";

const TURN = "trn_00000000000000000000000001";
const SCRIPT = "say 3 s1t1a_";
type Said = { [K in keyof Case]?: Case[K] };

const log = (...events: unknown[]): LoggedEvent[] =>
	events.map((event, i) => ({ offset: (i + 1) as LoggedEvent["offset"], at: 0, event: event as SessionEvent }));
const word = (n: number): object => ({ type: "text_delta", turnId: TURN, messageId: "m", text: ` s1t1a_${n}` });
const EVENTS = [
	{ type: "input", turnId: TURN, clientId: "inp_1", text: SCRIPT, by: "key:k" },
	{ type: "turn_started", turnId: TURN, origin: "input" },
	word(1),
	word(2),
	{ type: "tool_result", turnId: TURN, toolCallId: "t1", status: "completed", output: "out" },
	word(3),
	{ type: "turn_ended", turnId: TURN, stopReason: "end_turn" },
];
const entry = (entry: object, process = "p1"): Ledger => ({ process, at: 0, ...entry }) as Ledger;
const LEDGER = [
	entry({ what: "began", resumed: false }),
	entry({ what: "turn", script: SCRIPT }),
	entry({ what: "text", text: " s1t1a_1" }),
	entry({ what: "text", text: " s1t1a_2" }),
	entry({ what: "result", id: "t1", bytes: 3, sha256: createHash("sha256").update("out").digest("hex") }),
	entry({ what: "text", text: " s1t1a_3" }),
	entry({ what: "ended", how: "success" }),
];
const seenOf = (entries: LoggedEvent[]): Seen[] => entries.map(({ offset, event }) => ({ offset, digest: digestOf(event) }));
const PRINTED = "> say 3 s1t1a_\n s1t1a_1 s1t1a_2\n[connection lost]\n s1t1a_3\n";

function found(over: Said): string[] {
	const given: Case = {
		name: "s1",
		inputs: [{ text: SCRIPT, clientId: "inp_1", turnId: TURN }],
		ledger: LEDGER,
		log: log(...EVENTS),
		end: EVENTS.length,
		readers: [{ name: "WebSocket", seen: seenOf(log(...EVENTS)) }],
		printed: PRINTED,
		mostAtOnce: 1,
		processes: 1,
		mayLack: 0,
		...over,
	};
	return check(given).map((finding: Finding) => `${finding.kind} ${finding.count} ${finding.where.replace("s1 ", "")}`);
}

/** The log with some of its events, at new offsets, and a reader that saw just that. */
const logOf = (...events: unknown[]): Said => ({
	log: log(...events),
	end: events.length,
	readers: [],
	...(events.length === 0 ? {} : {}),
});
const without = (n: number): unknown[] => EVENTS.filter((_, i) => i !== n);
const readerOf = (...seen: Seen[]): Said => ({ readers: [{ name: "SSE", seen }] });
const all = seenOf(log(...EVENTS));
const at = (n: number): Seen => all[n - 1] as Seen;

describe("the checker", () => {
	test("finds nothing where nothing is wrong", () => {
		expect(found({})).toEqual([]);
	});

	const violations: [string, Said, string[]][] = [
		["a word that is not in the log", { ...logOf(...without(3)), printed: PRINTED.replace(" s1t1a_2", "") }, ["lost 1 log"]],
		["a word that is there twice", { ...logOf(...EVENTS.slice(0, 3), ...EVENTS.slice(2)), printed: undefined as never }, ["doubled 1 log"]],
		[
			"a word that was never printed",
			{ ...logOf(...EVENTS.slice(0, 6), word(9), EVENTS[6]), printed: undefined as never },
			["doubled 1 log"],
		],
		[
			"words in another order",
			{ ...logOf(...EVENTS.slice(0, 2), word(2), word(1), ...EVENTS.slice(4)), printed: undefined as never },
			["reordered 1 log"],
		],
		[
			"a tool's output that differs",
			{ ...logOf(...EVENTS.slice(0, 4), { ...(EVENTS[4] as object), output: "other" }, ...EVENTS.slice(5)) },
			["doubled 1 log", "lost 1 log"],
		],
		["text after the end of its turn", { ...logOf(...EVENTS.slice(0, 5), EVENTS[6], EVENTS[5]) }, ["reordered 1 log"]],
		["a turn without an end", { ...logOf(...EVENTS.slice(0, 6)) }, ["unfinished 1 log"]],
		["a turn that ends twice", { ...logOf(...EVENTS, EVENTS[6]) }, ["doubled 1 log"]],
		["a turn that starts twice", { ...logOf(...EVENTS.slice(0, 2), ...EVENTS.slice(1)) }, ["doubled 1 log", "doubled 1 log"]],
		[
			"a turn that failed though its CLI finished it",
			{ ...logOf(...EVENTS.slice(0, 6), { type: "turn_ended", turnId: TURN, stopReason: "failed" }) },
			["unfinished 1 log"],
		],
		["an input that is logged twice", { ...logOf(EVENTS[0], ...EVENTS) }, ["doubled 1 log"]],
		["an input that was accepted and is not logged", { ...logOf(...without(0)) }, ["lost 1 log", "doubled 1 log", "lost 1 log"]],
		["an input that nobody answered", { inputs: [{ text: SCRIPT, clientId: "inp_1", turnId: null }] }, ["unanswered 1 input"]],
		[
			"a gap in the offsets",
			{ log: log(...EVENTS).map((l) => (l.offset > 3 ? { ...l, offset: (l.offset + 2) as never } : l)), readers: [] },
			["lost 2 log"],
		],
		[
			"offsets that go back",
			{ log: log(...EVENTS).map((l) => (l.offset === 5 ? { ...l, offset: 2 as never } : l)), readers: [] },
			["reordered 1 log", "lost 1 log"],
		],
		[
			"a turn that its CLI was given twice",
			{ ledger: [...LEDGER, entry({ what: "turn", script: SCRIPT }), entry({ what: "ended", how: "success" })] },
			["doubled 1 cli", "lost 1 log"],
		],
		[
			"two processes that write by turns",
			{ ledger: [...LEDGER.slice(0, 3), entry({ what: "began", resumed: true }, "p2"), ...LEDGER.slice(3)], processes: 2 },
			["secondProcesses 1 cli"],
		],
		["two processes seen at once", { mostAtOnce: 3 }, ["secondProcesses 2 cli"]],
		[
			"one process after the other without a reason",
			{ ledger: [...LEDGER, entry({ what: "began", resumed: true }, "p2")] },
			["secondProcesses 1 cli"],
		],
		[
			"a process that began the conversation anew",
			{ ledger: [...LEDGER, entry({ what: "began", resumed: false }, "p2")], processes: 2 },
			["lost 1 cli"],
		],
		["a reader that saw an event twice", readerOf(...all.slice(0, 3), at(3), ...all.slice(3)), ["doubled 1 SSE"]],
		["a reader that saw one too few", readerOf(...all.slice(0, 3), ...all.slice(4)), ["lost 1 SSE"]],
		["a reader that stopped early", readerOf(...all.slice(0, 4)), ["lost 3 SSE"]],
		["a reader that saw another event", readerOf(...all.slice(0, 3), { offset: 4, digest: "another" }, ...all.slice(4)), ["lost 1 SSE"]],
		["a reader that was rewound and did not see it again", readerOf(...all, { rewindTo: 3 }), ["lost 4 SSE"]],
		["a reader that was told of another log", readerOf(...all.slice(0, 2), { restartAt: 1 }, ...all), ["lost 1 SSE"]],
		["a reader that could not go on", { readers: [{ name: "SSE", seen: all, failed: "refused" }] }, ["lost 1 SSE"]],
		["attach without a word", { printed: PRINTED.replace("s1t1a_2", "") }, ["lost 1 attach"]],
		["attach with a word twice", { printed: PRINTED.replace("s1t1a_2", "s1t1a_2 s1t1a_2") }, ["doubled 1 attach"]],
		["attach that stopped early", { printed: PRINTED.replace("s1t1a_3", "") }, ["lost 1 attach"]],
	];
	test.each(violations)("finds %s", (_, over, expected) => {
		expect(found(over)).toEqual(expected);
	});

	test("a reader that is rewound and sees the same again, or something else that the log holds, is right", () => {
		expect(found(readerOf(...all.slice(0, 5), { rewindTo: 3 }, ...all.slice(3)))).toEqual([]);
		expect(found(readerOf(...all.slice(0, 3), { offset: 4, digest: "void" }, { rewindTo: 3 }, ...all.slice(3)))).toEqual([]);
	});

	test("what a killed process printed last may be missing, and nothing before it", () => {
		const ledger = LEDGER.slice(0, 4);
		const cut = logOf(...EVENTS.slice(0, 3), { type: "turn_ended", turnId: TURN, stopReason: "failed" });
		const inputs = [{ text: SCRIPT, clientId: "inp_1", turnId: TURN, mayEnd: ["failed" as const] }];
		const printed = "s1t1a_1";
		expect(found({ ...cut, ledger, inputs, printed, mayLack: 1 })).toEqual([]);
		expect(found({ ...cut, ledger, inputs, printed, mayLack: 0 })).toEqual(["lost 1 log"]);
		expect(found({ ...cut, ledger: [...ledger, entry({ what: "unwritten", why: "ENOSPC" })], inputs, printed })).toEqual([]);
	});

	test("attach may go back where it says so, not further", () => {
		const notice = "[the gateway was restarted; what follows replaces the end of what is above]";
		expect(found({ printed: `s1t1a_1 s1t1a_2\n${notice}\ns1t1a_2 s1t1a_3` })).toEqual([]);
		expect(found({ printed: `s1t1a_1\n${notice}\ns1t1a_3` })).toEqual(["lost 1 attach"]);
	});
});
