import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { acp } from "../../runner/providers/acp.ts";
import type { Dialogue, DialogueEvent, DialogueInput, Launch } from "../../runner/providers/provider.ts";
import { record } from "../../runner/providers/provider.ts";

const fresh: Launch = {
	spec: { provider: "opencode", workDir: null, model: null, permissionMode: "default" },
	workDir: "/workspace",
	nativeSessionId: null,
};
const fixture = (name: string) => readFileSync(new URL(`../fixtures/providers/acp-${name}.jsonl`, import.meta.url), "utf8");
const lines = (name: string) =>
	fixture(name)
		.split("\n")
		.filter((line) => line !== "");
const parsed = (line: string) => record(JSON.parse(line));

/** Events as lines to read; the pieces of a text stand in one line with bars between. Long ids are cut to their last four. */
function show(events: DialogueEvent[]): string[] {
	const shown: string[] = [];
	let before = "";
	for (const { type, ...rest } of events) {
		const { messageId, text, ...more } = { messageId: "", text: "", ...rest };
		const body = JSON.stringify(more, null, 1)
			.replace(/\n\s*/g, " ")
			.replace(/\b(toolu|call|run_shell_command_)_[0-9a-f]+([0-9a-f]{4})\b/g, "$2");
		const head = [type, messageId.replace(/.*_.*(.{4})$/, "$1"), body === "{}" ? "" : body].filter((part) => part !== "").join(" ");
		const isPiece = type === "text_delta" || type === "thought_delta";
		const piece = JSON.stringify(text).slice(1, -1);
		if (isPiece && head === before) shown.push(`${shown.pop() ?? ""}|${piece}`);
		else shown.push(text === "" ? head : `${head} ${type === "raw" ? (/"method":"[^"]*"/.exec(text)?.[0] ?? text) : piece}`);
		before = isPiece ? head : "";
	}
	// A long tool result is no more convincing in full.
	return shown.map((line) => (line.length > 230 ? `${line.slice(0, 230)}...` : line));
}

/** Plays a recording of both directions: says what its host said where its host said it. */
function play(name: string): { events: DialogueEvent[]; recorded: unknown[]; written: unknown[] } {
	const options = { args: [], ...(name === "gemini" ? { authMethod: "gemini-api-key" } : {}) };
	const talk = acp(options).dialogue(fresh);
	const events: DialogueEvent[] = [];
	const written: unknown[] = [];
	const recorded: unknown[] = [];
	/** The recorded host and we number our requests each our own way. */
	const ours = new Map<unknown, unknown>();
	const feed = (input: DialogueInput): void => {
		const output = talk.take(input);
		events.push(...output.events);
		for (const write of output.writes) {
			const { jsonrpc, ...message } = parsed(write);
			expect(jsonrpc).toBe("2.0");
			written.push(message);
		}
	};
	const optionKinds = new Map<unknown, Map<unknown, unknown>>();
	feed({ type: "start" });
	for (const line of lines(name).map(parsed)) {
		const said = line[">"] === undefined ? undefined : record(line[">"]);
		if (said === undefined) {
			const { id, method } = line;
			const options = record(line.params).options;
			if (Array.isArray(options)) optionKinds.set(id, new Map(options.map(record).map((option) => [option.optionId, option.kind])));
			feed({ type: "line", text: JSON.stringify(method === undefined ? { ...line, id: ours.get(id) ?? id } : line) });
			continue;
		}
		recorded.push(said);
		const params = record(said.params);
		if (said.method === "session/prompt") {
			const [block] = Array.isArray(params.prompt) ? params.prompt : [];
			feed({ type: "turn", turnId: "t", text: String(record(block).text) });
		} else if (said.method === "session/cancel") feed({ type: "interrupt" });
		else if (said.method === undefined) {
			const { optionId } = record(record(said.result).outcome);
			const decision = String(optionKinds.get(said.id)?.get(optionId)).startsWith("allow") ? "allow" : "deny";
			feed({ type: "decide", requestId: JSON.stringify(said.id), decision: { decision } });
		}
		if (said.method !== undefined && said.id !== undefined) ours.set(said.id, record(written.at(-1)).id);
	}
	return { events, recorded, written };
}
const take = (talk: Dialogue, ...texts: (string | object)[]): DialogueEvent[] =>
	texts.flatMap((text) => talk.take({ type: "line", text: typeof text === "string" ? text : JSON.stringify(text) }).events);

