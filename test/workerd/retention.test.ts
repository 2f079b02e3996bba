import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { EventPage } from "../../shared/api.ts";
import type { LoggedEvent, RunnerEvent } from "../../shared/events.ts";
import { ApprovalId, idBody, TurnId } from "../../shared/ids.ts";
import { APPROVAL_TIMEOUT_MS, FLUSH_AFTER_MS, QUEUE_TIMEOUT_MS } from "../../shared/limits.ts";
import { bindings, clock, makeSession, principalOf, Reader, type SessionLink } from "./scripted.ts";

const MIB = 1024 * 1024;
const HOUR_MS = 3_600_000;

beforeEach(() => {
	clock.start();
	bindings.LOG_MAX_BYTES = "1MiB";
});
afterEach(() => {
	clock.stop();
	delete bindings.LOG_MAX_BYTES;
	delete bindings.LOG_MAX_AGE;
});

type Made = Awaited<ReturnType<typeof makeSession>>;
const approvalOf = (n: number) => ApprovalId.parse(`apr_${idBody(new Uint8Array(26).fill(n))}`);
const said = (turnId: string, text: string): RunnerEvent => ({ type: "text_delta", turnId: TurnId.parse(turnId), messageId: "m1", text });
const called = (turnId: string): RunnerEvent => ({
	type: "tool_call",
	turnId: TurnId.parse(turnId),
	toolCallId: "t",
	tool: "Bash",
	input: {},
});
const asks = (turnId: string, n = 1): RunnerEvent => ({
	type: "approval_requested",
	turnId: TurnId.parse(turnId),
	approvalId: approvalOf(n),
	tool: "Bash",
	input: { command: "ls" },
});
const ended = (turnId: string): RunnerEvent => ({ type: "turn_ended", turnId: TurnId.parse(turnId), stopReason: "end_turn" });

/** A session whose runner works on a turn. */
async function atWork(prompt = "hello"): Promise<Made & { turnId: string; link: SessionLink; say: (bytes: number) => Promise<void> }> {
	const session = await makeSession();
	const turnId = await session.input(prompt);
	await session.grant(1);
	const link = await session.attach(1);
	link.report(
		{ type: "process_state", state: "busy", nativeSessionId: "n-1" },
		{ type: "turn_started", turnId: TurnId.parse(turnId), origin: "input" },
	);
	await link.socket.settled();
	return {
		...session,
		turnId,
		link,
		/** At least so much text, stored. */
		say: async (bytes) => {
			for (let left = bytes; left > 0; left -= 100_000) {
				link.report(said(turnId, "x".repeat(Math.min(left, 100_000))));
				await link.socket.settled();
			}
			link.report(called(turnId));
			await link.socket.settled();
		},
	};
}
const pageOf = async (session: Made, after: number | null = null, limit = 1000): Promise<EventPage> =>
	JSON.parse(await session.stub.events(after, null, limit)) as EventPage;
/** All that is stored, read page by page. */
async function left(session: Made): Promise<LoggedEvent[]> {
	const all: LoggedEvent[] = [];
	for (let page = await pageOf(session); page.data.length > 0; page = await pageOf(session, all.at(-1)?.offset)) all.push(...page.data);
	return all;
}
const rowsOf = (session: Made): Promise<{ rows: number; bytes: number }> =>
	runInDurableObject(session.stub, (_, state) =>
		state.storage.sql.exec<{ rows: number; bytes: number }>("SELECT count(*) AS rows, sum(octet_length(events)) AS bytes FROM log").one(),
	);
const noticesIn = (events: LoggedEvent[]): number[] =>
	events.flatMap(({ event }) => (event.type === "log_trimmed" ? [event.firstOffset] : []));

