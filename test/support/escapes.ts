import { execFileSync, spawn, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { dirname, join } from "node:path";
import type { Jailer } from "./jailed.ts";

/**
 * What lies outside a jail for an inmate to reach: each place holds the same token, which nothing inside knows, so that one look at what an
 * attempt printed tells whether it got there.
 */
export class Outside {
	readonly token = `token-${randomUUID()}`;
	readonly dir: string;
	readonly workDir: string;
	readonly jailer: Jailer;
	readonly secret: string;
	readonly socket: string;
	readonly abstract = `hotplex-escape-${randomUUID()}`;
	readonly tmpFile: string;
	port = 0;
	pid = 0;
	readonly #servers: Server[] = [];
	#neighbour: ReturnType<typeof spawn> | null = null;

	constructor(dir: string, jailer: Jailer, owner: number) {
		// What is tried here is meant to harm, and would.
		if (jailer.confinement.jail === "none") throw new Error(`no jail, no attempts: ${jailer.confinement.why}`);
		this.dir = dir;
		this.jailer = jailer;
		this.workDir = join(dir, "work");
		this.secret = join(dir, "secret");
		this.socket = join(dir, "daemon.sock");
		this.tmpFile = join("/tmp", `hotplex-escape-${randomUUID()}`);
		for (const made of [this.workDir, join(jailer.stateDir, "homes", "ses_other", "home"), join(jailer.stateDir, "sessions")])
			mkdirSync(made, { recursive: true });
		// As readable as files get: it is the jail that is tried, not their modes.
		for (const path of [
			this.secret,
			this.tmpFile,
			join(jailer.stateDir, "identity.json"),
			join(jailer.stateDir, "homes", "ses_other", "home", "x"),
		]) {
			writeFileSync(path, this.token);
			chmodSync(path, 0o666);
		}
		execFileSync("git", ["init", "-q", this.workDir], { env: { PATH: process.env.PATH, HOME: dir } });
		rmSync(join(this.workDir, ".git/hooks"), { recursive: true, force: true });
		for (const name of [".claude", ".vscode"]) mkdirSync(join(this.workDir, name));
		for (const name of [".mcp.json", ".envrc", ".claude/settings.json"]) writeFileSync(join(this.workDir, name), "{}");
		symlinkSync(this.secret, join(this.workDir, "old-link"));
		execFileSync("chown", ["-Rh", `${owner}:${owner}`, this.workDir]);
		chmodSync(dir, 0o755);
	}

	async open(): Promise<void> {
		const greet = () =>
			createServer((socket) => {
				socket.on("error", () => {});
				socket.end(`HTTP/1.0 200 OK\r\n\r\n${this.token}\n`);
			});
		const listen = async (to: object): Promise<Server> => {
			const server = greet();
			this.#servers.push(server);
			await new Promise<void>((resolve) => server.listen(to, resolve));
			return server;
		};
		await listen({ path: this.socket });
		chmodSync(this.socket, 0o777);
		await listen({ path: `\0${this.abstract}` });
		const address = (await listen({ host: "0.0.0.0", port: 0 })).address();
		this.port = typeof address === "object" && address !== null ? address.port : 0;
		this.#neighbour = spawn("sleep", ["600"], { env: { TOKEN: this.token }, stdio: "ignore", detached: true });
		this.pid = this.#neighbour.pid ?? 0;
	}

	close(): void {
		for (const server of this.#servers) server.close();
		this.#neighbour?.kill("SIGKILL");
		rmSync(this.tmpFile, { force: true });
	}

	/** What an attempt changed out here that it must not, in words; null if nothing. */
	harm(): string | null {
		const { workDir } = this;
		if (!existsSync(`/proc/${this.pid}/environ`) || readFileSync(`/proc/${this.pid}/stat`, "utf8").includes(") Z "))
			return "a process outside was ended";
		for (const path of [this.secret, this.tmpFile, join(this.jailer.stateDir, "identity.json")])
			if (readFileSync(path, "utf8") !== this.token) return `${path} was written`;
		const hooks = join(workDir, ".git/hooks");
		if (existsSync(hooks) && readdirSync(hooks).length > 0) return "a git hook was left";
		if (/hooksPath|fsmonitor|evil/.test(readFileSync(join(workDir, ".git/config"), "utf8")))
			return "the repository's configuration was written";
		for (const name of [".mcp.json", ".envrc", ".claude/settings.json"])
			if (readFileSync(join(workDir, name), "utf8") !== "{}") return `${name} was written`;
		if (readdirSync(join(workDir, ".vscode")).length > 0 || readdirSync(join(workDir, ".claude")).length > 1)
			return "an editor's settings were left";
		for (const name of readdirSync(workDir)) {
			const found = statSync(join(workDir, name), { throwIfNoEntry: false });
			if (found !== undefined && (found.mode & 0o6000) !== 0) return `${name} lends its owner's rights`;
			if (found?.isBlockDevice() || found?.isCharacterDevice()) return `${name} is a device`;
		}
		for (const path of [
			"/usr/local/bin/hotplex-escape",
			"/etc/hotplex-escape",
			"/hotplex-escape",
			join(dirname(this.dir), "hotplex-escape"),
		])
			if (existsSync(path)) return `${path} was made`;
		return null;
	}

	/** Makes it without a jail; whether it reads the token. */
	readsOutside({ script }: Escape): boolean {
		const { stdout, stderr } = spawnSync("bash", ["-c", script(this)], { cwd: this.workDir, encoding: "utf8", timeout: 10_000 });
		return (stdout + stderr).includes(this.token);
	}

	/** Makes the attempt; null if it came to nothing, else what it reached. */
	async attempt({ name, script, env, reads }: Escape): Promise<string | null> {
		if (this.jailer.confinement.jail !== "namespaces" && reads !== true) throw new Error(`${name}: not in the weaker jail`);
		const run = await this.jailer.run(this.workDir, ["bash", "-c", `echo began\n${script(this)}`], { env: env?.(this) ?? {} });
		if (!run.stdout.startsWith("began\n")) throw new Error(`the jail was not made: ${run.stderr}`);
		const said = run.stdout + run.stderr;
		if (said.includes(this.token)) return `it read the token: ${said.slice(0, 300)}`;
		if (/^ESCAPED/m.test(run.stdout)) return said.slice(0, 300);
		return this.harm();
	}
}

export interface Escape {
	name: string;
	/** Bash, run in the work directory. Says ESCAPED on a line of its own where the token is not what it is after. */
	script: (outside: Outside) => string;
	/** Reads the token when there is no jail, which shows that the attempt is one. */
	reads?: true;
	/** What the owner passes to the CLI of the attempt, if that is what is tried. */
	env?: (outside: Outside) => Record<string, string>;
}

const perl = (code: string): string => `perl -e '${code}'`;
/** Writes what is there already: were it possible, the machine would be as before. */
const writes = (file: string): string => `v=$(cat ${file}) && echo "$v" > ${file} && echo ESCAPED ${file}`;
/** Says ESCAPED if a system call does not fail. */
const call = (nr: string, ...args: string[]): string =>
	perl(`$r = syscall(${[nr, ...args].join(", ")}); print "ESCAPED call\\n" if $r != -1`);
const X64 = process.arch === "x64";
const ownAddress = (): string =>
	Object.values(networkInterfaces())
		.flat()
		.find((a) => a?.family === "IPv4" && !a.internal)?.address ?? "127.0.0.2";
const connect = (host: string, port: number | string): string =>
	`(exec 3<>/dev/tcp/${host}/${port} && echo ESCAPED connected && printf "GET / HTTP/1.0\\r\\n\\r\\n" >&3 && timeout 1 cat <&3) 2>&1`;
const unix = (address: string): string =>
	perl(`use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un(${address})) or die "no: $!"; print "ESCAPED\\n", <S>`);

/** Ways out of a jail, each of which must come to nothing. */
export const ESCAPES: Escape[] = [
	{ name: "a file outside by its path", reads: true, script: (o) => `cat ${o.secret}` },
	{ name: "a file outside by ..", reads: true, script: () => "cat ../secret ../../*/secret" },
	{ name: "an old symbolic link", reads: true, script: () => "cat old-link" },
	{ name: "a new symbolic link", reads: true, script: (o) => `ln -sf ${o.secret} new-link; cat new-link` },
	{ name: "writing through an old symbolic link", script: () => "echo x > old-link" },
	{ name: "a new hard link", reads: true, script: (o) => `ln ${o.secret} hard; cat hard` },
	{ name: "a hard link to what is mounted", script: () => "ln /etc/passwd hard-passwd && echo ESCAPED" },
	{ name: "/proc/1/root", script: (o) => `cat /proc/1/root${o.secret}` },
	{
		name: "every /proc/PID/root and cwd",
		reads: true,
		script: (o) => `cat /proc/[0-9]*/root${o.secret} /proc/[0-9]*/cwd/../secret /proc/[0-9]*/task/*/root${o.secret}`,
	},
	{ name: "/proc/self/cwd/..", reads: true, script: () => "cat /proc/self/cwd/../secret" },
	{
		name: "descriptors that were left open",
		script: (o) =>
			`for d in /proc/[0-9]*/fd/*; do cat $d/../secret; done; for i in 3 4 5 6 7 8 9; do cat /dev/fd/$i${o.secret}; cat <&$i && echo ESCAPED $i; done`,
	},
	{
		name: "the environment of the jail's maker",
		script: () => "tr '\\0' '\\n' < /proc/1/environ | grep -v -E '^(PATH|HOME|LANG|USER|LOGNAME|TMPDIR|PWD)=' | sed 's/^/ESCAPED /'",
	},
	{ name: "the environment of any process", reads: true, script: () => "cat /proc/[0-9]*/environ" },
	{ name: "the environment of a host process by its number", reads: true, script: (o) => `cat /proc/${o.pid}/environ` },
	{
		name: "seeing a host process",
		script: (o) => `test -e /proc/${o.pid}/cmdline && grep -a sleep /proc/${o.pid}/cmdline && echo ESCAPED`,
	},
	{ name: "a signal to a host process", script: (o) => `kill -9 ${o.pid}` },
	{ name: "a signal to everybody", script: () => "kill -9 -1" },
	{ name: "a signal to the jail's first process", script: () => "kill -9 1; sleep 0.05" },
	{ name: "ptrace", script: (o) => (X64 ? call("101", "16", String(o.pid), "0", "0") : call("117", "16", String(o.pid), "0", "0")) },
	{ name: "reading a process's memory", script: () => "cat /proc/1/mem && echo ESCAPED" },
	{ name: "a user namespace", script: (o) => `unshare -Ur sh -c 'echo ESCAPED; cat ${o.secret}'` },
	{
		name: "a user namespace by clone",
		script: () => (X64 ? call("56", "0x10000000 | 17", "0", "0", "0", "0") : call("220", "0x10000000 | 17", "0", "0", "0", "0")),
	},
	{
		name: "a user namespace by clone3",
		script: () =>
			perl('$a = pack("Q11", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0); $r = syscall(435, $a, 88); print "ESCAPED\\n" if $r != -1'),
	},
	{ name: "a mount namespace", script: () => "unshare -m true && echo ESCAPED" },
	{ name: "a jail in the jail", script: () => "bwrap --unshare-user --bind / / true && echo ESCAPED" },
	{ name: "entering the first process's namespaces", script: () => "nsenter -t 1 -m -p true && echo ESCAPED" },
	{ name: "entering a host process's namespaces", script: (o) => `nsenter -t ${o.pid} -a cat ${o.secret} && echo ESCAPED` },
	{ name: "a bind mount", script: () => "mount --bind / /tmp && echo ESCAPED; mount -t tmpfs x /mnt && echo ESCAPED" },
	{
		name: "a mount by the new calls",
		script: () =>
			perl(
				'$t = "tmpfs"; $r = syscall(430, $t, 0); print "ESCAPED\\n" if $r != -1; $d = "/"; $r = syscall(428, -100, $d, 1); print "ESCAPED\\n" if $r != -1',
			),
	},
	{
		name: "remounting /usr writable",
		script: () => "mount -o remount,rw,bind /usr && echo ESCAPED; touch /usr/local/bin/hotplex-escape && echo ESCAPED",
	},
	{
		name: "unmounting what protects",
		script: () => "umount -l .git/hooks .git/config .git /proc/sys && echo ESCAPED; echo x > .git/hooks/pre-commit",
	},
	{
		name: "chroot and ..",
		script: (o) => `mkdir -p d; ${perl('chroot "d"; chdir ".." for 1..9; chroot "."; print `cat $ARGV[0]`')} ${o.secret}`,
	},
	{ name: "pivot_root", script: () => "mkdir -p d/old; pivot_root d d/old && echo ESCAPED" },
	{
		name: "a block device of one's own",
		script: () => "for m in '254 0' '253 0' '8 0' '259 0'; do mknod disk b $m && head -c 512 disk >/dev/null && echo ESCAPED; done",
	},
	{ name: "a character device of one's own", script: () => "mknod mem c 1 1 && head -c 1 mem && echo ESCAPED" },
	{
		name: "/dev/mem, disks, kvm",
		script: () =>
			"for d in /dev/mem /dev/kmem /dev/port /dev/vda /dev/sda /dev/nvme0n1 /dev/kvm /dev/fuse /dev/net/tun; do test -e $d && echo ESCAPED $d; done",
	},
	{ name: "the kernel's core_pattern", script: () => writes("/proc/sys/kernel/core_pattern") },
	{
		name: "other settings of the kernel",
		script: () =>
			["kernel/modprobe", "net/ipv4/ip_forward", "vm/overcommit_memory", "user/max_user_namespaces", "kernel/hostname"]
				.map((name) => writes(`/proc/sys/${name}`))
				.join("; "),
	},
	{ name: "the magic request key", script: () => "echo h > /proc/sysrq-trigger && echo ESCAPED" },
	{
		name: "/proc/kcore, keys, pages",
		script: () => "for f in kcore keys kpagecount kmsg; do timeout 1 head -c 1 /proc/$f 2>/dev/null | grep -q . && echo ESCAPED $f; done",
	},
	{
		name: "/sys and cgroups",
		script: () =>
			"ls /sys/fs/cgroup /sys/kernel 2>/dev/null | grep -q . && echo ESCAPED; mkdir /sys/fs/cgroup/x && rmdir /sys/fs/cgroup/x && echo ESCAPED",
	},
	{ name: "a unix socket by its path", reads: true, script: (o) => unix(`"${o.socket}"`) },
	{
		name: "the container daemon's socket",
		script: () => "ls /var/run/docker.sock /run/docker.sock /run/containerd /run/user /run/dbus 2>/dev/null | grep -q . && echo ESCAPED",
	},
	{ name: "an abstract socket", reads: true, script: (o) => unix(`"\\0${o.abstract}"`) },
	{ name: "a port of the host's loopback", reads: true, script: (o) => connect("127.0.0.1", o.port) },
	{ name: "a port by the host's own address", reads: true, script: (o) => connect(ownAddress(), o.port) },
	{ name: "the metadata address", script: () => connect("169.254.169.254", 80) },
	{ name: "the internet by address", script: () => connect("1.1.1.1", 443) },
	{ name: "a name by DNS", script: () => "getent hosts example.com && echo ESCAPED" },
	{ name: "a packet to a name server", script: () => "(echo x > /dev/udp/8.8.8.8/53) 2>&1 && echo ESCAPED" },
	{
		name: "a raw socket",
		script: () =>
			perl("use Socket; print qq(ESCAPED\\n) if socket(S, AF_INET, SOCK_RAW, 1); print qq(ESCAPED\\n) if socket(P, 17, SOCK_RAW, 0x300)"),
	},
	{ name: "the runner's key", reads: true, script: (o) => `cat ${o.jailer.stateDir}/identity.json; cat ${o.jailer.stateDir}/*` },
	{ name: "writing the runner's key", script: (o) => `echo x > ${o.jailer.stateDir}/identity.json` },
	{ name: "another session's home", reads: true, script: (o) => `cat ${o.jailer.stateDir}/homes/*/home/x; cat ${"/home"}/*/x` },
	{ name: "journals", script: (o) => `ls ${o.jailer.stateDir}/sessions && echo ESCAPED` },
	{ name: "others' /tmp", reads: true, script: (o) => `cat ${o.tmpFile}; echo x > ${o.tmpFile}` },
	{
		name: "the user's keys and passwords",
		script: () => "cat /root/.ssh/* /home/*/.ssh/* /etc/shadow /etc/ssh/*key /etc/ssl/private/* 2>/dev/null | grep -q . && echo ESCAPED",
	},
	{ name: "a git hook", script: () => "echo x > .git/hooks/pre-commit" },
	{ name: "the repository's configuration", script: () => "git config core.hooksPath evil; echo evil >> .git/config" },
	{
		name: "the repository's directory put aside",
		script: () => "mv .git .git-old && mkdir -p .git/hooks && echo x > .git/hooks/pre-commit && echo evil > .git/config",
	},
	{ name: "hooks put aside", script: () => "mv .git/hooks .git/h; rm -rf .git/hooks; mkdir .git/hooks; echo x > .git/hooks/post-checkout" },
	{
		name: "settings of editors and agents",
		script: () =>
			"for f in .claude/settings.json .mcp.json .envrc .vscode/tasks.json; do echo evil > $f; rm -f $f; mv $f x; done; ln -sf /tmp .vscode/x",
	},
	{
		name: "the work directory itself moved",
		script: (o) =>
			`mv ${o.workDir} /tmp/w && echo ESCAPED; rmdir ${o.workDir}; touch ../hotplex-escape && test -e ${o.dir}/hotplex-escape && true`,
	},
	{
		name: "writing system files",
		script: () =>
			"echo x > /etc/hotplex-escape && echo ESCAPED; echo x > /hotplex-escape && echo ESCAPED; echo x >> /etc/passwd && echo ESCAPED",
	},
	{
		name: "a program that lends root's rights",
		script: () => "cp /bin/bash lent; chmod 4755 lent && echo ESCAPED; chmod 2755 lent && echo ESCAPED; ls -l lent",
	},
	{
		name: "the same, made at once",
		script: () =>
			perl('use Fcntl; sysopen(F, "lent2", O_CREAT|O_WRONLY, 06755); close F; mknod; ') +
			(X64 ? `; ${call("85", '"lent3"', "04755")}` : ""),
	},
	{
		name: "programs of the system that lend root's rights",
		script: () => "su -c true && echo ESCAPED; sudo -n true && echo ESCAPED; passwd -S root && echo ESCAPED",
	},
	{
		name: "root's powers",
		script: () =>
			"grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status | grep -v 0000000000000000 | sed 's/^/ESCAPED /'; grep -q 'NoNewPrivs:.1' /proc/self/status || echo ESCAPED",
	},
	{
		name: "becoming another user",
		script: () =>
			`${perl("$> = 0; $< = 0; print qq(ESCAPED\\n) if syscall(105, 0) == 0 && 0; $( = 0;")}; setpriv --reuid 0 true && echo ESCAPED`,
	},
	{
		name: "keyrings",
		script: () =>
			X64
				? `${call("250", "0", "-3", "1")}; ${perl('$t = "user"; $n = "x"; $r = syscall(248, $t, $n, $n, 1, -3); print "ESCAPED\\n" if $r != -1')}`
				: call("219", "0", "-3", "1"),
	},
	{
		name: "bpf, io_uring, userfaultfd, perf",
		script: () =>
			`${perl(`$p = "\\0" x 128; for (425, 427, ${X64 ? "321, 323, 298" : "280, 282, 241"}) { $r = syscall($_, 1, $p, 120, 0, 0); print "ESCAPED $_\\n" if $r != -1 }`)}`,
	},
	{
		name: "files by their handles",
		script: () =>
			perl(`$h = pack("Ii", 8, 1) . pack("II", 2, 0); $r = syscall(${X64 ? "304" : "265"}, 0, $h, 0); print "ESCAPED\\n" if $r != -1`),
	},
	{
		name: "typing into a terminal",
		script: () =>
			perl(
				'$c = "x"; for (0, 1, 2) { $r = ioctl($_ == 0 ? STDIN : $_ == 1 ? STDOUT : STDERR, 0x5412, $c); print "ESCAPED\\n" if $r } open(T, "+<", "/dev/tty") and print "ESCAPED tty\\n"',
			),
	},
	{
		name: "typing into a terminal of one's own",
		script: () => perl('open(T, "+<", "/dev/ptmx") or exit; $c = "x"; $r = ioctl(T, 0x5412, $c); print "ESCAPED\\n" if $r'),
	},
	{
		name: "a library for the jail's maker",
		env: (o) => ({ LD_PRELOAD: join(o.dir, "nowhere.so"), LD_LIBRARY_PATH: o.dir }),
		script: () => "env | grep ^LD_ | sed 's/^/ESCAPED /'",
	},
	{
		// What it asks for, that Ctrl-Alt-Del goes to init, harms nobody.
		name: "reboot and swap",
		script: () =>
			X64
				? `${call("169", "0xfee1dead", "672274793", "0", "0")}; ${call("168", '"/x"')}`
				: call("142", "0xfee1dead", "672274793", "0", "0"),
	},
	{ name: "modules", script: () => (X64 ? call("313", "0", '""', "0") : call("273", "0", '""', "0")) },
	{
		name: "scheduled jobs",
		script: () =>
			"(echo '* * * * * true' | crontab -) 2>/dev/null && echo ESCAPED; (echo true | at now) 2>/dev/null && echo ESCAPED; ls /var/spool 2>/dev/null | grep -q . && echo ESCAPED",
	},
	{ name: "the machine's name", script: () => "hostname escaped && echo ESCAPED; test $(hostname) = hotplex || echo ESCAPED" },
];
