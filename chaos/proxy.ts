import { connect, createServer, type Server, type Socket } from "node:net";
import type { Random } from "./random.ts";
import { type Direction, type LinkKind, type Purpose, type Unit, Wire } from "./wire.ts";

/** Where on a link something happens. Numbers count from 1. */
export interface Place {
	link: LinkKind;
	/** The nth connection of this link alone; absent: any, and what is counted is counted over all of them. */
	connection?: number;
	at:
		| { direction: Direction /** A frame's type, an event's type in it, or * for all. */; type: string; nth: number }
		| { direction: Direction; bytes: number }
		| { afterMs: number };
}

export type Deed =
	/** Both sides are reset; the message is not sent on. */
	| { do: "cut_before" }
	/** The message arrives, nothing after it does. */
	| { do: "cut_after" }
	/** This share of the message's bytes arrives. */
	| { do: "cut_inside"; share: number }
	/** Half-open: nothing goes on either way, and whatever a side does, the other does not hear of it; cut after `ms`. */
	| { do: "stall"; ms: number }
	/** This message, and so those behind it, arrive later. */
	| { do: "delay"; ms: number }
	/** The dialling side is closed, and the gateway's stays open for `ms`: when it is dialled again, the gateway has two connections. */
	| { do: "split"; ms: number }
	/** As split, and the message reaches the gateway after `ms` all the same, with what was sent behind it: when its sender has long sent it anew. */
	| { do: "late"; ms: number };

export interface Fault {
	on: Place;
	deed: Deed;
}

export interface Happening {
	/** ms since the proxy began. */
	at: number;
	link: string;
	connection: number;
	/** Of the message it happened at. */
	type: string;
	deed: Deed["do"];
}

export interface ProxyOptions {
	/** The gateway. */
	port: number;
	/** Each happens once. */
	faults?: Fault[] | undefined;
	/** More of them for the nth connection of a link, told its name: its kind, and behind a slash its session. */
	plan?: ((link: string, kind: LinkKind, connection: number) => Fault[]) | undefined;
	/** How sessions are called in links' names; by their ids, which are another in each run, if absent. */
	nameOf?: (session: string) => string;
}

/** A TCP proxy on the loopback between one party and the gateway, that does to its connections what it is told. */
export class FaultProxy {
	#options: ProxyOptions;
	readonly #server: Server;
	readonly #connections = new Set<Connection>();
	readonly #began = performance.now();
	#faults: Armed[];
	/** Connections so far, by link. */
	readonly #counts = new Map<string, number>();
	/** When a link that was ready was lost, by link. */
	readonly #lostAt = new Map<string, number>();
	readonly happenings: Happening[] = [];
	/** ms from a dial to being attached (or registered), where the gateway still held an older connection of the link. */
	readonly takeoversMs: number[] = [];
	/** ms from a link's loss to being attached (or registered) again, the wait before the dial included. */
	readonly backMs: number[] = [];
	#held = false;
	port = 0;