/** What each recording means, checked by eye against its lines. */
const EXPECTED: Record<string, string[]> = {
	opencode: [
		'native_session { "nativeSessionId": "ses_dfba622b1ffeRSddN4ZyXCH0JQ" }',
		'ready { "version": "1.18.33" }',
		"turn_started",
		"thought_delta c6Jb thought1| thought2",
		"text_delta gldV token1| token2| token3",
		'usage { "inputTokens": 2322, "outputTokens": 5, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.007041 }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		'tool_call { "toolCallId": "09b2", "tool": "bash", "title": "mkdir -p made_acp", "input": { "command": "mkdir -p made_acp", "cwd": "/workspace" } }',
		'approval_requested { "requestId": "0", "toolCallId": "09b2", "tool": "bash", "kind": "execute", "title": "mkdir -p made_acp", "input": { "command": "mkdir -p made_acp" } }',
		'tool_result { "toolCallId": "09b2", "status": "completed", "output": "(no output)" }',
		"text_delta fab6 done",
		'usage { "inputTokens": 2340, "outputTokens": 1, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.014175 }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		'tool_call { "toolCallId": "2ef1", "tool": "bash", "title": "mkdir -p made_acp2", "input": { "command": "mkdir -p made_acp2" } }',
		'approval_requested { "requestId": "1", "toolCallId": "2ef1", "tool": "bash", "kind": "execute", "title": "mkdir -p made_acp2", "input": { "command": "mkdir -p made_acp2" } }',
		'tool_result { "toolCallId": "2ef1", "status": "failed", "output": "The user rejected permission to use this specific tool call." }',
		'usage { "inputTokens": 2355, "outputTokens": 8, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.007185 }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		"text_delta QRdw token1| token2| token3| token4| token5| token6| token7| token8| token9| token10| token11| token12| token13",
		'usage { "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0 }',
		'turn_ended { "stopReason": "cancelled" }',
		"turn_started",
		'usage { "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0 }',
		'turn_ended { "stopReason": "failed", "error": { "code": "model_error", "detail": "Internal error: bad thing" } }',
		"turn_started",
		'tool_call { "toolCallId": "58da", "tool": "bash", "title": "tail -f /opt/mark", "input": { "command": "tail -f /opt/mark" } }',
		'approval_requested { "requestId": "2", "toolCallId": "58da", "tool": "bash", "kind": "execute", "title": "tail -f /opt/mark", "input": { "command": "tail -f /opt/mark" } }',
		'tool_result { "toolCallId": "58da", "status": "completed", "output": "(no output)\\n\\n<shell_metadata>\\nUser aborted the command\\n</shell_metadata>" }',
		'usage { "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0 }',
		'turn_ended { "stopReason": "cancelled" }',
	],
	claude: [
		'raw { "source": "stdout" } "method":"_auth/status_update"',
		'native_session { "nativeSessionId": "99961f93-3455-4a06-afe7-9da457a626fd" }',
		'ready { "version": "0.101.0" }',
		"turn_started",
		"thought_delta ee1d thought1| thought2",
		"text_delta ee1d token1| token2| token3",
		'usage { "inputTokens": 3893, "outputTokens": 5, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.019152 }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		'tool_call { "toolCallId": "adc0", "tool": "Bash", "title": "mkdir -p made_acp", "input": { "command": "mkdir -p made_acp", "description": "scripted command" } }',
		'approval_requested { "requestId": "0", "toolCallId": "adc0", "tool": "Bash", "kind": "execute", "title": "mkdir -p made_acp", "input": { "command": "mkdir -p made_acp", "description": "scripted command" } }',
		'tool_result { "toolCallId": "adc0", "status": "completed", "output": "(Bash completed with no output)" }',
		"text_delta 32c2 done",
		'usage { "inputTokens": 7824, "outputTokens": 17, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.035128 }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		'tool_call { "toolCallId": "ea14", "tool": "Bash", "title": "mkdir -p made_acp2", "input": { "command": "mkdir -p made_acp2", "description": "scripted command" } }',
		'approval_requested { "requestId": "1", "toolCallId": "ea14", "tool": "Bash", "kind": "execute", "title": "mkdir -p made_acp2", "input": { "command": "mkdir -p made_acp2", "description": "scripted command" } }',
		'tool_result { "toolCallId": "ea14", "status": "failed", "output": "```\\nUser refused permission to run tool\\n```" }',
		"text_delta 1585 done",
		'usage { "inputTokens": 7852, "outputTokens": 18, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.03526 }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		"text_delta 659a token1| token2| token3| token4| token5| token6| token7| token8| token9| token10| token11| token12| token13| token14| token15",
		'usage { "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.003468 }',
		'turn_ended { "stopReason": "cancelled" }',
		"turn_started",
		"text_delta 382063fc-7092-4752-b90e-fd01f028b8fc API Error: 400 bad thing",
		'usage { "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0 }',
		'turn_ended { "stopReason": "failed", "error": { "code": "model_error", "detail": "Internal error: API Error: 400 bad thing" } }',
		"turn_started",
		'tool_call { "toolCallId": "c787", "tool": "Bash", "title": "tail -f /opt/mark", "input": { "command": "tail -f /opt/mark", "description": "scripted command" } }',
		'approval_requested { "requestId": "2", "toolCallId": "c787", "tool": "Bash", "kind": "execute", "title": "tail -f /opt/mark", "input": { "command": "tail -f /opt/mark", "description": "scripted command" } }',
		'tool_result { "toolCallId": "c787", "status": "failed", "output": "```\\nThe user doesn\'t want to proceed with this tool use. The tool use was rejected (eg. if it was a file edit, the new_string was NOT written to the file). STOP w...',
		'usage { "inputTokens": 3996, "outputTokens": 19, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.023344 }',
		'turn_ended { "stopReason": "cancelled" }',
	],
	codex: [
		'native_session { "nativeSessionId": "01a2045b-2958-7360-98a0-92ee23ea54fb" }',
		'ready { "version": "2.6.0" }',
		'raw { "source": "stdout" } "method":"_auth/status_update"',
		"turn_started",
		"text_delta message-1 Warning: Model metadata for `gpt-5` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.\\n\\n",
		"thought_delta ea_0 \\n\\n|thought1| thought2",
		"text_delta ea_1 token1| token2| token3",
		'usage { "inputTokens": 6048, "outputTokens": 5, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": null }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		"text_delta message-2 Warning: Model metadata for `gpt-5` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.\\n\\n",
		'tool_call { "toolCallId": "fc1a", "tool": "exec_command", "title": "mkdir -p made_acp", "input": { "command": "mkdir -p made_acp", "cwd": "/workspace" } }',
		'tool_result { "toolCallId": "fc1a", "status": "completed", "output": "" }',
		"text_delta ba_0 done",
		'usage { "inputTokens": 12134, "outputTokens": 8, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": null }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		"text_delta message-4 Warning: Model metadata for `gpt-5` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.\\n\\n",
		'tool_call { "toolCallId": "db11", "tool": "exec_command", "title": "mkdir -p made_acp2", "input": { "command": "mkdir -p made_acp2", "cwd": "/workspace" } }',
		'tool_result { "toolCallId": "db11", "status": "completed", "output": "" }',
		"text_delta a4_0 done",
		'usage { "inputTokens": 12162, "outputTokens": 8, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": null }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		"text_delta message-6 Warning: Model metadata for `gpt-5` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.\\n\\n",
		"text_delta 7f_0 token1| token2| token3| token4| token5| token6| token7| token8| token9| token10| token11| token12| token13| token14| token15",
		'turn_ended { "stopReason": "cancelled" }',
		"turn_started",
		'text_delta message-7 Warning: Model metadata for `gpt-5` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.\\n\\n|{\\"error\\":{\\"message\\":\\"bad thing\\",\\"type\\":\\"invalid_request_error\\",\\"cod...',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		"text_delta message-8 Warning: Model metadata for `gpt-5` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.\\n\\n",
		'tool_call { "toolCallId": "d499", "tool": "exec_command", "title": "tail -f /opt/mark", "input": { "command": "tail -f /opt/mark", "cwd": "/workspace" } }',
		'usage { "inputTokens": 6171, "outputTokens": 9, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": null }',
		'turn_ended { "stopReason": "cancelled" }',
	],
	gemini: [
		'native_session { "nativeSessionId": "48b55fd4-043d-4f0d-8ebc-c8e3377cfe12" }',
		'ready { "version": "0.61.0" }',
		"turn_started",
		"thought_delta message-1 ****\\nthought1|****\\nthought2",
		"text_delta message-1 token1| token2| token3",
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		'tool_call { "toolCallId": "d5ea", "tool": "execute", "title": "mkdir -p made_acp", "input": {} }',
		'approval_requested { "requestId": "0", "toolCallId": "d5ea", "tool": "execute", "kind": "execute", "title": "mkdir -p made_acp", "input": {} }',
		'tool_result { "toolCallId": "d5ea", "status": "completed", "output": "" }',
		"text_delta message-3 done",
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		'tool_call { "toolCallId": "111f", "tool": "execute", "title": "mkdir -p made_acp2", "input": {} }',
		'approval_requested { "requestId": "1", "toolCallId": "111f", "tool": "execute", "kind": "execute", "title": "mkdir -p made_acp2", "input": {} }',
		"text_delta message-5 done",
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		"text_delta message-6 token1| token2| token3| token4| token5| token6| token7| token8| token9| token10| token11| token12| token13| token14| token15",
		'turn_ended { "stopReason": "cancelled" }',
		"turn_started",
		'turn_ended { "stopReason": "failed", "error": { "code": "model_error", "detail": "{\\"error\\":{\\"code\\":400,\\"message\\":\\"bad thing\\",\\"status\\":\\"UNAVAILABLE\\"}}" } }',
		"turn_started",
		'tool_call { "toolCallId": "510f", "tool": "execute", "title": "tail -f /opt/mark", "input": {} }',
		'approval_requested { "requestId": "2", "toolCallId": "510f", "tool": "execute", "kind": "execute", "title": "tail -f /opt/mark", "input": {} }',
		'tool_result { "toolCallId": "510f", "status": "completed", "output": "Command cancelled by user." }',
		'turn_ended { "stopReason": "cancelled" }',
	],
};

