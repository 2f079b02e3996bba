import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { auditLine, ChainVerifier } from "../../shared/audit.ts";
import { RunnerId, SessionId } from "../../shared/ids.ts";
import { Policy, type PolicyEntry, type VersionedPolicy } from "../../shared/waf/policy.ts";
import { digest } from "../../worker/secrets.ts";
import { SessionObject } from "../../worker/session-object.ts";
import { TeamObject } from "../../worker/team-object.ts";
import { bindings, clock, freshTeam, principalOf, ScriptedRunner, Watcher } from "./scripted.ts";

beforeEach(() => clock.start());
afterEach(() => clock.stop());

const policyOf = (over: object = {}): Policy => Policy.parse(over);
const entry = (id: string, over: Partial<PolicyEntry> = {}): PolicyEntry => ({
	id,
	tool: "Bash",
	match: `echo ${id}`,
	verdict: "deny",
	...over,
});

function freshTeamObject() {
	const team = freshTeam();
	return { team, stub: bindings.TEAM.getByName(team) };
}
type Stub = ReturnType<typeof freshTeamObject>["stub"];

/** A policy that was taken, or the reason why it was not. */
async function put(stub: Stub, policy: Policy, baseVersion: number, by = "key:ann") {
	const result = await stub.putPolicy(policy, baseVersion, by);
	return result.ok
		? { version: result.value.version, pending: result.value.pending }
		: { code: result.error.code, detail: result.error.detail };
}
const actionsOf = async (stub: Stub): Promise<{ action: string; actor: string; subject: string; detail: object }[]> =>
	(await stub.readAudit(0, 1000)).records.map(({ action, actor, subject, detail }) => ({ action, actor, subject, detail }));
async function enrolled(stub: Stub, labels: Record<string, string> = {}): Promise<ScriptedRunner> {
	const { token } = await stub.createRunnerToken(labels, 3600_000, "key:owner");
	return ScriptedRunner.make(async (publicKey) => {
		const made = await stub.enrol(await digest(token), publicKey, "machine");
		if (!made.ok) throw new Error(made.error.detail);
		return RunnerId.parse(made.value.runnerId);
	});
}
/** The version that a session's object goes by. */
const versionAt = (object: DurableObjectStub): Promise<number> =>
	runInDurableObject(object, (_, { storage }) => {
		const [row] = storage.sql.exec<{ value: string }>("SELECT value FROM kv WHERE key = 'policy'").toArray();
		return row === undefined ? -1 : (JSON.parse(row.value) as VersionedPolicy).version;
	});

