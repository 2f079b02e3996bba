import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import { Epoch, SessionId } from "../../shared/ids.ts";
import { newId } from "../../worker/secrets.ts";
import { bindings, freshTeam, principalOf, ScriptedRunner } from "./scripted.ts";

// As the first release made them, before tables had versions. What is on disks somewhere looks like this: it is never edited.
const FIRST_TEAM = `
CREATE TABLE keys (
	key_id TEXT PRIMARY KEY, hash TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL,
	created_at INTEGER NOT NULL, created_by TEXT NOT NULL, expires_at INTEGER, revoked_at INTEGER
);
CREATE TABLE key_sockets (key_id TEXT NOT NULL, session_id TEXT NOT NULL, PRIMARY KEY (key_id, session_id));
CREATE TABLE runner_tokens (hash TEXT PRIMARY KEY, labels TEXT NOT NULL, expires_at INTEGER NOT NULL);
CREATE TABLE tickets (hash TEXT PRIMARY KEY, session_id TEXT NOT NULL, principal TEXT NOT NULL, origin TEXT, expires_at INTEGER NOT NULL);
CREATE TABLE runners (
	runner_id TEXT PRIMARY KEY, name TEXT NOT NULL, public_key TEXT NOT NULL, enrolled_at INTEGER NOT NULL,
	granted_labels TEXT NOT NULL, labels TEXT NOT NULL, revoked_at INTEGER, last_seen_at INTEGER, offline_since INTEGER,
	draining INTEGER NOT NULL DEFAULT 0, version TEXT, capacity INTEGER NOT NULL DEFAULT 0, providers TEXT NOT NULL DEFAULT '[]', isolation TEXT
);
CREATE TABLE sessions (
	session_id TEXT PRIMARY KEY, key TEXT UNIQUE, spec TEXT NOT NULL, state TEXT NOT NULL, why TEXT, created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL, home TEXT, generation INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX sessions_by_age ON sessions (created_at DESC, session_id DESC);
CREATE TABLE leases (
	session_id TEXT PRIMARY KEY, runner_id TEXT NOT NULL, generation INTEGER NOT NULL, accepted INTEGER NOT NULL DEFAULT 0, offered_at INTEGER NOT NULL
);
CREATE TABLE waiting (session_id TEXT PRIMARY KEY, since INTEGER NOT NULL, why TEXT);
`;
const FIRST_LOG = `
CREATE TABLE log (first_offset INTEGER PRIMARY KEY, last_offset INTEGER NOT NULL, events TEXT NOT NULL);
CREATE TABLE turns (
	turn_id TEXT PRIMARY KEY, client_id TEXT UNIQUE, text TEXT, accepted_at INTEGER NOT NULL, after_offset INTEGER NOT NULL,
	started_at INTEGER, ended_at INTEGER, stop_reason TEXT, error TEXT, usage TEXT
);
CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT NOT NULL);
`;

/** Puts an object back to tables of the first release with what `fill` writes; its next call opens them. */
async function asAtFirst(stub: DurableObjectStub, tables: string, fill: (sql: SqlStorage) => void): Promise<void> {
	await runInDurableObject(stub, (_, { storage: { sql } }) => {
		const names = sql
			.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'")
			.toArray();
		for (const { name } of names) if (!name.startsWith("sqlite_")) sql.exec(`DROP TABLE "${name}"`);
		sql.exec(tables);
		fill(sql);
	});
	await evictDurableObject(stub);
}

const SPEC = { provider: "scripted", workDir: null, model: null, permissionMode: "default" } as const;

