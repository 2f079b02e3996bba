import { z } from "zod";
import {
	AcceptedTurn,
	ApprovalList,
	AuditPage,
	ChangedPolicy,
	type CreateBypass,
	CreatedBypass,
	CreatedKey,
	type CreateKey,
	type CreateRunnerToken,
	type CreateSession,
	type Decide,
	Enrolled,
	type EnrolRunner,
	EventPage,
	KeyList,
	PolicyVersion,
	PolicyVersionPage,
	QueueList,
	RunnerList,
	RunnerToken,
	Session,
	SessionPage,
	Stats,
	TestedPolicy,
	type TestPolicy,
	Ticket,
	Turn,
	TurnPage,
} from "./api.ts";
import { closed, FRESH } from "./backoff.ts";
import { check, parse } from "./codec.ts";
import { ERRORS, type ErrorCode, Problem, problem } from "./errors.ts";
import { type LoggedEvent, PartJoiner, type SessionEvent, type StopReason, type Usage } from "./events.ts";
import { type Snapshot, SUBPROTOCOL } from "./frames.ts";
import { Epoch, idBody, type Offset, SessionId, type TurnId } from "./ids.ts";
import { MAX_DEPTH_FROM_GATEWAY } from "./limits.ts";
import type { Policy } from "./waf/policy.ts";
import { ProblemError, type SetTimer, type Socket, Unreachable, type WatchItem, watch } from "./watch.ts";

export { ProblemError, Unreachable, type WatchItem } from "./watch.ts";

export interface ClientOptions {
	/** Where the gateway is: `https://hotplex.example.com`, a path before `/v1` included. */
	url: string;
	/** Absent where something else authenticates: a browser's Access cookie, or `headers`. */
	apiKey?: string | undefined;
	/** Sent with every REST request: a service token of Access, say. */
	headers?: Record<string, string> | undefined;
	fetch?: typeof globalThis.fetch;
	WebSocket?: new (url: string, protocols: string[]) => Socket;
	random?: () => number;
	now?: () => number;
	setTimer?: SetTimer;
}

/** A REST call that is not answered in this time is given up. */
const ANSWER_TIMEOUT_MS = 30_000;
/** How often an input is sent before its sender is told. With the back-off between them that is about half a minute. */
const SEND_ATTEMPTS = 8;

interface Request<S extends z.ZodType> {
	answer: S;
	body?: unknown;
	headers?: Record<string, string>;
	signal?: AbortSignal | undefined;
}
export interface PageOf {
	limit?: number | undefined;
	cursor?: string | undefined;
}

const Nothing = z.unknown();

