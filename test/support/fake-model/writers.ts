import type { Plan } from "./plan.ts";
import type { ModelRequest, Protocol } from "./requests.ts";
import type { ToolCall } from "./tools.ts";

/** An SSE event's name, which may be empty, and its data; text goes out as it is. */
export type SseEvent = [name: string, data: unknown];
export interface StreamError {
	type: string;
	message: string;
}

/** How a protocol says an answer: piece by piece, or whole. `outTokens` is what the usage reports. */
export interface Writer {
	start(): SseEvent[];
	think(delta: string): SseEvent[];
	text(delta: string): SseEvent[];
	call(call: ToolCall): SseEvent[];
	end(plan: Plan, outTokens: number): SseEvent[];
	error(error: StreamError): SseEvent[];
	whole(plan: Plan, outTokens: number): unknown;
}

export function writerFor(protocol: Protocol, req: ModelRequest, id: string, inTokens: number): Writer {
	switch (protocol) {
		case "anthropic":
			return new AnthropicWriter(req, id, inTokens);
		case "chat":
			return new ChatWriter(req, id, inTokens);
		case "responses":
			return new ResponsesWriter(req, id, inTokens);
	}
}

export const callText = (call: ToolCall): string => (call.freeform ? String(call.input) : JSON.stringify(call.input));
const chunks = (text: string): string[] => text.match(/.{1,12}/gs) ?? [""];
const now = (): number => Math.floor(Date.now() / 1000);

class AnthropicWriter implements Writer {
	readonly #req: ModelRequest;
	readonly #id: string;
	readonly #inTokens: number;
	#index = -1;
	/** The open content block, "" for none. */
	#open = "";

