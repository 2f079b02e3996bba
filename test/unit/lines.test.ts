import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Line, LineSplitter } from "../../runner/lines.ts";

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
/** All lines of these chunks, split at most so long. */
const split = (chunks: Uint8Array[], maxBytes = 100): Line[] => {
	const splitter = new LineSplitter(maxBytes);
	return chunks.flatMap((chunk) => splitter.push(chunk));
};
/** One chunk cut at these places. */
const cutAt = (bytes: Uint8Array, cuts: number[]): Uint8Array[] => {
	const at = [0, ...[...cuts].sort((a, b) => a - b), bytes.length];
	return at.slice(1).map((end, n) => bytes.subarray(at[n], end));
};

describe("lines", () => {
	test.each<[string, string, Line[]]>([
		["nothing", "", []],
		["no newline yet", "abc", []],
		[
			"two lines and a rest",
			"ab\nc\nd",
			[
				{ text: "ab", end: 3 },
				{ text: "c", end: 5 },
			],
		],
		[
			"empty lines are lines",
			"\n\na\n",
			[
				{ text: "", end: 1 },
				{ text: "", end: 2 },
				{ text: "a", end: 4 },
			],
		],
		[
			"a carriage return stays in its line",
			"a\r\n\r\nb\rc\n",
			[
				{ text: "a\r", end: 3 },
				{ text: "\r", end: 5 },
				{ text: "b\rc", end: 9 },
			],
		],
		[
			"ends count bytes",
			"ü\n漢\n😀\n",
			[
				{ text: "ü", end: 3 },
				{ text: "漢", end: 7 },
				{ text: "😀", end: 12 },
			],
		],
		["other line ends are none", "a\u2028b\u0085c\u0000\n", [{ text: "a\u2028b\u0085c\u0000", end: 10 }]],
	])("[PRV-3] %s", (_, text, lines) => {
		expect(split([utf8(text)])).toEqual(lines);
	});

	test("[PRV-3] bytes that are not UTF-8 become signs that say so, in their line only", () => {
		expect(split([new Uint8Array([0xff, 0x61, 10, 0x62, 10])])).toEqual([
			{ text: "\ufffda", end: 3 },
			{ text: "b", end: 5 },
		]);
	});

	test("[LIM-5] a line exactly as long as the limit is kept, one byte more is not, and the next line is fine", () => {
		expect(split([utf8("12345\n123456\nü12345\nab\n")], 5)).toEqual([
			{ text: "12345", end: 6 },
			{ text: null, end: 13 },
			{ text: null, end: 21 },
			{ text: "ab", end: 24 },
		]);
	});

	test("[PRV-3] what was given is not held: the caller may use its buffer again", () => {
		const splitter = new LineSplitter(100);
		const buffer = utf8("ab");
		splitter.push(buffer);
		buffer.fill(0);
		expect(splitter.push(utf8("c\n"))).toEqual([{ text: "abc", end: 4 }]);
	});

	test("[PRV-3] any cut of the same bytes gives the same lines with the same ends", () => {
		const piece = fc.constantFrom("\n", "\n", "a", "ü", "漢", "😀", "\r\n", "long".repeat(10), "\u0000");
		fc.assert(
			fc.property(
				fc.array(piece, { maxLength: 60, size: "max" }),
				fc.array(fc.nat({ max: 200 }), { maxLength: 40, size: "max" }),
				(pieces, cuts) => {
					const text = pieces.join("");
					const bytes = utf8(text);
					const whole = split([bytes], 30);
					expect(
						split(
							cutAt(
								bytes,
								cuts.filter((cut) => cut <= bytes.length),
							),
							30,
						),
					).toEqual(whole);
					expect(
						split(
							Array.from(bytes, (_, n) => bytes.subarray(n, n + 1)),
							30,
						),
					).toEqual(whole);
					const asText = text.split("\n").slice(0, -1);
					expect(whole.map((line) => line.text)).toEqual(asText.map((line) => (utf8(line).length > 30 ? null : line)));
				},
			),
		);
	});
});