/** The gateway, for programs and browsers. Every method throws `ProblemError` if it refuses, `Unreachable` if it is silent. */
export class Client {
	readonly url: string;
	readonly random: () => number;
	readonly now: () => number;
	readonly setTimer: SetTimer;
	readonly #headers: Record<string, string>;
	readonly #fetch: typeof globalThis.fetch;
	readonly #socketClass: new (
		url: string,
		protocols: string[],
	) => Socket;

	constructor(options: ClientOptions) {
		if (!/^https?:$/.test(new URL(options.url).protocol)) throw new Error(`${options.url}: expected an http or https address`);
		this.url = options.url.replace(/\/+$/, "");
		this.random = options.random ?? Math.random;
		this.now = options.now ?? Date.now;
		this.setTimer = options.setTimer ?? defaultTimer;
		this.#headers = { ...options.headers };
		if (options.apiKey !== undefined) this.#headers.authorization = `Bearer ${options.apiKey}`;
		const given = options.fetch;
		// A browser's fetch wants to be called on its window.
		this.#fetch = given ?? ((input, init) => globalThis.fetch(input, init));
		this.#socketClass = options.WebSocket ?? globalThis.WebSocket;
	}

	/** Makes a session, or finds the one with the same `key`. */
	async openSession(wanted: z.input<typeof CreateSession>): Promise<SessionHandle> {
		const { status, value } = await this.#call("POST", "/v1/sessions", { body: wanted, answer: Session });
		return new SessionHandle(this, value.sessionId, { session: value, created: status === 201 });
	}

	/** A session by its id. Nothing is asked of the gateway yet. */
	session(id: string): SessionHandle {
		const sessionId = SessionId.safeParse(id);
		if (!sessionId.success) throw new ProblemError(problem("bad_request", `${id}: expected a session's id like ses_ and 26 characters`));
		return new SessionHandle(this, sessionId.data, null);
	}

	sessions(page: PageOf = {}): Promise<z.output<typeof SessionPage>> {
		return this.request("GET", `/v1/sessions${query({ ...page })}`, { answer: SessionPage });
	}

	/** What waits for a runner, in the order of service. */
	queue(): Promise<z.output<typeof QueueList>> {
		return this.request("GET", "/v1/queue", { answer: QueueList });
	}

	/** Tool calls that wait for a person, in all sessions. */
	approvals(): Promise<z.output<typeof ApprovalList>> {
		return this.request("GET", "/v1/approvals", { answer: ApprovalList });
	}

	runners(): Promise<z.output<typeof RunnerList>> {
		return this.request("GET", "/v1/runners", { answer: RunnerList });
	}

	/** The runner takes no new sessions and ends when the last turn has. */
	async drainRunner(id: string): Promise<void> {
		await this.request("POST", `/v1/runners/${encodeURIComponent(id)}/drain`, { answer: Nothing });
	}

	/** Its key counts no more; its links and leases end. */
	async revokeRunner(id: string): Promise<void> {
		await this.request("DELETE", `/v1/runners/${encodeURIComponent(id)}`, { answer: Nothing });
	}

	createRunnerToken(wanted: z.input<typeof CreateRunnerToken> = {}): Promise<z.output<typeof RunnerToken>> {
		return this.request("POST", "/v1/runner-tokens", { body: wanted, answer: RunnerToken });
	}

	/** Registers a runner's public key; authenticated by the one-use token, not by this client's key. */
	enrolRunner(token: string, wanted: z.input<typeof EnrolRunner>): Promise<z.output<typeof Enrolled>> {
		return this.request("POST", "/v1/runners", { body: wanted, answer: Enrolled, headers: { authorization: `Bearer ${token}` } });
	}

	keys(): Promise<z.output<typeof KeyList>> {
		return this.request("GET", "/v1/keys", { answer: KeyList });
	}

	createKey(wanted: z.input<typeof CreateKey>): Promise<z.output<typeof CreatedKey>> {
		return this.request("POST", "/v1/keys", { body: wanted, answer: CreatedKey });
	}

	async revokeKey(id: string): Promise<void> {
		await this.request("DELETE", `/v1/keys/${encodeURIComponent(id)}`, { answer: Nothing });
	}

	/** The policy that holds, or one of its versions. */
	policy(version?: number): Promise<z.output<typeof PolicyVersion>> {
		return this.request("GET", version === undefined ? "/v1/policy" : `/v1/policy/versions/${version}`, { answer: PolicyVersion });
	}

	policyVersions(page: PageOf = {}): Promise<z.output<typeof PolicyVersionPage>> {
		return this.request("GET", `/v1/policy/versions${query({ ...page })}`, { answer: PolicyVersionPage });
	}

	/** Makes the next version, if `baseVersion` is still the current one; else it is a `conflict`. */
	putPolicy(policy: z.input<typeof Policy>, baseVersion: number): Promise<z.output<typeof ChangedPolicy>> {
		return this.request("PUT", "/v1/policy", { body: { policy, baseVersion }, answer: ChangedPolicy });
	}

	/** What the team's policy, or this one, makes of up to 1,000 commands and prompts. */
	testPolicy(rows: z.input<typeof TestPolicy>["rows"], policy?: z.input<typeof Policy>): Promise<z.output<typeof TestedPolicy>> {
		return this.request("POST", "/v1/policy/test", { body: { rows, policy }, answer: TestedPolicy });
	}

	createBypass(wanted: z.input<typeof CreateBypass>): Promise<z.output<typeof CreatedBypass>> {
		return this.request("POST", "/v1/policy/bypass", { body: wanted, answer: CreatedBypass });
	}

	async endBypass(id: string): Promise<void> {
		await this.request("DELETE", `/v1/policy/bypass/${encodeURIComponent(id)}`, { answer: Nothing });
	}

	audit(page: { after?: number | undefined; limit?: number | undefined } = {}): Promise<z.output<typeof AuditPage>> {
		return this.request("GET", `/v1/audit${query({ ...page })}`, { answer: AuditPage });
	}

	/** The audit log after a record up to now as bytes of JSON lines, each as `ChainVerifier` takes it. They may be cut anywhere. */
	async *auditExport(after = 0): AsyncGenerator<Uint8Array, void, void> {
		const path = `/v1/audit${query({ after, format: "jsonl" })}`;
		try {
			const response = await this.#fetch(this.url + path, { headers: { ...this.#headers, accept: "application/jsonl" } });
			if (!response.ok) throw refusalOf(response.status, `GET ${path}`, await response.text());
			const reader = response.body?.getReader();
			for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) yield read.value;
		} catch (cause) {
			if (cause instanceof ProblemError) throw cause;
			throw new Unreachable(`the gateway at ${this.url} does not answer: ${reasonOf(cause)}`, { cause });
		}
	}

	/** A socket to a session, authenticated by a ticket of its own. */
	async dial(sessionId: SessionId, signal: AbortSignal): Promise<Socket> {
		const { ticket } = await this.request("POST", "/v1/tickets", { body: { sessionId }, answer: Ticket, signal });
		const url = `${this.url.replace(/^http/, "ws")}/v1/sessions/${sessionId}/socket`;
		return new this.#socketClass(url, [SUBPROTOCOL, `ticket.${ticket}`]);
	}

	/** One REST call, its answer checked. */
	async request<S extends z.ZodType>(method: string, path: string, request: Request<S>): Promise<z.output<S>> {
		return (await this.#call(method, path, request)).value;
	}

	async #call<S extends z.ZodType>(
		method: string,
		path: string,
		{ answer, body, headers, signal }: Request<S>,
	): Promise<{ status: number; value: z.output<S> }> {
		const ended = new AbortController();
		const onAbort = (): void => ended.abort(signal?.reason);
		if (signal?.aborted) onAbort();
		signal?.addEventListener("abort", onAbort);
		const cancel = this.setTimer(() => ended.abort(new Error(`no answer in ${ANSWER_TIMEOUT_MS / 1000} s`)), ANSWER_TIMEOUT_MS);
		let response: Response;
		let text: string;
		try {
			response = await this.#fetch(this.url + path, {
				method,
				headers: {
					...this.#headers,
					accept: "application/json",
					...(body === undefined ? {} : { "content-type": "application/json" }),
					...headers,
				},
				...(body === undefined ? {} : { body: JSON.stringify(body) }),
				signal: ended.signal,
			});
			text = await response.text();
		} catch (cause) {
			if (signal?.aborted) throw cause;
			throw new Unreachable(`the gateway at ${this.url} does not answer: ${reasonOf(cause)}`, { cause });
		} finally {
			cancel();
			signal?.removeEventListener("abort", onAbort);
		}
		if (!response.ok) throw refusalOf(response.status, `${method} ${path}`, text);
		const json = parsed(text);
		const value = check(answer, json);
		if (!value.ok) throw new Error(`${method} ${path}: the gateway's answer is not of this version: ${value.error.detail}`);
		return { status: response.status, value: value.value };
	}
}

