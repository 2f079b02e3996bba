import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { parse as parseToml } from "smol-toml";
import { idBody } from "../shared/ids.ts";
import { err, ok, type Result } from "../shared/result.ts";
import { identify, isSame } from "./cli-process.ts";

/** The settings of the Worker that a self-hosted gateway takes from the environment, as wrangler.toml lists them. */
const SETTINGS = [
	"HOTPLEX_TEAMS",
	"CF_ACCESS_TEAM_DOMAIN",
	"CF_ACCESS_AUD",
	"ACCESS_TEAM",
	"ACCESS_ADMINS",
	"ALLOWED_ORIGINS",
	"PUBLIC_URL",
	"LOG_MAX_BYTES",
	"LOG_MAX_AGE",
	"RECONNECT_WINDOW",
	"TEAM_CAPACITY",
	"PRINCIPAL_CAPACITY",
	"RATE_LIMIT_REQUESTS",
	"RATE_LIMIT_INPUTS",
	"RATE_LIMIT_SOCKETS",
	"RATE_LIMIT_FAILURES",
	"RATE_LIMIT_LINKS",
	"ADDRESS_HEADER",
];
const DEFAULT_PORT = 8787;
/** workerd drains on SIGTERM and stays while one WebSocket is open; what it acknowledged is on disk, so a kill is safe. */
const STOP_GRACE_MS = 1_000;
const RESTART_MS = 500;
/** An underscore and 32 bytes in base64url: what of a key is secret. */
const SECRET_PART = 44;
const START_TIMEOUT_MS = 30_000;

export interface GatewayOptions {
	stateDir: string;
	host: string;
	/** Null: the one of last time, else 8787, else any free one. */
	port: number | null;
	env: NodeJS.ProcessEnv;
	/** What happens to it. */
	log(line: string): void;
	/** Whether what it prints itself is logged too. */
	verbose: boolean;
}

export interface Gateway {
	url: string;
	apiKey: string;
	stop(): Promise<void>;
	/** At once. What it acknowledged is on disk. */
	kill(): void;
}

