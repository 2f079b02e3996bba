import { describe, expect, test } from "vitest";
import { judgeCommand, RULES } from "../../shared/waf/command.ts";
import type { Place } from "../../shared/waf/verdict.ts";

const place: Place = { workDir: "/srv/work/project", cwd: "/srv/work/project", home: "/home/ann" };

describe("every rule's own examples", () => {
	for (const rule of RULES.values()) {
		for (const text of rule.examples.match)
			test(`${rule.id} objects to: ${text}`, () => {
				expect(judgeCommand(text, place)).toMatchObject({ rule: rule.id, verdict: rule.verdict, category: rule.category });
			});
		for (const text of rule.examples.pass)
			test(`${rule.id} leaves alone: ${text}`, () => {
				expect(judgeCommand(text, place).rule).not.toBe(rule.id);
			});
	}
});
