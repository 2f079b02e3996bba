import { z } from "zod";
import { parse } from "./codec.ts";
import { err, ok, type Result } from "./result.ts";

/** The audit log's entries, the chain that holds them together, and its proof. Works in the Worker, in Node and in browsers. */

export const AuditAction = z.enum([
	/** A tool call was allowed or denied, whoever did it (`layer`). */
	"tool_call.decided",
	/** A prompt was flagged or blocked. */
	"prompt.judged",
	"approval.asked",
	/** An answer came, be it the first, which counted, or a later one, which did not (`counted`). */
	"approval.answered",
	/** The first call of an hour, for one credential from one address. */
	"login",
	"login.failed",
	"socket.opened",
	"credential.in_url",
	"rate_limit.hit",
	"key.made",
	"key.revoked",
	"runner_token.made",
	"runner.enrolled",
	"runner.drained",
	"runner.revoked",
	"runner.replaced",
	"session.opened",
	"session.refused",
	/** A runner was given the session. */
	"session.placed",
	"session.closed",
	"policy.changed",
	"bypass.made",
	"bypass.used",
	"bypass.ended",
]);
export type AuditAction = z.infer<typeof AuditAction>;

/** What decided a tool call. */
export const Layer = z.enum(["runner", "gateway", "person", "jail", "timeout"]);
export type Layer = z.infer<typeof Layer>;

/** Units of UTF-16 of a subject that are kept, and of any text of a detail. */
const MAX_TEXT = 4096;
/** Details are flat: what needs more is in the session's log. */
const DetailValue = z.union([
	z.string().max(MAX_TEXT),
	z.number(),
	z.boolean(),
	z.null(),
	z.array(z.string().max(MAX_TEXT)).max(64),
	z.record(z.string().max(128), z.string().max(MAX_TEXT)),
]);
const Detail = z.record(z.string().max(64), DetailValue);
export type Detail = z.infer<typeof Detail>;

/** What happened, before it has its place in the chain. */
export const AuditEntry = z.object({
	/** ms since the epoch. */
	at: z.int().nonnegative(),
	/** Who did it, as the log names them (`key:key_…`, `access:ann@example.com`), a runner's id, or `gateway`. */
	actor: z.string().max(256),
	action: AuditAction,
	/** What it was done to: a session's id, a key's, the command of a tool call. Never a secret. */
	subject: z.string().max(MAX_TEXT),
	detail: Detail,
});
export type AuditEntry = z.infer<typeof AuditEntry>;

const Hash = z.string().regex(/^[0-9a-f]{64}$/, "expected 64 hex digits");

/** An entry in its place: 1, 2, 3 … without gaps, each with the hash of the one before it. */
export const AuditRecord = z.strictObject({ n: z.int().positive(), ...AuditEntry.shape, prevHash: Hash, hash: Hash });
export type AuditRecord = z.infer<typeof AuditRecord>;

/** The end of a log: whoever keeps it can later prove that nothing before it was changed or cut off. */
export interface AuditHead {
	n: number;
	hash: string;
}

/** Before the first record. */
export const EMPTY_LOG: AuditHead = { n: 0, hash: "0".repeat(64) };

/** A person's view of a long command: whole characters, at most 4,096 units, the cut told. */
export function auditText(text: string): string {
	const whole = text.toWellFormed();
	return whole.length <= MAX_TEXT ? whole : `${whole.slice(0, MAX_TEXT - 1).toWellFormed()}…`;
}

/** A tool call's decision as an entry; for a session's object, which decides. */
export function toolCallDecided(decision: {
	at: number;
	/** Who answered; `gateway` or a runner's id where no person did. */
	by: string;
	sessionId: string;
	turnId: string | null;
	tool: string;
	/** The command, path or host. Secrets in it are the caller's to redact. */
	subject: string;
	verdict: "allow" | "ask" | "deny";
	/** Null: no rule objected. */
	rule: string | null;
	layer: Layer;
	policyVersion: number;
	reason?: string | undefined;
	/** `log`: the policy only watches, so that it ran whatever the verdict says. */
	mode?: "enforce" | "log" | undefined;
}): AuditEntry {
	const { at, by, subject, reason, mode, tool, ...rest } = decision;
	return {
		at,
		actor: auditText(by).slice(0, 256),
		action: "tool_call.decided",
		subject: auditText(subject),
		detail: {
			...rest,
			tool: auditText(tool),
			...(reason === undefined ? {} : { reason: auditText(reason) }),
			...(mode === undefined ? {} : { mode }),
		},
	};
}

