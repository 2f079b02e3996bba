import type { ReadSentence } from "./prompt-tokens.ts";
import { classesOf, type WordClass } from "./prompt-words.ts";

/*
 * The scale on which a prompt is weighed. It has two arms: does the prompt speak of what the rules would stop, and does it say that it is to be done?
 * Each is a sum of weights, one for each phrase of the prompt, learnt from the corpora by `npm run weigh:prompts`. A phrase is a word, two words in a
 * row, a kind of words before another kind in the same sentence, and the like; it falls into one of the scale's cells by its hash, and the cell has the
 * weight.
 */

const BITS = 18;
/** Cells of an arm. */
export const CELLS = 1 << BITS;

/** One arm: a phrase weighs `unit` times its cell's weight. */
export interface Arm {
	bias: number;
	unit: number;
	weights: Int8Array;
}
/** An arm as it is kept: of each cell that has a weight, how many cells after the one before, and the weight, a letter each. */
export interface PackedArm {
	bias: number;
	unit: number;
	cells: string;
}
/** How heavy a piece of a prompt is on both arms; above 0 it rather is so than not. */
export interface Weighed {
	matter: number;
	order: number;
}

/** Tokens that are weighed together: a longer prompt is weighed piece by piece, and its heaviest piece counts. */
const MAX_WINDOW_TOKENS = 60;

/** How much of a prompt's first sentence is weighed with each later piece: it often says what the rest is there for. */
const MAX_OPENING_TOKENS = 24;

/** Kinds of phrases. Their numbers are part of their hashes. */
const PHRASE = {
	word: 1,
	stem: 2,
	twoWords: 3,
	twoStems: 4,
	threeWords: 5,
	overOne: 6,
	overTwo: 7,
	kind: 8,
	kindThenKind: 9,
	kindNextToKind: 10,
	firstKind: 11,
	kindInPlace: 12,
	firstWordWithKind: 13,
	firstWordWithFinding: 14,
	twoFirstWordsWithFinding: 15,
	firstWordWithQuestion: 16,
	questionWithFinding: 17,
	stemWithFinding: 18,
	sentences: 19,
	length: 20,
	firstWordBeforeFinding: 21,
	lastBeforeFinding: 22,
	kindBeforeFinding: 23,
	firstWordAfterFinding: 24,
	questionAfterFinding: 25,
	kindAfterFinding: 26,
	findingAlone: 27,
	findingInPrompt: 28,
} as const;

/** Kinds of words that say how a prompt speaks, not of what: they count together with whatever else a sentence has. */
const STANCE: ReadonlySet<string> = new Set<WordClass>([
	"prevent",
	"text",
	"ask",
	"not",
	"past",
	"third",
	"write",
	"report",
	"wish",
	"past-form",
]);
const FINDING = /^§(deny|ask|secret|persist|escalate|destroy|system|root|shady|kernel|escape)/;
/** How near to each other two kinds of words count as a pair. */
const NEAR = 5;

/** A piece of a prompt: the cells that its phrases fall into, each once. */
export interface Window {
	cells: Int32Array;
	/** Its first sentence, and the one after its last. */
	from: number;
	to: number;
}

/** A prompt's pieces, of some sixty tokens; they overlap by a sentence, so that what is shown and then ordered stays together. */
export function windowsOf(sentences: readonly ReadSentence[]): Window[] {
	const windows: Window[] = [];
	const opening = sentences[0] && { ...sentences[0], tokens: sentences[0].tokens.slice(0, MAX_OPENING_TOKENS) };
	let from = 0;
	while (from < sentences.length) {
		let to = from;
		let length = 0;
		while (to < sentences.length && (to === from || length + (sentences[to]?.tokens.length ?? 0) <= MAX_WINDOW_TOKENS)) {
			length += sentences[to]?.tokens.length ?? 0;
			to++;
		}
		const piece = sentences.slice(from, to);
		windows.push({ cells: cellsOf(from === 0 || opening === undefined ? piece : [opening, ...piece]), from, to });
		if (to >= sentences.length) break;
		from = Math.max(from + 1, to - 1);
	}
	return windows;
}

export const weighed = (cells: Int32Array, scale: { matter: Arm; order: Arm }): Weighed => ({
	matter: weightOn(scale.matter, cells),
	order: weightOn(scale.order, cells),
});
function weightOn({ bias, unit, weights }: Arm, cells: Int32Array): number {
	let sum = 0;
	for (const cell of cells) sum += weights[cell] ?? 0;
	return bias + sum * unit * share(cells.length);
}
/** What one phrase of so many counts. */
export const share = (phrases: number): number => 1 / Math.sqrt(Math.max(1, phrases));

