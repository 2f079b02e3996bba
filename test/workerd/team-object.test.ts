import { createExecutionContext, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ToControlFrame } from "../../shared/frames.ts";
import { KeyId, RunnerId, SessionId, type TeamId, TurnId } from "../../shared/ids.ts";
import { HEARTBEAT_MS, HELLO_TIMEOUT_MS, RECONNECT_WINDOW_MS } from "../../shared/limits.ts";
import { type Env, readConfig } from "../../worker/config.ts";
import worker from "../../worker/index.ts";
import { digest, newId } from "../../worker/secrets.ts";
import { bindings, clock, freshTeam, type ObjectSocket, principalOf, ScriptedRunner } from "./scripted.ts";

beforeEach(() => clock.start());
afterEach(() => clock.stop());

const teamObject = (team: TeamId) => bindings.TEAM.getByName(team);

async function enrolled(team: TeamId, labels: Record<string, string> = {}): Promise<ScriptedRunner> {
	const stub = teamObject(team);
	const { token } = await stub.createRunnerToken(labels, 3600_000, "key:test");
	return ScriptedRunner.make(async (publicKey) => {
		const made = await stub.enrol(await digest(token), publicKey, "machine");
		if (!made.ok) throw new Error(made.error.detail);
		return RunnerId.parse(made.value.runnerId);
	});
}

/** A team with one runner of this capacity, enrolled and registered. */
async function withRunner(capacity = 1) {
	const team = freshTeam();
	const stub = teamObject(team);
	const runner = await enrolled(team);
	const control = await runner.control(stub, { capacity });
	/** One more runner. */
	const another = async () => {
		const other = await enrolled(team);
		return { runner: other, control: await other.control(stub, { capacity }) };
	};
	/** A session of the team with a turn. */
	const session = async (text = "hello", { actor = "key:test", ...more }: { actor?: string; selector?: string } = {}) => {
		const opened = await stub.openSession({ provider: "scripted", permissionMode: "default", ...more }, principalOf(team, { actor }));
		if (!opened.ok) throw new Error(opened.error.detail);
		const sessionId = SessionId.parse(opened.value.session.sessionId);
		const object = bindings.SESSION.getByName(`${team}/${sessionId}`);
		const taken = await object.input(text, null, "key:test");
		if (!taken.ok) throw new Error(taken.error.detail);
		const events = async () =>
			(JSON.parse(await object.events(null, null, 1000)) as { data: { event: { type: string; state?: string; why?: string } }[] }).data.map(
				(l) => l.event,
			);
		return {
			sessionId,
			object,
			turnId: taken.value.turnId as string,
			events,
			/** Why it waited, each time it was told. */
			whys: async () => (await events()).flatMap((e) => (e.type === "session_state" && e.state === "queued" ? [e.why] : [])),
		};
	};
	return { team, stub, runner, control, session, another };
}
const offerOf = (control: ObjectSocket<ToControlFrame>, sessionId: string, generation = 1) =>
	control.frame("offer", (f) => f.sessionId === sessionId && f.generation === generation);

