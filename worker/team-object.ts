import { DurableObject } from "cloudflare:workers";
import type { z } from "zod";
import type { Approval, CreateBypass, CreateSession, QueueEntry, Runner, Scope, Session } from "../shared/api.ts";
import type { AuditAction, AuditEntry, Detail } from "../shared/audit.ts";
import { decode, encode } from "../shared/codec.ts";
import { closeCode, closeReason, type ErrorCode, type Problem, problem } from "../shared/errors.ts";
import type { SessionStateName } from "../shared/events.ts";
import {
	ControlFrame,
	type OfferedProvider,
	PING,
	PONG,
	PROTOCOL_VERSION,
	type SessionSpec,
	signedText,
	type ToControlFrame,
} from "../shared/frames.ts";
import { type Generation, type KeyId, RunnerId, SessionId, type TeamId } from "../shared/ids.ts";
import {
	ASK_AGAIN_MS,
	HEARTBEAT_MS,
	HELLO_TIMEOUT_MS,
	MAX_HELLO_BYTES,
	MAX_RUNNER_FRAME_BYTES,
	RECONNECT_WINDOW_MS,
} from "../shared/limits.ts";
import { err, ok, type Result } from "../shared/result.ts";
import { matches, parseSelector, type Selector, selectorErrorText, selectorText } from "../shared/selector.ts";
import { inWords } from "../shared/units.ts";
import { type Bypass, mayDispatch, type Policy, type PolicyEntry, type VersionedPolicy } from "../shared/waf/policy.ts";
import { AuditLog, type AuditSlice } from "./audit.ts";
import type { Principal } from "./auth.ts";
import { type Env, readCapacities, readConfig } from "./config.ts";
import { Credentials, type KeyDto, type KeyRequest } from "./credentials.ts";
import { type Candidate, type Grant, type Queue, schedule, type Wait } from "./placement.ts";
import { Policies, type PolicySummaryDto, type PolicyVersionDto } from "./policies.ts";
import { migrate } from "./schema.ts";
import { newId, newSecret, verifyEd25519 } from "./secrets.ts";
import type { Containment } from "./session.ts";
import { HOSTS_HEADER, RUNNER_HEADER, silentAt } from "./session-object.ts";

const SCHEMA = [
	`
CREATE TABLE IF NOT EXISTS keys (
	key_id TEXT PRIMARY KEY, hash TEXT NOT NULL, name TEXT NOT NULL, scopes TEXT NOT NULL,  -- JSON list
	created_at INTEGER NOT NULL, created_by TEXT NOT NULL, expires_at INTEGER, revoked_at INTEGER
);
-- Which sessions a key opened sockets to: those are closed when it is revoked.
CREATE TABLE IF NOT EXISTS key_sockets (key_id TEXT NOT NULL, session_id TEXT NOT NULL, PRIMARY KEY (key_id, session_id));
CREATE TABLE IF NOT EXISTS runner_tokens (hash TEXT PRIMARY KEY, labels TEXT NOT NULL, expires_at INTEGER NOT NULL);  -- deleted by use
CREATE TABLE IF NOT EXISTS tickets (
	hash TEXT PRIMARY KEY, session_id TEXT NOT NULL, principal TEXT NOT NULL, origin TEXT, expires_at INTEGER NOT NULL       -- deleted by use
);
CREATE TABLE IF NOT EXISTS runners (
	runner_id TEXT PRIMARY KEY, name TEXT NOT NULL, public_key TEXT NOT NULL, enrolled_at INTEGER NOT NULL,
	granted_labels TEXT NOT NULL,      -- its token's; they come before what it says of itself
	labels TEXT NOT NULL,              -- both together
	revoked_at INTEGER, last_seen_at INTEGER,
	offline_since INTEGER,             -- null while its control link is up
	draining INTEGER NOT NULL DEFAULT 0,
	version TEXT, capacity INTEGER NOT NULL DEFAULT 0, providers TEXT NOT NULL DEFAULT '[]', isolation TEXT  -- as it registered last
);
CREATE TABLE IF NOT EXISTS sessions (
	session_id TEXT PRIMARY KEY, key TEXT UNIQUE, spec TEXT NOT NULL,
	state TEXT NOT NULL,               -- as the session said last; 'new' until its object was made
	why TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
	home TEXT,                         -- the runner that hosted it last: its files and the CLI's history are there
	generation INTEGER NOT NULL DEFAULT 0  -- of its latest lease
);
CREATE INDEX IF NOT EXISTS sessions_by_age ON sessions (created_at DESC, session_id DESC);
CREATE TABLE IF NOT EXISTS leases (
	session_id TEXT PRIMARY KEY, runner_id TEXT NOT NULL, generation INTEGER NOT NULL,
	accepted INTEGER NOT NULL DEFAULT 0,
	offered_at INTEGER NOT NULL
);
-- Sessions that wait for a runner, first come first served.
CREATE TABLE IF NOT EXISTS waiting (session_id TEXT PRIMARY KEY, since INTEGER NOT NULL, why TEXT);
`,
	`
ALTER TABLE sessions ADD COLUMN selector TEXT;                  -- which runners it may go to, in canonical form; null: any
ALTER TABLE sessions ADD COLUMN principal TEXT;                 -- who opened it; null: older than this column
-- The queue is not first come first served any more: its principals take turns (placement.ts).
ALTER TABLE waiting ADD COLUMN tag INTEGER NOT NULL DEFAULT 0;
ALTER TABLE waiting ADD COLUMN position INTEGER;                -- as the session was told last, with why
CREATE TABLE queue (granted INTEGER NOT NULL);                  -- one row: how many grants there have been
INSERT INTO queue (granted) VALUES (0);
`,
	// How its processes were bounded when they last ran: JSON of the session's isolation event.
	`ALTER TABLE sessions ADD COLUMN containment TEXT;
ALTER TABLE runners ADD COLUMN jail TEXT;
-- Tool calls that wait for a person, as their sessions said last.
CREATE TABLE approvals (session_id TEXT NOT NULL, approval_id TEXT NOT NULL, expires_at INTEGER NOT NULL, asked TEXT NOT NULL, PRIMARY KEY (session_id, approval_id));
`,
	`
CREATE TABLE policies (version INTEGER PRIMARY KEY, policy TEXT NOT NULL, author TEXT NOT NULL, at INTEGER NOT NULL);  -- never changed
-- Sessions that are to be told this version of the policy and have not said yet that they took it.
CREATE TABLE policy_owed (session_id TEXT PRIMARY KEY, version INTEGER NOT NULL);
-- Never changed but for the hashes, which follow the entry at once; null until then.
CREATE TABLE audit (
	n INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL, detail TEXT NOT NULL,
	prev_hash TEXT, hash TEXT
);
CREATE INDEX audit_unsealed ON audit (n) WHERE hash IS NULL;
CREATE TABLE audit_sources (session_id TEXT PRIMARY KEY, taken INTEGER NOT NULL);  -- up to where a session's outbox was taken
-- What comes in crowds: when it was noted last, and how often it came since.
CREATE TABLE audit_counts (key TEXT PRIMARY KEY, at INTEGER NOT NULL, uncounted INTEGER NOT NULL);
CREATE INDEX audit_counts_by_age ON audit_counts (at);
`,
];

