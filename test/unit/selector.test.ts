import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_SELECTOR_BYTES } from "../../shared/limits.ts";
import { matches, parseSelector, type Selector, selectorErrorText, selectorText } from "../../shared/selector.ts";

const parsed = (text: string): Selector => {
	const selector = parseSelector(text);
	if (!selector.ok) throw new Error(selectorErrorText(selector.error));
	return selector.value;
};

describe("selectors", () => {
	test.each<[string, string, Record<string, string>[], Record<string, string>[]]>([
		["gpu=true", "gpu=true", [{ gpu: "true" }], [{ gpu: "false" }, {}, { GPU: "true" }]],
		["gpu == true", "gpu=true", [{ gpu: "true" }], [{}]],
		["gpu!=true", "gpu!=true", [{ gpu: "false" }, {}], [{ gpu: "true" }]],
		["os in (linux, darwin)", "os in (darwin, linux)", [{ os: "linux" }, { os: "darwin" }], [{ os: "win32" }, {}]],
		["os in(linux)", "os=linux", [{ os: "linux" }], [{ os: "darwin" }]],
		["os notin (linux,linux)", "os!=linux", [{ os: "darwin" }, {}], [{ os: "linux" }]],
		["os notin (b, a)", "os notin (a, b)", [{ os: "c" }, {}], [{ os: "a" }]],
		["gpu", "gpu", [{ gpu: "" }, { gpu: "no" }], [{}]],
		["!spot", "!spot", [{}, { Spot: "x" }], [{ spot: "" }]],
		[" ! spot , gpu ", "!spot,gpu", [{ gpu: "1" }], [{ gpu: "1", spot: "1" }, {}]],
		["b,a,b", "a,b", [{ a: "", b: "" }], [{ a: "" }]],
		["provider/claude-code=2.1.0", "provider/claude-code=2.1.0", [{ "provider/claude-code": "2.1.0" }], [{}]],
		["in in (in, notin)", "in in (in, notin)", [{ in: "notin" }], [{ in: "x" }]],
		["constructor", "constructor", [], [{}]],
		["!constructor", "!constructor", [{}], []],
	])("[SCH-1] %s: reads as %s, and is true of what it says", (text, canonical, of, notOf) => {
		const selector = parsed(text);
		expect(selectorText(selector)).toBe(canonical);
		expect(of.map((labels) => matches(selector, labels))).toEqual(of.map(() => true));
		expect(notOf.map((labels) => matches(selector, labels))).toEqual(notOf.map(() => false));
	});

	test.each<[string, number, string, string]>([
		["", 1, "a label's name", "the end"],
		["  ", 3, "a label's name", "the end"],
		["gpu=", 5, "a value", "the end"],
		["gpu=,os", 5, "a value", '","'],
		["gpu,", 5, "a label's name", "the end"],
		["gpu true", 5, "=, !=, in, notin, a comma or the end", '"true"'],
		["os in linux", 7, '"("', '"linux"'],
		["os in (linux", 13, 'a comma or ")"', "the end"],
		["os in ()", 8, "a value", '")"'],
		["os in (a b)", 10, 'a comma or ")"', '"b"'],
		["gpu=true)", 9, "a comma or the end", '")"'],
		["!", 2, "a label's name", "the end"],
		["gpu!true", 4, "=, !=, in, notin, a comma or the end", '"!"'],
		["gpu=tr\u00fce", 7, "a comma or the end", '"\u00fc"'],
		["gpu=\u{1f600}", 5, "a value", '"\u{1f600}"'],
	])("[SCH-1] %j is refused with its place and what was expected there", (text, at, expected, found) => {
		expect(parseSelector(text)).toEqual({ ok: false, error: { at, expected, found } });
	});

	test("[SCH-1] a selector may be as long as the limit and no longer", () => {
		const longest = "x".repeat(MAX_SELECTOR_BYTES);
		expect(selectorText(parsed(longest))).toBe(longest);
		expect(parseSelector(`${longest}x`)).toMatchObject({ ok: false, error: { expected: `at most ${MAX_SELECTOR_BYTES} characters` } });
	});

	test("[SCH-1] what is taken is not longer in its canonical form than may be taken again", () => {
		const text = Array.from({ length: 85 }, (_, i) => `k${10 + i} in(a,b)`).join(",");
		expect(text.length).toBeLessThanOrEqual(MAX_SELECTOR_BYTES);
		expect(parseSelector(text)).toMatchObject({ ok: false, error: { at: MAX_SELECTOR_BYTES + 1 } });
	});

	const word = fc.constantFrom("gpu", "os", "in", "notin", "a.b/c", "x-1", "true", "linux", "_");
	const requirement = fc.oneof(
		fc.record({ key: word, is: fc.constantFrom("in" as const, "notin" as const), values: fc.array(word, { minLength: 1, maxLength: 4 }) }),
		fc.record({ key: word, is: fc.constantFrom("present" as const, "absent" as const) }),
	);
	const selectors = fc.array(requirement, { minLength: 1, maxLength: 6 });
	const labels = fc.dictionary(word, word, { maxKeys: 6 });

	test("[SCH-1] a selector's canonical text reads as the same selector, whatever its order and doubles", () => {
		fc.assert(
			fc.property(selectors, fc.nat(), (selector, n) => {
				const text = selectorText(selector);
				expect(selectorText(parsed(text))).toBe(text);
				const turned = [...selector.slice(n % selector.length), ...selector.slice(0, n % selector.length), ...selector.slice(0, 1)];
				expect(selectorText(turned)).toBe(text);
			}),
		);
	});

	test("[SCH-1] matching is what a set of labels would say, through the text and back", () => {
		fc.assert(
			fc.property(selectors, labels, (selector, has) => {
				const pairs = new Set(Object.entries(has).map(([k, v]) => `${k}=${v}`));
				const hasAny = (key: string, values: string[]): boolean => values.some((v) => pairs.has(`${key}=${v}`));
				const naive = selector.map((r) => {
					if (r.is === "in") return hasAny(r.key, r.values);
					if (r.is === "notin") return !hasAny(r.key, r.values);
					return Object.keys(has).includes(r.key) === (r.is === "present");
				});
				const expected = !naive.includes(false);
				expect([matches(selector, has), matches(parsed(selectorText(selector)), has)]).toEqual([expected, expected]);
			}),
			{ numRuns: 2000 },
		);
	});

	test("[SCH-1] no text makes it fail otherwise than by saying where", () => {
		const pieces = fc.array(fc.oneof(word, fc.constantFrom("=", "!=", "!", "(", ")", ",", " ", "in", "notin", "\0", "\u00e9")), {
			maxLength: 12,
		});
		fc.assert(
			fc.property(
				fc.oneof(
					fc.string(),
					pieces.map((p) => p.join("")),
				),
				(text) => {
					const selector = parseSelector(text);
					if (selector.ok) expect(selectorText(parsed(selectorText(selector.value)))).toBe(selectorText(selector.value));
					else {
						expect(selector.error.at).toBeGreaterThanOrEqual(1);
						expect(selector.error.at).toBeLessThanOrEqual(text.length + 1);
					}
				},
			),
			{ numRuns: 5000 },
		);
	});
});
