import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, request as httpRequest, type IncomingHttpHeaders, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket, type Server as TcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { type Network, SessionProxy, type SessionRules } from "../../runner/egress-proxy.ts";
import type { Refusal } from "../../runner/reach.ts";

let dir: string;
let path: string;
let proxy: SessionProxy;
let refused: Refusal[];
/** What names resolve to; a list of lists is answered one after the other. */
let names: Record<string, string[] | string[][]>;
let asked: string[];
/** What was connected to, and what really: nothing of the internet is there. */
let connectedTo: unknown[];
let instead: number | null;
let open: (Server | TcpServer)[];

const network: Network = {
	resolve(host) {
		asked.push(host);
		const found = names[host];
		if (found === undefined) return Promise.reject(new Error("ENOTFOUND"));
		const [first] = found;
		return Promise.resolve(Array.isArray(first) ? ((found.length > 1 ? found.shift() : first) as string[]) : (found as string[]));
	},
	ownAddresses: () => new Set(["198.18.7.7"]),
	connect(options) {
		options.lookup?.(options.host ?? "", { all: true }, (_, addresses) => connectedTo.push([addresses, options.port]));
		return connect(instead === null ? options : { ...options, host: "127.0.0.1", port: instead, lookup: undefined });
	},
};

// Sockets take their time on a busy machine; nothing here is about how much.
beforeAll(() => vi.setConfig({ testTimeout: 30_000 }));
afterAll(() => vi.resetConfig());

beforeEach(async () => {
	dir = mkdtempSync(join(tmpdir(), "egress-"));
	path = join(dir, "proxy.sock");
	[refused, names, asked, open, connectedTo, instead] = [[], {}, [], [], [], null];
	proxy = new SessionProxy({ reach: { policy: [], owner: [] }, routes: {} }, network, (refusal) => refused.push(refusal));
	await proxy.listen(path);
});
afterEach(() => {
	proxy.close();
	for (const server of open) {
		server.close();
		if ("closeAllConnections" in server) server.closeAllConnections();
	}
	rmSync(dir, { recursive: true });
});

const allow = (rules: Partial<SessionRules["reach"]>, routes: SessionRules["routes"] = {}) => {
	proxy.rules = { reach: { policy: [], owner: [], ...rules }, routes };
};
async function listening<T extends Server | TcpServer>(server: T): Promise<number> {
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	open.push(server);
	return (server.address() as AddressInfo).port;
}
const upstream = (answer: RequestListener) => listening(createServer(answer));

/** Bytes to the proxy, and all that comes back until it closes. */
async function raw(bytes: string): Promise<string> {
	const socket = connect(path);
	socket.write(bytes);
	let answer = "";
	socket.on("data", (chunk) => {
		answer += chunk;
	});
	socket.on("error", () => {});
	await once(socket, "close");
	return answer;
}
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);

interface Answer {
	status: number;
	headers: IncomingHttpHeaders;
	body: string;
}
function ask(target: string, options: { method?: string; headers?: Record<string, string>; body?: string } = {}): Promise<Answer> {
	return new Promise((resolve, reject) => {
		const request = httpRequest({
			socketPath: path,
			path: target,
			method: options.method ?? "GET",
			headers: options.headers ?? {},
			agent: false,
		});
		request.on("error", reject);
		request.on("response", (response) => {
			let body = "";
			response.on("data", (chunk) => {
				body += chunk;
			});
			response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
			response.on("error", reject);
		});
		request.end(options.body);
	});
}