	constructor(req: ModelRequest, id: string, inTokens: number) {
		this.#req = req;
		this.#id = `msg_${id}`;
		this.#inTokens = inTokens;
	}
	start(): SseEvent[] {
		return [
			["message_start", { type: "message_start", message: this.#message([], null, 1) }],
			["ping", { type: "ping" }],
		];
	}
	think(delta: string): SseEvent[] {
		return [
			...this.#block("thinking", { type: "thinking", thinking: "", signature: "" }),
			this.#delta({ type: "thinking_delta", thinking: delta }),
		];
	}
	text(delta: string): SseEvent[] {
		return [...this.#block("text", { type: "text", text: "" }), this.#delta({ type: "text_delta", text: delta })];
	}
	call(call: ToolCall): SseEvent[] {
		const opened = this.#block(`tool:${call.id}`, { type: "tool_use", id: `toolu_${call.id}`, name: call.name, input: {} });
		return [...opened, ...chunks(callText(call)).map((p) => this.#delta({ type: "input_json_delta", partial_json: p }))];
	}
	end(plan: Plan, outTokens: number): SseEvent[] {
		const delta = { stop_reason: stopReason(plan), stop_sequence: null };
		return [
			...this.#close(),
			["message_delta", { type: "message_delta", delta, usage: this.#usage(outTokens) }],
			["message_stop", { type: "message_stop" }],
		];
	}
	error(error: StreamError): SseEvent[] {
		return [["error", { type: "error", error: { type: error.type, message: error.message } }]];
	}
	whole(plan: Plan, outTokens: number): unknown {
		const content: unknown[] = [];
		if (plan.think.length > 0) content.push({ type: "thinking", thinking: plan.think.join(""), signature: SIGNATURE });
		if (plan.text.length > 0) content.push({ type: "text", text: plan.text.join("") });
		for (const c of plan.calls) content.push({ type: "tool_use", id: `toolu_${c.id}`, name: c.name, input: c.input });
		return this.#message(content, stopReason(plan), outTokens);
	}
	#usage(outTokens: number): unknown {
		return {
			input_tokens: this.#inTokens,
			cache_creation_input_tokens: 0,
			cache_read_input_tokens: 0,
			output_tokens: outTokens,
			service_tier: "standard",
		};
	}
	#message(content: unknown[], stop: string | null, outTokens: number): unknown {
		const { model } = this.#req;
		const usage = this.#usage(outTokens);
		return { id: this.#id, type: "message", role: "assistant", model, content, stop_reason: stop, stop_sequence: null, usage };
	}
	#delta(delta: unknown): SseEvent {
		return ["content_block_delta", { type: "content_block_delta", index: this.#index, delta }];
	}
	#block(kind: string, block: unknown): SseEvent[] {
		if (this.#open === kind) return [];
		const closing = this.#close();
		this.#open = kind;
		this.#index++;
		return [...closing, ["content_block_start", { type: "content_block_start", index: this.#index, content_block: block }]];
	}
	#close(): SseEvent[] {
		if (this.#open === "") return [];
		const signed = this.#open === "thinking" ? [this.#delta({ type: "signature_delta", signature: SIGNATURE })] : [];
		this.#open = "";
		return [...signed, ["content_block_stop", { type: "content_block_stop", index: this.#index }]];
	}
}
const SIGNATURE = "ZmFrZS1zaWduYXR1cmU=";
const stopReason = (plan: Plan): string => plan.stop ?? (plan.calls.length > 0 ? "tool_use" : "end_turn");

class ChatWriter implements Writer {
	readonly #req: ModelRequest;
	readonly #id: string;
	readonly #inTokens: number;
	#calls = 0;

	constructor(req: ModelRequest, id: string, inTokens: number) {
		this.#req = req;
		this.#id = `chatcmpl-${id}`;
		this.#inTokens = inTokens;
	}
	start(): SseEvent[] {
		return [this.#chunk({ role: "assistant", content: "" })];
	}
	think(delta: string): SseEvent[] {
		return [this.#chunk({ reasoning_content: delta })];
	}
	text(delta: string): SseEvent[] {
		return [this.#chunk({ content: delta })];
	}
	call(call: ToolCall): SseEvent[] {
		const index = this.#calls++;
		const head = { index, id: `call_${call.id}`, type: "function", function: { name: call.name, arguments: "" } };
		const pieces = chunks(callText(call)).map((p) => this.#chunk({ tool_calls: [{ index, function: { arguments: p } }] }));
		return [this.#chunk({ tool_calls: [head] }), ...pieces];
	}
	end(plan: Plan, outTokens: number): SseEvent[] {
		const events = [this.#chunk({}, finishReason(plan))];
		if (this.#req.wantsUsage) events.push(["", { ...this.#envelope(), choices: [], usage: this.#usage(outTokens) }]);
		return [...events, ["", "[DONE]"]];
	}
	error(error: StreamError): SseEvent[] {
		return [["", { error: { message: error.message, type: error.type, code: error.type } }]];
	}
	whole(plan: Plan, outTokens: number): unknown {
		const calls = plan.calls.map((c) => ({ id: `call_${c.id}`, type: "function", function: { name: c.name, arguments: callText(c) } }));
		const message = { role: "assistant", content: plan.text.join("") || null, ...(calls.length > 0 && { tool_calls: calls }) };
		const choices = [{ index: 0, message, finish_reason: finishReason(plan) }];
		return { ...this.#envelope(), object: "chat.completion", choices, usage: this.#usage(outTokens) };
	}
	#envelope(): object {
		return { id: this.#id, object: "chat.completion.chunk", created: now(), model: this.#req.model };
	}
	#chunk(delta: unknown, finish: string | null = null): SseEvent {
		return ["", { ...this.#envelope(), choices: [{ index: 0, delta, finish_reason: finish }] }];
	}
	#usage(outTokens: number): unknown {
		return {
			prompt_tokens: this.#inTokens,
			completion_tokens: outTokens,
			total_tokens: this.#inTokens + outTokens,
			prompt_tokens_details: { cached_tokens: 0 },
		};
	}
}
const finishReason = (plan: Plan): string =>
	plan.stop === "max_tokens" ? "length" : (plan.stop ?? (plan.calls.length > 0 ? "tool_calls" : "stop"));

type Item = { id: string; status?: string } & (
	| { type: "message"; role: "assistant"; content: unknown[] }
	| { type: "reasoning"; summary: unknown[]; encrypted_content: null }
	| { type: "function_call"; call_id: string; name: string; arguments: string }
	| { type: "custom_tool_call"; call_id: string; name: string; input: string }
);

class ResponsesWriter implements Writer {
	readonly #req: ModelRequest;
	readonly #id: string;
	readonly #inTokens: number;
	readonly #output: Item[] = [];
	#sequence = 0;
	#item: Item | null = null;
	/** What the open item holds so far. */
	#buffer = "";

	constructor(req: ModelRequest, id: string, inTokens: number) {
		this.#req = req;
		this.#id = `resp_${id}`;
		this.#inTokens = inTokens;
	}
	start(): SseEvent[] {
		return ["response.created", "response.in_progress"].map((t) => this.#event(t, { response: this.#response("in_progress") }));
	}
	think(delta: string): SseEvent[] {
		const events: SseEvent[] = [];
		if (this.#item?.type !== "reasoning") {
			const id = `rs_${this.#id}_${this.#output.length}`;
			events.push(...this.#close(), this.#add({ id, type: "reasoning", summary: [], encrypted_content: null }));
			events.push(this.#at("response.reasoning_summary_part.added", { summary_index: 0, part: { type: "summary_text", text: "" } }));
		}
		this.#buffer += delta;
		return [...events, this.#at("response.reasoning_summary_text.delta", { summary_index: 0, delta })];
	}
	text(delta: string): SseEvent[] {
		const events: SseEvent[] = [];
		if (this.#item?.type !== "message") {
			const id = `msg_${this.#id}_${this.#output.length}`;
			events.push(...this.#close(), this.#add({ id, type: "message", status: "in_progress", role: "assistant", content: [] }));
			const part = { type: "output_text", text: "", annotations: [] };
			events.push(this.#at("response.content_part.added", { content_index: 0, part }));
		}
		this.#buffer += delta;
		return [...events, this.#at("response.output_text.delta", { content_index: 0, delta })];
	}
	call(call: ToolCall): SseEvent[] {
		const base = { id: `fc_${call.id}`, status: "in_progress", call_id: `call_${call.id}`, name: call.name };
		const item: Item = call.freeform ? { ...base, type: "custom_tool_call", input: "" } : { ...base, type: "function_call", arguments: "" };
		const events = [...this.#close(), this.#add(item)];
		for (const delta of chunks(callText(call))) {
			this.#buffer += delta;
			events.push(this.#at(call.freeform ? "response.custom_tool_call_input.delta" : "response.function_call_arguments.delta", { delta }));
		}
		return [...events, ...this.#close()];
	}
	end(plan: Plan, outTokens: number): SseEvent[] {
		const closing = this.#close();
		const type = plan.stop === "max_tokens" ? "response.incomplete" : "response.completed";
		return [...closing, this.#event(type, { response: this.#final(plan, outTokens) })];
	}
	error(error: StreamError): SseEvent[] {
		const response = this.#response("failed", { error: { code: error.type, message: error.message } });
		return [this.#event("response.failed", { response })];
	}
	whole(plan: Plan, outTokens: number): unknown {
		for (const t of plan.think) this.think(t);
		for (const t of plan.text) this.text(t);
		for (const c of plan.calls) this.call(c);
		this.#close();
		return this.#final(plan, outTokens);
	}
	#final(plan: Plan, outTokens: number): unknown {
		const usage = {
			input_tokens: this.#inTokens,
			input_tokens_details: { cached_tokens: 0 },
			output_tokens: outTokens,
			output_tokens_details: { reasoning_tokens: 0 },
			total_tokens: this.#inTokens + outTokens,
		};
		if (plan.stop !== "max_tokens") return this.#response("completed", { usage });
		return this.#response("incomplete", { usage, incomplete_details: { reason: "max_output_tokens" } });
	}
	#response(status: string, more: object = {}): unknown {
		const base = { id: this.#id, object: "response", created_at: now(), status, model: this.#req.model, output: [...this.#output] };
		return { ...base, parallel_tool_calls: true, error: null, incomplete_details: null, usage: null, ...more };
	}
	#event(type: string, data: object): SseEvent {
		return [type, { type, sequence_number: this.#sequence++, ...data }];
	}
	#at(type: string, data: object): SseEvent {
		return this.#event(type, { item_id: this.#item?.id, output_index: this.#output.length, ...data });
	}
	#add(item: Item): SseEvent {
		this.#item = item;
		this.#buffer = "";
		return this.#event("response.output_item.added", { output_index: this.#output.length, item: structuredClone(item) });
	}
	#close(): SseEvent[] {
		const item = this.#item;
		if (item === null) return [];
		const events: SseEvent[] = [];
		const text = this.#buffer;
		switch (item.type) {
			case "message": {
				const part = { type: "output_text", text, annotations: [] };
				events.push(this.#at("response.output_text.done", { content_index: 0, text }));
				events.push(this.#at("response.content_part.done", { content_index: 0, part }));
				item.content = [part];
				break;
			}
			case "reasoning": {
				const part = { type: "summary_text", text };
				events.push(this.#at("response.reasoning_summary_text.done", { summary_index: 0, text }));
				events.push(this.#at("response.reasoning_summary_part.done", { summary_index: 0, part }));
				item.summary = [part];
				break;
			}
			case "function_call":
				events.push(this.#at("response.function_call_arguments.done", { arguments: text }));
				item.arguments = text;
				break;
			case "custom_tool_call":
				events.push(this.#at("response.custom_tool_call_input.done", { input: text }));
				item.input = text;
				break;
		}
		item.status = "completed";
		events.push(this.#event("response.output_item.done", { output_index: this.#output.length, item: structuredClone(item) }));
		this.#output.push(item);
		this.#item = null;
		return events;
	}
}