describe("recordings of agents", () => {
	for (const [name, expected] of Object.entries(EXPECTED)) {
		test(`[PRV-4] ${name} gives exactly these events`, () => expect(show(play(name).events)).toEqual(expected));

		test(`[PRV-8] ${name} is told what the recorded host told it, approvals and cancels too`, () => {
			const { recorded, written } = play(name);
			const plain = (messages: unknown[]) =>
				messages.map((message) => {
					const { id, ...rest } = record(message);
					return rest.method === "initialize" ? "initialize" : rest.method === undefined ? { id, ...rest } : rest;
				});
			expect(plain(written)).toEqual(plain(recorded));
		});
	}
});

const INITIALIZED = { jsonrpc: "2.0", id: 1, result: { protocolVersion: 1, agentCapabilities: {} } };
const CAN_RESUME = {
	...INITIALIZED,
	result: { protocolVersion: 1, agentCapabilities: { loadSession: true, sessionCapabilities: { resume: {} } } },
};
const CAN_LOAD = { ...INITIALIZED, result: { protocolVersion: 1, agentCapabilities: { loadSession: true } } };
const opened = (more: object = {}) => ({ jsonrpc: "2.0", id: 2, result: { sessionId: "s", ...more } });
const update = (sessionUpdate: string, more: object) => ({
	jsonrpc: "2.0",
	method: "session/update",
	params: { sessionId: "s", update: { sessionUpdate, ...more } },
});
const chunk = (text: string) => update("agent_message_chunk", { messageId: "m", content: { type: "text", text } });
const cost = (amount: number) => update("usage_update", { used: 1, size: 2, cost: { amount, currency: "USD" } });
const ended = (id: number) => ({ jsonrpc: "2.0", id, result: { stopReason: "end_turn" } });

