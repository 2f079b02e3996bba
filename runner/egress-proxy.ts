import {
	createServer,
	Agent as HttpAgent,
	request as httpRequest,
	type IncomingMessage,
	type Server,
	type ServerResponse,
} from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP, type LookupFunction, type Socket, type TcpNetConnectOpts } from "node:net";
import type { Duplex } from "node:stream";
import { MAX_HELLO_BYTES, serverName } from "./client-hello.ts";
import { type Authority, canonical, type Grant, grant, objection, parseAuthority, type Reach, type Refusal, subjectOf } from "./reach.ts";

/** Where the proxy is inside a jail: the bridge there listens on this port and passes on to the session's socket. */
export const JAIL_PROXY = "127.0.0.1:3128";

/** A model's API under `/model/NAME/`: what asks there with a placeholder is passed on with the key that the placeholder stands for. */
export interface Route {
	/** `https://api.example.com/base`, as the owner wrote it: it is not judged like a host that a session names. */
	upstream: string;
	/** What of the API can be reached, by prefixes that end at a `/`, `:` or `?`: what a model is asked by, and nothing that manages keys or files. */
	paths: readonly string[];
	/** The header, what it must be, and what it becomes. */
	credentials: readonly { header: string; placeholder: string; secret: string }[];
}

export interface SessionRules {
	reach: Reach;
	routes: Record<string, Route>;
}

export interface Network {
	/** All addresses of a name. */
	resolve(host: string): Promise<string[]>;
	/** Those of this machine's interfaces, in the spelling of `canonical`. */
	ownAddresses(): ReadonlySet<string>;
	/** Opens a connection to a host whose addresses are known already. */
	connect(options: TcpNetConnectOpts): Socket;
}

/** Of one session, tunnels included. Beyond it connections are closed unheard. */
const MAX_CONNECTIONS = 256;
const MAX_HEADER_BYTES = 64 * 1024;
const HEADERS_TIMEOUT_MS = 60_000;
/** For a connection on which nothing is asked; one in use has no bound, since a model may think for minutes. */
const KEEP_ALIVE_MS = 60_000;
const CONNECT_TIMEOUT_MS = 30_000;
/** A client's first word comes in two or three; it is read again with each. */
const MAX_HELLO_PIECES = 64;
/** Shorter than any API's own, so that a request does not meet a connection that is being closed. */
const UPSTREAM_IDLE_MS = 10_000;

/** Meant for one hop (RFC 9110 7.6.1), besides those that `connection` names. */
const HOP_BY_HOP = ["connection", "proxy-connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect"];
/** Never sent to a model's API, but as the placeholder's key. */
const CREDENTIALS = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie"];

/**
 * The network of one session: an HTTP proxy on a unix socket, which is all that its jail holds. Every request is judged by itself, also
 * on a connection that was used before. It takes requests apart and writes them anew, so that nothing odd in one reaches who is asked.
 */
