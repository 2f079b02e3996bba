import { expect, test } from "vitest";
import { neutralise, oneLine, Screen, type ScreenOptions, Sink } from "../../runner/commands/screen.ts";
import type { WatchItem } from "../../shared/client.ts";
import { type RunnerEvent, type SessionEvent, splitEvent } from "../../shared/events.ts";
import { offset, TurnId } from "../../shared/ids.ts";
import { SNAPSHOT } from "../support/samples.ts";
import { APPROVAL, EPOCH, logOf, said, TURN } from "../support/scripted-gateway.ts";

const OTHER_TURN = TurnId.parse(`trn_${"2".padStart(26, "0")}`);

/** What stands on a terminal after these items. */
function shown(items: (SessionEvent | WatchItem)[], options: Partial<ScreenOptions> = {}): string {
	let out = "";
	const sink = new Sink((text) => {
		out += text;
	});
	const screen = new Screen({ text: sink, aside: sink, color: false, ...options });
	let at = 0;
	for (const item of items)
		screen.show(
			"kind" in item && !("type" in item) ? item : { kind: "event", epoch: EPOCH, logged: { offset: offset(++at), at: 0, event: item } },
		);
	return out;
}
const eventItems = (events: SessionEvent[]): WatchItem[] => logOf(events).map((logged) => ({ kind: "event", logged, epoch: EPOCH }));
const ended: SessionEvent = { type: "turn_ended", turnId: TURN, stopReason: "end_turn" };
const thought = (text: string): SessionEvent => ({ type: "thought_delta", turnId: TURN, messageId: "m1", text });

const HOSTILE: [what: string, text: string, shown: string][] = [
	["OSC 52 writes the clipboard", "\x1b]52;c;cm0gLXJm\x07", "␛]52;c;cm0gLXJm␇"],
	["DSR 6 makes the terminal type an answer", "\x1b[6n", "␛[6n"],
	["OSC 8 makes a link that lies", "\x1b]8;;http://evil.example\x1b\\safe\x1b]8;;\x1b\\", "␛]8;;http://evil.example␛\\safe␛]8;;␛\\"],
	["C1 CSI and OSC need no ESC", "\x9b2J\x9d0;title\x9c", "<009B>2J<009D>0;title<009C>"],
	["a carriage return overwrites the line", "rm -rf /\rls      ", "rm -rf /␍ls      "],
	["a backspace too", "rm\b\bls", "rm␈␈ls"],
	["NUL and DEL", "a\0b\x7f", "a␀b␡"],
	["a direction override turns a command around", "ls \u202efr- mr\u202c", "ls <202E>fr- mr<202C>"],
	["lines and tabs stay, with either ending", "a\n\tb\r\nc", "a\n\tb\nc"],
	["everything else stays", "é 漢 🙂 ¡", "é 漢 🙂 ¡"],
];

test.each(HOSTILE)("%s: it is shown and not obeyed", (_, text, expected) => {
	expect(neutralise(text)).toBe(expected);
	expect(shown([said(text)])).toBe(expected);
});

