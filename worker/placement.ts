import type { RunnerId, SessionId } from "../shared/ids.ts";
import { matches, parseSelector } from "../shared/selector.ts";

/** A runner as placement sees it. */
export interface Candidate {
	runnerId: RunnerId;
	name: string;
	online: boolean;
	draining: boolean;
	/** Sessions that it hosts at once. */
	capacity: number;
	/** It said that it has no room, whatever the books say. */
	full: boolean;
	providers: string[];
	labels: Record<string, string>;
}

/** What a session needs of a runner. */
export interface Need {
	provider: string;
	/** As `selectorText` writes it; null: any runner. */
	selector: string | null;
	/** The runner that holds its work directory and the CLI's history; it goes to no other. */
	home: RunnerId | null;
}

/** A session that waits for a runner. */
export interface Waiting extends Need {
	sessionId: SessionId;
	/** Who opened it; null: from before that was kept. */
	principal: string | null;
	/** When it began to wait, ms since the epoch. */
	since: number;
	/** How many grants there had been when it came, or at its principal's latest grant since then. The lowest is served first. */
	tag: number;
}

/** A session under a lease, whether it has a turn or not. */
export interface Hosted {
	sessionId: SessionId;
	principal: string | null;
	runnerId: RunnerId;
	/** Since when it has had nothing to do on a runner that can be told to let go of it; null: it has. */
	idleSince: number | null;
	/** It was told to make way. */
	leaving: boolean;
}

/** How many sessions may be hosted at once; null: as many as the runners take. */
export interface Capacities {
	team: number | null;
	/** Of one principal. Sessions of nobody known have no such bound. */
	principal: number | null;
}

/** All that the order and the grants follow from. The order of the lists means nothing. */
export interface Queue {
	/** How many grants there have been, ever. */
	granted: number;
	waiting: Waiting[];
	hosted: Hosted[];
	runners: Candidate[];
	capacities: Capacities;
}

export interface Grant {
	sessionId: SessionId;
	runnerId: RunnerId;
}
export interface Wait {
	sessionId: SessionId;
	/** 1 for the session that would be served next, if all could be placed. */
	position: number;
	/** In words for a person. */
	why: string;
	tag: number;
}
/** An idle session that is to make way. Null: whichever the runner finds idle, since none is known to be. */
export interface MakeRoom {
	runnerId: RunnerId;
	sessionId: SessionId | null;
}
export interface Outcome {
	/** In order. */
	grants: Grant[];
	/** Everything else that waits, in order. */
	waits: Wait[];
	makeRoom: MakeRoom[];
	granted: number;
}

/**
 * Who gets a runner now and who waits for what. Principals take turns: as long as a session could be placed, no other principal is
 * given two places before its own principal is given one. What cannot be placed now holds up nobody; of one principal's
 * sessions the one that has waited longest goes first.
 */
export function schedule(queue: Queue): Outcome {
	const books = new Books(queue);
	const grants = new Map<SessionId, Grant>();
	const { granted, tags } = serve(queue.waiting, queue.granted, (row) => {
		const runnerId = books.place(row);
		if (runnerId !== null) grants.set(row.sessionId, { sessionId: row.sessionId, runnerId });
		return runnerId !== null;
	});
	// As it stands after the grants, so that the numbers that people are told are those of the next placing.
	const left = queue.waiting
		.filter((row) => !grants.has(row.sessionId))
		.map((row) => ({ ...row, tag: Math.max(row.tag, tags.get(row.principal) ?? 0) }));
	const waits: Wait[] = [];
	const makeRoom: MakeRoom[] = [];
	const idle = new Idle(queue);
	serve(left, granted, (row) => {
		waits.push({ sessionId: row.sessionId, position: waits.length + 1, why: books.why(row), tag: row.tag });
		makeRoom.push(...idle.makeWay(row, books));
		return true;
	});
	return { grants: [...grants.values()], waits, makeRoom, granted };
}

/** One principal's sessions, the oldest first. */
interface Line {
	principal: string | null;
	rows: Waiting[];
	next: number;
	/** The number of its latest grant in this round. */
	tag: number;
}

/**
 * Offers the rows to `take`, each once, in the order of service; `take` says whether it was served. Its principal's other rows have
 * the number of that grant as their tag from then on, and so stand behind all who had come before it.
 */
function serve(rows: Waiting[], granted: number, take: (row: Waiting) => boolean): { granted: number; tags: Map<string | null, number> } {
	const byPrincipal = Map.groupBy(rows.toSorted(byAge), (row) => row.principal);
	const lines: Line[] = [...byPrincipal].map(([principal, line]) => ({ principal, rows: line, next: 0, tag: 0 }));
	for (let n = 0; n < rows.length; n++) {
		let first: { line: Line; row: Waiting; tag: number } | null = null;
		for (const line of lines) {
			const row = line.rows[line.next];
			if (row === undefined) continue;
			const tag = Math.max(row.tag, line.tag);
			if (first === null || tag < first.tag || (tag === first.tag && byAge(row, first.row) < 0)) first = { line, row, tag };
		}
		if (first === null) break;
		first.line.next++;
		if (take(first.row)) first.line.tag = ++granted;
	}
	return { granted, tags: new Map(lines.map((line) => [line.principal, line.tag])) };
}

