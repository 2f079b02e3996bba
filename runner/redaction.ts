/**
 * Takes secrets out of what a CLI said, before it leaves this machine; pure. Known values (the credentials that the CLI was given, in the encodings that programs
 * print) and the shapes of well-known ones become `[redacted:KIND]`. A text that comes in pieces comes out as if it had come whole, whatever the pieces:
 * what is not decided yet is held back, a few units at most times. Every unit is looked at a bounded number of times.
 *
 * It is a net, not a wall: who can run a program can print a secret in a way that no net knows. That is why the jail holds none where it can be had.
 */

import type { RunnerReport } from "../shared/events.ts";
import { decideForOwner, entryFor, OwnerPolicy } from "../shared/waf/policy.ts";
import type { ToolCall } from "../shared/waf/tool-call.ts";
import { graver, type Judgement, NO_OBJECTION, type Place } from "../shared/waf/verdict.ts";

/** Shorter values are words of everyday. */
const MIN_KNOWN_UNITS = 8;
const YES = 0;
const NO = -1;
const MORE = -2;
type Answer = typeof YES | typeof NO | typeof MORE;

/** What was found: `from` may lie behind the place where it began, so that a name before a value stays. */
interface Find {
	kind: string;
	from: number;
	to: number;
	/** What follows and still belongs to it. */
	rest: Rest | null;
}
/** Units that belong to a secret that was recognised already, up to the first that does not, or the end that it names. */
interface Rest {
	set: UnitSet;
	end?: Finder;
}
/**
 * Whether a secret begins at `at`. `MORE`: it may, and the text ends before it is certain. With the same text the answer is the same however much of it was there
 * when it was last asked, which is all that makes pieces come out like the whole.
 */
type Finder = (text: string, at: number, isEnd: boolean, before: string) => Find | typeof NO | typeof MORE;
type UnitSet = Uint8Array;

const set = (units: string): UnitSet => {
	const made = new Uint8Array(128);
	for (let i = 0; i < 128; i++) if (new RegExp(`[${units}]`).test(String.fromCharCode(i))) made[i] = 1;
	return made;
};
const has = (units: UnitSet, unit: number): boolean => unit < 128 && units[unit] === 1;

const WORD = set("A-Za-z0-9_");
const ALNUM = set("A-Za-z0-9");
const URL64 = set("A-Za-z0-9_-");
const BASE64 = set("A-Za-z0-9+/=");
const TOKEN = set("A-Za-z0-9._~+/=-");
const VALUE = set("!#%*+,./0-9:=?@A-Z^_a-z~-");
/** Nothing that ends a word of a shell: what is hidden of a command must not be another one. */
const USERINFO = set("!%*+,.0-9:=A-Z_a-z~-");
const PEM_GAP = set(" \\t\\r\\n\\\\nr\"'+,");
const PEM_BODY = set("A-Za-z0-9+/= \\t\\r\\n\\\\\"',");
const PEM_LABEL = set("A-Z0-9 ");

// ------------------------------------------------------------ the shapes

interface Shape {
	kind: string;
	prefixes: readonly string[];
	units: UnitSet;
	/** So many units must follow the prefix. */
	min: number;
	/** And no more of them. */
	exact?: true;
	/** The first `min` of them must look random, else it is prose. */
	mixed?: true;
}

