import { once } from "node:events";
import { createReadStream, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { resolve } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { check, parse } from "../../shared/codec.ts";
import { problem } from "../../shared/errors.ts";
import { err } from "../../shared/result.ts";
import { BUILT_IN, checkPolicy, type Decided, decidePrompt, decideToolCall, type VersionedPolicy } from "../../shared/waf/policy.ts";
import { LineSplitter } from "../lines.ts";
import { action, EXIT, jsonText, printJson, UsageError } from "./connection.ts";
import { neutralise } from "./screen.ts";

const Kind = z.enum(["command", "prompt"]);
type Kind = z.infer<typeof Kind>;

const Row = z.object({
	id: z.union([z.string(), z.number()]),
	kind: Kind.optional(),
	text: z.string(),
	/** The directory that the command runs in, which is also the session's work directory. */
	cwd: z.string().min(1).optional(),
});

/** A row is read whole; what the rules take of a text is less. */
const MAX_ROW_BYTES = 8 * 1024 ** 2;

interface Options {
	jsonl?: string;
	policy?: string;
	kind?: string;
	cwd?: string;
	json?: boolean;
}

/** Adds `test` to `hotplex policy`, and that itself where nobody has made it yet. */
export function register(program: Command): void {
	const policy = program.commands.find((one) => one.name() === "policy") ?? program.command("policy").description("Rules of the team");
	policy
		.command("test")
		.argument("[text]", "a command, or with --kind prompt a prompt")
		.description("Say what the rules make of commands and prompts, without a gateway; nothing is run")
		.option("--jsonl <file>", 'rows {"id","kind","text","cwd"} from a file, or - for stdin; one {"id","verdict","rule"} per row comes out')
		.option("--policy <file>", "judge by this policy (JSON) rather than by the built-in one")
		.option("--kind <kind>", "command or prompt: what the text is, and rows that do not say", "command")
		.option("--cwd <dir>", "the work directory (default: this one; a row's own comes first)")
		.option("--json", "print one JSON document")
		.addHelpText(
			"after",
			`
Exit codes: 0 allow, 1 ask or deny; with --json and --jsonl 0 whatever the verdicts, 2 if a row could not be read.

Examples:
  hotplex policy test "rm -rf /"
  hotplex policy test --kind prompt "please delete everything under /etc"
  hotplex policy test --jsonl rows.jsonl > verdicts.jsonl`,
		)
		.action(
			action(async (text: string | undefined, options: Options) => {
				const kind = check(Kind, options.kind);
				if (!kind.ok) throw new UsageError(`--kind ${options.kind}: expected command or prompt`);
				if ((text === undefined) === (options.jsonl === undefined)) throw new UsageError("say either a text or --jsonl FILE");
				const versioned = options.policy === undefined ? BUILT_IN : policyFrom(options.policy);
				const judge = (one: Kind, what: string, cwd: string | undefined): Decided =>
					decide(versioned, one, what, resolve(cwd ?? options.cwd ?? process.cwd()));
				if (text === undefined) return judgeRows(options.jsonl ?? "-", kind.value, judge);
				const decided = judge(kind.value, text, undefined);
				if (options.json) return printJson({ kind: kind.value, ...decided });
				process.stdout.write(`${inWords(decided)}\n`);
				process.exitCode = decided.verdict === "allow" ? EXIT.done : EXIT.failed;
			}),
		);
}

function decide(versioned: VersionedPolicy, kind: Kind, text: string, workDir: string): Decided {
	// What the rules say is asked here, also of a policy that does not enforce them yet.
	const enforced = { ...versioned, policy: { ...versioned.policy, mode: "enforce" as const } };
	const who = { sessionId: "", principal: "" };
	const now = Date.now();
	if (kind === "prompt") return decidePrompt(enforced, text, who, now);
	const place = { workDir, cwd: workDir, home: homedir() };
	return decideToolCall(enforced, [], { tool: "Bash", input: { command: text } }, place, who, now);
}

function inWords({ verdict, rule, category, reason, suggestion, evidence, by }: Decided): string {
	const lines = [
		`${verdict}${rule === null ? "" : `  ${rule}${category === null ? "" : ` (${category})`}`}`,
		`  ${reason}`,
		...(evidence === undefined ? [] : [`  saw: ${evidence}`]),
		...(suggestion === undefined ? [] : [`  instead: ${suggestion}`]),
		...(by.startsWith("policy:") ? [] : [`  by: ${by}`]),
	];
	return lines.map((line) => neutralise(line).replaceAll("\n", " ")).join("\n");
}

/** Verdicts go out in the order of the rows, as they come; a row that cannot be read has an error in its place. */
async function judgeRows(path: string, kind: Kind, judge: (kind: Kind, text: string, cwd: string | undefined) => Decided): Promise<void> {
	const counts = { allow: 0, ask: 0, deny: 0, bad: 0 };
	const startedAt = performance.now();
	for await (const lines of batchesOf(path)) {
		let out = "";
		for (const line of lines) {
			if (line?.trim() === "") continue;
			const json = line === null ? err(problem("too_large", `a row has at most ${MAX_ROW_BYTES} bytes`)) : parse(line, MAX_ROW_BYTES);
			const row = json.ok ? check(Row, json.value) : json;
			if (row.ok) {
				const { verdict, rule } = judge(row.value.kind ?? kind, row.value.text, row.value.cwd);
				counts[verdict]++;
				out += `${jsonText({ id: row.value.id, verdict, rule })}\n`;
			} else {
				counts.bad++;
				out += `${jsonText({ id: null, error: row.error.detail })}\n`;
			}
		}
		if (out !== "" && !process.stdout.write(out)) await once(process.stdout, "drain");
	}
	const seconds = (performance.now() - startedAt) / 1000;
	const { allow, ask, deny, bad } = counts;
	const rows = allow + ask + deny;
	process.stderr.write(
		`${rows} rows in ${seconds.toFixed(1)} s (${Math.round(rows / Math.max(seconds, 0.001))} rows/s): ${allow} allow, ${ask} ask, ${deny} deny` +
			`${bad === 0 ? "" : `; ${bad} could not be read`}\n`,
	);
	if (bad > 0) process.exitCode = EXIT.usage;
}

/** Lines as they come in; null: one that is too long. Only a newline ends one: readline would also split at U+2028, which JSON strings may hold. */
async function* batchesOf(path: string): AsyncGenerator<(string | null)[]> {
	const lines = new LineSplitter(MAX_ROW_BYTES);
	try {
		for await (const chunk of path === "-" ? process.stdin : createReadStream(path)) yield lines.push(chunk).map((line) => line.text);
	} catch (cause) {
		throw new UsageError(`--jsonl ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
	}
	// The last row may lack its newline.
	yield lines.push(new Uint8Array([10])).map((line) => line.text);
}

function policyFrom(path: string): VersionedPolicy {
	let text: string;
	try {
		text = readFileSync(path, "utf8");
	} catch (cause) {
		throw new UsageError(`--policy ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
	}
	const json = parse(text, MAX_ROW_BYTES);
	const policy = json.ok ? checkPolicy(json.value, Date.now()) : json;
	if (!policy.ok) throw new UsageError(`--policy ${path}: ${policy.error.detail}`);
	return { version: 0, policy: policy.value };
}