/** How long a runner may take to answer an offer before the lease is taken back. */
const OFFER_TIMEOUT_MS = 15_000;
/** What waits and asks again is not placed again more often than this; whatever changes the books places at once. */
const PLACE_AGAIN_MS = 1_000;
/** A session up to this position is told of every change of it, one behind only of a change by a tenth: each is an entry of its log. */
const NEAR_POSITION = 10;
/** Sessions that are told of a new policy at the same time. */
const TOLD_AT_ONCE = 32;
/** Who could not be told is told again after this. */
const TELL_AGAIN_MS = 10_000;

/** States of a hosted session in which it has no turn: it can make way, and resumes later. */
const IDLE_STATES: ReadonlySet<string> = new Set<SessionStateName>(["ready", "idle", "dead"]);

/** What survives hibernation with a control link. */
interface ControlLink {
	runnerId: RunnerId;
	hosts: string[];
	/** Gone once it was used. */
	nonce: string | null;
	authenticated: boolean;
	/** It said what it can host; before that it gets no offers. */
	registered: boolean;
	/** Above that of every link of this runner that was open when it came: a first frame that comes late takes nothing over from a newer link. */
	order?: number;
	openedAt: number;
}

type LeaseRow = { session_id: SessionId; runner_id: RunnerId; generation: Generation; accepted: number; offered_at: number };
type RunnerRow = {
	runner_id: RunnerId;
	name: string;
	public_key: string;
	granted_labels: string;
	labels: string;
	enrolled_at: number;
	revoked_at: number | null;
	last_seen_at: number | null;
	offline_since: number | null;
	draining: number;
	version: string | null;
	capacity: number;
	providers: string;
	isolation: string | null;
	jail: string | null;
};
type SessionRow = {
	session_id: SessionId;
	key: string | null;
	spec: string;
	state: string;
	why: string | null;
	created_at: number;
	updated_at: number;
	home: RunnerId | null;
	generation: number;
	selector: string | null;
	principal: string | null;
	containment: string | null;
};

// RPC types are computed by the compiler; named ones keep that from going deep.
export type SessionDto = z.output<typeof Session>;
export type ApprovalDto = z.output<typeof Approval>;
/** As a session tells of it. Those that were noted before they had a suggestion and an offset have none. */
type NotedApproval = Omit<ApprovalDto, "sessionId">;
export type QueueEntryDto = z.output<typeof QueueEntry>;
export type RunnerDto = z.output<typeof Runner>;
type BypassRequest = z.output<typeof CreateBypass>;

/** One team: its keys, runners, leases, queue and index of sessions. No event passes here. */
export class TeamObject extends DurableObject<Env> {
	readonly #sql: SqlStorage;
	readonly #credentials: Credentials;
	readonly #policies: Policies;
	readonly #audit: AuditLog;
	/** Runners that said they are full although our books show room, and until when that is believed. Forgetting it costs one refusal. */
	readonly #fullUntil = new Map<RunnerId, number>();
	/** Idle sessions that were told to make way, and until when that is believed. Forgetting it costs a second one its place. */
	readonly #leavingUntil = new Map<SessionId, number>();
	#placedAt = 0;

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
		this.#sql = ctx.storage.sql;
		migrate(this.#sql, SCHEMA);
		this.#credentials = new Credentials(this.#sql, () => this.#team);
		this.#policies = new Policies(this.#sql);
		this.#audit = new AuditLog(this.#sql);
		this.#noticeAbsence();
	}

	/** Sockets that died with the gateway's process never told that they closed. */
	#noticeAbsence(): void {
		for (const r of this.#sql.exec<RunnerRow>("SELECT * FROM runners WHERE offline_since IS NULL AND revoked_at IS NULL").toArray())
			if (this.ctx.getWebSockets(r.runner_id).length === 0)
				this.#sql.exec("UPDATE runners SET offline_since = ? WHERE runner_id = ?", Date.now(), r.runner_id);
	}

	// ------------------------------------------------------------ keys and tickets

	authenticateKey(keyId: KeyId, hash: string): Result<Principal, Problem> | null {
		return this.#credentials.authenticateKey(keyId, hash);
	}

	async createKey(request: KeyRequest, by: Principal): Promise<Result<KeyDto & { apiKey: string }, Problem>> {
		const made = await this.#credentials.createKey(request, by);
		if (made.ok) {
			const { keyId, name, scopes, expiresAt } = made.value;
			this.#note(by.actor, "key.made", keyId, { name, scopes, expiresAt });
		}
		return made;
	}

	listKeys(): KeyDto[] {
		return this.#credentials.listKeys();
	}