describe("a log with a bound in size", () => {
	test("[LOG-8] what is over the bound goes from the front, in eighths and not with each flush, and each time an event says so", async () => {
		const session = await atWork();
		const seen = new Reader();
		await seen.open(session.stub, principalOf(session.team));
		for (let n = 0; n < 60; n++) {
			await session.say(100_000);
			seen.ack();
			expect((await rowsOf(session)).bytes).toBeLessThanOrEqual(MIB);
		}
		await seen.socket?.settled();
		const [log] = seen.stretches as [LoggedEvent[]];
		expect([seen.wrong, seen.losses]).toEqual([[], []]);
		const { firstOffset, lastOffset } = await pageOf(session);
		// Six MiB through a bound of one: at least 40 eighths, and no more removals than these.
		const notices = noticesIn(log);
		expect(notices.length).toBeGreaterThan(20);
		expect(notices.length).toBeLessThanOrEqual(48);
		expect(notices).toEqual(notices.toSorted((a, b) => a - b));
		expect(notices.at(-1)).toBe(firstOffset);
		expect(await left(session)).toEqual(log.slice(firstOffset - 1));
		expect((await rowsOf(session)).bytes).toBeGreaterThan(MIB / 2);
		// The totals are of all that ever was.
		const { events, bytes } = await session.stub.stats();
		expect(events).toBe(lastOffset);
		expect(bytes).toBe(log.reduce((sum, l) => sum + JSON.stringify(l).length, 0));
	});

	test("[LOG-8] what is left is known after an eviction, and a flush that fails removes nothing", async () => {
		const session = await atWork();
		await session.say(2 * MIB);
		const before = await left(session);
		await evictDurableObject(session.stub);
		expect(await left(session)).toEqual(before);
		expect((await pageOf(session)).firstOffset).toBe(before[0]?.offset);
		await runInDurableObject(session.stub, (_, state) => {
			state.storage.sql.exec("CREATE TRIGGER stuck BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'disk full'); END");
		});
		const reader = new Reader();
		await reader.open(session.stub, principalOf(session.team));
		const { link, attach, turnId, stub } = session;
		for (let n = 0; n < 6 && link.socket.closed === null; n++) {
			link.report(said(turnId, "y".repeat(90_000)));
			link.report(said(turnId, "y".repeat(90_000)), called(turnId));
			await Promise.race([link.socket.settled(), link.socket.ended()]);
		}
		expect((await link.socket.ended()).code).toBe(1011);
		const kept = await left(session);
		expect(kept.slice(0, before.length)).toEqual(before);
		await evictDurableObject(stub);
		expect(await left(session)).toEqual(kept);
		await runInDurableObject(stub, (_, state) => {
			state.storage.sql.exec("DROP TRIGGER stuck");
		});
		const again = await attach(1);
		again.report(said(turnId, "y".repeat(200_000)), called(turnId), said(turnId, "z".repeat(200_000)), called(turnId));
		await again.socket.settled();
		expect((await pageOf(session)).firstOffset).toBeGreaterThan(before[0]?.offset ?? 0);
		await reader.socket?.settled();
		expect(reader.wrong).toEqual([]);
	});

	test("[LOG-8] a log of before there was a bound is counted when it is first looked at, and then trimmed like any other", async () => {
		delete bindings.LOG_MAX_BYTES;
		const session = await atWork();
		await session.say(3 * MIB);
		const log = await left(session);
		bindings.LOG_MAX_BYTES = "1MiB";
		await runInDurableObject(session.stub, (_, state) => {
			const { sql } = state.storage;
			sql.exec("UPDATE kv SET value = json_remove(value, '$.kept', '$.asked') WHERE key = 'now'");
			sql.exec("DROP INDEX turns_by_offset");
			sql.exec("DROP TABLE outbox");
			sql.exec("UPDATE schema SET version = 1");
		});
		await evictDurableObject(session.stub);
		expect(await left(session)).toEqual(log);
		for (let n = 0; n < 4; n++) await session.say(10);
		expect((await rowsOf(session)).bytes).toBeLessThan(MIB);
		const { firstOffset } = await pageOf(session);
		expect(noticesIn(await left(session))).toContain(firstOffset);
		await runInDurableObject(session.stub, (_, state) => {
			const plan = state.storage.sql.exec<{ detail: string }>(
				"EXPLAIN QUERY PLAN SELECT * FROM turns WHERE after_offset < 9 ORDER BY after_offset DESC",
			);
			expect(plan.one().detail).toContain("turns_by_offset");
		});
	});

	test("[LOG-8] nothing is removed while somebody is asked; then it is", async () => {
		const session = await atWork();
		await session.say(MIB / 2);
		session.link.report(asks(session.turnId));
		await session.link.socket.settled();
		await session.say(2 * MIB);
		expect(await pageOf(session)).toMatchObject({ firstOffset: 1, recovered: true });
		await evictDurableObject(session.stub);
		await session.say(100_000);
		expect(await pageOf(session)).toMatchObject({ firstOffset: 1 });
		expect(await session.stub.decide({ approvalId: approvalOf(1), decision: "allow" }, "key:test", false)).toBeNull();
		expect((await pageOf(session)).firstOffset).toBeGreaterThan(1);
		expect((await rowsOf(session)).bytes).toBeLessThan(MIB);
	});

	test("[LOG-8] the newest event of a log is never removed, however large it is", async () => {
		const session = await makeSession();
		for (let n = 0; n < 5; n++) {
			await session.input(`${n}${"ü".repeat(300_000)}`);
			const log = await left(session);
			expect(log.at(-1)?.event.type).toMatch(/input|session_state|log_trimmed/);
			expect(log.some((l) => l.event.type === "input" && l.event.text.startsWith(`${n}`))).toBe(true);
		}
	});

	test("[TRN-1] an input whose text is gone with its log is still taken once, and its text compared no more", async () => {
		const session = await makeSession();
		const take = (text: string, clientId: string) => session.stub.input(text, clientId, "key:test");
		const first = await take("first", "c-1");
		await session.grant(1);
		const link = await session.attach(1);
		if (!first.ok) throw new Error("not taken");
		const { turnId } = first.value;
		link.report({ type: "turn_started", turnId, origin: "input" }, ended(turnId));
		await link.socket.settled();
		expect(await take("other", "c-1")).toMatchObject({ ok: false, error: { code: "conflict" } });
		const second = await take("second", "c-2");
		if (!second.ok) throw new Error("not taken");
		link.report({ type: "turn_started", turnId: second.value.turnId, origin: "input" });
		for (let n = 0; n < 14; n++) {
			link.report(said(second.value.turnId, "x".repeat(100_000)), called(second.value.turnId));
			await link.socket.settled();
		}
		expect((await pageOf(session)).firstOffset).toBeGreaterThan(second.value.afterOffset + 1);
		for (const text of ["first", "other"])
			expect(await take(text, "c-1")).toMatchObject({ ok: true, value: { turnId, duplicate: true, state: "ended" } });
		// Of a turn that runs the prompt is needed.
		expect(await take("other", "c-2")).toMatchObject({ ok: false, error: { code: "conflict" } });
		await evictDurableObject(session.stub);
		const again = await session.attach(1);
		expect((await again.socket.frame("attached")).desired.turn).toMatchObject({ turnId: second.value.turnId, text: "second" });
		link.socket.close();
	});
});

