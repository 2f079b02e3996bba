import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { LoggedEvent, RunnerEvent } from "../../shared/events.ts";
import { PROTOCOL_VERSION, type ToClientFrame } from "../../shared/frames.ts";
import { TurnId } from "../../shared/ids.ts";
import { FLUSH_AFTER_MS, MAX_PAGE_BYTES, MAX_WATCHERS, WATCHER_WINDOW_BYTES, WATCHERS_WINDOW_BYTES } from "../../shared/limits.ts";
import { EventLog } from "../../worker/event-log.ts";
import { PRINCIPAL_HEADER } from "../../worker/session-object.ts";
import { placeOf, serverSentEvents } from "../../worker/sse.ts";
import { clock, makeSession, principalOf, Reader, type SessionLink } from "./scripted.ts";

beforeEach(() => clock.start());
afterEach(() => {
	clock.stop();
	vi.restoreAllMocks();
});

type Made = Awaited<ReturnType<typeof makeSession>>;
const said = (turnId: string, text: string): RunnerEvent => ({ type: "text_delta", turnId: TurnId.parse(turnId), messageId: "m1", text });
const called = (turnId: string): RunnerEvent => ({
	type: "tool_call",
	turnId: TurnId.parse(turnId),
	toolCallId: "t",
	tool: "Bash",
	input: {},
});

async function atWork(): Promise<Made & { turnId: string; link: SessionLink; say: (bytes: number) => Promise<void> }> {
	const session = await makeSession();
	const turnId = await session.input("hello");
	await session.grant(1);
	const link = await session.attach(1);
	link.report({ type: "turn_started", turnId: TurnId.parse(turnId), origin: "input" });
	await link.socket.settled();
	const say = async (bytes: number): Promise<void> => {
		for (let left = bytes; left > 0; left -= 50_000) link.report(said(turnId, "x".repeat(Math.min(left, 50_000))));
		await link.socket.settled();
	};
	return { ...session, turnId, link, say };
}

/** A socket of which only is known how much came. */
class Lazy {
	bytes = 0;
	last = 0;
	readonly errors: string[] = [];
	readonly #socket: WebSocket;

	private constructor(socket: WebSocket) {
		this.#socket = socket;
		socket.addEventListener("message", (message) => {
			const text = String(message.data);
			const frame = JSON.parse(text) as ToClientFrame;
			if (frame.type === "error") this.errors.push(frame.problem.code);
			if (frame.type !== "events") return;
			this.bytes += text.length;
			this.last = frame.events.at(-1)?.offset ?? this.last;
		});
		socket.accept();
	}

	/** Null: it was refused. */
	static async open(session: Made): Promise<Lazy | null> {
		const headers = { upgrade: "websocket", [PRINCIPAL_HEADER]: JSON.stringify(principalOf(session.team)) };
		const { webSocket } = await session.stub.fetch("https://object/", { headers });
		if (!webSocket) return null;
		const lazy = new Lazy(webSocket);
		lazy.send({ type: "hello", protocol: PROTOCOL_VERSION });
		return lazy;
	}

	send(frame: object | string): void {
		this.#socket.send(typeof frame === "string" ? frame : JSON.stringify(frame));
	}

	close(): void {
		this.#socket.close(1000);
	}
}

async function eagerOf(session: Made): Promise<Reader> {
	const eager = new Reader();
	await eager.open(session.stub, principalOf(session.team));
	return eager;
}
/** Reads to the end, with an acknowledgement for each round. */
async function readToEnd(reader: Reader, last: number): Promise<void> {
	for (let n = 0; n < 100 && reader.last < last; n++) {
		reader.ack();
		await reader.socket?.settled();
	}
}