describe("tunnels", () => {
	test("[EGR-1] a tunnel to a named host passes bytes both ways, those that came early too", async () => {
		const port = await listening(
			createTcpServer({ allowHalfOpen: true }, (socket) =>
				socket.on("data", (d) => socket.write(`<${d}>`)).on("end", () => socket.end("bye")),
			),
		);
		allow({ owner: [`host.test:${port}`] });
		names = { "host.test": ["127.0.0.1"] };
		const socket = connect({ path, allowHalfOpen: true });
		let seen = "";
		socket.on("data", (chunk) => {
			seen += chunk;
		});
		socket.write(`CONNECT HOST.test.:${port} HTTP/1.1\r\nhost: x\r\n\r\nearly`);
		await expect.poll(() => seen, { timeout: 10_000 }).toContain("<early>");
		socket.end("last");
		await once(socket, "end");
		expect(seen).toBe("HTTP/1.1 200 Connection established\r\n\r\n<early><last>bye");
		expect(refused).toEqual([]);
	});

	test.each([
		["evil.test:443", 403, "egress.host"],
		["host.test:22", 403, "egress.port"],
		["127.0.0.1:443", 403, "egress.address"],
		["169.254.169.254:80", 403, "egress.address"],
		["user@host.test:443", 400, "egress.malformed"],
		["host.test", 400, "egress.malformed"],
		["host.test:0", 400, "egress.malformed"],
		["host.test:65536", 400, "egress.malformed"],
		["127.1:443", 400, "egress.malformed"],
		["host.test%00.evil.test:443", 400, "egress.malformed"],
	])("[EGR-1] CONNECT %s is refused with the rule and what to do", async (target, status, rule) => {
		allow({ policy: ["host.test"] });
		const answer = await raw(`CONNECT ${target} HTTP/1.1\r\nhost: ${target}\r\n\r\n`);
		expect([statusOf(answer), refused.map((r) => r.rule)]).toEqual([status, [rule]]);
		const { type, error } = JSON.parse(answer.split("\r\n\r\n")[1] ?? "");
		expect([type, error.type]).toEqual(["error", rule]);
		expect(answer.split("\r\n")[0]).toContain(error.message.slice(0, 100));
		if (status === 403) expect(error.message).toMatch(/policy|runner\.toml/);
		expect(asked).toEqual([]);
	});

	test.each([
		["this machine", ["127.0.0.1"]],
		["this machine, written as IPv6", ["::ffff:127.0.0.1"]],
		["an interface of it", ["198.18.7.7"]],
		["a private network", ["10.1.2.3"]],
		["the metadata service", ["169.254.169.254"]],
		["one public address and one that is not", ["93.184.216.34", "127.0.0.1"]],
		["nothing", []],
		["no address", ["localhost"]],
	])("[EGR-2] an allowed name that resolves to %s is not connected to", async (_, addresses) => {
		allow({ policy: ["host.test"] });
		names = { "host.test": addresses };
		expect(statusOf(await raw("CONNECT host.test:443 HTTP/1.1\r\n\r\n".replace("\r\n\r\n", "\r\nhost: host.test\r\n\r\n")))).toBe(403);
		expect(refused).toMatchObject([{ rule: "egress.address", host: "host.test", port: 443 }]);
	});

	test("[EGR-2] a name is resolved once for each connection: another answer after it was judged changes nothing", async () => {
		let met = 0;
		const port = await listening(
			createTcpServer((socket) => {
				met++;
				socket.end("hello");
			}),
		);
		allow({ owner: [`rebind.test:${port}`], policy: ["late.test"] });
		names = { "rebind.test": [["127.0.0.1"], ["169.254.169.254"]], "late.test": [["127.0.0.1"], ["93.184.216.34"]] };
		expect(await raw(`CONNECT rebind.test:${port} HTTP/1.1\r\nhost: x\r\n\r\n`)).toContain("hello");
		expect([asked, met]).toEqual([["rebind.test"], 1]);
		expect(statusOf(await raw(`CONNECT rebind.test:${port} HTTP/1.1\r\nhost: x\r\n\r\n`))).toBe(403);
		expect(statusOf(await raw("CONNECT late.test:443 HTTP/1.1\r\nhost: x\r\n\r\n"))).toBe(403);
		expect([asked, met]).toEqual([["rebind.test", "rebind.test", "late.test"], 1]);
	});

	test("[EGR-1] a host that is there no more is told as such", async () => {
		const server = createTcpServer();
		const port = await listening(server);
		server.close();
		allow({ owner: [`127.0.0.1:${port}`] });
		const answer = await raw(`CONNECT 127.0.0.1:${port} HTTP/1.1\r\nhost: x\r\n\r\n`);
		expect([statusOf(answer), refused]).toEqual([502, []]);
		expect(answer).toContain("ECONNREFUSED");
	});
});

