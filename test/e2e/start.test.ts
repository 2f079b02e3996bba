import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { processesWith } from "../support/processes.ts";
import { gatewayPid, runHotplex, type Stack, startStack } from "../support/stack.ts";

describe("npm start", () => {
	test("[P6] stopped and started again, its sessions are there and the CLI remembers", async () => {
		const first = await startStack();
		const session = await first.client.openSession({ key: "kept", provider: "demo" });
		expect((await (await session.send("one")).result()).stopReason).toBe("end_turn");
		expect(await first.stop()).toBe(0);
		expect(first.stderr()).toContain("draining");

		const second = await startStack({ stateDir: first.stateDir });
		expect(second.apiKey).toBe(first.apiKey);
		const again = await second.client.openSession({ key: "kept" });
		expect([again.id, again.opened?.created]).toEqual([session.id, false]);
		const result = await (await again.send("two")).result();
		expect(result.text).toContain("I remember 1 earlier prompt");
		await second.remove();
	});

	test("[P11] SIGTERM in mid-turn ends the turn within the grace and leaves no process", async () => {
		const stack = await startStack({ args: ["--drain-grace", "200ms"] });
		const session = await stack.client.openSession({ provider: "demo" });
		const turn = await session.send("a long answer please");
		for await (const { event } of turn.events()) if (event.type === "text_delta") break;
		const pid = gatewayPid(stack);
		expect(await stack.stop()).toBe(0);
		expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
		const again = await startStack({ stateDir: stack.stateDir });
		const turns = await again.client.session(session.id).turns();
		expect(turns.data[0]).toMatchObject({ turnId: turn.id, state: "ended", stopReason: "cancelled" });
		await again.remove();
	});

	test("[P11] a reader of its output that goes away, as with `| tee` and Ctrl-C, ends nothing, and it still stops as it should", async () => {
		const stack = await startStack();
		stack.process.stdout?.destroy();
		stack.process.stderr?.destroy();
		const session = await stack.client.openSession({ provider: "demo" });
		expect((await (await session.send("one")).result()).stopReason).toBe("end_turn");
		const pid = gatewayPid(stack);
		stack.process.kill("SIGINT");
		expect(await stack.stop()).toBe(0);
		expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
		await expect.poll(() => processesWith(stack.stateDir), { timeout: 10_000 }).toEqual([]);
		await stack.remove();
	});

	test("a second start on a state directory in use says by whom, and harms nothing", async () => {
		const stack = await startStack();
		const env = { PATH: process.env.PATH ?? "", HOME: stack.home };
		const second = await runHotplex(["up", "--state-dir", stack.stateDir], env);
		expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining(`in use by process ${stack.process.pid}`) });
		expect((await stack.client.runners()).data[0]?.state).toBe("online");
		await stack.remove();
	});

	test("[P6] daemon and gateway killed in mid-turn and started again: the turn went on, and the log has it once", async () => {
		const first = await startStack();
		const session = await first.client.openSession({ provider: "demo" });
		const turn = await session.send("go on whatever happens");
		for await (const { event } of turn.events()) if (event.type === "text_delta") break;
		first.process.kill("SIGKILL");
		process.kill(gatewayPid(first), "SIGKILL");
		await first.stop();
		const second = await startStack({ stateDir: first.stateDir });
		let last = 0;
		let text = "";
		for await (const { offset, event } of second.client.session(session.id).events()) {
			expect(offset).toBe(++last);
			if (event.type === "text_delta") text += event.text;
			if (event.type !== "turn_ended") continue;
			expect(event).toMatchObject({ turnId: turn.id, stopReason: "end_turn" });
			break;
		}
		expect(text).toMatch(/^This is the demonstration[^\n]*"go on whatever happens"[^\n]*an approval\.$/);
		expect((await second.client.session(session.id).stats()).processStarts).toBe(1);
		await second.remove();
	});

	test("a port that is taken is named, when it was asked for", async () => {
		const stack = await startStack();
		const stateDir = mkdtempSync(join(tmpdir(), "hotplex-port-"));
		const port = new URL(stack.url).port;
		const second = await runHotplex(["up", "--state-dir", stateDir, "--port", port], { PATH: process.env.PATH ?? "", HOME: stateDir });
		expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining(`port ${port} on 127.0.0.1 is taken`) });
		await stack.remove();
		rmSync(stateDir, { recursive: true });
	});

	test("a gateway that dies comes back by itself at the same address, and it is said", async () => {
		const stack = await startStack();
		process.kill(gatewayPid(stack), "SIGKILL");
		const session = await stack.client.openSession({ provider: "demo" }).catch(async () => {
			// The runner registers anew; until then the team has none online.
			await until(async () => (await stack.client.runners()).data[0]?.state === "online");
			return stack.client.openSession({ provider: "demo" });
		});
		expect((await (await session.send("still there?")).result()).stopReason).toBe("end_turn");
		expect(stack.stderr()).toContain("the gateway ended (SIGKILL); starting it again");
		await stack.remove();
	});

	test("[P13] the key is readable by its owner only, and nothing of it is in what was printed", async () => {
		const stack = await startStack();
		expect(statSync(join(stack.stateDir, "client.json")).mode & 0o777).toBe(0o600);
		expect(statSync(join(stack.stateDir, "identity.json")).mode & 0o777).toBe(0o600);
		const environment = readFileSync(`/proc/${gatewayPid(stack)}/environ`, "utf8");
		expect(environment).not.toContain(stack.apiKey);
		await stack.remove();
	});

	test("[P14] an unknown key of the configuration is named, not ignored", async () => {
		const stateDir = mkdtempSync(join(tmpdir(), "hotplex-config-"));
		writeFileSync(join(stateDir, "runner.toml"), 'capasity = 3\nname = "x"\n');
		const { code, stderr } = await runHotplex(["up", "--state-dir", stateDir], { PATH: process.env.PATH ?? "", HOME: stateDir });
		expect([code, stderr]).toEqual([2, expect.stringContaining("capasity")]);
		rmSync(stateDir, { recursive: true });
	});

	test("[P14] name, capacity, labels and providers of runner.toml are what the gateway sees; a flag comes before the file", async () => {
		const stateDir = mkdtempSync(join(tmpdir(), "hotplex-config-"));
		const agent = JSON.stringify(readdirSync("runner").includes("demo-agent.ts") ? join(process.cwd(), "runner", "demo-agent.ts") : "");
		writeFileSync(
			join(stateDir, "runner.toml"),
			`name = "from-file"\ncapacity = 3\n[labels]\ngpu = "true"\n[providers.mine]\nkind = "acp"\ncommand = ${JSON.stringify(process.execPath)}\nargs = [${agent}]\n`,
		);
		const stack = await startStack({ stateDir, args: ["--capacity", "5"], env: { HOTPLEX_CAPACITY: "4" } });
		expect((await stack.client.runners()).data[0]).toMatchObject({
			name: "from-file",
			capacity: 5,
			labels: { gpu: "true" },
			providers: [{ name: "mine" }],
		});
		const session = await stack.client.openSession({});
		expect((await (await session.send("hi")).result()).text).toContain("demonstration");
		await stack.remove();
	});

	test("[P7] a full runner makes room for a session that waits by handing back one that is idle, which resumes later", async () => {
		const stack = await startStack({ args: ["--capacity", "1"] });
		const first = await stack.client.openSession({ provider: "demo" });
		await (await first.send("one")).result();
		const second = await stack.client.openSession({ provider: "demo" });
		expect((await (await second.send("hi")).result()).stopReason).toBe("end_turn");
		expect((await (await first.send("two")).result()).text).toContain("I remember 1 earlier prompt");
		await stack.remove();
	});

	test("[P10] a work directory outside the configured roots is refused, one inside is used", async () => {
		const stateDir = mkdtempSync(join(tmpdir(), "hotplex-config-"));
		const project = join(stateDir, "projects", "one");
		mkdirSync(project, { recursive: true });
		writeFileSync(join(stateDir, "runner.toml"), `roots = [${JSON.stringify(join(stateDir, "projects"))}]\n`);
		const stack = await startStack({ stateDir });
		const inside = await stack.client.openSession({ provider: "demo", workDir: project });
		expect((await (await inside.send("hi")).result()).stopReason).toBe("end_turn");
		const outside = await stack.client.openSession({ provider: "demo", workDir: tmpdir() });
		expect((await (await outside.send("hi")).result()).error?.code).toBe("work_dir_refused");
		await stack.remove();
	});
});

