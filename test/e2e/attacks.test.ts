import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { type AddressInfo, connect as connectTcp } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { Link } from "../../runner/link.ts";
import { claudeCode } from "../../runner/providers/claude-code.ts";
import { installedProviders } from "../../runner/providers.ts";
import type { AuditRecord } from "../../shared/audit.ts";
import { Client, type SessionHandle } from "../../shared/client.ts";
import type { Problem } from "../../shared/errors.ts";
import type { LoggedEvent } from "../../shared/events.ts";
import { PROTOCOL_VERSION, SUBPROTOCOL, type ToClientFrame, ToControlFrame } from "../../shared/frames.ts";
import { ApprovalId, idBody, type SessionId, TurnId } from "../../shared/ids.ts";
import { MAX_HELLO_BYTES } from "../../shared/limits.ts";
import { Browser } from "../support/browser.ts";
import { AUDIENCE, type Issuer, seconds, startIssuer } from "../support/issuer.ts";
import { type ControlSocket, dialSession, type Hosting, newKeyPair, RawRunner, RawSocket, refusal } from "../support/raw-runner.ts";
import { gatewayPid, type Stack, startStack } from "../support/stack.ts";

// What a stranger, a member of another team, a CLI's output or a machine that was taken over may try, and what comes of it: one test an attack.
// Attacks 14 and 33 have a part in test/workerd/attacks.test.ts, where the clock can be moved. What a test elsewhere tries in breadth is tried here in short.

const ORIGIN = "https://console.example.com";
const OTHER_KEY = `hpk_other_${idBody(randomBytes(26))}_${randomBytes(32).toString("base64url")}`;
const unknownId = (prefix: string): string => `${prefix}_${"0".repeat(26)}`;

let stack: Stack;
/** The same gateway with limits that a test can reach. */
let tight: Stack;
let issuer: Issuer;
let runner: RawRunner;
let control: ControlSocket;
let pings: NodeJS.Timeout;
let sessionId: SessionId;
const open: { close(): void }[] = [];

beforeAll(async () => {
	issuer = await startIssuer();
	[stack, tight] = await Promise.all([
		startStack({
			env: {
				HOTPLEX_KEYS: `${OTHER_KEY.split("_").slice(0, 3).join("_")}:${createHash("sha256").update(OTHER_KEY).digest("hex")}`,
				CF_ACCESS_TEAM_DOMAIN: issuer.url,
				CF_ACCESS_AUD: AUDIENCE,
				ALLOWED_ORIGINS: ORIGIN,
				// The tests show more wrong credentials in a minute than strangers may.
				RATE_LIMIT_FAILURES: "0",
			},
		}),
		startStack({ env: { RATE_LIMIT_FAILURES: "50", RATE_LIMIT_SOCKETS: "20", RATE_LIMIT_LINKS: "40", ADDRESS_HEADER: "X-Test-Address" } }),
	]);
	runner = await RawRunner.enrol(stack.client);
	control = await runner.connect({ capacity: 1000 });
	// On a busy machine this file takes longer than a silent link lives.
	pings = setInterval(() => control.sendText('{"type":"ping"}'), 10_000);
	sessionId = (await stack.client.openSession({ provider: "scripted" })).id;
});
afterEach(() => {
	for (const each of open.splice(0)) each.close();
});
afterAll(async () => {
	clearInterval(pings);
	control?.close();
	await Promise.all([stack?.remove(), tight?.remove()]);
	issuer?.server.close();
});

const kept = <S extends { close(): void }>(each: S): S => {
	open.push(each);
	return each;
};

interface Answer {
	status: number;
	text: string;
	code: string | null;
	headers: Headers;
}
/** One call as anybody could make it. */
async function call(
	method: string,
	path: string,
	headers: Record<string, string> = {},
	body?: unknown,
	at: Stack = stack,
): Promise<Answer> {
	const response = await fetch(at.url + path, {
		method,
		headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
		...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
	});
	const text = await response.text();
	const isProblem = response.headers.get("content-type") === "application/problem+json";
	return { status: response.status, text, code: isProblem ? (JSON.parse(text) as Problem).code : null, headers: response.headers };
}
const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });
const mine = (): Record<string, string> => bearer(stack.apiKey);
const withAccess = async (token: Promise<string> | string): Promise<number> =>
	(await call("GET", "/v1/sessions", { "cf-access-jwt-assertion": await token })).status;
const objectFiles = (): string[] =>
	["session", "team"].flatMap((kind) => {
		const dir = join(stack.stateDir, "gateway", "objects", `hotplex-${kind}`);
		return readdirSync(dir).map((name) => join(dir, name));
	});
const audited = async (fits: (record: AuditRecord) => boolean, client: Client = stack.client): Promise<AuditRecord[]> => {
	const all: AuditRecord[] = [];
	for (let after = 0; ; ) {
		const { data, nextCursor } = await client.audit({ after, limit: 1000 });
		all.push(...data.filter(fits));
		if (nextCursor === null) return all;
		after = Number(nextCursor);
	}
};
async function watching(key: string, id: SessionId = sessionId): Promise<RawSocket<ToClientFrame>> {
	const socket = kept(await dialSession<ToClientFrame>(stack.url, key, id));
	socket.send({ type: "hello", protocol: PROTOCOL_VERSION });
	await socket.next("welcome");
	return socket;
}
const logOf = async (session: SessionHandle): Promise<LoggedEvent[]> => (await session.eventPage({ after: 0 })).data;

