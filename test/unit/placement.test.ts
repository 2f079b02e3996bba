import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { idBody, RunnerId, SessionId } from "../../shared/ids.ts";
import { type Candidate, type Hosted, type Outcome, type Queue, schedule, type Waiting } from "../../worker/placement.ts";

const bytes = (n: number): Uint8Array => new Uint8Array(26).map((_, i) => (n >> (5 * (25 - i))) & 31);
const id = (n: number): RunnerId => RunnerId.parse(`run_${idBody(bytes(n))}`);
const ses = (n: number): SessionId => SessionId.parse(`ses_${idBody(bytes(n))}`);
const runner = (n: number, more: Partial<Candidate> = {}): Candidate => ({
	runnerId: id(n),
	name: `r${n}`,
	online: true,
	draining: false,
	capacity: 4,
	full: false,
	providers: ["claude-code"],
	labels: { os: "linux" },
	...more,
});
const waits = (n: number, more: Partial<Waiting> = {}): Waiting => ({
	sessionId: ses(n),
	principal: "ann",
	provider: "claude-code",
	selector: null,
	home: null,
	since: n,
	tag: 0,
	...more,
});
/** `count` sessions on a runner, from number 1000 on; busy ones. */
const hosted = (on: number, count: number, more: Partial<Hosted> = {}): Hosted[] =>
	Array.from({ length: count }, (_, i) => ({
		sessionId: ses(1000 * on + i),
		principal: "bob",
		runnerId: id(on),
		idleSince: null,
		leaving: false,
		...more,
	}));
const queue = (more: Partial<Queue>): Queue => ({
	granted: 0,
	waiting: [],
	hosted: [],
	runners: [],
	capacities: { team: null, principal: null },
	...more,
});
const OFF = { online: false };
const DRAINING = { draining: true };
const OTHER = { providers: ["opencode"] };
const GPU = { labels: { os: "linux", gpu: "true" } };