describe("the hotplex command", () => {
	let stack: Stack;
	beforeAll(async () => {
		stack = await startStack();
	});
	afterAll(() => stack.remove());

	test("run: one turn, its text on stdout, its end as the exit code", async () => {
		const { code, stdout } = await stack.hotplex(["run", "hello you", "--provider", "demo"]);
		expect([code, stdout]).toEqual([0, expect.stringContaining('You asked: "hello you"')]);
	});

	test("run: tools are denied without a terminal, and allowed by --allow-tools", async () => {
		const denied = await stack.hotplex(["run", "list files", "--json"]);
		expect(denied.stdout).toContain('"decision":"deny"');
		const allowed = await stack.hotplex(["run", "list files", "--allow-tools", "--json"]);
		expect(allowed.stdout).toContain('"status":"completed"');
	});

	test("run: a prompt from standard input; what is wrong is one line and an exit code", async () => {
		expect((await stack.hotplex(["run", "-"], "from a pipe")).stdout).toContain("from a pipe");
		expect(await stack.hotplex(["run", "x", "--provider", "nothing"])).toMatchObject({
			code: 1,
			stderr: expect.stringContaining("provider_not_available"),
		});
		expect((await stack.hotplex(["run"])).code).toBe(2);
		const stranger = await runHotplex(["sessions", "list"], {
			PATH: process.env.PATH ?? "",
			HOME: stack.home,
			HOTPLEX_URL: stack.url,
			HOTPLEX_API_KEY: "wrong",
		});
		expect([stranger.code, stranger.stderr]).toEqual([10, expect.stringContaining("unauthorized")]);
	});

	test("chat: each line of a pipe is a turn of one session, which attach shows again", async () => {
		const chat = await stack.hotplex(["chat", "--session", "piped"], "first line\nsecond line\n");
		expect([chat.code, chat.stdout]).toEqual([0, expect.stringMatching(/first line[\s\S]*second line[\s\S]*remember 1 earlier prompt/)]);
		const { data } = await stack.client.sessions();
		const id = data.find((s) => s.key === "piped")?.sessionId ?? "";
		await stack.client.session(id).terminate();
		const attached = await stack.hotplex(["attach", id]);
		expect([attached.code, attached.stdout]).toEqual([0, expect.stringMatching(/first line[\s\S]*second line/)]);
	});

	test("sessions: list, get, events, stats and rm say the same as the gateway", async () => {
		const session = await stack.client.openSession({ key: "looked-at", provider: "demo" });
		await (await session.send("hi")).result();
		const listed = JSON.parse((await stack.hotplex(["sessions", "list", "--json"])).stdout) as { data: { sessionId: string }[] };
		expect(listed.data.map((s) => s.sessionId)).toContain(session.id);
		expect(JSON.parse((await stack.hotplex(["sessions", "get", session.id, "--json"])).stdout)).toMatchObject({ key: "looked-at" });
		expect(JSON.parse((await stack.hotplex(["sessions", "stats", session.id, "--json"])).stdout)).toMatchObject({
			turns: { accepted: 1, ended: 1 },
		});
		expect((await stack.hotplex(["sessions", "events", session.id])).stdout).toContain("turn_ended");
		expect((await stack.hotplex(["sessions", "rm", session.id])).code).toBe(0);
		expect(JSON.parse((await stack.hotplex(["sessions", "get", session.id, "--json"])).stdout)).toMatchObject({ state: "closed" });
	});

	test("keys: create shows the secret once, list never, revoke ends it", async () => {
		const made = await stack.hotplex(["keys", "create", "ci", "--scope", "sessions:read", "--json"]);
		const { keyId, apiKey } = JSON.parse(made.stdout) as { keyId: string; apiKey: string };
		const env = { PATH: process.env.PATH ?? "", HOME: stack.home, HOTPLEX_URL: stack.url, HOTPLEX_API_KEY: apiKey };
		expect((await runHotplex(["sessions", "list"], env)).code).toBe(0);
		const list = await stack.hotplex(["keys", "list", "--json"]);
		expect([list.stdout.includes(keyId), list.stdout.includes(apiKey)]).toEqual([true, false]);
		expect((await stack.hotplex(["keys", "revoke", keyId])).code).toBe(0);
		expect((await runHotplex(["sessions", "list"], env)).code).toBe(10);
	});

	test("runner: enrol, run, status and drain on another machine's state; runners list and revoke from here", async () => {
		const dir = mkdtempSync(join(tmpdir(), "hotplex-runner-"));
		const env = { PATH: process.env.PATH ?? "", HOME: dir, HOTPLEX_STATE_DIR: dir };
		const { stdout } = await stack.hotplex(["runners", "token"]);
		const token = /hpt_\S+/.exec(stdout)?.[0] ?? "";
		writeFileSync(join(dir, "token"), token);
		const enrolled = await runHotplex(["runner", "enrol", "--url", stack.url, "--token-file", join(dir, "token"), "--name", "second"], env);
		expect([enrolled.code, enrolled.stdout]).toEqual([0, expect.stringContaining("enrolled as run_")]);
		expect((await runHotplex(["runner", "enrol", "--url", stack.url, "--token-file", join(dir, "token")], env)).code).toBe(1);
		expect((await runHotplex(["runner", "status"], env)).code).toBe(1);

		const run = () => {
			const child = spawn(process.execPath, ["runner/main.ts", "runner", "run"], { env, stdio: "ignore" });
			return { child, ended: new Promise<number | null>((resolve) => child.once("exit", resolve)) };
		};
		const second = async () => (await stack.client.runners()).data.find((r) => r.name === "second");
		const daemon = run();
		await until(async () => (await second())?.state === "online");
		expect(JSON.parse((await runHotplex(["runner", "status", "--json"], env)).stdout)).toMatchObject({
			connected: true,
			pid: daemon.child.pid,
		});
		expect((await runHotplex(["runner", "run"], env)).code).toBe(12);
		expect((await runHotplex(["runner", "drain"], env)).stdout).toContain("drained");
		expect(await daemon.ended).toBe(0);

		const again = run();
		await until(async () => (await second())?.state === "online");
		expect((await stack.hotplex(["runners", "list"])).stdout).toContain("second");
		expect((await stack.hotplex(["runners", "revoke", (await second())?.runnerId ?? ""])).code).toBe(0);
		// Revoked: the daemon ends and says so by its code, so that no service manager starts it again.
		expect(await again.ended).toBe(11);
		expect((await second())?.state).toBe("revoked");
		rmSync(dir, { recursive: true, force: true });
	});

	test("runner status: what each hosted session's process does now", async () => {
		const session = await stack.client.openSession({ provider: "demo" });
		await (await session.send("hi")).result();
		type Status = { hosted: { sessionId: string; state: string; pid: number | null }[] };
		const hosted = async () => {
			const { stdout } = await stack.hotplex(["runner", "status", "--json"]);
			return (JSON.parse(stdout) as Status).hosted.find((h) => h.sessionId === session.id);
		};
		await until(async () => (await hosted())?.state === "ready");
		expect(await hosted()).toMatchObject({ pid: expect.any(Number) });
	});

	test("runners drain: the daemon hands back what it hosts and ends", async () => {
		const dir = mkdtempSync(join(tmpdir(), "hotplex-runner-"));
		const env = { PATH: process.env.PATH ?? "", HOME: dir, HOTPLEX_STATE_DIR: dir };
		const { token } = await stack.client.createRunnerToken({});
		expect((await runHotplex(["runner", "enrol", "--url", stack.url, "--token-file", "-", "--name", "third"], env, token)).code).toBe(0);
		const child = spawn(process.execPath, ["runner/main.ts", "runner", "run"], { env, stdio: "ignore" });
		const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
		const third = async () => (await stack.client.runners()).data.find((r) => r.name === "third");
		await until(async () => (await third())?.state === "online");
		expect((await stack.hotplex(["runners", "drain", (await third())?.runnerId ?? ""])).code).toBe(0);
		expect(await ended).toBe(0);
		rmSync(dir, { recursive: true, force: true });
	});

	test("help: every command shows an example", async () => {
		for (const command of ["up", "chat", "attach", "run", "sessions", "queue", "runners", "keys"]) {
			const { code, stdout } = await stack.hotplex([command, "--help"]);
			expect([command, code, /example/i.test(stdout)]).toEqual([command, 0, true]);
		}
	});
});

/** Asks until it is so; the test's own time-out is the limit. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
	while (!(await isSo().catch(() => false))) await new Promise((resolve) => setTimeout(resolve, 30));
}
