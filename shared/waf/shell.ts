import {
	type Command,
	type CommandNode,
	type CompoundList,
	type ParsedScript,
	type PipelineNode,
	parse,
	type Redirection,
	type Statement,
	type TestExpression,
} from "unbash";
import { judgeCode } from "./code.ts";
import { homeOf, isPersonal, isPlainSetting, isSettingByContent, located, pathRules, readRule, writeRule } from "./paths.ts";
import { outputOf } from "./programs.ts";
import { destroyRules, isSystemLog } from "./rules/destroy.ts";
import { exfiltrateRules, isShady, remoteRules } from "./rules/network.ts";
import { baseName, isLoopback, judgementOf, Options, type Rule } from "./rules/rule.ts";
import { shellRules as r } from "./rules/shell.ts";
import { judgeAny, judges } from "./rules.ts";
import { COPIED, type Engine, nameOf, Running, SHELLS } from "./running.ts";
import { Branches, Scope } from "./scope.ts";
import { bombs, endless, groupsOf, refuseDepth, startsShell } from "./shapes.ts";
import { graver, type Judgement, NO_OBJECTION, type Place } from "./verdict.ts";
import {
	calculated,
	Exhausted,
	FETCHED,
	fieldsOf,
	globMatches,
	isKnown,
	joined,
	marksOf,
	PACKED,
	PRIVATE,
	quoted,
	runArithmetic,
	runSubscript,
	type Surroundings,
	squeezed,
	textOf,
	UNKNOWN,
	type Value,
} from "./words.ts";
import { wrappers } from "./wrappers.ts";

/*
 * Follows a script without running it: statement by statement, with the variables, functions, directories and files that it makes on
 * its way, and judges every program that it would start. What a program prints is followed too where it can be said beforehand
 * (`echo cm0gLXJmIC8= | base64 -d | sh`); where it cannot, a mark takes its place.
 *
 * Branches and loops are all taken: what could run is judged as if it did.
 */

/** Where services that the machine stands on say which process they are. */
const SYSTEM_PID_FILE =
	/^\/(var\/)?run\/([\w-]{1,32}\/)?(auditd|sshd|rsyslogd|syslogd|crond?|atd|dbus|systemd-\w{1,32}|firewalld|fail2ban|osqueryd?|falco|wazuh[\w-]{0,32}|clamd|dockerd?|containerd|NetworkManager|init)(\/pid|\.pid)$/;
/** Variables through which interpreters and loaders find what they run. */
const HIJACKS =
	/^(BASH_ENV|ENV|PYTHONSTARTUP|PYTHONPATH|PERL5OPT|PERL5LIB|RUBYOPT|RUBYLIB|NODE_OPTIONS|NODE_PATH|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|GIT_TEMPLATE_DIR|GIT_CONFIG_GLOBAL|GIT_EXEC_PATH|GCONV_PATH|VIMINIT|EXINIT|INPUTRC|LD_LIBRARY_PATH|SSH_AUTH_SOCK|ZDOTDIR)$/;
/** Through this, a command is started by a shell that somebody opens later. */
const LOGIN = "login";
const MAX_UNITS = 60_000;
const MAX_PATH_UNITS = 512;
const MAX_DEPTH = 60;
const MAX_OUTPUT = 65_536;
const MAX_TURNS = 32;
/** Turns of a loop that counts, and what one loop may take. */
const MAX_STEPS = 512;
const MAX_LOOP_UNITS = 8_000;
const MAX_TYPED = 8_192;
/** Files of one pattern. */
const MAX_FOUND = 8;
/** Of one command; rules look at some words together. */
const MAX_WORDS = 4096;

/** What a pipe or a redirection brings to the commands behind it; `read` takes lines off it. */
interface Input {
	text: string | null;
	/** It comes from a file that lies there: as known as a script that is run by its name. */
	file?: boolean;
}

/** An assignment of a command, whatever it stands before. */
type Assigned = Extract<Command["prefix"][number], { type: "Assignment" }>;
/** An element of an array with its key. */
const KEYED = /^\[([^\]]{1,256})\]=/;

/** Variables whose value is a command that some program runs. */
const COMMAND_VARIABLES = new Set(
	"PROMPT_COMMAND GIT_SSH_COMMAND GIT_SSH GIT_EDITOR GIT_SEQUENCE_EDITOR EDITOR VISUAL PAGER GIT_PAGER MANPAGER LESSOPEN LESSCLOSE GIT_EXTERNAL_DIFF GIT_PROXY_COMMAND GIT_ASKPASS SSH_ASKPASS SUDO_ASKPASS FCEDIT BROWSER RSYNC_RSH CVS_RSH RSH LESSSECURE_ALLOW PERLDOC_PAGER SYSTEMD_PAGER SYSTEMD_EDITOR BAT_PAGER AWS_PAGER PSQL_PAGER CRONTAB_EDITOR RUSTC_WRAPPER".split(
		" ",
	),
);
/** Variables that hold a secret, by their names. */
const SECRET_VARIABLE = /(^|_)(SECRET|TOKEN|PASSWORD|PASSWD|PASS|CREDENTIALS?|(API|ACCESS|PRIVATE|SECRET|AUTH)_?KEY(_ID)?|PAT)(_|$)/;
/** Allocators, sanitizers and clocks that are there to be loaded first. */
const PRELOADED =
	/^(\/(usr|lib|opt|nix)[^.\s]{0,200}\/)?lib(jemalloc|tcmalloc|[alt]?san|ubsan|tsan|clang_rt[\w.-]{0,32}|faketime|mimalloc|eatmydata|nss_wrapper|SegFault|profiler|gtk3-nocsd|hugetlbfs)[\w.-]{0,40}\s?$/;
const PRELOADS = new Set(["LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES"]);

export class Shell {
	readonly #place: Place;
	readonly #seen: (readonly string[])[] | undefined;
	readonly #files = new Map<string, string>();
	/** Directories that this script has linked or copied elsewhere: by the new path, the old one. */
	readonly #links = new Map<string, string>();
	/** In which branch a file was written. */
	readonly #written = new Map<string, number>();
	/** What is run with whatever is written to a path: `>(sh)`, a coprocess. */
	readonly #sinks = new Map<string, { fed: boolean; feed(text: string | null): void }>();
	/** Files that descriptors have been opened for. */
	readonly #descriptors = new Map<string, string>();
	/** How many lines have been read off descriptors. */
	#lines = 0;
	#units = 0;
	#depth = 0;
	#substitutions = 0;
	#worst: Judgement = NO_OBJECTION;
	/** All that was held against it, by rule, for those who grade rules anew. */
	readonly objections = new Map<string, Judgement>();
	#active: string[] = [];
	/** `declare -n`: names that stand for other names. */
	readonly #references = new Map<string, string>();
	/** `declare -l`: names whose values change their case. */
	readonly #cased = new Map<string, (text: string) => string>();
	readonly #branches = new Branches();
	/** What has been run that makes something else harmless. */
	readonly #did = new Set<string>();
	/** Functions that have run. */
	readonly #called = new Set<string>();
	#lenient = 0;
	/** Above zero only what is denied counts. */
	#grave = 0;
	/** The text that is being followed, if positions in it are known. */
	#source: string | undefined;
	/** A program that the last statement has left waiting for input. */
	#waiting: readonly string[] | undefined;
	#fifo = false;
	readonly #fifos = new Set<string>();
	/** The last word of the command before: `$_`. */
	#last: string | undefined;
	/** What the pipe that is being followed has: a `shell` that reads it, a `connection`. */
	#ends = new Set<string>();

	/** @param seen gets every command that would run, its words resolved */
	constructor(place: Place, seen?: (readonly string[])[]) {
		this.#place = place;
		this.#seen = seen;
	}