describe("placement", () => {
	test.each<[string, number | null, Candidate[], Hosted[], number | string]>([
		["one is free", null, [runner(1)], [], 1],
		["the least loaded of them", null, [runner(1), runner(2), runner(3)], [...hosted(1, 2), ...hosted(2, 1), ...hosted(3, 3)], 2],
		["by share, not by number", null, [runner(1), runner(2, { capacity: 30 })], [...hosted(1, 2), ...hosted(2, 3)], 2],
		["among equals the first by id", null, [runner(2), runner(1)], [], 1],
		["home before less loaded", 1, [runner(1), runner(2)], hosted(1, 3), 1],
		["home is gone for good", 9, [runner(1)], [], 1],
		["nobody enrolled", null, [], [], "no runner is enrolled"],
		["nobody offers it", null, [runner(1, OTHER)], [], "no runner offers claude-code; 1 runner enrolled (providers: opencode)"],
		["one is offline", null, [runner(1, OFF)], [], "1 runner offers claude-code, offline"],
		["all are offline", null, [runner(1, OFF), runner(2, OFF)], [], "2 runners offer claude-code, both offline"],
		["one is full", null, [runner(1), runner(2, OTHER)], hosted(1, 4), "1 runner offers claude-code, at capacity"],
		["one says that it is full", null, [runner(1, { full: true })], [], "1 runner offers claude-code, at capacity"],
		[
			"three are full",
			null,
			[1, 2, 3].map((n) => runner(n)),
			[1, 2, 3].flatMap((n) => hosted(n, 4)),
			"3 runners offer claude-code, all at capacity",
		],
		["one is draining", null, [runner(1, DRAINING)], [], "1 runner offers claude-code, draining"],
		[
			"two are full, one drains, one is offline",
			null,
			[runner(1), runner(2), runner(3, DRAINING), runner(4, OFF)],
			[...hosted(1, 4), ...hosted(2, 5)],
			"4 runners offer claude-code: 2 at capacity, 1 draining, 1 offline",
		],
		["home is offline", 1, [runner(1, OFF), runner(2)], [], "waits for its runner r1, which is offline"],
		["home is draining", 1, [runner(1, DRAINING), runner(2)], [], "waits for its runner r1, which is draining"],
		["home is full", 1, [runner(1), runner(2)], hosted(1, 4), "waits for its runner r1, which is at capacity (4 of 4)"],
		["home says that it is full", 1, [runner(1, { full: true }), runner(2)], [], "waits for its runner r1, which says that it is full"],
		["home lost its provider", 1, [runner(1, OTHER), runner(2)], [], "waits for its runner r1, which does not offer claude-code any more"],
	])("[SCH-3] %s", (_, home, runners, leases, expected) => {
		const { grants, waits: left } = schedule(
			queue({ runners, hosted: leases, waiting: [waits(1, { home: home === null ? null : id(home) })] }),
		);
		if (typeof expected === "number") expect([grants, left]).toEqual([[{ sessionId: ses(1), runnerId: id(expected) }], []]);
		else expect([grants, left]).toEqual([[], [{ sessionId: ses(1), position: 1, why: expected, tag: 0 }]]);
	});

	test.each<[string, string, Candidate[], Hosted[], number | string]>([
		["only a runner that matches", "gpu=true", [runner(1), runner(2, GPU)], [], 2],
		[
			"full or not",
			"gpu=true",
			[runner(1), runner(2, GPU), runner(3, GPU)],
			[...hosted(2, 4), ...hosted(3, 4)],
			"2 runners match gpu=true, both at capacity",
		],
		["one matches", "gpu=true", [runner(1), runner(2, GPU)], hosted(2, 4), "1 runner matches gpu=true, at capacity"],
		[
			"none matches",
			"gpu=a100",
			[runner(1), runner(2, GPU), runner(3, { labels: { gpu: "t4", arch: "x64" } })],
			[],
			"no runner matches gpu=a100; 3 runners enrolled (labels: arch=x64, gpu=t4|true, os=linux)",
		],
		[
			"one matches and offers something else",
			"gpu=true",
			[runner(1), runner(2, { ...GPU, ...OTHER })],
			[],
			"1 runner matches gpu=true, none offers claude-code; 2 runners enrolled (providers: claude-code, opencode)",
		],
		[
			"one of two that match offers it",
			"gpu=true",
			[runner(1, { ...GPU, ...OFF }), runner(2, { ...GPU, ...OTHER })],
			[],
			"1 runner matches gpu=true and offers claude-code, offline",
		],
	])("[SCH-3] with a selector: %s", (_, selector, runners, leases, expected) => {
		const { grants, waits: left } = schedule(queue({ runners, hosted: leases, waiting: [waits(1, { selector })] }));
		if (typeof expected === "number") expect(grants).toEqual([{ sessionId: ses(1), runnerId: id(expected) }]);
		else expect([grants, left.map((w) => w.why)]).toEqual([[], [expected]]);
	});

	test("[SCH-3] a home that does not match any more is told, not passed over: the files are there", () => {
		const { grants, waits: left } = schedule(
			queue({ runners: [runner(1), runner(2, GPU)], waiting: [waits(1, { home: id(1), selector: "gpu=true" })] }),
		);
		expect([grants, left[0]?.why]).toEqual([[], "waits for its runner r1, which does not match gpu=true any more"]);
	});

	test("[SCH-4] the team's bound and a principal's are told with their numbers, and hold although runners have room", () => {
		const of = (capacities: Queue["capacities"], principal: string | null) =>
			schedule(queue({ runners: [runner(1)], hosted: hosted(1, 2), capacities, waiting: [waits(1, { principal })] }));
		expect(of({ team: 2, principal: null }, "ann").waits[0]?.why).toBe("the team hosts 2 of 2 sessions");
		expect(of({ team: null, principal: 1 }, "bob").waits[0]?.why).toBe("bob hosts 2 of 1 session");
		expect(of({ team: 3, principal: 1 }, "ann").grants.length).toBe(1);
		expect(of({ team: null, principal: 1 }, null).grants.length).toBe(1);
		const nobody = schedule(queue({ capacities: { team: 0, principal: 0 }, runners: [runner(1)], waiting: [waits(1)] }));
		expect(nobody.waits[0]?.why).toBe("the team hosts 0 of 0 sessions");
	});
});

