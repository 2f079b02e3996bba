/**
 * The filter of system calls that a jailed process runs under, as the kernel's classic BPF. What it refuses is of no use to a coding CLI and
 * of much to one who wants out: new namespaces and mounts, other processes' memory, the kernel's keyrings, and the large young interfaces in
 * which escapes were found. Where a runner is root it also stands for what `--disable-userns` does elsewhere.
 */

interface Machine {
	/** AUDIT_ARCH_*: numbers of another machine's calls mean other calls. */
	audit: number;
	/** Calls from here on are another numbering of the same kernel (x32). */
	foreignFrom: number | null;
	refused: readonly number[];
	clone: number;
	/** Calls whose flags lie in memory, where a filter cannot look: not there, so that the C library falls back to those above. */
	opaque: readonly number[];
	ioctl: number;
	socket: number;
	/** Calls that make a file's mode, and in which argument it is. */
	modes: readonly (readonly [nr: number, argument: number])[];
	/** Those which open files and make some: where their flags and the mode are. */
	opens: readonly (readonly [nr: number, flags: number, mode: number])[];
}

/** Calls with one number everywhere: io_uring, the new mount calls. */
const YOUNG = [425, 426, 427, 428, 429, 430, 431, 432, 433, 442];

const MACHINES: Record<string, Machine> = {
	x64: {
		audit: 0xc000003e,
		foreignFrom: 0x40000000,
		// ptrace, pivot_root, acct, mount, umount2, swapon, swapoff, reboot, init_module, delete_module, quotactl, kexec_load, add_key, request_key,
		// keyctl, unshare, perf_event_open, open_by_handle_at, setns, process_vm_writev, finit_module, kexec_file_load, bpf, userfaultfd
		refused: [
			101,
			155,
			163,
			165,
			166,
			167,
			168,
			169,
			175,
			176,
			179,
			246,
			248,
			249,
			250,
			272,
			298,
			304,
			308,
			311,
			313,
			320,
			321,
			323,
			...YOUNG,
		],
		clone: 56,
		// clone3, openat2
		opaque: [435, 437],
		ioctl: 16,
		socket: 41,
		// chmod, fchmod, fchmodat, fchmodat2, creat, mknod, mknodat
		modes: [
			[90, 1],
			[91, 1],
			[268, 2],
			[452, 2],
			[85, 1],
			[133, 1],
			[259, 2],
		],
		// open, openat
		opens: [
			[2, 1, 2],
			[257, 2, 3],
		],
	},
	arm64: {
		audit: 0xc00000b7,
		foreignFrom: null,
		// umount2, mount, pivot_root, quotactl, acct, unshare, kexec_load, init_module, delete_module, ptrace, reboot, add_key, request_key, keyctl,
		// swapon, swapoff, perf_event_open, open_by_handle_at, setns, process_vm_writev, finit_module, bpf, userfaultfd, kexec_file_load
		refused: [39, 40, 41, 60, 89, 97, 104, 105, 106, 117, 142, 217, 218, 219, 224, 225, 241, 265, 268, 271, 273, 280, 282, 294, ...YOUNG],
		clone: 220,
		opaque: [435, 437],
		ioctl: 29,
		socket: 198,
		// fchmod, fchmodat, fchmodat2, mknodat
		modes: [
			[52, 1],
			[53, 2],
			[452, 2],
			[33, 2],
		],
		// openat
		opens: [[56, 2, 3]],
	},
};

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. */
const NEW_NAMESPACES = 0x7e020000;
/** Types into a terminal as if it were its person. */
const TIOCSTI = 0x5412;
/** The same by way of a console's selection. */
const TIOCLINUX = 0x541c;

/** Set user id, set group id: such a file in a work directory would lend its owner's rights to whoever runs it outside. */
const LENDING = 0o6000;
/** O_CREAT and O_TMPFILE: only with them is there a mode to look at. */
const MAKES_FILE = 0o100 | 0o20000000;

const AF_UNIX = 1;

const EPERM = 1;
const ENOSYS = 38;
const ALLOW = 0x7fff0000;
const fail = (errno: number): number => 0x00050000 | errno;

// Offsets in struct seccomp_data, of the lower halves of the arguments.
const NR = 0;
const ARCH = 4;
const argument = (n: number): number => 16 + 8 * n;

/** One instruction: code, how far to jump if true and if false, the operand. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, k: number];
const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const equals = (k: number, ifTrue: number, ifFalse: number): Instruction => [0x15, ifTrue, ifFalse, k];
const atLeast = (k: number, ifTrue: number, ifFalse: number): Instruction => [0x35, ifTrue, ifFalse, k];
const hasAnyOf = (k: number, ifTrue: number, ifFalse: number): Instruction => [0x45, ifTrue, ifFalse, k];
const end = (verdict: number): Instruction => [0x06, 0, 0, verdict];

/** The program as `struct sock_filter[]`, ready for bwrap's --seccomp; null for a machine whose numbers are not known here. */
export function seccompProgram(arch: string, { refusesUnixSockets = false } = {}): Uint8Array | null {
	const machine = MACHINES[arch];
	if (machine === undefined) return null;
	const { audit, foreignFrom, refused, clone, opaque, ioctl, socket, modes, opens } = machine;
	const program: Instruction[] = [
		load(ARCH),
		equals(audit, 1, 0),
		end(fail(ENOSYS)),
		load(NR),
		...(foreignFrom === null ? [] : [atLeast(foreignFrom, 0, 1), end(fail(ENOSYS))]),
		...opaque.flatMap((nr) => [equals(nr, 0, 1), end(fail(ENOSYS))]),
		equals(clone, 0, 3),
		load(argument(0)),
		hasAnyOf(NEW_NAMESPACES, 0, 1),
		end(fail(EPERM)),
		load(NR),
		equals(ioctl, 0, 5),
		load(argument(1)),
		equals(TIOCSTI, 1, 0),
		equals(TIOCLINUX, 0, 1),
		end(fail(EPERM)),
		end(ALLOW),
		// Where nothing hides them from who may not connect to them.
		...(refusesUnixSockets ? [equals(socket, 0, 4), load(argument(0)), equals(AF_UNIX, 0, 1), end(fail(EPERM)), end(ALLOW)] : []),
		...modes.flatMap(([nr, mode]) => [equals(nr, 0, 4), load(argument(mode)), hasAnyOf(LENDING, 0, 1), end(fail(EPERM)), end(ALLOW)]),
		...opens.flatMap(([nr, flags, mode]) => [
			equals(nr, 0, 6),
			load(argument(flags)),
			hasAnyOf(MAKES_FILE, 0, 3),
			load(argument(mode)),
			hasAnyOf(LENDING, 0, 1),
			end(fail(EPERM)),
			end(ALLOW),
		]),
		...refused.flatMap((nr) => [equals(nr, 0, 1), end(fail(EPERM))]),
		end(ALLOW),
	];
	const bytes = new Uint8Array(program.length * 8);
	const view = new DataView(bytes.buffer);
	for (const [i, [code, ifTrue, ifFalse, k]] of program.entries()) {
		view.setUint16(i * 8, code, true);
		view.setUint8(i * 8 + 2, ifTrue);
		view.setUint8(i * 8 + 3, ifFalse);
		view.setUint32(i * 8 + 4, k, true);
	}
	return bytes;
}
