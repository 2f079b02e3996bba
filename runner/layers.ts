import { spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Isolation, Jail as JailKind } from "../shared/events.ts";
import { findCgroup } from "./cgroup.ts";
import { findCommand } from "./cli-process.ts";
import type { RunnerConfig } from "./config.ts";
import { type Confinement, INIT, type JailTools, jailArguments, jailedCommand, type RunAs, SERVICE_UID, systemMounts } from "./jail.ts";
import { landlockProgram } from "./landlock.ts";
import { seccompProgram } from "./seccomp.ts";

/** One layer of what keeps sessions in, as it was found by trying. */
export interface Layer {
	layer: string;
	state: "ok" | "weak" | "missing";
	/** What was found, in words. */
	found: string;
	/** What its owner can do about it, where something can be done. */
	remedy?: string;
}

export interface Findings {
	layers: Layer[];
	confinement: Confinement;
}

const TRY_MS = 10_000;

/** What of the machine explains why something fails. */
export interface Machine {
	apparmorRestricts: boolean;
	maxUserNamespaces: number | null;
	unprivilegedCloneOff: boolean;
	inContainer: boolean;
}

/** Looks at everything that keeps sessions in, by using it. Nothing is left behind. */
export function findLayers(
	config: Pick<RunnerConfig, "jail">,
	env: NodeJS.ProcessEnv,
	isThere = (_name: string): boolean => true,
): Findings {
	const path = `${env.PATH ?? ""}:/usr/bin:/bin:/usr/sbin:/sbin`;
	const find = (name: string) => (isThere(name) ? findCommand(name, path) : null);
	const maker = tryBwrap(find);
	const pids = tryPidNamespace();
	const socat = find("socat");
	const filter = seccompProgram(process.arch);
	const cgroup = findCgroup();
	const landlock = tryLandlock(find);
	const layers: Layer[] = [maker.layer, ...maker.more];
	if (maker.tools !== null) {
		layers.push(
			filter === null
				? {
						layer: "system call filter",
						state: "missing",
						found: `no filter for ${process.arch}; namespaces and their mounts hold without it, less deeply`,
					}
				: { layer: "system call filter", state: "ok", found: "seccomp: no namespaces, mounts, ptrace, keyrings, bpf or io_uring inside" },
		);
		layers.push({
			layer: "bridge to the proxy",
			state: "ok",
			found: socat === null ? "by node; socat starts faster (apt install socat)" : `${socat}`,
		});
	} else layers.push(pids.layer);
	layers.push(cgroupLayer(cgroup), userLayer(maker.tools !== null), landlock.layer);
	const jail: JailKind =
		config.jail.mode === "off" ? "none" : maker.tools !== null ? "namespaces" : landlock.perl !== null ? "landlock" : "none";
	const isolation: Isolation =
		jail === "namespaces" || pids.prefix.length > 0 ? "pid_namespace" : cgroup.base?.canKill ? "cgroup" : "process_group";
	const unlimited =
		config.jail.maxMemory !== undefined && !cgroup.base?.controllers.includes("memory")
			? "maxMemory has no effect: cgroup v2 with memory is not delegated to the runner"
			: undefined;
	const weak =
		config.jail.mode === "off"
			? "the jail is switched off (--unsafe-no-jail): a CLI sees what its user sees"
			: jail !== "namespaces"
				? `${jail === "landlock" ? `the weaker jail: it bounds files, not the network, protects nothing inside the work directory, and leaves keys in the environment; ` : ""}${maker.layer.found}; ${maker.layer.remedy ?? ""}`
				: undefined;
	const why = [weak, unlimited].filter((w) => w !== undefined).join("; ") || undefined;
	return {
		layers,
		confinement: {
			jail,
			isolation,
			...(why === undefined ? {} : { why }),
			bwrap: maker.bwrap ?? "bwrap",
			canDisableUserns: maker.canDisableUserns,
			tools: maker.tools ?? { setpriv: "setpriv", prlimit: find("prlimit"), socat, node: realpathSync(process.execPath) },
			perl: landlock.perl,
			cgroup: cgroup.base,
			prefix: pids.prefix,
		},
	};
}

/** Why this machine is not to host sessions, in words for its owner; null if it may. */
export function refusal({ confinement, layers }: Findings, config: Pick<RunnerConfig, "jail">): string | null {
	const { mode } = config.jail;
	if (mode === "off" || confinement.jail === "namespaces" || (mode === "auto" && confinement.jail === "landlock")) return null;
	const cause = layers.find((l) => l.layer === "jail");
	return [
		"sessions cannot be jailed on this machine.",
		`  cause:   ${cause?.found ?? "unknown"}`,
		`  remedy:  ${cause?.remedy ?? "see `hotplex runner doctor`"}`,
		"  or:      --unsafe-no-jail hosts sessions that see what this user sees",
	].join("\n");
}

interface Maker {
	bwrap: string | null;
	canDisableUserns: boolean;
	/** Null if it does not work. */
	tools: JailTools | null;
	layer: Layer;
	more: Layer[];
}