const SHAPES: readonly Shape[] = [
	{ kind: "anthropic_key", prefixes: ["sk-ant-"], units: URL64, min: 16 },
	{ kind: "openai_key", prefixes: ["sk-proj-", "sk-svcacct-", "sk-admin-", "sk-or-v1-"], units: URL64, min: 20 },
	{ kind: "api_key", prefixes: ["sk-"], units: ALNUM, min: 32 },
	{ kind: "hotplex_key", prefixes: ["hpk_"], units: WORD, min: 24 },
	{ kind: "github_token", prefixes: ["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], units: ALNUM, min: 30 },
	{ kind: "github_token", prefixes: ["github_pat_"], units: WORD, min: 22 },
	{ kind: "gitlab_token", prefixes: ["glpat-", "glrt-", "gldt-", "glcbt-", "glptt-"], units: URL64, min: 20 },
	{
		kind: "slack_token",
		prefixes: ["xoxa-", "xoxb-", "xoxp-", "xoxe-", "xoxr-", "xoxs-", "xapp-"],
		units: set("A-Za-z0-9-"),
		min: 12,
	},
	{ kind: "stripe_key", prefixes: ["sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_"], units: ALNUM, min: 16 },
	{ kind: "aws_key_id", prefixes: ["AKIA", "ASIA"], units: set("A-Z0-9"), min: 16, exact: true },
	{ kind: "google_key", prefixes: ["AIza"], units: URL64, min: 35, exact: true },
	{ kind: "google_token", prefixes: ["ya29."], units: URL64, min: 20 },
	{ kind: "google_secret", prefixes: ["GOCSPX-"], units: URL64, min: 20 },
	{ kind: "npm_token", prefixes: ["npm_"], units: ALNUM, min: 36, exact: true },
	{ kind: "pypi_token", prefixes: ["pypi-AgEI"], units: URL64, min: 40 },
	{ kind: "docker_token", prefixes: ["dckr_pat_"], units: URL64, min: 20 },
	{ kind: "huggingface_token", prefixes: ["hf_"], units: ALNUM, min: 30 },
	{ kind: "sendgrid_key", prefixes: ["SG."], units: set("A-Za-z0-9._-"), min: 60 },
	{ kind: "digitalocean_token", prefixes: ["dop_v1_", "doo_v1_", "dor_v1_"], units: set("a-f0-9"), min: 64 },
	{ kind: "vault_token", prefixes: ["hvs.", "hvb."], units: URL64, min: 24 },
	{ kind: "api_key", prefixes: ["gsk_", "xai-"], units: ALNUM, min: 40 },
	{ kind: "age_key", prefixes: ["AGE-SECRET-KEY-1"], units: set("A-Z0-9"), min: 50 },
	{ kind: "bearer", prefixes: ["Bearer ", "bearer ", "BEARER "], units: TOKEN, min: 20, mixed: true },
	{ kind: "basic", prefixes: ["Basic ", "basic "], units: BASE64, min: 16, mixed: true },
];

function shapeFinder(shape: Shape, prefix: string): Finder {
	const { kind, units, min } = shape;
	// A word that is no secret says what kind of one follows.
	const keeps = prefix.endsWith(" ") ? prefix.length : 0;
	return (text, at, isEnd, before) => {
		const prefixed = startsWord(text, at, prefix, isEnd, before);
		if (prefixed !== YES) return prefixed;
		const start = at + prefix.length;
		const to = start + min;
		for (let i = start; i < to; i++) {
			if (i >= text.length) return isEnd ? NO : MORE;
			if (!has(units, text.charCodeAt(i))) return NO;
		}
		if (shape.exact) {
			if (to >= text.length && !isEnd) return MORE;
			if (to < text.length && has(units, text.charCodeAt(to))) return NO;
		}
		if (shape.mixed && !isMixed(text.slice(start, to))) return NO;
		return { kind, from: at + keeps, to, rest: shape.exact ? null : { set: units } };
	};
}

/** Three parts of URL-safe base64, the first two of them JSON. */
const MAX_JWT_PART = 2048;
const jwt: Finder = (text, at, isEnd, before) => {
	let i = at;
	for (let part = 0; part < 2; part++) {
		const prefixed = part === 0 ? startsWord(text, i, "eyJ", isEnd, before) : startsHere(text, i, "eyJ", isEnd);
		if (prefixed !== YES) return prefixed;
		const end = runOf(URL64, text, i, MAX_JWT_PART);
		if (end === text.length) return isEnd ? NO : MORE;
		if (text[end] !== "." || end - i < 10) return NO;
		i = end + 1;
	}
	const end = runOf(URL64, text, i, 8);
	if (end - i < 8) return end === text.length && !isEnd ? MORE : NO;
	return { kind: "jwt", from: at, to: end, rest: { set: URL64 } };
};

/** `scheme://user:password@`: both, since a user's place often holds a token. */
const MAX_USERINFO = 256;
const userinfo: Finder = (text, at, isEnd) => {
	const prefixed = startsHere(text, at, "://", isEnd);
	if (prefixed !== YES) return prefixed;
	const start = at + 3;
	const end = runOf(USERINFO, text, start, MAX_USERINFO);
	if (end === text.length) return isEnd ? NO : MORE;
	if (text[end] !== "@") return NO;
	const [user = "", password] = text.slice(start, end).split(/:(.*)/);
	// What stands for a password in examples.
	if (password === undefined ? user.length < 16 : /^(?:password|passwd|pass|pwd|secret|[*x]*|\$.*)$/i.test(password)) return NO;
	return { kind: "password", from: start, to: end, rest: null };
};

/** `NAME=value` as `env` and `.env` files write it, where name and value both look the part. */
const MAX_VALUE = 128;
const MIN_VALUE = 12;
const ASSIGNED = [
	"PASSWORD=",
	"PASSWD=",
	"PASSPHRASE=",
	"SECRET=",
	"TOKEN=",
	"API_KEY=",
	"APIKEY=",
	"ACCESS_KEY=",
	"SECRET_KEY=",
	"PRIVATE_KEY=",
];
const assignmentFinder =
	(name: string): Finder =>
	(text, at, isEnd) => {
		const prefixed = startsHere(text, at, name, isEnd);
		if (prefixed !== YES) return prefixed;
		let start = at + name.length;
		if (start === text.length && !isEnd) return MORE;
		if (text[start] === '"' || text[start] === "'") start++;
		const end = runOf(VALUE, text, start, MAX_VALUE);
		if (end === text.length && end - start < MAX_VALUE && !isEnd) return MORE;
		if (end - start < MIN_VALUE || !isMixed(text.slice(start, end))) return NO;
		return { kind: "value", from: start, to: end, rest: { set: VALUE } };
	};

/** Forty units that only their name tells from a hash. */
const AWS_SECRETS = ["aws_secret_access_key", "AWS_SECRET_ACCESS_KEY", "SecretAccessKey", "secretAccessKey"];
const AWS_GAP = set(" \\t\"'\\\\:=");
const AWS_UNITS = set("A-Za-z0-9/+");
const awsFinder =
	(name: string): Finder =>
	(text, at, isEnd, before) => {
		const prefixed = startsWord(text, at, name, isEnd, before);
		if (prefixed !== YES) return prefixed;
		const start = runOf(AWS_GAP, text, at + name.length, 8);
		const end = runOf(AWS_UNITS, text, start, 40);
		if (end === text.length && end - start < 40) return isEnd ? NO : MORE;
		return end - start < 40 ? NO : { kind: "aws_secret_key", from: start, to: end, rest: { set: AWS_UNITS } };
	};

/** A block with its armour, also where its newlines are escaped. One that is only spoken of has no body. */
const PEM = "-----BEGIN ";
const MIN_PEM_BODY = 32;
const pemEnd: Finder = (text, at, isEnd) => {
	const prefixed = startsHere(text, at, "-----END ", isEnd);
	if (prefixed !== YES) return prefixed;
	const label = runOf(PEM_LABEL, text, at + 9, 40);
	const closed = startsHere(text, label, "-----", isEnd);
	return closed === YES ? { kind: "", from: at, to: label + 5, rest: null } : closed;
};
const pem: Finder = (text, at, isEnd) => {
	const prefixed = startsHere(text, at, PEM, isEnd);
	if (prefixed !== YES) return prefixed;
	const label = runOf(PEM_LABEL, text, at + PEM.length, 40);
	const closed = startsHere(text, label, "-----", isEnd);
	if (closed !== YES) return closed;
	if (!/PRIVATE KEY(?: BLOCK)?$/.test(text.slice(at, label))) return NO;
	// Headers of an encrypted key, and OpenPGP's: lines of their own before the body.
	let start = runOf(PEM_GAP, text, label + 5, 8);
	for (let lines = 0; lines < 3; lines++) {
		const header = /^(?:Proc-Type|DEK-Info|Version|Comment): ?[^\n\\]{0,80}/.exec(text.slice(start, start + 100));
		if (header !== null) start = runOf(PEM_GAP, text, start + header[0].length, 8);
	}
	const end = runOf(BASE64, text, start, MIN_PEM_BODY);
	if (end - start < MIN_PEM_BODY) return text.length - start < 120 && !isEnd ? undecidedPem(text, start, end) : NO;
	return { kind: "private_key", from: at, to: end, rest: { set: PEM_BODY, end: pemEnd } };
};
/** A header line may still be growing; anything else is decided by the unit that is none of a key's. */
function undecidedPem(text: string, start: number, end: number): typeof NO | typeof MORE {
	if (end === text.length) return MORE;
	return /^(?:Proc-Type|DEK-Info|Version|Comment)(?:$|:)/.test(text.slice(start)) || "\\:- ,".includes(text[end] ?? "") ? MORE : NO;
}

const startsHere = (text: string, at: number, prefix: string, isEnd: boolean): Answer => {
	if (text.startsWith(prefix, at)) return YES;
	return !isEnd && text.length - at < prefix.length && prefix.startsWith(text.slice(at)) ? MORE : NO;
};

/** The same, where no part of a word stands before it: `risk-` is no `sk-`. */
const startsWord = (text: string, at: number, prefix: string, isEnd: boolean, before: string): Answer => {
	const begun = startsHere(text, at, prefix, isEnd);
	return begun === NO || isWordStart(text, at, before) ? begun : NO;
};

/** Where the units of a set end that begin at `at`, after `max` of them at most. */
function runOf(units: UnitSet, text: string, at: number, max: number): number {
	const last = Math.min(text.length, at + max);
	let i = at;
	while (i < last && has(units, text.charCodeAt(i))) i++;
	return i;
}

/** A digit, and a letter: words are without the one, numbers without the other. */
const isMixed = (text: string): boolean => /[0-9]/.test(text) && /[A-Za-z]/.test(text);

/** The end of an escape (`\n`, `%3D`) is no part of a word. */
function isWordStart(text: string, at: number, before: string): boolean {
	const last = at >= 3 ? text.slice(at - 3, at) : (before + text.slice(0, at)).slice(-3);
	const unit = last.charCodeAt(last.length - 1);
	return last === "" || !has(ALNUM, unit) || /(?:\\[nrt]|%[0-9A-Fa-f]{2})$/.test(last);
}

// ------------------------------------------------------------ known values

/** The spellings of a value that programs print: itself, escaped for JSON (once and twice) and URLs, in hexadecimal and in base64 at each of the three places in a group. */
function spellings(value: string): { plain: string[]; wrapped: string[] } {
	const json = JSON.stringify(value).slice(1, -1);
	const url = encodeURIComponent(value.toWellFormed());
	const bytes = utf8(value);
	const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
	const wrapped = [hex, hex.toUpperCase()];
	for (let shift = 0; shift < 3; shift++) {
		const padded = [...Array<number>(shift).fill(0), ...bytes];
		// Only units that nothing but this value decides: neighbours share the first and the last of them.
		const encoded = base64(padded).slice(Math.ceil((shift * 8) / 6), Math.floor((padded.length * 8) / 6));
		wrapped.push(encoded, encoded.replaceAll("+", "-").replaceAll("/", "_"));
	}
	const plain = [
		value,
		json,
		JSON.stringify(json).slice(1, -1),
		url,
		url.replace(/%../g, (code) => code.toLowerCase()),
		url.replaceAll("%20", "+"),
	];
	return { plain, wrapped };
}

const utf8 = (text: string): number[] =>
	(encodeURIComponent(text.toWellFormed()).match(/%..|./g) ?? []).map((unit) =>
		unit.length === 3 ? Number.parseInt(unit.slice(1), 16) : unit.charCodeAt(0),
	);

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
function base64(bytes: readonly number[]): string {
	let out = "";
	for (let i = 0; i < bytes.length; i += 3) {
		const group = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
		for (const shift of [18, 12, 6, 0]) out += DIGITS.charAt((group >> shift) & 63);
	}
	return out;
}

const known = (to: number, from: number): Find => ({ kind: "secret", from, to, rest: null });
const plainFinder =
	(value: string): Finder =>
	(text, at, isEnd) => {
		const found = startsHere(text, at, value, isEnd);
		return found === YES ? known(at + value.length, at) : found;
	};
/** Encoders break lines: after so many units a newline, escaped or not, does not count. */
const wrappedFinder =
	(value: string): Finder =>
	(text, at, isEnd) => {
		let i = at;
		for (let n = 0; n < value.length; ) {
			if (i >= text.length) return isEnd ? NO : MORE;
			const unit = text.charCodeAt(i);
			if (unit === value.charCodeAt(n)) n++;
			else if (n === 0 || (unit !== 10 && unit !== 13)) {
				if (n === 0 || unit !== 92) return NO;
				if (i + 1 >= text.length) return isEnd ? NO : MORE;
				if (text[i + 1] !== "n" && text[i + 1] !== "r") return NO;
				i++;
			}
			i++;
		}
		return known(i, at);
	};

// ------------------------------------------------------------ finding them all

/** Finders by the first two units of what they find, and for speed a table of these. */
class Index {
	/** For the last unit of a text: what may follow it is not there yet. */
	readonly #byFirst = new Map<number, Finder[]>();
	readonly #byTwo = new Map<number, Finder[]>();
	readonly #firstTwo = new Uint8Array(65_536);

	add(beginning: string, finder: Finder, isWrapped = false): void {
		const [first, second] = [beginning.charCodeAt(0), beginning.charCodeAt(1)];
		this.#byFirst.set(first, [...(this.#byFirst.get(first) ?? []), finder]);
		// What is wrapped may be so after its first unit.
		for (const unit of isWrapped ? [second, 10, 13, 92] : [second]) {
			const two = first * 65_536 + unit;
			this.#byTwo.set(two, [...(this.#byTwo.get(two) ?? []), finder]);
			this.#firstTwo[((first & 255) << 8) | (unit & 255)] = 1;
		}
	}

	/** The first place from `at` on where something may begin. */
	next(text: string, at: number): number {
		const last = text.length - 1;
		const table = this.#firstTwo;
		let unit = text.charCodeAt(at) & 255;
		for (let i = at; i < last; i++) {
			const following = text.charCodeAt(i + 1) & 255;
			if (table[(unit << 8) | following] === 1) return i;
			unit = following;
		}
		return Math.max(at, last);
	}

	/** What the first finder says that does not say no. */
	at(text: string, at: number, isEnd: boolean, before: string): Find | typeof NO | typeof MORE {
		const first = text.charCodeAt(at);
		const finders = at + 1 < text.length ? this.#byTwo.get(first * 65_536 + text.charCodeAt(at + 1)) : this.#byFirst.get(first);
		if (finders === undefined) return NO;
		for (const finder of finders) {
			const found = finder(text, at, isEnd, before);
			if (found !== NO) return found;
		}
		return NO;
	}
}

const SHAPE_FINDERS: readonly [string, Finder][] = [
	...SHAPES.flatMap((shape) => shape.prefixes.map((prefix): [string, Finder] => [prefix, shapeFinder(shape, prefix)])),
	["eyJ", jwt],
	["://", userinfo],
	[PEM, pem],
	...ASSIGNED.map((name): [string, Finder] => [name, assignmentFinder(name)]),
	...AWS_SECRETS.map((name): [string, Finder] => [name, awsFinder(name)]),
];

interface Stream {
	held: string;
	/** The three units before what is held. */
	before: string;
	rest: Rest | null;
}
const newStream = (): Stream => ({ held: "", before: "", rest: null });

export class Redactor {
	readonly #known = new Index();
	/** Known values first: they are certain. */
	readonly #all = new Index();
	readonly #streams = new Map<string, Stream>();

	constructor(secrets: readonly string[] = []) {
		const plain = new Set<string>();
		const wrapped = new Set<string>();
		// Of a key file its lines too, since some programs print one at a time.
		for (const secret of secrets)
			for (const value of new Set([secret, secret.trim(), ...secret.split(/\r?\n/)])) {
				if (value.length < MIN_KNOWN_UNITS || value.startsWith("-----")) continue;
				const spelt = spellings(value);
				for (const one of spelt.plain) plain.add(one);
				for (const one of spelt.wrapped) if (one.length >= MIN_KNOWN_UNITS) wrapped.add(one);
			}
		const values = [
			...[...plain].map((value) => ({ value, isWrapped: false })),
			...[...wrapped].map((value) => ({ value, isWrapped: true })),
		];
		for (const { value, isWrapped } of values.sort((a, b) => b.value.length - a.value.length)) {
			const finder = isWrapped ? wrappedFinder(value) : plainFinder(value);
			for (const index of [this.#known, this.#all]) index.add(value, finder, isWrapped);
		}
		for (const [beginning, finder] of SHAPE_FINDERS) this.#all.add(beginning, finder);
	}

	/** A whole text. */
	redact(text: string): string {
		return this.#scan(newStream(), text, true);
	}

	/** The strings of a JSON value; keys and the shape stay. The value itself if there is nothing in it. */
	redactValue<T>(value: T): T {
		return this.#value(value) as T;
	}

	/** The next piece of a text: what can be said of it now. */
	push(streamId: string, text: string): string {
		let stream = this.#streams.get(streamId);
		if (stream === undefined) {
			stream = newStream();
			this.#streams.set(streamId, stream);
		}
		return this.#scan(stream, text, false);
	}

	/** The end of a text: what was held back. */
	flush(streamId: string): string {
		const stream = this.#streams.get(streamId);
		this.#streams.delete(streamId);
		return stream === undefined ? "" : this.#scan(stream, "", true);
	}

	#value(value: unknown): unknown {
		if (typeof value === "string") return this.redact(value);
		if (Array.isArray(value)) {
			const items = value.map((item) => this.#value(item));
			return items.some((item, i) => item !== value[i]) ? items : value;
		}
		if (typeof value !== "object" || value === null) return value;
		const entries = Object.entries(value).map(([key, inner]): [string, unknown, boolean] => {
			const redacted = this.#value(inner);
			return [key, redacted, redacted !== inner];
		});
		return entries.some(([, , changed]) => changed) ? Object.fromEntries(entries) : value;
	}

	#scan(stream: Stream, piece: string, isEnd: boolean): string {
		const text = stream.held + piece;
		const { before } = stream;
		let out = "";
		/** All before this is said. */
		let said = 0;
		let at = 0;
		while (at < text.length) {
			if (stream.rest !== null) {
				const end = this.#skip(stream, text, at, isEnd);
				said = at = end.at;
				if (!end.isDecided) break;
				continue;
			}
			at = this.#all.next(text, at);
			let found = this.#all.at(text, at, isEnd, before);
			if (typeof found === "object") found = this.#widen(found, text, at, isEnd, before);
			if (found === MORE) break;
			if (found === NO) {
				at++;
				continue;
			}
			out += `${text.slice(said, found.from)}[redacted:${found.kind}]`;
			said = at = found.to;
			stream.rest = found.rest;
		}
		// With its whole word, which would look torn on a screen.
		const cut = at < text.length && stream.rest === null ? wordBegin(text, said, at) : at;
		out += text.slice(said, cut);
		stream.held = text.slice(cut);
		stream.before = (before + text.slice(0, cut)).slice(-3);
		return out;
	}

	/** A known value that begins within what was found and goes on behind it belongs to it. */
	#widen(found: Find, text: string, at: number, isEnd: boolean, before: string): Find | typeof MORE {
		let { to, rest } = found;
		for (let i = at + 1; i < to; i++) {
			const inner = this.#known.at(text, i, isEnd, before);
			if (inner === MORE) return MORE;
			if (inner === NO || inner.to <= to) continue;
			to = inner.to;
			rest = null;
		}
		return { ...found, to, rest };
	}

	/** Passes over the rest of a secret: to where it ends, or to where that cannot be said yet. */
	#skip(stream: Stream, text: string, from: number, isEnd: boolean): { at: number; isDecided: boolean } {
		let at = from;
		while (stream.rest !== null && at < text.length) {
			const { set: units, end } = stream.rest;
			const value = this.#known.at(text, at, isEnd, "");
			const ending = end?.(text, at, isEnd, "") ?? NO;
			if (value === MORE || ending === MORE) return { at, isDecided: false };
			if (value !== NO) at = value.to;
			else if (ending !== NO) {
				at = ending.to;
				stream.rest = null;
			} else if (has(units, text.charCodeAt(at))) at++;
			else stream.rest = null;
		}
		return { at, isDecided: true };
	}
}

type Streamed = Extract<RunnerReport, { type: "text_delta" | "thought_delta" | "tool_output" }>;

/**
 * A session's events on their way out, without secrets. Of a text that streams, what is held back comes before whatever the reader must see after it: a tool call of
 * the same author, what a person is asked, the turn's end.
 */
export class EventRedactor {
	readonly #redactor: Redactor;
	/** The last piece of each text that is not over. */
	readonly #open = new Map<string, Streamed>();

	constructor(secrets: readonly string[]) {
		this.#redactor = new Redactor(secrets);
	}

	/** A value that is to become part of an event, so that its size is what it will be. */
	value<T>(value: T): T {
		return this.#redactor.redactValue(value);
	}

	/** What is to be sent in place of this event: it alone as a rule, after the end of texts that were held back, or nothing yet. */
	take(event: RunnerReport): RunnerReport[] {
		switch (event.type) {
			case "text_delta":
			case "thought_delta":
			case "tool_output": {
				const streamId = streamOf(event);
				// What is said next comes after the end of what was said before.
				const before = this.#flush(
					(piece) =>
						piece.type !== "tool_output" &&
						event.type !== "tool_output" &&
						piece.messageId !== event.messageId &&
						piece.parentToolCallId === event.parentToolCallId,
				);
				const text = this.#redactor.push(streamId, event.text);
				this.#open.set(streamId, event);
				return text === "" && event.text !== "" ? before : [...before, { ...event, text }];
			}
			case "text_retracted":
				for (const [streamId, piece] of this.#open)
					if (piece.type !== "tool_output" && piece.messageId === event.messageId) this.#end(streamId);
				return [event];
			case "tool_call":
				return [
					...this.#flush((piece) => piece.type !== "tool_output" && piece.parentToolCallId === event.parentToolCallId),
					this.value(event),
				];
			case "tool_result":
				return [...this.#flush((piece) => piece.type === "tool_output" && piece.toolCallId === event.toolCallId), this.value(event)];
			case "gate_denied":
				// What the proxy refuses comes at any time, in the middle of a word too.
				return event.layer === "jail"
					? [this.#bounded(event)]
					: [...this.#flush((piece) => piece.type !== "tool_output"), this.#bounded(event)];
			case "approval_requested":
			case "gate_requested":
			case "question_asked":
				return [...this.#flush((piece) => piece.type !== "tool_output"), this.#bounded(event)];
			case "raw":
				// A line of the CLI's own stands where it stood.
				return [...this.#flush((piece) => piece.type !== "tool_output"), this.value(event)];
			case "turn_started":
			case "turn_ended":
				return [...this.#flush(() => true), this.value(event)];
			case "process_state": {
				const ended = event.state === "dead" ? this.#flush(() => true) : [];
				// A later process is to be given this, whatever it looks like.
				const { nativeSessionId } = event;
				return [...ended, { ...this.value(event), ...(nativeSessionId === undefined ? {} : { nativeSessionId }) }];
			}
			default:
				return [this.value(event)];
		}
	}

	#flush(which: (piece: Streamed) => boolean): RunnerReport[] {
		return [...this.#open].flatMap(([streamId, piece]) => {
			if (!which(piece)) return [];
			const text = this.#end(streamId);
			return text === "" ? [] : [{ ...piece, text }];
		});
	}

	#end(streamId: string): string {
		this.#open.delete(streamId);
		return this.#redactor.flush(streamId);
	}

	/** What the gates say has bounds, and a word for a secret may be longer than it was. */
	#bounded<E extends RunnerReport>(event: E): E {
		const redacted = this.value(event);
		if (redacted === event) return event;
		const short = (value: unknown, was: unknown): unknown =>
			typeof value === "string" && typeof was === "string"
				? value.slice(0, Math.max(was.length, BOUNDED_UNITS))
				: typeof value === "object" && value !== null && typeof was === "object" && was !== null
					? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, short(inner, (was as Record<string, unknown>)[key])]))
					: value;
		const bounded = Object.entries(redacted).map(([key, value]) => [
			key,
			key === "input" || key === "questions" ? value : short(value, (event as Record<string, unknown>)[key]),
		]);
		return Object.fromEntries(bounded) as E;
	}
}