describe("the queue", () => {
	/** Grants one place after the other, each given back at once; who got them. */
	function drain(start: Queue, rounds: number, arrive: (round: number) => Waiting[] = () => []): SessionId[] {
		const order: SessionId[] = [];
		let now = start;
		for (let round = 0; round < rounds; round++) {
			now = { ...now, waiting: [...now.waiting, ...arrive(round).map((w) => ({ ...w, tag: now.granted }))] };
			const outcome = schedule(now);
			order.push(...outcome.grants.map((g) => g.sessionId));
			now = { ...now, granted: outcome.granted, waiting: left(now.waiting, outcome) };
		}
		return order;
	}
	const left = (waiting: Waiting[], { waits: still }: Outcome): Waiting[] =>
		still.flatMap(({ sessionId, tag }) => waiting.filter((w) => w.sessionId === sessionId).map((w) => ({ ...w, tag })));
	const one = { runners: [runner(1, { capacity: 1 })] };

	test("[SCH-5] a hundred sessions of one principal delay another's first by one grant, and the two take turns from then on", () => {
		const many = Array.from({ length: 100 }, (_, i) => waits(i + 1));
		const order = drain(queue({ ...one, waiting: many }), 14, (round) =>
			round === 10 ? [201, 202].map((n) => waits(n, { principal: "bob" })) : [],
		);
		expect(order).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 201, 12, 202].map(ses));
		const both = drain(queue({ ...one, waiting: [...many, waits(201, { principal: "bob" })] }), 3);
		expect(both).toEqual([1, 201, 2].map(ses));
	});

	test("[SCH-5] a principal's sessions that wait for a gpu take no turns from its others, nor from another's", () => {
		const gpus = Array.from({ length: 50 }, (_, i) => waits(i + 1, { selector: "gpu=true" }));
		const bobs = Array.from({ length: 50 }, (_, i) => waits(i + 101, { principal: "bob" }));
		const now = queue({ ...one, waiting: [...gpus, ...bobs, waits(301)] });
		expect(drain(now, 3)).toEqual([101, 301, 102].map(ses));
		const late = waits(401, { principal: "cyd", selector: "gpu=true" });
		// Fifty grants later the gpu comes, and with it one who came last: one of those who waited for it goes before.
		let served: SessionId[] = [];
		drain({ ...now, waiting: [...gpus, ...bobs] }, 50, (round) => {
			if (round === 49)
				served = drain(queue({ granted: 49, runners: [runner(1, { ...GPU, capacity: 1 })], waiting: [...gpus, { ...late, tag: 49 }] }), 3);
			return [];
		});
		expect(served).toEqual([1, 401, 2].map(ses));
	});

	test("[SCH-8] positions are the order of service, each once, and every session says why", () => {
		const waiting = [1, 2, 3].map((n) => waits(n)).concat([4, 5].map((n) => waits(n, { principal: "bob" })));
		const { waits: told } = schedule(queue({ ...one, hosted: hosted(1, 1), waiting }));
		expect(told.map((w) => [w.sessionId, w.position])).toEqual([
			[ses(1), 1],
			[ses(4), 2],
			[ses(2), 3],
			[ses(5), 4],
			[ses(3), 5],
		]);
		expect(drain(queue({ ...one, waiting }), 5)).toEqual(told.map((w) => w.sessionId));
	});
});