function started(nativeSessionId: string | null = null, spec: Partial<Launch["spec"]> = {}, mode?: string): Dialogue {
	const talk = acp({ args: [], ...(mode === undefined ? {} : { mode }) }).dialogue({
		...fresh,
		nativeSessionId,
		spec: { ...fresh.spec, ...spec },
	});
	talk.take({ type: "start" });
	return talk;
}
function ready(): Dialogue {
	const talk = started();
	take(talk, INITIALIZED, opened());
	return talk;
}

describe("the start", () => {
	test("[PRV-10] a conversation that the agent does not know is given up", () => {
		const talk = started("s");
		expect(take(talk, CAN_RESUME, { jsonrpc: "2.0", id: 2, error: { code: -32002, message: "not found" } })).toEqual([
			{ type: "native_session", nativeSessionId: null },
			{ type: "start_failed", detail: "resume: not found" },
		]);
	});

	test("[PRV-10] what an agent replays while it loads is not said again", () => {
		const talk = started("s");
		expect(show(take(talk, CAN_LOAD, chunk("old"), { jsonrpc: "2.0", id: 2, result: {} }))).toEqual(["ready"]);
	});

	test("[PRV-10] an agent that keeps no conversations says so and begins anew", () => {
		const talk = started("old");
		expect(show(take(talk, INITIALIZED, opened()))).toEqual([
			'native_session { "nativeSessionId": null }',
			'native_session { "nativeSessionId": "s" }',
			"ready",
		]);
	});

	const configOptions = [
		{
			id: "model",
			category: "model",
			type: "select",
			currentValue: "a",
			options: [{ value: "a" }, { group: "g", options: [{ value: "b" }] }],
		},
		{ id: "mode", category: "mode", type: "select", currentValue: "build", options: [{ value: "build" }, { value: "plan" }] },
	];
	const settings = (spec: Partial<Launch["spec"]>, result: object, mode?: string) => {
		const talk = started(null, spec, mode);
		take(talk, INITIALIZED);
		const output = talk.take({ type: "line", text: JSON.stringify(opened(result)) });
		return [
			...output.writes.map((write) => record(parsed(write).params)),
			...output.events.flatMap((e) => (e.type === "start_failed" ? [e.detail] : [])),
		];
	};
	test("[PRV-8] mode and model are set before the first prompt, and a missing one is an error", () => {
		expect(settings({ model: "b" }, { configOptions })).toEqual([{ sessionId: "s", configId: "model", value: "b" }]);
		expect(settings({ model: "a" }, { configOptions })).toEqual([]);
		expect(settings({ model: "c" }, { configOptions })).toEqual(['the agent does not offer the model "c"; it offers a, b']);
		expect(settings({ permissionMode: "plan" }, { configOptions })).toEqual([{ sessionId: "s", configId: "mode", value: "plan" }]);
		expect(settings({ permissionMode: "plan" }, {})).toEqual(["the agent has no plan mode"]);
		expect(settings({}, { modes: { currentModeId: "auto", availableModes: [{ id: "auto" }, { id: "default" }] } })).toEqual([
			{ sessionId: "s", modeId: "default" },
		]);
		expect(settings({}, {}, "ask")).toEqual([{ sessionId: "s", modeId: "ask" }]);
	});
});