/** A session whose turn the raw runner has. */
async function hosted(): Promise<{ session: SessionHandle; hosting: Hosting; turnId: TurnId }> {
	const session = await stack.client.openSession({ provider: "scripted" });
	await session.send("hello");
	const hosting = await runner.host(control, session.id);
	kept(hosting.link);
	const turnId = TurnId.parse(hosting.turnId);
	hosting.report({ type: "process_state", state: "busy" }, { type: "turn_started", turnId, origin: "input" });
	await hosting.acked();
	return { session, hosting, turnId };
}
/** One of its questions, which waits for an answer. */
async function asked(): Promise<Awaited<ReturnType<typeof hosted>> & { approvalId: ApprovalId }> {
	const made = await hosted();
	const approvalId = ApprovalId.parse(`apr_${idBody(randomBytes(26))}`);
	const questions = [{ question: "Delete it?", header: "q", options: [{ label: "yes" }, { label: "no" }], multiSelect: false }];
	made.hosting.report({ type: "question_asked", turnId: made.turnId, approvalId, questions } as never);
	await made.hosting.acked();
	return { ...made, approvalId };
}
/** What a real browser makes of such a call, which waits for a person in the console: its text, and what is in it besides text. */
async function consoleShows(
	tool: string,
	input: Record<string, unknown>,
): Promise<{ text: string; elements: unknown; troubles: string[]; requests: string[] }> {
	const { hosting, turnId } = await hosted();
	const approvalId = ApprovalId.parse(`apr_${idBody(randomBytes(26))}`);
	hosting.report({ type: "approval_requested", turnId, approvalId, tool, input, reason: tool } as never);
	await hosting.acked();
	await expect.poll(async () => (await stack.client.approvals()).data.some((a) => a.approvalId === approvalId)).toBe(true);
	const browser = new Browser();
	try {
		const page = await browser.open(`${stack.url}/console`);
		await page.until("a field for the key", "!document.querySelector('#sign-in').hidden");
		await page.type(stack.apiKey);
		await page.press("Enter");
		const card = `[...document.querySelectorAll('li.approval')].find((e) => e.querySelector('.session').textContent === '${hosting.sessionId}')`;
		await page.until("the call", `${card} !== undefined`);
		await page.evaluate(`${card}.querySelector('details').open = true`);
		await page.until("the whole call", `${card}.querySelector('details pre')`);
		const text = String(await page.evaluate(`${card}.textContent`));
		const elements = await page.evaluate("document.querySelectorAll('main img, main script, main a, main iframe').length");
		return { text, elements, troubles: page.troubles, requests: page.requests };
	} finally {
		await browser.close();
	}
}

describe("credentials", () => {
	test("attack 1: REST without a credential is 401 with no word on what is there, and makes no object", async () => {
		const before = objectFiles();
		for (const path of [
			"/v1/sessions",
			`/v1/sessions/${sessionId}`,
			`/v1/sessions/${unknownId("ses")}/events`,
			"/v1/policy",
			"/v1/audit",
			"/v1/nothing",
		])
			for (const method of ["GET", "POST", "DELETE"]) {
				const answer = await call(method, path);
				expect([method, path, answer.status, answer.code]).toEqual([method, path, 401, "unauthorized"]);
				expect(answer.text).not.toContain(sessionId);
			}
		expect(objectFiles()).toEqual(before);
	});

	test("attack 2: an Access token without a signature, or signed with the public key as a secret, is 401", async () => {
		const payload = { iss: issuer.url, aud: AUDIENCE, email: "boss@example.com", iat: seconds(), exp: seconds() + 600 };
		const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
		const hs256 = new SignJWT(payload).setProtectedHeader({ alg: "HS256", kid: "k1" }).sign(new TextEncoder().encode(issuer.publicPem));
		const stranger = await generateKeyPair("RS256");
		const jwk = { alg: "RS256", kid: "k1", jwk: await exportJWK(stranger.publicKey) } as JWTHeaderParameters;
		const own = new SignJWT(payload).setProtectedHeader(jwk).sign(stranger.privateKey);
		for (const token of [`${part({ alg: "none" })}.${part(payload)}.`, hs256, own]) expect(await withAccess(token)).toBe(401);
		expect(await withAccess(issuer.sign({ email: "ann@example.com" }))).toBe(200);
	});

	test("attack 3: a valid Access token of another application of the same organisation is 401", async () => {
		expect(await withAccess(issuer.sign({ email: "ann@example.com", aud: "another-application" }))).toBe(401);
		expect(await withAccess(issuer.sign({ email: "ann@example.com", aud: [] }))).toBe(401);
	});

	test("attack 4: an Access token of another organisation is 401", async () => {
		expect(await withAccess(issuer.sign({ email: "ann@example.com", iss: "https://other.cloudflareaccess.com" }))).toBe(401);
	});

	test("attack 5: an Access token that ended two minutes ago, or begins in two, is 401", async () => {
		expect(await withAccess(issuer.sign({ email: "ann@example.com", exp: seconds() - 120 }))).toBe(401);
		expect(await withAccess(issuer.sign({ email: "ann@example.com", nbf: seconds() + 120 }))).toBe(401);
	});

	test("attack 6: a thousand tokens of unknown keys are 401 each and fetch the key set once at most", async () => {
		expect(await withAccess(issuer.sign({ email: "ann@example.com" }))).toBe(200);
		const before = issuer.fetches();
		const statuses = new Set<number>();
		for (let i = 0; i < 1000; i += 50)
			for (const status of await Promise.all(
				Array.from({ length: 50 }, (_, k) => withAccess(issuer.sign({ email: "ann@example.com" }, `unknown-${i + k}`))),
			))
				statuses.add(status);
		expect(statuses).toEqual(new Set([401]));
		expect(issuer.fetches() - before).toBeLessThanOrEqual(1);
	});

	test("attack 7: who only says who he is, in Access's other header or a cookie, is nobody", async () => {
		const token = await issuer.sign({ email: "ann@example.com" });
		for (const headers of [{ "cf-access-authenticated-user-email": "boss@example.com" }, { cookie: `CF_Authorization=${token}` }])
			expect((await call("GET", "/v1/sessions", headers as Record<string, string>)).status).toBe(401);
	});

	test("attack 8: no second address goes around Access: none is deployed, and a call that came by one is 401 all the same", async () => {
		const toml = readFileSync(fileURLToPath(new URL("../../wrangler.toml", import.meta.url)), "utf8");
		expect(toml).toMatch(/^workers_dev = false$/m);
		expect(toml).toMatch(/^preview_urls = false$/m);
		expect(await rawStatus("GET /v1/sessions HTTP/1.1\r\nHost: hotplex-edge.example.workers.dev\r\nConnection: close\r\n\r\n")).toBe(401);
	});

	test("attack 9: an API key that is wrong in its last byte is 401 like any other, tells nothing by time, and is 429 after a while", async () => {
		const wrongAt = (at: number): string => {
			const from = stack.apiKey.length - 43 + at;
			const other = stack.apiKey[from] === "A" ? "E" : "A";
			return stack.apiKey.slice(0, from) + other + stack.apiKey.slice(from + 1);
		};
		const times: Record<string, number[]> = { first: [], last: [] };
		const texts = new Set<string>();
		for (let i = 0; i < 100; i++)
			for (const [name, key] of [
				["first", wrongAt(0)],
				["last", wrongAt(42)],
			] as const) {
				const from = performance.now();
				const answer = await call("GET", "/v1/sessions", bearer(key));
				times[name]?.push(performance.now() - from);
				texts.add(`${answer.status} ${answer.text}`);
			}
		expect(texts.size).toBe(1);
		expect([...texts][0]).toMatch(/^401 /);
		const median = (list: number[] = []): number => list.toSorted((a, b) => a - b)[50] ?? 0;
		// Hashes are compared, and in constant time; this would show a mistake of a wholly different size.
		expect(Math.abs(median(times.first) - median(times.last))).toBeLessThan(20);

		const from = { "x-test-address": "192.0.2.9" };
		const statuses: number[] = [];
		let last: Answer | null = null;
		for (let i = 0; i < 60; i++) {
			last = await call(
				"GET",
				"/v1/sessions",
				{ ...from, ...bearer(tight.apiKey.slice(0, -1) + (tight.apiKey.endsWith("A") ? "E" : "A")) },
				undefined,
				tight,
			);
			statuses.push(last.status);
		}
		expect([statuses.slice(0, 50).every((s) => s === 401), last?.status, last?.code]).toEqual([true, 429, "rate_limited"]);
		expect(Number(last?.headers.get("retry-after"))).toBeGreaterThan(0);
		// Who is elsewhere, or was known before, is not shut out with him.
		expect((await call("GET", "/v1/sessions", bearer(tight.apiKey), undefined, tight)).status).toBe(200);
		expect((await call("GET", "/v1/sessions", { ...from, ...bearer(tight.apiKey) }, undefined, tight)).status).toBe(200);
		const failed = await audited((r) => r.action === "login.failed" && r.subject === "192.0.2.9", tight.client);
		expect(failed).toMatchObject([{ actor: "unknown", detail: { credential: "API key", count: 1 } }]);
	});

	test("attack 10: a credential in an address is 400; the audit log says that it was there and whose, and nothing keeps it", async () => {
		const { apiKey, keyId } = await stack.client.createKey({ name: "exposed", scopes: ["sessions:read"] });
		for (const name of ["api_key", "token", "anything"]) {
			const answer = await call("GET", `/v1/sessions?${name}=${apiKey}`, mine());
			expect([name, answer.status, answer.code]).toEqual([name, 400, "credentials_in_url"]);
			expect(answer.text).not.toContain(apiKey.slice(-43));
		}
		expect((await call("GET", "/v1/sessions?token=secret", mine())).status).toBe(400);
		await expect.poll(() => audited((r) => r.action === "credential.in_url" && r.subject === keyId)).toHaveLength(1);
		for (const file of objectFiles()) expect([file, readFileSync(file).includes(apiKey.slice(-43))]).toEqual([file, false]);
		expect(stack.stderr()).not.toContain(apiKey.slice(-43));
	});
});

