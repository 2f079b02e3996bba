import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { LoggedEvent } from "../../shared/events.ts";
import { Follower } from "../support/follower.ts";
import { RunnerDaemon } from "../support/runner-daemon.ts";
import { gatewayPid, runHotplex, type Stack, startStack } from "../support/stack.ts";

const FAKE_CLI = fileURLToPath(new URL("../fixtures/fake-cli.ts", import.meta.url));
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const PROVIDER = `[providers.lonely]\nkind = "claude-code"\ncommand = ${JSON.stringify(process.execPath)}\nargs = [${JSON.stringify(FAKE_CLI)}]\n`;

const madeDirs: string[] = [];
const followers: Follower[] = [];
function newDir(): string {
	const dir = mkdtempSync(join(tmpdir(), "hotplex-upgrade-"));
	madeDirs.push(dir);
	return dir;
}

let stack: Stack;
let daemon: RunnerDaemon;
beforeAll(async () => {
	stack = await startStack();
	daemon = await enrolled("");
});
afterEach(async () => {
	await daemon.end("SIGTERM");
	await Promise.all(followers.splice(0).map((follower) => follower.terminate()));
});
afterAll(async () => {
	await daemon?.end("SIGTERM");
	await stack?.remove();
	for (const dir of madeDirs) rmSync(dir, { recursive: true, force: true });
});

/** A daemon of its own, with these settings before the provider's. */
async function enrolled(settings: string): Promise<RunnerDaemon> {
	const one = new RunnerDaemon(newDir());
	writeFileSync(join(one.stateDir, "runner.toml"), `${settings}\n${PROVIDER}`);
	await one.enrol(stack);
	return one;
}

async function open(): Promise<Follower> {
	const follower = new Follower(await stack.client.openSession({ provider: "lonely", workDir: newDir() }));
	followers.push(follower);
	return follower;
}

const words = (count: number, stem = "word"): string => Array.from({ length: count }, (_, i) => `${stem}${i + 1}`).join(" ");
const starts = (session: Follower): number => session.of("process_state").filter((e) => e.pid !== undefined).length;
const hasSaid = (session: Follower, count: number) =>
	session.wait(`${count} words`, () => (session.of("text_delta").length >= count ? true : undefined));
const whyEnded = (session: Follower): string[] => session.of("lease_ended").map((e) => e.why);
/** The process's state letter; of a session in a pid namespace that is the namespace's parent. */
const stateOf = (pid: number): string =>
	readFileSync(`/proc/${pid}/stat`, "utf8")
		.replace(/^.*\) /s, "")
		.charAt(0);

/** This runner's sources with changes, as another version of it. */
function anotherVersion(changes: [file: string, from: string, to: string][]): string {
	const dir = newDir();
	for (const name of ["runner", "shared", "package.json"]) cpSync(join(ROOT, name), join(dir, name), { recursive: true });
	symlinkSync(join(ROOT, "node_modules"), join(dir, "node_modules"));
	for (const [file, from, to] of changes) {
		const text = readFileSync(join(dir, file), "utf8");
		if (!text.includes(from)) throw new Error(`${file} has no ${from}`);
		writeFileSync(join(dir, file), text.replace(from, to));
	}
	return join(dir, "runner", "main.ts");
}

