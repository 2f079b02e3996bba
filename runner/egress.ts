import { type ChildProcess, spawn } from "node:child_process";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { getCompileCacheDir } from "node:module";
import { connect, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Problem, problem } from "../shared/errors.ts";
import { err, ok, type Result } from "../shared/result.ts";
import { isSame } from "./cli-process.ts";
import type { ProviderSettings } from "./config.ts";
import { type Opened, type Order, Told } from "./egress-orders.ts";
import { JAIL_PROXY } from "./egress-proxy.ts";
import { credentialsIn, keepKeysApart } from "./model-keys.ts";
import type { Refusal } from "./reach.ts";

export interface EgressSession {
	sessionId: string;
	/** What the team's policy names, narrowed by the owner's. */
	hosts: readonly string[];
	provider: { settings: Pick<ProviderSettings, "kind" | "command" | "hosts"> };
	/** The environment of its CLI, keys included. */
	env: Readonly<Record<string, string>>;
	/** Whose processes use it, if not the runner's own user's. */
	owner?: { uid: number; gid: number };
}

export interface OpenEgress {
	/** Holds `proxy.sock`. To be bound into the jail as a directory: the socket in it is replaced now and then. */
	socketDir: string;
	/** The whole environment for the CLI: the one that was given, with the proxy's address and with placeholders for keys. */
	env: Record<string, string>;
	/** Names in it that hold a key all the same, since this CLI is not known to take it from the proxy. */
	keysInside: string[];
	/** What must not be seen in any output: the values of all credentials. */
	secrets: string[];
}

export interface EgressOptions {
	stateDir: string;
	/** Of the daemon: where its TLS finds its roots. Nothing else of it reaches the proxy. */
	env: NodeJS.ProcessEnv;
	log(line: string): void;
	/** A session asked for what it may not reach, so often since this was last said. */
	onRefused(refusal: Refusal & { sessionId: string; times: number }): void;
	/** How long the proxy stays without a daemon, with no session open, and without any connection. */
	lonelyMs?: number;
	abandonedMs?: number;
	/** How often it looks whether it is needed, and tells again what it refused. */
	lookMs?: number;
	/** Of which version it is, if not of these sources. */
	build?: string;
}

const START_MS = 10_000;
const ANSWER_MS = 10_000;
const RESTART_MS = 200;
const MAX_RESTART_MS = 10_000;
const TLS_ENV = ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"];
const MAIN = fileURLToPath(new URL("./egress-process.ts", import.meta.url));
const SOURCES = ["egress-process.ts", "egress-orders.ts", "egress-proxy.ts", "client-hello.ts", "reach.ts", "cli-process.ts"];

/**
 * The network of this runner's sessions, as the daemon sees it: one proxy process, which it starts, finds again, replaces when it is of another version, and
 * starts anew when it dies. What a session was allowed is told to it again each time.
 */
/** How long the proxy may take to end. */
const END_MS = 3_000;

export class Egress {
	readonly #options: EgressOptions;
	readonly #dir: string;
	readonly #sessions = new Map<string, Opened>();
	#control: Control | null = null;
	#connecting: Promise<Control> | null = null;
	#restartMs = RESTART_MS;
	#restartTimer: NodeJS.Timeout | null = null;
	#left = false;
	/** The newest process, if it is this daemon that started it. */
	#child: ChildProcess | null = null;

	constructor(options: EgressOptions) {
		this.#options = options;
		this.#dir = join(options.stateDir, "egress");
	}

