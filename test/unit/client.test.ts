import { afterEach, expect, test } from "vitest";
import { Client, LogLost, ProblemError, TurnText, Unreachable, type WatchItem } from "../../shared/client.ts";
import { problem } from "../../shared/errors.ts";
import { type LoggedEvent, type RunnerEvent, type SessionEvent, splitEvent } from "../../shared/events.ts";
import { offset, TurnId } from "../../shared/ids.ts";
import { SNAPSHOT } from "../support/samples.ts";
import {
	APPROVAL,
	EPOCH,
	events,
	logOf,
	ManualTime,
	OTHER_EPOCH,
	type Peer,
	replay,
	type Script,
	type ScriptedGateway,
	SESSION,
	said,
	startGateway,
	TURN,
	welcome,
} from "../support/scripted-gateway.ts";

const OTHER_TURN = TurnId.parse(`trn_${"2".padStart(26, "0")}`);
const ENDED: SessionEvent = { type: "turn_ended", turnId: TURN, stopReason: "end_turn" };
const ANSWER = logOf([{ type: "turn_started", turnId: TURN, origin: "input" }, said("one "), said("two "), said("three"), ENDED]);

const open: ScriptedGateway[] = [];
afterEach(async () => {
	for (const gateway of open.splice(0)) await gateway.close();
});
async function gatewayThat(script: Script): Promise<ScriptedGateway> {
	const gateway = await startGateway(script);
	open.push(gateway);
	return gateway;
}
/** A client that comes back at once. */
const clientOf = (gateway: ScriptedGateway, more: Partial<ConstructorParameters<typeof Client>[0]> = {}): Client =>
	new Client({ url: gateway.url, apiKey: "hp_key", random: () => 0, ...more });

/** Events up to the end of the turn, kept as the interface says: an offset that goes back takes away what was from there on. */
async function follow(source: AsyncIterable<LoggedEvent>): Promise<LoggedEvent[]> {
	let kept: LoggedEvent[] = [];
	for await (const logged of source) {
		kept = kept.filter((earlier) => earlier.offset < logged.offset);
		kept.push(logged);
		if (logged.event.type === "turn_ended") break;
	}
	return kept;
}
async function items(source: AsyncIterable<WatchItem>, enough: (item: WatchItem) => boolean): Promise<WatchItem[]> {
	const taken: WatchItem[] = [];
	for await (const item of source) {
		taken.push(item);
		if (enough(item)) break;
	}
	return taken;
}
const isEnd = (item: WatchItem): boolean => item.kind === "event" && item.logged.event.type === "turn_ended";
const brief = (item: WatchItem): string =>
	item.kind === "event" ? `${item.logged.offset}` : item.kind === "rewind" ? `rewind ${item.to}` : item.kind;
const until = async (what: string, holds: () => boolean): Promise<void> => {
	for (let i = 0; i < 2000; i++) {
		if (holds()) return;
		await new Promise((resolve) => setImmediate(resolve));
		if (i > 200) await new Promise((resolve) => setTimeout(resolve, 1));
	}
	throw new Error(`it did not come to pass: ${what}`);
};

test("[LOG-6] a client that was cut in mid-answer goes on after its last offset", async () => {
	const gateway = await gatewayThat({
		hello: (peer, hello) => {
			if (peer.number > 1) return replay(ANSWER)(peer, hello);
			peer.send(welcome(5, { durableOffset: offset(1) }));
			peer.send(events(ANSWER.slice(0, 3)));
			peer.socket.close(1011, "a bug");
		},
	});
	const seen = await items(clientOf(gateway).session(SESSION).watch(), isEnd);
	expect(seen.map(brief)).toEqual(["connected", "1", "2", "3", "disconnected", "connected", "4", "5"]);
	expect(gateway.peers.map((peer) => peer.frames[0])).toEqual([
		{ type: "hello", protocol: 1 },
		{ type: "hello", protocol: 1, after: 3, epoch: EPOCH, life: "life-1", durable: 3 },
	]);
});

