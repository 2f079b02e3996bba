import type { Question, StopReason, Usage } from "../../shared/events.ts";
import type { Dialogue, DialogueEvent, DialogueInput, DialogueOutput, Launch, Provider } from "./provider.ts";
import { count, list, parse, record, text } from "./provider.ts";

/**
 * Claude Code as one long-lived process that speaks `stream-json` both ways. The shapes were recorded from 2.1.330; a
 * line of another shape becomes `raw`, so a newer CLI loses detail, not turns.
 */
export const claudeCode: Provider = {
	launch: ({ spec, nativeSessionId }) => ({
		args: [
			"-p",
			...["--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--include-partial-messages"],
			...["--permission-prompt-tool", "stdio"],
			// No settings or MCP servers of the machine or the workspace: a workspace could otherwise allow itself tools.
			...["--setting-sources", "", "--strict-mcp-config"],
			...["--permission-mode", spec.permissionMode],
			...(spec.model === null ? [] : [`--model=${spec.model}`]),
			...(nativeSessionId === null ? [] : [`--resume=${nativeSessionId}`]),
		],
		env: { CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1", CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS: "1" },
	}),
	dialogue: (launch) => new ClaudeDialogue(launch),
	waf: "all",
	// Tried: a prompt's uuid is run once in a process, however often it comes; an answer to what is not asked any more says nothing.
	mayRepeat: () => true,
};

const INITIALIZE_ID = "hotplex-initialize";
/**
 * Every tool call, of subagents and MCP servers too, and in every mode, waits for this hook's answer. It comes over stdio, which no file of a
 * workspace can switch off, and a call without an answer is not made: an error is a denial by `onFailure`, silence one by the time-out.
 */
const GATE_ID = "hotplex-gate";
/** In seconds, as the CLI counts it: long enough for a daemon that is restarted and a gateway that is deployed. */
const GATE_TIMEOUT_S = 600;
const HOOKS = { PreToolUse: [{ matcher: "*", hookCallbackIds: [GATE_ID], timeout: GATE_TIMEOUT_S, onFailure: "block" }] };
/** Ended tasks are remembered so that their end is told once; more than this at a time is not expected. */
const MAX_TASKS = 1000;

/** Line types and `system` subtypes that say nothing a person or a program of ours needs. */
const QUIET = new Set(["keep_alive", "rate_limit_event", "prompt_suggestion", "tool_progress"]);
const QUIET_SYSTEM = new Set([
	...["status", "thinking_tokens", "session_state_changed", "background_tasks_changed"],
	...["hook_started", "hook_progress", "hook_response"],
]);
const QUIET_STREAM = new Set(["content_block_start", "content_block_stop", "content_block_delta", "ping"]);

type Kind = "text" | "thinking";
/** A content block whose deltas were reported. `final`: its `assistant` line came too, so it is not void any more. */
interface Block {
	index: number;
	kind: Kind;
	streamed: string;
	final: boolean;
}
interface Message {
	id: string;
	/** Its `message_delta` came: whatever ends the stream now, it is whole. */
	ended: boolean;
	blocks: Block[];
	/** The index for the next block that comes whole, without deltas. */
	nextIndex: number;
}
interface Ask {
	input: Record<string, unknown>;
	question: boolean;
	/** Asked by a subagent, which may outlive the turn. */
	ofAgent: boolean;
}
interface Task {
	/** What it was started as; its progress has descriptions of its own. */
	name: string;
	description: string;
	toolCallId: string | undefined;
	status: TaskStatus;
	/** False for a foreground command: told only once it moves to the background. */
	shown: boolean;
}
type TaskStatus = "started" | "running" | "completed" | "failed" | "stopped";

/** The uuid is that of the prompt; null if it went without one, or nobody asked. */
type Turn =
	| { phase: "none" }
	/** The CLI is not ready. */
	| { phase: "held"; turnId: string; text: string }
	/** The prompt is written, the CLI has not begun. */
	| { phase: "sent"; uuid: string | null }
	/** It works. `forAsk`: all that is known of it is a background subagent's question. */
	| { phase: "open"; uuid: string | null; forAsk: boolean };

const NO_USAGE: Usage = { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0, costUsd: 0 };

class ClaudeDialogue implements Dialogue {
	#ready = false;
	#turn: Turn = { phase: "none" };
	#sessionId: string | null;
	readonly #resumed: boolean;
	#initSeen = false;
	/** `total_cost_usd` of the last result; null while it is not known what of it an earlier process spent. */
	#totalCost: number | null;
	/** Of results that were counted into the turn that is still open. */
	#carried: Usage = NO_USAGE;
	#interrupts = 0;
	#interrupted = false;
	/** By the tool call of the subagent that streams; "" is the main loop. */
	readonly #messages = new Map<string, Message>();
	readonly #asks = new Map<string, Ask>();
	/** Calls that wait for their verdict, by the CLI's id of the question. */
	readonly #gates = new Set<string>();
	readonly #tasks = new Map<string, Task>();
	#unnamed = 0;
	#events: DialogueEvent[] = [];
	#writes: string[] = [];

	constructor(launch: Launch) {
		this.#sessionId = launch.nativeSessionId;
		this.#resumed = launch.nativeSessionId !== null;
		this.#totalCost = this.#resumed ? null : 0;
	}

	take(input: DialogueInput): DialogueOutput {
		this.#events = [];
		this.#writes = [];
		switch (input.type) {
			case "start":
				this.#write({ type: "control_request", request_id: INITIALIZE_ID, request: { subtype: "initialize", hooks: HOOKS } });
				break;
			case "line":
				this.#line(input.text);
				break;
			case "turn":
				this.#turn = { phase: "held", turnId: input.turnId, text: input.text };
				if (this.#ready) this.#send(input.turnId, input.text);
				break;
			case "interrupt":
				this.#interrupt();
				break;
			case "decide":
				this.#decide(input.requestId, input.decision);
				break;
			case "verdict":
				this.#verdict(input);
				break;
		}
		return { events: this.#events, writes: this.#writes };
	}

	// ------------------------------------------------------------ to the CLI

	#write(line: unknown): void {
		this.#writes.push(JSON.stringify(line));
	}

	#send(turnId: string, prompt: string): void {
		const uuid = uuidOf(turnId);
		this.#turn = { phase: "sent", uuid };
		this.#interrupted = false;
		const line = { type: "user", message: { role: "user", content: prompt }, parent_tool_use_id: null };
		this.#write(uuid === null ? line : { ...line, uuid });
	}

	#interrupt(): void {
		switch (this.#turn.phase) {
			case "none":
				return;
			case "held":
				// The CLI has never heard of it.
				this.#openTurn();
				this.#endTurn("cancelled");
				return;
			default:
				this.#interrupted = true;
				this.#interrupts += 1;
				this.#write({
					type: "control_request",
					request_id: `hotplex-interrupt-${this.#interrupts}`,
					request: { subtype: "interrupt" },
				});
		}
	}

	#decide(requestId: string, decision: Extract<DialogueInput, { type: "decide" }>["decision"]): void {
		const ask = this.#asks.get(requestId);
		if (ask === undefined) return;
		this.#asks.delete(requestId);
		this.#write({
			type: "control_response",
			response: { subtype: "success", request_id: requestId, response: verdict(ask, decision) },
		});
		this.#endAskTurn();
	}

	#verdict({ requestId, verdict, reason }: Extract<DialogueInput, { type: "verdict" }>): void {
		if (!this.#gates.delete(requestId)) return;
		const said = { hookEventName: "PreToolUse", permissionDecision: verdict, permissionDecisionReason: reason };
		const response = verdict === "pass" ? {} : { hookSpecificOutput: said };
		this.#write({ type: "control_response", response: { subtype: "success", request_id: requestId, response } });
		this.#endAskTurn();
	}

	// ------------------------------------------------------------ from the CLI

	#line(raw: string): void {
		if (raw.trim() === "") return;
		const line = record(parse(raw));
		switch (line.type) {
			case "control_response":
				return this.#controlResponse(record(line.response));
			case "control_request":
				return this.#controlRequest(line, raw);
			case "control_cancel_request":
				return this.#withdraw(text(line.request_id), "the CLI withdrew it");
			case "system":
				return this.#system(line, raw);
			case "stream_event":
				return this.#streamEvent(line, raw);
			case "assistant":
				return this.#assistant(line, raw);
			case "user":
				return this.#user(line, raw);
			case "result":
				return this.#result(line);
			case "command_lifecycle":
				return this.#lifecycle(line);
			default:
				if (typeof line.type !== "string" || !QUIET.has(line.type)) this.#raw(raw);
		}
	}

	#raw(line: string): void {
		this.#events.push({ type: "raw", source: "stdout", text: line });
	}

	#controlResponse(response: Record<string, unknown>): void {
		if (response.request_id !== INITIALIZE_ID || this.#ready) return;
		if (response.subtype !== "success") {
			this.#events.push({ type: "start_failed", detail: text(response.error) ?? "the CLI refused to initialize" });
			return;
		}
		const initialized = record(response.response);
		const version = text(initialized.claude_code_version);
		if (initialized.hooks_applied !== true || initialized.hook_on_failure_supported !== true) {
			const detail = `claude ${version ?? "of an unknown version"} does not let every tool call be judged before it is made; update it (2.1.295 or newer)`;
			this.#events.push({ type: "start_failed", detail });
			return;
		}
		this.#ready = true;
		this.#events.push({ type: "ready", ...(version === undefined ? {} : { version }) });
		if (this.#turn.phase === "held") this.#send(this.#turn.turnId, this.#turn.text);
	}

	#controlRequest(line: Record<string, unknown>, raw: string): void {
		const requestId = text(line.request_id);
		const request = record(line.request);
		const tool = text(request.tool_name);
		if (requestId === undefined) return this.#raw(raw);
		if (request.subtype === "hook_callback" && request.callback_id === GATE_ID) return this.#gate(requestId, record(request.input));
		if (request.subtype !== "can_use_tool" || tool === undefined) {
			// Whatever it wanted to be allowed, it is not: an error answer is a denial.
			const error = `not supported: control request ${text(request.subtype) ?? "without a subtype"}`;
			this.#write({ type: "control_response", response: { subtype: "error", request_id: requestId, error } });
			return this.#raw(raw);
		}
		const ofAgent = typeof request.agent_id === "string";
		this.#openTurn(ofAgent);
		const input = record(request.input);
		const questions = tool === "AskUserQuestion" ? list(input.questions).flatMap(question) : [];
		this.#asks.set(requestId, { input, question: questions.length > 0, ofAgent });
		const toolCallId = text(request.tool_use_id);
		const of = { requestId, ...(toolCallId === undefined ? {} : { toolCallId }) };
		if (questions.length > 0) {
			this.#events.push({ type: "question_asked", ...of, questions });
			return;
		}
		const title = text(request.description);
		const reason = text(request.decision_reason);
		this.#events.push({
			type: "approval_requested",
			...of,
			tool,
			...(title === undefined ? {} : { title }),
			input,
			...(reason === undefined ? {} : { reason }),
		});
	}

	#gate(requestId: string, hook: Record<string, unknown>): void {
		const tool = text(hook.tool_name);
		if (tool === undefined) {
			// What cannot be judged is not made: `onFailure` makes an error a denial.
			const error = "the hook's input names no tool";
			this.#write({ type: "control_response", response: { subtype: "error", request_id: requestId, error } });
			return;
		}
		this.#openTurn(typeof hook.agent_id === "string");
		this.#gates.add(requestId);
		const toolCallId = text(hook.tool_use_id);
		const cwd = text(hook.cwd);
		this.#events.push({
			type: "gate_requested",
			requestId,
			...(toolCallId === undefined ? {} : { toolCallId }),
			tool,
			input: record(hook.tool_input),
			...(cwd === undefined ? {} : { cwd }),
		});
	}

	#withdraw(requestId: string | undefined, why: string): void {
		if (requestId !== undefined && this.#gates.delete(requestId)) {
			this.#events.push({ type: "approval_withdrawn", requestId, why });
			return this.#endAskTurn();
		}
		// Not one of ours: it was answered already, the answers crossed.
		if (requestId === undefined || !this.#asks.delete(requestId)) return;
		this.#events.push({ type: "approval_withdrawn", requestId, why });
		this.#endAskTurn();
	}

	/** A turn that was opened only so that a background subagent could ask ends with the answer; no result will come. */
	#endAskTurn(): void {
		if (this.#turn.phase === "open" && this.#turn.forAsk && this.#asks.size === 0 && this.#gates.size === 0) this.#endTurn("end_turn");
	}

	#system(line: Record<string, unknown>, raw: string): void {
		switch (line.subtype) {
			case "init":
				return this.#init(line);
			case "api_retry":
				return this.#retry(line);
			case "task_started":
			case "task_progress":
			case "task_updated":
			case "task_notification":
				return this.#task(line, raw);
			default:
				if (typeof line.subtype !== "string" || !QUIET_SYSTEM.has(line.subtype)) this.#raw(raw);
		}
	}

	/** Comes at the start of every turn, not of the process. */
	#init(line: Record<string, unknown>): void {
		this.#initSeen = true;
		const sessionId = text(line.session_id);
		if (sessionId !== undefined && sessionId !== this.#sessionId) {
			this.#sessionId = sessionId;
			this.#events.push({ type: "native_session", nativeSessionId: sessionId });
		}
		this.#openTurn();
	}

	#openTurn(forAsk = false): void {
		if (this.#turn.phase === "open") {
			if (!forAsk) this.#turn.forAsk = false;
			return;
		}
		const { phase } = this.#turn;
		this.#turn = { phase: "open", uuid: phase === "sent" ? this.#turn.uuid : null, forAsk: forAsk && phase === "none" };
		this.#events.push({ type: "turn_started" });
	}

	/**
	 * Tells what becomes of a prompt with a uuid. Ends follow a result, which says more, but for a prompt that is not
	 * run at all: the conversation has this uuid already, or it was dropped while it waited.
	 */
	#lifecycle(line: Record<string, unknown>): void {
		if (this.#turn.phase !== "sent" || this.#turn.uuid === null || line.command_uuid !== this.#turn.uuid) return;
		if (line.state !== "completed" && line.state !== "cancelled") return;
		this.#openTurn();
		if (line.state === "cancelled") this.#endTurn("cancelled");
		else this.#endTurn("failed", { code: "internal", detail: "the conversation has this turn's prompt already; it was not run again" });
	}

	#retry(line: Record<string, unknown>): void {
		this.#openTurn();
		this.#retract("");
		const maxAttempts = whole(line.max_retries);
		const status = typeof line.error_status === "number" ? `${line.error_status} ` : "";
		this.#events.push({
			type: "retry",
			attempt: whole(line.attempt),
			...(maxAttempts === 0 ? {} : { maxAttempts }),
			...(typeof line.retry_delay_ms === "number" ? { delayMs: line.retry_delay_ms } : {}),
			reason: `${status}${text(line.error) ?? "unknown"}`,
		});
	}

	#task(line: Record<string, unknown>, raw: string): void {
		const taskId = text(line.task_id);
		if (taskId === undefined) return this.#raw(raw);
		const patch = record(line.patch);
		const known = this.#tasks.get(taskId);
		const background = line.is_backgrounded === true || patch.is_backgrounded === true;
		const name = known?.name ?? text(line.description) ?? "";
		const task: Task = known ?? { name, description: name, toolCallId: text(line.tool_use_id), status: "started", shown: false };
		if (isOver(task.status)) return;
		const before = task.shown ? `${task.status} ${task.description}` : "";
		task.shown ||= background || (known === undefined && line.task_type !== "local_bash");
		task.status = line.subtype === "task_started" ? "started" : (taskStatus(line.status ?? patch.status) ?? "running");
		task.description = isOver(task.status) ? task.name : (text(line.description) ?? text(patch.description) ?? task.description);
		this.#tasks.set(taskId, task);
		for (const oldest of this.#tasks.keys()) {
			if (this.#tasks.size <= MAX_TASKS) break;
			this.#tasks.delete(oldest);
		}
		if (!task.shown || before === `${task.status} ${task.description}`) return;
		const { status, description, toolCallId } = task;
		this.#events.push({ type: "background_task", taskId, status, description, ...(toolCallId === undefined ? {} : { toolCallId }) });
	}

	// ------------------------------------------------------------ text

	#streamEvent(line: Record<string, unknown>, raw: string): void {
		const event = record(line.event);
		const parent = text(line.parent_tool_use_id) ?? "";
		if (this.#isBeside(line)) return this.#raw(raw);
		switch (event.type) {
			case "message_start": {
				this.#retract(parent);
				this.#startMessage(parent, text(record(event.message).id) ?? text(line.api_message_id));
				return;
			}
			case "content_block_start": {
				const block = record(event.content_block);
				if (block.type === "text" || block.type === "thinking") this.#delta(parent, event, block.type, text(block[block.type]));
				return;
			}
			case "content_block_delta": {
				const delta = record(event.delta);
				if (delta.type === "text_delta") this.#delta(parent, event, "text", text(delta.text));
				if (delta.type === "thinking_delta") this.#delta(parent, event, "thinking", text(delta.thinking));
				return;
			}
			case "message_delta": {
				const message = this.#messages.get(parent);
				if (message !== undefined) message.ended = true;
				return;
			}
			case "message_stop":
				return this.#retract(parent, record(line.abandoned_blocks).from_block_index);
			default:
				if (typeof event.type !== "string" || !QUIET_STREAM.has(event.type)) this.#raw(raw);
		}
	}

	#startMessage(parent: string, id: string | undefined): Message {
		this.#unnamed += id === undefined ? 1 : 0;
		const message: Message = { id: id ?? `message-${this.#unnamed}`, ended: false, blocks: [], nextIndex: 0 };
		this.#messages.set(parent, message);
		return message;
	}

	#delta(parent: string, event: Record<string, unknown>, kind: Kind, piece: string | undefined): void {
		if (piece === undefined || piece === "") return;
		const message = this.#messages.get(parent) ?? this.#startMessage(parent, undefined);
		const index = whole(event.index);
		let block = message.blocks.find((b) => b.index === index && b.kind === kind && !b.final);
		if (block === undefined) {
			block = { index, kind, streamed: "", final: false };
			message.blocks.push(block);
			message.nextIndex = Math.max(message.nextIndex, index + 1);
		}
		block.streamed += piece;
		this.#say(parent, message, block, piece);
	}

	#say(parent: string, message: Message, { index, kind }: Block, piece: string): void {
		this.#openTurn();
		const type = kind === "text" ? "text_delta" : "thought_delta";
		this.#events.push({ type, messageId: blockId(message, index), text: piece, ...parentOf(parent) });
	}

	/**
	 * Ends a message's stream. If it broke, what was streamed of it is void: the CLI repeats it under another id. Blocks
	 * whose `assistant` line came stay: they are in the conversation (2.1.330 goes on after them, without `api_retry`).
	 * `from` is the CLI's own word for the first void block.
	 */
	#retract(parent: string, from?: unknown): void {
		const message = this.#messages.get(parent);
		this.#messages.delete(parent);
		if (message === undefined || message.ended) return;
		const isVoid = (block: Block) => (typeof from === "number" ? block.index >= from : !block.final);
		for (const block of message.blocks) {
			if (isVoid(block)) this.#events.push({ type: "text_retracted", messageId: blockId(message, block.index) });
		}
	}

	/**
	 * A background subagent works on after the turn that started it. A turn opened for that would keep the next input
	 * waiting for as long as it works, so its steps are only kept as they are; its task and its report are told.
	 */
	#isBeside(line: Record<string, unknown>): boolean {
		return typeof line.parent_tool_use_id === "string" && this.#turn.phase !== "open";
	}

	/** One line per finished content block; several lines share a message id. */
	#assistant(line: Record<string, unknown>, raw: string): void {
		const said = record(line.message);
		const parent = text(line.parent_tool_use_id) ?? "";
		const id = text(said.id);
		if (!Array.isArray(said.content) || this.#isBeside(line)) return this.#raw(raw);
		for (const item of said.content) {
			const block = record(item);
			switch (block.type) {
				case "text":
				case "thinking":
					this.#whole(parent, id, block.type, text(block[block.type]) ?? "");
					break;
				case "tool_use":
				case "server_tool_use":
				case "mcp_tool_use":
					this.#toolCall(parent, block, raw);
					break;
				case "redacted_thinking":
					break;
				default:
					if (typeof block.type === "string" && block.type.endsWith("_tool_result")) this.#toolResult(parent, block, raw);
					else this.#raw(raw);
			}
		}
	}

	/** A block as the conversation keeps it. What was streamed of it is not said again. */
	#whole(parent: string, id: string | undefined, kind: Kind, whole: string): void {
		let message = this.#messages.get(parent);
		if (message === undefined || (id !== undefined && message.id !== id)) {
			this.#retract(parent);
			message = this.#startMessage(parent, id);
		}
		const streamed = message.blocks.find((block) => block.kind === kind && !block.final);
		if (streamed === undefined) {
			const block: Block = { index: message.nextIndex, kind, streamed: "", final: true };
			message.nextIndex += 1;
			if (whole === "") return;
			message.blocks.push(block);
			this.#say(parent, message, block, whole);
			return;
		}
		const { streamed: before } = streamed;
		streamed.final = true;
		streamed.streamed = "";
		if (whole === before) return;
		// Thoughts may be kept shorter than they were shown; a thought that is not kept at all is no reason to hide it.
		if (kind === "thinking" && whole === "") return;
		if (whole.startsWith(before)) return this.#say(parent, message, streamed, whole.slice(before.length));
		this.#events.push({ type: "text_retracted", messageId: blockId(message, streamed.index) });
		if (whole !== "") this.#say(parent, message, streamed, whole);
	}

	// ------------------------------------------------------------ tools

	#toolCall(parent: string, block: Record<string, unknown>, raw: string): void {
		const toolCallId = text(block.id);
		const tool = text(block.name);
		if (toolCallId === undefined || tool === undefined) return this.#raw(raw);
		this.#openTurn();
		this.#events.push({ type: "tool_call", toolCallId, tool, input: block.input ?? {}, ...parentOf(parent) });
	}

	#toolResult(parent: string, block: Record<string, unknown>, raw: string): void {
		const toolCallId = text(block.tool_use_id);
		if (toolCallId === undefined) return this.#raw(raw);
		this.#openTurn();
		const status = block.is_error === true ? "failed" : "completed";
		this.#events.push({ type: "tool_result", toolCallId, status, output: outputText(block.content), ...parentOf(parent) });
	}

	/** Tool results, and what the CLI tells the model in the user's name, which is no news to anybody. */
	#user(line: Record<string, unknown>, raw: string): void {
		const { content } = record(line.message);
		if (typeof content === "string") return;
		if (!Array.isArray(content) || this.#isBeside(line)) return this.#raw(raw);
		const parent = text(line.parent_tool_use_id) ?? "";
		for (const item of content) {
			const block = record(item);
			if (block.type === "tool_result") this.#toolResult(parent, block, raw);
		}
	}

	// ------------------------------------------------------------ the end of a turn

	#result(line: Record<string, unknown>): void {
		const detail =
			text(line.result) ??
			list(line.errors)
				.filter((e) => typeof e === "string")
				.join("; ");
		if (this.#resumed && !this.#initSeen && line.is_error === true) {
			if (/no conversation found/i.test(detail)) this.#events.push({ type: "native_session", nativeSessionId: null });
			this.#events.push({ type: "start_failed", detail: detail === "" ? "the conversation could not be resumed" : detail });
			return;
		}
		this.#openTurn();
		const usage = sum(this.#carried, this.#usage(line));
		for (const [requestId, ask] of this.#asks) if (!ask.ofAgent) this.#withdraw(requestId, "the turn ended");
		this.#messages.clear();
		if (this.#isOfAnother(line)) {
			this.#carried = usage;
			return;
		}
		this.#carried = NO_USAGE;
		this.#events.push({ type: "usage", ...usage });
		const stopReason = stopReasonOf(line, this.#interrupted);
		if (stopReason === "failed") {
			// `success` with `is_error` carries the API's words in `result`; other subtypes are the CLI's own trouble.
			const code = line.terminal_reason === "api_error" || line.subtype === "success" ? "model_error" : "internal";
			this.#endTurn(stopReason, { code, detail: detail === "" ? (text(line.subtype) ?? "the turn failed") : detail });
		} else this.#endTurn(stopReason);
	}

	#endTurn(stopReason: StopReason, error?: { code: "model_error" | "internal"; detail: string }): void {
		this.#turn = { phase: "none" };
		this.#interrupted = false;
		this.#events.push({ type: "turn_ended", stopReason, ...(error === undefined ? {} : { error }) });
	}

	/**
	 * The CLI began a turn of its own just as ours was written, and ours waits behind it. Both are then one turn here:
	 * a turn that was asked for ends only with its own result.
	 */
	#isOfAnother(line: Record<string, unknown>): boolean {
		if (this.#turn.phase !== "open" || this.#turn.uuid === null) return false;
		const { kind } = record(line.origin);
		return typeof kind === "string" && kind !== "human" && !list(line.user_message_uuids).includes(this.#turn.uuid);
	}

	/**
	 * What was spent since the last result, subagents and side calls included: the CLI's own difference where it gives
	 * one, else the total's. `usage` alone counts the main loop only, and nothing of a stream that was interrupted.
	 * A resumed process may count what earlier ones spent into its first total: without the CLI's own difference the
	 * first cost after a resume is null.
	 */
	#usage(line: Record<string, unknown>): Usage {
		const total = typeof line.total_cost_usd === "number" ? line.total_cost_usd : null;
		const before = this.#totalCost;
		if (total !== null) this.#totalCost = total;
		const difference = total === null || before === null || total < before ? null : total - before;
		if (typeof line.model_usage_since_last_result === "object" && line.model_usage_since_last_result !== null) {
			const models = Object.values(record(line.model_usage_since_last_result)).map(record);
			const costs = models.map((model) => model.costUSD);
			return {
				inputTokens: sumOf(models, "inputTokens"),
				outputTokens: sumOf(models, "outputTokens"),
				cacheReadTokens: sumOf(models, "cacheReadInputTokens"),
				cacheWriteTokens: sumOf(models, "cacheCreationInputTokens"),
				costUsd: costs.every(isCost) ? dollars(costs.reduce((a, b) => a + b, 0)) : dollars(difference),
			};
		}
		const usage = record(line.usage);
		return {
			inputTokens: whole(usage.input_tokens),
			outputTokens: whole(usage.output_tokens),
			cacheReadTokens: whole(usage.cache_read_input_tokens),
			cacheWriteTokens: whole(usage.cache_creation_input_tokens),
			costUsd: dollars(difference),
		};
	}
}

