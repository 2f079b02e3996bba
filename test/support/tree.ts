import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/**
 * A tree that does what processes do to outlive their session: a quarter are plain children, a quarter in sessions of their own and forked
 * twice, a quarter of those deaf to signals too, a quarter with an empty environment; and one that forks and dies for ever. It says READY.
 */
export const treeOf = (processes: number): string[] => [
	"perl",
	"-e",
	`use POSIX qw(setsid); $| = 1; $SIG{CHLD} = "IGNORE";
	for my $i (0 .. ${processes - 2}) {
		next if fork;
		my $kind = $i % 4;
		if ($kind) { setsid(); exit 0 if fork }
		if ($kind == 2) { $SIG{$_} = "IGNORE" for qw(TERM HUP INT) }
		%ENV = () if $kind == 3;
		exec { "/bin/sleep" } "sleep", "600";
	}
	unless (fork) { setsid(); while (1) { select(undef, undef, undef, 0.003); exit 0 if fork } }
	print "READY\\n";
	sleep 60 while 1`,
];

/** The pid namespace of a process, as a name that is its own; null if it is gone. */
function namespaceOf(pid: number): string | null {
	try {
		return readlinkSync(`/proc/${pid}/ns/pid`);
	} catch {
		return null;
	}
}

const pids = (): number[] =>
	readdirSync("/proc")
		.filter((name) => /^\d+$/.test(name))
		.map(Number);

/** The living processes of the namespaces that the children of a jail's maker are in. */
export function inNamespacesBelow(maker: number): number[] {
	const own = namespaceOf(process.pid);
	const inits = pids().filter((pid) => statOf(pid)?.ppid === maker);
	const names = new Set(inits.map(namespaceOf).filter((name) => name !== null && name !== own));
	return pids().filter((pid) => names.has(namespaceOf(pid)));
}

function statOf(pid: number): { state: string; ppid: number } | null {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
		const [state = "", ppid = ""] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
		return { state, ppid: Number(ppid) };
	} catch {
		return null;
	}
}

/** What of these processes is left: alive, and dead but not reaped. */
export function leftOf(tree: readonly number[]): { survivors: number; zombies: number } {
	const states = tree.map((pid) => statOf(pid)?.state).filter((state) => state !== undefined);
	const zombies = states.filter((state) => state === "Z" || state === "X").length;
	return { survivors: states.length - zombies, zombies };
}
