import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { RunnerEvent, SessionEvent } from "../../shared/events.ts";
import { PROTOCOL_VERSION } from "../../shared/frames.ts";
import { ApprovalId, idBody, TurnId } from "../../shared/ids.ts";
import { APPROVAL_TIMEOUT_MS, FLUSH_AFTER_MS, HELLO_TIMEOUT_MS, OFFLINE_AFTER_MS, QUEUE_TIMEOUT_MS } from "../../shared/limits.ts";
import { serverSentEvents } from "../../worker/sse.ts";
import { clock, makeSession, principalOf, type SessionLink, Watcher } from "./scripted.ts";

beforeEach(() => clock.start());
afterEach(() => clock.stop());

const APPROVAL = ApprovalId.parse(`apr_${idBody(new Uint8Array(26).fill(4))}`);
const started = (turnId: string): RunnerEvent => ({ type: "turn_started", turnId: TurnId.parse(turnId), origin: "input" });
const ended = (turnId: string): RunnerEvent => ({ type: "turn_ended", turnId: TurnId.parse(turnId), stopReason: "end_turn" });
const said = (turnId: string, text: string): RunnerEvent => ({ type: "text_delta", turnId: TurnId.parse(turnId), messageId: "m1", text });
const asks = (turnId: string): RunnerEvent => ({
	type: "approval_requested",
	turnId: TurnId.parse(turnId),
	approvalId: APPROVAL,
	tool: "Bash",
	input: { command: "ls" },
});
type Made = Awaited<ReturnType<typeof makeSession>>;

/** A session whose runner works on a turn. */
async function atWork(): Promise<Made & { turnId: string; link: SessionLink; watcher: Watcher }> {
	const session = await makeSession();
	const watcher = await session.watch();
	const turnId = await session.input("hello");
	await session.grant(1);
	const link = await session.attach(1);
	link.report({ type: "process_state", state: "busy" }, started(turnId));
	await link.socket.settled();
	return { ...session, turnId, link, watcher };
}
const typesOf = (events: SessionEvent[]): string[] => events.map((e) => e.type);
const textOf = (events: SessionEvent[]): string => events.map((e) => (e.type === "text_delta" ? e.text : "")).join("");

/** What the object writes from now on: the names of its calls. */
async function countWrites(stub: Made["stub"]): Promise<{ made: string[] }> {
	const made: string[] = [];
	await runInDurableObject(stub, (_, { storage }) => {
		const exec = storage.sql.exec.bind(storage.sql);
		vi.spyOn(storage.sql, "exec").mockImplementation((query: string, ...bindings: unknown[]) => {
			const cursor = exec(query, ...bindings);
			if (cursor.rowsWritten > 0) made.push(query.trim().slice(0, 40));
			return cursor;
		});
		const setAlarm = storage.setAlarm.bind(storage);
		vi.spyOn(storage, "setAlarm").mockImplementation((at: number | Date) => {
			made.push("setAlarm");
			return setAlarm(at);
		});
	});
	return { made };
}

/** Everything that an object does in its life, step by step; each step begins when the one before is over. */
async function* life(session: Made, seen: { watcher: Watcher | null }): AsyncGenerator<string> {
	seen.watcher = await session.watch();
	yield "created";
	const turnId = await session.input("first");
	yield "input";
	await session.stub.queued("1 runner, at capacity; position 1");
	yield "queued";
	await session.grant(1);
	yield "granted";
	const link = await session.attach(1);
	yield "attached";
	const steps: [string, () => unknown][] = [
		["starting", () => link.report({ type: "process_state", state: "starting", pid: 7 })],
		["ready", () => link.report({ type: "process_state", state: "ready", nativeSessionId: "native-1" })],
		["started", () => link.report({ type: "process_state", state: "busy" }, started(turnId))],
		["first words", () => link.report(said(turnId, "one "), said(turnId, "two "))],
		["more words", () => link.report(said(turnId, "three "))],
		[
			"tool call",
			() => link.report({ type: "tool_call", turnId: TurnId.parse(turnId), toolCallId: "t1", tool: "Bash", input: {} }, asks(turnId)),
		],
		["decided", () => session.stub.decide({ approvalId: APPROVAL, decision: "allow" }, "key:test", false)],
		["last words", () => link.report(said(turnId, "four "), said(turnId, "five"))],
		["ended", () => link.report(ended(turnId), { type: "process_state", state: "ready" })],
		["interrupted for nothing", () => session.stub.interrupt("key:test")],
		["released", () => link.socket.send({ type: "release", generation: 1, why: "idle" })],
	];
	for (const [name, run] of steps) {
		await run();
		if (name === "released") await link.socket.ended();
		else await link.socket.settled();
		yield name;
	}
	await session.input("second");
	yield "second input";
	await session.stub.terminate("key:test");
	yield "terminated";
}