describe("drain", () => {
	test("[P6] SIGTERM lets the turn end, takes no new session meanwhile, and hands the session back with its history", async () => {
		await daemon.start(["--drain-grace", "60s"]);
		const session = await open();
		const turn = await session.session.send("slow 20\nsay 100");
		await hasSaid(session, 10);
		daemon.signal("SIGTERM");
		const other = await open();
		const waiting = await other.session.send("say 2");
		expect(await other.until("session_state", (e) => e.state === "queued")).toMatchObject({ why: expect.stringContaining("drain") });
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: words(100) });
		expect(await daemon.ended()).toBe(0);
		await session.until("lease_ended");
		expect(whyEnded(session)).toEqual(["drained"]);
		await daemon.start();
		expect(await other.ended(waiting)).toMatchObject({ stopReason: "end_turn" });
		expect(await session.ask("recall")).toMatchObject({ text: "slow 20, say 100" });
	});

	test("[TRN-4] a second SIGTERM ends the turn as cancelled, and the session stays", async () => {
		await daemon.start(["--drain-grace", "60s"]);
		const session = await open();
		const turn = await session.session.send("slow 20\nsay 3000");
		await hasSaid(session, 5);
		daemon.signal("SIGTERM");
		await expect.poll(() => daemon.said).toContain("again to end them now");
		daemon.signal("SIGTERM");
		expect(await session.ended(turn)).toMatchObject({ stopReason: "cancelled" });
		expect(await daemon.ended()).toBe(0);
		await session.until("lease_ended");
		expect(whyEnded(session)).toEqual(["drained"]);
	});

	test("[P6] a third SIGTERM ends the daemon at once and not the CLI: the next daemon goes on with it", async () => {
		await daemon.start(["--drain-grace", "60s"]);
		const session = await open();
		const turn = await session.session.send("slow 10\nsay 300");
		await hasSaid(session, 5);
		// Deaf to the interrupt of the second.
		const { pid } = session;
		process.kill(-pid, "SIGSTOP");
		for (const said of ["again to end them now", "again to stop at once"]) {
			daemon.signal("SIGTERM");
			await expect.poll(() => daemon.said).toContain(said);
		}
		daemon.signal("SIGTERM");
		expect(await daemon.ended()).toBe(130);
		expect(existsSync(`/proc/${pid}`)).toBe(true);
		await daemon.start();
		process.kill(-pid, "SIGCONT");
		expect((await session.ended(turn)).stopReason).toBe("cancelled");
		expect(starts(session)).toBe(1);
	});
});

describe("upgrade", () => {
	test("[BAT-6] a daemon that makes way in mid-turn for one which makes other events of the same lines: nothing is lost, doubled or asked again", async () => {
		await daemon.start();
		const session = await open();
		expect(await session.ask("say 3 before")).toMatchObject({ text: words(3, "before") });
		const turn = await session.session.send("slow 20\nsay 100\nask Launch");
		await hasSaid(session, 20);
		const made = await runHotplex(["runner", "make-way", "--state-dir", daemon.stateDir], daemon.env);
		expect([made.code, await daemon.ended()]).toEqual([0, 14]);
		const { pid } = session;
		expect(existsSync(`/proc/${pid}`)).toBe(true);
		const newer = anotherVersion([
			["runner/daemon.ts", 'VERSION = "0.1.0"', 'VERSION = "0.2.0"'],
			// Two events where there was one, and other ids from then on.
			[
				"runner/hosting.ts",
				'case "ready":',
				'case "ready":\n\t\t\t\tthis.#emit({ type: "notice", code: "silent", detail: "the newer version says more" });',
			],
			[
				"runner/hosting.ts",
				"default:\n\t\t\t\tthis.#emit({ ...event, turnId: this.#beginTurn() });",
				'default:\n\t\t\t\tthis.#emit({ ...event, turnId: this.#beginTurn() });\n\t\t\t\tthis.#emit({ type: "notice", code: "silent", detail: "more" });',
			],
		]);
		await daemon.start([], newer);
		const { approvalId } = await session.until("approval_requested");
		// Once more, while it is asked: the newer one's id of it must come out the same.
		await daemon.end("SIGUSR2");
		await daemon.start();
		await session.session.decide(approvalId, { decision: "allow" });
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: `${words(100)}\n\nallowed` });
		expect([starts(session), session.pid, session.of("approval_requested").length]).toEqual([1, pid, 1]);
		expect(session.of("turn_started")).toHaveLength(2);
		expect((await stack.client.runners()).data.find((r) => r.name === "lonely")?.version).toBe("0.1.0");
	});

	test("[P6] a gateway deployed in mid-turn with other code on the same state: the turn goes on, and no word is lost or doubled", async () => {
		await daemon.start();
		const session = await open();
		const turn = await session.session.send("slow 10\nsay 300");
		await hasSaid(session, 50);
		const bundle = join(stack.stateDir, "gateway", "worker.js");
		writeFileSync(bundle, readFileSync(bundle, "utf8").replace('title: "HotPlex Edge"', 'title: "HotPlex Edge, newer"'));
		process.kill(gatewayPid(stack), "SIGKILL");
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: words(300) });
		const { info } = (await (await fetch(`${stack.url}/openapi.json`)).json()) as { info: { title: string } };
		expect(info.title).toBe("HotPlex Edge, newer");
		expect(starts(session)).toBe(1);
		const { data } = await session.session.eventPage({ after: 0 });
		expect(data.map((l: LoggedEvent) => l.offset)).toEqual(data.map((_, i) => i + 1));
	});

	test("[P5] of daemons that are started on one state directory at the same moment one runs, and the others say which", async () => {
		const rivals = Array.from({ length: 4 }, () => daemon.spawn());
		const ends = rivals.map((child) => new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code))));
		await expect.poll(() => rivals.filter((child) => child.exitCode !== null).length, { timeout: 20_000 }).toBe(3);
		expect(rivals.map((child) => child.exitCode).sort()).toEqual([12, 12, 12, null]);
		const survivor = rivals.find((child) => child.exitCode === null);
		expect(daemon.said).toContain(`process ${survivor?.pid}`);
		survivor?.kill("SIGTERM");
		await Promise.all(ends);
	});
});