describe("a log with a bound in age", () => {
	beforeEach(() => {
		bindings.LOG_MAX_AGE = "8h";
	});

	test("[LOG-8] a session that nobody uses any more loses its log by its alarm, and then rests", async () => {
		const session = await makeSession();
		const turnId = await session.input("hello");
		await session.stub.interrupt("key:test");
		expect(await session.stub.turn(turnId)).toMatchObject({ state: "ended" });
		// What else it wakes for is over soon.
		clock.pass(QUEUE_TIMEOUT_MS);
		await runDurableObjectAlarm(session.stub);
		const before = await left(session);
		expect(before.length).toBeGreaterThan(3);
		const reader = new Reader();
		await reader.open(session.stub, principalOf(session.team));
		clock.pass(8 * HOUR_MS);
		expect(await runDurableObjectAlarm(session.stub)).toBe(true);
		const at = before.length + 1;
		expect(await left(session)).toEqual([{ offset: at, at: Date.now(), event: { type: "log_trimmed", firstOffset: at, why: "age" } }]);
		// Who watches all the while is told, and loses nothing.
		await reader.socket?.settled();
		expect(reader.stretches.flat()).toEqual([...before, ...(await left(session))]);
		expect([reader.wrong, reader.losses]).toEqual([[], []]);
		await reader.close();
		await evictDurableObject(session.stub);
		clock.pass(1000 * HOUR_MS);
		expect(await runDurableObjectAlarm(session.stub)).toBe(false);
		expect(await pageOf(session)).toMatchObject({ firstOffset: at, lastOffset: at, recovered: true });
		expect(await pageOf(session, 0)).toMatchObject({ firstOffset: at, recovered: false });
		expect(await session.stub.stats()).toMatchObject({ turns: { accepted: 1, cancelled: 1 }, events: at });
	});

	test("[LOG-8] of a session in use what is too old goes with a flush, at most eight times in that time, and nothing younger than seven eighths of it", async () => {
		const session = await atWork();
		const began = Date.now();
		for (let minute = 0; minute < 24 * 60; minute += 20) {
			clock.pass(HOUR_MS / 3);
			session.link.report(called(session.turnId));
			await session.link.socket.settled();
			const [oldest] = await left(session);
			const age = Date.now() - (oldest?.at ?? 0);
			expect(age).toBeLessThanOrEqual(8 * HOUR_MS);
			if (Date.now() - began > 8 * HOUR_MS) expect(age).toBeGreaterThan(6 * HOUR_MS);
		}
		const { events } = await session.stub.stats();
		expect(events).toBe((await left(session)).at(-1)?.offset);
		expect(noticesIn(await left(session)).length).toBeGreaterThan(4);
		expect(noticesIn(await left(session)).length).toBeLessThanOrEqual(8);
		expect(await session.stub.turn(session.turnId)).toMatchObject({ state: "running" });
	});

	test("[LOG-8] notices alone are never a reason to remove something: a log that is used now and then does not wake for ever", async () => {
		const session = await makeSession();
		for (let round = 0; round < 3; round++) {
			await session.input("hello");
			await session.stub.interrupt("key:test");
			let woken = 0;
			for (; woken < 100; woken++) {
				clock.pass(9 * HOUR_MS);
				if (!(await runDurableObjectAlarm(session.stub))) break;
			}
			expect(woken).toBeLessThan(4);
			expect((await left(session)).map((l) => l.event.type)).toEqual(["log_trimmed"]);
		}
	});

	test("[LOG-8] while somebody is asked the alarm neither removes anything nor fires again and again", async () => {
		const session = await atWork();
		clock.pass(8 * HOUR_MS - APPROVAL_TIMEOUT_MS / 2);
		session.link.report(asks(session.turnId));
		await session.link.socket.settled();
		clock.pass(APPROVAL_TIMEOUT_MS / 2);
		await runDurableObjectAlarm(session.stub);
		expect(await pageOf(session)).toMatchObject({ firstOffset: 1 });
		await runInDurableObject(session.stub, async (_, state) => {
			expect(await state.storage.getAlarm()).toBeGreaterThan(Date.now());
		});
		clock.pass(APPROVAL_TIMEOUT_MS / 2);
		// Nobody answers: the alarm denies it, and what is too old goes with that.
		expect(await runDurableObjectAlarm(session.stub)).toBe(true);
		expect((await pageOf(session)).firstOffset).toBeGreaterThan(1);
	});
});

