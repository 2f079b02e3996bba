import { type AddressInfo, createServer } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { Link } from "../../runner/link.ts";
import { PONG, ToControlFrame } from "../../shared/frames.ts";

const servers: WebSocketServer[] = [];
const links: Link<typeof ToControlFrame>[] = [];
afterEach(() => {
	for (const link of links.splice(0)) link.close();
	for (const server of servers.splice(0)) {
		for (const socket of server.clients) socket.terminate();
		server.close();
	}
});

/** A gateway that accepts when it is told to; `accept` null: at once. */
async function gateway(onConnection: (socket: WebSocket, nth: number) => void, verify?: (accept: () => void) => void): Promise<string> {
	const server = new WebSocketServer({
		port: 0,
		host: "127.0.0.1",
		...(verify ? { verifyClient: (_: unknown, done: (ok: boolean) => void) => verify(() => done(true)) } : {}),
	});
	servers.push(server);
	let nth = 0;
	server.on("connection", (socket) => onConnection(socket, ++nth));
	await new Promise((resolve) => server.once("listening", resolve));
	return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function dial(url: string, over: { onDown?: () => void; heartbeatMs?: number } = {}): Link<typeof ToControlFrame> {
	const link = new Link({ url, schema: ToControlFrame, onFrame: () => {}, onEnded: () => {}, random: () => 0, ...over });
	links.push(link);
	return link;
}

test("[LNK-4] a gateway that falls silent without a close is left when the next ping is due, and dialled again; one that answers is kept", async () => {
	const pings: number[] = [];
	const back = new Promise<void>((resolve) => {
		void gateway((socket, nth) => {
			pings[nth] = 0;
			if (nth === 2) resolve();
			socket.on("message", () => {
				pings[nth] = (pings[nth] ?? 0) + 1;
				// Deaf after three answers, and no close ever comes.
				if (nth > 1 || pings[nth] <= 3) socket.send(PONG);
			});
		}).then((url) => dial(url, { heartbeatMs: 10 }));
	});
	await back;
	expect(pings[1]).toBe(4);
});

test("[LNK-6] a gateway that refuses the upgrade and resets the connection is dialled again, and ends nothing but that", async () => {
	let dials = 0;
	let twice: () => void = () => {};
	const again = new Promise<void>((resolve) => {
		twice = resolve;
	});
	const server = createServer((socket) => {
		socket.on("error", () => {});
		socket.once("data", () => {
			if (++dials === 3) twice();
			socket.write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}", () => setImmediate(() => socket.resetAndDestroy()));
		});
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const link = dial(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
	await again;
	link.close();
	server.close();
});

test("[LNK-5] however many links break at once, no more than 32 handshakes are under way, and all come back", async () => {
	let open = 0;
	let most = 0;
	let connected = 0;
	const waiting: (() => void)[] = [];
	let all: () => void = () => {};
	const done = new Promise<void>((resolve) => {
		all = resolve;
	});
	const url = await gateway(
		() => {
			open--;
			if (++connected === 100) all();
			// As many as came are let in together, so that a crowd would be seen.
			setImmediate(() => waiting.shift()?.());
		},
		(accept) => {
			most = Math.max(most, ++open);
			if (open < 32 && connected + open < 100) waiting.push(accept);
			else for (const each of [accept, ...waiting.splice(0)]) each();
		},
	);
	for (let i = 0; i < 100; i++) dial(url);
	await done;
	expect(most).toBe(32);
});
