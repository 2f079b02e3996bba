import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
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
	const { claude } = await installClis();
	dir = mkdtempSync(join(tmpdir(), "hotplex-claude-"));
	model = await startFakeModelApi({ rate: 100 });
	const home = await cliHome(dir, model.url);
	stack = await startStack({
		env: {
			...home.claude,
			PATH: `${dirname(claude)}${delimiter}${home.claude.PATH}`,
			CLAUDE_CODE_MAX_RETRIES: "1",
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
	const follower = new Follower(await stack.client.openSession({ provider: "claude-code", workDir }));
	followers.push(follower);
	return Object.assign(follower, { workDir });
}

const tokens = (count: number, stem = "token"): string => Array.from({ length: count }, (_, i) => `${stem}${i + 1}`).join(" ");
/** What the model was asked in its newest request, as text. */
const lastAsked = (): string =>
	JSON.stringify(model.requests().findLast((r) => r.path.startsWith("/v1/messages?") || r.path === "/v1/messages")?.body);

describe("claude through the whole stack", () => {
	testEveryCli(open, lastAsked);

	test("[P1] thoughts and text stream in pieces, whose sum is what the model said", async () => {
		const session = await open();
		const end = await session.ask("fake:think tokens=6 + fake:text tokens=30");
		expect(end).toMatchObject({ stopReason: "end_turn", text: tokens(30) });
		const thoughts = end.events.filter((e) => e.type === "thought_delta");
		expect(thoughts.map((e) => e.text).join("")).toBe(tokens(6, "thought"));
		expect(thoughts.length).toBeGreaterThan(2);
		expect(end.events.filter((e) => e.type === "text_delta").length).toBeGreaterThan(5);
		const { version } = (await stack.client.runners()).data[0]?.providers.find((p) => p.name === "claude-code") ?? {};
		expect(await session.until("process_state", (e) => e.state === "ready")).toMatchObject({ providerVersion: version });
	});

	test("[APR-1] a tool call that is allowed is made, in the session's own directory", async () => {
		const session = await open();
		const file = join(session.workDir, "made.txt");
		const turn = await session.session.send(`fake:write path="${file}" content="by claude"\nfake:text text="It is written."`);
		const asked = await session.until("approval_requested");
		expect(asked).toMatchObject({ tool: "Write", input: { file_path: file, content: "by claude" } });
		expect(existsSync(file)).toBe(false);
		await session.session.decide(asked.approvalId, { decision: "allow" });
		const end = await session.ended(turn);
		expect(end).toMatchObject({ stopReason: "end_turn", text: "It is written." });
		expect(readFileSync(file, "utf8")).toBe("by claude");
		const call = end.events.find((e) => e.type === "tool_call");
		expect(end.events.find((e) => e.type === "tool_result")).toMatchObject({ toolCallId: call?.toolCallId, status: "completed" });
	});

	test("[P9] a tool call that is denied is not made, and the model is told why", async () => {
		const session = await open();
		const turn = await session.session.send('fake:bash cmd="touch made.txt"\nfake:text text="As you wish."');
		const asked = await session.until("approval_requested");
		await session.session.decide(asked.approvalId, { decision: "deny", message: "not on a Sunday" });
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: "As you wish." });
		expect(readdirSync(session.workDir)).toEqual([]);
		expect(lastAsked()).toContain("not on a Sunday");
		expect(await session.until("tool_result")).toMatchObject({ status: "failed" });
	});

	test("a question reaches a person, and the answer the model", async () => {
		const session = await open();
		const turn = await session.session.send('fake:ask question="Tabs or spaces?" options="tabs|spaces"\nfake:text text="Noted."');
		const asked = await session.until("question_asked");
		expect(asked.questions).toMatchObject([{ question: "Tabs or spaces?", options: [{ label: "tabs" }, { label: "spaces" }] }]);
		await session.session.decide(asked.approvalId, { decision: "allow", answers: { "Tabs or spaces?": "tabs" } });
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: "Noted." });
		expect(lastAsked()).toMatch(/Tabs or spaces\?[^}]*tabs/);
	});

	test("a model API that only errs: retries are told, then the turn fails as model_error and the session goes on", async () => {
		const session = await open();
		const end = await session.ask('fake:error status=529 message="Overloaded for good"');
		expect(end).toMatchObject({ stopReason: "failed", error: { code: "model_error" } });
		// CLAUDE_CODE_MAX_RETRIES of the runner's environment reached it: 10 is its own default.
		expect(end.events.filter((e) => e.type === "retry")).toMatchObject([
			{ attempt: 1, maxAttempts: 1, reason: expect.stringContaining("529") },
		]);
		expect(await session.ask('fake:text text="Better."')).toMatchObject({ stopReason: "end_turn", text: "Better." });
	});

	test("[P1] a stream that breaks is taken back and said once", async () => {
		const session = await open();
		// Slowly: what still lies in a socket when it is cut is never read.
		const end = await session.ask("fake:text tokens=12 rate=20 + fake:disconnect after=6 times=1");
		expect(end).toMatchObject({ stopReason: "end_turn", text: tokens(12) });
		const shown = end.events.flatMap((e) => (e.type === "text_delta" ? [e.text] : [])).join("");
		expect(shown.length).toBeGreaterThan(tokens(12).length);
		expect(end.events.some((e) => e.type === "text_retracted")).toBe(true);
	});

	test("[TRN-5] a background task that ends starts a turn that nobody asked for", async () => {
		const session = await open();
		const turn = await session.session.send(
			'fake:bash cmd="sleep 0.5; echo all-done > log.txt" bg=true\nfake:text text="It runs."\nfake:text text="It is done."',
		);
		await session.session.decide((await session.until("approval_requested")).approvalId, { decision: "allow" });
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: "It runs." });
		const own = await session.until("turn_started", (e) => e.origin === "cli");
		expect(await session.endOf(own.turnId)).toMatchObject({ stopReason: "end_turn", text: "It is done." });
		expect(session.of("background_task").map((e) => e.status)).toEqual(expect.arrayContaining(["started", "completed"]));
		expect(await session.ask('fake:text text="And on."')).toMatchObject({ text: "And on." });
	});

	test("[P11] terminate leaves no process: neither the CLI nor its tool nor what escaped from it", async () => {
		const session = await open();
		const marker = `mark-${randomUUID()}`;
		const command = `touch ${marker}; (setsid tail -f ${marker} >/dev/null 2>&1 &); nohup tail -f ${marker} >/dev/null 2>&1 & tail -f ${marker}`;
		await session.session.send(`fake:bash cmd="${command}"`);
		await session.session.decide((await session.until("approval_requested")).approvalId, { decision: "allow" });
		const tails = () => processesWith(marker).filter((p) => p.command.startsWith("tail"));
		await expect.poll(() => tails().length, { timeout: 10_000 }).toBe(3);
		const { pid } = session;
		const [runner] = (await stack.client.runners()).data;
		expect(session.of("isolation")).toMatchObject([{ reached: runner?.isolation }]);
		await session.terminate();
		await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
		// Where this machine lets nobody make a pid namespace, the log said so above.
		if (runner?.isolation === "pid_namespace") await expect.poll(() => processesWith(marker), { timeout: 10_000 }).toEqual([]);
		else for (const left of tails()) process.kill(left.pid, "SIGKILL");
	});

	test("[P13] nothing of the runner's environment reaches a tool but what it needs", async () => {
		const session = await open();
		const turn = await session.session.send('fake:bash cmd="env"\nfake:text text="Seen."');
		await session.session.decide((await session.until("approval_requested")).approvalId, { decision: "allow" });
		await session.ended(turn);
		const { output } = await session.until("tool_result");
		expect(output).toContain("PATH=");
		expect(output).not.toContain(SECRET);
		expect(output).not.toMatch(/^HOTPLEX_/m);
	});
});
