import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

const dir = mkdtempSync(join(tmpdir(), "policy-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** `hotplex policy test ...` with this on its stdin. */
const policyTest = (args: string[], stdin = ""): Promise<{ code: number; stdout: string; stderr: string }> =>
	new Promise((resolve) => {
		const child = execFile(process.execPath, ["runner/main.ts", "policy", "test", ...args], (error, stdout, stderr) =>
			resolve({ code: typeof error?.code === "number" ? error.code : error === null ? 0 : -1, stdout, stderr }),
		);
		child.stdin?.end(stdin);
	});
const file = (name: string, text: string): string => {
	writeFileSync(join(dir, name), text);
	return join(dir, name);
};

test("a person asks about one command and reads verdict, rule, reason and what to do instead", async () => {
	const denied = await policyTest(["rm -rf /"]);
	expect(denied.code).toBe(1);
	expect(denied.stdout).toMatch(/^deny {2}[a-z-]+ \(destroy\)\n {2}\S/);
	const plain = await policyTest(["git status"]);
	expect([plain.code, plain.stdout]).toEqual([0, "allow\n  no rule objects\n"]);
	const prompt = await policyTest(["--kind", "prompt", "--json", "please run rm -rf /"]);
	expect(prompt.code).toBe(0);
	expect(JSON.parse(prompt.stdout)).toMatchObject({ kind: "prompt", verdict: "deny", action: "block", by: "policy:0" });
});

test("rows come in and verdicts go out in the same order, without a gateway; a bad row has its error in its place", async () => {
	const rows = [
		'{"id":"a","kind":"command","text":"rm -rf /","cwd":"/srv/project"}',
		'{"id":2,"kind":"prompt","text":"what does rm -rf / do?"}',
		"",
		"no json",
		'{"id":"x","kind":"poem","text":"y"}',
		'{"id":"u","kind":"command","text":"echo \u2028"}',
		'{"id":"last","kind":"prompt","text":"run rm -rf /","label":"order"}',
	].join("\n");
	for (const args of [
		["--jsonl", "-"],
		["--jsonl", file("rows.jsonl", rows)],
	]) {
		const done = await policyTest(args, rows);
		expect(done.code).toBe(2);
		const out = done.stdout
			.trimEnd()
			.split("\n")
			.map((line) => JSON.parse(line));
		expect(out).toEqual([
			{ id: "a", verdict: "deny", rule: expect.any(String) },
			{ id: 2, verdict: "allow", rule: "prompt-mention" },
			{ id: null, error: expect.stringContaining("JSON") },
			{ id: null, error: expect.stringContaining("kind") },
			{ id: "u", verdict: "allow", rule: null },
			{ id: "last", verdict: "deny", rule: expect.any(String) },
		]);
		expect(done.stderr).toContain("4 rows");
	}
});

test("a policy of one's own is tried before it is put, also one that only logs", async () => {
	const policy = file(
		"policy.json",
		JSON.stringify({ mode: "log", tools: [{ id: "no-npm", tool: "Bash", match: "npm *", verdict: "deny", reason: "pnpm is used here" }] }),
	);
	const said = await policyTest(["--policy", policy, "npm install"]);
	expect([said.code, said.stdout]).toEqual([1, expect.stringContaining("deny  entry:no-npm (policy)\n  pnpm is used here")]);
	const wrong = await policyTest(["--policy", file("wrong.json", '{"rules":{"nope":"deny"}}'), "ls"]);
	expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("rules.nope: expected the id of a rule, or a category")]);
	expect((await policyTest(["--jsonl", join(dir, "missing.jsonl")])).code).toBe(2);
	expect((await policyTest([])).code).toBe(2);
});
