import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LineSplitter } from "../../runner/lines.ts";
import { claudeCode } from "../../runner/providers/claude-code.ts";
import type { Dialogue, DialogueEvent, DialogueInput, Launch } from "../../runner/providers/provider.ts";
import { record } from "../../runner/providers/provider.ts";

const fresh: Launch = {
	spec: { provider: "claude-code", workDir: null, model: null, permissionMode: "default" },
	workDir: "/workspace",
	nativeSessionId: null,
};
const dialogue = (nativeSessionId: string | null = null): Dialogue => claudeCode.dialogue({ ...fresh, nativeSessionId });
const fixture = (name: string) => readFileSync(new URL(`../fixtures/providers/claude-${name}.jsonl`, import.meta.url), "utf8");
const lines = (name: string) =>
	fixture(name)
		.split("\n")
		.filter((line) => line !== "");
const parsed = (line: string) => record(JSON.parse(line));
const INITIALIZED = JSON.stringify({
	type: "control_response",
	response: { subtype: "success", request_id: "hotplex-initialize", response: { hooks_applied: true, hook_on_failure_supported: true } },
});
const INIT = JSON.stringify({ type: "system", subtype: "init", session_id: "s" });

/** Events as lines to read; the pieces of a text stand in one line with bars between. Long ids are cut to their last four. */
function show(events: DialogueEvent[]): string[] {
	const shown: string[] = [];
	let before = "";
	for (const { type, ...rest } of events) {
		const { messageId, text, ...more } = { messageId: "", text: "", ...rest };
		const body = JSON.stringify(more, null, 1)
			.replace(/\n\s*/g, " ")
			.replace(/(toolu_|msg_|-)[0-9a-f]+([0-9a-f]{4})\b/g, "$2");
		const head = [type, messageId.replace(/.*(.{4}:)/, "$1"), body === "{}" ? "" : body].filter((part) => part !== "").join(" ");
		const isPiece = type === "text_delta" || type === "thought_delta";
		if (isPiece && head === before) shown.push(`${shown.pop() ?? ""}|${text}`);
		else shown.push(text === "" ? head : `${head} ${type === "raw" ? (/"subtype":"[^"]*"/.exec(text)?.[0] ?? text) : text}`);
		before = isPiece ? head : "";
	}
	// A long tool result is no more convincing in full.
	return shown.map((line) => (line.length > 230 ? `${line.slice(0, 230)}...` : line));
}

/** Plays a recording: says what its host said, where its host said it, and returns all that our side made of it. */
function play(name: string, nativeSessionId: string | null = null): { events: DialogueEvent[]; writes: string[] } {
	const said = lines(`${name}.stdin`).map(parsed);
	const prompts = said.flatMap((line) => (line.type === "user" ? [String(record(line.message).content)] : []));
	const answers = new Map(said.map((line) => [record(line.response).request_id, record(record(line.response).response)]));
	const talk = dialogue(nativeSessionId);
	const events: DialogueEvent[] = [];
	const writes: string[] = [];
	const feed = (input: DialogueInput): void => {
		const output = talk.take(input);
		events.push(...output.events);
		writes.push(...output.writes);
		for (const event of output.events) {
			if (event.type === "turn_ended" || event.type === "ready") prompt();
			if (event.type === "approval_requested" || event.type === "question_asked") decide(event.requestId);
			if (event.type === "gate_requested") judge(event.requestId);
		}
	};
	const prompt = () => {
		const text = prompts.shift();
		if (text !== undefined) feed({ type: "turn", turnId: "t", text });
	};
	const judge = (requestId: string) => {
		const said = record(record(answers.get(requestId)).hookSpecificOutput);
		const verdict = said.permissionDecision === "deny" ? "deny" : "pass";
		feed({ type: "verdict", requestId, verdict, reason: String(said.permissionDecisionReason) });
	};
	const decide = (requestId: string) => {
		const answer = answers.get(requestId);
		if (answer === undefined) return;
		const { message, updatedInput } = answer;
		const { answers: chosen, ...input } = record(updatedInput);
		const choices = Object.fromEntries(Object.entries(record(chosen)).map(([question, label]) => [question, String(label)]));
		feed({
			type: "decide",
			requestId,
			decision:
				answer.behavior === "deny"
					? { decision: "deny", message: String(message) }
					: { decision: "allow", updatedInput: input, ...(chosen === undefined ? {} : { answers: choices }) },
		});
	};
	feed({ type: "start" });
	if (name !== "text-turn") feed({ type: "line", text: INITIALIZED });
	for (const line of lines(name)) {
		const id = String(record(parsed(line).response).request_id);
		if (id.startsWith("int-")) feed({ type: "interrupt" });
		// Recorded without hooks; the others begin with an answer of ours.
		const initialized = line
			.replace(id, "hotplex-initialize")
			.replace('"pid":', '"hooks_applied":true,"hook_on_failure_supported":true,"pid":');
		feed({ type: "line", text: id === "r31fny" ? initialized : line.replace('"callback_id":"waf"', '"callback_id":"hotplex-gate"') });
	}
	return { events, writes };
}
const take = (talk: Dialogue, ...texts: string[]): DialogueEvent[] => texts.flatMap((text) => talk.take({ type: "line", text }).events);
/** A dialogue whose turn runs, and the events so far thrown away. */
function running(): Dialogue {
	const talk = dialogue();
	talk.take({ type: "start" });
	talk.take({ type: "turn", turnId: "t", text: "hi" });
	take(talk, INITIALIZED, INIT);
	return talk;
}