function tryBwrap(find: (name: string) => string | null): Maker {
	const bwrap = find("bwrap");
	const machine = readMachine();
	const failed = (said: string): Maker => ({
		bwrap,
		canDisableUserns: false,
		tools: null,
		layer: { layer: "jail", state: "missing", ...diagnose(said, machine) },
		more: [],
	});
	if (bwrap === null) return failed("bwrap: not found");
	const isRoot = process.getuid?.() === 0;
	const setpriv = find("setpriv");
	if (isRoot && setpriv === null) return failed("setpriv: not found");
	const version = attempt([bwrap, "--version"]).said;
	const canDisableUserns = attempt([bwrap, "--help"]).said.includes("--disable-userns");
	const tools: JailTools = {
		setpriv: setpriv ?? "setpriv",
		prlimit: find("prlimit"),
		socat: find("socat"),
		node: realpathSync(process.execPath),
	};
	// All that a root runner may need, since work directories have various owners.
	const kinds: RunAs[] = isRoot ? [{ kind: "drop", uid: SERVICE_UID, gid: SERVICE_UID }, { kind: "root" }] : [{ kind: "self" }];
	const dir = mkdtempSync(join(tmpdir(), "hotplex-try-"));
	try {
		for (const as of kinds) {
			const said = tryJail(bwrap, tools, as, canDisableUserns, dir);
			if (said !== null) return failed(said);
		}
	} finally {
		rmSync(dir, { recursive: true, force: true });
	}
	const nested: Layer =
		canDisableUserns && !isRoot
			? { layer: "nested namespaces", state: "ok", found: "refused by --disable-userns and by the system call filter" }
			: seccompProgram(process.arch) !== null
				? { layer: "nested namespaces", state: "ok", found: "refused by the system call filter" }
				: {
						layer: "nested namespaces",
						state: "weak",
						found: "not refused: bwrap is older than 0.8, or the runner is root",
						remedy: "install bubblewrap 0.8 or later and run the runner as a user of its own",
					};
	return {
		bwrap,
		canDisableUserns,
		tools,
		layer: { layer: "jail", state: "ok", found: `${version}: user, pid, network, ipc and mount namespaces` },
		more: [nested],
	};
}

/** Starts `true` in a jail as sessions get it, but for their mounts. What was said if it failed. */
function tryJail(bwrap: string, tools: JailTools, as: RunAs, canDisableUserns: boolean, dir: string): string | null {
	const filter = seccompProgram(process.arch);
	const jail = {
		mounts: [...systemMounts(), { kind: "tmpfs", path: "/tmp" } as const, { kind: "mask", path: "/srv" } as const],
		workDir: "/",
		runAs: as,
		network: "none" as const,
		seccompFd: filter === null ? null : 3,
		canDisableUserns,
	};
	const filterFile = join(dir, "seccomp.bpf");
	if (filter !== null) writeFileSync(filterFile, filter);
	const tried = attempt(
		[bwrap, ...jailArguments(jail), "--", ...jailedCommand(jail, tools, ["true"])],
		filter === null ? [] : [filterFile],
	);
	return tried.ok ? null : tried.said;
}

/** Runs a program to its end, with these files open from descriptor 3 on. */
function attempt([file = "", ...args]: string[], files: string[] = []): { ok: boolean; said: string } {
	const fds = files.map((path) => openSync(path, "r"));
	const { status, error, stdout, stderr } = spawnSync(file, args, {
		stdio: ["ignore", "pipe", "pipe", ...fds],
		env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
		timeout: TRY_MS,
		killSignal: "SIGKILL",
		encoding: "utf8",
	});
	for (const fd of fds) closeSync(fd);
	return { ok: status === 0, said: (stderr || stdout || error?.message || `it ended with ${status}`).trim() };
}

/** Cause and remedy of what bwrap said. Pure, so that machines which are not at hand can be tested. */
export function diagnose(said: string, machine: Machine): { found: string; remedy: string } {
	const quoted = said.split("\n")[0]?.slice(0, 200) ?? "";
	if (/^(bwrap|setpriv): not found$/.test(said)) {
		const [name] = said.split(":");
		return {
			found: `${name} is not installed`,
			remedy: name === "bwrap" ? "sudo apt install bubblewrap socat (or the same of your distribution)" : "sudo apt install util-linux",
		};
	}
	const because = (cause: string, remedy: string) => ({ found: `${cause}; bwrap said: "${quoted}"`, remedy });
	if (machine.apparmorRestricts && /uid map|RTM_NEWADDR|Operation not permitted|Permission denied/i.test(said))
		return because(
			"Ubuntu restricts user namespaces (kernel.apparmor_restrict_unprivileged_userns=1)",
			"sudo apt install bubblewrap apparmor-profiles apparmor-utils && sudo install -m 0644 /usr/share/apparmor/extra-profiles/bwrap-userns-restrict /etc/apparmor.d/ && sudo apparmor_parser -r /etc/apparmor.d/bwrap-userns-restrict",
		);
	if (/No space left|nesting depth|max_.*_namespaces/i.test(said))
		return because(
			machine.maxUserNamespaces === 0
				? "user namespaces are switched off (user.max_user_namespaces=0)"
				: "no more namespaces may be made here; this may be a jail already",
			"sudo sysctl user.max_user_namespaces=15000, or run the runner outside the jail that it is in",
		);
	if (machine.unprivilegedCloneOff)
		return because(
			"user namespaces are for root only (kernel.unprivileged_userns_clone=0)",
			"sudo sysctl kernel.unprivileged_userns_clone=1",
		);
	if (machine.inContainer)
		return because(
			"this container may not make namespaces",
			"start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined (as root also --cap-add SYS_ADMIN), or run the runner on the machine itself",
		);
	return because("bubblewrap cannot make a jail", "run `bwrap --unshare-user --unshare-pid --ro-bind / / true` and mend what it says");
}