describe("leases", () => {
	test("[LSE-5] a lease outlives its runner's control link by ten minutes, over an eviction; then the turn fails as runner_lost", async () => {
		const { stub, runner, control, session } = await withRunner();
		const { sessionId, object, turnId } = await session();
		await offerOf(control, sessionId);
		control.send({ type: "accept", sessionId, generation: 1 });
		await control.settled();
		await runner.attach(object, sessionId, 1);
		control.close();
		await control.ended();
		await expect.poll(async () => (await stub.listRunners())[0]?.state).toBe("offline");
		await evictDurableObject(stub);
		clock.pass(RECONNECT_WINDOW_MS - 1);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		expect([(await stub.getSession(sessionId))?.runnerId, (await object.turn(turnId))?.state]).toEqual([runner.runnerId, "waiting"]);
		clock.pass(1);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		expect((await stub.getSession(sessionId))?.runnerId).toBeNull();
		expect(await object.turn(turnId)).toMatchObject({ stopReason: "failed", error: { code: "runner_lost" } });
	});

	test("[LSE-5] a runner that is back in time with the session keeps its lease", async () => {
		const { stub, runner, control, session } = await withRunner();
		const { sessionId, object, turnId } = await session();
		await offerOf(control, sessionId);
		control.send({ type: "accept", sessionId, generation: 1 });
		await control.settled();
		await runner.attach(object, sessionId, 1);
		control.close();
		await control.ended();
		clock.pass(RECONNECT_WINDOW_MS - 1);
		const back = await runner.control(stub, { hosted: [{ sessionId, generation: 1 }] });
		clock.pass(30_000);
		await runDurableObjectAlarm(stub);
		await back.settled();
		expect(back.frames.map((f) => f.type)).not.toContain("drop");
		expect([(await stub.getSession(sessionId))?.runnerId, (await object.turn(turnId))?.state]).toEqual([runner.runnerId, "waiting"]);
	});

	test("[LSE-4] an offer that is not answered is taken back after 15 s and made again; the turn waits on", async () => {
		const { stub, runner, control, session } = await withRunner();
		const { sessionId, object, turnId } = await session();
		await offerOf(control, sessionId);
		clock.pass(15_000);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		expect(await control.frame("drop")).toMatchObject({ sessionId, generation: 1 });
		await offerOf(control, sessionId, 2);
		expect((await object.turn(turnId))?.state).toBe("waiting");
		control.send({ type: "accept", sessionId, generation: 2 });
		await control.settled();
		const link = await runner.attach(object, sessionId, 2);
		expect((await link.socket.frame("attached")).desired.turn).toMatchObject({ turnId });
	});

	test("[LSE-6] an offer that was lost with a broken link is made again when the runner is back", async () => {
		const { stub, runner, control, session } = await withRunner();
		const { sessionId } = await session();
		await offerOf(control, sessionId);
		control.close();
		await control.ended();
		await offerOf(await runner.control(stub), sessionId, 2);
	});

	test("[LSE-6] what was offered and not accepted goes to another runner as soon as the first is away", async () => {
		const { stub, control, session, another } = await withRunner();
		const { sessionId, object, turnId } = await session();
		await offerOf(control, sessionId);
		const second = await another();
		control.close();
		await control.ended();
		await offerOf(second.control, sessionId, 2);
		second.control.send({ type: "accept", sessionId, generation: 2 });
		const link = await second.runner.attach(object, sessionId, 2);
		expect((await link.socket.frame("attached")).desired.turn).toMatchObject({ turnId });
		expect((await stub.getSession(sessionId))?.runnerId).toBe(second.runner.runnerId);
	});

	test("[LSE-4] a session that asks anew after a lease that it has heard of gets another; one that asks before its grant came gets that", async () => {
		const { stub, control, session } = await withRunner(2);
		const { sessionId } = await session();
		await offerOf(control, sessionId);
		await stub.acquire(sessionId, 0);
		await control.settled();
		expect(control.frames.filter((f) => f.type === "offer")).toHaveLength(1);
		await stub.acquire(sessionId, 1);
		expect(await control.frame("drop")).toMatchObject({ sessionId, generation: 1 });
		await offerOf(control, sessionId, 2);
	});

	test("[LSE-6] a runner that attached has accepted, though its word of that was lost: the session is held for it", async () => {
		const { stub, runner, control, session, another } = await withRunner();
		const { sessionId, object, turnId } = await session();
		await offerOf(control, sessionId);
		await another();
		const link = await runner.attach(object, sessionId, 1);
		control.close();
		await control.ended();
		await expect.poll(async () => (await stub.listRunners())[0]?.state).toBe("offline");
		link.report({ type: "turn_started", turnId: turnId as TurnId, origin: "input" });
		await link.socket.settled();
		expect([(await stub.getSession(sessionId))?.runnerId, (await object.turn(turnId))?.state]).toEqual([runner.runnerId, "running"]);
	});

	test("[LSE-7] a session that is held for a runner which is away goes to another one when a person releases it; the first is told to drop it", async () => {
		const { stub, runner, control, session, another } = await withRunner();
		const { sessionId, object, turnId } = await session();
		await offerOf(control, sessionId);
		control.send({ type: "accept", sessionId, generation: 1 });
		await control.settled();
		await runner.attach(object, sessionId, 1);
		control.close();
		await control.ended();
		await expect.poll(async () => (await stub.listRunners())[0]?.state).toBe("offline");
		const second = await another();
		expect(await object.giveUp("access:ann@example.com", true)).toBeNull();
		await offerOf(second.control, sessionId, 2);
		second.control.send({ type: "accept", sessionId, generation: 2 });
		const link = await second.runner.attach(object, sessionId, 2);
		const { desired } = await link.socket.frame("attached");
		expect(desired.turn).toMatchObject({ text: "hello" });
		expect(desired.turn?.turnId).not.toBe(turnId);
		expect(await object.turn(turnId)).toMatchObject({
			stopReason: "failed",
			error: { code: "runner_lost", detail: "released by access:ann@example.com" },
		});
		const back = await runner.control(stub, { hosted: [{ sessionId, generation: 1 }] });
		expect(await back.frame("drop")).toMatchObject({ sessionId, generation: 1 });
	});

	test("[LNK-4] a half-open control link is closed two heartbeats after its last ping, and so are the links of its sessions", async () => {
		const { stub, runner, control, session } = await withRunner();
		const { sessionId, object } = await session();
		await offerOf(control, sessionId);
		control.send({ type: "accept", sessionId, generation: 1 });
		await control.settled();
		const link = await runner.attach(object, sessionId, 1);
		clock.pass(2 * HEARTBEAT_MS - 1);
		await runDurableObjectAlarm(stub);
		expect([control.closed, (await stub.listRunners())[0]?.state]).toEqual([null, "online"]);
		clock.pass(1);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		expect([(await control.ended()).code, (await link.socket.ended()).code]).toEqual([1001, 1001]);
		expect((await stub.listRunners())[0]?.state).toBe("offline");
	});
});