const byAge = (a: Waiting, b: Waiting): number => a.since - b.since || (a.sessionId < b.sessionId ? -1 : 1);

/** Who hosts how much, while grants are given. */
class Books {
	readonly #runners: Candidate[];
	readonly #capacities: Capacities;
	readonly #hosting = new Map<RunnerId, number>();
	readonly #hostedOf = new Map<string | null, number>();
	#hosted = 0;
	/** What suits a need does not change while grants are given, and many sessions need the same. */
	readonly #suiting = new Map<string, Suiting>();

	constructor({ runners, hosted, capacities }: Queue) {
		this.#runners = [...runners].sort((a, b) => (a.runnerId < b.runnerId ? -1 : 1));
		this.#capacities = capacities;
		for (const h of hosted) this.#enter(h.runnerId, h.principal);
	}

	/** Enters the session with the runner that is to have it, or null. */
	place(row: Waiting): RunnerId | null {
		if (this.isTeamFull || this.isPrincipalFull(row)) return null;
		const best = this.#emptiest(this.able(row).filter((c) => this.#hasRoom(c)));
		if (best === null) return null;
		this.#enter(best.runnerId, row.principal);
		return best.runnerId;
	}

	get isTeamFull(): boolean {
		return this.#capacities.team !== null && this.#hosted >= this.#capacities.team;
	}

	isPrincipalFull({ principal }: { principal: string | null }): boolean {
		return principal !== null && this.#capacities.principal !== null && this.#countOf(principal) >= this.#capacities.principal;
	}

	areRunnersFull(row: Need): boolean {
		return !this.able(row).some((c) => this.#hasRoom(c));
	}

	/** The runners that could host it, had they room. */
	able(row: Need): Candidate[] {
		return this.#suit(row).able;
	}

	/** The one that a session with this need goes to when there is room. */
	favourite(row: Need): Candidate | null {
		return this.#emptiest(this.able(row));
	}

	why(row: Waiting): string {
		const { able, why } = this.#suit(row);
		if (able.length === 0) return why;
		if (this.isTeamFull) return `the team hosts ${this.#hosted} of ${count(this.#capacities.team ?? 0, "session")}`;
		if (this.isPrincipalFull(row))
			return `${row.principal} hosts ${this.#countOf(row.principal)} of ${count(this.#capacities.principal ?? 0, "session")}`;
		const home = this.#home(row);
		if (home === null) return why;
		return `waits for its runner ${home.name}, which ${this.#hosts(home) < home.capacity ? "says that it is full" : `is at capacity (${this.#hosts(home)} of ${home.capacity})`}`;
	}

	#enter(runnerId: RunnerId, principal: string | null): void {
		this.#hosting.set(runnerId, (this.#hosting.get(runnerId) ?? 0) + 1);
		this.#hostedOf.set(principal, this.#countOf(principal) + 1);
		this.#hosted++;
	}

	#countOf(principal: string | null): number {
		return this.#hostedOf.get(principal) ?? 0;
	}

	#hosts(c: Candidate): number {
		return this.#hosting.get(c.runnerId) ?? 0;
	}

	#hasRoom(c: Candidate): boolean {
		return !c.full && this.#hosts(c) < c.capacity;
	}

	/** Where the largest share of the capacity is free. */
	#emptiest(runners: Candidate[]): Candidate | null {
		const share = (c: Candidate): number => this.#hosts(c) / c.capacity;
		return runners.reduce<Candidate | null>((best, c) => (best === null || share(c) < share(best) ? c : best), null);
	}

	#home(row: Need): Candidate | null {
		return this.#runners.find((c) => c.runnerId === row.home) ?? null;
	}

	#suit(need: Need): Suiting {
		const key = `${need.provider}\0${need.selector}\0${need.home}`;
		const known = this.#suiting.get(key);
		if (known !== undefined) return known;
		const home = this.#home(need);
		const found = home === null ? suitingOf(need, this.#runners) : suitingHome(need, home);
		this.#suiting.set(key, found);
		return found;
	}
}

interface Suiting {
	able: Candidate[];
	/** Why none is able, or if some are, what it is if they have no room. */
	why: string;
}

function suitingHome(need: Need, home: Candidate): Suiting {
	const obstacle = !home.online
		? "is offline"
		: home.draining
			? "is draining"
			: !home.providers.includes(need.provider)
				? `does not offer ${need.provider} any more`
				: !isMatch(need.selector, home)
					? `does not match ${need.selector} any more`
					: null;
	return obstacle === null ? { able: [home], why: "" } : { able: [], why: `waits for its runner ${home.name}, which ${obstacle}` };
}

