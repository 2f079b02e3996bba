import type { Category, Judgement, Place, VerdictName } from "../verdict.ts";
import { FETCHED, isKnown, PRIVATE, UNKNOWN } from "../words.ts";

/** One thing that the engine objects to. */
export interface Rule {
	id: string;
	category: Category;
	verdict: Exclude<VerdictName, "allow">;
	/** In words for a person: what the command would do. */
	reason: string;
	/** What to do instead. */
	suggestion?: string;
	/** Commands that it must object to, and commands that look alike and that it must leave alone. They are its tests. */
	examples: { match: readonly string[]; pass: readonly string[] };
}

interface RuleText extends Omit<Rule, "id" | "category" | "examples"> {
	match: readonly string[];
	pass: readonly string[];
}

/** Gives each rule its id, from its key, and its category. */
export function rules<Id extends string>(category: Category, texts: Record<Id, RuleText>): Record<Id, Rule> {
	const table = {} as Record<Id, Rule>;
	for (const id of Object.keys(texts) as Id[]) {
		const { verdict, reason, suggestion, match, pass } = texts[id];
		table[id] = { id, category, verdict, reason, ...(suggestion !== undefined && { suggestion }), examples: { match, pass } };
	}
	return table;
}

/** A program that is about to run, its words resolved; and what a rule may do with it. */
export interface Call {
	/** The last part of the program's path, `python3.11` as `python`. */
	readonly name: string;
	/** The program as it was written. */
	readonly program: string;
	/** Resolved; what is not known stands in them as a mark. */
	readonly args: readonly string[];
	/** What it reads from its standard input; null: whatever the session has. */
	readonly stdin: string | null;
	/** The directory that it runs in is this place's `cwd`. */
	readonly place: Place;
	/** Programs that this one was reached through, the outermost first: `sudo`, `find`, `python`. */
	readonly via: readonly string[];
	/** Assignments before the command. */
	readonly environment: ReadonlyMap<string, string>;

	/** Objects. The gravest objection counts; of equal ones the first. */
	hit(rule: Rule, evidence?: string): void;
	/** Judges a command that this one runs; what it prints. */
	argv(argv: readonly string[], through?: string, stdin?: string | null, environment?: ReadonlyMap<string, string>): string;
	/** Judges a script that this one has a shell run; what it prints. `args` are `$0`, `$1` ... */
	script(text: string, through?: string, args?: readonly string[], stdin?: string | null): string;
	/** The same for a text that may be a script or may be something else: that it does not parse says nothing. */
	maybe(text: string, through: string): void;
	/** Judges what this one may run, or may only have around it: only what is denied counts. */
	perhaps(work: () => void): void;
	/** What this script has written to files below a directory. */
	filesBelow(directory: string): [path: string, content: string][];
	/** Objects to running what came from the network. */
	runsFetched(): void;
	/** Judges a program text in another language. */
	code(language: string, text: string): void;
	/** Judges what becomes of a path. */
	reads(path: string): void;
	writes(path: string, append?: boolean): void;
	deletes(path: string, recursive: boolean): void;
	/** A path as it is where such links are followed. */
	behind(path: string): string;
	/** Says that a directory is found at another path as well. */
	linked(from: string, to: string): void;
	/** Content of a file that this script has written before; undefined: not by it. */
	file(path: string): string | undefined;
	/** Contents of what this script has written to these paths and to files right below them. */
	filesIn(paths: readonly string[]): string[];
	/** A variable's value as the program would find it in its environment; undefined: not known. */
	variable(name: string): string | undefined;
	/** Takes from the budget of the judgement: whoever goes through a text pays for its length, since a text can ask for it thousands of times. */
	spend(units: number): void;
	/** Remembers what a file holds from here on. */
	wrote(path: string, content: string): void;
	/** The same for all that a directory holds. */
	wroteBelow(directory: string, content: string): void;
	/** Says that this script fetches something, and whether from where nobody should run code from. */
	fetches(dubious: boolean): void;
	/** Whether this script has looked at a variable that is called like a secret. */
	readonly namedSecret: boolean;
	/** Whether this script has run a program with these words before. */
	did(what: string): boolean;
	/** Whether this script has fetched something from there. */
	readonly fetchedBlindly: boolean;
}

export type Judge = (call: Call) => void;
/** What looks at which programs, by their names. */
export type Judges = readonly { names: readonly string[]; judge: Judge }[];

/** A program's options, taken apart as getopt does. */
export class Options {
	readonly #flags = new Map<string, string[]>();
	readonly #valued: readonly string[];
	readonly operands: readonly string[];