/** What each recording means, checked by eye against its lines. */
const EXPECTED: Record<string, string[]> = {
	"text-turn": [
		'ready { "version": "2.1.330" }',
		'native_session { "nativeSessionId": "c0e3aeae-369b-4044-9c3ce8b7" }',
		"turn_started",
		"thought_delta 19aa:0 thought1| thought2",
		"text_delta 19aa:1 token1| token2| token3| token4",
		'usage { "inputTokens": 9700, "outputTokens": 6, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.02919 }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		"text_delta 43db:0 Second| turn| in| the| same| process.",
		'usage { "inputTokens": 9741, "outputTokens": 6, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.029313 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	"tool-allow": [
		"ready",
		'native_session { "nativeSessionId": "8c9ece82-b66b-4fcb-8dfbec1a" }',
		"turn_started",
		"text_delta 6e41:0 I| will| create| a| file.",
		'tool_call { "toolCallId": "f387", "tool": "Bash", "input": { "command": "touch made && ls", "description": "scripted command" } }',
		'approval_requested { "requestId": "8883d223-c510-4e76-a73571ee", "toolCallId": "f387", "tool": "Bash", "title": "scripted command", "input": { "command": "touch made && ls", "description": "scripted command" } }',
		'tool_result { "toolCallId": "f387", "status": "completed", "output": "made" }',
		"text_delta ceab:0 Done.",
		'usage { "inputTokens": 19434, "outputTokens": 22, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.058632 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	"tool-deny": [
		"ready",
		'native_session { "nativeSessionId": "03312976-df5a-40b5-b1d9d4f0" }',
		"turn_started",
		'tool_call { "toolCallId": "5ea3", "tool": "Bash", "input": { "command": "rm -rf made", "description": "scripted command" } }',
		'approval_requested { "requestId": "938c35fe-1fa9-45ad-b80d5b51", "toolCallId": "5ea3", "tool": "Bash", "title": "scripted command", "input": { "command": "rm -rf made", "description": "scripted command" } }',
		'tool_result { "toolCallId": "5ea3", "status": "failed", "output": "Blocked by policy" }',
		"text_delta b0a4:0 Understood,| I| leave| it.",
		'usage { "inputTokens": 19414, "outputTokens": 19, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.058527 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	interrupt: [
		"ready",
		'native_session { "nativeSessionId": "55d68f62-aa2e-497e-abfef833" }',
		"turn_started",
		"text_delta 84d5:0 token1| token2| token3| token4",
		'usage { "inputTokens": 9697, "outputTokens": 7, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.029196 }',
		'turn_ended { "stopReason": "cancelled" }',
		"turn_started",
		'tool_call { "toolCallId": "184b", "tool": "Bash", "input": { "command": "tail -f /dev/null", "description": "scripted command" } }',
		'approval_requested { "requestId": "de76537b-1707-401a-b359be94", "toolCallId": "184b", "tool": "Bash", "title": "scripted command", "input": { "command": "tail -f /dev/null", "description": "scripted command" } }',
		'tool_result { "toolCallId": "184b", "status": "failed", "output": "The user doesn\'t want to proceed with this tool use. The tool use was rejected (eg. if it was a file edit, the new_string was NOT written to the file). STOP what y...',
		'usage { "inputTokens": 9747, "outputTokens": 16, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.029481 }',
		'turn_ended { "stopReason": "cancelled" }',
		"turn_started",
		'tool_call { "toolCallId": "75d8", "tool": "Bash", "input": { "command": "touch zz", "description": "scripted command" } }',
		'approval_requested { "requestId": "d6e1cd29-53b5-4f26-82ce5817", "toolCallId": "75d8", "tool": "Bash", "title": "scripted command", "input": { "command": "touch zz", "description": "scripted command" } }',
		'approval_withdrawn { "requestId": "d6e1cd29-53b5-4f26-82ce5817", "why": "the CLI withdrew it" }',
		'tool_result { "toolCallId": "75d8", "status": "failed", "output": "The user doesn\'t want to proceed with this tool use. The tool use was rejected (eg. if it was a file edit, the new_string was NOT written to the file). STOP what y...',
		'usage { "inputTokens": 9770, "outputTokens": 14, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.02952 }',
		'turn_ended { "stopReason": "cancelled" }',
		"turn_started",
		"text_delta aed3:0 Still| alive.",
		'usage { "inputTokens": 9788, "outputTokens": 2, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.029394 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	error: [
		"ready",
		'native_session { "nativeSessionId": "f2e96ee7-6afc-4c32-b6d20e54" }',
		"turn_started",
		'retry { "attempt": 1, "maxAttempts": 2, "delayMs": 559, "reason": "529 overloaded" }',
		'retry { "attempt": 2, "maxAttempts": 2, "delayMs": 1149, "reason": "529 overloaded" }',
		"text_delta c23c:0 API Error: 529 Overloaded. This is a server-side issue, usually temporary — try again in a moment. If it persists, check your inference gateway (127.0.0.1:18080).",
		'usage { "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0 }',
		'turn_ended { "stopReason": "failed", "error": { "code": "model_error", "detail": "API Error: 529 Overloaded. This is a server-side issue, usually temporary — try again in a moment. If it persists, check your inference gateway (127...',
		"turn_started",
		"text_delta 9b4f:0 token1| token2| token3",
		"text_retracted 9b4f:0",
		'retry { "attempt": 1, "maxAttempts": 2, "delayMs": 607, "reason": "unknown" }',
		"text_delta 2c98:0 token1| token2| token3| token4| token5",
		'usage { "inputTokens": 19462, "outputTokens": 10, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.058536 }',
		'turn_ended { "stopReason": "end_turn" }',
		"turn_started",
		"text_delta eec3:0 API Error: 400 bad request",
		'usage { "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0 }',
		'turn_ended { "stopReason": "failed", "error": { "code": "model_error", "detail": "API Error: 400 bad request" } }',
		"turn_started",
		"text_delta 1f48:0 Back| to| normal.",
		'usage { "inputTokens": 9802, "outputTokens": 3, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.029451 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	"ask-user-question": [
		"ready",
		'native_session { "nativeSessionId": "6985a166-aee3-4f43-bdc29874" }',
		"turn_started",
		'tool_call { "toolCallId": "3d9a", "tool": "AskUserQuestion", "input": { "questions": [ { "question": "Which database?", "header": "Choice", "multiSelect": false, "multiple": false, "options": [ { "label": "postgres", "description"...',
		'question_asked { "requestId": "51d00632-4652-4885-bdd75021", "toolCallId": "3d9a", "questions": [ { "question": "Which database?", "header": "Choice", "multiSelect": false, "options": [ { "label": "postgres", "description": "the p...',
		'tool_result { "toolCallId": "3d9a", "status": "completed", "output": "Your questions have been answered: \\"Which database?\\"=\\"sqlite\\". You can now continue with these answers in mind." }',
		"text_delta f8ef:0 Using| sqlite.",
		'usage { "inputTokens": 19426, "outputTokens": 58, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.059148 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	"background-task": [
		"ready",
		'native_session { "nativeSessionId": "174e0cac-cbbc-4d4e-a3d0998d" }',
		"turn_started",
		'tool_call { "toolCallId": "f6a0", "tool": "Bash", "input": { "command": "python3 -c \'import time;time.sleep(1);print(42)\'", "description": "scripted command", "run_in_background": true } }',
		'background_task { "taskId": "bxaybgym5", "status": "started", "description": "scripted command", "toolCallId": "f6a0" }',
		'tool_result { "toolCallId": "f6a0", "status": "completed", "output": "Command running in background with ID: bxaybgym5. Output is being written to: /tmp/claude-0/-workspace/174e0cac-cbbc-4d4e-a3d0998d/tasks/bxaybgym5.output. You w...',
		"text_delta e773:0 Started| in| the| background.",
		'usage { "inputTokens": 19438, "outputTokens": 34, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.058824 }',
		'turn_ended { "stopReason": "end_turn" }',
		'background_task { "taskId": "bxaybgym5", "status": "completed", "description": "scripted command", "toolCallId": "f6a0" }',
		"turn_started",
		"text_delta 1bf7:0 Script| finished.",
		'usage { "inputTokens": 9947, "outputTokens": 2, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.029871 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	subagent: [
		"ready",
		'native_session { "nativeSessionId": "7e6d75c8-7bd8-4d3c-a91937ba" }',
		"turn_started",
		'tool_call { "toolCallId": "8e0e", "tool": "Agent", "input": { "description": "look", "prompt": "fake:bash cmd=\\"echo from the subagent\\"\\nfake:text text=\\"Subagent report.\\"", "subagent_type": "general-purpose", "run_in_background...',
		'background_task { "taskId": "a57ddadb9cdf0f762", "status": "started", "description": "look", "toolCallId": "8e0e" }',
		'background_task { "taskId": "a57ddadb9cdf0f762", "status": "running", "description": "Running scripted command", "toolCallId": "8e0e" }',
		'tool_call { "toolCallId": "b0a3", "tool": "Bash", "input": { "command": "echo from the subagent", "description": "scripted command" }, "parentToolCallId": "8e0e" }',
		'tool_result { "toolCallId": "b0a3", "status": "completed", "output": "from the subagent", "parentToolCallId": "8e0e" }',
		'background_task { "taskId": "a57ddadb9cdf0f762", "status": "completed", "description": "look", "toolCallId": "8e0e" }',
		'tool_result { "toolCallId": "8e0e", "status": "completed", "output": "  <tools-used-before-summary>Bash</tools-used-before-summary>\\n  \\n[Subagent hand-back] The text below is the final report of a subagent this session delegated ...',
		"text_delta 60bb:0 Main| done.",
		'usage { "inputTokens": 25370, "outputTokens": 65, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.077085 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	"session-state-events": [
		"ready",
		'native_session { "nativeSessionId": "a6286772-b8b2-43c6-90272803" }',
		"turn_started",
		'tool_call { "toolCallId": "2e5c", "tool": "Bash", "input": { "command": "mkdir -p st", "description": "scripted command" } }',
		'approval_requested { "requestId": "b75b7b70-a403-40a2-a4bcee64", "toolCallId": "2e5c", "tool": "Bash", "title": "scripted command", "input": { "command": "mkdir -p st", "description": "scripted command" } }',
		'tool_result { "toolCallId": "2e5c", "status": "completed", "output": "(Bash completed with no output)" }',
		"text_delta bc0f:0 ok",
		'usage { "inputTokens": 19404, "outputTokens": 16, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.058452 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	"hook-callback-deny": [
		"ready",
		'native_session { "nativeSessionId": "11005a4a-d409-48bf-a90d7ea8" }',
		"turn_started",
		'tool_call { "toolCallId": "5d11", "tool": "Bash", "input": { "command": "curl http://example.com", "description": "scripted command" } }',
		'gate_requested { "requestId": "8b52d22b-3840-42e3-a22bbdf4", "toolCallId": "5d11", "tool": "Bash", "input": { "command": "curl http://example.com", "description": "scripted command" }, "cwd": "/workspace" }',
		'tool_result { "toolCallId": "5d11", "status": "failed", "output": "PreToolUse:Bash hook error: WAF rule 7: curl is forbidden" }',
		"text_delta 7457:0 It| was| blocked.",
		'usage { "inputTokens": 19416, "outputTokens": 21, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.058563 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	resume: [
		"ready",
		"turn_started",
		"text_delta 5fee:0 Resumed| after| a| crash.",
		'usage { "inputTokens": 9734, "outputTokens": 4, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.029262 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
	"resume-interrupted-turn": [
		"ready",
		'native_session { "nativeSessionId": "2d3b8e2d-0f57-4855-93d66bdb" }',
		"turn_started",
		"text_delta 2761:0 token1| token2| token3| token4| token5| token6| token7| token8",
		'usage { "inputTokens": 9705, "outputTokens": 8, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 0.029235 }',
		'turn_ended { "stopReason": "end_turn" }',
	],
};

describe("recordings of Claude Code 2.1.330", () => {
	for (const [name, expected] of Object.entries(EXPECTED)) {
		test(`[PRV-4] ${name} gives exactly these events`, () => {
			expect(show(play(name, name === "resume" ? "11212a0f-552a-44ed-9a6b-44564a0dedef" : null).events)).toEqual(expected);
		});
	}

	test("[PRV-4] what was streamed and not retracted is the result's text, each word once", () => {
		for (const name of Object.keys(EXPECTED)) {
			const texts = lines(name)
				.map(parsed)
				.flatMap((line) => (line.type === "result" && typeof line.result === "string" ? [line.result] : []));
			const said = new Map<string, string>();
			for (const event of play(name, null).events) {
				if (event.type === "text_delta") said.set(event.messageId, (said.get(event.messageId) ?? "") + event.text);
				if (event.type === "text_retracted") said.delete(event.messageId);
			}
			for (const text of texts) expect([...said.values()], name).toContain(text);
			expect([...said.values()].filter((text) => texts.includes(text)).length, name).toBe(texts.length);
		}
	});

	test("[GAT-1] a verdict is written exactly as the recorded host wrote it", () => {
		const recorded = lines("hook-callback-deny.stdin").map(parsed).at(-1);
		expect(play("hook-callback-deny").writes.map(parsed).at(-1)).toEqual(recorded);
	});

	test("[GAT-3] a call that names no tool is answered with an error, which denies it", () => {
		const talk = running();
		const hook = {
			type: "control_request",
			request_id: "h",
			request: { subtype: "hook_callback", callback_id: "hotplex-gate", input: {} },
		};
		const { events, writes } = talk.take({ type: "line", text: JSON.stringify(hook) });
		expect([events, record(parsed(writes[0] ?? "").response).subtype]).toEqual([[], "error"]);
	});

	test.each([
		["hooks that it did not take", { hook_on_failure_supported: true }],
		["hooks whose failure lets the call be made", { hooks_applied: true }],
	])("[GAT-3] a CLI with %s is not used", (_, response) => {
		const talk = dialogue();
		talk.take({ type: "start" });
		const answer = { type: "control_response", response: { subtype: "success", request_id: "hotplex-initialize", response } };
		expect(take(talk, JSON.stringify(answer))).toMatchObject([{ type: "start_failed" }]);
	});

	test.each([
		["deny", { hookSpecificOutput: { hookEventName: "PreToolUse", permissionDecision: "deny", permissionDecisionReason: "why" } }],
		["ask", { hookSpecificOutput: { hookEventName: "PreToolUse", permissionDecision: "ask", permissionDecisionReason: "why" } }],
		["allow", { hookSpecificOutput: { hookEventName: "PreToolUse", permissionDecision: "allow", permissionDecisionReason: "why" } }],
		["pass", {}],
	] as const)("[GAT-1] the verdict %s is said in the CLI's words, once", (verdict, said) => {
		const talk = running();
		const input = { tool_name: "Bash", tool_input: { command: "ls" }, tool_use_id: "t", cwd: "/w" };
		const hook = { type: "control_request", request_id: "h", request: { subtype: "hook_callback", callback_id: "hotplex-gate", input } };
		take(talk, JSON.stringify(hook));
		const { writes } = talk.take({ type: "verdict", requestId: "h", verdict, reason: "why" });
		expect(record(parsed(writes[0] ?? "").response).response).toEqual(said);
		expect(talk.take({ type: "verdict", requestId: "h", verdict, reason: "why" }).writes).toEqual([]);
	});

	test("[PRV-8] approvals and answers are written exactly as the recorded host wrote them", () => {
		for (const name of ["tool-allow", "tool-deny", "interrupt", "ask-user-question", "session-state-events"]) {
			const recorded = lines(`${name}.stdin`).map((line) => ({ ...parsed(line) }));
			const written = play(name)
				.writes.map(parsed)
				.filter((line) => record(line.request).subtype !== "initialize");
			for (const line of [...recorded, ...written]) {
				delete line.uuid;
				if (line.type === "control_request") delete line.request_id;
			}
			expect(written, name).toEqual(recorded);
		}
	});

	test("[PRV-3] the same bytes give the same events however they are cut", () => {
		const bytes = new TextEncoder().encode(fixture("error") + fixture("background-task"));
		const read = (cuts: number[]) => {
			const splitter = new LineSplitter(1 << 20);
			const talk = dialogue();
			const edges = [...new Set([0, ...cuts, bytes.length])].sort((a, b) => a - b);
			return edges
				.flatMap((from, at) => splitter.push(bytes.subarray(from, edges[at + 1] ?? from)))
				.flatMap((line) => take(talk, line.text ?? ""));
		};
		const whole = read([]);
		fc.assert(
			fc.property(fc.array(fc.nat(bytes.length), { maxLength: 60 }), (cuts) => void expect(read(cuts)).toEqual(whole)),
			{ numRuns: 20 },
		);
	});
});

describe("lines that are not as expected", () => {
	test("[PRV-2] what is not known becomes raw, as it was", () => {
		for (const line of [
			"not json",
			'{"type":"new_thing"}',
			'{"type":"system","subtype":"new"}',
			"[]",
			"7",
			'{"type":"assistant"}',
			'{"no":"type"}',
		]) {
			expect(take(dialogue(), line)).toEqual([{ type: "raw", source: "stdout", text: line }]);
		}
		const deep = "[".repeat(100_000) + "]".repeat(100_000);
		expect(take(dialogue(), deep)).toEqual([{ type: "raw", source: "stdout", text: deep }]);
	});

	test("[PRV-2] a request of the CLI that is not known is refused, not left open", () => {
		const text = JSON.stringify({ type: "control_request", request_id: "x", request: { subtype: "mcp_message" } });
		expect(dialogue().take({ type: "line", text })).toEqual({
			events: [{ type: "raw", source: "stdout", text }],
			writes: [
				'{"type":"control_response","response":{"subtype":"error","request_id":"x","error":"not supported: control request mcp_message"}}',
			],
		});
	});

	test("[PRV-1] no line makes the parser throw, and every event can be printed", () => {
		const real = Object.keys(EXPECTED).flatMap(lines);
		const mutated = fc
			.tuple(fc.constantFrom(...real), fc.nat(), fc.jsonValue())
			.map(([line, at, value]) => replaceOne(JSON.parse(line), at, value));
		const types = fc.constantFrom(
			"system",
			"assistant",
			"user",
			"result",
			"stream_event",
			"control_request",
			"control_response",
			"command_lifecycle",
		);
		const typed = fc.tuple(
			types,
			fc.dictionary(fc.constantFrom("message", "event", "request", "request_id", "subtype", "usage"), fc.jsonValue()),
		);
		const line = fc.oneof(
			mutated.map((value) => JSON.stringify(value)),
			typed.map(([type, fields]) => JSON.stringify({ type, ...fields })),
			fc.constantFrom(...real),
			fc.json(),
			fc.string(),
		);
		fc.assert(
			fc.property(fc.array(line, { maxLength: 40 }), (texts) => {
				const talk = running();
				const events = take(talk, ...texts);
				events.push(...talk.take({ type: "interrupt" }).events);
				expect(() => JSON.stringify(events)).not.toThrow();
			}),
			{ numRuns: 300 },
		);
	});
});

/** The value with its n-th inner value, counted depth first and around, replaced. */
function replaceOne(value: unknown, n: number, by: unknown): unknown {
	let size = 0;
	JSON.stringify(value, (_, inner: unknown) => {
		size++;
		return inner;
	});
	let at = 0;
	return JSON.parse(JSON.stringify(value, (_, inner: unknown) => (at++ === n % size ? by : inner)) ?? "null");
}

const stream = (event: unknown, more = {}) => JSON.stringify({ type: "stream_event", event, parent_tool_use_id: null, ...more });
const START = stream({ type: "message_start", message: { id: "m" } });
const delta = (text: string, index = 0) => stream({ type: "content_block_delta", index, delta: { type: "text_delta", text } });
const STOP = stream({ type: "message_stop" });
const whole = (text: string, id = "m") =>
	JSON.stringify({ type: "assistant", message: { id, content: [{ type: "text", text }] }, parent_tool_use_id: null });
const result = (more: object) =>
	JSON.stringify({ type: "result", subtype: "success", is_error: false, terminal_reason: "completed", ...more });

describe("text", () => {
	test("[PRV-4] a block that was not streamed is still said, once", () => {
		expect(show(take(running(), whole("Hello")))).toEqual(["text_delta m:0 Hello"]);
		expect(show(take(running(), START, delta("Hel"), whole("Hello"), STOP))).toEqual(["text_delta m:0 Hel|lo"]);
		expect(show(take(running(), START, delta("Hello"), whole("Hello"), STOP))).toEqual(["text_delta m:0 Hello"]);
	});

	test("[PRV-5] a stream that breaks is void, but for blocks that the conversation keeps", () => {
		expect(show(take(running(), START, delta("a"), STOP))).toEqual(["text_delta m:0 a", "text_retracted m:0"]);
		expect(show(take(running(), START, delta("a"), whole("a"), delta("b", 1), STOP))).toEqual([
			"text_delta m:0 a",
			"text_delta m:1 b",
			"text_retracted m:1",
		]);
	});

	test("[PRV-5] a retry in mid-message voids it, with no word of an end", () => {
		const retry = JSON.stringify({ type: "system", subtype: "api_retry", attempt: 1, error: "unknown", error_status: null });
		expect(show(take(running(), START, delta("a"), retry))).toEqual([
			"text_delta m:0 a",
			"text_retracted m:0",
			'retry { "attempt": 1, "reason": "unknown" }',
		]);
	});
});

describe("the ends of turns", () => {
	const end = (line: string) => show(take(running(), line)).at(-1);
	test("[PRV-7] an interrupt is cancelled, and errors are what they say, whatever the subtype", () => {
		expect(end(result({ subtype: "error_during_execution", is_error: true, terminal_reason: "aborted_tools" }))).toMatch(/"cancelled"/);
		expect(end(result({ is_error: true, terminal_reason: "api_error", result: "no" }))).toMatch(
			/"failed", "error": { "code": "model_error"/,
		);
		expect(end(result({ subtype: "error_max_turns", is_error: true, terminal_reason: "max_turns" }))).toMatch(/"max_turn_requests"/);
		expect(end(result({ stop_reason: "max_tokens" }))).toMatch(/"max_tokens"/);
		expect(end(result({ stop_reason: "refusal" }))).toMatch(/"refusal"/);
		expect(end(result({}))).toMatch(/"end_turn"/);
	});

	test("[PRV-7] an interrupt before the CLI is ready takes the prompt back", () => {
		const talk = dialogue();
		talk.take({ type: "turn", turnId: "t", text: "hi" });
		expect(show(talk.take({ type: "interrupt" }).events)).toEqual(["turn_started", 'turn_ended { "stopReason": "cancelled" }']);
		expect(talk.take({ type: "line", text: INITIALIZED }).writes).toEqual([]);
	});

	test("[PRV-6] without the CLI's own difference, cost is the total's, and null for the first turn of a resumed process", () => {
		const costs = (talk: Dialogue) =>
			take(talk, INIT, result({ total_cost_usd: 0.3 }), INIT, result({ total_cost_usd: 0.5 })).flatMap((e) =>
				e.type === "usage" ? [e.costUsd] : [],
			);
		expect(costs(dialogue())).toEqual([0.3, 0.2]);
		expect(costs(dialogue("s"))).toEqual([null, 0.2]);
	});

	test("[PRV-10] a conversation that the CLI does not know is given up", () => {
		const text = "No conversation found with session ID: s";
		expect(
			take(dialogue("s"), result({ subtype: "error_during_execution", is_error: true, terminal_reason: null, errors: [text] })),
		).toEqual([
			{ type: "native_session", nativeSessionId: null },
			{ type: "start_failed", detail: text },
		]);
	});
});

describe("turns nobody asked for", () => {
	const ofAgent = (content: unknown) =>
		JSON.stringify({ type: "assistant", parent_tool_use_id: "p", message: { id: "a", content: [content] } });
	const ask = JSON.stringify({
		type: "control_request",
		request_id: "r",
		request: { subtype: "can_use_tool", tool_name: "Bash", input: {}, agent_id: "a" },
	});

	test("[PRV-9] a background subagent's steps between turns open no turn, its question opens one until it is answered", () => {
		const talk = dialogue();
		expect(show(take(talk, ofAgent({ type: "text", text: "x" }))).map((line) => line.slice(0, 4))).toEqual(["raw "]);
		expect(show(take(talk, ask))).toEqual(["turn_started", 'approval_requested { "requestId": "r", "tool": "Bash", "input": {} }']);
		expect(show(talk.take({ type: "decide", requestId: "r", decision: { decision: "allow" } }).events)).toEqual([
			'turn_ended { "stopReason": "end_turn" }',
		]);
	});

	const turnId = "trn_00000000000000000000000001";
	const uuid = "00000000-0000-4000-8000-000000000001";
	test("[PRV-9] a prompt that crosses a turn of the CLI's own ends with its own result", () => {
		const talk = dialogue();
		take(talk, INITIALIZED);
		const [prompt] = talk.take({ type: "turn", turnId, text: "hi" }).writes;
		expect(parsed(prompt ?? "")).toEqual({ type: "user", message: { role: "user", content: "hi" }, parent_tool_use_id: null, uuid });
		const own = result({ origin: { kind: "task-notification" }, total_cost_usd: 1 });
		expect(show(take(talk, INIT, own))).toEqual(['native_session { "nativeSessionId": "s" }', "turn_started"]);
		expect(show(take(talk, INIT, result({ user_message_uuids: [uuid], total_cost_usd: 3 })))).toEqual([
			'usage { "inputTokens": 0, "outputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "costUsd": 3 }',
			'turn_ended { "stopReason": "end_turn" }',
		]);
	});

	test("[PRV-10] a prompt that the conversation has already is not waited for", () => {
		const talk = dialogue("s");
		take(talk, INITIALIZED);
		talk.take({ type: "turn", turnId, text: "hi" });
		expect(show(take(talk, JSON.stringify({ type: "command_lifecycle", command_uuid: uuid, state: "completed" }))).at(-1)).toMatch(
			/"failed"/,
		);
	});
});

test("[PRV-8] allow, deny and rewriting are written as the CLI takes them", () => {
	const ask = (tool_name: string, input: unknown) =>
		JSON.stringify({ type: "control_request", request_id: "r", request: { subtype: "can_use_tool", tool_name, input } });
	const answer = (line: string, decision: Extract<DialogueInput, { type: "decide" }>["decision"]) => {
		const talk = running();
		take(talk, line);
		const writes = talk.take({ type: "decide", requestId: "r", decision }).writes;
		expect(talk.take({ type: "decide", requestId: "r", decision }).writes).toEqual([]);
		return writes.map((write) => record(parsed(write).response).response);
	};
	const bash = ask("Bash", { command: "ls" });
	expect(answer(bash, { decision: "allow" })).toEqual([{ behavior: "allow", updatedInput: { command: "ls" } }]);
	expect(answer(bash, { decision: "allow", updatedInput: { command: "pwd" } })).toEqual([
		{ behavior: "allow", updatedInput: { command: "pwd" } },
	]);
	expect(answer(bash, { decision: "deny", message: "no" })).toEqual([{ behavior: "deny", message: "no" }]);
	expect(answer(bash, { decision: "deny" })).toEqual([{ behavior: "deny", message: "The user denied this tool call." }]);
	const questions = [{ question: "Which?", options: [{ label: "a" }] }];
	expect(answer(ask("AskUserQuestion", { questions }), { decision: "allow", answers: { "Which?": "a" } })).toEqual([
		{ behavior: "allow", updatedInput: { questions, answers: { "Which?": "a" } } },
	]);
});
