import { type DiePoint, STEPS } from "./die.ts";
import type { Deed, Fault } from "./proxy.ts";
import type { Random } from "./random.ts";
import * as scenarios from "./scenarios.ts";
import { CALM, eventful, rage, STORMY, type StormSize } from "./storms.ts";
import type { Direction, LinkKind } from "./wire.ts";
import type { World } from "./world.ts";

/** One way to do harm, and what must hold through it. A row of docs/FAULTS.md. */
export interface FaultRow {
	name: string;
	/** What is done, in words. */
	what: string;
	/** Of the design, or rules of PROTOCOL.md. */
	promises: string[];
	/** How often a run by chance is this; 0: only when it is asked for, or at night. */
	weight: number;
	/** Far over what it takes. */
	limitMs: number;
	/** Throws `NotTried` if this machine cannot do it. */
	run(world: World): Promise<void>;
}

const SIZE: StormSize = { sessions: 7, daemons: 2, daemonKills: 0, gatewayKills: 0, freezes: 0, budget: STORMY, attachShare: 0.12 };
const STORM_MS = 150_000;
const raging =
	(size: (random: Random) => Partial<StormSize>): FaultRow["run"] =>
	(world) =>
		rage(world, { ...SIZE, ...size(world.random.fork("size")) });

const storms: FaultRow[] = [
	{
		name: "links",
		what: "every link of readers, of who types and of runners is cut, delayed, stalled and split by chance, at and inside messages",
		promises: ["P1", "P2", "P3", "P4", "LNK-6", "BAT-2"],
		weight: 6,
		limitMs: STORM_MS,
		run: raging(() => ({})),
	},
	{
		name: "daemon-killed",
		what: "as links, and daemons are killed with SIGKILL and started again within 0.7 s: the CLI goes on in the same process",
		promises: ["P1", "P5", "P6", "BAT-3"],
		weight: 6,
		limitMs: STORM_MS,
		run: raging((random) => ({ daemonKills: random.whole(4, 8) })),
	},
	{
		name: "gateway-killed",
		what: "as links, and the gateway is killed with SIGKILL, with its launcher or without, and started again on its state",
		promises: ["P1", "P2", "P6", "LOG-3", "LOG-5"],
		weight: 4,
		limitMs: STORM_MS,
		run: raging((random) => ({ gatewayKills: random.whole(2, 4) })),
	},
	{
		name: "all-at-once",
		what: "links are cut, daemons and the gateway are killed, and the gateway is frozen for up to 2.5 s",
		promises: ["P1", "P2", "P3", "P4", "P5", "P6"],
		weight: 8,
		limitMs: STORM_MS,
		run: raging((random) => ({ daemonKills: random.whole(4, 8), gatewayKills: random.whole(1, 3), freezes: random.whole(0, 2) })),
	},
];

storms.push({
	name: "daemon-killed-at",
	what: "a daemon kills itself with SIGKILL before or after one of its own steps: starting a process, each note of its journal, each write to a CLI's input",
	promises: ["P1", "P4", "P5", "P6", "BAT-3"],
	weight: 3,
	limitMs: STORM_MS,
	run: (world) => {
		const random = world.random.fork("steps");
		const points = STEPS.flatMap((step) =>
			(["before", "after"] as const).map((when) => ({ step, when, nth: random.whole(1, 3), by: random.next() })),
		);
		const dies: DiePoint[] = points
			.toSorted((a, b) => a.by - b.by)
			.slice(0, 7)
			.map(({ step, when, nth }) => ({ step, when, nth }));
		return rage(world, {
			...SIZE,
			sessions: 5,
			daemons: 1,
			budget: CALM,
			attachShare: 0,
			dies,
			turns: (name, chance) => eventful(name, chance),
		});
	},
});

/** Links are broken at messages of one kind, each in another way, and left alone otherwise. */
function aimed(name: string, what: string, promises: string[], link: LinkKind, direction: Direction, types: string[]): FaultRow {
	return {
		name,
		what,
		promises,
		weight: 1,
		limitMs: STORM_MS,
		run: (world) => {
			const random = world.random.fork("aim");
			const faults: Fault[] = types.flatMap((type) =>
				// Not each one, or a back-off that has grown is all there is to see.
				(link === "control" ? [1, 2, 3, 5] : [1, 2, 3, 5, 7, 9, 12, 16]).map((nth) => ({
					on: { link, at: { direction, type, nth } },
					deed: deed(random),
				})),
			);
			return rage(world, { ...SIZE, sessions: 8, daemons: 1, budget: CALM, attachShare: 0, aimed: faults });
		},
	};
}

