import { chownSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CliProcess } from "../../runner/cli-process.ts";
import { removeHome, SERVICE_UID } from "../../runner/jail.ts";
import { ESCAPES, Outside } from "../support/escapes.ts";
import { Follower } from "../support/follower.ts";
import { Jailer } from "../support/jailed.ts";
import { startStack } from "../support/stack.ts";
import { inNamespacesBelow, leftOf, treeOf } from "../support/tree.ts";

const isRoot = process.getuid?.() === 0;

describe.each(isRoot ? ["dropped from root", "root's own directory"] : ["own user"])(
	"[JAL-1] [JAL-2] [JAL-3] [P10] the jail of %s",
	(kind) => {
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
	},
);

describe.each(isRoot ? [SERVICE_UID, 0] : [process.getuid?.() ?? 0])(
	"[JAL-5] the weaker jail, where there are no namespaces, of user %d",
	(uid) => {
		let dir: string;
		let outside: Outside;
		beforeAll(async () => {
			dir = mkdtempSync(join(tmpdir(), "hotplex-weaker-"));
			outside = new Outside(dir, new Jailer(join(dir, "state"), (name) => name !== "bwrap"), uid);
			await outside.open();
		});
		afterAll(() => {
			outside?.close();
			if (outside) removeHome(outside.jailer.stateDir, outside.jailer.sessionId);
			if (dir) rmSync(dir, { recursive: true, force: true });
		});

		test("runs what it is there for, and says what it is", async () => {
			expect(outside.jailer.confinement).toMatchObject({
				jail: "landlock",
				why: expect.stringMatching(/weaker.*not the network.*bwrap is not installed/),
			});
			const run = await outside.jailer.run(outside.workDir, [
				"bash",
				"-c",
				"echo made > f && cat f && git status --short && node -p 1+1 && touch ~/kept $TMPDIR/x && echo done",
			]);
			expect(run.stdout).toMatch(/^made\n[\s\S]*\n2\ndone\n$/);
		});

		// The network is the machine's here, which is told.
		test.each(ESCAPES.filter((e) => e.reads && !/port/.test(e.name)).map((e) => [e.name, e] as const))("no way out: %s", async (_, way) => {
			expect(await outside.attempt(way)).toBeNull();
		});

		test("[JAL-2] it has none of root's powers", async () => {
			const run = await outside.jailer.run(outside.workDir, ["grep", "-E", "^(Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp):", "/proc/self/status"]);
			expect(run.stdout.replace(/\t/g, "").split("\n")).toEqual([
				...["CapPrm", "CapEff", "CapBnd"].map((name) => `${name}:0000000000000000`),
				"NoNewPrivs:1",
				"Seccomp:2",
				"",
			]);
		});
	},
);

describe("through the whole stack", () => {
	test("[JAL-5] [P14] doctor says layer by layer what keeps sessions in; a session's log and the runner's status say what was reached", async () => {
		const stack = await startStack({ args: ["--require-jail"] });
		try {
			const doctor = await stack.hotplex(["runner", "doctor", "--json", "--require-jail"]);
			expect(doctor.code).toBe(0);
			const told = JSON.parse(doctor.stdout) as { layers: { layer: string; state: string }[] };
			expect(told).toMatchObject({ jail: "namespaces", isolation: "pid_namespace", refused: null });
			expect(told.layers.map((l) => l.layer)).toEqual(
				expect.arrayContaining(["jail", "nested namespaces", "system call filter", "cgroup", "user", "landlock"]),
			);
			const session = new Follower(await stack.client.openSession({ provider: "demo" }));
			await session.ask("hi");
			expect(await session.until("isolation")).toMatchObject({ reached: "pid_namespace", jail: "namespaces" });
			const status = JSON.parse((await stack.hotplex(["runner", "status", "--json"])).stdout) as { jail: string };
			expect(status.jail).toBe("namespaces");
			const home = join(stack.stateDir, "homes", session.session.id);
			expect(existsSync(home)).toBe(true);
			await session.terminate();
			await expect.poll(() => existsSync(home), { timeout: 10_000 }).toBe(false);
		} finally {
			await stack.remove();
		}
	});

	test("[JAL-5] [P14] without a jail, a session says so, and so does the daemon, loudly", async () => {
		const stack = await startStack({ args: ["--unsafe-no-jail"] });
		try {
			expect(stack.stderr()).toContain("WARNING: jail none: the jail is switched off (--unsafe-no-jail)");
			const session = new Follower(await stack.client.openSession({ provider: "demo" }));
			await session.ask("hi");
			expect(await session.until("isolation")).toMatchObject({ jail: "none", why: expect.stringContaining("--unsafe-no-jail") });
			await session.terminate();
		} finally {
			await stack.remove();
		}
	});
});

