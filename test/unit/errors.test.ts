import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { closeCode, closeReason, ERRORS, ErrorCode, mayComeBack, Problem, problem } from "../../shared/errors.ts";

const codes = ErrorCode.options;

describe("errors", () => {
	test.each(codes)("[ERR-1] %s has a body that says its status, and whether to try again", (code) => {
		const body = problem(code, "because", 1500);
		expect(Problem.parse(body)).toEqual(body);
		expect(body).toMatchObject({ code, status: ERRORS[code].status, retryable: ERRORS[code].retryable, retryAfterMs: 1500 });
		expect(problem(code, "because")).not.toHaveProperty("retryAfterMs");
	});

	test("[ERR-2] every close code says whether to come back, and every error that shares it agrees", () => {
		for (const code of codes) {
			const close = ERRORS[code].close;
			if (close !== null) expect(mayComeBack(close), `${code} ${close}`).toBe(ERRORS[code].retryable);
		}
	});

	test("[LNK-6] an end that nobody chose means: come back; a normal end does not", () => {
		for (const network of [1005, 1006, 1012, 1015, 4999]) expect(mayComeBack(network), String(network)).toBe(true);
		expect(mayComeBack(1000)).toBe(false);
	});

	test("[ERR-3] every close code is one that an application may send", () => {
		for (const code of codes) {
			const close = closeCode(code);
			expect([1000, 1001, 1011, 1012, 1013].includes(close) || (close >= 4000 && close <= 4999), `${code} ${close}`).toBe(true);
		}
	});

	test("[ERR-4] the table of PROTOCOL.md and the table in the code are the same", () => {
		const text = readFileSync(new URL("../../shared/PROTOCOL.md", import.meta.url), "utf8");
		const documented: Record<string, [close: number, comeBack: boolean]> = {};
		for (const [, close, names, back] of text.matchAll(/^\| (\d{4}) \| (`[^|]*`) \| (yes|no) \|/gm))
			for (const [, name] of (names ?? "").matchAll(/`(\w+)`/g)) documented[name ?? ""] = [Number(close), back === "yes"];
		const closing = codes.filter((code) => ERRORS[code].close !== null);
		expect(documented).toEqual(Object.fromEntries(closing.map((code) => [code, [ERRORS[code].close, ERRORS[code].retryable]])));
	});

	test("[ERR-5] a close reason fits 123 bytes, whole characters only, and says as much as fits", () => {
		fc.assert(
			fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => {
				const cut = closeReason(text);
				expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(123);
				expect(text.startsWith(cut)).toBe(true);
				const next = [...text][[...cut].length];
				if (next !== undefined) expect(Buffer.byteLength(cut + next)).toBeGreaterThan(123);
			}),
		);
	});
});