describe("placement", () => {
	test("[P7] sessions that wait are told why and at which position, and move up as room is made", async () => {
		const { runner, control, session } = await withRunner(1);
		const first = await session();
		await offerOf(control, first.sessionId);
		control.send({ type: "accept", sessionId: first.sessionId, generation: 1 });
		const link = await runner.attach(first.object, first.sessionId, 1);
		clock.pass(1);
		const why = (position: number): string => `1 runner offers scripted, at capacity; position ${position}`;
		const second = await session();
		await expect.poll(second.whys).toEqual([why(1)]);
		clock.pass(1);
		const third = await session();
		await expect.poll(third.whys).toEqual([why(2)]);
		await first.object.terminate("key:test");
		link.socket.send({ type: "release", generation: 1, why: "terminated" });
		await offerOf(control, second.sessionId);
		await expect.poll(third.whys).toEqual([why(2), why(1)]);
	});

	test("[P7] a session whose runner is offline says so, and is offered to it when it is back", async () => {
		const { stub, runner, control, session } = await withRunner(1);
		control.close();
		await control.ended();
		await expect.poll(async () => (await stub.listRunners())[0]?.state).toBe("offline");
		const waiting = await session();
		await expect.poll(waiting.whys).toEqual(["1 runner offers scripted, offline; position 1"]);
		await offerOf(await runner.control(stub), waiting.sessionId);
	});

	test("[P7] a draining runner gets nothing, and the session says that it drains", async () => {
		const { stub, runner, control, session } = await withRunner(1);
		await stub.drainRunner(runner.runnerId, "key:test");
		await control.frame("drain");
		const waiting = await session();
		await expect.poll(waiting.whys).toEqual(["1 runner offers scripted, draining; position 1"]);
	});
});

