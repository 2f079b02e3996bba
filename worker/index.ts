import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { cors } from "hono/cors";
import { HTTPException } from "hono/http-exception";
import {
	AcceptedTurn,
	ApprovalList,
	CreatedKey,
	CreateKey,
	CreateRunnerToken,
	CreateSession,
	CreateTicket,
	CreateTurn,
	Decide,
	Enrolled,
	EnrolRunner,
	EventPage,
	EventsQuery,
	KeyList,
	PageQuery,
	Problem as ProblemBody,
	QueueList,
	ReleaseSession,
	RunnerList,
	RunnerToken,
	type Scope,
	Session,
	SessionPage,
	Stats,
	Ticket,
	Turn,
	TurnPage,
} from "../shared/api.ts";
import { check, describe, parse } from "../shared/codec.ts";
import { type ErrorCode, type Problem, problem } from "../shared/errors.ts";
import { ClientId, Decision } from "../shared/frames.ts";
import { KeyId, RunnerId, SessionId, type TeamId, TurnId } from "../shared/ids.ts";
import { MAX_BODY_BYTES } from "../shared/limits.ts";
import type { Result } from "../shared/result.ts";
import { authenticate, checkAddress, checkOrigin, chosenSubprotocol, enrolmentToken, knownTeam, ownHosts, type Principal } from "./auth.ts";
import { type Config, type Env, readConfig } from "./config.ts";
import { HOSTS_HEADER, PRINCIPAL_HEADER, RUNNER_HEADER } from "./session-object.ts";
import { placeOf, serverSentEvents } from "./sse.ts";
import { noSuchSession } from "./team-object.ts";

export { SessionObject } from "./session-object.ts";
export { TeamObject } from "./team-object.ts";

type App = { Bindings: Env; Variables: { config: Config; principal: Principal; token: { team: TeamId; hash: string } } };
type Ctx = Context<App>;

/** Carries an expected error from where it is found to `onError`, the one place that answers it. */
class Refusal extends Error {
	readonly problem: Problem;
	constructor(p: Problem) {
		super(p.detail);
		this.problem = p;
	}
}
const refuse = (code: ErrorCode, detail: string): never => {
	throw new Refusal(problem(code, detail));
};
function unwrap<T>(result: Result<T, Problem>): T {
	if (!result.ok) throw new Refusal(result.error);
	return result.value;
}

function answer(p: Problem): Response {
	const headers: Record<string, string> = { "content-type": "application/problem+json" };
	if (p.code === "unauthorized") headers["www-authenticate"] = 'Bearer realm="hotplex"';
	if (p.status === 429 || p.status === 503) headers["retry-after"] = String(Math.max(1, Math.ceil((p.retryAfterMs ?? 1000) / 1000)));
	return new Response(JSON.stringify(p), { status: p.status, headers });
}

const app = new OpenAPIHono<App>({
	defaultHook: (result) => (result.success ? undefined : answer(problem("bad_request", describe(result.error)))),
});

app.onError((error, c) => {
	if (error instanceof Refusal) return answer(error.problem);
	if (error instanceof HTTPException) return answer(problem("bad_request", error.message || "the request is not understood"));
	console.error(`${c.req.method} ${c.req.path} failed`, error);
	return answer(problem("internal", "the gateway failed; its log knows more"));
});
app.notFound((c) => answer(problem("not_found", `${c.req.method} ${c.req.path.slice(0, 200)} is no address here; see /openapi.json`)));

app.use("*", async (c, next) => {
	const config = readConfig(c.env);
	if (!config.ok) return answer(problem("not_configured", config.error));
	c.set("config", config.value);
	const refused = checkAddress(c.req.raw) ?? checkOrigin(c.req.raw, config.value);
	if (refused) return answer(refused);
	await next();
	return;
});

// Pages of listed origins may call; `checkOrigin` has refused all others. Preflights come without credentials, so this stands before
// the authentication. No cookies: a page sends its credential itself.
app.use(
	"*",
	cors({
		origin: (origin, c: Ctx) => (c.var.config.allowedOrigins.has(origin) ? origin : null),
		allowHeaders: ["authorization", "content-type", "idempotency-key", "last-event-id"],
		exposeHeaders: ["retry-after"],
		maxAge: 600,
	}),
);

