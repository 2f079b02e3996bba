import {
	type AuditEntry,
	type AuditHead,
	AuditRecord,
	auditLine,
	auditText,
	canonicalJson,
	chain,
	type Detail,
	EMPTY_LOG,
} from "../shared/audit.ts";
import type { SessionId } from "../shared/ids.ts";
import type { TeamObject } from "./team-object.ts";

/** Of one page, in bytes of details and subjects; what crosses between objects is bounded, and so is a page's answer. */
const MAX_PAGE_UNITS = 2_000_000;
/** Hashed and written together. */
const SEALED_AT_ONCE = 200;
/** How long a failed attempt's like is only counted, and told with the next one after that. */
const AGGREGATE_MS = 60_000;
/** One login is noted this often for one principal and address. */
const LOGIN_MS = 3_600_000;

type Row = {
	n: number;
	at: number;
	actor: string;
	action: string;
	subject: string;
	detail: string;
	prev_hash: string | null;
	hash: string | null;
};

// RPC types are computed by the compiler; a named one keeps that from going deep.
export interface AuditSlice {
	records: AuditRecord[];
	head: AuditHead;
}

/**
 * A team's audit log: entries are added and never changed or removed. An entry is written in the transaction of what it tells of, at its place;
 * its hash follows at once (`seal`), since hashing is asynchronous. Nothing is shown before it is sealed. The tables are the team's (team-object.ts).
 */
export class AuditLog {
	readonly #sql: SqlStorage;
	#sealing: Promise<void> = Promise.resolve();

	constructor(sql: SqlStorage) {
		this.#sql = sql;
	}

	/** Adds an entry; whoever calls sees to it that `seal` is called afterwards. */
	note(entry: AuditEntry): void {
		const { at, actor, action, subject, detail } = entry;
		this.#sql.exec(
			"INSERT INTO audit (n, at, actor, action, subject, detail) SELECT coalesce(max(n), 0) + 1, ?, ?, ?, ?, ? FROM audit",
			at,
			auditText(actor).slice(0, 256),
			action,
			auditText(subject),
			canonicalJson(fitting(detail)),
		);
	}

	/**
	 * Adds what a session's outbox hands over, numbered from `fromN`; each once, however often it is handed over.
	 * Answers the last number that is in the log: the outbox may forget up to there.
	 */
	take(sessionId: SessionId, fromN: number, entries: readonly AuditEntry[]): number {
		const [known] = this.#sql.exec<{ taken: number }>("SELECT taken FROM audit_sources WHERE session_id = ?", sessionId).toArray();
		const taken = known?.taken ?? 0;
		for (const entry of entries.slice(Math.max(0, taken + 1 - fromN))) this.note(entry);
		const last = Math.max(taken, fromN + entries.length - 1);
		if (last > taken)
			this.#sql.exec(
				"INSERT INTO audit_sources (session_id, taken) VALUES (?1, ?2) ON CONFLICT (session_id) DO UPDATE SET taken = ?2",
				sessionId,
				last,
			);
		return last;
	}

	/** Adds an entry for what comes in crowds: the first at once, what follows within a minute only as a count in the next. */
	noteCounted(entry: AuditEntry, count: number): void {
		const key = canonicalJson([entry.action, entry.actor, entry.subject]);
		const [known] = this.#sql
			.exec<{ at: number; uncounted: number }>("SELECT at, uncounted FROM audit_counts WHERE key = ?", key)
			.toArray();
		if (known !== undefined && entry.at - known.at < AGGREGATE_MS) {
			this.#sql.exec("UPDATE audit_counts SET uncounted = uncounted + ? WHERE key = ?", count, key);
			return;
		}
		this.note({ ...entry, detail: { ...entry.detail, count: count + (known?.uncounted ?? 0) } });
		this.#sql.exec("DELETE FROM audit_counts WHERE at < ?", entry.at - 24 * LOGIN_MS);
		this.#sql.exec("INSERT OR REPLACE INTO audit_counts (key, at, uncounted) VALUES (?, ?, 0)", key, entry.at);
	}

	/** Adds a login, unless this principal came from this address within the hour. */
	noteLogin(entry: AuditEntry): void {
		const key = canonicalJson([entry.action, entry.actor, entry.subject]);
		const [known] = this.#sql.exec<{ at: number }>("SELECT at FROM audit_counts WHERE key = ?", key).toArray();
		if (known !== undefined && entry.at - known.at < LOGIN_MS) return;
		this.note(entry);
		this.#sql.exec("DELETE FROM audit_counts WHERE at < ?", entry.at - 24 * LOGIN_MS);
		this.#sql.exec("INSERT OR REPLACE INTO audit_counts (key, at, uncounted) VALUES (?, ?, 0)", key, entry.at);
	}

	/** Gives every entry its hash, in order, one caller after the other: also those of a life that ended before it came to that. */
	seal(): Promise<void> {
		const sealed = this.#sealing.then(() => this.#seal());
		// The next caller tries again, whatever became of this one.
		this.#sealing = sealed.catch(() => {});
		return sealed;
	}

	async #seal(): Promise<void> {
		for (;;) {
			const rows = this.#sql.exec<Row>("SELECT * FROM audit WHERE hash IS NULL ORDER BY n LIMIT ?", SEALED_AT_ONCE).toArray();
			if (rows.length === 0) return;
			const made: AuditRecord[] = [];
			for (const row of rows) made.push(await chain(made.at(-1) ?? this.head, toEntry(row)));
			for (const { n, prevHash, hash } of made)
				this.#sql.exec("UPDATE audit SET prev_hash = ?, hash = ? WHERE n = ? AND hash IS NULL", prevHash, hash, n);
		}
	}

	/** Of what is sealed. */
	get head(): AuditHead {
		const [row] = this.#sql
			.exec<{ n: number; hash: string }>("SELECT n, hash FROM audit WHERE hash IS NOT NULL ORDER BY n DESC LIMIT 1")
			.toArray();
		return row ?? EMPTY_LOG;
	}

	/** What is sealed after record `after`, oldest first, up to `limit` records and some 2 MB. */
	read(after: number, limit: number): AuditRecord[] {
		const records: AuditRecord[] = [];
		let units = 0;
		for (const row of this.#sql.exec<Row>("SELECT * FROM audit WHERE n > ? AND hash IS NOT NULL ORDER BY n LIMIT ?", after, limit)) {
			units += row.subject.length + row.detail.length;
			if (units > MAX_PAGE_UNITS && records.length > 0) break;
			records.push({ n: row.n, ...toEntry(row), prevHash: row.prev_hash ?? "", hash: row.hash ?? "" });
		}
		return records;
	}
}

