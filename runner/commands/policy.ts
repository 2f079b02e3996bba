import { readFileSync } from "node:fs";
import type { Command } from "commander";
import { parse } from "../../shared/codec.ts";
import { MAX_BODY_BYTES } from "../../shared/limits.ts";
import { checkPolicy, type Policy } from "../../shared/waf/policy.ts";
import {
	action,
	type ConnectionOptions,
	connect,
	duration,
	printJson,
	printTable,
	UsageError,
	when,
	wholeNumber,
	withConnection,
} from "./connection.ts";

interface ReadOptions extends ConnectionOptions {
	json?: boolean;
}
interface PutOptions extends ReadOptions {
	base?: string;
}
interface BypassOptions extends ReadOptions {
	reason?: string;
	for?: string;
	lift?: string[];
	session?: string;
	principal?: string;
}

/** Adds all but `test` to `hotplex policy`. */
export function register(program: Command): void {
	const policy = program.commands.find((one) => one.name() === "policy") ?? program.command("policy").description("Rules of the team");
	policy.addHelpText(
		"after",
		`
Examples:
  hotplex policy get > policy.json        (edit it, then)
  hotplex policy put policy.json --base 3
  hotplex policy bypass --reason "mirror is down" --for 2h --lift network`,
	);

	withConnection(policy.command("get"))
		.argument("[version]", "an earlier one")
		.description("The policy that holds, as JSON on stdout; which version it is on stderr")
		.option("--json", "print it with its version, author and time")
		.action(
			action(async (version: string | undefined, options: ReadOptions) => {
				const found = await connect(options).policy(wholeNumber("version", version));
				if (options.json) return printJson(found);
				printJson(found.policy);
				const by = found.author === null ? "built in" : `by ${found.author} at ${when(found.at)}`;
				process.stderr.write(`version ${found.version}, ${by}\n`);
			}),
		);

	withConnection(policy.command("put"))
		.argument("<file>", "the whole policy as JSON; - for stdin")
		.description("Make the next version; sessions go by it at once")
		.option("--base <n>", "the version that it was made from, so that nobody's change is lost (default: the current one)")
		.option("--json", "print one JSON document")
		.action(
			action(async (path: string, options: PutOptions) => {
				const wanted = policyFrom(path);
				const client = connect(options);
				const base = wholeNumber("--base", options.base) ?? (await client.policy()).version;
				const made = await client.putPolicy(wanted, base);
				if (options.json) return printJson(made);
				process.stdout.write(`version ${made.version} holds${toTell(made.pending)}\n`);
			}),
		);

	withConnection(policy.command("versions"))
		.description("All versions, newest first")
		.option("--limit <n>", "how many", "50")
		.option("--json", "print one JSON document")
		.action(
			action(async (options: ReadOptions & { limit?: string }) => {
				const list = await connect(options).policyVersions({ limit: wholeNumber("--limit", options.limit) });
				if (options.json) return printJson(list);
				printTable(
					["VERSION", "AUTHOR", "AT"],
					list.data.map((v) => [v.version, v.author ?? "built in", when(v.at)]),
					"no versions",
				);
			}),
		);

	withConnection(policy.command("bypass"))
		.description("Let through for a time what built-in rules would stop; every use is in the audit log")
		.option("--reason <text>", "why, for the audit log")
		.option("--for <duration>", "how long, at most 24h", "1h")
		.option("--lift <rule>", "a rule or category; may be said again (default: all)", (one: string, all: string[] | undefined) => [
			...(all ?? []),
			one,
		])
		.option("--session <id>", "only for this session")
		.option("--principal <actor>", "only for sessions that this principal opened, like access:ann@example.com")
		.option("--json", "print one JSON document")
		.action(
			action(async (options: BypassOptions) => {
				if (options.reason === undefined) throw new UsageError("say why with --reason: it stands in the audit log");
				const made = await connect(options).createBypass({
					reason: options.reason,
					forMs: duration(options.for ?? "1h"),
					...(options.lift === undefined ? {} : { lifts: options.lift }),
					...(options.session === undefined ? {} : { sessionId: options.session }),
					...(options.principal === undefined ? {} : { principal: options.principal }),
				});
				if (options.json) return printJson(made);
				process.stdout.write(`${made.bypass.id} holds until ${when(made.bypass.until)}${toTell(made.pending)}\n`);
			}),
		);

	withConnection(policy.command("end-bypass"))
		.argument("<id>", "bypass-...")
		.description("End a bypass before its time")
		.action(
			action(async (id: string, options: ConnectionOptions) => {
				await connect(options).endBypass(id);
				process.stdout.write(`${id} has ended\n`);
			}),
		);
}

const toTell = (pending: number): string => (pending === 0 ? "" : `; ${pending} sessions are still to be told`);

/** A policy of a file, complete. What is wrong with it is told here, before anybody is asked. */
function policyFrom(path: string): Policy {
	let text: string;
	try {
		text = readFileSync(path === "-" ? 0 : path, "utf8");
	} catch (cause) {
		throw new UsageError(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
	}
	const json = parse(text, MAX_BODY_BYTES);
	const policy = json.ok ? checkPolicy(json.value, Date.now()) : json;
	if (!policy.ok) throw new UsageError(`${path}: ${policy.error.detail}`);
	return policy.value;
}