/** The log with ids of this run replaced by their order of appearance, so that two runs can be compared. */
function normal(events: SessionEvent[]): unknown {
	const names = new Map<string, string>();
	const text = JSON.stringify(events).replace(/\b(trn|run)_[0-9a-z]{26}|gateway:[\w-]{43}/g, (id) => {
		if (!names.has(id)) names.set(id, `id-${names.size + 1}`);
		return names.get(id) ?? id;
	});
	return JSON.parse(text);
}

async function lived(evictAfter: number): Promise<{ log: unknown; view: unknown; offsets: number[]; gaps: number[]; steps: string[] }> {
	const session = await makeSession();
	const seen: { watcher: Watcher | null } = { watcher: null };
	const steps: string[] = [];
	for await (const step of life(session, seen)) {
		steps.push(step);
		if (steps.length === evictAfter) await evictDurableObject(session.stub);
	}
	await seen.watcher?.socket.settled();
	const log = await session.log();
	return {
		log: normal(log.map((l) => l.event)),
		offsets: log.map((l) => l.offset),
		view: normal(seen.watcher?.view ?? []),
		gaps: seen.watcher?.gaps ?? [],
		steps,
	};
}

describe("eviction", () => {
	test("[P6][LOG-5] an object that is evicted after any step of a session's life leaves the same log, and its watcher the same view", async () => {
		const undisturbed = await lived(0);
		expect(undisturbed.view).toEqual(undisturbed.log);
		expect(undisturbed.steps.length).toBeGreaterThan(15);
		for (const [i, step] of undisturbed.steps.entries()) {
			const disturbed = await lived(i + 1);
			expect({ step, ...disturbed }).toEqual({ step, ...undisturbed });
		}
	});

	test("[LOG-5] a watcher that saw more than was stored is rewound, with the new life's name, and sees the same again", async () => {
		const { stub, link, watcher, turnId, log } = await atWork();
		const before = (await log()).length;
		link.report(said(turnId, "seen "), said(turnId, "and lost"));
		await link.socket.settled();
		expect([textOf(watcher.view), (await log()).length, link.acked]).toEqual(["seen and lost", before, 2]);
		const { life } = await watcher.socket.frame("welcome");
		await evictDurableObject(stub);
		await watcher.socket.settled();
		const rewind = await watcher.socket.frame("rewind");
		expect(rewind).toMatchObject({ rewindTo: before });
		expect(rewind.life).not.toBe(life);
		await link.socket.settled();
		await watcher.socket.settled();
		expect([textOf(watcher.view), watcher.gaps]).toEqual(["seen and lost", []]);
	});

	test("[LOG-6] a watcher that was away while the object lost its memory is told to rewind in its welcome", async () => {
		const { stub, link, watcher, turnId, watch } = await atWork();
		link.report(said(turnId, "seen"));
		await link.socket.settled();
		const { life, epoch } = await watcher.socket.frame("welcome");
		const durable = watcher.view.length - 1;
		watcher.socket.close();
		await watcher.socket.ended();
		await evictDurableObject(stub);
		const back = await watch({ after: durable + 1, epoch, life, durable });
		expect(await back.socket.frame("welcome")).toMatchObject({ recovered: true, rewindTo: durable });
	});

	test("[P12] sockets that wait for their first frame are still unauthenticated after an eviction", async () => {
		const { stub, runner, log } = await atWork();
		const socket = await runner.dial(stub);
		await evictDurableObject(stub);
		const before = (await log()).length;
		socket.send({ type: "batch", generation: 1, firstSeq: 3, events: [{ type: "process_state", state: "dead" }] });
		expect((await socket.ended()).code).toBe(4401);
		expect((await log()).length).toBe(before);
	});
});