/** `is_error` and `terminal_reason` decide: the subtype of an API error is "success". */
function stopReasonOf(line: Record<string, unknown>, interrupted: boolean): StopReason {
	const reason = text(line.terminal_reason) ?? "";
	const subtype = text(line.subtype) ?? "";
	if (reason.startsWith("aborted")) return "cancelled";
	if (interrupted && line.is_error === true && subtype === "error_during_execution") return "cancelled";
	if (/^(error_)?max_(turns|budget)/.test(reason) || /^error_max_/.test(subtype)) return "max_turn_requests";
	if (line.is_error === true) return line.stop_reason === "refusal" ? "refusal" : "failed";
	if (line.stop_reason === "max_tokens" || line.stop_reason === "refusal") return line.stop_reason;
	return "end_turn";
}

/** The answer to `can_use_tool`. An allow repeats the input: without `updatedInput` the CLI takes it for a denial. */
function verdict(ask: Ask, decision: Extract<DialogueInput, { type: "decide" }>["decision"]): Record<string, unknown> {
	if (decision.decision === "deny") {
		const refusal = ask.question ? "The user did not want to answer." : "The user denied this tool call.";
		return { behavior: "deny", message: decision.message || refusal };
	}
	const input = decision.updatedInput ?? ask.input;
	// Without answers the model is told that the user did not answer.
	return {
		behavior: "allow",
		updatedInput: ask.question && decision.answers !== undefined ? { ...input, answers: decision.answers } : input,
	};
}

