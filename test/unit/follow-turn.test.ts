import { afterEach, expect, test } from "vitest";
import { type Decided, followTurn, wantedOf } from "../../runner/commands/run.ts";
import { Screen, Sink } from "../../runner/commands/screen.ts";
import { Client } from "../../shared/client.ts";
import type { LoggedEvent, SessionEvent } from "../../shared/events.ts";
import { offset } from "../../shared/ids.ts";
import { SNAPSHOT } from "../support/samples.ts";
import {
	APPROVAL,
	EPOCH,
	events,
	logOf,
	type ScriptedGateway,
	SESSION,
	said,
	startGateway,
	TURN,
	welcome,
} from "../support/scripted-gateway.ts";

const ACCEPTED = {
	turnId: TURN,
	clientId: "c1",
	state: "running",
	why: null,
	stopReason: null,
	error: null,
	acceptedAt: 1,
	startedAt: 1,
	endedAt: null,
	usage: null,
	afterOffset: 1,
};
const ENDED: SessionEvent = { type: "turn_ended", turnId: TURN, stopReason: "end_turn" };
const FAILED = { code: "process_died", detail: "exit code 1" };

let gateway: ScriptedGateway;
afterEach(() => gateway.close());

/** What `hotplex run` shows and answers of a turn whose log begins at offset 20 by now. */
async function followed(
	left: SessionEvent[],
	turnNow: object,
): Promise<{ end: SessionEvent | null; shown: string; lost: string[]; decided: string[] }> {
	const log: LoggedEvent[] = logOf(left).map((l) => ({ ...l, offset: offset(l.offset + 19) }));
	const last = log.at(-1)?.offset ?? 0;
	const decided: string[] = [];
	gateway = await startGateway({
		hello: (peer) => {
			peer.send(welcome(last, { recovered: false, firstOffset: offset(20), snapshot: SNAPSHOT }));
			peer.send(events(log));
		},
		call: (call) => {
			if (call.path.includes("/approvals/")) decided.push(call.path.split("/").at(-1) ?? "");
			if (call.path.includes("/approvals/")) return { status: 200, body: {} };
			if (call.method === "POST" && call.path.endsWith("/turns")) return { status: 202, body: { ...ACCEPTED, duplicate: false } };
			if (call.path.endsWith(`/turns/${TURN}`)) return { status: 200, body: { ...ACCEPTED, ...turnNow } };
			const page = { data: [], epoch: EPOCH, firstOffset: 20, lastOffset: last, durableOffset: last, recovered: true };
			return call.path.includes("/events?") ? { status: 200, body: page } : null;
		},
	});
	const turn = await new Client({ url: gateway.url, apiKey: "k", random: () => 0 }).session(SESSION).send("hi", { clientId: "c1" });
	let shown = "";
	const sink = new Sink((text) => {
		shown += text;
	});
	const screen = new Screen({ text: sink, aside: sink, color: false, isOwn: (id) => id === "c1", wanted: wantedOf(turn) });
	const lost: string[] = [];
	const deny = (): Promise<Decided> => Promise.resolve({ decision: "deny" });
	const end = await followTurn(turn, screen, { signal: new AbortController().signal, lost: (words) => lost.push(words), decide: deny });
	return { end, shown, lost, decided };
}
const TOLD = "events 2 to 19 are not kept any more\n[claude-code in /srv/app: busy]\n";

test("[P2] a turn whose beginning is not kept is followed from what is left, and what it asks is answered", async () => {
	const asks: SessionEvent = { type: "approval_requested", turnId: TURN, approvalId: APPROVAL, tool: "Bash", input: { command: "ls" } };
	const { end, shown, lost, decided } = await followed([said("left"), asks, ENDED], {});
	expect(end).toEqual(ENDED);
	expect(shown).toBe(`${TOLD}left\n? Bash asks to run\n  | ls\n`);
	expect(lost).toEqual(["events 2 to 19 are not kept any more"]);
	await expect.poll(() => decided).toEqual([APPROVAL]);
});

test("[P2] a turn of which nothing is left ends as the gateway knows that it did", async () => {
	const { end, shown } = await followed([{ type: "session_state", state: "idle" }], {
		state: "ended",
		stopReason: "failed",
		error: FAILED,
	});
	expect(end).toEqual({ type: "turn_ended", turnId: TURN, stopReason: "failed", error: FAILED });
	expect(shown).toBe(`${TOLD}[idle]\n! the turn failed: exit code 1 (process_died)\n`);
});

test("[P2] a turn that ended, with its end still in the log, ends once", async () => {
	const { end, shown } = await followed([said("left"), ENDED, { type: "session_state", state: "idle" }], {
		state: "ended",
		stopReason: "end_turn",
	});
	expect(end).toEqual(ENDED);
	expect(shown).toBe(`${TOLD}left\n`);
});