describe("versions", () => {
	test("[POL-1] version 0 is the built-in policy; each change is a new version, made from the one before, and none ever changes", async () => {
		const { stub } = freshTeamObject();
		expect(await stub.getPolicy(null)).toMatchObject({ version: 0, author: null, policy: { mode: "enforce" } });
		expect(await put(stub, policyOf({ mode: "log" }), 0)).toEqual({ version: 1, pending: 0 });
		expect(await put(stub, policyOf({ rules: { destroy: "deny" } }), 1, "key:bob")).toEqual({ version: 2, pending: 0 });
		await evictDurableObject(stub);
		expect(await stub.getPolicy(null)).toMatchObject({ version: 2, author: "key:bob", at: Date.now(), policy: { mode: "enforce" } });
		expect(await stub.getPolicy(1)).toMatchObject({ version: 1, author: "key:ann", policy: { mode: "log" } });
		expect(await stub.getPolicy(3)).toBeNull();
		expect((await stub.listPolicies(10, null)).map((v) => [v.version, v.author])).toEqual([
			[2, "key:bob"],
			[1, "key:ann"],
			[0, null],
		]);
		expect((await stub.listPolicies(1, 2)).map((v) => v.version)).toEqual([1]);
		expect((await stub.listPolicies(5, 1)).map((v) => v.version)).toEqual([0]);
		expect(await stub.listPolicies(5, 0)).toEqual([]);
	});

	test("[POL-1] of two changes made from the same version one is a conflict, and says which version holds", async () => {
		const { stub } = freshTeamObject();
		const both = await Promise.all([put(stub, policyOf(), 0), put(stub, policyOf({ mode: "log" }), 0)]);
		expect(both).toContainEqual({ version: 1, pending: 0 });
		expect(both).toContainEqual({ code: "conflict", detail: expect.stringContaining("version 1, not 0") });
		expect(await put(stub, policyOf(), 7)).toMatchObject({ code: "conflict" });
	});

	test("[POL-2] who made an entry, and when, is what the gateway saw: a body's word counts for nothing, an entry that stays keeps its author", async () => {
		const { stub } = freshTeamObject();
		const forged = { author: "access:boss@example.com", at: 1 };
		await put(stub, policyOf({ tools: [entry("a", forged), entry("b")] }), 0, "key:ann");
		const made = Date.now();
		clock.pass(60_000);
		const tools = [entry("a", forged), entry("b", { verdict: "ask", author: "key:ann", at: made }), entry("c")];
		await put(stub, policyOf({ tools }), 1, "key:bob");
		expect((await stub.getPolicy(null))?.policy.tools.map((e) => [e.id, e.author, e.at])).toEqual([
			["a", "key:ann", made],
			["b", "key:bob", made + 60_000],
			["c", "key:bob", made + 60_000],
		]);
	});

	test("[POL-2] what is wrong with a policy is told with its field, and no version is made", async () => {
		const { stub } = freshTeamObject();
		const later = Date.now() + 3600_000;
		const cases: [object, string][] = [
			[{ tools: [entry("a"), entry("a")] }, "tools.1.id: a is there twice"],
			[{ bypasses: [{ id: "x", reason: "r", until: Date.now() - 1 }] }, "bypasses.0.until: expected a time that is still to come"],
			[{ bypasses: [{ id: "x", reason: "r", until: later + 24 * 3600_000 }] }, "bypasses.0.until: expected a time at most 24 hours"],
			// A later beginning does not make a longer one right.
			[
				{ bypasses: [{ id: "x", reason: "r", until: later + 24 * 3600_000, at: later }] },
				"bypasses.0.until: expected a time at most 24 hours",
			],
			[{ rules: { "no-such-rule": "allow" } }, "rules.no-such-rule: expected the id of a rule"],
		];
		for (const [over, detail] of cases)
			expect([over, await put(stub, policyOf(over), 0)]).toMatchObject([
				over,
				{ code: "bad_request", detail: expect.stringContaining(detail) },
			]);
		expect((await stub.getPolicy(null))?.version).toBe(0);
		expect(await actionsOf(stub)).toEqual([]);
	});

	test("[POL-5] an answer that counts always becomes an entry with its author, once, and a new version", async () => {
		const { stub } = freshTeamObject();
		const always = entry("always", { verdict: "allow", match: "npm test" });
		expect(await stub.addEntry(always, "access:ann@example.com")).toEqual({ ok: true, value: 1 });
		expect(await stub.addEntry({ ...always, id: "other" }, "key:bob")).toEqual({ ok: true, value: 1 });
		expect(await stub.addEntry({ ...always, match: "npm run build" }, "key:bob")).toEqual({ ok: true, value: 2 });
		const tools = (await stub.getPolicy(null))?.policy.tools ?? [];
		expect(tools.map((e) => [e.author, e.match])).toEqual([
			["access:ann@example.com", "npm test"],
			["key:bob", "npm run build"],
		]);
		expect(new Set(tools.map((e) => e.id)).size).toBe(2);
	});
});

describe("bypasses", () => {
	test("[POL-4] a bypass holds for its time and is taken out by the alarm then; making and ending it are versions and in the audit log", async () => {
		const { stub } = freshTeamObject();
		const made = await stub.createBypass({ lifts: ["network"], reason: "a mirror is down", forMs: 60_000 }, "key:ann");
		if (!made.ok) throw new Error(made.error.detail);
		const { bypass, version } = made.value;
		expect([version, bypass.author, bypass.until - (bypass.at ?? 0)]).toEqual([1, "key:ann", 60_000]);
		expect((await stub.getPolicy(null))?.policy.bypasses).toEqual([bypass]);
		clock.pass(60_000);
		await evictDurableObject(stub);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		expect(await stub.getPolicy(null)).toMatchObject({ version: 2, author: "gateway", policy: { bypasses: [] } });
		expect((await actionsOf(stub)).map((r) => [r.action, r.actor, r.subject])).toEqual([
			["policy.changed", "key:ann", ""],
			["bypass.made", "key:ann", bypass.id],
			["policy.changed", "gateway", ""],
			["bypass.ended", "gateway", bypass.id],
		]);
	});

	test("[POL-4] a person ends one before its time; one for another team's session, or of an unknown id, is not found", async () => {
		const { stub } = freshTeamObject();
		const wanted = { reason: "r", forMs: 60_000 };
		const made = await stub.createBypass(wanted, "key:ann");
		if (!made.ok) throw new Error(made.error.detail);
		expect(await stub.endBypass("bypass-none", "key:bob")).toEqual({ ok: true, value: false });
		expect(await stub.endBypass(made.value.bypass.id, "key:bob")).toEqual({ ok: true, value: true });
		expect((await stub.getPolicy(null))?.policy.bypasses).toEqual([]);
		expect(await stub.createBypass({ ...wanted, sessionId: `ses_${"0".repeat(26)}` }, "key:ann")).toMatchObject({
			ok: false,
			error: { code: "not_found" },
		});
	});
});

