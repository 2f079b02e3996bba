import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { type Problem, problem } from "../../shared/errors.ts";
import type { LoggedEvent, SessionEvent } from "../../shared/events.ts";
import { type ClientFrame, SUBPROTOCOL, type ToClientFrame } from "../../shared/frames.ts";
import { ApprovalId, Epoch, offset, SessionId, TurnId } from "../../shared/ids.ts";

/** The far end of a client: real sockets, and answers as a test says. It knows one session. */

const body = (n: number): string => String(n).padStart(26, "0");
export const SESSION = SessionId.parse(`ses_${body(1)}`);
export const TURN = TurnId.parse(`trn_${body(1)}`);
export const APPROVAL = ApprovalId.parse(`apr_${body(1)}`);
export const EPOCH = Epoch.parse(`epo_${body(1)}`);
export const OTHER_EPOCH = Epoch.parse(`epo_${body(2)}`);

export type Hello = Extract<ClientFrame, { type: "hello" }>;
type Welcome = Extract<ToClientFrame, { type: "welcome" }>;

export interface Call {
	method: string;
	path: string;
	headers: IncomingHttpHeaders;
	body: unknown;
}

export interface Peer {
	/** 1 for the first connection of a gateway. */
	number: number;
	socket: WebSocket;
	subprotocols: string[];
	/** Every frame that the client sent on this connection. */
	frames: ClientFrame[];
	send(frame: ToClientFrame): void;
}

export interface Script {
	/** What a hello is answered with. */
	hello(peer: Peer, hello: Hello): void;
	/** What other frames do; pings are answered unless this returns false. */
	frame?(peer: Peer, frame: ClientFrame): boolean | undefined;
	/** An answer to a REST call, or null for the usual one. */
	call?(call: Call): { status: number; body: unknown } | "cut" | null;
}

export interface ScriptedGateway {
	url: string;
	calls: Call[];
	peers: Peer[];
	close(): Promise<void>;
}

/** Events with the offsets 1, 2, 3 ... */
export const logOf = (events: SessionEvent[]): LoggedEvent[] => events.map((event, i) => ({ offset: offset(i + 1), at: 1000 + i, event }));
export const said = (text: string, messageId = "m1"): SessionEvent => ({ type: "text_delta", turnId: TURN, messageId, text });

export function welcome(lastOffset: number, more: Partial<Welcome> = {}): Welcome {
	return {
		type: "welcome",
		protocol: 1,
		sessionId: SESSION,
		epoch: EPOCH,
		life: "life-1",
		recovered: true,
		firstOffset: offset(1),
		lastOffset: offset(lastOffset),
		durableOffset: offset(lastOffset),
		state: "ready",
		limits: { maxFrameBytes: 1048576, maxInputBytes: 786432, windowBytes: 1048576, heartbeatMs: 20_000 },
		...more,
	};
}
export const events = (log: LoggedEvent[]): ToClientFrame => ({
	type: "events",
	events: log,
	durableOffset: offset(log.at(-1)?.offset ?? 0),
});

/** Answers a hello as the protocol says: a welcome, then what comes after the client's offset, one event a frame. */
export function replay(log: LoggedEvent[]): (peer: Peer, hello: Hello) => void {
	return (peer, hello) => {
		peer.send(welcome(log.length));
		for (const logged of log) if (logged.offset > (hello.after ?? 0)) peer.send(events([logged]));
	};
}

export async function startGateway(script: Script): Promise<ScriptedGateway> {
	const calls: Call[] = [];
	const peers: Peer[] = [];
	let tickets = 0;
	const usual = (call: Call): { status: number; body: unknown } => {
		if (call.path === "/v1/tickets") return { status: 201, body: { ticket: `t${++tickets}`, expiresAt: 9_000_000_000_000 } };
		return { status: 404, body: problem("not_found", `${call.path} is not scripted`) satisfies Problem };
	};
	const server = createServer((request, response) => {
		const chunks: Buffer[] = [];
		request.on("data", (chunk: Buffer) => chunks.push(chunk));
		request.on("end", () => {
			const text = Buffer.concat(chunks).toString();
			const json: unknown = text === "" ? null : JSON.parse(text);
			const call = { method: request.method ?? "", path: request.url ?? "", headers: request.headers, body: json };
			calls.push(call);
			const answer = script.call?.(call) ?? usual(call);
			if (answer === "cut") return void request.socket.destroy();
			response.writeHead(answer.status, { "content-type": answer.status < 400 ? "application/json" : "application/problem+json" });
			response.end(JSON.stringify(answer.body));
		});
	});
	const sockets = new WebSocketServer({ server, handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false) });
	sockets.on("connection", (socket, request) => {
		const subprotocols = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((name) => name.trim());
		const peer: Peer = { number: peers.length + 1, socket, subprotocols, frames: [], send: (frame) => socket.send(JSON.stringify(frame)) };
		peers.push(peer);
		socket.on("error", () => {});
		socket.on("message", (bytes: Buffer) => {
			const frame = JSON.parse(bytes.toString()) as ClientFrame;
			peer.frames.push(frame);
			if (frame.type === "hello") script.hello(peer, frame);
			else if (script.frame?.(peer, frame) !== false && frame.type === "ping") peer.send({ type: "pong" });
		});
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		calls,
		peers,
		close: async () => {
			for (const socket of sockets.clients) socket.terminate();
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
		},
	};
}

/** Time that passes when a test says so. Timers of 0 ms run by themselves. */
export class ManualTime {
	now = 0;
	#timers = new Map<object, { at: number; run: () => void }>();

	readonly setTimer = (run: () => void, ms: number): (() => void) => {
		if (ms === 0) {
			const soon = setImmediate(run);
			return () => clearImmediate(soon);
		}
		const id = {};
		this.#timers.set(id, { at: this.now + ms, run });
		return () => void this.#timers.delete(id);
	};

	/** How many timers wait. */
	get waiting(): number {
		return this.#timers.size;
	}

	pass(ms: number): void {
		this.now += ms;
		for (const [id, timer] of [...this.#timers]) {
			if (timer.at > this.now || !this.#timers.delete(id)) continue;
			timer.run();
		}
	}
}
