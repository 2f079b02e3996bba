import fc from "fast-check";
import { expect, test } from "vitest";
import { judgeUrl, namesHost } from "../../shared/waf/hosts.ts";
import { literalPattern, matchesPattern } from "../../shared/waf/pattern.ts";
import { judgeToolCall, subjectOf, type ToolCall } from "../../shared/waf/tool-call.ts";
import type { Place } from "../../shared/waf/verdict.ts";

const place: Place = { workDir: "/srv/project", cwd: "/srv/project/src", home: "/home/ann" };
const HOSTS = ["github.com", "*.example.com"];
const call = (tool: string, input: unknown, more: Partial<ToolCall> = {}): ToolCall => ({ tool, input, ...more });
const verdict = (tool: string, input: unknown, more: Partial<ToolCall> = {}): string =>
	judgeToolCall(call(tool, input, more), place, HOSTS).verdict;
const about = (tool: string, input: unknown, more: Partial<ToolCall> = {}): string[] =>
	subjectOf(call(tool, input, more), place).map((s) =>
		s.kind === "path" ? `${s.use} ${s.text}` : s.kind === "other" ? "other" : `${s.kind} ${s.text}`,
	);

test("every CLI's way to name a command is read as that command", () => {
	const shells: [string, unknown, Partial<ToolCall>?][] = [
		["Bash", { command: "rm -rf /", description: "clean" }],
		["bash", { command: "rm -rf /" }, { kind: "execute" }],
		["exec_command", { command: "rm -rf /", cwd: "/srv/project" }, { kind: "execute" }],
		["run_shell_command", { command: "rm -rf /" }],
		["shell", { command: ["bash", "-lc", "rm -rf /"] }],
		["local_shell", { cmd: ["rm", "-rf", "/"] }],
		["container.exec", { cmd: "rm", args: ["-rf", "/"] }],
		["mcp__desktop__run", { command: "rm", args: ["-rf", "/"] }],
		["mcp__box__shell", { input: "rm -rf /" }],
		["mcp__any__thing", { steps: [{ cmd: "rm -rf /" }] }],
		["write_stdin", { session_id: 3, chars: "rm -rf /\n" }],
		["execute", {}, { kind: "execute", title: "rm -rf /" }],
		["harmless", { command: "rm -rf /" }, { kind: "execute" }],
		["Read", {}, { kind: "execute", title: "rm -rf /" }],
		["Monitor", { command: "rm -rf /", persistent: true }],
		["MyBashTool", { text: "rm -rf /" }],
	];
	for (const [tool, input, more] of shells) expect([tool, verdict(tool, input, more)]).toEqual([tool, "deny"]);
	expect(verdict("Bash", { command: "git status" })).toBe("allow");
});

test("a shell call that does not say what it runs is asked about", () => {
	for (const input of [{}, null, { description: "x" }, { command: "  " }, { command: 7 }, "text"])
		expect([input, judgeToolCall(call("Bash", input), place, HOSTS)]).toMatchObject([
			input,
			{ verdict: "ask", rule: "tool-input-missing" },
		]);
	expect(verdict("Read", {})).toBe("ask");
	expect(verdict("WebFetch", { prompt: "what is there?" })).toBe("ask");
	// Polling a shell types nothing.
	expect(verdict("write_stdin", { session_id: 3, chars: "" })).toBe("allow");
});

test("a command is judged in the directory that its call names", () => {
	expect(subjectOf(call("exec_command", { command: "ls", workdir: "../.." }), place)).toEqual([
		{ kind: "command", text: "ls", cwd: "/srv" },
	]);
});

