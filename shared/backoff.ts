/** When a link that broke is tried again. Pure: chance and time are arguments. */
export interface Backoff {
	/** Attempts that failed since a connection last held. */
	failures: number;
	/** When the current connection opened, ms since the epoch; null while there is none. */
	openedAt: number | null;
}

export const FRESH: Backoff = { failures: 0, openedAt: null };
const FIRST_MS = 250;
const LONGEST_MS = 30_000;
/** A connection counts as good after holding this long, so that a peer which accepts and drops is not hammered. */
const STABLE_MS = 10_000;

export const opened = (b: Backoff, now: number): Backoff => ({ ...b, openedAt: now });

/** After a connection or an attempt ended: what to remember, and how long to wait, with full jitter. */
export function closed(b: Backoff, now: number, random: () => number): { backoff: Backoff; delayMs: number } {
	const held = b.openedAt !== null && now - b.openedAt >= STABLE_MS;
	const failures = held ? 0 : b.failures;
	const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(failures, 16));
	return { backoff: { failures: failures + 1, openedAt: null }, delayMs: Math.floor(random() * ceiling) };
}
