import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Entry, Hosting, type Note, type Output, type StopWhy } from "../../runner/hosting.ts";
import { LineSplitter } from "../../runner/lines.ts";
import { acp } from "../../runner/providers/acp.ts";
import { claudeCode } from "../../runner/providers/claude-code.ts";
import { type Dialogue, type DialogueEvent, type Launch, type Provider, record } from "../../runner/providers/provider.ts";
import { PartJoiner, RunnerEvent, type SessionEvent } from "../../shared/events.ts";
import type { Decision } from "../../shared/frames.ts";
import { type ApprovalId, idBody, type TurnId } from "../../shared/ids.ts";
import { MAX_EVENT_BYTES, MAX_LINE_BYTES } from "../../shared/limits.ts";
import { turnId } from "../support/samples.ts";

const deriveId = <P extends string>(prefix: P, ordinal: string) =>
	`${prefix}_${idBody(createHash("sha256").update(`${prefix} ${ordinal}`).digest())}`;
const id = { trn: (n: number) => deriveId("trn", `${n}`) as TurnId, apr: (n: number) => deriveId("apr", `${n}`) as ApprovalId };

/** A CLI whose lines are the dialogue's events themselves, and which is told in words. */
const scripted = (): Dialogue => ({
	take(input) {
		if (input.type === "line") return { events: JSON.parse(input.text) as DialogueEvent[], writes: [] };
		const { type, ...rest } = input;
		return { events: [], writes: [`${type} ${JSON.stringify(rest)}`] };
	},
});
const host = (): Hosting => new Hosting("claude-code", scripted(), deriveId);
const says = (...events: DialogueEvent[]): Entry => ({ type: "line", text: JSON.stringify(events) });

const STARTED: Note = { type: "started", pid: 7, isolation: "process_group", why: "no namespaces" };
const TURN: Note = { type: "turn", turnId, text: "go" };
const INTERRUPT: Note = { type: "interrupt" };
const READY = says({ type: "ready", version: "2.1" });
const BEGINS = says({ type: "turn_started" });
const TEXT = says({ type: "text_delta", messageId: "m", text: "hi" });
const ASKS = says({ type: "approval_requested", requestId: "r1", tool: "Bash", input: { command: "ls" } });
/** The machine's own gate does not object. */
const JUDGED: Note = {
	type: "judged",
	requestId: "r1",
	place: { workDir: "/w", cwd: "/w", home: null },
	judgement: { verdict: "allow", rule: null, category: null, reason: "no rule objects" },
};
const { place, judgement: judged } = JUDGED;
const ENDS = says({ type: "turn_ended", stopReason: "end_turn" });
const exited = (more: Partial<Extract<Note, { type: "exited" }>> = {}): Note => ({
	type: "exited",
	exitCode: 1,
	signal: null,
	stderr: "",
	why: null,
	...more,
});
const process = (state: "starting" | "ready" | "busy" | "dead", more: object = {}) => ({ type: "process_state", state, ...more });
const started = (turn = turnId, origin = "input") => ({ type: "turn_started", turnId: turn, origin });
const ended = (stopReason: string, code?: string, detail?: string) => ({
	type: "turn_ended",
	turnId,
	stopReason,
	...(code === undefined ? {} : { error: { code, detail } }),
});
const DIED = (why: string) => process("dead", { exitCode: 1, signal: null, why });

/** All that comes of these entries. */
function fold(hosting: Hosting, entries: Entry[]): Output {
	const outputs = entries.map((entry) => hosting.take(entry));
	return { events: outputs.flatMap((o) => o.events), writes: outputs.flatMap((o) => o.writes) };
}
/** What only the last of them adds. */
const last = (...entries: Entry[]): Output => {
	const hosting = host();
	fold(hosting, entries.slice(0, -1));
	return fold(hosting, entries.slice(-1));
};

