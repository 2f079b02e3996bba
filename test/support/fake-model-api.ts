/**
 * A scripted stand-in for hosted model APIs, so that real CLIs run offline and do the same every time. It speaks
 *
 *   Anthropic Messages   POST /v1/messages, /v1/messages/count_tokens
 *   OpenAI Chat          POST /v1/chat/completions
 *   OpenAI Responses     POST /v1/responses
 *   model lists          GET  /v1/models
 *
 * streaming (SSE) and not. Every path is also served without its version prefix.
 *
 *   node test/support/fake-model-api.ts [--port N] [--host H] [--rate R] [--tokens N] [--quiet]
 *
 *   --port N    0 (default) picks a free port; the line "READY http://HOST:PORT" tells which
 *   --host H    default 127.0.0.1
 *   --rate R    default tokens per second of streamed text (50; 0 = as fast as possible)
 *   --tokens N  default length of a text answer (20)
 *   --quiet     no request lines on stderr
 *
 * The newest user message that contains directives is the script of the turn. Directives are
 * `fake:NAME key=value key="quoted value" ...`, one per line (or several in a line, each starting with `fake:`).
 * The k-th model request of the turn plays the k-th step, so
 *
 *   fake:text text="looking" + fake:bash cmd="ls -la"
 *   fake:text tokens=5
 *
 * first says "looking" and calls the shell tool, then, once the tool result arrives, ends the turn with five tokens.
 * ` + ` joins actions in one answer. When the script is used up, a short closing text is sent. A prompt without a
 * directive gets a plain text answer.
 *
 *   fake:text       tokens=20 rate=50 text="exact words" first=0 (ms before the first token)
 *   fake:think      tokens=10 rate=50                    thinking before what follows
 *   fake:bash       cmd="..." bg=true timeout=ms         the CLI's shell tool
 *   fake:write      path="..." content="..."             the CLI's file-writing tool
 *   fake:read       path="..."                           the CLI's file-reading tool
 *   fake:ask        question="..." options="a|b"         the CLI's question tool
 *   fake:tool       name=X input={"json":1}              any tool, declared or not, input as given
 *   fake:long       seconds=60                           one token a second for that long
 *   fake:hang       seconds=600 after=0                  no bytes (after N tokens: a stalled stream)
 *   fake:error      status=529 type=... message="..." times=0 retry_after=s
 *                                                        HTTP error; times=N: only the first N tries
 *   fake:streamerror type=overloaded_error after=3       error event inside a started stream (times=N as above)
 *   fake:disconnect after=5                              socket cut after N tokens (times=N as above)
 *   fake:badjson    after=3                              a malformed SSE event (times=N as above)
 *   fake:stop       reason=max_tokens                    text that ends for that reason
 *
 * A tool that the request does not declare is answered with text that says so. Requests without tools that want
 * structured output get the smallest JSON that fits the schema; those that look like housekeeping (a system prompt
 * about titles or summaries) get a fixed short text. Over HTTP, `GET /__fake/requests` shows what was asked and
 * `POST /__fake/reset` forgets it.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { parseArgs } from "node:util";
import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from "node:zlib";
import { type Plan, plan } from "./fake-model/plan.ts";
import { type ModelRequest, type Protocol, readRequest } from "./fake-model/requests.ts";
import { callText, type SseEvent, writerFor } from "./fake-model/writers.ts";

export interface FakeModelApiOptions {
	/** Tokens per second of streamed text; 0: as fast as possible. */
	rate?: number;
	/** Length of a text answer that does not say its own. */
	tokens?: number;
	port?: number;
	host?: string;
	/** Told of each request when it is answered. */
	onLine?: (line: string) => void;
}

export interface RecordedRequest {
	n: number;
	time: string;
	method: string;
	path: string;
	/** Without the values of those that carry credentials. */
	headers: Record<string, string>;
	body: unknown;
}

export interface FakeModelApi {
	/** Without a path; Anthropic's base URL is this, OpenAI's is this and `/v1`. */
	url: string;
	/** The last 500, oldest first. */
	requests(): RecordedRequest[];
	/** Forgets requests and how often steps were tried. */
	reset(): void;
	close(): Promise<void>;
}

const SECRET = /^(authorization|x-api-key|api-key|cookie)$/;
const MODELS = ["claude-sonnet-4-5", "claude-haiku-4-5", "gpt-5", "fake-model"];
const ERROR_TYPES: Record<number, string> = {
	400: "invalid_request_error",
	401: "authentication_error",
	403: "permission_error",
	404: "not_found_error",
	413: "request_too_large",
	429: "rate_limit_error",
	529: "overloaded_error",
};