const MAX_WORD_UNITS = 64;
/** Where the word begins that `at` stands in, its blank included, not before `from`; `at` itself if that is far. */
function wordBegin(text: string, from: number, at: number): number {
	let begin = at;
	while (begin > from && text.charCodeAt(begin - 1) > 0x20) if (at - --begin > MAX_WORD_UNITS) return at;
	return begin > from && text.charAt(begin - 1) === " " ? begin - 1 : begin;
}

/** No bound of an event's words is less. */
const BOUNDED_UNITS = 128;

const streamOf = (piece: Streamed): string => `${piece.type} ${piece.type === "tool_output" ? piece.toolCallId : piece.messageId}`;

const ALL_RULES = OwnerPolicy.parse({ builtIn: "enforce" });
const HIDDEN: Judgement = {
	verdict: "ask",
	rule: "hidden-part",
	category: "unresolved",
	reason: "a part of it is hidden as a secret, so that the team's rules cannot see it",
	suggestion: "take the secret from a variable or a file",
};

/**
 * What must be said here of a call that the gateway is shown without its secrets: its gate sees less than what runs. Where rules or a person's entries would
 * look, a hidden part is asked about; and if the built-in rules object to the whole more than to what is shown, that counts.
 */
export function judgeHidden(call: ToolCall, shown: ToolCall, place: Place): Judgement {
	if (shown.input === call.input && shown.title === call.title) return NO_OBJECTION;
	const named = (one: ToolCall): string => JSON.stringify(entryFor(one, place, "ask", "x", "", 0));
	const name = named(call);
	if (name === named(shown) && name !== "null") return NO_OBJECTION;
	const [whole, seen] = [decideForOwner(ALL_RULES, call, place), decideForOwner(ALL_RULES, shown, place)];
	return graver(HIDDEN, graver(seen, whole) === seen ? NO_OBJECTION : whole);
}