export interface WatchFrom {
	/** Only what comes after this offset. Absent: from the first event that is left. */
	after?: number | undefined;
	/** The log that `after` belongs to, if it is known. */
	epoch?: string | undefined;
	/** Ends the iteration, quietly. */
	signal?: AbortSignal | undefined;
}

/** Events that were asked for are not there any more, or the log is another one than before. */
export class LogLost extends Error {
	/** Go on with `events({ after: firstOffset - 1, epoch })`. */
	readonly firstOffset: Offset;
	readonly epoch: Epoch;
	/** What the session is by now, without the events that are gone. */
	readonly snapshot: Snapshot | null;
	constructor(sessionId: SessionId, lost: Extract<WatchItem, { kind: "recovered_false" }>) {
		super(`session ${sessionId}: ${wordsOfLoss(lost)}`);
		this.name = "LogLost";
		this.firstOffset = lost.firstOffset;
		this.epoch = lost.epoch;
		this.snapshot = lost.snapshot;
	}
}

/** A loss as a person is told of it. */
export function wordsOfLoss(lost: { after: number; firstOffset: number; sameLog: boolean }): string {
	if (!lost.sameLog) return `the log is another one than before; it begins at offset ${lost.firstOffset}`;
	const [first, last] = [lost.after + 1, lost.firstOffset - 1];
	return first === last ? `event ${first} is not kept any more` : `events ${first} to ${last} are not kept any more`;
}

