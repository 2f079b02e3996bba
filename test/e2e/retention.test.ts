import { afterAll, beforeAll, expect, test } from "vitest";
import { LogLost, type SessionHandle } from "../../shared/client.ts";
import type { LoggedEvent } from "../../shared/events.ts";
import { TurnId } from "../../shared/ids.ts";
import { type ControlSocket, Hosting, RawRunner } from "../support/raw-runner.ts";
import { gatewayPid, type Stack, startStack } from "../support/stack.ts";

const PROMPT = "a prompt of long ago";
const USAGE = { inputTokens: 1, outputTokens: 2, cacheReadTokens: 3, cacheWriteTokens: 4, costUsd: 0.5 };

let stack: Stack;
let runner: RawRunner;
let control: ControlSocket;
let session: SessionHandle;
let hosting: Hosting;
let turnId: TurnId;

/** Text of the turn, stored: with 100 kB a piece. */
async function say(...pieces: string[]): Promise<void> {
	for (const piece of pieces) {
		hosting.report(
			{ type: "text_delta", turnId, messageId: "m1", text: `${piece}${" ".repeat(100_000)}` },
			{ type: "tool_call", turnId, toolCallId: "t", tool: "Bash", input: {} },
		);
		await hosting.acked();
	}
}

beforeAll(async () => {
	stack = await startStack({ env: { LOG_MAX_BYTES: "1MiB", LOG_MAX_AGE: "30d" } });
	runner = await RawRunner.enrol(stack.client);
	control = await runner.connect();
	session = await stack.client.openSession({ provider: "scripted" });
	await session.send(PROMPT, { clientId: "c-1" });
	hosting = await runner.host(control, session.id);
	turnId = TurnId.parse(hosting.turnId);
	hosting.report({ type: "process_state", state: "busy" }, { type: "turn_started", turnId, origin: "input" });
	await say(...Array.from({ length: 30 }, (_, n) => `piece ${n}`));
});
afterAll(async () => {
	hosting?.link.close();
	control?.close();
	await stack?.remove();
});

test("[LOG-8] the bound comes from the environment, and what is left is the same after the gateway was killed", async () => {
	const before = await session.eventPage();
	expect(before.firstOffset).toBeGreaterThan(40);
	process.kill(gatewayPid(stack), "SIGKILL");
	const after = () =>
		session.eventPage().then(
			({ data }) => data.slice(0, before.data.length),
			() => null,
		);
	await expect.poll(after, { timeout: 20_000 }).toEqual(before.data);
	hosting = new Hosting(session.id, hosting.generation, await runner.attach(session.id, hosting.generation));
	expect(hosting.attached.desired.turn).toMatchObject({ turnId, text: PROMPT });
	await say("after the kill");
	expect((await session.eventPage()).firstOffset).toBeGreaterThanOrEqual(before.firstOffset);
});

test("[LOG-9] a client's iteration from an offset that is gone ends with the session as it is, and goes on from what is left", async () => {
	const lost = await session
		.events({ after: 1 })
		.next()
		.catch((error: unknown) => error);
	expect(lost).toBeInstanceOf(LogLost);
	const { firstOffset, epoch, snapshot, message } = lost as LogLost;
	expect(message).toContain(`events 2 to ${firstOffset - 1} are not kept any more`);
	expect(snapshot).toMatchObject({ state: "busy", turn: { turnId, clientId: "c-1", text: PROMPT }, waiting: [], approvals: [] });
	const page = await session.eventPage({ after: firstOffset - 1, epoch });
	expect([page.recovered, page.snapshot]).toEqual([true, undefined]);
	const left: LoggedEvent[] = [];
	for await (const logged of session.events({ after: firstOffset - 1, epoch })) {
		left.push(logged);
		if (logged.offset === page.lastOffset) break;
	}
	expect(left.slice(0, page.data.length)).toEqual(page.data);
	expect(left.map((l) => l.offset)).toEqual(left.map((_, i) => firstOffset + i));
});