describe("a state of the first release", () => {
	test("opens after every step since: its keys, sessions and log are there, what waited is placed, and new sessions fit in", async () => {
		const team = freshTeam();
		const stub = bindings.TEAM.getByName(team);
		const [waiting, away] = [newId(SessionId, "ses"), newId(SessionId, "ses")];
		const session = bindings.SESSION.getByName(`${team}/${waiting}`);
		await session.create({ sessionId: waiting, team }, SPEC, "key:old");
		const taken = await session.input("from before", null, "key:old");
		if (!taken.ok) throw new Error(taken.error.detail);
		const log = (await session.events(null, null, 100)) as string;
		await asAtFirst(session, FIRST_LOG, (sql) => {
			const { data } = JSON.parse(log) as { data: { offset: number; event: { type: string } }[] };
			const meta = { sessionId: waiting, team, epoch: newId(Epoch, "epo"), createdAt: 1 };
			const lease = { phase: "asking", why: "no runner; position 1", askAgainAt: 1 };
			const turn = { turnId: taken.value.turnId, started: false, interrupt: false, giveUpAt: Number.MAX_SAFE_INTEGER };
			const state = { spec: SPEC, nativeSessionId: null, lease, process: null, turn, waiting: [], approvals: [], closed: false };
			const totals = { events: data.length, bytes: 1, processStarts: 0, lastEventAt: 1 };
			const now = { totals, beside: { state, cursor: { generation: 0, seq: 0 } } };
			sql.exec("INSERT INTO log VALUES (1, ?, ?)", data.length, JSON.stringify(data));
			sql.exec("INSERT INTO turns (turn_id, client_id, text, accepted_at, after_offset) VALUES (?, 'c', 'from before', 1, 1)", turn.turnId);
			for (const [key, value] of Object.entries({ meta, now })) sql.exec("INSERT INTO kv VALUES (?, ?)", key, JSON.stringify(value));
		});

		const runner = await ScriptedRunner.make();
		await asAtFirst(stub, FIRST_TEAM, (sql) => {
			sql.exec("INSERT INTO keys VALUES (?, 'hash', 'ci', '[\"sessions:read\"]', 1, 'key:old', NULL, NULL)", `key_${"0".repeat(26)}`);
			sql.exec(
				"INSERT INTO runners (runner_id, name, public_key, enrolled_at, granted_labels, labels, offline_since) VALUES (?, 'box', ?, 1, '{\"gpu\":\"true\"}', '{}', 1)",
				runner.runnerId,
				runner.publicKey,
			);
			for (const [id, state, home] of [
				[waiting, "queued", null],
				[away, "idle", runner.runnerId],
			])
				sql.exec("INSERT INTO sessions VALUES (?, ?, ?, ?, NULL, 1, 1, ?, 0)", id, `key of ${id}`, JSON.stringify(SPEC), state, home);
			sql.exec("INSERT INTO waiting VALUES (?, 1, '1 runner offering scripted, none online; position 1')", waiting);
		});

		expect((await stub.listKeys()).map((k) => k.name)).toEqual(["ci"]);
		expect(await stub.getSession(away)).toMatchObject({ key: `key of ${away}`, selector: null, principal: null });
		expect(await stub.listQueue()).toMatchObject([
			{ sessionId: waiting, principal: null, position: 1, why: expect.stringContaining("no runner offers") },
		]);
		const control = await runner.control(stub, { labels: { gpu: "false", os: "linux" }, capacity: 2 });
		expect((await stub.listRunners())[0]?.labels).toEqual({ gpu: "true", os: "linux", "provider/scripted": "" });
		await control.frame("offer", (f) => f.sessionId === waiting);
		control.send({ type: "accept", sessionId: waiting, generation: 1 });
		const link = await runner.attach(session, waiting, 1);
		expect((await link.socket.frame("attached")).desired.turn).toMatchObject({ turnId: taken.value.turnId, text: "from before" });
		expect((await session.turns(10, null)).map((t) => [t.turnId, t.why])).toEqual([[taken.value.turnId, null]]);

		const opened = await stub.openSession({ provider: "scripted", permissionMode: "default", selector: "gpu" }, principalOf(team));
		if (!opened.ok) throw new Error(opened.error.detail);
		await bindings.SESSION.getByName(`${team}/${opened.value.session.sessionId}`).input("new", null, "key:test");
		await control.frame("offer", (f) => f.sessionId === opened.value.session.sessionId);

		// Opened once more, the steps are not taken again.
		await evictDurableObject(stub);
		expect(await stub.getSession(SessionId.parse(opened.value.session.sessionId))).toMatchObject({
			selector: "gpu",
			principal: "key:test",
		});
	});
});
