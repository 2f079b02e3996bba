import type { Stats, Turn } from "../shared/api.ts";
import { byteLength, type LoggedEvent, type SessionEvent, type Usage } from "../shared/events.ts";
import { type ApprovalId, type Offset, offset } from "../shared/ids.ts";
import { FLUSH_AFTER_MS, MAX_ROW_BYTES } from "../shared/limits.ts";
import { migrate } from "./schema.ts";

/**
 * A session's log in its object's SQLite. Many events lie packed in one row, since rows are what Cloudflare charges for
 * and what costs an fsync. Events that are shown and not yet stored are the tail, in memory; `flush` stores them, and
 * must run in the same transaction as the state that belongs to them.
 *
 * Removal (LOG-8) takes whole rows from the front, within a flush. What is stored in all is counted as it is written, so that a
 * flush knows its size without looking; the age is known from the oldest row alone, which is looked at once in a life and once
 * after a removal. Of a bound that was reached an eighth is freed, so that this comes once in an eighth of it. Each removal
 * appends a `log_trimmed`, so the log is never empty and its first row says what is left. Such notices are removed only together
 * with what came before or after them, never for their own sake: a log that nobody writes to comes to rest as one of them.
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
	"CREATE INDEX turns_by_offset ON turns (after_offset);",
	// What the team is owed, in order: entries of its audit log, and rules that people made here. Deleted when it has them.
	"CREATE TABLE outbox (n INTEGER PRIMARY KEY AUTOINCREMENT, owed TEXT NOT NULL);",
];

/** How much a log may hold. A bound that is reached is kept to seven eighths. */
export interface Retention {
	maxBytes: number;
	/** Null: for ever. */
	maxAgeMs: number | null;
}
const KEPT = 7 / 8;
/** One removal takes some tens of milliseconds, in which a session does nothing else; the rest goes with the next ones. */
const MAX_REMOVAL_ROWS = 10_000;
const MAX_REMOVAL_BYTES = 32 * 1024 * 1024;
/** Rows that are read at once, where they are small. */
const MAX_BATCH_ROWS = 32;
const SMALL_BATCH = 64 * 1024;

interface Totals {
	events: number;
	bytes: number;
	processStarts: number;
	lastEventAt: number;
}

/** What changes with the log, in one row. */
interface Now<Beside> {
	totals: Totals;
	/** Bytes of the rows that are left. */
	kept: number;
	/** Where the approvals stand that nobody decided yet. */
	asked: Record<ApprovalId, Offset>;
	beside: Beside;
}

interface Removal {
	/** The last offset of the last row to go. */
	last: number;
	bytes: number;
	why: "size" | "age";
}

/** `Beside`: what is stored with the log in one transaction and one row, since each row written costs. */
export class EventLog<Beside> {
	readonly #sql: SqlStorage;
	#last = 0;
	#durable = 0;
	#first = 1;
	#tail: { logged: LoggedEvent; json: string; bytes: number }[] = [];
	#tailBytes = 0;
	#tailSince = 0;
	#totals: Totals = { events: 0, bytes: 0, processStarts: 0, lastEventAt: 0 };
	readonly #retention: Retention;
	#kept = 0;
	#asked: Record<ApprovalId, Offset> = {};
	/** When the newest event of the oldest row that is not a notice came; null if there is none, undefined if nobody looked. */
	#frontAt: number | null | undefined;

	constructor(sql: SqlStorage, retention: Retention) {
		this.#sql = sql;
		this.#retention = retention;
		migrate(sql, SCHEMA);
		this.reload();
	}