export async function startFakeModelApi(options: FakeModelApiOptions = {}): Promise<FakeModelApi> {
	const { rate = 50, tokens = 20, port = 0, host = "127.0.0.1", onLine = () => {} } = options;
	const recorded: RecordedRequest[] = [];
	const attempts = new Map<string, number>();
	let count = 0;
	const reset = (): void => {
		recorded.length = 0;
		attempts.clear();
	};

	/** Answers a request and says how, for the log line. */
	async function serve(request: IncomingMessage, response: ServerResponse): Promise<string> {
		const url = new URL(request.url ?? "/", "http://localhost");
		const path = url.pathname.replace(/\/+$/, "");
		if (path === "/__fake/requests") return sendJson(response, 200, recorded);
		if (path === "/__fake/reset") {
			reset();
			return sendJson(response, 200, {});
		}
		const post = request.method === "POST";
		let body: unknown = {};
		try {
			if (post) body = await readBody(request);
		} catch (cause) {
			return sendJson(response, 400, { error: { message: `unreadable body: ${String(cause)}` } });
		}
		const headers: Record<string, string> = {};
		for (const [k, v] of Object.entries(request.headers)) headers[k] = SECRET.test(k) ? "<redacted>" : String(v);
		recorded.push({ n: ++count, time: new Date().toISOString(), method: request.method ?? "", path: path + url.search, headers, body });
		if (recorded.length > 500) recorded.shift();

		const protocol = post ? protocolOf(path) : null;
		if (protocol !== null) {
			const req = readRequest(protocol, body);
			const played = plan(req, { attempts, tokens });
			return `${await play(req, played, response, played.rate ?? rate)} ${req.model} ${played.note}`;
		}
		if (post && path.endsWith("/messages/count_tokens"))
			return sendJson(response, 200, { input_tokens: Math.ceil(JSON.stringify(body).length / 4) });
		if (path.endsWith("/models") && request.method === "GET") return sendJson(response, 200, modelList());
		if (request.method === "HEAD" || path === "") return sendJson(response, 200, {});
		return sendJson(response, 404, errorBody("anthropic", 404, { message: `no such path ${path}` }));
	}

	const server = createServer((request, response) => {
		const began = Date.now();
		serve(request, response)
			.catch((cause: unknown) => sendJson(response, 500, errorBody("anthropic", 500, { message: String(cause) })))
			.then((how) => onLine(`${request.method} ${request.url} ${Date.now() - began}ms ${how}`))
			// A failing onLine is the caller's own.
			.catch((cause: unknown) => console.error(cause));
	});
	server.keepAliveTimeout = 30_000;
	await new Promise<void>((resolve, reject) => {
		server.once("error", reject);
		server.listen(port, host, resolve);
	});
	const address = server.address();
	if (address === null || typeof address === "string") throw new Error("a TCP server has an address and a port");
	return {
		url: `http://${address.family === "IPv6" ? `[${address.address}]` : address.address}:${address.port}`,
		requests: () => [...recorded],
		reset,
		close: () =>
			new Promise<void>((resolve) => {
				server.close(() => resolve());
				server.closeAllConnections();
			}),
	};
}

function protocolOf(path: string): Protocol | null {
	if (path.endsWith("/messages")) return "anthropic";
	if (path.endsWith("/chat/completions")) return "chat";
	return path.endsWith("/responses") ? "responses" : null;
}