/** One session. It holds nothing open; what `watch` and `events` open ends with their iteration. */
export class SessionHandle {
	readonly id: SessionId;
	/** As `openSession` found or made it; null after `client.session(id)`. */
	readonly opened: { session: Session; created: boolean } | null;
	readonly #client: Client;
	readonly #path: string;

	constructor(client: Client, id: SessionId, opened: { session: Session; created: boolean } | null) {
		this.id = id;
		this.opened = opened;
		this.#client = client;
		this.#path = `/v1/sessions/${id}`;
	}

	get(): Promise<Session> {
		return this.#client.request("GET", this.#path, { answer: Session });
	}

	stats(): Promise<Stats> {
		return this.#client.request("GET", `${this.#path}/stats`, { answer: Stats });
	}

	turns(page: PageOf = {}): Promise<z.output<typeof TurnPage>> {
		return this.#client.request("GET", `${this.#path}/turns${query({ ...page })}`, { answer: TurnPage });
	}

	turn(id: string): Promise<Turn> {
		return this.#client.request("GET", `${this.#path}/turns/${encodeURIComponent(id)}`, { answer: Turn });
	}

	eventPage(from: { after?: number | undefined; epoch?: string | undefined; limit?: number | undefined } = {}): Promise<EventPage> {
		return this.#client.request("GET", `${this.#path}/events${query({ ...from })}`, { answer: EventPage });
	}

	/** Ends the running turn as `cancelled`; the session and what waits stay. */
	async interrupt(): Promise<void> {
		await this.#client.request("POST", `${this.#path}/interrupt`, { answer: Nothing });
	}

	/** Gives up the runner that holds the session, so that another may have it. `again`: the turn that it had is taken once more, as a new one. */
	async release(options: { again?: boolean } = {}): Promise<void> {
		await this.#client.request("POST", `${this.#path}/release`, { body: options, answer: Nothing });
	}

	/** Answers an approval or a question. The first answer counts; a later one is a `conflict`. */
	async decide(approvalId: string, decision: z.input<typeof Decide>): Promise<void> {
		await this.#client.request("POST", `${this.#path}/approvals/${encodeURIComponent(approvalId)}`, { body: decision, answer: Nothing });
	}

	/** Ends the session and all its turns for good, and waits some seconds for its processes to be gone. */
	async terminate(): Promise<void> {
		await this.#client.request("DELETE", this.#path, { answer: Nothing });
	}

	/**
	 * Sends an input, again and again until it is known to be taken: it has a name (`clientId`), so it is taken once. What
	 * cannot get better is thrown at once, everything else after the last attempt.
	 */
	async send(text: string, options: { clientId?: string | undefined; signal?: AbortSignal | undefined } = {}): Promise<TurnHandle> {
		const clientId = options.clientId ?? `inp_${idBody(globalThis.crypto.getRandomValues(new Uint8Array(26)))}`;
		let backoff = FRESH;
		for (let attempt = 1; ; attempt++) {
			try {
				const turn = await this.#client.request("POST", `${this.#path}/turns`, {
					body: { text, clientId },
					headers: { "idempotency-key": clientId },
					answer: AcceptedTurn,
					signal: options.signal,
				});
				return new TurnHandle(this, clientId, turn);
			} catch (cause) {
				const mayWork = cause instanceof Unreachable || (cause instanceof ProblemError && cause.problem.retryable);
				if (!mayWork || attempt === SEND_ATTEMPTS || options.signal?.aborted) throw cause;
				const next = closed(backoff, this.#client.now(), this.#client.random);
				backoff = next.backoff;
				const atLeastMs = cause instanceof ProblemError ? (cause.problem.retryAfterMs ?? 0) : 0;
				await this.#pause(Math.max(next.delayMs, atLeastMs), options.signal);
			}
		}
	}

	/** The log and what happens to the view of it: connections, rewinds, losses. See `WatchItem`. */
	watch(from: WatchFrom = {}): AsyncIterableIterator<WatchItem> {
		const { random, now, setTimer } = this.#client;
		const epoch = from.epoch === undefined ? undefined : check(Epoch, from.epoch).ok ? (from.epoch as Epoch) : undefined;
		return watch({
			dial: (signal) => this.#client.dial(this.id, signal),
			after: from.after,
			epoch,
			signal: from.signal,
			random,
			now,
			setTimer,
		});
	}

	/**
	 * The session's events in order, split ones joined, for ever: it reconnects by itself. An offset that is not above the one
	 * before says that the log was rewound: forget what you have from that offset on. Throws `LogLost` if events are gone.
	 */
	async *events(from: WatchFrom = {}): AsyncGenerator<LoggedEvent, void, void> {
		const joiner = new RewindableJoiner();
		for await (const item of this.watch(from)) {
			if (item.kind === "rewind") joiner.rewind(item.to);
			else if (item.kind === "recovered_false") throw new LogLost(this.id, item);
			else if (item.kind === "event") {
				const whole = joiner.push(item.logged);
				if (whole) yield whole;
			}
		}
	}

	#pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
		return new Promise((resolve, reject) => {
			const onAbort = (): void => {
				cancel();
				reject(signal?.reason);
			};
			const cancel = this.#client.setTimer(() => {
				signal?.removeEventListener("abort", onAbort);
				resolve();
			}, ms);
			signal?.addEventListener("abort", onAbort, { once: true });
		});
	}
}

