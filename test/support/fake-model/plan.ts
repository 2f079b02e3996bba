import { createHash, randomUUID } from "node:crypto";
import { Args, hasDirectives, parseScript } from "./directives.ts";
import { asList, asObject, asText } from "./json.ts";
import type { ModelRequest, Turn } from "./requests.ts";
import { type ToolCall, toolCall } from "./tools.ts";

/** One model answer, as deltas and tool calls, with the faults that are to happen in it. Positions count deltas. */
export interface Plan {
	think: string[];
	text: string[];
	calls: ToolCall[];
	/** What was played, for the log line. */
	note: string;
	rate?: number;
	firstMs: number;
	stop?: string;
	hang?: { seconds: number; after: number };
	error?: { status: number; type?: string | undefined; message?: string | undefined; retryAfter?: string | undefined };
	streamError?: { type: string; message: string; after: number };
	cutAfter?: number;
	badAfter?: number;
}

export interface PlanMemory {
	/** How often a step of a turn was asked for, for `times=N`. */
	attempts: Map<string, number>;
	/** Default length of a text answer. */
	tokens: number;
}

const HOUSEKEEPING = /title|summar|topic|conversation name|suggest/i;

export function plan(req: ModelRequest, memory: PlanMemory): Plan {
	if (req.schema !== undefined && req.tools.size === 0) return { ...say([JSON.stringify(sample(req.schema))], "structured") };
	if (req.tools.size === 0 && HOUSEKEEPING.test(req.system)) return say(split("Scripted session"), "housekeeping");
	const at = req.turns.findLastIndex((t) => scriptOf(t) !== undefined);
	const source = req.turns[at];
	if (source === undefined) {
		const said = req.turns.findLast((t) => t.role === "user")?.text ?? "";
		return say(split(`Fake answer to: ${said.trim().split("\n").at(-1)?.slice(0, 60)}`), "no directive");
	}
	const script = parseScript(scriptOf(source) ?? "");
	const index = req.turns.slice(at + 1).filter((t) => t.role === "assistant").length;
	const step = script[index] ?? [{ name: "text", args: new Args(new Map([["text", "Script finished."]])) }];
	const key = createHash("sha1")
		.update(JSON.stringify([req.turns.map((t) => t.text), index]))
		.digest("hex");
	const tries = (memory.attempts.get(key) ?? 0) + 1;
	memory.attempts.set(key, tries);

	const out = say([], `step ${index + 1}/${script.length}`);
	for (const { name, args } of step) {
		// `times=N`: only the first N tries fail.
		const fails = !args.has("times") || args.number("times", 0) === 0 || tries <= args.number("times", 0);
		out.note += ` ${name}`;
		if (args.has("rate")) out.rate = args.number("rate", 0);
		if (args.has("first")) out.firstMs = args.number("first", 0);
		switch (name) {
			case "text":
				out.text.push(...words(args, memory.tokens));
				break;
			case "think":
				out.think.push(...words(args, 10, "thought"));
				break;
			case "bash":
			case "write":
			case "read":
			case "ask":
			case "tool": {
				const call = toolCall(name, args, req.tools);
				if ("missing" in call) out.text.push(...split(`Tool ${call.missing} is not offered.`));
				else out.calls.push({ ...call, id: randomUUID().replaceAll("-", "").slice(0, 24) });
				break;
			}
			case "long":
				out.rate = 1;
				out.text.push(...numbered(args.number("seconds", 60)));
				break;
			case "hang":
				out.hang = { seconds: args.number("seconds", 600), after: args.number("after", 0) };
				break;
			case "stop":
				out.stop = args.text("reason") ?? "max_tokens";
				break;
			case "error":
				if (fails)
					out.error = {
						status: args.number("status", 529),
						type: args.text("type"),
						message: args.text("message"),
						retryAfter: args.text("retry_after"),
					};
				break;
			case "streamerror":
				if (fails)
					out.streamError = {
						type: args.text("type") ?? "overloaded_error",
						message: args.text("message") ?? "Overloaded",
						after: args.number("after", 3),
					};
				break;
			case "disconnect":
				if (fails) out.cutAfter = args.number("after", 5);
				break;
			case "badjson":
				if (fails) out.badAfter = args.number("after", 3);
				break;
			default:
				out.text.push(...split(`Unknown directive fake:${name}.`));
		}
	}
	if (out.text.length === 0 && out.calls.length === 0) out.text = words(step.at(-1)?.args ?? new Args(), memory.tokens);
	return out;
}

const say = (text: string[], note: string): Plan => ({ think: [], text, calls: [], note, firstMs: 0 });

/** The newest block with directives: CLIs merge the prompt of a failed turn with the next one. */
function scriptOf(turn: Turn): string | undefined {
	if (turn.role !== "user") return undefined;
	// A CLI that quotes its arguments again.
	const blocks = turn.blocks.map((t) => (/=\\"/.test(t) && !/="/.test(t) ? t.replaceAll('\\"', '"') : t));
	return blocks.findLast(hasDirectives);
}

/** The given words, or numbered ones. */
function words(args: Args, tokens: number, stem = "token"): string[] {
	const text = args.text("text");
	return text === undefined ? numbered(args.number("tokens", tokens), stem) : split(text);
}
const split = (text: string): string[] => text.match(/\s*\S+\s*$|\s*\S+/g) ?? [text];
const numbered = (count: number, stem = "token"): string[] =>
	Array.from({ length: Math.max(0, count) }, (_, i) => `${i > 0 ? " " : ""}${stem}${i + 1}`);

/** The smallest value that fits a JSON schema. */
function sample(schema: unknown): unknown {
	const s = asObject(schema);
	if (Array.isArray(s.enum)) return s.enum[0];
	if (s.const !== undefined) return s.const;
	const variant = asList(s.anyOf)[0] ?? asList(s.oneOf)[0];
	if (variant !== undefined) return sample(variant);
	switch (asText(Array.isArray(s.type) ? s.type[0] : (s.type ?? (s.properties ? "object" : "string"))).toLowerCase()) {
		case "object":
			return Object.fromEntries(Object.entries(asObject(s.properties)).map(([k, v]) => [k, sample(v)]));
		case "array":
			return [];
		case "boolean":
			return false;
		case "number":
		case "integer":
			return s.minimum ?? 0;
		case "null":
			return null;
		default:
			return "fake";
	}
}