describe("storage", () => {
	test("[LOG-4] text that was shown and not stored is stored by the alarm after five seconds of silence, and acknowledged", async () => {
		const { stub, link, watcher, turnId, log } = await atWork();
		link.report(said(turnId, "in memory"));
		await link.socket.settled();
		expect([textOf((await log()).map((l) => l.event)), link.acked]).toEqual(["", 2]);
		clock.pass(FLUSH_AFTER_MS);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		expect(textOf((await log()).map((l) => l.event))).toBe("in memory");
		await link.socket.frame("ack", (f) => f.seq === 3);
		await evictDurableObject(stub);
		await watcher.socket.settled();
		expect(watcher.socket.frames.filter((f) => f.type === "rewind")).toEqual([]);
	});

	test("[BAT-3] what is shown and not stored is not acknowledged, however often it is sent", async () => {
		const { stub, link, turnId, log } = await atWork();
		link.report(said(turnId, "in memory"));
		link.repeat();
		await link.socket.settled();
		expect([textOf((await log()).map((l) => l.event)), link.acked]).toEqual(["", 2]);
		await evictDurableObject(stub);
		link.repeat();
		await link.socket.settled();
		clock.pass(FLUSH_AFTER_MS);
		await runDurableObjectAlarm(stub);
		expect(textOf((await log()).map((l) => l.event))).toBe("in memory");
	});

	test("[LOG-3] a transaction that throws in a durable batch loses nothing, and what was shown is taken back first", async () => {
		const { stub, link, watcher, turnId, attach, log } = await atWork();
		link.report(said(turnId, "shown, not stored"));
		await link.socket.settled();
		const before = (await log()).length;
		await runInDurableObject(stub, (_, state) => {
			state.storage.sql.exec("CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'disk full'); END");
		});
		link.report(ended(turnId));
		expect((await link.socket.ended()).code).toBe(1011);
		expect(await watcher.socket.frame("rewind")).toMatchObject({ rewindTo: before });
		expect((await log()).length).toBe(before);
		await runInDurableObject(stub, (_, state) => {
			state.storage.sql.exec("DROP TRIGGER full");
		});
		// Another's input takes the offsets that were shown before.
		await stub.input("meanwhile", null, "key:test");
		const again = await attach(1);
		again.report(said(turnId, "shown, not stored"), ended(turnId));
		await again.socket.settled();
		const since = typesOf((await log()).slice(before).map((l) => l.event));
		expect(since.filter((type) => type !== "session_state")).toEqual(["input", "text_delta", "turn_ended"]);
		await watcher.socket.settled();
		expect(watcher.view).toEqual((await log()).map((l) => l.event));
		expect(watcher.gaps).toEqual([]);
	});

	test("[P3] an input whose transaction throws is not taken: the same again is no duplicate", async () => {
		const { stub, log, watch } = await makeSession();
		const watcher = await watch();
		const before = await log();
		await runInDurableObject(stub, (_, state) => {
			state.storage.sql.exec("CREATE TRIGGER full BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'disk full'); END");
		});
		// Inside the object: a rejected call across would be reported as nobody's by the test runner too.
		await runInDurableObject(stub, (object) => expect(object.input("hello", "c-1", "key:test")).rejects.toThrow("disk full"));
		expect(await log()).toEqual(before);
		await runInDurableObject(stub, (_, state) => {
			state.storage.sql.exec("DROP TRIGGER full");
		});
		expect(await stub.input("hello", "c-1", "key:test")).toMatchObject({ ok: true, value: { duplicate: false } });
		expect(await stub.input("hello", "c-1", "key:test")).toMatchObject({ ok: true, value: { duplicate: true } });
		await watcher.socket.settled();
		expect(watcher.view).toEqual((await log()).map((l) => l.event));
	});

	test("a session whose making failed is made once, by the next call", async () => {
		const { stub, log, sessionId, team } = await makeSession();
		await stub.create({ sessionId, team }, { provider: "other", workDir: null, model: null, permissionMode: "default" }, "key:other");
		expect(typesOf((await log()).map((l) => l.event))).toEqual(["session_created"]);
	});
});

