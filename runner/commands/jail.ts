import type { Command } from "commander";
import { type Flags, findStateDir, type RunnerConfig, readRunnerConfig } from "../config.ts";
import type { Confinement } from "../jail.ts";
import { findLayers, type Layer, refusal } from "../layers.ts";
import { action, EXIT, printJson, UsageError } from "./connection.ts";

/** The options about the jail, for every command that hosts sessions. */
export function withJailOptions(command: Command): Command {
	return command
		.option("--require-jail", "refuse to start where sessions cannot be jailed in namespaces of their own")
		.option("--unsafe-no-jail", "host sessions that see and may change whatever this user may")
		.option("--jail-read <path...>", "what else every session may read, e.g. /opt/tools or ~/.config/tool")
		.option("--jail-write <path...>", "what else every session may write")
		.option("--jail-network <proxy|host>", "the network of sessions: through the proxy and to allowed hosts, or this machine's own")
		.option("--max-memory <size>", "memory of one session's processes together, where cgroup v2 is delegated, e.g. 4GiB")
		.option("--max-processes <number>", "processes and threads of one session");
}

export function registerDoctor(runner: Command): void {
	withJailOptions(
		runner
			.command("doctor")
			.description("what keeps sessions in on this machine, layer by layer, and what is missing")
			.option("--state-dir <path>", "its state directory (or HOTPLEX_STATE_DIR)")
			.option("--config <path>", "the configuration (default: runner.toml in the state directory)")
			.option("--json", "one JSON document"),
	)
		.addHelpText("after", "\nExit codes: 0 sessions can be hosted as configured, 1 they would be refused, 2 usage\n")
		.action(action(doctor));
}

async function doctor(options: Flags & { stateDir?: string; json?: true }): Promise<void> {
	const config = readRunnerConfig(options, process.env, findStateDir(options.stateDir, process.env));
	if (!config.ok) throw new UsageError(config.error);
	const findings = findLayers(config.value, process.env);
	const refused = refusal(findings, config.value);
	const { jail, isolation, why } = findings.confinement;
	if (options.json) printJson({ jail, isolation, ...(why === undefined ? {} : { why }), refused, layers: findings.layers });
	else process.stdout.write(`${findings.layers.map(lineOf).join("\n")}\n\njail ${jail}, isolation ${isolation}\n${refused ?? why ?? ""}\n`);
	if (refused !== null) process.exitCode = EXIT.failed;
}

const lineOf = ({ layer, state, found, remedy }: Layer): string =>
	`${state.padEnd(8)} ${layer.padEnd(20)} ${found}${remedy === undefined ? "" : `\n${" ".repeat(30)}remedy: ${remedy}`}`;

/** What sessions are confined by here; ends the command with the remedy where they must not be hosted. What is weaker than it could be is told. */
export function confine(config: RunnerConfig, log: (line: string) => void): Confinement {
	const findings = findLayers(config, process.env);
	const refused = refusal(findings, config);
	if (refused !== null) throw new UsageError(refused, EXIT.failed);
	const { jail, why } = findings.confinement;
	if (jail !== "namespaces") log(`WARNING: jail ${jail}: ${why ?? ""}`);
	return findings.confinement;
}
