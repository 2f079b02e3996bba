import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import type { IncomingMessage } from "node:http";
import WebSocket from "ws";
import type { Client } from "../../shared/client.ts";
import type { Problem } from "../../shared/errors.ts";
import type { RunnerEvent } from "../../shared/events.ts";
import {
	type ControlFrame,
	PROTOCOL_VERSION,
	SUBPROTOCOL,
	signedText,
	type ToControlFrame,
	type ToRunnerFrame,
} from "../../shared/frames.ts";
import type { RunnerId, SessionId, TeamId } from "../../shared/ids.ts";

/** Far over what anything here takes, also beside another test file on two cores. */
const DEADLINE_MS = 20_000;

interface Dial {
	headers?: Record<string, string>;
	protocols?: string[];
}

/** A socket to the gateway that sends and keeps exactly what a test says. */
export class RawSocket<F extends { type: string } = { type: string }> {
	readonly frames: F[] = [];
	closed: { code: number; reason: string } | null = null;
	readonly #socket: WebSocket;
	readonly #looking = new Set<() => void>();
	/** Frames before this one were taken by `next`. */
	#read = 0;

	private constructor(socket: WebSocket) {
		this.#socket = socket;
		socket.on("message", (data: Buffer) => {
			this.frames.push(JSON.parse(data.toString("utf8")) as F);
			this.#look();
		});
		socket.on("error", () => {});
		socket.on("close", (code, reason) => {
			this.closed = { code, reason: reason.toString("utf8") };
			this.#look();
		});
	}

	/** Waits for the upgrade; a refusal is thrown as `Refused`. */
	static async dial<F extends { type: string }>(url: string, { headers = {}, protocols = [] }: Dial = {}): Promise<RawSocket<F>> {
		const socket = new WebSocket(url.replace(/^http/, "ws"), protocols, { headers, perMessageDeflate: false });
		const raw = new RawSocket<F>(socket);
		await new Promise<void>((resolve, reject) => {
			socket.once("open", resolve);
			socket.once(
				"unexpected-response",
				(_request, response) => void bodyOf(response).then((body) => reject(new Refused(response, body)), reject),
			);
			socket.once("error", reject);
		});
		return raw;
	}

	get protocol(): string {
		return this.#socket.protocol;
	}

	send(frame: object): void {
		this.#socket.send(JSON.stringify(frame));
	}

	sendText(text: string | Uint8Array): void {
		this.#socket.send(text);
	}

	close(code = 1000): void {
		this.#socket.close(code);
	}

	/** Takes nothing from the network any more. */
	stopReading(): void {
		this.#socket.pause();
	}

	/** The next frame of this type that fits; those before it are passed over. */
	next<T extends F["type"]>(type: T, fits: (frame: Extract<F, { type: T }>) => boolean = () => true): Promise<Extract<F, { type: T }>> {
		return this.until(`a ${type} frame`, () => {
			for (let i = this.#read; i < this.frames.length; i++) {
				const frame = this.frames[i] as Extract<F, { type: T }>;
				if (frame.type !== type || !fits(frame)) continue;
				this.#read = i + 1;
				return frame;
			}
			if (this.closed) throw new Error(`closed with ${this.closed.code} ${this.closed.reason}`);
			return undefined;
		});
	}

	/** How the gateway ends it. */
	ended(): Promise<{ code: number; reason: string }> {
		return this.until("the close", () => this.closed ?? undefined);
	}

	/** Everything that was sent before was handled. Not the exact ping, which the platform would answer by itself. */
	async settled(): Promise<void> {
		const before = this.frames.filter((f) => f.type === "pong").length;
		this.sendText('{ "type": "ping" }');
		await this.until("a pong", () => this.frames.filter((f) => f.type === "pong").length > before || undefined);
	}

	/** Looks again after every frame until there is something. */
	until<T>(what: string, look: () => T | undefined): Promise<T> {
		return new Promise((resolve, reject) => {
			const end = (run: () => void): void => {
				clearTimeout(timer);
				this.#looking.delete(again);
				run();
			};
			const again = (): void => {
				try {
					const found = look();
					if (found !== undefined) end(() => resolve(found));
				} catch (cause) {
					end(() => reject(new Error(`while waiting for ${what}`, { cause })));
				}
			};
			const last = (): string => JSON.stringify(this.frames.slice(-3)).slice(0, 600);
			const timer = setTimeout(() => end(() => reject(new Error(`no ${what} in ${DEADLINE_MS / 1000} s; last: ${last()}`))), DEADLINE_MS);
			this.#looking.add(again);
			again();
		});
	}