describe("the snapshot", () => {
	test("[LOG-9][P2] who asks for what is gone is told so with the session as it is, and who asks for what is left is not", async () => {
		const session = await atWork("the prompt");
		await session.say(2 * MIB);
		const waits = await session.stub.input("the next", "c-2", "key:test");
		session.link.report(asks(session.turnId));
		await session.link.socket.settled();
		// What is asked is known after an eviction, too.
		await evictDurableObject(session.stub);
		const { firstOffset, lastOffset, epoch } = await pageOf(session);
		expect(firstOffset).toBeGreaterThan(1);
		const log = await left(session);
		const asked = log.find((l) => l.event.type === "approval_requested");
		const expected = {
			spec: { provider: "scripted", workDir: null, model: null, permissionMode: "default" },
			createdAt: expect.any(Number),
			state: "busy",
			why: null,
			turn: {
				turnId: session.turnId,
				clientId: expect.any(String),
				text: "the prompt",
				acceptedAt: expect.any(Number),
				startedAt: expect.any(Number),
				afterOffset: 1,
				interrupt: false,
			},
			waiting: [
				{
					turnId: waits.ok ? waits.value.turnId : "",
					clientId: "c-2",
					text: "the next",
					acceptedAt: expect.any(Number),
					startedAt: null,
					afterOffset: expect.any(Number),
				},
			],
			approvals: [{ approvalId: approvalOf(1), offset: asked?.offset, expiresAt: Date.now() + APPROVAL_TIMEOUT_MS, event: asked?.event }],
			nativeSessionId: "n-1",
			lease: { runnerId: session.runner.runnerId, generation: 1 },
			stats: await session.stub.stats(),
		};
		const cases: [hello: object, recovered: boolean, isCut: boolean, rewindTo?: number][] = [
			[{}, true, true],
			[{ after: 0 }, false, true],
			[{ after: firstOffset - 2, epoch }, false, true],
			[{ after: firstOffset - 1, epoch }, true, false],
			[{ after: lastOffset }, true, false],
			[{ after: lastOffset + 10 }, true, false, lastOffset],
			[{ after: lastOffset, epoch: `epo_${"0".repeat(26)}` }, false, true],
			// Seen in another life, and stored then only up to what is gone now.
			[{ after: lastOffset, epoch, life: "another", durable: firstOffset - 2 }, false, true, firstOffset - 2],
			[{ after: lastOffset, epoch, life: "another", durable: firstOffset - 1 }, true, false, firstOffset - 1],
		];
		for (const [hello, recovered, isCut, rewindTo] of cases) {
			const watcher = await session.watch(hello);
			const welcome = await watcher.socket.frame("welcome");
			expect([hello, welcome]).toMatchObject([hello, { recovered, firstOffset }]);
			expect([hello, welcome.snapshot, welcome.rewindTo]).toEqual([hello, isCut ? expected : undefined, rewindTo]);
			await watcher.socket.settled();
			watcher.socket.close();
			if ("life" in hello) continue;
			const { after = null, epoch: of = null } = hello as { after?: number; epoch?: string };
			const page = JSON.parse(await session.stub.events(after, of, 10)) as EventPage;
			expect([hello, page]).toMatchObject([hello, { recovered, firstOffset }]);
			expect([hello, page.snapshot]).toEqual([hello, isCut ? expected : undefined]);
		}
	});

	test("[LOG-9] a snapshot is bounded: what does not fit is null, an open approval is then still in the log", async () => {
		const session = await atWork("p".repeat(700_000));
		await session.say(2 * MIB);
		for (let n = 0; n < 3; n++) await session.stub.input(`${n}`.repeat(150_000), `c-${n}`, "key:test");
		for (let n = 1; n <= 4; n++) {
			const { turnId } = session;
			session.link.report({
				...(asks(turnId, n) as Extract<RunnerEvent, { type: "approval_requested" }>),
				input: { command: "y".repeat(200_000) },
			});
			await session.link.socket.settled();
		}
		const page = await pageOf(session, 0);
		const snapshot = page.snapshot as NonNullable<EventPage["snapshot"]>;
		expect(JSON.stringify(snapshot).length).toBeLessThan(MIB + 10_000);
		expect(snapshot.turn?.text?.length).toBe(700_000);
		expect(snapshot.approvals.map((a) => a.event === null)).toEqual([false, true, true, true]);
		expect(snapshot.waiting.map((w) => w.text?.length ?? null)).toEqual([null, null, null]);
		for (const { approvalId, offset } of snapshot.approvals)
			expect((await pageOf(session, offset - 1, 1)).data[0]).toMatchObject({ offset, event: { approvalId } });
	});
});

