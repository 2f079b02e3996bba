import { type ChildProcess, spawn } from "node:child_process";
import {
	closeSync,
	constants,
	existsSync,
	openSync,
	readdirSync,
	readFileSync,
	readlinkSync,
	realpathSync,
	statSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { type Problem, problem } from "../shared/errors.ts";
import { err, ok, type Result } from "../shared/result.ts";
import { closeCgroup, killCgroup } from "./cgroup.ts";
import type { Launch } from "./jail.ts";
import { type Journal, seal, unseal, writeWhole } from "./journal.ts";

/** What identifies a process over a daemon's restart: a pid alone may be another's by then. */
interface Identity {
	pid: number;
	startTime: string;
	bootId: string;
}

export interface Exit {
	exitCode: number | null;
	signal: string | null;
}

/** How often a process that is not our child is looked at. */
const POLL_MS = 200;
/** Between SIGTERM and SIGKILL. Claude Code takes 1.6 s when it has to stop a tool. */
export const TERM_GRACE_MS = 5_000;
const WRITE_RETRY_MS = 4;
/** How long the jail's maker may take to end once its namespace is gone. */
const REAP_MS = 500;

/** The absolute path of a command, or null if it is not installed. */
export function findCommand(file: string, path: string): string | null {
	const candidates = file.includes("/") ? [file] : path.split(":").map((dir) => join(dir || ".", file));
	for (const candidate of candidates) {
		try {
			const found = statSync(candidate);
			if (found.isFile() && (found.mode & 0o111) !== 0) return candidate;
		} catch {
			// Not there.
		}
	}
	return null;
}

/** One CLI process in its own session, group and (where it can be had) pid namespace. It outlives the daemon. */
export class CliProcess {
	readonly pid: number;
	/** Settles when the process is gone, never fails. The code is unknown if another daemon started it. */
	readonly exited: Promise<Exit>;
	readonly #stdin: string;
	/** The cgroup that is its own, if it has one. */
	readonly #cgroup: string | null;
	#fd: number | null = null;
	#pending: { bytes: Buffer; written: () => void }[] = [];
	#retry: NodeJS.Timeout | null = null;
	#gone = false;

	private constructor(pid: number, stdin: string, exited: Promise<Exit>, cgroup: string | null) {
		this.pid = pid;
		this.#stdin = stdin;
		this.#cgroup = cgroup;
		this.exited = exited.then(async (exit) => {
			this.#gone = true;
			this.#closeStdin();
			// The group's other members have no leader any more. The namespace's first process is one of them: with it the kernel ends all that
			// is in the namespace, whatever it is, before that process itself is gone.
			await endGroup(pid);
			if (cgroup !== null) {
				killCgroup(cgroup);
				closeCgroup(cgroup);
			}
			return exit;
		});
	}

	/** Starts what is launched with its output going to the journal's files and its input coming from its FIFO. */
	static async start(launch: Launch, journal: Journal): Promise<Result<CliProcess, Problem>> {
		const stdin = journal.path("stdin");
		if (!existsSync(stdin)) await execa("mkfifo", ["-m", "600", stdin]);
		// Open for reading and writing: the CLI itself holds its input open, so that it sees no end of it when the daemon dies.
		const input = openSync(stdin, constants.O_RDWR);
		const output = openSync(journal.path("stdout"), "a");
		const errors = openSync(journal.path("stderr"), "a");
		const more = launch.descriptors.map((path) => openSync(path, "r"));
		const { file, args, env, cwd, cgroup } = launch;
		if (cgroup !== null) writeFileSync(join(journal.dir, CGROUP_FILE), cgroup);
		let child: ChildProcess;
		try {
			// Not execa: it takes no plain file descriptors, and would pass the output through this process. A session of its own: without a
			// terminal there is none to type into.
			child = spawn(file, args, { cwd, env, stdio: [input, output, errors, ...more], detached: true });
		} finally {
			for (const fd of [input, output, errors, ...more]) closeSync(fd);
		}
		const exited = new Promise<Exit>((resolve) => child.once("exit", (exitCode, signal) => resolve({ exitCode, signal })));
		const failed = new Promise<Error>((resolve) => child.once("error", resolve));
		const { pid } = child;
		if (pid === undefined) return err(problem("start_failed", `${file} could not be started: ${(await failed).message}`));
		// It does not keep the daemon alive: a drained daemon may leave before a CLI that it hands over.
		child.unref();
		const identity = identify(pid);
		if (identity !== null) for (const name of IDENTITY_FILES) writeWhole(join(journal.dir, name), seal(identity));
		return ok(new CliProcess(pid, stdin, exited, cgroup));
	}

	/** The process of an earlier daemon's journal, by its directory, if it is still the same one. */
	static adopt(dir: string): CliProcess | null {
		const identity = storedIdentity(dir);
		if (identity === null || !isSame(identity)) return null;
		const exited = new Promise<Exit>((resolve) => {
			const timer = setInterval(() => {
				if (isSame(identity)) return;
				clearInterval(timer);
				resolve({ exitCode: null, signal: null });
			}, POLL_MS);
		});
		return new CliProcess(identity.pid, join(dir, "stdin"), exited, cgroupIn(dir));
	}

	/**
	 * The process that an earlier daemon started for this journal and was killed before it could write down which; null if there is none. It
	 * has the journal's FIFO as its input, as have those that it started itself. If its leader is gone, the others are ended.
	 */
	static adoptStray(dir: string): CliProcess | null {
		const strays = readersOf(dir);
		const leader = strays.find((pid) => groupOf(pid) === pid);
		const identity = leader === undefined ? null : identify(leader);
		if (identity === null) {
			if (strays.length > 0) endStrays(dir);
			return null;
		}
		for (const name of IDENTITY_FILES) writeWhole(join(dir, name), seal(identity));
		return CliProcess.adopt(dir);
	}

	get isGone(): boolean {
		return this.#gone;
	}

	/** Queues one line for stdin; `written` is called when all of it is in the pipe. A CLI that does not read blocks nobody. */
	write(line: string, written: () => void): void {
		this.#pending.push({ bytes: Buffer.from(`${line}\n`), written });
		if (this.#retry === null) this.#flush();
	}

	/** TERM, and KILL after the grace. Settles when the process is gone, and all that it left. */
	async stop(graceMs = TERM_GRACE_MS): Promise<Exit> {
		if (!this.#gone) {
			// One that is stopped would not hear it.
			signalGroup(this.pid, "SIGCONT");
			const asking = this.#askToEnd() ? null : setInterval(() => this.#askToEnd() && clearInterval(asking ?? undefined), POLL_MS);
			const timer = setTimeout(() => this.kill(), graceMs);
			await this.exited;
			clearTimeout(timer);
			clearInterval(asking ?? undefined);
		}
		return this.exited;
	}

	/** SIGTERM to the CLI and what shares its group. False if it is not there yet. */
	#askToEnd(): boolean {
		if (!isJailMaker(this.pid)) {
			signalGroup(this.pid, "SIGTERM");
			return true;
		}
		// The jail's maker would die of it at once and take the CLI along; the namespace's first process does not hear it.
		const inside = groupMembers(this.pid).filter((pid) => pid !== this.pid && !isNamespaceInit(pid));
		for (const pid of inside) signal(pid, "SIGTERM");
		return inside.length > 0;
	}

	/** Stops it where it is; what it has written stays. */
	pause(): void {
		if (!this.#gone) signalGroup(this.pid, "SIGSTOP");
	}

	resume(): void {
		if (!this.#gone) signalGroup(this.pid, "SIGCONT");
	}

	/** Ends it and all that is in its namespace now. */
	kill(): void {
		if (this.#gone) return;
		if (this.#cgroup !== null) killCgroup(this.#cgroup);
		const inits = isJailMaker(this.pid) ? groupMembers(this.pid).filter((pid) => pid !== this.pid && isNamespaceInit(pid)) : [];
		// Its maker, which waits for it, reaps it and ends with it. Were both killed at once, the reaping would be left to the machine's init,
		// and not every container has one that does.
		for (const pid of inits) signal(pid, "SIGKILL");
		if (inits.length === 0) return signalGroup(this.pid, "SIGKILL");
		signalGroup(this.pid, "SIGCONT");
		setTimeout(() => this.#gone || signalGroup(this.pid, "SIGKILL"), REAP_MS).unref();
	}

	#flush(): void {
		this.#retry = null;
		for (;;) {
			const chunk = this.#pending[0];
			if (chunk === undefined || this.#gone) return;
			try {
				// Never blocking: a full pipe would hold a thread, and for ever if the CLI were gone.
				this.#fd ??= openSync(this.#stdin, constants.O_WRONLY | constants.O_NONBLOCK);
				const written = writeSync(this.#fd, chunk.bytes);
				if (written === chunk.bytes.length) {
					this.#pending.shift();
					chunk.written();
				} else chunk.bytes = chunk.bytes.subarray(written);
			} catch (cause) {
				if (codeOf(cause) === "EAGAIN") {
					this.#retry = setTimeout(() => this.#flush(), WRITE_RETRY_MS);
					return;
				}
				// EPIPE, ENXIO: nobody reads; the exit is on its way.
				this.#pending = [];
				return;
			}
		}
	}

	#closeStdin(): void {
		if (this.#retry) clearTimeout(this.#retry);
		if (this.#fd !== null) closeSync(this.#fd);
		this.#fd = null;
		this.#pending = [];
	}
}

/** Which cgroup a journal's process has, for the next daemon. */
const CGROUP_FILE = "cgroup";

function cgroupIn(dir: string): string | null {
	try {
		return readFileSync(join(dir, CGROUP_FILE), "utf8");
	} catch {
		return null;
	}
}

function signal(pid: number, name: NodeJS.Signals): void {
	try {
		process.kill(pid, name);
	} catch {
		// Gone already.
	}
}

/** The living processes of a group, wherever they are. */
function groupMembers(group: number): number[] {
	return readdirSync("/proc")
		.filter((pid) => /^\d+$/.test(pid))
		.map(Number)
		.filter((pid) => groupOf(pid) === group);
}

/** Kills what is left of a group until nothing is. Its number cannot be another's while a member lives; a group that is gone is left alone. */
async function endGroup(group: number): Promise<void> {
	for (const deadline = Date.now() + TERM_GRACE_MS; Date.now() < deadline; ) {
		signalGroup(group, "SIGKILL");
		if (groupMembers(group).length === 0) return;
		await new Promise((resolve) => setTimeout(resolve, WRITE_RETRY_MS));
	}
}

/** Whether a process is the first of a pid namespace below ours. */
function isNamespaceInit(pid: number): boolean {
	try {
		return /^NSpid:.*\s1$/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
	} catch {
		return false;
	}
}

/** Whether the process that was started is bwrap, with the CLI in a namespace below it, and not the CLI itself. */
function isJailMaker(pid: number): boolean {
	try {
		return readFileSync(`/proc/${pid}/comm`, "utf8") === "bwrap\n";
	} catch {
		return false;
	}
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
	try {
		process.kill(-pid, signal);
	} catch {
		// Gone already.
	}
}

/** Written twice: were it unreadable, a process would run on that nobody knows. */
const IDENTITY_FILES = ["process.json", "process-2.json"];

function storedIdentity(dir: string): Identity | null {
	for (const name of IDENTITY_FILES) {
		try {
			const identity = unseal<Identity>(readFileSync(join(dir, name), "utf8"));
			if (identity !== null) return identity;
		} catch {
			// Not there.
		}
	}
	return null;
}

/** Ends whatever reads this journal's FIFO. Returns when it is gone, since what comes next may start another one (P5). */
export function endStrays(dir: string): void {
	const deadline = Date.now() + TERM_GRACE_MS;
	for (;;) {
		const strays = readersOf(dir);
		if (strays.length === 0 || Date.now() > deadline) return;
		for (const pid of strays) {
			try {
				process.kill(pid, "SIGKILL");
			} catch {
				// Gone already.
			}
		}
		// Only a daemon's start comes here, and it must not go on before they are gone.
		Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
	}
}

/** The processes whose input this journal's FIFO is. */
function readersOf(dir: string): number[] {
	const stdin = join(realpathSync(dir), "stdin");
	return readdirSync("/proc")
		.filter((pid) => /^\d+$/.test(pid) && inputOf(pid) === stdin)
		.map(Number);
}

function inputOf(pid: string): string | null {
	try {
		return readlinkSync(`/proc/${pid}/fd/0`);
	} catch {
		return null;
	}
}

/** Fields of /proc/PID/stat from the third on; the name before them may hold spaces and parentheses. Null if it is gone, or a zombie. */
function statOf(pid: number): string[] | null {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
		const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
		return fields[0] === "Z" ? null : fields;
	} catch {
		return null;
	}
}

/** Field 22, the start in clock ticks since boot. */
const startTimeOf = (pid: number): string | null => statOf(pid)?.[19] ?? null;
/** Field 5, the process group. */
const groupOf = (pid: number): number => Number(statOf(pid)?.[2]);

export function identify(pid: number): Identity | null {
	const startTime = startTimeOf(pid);
	return startTime === null ? null : { pid, startTime, bootId: bootId() };
}

export const isSame = (identity: Identity): boolean => identity.bootId === bootId() && startTimeOf(identity.pid) === identity.startTime;

const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
const codeOf = (cause: unknown): string | undefined => (cause instanceof Error && "code" in cause ? String(cause.code) : undefined);