	#look(): void {
		for (const look of [...this.#looking]) look();
	}
}

/** The gateway's answer to an upgrade that it refused. */
export class Refused extends Error {
	readonly status: number;
	readonly body: string;
	readonly problem: Problem | null;
	constructor(response: IncomingMessage, body: string) {
		super(`the upgrade was refused: ${response.statusCode} ${body}`);
		this.status = response.statusCode ?? 0;
		this.body = body;
		this.problem = body.startsWith("{") ? (JSON.parse(body) as Problem) : null;
	}
}

/** How this upgrade is refused; throws if it is not. */
export async function refusal(url: string, dial: Dial = {}): Promise<Refused> {
	let socket: RawSocket;
	try {
		socket = await RawSocket.dial(url, dial);
	} catch (cause) {
		if (cause instanceof Refused) return cause;
		throw cause;
	}
	socket.close();
	throw new Error(`${url}: the upgrade was not refused`);
}

async function bodyOf(response: IncomingMessage): Promise<string> {
	let body = "";
	for await (const chunk of response) body += String(chunk);
	return body;
}

/** A client's socket, authenticated by a key, before its hello. */
export const dialSession = <F extends { type: string }>(url: string, apiKey: string, sessionId: string): Promise<RawSocket<F>> =>
	RawSocket.dial<F>(`${url}/v1/sessions/${sessionId}/socket`, {
		headers: { authorization: `Bearer ${apiKey}` },
		protocols: [SUBPROTOCOL],
	});

export interface KeyPair {
	/** Raw, base64url. */
	publicKey: string;
	privateKey: KeyObject;
}

export function newKeyPair(): KeyPair {
	const { publicKey, privateKey } = generateKeyPairSync("ed25519");
	return { publicKey: publicKey.export({ format: "jwk" }).x ?? "", privateKey };
}

type Register = Extract<ControlFrame, { type: "register" }>;
export type ControlSocket = RawSocket<ToControlFrame>;
export type LinkSocket = RawSocket<ToRunnerFrame>;

/** A runner without a machine: it enrols, links, and reports what a test says. */
export class RawRunner {
	readonly url: string;
	readonly team: TeamId;
	readonly runnerId: RunnerId;
	readonly key: KeyPair;

	constructor(url: string, enrolled: { team: TeamId; runnerId: RunnerId }, key: KeyPair) {
		this.url = url;
		this.team = enrolled.team;
		this.runnerId = enrolled.runnerId;
		this.key = key;
	}

	static async enrol(client: Client, name = "raw"): Promise<RawRunner> {
		const key = newKeyPair();
		const { token } = await client.createRunnerToken();
		return new RawRunner(client.url, await client.enrolRunner(token, { publicKey: key.publicKey, name }), key);
	}

	/** What it says of itself to the nonce, or what a test makes of it. */
	proof(nonce: string, link: string, over: { host?: string; runnerId?: string; key?: KeyPair; link?: string } = {}) {
		const host = over.host ?? new URL(this.url).host;
		const runnerId = over.runnerId ?? this.runnerId;
		const text = signedText({ host, runnerId, nonce, link: over.link ?? link });
		const signature = sign(null, Buffer.from(text), (over.key ?? this.key).privateKey).toString("base64url");
		return { protocol: PROTOCOL_VERSION, runnerId, host, signature };
	}

	/** A control link before anything is proven. */
	dialControl(): Promise<ControlSocket> {
		return RawSocket.dial(`${this.url}/v1/link/${this.team}/${this.runnerId}`);
	}

	dialSession(sessionId: SessionId): Promise<LinkSocket> {
		return RawSocket.dial(`${this.url}/v1/link/${this.team}/${this.runnerId}/${sessionId}`);
	}

	/** A control link that is registered. */
	async connect(register: Partial<Omit<Register, "type">> = {}): Promise<ControlSocket> {
		const control = await this.dialControl();
		const { nonce } = await control.next("challenge");
		control.send({ type: "authenticate", ...this.proof(nonce, "control") });
		await control.next("authenticated");
		control.send({
			type: "register",
			version: "0",
			capacity: 100,
			labels: {},
			providers: [{ name: "scripted", version: null }],
			isolation: "process_group",
			draining: false,
			hosted: [],
			...register,
		} satisfies Register);
		await control.settled();
		return control;
	}

	/** A session link that is attached; `attached` says where the log stands. */
	async attach(
		sessionId: SessionId,
		generation: number,
	): Promise<{ link: LinkSocket; attached: Extract<ToRunnerFrame, { type: "attached" }> }> {
		const link = await this.dialSession(sessionId);
		const { nonce } = await link.next("challenge");
		link.send({ type: "attach", ...this.proof(nonce, sessionId), generation });
		return { link, attached: await link.next("attached") };
	}

	/** Takes the next offer of this session and attaches to it. */
	async host(control: ControlSocket, sessionId: SessionId): Promise<Hosting> {
		const { generation } = await control.next("offer", (f) => f.sessionId === sessionId);
		control.send({ type: "accept", sessionId, generation });
		return new Hosting(sessionId, generation, await this.attach(sessionId, generation));
	}
}

/** A session that a raw runner hosts; it numbers what it reports. */
export class Hosting {
	readonly sessionId: SessionId;
	readonly generation: number;
	readonly link: LinkSocket;
	readonly attached: Extract<ToRunnerFrame, { type: "attached" }>;
	seq: number;

	constructor(
		sessionId: SessionId,
		generation: number,
		{ link, attached }: { link: LinkSocket; attached: Extract<ToRunnerFrame, { type: "attached" }> },
	) {
		this.sessionId = sessionId;
		this.generation = generation;
		this.link = link;
		this.attached = attached;
		this.seq = attached.ackedSeq;
	}

	/** The turn it was given; throws if there is none. */
	get turnId(): string {
		const turnId = this.attached.desired.turn?.turnId;
		if (turnId === undefined) throw new Error("no turn is desired");
		return turnId;
	}

	/** Sends these events with the next seqs. */
	report(...events: RunnerEvent[]): void {
		this.link.send({ type: "batch", generation: this.generation, firstSeq: this.seq + 1, events });
		this.seq += events.length;
	}

	/** Everything reported so far is in the log. */
	async acked(): Promise<void> {
		await this.link.next("ack", (f) => f.seq >= this.seq);
	}
}
