import {
	chmodSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	realpathSync,
	rmSync,
	symlinkSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { closeCgroup, findCgroup, openCgroup } from "../../runner/cgroup.ts";
import {
	type Inmate,
	JAIL_HOME,
	type JailDescription,
	jailArguments,
	jailedCommand,
	layOut,
	type Mount,
	removeHome,
	runAs,
	sweepHomes,
} from "../../runner/jail.ts";
import { diagnose, type Findings, type Machine, refusal } from "../../runner/layers.ts";
import { seccompProgram } from "../../runner/seccomp.ts";
import { SessionId } from "../../shared/ids.ts";

const root = realpathSync(mkdtempSync(join(tmpdir(), "hotplex-jail-unit-")));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const at = (path: string): string => join(root, path);
const write = (path: string, text = "", mode = 0o644): string => {
	mkdirSync(join(at(path), ".."), { recursive: true });
	writeFileSync(at(path), text);
	chmodSync(at(path), mode);
	return at(path);
};

const PLAIN: JailDescription = {
	mounts: [],
	workDir: "/w",
	runAs: { kind: "self" },
	network: "none",
	seccompFd: null,
	canDisableUserns: true,
};
const joined = (more: Partial<JailDescription>): string => jailArguments({ ...PLAIN, ...more }).join(" ");

describe("bwrap's arguments", () => {
	test("[JAL-1] every namespace is the session's own, and the root is closed last", () => {
		const args = joined({});
		for (const name of ["pid", "ipc", "uts", "net", "user"]) expect(args).toContain(`--unshare-${name}`);
		expect(args).toContain("--disable-userns");
		expect(args).toMatch(/--chdir \/w --remount-ro \/$/);
		expect(args).not.toContain("--die-with-parent");
	});
	test("[JAL-1] the machine's network is there only where its owner says so", () => {
		expect(joined({ network: "host" })).not.toContain("--unshare-net");
		expect(joined({ network: "proxy" })).toContain("--unshare-net");
	});
	test("[JAL-2] a root runner makes the mounts itself and keeps nothing but what it takes to become somebody else", () => {
		const drop: Partial<JailDescription> = { runAs: { kind: "drop", uid: 1234, gid: 567 } };
		expect(joined(drop)).toContain("--cap-drop ALL --cap-add CAP_DAC_READ_SEARCH --cap-add CAP_SETUID");
		expect(joined(drop)).not.toContain("--unshare-user");
		const tools = { setpriv: "/sp", prlimit: null, socat: null, node: "/n" };
		const command = jailedCommand({ ...PLAIN, ...drop }, tools, ["cli", "arg"]);
		expect(command.slice(0, 6)).toEqual(["/sp", "--reuid", "1234", "--regid", "567", "--clear-groups"]);
		expect(command).toContain("--bounding-set=-all");
		expect(command.slice(-2)).toEqual(["cli", "arg"]);
	});
	test("[JAL-2] in root's own directory it has root's id, seen as another, in a user namespace without powers, and the kernel's files are hidden", () => {
		const args = joined({ runAs: { kind: "root" } });
		expect(args).toContain("--unshare-user --disable-userns --uid 1000 --gid 1000 --cap-drop ALL");
		expect(args).toContain("--ro-bind /proc/sys /proc/sys");
		expect(args).toContain("--ro-bind /dev/null /proc/kmsg");
	});
	test("[JAL-2] who is whom: a runner that is not root stays who it is, one that is becomes the directory's owner", () => {
		expect(runAs(1000, { uid: 0, gid: 0 })).toEqual({ kind: "self" });
		expect(runAs(0, { uid: 1000, gid: 100 })).toEqual({ kind: "drop", uid: 1000, gid: 100 });
		expect(runAs(0, { uid: 0, gid: 0 })).toEqual({ kind: "root" });
	});
	test("what lies deeper is mounted later, and can be entered on the way", () => {
		const mounts: Mount[] = [
			{ kind: "rw", source: "/s/work/x", path: "/s/work/x" },
			{ kind: "mask", path: "/s" },
			{ kind: "ro", source: "/usr", path: "/usr" },
			{ kind: "tmpfs", path: "/tmp" },
			{ kind: "rw", source: "/tmp/a/b", path: "/tmp/a/b" },
		];
		const args = joined({ mounts });
		const order = ["--tmpfs /s", "--tmpfs /tmp", "--perms 0755 --dir /s/work", "--bind /s/work/x", "--remount-ro /s", "--remount-ro /"];
		expect(order.map((part) => args.indexOf(part))).toEqual(order.map((part) => args.indexOf(part)).toSorted((a, b) => a - b));
		for (const part of [...order, "--dir /tmp/a --bind /tmp/a/b /tmp/a/b", "--ro-bind /usr /usr"]) expect(args).toContain(part);
	});
	test("[JAL-4] the bridge is in nobody's way: a session of its own, and the command's input, output and end are its own", () => {
		const tools = { setpriv: "/sp", prlimit: null, socat: "/socat", node: "/n" };
		const bridged = jailedCommand({ ...PLAIN, network: "proxy" }, tools, ["cli"]);
		expect(bridged[2]).toMatch(/^setsid \/socat TCP-LISTEN:3128,bind=127\.0\.0\.1.* <\/dev\/null >\/dev\/null 2>&1 & /);
		expect(jailedCommand({ ...PLAIN, network: "proxy" }, { ...tools, socat: null }, ["cli"])[2]).toContain("setsid /n -e");
		expect(jailedCommand(PLAIN, tools, ["cli"])[2]).not.toContain("socat");
	});
});

describe("what is mounted", () => {
	const workDir = at("work");
	const stateDir = at("state");
	mkdirSync(join(workDir, ".git"), { recursive: true });
	mkdirSync(at("state/work/own"), { recursive: true });
	const furniture = { dir: at("state/homes/s"), home: at("state/homes/s/home"), etc: at("state/etc/1") };
	for (const dir of [furniture.home, furniture.etc]) mkdirSync(dir, { recursive: true });
	const inmate = (more: Partial<Inmate> = {}): Inmate => ({
		sessionId: SessionId.parse(`ses_${"a".repeat(26)}`),
		workDir,
		file: "/usr/bin/env",
		args: [],
		ownerArgs: [],
		env: { PATH: "/usr/bin" },
		read: [],
		write: [],
		limits: {},
		network: "none",
		...more,
	});
	const grounds = (more: Partial<Inmate> = {}) => {
		const laidOut = layOut(inmate(more), furniture, stateDir);
		if (!laidOut.ok) throw new Error(laidOut.error.detail);
		return laidOut.value;
	};
	const kindAt = (path: string, more: Partial<Inmate> = {}) => grounds(more).mounts.findLast((m) => m.path === path)?.kind;

	test("[JAL-1] the work directory, a home of its own, the system's programs, and nothing that was not named", () => {
		const { mounts, env } = grounds();
		const writable = mounts.filter((m) => m.kind === "rw").map((m) => m.path);
		expect(writable).toEqual([JAIL_HOME, workDir, join(workDir, ".git")]);
		const sources = mounts.flatMap((m) => (m.kind === "ro" ? [m.source] : []));
		for (const source of sources) expect(source).toMatch(/^\/(usr|s?bin|lib(32|64|x32)?|nix\/store)$|^.*\/state\/etc\/1$|\.git\/hooks$/);
		expect(env).toEqual({ PATH: "/usr/bin", HOME: JAIL_HOME, USER: "hotplex", LOGNAME: "hotplex", TMPDIR: "/tmp" });
	});
	test("[JAL-3] what programs outside act upon is read-only, and cannot be put aside", () => {
		for (const name of [".git/config", ".claude/settings.json", ".envrc", ".mcp.json"]) write(`work/${name}`);
		for (const name of [".git/hooks", ".git/config", ".claude", ".envrc", ".mcp.json"])
			expect([name, kindAt(join(workDir, name))]).toEqual([name, "ro"]);
		expect(kindAt(join(workDir, ".git"))).toBe("rw");
		expect(existsSync(join(workDir, ".vscode"))).toBe(false);
	});
	test("[JAL-3] a symbolic link among them does not make a mount of where it leads outside", () => {
		mkdirSync(at("links"));
		symlinkSync("/etc", at("links/.claude"));
		symlinkSync(at("work/.git"), at("links/.git"));
		const paths = grounds({ workDir: at("links") }).mounts.map((m) => m.path);
		expect(paths.filter((path) => path.startsWith(at("links")))).toEqual([at("links")]);
		expect(paths.filter((path) => path.startsWith(workDir))).toEqual([]);
	});
	test("[JAL-1] the runner's state is hidden wherever a mount would show it", () => {
		expect(kindAt(stateDir)).toBeUndefined();
		expect(kindAt(stateDir, { workDir: root })).toBe("mask");
		expect(kindAt(stateDir, { read: [root] })).toBe("mask");
		expect(kindAt(at("state/work/own"), { workDir: at("state/work/own"), read: [root] })).toBe("rw");
		expect(layOut(inmate({ read: [at("state")] }), furniture, stateDir)).toMatchObject({ ok: false, error: { code: "start_failed" } });
	});
	test("[JAL-1] the way to the runner's state is not to be put aside either", () => {
		mkdirSync(at("deep/a/b/state"), { recursive: true });
		const laidOut = layOut(inmate({ workDir: at("deep") }), furniture, at("deep/a/b/state"));
		const mounts = laidOut.ok ? laidOut.value.mounts : [];
		expect(mounts.filter((m) => m.path.startsWith(at("deep"))).map((m) => [m.kind, m.path])).toEqual([
			["rw", at("deep")],
			["mask", at("deep/a/b/state")],
			["rw", at("deep/a")],
			["rw", at("deep/a/b")],
		]);
	});
	test("[JAL-1] a file that an argument names is mounted only if the owner wrote the argument: a session's model may be called anything", () => {
		const script = write("scripts/agent.js");
		expect(kindAt(script, { args: [script] })).toBeUndefined();
		expect(kindAt(script, { args: [script], ownerArgs: [script] })).toBe("ro");
	});
	test("[JAL-1] directories of programs on PATH come with their libraries; homes never come whole", () => {
		for (const name of [
			"tool/bin/x",
			"tool/lib/l",
			"tool/share/s",
			"p/node_modules/.bin/y",
			"p/node_modules/y/z",
			"v/shims/s",
			"v/versions/w",
		])
			write(name);
		const PATH = [at("tool/bin"), at("p/node_modules/.bin"), at("v/shims"), homedir(), "/", "bin", ""].join(":");
		const seen = grounds({ env: { PATH } }).mounts.flatMap((m) => (m.kind === "ro" ? [m.path] : []));
		expect(seen).toEqual(expect.arrayContaining([at("tool/bin"), at("tool/lib"), at("p/node_modules"), at("v")]));
		expect(seen).not.toContain(at("tool"));
		expect(seen).not.toContain(homedir());
		expect(seen).not.toContain("/");
	});
	test("[JAL-1] a command outside comes as its file, or with its modules, and is called by a path that is there", () => {
		write("cli/node_modules/c/cli.js");
		symlinkSync(at("cli/node_modules/c/cli.js"), at("cli/link"));
		const ofModules = grounds({ file: at("cli/link") });
		expect(ofModules.file).toBe(at("cli/node_modules/c/cli.js"));
		expect(ofModules.mounts).toContainEqual({ kind: "ro", source: at("cli/node_modules"), path: at("cli/node_modules") });
		const alone = write("alone/cli");
		write("alone/secret");
		expect(
			grounds({ file: alone })
				.mounts.filter((m) => m.path.startsWith(at("alone")))
				.map((m) => m.path),
		).toEqual([alone]);
	});
	test("[JAL-1] what an owner names must be there, but where he says that it need not", () => {
		const file = write("extra/file");
		expect(kindAt(file, { read: [file] })).toBe("ro");
		expect(kindAt(file, { write: [file] })).toBe("rw");
		expect(layOut(inmate({ read: [at("nowhere")] }), furniture, stateDir)).toMatchObject({ ok: false, error: { code: "start_failed" } });
		expect(grounds({ read: [`?${at("nowhere")}`, "?~/nowhere-either"] }).mounts.some((m) => m.path.includes("nowhere"))).toBe(false);
	});
	test("[JAL-1] a link that a session leaves in its home is not followed when its next process is started", () => {
		write("owner/.config/x/settings", "the owner's");
		mkdirSync(at("elsewhere"), { recursive: true });
		vi.stubEnv("HOME", at("owner"));
		try {
			symlinkSync(at("elsewhere"), join(furniture.home, ".config"));
			const mounted = { kind: "ro", source: at("owner/.config/x/settings"), path: join(JAIL_HOME, ".config/x/settings") };
			expect(grounds({ read: ["~/.config/x/settings"] }).mounts).toContainEqual(mounted);
			symlinkSync(at("elsewhere/made"), join(furniture.home, ".config/x/settings"));
			expect(grounds({ read: ["~/.config/x/settings"] }).mounts).toContainEqual(mounted);
		} finally {
			vi.unstubAllEnvs();
		}
		expect(readdirSync(at("elsewhere"))).toEqual([]);
		expect(readdirSync(join(furniture.home, ".config"))).toEqual(["x"]);
		expect(readdirSync(join(furniture.home, ".config/x"))).toEqual([]);
	});
	test("[JAL-1] nothing of the environment reaches the jail's maker's loader, or names places that are not there", () => {
		const pem = write("ca.pem");
		const { env, mounts } = grounds({
			env: { PATH: "/usr/bin", LD_PRELOAD: "/x.so", XDG_CONFIG_HOME: "/nowhere", NODE_EXTRA_CA_CERTS: pem, KEY: "v" },
		});
		expect(Object.keys(env).toSorted()).toEqual(["HOME", "KEY", "LOGNAME", "NODE_EXTRA_CA_CERTS", "PATH", "TMPDIR", "USER"]);
		expect(mounts).toContainEqual({ kind: "ro", source: pem, path: pem });
	});
});

/** What the kernel would answer: the program, run on one call. */
function verdictOf(program: Uint8Array, audit: number, nr: number, args: number[] = []): number {
	const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
	const word = (k: number): number => (k === 0 ? nr : k === 4 ? audit : (args[(k - 16) / 8] ?? 0)) >>> 0;
	let accumulator = 0;
	for (let at = 0; at < program.length / 8; at++) {
		const [code, k] = [view.getUint16(at * 8, true), view.getUint32(at * 8 + 4, true)];
		const jump = (is: boolean): void => {
			at += view.getUint8(at * 8 + (is ? 2 : 3));
		};
		if (code === 0x20) accumulator = word(k);
		else if (code === 0x15) jump(accumulator === k);
		else if (code === 0x35) jump(accumulator >= k);
		else if (code === 0x45) jump((accumulator & k) !== 0);
		else if (code === 0x06) return k;
		else throw new Error(`instruction ${code}`);
	}
	throw new Error("the program has no end");
}

describe("the filter of system calls", () => {
	const ALLOW = 0x7fff0000;
	const [EPERM, ENOSYS] = [0x50001, 0x50026];
	const X64 = 0xc000003e;
	const x64 = seccompProgram("x64") ?? new Uint8Array();
	test.each<[string, number, number[], number]>([
		["read", 0, [], ALLOW],
		["fork", 56, [17], ALLOW],
		["a thread", 56, [0x3d0f00], ALLOW],
		["clone with a user namespace", 56, [0x10000011], EPERM],
		["clone with a mount namespace", 56, [0x20011], EPERM],
		["clone3", 435, [], ENOSYS],
		["openat2", 437, [], ENOSYS],
		["unshare", 272, [], EPERM],
		["ptrace", 101, [], EPERM],
		["keyctl", 250, [], EPERM],
		["io_uring_setup", 425, [], EPERM],
		["a terminal's size", 16, [0, 0x5413], ALLOW],
		["typing into a terminal", 16, [0, 0x5412], EPERM],
		["chmod 755", 90, [0, 0o755], ALLOW],
		["chmod 4755", 90, [0, 0o4755], EPERM],
		["fchmodat 2755", 268, [0, 0, 0o2755], EPERM],
		["open to read, with whatever lies in the mode", 2, [0, 0, 0o6777], ALLOW],
		["open to make a file", 2, [0, 0o101, 0o644], ALLOW],
		["open to make a file that lends", 2, [0, 0o101, 0o4755], EPERM],
		["openat with a nameless file that lends", 257, [0, 0, 0o20200002, 0o4755], EPERM],
		["a call of x32", 0x40000000 + 165, [], ENOSYS],
	])("[JAL-1] %s", (_, nr, args, verdict) => {
		expect(verdictOf(x64, X64, nr, args)).toBe(verdict);
	});
	test("[JAL-1] another machine's calls are none, and a machine without numbers has no filter", () => {
		expect(verdictOf(x64, 0x40000003, 0)).toBe(ENOSYS);
		expect(verdictOf(seccompProgram("arm64") ?? new Uint8Array(), 0xc00000b7, 97)).toBe(EPERM);
		expect(verdictOf(seccompProgram("arm64") ?? new Uint8Array(), 0xc00000b7, 63)).toBe(ALLOW);
		expect(seccompProgram("riscv64")).toBeNull();
	});
});

describe("where there is no jail", () => {
	const machine: Machine = { apparmorRestricts: false, maxUserNamespaces: 10_000, unprivilegedCloneOff: false, inContainer: false };
	test.each<[string, Partial<Machine>, string, string]>([
		["bwrap: not found", {}, "not installed", "apt install bubblewrap"],
		["bwrap: setting up uid map: Permission denied", { apparmorRestricts: true }, "Ubuntu", "apparmor_parser -r"],
		["bwrap: loopback: Failed RTM_NEWADDR: Operation not permitted", { apparmorRestricts: true }, "Ubuntu", "apparmor_parser -r"],
		[
			"bwrap: Creating new namespace failed: nesting depth or /proc/sys/user/max_*_namespaces exceeded (ENOSPC)",
			{ maxUserNamespaces: 0 },
			"switched off",
			"max_user_namespaces=15000",
		],
		["bwrap: No permissions to create new namespace", { unprivilegedCloneOff: true }, "root only", "unprivileged_userns_clone=1"],
		["bwrap: Creating new namespace failed: Operation not permitted", { inContainer: true }, "container", "--security-opt"],
		["bwrap: something new", {}, 'bwrap said: "bwrap: something new"', "mend what it says"],
	])("[JAL-5] %s has a cause and a remedy", (said, more, cause, remedy) => {
		const told = diagnose(said, { ...machine, ...more });
		expect(told.found).toContain(cause);
		expect(told.remedy).toContain(remedy);
	});
	test("[JAL-5] a machine that cannot jail hosts nothing, but where its owner says so", () => {
		const findings = {
			layers: [{ layer: "jail", state: "missing", found: "the cause", remedy: "the remedy" }],
			confinement: { jail: "none" },
		} as unknown as Findings;
		const asked = (mode: "auto" | "require" | "off") => refusal(findings, { jail: { mode, read: [], write: [], network: "proxy" } });
		expect(asked("off")).toBeNull();
		for (const mode of ["auto", "require"] as const) {
			expect(asked(mode)).toContain("the cause");
			expect(asked(mode)).toContain("the remedy");
		}
	});
});

test("[JAL-7] a home goes with its session, and one that is not heard of again is removed in time", () => {
	const [state, day] = [at("kept"), 24 * 3_600_000];
	for (const name of ["ses_over", "ses_hosted", "ses_old", "ses_new"]) write(`kept/homes/${name}/home/x`);
	removeHome(state, "ses_over");
	const now = Date.now() + 31 * day;
	utimesSync(at("kept/homes/ses_new"), now / 1000, (now - 29 * day) / 1000);
	sweepHomes(state, new Set(["ses_hosted"]), now);
	expect(readdirSync(at("kept/homes")).toSorted()).toEqual(["ses_hosted", "ses_new"]);
});

describe("limits", () => {
	test("[JAL-6] a session's cgroup has its limits, and the daemon makes room for it", () => {
		const base = at("cgroup/own");
		for (const name of ["cgroup.controllers", "cgroup.subtree_control", "hotplex-daemon/cgroup.procs"]) write(`cgroup/own/${name}`);
		write("cgroup/own/cgroup.controllers", "cpu memory pids\n");
		write("cgroup/own/cgroup.procs", "17\n");
		write("self", "0::/own\n");
		write("mountinfo", `30 29 0:26 / ${at("cgroup")} rw - cgroup2 cgroup2 rw\n`);
		const { base: found } = findCgroup(at("self"), at("mountinfo"));
		expect(found).toEqual({ dir: base, controllers: ["memory", "pids"], canKill: false });
		if (found === null) return;
		const dir = openCgroup(found, "ses_1", { maxMemory: 2 ** 30, maxProcesses: 100 });
		expect([readFileSync(join(dir, "memory.max"), "utf8"), readFileSync(join(dir, "pids.max"), "utf8")]).toEqual(["1073741824", "100"]);
		expect(readFileSync(join(base, "hotplex-daemon/cgroup.procs"), "utf8")).toBe("17");
		expect(readFileSync(join(base, "cgroup.subtree_control"), "utf8")).toBe("+pids");
		for (const name of ["memory.max", "memory.oom.group", "pids.max"]) rmSync(join(dir, name));
		closeCgroup(dir);
		expect(existsSync(dir)).toBe(false);
	});
	test("[JAL-6] where cgroups are not the runner's, that is told", () => {
		expect(findCgroup(at("nowhere"), at("mountinfo"))).toEqual({ base: null, why: "cgroup v2 is not delegated to this user" });
		write("v1", "4:memory:/x\n");
		expect(findCgroup(at("v1"), at("mountinfo"))).toEqual({ base: null, why: "no cgroup v2 here" });
	});
});