	/** Judges a whole script. */
	judge(text: string): Judgement {
		try {
			const scope = new Scope(undefined, located(this.#place.cwd, { ...this.#place, cwd: "/" }), [], this.#branches);
			this.#script(text, scope, { text: null }, []);
			// A function that nobody has called yet may be called by what comes next.
			for (const [name, { bodies }] of scope.functions)
				if (!this.#called.has(name)) for (const body of bodies) this.#body(body, scope.inner(), { text: null }, ["function"]);
			// What nobody has written to reads what the session has.
			for (const sink of this.#sinks.values()) if (!sink.fed) sink.feed(null);
		} catch (error) {
			// The parser throws RangeError where it recurses too deeply; whatever else may come out of it is no reason to let anything through.
			this.#hit(error instanceof Exhausted || error instanceof RangeError ? r["too-complex"] : r["engine-failed"], text.slice(0, 256));
		}
		return this.#worst;
	}

	/** Judges the lines after a program that waits for somebody who types as typed into it. Perhaps nobody does: only what is denied counts. */
	#typed(waiting: readonly string[], text: string, scope: Scope, via: readonly string[]): void {
		const source = this.#source;
		this.#source = undefined;
		this.#grave++;
		this.#lenient++;
		this.#run(waiting, scope, scope.inner(), { text }, via);
		this.#lenient--;
		this.#grave--;
		this.#source = source;
	}

	#hit(rule: Rule, evidence: string): void {
		if (this.#grave > 0 && rule.verdict !== "deny") return;
		if (!this.objections.has(rule.id)) this.objections.set(rule.id, judgementOf(rule, evidence));
		if (rule.verdict === "ask" && this.#worst.verdict !== "allow") return;
		this.#worst = graver(this.#worst, judgementOf(rule, evidence));
	}

	#spend(units: number): void {
		this.#units += units;
		if (this.#units > MAX_UNITS) throw new Exhausted("the budget is used up");
	}

	#deeper<T>(work: () => T): T {
		if (++this.#depth > MAX_DEPTH) throw new Exhausted("nested too deeply");
		try {
			return work();
		} finally {
			this.#depth--;
		}
	}

	/** Parses and follows a script; what it prints. */
	#script(text: string, scope: Scope, input: Input, via: readonly string[]): string {
		if (text.trim() === "") return "";
		this.#spend(1 + (text.length >> 5));
		return this.#deeper(() => {
			refuseDepth(text);
			return this.#parsed(parse(text), scope, input, via, text);
		});
	}

	#parsed(script: ParsedScript | undefined, scope: Scope, input: Input, via: readonly string[], text?: string): string {
		if (!script) return UNKNOWN;
		const error = script.errors?.[0];
		if (error && this.#lenient === 0) this.#hit(r["parse-error"], error.message);
		const around = this.#source;
		this.#source = text;
		const output = this.#statements(script.commands, scope, input, via);
		this.#source = around;
		return output;
	}

	#statements(statements: readonly Statement[], scope: Scope, input: Input, via: readonly string[]): string {
		let output = "";
		for (const statement of statements) {
			this.#waiting = undefined;
			output = join(output, this.#statement(statement, scope, input, via));
			if (this.#waiting === undefined || this.#source === undefined || this.#grave > 0) continue;
			const rest = this.#source.slice(statement.end, statement.end + MAX_TYPED);
			// `env -S tclsh`: where nothing follows in here, what follows outside is meant.
			if (rest.trim() === "") continue;
			if (/^[ \t;]{0,8}\n/.test(rest)) this.#typed(this.#waiting, rest.trimStart(), scope, via);
			this.#waiting = undefined;
		}
		return output;
	}

	#statement(statement: Statement, scope: Scope, input: Input, via: readonly string[]): string {
		this.#spend(1);
		return this.#node(statement.command, scope, input, via);
	}

	#body(body: CommandNode | CompoundList, scope: Scope, input: Input, via: readonly string[]): string {
		return body.type === "CompoundList" ? this.#statements(body.commands, scope, input, via) : this.#node(body, scope, input, via);
	}