describe("tunnels that are for one host alone", () => {
	/** What comes to the far end of a tunnel to `host.test`. */
	async function farEnd(answer: (socket: Socket) => void = () => {}): Promise<{ got: () => string }> {
		let got = "";
		instead = await listening(
			createTcpServer((socket) => {
				socket.on("error", () => {});
				socket.on("data", (chunk) => {
					got += chunk.toString("latin1");
					answer(socket);
				});
			}),
		);
		allow({ policy: ["host.test", "plain.test"] });
		names = { "host.test": ["93.184.216.34", "2606:4700::1111"], "plain.test": ["93.184.216.34"] };
		return { got: () => got };
	}
	async function tunnelTo(authority: string, head = ""): Promise<Socket> {
		const socket = connect(path);
		socket.on("error", () => {});
		socket.write(`CONNECT ${authority} HTTP/1.1\r\nhost: ${authority}\r\n\r\n${head}`);
		const [answer] = await once(socket, "data");
		expect(String(answer)).toBe("HTTP/1.1 200 Connection established\r\n\r\n");
		return socket;
	}

	test("[EGR-2] one on port 443 passes on a TLS client that asks for its host, at the addresses that were judged", async () => {
		const far = await farEnd((socket) => socket.end());
		const socket = await tunnelTo("host.test:443");
		const tls = connectTls({ socket, servername: "Host.test", rejectUnauthorized: false });
		tls.on("error", () => {});
		await once(socket, "close");
		expect(far.got()).toContain("Host.test");
		expect(connectedTo).toEqual([
			[
				[
					{ address: "93.184.216.34", family: 4 },
					{ address: "2606:4700::1111", family: 6 },
				],
				443,
			],
		]);
		expect(refused).toEqual([]);
	});

	test.each([
		["one that asks for another host of the same address", "evil.test", /was used for evil\.test/],
		["one that names none", "", /must be TLS, for this host/],
	])("[EGR-2] %s gets nothing, and it is told", async (_, servername, why) => {
		const far = await farEnd();
		const socket = await tunnelTo("host.test:443");
		connectTls({ socket, servername, rejectUnauthorized: false }).on("error", () => {});
		await once(socket, "close");
		expect(far.got()).toBe("");
		expect(refused).toMatchObject([{ host: "host.test", port: 443, rule: "egress.host", why: expect.stringMatching(why) }]);
	});

	test.each(["SSH-2.0-x\r\n", "GET / HTTP/1.1\r\nhost: evil.test\r\n\r\n", "\x16\x03\x01\x00\x05\x02aaaa", "\x16\x02"])(
		"[EGR-2] nor does what is no TLS: %j",
		async (bytes) => {
			const far = await farEnd();
			const socket = await tunnelTo("host.test:443", bytes);
			await once(socket, "close");
			expect([far.got(), refused.length]).toEqual(["", 1]);
		},
	);

	test("[EGR-5] a client that says its first word in a hundred pieces is not listened to", async () => {
		const far = await farEnd();
		const socket = await tunnelTo("host.test:443");
		// Its next write may find the tunnel closed.
		const closed = new Promise((resolve) => socket.on("error", () => {}).once("close", resolve));
		// The beginning of a record that never becomes whole.
		let sent = 0;
		const timer = setInterval(
			() => socket.write(Buffer.from([22, 3, 1, 64, 0, 1, 0, 63].slice(sent, sent + 1).concat(sent++ < 8 ? [] : [0]))),
			1,
		);
		await closed;
		clearInterval(timer);
		expect([far.got(), refused.length, sent < 1000]).toEqual(["", 1, true]);
	});

	test("[EGR-2] requests in a tunnel to port 80 are judged like any other", async () => {
		instead = await upstream((request, response) => response.end(`${request.headers.host}${request.url}`));
		allow({ policy: ["plain.test"] });
		names = { "plain.test": ["93.184.216.34"] };
		const request = (host: string, target = "/x") => `GET ${target} HTTP/1.1\r\nhost: ${host}\r\n\r\n`;
		const ask = async (bytes: string) => {
			const answer = await raw(`CONNECT plain.test:80 HTTP/1.1\r\nhost: plain.test:80\r\n\r\n${bytes}`);
			return answer.split("HTTP/1.1 ").slice(2);
		};
		const [first, second] = await ask(request("plain.test") + request("evil.test"));
		expect([first, second]).toEqual([expect.stringMatching(/^200 .*plain\.test\/x/s), expect.stringMatching(/^400 .*same host/s)]);
		expect(await ask(request("evil.test", "http://evil.test/"))).toEqual([expect.stringMatching(/^404 /)]);
		expect(await ask("GET /model/anthropic/v1/messages HTTP/1.1\r\nhost: evil.test\r\n\r\n")).toEqual([expect.stringMatching(/^400 /)]);
	});
});