/** The Worker under bare workerd, its state in `stateDir`. Starts again by itself if workerd dies. */
export async function startGateway(options: GatewayOptions): Promise<Result<Gateway, string>> {
	const { stateDir, host, env, log, verbose } = options;
	const dir = join(stateDir, "gateway");
	mkdirSync(join(dir, "objects"), { recursive: true, mode: 0o700 });
	endStale(dir);
	const before = readClientFile(stateDir);
	const apiKey = before?.apiKey ?? `hpk_default_${idBody(randomBytes(26))}_${randomBytes(32).toString("base64url")}`;
	const port = await choosePort(host, options.port, before === null ? null : Number(new URL(before.url).port));
	if (port === null) return err(`port ${options.port} on ${host} is taken; choose another with --port, or let one be chosen without it`);
	const url = `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
	await bundle(join(dir, "worker.js"));
	writeFileSync(join(dir, "config.capnp"), capnp(host, port, env), { mode: 0o600 });
	const hash = createHash("sha256").update(apiKey).digest("hex");
	const keys = [`${apiKey.slice(0, -SECRET_PART)}:${hash}`, env.HOTPLEX_KEYS].filter(Boolean).join(",");
	const workerEnv = { ...Object.fromEntries(SETTINGS.map((name) => [name, env[name] ?? ""])), HOTPLEX_KEYS: keys };
	let stopping = false;
	let restart: NodeJS.Timeout | undefined;
	let child: ChildProcess;
	const launch = async (): Promise<string | null> => {
		child = spawn(workerdBinary(), ["serve", "--experimental", "config.capnp"], {
			// The configuration names its files from here.
			cwd: dir,
			env: workerEnv,
			stdio: ["ignore", "pipe", "pipe"],
		});
		let said = "";
		const hear = (chunk: Buffer) => {
			const text = chunk.toString("utf8");
			said = (said + text).slice(-2_000);
			if (verbose) for (const line of text.split("\n")) if (line.trim() !== "") log(`gateway: ${line}`);
		};
		child.stdout?.on("data", hear);
		child.stderr?.on("data", hear);
		if (child.pid !== undefined) writeFileSync(join(dir, "process.json"), JSON.stringify(identify(child.pid)), { mode: 0o600 });
		let exited = false;
		child.once("exit", () => {
			exited = true;
		});
		const deadline = performance.now() + START_TIMEOUT_MS;
		while (!exited && performance.now() < deadline) {
			try {
				const answer = await fetch(`${url}/healthz`);
				if (answer.ok && exited) break;
				if (answer.ok) {
					child.once("exit", (code, signal) => {
						if (stopping) return;
						log(`the gateway ended (${signal ?? code}); starting it again`);
						relaunch();
					});
					return null;
				}
				child.kill("SIGKILL");
				return `the gateway serves nothing: ${await answer.text()}`;
			} catch {
				await new Promise((resolve) => setTimeout(resolve, 10));
			}
		}
		child.kill("SIGKILL");
		return `the gateway did not start: ${said.trim() || "no answer"}`;
	};
	/** Again and again, since it ran before: whatever keeps it from starting may pass. */
	const relaunch = () => {
		restart = setTimeout(async () => {
			const failed = await launch();
			if (failed === null || stopping) return;
			log(failed);
			relaunch();
		}, RESTART_MS);
	};
	const failed = await launch();
	if (failed !== null) return err(failed);
	writeFileSync(clientFile(stateDir), JSON.stringify({ url, apiKey }), { mode: 0o600 });
	return ok({
		url,
		apiKey,
		kill: () => {
			stopping = true;
			child.kill("SIGKILL");
		},
		stop: async () => {
			stopping = true;
			clearTimeout(restart);
			if (child.exitCode !== null || child.signalCode !== null) return;
			const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
			child.kill("SIGTERM");
			const timer = setTimeout(() => child.kill("SIGKILL"), STOP_GRACE_MS);
			await gone;
			clearTimeout(timer);
		},
	});
}

const clientFile = (stateDir: string): string => join(stateDir, "client.json");

function readClientFile(stateDir: string): { url: string; apiKey: string } | null {
	try {
		const file = JSON.parse(readFileSync(clientFile(stateDir), "utf8")) as { url: string; apiKey: string };
		return typeof file.url === "string" && typeof file.apiKey === "string" ? file : null;
	} catch {
		return null;
	}
}

/** A workerd that outlived its launcher holds the port and the state. */
function endStale(dir: string): void {
	try {
		const identity = JSON.parse(readFileSync(join(dir, "process.json"), "utf8")) as { pid: number; startTime: string; bootId: string };
		if (isSame(identity)) process.kill(identity.pid, "SIGKILL");
	} catch {
		// None.
	}
}

async function choosePort(host: string, asked: number | null, last: number | null): Promise<number | null> {
	if (asked !== null && asked !== 0) return freePort(host, asked);
	for (const port of asked === 0 ? [0] : [last ?? DEFAULT_PORT, DEFAULT_PORT, 0]) {
		const free = await freePort(host, port);
		if (free !== null) return free;
	}
	return null;
}

function freePort(host: string, port: number): Promise<number | null> {
	return new Promise((resolve) => {
		const server = createServer();
		server.once("error", () => resolve(null));
		server.listen(port, host, () => {
			const address = server.address();
			server.close(() => resolve(typeof address === "object" && address !== null ? address.port : null));
		});
	});
}

const projectFile = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));

async function bundle(outfile: string): Promise<void> {
	await build({
		entryPoints: [projectFile("worker/index.ts")],
		outfile,
		bundle: true,
		format: "esm",
		target: "es2024",
		conditions: ["workerd", "worker", "browser"],
		external: ["cloudflare:*", "node:*"],
		logLevel: "silent",
	});
}

/** The platform's package holds the binary itself; the `workerd` package's own command is a Node script in front of it. */
function workerdBinary(): string {
	const require = createRequire(import.meta.url);
	const platform = `${process.platform}-${process.arch === "x64" ? "64" : process.arch}`;
	const path = join(
		createRequire(require.resolve("workerd/package.json")).resolve(`@cloudflare/workerd-${platform}/package.json`),
		"..",
		"bin",
		"workerd",
	);
	if (!existsSync(path)) throw new Error(`workerd is not installed for ${platform}: run npm ci without --omit=optional`);
	return path;
}

/** What wrangler.toml says, as workerd's own configuration. The unique keys name the state on disk and never change. */
function capnp(host: string, port: number, env: NodeJS.ProcessEnv): string {
	const { compatibility_date: date, compatibility_flags: flags } = parseToml(readFileSync(projectFile("wrangler.toml"), "utf8"));
	// Only an issuer on this machine, as tests have one, needs more than the public network.
	const networks = env.CF_ACCESS_TEAM_DOMAIN?.startsWith("http://") ? '"public", "private"' : '"public"';
	return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "gateway", worker = .gateway),
    (name = "objects", disk = (path = ${JSON.stringify("objects")}, writable = true)),
    (name = "internet", network = (allow = [${networks}], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = ${JSON.stringify(`${host.includes(":") ? `[${host}]` : host}:${port}`)}, http = (), service = "gateway")],
);
const gateway :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = ${JSON.stringify(date)},
  compatibilityFlags = ${JSON.stringify(flags)},
  bindings = [
    (name = "SESSION", durableObjectNamespace = "SessionObject"),
    (name = "TEAM", durableObjectNamespace = "TeamObject"),
${["HOTPLEX_KEYS", ...SETTINGS].map((name) => `    (name = "${name}", fromEnvironment = "${name}"),`).join("\n")}
  ],
  durableObjectNamespaces = [
    (className = "SessionObject", uniqueKey = "hotplex-session", enableSql = true),
    (className = "TeamObject", uniqueKey = "hotplex-team", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "objects"),
);
`;
}
