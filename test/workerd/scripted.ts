import { env } from "cloudflare:workers";
import { vi } from "vitest";
import type { EventPage } from "../../shared/api.ts";
import type { LoggedEvent, RunnerEvent, SessionEvent } from "../../shared/events.ts";
import { PROTOCOL_VERSION, signedText, type ToClientFrame, type ToControlFrame, type ToRunnerFrame } from "../../shared/frames.ts";
import { type Generation, generation, idBody, RunnerId, SessionId, TeamId } from "../../shared/ids.ts";
import { MAX_BATCH_BYTES } from "../../shared/limits.ts";
import type { Principal } from "../../worker/auth.ts";
import type { Env } from "../../worker/config.ts";
import { base64url, newId } from "../../worker/secrets.ts";
import { HOSTS_HEADER, PRINCIPAL_HEADER, RUNNER_HEADER } from "../../worker/session-object.ts";

// wrangler.toml binds exactly what the Worker's own type says.
export const bindings = env as unknown as Env;
const HOST = "gateway.example";

/** A name that no other test of the file has used: objects live as long as the file. */
export const freshTeam = (): TeamId => TeamId.parse(`t${idBody(crypto.getRandomValues(new Uint8Array(26)))}`);
export const principalOf = (team: TeamId, over: Partial<Principal> = {}): Principal => ({
	team,
	actor: "key:test",
	scopes: ["sessions:read", "sessions:write", "runners:read", "runners:write", "keys:write"],
	keyId: null,
	expiresAt: null,
	...over,
});

/** The clock that the objects read too: they run in the same isolate. It stands still unless a test moves it. */
export const clock = {
	start(): void {
		// Never before the real time, at which the platform itself fires alarms.
		vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 3600_000 });
	},
	pass(ms: number): void {
		vi.setSystemTime(Date.now() + ms);
	},
	stop(): void {
		vi.useRealTimers();
	},
};

/** One end of a socket to an object: it keeps what comes, and can wait for it. */
export class ObjectSocket<F extends { type: string }> {
	readonly frames: F[] = [];
	closed: { code: number; reason: string } | null = null;
	onFrame: (frame: F) => void = () => {};
	readonly #socket: WebSocket;
	readonly #looking = new Set<() => void>();