test("[WAT-3] each connection proves itself by a ticket of its own, never by the address", async () => {
	const gateway = await gatewayThat({
		hello: (peer, hello) => (peer.number === 1 ? peer.socket.terminate() : replay(ANSWER)(peer, hello)),
	});
	await follow(clientOf(gateway).session(SESSION).events());
	expect(gateway.peers.map((peer) => peer.subprotocols)).toEqual([
		["hotplex.v1", "ticket.t1"],
		["hotplex.v1", "ticket.t2"],
	]);
	expect(gateway.calls.map((call) => [call.path, call.headers.authorization, call.body])).toEqual([
		["/v1/tickets", "Bearer hp_key", { sessionId: SESSION }],
		["/v1/tickets", "Bearer hp_key", { sessionId: SESSION }],
	]);
});

test("a client cut after any frame sees the same events", async () => {
	const big: SessionEvent = { type: "tool_result", turnId: TURN, toolCallId: "t1", status: "completed", output: "é".repeat(9000) };
	const parts = splitEvent(big as RunnerEvent, "p1", 4096);
	expect(parts.length).toBeGreaterThan(5);
	const log = logOf([...ANSWER.slice(0, 3).map((logged) => logged.event), ...parts, ENDED]);
	const expected = [...log.slice(0, 3), { ...log[log.length - 2], event: big }, log.at(-1)];
	let cut = 0;
	for (let wasCut = true; wasCut; ) {
		cut++;
		wasCut = false;
		const gateway = await gatewayThat({
			hello: (peer, hello) => {
				if (peer.number > 1) return replay(log)(peer, hello);
				let sent = 0;
				replay(log)(
					{
						...peer,
						send: (frame) => {
							if (sent++ < cut) peer.send(frame);
							else wasCut = true;
						},
					},
					hello,
				);
				if (wasCut) peer.socket.terminate();
			},
		});
		expect(await follow(clientOf(gateway).session(SESSION).events()), `cut after frame ${cut}`).toEqual(expected);
	}
	expect(cut).toBe(log.length + 1);
});

test("[LOG-5] a rewind makes the client forget and take the same events again", async () => {
	const gateway = await gatewayThat({
		hello: (peer) => {
			peer.send(welcome(4));
			peer.send(events(ANSWER.slice(0, 4)));
			peer.send({ type: "rewind", rewindTo: offset(2), life: "l2" });
			peer.send(events(ANSWER.slice(2)));
		},
	});
	const session = clientOf(gateway).session(SESSION);
	expect((await items(session.watch(), isEnd)).map(brief)).toEqual(["connected", "1", "2", "3", "4", "rewind 2", "3", "4", "5"]);
	expect(await follow(session.events())).toEqual(ANSWER);
});

test("[LOG-5] a rewind that a welcome tells, in the middle of a split event, loses nothing", async () => {
	const big: SessionEvent = { type: "tool_result", turnId: TURN, toolCallId: "t1", status: "completed", output: "x".repeat(3000) };
	const parts = splitEvent(big as RunnerEvent, "p1", 4096 - 1200);
	const log = logOf([said("a"), ...parts, ENDED]);
	const gateway = await gatewayThat({
		hello: (peer) => {
			if (peer.number === 1) {
				peer.send(welcome(log.length));
				peer.send(events(log.slice(0, -2)));
				return peer.socket.terminate();
			}
			peer.send(welcome(2, { rewindTo: offset(2) }));
			peer.send(events(log.slice(2)));
		},
	});
	expect(parts.length).toBeGreaterThan(3);
	expect(await follow(clientOf(gateway).session(SESSION).events())).toEqual([log[0], { ...log[log.length - 2], event: big }, log.at(-1)]);
});