	/**
	 * Opens the network of a session, or says anew what it may reach. Also to be called for each session that a new daemon finds, with the same answer: its CLI
	 * has the placeholders already.
	 */
	async open(session: EgressSession): Promise<Result<OpenEgress, Problem>> {
		const { sessionId, provider, env, owner } = session;
		try {
			const key = this.#placeholderKey();
			const apart = keepKeysApart(
				provider.settings,
				env,
				JAIL_PROXY,
				(name) => `hotplex-${createHmac("sha256", key).update(`${sessionId} ${name}`).digest("base64url")}`,
			);
			const hosts = [...(provider.settings.hosts ?? []), ...apart.hosts];
			await this.#tell({
				sessionId,
				rules: { reach: { policy: [...session.hosts], owner: hosts }, routes: apart.routes },
				...(owner === undefined ? {} : { owner }),
			});
			return ok({
				socketDir: join(this.#dir, "sessions", sessionId),
				env: { ...apart.env, ...proxyEnv(hosts) },
				keysInside: apart.keysInside,
				secrets: credentialsIn(env),
			});
		} catch (cause) {
			return err(problem("start_failed", `the network proxy of this runner is not there: ${wordsOf(cause)}`));
		}
	}

	/** Other hosts of the policy, for an open session. */
	async update(sessionId: string, hosts: readonly string[]): Promise<void> {
		const known = this.#sessions.get(sessionId);
		if (known === undefined) return;
		const { reach, routes } = known.rules;
		await this.#tell({ ...known, rules: { routes, reach: { ...reach, policy: [...hosts] } } });
	}

	/** Ends all connections of a session and removes its socket. */
	async close(sessionId: string): Promise<void> {
		this.#sessions.delete(sessionId);
		const control = await this.#found();
		await control?.ask({ order: "close", sessionId }).catch((cause: unknown) => this.#options.log(`network proxy: ${wordsOf(cause)}`));
	}

	/** Closes what an earlier daemon opened for sessions that are not hosted any more. */
	async keepOnly(sessionIds: ReadonlySet<string>): Promise<void> {
		const control = await this.#found();
		for (const sessionId of control?.sessions ?? []) if (!sessionIds.has(sessionId)) await this.close(sessionId);
	}

	/** Lets go: the proxy goes on, and the next daemon finds it. */
	leave(): void {
		this.#left = true;
		if (this.#restartTimer !== null) clearTimeout(this.#restartTimer);
		this.#control?.end();
		this.#control = null;
	}

	/** Ends the proxy, once no session is left. */
	async end(): Promise<void> {
		// Nothing else may keep the daemon alive by now, and it has an exit code to give.
		const alive = setInterval(() => {}, END_MS);
		try {
			await this.#end();
		} finally {
			clearInterval(alive);
		}
	}

	async #end(): Promise<void> {
		const control = await this.#found();
		this.#left = true;
		this.#sessions.clear();
		if (control !== null) {
			control.onEnd = () => {};
			// Its exit closes the connection, mostly before its answer is read. One that is stuck does not hold the daemon up.
			const late = new Promise((resolve) => setTimeout(resolve, END_MS).unref());
			await Promise.race([control.ask({ order: "end" }).catch(() => {}), late]);
			await Promise.race([control.ended, late]);
			// Of its own child it is the one to take note: nobody else may.
			if (this.#child?.exitCode === null && this.#child.signalCode === null) {
				this.#child.ref();
				this.#child.kill("SIGKILL");
				await once(this.#child, "exit");
			}
		}
		this.leave();
	}

	async #tell(opened: Opened): Promise<void> {
		this.#sessions.set(opened.sessionId, opened);
		const control = await this.#connected();
		await control.ask({ order: "open", ...opened });
	}

	/** The proxy that runs, if one does; else null. For what a proxy that is gone needs not be told. */
	async #found(): Promise<Control | null> {
		if (this.#left || (this.#control === null && this.#connecting === null && storedProcess(this.#dir) === null)) return null;
		return this.#connected().catch((cause: unknown) => {
			this.#options.log(`the network proxy does not answer: ${wordsOf(cause)}`);
			return null;
		});
	}

	#connected(): Promise<Control> {
		if (this.#left) return Promise.reject(new Error("the daemon is leaving"));
		if (this.#control !== null) return Promise.resolve(this.#control);
		this.#connecting ??= this.#findOrStart().finally(() => {
			this.#connecting = null;
		});
		return this.#connecting;
	}

	async #findOrStart(): Promise<Control> {
		mkdirSync(join(this.#dir, "sessions"), { recursive: true, mode: 0o711 });
		const { build = buildOf() } = this.#options;
		const old = await this.#adopt();
		if (old?.build === build) return this.#use(old, []);
		const pid = await this.#start(build);
		let sessions: unknown[] = [];
		if (old !== null) {
			// It holds the sockets' paths; what came through them goes on there.
			sessions = (await old.ask({ order: "retire" })).sessions ?? [];
			old.end();
		}
		return this.#use(await Control.open(this.#dir, pid, this.#options.onRefused), sessions);
	}

	/** Tells the process what sessions there are: those of the process before it too, which this daemon may not have come to yet. */
	async #use(control: Control, inherited: readonly unknown[]): Promise<Control> {
		const all = new Map((inherited as Opened[]).map((opened) => [opened.sessionId, opened]));
		for (const [sessionId, opened] of this.#sessions) all.set(sessionId, opened);
		for (const opened of all.values()) await control.ask({ order: "open", ...opened });
		this.#control = control;
		this.#restartMs = RESTART_MS;
		control.onEnd = () => {
			this.#control = null;
			this.#restart();
		};
		return control;
	}

	/** It died: until it is there again its sessions reach nothing. */
	#restart(): void {
		if (this.#left || this.#sessions.size === 0 || this.#restartTimer !== null) return;
		this.#options.log("the network proxy ended; it is started again");
		this.#restartTimer = setTimeout(() => {
			this.#restartTimer = null;
			this.#connected().catch((cause: unknown) => {
				this.#options.log(`the network proxy does not start: ${wordsOf(cause)}`);
				this.#restart();
			});
		}, this.#restartMs);
		this.#restartMs = Math.min(MAX_RESTART_MS, this.#restartMs * 2);
	}

	async #adopt(): Promise<Control | null> {
		const pid = storedProcess(this.#dir);
		if (pid === null) return null;
		try {
			return await Control.open(this.#dir, pid, this.#options.onRefused);
		} catch {
			// It is the process that it was, and does not answer: nothing good comes of it any more.
			if (storedProcess(this.#dir) === pid) process.kill(pid, "SIGKILL");
			return null;
		}
	}

	async #start(build: string): Promise<number> {
		const { env, lonelyMs = 10 * 60_000, abandonedMs = 24 * 3_600_000, lookMs = 5_000 } = this.#options;
		const errors = openSync(join(this.#dir, "stderr"), "a", 0o600);
		const cache = getCompileCacheDir();
		let child: ChildProcess;
		try {
			child = spawn(
				process.execPath,
				["--disable-warning=ExperimentalWarning", MAIN, JSON.stringify({ build, lonelyMs, abandonedMs, lookMs })],
				{
					cwd: this.#dir,
					// Names are looked up by threads, and one that hangs must not hold the others up.
					env: {
						UV_THREADPOOL_SIZE: "16",
						...(cache === undefined ? {} : { NODE_COMPILE_CACHE: dirname(cache) }),
						...Object.fromEntries(TLS_ENV.flatMap((name) => (env[name] ? [[name, env[name]]] : []))),
					},
					stdio: ["ignore", "pipe", errors],
					detached: true,
				},
			);
		} finally {
			closeSync(errors);
		}
		child.unref();
		this.#child = child;
		await new Promise<void>((resolve, reject) => {
			const timer = setTimeout(() => reject(new Error("it did not start in time")), START_MS);
			child.once("error", reject);
			child.once("exit", (code) => reject(new Error(`it ended with exit code ${code}; see ${join(this.#dir, "stderr")}`)));
			child.stdout?.once("data", () => {
				clearTimeout(timer);
				resolve();
			});
		});
		child.stdout?.destroy();
		return child.pid ?? 0;
	}

	/** What placeholders are made of, so that they are the same for every daemon and of no use to anybody else. */
	#placeholderKey(): Buffer {
		const path = join(this.#dir, "placeholder-key");
		mkdirSync(this.#dir, { recursive: true, mode: 0o711 });
		if (!existsSync(path)) writeFileSync(path, randomBytes(32), { mode: 0o600 });
		return readFileSync(path);
	}
}

type Asked = Order extends infer O ? (O extends Order ? Omit<O, "n"> : never) : never;
interface Answer {
	n: number;
	error?: string | undefined;
	sessions?: unknown[] | undefined;
}

/** The daemon's connection to the proxy process. */
class Control {
	readonly build: string;
	readonly sessions: readonly string[];
	readonly #socket: Socket;
	readonly #waiting = new Map<number, (answer: Answer | null) => void>();
	#n = 0;
	onEnd: () => void = () => {};
	/** Settles when the connection is closed, by whatever end. */
	readonly ended: Promise<void>;

	private constructor(socket: Socket, build: string, sessions: readonly string[]) {
		this.#socket = socket;
		this.ended = new Promise((resolve) => socket.once("close", () => resolve()));
		this.build = build;
		this.sessions = sessions;
	}

	/** Connects, and waits until the process says who it is. */
	static open(dir: string, pid: number, onRefused: EgressOptions["onRefused"]): Promise<Control> {
		return new Promise((resolve, reject) => {
			// By way of the directory's descriptor: a socket's path has 107 bytes at most, and a state directory may be anywhere.
			const at = openSync(dir, "r");
			const socket = connect(`/proc/self/fd/${at}/control.${pid}.sock`);
			closeSync(at);
			let control: Control | null = null;
			const timer = setTimeout(() => socket.destroy(new Error("it does not answer")), ANSWER_MS);
			// After the opening it closes, too, and that is told below.
			socket.on("error", reject);
			socket.once("close", () => {
				clearTimeout(timer);
				reject(new Error("it closed the connection"));
				if (control === null) return;
				for (const answer of control.#waiting.values()) answer(null);
				control.onEnd();
			});
			const lines = createInterface({ input: socket });
			// It says the socket's errors again.
			lines.on("error", () => {});
			lines.on("line", (line) => {
				const told = Told.safeParse(parseJson(line));
				if (!told.success) return;
				if ("build" in told.data) {
					clearTimeout(timer);
					control = new Control(socket, told.data.build, told.data.sessions);
					// It does not keep the daemon alive.
					socket.unref();
					resolve(control);
				} else if ("refused" in told.data) {
					const { refused, sessionId, times } = told.data;
					onRefused({ ...(refused as Refusal), sessionId, times });
				} else if (control !== null) control.#waiting.get(told.data.n)?.(told.data);
			});
		});
	}

	/** Settles with the answer; fails with the reason if it was refused, or if none came. */
	ask(order: Asked): Promise<Answer> {
		const n = ++this.#n;
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => this.#socket.destroy(), ANSWER_MS);
			this.#waiting.set(n, (answer) => {
				clearTimeout(timer);
				this.#waiting.delete(n);
				if (answer === null) reject(new Error("it ended"));
				else if (answer.error === undefined) resolve(answer);
				else reject(new Error(answer.error));
			});
			this.#socket.write(`${JSON.stringify({ ...order, n })}\n`);
		});
	}

	end(): void {
		this.onEnd = () => {};
		this.#socket.destroy();
	}
}

/**
 * What tells programs to use the proxy. What is on the jail's own loopback, a server that is being worked on say, is asked directly, but
 * where the owner named this machine's.
 */
function proxyEnv(ownerHosts: readonly string[]): Record<string, string> {
	const proxy = `http://${JAIL_PROXY}`;
	const direct = [
		["localhost", "localhost"],
		["127.0.0.1", "127.0.0.1"],
		["::1", "[::1]"],
	].flatMap(([name = "", host = ""]) => (ownerHosts.some((named) => named === host || named.startsWith(`${host}:`)) ? [] : [name]));
	const env: Record<string, string> = { NODE_USE_ENV_PROXY: "1" };
	for (const name of ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"]) env[name] = proxy;
	for (const name of ["no_proxy", "NO_PROXY"]) env[name] = direct.join(",");
	return env;
}

/** The pid of the process that serves this directory; null if it is gone. */
function storedProcess(dir: string): number | null {
	try {
		const identity = JSON.parse(readFileSync(join(dir, "process.json"), "utf8")) as { pid: number; startTime: string; bootId: string };
		return isSame(identity) ? identity.pid : null;
	} catch {
		return null;
	}
}

/** Two daemons of the same sources share a process; another one's is replaced. */
function buildOf(): string {
	const hash = createHash("sha256").update(process.version);
	for (const name of SOURCES) hash.update(readFileSync(new URL(name, import.meta.url)));
	return hash.digest("hex").slice(0, 16);
}

function parseJson(line: string): unknown {
	try {
		return JSON.parse(line);
	} catch {
		return null;
	}
}

const wordsOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