/** A runner's connections end for the runner alone: when it dials again, the gateway still holds the old ones. */
function takeovers(world: World): Promise<void> {
	const random = world.random.fork("aim");
	const split = (): Deed => ({ do: random.pick(["split", "late"] as const), ms: random.whole(500, 3_000) });
	const faults: Fault[] = [5, 12, 20, 30, 42, 55, 70, 85, 100, 120, 140, 160].map((nth) => ({
		on: { link: "session", at: { direction: "up", type: "text_delta", nth } },
		deed: split(),
	}));
	for (const connection of [1, 2, 3])
		faults.push({ on: { link: "control", connection, at: { afterMs: random.whole(300, 1_500) } }, deed: split() });
	return rage(world, {
		...SIZE,
		sessions: 8,
		daemons: 1,
		budget: CALM,
		attachShare: 0,
		aimed: faults,
		turns: (name, chance) => [1, 2, 3].map((t) => ({ text: `slow ${chance.whole(10, 30)}\nsay ${chance.whole(40, 120)} ${name}t${t}a_` })),
	});
}

function deed(random: Random): Deed {
	switch (random.whole(0, 6)) {
		case 0:
			return { do: "cut_before" };
		case 1:
			return { do: "cut_after" };
		case 2:
			return { do: "cut_inside", share: random.next() };
		case 3:
			return { do: "stall", ms: random.whole(200, 1_500) };
		case 4:
			return { do: "split", ms: random.whole(500, 3_000) };
		case 5:
			return { do: "late", ms: random.whole(200, 1_500) };
		default:
			return { do: "delay", ms: random.whole(50, 1_000) };
	}
}

const boundaries: FaultRow[] = [
	aimed("at-handshake", "a runner's links break at challenge, proof and registration", ["LSE-2", "LSE-3"], "control", "up", [
		"authenticate",
		"register",
	]),
	aimed("at-offer", "the control link breaks at offers", ["LSE-4"], "control", "down", ["offer"]),
	aimed("at-accept", "the control link breaks at acceptances", ["LSE-4"], "control", "up", ["accept"]),
	aimed("at-attach", "session links break at the attach and its answer", ["LSE-1", "LSE-3", "BAT-4"], "session", "up", ["attach"]),
	aimed("at-attached", "session links break at the answer to an attach", ["BAT-4"], "session", "down", ["attached"]),
	aimed("at-started", "session links break where a process and a turn are said to begin", ["P5", "BAT-2"], "session", "up", [
		"isolation",
		"turn_started",
	]),
	aimed("at-batch", "session links break at batches of events", ["BAT-1", "BAT-2"], "session", "up", ["batch"]),
	aimed("at-ack", "session links break at acknowledgements", ["BAT-3"], "session", "down", ["ack"]),
	aimed("at-approval", "session links break where an approval is asked and where it is decided", ["P8", "APR-1"], "session", "up", [
		"approval_requested",
	]),
	{
		name: "takeover",
		what: "a runner's links break for the runner alone: it comes back while the gateway still holds the old connections, and what was on its way on those arrives late",
		promises: ["LSE-3", "BAT-2"],
		weight: 3,
		limitMs: STORM_MS,
		run: takeovers,
	},
	aimed("at-desired", "session links break where the runner is told what is desired", ["BAT-4", "P8"], "session", "down", ["desired"]),
	aimed("at-end", "session links break where a turn is said to end", ["P4", "TRN-3"], "session", "up", ["turn_ended"]),
];

const single = (name: string, what: string, promises: string[], run: FaultRow["run"], weight: number, limitMs = STORM_MS): FaultRow => ({
	name,
	what,
	promises,
	weight,
	limitMs,
	run,
});

/** A session's process ends whenever it has nothing to do, and its lease goes back. */
const moving = (world: World): Promise<void> =>
	rage(world, {
		...SIZE,
		sessions: 6,
		daemonKills: world.random.fork("size").whole(0, 3),
		attachShare: 0,
		settings: 'idleTimeout = "200ms"',
		shared: true,
		processes: Number.POSITIVE_INFINITY,
		turns: (name, chance) =>
			[1, 2, 3, 4, 5, 6].map((t) => ({
				text: `slow ${chance.whole(2, 12)}\nsay ${chance.whole(3, 30)} ${name}t${t}a_`,
				afterMs: t === 1 ? 0 : chance.whole(0, 900),
			})),
	});