describe("one process", () => {
	test("[TRN-3] from its start to its end", () => {
		const hosting = host();
		expect(fold(hosting, [STARTED, TURN, READY, BEGINS, TEXT, ENDS, exited({ why: "idle", exitCode: 0 })])).toEqual({
			events: [
				process("starting", { pid: 7 }),
				{ type: "isolation", reached: "process_group", why: "no namespaces" },
				process("ready", { providerVersion: "2.1" }),
				started(),
				process("busy"),
				{ type: "text_delta", turnId, messageId: "m", text: "hi" },
				ended("end_turn"),
				process("ready"),
				process("dead", { exitCode: 0, signal: null, why: "idle" }),
			],
			writes: ["start {}", `turn ${JSON.stringify({ turnId, text: "go" })}`],
		});
		expect({ turn: hosting.turn, process: hosting.process, pending: hosting.pending.size }).toEqual({
			turn: null,
			process: "dead",
			pending: 0,
		});
	});

	test.each<[string, Entry[], unknown[]]>([
		[
			"[TRN-5] text that nobody asked for begins a turn",
			[STARTED, READY, TEXT],
			[started(id.trn(4), "cli"), process("busy"), { type: "text_delta", turnId: id.trn(4), messageId: "m", text: "hi" }],
		],
		["[TRN-3] an end without a turn is none", [STARTED, READY, ENDS], []],
		["[TRN-4] a turn that the CLI did not hear of ends all the same", [{ type: "turn_dropped", turnId }], [ended("cancelled")]],
		[
			"[TRN-4] a failure after an interrupt is a cancel",
			[
				STARTED,
				TURN,
				BEGINS,
				INTERRUPT,
				says({ type: "turn_ended", stopReason: "failed", error: { code: "model_error", detail: "aborted" } }),
			],
			[ended("cancelled"), process("ready")],
		],
		[
			"[TRN-4] a turn that ended before it heard of the interrupt ended as it says",
			[STARTED, TURN, BEGINS, INTERRUPT, ENDS],
			[ended("end_turn"), process("ready")],
		],
		[
			"[TRN-3] a turn's error comes with it",
			[STARTED, TURN, BEGINS, says({ type: "turn_ended", stopReason: "failed", error: { code: "model_error", detail: "529" } })],
			[ended("failed", "model_error", "529"), process("ready")],
		],
		[
			"[TRN-7] a CLI that dies in mid-turn",
			[STARTED, TURN, READY, BEGINS, exited({ exitCode: null, signal: "SIGKILL", stderr: " oom \n" })],
			[
				ended("failed", "process_died", "claude-code ended by SIGKILL in mid-turn; it said: oom"),
				process("dead", { exitCode: null, signal: "SIGKILL", why: "ended by itself; it said: oom" }),
			],
		],
		[
			"[TRN-7] a CLI whose end nobody saw",
			[STARTED, TURN, READY, exited({ exitCode: null })],
			[
				ended("failed", "process_died", "claude-code ended in mid-turn"),
				process("dead", { exitCode: null, signal: null, why: "ended by itself" }),
			],
		],
		[
			"[TRN-7] a CLI that dies before it is ready",
			[STARTED, TURN, exited({ stderr: "no such option" })],
			[
				ended("failed", "start_failed", "claude-code ended with exit code 1 before it was ready; it said: no such option"),
				DIED("ended by itself; it said: no such option"),
			],
		],
		["[TRN-7] a CLI that dies between turns fails none", [STARTED, TURN, READY, BEGINS, ENDS, exited()], [DIED("ended by itself")]],
		...(["interrupted", "terminated", "drained", "idle", "lease_lost"] as const).map((why): [string, Entry[], unknown[]] => [
			`[TRN-4] a process that was ended (${why}) cancels its turn`,
			[STARTED, TURN, READY, BEGINS, exited({ why })],
			[ended("cancelled"), DIED(why)],
		]),
		[
			"[TRN-4] a process that dies of an interrupt cancels its turn",
			[STARTED, TURN, READY, BEGINS, INTERRUPT, exited()],
			[ended("cancelled"), DIED("ended by itself")],
		],
		[
			"[TRN-7] a process that was ended for its silence",
			[STARTED, TURN, READY, BEGINS, exited({ why: "stalled" })],
			[ended("failed", "stalled", "claude-code fell silent and was ended"), DIED("stalled")],
		],
		[
			"[TRN-7] a CLI that says that it cannot be used",
			[STARTED, TURN, says({ type: "start_failed", detail: "not logged in" })],
			[ended("failed", "start_failed", "not logged in")],
		],
		[
			"[TRN-7] and is then ended",
			[STARTED, TURN, says({ type: "start_failed", detail: "not logged in" }), exited({ why: "unusable" })],
			[DIED("unusable")],
		],
		[
			"[TRN-7] a process that did not come to be",
			[TURN, { type: "not_started", code: "work_dir_refused", detail: "not /etc" }],
			[process("dead", { why: "not /etc" }), ended("failed", "work_dir_refused", "not /etc")],
		],
		[
			"[TRN-7] silence is told",
			[STARTED, TURN, { type: "silent", silentMs: 61_000 }],
			[{ type: "notice", code: "silent", detail: "no output for 61 s" }],
		],
		[
			"[LIM-5] an overlong line is told",
			[STARTED, { type: "line", text: null }],
			[{ type: "notice", code: "line_too_long", detail: `a line of over ${MAX_LINE_BYTES} bytes was not kept` }],
		],
		["[PRV-1] an empty line is nothing", [STARTED, { type: "line", text: "" }], []],
		[
			"[PRV-10] the CLI's name of the conversation is told once",
			[STARTED, says({ type: "native_session", nativeSessionId: "n1" }, { type: "native_session", nativeSessionId: "n1" })],
			[process("starting", { nativeSessionId: "n1" })],
		],
		[
			"[PRV-10] and that it knows it no more",
			[STARTED, says({ type: "native_session", nativeSessionId: null })],
			[process("starting", { nativeSessionId: null })],
		],
		[
			"[PRV-6] usage between turns is not counted",
			[STARTED, READY, says({ type: "usage", inputTokens: 1, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0, costUsd: null })],
			[],
		],
		[
			"[APR-1] an approval gets an id of ours",
			[STARTED, TURN, BEGINS, ASKS, JUDGED],
			[{ type: "approval_requested", turnId, approvalId: id.apr(5), tool: "Bash", input: { command: "ls" }, place, judged }],
		],
		[
			"[APR-2] the CLI withdraws by its own id",
			[STARTED, TURN, BEGINS, ASKS, JUDGED, says({ type: "approval_withdrawn", requestId: "r1" })],
			[{ type: "approval_withdrawn", approvalId: id.apr(5), why: "the CLI withdrew it" }],
		],
		[
			"[APR-2] what still waits at the turn's end is withdrawn before it",
			[STARTED, TURN, BEGINS, ASKS, JUDGED, ENDS],
			[{ type: "approval_withdrawn", approvalId: id.apr(5), why: "its turn ended" }, ended("end_turn"), process("ready")],
		],
		[
			"[APR-2] and at the process's",
			[STARTED, TURN, READY, BEGINS, ASKS, JUDGED, exited({ why: "drained" })],
			[{ type: "approval_withdrawn", approvalId: id.apr(6), why: "its turn ended" }, ended("cancelled"), DIED("drained")],
		],
	])("%s", (_, entries, events) => {
		expect(last(...entries).events).toEqual(events);
	});

	test("[APR-2] a decision is said to the CLI with its own id, once", () => {
		const hosting = host();
		fold(hosting, [STARTED, TURN, BEGINS, ASKS, JUDGED]);
		expect([hosting.isWaiting, [...hosting.pending]]).toEqual([true, [[id.apr(5), "r1"]]]);
		const decision: Decision = { approvalId: id.apr(5), decision: "deny", message: "no" };
		expect(hosting.take({ type: "decide", decision })).toEqual({
			events: [],
			writes: [`decide ${JSON.stringify({ requestId: "r1", decision: { decision: "deny", message: "no" } })}`],
		});
		expect(hosting.take({ type: "decide", decision })).toEqual({ events: [], writes: [] });
		expect(hosting.isWaiting).toBe(false);
	});

	test("[TRN-7] silence has a reason while a tool runs", () => {
		const hosting = host();
		fold(hosting, [STARTED, TURN, says({ type: "tool_call", toolCallId: "t", tool: "Bash", input: {} })]);
		expect(hosting.isWaiting).toBe(true);
		fold(hosting, [says({ type: "tool_result", toolCallId: "t", status: "completed", output: "" })]);
		expect(hosting.isWaiting).toBe(false);
	});

	test("[APR-3] an approval that is too large to be shown is denied, and said so", () => {
		const large = says({ type: "approval_requested", requestId: "r1", tool: "Write", input: { content: "x".repeat(MAX_EVENT_BYTES) } });
		const hosting = host();
		fold(hosting, [STARTED, TURN, BEGINS, large]);
		expect(hosting.take(JUDGED)).toEqual({
			events: [
				{
					type: "notice",
					code: "approval_too_large",
					detail: `a tool input of over ${MAX_EVENT_BYTES} bytes cannot be shown for approval and was denied`,
				},
			],
			writes: [
				`decide ${JSON.stringify({ requestId: "r1", decision: { decision: "deny", message: "the input is too large to be shown to a person; use smaller steps" } })}`,
			],
		});
		expect(hosting.pending.size).toBe(0);
	});

	test("[LOG-7] a huge tool result travels in parts", () => {
		const result = { type: "tool_result", toolCallId: "t", status: "completed", output: "ü\n".repeat(300_000) } as const;
		const { events } = last(STARTED, TURN, BEGINS, says(result));
		expect(events.length).toBeGreaterThan(3);
		for (const event of events) expect(Buffer.byteLength(JSON.stringify(event))).toBeLessThanOrEqual(MAX_EVENT_BYTES);
		const joiner = new PartJoiner();
		expect(events.map((event) => joiner.push(event as SessionEvent)).filter((event) => event !== null)).toEqual([{ ...result, turnId }]);
	});

	const HUGE = "x".repeat(2 * MAX_EVENT_BYTES);
	test.each<[string, Entry[]]>([
		[
			"a turn's error",
			[STARTED, TURN, BEGINS, says({ type: "turn_ended", stopReason: "failed", error: { code: "model_error", detail: HUGE } })],
		],
		["why a CLI is not usable", [STARTED, TURN, says({ type: "start_failed", detail: HUGE })]],
		["a version", [STARTED, TURN, says({ type: "ready", version: HUGE })]],
		["stderr", [STARTED, TURN, exited({ stderr: HUGE })]],
		["why it did not start", [TURN, { type: "not_started", code: "start_failed", detail: HUGE }]],
		[
			"why an approval is withdrawn",
			[STARTED, TURN, BEGINS, ASKS, JUDGED, says({ type: "approval_withdrawn", requestId: "r1", why: HUGE })],
		],
	])("[TRN-3] what the session must read is never in parts: %s", (_, entries) => {
		const { events } = last(...entries);
		expect(events.length).toBeGreaterThan(0);
		expect(events.filter((event) => event.type === "part")).toEqual([]);
	});
});

