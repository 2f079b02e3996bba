import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { type Flags, findStateDir, readRunnerConfig } from "../config.ts";
import { claimStateDir, Daemon } from "../daemon.ts";
import { type Gateway, startGateway } from "../gateway.ts";
import { enrol, loadIdentity, moveIdentity } from "../identity.ts";
import type { Confinement } from "../jail.ts";
import { type InstalledProvider, installedProviders, loginHint } from "../providers.ts";
import { action, EXIT, UsageError } from "./connection.ts";
import { confine, withJailOptions } from "./jail.ts";
import { onSignals } from "./signals.ts";

interface UpOptions extends Flags {
	stateDir?: string;
	host: string;
	port?: string;
	json?: true;
	verbose?: true;
}

export function register(program: Command): void {
	withJailOptions(
		program
			.command("up")
			.description("a gateway and a runner on this machine, in one command")
			.option("--state-dir <path>", "where everything is kept (or HOTPLEX_STATE_DIR)")
			.option("--host <address>", "the address to listen on", "127.0.0.1")
			.option("--port <number>", "the port; absent: that of last time, 8787, or a free one; 0: a free one")
			.option("--config <path>", "the runner's configuration (default: runner.toml in the state directory)")
			.option("--name <name>", "the runner's name")
			.option("--capacity <number>", "sessions that are hosted at once")
			.option("--label <name=value...>", "the runner's labels")
			.option("--drain-grace <duration>", "how long turns may go on after SIGTERM, e.g. 30s")
			.option("--idle-timeout <duration>", "end the process of a session without a turn after this long")
			.option("--silence-timeout <duration>", "tell of a CLI that writes nothing in mid-turn for this long; end it after twice as long")
			.option("--max-journal <size>", "stop a CLI while this much of its output waits for the gateway, e.g. 1GiB")
			.option("--min-free-disk <size>", "stop CLIs and take no sessions while the disk has less than this left, e.g. 128MiB"),
	)
		.option("--json", "print one line of JSON when ready: url, apiKey")
		.option("--verbose", "show the gateway's own log")
		.addHelpText(
			"after",
			"\nExamples:\n  hotplex up\n  hotplex up --port 9000 --capacity 4\n  hotplex up --json | head -n 1 | jq -r .url\n",
		)
		.action(action(up));
}

async function up(options: UpOptions): Promise<void> {
	const stateDir = findStateDir(options.stateDir, process.env);
	mkdirSync(stateDir, { recursive: true, mode: 0o700 });
	const log = (line: string) => process.stderr.write(`hotplex: ${line}\n`);
	// A person waits for this command to stop; a daemon has more patience.
	const config = readRunnerConfig(options, process.env, stateDir, { drainGrace: "5s" });
	if (!config.ok) throw new UsageError(config.error);
	const port = options.port === undefined ? null : Number(options.port);
	if (port !== null && !(Number.isInteger(port) && port >= 0 && port < 65_536))
		throw new UsageError(`--port ${options.port}: expected 0 to 65535`);
	const holder = claimStateDir(stateDir);
	if (holder !== null) throw new UsageError(`this state directory is in use by process ${holder} (${stateDir})`, EXIT.failed);
	// First: what refuses to start must not leave a gateway behind.
	const confinement = confine(config.value, log);
	const [started, { installed, missing }] = await Promise.all([
		startGateway({ stateDir, host: options.host, port, env: process.env, log, verbose: options.verbose === true }),
		installedProviders(config.value, process.env, join(stateDir, "demo")),
	]);
	if (!started.ok) throw new UsageError(started.error, EXIT.failed);
	const gateway = started.value;
	// Until the daemon runs, a signal finds only the gateway to stop.
	let daemon: Daemon | null = null;
	let stopped = false;
	const stop = async (code: number) => {
		if (stopped) return;
		stopped = true;
		await gateway.stop();
		process.exit(code);
	};
	onSignals({
		drain: async () => {
			await daemon?.drain();
			await stop(EXIT.done);
		},
		hurry: () => daemon?.hurry(),
		stop: () => {
			daemon?.close();
			void stop(EXIT.interrupted);
		},
		makeWay: async () => {
			await daemon?.makeWay();
			await stop(EXIT.done);
		},
		log,
	});
	const identity = await ownIdentity(stateDir, gateway, config.value.name);
	daemon = new Daemon({
		config: config.value,
		identity,
		stateDir,
		confinement,
		providers: installed,
		env: process.env,
		log,
		onEnded: (code, reason) => {
			if (code !== 1000) log(`the runner has ended: ${reason}`);
			void stop(code === 1000 ? EXIT.done : EXIT.failed);
		},
		onFailed: (why) => {
			log(`${why}; the CLIs stay, start it again when that is mended`);
			gateway.kill();
			process.exit(EXIT.failed);
		},
	});
	await daemon.ready;
	if (options.json) process.stdout.write(`${JSON.stringify({ url: gateway.url, apiKey: gateway.apiKey })}\n`);
	else process.stdout.write(greeting(gateway, stateDir, installed, missing, confinement));
}

/** This machine's runner at this gateway: enrolled at the first start, by a token made for it. */
async function ownIdentity(stateDir: string, gateway: Gateway, name: string) {
	const known = loadIdentity(stateDir);
	if (known !== null) {
		moveIdentity(stateDir, gateway.url);
		const moved = loadIdentity(stateDir);
		if (moved?.ok !== true) throw new UsageError(moved?.error ?? "the runner's identity is gone", EXIT.failed);
		return moved.value;
	}
	const answer = await fetch(`${gateway.url}/v1/runner-tokens`, {
		method: "POST",
		headers: { authorization: `Bearer ${gateway.apiKey}`, "content-type": "application/json" },
		body: "{}",
	});
	if (!answer.ok) throw new UsageError(`the gateway gave no runner token: ${await answer.text()}`, EXIT.failed);
	const { token } = (await answer.json()) as { token: string };
	const enrolled = await enrol(stateDir, gateway.url, token, name);
	if (!enrolled.ok) throw new UsageError(enrolled.error.detail, EXIT.failed);
	return enrolled.value;
}

function greeting(gateway: Gateway, stateDir: string, installed: InstalledProvider[], missing: string[], confinement: Confinement): string {
	const names = installed.map((p) => (p.version === null ? p.name : `${p.name} ${p.version}`)).join(", ");
	const install: Record<string, string> = {
		"claude-code": "npm install -g @anthropic-ai/claude-code",
		opencode: "npm install -g opencode-ai",
	};
	const hint = loginHint(installed, confinement.jail);
	const onlyDemo = installed.every((p) => p.name === "demo");
	return `
HotPlex Edge is ready at ${gateway.url}

  providers   ${names}
  jail        ${confinement.jail}, isolation ${confinement.isolation}${confinement.why === undefined ? "" : ` (${confinement.why})`}
  state       ${stateDir}
  API key     in ${join(stateDir, "client.json")}
${hint === null ? "" : `\n${hint}\n`}${onlyDemo ? `\nNo coding CLI was found, so the built-in demonstration answers. Install one and start again:\n${missing.map((m) => `  ${install[m] ?? m}`).join("\n")}\n` : ""}
In a second terminal:

  npm run hotplex -- chat                      talk to it
  npm run hotplex -- run "list the files"      one turn, its exit code

  export HOTPLEX_API_KEY=$(node -p 'JSON.parse(fs.readFileSync("${join(stateDir, "client.json")}")).apiKey')
  curl -H "Authorization: Bearer $HOTPLEX_API_KEY" ${gateway.url}/v1/sessions

Ctrl-C stops it. Sessions are kept.
`;
}