describe("scheduling", () => {
	type Made = Awaited<ReturnType<Awaited<ReturnType<typeof withRunner>>["session"]>>;
	type Team = Awaited<ReturnType<typeof withRunner>>;
	/** Accepts the offer of a session, and attaches to it. */
	async function host({ runner, control }: Pick<Team, "runner" | "control">, { sessionId, object }: Made) {
		await offerOf(control, sessionId);
		control.send({ type: "accept", sessionId, generation: 1 });
		await control.settled();
		return runner.attach(object, sessionId, 1);
	}
	/** Ends its turn: it is idle, and still holds its lease. */
	async function endTurn({ stub }: Team, link: Awaited<ReturnType<typeof host>>, { sessionId, turnId }: Made): Promise<void> {
		link.report(
			{ type: "process_state", state: "busy" },
			{ type: "turn_started", turnId: TurnId.parse(turnId), origin: "input" },
			{ type: "turn_ended", turnId: TurnId.parse(turnId), stopReason: "end_turn" },
			{ type: "process_state", state: "ready" },
		);
		await expect.poll(async () => (await stub.getSession(sessionId))?.state).toBe("ready");
	}
	/** The gateway's settings as this team's object sees them. */
	const settings = (stub: Team["stub"], set: Partial<Env>): Promise<void> =>
		runInDurableObject(stub, (instance) => {
			Object.assign(Reflect.get(instance, "env") as Env, set);
		});
	afterEach(() => settings(teamObject(freshTeam()), { TEAM_CAPACITY: "", PRINCIPAL_CAPACITY: "" }));

	test("[SCH-5] principals take turns, over an eviction too: who sent three sessions is not served three times before who sent one", async () => {
		const team = await withRunner(1);
		const running = await team.session("hello", { actor: "ann" });
		const link = await host(team, running);
		const waits = async (actor: string) => {
			clock.pass(1);
			const made = await team.session("hello", { actor });
			await expect.poll(made.whys).toHaveLength(1);
			return made;
		};
		const [a1, a2, a3] = [await waits("ann"), await waits("ann"), await waits("ann")];
		const [b1, b2] = [await waits("bob"), await waits("bob")];
		const order = [a1, b1, a2, b2, a3];
		expect((await team.stub.listQueue()).map((w) => [w.position, w.sessionId])).toEqual(order.map((made, i) => [i + 1, made.sessionId]));
		const served: string[] = [];
		team.control.onFrame = (f) => f.type === "offer" && served.push(f.sessionId);
		let before = { made: running, link };
		const next = async (made: Made): Promise<void> => {
			await evictDurableObject(team.stub);
			await before.made.object.terminate("ann");
			before.link.socket.send({ type: "release", generation: 1, why: "terminated" });
			before = { made, link: await host(team, made) };
		};
		for (const made of [a1, b1]) await next(made);
		// Who comes now comes after all that have waited for their next turn.
		const c1 = await waits("cyd");
		const rest = [a2, b2, c1, a3];
		for (const made of rest) await next(made);
		expect(served).toEqual([a1, b1, ...rest].map((made) => made.sessionId));
		expect(await team.stub.listQueue()).toEqual([]);
	});

	test("[SCH-3] a session goes to a runner that matches its selector, and says what is enrolled if none does", async () => {
		const team = await withRunner(2);
		const waiting = await team.session("hello", { selector: " gpu == true " });
		const why = "no runner matches gpu=true; 1 runner enrolled (labels: provider/scripted=); position 1";
		await expect.poll(waiting.whys).toEqual([why]);
		expect(await team.stub.getSession(waiting.sessionId)).toMatchObject({ selector: "gpu=true", principal: "key:test" });
		const other = await enrolled(team.team);
		await offerOf(await other.control(team.stub, { labels: { gpu: "true" } }), waiting.sessionId);
		expect(team.control.frames.map((f) => f.type)).not.toContain("offer");
	});

	test("[SCH-1] a selector that does not parse opens nothing", async () => {
		const { team, stub } = await withRunner();
		const opened = await stub.openSession({ permissionMode: "default", selector: "gpu=" }, principalOf(team));
		expect(opened).toMatchObject({
			ok: false,
			error: { code: "bad_request", detail: "selector: at character 5: expected a value, found the end" },
		});
		expect((await stub.listSessions(10, null))?.data).toEqual([]);
	});

	test("[SCH-3] without a provider, a session gets one that a runner of its selector offers", async () => {
		const { team, stub } = await withRunner();
		const gpu = await enrolled(team);
		await gpu.control(stub, { labels: { gpu: "true" }, providers: [{ name: "other", version: null }] });
		const providerOf = async (selector: string | undefined) => {
			const opened = await stub.openSession(
				{ permissionMode: "default", ...(selector === undefined ? {} : { selector }) },
				principalOf(team),
			);
			return opened.ok ? opened.value.session.provider : opened.error.detail;
		};
		expect([await providerOf(undefined), await providerOf("gpu"), await providerOf("tpu")]).toEqual(["scripted", "other", "scripted"]);
	});

	test("[SCH-2] what the enrolment token says of a runner comes before what it says of itself, at every register", async () => {
		const team = freshTeam();
		const stub = teamObject(team);
		const runner = await enrolled(team, { gpu: "false", zone: "a", "provider/scripted": "granted" });
		for (const gpu of ["true", "x"]) {
			const control = await runner.control(stub, {
				labels: { gpu, zone: "b", os: "linux", "provider/other": "lie" },
				providers: ["scripted", "other"].map((name) => ({ name, version: "1.2" })),
			});
			expect((await stub.listRunners())[0]?.labels).toEqual({
				gpu: "false",
				zone: "a",
				os: "linux",
				"provider/scripted": "granted",
				"provider/other": "lie",
			});
			control.close();
			await control.ended();
		}
	});

	test("[SCH-4][SCH-7] at its principal's bound a session waits while the others work, and has the idle one of the same principal make way", async () => {
		const team = await withRunner(8);
		await settings(team.stub, { PRINCIPAL_CAPACITY: "1" });
		const bobs = await team.session("hello", { actor: "bob" });
		await endTurn(team, await host(team, bobs), bobs);
		clock.pass(1);
		const first = await team.session("hello", { actor: "ann" });
		const link = await host(team, first);
		const second = await team.session("hello", { actor: "ann" });
		await expect.poll(second.whys).toEqual(["ann hosts 1 of 1 session; position 1"]);
		const asked = () => team.control.frames.filter((f) => f.type === "make_room");
		expect(asked()).toEqual([]);
		await endTurn(team, link, first);
		await team.control.frame("make_room");
		// Whatever places again meanwhile, nobody is told twice, and nobody else is.
		for (let n = 0; n < 3; n++) {
			clock.pass(1000);
			await team.stub.acquire(second.sessionId, 0);
		}
		await team.control.settled();
		expect(asked()).toEqual([{ type: "make_room", sessionId: first.sessionId }]);
		link.socket.send({ type: "release", generation: 1, why: "idle" });
		await offerOf(team.control, second.sessionId);
	});

	test("[SCH-4][SCH-7] at the team's bound the session that was idle for the longest time makes way, whoever opened it", async () => {
		const team = await withRunner(8);
		await settings(team.stub, { TEAM_CAPACITY: "2" });
		const idle = [];
		for (const actor of ["ann", "bob"]) {
			const made = await team.session("hello", { actor });
			const link = await host(team, made);
			idle.push({ made, link });
		}
		for (const { made, link } of idle.toReversed()) {
			clock.pass(1000);
			await endTurn(team, link, made);
		}
		const third = await team.session("hello", { actor: "ann" });
		await expect.poll(third.whys).toEqual(["the team hosts 2 of 2 sessions; position 1"]);
		expect(await team.control.frame("make_room")).toEqual({ type: "make_room", sessionId: idle[1]?.made.sessionId });
	});

	test("[SCH-4] settings that cannot be read let nothing be hosted", async () => {
		const team = await withRunner(8);
		await settings(team.stub, { TEAM_CAPACITY: "many" });
		const waiting = await team.session();
		await expect.poll(waiting.whys).toEqual(["the team hosts 0 of 0 sessions; position 1"]);
	});

	test("[SCH-3] an offer that is refused for want of room binds a session to nobody: another runner gets it", async () => {
		const team = await withRunner(1);
		const made = await team.session();
		await offerOf(team.control, made.sessionId);
		const other = await enrolled(team.team);
		const otherControl = await other.control(team.stub);
		const problem = { type: "t", title: "t", status: 503, code: "at_capacity", detail: "full", retryable: true };
		team.control.send({ type: "refuse", sessionId: made.sessionId, generation: 1, problem });
		await offerOf(otherControl, made.sessionId, 2);
	});

	test("[SCH-6] a place that an offer's refusal leaves goes to the next at once", async () => {
		const team = await withRunner(1);
		const wrong = await team.session();
		await offerOf(team.control, wrong.sessionId);
		clock.pass(1);
		const next = await team.session();
		await expect.poll(next.whys).toHaveLength(1);
		const problem = { type: "t", title: "t", status: 422, code: "work_dir_not_found", detail: "not there", retryable: false };
		team.control.send({ type: "refuse", sessionId: wrong.sessionId, generation: 1, problem });
		await offerOf(team.control, next.sessionId);
	});

	test("[SCH-6] a place that turns out not to be needed goes to the next at once", async () => {
		const team = await withRunner(1);
		const first = await team.session();
		const link = await host(team, first);
		// It asked, and what it asked for was withdrawn before it was given: its question is still there.
		const gone = await team.session();
		await expect.poll(gone.whys).toHaveLength(1);
		await gone.object.terminate("key:test");
		await expect.poll(() => team.stub.listQueue()).toEqual([]);
		await team.stub.acquire(gone.sessionId, 0);
		clock.pass(1);
		const next = await team.session();
		await expect.poll(next.whys).toEqual(["1 runner offers scripted, at capacity; position 2"]);
		await first.object.terminate("key:test");
		link.socket.send({ type: "release", generation: 1, why: "terminated" });
		await offerOf(team.control, next.sessionId);
	});

	test("[SCH-8] a session far back is told of its position when that has changed by a tenth, one near the front of every change", async () => {
		const team = await withRunner(1);
		await host(team, await team.session());
		const waiting: Made[] = [];
		for (let n = 0; n < 14; n++) {
			clock.pass(1);
			const made = await team.session();
			waiting.push(made);
			await expect.poll(made.whys).toHaveLength(1);
		}
		const positions = async (of: Made | undefined) => (await of?.whys())?.map((why) => Number(/\d+$/.exec(why ?? "")?.[0]));
		for (const leaving of waiting.slice(0, 3)) await leaving.object.terminate("key:test");
		await expect.poll(() => positions(waiting[3])).toEqual([4, 3, 2, 1]);
		await expect.poll(() => positions(waiting[13])).toEqual([14, 12]);
		expect((await team.stub.listQueue()).map((w) => w.position)).toEqual(waiting.slice(3).map((_, i) => i + 1));
	});

	test("[SCH-8] when its runner goes away, what waits for it says so", async () => {
		const team = await withRunner(1);
		await host(team, await team.session());
		const waiting = await team.session();
		await expect.poll(waiting.whys).toEqual(["1 runner offers scripted, at capacity; position 1"]);
		team.control.close();
		await expect
			.poll(waiting.whys)
			.toEqual(["1 runner offers scripted, at capacity; position 1", "1 runner offers scripted, offline; position 1"]);
	});
});

