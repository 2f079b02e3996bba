import WebSocket from "ws";
import type { z } from "zod";
import { type Backoff, closed, FRESH, opened } from "../shared/backoff.ts";
import { decode, encode } from "../shared/codec.ts";
import { closeCode, type ErrorCode, mayComeBack, Problem } from "../shared/errors.ts";
import { PING } from "../shared/frames.ts";
import { HEARTBEAT_MS } from "../shared/limits.ts";

/** What the gateway may send in one frame; a page of decisions and a prompt fit. */
const MAX_FRAME_BYTES = 4 * 1024 * 1024;
const CONNECT_TIMEOUT_MS = 15_000;

export interface LinkOptions<S extends z.ZodType> {
	/** Without a query and without credentials. */
	url: string;
	schema: S;
	/** One frame of the gateway, in order. */
	onFrame(frame: z.output<S>): void;
	/** The connection broke; it is being made again. */
	onDown?(): void;
	/** The gateway ended it for good, with the close code that says why. */
	onEnded(code: number, reason: string): void;
	random?: () => number;
	heartbeatMs?: number;
}

/**
 * Handshakes under way in this process. When a gateway is deployed all links break at once; past the jitter, a thousand of them still
 * come in a crowd of this many at a time.
 */
const MAX_HANDSHAKES = 32;
const handshakes = { open: 0, waiting: [] as (() => void)[] };
function beginHandshake(begin: () => void): void {
	if (handshakes.open >= MAX_HANDSHAKES) {
		handshakes.waiting.push(begin);
		return;
	}
	handshakes.open++;
	begin();
}
function endHandshake(): void {
	handshakes.open--;
	const next = handshakes.waiting.shift();
	if (next !== undefined) beginHandshake(next);
}

/** A WebSocket to the gateway that comes back when it breaks. The only user of `ws`. */
export class Link<S extends z.ZodType> {
	readonly #options: LinkOptions<S>;
	#socket: WebSocket | null = null;
	#backoff: Backoff = FRESH;
	#retry: NodeJS.Timeout | null = null;
	#heartbeat: NodeJS.Timeout | null = null;
	/** A ping is on its way. Any word of the gateway is an answer. */
	#isAsked = false;
	#ended = false;

	constructor(options: LinkOptions<S>) {
		this.#options = options;
		beginHandshake(() => this.#connect());
	}

	/** False if there is no connection now: what must arrive is owed by the journal, not by this call. */
	send(frame: { type: string }): boolean {
		if (this.#socket?.readyState !== WebSocket.OPEN) return false;
		this.#socket.send(encode(frame));
		return true;
	}

	/** Bytes that the network has not taken yet. */
	get bufferedBytes(): number {
		return this.#socket?.bufferedAmount ?? 0;
	}

	/** Ends it from this side, for good. */
	close(code = 1000): void {
		this.#ended = true;
		if (this.#retry) clearTimeout(this.#retry);
		if (this.#heartbeat) clearInterval(this.#heartbeat);
		const socket = this.#socket;
		this.#socket = null;
		if (socket === null) return;
		socket.close(code);
		// A peer that does not answer the close must not keep the process.
		setTimeout(() => socket.terminate(), 1_000).unref();
	}

	#connect(): void {
		if (this.#ended) return endHandshake();
		const socket = new WebSocket(this.#options.url, {
			// A compressed frame could be small on the wire and huge here.
			perMessageDeflate: false,
			maxPayload: MAX_FRAME_BYTES,
			handshakeTimeout: CONNECT_TIMEOUT_MS,
			// Redirects would carry the proof to another host.
			followRedirects: false,
		});
		this.#socket = socket;
		let handshaking = true;
		const settle = (): void => {
			if (handshaking) endHandshake();
			handshaking = false;
		};
		socket.on("open", () => {
			settle();
			this.#backoff = opened(this.#backoff, Date.now());
			this.#isAsked = false;
			this.#heartbeat = setInterval(() => this.#beat(socket), this.#options.heartbeatMs ?? HEARTBEAT_MS);
		});
		socket.on("message", (data, isBinary) => {
			if (this.#socket !== socket) return;
			this.#isAsked = false;
			const frame = isBinary ? null : decode(this.#options.schema, String(data), MAX_FRAME_BYTES);
			// A gateway of another version may say more than we know; what we do not understand we do not act on.
			if (frame?.ok === true) this.#options.onFrame(frame.value);
		});
		// "close" follows every error.
		socket.on("error", settle);
		socket.on("unexpected-response", (request, response) => {
			settle();
			// Kept alive, and with nobody to hear of its errors: a reset after the answer would end the daemon.
			response.socket.on("error", () => {});
			let body = "";
			response.on("data", (chunk: Buffer) => {
				if (body.length < 65_536) body += chunk.toString("utf8");
			});
			response.on("end", () => {
				request.destroy();
				const problem = parseProblem(body);
				this.#down(socket, problem ? closeCode(problem.code) : 1006, problem?.detail ?? `HTTP ${response.statusCode}`);
			});
			response.on("error", () => this.#down(socket, 1006, "the answer broke off"));
		});
		socket.on("close", (code, reason) => {
			settle();
			this.#down(socket, code, reason.toString("utf8"));
		});
	}

	#beat(socket: WebSocket): void {
		// The last ping was not answered: the link is dead, though no close came. Half-open connections look alive for hours.
		if (this.#isAsked) return socket.terminate();
		this.#isAsked = true;
		if (socket.readyState === WebSocket.OPEN) socket.send(PING);
	}

	#down(socket: WebSocket, code: number, reason: string): void {
		if (this.#socket !== socket || this.#ended) return;
		this.#socket = null;
		if (this.#heartbeat) clearInterval(this.#heartbeat);
		// 4400: the gateway did not understand a frame. What it owes is sent again after the next attach.
		if (!mayComeBack(code) && code !== closeCode("bad_request")) {
			this.#ended = true;
			this.#options.onEnded(code, reason);
			return;
		}
		this.#options.onDown?.();
		const next = closed(this.#backoff, Date.now(), this.#options.random ?? Math.random);
		this.#backoff = next.backoff;
		this.#retry = setTimeout(() => beginHandshake(() => this.#connect()), next.delayMs);
	}
}

function parseProblem(body: string): { code: ErrorCode; detail: string } | null {
	const problem = decode(Problem, body, 65_536);
	return problem.ok ? problem.value : null;
}
