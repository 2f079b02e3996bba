import type { AuditAction, Detail } from "../shared/audit.ts";
import { type Problem, problem } from "../shared/errors.ts";
import type { TeamId } from "../shared/ids.ts";
import type { Principal } from "./auth.ts";
import type { Config, Env } from "./config.ts";
import { digest } from "./secrets.ts";

/** What anybody may do a minute; 0: as much as they like. */
export interface Rates {
	/** REST calls, upgrades included, of one principal. */
	requests: number;
	/** Inputs over REST of one principal. */
	inputs: number;
	/** Sockets and event streams that one principal opens. */
	sockets: number;
	/** Credentials that are not right, of one address; ids that are not there, of one principal. */
	failures: number;
	/** Links of runners, of one address. They come back together when a gateway was away. */
	links: number;
}

/** Holds up to `capacity` tokens, and gets `perMs` of them back in each ms. Full at first. */
export class Bucket {
	readonly #capacity: number;
	readonly #perMs: number;
	#tokens: number;
	#at: number;

	constructor(capacity: number, perMs: number, now: number) {
		this.#capacity = capacity;
		this.#perMs = perMs;
		this.#tokens = capacity;
		this.#at = now;
	}

	/** Takes one, and answers 0; or after how many ms there will be one. */
	take(now: number): number {
		const waitMs = this.waitMs(now);
		if (waitMs === 0) this.#tokens -= 1;
		return waitMs;
	}

	/** After how many ms there is one to take; 0: now. */
	waitMs(now: number): number {
		// A clock that was set back gives nothing and takes nothing.
		this.#tokens = Math.min(this.#capacity, this.#tokens + Math.max(0, now - this.#at) * this.#perMs);
		this.#at = now;
		// What rounding took away is no token less.
		return this.#tokens >= 1 - 1e-6 ? 0 : Math.ceil((1 - this.#tokens) / this.#perMs);
	}
}

/** Keeps what was used last, up to `max`. */
class Recent<T> {
	readonly #items = new Map<string, T>();
	readonly #max: number;

	constructor(max: number) {
		this.#max = max;
	}

	get(key: string): T | undefined {
		const item = this.#items.get(key);
		if (item !== undefined) this.set(key, item);
		return item;
	}

	set(key: string, item: T): void {
		this.#items.delete(key);
		this.#items.set(key, item);
		const [oldest] = this.#items.size > this.#max ? this.#items.keys() : [];
		if (oldest !== undefined) this.#items.delete(oldest);
	}

	entries(): IterableIterator<[string, T]> {
		return this.#items.entries();
	}
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
/** Names that an isolate remembers: a few MB. */
const MAX_NAMES = 20_000;
const MAX_CROWDS = 1_000;

/** What came in crowds, to be told together. */
export interface Counted {
	team: TeamId;
	actor: string;
	action: AuditAction;
	subject: string;
	detail: Detail;
	count: number;
}

/**
 * The limits and what they need to remember, in the memory of one isolate: no call is made slower by them. Cloudflare runs several isolates and
 * each counts by itself, so that a limit is a bound on what one of them does; `RATE_LIMITER` bounds all of a location together.
 */
export class Limits {
	readonly #buckets = new Recent<{ bucket: Bucket; perMinute: number }>(MAX_NAMES);
	readonly #good = new Recent<number>(MAX_NAMES);
	readonly #crowds = new Recent<{ counted: Counted; toldAt: number; uncounted: number }>(MAX_CROWDS);

	/** Takes one of what this name may do a minute; 0, or after how many ms it may. */
	take(name: string, perMinute: number, now: number): number {
		return this.#bucket(name, perMinute, now)?.take(now) ?? 0;
	}

	waitMs(name: string, perMinute: number, now: number): number {
		return this.#bucket(name, perMinute, now)?.waitMs(now) ?? 0;
	}

	#bucket(name: string, perMinute: number, now: number): Bucket | null {
		if (perMinute === 0) return null;
		const known = this.#buckets.get(name);
		if (known?.perMinute === perMinute) return known.bucket;
		const bucket = new Bucket(perMinute, perMinute / MINUTE_MS, now);
		this.#buckets.set(name, { bucket, perMinute });
		return bucket;
	}