export interface TurnResult {
	/** What the model said, without what was retracted and what subagents said; its messages stand apart by an empty line. */
	text: string;
	stopReason: StopReason;
	/** Set when `stopReason` is `failed`. */
	error: { code: ErrorCode; detail: string } | null;
	usage: Usage | null;
	/** False: some of its events are not kept any more, and `text` is without what they said. */
	complete: boolean;
}

/** A turn's end as the gateway keeps it beside the log. */
export interface KnownEnd extends Pick<TurnResult, "stopReason" | "error"> {
	/** The log has told of it up to here, if it ever will. */
	toldBy: Offset;
}

/** One turn that was taken. */
export class TurnHandle {
	readonly session: SessionHandle;
	readonly clientId: string;
	/** As it was when it was accepted. `duplicate`: it had been taken before. */
	readonly accepted: z.output<typeof AcceptedTurn>;

	constructor(session: SessionHandle, clientId: string, accepted: z.output<typeof AcceptedTurn>) {
		this.session = session;
		this.clientId = clientId;
		this.accepted = accepted;
	}

	get id(): TurnId {
		return this.accepted.turnId;
	}

	/** This turn's events up to its `turn_ended`. As with a session's, an offset that goes back says: forget from there on; `LogLost`, that events are gone. */
	async *events(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<LoggedEvent, void, void> {
		const asked = new Set<string>();
		for await (const logged of this.session.events({ after: this.accepted.afterOffset, signal: options.signal })) {
			if (!isOfTurn(logged.event, this.id, asked)) continue;
			yield logged;
			if (logged.event.type === "turn_ended") return;
		}
	}

	/**
	 * How it ended, whatever the log still holds. Null: it has not ended. For readers of a log whose beginning is not kept any more.
	 */
	async ended(): Promise<KnownEnd | null> {
		const { stopReason, error } = await this.session.turn(this.id);
		if (stopReason === null) return null;
		// Asked after the turn, so that its end is stored up to here.
		const { durableOffset } = await this.session.eventPage({ limit: 1 });
		return { stopReason, error, toldBy: durableOffset };
	}

	/** Waits for the turn's end. Throws if the session is gone before it. */
	async result(options: { signal?: AbortSignal | undefined } = {}): Promise<TurnResult> {
		let joiner = new RewindableJoiner();
		const text = new TurnText();
		let usage: Usage | null = null;
		let complete = true;
		let known: KnownEnd | null = null;
		for await (const item of this.session.watch({ after: this.accepted.afterOffset, signal: options.signal })) {
			if (item.kind === "rewind") joiner.rewind(item.to);
			else if (item.kind === "recovered_false") {
				joiner = new RewindableJoiner();
				complete = false;
				known = await this.ended();
			} else if (item.kind === "event") {
				const { event, offset: at } = joiner.push(item.logged) ?? { event: null, offset: item.logged.offset };
				if (event !== null && "turnId" in event && event.turnId === this.id) {
					text.push(at, event);
					if (event.type === "usage") {
						const { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, costUsd } = event;
						usage = { inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, costUsd };
					}
					if (event.type === "turn_ended") known = { stopReason: event.stopReason, error: event.error ?? null, toldBy: at };
				}
				if (known === null || at < known.toldBy) continue;
				// What it used may have been told in what is gone.
				if (!complete) usage = (await this.session.turn(this.id)).usage;
				return { text: text.toString(), stopReason: known.stopReason, error: known.error, usage, complete };
			}
		}
		options.signal?.throwIfAborted();
		throw new Error(`turn ${this.id}: the gateway closed the session's log before the turn ended`);
	}
}

/** What a model said in one turn, kept so that retractions and rewinds take back what they name. */
export class TurnText {
	#pieces: { at: Offset; messageId: string; text: string }[] = [];