describe("credentials", () => {
	test("[WAT-3] a ticket is good for thirty seconds, once, also over an eviction", async () => {
		const { team, stub, session } = await withRunner();
		const { sessionId } = await session();
		const make = async (): Promise<string> => {
			const made = await stub.createTicket(sessionId, principalOf(team), null);
			if (!made.ok) throw new Error(made.error.detail);
			return digest(made.value.ticket);
		};
		const [inTime, late] = [await make(), await make()];
		await evictDurableObject(stub);
		clock.pass(29_999);
		expect(await stub.redeemTicket(inTime, sessionId, null)).toMatchObject({ ok: true, value: { team, actor: "key:test" } });
		expect(await stub.redeemTicket(inTime, sessionId, null)).toBeNull();
		clock.pass(1);
		expect(await stub.redeemTicket(late, sessionId, null)).toBeNull();
	});

	test("a runner token that has run out enrols nobody, and a key that has is nobody's", async () => {
		const team = freshTeam();
		const stub = teamObject(team);
		const { token } = await stub.createRunnerToken({}, 1000, "key:test");
		const key = await stub.createKey({ name: "k", scopes: ["sessions:read"], expiresInMs: 1000 }, principalOf(team));
		if (!key.ok) throw new Error(key.error.detail);
		const known = async () => stub.authenticateKey(KeyId.parse(key.value.keyId), await digest(key.value.apiKey));
		expect(await known()).toMatchObject({ ok: true });
		clock.pass(1000);
		expect(await known()).toBeNull();
		expect(await stub.enrol(await digest(token), "A".repeat(43), "late")).toMatchObject({ ok: false, error: { code: "unauthorized" } });
	});

	test("[LNK-1] every control link that proves nothing is closed with 4408 after its own ten seconds, not only the first", async () => {
		const stub = teamObject(freshTeam());
		const stranger = await ScriptedRunner.make(async () => newId(RunnerId, "run"));
		const first = await stranger.dial<ToControlFrame>(stub);
		clock.pass(HELLO_TIMEOUT_MS / 2);
		const second = await stranger.dial<ToControlFrame>(stub);
		clock.pass(HELLO_TIMEOUT_MS / 2);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		await first.frame("error", (f) => f.problem.code === "hello_timeout");
		expect(second.frames.map((f) => f.type)).toEqual(["challenge"]);
		clock.pass(HELLO_TIMEOUT_MS / 2);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		await second.frame("error", (f) => f.problem.code === "hello_timeout");
		expect(await runDurableObjectAlarm(stub)).toBe(false);
	});
});