describe("any process", () => {
	const dialogueEvent: fc.Arbitrary<DialogueEvent> = fc.oneof(
		fc.constantFrom<DialogueEvent>(
			{ type: "ready" },
			{ type: "native_session", nativeSessionId: "n1" },
			{ type: "turn_started" },
			{ type: "turn_started" },
			{ type: "turn_ended", stopReason: "end_turn" },
			{ type: "turn_ended", stopReason: "end_turn" },
			{ type: "turn_ended", stopReason: "failed", error: { code: "model_error", detail: "529" } },
			{ type: "usage", inputTokens: 1, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0, costUsd: 0.1 },
			{ type: "text_delta", messageId: "m", text: "hi" },
			{ type: "text_retracted", messageId: "m" },
			{ type: "tool_call", toolCallId: "t", tool: "Bash", input: {} },
			{ type: "tool_result", toolCallId: "t", status: "failed", output: "x" },
			{ type: "retry", attempt: 1, reason: "overloaded" },
			{ type: "background_task", taskId: "b", status: "started", description: "a build" },
			{ type: "raw", source: "stdout", text: "?" },
			{ type: "start_failed", detail: "not logged in" },
		),
		fc.nat({ max: 3 }).map((n): DialogueEvent => ({ type: "approval_requested", requestId: `r${n}`, tool: "Bash", input: {} })),
		fc.nat({ max: 3 }).map((n): DialogueEvent => ({ type: "question_asked", requestId: `r${n}`, questions: [] })),
		fc.nat({ max: 3 }).map((n): DialogueEvent => ({ type: "approval_withdrawn", requestId: `r${n}` })),
	);
	type Happening =
		| { what: "turn" | "dropped" | "interrupt" | "decide" | "silent" | "long"; pick: number }
		| { what: "says"; events: DialogueEvent[] };
	const happenings = fc.array(
		fc.oneof(
			{ weight: 3, arbitrary: fc.record({ what: fc.constant("says" as const), events: fc.array(dialogueEvent, { maxLength: 4 }) }) },
			{
				weight: 2,
				arbitrary: fc.record({
					what: fc.constantFrom("turn", "turn", "dropped", "interrupt", "decide", "silent", "long"),
					pick: fc.nat({ max: 3 }),
				}),
			},
		),
		{ maxLength: 40, size: "max" },
	) as fc.Arbitrary<Happening[]>;
	const whys = fc.constantFrom<StopWhy | null>(null, "interrupted", "stalled", "terminated", "unusable");

	/** What the daemon would write down, since it knows what runs. */
	function toEntry(h: Happening, hosting: Hosting, n: number): Entry | null {
		const own = deriveId("trn", `input ${n}`) as TurnId;
		switch (h.what) {
			case "says":
				return says(...h.events);
			case "turn":
				return hosting.turn === null ? { type: "turn", turnId: own, text: "go" } : null;
			case "dropped":
				return hosting.turn === null ? { type: "turn_dropped", turnId: own } : null;
			case "interrupt":
				return INTERRUPT;
			case "decide":
				return { type: "decide", decision: { approvalId: [...hosting.pending.keys()][h.pick] ?? id.apr(999), decision: "allow" } };
			case "silent":
				return { type: "silent", silentMs: 1000 };
			case "long":
				return { type: "line", text: null };
		}
	}

	test("[TRN-3] turns begin and end in pairs and one at a time, and every approval has an end, whatever a CLI says", () => {
		fc.assert(
			fc.property(happenings, whys, (all, why) => {
				const hosting = host();
				const entries: Entry[] = [STARTED];
				const events = [...hosting.take(STARTED).events];
				const taken = new Set<string>();
				const decided = new Set<string>();
				const take = (entry: Entry): void => {
					entries.push(entry);
					if (entry.type === "turn" || entry.type === "turn_dropped") taken.add(entry.turnId);
					if (entry.type === "decide") decided.add(entry.decision.approvalId);
					events.push(...hosting.take(entry).events);
				};
				all.forEach((h, n) => {
					const entry = toEntry(h, hosting, n);
					if (entry !== null) take(entry);
				});
				take(exited({ why }));

				let running: string | null = null;
				const over = new Set<string>();
				const asked = new Set<string>();
				for (const event of events) {
					expect(RunnerEvent.parse(event)).toEqual(event);
					if (event.type === "turn_started") {
						expect(running, "one at a time").toBeNull();
						expect(event.origin).toBe(taken.has(event.turnId) ? "input" : "cli");
						taken.add(event.turnId);
						running = event.turnId;
					} else if (event.type === "turn_ended") {
						expect(running ?? event.turnId, "what runs ends").toBe(event.turnId);
						expect(taken.has(event.turnId), "only what began ends").toBe(true);
						expect(over.has(event.turnId), "once").toBe(false);
						expect([...asked], "nothing waits after it").toEqual([]);
						over.add(event.turnId);
						running = null;
					} else if ("turnId" in event) expect(event.turnId, event.type).toBe(running);
					if (event.type === "approval_requested" || event.type === "question_asked") asked.add(event.approvalId);
					if (event.type === "approval_withdrawn") expect(asked.delete(event.approvalId)).toBe(true);
					for (const approvalId of decided) asked.delete(approvalId);
				}
				expect(over, "every turn ended").toEqual(taken);
				expect(events.findLast((event) => event.type === "process_state")).toMatchObject({ state: "dead" });
				expect([hosting.turn, hosting.process, hosting.pending.size]).toEqual([null, "dead", 0]);
				const again = host();
				expect(fold(again, entries).events, "the same again").toEqual(events);
				expect(again.turns).toEqual(taken);
			}),
			{ numRuns: 150 },
		);
	});
});

