import { describe, expect, test } from "vitest";
import type { z } from "zod";
import { decode, encode } from "../../shared/codec.ts";
import { problem } from "../../shared/errors.ts";
import {
	ClientFrame,
	ControlFrame,
	PING,
	PONG,
	RunnerFrame,
	signedText,
	ToClientFrame,
	ToControlFrame,
	ToRunnerFrame,
} from "../../shared/frames.ts";
import { MAX_CLIENT_FRAME_BYTES, MAX_INPUT_BYTES, MAX_RUNNER_FRAME_BYTES } from "../../shared/limits.ts";
import {
	ALL_EVENTS,
	approvalId,
	epoch,
	GATEWAY_EVENTS,
	generation,
	offset,
	RUNNER_EVENTS,
	runnerId,
	type Samples,
	SNAPSHOT,
	seq,
	sessionId,
	turnId,
} from "../support/samples.ts";

const proof = { protocol: 1, runnerId, host: "gateway.example.com", signature: "c2ln" };
const challenge = { type: "challenge", nonce: "bm9uY2U", protocol: 1 } as const;
const spec = { provider: "claude-code", workDir: "/srv/app", model: null, permissionMode: "plan" } as const;
const refused = problem("at_capacity", "4 of 4", 1000);
const decision = { approvalId, decision: "allow", updatedInput: { command: "ls" }, answers: { "Which?": "a" } } as const;
const desired = { turn: { turnId, text: "go", interrupt: false }, decisions: [decision], stop: false };
const lease = { sessionId, generation: generation(3) };

// A new frame type does not compile until it has a sample.
const CLIENT: Samples<ClientFrame> = {
	hello: { type: "hello", protocol: 1, after: offset(41), epoch, life: "l1", durable: offset(40) },
	input: { type: "input", clientId: "c-1", text: "hello 😀" },
	interrupt: { type: "interrupt" },
	decide: { type: "decide", ...decision },
	ack: { type: "ack", offset: offset(7) },
	ping: { type: "ping" },
};
const TO_CLIENT: Samples<ToClientFrame> = {
	welcome: {
		type: "welcome",
		protocol: 1,
		sessionId,
		epoch,
		life: "l2",
		recovered: true,
		rewindTo: offset(40),
		firstOffset: offset(1),
		lastOffset: offset(44),
		durableOffset: offset(40),
		state: "busy",
		snapshot: SNAPSHOT,
		limits: { maxFrameBytes: 1, maxInputBytes: 2, windowBytes: 3, heartbeatMs: 4 },
	},
	events: { type: "events", events: ALL_EVENTS.map((event, i) => ({ offset: offset(i + 1), at: i, event })), durableOffset: offset(2) },
	rewind: { type: "rewind", rewindTo: offset(3), life: "l2" },
	accepted: { type: "accepted", clientId: "c-1", turnId, duplicate: true },
	error: { type: "error", re: "c-1", problem: refused },
	pong: { type: "pong" },
};
const RUNNER: Samples<RunnerFrame> = {
	attach: { type: "attach", ...proof, generation: generation(3) },
	batch: { type: "batch", generation: generation(3), firstSeq: seq(1), events: Object.values(RUNNER_EVENTS) },
	release: { type: "release", generation: generation(3), why: "stopped" },
	ping: { type: "ping" },
};
const TO_RUNNER: Samples<ToRunnerFrame> = {
	challenge,
	attached: { type: "attached", protocol: 1, ackedSeq: seq(0), spec, nativeSessionId: "n-1", desired },
	desired: { type: "desired", desired: { turn: null, decisions: [], stop: true } },
	ack: { type: "ack", seq: seq(9) },
	resend: { type: "resend", fromSeq: seq(4) },
	error: { type: "error", problem: refused },
	pong: { type: "pong" },
};
const CONTROL: Samples<ControlFrame> = {
	authenticate: { type: "authenticate", ...proof },
	register: {
		type: "register",
		version: "0.1.0",
		capacity: 4,
		labels: { gpu: "true" },
		providers: [{ name: "opencode", version: null }],
		isolation: "pid_namespace",
		draining: false,
		hosted: [lease],
	},
	accept: { type: "accept", ...lease },
	refuse: { type: "refuse", ...lease, problem: refused },
	draining: { type: "draining" },
	ping: { type: "ping" },
};
const TO_CONTROL: Samples<ToControlFrame> = {
	challenge,
	authenticated: { type: "authenticated", protocol: 1, heartbeatMs: 20_000 },
	registered: { type: "registered" },
	make_room: { type: "make_room", sessionId },
	offer: { type: "offer", ...lease, spec },
	drop: { type: "drop", ...lease, why: "terminated" },
	drain: { type: "drain" },
	error: { type: "error", problem: refused },
	pong: { type: "pong" },
};
const frames = (link: string, schema: z.ZodType, samples: Record<string, { type: string }>) =>
	Object.values(samples).map((frame) => [link, frame.type, schema, frame] as const);

