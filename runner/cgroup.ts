import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A directory of cgroup v2 in which this user may make others. */
export interface CgroupBase {
	dir: string;
	/** Of `memory` and `pids`, those that can be limited here. */
	controllers: string[];
	/** Whether everything in one can be ended at once (Linux 5.14). */
	canKill: boolean;
}

export interface Limits {
	maxMemory?: number | undefined;
	maxProcesses?: number | undefined;
}

/** The daemon's own cgroup, if it was given to it; else why not, in words. Nothing is left behind. */
export function findCgroup(
	cgroupFile = "/proc/self/cgroup",
	mountinfo = "/proc/self/mountinfo",
): { base: CgroupBase; why: null } | { base: null; why: string } {
	try {
		const own = /^0::(.*)$/m.exec(readFileSync(cgroupFile, "utf8"))?.[1];
		const mount = /^\S+ \S+ \S+ \S+ (\S+) .* - cgroup2 /m.exec(readFileSync(mountinfo, "utf8"))?.[1];
		if (own === undefined || mount === undefined) return { base: null, why: "no cgroup v2 here" };
		// A daemon that came before may have moved itself into a leaf.
		const dir = join(mount, own.replace(/\/hotplex-daemon$/, ""));
		accessSync(dir, constants.W_OK);
		const probe = join(dir, `hotplex-try-${process.pid}`);
		mkdirSync(probe);
		const canKill = existsSync(join(probe, "cgroup.kill"));
		rmdirSync(probe);
		const has = readFileSync(join(dir, "cgroup.controllers"), "utf8").trim().split(/\s+/);
		return { base: { dir, controllers: ["memory", "pids"].filter((name) => has.includes(name)), canKill }, why: null };
	} catch {
		return { base: null, why: "cgroup v2 is not delegated to this user" };
	}
}

const sessionsIn = (base: CgroupBase): string => join(base.dir, "hotplex-sessions");
export const cgroupOf = (base: CgroupBase, sessionId: string): string => join(sessionsIn(base), sessionId);

/**
 * Makes a session's cgroup with its limits. A cgroup that has limited children has no processes itself: the daemon and its own go into a leaf of
 * their own first.
 */
export function openCgroup(base: CgroupBase, sessionId: string, limits: Limits): string {
	const wanted = [...(limits.maxMemory === undefined ? [] : ["memory"]), ...(limits.maxProcesses === undefined ? [] : ["pids"])].filter(
		(name) => base.controllers.includes(name),
	);
	const sessions = sessionsIn(base);
	mkdirSync(sessions, { recursive: true });
	if (wanted.length > 0) {
		makeRoom(base);
		for (const dir of [base.dir, sessions]) for (const name of wanted) writeFileSync(join(dir, "cgroup.subtree_control"), `+${name}`);
	}
	const dir = cgroupOf(base, sessionId);
	mkdirSync(dir, { recursive: true });
	if (wanted.includes("memory")) {
		writeFileSync(join(dir, "memory.max"), String(limits.maxMemory));
		// All of it at once: half a CLI is of no use to anybody.
		writeFileSync(join(dir, "memory.oom.group"), "1");
	}
	if (wanted.includes("pids")) writeFileSync(join(dir, "pids.max"), String(limits.maxProcesses));
	return dir;
}

function makeRoom(base: CgroupBase): void {
	const inside = readFileSync(join(base.dir, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
	const leaf = join(base.dir, "hotplex-daemon");
	mkdirSync(leaf, { recursive: true });
	for (const pid of inside) {
		try {
			writeFileSync(join(leaf, "cgroup.procs"), pid);
		} catch {
			// It ended.
		}
	}
}

/** Ends everything in a cgroup, whatever it has become. */
export function killCgroup(dir: string): void {
	try {
		writeFileSync(join(dir, "cgroup.kill"), "1");
	} catch {
		// Not there, or older than 5.14.
	}
}

/** Removes a session's cgroup, and what it made in it. It stays while something runs in it. */
export function closeCgroup(dir: string): void {
	try {
		for (const entry of readdirSync(dir, { withFileTypes: true })) if (entry.isDirectory()) closeCgroup(join(dir, entry.name));
		rmdirSync(dir);
	} catch {
		// Not there, or not empty.
	}
}
