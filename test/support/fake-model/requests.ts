import { asList, asObject, asText } from "./json.ts";

export type Protocol = "anthropic" | "chat" | "responses";

export interface Turn {
	role: "user" | "assistant" | "other";
	text: string;
	/** The text of each content block, since CLIs put their own blocks beside the person's. */
	blocks: string[];
}

export interface OfferedTool {
	schema: Record<string, unknown>;
	/** Takes plain text instead of JSON. */
	freeform: boolean;
}

/** A request of any of the protocols, made uniform. */
export interface ModelRequest {
	protocol: Protocol;
	model: string;
	stream: boolean;
	/** Chat only says what it used if it is asked to. */
	wantsUsage: boolean;
	system: string;
	turns: Turn[];
	/** Of the structured output that is wanted, if any. */
	schema: unknown;
	tools: Map<string, OfferedTool>;
}

export function readRequest(protocol: Protocol, body: unknown): ModelRequest {
	const b = asObject(body);
	const common = { protocol, model: asText(b.model), stream: b.stream === true };
	switch (protocol) {
		case "anthropic":
			return {
				...common,
				wantsUsage: true,
				system: textOf(b.system),
				turns: asList(b.messages).map(turn),
				schema: asObject(asObject(b.output_config).format ?? b.output_format).schema,
				tools: new Map(
					asList(b.tools).map((t) => [asText(asObject(t).name), { schema: asObject(asObject(t).input_schema), freeform: false }]),
				),
			};
		case "chat": {
			const messages = asList(b.messages).map(asObject);
			const functions = asList(b.tools).map((t) => asObject(asObject(t).function));
			return {
				...common,
				wantsUsage: asObject(b.stream_options).include_usage === true,
				system: textOf(messages.find((m) => m.role === "system" || m.role === "developer")?.content),
				turns: messages.filter((m) => m.role === "user" || m.role === "assistant").map(turn),
				schema: asObject(asObject(b.response_format).json_schema).schema,
				tools: new Map(functions.map((f) => [asText(f.name), { schema: asObject(f.parameters), freeform: false }])),
			};
		}
		case "responses": {
			const tools = asList(b.tools).map(asObject);
			const flat = tools.flatMap((t) => (t.type === "namespace" ? asList(t.tools).map(asObject) : [t]));
			return {
				...common,
				wantsUsage: true,
				system: asText(b.instructions),
				turns: responsesTurns(typeof b.input === "string" ? [{ role: "user", content: b.input }] : asList(b.input)),
				schema: asObject(asObject(b.text).format).schema,
				tools: new Map(flat.map((t) => [asText(t.name ?? t.type), { schema: asObject(t.parameters), freeform: t.type === "custom" }])),
			};
		}
	}
}

function turn(message: unknown): Turn {
	const { role, content } = asObject(message);
	return {
		role: role === "user" || role === "assistant" ? role : "other",
		text: textOf(content),
		blocks: Array.isArray(content) ? content.map((c) => textOf([c])) : [textOf(content)],
	};
}

/** Responses input is a flat list of items: those of one model answer count as one turn. */
function responsesTurns(items: unknown[]): Turn[] {
	const turns: Turn[] = [];
	let open: Turn | null = null;
	for (const item of items) {
		const { role, type, content } = asObject(item);
		if (role === "user" || role === "system" || role === "developer") {
			turns.push(turn(item));
			open = null;
		} else if (asText(type).endsWith("_output")) open = null;
		else if (open !== null) open.text += textOf(content);
		else {
			open = { role: "assistant", text: textOf(content), blocks: [] };
			turns.push(open);
		}
	}
	return turns;
}

const TEXT_TYPES: unknown[] = ["text", "input_text", "output_text", undefined];

function textOf(content: unknown): string {
	if (typeof content === "string") return content;
	return asList(content)
		.map((c) => (typeof c === "string" ? c : TEXT_TYPES.includes(asObject(c).type) ? asText(asObject(c).text) : ""))
		.join("\n");
}