describe("what sessions go by", () => {
	/** A team with a runner and a session that it was offered. */
	async function working() {
		const { team, stub } = freshTeamObject();
		const runner = await enrolled(stub);
		const control = await runner.control(stub, { capacity: 4 });
		const open = async () => {
			const opened = await stub.openSession({ provider: "scripted", permissionMode: "default" }, principalOf(team));
			if (!opened.ok) throw new Error(opened.error.detail);
			const sessionId = SessionId.parse(opened.value.session.sessionId);
			return { sessionId, object: bindings.SESSION.getByName(`${team}/${sessionId}`) };
		};
		return { team, stub, control, open };
	}

	test("[POL-3] a session has the policy from its first moment, and each newer one before PUT is answered, over an eviction", async () => {
		const { stub, control, open } = await working();
		await put(stub, policyOf({ mode: "log" }), 0);
		const session = await open();
		expect(await versionAt(session.object)).toBe(1);
		await session.object.input("hello", null, "key:test");
		await control.frame("offer", (f) => f.sessionId === session.sessionId);
		await evictDurableObject(session.object);
		expect(await put(stub, policyOf(), 1)).toEqual({ version: 2, pending: 0 });
		expect(await versionAt(session.object)).toBe(2);
	});

	test("[POL-3] an idle session asks for the policy before its next input, and so do those that come meanwhile; they stay in order", async () => {
		const { team, stub, control, open } = await working();
		const session = await open();
		// No runner comes that could bring it along.
		control.close();
		await control.ended();
		await put(stub, policyOf({ mode: "log" }), 0);
		expect(await versionAt(session.object)).toBe(0);
		expect([(await stub.policyAfter(0))?.version, await stub.policyAfter(1)]).toEqual([1, null]);
		const watcher = await Watcher.open(session.object, principalOf(team));
		watcher.socket.send({ type: "input", clientId: "c-1", text: "first" });
		watcher.socket.send({ type: "input", clientId: "c-2", text: "second" });
		watcher.socket.send({ type: "interrupt" });
		await watcher.socket.frame("accepted", (f) => f.clientId === "c-2");
		await watcher.socket.settled();
		expect(await versionAt(session.object)).toBe(1);
		const turns = (await session.object.turns(10, null)).map((t) => [t.clientId, t.stopReason]);
		expect(turns).toEqual([
			["c-2", null],
			["c-1", "cancelled"],
		]);
	});

	test("[POL-3] without an answer from the team no prompt is taken, and the same one is taken later", async () => {
		const { open } = await working();
		const session = await open();
		vi.spyOn(TeamObject.prototype, "policyAfter").mockImplementationOnce(() => {
			throw new Error("not reached");
		});
		expect(await session.object.input("hello", "c-1", "key:test")).toMatchObject({
			ok: false,
			error: { code: "going_away", retryable: true },
		});
		expect(await session.object.turns(10, null)).toEqual([]);
		expect(await session.object.input("hello", "c-1", "key:test")).toMatchObject({ ok: true, value: { duplicate: false } });
	});

	test("[POL-3] a session that cannot be told is pending, and is told by the alarm, over an eviction; an older version never replaces a newer one", async () => {
		const { stub, control, open } = await working();
		const session = await open();
		await session.object.input("hello", null, "key:test");
		await control.frame("offer", (f) => f.sessionId === session.sessionId);
		vi.spyOn(SessionObject.prototype, "setPolicy").mockImplementationOnce(() => {
			throw new Error("not reached");
		});
		expect(await put(stub, policyOf({ mode: "log" }), 0)).toEqual({ version: 1, pending: 1 });
		await evictDurableObject(session.object);
		await evictDurableObject(stub);
		clock.pass(10_000);
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		expect(await versionAt(session.object)).toBe(1);
		expect((await put(stub, policyOf(), 1)).pending).toBe(0);
		await session.object.setPolicy({ version: 1, policy: policyOf() });
		expect(await versionAt(session.object)).toBe(2);
	});
});

