import { createHash } from "node:crypto";
import { RewindableJoiner } from "../shared/client.ts";
import type { LoggedEvent, StopReason } from "../shared/events.ts";
import type { Ledger } from "../test/fixtures/fake-cli.ts";

/**
 * Compares what a CLI printed, what the log holds and what each reader saw; pure. What it finds is counted under the names of the
 * promise that it breaks, each with a line that says where to look.
 */
export const KINDS = ["lost", "doubled", "reordered", "unfinished", "secondProcesses", "unanswered"] as const;
export type Kind = (typeof KINDS)[number];

export interface Finding {
	kind: Kind;
	count: number;
	/** Whose view: a reader's name, `log`, `cli`. */
	where: string;
	what: string;
}

/** What reached a reader, in the order it came. */
export type Seen =
	| { offset: number; digest: string }
	/** Everything after it is void. */
	| { rewindTo: number }
	/** The log was said to be another, or to begin later. */
	| { restartAt: number };

export interface Reader {
	name: string;
	seen: Seen[];
	/** Set if it could not go on. */
	failed?: string;
}

export interface Input {
	text: string;
	clientId: string;
	/** Null: it was never accepted. */
	turnId: string | null;
	/** How the turn may end; absent: as the CLI says, which is `end_turn`, or `cancelled` after an interrupt. */
	mayEnd?: StopReason[];
	/** For a CLI without a ledger: what the turn says, whole. */
	says?: string;
}

export interface Case {
	/** Of the session, in messages. */
	name: string;
	inputs: Input[];
	/** What its CLI wrote down, of all its processes in the order of the file. Null: this one writes nothing down. */
	ledger: Ledger[] | null;
	/** The whole log, as REST gave it in the end. */
	log: LoggedEvent[];
	/** As far as every reader must have come; the log may have grown since. */
	end: number;
	readers: Reader[];
	/** What `hotplex attach` printed, if it was attached. */
	printed?: string;
	/** The most processes of it that were alive at one moment. */
	mostAtOnce: number;
	/** Processes that it should have had in all. */
	processes: number;
	/**
	 * Of what a process printed last, so much may be missing: one thing where it was killed, anything where it had lost its right to
	 * the session.
	 */
	mayLack: number;
	/** It is known that two processes live for a while: one of them cannot be told. */
	mayOverlap?: boolean;
}

/** What is streamed as a word that nobody else says: `say 3 s1t2a_` says `s1t2a_1 s1t2a_2 s1t2a_3`. */
export const WORDS = /\bs\d+t\d+[a-z]_\d+\b/g;

export function check(given: Case): Finding[] {
	const findings: Finding[] = [];
	const find = (kind: Kind, where: string, what: string, count = 1): void => {
		if (count > 0) findings.push({ kind, where: `${given.name} ${where}`, what, count });
	};
	checkOffsets(given.log, find);
	checkTurns(given, find);
	if (given.ledger === null) checkSaid(given, find);
	else checkLedger(given, given.ledger, find);
	for (const reader of given.readers) checkReader(reader, given, find);
	if (given.printed !== undefined) checkPrinted(given.printed, given, find);
	if (given.mostAtOnce > 1 && !given.mayOverlap)
		find("secondProcesses", "cli", `${given.mostAtOnce} processes were alive at once`, given.mostAtOnce - 1);
	return findings;
}

type Find = (kind: Kind, where: string, what: string, count?: number) => void;

// ---------------------------------------------------------------- the log by itself

function checkOffsets(log: LoggedEvent[], find: Find): void {
	let last = 0;
	for (const { offset, event } of log) {
		if (offset === last) find("doubled", "log", `offset ${offset} twice, now ${event.type}`);
		else if (offset < last) find("reordered", "log", `offset ${offset} (${event.type}) after ${last}`);
		else if (offset > last + 1) find("lost", "log", `no offsets ${last + 1} to ${offset - 1}`, offset - last - 1);
		last = Math.max(last, offset);
	}
}

