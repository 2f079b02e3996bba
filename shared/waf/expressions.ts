import { base64Text, hexText, rot13, unescaped } from "./encodings.ts";

/*
 * What an expression is worth that is made of strings and numbers alone, in whatever scripting language: `"RM".lower()`,
 * `substr("xrm", 1)`, `join "/", "", "etc"`, `"%s/%s" % ("a", "b")`. One little grammar for all of them. What is not in it has no value.
 */

type Value = string | number | readonly Value[];

/** Thrown inside only: something in it is not known here. */
class Unclear extends Error {}

const MAX_TOKENS = 512;
const MAX_DEPTH = 24;
const MAX_LENGTH = 65_536;

/**
 * @param skeleton the expression, a § for each string in it
 * @param literals those strings
 * @returns its text; undefined: it is not known
 */
export function textOfExpression(skeleton: string, literals: readonly string[], language: string): string | undefined {
	const tokens = skeleton.match(/§|\d+|[A-Za-z_$@][\w]*(?:::\w+)*|\.\.|->|::|\S/g) ?? [];
	if (tokens.length > MAX_TOKENS) return undefined;
	try {
		return new Expression(tokens, literals, language).whole();
	} catch (error) {
		if (error instanceof Unclear) return undefined;
		throw error;
	}
}

class Expression {
	readonly #tokens: readonly string[];
	readonly #literals: readonly string[];
	readonly #language: string;
	/** `.` puts strings together; elsewhere it stands before a method. */
	readonly #dotJoins: boolean;
	#at = 0;
	#literal = 0;
	#depth = 0;

	constructor(tokens: readonly string[], literals: readonly string[], language: string) {
		this.#tokens = tokens;
		this.#literals = literals;
		this.#language = language;
		this.#dotJoins = language === "perl" || language === "php";
	}

