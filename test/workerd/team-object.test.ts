import { createExecutionContext, evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ToControlFrame } from "../../shared/frames.ts";
import { KeyId, RunnerId, SessionId, type TeamId } from "../../shared/ids.ts";
import { HELLO_TIMEOUT_MS, RECONNECT_WINDOW_MS } from "../../shared/limits.ts";
import { type Env, readConfig } from "../../worker/config.ts";
import worker from "../../worker/index.ts";
import { digest, newId } from "../../worker/secrets.ts";
import { bindings, clock, freshTeam, type ObjectSocket, principalOf, ScriptedRunner } from "./scripted.ts";

beforeEach(() => clock.start());
afterEach(() => clock.stop());

const teamObject = (team: TeamId) => bindings.TEAM.getByName(team);

/** A team with one runner of this capacity, enrolled and registered. */
async function withRunner(capacity = 1) {
	const team = freshTeam();
	const stub = teamObject(team);
	const { token } = await stub.createRunnerToken({}, 3600_000);
	const runner = await ScriptedRunner.make(async (publicKey) => {
		const enrolled = await stub.enrol(await digest(token), publicKey, "machine");
		if (!enrolled.ok) throw new Error(enrolled.error.detail);
		return RunnerId.parse(enrolled.value.runnerId);
	});
	const control = await runner.control(stub, { capacity });
	/** A session of the team with a turn. */
	const session = async (text = "hello") => {
		const opened = await stub.openSession({ provider: "scripted", permissionMode: "default" }, principalOf(team));
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
	return { team, stub, runner, control, session };
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
		clock.pass(60_000);
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

	test("[LSE-4] an offer that was lost with a broken link is made again at the next register", async () => {
		const { stub, runner, control, session } = await withRunner();
		const { sessionId } = await session();
		await offerOf(control, sessionId);
		control.close();
		await control.ended();
		await offerOf(await runner.control(stub), sessionId, 1);
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
		await stub.drainRunner(runner.runnerId);
		await control.frame("drain");
		const waiting = await session();
		await expect.poll(waiting.whys).toEqual(["1 runner offers scripted, draining; position 1"]);
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
		const { token } = await stub.createRunnerToken({}, 1000);
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
