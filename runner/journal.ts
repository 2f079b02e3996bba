import { appendFileSync, closeSync, type FSWatcher, mkdirSync, openSync, readFileSync, readSync, watch, writeFileSync } from "node:fs";
import { join } from "node:path";
import { MAX_LINE_BYTES } from "../shared/limits.ts";
import type { Entry, Note } from "./hosting.ts";
import { LineSplitter } from "./lines.ts";

/** How often the output is looked at when no change is reported; inotify misses nothing on local disks, others may. */
const POLL_MS = 250;
/** One for all: reading is synchronous, and the splitter keeps copies. A fresh one for each of a CLI's lines cost more than all the rest. */
const CHUNK = Buffer.alloc(256 * 1024);

/** A note and its place: after the lines that end at or before `at` bytes of stdout. */
type Placed = { at: number; note: Note | { type: "wrote"; total: number } };

/**
 * The journal of one process, in one directory: `stdout` and `stderr`, which the CLI itself appends to, `stdin`, its FIFO, and `notes`, what the
 * daemon did, one JSON line each. Nothing of it is in memory only: a daemon that is killed reads on from the files.
 */
export class Journal {
	readonly dir: string;
	readonly #splitter = new LineSplitter(MAX_LINE_BYTES);
	/** Notes of an earlier daemon that are not passed on yet. */
	#replay: Placed[];
	/** Lines that were read and not passed on. */
	#lines: { text: string | null; end: number }[] = [];
	#readTo = 0;
	/** Where the last line ended that was passed on. */
	#at = 0;
	#stdout: number | null = null;
	#watcher: FSWatcher | null = null;
	#timer: NodeJS.Timeout | null = null;
	/** Lines for stdin that an earlier daemon is known to have written. */
	readonly wroteBefore: number;
	readonly isNew: boolean;

	constructor(dir: string) {
		this.dir = dir;
		mkdirSync(dir, { recursive: true, mode: 0o700 });
		const notes = readNotes(this.path("notes"));
		this.isNew = notes === null;
		this.wroteBefore = (notes ?? []).reduce((n, p) => (p.note.type === "wrote" ? p.note.total : n), 0);
		this.#replay = (notes ?? []).filter((p) => p.note.type !== "wrote");
		if (notes === null)
			for (const name of ["stdout", "stderr", "notes"] as const) writeFileSync(this.path(name), "", { mode: 0o600, flag: "a" });
		// Ends a line that a kill cut in half, so that the next note does not go on in it.
		else appendFileSync(this.path("notes"), "\n");
	}

	path(name: "stdout" | "stderr" | "stdin" | "notes"): string {
		return join(this.dir, name);
	}

	/** Writes down what is about to be done. It is in the file when this returns. */
	note(note: Note | { type: "wrote"; total: number }): void {
		appendFileSync(this.path("notes"), `${JSON.stringify({ at: this.#at, note } satisfies Placed)}\n`);
	}

	/** The next entry, or null if there is none yet. Notes of earlier daemons come back in their places. */
	next(): Entry | null {
		for (;;) {
			const line = this.#lines[0];
			const placed = this.#replay[0];
			if (placed !== undefined && placed.note.type !== "wrote" && placed.at <= this.#at) {
				this.#replay.shift();
				return placed.note;
			}
			if (line !== undefined) {
				this.#lines.shift();
				this.#at = line.end;
				return { type: "line", text: line.text };
			}
			if (!this.#read()) {
				// A note can stand beyond the output only if the output was cut off behind our back.
				if (placed === undefined || placed.note.type === "wrote") return null;
				this.#at = placed.at;
			}
		}
	}

	/** Whether all notes of earlier daemons are passed on. */
	get isReplayed(): boolean {
		return this.#replay.length === 0;
	}

	/** The end of what the CLI said on stderr. */
	stderrTail(maxBytes: number): string {
		try {
			return readFileSync(this.path("stderr")).subarray(-maxBytes).toString("utf8");
		} catch {
			return "";
		}
	}

	/** Calls when output may have come. */
	follow(changed: () => void): void {
		this.#watcher ??= watch(this.path("stdout"), { persistent: false }, changed);
		this.#timer ??= setInterval(changed, POLL_MS);
	}

	close(): void {
		this.#watcher?.close();
		if (this.#timer) clearInterval(this.#timer);
		if (this.#stdout !== null) closeSync(this.#stdout);
		this.#watcher = this.#timer = this.#stdout = null;
	}

	/** Reads one chunk; false at the end of what is there. */
	#read(): boolean {
		this.#stdout ??= openSync(this.path("stdout"), "r");
		const bytes = readSync(this.#stdout, CHUNK, 0, CHUNK.length, this.#readTo);
		if (bytes === 0) return false;
		this.#readTo += bytes;
		this.#lines.push(...this.#splitter.push(CHUNK.subarray(0, bytes)));
		return true;
	}
}

/** Null if there is no journal yet. */
function readNotes(path: string): Placed[] | null {
	let text: string;
	try {
		text = readFileSync(path, "utf8");
	} catch {
		return null;
	}
	const placed: Placed[] = [];
	for (const line of text.split("\n")) {
		if (line === "") continue;
		try {
			placed.push(JSON.parse(line) as Placed);
		} catch {
			// Cut in half by a kill, before it was acted on.
		}
	}
	return placed;
}
