import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { RewindableJoiner } from "../../shared/client.ts";
import { LoggedEvent } from "../../shared/events.ts";
import { bigText } from "../fixtures/fake-cli.ts";
import { Follower } from "../support/follower.ts";
import { processesWith } from "../support/processes.ts";
import { RunnerDaemon } from "../support/runner-daemon.ts";
import { gatewayPid, type Stack, startStack } from "../support/stack.ts";

const FAKE_CLI = fileURLToPath(new URL("../fixtures/fake-cli.ts", import.meta.url));

const toml = (...providers: string[]): string =>
	providers
		.map(
			(name) =>
				`[providers.${name}]\nkind = "claude-code"\ncommand = ${JSON.stringify(process.execPath)}\nargs = [${JSON.stringify(FAKE_CLI)}]\n`,
		)
		.join("\n");

const followers: Follower[] = [];
const madeDirs: string[] = [];
afterEach(async () => {
	await Promise.all(followers.splice(0).map((follower) => follower.terminate()));
});
afterAll(() => {
	for (const dir of madeDirs) rmSync(dir, { recursive: true, force: true });
});

function newDir(): string {
	const dir = mkdtempSync(join(tmpdir(), "hotplex-faulty-"));
	madeDirs.push(dir);
	return dir;
}

async function stackOfFakes(args: string[] = []): Promise<Stack> {
	const stateDir = newDir();
	writeFileSync(join(stateDir, "runner.toml"), toml("claude-code"));
	return startStack({ stateDir, args });
}

async function openOn(stack: Stack, workDir = newDir(), provider = "claude-code"): Promise<Follower & { workDir: string }> {
	const follower = new Follower(await stack.client.openSession({ provider, workDir }));
	followers.push(follower);
	return Object.assign(follower, { workDir });
}

const words = (count: number, stem = "word"): string => Array.from({ length: count }, (_, i) => `${stem}${i + 1}`).join(" ");
const starts = (session: Follower): number => session.of("process_state").filter((e) => e.pid !== undefined).length;
const wordsSoFar = (session: Follower): number => session.of("text_delta").length;

/** The whole log by REST pages, as it is: split events not joined. */
async function pages(session: Follower): Promise<LoggedEvent[]> {
	const all: LoggedEvent[] = [];
	for (;;) {
		const { data, lastOffset } = await session.session.eventPage({ after: all.at(-1)?.offset ?? 0 });
		all.push(...data);
		if (data.length === 0 || (all.at(-1)?.offset ?? 0) >= lastOffset) return all;
	}
}

/**
 * A page in a browser that shows a session by its EventSource: it comes back by itself, a second after it was cut, with the id of
 * the last event that it had, and does as it is told.
 */
class Page {
	view: LoggedEvent[] = [];
	lastId = "";
	readonly welcomes: { recovered: boolean; rewindTo?: number }[] = [];
	readonly #stop = new AbortController();
	readonly ended: Promise<void>;

	constructor(stack: Stack, session: Follower, isEnd: (logged: LoggedEvent) => boolean) {
		this.ended = this.#show(stack, session, isEnd);
	}

	async #show(stack: Stack, session: Follower, isEnd: (logged: LoggedEvent) => boolean): Promise<void> {
		while (!this.#stop.signal.aborted) {
			try {
				const answer = await fetch(`${stack.url}/v1/sessions/${session.session.id}/events`, {
					headers: {
						authorization: `Bearer ${stack.apiKey}`,
						accept: "text/event-stream",
						...(this.lastId === "" ? {} : { "last-event-id": this.lastId }),
					},
					signal: this.#stop.signal,
				});
				let rest = "";
				for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
					const blocks = (rest + chunk).split("\n\n");
					rest = blocks.pop() ?? "";
					for (const block of blocks) if (this.#take(block)) isEnd(this.view.at(-1) as LoggedEvent) && this.#stop.abort();
				}
			} catch {
				// Cut, or nobody there.
			}
			if (!this.#stop.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 1000));
		}
	}