describe("room", () => {
	const idle = (on: number, n: number, more: Partial<Hosted> = {}): Hosted => ({
		sessionId: ses(n),
		principal: "bob",
		runnerId: id(on),
		idleSince: n,
		leaving: false,
		...more,
	});
	const asked = (more: Partial<Queue>) => schedule(queue({ waiting: [waits(1)], ...more })).makeRoom;
	const none = { team: null, principal: null };

	test.each<[string, Partial<Queue>, [number, number | null][]]>([
		["the longest idle on a full runner", { runners: [runner(1, { capacity: 2 })], hosted: [idle(1, 12), idle(1, 11)] }, [[1, 11]]],
		["whichever the runner finds, if none is known to be idle", { runners: [runner(1)], hosted: hosted(1, 4) }, [[1, null]]],
		[
			"nobody, if one is on its way out",
			{ runners: [runner(1, { capacity: 2 })], hosted: [idle(1, 11), idle(1, 12, { leaving: true })] },
			[],
		],
		["nobody elsewhere than where it may go", { runners: [runner(1, { ...OTHER, capacity: 1 })], hosted: [idle(1, 11)] }, []],
		["nobody for a runner that is away", { runners: [runner(1, { ...OFF, capacity: 1 }), runner(2, OTHER)], hosted: [idle(2, 11)] }, []],
		[
			"the longest idle of the team at its bound, on whichever runner",
			{ runners: [runner(1), runner(2)], hosted: [idle(1, 12), idle(2, 11)], capacities: { ...none, team: 2 } },
			[[2, 11]],
		],
		[
			"at the team's bound, one on the runner that it needs, if that is full too",
			{ runners: [runner(1, { capacity: 1 }), runner(2, OTHER)], hosted: [idle(1, 12), idle(2, 11)], capacities: { ...none, team: 2 } },
			[[1, 12]],
		],
		[
			"at the principal's bound, one of its own",
			{ runners: [runner(1)], hosted: [idle(1, 11), idle(1, 12, { principal: "ann" })], capacities: { ...none, principal: 1 } },
			[[1, 12]],
		],
		[
			"nobody else's, if its own are busy",
			{ runners: [runner(1)], hosted: [idle(1, 11), ...hosted(1, 1, { principal: "ann" })], capacities: { ...none, principal: 1 } },
			[],
		],
		[
			"one of its own and one on the runner, where no one relieves both bounds",
			{
				runners: [runner(1, { capacity: 1 }), runner(2, OTHER)],
				hosted: [idle(1, 11), idle(2, 12, { principal: "ann" })],
				capacities: { ...none, principal: 1 },
			},
			[
				[2, 12],
				[1, 11],
			],
		],
		[
			"neither, where only one of the two bounds can be relieved",
			{
				runners: [runner(1, { capacity: 1 }), runner(2, OTHER)],
				hosted: [...hosted(1, 1), idle(2, 12, { principal: "ann" })],
				capacities: { ...none, principal: 1 },
			},
			[],
		],
		[
			"one for each that waits",
			{ runners: [runner(1, { capacity: 3 })], hosted: [11, 12, 13].map((n) => idle(1, n)), waiting: [waits(1), waits(2)] },
			[
				[1, 11],
				[1, 12],
			],
		],
	])("[SCH-7] asked to make way: %s", (_, more, expected) => {
		expect(asked(more)).toEqual(expected.map(([on, n]) => ({ runnerId: id(on), sessionId: n === null ? null : ses(n) })));
	});
});

/** The selectors of the steps, in other words than the code's. */
const MATCHES: Record<string, (labels: Record<string, string>) => boolean> = {
	"gpu=true": (labels) => labels.gpu === "true",
	"gpu=a100": (labels) => labels.gpu === "a100",
	"!spot": (labels) => !("spot" in labels),
};

/** A hundred thousand steps are too many for `expect`. */
function must(isSo: boolean, what: string): void {
	if (!isSo) throw new Error(`not so: ${what}`);
}

/** A team's life, step by step: what the gateway would keep, and what the naive reader would say of it. */
class World {
	queue: Queue;
	now = 0;
	grantsInAll = 0;
	#made = 0;
	/** By session that waits: how many grants each other principal had while it could have had them. */
	readonly #passed = new Map<SessionId, Map<string | null, number>>();
	readonly #turn: (rows: readonly unknown[]) => number;

	constructor(runners: Candidate[], capacities: Queue["capacities"], turn: (rows: readonly unknown[]) => number) {
		this.queue = queue({ runners, capacities });
		this.#turn = turn;
	}

