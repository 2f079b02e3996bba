import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { idBody, RunnerId } from "../../shared/ids.ts";
import { type Candidate, place, placeIfFreed } from "../../worker/placement.ts";

const id = (n: number): RunnerId => RunnerId.parse(`run_${idBody(new Uint8Array(26).fill(n))}`);
const runner = (n: number, more: Partial<Candidate> = {}): Candidate => ({
	runnerId: id(n),
	name: `r${n}`,
	online: true,
	draining: false,
	capacity: 4,
	hosting: 0,
	providers: ["claude-code"],
	...more,
});
const OFF = { online: false };
const FULL = { hosting: 4 };
const DRAINING = { draining: true };
const OTHER = { providers: ["opencode"] };

describe("placement", () => {
	test.each<[string, number | null, Candidate[], ReturnType<typeof place>]>([
		["nobody enrolled", null, [], { why: "no runner offers claude-code; 0 runners enrolled" }],
		["nobody offers it", null, [runner(1, OTHER)], { why: "no runner offers claude-code; 1 runner enrolled" }],
		["one is free", null, [runner(1)], { runnerId: id(1) }],
		["one is offline", null, [runner(1, OFF)], { why: "1 runner offering claude-code, none online" }],
		["all are offline", null, [runner(1, OFF), runner(2, OFF)], { why: "2 runners offering claude-code, none online" }],
		["one is full", null, [runner(1, FULL), runner(2, OTHER)], { why: "1 runner offering claude-code: 1 at capacity" }],
		["one is draining", null, [runner(1, DRAINING)], { why: "1 runner offering claude-code: 1 draining" }],
		[
			"two are full, one drains, one is offline",
			null,
			[runner(1, FULL), runner(2, FULL), runner(3, DRAINING), runner(4, OFF)],
			{ why: "3 runners offering claude-code: 2 at capacity, 1 draining" },
		],
		[
			"the least loaded of them",
			null,
			[runner(1, { hosting: 2 }), runner(2, { hosting: 1 }), runner(3, { hosting: 3 })],
			{ runnerId: id(2) },
		],
		["by share, not by number", null, [runner(1, { hosting: 2 }), runner(2, { hosting: 3, capacity: 30 })], { runnerId: id(2) }],
		["among equals the first by id", null, [runner(2), runner(1)], { runnerId: id(1) }],
		["home before less loaded", 1, [runner(1, { hosting: 3 }), runner(2)], { runnerId: id(1) }],
		["home is offline", 1, [runner(1, OFF), runner(2)], { why: "waits for its runner r1, which is offline" }],
		["home is draining", 1, [runner(1, DRAINING), runner(2)], { why: "waits for its runner r1, which is draining" }],
		["home is full", 1, [runner(1, FULL), runner(2)], { why: "waits for its runner r1, which is at capacity (4 of 4)" }],
		[
			"home lost its provider",
			1,
			[runner(1, OTHER), runner(2)],
			{ why: "waits for its runner r1, which does not offer claude-code any more" },
		],
		["home is gone for good", 9, [runner(1)], { runnerId: id(1) }],
	])("[LSE-4] %s", (_, home, candidates, expected) => {
		expect(place({ provider: "claude-code", home: home === null ? null : id(home) }, candidates)).toEqual(expected);
	});

	const candidates = fc.uniqueArray(
		fc.record({
			runnerId: fc.integer({ min: 1, max: 8 }).map(id),
			name: fc.constantFrom("ann", "bob"),
			online: fc.boolean(),
			draining: fc.boolean(),
			capacity: fc.integer({ min: 1, max: 4 }),
			hosting: fc.integer({ min: 0, max: 5 }),
			providers: fc.subarray(["claude-code", "opencode"]),
		}),
		{ selector: (c) => c.runnerId, maxLength: 8 },
	);
	const need = fc.record({ provider: fc.constantFrom("claude-code", "opencode"), home: fc.constantFrom(null, id(1), id(2)) });
	const canTake = (c: Candidate, provider: string): boolean =>
		c.online && !c.draining && c.hosting < c.capacity && c.providers.includes(provider);

	test("[LSE-4] a session goes only to a runner that can take it, to its home if it has one, and waits only if none can", () => {
		fc.assert(
			fc.property(need, candidates, (n, all) => {
				const placed = place(n, all);
				const home = all.find((c) => c.runnerId === n.home);
				const able = (home === undefined ? all : [home]).filter((c) => canTake(c, n.provider));
				if (able.length === 0) expect(placed).toEqual({ why: expect.stringMatching(/./) });
				else expect(able.map((c) => ({ runnerId: c.runnerId }))).toContainEqual(placed);
			}),
		);
	});

	test("[LSE-4] the choice does not depend on the order of the runners, which it leaves alone", () => {
		fc.assert(
			fc.property(need, candidates, (n, all) => {
				const before = structuredClone(all);
				expect(place(n, [...all].reverse())).toEqual(place(n, all));
				expect(all).toEqual(before);
			}),
		);
	});

	test("[LSE-4] room is asked for only of a runner that could take the session with room, and of one if there is one", () => {
		fc.assert(
			fc.property(need, candidates, (n, all) => {
				const home = all.find((c) => c.runnerId === n.home);
				const able = (home === undefined ? all : [home]).filter((c) => canTake({ ...c, hosting: 0 }, n.provider));
				if (able.length === 0) expect(placeIfFreed(n, all)).toBeNull();
				else expect(able.map((c) => c.runnerId)).toContain(placeIfFreed(n, all));
			}),
		);
	});
});