	/** Ends the key and closes every socket that was opened with it. */
	async revokeKey(keyId: KeyId, by: string): Promise<boolean> {
		const { known, sessions } = this.#credentials.revokeKey(keyId);
		if (known) this.#note(by, "key.revoked", keyId, { sockets: sessions.length });
		await Promise.allSettled(sessions.map((sessionId) => this.#session(sessionId).revokeKey(keyId)));
		this.#credentials.forgetSockets(keyId);
		return known;
	}

	async createTicket(
		sessionId: SessionId,
		by: Principal,
		origin: string | null,
	): Promise<Result<{ ticket: string; expiresAt: number }, Problem>> {
		return this.#row(sessionId) === null ? err(noSuchSession()) : ok(await this.#credentials.createTicket(sessionId, by, origin));
	}

	redeemTicket(hash: string, sessionId: SessionId, origin: string | null): Result<Principal, Problem> | null {
		const principal = this.#credentials.redeemTicket(hash, sessionId, origin);
		return principal === null ? null : ok(principal);
	}

	/**
	 * Whether this principal may do this with this session: it must be of the team, and for more than reading the policy's dispatch rules must
	 * let this principal have such a session.
	 */
	admit(sessionId: SessionId, who: Principal, use: "read" | "write"): Problem | null {
		const row = this.#row(sessionId);
		if (row === null) return noSuchSession();
		if (use === "read") return null;
		const allowed = this.#mayDispatch(row, who.actor);
		if (!allowed.ok) {
			this.#note(who.actor, "session.refused", sessionId, { use, reason: allowed.error.detail });
			return allowed.error;
		}
		return null;
	}

	/** Whether a socket to this session may be opened, and with which scopes: one that may not write watches. */
	admitSocket(sessionId: SessionId, who: Principal): Result<Scope[], Problem> {
		const row = this.#row(sessionId);
		if (row === null) return err(noSuchSession());
		return ok(this.#mayDispatch(row, who.actor).ok ? who.scopes : who.scopes.filter((scope) => scope !== "sessions:write"));
	}

	/**
	 * To be called when a socket is open: remembers it, so that it is closed with its key. False: the key ended while it was being opened, and
	 * the caller closes it.
	 */
	socketOpened(sessionId: SessionId, who: Principal, address: string): boolean {
		if (who.keyId !== null && !this.#credentials.isGood(who.keyId)) return false;
		if (who.keyId !== null) this.#credentials.rememberSocket(who.keyId, sessionId);
		this.noteAccess({ at: Date.now(), actor: who.actor, action: "socket.opened", subject: sessionId, detail: { address } }, 1);
		return true;
	}

	// ------------------------------------------------------------ sessions

	/** The session of this key, or a new one. The same key gives the same session for ever. */
	async openSession(request: CreateSession, by: Principal): Promise<Result<{ session: SessionDto; created: boolean }, Problem>> {
		const known = request.key === undefined ? null : this.#rowOfKey(request.key);
		if (known !== null && known.state !== "new") return ok({ session: this.#toSession(known), created: false });
		let row = known;
		if (row === null) {
			const selector = request.selector === undefined ? ok(null) : parseSelector(request.selector);
			if (!selector.ok) return err(problem("bad_request", `selector: ${selectorErrorText(selector.error)}`));
			const provider = this.#provider(request.provider ?? null, selector.value);
			if (!provider.ok) return provider;
			const spec: SessionSpec = {
				provider: provider.value,
				workDir: request.workDir ?? null,
				model: request.model ?? null,
				permissionMode: request.permissionMode,
			};
			const said = { spec: JSON.stringify(spec), selector: selector.value === null ? null : selectorText(selector.value) };
			const allowed = this.#mayDispatch(said, by.actor);
			if (!allowed.ok) {
				this.#note(by.actor, "session.refused", "", { use: "open", ...dispatchOf(said), reason: allowed.error.detail });
				return allowed;
			}
			const sessionId = newId(SessionId, "ses");
			const now = Date.now();
			this.#sql.exec(
				"INSERT INTO sessions (session_id, key, spec, state, created_at, updated_at, selector, principal) VALUES (?, ?, ?, 'new', ?, ?, ?, ?)",
				sessionId,
				request.key ?? null,
				said.spec,
				now,
				now,
				said.selector,
				by.actor,
			);
			this.#note(by.actor, "session.opened", sessionId, { ...dispatchOf(said), workDir: spec.workDir, model: spec.model });
			row = this.#row(sessionId);
			if (row === null) return err(problem("internal", "the session was written and is not there"));
		}
		// If this fails, the row stays 'new' and the next call with the key does it again.
		await this.#session(row.session_id).create(
			{ sessionId: row.session_id, team: this.#team },
			JSON.parse(row.spec) as SessionSpec,
			by.actor,
			this.#policies.current,
		);
		// Of several calls that came here together, one made it.
		const created =
			this.#sql.exec("UPDATE sessions SET state = 'idle' WHERE session_id = ? AND state = 'new'", row.session_id).rowsWritten > 0;
		return ok({ session: this.#toSession(this.#row(row.session_id) ?? row), created });
	}

	/** The policy's word on who may have such a session. */
	#mayDispatch(session: { spec: string; selector: string | null }, actor: string): Result<null, Problem> {
		const { provider, permissionMode, labels: selectorLabels } = dispatchOf(session);
		const allowed = mayDispatch(this.#policies.current.policy, actor, { provider, permissionMode, selectorLabels });
		return allowed.ok ? allowed : err(problem("forbidden", allowed.error.reason));
	}

	/** The provider of a new session: the one that was asked for, or the first that an online runner offers, of those that match if any does. */
	#provider(asked: string | null, selector: Selector | null): Result<string, Problem> {
		const candidates = this.#candidates();
		if (candidates.length === 0)
			return err(
				problem(
					"provider_not_available",
					"the team has no runner yet: make a token with `hotplex runners token` and run `hotplex runner enrol` on a machine",
				),
			);
		const isMatch = (c: Candidate): boolean => selector === null || matches(selector, c.labels);
		const preferred = candidates.sort((a, b) => Number(isMatch(b)) - Number(isMatch(a)) || Number(b.online) - Number(a.online));
		const offered = [...new Set(preferred.flatMap((c) => c.providers))];
		const name = asked ?? offered[0];
		if (name !== undefined && offered.includes(name)) return ok(name);
		return err(
			problem(
				"provider_not_available",
				`no runner of the team offers ${asked ?? "any provider"}; offered: ${offered.join(", ") || "nothing"}`,
			),
		);
	}

	getSession(sessionId: SessionId): SessionDto | null {
		const row = this.#row(sessionId);
		return row === null ? null : this.#toSession(row);
	}

	/** Newest first. The cursor is a place in that order, which new sessions do not move. Null: it is not one of ours. */
	listSessions(limit: number, cursor: string | null): { data: SessionDto[]; nextCursor: string | null } | null {
		const [at, id] = /^(\d{1,15})\.(ses_[0-9a-z]{26})$/.exec(cursor ?? "")?.slice(1) ?? [];
		if (cursor !== null && at === undefined) return null;
		const rows = this.#sql
			.exec<SessionRow>(
				"SELECT * FROM sessions WHERE state != 'new' AND (created_at, session_id) < (?, ?) ORDER BY created_at DESC, session_id DESC LIMIT ?",
				Number(at ?? Number.MAX_SAFE_INTEGER),
				id ?? "~",
				limit + 1,
			)
			.toArray();
		const last = rows.length > limit ? rows[limit - 1] : undefined;
		return { data: rows.slice(0, limit).map((r) => this.#toSession(r)), nextCursor: last ? `${last.created_at}.${last.session_id}` : null };
	}

	/** A session says how it is, for the index. */
	async noteSession(sessionId: SessionId, state: SessionStateName, why: string | null, containment: Containment | null): Promise<void> {
		this.#sql.exec(
			"UPDATE sessions SET state = ?, why = ?, containment = coalesce(?, containment), updated_at = ? WHERE session_id = ?",
			state,
			why,
			containment === null ? null : JSON.stringify(containment),
			Date.now(),
			sessionId,
		);
		if (!IDLE_STATES.has(state)) this.#leavingUntil.delete(sessionId);
		// One that has nothing to do may be what others wait for.
		const isWaitedFor = IDLE_STATES.has(state) && this.#sql.exec("SELECT 1 FROM waiting LIMIT 1").toArray().length > 0;
		if (isWaitedFor) await this.#placeWaiting();
	}

	/** All that waits for a person in this session now. */
	noteApprovals(sessionId: SessionId, open: NotedApproval[]): void {
		this.#sql.exec("DELETE FROM approvals WHERE session_id = ?", sessionId);
		for (const asked of open)
			this.#sql.exec(
				"INSERT INTO approvals (session_id, approval_id, expires_at, asked) VALUES (?, ?, ?, ?)",
				sessionId,
				asked.approvalId,
				asked.expiresAt,
				JSON.stringify(asked),
			);
	}

	/** What waits for a person, the oldest first. */
	listApprovals(): ApprovalDto[] {
		return this.#sql
			.exec<{ session_id: SessionId; asked: string }>(
				"SELECT session_id, asked FROM approvals WHERE expires_at > ? ORDER BY expires_at",
				Date.now(),
			)
			.toArray()
			.map(({ session_id: sessionId, asked }) => ({
				...{ sessionId, suggestion: null, offset: null },
				...(JSON.parse(asked) as Omit<NotedApproval, "suggestion" | "offset"> & Partial<NotedApproval>),
			}));
	}

	// ------------------------------------------------------------ leases

	/** The session wants a runner. It is told `granted` or `queued`, now or later. */
	async acquire(sessionId: SessionId, known: number): Promise<void> {
		if (this.#row(sessionId) === null) return;
		// It asks, so it has none: a lease still on the books is left over from a message that was lost. Only one that it has not heard of
		// (`known` is the last that it did) may still be on its way.
		const stale = this.#lease(sessionId);
		if (stale !== null && stale.generation > known && stale.accepted === 0 && Date.now() - stale.offered_at < OFFER_TIMEOUT_MS) return;
		if (stale !== null) this.#endLease(stale, "the session asked anew");
		const [told] = this.#sql
			.exec<{ why: string | null; position: number | null }>("SELECT why, position FROM waiting WHERE session_id = ?", sessionId)
			.toArray();
		// A thousand that ask again need not be a thousand placings.
		if (told?.position != null && Date.now() - this.#placedAt < PLACE_AGAIN_MS)
			return this.#session(sessionId).queued(`${told.why}; position ${told.position}`);
		// Said again each time it asks, in case the last answer was lost.
		this.#sql.exec(
			`INSERT INTO waiting (session_id, since, tag) SELECT ?, ?, granted FROM queue WHERE true
				ON CONFLICT (session_id) DO UPDATE SET why = NULL, position = NULL`,
			sessionId,
			Date.now(),
		);
		await this.#placeWaiting();
	}

	async stopAsking(sessionId: SessionId): Promise<void> {
		this.#sql.exec("DELETE FROM waiting WHERE session_id = ?", sessionId);
		// Those behind it move up.
		await this.#placeWaiting();
	}

	async release(sessionId: SessionId, of: Generation, forgetHome: boolean): Promise<void> {
		const lease = this.#lease(sessionId);
		if (lease !== null && lease.generation === of) {
			this.#sql.exec("DELETE FROM leases WHERE session_id = ?", sessionId);
			this.#fullUntil.delete(lease.runner_id);
			this.#leavingUntil.delete(sessionId);
		}
		if (forgetHome) await this.forgetHome(sessionId);
		else await this.#placeWaiting();
	}

	/** The session need not wait for the runner that hosted it last. */
	async forgetHome(sessionId: SessionId): Promise<void> {
		this.#sql.exec("UPDATE sessions SET home = NULL WHERE session_id = ?", sessionId);
		await this.#placeWaiting();
	}

	/** Whether this runner may open a link to this session. The session itself checks generation and key. */
	mayLink(runnerId: RunnerId, sessionId: SessionId): boolean {
		return this.#lease(sessionId)?.runner_id === runnerId;
	}

	/** What waits for a runner, in the order of service. */
	listQueue(): QueueEntryDto[] {
		const queue = this.#queue();
		const { grants, waits } = schedule(queue);
		const rows = new Map(queue.waiting.map((w) => [w.sessionId, w] as const));
		// What is due is done by the next event, not by somebody's look.
		const order = [...grants.map((g) => ({ ...g, why: "a runner is free for it" })), ...waits];
		return order.flatMap(({ sessionId, why }, i) => {
			const row = rows.get(sessionId);
			if (row === undefined) return [];
			const { principal, since, provider, selector } = row;
			return [{ sessionId, principal, position: i + 1, since, why, provider, selector }];
		});
	}

	/** Carries out what `schedule` decides: gives runners to sessions that wait, tells the others why they do, has room made. */
	async #placeWaiting(): Promise<void> {
		this.#placedAt = Date.now();
		const outcome = schedule(this.#queue());
		const leases = this.ctx.storage.transactionSync(() => {
			if (outcome.grants.length === 0) return [];
			this.#sql.exec("UPDATE queue SET granted = ?", outcome.granted);
			for (const w of outcome.waits) this.#sql.exec("UPDATE waiting SET tag = ?1 WHERE session_id = ?2 AND tag != ?1", w.tag, w.sessionId);
			return outcome.grants.map((grant) => this.#enterLease(grant));
		});
		for (const { runnerId, sessionId } of outcome.makeRoom) {
			if (sessionId !== null) this.#leavingUntil.set(sessionId, Date.now() + ASK_AGAIN_MS);
			this.#toRunner(runnerId, { type: "make_room", ...(sessionId === null ? {} : { sessionId }) });
		}
		const calls = [...leases.map((lease) => this.#offer(lease)), ...this.#news(outcome.waits).map((wait) => this.#tellWhy(wait))];
		const results = await Promise.allSettled(calls);
		for (const call of results) if (call.status === "rejected") console.warn(`team ${this.#team}: a session was not reached`, call.reason);
		// Who was offered a place and needed none leaves it to the next.
		if (results.some((call) => call.status === "fulfilled" && call.value === "not needed")) await this.#placeWaiting();
		else await this.#schedule();
	}

	/** The books, for `schedule`. */
	#queue(): Queue {
		const now = Date.now();
		const runners = this.#candidates();
		const reachable = new Set(runners.filter((c) => c.online).map((c) => c.runnerId));
		const waiting = this.#sql
			.exec<{
				session_id: SessionId;
				since: number;
				tag: number;
				provider: string;
				selector: string | null;
				principal: string | null;
				home: RunnerId | null;
			}>(
				"SELECT w.session_id, w.since, w.tag, s.spec ->> 'provider' AS provider, s.selector, s.principal, s.home FROM waiting w JOIN sessions s USING (session_id)",
			)
			.toArray()
			.map(({ session_id: sessionId, ...row }) => ({ sessionId, ...row }));
		const hosted = this.#sql
			.exec<{ session_id: SessionId; runner_id: RunnerId; principal: string | null; state: string; updated_at: number }>(
				"SELECT l.session_id, l.runner_id, s.principal, s.state, s.updated_at FROM leases l JOIN sessions s USING (session_id)",
			)
			.toArray()
			.map((row) => ({
				sessionId: row.session_id,
				runnerId: row.runner_id,
				principal: row.principal,
				idleSince: IDLE_STATES.has(row.state) && reachable.has(row.runner_id) ? row.updated_at : null,
				leaving: (this.#leavingUntil.get(row.session_id) ?? 0) > now,
			}));
		const { granted } = this.#sql.exec<{ granted: number }>("SELECT granted FROM queue").one();
		return { granted, waiting, hosted, runners, capacities: readCapacities(this.env) };
	}

	/** Those that were told something else last. */
	#news(waits: Wait[]): Wait[] {
		const told = new Map(
			this.#sql
				.exec<{ session_id: SessionId; why: string | null; position: number | null }>("SELECT session_id, why, position FROM waiting")
				.toArray()
				.map((row) => [row.session_id, row] as const),
		);
		return waits.filter(({ sessionId, why, position }) => {
			const last = told.get(sessionId);
			const moved = Math.abs(position - (last?.position ?? 0));
			return last !== undefined && (last.why !== why || (moved > 0 && (position <= NEAR_POSITION || moved * 10 >= position)));
		});
	}

	async #tellWhy({ sessionId, why, position }: Wait): Promise<void> {
		this.#sql.exec("UPDATE waiting SET why = ?, position = ? WHERE session_id = ?", why, position, sessionId);
		await this.#session(sessionId).queued(`${why}; position ${position}`);
	}

	/** Moves a session from the queue to the leases. */
	#enterLease({ sessionId, runnerId }: Grant): LeaseRow {
		this.#sql.exec("DELETE FROM waiting WHERE session_id = ?", sessionId);
		const { generation: next } = this.#sql
			.exec<{ generation: Generation }>(
				"UPDATE sessions SET generation = generation + 1 WHERE session_id = ? RETURNING generation",
				sessionId,
			)
			.one();
		const lease: LeaseRow = { session_id: sessionId, runner_id: runnerId, generation: next, accepted: 0, offered_at: Date.now() };
		this.#sql.exec(
			"INSERT INTO leases (session_id, runner_id, generation, offered_at) VALUES (?, ?, ?, ?)",
			sessionId,
			runnerId,
			next,
			lease.offered_at,
		);
		return lease;
	}

	async #offer(lease: LeaseRow): Promise<"not needed" | undefined> {
		const { session_id: sessionId, runner_id: runnerId, generation: of } = lease;
		const runner = this.#runner(runnerId);
		const row = this.#row(sessionId);
		if (runner === null || row === null) return;
		// The session must know its lease before the runner can come with it.
		const taken = await this.#session(sessionId)
			.granted(
				{ runnerId, runnerName: runner.name, generation: of, publicKey: runner.public_key, windowMs: this.#windowMs },
				this.#policies.current,
			)
			.catch(() => null);
		// Whether it heard of it is not known: the alarm takes an unanswered offer back, and tells it.
		if (taken === null) return;
		if (taken) {
			this.#toRunner(runnerId, { type: "offer", sessionId, generation: of, spec: JSON.parse(row.spec) as SessionSpec });
			const runnerIs = { runnerId, runner: runner.name, generation: of };
			this.#note(row.principal ?? "gateway", "session.placed", sessionId, { ...runnerIs, ...dispatchOf(row) });
		} else this.#sql.exec("DELETE FROM leases WHERE session_id = ? AND generation = ?", sessionId, of);
		return taken ? undefined : "not needed";
	}

	/** The runner has it: its files and the CLI's history are there from now on. A refused offer binds a session to nobody. */
	#accepted(runnerId: RunnerId, sessionId: SessionId, of: Generation): void {
		const { rowsWritten } = this.#sql.exec(
			"UPDATE leases SET accepted = 1 WHERE session_id = ? AND generation = ? AND runner_id = ?",
			sessionId,
			of,
			runnerId,
		);
		if (rowsWritten > 0) this.#sql.exec("UPDATE sessions SET home = ? WHERE session_id = ?", runnerId, sessionId);
	}

	/** Takes the lease off the books and tells the runner to forget it. */
	#endLease(lease: LeaseRow, why: string): void {
		this.#sql.exec("DELETE FROM leases WHERE session_id = ? AND generation = ?", lease.session_id, lease.generation);
		this.#toRunner(lease.runner_id, { type: "drop", sessionId: lease.session_id, generation: lease.generation, why });
	}

	/** Takes back an offer that was not answered, so that another runner can have it; unless the runner came to the session itself, which is an answer. */
	async #withdraw(lease: LeaseRow, detail: string): Promise<void> {
		const ended = await this.#session(lease.session_id).leaseEnded({
			generation: lease.generation,
			code: "no_runner",
			detail,
			again: true,
			unlessReached: true,
		});
		if (ended) this.#endLease(lease, detail);
		else this.#accepted(lease.runner_id, lease.session_id, lease.generation);
	}

