import { createExecutionContext, runInDurableObject } from "cloudflare:test";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { SUBPROTOCOL } from "../../shared/frames.ts";
import { KeyId, RunnerId, SessionId } from "../../shared/ids.ts";
import worker from "../../worker/index.ts";
import { digest } from "../../worker/secrets.ts";
import { TeamObject } from "../../worker/team-object.ts";
import { bindings, clock, freshTeam, principalOf, ScriptedRunner } from "./scripted.ts";

// The attacks of test/e2e/attacks.test.ts that need a clock which a test can move.
beforeEach(() => clock.start());
afterEach(() => clock.stop());

async function enrolledAt(stub: DurableObjectStub<TeamObject>): Promise<ScriptedRunner> {
	const { token } = await stub.createRunnerToken({}, 3600_000, "key:test");
	return ScriptedRunner.make(async (publicKey) => {
		const enrolled = await stub.enrol(await digest(token), publicKey, "machine");
		if (!enrolled.ok) throw new Error(enrolled.error.detail);
		return RunnerId.parse(enrolled.value.runnerId);
	});
}

test("attack 14: a ticket is 401 after 31 s, and for another session than its own; for another team's session none is made (404)", async () => {
	const [team, other] = [freshTeam(), freshTeam()];
	const stub = bindings.TEAM.getByName(team);
	const runner = await enrolledAt(stub);
	await runner.control(stub);
	const open = async (): Promise<SessionId> => {
		const opened = await stub.openSession({ provider: "scripted", permissionMode: "default" }, principalOf(team));
		if (!opened.ok) throw new Error(opened.error.detail);
		return SessionId.parse(opened.value.session.sessionId);
	};
	const [mine, another] = [await open(), await open()];
	const env = { ...bindings, HOTPLEX_KEYS: `hpk_${other}_${"0".repeat(26)}:${"0".repeat(64)}`, HOTPLEX_TEAMS: team };
	const ticketFor = async (sessionId: SessionId): Promise<string> => {
		const made = await stub.createTicket(sessionId, principalOf(team), null);
		if (!made.ok) throw new Error(made.error.detail);
		return made.value.ticket;
	};
	const statusOf = async (sessionId: SessionId, ticket: string): Promise<number> => {
		const headers = { upgrade: "websocket", "sec-websocket-protocol": `${SUBPROTOCOL}, ticket.${ticket}` };
		const url = `https://gateway.example/v1/sessions/${sessionId}/socket`;
		const response = await worker.fetch(new Request(url, { headers }), env, createExecutionContext());
		response.webSocket?.accept();
		response.webSocket?.close();
		return response.status;
	};
	const late = await ticketFor(mine);
	expect(await statusOf(mine, await ticketFor(mine))).toBe(101);
	expect(await statusOf(another, await ticketFor(mine))).toBe(401);
	clock.pass(31_000);
	expect(await statusOf(mine, late)).toBe(401);
	expect(await bindings.TEAM.getByName(other).createTicket(mine, principalOf(other), null)).toMatchObject({ error: { status: 404 } });
});

test("a key that is revoked while a socket is being opened with it opens none", async () => {
	const team = freshTeam();
	const stub = bindings.TEAM.getByName(team);
	const runner = await enrolledAt(stub);
	await runner.control(stub);
	const opened = await stub.openSession({ provider: "scripted", permissionMode: "default" }, principalOf(team));
	const made = await stub.createKey({ name: "k", scopes: ["sessions:read"] }, principalOf(team));
	if (!opened.ok || !made.ok) throw new Error("not made");
	const { sessionId } = opened.value.session;
	const { keyId, apiKey } = made.value;
	const admitSocket = TeamObject.prototype.admitSocket;
	vi.spyOn(TeamObject.prototype, "admitSocket").mockImplementationOnce(function (this: TeamObject, ...args) {
		const admitted = admitSocket.apply(this, args);
		// Between the Worker's question and the upgrade.
		void this.revokeKey(KeyId.parse(keyId), "key:owner");
		return admitted;
	});
	const env = { ...bindings, HOTPLEX_KEYS: `hpk_${team}_${"0".repeat(26)}:${"0".repeat(64)}` };
	const request = new Request(`https://gateway.example/v1/sessions/${sessionId}/socket`, {
		headers: { upgrade: "websocket", authorization: `Bearer ${apiKey}` },
	});
	expect((await worker.fetch(request, env, createExecutionContext())).status).toBe(401);
	const open = await runInDurableObject(bindings.SESSION.getByName(`${team}/${sessionId}`), (_, state) =>
		state.getWebSockets("client").filter((ws) => ws.readyState === WebSocket.OPEN),
	);
	expect(open).toEqual([]);
});
