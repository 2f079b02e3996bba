import {
	appendFileSync,
	closeSync,
	type FSWatcher,
	mkdirSync,
	openSync,
	readFileSync,
	readSync,
	renameSync,
	statSync,
	truncateSync,
	watch,
	writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { MAX_LINE_BYTES } from "../shared/limits.ts";
import type { Entry, Mark, Note } from "./hosting.ts";
import { LineSplitter } from "./lines.ts";

/** How often the output is looked at when no change is reported; inotify misses nothing on local disks, others may. */
const POLL_MS = 250;
/** One for all: reading is synchronous, and the splitter keeps copies. A fresh one for each of a CLI's lines cost more than all the rest. */
/** Output that is read and not summed up: a byte of it that changes on the disk is not seen. A dozen streamed words. */
const SUM_BYTES = 1024;
const CHUNK = Buffer.alloc(256 * 1024);

/** How many lines for stdin there were in all, when the last one was about to be written (`writing`), and when it was (`wrote`). */
type InputNote = { type: "writing"; total: number } | { type: "wrote"; total: number };
/** What stands in `notes`: entries in their places, how far the CLI's input is, and sums of the output before them, alone or with a mark. */
type Written = Note | InputNote | (Mark & { crc: number }) | { type: "sum"; crc: number };
/** A note and its place: after the lines that end at or before `at` bytes of stdout. */
type Placed = { at: number; note: Written };

/**
 * The journal of one process, in one directory: `stdout` and `stderr`, which the CLI itself appends to, `stdin`, its FIFO, and `notes`, what the
 * daemon did, one sealed JSON line each. Nothing of it is in memory only: a daemon that is killed reads on from the files.
 */
export class Journal {
	readonly dir: string;
	readonly #splitter = new LineSplitter(MAX_LINE_BYTES);
	/** Notes of an earlier daemon that are not passed on yet. */
	readonly #replay: { at: number; note: Exclude<Written, InputNote> }[] = [];
	#marksAhead: number;
	/** Lines that were read and not passed on. */
	#lines: { text: string | null; end: number }[] = [];
	#readTo = 0;
	/** Where the last line ended that was passed on. */
	#at = 0;
	/** The sum of the output's first `#summedTo` bytes. */
	#crc = 0;
	#summedTo = 0;
	/** Where the last sum stands in the notes. */
	#summedUpTo = 0;
	#stdout: number | null = null;
	#watcher: FSWatcher | null = null;
	#timer: NodeJS.Timeout | null = null;
	/** Where the last mark stands: all before it is in the log. */
	readonly markedTo: number;
	/** Lines for stdin that an earlier daemon is known to have written. */
	readonly wroteBefore: number;
	/** Lines that it may have written: it was killed before it could tell. */
	readonly maybeWroteBefore: number;
	readonly isNew: boolean;
	/** What of the files is not as it was written, in words. Nothing that follows from them can be trusted then. */
	damage: string | null = null;

	constructor(dir: string) {
		this.dir = dir;
		mkdirSync(dir, { recursive: true, mode: 0o700 });
		const notes = this.#readNotes();
		this.isNew = notes === null;
		const lastOf = (type: InputNote["type"]): number => (notes ?? []).reduce((n, { note }) => (note.type === type ? note.total : n), 0);
		this.wroteBefore = lastOf("wrote");
		this.maybeWroteBefore = Math.max(this.wroteBefore, lastOf("writing"));
		for (const { at, note } of notes ?? []) if (note.type !== "wrote" && note.type !== "writing") this.#replay.push({ at, note });
		this.#marksAhead = this.#replay.filter((p) => p.note.type === "mark").length;
		this.markedTo = this.#replay.reduce((at, p) => (p.note.type === "mark" ? p.at : at), 0);
		if (notes === null)
			for (const name of ["stdout", "stderr", "notes"] as const) writeFileSync(this.path(name), "", { mode: 0o600, flag: "a" });
	}

	path(name: "stdout" | "stderr" | "stdin" | "notes"): string {
		return join(this.dir, name);
	}

	/** Writes down what is about to be done. It is in the file when this returns; throws if the disk does not take it. */
	note(note: Note | InputNote): void {
		this.#write(note);
	}

	/** Writes down that everything so far is in the log. */
	mark(mark: Mark): void {
		this.#write({ ...mark, crc: this.#sumTo(this.#at) });
	}

	/** Writes down the sum of what was read, now and then, so that who reads it again sees whether it is the same. Throws like `note`. */
	sumUp(): void {
		if (this.#replay.length === 0 && this.#at - this.#summedUpTo >= SUM_BYTES) this.#write({ type: "sum", crc: this.#sumTo(this.#at) });
	}

	#write(note: Written): void {
		if (note.type === "sum" || note.type === "mark") this.#summedUpTo = this.#at;
		appendFileSync(this.path("notes"), `${seal({ at: this.#at, note } satisfies Placed)}\n`);
	}

	/** The next entry, or null if there is none yet. Notes of earlier daemons come back in their places. */
	next(): Entry | null {
		for (;;) {
			const line = this.#lines[0];
			const placed = this.#replay[0];
			if (placed !== undefined && placed.at <= this.#at) {
				this.#replay.shift();
				if (placed.note.type !== "mark" && placed.note.type !== "sum") return placed.note;
				const { crc, ...mark } = placed.note;
				this.#summedUpTo = placed.at;
				if (this.#sumTo(placed.at) !== crc) {
					this.damage = "its output is not what was read before";
					return null;
				}
				if (mark.type === "sum") continue;
				this.#marksAhead--;
				return mark;
			}
			if (line !== undefined) {
				this.#lines.shift();
				this.#at = line.end;
				return { type: "line", text: line.text };
			}
			if (!this.#read()) {
				if (placed === undefined) return null;
				// What was done stands beyond the output that it was done for.
				this.damage = "its output is shorter than it was";
				return null;
			}
		}
	}

	/** Whether all notes of earlier daemons are passed on. */
	get isReplayed(): boolean {
		return this.#replay.length === 0;
	}

	/** Whether a mark follows: what comes before it is in the log. */
	get hasMarkAhead(): boolean {
		return this.#marksAhead > 0;
	}

	/** Bytes of output that are not passed on yet; before any are, those behind the last mark. */
	get waitingBytes(): number {
		return Math.max(0, sizeOf(this.path("stdout")) - Math.max(this.#at, this.#marksAhead > 0 ? this.markedTo : 0));
	}

	/** What it takes of the disk, nearly. */
	get bytes(): number {
		return sizeOf(this.path("stdout")) + sizeOf(this.path("stderr")) + sizeOf(this.path("notes"));
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
		const bytes = this.#readAt(this.#readTo, CHUNK.length);
		if (bytes === 0) return false;
		this.#readTo += bytes;
		this.#lines.push(...this.#splitter.push(CHUNK.subarray(0, bytes)));
		return true;
	}

	#readAt(place: number, maxBytes: number): number {
		this.#stdout ??= openSync(this.path("stdout"), "r");
		return readSync(this.#stdout, CHUNK, 0, Math.min(maxBytes, CHUNK.length), place);
	}

	/** The sum of the output up to here; what was summed before is not read again. */
	#sumTo(end: number): number {
		if (end < this.#summedTo) this.#crc = this.#summedTo = 0;
		while (this.#summedTo < end) {
			const bytes = this.#readAt(this.#summedTo, end - this.#summedTo);
			if (bytes === 0) break;
			this.#crc = crc32(CHUNK.subarray(0, bytes), this.#crc);
			this.#summedTo += bytes;
		}
		return this.#crc;
	}

	/** Null if there is no journal yet. */
	#readNotes(): Placed[] | null {
		const path = this.path("notes");
		let written: Buffer;
		try {
			written = readFileSync(path);
		} catch {
			return null;
		}
		// A line that a kill cut in half was not acted on.
		const whole = written.lastIndexOf("\n") + 1;
		if (whole < written.length) truncateSync(path, whole);
		const placed: Placed[] = [];
		for (const line of written.subarray(0, whole).toString("utf8").split("\n")) {
			if (line === "") continue;
			const note = unseal<Placed>(line);
			if (note === null) this.damage = "a line of its notes is not what was written";
			else placed.push(note);
		}
		return placed;
	}
}

/** Writes a whole file or none: whoever is killed in between leaves what was there. */
export function writeWhole(path: string, text: string): void {
	writeFileSync(`${path}.new`, text, { mode: 0o600 });
	renameSync(`${path}.new`, path);
}

/** JSON in one line with its sum, so that a byte that changed on the disk is seen. */
export function seal(value: unknown): string {
	const json = JSON.stringify(value);
	return `${json}\t${crc32(json).toString(16)}`;
}

/** What was sealed, null if it is not what was written. Lines of before there were sums have none. JSON has no tab. */
export function unseal<T>(line: string): T | null {
	const [json = "", sum] = line.trimEnd().split("\t");
	if (sum !== undefined && crc32(json).toString(16) !== sum) return null;
	try {
		return JSON.parse(json) as T;
	} catch {
		return null;
	}
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0;
