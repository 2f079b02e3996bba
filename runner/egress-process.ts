/**
 * The proxy of all sessions of a runner, as a process of its own: a daemon that is killed interrupts no answer of a model, and the next one goes on with it. It is
 * told what to do on a socket in its directory that only the runner's user can open, and ends by itself when nobody needs it any more.
 *
 *   DIR/process.json            which process it is, for whoever starts another one
 *   DIR/control.PID.sock        orders and answers, one JSON line each
 *   DIR/sessions/ID/proxy.sock  what a session's jail sees; the directory is bound, so that the socket can be another's tomorrow
 */
import { lookup } from "node:dns/promises";
import { chmodSync, chownSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { createInterface } from "node:readline";
import { z } from "zod";
import { identify } from "./cli-process.ts";
import { Opened, Order } from "./egress-orders.ts";
import { type Network, SessionProxy } from "./egress-proxy.ts";
import { canonical, type Refusal } from "./reach.ts";

const Options = z.object({
	/** Of which version it is: a daemon of another one replaces it. */
	build: z.string(),
	/** Without a daemon and without a session for this long, it ends. */
	lonelyMs: z.number(),
	/** Without a daemon and without a connection for this long, it ends though sessions are open: nobody comes back to them. */
	abandonedMs: z.number(),
	/** How often it looks whether it is needed, and tells again what it refused. */
	lookMs: z.number(),
});

/** Different ones of a session that are remembered until they are told again; the others count as one. */
const MAX_REFUSALS = 20;

/** The proxies of all sessions, and what they refused. */
class Proxies {
	readonly #open = new Map<string, { opened: Opened; proxy: SessionProxy }>();
	readonly #network: Network;
	/** By session and what was refused: how often since it was last told. */
	readonly #refused = new Map<string, { sessionId: string; refusal: Refusal; times: number }>();
	/** How many of them each session has. */
	readonly #refusedOf = new Map<string, number>();
	readonly tell = new Set<(told: object) => void>();

	constructor(network: Network) {
		this.#network = network;
	}

	get sessions(): Opened[] {
		return [...this.#open.values()].map(({ opened }) => opened);
	}

	get connections(): number {
		return [...this.#open.values()].reduce((sum, { proxy }) => sum + proxy.connections, 0);
	}

	async open(opened: Opened): Promise<void> {
		const { sessionId, rules, owner } = opened;
		const known = this.#open.get(sessionId);
		if (known !== undefined) {
			known.opened = opened;
			known.proxy.rules = rules;
			return;
		}
		const dir = `sessions/${sessionId}`;
		mkdirSync(dir, { recursive: true, mode: 0o700 });
		const path = `${dir}/proxy.sock`;
		rmSync(path, { force: true });
		const proxy = new SessionProxy(rules, this.#network, (refusal) => this.#onRefused(sessionId, refusal));
		this.#open.set(sessionId, { opened, proxy });
		try {
			await proxy.listen(path);
			// The directory keeps others out; its owner may be another user than this process's.
			chmodSync(path, 0o666);
			if (owner !== undefined) chownSync(dir, owner.uid, owner.gid);
		} catch (cause) {
			this.#open.delete(sessionId);
			proxy.close();
			throw cause;
		}
	}

	close(sessionId: string): void {
		this.#open.get(sessionId)?.proxy.close();
		this.#open.delete(sessionId);
		this.tellRefused();
		rmSync(`sessions/${sessionId}`, { recursive: true, force: true });
	}

	/** Closes the sockets, not what came through them. */
	retire(): void {
		for (const { proxy } of this.#open.values()) proxy.retire();
	}

	#onRefused(sessionId: string, refusal: Refusal): void {
		let key = `${sessionId} ${refusal.host} ${refusal.port} ${refusal.rule}`;
		const ofSession = this.#refusedOf.get(sessionId) ?? 0;
		// One that asks for a thousand names says no more by the last of them.
		if (!this.#refused.has(key) && ofSession >= MAX_REFUSALS) key = `${sessionId} and others`;
		const known = this.#refused.get(key);
		if (known !== undefined) {
			known.times++;
			return;
		}
		const entry = { sessionId, refusal, times: 1 };
		this.#refused.set(key, entry);
		this.#refusedOf.set(sessionId, ofSession + 1);
		if (this.tell.size > 0 && ofSession < MAX_REFUSALS) this.#tellOne(entry);
	}

	#tellOne(entry: { sessionId: string; refusal: Refusal; times: number }): void {
		const { sessionId, refusal, times } = entry;
		for (const tell of this.tell) tell({ refused: refusal, sessionId, times });
		entry.times = 0;
	}

	/** Those that came again, and those that came while nobody listened. */
	tellRefused(): void {
		if (this.tell.size === 0) return;
		for (const [key, entry] of this.#refused) {
			if (entry.times > 0) this.#tellOne(entry);
			else {
				this.#refused.delete(key);
				this.#refusedOf.set(entry.sessionId, (this.#refusedOf.get(entry.sessionId) ?? 1) - 1);
			}
		}
	}
}

function main(): void {
	const options = Options.parse(JSON.parse(process.argv[2] ?? ""));
	process.umask(0o077);
	const proxies = new Proxies({
		resolve: async (host) => (await lookup(host, { all: true, order: "verbatim" })).map(({ address }) => address),
		connect,
		ownAddresses: () =>
			new Set(
				Object.values(networkInterfaces())
					.flat()
					.map((at) => canonical(at?.address ?? "")),
			),
	});
	const daemons = new Set<Socket>();
	let neededAt = performance.now();
	let retired = false;

	const take = async (order: Order): Promise<object> => {
		switch (order.order) {
			case "open":
				if (retired) throw new Error("another process has taken its place");
				await proxies.open(Opened.parse(order));
				return {};
			case "close":
				proxies.close(order.sessionId);
				return {};
			case "retire":
				retired = true;
				control.close();
				proxies.retire();
				return { sessions: proxies.sessions };
			case "end":
				setImmediate(() => process.exit(0));
				return {};
		}
	};

	const control = createServer((socket) => {
		const tell = (told: object) => void socket.write(`${JSON.stringify(told)}\n`);
		daemons.add(socket);
		proxies.tell.add(tell);
		socket.on("error", () => socket.destroy());
		socket.once("close", () => {
			daemons.delete(socket);
			proxies.tell.delete(tell);
			neededAt = performance.now();
		});
		tell({ build: options.build, sessions: proxies.sessions.map(({ sessionId }) => sessionId) });
		proxies.tellRefused();
		const lines = createInterface({ input: socket });
		// It says the socket's errors again.
		lines.on("error", () => {});
		lines.on("line", (line) => {
			let order: Order;
			try {
				order = Order.parse(JSON.parse(line));
			} catch {
				// From another version's daemon, or half a line of one that died.
				socket.destroy();
				return;
			}
			take(order).then(
				(answer) => tell({ n: order.n, ...answer }),
				(cause: unknown) => tell({ n: order.n, error: cause instanceof Error ? cause.message : String(cause) }),
			);
		});
	});

	const look = () => {
		const { connections } = proxies;
		if (retired && connections === 0) process.exit(0);
		if (daemons.size > 0 || connections > 0) neededAt = performance.now();
		const aloneMs = performance.now() - neededAt;
		if (aloneMs >= (proxies.sessions.length === 0 ? options.lonelyMs : options.abandonedMs)) process.exit(0);
		// Its directory was removed, or is another process's by now: nobody finds it here.
		if (!retired && connections === 0 && !isNamed()) process.exit(0);
	};

	process.on("uncaughtException", (cause) => {
		console.error(cause);
		// A connection that was cut where nobody listened is that connection's matter; anything else is not to be trusted any more.
		if (!("syscall" in cause)) process.exit(1);
	});
	control.listen(`control.${process.pid}.sock`, () => {
		const own = `process.${process.pid}.json`;
		writeFileSync(own, JSON.stringify(identify(process.pid)), { mode: 0o600 });
		renameSync(own, "process.json");
		setInterval(() => {
			proxies.tellRefused();
			look();
		}, options.lookMs);
		process.stdout.write("READY\n");
	});
}

function isNamed(): boolean {
	try {
		return (JSON.parse(readFileSync("process.json", "utf8")) as { pid: number }).pid === process.pid;
	} catch {
		return false;
	}
}

main();