	/** Whether it brought an event of the log. */
	#take(block: string): boolean {
		const { id, event, data } = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s))) as Record<string, string>;
		if (id !== undefined) this.lastId = id;
		const body = JSON.parse(data ?? "{}") as { recovered: boolean; rewindTo?: number };
		if (event === "welcome") this.welcomes.push(body);
		if (body.rewindTo !== undefined) this.view = this.view.filter((l) => l.offset <= (body.rewindTo ?? 0));
		if (event !== undefined || id === undefined) return false;
		this.view.push(LoggedEvent.parse(body));
		return true;
	}
}

/** The log up to `last` by server-sent events, as it is. */
async function sse(stack: Stack, session: Follower, last: number): Promise<LoggedEvent[]> {
	const answer = await fetch(`${stack.url}/v1/sessions/${session.session.id}/events`, {
		headers: { authorization: `Bearer ${stack.apiKey}`, accept: "text/event-stream" },
	});
	const all: LoggedEvent[] = [];
	let rest = "";
	const decoder = new TextDecoder();
	for await (const chunk of answer.body ?? []) {
		const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
		rest = blocks.pop() ?? "";
		for (const block of blocks) {
			const field = (name: string) =>
				block
					.split("\n")
					.find((line) => line.startsWith(`${name}: `))
					?.slice(name.length + 2);
			if (field("id") === undefined) continue;
			all.push(LoggedEvent.parse(JSON.parse(field("data") ?? "")));
			if (Number.parseInt(field("id") ?? "", 10) >= last) return all;
		}
	}
	throw new Error(`the stream ended at ${all.at(-1)?.offset}`);
}

function joined(log: LoggedEvent[]): LoggedEvent[] {
	const joiner = new RewindableJoiner();
	return log.flatMap((logged) => joiner.push(logged) ?? []);
}

