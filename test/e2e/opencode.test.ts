import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { testEveryCli } from "../support/cli-contract.ts";
import { cliHome } from "../support/clihome.ts";
import { installClis } from "../support/clis.ts";
import { type FakeModelApi, startFakeModelApi } from "../support/fake-model-api.ts";
import { Follower } from "../support/follower.ts";
import { processesWith } from "../support/processes.ts";
import { type Stack, startStack } from "../support/stack.ts";

const SECRET = `surrounding-${randomUUID()}`;

let dir: string;
let model: FakeModelApi;
let stack: Stack;
const followers: Follower[] = [];

beforeAll(async () => {
	const { opencode } = await installClis();
	dir = mkdtempSync(join(tmpdir(), "hotplex-opencode-"));
	model = await startFakeModelApi({ rate: 100 });
	// Not by 127.0.0.1: what the owner names goes to the proxy, and the CLI speaks to itself by that address.
	const modelUrl = model.url.replace("127.0.0.1", "localhost");
	const home = await cliHome(dir, modelUrl);
	// Its model is on this machine, which nobody reaches from a jail but where the owner says so.
	const stateDir = join(dir, "state");
	mkdirSync(stateDir);
	const env = ["OPENCODE_DISABLE_MODELS_FETCH", "OPENCODE_DISABLE_AUTOUPDATE"];
	writeFileSync(
		join(stateDir, "runner.toml"),
		`[providers.opencode]\nkind = "acp"\ncommand = "opencode"\nargs = ["acp"]\nenv = ${JSON.stringify(env)}\nread = ["~/.config/opencode/opencode.json"]\nhosts = [${JSON.stringify(new URL(modelUrl).host)}]\n`,
	);
	stack = await startStack({
		stateDir,
		env: {
			...home.opencode,
			PATH: `${dirname(opencode)}${delimiter}${home.opencode.PATH}`,
			SURROUNDING_SECRET: SECRET,
			AWS_SECRET_ACCESS_KEY: SECRET,
			HOTPLEX_NAME: SECRET,
		},
	});
});

afterEach(async () => {
	await Promise.all(followers.splice(0).map((follower) => follower.terminate()));
});

afterAll(async () => {
	await stack?.remove();
	await model?.close();
	if (dir) rmSync(dir, { recursive: true, force: true });
});

/** A fresh session in an empty directory of its own. */
async function open(): Promise<Follower & { workDir: string }> {
	const workDir = join(dir, "work", randomUUID());
	mkdirSync(workDir, { recursive: true });
	const follower = new Follower(await stack.client.openSession({ provider: "opencode", workDir }));
	followers.push(follower);
	return Object.assign(follower, { workDir });
}

const tokens = (count: number, stem = "token"): string => Array.from({ length: count }, (_, i) => `${stem}${i + 1}`).join(" ");
/** What the model was asked in its newest request that offers tools, as text; others are for titles. */
const lastAsked = (): string =>
	JSON.stringify(model.requests().findLast((r) => r.path === "/v1/chat/completions" && JSON.stringify(r.body).includes('"tools"'))?.body);