export class SessionProxy {
	rules: SessionRules;
	readonly #network: Network;
	readonly #onRefused: (refusal: Refusal) => void;
	readonly #server: Server;
	readonly #sockets = new Set<Duplex>();
	/** Tunnels that carry plain requests, and to whom. */
	readonly #tunnelsTo = new WeakMap<object, Authority>();
	#retired = false;
	readonly #agents = {
		"http:": new HttpAgent({ keepAlive: true, timeout: UPSTREAM_IDLE_MS }),
		"https:": new HttpsAgent({ keepAlive: true, timeout: UPSTREAM_IDLE_MS }),
	};

	constructor(rules: SessionRules, network: Network, onRefused: (refusal: Refusal) => void) {
		this.rules = rules;
		this.#network = network;
		this.#onRefused = onRefused;
		this.#server = createServer({
			maxHeaderSize: MAX_HEADER_BYTES,
			headersTimeout: HEADERS_TIMEOUT_MS,
			// A prompt may be uploaded slowly, and its answer streamed for an hour.
			requestTimeout: 0,
			keepAliveTimeout: KEEP_ALIVE_MS,
			insecureHTTPParser: false,
		});
		this.#server.maxConnections = MAX_CONNECTIONS;
		this.#server.on("connection", (socket) => this.#track(socket));
		this.#server.on("drop", () =>
			this.#onRefused({
				host: "",
				port: 0,
				rule: "egress.connections",
				why: `more than ${MAX_CONNECTIONS} connections at once; some were closed`,
			}),
		);
		this.#server.on("request", (request, response) => {
			this.#answer(request, response).catch((cause: unknown) => fail(response, cause));
		});
		this.#server.on("connect", (request, socket, head) => {
			this.#tunnel(request, socket, head).catch(() => socket.destroy());
		});
		this.#server.on("clientError", (cause: Error & { code?: string }, socket) => {
			const large = cause.code === "HPE_HEADER_OVERFLOW";
			if (cause.code !== "ECONNRESET" && socket.writable)
				socket.end(large ? "HTTP/1.1 431 Too Large\r\nconnection: close\r\n\r\n" : BAD_REQUEST);
			else socket.destroy();
		});
	}

	/** Opens the socket. Its path may be relative: the system takes 107 bytes at most. */
	listen(path: string): Promise<void> {
		return new Promise((resolve, reject) => {
			this.#server.once("error", reject);
			this.#server.listen(path, () => {
				this.#server.off("error", reject);
				resolve();
			});
		});
	}

	/** Connections and tunnels that are open. */
	get connections(): number {
		return this.#sockets.size;
	}

	/** Takes no more connections; those that are open go on. */
	retire(): void {
		this.#retired = true;
		this.#server.close();
		this.#server.closeIdleConnections();
	}

	/** Ends everything. */
	close(): void {
		this.#server.close();
		for (const socket of this.#sockets) socket.destroy();
		for (const agent of Object.values(this.#agents)) agent.destroy();
	}

	#track(socket: Duplex): void {
		// Between two requests nobody else listens, and one connection's error must not be everybody's.
		socket.on("error", () => socket.destroy());
		this.#sockets.add(socket);
		socket.once("close", () => this.#sockets.delete(socket));
	}

	async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const url = request.url ?? "";
		// The next request on this connection belongs to whoever took over.
		if (this.#retired) response.shouldKeepAlive = false;
		const odd = oddity(request);
		if (odd !== null) return this.#refuse(response, 400, { host: "", port: 0, rule: "egress.malformed", why: odd });
		const tunnel = this.#tunnelsTo.get(request.socket);
		const target = tunnel === undefined ? url : url.startsWith("/") ? `http://${tunnel.host}${url}` : "";
		const absolute = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)(.*)$/i.exec(target);
		if (absolute === null) return this.#model(request, response, url);
		const [, scheme = "", authority = "", rest = ""] = absolute;
		const to = parseAuthority(authority);
		if (scheme.toLowerCase() !== "http" || to === null || !sameAuthority(request.headers.host, to))
			return this.#refuse(response, 400, {
				host: to?.host ?? "",
				port: to?.port ?? 0,
				rule: "egress.malformed",
				why:
					to === null || scheme.toLowerCase() === "http"
						? "the address and the Host header must name the same host, in plain spelling, without a user"
						: `${scheme} is not passed on like this; use CONNECT`,
			});
		const path = rest.startsWith("/") ? rest : `/${rest}`;
		// A client that was told to use the proxy for everything asks it for itself, too.
		if (`${to.host}:${to.port}` === JAIL_PROXY) return this.#model(request, response, path);
		const checked = await this.#check({ ...to, port: to.port ?? 80 });
		if (!checked.ok) return this.#refuse(response, 403, checked.error);
		const { host, port, isAddress } = checked.value.grant;
		this.#pass(request, response, httpRequest, {
			host,
			port,
			path,
			headers: [
				"host",
				`${host.includes(":") ? `[${host}]` : host}${port === 80 ? "" : `:${port}`}`,
				"connection",
				"close",
				...passedOn(request, []),
			],
			// Without an agent: never one that was opened for an earlier answer of the name.
			createConnection: (of: object) => this.#network.connect(of as TcpNetConnectOpts).on("error", () => {}),
			...(isAddress ? {} : { lookup: answering(checked.value.addresses), autoSelectFamily: true }),
		});
	}

	/** `/model/NAME/...`: the placeholder is taken out and the key put in. */
	#model(request: IncomingMessage, response: ServerResponse, url: string): void {
		const [, name = "", rest = "/"] = /^\/model\/([a-z0-9-]{1,64})(\/.*)?$/.exec(url) ?? [];
		const route = Object.hasOwn(this.rules.routes, name) ? this.rules.routes[name] : undefined;
		const refuse = (status: number, rule: Refusal["rule"], why: string) =>
			this.#refuse(response, status, { host: route === undefined ? "" : new URL(route.upstream).hostname, port: 0, rule, why });
		if (route === undefined)
			return refuse(
				404,
				"egress.path",
				`this is the session's proxy; it serves ${this.#routeNames()} and is asked by CONNECT for all else`,
			);
		const bare = rest.replace(/\?.*$/, "");
		// No detour to another part of the API: neither dots nor anything that a server may read as some.
		if (/\/\.{1,2}(?:\/|$)|\/\/|[\\#%]/.test(bare) || !route.paths.some((prefix) => startsWithPath(bare, prefix)))
			return refuse(
				403,
				"egress.path",
				`${request.method} ${bare.slice(0, 200)} is not among what a session may ask of this API: ${route.paths.join(", ")}`,
			);
		const swapped: string[] = [];
		for (const { header, placeholder, secret } of route.credentials)
			if (request.headers[header] === placeholder) swapped.push(header, secret);
		if (swapped.length === 0)
			return refuse(
				401,
				"egress.credential",
				"the credential of this request is not the placeholder of this session; leave the key in its environment as it is",
			);
		const upstream = new URL(route.upstream);
		const secure = upstream.protocol === "https:";
		this.#pass(request, response, secure ? httpsRequest : httpRequest, {
			host: upstream.hostname.replace(/^\[|\]$/g, ""),
			port: Number(upstream.port) || (secure ? 443 : 80),
			path: `${upstream.pathname.replace(/\/$/, "")}${rest}`,
			headers: ["host", upstream.host, ...passedOn(request, CREDENTIALS), ...swapped],
			agent: secure ? this.#agents["https:"] : this.#agents["http:"],
			autoSelectFamily: true,
		});
	}

	#routeNames(): string {
		const names = Object.keys(this.rules.routes).map((name) => `/model/${name}/`);
		return names.length === 0 ? "no model" : names.join(", ");
	}

	#pass(
		request: IncomingMessage,
		response: ServerResponse,
		send: typeof httpRequest,
		options: {
			host: string;
			port: number;
			path: string;
			headers: string[];
			agent?: HttpAgent;
			createConnection?: (of: object) => Socket;
			lookup?: LookupFunction;
			autoSelectFamily?: boolean;
		},
	): void {
		const chunked = request.headers["transfer-encoding"] === undefined ? [] : ["transfer-encoding", "chunked"];
		const headers = [...options.headers, ...chunked];
		const outgoing = send({ ...options, headers, method: request.method ?? "GET", setDefaultHeaders: false });
		// A connection that is not there after this time will not come; the answer may take as long as it likes.
		const timer = setTimeout(() => outgoing.destroy(new Error("no connection in time")), CONNECT_TIMEOUT_MS);
		outgoing.once("socket", (socket) => {
			const there = () => clearTimeout(timer);
			if (!socket.connecting) there();
			else socket.once("connect", there);
		});
		outgoing.once("close", () => {
			clearTimeout(timer);
			if (!response.headersSent) fail(response, new Error("it gave no answer"));
		});
		outgoing.on("error", (cause) => fail(response, cause));
		outgoing.on("response", (incoming) => {
			clearTimeout(timer);
			response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, passedOn(incoming, []));
			response.flushHeaders();
			// Cut off is not ended: whoever reads it must see that.
			incoming.on("error", () => response.destroy());
			incoming.pipe(response);
		});
		request.on("error", () => outgoing.destroy());
		response.on("close", () => response.writableFinished || outgoing.destroy());
		request.pipe(outgoing);
	}

	async #tunnel(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
		const to = parseAuthority(request.url ?? "");
		if (to === null || to.port === null)
			return this.#refuseTunnel(socket, { host: "", port: 0, rule: "egress.malformed", why: "CONNECT takes HOST:PORT, in plain spelling" });
		const checked = await this.#check({ ...to, port: to.port });
		if (!checked.ok) return this.#refuseTunnel(socket, checked.error);
		if (socket.destroyed) return;
		const { host, port, isAddress, addresses } = checked.value.grant;
		const open = () => socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
		// What the owner named with its port is his to answer for.
		const isFree = addresses === "exact";
		if (!isFree && port === 80) {
			// Requests like any other, whose Host is judged: only their way here was another.
			this.#tunnelsTo.set(socket, to);
			open();
			if (head.length > 0) socket.unshift(head);
			this.#server.emit("connection", socket);
			return;
		}
		const far = this.#network.connect({
			host,
			port,
			allowHalfOpen: true,
			noDelay: true,
			...(isAddress ? {} : { lookup: answering(checked.value.addresses), autoSelectFamily: true }),
		});
		const timer = setTimeout(() => far.destroy(new Error("no connection in time")), CONNECT_TIMEOUT_MS);
		let connected = false;
		far.once("connect", () => {
			clearTimeout(timer);
			connected = true;
			open();
			far.pipe(socket);
			const through = (first: Buffer) => {
				if (first.length > 0) far.write(first);
				socket.pipe(far);
			};
			if (isFree) return through(head);
			this.#named(socket, head, host).then(through, (why: unknown) => {
				if (why instanceof Error) this.#onRefused({ host, port, rule: "egress.host", why: why.message });
				socket.destroy();
			});
		});
		far.on("error", (cause) => {
			if (connected) socket.destroy();
			else endWith(socket, 502, "Bad Gateway", errorBody("egress.unreachable", `${host}:${port} could not be reached: ${codeOf(cause)}`));
		});
		far.once("close", () => clearTimeout(timer));
		socket.once("close", () => far.destroy());
	}

	/** The first bytes of a tunnel, once they ask for the host that it was opened to. Fails with the reason, or with nothing if none came. */
	#named(socket: Duplex, head: Buffer, host: string): Promise<Buffer> {
		return new Promise((resolve, reject) => {
			let seen = head;
			let pieces = 0;
			const settle = (result: Buffer | Error | null) => {
				clearTimeout(timer);
				socket.off("data", take);
				socket.off("close", gone);
				socket.pause();
				if (result === null || result instanceof Error) reject(result);
				else resolve(result);
			};
			const look = () => {
				const name = serverName(seen);
				if (name === host) settle(seen);
				else if (name !== "more" || seen.length > MAX_HELLO_BYTES || ++pieces > MAX_HELLO_PIECES)
					settle(
						new Error(
							name === null || name === "more"
								? `what is said through a tunnel to port 443 must be TLS, for this host; its owner can name "${host}:443" in runner.toml ([providers.NAME] hosts)`
								: `the tunnel was opened for this host, and was used for ${/^[a-z0-9.-]{1,253}$/.test(name) ? name : "another one"}`,
						),
					);
			};
			const take = (chunk: Buffer) => {
				seen = Buffer.concat([seen, chunk]);
				look();
			};
			const gone = () => settle(null);
			const timer = setTimeout(gone, HEADERS_TIMEOUT_MS);
			socket.on("data", take);
			socket.once("close", gone);
			if (seen.length > 0) look();
		});
	}

	/** The rules, then the name's addresses: if one of them may not be connected to, none is. They are not looked up again. */
	async #check(
		to: Authority & { port: number },
	): Promise<{ ok: true; value: { grant: Grant; addresses: string[] } } | { ok: false; error: Refusal }> {
		const granted = grant(to, this.rules.reach);
		if (!granted.ok) return granted;
		const { host, port, isAddress } = granted.value;
		const refuse = (why: string) => ({ ok: false as const, error: { host, port, rule: "egress.address" as const, why } });
		let addresses: string[];
		try {
			addresses = isAddress ? [host] : await this.#network.resolve(host);
		} catch (cause) {
			return refuse(`the name has no address: ${codeOf(cause)}`);
		}
		if (addresses.length === 0 || addresses.some((address) => isIP(address) === 0)) return refuse("the name has no address");
		const own = this.#network.ownAddresses();
		for (const address of addresses) {
			const why = objection(granted.value, address, own);
			if (why !== null) return refuse(why);
		}
		return { ok: true, value: { grant: granted.value, addresses } };
	}

	#refuse(response: ServerResponse, status: number, refusal: Refusal): void {
		this.#onRefused(refusal);
		const body = errorBody(refusal.rule, told(refusal));
		response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(body), connection: "close" });
		response.end(body);
	}

	/** The reason stands in the status line too: most programs show nothing else of a refused CONNECT. */
	#refuseTunnel(socket: Duplex, refusal: Refusal): void {
		this.#onRefused(refusal);
		const status = refusal.rule === "egress.malformed" ? 400 : 403;
		endWith(
			socket,
			status,
			told(refusal)
				.replace(/[^\x20-\x7e]/g, "?")
				.slice(0, 400),
			errorBody(refusal.rule, told(refusal)),
		);
	}
}

