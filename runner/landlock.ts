/**
 * The weaker jail, for machines on which no namespaces can be made: the kernel's Landlock, which bounds the files that a process and its children
 * reach, and where it is new enough whom they signal. No network is bounded, and nothing in a work directory can be read-only. Its calls are
 * made by Perl, which every Debian and Ubuntu has: Node cannot make any, and a program of our own would have to be built for each machine.
 */

/** What may be done beneath a path. */
export interface LandlockRule {
	access: "read" | "write";
	path: string;
}

/** How the rules are handed over: not on the command line, which everybody on the machine can read. */
export const landlockRules = (rules: LandlockRule[]): string => rules.map(({ access, path }) => `${access}\0${path}`).join("\0");

export const RULES_FD = 3;
export const FILTER_FD = 4;

/** Numbers of prctl; those of Landlock are the same everywhere. */
const PRCTL: Record<string, number> = { x64: 157, arm64: 167 };

/**
 * A Perl program that bounds itself by the rules at RULES_FD and the filter at FILTER_FD, and becomes the command. It dies with a word where it
 * cannot; null for a machine whose numbers are not known here. With the argument `--abi` alone it prints which Landlock there is.
 */
export function landlockProgram(arch: string): string | null {
	const prctl = PRCTL[arch];
	if (prctl === undefined) return null;
	return `
use strict;
my $abi = syscall(444, 0, 0, 1);
die "landlock: $!\\n" if $abi < 1;
if ("@ARGV" eq "--abi") { print "$abi\\n"; exit }
sub take { open(my $f, "<&=", $_[0]) or die "descriptor $_[0]: $!\\n"; local $/; my $all = <$f>; close $f; $all }
my %rules = ();
my @given = split /\\0/, take(${RULES_FD});
my $filter = take(${FILTER_FD});
# execute, read files, read directories
my $read = 1 | 4 | 8;
# All but devices of one's own: write, remove, make directories, files, sockets, pipes and links; move and truncate where they are known.
my $write = $read | 2 | 16 | 32 | 128 | 256 | 512 | 1024 | 4096;
my $handled = 0x1fff;
if ($abi >= 2) { $write |= 1 << 13; $handled |= 1 << 13 }
if ($abi >= 3) { $write |= 1 << 14; $handled |= 1 << 14 }
my $ofFiles = 1 | 2 | 4 | (1 << 14);
# Abstract sockets and signals stay among its own.
my $attr = $abi >= 6 ? pack("QQQ", $handled, 0, 3) : pack("Q", $handled);
my $set = syscall(444, $attr, length $attr, 0);
die "landlock ruleset: $!\\n" if $set < 0;
while (my ($access, $path) = splice @given, 0, 2) {
	# O_PATH
	sysopen(my $f, $path, 010000000) or next;
	my $may = $access eq "write" ? $write : $read;
	$may &= $ofFiles unless -d $path;
	my $rule = pack("Ql", $may, fileno $f);
	syscall(445, $set, 1, $rule, 0) == 0 or die "landlock $path: $!\\n";
}
syscall(${prctl}, 38, 1, 0, 0, 0) == 0 or die "no new privileges: $!\\n";
syscall(446, $set, 0) == 0 or die "landlock: $!\\n";
if (length $filter) {
	my $program = pack("S x6 P", length($filter) / 8, $filter);
	syscall(${prctl}, 22, 2, $program, 0, 0) == 0 or die "seccomp: $!\\n";
}
exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\\n";
`;
}