describe("a CLI that misbehaves", () => {
	let stack: Stack;
	beforeAll(async () => {
		stack = await stackOfFakes();
	});
	afterAll(() => stack?.remove());

	test("garbage between the lines is kept as it is, and the turn goes on", async () => {
		const session = await openOn(stack);
		const end = await session.ask("say 3\ngarbage\nsay 3 more");
		expect(end).toMatchObject({ stopReason: "end_turn", text: `${words(3)}\n\n${words(3, "more")}` });
		const raw = session.of("raw").map((e) => e.text);
		expect(raw[0]).toContain("\0");
		expect(raw.slice(1)).toEqual([
			"Warning: this is not JSON",
			'{"type":',
			"[1,2",
			"null",
			"42",
			"{}",
			'{"type":17}',
			'{"type":"unheard_of","x":1}',
		]);
	});

	test("[LOG-7] [LOG-2] a line of 5 MiB arrives whole by WebSocket, REST pages and SSE, with the same offsets", async () => {
		const session = await openOn(stack);
		const bytes = 5 * 1024 * 1024;
		const end = await session.ask(`line ${bytes}\nsay 2`);
		expect(end).toMatchObject({ stopReason: "end_turn", text: words(2) });
		const result = await session.until("tool_result");
		// Not toEqual: the difference of two such texts takes minutes to print.
		expect(result.output === bigText(bytes)).toBe(true);
		const byRest = await pages(session);
		const bySse = await sse(stack, session, byRest.at(-1)?.offset ?? 0);
		expect(byRest.map((l) => l.offset)).toEqual(byRest.map((_, i) => i + 1));
		expect(byRest.filter((l) => l.event.type === "part").length).toBeGreaterThan(20);
		expect(JSON.stringify(bySse) === JSON.stringify(byRest)).toBe(true);
		expect(JSON.stringify(joined(byRest)) === JSON.stringify(session.logged)).toBe(true);
	});

	test("a CLI that dies at its start fails the turn with its own words; once it can start, the next turn runs", async () => {
		const session = await openOn(stack);
		const cause = join(session.workDir, "die-at-start");
		writeFileSync(cause, "fake-cli: no licence for today\n");
		const end = await session.ask("say 1");
		expect(end).toMatchObject({ stopReason: "failed", error: { code: "start_failed" } });
		expect(end.error?.detail).toContain("no licence for today");
		expect(end.error?.detail).toContain("3");
		rmSync(cause);
		expect(await session.ask("say 4")).toMatchObject({ stopReason: "end_turn", text: words(4) });
	});

	test("[P5] two sessions never have processes on one conversation: the second is ended, the first goes on", async () => {
		const [first, second] = [await openOn(stack), await openOn(stack)];
		for (const session of [first, second]) writeFileSync(join(session.workDir, "native-id"), "11111111-2222-4333-8444-555555555555");
		expect(await first.ask("say 2")).toMatchObject({ stopReason: "end_turn" });
		const end = await second.ask("say 2\nslow 500\nsay 400");
		expect(end).toMatchObject({ stopReason: "failed", error: { detail: expect.stringContaining("another session of this runner") } });
		expect(await first.ask("say 3")).toMatchObject({ stopReason: "end_turn", text: words(3) });
		expect(starts(first)).toBe(1);
	});

	test("[TRN-7] a CLI that dies in mid-turn ends the turn as process_died, and the next input starts it with its history", async () => {
		const session = await openOn(stack);
		await session.ask("say 2 first");
		const end = await session.ask("say 3\ndie 7");
		expect(end).toMatchObject({ stopReason: "failed", text: words(3), error: { code: "process_died" } });
		expect(end.error?.detail).toContain("dying as told");
		expect(await session.until("process_state", (e) => e.state === "dead")).toMatchObject({ exitCode: 7 });
		expect(await session.ask("recall")).toMatchObject({ stopReason: "end_turn", text: "say 2 first | say 3, die 7" });
		expect(starts(session)).toBe(2);
		expect(session.of("turn_ended")).toHaveLength(3);
	});

	test("a provider that nobody offers is refused at once, with what is offered", async () => {
		await expect(stack.client.openSession({ provider: "nobody-has-it" })).rejects.toMatchObject({
			problem: { status: 422, code: "provider_not_available", detail: expect.stringContaining("claude-code") },
		});
	});

	test("[LSE-4] a work directory that is not there, or is not to be used, fails the turn with the reason", async () => {
		const away = join(newDir(), "away");
		expect(await (await openOn(stack, away)).ask("say 1")).toMatchObject({
			stopReason: "failed",
			error: { code: "work_dir_not_found", detail: expect.stringContaining(away) },
		});
		expect(await (await openOn(stack, "/etc")).ask("say 1")).toMatchObject({
			stopReason: "failed",
			error: { code: "work_dir_refused", detail: expect.stringContaining("/etc") },
		});
	});

	test("[TRN-5] a turn that the CLI begins by itself is told apart, and an input that comes meanwhile waits for its end", async () => {
		const session = await openOn(stack);
		await session.ask("say 1\nown 50 3");
		const own = await session.until("turn_started", (e) => e.origin === "cli");
		expect(await session.endOf(own.turnId)).toMatchObject({ stopReason: "end_turn", text: words(3) });
		expect(await session.ask("say 2 next")).toMatchObject({ stopReason: "end_turn", text: words(2, "next") });
	});

	test("[APR-2] the first decision counts, a second is a conflict", async () => {
		const session = await openOn(stack);
		const turn = await session.session.send("ask Launch\nslow 20\nsay 30");
		const { approvalId } = await session.until("approval_requested", (e) => e.tool === "Launch");
		await session.session.decide(approvalId, { decision: "deny", message: "too early" });
		await expect(session.session.decide(approvalId, { decision: "allow" })).rejects.toMatchObject({ problem: { code: "conflict" } });
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: `denied: too early\n\n${words(30)}` });
		await expect(session.session.decide("apr_00000000000000000000000000", { decision: "allow" })).rejects.toMatchObject({
			problem: { code: "not_found" },
		});
		expect(session.of("approval_decided")).toHaveLength(1);
	});

	test("[P11] what a CLI left in other sessions, forked twice and deaf to signals, is gone after terminate", async () => {
		const session = await openOn(stack);
		const marker = `mark-${randomUUID()}`;
		await session.ask(`escape ${marker}`);
		const escaped = () => processesWith(marker).filter((p) => p.command.includes("while :"));
		await expect.poll(() => escaped().length, { timeout: 10_000 }).toBeGreaterThanOrEqual(3);
		const { pid } = session;
		const { reached } = await session.until("isolation");
		await session.terminate();
		await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
		if (reached === "pid_namespace") await expect.poll(escaped, { timeout: 10_000 }).toEqual([]);
		else for (const left of escaped()) process.kill(left.pid, "SIGKILL");
	});

	test("[LOG-6] [P6] a page in a browser shows what the log has, also after the gateway was killed and another's input took the offsets", async () => {
		const session = await openOn(stack);
		const turn = await session.session.send("slow 10\nsay 300");
		const page = new Page(stack, session, (l) => l.event.type === "turn_ended" && l.event.turnId === turn.id);
		await expect.poll(() => page.view.filter((l) => l.event.type === "text_delta").length, { timeout: 20_000 }).toBeGreaterThan(100);
		process.kill(gatewayPid(stack), "SIGKILL");
		// It had seen what was not stored.
		expect(page.lastId).toMatch(/^\d+\.[\w-]+\.\d+$/);
		const next = await session.session.send("say 2 next");
		await page.ended;
		await session.ended(next);
		const log = await pages(session);
		expect(page.welcomes.at(-1)).toMatchObject({ recovered: true, rewindTo: expect.any(Number) });
		expect(JSON.stringify(page.view)).toBe(JSON.stringify(log.slice(0, page.view.length)));
		expect(await session.ended(turn)).toMatchObject({ text: words(300) });
	});

	test("[P6] [LOG-1] [LOG-5] a gateway killed in mid-turn loses no word and says none twice", async () => {
		const session = await openOn(stack);
		const turn = await session.session.send("slow 10\nsay 300");
		await session.wait("100 words", () => (wordsSoFar(session) >= 100 ? true : undefined));
		const before = gatewayPid(stack);
		process.kill(before, "SIGKILL");
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: words(300) });
		expect(gatewayPid(stack)).not.toBe(before);
		const log = await pages(session);
		expect(log.map((l) => l.offset)).toEqual(log.map((_, i) => i + 1));
		expect(JSON.stringify(session.logged)).toBe(JSON.stringify(log.slice(0, session.logged.length)));
		expect(starts(session)).toBe(1);
		expect(session.of("turn_ended")).toHaveLength(1);
	});
});