describe("who may dispatch", () => {
	const rules = [
		{ who: ["key:ann"] },
		{ who: ["access:*"], providers: ["scripted"], labels: { gpu: "true" }, permissionModes: ["plan" as const] },
	];

	test("[POL-6] a session that no dispatch rule lets its principal have is refused with the reason, and that is in the audit log", async () => {
		const { team, stub } = freshTeamObject();
		await (await enrolled(stub)).control(stub);
		await put(stub, policyOf({ dispatch: rules }), 0);
		const open = async (actor: string, over: object = {}): Promise<string> => {
			const wanted = { provider: "scripted", permissionMode: "default" as const, ...over };
			const opened = await stub.openSession(wanted, principalOf(team, { actor }));
			return opened.ok ? opened.value.session.sessionId : `${opened.error.code}: ${opened.error.detail}`;
		};
		expect(await open("key:ann")).toMatch(/^ses_/);
		expect(await open("key:bob")).toMatch(/^forbidden: .*no dispatch rule for key:bob/);
		expect(await open("access:eve@example.com", { permissionMode: "plan", selector: "gpu=true, os=linux" })).toMatch(/^ses_/);
		expect(await open("access:eve@example.com", { permissionMode: "plan", selector: "gpu" })).toMatch(/^forbidden: .*gpu=true/);
		expect(await open("access:eve@example.com", { permissionMode: "plan", selector: "gpu in (true, false)" })).toMatch(/^forbidden/);
		expect(await open("access:eve@example.com", { selector: "gpu=true" })).toMatch(/^forbidden: .*permission mode/);
		const refused = (await actionsOf(stub)).filter((r) => r.action === "session.refused");
		expect(refused).toHaveLength(4);
		expect(refused[0]).toMatchObject({ actor: "key:bob", detail: { use: "open", provider: "scripted", permissionMode: "default" } });
	});

	test("[POL-6] another principal may read a session that it may not have, and write nothing: by call, and by a socket that is opened", async () => {
		const { team, stub } = freshTeamObject();
		await (await enrolled(stub)).control(stub);
		await put(stub, policyOf({ dispatch: rules }), 0);
		const [ann, bob] = [principalOf(team, { actor: "key:ann" }), principalOf(team, { actor: "key:bob" })];
		const opened = await stub.openSession({ provider: "scripted", permissionMode: "default" }, ann);
		if (!opened.ok) throw new Error(opened.error.detail);
		const sessionId = SessionId.parse(opened.value.session.sessionId);
		expect([await stub.admit(sessionId, bob, "read"), await stub.admit(sessionId, ann, "write")]).toEqual([null, null]);
		expect(await stub.admit(sessionId, bob, "write")).toMatchObject({ code: "forbidden" });
		expect(await stub.admitSocket(sessionId, ann)).toMatchObject({ ok: true, value: ann.scopes });
		expect(await stub.admitSocket(sessionId, bob)).toMatchObject({ ok: true, value: bob.scopes.filter((s) => s !== "sessions:write") });
		const unknown = SessionId.parse(`ses_${"0".repeat(26)}`);
		expect(await stub.admit(unknown, ann, "read")).toMatchObject({ code: "not_found" });
	});
});

