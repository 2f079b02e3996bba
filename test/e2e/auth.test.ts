import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ALL_SCOPES, type CreatedKey, type Scope } from "../../shared/api.ts";
import { Client } from "../../shared/client.ts";
import type { Problem } from "../../shared/errors.ts";
import { PROTOCOL_VERSION, SUBPROTOCOL, type ToClientFrame } from "../../shared/frames.ts";
import { idBody, type SessionId } from "../../shared/ids.ts";
import { AUDIENCE, type Claims, type Issuer, seconds, startIssuer } from "../support/issuer.ts";
import { dialSession, newKeyPair, RawSocket, refusal } from "../support/raw-runner.ts";
import { type Stack, startStack } from "../support/stack.ts";

const ORIGIN = "https://console.example.com";
const OTHER_KEY = `hpk_other_${idBody(randomBytes(26))}_${randomBytes(32).toString("base64url")}`;
/** Well-formed, of nobody. */
const UNKNOWN = { sessionId: `ses_${"0".repeat(26)}`, turnId: `trn_${"0".repeat(26)}`, approvalId: `apr_${"0".repeat(26)}` };
const PATH_IDS: Record<string, string> = {
	...UNKNOWN,
	runnerId: `run_${"0".repeat(26)}`,
	keyId: `key_${"0".repeat(26)}`,
	version: "0",
	bypassId: "none",
};

/** Every route that needs a scope, with a body that is right, so that nothing but the credential can be wrong. */
const ROUTES: { route: string; scope: Scope; body?: object }[] = [
	{ route: "POST /v1/sessions", scope: "sessions:write", body: { provider: "demo" } },
	{ route: "GET /v1/sessions", scope: "sessions:read" },
	{ route: "GET /v1/sessions/{sessionId}", scope: "sessions:read" },
	{ route: "DELETE /v1/sessions/{sessionId}", scope: "sessions:write" },
	{ route: "POST /v1/sessions/{sessionId}/turns", scope: "sessions:write", body: { text: "hello" } },
	{ route: "GET /v1/sessions/{sessionId}/turns", scope: "sessions:read" },
	{ route: "GET /v1/sessions/{sessionId}/turns/{turnId}", scope: "sessions:read" },
	{ route: "POST /v1/sessions/{sessionId}/interrupt", scope: "sessions:write" },
	{ route: "POST /v1/sessions/{sessionId}/release", scope: "sessions:write" },
	{ route: "POST /v1/sessions/{sessionId}/approvals/{approvalId}", scope: "sessions:write", body: { decision: "allow" } },
	{ route: "GET /v1/sessions/{sessionId}/events", scope: "sessions:read" },
	{ route: "GET /v1/sessions/{sessionId}/stats", scope: "sessions:read" },
	{ route: "GET /v1/approvals", scope: "sessions:read" },
	{ route: "GET /v1/queue", scope: "sessions:read" },
	{ route: "GET /v1/runners", scope: "runners:read" },
	{ route: "POST /v1/runners/{runnerId}/drain", scope: "runners:write" },
	{ route: "DELETE /v1/runners/{runnerId}", scope: "runners:write" },
	{ route: "POST /v1/runner-tokens", scope: "runners:write", body: {} },
	{ route: "POST /v1/tickets", scope: "sessions:read", body: { sessionId: UNKNOWN.sessionId } },
	{ route: "GET /v1/keys", scope: "keys:write" },
	{ route: "POST /v1/keys", scope: "keys:write", body: { name: "k", scopes: ["keys:write"] } },
	{ route: "DELETE /v1/keys/{keyId}", scope: "keys:write" },
	{ route: "GET /v1/policy", scope: "policy:read" },
	// Made from a version that is not there, so that nothing changes.
	{ route: "PUT /v1/policy", scope: "policy:write", body: { policy: {}, baseVersion: 999 } },
	{ route: "GET /v1/policy/versions", scope: "policy:read" },
	{ route: "GET /v1/policy/versions/{version}", scope: "policy:read" },
	{ route: "POST /v1/policy/test", scope: "policy:read", body: { rows: [{ id: 1, kind: "command", text: "ls" }] } },
	{ route: "POST /v1/policy/bypass", scope: "policy:write", body: { reason: "none", forMs: 1000, sessionId: UNKNOWN.sessionId } },
	{ route: "DELETE /v1/policy/bypass/{bypassId}", scope: "policy:write" },
	{ route: "GET /v1/audit", scope: "audit:read" },
];
const SESSION_ROUTES = ROUTES.filter((r) => r.route.includes("{sessionId}") || r.route.includes("/tickets"));