/** The status of a request as no client would write it. */
const rawStatus = (request: string): Promise<number> =>
	new Promise((resolve, reject) => {
		const { hostname, port } = new URL(stack.url);
		const socket = connectTcp(Number(port), hostname, () => socket.write(request));
		let text = "";
		socket.on("data", (chunk: Buffer) => {
			text += chunk.toString("latin1");
		});
		socket.on("end", () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])));
		socket.on("error", reject);
	});

/** The close code that answers a frame's header which says this length, before any of the frame is sent. */
const closeAfterHeader = (id: SessionId, length: number): Promise<number> =>
	new Promise((resolve, reject) => {
		const { hostname, port } = new URL(stack.url);
		const handshake = [
			"Upgrade: websocket",
			"Connection: Upgrade",
			"Sec-WebSocket-Version: 13",
			"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
		];
		const head = [
			`GET /v1/sessions/${id}/socket HTTP/1.1`,
			`Host: ${hostname}:${port}`,
			`Authorization: Bearer ${stack.apiKey}`,
			...handshake,
		];
		const socket = connectTcp(Number(port), hostname, () => socket.write(`${head.join("\r\n")}\r\n\r\n`));
		kept({ close: () => socket.destroy() });
		let received = Buffer.alloc(0);
		socket.on("data", (chunk: Buffer) => {
			const isUpgraded = received.length > 0;
			received = Buffer.concat([received, chunk]);
			if (!isUpgraded) {
				const frame = Buffer.alloc(14);
				frame.writeUInt8(0x81, 0);
				frame.writeUInt8(0xff, 1);
				frame.writeBigUInt64BE(BigInt(length), 2);
				socket.write(frame);
			}
			// A close frame: its opcode, its length, its code.
			const at = received.indexOf("\r\n\r\n") + 4;
			if (received.length >= at + 4 && received[at] === 0x88) resolve(received.readUInt16BE(at + 2));
		});
		socket.on("error", reject);
	});