function checkTurns({ inputs, log, ledger }: Case, find: Find): void {
	for (const input of inputs) {
		if (input.turnId === null) {
			find("unanswered", "input", `${brief(input.text)} was never accepted`);
			continue;
		}
		const taken = log.filter(({ event }) => event.type === "input" && event.clientId === input.clientId).length;
		if (taken === 0) find("lost", "log", `the input ${brief(input.text)} was accepted and is not there`);
		if (taken > 1) find("doubled", "log", `the input ${brief(input.text)} ${taken} times`, taken - 1);
		const of = (type: string): LoggedEvent[] =>
			log.filter(({ event }) => event.type === type && "turnId" in event && event.turnId === input.turnId);
		const starts = of("turn_started");
		if (starts.length > 1)
			find("doubled", "log", `turn ${brief(input.text)} started at ${starts.map((l) => l.offset).join(", ")}`, starts.length - 1);
		const ends = of("turn_ended");
		if (ends.length > 1)
			find("doubled", "log", `turn ${brief(input.text)} ended at ${ends.map((l) => l.offset).join(", ")}`, ends.length - 1);
		const end = ends[0];
		if (end?.event.type !== "turn_ended") {
			find("unfinished", "log", `turn ${brief(input.text)} ${starts.length > 0 ? "began and" : "never began and"} has no end`);
			continue;
		}
		const told = ledger === null ? null : howItEnded(ledger, input.text);
		const may = input.mayEnd ?? (told === "interrupted" ? ["cancelled"] : ["end_turn"]);
		if (!may.includes(end.event.stopReason))
			find(
				"unfinished",
				"log",
				`turn ${brief(input.text)} ended as ${end.event.stopReason} (${JSON.stringify(end.event.error ?? null)}); its CLI says ${told ?? "nothing"}, expected ${may.join(" or ")}`,
			);
		const late = log.filter(
			({ offset, event }) => offset > end.offset && "turnId" in event && event.turnId === input.turnId && event.type !== "turn_ended",
		);
		if (late.length > 0)
			find("reordered", "log", `${late[0]?.event.type} at ${late[0]?.offset} after the end of its turn at ${end.offset}`, late.length);
	}
}

function howItEnded(ledger: Ledger[], script: string): "success" | "interrupted" | null {
	const began = ledger.findLastIndex((entry) => entry.what === "turn" && entry.script === script);
	if (began < 0) return null;
	for (const entry of ledger.slice(began + 1)) {
		if (entry.what === "ended") return entry.how;
		if (entry.what === "turn" || entry.what === "began") return null;
	}
	return null;
}

// ---------------------------------------------------------------- the CLI and the log

function checkLedger({ log, processes, mayLack, mayOverlap }: Case, ledger: Ledger[], find: Find): void {
	const printed: Printed[] = [];
	const turns = new Map<string, number>();
	const order: string[] = [];
	for (const [i, entry] of ledger.entries()) {
		if (!order.includes(entry.process)) {
			if (entry.what === "began" && !entry.resumed && order.length > 0 && ledger.slice(0, i).some((e) => e.what === "turn"))
				find("lost", "cli", `process ${order.length + 1} began a new conversation instead of going on with the one there was`);
			order.push(entry.process);
		}
		// A process that writes after a later one began was alive beside it.
		else if (order.at(-1) !== entry.process && !mayOverlap) {
			find(
				"secondProcesses",
				"cli",
				`process ${entry.process.slice(0, 8)} wrote (${entry.what}) after ${order.at(-1)?.slice(0, 8)} had begun`,
			);
			order.push(entry.process);
		}
		if (entry.what === "turn") turns.set(entry.script, (turns.get(entry.script) ?? 0) + 1);
		const atom = atomOf(entry);
		const next = ledger[i + 1];
		const isOut = !(next?.what === "unwritten" && next.process === entry.process);
		const atoms = entry.what === "text" ? entry.text.split(/(?= )/).map((word) => `text ${word}`) : atom === null ? [] : [atom];
		for (const each of atoms) printed.push({ atom: each, process: entry.process, isOut });
	}
	for (const [script, times] of turns) if (times > 1) find("doubled", "cli", `turn ${brief(script)} was run ${times} times`, times - 1);
	const began = new Set(order).size;
	if (began > processes) find("secondProcesses", "cli", `${began} processes were started where ${processes} would do`, began - processes);
	compare(printed, atomsOf(log), mayLack, find);
}