test("[LOG-9] a stream of server-sent events begins with the snapshot, where its beginning is gone", async () => {
	const stop = new AbortController();
	const answer = await fetch(`${stack.url}/v1/sessions/${session.id}/events`, {
		headers: { authorization: `Bearer ${stack.apiKey}`, accept: "text/event-stream", "last-event-id": "1" },
		signal: stop.signal,
	});
	let text = "";
	for await (const chunk of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
		text += chunk;
		if (text.includes("\nid: ")) break;
	}
	stop.abort();
	const data = text.split("\n\n").find((block) => block.startsWith("event: welcome\n"));
	const welcome: unknown = JSON.parse(data?.split("\ndata: ")[1] ?? "");
	const { firstOffset } = await session.eventPage({ limit: 1 });
	expect(welcome).toMatchObject({ recovered: false, firstOffset, snapshot: { turn: { text: PROMPT }, stats: { turns: { accepted: 1 } } } });
	expect(/\nid: (\d+)\n/.exec(text)?.[1]).toBe(String(firstOffset));
});

test("[P2] who waited for a turn has its result and its exit code, though the log does not hold its beginning, or nothing of it", async () => {
	const turn = await session.send(PROMPT, { clientId: "c-1" });
	expect(turn.accepted).toMatchObject({ turnId, duplicate: true });
	const waits = turn.result();
	await say("the last");
	hosting.report({ type: "usage", turnId, ...USAGE }, { type: "turn_ended", turnId, stopReason: "max_tokens" });
	await hosting.acked();
	const result = await waits;
	expect({ ...result, text: result.text.split("  ").findLast((piece) => piece !== "") }).toEqual({
		text: "the last",
		stopReason: "max_tokens",
		error: null,
		usage: USAGE,
		complete: false,
	});
	expect(result.text.includes("piece 0 ")).toBe(false);
	// Another turn takes all the room.
	const first = turnId;
	const next = await session.send("the next", { clientId: "c-2" });
	turnId = next.id;
	await hosting.link.next("desired", (f) => f.desired.turn?.turnId === turnId);
	hosting.report({ type: "turn_started", turnId, origin: "input" });
	await say(...Array.from({ length: 15 }, (_, n) => `next ${n}`));
	expect(await turn.result()).toEqual({ text: "", stopReason: "max_tokens", error: null, usage: USAGE, complete: false });
	expect(await session.turn(first)).toMatchObject({ state: "ended", stopReason: "max_tokens" });
	// Its text is gone with its events, so it is not compared any more.
	expect((await session.send("another text", { clientId: "c-1" })).accepted).toMatchObject({ turnId: first, duplicate: true });
});

test("[LOG-8] the commands that show a log say which events are not kept, and go on with what is left", async () => {
	await session.terminate();
	const { code, stdout } = await stack.hotplex(["attach", session.id, "--after", "1"]);
	const lines = stdout.split("\n").map((line) => line.trim());
	expect([code, lines.slice(0, 2)]).toEqual([0, [expect.stringMatching(/^events 2 to \d+ are not kept any more$/), "[scripted: closed]"]]);
	expect(lines.slice(-3)).toEqual(["[the turn ended: cancelled]", "[closed]", ""]);
	const { firstOffset } = await session.eventPage({ limit: 1 });
	const listed = await stack.hotplex(["sessions", "events", session.id, "--limit", "1"]);
	expect(listed.stderr).toContain(`events 1 to ${firstOffset - 1} are not kept any more\n`);
	expect(listed.stdout).toContain(`\n${firstOffset} `);
	const later = await stack.hotplex(["sessions", "events", session.id, "--after", String(firstOffset), "--limit", "1"]);
	expect(later.stderr).not.toContain("kept");
});

test("[CFG-7] a gateway whose bound is not understood does not start, and says which", async () => {
	await expect(startStack({ env: { LOG_MAX_BYTES: "64MB" } })).rejects.toThrow(/LOG_MAX_BYTES: expected a number with a unit/);
});