// Only entries that fit are stored, so they are read back as written.
const toEntry = ({ at, actor, action, subject, detail }: Row): AuditEntry =>
	({ at, actor, action, subject, detail: JSON.parse(detail) as Detail }) as AuditEntry;

const DetailOf = AuditRecord.shape.detail;

/** A detail that an export's reader will take; what does not fit is cut, so that an entry is never lost for its size. */
function fitting(detail: Detail): Detail {
	const cut: Detail = {};
	for (const [name, value] of Object.entries(detail)) {
		if (typeof value === "string") cut[name] = auditText(value);
		else if (Array.isArray(value)) cut[name] = value.slice(0, 64).map(auditText);
		else if (typeof value === "object" && value !== null)
			cut[name] = Object.fromEntries(Object.entries(value).map(([k, v]) => [auditText(k).slice(0, 128), auditText(v)]));
		else cut[name] = value;
	}
	const parsed = DetailOf.safeParse(cut);
	return parsed.success ? parsed.data : { unfit: auditText(canonicalJson(cut)) };
}

/** All records after `after` up to the log's present end, as lines, page by page as they are taken. */
export async function auditExport(team: DurableObjectStub<TeamObject>, after: number): Promise<ReadableStream<Uint8Array>> {
	const read = (from: number): Promise<AuditSlice> => team.readAudit(from, 500);
	const first = await read(after);
	// What comes meanwhile is the next export's: otherwise this one would never end on a busy team.
	const end = first.head.n;
	let page: AuditSlice | null = first;
	let last = after;
	const encoder = new TextEncoder();
	return new ReadableStream<Uint8Array>({
		async pull(controller) {
			const { records } = page ?? (await read(last));
			page = null;
			const wanted = records.filter((r) => r.n <= end);
			last = wanted.at(-1)?.n ?? end;
			if (wanted.length > 0) controller.enqueue(encoder.encode(wanted.map((r) => `${auditLine(r)}\n`).join("")));
			if (last >= end) controller.close();
		},
	});
}