test("events that come twice are taken once", async () => {
	const gateway = await gatewayThat({
		hello: (peer) => {
			peer.send(welcome(5));
			peer.send(events(ANSWER.slice(0, 3)));
			peer.send(events(ANSWER.slice(1)));
		},
	});
	expect(await follow(clientOf(gateway).session(SESSION).events())).toEqual(ANSWER);
});

test("a hole in the offsets is never passed on: the client comes back for what is missing", async () => {
	const gateway = await gatewayThat({
		hello: (peer, hello) => {
			if (peer.number > 1) return replay(ANSWER)(peer, hello);
			peer.send(welcome(5));
			peer.send(events(ANSWER.slice(0, 2)));
			peer.send(events(ANSWER.slice(3)));
		},
	});
	expect(await follow(clientOf(gateway).session(SESSION).events())).toEqual(ANSWER);
	expect(gateway.peers.length).toBe(2);
});

test("[LOG-6] recovered: false is told with the first offset that is left, and ends the simple iteration", async () => {
	const left = ANSWER.slice(3);
	const gateway = await gatewayThat({
		hello: (peer) => {
			peer.send(welcome(5, { recovered: false, firstOffset: offset(4), epoch: OTHER_EPOCH, snapshot: SNAPSHOT }));
			peer.send(events(left));
		},
	});
	const session = clientOf(gateway).session(SESSION);
	const seen = await items(session.watch({ after: 1, epoch: EPOCH }), isEnd);
	expect(seen.slice(1)).toEqual([
		{ kind: "recovered_false", after: 1, firstOffset: 4, epoch: OTHER_EPOCH, sameLog: false, snapshot: SNAPSHOT },
		...left.map((logged) => ({ kind: "event", logged, epoch: OTHER_EPOCH })),
	]);
	const failure = await follow(session.events({ after: 1, epoch: EPOCH })).catch((error: unknown) => error);
	expect(failure).toBeInstanceOf(LogLost);
	expect(failure).toMatchObject({ firstOffset: 4, epoch: OTHER_EPOCH, snapshot: SNAPSHOT });
});

test("[LOG-9] a client that asks for the beginning and comes too late is told so, once, and goes on", async () => {
	const gateway = await gatewayThat({
		hello: (peer) => {
			peer.send(welcome(5, { firstOffset: offset(4), snapshot: SNAPSHOT }));
			peer.send(events(ANSWER.slice(3)));
		},
	});
	const session = clientOf(gateway).session(SESSION);
	const [connected, ...rest] = await items(session.watch(), isEnd);
	expect(connected).toMatchObject({ kind: "connected", firstOffset: 4, snapshot: SNAPSHOT });
	expect(rest.map(brief)).toEqual(["4", "5"]);
	expect(await follow(session.events())).toEqual(ANSWER.slice(3));
});

test("[WAT-4] a client that lagged until what it lacks was removed is told so on the socket that it has, and acknowledges what follows", async () => {
	const time = new ManualTime();
	const gateway = await gatewayThat({
		hello: (peer) => {
			peer.send(welcome(2));
			peer.send(events(ANSWER.slice(0, 2)));
			peer.send(welcome(5, { recovered: false, firstOffset: offset(5), snapshot: SNAPSHOT }));
			peer.send(events(ANSWER.slice(4)));
		},
	});
	const watched = clientOf(gateway, { setTimer: time.setTimer }).session(SESSION).watch();
	const seen: WatchItem[] = [];
	for (let i = 0; i < 6; i++) seen.push((await watched.next()).value as WatchItem);
	expect(seen.map(brief)).toEqual(["connected", "1", "2", "connected", "recovered_false", "5"]);
	expect(seen[4]).toMatchObject({ after: 2, firstOffset: 5, sameLog: true, snapshot: SNAPSHOT });
	const next = watched.next();
	time.pass(1_000);
	await until("the ack", () => gateway.peers[0]?.frames.some((frame) => frame.type === "ack" && frame.offset === 5) ?? false);
	await watched.return?.();
	await next;
});

