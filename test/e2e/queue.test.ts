import { spawn } from "node:child_process";
import { hostname } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { QueueEntry } from "../../shared/api.ts";
import { Client } from "../../shared/client.ts";
import { TurnId } from "../../shared/ids.ts";
import { RawRunner } from "../support/raw-runner.ts";
import { type Stack, startStack } from "../support/stack.ts";

const SOON = { timeout: 20_000 };
const ended = (turnId: TurnId) => ({ type: "turn_ended", turnId, stopReason: "end_turn" }) as const;

describe("the queue", () => {
	let stack: Stack;
	beforeAll(async () => {
		stack = await startStack({ args: ["--label", "zone=here"] });
	});
	afterAll(() => stack.remove());
	const waiting = async (): Promise<QueueEntry[]> => (await stack.client.queue()).data;
	const queue = async (): Promise<QueueEntry[]> => {
		const { code, stdout } = await stack.hotplex(["queue", "--json"]);
		expect(code).toBe(0);
		return (JSON.parse(stdout) as { data: QueueEntry[] }).data;
	};

	test("[SCH-2] a runner says its system, its host and its providers as labels; configured ones are beside them", async () => {
		const { stdout } = await stack.hotplex(["runners", "list"]);
		for (const label of [`os=${process.platform}`, `arch=${process.arch}`, `host=${hostname()}`, "provider/demo=", "zone=here"])
			expect(stdout).toContain(label);
	});

	test("[P7][SCH-3][SCH-8] what is run --on a label waits and says why, in the terminal, the queue and REST, until a runner has the label", async () => {
		expect((await stack.hotplex(["queue"])).stdout).toBe("nothing waits for a runner\n");
		const run = stack.hotplex(["run", "hello", "--session", "on-gpu", "--provider", "demo", "--on", "gpu in (a100,t4), !spot"]);
		await expect.poll(waiting, SOON).toHaveLength(1);
		const why = /^no runner matches !spot,gpu in \(a100, t4\); 1 runner enrolled \(labels: arch=.*zone=here\)$/;
		const [entry] = await queue();
		expect(entry).toMatchObject({
			position: 1,
			principal: expect.stringMatching(/^key:key_/),
			provider: "demo",
			selector: "!spot,gpu in (a100, t4)",
			since: expect.any(Number),
			why: expect.stringMatching(why),
		});
		expect((await stack.hotplex(["queue"])).stdout).toMatch(/POSITION +SESSION[\s\S]*!spot,gpu in \(a100, t4\)/);
		expect((await stack.hotplex(["sessions", "list"])).stdout).toMatch(/queued +demo +on-gpu +- +!spot,gpu in \(a100, t4\)/);
		const found = await stack.client.openSession({ key: "on-gpu" });
		await expect
			.poll(() => found.get())
			.toMatchObject({ state: "queued", selector: entry?.selector, why: expect.stringMatching(/; position 1$/) });
		const reader = await stack.client.createKey({ name: "no sessions", scopes: ["runners:read"] });
		await expect(new Client({ url: stack.url, apiKey: reader.apiKey }).queue()).rejects.toMatchObject({ problem: { code: "forbidden" } });

		const gpu = await RawRunner.enrol(stack.client, "gpu-box");
		const control = await gpu.connect({ labels: { gpu: "t4" }, providers: [{ name: "demo", version: null }] });
		const hosting = await gpu.host(control, found.id);
		const turnId = TurnId.parse(hosting.turnId);
		hosting.report(
			{ type: "process_state", state: "busy" },
			{ type: "turn_started", turnId, origin: "input" },
			{ type: "text_delta", turnId, messageId: "m1", text: "from the gpu" },
			ended(turnId),
		);
		const { code, stdout, stderr } = await run;
		expect([code, stdout]).toEqual([0, "from the gpu\n"]);
		expect(stderr).toContain("[queued: no runner matches !spot,gpu in (a100, t4)");
		expect(await queue()).toEqual([]);

		// Its files are on that box: with the box away it waits for it, though another could run it.
		hosting.link.send({ type: "release", generation: hosting.generation, why: "idle" });
		await hosting.link.ended();
		control.close();
		await expect.poll(async () => (await stack.client.runners()).data.find((r) => r.name === "gpu-box")?.state, SOON).toBe("offline");
		const chat = spawn(process.execPath, ["runner/main.ts", "chat", "--session", "on-gpu"], {
			env: { PATH: process.env.PATH ?? "", HOME: stack.home, HOTPLEX_STATE_DIR: stack.stateDir },
		});
		let said = "";
		chat.stderr.on("data", (chunk: Buffer) => {
			said += chunk.toString("utf8");
		});
		chat.stdin.write("are you there?\n");
		await expect.poll(() => said, SOON).toContain("[queued: waits for its runner gpu-box, which is offline; position 1]");
		chat.kill("SIGKILL");
		await found.terminate();
		await expect.poll(waiting, SOON).toEqual([]);
	});

	test("[SCH-1] what is wrong with --on is told with its place, and --on is for new sessions", async () => {
		expect(await stack.hotplex(["run", "x", "--on", "gpu="])).toMatchObject({
			code: 1,
			stderr: expect.stringContaining("selector: at character 5: expected a value, found the end (bad_request)"),
		});
		const session = await stack.client.openSession({ provider: "demo" });
		expect(await stack.hotplex(["run", "x", "--session", session.id, "--on", "gpu"])).toMatchObject({
			code: 2,
			stderr: expect.stringContaining("--on are for new sessions"),
		});
	});
});

test.each([
	["TEAM_CAPACITY", false],
	["PRINCIPAL_CAPACITY", true],
])(
	"[SCH-4][SCH-7][P14] with a %s of 1 an idle session makes way for the next, on a runner with room for eight",
	async (name, ofPrincipal) => {
		const stack = await startStack({ env: { [name]: "1" } });
		const first = await stack.client.openSession({ provider: "demo" });
		await (await first.send("one")).result();
		const made = await stack.client.createKey({ name: "another", scopes: ["sessions:read", "sessions:write"] });
		const another = await new Client({ url: stack.url, apiKey: made.apiKey }).openSession({ provider: "demo" });
		const leased = async () => (await Promise.all([first.get(), another.get()])).map((s) => s.runnerId !== null);
		expect((await (await another.send("hi")).result()).stopReason).toBe("end_turn");
		// A principal's bound leaves another principal's sessions alone.
		expect(await leased()).toEqual([ofPrincipal, true]);
		const second = await stack.client.openSession({ provider: "demo" });
		expect((await (await second.send("hi")).result()).stopReason).toBe("end_turn");
		expect(await leased()).toEqual([false, ofPrincipal]);
		expect((await (await first.send("two")).result()).text).toContain("I remember 1 earlier prompt");
		await stack.remove();
	},
);