	constructor(socket: WebSocket) {
		this.#socket = socket;
		socket.addEventListener("message", (message) => {
			const frame = JSON.parse(String(message.data)) as F;
			this.frames.push(frame);
			this.onFrame(frame);
			for (const look of [...this.#looking]) look();
		});
		socket.addEventListener("close", ({ code, reason }) => {
			this.closed = { code, reason };
			for (const look of [...this.#looking]) look();
		});
		socket.accept();
	}

	send(frame: object): void {
		this.#socket.send(JSON.stringify(frame));
	}

	close(): void {
		this.#socket.close(1000);
	}

	/** The first frame of this type that fits. */
	frame<T extends F["type"]>(type: T, fits: (frame: Extract<F, { type: T }>) => boolean = () => true): Promise<Extract<F, { type: T }>> {
		return this.#until(() => this.frames.find((f): f is Extract<F, { type: T }> => f.type === type && fits(f as Extract<F, { type: T }>)));
	}

	ended(): Promise<{ code: number; reason: string }> {
		return this.#until(() => this.closed ?? undefined);
	}

	/** Everything sent before was handled, and so was what it was answered. Not the exact ping: that wakes nobody. */
	async settled(): Promise<void> {
		for (let round = 0; round < 2; round++) {
			const pongs = (): number => this.frames.filter((f) => f.type === "pong").length;
			const before = pongs();
			this.#socket.send('{ "type": "ping" }');
			await this.#until(() => pongs() > before || undefined);
		}
	}

	#until<T>(look: () => T | undefined): Promise<T> {
		return new Promise((resolve) => {
			const again = (): void => {
				const found = look();
				if (found === undefined) return;
				this.#looking.delete(again);
				resolve(found);
			};
			this.#looking.add(again);
			again();
		});
	}
}

async function upgrade<F extends { type: string }>(stub: DurableObjectStub, headers: Record<string, string>): Promise<ObjectSocket<F>> {
	const response = await stub.fetch("https://object/", { headers: { upgrade: "websocket", ...headers } });
	if (!response.webSocket) throw new Error(`the upgrade was refused with ${response.status}`);
	return new ObjectSocket<F>(response.webSocket);
}

/** A watcher that keeps the log as a reader would: appended, and cut back by rewinds. */
export class Watcher {
	readonly socket: ObjectSocket<ToClientFrame>;
	readonly view: SessionEvent[] = [];
	/** Offsets that did not follow the one before. */
	readonly gaps: number[] = [];

	private constructor(socket: ObjectSocket<ToClientFrame>) {
		this.socket = socket;
		socket.onFrame = (frame) => {
			if (frame.type === "rewind") this.view.length = frame.rewindTo;
			if (frame.type !== "events") return;
			for (const { offset, event } of frame.events) {
				if (offset !== this.view.length + 1) this.gaps.push(offset);
				this.view.push(event);
			}
			socket.send({ type: "ack", offset: this.view.length });
		};
	}

	static async open(stub: DurableObjectStub, principal: Principal, hello: object = {}): Promise<Watcher> {
		const watcher = new Watcher(await upgrade(stub, { [PRINCIPAL_HEADER]: JSON.stringify(principal) }));
		watcher.socket.send({ type: "hello", protocol: PROTOCOL_VERSION, ...hello });
		await watcher.socket.frame("welcome");
		return watcher;
	}

	/** A socket that has not said hello. */
	static silent(stub: DurableObjectStub, principal: Principal): Promise<ObjectSocket<ToClientFrame>> {
		return upgrade(stub, { [PRINCIPAL_HEADER]: JSON.stringify(principal) });
	}
}

/**
 * A reader that comes and goes, as the protocol has it: what it was shown is kept in stretches without gaps, and a stretch ends
 * only where the gateway said so. Acknowledges when told to.
 */
export class Reader {
	/** Each without gaps; between two of them something was reported lost. */
	readonly stretches: LoggedEvent[][] = [[]];
	/** What the gateway said is lost, both ends included. */
	readonly losses: { first: number; last: number }[] = [];
	/** What is not as the protocol says. */
	readonly wrong: string[] = [];
	socket: ObjectSocket<ToClientFrame> | null = null;
	#last: number | null = null;
	#epoch: string | null = null;
	#life: string | null = null;
	#durable: number | null = null;

	get last(): number {
		return this.#last ?? 0;
	}

	/** `named` are the parts of its place that it tells. */
	async open(stub: DurableObjectStub, principal: Principal, named = { epoch: true, memory: true }): Promise<void> {
		this.socket = await upgrade<ToClientFrame>(stub, { [PRINCIPAL_HEADER]: JSON.stringify(principal) });
		this.socket.onFrame = (frame) => this.#take(frame);
		const place = {
			...(this.#last === null ? {} : { after: this.#last }),
			...(this.#last === null || !named.epoch ? {} : { epoch: this.#epoch }),
			...(this.#last === null || !named.memory ? {} : { life: this.#life, durable: this.#durable }),
		};
		this.socket.send({ type: "hello", protocol: PROTOCOL_VERSION, ...place });
		await this.socket.frame("welcome");
	}

	async close(): Promise<void> {
		this.socket?.close();
		await this.socket?.ended();
		this.socket = null;
	}

	ack(): void {
		this.socket?.send({ type: "ack", offset: this.last });
	}

	#take(frame: ToClientFrame): void {
		if (frame.type === "rewind") {
			this.#life = frame.life;
			this.#forget(frame.rewindTo);
		} else if (frame.type === "welcome") this.#welcome(frame);
		else if (frame.type === "events") {
			this.#durable = Math.max(this.#durable ?? 0, frame.durableOffset);
			for (const logged of frame.events) {
				if (logged.offset !== this.last + 1) this.wrong.push(`${logged.offset} came after ${this.last}`);
				this.#last = logged.offset;
				this.stretches.at(-1)?.push(logged);
			}
		}
	}

	#welcome(frame: Extract<ToClientFrame, { type: "welcome" }>): void {
		this.#epoch = frame.epoch;
		this.#life = frame.life;
		this.#durable = frame.durableOffset;
		const before = frame.firstOffset - 1;
		const isFresh = this.#last === null;
		if (frame.rewindTo !== undefined) this.#forget(frame.rewindTo);
		const isCut = !frame.recovered || (isFresh && before > 0);
		if (isCut !== (frame.snapshot !== undefined)) this.wrong.push(`a welcome ${isCut ? "without" : "with"} a snapshot`);
		if (isFresh) this.#last = 0;
		if (!isCut) return;
		if (before <= this.last) this.wrong.push(`after ${this.last} nothing was lost: ${JSON.stringify(frame).slice(0, 200)}`);
		this.losses.push({ first: this.last + 1, last: before });
		this.stretches.push([]);
		this.#last = before;
	}

	#forget(to: number): void {
		if (to > this.last) this.wrong.push(`rewound from ${this.last} to ${to}`);
		for (const [i, stretch] of this.stretches.entries()) this.stretches[i] = stretch.filter((l) => l.offset <= to);
		this.#last = Math.min(this.last, to);
	}
}

/** A runner's key and what it proves with it. */
export class ScriptedRunner {
	readonly runnerId: RunnerId;
	readonly publicKey: string;
	readonly #key: CryptoKey;

	private constructor(runnerId: RunnerId, publicKey: string, key: CryptoKey) {
		this.runnerId = runnerId;
		this.publicKey = publicKey;
		this.#key = key;
	}

	/** `register` gives it its id, if somebody else does that. */
	static async make(register: (publicKey: string) => Promise<RunnerId> = async () => newId(RunnerId, "run")): Promise<ScriptedRunner> {
		const pair = (await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"])) as CryptoKeyPair;
		const publicKey = base64url(new Uint8Array((await crypto.subtle.exportKey("raw", pair.publicKey)) as ArrayBuffer));
		return new ScriptedRunner(await register(publicKey), publicKey, pair.privateKey);
	}

	async proof(nonce: string, link: string) {
		const text = new TextEncoder().encode(signedText({ host: HOST, runnerId: this.runnerId, nonce, link }));
		const signature = base64url(new Uint8Array(await crypto.subtle.sign({ name: "Ed25519" }, this.#key, text)));
		return { protocol: PROTOCOL_VERSION, runnerId: this.runnerId, host: HOST, signature };
	}

	dial<F extends { type: string }>(stub: DurableObjectStub): Promise<ObjectSocket<F>> {
		return upgrade<F>(stub, { [RUNNER_HEADER]: this.runnerId, [HOSTS_HEADER]: HOST });
	}

	/** A control link that is registered and offers `scripted`. */
	async control(stub: DurableObjectStub, register: object = {}): Promise<ObjectSocket<ToControlFrame>> {
		const socket = await this.dial<ToControlFrame>(stub);
		const { nonce } = await socket.frame("challenge");
		socket.send({ type: "authenticate", ...(await this.proof(nonce, "control")) });
		await socket.frame("authenticated");
		const providers = [{ name: "scripted", version: null }];
		socket.send({
			type: "register",
			version: "0",
			capacity: 1,
			labels: {},
			providers,
			isolation: "process_group",
			draining: false,
			hosted: [],
			...register,
		});
		await socket.settled();
		return socket;
	}

	/** A session's link, attached. */
	async attach(stub: DurableObjectStub, sessionId: SessionId, of: number): Promise<SessionLink> {
		const socket = await this.dial<ToRunnerFrame>(stub);
		const { nonce } = await socket.frame("challenge");
		socket.send({ type: "attach", ...(await this.proof(nonce, sessionId)), generation: of });
		const { ackedSeq } = await socket.frame("attached");
		return new SessionLink(socket, of, ackedSeq);
	}
}

/** A runner's end of a session: it keeps what it reported and sends it again when asked. */
export class SessionLink {
	readonly socket: ObjectSocket<ToRunnerFrame>;
	readonly #generation: number;
	readonly #journal: RunnerEvent[] = [];
	/** The seq before the journal's first event. */
	readonly #base: number;

	constructor(socket: ObjectSocket<ToRunnerFrame>, of: number, ackedSeq: number) {
		this.socket = socket;
		this.#generation = of;
		this.#base = ackedSeq;
		socket.onFrame = (frame) => {
			if (frame.type === "resend") this.#send(frame.fromSeq);
		};
	}

	get acked(): number {
		return this.socket.frames.reduce((seq, f) => (f.type === "ack" ? f.seq : seq), 0);
	}

	report(...events: RunnerEvent[]): void {
		this.#journal.push(...events);
		this.#send(this.#base + this.#journal.length - events.length + 1);
	}

	/** Sends all of it once more, as a runner does that heard no answer. */
	repeat(): void {
		this.#send(this.#base + 1);
	}

	#send(firstSeq: number): void {
		let events: RunnerEvent[] = [];
		let bytes = 0;
		let first = firstSeq;
		const batch = (): void => {
			if (events.length > 0) this.socket.send({ type: "batch", generation: this.#generation, firstSeq: first, events });
			first += events.length;
			events = [];
			bytes = 0;
		};
		for (const event of this.#journal.slice(firstSeq - this.#base - 1)) {
			const size = JSON.stringify(event).length;
			if (bytes + size > MAX_BATCH_BYTES) batch();
			events.push(event);
			bytes += size;
		}
		batch();
	}
}

const SPEC = { provider: "scripted", workDir: null, model: null, permissionMode: "default" } as const;

/** A session's object of its own, without its team: what the team would say, the test says. */
export async function makeSession() {
	const team = freshTeam();
	const sessionId = newId(SessionId, "ses");
	const stub = bindings.SESSION.getByName(`${team}/${sessionId}`);
	await stub.create({ sessionId, team }, SPEC, "key:test");
	const runner = await ScriptedRunner.make();
	return {
		team,
		sessionId,
		stub,
		runner,
		watch: (hello: object = {}) => Watcher.open(stub, principalOf(team), hello),
		/** Takes an input; its turn's id. */
		input: async (text: string): Promise<string> => {
			const taken = await stub.input(text, null, "key:test");
			if (!taken.ok) throw new Error(taken.error.detail);
			return taken.value.turnId;
		},
		grant: (of: number) =>
			stub.granted({
				runnerId: runner.runnerId,
				runnerName: "machine",
				generation: generation(of) as Generation,
				publicKey: runner.publicKey,
				windowMs: 600_000,
			}),
		attach: (of: number) => runner.attach(stub, sessionId, of),
		/** What is stored. */
		log: async () => (JSON.parse(await stub.events(null, null, 1000)) as EventPage).data,
	};
}