	/** Ends a lease that the session still counts on, and tells the session. */
	async #takeBack(lease: LeaseRow, code: ErrorCode, detail: string, again: boolean, closing: ErrorCode = "lease_lost"): Promise<void> {
		this.#endLease(lease, detail);
		await this.#session(lease.session_id).leaseEnded({ generation: lease.generation, code, detail, again, closing });
	}

	// ------------------------------------------------------------ policy

	getPolicy(version: number | null): PolicyVersionDto | null {
		return version === null ? this.#policies.current : this.#policies.get(version);
	}

	listPolicies(limit: number, cursor: number | null): PolicySummaryDto[] {
		return this.#policies.list(limit, cursor);
	}

	/** The next version of the policy. Every session that works goes by it when this answers, but for those that are still `pending`. */
	async putPolicy(wanted: Policy, baseVersion: number, by: string): Promise<Result<PolicyVersionDto & { pending: number }, Problem>> {
		const at = Date.now();
		const next = this.#changePolicy(by, () => this.#policies.put(wanted, baseVersion, { by, at }));
		return next.ok ? ok({ ...next.value, pending: await this.#tellPolicy() }) : next;
	}

	/** "Always", as a person answered an approval: becomes an entry of the policy. Answers the version that holds. */
	async addEntry(entry: PolicyEntry, by: string): Promise<Result<number, Problem>> {
		const at = Date.now();
		const added = this.#changePolicy(by, () => this.#policies.addEntry(entry, { by, at }));
		if (!added.ok) return added;
		if (added.value !== null) await this.#tellPolicy();
		return ok(this.#policies.current.version);
	}

	async createBypass(wanted: BypassRequest, by: string): Promise<Result<{ bypass: Bypass; version: number; pending: number }, Problem>> {
		if (wanted.sessionId !== undefined && this.#row(wanted.sessionId) === null) return err(noSuchSession());
		const at = Date.now();
		const made = this.#changePolicy(by, () => this.#policies.addBypass(wanted, { by, at }));
		if (!made.ok) return made;
		const { bypass, version } = made.value;
		return ok({ bypass, version: version.version, pending: await this.#tellPolicy() });
	}

	/** False: there is none of this id. */
	async endBypass(id: string, by: string): Promise<Result<boolean, Problem>> {
		const at = Date.now();
		const ended = this.#changePolicy(by, () => this.#policies.endBypass(id, { by, at }));
		if (!ended.ok) return ended;
		if (ended.value !== null) await this.#tellPolicy();
		return ok(ended.value !== null);
	}

	/** For a session that was not told all along, because it had no work: the policy, if it is newer than the one that it knows. */
	policyAfter(version: number): VersionedPolicy | null {
		const { current } = this.#policies;
		return current.version > version ? { version: current.version, policy: current.policy } : null;
	}

	/** Makes a new version, notes it, and owes it to the sessions, all in one transaction. */
	#changePolicy<T>(by: string, change: () => T): T {
		return this.ctx.storage.transactionSync(() => {
			const before = this.#policies.current;
			const changed = change();
			const after = this.#policies.current;
			if (after.version === before.version) return changed;
			this.#note(by, "policy.changed", "", { from: before.version, to: after.version });
			const was = new Map(before.policy.bypasses.map((b) => [b.id, b] as const));
			const is = new Map(after.policy.bypasses.map((b) => [b.id, b] as const));
			for (const b of is.values()) if (was.get(b.id)?.at !== b.at) this.#note(by, "bypass.made", b.id, bypassDetail(b));
			for (const b of was.values()) if (!is.has(b.id)) this.#note(by, "bypass.ended", b.id, bypassDetail(b));
			// Who has no work asks before its next input. But what its sockets may do changes with the dispatch rules.
			const isForAll = JSON.stringify(before.policy.dispatch) !== JSON.stringify(after.policy.dispatch);
			this.#sql.exec(
				`INSERT OR REPLACE INTO policy_owed (session_id, version) ${
					isForAll
						? "SELECT session_id, ? FROM sessions WHERE state NOT IN ('new', 'closed')"
						: "SELECT session_id, ? FROM (SELECT session_id FROM leases UNION SELECT session_id FROM waiting)"
				}`,
				after.version,
			);
			return changed;
		});
	}

	/** Tells the policy to all who are owed it. Answers how many could not be told; the alarm tells them again. */
	async #tellPolicy(): Promise<number> {
		const { version, policy } = this.#policies.current;
		const owed = this.#sql.exec<{ session_id: SessionId }>("SELECT session_id FROM policy_owed").toArray();
		for (let first = 0; first < owed.length; first += TOLD_AT_ONCE)
			await Promise.allSettled(
				owed.slice(first, first + TOLD_AT_ONCE).map(async ({ session_id: sessionId }) => {
					await this.#session(sessionId).setPolicy({ version, policy });
					this.#sql.exec("DELETE FROM policy_owed WHERE session_id = ? AND version <= ?", sessionId, version);
				}),
			);
		const pending = this.#owed();
		if (pending > 0) console.warn(`team ${this.#team}: ${pending} sessions could not be told version ${version} of the policy`);
		await this.#schedule();
		return pending;
	}

	#owed(): number {
		return this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM policy_owed").one().n;
	}

	// ------------------------------------------------------------ audit

	/** Takes entries of a session's outbox, numbered from `fromN`, each once. Answers the last number that is in the log. */
	audit(sessionId: SessionId, fromN: number, entries: AuditEntry[]): number {
		const taken = this.ctx.storage.transactionSync(() => this.#audit.take(sessionId, fromN, entries));
		this.#seal();
		return taken;
	}

	/** What the Worker saw: a login, or (with a `count`) what comes in crowds. */
	noteAccess(entry: AuditEntry, count: number | null): void {
		this.ctx.storage.transactionSync(() => (count === null ? this.#audit.noteLogin(entry) : this.#audit.noteCounted(entry, count)));
		this.#seal();
	}

	/** Records after `after`, oldest first, and the log's end. */
	async readAudit(after: number, limit: number): Promise<AuditSlice> {
		await this.#audit.seal();
		return { records: this.#audit.read(after, limit), head: this.#audit.head };
	}

	#note(actor: string, action: AuditAction, subject: string, detail: Detail): void {
		this.#audit.note({ at: Date.now(), actor, action, subject, detail });
		this.#seal();
	}

	#seal(): void {
		this.ctx.waitUntil(
			this.#audit.seal().catch((cause: unknown) => console.error(`team ${this.#team}: the audit log was not sealed`, cause)),
		);
	}

	// ------------------------------------------------------------ runners

	async createRunnerToken(labels: Record<string, string>, expiresInMs: number, by: string): Promise<{ token: string; expiresAt: number }> {
		const made = await this.#credentials.createRunnerToken(labels, expiresInMs);
		this.#note(by, "runner_token.made", "", { labels, expiresAt: made.expiresAt });
		return made;
	}

	/** Registers a runner's public key; the token is burnt in the same transaction. */
	enrol(tokenHash: string, publicKey: string, name: string): Result<{ runnerId: RunnerId; team: TeamId }, Problem> {
		return this.ctx.storage.transactionSync(() => {
			const labels = this.#credentials.burnRunnerToken(tokenHash);
			if (labels === null)
				return err(problem("unauthorized", "this runner token is not valid: it was used, has expired, or never was one; make a new one"));
			const runnerId = newId(RunnerId, "run");
			const now = Date.now();
			this.#sql.exec(
				"INSERT INTO runners (runner_id, name, public_key, granted_labels, labels, enrolled_at, offline_since) VALUES (?, ?, ?, ?, ?, ?, ?)",
				runnerId,
				name,
				publicKey,
				labels,
				labels,
				now,
				now,
			);
			this.#note(runnerId, "runner.enrolled", runnerId, { name, labels: JSON.parse(labels) as Record<string, string> });
			return ok({ runnerId, team: this.#team });
		});
	}

	listRunners(): RunnerDto[] {
		return this.#sql
			.exec<RunnerRow>("SELECT * FROM runners ORDER BY enrolled_at")
			.toArray()
			.map((r) => ({
				runnerId: r.runner_id,
				name: r.name,
				state:
					r.revoked_at !== null
						? "revoked"
						: this.#controlLink(r.runner_id, null) === null
							? "offline"
							: r.draining !== 0
								? "draining"
								: "online",
				version: r.version,
				labels: JSON.parse(r.labels) as Record<string, string>,
				capacity: r.capacity,
				hosting: this.#hosting(r.runner_id),
				providers: JSON.parse(r.providers) as OfferedProvider[],
				isolation: r.isolation as RunnerDto["isolation"],
				jail: r.jail as RunnerDto["jail"],
				enrolledAt: r.enrolled_at,
				lastSeenAt: r.last_seen_at,
			}));
	}

	/** Tells a runner to take no new sessions and to hand back what it hosts when turns have ended. */
	drainRunner(runnerId: RunnerId, by: string): boolean {
		const runner = this.#runner(runnerId);
		if (runner === null) return false;
		this.#note(by, "runner.drained", runnerId, { name: runner.name });
		this.#sql.exec("UPDATE runners SET draining = 1 WHERE runner_id = ?", runnerId);
		this.#toRunner(runnerId, { type: "drain" });
		return true;
	}

	/** Ends a runner's key: its links are closed, its leases end, and it never comes in again. */
	async revokeRunner(runnerId: RunnerId, by: string): Promise<boolean> {
		const runner = this.#runner(runnerId);
		if (runner === null) return false;
		this.#sql.exec(
			"UPDATE runners SET revoked_at = ?, offline_since = coalesce(offline_since, ?) WHERE runner_id = ?",
			Date.now(),
			Date.now(),
			runnerId,
		);
		const leases = this.#leasesOf(runnerId);
		this.#note(by, "runner.revoked", runnerId, { name: runner.name, sessions: leases.length });
		await Promise.allSettled(
			leases.map((l) => this.#takeBack(l, "runner_lost", `the runner ${runner.name} was revoked`, true, "unauthorized")),
		);
		for (const ws of this.ctx.getWebSockets(runnerId)) close(ws, "unauthorized", "this runner was revoked");
		this.#sql.exec("UPDATE sessions SET home = NULL WHERE home = ?", runnerId);
		await this.#placeWaiting();
		return true;
	}

	// ------------------------------------------------------------ control links

	/** Upgrades of control links; the runner proves its key in its first frame. */
	override async fetch(request: Request): Promise<Response> {
		const runnerId = RunnerId.safeParse(request.headers.get(RUNNER_HEADER));
		// Unknown and revoked runners get a socket that closes at the proof: a prober learns no ids from the answer.
		if (!runnerId.success) return new Response("not for this address", { status: 404 });
		const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
		const nonce = newSecret();
		const now = Date.now();
		const older = this.ctx.getWebSockets(runnerId.data);
		this.ctx.acceptWebSocket(server, [runnerId.data]);
		server.serializeAttachment({
			runnerId: runnerId.data,
			hosts: request.headers.get(HOSTS_HEADER)?.split(",") ?? [],
			nonce,
			authenticated: false,
			registered: false,
			order: 1 + Math.max(0, ...older.map((ws) => attachment(ws)?.order ?? 0)),
			openedAt: now,
		} satisfies ControlLink);
		sendTo(server, { type: "challenge", nonce, protocol: PROTOCOL_VERSION });
		await this.#schedule();
		return new Response(null, { status: 101, webSocket: client });
	}

	override async webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): Promise<void> {
		const link = attachment(ws);
		if (link === null) return;
		try {
			await this.#fromRunner(ws, link, message);
		} catch (cause) {
			console.error(`team ${this.#team}: a frame of ${link.runnerId} failed`, cause);
			close(ws, "internal", "the gateway failed on this frame; come back");
		}
	}

	async #fromRunner(ws: WebSocket, link: ControlLink, message: string | ArrayBuffer): Promise<void> {
		const frame = decode(ControlFrame, message, link.authenticated ? MAX_RUNNER_FRAME_BYTES : MAX_HELLO_BYTES);
		if (!frame.ok) return close(ws, frame.error.code, frame.error.detail);
		const f = frame.value;
		if (f.type === "ping") return sendTo(ws, { type: "pong" });
		if (f.type === "authenticate") return this.#authenticate(ws, link, f);
		if (!link.authenticated) return close(ws, "unauthorized", "authenticate first");
		switch (f.type) {
			case "register":
				return this.#register(ws, link, f);
			case "accept":
				return this.#accepted(link.runnerId, f.sessionId, f.generation);
			case "refuse": {
				const lease = this.#lease(f.sessionId);
				if (lease === null || lease.generation !== f.generation || lease.runner_id !== link.runnerId) return;
				const again = f.problem.code === "at_capacity" || f.problem.code === "draining";
				// Otherwise the same offer would go back and forth as fast as the network.
				if (again) this.#fullUntil.set(link.runnerId, Date.now() + ASK_AGAIN_MS);
				this.#sql.exec("DELETE FROM leases WHERE session_id = ? AND generation = ?", f.sessionId, f.generation);
				await this.#session(f.sessionId).leaseEnded({ generation: f.generation, code: f.problem.code, detail: f.problem.detail, again });
				return;
			}
			case "draining":
				this.#sql.exec("UPDATE runners SET draining = 1 WHERE runner_id = ?", link.runnerId);
				return this.#placeWaiting();
		}
	}

	async #authenticate(ws: WebSocket, link: ControlLink, f: Extract<ControlFrame, { type: "authenticate" }>): Promise<void> {
		if (f.protocol !== PROTOCOL_VERSION)
			return close(ws, "unsupported_version", `this gateway speaks protocol ${PROTOCOL_VERSION}; update the runner`);
		const { nonce, runnerId } = link;
		ws.serializeAttachment({ ...link, nonce: null } satisfies ControlLink);
		const runner = this.#runner(runnerId);
		const signed = nonce === null ? null : signedText({ host: f.host, runnerId, nonce, link: "control" });
		const proven =
			runner !== null &&
			signed !== null &&
			f.runnerId === runnerId &&
			link.hosts.includes(f.host) &&
			(await verifyEd25519(runner.public_key, f.signature, signed));
		// Asked again after the await: it may have been revoked meanwhile.
		if (!proven || this.#runner(runnerId) === null)
			return close(
				ws,
				"unauthorized",
				"this runner's key was not proven: it is unknown, revoked, or signed for another host than PUBLIC_URL",
			);
		const order = link.order ?? 0;
		const others = this.ctx
			.getWebSockets(runnerId)
			.filter((other) => other !== ws && other.readyState === WebSocket.OPEN && attachment(other)?.authenticated === true);
		if (others.some((other) => (attachment(other)?.order ?? 0) > order))
			return close(ws, "superseded", "a newer connection of this runner is there");
		for (const older of others) close(older, "superseded", "a newer connection of this runner took over");
		// A runner that lost its network does this too; two machines with one key do it all the time.
		if (others.length > 0) this.#note(runnerId, "runner.replaced", runnerId, { name: runner?.name ?? "", connections: others.length });
		ws.serializeAttachment({ ...link, nonce: null, authenticated: true } satisfies ControlLink);
		this.#sql.exec("UPDATE runners SET offline_since = NULL, last_seen_at = ? WHERE runner_id = ?", Date.now(), runnerId);
		sendTo(ws, { type: "authenticated", protocol: PROTOCOL_VERSION, heartbeatMs: HEARTBEAT_MS });
		await this.#schedule();
	}

	async #register(ws: WebSocket, link: ControlLink, f: Extract<ControlFrame, { type: "register" }>): Promise<void> {
		ws.serializeAttachment({ ...link, registered: true } satisfies ControlLink);
		this.#fullUntil.delete(link.runnerId);
		const labels = {
			...Object.fromEntries(f.providers.map((p) => [`provider/${p.name}`, p.version ?? ""])),
			...f.labels,
			...(JSON.parse(this.#runner(link.runnerId)?.granted_labels ?? "{}") as Record<string, string>),
		};
		this.#sql.exec(
			"UPDATE runners SET version = ?, capacity = ?, providers = ?, isolation = ?, jail = ?, draining = ?, labels = ? WHERE runner_id = ?",
			f.version,
			f.capacity,
			JSON.stringify(f.providers),
			f.isolation,
			f.jail ?? null,
			f.draining ? 1 : 0,
			JSON.stringify(labels),
			link.runnerId,
		);
		sendTo(ws, { type: "registered" });
		const hosted = new Map(f.hosted.map((h) => [h.sessionId, h.generation] as const));
		const calls: Promise<void>[] = [];
		for (const lease of this.#leasesOf(link.runnerId)) {
			if (hosted.get(lease.session_id) === lease.generation) this.#accepted(link.runnerId, lease.session_id, lease.generation);
			else if (lease.accepted === 0) {
				const spec = JSON.parse(this.#row(lease.session_id)?.spec ?? "null") as SessionSpec | null;
				if (spec !== null) sendTo(ws, { type: "offer", sessionId: lease.session_id, generation: lease.generation, spec });
			} else calls.push(this.#takeBack(lease, "runner_lost", "the runner came back without this session's process", false));
		}
		for (const { sessionId, generation: of } of f.hosted)
			if (this.#lease(sessionId)?.generation !== of) sendTo(ws, { type: "drop", sessionId, generation: of, why: "its lease has ended" });
		await Promise.allSettled(calls);
		await this.#placeWaiting();
	}

	override async webSocketClose(ws: WebSocket, code: number): Promise<void> {
		// See SessionObject: without an answer the peer waits 10 s and sees 1006.
		ws.close(code === 1005 || code === 1006 || code === 1015 ? 1000 : code);
		await this.#gone(ws);
	}

	override async webSocketError(ws: WebSocket): Promise<void> {
		ws.close(1011);
		await this.#gone(ws);
	}

	async #gone(ws: WebSocket): Promise<void> {
		const link = attachment(ws);
		if (link === null || !link.authenticated || this.#controlLink(link.runnerId, ws) !== null) return;
		await this.#runnerIsAway(link.runnerId);
		await this.#placeWaiting();
	}

	/** What it has not accepted goes to another runner at once; what it has is held for it (LSE-5). */
	async #runnerIsAway(runnerId: RunnerId): Promise<void> {
		this.#sql.exec("UPDATE runners SET offline_since = ?, last_seen_at = ? WHERE runner_id = ?", Date.now(), Date.now(), runnerId);
		const open = this.#leasesOf(runnerId).filter((lease) => lease.accepted === 0);
		await Promise.allSettled(open.map((lease) => this.#withdraw(lease, "its runner went away before it took the session")));
	}

	/**
	 * Closes control links that are half open: their runners ping, and the last ping is two heartbeats old. The sessions are told to look at
	 * their own links, which are then half open too.
	 */
	async #endSilent(now: number): Promise<void> {
		for (const ws of this.ctx.getWebSockets()) {
			const link = attachment(ws);
			if (link?.authenticated !== true || ws.readyState !== WebSocket.OPEN || now < silentAt(this.ctx, ws, link.openedAt)) continue;
			close(ws, "going_away", "no ping came for two heartbeats; come back");
			if (this.#controlLink(link.runnerId, ws) !== null) continue;
			await this.#runnerIsAway(link.runnerId);
			await Promise.allSettled(this.#leasesOf(link.runnerId).map((lease) => this.#session(lease.session_id).endSilentLinks()));
		}
	}

	override async alarm(): Promise<void> {
		const now = Date.now();
		for (const ws of this.ctx.getWebSockets()) {
			const link = attachment(ws);
			if (link !== null && !link.authenticated && now - link.openedAt >= HELLO_TIMEOUT_MS)
				close(ws, "hello_timeout", "the first frame did not come within 10 s");
		}
		this.#noticeAbsence();
		await this.#endSilent(now);
		const calls: Promise<void>[] = [];
		for (const lease of this.#sql.exec<LeaseRow>("SELECT * FROM leases").toArray()) {
			const runner = this.#runner(lease.runner_id);
			if (runner === null) this.#endLease(lease, "its runner is gone");
			else if (runner.offline_since !== null && now - runner.offline_since >= this.#windowMs)
				calls.push(this.#takeBack(lease, "runner_lost", `the runner ${runner.name} was away for over ${inWords(this.#windowMs)}`, true));
			else if (lease.accepted === 0 && runner.offline_since === null && now - lease.offered_at >= OFFER_TIMEOUT_MS)
				calls.push(this.#withdraw(lease, `the runner ${runner.name} did not answer the offer`));
		}
		await Promise.allSettled(calls);
		this.#changePolicy("gateway", () => this.#policies.endOverdue(now));
		if (this.#owed() > 0) await this.#tellPolicy();
		await this.#placeWaiting();
	}

	/**
	 * The one alarm: the earliest of open hellos, unanswered offers, runners that are away too long, bypasses that end, and sessions that are
	 * still to be told of the policy. While there are leases there is an alarm, so that a gateway that was killed wakes and sees who did not
	 * come back.
	 */
	async #schedule(): Promise<void> {
		const due = this.#sql
			.exec<{ due: number | null }>(
				`SELECT min(CASE WHEN r.offline_since IS NOT NULL THEN r.offline_since + ?1 WHEN l.accepted = 0 THEN l.offered_at + ?2 ELSE ?3 + ?1 END) AS due
					FROM leases l JOIN runners r USING (runner_id)`,
				this.#windowMs,
				OFFER_TIMEOUT_MS,
				Date.now(),
			)
			.one().due;
		const again = this.#owed() > 0 ? Date.now() + TELL_AGAIN_MS : Number.POSITIVE_INFINITY;
		let at = Math.min(due ?? Number.POSITIVE_INFINITY, again, this.#policies.dueAt ?? Number.POSITIVE_INFINITY);
		for (const ws of this.ctx.getWebSockets()) {
			const link = attachment(ws);
			if (link === null || ws.readyState !== WebSocket.OPEN) continue;
			at = Math.min(at, link.authenticated ? silentAt(this.ctx, ws, link.openedAt) : link.openedAt + HELLO_TIMEOUT_MS);
		}
		if (at === Number.POSITIVE_INFINITY) return;
		const set = await this.ctx.storage.getAlarm();
		if (set === null || set > at) await this.ctx.storage.setAlarm(at);
	}

	// ------------------------------------------------------------ small things

	/** The Worker has refused to serve with a configuration that is not valid, so the default stands for nothing but that. */
	get #windowMs(): number {
		const config = readConfig(this.env);
		return config.ok ? config.value.reconnectWindowMs : RECONNECT_WINDOW_MS;
	}

	get #team(): TeamId {
		const name = this.ctx.id.name;
		if (name === undefined) throw new Error("a team's object is always reached by its name");
		return name as TeamId;
	}

	#session(sessionId: string) {
		return this.env.SESSION.getByName(`${this.#team}/${sessionId}`);
	}

	#row(sessionId: string): SessionRow | null {
		return this.#sql.exec<SessionRow>("SELECT * FROM sessions WHERE session_id = ?", sessionId).toArray()[0] ?? null;
	}

	#rowOfKey(key: string): SessionRow | null {
		return this.#sql.exec<SessionRow>("SELECT * FROM sessions WHERE key = ?", key).toArray()[0] ?? null;
	}

	#lease(sessionId: string): LeaseRow | null {
		return this.#sql.exec<LeaseRow>("SELECT * FROM leases WHERE session_id = ?", sessionId).toArray()[0] ?? null;
	}

	#leasesOf(runnerId: RunnerId): LeaseRow[] {
		return this.#sql.exec<LeaseRow>("SELECT * FROM leases WHERE runner_id = ?", runnerId).toArray();
	}

	#hosting(runnerId: RunnerId): number {
		return this.#sql.exec<{ n: number }>("SELECT count(*) AS n FROM leases WHERE runner_id = ?", runnerId).one().n;
	}

	/** Null for unknown and revoked ones alike. */
	#runner(runnerId: RunnerId): RunnerRow | null {
		return this.#sql.exec<RunnerRow>("SELECT * FROM runners WHERE runner_id = ? AND revoked_at IS NULL", runnerId).toArray()[0] ?? null;
	}

	#candidates(): Candidate[] {
		return this.#sql
			.exec<RunnerRow>("SELECT * FROM runners WHERE revoked_at IS NULL ORDER BY enrolled_at")
			.toArray()
			.map((r) => ({
				runnerId: r.runner_id,
				name: r.name,
				online: this.#controlLink(r.runner_id, null) !== null,
				draining: r.draining !== 0,
				capacity: r.capacity,
				full: (this.#fullUntil.get(r.runner_id) ?? 0) > Date.now(),
				providers: (JSON.parse(r.providers) as OfferedProvider[]).map((p) => p.name),
				labels: JSON.parse(r.labels) as Record<string, string>,
			}));
	}

	/** The runner's live, registered control link, leaving out one that is closing. */
	#controlLink(runnerId: RunnerId, except: WebSocket | null): WebSocket | null {
		for (const ws of this.ctx.getWebSockets(runnerId))
			if (ws !== except && ws.readyState === WebSocket.OPEN && attachment(ws)?.registered === true) return ws;
		return null;
	}

	#toRunner(runnerId: RunnerId, frame: ToControlFrame): void {
		const ws = this.#controlLink(runnerId, null);
		if (ws !== null) sendTo(ws, frame);
	}

	#toSession(row: SessionRow): SessionDto {
		const spec = JSON.parse(row.spec) as SessionSpec;
		return {
			sessionId: row.session_id,
			key: row.key,
			...spec,
			state: (row.state === "new" ? "idle" : row.state) as SessionStateName,
			why: row.why,
			runnerId: this.#lease(row.session_id)?.runner_id ?? null,
			selector: row.selector,
			principal: row.principal,
			...this.#containmentOf(row),
			createdAt: row.created_at,
			updatedAt: row.updated_at,
		};
	}

	#containmentOf({ containment }: SessionRow): Pick<SessionDto, "isolation" | "jail" | "waf"> {
		const { reached, jail, waf } = (containment === null ? {} : JSON.parse(containment)) as Partial<Containment>;
		return { isolation: reached ?? null, jail: jail ?? null, waf: waf ?? null };
	}
}