test("[PRV-6] cost is the difference of totals, and null where what was before is not known", () => {
	const costs = (talk: Dialogue, first: number) => {
		const events: DialogueEvent[] = [];
		for (const [at, amount] of [0.2, 0.5].entries()) {
			talk.take({ type: "turn", turnId: "t", text: "hi" });
			events.push(
				...take(talk, cost(amount), {
					...ended(first + at),
					result: { stopReason: "end_turn", usage: { inputTokens: 1, outputTokens: 1 } },
				}),
			);
		}
		return events.flatMap((event) => (event.type === "usage" ? [event.costUsd] : []));
	};
	expect(costs(ready(), 3)).toEqual([0.2, 0.3]);
	const resumed = started("s");
	take(resumed, CAN_RESUME, opened());
	expect(costs(resumed, 3)).toEqual([null, 0.3]);
});

const ask = {
	jsonrpc: "2.0",
	id: "p",
	method: "session/request_permission",
	params: { sessionId: "s", toolCall: { toolCallId: "c", title: "x y" }, options: [] },
};

test("[PRV-7] an interrupt cancels, withdraws what was asked, and ends as cancelled", () => {
	const talk = ready();
	talk.take({ type: "turn", turnId: "t", text: "hi" });
	take(talk, ask);
	const output = talk.take({ type: "interrupt" });
	expect(output.writes.map(parsed)).toEqual([
		{ jsonrpc: "2.0", method: "session/cancel", params: { sessionId: "s" } },
		{ jsonrpc: "2.0", id: "p", result: { outcome: { outcome: "cancelled" } } },
	]);
	expect(output.events).toEqual([{ type: "approval_withdrawn", requestId: '"p"', why: "the turn was interrupted" }]);
	expect(show(take(talk, { jsonrpc: "2.0", id: 3, error: { code: 1, message: "aborted" } })).at(-1)).toBe(
		'turn_ended { "stopReason": "cancelled" }',
	);
});

