import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { createWriteStream, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Client } from "../shared/client.ts";
import { runHotplex } from "../test/support/stack.ts";
import type { Finding, Kind } from "./checker.ts";
import type { Conversation } from "./conversation.ts";
import type { DiePoint } from "./die.ts";
import { FaultProxy, type ProxyOptions } from "./proxy.ts";
import type { Random } from "./random.ts";

export const OWN_ROOT = fileURLToPath(new URL("..", import.meta.url));
const FAKE_CLI = join(OWN_ROOT, "test/fixtures/fake-cli.ts");
const GATEWAY_CHILD = fileURLToPath(new URL("gateway-child.ts", import.meta.url));
const DIE = new URL("die.ts", import.meta.url).href;
const START_MS = 90_000;
/** How often processes are looked at. */
const SIGHT_MS = 250;

/** What a runner.toml says of a provider. */
export interface ProviderTable {
	kind: "claude-code" | "acp";
	command: string;
	args: string[];
	env?: string[];
	read?: string[];
	hosts?: string[];
}

export const fakeCli = (): ProviderTable => ({ kind: "claude-code", command: process.execPath, args: [FAKE_CLI] });

export interface WorldOptions {
	random: Random;
	/** Where the product's sources are: this checkout, or a copy with something changed in it. */
	root?: string;
	keep?: boolean;
	/** How long one thing that must come may take, with all back-offs on its way. */
	patienceMs?: number;
}

/** One gateway, its runners, and what is between them and everybody else: all real processes, in a directory of its own, on the loopback. */
export class World {
	readonly dir = mkdtempSync(join(tmpdir(), "hotplex-chaos-"));
	readonly root: string;
	readonly random: Random;
	readonly patienceMs: number;
	readonly gateway: Gateway;
	readonly daemons: Daemon[] = [];
	readonly proxies: FaultProxy[] = [];
	readonly conversations: Conversation[] = [];
	/** What went wrong outside of any session. */
	readonly findings: Finding[] = [];
	/** What was done to it, for whoever reads a failure. */
	readonly deeds: string[] = [];
	readonly #keep: boolean;
	readonly #began = Date.now();
	/** The most processes at one moment, by work directory. */
	readonly #mostAtOnce = new Map<string, number>();
	#sightTimer: NodeJS.Timeout | null = null;
	readonly #names = new Map<string, string>();
	#isClosing = false;
	readonly #atEnd: (() => void)[] = [];
	daemonKills = 0;
	gatewayKills = 0;
	/** The gateway stood still for a while; what is timed in such a world says nothing. */
	wasFrozen = false;

	constructor(options: WorldOptions) {
		this.root = options.root ?? OWN_ROOT;
		this.random = options.random;
		this.#keep = options.keep ?? false;
		this.patienceMs = options.patienceMs ?? 45_000;
		this.gateway = new Gateway(this);
	}