describe("a watcher that does not read", () => {
	test("[WAT-1] 255 of them get their share of 32 MiB and no more, and one that reads gets everything at once", {
		timeout: 60_000,
	}, async () => {
		const session = await atWork();
		const eager = await eagerOf(session);
		const lazies: Lazy[] = [];
		for (let n = 1; n < MAX_WATCHERS; n++) {
			const lazy = await Lazy.open(session);
			if (lazy) lazies.push(lazy);
		}
		expect([lazies.length, await Lazy.open(session)]).toEqual([MAX_WATCHERS - 1, null]);
		let last = eager.last;
		for (let n = 0; n < 40; n++) {
			await session.say(100_000);
			last += 2;
			await readToEnd(eager, last);
			expect(eager.last).toBe(last);
		}
		// Until then fewer watched, and each had a larger share; what came is the smallest share with one frame over it.
		const share = WATCHERS_WINDOW_BYTES / MAX_WATCHERS;
		for (const lazy of lazies) {
			expect(lazy.bytes).toBeGreaterThan(share / 2);
			expect(lazy.bytes).toBeLessThan(share + Math.max(share / 2, 51_000) + 1000);
		}
		expect(eager.wrong).toEqual([]);
		for (const lazy of lazies) lazy.close();
		await eager.close();
	});

	test("[WAT-1] while all are paused nothing is read or made for them; for those who are up to date each frame is made once", async () => {
		const session = await atWork();
		const lazies = await Promise.all(Array.from({ length: 10 }, () => Lazy.open(session)));
		await session.link.socket.settled();
		const made: number[] = [];
		const stringify = JSON.stringify.bind(JSON);
		vi.spyOn(JSON, "stringify").mockImplementation((value: unknown, ...rest: []) => {
			if ((value as { type?: unknown } | null)?.type === "events") made.push((value as { events: unknown[] }).events.length);
			return stringify(value, ...rest);
		});
		await session.say(10);
		expect(made).toEqual([1]);
		await session.say(2 * WATCHER_WINDOW_BYTES);
		const before = made.length;
		expect(before).toBeLessThan(40);
		await session.say(WATCHER_WINDOW_BYTES);
		expect(made.length).toBe(before);
		for (const lazy of lazies) lazy?.close();
	});

	test("[WAT-1] acknowledgements that are garbage, ahead or behind open nothing; the right one does", async () => {
		const session = await atWork();
		const lazy = (await Lazy.open(session)) as Lazy;
		await session.say(3 * WATCHER_WINDOW_BYTES);
		const { last, bytes } = lazy;
		expect(bytes).toBeGreaterThan(WATCHER_WINDOW_BYTES - 1);
		expect(bytes).toBeLessThan(WATCHER_WINDOW_BYTES + MAX_PAGE_BYTES + 1000);
		for (const offset of [last + 1, 1_000_000, Number.MAX_SAFE_INTEGER, 0, -1, 1.5, "7", null]) lazy.send({ type: "ack", offset });
		for (const frame of ['{"type":"ack"}', '{"type":"ack","offset":1e400}', '{"type":"ack","offset":{}}']) lazy.send(frame);
		await session.link.socket.settled();
		await session.say(10);
		expect([lazy.last, lazy.bytes]).toEqual([last, bytes]);
		expect(lazy.errors).toEqual(Array(7).fill("bad_request"));
		// Behind what was sent, it opens as much as it says; what was acknowledged once stays so.
		for (const offset of [last, last - 3]) lazy.send({ type: "ack", offset });
		await session.link.socket.settled();
		await session.say(10);
		expect(lazy.last).toBeGreaterThan(last);
		await runInDurableObject(session.stub, (_, state) => {
			expect(state.getWebSockets("client").map((ws) => (ws.deserializeAttachment() as { acked: number }).acked)).toEqual([last]);
		});
		lazy.close();
	});

	test("[WAT-1] a paused watcher stays paused when the object's memory is gone, and goes on where it was", async () => {
		const session = await atWork();
		const reader = await eagerOf(session);
		await session.say(3 * WATCHER_WINDOW_BYTES);
		session.link.report(called(session.turnId));
		await session.link.socket.settled();
		await reader.socket?.settled();
		const paused = reader.last;
		await evictDurableObject(session.stub);
		await session.say(WATCHER_WINDOW_BYTES);
		session.link.report(called(session.turnId));
		await session.link.socket.settled();
		await reader.socket?.settled();
		// After an eviction half a window is taken to be open.
		const size = reader.stretches
			.flat()
			.filter((l) => l.offset > paused)
			.reduce((sum, l) => sum + JSON.stringify(l).length, 0);
		expect(size).toBeLessThan(WATCHER_WINDOW_BYTES / 2 + MAX_PAGE_BYTES + 1000);
		await readToEnd(reader, (await session.log()).at(-1)?.offset ?? 0);
		expect([reader.wrong, reader.losses]).toEqual([[], []]);
	});
});