describe("the clock", () => {
	test("[APR-3][P8] an approval that nobody answers is denied by the alarm after fifteen minutes, also after an eviction", async () => {
		const { stub, link, turnId, watcher } = await atWork();
		link.report(asks(turnId));
		await link.socket.settled();
		clock.pass(APPROVAL_TIMEOUT_MS - 1);
		await evictDurableObject(stub);
		await runDurableObjectAlarm(stub);
		await watcher.socket.settled();
		expect(typesOf(watcher.view)).not.toContain("approval_decided");
		clock.pass(1);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		await watcher.socket.settled();
		expect(watcher.view.at(-1)).toMatchObject({ type: "approval_decided", approvalId: APPROVAL, decision: "deny", by: "gateway" });
		const told = await link.socket.frame("desired", (f) => f.desired.decisions.length > 0);
		expect(told.desired.decisions).toMatchObject([{ approvalId: APPROVAL, decision: "deny" }]);
		expect(await stub.decide({ approvalId: APPROVAL, decision: "allow" }, "key:late", false)).toMatchObject({ code: "conflict" });
	});

	test("[TRN-6] a turn that no runner takes says why it waits, and ends as no_runner after thirty minutes", async () => {
		const { stub, input, watch } = await makeSession();
		const watcher = await watch();
		const turnId = await input("hello");
		await stub.queued("no runner offers scripted; position 1");
		clock.pass(QUEUE_TIMEOUT_MS - 1);
		await runDurableObjectAlarm(stub);
		expect(await stub.turn(turnId)).toMatchObject({ state: "waiting" });
		clock.pass(1);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		expect(await stub.turn(turnId)).toMatchObject({
			stopReason: "failed",
			error: { code: "no_runner", detail: "no runner offers scripted; position 1" },
		});
		await watcher.socket.settled();
		expect(watcher.view).toContainEqual({ type: "session_state", state: "queued", why: "no runner offers scripted; position 1" });
	});

	test("[LSE-8] a runner's link and a watcher that are cut and come back cost one storage write, the alarm's, and no event", async () => {
		const { stub, link, watcher, attach, watch, log } = await atWork();
		const before = typesOf((await log()).map((l) => l.event));
		const writes = await countWrites(stub);
		link.socket.close();
		watcher.socket.close();
		await Promise.all([link.socket.ended(), watcher.socket.ended()]);
		const back = await attach(1);
		const again = await watch();
		await Promise.all([back.socket.settled(), again.socket.settled()]);
		clock.pass(OFFLINE_AFTER_MS);
		await runDurableObjectAlarm(stub);
		expect(writes.made).toEqual(["setAlarm"]);
		expect(typesOf((await log()).map((l) => l.event))).toEqual(before);
	});

	test("[LSE-8] a runner whose link is away for eight seconds is told to be offline, after an eviction too, and told to be back", async () => {
		const { stub, link, attach, log } = await atWork();
		link.socket.close();
		await link.socket.ended();
		const states = async () => (await log()).flatMap(({ event }) => (event.type === "session_state" ? [event.state] : [])).slice(1);
		clock.pass(OFFLINE_AFTER_MS - 1);
		await runDurableObjectAlarm(stub);
		expect(await states()).toEqual([]);
		await evictDurableObject(stub);
		await runDurableObjectAlarm(stub);
		clock.pass(OFFLINE_AFTER_MS);
		await runDurableObjectAlarm(stub);
		expect(await states()).toEqual(["offline"]);
		const back = await attach(1);
		await back.socket.settled();
		expect(await states()).toEqual(["offline", "busy"]);
	});

	test("[LNK-1] every socket that says nothing is closed with 4408 after its own ten seconds, not only the first", async () => {
		const { stub, team, runner } = await makeSession();
		const first = await Watcher.silent(stub, principalOf(team));
		clock.pass(HELLO_TIMEOUT_MS / 2);
		const second = await runner.dial(stub);
		clock.pass(HELLO_TIMEOUT_MS / 2);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		await first.frame("error", (f) => f.problem.code === "hello_timeout");
		expect(second.frames.map((f) => f.type)).toEqual(["challenge"]);
		clock.pass(HELLO_TIMEOUT_MS / 2);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		await second.frame("error");
		// Both are closing: there is nothing left to wake up for.
		expect(await runDurableObjectAlarm(stub)).toBe(false);
	});

	test("[LNK-1] a socket that says nothing is closed also where nothing else was due before it came", async () => {
		const { stub, team, watch } = await makeSession();
		await watch();
		clock.pass(HELLO_TIMEOUT_MS);
		await runDurableObjectAlarm(stub);
		const silent = await Watcher.silent(stub, principalOf(team));
		clock.pass(HELLO_TIMEOUT_MS);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		await silent.frame("error", (f) => f.problem.code === "hello_timeout");
	});

	test("[WAT-2] a watcher is closed with 4401 by the alarm when its credential ends, after an eviction too", async () => {
		const { stub, team } = await makeSession();
		const watcher = await Watcher.open(stub, principalOf(team, { expiresAt: Date.now() + 60_000 }));
		const other = await Watcher.open(stub, principalOf(team));
		await evictDurableObject(stub);
		clock.pass(60_000);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		expect((await watcher.socket.ended()).code).toBe(4401);
		await other.socket.settled();
		expect(other.socket.closed).toBeNull();
	});
});