	async start(): Promise<void> {
		process.once("exit", this.#onExit);
		await this.gateway.start();
		this.#sightTimer = setInterval(() => this.look(), SIGHT_MS);
	}

	get main(): string {
		return join(this.root, "runner/main.ts");
	}

	/** The environment of all that it starts: nothing of the surrounding one but PATH. */
	get env(): Record<string, string> {
		// Compiled once, not in each of hundreds of starts.
		const cache = join(tmpdir(), "hotplex-chaos-compiled");
		return { PATH: process.env.PATH ?? "", HOME: join(this.dir, "home"), LANG: "C.UTF-8", NODE_COMPILE_CACHE: cache };
	}

	get cuts(): number {
		return this.proxies.reduce((sum, proxy) => sum + proxy.cuts, 0);
	}

	get isClosing(): boolean {
		return this.#isClosing;
	}

	/** Calls a session by a name that is the same in each run of a seed. */
	name(session: string, name: string): void {
		this.#names.set(session, name);
	}

	note(deed: string): void {
		this.deeds.push(`${((Date.now() - this.#began) / 1000).toFixed(2)} s ${deed}`);
	}

	/** Tells what does not hold. */
	expect(holds: boolean, kind: Kind, where: string, what: string): void {
		if (!holds) this.findings.push({ kind, count: 1, where, what });
	}

	/** Kills all that runs in work directories: what is left of a host that went down, besides its daemon. */
	endClis(): number {
		this.note("all CLIs killed");
		return this.#endIn(join(this.dir, "work"));
	}

	/** Calls this when it closes, before its directory goes. */
	atEnd(run: () => void): void {
		this.#atEnd.push(run);
	}

	/** A party's own proxy to the gateway. */
	async proxy(options: Omit<ProxyOptions, "port" | "nameOf"> = {}): Promise<FaultProxy> {
		const proxy = await FaultProxy.start({ ...options, port: this.gateway.port, nameOf: (id) => this.#names.get(id) ?? id });
		this.proxies.push(proxy);
		return proxy;
	}

	/** A runner that is enrolled and not started yet. */
	async daemon(name: string, options: DaemonOptions = {}): Promise<Daemon> {
		const daemon = await Daemon.enrol(this, name, options);
		this.daemons.push(daemon);
		return daemon;
	}

	/** An empty work directory; whatever runs there writes down what it prints. */
	workDir(name: string): string {
		const dir = join(this.dir, "work", name);
		mkdirSync(dir, { recursive: true });
		writeFileSync(join(dir, "ledger.jsonl"), "");
		return dir;
	}

	/** The most processes that were seen at once in this work directory. */
	mostAtOnce(workDir: string): number {
		return this.#mostAtOnce.get(workDir) ?? 0;
	}

	/** Looks once which CLIs run where. */
	look(): Map<string, number[]> {
		const found = this.clis();
		for (const [dir, pids] of found) this.#mostAtOnce.set(dir, Math.max(this.mostAtOnce(dir), pids.length));
		return found;
	}

	/** The CLIs of this world that live, by work directory. Their wrappers do not count, nor a daemon's child before it is one of them. */
	clis(): Map<string, number[]> {
		const found = new Map<string, number[]>();
		for (const { pid, cwd, command } of processesIn(join(this.dir, "work"))) {
			if (/^(\/[a-z/]+\/)?(unshare|sh|bwrap|setpriv|setsid|socat|perl) |main\.ts /.test(command)) continue;
			found.set(cwd, [...(found.get(cwd) ?? []), pid]);
		}
		return found;
	}

	/** Ends everything, by pid, and removes what it wrote. */
	async close(): Promise<void> {
		this.#isClosing = true;
		if (this.#sightTimer) clearInterval(this.#sightTimer);
		process.off("exit", this.#onExit);
		await Promise.all(this.daemons.map((daemon) => daemon.kill("SIGKILL", false)));
		await this.gateway.kill("all", false);
		await Promise.all(this.proxies.map((proxy) => proxy.close()));
		// CLIs outlive their daemons, as they should; nobody else ends them.
		for (let tries = 0; tries < 20 && this.#endIn(this.dir) > 0; tries++) await sleep(20);
		for (const run of this.#atEnd) run();
		if (!this.#keep) rmSync(this.dir, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
	}

	/** A workerd too, whose launcher was killed before it could write down whom it had started. */
	#endIn(dir: string): number {
		const left = processesIn(dir);
		for (const { pid } of left) end(pid);
		return left.length;
	}

	readonly #onExit = (): void => {
		for (const daemon of this.daemons) if (daemon.pid !== null) end(daemon.pid);
		for (const pid of this.gateway.pids) end(pid);
		this.#endIn(this.dir);
		for (const run of this.#atEnd) run();
		if (!this.#keep) rmSync(this.dir, { recursive: true, force: true });
	};
}

/** Processes that work below this directory. */
function processesIn(dir: string): { pid: number; cwd: string; command: string }[] {
	const found: { pid: number; cwd: string; command: string }[] = [];
	for (const name of readdirSync("/proc")) {
		if (!/^\d+$/.test(name)) continue;
		try {
			const cwd = readlinkSync(`/proc/${name}/cwd`);
			if (!cwd.startsWith(`${dir}/`)) continue;
			const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ");
			if (command !== "") found.push({ pid: Number(name), cwd, command });
		} catch {
			// Gone since the directory was read.
		}
	}
	return found;
}

function end(pid: number): void {
	try {
		process.kill(pid, "SIGKILL");
	} catch {
		// Gone already.
	}
}

/** One that no system gives out by itself, so that nobody has it while its gateway is down. */
async function freePort(): Promise<number> {
	for (let tries = 0; tries < 100; tries++) {
		const port = randomInt(12_000, 32_000);
		const server = createServer();
		const isFree = await new Promise<boolean>((resolve) => {
			server.once("error", () => resolve(false));
			server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
		});
		if (isFree) return port;
	}
	throw new Error("no port is free");
}

export class Gateway {
	readonly #world: World;
	readonly #stateDir: string;
	#child: ChildProcess | null = null;
	#said = "";
	port = 0;
	apiKey = "";

	constructor(world: World) {
		this.#world = world;
		this.#stateDir = join(world.dir, "gateway");
	}

	/** Past all proxies. */
	get url(): string {
		return `http://127.0.0.1:${this.port}`;
	}

	get client(): Client {
		return new Client({ url: this.url, apiKey: this.apiKey });
	}

	/** Of the launcher and of workerd. */
	get pids(): number[] {
		const launcher = this.#child?.pid;
		return [...(launcher === undefined ? [] : [launcher]), ...this.workerd()];
	}

	get said(): string {
		return this.#said;
	}

	/** Its pid, while it lives. */
	workerd(): number[] {
		try {
			const { pid } = JSON.parse(readFileSync(join(this.#stateDir, "gateway/process.json"), "utf8")) as { pid: number };
			return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("config.capnp") ? [pid] : [];
		} catch {
			return [];
		}
	}

	/** On the state that is there, at the port that it had. */
	async start(): Promise<void> {
		mkdirSync(this.#stateDir, { recursive: true });
		if (this.port === 0) {
			this.port = await freePort();
			const { idBody } = await import("../shared/ids.ts");
			const bytes = Buffer.from(Array.from({ length: 58 }, () => this.#world.random.whole(0, 255)));
			this.apiKey = `hpk_default_${idBody(bytes.subarray(0, 26))}_${bytes.subarray(26).toString("base64url")}`;
			writeFileSync(join(this.#stateDir, "client.json"), JSON.stringify({ url: this.url, apiKey: this.apiKey }));
		}
		const child = spawn(process.execPath, [GATEWAY_CHILD, this.#world.root, this.#stateDir, String(this.port)], {
			env: { ...this.#world.env, HOTPLEX_KEYS: "" },
			stdio: ["pipe", "pipe", "pipe"],
		});
		this.#child = child;
		child.stdin?.on("error", () => {});
		child.stderr?.setEncoding("utf8").on("data", (text: string) => {
			this.#said = (this.#said + text).slice(-20_000);
		});
		const line = await new Promise<string>((resolve, reject) => {
			let out = "";
			child.stdout?.setEncoding("utf8").on("data", (text: string) => {
				out += text;
				if (out.includes("\n")) resolve(out);
			});
			child.once("exit", (code, signal) => reject(new Error(`the gateway ended (${signal ?? code}): ${this.#said.slice(-2_000)}`)));
		});
		const { url } = JSON.parse(line) as { url: string };
		if (url !== this.url) throw new Error(`the gateway came up at ${url}, not at ${this.url}`);
	}

	/** `all`: with its launcher. `workerd`: the launcher starts it again by itself. */
	async kill(what: "all" | "workerd", counts = true): Promise<void> {
		const child = this.#child;
		if (counts) {
			this.#world.gatewayKills++;
			this.#world.note(`gateway killed (${what})`);
		}
		const workerd = this.workerd();
		if (what === "all" && child !== null) {
			this.#child = null;
			const gone = child.exitCode !== null || child.signalCode !== null ? null : new Promise((resolve) => child.once("exit", resolve));
			child.kill("SIGKILL");
			await gone;
		}
		for (const pid of workerd) end(pid);
	}

	/** Killed, and back after a while. */
	async restart(what: "all" | "workerd", downMs: number): Promise<void> {
		await this.kill(what);
		if (what === "all") {
			await sleep(downMs);
			if (!this.#world.isClosing) await this.start();
		}
		await this.ready();
	}

	async ready(): Promise<void> {
		const deadline = Date.now() + START_MS;
		while (!this.#world.isClosing) {
			const answers = await fetch(`${this.url}/healthz`, { signal: AbortSignal.timeout(2_000) }).then(
				(answer) => answer.ok,
				() => false,
			);
			if (answers) return;
			if (Date.now() > deadline) throw new Error(`the gateway did not come back: ${this.#said.slice(-2_000)}`);
			await sleep(30);
		}
	}

	/** Stopped and continued: everything it does in between is late, its alarms too. */
	async freeze(ms: number): Promise<void> {
		const pids = this.workerd();
		this.#world.wasFrozen = true;
		this.#world.note(`gateway frozen for ${ms} ms`);
		for (const pid of pids) process.kill(pid, "SIGSTOP");
		await sleep(ms);
		for (const pid of pids) {
			try {
				process.kill(pid, "SIGCONT");
			} catch {
				// Killed meanwhile.
			}
		}
	}
}

export interface DaemonOptions extends Omit<ProxyOptions, "port" | "nameOf"> {
	/** Absent: the fake CLI, under this runner's own name, so that sessions can ask for it. */
	providers?: Record<string, ProviderTable>;
	/** More lines at the head of its runner.toml. */
	settings?: string;
	stateDir?: string;
	/** Another checkout than the world's. */
	root?: string;
	/** More of its environment. */
	env?: Record<string, string>;
	/** Loaded before the program, see die.ts and clock.ts. */
	preload?: string;
	/** Where it kills itself, in one life after the other; each time it is started again. */
	dies?: DiePoint[];
}

/** `hotplex runner run`, behind a proxy of its own. */
export class Daemon {
	readonly name: string;
	readonly stateDir: string;
	readonly proxy: FaultProxy;
	readonly #world: World;
	/** May be changed between a kill and a start. */
	readonly options: DaemonOptions;
	#child: ChildProcess | null = null;
	/** How it ended the last time, if it ended by itself. */
	exit: { code: number | null; signal: string | null } | null = null;
	/** Ending by itself is what is expected of it. */
	mayEnd = false;
	said = "";

	constructor(world: World, name: string, proxy: FaultProxy, options: DaemonOptions) {
		this.#world = world;
		this.name = name;
		this.proxy = proxy;
		this.options = options;
		this.stateDir = options.stateDir ?? join(world.dir, "runners", name);
	}

	/** The same identity in another directory, behind a proxy of its own. */
	static async copy(world: World, of: Daemon, name: string): Promise<Daemon> {
		const proxy = await world.proxy();
		const copy = new Daemon(world, name, proxy, { providers: of.options.providers ?? { [of.name]: fakeCli() } });
		mkdirSync(copy.stateDir, { recursive: true });
		copy.configure();
		const identity = JSON.parse(readFileSync(join(of.stateDir, "identity.json"), "utf8")) as Record<string, unknown>;
		writeFileSync(join(copy.stateDir, "identity.json"), JSON.stringify({ ...identity, url: proxy.url }), { mode: 0o600 });
		world.daemons.push(copy);
		return copy;
	}

	static async enrol(world: World, name: string, options: DaemonOptions): Promise<Daemon> {
		const proxy = await world.proxy();
		const daemon = new Daemon(world, name, proxy, options);
		mkdirSync(daemon.stateDir, { recursive: true });
		daemon.configure();
		const { token } = await world.gateway.client.createRunnerToken();
		const args = ["runner", "enrol", "--url", proxy.url, "--token-file", "-", "--state-dir", daemon.stateDir];
		const enrolled = await runHotplex(args, world.env, token);
		if (enrolled.code !== 0) throw new Error(`${name} was not enrolled: ${enrolled.stderr}`);
		// Only now: the enrolment itself is not what is tested.
		proxy.begin({ faults: options.faults, plan: options.plan });
		return daemon;
	}

	get pid(): number | null {
		return this.#child?.pid ?? null;
	}

	get isRunning(): boolean {
		return this.#child !== null;
	}

	configure(): void {
		const providers = this.options.providers ?? { [this.name]: fakeCli() };
		const tables = Object.entries(providers).map(
			([name, p]) =>
				`[providers.${name}]\nkind = "${p.kind}"\ncommand = ${JSON.stringify(p.command)}\nargs = ${JSON.stringify(p.args)}\nenv = ${JSON.stringify(p.env ?? [])}\nread = ${JSON.stringify(p.read ?? [])}\nhosts = ${JSON.stringify(p.hosts ?? [])}\n`,
		);
		const head = `name = "${this.name}"\ncapacity = 100\n${this.options.settings ?? ""}\n`;
		writeFileSync(join(this.stateDir, "runner.toml"), `${head}\n${tables.join("\n")}`);
	}

	launch(): void {
		if (this.#child !== null) return;
		const { root = this.#world.root, env = {} } = this.options;
		const dies = this.options.dies?.shift();
		const preload = dies === undefined ? this.options.preload : DIE;
		const nodeArgs = preload === undefined ? [] : ["--import", preload];
		const child = spawn(process.execPath, [...nodeArgs, join(root, "runner/main.ts"), "runner", "run", "--state-dir", this.stateDir], {
			env: { ...this.#world.env, ...env, ...(dies === undefined ? {} : { CHAOS_DIE: JSON.stringify(dies) }) },
			stdio: ["ignore", "ignore", "pipe"],
		});
		this.#child = child;
		this.exit = null;
		this.said = "";
		child.stderr?.pipe(createWriteStream(join(this.#world.dir, `${this.name}.log`), { flags: "a" }).on("error", () => {}));
		child.stderr?.setEncoding("utf8").on("data", (text: string) => {
			this.said = (this.said + text).slice(-20_000);
		});
		child.once("exit", (code, signal) => {
			if (this.#child !== child) return;
			this.#child = null;
			this.exit = { code, signal };
			if (this.mayEnd || this.#world.isClosing) return;
			if (dies !== undefined && signal === "SIGKILL") {
				this.#world.daemonKills++;
				this.#world.note(`${this.name} killed ${dies.when} its ${dies.step} number ${dies.nth}`);
				setTimeout(() => !this.#world.isClosing && this.launch(), 100);
				return;
			}
			this.#world.findings.push({
				kind: "unfinished",
				count: 1,
				where: this.name,
				what: `its daemon ended by itself (${signal ?? code}): ${this.said.slice(-1_000)}`,
			});
			this.launch();
		});
	}

	async ready(): Promise<void> {
		const deadline = Date.now() + START_MS;
		while (!this.said.includes("ready at")) {
			if (Date.now() > deadline || this.#child === null) throw new Error(`${this.name} is not ready: ${this.said}`);
			await sleep(20);
		}
	}

	async kill(signal: NodeJS.Signals = "SIGKILL", counts = true): Promise<void> {
		const child = this.#child;
		if (child === null) return;
		if (counts) {
			if (signal === "SIGKILL") this.#world.daemonKills++;
			this.#world.note(`${this.name} killed (${signal})`);
		}
		this.#child = null;
		const gone = new Promise((resolve) => child.once("exit", resolve));
		child.kill(signal);
		await gone;
	}

	async restart(downMs: number, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
		await this.kill(signal);
		await sleep(downMs);
		if (!this.#world.isClosing) this.launch();
	}

	/** Waits until it ended by itself. */
	async ended(ms: number): Promise<{ code: number | null; signal: string | null } | null> {
		const deadline = Date.now() + ms;
		while (this.exit === null && Date.now() < deadline) await sleep(20);
		return this.exit;
	}
}
