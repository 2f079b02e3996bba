import {
	type ArithmeticExpression,
	type DoubleQuotedChild,
	type ParameterExpansionPart,
	type ParameterOperation,
	type ParsedScript,
	parse,
	type Word,
	type WordPart,
} from "unbash";

/*
 * What a word of the shell becomes before the command sees it: quotes removed, variables and substitutions put in, braces and
 * blanks split. Whatever only the running shell can know stands in the result as a mark, so that a word can be known in part:
 * `"$dir/bin/rm"` is a mark and `/bin/rm`.
 */

/** Stands for text that is not known. */
export const UNKNOWN = "\uFFFC";
/** Not known either, and it came from the network. */
export const FETCHED = "\uFFFB";
/** Not known either, and it is the environment or a secret. */
export const PRIVATE = "\uFFFA";
/** Not known either: what was packed, encrypted or encoded in the text itself, so that it cannot be read there. */
export const PACKED = "\uFFF9";
const MARK = /[\uFFF9-\uFFFC]/;
const MARKS = /[\uFFF9-\uFFFC]/g;

/** Whether the text holds no mark. */
export const isKnown = (text: string): boolean => !MARK.test(text);
/** The text as it is where every mark turns out empty. */
export const squeezed = (text: string): string => (isKnown(text) ? text : text.replace(MARKS, ""));
/** Only the marks of a text, each once: what is left of it when a program has turned it into something else. */
export const marksOf = (text: string): string => [PACKED, PRIVATE, FETCHED, UNKNOWN].filter((mark) => text.includes(mark)).join("");

export type Value = string | readonly string[];

/** What words are resolved in. */
export interface Surroundings {
	get(name: string): Value | undefined;
	set(name: string, value: Value): void;
	/** What an array has at a key; undefined: nothing that is known. */
	at(name: string, key: string): string | undefined;
	/** The keys of an array. */
	keys(name: string): readonly string[] | undefined;
	/** `$1`, `$2` ... */
	positional(): readonly string[];
	/** The directory and the home that `~` stands for. */
	readonly home: string;
	cwd(): string;
	/** Runs a substitution; what it prints. */
	substitute(script: ParsedScript | undefined): string;
	/** Runs `<( )` or `>( )`; the path that stands in its place. */
	processPath(script: ParsedScript | undefined, operator: "<" | ">"): string;
	/** Files that this script has written and that a pattern finds, named as the pattern would. */
	found(pattern: string): string[];
	/** Takes from the budget of this judgement; throws `Exhausted` when it is used up. */
	spend(units: number): void;
}

/** Thrown inside the engine only: what was given is too large, too deep or too entangled to judge. */
export class Exhausted extends Error {}

const MAX_VALUE_LENGTH = 65_536;
const MAX_PATTERN_TEXT = 512;

/** A word as the arguments that it becomes: none, one or several. */
export function fieldsOf(word: Word, at: Surroundings): string[] {
	at.spend(1);
	if (!word.parts) return [tilde(word, word.value, at)];
	if (word.parts.some((part) => part.type === "BraceExpansion")) {
		const fields: string[] = [];
		for (const text of braces(word.text, at)) {
			const again = wordFrom(text);
			if (!again) fields.push(UNKNOWN);
			else for (const field of split(again, at)) fields.push(field);
		}
		return fields;
	}
	return split(word, at);
}

/** A word where the shell does not split: an assignment's value, a redirection's target. */
export function textOf(word: Word, at: Surroundings): string {
	at.spend(1);
	if (!word.parts) return tilde(word, word.value, at);
	return tilde(word, joined(word.parts, at), at);
}

/** The text of parts, not split: a heredoc's body, the inside of double quotes. */
export function joined(parts: readonly (WordPart | DoubleQuotedChild)[], at: Surroundings): string {
	const fields = new Fields(at, "");
	for (const part of parts) put(part, true, fields, at);
	return fields.all().join(" ");
}

