import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import type { Command } from "commander";
import { type AuditHead, type AuditRecord, ChainVerifier, EMPTY_LOG } from "../../shared/audit.ts";
import {
	action,
	type ConnectionOptions,
	connect,
	EXIT,
	jsonText,
	printJson,
	UsageError,
	wholeNumber,
	withConnection,
} from "./connection.ts";
import { neutralise } from "./screen.ts";

/** A record is far smaller; what is longer is none. */
const MAX_LINE_BYTES = 1024 * 1024;
/** `tail --follow` asks this often. */
const ASK_EVERY_MS = 2_000;
const NEWLINE = 10;

interface ExportOptions extends ConnectionOptions {
	out?: string;
	after?: string;
}
interface VerifyOptions extends ConnectionOptions {
	head?: string;
	after?: string;
	online?: boolean;
	json?: boolean;
}
interface TailOptions extends ConnectionOptions {
	lines?: string;
	follow?: boolean;
	json?: boolean;
}

export function register(program: Command): void {
	const audit = program.command("audit").description("The team's audit log: export it, prove it, read its end");
	audit.addHelpText(
		"after",
		`
Examples:
  hotplex audit export --out audit.jsonl      (the head that it prints proves the file later)
  hotplex audit verify audit.jsonl --head 912:3f6c…
  hotplex audit export --after 912 --out more.jsonl && hotplex audit verify more.jsonl --after 912:3f6c…
  hotplex audit tail --follow`,
	);

	withConnection(audit.command("export"))
		.description("All records up to now, a line each; the head on stderr: keep it elsewhere")
		.option("--out <file>", "into this file (default: stdout)")
		.option("--after <n>", "only what comes after this record")
		.action(
			action(async (options: ExportOptions) => {
				const after = wholeNumber("--after", options.after) ?? 0;
				const to = options.out === undefined ? process.stdout : createWriteStream(options.out, { mode: 0o600 });
				if (options.out !== undefined) await once(to, "open");
				const verifier = new LastLine();
				for await (const chunk of connect(options).auditExport(after)) {
					verifier.push(chunk);
					if (!to.write(chunk)) await once(to, "drain");
				}
				if (options.out !== undefined)
					await new Promise<void>((resolve, reject) => to.end((error?: Error | null) => (error ? reject(error) : resolve())));
				const last = verifier.record();
				process.stderr.write(last === null ? "no records\n" : `up to record ${last.n}; head ${last.n}:${last.hash}\n`);
			}),
		);

	withConnection(audit.command("verify"))
		.argument("<file>", "an export; - for stdin")
		.description("Prove that nothing of an export was changed, left out or put in; names the first line that is wrong")
		.option("--head <n:hash>", "the head that was noted when it was exported: that record must be in the file, or its end was cut off")
		.option("--after <n:hash>", "the head of the export that this one goes on from (default: it begins with the first record)")
		.option("--online", "also compare with the gateway: it must have the file's last record as it is here")
		.option("--json", "print one JSON document")
		.addHelpText("after", "\nExit codes: 0 it is whole, 1 it is not")
		.action(
			action(async (path: string, options: VerifyOptions) => {
				const from = options.after === undefined ? EMPTY_LOG : headFrom("--after", options.after);
				const head = options.head === undefined ? null : headFrom("--head", options.head);
				const found = await verify(path, from, head);
				const wrong = found.wrong ?? (await compare(found, head, options));
				if (wrong !== null) process.exitCode = EXIT.failed;
				if (options.json) return printJson({ ok: wrong === null, ...found.head, ...(wrong === null ? {} : { wrong }) });
				process.stdout.write(
					wrong === null
						? `${path}: records ${from.n + 1} to ${found.head.n} are as they were written; head ${found.head.n}:${found.head.hash}\n`
						: `${path}: ${neutralise(wrong)}\n`,
				);
			}),
		);

	withConnection(audit.command("tail"))
		.description("The last records, for people")
		.option("--lines <n>", "how many", "20")
		.option("--follow", "go on with what comes")
		.option("--json", "a JSON record a line")
		.action(
			action(async (options: TailOptions) => {
				const client = connect(options);
				const { head } = await client.audit({ after: Number.MAX_SAFE_INTEGER, limit: 1 });
				let after = Math.max(0, head.n - (wholeNumber("--lines", options.lines) ?? 20));
				for (;;) {
					const { data, nextCursor } = await client.audit({ after, limit: 1000 });
					for (const record of data) process.stdout.write(`${options.json ? jsonText(record) : inWords(record)}\n`);
					after = data.at(-1)?.n ?? after;
					if (nextCursor !== null) continue;
					if (!options.follow) return;
					await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
				}
			}),
		);
}