describe("the audit log", () => {
	test("[AUD-1] entries get their places in the order in which they were made, without gaps, over evictions, and the whole is proven", async () => {
		const { team, stub } = freshTeamObject();
		for (let i = 0; i < 5; i++) {
			await Promise.all([
				stub.createRunnerToken({ n: String(i) }, 1000, "key:ann"),
				put(stub, policyOf({ mode: i % 2 === 0 ? "log" : "enforce" }), i),
				stub.createKey({ name: "k", scopes: ["audit:read"] }, principalOf(team, { scopes: ["audit:read"] })),
			]);
			if (i === 2) await evictDurableObject(stub);
		}
		const { records, head } = await stub.readAudit(0, 1000);
		expect(records.map((r) => r.n)).toEqual(records.map((_, i) => i + 1));
		expect(records.length).toBe(15);
		const verifier = new ChainVerifier();
		for (const record of records) expect(await verifier.push(auditLine(record))).toMatchObject({ ok: true });
		expect(verifier.head).toEqual(head);
		expect((await stub.readAudit(12, 2)).records.map((r) => r.n)).toEqual([13, 14]);
	});

	test("[AUD-1] entries that had no hash yet when the gateway died get it in the next life, in their order", async () => {
		const { stub } = freshTeamObject();
		for (const by of ["key:a", "key:b", "key:c", "key:d"]) await stub.createRunnerToken({}, 1000, by);
		await stub.readAudit(0, 1);
		await runInDurableObject(stub, (_, { storage }) => {
			storage.sql.exec("UPDATE audit SET hash = NULL, prev_hash = NULL WHERE n > 1");
		});
		await evictDurableObject(stub);
		const { records, head } = await stub.readAudit(0, 10);
		expect(records.map((r) => [r.n, r.actor])).toEqual([
			[1, "key:a"],
			[2, "key:b"],
			[3, "key:c"],
			[4, "key:d"],
		]);
		const verifier = new ChainVerifier();
		for (const record of records) expect(await verifier.push(auditLine(record))).toMatchObject({ ok: true });
		expect(verifier.head).toEqual(head);
	});

	test("[AUD-3] what a session hands over is taken once, however often and however cut it comes", async () => {
		const { stub } = freshTeamObject();
		const sessionId = SessionId.parse(`ses_${"1".repeat(26)}`);
		const made = (n: number) => ({ at: n, actor: "gateway", action: "prompt.judged" as const, subject: String(n), detail: {} });
		const hand = (from: number, to: number) =>
			stub.audit(
				sessionId,
				from,
				Array.from({ length: to - from + 1 }, (_, i) => made(from + i)),
			);
		expect(await hand(1, 3)).toBe(3);
		expect(await hand(1, 3)).toBe(3);
		await evictDurableObject(stub);
		expect(await hand(2, 5)).toBe(5);
		expect(await hand(1, 2)).toBe(5);
		expect(await hand(6, 6)).toBe(6);
		expect((await actionsOf(stub)).map((r) => r.subject)).toEqual(["1", "2", "3", "4", "5", "6"]);
	});

	test("[AUD-4] a login is noted once an hour for a principal and an address; what comes in crowds once a minute, with its count", async () => {
		const { stub } = freshTeamObject();
		const login = (actor: string, subject: string) =>
			stub.noteAccess({ at: Date.now(), actor, action: "login", subject, detail: {} }, null);
		const failed = () => stub.noteAccess({ at: Date.now(), actor: "unknown", action: "login.failed", subject: "10.0.0.1", detail: {} }, 1);
		for (let i = 0; i < 3; i++) await login("key:ann", "10.0.0.1");
		await login("key:ann", "10.0.0.2");
		for (let i = 0; i < 10; i++) await failed();
		clock.pass(60_000);
		await failed();
		clock.pass(3600_000);
		await login("key:ann", "10.0.0.1");
		expect((await actionsOf(stub)).map((r) => [r.action, r.subject, r.detail])).toEqual([
			["login", "10.0.0.1", {}],
			["login", "10.0.0.2", {}],
			["login.failed", "10.0.0.1", { count: 1 }],
			["login.failed", "10.0.0.1", { count: 10 }],
			["login", "10.0.0.1", {}],
		]);
	});

	test("[AUD-3] keys, runners, sessions and revocations are in the log, with who did it", async () => {
		const { team, stub } = freshTeamObject();
		const by = principalOf(team, { actor: "key:ann" });
		const key = await stub.createKey({ name: "ci", scopes: ["sessions:read"] }, by);
		if (!key.ok) throw new Error(key.error.detail);
		await stub.revokeKey(key.value.keyId, "key:ann");
		const runner = await enrolled(stub, { gpu: "true" });
		const { runnerId } = runner;
		const control = await runner.control(stub);
		const opened = await stub.openSession({ provider: "scripted", permissionMode: "plan", selector: "gpu=true" }, by);
		if (!opened.ok) throw new Error(opened.error.detail);
		const { sessionId } = opened.value.session;
		await bindings.SESSION.getByName(`${team}/${sessionId}`).input("hello", null, "key:ann");
		await control.frame("offer");
		await stub.drainRunner(runner.runnerId, "key:ann");
		await stub.revokeRunner(runner.runnerId, "key:ann");
		const log = await actionsOf(stub);
		expect(log.map((r) => [r.action, r.actor, r.subject])).toEqual([
			["key.made", "key:ann", key.value.keyId],
			["key.revoked", "key:ann", key.value.keyId],
			["runner_token.made", "key:owner", ""],
			["runner.enrolled", runnerId, runnerId],
			["session.opened", "key:ann", sessionId],
			["session.placed", "key:ann", sessionId],
			["runner.drained", "key:ann", runnerId],
			["runner.revoked", "key:ann", runnerId],
		]);
		expect(log[5]?.detail).toEqual({
			runnerId,
			runner: "machine",
			generation: 1,
			provider: "scripted",
			permissionMode: "plan",
			labels: { gpu: "true" },
		});
		expect(JSON.stringify(log)).not.toContain(key.value.apiKey);
	});
});