describe("a CLI whose runner is strict", () => {
	let stack: Stack;
	beforeAll(async () => {
		stack = await stackOfFakes(["--silence-timeout", "1s", "--idle-timeout", "600ms", "--capacity", "1"]);
	});
	afterAll(() => stack?.remove());

	test("a CLI that falls silent in mid-turn is told of, then ended as stalled, and the next turn runs", async () => {
		const session = await openOn(stack);
		const end = await session.ask("say 2\nsilent");
		expect(end).toMatchObject({ stopReason: "failed", text: words(2), error: { code: "stalled" } });
		expect(session.of("notice")).toMatchObject([{ code: "silent" }]);
		expect(await session.ask("recall")).toMatchObject({ stopReason: "end_turn", text: "say 2, silent" });
	});

	test("silence has a reason while a person is asked", async () => {
		const session = await openOn(stack);
		const turn = await session.session.send("ask Launch");
		const { approvalId } = await session.until("approval_requested");
		await session.until("notice");
		await session.session.decide(approvalId, { decision: "allow" });
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: "allowed" });
	});

	test("a session that nobody uses gives its process up, and the next input resumes it", async () => {
		const session = await openOn(stack);
		await session.ask("say 2 before");
		expect(await session.until("process_state", (e) => e.state === "dead")).toMatchObject({ why: "idle" });
		await session.until("lease_ended", (e) => e.why.includes("idle"));
		expect(await session.ask("recall")).toMatchObject({ stopReason: "end_turn", text: "say 2 before" });
	});

	test("[P7] a session over the runner's capacity is queued, says why, and runs when there is room", async () => {
		const first = await openOn(stack);
		await first.session.send("slow 50\nsay 200");
		await first.until("text_delta");
		const second = await openOn(stack);
		const turn = await second.session.send("say 2");
		expect(await second.until("session_state", (e) => e.state === "queued")).toMatchObject({
			why: expect.stringMatching(/claude-code.*capacity.*position 1/),
		});
		expect((await second.session.get()).why).toContain("capacity");
		await first.terminate();
		expect(await second.ended(turn)).toMatchObject({ stopReason: "end_turn", text: words(2) });
	});
});