/** A prompt is an order if one of its pieces speaks of such a thing and says that it is to be done. */
export const isOrder = (pieces: readonly Weighed[]): boolean => pieces.some((piece) => heaviness(piece) > 0);
/** Of two pieces the heavier is rather an order. */
export const heaviness = ({ matter, order }: Weighed): number => Math.min(matter, order);

/** Weights go from -45 to 45, so that one printable letter holds one: `P` is 0. */
export const MOST_WEIGHT = 45;
const ZERO = 80;
/** A gap of 1 is `#`; `~` skips 91 cells and the gap goes on. */
const NO_GAP = 34;
const MOST_GAP = 91;
const SKIP = 126;

export function packed({ bias, unit, weights }: Arm): PackedArm {
	let cells = "";
	let gap = 0;
	for (const weight of weights) {
		gap++;
		if (weight === 0) continue;
		for (; gap > MOST_GAP; gap -= MOST_GAP) cells += String.fromCharCode(SKIP);
		cells += String.fromCharCode(NO_GAP + gap, ZERO + weight);
		gap = 0;
	}
	return { bias, unit, cells };
}

export function unpacked({ bias, unit, cells }: PackedArm): Arm {
	const weights = new Int8Array(CELLS);
	let cell = -1;
	for (let at = 0; at < cells.length; at++) {
		const code = cells.charCodeAt(at);
		if (code === SKIP) cell += MOST_GAP;
		else {
			cell += code - NO_GAP;
			weights[cell] = cells.charCodeAt(++at) - ZERO;
		}
	}
	return { bias, unit, weights };
}

interface Meant {
	hash: number;
	stem: number;
	/** Its kinds, or itself where it is a mark or a stop. */
	kinds: readonly number[];
	isStance: readonly boolean[];
	isWord: boolean;
}

function cellsOf(sentences: readonly ReadSentence[]): Int32Array {
	const cells = new Set<number>();
	const add = (phrase: number, a: number, b = 0, c = 0): void => {
		cells.add(mixed(phrase, a, b, c));
	};
	const all: Meant[] = [];
	const read = sentences.map(({ tokens }) => ({ tokens, meant: tokens.map(meaningOf) }));
	const gravest = Math.max(0, ...read.map(({ tokens }) => findingIn(tokens)));
	read.forEach(({ tokens, meant }, at) => {
		addSentence(tokens, meant, add);
		addNeighbours(tokens, read[at - 1], read[at + 1], add);
		const first = meant.find(({ isWord }) => isWord);
		if (first) add(PHRASE.findingInPrompt, gravest, first.hash);
		if (tokens.includes("?")) add(PHRASE.findingInPrompt, gravest, 1);
		all.push(meaningOf("^"), ...meant);
	});
	all.push(meaningOf("$"));
	all.forEach((a, at) => {
		add(PHRASE.word, a.hash);
		add(PHRASE.stem, a.stem);
		const b = all[at + 1];
		if (!b) return;
		add(PHRASE.twoWords, a.hash, b.hash);
		add(PHRASE.twoStems, a.stem, b.stem);
		const c = all[at + 2];
		if (!c) return;
		add(PHRASE.threeWords, a.hash, b.hash, c.hash);
		add(PHRASE.overOne, a.stem, c.stem);
		const d = all[at + 3];
		if (d) add(PHRASE.overTwo, a.stem, d.stem);
	});
	add(PHRASE.sentences, Math.min(8, sentences.length));
	add(PHRASE.length, Math.min(10, Math.floor(Math.log2(all.length))));
	return Int32Array.from(cells);
}

interface Read {
	tokens: readonly string[];
	meant: readonly Meant[];
}
type Add = (phrase: number, a: number, b?: number, c?: number) => void;

/** 3: a command that is denied; 2: one that is asked about; 1: a path or an address that rules know; 0: none. */
const findingIn = (tokens: readonly string[]): number =>
	tokens.includes("§deny") ? 3 : tokens.includes("§ask") ? 2 : tokens.some((token) => FINDING.test(token)) ? 1 : 0;