describe("browsers", () => {
	const socketUrl = (): string => `${stack.url}/v1/sessions/${sessionId}/socket`;

	test("attack 11: another site's page that opens a socket with its visitor's cookie is 403 before the upgrade", async () => {
		const cookie = `CF_Authorization=${await issuer.sign({ email: "ann@example.com" })}`;
		expect(await refusal(socketUrl(), { headers: { origin: "https://evil.example", cookie } })).toMatchObject({ status: 403 });
		// Nor with a token that a proxy in front adds for the cookie.
		const assertion = await issuer.sign({ email: "ann@example.com" });
		expect(await refusal(socketUrl(), { headers: { origin: "https://evil.example", "cf-access-jwt-assertion": assertion } })).toMatchObject(
			{
				status: 403,
			},
		);
	});

	test("attack 12: an origin that only looks like ours is 403: null, a longer name, another case, port or scheme", async () => {
		const tricks = [
			"null",
			`${ORIGIN}.evil.example`,
			"https://console.example.com:8443",
			"http://console.example.com",
			ORIGIN.toUpperCase(),
			`${ORIGIN}/`,
		];
		for (const origin of tricks)
			expect([origin, (await refusal(socketUrl(), { headers: { ...mine(), origin } })).status]).toEqual([origin, 403]);
		kept(await RawSocket.dial(socketUrl(), { headers: { ...mine(), origin: ORIGIN } }));
	});

	test("attack 13: a ticket that is used a second time is 401", async () => {
		const { ticket } = JSON.parse((await call("POST", "/v1/tickets", { ...mine(), origin: ORIGIN }, { sessionId })).text) as {
			ticket: string;
		};
		const dial = { protocols: [SUBPROTOCOL, `ticket.${ticket}`], headers: { origin: ORIGIN } };
		const first = kept(await RawSocket.dial(socketUrl(), dial));
		expect(first.protocol).toBe(SUBPROTOCOL);
		expect(await refusal(socketUrl(), dial)).toMatchObject({ status: 401 });
	});

	test("attack 15: an upgrade that offers fifty subprotocols, or one of 8 KB, is 400", async () => {
		for (const protocols of [Array.from({ length: 50 }, (_, i) => `p${i}`), ["x".repeat(8192)]])
			expect(await refusal(socketUrl(), { protocols, headers: mine() })).toMatchObject({ status: 400 });
	});
});

describe("sockets before they are authenticated", () => {
	test("attack 16: a runner's link that speaks before it proves itself is closed with 4401, one that says 11 KB with 4413; a client's is refused at the upgrade", async () => {
		const early = await runner.dialControl();
		early.send({
			type: "register",
			version: "0",
			capacity: 1,
			labels: {},
			providers: [],
			isolation: "process_group",
			draining: false,
			hosted: [],
		});
		expect(await early.ended()).toMatchObject({ code: 4401 });
		const large = (await runner.dialControl()) as RawSocket;
		large.sendText(JSON.stringify({ type: "authenticate", padding: "x".repeat(MAX_HELLO_BYTES + 1024) }));
		expect(await large.ended()).toMatchObject({ code: 4413 });
		expect(await refusal(`${stack.url}/v1/sessions/${sessionId}/socket`)).toMatchObject({ status: 401 });
	});
});

describe("other teams and other principals", () => {
	test("attack 17: another team's session is 404 like one that does not exist, to the byte: attach, cancel, answer, history, end", async () => {
		const asks: [string, string, unknown?][] = [
			["GET", ""],
			["GET", "/events"],
			["GET", "/turns"],
			["POST", "/turns", { text: "x" }],
			["POST", "/interrupt"],
			["POST", `/approvals/${unknownId("apr")}`, { decision: "allow" }],
			["POST", "/release", {}],
			["DELETE", ""],
		];
		for (const [method, path, body] of asks) {
			const theirs = await call(method, `/v1/sessions/${sessionId}${path}`, bearer(OTHER_KEY), body);
			const unknown = await call(method, `/v1/sessions/${unknownId("ses")}${path}`, bearer(OTHER_KEY), body);
			expect([method, path, theirs.status, theirs.text]).toEqual([method, path, 404, unknown.text]);
		}
		const socket = await refusal(`${stack.url}/v1/sessions/${sessionId}/socket`, { headers: bearer(OTHER_KEY) });
		expect([socket.status, socket.problem?.code]).toEqual([404, "not_found"]);
		expect((await stack.client.session(sessionId).get()).state).not.toBe("closed");
	});

	test("attack 18: thousands of guessed ids find nothing, make no object, and are 429 after a while", async () => {
		const before = readdirSync(join(tight.stateDir, "gateway", "objects", "hotplex-session")).length;
		const { apiKey } = await tight.client.createKey({ name: "guesser", scopes: ["sessions:read"] });
		const statuses = new Map<number, number>();
		for (let i = 0; i < 2000; i += 50)
			await Promise.all(
				Array.from({ length: 50 }, async (_, k) => {
					const id = `ses_${String(i + k).padStart(26, "0")}`;
					const { status } = await call("GET", `/v1/sessions/${id}`, bearer(apiKey), undefined, tight);
					statuses.set(status, (statuses.get(status) ?? 0) + 1);
				}),
			);
		expect([...statuses.keys()].toSorted()).toEqual([404, 429]);
		// Some more are let through as the minute goes on.
		expect(statuses.get(404) ?? 0).toBeLessThan(300);
		expect(readdirSync(join(tight.stateDir, "gateway", "objects", "hotplex-session")).length).toBe(before);
		expect((await call("GET", "/v1/sessions", bearer(tight.apiKey), undefined, tight)).status).toBe(200);
	});

	test("attack 19: an answer to what is not asked, is answered already or is another session's is 404 or 409, and nothing runs", async () => {
		const [one, other] = [await asked(), await asked()];
		const answer = (session: SessionHandle, approvalId: string): Promise<void> =>
			session.decide(approvalId, { decision: "allow", answers: { "Delete it?": "yes" } });
		await expect(answer(one.session, unknownId("apr"))).rejects.toMatchObject({ problem: { code: "not_found" } });
		await expect(answer(one.session, other.approvalId)).rejects.toMatchObject({ problem: { code: "not_found" } });
		await one.session.decide(one.approvalId, { decision: "deny" });
		await expect(answer(one.session, one.approvalId)).rejects.toMatchObject({ problem: { code: "conflict" } });
		const decisions = async (session: SessionHandle) =>
			(await logOf(session)).map((l) => l.event).filter((e) => e.type === "approval_decided");
		expect(await decisions(one.session)).toMatchObject([{ decision: "deny" }]);
		expect(await decisions(other.session)).toEqual([]);
	});

	test("attack 20: of two answers at once the first counts and the second is 409; the audit log has both", async () => {
		const { session, approvalId } = await asked();
		const { apiKey } = await stack.client.createKey({ name: "second", scopes: ["sessions:write", "sessions:read"] });
		const second = new Client({ url: stack.url, apiKey }).session(session.id);
		const results = await Promise.allSettled([
			session.decide(approvalId, { decision: "allow" }),
			second.decide(approvalId, { decision: "deny" }),
		]);
		const lost = results.filter((r) => r.status === "rejected");
		expect(lost).toHaveLength(1);
		expect(lost[0]?.reason).toMatchObject({ problem: { code: "conflict", status: 409 } });
		expect((await logOf(session)).filter((l) => l.event.type === "approval_decided")).toHaveLength(1);
		await expect
			.poll(async () =>
				(await audited((r) => r.action === "approval.answered" && JSON.stringify(r).includes(approvalId)))
					.map((r) => r.detail.counted)
					.toSorted(),
			)
			.toEqual([false, true]);
	});
});