	whole(): string {
		const values = this.#list();
		if (this.#at < this.#tokens.length) throw new Unclear();
		const [form, ...rest] = values;
		if (rest.length > 0 && typeof form === "string" && /%[sdicx]/.test(form)) return formatted(form, rest);
		// `console.log("a", "b")`, `print "a", "b"`: with a blank between them, or without.
		return values.map(spoken).join(/^(python|node|awk|gawk|mawk)$/.test(this.#language) ? " " : "");
	}

	#peek(): string {
		return this.#tokens[this.#at] ?? "";
	}
	#takes(token: string): boolean {
		if (this.#peek() !== token) return false;
		this.#at++;
		return true;
	}
	#must(token: string): void {
		if (!this.#takes(token)) throw new Unclear();
	}

	#list(): Value[] {
		const values: Value[] = [];
		if (/^[)\]]?$/.test(this.#peek())) return values;
		do values.push(this.#sum());
		while (this.#takes(","));
		return values;
	}

	#sum(): Value {
		if (++this.#depth > MAX_DEPTH) throw new Unclear();
		let left = this.#term();
		for (;;) {
			const next = this.#peek();
			if (next === "+" || next === ".." || (next === "." && this.#dotJoins)) {
				this.#at++;
				const right = this.#term();
				left =
					typeof left === "number" && typeof right === "number" && next === "+"
						? left + right
						: typeof left === "object" && typeof right === "object"
							? [...left, ...right]
							: spoken(left) + spoken(right);
			} else if (next === "-" && typeof left === "number") {
				this.#at++;
				const right = this.#term();
				if (typeof right !== "number") throw new Unclear();
				left -= right;
			} else if (next === "*" || (next === "x" && this.#language === "perl")) {
				this.#at++;
				left = repeated(left, this.#term());
			} else if (next === "%" && typeof left === "string") {
				this.#at++;
				const given = this.#term();
				left = formatted(left, typeof given === "object" ? given : [given]);
			} else if (next === "§" && /^(awk|gawk|mawk|python|ruby)$/.test(this.#language)) left = spoken(left) + spoken(this.#term());
			else break;
			if (typeof left === "string" && left.length > MAX_LENGTH) throw new Unclear();
		}
		this.#depth--;
		return left;
	}

	#term(): Value {
		let value = this.#primary();
		for (;;) {
			if ((this.#peek() === "." && !this.#dotJoins) || (this.#peek() === ":" && this.#language === "lua")) {
				this.#at++;
				const name = this.#name();
				value = this.#method(name, value, this.#arguments() ?? []);
			} else if (this.#peek() === "[" && typeof value !== "number") value = this.#slice(value);
			else return value;
		}
	}

	#primary(): Value {
		const token = this.#peek();
		this.#at++;
		if (token === "§") return this.#literals[this.#literal++] ?? "";
		if (/^\d/.test(token)) return Number(token);
		if (token === "-") {
			const value = this.#term();
			if (typeof value !== "number") throw new Unclear();
			return -value;
		}
		if (token === "(") {
			const values = this.#list();
			this.#must(")");
			return values.length === 1 && values[0] !== undefined ? values[0] : values;
		}
		if (token === "[") {
			const values = this.#list();
			this.#must("]");
			return values;
		}
		if (!/^[A-Za-z_]/.test(token)) throw new Unclear();
		// b"...", f"..."
		if (/^([bru]|rb|br)$/i.test(token) && this.#peek() === "§") return this.#primary();
		let name = token;
		while (this.#peek() === "." && !this.#dotJoins && /^[A-Za-z_]/.test(this.#tokens[this.#at + 1] ?? "")) {
			this.#at++;
			name = this.#name();
		}
		const given = this.#arguments();
		if (given !== undefined) return this.#call(name, given);
		// `lc "RM"`, `substr "xrm", 1`
		if (/^(perl|ruby|awk|lua|php)$/.test(this.#language) && /^(§|\d|\[)/.test(this.#peek())) return this.#call(name, this.#list());
		if (this.#language === "perl" && name === "reverse") return this.#call(name, [this.#term()]);
		throw new Unclear();
	}

	#name(): string {
		const token = this.#peek();
		if (!/^[A-Za-z_]/.test(token)) throw new Unclear();
		this.#at++;
		// `downcase!`
		if (this.#peek() === "!" || this.#peek() === "?") this.#at++;
		return token;
	}

	#arguments(): Value[] | undefined {
		if (!this.#takes("(")) return undefined;
		const values = this.#list();
		this.#must(")");
		return values;
	}

	/** `[1:3]`, `[::-1]`, `[2]`, ruby's `[1..3]` and `[1, 2]`. */
	#slice(value: string | readonly Value[]): Value {
		this.#must("[");
		const bounds: (number | undefined)[] = [undefined];
		let marks = 0;
		let ranged = "";
		while (!this.#takes("]")) {
			if (/^(:|\.\.|,)$/.test(this.#peek())) {
				ranged = this.#peek();
				this.#at++;
				marks++;
				bounds.push(undefined);
				continue;
			}
			const bound = this.#primary();
			if (typeof bound !== "number") throw new Unclear();
			bounds[marks] = bound;
		}
		const [from, to, step] = bounds;
		if (marks === 0) {
			const one = value.at(from ?? 0);
			if (one === undefined) throw new Unclear();
			return one;
		}
		if (step === -1 && from === undefined && to === undefined) return turnedRound(value);
		if (step !== undefined && step !== 1) throw new Unclear();
		if (ranged === ",") return value.slice(from, (from ?? 0) + (to ?? 0));
		return value.slice(from, ranged === ".." ? (to === -1 || to === undefined ? undefined : to + 1) : to);
	}

	#call(name: string, given: readonly Value[]): Value {
		const plain = name.toLowerCase().replace(/^.*::/, "");
		if (plain === "substr") {
			const [text = "", from = 0, length] = given;
			if (typeof from !== "number" || (length !== undefined && typeof length !== "number")) throw new Unclear();
			const start = /awk$/.test(this.#language) ? from - 1 : from;
			const rest = spoken(text).slice(start);
			return length === undefined ? rest : rest.slice(0, length);
		}
		const own = Object.hasOwn(FUNCTIONS, plain) ? FUNCTIONS[plain] : undefined;
		if (own) return own(given);
		const [self, ...rest] = given;
		if (self === undefined) throw new Unclear();
		return this.#method(plain, self, rest);
	}

	#method(name: string, self: Value, given: readonly Value[]): Value {
		const plain = name.toLowerCase();
		if (this.#language === "lua" && plain === "sub") {
			const [from, to] = given;
			if (typeof from !== "number" || (to !== undefined && typeof to !== "number")) throw new Unclear();
			return spoken(self).slice(from > 0 ? from - 1 : from, to);
		}
		const method = Object.hasOwn(METHODS, plain) ? METHODS[plain] : undefined;
		if (!method) throw new Unclear();
		return method(self, given);
	}
}

const spoken = (value: Value): string => {
	if (typeof value === "object") throw new Unclear();
	return String(value);
};
const flat = (values: readonly Value[]): (string | number)[] => values.flatMap((one) => (typeof one === "object" ? flat(one) : [one]));
const turnedRound = (value: Value): Value => (typeof value === "object" ? [...value].reverse() : [...spoken(value)].reverse().join(""));
const characters = (values: readonly Value[]): string =>
	flat(values)
		.map((one) => (typeof one === "number" ? String.fromCharCode(one) : one))
		.join("");

function repeated(value: Value, times: Value): string {
	if (typeof times !== "number" || times > 1024) throw new Unclear();
	return spoken(value).repeat(Math.max(0, times));
}

function formatted(form: string, given: readonly Value[]): string {
	const rest = flat(given);
	return form.replace(/%(?:[-0-9.]{0,6})([sdicxo%])|\{\d?\}/g, (whole, kind: string | undefined) => {
		if (kind === "%") return "%";
		const value = rest.shift();
		if (value === undefined) throw new Unclear();
		if (kind === "c") return typeof value === "number" ? String.fromCharCode(value) : value.charAt(0);
		if (kind === "x" || kind === "o") return Number(value).toString(kind === "x" ? 16 : 8);
		return whole === "%s" || whole.startsWith("{") || kind === "d" || kind === "i" ? String(value) : spoken(value);
	});
}

/** A text in one of the encodings that are called by name. */
function named(encoding: Value | undefined, text: string): string {
	const name = encoding === undefined ? "" : spoken(encoding).toLowerCase().replaceAll(/[-_]/g, "");
	if (/^(base64|base64url|b64|m0?)$/.test(name)) return base64Text(text) ?? "";
	if (/^(hex|h\*)$/.test(name)) return hexText(text);
	if (name === "rot13") return rot13(text);
	if (/^(|utf8|utf16|ascii|latin1|binary|iso88591|u\*|a\*|c\*)$/.test(name)) return text;
	throw new Unclear();
}

const FUNCTIONS: Readonly<Record<string, (given: readonly Value[]) => Value>> = {
	chr: characters,
	char: characters,
	fromcharcode: characters,
	fromcodepoint: characters,
	bytes: ([value = ""]) => (typeof value === "object" ? characters(value) : value),
	bytearray: ([value = ""]) => (typeof value === "object" ? characters(value) : value),
	str: ([value = ""]) => value,
	string: ([value = ""]) => value,
	scalar: ([value = ""]) => value,
	list: ([value = ""]) => (typeof value === "object" ? value : [...spoken(value)]),
	join: ([glue = "", ...rest]) => flat(rest).join(spoken(glue)),
	implode: ([glue = "", ...rest]) => (typeof glue === "object" ? flat(glue).join("") : flat(rest).join(spoken(glue))),
	sprintf: ([form = "", ...rest]) => formatted(spoken(form), rest),
	format: ([form = "", ...rest]) => formatted(spoken(form), rest),
	printf: ([form = "", ...rest]) => formatted(spoken(form), rest),
	from: ([value = "", encoding]) => (typeof value === "object" ? characters(value) : named(encoding, spoken(value))),
	pack: ([form = "", ...rest]) => (/^[CcUW]\*?$/.test(spoken(form)) ? characters(rest) : named(form, flat(rest).join(""))),
	str_replace: ([from = "", to = "", text = ""]) => spoken(text).replaceAll(spoken(from), () => spoken(to)),
	decode: ([text = "", encoding]) => named(encoding, spoken(text)),
};

const lower = (value: Value): string => spoken(value).toLowerCase();
const upper = (value: Value): string => spoken(value).toUpperCase();
const bare = (value: Value): string => spoken(value).trim();
const from64 = (value: Value): string => base64Text(spoken(value)) ?? "";
const fromHex = (value: Value): string => hexText(spoken(value));
const percent = (value: Value): string => unescaped(spoken(value));
const self = (value: Value): Value => value;
const between = (value: Value, [from, to]: readonly Value[]): Value => {
	if ((from !== undefined && typeof from !== "number") || (to !== undefined && typeof to !== "number")) throw new Unclear();
	return typeof value === "number" ? spoken(value).slice(from, to) : value.slice(from, to);
};
const put = (value: Value, [from = "", to = ""]: readonly Value[]): string => spoken(value).replaceAll(spoken(from), () => spoken(to));

const METHODS: Readonly<Record<string, (value: Value, given: readonly Value[]) => Value>> = {
	lower,
	lc: lower,
	lcase: lower,
	downcase: lower,
	tolower: lower,
	tolowercase: lower,
	strtolower: lower,
	casefold: lower,
	ascii_downcase: lower,
	upper,
	uc: upper,
	upcase: upper,
	toupper: upper,
	touppercase: upper,
	strtoupper: upper,
	ascii_upcase: upper,
	swapcase: (value) =>
		[...spoken(value)].map((letter) => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase())).join(""),
	reverse: turnedRound,
	reversed: turnedRound,
	strrev: turnedRound,
	strip: bare,
	rstrip: bare,
	lstrip: bare,
	chomp: bare,
	trim: bare,
	replace: put,
	replaceall: put,
	gsub: put,
	sub: put,
	delete: (value, [letters = ""]) => [...spoken(value)].filter((letter) => !spoken(letters).includes(letter)).join(""),
	join: (value, [other]) =>
		typeof value === "object" ? flat(value).join(other === undefined ? "" : spoken(other)) : flat([other ?? []]).join(spoken(value)),
	split: (value, [glue]) => (glue === undefined ? bare(value).split(/\s+/) : spoken(value).split(spoken(glue))),
	chars: (value) => [...spoken(value)],
	slice: between,
	substring: between,
	concat: (value, given) => spoken(value) + flat(given).join(""),
	repeat: (value, [times = 0]) => repeated(value, times),
	rep: (value, [times = 0]) => repeated(value, times),
	str_repeat: (value, [times = 0]) => repeated(value, times),
	format: (value, given) => formatted(spoken(value), given),
	removeprefix: (value, [prefix = ""]) => (spoken(value).startsWith(spoken(prefix)) ? spoken(value).slice(spoken(prefix).length) : value),
	removesuffix: (value, [suffix = ""]) => (spoken(value).endsWith(spoken(suffix)) ? spoken(value).slice(0, -spoken(suffix).length) : value),
	charat: (value, [at = 0]) => (typeof at === "number" ? spoken(value).charAt(at) : ""),
	first: (value) => (typeof value === "object" ? (value[0] ?? "") : value),
	last: (value) => (typeof value === "object" ? (value.at(-1) ?? "") : value),
	b64decode: from64,
	urlsafe_b64decode: from64,
	standard_b64decode: from64,
	base64_decode: from64,
	decode_base64: from64,
	decode64: from64,
	strict_decode64: from64,
	urlsafe_decode64: from64,
	a2b_base64: from64,
	atob: from64,
	fromhex: fromHex,
	unhexlify: fromHex,
	a2b_hex: fromHex,
	hex2bin: fromHex,
	str_rot13: (value) => rot13(spoken(value)),
	unquote: percent,
	unquote_plus: percent,
	unescape: percent,
	uri_unescape: percent,
	decodeuri: percent,
	decodeuricomponent: percent,
	urldecode: percent,
	rawurldecode: percent,
	html_entity_decode: percent,
	pack: (value, [form = ""]) => (/^[CcUW]\*?$/.test(spoken(form)) ? characters([value]) : named(form, flat([value]).join(""))),
	unpack: (value, [form = ""]) => [named(form, spoken(value))],
	unpack1: (value, [form = ""]) => named(form, spoken(value)),
	decode: (value, [encoding]) => named(encoding, spoken(value)),
	encode: self,
	tostring: self,
	to_s: self,
	to_str: self,
};