describe("server-sent events", () => {
	test("a stream that is silent says a named heartbeat every fifteen seconds, and ends with its socket", async () => {
		vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
		const [reader, log] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
		log.accept();
		const hello = new Promise<string>((resolve) => log.addEventListener("message", (m) => resolve(String(m.data)), { once: true }));
		reader.accept();
		const response = serverSentEvents(reader, { after: 7, seenIn: null }, null);
		expect(JSON.parse(await hello)).toEqual({ type: "hello", protocol: PROTOCOL_VERSION, after: 7 });
		const text = response.body?.pipeThrough(new TextDecoderStream()).getReader();
		expect((await text?.read())?.value).toBe("retry: 1000\n\n");
		vi.advanceTimersByTime(15_000);
		expect((await text?.read())?.value).toBe("event: heartbeat\ndata: {}\n\n");
		log.close(1000);
		expect((await text?.read())?.done).toBe(true);
		expect(vi.getTimerCount()).toBe(0);
	});
});

test("[TRN-4] who terminates a session hears when its runner has given it back; of a runner that is away, or says nothing, that it has not", async () => {
	const made = await makeSession();
	await made.input("hello");
	await made.grant(1);
	expect(await made.stub.isGone(0)).toBe(false);
	const link = await made.attach(1);
	await made.stub.terminate("key:test");
	expect(await made.stub.isGone(1)).toBe(false);
	const gone = made.stub.isGone(60_000);
	link.socket.send({ type: "release", generation: 1, why: "terminated" });
	expect(await gone).toBe(true);
	expect(await made.stub.isGone(0)).toBe(true);
});