describe("runners", () => {
	test("attack 21: a runner token that two machines use at once enrols one of them, and the other is 401", async () => {
		const { token } = await stack.client.createRunnerToken();
		const enrol = () => call("POST", "/v1/runners", bearer(token), { publicKey: newKeyPair().publicKey, name: "racer" });
		expect((await Promise.all([enrol(), enrol()])).map((a) => a.status).toSorted()).toEqual([201, 401]);
		expect((await enrol()).status).toBe(401);
	});

	test("attack 22: a token enrols into its own team and with its own labels, whatever is asked for", async () => {
		const { token } = await stack.client.createRunnerToken({ labels: { gpu: "false" } });
		const { publicKey } = newKeyPair();
		for (const more of [{ team: "other" }, { labels: { gpu: "true" } }, { scopes: ["keys:write"] }])
			expect(await call("POST", "/v1/runners", bearer(token), { publicKey, name: "x", ...more })).toMatchObject({ status: 400 });
		expect((await call("POST", "/v1/runners", bearer(token.replace("hpt_default", "hpt_other")), { publicKey, name: "x" })).status).toBe(
			401,
		);
		const key = newKeyPair();
		const enrolled = new RawRunner(stack.url, await stack.client.enrolRunner(token, { publicKey: key.publicKey, name: "labelled" }), key);
		kept(await enrolled.connect({ labels: { gpu: "true" }, providers: [] }));
		expect(enrolled.team).toBe("default");
		expect((await stack.client.runners()).data.find((r) => r.runnerId === enrolled.runnerId)?.labels.gpu).toBe("false");
	});

	test("attack 23: a proof that was recorded is 4401 when it is shown again", async () => {
		const recorded = await runner.dialControl();
		const proof = runner.proof((await recorded.next("challenge")).nonce, "control");
		recorded.close();
		const replay = await runner.dialControl();
		await replay.next("challenge");
		replay.send({ type: "authenticate", ...proof });
		expect(await replay.ended()).toMatchObject({ code: 4401 });
	});

	test("attack 24: a proof for another gateway's host, or as another runner, is 4401", async () => {
		for (const over of [{ host: "gateway.evil.example" }, { runnerId: unknownId("run") }, { key: newKeyPair() }, { link: sessionId }]) {
			const link = await runner.dialControl();
			link.send({ type: "authenticate", ...runner.proof((await link.next("challenge")).nonce, "control", over) });
			expect([over, (await link.ended()).code]).toEqual([over, 4401]);
		}
	});

	test("attack 25: a runner that is revoked is cut off within seconds, its sessions know that it is lost, and it never comes in again", async () => {
		const taken = await RawRunner.enrol(stack.client, "taken over");
		const link = await taken.connect({ providers: [{ name: "taken", version: null }] });
		const session = await stack.client.openSession({ provider: "taken" });
		const turn = await session.send("hello");
		const hosting = await taken.host(link, session.id);
		hosting.report({ type: "process_state", state: "busy" }, { type: "turn_started", turnId: hosting.turnId as never, origin: "input" });
		await hosting.acked();
		const from = performance.now();
		await stack.client.revokeRunner(taken.runnerId);
		expect([(await link.ended()).code, (await hosting.link.ended()).code]).toEqual([4401, 4401]);
		expect(performance.now() - from).toBeLessThan(5000);
		expect(await session.turn(turn.id)).toMatchObject({ stopReason: "failed", error: { code: "runner_lost" } });
		const again = await taken.dialControl();
		again.send({ type: "authenticate", ...taken.proof((await again.next("challenge")).nonce, "control") });
		expect(await again.ended()).toMatchObject({ code: 4401 });
		expect(await audited((r) => r.action === "runner.revoked" && r.subject === taken.runnerId)).toMatchObject([
			{ detail: { sessions: 1 } },
		]);
	});

	test("attack 26: of two machines with one key the newer connection stays, the older is closed with 4410, and the audit log tells", async () => {
		const twice = await RawRunner.enrol(stack.client, "twice");
		const older = await twice.connect({ providers: [] });
		const newer = kept(await twice.connect({ providers: [] }));
		expect(await older.ended()).toMatchObject({ code: 4410 });
		await newer.settled();
		expect(newer.closed).toBeNull();
		expect(await audited((r) => r.action === "runner.replaced" && r.subject === twice.runnerId)).toHaveLength(1);
	});

	test("attack 27: a runner that speaks for a session which it does not host is refused, at the upgrade and in every batch, and nothing is logged", async () => {
		const { session, hosting } = await hosted();
		const other = await RawRunner.enrol(stack.client, "confused");
		kept(await other.connect({ providers: [] }));
		expect(await refusal(`${stack.url}/v1/link/${other.team}/${other.runnerId}/${session.id}`)).toMatchObject({ status: 409 });
		const before = (await logOf(session)).length;
		const unproven = await runner.dialSession(session.id);
		unproven.send({ type: "attach", ...other.proof((await unproven.next("challenge")).nonce, session.id), generation: hosting.generation });
		expect(await unproven.ended()).toMatchObject({ code: 4401 });
		hosting.link.send({
			type: "batch",
			generation: hosting.generation + 1,
			firstSeq: 3,
			events: [{ type: "process_state", state: "dead" }],
		});
		expect(await hosting.link.ended()).toMatchObject({ code: 4409 });
		expect((await logOf(session)).slice(before).filter((l) => l.event.type === "process_state")).toEqual([]);
	});
});

