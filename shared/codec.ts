import type { z } from "zod";
import { type Problem, problem } from "./errors.ts";
import { byteLength } from "./events.ts";
import { MAX_DEPTH } from "./limits.ts";
import { err, ok, type Result } from "./result.ts";

/** Text of the wire to a frame. The only `JSON.parse` of frames and bodies: past it there is no `unknown`. */
export function decode<S extends z.ZodType>(
	schema: S,
	text: string | ArrayBuffer,
	maxBytes: number,
	maxDepth = MAX_DEPTH,
): Result<z.output<S>, Problem> {
	if (typeof text !== "string") return err(problem("bad_request", "frames are JSON text; this one is binary"));
	const json = parse(text, maxBytes, maxDepth);
	return json.ok ? check(schema, json.value) : json;
}

/** Text to JSON of bounded size and depth. */
export function parse(text: string, maxBytes: number, maxDepth = MAX_DEPTH): Result<unknown, Problem> {
	// A string of n units is between n and 3n bytes long; only in between must they be counted.
	if (text.length > maxBytes || (text.length * 3 > maxBytes && byteLength(text) > maxBytes))
		return err(problem("too_large", `at most ${maxBytes} bytes are taken here; this is larger`));
	if (!depthWithin(text, maxDepth)) return err(problem("bad_request", `JSON may nest ${maxDepth} levels deep here; this goes deeper`));
	try {
		return ok(JSON.parse(text));
	} catch (cause) {
		return err(problem("bad_request", `this is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`));
	}
}

/** A parsed value against its schema, with an error that names the field. */
export function check<S extends z.ZodType>(schema: S, json: unknown): Result<z.output<S>, Problem> {
	const parsed = schema.safeParse(json);
	return parsed.success ? ok(parsed.data) : err(problem("bad_request", describe(parsed.error)));
}

/** The first few things that are wrong, each with its place: `text: expected string`. */
export function describe(error: z.ZodError): string {
	return error.issues
		.slice(0, 4)
		.map((i) => (i.path.length > 0 ? `${i.path.map(String).join(".")}: ${i.message}` : i.message))
		.join("; ");
}

export const encode = <F extends { type: string }>(frame: F): string => JSON.stringify(frame);

/** Brackets outside strings, counted before any recursive parser sees the text. */
function depthWithin(text: string, max: number): boolean {
	let depth = 0;
	let inString = false;
	for (let i = 0; i < text.length; i++) {
		const c = text.charCodeAt(i);
		if (inString) {
			if (c === 0x5c) i++;
			else if (c === 0x22) inString = false;
		} else if (c === 0x22) inString = true;
		else if (c === 0x7b || c === 0x5b) {
			if (++depth > max) return false;
		} else if (c === 0x7d || c === 0x5d) depth--;
	}
	return true;
}