function readMachine(): Machine {
	const sysctl = (name: string): string | null => {
		try {
			return readFileSync(`/proc/sys/${name}`, "utf8").trim();
		} catch {
			return null;
		}
	};
	const max = sysctl("user/max_user_namespaces");
	return {
		apparmorRestricts: sysctl("kernel/apparmor_restrict_unprivileged_userns") === "1",
		maxUserNamespaces: max === null ? null : Number(max),
		unprivilegedCloneOff: sysctl("kernel/unprivileged_userns_clone") === "0",
		inContainer: existsSync("/.dockerenv") || existsSync("/run/.containerenv"),
	};
}

/** For sessions without a jail: their processes can still be ended together. */
function tryPidNamespace(): { prefix: string[]; layer: Layer } {
	const unshare = [
		"unshare",
		...(process.getuid?.() === 0 ? [] : ["--user", "--map-current-user"]),
		"--pid",
		"--fork",
		"--kill-child",
		"--mount-proc",
	];
	const tried = attempt([...unshare, "true"]);
	if (tried.ok)
		return {
			prefix: [...unshare, "--", "sh", "-c", INIT, "hotplex-init"],
			layer: { layer: "pid namespace", state: "ok", found: "by unshare: a session's processes end together" },
		};
	const said = tried.said.slice(0, 200);
	return {
		prefix: [],
		layer: {
			layer: "pid namespace",
			state: "missing",
			found: `${said}; processes that leave their session's group outlive it`,
			remedy: "as for the jail",
		},
	};
}

/** Where limits of memory and processes can be set for a session as a whole. */
function cgroupLayer(found: ReturnType<typeof findCgroup>): Layer {
	const layer = "cgroup";
	const remedy = "run the runner as a service with Delegate=yes (systemd)";
	if (found.base === null)
		return { layer, state: "missing", found: `${found.why}: maxMemory has no effect, maxProcesses counts by user`, remedy };
	const { controllers, canKill } = found.base;
	const missing = ["memory", "pids"].filter((name) => !controllers.includes(name));
	if (missing.length === 0) return { layer, state: "ok", found: `cgroup v2 with ${controllers.join(" and ")}` };
	const without = [
		...(missing.includes("memory") ? ["maxMemory has no effect"] : []),
		...(missing.includes("pids") ? ["maxProcesses counts by user"] : []),
	];
	return {
		layer,
		state: "weak",
		found: `cgroup v2 without ${missing.join(" and ")}${canKill ? ", with cgroup.kill" : ""}: ${without.join(", ")}`,
		remedy,
	};
}

function userLayer(jailed: boolean): Layer {
	const layer = "user";
	if (process.getuid?.() !== 0) return { layer, state: "ok", found: "the runner is not root" };
	if (jailed)
		return {
			layer,
			state: "weak",
			found: "the runner is root; sessions run as their work directory's owner, and without root's powers where that is root",
			remedy: "run the runner as a user of its own",
		};
	return { layer, state: "missing", found: "the runner is root, and so are its sessions", remedy: "run the runner as a user of its own" };
}

/** For machines on which no namespaces can be made. */
function tryLandlock(find: (name: string) => string | null): { perl: string | null; layer: Layer } {
	const layer = "landlock";
	const perl = find("perl");
	const program = landlockProgram(process.arch);
	if (perl === null || program === null)
		return {
			perl: null,
			layer: { layer, state: "missing", found: perl === null ? "perl is not installed, which makes its calls" : `not for ${process.arch}` },
		};
	const tried = attempt([perl, "-e", program, "--", "--abi"]);
	if (!tried.ok)
		return {
			perl: null,
			layer: {
				layer,
				state: "missing",
				found: `the kernel does not have it (${tried.said})`,
				remedy: "Linux 5.13 or later, with landlock in its lsm= list",
			},
		};
	return {
		perl,
		layer: {
			layer,
			state: "ok",
			found: `version ${tried.said}: the weaker jail where namespaces are forbidden: files only, not the network`,
		},
	};
}