/** What stands before and after a sentence that has a finding. */
function addNeighbours(tokens: readonly string[], before: Read | undefined, after: Read | undefined, add: Add): void {
	const finding = findingIn(tokens);
	if (finding < 2) return;
	const alone = tokens.every((token) => token.startsWith("§") || /^[.?!:;,]$/.test(token)) ? 1 : 0;
	add(PHRASE.findingAlone, alone, before ? 1 : 0, after ? 1 : 0);
	const beforeFirst = before?.meant.find(({ isWord }) => isWord);
	add(PHRASE.firstWordBeforeFinding, alone, beforeFirst?.hash ?? 0);
	add(PHRASE.lastBeforeFinding, alone, before?.meant.at(-1)?.hash ?? 0);
	const afterFirst = after?.meant.find(({ isWord }) => isWord);
	add(PHRASE.firstWordAfterFinding, alone, afterFirst?.hash ?? 0);
	add(PHRASE.questionAfterFinding, alone, after?.tokens.includes("?") ? 1 : 0);
	for (const kind of new Set(before?.meant.flatMap((one) => one.kinds))) add(PHRASE.kindBeforeFinding, alone, kind);
	for (const kind of new Set(after?.meant.flatMap((one) => one.kinds))) add(PHRASE.kindAfterFinding, alone, kind);
}

function addSentence(tokens: readonly string[], meant: readonly Meant[], add: Add): void {
	const finding = findingIn(tokens);
	const question = tokens.includes("?") ? 1 : 0;
	const [first, second] = meant.filter(({ isWord }) => isWord);
	const firstHash = first?.hash ?? 0;
	add(PHRASE.firstWordWithFinding, firstHash, finding);
	add(PHRASE.twoFirstWordsWithFinding, firstHash, second?.hash ?? 0, finding);
	add(PHRASE.questionWithFinding, question, finding);
	add(PHRASE.firstWordWithQuestion, firstHash, question);

	const kinds = meant.filter((one) => one.kinds.length > 0);
	const opening = kinds[0]?.kinds ?? [];
	const present = new Set(kinds.flatMap((one) => one.kinds));
	const stances = new Set(kinds.flatMap((one) => one.kinds.filter((_, i) => one.isStance[i])));
	for (const kind of present) {
		add(PHRASE.kind, kind);
		add(PHRASE.firstWordWithKind, firstHash, kind);
		for (const one of opening) add(PHRASE.firstKind, one, kind);
		for (const stance of stances) add(PHRASE.kindInPlace, stance, kind);
	}
	kinds.forEach(({ kinds: before }, at) => {
		for (let next = at + 1; next <= at + NEAR && next < kinds.length; next++)
			for (const a of before)
				for (const b of kinds[next]?.kinds ?? []) {
					add(PHRASE.kindThenKind, a, b);
					if (next === at + 1) add(PHRASE.kindNextToKind, a, b);
				}
	});
	if (finding > 0) for (const { isWord, stem } of meant) if (isWord) add(PHRASE.stemWithFinding, stem, finding);
}

const memory = new Map<string, Meant>();
const MAX_MEMORY = 20_000;

function meaningOf(token: string): Meant {
	const known = memory.get(token);
	if (known) return known;
	const isMark = token.startsWith("§");
	const isStop = /^[.?!:;,]$/.test(token);
	const classes = isMark || isStop ? [] : classesOf(token);
	const hash = hashOf(token);
	const meant: Meant = {
		hash,
		stem: hashOf(stemOf(token)),
		kinds: isMark || isStop ? [hash] : classes.map((name) => hashOf(`#${name}`)),
		isStance: isMark || isStop ? [false] : classes.map((name) => STANCE.has(name)),
		isWord: /^\p{L}/u.test(token),
	};
	if (memory.size >= MAX_MEMORY) memory.clear();
	memory.set(token, meant);
	return meant;
}

/** Endings and, of long words, all but the beginning go. */
const stemOf = (token: string): string =>
	token.startsWith("§") ? token : token.length > 5 ? `${token.slice(0, 5)}~` : token.replace(/(ing|ed|es|s)$/, "");

/** FNV-1a. */
function hashOf(text: string): number {
	let hash = 0x811c9dc5;
	for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
	return hash >>> 0;
}
function mixed(phrase: number, a: number, b: number, c: number): number {
	let hash = Math.imul(phrase, 0x9e3779b1) ^ a;
	hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) ^ b;
	hash = Math.imul(hash ^ (hash >>> 13), 0x297a2d39) ^ c;
	hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
	return ((hash ^ (hash >>> 13)) >>> 0) & (CELLS - 1);
}
