import { linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { arch, hostname } from "node:os";
import { join } from "node:path";
import { check } from "../shared/codec.ts";
import { type ErrorCode, problem } from "../shared/errors.ts";
import { type ControlFrame, SessionSpec, ToControlFrame } from "../shared/frames.ts";
import { type Generation, SessionId, generation as toGeneration } from "../shared/ids.ts";
import { CliProcess, endStrays, identify, isSame } from "./cli-process.ts";
import type { RunnerConfig } from "./config.ts";
import { Egress } from "./egress.ts";
import { type Host, HostedSession, sessionsDir } from "./hosted-session.ts";
import type { StopWhy } from "./hosting.ts";
import type { Identity } from "./identity.ts";
import { type Confinement, sweepHomes } from "./jail.ts";
import { unseal } from "./journal.ts";
import { Link } from "./link.ts";
import { type InstalledProvider, offered } from "./providers.ts";
import { subjectOf } from "./reach.ts";
import { ownWorkDir, resolveWorkDir } from "./work-dir.ts";

export const VERSION = "0.1.0";

/** Processes change with every turn; the status file is for people. */
const STATUS_DELAY_MS = 200;
/** How long an answer about the free disk is good for. */
const DISK_MS = 100;

export interface DaemonOptions {
	config: RunnerConfig;
	identity: Identity;
	stateDir: string;
	confinement: Confinement;
	providers: InstalledProvider[];
	/** The daemon's environment, of which the network's proxy needs where certificates lie. */
	env: NodeJS.ProcessEnv;
	/** One line for people; details are in the log of the session. */
	log(line: string): void;
	/** The gateway ended this runner for good; the daemon has stopped. */
	onEnded(code: number, reason: string): void;
	/** The daemon cannot go on, and its process must end now. The CLIs stay for the next one. */
	onFailed(why: string): never;
}

/** The runner daemon: one control link, and a hosted session for each lease. It listens on nothing. */
export class Daemon {
	readonly #options: DaemonOptions;
	readonly #host: Host;
	readonly #egress: Egress | null;
	readonly #link: Link<typeof ToControlFrame>;
	readonly #hosted = new Map<SessionId, HostedSession>();
	readonly #natives = new Map<string, SessionId>();
	#draining = false;
	#makingWay = false;
	#disk: { spareBytes: number; at: number } | null = null;
	#statusTimer: NodeJS.Timeout | null = null;
	#connected = false;
	#closed = false;
	/** Settles when the gateway has taken the first registration: from then on sessions can come. */
	readonly ready: Promise<void>;
	#isReady: () => void = () => {};

	constructor(options: DaemonOptions) {
		this.#options = options;
		const { config, identity, stateDir, confinement } = options;
		this.ready = new Promise((resolve) => {
			this.#isReady = resolve;
		});
		// Outside a jail nothing would make a session use it.
		const isProxied = confinement.jail === "namespaces" && config.jail.network === "proxy";
		this.#egress = isProxied
			? new Egress({
					stateDir,
					env: options.env,
					log: options.log,
					onRefused: ({ sessionId, rule, why, times, ...to }) => {
						options.log(`${sessionId} may not reach ${subjectOf(to)} (${why}${times > 1 ? `, ${times} times` : ""})`);
						this.#hosted.get(sessionId as SessionId)?.refused({ subject: subjectOf(to), rule, reason: why });
					},
				})
			: null;
		this.#host = {
			egress: this.#egress,
			config,
			identity,
			stateDir,
			confinement,
			provider: (name) => options.providers.find((p) => p.name === name) ?? null,
			claimNative: (native, sessionId) => {
				const holder = this.#natives.get(native);
				if (holder !== undefined && holder !== sessionId) return false;
				this.#natives.set(native, sessionId);
				return true;
			},
			spareDiskBytes: () => this.#spareDiskBytes(),
			failed: (cause) => options.onFailed(`the journal cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`),
			changed: () => {
				this.#statusTimer ??= setTimeout(() => this.#writeStatus(), STATUS_DELAY_MS);
			},
			forget: (session) => {
				if (this.#hosted.get(session.sessionId) === session) this.#hosted.delete(session.sessionId);
				for (const [native, holder] of this.#natives) if (holder === session.sessionId) this.#natives.delete(native);
				this.#writeStatus();
			},
		};
		this.#revive();
		sweepHomes(stateDir, new Set(this.#hosted.keys()), Date.now());
		void this.#egress?.keepOnly(new Set(this.#hosted.keys())).catch((cause: unknown) => options.log(`network proxy: ${String(cause)}`));
		this.#link = new Link({
			url: `${identity.url.replace(/^http/, "ws")}/v1/link/${identity.team}/${identity.runnerId}`,
			schema: ToControlFrame,
			onFrame: (frame) => this.#onFrame(frame),
			onDown: () => {
				this.#connected = false;
				this.#writeStatus();
			},
			onEnded: (code, reason) => void this.#ended(code, reason),
		});
		this.#writeStatus();
	}

	/** Takes no new sessions, hands back those it has as their turns end, then is done. */
	async drain(graceMs = this.#options.config.drainGrace, why: StopWhy = "drained"): Promise<void> {
		this.#draining = true;
		this.#send({ type: "draining" });
		this.#writeStatus();
		const away = !this.#connected;
		await Promise.all(
			[...this.#hosted.values()].map(async (session) => {
				// With the gateway away nothing can be handed back: the processes end, and the journals wait for the next daemon.
				if (away) return session.suspend(graceMs);
				return Promise.race([session.handBack(why, graceMs), new Promise<void>((resolve) => setTimeout(resolve, graceMs + 5_000).unref())]);
			}),
		);
		await this.#egress?.end();
		this.close();
	}

	/** Makes way for the next daemon, of a newer version say: no turn ends, and the CLIs stay. Settles when this process may end. */
	async makeWay(): Promise<void> {
		this.#makingWay = true;
		await Promise.all([...this.#hosted.values()].map((session) => session.makeWay()));
		this.close();
	}

	/** Ends the running turns of a drain now. */
	hurry(): void {
		for (const session of this.#hosted.values()) session.interrupt();
	}

	/** Lets go of everything at once: processes go on, the next daemon finds them. */
	close(): void {
		for (const session of this.#hosted.values()) session.leave();
		this.#link.close();
		this.#egress?.leave();
		this.#closed = true;
		if (this.#statusTimer) clearTimeout(this.#statusTimer);
		rmSync(statusFile(this.#options.stateDir), { force: true });
	}

	#onFrame(frame: ToControlFrame): void {
		switch (frame.type) {
			case "challenge":
				this.#send({ type: "authenticate", ...this.#options.identity.prove(frame.nonce, "control") });
				return;
			case "authenticated":
				this.#register();
				return;
			case "registered":
				this.#isReady();
				return;
			case "offer":
				return this.#offer(frame.sessionId, frame.generation, frame.spec);
			case "drop": {
				const session = this.#hosted.get(frame.sessionId);
				if (session?.generation === frame.generation) void session.drop("lease_lost");
				return;
			}
			case "drain":
				this.#options.log("the gateway asks this runner to drain");
				void this.drain().then(() => this.#options.onEnded(1000, "drained"));
				return;
			case "make_room": {
				const asked = [...this.#hosted.values()].filter((s) => frame.sessionId === undefined || s.sessionId === frame.sessionId);
				const idle = asked.filter((s) => s.idleSince !== null).sort((a, b) => (a.idleSince ?? 0) - (b.idleSince ?? 0));
				void idle[0]?.handBack("idle", null);
				return;
			}
			case "error":
				this.#options.log(`the gateway says: ${frame.problem.detail} (${frame.problem.code})`);
				return;
			case "pong":
				return;
		}
	}

	#register(): void {
		const { config, providers, confinement } = this.#options;
		this.#connected = true;
		this.#send({
			type: "register",
			version: VERSION,
			capacity: config.capacity,
			labels: { os: process.platform, arch: arch(), host: hostname(), ...config.labels },
			providers: offered(providers),
			isolation: confinement.isolation,
			jail: confinement.jail,
			draining: this.#draining,
			hosted: [...this.#hosted.values()].map((s) => ({ sessionId: s.sessionId, generation: s.generation })),
		});
		this.#writeStatus();
	}

	/** An offer is taken or refused at once, with the reason, so that it cannot hang. */
	#offer(sessionId: SessionId, generation: Generation, spec: SessionSpec): void {
		const known = this.#hosted.get(sessionId);
		if (known?.generation === generation) return this.#send({ type: "accept", sessionId, generation });
		const refuse = (code: ErrorCode, detail: string) =>
			this.#send({ type: "refuse", sessionId, generation, problem: problem(code, detail) });
		if (this.#draining || this.#makingWay) return refuse("draining", "this runner is draining");
		if (this.#spareDiskBytes() <= 0)
			return refuse("at_capacity", `this runner's disk has less than ${this.#options.config.minFreeDisk} bytes left`);
		// One that gave its lease back may still be here: this offer came by another link than the answer to that.
		const hosting = [...this.#hosted.values()].filter((s) => s !== known && !s.isReleased).length;
		if (hosting >= this.#options.config.capacity) return refuse("at_capacity", `this runner hosts ${hosting} sessions already`);
		if (this.#host.provider(spec.provider) === null) return refuse("provider_not_installed", `this runner does not offer ${spec.provider}`);
		const { permissionModes } = this.#options.config.policy;
		if (permissionModes !== undefined && !permissionModes.includes(spec.permissionMode))
			return refuse("policy_denied", `this runner's owner does not take sessions in the permission mode ${spec.permissionMode}`);
		const workDir = resolveWorkDir(
			spec.workDir,
			ownWorkDir(this.#options.stateDir, sessionId),
			this.#options.config.roots,
			this.#options.stateDir,
		);
		if (!workDir.ok) return refuse(workDir.error.code, workDir.error.detail);
		const take = () => {
			this.#hosted.set(sessionId, new HostedSession(this.#host, sessionId, generation, spec));
			this.#send({ type: "accept", sessionId, generation });
			this.#writeStatus();
		};
		// An older lease's process must be gone before this one's begins (P5).
		if (known) void known.drop("lease_lost").then(take);
		else take();
	}

	/** Finds what an earlier daemon hosted. Of several generations of a session only the newest may live. */
	#revive(): void {
		const root = sessionsDir(this.#options.stateDir);
		mkdirSync(root, { recursive: true, mode: 0o700 });
		for (const name of readdirSync(root)) {
			const sessionId = SessionId.safeParse(name);
			if (!sessionId.success) continue;
			const generations = readdirSync(join(root, name))
				.filter((g) => /^[1-9]\d*$/.test(g))
				.sort((a, b) => Number(b) - Number(a));
			for (const [i, g] of generations.entries()) {
				const dir = join(root, name, g);
				const spec = i === 0 ? readSpec(dir) : null;
				if (spec !== null) this.#hosted.set(sessionId.data, new HostedSession(this.#host, sessionId.data, toGeneration(Number(g)), spec));
				else sweep(dir);
			}
		}
	}

	async #ended(code: number, reason: string): Promise<void> {
		this.#options.log(`the gateway ended this runner (${code}): ${reason}`);
		// Revoked or replaced: what runs here has no right to run any more.
		await Promise.all([...this.#hosted.values()].map((s) => s.drop("lease_lost")));
		await this.#egress?.end();
		this.close();
		this.#options.onEnded(code, reason);
	}

	/** Asked of the file system once a while for all sessions. */
	#spareDiskBytes(): number {
		const now = performance.now();
		if (this.#disk === null || now - this.#disk.at >= DISK_MS) {
			const { bavail, bsize } = statfsSync(this.#options.stateDir);
			this.#disk = { spareBytes: bavail * bsize - this.#options.config.minFreeDisk, at: now };
		}
		return this.#disk.spareBytes;
	}

	#send(frame: ControlFrame): void {
		this.#link.send(frame);
	}

	#writeStatus(): void {
		if (this.#statusTimer) clearTimeout(this.#statusTimer);
		this.#statusTimer = null;
		if (this.#closed) return;
		const status = {
			...identify(process.pid),
			version: VERSION,
			runnerId: this.#options.identity.runnerId,
			url: this.#options.identity.url,
			connected: this.#connected,
			draining: this.#draining,
			capacity: this.#options.config.capacity,
			isolation: this.#options.confinement.isolation,
			jail: this.#options.confinement.jail,
			providers: offered(this.#options.providers),
			hosted: [...this.#hosted.values()].map((s) => ({ sessionId: s.sessionId, generation: s.generation, ...s.status })),
		};
		try {
			writeFileSync(statusFile(this.#options.stateDir), `${JSON.stringify(status)}\n`, { mode: 0o600 });
		} catch {
			// A full disk; it is for people only.
		}
	}
}

/**
 * Makes this process the only one on a state directory. Two would be one runner with two sets of processes. Answers the pid of the one that
 * holds it, null if that is this one now.
 */
export function claimStateDir(stateDir: string): number | null {
	mkdirSync(stateDir, { recursive: true, mode: 0o700 });
	const path = join(stateDir, "daemon.lock");
	const own = join(stateDir, `daemon.lock.${process.pid}`);
	// Linked when it is whole, so that nobody reads half of it.
	writeFileSync(own, JSON.stringify(identify(process.pid)), { mode: 0o600 });
	try {
		for (;;) {
			try {
				linkSync(own, path);
				return null;
			} catch {
				const holder = readHolder(path);
				if (holder !== null && isSame(holder)) return holder.pid;
			}
			// Left by one that is gone. Whoever moves it away looks again at what that was: another may have been faster.
			const moved = join(stateDir, `daemon.lock.${process.pid}.old`);
			try {
				renameSync(path, moved);
			} catch {
				continue;
			}
			const was = readHolder(moved);
			if (was !== null && isSame(was)) {
				try {
					linkSync(moved, path);
				} catch {
					// A third one is there by now.
				}
				rmSync(moved, { force: true });
				return was.pid;
			}
			rmSync(moved, { force: true });
		}
	} finally {
		rmSync(own, { force: true });
	}
}

function readHolder(path: string): { pid: number; startTime: string; bootId: string } | null {
	try {
		return JSON.parse(readFileSync(path, "utf8")) as { pid: number; startTime: string; bootId: string };
	} catch {
		return null;
	}
}

/** What the daemon of this state directory says of itself, null if none runs. */
export function daemonStatus(stateDir: string): (Record<string, unknown> & { pid: number; startTime: string; bootId: string }) | null {
	try {
		const status = JSON.parse(readFileSync(statusFile(stateDir), "utf8")) as { pid: number; startTime: string; bootId: string };
		return isSame(status) ? { ...status } : null;
	} catch {
		return null;
	}
}

const statusFile = (stateDir: string): string => join(stateDir, "runner-status.json");

function readSpec(dir: string): SessionSpec | null {
	try {
		const spec = check(SessionSpec, unseal(readFileSync(join(dir, "hosting.json"), "utf8")));
		return spec.ok ? spec.value : null;
	} catch {
		return null;
	}
}

/** Ends what an older lease left behind, if it is still the process it was, and removes its journals. */
function sweep(dir: string): void {
	for (const name of readdirSync(dir)) {
		if (!/^\d+$/.test(name)) continue;
		CliProcess.adopt(join(dir, name))?.kill();
		endStrays(join(dir, name));
	}
	rmSync(dir, { recursive: true, force: true });
}