test("[PRV-9] work that nobody asked for is a turn, and the next prompt need not wait for its end", () => {
	const talk = ready();
	expect(show(take(talk, chunk("by the way")))).toEqual([
		"turn_started",
		"text_delta m by the way",
		'turn_ended { "stopReason": "end_turn" }',
	]);
	expect(show(take(talk, ask)).map((line) => line.split(" ")[0])).toEqual(["turn_started", "tool_call", "approval_requested"]);
	const output = talk.take({ type: "decide", requestId: '"p"', decision: { decision: "allow" } });
	expect(output.writes.map(parsed)).toEqual([{ jsonrpc: "2.0", id: "p", result: { outcome: { outcome: "cancelled" } } }]);
	expect(show(output.events)).toEqual(['turn_ended { "stopReason": "end_turn" }']);
});

test("[PRV-2] what is not known becomes raw, and an unknown request is refused", () => {
	for (const line of [
		"not json",
		"[]",
		'{"jsonrpc":"2.0","method":"new"}',
		'{"jsonrpc":"2.0","id":99,"result":{}}',
		JSON.stringify(update("plan", { entries: [] })),
	]) {
		expect(take(ready(), line)).toEqual([{ type: "raw", source: "stdout", text: line }]);
	}
	const text = '{"jsonrpc":"2.0","id":5,"method":"fs/read_text_file","params":{}}';
	expect(ready().take({ type: "line", text })).toEqual({
		events: [{ type: "raw", source: "stdout", text }],
		writes: ['{"jsonrpc":"2.0","id":5,"error":{"code":-32601,"message":"Method not found"}}'],
	});
});

test("[PRV-1] no line makes the parser throw, and every event can be printed", () => {
	const real = Object.keys(EXPECTED).flatMap(lines);
	const kinds = fc.constantFrom("agent_message_chunk", "tool_call", "tool_call_update", "usage_update", "plan");
	const updates = fc.tuple(
		kinds,
		fc.dictionary(fc.constantFrom("content", "toolCallId", "status", "rawInput", "title", "cost"), fc.jsonValue()),
	);
	const replies = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.jsonValue()).map(([id, result]) => ({ jsonrpc: "2.0", id, result }));
	const line = fc.oneof(
		fc.constantFrom(...real),
		updates.map(([kind, more]) => JSON.stringify(update(kind, more))),
		replies.map((reply) => JSON.stringify(reply)),
		fc.jsonValue().map((params) => JSON.stringify({ ...ask, params })),
		fc.json(),
		fc.string(),
	);
	fc.assert(
		fc.property(fc.array(line, { maxLength: 30 }), fc.boolean(), (texts, isReady) => {
			const talk = isReady ? ready() : started("s");
			const events = talk.take({ type: "turn", turnId: "t", text: "hi" }).events;
			events.push(...take(talk, ...texts), ...talk.take({ type: "interrupt" }).events);
			expect(() => JSON.stringify(events)).not.toThrow();
		}),
		{ numRuns: 300 },
	);
});

test("[BAT-7] only a prompt must not come twice", () => {
	const provider = acp({ args: [] });
	expect(provider.mayRepeat('{"jsonrpc":"2.0","id":"3","method":"session/prompt","params":{}}')).toBe(false);
	const quoted = JSON.stringify({ jsonrpc: "2.0", id: 4, result: { text: 'he said "method":"session/prompt"' } });
	expect([quoted, '{"jsonrpc":"2.0","id":"1","method":"initialize"}'].map((line) => provider.mayRepeat(line))).toEqual([true, true]);
});