	/** Back to what is stored: at the start, and after a failed transaction. Answers what was stored beside the log, if anything was. */
	reload(): Beside | null {
		// Each by the key: min and max of two columns in one query would read every row.
		const ends = this.#sql
			.exec<{ first: number | null; last: number | null }>(
				"SELECT (SELECT min(first_offset) FROM log) AS first, (SELECT last_offset FROM log ORDER BY first_offset DESC LIMIT 1) AS last",
			)
			.one();
		this.#first = ends.first ?? 1;
		this.#last = this.#durable = ends.last ?? 0;
		this.#tail = [];
		this.#tailBytes = 0;
		this.#frontAt = undefined;
		const now = this.get<Partial<Now<Beside>>>("now");
		this.#totals = now?.totals ?? { events: 0, bytes: 0, processStarts: 0, lastEventAt: 0 };
		this.#asked = now?.asked ?? {};
		// Logs from before there was a retention did not count.
		this.#kept = now?.kept ?? this.#sql.exec<{ n: number }>("SELECT ifnull(sum(octet_length(events)), 0) AS n FROM log").one().n;
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

	/** When an event becomes too old, or null if none can. Reading it costs nothing but the first time. */
	get removalDueAt(): number | null {
		const { maxAgeMs } = this.#retention;
		if (maxAgeMs === null) return null;
		if (this.#frontAt === undefined) {
			this.#frontAt = null;
			for (const row of this.#fromFront())
				if (!row.isNotice) {
					this.#frontAt = row.newestAt;
					break;
				}
		}
		return this.#frontAt === null ? null : this.#frontAt + maxAgeMs;
	}
	/** Where the event stands that asked for this decision; null if it was decided. */
	asked(approvalId: ApprovalId): Offset | null {
		return this.#asked[approvalId] ?? null;
	}

	/** Gives the event its offset. It is in memory only until `flush`. */
	append(event: SessionEvent, now: number): LoggedEvent {
		const logged: LoggedEvent = { offset: offset(++this.#last), at: now, event };
		const json = JSON.stringify(logged);
		const bytes = byteLength(json);
		if (this.#tail.length === 0) this.#tailSince = now;
		this.#tail.push({ logged, json, bytes });
		this.#tailBytes += bytes;
		return logged;
	}

	isFlushDue(now: number): boolean {
		return this.#tailBytes >= MAX_ROW_BYTES || (this.#tail.length > 0 && now - this.#tailSince >= FLUSH_AFTER_MS);
	}

	/**
	 * Stores the tail, what follows from its events, and what belongs beside them, and removes what is over the bounds unless
	 * `keepAll`. Call inside a transaction; if that rolls back, `reload`.
	 */
	flush(beside: Beside, now: number, keepAll: boolean): void {
		const removal = keepAll ? null : this.#dueRemoval(now);
		if (removal !== null) this.append({ type: "log_trimmed", firstOffset: offset(removal.last + 1), why: removal.why }, now);
		if (this.#tail.length > 0) this.#storeTail();
		if (removal !== null) this.#remove(removal);
		this.put("now", { totals: this.#totals, kept: this.#kept, asked: this.#asked, beside } satisfies Now<Beside>);
	}

	#storeTail(): void {
		let row: string[] = [];
		let rowBytes = 0;
		let first = this.#durable + 1;
		const store = (last: number) => {
			this.#sql.exec("INSERT INTO log (first_offset, last_offset, events) VALUES (?, ?, ?)", first, last, `[${row.join(",")}]`);
			// Brackets and commas too, as they lie there.
			this.#kept += rowBytes + row.length + 1;
			row = [];
			rowBytes = 0;
			first = last + 1;
		};
		for (const { logged, json, bytes } of this.#tail) {
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
		// If there was nothing that could become too old, there may be now.
		if (this.#frontAt === null) this.#frontAt = undefined;
	}

	/** The rows that are to go, if a bound is reached. None of them is of the tail. */
	#dueRemoval(now: number): Removal | null {
		const { maxBytes, maxAgeMs } = this.#retention;
		const dueAt = this.removalDueAt;
		const tooOld = dueAt !== null && dueAt <= now;
		const tooLarge = this.#kept + this.#tailBytes > maxBytes;
		if (!tooOld && !tooLarge) return null;
		const oldest = tooOld && maxAgeMs !== null ? now - maxAgeMs * KEPT : Number.NEGATIVE_INFINITY;
		const largest = tooLarge ? maxBytes * KEPT - this.#tailBytes : Number.POSITIVE_INFINITY;
		const removal: Removal = { last: 0, bytes: 0, why: tooOld ? "age" : "size" };
		let isWorthIt = false;
		let rows = 0;
		for (const row of this.#fromFront()) {
			if (!row.isNotice && row.newestAt > oldest && this.#kept - removal.bytes <= largest) break;
			if (rows++ >= MAX_REMOVAL_ROWS || removal.bytes >= MAX_REMOVAL_BYTES) break;
			removal.last = row.last;
			removal.bytes += row.bytes;
			isWorthIt ||= !row.isNotice;
		}
		return isWorthIt ? removal : null;
	}

	#remove({ last, bytes }: Removal): void {
		this.#sql.exec("DELETE FROM log WHERE first_offset <= ?", last);
		// A prompt goes with its `input`, if its turn needs it no more. `after_offset` is the one before that.
		this.#sql.exec("UPDATE turns SET text = NULL WHERE after_offset < ? AND text IS NOT NULL AND ended_at IS NOT NULL", last);
		this.#first = last + 1;
		this.#kept -= bytes;
		this.#frontAt = undefined;
	}

	/** The stored rows, oldest first, without their events. Only the ages need those to be parsed, so only a log with a bound in age pays for it. */
	*#fromFront(): Generator<{ last: number; bytes: number; newestAt: number; isNotice: boolean }> {
		const newestAt = this.#retention.maxAgeMs === null ? "NULL" : "events ->> '$[#-1].at'";
		const rows = this.#rows<{ last: number; bytes: number; newest_at: number | null; is_notice: number }>(
			`last_offset AS last, octet_length(events) AS bytes, ${newestAt} AS newest_at,
				CASE WHEN first_offset = last_offset THEN events ->> '$[0].event.type' = 'log_trimmed' ELSE 0 END AS is_notice`,
			this.#first,
		);
		for (const { last, bytes, newest_at, is_notice } of rows)
			yield { last, bytes, newestAt: newest_at ?? Number.POSITIVE_INFINITY, isNotice: is_notice === 1 };
	}

	/**
	 * The stored rows from the one with this first offset on, in batches that grow while they are small: a caller that stops has not read much for
	 * nothing, and leaves no cursor open, which would lock the table and hold the database's journal.
	 */
	*#rows<Row extends { last: number; events?: string }>(columns: string, from: number): Generator<Row> {
		for (let first = from, limit = 2; ; ) {
			const rows = this.#sql
				.exec<Row & Record<string, SqlStorageValue>>(
					`SELECT ${columns} FROM log WHERE first_offset >= ? ORDER BY first_offset LIMIT ?`,
					first,
					limit,
				)
				.toArray();
			yield* rows;
			const last = rows.at(-1)?.last;
			if (last === undefined || rows.length < limit) return;
			first = last + 1;
			if (rows.reduce((sum, row) => sum + (row.events?.length ?? 0), 0) < SMALL_BATCH) limit = Math.min(2 * limit, MAX_BATCH_ROWS);
		}
	}

	/** Events after `after`, oldest first, at most `max.events` and some `max.bytes` (always one, if there is one). */
	read(after: number, max: { events: number; bytes: number }, durableOnly: boolean): LoggedEvent[] {
		const page: LoggedEvent[] = [];
		let bytes = 0;
		const take = (logged: LoggedEvent, size: number): boolean => {
			if (page.length >= max.events || (page.length > 0 && bytes + size > max.bytes)) return false;
			page.push(logged);
			bytes += size;
			return true;
		};
		if (after < this.#durable) {
			// From the row that holds the next event, found by the key, so that a page costs the same wherever it is.
			const { first } = this.#sql
				.exec<{ first: number | null }>("SELECT max(first_offset) AS first FROM log WHERE first_offset <= ?", after + 1)
				.one();
			for (const { events } of this.#rows<{ last: number; events: string }>("last_offset AS last, events", first ?? this.#first)) {
				const packed = JSON.parse(events) as LoggedEvent[];
				const each = events.length / Math.max(1, packed.length);
				for (const logged of packed) if (logged.offset > after && !take(logged, each)) return page;
			}
		}
		if (!durableOnly) {
			// The tail's offsets follow one another from `#durable` on.
			for (let i = Math.max(0, after - this.#durable); i < this.#tail.length; i++) {
				const waiting = this.#tail[i];
				if (waiting === undefined || !take(waiting.logged, waiting.bytes)) break;
			}
		}
		return page;
	}

	/** Keeps something for the team until `delivered`; numbered upwards for ever. Call inside the transaction of what it tells. */
	owe(owed: unknown): void {
		this.#sql.exec("INSERT INTO outbox (owed) VALUES (?)", JSON.stringify(owed));
	}

	/** What is owed, the oldest first. */
	owed<T>(limit: number): { n: number; owed: T }[] {
		const rows = this.#sql.exec<{ n: number; owed: string }>("SELECT n, owed FROM outbox ORDER BY n LIMIT ?", limit).toArray();
		return rows.map(({ n, owed }) => ({ n, owed: JSON.parse(owed) as T }));
	}

	delivered(upTo: number): void {
		this.#sql.exec("DELETE FROM outbox WHERE n <= ?", upTo);
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

	/** The turn that this client id stands for, if it was taken before. Its text is null if it is not kept any more. */
	turnOfClient(clientId: string): { turn: Turn; text: string | null } | null {
		const row = this.#sql.exec<TurnRow>("SELECT * FROM turns WHERE client_id = ?", clientId).toArray()[0];
		return row ? { turn: toTurn(row), text: row.text } : null;
	}

	/** Its text is null if the CLI began it, too. */
	turn(turnId: string): { turn: Turn; text: string | null } | null {
		const row = this.#sql.exec<TurnRow>("SELECT * FROM turns WHERE turn_id = ?", turnId).toArray()[0];
		return row ? { turn: toTurn(row), text: row.text } : null;
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
			case "approval_requested":
			case "question_asked":
				this.#asked[event.approvalId] = offset;
				break;
			case "approval_decided":
			case "approval_withdrawn":
				delete this.#asked[event.approvalId];
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