describe("a runner on its own", () => {
	let stack: Stack;
	const daemon = new RunnerDaemon(newDir());

	beforeAll(async () => {
		stack = await stackOfFakes();
		writeFileSync(join(daemon.stateDir, "runner.toml"), toml("lonely", "fleeting"));
		await daemon.enrol(stack);
		await daemon.start();
	});
	afterAll(async () => {
		await daemon.end("SIGTERM");
		await stack?.remove();
	});

	test("[P6] [BAT-3] a daemon killed in mid-turn and started again finds the same process and loses no word", async () => {
		const session = await openOn(stack, newDir(), "lonely");
		const turn = await session.session.send("slow 10\nsay 300");
		await session.wait("50 words", () => (wordsSoFar(session) >= 50 ? true : undefined));
		await daemon.end("SIGKILL");
		const { pid } = session;
		expect(existsSync(`/proc/${pid}`)).toBe(true);
		await daemon.start();
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: words(300) });
		expect(await session.ask("say 2 next")).toMatchObject({ stopReason: "end_turn", text: words(2, "next") });
		expect(starts(session)).toBe(1);
		expect(existsSync(`/proc/${pid}`)).toBe(true);
		const log = await pages(session);
		expect(log.map((l) => l.offset)).toEqual(log.map((_, i) => i + 1));
		expect(session.of("turn_started")).toHaveLength(2);
	});

	test("[P8] an approval that was asked before the daemon was killed is decided after, and asked once", async () => {
		const session = await openOn(stack, newDir(), "lonely");
		const turn = await session.session.send("ask Launch");
		const { approvalId } = await session.until("approval_requested");
		await daemon.end("SIGKILL");
		await session.session.decide(approvalId, { decision: "allow" });
		await daemon.start();
		expect(await session.ended(turn)).toMatchObject({ stopReason: "end_turn", text: "allowed" });
		expect(session.of("approval_requested")).toHaveLength(1);
	});

	test("[TRN-7] a CLI that was gone when its daemon came back ends its turn as interrupted, and the next input goes on with its history", async () => {
		const session = await openOn(stack, newDir(), "lonely");
		const turn = await session.session.send("slow 20\nsay 200");
		await session.wait("20 words", () => (wordsSoFar(session) >= 20 ? true : undefined));
		const { pid } = session;
		await daemon.end("SIGKILL");
		process.kill(pid, "SIGKILL");
		await daemon.start();
		const ended = await session.ended(turn);
		expect(ended).toMatchObject({ stopReason: "failed", error: { code: "interrupted" } });
		expect(words(200).startsWith(ended.text)).toBe(true);
		expect(await session.ask("say 2 next")).toMatchObject({ stopReason: "end_turn", text: words(2, "next") });
	});

	test("[P7] a session whose provider its runner offers no more waits, and says so", async () => {
		const session = await openOn(stack, newDir(), "fleeting");
		expect(await session.ask("say 1")).toMatchObject({ stopReason: "end_turn" });
		await daemon.end("SIGTERM");
		writeFileSync(join(daemon.stateDir, "runner.toml"), toml("lonely"));
		await daemon.start();
		await session.session.send("say 1");
		expect(await session.until("session_state", (e) => e.state === "queued")).toMatchObject({ why: expect.stringContaining("fleeting") });
	});
});