function suitingOf({ provider, selector }: Need, runners: Candidate[]): Suiting {
	if (runners.length === 0) return { able: [], why: "no runner is enrolled" };
	const enrolled = `${count(runners.length, "runner")} enrolled`;
	const matching = runners.filter((c) => isMatch(selector, c));
	if (matching.length === 0) return { able: [], why: `no runner matches ${selector}; ${enrolled} (labels: ${labelsOf(runners)})` };
	const offering = matching.filter((c) => c.providers.includes(provider));
	if (offering.length === 0) {
		const offered = [...new Set(runners.flatMap((c) => c.providers))].sort().join(", ");
		const none =
			selector === null ? `no runner offers ${provider}` : `${verb(matching.length, "match", "es")} ${selector}, none offers ${provider}`;
		return { able: [], why: `${none}; ${enrolled} (providers: ${short(offered)})` };
	}
	const online = offering.filter((c) => c.online);
	const able = online.filter((c) => !c.draining);
	const states = [
		[able.length, "at capacity"],
		[online.length - able.length, "draining"],
		[offering.length - online.length, "offline"],
	].filter(([n]) => n !== 0);
	const subject =
		selector === null
			? `${verb(offering.length, "offer", "s")} ${provider}`
			: offering.length === matching.length
				? `${verb(offering.length, "match", "es")} ${selector}`
				: `${verb(offering.length, "match", "es")} ${selector} and ${offering.length === 1 ? "offers" : "offer"} ${provider}`;
	const [only] = states.length === 1 ? states : [];
	const all = offering.length === 1 ? "" : offering.length === 2 ? "both " : "all ";
	return { able, why: only ? `${subject}, ${all}${only[1]}` : `${subject}: ${states.map(([n, state]) => `${n} ${state}`).join(", ")}` };
}

function isMatch(selector: string | null, c: Candidate): boolean {
	if (selector === null) return true;
	const parsed = parseSelector(selector);
	return parsed.ok && matches(parsed.value, c.labels);
}

/** The idle sessions, from the one that is to make way first. */
class Idle {
	readonly #left: Hosted[];
	readonly #asked = new Set<RunnerId>();

	constructor({ hosted }: Queue) {
		this.#left = hosted
			.filter((h) => h.idleSince !== null)
			.sort(
				(a, b) => Number(b.leaving) - Number(a.leaving) || (a.idleSince ?? 0) - (b.idleSince ?? 0) || (a.sessionId < b.sessionId ? -1 : 1),
			);
	}

	/**
	 * Who makes way for this session: of those whose leaving lets it be placed the one that was idle for the longest time; two, if its
	 * principal's bound and its runners' are hit and no one session relieves both. Nobody leaves in vain, or twice.
	 */
	makeWay(row: Waiting, books: Books): MakeRoom[] {
		const able = books.able(row);
		if (able.length === 0) return [];
		if (this.#left.length === 0) return this.#anyOn(row, books);
		const needsRunner = books.areRunnersFull(row);
		const needsOwn = books.isPrincipalFull(row);
		const relievesRunner = (h: Hosted): boolean => !needsRunner || able.some((c) => c.runnerId === h.runnerId);
		const relievesOwn = (h: Hosted): boolean => !needsOwn || h.principal === row.principal;
		const one = this.#left.find((h) => relievesRunner(h) && relievesOwn(h));
		const two = [this.#left.find(relievesOwn), this.#left.find(relievesRunner)].filter((h) => h !== undefined);
		const chosen = one !== undefined ? [one] : two.length === 2 ? two : [];
		for (const h of chosen) this.#left.splice(this.#left.indexOf(h), 1);
		if (chosen.length > 0) return chosen.filter((h) => !h.leaving).map(({ runnerId, sessionId }) => ({ runnerId, sessionId }));
		return this.#anyOn(row, books);
	}

	/** Asks a full runner for whichever it finds idle: it knows before the books do. Once is enough, whoever waits for it. */
	#anyOn(row: Waiting, books: Books): MakeRoom[] {
		if (books.isTeamFull || books.isPrincipalFull(row) || !books.areRunnersFull(row)) return [];
		const runnerId = books.favourite(row)?.runnerId;
		if (runnerId === undefined || this.#asked.has(runnerId)) return [];
		this.#asked.add(runnerId);
		return [{ runnerId, sessionId: null }];
	}
}

const MAX_LISTED_CHARS = 200;
const short = (text: string): string => (text.length > MAX_LISTED_CHARS ? `${text.slice(0, MAX_LISTED_CHARS - 3)}...` : text);

/** `arch=x64, gpu=a100|t4`: each label with the values that runners have. */
function labelsOf(runners: Candidate[]): string {
	const values = new Map<string, Set<string>>();
	for (const { labels } of runners)
		for (const [key, value] of Object.entries(labels)) values.set(key, (values.get(key) ?? new Set()).add(value));
	return short(
		[...values]
			.sort(([a], [b]) => (a < b ? -1 : 1))
			.map(([key, of]) => `${key}=${[...of].sort().join("|")}`)
			.join(", "),
	);
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;
const verb = (n: number, plural: string, ending: string): string => `${count(n, "runner")} ${n === 1 ? plural + ending : plural}`;