let stack: Stack;
let issuer: Issuer;
let sessionId: SessionId;

beforeAll(async () => {
	issuer = await startIssuer();
	stack = await startStack({
		env: {
			HOTPLEX_KEYS: `${OTHER_KEY.split("_").slice(0, 3).join("_")}:${createHash("sha256").update(OTHER_KEY).digest("hex")}`,
			CF_ACCESS_TEAM_DOMAIN: issuer.url,
			CF_ACCESS_AUD: AUDIENCE,
			ACCESS_ADMINS: "boss@example.com",
			ALLOWED_ORIGINS: ORIGIN,
		},
	});
	sessionId = (await stack.client.openSession({ provider: "demo" })).id;
});

afterAll(async () => {
	await stack?.remove();
	issuer?.server.close();
});

interface Answer {
	status: number;
	type: string | null;
	text: string;
	code: string | null;
}

/** One call as anybody could make it. */
async function call(
	route: string,
	headers: Record<string, string>,
	body?: object,
	ids: Record<string, string> = PATH_IDS,
): Promise<Answer> {
	const [method = "", path = ""] = route.split(" ");
	const response = await fetch(stack.url + path.replace(/\{(\w+)\}/g, (_, name: string) => ids[name] ?? ""), {
		method,
		headers: { ...headers, ...(body === undefined ? {} : { "content-type": "application/json" }) },
		...(body === undefined ? {} : { body: JSON.stringify(body) }),
	});
	const text = await response.text();
	const type = response.headers.get("content-type");
	return { status: response.status, type, text, code: type === "application/problem+json" ? (JSON.parse(text) as Problem).code : null };
}
const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });
const statusOf = async (key: string): Promise<number> => (await call("GET /v1/sessions", bearer(key))).status;
const makeKey = (scopes: Scope[], expiresInMs?: number): Promise<CreatedKeyOutput> =>
	stack.client.createKey({ name: "test", scopes, ...(expiresInMs === undefined ? {} : { expiresInMs }) });
type CreatedKeyOutput = ReturnType<typeof CreatedKey.parse>;

/** A client's socket that said hello. */
async function watching(key: string): Promise<RawSocket<ToClientFrame>> {
	const socket = await dialSession<ToClientFrame>(stack.url, key, sessionId);
	socket.send({ type: "hello", protocol: PROTOCOL_VERSION });
	await socket.next("welcome");
	return socket;
}

/** The files of the objects of one class. */
const objectFiles = (kind: "session" | "team"): string[] => {
	const dir = join(stack.stateDir, "gateway", "objects", `hotplex-${kind}`);
	return readdirSync(dir).map((name) => join(dir, name));
};

test("[P12] a team that nobody configured gets no object, whoever names it", async () => {
	const before = objectFiles("team");
	const invented = stack.apiKey.replace("hpk_default_", "hpk_nobody_");
	expect(await statusOf(invented)).toBe(401);
	expect((await call("POST /v1/runners", bearer(`hpt_nobody_${"a".repeat(43)}`), { publicKey: "a".repeat(43), name: "x" })).status).toBe(
		401,
	);
	const link = await refusal(`${stack.url.replace("http", "ws")}/v1/link/nobody/run_${"0".repeat(26)}`);
	expect(link.status).toBe(401);
	expect(objectFiles("team")).toEqual(before);
});