describe("plain requests", () => {
	test("[EGR-1] a request to a named host is passed on without what concerns the hop, and its answer comes back", async () => {
		let got: { url: string | undefined; headers: IncomingHttpHeaders; body: string } | null = null;
		const port = await upstream(async (request, response) => {
			let body = "";
			for await (const chunk of request) body += chunk;
			got = { url: request.url, headers: request.headers, body };
			response.writeHead(201, { "x-answer": "1", connection: "x-hop", "x-hop": "1" });
			response.end("done");
		});
		allow({ owner: [`host.test:${port}`] });
		names = { "host.test": ["127.0.0.1"] };
		const headers = {
			host: `HOST.test:${port}`,
			connection: "x-mine",
			"x-mine": "1",
			"proxy-authorization": "x",
			"x-kept": "1",
			te: "gzip",
			"transfer-encoding": "chunked",
		};
		const answer = await ask(`http://host.test:${port}/a?b=c`, { method: "POST", headers, body: "hello" });
		expect([answer.status, answer.body, answer.headers["x-answer"], answer.headers["x-hop"]]).toEqual([201, "done", "1", undefined]);
		expect(got).toEqual({
			url: "/a?b=c",
			headers: { host: `host.test:${port}`, connection: "close", "x-kept": "1", "transfer-encoding": "chunked" },
			body: "hello",
		});
	});

	test("[EGR-1] every request of a connection is judged by itself", async () => {
		const port = await upstream((_, response) => response.end("fine"));
		allow({ owner: [`host.test:${port}`] });
		names = { "host.test": ["127.0.0.1"] };
		const good = `GET http://host.test:${port}/ HTTP/1.1\r\nhost: host.test:${port}\r\n\r\n`;
		const answer = await raw(`${good}${good}GET http://evil.test/ HTTP/1.1\r\nhost: evil.test\r\n\r\n${good}`);
		expect([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map((m) => m[1])).toEqual(["200", "200", "403"]);
		expect(refused).toMatchObject([{ host: "evil.test", port: 80, rule: "egress.host" }]);
	});

	const to = (target: string, headers: string) => `GET ${target} HTTP/1.1\r\n${headers}\r\n`;
	test.each<[string, string]>([
		["a Host header that names another host", to("http://host.test/", "host: evil.test\r\n")],
		["a Host header with another port", to("http://host.test/", "host: host.test:81\r\n")],
		["two Host headers", to("http://host.test/", "host: host.test\r\nhost: evil.test\r\n")],
		["no Host header", to("http://host.test/", "")],
		["a user in the address", to("http://user:pw@host.test/", "host: host.test\r\n")],
		["another host behind a user", to("http://host.test@evil.test/", "host: host.test\r\n")],
		["a backslash", to("http://host.test\\@evil.test/", "host: host.test\r\n")],
		["an encoded dot", to("http://host%2etest/", "host: host.test\r\n")],
		["a raw byte", to("http://host.test/\x80", "host: host.test\r\n")],
		["an address as a number", to("http://2130706433/", "host: 2130706433\r\n")],
		["https without a tunnel", to("https://host.test/", "host: host.test\r\n")],
		["another scheme", to("ftp://host.test/", "host: host.test\r\n")],
		["a length and chunks", to("http://host.test/", "host: host.test\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n")],
		["two lengths", to("http://host.test/", "host: host.test\r\ncontent-length: 5\r\ncontent-length: 6\r\n")],
		["a length that is none", to("http://host.test/", "host: host.test\r\ncontent-length: +5\r\n")],
		["an encoding that is not known", to("http://host.test/", "host: host.test\r\ntransfer-encoding: xchunked\r\n")],
		["chunks twice", to("http://host.test/", "host: host.test\r\ntransfer-encoding: chunked, chunked\r\n")],
		["a space before the colon", to("http://host.test/", "host : host.test\r\n")],
		["a folded header", to("http://host.test/", "host: host.test\r\nx: a\r\n b\r\n")],
		["a carriage return alone", to("http://host.test/", "host: host.test\rx: y\r\n")],
		["a NUL", to("http://host.test/", "host: host.test\r\nx: \0\r\n")],
		["TRACE", "TRACE http://host.test/ HTTP/1.1\r\nhost: host.test\r\n\r\n"],
		["a method of its own", "G=T http://host.test/ HTTP/1.1\r\nhost: host.test\r\n\r\n"],
		["no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
		["a header that has no end", to("http://host.test/", `host: host.test\r\nx: ${"x".repeat(70_000)}\r\n`)],
	])("[EGR-3] %s is refused, and nobody is asked", async (_, bytes) => {
		allow({ policy: ["host.test"] });
		// Closed by the proxy, or it would wait for more.
		expect([400, 403, 431]).toContain(statusOf(await raw(bytes)));
		expect(asked).toEqual([]);
	});

	test("[EGR-3] what follows a body that lies about its length is no request of anybody", async () => {
		const urls: (string | undefined)[] = [];
		const port = await upstream((request, response) => {
			urls.push(request.url);
			request.resume();
			response.end("fine");
		});
		allow({ owner: [`host.test:${port}`] });
		names = { "host.test": ["127.0.0.1"] };
		const inner = `GET http://host.test:${port}/smuggled HTTP/1.1\r\nhost: host.test:${port}\r\n\r\n`;
		const answer = await raw(
			`POST http://host.test:${port}/outer HTTP/1.1\r\nhost: host.test:${port}\r\nconnection: close\r\ncontent-length: ${inner.length}\r\n\r\n${inner}`,
		);
		expect([statusOf(answer), urls]).toEqual([200, ["/outer"]]);
	});
});

describe("the model's API", () => {
	const KEY = "sk-real-key";
	const PLACEHOLDER = "sk-placeholder-of-this-session";
	const through = (port: number) =>
		allow(
			{},
			{
				anthropic: {
					upstream: `http://127.0.0.1:${port}/base`,
					paths: ["/v1/messages", "/v1/models"],
					credentials: [
						{ header: "x-api-key", placeholder: PLACEHOLDER, secret: KEY },
						{ header: "authorization", placeholder: `Bearer ${PLACEHOLDER}`, secret: "Bearer real-token" },
					],
				},
			},
		);

	test("[EGR-4] the placeholder is replaced by the key, and nothing else that could be a credential is passed on", async () => {
		const got: { url: string | undefined; headers: IncomingHttpHeaders }[] = [];
		const port = await upstream((request, response) => {
			got.push({ url: request.url, headers: request.headers });
			response.end("{}");
		});
		through(port);
		const other = { authorization: "Bearer mine", cookie: "a=b", "x-goog-api-key": "mine" };
		await ask("/model/anthropic/v1/messages?beta=true", { headers: { "x-api-key": PLACEHOLDER, ...other, "anthropic-version": "1" } });
		await ask("/model/anthropic/v1/models/x", { headers: { authorization: `Bearer ${PLACEHOLDER}` } });
		// As a client does that was told to use the proxy for everything.
		await ask("http://127.0.0.1:3128/model/anthropic/v1/messages", { headers: { host: "127.0.0.1:3128", "x-api-key": PLACEHOLDER } });
		const host = `127.0.0.1:${port}`;
		expect(got.map(({ url, headers: { connection: _, ...headers } }) => ({ url, headers }))).toEqual([
			{ url: "/base/v1/messages?beta=true", headers: { host, "anthropic-version": "1", "x-api-key": KEY } },
			{ url: "/base/v1/models/x", headers: { host, authorization: "Bearer real-token" } },
			{ url: "/base/v1/messages", headers: { host, "x-api-key": KEY } },
		]);
	});

	test.each<[string, Record<string, string>]>([
		["no key", {}],
		["another key", { "x-api-key": "sk-ant-somebody-else" }],
		["the placeholder in another header", { authorization: `Bearer ${PLACEHOLDER}x` }],
		["a beginning of the placeholder", { "x-api-key": PLACEHOLDER.slice(0, -1) }],
		["the real key", { "x-api-key": KEY }],
	])("[EGR-4] %s opens nothing", async (_, headers) => {
		const port = await upstream((_request, response) => response.end("reached"));
		through(port);
		const answer = await ask("/model/anthropic/v1/messages", { headers });
		expect([answer.status, refused.map((r) => r.rule)]).toEqual([401, ["egress.credential"]]);
		expect(answer.body).not.toContain(KEY);
	});

	test.each([
		["/model/anthropic/v1/files", 403],
		["/model/anthropic/v1/messagesx", 403],
		["/model/anthropic/v1/messages/../organizations", 403],
		["/model/anthropic/v1/messages/%2e%2e/organizations", 403],
		["/model/anthropic/v1/messages//x", 403],
		["/model/anthropic/v1/messages\\..\\x", 403],
		["/model/anthropic", 403],
		["/model/other/v1/messages", 404],
		["/model/__proto__/v1/messages", 404],
		["/model/constructor/v1/messages", 404],
		["/", 404],
		["/v1/messages", 404],
		["http://127.0.0.1:3128/v1/messages", 404],
	])("[EGR-4] %s is not a way into the API", async (target, status) => {
		const port = await upstream((_request, response) => response.end("reached"));
		through(port);
		expect((await ask(target, { headers: { host: "127.0.0.1:3128", "x-api-key": PLACEHOLDER } })).status).toBe(status);
	});

	test("[EGR-5] a stream is passed on as it comes, and one that is cut is seen as cut", async () => {
		let next: (text: string | null) => void = () => {};
		const port = await upstream((_request, response) => {
			response.writeHead(200, { "content-type": "text/event-stream" });
			response.flushHeaders();
			next = (text) => (text === null ? response.destroy() : response.write(text));
		});
		through(port);
		const request = httpRequest({
			socketPath: path,
			path: "/model/anthropic/v1/messages",
			headers: { "x-api-key": PLACEHOLDER },
			agent: false,
		});
		request.end();
		const [response] = await once(request, "response");
		expect(response.headers["content-type"]).toBe("text/event-stream");
		for (const text of ["data: 1\n\n", "data: 2\n\n"]) {
			next(text);
			const [chunk] = await once(response, "data");
			expect(String(chunk)).toBe(text);
		}
		next(null);
		await once(response, "error");
	});

	test("[EGR-5] a reader that does not read holds its writer back", async () => {
		let wrote = 0;
		let held = false;
		const port = await upstream((_request, response) => {
			const more = () => {
				while (wrote < 64 * 1024 * 1024) {
					wrote += 65_536;
					if (!response.write(Buffer.alloc(65_536))) {
						held = true;
						response.once("drain", more);
						return;
					}
				}
				response.end();
			};
			more();
		});
		through(port);
		const request = httpRequest({
			socketPath: path,
			path: "/model/anthropic/v1/messages",
			headers: { "x-api-key": PLACEHOLDER },
			agent: false,
		});
		request.end();
		const [response] = await once(request, "response");
		let before = -1;
		const stands = () => {
			const same = before === wrote;
			before = wrote;
			return same;
		};
		await expect.poll(stands, { interval: 100, timeout: 10_000 }).toBe(true);
		expect([held, wrote < 48 * 1024 * 1024]).toEqual([true, true]);
		let read = 0;
		for await (const chunk of response) read += chunk.length;
		expect(read).toBe(64 * 1024 * 1024);
	});

	test("[EGR-5] who goes away in mid-answer is not read for any more", async () => {
		let gone = false;
		const port = await upstream((_request, response) => {
			response.write("x");
			response.on("close", () => {
				gone = true;
			});
		});
		through(port);
		const request = httpRequest({
			socketPath: path,
			path: "/model/anthropic/v1/messages",
			headers: { "x-api-key": PLACEHOLDER },
			agent: false,
		});
		request.on("error", () => {});
		request.end();
		await once(request, "response");
		request.destroy();
		await expect.poll(() => gone, { timeout: 10_000 }).toBe(true);
		await expect.poll(() => proxy.connections, { timeout: 10_000 }).toBe(0);
	});
});

test("[EGR-5] a session has so many connections and no more, and it is told", async () => {
	const sockets = Array.from({ length: 260 }, () => connect(path));
	for (const socket of sockets) socket.on("error", () => {});
	await expect.poll(() => sockets.filter((socket) => socket.closed).length, { timeout: 10_000 }).toBe(4);
	expect(refused.map((r) => r.rule)).toEqual(Array(4).fill("egress.connections"));
	for (const socket of sockets) socket.destroy();
});