describe("opencode through the whole stack", () => {
	testEveryCli(open, lastAsked);

	test("[P1] thoughts and text stream in pieces, whose sum is what the model said", async () => {
		const session = await open();
		const end = await session.ask("fake:think tokens=6 + fake:text tokens=30");
		expect(end).toMatchObject({ stopReason: "end_turn", text: tokens(30) });
		const thoughts = end.events.filter((e) => e.type === "thought_delta");
		expect(thoughts.map((e) => e.text).join("")).toBe(tokens(6, "thought"));
		expect(thoughts.length).toBeGreaterThan(2);
		expect(end.events.filter((e) => e.type === "text_delta").length).toBeGreaterThan(5);
		const { version } = (await stack.client.runners()).data[0]?.providers.find((p) => p.name === "opencode") ?? {};
		expect(await session.until("process_state", (e) => e.state === "ready")).toMatchObject({ providerVersion: version });
	});

	test("[APR-1] a tool call that is allowed is made, in the session's own directory", async () => {
		const session = await open();
		const file = join(session.workDir, "made.txt");
		const turn = await session.session.send(`fake:write path="${file}" content="by opencode"\nfake:text text="It is written."`);
		const asked = await session.until("approval_requested");
		expect(existsSync(file)).toBe(false);
		await session.session.decide(asked.approvalId, { decision: "allow" });
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: "It is written." });
		expect(readFileSync(file, "utf8")).toBe("by opencode");
		expect(await session.until("tool_result")).toMatchObject({ toolCallId: asked.toolCallId, status: "completed" });
	});

	test("[P9] a tool call that is denied is not made", async () => {
		const session = await open();
		const turn = await session.session.send('fake:bash cmd="touch made.txt"\nfake:text text="As you wish."');
		const asked = await session.until("approval_requested");
		expect(JSON.stringify(asked)).toContain("touch made.txt");
		await session.session.decide(asked.approvalId, { decision: "deny" });
		await session.ended(turn);
		expect(readdirSync(session.workDir)).toEqual([]);
		expect(await session.until("tool_result")).toMatchObject({ status: "failed" });
		// A denial ends opencode's turn; the model hears of it with the next one.
		expect(await session.ask('fake:text text="Then not."')).toMatchObject({ stopReason: "end_turn", text: "Then not." });
		expect(lastAsked()).toMatch(/reject|denied/i);
	});

	test("[GAT-1] what a rule denies never reaches a person, and the session says that only what is asked about is judged", async () => {
		// The script is in the prompt, whose own gate would stop it first.
		await stack.client.putPolicy({ prompts: { order: "allow" } }, (await stack.client.policy()).version);
		const session = await open();
		await session.ask('fake:bash cmd="cat /etc/shadow ~/.ssh/id_rsa"\nfake:text text="As you wish."');
		expect(session.of("approval_requested")).toEqual([]);
		// Its own look for updates is refused by the proxy meanwhile.
		const verdict = await session.until("tool_verdict", (event) => event.layer === "gateway");
		expect(verdict).toMatchObject({ verdict: "deny", category: "read_secrets" });
		expect(await session.until("tool_result")).toMatchObject({ status: "failed" });
		expect(await session.until("isolation")).toMatchObject({ waf: "asked", jail: "namespaces" });
		expect(await session.session.get()).toMatchObject({ waf: "asked", jail: "namespaces" });
	});

	test("a model API that refuses fails the turn as model_error, in its words, and the session goes on", async () => {
		const session = await open();
		const end = await session.ask('fake:error status=400 message="No such thing"');
		expect(end).toMatchObject({ stopReason: "failed", error: { code: "model_error", detail: expect.stringContaining("No such thing") } });
		expect(await session.ask('fake:text text="Better."')).toMatchObject({ stopReason: "end_turn", text: "Better." });
	});

	test("[P11] [P13] a tool sees nothing of the runner's environment, and terminate leaves neither it nor the CLI", async () => {
		const session = await open();
		const marker = `mark-${randomUUID()}`;
		await session.session.send(
			`fake:bash cmd="env; touch ${marker}; (setsid tail -f ${marker} >/dev/null 2>&1 &)"\nfake:bash cmd="tail -f ${marker}"`,
		);
		await session.session.decide((await session.until("approval_requested")).approvalId, { decision: "allow" });
		const { output } = await session.until("tool_result");
		expect(output).toContain("PATH=");
		expect(output).not.toContain(SECRET);
		expect(output).not.toMatch(/^HOTPLEX_/m);
		const second = await session.wait("a second approval", () => session.of("approval_requested")[1]);
		await session.session.decide(second.approvalId, { decision: "allow" });
		const tails = () => processesWith(marker).filter((p) => p.command.startsWith("tail"));
		await expect.poll(() => tails().length, { timeout: 10_000 }).toBe(2);
		const { pid } = session;
		const [runner] = (await stack.client.runners()).data;
		await session.terminate();
		await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
		if (runner?.isolation === "pid_namespace") await expect.poll(() => processesWith(marker), { timeout: 10_000 }).toEqual([]);
		else for (const left of tails()) process.kill(left.pid, "SIGKILL");
	});
});