const singles: FaultRow[] = [
	single(
		"made-way",
		"as links, and daemons make way (SIGUSR2) and are started again, as for an upgrade: no turn ends, and its process stays",
		["P1", "P5", "P6"],
		(world) => rage(world, { ...SIZE, daemonKills: world.random.fork("size").whole(4, 8), signal: "SIGUSR2" }),
		2,
	),
	single(
		"sse-by-id",
		"the gateway is killed under readers of server-sent events that go on after their last id, as a browser's EventSource does",
		["P1", "LOG-2", "LOG-6"],
		(world) =>
			rage(world, { ...SIZE, gatewayKills: 3, budget: { ...CALM, sse: 3, session: 2 }, attachShare: 0, readers: ["socket", "sse"] }),
		0.5,
	),
	single(
		"leases-move",
		"as links, on runners that end idle processes after 0.2 s and give the lease back; each next turn resumes",
		["P5", "LSE-1", "LSE-4"],
		moving,
		3,
	),
	single(
		"drained",
		"the daemon is told to stop again and again; turns may end, sessions go back and are resumed",
		["P4", "P5", "P11"],
		scenarios.drained,
		1,
	),
	single(
		"host-restart",
		"all processes of a host are gone, in half of the runs the gateway's too: sessions come back with their history, broken turns end as interrupted",
		["P4", "P6", "TRN-7"],
		scenarios.hostRestart,
		1,
	),
	single(
		"two-daemons",
		"a second daemon with the same identity: the first gives way with exit code 12",
		["P5", "LSE-1", "LSE-3"],
		scenarios.twoDaemons,
		1,
	),
	single(
		"split-brain",
		"the first daemon is cut off while the second takes over, then its cable is put in again: what it says late is refused",
		["P5", "LSE-1"],
		scenarios.splitBrain,
		1,
	),
	single(
		"split-brain-redialled",
		"likewise, and the first daemon's links are new ones: it is the newer connection then, with an old lease",
		["P5", "LSE-1", "LSE-3"],
		scenarios.splitBrainRedialled,
		1,
	),
	single(
		"newer-daemon",
		"a daemon is killed in mid-turn and a newer version with other words goes on, in the same process",
		["P6", "BAT-3"],
		scenarios.newerDaemon,
		1,
	),
	single("gateway-killed-at-start", "workerd is killed again while it starts", ["P6"], scenarios.gatewayKilledAtStart, 0.5),
	single(
		"alarm-delayed",
		"the gateway stands still past its alarms: text that waits to be stored, an offer that nobody answers",
		["P1", "LOG-4", "LSE-4"],
		scenarios.alarmDelayed,
		0.5,
	),
	single(
		"eviction",
		"objects are idle for 12 s and put out of memory between any two messages (test/workerd evicts after every step)",
		["P6", "LOG-5"],
		scenarios.eviction,
		0.3,
	),
	single(
		"half-open",
		"all links go half-open at once: each side finds out by its heartbeat",
		["LNK-4", "P1"],
		scenarios.halfOpen,
		0,
		240_000,
	),
	single("clock-off", "a runner's clock is an hour off and jumps by two in mid-turn", ["P1", "P4"], scenarios.clockOff, 0.5),
	single("long-line", "a line of 16 MiB", ["P1", "LOG-7"], scenarios.longLine, 0.3),
	single(
		"much-output",
		"100 MiB of output in one turn, with a slow reader, beside another session",
		["P1", "WAT-1"],
		scenarios.muchOutput,
		0,
		400_000,
	),
	single("disk-full", "the disk that holds the journals is full in mid-turn, and has room again", ["P1", "P4"], scenarios.diskFull, 0.5),
	single(
		"journal-flipped",
		"a byte of a journal that is in the log already is flipped while its daemon is away",
		["P1", "BAT-3"],
		scenarios.journalFlipped,
		0.5,
	),
	single(
		"claude",
		"the real claude against the scripted model API, its links cut, daemon and gateway killed",
		["P1", "P5", "P6"],
		(world) => scenarios.realCli(world, "claude"),
		0.5,
	),
	single("opencode", "the real opencode, likewise", ["P1", "P5", "P6"], (world) => scenarios.realCli(world, "opencode"), 0.5),
];

export const FAULTS: FaultRow[] = [...storms, ...boundaries, ...singles];