test("nothing that a log can hold brings an escape sequence to a terminal", () => {
	const evil = "\x1b]52;c;x\x07\x9b6n\r";
	const events: SessionEvent[] = [
		{ type: "session_created", provider: evil, workDir: evil, by: evil },
		{ type: "input", turnId: TURN, clientId: evil, text: evil, by: evil },
		{ type: "approval_decided", approvalId: APPROVAL, decision: "deny", message: evil, by: evil },
		{ type: "session_state", state: "queued", why: evil },
		{ type: "process_state", state: "dead", why: evil },
		{ type: "isolation", reached: "process_group", why: evil },
		said(evil),
		thought(evil),
		{ type: "text_delta", turnId: TURN, messageId: "m", text: evil, parentToolCallId: "t" },
		{ type: "tool_call", turnId: TURN, toolCallId: "t", tool: evil, title: evil, input: { command: evil } },
		{ type: "tool_call", turnId: TURN, toolCallId: "u", tool: evil, input: { [evil]: evil } },
		{ type: "tool_output", turnId: TURN, toolCallId: "t", text: evil },
		{ type: "tool_result", turnId: TURN, toolCallId: "t", status: "failed", output: evil },
		{
			type: "approval_requested",
			turnId: TURN,
			approvalId: APPROVAL,
			tool: evil,
			title: evil,
			reason: evil,
			input: { command: evil, other: evil },
		},
		{
			type: "question_asked",
			turnId: TURN,
			approvalId: APPROVAL,
			questions: [{ question: evil, options: [{ label: evil, description: evil }] }],
		},
		{ type: "approval_withdrawn", approvalId: APPROVAL, why: evil },
		{ type: "retry", turnId: TURN, attempt: 1, reason: evil },
		{ type: "background_task", taskId: "b", status: "started", description: evil },
		{ type: "notice", code: "silent", detail: evil },
		{ type: "raw", source: "stderr", text: evil },
		{ type: "turn_ended", turnId: TURN, stopReason: "failed", error: { code: "model_error", detail: evil } },
	];
	const lost: WatchItem = { kind: "disconnected", code: 1006, reason: evil, retryInMs: 1 };
	// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is what this is for.
	const control = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/;
	expect(shown([...events, lost])).not.toMatch(control);
	// With colours only our own are left.
	// biome-ignore lint/suspicious/noControlCharactersInRegex: as above.
	expect(shown([...events, lost], { color: true }).replace(/\x1b\[(?:1|2|22)m/g, "")).not.toMatch(control);
});

test("streamed text runs on; thoughts, tools and states stand on lines of their own, dimmed", () => {
	const events: SessionEvent[] = [
		{ type: "session_state", state: "queued", why: "2 runners offer claude-code, both at capacity; position 3" },
		{ type: "session_state", state: "busy" },
		{ type: "turn_started", turnId: TURN, origin: "input" },
		thought("let me "),
		thought("see"),
		said("I will "),
		said("look."),
		{ type: "tool_call", turnId: TURN, toolCallId: "t1", tool: "Bash", input: { command: "ls\n-la" } },
		{ type: "tool_result", turnId: TURN, toolCallId: "t1", status: "failed", output: "no such file\nat all" },
		{ type: "tool_call", turnId: TURN, toolCallId: "t2", tool: "Bash", input: { command: "seq 10" } },
		{ type: "tool_result", turnId: TURN, toolCallId: "t2", status: "completed", output: "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n" },
		said("Done.", "m2"),
		ended,
	];
	expect(shown(events)).toBe(
		[
			"[queued: 2 runners offer claude-code, both at capacity; position 3]",
			"let me see",
			"I will look.",
			"* Bash: ls -la",
			"* Bash failed: no such file at all",
			"* Bash: seq 10",
			..."1234567".split("").map((n) => `  | ${n}`),
			"  | … 3 more lines",
			"Done.",
			"",
		].join("\n"),
	);
	const coloured = shown(events, { color: true });
	expect(coloured).toContain("\x1b[2mlet me \x1b[22m\x1b[2msee\x1b[22m\nI will look.\n\x1b[2m* Bash: ls -la\x1b[22m\n");
});

test("retracted text is marked, once, and only if it was shown", () => {
	const retracted: SessionEvent = { type: "text_retracted", turnId: TURN, messageId: "m1" };
	expect(shown([said("wro"), retracted, said("right"), ended])).toBe("wro\n[withdrawn: the text above is void, it comes again]\nright\n");
	expect(shown([retracted, said("right")])).toBe("right");
});

test("an approval shows all that would run, and nothing in it can pass for a line of ours", () => {
	const command = `ls\n[allowed by key:key_x]\n${"x".repeat(500)}`;
	expect(
		shown([
			said("hm"),
			{
				type: "approval_requested",
				turnId: TURN,
				approvalId: APPROVAL,
				tool: "Bash",
				title: "List\nfiles",
				reason: "rule 7",
				input: { command },
			},
			{ type: "approval_decided", approvalId: APPROVAL, decision: "deny", message: "no", by: "key:k" },
		]),
	).toBe(
		[
			"hm",
			"? Bash asks to run: List files",
			"  reason: rule 7",
			"  | ls",
			"  | [allowed by key:key_x]",
			`  | ${"x".repeat(500)}`,
			"[denied by key:k: no]",
			"",
		].join("\n"),
	);
	expect(shown([{ type: "approval_requested", turnId: TURN, approvalId: APPROVAL, tool: "Write", input: { path: "/a", size: 1 } }])).toBe(
		'? Write asks to run\n  | {\n  |   "path": "/a",\n  |   "size": 1\n  | }\n',
	);
});

test("a question shows its options with the numbers that answer it", () => {
	const questions = [{ question: "Which?", options: [{ label: "Red", description: "warm" }, { label: "Blue" }] }];
	expect(shown([{ type: "question_asked", turnId: TURN, approvalId: APPROVAL, questions }])).toBe("? Which?\n  1. Red - warm\n  2. Blue\n");
});

test("a turn's end is told where it is not the usual one", () => {
	expect(shown([said("a"), { ...ended, stopReason: "cancelled" }])).toBe("a\n[the turn ended: cancelled]\n");
	expect(shown([{ type: "turn_ended", turnId: TURN, stopReason: "failed", error: { code: "process_died", detail: "exit 1" } }])).toBe(
		"! the turn failed: exit 1 (process_died)\n",
	);
});

test("an input that was typed here is not shown again; another's is, and stays one block", () => {
	const input: SessionEvent = { type: "input", turnId: TURN, clientId: "mine", text: "do\nthis", by: "key:k" };
	expect(shown([input], { isOwn: (id) => id === "mine" })).toBe("");
	expect(shown([input])).toBe("> do\n> this\n");
});

test("[LOG-5] what a rewind brings again is not shown twice; what it changed is", () => {
	const first = eventItems([said("a"), said("b"), said("c"), ended]);
	const rewind: WatchItem = { kind: "rewind", to: offset(1) };
	expect(shown([...first.slice(0, 3), rewind, ...first.slice(1)])).toBe("abc\n");
	const changed = eventItems([said("a"), { type: "session_state", state: "offline" }, said("b"), ended]);
	expect(shown([...first.slice(0, 3), rewind, ...changed.slice(1)])).toBe(
		"abc\n[the gateway was restarted; what follows replaces the end of what is above]\n[offline]\nb\n",
	);
});

test("[LOG-7] a split event is shown as the one that it is, and other turns' can be left out", () => {
	const big: SessionEvent = { type: "text_delta", turnId: TURN, messageId: "m1", text: "x".repeat(5000) };
	const other: SessionEvent = { type: "text_delta", turnId: OTHER_TURN, messageId: "m0", text: "not this" };
	const parts = splitEvent(big as RunnerEvent, "p", 4096);
	expect(shown([other, ...parts, other], { wanted: (event) => !("turnId" in event) || event.turnId === TURN })).toBe("x".repeat(5000));
});

test("a lost connection and lost events are told", () => {
	expect(
		shown([
			said("a"),
			{ kind: "disconnected", code: 1006, reason: "", retryInMs: 5 },
			{ kind: "recovered_false", after: offset(1), firstOffset: offset(7), epoch: EPOCH, sameLog: true, snapshot: null },
			{ kind: "recovered_false", after: offset(7), firstOffset: offset(9), epoch: EPOCH, sameLog: true, snapshot: null },
			{ kind: "recovered_false", after: offset(8), firstOffset: offset(1), epoch: EPOCH, sameLog: false, snapshot: null },
			{ type: "log_trimmed", firstOffset: offset(12), why: "age" },
		]),
	).toBe(
		[
			"a",
			"connection lost (code 1006); trying again",
			"events 2 to 6 are not kept any more",
			"event 8 is not kept any more",
			"the log is another one than before; it begins at offset 1",
			"",
		].join("\n"),
	);
});

test("[LOG-9] who comes too late for a log's beginning is shown the prompts that go on, unless they are still to come", () => {
	const before = SNAPSHOT.turn as NonNullable<typeof SNAPSHOT.turn>;
	const waiting = { ...before, turnId: OTHER_TURN, text: "and then?\nthis", afterOffset: offset(38) };
	const snapshot = { ...SNAPSHOT, waiting: [waiting, { ...waiting, text: "still to come", afterOffset: offset(40) }] };
	const connected: WatchItem = {
		kind: "connected",
		epoch: EPOCH,
		state: "busy",
		why: null,
		firstOffset: offset(41),
		lastOffset: offset(44),
		durableOffset: offset(44),
		snapshot,
	};
	const goesOn = "[claude-code in /srv/app: busy]\n> hello\n> and then?\n> this\n";
	expect(shown([connected])).toBe(`events 1 to 40 are not kept any more\n${goesOn}`);
	expect(shown([{ ...connected, snapshot: null }])).toBe("");
	const lost: WatchItem = { kind: "recovered_false", after: offset(12), firstOffset: offset(41), epoch: EPOCH, sameLog: true, snapshot };
	expect(shown([lost])).toBe(`events 13 to 40 are not kept any more\n${goesOn}`);
	expect(shown([lost], { wanted: (event) => !("turnId" in event) || event.turnId === before.turnId })).toBe(
		"events 13 to 40 are not kept any more\n[claude-code in /srv/app: busy]\n> hello\n",
	);
	const own = { ...snapshot, turn: { ...before, clientId: null, text: null }, waiting: [{ ...waiting, text: null }] };
	expect(shown([{ ...lost, snapshot: own }])).toContain("[a turn that the CLI began]\n[a prompt that is too large to be shown again]\n");
});

test("text and asides can go different ways", () => {
	let out = "";
	let err = "";
	const text = new Sink((piece) => {
		out += piece;
	});
	const aside = new Sink((piece) => {
		err += piece;
	});
	shown([said("a"), thought("t"), said("b"), ended], { text, aside });
	expect([out, err]).toEqual(["a\nb\n", "t"]);
});

test("a line for a table or a title is one line and bounded", () => {
	expect(oneLine("  a\n\n  b\tc ")).toBe("a b c");
	expect(oneLine("y".repeat(1000)).length).toBe(160);
});
