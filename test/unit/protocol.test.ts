import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const text = (path: string): string => readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");
const RULE = /\b([A-Z]{3}-\d+)\b/g;

/** The titles of all tests: the first string of each `test(`, `it(` or table row that begins with a rule. */
const titles = ["unit", "workerd", "e2e"]
	.flatMap((layer) => readdirSync(new URL(`../${layer}`, import.meta.url)).map((name) => `test/${layer}/${name}`))
	.filter((path) => path.endsWith(".test.ts"))
	.flatMap((path) => text(path).match(/["'`]\s*(?:\[(?:[A-Z]{3}-\d+|P\d+)\]\s*)+/g) ?? []);

test("every rule of PROTOCOL.md is carried by a test that names it, and no test names one that is not there", () => {
	const rules = [...text("shared/PROTOCOL.md").matchAll(/^- \*\*([A-Z]{3}-\d+)\*\*/gm)].map((m) => m[1] ?? "");
	const named = new Set(titles.flatMap((title) => [...title.matchAll(RULE)].map((m) => m[1] ?? "")));
	expect(rules.length).toBeGreaterThan(60);
	expect(new Set(rules).size).toBe(rules.length);
	expect(rules.filter((rule) => !named.has(rule))).toEqual([]);
	expect([...named].filter((rule) => !rules.includes(rule))).toEqual([]);
});
