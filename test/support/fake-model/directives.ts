/** One `fake:NAME key=value ...`. Values are text, or what their JSON says. */
export interface Action {
	name: string;
	args: Args;
}

export class Args {
	readonly #values: Map<string, unknown>;
	constructor(values: Map<string, unknown> = new Map()) {
		this.#values = values;
	}
	has(key: string): boolean {
		return this.#values.has(key);
	}
	value(key: string): unknown {
		return this.#values.get(key);
	}
	text(key: string): string | undefined {
		const value = this.#values.get(key);
		return value === undefined || typeof value === "string" ? value : JSON.stringify(value);
	}
	number(key: string, otherwise: number): number {
		const value = Number(this.#values.get(key) ?? otherwise);
		return Number.isFinite(value) ? value : otherwise;
	}
}

/** A script is a list of steps; a step is the list of actions of one model answer. */
export function parseScript(text: string): Action[][] {
	const steps: Action[][] = [];
	let joined = false;
	for (const piece of splitDirectives(text)) {
		const plus = /\s\+\s*$/.test(piece);
		const action = parseAction(plus ? piece.replace(/\s\+\s*$/, "") : piece);
		const last = steps.at(-1);
		if (joined && last) last.push(action);
		else steps.push([action]);
		joined = plus;
	}
	return steps;
}

export const hasDirectives = (text: string): boolean => splitDirectives(text).length > 0;

function parseAction(source: string): Action {
	const name = /^fake:([a-z]+)/.exec(source)?.[1] ?? "";
	const args = new Map<string, unknown>();
	let i = name.length + 5;
	while (i < source.length) {
		const [all, key] = /^\s*([A-Za-z_]+)=/.exec(source.slice(i)) ?? [];
		if (all === undefined || key === undefined) {
			i++;
			continue;
		}
		i += all.length;
		const c = source.charAt(i);
		let end: number;
		if (c === '"' || c === "'") {
			for (end = i + 1; end < source.length && source[end] !== c; end++) if (source[end] === "\\") end++;
			args.set(key, unescaped(source.slice(i + 1, end)));
			end++;
		} else if (c === "{" || c === "[") {
			end = jsonEnd(source, i);
			args.set(key, parsedOrText(source.slice(i, end)));
		} else {
			end = i + (/^[^\s"']*/.exec(source.slice(i))?.[0].length ?? 0);
			args.set(key, source.slice(i, end));
		}
		i = end;
	}
	return { name, args: new Args(args) };
}

const unescaped = (text: string): string => text.replace(/\\(n|t|.)/gs, (_, c: string) => (c === "n" ? "\n" : c === "t" ? "\t" : c));

function parsedOrText(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return text;
	}
}

/** Index just after the JSON value that starts at `start`. */
function jsonEnd(text: string, start: number): number {
	let depth = 0;
	let inString = false;
	for (let i = start; i < text.length; i++) {
		const c = text.charAt(i);
		if (inString) {
			if (c === "\\") i++;
			else if (c === '"') inString = false;
		} else if (c === '"') inString = true;
		else if (c === "{" || c === "[") depth++;
		else if ((c === "}" || c === "]") && --depth === 0) return i + 1;
	}
	return text.length;
}

/** Directives as they stand in a text, without any inside the quotes or JSON of an earlier one. */
function splitDirectives(text: string): string[] {
	const first = text.search(/(^|[\s"'>(])fake:[a-z]/);
	if (first < 0) return [];
	const pieces: string[] = [];
	let i = text.indexOf("fake:", first);
	let from = i;
	let quote = "";
	for (; i < text.length; i++) {
		const c = text.charAt(i);
		if (quote !== "") {
			if (c === "\\") i++;
			else if (c === quote) quote = "";
			continue;
		}
		const value = text[i - 1] === "=";
		if (value && (c === '"' || c === "'")) quote = c;
		else if (value && (c === "{" || c === "[")) i = jsonEnd(text, i) - 1;
		else if (c === "\n" || c === "<") {
			if (from >= 0) pieces.push(text.slice(from, i));
			from = -1;
		} else if (i !== from && text.startsWith("fake:", i)) {
			if (from >= 0) pieces.push(text.slice(from, i));
			from = i;
		}
	}
	if (from >= 0) pieces.push(text.slice(from));
	return pieces;
}