// ---------------------------------------------------------------- with the real providers

const fixture = (name: string) => readFileSync(new URL(`../fixtures/providers/${name}.jsonl`, import.meta.url), "utf8");
const lines = (name: string) =>
	fixture(name)
		.split("\n")
		.filter((line) => line !== "");
const parsed = (line: string) => record(JSON.parse(line));
const launch: Launch = {
	spec: { provider: "x", workDir: null, model: null, permissionMode: "default" },
	workDir: "/workspace",
	nativeSessionId: null,
};
/** What a CLI wrote, and what its host did after how many lines of it. */
interface Recording {
	provider: Provider;
	written: string[];
	notes: { at: number; note: Note }[];
}

/** A recorded run of Claude Code, its host's words from the second file. */
function claude(name: string): Recording {
	const said = lines(`claude-${name}.stdin`).map(parsed);
	const prompts = said.flatMap((line) => (line.type === "user" ? [String(record(line.message).content)] : []));
	const answers = new Map(said.map((line) => [record(line.response).request_id, record(record(line.response).response)]));
	const initialized = JSON.stringify({
		type: "control_response",
		response: { subtype: "success", request_id: "hotplex-initialize", response: {} },
	});
	const recorded = lines(`claude-${name}`).map((line) => line.replace('"r31fny"', '"hotplex-initialize"'));
	const written = name === "text-turn" ? recorded : [initialized, ...recorded];
	const notes: Recording["notes"] = [];
	const hosting = new Hosting("claude-code", claudeCode.dialogue(launch), deriveId);
	const take = (at: number, note: Note): void => {
		notes.push({ at, note });
		hosting.take(note);
	};
	take(0, STARTED);
	written.forEach((text, n) => {
		if (String(record(parsed(text).response).request_id).startsWith("int-")) take(n, INTERRUPT);
		hosting.take({ type: "line", text });
		for (const [approvalId, requestId] of hosting.pending)
			if (answers.has(requestId))
				take(n + 1, { type: "decide", decision: { approvalId, decision: answers.get(requestId)?.behavior === "deny" ? "deny" : "allow" } });
		const prompt = hosting.turn === null ? prompts.shift() : undefined;
		if (prompt !== undefined) take(n + 1, { type: "turn", turnId: id.trn(1000 + n), text: prompt });
	});
	return { provider: claudeCode, written, notes };
}