describe("readers of a log that is trimmed", () => {
	test("[WAT-4] a watcher that lags until what it lacks is removed is told so on its socket, and goes on", async () => {
		const session = await atWork();
		const reader = new Reader();
		await reader.open(session.stub, principalOf(session.team));
		await session.say(4 * MIB);
		await reader.socket?.settled();
		const paused = reader.last;
		expect((await pageOf(session)).firstOffset).toBeGreaterThan(paused + 1);
		reader.ack();
		await reader.socket?.settled();
		expect(reader.losses).toEqual([{ first: paused + 1, last: (await pageOf(session)).firstOffset - 1 }]);
		for (let n = 0; n < 5; n++) {
			reader.ack();
			await reader.socket?.settled();
		}
		expect(reader.stretches[1]).toEqual(await left(session));
		expect(reader.wrong).toEqual([]);
		expect(reader.socket?.frames.filter((f) => f.type === "welcome").length).toBe(2);
	});

	const READERS = 3;
	const step = fc.oneof(
		{
			weight: 6,
			arbitrary: fc.record({
				do: fc.constant("say" as const),
				bytes: fc.constantFrom(10, 30_000, 120_000),
				times: fc.integer({ min: 1, max: 5 }),
			}),
		},
		{
			weight: 3,
			arbitrary: fc.record({ do: fc.constantFrom("call" as const, "input" as const, "ask" as const, "decide" as const, "wait" as const) }),
		},
		{ weight: 2, arbitrary: fc.record({ do: fc.constant("crash" as const) }) },
		{
			weight: 6,
			arbitrary: fc.record({
				do: fc.constantFrom("come" as const, "come" as const, "go" as const, "ack" as const, "ack" as const),
				reader: fc.nat({ max: READERS - 1 }),
				named: fc.record({ epoch: fc.boolean(), memory: fc.constant(true) }),
			}),
		},
	);

	test("[LOG-6][LOG-8][P2] whatever is stored, lost and removed: a reader has pieces of the one log without gaps, and is told of every loss", {
		timeout: 120_000,
	}, async () => {
		let losses = 0;
		let rewinds = 0;
		await fc.assert(
			fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60, size: "max" }), async (steps) => {
				const session = await atWork();
				const principal = principalOf(session.team);
				const readers = Array.from({ length: READERS }, () => new Reader());
				/** Every event that was ever stored, by its offset. */
				const truth = new Map<number, string>();
				const record = async (): Promise<void> => {
					for (let page = await pageOf(session, truth.size, 1000); page.data.length > 0; page = await pageOf(session, truth.size, 1000)) {
						expect(page.data[0]?.offset).toBe(truth.size + 1);
						for (const logged of page.data) truth.set(logged.offset, JSON.stringify(logged));
					}
				};
				let asked = 0;
				const { link, stub, turnId } = session;
				for (const s of steps) {
					const reader = "reader" in s ? readers[s.reader] : undefined;
					// Less in one step than a removal leaves, so that the truth can be read before any of it is removed again.
					if (s.do === "say") for (let n = 0; n < s.times; n++) link.report(said(turnId, String.fromCharCode(97 + n).repeat(s.bytes)));
					else if (s.do === "call") link.report(called(turnId));
					else if (s.do === "input") await stub.input(`input ${truth.size}`, null, "key:test");
					else if (s.do === "ask" && asked < 25) link.report(asks(turnId, ++asked));
					else if (s.do === "decide" && asked > 0)
						await stub.decide({ approvalId: approvalOf(asked), decision: "deny" }, "key:test", false);
					else if (s.do === "wait") {
						clock.pass(FLUSH_AFTER_MS);
						await runDurableObjectAlarm(stub);
					} else if (s.do === "crash") await evictDurableObject(stub);
					else if (s.do === "come" && reader?.socket === null && "named" in s) await reader.open(stub, principal, s.named);
					else if (s.do === "go") await reader?.close();
					else if (s.do === "ack") reader?.ack();
					await link.socket.settled();
					await record();
				}
				// At last all is stored, and every reader comes and reads to the end.
				link.report(called(turnId));
				await link.socket.settled();
				await record();
				for (const reader of readers) {
					if (reader.socket === null) await reader.open(stub, principal);
					for (let n = 0; n < 40 && reader.last < truth.size; n++) {
						reader.ack();
						await reader.socket?.settled();
					}
					const seen = reader.stretches.flat();
					const have = new Map(seen.map((l) => [l.offset as number, JSON.stringify(l)]));
					expect(reader.wrong).toEqual([]);
					expect(reader.last).toBe(truth.size);
					for (const [at, json] of have)
						expect(json === truth.get(at) || [at, json.slice(0, 200), truth.get(at)?.slice(0, 200)]).toBe(true);
					for (let at = 1; at <= truth.size; at++)
						expect(have.has(at) || reader.losses.some((l) => l.first <= at && at <= l.last) || `nobody was told that ${at} is lost`).toBe(
							true,
						);
					losses += reader.losses.length;
					rewinds +=
						reader.socket?.frames.filter((f) => f.type === "rewind" || (f.type === "welcome" && f.rewindTo !== undefined)).length ?? 0;
					await reader.close();
				}
				link.socket.close();
			}),
			{ numRuns: 20 },
		);
		// It did happen.
		expect(losses).toBeGreaterThan(5);
		expect(rewinds).toBeGreaterThan(3);
	});
});
