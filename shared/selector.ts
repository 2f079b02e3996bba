import { MAX_SELECTOR_BYTES } from "./limits.ts";
import { err, ok, type Result } from "./result.ts";

/**
 * Which runners a session may go to, by their labels, in Kubernetes' words: `gpu=true`, `gpu!=true`, `os in (linux, darwin)`,
 * `os notin (linux)`, `gpu` (it has the label), `!spot` (it has not), joined by commas that mean "and". As there, `!=` and
 * `notin` are also true of a runner without the label.
 */
export type Selector = Requirement[];
export type Requirement = { key: string; is: "in" | "notin"; values: string[] } | { key: string; is: "present" | "absent" };

export interface SelectorError {
	/** Which character, from 1; one after the last if it ends too early. */
	at: number;
	expected: string;
	found: string;
}

/** What names and values are made of. Labels that hold anything else can be asked for by their name alone, or not at all. */
const WORD = /[A-Za-z0-9_./:@+~-]+/y;
const SPACE = /[ \t\r\n]*/y;

/** A text to its requirements in canonical order, each once. An empty one is an error: an unset variable must not mean "any runner". */
export function parseSelector(text: string): Result<Selector, SelectorError> {
	if (text.length > MAX_SELECTOR_BYTES) return err(tooLong(text));
	const reader = new Reader(text);
	const requirements: Requirement[] = [];
	do {
		const one = requirement(reader);
		if (one === null) return err(reader.error());
		requirements.push(one);
	} while (reader.takes(","));
	if (!reader.isAtEnd) return err(reader.error("a comma or the end"));
	// What is kept is the canonical text, which must be taken again.
	const kept = selectorText(requirements);
	return kept.length > MAX_SELECTOR_BYTES ? err(tooLong(kept)) : ok(canonical(requirements));
}

/** The canonical text: selectors that say the same in another order or form have the same. `parseSelector` takes it back. */
export const selectorText = (selector: Selector): string => canonical(selector).map(textOf).join(",");

export const selectorErrorText = ({ at, expected, found }: SelectorError): string =>
	`at character ${at}: expected ${expected}, found ${found}`;

/** Whether a runner with these labels meets all requirements. */
export const matches = (selector: Selector, labels: Record<string, string>): boolean => selector.every((r) => isMet(r, labels));

function isMet(r: Requirement, labels: Record<string, string>): boolean {
	// Own ones only: every object has a "constructor".
	const value = Object.hasOwn(labels, r.key) ? labels[r.key] : undefined;
	switch (r.is) {
		case "present":
			return value !== undefined;
		case "absent":
			return value === undefined;
		case "in":
			return value !== undefined && r.values.includes(value);
		case "notin":
			return value === undefined || !r.values.includes(value);
	}
}

const tooLong = (text: string): SelectorError => ({
	at: MAX_SELECTOR_BYTES + 1,
	expected: `at most ${MAX_SELECTOR_BYTES} characters`,
	found: `${text.length}`,
});

/** One requirement, or null: the reader then stands where it went wrong. */
function requirement(reader: Reader): Requirement | null {
	if (reader.takes("!")) {
		const key = reader.word("a label's name");
		return key === null ? null : { key, is: "absent" };
	}
	const key = reader.word("a label's name");
	if (key === null) return null;
	const negated = reader.takes("!=");
	if (negated || reader.takes("==") || reader.takes("=")) {
		const value = reader.word("a value");
		return value === null ? null : { key, is: negated ? "notin" : "in", values: [value] };
	}
	if (reader.isAt(",") || reader.isAtEnd) return { key, is: "present" };
	const is = reader.keyword();
	if (is === null) return null;
	if (!reader.takes("(")) return reader.fails('"("');
	const values: string[] = [];
	do {
		const value = reader.word("a value");
		if (value === null) return null;
		values.push(value);
	} while (reader.takes(","));
	return reader.takes(")") ? { key, is, values } : reader.fails('a comma or ")"');
}

class Reader {
	readonly #text: string;
	#at = 0;
	#expected = "";

	constructor(text: string) {
		this.#text = text;
		this.#skipSpace();
	}

	get isAtEnd(): boolean {
		return this.#at === this.#text.length;
	}

	isAt(mark: string): boolean {
		return this.#text.startsWith(mark, this.#at);
	}

	takes(mark: string): boolean {
		if (!this.isAt(mark)) return false;
		this.#at += mark.length;
		this.#skipSpace();
		return true;
	}

	word(expected: string): string | null {
		const word = this.#peek();
		if (word === null) return this.fails(expected);
		this.takes(word);
		return word;
	}

	keyword(): "in" | "notin" | null {
		const word = this.#peek();
		if (word !== "in" && word !== "notin") return this.fails("=, !=, in, notin, a comma or the end");
		this.takes(word);
		return word;
	}

	fails(expected: string): null {
		this.#expected = expected;
		return null;
	}

	error(expected = this.#expected): SelectorError {
		const found = this.isAtEnd ? "the end" : JSON.stringify(this.#peek() ?? String.fromCodePoint(this.#text.codePointAt(this.#at) ?? 0));
		return { at: this.#at + 1, expected, found };
	}

	#peek(): string | null {
		WORD.lastIndex = this.#at;
		return WORD.exec(this.#text)?.[0] ?? null;
	}

	#skipSpace(): void {
		SPACE.lastIndex = this.#at;
		this.#at += SPACE.exec(this.#text)?.[0].length ?? 0;
	}
}

function canonical(selector: Selector): Selector {
	const each = selector.map((r) => ("values" in r ? { ...r, values: [...new Set(r.values)].sort() } : r));
	return [...new Map(each.map((r) => [textOf(r), r] as const))].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, r]) => r);
}

function textOf(r: Requirement): string {
	switch (r.is) {
		case "present":
			return r.key;
		case "absent":
			return `!${r.key}`;
		case "in":
		case "notin":
			return r.values.length === 1 ? `${r.key}${r.is === "in" ? "=" : "!="}${r.values[0]}` : `${r.key} ${r.is} (${r.values.join(", ")})`;
	}
}