describe("without a credential", () => {
	test("[P12] every route of the OpenAPI document answers 401 to a stranger, before it looks at anything else", async () => {
		const document = (await (await fetch(`${stack.url}/openapi.json`)).json()) as { paths: Record<string, Record<string, unknown>> };
		const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
			Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
		);
		expect(routes.toSorted()).toEqual([...ROUTES.map((r) => r.route), "POST /v1/runners"].toSorted());
		const before = objectFiles("session");
		for (const route of routes) {
			// Neither a body that is missing nor ids that are wrong are told to somebody unknown.
			for (const ids of [PATH_IDS, { ...PATH_IDS, sessionId }])
				expect([route, await call(route, {}, undefined, ids)]).toMatchObject([route, { status: 401, code: "unauthorized" }]);
		}
		expect(objectFiles("session")).toEqual(before);
	});

	test("[P12] a stranger's socket is refused before the upgrade, and makes no session object", async () => {
		const before = objectFiles("session");
		for (const id of [sessionId, UNKNOWN.sessionId, "nonsense"])
			expect(await refusal(`${stack.url}/v1/sessions/${id}/socket`)).toMatchObject({ status: 401, problem: { code: "unauthorized" } });
		expect(objectFiles("session")).toEqual(before);
	});

	test("only the health check, the API's description and the console, which holds no data, are open", async () => {
		for (const path of ["/healthz", "/openapi.json", "/console", "/console/console.css", "/console/console.js"])
			expect([path, (await call(`GET ${path}`, {})).status]).toEqual([path, 200]);
	});

	test("[P13] a credential in an address is refused with 400 wherever it stands, also beside a right one, and is not repeated", async () => {
		for (const name of ["api_key", "key", "token", "access_token", "ticket", "Authorization", "password"])
			for (const path of ["/v1/sessions", `/v1/sessions/${sessionId}/socket`, "/v1/runners", "/healthz", "/v1/link/default/run_x"]) {
				const answer = await call(`GET ${path}?${name}=${stack.apiKey}`, bearer(stack.apiKey));
				expect([path, name, answer.status, answer.code]).toEqual([path, name, 400, "credentials_in_url"]);
				expect(answer.text).not.toContain(stack.apiKey);
			}
		expect(await refusal(`${stack.url}/v1/sessions/${sessionId}/socket?api_key=${stack.apiKey}`)).toMatchObject({ status: 400 });
	});

	test("what a client writes into the gateway's own headers changes nothing", async () => {
		const principal = JSON.stringify({ team: "default", actor: "key:x", scopes: ALL_SCOPES, keyId: null, expiresAt: null });
		const headers = { "hotplex-principal": principal, "hotplex-runner": `run_${"0".repeat(26)}` };
		expect((await call("GET /v1/sessions", headers)).status).toBe(401);
		expect(await refusal(`${stack.url}/v1/sessions/${sessionId}/socket`, { headers })).toMatchObject({ status: 401 });
	});
});

