import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { decode, encode } from "../../shared/codec.ts";
import { ClientFrame } from "../../shared/frames.ts";
import { MAX_DEPTH } from "../../shared/limits.ts";

const nested = (depth: number, open = "[", close = "]"): string => open.repeat(depth) + (open === "[" ? "" : "1") + close.repeat(depth);

/** Notices whether anything was parsed. */
function watched(): { schema: z.ZodType; seen: () => unknown[] } {
	const seen: unknown[] = [];
	const schema = z.unknown().transform((value) => {
		seen.push(value);
		return value;
	});
	return { schema, seen: () => seen };
}

describe("codec", () => {
	test("[LIM-2] a frame over its limit is refused before it is parsed", () => {
		for (const [text, max] of [
			['"aaaaaaaa"', 9],
			['"ééé"', 7],
			['"😀"', 5],
			['{"unfinished', 4],
		] as const) {
			const { schema, seen } = watched();
			expect(decode(schema, text, max), text).toMatchObject({ ok: false, error: { code: "too_large" } });
			expect(seen()).toEqual([]);
		}
	});

	test("[LIM-2] a frame is taken exactly up to its limit in bytes", () => {
		fc.assert(
			fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
				const json = JSON.stringify(text);
				const bytes = Buffer.byteLength(json);
				expect(decode(z.string(), json, bytes)).toEqual({ ok: true, value: text });
				expect(decode(z.string(), json, bytes - 1)).toMatchObject({ ok: false, error: { code: "too_large" } });
			}),
		);
	});

	test("[LIM-3] JSON that nests too deep is refused, not recursed into", () => {
		const max = 10_000_000;
		for (const text of [nested(MAX_DEPTH + 1), nested(MAX_DEPTH + 1, '{"a":', "}"), "[".repeat(1_000_000), nested(1_000_000)]) {
			const { schema, seen } = watched();
			const got = decode(schema, text, max);
			expect(got).toMatchObject({ ok: false, error: { code: "bad_request" } });
			expect(got.ok ? "" : got.error.detail).toContain("levels");
			expect(seen()).toEqual([]);
		}
		expect(decode(z.unknown(), nested(MAX_DEPTH), max).ok).toBe(true);
		expect(decode(z.unknown(), nested(MAX_DEPTH, '{"a":', "}"), max).ok).toBe(true);
	});

	test("[LIM-3] brackets inside strings are not nesting, whatever is quoted before them", () => {
		fc.assert(
			fc.property(fc.array(fc.constantFrom("[", "{", "]", "}", '"', "\\", "a"), { maxLength: 300 }), (pieces) => {
				const value = { text: pieces.join("") };
				expect(decode(z.unknown(), JSON.stringify(value), 100_000)).toEqual({ ok: true, value });
			}),
		);
	});

	test("[LNK-3] whatever comes, a frame is taken or refused with a reason, and nothing is thrown", () => {
		const anything = fc.oneof(
			fc.string({ unit: "binary" }),
			fc.json(),
			fc.record({ type: fc.constantFrom("hello", "input", "decide", "ack", "__proto__") }).map((v) => JSON.stringify(v)),
		);
		fc.assert(
			fc.property(anything, (text) => {
				const got = decode(ClientFrame, text, 4096);
				if (!got.ok) expect(got.error.detail.length).toBeGreaterThan(0);
			}),
		);
	});

	test("[LNK-3] a refusal names the field that is wrong, or what the frame is instead of JSON text", () => {
		const detail = (text: string | ArrayBuffer): string => {
			const got = decode(ClientFrame, text, 4096);
			return got.ok ? "it was taken" : got.error.detail;
		};
		expect(detail('{"type":"input","clientId":"c","text":7}')).toMatch(/^text: /);
		expect(detail('{"type":"ack","offset":-1}')).toMatch(/^offset: /);
		expect(detail('{"type":"no_such_frame"}')).toMatch(/^type: /);
		expect(detail(new ArrayBuffer(2))).toContain("binary");
		expect(detail("{")).toContain("not JSON");
	});

	test("[LNK-3] fields that this version does not know are ignored, so that a later peer can add some", () => {
		expect(decode(ClientFrame, '{"type":"interrupt","later":1}', 4096)).toEqual({ ok: true, value: { type: "interrupt" } });
	});

	test("[FRM-2] a frame's text is one line of plain JSON", () => {
		expect(encode({ type: "input", text: "a\nb" } as { type: string })).toBe('{"type":"input","text":"a\\nb"}');
	});
});