function question(value: unknown): Question[] {
	const asked = record(value);
	const words = text(asked.question);
	if (words === undefined) return [];
	const header = text(asked.header);
	return [
		{
			question: words,
			...(header === undefined ? {} : { header }),
			...(typeof asked.multiSelect === "boolean" ? { multiSelect: asked.multiSelect } : {}),
			options: list(asked.options).flatMap((option) => {
				const label = text(record(option).label);
				const description = text(record(option).description);
				return label === undefined ? [] : [{ label, ...(description === undefined ? {} : { description }) }];
			}),
		},
	];
}

/** A tool result's content as text: a string, or blocks of which pictures and the like are only named. */
function outputText(content: unknown): string {
	if (typeof content === "string") return content;
	if (content === undefined || content === null) return "";
	if (!Array.isArray(content)) return JSON.stringify(content);
	return content.map((item) => text(record(item).text) ?? `[${text(record(item).type) ?? "unknown"}]`).join("\n");
}

function taskStatus(status: unknown): TaskStatus | undefined {
	switch (status) {
		case "completed":
		case "failed":
		case "stopped":
			return status;
		case "killed":
		case "cancelled":
			return "stopped";
		default:
			return undefined;
	}
}
const isOver = (status: TaskStatus): boolean => status === "completed" || status === "failed" || status === "stopped";