describe("API keys", () => {
	test("a key that is wrong in its last byte, or anywhere else, is 401 with one and the same text", async () => {
		const { apiKey } = await makeKey(["sessions:read"]);
		const last = apiKey.endsWith("A") ? "E" : "A";
		const wrong = [
			apiKey.slice(0, -1) + last,
			stack.apiKey.slice(0, -1) + (stack.apiKey.endsWith("A") ? "E" : "A"),
			apiKey.replace("hpk_default_", "hpk_other_"),
			apiKey.slice(0, -1),
			`${apiKey}A`,
			`hpk_default_${"0".repeat(26)}_${apiKey.slice(-43)}`,
			apiKey.toUpperCase(),
			"hpk_default",
			"x".repeat(5000),
		];
		const answers = await Promise.all(wrong.map((key) => call("GET /v1/sessions", bearer(key))));
		expect(answers.map((a) => a.status)).toEqual(wrong.map(() => 401));
		expect(new Set(answers.map((a) => a.text)).size).toBe(1);
		expect(await statusOf(apiKey)).toBe(200);
	});

	test("[WAT-2] a key that expires is refused, and the socket that was opened with it is closed with 4401", async () => {
		const { apiKey } = await makeKey(["sessions:read"], 1500);
		const socket = await watching(apiKey);
		expect(await socket.ended()).toMatchObject({ code: 4401 });
		expect(await statusOf(apiKey)).toBe(401);
	});

	test("[WAT-2] revoking a key closes its sockets and its event streams with 4401, and nobody else's", async () => {
		const [mine, other] = await Promise.all([makeKey(["sessions:read"]), makeKey(["sessions:read"])]);
		const [socket, second, bystander] = await Promise.all([watching(mine.apiKey), watching(mine.apiKey), watching(other.apiKey)]);
		const stream = await fetch(`${stack.url}/v1/sessions/${sessionId}/events`, {
			headers: { ...bearer(mine.apiKey), accept: "text/event-stream" },
		});
		await stack.client.revokeKey(mine.keyId);
		expect([await socket.ended(), await second.ended()]).toMatchObject([{ code: 4401 }, { code: 4401 }]);
		// The text ends only if the gateway ends the stream.
		expect(await stream.text()).toContain('"code":"unauthorized"');
		expect(await statusOf(mine.apiKey)).toBe(401);
		await bystander.settled();
		expect(bystander.closed).toBeNull();
		bystander.close();
	});

	test("a key makes no key with more scopes than it has itself", async () => {
		const maker = new Client({ url: stack.url, apiKey: (await makeKey(["keys:write", "runners:read"])).apiKey });
		await expect(maker.createKey({ name: "more", scopes: ["runners:read", "sessions:write"] })).rejects.toMatchObject({
			problem: { code: "forbidden", detail: expect.stringContaining("sessions:write") },
		});
		expect((await maker.createKey({ name: "same", scopes: ["runners:read"] })).scopes).toEqual(["runners:read"]);
	});

	test("[P13] a key's secret is shown once: no list has it, and no file of the gateway, nor a ticket's or a runner token's", async () => {
		const { apiKey, keyId } = await makeKey(["sessions:read"]);
		expect(await statusOf(apiKey)).toBe(200);
		const { ticket } = JSON.parse((await call("POST /v1/tickets", bearer(apiKey), { sessionId })).text) as { ticket: string };
		const { token } = await stack.client.createRunnerToken();
		const listed = (await call("GET /v1/keys", bearer(stack.apiKey))).text;
		expect(listed).toContain(keyId);
		const secrets = [apiKey, ticket, token, stack.apiKey].map((s) => s.slice(-43));
		for (const secret of secrets) expect(listed).not.toContain(secret);
		const files = [...objectFiles("team"), ...objectFiles("session")];
		expect(files.some((file) => readFileSync(file).includes(keyId))).toBe(true);
		for (const file of files) for (const secret of secrets) expect([file, readFileSync(file).includes(secret)]).toEqual([file, false]);
	});

	test("every route wants its one scope: 403 with all others, let in with it alone", async () => {
		const only = new Map<Scope, string>();
		const without = new Map<Scope, string>();
		for (const scope of ALL_SCOPES) {
			only.set(scope, (await makeKey([scope])).apiKey);
			without.set(scope, (await makeKey(ALL_SCOPES.filter((s) => s !== scope))).apiKey);
		}
		for (const { route, scope, body } of ROUTES) {
			const refused = await call(route, bearer(without.get(scope) ?? ""), body);
			expect([route, refused.status, refused.code]).toEqual([route, 403, "forbidden"]);
			const taken = await call(route, bearer(only.get(scope) ?? ""), body);
			expect([route, [401, 403].includes(taken.status)], taken.text).toEqual([route, false]);
		}
	});

	test("a socket that may only read is answered `forbidden` for an input, and stays", async () => {
		const socket = await watching((await makeKey(["sessions:read"])).apiKey);
		const frames = [
			{ type: "input", clientId: "c-1", text: "hello" },
			{ type: "interrupt" },
			{ type: "decide", approvalId: UNKNOWN.approvalId, decision: "allow" },
		];
		for (const frame of frames) {
			socket.send(frame);
			expect(await socket.next("error")).toMatchObject({ re: frame.type, problem: { code: "forbidden" } });
		}
		expect(socket.closed).toBeNull();
		socket.close();
		expect((await stack.client.session(sessionId).turns()).data).toEqual([]);
	});

	test("who calls is taken from the credential: a team, runner or user in a body is an unknown field", async () => {
		for (const field of ["team", "runnerId", "userId", "actor"])
			expect(await call("POST /v1/sessions", bearer(stack.apiKey), { provider: "demo", [field]: "other" })).toMatchObject({
				status: 400,
				text: expect.stringContaining(field),
			});
	});
});