// Before a body is read or a field checked: a stranger learns nothing but that he is one.
app.use("/v1/*", async (c, next) => {
	const enrols = c.req.method === "POST" && c.req.path === "/v1/runners";
	// A runner proves itself on its link.
	const links = c.req.path.startsWith("/v1/link/");
	const socketOf = SessionId.safeParse(/^\/v1\/sessions\/([^/]+)\/socket$/.exec(c.req.path)?.[1]);
	if (enrols) c.set("token", unwrap(await enrolmentToken(c.req.raw, c.var.config)));
	else if (!links) c.set("principal", unwrap(await authenticate(c.req.raw, c.env, c.var.config, socketOf.success ? socketOf.data : null)));
	// Frames have their own limits; a body is read once here, and later from what was read.
	if (c.req.header("content-length") !== undefined || c.req.header("transfer-encoding") !== undefined) {
		if (Number(c.req.header("content-length") ?? 0) > MAX_BODY_BYTES)
			return answer(problem("too_large", `a body may have ${MAX_BODY_BYTES} bytes`));
		const text = await c.req.text();
		if (text !== "") {
			const json = parse(text, MAX_BODY_BYTES);
			if (!json.ok) return answer(json.error);
		}
	}
	await next();
	return;
});

/** The caller, if it may do this. */
function allow(c: Ctx, scope: Scope): Principal {
	const who = c.var.principal;
	return who.scopes.includes(scope) ? who : refuse("forbidden", `this credential lacks the scope ${scope}`);
}

const team = (c: Ctx, who: { team: string }) => c.env.TEAM.getByName(who.team);

/** The session's object, if the session is one of the caller's team; another team's answers as one that does not exist. */
async function session(c: Ctx, who: Principal, id: string) {
	const sessionId = sessionIdOf(id);
	if (!(await team(c, who).hasSession(sessionId))) throw new Refusal(noSuchSession());
	return c.env.SESSION.getByName(`${who.team}/${sessionId}`);
}

function sessionIdOf(id: string): SessionId {
	const parsed = SessionId.safeParse(id);
	if (!parsed.success) throw new Refusal(noSuchSession());
	return parsed.data;
}

// ---------------------------------------------------------------- the REST interface, route by route