	/** Whether a credential, of which this is a digest, was good within the hour. */
	wasGood(credential: string, now: number): boolean {
		return now - (this.#good.get(credential) ?? Number.NEGATIVE_INFINITY) < HOUR_MS;
	}

	/** True the first time in an hour. */
	isFirst(credential: string, now: number): boolean {
		if (this.wasGood(credential, now)) return false;
		this.#good.set(credential, now);
		return true;
	}

	/** Counts; answers what is to be told now: the first of its kind at once, what follows when the minute is over and something comes. */
	count(what: Omit<Counted, "count">, now: number): Counted[] {
		const name = JSON.stringify([what.team, what.actor, what.action, what.subject]);
		const known = this.#crowds.get(name);
		this.#crowds.set(name, {
			counted: { ...what, count: 1 },
			toldAt: known?.toldAt ?? Number.NEGATIVE_INFINITY,
			uncounted: (known?.uncounted ?? 0) + 1,
		});
		const due: Counted[] = [];
		for (const [, crowd] of this.#crowds.entries()) {
			if (crowd.uncounted === 0 || now - crowd.toldAt < MINUTE_MS) continue;
			due.push({ ...crowd.counted, count: crowd.uncounted });
			crowd.toldAt = now;
			crowd.uncounted = 0;
		}
		return due;
	}
}

/** The isolate's. */
export const limits = new Limits();

/** Where a call comes from if nobody says: all such share their limits. */
const UNKNOWN = "unknown";

/**
 * The address that a call comes from: at Cloudflare as its edge says, elsewhere from the header that the operator's own proxy sets (`ADDRESS_HEADER`;
 * the last of a list, which that proxy added). Without one nobody is believed, since a caller can send any header. Of IPv6 it is the /64, which is what one machine
 * has to itself.
 */
export function addressOf(request: Request, config: Pick<Config, "addressHeader">): string {
	// Only Cloudflare's edge gives a request this property.
	const header = config.addressHeader ?? (request.cf === undefined ? null : "cf-connecting-ip");
	const said = header === null ? null : request.headers.get(header)?.split(",").at(-1)?.trim();
	if (said === undefined || said === null || !/^[0-9A-Fa-f.:]{2,45}$/.test(said)) return UNKNOWN;
	return said.includes(":") && !said.includes(".") ? network(said) : said;
}

function network(address: string): string {
	const [head = "", tail] = address.toLowerCase().split("::");
	const before = head === "" ? [] : head.split(":");
	const after = tail === undefined || tail === "" ? [] : tail.split(":");
	const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
	const groups = [...before, ...Array.from({ length: zeros }, () => "0"), ...after].map((group) => group.replace(/^0+(?=.)/, ""));
	return `${groups.slice(0, 4).join(":")}::/64`;
}

const tooMany = (what: string, waitMs: number): Problem =>
	problem("rate_limited", `${what}; try again in ${Math.ceil(waitMs / 1000)} s`, waitMs);

/** Refuses an address that has shown too many wrong credentials, unless this one is known to be good: others behind the same address go on. */
export async function checkFailures(address: string, credential: string | null, { rates }: Config, now: number): Promise<Problem | null> {
	const waitMs = limits.waitMs(failuresOf(address), rates.failures, now);
	if (waitMs === 0 || (credential !== null && limits.wasGood(await digest(credential), now))) return null;
	return tooMany("too many calls from this address with no credential or a wrong one", waitMs);
}

/** Counts a wrong credential; false: it is one too many. */
export const failed = (address: string, { rates }: Config, now: number): boolean =>
	limits.take(failuresOf(address), rates.failures, now) === 0;
const failuresOf = (address: string): string => `failures ${address}`;

/** What a principal does that has a limit. */
export type Use = "requests" | "inputs" | "sockets" | "failures";
const WORDS: Record<Use, string> = {
	requests: "too many calls",
	inputs: "too many inputs",
	sockets: "too many sockets opened",
	failures: "too many ids that are not there",
};

/** Takes one of a principal's; refuses if there is none. */
export function checkUse(who: Pick<Principal, "team" | "actor">, use: Use, { rates }: Config, now: number): Problem | null {
	const waitMs = limits.take(`${use} ${who.team} ${who.actor}`, rates[use], now);
	return waitMs === 0 ? null : tooMany(`${WORDS[use]} of ${who.actor}`, waitMs);
}

/** Cloudflare's own limiter, where one is bound: all isolates of a location count together there. */
export async function checkBinding(who: Pick<Principal, "team" | "actor">, env: Env): Promise<Problem | null> {
	if (env.RATE_LIMITER === undefined) return null;
	const { success } = await env.RATE_LIMITER.limit({ key: `${who.team}/${who.actor}` });
	return success ? null : tooMany(`${WORDS.requests} of ${who.actor}`, MINUTE_MS);
}

export function checkLinks(address: string, { rates }: Config, now: number): Problem | null {
	const waitMs = limits.take(`links ${address}`, rates.links, now);
	return waitMs === 0 ? null : tooMany("too many links of runners from this address", waitMs);
}

/** Whether a principal has spent its wrong ids, asked before anything is looked up. */
export function checkMisses(who: Pick<Principal, "team" | "actor">, { rates }: Config, now: number): Problem | null {
	const waitMs = limits.waitMs(`failures ${who.team} ${who.actor}`, rates.failures, now);
	return waitMs === 0 ? null : tooMany(`${WORDS.failures}, asked for by ${who.actor}`, waitMs);
}