describe("Cloudflare Access", () => {
	const by = async (token: Promise<string> | string, route = "GET /v1/sessions"): Promise<Answer> =>
		call(route, { "cf-access-jwt-assertion": await token });

	test("a person's valid token comes in, and may use sessions and see runners, but make no keys", async () => {
		expect((await by(issuer.sign({ email: "ann@example.com" }))).status).toBe(200);
		expect((await by(issuer.sign({ email: "ann@example.com" }), "GET /v1/runners")).status).toBe(200);
		expect((await by(issuer.sign({ email: "ann@example.com" }), "GET /v1/keys")).status).toBe(403);
		expect((await by(issuer.sign({ email: "ann@example.com" }), "POST /v1/runners/{runnerId}/drain")).status).toBe(403);
	});

	test("an admin's token has all scopes, and a service token is known by its common name", async () => {
		expect((await by(issuer.sign({ email: "boss@example.com" }), "GET /v1/keys")).status).toBe(200);
		expect((await by(issuer.sign({ common_name: "ci.access", sub: "" }))).status).toBe(200);
		const token = await issuer.sign({ common_name: "ci.access" });
		const client = new Client({ url: stack.url, headers: { "cf-access-jwt-assertion": token } });
		const session = await client.openSession({ provider: "demo" });
		expect((await session.eventPage()).data[0]?.event).toMatchObject({ type: "session_created", by: "access:ci.access" });
	});

	test("a token that is not signed, or signed by anything but Access's own RSA key, is 401", async () => {
		const payload = { iss: issuer.url, aud: AUDIENCE, email: "boss@example.com", iat: seconds(), exp: seconds() + 600 };
		const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
		const none = `${encode({ alg: "none", typ: "JWT" })}.${encode(payload)}.`;
		const stripped = `${(await issuer.sign({ email: "boss@example.com" })).split(".").slice(0, 2).join(".")}.`;
		const withPublicKey = new SignJWT(payload)
			.setProtectedHeader({ alg: "HS256", kid: "k1" })
			.sign(new TextEncoder().encode(issuer.publicPem));
		const stranger = await generateKeyPair("RS256");
		const forged = new SignJWT(payload).setProtectedHeader({ alg: "RS256", kid: "k1" }).sign(stranger.privateKey);
		const embedded = new SignJWT(payload)
			.setProtectedHeader({
				alg: "RS256",
				kid: "k1",
				jwk: await exportJWK(stranger.publicKey),
				jku: "https://evil.example/certs",
			} as JWTHeaderParameters)
			.sign(stranger.privateKey);
		for (const token of [none, stripped, withPublicKey, forged, embedded, "", "a.b.c", "x".repeat(9000)])
			expect([String(await token).slice(0, 40), (await by(token)).status]).toEqual([String(await token).slice(0, 40), 401]);
	});

	test.each<[string, Claims]>([
		["of another application", { aud: "another-application" }],
		["of another team", { iss: "https://other.cloudflareaccess.com" }],
		["expired two minutes ago", { exp: seconds() - 120 }],
		["not valid for two minutes yet", { nbf: seconds() + 120 }],
		["without an end", { exp: undefined }],
		["that names nobody", { email: undefined }],
		["that names nobody with an empty name", { email: "" }],
	])("a token %s is 401", async (_, claims) => {
		expect(await by(issuer.sign({ email: "boss@example.com", ...claims }))).toMatchObject({ status: 401, code: "unauthorized" });
	});

	test("unknown key ids, however many, fetch the key set once at most", async () => {
		expect((await by(issuer.sign({ email: "ann@example.com" }))).status).toBe(200);
		const before = issuer.fetches();
		const tokens = await Promise.all(Array.from({ length: 100 }, (_, i) => issuer.sign({ email: "ann@example.com" }, `unknown-${i}`)));
		expect(new Set(await Promise.all(tokens.map(async (token) => (await by(token)).status)))).toEqual(new Set([401]));
		expect(issuer.fetches() - before).toBeLessThanOrEqual(1);
	});

	test("who only says who he is, in a header or a cookie, is nobody", async () => {
		const token = await issuer.sign({ email: "boss@example.com" });
		for (const headers of [{ "cf-access-authenticated-user-email": "boss@example.com" }, { cookie: `CF_Authorization=${token}` }])
			expect((await call("GET /v1/sessions", headers as Record<string, string>)).status).toBe(401);
	});

	test("[WAT-2] a socket ends with the Access token that opened it", async () => {
		// A token ends at a whole second; the check itself forgives a minute, the socket does not.
		const token = await issuer.sign({ email: "ann@example.com", exp: seconds() + 2 });
		const socket = await RawSocket.dial<ToClientFrame>(`${stack.url}/v1/sessions/${sessionId}/socket`, {
			headers: { "cf-access-jwt-assertion": token },
		});
		socket.send({ type: "hello", protocol: PROTOCOL_VERSION });
		await socket.next("welcome");
		expect(await socket.ended()).toMatchObject({ code: 4401 });
	});
});