describe("frames", () => {
	test.each([
		...frames("client", ClientFrame, CLIENT),
		...frames("to client", ToClientFrame, TO_CLIENT),
		...frames("runner", RunnerFrame, RUNNER),
		...frames("to runner", ToRunnerFrame, TO_RUNNER),
		...frames("control", ControlFrame, CONTROL),
		...frames("to control", ToControlFrame, TO_CONTROL),
	])("[FRM-1] every frame type of every link survives encode and decode: %s %s", (_link, _type, schema, frame) => {
		expect(decode(schema, encode(frame), MAX_RUNNER_FRAME_BYTES)).toEqual({ ok: true, value: frame });
	});

	test("[EVT-4] a runner's batch with an event of the gateway's in it is refused whole", () => {
		const batch = { ...RUNNER.batch, events: [RUNNER_EVENTS.notice, GATEWAY_EVENTS.approval_decided] };
		expect(decode(RunnerFrame, encode(batch), MAX_RUNNER_FRAME_BYTES)).toMatchObject({ ok: false, error: { code: "bad_request" } });
	});

	test("[BAT-1] a batch without events is refused, since it would acknowledge nothing for ever", () => {
		expect(decode(RunnerFrame, encode({ ...RUNNER.batch, events: [] }), MAX_RUNNER_FRAME_BYTES).ok).toBe(false);
	});

	test("[LIM-4] a prompt of the largest size that is taken fits a client's frame", () => {
		const text = "é".repeat(MAX_INPUT_BYTES / 2);
		expect(decode(ClientFrame, encode({ ...CLIENT.input, text }), MAX_CLIENT_FRAME_BYTES).ok).toBe(true);
		const over = { ...CLIENT.input, text: "x".repeat(MAX_INPUT_BYTES + 1) };
		expect(decode(ClientFrame, encode(over), 2 * MAX_CLIENT_FRAME_BYTES).ok).toBe(false);
	});

	test("[LNK-4] the ping that the platform answers itself is the frame that clients and runners send", () => {
		expect(encode(CLIENT.ping)).toBe(PING);
		expect(encode(RUNNER.ping)).toBe(PING);
		expect(encode(CONTROL.ping)).toBe(PING);
		for (const schema of [ToClientFrame, ToRunnerFrame, ToControlFrame]) expect(decode(schema, PONG, 100).ok).toBe(true);
	});

	test("[LSE-2] a signature counts for one host, one runner, one link and one nonce, however the fields are cut", () => {
		const link = { host: "a", runnerId: "b", link: "c", nonce: "d" };
		const others = [
			{ host: "x" },
			{ runnerId: "x" },
			{ link: "x" },
			{ nonce: "x" },
			{ host: "ab", runnerId: "" },
			{ link: "", nonce: "cd" },
		];
		const texts = [link, ...others.map((o) => ({ ...link, ...o }))].map(signedText);
		expect(new Set(texts).size).toBe(texts.length);
	});
});