test("file tools are about every path of their input, absolute and without ..", () => {
	expect(about("Read", { file_path: "../../../etc/passwd" })).toEqual(["read /etc/passwd"]);
	expect(about("Read", { file_path: "~/.ssh/id_rsa" })).toEqual(["read /home/ann/.ssh/id_rsa"]);
	expect(about("Write", { file_path: "/srv/project/a.ts", content: "/etc/shadow" })).toEqual(["write /srv/project/a.ts"]);
	expect(about("MultiEdit", { file_path: "a.ts", edits: [{ old_string: "/x", new_string: "/y" }] })).toEqual([
		"write /srv/project/src/a.ts",
	]);
	expect(about("NotebookEdit", { notebook_path: "n.ipynb" })).toEqual(["write /srv/project/src/n.ipynb"]);
	expect(about("Grep", { pattern: "~/.ssh/", path: "/etc" })).toEqual(["read /etc"]);
	expect(about("Grep", { pattern: "x" })).toEqual(["other"]);
	expect(about("Glob", { pattern: "/home/ann/.ssh/*" })).toEqual(["read /home/ann/.ssh"]);
	expect(about("Glob", { pattern: "**/*.ts" })).toEqual(["other"]);
	expect(about("str_replace_based_edit_tool", { command: "view", path: "/etc/hosts" })).toEqual(["read /etc/hosts"]);
	expect(about("move", { source: "a", destination: "/etc/x" }, { kind: "move" })).toEqual(["write /srv/project/src/a", "write /etc/x"]);
	expect(about("edit", { filePath: "/etc/hosts", diff: "..." }, { kind: "edit" })).toEqual(["write /etc/hosts"]);
	expect(about("delete_file", { path: "/etc/hosts" })).toEqual(["delete /etc/hosts"]);
	expect(about("mcp__fs__delete_file", { path: "/etc/hosts" })).toEqual(["delete /etc/hosts"]);
	expect(about("mcp__fs__write_file", { path: "file:///etc/%68osts" })).toEqual(["write /etc/hosts"]);
	expect(verdict("Read", { file_path: "/home/ann/.ssh/id_rsa" })).toBe("deny");
	expect(verdict("Read", { file_path: "a.ts" })).toBe("allow");
});

test("a patch is about the files that it touches", () => {
	const patch = "*** Begin Patch\n*** Update File: src/a.ts\n@@\n-x\n+y\n*** Delete File: /etc/passwd\n*** End Patch";
	expect(about("apply_patch", { patchText: patch })).toEqual(["write /srv/project/src/src/a.ts", "delete /etc/passwd"]);
	expect(about("patch", { diff: "--- a/x.ts\n+++ b/x.ts\n@@ -1 +1 @@" })).toEqual([
		"write /srv/project/src/x.ts",
		"write /srv/project/src/x.ts",
	]);
	expect(about("edit", { changes: { "/etc/hosts": { type: "update" } } }, { kind: "edit" })).toEqual(["write /etc/hosts"]);
});

test("fetches pass to named hosts, are asked about for others, and never reach addresses, this machine or its cloud", () => {
	const cases: [string, string, string | null][] = [
		["https://github.com/a/b", "allow", null],
		["https://api.example.com:8443/x?q=1#f", "allow", null],
		["https://example.com/", "ask", "host-not-named"],
		["https://github.com.evil.org/", "ask", "host-not-named"],
		["https://evilgithub.com", "ask", "host-not-named"],
		["https://github.com@evil.org/", "deny", "url-credentials"],
		["https://user:pw@github.com/", "deny", "url-credentials"],
		["http://127.0.0.1/", "deny", "host-address"],
		["http://2130706433/", "deny", "host-address"],
		["http://0x7f.1/", "deny", "host-address"],
		["http://[::1]:80/", "deny", "host-address"],
		["http://169.254.169.254/latest/meta-data", "deny", "host-metadata"],
		["http://metadata.google.internal/", "deny", "host-metadata"],
		["http://localhost:3000/", "deny", "host-local"],
		["http://api.localhost/", "deny", "host-local"],
		["http://printer.local/", "deny", "host-local"],
		["http://intranet/", "deny", "host-local"],
		["file:///etc/passwd", "deny", "url-scheme"],
		["ftp://github.com/x", "deny", "url-scheme"],
		["https:github.com", "ask", "url-unreadable"],
		["https://github.com\\@evil.org/", "deny", "url-credentials"],
		["https://evil.org\\.github.com/", "ask", "url-unreadable"],
		["https://g\u0131thub.com/", "ask", "url-unreadable"],
		["https://%67ithub.com/", "ask", "url-unreadable"],
		["https://github.com\n.evil.org/", "ask", "url-unreadable"],
		["github.com/x", "ask", "url-unreadable"],
		["", "ask", "url-unreadable"],
	];
	for (const [url, expected, rule] of cases) {
		const judged = judgeUrl(url, HOSTS);
		expect([url, judged?.verdict ?? "allow", judged?.rule ?? null]).toEqual([url, expected, rule]);
	}
	expect(verdict("WebFetch", { url: "https://github.com/x", prompt: "http://localhost" })).toBe("allow");
	expect(verdict("web_fetch", { prompt: "Summarize http://169.254.169.254/latest and https://github.com" })).toBe("deny");
	expect(verdict("mcp__browser__navigate", { url: "http://127.0.0.1:9222/json" })).toBe("deny");
	expect(judgeUrl("https://anything.net", null)).toBeNull();
	expect(namesHost(["*.example.com"], "example.com")).toBe(false);
});