	push(at: Offset, event: SessionEvent): void {
		const last = this.#pieces.at(-1);
		if (last && last.at >= at) this.#pieces = this.#pieces.filter((piece) => piece.at < at);
		if (event.type === "text_delta" && event.parentToolCallId === undefined)
			this.#pieces.push({ at, messageId: event.messageId, text: event.text });
		else if (event.type === "text_retracted") this.#pieces = this.#pieces.filter((piece) => piece.messageId !== event.messageId);
	}

	toString(): string {
		let text = "";
		let before: string | null = null;
		for (const piece of this.#pieces) {
			if (before !== null && before !== piece.messageId) text += "\n\n";
			before = piece.messageId;
			text += piece.text;
		}
		return text;
	}
}

/** Joins split events; a joined one has the offset of its last part, so that nobody resumes in the middle of one. */
export class RewindableJoiner {
	#joiner = new PartJoiner();
	/** Parts of the event that is not complete, in order. */
	#open: LoggedEvent[] = [];

	push(logged: LoggedEvent): LoggedEvent | null {
		if (logged.event.type === "part") {
			if (logged.event.index === 0) this.#open = [];
			this.#open.push(logged);
		}
		const event = this.#joiner.push(logged.event);
		if (event === null) return null;
		if (logged.event.type === "part") this.#open = [];
		return { ...logged, event };
	}

	/** Takes back the parts after `to`; the log may have been cut in the middle of a split event. */
	rewind(to: Offset): void {
		const kept = this.#open.filter((part) => part.offset <= to);
		this.#open = [];
		this.#joiner = new PartJoiner();
		for (const part of kept) this.push(part);
	}
}

/** Decisions carry no turn's id; they belong to the turn that asked. */
function isOfTurn(event: SessionEvent, turnId: TurnId, asked: Set<string>): boolean {
	if (event.type === "approval_decided" || event.type === "approval_withdrawn") return asked.has(event.approvalId);
	if (!("turnId" in event) || event.turnId !== turnId) return false;
	if (event.type === "approval_requested" || event.type === "question_asked") asked.add(event.approvalId);
	return true;
}

const defaultTimer: SetTimer = (run, ms) => {
	const timer = setTimeout(run, ms);
	return () => clearTimeout(timer);
};

function query(fields: Record<string, string | number | undefined>): string {
	const search = new URLSearchParams();
	for (const [name, value] of Object.entries(fields)) if (value !== undefined) search.set(name, String(value));
	return search.size > 0 ? `?${search}` : "";
}

/** A body that is no JSON (a proxy's page, nothing at all) is null; the schema then says what is missing. */
function parsed(text: string): unknown {
	const json = parse(text, Number.MAX_SAFE_INTEGER, MAX_DEPTH_FROM_GATEWAY);
	return json.ok ? json.value : null;
}

/** What an answer that is no success says. */
function refusalOf(status: number, call: string, text: string): ProblemError {
	const said = check(Problem, parsed(text));
	return new ProblemError(said.ok ? said.value : problemOf(status, `${call} was answered with ${status} and no reason`));
}

/** For an answer that explains nothing: a proxy's, most likely. */
function problemOf(status: number, detail: string): Problem {
	const same: ErrorCode | null = status >= 502 && status <= 504 ? "going_away" : status >= 500 ? "internal" : null;
	if (same) return problem(same, detail);
	for (const [code, row] of Object.entries(ERRORS))
		if (row.status === status && row.close !== 4400) return problem(code as ErrorCode, detail);
	return problem("bad_request", detail);
}

/** Node puts the system's error (ECONNREFUSED) into `cause`, or several of them. */
function reasonOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	if (error.cause instanceof AggregateError && error.cause.errors.length > 0) return reasonOf(error.cause.errors[0]);
	if (error.cause instanceof Error) return error.cause.message || error.message;
	return error.message;
}
