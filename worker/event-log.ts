import type { Stats, Turn } from "../shared/api.ts";
import { byteLength, type LoggedEvent, type SessionEvent, type Usage } from "../shared/events.ts";
import { type Offset, offset } from "../shared/ids.ts";
import { FLUSH_AFTER_MS, MAX_PAGE_BYTES, MAX_ROW_BYTES } from "../shared/limits.ts";
import { migrate } from "./schema.ts";

/**
 * A session's log in its object's SQLite. Many events lie packed in one row, since rows are what Cloudflare charges for
 * and what costs an fsync. Events that are shown and not yet stored are the tail, in memory; `flush` stores them, and
 * must run in the same transaction as the state that belongs to them.
 */
const SCHEMA = [
	`
CREATE TABLE IF NOT EXISTS log (
	first_offset INTEGER PRIMARY KEY,  -- offset of the row's first event
	last_offset  INTEGER NOT NULL,     -- of its last
	events       TEXT NOT NULL         -- JSON array of LoggedEvent
);
CREATE TABLE IF NOT EXISTS turns (
	turn_id      TEXT PRIMARY KEY,
	client_id    TEXT UNIQUE,          -- null: the CLI began it
	text         TEXT,                 -- the prompt
	accepted_at  INTEGER NOT NULL,     -- ms since the epoch, as all times
	after_offset INTEGER NOT NULL,     -- the log's last offset before it
	started_at   INTEGER,
	ended_at     INTEGER,
	stop_reason  TEXT,
	error        TEXT,                 -- JSON {code, detail}
	usage        TEXT                  -- JSON Usage
);
CREATE TABLE IF NOT EXISTS kv (
	key   TEXT PRIMARY KEY,            -- 'meta', written once; 'now', all that changes with the log, in one row
	value TEXT NOT NULL                -- JSON
);
`,
];

interface Totals {
	events: number;
	bytes: number;
	processStarts: number;
	lastEventAt: number;
}

/** `Beside`: what is stored with the log in one transaction and one row, since each row written costs. */
export class EventLog<Beside> {
	readonly #sql: SqlStorage;
	#last = 0;
	#durable = 0;
	#first = 1;
	#tail: LoggedEvent[] = [];
	#tailBytes = 0;
	#tailSince = 0;
	#totals: Totals = { events: 0, bytes: 0, processStarts: 0, lastEventAt: 0 };

	constructor(sql: SqlStorage) {
		this.#sql = sql;
		migrate(sql, SCHEMA);
		this.reload();
	}

	/** Back to what is stored: at the start, and after a failed transaction. Answers what was stored beside the log, if anything was. */
	reload(): Beside | null {
		const ends = this.#sql
			.exec<{ first: number | null; last: number | null }>("SELECT min(first_offset) AS first, max(last_offset) AS last FROM log")
			.one();
		this.#first = ends.first ?? 1;
		this.#last = this.#durable = ends.last ?? 0;
		this.#tail = [];
		this.#tailBytes = 0;
		const now = this.get<{ totals: Totals; beside: Beside }>("now");
		this.#totals = now?.totals ?? { events: 0, bytes: 0, processStarts: 0, lastEventAt: 0 };
		return now?.beside ?? null;
	}

