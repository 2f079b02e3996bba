import type {
	StopReason as AcpStopReason,
	NewSessionRequest,
	PermissionOptionKind,
	PromptRequest,
	RequestPermissionResponse,
} from "@agentclientprotocol/sdk";
import type { StopReason, Usage } from "../../shared/events.ts";
import type { Dialogue, DialogueEvent, DialogueInput, DialogueOutput, Launch, Provider } from "./provider.ts";
import { count, list, parse, record, text } from "./provider.ts";

export interface AcpOptions {
	args: string[];
	env?: Record<string, string>;
	/** The agent's id for the mode in which it asks before it acts, where that is not called `default`. */
	mode?: string;
	/** For agents that want `authenticate` before a session. */
	authMethod?: string;
	/** False: it is known to make calls without asking. */
	asks?: boolean;
}

/** Any agent that speaks the Agent Client Protocol, version 1, over stdio. `opencode acp` is the one it was made with. */
export function acp(options: AcpOptions): Provider {
	return {
		launch: () => ({ args: options.args, env: options.env ?? {} }),
		dialogue: (launch) => new AcpDialogue(launch, options),
		// The protocol has no hook: what the agent does not ask about, nobody judges; the jail bounds it.
		waf: options.asks === false ? "jail-only" : "asked",
		// A request that comes twice is done twice; of all but the prompt that is harmless.
		mayRepeat: (line) => !line.includes('"method":"session/prompt"'),
	};
}

/** Calls that an agent begins and never ends are forgotten beyond this many. */
const MAX_CALLS = 1000;
const QUIET_UPDATES = new Set([
	...["user_message_chunk", "available_commands_update", "current_mode_update"],
	...["config_option_update", "session_info_update"],
]);

type Decide = Extract<DialogueInput, { type: "decide" }>;
/** What a request of ours was for; its answer is read accordingly. */
type Purpose = "initialize" | "authenticate" | "new" | "resume" | "load" | "setting" | "prompt";
type Failure = { code: "model_error" | "internal"; detail: string };
interface Ask {
	/** As the agent wrote it: a number or a string. */
	id: unknown;
	options: Record<string, unknown>[];
}
interface Call {
	kind: string | undefined;
	tool: string | undefined;
	title: string | undefined;
	input: unknown;
	told: boolean;
	ended: boolean;
}
/** `held`: not ready yet. `open`: our prompt runs. `own`: the agent works without a prompt. */
type Turn = { phase: "none" } | { phase: "held"; text: string } | { phase: "open" } | { phase: "own" };

class AcpDialogue implements Dialogue {
	readonly #launch: Launch;
	readonly #options: AcpOptions;
	#version: string | undefined;
	#sessionId: string;
	#capabilities: Record<string, unknown> = {};
	/** Requests to make before the session is ready, in order. */
	#settings: { method: string; params: unknown }[] = [];
	#ready = false;
	/** History is being replayed: it is in our log already. */
	#loading = false;
	#turn: Turn = { phase: "none" };
	#interrupted = false;
	#requests = 0;
	readonly #pending = new Map<number, Purpose>();
	readonly #asks = new Map<string, Ask>();
	readonly #calls = new Map<string, Call>();
	/** The session's cost so far; null if the agent has not said. */
	#totalCost: number | null = null;
	/** The same when the turn began; null if a resumed session's is not known. */
	#costBefore: number | null = null;
	#messages = 0;
	#events: DialogueEvent[] = [];
	#writes: string[] = [];

	constructor(launch: Launch, options: AcpOptions) {
		this.#launch = launch;
		this.#options = options;
		this.#sessionId = launch.nativeSessionId ?? "";
	}