interface Printed {
	atom: string;
	process: string;
	/** It could be written. */
	isOut: boolean;
}

/** One thing that was printed, as it can be told from the ledger and from the log alike. */
function atomOf(entry: Ledger): string | null {
	switch (entry.what) {
		case "turn":
			return `turn ${entry.script}`;
		case "call":
			return `call ${entry.id} ${entry.tool}`;
		case "asked":
			return `asked ${entry.tool}`;
		case "result":
			return `result ${entry.id} ${entry.sha256}`;
		case "raw":
			return `raw ${entry.text}`;
		default:
			return null;
	}
}

function atomsOf(log: LoggedEvent[]): { atom: string; offset: number }[] {
	const joiner = new RewindableJoiner();
	const texts = new Map<string, string>();
	const atoms: { atom: string; offset: number }[] = [];
	// A runner may cut text elsewhere than its CLI did, since it holds back what may be the beginning of a secret (SEC-3): words are compared.
	let open: { atom: string; messageId: string } | null = null;
	for (const logged of log) {
		const whole = joiner.push(logged);
		if (whole === null) continue;
		const { event, offset } = whole;
		if (event.type === "input") texts.set(event.turnId, event.text);
		else if (event.type === "turn_started" && event.origin === "input") atoms.push({ offset, atom: `turn ${texts.get(event.turnId)}` });
		else if (event.type === "text_delta") {
			for (const [i, word] of event.text.split(/(?= )/).entries()) {
				if (i === 0 && !word.startsWith(" ") && open?.messageId === event.messageId) open.atom += word;
				else {
					const begun = { offset, atom: `text ${word}`, messageId: event.messageId };
					atoms.push(begun);
					open = begun;
				}
			}
		} else if (event.type === "tool_call") atoms.push({ offset, atom: `call ${event.toolCallId} ${event.tool}` });
		else if (event.type === "approval_requested") atoms.push({ offset, atom: `asked ${event.tool}` });
		else if (event.type === "tool_result")
			atoms.push({ offset, atom: `result ${event.toolCallId} ${createHash("sha256").update(event.output).digest("hex")}` });
		else if (event.type === "raw") atoms.push({ offset, atom: `raw ${event.text}` });
	}
	return atoms;
}

function compare(printed: Printed[], logged: { atom: string; offset: number }[], mayLack: number, find: Find): void {
	const places = new Map<string, number[]>();
	for (const [i, { atom }] of printed.entries()) {
		const there = places.get(atom);
		if (there === undefined) places.set(atom, [i]);
		else there.push(i);
	}
	const used = new Set<number>();
	let last = -1;
	for (const { atom, offset } of logged) {
		const at = places.get(atom)?.find((place) => !used.has(place));
		if (at === undefined) {
			find("doubled", "log", `offset ${offset}: ${brief(atom)} ${places.has(atom) ? "again" : "was never printed"}`);
			continue;
		}
		used.add(at);
		if (at < last) find("reordered", "log", `offset ${offset}: ${brief(atom)} was printed before ${brief(printed[last]?.atom ?? "")}`);
		last = Math.max(last, at);
	}
	// From the end: what is missing there may be so, up to the first that is not.
	const lacked = new Map<string, number>();
	const lost: number[] = [];
	for (const [i, { process, isOut }] of [...printed.entries()].toReversed()) {
		const before = lacked.get(process) ?? 0;
		if (used.has(i)) lacked.set(process, Number.POSITIVE_INFINITY);
		else if (isOut && before < mayLack) lacked.set(process, before + 1);
		else if (isOut) lost.unshift(i);
	}
	if (lost.length > 0)
		find(
			"lost",
			"log",
			`${lost.length} of ${printed.length} printed are not there, the first: ${brief(printed[lost[0] ?? 0]?.atom ?? "")}`,
			lost.length,
		);
}