test("[JAL-6] [P14] a session makes no more processes than its limit", async () => {
	const dir = mkdtempSync(join(tmpdir(), "hotplex-limits-"));
	try {
		const jailer = new Jailer(join(dir, "state"));
		const workDir = jailer.workDir("work");
		// Whom nobody else is, since it is counted by user here.
		if (isRoot) chownSync(workDir, 60_999, 60_999);
		const fork = ["perl", "-e", "for (1 .. 100) { my $p = fork; last unless defined $p; $n++; unless ($p) { sleep 2; exit } } print $n"];
		expect(Number((await jailer.run(workDir, fork, { limits: { maxProcesses: 40 } })).stdout)).toBeLessThan(40);
		expect((await jailer.run(workDir, fork)).stdout).toBe("100");
	} finally {
		rmSync(dir, { recursive: true, force: true });
	}
});

describe("the end of what runs in a jail", () => {
	let dir: string;
	let jailer: Jailer;
	let workDir: string;
	beforeAll(() => {
		dir = mkdtempSync(join(tmpdir(), "hotplex-ending-"));
	});
	afterAll(() => rmSync(dir, { recursive: true, force: true }));

	let made = 0;
	/** Starts it in a jail of its own, once it has said this. */
	async function started(command: string[], word: string): Promise<{ run: CliProcess; all: number[] }> {
		jailer = new Jailer(join(dir, `${++made}`, "state"));
		workDir = jailer.workDir("work");
		if (isRoot) chownSync(workDir, SERVICE_UID, SERVICE_UID);
		const run = await jailer.start(workDir, command);
		await expect.poll(said, { timeout: 20_000 }).toContain(word);
		return { run, all: [run.pid, ...inNamespacesBelow(run.pid)] };
	}
	const said = (): string => readFileSync(join(jailer.journalDir, "stdout"), "utf8");
	const nothingLeft = { survivors: 0, zombies: 0 };

	test("[JAL-7] [P11] a tree that does all it can to stay is gone: new sessions, double forks, deaf ones, empty environments, one that forks for ever", async () => {
		const { run, all } = await started(treeOf(120), "READY");
		expect(all.length).toBeGreaterThan(120);
		await run.stop(1_500);
		expect(leftOf(all)).toEqual(nothingLeft);
		expect(inNamespacesBelow(run.pid)).toEqual([]);
	});

	test("[JAL-7] it is asked to end before it is made to, and its exit code is its own", async () => {
		const { run } = await started(["bash", "-c", "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.05; done"], "ready");
		expect(await run.stop(20_000)).toEqual({ exitCode: 7, signal: null });
		expect(said()).toContain("asked");
	});

	test("[JAL-7] one that does not hear is made to", async () => {
		const { run, all } = await started(["bash", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"], "ready");
		await run.stop(100);
		expect(leftOf(all)).toEqual(nothingLeft);
	});

	test("[JAL-7] one that ends by itself takes along what it left, with no daemon to see to it", async () => {
		const { run, all } = await started(
			["bash", "-c", "setsid sleep 600 & setsid setsid sleep 600 & echo ready; read -t 1; exit 3"],
			"ready",
		);
		expect(await run.exited).toEqual({ exitCode: 3, signal: null });
		expect(leftOf(all)).toEqual(nothingLeft);
	});

	test("[JAL-7] [P6] the next daemon finds it by what was noted, and ends all of it", async () => {
		const { all } = await started(
			["bash", "-c", "setsid sleep 600 & trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done"],
			"ready",
		);
		const found = CliProcess.adopt(jailer.journalDir);
		await found?.stop(20_000);
		expect(said()).toContain("asked");
		expect(leftOf(all)).toEqual(nothingLeft);
	});

	test("[JAL-7] [P6] the next daemon finds it by its input, where nothing was noted", async () => {
		const { run, all } = await started(["bash", "-c", "echo ready; while :; do sleep 0.05; done"], "ready");
		for (const name of ["process.json", "process-2.json"]) rmSync(join(jailer.journalDir, name));
		const found = CliProcess.adoptStray(jailer.journalDir);
		expect(found?.pid).toBe(run.pid);
		await found?.stop(100);
		// It was started by this process, which has yet to hear of its end: an orphan's is its init's to hear.
		await expect.poll(() => leftOf(all), { timeout: 5_000 }).toEqual(nothingLeft);
	});

	test("[JAL-7] stopped, it does nothing until it may go on, and can be ended all the same", async () => {
		const { run, all } = await started(
			["bash", "-c", "trap 'echo asked; exit 0' TERM; while :; do echo ready; read -t 0.02 < /dev/zero; sleep 0.02; done"],
			"ready",
		);
		run.pause();
		await expect.poll(() => readFileSync(`/proc/${run.pid}/stat`, "utf8"), { timeout: 5_000 }).toContain(") T ");
		await expect
			.poll(() => all.every((pid) => stateOf(pid) === null || stateOf(pid) === "T" || stateOf(pid) === "Z"), { timeout: 5_000 })
			.toBe(true);
		const before = said();
		expect(said()).toBe(before);
		run.resume();
		await expect.poll(() => said().length, { timeout: 5_000 }).toBeGreaterThan(before.length);
		run.pause();
		await run.stop(20_000);
		expect(said()).toContain("asked");
		expect(leftOf(all)).toEqual(nothingLeft);
	});
});

function stateOf(pid: number): string | null {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
		return stat.slice(stat.lastIndexOf(")") + 2)[0] ?? null;
	} catch {
		return null;
	}
}