describe("a journal", () => {
	test("[LIM-6] while the gateway takes nothing the CLI is stopped at the journal's bound, and then it goes on and no word is lost", async () => {
		const small = await enrolled('maxJournal = "64KiB"');
		await small.start();
		const session = await open();
		const turn = await session.session.send("slow 2\nsay 700");
		await hasSaid(session, 50);
		const { pid } = session;
		process.kill(gatewayPid(stack), "SIGSTOP");
		try {
			await expect.poll(() => stateOf(pid), { timeout: 20_000 }).toBe("T");
		} finally {
			process.kill(gatewayPid(stack), "SIGCONT");
		}
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: words(700) });
		const codes = session.of("notice").map((e) => e.code);
		expect(codes.slice(0, 2)).toEqual(["paused", "resumed"]);
		expect(codes.length % 2).toBe(0);
		expect(starts(session)).toBe(1);
		// It is over its bound now, and the turn is over: a new process goes on with the conversation.
		await session.until("lease_ended");
		expect(whyEnded(session)).toEqual(["journal_full"]);
		expect(await session.ask("recall")).toMatchObject({ text: "slow 2, say 700" });
		await small.end("SIGTERM");
	});

	test("[LIM-6] a CLI that was stopped at the bound is terminated like any other", async () => {
		const small = await enrolled('maxJournal = "16KiB"');
		await small.start();
		const session = await open();
		await session.session.send("slow 2\nsay 5000");
		await hasSaid(session, 20);
		const { pid } = session;
		process.kill(-pid, "SIGSTOP");
		await session.session.terminate();
		// It could end by itself, as it was asked to, and was not killed in its sleep.
		expect(await session.until("process_state", (e) => e.state === "dead")).toMatchObject({ why: "terminated", signal: null });
		expect(existsSync(`/proc/${pid}`)).toBe(false);
		await small.end("SIGTERM");
	});

	test("[LIM-6] a runner whose disk is almost full takes no session, and the session says why it waits", async () => {
		const full = await enrolled('minFreeDisk = "4000000GiB"');
		await full.start();
		const session = await open();
		await session.session.send("say 1");
		expect(await session.until("lease_ended")).toMatchObject({ why: expect.stringContaining("disk") });
		await full.end("SIGTERM");
	});

	test.each(["notes", "stdout"])(
		"[BAT-5] a byte of its %s that changed ends the turn as journal_damaged and the process; the next input goes on",
		async (name) => {
			await daemon.start();
			const session = await open();
			expect(await session.ask("say 3 before")).toMatchObject({ text: words(3, "before") });
			const turn = await session.session.send("slow 20\nsay 2000");
			await hasSaid(session, 20);
			await daemon.end("SIGKILL");
			const { pid } = session;
			const path = join(daemon.stateDir, "sessions", session.session.id, "1", "1", name);
			const bytes = readFileSync(path);
			writeFileSync(path, bytes.with(100, (bytes[100] ?? 0) ^ 1));
			await daemon.start();
			const end = await session.ended(turn);
			expect(end).toMatchObject({ stopReason: "failed", error: { code: "journal_damaged" } });
			expect(words(2000).startsWith(end.text)).toBe(true);
			expect(session.of("notice").map((e) => e.code)).toEqual(["journal_damaged"]);
			await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
			expect(await session.ask("say 2 after")).toMatchObject({ stopReason: "end_turn", text: words(2, "after") });
			expect(starts(session)).toBe(2);
			await daemon.end("SIGTERM");
		},
	);
});