describe("tickets and origins", () => {
	const ticketFor = async (id: string, origin: string | null, key = stack.apiKey): Promise<string> => {
		const answer = await call("POST /v1/tickets", { ...bearer(key), ...(origin === null ? {} : { origin }) }, { sessionId: id });
		return (JSON.parse(answer.text) as { ticket: string }).ticket;
	};
	const dial = (id: string, ticket: string, origin: string | null): Parameters<typeof refusal> => [
		`${stack.url}/v1/sessions/${id}/socket`,
		{ protocols: [SUBPROTOCOL, `ticket.${ticket}`], headers: origin === null ? {} : { origin } },
	];

	test("[WAT-3] a ticket opens one socket, which is answered the protocol alone; the second try is 401", async () => {
		const ticket = await ticketFor(sessionId, ORIGIN);
		const socket = await RawSocket.dial<ToClientFrame>(...dial(sessionId, ticket, ORIGIN));
		expect(socket.protocol).toBe(SUBPROTOCOL);
		socket.send({ type: "hello", protocol: PROTOCOL_VERSION });
		await socket.next("welcome");
		expect(await refusal(...dial(sessionId, ticket, ORIGIN))).toMatchObject({ status: 401 });
		socket.close();
	});

	test("[WAT-3] ten sockets that race with one ticket: one is opened", async () => {
		const ticket = await ticketFor(sessionId, ORIGIN);
		const raced = await Promise.allSettled(Array.from({ length: 10 }, () => RawSocket.dial(...dial(sessionId, ticket, ORIGIN))));
		const opened = raced.filter((r) => r.status === "fulfilled");
		expect(opened.length).toBe(1);
		for (const { value } of opened) value.close();
	});

	test("[WAT-3] a ticket is good for its session and from its origin only, and is spent by the wrong try", async () => {
		const other = (await stack.client.openSession({ provider: "demo" })).id;
		const cases: [string, string | null, string, string | null][] = [
			[sessionId, ORIGIN, other, ORIGIN],
			[sessionId, ORIGIN, sessionId, stack.url],
			[sessionId, ORIGIN, sessionId, null],
			[sessionId, null, sessionId, ORIGIN],
		];
		for (const [madeFor, madeFrom, usedFor, usedFrom] of cases) {
			const ticket = await ticketFor(madeFor, madeFrom);
			expect(await refusal(...dial(usedFor, ticket, usedFrom))).toMatchObject({ status: 401 });
			expect(await refusal(...dial(madeFor, ticket, madeFrom))).toMatchObject({ status: 401 });
		}
	});

	test("[WAT-3] a ticket is no credential for anything but a socket", async () => {
		const ticket = await ticketFor(sessionId, null);
		expect(await statusOf(ticket)).toBe(401);
		expect((await call("GET /v1/sessions", { "sec-websocket-protocol": `ticket.${ticket}` })).status).toBe(401);
	});

	test("[WAT-2] a ticket dies with the key that it was made with", async () => {
		const key = await makeKey(["sessions:read"]);
		const [unused, used] = [await ticketFor(sessionId, null, key.apiKey), await ticketFor(sessionId, null, key.apiKey)];
		const socket = await RawSocket.dial<ToClientFrame>(...dial(sessionId, used, null));
		// workerd ends the connection of a socket that it never heard only when the object hibernates.
		await socket.settled();
		await stack.client.revokeKey(key.keyId);
		expect(await socket.ended()).toMatchObject({ code: 4401 });
		expect(await refusal(...dial(sessionId, unused, null))).toMatchObject({ status: 401 });
	});

	test("an Origin that is not ours to the letter is 403 before the upgrade, right credential or not", async () => {
		const wrong = [
			"https://evil.example",
			"null",
			`${ORIGIN}.evil.com`,
			ORIGIN.toUpperCase(),
			`${ORIGIN}:443`,
			`${ORIGIN}/`,
			"https://example.com",
			"http://console.example.com",
			"",
		];
		for (const origin of wrong.filter((o) => o !== "")) {
			const headers = { ...bearer(stack.apiKey), origin };
			expect([origin, (await refusal(`${stack.url}/v1/sessions/${sessionId}/socket`, { headers })).status]).toEqual([origin, 403]);
			expect([origin, (await call("GET /v1/sessions", headers)).status]).toEqual([origin, 403]);
		}
		for (const origin of [ORIGIN, stack.url])
			expect((await call("GET /v1/sessions", { ...bearer(stack.apiKey), origin })).status).toBe(200);
	});

	test("fifty subprotocols and one of 8 KB are refused before anything else", async () => {
		const many = Array.from({ length: 50 }, (_, i) => `p${i}`);
		expect((await refusal(`${stack.url}/v1/sessions/${sessionId}/socket`, { protocols: many })).status).toBe(400);
		expect((await refusal(`${stack.url}/v1/sessions/${sessionId}/socket`, { protocols: ["x".repeat(8192)] })).status).toBe(400);
	});
});

