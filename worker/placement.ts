import type { RunnerId } from "../shared/ids.ts";

/** A runner as placement sees it. */
export interface Candidate {
	runnerId: RunnerId;
	name: string;
	online: boolean;
	draining: boolean;
	capacity: number;
	hosting: number;
	providers: string[];
}

/** What a session needs. `home`: the runner that holds its work directory and the CLI's history. */
export interface Need {
	provider: string;
	home: RunnerId | null;
}

export type Placement = { runnerId: RunnerId } | { why: string };

/**
 * Which runner takes the session, or why none does, in words for a person. A session stays with its home, since its files and
 * history are there; a new one goes where the largest share of the capacity is free.
 */
export function place(need: Need, candidates: Candidate[]): Placement {
	const home = candidates.find((c) => c.runnerId === need.home);
	if (home !== undefined) {
		const obstacle = obstacleOf(home, need.provider);
		return obstacle === null ? { runnerId: home.runnerId } : { why: `waits for its runner ${home.name}, which ${obstacle}` };
	}
	const offering = candidates.filter((c) => c.providers.includes(need.provider));
	if (offering.length === 0) return { why: `no runner offers ${need.provider}; ${count(candidates.length, "runner")} enrolled` };
	const free = offering.filter((c) => obstacleOf(c, need.provider) === null);
	const [best] = free.sort((a, b) => a.hosting / a.capacity - b.hosting / b.capacity || (a.runnerId < b.runnerId ? -1 : 1));
	if (best !== undefined) return { runnerId: best.runnerId };
	const online = offering.filter((c) => c.online);
	if (online.length === 0) return { why: `${count(offering.length, "runner")} offering ${need.provider}, none online` };
	const draining = online.filter((c) => c.draining).length;
	const full = online.length - draining;
	const parts = [full > 0 ? `${full} at capacity` : null, draining > 0 ? `${draining} draining` : null].filter((p) => p !== null);
	return { why: `${count(online.length, "runner")} offering ${need.provider}: ${parts.join(", ")}` };
}

/** A runner that would take the session if it had room, or null. Its idle sessions can make way, since they resume. */
export function placeIfFreed(need: Need, candidates: Candidate[]): RunnerId | null {
	const freed = place(
		need,
		candidates.map((c) => ({ ...c, hosting: Math.min(c.hosting, c.capacity - 1) })),
	);
	return "runnerId" in freed ? freed.runnerId : null;
}

function obstacleOf(c: Candidate, provider: string): string | null {
	if (!c.online) return "is offline";
	if (c.draining) return "is draining";
	if (!c.providers.includes(provider)) return `does not offer ${provider} any more`;
	if (c.hosting >= c.capacity) return `is at capacity (${c.hosting} of ${c.capacity})`;
	return null;
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;