describe("release", () => {
	test("[LSE-5] RECONNECT_WINDOW is how long a session is held for a runner that is away; then its turn ends as runner_lost", async () => {
		const impatient = await startStack({ env: { RECONNECT_WINDOW: "2s" } });
		try {
			const lonely = new RunnerDaemon(newDir());
			writeFileSync(join(lonely.stateDir, "runner.toml"), PROVIDER);
			await lonely.enrol(impatient);
			await lonely.start();
			const session = new Follower(await impatient.client.openSession({ provider: "lonely", workDir: newDir() }));
			const turn = await session.session.send("slow 20\nsay 3000");
			await hasSaid(session, 5);
			const { pid } = session;
			await lonely.end("SIGKILL");
			expect(await session.ended(turn)).toMatchObject({
				stopReason: "failed",
				error: { code: "runner_lost", detail: expect.stringContaining("away for over 2 seconds") },
			});
			// Back too late: what it still runs is ended, and said nothing more.
			await lonely.start();
			await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
			expect(session.events.at(-1)?.type).toBe("session_state");
			await lonely.end("SIGTERM");
		} finally {
			await impatient.remove();
		}
	});

	test("[LSE-7] a session of a runner that is away says for whom it is held; released, it goes to another runner, with its turn only if asked", async () => {
		const away = await enrolled("");
		await away.start();
		const session = await open();
		const turn = await session.session.send("slow 20\nsay 3000");
		await hasSaid(session, 5);
		await away.end("SIGKILL");
		process.kill(-session.pid, "SIGKILL");
		expect(await session.until("session_state", (e) => e.state === "offline")).toMatchObject({
			why: expect.stringMatching(/lonely .*10 minutes/),
		});
		await daemon.start();
		const released = await stack.hotplex(["sessions", "release", session.session.id, "--again"]);
		expect(released).toMatchObject({ code: 0, stdout: `${session.session.id} released\n` });
		expect(await session.ended(turn)).toMatchObject({ stopReason: "failed", error: { code: "runner_lost" } });
		const again = await session.until("input", (e) => e.clientId === `again:${turn.id}`);
		await session.until("text_delta", (e) => e.turnId === again.turnId);
		expect((await stack.hotplex(["sessions", "release", session.session.id])).code).toBe(0);
		expect(await session.endOf(again.turnId)).toMatchObject({ stopReason: "failed", error: { code: "runner_lost" } });
		expect(session.of("input")).toHaveLength(2);
		const nothing = await stack.hotplex(["sessions", "release", session.session.id]);
		expect(nothing).toMatchObject({ code: 1, stderr: expect.stringContaining("holds no runner") });
	});
});