	take(input: DialogueInput): DialogueOutput {
		this.#events = [];
		this.#writes = [];
		switch (input.type) {
			case "start":
				this.#request("initialize", "initialize", {
					protocolVersion: 1,
					clientCapabilities: { fs: { readTextFile: false, writeTextFile: false }, terminal: false },
					clientInfo: { name: "hotplex", version: "1" },
				});
				break;
			case "line":
				this.#line(input.text);
				break;
			case "turn":
				this.#turn = { phase: "held", text: input.text };
				if (this.#ready) this.#prompt(input.text);
				break;
			case "interrupt":
				this.#interrupt();
				break;
			case "decide":
				this.#decide(input);
				break;
			case "verdict":
				// It never asks for one: its requests for permission are approvals.
				break;
		}
		return { events: this.#events, writes: this.#writes };
	}

	// ------------------------------------------------------------ to the agent

	#write(message: Record<string, unknown>): void {
		this.#writes.push(JSON.stringify({ jsonrpc: "2.0", ...message }));
	}

	#request(purpose: Purpose, method: string, params: unknown): void {
		this.#requests += 1;
		this.#pending.set(this.#requests, purpose);
		this.#write({ id: this.#requests, method, params });
	}

	#prompt(prompt: string): void {
		this.#costBefore = this.#totalCost ?? (this.#launch.nativeSessionId === null ? 0 : null);
		this.#turn = { phase: "open" };
		this.#interrupted = false;
		this.#messages += 1;
		this.#events.push({ type: "turn_started" });
		const params: PromptRequest = { sessionId: this.#sessionId, prompt: [{ type: "text", text: prompt }] };
		this.#request("prompt", "session/prompt", params);
	}

	#interrupt(): void {
		switch (this.#turn.phase) {
			case "none":
				return;
			case "held":
				// The agent has never heard of it.
				this.#events.push({ type: "turn_started" });
				this.#endTurn("cancelled");
				return;
			default:
				this.#interrupted = true;
				this.#write({ method: "session/cancel", params: { sessionId: this.#sessionId } });
				this.#withdrawAll("the turn was interrupted");
				if (this.#turn.phase === "own") this.#endTurn("cancelled");
		}
	}

	#decide({ requestId, decision }: Decide): void {
		const ask = this.#asks.get(requestId);
		if (ask === undefined) return;
		this.#asks.delete(requestId);
		// Allowing once is what was decided; "always" stands in only where an agent has nothing smaller.
		const wanted: PermissionOptionKind[] =
			decision.decision === "allow" ? ["allow_once", "allow_always"] : ["reject_once", "reject_always"];
		const optionIds = wanted.flatMap((kind) => ask.options.filter((option) => option.kind === kind).map((option) => text(option.optionId)));
		this.#answer(
			ask,
			optionIds.find((id) => id !== undefined),
		);
		this.#endOwnTurn();
	}

	#answer(ask: Ask, optionId: string | undefined): void {
		const result: RequestPermissionResponse = {
			outcome: optionId === undefined ? { outcome: "cancelled" } : { outcome: "selected", optionId },
		};
		this.#write({ id: ask.id, result });
	}

	#withdrawAll(why: string): void {
		for (const [requestId, ask] of this.#asks) {
			this.#answer(ask, undefined);
			this.#events.push({ type: "approval_withdrawn", requestId, why });
		}
		this.#asks.clear();
	}

	// ------------------------------------------------------------ from the agent

	#line(raw: string): void {
		if (raw.trim() === "") return;
		const message = record(parse(raw));
		const method = text(message.method);
		if (method === undefined) return this.#response(message, raw);
		const params = record(message.params);
		if (message.id !== undefined && message.id !== null) {
			if (method === "session/request_permission" && this.#ready) return this.#askPermission(message.id, params);
			// We offered no files, terminals or forms. An unanswered request would make the agent wait for ever.
			this.#write({ id: message.id, error: { code: -32601, message: "Method not found" } });
			return this.#raw(raw);
		}
		if (method === "session/update" && params.sessionId === this.#sessionId) return this.#update(record(params.update), raw);
		if (method === "$/cancel_request") return this.#withdrawn(params.requestId);
		this.#raw(raw);
	}

	#raw(line: string): void {
		this.#events.push({ type: "raw", source: "stdout", text: line });
	}

	#withdrawn(id: unknown): void {
		const requestId = JSON.stringify(id) ?? "";
		const ask = this.#asks.get(requestId);
		if (ask === undefined) return;
		this.#asks.delete(requestId);
		this.#write({ id: ask.id, error: { code: -32800, message: "Request cancelled" } });
		this.#events.push({ type: "approval_withdrawn", requestId, why: "the agent withdrew it" });
		this.#endOwnTurn();
	}

	#response(message: Record<string, unknown>, raw: string): void {
		const { id } = message;
		const purpose = typeof id === "number" ? this.#pending.get(id) : undefined;
		if (typeof id !== "number" || purpose === undefined) return this.#raw(raw);
		this.#pending.delete(id);
		const result = record(message.result);
		if (message.error !== undefined && message.error !== null) return this.#failed(purpose, record(message.error));
		switch (purpose) {
			case "initialize":
				return this.#initialized(result);
			case "authenticate":
				return this.#openSession();
			case "new":
			case "resume":
			case "load":
				return this.#sessionOpened(result);
			case "setting":
				return this.#nextSetting();
			case "prompt":
				return this.#promptEnded(result);
		}
	}

	#failed(purpose: Purpose, error: Record<string, unknown>): void {
		const detail = text(error.message) ?? "the agent gave no reason";
		if (purpose === "prompt") {
			if (this.#interrupted) return this.#finishTurn({}, "cancelled");
			return this.#finishTurn({}, "failed", { code: "model_error", detail });
		}
		if (purpose === "resume" || purpose === "load") this.#events.push({ type: "native_session", nativeSessionId: null });
		this.#loading = false;
		this.#events.push({ type: "start_failed", detail: `${purpose}: ${detail}` });
	}

	// ------------------------------------------------------------ the start

	#initialized(result: Record<string, unknown>): void {
		if (result.protocolVersion !== 1) {
			const detail = `the agent speaks version ${JSON.stringify(result.protocolVersion)} of the Agent Client Protocol, not 1`;
			this.#events.push({ type: "start_failed", detail });
			return;
		}
		this.#version = text(record(result.agentInfo).version);
		this.#capabilities = record(result.agentCapabilities);
		const { authMethod } = this.#options;
		if (authMethod === undefined) this.#openSession();
		else this.#request("authenticate", "authenticate", { methodId: authMethod });
	}

	#openSession(): void {
		const { nativeSessionId, workDir } = this.#launch;
		const params: NewSessionRequest = { cwd: workDir, mcpServers: [] };
		const { resume } = record(this.#capabilities.sessionCapabilities);
		if (nativeSessionId === null) return this.#request("new", "session/new", params);
		// Resuming replays nothing, so it is preferred.
		if (resume !== undefined && resume !== null) {
			return this.#request("resume", "session/resume", { ...params, sessionId: nativeSessionId });
		}
		if (this.#capabilities.loadSession === true) {
			this.#loading = true;
			return this.#request("load", "session/load", { ...params, sessionId: nativeSessionId });
		}
		// The agent keeps no conversations: the history is lost, the session goes on.
		this.#events.push({ type: "native_session", nativeSessionId: null });
		this.#request("new", "session/new", params);
	}

	#sessionOpened(result: Record<string, unknown>): void {
		this.#loading = false;
		const sessionId = text(result.sessionId);
		if (sessionId !== undefined && sessionId !== this.#sessionId) {
			this.#sessionId = sessionId;
			this.#events.push({ type: "native_session", nativeSessionId: sessionId });
		}
		if (this.#sessionId === "") {
			this.#events.push({ type: "start_failed", detail: "the agent opened a session without an id" });
			return;
		}
		const { model, permissionMode } = this.#launch.spec;
		const settings = [this.#modeSetting(result, permissionMode), this.#modelSetting(result, model)];
		for (const setting of settings) {
			if (typeof setting === "string") {
				this.#events.push({ type: "start_failed", detail: setting });
				return;
			}
			if (setting !== null) this.#settings.push(setting);
		}
		this.#nextSetting();
	}

	#nextSetting(): void {
		const setting = this.#settings.shift();
		if (setting !== undefined) return this.#request("setting", setting.method, setting.params);
		this.#ready = true;
		this.#events.push({ type: "ready", ...(this.#version === undefined ? {} : { version: this.#version }) });
		if (this.#turn.phase === "held") this.#prompt(this.#turn.text);
	}

	/**
	 * The mode is set wherever it is not the wanted one: some agents start in a mode that asks nobody. A plan mode that the
	 * agent lacks is an error, for it would edit; edits that it cannot accept unasked are merely asked for.
	 */
	#modeSetting(session: Record<string, unknown>, permissionMode: "default" | "acceptEdits" | "plan") {
		const sessionId = this.#sessionId;
		const modes = record(session.modes);
		const offered = list(modes.availableModes).map((mode) => record(mode).id);
		const config = selectOf(session, "mode");
		const asking = this.#options.mode ?? "default";
		const wanted = { default: [asking], acceptEdits: ["acceptEdits", "autoEdit", asking], plan: ["plan"] }[permissionMode];
		for (const modeId of wanted) {
			if (modeId === modes.currentModeId || modeId === config?.current) return null;
			if (offered.includes(modeId)) return { method: "session/set_mode", params: { sessionId, modeId } };
			if (config?.values.includes(modeId)) {
				return { method: "session/set_config_option", params: { sessionId, configId: config.id, value: modeId } };
			}
		}
		if (permissionMode === "plan") return "the agent has no plan mode";
		if (this.#options.mode === undefined) return null;
		return { method: "session/set_mode", params: { sessionId, modeId: this.#options.mode } };
	}

	/** A model that the agent does not offer is an error: another one would be another price, and another answer. */
	#modelSetting(session: Record<string, unknown>, model: string | null) {
		if (model === null) return null;
		const sessionId = this.#sessionId;
		const config = selectOf(session, "model");
		if (config?.current === model) return null;
		if (config?.values.includes(model)) {
			return { method: "session/set_config_option", params: { sessionId, configId: config.id, value: model } };
		}
		// Not in the stable protocol; gemini-cli 0.61.0 has it in place of the config option.
		const models = list(record(session.models).availableModels).map((offer) => text(record(offer).modelId) ?? "");
		if (models.includes(model)) return { method: "session/set_model", params: { sessionId, modelId: model } };
		const offered = [...(config?.values ?? []), ...models];
		if (offered.length === 0) return `the agent lets no model be chosen, "${model}" was asked for`;
		return `the agent does not offer the model "${model}"; it offers ${offered.slice(0, 20).join(", ")}${offered.length > 20 ? ", ..." : ""}`;
	}

	// ------------------------------------------------------------ work

	#update(update: Record<string, unknown>, raw: string): void {
		if (update.sessionUpdate === "usage_update") {
			const cost = record(update.cost);
			if (cost.currency === "USD" && isCost(cost.amount)) this.#totalCost = cost.amount;
			return;
		}
		if (this.#loading) return;
		const isQuiet = typeof update.sessionUpdate === "string" && QUIET_UPDATES.has(update.sessionUpdate);
		// Work before there is a session to work in is not understood.
		if (isQuiet || !this.#ready) return isQuiet ? undefined : this.#raw(raw);
		switch (update.sessionUpdate) {
			case "agent_message_chunk":
			case "agent_thought_chunk": {
				const piece = contentText(update.content);
				if (piece === "") return;
				this.#beginOwnTurn();
				const type = update.sessionUpdate === "agent_message_chunk" ? "text_delta" : "thought_delta";
				this.#events.push({ type, messageId: text(update.messageId) ?? `message-${this.#messages}`, text: piece });
				return this.#endOwnTurn();
			}
			case "tool_call":
			case "tool_call_update":
				return this.#toolCall(update, raw);
			default:
				this.#raw(raw);
		}
	}

	/**
	 * Version 1 has no word for work without a prompt, hence none for its end. So that the next prompt need not wait for
	 * an end that never comes, what comes between prompts is a turn for itself, each update one, and a request for
	 * permission one that lasts until it is answered.
	 */
	#beginOwnTurn(): void {
		if (this.#turn.phase !== "none") return;
		this.#turn = { phase: "own" };
		this.#messages += 1;
		this.#events.push({ type: "turn_started" });
	}

	#endOwnTurn(): void {
		if (this.#turn.phase === "own" && this.#asks.size === 0) this.#endTurn("end_turn");
	}

	/** Merges what an agent says of a call, and tells the call once its input can be complete: opencode sends it late. */
	#toolCall(update: Record<string, unknown>, raw: string): void {
		const toolCallId = text(update.toolCallId);
		if (toolCallId === undefined) return this.#raw(raw);
		const call = this.#call(toolCallId, update);
		const { status } = update;
		if (call.ended || (status !== "in_progress" && status !== "completed" && status !== "failed")) return;
		this.#beginOwnTurn();
		this.#tell(toolCallId, call);
		if (status !== "in_progress") {
			call.ended = true;
			this.#events.push({ type: "tool_result", toolCallId, status, output: outputText(update) });
		}
		this.#endOwnTurn();
	}

	#call(toolCallId: string, update: Record<string, unknown>): Call {
		const call = this.#calls.get(toolCallId) ?? {
			kind: undefined,
			tool: undefined,
			title: undefined,
			input: {},
			told: false,
			ended: false,
		};
		const title = text(update.title);
		// opencode's first title is the tool's name; later ones describe the call.
		const named = title !== undefined && /^[\w.-]+$/.test(title) ? title : undefined;
		call.tool ??= text(update.name) ?? named ?? text(update.kind);
		call.kind ??= text(update.kind);
		call.title = title ?? call.title;
		if (update.rawInput !== undefined && update.rawInput !== null) call.input = update.rawInput;
		this.#calls.set(toolCallId, call);
		for (const oldest of this.#calls.keys()) {
			if (this.#calls.size <= MAX_CALLS) break;
			this.#calls.delete(oldest);
		}
		return call;
	}

	#tell(toolCallId: string, call: Call): void {
		if (call.told) return;
		call.told = true;
		// What follows a call is another message, where the agent does not name them.
		this.#messages += 1;
		this.#events.push({ type: "tool_call", toolCallId, tool: call.tool ?? "tool", ...titleOf(call), input: call.input });
	}

	#askPermission(id: unknown, params: Record<string, unknown>): void {
		const asked = record(params.toolCall);
		const requestId = JSON.stringify(id);
		const toolCallId = text(asked.toolCallId);
		this.#asks.set(requestId, { id, options: list(params.options).map(record) });
		this.#beginOwnTurn();
		const call = this.#call(toolCallId ?? requestId, asked);
		if (toolCallId !== undefined) this.#tell(toolCallId, call);
		const of = toolCallId === undefined ? {} : { toolCallId };
		const kind = call.kind === undefined ? {} : { kind: call.kind };
		this.#events.push({
			type: "approval_requested",
			requestId,
			...of,
			tool: call.tool ?? "tool",
			...kind,
			...titleOf(call),
			input: call.input,
		});
	}

	// ------------------------------------------------------------ the end of a turn

	#promptEnded(result: Record<string, unknown>): void {
		const stopReason = text(result.stopReason);
		if (isStopReason(stopReason)) return this.#finishTurn(record(result.usage), stopReason);
		const detail = `the agent ended the turn with the unknown stop reason ${JSON.stringify(result.stopReason)}`;
		this.#finishTurn(record(result.usage), "failed", { code: "internal", detail });
	}

	#finishTurn(usage: Record<string, unknown>, stopReason: StopReason, error?: Failure): void {
		this.#withdrawAll("the turn ended");
		const spent = this.#usage(usage);
		if (spent !== null) this.#events.push({ type: "usage", ...spent });
		this.#endTurn(stopReason, error);
	}

	/** Tokens of the turn as the agent counts them, cost as the difference of its totals; null if it says neither. */
	#usage(usage: Record<string, unknown>): Usage | null {
		const { inputTokens, outputTokens, cachedReadTokens, cachedWriteTokens } = usage;
		const known = this.#totalCost !== null && this.#costBefore !== null && this.#totalCost >= this.#costBefore;
		const costUsd = known ? Math.round(((this.#totalCost ?? 0) - (this.#costBefore ?? 0)) * 1e9) / 1e9 : null;
		if (costUsd === null && inputTokens === undefined && outputTokens === undefined) return null;
		return {
			inputTokens: whole(inputTokens),
			outputTokens: whole(outputTokens),
			cacheReadTokens: whole(cachedReadTokens),
			cacheWriteTokens: whole(cachedWriteTokens),
			costUsd,
		};
	}

	#endTurn(stopReason: StopReason, error?: Failure): void {
		this.#turn = { phase: "none" };
		this.#interrupted = false;
		for (const [id, call] of this.#calls) if (call.ended) this.#calls.delete(id);
		this.#events.push({ type: "turn_ended", stopReason, ...(error === undefined ? {} : { error }) });
	}
}

/** The session's setting of a category, where it is one of several values. */
function selectOf(session: Record<string, unknown>, category: string): { id: string; current: unknown; values: string[] } | undefined {
	for (const option of list(session.configOptions).map(record)) {
		const id = text(option.id);
		if (id === undefined || option.type !== "select" || option.category !== category) continue;
		// Options stand in the list themselves or in groups.
		const options = list(option.options).flatMap((entry) => (Array.isArray(record(entry).options) ? list(record(entry).options) : [entry]));
		return { id, current: option.currentValue, values: options.flatMap((entry) => text(record(entry).value) ?? []) };
	}
	return undefined;
}

/** A content block as text; pictures and the like are only named. */
function contentText(content: unknown): string {
	const block = record(content);
	if (typeof block.text === "string") return block.text;
	const where = text(block.uri) ?? text(record(block.resource).uri);
	return `[${text(block.type) ?? "unknown"}${where === undefined ? "" : ` ${where}`}]`;
}

/** What a call gave: its content as text, else what the tool itself returned. */
function outputText(update: Record<string, unknown>): string {
	const pieces = list(update.content).flatMap((item) => {
		const { type, content, path } = record(item);
		if (type === "content") return [contentText(content)];
		return type === "diff" ? [`[diff ${text(path) ?? ""}]`] : [];
	});
	if (pieces.length > 0) return pieces.join("\n");
	const { rawOutput } = update;
	if (rawOutput === undefined || rawOutput === null) return "";
	return typeof rawOutput === "string" ? rawOutput : JSON.stringify(rawOutput);
}

const titleOf = ({ tool, title }: Call): { title?: string } => (title === undefined || title === tool ? {} : { title });
const isCost = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value) && value >= 0;
/** As `count`, within what the log's integers hold. */
const whole = (value: unknown): number => Math.min(count(value), Number.MAX_SAFE_INTEGER);
const STOP_REASONS: readonly string[] = ["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"] satisfies AcpStopReason[];
const isStopReason = (value: string | undefined): value is AcpStopReason => value !== undefined && STOP_REASONS.includes(value);
