import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SERVICE_UID } from "../../runner/jail.ts";
import { ESCAPES, Outside } from "../support/escapes.ts";
import { Jailer } from "../support/jailed.ts";

const isRoot = process.getuid?.() === 0;

describe.each(isRoot ? ["dropped from root", "root's own directory"] : ["own user"])("[P10] the jail of %s", (kind) => {
	let dir: string;
	let outside: Outside;
	beforeAll(async () => {
		dir = mkdtempSync(join(tmpdir(), "hotplex-jail-"));
		outside = new Outside(dir, new Jailer(join(dir, "state")), kind === "dropped from root" ? SERVICE_UID : (process.getuid?.() ?? 0));
		await outside.open();
	});
	afterAll(() => {
		outside?.close();
		if (dir) rmSync(dir, { recursive: true, force: true });
	});

	test("runs what it is there for", async () => {
		const run = await outside.jailer.run(outside.workDir, [
			"bash",
			"-c",
			"echo made > file && cat file && git status --short && node -p 1+1 && echo $HOME && touch ~/kept /tmp/x && id -un && rm file",
		]);
		expect(run.stdout).toContain("made\n");
		expect(run.stdout).toContain("\n2\n/home/hotplex\nhotplex\n");
		const again = await outside.jailer.run(outside.workDir, ["bash", "-c", "ls ~ /tmp"]);
		expect(again.stdout).toContain("kept");
		expect(again.stdout).not.toContain("\nx\n");
	});

	test.each(ESCAPES.map((e) => [e.name, e] as const))("no way out: %s", async (_, way) => {
		expect(await outside.attempt(way)).toBeNull();
	});

	// After those, since some leave what they made. The servers are this process's own, which waiting for it here would block.
	test.each(ESCAPES.filter((e) => e.reads && !/socket|port/.test(e.name)).map((e) => [e.name, e] as const))(
		"without a jail this reads the token: %s",
		(_, way) => {
			expect(outside.readsOutside(way)).toBe(true);
		},
	);
});