	/**
	 * @param withValue options that take a value, by blanks: `-o -n --lines`
	 * @param stopEarly the first operand ends the options: what follows is another command
	 */
	constructor(args: readonly string[], withValue = "", stopEarly = false) {
		const valued = withValue.split(" ");
		this.#valued = valued;
		const operands: string[] = [];
		for (let index = 0; index < args.length; index++) {
			const arg = args[index] ?? "";
			if (arg === "--") {
				operands.push(...args.slice(index + 1));
				break;
			}
			if (arg.startsWith("--")) {
				const equals = arg.indexOf("=");
				const flag = equals < 0 ? arg : arg.slice(0, equals);
				if (equals >= 0) this.#add(flag, arg.slice(equals + 1));
				else if (valued.includes(flag) || (flag.length > 4 && valued.some((name) => name.startsWith(flag))))
					this.#add(flag, args[++index] ?? "");
				else this.#add(flag, "");
			} else if (arg.length > 1 && /^[-]/.test(arg)) {
				for (let at = 1; at < arg.length; at++) {
					const flag = `-${arg.charAt(at)}`;
					if (valued.includes(flag)) {
						this.#add(flag, at + 1 < arg.length ? arg.slice(at + 1) : (args[++index] ?? ""));
						break;
					}
					this.#add(flag, "");
				}
			} else if (stopEarly) {
				operands.push(...args.slice(index));
				break;
			} else operands.push(arg);
		}
		this.operands = operands;
	}

	#add(flag: string, value: string): void {
		const values = this.#flags.get(flag);
		if (values) values.push(value);
		else this.#flags.set(flag, [value]);
	}
	/** Whether one of them is given; long ones may be cut short. */
	has(...names: string[]): boolean {
		return names.some((name) => this.values(name).length > 0);
	}
	/** Values of an option, as often as it is given. */
	values(...names: string[]): string[] {
		const found: string[] = [];
		for (const name of names)
			for (const [flag, values] of this.#flags)
				if (flag === name || (flag.length > 2 && name.startsWith(flag) && name.startsWith("--") && !this.#valued.includes(flag)))
					found.push(...values);
		return found;
	}
	value(...names: string[]): string | undefined {
		return this.values(...names)[0];
	}
}

/** Options that aws takes before and behind its words, and that have a value. */
export const AWS_OPTIONS =
	"--output --region --profile --endpoint-url --query --color --ca-bundle --cli-read-timeout --cli-connect-timeout --cli-binary-format";

/** A judge for some programs; several may look at the same one. */
export const each = (names: string, judge: Judge): Judges[number] => ({ names: names.split(" "), judge });

/** Marks as words for a person. */
const spoken = (evidence: string): string =>
	isKnown(evidence)
		? evidence
		: evidence.slice(0, 512).replaceAll(FETCHED, "(what was fetched)").replaceAll(PRIVATE, "(a secret)").replaceAll(UNKNOWN, "(not known)");
const cut = (text: string): string => (text.length > 512 ? `${text.slice(0, 511)}…` : text);

/** A judgement that a rule gives; its evidence cut to 512 units, without marks. */
export const judgementOf = (rule: Rule, evidence: string): Judgement => ({
	verdict: rule.verdict,
	rule: rule.id,
	category: rule.category,
	reason: rule.reason,
	...(rule.suggestion !== undefined && { suggestion: rule.suggestion }),
	evidence: cut(spoken(evidence)),
});

/** The last part of a path. */
export const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

/** A host's name or address out of a URL or `host:port`; empty: not known. */
export function hostOf(text: string): string {
	const rest = /^[a-z][a-z0-9+.-]{0,15}:\/\//i.test(text) ? text.slice(text.indexOf("://") + 3) : text;
	const authority = rest.split(/[/?#]/, 1)[0] ?? "";
	const host = authority.slice(authority.lastIndexOf("@") + 1).toLowerCase();
	if (host.startsWith("[")) return host.slice(1, host.indexOf("]"));
	return isKnown(host) ? dotted(host.split(":", 1)[0] ?? "") : "";
}

/** An IPv4 address in its usual spelling, out of any that inet_aton takes: `0xa9.254.0251.254`, `2852039166`. Names stay as they are. */
function dotted(host: string): string {
	if (!/^(0x[0-9a-f]{1,8}|\d{1,10})(\.(0x[0-9a-f]{1,8}|\d{1,10})){0,3}$/.test(host) || /^\d{1,5}$/.test(host)) return host;
	const parts = host.split(".").map((part) => (/^0[0-7]+$/.test(part) ? Number.parseInt(part, 8) : Number(part)));
	const last = parts.pop() ?? 0;
	// The last number fills all bytes that are left.
	const bytes = [...parts, ...[24, 16, 8, 0].slice(parts.length).map((shift) => Math.floor(last / 2 ** shift) % 256)];
	return bytes.every((byte) => byte <= 255) ? bytes.join(".") : host;
}

/** Loopback in its many spellings. */
export const isLoopback = (host: string): boolean =>
	host === "localhost" || host.endsWith(".localhost") || /^127\./.test(host) || host === "::1" || host === "0.0.0.0" || host === "0";