test("tools without a subject are left to the CLI's own asking", () => {
	for (const [tool, input] of [
		["TodoWrite", { todos: [{ content: "rm -rf /" }] }],
		["Task", { prompt: "rm -rf /", description: "x" }],
		["WebSearch", { query: "rm -rf /" }],
		["KillShell", { shell_id: "1" }],
		["mcp__github__create_issue", { title: "rm -rf /", body: "`rm -rf /`" }],
		["mcp__db__query", { sql: "select 1" }],
		["mcp__browser__evaluate", { script: "() => document.title" }],
		["Unheard", { anything: ["at", "all"] }],
	] as const)
		expect([tool, judgeToolCall(call(tool, input), place, HOSTS)]).toEqual([
			tool,
			expect.objectContaining({ verdict: "allow", rule: null }),
		]);
});

test("an input that is too large or too deep to be judged whole is asked about, and nothing makes the gate throw", () => {
	const deep = JSON.parse(`${'{"a":'.repeat(40)}1${"}".repeat(40)}`);
	expect(verdict("Bash", { command: "ls", deep })).toBe("ask");
	expect(verdict("read_many_files", { paths: Array.from({ length: 300 }, (_, i) => `f${i}`) })).toBe("ask");
	expect(verdict("Bash", { command: "x".repeat(100_000) })).toBe("ask");
	fc.assert(
		fc.property(fc.string(), fc.jsonValue(), fc.option(fc.string(), { nil: undefined }), (tool, input, kind) => {
			const judged = judgeToolCall({ tool, input, kind }, place, HOSTS);
			expect(["allow", "ask", "deny"]).toContain(judged.verdict);
		}),
		{ numRuns: 300, seed: 4 },
	);
});

test("a pattern's star stands for anything, an escaped one for itself", () => {
	expect(matchesPattern("git push*", "git push origin")).toBe(true);
	expect(matchesPattern("*.env", "a/.env")).toBe(true);
	expect(matchesPattern("a*b*c", "a-b-b-c")).toBe(true);
	expect(matchesPattern("a*b*c", "a-c-b")).toBe(false);
	expect(matchesPattern("ab*ba", "aba")).toBe(false);
	expect(matchesPattern("rm \\*.o", "rm *.o")).toBe(true);
	expect(matchesPattern("rm \\*.o", "rm x.o")).toBe(false);
	fc.assert(
		fc.property(
			fc.string({ unit: fc.constantFrom("a", "b", "*", "\\", "x") }),
			fc.string({ unit: fc.constantFrom("a", "b", "*", "\\", "x") }),
			(a, b) => {
				expect(matchesPattern(literalPattern(a), a)).toBe(true);
				expect(matchesPattern(literalPattern(a), b)).toBe(a === b);
				expect(matchesPattern(`*${literalPattern(a)}*`, b)).toBe(b.includes(a));
			},
		),
		{ seed: 4 },
	);
	// Quadratic search would take minutes here.
	expect(matchesPattern(`*${"a".repeat(4000)}b*`, "a".repeat(1_000_000))).toBe(false);
});