/** What of a session the dispatch rules look at: its selector's labels are those that a runner must have for sure. */
function dispatchOf({ spec, selector }: { spec: string; selector: string | null }): {
	provider: string;
	permissionMode: string;
	labels: Record<string, string>;
} {
	const { provider, permissionMode } = JSON.parse(spec) as SessionSpec;
	const parsed = parseSelector(selector ?? "");
	const asked = parsed.ok ? parsed.value : [];
	const labels = asked.flatMap((r) => (r.is === "in" && r.values.length === 1 ? [[r.key, r.values[0] ?? ""] as const] : []));
	return { provider, permissionMode, labels: Object.fromEntries(labels) };
}

const bypassDetail = ({ lifts, sessionId, principal, reason, until }: Bypass): Detail => ({
	lifts: lifts ?? null,
	sessionId: sessionId ?? null,
	principal: principal ?? null,
	reason,
	until,
});

export const noSuchSession = (): Problem => problem("not_found", "no such session in this team");

// Only this object writes attachments, so they are read back as written.
const attachment = (ws: WebSocket): ControlLink | null => ws.deserializeAttachment() as ControlLink | null;

function sendTo(ws: WebSocket, frame: ToControlFrame): void {
	try {
		ws.send(encode(frame));
	} catch {
		// It is closing; its close event does the rest.
	}
}

function close(ws: WebSocket, code: ErrorCode, detail: string): void {
	sendTo(ws, { type: "error", problem: problem(code, detail) });
	try {
		ws.close(closeCode(code), closeReason(detail));
	} catch {
		// It is closed already.
	}
}