/** A recorded run of an ACP agent, both directions in one file. */
function agent(name: string): Recording {
	const provider = acp({ args: [], ...(name === "gemini" ? { authMethod: "gemini-api-key" } : {}) });
	const hosting = new Hosting(name, provider.dialogue(launch), deriveId);
	const written: string[] = [];
	const notes: Recording["notes"] = [];
	let asked: unknown;
	const hear = (writes: string[]): void => {
		for (const write of writes) asked = parsed(write).id ?? asked;
	};
	const take = (note: Note): void => {
		notes.push({ at: written.length, note });
		hear(hosting.take(note).writes);
	};
	const ours = new Map<unknown, unknown>();
	take(STARTED);
	for (const line of lines(`acp-${name}`).map(parsed)) {
		const said = line[">"] === undefined ? undefined : record(line[">"]);
		if (said === undefined) {
			const text = JSON.stringify(line.method === undefined ? { ...line, id: ours.get(line.id) ?? line.id } : line);
			written.push(text);
			hear(hosting.take({ type: "line", text }).writes);
			continue;
		}
		if (said.method === "session/prompt") take({ type: "turn", turnId: id.trn(1000 + written.length), text: "go" });
		else if (said.method === "session/cancel") take(INTERRUPT);
		else if (said.method === undefined)
			for (const [approvalId, requestId] of hosting.pending)
				if (requestId === JSON.stringify(said.id)) take({ type: "decide", decision: { approvalId, decision: "allow" } });
		if (said.method !== undefined && said.id !== undefined) ours.set(said.id, asked);
	}
	return { provider, written, notes };
}

