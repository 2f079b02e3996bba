import { createServer, type Server } from "node:http";
import { afterEach, describe, expect, test } from "vitest";
import WebSocket, { WebSocketServer } from "ws";
import { type Deed, type Fault, FaultProxy, type ProxyOptions, storm } from "../../chaos/proxy.ts";
import { Random } from "../../chaos/random.ts";
import { type Unit, Wire } from "../../chaos/wire.ts";

const LINK = "/v1/link/default/run_00000000000000000000000000/ses_00000000000000000000000000";
const ends: (() => unknown)[] = [];
afterEach(async () => {
	for (const end of ends.splice(0).toReversed()) await end();
});

/** A gateway of a few words: says `attached` to whoever comes, acknowledges what is said, and remembers it. */
async function gateway(): Promise<{ port: number; heard: string[]; open: () => number }> {
	const heard: string[] = [];
	const server: Server = createServer((request, response) => {
		heard.push(`${request.method} ${request.url}`);
		request.resume().on("end", () => response.end("answer"));
	});
	const sockets = new WebSocketServer({ server });
	sockets.on("connection", (socket) => {
		socket.send('{"type":"attached"}');
		socket.on("message", (data) => {
			heard.push(String(data));
			socket.send(JSON.stringify({ type: "ack", seq: heard.length }));
		});
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	ends.push(() => {
		for (const socket of sockets.clients) socket.terminate();
		server.closeAllConnections();
		return new Promise((resolve) => server.close(resolve));
	});
	const address = server.address();
	return { port: typeof address === "object" && address !== null ? address.port : 0, heard, open: () => sockets.clients.size };
}

async function through(options: Omit<ProxyOptions, "port">) {
	const { port, heard, open } = await gateway();
	const proxy = await FaultProxy.start({ port, ...options });
	ends.push(() => proxy.close());
	return { proxy, heard, open };
}

/** A runner's session link that says `count` batches, and how it went. */
async function talk(proxy: FaultProxy, count: number): Promise<{ acks: number; closed: Promise<number>; socket: WebSocket }> {
	const socket = new WebSocket(`${proxy.url.replace("http", "ws")}${LINK}`);
	ends.push(() => socket.terminate());
	const state = { acks: 0, socket, closed: new Promise<number>((resolve) => socket.once("close", resolve)) };
	socket.on("error", () => {});
	socket.on("message", (data) => {
		if (String(data).includes("ack")) state.acks++;
	});
	await new Promise((resolve) => socket.once("open", resolve).once("close", resolve));
	for (let i = 1; i <= count; i++)
		socket.send(JSON.stringify({ type: "batch", firstSeq: i, events: [{ type: i === 2 ? "turn_started" : "text_delta" }] }));
	return state;
}

const at = (type: string, nth: number, deed: Deed, direction: "up" | "down" = "up"): Fault => ({
	on: { link: "session", at: { direction, type, nth } },
	deed,
});
const soon = { timeout: 3_000 };

describe("what lies on the wire", () => {
	test("units joined are the bytes, however these are cut, and name their types", async () => {
		const wire = new Wire();
		const up = Buffer.concat([
			Buffer.from(`GET ${LINK} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n`),
			frame('{"type":"batch","events":[{"type":"turn_started"}]}', true),
			frame(`{"type":"batch","pad":"${"x".repeat(70_000)}"}`, true),
			frame("{}", true),
		]);
		const down = Buffer.concat([Buffer.from("HTTP/1.1 101 Switching\r\n\r\n"), frame('{"type":"ack","seq":1}', false)]);
		const units = (bytes: Buffer, direction: "up" | "down", step: number): Unit[] => {
			const found: Unit[] = [];
			for (let i = 0; i < bytes.length; i += step) found.push(...wire[direction].push(bytes.subarray(i, i + step)));
			return found;
		};
		const request = units(up.subarray(0, up.indexOf("\r\n\r\n") + 4), "up", 7);
		const answers = units(down, "down", 5);
		const frames = units(up.subarray(up.indexOf("\r\n\r\n") + 4), "up", 1_000);
		expect(wire.purpose).toMatchObject({ kind: "session", session: "ses_00000000000000000000000000" });
		expect(answers.map((u) => u.types[0])).toEqual(["upgraded", "ack"]);
		expect(frames.map((u) => u.types)).toEqual([["batch", "turn_started"], ["batch"], []]);
		expect(Buffer.concat([...request, ...frames].map((u) => u.bytes)).equals(up)).toBe(true);
	});

	test("requests and answers, whole and in chunks", () => {
		const wire = new Wire();
		const up = wire.up.push(Buffer.from("POST /v1/tickets HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}GET /v1/x?y=1 HTTP/1.1\r\n\r\n"));
		expect(up.map((u) => u.types)).toEqual([
			["request", "POST /v1/tickets"],
			["request", "GET /v1/x"],
		]);
		const down = wire.down.push(
			Buffer.from(
				"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
			),
		);
		expect(down.map((u) => u.types[0])).toEqual(["answer", "answer", "chunk", "last_chunk"]);
	});
});

describe("what a proxy does to a link", () => {
	test("nothing, if nothing is asked of it", async () => {
		const { proxy, heard } = await through({});
		const link = await talk(proxy, 5);
		await expect.poll(() => link.acks, soon).toBe(5);
		expect(heard).toHaveLength(5);
		const answer = await fetch(`${proxy.url}/v1/sessions`, { method: "POST", body: "{}" });
		expect(await answer.text()).toBe("answer");
		expect(proxy.cuts).toBe(0);
	});

	test("a cut before a message: it does not arrive", async () => {
		const { proxy, heard } = await through({ faults: [at("batch", 3, { do: "cut_before" })] });
		const link = await talk(proxy, 5);
		expect(await link.closed).toBe(1006);
		expect(heard).toHaveLength(2);
		expect(proxy.happenings).toMatchObject([{ link: "session/ses_00000000000000000000000000", type: "batch", deed: "cut_before" }]);
	});

	test("a cut after a message: it arrives, and the next does not; types of events count too", async () => {
		const { proxy, heard } = await through({ faults: [at("turn_started", 1, { do: "cut_after" })] });
		const link = await talk(proxy, 5);
		expect(await link.closed).toBe(1006);
		await expect.poll(() => heard.length, soon).toBe(2);
	});

	test("a cut inside a message: half of it is no message", async () => {
		const { proxy, heard } = await through({ faults: [at("batch", 2, { do: "cut_inside", share: 0.6 })] });
		const link = await talk(proxy, 5);
		expect(await link.closed).toBe(1006);
		expect(heard).toHaveLength(1);
	});

	test("a cut on the way down", async () => {
		const { proxy, heard } = await through({ faults: [at("ack", 2, { do: "cut_before" }, "down")] });
		const link = await talk(proxy, 2);
		expect(await link.closed).toBe(1006);
		expect([heard.length, link.acks]).toEqual([2, 1]);
	});

	test("by time and by bytes", async () => {
		const timed = await through({ faults: [], plan: () => [{ on: { link: "session", at: { afterMs: 50 } }, deed: { do: "cut_before" } }] });
		const link = await talk(timed.proxy, 0);
		expect(await link.closed).toBe(1006);
		const counted = await through({
			faults: [{ on: { link: "session", at: { direction: "up", bytes: 400 } }, deed: { do: "cut_before" } }],
		});
		expect(await (await talk(counted.proxy, 9)).closed).toBe(1006);
		expect(counted.heard.length).toBeLessThan(9);
	});

	test("a stall: both sides stay open and nothing passes, until it is cut", async () => {
		const { proxy, heard, open } = await through({ faults: [at("batch", 2, { do: "stall", ms: 300 })] });
		const link = await talk(proxy, 5);
		await expect.poll(() => proxy.cuts, soon).toBe(1);
		expect([heard.length, open(), link.socket.readyState]).toEqual([1, 1, WebSocket.OPEN]);
		link.socket.send("{}");
		expect(await link.closed).toBe(1006);
		expect(heard).toHaveLength(1);
	});

	test("a delay: all arrives, in order, later", async () => {
		const { proxy, heard } = await through({ faults: [at("batch", 2, { do: "delay", ms: 150 })] });
		const began = performance.now();
		const link = await talk(proxy, 4);
		await expect.poll(() => link.acks, soon).toBe(4);
		expect(performance.now() - began).toBeGreaterThan(140);
		expect(heard.map((text) => (JSON.parse(text) as { firstSeq: number }).firstSeq)).toEqual([1, 2, 3, 4]);
		expect(proxy.cuts).toBe(0);
	});

	test("a split: the gateway keeps the old connection beside the new one, and the takeover is timed", async () => {
		const { proxy, open } = await through({ faults: [at("batch", 1, { do: "split", ms: 400 })] });
		const first = await talk(proxy, 1);
		expect(await first.closed).toBe(1006);
		const second = await talk(proxy, 1);
		await expect.poll(() => second.acks, soon).toBe(1);
		expect(open()).toBe(2);
		expect(proxy.takeoversMs).toHaveLength(1);
		await expect.poll(open, soon).toBe(1);
	});

	test("late: the gateway hears it when it has long been said anew", async () => {
		const { proxy, heard } = await through({ faults: [at("batch", 1, { do: "late", ms: 300 })] });
		const first = await talk(proxy, 3);
		expect(await first.closed).toBe(1006);
		const second = await talk(proxy, 3);
		await expect.poll(() => second.acks, soon).toBe(3);
		await expect.poll(() => heard.length, soon).toBe(6);
		expect(heard.slice(3)).toEqual(heard.slice(0, 3));
	});

	test("a cable that is pulled and put in again loses nothing that TCP would keep", async () => {
		const { proxy, heard } = await through({});
		const link = await talk(proxy, 1);
		await expect.poll(() => link.acks, soon).toBe(1);
		proxy.hold();
		link.socket.send('{"type":"batch"}');
		await new Promise((resolve) => setTimeout(resolve, 100));
		expect(heard).toHaveLength(1);
		proxy.release();
		await expect.poll(() => link.acks, soon).toBe(2);
	});

	test("a storm is the same for the same seed, another for another, and ends", () => {
		const budget = { control: 2, session: 4, client: 4, sse: 4, rest: 4 };
		const faults = (seed: number) => {
			const plan = storm({ random: new Random(seed), budget });
			return [1, 2, 3, 4, 5].map((n) => plan("session/s1", "session", n));
		};
		expect(faults(1)).toEqual(faults(1));
		expect(faults(1)).not.toEqual(faults(2));
		expect(faults(1).map((f) => f.length)).toEqual([1, 1, 1, 1, 0]);
	});
});

function frame(text: string, isMasked: boolean): Buffer {
	const payload = Buffer.from(text);
	const mask = Buffer.from([1, 2, 3, 4]);
	const size = payload.length < 126 ? [payload.length] : payload.length < 65_536 ? [126] : [127];
	const extended = size[0] === 126 ? Buffer.alloc(2) : size[0] === 127 ? Buffer.alloc(8) : Buffer.alloc(0);
	if (extended.length === 2) extended.writeUInt16BE(payload.length);
	if (extended.length === 8) extended.writeBigUInt64BE(BigInt(payload.length));
	const head = Buffer.from([0x81, (size[0] ?? 0) | (isMasked ? 0x80 : 0)]);
	if (!isMasked) return Buffer.concat([head, extended, payload]);
	return Buffer.concat([head, extended, mask, payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0))]);
}
