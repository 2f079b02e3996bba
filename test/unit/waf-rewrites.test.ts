import { describe, expect, test } from "vitest";
import { judgeCommand, RULES } from "../../shared/waf/command.ts";
import type { Place } from "../../shared/waf/verdict.ts";
import { REWRITES, random } from "../support/rewrites.ts";

const place: Place = { workDir: "/srv/work/project", cwd: "/srv/work/project", home: "/home/ann" };
const denied = [...RULES.values()].filter((rule) => rule.verdict === "deny").flatMap((rule) => rule.examples.match);

describe("what is denied stays stopped however it is written", () => {
	// Each kind with every second attack, each attack with every second kind: all of them would take as long as the rest of this layer.
	test.each(REWRITES.map((rewrite, kind) => [rewrite.name, rewrite, kind] as const))("%s", (_, rewrite, kind) => {
		const next = random(20_261_123);
		const through = denied.flatMap((text, attack) => {
			if ((kind + attack) % 2 === 1) return [];
			const other = rewrite.apply(text, next);
			return other === null || judgeCommand(other, place).verdict !== "allow" ? [] : [other];
		});
		expect(through).toEqual([]);
	});

	test("two rewrites on top of each other", () => {
		const next = random(7);
		const through = denied.flatMap((text) => {
			const [a, b] = [REWRITES[Math.floor(next() * REWRITES.length)], REWRITES[Math.floor(next() * REWRITES.length)]];
			const once = a?.apply(text, next) ?? text;
			const twice = b?.apply(once, next) ?? once;
			return judgeCommand(twice, place).verdict === "allow" ? [twice] : [];
		});
		expect(through).toEqual([]);
	});
});