const CLAUDE = [
	...["text-turn", "tool-allow", "tool-deny", "interrupt", "error", "resume", "subagent", "background-task", "ask-user-question"],
	...["hook-callback-deny", "resume-interrupted-turn", "session-state-events"],
];
const AGENTS = ["opencode", "claude", "codex", "gemini"];

describe("recordings", () => {
	test.each([
		...CLAUDE.map((name) => [`claude-${name}`, claude(name)] as const),
		...AGENTS.map((name) => [`acp-${name}`, agent(name)] as const),
	])("[PRV-3] the bytes of %s give the same events wherever they are cut", (name, { provider, written, notes }) => {
		const bytes = Buffer.from(written.map((line) => `${line}\n`).join(""));
		/** As a daemon does: notes in their places, lines as they become whole. */
		const play = (chunks: Uint8Array[]): Output => {
			const hosting = new Hosting(name, provider.dialogue(launch), deriveId);
			const splitter = new LineSplitter(MAX_LINE_BYTES);
			const entries: Entry[] = [];
			let at = 0;
			const place = (): void => {
				for (const { note } of notes.filter((n) => n.at === at)) entries.push(note);
			};
			place();
			for (const chunk of chunks)
				for (const { text } of splitter.push(chunk)) {
					entries.push({ type: "line", text });
					at++;
					place();
				}
			return fold(hosting, entries);
		};
		const whole = play([bytes]);
		expect(
			whole.events.some((event) => event.type === "turn_started"),
			"something was done",
		).toBe(true);
		fc.assert(
			fc.property(fc.array(fc.nat({ max: bytes.length }), { maxLength: 200, size: "max" }), (cuts) => {
				const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
				expect(play(at.slice(1).map((end, n) => bytes.subarray(at[n], end)))).toEqual(whole);
			}),
			{ numRuns: 5 },
		);
	});
});
