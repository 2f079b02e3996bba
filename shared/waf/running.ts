import { deleteRule, isPersonal, located, readRule, writeRule } from "./paths.ts";
import { baseName, type Call, type Rule } from "./rules/rule.ts";
import { shellRules as r } from "./rules/shell.ts";
import type { Place } from "./verdict.ts";

/*
 * A program as it is about to run: its name, its words, and what rules may ask and say of it. What they say goes on to the shell.
 */

/** Programs that are shells. */
export const SHELLS = new Set([
	"sh",
	"bash",
	"dash",
	"zsh",
	"ksh",
	"ksh93",
	"mksh",
	"ash",
	"rbash",
	"yash",
	"csh",
	"tcsh",
	"fish",
	"pdksh",
	"lksh",
	"posh",
	"rsh-shell",
	"elvish",
	"xonsh",
	"hush",
]);

/** Begins what stands for a program of the system in a file; the rest is its path. */
export const COPIED = "\x7f/";

/** What a `Running` call asks of the shell. */
export interface Engine {
	hit(rule: Rule, evidence: string): void;
	argv(argv: readonly string[], through: string, stdin: string | null | undefined, environment: ReadonlyMap<string, string>): string;
	script(text: string, through: string, args: readonly string[], stdin: string | null | undefined): string;
	maybe(text: string, through: string): void;
	linked(from: string, to: string): void;
	behind(path: string): string;
	perhaps(work: () => void): void;
	filesBelow(directory: string): [string, string][];
	fetched(evidence: string): void;
	code(call: Call, language: string, text: string): void;
	file(path: string): string | undefined;
	filesIn(directories: readonly string[]): string[];
	variable(name: string): string | undefined;
	spend(units: number): void;
	wrote(path: string, content: string): void;
	fetches(dubious: boolean): void;
	dubious(): boolean;
	namedSecret(): boolean;
	did(what: string): boolean;
}

export class Running implements Call {
	readonly #engine: Engine;
	readonly name: string;
	readonly program: string;
	readonly args: readonly string[];
	readonly stdin: string | null;
	readonly place: Place;
	readonly via: readonly string[];
	readonly environment: ReadonlyMap<string, string>;
	/** What it prints may be the secret that it has read. */
	sawSecret = false;

	constructor(
		engine: Engine,
		argv: readonly string[],
		stdin: string | null,
		place: Place,
		via: readonly string[],
		environment: ReadonlyMap<string, string>,
	) {
		this.#engine = engine;
		this.program = argv[0] ?? "";
		this.name = nameOf(this.program);
		this.args = argv.slice(1);
		this.stdin = stdin;
		this.place = place;
		this.via = via;
		this.environment = environment;
	}
	text(): string {
		return [this.program, ...this.args.slice(0, 64)].join(" ").slice(0, 600);
	}
	hit(rule: Rule, evidence?: string): void {
		if (rule.id === "print-credential") this.sawSecret = true;
		this.#engine.hit(rule, evidence ?? this.text());
	}
	argv(argv: readonly string[], through = this.name, stdin?: string | null, environment = this.environment): string {
		return this.#engine.argv(argv, through, stdin, environment);
	}
	script(text: string, through = this.name, args: readonly string[] = [], stdin?: string | null): string {
		return this.#engine.script(text, through, args, stdin);
	}
	maybe(text: string, through: string): void {
		this.#engine.maybe(text, through);
	}
	perhaps(work: () => void): void {
		this.#engine.perhaps(work);
	}
	filesBelow(directory: string): [string, string][] {
		return this.#engine.filesBelow(located(directory, this.place));
	}
	runsFetched(): void {
		this.#engine.fetched(this.text());
	}
	code(language: string, text: string): void {
		this.#engine.code(this, language, text);
	}
	linked(from: string, to: string): void {
		this.#engine.linked(located(from, this.place), located(to, this.place));
	}
	/** A path as it is where what this script has linked is followed. */
	behind(path: string): string {
		if (path === "") return path;
		const where = located(path, this.place);
		const behind = this.#engine.behind(where);
		return behind === where ? path : behind;
	}
	reads(given: string): void {
		const path = this.behind(given);
		// Everybody may read them here; to send them elsewhere is another matter.
		if (isPersonal(path, this.place)) this.sawSecret = true;
		const rule = path === "" ? undefined : readRule(path, this.place);
		if (!rule) return;
		if (rule.category === "read_secrets") this.sawSecret = true;
		this.hit(rule);
	}
	writes(given: string, append = false): void {
		const path = this.behind(given);
		// A file that is called like an option becomes one as soon as a pattern finds it.
		if (/(^|\/)--?[a-z][a-z-]{1,40}=/.test(path)) this.hit(r["shell-escape"]);
		const rule = path === "" ? undefined : writeRule(path, this.place, append);
		if (rule) this.hit(rule);
	}
	deletes(given: string, recursive: boolean): void {
		const path = this.behind(given);
		const rule = path === "" ? undefined : deleteRule(path, recursive, this.place);
		if (rule) this.hit(rule);
	}
	file(path: string): string | undefined {
		return this.#engine.file(located(path, this.place));
	}
	filesIn(paths: readonly string[]): string[] {
		const absolute = paths.slice(0, 64).flatMap((path) => [path, path.slice(path.search(/[=:@,]/) + 1)]);
		for (const value of this.environment.values()) absolute.push(value, ...value.split(/[\s=:]/, 16));
		return this.#engine.filesIn(absolute.map((path) => located(path, this.place)));
	}
	variable(name: string): string | undefined {
		return this.#engine.variable(name);
	}
	spend(units: number): void {
		this.#engine.spend(units);
	}
	wrote(path: string, content: string): void {
		this.#engine.wrote(located(path, this.place), content);
	}
	wroteBelow(directory: string, content: string): void {
		this.#engine.wrote(`${located(directory, this.place)}/`, content);
	}
	fetches(dubious: boolean): void {
		this.#engine.fetches(dubious);
	}
	did(what: string): boolean {
		return this.#engine.did(what);
	}
	get namedSecret(): boolean {
		return this.#engine.namedSecret();
	}
	get fetchedBlindly(): boolean {
		return this.#engine.dubious();
	}
}

/** `/usr/bin/python3.11` is `python`; `nc.traditional` is `nc`. */
export function nameOf(program: string): string {
	const name = baseName(program);
	// The shell itself, by the kernel's name for it.
	if (name === "exe" && /^\/proc\/[^/]{1,32}\/exe$/.test(program)) return "bash";
	const versioned =
		/^(python|pypy|perl|ruby|php|lua|luajit|node|tclsh|wish|guile|gawk|vim|java|gcc|clang|pip|julia|erl|rake|irb|expect|ksh|psql|ld-linux)[-0-9._]/.exec(
			name,
		);
	if (versioned) return versioned[1] === "ld-linux" ? "ld.so" : (versioned[1] ?? name);
	const alternative =
		/^(nc|vim|awk|netcat|ksh|telnet|ftp|at|rsh|vi|view)\.(traditional|openbsd|basic|tiny|nox|gtk3?|netkit|bsd|gnu|mawk|gawk|inetutils|.{0,8})$/.exec(
			name,
		);
	return alternative?.[1] ?? name;
}