	/** The first offset that is left. */
	get firstOffset(): Offset {
		return offset(this.#first);
	}
	get lastOffset(): Offset {
		return offset(this.#last);
	}
	/** Up to here nothing can be lost. */
	get durableOffset(): Offset {
		return offset(this.#durable);
	}
	/** When the tail must be stored at the latest, or null if there is none. */
	get flushDueAt(): number | null {
		return this.#tail.length > 0 ? this.#tailSince + FLUSH_AFTER_MS : null;
	}

	/** Gives the event its offset. It is in memory only until `flush`. */
	append(event: SessionEvent, now: number): LoggedEvent {
		const logged: LoggedEvent = { offset: offset(++this.#last), at: now, event };
		if (this.#tail.length === 0) this.#tailSince = now;
		this.#tail.push(logged);
		this.#tailBytes += JSON.stringify(logged).length;
		return logged;
	}

	isFlushDue(now: number): boolean {
		return this.#tailBytes >= MAX_ROW_BYTES || (this.#tail.length > 0 && now - this.#tailSince >= FLUSH_AFTER_MS);
	}

	/** Stores the tail, what follows from its events, and what belongs beside them. Call inside a transaction; if that rolls back, `reload`. */
	flush(beside: Beside): void {
		if (this.#tail.length > 0) this.#storeTail();
		this.put("now", { totals: this.#totals, beside });
	}

	#storeTail(): void {
		let row: string[] = [];
		let rowBytes = 0;
		let first = this.#durable + 1;
		const store = (last: number) => {
			this.#sql.exec("INSERT INTO log (first_offset, last_offset, events) VALUES (?, ?, ?)", first, last, `[${row.join(",")}]`);
			row = [];
			rowBytes = 0;
			first = last + 1;
		};
		for (const logged of this.#tail) {
			const json = JSON.stringify(logged);
			const bytes = byteLength(json);
			if (row.length > 0 && rowBytes + bytes > MAX_ROW_BYTES) store(logged.offset - 1);
			row.push(json);
			rowBytes += bytes;
			this.#totals.events += 1;
			this.#totals.bytes += bytes;
			this.#totals.lastEventAt = logged.at;
			this.#project(logged);
		}
		store(this.#last);
		this.#durable = this.#last;
		this.#tail = [];
		this.#tailBytes = 0;
	}

	/** Events after `after`, oldest first, at most `limit` and some 512 KiB (always one, if there is one). */
	read(after: number, limit: number, durableOnly: boolean): LoggedEvent[] {
		const page: LoggedEvent[] = [];
		let bytes = 0;
		const take = (logged: LoggedEvent, size: number): boolean => {
			if (logged.offset <= after) return true;
			if (page.length >= limit || (page.length > 0 && bytes + size > MAX_PAGE_BYTES)) return false;
			page.push(logged);
			bytes += size;
			return true;
		};
		if (after < this.#durable) {
			const rows = this.#sql.exec<{ events: string }>("SELECT events FROM log WHERE last_offset > ? ORDER BY first_offset", after);
			for (const { events } of rows) {
				const packed = JSON.parse(events) as LoggedEvent[];
				const each = events.length / Math.max(1, packed.length);
				for (const logged of packed) if (!take(logged, each)) return page;
			}
		}
		if (!durableOnly) {
			const each = this.#tailBytes / Math.max(1, this.#tail.length);
			for (const logged of this.#tail) if (!take(logged, each)) return page;
		}
		return page;
	}

	get<T>(key: string): T | null {
		const row = this.#sql.exec<{ value: string }>("SELECT value FROM kv WHERE key = ?", key).toArray()[0];
		return row ? (JSON.parse(row.value) as T) : null;
	}

	put(key: string, value: unknown): void {
		this.#sql.exec(
			"INSERT INTO kv (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
			key,
			JSON.stringify(value),
		);
	}

	/** The turn that this client id stands for, if it was taken before. */
	turnOfClient(clientId: string): { turn: Turn; text: string } | null {
		const row = this.#sql.exec<TurnRow>("SELECT * FROM turns WHERE client_id = ?", clientId).toArray()[0];
		return row ? { turn: toTurn(row), text: row.text ?? "" } : null;
	}

	turn(turnId: string): { turn: Turn; text: string } | null {
		const row = this.#sql.exec<TurnRow>("SELECT * FROM turns WHERE turn_id = ?", turnId).toArray()[0];
		return row ? { turn: toTurn(row), text: row.text ?? "" } : null;
	}

	/** Newest first, before `cursor` (an `after_offset`). */
	turns(limit: number, cursor: number | null): Turn[] {
		return this.#sql
			.exec<TurnRow>(
				"SELECT * FROM turns WHERE after_offset < ? ORDER BY after_offset DESC LIMIT ?",
				cursor ?? Number.MAX_SAFE_INTEGER,
				limit,
			)
			.toArray()
			.map(toTurn);
	}

	stats(): Omit<Stats, "sessionId" | "createdAt"> {
		const t = this.#sql
			.exec<Record<string, number | null>>(
				`SELECT count(client_id) AS accepted, count(ended_at) AS ended, sum(stop_reason = 'failed') AS failed, sum(stop_reason = 'cancelled') AS cancelled,
					sum(usage ->> 'inputTokens') AS input, sum(usage ->> 'outputTokens') AS output, sum(usage ->> 'cacheReadTokens') AS cache_read,
					sum(usage ->> 'cacheWriteTokens') AS cache_write, sum(usage ->> 'costUsd') AS cost, sum(ended_at - started_at) AS turn_ms FROM turns`,
			)
			.one();
		return {
			turns: { accepted: t.accepted ?? 0, ended: t.ended ?? 0, failed: t.failed ?? 0, cancelled: t.cancelled ?? 0 },
			events: this.#totals.events,
			bytes: this.#totals.bytes,
			tokens: {
				inputTokens: t.input ?? 0,
				outputTokens: t.output ?? 0,
				cacheReadTokens: t.cache_read ?? 0,
				cacheWriteTokens: t.cache_write ?? 0,
			},
			costUsd: t.cost ?? null,
			processStarts: this.#totals.processStarts,
			lastEventAt: this.#totals.lastEventAt,
			turnMs: t.turn_ms ?? 0,
		};
	}

	/** What the turns table and the totals know is made from events, here and nowhere else. */
	#project({ offset, at, event }: LoggedEvent): void {
		switch (event.type) {
			case "input":
				this.#sql.exec(
					"INSERT INTO turns (turn_id, client_id, text, accepted_at, after_offset) VALUES (?, ?, ?, ?, ?)",
					event.turnId,
					event.clientId,
					event.text,
					at,
					offset - 1,
				);
				break;
			case "turn_started":
				if (event.origin === "cli")
					this.#sql.exec("INSERT OR IGNORE INTO turns (turn_id, accepted_at, after_offset) VALUES (?, ?, ?)", event.turnId, at, offset - 1);
				this.#sql.exec("UPDATE turns SET started_at = ? WHERE turn_id = ?", at, event.turnId);
				break;
			case "usage": {
				const { type: _, turnId, ...usage } = event;
				this.#sql.exec("UPDATE turns SET usage = ? WHERE turn_id = ?", JSON.stringify(usage satisfies Usage), turnId);
				break;
			}
			case "turn_ended":
				this.#sql.exec(
					"UPDATE turns SET ended_at = ?, stop_reason = ?, error = ? WHERE turn_id = ?",
					at,
					event.stopReason,
					event.error ? JSON.stringify(event.error) : null,
					event.turnId,
				);
				break;
			case "process_state":
				// A process is told of once with its pid; later events of the same state add to what is known of it.
				if (event.state === "starting" && event.pid !== undefined) this.#totals.processStarts += 1;
				break;
			default:
				break;
		}
	}
}

type TurnRow = {
	turn_id: string;
	client_id: string | null;
	text: string | null;
	accepted_at: number;
	after_offset: number;
	started_at: number | null;
	ended_at: number | null;
	stop_reason: string | null;
	error: string | null;
	usage: string | null;
};

function toTurn(row: TurnRow): Turn {
	// The rows were written from checked events by `#project`, so they are read back without checking.
	return {
		turnId: row.turn_id,
		clientId: row.client_id,
		state: row.ended_at !== null ? "ended" : row.started_at !== null ? "running" : "waiting",
		// Only the session's state knows; see `whyWaits`.
		why: null,
		stopReason: row.stop_reason,
		error: row.error === null ? null : JSON.parse(row.error),
		acceptedAt: row.accepted_at,
		startedAt: row.started_at,
		endedAt: row.ended_at,
		usage: row.usage === null ? null : JSON.parse(row.usage),
		afterOffset: row.after_offset,
	} as Turn;
}