/**
 * A UUID for a prompt, always the same for a turn, by which the CLI says which result is whose. Our ids are 130 random
 * bits in base 32; null for an id of another form, and the prompt then goes without.
 */
function uuidOf(turnId: string): string | null {
	const digits = /^trn_([0-9a-hjkmnp-tv-z]{26})$/.exec(turnId)?.[1];
	if (digits === undefined) return null;
	let bits = 0n;
	for (const digit of digits) bits = bits * 32n + BigInt("0123456789abcdefghjkmnpqrstvwxyz".indexOf(digit));
	const hex = BigInt.asUintN(128, bits).toString(16).padStart(32, "0");
	// The 13th and 17th digits are the version and the variant.
	return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`;
}

const blockId = (message: Message, index: number): string => `${message.id}:${index}`;
const parentOf = (parent: string): { parentToolCallId?: string } => (parent === "" ? {} : { parentToolCallId: parent });
/** As `count`, within what the log's integers hold. */
const whole = (value: unknown): number => Math.min(count(value), Number.MAX_SAFE_INTEGER);
const isCost = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0;
/** Without the noise of subtracting doubles: a billionth of a dollar is not billed. */
const dollars = (amount: number | null): number | null => (isCost(amount) ? Math.round(amount * 1e9) / 1e9 : null);
const sumOf = (models: Record<string, unknown>[], field: string): number =>
	whole(models.reduce((sum, model) => sum + whole(model[field]), 0));
const sum = (a: Usage, b: Usage): Usage => ({
	inputTokens: whole(a.inputTokens + b.inputTokens),
	outputTokens: whole(a.outputTokens + b.outputTokens),
	cacheReadTokens: whole(a.cacheReadTokens + b.cacheReadTokens),
	cacheWriteTokens: whole(a.cacheWriteTokens + b.cacheWriteTokens),
	costUsd: a.costUsd === null || b.costUsd === null ? null : dollars(a.costUsd + b.costUsd),
});
