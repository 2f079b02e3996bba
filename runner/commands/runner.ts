import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { closeCode } from "../../shared/errors.ts";
import { isSame as isAlive } from "../cli-process.ts";
import { type Flags, findStateDir, readRunnerConfig } from "../config.ts";
import { claimStateDir, Daemon, daemonStatus } from "../daemon.ts";
import { enrol, loadIdentity } from "../identity.ts";
import { installedProviders, loginHint } from "../providers.ts";
import { action, EXIT, printJson, UsageError } from "./connection.ts";
import { confine, registerDoctor, withJailOptions } from "./jail.ts";
import { onSignals } from "./signals.ts";

/** Exit codes of `runner run` that a service manager should not restart on. */
const EXIT_OF_CLOSE: Record<number, number> = {
	1000: EXIT.done,
	[closeCode("unauthorized")]: 11,
	[closeCode("superseded")]: 12,
	[closeCode("unsupported_version")]: 13,
};

/** Not 0, so that a service manager which restarts on failure starts the new version. */
const EXIT_MADE_WAY = 14;

interface RunOptions extends Flags {
	stateDir?: string;
}

export function register(program: Command): void {
	const runner = program.command("runner").description("this machine as a runner of a team");
	runner
		.command("enrol")
		.description("register this machine at a gateway, once, with a token from `hotplex runners token`")
		.requiredOption("--url <address>", "the gateway's address")
		.option("--token-file <path>", "a file that holds the token; - reads it from standard input (or HOTPLEX_RUNNER_TOKEN)")
		.option("--name <name>", "how people see this machine (default: its host name)")
		.option("--state-dir <path>", "where the key and the journals are kept (or HOTPLEX_STATE_DIR)")
		.addHelpText("after", "\nExample:\n  hotplex runner enrol --url https://hotplex.example.com --token-file token.txt\n")
		.action(action(enrolCommand));
	withJailOptions(
		runner
			.command("run")
			.description("host sessions until stopped; dials out only, listens on nothing")
			.option("--state-dir <path>", "where the key and the journals are kept (or HOTPLEX_STATE_DIR)")
			.option("--config <path>", "the configuration (default: runner.toml in the state directory)")
			.option("--name <name>", "the runner's name")
			.option("--capacity <number>", "sessions that are hosted at once")
			.option("--label <name=value...>", "labels")
			.option("--drain-grace <duration>", "how long turns may go on after SIGTERM, e.g. 30s")
			.option("--idle-timeout <duration>", "end the process of a session without a turn after this long")
			.option("--silence-timeout <duration>", "tell of a CLI that writes nothing in mid-turn for this long; end it after twice as long")
			.option("--max-journal <size>", "stop a CLI while this much of its output waits for the gateway, e.g. 1GiB")
			.option("--min-free-disk <size>", "stop CLIs and take no sessions while the disk has less than this left, e.g. 128MiB"),
	)
		.addHelpText(
			"after",
			"\nExit codes: 0 drained, 1 failed, 2 usage, 11 revoked, 12 replaced by another daemon, 13 version refused, 14 made way\n",
		)
		.action(action(run));
	runner
		.command("status")
		.description("what the daemon on this machine does")
		.option("--state-dir <path>", "its state directory (or HOTPLEX_STATE_DIR)")
		.option("--json", "one JSON document")
		.action(action(status));
	registerDoctor(runner);
	runner
		.command("make-way")
		.description("end the daemon on this machine for a newer one: no turn ends, the CLIs go on until the next `hotplex runner run`")
		.option("--state-dir <path>", "its state directory (or HOTPLEX_STATE_DIR)")
		.action(action(makeWay));
	runner
		.command("drain")
		.description("stop the daemon on this machine: running turns may end, sessions go back, resumable")
		.option("--state-dir <path>", "its state directory (or HOTPLEX_STATE_DIR)")
		.action(action(drain));
}

async function makeWay(options: { stateDir?: string }): Promise<void> {
	const stateDir = findStateDir(options.stateDir, process.env);
	await signal(stateDir, "SIGUSR2");
	process.stdout.write("its CLIs go on; start the next daemon now\n");
}

/** Sends the daemon of this state directory a signal and waits for its end. */
async function signal(stateDir: string, name: NodeJS.Signals): Promise<void> {
	const now = daemonStatus(stateDir);
	if (now === null) throw new UsageError(`no daemon runs on ${stateDir}`, EXIT.failed);
	process.kill(now.pid, name);
	while (isAlive(now)) await new Promise((resolve) => setTimeout(resolve, 50));
}

