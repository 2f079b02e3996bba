import { type Backoff, closed, FRESH, opened } from "./backoff.ts";
import { decode, encode } from "./codec.ts";
import { ERRORS, type ErrorCode, mayComeBack, type Problem, problem } from "./errors.ts";
import type { LoggedEvent, SessionStateName } from "./events.ts";
import { type ClientFrame, PING, PROTOCOL_VERSION, type Snapshot, ToClientFrame } from "./frames.ts";
import { type Epoch, type Offset, offset } from "./ids.ts";
import { HEARTBEAT_MS, HELLO_TIMEOUT_MS, MAX_DEPTH_FROM_GATEWAY, WATCHER_WINDOW_BYTES } from "./limits.ts";
import { unreachable } from "./result.ts";

/** The gateway said no, in its own words. */
export class ProblemError extends Error {
	readonly problem: Problem;
	constructor(problem: Problem) {
		super(problem.detail);
		this.name = "ProblemError";
		this.problem = problem;
	}
}

/** The gateway said nothing: no route, no name, cut in the middle, or no answer in time. The same call may work later. */
export class Unreachable extends Error {
	constructor(message: string, options?: ErrorOptions) {
		super(message, options);
		this.name = "Unreachable";
	}
}

/** Calls `run` once after `ms`; the function it returns takes that back. */
export type SetTimer = (run: () => void, ms: number) => () => void;

/** As much of a browser's WebSocket as is used here; Node's own and that of `ws` fit too. */
export interface Socket {
	send(text: string): void;
	close(code?: number, reason?: string): void;
	addEventListener(type: "open" | "error", listener: () => void): void;
	addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
	addEventListener(type: "close", listener: (event: { code: number; reason: string }) => void): void;
}

/** What happens to a session, with what happens to the view of it. */
export type WatchItem =
	| {
			kind: "connected";
			epoch: Epoch;
			state: SessionStateName;
			why: string | null;
			firstOffset: Offset;
			/** Events up to here are history at this moment. */
			lastOffset: Offset;
			durableOffset: Offset;
			/** The session at `lastOffset`, if the log's beginning was asked for and is not kept any more. */
			snapshot: Snapshot | null;
	  }
	| { kind: "event"; logged: LoggedEvent; epoch: Epoch }
	/** Forget what came with an offset above `to`: the gateway lost it before it was stored. It comes again. */
	| { kind: "rewind"; to: Offset }
	/**
	 * What was asked for, the events after `after`, is not there any more; or the log is another one, and then nothing of the
	 * old one counts. What follows starts at `firstOffset`; what the session is by now stands in `snapshot`.
	 */
	| { kind: "recovered_false"; after: Offset; firstOffset: Offset; epoch: Epoch; sameLog: boolean; snapshot: Snapshot | null }
	/** `code` is null if no socket came about. It is tried again by itself after `retryInMs`. */
	| { kind: "disconnected"; code: number | null; reason: string; retryInMs: number };

export interface WatchOptions {
	/** A new socket, with a fresh ticket, not yet open. Called for every attempt. */
	dial: (signal: AbortSignal) => Promise<Socket>;
	/** Watch what comes after this offset. Absent: from the first event that is left. */
	after?: number | undefined;
	epoch?: Epoch | undefined;
	/** Ends the iteration, quietly. */
	signal?: AbortSignal | undefined;
	random: () => number;
	now: () => number;
	setTimer: SetTimer;
}

/** An ack goes out when the consumer took in this much, far within the window of 1 MiB. */
const ACK_BYTES = 64 * 1024;
const ACK_EVENTS = 50;
/** And this long after the first event that is not acknowledged, so that a burst's end is too, and not each delta. */
const ACK_AFTER_MS = 1_000;
/** The gateway pauses at its window; a queue over this means that it does not, and the socket is left until it is drained. */
const MAX_QUEUE_BYTES = 4 * WATCHER_WINDOW_BYTES;
/** What an item costs beside its text. */
const ITEM_BYTES = 64;
/** Close codes of our own (4000-4099 are nobody's in PROTOCOL.md); the gateway makes nothing of them. */
const CLOSE_GAP = 4000;
const CLOSE_SILENT = 4001;
const CLOSE_FULL = 4002;

/**
 * Follows a session's log over a WebSocket that comes back by itself, after the last offset it had. Nothing is opened
 * before the first `next`; everything is closed when the iteration is left, aborted or over. It is over when the gateway
 * closed with 1000, and throws a `ProblemError` when it closed with a code that says not to come back.
 */
export function watch(options: WatchOptions): AsyncIterableIterator<WatchItem> {
	return new Watch(options);
}

interface Queued {
	item: WatchItem;
	bytes: number;
	/** The connection or rewind that it came after; an ack of an older one would name an offset that means something else now. */
	run: number;
}