describe("server-sent events", () => {
	/** A stream of the session's, read as a browser would: what it has, and the id that it would come back with. */
	class Stream {
		readonly view: LoggedEvent[] = [];
		readonly named: { event: string; data: Record<string, unknown> }[] = [];
		lastId = "";
		readonly #reader: ReadableStreamDefaultReader<string>;
		#text = "";

		constructor(response: Response) {
			if (!response.body) throw new Error("no stream");
			this.#reader = response.body.pipeThrough(new TextDecoderStream()).getReader() as ReadableStreamDefaultReader<string>;
		}

		static async open(session: Made, lastId = ""): Promise<Stream> {
			const headers = { upgrade: "websocket", [PRINCIPAL_HEADER]: JSON.stringify(principalOf(session.team)) };
			const { webSocket } = await session.stub.fetch("https://object/", { headers });
			if (!webSocket) throw new Error("refused");
			webSocket.accept();
			const place = placeOf(new Request("https://x/", { headers: lastId === "" ? {} : { "last-event-id": lastId } }), undefined);
			if (!place.ok) throw new Error(place.error.detail);
			return new Stream(serverSentEvents(webSocket, place.value, null));
		}

		async until(done: () => boolean): Promise<void> {
			while (!done()) {
				const { value, done: over } = await this.#reader.read();
				if (over) throw new Error("the stream ended");
				this.#text += value;
				const blocks = this.#text.split("\n\n");
				this.#text = blocks.pop() ?? "";
				for (const block of blocks) this.#take(Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s))));
			}
		}

		#take({ id, event, data = "{}" }: { id?: string; event?: string; data?: string }): void {
			if (id !== undefined) this.lastId = id;
			if (event !== undefined) this.named.push({ event, data: JSON.parse(data) as Record<string, unknown> });
			else if (id !== undefined) this.view.push(JSON.parse(data) as LoggedEvent);
		}

		leave(): Promise<void> {
			return this.#reader.cancel();
		}
	}

	test("[LOG-6] an event that is not stored has an id that says so, and a browser that comes back with it is rewound like a socket", async () => {
		const session = await atWork();
		const { stub, link, turnId } = session;
		const stored = (await session.log()).length;
		const stream = await Stream.open(session);
		await stream.until(() => stream.view.length === stored);
		expect(stream.lastId).toBe(String(stored));
		link.report(said(turnId, "seen "), said(turnId, "and lost"));
		await stream.until(() => stream.view.length === stored + 2);
		const life = String(stream.named.find((n) => n.event === "welcome")?.data.life);
		expect(stream.lastId).toBe(`${stored + 2}.${life}.${stored}`);
		await stream.leave();
		await evictDurableObject(stub);
		// Somebody else's input takes the offset; the words come again behind it.
		await stub.input("meanwhile", null, "key:test");
		await link.socket.settled();
		link.report(called(turnId));
		await link.socket.settled();
		const log = await session.log();
		expect(log.length).toBeGreaterThan(stored + 3);
		expect(log[stored]?.event.type).toBe("input");

		const back = await Stream.open(session, stream.lastId);
		await back.until(() => back.view.at(-1)?.offset === log.length);
		expect(back.named[0]).toMatchObject({ event: "welcome", data: { recovered: true, rewindTo: stored } });
		expect([...stream.view.slice(0, stored), ...back.view]).toEqual(log);
		expect(back.lastId).toBe(String(log.length));
		await back.leave();

		// An offset alone is a place too, of a reader that knows what it does.
		const plain = await Stream.open(session, String(stored + 2));
		await plain.until(() => plain.view.at(-1)?.offset === log.length);
		expect(plain.named[0]?.data).not.toHaveProperty("rewindTo");
		expect(plain.view.map((l) => l.offset)).toEqual(log.slice(stored + 2).map((l) => l.offset));
		await plain.leave();
		// As long as the life lasts nothing is taken back.
		link.report(said(turnId, "not stored"));
		const now = await Stream.open(session, String(log.length));
		await now.until(() => now.view.length === 1);
		await now.leave();
		const again = await Stream.open(session, now.lastId);
		link.report(said(turnId, "nor this"));
		await again.until(() => again.view.length === 1);
		expect(again.named[0]?.data).not.toHaveProperty("rewindTo");
		expect(again.view[0]?.offset).toBe(log.length + 2);
		// A stream that stays open while the memory is lost is rewound on the spot, and names the new one from then on.
		await evictDurableObject(stub);
		await link.socket.settled();
		await again.until(() => again.named.some((n) => n.event === "rewind") && again.view.length > 1);
		const rewind = again.named.find((n) => n.event === "rewind")?.data;
		expect(rewind).toMatchObject({ rewindTo: log.length });
		expect(again.lastId).toMatch(new RegExp(`^\\d+\\.${String(rewind?.life)}\\.${log.length}$`));
		await again.leave();
	});

	test.each(["1.a", "1.a.b", "x", "1..2", "-1", "1.a.2.3", "1.a/b.2", `1.${"a".repeat(65)}.2`, "1e3", `${"9".repeat(16)}`])(
		"[LOG-6] a Last-Event-ID of another form is refused: %s",
		(id) => {
			expect(placeOf(new Request("https://x/", { headers: { "last-event-id": id } }), 3)).toMatchObject({
				ok: false,
				error: { code: "bad_request" },
			});
		},
	);

	test("[WAT-1] a stream that nobody reads is paused like a socket and delays nobody; read again, it lacks nothing", async () => {
		const session = await atWork();
		const before = (await session.log()).length;
		const eager = await eagerOf(session);
		const stream = await Stream.open(session);
		const sentTo = () =>
			runInDurableObject(session.stub, (_, state) =>
				state.getWebSockets("client").map((ws) => (ws.deserializeAttachment() as { sent: number; acked: number }).sent),
			);
		for (let n = 0; n < 60; n++) {
			await session.say(100_000);
			await readToEnd(eager, before + 2 * (n + 1));
		}
		expect(eager.last).toBe(before + 120);
		const [first = 0, second = 0] = (await sentTo()).toSorted((a, b) => a - b);
		expect(second).toBe(before + 120);
		// A window of 50,000 bytes an event, and what lies in the streams between.
		expect(first - before).toBeLessThan((WATCHER_WINDOW_BYTES + 2 * MAX_PAGE_BYTES) / 50_000);
		clock.pass(FLUSH_AFTER_MS);
		await runDurableObjectAlarm(session.stub);
		await stream.until(() => stream.view.at(-1)?.offset === eager.last);
		expect(stream.view.map((l) => l.offset)).toEqual(stream.view.map((_, i) => i + 1));
		expect(stream.view).toEqual(eager.stretches.flat());
		await stream.leave();
	});
});