async function enrolCommand(options: { url: string; tokenFile?: string; name?: string; stateDir?: string }): Promise<void> {
	const stateDir = findStateDir(options.stateDir, process.env);
	const token =
		options.tokenFile === undefined
			? process.env.HOTPLEX_RUNNER_TOKEN
			: readFileSync(options.tokenFile === "-" ? 0 : options.tokenFile, "utf8");
	if (token === undefined || token.trim() === "") throw new UsageError("no token: say --token-file or HOTPLEX_RUNNER_TOKEN");
	const known = loadIdentity(stateDir);
	if (known !== null)
		throw new UsageError(
			`this state directory is enrolled already (${stateDir}); use another one, or remove its identity.json`,
			EXIT.failed,
		);
	const config = readRunnerConfig({ name: options.name }, process.env, stateDir);
	if (!config.ok) throw new UsageError(config.error);
	mkdirSync(stateDir, { recursive: true, mode: 0o700 });
	const enrolled = await enrol(stateDir, options.url, token.trim(), config.value.name);
	if (!enrolled.ok)
		throw new UsageError(
			`${enrolled.error.detail} (${enrolled.error.code})`,
			enrolled.error.code === "unauthorized" ? EXIT.auth : EXIT.failed,
		);
	process.stdout.write(`enrolled as ${enrolled.value.runnerId}; start it with: hotplex runner run\n`);
}

async function run(options: RunOptions): Promise<void> {
	const stateDir = findStateDir(options.stateDir, process.env);
	const log = (line: string) => process.stderr.write(`hotplex: ${line}\n`);
	const config = readRunnerConfig(options, process.env, stateDir);
	if (!config.ok) throw new UsageError(config.error);
	const identity = loadIdentity(stateDir);
	if (identity === null) throw new UsageError(`this machine is not enrolled (${stateDir}): run hotplex runner enrol first`);
	if (!identity.ok) throw new UsageError(identity.error, EXIT.failed);
	const holder = claimStateDir(stateDir);
	if (holder !== null) throw new UsageError(`a daemon of this state directory runs already, process ${holder}`, 12);
	const confinement = confine(config.value, log);
	const { installed, missing } = await installedProviders(config.value, process.env, join(stateDir, "demo"));
	if (missing.length > 0) log(`not installed here: ${missing.join(", ")}`);
	const daemon = new Daemon({
		config: config.value,
		identity: identity.value,
		stateDir,
		confinement,
		providers: installed,
		env: process.env,
		log,
		onEnded: (code) => process.exit(EXIT_OF_CLOSE[code] ?? EXIT.failed),
		onFailed: (why) => {
			log(`${why}; the CLIs stay, start it again when that is mended`);
			process.exit(EXIT.failed);
		},
	});
	onSignals({
		drain: async () => {
			await daemon.drain();
			process.exit(EXIT.done);
		},
		hurry: () => daemon.hurry(),
		stop: () => {
			daemon.close();
			process.exit(EXIT.interrupted);
		},
		makeWay: async () => {
			await daemon.makeWay();
			process.exit(EXIT_MADE_WAY);
		},
		log,
	});
	await daemon.ready;
	log(
		`ready at ${identity.value.url} as ${identity.value.runnerId}: ${installed.map((p) => p.name).join(", ")}; jail ${confinement.jail}, isolation ${confinement.isolation}`,
	);
	const hint = loginHint(installed, confinement.jail);
	if (hint !== null) log(hint);
}

async function status(options: { stateDir?: string; json?: true }): Promise<void> {
	const stateDir = findStateDir(options.stateDir, process.env);
	const now = daemonStatus(stateDir);
	if (options.json) printJson(now ?? { running: false });
	else if (now === null) process.stdout.write(`no daemon runs on ${stateDir}\n`);
	else
		process.stdout.write(
			`${Object.entries(now)
				.map(([k, v]) => `${k.padEnd(12)} ${typeof v === "object" ? JSON.stringify(v) : String(v)}`)
				.join("\n")}\n`,
		);
	if (now === null) process.exitCode = EXIT.failed;
}

async function drain(options: { stateDir?: string }): Promise<void> {
	await signal(findStateDir(options.stateDir, process.env), "SIGTERM");
	process.stdout.write("drained\n");
}