/** JSON with sorted keys and without blanks: one text for one value. */
export function canonicalJson(value: unknown): string {
	if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
	if (typeof value !== "object" || value === null) return JSON.stringify(value);
	const fields = Object.entries(value).filter(([, v]) => v !== undefined);
	// By UTF-16 units, as RFC 8785 has it.
	fields.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
	return `{${fields.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(",")}}`;
}

/** A record as a line of an export, without its newline. No other spelling of it is taken. */
export const auditLine = (record: AuditRecord): string => canonicalJson(record);

/** Puts an entry behind `head`. Its hash covers every field but itself. */
export async function chain(head: AuditHead, entry: AuditEntry): Promise<AuditRecord> {
	const record = { n: head.n + 1, ...entry, prevHash: head.hash };
	return { ...record, hash: await sha256(canonicalJson(record)) };
}

export interface BrokenChain {
	/** Of the file, from 1. */
	line: number;
	why: string;
}

/**
 * Proves an export line by line: it finds the first one that was changed by as little as a byte, left out, moved or put in. What it
 * cannot see is a beginning of the log alone (its end cut off) and a log made anew from the start; both show against a head kept elsewhere.
 */
export class ChainVerifier {
	#head: AuditHead;
	#line = 0;

	/** `after`: where the export begins, if it is not a whole one. */
	constructor(after: AuditHead = EMPTY_LOG) {
		this.#head = after;
	}

	/** The last record that was proven. */
	get head(): AuditHead {
		return this.#head;
	}

	/** One line without its newline. After an error nothing more is known. */
	async push(line: string): Promise<Result<AuditRecord, BrokenChain>> {
		this.#line++;
		const broken = (why: string): Result<never, BrokenChain> => err({ line: this.#line, why });
		const json = parse(line, 1024 * 1024);
		if (!json.ok) return broken(json.error.detail);
		const parsed = AuditRecord.safeParse(json.value);
		if (!parsed.success) return broken("this is no record of an audit log");
		const record = parsed.data;
		if (auditLine(record) !== line) return broken(`record ${record.n} is not written as the gateway writes it: it was changed`);
		const next = this.#head.n + 1;
		if (record.n > next)
			return broken(next === record.n - 1 ? `record ${next} is missing` : `records ${next} to ${record.n - 1} are missing`);
		if (record.n < next) return broken(`record ${record.n} is out of its place: ${next} was due`);
		const { hash, ...hashed } = record;
		if ((await sha256(canonicalJson(hashed))) !== hash) return broken(`record ${record.n} does not fit its hash: it was changed`);
		if (record.prevHash !== this.#head.hash)
			return broken(`record ${record.n} does not follow the record before it: one of the two was replaced`);
		this.#head = { n: record.n, hash };
		return ok(record);
	}
}

async function sha256(text: string): Promise<string> {
	const hash = new Uint8Array(await subtle().digest("SHA-256", utf8(text)));
	return [...hash].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** Web Crypto, which every runtime has; named here since a pure file is compiled with the types of none. */
interface WebDigest {
	digest(algorithm: "SHA-256", bytes: Uint8Array): Promise<ArrayBuffer>;
}
const subtle = (): WebDigest => (globalThis as unknown as { crypto: { subtle: WebDigest } }).crypto.subtle;
const utf8 = (text: string): Uint8Array => {
	const { TextEncoder } = globalThis as unknown as { TextEncoder: new () => { encode(text: string): Uint8Array } };
	return new TextEncoder().encode(text);
};