function inWords({ at, actor, action: what, subject, detail }: AuditRecord): string {
	const more = Object.entries(detail).filter(([, value]) => value !== null);
	const text = [
		new Date(at).toISOString(),
		actor,
		what,
		subject,
		...more.map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`),
	];
	return neutralise(text.filter((word) => word !== "").join("  ")).replaceAll("\n", " ");
}

function headFrom(flag: string, text: string): AuditHead {
	const [, n, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
	if (n === undefined || hash === undefined)
		throw new UsageError(`${flag} ${text}: expected a record's number and hash, as an export tells them: 912:3f6c…`);
	return { n: Number(n), hash };
}

interface Found {
	head: AuditHead;
	/** The first thing that is wrong, with its line. */
	wrong: string | null;
}

async function verify(path: string, after: AuditHead, noted: AuditHead | null): Promise<Found> {
	const verifier = new ChainVerifier(after);
	// A byte that is no UTF-8 would otherwise pass for the character that stands for it.
	const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
	let line = 0;
	for await (const bytes of linesOf(path)) {
		line++;
		const at = (why: string): Found => ({ head: verifier.head, wrong: `line ${line}: ${why}` });
		if (bytes === "cut") return at("the file ends in the middle of a record");
		if (bytes === "long") return at("this is no record of an audit log");
		let text: string;
		try {
			text = decoder.decode(bytes);
		} catch {
			return at("this is no UTF-8: a byte of it was changed");
		}
		const result = await verifier.push(text);
		if (!result.ok) return at(result.error.why);
		if (result.value.n === noted?.n && result.value.hash !== noted.hash)
			return at(`record ${noted.n} is another one than was noted: the log was made anew`);
	}
	return { head: verifier.head, wrong: null };
}

/** What shows only beside something that is kept elsewhere. */
async function compare({ head }: Found, noted: AuditHead | null, options: VerifyOptions): Promise<string | null> {
	if (noted !== null && noted.n > head.n) return `the file ends at record ${head.n}, and had ${noted.n} of them: its end was cut off`;
	if (!options.online || head.n === 0) return null;
	const page = await connect(options).audit({ after: head.n - 1, limit: 2 });
	const [same, next] = page.data;
	if (same?.hash !== head.hash) return `the gateway has another record ${head.n}: one of the two logs was made anew`;
	if (next !== undefined)
		process.stderr.write(
			`the gateway's log goes on to record ${page.head.n}; record ${next.n} is of ${new Date(next.at).toISOString()}: if the file was exported after that, its end was cut off\n`,
		);
	return null;
}

/** Lines without their newlines; `cut`: the last one has none. */
async function* linesOf(path: string): AsyncGenerator<Uint8Array | "cut" | "long"> {
	let rest = Buffer.alloc(0);
	try {
		for await (const chunk of (path === "-" ? process.stdin : createReadStream(path)) as AsyncIterable<Buffer>) {
			let from = 0;
			for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
				const piece = chunk.subarray(from, end);
				yield rest.length === 0 ? piece : Buffer.concat([rest, piece]);
				rest = Buffer.alloc(0);
				from = end + 1;
			}
			rest = Buffer.concat([rest, chunk.subarray(from)]);
			if (rest.length > MAX_LINE_BYTES) return yield "long";
		}
	} catch (cause) {
		throw new UsageError(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
	}
	if (rest.length > 0) yield "cut";
}

/** Keeps the last whole line of what goes by. */
class LastLine {
	#rest = "";
	#last = "";
	readonly #decoder = new TextDecoder();

	push(chunk: Uint8Array): void {
		const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split("\n");
		this.#rest = lines.pop() ?? "";
		this.#last = lines.at(-1) ?? this.#last;
	}

	record(): AuditRecord | null {
		return this.#last === "" ? null : (JSON.parse(this.#last) as AuditRecord);
	}
}