class Watch implements AsyncIterableIterator<WatchItem> {
	readonly #options: WatchOptions;
	readonly #dialling = new AbortController();
	#started = false;
	/** Set when no more items will come; `error` is thrown once, after the queue. */
	#over: { error: unknown } | null = null;
	#backoff: Backoff = FRESH;
	#connection: Connection | null = null;
	#cancelRetry: (() => void) | null = null;
	/** Waits for the consumer before it dials. */
	#full = false;

	#queue: Queued[] = [];
	#queuedBytes = 0;
	#waiting: { resolve: (result: IteratorResult<WatchItem>) => void; reject: (error: unknown) => void } | null = null;

	/** The offset of the last event put into the queue. Null: none, and no `after` was asked for. */
	#last: Offset | null;
	#epoch: Epoch | null;
	/** The gateway's memory that events came from, and up to where they would outlive it. */
	#life: string | null = null;
	#durable: Offset | null = null;

	#run = 0;
	/** Given to the consumer, who has not come back for the next one yet. */
	#given: Queued | null = null;
	/** The highest offset of this run that the consumer is done with. */
	#taken: Offset | null = null;
	#unackedBytes = 0;
	#unackedEvents = 0;
	#cancelAck: (() => void) | null = null;

	constructor(options: WatchOptions) {
		this.#options = options;
		this.#last = options.after === undefined ? null : offset(options.after);
		this.#epoch = options.epoch ?? null;
	}

	[Symbol.asyncIterator](): this {
		return this;
	}