	private constructor(options: ProxyOptions) {
		this.#options = options;
		this.#faults = (options.faults ?? []).map(arm);
		this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (dialler) => {
			const connection = new Connection(
				this,
				dialler,
				connect({ port: options.port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true }),
			);
			this.#connections.add(connection);
		});
	}

	static async start(options: ProxyOptions): Promise<FaultProxy> {
		const proxy = new FaultProxy(options);
		await new Promise<void>((resolve, reject) => {
			proxy.#server.once("error", reject);
			proxy.#server.listen(0, "127.0.0.1", resolve);
		});
		const address = proxy.#server.address();
		if (typeof address === "object" && address !== null) proxy.port = address.port;
		return proxy;
	}

	get url(): string {
		return `http://127.0.0.1:${this.port}`;
	}

	/** Connections that were cut, stalled, split: all but delayed. */
	get cuts(): number {
		return this.happenings.filter((h) => h.deed !== "delay").length;
	}

	get isHeld(): boolean {
		return this.#held;
	}

	/** From here on these happen, as if it had begun now. */
	begin({ faults = [], plan }: Pick<ProxyOptions, "faults" | "plan">): void {
		this.#options = { ...this.#options, plan };
		this.#faults = faults.map(arm);
		this.#counts.clear();
	}

	/** The cable is pulled: nothing goes on and nothing ends, until `release`. New connections wait too. */
	hold(): void {
		this.#held = true;
	}

	/** What was held goes on; what ended meanwhile ends now. */
	release(): void {
		this.#held = false;
		for (const connection of this.#connections) connection.goOn();
	}

	/** Does this to all that is open now, of one kind or of all. */
	performAll(deed: Deed, kind?: LinkKind): void {
		for (const connection of [...this.#connections])
			if (connection.purpose !== null && (kind === undefined || connection.purpose.kind === kind)) connection.perform(deed, "all");
	}

	async close(): Promise<void> {
		const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
		for (const connection of this.#connections) connection.end();
		await closed;
	}

	// ------------------------------------------------------------ for its connections

	gone(connection: Connection): void {
		this.#connections.delete(connection);
	}

	/** A connection's first request was read: what may happen to it from here. */
	identify(connection: Connection, purpose: Purpose): { link: string; number: number; faults: Armed[] } {
		const { kind, session } = purpose;
		const link = session === null ? kind : `${kind}/${this.#options.nameOf?.(session) ?? session}`;
		const number = (this.#counts.get(link) ?? 0) + 1;
		this.#counts.set(link, number);
		const timed = this.#faults.filter((armed) => !armed.isDone && armed.fault.on.link === kind && "afterMs" in armed.fault.on.at);
		const due = timed.filter((armed) => (armed.fault.on.connection ?? number) === number);
		for (const armed of due) armed.isDone = true;
		const own = [...(this.#options.plan?.(link, kind, number) ?? []).map(arm), ...due];
		connection.replaces = [...this.#connections].some((other) => other !== connection && other.link === link && other.isGatewaysSideOpen);
		return { link, number, faults: own };
	}

	/** The fault that this message meets, if any. Each message counts in all of them. */
	faultAt(connection: Connection, direction: Direction, unit: Unit, bytesSoFar: number): Fault | null {
		let found: Fault | null = null;
		for (const armed of [...this.#faults, ...connection.faults]) {
			const { on } = armed.fault;
			if (armed.isDone || on.link !== connection.purpose?.kind) continue;
			if (on.connection !== undefined && on.connection !== connection.number) continue;
			if ("afterMs" in on.at || on.at.direction !== direction) continue;
			if ("bytes" in on.at) {
				if (bytesSoFar + unit.bytes.length < on.at.bytes) continue;
			} else {
				if (on.at.type !== "*" && !unit.types.includes(on.at.type)) continue;
				if (++armed.count < on.at.nth) continue;
			}
			if (found !== null) continue;
			armed.isDone = true;
			found = armed.fault;
		}
		return found;
	}

	tell(connection: Connection, type: string, deed: Deed): void {
		this.happenings.push({
			at: Math.round(performance.now() - this.#began),
			link: connection.link,
			connection: connection.number,
			type,
			deed: deed.do,
		});
	}

	ready(connection: Connection): void {
		const now = performance.now();
		if (connection.replaces) this.takeoversMs.push(now - connection.openedAt);
		const lostAt = this.#lostAt.get(connection.link);
		if (lostAt !== undefined) this.backMs.push(now - lostAt);
		this.#lostAt.delete(connection.link);
	}

	lost(connection: Connection): void {
		if (connection.wasReady) this.#lostAt.set(connection.link, performance.now());
	}
}

/** A fault with how often its place was passed. */
interface Armed {
	fault: Fault;
	count: number;
	isDone: boolean;
}

const arm = (fault: Fault): Armed => ({ fault, count: 0, isDone: false });

/** What says that a runner's link works. */
const READY = new Set(["attached", "registered"]);
/** Unsent bytes at which the sender has to wait. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

interface Side {
	from: Socket;
	to: Socket;
	waiting: Unit[];
	waitingBytes: number;
	passedBytes: number;
	isEnded: boolean;
	isBusy: boolean;
}

class Connection {
	readonly #proxy: FaultProxy;
	readonly #wire = new Wire();
	readonly #dialler: Socket;
	readonly #gateway: Socket;
	readonly #sides: Record<Direction, Side>;
	readonly #timers = new Set<NodeJS.Timeout>();
	readonly openedAt = performance.now();
	link = "";
	number = 0;
	faults: Armed[] = [];
	/** The gateway held an older connection of the same link when this one came. */
	replaces = false;
	wasReady = false;
	/** Nothing goes on any more, whatever stays open. */
	#stopped = false;
	#over = false;

	constructor(proxy: FaultProxy, dialler: Socket, gateway: Socket) {
		this.#proxy = proxy;
		this.#dialler = dialler;
		this.#gateway = gateway;
		const side = (from: Socket, to: Socket): Side => ({
			from,
			to,
			waiting: [],
			waitingBytes: 0,
			passedBytes: 0,
			isEnded: false,
			isBusy: false,
		});
		this.#sides = { up: side(dialler, gateway), down: side(gateway, dialler) };
		for (const direction of ["up", "down"] as const) {
			const { from } = this.#sides[direction];
			from.on("data", (bytes: Buffer) => this.#take(direction, bytes));
			from.on("end", () => this.#ended(direction));
			// "close" follows.
			from.on("error", () => {});
			from.on("close", () => this.#closed(direction));
		}
	}

	get purpose(): Purpose | null {
		return this.#wire.purpose;
	}

	/** As the gateway sees it. */
	get isGatewaysSideOpen(): boolean {
		return !this.#gateway.destroyed && !this.#gateway.writableEnded;
	}

	/** Ends it from here, without a fault. */
	end(): void {
		this.#over = true;
		for (const timer of this.#timers) clearTimeout(timer);
		this.#dialler.destroy();
		this.#gateway.destroy();
		this.#proxy.gone(this);
	}

	goOn(): void {
		for (const direction of ["up", "down"] as const) {
			void this.#pass(direction);
			if (this.#sides[direction].from.destroyed) this.#closed(direction);
		}
	}

	#take(direction: Direction, bytes: Buffer): void {
		const side = this.#sides[direction];
		const wasKnown = this.purpose !== null;
		for (const unit of this.#wire[direction].push(bytes)) {
			side.waiting.push(unit);
			side.waitingBytes += unit.bytes.length;
		}
		const { purpose } = this;
		if (!wasKnown && purpose !== null) {
			const { link, number, faults } = this.#proxy.identify(this, purpose);
			[this.link, this.number, this.faults] = [link, number, faults];
			for (const { fault } of faults)
				if ("afterMs" in fault.on.at && (fault.on.connection ?? number) === number)
					this.#later(fault.on.at.afterMs, () => this.perform(fault.deed, "time"));
		}
		if (side.waitingBytes > MAX_WAITING_BYTES) side.from.pause();
		void this.#pass(direction);
	}

	async #pass(direction: Direction): Promise<void> {
		const side = this.#sides[direction];
		if (side.isBusy) return;
		side.isBusy = true;
		for (let unit = side.waiting[0]; unit !== undefined && !this.#stopped && !this.#proxy.isHeld; unit = side.waiting[0]) {
			side.waiting.shift();
			const fault = this.#proxy.faultAt(this, direction, unit, side.passedBytes);
			if (fault !== null) {
				await this.#meet(fault.deed, direction, unit);
				if (this.#stopped || fault.deed.do !== "delay") break;
			}
			side.waitingBytes -= unit.bytes.length;
			side.passedBytes += unit.bytes.length;
			await this.#send(side, unit.bytes);
			if (side.waitingBytes <= MAX_WAITING_BYTES && side.from.isPaused()) side.from.resume();
			if (direction === "down" && !this.wasReady && unit.types.some((type) => READY.has(type))) {
				this.wasReady = true;
				this.#proxy.ready(this);
			}
		}
		side.isBusy = false;
		if (side.isEnded && side.waiting.length === 0 && !this.#stopped && !this.#proxy.isHeld) side.to.end();
	}

	/** Settles when the bytes are the kernel's, or never will be. */
	async #send(side: Side, bytes: Buffer): Promise<void> {
		if (side.to.destroyed || side.to.writableEnded) return;
		if (side.to.connecting) await either(side.to, "connect");
		if (side.to.destroyed) return;
		if (side.to.write(bytes)) return;
		await either(side.to, "drain");
	}

	async #meet(deed: Deed, direction: Direction, unit: Unit): Promise<void> {
		const side = this.#sides[direction];
		const type = unit.types[0] ?? "";
		if (deed.do === "delay") {
			this.#proxy.tell(this, type, deed);
			await new Promise<void>((resolve) => this.#later(deed.ms, resolve));
			return;
		}
		if (deed.do === "cut_after" || deed.do === "cut_inside" || deed.do === "split") {
			const part = deed.do === "cut_inside" ? Math.max(1, Math.floor(deed.share * unit.bytes.length)) : unit.bytes.length;
			await this.#send(side, unit.bytes.subarray(0, part));
		}
		// What waits behind it stays queued.
		if (deed.do === "late") side.waiting.unshift(unit);
		this.perform(deed, type);
	}

	perform(deed: Deed, type: string): void {
		if (this.#over) return;
		// What is stalled can still be cut.
		if (this.#stopped) return deed.do === "cut_before" ? this.end() : undefined;
		this.#stopped = true;
		this.#proxy.tell(this, type, deed);
		if (deed.do !== "stall") this.#proxy.lost(this);
		switch (deed.do) {
			case "cut_before":
				this.#dialler.resetAndDestroy();
				this.#gateway.resetAndDestroy();
				return this.end();
			case "cut_after":
			case "cut_inside":
				// Not a reset, which would throw away what was sent and not read yet.
				for (const socket of [this.#dialler, this.#gateway]) {
					socket.pause();
					socket.end();
					this.#later(200, () => socket.destroy());
				}
				return;
			case "stall":
				for (const socket of [this.#dialler, this.#gateway]) socket.pause();
				this.#later(deed.ms, () => {
					this.#proxy.lost(this);
					this.end();
				});
				return;
			case "split":
				this.#gateway.pause();
				this.#dialler.destroy();
				this.#later(deed.ms, () => this.end());
				return;
			case "late":
				this.#dialler.destroy();
				this.#later(deed.ms, () => {
					for (const { bytes } of this.#sides.up.waiting) this.#gateway.write(bytes);
					this.#later(300, () => this.end());
				});
				return;
			case "delay":
				// There is nothing left to be late.
				return this.end();
		}
	}

	#later(ms: number, run: () => void): void {
		const timer = setTimeout(() => {
			this.#timers.delete(timer);
			run();
		}, ms);
		this.#timers.add(timer);
	}

	#ended(direction: Direction): void {
		this.#sides[direction].isEnded = true;
		void this.#pass(direction);
	}

	#closed(direction: Direction): void {
		if (this.#over) return;
		const other = direction === "up" ? this.#gateway : this.#dialler;
		if (other.destroyed) return this.end();
		// Of what is stalled or held nobody hears the end.
		if (this.#stopped || this.#proxy.isHeld) return;
		this.#proxy.lost(this);
		const side = this.#sides[direction];
		const flushed = side.waiting.length === 0 && !side.isBusy;
		if (flushed) this.#finish(other);
		else this.#later(200, () => this.#finish(other));
	}

	/** Lets what was sent to it arrive, and ends it. */
	#finish(socket: Socket): void {
		socket.end();
		this.#later(500, () => this.end());
	}
}

/** Settles with this event of the socket, or its close. */
function either(socket: Socket, event: "connect" | "drain"): Promise<void> {
	return new Promise((resolve) => {
		const done = (): void => {
			socket.off(event, done);
			socket.off("close", done);
			resolve();
		};
		socket.on(event, done);
		socket.on("close", done);
	});
}

/** How a storm treats a link: this many faults, on one connection after the other. */
export interface Storm {
	random: Random;
	/** How many, by kind of link. */
	budget: Record<LinkKind, number>;
}

/** Faults by chance: the same connection of the same link always gets the same. */
export function storm({ random, budget }: Storm): NonNullable<ProxyOptions["plan"]> {
	return (link, kind, connection) => {
		if (connection > budget[kind]) return [];
		const chance = random.fork(`${link}#${connection}`);
		return [{ on: { link: kind, at: placeIn(kind, chance) }, deed: deedFor(kind, chance) }];
	};
}

/** How many messages of a connection pass before its fault; a REST connection may see one request only. */
const UP_TO_MESSAGES: Record<LinkKind, number> = { control: 8, session: 60, client: 40, sse: 40, rest: 3 };

function placeIn(kind: LinkKind, chance: Random): Place["at"] {
	const direction = chance.pick(["up", "down"] as const);
	// Server-sent events have one request, and then only answers.
	const to = kind === "sse" ? "down" : direction;
	// Mostly early: the handshake and what follows it is where the state is.
	const many = Math.max(1, Math.ceil(UP_TO_MESSAGES[kind] * chance.next() ** 2));
	if (kind === "control" || chance.chance(0.15)) return { afterMs: chance.whole(5, kind === "control" ? 1_500 : 700) };
	if (chance.chance(0.15)) return { direction: to, bytes: Math.ceil(8_000 * chance.next() ** 2) };
	return { direction: to, type: "*", nth: to === "up" && kind === "client" ? Math.ceil(many / 10) : many };
}

function deedFor(kind: LinkKind, chance: Random): Deed {
	const what = chance.weighted({
		cut_before: 3,
		cut_after: 3,
		cut_inside: 3,
		stall: 1,
		delay: 1,
		split: kind === "rest" ? 0 : 2,
		late: kind === "sse" ? 0 : 1,
	});
	if (what === "cut_inside") return { do: what, share: chance.next() };
	if (what === "stall") return { do: what, ms: chance.whole(100, 1_200) };
	if (what === "delay") return { do: what, ms: chance.whole(20, 400) };
	if (what === "split") return { do: what, ms: chance.whole(300, 3_000) };
	if (what === "late") return { do: what, ms: chance.whole(200, 1_500) };
	return { do: what };
}