function split(word: Word, at: Surroundings): string[] {
	if (!word.parts) return [tilde(word, word.value, at)];
	const separators = at.get("IFS");
	const fields = new Fields(at, typeof separators === "string" ? separators : " \t\n");
	for (const part of word.parts) put(part, false, fields, at);
	const all = fields.all();
	const first = all[0];
	if (first !== undefined) all[0] = tilde(word, first, at);
	if (!word.parts.some((part) => part.type === "Glob" || part.type === "ExtendedGlob")) return all;
	// Whatever else lies there, the pattern stands for it.
	return all.flatMap((field) => [...at.found(field), field]);
}

/** Collects the fields of one word. */
class Fields {
	readonly #at: Surroundings;
	readonly #separators: string;
	readonly #done: string[] = [];
	#open: string | undefined;

	constructor(at: Surroundings, separators: string) {
		this.#at = at;
		this.#separators = separators;
	}
	/** Text that stays whole; empty text makes a field too. */
	add(text: string): void {
		this.#at.spend(1 + (text.length >> 6));
		this.#open = (this.#open ?? "") + text;
		if (this.#open.length > MAX_VALUE_LENGTH) throw new Exhausted("a word is too long");
	}
	/** Text that is split where the separators are. */
	addSplitting(text: string): void {
		let start = 0;
		for (let index = 0; index < text.length; index++) {
			if (!this.#separators.includes(text.charAt(index))) continue;
			if (index > start) this.add(text.slice(start, index));
			this.cut();
			start = index + 1;
		}
		if (start < text.length) this.add(text.slice(start));
	}
	cut(): void {
		if (this.#open === undefined) return;
		this.#at.spend(1);
		this.#done.push(this.#open);
		this.#open = undefined;
	}
	all(): string[] {
		this.cut();
		return this.#done;
	}
}

function put(part: WordPart | DoubleQuotedChild, quoted: boolean, fields: Fields, at: Surroundings): void {
	switch (part.type) {
		case "Literal":
		case "SingleQuoted":
		case "AnsiCQuoted":
			fields.add(part.value);
			return;
		case "Glob":
			// `[x]` is found as x, if it is there at all.
			fields.add(/^\[[^\]!^]\]$/.test(part.value) ? part.value.charAt(1) : part.value);
			return;
		case "ExtendedGlob":
		case "BraceExpansion":
			fields.add(part.text);
			return;
		case "DoubleQuoted":
		case "LocaleString":
			// "$@" alone makes no field where there are no arguments; "" does.
			if (part.parts.length === 0) fields.add("");
			for (const child of part.parts) put(child, true, fields, at);
			return;
		case "SimpleExpansion":
			putValue(part.text.slice(1), undefined, quoted, fields, at);
			return;
		case "ParameterExpansion":
			putParameter(part, quoted, fields, at);
			return;
		case "CommandExpansion": {
			const output = at.substitute(part.script).replace(/\n{1,64}$/, "");
			if (quoted) fields.add(output);
			else fields.addSplitting(output);
			return;
		}
		case "ArithmeticExpansion": {
			const number = part.expression && arithmetic(part.expression, at);
			fields.add(number === undefined ? UNKNOWN : String(number));
			return;
		}
		case "ProcessSubstitution":
			fields.add(at.processPath(part.script, part.operator));
			return;
	}
}

const isEach = (name: string): boolean => name === "@" || name === "*";

function putValue(name: string, index: string | undefined, quoted: boolean, fields: Fields, at: Surroundings): void {
	putAll(valueNamed(name, index, at) ?? unset(name), name, index, quoted, fields, at);
}

/** A value by its name: `"${x[*]}"` is one text, joined by the first separator; `"${x[@]}"` is each element by itself. */
function putAll(value: Value, name: string, index: string | undefined, quoted: boolean, fields: Fields, at: Surroundings): void {
	if (quoted && typeof value !== "string" && (name === "*" || index === "*")) {
		const separators = at.get("IFS");
		fields.add(value.join(typeof separators === "string" ? separators.charAt(0) : " "));
	} else putText(value, isEach(name) || isEach(index ?? ""), quoted, fields);
}

function putText(value: Value, each: boolean, quoted: boolean, fields: Fields): void {
	const texts = typeof value === "string" ? [value] : each ? value : [value[0] ?? ""];
	texts.forEach((text, at) => {
		if (at > 0) fields.cut();
		if (quoted) fields.add(text);
		else fields.addSplitting(text);
	});
	if (!each && texts.length === 0 && quoted) fields.add("");
}

/** Names that are not assigned in the text may come from the environment. Arguments that were not given are empty. */
const unset = (name: string): string => (/^[0-9]/.test(name) ? "" : UNKNOWN);

function valueNamed(name: string, index: string | undefined, at: Surroundings): Value | undefined {
	if (isEach(name)) return at.positional();
	if (/^[1-9][0-9]{0,3}$/.test(name)) return at.positional()[Number(name) - 1];
	if (name === "#") return String(at.positional().length);
	const value = at.get(name);
	if (index === undefined) return value;
	const own = isEach(index) ? undefined : at.at(name, index);
	if (own !== undefined || value === undefined) return own;
	const all = typeof value === "string" ? [value] : value;
	if (isEach(index)) return inOrder(name, all, at);
	const place = calculated(index, at);
	if (place === undefined) return typeof value === "string" ? undefined : UNKNOWN;
	return at.at(name, String(place)) ?? all.at(place);
}

/** An array's elements by their indexes, where those have been said: `a=([1]=-rf [0]=rm)`. */
function inOrder(name: string, all: readonly string[], at: Surroundings): readonly string[] {
	const keys = at.keys(name);
	if (keys?.length !== all.length || !keys.every((key) => /^\d{1,6}$/.test(key))) return all;
	const ordered = [...keys].sort((a, b) => Number(a) - Number(b)).map((key) => at.at(name, key));
	return ordered.every((one) => one !== undefined) ? (ordered as string[]) : all;
}

function putParameter(part: ParameterExpansionPart, quoted: boolean, fields: Fields, at: Surroundings): void {
	let name = part.parameter;
	const index = part.index && (isEach(part.index.value) ? part.index.value : textOf(part.index, at));
	if (part.prefix === "!") {
		if (part.operation?.type === "Names") return fields.add(UNKNOWN);
		if (index !== undefined && isEach(index)) {
			const keys = at.keys(name);
			return keys === undefined ? fields.add(UNKNOWN) : putText(keys, true, quoted, fields);
		}
		const target = valueNamed(name, index, at);
		if (typeof target !== "string" || !isKnown(target)) return fields.add(UNKNOWN);
		name = target;
	}
	const value = valueNamed(name, part.prefix === "!" ? undefined : index, at);
	const each = isEach(name) || isEach(index ?? "");
	if (part.prefix === "#") {
		if (value === undefined || (typeof value === "string" && !isKnown(value))) return fields.add(UNKNOWN);
		return fields.add(String(typeof value === "string" ? value.length : each ? value.length : (value[0] ?? "").length));
	}
	const operation = part.operation;
	if (!operation) return putAll(value ?? unset(name), name, index, quoted, fields, at);
	if (operation.type === "Default") return putDefault(operation, name, value, each, quoted, fields, at);
	if (operation.type === "Slice" && each) {
		const all = typeof value === "string" ? [value] : (value ?? []);
		const list = isEach(name) ? ["bash", ...all] : all;
		const from = number(operation.offset, at);
		const count = operation.length && number(operation.length, at);
		if (from === undefined || (operation.length && count === undefined)) return fields.add(UNKNOWN);
		return putText(list.slice(from, count === undefined ? undefined : from + count), true, quoted, fields);
	}
	const changed = (text: string): string => (isKnown(text) ? changedBy(operation, text, at) : text);
	// An operand may hold substitutions; they run even where nothing is known of the variable.
	if (value === undefined) changedBy(operation, "", at);
	putText(value === undefined ? unset(name) : typeof value === "string" ? changed(value) : value.map(changed), each, quoted, fields);
}

function putDefault(
	operation: ParameterOperation & { type: "Default" },
	name: string,
	value: Value | undefined,
	each: boolean,
	quoted: boolean,
	fields: Fields,
	at: Surroundings,
): void {
	const isSet = value !== undefined && (typeof value === "string" || value.length > 0);
	const empty = operation.operator.startsWith(":") ? value === undefined || value.length === 0 || value[0] === "" : !isSet;
	const operand = (): void => {
		if (quoted || !operation.operand.parts) {
			const text = textOf(operation.operand, at);
			if (quoted) fields.add(text);
			else fields.addSplitting(text);
		} else for (const part of operation.operand.parts) put(part, false, fields, at);
	};
	switch (operation.operator) {
		case "+":
		case ":+":
			// Set or not set: where it is not known, take it to be there; but a name that no environment has is most likely not.
			if (!empty || (value === undefined && /^[A-Z]/.test(name))) operand();
			else if (value === undefined && /^[a-z_]/.test(name)) {
				textOf(operation.operand, at);
				fields.add(UNKNOWN);
			}
			return;
		case "?":
		case ":?":
			// Where it is not set, nothing runs.
			putText(value ?? `${UNKNOWN}_`, each, quoted, fields);
			return;
		case "=":
		case ":=":
			if (empty) at.set(name, textOf(operation.operand, at));
			break;
	}
	if (empty) operand();
	else putText(value ?? "", each, quoted, fields);
}

/** `${x::1}`: what is left out is nothing. */
const number = (word: Word, at: Surroundings): number | undefined => calculated(textOf(word, at).trim() || "0", at);

/** Where a number is expected, a variable's name and a calculation are as good. */
export function calculated(text: string, at: Surroundings): number | undefined {
	if (/^-?[0-9]{1,9}$/.test(text)) return Number(text);
	if (!/^[\w\s+*/%()$-]{1,64}$/.test(text)) return undefined;
	at.spend(2);
	const command = parse(`((${text}))`).commands[0]?.command;
	return command?.type === "ArithmeticCommand" && command.expression ? arithmetic(command.expression, at) : undefined;
}

function changedBy(operation: ParameterOperation, text: string, at: Surroundings): string {
	switch (operation.type) {
		case "Slice": {
			const from = number(operation.offset, at);
			const count = operation.length && number(operation.length, at);
			if (from === undefined || (operation.length && count === undefined)) return UNKNOWN;
			const start = from < 0 ? text.length + from : from;
			if (start < 0) return "";
			return text.slice(start, count === undefined ? undefined : count < 0 ? count : start + count);
		}
		case "Remove": {
			const pattern = textOf(operation.operand, at);
			if (!isKnown(pattern) || text.length > MAX_PATTERN_TEXT) return UNKNOWN;
			at.spend(1 + ((text.length * text.length) >> 7));
			return removed(text, pattern, operation.operator);
		}
		case "Replace": {
			const pattern = textOf(operation.pattern, at);
			const replacement = textOf(operation.replacement, at);
			if (!isKnown(pattern) || text.length > MAX_PATTERN_TEXT) return UNKNOWN;
			return replaced(text, pattern, replacement, operation.operator, at);
		}
		case "CaseModification": {
			if (operation.operand) return UNKNOWN;
			const first = text.charAt(0);
			const rest = text.slice(1);
			if (operation.operator === "^^") return text.toUpperCase();
			if (operation.operator === ",,") return text.toLowerCase();
			return (operation.operator === "^" ? first.toUpperCase() : first.toLowerCase()) + rest;
		}
		case "Transform": {
			const how = operation.operand.value;
			if (how === "U") return text.toUpperCase();
			if (how === "L") return text.toLowerCase();
			if (how === "u") return text.charAt(0).toUpperCase() + text.slice(1);
			if (how === "E") return escapes(text);
			// As a prompt: substitutions in it are run.
			if (how === "P" && /\$\(|`/.test(text)) return at.substitute(substitutionsIn(text));
			return how === "Q" ? quoted(text) : UNKNOWN;
		}
		case "Unknown": {
			const swapped = (letter: string): string => (letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase());
			if (operation.operator === "~~") return [...text].map(swapped).join("");
			return operation.operator === "~" ? swapped(text.charAt(0)) + text.slice(1) : UNKNOWN;
		}
		default:
			return UNKNOWN;
	}
}

/** A text as a word of a script again. */
export const quoted = (text: string): string => (/^[A-Za-z0-9_./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function removed(text: string, pattern: string, operator: "#" | "##" | "%" | "%%"): string {
	const lengths = Array.from({ length: text.length + 1 }, (_, length) => length);
	if (operator.length === 2) lengths.reverse();
	for (const length of lengths) {
		if (operator.startsWith("#") && globMatches(pattern, text.slice(0, length))) return text.slice(length);
		if (operator.startsWith("%") && globMatches(pattern, text.slice(text.length - length))) return text.slice(0, text.length - length);
	}
	return text;
}

function replaced(text: string, pattern: string, replacement: string, operator: "/" | "//" | "/#" | "/%", at: Surroundings): string {
	if (pattern === "") return text;
	if (!/[*?[\\]/.test(pattern)) {
		if (operator === "//") return text.replaceAll(pattern, () => replacement);
		if (operator === "/") return text.replace(pattern, () => replacement);
		if (operator === "/#") return text.startsWith(pattern) ? replacement + text.slice(pattern.length) : text;
		return text.endsWith(pattern) ? text.slice(0, -pattern.length) + replacement : text;
	}
	if (operator === "/#" || operator === "/%") return UNKNOWN;
	let result = "";
	let index = 0;
	while (index < text.length) {
		let end = -1;
		for (let stop = text.length; stop > index; stop--) {
			at.spend(1 + ((stop - index) >> 3));
			if (globMatches(pattern, text.slice(index, stop))) {
				end = stop;
				break;
			}
		}
		if (end < 0) result += text.charAt(index++);
		else {
			result += replacement;
			index = end;
			if (operator === "/") break;
		}
	}
	return result + text.slice(index);
}

/** Whether a shell pattern (`*`, `?`, `[...]`, `\`) matches the whole text. At most |pattern| times |text| steps. */
export function globMatches(pattern: string, text: string): boolean {
	let p = 0;
	let t = 0;
	let star = -1;
	let mark = 0;
	while (t < text.length) {
		const width = p < pattern.length ? oneMatches(pattern, p, text.charAt(t)) : 0;
		if (pattern.charAt(p) === "*") {
			star = p++;
			mark = t;
		} else if (width > 0) {
			p += width;
			t++;
		} else if (star >= 0) {
			p = star + 1;
			t = ++mark;
		} else return false;
	}
	while (pattern.charAt(p) === "*") p++;
	return p === pattern.length;
}

/** How much of the pattern at `p` the character uses up; 0: it does not match. */
function oneMatches(pattern: string, p: number, character: string): number {
	const first = pattern.charAt(p);
	if (first === "?") return 1;
	if (first === "\\" && p + 1 < pattern.length) return pattern.charAt(p + 1) === character ? 2 : 0;
	if (first === "[") {
		let close = pattern.indexOf("]", p + (/[!^]/.test(pattern.charAt(p + 1)) ? 3 : 2));
		// `[[:lower:]]`: the class has brackets of its own.
		while (close > 0 && close - p < 128 && /\[[:.=][a-z]{0,16}[:.=]$/.test(pattern.slice(p + 1, close)))
			close = pattern.indexOf("]", close + 1);
		if (close > 0 && close - p < 128) return bracketHas(pattern.slice(p + 1, close), character) ? close - p + 1 : 0;
	}
	return first === character ? 1 : 0;
}

const CLASSES: Readonly<Record<string, RegExp>> = {
	lower: /[a-z]/,
	upper: /[A-Z]/,
	alpha: /[A-Za-z]/,
	digit: /[0-9]/,
	alnum: /[A-Za-z0-9]/,
	punct: /[!-/:-@[-`{-~]/,
	space: /\s/,
	blank: /[ \t]/,
};
function bracketHas(inside: string, character: string): boolean {
	const negated = /^[!^]/.test(inside);
	const set = negated ? inside.slice(1) : inside;
	const name = /\[:([a-z]{1,16}):\]/.exec(set)?.[1];
	let found = name !== undefined ? (CLASSES[name] ?? /./).test(character) : set.startsWith("[.");
	for (let index = 0; index < set.length; index++) {
		if (set.charAt(index + 1) === "-" && index + 2 < set.length) {
			if (character >= set.charAt(index) && character <= set.charAt(index + 2)) found = true;
			index += 2;
		} else if (set.charAt(index) === character) found = true;
	}
	return found !== negated;
}

/** `printf`'s, `echo -e`'s and `$'...'`'s backslashes. */
export function escapes(text: string): string {
	if (!text.includes("\\")) return text;
	return text.replace(/\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|0?[0-7]{1,3}|c|[abeEfnrtv\\'"])/g, (_, what: string) => {
		const first = what.charAt(0);
		if (/[xuU]/.test(first)) return fromCode(Number.parseInt(what.slice(1), 16));
		if (/[0-7]/.test(first)) return fromCode(Number.parseInt(what, 8) & 0xff);
		return { a: "\x07", b: "\b", e: "\x1b", E: "\x1b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", c: "" }[first] ?? first;
	});
}
const fromCode = (code: number): string => (code <= 0x10ffff ? String.fromCodePoint(code) : UNKNOWN);

/** Value of arithmetic over what is known; the substitutions in it run in any case. */
function arithmetic(expression: ArithmeticExpression, at: Surroundings): number | undefined {
	at.spend(1);
	switch (expression.type) {
		case "ArithmeticGroup":
			return arithmetic(expression.expression, at);
		case "ArithmeticWord": {
			const text = expression.parts ? joined(expression.parts, at) : expression.value;
			if (/^[0-9]{1,9}$/.test(text)) return /^0[0-7]/.test(text) ? Number.parseInt(text, 8) : Number(text);
			if (/^0x[0-9a-fA-F]{1,8}$/.test(text)) return Number(text);
			const base = /^([0-9]{1,2})#([0-9a-zA-Z]{1,9})$/.exec(text);
			if (base) {
				const value = Number.parseInt(base[2] ?? "", Number(base[1]) || 10);
				return Number.isNaN(value) ? undefined : value;
			}
			const value = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(text) ? at.get(text) : undefined;
			if (typeof value === "string") runSubscript(value, at);
			return typeof value === "string" && /^-?[0-9]{1,9}$/.test(value) ? Number(value) : undefined;
		}
		case "ArithmeticCommandExpansion": {
			const output = at.substitute(expression.script).trim();
			return /^[0-9]{1,9}$/.test(output) ? Number(output) : undefined;
		}
		case "ArithmeticUnary": {
			const value = arithmetic(expression.operand, at);
			if (value === undefined) return undefined;
			switch (expression.operator) {
				case "-":
					return -value;
				case "+":
					return value;
				case "!":
					return Number(value === 0);
				case "~":
					return ~value;
				case "++":
				case "--": {
					const next = expression.operator === "++" ? value + 1 : value - 1;
					if (expression.operand.type === "ArithmeticWord") at.set(expression.operand.value, String(next));
					return expression.prefix ? next : value;
				}
				default:
					return undefined;
			}
		}
		case "ArithmeticTernary": {
			const test = arithmetic(expression.test, at);
			const [yes, no] = [arithmetic(expression.consequent, at), arithmetic(expression.alternate, at)];
			return test === undefined ? undefined : test !== 0 ? yes : no;
		}
		case "ArithmeticBinary": {
			const left = arithmetic(expression.left, at);
			const right = arithmetic(expression.right, at);
			const assigns = /^(\+|-|\*|\/|%|<<|>>|&|\^|\|)?=$/.exec(expression.operator);
			if (!assigns) return calculate(expression.operator, left, right);
			const value = assigns[1] === undefined ? right : calculate(assigns[1], left, right);
			if (expression.left.type === "ArithmeticWord") at.set(expression.left.value, value === undefined ? UNKNOWN : String(value));
			return value;
		}
	}
}

function calculate(operator: string, left: number | undefined, right: number | undefined): number | undefined {
	if (operator === ",") return right;
	if (left === undefined || right === undefined) return undefined;
	switch (operator) {
		case "+":
			return left + right;
		case "-":
			return left - right;
		case "*":
			return left * right;
		case "/":
			return right === 0 ? undefined : Math.trunc(left / right);
		case "%":
			return right === 0 ? undefined : left % right;
		case "**":
			return left ** right;
		case "<":
			return Number(left < right);
		case ">":
			return Number(left > right);
		case "<=":
			return Number(left <= right);
		case ">=":
			return Number(left >= right);
		case "==":
			return Number(left === right);
		case "!=":
			return Number(left !== right);
		case "&&":
			return Number(left !== 0 && right !== 0);
		case "||":
			return Number(left !== 0 || right !== 0);
		case "&":
			return left & right;
		case "|":
			return left | right;
		case "^":
			return left ^ right;
		case "<<":
			return left << right;
		case ">>":
			return left >> right;
		default:
			return undefined;
	}
}

/** A text that is evaluated as a number or a variable's name: `a[$(x)]` runs x, wherever the text comes from. */
export function runSubscript(given: string, at: Surroundings, named = false): void {
	const value = named && /^[A-Za-z_]\w{0,63}$/.test(given) ? at.get(given) : undefined;
	const text = typeof value === "string" ? value : given;
	if (/^[A-Za-z_]\w{0,63}\[[^\]]{0,4096}(\$\(|`)/.test(text)) at.substitute(substitutionsIn(text));
}

/** A script of the substitutions in a text that is expanded later: a prompt, a subscript. */
export function substitutionsIn(text: string): ParsedScript | undefined {
	const from = text.search(/\$\(|`/);
	const to = Math.max(text.lastIndexOf(")"), text.lastIndexOf("`"));
	return from < 0 || to < from ? undefined : parse(`: ${text.slice(from, to + 1)}`);
}

/** Runs arithmetic that stands by itself; its value, as far as it is known. */
export const runArithmetic = (expression: ArithmeticExpression | undefined, at: Surroundings): number | undefined =>
	expression && arithmetic(expression, at);

function tilde(word: Word, value: string, at: Surroundings): string {
	if (!word.text.startsWith("~") || !value.startsWith("~")) return value;
	const end = value.indexOf("/");
	const who = end < 0 ? value.slice(1) : value.slice(1, end);
	const rest = end < 0 ? "" : value.slice(end);
	if (who === "") return at.home + rest;
	if (who === "+") return at.cwd() + rest;
	if (who === "-") {
		const last = at.get("OLDPWD");
		return (typeof last === "string" ? last : UNKNOWN) + rest;
	}
	if (who === "root") return `/root${rest}`;
	return /^[a-z_][a-z0-9_-]{0,31}$/.test(who) ? `/home/${who}${rest}` : value;
}

/** A word from its source, parsed by itself. */
function wordFrom(source: string): Word | undefined {
	const script = parse(`_ ${source}`);
	const command = script.commands[0]?.command;
	if (script.errors?.length || script.commands.length !== 1 || command?.type !== "Command" || command.suffix.length !== 1) return undefined;
	const word = command.args[0];
	return word?.type === "Word" ? word : undefined;
}

const MAX_BRACE_WORDS = 256;

/** The source of a word, its braces taken apart as bash does before anything else: sources of words without braces. */
function braces(source: string, at: Surroundings): string[] {
	const done: string[] = [];
	const open = [source];
	for (let next = open.shift(); next !== undefined; next = open.shift()) {
		at.spend(1 + (next.length >> 6));
		const found = firstBrace(next, at);
		if (!found) done.push(next);
		else open.unshift(...found);
		if (done.length + open.length > MAX_BRACE_WORDS) throw new Exhausted("braces expand to too many words");
	}
	return done;
}

/** The sources that the first brace expansion of a source becomes; undefined: it has none. */
function firstBrace(source: string, at: Surroundings): string[] | undefined {
	for (let start = 0; start < source.length; start = skip(source, start)) {
		if (source.charAt(start) !== "{") continue;
		const commas: number[] = [];
		let depth = 0;
		let end = start;
		for (; end < source.length; end = skip(source, end)) {
			const character = source.charAt(end);
			if (character === "{") depth++;
			else if (character === "," && depth === 1) commas.push(end);
			else if (character === "}" && --depth === 0) break;
		}
		at.spend((end - start) >> 4);
		if (end >= source.length) continue;
		const before = source.slice(0, start);
		const after = source.slice(end + 1);
		const inside = source.slice(start + 1, end);
		if (commas.length > 0) {
			const cuts = [start, ...commas, end];
			return cuts.slice(1).map((stop, index) => before + source.slice((cuts[index] ?? start) + 1, stop) + after);
		}
		const range = sequence(inside);
		if (range) return range.map((item) => before + item + after);
	}
	return undefined;
}

/** The index after what stands at this one, quotes, escapes and expansions taken whole. */
function skip(source: string, index: number): number {
	const character = source.charAt(index);
	if (character === "\\") return index + 2;
	if (character === "'") return after(source, "'", index + 1);
	if (character === '"') {
		let at = index + 1;
		while (at < source.length && source.charAt(at) !== '"') at += source.charAt(at) === "\\" ? 2 : 1;
		return at + 1;
	}
	if (character === "$" && source.charAt(index + 1) === "'") {
		let at = index + 2;
		while (at < source.length && source.charAt(at) !== "'") at += source.charAt(at) === "\\" ? 2 : 1;
		return at + 1;
	}
	if (character === "`") return after(source, "`", index + 1);
	if (character === "$" && (source.charAt(index + 1) === "{" || source.charAt(index + 1) === "(")) {
		const opening = source.charAt(index + 1);
		const closing = opening === "{" ? "}" : ")";
		let depth = 0;
		for (let at = index + 1; at < source.length; at++) {
			if (source.charAt(at) === "\\") at++;
			else if (source.charAt(at) === opening) depth++;
			else if (source.charAt(at) === closing && --depth === 0) return at + 1;
		}
		return source.length;
	}
	return index + 1;
}
const after = (source: string, what: string, from: number): number => {
	const found = source.indexOf(what, from);
	return found < 0 ? source.length : found + 1;
};

/** `1..5`, `a..e`, `01..10..2`. */
function sequence(inside: string): string[] | undefined {
	const numbers = /^(-?[0-9]{1,9})\.\.(-?[0-9]{1,9})(?:\.\.(-?[0-9]{1,9}))?$/.exec(inside);
	const letters = numbers ? null : /^([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?[0-9]{1,9}))?$/.exec(inside);
	const bounds = numbers ?? letters;
	if (!bounds) return undefined;
	const [, first = "", last = "", by] = bounds;
	const start = numbers ? Number(first) : first.charCodeAt(0);
	const stop = numbers ? Number(last) : last.charCodeAt(0);
	const step = Math.max(1, Math.abs(Number(by ?? 1)));
	// Of a long range of numbers, the first and the last tell as much as all.
	if (Math.abs(stop - start) / step > 64 && numbers) return [String(start), String(stop)];
	const width = /^-?0[0-9]/.test(first) || /^-?0[0-9]/.test(last) ? Math.max(first.length, last.length) : 0;
	const items: string[] = [];
	for (let value = start; start <= stop ? value <= stop : value >= stop; value += start <= stop ? step : -step)
		items.push(numbers ? String(value).padStart(width, "0") : String.fromCharCode(value));
	return items;
}
