import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { SessionHandle } from "../../shared/client.ts";
import type { Problem } from "../../shared/errors.ts";
import type { LoggedEvent, RunnerEvent } from "../../shared/events.ts";
import { PROTOCOL_VERSION, type ToClientFrame } from "../../shared/frames.ts";
import { TurnId } from "../../shared/ids.ts";
import {
	MAX_BODY_BYTES,
	MAX_CLIENT_FRAME_BYTES,
	MAX_INPUT_BYTES,
	MAX_PAGE_BYTES,
	MAX_WAITING_INPUTS,
	WATCHER_WINDOW_BYTES,
} from "../../shared/limits.ts";
import { Follower } from "../support/follower.ts";
import { type ControlSocket, dialSession, type Hosting, RawRunner, type RawSocket } from "../support/raw-runner.ts";
import { gatewayPid, type Stack, startStack } from "../support/stack.ts";

let stack: Stack;
let runner: RawRunner;
let control: ControlSocket;
const open: { close(): void }[] = [];

beforeAll(async () => {
	stack = await startStack();
	runner = await RawRunner.enrol(stack.client);
	const away = await RawRunner.enrol(stack.client, "away");
	const gone = await away.connect({ providers: [{ name: "away", version: null }] });
	gone.close();
	control = await runner.connect({ capacity: 1000 });
});
afterEach(() => {
	for (const each of open.splice(0)) each.close();
});
afterAll(async () => {
	control?.close();
	await stack?.remove();
});

const kept = <S extends { close(): void }>(each: S): S => {
	open.push(each);
	return each;
};
type ClientSocket = RawSocket<ToClientFrame>;

/** A client's socket after this hello. */
async function watch(
	session: SessionHandle,
	hello: object = {},
): Promise<{ socket: ClientSocket; welcome: Extract<ToClientFrame, { type: "welcome" }> }> {
	const socket = kept(await dialSession<ToClientFrame>(stack.url, stack.apiKey, session.id));
	socket.send({ type: "hello", protocol: PROTOCOL_VERSION, ...hello });
	return { socket, welcome: await socket.next("welcome") };
}
const shownTo = (socket: ClientSocket): LoggedEvent[] => socket.frames.flatMap((f) => (f.type === "events" ? f.events : []));
const shown = (socket: ClientSocket, fits: (l: LoggedEvent) => boolean): Promise<LoggedEvent> =>
	socket.until("an event", () => shownTo(socket).find(fits));
const isEnd = (l: LoggedEvent): boolean => l.event.type === "turn_ended";

/** Server-Sent Events as they come. */
class EventStream {
	readonly events: { id: string; logged: LoggedEvent }[] = [];
	readonly named: { event: string; data: unknown }[] = [];
	readonly response: Response;
	readonly #stop: AbortController;
	readonly #looking = new Set<() => void>();

	private constructor(response: Response, stop: AbortController) {
		this.response = response;
		this.#stop = stop;
		void this.#read().catch(() => {});
	}

	static async open(session: SessionHandle, headers: Record<string, string> = {}, query = ""): Promise<EventStream> {
		const stop = new AbortController();
		const response = await fetch(`${stack.url}/v1/sessions/${session.id}/events${query}`, {
			headers: { authorization: `Bearer ${stack.apiKey}`, accept: "text/event-stream", ...headers },
			signal: stop.signal,
		});
		return kept(new EventStream(response, stop));
	}

	async #read(): Promise<void> {
		let text = "";
		for await (const chunk of this.response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
			text += chunk;
			for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n")) {
				const fields = new Map(
					text
						.slice(0, end)
						.split("\n")
						.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)] as const),
				);
				text = text.slice(end + 2);
				const event = fields.get("event");
				if (fields.has("id")) this.events.push({ id: fields.get("id") ?? "", logged: JSON.parse(fields.get("data") ?? "") as LoggedEvent });
				else if (event !== undefined) this.named.push({ event, data: JSON.parse(fields.get("data") ?? "null") });
			}
			for (const look of [...this.#looking]) look();
		}
	}

	until(fits: (l: LoggedEvent) => boolean): Promise<LoggedEvent> {
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => reject(new Error(`no such event; the last was ${JSON.stringify(this.events.at(-1))}`)), 20_000);
			const again = (): void => {
				const found = this.events.find((e) => fits(e.logged));
				if (!found) return;
				clearTimeout(timer);
				this.#looking.delete(again);
				resolve(found.logged);
			};
			this.#looking.add(again);
			again();
		});
	}

	close(): void {
		this.#stop.abort();
	}
}