describe("paging", () => {
	test("[LOG-10] a page and a wake-up cost the same at any place of a log, however long it is", async () => {
		const session = await makeSession();
		await runInDurableObject(session.stub, (_, state) => {
			const { sql } = state.storage;
			for (let n = 1; n <= 3000; n++) {
				const events = [0, 1, 2, 3].map((i) => ({
					offset: n * 4 + i,
					at: n,
					event: { type: "raw", source: "stdout", text: `${n * 4 + i}` },
				}));
				sql.exec("INSERT INTO log (first_offset, last_offset, events) VALUES (?, ?, ?)", n * 4, n * 4 + 3, JSON.stringify(events));
			}
			const cursors: { rowsRead: number }[] = [];
			const watched = {
				exec: (query: string, ...bindings: unknown[]) => {
					const cursor = sql.exec(query, ...(bindings as SqlStorageValue[]));
					cursors.push(cursor);
					return cursor;
				},
			} as unknown as SqlStorage;
			const rowsFor = (run: () => unknown): number => {
				cursors.length = 0;
				run();
				return cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0);
			};
			const log = new EventLog(watched, { maxBytes: 1e12, maxAgeMs: null });
			expect(rowsFor(() => log.reload())).toBeLessThan(6);
			for (const after of [4, 5, 6, 7, 6000, 6001, 6002, 6003, 11_980, 11_999]) {
				let offsets: number[] = [];
				const rows = rowsFor(() => {
					offsets = log.read(after, { events: 8, bytes: MAX_PAGE_BYTES }, true).map((l) => l.offset);
				});
				expect([after, offsets]).toEqual([after, Array.from({ length: 8 }, (_, i) => after + 1 + i).filter((o) => o <= 12_003)]);
				expect(rows).toBeLessThan(12);
			}
			expect(log.read(12_003, { events: 8, bytes: 1 }, true)).toEqual([]);
			expect(log.read(50_000, { events: 8, bytes: 1 }, false)).toEqual([]);
		});
	});
});
