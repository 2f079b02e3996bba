import { createHash } from "node:crypto";
import {
	chmodSync,
	chownSync,
	copyFileSync,
	existsSync,
	lchownSync,
	lstatSync,
	mkdirSync,
	readdirSync,
	readlinkSync,
	realpathSync,
	renameSync,
	rmSync,
	statSync,
	symlinkSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { basename, dirname, isAbsolute, join, resolve, sep } from "node:path";
import { type Problem, problem } from "../shared/errors.ts";
import type { Isolation, Jail as JailKind } from "../shared/events.ts";
import type { SessionId } from "../shared/ids.ts";
import { err, ok, type Result } from "../shared/result.ts";
import { type CgroupBase, type Limits, openCgroup } from "./cgroup.ts";
import { writeWhole } from "./journal.ts";
import { type LandlockRule, landlockProgram, landlockRules } from "./landlock.ts";
import { seccompProgram } from "./seccomp.ts";
import { ownWorkDir } from "./work-dir.ts";

// ------------------------------------------------------------ what a jail is

/** Where a session's processes live in the jail; the same for all, so that nothing of the runner's own user shows. */
export const JAIL_HOME = "/home/hotplex";
/** Where the session's way to the network lies in the jail, if it has one. */
export const JAIL_SOCKETS = "/run/hotplex";
export const JAIL_PROXY_PORT = 3128;
/** /tmp and /dev/shm are memory: one session may not fill the machine's. */
const TMP_BYTES = 1024 ** 3;
/** Whom a root runner's own work directories belong to: in a range that no distribution hands out. */
export const SERVICE_UID = 60_700;

/** One thing that can be seen in the jail, at `path`. */
export type Mount =
	| { kind: "ro" | "rw"; source: string; path: string }
	/** An empty directory in memory. `ro` over something that lies in another mount and must not be seen. */
	| { kind: "tmpfs" | "mask"; path: string }
	| { kind: "symlink"; target: string; path: string };

/**
 * As whom the processes run. `self`: the runner's own user, in a user namespace. `drop`: a root runner makes the mounts and then becomes this
 * user. `root`: the work directory is root's own; its owner's id is kept, in a user namespace in which it has none of root's powers.
 */
export type RunAs = { kind: "self" | "root" } | { kind: "drop"; uid: number; gid: number };

export interface JailDescription {
	mounts: Mount[];
	workDir: string;
	runAs: RunAs;
	/** `proxy`: an empty network and a bridge to the session's proxy; `none`: an empty network; `host`: the machine's own. */
	network: "proxy" | "none" | "host";
	/** A descriptor that holds a seccomp program; null where there is none for this machine. */
	seccompFd: number | null;
	/** Whether bwrap knows --disable-userns (0.8). */
	canDisableUserns: boolean;
}

/**
 * What of /proc is the kernel's, not the jail's. Much of it is guarded by nothing but its owner's id, which is root's, and a session in a root's
 * work directory has that id. (core_pattern alone would be a way out: the kernel runs it outside.)
 */
const inProc = (names: string[]): string[] => names.map((name) => `/proc/${name}`).filter(existsSync);
const KERNEL = {
	readOnly: ["/proc/sys"],
	hidden: inProc(["keys"]),
	/** What only root's id opens. */
	ofRoot: {
		readOnly: inProc(["fs"]),
		hidden: inProc([
			...["sysrq-trigger", "kcore", "key-users", "kmsg", "kpagecount", "kpageflags", "kpagecgroup", "mtrr"],
			...["timer_list", "sched_debug", "vmallocinfo", "slabinfo"],
		]),
	},
};

/** The uid that a process of the jail sees itself as: root's would make CLIs refuse and tools misbehave. */
const SEEN_UID = 1000;

/** bwrap's arguments, without the command. Order counts: what lies deeper comes later, and the root is closed last. */
export function jailArguments(jail: JailDescription): string[] {
	const { runAs } = jail;
	const made = new Set(["/", "/dev", "/proc"]);
	const args = ["--unshare-pid", "--as-pid-1", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--hostname", "hotplex"];
	if (jail.network !== "host") args.push("--unshare-net");
	if (runAs.kind === "drop") {
		// What it takes to enter somebody else's directory, to become that somebody, and to give up even that.
		const caps = ["CAP_DAC_READ_SEARCH", "CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"];
		args.push("--cap-drop", "ALL", ...caps.flatMap((cap) => ["--cap-add", cap]));
	} else {
		args.push("--unshare-user");
		if (jail.canDisableUserns) args.push("--disable-userns");
		if (runAs.kind === "root") args.push("--uid", String(SEEN_UID), "--gid", String(SEEN_UID), "--cap-drop", "ALL");
	}
	args.push("--proc", "/proc", "--dev", "/dev");
	const { readOnly, hidden, ofRoot } = KERNEL;
	for (const path of runAs.kind === "root" ? [...readOnly, ...ofRoot.readOnly] : readOnly) args.push("--ro-bind", path, path);
	for (const path of runAs.kind === "root" ? [...hidden, ...ofRoot.hidden] : hidden) args.push("--ro-bind", "/dev/null", path);
	const ordered = inOrder(jail.mounts);
	for (const [i, mount] of ordered.entries()) {
		// What bwrap makes by itself on the way to a mount, only its maker may enter.
		for (const dir of ancestors(mount.path)) {
			const above = ordered.slice(0, i).findLast((m) => m.kind !== "symlink" && isIn(dir, m.path));
			if (made.has(dir) || above?.kind === "ro" || above?.kind === "rw") continue;
			made.add(dir);
			args.push("--perms", "0755", "--dir", dir);
		}
		made.add(mount.path);
		switch (mount.kind) {
			case "ro":
				args.push("--ro-bind", mount.source, mount.path);
				break;
			case "rw":
				args.push("--bind", mount.source, mount.path);
				break;
			case "tmpfs":
				args.push("--perms", "1777", "--size", String(TMP_BYTES), "--tmpfs", mount.path);
				break;
			case "mask":
				args.push("--perms", "0555", "--size", "4096", "--tmpfs", mount.path);
				break;
			case "symlink":
				args.push("--symlink", mount.target, mount.path);
				break;
		}
	}
	if (jail.seccompFd !== null) args.push("--seccomp", String(jail.seccompFd));
	for (const mount of jail.mounts) if (mount.kind === "mask") args.push("--remount-ro", mount.path);
	args.push("--chdir", jail.workDir, "--remount-ro", "/");
	return args;
}

/**
 * The first process of a pid namespace. The kernel drops signals to it that it has no handler for, so a CLI in its place could not be asked to
 * end; this one waits for the CLI, reaps what it leaves, and ends as it ended, and with it the kernel ends all that is left. The detour by
 * descriptor 9: a shell gives its background commands /dev/null to read.
 */
export const INIT =
	'exec 9<&0; trap : TERM HUP INT; "$@" <&9 9<&- & p=$!; exec 9<&-; while :; do wait $p; code=$?; kill -0 $p 2>/dev/null || exit $code; done';

/** Programs of the machine that stand before the CLI inside the jail. */
export interface JailTools {
	setpriv: string;
	prlimit: string | null;
	socat: string | null;
	node: string;
}

const NO_POWERS = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"];

/** What runs in the jail: the change of user if there is one, then the first process, which starts the bridge if there is one and the command itself. */
export function jailedCommand(jail: Pick<JailDescription, "runAs" | "network">, tools: JailTools, command: string[]): string[] {
	const bridged = ["/bin/sh", "-c", `${jail.network === "proxy" ? bridge(tools) : ""}${INIT}`, "hotplex-init", ...command];
	if (jail.runAs.kind !== "drop") return bridged;
	const { uid, gid } = jail.runAs;
	const user = ["--reuid", String(uid), "--regid", String(gid), "--clear-groups"];
	return [tools.setpriv, ...user, ...NO_POWERS, "--", ...bridged];
}

/** In a session of its own and the first process's child, so that no signal for the CLI reaches it and no CLI has to reap it. */
function bridge({ socat, node }: JailTools): string {
	const socket = `${JAIL_SOCKETS}/proxy.sock`;
	// Without nodelay a streamed answer waits for the reader's delayed acknowledgements, 40 ms at a time.
	if (socat !== null)
		return `setsid ${socat} TCP-LISTEN:${JAIL_PROXY_PORT},bind=127.0.0.1,nodelay,fork,reuseaddr,backlog=128 UNIX-CONNECT:${socket} </dev/null >/dev/null 2>&1 & `;
	const program = `require("net").createServer({allowHalfOpen:true,noDelay:true},c=>{const u=require("net").connect({path:"${socket}",allowHalfOpen:true});for(const[a,b]of[[c,u],[u,c]])a.pipe(b),a.on("error",()=>b.destroy())}).listen(${JAIL_PROXY_PORT},"127.0.0.1",()=>require("fs").closeSync(1))`;
	// It starts slower than some CLIs do: they wait for its pipe to close.
	return `: $( (setsid ${node} -e '${program}' </dev/null 2>/dev/null &) ); `;
}

/** The directories on the way to a path, from the top, without the root and itself. */
function ancestors(path: string): string[] {
	const parts = path.split(sep).slice(1, -1);
	return parts.map((_, i) => sep + parts.slice(0, i + 1).join(sep));
}

/** Parents before what lies in them; of two at one place the later one wins. */
function inOrder(mounts: Mount[]): Mount[] {
	const byPath = new Map(mounts.map((mount) => [mount.path, mount]));
	const depth = (path: string) => (path === sep ? 0 : path.split(sep).length);
	return [...byPath.values()].sort((a, b) => depth(a.path) - depth(b.path));
}

// ------------------------------------------------------------ what is mounted

const isIn = (path: string, dir: string): boolean => path === dir || dir === sep || path.startsWith(dir + sep);

/** The parts of /etc that programs need to find libraries, names, certificates and the time. No secret of the machine is among them. */
const ETC = [
	"alternatives",
	"bash.bashrc",
	"ca-certificates",
	"ca-certificates.conf",
	"crypto-policies",
	"debian_version",
	"fonts",
	"host.conf",
	"inputrc",
	"java",
	"ld.so.cache",
	"ld.so.conf",
	"ld.so.conf.d",
	"localtime",
	"login.defs",
	"lsb-release",
	"magic",
	"manpath.config",
	"mime.types",
	"nsswitch.conf",
	"os-release",
	"pki",
	"profile",
	"profile.d",
	"protocols",
	"python3",
	"services",
	"shells",
	"ssl/certs",
	"ssl/openssl.cnf",
	"terminfo",
	"timezone",
];

/** Files in a work directory that programs outside the jail act upon later: a write there would be an escape with a delay. */
export const PROTECTED = [".git/hooks", ".git/config", ".git/config.worktree", ".claude", ".mcp.json", ".vscode", ".envrc"];

/** Variables that name files which are then mounted, and variables that name places of the machine, which mean nothing in the jail. */
const FILE_VARIABLES = ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR"];
const PLACE_VARIABLES = [
	"TMPDIR",
	"XDG_CONFIG_HOME",
	"XDG_DATA_HOME",
	"XDG_STATE_HOME",
	"XDG_CACHE_HOME",
	"CLAUDE_CONFIG_DIR",
	"CLAUDE_CODE_TMPDIR",
	"CODEX_HOME",
	"HOTPLEX_DEMO_DIR",
];

/** Whom and what a session's jail is for. */
export interface Inmate {
	sessionId: SessionId;
	/** A real path. */
	workDir: string;
	/** Absolute, as it was found on PATH. */
	file: string;
	args: string[];
	/** Of those, the ones that the machine's owner wrote: a script of an interpreter, say, which is mounted. Others may come from whoever opened the session. */
	ownerArgs: string[];
	env: Record<string, string>;
	/** More of the machine that it may read or write, as the owner wrote it: absolute, or in the runner's home (`~/...`), where it then lies in the jail's. */
	read: string[];
	write: string[];
	limits: Limits;
	/** The directory of its proxy's socket; null if it has no network, `host` if it has the machine's. */
	network: { socketDir: string } | "none" | "host";
}

export interface Grounds {
	mounts: Mount[];
	env: Record<string, string>;
	/** What to execute: the command as the jail sees it. */
	file: string;
}

/** Whether this uid's user may have the path's content, as far as modes tell: a root runner must not hand out what only root may read. */
function isPublic(path: string): boolean {
	const found = statSync(path, { throwIfNoEntry: false });
	return found !== undefined && (found.mode & 0o004) !== 0;
}

/** The programs and libraries of the machine. */
export function systemMounts(): Mount[] {
	const mounts: Mount[] = [{ kind: "ro", source: "/usr", path: "/usr" }];
	for (const name of ["bin", "sbin", "lib", "lib32", "lib64", "libx32"]) {
		const path = `/${name}`;
		const found = lstatSync(path, { throwIfNoEntry: false });
		if (found?.isSymbolicLink()) mounts.push({ kind: "symlink", target: readlinkSync(path), path });
		else if (found?.isDirectory()) mounts.push({ kind: "ro", source: path, path });
	}
	if (existsSync("/nix/store")) mounts.push({ kind: "ro", source: "/nix/store", path: "/nix/store" });
	return mounts;
}

/**
 * A copy of what of /etc a session sees, with users of its own, kept up to date: one mount instead of thirty, each of which costs a start. What is the same
 * already is left alone, since living jails have it mounted.
 */
function furnishEtc(dir: string, uid: number, gid: number): void {
	for (const name of ETC) if (isPublic(`/etc/${name}`)) copyPublic(realpathSync(`/etc/${name}`), join(dir, name));
	const nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
	const made = {
		passwd: `root:x:0:0:root:/root:/usr/sbin/nologin\nhotplex:x:${uid}:${gid}:HotPlex session:${JAIL_HOME}:/bin/bash\n${nobody}`,
		group: `root:x:0:\nhotplex:x:${gid}:\nnogroup:x:65534:\n`,
		hosts: "127.0.0.1 localhost hotplex\n::1 localhost\n",
	};
	for (const [name, text] of Object.entries(made)) {
		writeWhole(join(dir, name), text);
		chmodSync(join(dir, name), 0o644);
	}
}

function copyPublic(from: string, to: string): void {
	const found = lstatSync(from);
	if (found.isSymbolicLink()) {
		const target = readlinkSync(from);
		if (lstatSync(to, { throwIfNoEntry: false })?.isSymbolicLink() && readlinkSync(to) === target) return;
		rmSync(to, { force: true });
		mkdirSync(dirname(to), { recursive: true });
		symlinkSync(target, to);
	} else if (found.isDirectory()) {
		mkdirSync(to, { recursive: true, mode: 0o755 });
		const names = readdirSync(from);
		for (const name of readdirSync(to)) if (!names.includes(name)) rmSync(join(to, name), { recursive: true, force: true });
		for (const name of names) copyPublic(join(from, name), join(to, name));
	} else if (found.isFile() && isPublic(from)) {
		const old = lstatSync(to, { throwIfNoEntry: false });
		if (old?.size === found.size && Math.abs(old.mtimeMs - found.mtimeMs) < 1) return;
		mkdirSync(dirname(to), { recursive: true, mode: 0o755 });
		copyFileSync(from, `${to}.new`);
		chmodSync(`${to}.new`, found.mode & 0o755);
		utimesSync(`${to}.new`, found.atime, found.mtime);
		renameSync(`${to}.new`, to);
	}
}

/** The runner's home and everybody's: never mounted whole, whatever lies on PATH. */
function isHome(path: string): boolean {
	return path === sep || path === "/root" || path === homedir() || dirname(path) === "/home" || path === "/home";
}

/** A directory of programs, with the libraries beside it that they load. */
function programDir(dir: string): string[] {
	const real = realOrNull(dir);
	if (real === null || isHome(real) || !statSync(real).isDirectory()) return [];
	const parent = dirname(dir);
	if (basename(dir) === ".bin" && basename(parent) === "node_modules") return [parent];
	// Version managers put small scripts on PATH that look for the rest above them.
	if (basename(dir) === "shims") return isHome(dirname(real)) ? [dir] : [parent];
	if (basename(dir) !== "bin" && basename(dir) !== "sbin") return [dir];
	return [dir, ...["lib", "libexec"].map((name) => join(parent, name)).filter(existsSync)];
}

/** What the command itself is made of, if it does not lie in a directory of programs. */
function programOf(file: string): string[] {
	const real = realpathSync(file);
	const modules = real.indexOf(`${sep}node_modules${sep}`);
	if (modules >= 0) return [real.slice(0, modules + `${sep}node_modules`.length)];
	return basename(dirname(real)) === "bin" ? programDir(dirname(real)) : [real];
}

/** Everything that a session's processes see, and how they are told of it. The files are looked at, nothing is changed but empty `.git/hooks`. */
export function layOut(inmate: Inmate, { home: homeDir, etc: etcDir }: Furniture, stateDir: string): Result<Grounds, Problem> {
	const { workDir } = inmate;
	const state = realOrNull(stateDir) ?? stateDir;
	const mounts: Mount[] = systemMounts();
	mounts.push({ kind: "tmpfs", path: "/tmp" }, { kind: "tmpfs", path: "/dev/shm" }, { kind: "symlink", target: "/tmp", path: "/var/tmp" });
	mounts.push({ kind: "rw", source: homeDir, path: JAIL_HOME });
	mounts.push({ kind: "ro", source: etcDir, path: "/etc" });

	const isSeen = (path: string) =>
		path.startsWith("/etc/")
			? existsSync(join(etcDir, path.slice("/etc".length)))
			: isIn(path, workDir) || mounts.some((m) => m.kind !== "tmpfs" && m.kind !== "mask" && isIn(path, m.path));
	const add = (path: string) => {
		const real = realOrNull(path);
		// Not into a work directory, where it would be read-only at once; not the runner's own state, which `mask` covers.
		if (real === null || isIn(real, state)) return;
		for (const place of new Set([real, path])) if (!isSeen(place)) mounts.push({ kind: "ro", source: real, path: place });
	};
	const path = (inmate.env.PATH ?? "").split(":").filter((dir) => isAbsolute(dir));
	for (const dir of path) for (const found of programDir(resolve(dir))) add(found);
	if (!isSeen(inmate.file)) for (const found of programOf(inmate.file)) add(found);
	for (const arg of inmate.ownerArgs)
		if (isAbsolute(arg) && statSync(arg, { throwIfNoEntry: false })?.isFile()) for (const found of programOf(arg)) add(found);
	for (const name of FILE_VARIABLES) {
		const value = inmate.env[name];
		if (value !== undefined && isAbsolute(value)) add(value);
	}

	for (const [kind, asked] of [...inmate.read.map((p) => ["ro", p] as const), ...inmate.write.map((p) => ["rw", p] as const)]) {
		const optional = asked.startsWith("?");
		const named = optional ? asked.slice(1) : asked;
		const inHome = named.startsWith("~/") ? named.slice(2) : null;
		const real = realOrNull(inHome === null ? named : join(homedir(), inHome));
		if (real === null) {
			if (optional) continue;
			return err(problem("start_failed", `${named} is to be mounted in the jail and does not exist; mend the runner's configuration`));
		}
		if (isIn(real, state)) return err(problem("start_failed", `${named} lies in the runner's state directory, which no session may see`));
		if (inHome !== null) makeWay(homeDir, inHome);
		for (const place of inHome === null ? new Set([resolve(named), real]) : [join(JAIL_HOME, inHome)])
			mounts.push({ kind, source: real, path: place });
	}

	mounts.push({ kind: "rw", source: workDir, path: workDir });
	const writable = mounts.flatMap((m) => (m.kind === "rw" && m.path !== JAIL_HOME && statSync(m.source).isDirectory() ? [m.path] : []));
	for (const dir of writable) if (existsSync(dir)) mounts.push(...protection(dir));
	// The key, the journals, other sessions' homes: wherever a mount would show them. A work directory in it comes later, being deeper.
	if (mounts.some((m) => (m.kind === "ro" || m.kind === "rw") && m.path !== workDir && isIn(state, m.path)) || isIn(state, workDir))
		mounts.push({ kind: "mask", path: state });
	// And the way to it is not to be put aside, for the next daemon to find another state there.
	for (const dir of ancestors(state))
		if (writable.some((above) => dir !== above && isIn(dir, above))) mounts.push({ kind: "rw", source: dir, path: dir });
	if (typeof inmate.network === "object") mounts.push({ kind: "ro", source: inmate.network.socketDir, path: JAIL_SOCKETS });

	// Nothing can be made in what is mounted read-only.
	for (const mount of mounts)
		if (mount.kind === "ro" && mount.path.startsWith("/etc/")) makePlace(mount.source, join(etcDir, mount.path.slice("/etc".length)));

	const env: Record<string, string> = {};
	for (const [name, value] of Object.entries(inmate.env)) {
		// What the loader reads would act on the jail's own maker first, outside.
		if (name.startsWith("LD_")) continue;
		if (PLACE_VARIABLES.includes(name) && !isSeen(value)) continue;
		env[name] = value;
	}
	Object.assign(env, { HOME: JAIL_HOME, USER: "hotplex", LOGNAME: "hotplex", TMPDIR: "/tmp" });
	const file = isSeen(inmate.file) ? inmate.file : realpathSync(inmate.file);
	return ok({ mounts, env, file });
}

function makePlace(source: string, place: string): void {
	if (existsSync(place)) return;
	mkdirSync(statSync(source).isDirectory() ? place : dirname(place), { recursive: true, mode: 0o755 });
	if (!existsSync(place)) writeFileSync(place, "");
}

/**
 * Makes the directories on the way to a mount in the session's home, as its own: else whoever mounts would own them. The session had the home to
 * itself before: whatever lies there and is not what it must be, a link out of it most of all, would be followed with the runner's powers.
 */
function makeWay(home: string, to: string): void {
	const { uid, gid } = statSync(home);
	const parents = ancestors(join(sep, to)).map((dir) => join(home, dir));
	for (const path of parents) {
		const found = lstatSync(path, { throwIfNoEntry: false });
		if (found?.isDirectory()) continue;
		if (found !== undefined) rmSync(path, { force: true });
		mkdirSync(path, { mode: 0o700 });
		lchownSync(path, uid, gid);
	}
	const place = join(home, to);
	if (lstatSync(place, { throwIfNoEntry: false })?.isSymbolicLink()) rmSync(place);
}

/**
 * The protected files of a directory, read-only. A directory above one is mounted on itself too: the kernel does not rename or remove a place
 * where something is mounted, but does so with a directory that contains such places. What is not there cannot be protected without leaving
 * something in a person's work directory, and is not; an empty `.git/hooks` is the exception.
 */
function protection(dir: string): Mount[] {
	const mounts: Mount[] = [];
	const git = join(dir, ".git");
	if (lstatSync(git, { throwIfNoEntry: false })?.isDirectory()) {
		mounts.push({ kind: "rw", source: git, path: git });
		try {
			mkdirSync(join(git, "hooks"));
			const { uid, gid } = statSync(git);
			chownSync(join(git, "hooks"), uid, gid);
		} catch {
			// It is there, or it cannot be made here, and neither by the session.
		}
	} else if (lstatSync(git, { throwIfNoEntry: false })?.isFile()) mounts.push({ kind: "ro", source: git, path: git });
	for (const name of PROTECTED) {
		const path = join(dir, name);
		const found = lstatSync(path, { throwIfNoEntry: false });
		// A symbolic link cannot be mounted upon; where it leads is protected if it lies here, and is not there if not.
		if (found === undefined || (name.startsWith(".git/") && lstatSync(git).isSymbolicLink())) continue;
		const real = found.isSymbolicLink() ? realOrNull(path) : path;
		if (real !== null && isIn(real, dir)) mounts.push({ kind: "ro", source: real, path: real });
	}
	return mounts;
}

function realOrNull(path: string): string | null {
	try {
		return realpathSync(path);
	} catch {
		return null;
	}
}

// ------------------------------------------------------------ as whom

/** As whom a session's processes run: never as a root that can do what root can. */
export function runAs(runnerUid: number, workDir: { uid: number; gid: number }): RunAs {
	if (runnerUid !== 0) return { kind: "self" };
	return workDir.uid === 0 ? { kind: "root" } : { kind: "drop", uid: workDir.uid, gid: workDir.gid };
}

// ------------------------------------------------------------ into the jail

/** What this machine can do to keep sessions in, found out by trying (layers.ts). */
export interface Confinement {
	jail: JailKind;
	isolation: Isolation;
	/** What is not as strong as it could be, and what to do about it. */
	why?: string;
	/** For `namespaces`: bwrap itself and what it knows. */
	bwrap: string;
	canDisableUserns: boolean;
	tools: JailTools;
	/** For `landlock`: Perl. */
	perl: string | null;
	/** Where limits can be set, if they can. */
	cgroup: CgroupBase | null;
	/** Without a jail: the command line before the CLI's own, for a pid namespace where that can be had. */
	prefix: string[];
}

/** How to start a session's command so that it is confined: all of what the new process gets. */
export interface Launch {
	file: string;
	args: string[];
	/** All of it: nothing of the daemon's own environment is added. */
	env: Record<string, string>;
	cwd: string;
	/** Files that it has open for reading, from descriptor 3 on. */
	descriptors: string[];
	/** Where all that it starts can be found and ended, if it has a cgroup of its own. */
	cgroup: string | null;
}

const ARGS_FD = 3;
const SECCOMP_FD = 4;

/**
 * As whom a session's processes run here: as their work directory's owner, where the runner is root. A directory that the runner made for the
 * session is given to a user of its own first.
 */
export function userOf(confinement: Confinement, stateDir: string, sessionId: SessionId, workDir: string): RunAs {
	const uid = process.getuid?.() ?? 0;
	if (confinement.jail === "none") return { kind: "self" };
	if (
		uid === 0 &&
		confinement.jail === "namespaces" &&
		workDir === realOrNull(ownWorkDir(stateDir, sessionId)) &&
		statSync(workDir).uid === 0
	)
		giveAway(workDir, { uid: SERVICE_UID, gid: SERVICE_UID });
	return runAs(uid, statSync(workDir));
}

/** Prepares a session's jail and says how to start its command in it. */
export function enter(confinement: Confinement, stateDir: string, inmate: Inmate): Result<Launch, Problem> {
	const { workDir } = inmate;
	if (confinement.jail === "none") {
		const limited = limitedBy(confinement, inmate.limits, { kind: "self" });
		return ok(
			inCgroup(confinement, inmate, {
				command: [...confinement.prefix, ...limited, inmate.file, ...inmate.args],
				env: inmate.env,
				cwd: workDir,
				descriptors: [],
			}),
		);
	}
	if (confinement.jail === "landlock") return enterLandlock(confinement, stateDir, inmate);
	const as = userOf(confinement, stateDir, inmate.sessionId, workDir);
	const furniture = furnish(stateDir, inmate.sessionId, as);
	const { dir } = furniture;
	const grounds = layOut(inmate, furniture, stateDir);
	if (!grounds.ok) return grounds;
	const { mounts, env, file } = grounds.value;
	const filter = seccompProgram(process.arch);
	const jail: JailDescription = {
		mounts,
		workDir,
		runAs: as,
		network: typeof inmate.network === "object" ? "proxy" : inmate.network,
		seccompFd: filter === null ? null : SECCOMP_FD,
		canDisableUserns: confinement.canDisableUserns,
	};
	// Not on the command line, which everybody on the machine can read.
	const argsFile = join(dir, "bwrap.args");
	writeWhole(argsFile, jailArguments(jail).join("\0"));
	const descriptors = [argsFile];
	if (filter !== null) {
		const filterFile = join(dir, "seccomp.bpf");
		writeFileSync(filterFile, filter, { mode: 0o600 });
		descriptors.push(filterFile);
	}
	const limited = limitedBy(confinement, inmate.limits, as);
	const inside = jailedCommand(jail, confinement.tools, [...limited, file, ...inmate.args]);
	const command = [confinement.bwrap, "--args", String(ARGS_FD), "--", ...inside];
	return ok(inCgroup(confinement, inmate, { command, env, cwd: "/", descriptors }));
}

/** Devices that everybody may use. */
const DEVICES = ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts"];

/**
 * The weaker jail. Nothing is mounted: what may be seen is where it is, the home is the session's directory itself, and what is not named cannot
 * be opened. The network is the machine's.
 */
function enterLandlock(confinement: Confinement, stateDir: string, inmate: Inmate): Result<Launch, Problem> {
	const { workDir } = inmate;
	const program = landlockProgram(process.arch);
	const state = realOrNull(stateDir) ?? stateDir;
	if (program === null || confinement.perl === null) return err(problem("start_failed", "this machine's Landlock cannot be used"));
	if (isIn(state, workDir))
		return err(
			problem(
				"work_dir_refused",
				`${workDir} holds the runner's own state, which this machine's weaker jail cannot hide; see hotplex runner doctor`,
			),
		);
	const as = userOf(confinement, stateDir, inmate.sessionId, workDir);
	// Who is not root does not come through a directory that is root's alone.
	const homes = as.kind === "drop" ? publicHomes(stateDir) : stateDir;
	if (homes === null) return err(problem("start_failed", "the sessions' homes in /var/tmp are not the runner's own; remove them"));
	const furniture = furnish(homes, inmate.sessionId, as);
	const grounds = layOut({ ...inmate, network: "none" }, furniture, stateDir);
	if (!grounds.ok) return grounds;
	const { home } = furniture;
	const rules: LandlockRule[] = [
		{ access: "write", path: home },
		{ access: "read", path: "/proc" },
		...DEVICES.map((name) => ({ access: "write" as const, path: `/dev/${name}` })),
		...[...ETC, "passwd", "group", "hosts", "resolv.conf"].map((name) => ({ access: "read" as const, path: `/etc/${name}` })),
	];
	for (const mount of grounds.value.mounts) {
		if (mount.kind === "mask")
			return err(problem("start_failed", "the runner's state lies in what its jail shows, and this machine's weaker jail cannot hide it"));
		if ((mount.kind !== "ro" && mount.kind !== "rw") || mount.path === JAIL_HOME || mount.path === "/etc") continue;
		rules.push({ access: mount.kind === "rw" ? "write" : "read", path: mount.source });
		if (mount.path.startsWith(`${JAIL_HOME}/`)) {
			const link = join(home, mount.path.slice(JAIL_HOME.length));
			rmSync(link, { recursive: true, force: true });
			symlinkSync(mount.source, link);
		}
	}
	const tmp = join(home, ".tmp");
	makeWay(home, ".tmp/x");
	const env = { ...grounds.value.env, HOME: home, TMPDIR: tmp, CLAUDE_CODE_TMPDIR: tmp, GIT_CONFIG_NOSYSTEM: "1" };
	const rulesFile = join(furniture.dir, "landlock.rules");
	writeWhole(rulesFile, landlockRules(rules));
	const filterFile = join(furniture.dir, "seccomp.bpf");
	writeFileSync(filterFile, seccompProgram(process.arch, { refusesUnixSockets: true }) ?? "", { mode: 0o600 });
	// Inside the change of user: what it opens for its rules, it opens as that user.
	const user =
		as.kind === "self"
			? []
			: as.kind === "drop"
				? [confinement.tools.setpriv, "--reuid", String(as.uid), "--regid", String(as.gid), "--clear-groups", ...NO_POWERS, "--"]
				: [confinement.tools.setpriv, "--securebits=+noroot,+noroot_locked,+keep_caps_locked", "--clear-groups", ...NO_POWERS, "--"];
	const limited = limitedBy(confinement, inmate.limits, as);
	const command = [
		...confinement.prefix,
		...user,
		...[confinement.perl, "-e", program, "--"],
		...[...limited, inmate.file, ...inmate.args],
	];
	return ok(inCgroup(confinement, inmate, { command, env, cwd: workDir, descriptors: [rulesFile, filterFile] }));
}

const publicDir = (stateDir: string): string =>
	join("/var/tmp", `hotplex-${createHash("sha256").update(stateDir).digest("hex").slice(0, 16)}`);

/** Homes that other users come to, each only to its own; null if somebody else made the place. */
function publicHomes(stateDir: string): string | null {
	const dir = publicDir(stateDir);
	for (const made of [dir, join(dir, "homes")]) {
		try {
			mkdirSync(made, { mode: 0o711 });
		} catch {
			// It is there.
		}
		const found = lstatSync(made);
		if (!found.isDirectory() || found.uid !== 0 || (found.mode & 0o022) !== 0) return null;
	}
	return dir;
}

/** Where there is no cgroup that counts them: the kernel counts processes by user then, which are this session's alone in a user namespace of their own. */
function limitedBy({ cgroup, tools }: Confinement, { maxProcesses }: Limits, as: RunAs): string[] {
	if (maxProcesses === undefined || cgroup?.controllers.includes("pids") || tools.prlimit === null || as.kind === "root") return [];
	return [tools.prlimit, `--nproc=${maxProcesses}:${maxProcesses}`, "--"];
}

/** Puts a command into a cgroup of its session, where limits ask for one or where nothing else would end all of it. */
function inCgroup(
	{ cgroup, isolation }: Confinement,
	{ sessionId, limits }: Inmate,
	{ command, ...launch }: Pick<Launch, "env" | "cwd" | "descriptors"> & { command: string[] },
): Launch {
	const isLimited =
		cgroup !== null &&
		((limits.maxMemory !== undefined && cgroup.controllers.includes("memory")) ||
			(limits.maxProcesses !== undefined && cgroup.controllers.includes("pids")));
	const [file = "", ...args] = command;
	if (cgroup === null || !(isLimited || isolation === "cgroup")) return { file, args, ...launch, cgroup: null };
	const dir = openCgroup(cgroup, sessionId, limits);
	return { file: "/bin/sh", args: ["-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', dir, file, ...args], ...launch, cgroup: dir };
}

// ------------------------------------------------------------ what stays of a session between its processes

export const homesDir = (stateDir: string): string => join(stateDir, "homes");
export const homeOf = (stateDir: string, sessionId: string): string => join(homesDir(stateDir), sessionId);

/** What a jail has of its own. */
export interface Furniture {
	/** The session's directory among the homes, for what is not to be seen inside. */
	dir: string;
	home: string;
	etc: string;
}

/** Which copies of /etc this process has looked after. */
const furnished = new Set<string>();

/** Makes the session's home, or gives it to whom it belongs now. */
function furnish(stateDir: string, sessionId: string, as: RunAs): Furniture {
	const dir = homeOf(stateDir, sessionId);
	const home = join(dir, "home");
	mkdirSync(dir, { recursive: true, mode: 0o711 });
	mkdirSync(home, { recursive: true, mode: 0o700 });
	const own = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
	const owner = as.kind === "drop" ? { uid: as.uid, gid: as.gid } : own;
	if (statSync(home).uid !== owner.uid) giveAway(home, owner);
	const seen = as.kind === "root" ? { uid: SEEN_UID, gid: SEEN_UID } : owner;
	const etc = join(stateDir, "etc", String(seen.uid));
	if (!furnished.has(etc)) furnishEtc(etc, seen.uid, seen.gid);
	furnished.add(etc);
	return { dir, home, etc };
}

/** Changes a whole tree's owner; of symbolic links themselves, never of what they lead to, nor of files that have another name elsewhere. */
function giveAway(path: string, owner: { uid: number; gid: number }): void {
	const found = lstatSync(path);
	if (!found.isDirectory() && found.nlink > 1) return;
	lchownSync(path, owner.uid, owner.gid);
	if (found.isDirectory()) for (const name of readdirSync(path)) giveAway(join(path, name), owner);
}

/** Where the homes of this runner's sessions are: in its state directory, and where other users come to, if that was ever needed. */
const allHomes = (stateDir: string): string[] => [homesDir(stateDir), homesDir(publicDir(stateDir))].filter(existsSync);

/** What the session's processes kept for each other goes with the session. */
export function removeHome(stateDir: string, sessionId: string): void {
	for (const homes of allHomes(stateDir)) rmSync(join(homes, sessionId), { recursive: true, force: true });
	// The last one takes the place along.
	const shared = publicDir(stateDir);
	if (existsSync(homesDir(shared)) && readdirSync(homesDir(shared)).length === 0) rmSync(shared, { recursive: true, force: true });
}

/** A session that ended while its runner was away, or went to another one, is not heard of again. Its home is kept for this long after its last start. */
const HOME_MS = 30 * 24 * 3_600_000;

export function sweepHomes(stateDir: string, hosted: ReadonlySet<string>, now: number): void {
	for (const homes of allHomes(stateDir))
		for (const name of readdirSync(homes)) {
			const startedAt = statSync(join(homes, name)).mtimeMs;
			if (!hosted.has(name) && now - startedAt > HOME_MS) rmSync(join(homes, name), { recursive: true, force: true });
		}
}
