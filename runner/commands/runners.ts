import type { Command } from "commander";
import {
	action,
	type ConnectionOptions,
	connect,
	duration,
	printJson,
	printTable,
	UsageError,
	when,
	withConnection,
} from "./connection.ts";

interface ReadOptions extends ConnectionOptions {
	json?: boolean;
}
interface TokenOptions extends ReadOptions {
	label?: string[];
	expires?: string;
}

export function register(program: Command): void {
	const runners = program.command("runners").description("The team's machines: list, drain, revoke, invite");
	runners.addHelpText(
		"after",
		`
Examples:
  hotplex runners list
  hotplex runners token --label gpu=true --expires 15m
  hotplex runners drain run_01jd3m7q6w8e9r0t1y2v3b4n5m`,
	);

	withConnection(runners.command("list"))
		.description("Runners with their state, load and providers")
		.option("--json", "print one JSON document")
		.action(
			action(async (options: ReadOptions) => {
				const list = await connect(options).runners();
				if (options.json) return printJson(list);
				printTable(
					["RUNNER", "NAME", "STATE", "LOAD", "PROVIDERS", "ISOLATION", "JAIL", "LABELS", "VERSION", "LAST SEEN"],
					list.data.map((r) => [
						r.runnerId,
						r.name,
						r.state,
						`${r.hosting}/${r.capacity}`,
						r.providers.map((p) => (p.version === null ? p.name : `${p.name}@${p.version}`)).join(" "),
						r.isolation,
						r.jail,
						Object.entries(r.labels)
							.map(([name, value]) => `${name}=${value}`)
							.join(" "),
						r.version,
						when(r.lastSeenAt),
					]),
					"no runners; make a token with: hotplex runners token",
				);
			}),
		);

	withConnection(runners.command("drain"))
		.argument("<runner>", "run_...")
		.description("It takes no new sessions and lets go of each when its turn has ended")
		.action(
			action(async (id: string, options: ConnectionOptions) => {
				await connect(options).drainRunner(id);
				process.stdout.write(`${id} drains\n`);
			}),
		);

	withConnection(runners.command("revoke"))
		.argument("<runner>", "run_...")
		.description("Its key counts no more: its links close and its leases end")
		.action(
			action(async (id: string, options: ConnectionOptions) => {
				await connect(options).revokeRunner(id);
				process.stdout.write(`${id} is revoked\n`);
			}),
		);

	withConnection(runners.command("token"))
		.description("A one-use token that lets one machine enrol")
		.option("--label <name=value>", "a label that the runner will have; may be said again", (one: string, all: string[] | undefined) => [
			...(all ?? []),
			one,
		])
		.option("--expires <duration>", "how long it counts, like 15m (default 1h, at most 24h)")
		.option("--json", "print one JSON document")
		.action(
			action(async (options: TokenOptions) => {
				const labels = Object.fromEntries((options.label ?? []).map(labelOf));
				const expiresInMs = options.expires === undefined ? {} : { expiresInMs: duration(options.expires) };
				const made = await connect(options).createRunnerToken({ labels, ...expiresInMs });
				if (options.json) return printJson(made);
				// Alone on stdout, so that a script can put it into a file.
				process.stdout.write(`${made.token}\n`);
				process.stderr.write(`counts once, until ${when(made.expiresAt)}\n`);
			}),
		);
}

function labelOf(text: string): [string, string] {
	const at = text.indexOf("=");
	if (at < 1) throw new UsageError(`--label ${text}: expected name=value`);
	return [text.slice(0, at), text.slice(at + 1)];
}