describe("bodies and frames", () => {
	test("attack 28: who a call is for is its credential's word alone: a team, runner or user in a body is an unknown field", async () => {
		for (const field of ["runnerId", "tenantId", "team", "userId", "actor", "principal"])
			expect(await call("POST", "/v1/sessions", mine(), { provider: "scripted", [field]: "other" })).toMatchObject({
				status: 400,
				text: expect.stringContaining(field),
			});
		const headers = {
			...mine(),
			"hotplex-principal": JSON.stringify({ team: "other", actor: "key:x", scopes: [] }),
			"x-forwarded-user": "boss",
		};
		const made = JSON.parse((await call("POST", "/v1/sessions", headers, { provider: "scripted" })).text) as { principal: string };
		expect(made.principal).toMatch(/^key:key_/);
	});

	test("attack 29: a frame of 5 MiB, one of 40 MiB and a body without an end are refused; others notice nothing", async () => {
		const { session, hosting } = await hosted();
		const [loud, bystander] = [await watching(stack.apiKey, session.id), await watching(stack.apiKey, session.id)];
		loud.sendText(JSON.stringify({ type: "input", clientId: "c", text: "x".repeat(5 * 1024 * 1024) }));
		expect(await loud.next("error")).toMatchObject({ problem: { code: "too_large" } });
		expect(await closeAfterHeader(session.id, 40 * 1024 * 1024)).toBe(1009);
		hosting.link.sendText(JSON.stringify({ type: "batch", padding: "x".repeat(5 * 1024 * 1024) }));
		expect(await hosting.link.ended()).toMatchObject({ code: 4413 });
		await bystander.settled();
		expect(bystander.closed).toBeNull();
		// No length is said, and it would be 1 GiB: it is cut off when it is over the limit.
		let sent = 0;
		const endless = new ReadableStream<Uint8Array>({
			pull: (controller) => {
				sent += 65_536;
				if (sent > 1024 ** 3) controller.close();
				else controller.enqueue(new Uint8Array(65_536).fill(0x20));
			},
		});
		const answer = await fetch(`${stack.url}/v1/sessions`, {
			method: "POST",
			headers: mine(),
			body: endless,
			duplex: "half",
		} as RequestInit).catch(() => null);
		expect(answer?.status ?? 413).toBe(413);
		expect(sent).toBeLessThan(64 * 1024 * 1024);
	});

	test("attack 30: no link compresses, so that no small frame becomes a large one: neither a runner nor the gateway offers it", async () => {
		const offered: (string | undefined)[] = [];
		const server = createServer();
		const seen = new Promise<void>((resolve) =>
			server.on("upgrade", (request, socket) => {
				offered.push(request.headers["sec-websocket-extensions"]);
				socket.destroy();
				resolve();
			}),
		);
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		const link = new Link({
			url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
			schema: ToControlFrame,
			onFrame: () => {},
			onEnded: () => {},
			random: () => 0,
		});
		await seen;
		link.close();
		server.close();
		expect(offered[0]).toBeUndefined();
		const asking = new WebSocket(`${stack.url.replace("http", "ws")}/v1/sessions/${sessionId}/socket`, SUBPROTOCOL, {
			headers: mine(),
			perMessageDeflate: true,
		});
		await new Promise((resolve, reject) => asking.once("open", resolve).once("error", reject));
		expect(asking.extensions).toBe("");
		asking.terminate();
	});

	test("attack 31: JSON that is deep, double, polluting, infinite or half a character, and frames that are binary, break nothing", async () => {
		const deep = `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`;
		for (const body of [deep, '{"provider":"scripted","__proto__":{"polluted":1},"x":1}', "[1e400]", "{", "\u0000", '{"provider":1e400}'])
			expect([body.slice(0, 40), (await call("POST", "/v1/sessions", mine(), body)).status]).toEqual([body.slice(0, 40), 400]);
		const doubled = await call("POST", "/v1/sessions", mine(), '{"provider":"nobody","provider":"scripted"}');
		expect([doubled.status, JSON.parse(doubled.text).provider]).toEqual([201, "scripted"]);
		const socket = await watching(stack.apiKey);
		for (const frame of [
			deep,
			'{"type":"ack","offset":1e400}',
			new Uint8Array([0xff, 0xfe]),
			'{"type":"input","clientId":"\\ud800","text":"x"}',
		]) {
			socket.sendText(frame);
			expect(await socket.next("error")).toMatchObject({ problem: { code: "bad_request" } });
		}
		await socket.settled();
		expect([socket.closed, Object.hasOwn(Object.prototype, "polluted")]).toEqual([null, false]);
	});

	test("attack 32: a reader that reads nothing while a CLI says 60 MiB costs bounded memory, and the session goes on", async () => {
		const { session, hosting, turnId } = await hosted();
		const slow = await watching(stack.apiKey, session.id);
		slow.stopReading();
		const memory = (): number => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${gatewayPid(stack)}/status`, "utf8"))?.[1]) / 1024;
		const before = memory();
		const text = "x".repeat(120_000);
		for (let i = 0; i < 100; i++) {
			hosting.report(...[0, 1, 2, 3, 4].map(() => ({ type: "text_delta" as const, turnId, messageId: "m", text })));
			if (i % 10 === 9) {
				hosting.report({ type: "tool_call", turnId, toolCallId: `t${i}`, tool: "Bash", input: {} } as never);
				await hosting.acked();
			}
		}
		expect(memory() - before).toBeLessThan(250);
		hosting.report({ type: "turn_ended", turnId, stopReason: "end_turn" });
		await hosting.acked();
		expect(await session.turn(turnId)).toMatchObject({ stopReason: "end_turn" });
	});

	test("attack 33: a principal that opens sockets without end is 429, links of runners have a limit of their own, and pings cost no frame", async () => {
		const session = await tight.client.openSession({ provider: "demo" });
		const { apiKey } = await tight.client.createKey({ name: "loud", scopes: ["sessions:read"] });
		const statuses: number[] = [];
		for (let i = 0; i < 30; i++) {
			const dialled = await RawSocket.dial(`${tight.url}/v1/sessions/${session.id}/socket`, { headers: bearer(apiKey) }).catch((e) => e);
			if (dialled instanceof RawSocket) kept(dialled);
			statuses.push(dialled instanceof RawSocket ? 101 : dialled.status);
		}
		expect([statuses.slice(0, 20).every((s) => s === 101), statuses.at(-1)]).toEqual([true, 429]);
		await expect.poll(() => audited((r) => r.action === "rate_limit.hit" && r.detail.limit === "sockets", tight.client)).toHaveLength(1);
		const socket = kept(await dialSession<ToClientFrame>(tight.url, tight.apiKey, session.id));
		socket.send({ type: "hello", protocol: PROTOCOL_VERSION });
		await socket.next("welcome");
		// More than the frames after which a socket is closed: the platform answers these, and nothing wakes.
		for (let i = 0; i < 10_000; i++) socket.sendText('{"type":"ping"}');
		await socket.until("all pongs", () => (socket.frames.filter((f) => f.type === "pong").length >= 10_000 ? true : undefined));
		expect(socket.closed).toBeNull();
		const links = await Promise.all(
			Array.from({ length: 60 }, () =>
				RawSocket.dial(`${tight.url}/v1/link/default/${unknownId("run")}`, { headers: { "x-test-address": "192.0.2.33" } }).then(
					(link) => kept(link) && 101,
					(error) => error.status as number,
				),
			),
		);
		expect([links.filter((s) => s === 101).length >= 40, links.includes(429)]).toEqual([true, true]);
	});
});

describe("what CLIs and people say", () => {
	test("attack 34: terminal sequences in a CLI's output reach no terminal by `hotplex attach` and are escapes in the console; they are whole in the log", async () => {
		const { session, hosting, turnId } = await hosted();
		const evil =
			"\u001b]52;c;ZXZpbA==\u0007\u001b]0;title\u0007\u001b[6n\u001b]8;;javascript:alert(1)\u001b\\link\u001b]8;;\u001b\\\u009b31m\u202e";
		hosting.report(
			{ type: "text_delta", turnId, messageId: "m", text: `before ${evil} after` },
			{ type: "tool_call", turnId, toolCallId: "t1", tool: `Bash${evil}`, input: { command: evil } } as never,
			{ type: "turn_ended", turnId, stopReason: "end_turn" },
		);
		await hosting.acked();
		const inConsole = await consoleShows(`Bash${evil}`, { command: `ls ${evil}` });
		// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
		expect(inConsole.text).not.toMatch(/[\u0007\u001b\u0080-\u009f\u202a-\u202e]/);
		expect(inConsole.text).toContain(
			String.raw`ls \x1b]52;c;ZXZpbA==\x07\x1b]0;title\x07\x1b[6n\x1b]8;;javascript:alert(1)\x1b\link\x1b]8;;\x1b\\x9b31m\u202e`,
		);
		await session.terminate();
		const shown = await stack.hotplex(["attach", session.id]);
		expect(shown.stdout).toContain("before");
		// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
		expect(shown.stdout + shown.stderr).not.toMatch(/[\u0007\u001b\u0080-\u009f\u202a-\u202e]/);
		const [said] = (await logOf(session)).flatMap((l) => (l.event.type === "text_delta" ? [l.event.text] : []));
		expect(said).toBe(`before ${evil} after`);
	});

	test("attack 35: HTML and links in a CLI's output are text: they are served as JSON that no browser takes for a page, and the console shows them as they are written", async () => {
		const { session, hosting, turnId } = await hosted();
		const evil = "<img src=x onerror=alert(1)> ![](https://evil.example/?leak) [x](javascript:alert(1)) <script>alert(1)</script>";
		hosting.report({ type: "text_delta", turnId, messageId: "m", text: evil }, { type: "turn_ended", turnId, stopReason: "end_turn" });
		await hosting.acked();
		const page = await call("GET", `/v1/sessions/${session.id}/events`, { ...mine(), accept: "text/html" });
		expect([page.headers.get("content-type"), page.headers.get("x-content-type-options")]).toEqual(["application/json", "nosniff"]);
		expect(page.text).toContain("onerror");
		const inConsole = await consoleShows(`Bash ${evil}`, { command: `echo '${evil}'`, [evil]: evil });
		expect(inConsole).toMatchObject({ text: expect.stringContaining(`echo '${evil}'`), elements: 0, troubles: [] });
		expect(inConsole.requests.filter((url) => !url.startsWith(`${stack.url}/`))).toEqual([]);
		const problem = await call("GET", `/v1/${encodeURIComponent("<script>")}`, mine());
		expect([problem.headers.get("content-type"), problem.headers.get("x-content-type-options")]).toEqual([
			"application/problem+json",
			"nosniff",
		]);
	});

	test("attack 36: line breaks in prompts and names make no second record, in the log, in the audit log or on a terminal", async () => {
		const forged = '\r\n{"level":"admin","action":"key.made","actor":"access:boss@example.com"}\r\n';
		const before = (await stack.client.audit()).head.n;
		const { keyId } = await stack.client.createKey({ name: forged, scopes: ["sessions:read"] });
		expect((await stack.client.audit()).head.n).toBe(before + 1);
		const lines = (await call("GET", `/v1/audit?after=${before}&format=jsonl`, mine())).text.trim().split("\n");
		expect(lines).toHaveLength(1);
		expect(JSON.parse(lines[0] ?? "")).toMatchObject({ action: "key.made", subject: keyId, detail: { name: forged } });
		expect((await stack.hotplex(["audit", "tail", "--lines", "1"])).stdout.trim().split("\n")).toHaveLength(1);
		const session = await stack.client.openSession({ provider: "scripted" });
		await session.send(`hello${forged}`);
		const log = await logOf(session);
		expect(log.filter(({ event }) => event.type === "input")).toMatchObject([{ event: { text: `hello${forged}` } }]);
		// It may be flagged, and quoted in that; it is nowhere a record of its own.
		expect(log.filter(({ event }) => "level" in event || "action" in event)).toEqual([]);
		expect(stack.stderr()).not.toContain('{"level"');
	});
});

describe("how a session starts", () => {
	test("attack 37: a work directory that is the machine's is refused: by name when the session is opened (400), by what it is when the runner is to start there (422)", async () => {
		for (const workDir of ["~", "../..", "work", "/tmp/a\nb", "/tmp/a\u0000b", "/tmp/\u001b[2J"])
			expect([workDir, (await call("POST", "/v1/sessions", mine(), { provider: "demo", workDir })).status]).toEqual([workDir, 400]);
		const link = join(stack.stateDir, "link-to-etc");
		symlinkSync("/etc", link);
		for (const workDir of ["/", "/etc", "/proc/self/cwd", link, `${stack.stateDir}/../../etc`, "/no/such/dir"]) {
			const session = await stack.client.openSession({ provider: "demo", workDir });
			const { stopReason, error } = await (await session.send("hello")).result();
			expect([workDir, stopReason, ["work_dir_refused", "work_dir_not_found"].includes(error?.code ?? "")], error?.detail).toEqual([
				workDir,
				"failed",
				true,
			]);
			await session.terminate();
		}
	});

	test("attack 38: no call sets a CLI's environment, and a runner hands on only what its owner named", async () => {
		for (const env of [
			{ LD_PRELOAD: "/tmp/x.so" },
			{ NODE_OPTIONS: "--require /tmp/x" },
			{ PATH: "/tmp" },
			{ ANTHROPIC_BASE_URL: "https://evil.example" },
		]) {
			for (const field of ["env", "environment"])
				expect(await call("POST", "/v1/sessions", mine(), { provider: "scripted", [field]: env })).toMatchObject({
					status: 400,
					text: expect.stringContaining(field),
				});
			expect((await call("POST", `/v1/sessions/${sessionId}/turns`, mine(), { text: "x", env })).status).toBe(400);
		}
		const names = ["LD_PRELOAD", "NODE_OPTIONS", "BASH_ENV", "GIT_SSH_COMMAND", "AWS_SECRET_ACCESS_KEY", "HOTPLEX_KEYS"];
		const owner = { PATH: process.env.PATH ?? "", NAMED: "1", ...Object.fromEntries(names.map((name) => [name, "/tmp/x"])) };
		const providers = { cli: { kind: "acp" as const, command: process.execPath, args: [], env: ["NAMED"] } };
		const { installed } = await installedProviders({ providers } as never, owner, stack.stateDir);
		expect(installed.map(({ env }) => Object.keys(env).toSorted())).toEqual([["NAMED", "PATH"]]);
	});

	test("attack 39: what a session says cannot become a flag of its CLI", async () => {
		const tries = [
			{ model: "--dangerously-skip-permissions" },
			{ model: "-x" },
			{ model: "opus --settings /tmp/x" },
			{ model: "opus\n--mcp-config=/tmp/x" },
			{ provider: "--settings" },
			{ provider: "../claude" },
			{ permissionMode: "bypassPermissions" },
			{ permissionMode: "--dangerously-skip-permissions" },
			{ args: ["--dangerously-skip-permissions"] },
			{ mcpConfig: {} },
		];
		for (const body of tries)
			expect([body, (await call("POST", "/v1/sessions", mine(), { provider: "scripted", ...body })).status]).toEqual([body, 400]);
		const args = claudeCode.launch({
			spec: { provider: "claude-code", workDir: null, model: "--settings=x", permissionMode: "default" },
			workDir: "/work",
			nativeSessionId: "--resume",
		} as never).args;
		// Even if one came through, it would be its flag's value.
		expect(args.filter((arg) => /settings=x|resume/.test(arg))).toEqual(["--model=--settings=x", "--resume=--resume"]);
		expect(args.join(" ")).not.toMatch(/dangerously|bypass/);
	});

	test("attack 40: what a checked-out repository says of hooks, permissions and servers is not loaded by Claude Code", async () => {
		const repo = join(stack.stateDir, "repo");
		mkdirSync(join(repo, ".claude"), { recursive: true });
		writeFileSync(
			join(repo, ".claude", "settings.json"),
			'{"hooks":{"SessionStart":[{"hooks":[{"type":"command","command":"touch owned"}]}]}}',
		);
		writeFileSync(join(repo, ".mcp.json"), '{"mcpServers":{"evil":{"command":"touch","args":["owned"]}}}');
		const { args, env } = claudeCode.launch({
			spec: { provider: "claude-code", workDir: repo, model: null, permissionMode: "default" },
			workDir: repo,
			nativeSessionId: null,
		} as never);
		expect(args[args.indexOf("--setting-sources") + 1]).toBe("");
		expect(args).toContain("--strict-mcp-config");
		// No tool is allowed beforehand, so each call is asked about.
		expect(args.filter((arg) => /^--(allowed|dangerously|mcp-config|add-dir|plugin)/i.test(arg))).toEqual([]);
		expect(JSON.stringify({ args, env })).not.toContain("owned");
	});
});
