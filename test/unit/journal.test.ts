import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import type { Entry, Mark, Note } from "../../runner/hosting.ts";
import { Journal } from "../../runner/journal.ts";

const root = mkdtempSync(join(tmpdir(), "hotplex-journal-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let made = 0;
const newDir = (): string => join(root, `${++made}`);

const line = (text: string): Entry => ({ type: "line", text });
const INTERRUPT: Note = { type: "interrupt" };
const MARK: Mark = { type: "mark", seq: 7, counter: 3, pending: [], turn: null };
const silent = (silentMs: number): Note => ({ type: "silent", silentMs });
/** What the CLI writes. */
const write = (journal: Journal, text: string | Uint8Array): void => appendFileSync(journal.path("stdout"), text);
/** All entries that are there. */
function drain(journal: Journal): Entry[] {
	const entries: Entry[] = [];
	for (let entry = journal.next(); entry !== null; entry = journal.next()) entries.push(entry);
	return entries;
}
/** The journal as the next daemon finds it. */
function reopen(journal: Journal): Journal {
	journal.close();
	return new Journal(journal.dir);
}

describe("journal", () => {
	test("[BAT-3] a new journal is empty, its own, and for nobody else's eyes", () => {
		const journal = new Journal(newDir());
		expect([journal.isNew, journal.isReplayed, journal.wroteBefore, journal.next()]).toEqual([true, true, 0, null]);
		expect(statSync(journal.dir).mode & 0o777).toBe(0o700);
		for (const name of ["stdout", "stderr", "notes"] as const) expect(statSync(journal.path(name)).mode & 0o777, name).toBe(0o600);
		expect(reopen(journal).isNew).toBe(false);
	});

	test("[BAT-3] notes come back in their places between the lines", () => {
		const journal = new Journal(newDir());
		journal.note(silent(1));
		write(journal, "a\nb\nc");
		expect(journal.next()).toEqual(line("a"));
		journal.note(INTERRUPT);
		journal.note(silent(2));
		expect(drain(journal)).toEqual([line("b")]);
		journal.note(silent(3));
		write(journal, "d\n");
		expect(drain(journal)).toEqual([line("cd")]);
		const next = reopen(journal);
		expect(next.isReplayed).toBe(false);
		expect(drain(next)).toEqual([silent(1), line("a"), INTERRUPT, silent(2), line("b"), silent(3), line("cd")]);
		expect(next.isReplayed).toBe(true);
		next.close();
	});

	test("[BAT-3] a note that a kill cut in half is not there, and later notes are", () => {
		const journal = new Journal(newDir());
		journal.note(silent(1));
		appendFileSync(journal.path("notes"), '{"at":0,"note":{"type":"inter');
		const second = reopen(journal);
		expect(drain(second)).toEqual([silent(1)]);
		second.note(silent(2));
		const third = reopen(second);
		expect(drain(third)).toEqual([silent(1), silent(2)]);
		third.close();
	});

	test("[BAT-3] how many lines were written to the CLI is the last that was noted, and no entry", () => {
		const journal = new Journal(newDir());
		journal.note({ type: "wrote", total: 1 });
		journal.note(INTERRUPT);
		journal.note({ type: "wrote", total: 3 });
		const next = reopen(journal);
		expect([next.wroteBefore, next.maybeWroteBefore]).toEqual([3, 3]);
		expect(drain(next)).toEqual([INTERRUPT]);
		next.close();
	});

	test("[BAT-7] a line that was about to be written when the daemon was killed is one that may have been", () => {
		const journal = new Journal(newDir());
		for (const type of ["writing", "wrote"] as const) journal.note({ type, total: 1 });
		journal.note({ type: "writing", total: 2 });
		const next = reopen(journal);
		expect([next.wroteBefore, next.maybeWroteBefore, drain(next)]).toEqual([1, 2, []]);
		next.close();
	});

	test("[BAT-5] output that was cut off behind our back is damage: what was done for it is not said to be done for less", () => {
		const journal = new Journal(newDir());
		write(journal, "a\nb\n");
		drain(journal);
		journal.note(INTERRUPT);
		writeFileSync(journal.path("stdout"), "a\n");
		const next = reopen(journal);
		expect([drain(next), next.damage]).toEqual([[line("a")], "its output is shorter than it was"]);
		next.close();
	});

	/** A journal with notes, output and a mark in the middle. */
	function marked(): Journal {
		const journal = new Journal(newDir());
		write(journal, "first\n");
		drain(journal);
		journal.note(silent(1));
		write(journal, "second\n");
		drain(journal);
		journal.mark(MARK);
		write(journal, "third\n");
		drain(journal);
		journal.note(silent(2));
		return journal;
	}

	test("[BAT-5] a mark comes back in its place, and whoever reads knows that it is ahead", () => {
		const journal = reopen(marked());
		const ahead: boolean[] = [];
		const entries: Entry[] = [];
		for (let entry = journal.next(); entry !== null; entry = journal.next()) {
			entries.push(entry);
			ahead.push(journal.hasMarkAhead);
		}
		expect(entries).toEqual([line("first"), silent(1), line("second"), MARK, line("third"), silent(2)]);
		expect(ahead).toEqual([true, true, true, false, false, false]);
		expect(journal.damage).toBeNull();
		journal.close();
	});

	test("[BAT-5] any byte of the notes that changed is damage, and so is any byte of the output before a mark", () => {
		const { dir } = marked();
		for (const [name, end] of [
			["notes", undefined],
			["stdout", "first\nsecond\n".length],
		] as const) {
			const path = join(dir, name);
			const whole = readFileSync(path);
			for (let at = 0; at < (end ?? whole.length - 1); at++) {
				writeFileSync(path, whole.with(at, (whole[at] ?? 0) ^ 0x04));
				const journal = new Journal(dir);
				drain(journal);
				expect([name, at, journal.damage]).toEqual([name, at, expect.any(String)]);
				journal.close();
			}
			writeFileSync(path, whole);
		}
	});

	test("[BAT-5] output that was summed up is damage too where a byte of it changed, mark or not; what came after the sum is not known", () => {
		const journal = new Journal(newDir());
		write(journal, `${"x".repeat(1500)}\nlast\n`);
		drain(journal);
		journal.sumUp();
		write(journal, "later\n");
		drain(journal);
		// Not for each word.
		journal.sumUp();
		const path = journal.path("stdout");
		const whole = readFileSync(path);
		const damageAt = (at: number): string | null => {
			writeFileSync(path, whole.with(at, (whole[at] ?? 0) ^ 0x01));
			const next = reopen(journal);
			drain(next);
			next.close();
			return next.damage;
		};
		expect([damageAt(0), damageAt(1503), damageAt(1507)]).toEqual([expect.any(String), expect.any(String), null]);
	});

	test("[BAT-3] notes of before there were sums are read as they are", () => {
		const journal = new Journal(newDir());
		writeFileSync(journal.path("notes"), `${JSON.stringify({ at: 0, note: silent(1) })}\n`);
		const next = reopen(journal);
		expect([drain(next), next.damage]).toEqual([[silent(1)], null]);
		next.close();
	});

	test("[LIM-6] what waits is what was written and not passed on; before anything is, what lies behind the last mark", () => {
		const journal = marked();
		expect(journal.waitingBytes).toBe(0);
		write(journal, "fourth\n");
		expect(journal.waitingBytes).toBe("fourth\n".length);
		const next = reopen(journal);
		expect(next.waitingBytes).toBe("third\nfourth\n".length);
		drain(next);
		expect(next.waitingBytes).toBe(0);
		next.close();
	});

	test("[BAT-3] output of several chunks, and characters that lie across them", () => {
		const journal = new Journal(newDir());
		const long = "x漢".repeat(200_000);
		write(journal, `${long}\nshort\n`);
		expect(drain(journal)).toEqual([line(long), line("short")]);
		const next = reopen(journal);
		expect(drain(next)).toEqual([line(long), line("short")]);
		next.close();
	});

	test("[TRN-7] of stderr its end is told, and nothing if there is none", () => {
		const journal = new Journal(newDir());
		expect(journal.stderrTail(10)).toBe("");
		appendFileSync(journal.path("stderr"), "first line\nlast line\n");
		expect([journal.stderrTail(10), journal.stderrTail(1000)]).toEqual(["last line\n", "first line\nlast line\n"]);
		rmSync(journal.path("stderr"));
		expect(journal.stderrTail(10)).toBe("");
		journal.close();
	});

	test("[BAT-3] a line is told without waiting for a poll, and closing twice is fine", async () => {
		const journal = new Journal(newDir());
		const changed = new Promise<void>((resolve) => journal.follow(resolve));
		write(journal, "a\n");
		await changed;
		expect(drain(journal)).toEqual([line("a")]);
		journal.close();
		journal.close();
	});

	const happening = fc.oneof(
		fc.constantFrom("a\n", "b", "\n", "\n\n", "ü", "😀\n", "longer\nand more").map((text) => ({ do: "write" as const, text })),
		fc.nat({ max: 4 }).map((times) => ({ do: "read" as const, times })),
		fc.nat({ max: 9 }).map((n) => ({ do: "note" as const, n })),
		fc.boolean().map((inMidNote) => ({ do: "kill" as const, inMidNote })),
	);

	test("[BAT-3] a daemon that is killed at any point reads the same entries in the same order again, and goes on", () => {
		fc.assert(
			fc.property(fc.array(happening, { maxLength: 40, size: "max" }), (happenings) => {
				let journal = new Journal(newDir());
				/** Cut anywhere, also inside a character. */
				let pending = Buffer.alloc(0);
				const seen: Entry[] = [];
				let wrote = 0;
				for (const h of happenings)
					if (h.do === "write") {
						pending = Buffer.concat([pending, Buffer.from(h.text)]);
						const now = pending.subarray(0, Math.ceil(pending.length / 2));
						pending = pending.subarray(now.length);
						write(journal, now);
					} else if (h.do === "read")
						for (let n = 0; n < h.times; n++) {
							const entry = journal.next();
							if (entry !== null) seen.push(entry);
						}
					else if (h.do === "note") {
						if (h.n === 0) journal.note({ type: "wrote", total: ++wrote });
						else {
							journal.note(silent(h.n));
							seen.push(silent(h.n));
						}
					} else {
						if (h.inMidNote) appendFileSync(journal.path("notes"), '{"at":0,"note":{"type":"silent","si');
						journal = reopen(journal);
						expect(seen.map(() => journal.next())).toEqual(seen);
						expect(journal.wroteBefore).toBe(wrote);
						expect(journal.isReplayed).toBe(true);
					}
				write(journal, pending);
				seen.push(...drain(journal));
				journal = reopen(journal);
				expect(drain(journal)).toEqual(seen);
				const stdout = readFileSync(journal.path("stdout"), "utf8");
				expect(seen.flatMap((e) => (e.type === "line" ? [`${e.text}\n`] : [])).join("")).toBe(
					stdout.slice(0, stdout.lastIndexOf("\n") + 1),
				);
				journal.close();
				rmSync(journal.dir, { recursive: true });
			}),
			{ numRuns: 60 },
		);
	});
});
