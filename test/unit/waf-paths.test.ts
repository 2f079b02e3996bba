import { expect, test } from "vitest";
import { judgePath } from "../../shared/waf/paths.ts";
import type { Place } from "../../shared/waf/verdict.ts";

const place: Place = {
	workDir: "/srv/work/project",
	cwd: "/srv/work/project/src",
	home: "/home/ann",
	readRoots: ["/home/ann/docs"],
	writeRoots: ["/data/out"],
};

/** Path, use, verdict, rule. */
const CASES: [path: string, use: "read" | "write" | "delete", verdict: "allow" | "ask" | "deny", rule: string | null][] = [
	["a.ts", "read", "allow", null],
	["a.ts", "write", "allow", null],
	["../lib/b.ts", "delete", "allow", null],
	["../.env", "read", "allow", null],
	["/tmp/x", "write", "allow", null],
	["/dev/null", "write", "allow", null],
	["/data/out/x", "write", "allow", null],
	["/home/ann/docs/a.md", "read", "allow", null],
	["/home/ann/docs/a.md", "write", "ask", "write-outside"],
	["/etc/hosts", "read", "allow", null],
	["/usr/include/stdio.h", "read", "allow", null],
	["/proc/cpuinfo", "read", "allow", null],
	["~/notes.txt", "read", "ask", "read-outside"],
	["~/.ssh/id_rsa", "read", "deny", "read-secret"],
	["~/.ssh/id_rsa.pub", "read", "ask", "read-outside"],
	["../../../../../etc/shadow", "read", "deny", "read-secret"],
	["/tmp/../etc//./shadow", "read", "deny", "read-secret"],
	["/proc/self/root/etc/shadow", "read", "deny", "read-secret"],
	["/proc/1/environ", "read", "deny", "read-secret"],
	["file:///etc/shadow", "read", "deny", "read-secret"],
	["~/.bash_history", "read", "ask", "read-private"],
	["../.git/hooks/pre-commit", "write", "ask", "write-protected"],
	["../.git/config", "write", "ask", "write-protected"],
	["../.claude/settings.json", "write", "ask", "write-protected"],
	["../.mcp.json", "write", "ask", "write-protected"],
	["../.vscode/tasks.json", "write", "ask", "write-protected"],
	["../.envrc", "write", "ask", "write-protected"],
	["../.git", "delete", "ask", "delete-work"],
	["..", "delete", "ask", "delete-work"],
	["/srv/work", "delete", "deny", "delete-catastrophe"],
	["/srv/work/other/x", "write", "ask", "write-outside"],
	["~/.bashrc", "write", "ask", "write-shell-start"],
	["~/.ssh/authorized_keys", "write", "deny", "write-persistence"],
	["/etc/cron.d/x", "write", "deny", "write-persistence"],
	["/etc/passwd", "write", "deny", "write-privilege"],
	["/usr/bin/ls", "write", "deny", "write-system"],
	["/dev/sda", "write", "deny", "write-device"],
	["/proc/sys/kernel/core_pattern", "write", "deny", "container-control"],
	["/", "delete", "deny", "delete-catastrophe"],
	["~", "delete", "deny", "delete-catastrophe"],
	["", "read", "ask", "write-outside"],
	["a\0b", "write", "ask", "write-outside"],
];

test.each(CASES)("%j, to %s it: %s", (path, use, verdict, rule) => {
	expect(judgePath(path, use, place)).toMatchObject({ verdict, rule });
});

test("a path is judged against where the command stands, not against where the work directory is", () => {
	expect(judgePath("etc/shadow", "read", { ...place, cwd: "/" })).toMatchObject({ verdict: "deny", rule: "read-secret" });
	expect(judgePath("etc/shadow", "read", place).verdict).toBe("allow");
});