	arrive(row: Partial<Waiting>): void {
		this.queue.waiting.push(waits(++this.#made, { ...row, since: this.now, tag: this.queue.granted }));
	}

	canTake(row: Waiting, leases: Hosted[]): boolean {
		const { capacities, runners } = this.queue;
		if (capacities.team !== null && leases.length >= capacities.team) return false;
		const own = leases.filter((h) => h.principal === row.principal).length;
		if (row.principal !== null && capacities.principal !== null && own >= capacities.principal) return false;
		return runners.some((c) => this.suits(row, c) && !c.full && leases.filter((h) => h.runnerId === c.runnerId).length < c.capacity);
	}

	suits(row: Waiting, c: Candidate): boolean {
		const matching = row.selector === null || MATCHES[row.selector]?.(c.labels) === true;
		const isHome = row.home === null || row.home === c.runnerId || !this.queue.runners.some((r) => r.runnerId === row.home);
		return c.online && !c.draining && c.providers.includes(row.provider) && matching && isHome;
	}

	/** Schedules, checks all that is promised of the outcome, and carries it out. */
	place(): Outcome {
		const { waiting: rows, hosted: held, runners } = this.queue;
		// Each costs as much as the step itself, so not at every one.
		const isSample = this.now % 5 === 0;
		const before = isSample ? JSON.stringify(this.queue) : "";
		const outcome = schedule(this.queue);
		if (isSample) {
			must(JSON.stringify(this.queue) === before, "what it was given is left alone");
			const turned = { ...this.queue, waiting: this.#turned(rows), hosted: this.#turned(held), runners: this.#turned(runners) };
			must(JSON.stringify(schedule(turned)) === JSON.stringify(outcome), "the order of the lists means nothing");
		}

		const waiting = new Map(rows.map((w) => [w.sessionId, w] as const));
		let leases = held;
		for (const { sessionId, runnerId } of outcome.grants) {
			const row = waiting.get(sessionId);
			const c = runners.find((r) => r.runnerId === runnerId);
			if (row === undefined || c === undefined) throw new Error("a grant is for one that waits, on one that is there");
			must(this.suits(row, c), "the runner suits: online, offering, matching, its home");
			must(!c.full && leases.filter((h) => h.runnerId === runnerId).length < c.capacity, "the runner has room");
			must(this.canTake(row, leases), "team and principal are under their bounds");
			waiting.delete(sessionId);
			this.#passed.delete(sessionId);
			for (const other of waiting.values()) this.#pass(other, row, leases);
			leases = [...leases, { sessionId, runnerId, principal: row.principal, idleSince: null, leaving: false }];
		}
		this.grantsInAll += outcome.grants.length;
		must(outcome.granted === this.queue.granted + outcome.grants.length, "grants are counted");
		for (const row of waiting.values()) must(!this.canTake(row, leases), "nobody waits who could be placed");
		must(outcome.waits.length === waiting.size && outcome.waits.every((w) => waiting.has(w.sessionId)), "all others wait");
		must(
			outcome.waits.every((w, i) => w.position === i + 1),
			"positions have no gaps",
		);
		must(
			outcome.waits.every((w) => /^\S.*\S$/.test(w.why)),
			"all are told why",
		);
		this.#checkRoom(outcome, [...waiting.values()], leases);

		const asked = new Set(outcome.makeRoom.map((m) => m.sessionId));
		this.queue = {
			...this.queue,
			granted: outcome.granted,
			hosted: leases.map((h) => (asked.has(h.sessionId) ? { ...h, leaving: true } : h)),
			waiting: outcome.waits.flatMap(({ sessionId, tag }) => {
				const row = waiting.get(sessionId);
				return row ? [{ ...row, tag }] : [];
			}),
		};
		return outcome;
	}

	/** The bound: while it could be placed, no other principal is given two places before its own is given one. */
	#pass(row: Waiting, served: Waiting, leases: Hosted[]): void {
		const could = this.canTake(row, leases);
		if (served.principal === row.principal) {
			const isOlder = served.since < row.since || (served.since === row.since && served.sessionId < row.sessionId);
			must(!could || isOlder, "of one principal, what came first goes first, if it can");
			this.#passed.delete(row.sessionId);
			return;
		}
		if (!could) return;
		const counts = this.#passed.get(row.sessionId) ?? new Map<string | null, number>();
		counts.set(served.principal, (counts.get(served.principal) ?? 0) + 1);
		this.#passed.set(row.sessionId, counts);
		must(counts.get(served.principal) === 1, "no other principal is given two places before its own is given one");
	}

	/** Only idle ones are asked, each once, and their leaving lets somebody be placed. */
	#checkRoom({ makeRoom }: Outcome, waiting: Waiting[], leases: Hosted[]): void {
		const named = makeRoom.flatMap((m) => (m.sessionId === null ? [] : [m.sessionId]));
		must(new Set(named).size === named.length, "each is asked once");
		for (const sessionId of named) {
			const h = leases.find((lease) => lease.sessionId === sessionId);
			must(h !== undefined && h.idleSince !== null && !h.leaving, "only who is idle and not asked yet is asked");
		}
		if (named.length === 0 || leases.some((h) => h.leaving)) return;
		const without = leases.filter((h) => !named.includes(h.sessionId));
		// A runner that came back with less room than it hosts needs more than one to go.
		const isOver = (c: Candidate): boolean => c.full || leases.filter((h) => h.runnerId === c.runnerId).length > c.capacity;
		if (!this.queue.runners.some(isOver))
			must(
				waiting.some((row) => this.canTake(row, without)),
				"nobody leaves in vain",
			);
	}

	#turned<T>(rows: T[]): T[] {
		const at = this.#turn(rows);
		return [...rows.slice(at), ...rows.slice(0, at)].reverse();
	}
}