test("[LOG-6] what was shown and lost before the events that are gone is taken back too", async () => {
	const gateway = await gatewayThat({
		hello: (peer) => {
			if (peer.number === 1) {
				peer.send(welcome(3, { durableOffset: offset(1) }));
				peer.send(events(ANSWER.slice(0, 3)));
				return peer.socket.terminate();
			}
			peer.send(welcome(5, { recovered: false, rewindTo: offset(1), firstOffset: offset(4), snapshot: SNAPSHOT }));
			peer.send(events(ANSWER.slice(3)));
		},
	});
	const seen = await items(clientOf(gateway).session(SESSION).watch(), isEnd);
	expect(seen.slice(4).map(brief)).toEqual(["disconnected", "connected", "rewind 1", "recovered_false", "4", "5"]);
	expect(seen[7]).toMatchObject({ after: 1, firstOffset: 4 });
});

test("[WAT-2] close 4401 ends the watch with the gateway's words, after what had come, and is not retried", async () => {
	const gateway = await gatewayThat({
		hello: (peer) => {
			peer.send(welcome(2));
			peer.send(events(ANSWER.slice(0, 2)));
			peer.send({ type: "error", problem: problem("unauthorized", "the key was revoked") });
			peer.socket.close(4401, "unauthorized");
		},
	});
	const seen: string[] = [];
	const failure = await (async () => {
		for await (const item of clientOf(gateway).session(SESSION).watch()) seen.push(brief(item));
	})().catch((error: unknown) => error);
	expect(seen).toEqual(["connected", "1", "2"]);
	expect(failure).toBeInstanceOf(ProblemError);
	expect((failure as ProblemError).problem).toEqual(problem("unauthorized", "the key was revoked"));
	expect(gateway.peers.length).toBe(1);
});

test("a ticket that is refused for good ends the watch; one refused for now is asked for again", async () => {
	let asked = 0;
	const gateway = await gatewayThat({
		hello: replay(ANSWER),
		call: (call) => {
			if (call.path !== "/v1/tickets") return null;
			asked++;
			if (asked === 1) return "cut";
			if (asked === 2) return { status: 503, body: problem("going_away", "deploying") };
			if (asked === 3) return { status: 502, body: "<html>" };
			return asked === 5 ? { status: 404, body: problem("not_found", "no such session") } : null;
		},
	});
	const session = clientOf(gateway).session(SESSION);
	expect(await follow(session.events())).toEqual(ANSWER);
	expect(asked).toBe(4);
	const failure = await follow(session.events()).catch((error: unknown) => error);
	expect(failure).toMatchObject({ problem: { code: "not_found", detail: "no such session" } });
	expect(asked).toBe(5);
});

test("[LNK-6] close 1000 is the end of the watch, without an error", async () => {
	const gateway = await gatewayThat({
		hello: (peer, hello) => {
			replay(ANSWER.slice(0, 2))(peer, hello);
			peer.socket.close(1000);
		},
	});
	expect((await items(clientOf(gateway).session(SESSION).watch(), () => false)).map(brief)).toEqual(["connected", "1", "2"]);
});

