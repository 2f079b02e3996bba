import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Backoff, closed, FRESH, opened } from "../../shared/backoff.ts";

const ALMOST_ONE = 1 - Number.EPSILON;

/** The longest waits after so many attempts that failed at once. */
function ceilings(attempts: number): number[] {
	let backoff: Backoff = FRESH;
	return Array.from({ length: attempts }, () => {
		const next = closed(backoff, 0, () => ALMOST_ONE);
		backoff = next.backoff;
		return Math.round(next.delayMs + 1);
	});
}

describe("back-off", () => {
	test("[LNK-5] back-off grows with full jitter and forgets failures only after a stable connection", () => {
		const longest = ceilings(9);
		expect(longest).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
		fc.assert(
			fc.property(fc.nat(200), fc.double({ min: 0, max: ALMOST_ONE, noNaN: true }), fc.nat(20_000), (failures, chance, heldMs) => {
				const before: Backoff = { failures, openedAt: null };
				const { backoff, delayMs } = closed(opened(before, 1000), 1000 + heldMs, () => chance);
				const counted = heldMs >= 10_000 ? 0 : failures;
				expect(backoff).toEqual({ failures: counted + 1, openedAt: null });
				const most = Math.min(30_000, 250 * 2 ** counted);
				expect(delayMs).toBe(Math.floor(chance * most));
			}),
		);
	});

	test("[LNK-5] a peer that accepts and drops is not hammered", () => {
		let backoff: Backoff = FRESH;
		let now = 0;
		let attempts = 0;
		while (now < 10 * 60_000) {
			backoff = opened(backoff, now);
			now += 100;
			const next = closed(backoff, now, () => 0.5);
			backoff = next.backoff;
			now += next.delayMs;
			attempts++;
		}
		// About one in 15 s; with the count forgotten at each connect it would be some 2,600.
		expect(attempts).toBeLessThan(60);
	});

	test("[LNK-5] a connection that held is followed by a quick attempt, and only by one", () => {
		const worn: Backoff = { failures: 12, openedAt: null };
		const first = closed(opened(worn, 0), 10_000, () => ALMOST_ONE);
		expect(first.delayMs).toBeLessThan(250);
		const second = closed(first.backoff, 10_500, () => ALMOST_ONE);
		expect(second.delayMs).toBeGreaterThanOrEqual(250);
	});
});