const json = <S extends z.ZodType>(schema: S, description: string) => ({ content: { "application/json": { schema } }, description });
const body = <S extends z.ZodType>(schema: S) => ({ body: { required: true, content: { "application/json": { schema } } } });
const errors = { default: { content: { "application/problem+json": { schema: ProblemBody } }, description: "RFC 9457 problem" } } as const;
const inSession = z.object({ sessionId: z.string() });
const security = [{ bearer: [] }, { access: [] }];

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/sessions",
		summary: "Open a session: a new one, or the one of this key",
		security,
		request: body(CreateSession),
		responses: { 200: json(Session, "The key's session, as it was"), 201: json(Session, "A new session"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:write");
		const opened = unwrap(await team(c, who).openSession(c.req.valid("json"), who));
		return c.json(opened.session, opened.created ? 201 : 200);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/sessions",
		summary: "List sessions, newest first",
		security,
		request: { query: PageQuery },
		responses: { 200: json(SessionPage, "A page"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:read");
		const { limit, cursor } = c.req.valid("query");
		const page = await team(c, who).listSessions(limit, cursor ?? null);
		return page === null ? refuse("bad_request", "cursor: not one of ours") : c.json(page, 200);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/sessions/{sessionId}",
		summary: "One session",
		security,
		request: { params: inSession },
		responses: { 200: json(Session, "The session"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:read");
		const found = await team(c, who).getSession(sessionIdOf(c.req.valid("param").sessionId));
		return found === null ? refuse("not_found", noSuchSession().detail) : c.json(found, 200);
	},
);

app.openapi(
	createRoute({
		method: "delete",
		path: "/v1/sessions/{sessionId}",
		summary: "Terminate a session: its turns and processes end; its log stays",
		security,
		request: { params: inSession },
		responses: { 204: { description: "It has ended" }, ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:write");
		await (await session(c, who, c.req.valid("param").sessionId)).terminate(who.actor);
		return c.body(null, 204);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/sessions/{sessionId}/turns",
		summary: "Send an input; taken once per `Idempotency-Key` (or `clientId`)",
		security,
		request: { params: inSession, ...body(CreateTurn), headers: z.object({ "idempotency-key": ClientId.optional() }) },
		responses: { 202: json(AcceptedTurn, "Accepted, or accepted before (`duplicate`)"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:write");
		const { text, clientId } = c.req.valid("json");
		const header = c.req.valid("header")["idempotency-key"];
		if (header !== undefined && clientId !== undefined && header !== clientId)
			return refuse("bad_request", "Idempotency-Key and clientId are the same thing; they differ here");
		const object = await session(c, who, c.req.valid("param").sessionId);
		return c.json(unwrap(await object.input(text, header ?? clientId ?? null, who.actor)), 202);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/sessions/{sessionId}/turns",
		summary: "List turns, newest first",
		security,
		request: { params: inSession, query: PageQuery },
		responses: { 200: json(TurnPage, "A page"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:read");
		const { limit, cursor } = c.req.valid("query");
		const before =
			cursor === undefined ? null : /^\d{1,15}$/.test(cursor) ? Number(cursor) : refuse("bad_request", "cursor: not one of ours");
		const turns = await (await session(c, who, c.req.valid("param").sessionId)).turns(limit + 1, before);
		const last = turns.length > limit ? turns[limit - 1] : undefined;
		return c.json({ data: turns.slice(0, limit), nextCursor: last ? String(last.afterOffset) : null }, 200);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/sessions/{sessionId}/turns/{turnId}",
		summary: "One turn",
		security,
		request: { params: z.object({ sessionId: z.string(), turnId: z.string() }) },
		responses: { 200: json(Turn, "The turn"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:read");
		const { sessionId, turnId } = c.req.valid("param");
		const object = await session(c, who, sessionId);
		const found = TurnId.safeParse(turnId).success ? await object.turn(turnId) : null;
		return found === null ? refuse("not_found", "no such turn in this session") : c.json(found, 200);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/sessions/{sessionId}/interrupt",
		summary: "End the running turn, keep the session",
		security,
		request: { params: inSession },
		responses: { 202: json(z.object({ turnId: TurnId.nullable() }), "The turn that is being ended; null if none runs"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:write");
		return c.json({ turnId: await (await session(c, who, c.req.valid("param").sessionId)).interrupt(who.actor) }, 202);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/sessions/{sessionId}/release",
		summary:
			"Give up the runner that holds the session, or that it waits for, so that another may have it; a turn that it had ends as `runner_lost`",
		security,
		request: { params: inSession, ...body(ReleaseSession) },
		responses: { 204: { description: "Given up" }, ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:write");
		const refused = await (await session(c, who, c.req.valid("param").sessionId)).giveUp(who.actor, c.req.valid("json").again);
		if (refused) throw new Refusal(refused);
		return c.body(null, 204);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/approvals",
		summary: "Tool calls of the team's sessions that wait for a person",
		security,
		responses: { 200: json(ApprovalList, "All that wait, the first to expire first"), ...errors },
	}),
	async (c) => c.json({ data: await team(c, allow(c, "sessions:read")).listApprovals() }, 200),
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/sessions/{sessionId}/approvals/{approvalId}",
		summary: "Decide a tool call or answer a question; the first decision counts",
		security,
		request: { params: z.object({ sessionId: z.string(), approvalId: z.string() }), ...body(Decide) },
		responses: { 200: json(Decision, "Decided so"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:write");
		const { sessionId, approvalId } = c.req.valid("param");
		const object = await session(c, who, sessionId);
		const decision = check(Decision, { ...c.req.valid("json"), approvalId });
		if (!decision.ok) return refuse("not_found", "no such approval waits in this session");
		const refused = await object.decide(decision.value, who.actor, who.scopes.includes("policy:write"));
		if (refused) throw new Refusal(refused);
		return c.json(decision.value, 200);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/sessions/{sessionId}/events",
		summary:
			"The log after an offset: a JSON page of what is stored, or with `Accept: text/event-stream` the live stream (`Last-Event-ID` = an event's `id`, or an offset)",
		security,
		request: { params: inSession, query: EventsQuery },
		responses: {
			200: { content: { "application/json": { schema: EventPage }, "text/event-stream": { schema: z.string() } }, description: "Events" },
			...errors,
		},
	}),
	async (c) => {
		const who = allow(c, "sessions:read");
		const { after, epoch, limit } = c.req.valid("query");
		const object = await session(c, who, c.req.valid("param").sessionId);
		const from = unwrap(placeOf(c.req.raw, after));
		if (!(c.req.header("accept") ?? "").includes("text/event-stream"))
			return c.body(await object.events(from?.after ?? null, epoch ?? null, limit, from?.seenIn ?? null), 200, {
				"content-type": "application/json",
			});
		const upgraded = await object.fetch("https://session/", { headers: { upgrade: "websocket", [PRINCIPAL_HEADER]: JSON.stringify(who) } });
		const socket = upgraded.webSocket;
		if (!socket) return refuse("rate_limited", "too many watchers on this session");
		await team(c, who).admitSocket(sessionIdOf(c.req.valid("param").sessionId), who.keyId);
		socket.accept();
		return serverSentEvents(socket, from, epoch ?? null);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/sessions/{sessionId}/stats",
		summary: "Turns, events, bytes, tokens, cost and times of a session",
		security,
		request: { params: inSession },
		responses: { 200: json(Stats, "The figures"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:read");
		return c.json(await (await session(c, who, c.req.valid("param").sessionId)).stats(), 200);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/queue",
		summary: "What waits for a runner, in the order of service, and why",
		security,
		responses: { 200: json(QueueList, "All that waits"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:read");
		return c.json({ data: await team(c, who).listQueue() }, 200);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/runners",
		summary: "The team's runners",
		security,
		responses: { 200: json(RunnerList, "All of them"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "runners:read");
		return c.json({ data: await team(c, who).listRunners() }, 200);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/runners",
		summary: "Enrol a runner: register its public key with a one-use runner token as the bearer",
		security: [{ bearer: [] }],
		request: body(EnrolRunner),
		responses: { 201: json(Enrolled, "Enrolled"), ...errors },
	}),
	async (c) => {
		const { token } = c.var;
		const { publicKey, name } = c.req.valid("json");
		return c.json(unwrap(await team(c, token).enrol(token.hash, publicKey, name)), 201);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/runners/{runnerId}/drain",
		summary: "Give a runner no new sessions; it hands back what it hosts as turns end",
		security,
		request: { params: z.object({ runnerId: z.string() }) },
		responses: { 202: json(z.object({ runnerId: RunnerId }), "It drains"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "runners:write");
		const id = RunnerId.safeParse(c.req.valid("param").runnerId);
		if (!id.success || !(await team(c, who).drainRunner(id.data))) return refuse("not_found", "no such runner in this team");
		return c.json({ runnerId: id.data }, 202);
	},
);

app.openapi(
	createRoute({
		method: "delete",
		path: "/v1/runners/{runnerId}",
		summary: "Revoke a runner: its links close now, its key never works again",
		security,
		request: { params: z.object({ runnerId: z.string() }) },
		responses: { 204: { description: "Revoked" }, ...errors },
	}),
	async (c) => {
		const who = allow(c, "runners:write");
		const id = RunnerId.safeParse(c.req.valid("param").runnerId);
		if (!id.success || !(await team(c, who).revokeRunner(id.data))) return refuse("not_found", "no such runner in this team");
		return c.body(null, 204);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/runner-tokens",
		summary: "Make a token that enrols one runner",
		security,
		request: body(CreateRunnerToken),
		responses: { 201: json(RunnerToken, "Shown once"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "runners:write");
		const { labels, expiresInMs } = c.req.valid("json");
		return c.json(await team(c, who).createRunnerToken(labels, expiresInMs), 201);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/tickets",
		summary: "Make a ticket for one WebSocket to one session: used once, within 30 s, from the same Origin",
		security,
		request: body(CreateTicket),
		responses: { 201: json(Ticket, "Goes into Sec-WebSocket-Protocol as `ticket.…`"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "sessions:read");
		return c.json(unwrap(await team(c, who).createTicket(c.req.valid("json").sessionId, who, c.req.header("origin") ?? null)), 201);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/keys",
		summary: "The team's API keys, without their secrets",
		security,
		responses: { 200: json(KeyList, "All of them"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "keys:write");
		return c.json({ data: await team(c, who).listKeys() }, 200);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/keys",
		summary: "Make an API key; the secret is shown once",
		security,
		request: body(CreateKey),
		responses: { 201: json(CreatedKey, "Made"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "keys:write");
		return c.json(unwrap(await team(c, who).createKey(c.req.valid("json"), who)), 201);
	},
);

app.openapi(
	createRoute({
		method: "delete",
		path: "/v1/keys/{keyId}",
		summary: "Revoke an API key; what was opened with it is closed",
		security,
		request: { params: z.object({ keyId: z.string() }) },
		responses: { 204: { description: "Revoked" }, ...errors },
	}),
	async (c) => {
		const who = allow(c, "keys:write");
		const id = KeyId.safeParse(c.req.valid("param").keyId);
		if (!id.success || !(await team(c, who).revokeKey(id.data))) return refuse("not_found", "no such key in this team");
		return c.body(null, 204);
	},
);

// ---------------------------------------------------------------- upgrades

const isUpgrade = (c: Ctx): boolean => c.req.header("upgrade")?.toLowerCase() === "websocket";
/** The upgrade as the objects get it: what a caller sent stays outside, but for the subprotocol to answer. */
const handOver = (c: Ctx, headers: Record<string, string>): Request => {
	const subprotocol = chosenSubprotocol(c.req.raw);
	return new Request("https://object/", {
		headers: { upgrade: "websocket", ...(subprotocol === null ? {} : { "sec-websocket-protocol": subprotocol }), ...headers },
	});
};

app.get("/v1/sessions/:sessionId/socket", async (c) => {
	const sessionId = sessionIdOf(c.req.param("sessionId"));
	const who = allow(c, "sessions:read");
	if (!isUpgrade(c)) return refuse("bad_request", "this address takes a WebSocket upgrade");
	if (!(await team(c, who).admitSocket(sessionId, who.keyId))) throw new Refusal(noSuchSession());
	const object = c.env.SESSION.getByName(`${who.team}/${sessionId}`);
	const response = await object.fetch(handOver(c, { [PRINCIPAL_HEADER]: JSON.stringify(who) }));
	return response.status === 429 ? refuse("rate_limited", "too many watchers on this session") : response;
});

app.get("/v1/link/:team/:runnerId/:sessionId?", async (c) => {
	if (!isUpgrade(c)) return refuse("bad_request", "this address takes a runner's WebSocket upgrade");
	const teamId = knownTeam(c.req.param("team"), c.var.config);
	const runnerId = RunnerId.safeParse(c.req.param("runnerId"));
	if (teamId === null || !runnerId.success) return refuse("unauthorized", "no such runner");
	const stub = c.env.TEAM.getByName(teamId);
	const upgrade = handOver(c, { [RUNNER_HEADER]: runnerId.data, [HOSTS_HEADER]: ownHosts(c.req.raw, c.var.config).join(",") });
	const session = c.req.param("sessionId");
	if (session === undefined) return stub.fetch(upgrade);
	const sessionId = SessionId.safeParse(session);
	// Asked before the session's object is touched, so that a stranger cannot make objects by dialling ids.
	if (!sessionId.success || !(await stub.mayLink(runnerId.data, sessionId.data)))
		return refuse("lease_lost", "this runner does not hold the session's lease");
	return c.env.SESSION.getByName(`${teamId}/${sessionId.data}`).fetch(upgrade);
});

// ---------------------------------------------------------------- open to all

app.get("/healthz", (c) => c.json({ ok: true }));

app.openAPIRegistry.registerComponent("securitySchemes", "bearer", { type: "http", scheme: "bearer", description: "An API key: hpk_…" });
app.openAPIRegistry.registerComponent("securitySchemes", "access", {
	type: "apiKey",
	in: "header",
	name: "Cf-Access-Jwt-Assertion",
	description: "Set by Cloudflare Access in front of the gateway",
});
app.doc31("/openapi.json", {
	openapi: "3.1.0",
	info: {
		title: "HotPlex Edge",
		version: "1",
		description: "Any AI coding CLI, on any Linux machine of a team, behind one secure address.",
	},
});

export default app;