describe("a gateway without a way to authenticate", () => {
	const paths = [
		"/healthz",
		"/openapi.json",
		"/",
		"/console",
		"/console/console.js",
		"/v1/sessions",
		"/v1/runners",
		`/v1/sessions/ses_${"0".repeat(26)}/socket`,
		`/v1/link/default/run_${"0".repeat(26)}`,
	];
	const HALF: Partial<Env>[] = [
		{},
		{ HOTPLEX_KEYS: "" },
		{ HOTPLEX_KEYS: " , " },
		{ CF_ACCESS_TEAM_DOMAIN: "team.cloudflareaccess.com" },
		{ CF_ACCESS_AUD: "the-audience-tag" },
		{ HOTPLEX_KEYS: "hpk_default_secret" },
		{ CF_ACCESS_TEAM_DOMAIN: "http://evil.example", CF_ACCESS_AUD: "the-audience-tag" },
		{ HOTPLEX_KEYS: `hpk_default_${"0".repeat(26)}:${"0".repeat(64)}`, ALLOWED_ORIGINS: "*" },
	];
	test.each(HALF)("[P15] serves nothing, not even its health, with %j", async (settings) => {
		const env = { SESSION: bindings.SESSION, TEAM: bindings.TEAM, ...settings } as Env;
		expect(readConfig(env).ok).toBe(false);
		for (const path of paths) {
			const headers = { authorization: `Bearer hpk_default_${"0".repeat(26)}_${"A".repeat(43)}`, upgrade: "websocket" };
			const response = await worker.fetch(new Request(`https://gateway.example${path}`, { headers }), env, createExecutionContext());
			expect([path, response.status, ((await response.json()) as { code: string }).code]).toEqual([path, 503, "not_configured"]);
		}
	});

	test("[P15] serves with keys alone, and with Access alone", () => {
		const base = { SESSION: bindings.SESSION, TEAM: bindings.TEAM };
		expect(readConfig({ ...base, HOTPLEX_KEYS: `hpk_default_${"0".repeat(26)}:${"0".repeat(64)}` }).ok).toBe(true);
		expect(readConfig({ ...base, CF_ACCESS_TEAM_DOMAIN: "team.cloudflareaccess.com", CF_ACCESS_AUD: "the-audience-tag" }).ok).toBe(true);
	});
});