describe("two teams", () => {
	test("[P12] another team's session answers as one that does not exist, to the byte, on every route and on the socket", async () => {
		for (const { route, body } of SESSION_ROUTES) {
			const asked = (id: string): Promise<Answer> =>
				call(route, bearer(OTHER_KEY), route.endsWith("/tickets") ? { sessionId: id } : body, { ...PATH_IDS, sessionId: id });
			const [theirs, unknown] = [await asked(sessionId), await asked(UNKNOWN.sessionId)];
			expect([route, theirs]).toEqual([route, unknown]);
			expect([route, theirs.status, theirs.code]).toEqual([route, 404, "not_found"]);
		}
		const stream = (id: string): Promise<Answer> =>
			call(`GET /v1/sessions/${id}/events`, { ...bearer(OTHER_KEY), accept: "text/event-stream" });
		expect(await stream(sessionId)).toEqual(await stream(UNKNOWN.sessionId));
		const socket = async (id: string) => {
			const { status, body } = await refusal(`${stack.url}/v1/sessions/${id}/socket`, { headers: bearer(OTHER_KEY) });
			return { status, body };
		};
		expect(await socket(sessionId)).toEqual(await socket(UNKNOWN.sessionId));
		expect((await socket(sessionId)).status).toBe(404);
	});

	test("[P12] a team sees and touches none of another's sessions, runners and keys", async () => {
		const other = new Client({ url: stack.url, apiKey: OTHER_KEY });
		expect([(await other.sessions()).data, (await other.runners()).data, (await other.keys()).data]).toEqual([[], [], []]);
		const [runner] = (await stack.client.runners()).data;
		const key = await makeKey(["sessions:read"]);
		const touches = [
			() => other.drainRunner(runner?.runnerId ?? ""),
			() => other.revokeRunner(runner?.runnerId ?? ""),
			() => other.revokeKey(key.keyId),
		];
		for (const touch of touches) await expect(touch()).rejects.toMatchObject({ problem: { code: "not_found" } });
		expect(await statusOf(key.apiKey)).toBe(200);
		expect((await stack.client.runners()).data[0]?.state).toBe("online");
	});

	test("[P12] a runner token enrols into its own team, whatever a body asks for", async () => {
		const { token } = await new Client({ url: stack.url, apiKey: OTHER_KEY }).createRunnerToken();
		const { publicKey } = newKeyPair();
		expect(await call("POST /v1/runners", bearer(token), { publicKey, name: "x", team: "default" })).toMatchObject({ status: 400 });
		const enrolled = await stack.client.enrolRunner(token, { publicKey, name: "x" });
		expect(enrolled.team).toBe("other");
		expect((await stack.client.runners()).data.map((r) => r.runnerId)).not.toContain(enrolled.runnerId);
		expect(await call("POST /v1/runners", bearer(stack.apiKey), { publicKey, name: "x" })).toMatchObject({ status: 401 });
	});
});