const BAD_REQUEST = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";

const told = (refusal: Refusal): string => `HotPlex refused this (${subjectOf(refusal)}): ${refusal.why}`;

/** In the shape that the models' APIs give their errors, so that a CLI shows the words. */
const errorBody = (rule: string, message: string): string => `${JSON.stringify({ type: "error", error: { type: rule, message } })}\n`;

function endWith(socket: Duplex, status: number, reason: string, body: string): void {
	if (!socket.writable) return;
	socket.end(
		`HTTP/1.1 ${status} ${reason}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
	);
}

/** Nobody is told whom it was to reach and by what key, only how it failed. */
function fail(response: ServerResponse, cause: unknown): void {
	if (response.headersSent || response.destroyed) {
		response.destroy();
		return;
	}
	const body = errorBody("egress.unreachable", `HotPlex could not reach what was asked for: ${codeOf(cause)}`);
	response.writeHead(502, { "content-type": "application/json", "content-length": Buffer.byteLength(body), connection: "close" });
	response.end(body);
}

/** What a request says twice or so that two readers may read two things; null if it is plain. The parser has refused the worst already. */
function oddity(request: IncomingMessage): string | null {
	if (!/^[A-Z]{1,20}$/.test(request.method ?? "") || request.method === "TRACE") return "this method is not passed on";
	if (!/^[\x21-\x7e]{1,16384}$/.test(request.url ?? "")) return "the address is too long, or has characters that must be escaped";
	for (const name of ["host", "content-length", "transfer-encoding"])
		if (request.rawHeaders.filter((header, i) => i % 2 === 0 && header.toLowerCase() === name).length > 1) return `${name} is given twice`;
	const encoding = request.headers["transfer-encoding"];
	if (encoding !== undefined && (encoding.toLowerCase() !== "chunked" || request.headers["content-length"] !== undefined))
		return "the length of the body is not plain";
	return null;
}

function sameAuthority(header: string | undefined, to: Authority): boolean {
	const said = parseAuthority(header ?? "");
	return said !== null && canonical(said.host) === canonical(to.host) && (said.port ?? 80) === (to.port ?? 80);
}

function startsWithPath(path: string, prefix: string): boolean {
	return path.startsWith(prefix) && (path.length === prefix.length || prefix.endsWith("/") || "/:".includes(path.charAt(prefix.length)));
}

/** The headers of a message without those of the hop that it came by, and without `also`. */
function passedOn(message: IncomingMessage, also: readonly string[]): string[] {
	const named = (message.headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase());
	const dropped = new Set([...HOP_BY_HOP, "host", "proxy-authorization", "proxy-authenticate", ...also, ...named]);
	// Its body has a length, or comes in chunks: the connection must not say otherwise.
	dropped.delete("content-length");
	const passed: string[] = [];
	const { rawHeaders } = message;
	for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
		const [name = "", value = ""] = [rawHeaders[i], rawHeaders[i + 1]];
		if (!dropped.has(name.toLowerCase())) passed.push(name, value);
	}
	return passed;
}

/** A look-up that knows the answer: a name that was judged is not asked for again. */
function answering(addresses: readonly string[]): LookupFunction {
	const found = addresses.map((address) => ({ address, family: isIP(address) }));
	return (_host, options, answer) => {
		const first = found[0];
		if (options.all === true) answer(null, found);
		else if (first !== undefined) answer(null, first.address, first.family);
	};
}

const codeOf = (cause: unknown): string =>
	cause instanceof Error ? ("code" in cause && typeof cause.code === "string" ? cause.code : cause.message) : String(cause);
