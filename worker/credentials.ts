import type { z } from "zod";
import type { Key, Scope } from "../shared/api.ts";
import { type Problem, problem } from "../shared/errors.ts";
import { KeyId, type SessionId, type TeamId } from "../shared/ids.ts";
import { err, ok, type Result } from "../shared/result.ts";
import type { Principal } from "./auth.ts";
import { digest, newId, newSecret, sameDigest } from "./secrets.ts";

const TICKET_MS = 30_000;

type KeyRow = {
	key_id: KeyId;
	hash: string;
	name: string;
	scopes: string;
	created_at: number;
	created_by: string;
	expires_at: number | null;
	revoked_at: number | null;
};

// RPC types are computed by the compiler; named ones keep that from going deep.
export type KeyDto = z.output<typeof Key>;
export interface KeyRequest {
	name: string;
	scopes: Scope[];
	expiresInMs?: number | undefined;
}

/** A team's API keys, tickets and runner tokens: of each only a hash is kept. The tables are the team's (team-object.ts). */
export class Credentials {
	readonly #sql: SqlStorage;
	readonly #team: () => TeamId;

	constructor(sql: SqlStorage, team: () => TeamId) {
		this.#sql = sql;
		this.#team = team;
	}

	authenticateKey(keyId: KeyId, hash: string): Result<Principal, Problem> | null {
		const row = this.#sql.exec<KeyRow>("SELECT * FROM keys WHERE key_id = ?", keyId).toArray()[0];
		if (row === undefined || !sameDigest(row.hash, hash)) return null;
		if (row.revoked_at !== null || (row.expires_at !== null && row.expires_at <= Date.now())) return null;
		return ok({ team: this.#team(), actor: `key:${keyId}`, scopes: JSON.parse(row.scopes) as Scope[], keyId, expiresAt: row.expires_at });
	}

	/** Whether it counts still. */
	isGood(keyId: KeyId): boolean {
		const [row] = this.#sql.exec<KeyRow>("SELECT * FROM keys WHERE key_id = ?", keyId).toArray();
		return row !== undefined && row.revoked_at === null && (row.expires_at === null || row.expires_at > Date.now());
	}

	async createKey(request: KeyRequest, by: Principal): Promise<Result<KeyDto & { apiKey: string }, Problem>> {
		const more = request.scopes.filter((s) => !by.scopes.includes(s));
		if (more.length > 0) return err(problem("forbidden", `a key cannot have more than its maker: you lack ${more.join(", ")}`));
		const keyId = newId(KeyId, "key");
		const apiKey = `hpk_${this.#team()}_${keyId.slice(4)}_${newSecret()}`;
		const now = Date.now();
		const row: KeyRow = {
			key_id: keyId,
			hash: await digest(apiKey),
			name: request.name,
			scopes: JSON.stringify([...new Set(request.scopes)]),
			created_at: now,
			created_by: by.actor,
			expires_at: request.expiresInMs === undefined ? null : now + request.expiresInMs,
			revoked_at: null,
		};
		this.#sql.exec(
			"INSERT INTO keys (key_id, hash, name, scopes, created_at, created_by, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
			row.key_id,
			row.hash,
			row.name,
			row.scopes,
			row.created_at,
			row.created_by,
			row.expires_at,
		);
		return ok({ ...toKey(row), apiKey });
	}

	listKeys(): KeyDto[] {
		return this.#sql.exec<KeyRow>("SELECT * FROM keys ORDER BY created_at").toArray().map(toKey);
	}

	/** Ends the key and its tickets; answers the sessions that it has sockets to, which are still to be closed. */
	revokeKey(keyId: KeyId): { known: boolean; sessions: string[] } {
		const known =
			this.#sql.exec("UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE key_id = ?", Date.now(), keyId).rowsWritten > 0;
		this.#sql.exec("DELETE FROM tickets WHERE principal ->> 'keyId' = ?", keyId);
		const rows = this.#sql.exec<{ session_id: string }>("SELECT session_id FROM key_sockets WHERE key_id = ?", keyId).toArray();
		return { known, sessions: rows.map((row) => row.session_id) };
	}

	rememberSocket(keyId: KeyId, sessionId: SessionId): void {
		this.#sql.exec("INSERT OR IGNORE INTO key_sockets (key_id, session_id) VALUES (?, ?)", keyId, sessionId);
	}

	forgetSockets(keyId: KeyId): void {
		this.#sql.exec("DELETE FROM key_sockets WHERE key_id = ?", keyId);
	}

	async createTicket(sessionId: SessionId, by: Principal, origin: string | null): Promise<{ ticket: string; expiresAt: number }> {
		const now = Date.now();
		const ticket = `tkt_${this.#team()}_${newSecret()}`;
		const hash = await digest(ticket);
		this.#sql.exec("DELETE FROM tickets WHERE expires_at <= ?", now);
		this.#sql.exec(
			"INSERT INTO tickets (hash, session_id, principal, origin, expires_at) VALUES (?, ?, ?, ?, ?)",
			hash,
			sessionId,
			JSON.stringify(by),
			origin,
			now + TICKET_MS,
		);
		return { ticket, expiresAt: now + TICKET_MS };
	}

	/** The principal a ticket was made for. It is gone with the first try, right or wrong. */
	redeemTicket(hash: string, sessionId: SessionId, origin: string | null): Principal | null {
		const row = this.#sql
			.exec<{ session_id: string; principal: string; origin: string | null; expires_at: number }>(
				"DELETE FROM tickets WHERE hash = ? RETURNING session_id, principal, origin, expires_at",
				hash,
			)
			.toArray()[0];
		if (row === undefined || row.expires_at <= Date.now() || row.session_id !== sessionId || row.origin !== origin) return null;
		return JSON.parse(row.principal) as Principal;
	}

	async createRunnerToken(labels: Record<string, string>, expiresInMs: number): Promise<{ token: string; expiresAt: number }> {
		const token = `hpt_${this.#team()}_${newSecret()}`;
		const expiresAt = Date.now() + expiresInMs;
		const hash = await digest(token);
		this.#sql.exec("DELETE FROM runner_tokens WHERE expires_at <= ?", Date.now());
		this.#sql.exec("INSERT INTO runner_tokens (hash, labels, expires_at) VALUES (?, ?, ?)", hash, JSON.stringify(labels), expiresAt);
		return { token, expiresAt };
	}

	/** The labels (JSON) that the token gives, null if it is not valid. It is gone with the first try. */
	burnRunnerToken(hash: string): string | null {
		const token = this.#sql
			.exec<{ labels: string; expires_at: number }>("DELETE FROM runner_tokens WHERE hash = ? RETURNING labels, expires_at", hash)
			.toArray()[0];
		return token === undefined || token.expires_at <= Date.now() ? null : token.labels;
	}
}

function toKey(row: KeyRow): KeyDto {
	return {
		keyId: row.key_id,
		name: row.name,
		scopes: JSON.parse(row.scopes) as Scope[],
		createdAt: row.created_at,
		createdBy: row.created_by,
		expiresAt: row.expires_at,
		revokedAt: row.revoked_at,
	};
}