/** Plays one answer, with its pace and its faults. */
async function play(req: ModelRequest, a: Plan, response: ServerResponse, rate: number): Promise<string> {
	const gone = new AbortController();
	response.on("close", () => gone.abort());
	const wait = (ms: number): Promise<void> => sleep(ms, gone.signal);
	if (a.error !== undefined) {
		const headers = a.error.retryAfter === undefined ? {} : { "retry-after": a.error.retryAfter };
		return sendJson(response, a.error.status, errorBody(req.protocol, a.error.status, a.error), headers);
	}
	const inTokens = Math.max(1, Math.ceil((req.system.length + req.turns.reduce((n, t) => n + t.text.length, 0)) / 4));
	const outTokens = a.think.length + a.text.length + a.calls.reduce((n, c) => n + Math.ceil(callText(c).length / 4), 0);
	const writer = writerFor(req.protocol, req, randomUUID().replaceAll("-", "").slice(0, 24), inTokens);
	const pauseMs = rate > 0 ? 1000 / rate : 0;
	const cut = (): string => {
		response.socket?.destroy();
		return "200 (cut)";
	};

	if (!req.stream) {
		await wait((a.hang?.seconds ?? 0) * 1000 + a.firstMs + pauseMs * a.text.length);
		if (a.cutAfter !== undefined) return cut();
		if (a.streamError !== undefined) return sendJson(response, 529, errorBody(req.protocol, 529, a.streamError));
		return sendJson(response, 200, writer.whole(a, outTokens));
	}

	response.writeHead(200, {
		"content-type": "text/event-stream; charset=utf-8",
		"cache-control": "no-cache",
		"request-id": `req_${randomUUID().slice(0, 8)}`,
	});
	response.flushHeaders();
	const send = (events: SseEvent[]): void => {
		for (const [name, data] of events) {
			if (gone.signal.aborted) return;
			response.write(`${name ? `event: ${name}\n` : ""}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`);
		}
	};
	if (a.hang?.after === 0) await wait(a.hang.seconds * 1000);
	send(writer.start());
	await wait(a.firstMs);
	const deltas = [...a.think.map((t) => () => writer.think(t)), ...a.text.map((t) => () => writer.text(t))];
	for (let i = 0; i <= deltas.length && !gone.signal.aborted; i++) {
		if (a.cutAfter === i) return cut();
		if (a.badAfter === i) response.write('event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, "del\n\n');
		if (a.streamError?.after === i) {
			send(writer.error(a.streamError));
			response.end();
			return "200 (error in the stream)";
		}
		if (a.hang?.after === i && i > 0) await wait(a.hang.seconds * 1000);
		const delta = deltas[i];
		if (delta === undefined) break;
		send(delta());
		await wait(pauseMs);
	}
	// A cut that is placed behind the last token still happens.
	if (a.cutAfter !== undefined && a.cutAfter > deltas.length) return cut();
	for (const call of a.calls) send(writer.call(call));
	send(writer.end(a, outTokens));
	const left = gone.signal.aborted;
	response.end();
	return left ? "200 (client left)" : "200";
}

/** Ends early when the client leaves. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
	if (ms <= 0 || signal.aborted) return Promise.resolve();
	return new Promise((resolve) => {
		const done = (): void => {
			clearTimeout(timer);
			signal.removeEventListener("abort", done);
			resolve();
		};
		const timer = setTimeout(done, ms);
		signal.addEventListener("abort", done);
	});
}

function sendJson(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): string {
	if (!response.headersSent && !response.destroyed) {
		response.writeHead(status, { "content-type": "application/json", ...headers });
		response.end(JSON.stringify(body));
	}
	return String(status);
}

function errorBody(protocol: Protocol, status: number, error: { type?: string | undefined; message?: string | undefined }): unknown {
	const type = error.type ?? ERROR_TYPES[status] ?? "api_error";
	const message = error.message ?? (status === 529 ? "Overloaded" : `Scripted ${status} error`);
	if (protocol === "anthropic") return { type: "error", error: { type, message }, request_id: `req_${randomUUID().slice(0, 8)}` };
	return { error: { message, type, code: type, param: null } };
}

function modelList(): unknown {
	const data = MODELS.map((id) => ({ id, type: "model", object: "model", display_name: id, created: 0, owned_by: "fake" }));
	return { object: "list", data, has_more: false, first_id: MODELS[0], last_id: MODELS.at(-1) };
}

async function readBody(request: IncomingMessage): Promise<unknown> {
	const parts: Buffer[] = [];
	for await (const part of request) parts.push(part as Buffer);
	const raw = decompressed(Buffer.concat(parts), request.headers["content-encoding"]);
	return raw.length > 0 ? JSON.parse(raw.toString("utf8")) : {};
}

function decompressed(raw: Buffer, encoding: string | undefined): Buffer {
	switch (encoding) {
		case "gzip":
			return gunzipSync(raw);
		case "deflate":
			return inflateSync(raw);
		case "br":
			return brotliDecompressSync(raw);
		case "zstd":
			return zstdDecompressSync(raw);
		default:
			return raw;
	}
}

if (import.meta.main) {
	const { values } = parseArgs({
		options: {
			port: { type: "string", default: "0" },
			host: { type: "string", default: "127.0.0.1" },
			rate: { type: "string", default: "50" },
			tokens: { type: "string", default: "20" },
			quiet: { type: "boolean", default: false },
		},
	});
	const api = await startFakeModelApi({
		port: Number(values.port),
		host: values.host,
		rate: Number(values.rate),
		tokens: Number(values.tokens),
		onLine: values.quiet ? () => {} : (line) => console.error(line),
	});
	console.log(`READY ${api.url}`);
	for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void api.close());
}