	next(): Promise<IteratorResult<WatchItem>> {
		if (this.#waiting) return Promise.reject(new Error("next() was called again before the last one was answered"));
		if (!this.#started) this.#start();
		this.#settleGiven();
		const queued = this.#queue.shift();
		if (queued) {
			this.#queuedBytes -= queued.bytes;
			this.#given = queued;
			if (this.#full && this.#queuedBytes < WATCHER_WINDOW_BYTES) {
				this.#full = false;
				void this.#dial();
			}
			return Promise.resolve({ done: false, value: queued.item });
		}
		if (this.#over) {
			const { error } = this.#over;
			this.#over = { error: null };
			return error === null ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(error);
		}
		return new Promise((resolve, reject) => {
			this.#waiting = { resolve, reject };
		});
	}

	return(): Promise<IteratorResult<WatchItem>> {
		this.#started = true;
		this.#queue = [];
		this.#queuedBytes = 0;
		this.#given = null;
		this.#finish(null);
		this.#over = { error: null };
		return Promise.resolve({ done: true, value: undefined });
	}

	#start(): void {
		this.#started = true;
		const { signal } = this.#options;
		if (signal?.aborted) return this.#finish(null);
		signal?.addEventListener("abort", this.#onAbort);
		void this.#dial();
	}

	readonly #onAbort = (): void => void this.return();

	/** Ends everything that this watch has open. Doing it twice is fine. */
	#finish(error: unknown): void {
		if (this.#over) return;
		this.#over = { error };
		this.#options.signal?.removeEventListener("abort", this.#onAbort);
		this.#dialling.abort();
		this.#cancelRetry?.();
		this.#cancelAck?.();
		this.#cancelAck = null;
		this.#connection?.leave(1000);
		this.#connection = null;
		const waiting = this.#waiting;
		if (!waiting) return;
		this.#waiting = null;
		this.#over = { error: null };
		if (error === null) waiting.resolve({ done: true, value: undefined });
		else waiting.reject(error);
	}

	async #dial(): Promise<void> {
		this.#cancelRetry = null;
		if (this.#over) return;
		if (this.#queuedBytes >= WATCHER_WINDOW_BYTES) {
			this.#full = true;
			return;
		}
		let socket: Socket;
		try {
			socket = await this.#options.dial(this.#dialling.signal);
		} catch (cause) {
			if (this.#over) return;
			if (cause instanceof ProblemError && cause.problem.retryable) this.#retry(null, cause.message, cause.problem.retryAfterMs);
			else if (cause instanceof Unreachable) this.#retry(null, cause.message);
			else this.#finish(cause);
			return;
		}
		if (this.#over) {
			socket.close(1000);
			return;
		}
		const hello: ClientFrame = { type: "hello", protocol: PROTOCOL_VERSION };
		if (this.#last !== null) hello.after = this.#last;
		if (this.#last !== null && this.#epoch !== null) hello.epoch = this.#epoch;
		if (this.#last !== null && this.#life !== null) hello.life = this.#life;
		if (this.#last !== null && this.#durable !== null) hello.durable = this.#durable;
		this.#connection = new Connection(socket, hello, this.#options.setTimer, {
			frame: (frame, bytes) => this.#take(frame, bytes),
			lost: (code, reason, said) => this.#lost(code, reason, said),
		});
	}

	#lost(code: number, reason: string, said: Problem | null): void {
		this.#connection = null;
		this.#cancelAck?.();
		this.#cancelAck = null;
		if (mayComeBack(code)) this.#retry(code, reason, said?.retryAfterMs);
		else if (code === 1000) this.#finish(null);
		else this.#finish(new ProblemError(said ?? closedBy(code, reason)));
	}

	#retry(code: number | null, reason: string, atLeastMs = 0): void {
		const { now, random, setTimer } = this.#options;
		const next = closed(this.#backoff, now(), random);
		this.#backoff = next.backoff;
		const retryInMs = Math.max(next.delayMs, atLeastMs);
		this.#cancelRetry = setTimer(() => void this.#dial(), retryInMs);
		this.#put({ kind: "disconnected", code, reason, retryInMs }, ITEM_BYTES);
	}

	#take(frame: ToClientFrame, bytes: number): void {
		switch (frame.type) {
			case "welcome":
				return this.#welcome(frame, bytes);
			case "events": {
				this.#durable = offset(Math.max(this.#durable ?? 0, frame.durableOffset));
				const each = Math.ceil(bytes / Math.max(1, frame.events.length));
				for (const logged of frame.events) if (!this.#takeEvent(logged, each)) return;
				return;
			}
			case "rewind":
				this.#life = frame.life;
				return this.#rewind(frame.rewindTo);
			case "accepted":
			case "error":
			case "pong":
				return;
			default:
				return unreachable(frame);
		}
	}

	#welcome(frame: Extract<ToClientFrame, { type: "welcome" }>, size: number): void {
		this.#backoff = opened(this.#backoff, this.#options.now());
		const sameLog = this.#epoch === null || this.#epoch === frame.epoch;
		const continues = frame.recovered && this.#epoch === frame.epoch;
		this.#epoch = frame.epoch;
		this.#life = frame.life;
		this.#durable = continues ? offset(Math.max(this.#durable ?? 0, frame.durableOffset)) : frame.durableOffset;
		this.#newRun();
		const { epoch, state, firstOffset, lastOffset, durableOffset, snapshot = null } = frame;
		const fresh = frame.recovered ? snapshot : null;
		const connected = { kind: "connected", epoch, state, why: frame.why ?? null, firstOffset, lastOffset, durableOffset } as const;
		this.#put({ ...connected, snapshot: fresh }, fresh === null ? ITEM_BYTES : size);
		const beforeFirst = offset(Math.max(0, firstOffset - 1));
		if (!frame.recovered) {
			// What was shown and lost before that is gone too.
			if (sameLog && frame.rewindTo !== undefined) this.#rewind(frame.rewindTo);
			const after = this.#last ?? offset(0);
			this.#last = beforeFirst;
			this.#put({ kind: "recovered_false", after, firstOffset, epoch, sameLog, snapshot }, size);
		} else if (this.#last === null) this.#last = beforeFirst;
		else if (frame.rewindTo !== undefined) this.#rewind(frame.rewindTo);
	}

	/** False if the rest of the frame is void. */
	#takeEvent(logged: LoggedEvent, bytes: number): boolean {
		if (this.#epoch === null || this.#last === null) return false;
		if (logged.offset <= this.#last) {
			// Seen already. It still lies in the gateway's window, so it counts for the next ack.
			this.#owe(bytes);
			return true;
		}
		if (logged.offset !== this.#last + 1) {
			this.#connection?.fail(CLOSE_GAP, `offset ${logged.offset} came after ${this.#last}`);
			return false;
		}
		this.#last = logged.offset;
		this.#put({ kind: "event", logged, epoch: this.#epoch }, bytes + ITEM_BYTES);
		if (this.#queuedBytes <= MAX_QUEUE_BYTES) return true;
		this.#connection?.fail(CLOSE_FULL, "more was sent than was acknowledged");
		return false;
	}

	#rewind(to: Offset): void {
		this.#newRun();
		if (this.#last === null || to >= this.#last) return;
		this.#last = to;
		this.#put({ kind: "rewind", to }, ITEM_BYTES);
	}

	#put(item: WatchItem, bytes: number): void {
		const queued: Queued = { item, bytes, run: this.#run };
		const waiting = this.#waiting;
		if (waiting) {
			this.#waiting = null;
			this.#given = queued;
			waiting.resolve({ done: false, value: item });
			return;
		}
		this.#queue.push(queued);
		this.#queuedBytes += bytes;
	}

	// What the consumer took in is acknowledged, not what arrived: the gateway's window is then the consumer's pace.

	#newRun(): void {
		this.#run++;
		this.#taken = null;
		this.#unackedBytes = 0;
		this.#unackedEvents = 0;
		this.#cancelAck?.();
		this.#cancelAck = null;
	}

	#settleGiven(): void {
		const given = this.#given;
		this.#given = null;
		if (given?.item.kind !== "event" || given.run !== this.#run) return;
		this.#taken = given.item.logged.offset;
		this.#owe(given.bytes);
	}

	#owe(bytes: number): void {
		this.#unackedBytes += bytes;
		this.#unackedEvents++;
		if (this.#unackedBytes >= ACK_BYTES || this.#unackedEvents >= ACK_EVENTS) this.#ack();
		else if (this.#cancelAck === null && this.#connection !== null)
			this.#cancelAck = this.#options.setTimer(() => this.#ack(), ACK_AFTER_MS);
	}

	#ack(): void {
		this.#cancelAck?.();
		this.#cancelAck = null;
		if (this.#taken === null || this.#connection === null) return;
		this.#unackedBytes = 0;
		this.#unackedEvents = 0;
		this.#connection.send({ type: "ack", offset: this.#taken });
	}
}

interface Ends {
	frame(frame: ToClientFrame, bytes: number): void;
	/** Called once, unless this side left. `said` is what the gateway explained just before. */
	lost(code: number, reason: string, said: Problem | null): void;
}

/** One socket: its hello, its heartbeat, its end. */
class Connection {
	readonly #socket: Socket;
	readonly #setTimer: SetTimer;
	readonly #ends: Ends;
	#live = true;
	#welcomed = false;
	#cancelTimer: () => void;
	/** A ping is on its way. Any word of the gateway is an answer. */
	#isAsked = false;
	#said: Problem | null = null;

	constructor(socket: Socket, hello: ClientFrame, setTimer: SetTimer, ends: Ends) {
		this.#socket = socket;
		this.#setTimer = setTimer;
		this.#ends = ends;
		// From here to the welcome: the network's handshake and ours.
		this.#cancelTimer = setTimer(() => this.fail(CLOSE_SILENT, "no welcome came in time"), HELLO_TIMEOUT_MS);
		socket.addEventListener("open", () => this.send(hello));
		socket.addEventListener("message", (event) => this.#receive(event.data));
		socket.addEventListener("close", (event) => this.#end(event.code, event.reason));
		// Some WebSockets say no "close" after a handshake that failed; with a close frame there is never an "error".
		socket.addEventListener("error", () => this.#end(1006, "the connection broke"));
	}

	send(frame: ClientFrame): void {
		if (this.#live) this.#socket.send(encode(frame));
	}

	/** Leaves without telling anyone. */
	leave(code: number): void {
		if (!this.#live) return;
		this.#live = false;
		this.#cancelTimer();
		this.#socket.close(code);
	}

	/** Leaves because this socket is of no use; the peer may be gone, so its answer is not waited for. */
	fail(code: number, reason: string): void {
		if (!this.#live) return;
		this.leave(code);
		this.#ends.lost(code, reason, null);
	}

	#end(code: number, reason: string): void {
		if (!this.#live) return;
		this.#live = false;
		this.#cancelTimer();
		const said = this.#said !== null && ERRORS[this.#said.code].close === code ? this.#said : null;
		this.#ends.lost(code, reason, said);
	}

	#receive(text: unknown): void {
		if (!this.#live) return;
		const frame = understood(text);
		if (frame === null || typeof text !== "string") return this.fail(4400, "the gateway sent a frame that is not of this protocol");
		this.#isAsked = false;
		if (frame.type === "error") this.#said = frame.problem;
		if (frame.type === "welcome") {
			this.#welcomed = true;
			this.#cancelTimer();
			this.#beat(Math.min(frame.limits.heartbeatMs, HEARTBEAT_MS * 3));
		} else if (frame.type === "events" && !this.#welcomed) return;
		this.#ends.frame(frame, text.length);
	}

	#beat(everyMs: number): void {
		this.#cancelTimer = this.#setTimer(() => {
			if (this.#isAsked) return this.fail(CLOSE_SILENT, "the gateway fell silent");
			this.#isAsked = true;
			this.#socket.send(PING);
			this.#beat(everyMs);
		}, everyMs);
	}
}

/** The gateway's frames are as large as it makes them; only their depth is checked, for the parsers' sake. */
function understood(text: unknown): ToClientFrame | null {
	if (typeof text !== "string") return null;
	const frame = decode(ToClientFrame, text, Number.MAX_SAFE_INTEGER, MAX_DEPTH_FROM_GATEWAY);
	return frame.ok ? frame.value : null;
}

function closedBy(code: number, reason: string): Problem {
	for (const [name, row] of Object.entries(ERRORS)) if (row.close === code) return problem(name as ErrorCode, reason || row.title);
	return problem("internal", reason || `the gateway closed with ${code}`);
}