test("[LNK-4] a ping that is not answered by the next one is a dead link; the client comes back, and answered ones are not", async () => {
	const time = new ManualTime();
	let deaf = false;
	const gateway = await gatewayThat({
		hello: (peer, hello) => (peer.number === 1 ? peer.send(welcome(0)) : replay(ANSWER)(peer, hello)),
		frame: () => !deaf,
	});
	const client = clientOf(gateway, { now: () => time.now, setTimer: time.setTimer });
	const watched = client.session(SESSION).watch();
	const pings = (peer: Peer | undefined): number => peer?.frames.filter((frame) => frame.type === "ping").length ?? 0;
	expect((await watched.next()).value).toMatchObject({ kind: "connected", lastOffset: 0 });
	for (let i = 1; i <= 4; i++) {
		time.pass(20_000);
		await until("the ping came and its pong went", () => pings(gateway.peers[0]) === i);
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
	deaf = true;
	time.pass(20_000);
	await until("the ping came", () => pings(gateway.peers[0]) === 5);
	expect(gateway.peers.length).toBe(1);
	time.pass(20_000);
	deaf = false;
	expect((await items(watched, isEnd)).map(brief)).toEqual(["disconnected", "connected", "1", "2", "3", "4", "5"]);
	expect(gateway.peers.length).toBe(2);
	expect(time.waiting).toBe(0);
});

test("[WAT-1] what the consumer took in is acknowledged, not what arrived", async () => {
	const time = new ManualTime();
	const log = logOf(Array.from({ length: 120 }, (_, i) => said(`${i} `)));
	const gateway = await gatewayThat({
		hello: (peer) => {
			peer.send(welcome(120));
			peer.send(events(log));
		},
	});
	const acks = (): number[] => (gateway.peers[0]?.frames ?? []).flatMap((frame) => (frame.type === "ack" ? [frame.offset] : []));
	const watched = clientOf(gateway, { setTimer: time.setTimer }).session(SESSION).watch();
	for (let i = 0; i <= 50; i++) await watched.next();
	// Fifty were given; the fiftieth is still in the consumer's hands.
	await new Promise((resolve) => setTimeout(resolve, 20));
	expect(acks()).toEqual([]);
	await watched.next();
	await until("the first ack", () => acks().length === 1);
	expect(acks()).toEqual([50]);
	for (let i = 51; i < 80; i++) await watched.next();
	time.pass(1_000);
	await until("the ack after a pause", () => acks().length === 2);
	expect(acks()).toEqual([50, 79]);
	await watched.return?.();
	expect(time.waiting).toBe(0);
});

test("[WAT-1] large events are acknowledged by their size", async () => {
	const log = logOf(Array.from({ length: 4 }, () => said("x".repeat(40_000))));
	const gateway = await gatewayThat({ hello: replay(log) });
	const watched = clientOf(gateway, { setTimer: new ManualTime().setTimer }).session(SESSION).watch();
	for (let i = 0; i <= 4; i++) await watched.next();
	await until("the ack", () => gateway.peers[0]?.frames.some((frame) => frame.type === "ack") ?? false);
	expect(gateway.peers[0]?.frames.at(-1)).toEqual({ type: "ack", offset: 2 });
	await watched.return?.();
});

test("an aborted watch ends quietly and leaves no timer and no socket", async () => {
	const time = new ManualTime();
	const gateway = await gatewayThat({ hello: replay(ANSWER.slice(0, 2)) });
	const stop = new AbortController();
	const seen: number[] = [];
	for await (const logged of clientOf(gateway, { setTimer: time.setTimer }).session(SESSION).events({ signal: stop.signal })) {
		seen.push(logged.offset);
		if (logged.offset === 2) setImmediate(() => stop.abort());
	}
	expect(seen).toEqual([1, 2]);
	expect(time.waiting).toBe(0);
	await until("the socket is closed", () => gateway.peers[0]?.socket.readyState === 3);
});

const ACCEPTED = {
	turnId: TURN,
	clientId: "c1",
	state: "waiting",
	stopReason: null,
	error: null,
	acceptedAt: 1,
	startedAt: null,
	endedAt: null,
	usage: null,
	afterOffset: 1,
	why: null,
	duplicate: false,
};

test("[TRN-1] an input is sent again under the same name until the gateway says that it has it", async () => {
	let tries = 0;
	const gateway = await gatewayThat({
		hello: replay([]),
		call: (call) => {
			if (!call.path.endsWith("/turns")) return null;
			tries++;
			if (tries === 1) return "cut";
			if (tries === 2) return { status: 429, body: problem("too_many_inputs", "16 wait") };
			return { status: 202, body: { ...ACCEPTED, duplicate: true } };
		},
	});
	const turn = await clientOf(gateway).session(SESSION).send("hello");
	expect(turn.accepted.duplicate).toBe(true);
	const names = new Set(gateway.calls.map((call) => call.headers["idempotency-key"]));
	expect(gateway.calls.map((call) => call.body)).toEqual(Array(3).fill({ text: "hello", clientId: turn.clientId }));
	expect([...names]).toEqual([turn.clientId]);
});

test("an input that is refused for good is not sent again; one that never gets through ends as unreachable", async () => {
	const gateway = await gatewayThat({
		hello: replay([]),
		call: (call) =>
			call.body !== null && JSON.stringify(call.body).includes("cut")
				? "cut"
				: { status: 410, body: problem("session_closed", "it ended") },
	});
	const session = clientOf(gateway).session(SESSION);
	expect(await session.send("x").catch((error: unknown) => error)).toMatchObject({ problem: { code: "session_closed" } });
	expect(gateway.calls.length).toBe(1);
	expect(await session.send("cut").catch((error: unknown) => error)).toBeInstanceOf(Unreachable);
	expect(gateway.calls.length).toBe(9);
});

test("a turn's result is its own text, without what was retracted, rewound or said by a subagent", async () => {
	const usage = { inputTokens: 1, outputTokens: 2, cacheReadTokens: 3, cacheWriteTokens: 4, costUsd: null };
	const log = logOf([
		{ type: "session_state", state: "busy" },
		{ type: "input", turnId: TURN, clientId: "c1", text: "hi", by: "key:k" },
		{ type: "text_delta", turnId: OTHER_TURN, messageId: "m0", text: "another turn" },
		said("wrong", "m1"),
		{ type: "text_retracted", turnId: TURN, messageId: "m1" },
		said("right", "m1"),
		{ type: "text_delta", turnId: TURN, messageId: "s1", text: "sub", parentToolCallId: "t1" },
		{ type: "approval_requested", turnId: TURN, approvalId: APPROVAL, tool: "Bash", input: {} },
		{ type: "approval_decided", approvalId: APPROVAL, decision: "allow", by: "key:k" },
		said("done", "m2"),
		{ type: "usage", turnId: TURN, ...usage },
		{ type: "turn_ended", turnId: TURN, stopReason: "failed", error: { code: "model_error", detail: "overloaded" } },
	]);
	const gateway = await gatewayThat({
		hello: (peer, hello) => {
			replay(log.slice(0, 10))(peer, hello);
			peer.send({ type: "rewind", rewindTo: offset(5), life: "l2" });
			replay(log)({ ...peer, send: (frame) => frame.type !== "welcome" && peer.send(frame) }, { ...hello, after: offset(5) });
		},
		call: (call) => (call.path.endsWith("/turns") ? { status: 202, body: ACCEPTED } : null),
	});
	const turn = await clientOf(gateway).session(SESSION).send("hi", { clientId: "c1" });
	expect(await turn.result()).toEqual({
		text: "right\n\ndone",
		stopReason: "failed",
		error: { code: "model_error", detail: "overloaded" },
		usage,
		complete: true,
	});
	const kinds: string[] = [];
	for await (const { event } of turn.events()) kinds.push(event.type);
	expect(kinds).not.toContain("session_state");
	expect(kinds.filter((kind) => kind === "approval_decided").length).toBe(2);
});

const USAGE = { inputTokens: 1, outputTokens: 2, cacheReadTokens: 3, cacheWriteTokens: 4, costUsd: null };
const TURN_ENDED = { ...ACCEPTED, state: "ended", stopReason: "end_turn", startedAt: 1, endedAt: 2, usage: USAGE };
/** A gateway whose log lost its first three events while a client waits for its turn's end. */
const trimmed = (left: LoggedEvent[], turnNow: object, after: (peer: Peer) => void = () => {}): Script => ({
	hello: (peer) => {
		const last = left.at(-1)?.offset ?? 0;
		peer.send(welcome(last, { recovered: false, firstOffset: offset(4), snapshot: SNAPSHOT }));
		peer.send(events(left));
		after(peer);
	},
	call: (call) => {
		if (call.method === "POST" && call.path.endsWith("/turns")) return { status: 202, body: ACCEPTED };
		if (call.path.endsWith(`/turns/${TURN}`)) return { status: 200, body: { ...turnNow, duplicate: undefined } };
		const last = left.at(-1)?.offset ?? 0;
		const page = { data: [], epoch: EPOCH, firstOffset: 4, lastOffset: last, durableOffset: last, recovered: true };
		return call.path.includes("/events?") ? { status: 200, body: page } : null;
	},
});
const at = (first: number, list: SessionEvent[]): LoggedEvent[] => logOf(list).map((l) => ({ ...l, offset: offset(l.offset + first - 1) }));

test("[P2] a turn whose end is not in the log any more has its result all the same, and says that its text is not whole", async () => {
	const left = at(4, [
		{ type: "text_delta", turnId: OTHER_TURN, messageId: "m", text: "another's" },
		{ type: "session_state", state: "idle" },
	]);
	const gateway = await gatewayThat(trimmed(left, TURN_ENDED));
	const turn = await clientOf(gateway).session(SESSION).send("hi");
	expect(await turn.result()).toEqual({ text: "", stopReason: "end_turn", error: null, usage: USAGE, complete: false });
	const failure = await follow(turn.events()).catch((error: unknown) => error);
	expect(failure).toBeInstanceOf(LogLost);
});

test("[P2] a turn whose beginning is not in the log any more ends with what is left of its text", async () => {
	const ended = await gatewayThat(trimmed(at(4, [said("left"), ENDED, { type: "session_state", state: "idle" }]), TURN_ENDED));
	const whole = { text: "left", stopReason: "end_turn", error: null, complete: false };
	expect(await (await clientOf(ended).session(SESSION).send("hi")).result()).toEqual({ ...whole, usage: USAGE });
	const goesOn = await gatewayThat(
		trimmed(at(4, [said("left")]), { ...ACCEPTED, state: "running", startedAt: 1 }, (peer) => peer.send(events(at(5, [ENDED])))),
	);
	expect(await (await clientOf(goesOn).session(SESSION).send("hi")).result()).toEqual({ ...whole, usage: null });
});

test("a turn's text forgets what an offset that goes back takes away", () => {
	const text = new TurnText();
	for (const [at, piece] of [
		[1, "a"],
		[2, "b"],
		[3, "c"],
		[2, "B"],
	] as const)
		text.push(offset(at), said(piece));
	expect(text.toString()).toBe("aB");
});

test("openSession tells a new session from a known one, and the gateway's reason when it refuses", async () => {
	const session = {
		sessionId: SESSION,
		key: "k",
		provider: "claude-code",
		workDir: null,
		model: null,
		permissionMode: "default",
		state: "idle",
		why: null,
		runnerId: null,
		selector: null,
		principal: "key:key_1",
		isolation: null,
		jail: null,
		waf: null,
		createdAt: 1,
		updatedAt: 1,
	};
	let status = 201;
	const gateway = await gatewayThat({
		hello: replay([]),
		call: () => (status === 403 ? { status, body: problem("forbidden", "sessions:write is missing") } : { status, body: session }),
	});
	const client = clientOf(gateway, { headers: { "CF-Access-Client-Id": "abc" } });
	expect((await client.openSession({ key: "k" })).opened).toEqual({ session, created: true });
	expect(gateway.calls[0]).toMatchObject({
		method: "POST",
		path: "/v1/sessions",
		body: { key: "k" },
		headers: { "cf-access-client-id": "abc" },
	});
	status = 200;
	expect((await client.openSession({ key: "k" })).opened?.created).toBe(false);
	status = 403;
	expect(await client.openSession({}).catch((error: unknown) => error)).toMatchObject({ message: "sessions:write is missing" });
});