/** A CLI without a ledger: what its turns were to say. */
function checkSaid({ inputs, log }: Case, find: Find): void {
	for (const { turnId, says, text } of inputs) {
		if (turnId === null || says === undefined) continue;
		let said = "";
		for (const { event } of log) if (event.type === "text_delta" && event.turnId === turnId) said += event.text;
		if (said === says) continue;
		const kind = said.length > says.length ? "doubled" : "lost";
		find(kind, "log", `turn ${brief(text)} says ${JSON.stringify(said.slice(0, 200))} and not ${JSON.stringify(says.slice(0, 200))}`);
	}
}

// ---------------------------------------------------------------- the readers

/** Names an event by what it says; keys in any order. */
export const digestOf = (event: unknown): string => createHash("sha256").update(stable(event)).digest("base64url").slice(0, 16);

function stable(value: unknown): string {
	if (Array.isArray(value)) return `[${value.map(stable).join()}]`;
	if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
	const fields = Object.entries(value).filter(([, v]) => v !== undefined);
	return `{${fields
		.toSorted(([a], [b]) => (a < b ? -1 : 1))
		.map(([k, v]) => `${JSON.stringify(k)}:${stable(v)}`)
		.join()}}`;
}

function checkReader({ name, seen, failed }: Reader, { log, end }: Case, find: Find): void {
	if (failed !== undefined) find("lost", name, `it could not go on: ${failed}`);
	let view: { offset: number; digest: string }[] = [];
	for (const item of seen) {
		const last = view.at(-1)?.offset ?? 0;
		if ("rewindTo" in item) view = view.filter((v) => v.offset <= item.rewindTo);
		else if ("restartAt" in item) {
			find("lost", name, `it was told that the log begins anew at ${item.restartAt}, after ${last}`);
			view = [];
		} else if (item.offset <= last) find("doubled", name, `offset ${item.offset} came after ${last} without a rewind`);
		else {
			if (item.offset > last + 1) find("lost", name, `offset ${item.offset} came after ${last}`, item.offset - last - 1);
			view.push(item);
		}
	}
	const lastSeen = view.at(-1)?.offset ?? 0;
	if (lastSeen < end) find("lost", name, `it ends at ${lastSeen}, the log at least at ${end}`, end - lastSeen);
	const byOffset = new Map(log.map((l) => [l.offset as number, l]));
	const others: string[] = [];
	for (const { offset, digest } of view) {
		const logged = byOffset.get(offset);
		if (logged === undefined) find("doubled", name, `offset ${offset} is not in the log`);
		else if (digestOf(logged.event) !== digest) others.push(`${offset}, in the log ${brief(JSON.stringify(logged.event))}`);
	}
	if (others.length > 0) find("lost", name, `${others.length} events differ from the log's, the first at ${others[0]}`, others.length);
}

const wordsOf = (log: LoggedEvent[]): string[] =>
	log.flatMap(({ event }) => (event.type === "text_delta" ? (event.text.match(WORDS) ?? []) : []));

/** What a person is told when the end of what is printed comes again otherwise. */
export const REPLACED = "what follows replaces the end of what is above";

function checkPrinted(text: string, { log }: Case, find: Find): void {
	const words = wordsOf(log);
	const places = new Map(words.map((word, i) => [word, i]));
	let next = 0;
	for (const [i, stretch] of text.split(REPLACED).entries()) {
		let isFirst = i > 0;
		for (const word of stretch.match(WORDS) ?? []) {
			const at = places.get(word);
			if (at === undefined) {
				find("doubled", "attach", `it printed ${word}, which the log does not hold`);
				continue;
			}
			// After the notice it goes back to where the log changed, not further than it was.
			const isRight = isFirst ? at <= next : at === next;
			if (!isRight && at < next) find("doubled", "attach", `${word} came again after ${words[next - 1]}`);
			if (!isRight && at > next) find("lost", "attach", `${word} came where ${words[next]} was due`, at - next);
			isFirst = false;
			next = at + 1;
		}
	}
	if (next < words.length)
		find("lost", "attach", `its last word is ${words[next - 1] ?? "none"}, the log's ${words.at(-1)}`, words.length - next);
}

const brief = (text: string): string => JSON.stringify(text.length > 90 ? `${text.slice(0, 90)}...` : text);