interface Answer {
	status: number;
	headers: Headers;
	body: unknown;
}
async function rest(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
	const response = await fetch(stack.url + path, {
		method,
		headers: { authorization: `Bearer ${stack.apiKey}`, ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
		...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
	});
	const text = await response.text();
	return { status: response.status, headers: response.headers, body: text === "" ? null : (JSON.parse(text) as unknown) };
}
const logOf = async (session: SessionHandle): Promise<LoggedEvent[]> => {
	const all: LoggedEvent[] = [];
	for (;;) {
		const page = await session.eventPage({ after: all.at(-1)?.offset ?? 0 });
		if (page.data.length === 0) return all;
		all.push(...page.data);
	}
};
/** A session whose turn a scripted runner has. */
async function scripted(): Promise<{ session: SessionHandle; hosting: Hosting; turnId: TurnId }> {
	const session = await stack.client.openSession({ provider: "scripted" });
	await session.send("hello");
	const hosting = await runner.host(control, session.id);
	kept(hosting.link);
	const turnId = TurnId.parse(hosting.turnId);
	hosting.report({ type: "process_state", state: "busy" }, { type: "turn_started", turnId, origin: "input" });
	await hosting.acked();
	return { session, hosting, turnId };
}
const said = (turnId: TurnId, text: string): RunnerEvent => ({ type: "text_delta", turnId, messageId: "m1", text });
const ended = (turnId: TurnId): RunnerEvent => ({ type: "turn_ended", turnId, stopReason: "end_turn" });

describe("reading", () => {
	test("[P1][LOG-2] WebSocket, SSE and REST show the same events with the same offsets and times, streamed text included", async () => {
		const session = await stack.client.openSession({ provider: "demo" });
		const [{ socket }, stream] = await Promise.all([watch(session), EventStream.open(session)]);
		await session.send("compare");
		// Two more that come in the middle of the answer.
		await shown(socket, (l) => l.event.type === "text_delta");
		const [{ socket: late }, lateStream] = await Promise.all([watch(session), EventStream.open(session)]);
		await Promise.all([shown(socket, isEnd), shown(late, isEnd), stream.until(isEnd), lateStream.until(isEnd)]);
		const log = await logOf(session);
		const upToEnd = log.slice(0, log.findIndex(isEnd) + 1);
		expect(upToEnd.map((l) => l.offset)).toEqual(upToEnd.map((_, i) => i + 1));
		expect(upToEnd.filter((l) => l.event.type === "text_delta").length).toBeGreaterThan(10);
		for (const seen of [shownTo(socket), shownTo(late), stream.events.map((e) => e.logged), lateStream.events.map((e) => e.logged)])
			expect(seen.slice(0, upToEnd.length)).toEqual(upToEnd);
		expect(stream.events.every((e) => Number.parseInt(e.id, 10) === e.logged.offset)).toBe(true);
	});

	test("[P1] a stream that resumes with Last-Event-ID in mid-answer gets exactly what comes after it", async () => {
		const { session, hosting, turnId } = await scripted();
		hosting.report(...["a", "b", "c", "d"].map((text) => said(turnId, text)));
		const first = await EventStream.open(session);
		const seen = await first.until((l) => l.event.type === "text_delta" && l.event.text === "b");
		first.close();
		// The header is what a browser sends by itself; it wins over the address that was dialled first.
		const id = first.events.find((e) => e.logged === seen)?.id ?? "";
		const second = await EventStream.open(session, { "last-event-id": id }, "?after=0");
		hosting.report(said(turnId, "e"), ended(turnId));
		await second.until(isEnd);
		expect(second.events.map((e) => e.logged.offset)).toEqual([1, 2, 3, 4].map((n) => seen.offset + n));
		// Stored at last, an event's id is its offset; before that it names more than that.
		expect([id, second.events.at(-1)?.id]).toEqual([expect.stringMatching(/^\d+\.[\w-]+\.\d+$/), String(seen.offset + 4)]);
		expect(second.events.flatMap(({ logged: { event } }) => (event.type === "text_delta" ? [event.text] : []))).toEqual(["c", "d", "e"]);
	});

	test("[LOG-6] a stream is typed, never cached, not buffered by proxies, and says a welcome like a socket's", async () => {
		const { session } = await scripted();
		const stream = await EventStream.open(session);
		await stream.until((l) => l.event.type === "turn_started");
		const { headers } = stream.response;
		expect([headers.get("content-type"), headers.get("cache-control"), headers.get("x-accel-buffering")]).toEqual([
			"text/event-stream; charset=utf-8",
			"no-store",
			"no",
		]);
		expect(stream.named[0]).toMatchObject({ event: "welcome", data: { sessionId: session.id, recovered: true } });
		const refused = await EventStream.open(session, { "last-event-id": "not-a-number" });
		expect(refused.response.status).toBe(400);
	});

	test("[P2][LOG-6] a hello after an offset continues there, after another epoch starts over, beyond the end is rewound: never silence", async () => {
		const { session, hosting, turnId } = await scripted();
		hosting.report(ended(turnId));
		await hosting.acked();
		const log = await logOf(session);
		const last = log.length;
		const { welcome } = await watch(session);
		expect(welcome).toMatchObject({ recovered: true, firstOffset: 1, lastOffset: last, durableOffset: last, state: "busy" });
		expect(welcome).not.toHaveProperty("rewindTo");
		const { epoch } = welcome;
		const other = `epo_${"0".repeat(26)}`;
		const cases: [object, object, number][] = [
			[{ after: 3, epoch }, { recovered: true }, 4],
			[{ after: 3 }, { recovered: true }, 4],
			[{ after: 3, epoch: other }, { recovered: false, firstOffset: 1 }, 1],
			[{ after: last + 100, epoch }, { recovered: true, rewindTo: last }, last + 1],
			[{ after: last + 100, epoch: other }, { recovered: false, firstOffset: 1 }, 1],
			[{ after: 0, epoch }, { recovered: true }, 1],
		];
		for (const [hello, expected, next] of cases) {
			const { socket, welcome: answer } = await watch(session, hello);
			expect([hello, answer]).toMatchObject([hello, expected]);
			await socket.settled();
			expect([hello, shownTo(socket).map((l) => l.offset)]).toEqual([hello, log.map((l) => l.offset).filter((o) => o >= next)]);
			const query = new URLSearchParams(Object.entries(hello).map(([k, v]): [string, string] => [k, String(v)]));
			const page = (await rest("GET", `/v1/sessions/${session.id}/events?${query}`)).body as { data: LoggedEvent[] };
			expect([hello, page]).toMatchObject([hello, expected]);
			expect(page.data.map((l) => l.offset)).toEqual(log.map((l) => l.offset).filter((o) => o >= next));
		}
	});

	test("[WAT-1] a watcher that acknowledges nothing is paused at its window while another gets all; then it catches up from the log", async () => {
		const { session, hosting, turnId } = await scripted();
		const [{ socket: lazy }, { socket: eager }] = await Promise.all([watch(session), watch(session)]);
		const piece = "x".repeat(100_000);
		const batches = 12;
		let acked = 0;
		for (let n = 0; n < batches; n++) {
			hosting.report(...[0, 1, 2, 3, 4].map(() => said(turnId, piece)));
			const seq = hosting.seq;
			await eager.until("its share", () => {
				const last = shownTo(eager).at(-1)?.offset ?? 0;
				if (last > acked) eager.send({ type: "ack", offset: last });
				acked = last;
				return shownTo(eager).filter((l) => l.event.type === "text_delta").length >= (n + 1) * 5 || undefined;
			});
			await hosting.link.until("an ack of what fills a row", () =>
				hosting.link.frames.some((f) => f.type === "ack" && f.seq >= seq) ? true : undefined,
			);
		}
		hosting.report(ended(turnId));
		eager.send({ type: "ack", offset: acked });
		await shown(eager, isEnd);
		await lazy.settled();
		const bytes = JSON.stringify(shownTo(lazy)).length;
		expect(bytes).toBeGreaterThan(WATCHER_WINDOW_BYTES / 2);
		expect(bytes).toBeLessThan(WATCHER_WINDOW_BYTES + MAX_PAGE_BYTES + 16_384);
		// It acknowledges at last, as it takes in what comes.
		let last = 0;
		await lazy.until("the end", () => {
			const seen = shownTo(lazy).at(-1)?.offset ?? 0;
			if (seen > last) lazy.send({ type: "ack", offset: seen });
			last = seen;
			return shownTo(lazy).some(isEnd) || undefined;
		});
		expect(shownTo(lazy).map((l) => l.offset)).toEqual(shownTo(eager).map((l) => l.offset));
		expect(shownTo(lazy)).toEqual(await logOf(session));
	});

	test("[WAT-1] 250 sockets and 5 streams that read nothing cost bounded memory, and the one that reads no time", async () => {
		const { session, hosting, turnId } = await scripted();
		const { socket: eager } = await watch(session);
		const memory = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gatewayPid(stack)}/status`, "utf8"))?.[1]) / 1024;
		for (let n = 0; n < 250; n++) (await watch(session)).socket.stopReading();
		const streams = new AbortController();
		open.push({ close: () => streams.abort() });
		for (let n = 0; n < 5; n++)
			await fetch(`${stack.url}/v1/sessions/${session.id}/events`, {
				headers: { authorization: `Bearer ${stack.apiKey}`, accept: "text/event-stream" },
				signal: streams.signal,
			});
		const before = memory();
		const piece = "x".repeat(100_000);
		let last = (await session.eventPage({ after: 0 })).lastOffset as number;
		let slowest = 0;
		// 200 of them are 5 GB for all.
		for (let n = 0; n < 200; n++) {
			const from = Date.now();
			hosting.report(said(turnId, piece));
			last++;
			await eager.until("the next event", () => shownTo(eager).at(-1)?.offset === last || undefined);
			eager.send({ type: "ack", offset: last });
			eager.frames.splice(0, eager.frames.length - 1);
			slowest = Math.max(slowest, Date.now() - from);
		}
		expect(slowest).toBeLessThan(5000);
		expect(memory() - before).toBeLessThan(250);
		hosting.report(ended(turnId));
		await shown(eager, isEnd);
	});
});

test("[TRN-4][P11] DELETE is answered 204 when no process of the session is left, and 202 while its runner says nothing", async () => {
	const session = await stack.client.openSession({ provider: "demo" });
	await (await session.send("hello")).result();
	expect((await logOf(session)).map((l) => (l.event.type === "process_state" ? l.event.state : "")).filter(Boolean)).not.toContain("dead");
	expect((await rest("DELETE", `/v1/sessions/${session.id}`)).status).toBe(204);
	expect((await logOf(session)).map((l) => (l.event.type === "process_state" ? l.event.state : ""))).toContain("dead");
	const { session: unheard } = await scripted();
	expect((await rest("DELETE", `/v1/sessions/${unheard.id}`)).status).toBe(202);
});

describe("frames that are not understood", () => {
	const nested = `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`;
	const wrong: [string, string | Uint8Array, { code: string; detail: string }][] = [
		["malformed JSON", '{"type":"input",', { code: "bad_request", detail: "not JSON" }],
		["no JSON at all", "hello", { code: "bad_request", detail: "not JSON" }],
		["a binary frame", new Uint8Array([0, 1, 2]), { code: "bad_request", detail: "binary" }],
		["JSON that is no object", "42", { code: "bad_request", detail: "object" }],
		["an unknown type", '{"type":"sudo"}', { code: "bad_request", detail: "type" }],
		["a missing field", '{"type":"input","clientId":"c-1"}', { code: "bad_request", detail: "text" }],
		["a field of the wrong kind", '{"type":"ack","offset":"7"}', { code: "bad_request", detail: "offset" }],
		["a number over all numbers", '{"type":"ack","offset":1e400}', { code: "bad_request", detail: "offset" }],
		["a client id with a space", '{"type":"input","clientId":"c 1","text":"x"}', { code: "bad_request", detail: "clientId" }],
		["a frame nested 10,000 deep", nested, { code: "bad_request", detail: "64 levels" }],
		[
			"a frame of 2 MiB",
			JSON.stringify({ type: "input", clientId: "c-2", text: "x".repeat(2 * 1024 * 1024) }),
			{ code: "too_large", detail: `${MAX_CLIENT_FRAME_BYTES} bytes` },
		],
		[
			"a prompt over its limit in bytes",
			JSON.stringify({ type: "input", clientId: "c-3", text: "ü".repeat(MAX_INPUT_BYTES / 2 + 1) }),
			{ code: "too_large", detail: `${MAX_INPUT_BYTES} bytes` },
		],
	];
	test.each(wrong)(
		"[LNK-3] %s is answered with what is wrong; the socket stays and the log is unchanged",
		async (_, frame, { code, detail }) => {
			const session = await stack.client.openSession({ provider: "away" });
			const { socket } = await watch(session);
			const before = await logOf(session);
			socket.sendText(frame);
			expect(await socket.next("error")).toMatchObject({ problem: { code, detail: expect.stringContaining(detail) } });
			await socket.settled();
			expect(socket.closed).toBeNull();
			expect(await logOf(session)).toEqual(before);
			expect((await session.turns()).data).toEqual([]);
		},
	);

	test("[LNK-1] nothing counts before the hello, and a second hello is an error", async () => {
		const session = await stack.client.openSession({ provider: "away" });
		const socket = kept(await dialSession<ToClientFrame>(stack.url, stack.apiKey, session.id));
		for (const frame of [{ type: "input", clientId: "c-1", text: "too early" }, { type: "interrupt" }, { type: "ack", offset: 1 }]) {
			socket.send(frame);
			expect(await socket.next("error")).toMatchObject({
				re: frame.type,
				problem: { code: "bad_request", detail: expect.stringContaining("hello") },
			});
		}
		socket.send({ type: "hello", protocol: PROTOCOL_VERSION });
		await socket.next("welcome");
		socket.send({ type: "hello", protocol: PROTOCOL_VERSION });
		expect(await socket.next("error")).toMatchObject({ re: "hello", problem: { code: "bad_request" } });
		expect((await session.turns()).data).toEqual([]);
	});

	test("[LNK-2] a hello of another version is closed with 4426 and says which is spoken", async () => {
		const session = await stack.client.openSession({ provider: "away" });
		const socket = await dialSession<ToClientFrame>(stack.url, stack.apiKey, session.id);
		socket.send({ type: "hello", protocol: PROTOCOL_VERSION + 1 });
		expect(await socket.next("error")).toMatchObject({
			problem: { code: "unsupported_version", detail: expect.stringContaining(`protocol ${PROTOCOL_VERSION}`) },
		});
		expect(await socket.ended()).toMatchObject({ code: 4426 });
	});

	test("[P3] half a character in a prompt is taken, once, and breaks no prototype", async () => {
		const session = await stack.client.openSession({ provider: "away" });
		const { socket } = await watch(session);
		const frame = '{"type":"input","clientId":"c-1","text":"half \\ud83d.","__proto__":{"polluted":true},"clientId":"c-1"}';
		socket.sendText(frame);
		expect(await socket.next("accepted")).toMatchObject({ clientId: "c-1", duplicate: false });
		socket.sendText(frame);
		expect(await socket.next("accepted")).toMatchObject({ clientId: "c-1", duplicate: true });
	});
});

describe("REST calls that are not understood", () => {
	const anySession = `/v1/sessions/ses_${"0".repeat(26)}`;
	const deep = `${'{"a":'.repeat(100)}1${"}".repeat(100)}`;
	const wrong: [string, string, string, unknown, number, string][] = [
		["malformed JSON", "POST", "/v1/sessions", '{"provider":', 400, "not JSON"],
		["an unknown field, by its name", "POST", "/v1/sessions", { provider: "demo", runAs: "root" }, 400, "runAs"],
		["a field of the wrong kind, by its name", "POST", "/v1/sessions", { provider: 7 }, 400, "provider"],
		["a body that is missing", "POST", "/v1/keys", undefined, 400, "name"],
		["a relative directory", "POST", "/v1/sessions", { provider: "demo", workDir: "../.." }, 400, "absolute path"],
		["a directory with a NUL", "POST", "/v1/sessions", { provider: "demo", workDir: "/a\0b" }, 400, "absolute path"],
		["a model that looks like a flag", "POST", "/v1/sessions", { provider: "demo", model: "--dangerously-skip-permissions" }, 400, "model"],
		[
			"a selector that does not parse",
			"POST",
			"/v1/sessions",
			{ selector: "os in (linux" },
			400,
			"selector: at character 13: expected a comma or",
		],
		["an empty selector", "POST", "/v1/sessions", { selector: "" }, 400, "selector: at character 1: expected a label's name"],
		["a provider that nobody offers", "POST", "/v1/sessions", { provider: "nobody" }, 422, "nobody"],
		["a body nested too deep", "POST", "/v1/sessions", deep, 400, "64 levels"],
		["a body over 1 MiB", "POST", "/v1/sessions", { key: "x".repeat(MAX_BODY_BYTES) }, 413, `${MAX_BODY_BYTES} bytes`],
		["a limit of none", "GET", "/v1/sessions?limit=0", undefined, 400, "limit"],
		["a cursor of nobody", "GET", "/v1/sessions?cursor=abc", undefined, 400, "cursor"],
		["an address that does not exist", "GET", "/v1/nothing", undefined, 404, "/v1/nothing"],
		["a method that does not exist", "PUT", "/v1/sessions", {}, 404, "PUT"],
		["an id of no session", "GET", anySession, undefined, 404, "no such session"],
		["an id of the wrong form", "GET", "/v1/sessions/ses_SHORT", undefined, 404, "no such session"],
		["an id that climbs", "GET", "/v1/sessions/..%2f..%2fetc", undefined, 404, "no such session"],
		["a runner's id of the wrong form", "DELETE", "/v1/runners/x", undefined, 404, "no such runner"],
		["a key's id of the wrong form", "DELETE", "/v1/keys/x", undefined, 404, "no such key"],
	];
	test.each(wrong)("%s is answered by a problem that says so", async (_, method, path, body, status, detail) => {
		const answer = await rest(method, path, body);
		expect(answer).toMatchObject({ status, body: { status, retryable: false, detail: expect.stringContaining(detail) } });
		expect(answer.headers.get("content-type")).toBe("application/problem+json");
	});

	test("a body that is no JSON by its type, and one over its limit without a length, are refused too", async () => {
		expect((await rest("POST", "/v1/sessions", '{"provider":"demo"}', { "content-type": "text/plain" })).status).toBe(400);
		const body = new ReadableStream({
			start(controller) {
				for (let n = 0; n < 20; n++) controller.enqueue(new TextEncoder().encode("x".repeat(100_000)));
				controller.close();
			},
		});
		const init = {
			method: "POST",
			headers: { authorization: `Bearer ${stack.apiKey}`, "content-type": "application/json" },
			body,
			duplex: "half",
		};
		expect((await fetch(`${stack.url}/v1/sessions`, init as RequestInit)).status).toBe(413);
	});

	test("ids of turns and approvals that are not there are 404 within a session that is", async () => {
		const session = await stack.client.openSession({ provider: "away" });
		for (const id of [`trn_${"0".repeat(26)}`, "x", "%00"])
			expect((await rest("GET", `/v1/sessions/${session.id}/turns/${id}`)).status).toBe(404);
		for (const id of [`apr_${"0".repeat(26)}`, "x"])
			expect((await rest("POST", `/v1/sessions/${session.id}/approvals/${id}`, { decision: "allow" })).body).toMatchObject({
				code: "not_found",
			});
	});
});

describe("turns", () => {
	const post = (session: SessionHandle, text: string, key: string, more: object = {}) =>
		rest("POST", `/v1/sessions/${session.id}/turns`, { text, ...more }, { "idempotency-key": key });

	test("[P3][TRN-1] the same Idempotency-Key again is the same turn, with another text a conflict, over REST and the socket alike", async () => {
		const session = await stack.client.openSession({ provider: "away" });
		const first = await post(session, "hello", "k-1");
		expect(first).toMatchObject({ status: 202, body: { duplicate: false, state: "waiting", clientId: "k-1" } });
		const { turnId } = first.body as { turnId: string };
		expect(await post(session, "hello", "k-1")).toMatchObject({ status: 202, body: { duplicate: true, turnId } });
		expect(await post(session, "other", "k-1")).toMatchObject({ status: 409, body: { code: "conflict" } });
		expect(await post(session, "hello", "k-1", { clientId: "k-2" })).toMatchObject({ status: 400 });
		const { socket } = await watch(session);
		socket.send({ type: "input", clientId: "k-1", text: "hello" });
		expect(await socket.next("accepted")).toEqual({ type: "accepted", clientId: "k-1", turnId, duplicate: true });
		socket.send({ type: "input", clientId: "k-1", text: "other" });
		expect(await socket.next("error")).toMatchObject({ re: "k-1", problem: { code: "conflict" } });
		expect((await session.turns()).data.length).toBe(1);
	});

	test("[P3][TRN-1] ten of the same at once are one turn", async () => {
		const session = await stack.client.openSession({ provider: "away" });
		const answers = await Promise.all(Array.from({ length: 10 }, () => post(session, "hello", "k-1")));
		const bodies = answers.map((a) => a.body as { turnId: string; duplicate: boolean });
		expect(new Set(bodies.map((b) => b.turnId)).size).toBe(1);
		expect(bodies.filter((b) => !b.duplicate).length).toBe(1);
		expect((await logOf(session)).filter((l) => l.event.type === "input").length).toBe(1);
	});

	test("[TRN-2] one turn at a time: sixteen inputs wait in order, the next is 429 with Retry-After, and may be sent again later", async () => {
		const { session, hosting, turnId } = await scripted();
		const waiting = [];
		for (let n = 1; n <= MAX_WAITING_INPUTS; n++) waiting.push((await session.send(`input ${n}`)).id);
		const whys = new Map((await session.turns()).data.map((t) => [t.turnId as string, t.why]));
		expect([turnId, waiting[0], waiting[2]].map((id) => whys.get(id ?? ""))).toEqual([
			null,
			"1 turn of this session runs before it",
			"3 turns of this session run before it",
		]);
		expect((await session.turn(waiting[1] ?? "")).why).toBe("2 turns of this session run before it");
		const refused = await post(session, "one too many", "late");
		expect(refused).toMatchObject({ status: 429, body: { code: "too_many_inputs", retryable: true, retryAfterMs: 5000 } });
		expect(refused.headers.get("retry-after")).toBe("5");
		hosting.report(ended(turnId));
		for (const [n, id] of waiting.entries()) {
			const { desired } = await hosting.link.next("desired", (f) => f.desired.turn?.turnId === id);
			expect(desired.turn).toEqual({ turnId: id, text: `input ${n + 1}`, interrupt: false });
			if (n === 0) expect((await post(session, "one too many", "late")).status).toBe(202);
			hosting.report({ type: "turn_started", turnId: TurnId.parse(id), origin: "input" }, ended(TurnId.parse(id)));
		}
		await hosting.link.next("desired", (f) => f.desired.turn?.text === "one too many");
		const started = (await logOf(session)).flatMap((l) => (l.event.type === "turn_started" ? [l.event.turnId] : []));
		expect(started).toEqual([turnId, ...waiting]);
	});

	test("[TRN-4][P4] an interrupt ends the running turn as cancelled and keeps the session and what waits", async () => {
		const follower = new Follower(await stack.client.openSession({ provider: "demo" }));
		open.push({ close: () => void follower.terminate() });
		const { session } = follower;
		const first = await session.send("a long story");
		await follower.until("text_delta");
		const second = await session.send("the next");
		await session.interrupt();
		expect((await follower.endOf(first.id)).stopReason).toBe("cancelled");
		expect((await follower.endOf(second.id)).stopReason).toBe("end_turn");
		expect(follower.of("turn_ended").length).toBe(2);
		expect(await rest("POST", `/v1/sessions/${session.id}/interrupt`)).toMatchObject({ status: 202, body: { turnId: null } });
	});

	test("[TRN-4][P7] a turn that waits for a runner says why, and can be interrupted; the session takes the next", async () => {
		const session = await stack.client.openSession({ provider: "away" });
		const { socket } = await watch(session);
		const turn = await session.send("hello");
		const why = "1 runner offers away, offline; position";
		await shown(socket, (l) => l.event.type === "session_state" && l.event.state === "queued" && l.event.why?.startsWith(why) === true);
		await expect.poll(() => session.get()).toMatchObject({ state: "queued", why: expect.stringContaining(why) });
		expect((await session.turn(turn.id)).why).toContain(why);
		expect(await rest("POST", `/v1/sessions/${session.id}/interrupt`)).toMatchObject({ status: 202, body: { turnId: turn.id } });
		expect(await session.turn(turn.id)).toMatchObject({ state: "ended", stopReason: "cancelled", startedAt: null });
		expect((await session.send("again")).accepted.state).toBe("waiting");
		await session.terminate();
	});

	test("[TRN-4][P4] terminating ends the session and each of its turns once; its log stays, inputs are 410", async () => {
		const { session, hosting, turnId } = await scripted();
		const waiting = await session.send("waits");
		await session.terminate();
		await hosting.link.next("desired", (f) => f.desired.stop);
		// It had ended before the runner heard.
		hosting.report(ended(turnId));
		await session.terminate();
		const ends = (await logOf(session)).flatMap((l) => (l.event.type === "turn_ended" ? [[l.event.turnId, l.event.stopReason]] : []));
		expect(ends.toSorted()).toEqual(
			[
				[turnId, "cancelled"],
				[waiting.id, "cancelled"],
			].toSorted(),
		);
		expect(await post(session, "more", "k-9")).toMatchObject({ status: 410, body: { code: "session_closed", retryable: false } });
		await expect.poll(async () => (await session.get()).state).toBe("closed");
		const { welcome } = await watch(session);
		expect(welcome.state).toBe("closed");
	});

	test("[P8][APR-2] two who decide at once: one decision counts, the other is a conflict", async () => {
		const { session, hosting, turnId } = await scripted();
		const approvalId = `apr_${"3".repeat(26)}` as never;
		hosting.report({ type: "approval_requested", turnId, approvalId, tool: "Bash", input: {} });
		await hosting.acked();
		const decide = (decision: string) => rest("POST", `/v1/sessions/${session.id}/approvals/${approvalId}`, { decision });
		const answers = await Promise.all([decide("allow"), decide("deny"), decide("allow"), decide("deny")]);
		expect(answers.map((a) => a.status).toSorted()).toEqual([200, 409, 409, 409]);
		expect((await logOf(session)).filter((l) => l.event.type === "approval_decided").length).toBe(1);
	});
});

describe("sessions", () => {
	test("[P3] ten who open the same key at once get one session, one of them as new; terminated it is still that session, closed", async () => {
		const key = randomUUID();
		const opened = await Promise.all(Array.from({ length: 10 }, () => stack.client.openSession({ key, provider: "away" })));
		expect(new Set(opened.map((s) => s.id)).size).toBe(1);
		expect(opened.filter((s) => s.opened?.created).length).toBe(1);
		const session = opened[0] as SessionHandle;
		expect((await logOf(session)).map((l) => l.event.type)).toEqual(["session_created"]);
		await session.terminate();
		const again = await stack.client.openSession({ key });
		expect([again.id, again.opened?.created]).toEqual([session.id, false]);
		await expect.poll(async () => (await again.get()).state).toBe("closed");
		await expect(again.send("hello")).rejects.toMatchObject({ problem: { code: "session_closed", status: 410 } });
	});

	test("a list is turned over by its cursors without doubles or gaps, while new sessions are made", async () => {
		const made: string[] = [];
		for (let n = 0; n < 25; n++) made.push((await stack.client.openSession({ provider: "away" })).id);
		const seen: string[] = [];
		let cursor: string | undefined;
		do {
			const page = await stack.client.sessions({ limit: 4, cursor });
			seen.push(...page.data.map((s) => s.sessionId));
			cursor = page.nextCursor ?? undefined;
			await stack.client.openSession({ provider: "away" });
		} while (cursor !== undefined && !made.every((id) => seen.includes(id)));
		expect(new Set(seen).size).toBe(seen.length);
		// Newest first, within a millisecond in the order of ids.
		expect(seen.filter((id) => made.includes(id)).toSorted()).toEqual(made.toSorted());
	});

	test("turns are turned over by their cursors, newest first", async () => {
		const session = await stack.client.openSession({ provider: "away" });
		const sent: string[] = [];
		for (let n = 0; n < 7; n++) sent.push((await session.send(`input ${n}`)).id);
		const seen: string[] = [];
		let cursor: string | undefined;
		do {
			const page = await session.turns({ limit: 3, cursor });
			seen.push(...page.data.map((t) => t.turnId));
			cursor = page.nextCursor ?? undefined;
		} while (cursor !== undefined);
		expect(seen).toEqual(sent.toReversed());
	});

	test("the figures of a session add up with its log and its turns", async () => {
		const { session, hosting, turnId } = await scripted();
		const usage = { inputTokens: 10, outputTokens: 5, cacheReadTokens: 3, cacheWriteTokens: 1, costUsd: 0.25 };
		hosting.report(
			{ type: "process_state", state: "starting", pid: 7 },
			said(turnId, "hi"),
			{ type: "usage", turnId, ...usage },
			ended(turnId),
		);
		const second = TurnId.parse((await session.send("fails")).id);
		await hosting.link.next("desired", (f) => f.desired.turn?.turnId === second);
		hosting.report({ type: "turn_started", turnId: second, origin: "input" }, { type: "usage", turnId: second, ...usage });
		hosting.report({ type: "turn_ended", turnId: second, stopReason: "failed", error: { code: "model_error", detail: "overloaded" } });
		await hosting.acked();
		const [stats, log, turns] = await Promise.all([session.stats(), logOf(session), session.turns()]);
		const turnMs = turns.data.reduce((sum, t) => sum + (t.endedAt ?? 0) - (t.startedAt ?? 0), 0);
		expect(stats).toEqual({
			sessionId: session.id,
			turns: { accepted: 2, ended: 2, failed: 1, cancelled: 0 },
			events: log.at(-1)?.offset,
			bytes: log.reduce((sum, l) => sum + Buffer.byteLength(JSON.stringify(l)), 0),
			tokens: { inputTokens: 20, outputTokens: 10, cacheReadTokens: 6, cacheWriteTokens: 2 },
			costUsd: 0.5,
			processStarts: 1,
			createdAt: log[0]?.at,
			lastEventAt: log.at(-1)?.at,
			turnMs,
		});
		expect(turns.data.map((t) => [t.turnId, t.stopReason, t.usage?.costUsd])).toEqual([
			[second, "failed", 0.25],
			[turnId, "end_turn", 0.25],
		]);
		expect((await rest("GET", `/v1/sessions/${session.id}/turns/${second}`)).body as Problem).toMatchObject({
			error: { code: "model_error", detail: "overloaded" },
		});
	});
});