describe("a team's life", () => {
	const PRINCIPALS = ["ann", "bob", "cyd", null];
	const candidates = fc.uniqueArray(
		fc.record({
			runnerId: fc.integer({ min: 1, max: 4 }).map(id),
			name: fc.constantFrom("r1", "r2"),
			online: fc.boolean(),
			draining: fc.constant(false),
			capacity: fc.integer({ min: 1, max: 3 }),
			full: fc.constant(false),
			providers: fc.subarray(["claude-code", "opencode"], { minLength: 1 }),
			labels: fc.constantFrom<Record<string, string>>({}, { gpu: "true" }, { gpu: "true", spot: "" }),
		}),
		{ selector: (c) => c.runnerId, minLength: 1, maxLength: 4 },
	);
	const bound = fc.constantFrom(null, 1, 2, 3, 5);
	const action = fc.record({
		kind: fc.constantFrom(
			"arrive",
			"arrive",
			"arrive",
			"arrive",
			"leave",
			"leave",
			"leave",
			"leave",
			"idle",
			"idle",
			"runner",
			"give_up",
			"go",
		),
		n: fc.nat({ max: 1_000_000 }),
		principal: fc.constantFrom(...PRINCIPALS, "ann", "ann"),
		provider: fc.constantFrom("claude-code", "claude-code", "opencode"),
		selector: fc.constantFrom(null, null, null, ...Object.keys(MATCHES), "gpu=true"),
		home: fc.constantFrom(null, null, null, null, id(1), id(9)),
	});

	test("[SCH-3][SCH-4][SCH-5][SCH-6][SCH-7][SCH-8] over 100,000 random steps nobody starves, nothing is over its capacity, and all are told why", () => {
		let steps = 0;
		let grants = 0;
		fc.assert(
			fc.property(
				candidates,
				fc.record({ team: bound, principal: bound }),
				fc.array(action, { minLength: 100, maxLength: 300, size: "max" }),
				(runners, capacities, actions) => {
					let n = 0;
					const world = new World(runners, capacities, (rows) => (rows.length === 0 ? 0 : n % rows.length));
					for (const act of actions) {
						steps++;
						world.now += act.n % 3;
						n = act.n;
						const { queue: q } = world;
						const { principal, provider, selector, home } = act;
						if (act.kind === "arrive" && q.waiting.length < 12) world.arrive({ principal, provider, selector, home });
						if (act.kind === "leave" && q.hosted.length > 0) q.hosted.splice(n % q.hosted.length, 1);
						if (act.kind === "idle" && q.hosted.length > 0) {
							const h = q.hosted[n % q.hosted.length] as Hosted;
							q.hosted[n % q.hosted.length] = { ...h, idleSince: h.idleSince === null ? world.now : null, leaving: false };
						}
						// Those that were told to make way do.
						if (act.kind === "go") q.hosted = q.hosted.filter((h) => !h.leaving);
						if (act.kind === "give_up" && q.waiting.length > 0) q.waiting.splice(n % q.waiting.length, 1);
						if (act.kind === "runner") {
							const c = q.runners[n % q.runners.length] as Candidate;
							const way = n % 9;
							q.runners[n % q.runners.length] = {
								...c,
								online: way < 3 ? !c.online : way > 5 ? true : c.online,
								draining: way === 3 && !c.draining,
								full: way === 4 && !c.full,
								capacity: way === 5 ? (c.capacity % 3) + 1 : c.capacity,
							};
						}
						world.place();
					}
					grants += world.grantsInAll;
				},
			),
			{ numRuns: 550, endOnFailure: true },
		);
		expect(steps).toBeGreaterThan(100_000);
		expect(grants).toBeGreaterThan(10_000);
	}, 60_000);

	test("a thousand sessions of a hundred principals are placed or told in well under a second", () => {
		const runners = Array.from({ length: 50 }, (_, i) => runner(i + 1, i % 5 === 0 ? GPU : {}));
		const waiting = Array.from({ length: 1000 }, (_, i) =>
			waits(i + 1, { principal: `p${i % 100}`, selector: i % 3 === 0 ? "gpu=true" : null }),
		);
		const began = performance.now();
		const outcome = schedule(queue({ runners, waiting }));
		expect(performance.now() - began).toBeLessThan(500);
		expect([outcome.grants.length, outcome.waits.length]).toEqual([200, 800]);
	});
});