	#node(node: Statement["command"], scope: Scope, input: Input, via: readonly string[]): string {
		return this.#deeper(() => this.#anyNode(node, scope, input, via));
	}

	#anyNode(node: PipelineNode | Statement["command"], scope: Scope, input: Input, via: readonly string[]): string {
		const at = this.#surroundings(scope, via);
		switch (node.type) {
			case "Command":
				return this.#each(input, (given) => this.#command(node, scope, given, via));
			case "AndOr": {
				let output = "";
				let fails = false;
				node.commands.forEach((command, at) => {
					if (node.operators[at - 1] === "||") fails = false;
					if (fails) return;
					fails = command.type === "Command" && this.#isInstruction(command.name?.value ?? "", scope);
					const printed =
						at === 0 ? this.#node(command, scope, input, via) : this.#branches.in(() => this.#node(command, scope, input, via));
					// `which a || which b` prints one of them.
					if (node.operators[at - 1] !== "||" || output.trim() === "" || !isKnown(output)) output = join(output, printed);
				});
				return output;
			}
			case "Pipeline":
				return this.#each(input, (given) => this.#pipeline(node, scope, given, via));
			case "Redirected": {
				const { stdin, target } = this.#redirections(
					node.redirects,
					scope,
					via,
					startsShell(node.command, () => this.#spend(1)) ? "sh" : null,
				);
				const output = this.#node(node.command, scope, stdin === undefined ? input : { text: stdin }, via);
				return this.#kept(output, target);
			}
			case "Subshell":
				return this.#statements(node.body.commands, scope.inner(), input, via);
			case "BraceGroup":
				return this.#statements(node.body.commands, scope, input, via);
			case "If": {
				let output = "";
				for (const list of [node.clause, node.then, ...node.elif.flatMap((branch) => [branch.clause, branch.then]), node.else])
					if (list === node.clause) output = join(output, this.#statements(list.commands, scope, input, via));
					else if (list)
						output = join(
							output,
							this.#branches.in(() => this.#statements(list.commands, scope, input, via)),
						);
				return output;
			}
			case "While": {
				let output = "";
				if (endless(node.clause, node.body)) this.#hit(r["fork-bomb"], "while");
				const most = this.#units + MAX_LOOP_UNITS;
				for (let turn = 0; turn < MAX_STEPS && this.#units < most; turn++) {
					const before = input.text;
					const lines = this.#lines;
					const { printed, truth } = this.#clause(node.clause, scope, input, via);
					const ends = truth !== undefined && truth === (node.kind === "until");
					if (ends && turn > 0) break;
					output = join(output, printed);
					output = join(output, this.#statements(node.body.commands, scope, input, via));
					if (truth !== undefined && !ends) continue;
					// Of the others, only a loop that reads known lines goes round again.
					const reads = lines !== this.#lines || (input.text !== null && input.text !== before && input.text !== "");
					if (ends || !reads) break;
					// Of what it would still read and print, nobody knows anything.
					if (turn + 1 === MAX_STEPS || this.#units >= most) output = join(output, UNKNOWN);
				}
				return output;
			}
			case "For":
			case "Select": {
				const name = node.name.value;
				const words = node.wordlist ? node.wordlist.flatMap((word) => fieldsOf(word, at)) : [...scope.args];
				const values = words.length === 0 ? [UNKNOWN] : words;
				let output = "";
				for (const value of values) {
					scope.set(name, value);
					output = join(output, this.#statements(node.body.commands, scope, input, via));
				}
				return output;
			}
			case "ArithmeticFor": {
				if (!node.test && endless(null, node.body)) this.#hit(r["fork-bomb"], "for");
				let output = "";
				runArithmetic(node.initialize, at);
				const most = this.#units + MAX_LOOP_UNITS;
				for (let turn = 0; turn < MAX_STEPS && this.#units < most; turn++) {
					const test = runArithmetic(node.test, at);
					if (test === 0 && turn > 0) break;
					output = join(output, this.#statements(node.body.commands, scope, input, via));
					runArithmetic(node.update, at);
					if (!test) break;
				}
				return output;
			}
			case "Case": {
				textOf(node.word, at);
				let output = "";
				for (const item of node.items) {
					for (const pattern of item.pattern) textOf(pattern, at);
					output = join(
						output,
						this.#branches.in(() => this.#statements(item.body.commands, scope, input, via)),
					);
				}
				return output;
			}
			case "Function": {
				const name = node.name.value;
				if (/^(sudo|su|ssh|passwd|doas|login)$/.test(name)) this.#hit(r["hijack-path"], `${name}()`);
				scope.define(name, node.body);
				// It runs whenever a program is not there.
				if (name === "command_not_found_handle") this.#body(node.body, scope.inner(), { text: null }, via);
				if (bombs(node.body, name, () => this.#spend(1))) this.#hit(r["fork-bomb"], `${name}()`);
				return "";
			}
			case "Coproc": {
				// Two descriptors: what it prints, and what it reads, which is known when somebody writes to it.
				const [from, to] = [10 + ++this.#substitutions, 10 + ++this.#substitutions];
				const inner = scope.inner();
				const { body } = node;
				if (startsShell(body, () => this.#spend(1)))
					this.#sinks.set(`/dev/fd/${to}`, { fed: false, feed: (text) => void this.#body(body, inner.inner(), { text }, via) });
				else this.#files.set(`/dev/fd/${from}`, this.#body(body, inner, input, via));
				scope.set(node.name?.value ?? "COPROC", [String(from), String(to)]);
				return "";
			}
			case "TestCommand":
				this.#test(node.expression, scope, via);
				return "";
			case "ArithmeticCommand":
				runArithmetic(node.expression, at);
				return "";
		}
	}

	/** A line of a Dockerfile: there is no such program, so that nothing runs, nor what hangs on its success. */
	#isInstruction(name: string, scope: Scope): boolean {
		return (
			INSTRUCTION.test(name) &&
			scope.lookup((one) => one.functions, name) === undefined &&
			scope.lookup((one) => one.aliases, name) === undefined
		);
	}

	/** Follows something, and once more with every other value of the variables that it looks at. */
	#each(input: Input, work: (input: Input) => string): string {
		const before = { ...input };
		let given = input;
		return this.#branches.each(
			() => {
				const output = work(given);
				given = { ...before };
				return output;
			},
			() => this.#units < MAX_UNITS / 2,
		);
	}

	#pipeline(node: Extract<PipelineNode, { type: "Pipeline" }>, scope: Scope, input: Input, via: readonly string[]): string {
		let between = input;
		let output = "";
		const before = this.#ends;
		this.#ends = new Set();
		for (const command of node.commands) {
			const last = node.commands.length === 1 ? scope : scope.inner();
			output = this.#node(command, last, between, via);
			between = { text: output };
		}
		// A shell in one pipe with a connection: whoever is at the other end types into it.
		if (this.#ends.size === 2) this.#hit(remoteRules["net-shell"], [...this.#ends].join(" | "));
		this.#ends = before;
		return output;
	}

	/** Follows what a loop depends on; whether it holds, where that is a calculation with known numbers. */
	#clause(list: CompoundList, scope: Scope, input: Input, via: readonly string[]): { printed: string; truth: boolean | undefined } {
		const at = this.#surroundings(scope, via);
		const command = list.commands.length === 1 ? list.commands[0]?.command : undefined;
		if (command?.type === "ArithmeticCommand") {
			const value = runArithmetic(command.expression, at);
			return { printed: "", truth: value === undefined ? undefined : value !== 0 };
		}
		const printed = this.#statements(list.commands, scope, input, via);
		if (command?.type !== "Command" || !/^(\[|test)$/.test(command.name?.value ?? "")) return { printed, truth: undefined };
		const [left = "", how = "", right = ""] = command.args.flatMap((arg) => (arg.type === "Word" ? fieldsOf(arg, at) : []));
		if (!/^-?\d{1,9}$/.test(left) || !/^-?\d{1,9}$/.test(right)) return { printed, truth: undefined };
		const difference = Number(left) - Number(right);
		const truths: Record<string, boolean> = {
			"-eq": difference === 0,
			"-ne": difference !== 0,
			"-lt": difference < 0,
			"-le": difference <= 0,
			"-gt": difference > 0,
			"-ge": difference >= 0,
		};
		return { printed, truth: truths[how] };
	}

	#test(test: TestExpression, scope: Scope, via: readonly string[]): void {
		const at = this.#surroundings(scope, via);
		this.#spend(1);
		this.#deeper(() => {
			if (test.type === "TestUnary") runSubscript(textOf(test.operand, at), at);
			else if (test.type === "TestBinary") {
				const [left = "", right = ""] = [test.left, test.right].map((word) => textOf(word, at));
				for (const side of [left, right]) runSubscript(side, at, /^-(eq|ne|lt|le|gt|ge)$/.test(test.operator));
				if (test.operator === "=~") scope.set("BASH_REMATCH", groupsOf(left, right));
			} else if (test.type === "TestLogical") for (const operand of test.operands) this.#test(operand, scope, via);
			else if (test.type === "TestNot") this.#test(test.operand, scope, via);
			else this.#test(test.expression, scope, via);
		});
	}

	#surroundings(scope: Scope, via: readonly string[]): Surroundings {
		return {
			home: homeOf(this.#place),
			cwd: () => scope.cwd,
			get: (given) => {
				const name = this.#references.get(given) ?? given;
				const value = scope.get(name) ?? this.#wellKnown(name, scope);
				if (value === undefined && SECRET_VARIABLE.test(name)) this.#namedSecret = true;
				return value;
			},
			set: (name, value) => this.#assign(name, value, scope, via),
			at: (name, key) => scope.at(name, key),
			keys: (name) => scope.keys(name),
			positional: () => scope.args,
			found: (pattern) => this.#found(pattern, scope.cwd),
			spend: (units) => this.#spend(units),
			substitute: (script) => this.#deeper(() => this.#parsed(script, scope.inner(), { text: null }, via)),
			processPath: (script, operator) => {
				const path = `/dev/fd/${63 + ++this.#substitutions}`;
				const inner = scope.inner();
				const run = (text: string | null): string => this.#deeper(() => this.#parsed(script, inner, { text }, via));
				// `> >(sh)`: it reads what is going to be written to it.
				if (operator === ">") this.#sinks.set(path, { fed: false, feed: (text) => void run(text ?? UNKNOWN) });
				else this.#files.set(path, run(null));
				return path;
			},
		};
	}

	#wellKnown(name: string, scope: Scope): Value | undefined {
		switch (name) {
			case "HOME":
				return homeOf(this.#place);
			case "PWD":
				return scope.cwd;
			case "IFS":
				return " \t\n";
			case "PATH":
				return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
			case "SHELL":
			case "BASH":
				return "/bin/bash";
			case "0":
				return "bash";
			case "TMPDIR":
				return "/tmp";
			case "USER":
			case "LOGNAME":
				return baseName(homeOf(this.#place));
			case "OSTYPE":
				return "linux-gnu";
			case "EDITOR":
			case "VISUAL":
				return "vi";
			case "PAGER":
				return "less";
			case "CC":
			case "CXX":
			case "PYTHON":
			case "MAKE":
			case "SUDO":
			case "GO":
			case "NPM":
			case "NODE":
			case "CARGO":
			case "DOCKER":
			case "PIP":
			case "KUBECTL":
			case "HELM":
			case "PYTEST":
				return name.toLowerCase();
			case "-":
				return "hB";
			case "?":
				return "0";
			case "_":
				return this.#last;
			default:
				return undefined;
		}
	}

	#assign(name: string, given: Value, scope: Scope, via: readonly string[]): void {
		const cased = this.#cased.get(name);
		const value = cased && typeof given === "string" ? cased(given) : given;
		scope.set(name, value);
		if (typeof value !== "string") return;
		if (/^HIST(FILE|SIZE|FILESIZE)$/.test(name) && /^(0|\/dev\/null|)$/.test(value))
			this.#hit(destroyRules["clear-traces"], `${name}=${value}`);
		if (HIJACKS.test(name) && /(^|[=: ])(\/tmp|\/var\/tmp|\/dev\/shm)\//.test(value)) this.#hit(r["hijack-path"], `${name}=${value}`);
		if (
			via[0] === LOGIN &&
			/^(BASH_ENV|ENV|PROMPT_COMMAND)$/.test(name) &&
			value !== "" &&
			!/^(history -[acnrw](; ?)?|\uFFFC|;| ){1,8}$/.test(value)
		)
			this.#hit(pathRules["write-persistence"], `${name}=${value}`);
		if (name === "PATH" && /^(\.|(\/tmp|\/var\/tmp|\/dev\/shm)(\/[^:]{0,256})?)(:|$)/.test(value))
			this.#hit(r["hijack-path"], `${name}=${value}`);
		if (PRELOADS.has(name) && value !== "" && (!PRELOADED.test(value) || /(^|[:\s])(\/tmp|\/var\/tmp|\/dev\/shm|\.\.?\/)/.test(value)))
			this.#hit(r["preload-library"], `${name}=${value}`);
		else if ((COMMAND_VARIABLES.has(name) || /^[A-Z]{2,16}_?(PAGER|EDITOR|ASKPASS)$/.test(name)) && value !== "" && isKnown(value))
			this.#script(value, scope.inner(), { text: null }, [...via, name]);
		else if (name === "PERL5DB" && isKnown(value))
			this.#run(["perl", "-e", value], scope.inner(), scope.inner(), { text: null }, [...via, name]);
		else if (name === "PERL5OPT" && isKnown(value))
			this.#run(["perl", ...value.split(/ (?=-)/).slice(0, 16), "-e1"], scope.inner(), scope.inner(), { text: null }, [...via, name]);
		else if (name === "NODE_OPTIONS" && value.includes("data:"))
			this.#run(["node", "-e", plainUrl(value)], scope.inner(), scope.inner(), { text: null }, [...via, name]);
		else if ((name === "BASH_ENV" || name === "ENV") && /[$`]/.test(value))
			this.#script(`: "${value}"`, scope.inner(), { text: null }, [...via, name]);
		else if (/^PS[0-4]$/.test(name) && /\$\(|`/.test(value)) this.#script(`: "${value}"`, scope.inner(), { text: null }, [...via, name]);
		else if (/^BASH_FUNC_/.test(name) || /^\(\) ?\{/.test(value))
			this.#script(value.replace(/^\(\) ?\{/, "{"), scope.inner(), { text: null }, [...via, name]);
	}

	/** Follows redirections: what they bring on standard input (undefined: nothing), and the file that standard output goes to. */
	#redirections(redirects: readonly Redirection[], scope: Scope, via: readonly string[], program: string | null) {
		const at = this.#surroundings(scope, via);
		let stdin: string | undefined;
		let source: string | undefined;
		let target: { path: string; append: boolean } | undefined;
		for (const redirect of redirects) {
			this.#spend(1);
			// `exec 3< x`, `exec {in}< x`: what a descriptor brings is there for the commands that come later.
			let number = redirect.descriptor?.type === "FileDescriptor" ? redirect.descriptor.value : undefined;
			if (redirect.descriptor?.type === "FileDescriptorVariable") {
				number = 10 + ++this.#substitutions;
				scope.set(redirect.descriptor.name, String(number));
			}
			const bring = (content: string): void => {
				if (number === undefined || number === 0) stdin = content;
				else this.#files.set(`/dev/fd/${number}`, content);
			};
			if (redirect.type === "HereDoc") {
				const body = redirect.body.parts && !redirect.delimiter?.quoted ? joined(redirect.body.parts, at) : redirect.body.text;
				bring(redirect.operator === "<<-" ? body.replace(/^\t{1,64}/gm, "") : body);
				continue;
			}
			if (!redirect.target) continue;
			const written = textOf(redirect.target, at);
			if (redirect.type === "HereString") {
				bring(`${written}\n`);
				continue;
			}
			const text =
				this.#links.size > 0 && /[^0-9-]/.test(written) ? this.#behind(located(written, { ...this.#place, cwd: scope.cwd })) : written;
			const { operator } = redirect;
			if ((operator === ">&" || operator === "<&") && /^([0-9]{1,4}-?|-)$/.test(text)) {
				const other = `/dev/fd/${text.replace("-", "")}`;
				const content = this.#files.get(other);
				if (operator === "<&" && content !== undefined) bring(content);
				if (operator === ">&" && (number ?? 1) === 1) {
					const path = this.#sinks.has(other) ? other : this.#descriptors.get(other);
					if (path !== undefined) target = { path, append: true };
				}
				continue;
			}
			const path = located(text, { ...this.#place, cwd: scope.cwd });
			const network = /^\/dev\/(tcp|udp)\/([^/]*)/.exec(path);
			if (network) {
				const host = network[2] ?? "";
				// Whether somebody answers there: `exec 3<>/dev/tcp/localhost/5432`, `cat < /dev/null > /dev/tcp/db/5432`.
				if (!startsProgram(program) && (isLoopback(host) || /^[a-z][a-z0-9_-]{0,62}$/.test(host))) continue;
				if (program === "exec" && !isKnown(host)) {
					this.#hit(r["raw-connection"], text);
					continue;
				}
				const harmless =
					program === null || /^(echo|printf|:|true|test|\[)$/.test(baseName(program)) || (operator === "<" && baseName(program) === "cat");
				if (operator === "<>" || operator === ">&" || operator === "&>" || !harmless || program === "exec")
					this.#hit(r["shell-to-network"], text);
				else if (!isLoopback(host)) this.#hit(r["raw-connection"], text);
				if (operator === "<") {
					this.#dubious = true;
					stdin = FETCHED;
				}
				continue;
			}
			const place = { ...this.#place, cwd: scope.cwd };
			if (operator === "<" || operator === "<&") {
				this.#rule(readRule(text, place), text);
				// From the terminal, or from nobody knows where: that is no file.
				if (/^\/dev\/(null|tty|pts\/|stdin|fd\/0)/.test(path) || !isKnown(text)) continue;
				const content = this.#content(path) ?? UNKNOWN;
				bring(content === UNKNOWN && isPersonal(text, place) ? UNKNOWN + PRIVATE : content);
				if (number === undefined || number === 0) source = text;
			} else if (operator === "<>") {
				this.#rule(readRule(text, place), text);
				this.#rule(writeRule(text, place), text);
			} else {
				if (operator !== ">>" && operator !== "&>>" && isSystemLog(path)) this.#hit(destroyRules["clear-traces"], text);
				if (/(^|\/)--?[a-z][a-z-]{1,40}=/.test(text)) this.#hit(r["shell-escape"], text);
				const append = operator === ">>" || operator === "&>>";
				// There it depends on what is written.
				if ((number ?? 1) !== 1 || !isSettingByContent(path)) this.#rule(writeRule(text, place, append), text);
				if ((number ?? 1) === 1) target = { path, append: operator === ">>" || operator === "&>>" };
				else if ((number ?? 1) > 2) {
					if (!operator.endsWith(">>")) this.#files.set(path, "");
					this.#descriptors.set(`/dev/fd/${number}`, path);
				}
			}
		}
		return { stdin, source, target };
	}

	/** Judges what a file is given to hold, where somebody will run it later. */
	#holds(path: string, content: string): void {
		// What a shell will read at its start is judged as if it ran now.
		if (
			content.trim() !== "" &&
			isKnown(content) &&
			(writeRule(path, this.#place)?.id === "write-shell-start" || path.includes("/.git/hooks/") || /^\/usr\/local\/s?bin\//.test(path)) &&
			!path.includes("/.ssh/")
		) {
			this.#lenient++;
			this.#script(content, new Scope(undefined, this.#place.cwd, []), { text: null }, [LOGIN]);
			this.#lenient--;
		}
		// A file that starts a shell by its own means is there to be run by whoever reads it; in a project, that may be its business.
		if (STARTS_SHELL.test(content))
			this.#hit(r[path.startsWith(`${this.#place.workDir}/`) ? "unresolved-script" : "shell-escape"], `> ${path}`);
		// Where packages come from.
		const registry =
			/(?:^|\n)\s{0,8}(?:[\w@:.-]{0,64}registry|index-url|extra-index-url|find-links)\s{0,4}[=:]\s{0,4}"?(http:\/\/[^\s"]{1,512})/i.exec(
				content,
			);
		if (registry && isShady(registry[1] ?? "")) this.#hit(exfiltrateRules["install-unverified"], registry[1] ?? "");
		if (WEB_SHELL.test(content)) this.#hit(remoteRules["web-shell"], `> ${path}`);
		// A unit or an entry of the desktop: what it starts.
		if (/\.(service|timer|path|socket|desktop)$/.test(path) && isKnown(content)) {
			this.#lenient++;
			for (const line of content.split("\n", 256)) {
				const command = /^Exec(?:Start(?:Pre|Post)?|Stop|Reload)?=[-@:+!]{0,4}(.{1,4096})$/.exec(line);
				if (command) this.#script(command[1] ?? "", new Scope(undefined, this.#place.cwd, []), { text: null }, [LOGIN]);
			}
			this.#lenient--;
		}
	}

	/** What a file holds, if this script has written it; what was fetched into a directory holds for all below it. */
	#content(path: string): string | undefined {
		const own = this.#files.get(path) ?? this.#files.get(path.replace(/^\/proc\/[^/]{1,32}\/fd\//, "/dev/fd/"));
		if (own !== undefined) return own;
		for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
			const all = this.#files.get(path.slice(0, at + 1));
			if (all !== undefined) return all;
		}
		// What a service of the machine is to be ended by.
		return SYSTEM_PID_FILE.test(path) ? "1\n" : undefined;
	}

	/** Files that this script has written and that a pattern finds. */
	#found(pattern: string, cwd: string): string[] {
		if (!/[*?[]/.test(pattern) || !isKnown(pattern) || pattern.length > 256) return [];
		const parts = `${pattern.startsWith("/") ? "" : `${cwd}/`}${pattern}`.split("/");
		const found: string[] = [];
		for (const file of this.#files.keys()) {
			const names = file.split("/");
			this.#spend(1);
			if (names.length !== parts.length || file.startsWith("/dev/fd/") || found.length >= MAX_FOUND) continue;
			if (names.every((name, at) => globMatches(parts[at] ?? "", name) && (!name.startsWith(".") || parts[at]?.startsWith("."))))
				found.push(pattern.startsWith("/") ? file : file.slice(cwd.length + 1));
		}
		return found;
	}

	/** A path as it is where what this script has linked is followed. */
	#behind(path: string): string {
		for (const [link, target] of this.#links) {
			if (path === link) return target;
			if (path.startsWith(`${link}/`)) return `${target === "/" ? "" : target}${path.slice(link.length)}`;
		}
		return path;
	}

	#rule(rule: Rule | undefined, evidence: string): void {
		if (rule) this.#hit(rule, evidence);
	}

	/** What is left of an output when it has gone to a file, and what the file holds from then on. */
	#kept(output: string, target: { path: string; append: boolean } | undefined): string {
		if (!target) return output;
		if (/^\/dev\/(stdout|stderr|tty|fd\/[12])$/.test(target.path)) return output;
		if (isSettingByContent(target.path) && !isPlainSetting(target.path, output, target.append))
			this.#rule(writeRule(target.path, this.#place, target.append), target.path);
		this.#keep(target.path, target.append ? join(this.#files.get(target.path) ?? "", output) : output, output);
		return "";
	}

	/** What a file holds from here on: in one of several branches, besides what it holds in the others. */
	#keep(path: string, content: string, output = content): void {
		const sink = this.#sinks.get(path);
		if (sink) {
			sink.fed = true;
			return sink.feed(output);
		}
		this.#holds(path, output);
		const { branch } = this.#branches;
		const before = this.#written.get(path);
		const other = branch > 0 && before !== undefined && before !== branch ? (this.#files.get(path) ?? "") : "";
		this.#written.set(path, branch);
		this.#files.set(path, other !== "" && !content.startsWith(other) && !other.startsWith("\x7f") ? join(`${other}\n`, content) : content);
	}

	#command(command: Command, scope: Scope, input: Input, via: readonly string[]): string {
		this.#spend(1);
		const at = this.#surroundings(scope, via);
		const argv: string[] = command.name ? fieldsOf(command.name, at) : [];
		for (const arg of command.args) {
			if (arg.type === "Word") {
				const fields = fieldsOf(arg, at);
				const folds = this.#did.has("nocaseglob") && arg.parts?.some((part) => part.type === "Glob" || part.type === "ExtendedGlob");
				argv.push(...(folds ? fields.map((field) => field.toLowerCase()) : fields));
				continue;
			}
			// `export x=1`: an assignment and an argument.
			const value = this.#value(arg, at);
			this.#assign(arg.name, value, scope, via);
			this.#setKeys(arg, at, scope);
			argv.push(`${arg.name}=${typeof value === "string" ? value : value.join(" ")}`);
		}
		const assigned = new Map<string, Value>();
		for (const part of command.prefix) {
			if (part.type !== "Assignment") continue;
			const key = part.index && textOf(part.index, at);
			const before = part.append ? ((key === undefined ? undefined : at.at(part.name, key)) ?? at.get(part.name)) : undefined;
			const value = this.#value(part, at);
			const whole =
				before === undefined ? value : typeof before === "string" && typeof value === "string" ? before + value : [before, value].flat();
			if (part.index && typeof whole === "string" && (part.index.value !== "0" || typeof at.get(part.name) === "object")) {
				const list = at.get(part.name);
				this.#spend((list?.length ?? 0) >> 3);
				assigned.set(part.name, [...(list === undefined ? [] : typeof list === "string" ? [list] : list), whole]);
			} else assigned.set(part.name, whole);
			if (argv.length > 0) continue;
			const now = assigned.get(part.name) ?? whole;
			if (key === undefined || typeof now === "string") this.#assign(part.name, now, scope, via);
			else scope.set(part.name, now, true);
			this.#setKeys(part, at, scope);
			if (key === undefined || !isKnown(key) || typeof whole !== "string") continue;
			scope.setAt(part.name, key, whole);
			if (part.name === "BASH_ALIASES" || part.name === "BASH_CMDS") scope.aliases.set(key, whole);
			const place = calculated(key, at);
			if (place !== undefined) scope.setAt(part.name, String(place), whole);
		}
		const program = argv[0] ?? null;
		const { stdin, source, target } = this.#redirections(command.redirects, scope, via, program);
		// `$(< x)` is what the file holds.
		if (program === null) return this.#kept(assigned.size === 0 && command.redirects.length > 0 ? (stdin ?? "") : "", target);
		if (target && nameOf(program) === "cat" && argv.some((arg) => /^\/dev\/(zero|urandom)$/.test(arg)))
			this.#hit(destroyRules["fill-disk"], argv.join(" "));
		let where = scope;
		if (assigned.size > 0) {
			where = scope.inner();
			for (const [name, value] of assigned) this.#assign(name, value, where, via);
		}
		// `sh < x.sh` is `sh x.sh`.
		if (source !== undefined && stdin === UNKNOWN && argv.length === 1 && SHELLS.has(nameOf(program))) argv.push(source);
		const environment = new Map([...assigned].map(([name, value]) => [name, typeof value === "string" ? value : value.join(" ")]));
		const given: Input = stdin === undefined ? input : { text: stdin, file: source !== undefined && stdin === UNKNOWN };
		this.#endless = false;
		const output = this.#run(argv, where, scope, given, via, environment);
		this.#last = argv.at(-1) ?? "";
		// `/etc/sha${x}dow`: what a word is where nothing stands for the variable in it.
		if (this.#grave === 0 && argv.some((word) => GLUED.test(word))) {
			this.#grave++;
			this.#lenient++;
			this.#run(argv.map(squeezed), where, scope.inner(), given, via, environment);
			this.#lenient--;
			this.#grave--;
		}
		if (this.#endless && target && (target.path === "/dev/null" || !target.path.startsWith("/dev/")))
			this.#hit(destroyRules[target.path === "/dev/null" ? "fill-machine" : "fill-disk"], argv.join(" "));
		return this.#kept(output, target);
	}

	#value({ value }: Assigned, at: Surroundings): Value {
		if (value.type === "Word") return textOf(value, at);
		return value.elements.flatMap((element) =>
			fieldsOf(element, at).map((field) => (KEYED.exec(element.text) ? field.replace(KEYED, "") : field)),
		);
	}

	/** `m=([x]=cat [y]=/etc/shadow)`: the keys that are said. */
	#setKeys({ name, value }: Assigned, at: Surroundings, scope: Scope): void {
		if (value.type === "Word") return;
		for (const element of value.elements) {
			if (!KEYED.test(element.text)) continue;
			const [field = ""] = fieldsOf(element, at);
			const key = KEYED.exec(field)?.[1];
			if (key !== undefined && isKnown(key)) scope.setAt(name, key.replace(/^(["'])(.*)\1$/, "$2"), field.replace(KEYED, ""));
		}
	}

	/** Judges a resolved command and follows what it starts; what it prints. `state` is the scope that `cd`, `export` and the like change. */
	#run(
		argv: readonly string[],
		scope: Scope,
		state: Scope,
		input: Input,
		via: readonly string[],
		environment: ReadonlyMap<string, string> = new Map(),
	): string {
		return this.#deeper(() => {
			if (argv.length > MAX_WORDS) throw new Exhausted("too many words in one command");
			this.#spend(6 + argv.length);
			// What may only be run is no command of the script.
			if (this.#grave === 0) this.#seen?.push(argv);
			const program = argv[0] ?? "";
			const args = argv.slice(1);
			const alias = scope.lookup((one) => one.aliases, program);
			if (alias !== undefined && !this.#active.includes(`alias ${program}`))
				return this.#within(`alias ${program}`, () => this.#script([alias, ...args.map(quoted)].join(" "), state, input, via));
			const found = scope.lookup((one) => one.functions, program);
			if (found && !via.includes("command")) {
				if (this.#active.filter((name) => name === program).length >= 3) return "";
				this.#called.add(program);
				return this.#within(program, () => {
					const inner = new Scope(scope, scope.cwd, args);
					let output = "";
					for (const body of found.bodies) output = join(output, this.#body(body, inner, input, via));
					// What a function assigns is the caller's too.
					state.take(inner);
					state.cwd = inner.cwd;
					return output;
				});
			}
			const place = { ...this.#place, cwd: scope.cwd };
			// `//./etc/../etc/shadow` is `/etc/shadow`, also for rules that look at the word alone.
			const tidy = AS_WRITTEN.has(nameOf(program)) ? argv : argv.map((word) => (ROUNDABOUT.test(word) ? located(word, place) : word));
			const call = new Running(this.#engine(scope, input, via), tidy, input.text, place, via, environment);
			if (program === "") return "";
			if (/^(docker|docker-compose|podman)$/.test(call.name) && args.includes("up")) this.#did.add("compose up");
			for (const judge of judges.get(call.name) ?? []) judge(call);
			const built = this.#builtin(call, scope, state, input, via);
			if (built !== undefined) return built;
			return this.#program(call, scope, input, via);
		});
	}

	#within<T>(name: string, work: () => T): T {
		this.#active.push(name);
		try {
			return work();
		} finally {
			this.#active.pop();
		}
	}

	/** Builtins that change the shell's own state; undefined: it is none of them. */
	#builtin(call: Running, scope: Scope, state: Scope, input: Input, via: readonly string[]): string | undefined {
		const { args } = call;
		if (call.program.includes("/")) return undefined;
		// A subscript is evaluated, whoever takes it: `printf -v 'x[$(a)]'`.
		if (/^(printf|read|unset|let|test|\[|wait|getopts|mapfile|readarray|declare|typeset|local|export)$/.test(call.name))
			for (const arg of args) runSubscript(arg, this.#surroundings(scope.inner(), via), call.name === "let");
		switch (call.name) {
			case "cd":
			case "pushd": {
				const to = new Options(args).operands[0];
				this.#spend(state.cwd.length >> 4);
				const before = state.cwd;
				const last = scope.get("OLDPWD");
				state.cwd =
					to === undefined ? homeOf(this.#place) : to === "-" ? (typeof last === "string" ? last : UNKNOWN) : located(to, call.place);
				state.set("OLDPWD", before);
				// Deeper than anybody works: every path after it would be made of it again.
				if (state.cwd.length > MAX_PATH_UNITS) throw new Exhausted("the directory is too deep");
				return "";
			}
			case "popd":
				state.cwd = UNKNOWN;
				return "";
			case "export":
			case "declare":
			case "typeset":
			case "local":
			case "readonly": {
				const references = call.name !== "export" && args.some((flag) => /^-[a-zA-Z]{0,8}n/.test(flag));
				// `declare -l x=RM`: what is assigned changes its case.
				const cased = args.some((flag) => /^-[a-zA-Z]{0,8}l/.test(flag))
					? (text: string) => text.toLowerCase()
					: args.some((flag) => /^-[a-zA-Z]{0,8}u/.test(flag))
						? (text: string) => text.toUpperCase()
						: undefined;
				const counts = call.name !== "export" && args.some((flag) => /^-[a-zA-Z]{0,8}i/.test(flag));
				for (const arg of args) {
					const equals = arg.indexOf("=");
					if (equals > 0 && counts) runSubscript(arg.slice(equals + 1), this.#surroundings(scope.inner(), via), true);
					if (cased && /^[A-Za-z_]/.test(arg)) this.#cased.set(equals > 0 ? arg.slice(0, equals) : arg, cased);
					if (equals > 0 && cased) state.set(arg.slice(0, equals), cased(arg.slice(equals + 1)));
					if (equals > 0 && references) this.#references.set(arg.slice(0, equals), arg.slice(equals + 1));
					// An assignment in a quoted word: `export "x=1"`.
					if (equals > 0 && /^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(arg.slice(0, equals)) && !state.has(arg.slice(0, equals)))
						this.#assign(arg.slice(0, equals), arg.slice(equals + 1), state, via);
				}
				if (args.some((flag) => /^-[a-zA-Z]{0,8}p/.test(flag)))
					for (const name of args) {
						const value = name.startsWith("-") ? undefined : scope.get(name);
						if (value !== undefined) this.#spend(value.length >> 4);
						if (value !== undefined)
							return `declare ${typeof value === "string" ? `-- ${name}="${value.replace(/[\\"$`]/g, "\\$&")}"` : `-a ${name}=(${value.map(quoted).join(" ")})`}\n`;
					}
				// Without names they print what is set.
				return args.every((arg) => arg.startsWith("-")) ? PRIVATE : "";
			}
			case "read":
			case "mapfile":
			case "readarray": {
				const descriptor = new Options(args, "-a -d -i -n -N -p -t -u -O -s -c -C").value("-u");
				const from = descriptor === undefined ? undefined : this.#files.get(`/dev/fd/${descriptor}`);
				if (from !== undefined) {
					const given = { text: from };
					const output = this.#builtin(
						new Running(this.#engine(scope, given, via), [call.name, ...withoutDescriptor(args)], from, call.place, via, call.environment),
						scope,
						state,
						given,
						via,
					);
					if (given.text !== from) this.#lines++;
					this.#files.set(`/dev/fd/${descriptor}`, given.text);
					return output;
				}
				if (call.name === "read" && input.file) input.text = UNKNOWN;
				const options = new Options(args, call.name === "read" ? "-a -d -i -n -N -p -t -u" : "-d -n -O -s -u -c -C");
				// A line that is known in part, such as what `find` found, is worth more than none.
				const until = call.name === "read" ? options.value("-d") || "\n" : "\n";
				const whole = input.text === null ? UNKNOWN : (input.text.split(until.charAt(0), 1)[0] ?? "");
				const letters = call.name === "read" ? options.value("-n", "-N") : undefined;
				const line = letters !== undefined && /^\d{1,5}$/.test(letters) && isKnown(whole) ? whole.slice(0, Number(letters)) : whole;
				for (const script of call.name === "read" ? [] : options.values("-C"))
					this.#script(script, scope.inner(), { text: null }, [...via, call.name]);
				const names = options.operands;
				const separators = scope.get("IFS");
				const blanks =
					typeof separators === "string" && separators !== "" && /[^\s]/.test(separators)
						? new RegExp(`[${separators.slice(0, 8).replace(/[\\\]^-]/g, "\\$&")}]`)
						: /[ \t]+/;
				const list = call.name === "read" ? options.value("-a") : (names[0] ?? "MAPFILE");
				if (list !== undefined && input.text !== null && isKnown(input.text)) {
					const end = call.name === "read" ? blanks : options.value("-d") || "\n";
					const whole = call.name === "read" ? line.trim() : input.text;
					const all = whole.split(end, MAX_WORDS);
					if (call.name !== "read" && all.at(-1)?.trim() === "") all.pop();
					this.#assign(list, all, state, via);
					input.text = call.name === "read" ? input.text.slice(line.length + 1) : "";
					return "";
				}
				if (input.text !== null && squeezed(input.text).trim() !== "")
					input.text = input.text.slice(line.length + (line === whole ? 1 : 0));
				const fields = isKnown(line) ? line.trim().split(blanks) : [];
				names.forEach((name, at) => {
					const rest = at === names.length - 1 ? fields.slice(at).join(" ") : (fields[at] ?? "");
					this.#assign(name, isKnown(line) ? rest : names.length === 1 ? line.trim() : marksOf(line), state, via);
				});
				if (names.length === 0) state.set("REPLY", line);
				return "";
			}
			case "set": {
				const at = args.indexOf("--");
				if (at >= 0) state.args = args.slice(at + 1);
				else if (args[0] !== undefined && !/^[-+]/.test(args[0])) state.args = args;
				return args.length === 0 ? PRIVATE : "";
			}
			case "shift":
				state.args = state.args.slice(Number(args[0] ?? 1) || 1);
				return "";
			case "unset":
				// An empty list is what is not set.
				for (const name of args) state.set(name, []);
				return "";
			case "alias":
				for (const arg of args) {
					const equals = arg.indexOf("=");
					if (equals > 0) {
						if (
							/^(sudo|su|ssh|passwd|doas|gpg|login)$/.test(arg.slice(0, equals)) &&
							!arg.slice(equals + 1).startsWith(arg.slice(0, equals))
						)
							this.#hit(pathRules["write-persistence"], arg);
						state.aliases.set(arg.slice(0, equals), arg.slice(equals + 1));
						this.#script(arg.slice(equals + 1), scope.inner(), { text: null }, [...via, "alias"]);
					}
				}
				return "";
			case "eval": {
				const words = args[0] === "--" ? args.slice(1) : args;
				return this.#text(words.join(" "), state, input, via, words);
			}
			case "source":
			case ".": {
				const file = args[0] ?? "";
				const path = located(file, call.place);
				if (path === "/dev/stdin" && input.text !== null) return this.#text(input.text, state, input, via, args);
				call.reads(file);
				if (via[0] === LOGIN && /^\/(tmp|var\/tmp|dev\/shm)\//.test(path)) this.#hit(pathRules["write-persistence"], call.text());
				const content = this.#content(path);
				return content === undefined ? UNKNOWN : this.#text(content, state, input, via, args);
			}
			case "trap": {
				const [script, ...signals] = new Options(args).operands;
				// Every command that somebody types, written down.
				if (via[0] === LOGIN && signals.includes("DEBUG") && /BASH_COMMAND|history|fc -/.test(script ?? "") && /[>|]/.test(script ?? ""))
					this.#hit(pathRules["write-persistence"], script ?? "");
				if (script !== undefined && args.length > 1 && script !== "-" && script !== "")
					this.#text(script, scope.inner(), { text: null }, [...via, "trap"], args);
				return "";
			}
			case "exec": {
				const options = new Options(args, "-a", true);
				const inner = options.operands;
				// Under the name of one of the kernel's own.
				if (/^\[|^(kworker|kthreadd|ksoftirqd|migration|rcu_)/.test(options.value("-a") ?? "")) this.#hit(r["hidden-program"], call.text());
				if (inner.length === 0) return "";
				if (inner[0] === "/bin/sh") return this.#run(inner, scope, state, input, via);
				// `exec bash` starts the shell anew; it is no way out of another program.
				if (
					inner.length <= 2 &&
					SHELLS.has(nameOf(inner[0] ?? "")) &&
					via.every((name) => name === "tmux" || name === "screen") &&
					input.text === null &&
					(inner[1] ?? "-l") === "-l"
				)
					return "";
				return this.#run(inner, scope, state, input, via);
			}
			case "builtin":
				return this.#run(args[0] === "--" ? args.slice(1) : args, scope, state, input, via);
			case "command": {
				if (/^-[pvV]{1,3}$/.test(args[0] ?? "") && /[vV]/.test(args[0] ?? "")) return outputOf(call);
				return this.#run(new Options(args, "", true).operands, scope, state, input, [...via, "command"]);
			}
			case "printf":
				if (args[0] === "-v" && args[1] !== undefined) {
					state.set(
						args[1],
						outputOf(new Running(this.#engine(scope, input, via), ["printf", ...args.slice(2)], null, call.place, via, call.environment)),
					);
					return "";
				}
				return undefined;
			case "bind":
			case "complete":
			case "compgen":
				for (const script of new Options(args, call.name === "bind" ? "-x -f -m -q -u -r" : "-C -F -G -W -A -o -P -S -X").values(
					call.name === "bind" ? "-x" : "-C",
				))
					this.#script(script.replace(/^"[^"]{0,64}":\s{0,4}/, ""), scope.inner(), { text: null }, [...via, call.name]);
				return call.name === "compgen" ? undefined : "";
			case "history":
				// `history -s 'rm -rf /'; fc -s`: put there to be run from there.
				if (args[0] === "-s") call.maybe(args.slice(1).join(" "), "history");
				else if (/^-[rn]$/.test(args[0] ?? "") && args[1] !== undefined)
					call.maybe(this.#content(located(args[1], call.place)) ?? "", "history");
				return undefined;
			case "hash":
				if (args[0] === "-p" && args[1] !== undefined && args[2] !== undefined) state.aliases.set(args[2], args[1]);
				return args[0] === "-t"
					? `${args
							.slice(1)
							.map((name) => `/usr/bin/${name}`)
							.join("\n")}\n`
					: "";
			case "enable":
				if (args.includes("-f")) this.#hit(r["preload-library"], call.text());
				return "";
			case "shopt":
				if (args[0] === "-s" && args.includes("nocaseglob")) this.#did.add("nocaseglob");
				return "";
			case "getopts": {
				const [letters = "", name = "", ...given] = args;
				const from = given.length > 0 ? given : state.args;
				const option = /^-([A-Za-z])(.*)$/s.exec(from[0] ?? "");
				if (option && letters.includes(`${option[1]}:`)) state.set("OPTARG", option[2] || (from[1] ?? ""));
				if (name !== "") state.set(name, option?.[1] ?? UNKNOWN);
				return "";
			}
			case "let":
			case ":":
			case "true":
			case "false":
			case "return":
			case "break":
			case "continue":
			case "exit":
			case "wait":
			case "umask":
			case "jobs":
			case "bg":
			case "fg":
			case "disown":
			case "times":
			case "logout":
				return "";
			default:
				return undefined;
		}
	}

	/** A text that is run as a script: known, known in part, or not at all. */
	#text(text: string, scope: Scope, input: Input, via: readonly string[], args: readonly string[]): string {
		if (text.includes(FETCHED)) this.#fetched(text);
		else if (text.includes(PACKED)) this.#hit(r["run-hidden"], args.join(" "));
		else if (!isKnown(text) && squeezed(text).trim() === "") {
			// A file of settings that lies there: `eval "$(cat .env)"` is `. ./.env`.
			if (!text.includes(PRIVATE)) this.#hit(r["unresolved-script"], args.join(" "));
		} else return this.#script(text, scope, input, via);
		return UNKNOWN;
	}

	/** Objects to running what came from the network; gravely, if one of the places that it came from is dubious. */
	#fetched(evidence: string): void {
		this.#hit(this.#dubious ? r["run-downloaded-blindly"] : r["run-downloaded"], evidence);
	}
	#dubious = false;
	/** The command that is being followed never stops to print. */
	#endless = false;
	/** A variable that is called like a secret, and that the environment has, has been looked at. */
	#namedSecret = false;

	#engine(scope: Scope, input: Input, via: readonly string[]): Engine {
		return {
			hit: (rule, evidence) => this.#hit(rule, evidence),
			argv: (argv, through, stdin, environment) => {
				if (argv.length === 0) return "";
				const given = stdin === undefined ? input : { text: stdin };
				return this.#run(argv, scope, scope.inner(), given, [...via, through], environment);
			},
			script: (text, through, args, stdin) => {
				const inner = new Scope(scope, scope.cwd, args.slice(1));
				if (args[0] !== undefined) inner.set("0", args[0]);
				const given = stdin === undefined ? input : { text: stdin };
				return this.#text(text, inner, given, through === "" ? via : [...via, through], [text]);
			},
			maybe: (text, through) => {
				this.#lenient++;
				try {
					this.#script(text, new Scope(scope, scope.cwd, []), { text: null }, [...via, through]);
				} finally {
					this.#lenient--;
				}
			},
			perhaps: (work) => {
				this.#grave++;
				this.#lenient++;
				work();
				this.#lenient--;
				this.#grave--;
			},
			filesBelow: (directory) => {
				this.#spend(this.#files.size >> 1);
				return [...this.#files].filter(([file]) => file.startsWith(`${directory}/`)).slice(0, MAX_TURNS);
			},
			fetched: (evidence) => this.#fetched(evidence),
			code: (call, language, text) =>
				this.#deeper(() => {
					this.#spend(1 + (text.length >> 5));
					judgeCode(call, language, text);
				}),
			file: (path) => this.#content(path),
			linked: (from, to) => {
				if (this.#links.size < MAX_TURNS) this.#links.set(to, from);
			},
			behind: (path) => this.#behind(path),
			filesIn: (paths) => {
				const found = new Map<string, string>();
				const wanted = new Set(paths);
				// What such a file names is looked for as well: a configuration and the plugins that it loads.
				for (let turn = 0; turn < 3; turn++) {
					const before = found.size;
					for (const [file, content] of this.#files) {
						this.#spend(1);
						if (found.has(file) || !(wanted.has(file) || wanted.has(file.slice(0, file.lastIndexOf("/"))))) continue;
						found.set(file, content);
						this.#spend(1 + (Math.min(content.length, 8192) >> 6));
						for (const named of content
							.slice(0, 8192)
							.match(/\/[\w.+/-]{2,256}/g)
							?.slice(0, 32) ?? [])
							wanted.add(named);
					}
					if (found.size === before || found.size === this.#files.size) break;
				}
				return [...found.values()];
			},
			variable: (name) => {
				const value = scope.get(name);
				return typeof value === "string" && isKnown(value) ? value : undefined;
			},
			spend: (units) => this.#spend(units),
			wrote: (path, content) => {
				this.#spend(4 + (content.length >> 5));
				this.#keep(path, content);
			},
			fetches: (dubious) => {
				if (dubious) this.#dubious = true;
			},
			dubious: () => this.#dubious,
			namedSecret: () => this.#namedSecret,
			did: (what) => this.#did.has(what),
		};
	}

	#program(call: Running, scope: Scope, input: Input, via: readonly string[]): string {
		const { program, name } = call;
		if (program.startsWith("-")) return UNKNOWN;
		if (this.#isInstruction(program, scope)) return UNKNOWN;
		if (!isKnown(name)) {
			if (name.includes(FETCHED)) this.#fetched(call.text());
			else if (name.includes(PACKED)) this.#hit(r["run-hidden"], call.text());
			else if (!/[\uFFF9-\uFFFC][^\uFFF9-\uFFFC/]*\.(sh|py|pl|rb|js|exe|bin|bash)$/.test(name))
				this.#hit(r["unresolved-command"], call.text());
			// `r${nothing}m`: what it is where nothing stands for it.
			const plain = squeezed(program);
			let printed = "";
			if (/^[\w./+-]{2,64}$/.test(plain))
				call.perhaps(() => {
					printed = call.argv([plain, ...call.args], "command");
				});
			return UNKNOWN + marksOf(printed);
		}
		const where = located(program, call.place);
		if (program.includes("/") && this.#content(where) === undefined && HIDDEN.test(where)) this.#hit(r["hidden-program"], call.text());
		// A pattern: whichever known program it could mean.
		if (/[*?[]/.test(program) && name !== "[" && name !== "[[") {
			judgeAny(call, false);
			// As it is written: `/???` is /bin here, and not the /etc that a file's pattern would be taken for.
			const meant = candidates(/^\/[^./][^/]*\/[^/]+$/.test(program) ? program : where);
			if (meant === null) {
				// A program of the project, whichever: it is not one of the system's.
				if (program.includes("/")) return UNKNOWN;
				this.#hit(r["unresolved-command"], call.text());
				return UNKNOWN;
			}
			if (meant.length === 0) this.#hit(r["unresolved-command"], call.text());
			let printed = "";
			for (const one of meant.slice(0, 24)) printed += this.#run([one, ...call.args], scope, scope.inner(), input, via);
			return meant.length === 1 ? printed : UNKNOWN + marksOf(printed);
		}
		// `:!/bin/sh`, `!sh`: what one types into an editor or a pager that an earlier line has started.
		if (/^[:!]./.test(program)) {
			this.#run(
				[program.replace(/^[:!]{1,4}/, ""), ...call.args].filter((word) => word !== ""),
				scope,
				scope.inner(),
				input,
				[...via, "editor"],
			);
			return UNKNOWN;
		}
		if (/^git-[a-z][a-z-]{1,32}$/.test(name)) return call.argv(["git", name.slice(4), ...call.args], "git");
		const setuidShell = call.args.length === 1 && call.args[0] === "-p";
		if (setuidShell && /^\/(var\/)?tmp\//.test(where) && this.#content(where) === undefined) this.#hit(r["hidden-program"], call.text());
		if (TELLING.test(name) || (INTERPRETERS.test(name) && call.args.slice(0, 2).some((arg) => TELLING.test(baseName(arg)))))
			this.#hit(r["hidden-program"], call.text());
		if (
			via[0] === LOGIN &&
			[program, ...(SHELLS.has(name) || INTERPRETERS.test(name) ? call.args.slice(0, 2) : [])].some((path) =>
				/^\/(tmp|var\/tmp|dev\/shm)\//.test(located(path, call.place)),
			)
		)
			this.#hit(pathRules["write-persistence"], call.text());
		if (program.includes("/")) {
			const content = this.#content(located(program, call.place));
			// A copy of a program of the system is that program.
			if (content?.startsWith(COPIED))
				return this.#run([content.slice(1), ...call.args], scope, scope.inner(), input, via, call.environment);
			if (content !== undefined) {
				const text = content.replace(/^#![^\n]*/, "");
				if (content.includes(FETCHED)) this.#fetched(call.text());
				else if (
					isKnown(content.slice(0, 2)) &&
					content !== "" &&
					!content.startsWith("\x7f") &&
					!/^#!.{0,64}(python|perl|ruby|node)/.test(content)
				)
					return this.#script(text, new Scope(scope, scope.cwd, call.args), input, [...via]);
				else if (content.includes(PACKED) || content.startsWith("\x7fELF")) call.hit(r["run-hidden"]);
				else if (!isKnown(content) || content.startsWith("\x7f")) call.hit(r["unresolved-script"]);
				else call.code(/python|perl|ruby|node/.exec(content)?.[0] ?? "", text);
			}
		}
		if (SHELLS.has(name)) return this.#shell(call, input, via);
		if (
			input.text === null &&
			(INTERACTIVE.test(name) ||
				(INTERPRETERS.test(name) &&
					!call.args.some((arg) => /^(-v|-V|-h|--?(version|help|info|list-.{1,16}))$/.test(arg)) &&
					call.args.every((arg) => /^-[\w-]{0,16}$|^(fsi|repl|console|shell)$/.test(arg))))
		)
			this.#waiting = [program, ...call.args];
		const wrapper = Object.hasOwn(wrappers, name) ? wrappers[name] : undefined;
		const inner = judgeAny(call, judges.has(name) || wrapper !== undefined);
		if (name === "yes") this.#endless = true;
		if (name === "mkfifo" || (name === "mknod" && call.args.includes("p"))) {
			this.#fifo = true;
			// Whoever reads it now gets what is written to it later.
			for (const path of new Options(call.args, "-m --mode").operands) this.#fifos.add(located(path, call.place));
		}
		if (this.#fifo && /^(nc|ncat|netcat|telnet|openssl|socat)$/.test(name)) this.#hit(remoteRules["net-shell"], call.text());
		if (/^(nc|ncat|netcat|telnet|socat|rlogin)$/.test(name) || (name === "openssl" && call.args[0] === "s_client"))
			this.#ends.add("connection");
		const wrapped = wrapper?.(call);
		const output = wrapped ?? outputOf(call) + marksOf(inner);
		return call.sawSecret && wrapped === undefined ? output + PRIVATE : output;
	}

	/** `sh -c`, `sh x.sh`, `... | sh`, `sh`. */
	#shell(call: Running, input: Input, via: readonly string[]): string {
		const args = call.args.filter((arg, at) => !/^\+[a-zA-Z]/.test(arg) && !/^\+[oO]$/.test(call.args[at - 1] ?? ""));
		const options = new Options(args, "-o -O --rcfile --init-file", true);
		for (const file of options.values("--rcfile", "--init-file")) {
			const content = this.#files.get(located(file, call.place));
			if (content !== undefined) call.script(content);
		}
		for (const name of ["BASH_ENV", "ENV"]) {
			const file = call.environment.get(name) ?? call.variable(name);
			const content = file === undefined ? undefined : this.#content(located(file, call.place));
			if (content !== undefined && !this.#active.includes(name)) this.#within(name, () => call.script(content));
		}
		// `bash -n`: it is only read.
		if (options.has("-n") && /^(ba|da|z|k|a)?sh$/.test(call.name)) return UNKNOWN;
		const [first, ...rest] = options.operands;
		const through = "";
		if (options.has("-c", "--command")) {
			// elvish calls the environment $E:.
			const text = (options.value("--command") || first || "").replaceAll(call.name === "elvish" ? "$E:" : "\0", "$");
			// fish has them all in $argv, from the first on.
			if (call.name === "fish") return call.script(text.replace(/\$argv\b/g, '"$@"'), through, ["fish", ...rest]);
			return call.script(text, through, rest);
		}
		if (first !== undefined && first !== "-" && !options.has("-s")) {
			const path = located(first, call.place);
			if (path !== "/dev/stdin" && path !== "/proc/self/fd/0" && path !== "/dev/fd/0") {
				const content = this.#content(path);
				call.reads(first);
				if (content !== undefined) return call.script(content, through, [first, ...rest]);
				if (this.#fifos.has(path))
					this.#sinks.set(path, { fed: true, feed: (text) => void call.script(text ?? UNKNOWN, through, [first, ...rest]) });
				if (/^\/dev\/(tcp|udp)\//.test(path)) call.hit(r["shell-to-network"]);
				return UNKNOWN;
			}
		}
		if (input.file) return UNKNOWN;
		if (input.text === null || !isKnown(input.text)) this.#ends.add("shell");
		if (input.text !== null && input.text.trim() !== "")
			return call.script(input.text, through, ["bash", ...(options.has("-s") ? options.operands : rest)], null);
		if (options.has("--version", "--help", "-n")) return UNKNOWN;
		// Inside a container or on another machine, a shell is what one goes there for.
		const last = via.at(-1) ?? "";
		if (via.some((name) => INTO_OTHERS.has(name))) return "";
		if (last !== "" && last !== "command" && last !== "function" && !(last === "env" && !options.has("-p") && options.has("--norc")))
			call.hit(r["shell-escape"]);
		else call.hit(options.has("-p") ? r["shell-escape"] : r["bare-shell"]);
		return "";
	}
}

const INTO_OTHERS = new Set([
	"docker",
	"podman",
	"nerdctl",
	"kubectl",
	"oc",
	"ssh",
	"lxc",
	"vagrant",
	"docker-compose",
	"nix-shell",
	"nix",
	"toolbox",
	"distrobox",
	"wsl",
	"adb",
]);
/** A word with a mark right between two letters. */
const GLUED = /[\w.-][\uFFF9-\uFFFC]{1,4}[\w.-]/;

/** A URL's text without percent signs, as far as they stand for letters. */
const plainUrl = (text: string): string =>
	text.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));

const INSTRUCTION =
	/^(RUN|FROM|COPY|ADD|ENV|ARG|WORKDIR|USER|ENTRYPOINT|CMD|EXPOSE|LABEL|VOLUME|HEALTHCHECK|SHELL|ONBUILD|STOPSIGNAL|MAINTAINER)$/;
/** Where programs lie that nobody shall find. */
const HIDDEN = /^\/(var\/)?tmp\/(\.{3}[^/]{0,255}\/.|\.[^/]{1,255}(\/[^/]{1,255})?$)|^\/dev\/shm\/|^\/(var\/)?tmp\/[^/]{0,255} $/;
/** Whether a program makes something of a connection that it is given, such as a shell. */
const startsProgram = (program: string | null): boolean =>
	program !== null && !/^(exec|cat|echo|printf|:|true|test|\[)$/.test(baseName(program));
/** Names that say what a program is for. */
const TELLING =
	/exploit(?!ation|s?\.md)|lazagne|pwnkit|dirty(cow|pipe)|^cve-?\d{4}|linpeas|linenum|^pspy|rootkit|backdoor|keylogger|mimikatz|mimipenguin|reverse.?shell|ransom/i;
/** A call that starts a shell, or makes itself root, in whatever language. */
const STARTS_SHELL =
	/\b(exec[lv]?[pe]{0,2}|system|spawn|popen|execute|Pre-Invoke)\b[^\n]{0,40}["'/ ]\/?bin\/(ba)?sh(["',;]| ?[0-9]?[<>])|\bset(res|re)?uid\(0/;
/** A page that runs whatever a request brings. */
const WEB_SHELL =
	/\b(system|exec|shell_exec|passthru|eval|assert|popen|proc_open|create_function)\s{0,2}\([^;\n]{0,80}\$_(GET|POST|REQUEST|COOKIE|SERVER)\b|`[^`\n]{0,80}\$_(GET|POST|REQUEST)|\beval\b[^\n]{0,80}QUERY_STRING|getRuntime\(\)\.exec\([^;\n]{0,40}request\.getParameter|\bexec(Sync)?\(\s{0,2}req\.(query|body|params)|\b(system|popen|getoutput|check_output|run)\(\s{0,2}(flask\.)?request\.(args|form|values|GET|POST)/;
/** Absolute paths that are not in their shortest form. */
const ROUNDABOUT = /^(?=[^\n]{0,1024}(?:\/\/|\/\.{1,2}(?:\/|$)))\/[\w.@+/-]{0,1024}$/;
/** Programs whose arguments are text. */
const AS_WRITTEN = new Set(["echo", "printf", "tr", "base64", "expr", "sed", "awk", "grep"]);

const BIN = ["/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin", "/usr/local/sbin"];
/** Known programs that a pattern in command position could mean. */
function candidates(pattern: string): string[] | null {
	const names = new Set([...SHELLS, ...Object.keys(wrappers), ...judges.keys(), "cat", "python3", "ls", "echo"]);
	const slash = pattern.lastIndexOf("/");
	const directory = pattern.slice(0, slash);
	const last = pattern.slice(slash + 1);
	if (!BIN.some((bin) => directory.split("/").length === bin.split("/").length && globMatches(directory, bin))) return null;
	const found = [...names].filter((name) => globMatches(last, name));
	return found.map((name) => `/bin/${name}`);
}

/** Programs that wait for somebody who types; the first ones only without a program of their own. */
const INTERPRETERS =
	/^(python|pypy|perl|ruby|irb|pry|node|nodejs|deno|bun|php|lua|luajit|tclsh|wish|expect|ghci|ghc|julia|octave|octave-cli|R|erl|iex|elixir|jshell|scala|groovysh|dotnet|guile|clisp|sbcl|ipython|bpython|elvish|slsh|gnuplot|maxima|sage|pwsh|powershell|msfconsole)$/;
const INTERACTIVE =
	/^(rails|mysql|mariadb|psql|sqlite3|mongosh?|redis-cli|gdb|lldb|ed|red|vi|vim|nvim|view|ex|nano|pico|emacs|joe|less|more|man|ftp|lftp|sftp|tftp|psftp|smbclient|telnet|mail|mailx|bc|dc|pdb|jdb|pic|hping3|ranger|mc|tdbtool|tasksh|jtag|scanmem|crash|ginsh|bconsole|debugfs|terraform|cscope|top|htop|cpan)$/;

const join = (a: string, b: string): string => {
	const all = a + b;
	return all.length > MAX_OUTPUT ? marksOf(all) + UNKNOWN : all;
};

/** `read -u 3 x` as it would read its standard input. */
const withoutDescriptor = (args: readonly string[]): string[] =>
	args
		.flatMap((arg, at) =>
			/^-[a-z]{0,4}u$/.test(args[at - 1] ?? "") ? [] : /^-[a-z]{0,4}u\d{0,4}$/.test(arg) ? [arg.replace(/u\d{0,4}$/, "")] : [arg],
		)
		.filter((arg) => arg !== "-");
