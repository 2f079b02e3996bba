import type { Command } from "commander";
import { ALL_SCOPES, Scope } from "../../shared/api.ts";
import { check } from "../../shared/codec.ts";
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
interface CreateOptions extends ReadOptions {
	scope?: string[];
	expires?: string;
}

export function register(program: Command): void {
	const keys = program.command("keys").description("API keys of the team: list, create, revoke");
	keys.addHelpText(
		"after",
		`
Scopes: ${ALL_SCOPES.join(", ")}

Examples:
  hotplex keys list
  hotplex keys create ci --scope sessions:read --scope sessions:write --expires 30d > ci.key
  hotplex keys revoke key_01jd3m7q6w8e9r0t1y2v3b4n5m`,
	);

	withConnection(keys.command("list"))
		.description("Keys with their scopes and ends; secrets are nowhere kept")
		.option("--json", "print one JSON document")
		.action(
			action(async (options: ReadOptions) => {
				const list = await connect(options).keys();
				if (options.json) return printJson(list);
				printTable(
					["KEY", "NAME", "SCOPES", "CREATED", "BY", "EXPIRES", "REVOKED"],
					list.data.map((k) => [k.keyId, k.name, k.scopes.join(" "), when(k.createdAt), k.createdBy, when(k.expiresAt), when(k.revokedAt)]),
					"no keys",
				);
			}),
		);

	withConnection(keys.command("create"))
		.argument("<name>", "what it is for")
		.description("Make a key; its secret is printed once, alone on stdout")
		.option("--scope <scope>", "what it may do; may be said again", (one: string, all: string[] | undefined) => [...(all ?? []), one])
		.option("--expires <duration>", "how long it counts, like 30d (default: until it is revoked)")
		.option("--json", "print one JSON document")
		.action(
			action(async (name: string, options: CreateOptions) => {
				const scopes = (options.scope ?? []).map((text) => {
					const scope = check(Scope, text);
					if (!scope.ok) throw new UsageError(`--scope ${text}: expected one of ${ALL_SCOPES.join(", ")}`);
					return scope.value;
				});
				if (scopes.length === 0) throw new UsageError(`say what the key may do with --scope: ${ALL_SCOPES.join(", ")}`);
				const expiresInMs = options.expires === undefined ? {} : { expiresInMs: duration(options.expires) };
				const made = await connect(options).createKey({ name, scopes, ...expiresInMs });
				if (options.json) return printJson(made);
				process.stdout.write(`${made.apiKey}\n`);
				process.stderr.write(`${made.keyId} is made; this is the only time that its secret is shown\n`);
			}),
		);

	withConnection(keys.command("revoke"))
		.argument("<key>", "key_...")
		.description("It counts no more; sockets opened with it close")
		.action(
			action(async (id: string, options: ConnectionOptions) => {
				await connect(options).revokeKey(id);
				process.stdout.write(`${id} is revoked\n`);
			}),
		);
}
