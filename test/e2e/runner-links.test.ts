import { createHash, randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { Client, type SessionHandle } from "../../shared/client.ts";
import type { LoggedEvent, RunnerEvent } from "../../shared/events.ts";
import { PROTOCOL_VERSION } from "../../shared/frames.ts";
import { idBody, RunnerId } from "../../shared/ids.ts";
import { MAX_HELLO_BYTES } from "../../shared/limits.ts";
import { type ControlSocket, type Hosting, newKeyPair, RawRunner, type RawSocket, refusal } from "../support/raw-runner.ts";
import { GATEWAY_EVENTS } from "../support/samples.ts";
import { type Stack, startStack } from "../support/stack.ts";

const OTHER_KEY = `hpk_other_${idBody(randomBytes(26))}_${randomBytes(32).toString("base64url")}`;

let stack: Stack;
const open: { close(): void }[] = [];

beforeAll(async () => {
	const hash = createHash("sha256").update(OTHER_KEY).digest("hex");
	stack = await startStack({ env: { HOTPLEX_KEYS: `${OTHER_KEY.split("_").slice(0, 3).join("_")}:${hash}` } });
});
afterEach(() => {
	for (const socket of open.splice(0)) socket.close();
});
afterAll(async () => {
	await stack?.remove();
});

const kept = <S extends { close(): void }>(socket: S): S => {
	open.push(socket);
	return socket;
};
const enrol = (): Promise<RawRunner> => RawRunner.enrol(stack.client);
/** A runner that offers a provider of its own, so that no other test's runner gets its sessions. */
async function online(): Promise<{ runner: RawRunner; control: ControlSocket; provider: string }> {
	const runner = await enrol();
	const provider = `p${runner.runnerId.slice(4, 20)}`;
	return { runner, provider, control: kept(await runner.connect({ providers: [{ name: provider, version: null }] })) };
}
/** A session of its own with a turn, hosted by a raw runner. */
async function hosted(): Promise<Hosted> {
	const { runner, control, provider } = await online();
	const session = await stack.client.openSession({ provider });
	await session.send("hello");
	const hosting = await runner.host(control, session.id);
	kept(hosting.link);
	return { runner, control, provider, session, hosting };
}
interface Hosted {
	runner: RawRunner;
	control: ControlSocket;
	provider: string;
	session: SessionHandle;
	hosting: Hosting;
}
const logOf = async (session: SessionHandle): Promise<LoggedEvent[]> => (await session.eventPage()).data;
const typesOf = async (session: SessionHandle): Promise<string[]> => (await logOf(session)).map((l) => l.event.type);
const busy: RunnerEvent = { type: "process_state", state: "busy" };
const call = (n: number, turnId: string): RunnerEvent => ({
	type: "tool_call",
	turnId: turnId as never,
	toolCallId: `t${n}`,
	tool: "Bash",
	input: {},
});

describe("enrolment", () => {
	test("[P3] a token that two runners race with enrols one of them; the other is 401", async () => {
		const { token } = await stack.client.createRunnerToken();
		const race = await Promise.allSettled(
			[1, 2].map((n) => stack.client.enrolRunner(token, { publicKey: newKeyPair().publicKey, name: `r${n}` })),
		);
		expect(race.map((r) => r.status).toSorted()).toEqual(["fulfilled", "rejected"]);
		expect(race.find((r) => r.status === "rejected")?.reason).toMatchObject({ problem: { code: "unauthorized" } });
	});

	test("a token that has expired, was never made, or is half of one enrols nobody", async () => {
		const { token, expiresAt } = await stack.client.createRunnerToken({ expiresInMs: 1000 });
		const before = (await stack.client.runners()).data.length;
		const tried = async (t: string) => stack.client.enrolRunner(t, { publicKey: newKeyPair().publicKey, name: "late" });
		for (const wrong of [token.slice(0, -1), `${token.slice(0, -1)}_`, token.replace("hpt_default", "hpt_other"), "hpt_default_x"])
			await expect(tried(wrong)).rejects.toMatchObject({ problem: { code: "unauthorized" } });
		// The clocks are one; the wait is for the token's own end.
		await expect.poll(() => Date.now() > expiresAt, { timeout: 5000 }).toBe(true);
		await expect(tried(token)).rejects.toMatchObject({ problem: { code: "unauthorized" } });
		expect((await stack.client.runners()).data.length).toBe(before);
	});

	test("a key that is not 32 bytes is refused by name, and the token is not spent by it", async () => {
		const { token } = await stack.client.createRunnerToken();
		await expect(stack.client.enrolRunner(token, { publicKey: "AAAA", name: "x" })).rejects.toMatchObject({
			problem: { code: "bad_request" },
		});
		await stack.client.enrolRunner(token, { publicKey: newKeyPair().publicKey, name: "x" });
	});

	test("[P12] another team's token enrols into that team, and its runner gets none of this team's links", async () => {
		const runner = await RawRunner.enrol(new Client({ url: stack.url, apiKey: OTHER_KEY }));
		expect(runner.team).toBe("other");
		const stranger = new RawRunner(stack.url, { team: (await enrol()).team, runnerId: runner.runnerId }, runner.key);
		await expect(stranger.connect()).rejects.toMatchObject({ cause: { message: expect.stringContaining("4401") } });
	});
});

describe("proofs on the control link", () => {
	const wrong: [string, (runner: RawRunner, nonce: string) => object][] = [
		["is another key's", (r, nonce) => r.proof(nonce, "control", { key: newKeyPair() })],
		["names another host", (r, nonce) => r.proof(nonce, "control", { host: "gateway.evil.example" })],
		[
			"was made for another host than it names",
			(r, nonce) => ({ ...r.proof(nonce, "control", { host: "gateway.evil.example" }), host: new URL(r.url).host }),
		],
		["names another runner", (r, nonce) => r.proof(nonce, "control", { runnerId: RunnerId.parse(`run_${"0".repeat(26)}`) })],
		["was made for a session's link", (r, nonce) => r.proof(nonce, "control", { link: `ses_${"0".repeat(26)}` })],
		["was made for another nonce", (r, nonce) => r.proof(nonce.split("").toReversed().join(""), "control")],
		["is no signature", (r, nonce) => ({ ...r.proof(nonce, "control"), signature: "AAAA" })],
		["is empty", (r, nonce) => ({ ...r.proof(nonce, "control"), signature: "" })],
	];
	test.each(wrong)("[LSE-2] a proof that %s is closed with 4401", async (_, proof) => {
		const runner = await enrol();
		const control = await runner.dialControl();
		const { nonce } = await control.next("challenge");
		control.send({ type: "authenticate", ...proof(runner, nonce) });
		expect(await control.ended()).toMatchObject({ code: 4401 });
		expect((await stack.client.runners()).data.find((r) => r.runnerId === runner.runnerId)?.state).toBe("offline");
	});

	test("[LSE-2] a recorded proof is worth nothing on the next link: the nonce is new", async () => {
		const runner = await enrol();
		const first = await runner.dialControl();
		const proof = runner.proof((await first.next("challenge")).nonce, "control");
		first.send({ type: "authenticate", ...proof });
		await first.next("authenticated");
		const second = await runner.dialControl();
		await second.next("challenge");
		second.send({ type: "authenticate", ...proof });
		expect(await second.ended()).toMatchObject({ code: 4401 });
		await first.settled();
		first.close();
	});

	test("[LSE-2] a nonce counts once on its own link too: a second proof ends it", async () => {
		const runner = await enrol();
		const control = await runner.dialControl();
		const { nonce } = await control.next("challenge");
		control.send({ type: "authenticate", ...runner.proof(nonce, "control", { key: newKeyPair() }) });
		control.send({ type: "authenticate", ...runner.proof(nonce, "control") });
		expect(await control.ended()).toMatchObject({ code: 4401 });
		expect(control.frames.map((f) => f.type)).not.toContain("authenticated");
	});

	test("[LNK-1] any frame before the proof is closed with 4401, and a runner nobody knows as one whose proof is wrong", async () => {
		const runner = await enrol();
		for (const frame of [{ type: "draining" }, { type: "accept", sessionId: `ses_${"0".repeat(26)}`, generation: 1 }]) {
			const control = await runner.dialControl();
			control.send(frame);
			expect(await control.ended()).toMatchObject({ code: 4401 });
		}
		const nobody = new RawRunner(stack.url, { team: runner.team, runnerId: RunnerId.parse(`run_${"1".repeat(26)}`) }, newKeyPair());
		await expect(nobody.connect()).rejects.toMatchObject({ cause: { message: expect.stringContaining("4401") } });
	});

	test("[LNK-1] 11 KiB before the proof are closed with 4413, on both links; up to 10 KiB are read", async () => {
		const { runner, hosting } = await hosted();
		const dials = [() => runner.dialControl(), () => runner.dialSession(hosting.sessionId)];
		for (const dial of dials) {
			for (const [size, code] of [
				[MAX_HELLO_BYTES + 1024, 4413],
				[MAX_HELLO_BYTES, 4400],
			] as const) {
				const link = (await dial()) as RawSocket;
				const empty = JSON.stringify({ type: "nothing", padding: "" });
				link.sendText(JSON.stringify({ type: "nothing", padding: "x".repeat(size - empty.length) }));
				expect([size, (await link.ended()).code]).toEqual([size, code]);
			}
		}
	});

	test("[LNK-2] a protocol version that the gateway does not speak is closed with 4426, on both links", async () => {
		const { runner, hosting } = await hosted();
		const control = await runner.dialControl();
		const { nonce } = await control.next("challenge");
		control.send({ type: "authenticate", ...runner.proof(nonce, "control"), protocol: PROTOCOL_VERSION + 1 });
		expect(await control.ended()).toMatchObject({ code: 4426 });
		const link = await runner.dialSession(hosting.sessionId);
		const challenge = await link.next("challenge");
		link.send({
			type: "attach",
			...runner.proof(challenge.nonce, hosting.sessionId),
			protocol: PROTOCOL_VERSION + 1,
			generation: hosting.generation,
		});
		expect(await link.ended()).toMatchObject({ code: 4426 });
	});

	test("[LNK-3] a frame that is not understood closes a runner's link with 4400, and says which field", async () => {
		const { control, hosting } = await hosted();
		hosting.link.send({ type: "batch", generation: hosting.generation, firstSeq: 1, events: [{ type: "text_delta", turnId: 7 }] });
		expect(await hosting.link.next("error")).toMatchObject({
			problem: { code: "bad_request", detail: expect.stringContaining("events.0.turnId") },
		});
		expect(await hosting.link.ended()).toMatchObject({ code: 4400 });
		control.sendText(new Uint8Array([1, 2, 3]));
		expect(await control.ended()).toMatchObject({ code: 4400 });
	});

	test("[LSE-3] a newer connection of the same runner closes the older one with 4410 and takes its place", async () => {
		const { runner, control, provider } = await online();
		const newer = kept(await runner.connect({ providers: [{ name: provider, version: null }] }));
		expect(await control.ended()).toMatchObject({ code: 4410 });
		const session = await stack.client.openSession({ provider });
		await session.send("hello");
		await newer.next("offer", (f) => f.sessionId === session.id);
		expect((await stack.client.runners()).data.find((r) => r.runnerId === runner.runnerId)?.state).toBe("online");
	});

	test("[LSE-3] a proof that was held up on its way takes nothing over from a connection that was opened later", async () => {
		const { runner } = await online();
		const late = kept(await runner.dialControl());
		const { nonce } = await late.next("challenge");
		const newer = kept(await runner.connect());
		late.send({ type: "authenticate", ...runner.proof(nonce, "control") });
		expect(await late.ended()).toMatchObject({ code: 4410 });
		await newer.settled();
		expect(newer.closed).toBeNull();
	});

	test("[LSE-3] a stranger who dials with a runner's id does not push it off", async () => {
		const { runner, control } = await online();
		const stranger = new RawRunner(stack.url, runner, newKeyPair());
		await expect(stranger.connect()).rejects.toMatchObject({ cause: { message: expect.stringContaining("4401") } });
		await control.settled();
		expect(control.closed).toBeNull();
	});
});

describe("session links", () => {
	test("[LSE-1] a link to a session that the runner holds no lease of is refused at the upgrade with 409", async () => {
		const { hosting, runner } = await hosted();
		const other = await online();
		const unknown = `ses_${"0".repeat(26)}`;
		for (const [by, sessionId] of [
			[other.runner, hosting.sessionId],
			[runner, unknown],
			[runner, "nonsense"],
		] as const)
			expect(await refusal(`${stack.url}/v1/link/${by.team}/${by.runnerId}/${sessionId}`)).toMatchObject({
				status: 409,
				problem: { code: "lease_lost" },
			});
	});

	test("[LSE-2] a proof for another link, another host, or by another key is 4401, and the log is unchanged", async () => {
		const { runner, hosting, session } = await hosted();
		const before = await logOf(session);
		const overs = [{ link: "control" }, { host: "gateway.evil.example" }, { key: newKeyPair() }, { runnerId: `run_${"0".repeat(26)}` }];
		for (const over of overs) {
			const link = await runner.dialSession(hosting.sessionId);
			const { nonce } = await link.next("challenge");
			link.send({ type: "attach", ...runner.proof(nonce, hosting.sessionId, over), generation: hosting.generation });
			expect([over, (await link.ended()).code]).toEqual([over, 4401]);
		}
		expect(hosting.link.closed).toBeNull();
		expect(await logOf(session)).toEqual(before);
	});

	test("[LNK-1] a batch before the attach is closed with 4401 and not logged", async () => {
		const { runner, hosting, session } = await hosted();
		const link = await runner.dialSession(hosting.sessionId);
		link.send({ type: "batch", generation: hosting.generation, firstSeq: 1, events: [busy] });
		expect(await link.ended()).toMatchObject({ code: 4401 });
		expect(await typesOf(session)).not.toContain("process_state");
	});

	test("[LSE-3] an attach that was held up on its way takes nothing over from a link that was opened later", async () => {
		const { hosting, runner } = await hosted();
		const late = kept(await runner.dialSession(hosting.sessionId));
		const { nonce } = await late.next("challenge");
		const newer = kept((await runner.attach(hosting.sessionId, hosting.generation)).link);
		late.send({ type: "attach", ...runner.proof(nonce, hosting.sessionId), generation: hosting.generation });
		expect(await late.ended()).toMatchObject({ code: 4410 });
		await newer.settled();
		expect(newer.closed).toBeNull();
	});

	test("[LSE-3] a newer session link closes the older one with 4410 and is told where the log stands", async () => {
		const { runner, hosting } = await hosted();
		hosting.report(busy);
		await hosting.acked();
		const newer = await runner.attach(hosting.sessionId, hosting.generation);
		kept(newer.link);
		expect(newer.attached.ackedSeq).toBe(1);
		expect(await hosting.link.ended()).toMatchObject({ code: 4410 });
	});

	test("[LSE-1][P5] an old generation's attach and batch are answered 4409 and change nothing", async () => {
		const { runner, control, session, hosting } = await hosted();
		hosting.link.send({ type: "release", generation: hosting.generation, why: "test" });
		expect(await hosting.link.ended()).toMatchObject({ code: 1000 });
		// The turn was not begun, so a new lease takes it.
		const next = await runner.host(control, session.id);
		kept(next.link);
		expect(next.generation).toBe(hosting.generation + 1);
		const before = await logOf(session);
		const old = await runner.dialSession(session.id);
		const { nonce } = await old.next("challenge");
		old.send({ type: "attach", ...runner.proof(nonce, session.id), generation: hosting.generation });
		expect(await old.ended()).toMatchObject({ code: 4409 });
		next.link.send({ type: "batch", generation: hosting.generation, firstSeq: 1, events: [busy] });
		expect(await next.link.ended()).toMatchObject({ code: 4409 });
		const after = (await logOf(session)).map((l) => l.event).filter((e) => e.type !== "session_state");
		expect(after).toEqual(before.map((l) => l.event).filter((e) => e.type !== "session_state"));
	});

	test("[LSE-1] a register that says it hosts an old generation is told to drop it", async () => {
		const { runner, control, session, hosting, provider } = await hosted();
		control.close();
		const again = kept(
			await runner.connect({
				providers: [{ name: provider, version: null }],
				hosted: [{ sessionId: session.id, generation: (hosting.generation + 6) as never }],
			}),
		);
		const dropped = await again.next("drop", (f) => f.generation === hosting.generation + 6);
		expect(dropped.sessionId).toBe(session.id);
	});

	test("[LSE-5] a runner that comes back without the session's process ends its lease: the turn fails as runner_lost", async () => {
		const { runner, control, session, hosting, provider } = await hosted();
		hosting.report(busy, { type: "turn_started", turnId: hosting.turnId as never, origin: "input" });
		await hosting.acked();
		control.close();
		kept(await runner.connect({ providers: [{ name: provider, version: null }], hosted: [] }));
		expect(await hosting.link.ended()).toMatchObject({ code: 4409 });
		expect(await session.turn(hosting.turnId)).toMatchObject({ stopReason: "failed", error: { code: "runner_lost" } });
	});

	test("[LSE-2] revoking a runner closes its links with 4401, ends its leases, and never lets it in again", async () => {
		const { runner, control, session, hosting } = await hosted();
		hosting.report({ type: "turn_started", turnId: hosting.turnId as never, origin: "input" });
		await hosting.acked();
		await stack.client.revokeRunner(runner.runnerId);
		expect([await control.ended(), await hosting.link.ended()]).toMatchObject([{ code: 4401 }, { code: 4401 }]);
		expect(await session.turn(hosting.turnId)).toMatchObject({ stopReason: "failed", error: { code: "runner_lost" } });
		expect(await typesOf(session)).toContain("lease_ended");
		expect(await refusal(`${stack.url}/v1/link/${runner.team}/${runner.runnerId}/${session.id}`)).toMatchObject({ status: 409 });
		await expect(runner.connect()).rejects.toMatchObject({ cause: { message: expect.stringContaining("4401") } });
		expect((await session.get()).runnerId).toBeNull();
	});

	test("[LSE-4] a refusal for the session's fault fails the turn with it", async () => {
		const { control, provider } = await online();
		const session = await stack.client.openSession({ provider, workDir: "/nowhere" });
		const turn = await session.send("hello");
		const { generation } = await control.next("offer", (f) => f.sessionId === session.id);
		const problem = { type: "t", title: "t", status: 422, code: "work_dir_not_found", detail: "/nowhere is not there", retryable: false };
		control.send({ type: "refuse", sessionId: session.id, generation, problem });
		await control.settled();
		await expect
			.poll(() => session.turn(turn.id))
			.toMatchObject({ stopReason: "failed", error: { code: "work_dir_not_found", detail: "/nowhere is not there" } });
	});

	test("[LSE-4] a runner that is full although it seems not to be is not offered the session over and over", async () => {
		const { control, provider } = await online();
		const session = await stack.client.openSession({ provider });
		const turn = await session.send("hello");
		const problem = { type: "t", title: "t", status: 503, code: "at_capacity", detail: "full", retryable: true };
		const { generation } = await control.next("offer", (f) => f.sessionId === session.id);
		control.send({ type: "refuse", sessionId: session.id, generation, problem });
		await expect.poll(() => session.get()).toMatchObject({ state: "queued", why: expect.stringContaining("at capacity") });
		expect((await session.turn(turn.id)).state).toBe("waiting");
		expect(control.frames.filter((f) => f.type === "offer").length).toBe(1);
	});
});

describe("batches", () => {
	test("[BAT-2] batches that come twice or overlap are logged once, in order, and acknowledged", async () => {
		const { session, hosting } = await hosted();
		const events = [1, 2, 3, 4, 5].map((n) => call(n, hosting.turnId));
		const batch = (first: number, last: number): void =>
			hosting.link.send({ type: "batch", generation: hosting.generation, firstSeq: first, events: events.slice(first - 1, last) });
		batch(1, 3);
		batch(1, 3);
		batch(2, 4);
		batch(1, 1);
		batch(4, 5);
		await hosting.link.next("ack", (f) => f.seq === 5);
		const calls = (await logOf(session)).map((l) => l.event).filter((e) => e.type === "tool_call");
		expect(calls.map((e) => e.toolCallId)).toEqual(["t1", "t2", "t3", "t4", "t5"]);
	});

	test("[BAT-2] a gap is answered `resend` from what is missing, and nothing of it is logged", async () => {
		const { session, hosting } = await hosted();
		hosting.report(call(1, hosting.turnId));
		await hosting.acked();
		hosting.link.send({ type: "batch", generation: hosting.generation, firstSeq: 4, events: [call(4, hosting.turnId)] });
		expect(await hosting.link.next("resend")).toEqual({ type: "resend", fromSeq: 2 });
		expect((await logOf(session)).filter((l) => l.event.type === "tool_call").length).toBe(1);
		hosting.report(...[2, 3, 4].map((n) => call(n, hosting.turnId)));
		await hosting.acked();
		expect(
			(await logOf(session))
				.map((l) => l.event)
				.filter((e) => e.type === "tool_call")
				.map((e) => e.toolCallId),
		).toEqual(["t1", "t2", "t3", "t4"]);
	});

	test("a runner cannot speak as the gateway or a person: their events are refused with 4400 and not logged", async () => {
		for (const event of Object.values(GATEWAY_EVENTS)) {
			const { session, hosting, control } = await hosted();
			const before = (await logOf(session)).map((l) => l.event.type);
			hosting.report(event as never);
			expect([event.type, (await hosting.link.ended()).code]).toEqual([event.type, 4400]);
			expect((await typesOf(session)).filter((t) => t !== "session_state")).toEqual(before.filter((t) => t !== "session_state"));
			control.close();
		}
	});

	test("[BAT-4] what is desired is said whole at every attach: turn, interrupt and decisions", async () => {
		const { runner, session, hosting } = await hosted();
		expect(hosting.attached.desired).toMatchObject({
			turn: { turnId: hosting.turnId, text: "hello", interrupt: false },
			decisions: [],
			verdicts: [],
			policy: { version: 0 },
			stop: false,
		});
		const approvalId = `apr_${idBody(randomBytes(26))}` as never;
		hosting.report(
			{ type: "turn_started", turnId: hosting.turnId as never, origin: "input" },
			{
				type: "question_asked",
				turnId: hosting.turnId as never,
				approvalId,
				questions: [{ question: "Go on?", header: "q", options: [{ label: "yes" }], multiSelect: false }],
			},
		);
		await hosting.acked();
		await session.decide(approvalId, { decision: "allow" });
		await expect(session.decide(approvalId, { decision: "deny" })).rejects.toMatchObject({ problem: { code: "conflict" } });
		await session.interrupt();
		const again = await runner.attach(session.id, hosting.generation);
		kept(again.link);
		expect(again.attached.desired).toMatchObject({
			turn: { turnId: hosting.turnId, text: "hello", interrupt: true },
			decisions: [{ approvalId, decision: "allow" }],
			stop: false,
		});
	});
});
