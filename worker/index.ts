import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { cors } from "hono/cors";
import { HTTPException } from "hono/http-exception";
import {
	AcceptedTurn,
	ApprovalList,
	AuditPage,
	AuditQuery,
	ChangedPolicy,
	CreateBypass,
	CreatedBypass,
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
	PolicyVersion,
	PolicyVersionPage,
	Problem as ProblemBody,
	PutPolicy,
	QueueList,
	ReleaseSession,
	RunnerList,
	RunnerToken,
	type Scope,
	Session,
	SessionPage,
	Stats,
	TestedPolicy,
	TestPolicy,
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
import { checkPolicy } from "../shared/waf/policy.ts";
import { auditExport } from "./audit.ts";
import {
	authenticate,
	checkOrigin,
	checkSubprotocols,
	chosenSubprotocol,
	credentialInUrl,
	enrolmentToken,
	exposedIn,
	knownTeam,
	ownHosts,
	type Principal,
	shownBy,
} from "./auth.ts";
import { type Config, type Env, readConfig } from "./config.ts";
import { CONSOLE } from "./console/pages.ts";
import { testPolicy } from "./policies.ts";
import {
	addressOf,
	type Counted,
	checkBinding,
	checkFailures,
	checkLinks,
	checkMisses,
	checkUse,
	failed,
	limits,
	type Use,
} from "./rate-limit.ts";
import { digest } from "./secrets.ts";
import { HOSTS_HEADER, PRINCIPAL_HEADER, RUNNER_HEADER } from "./session-object.ts";
import { placeOf, serverSentEvents } from "./sse.ts";
import { noSuchSession } from "./team-object.ts";

export { SessionObject } from "./session-object.ts";
export { TeamObject } from "./team-object.ts";

type App = { Bindings: Env; Variables: { config: Config; address: string; principal: Principal; token: { team: TeamId; hash: string } } };
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
	const headers: Record<string, string> = { "content-type": "application/problem+json", "x-content-type-options": "nosniff" };
	if (p.code === "unauthorized") headers["www-authenticate"] = 'Bearer realm="hotplex"';
	if (p.status === 429 || p.status === 503) headers["retry-after"] = String(Math.max(1, Math.ceil((p.retryAfterMs ?? 1000) / 1000)));
	return new Response(JSON.stringify(p), { status: p.status, headers });
}

const app = new OpenAPIHono<App>({
	defaultHook: (result) => (result.success ? undefined : answer(problem("bad_request", describe(result.error)))),
});

app.onError((error, c) => {
	if (error instanceof Refusal) {
		// Ids are too long to be guessed, and nobody is to try.
		if (error.problem.code === "not_found" && c.var.principal) checkUse(c.var.principal, "failures", c.var.config, Date.now());
		return answer(error.problem);
	}
	if (error instanceof HTTPException) return answer(problem("bad_request", error.message || "the request is not understood"));
	console.error(`${c.req.method} ${c.req.path} failed`, error);
	return answer(problem("internal", "the gateway failed; its log knows more"));
});
app.notFound((c) => answer(problem("not_found", `${c.req.method} ${c.req.path.slice(0, 200)} is no address here; see /openapi.json`)));

app.use("*", async (c, next) => {
	const config = readConfig(c.env);
	if (!config.ok) return answer(problem("not_configured", config.error));
	c.set("config", config.value);
	c.set("address", addressOf(c.req.raw, config.value));
	const exposed = exposedIn(c.req.raw, config.value);
	if (exposed !== null) {
		const { team: whose, ...detail } = exposed;
		const { address } = c.var;
		// Each key is told by itself, as long as the address has not shown too many wrong things: anybody can make up keys.
		const isTold = whose !== null && failed(address, config.value, Date.now());
		if (isTold)
			noteCrowd(c, {
				team: whose,
				actor: "unknown",
				action: "credential.in_url",
				subject: exposed.keyId ?? address,
				detail: { ...detail, address },
			});
		return answer(credentialInUrl());
	}
	const refused = checkOrigin(c.req.raw, config.value) ?? checkSubprotocols(c.req.raw);
	if (refused) return answer(refused);
	await next();
	// What a CLI said is nowhere to be taken for a page.
	if (c.res.status !== 101) c.header("x-content-type-options", "nosniff");
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
	const { config, address } = c.var;
	// A runner proves itself on its link.
	if (c.req.path.startsWith("/v1/link/")) {
		const refused = checkLinks(address, config, Date.now());
		return refused ? answer(refused) : next();
	}
	const shown = shownBy(c.req.raw, config);
	const blocked = await checkFailures(address, shown.credential, config, Date.now());
	if (blocked) {
		if (shown.team !== null) limited(c, { team: shown.team, actor: "unknown", subject: address }, "failures");
		return answer(blocked);
	}
	const socketOf = SessionId.safeParse(/^\/v1\/sessions\/([^/]+)\/socket$/.exec(c.req.path)?.[1]);
	if (c.req.method === "POST" && c.req.path === "/v1/runners") c.set("token", known(c, shown, await enrolmentToken(c.req.raw, config)));
	else {
		const who = known(c, shown, await authenticate(c.req.raw, c.env, config, socketOf.success ? socketOf.data : null));
		c.set("principal", who);
		noteLogin(c, who, shown, await digest(shown.credential ?? ""));
		const now = Date.now();
		const refused = checkMisses(who, config, now) ?? checkUse(who, "requests", config, now) ?? (await checkBinding(who, c.env));
		if (refused) {
			limited(c, { team: who.team, actor: who.actor, subject: address }, "requests");
			return answer(refused);
		}
	}
	// Frames have their own limits; a body is read once here, and later from what was read.
	const text = await bodyOf(c.req.raw);
	if (text === null) return answer(problem("too_large", `a body may have ${MAX_BODY_BYTES} bytes`));
	if (text !== "") {
		const json = parse(text, MAX_BODY_BYTES);
		if (!json.ok) return answer(json.error);
	}
	// Where Hono keeps a body that was read.
	Object.assign(c.req.bodyCache, { text: Promise.resolve(text) });
	await next();
	return;
});

/** A body's text; null if it is too large, of which no more than that is read. */
async function bodyOf(request: Request): Promise<string | null> {
	if (Number(request.headers.get("content-length") ?? 0) > MAX_BODY_BYTES) return null;
	if (request.body === null) return "";
	const decoder = new TextDecoder();
	let text = "";
	let bytes = 0;
	for await (const chunk of request.body) {
		bytes += chunk.byteLength;
		if (bytes > MAX_BODY_BYTES) return null;
		text += decoder.decode(chunk, { stream: true });
	}
	return text + decoder.decode();
}

/** What a credential proved; a wrong one counts against its address. */
function known<T>(c: Ctx, { kind, team: of }: ReturnType<typeof shownBy>, result: Result<T, Problem>): T {
	if (!result.ok && result.error.code === "unauthorized") {
		const { address, config } = c.var;
		failed(address, config, Date.now());
		if (of !== null) noteCrowd(c, { team: of, actor: "unknown", action: "login.failed", subject: address, detail: { credential: kind } });
	}
	return unwrap(result);
}

/** Records a principal's first call of an hour from an address. */
function noteLogin(c: Ctx, who: Principal, { kind, credential }: ReturnType<typeof shownBy>, hash: string): void {
	const { address } = c.var;
	const at = Date.now();
	if (credential !== null) limits.isFirst(hash, at);
	if (!limits.isFirst(`${who.team} ${who.actor} ${address}`, at)) return;
	const detail = { credential: kind, userAgent: (c.req.header("user-agent") ?? "").slice(0, 200) };
	later(c, team(c, who).noteAccess({ at, actor: who.actor, action: "login", subject: address, detail }, null));
}

/** Records what comes in crowds, with its count. */
function noteCrowd(c: Ctx, what: Omit<Counted, "count">): void {
	const at = Date.now();
	for (const { team: of, count, ...entry } of limits.count(what, at))
		later(c, c.env.TEAM.getByName(of).noteAccess({ at, ...entry }, count));
}
const limited = (c: Ctx, who: Pick<Counted, "team" | "actor" | "subject">, limit: Use): void =>
	noteCrowd(c, { ...who, action: "rate_limit.hit", detail: { limit } });

/** Nobody waits for it, and a failure is nobody's. */
function later(c: Ctx, call: Promise<unknown>): void {
	c.executionCtx.waitUntil(call.catch((cause: unknown) => console.error("the audit log was not reached", cause)));
}

/** Takes one of what the caller may do a minute. */
function use(c: Ctx, who: Principal, what: "inputs" | "sockets"): void {
	const refused = checkUse(who, what, c.var.config, Date.now());
	if (!refused) return;
	limited(c, { team: who.team, actor: who.actor, subject: c.var.address }, what);
	throw new Refusal(refused);
}

/** The caller, if it may do this. */
function allow(c: Ctx, scope: Scope): Principal {
	const who = c.var.principal;
	return who.scopes.includes(scope) ? who : refuse("forbidden", `this credential lacks the scope ${scope}`);
}

/** How long a call that terminates a session waits for its processes: a CLI is asked for two seconds, and then killed. */
const PROCESSES_END_MS = 4_000;

const team = (c: Ctx, who: { team: string }) => c.env.TEAM.getByName(who.team);

/**
 * The session's object, if the session is one of the caller's team and the policy lets the caller do this with it; another team's answers as
 * one that does not exist.
 */
async function session(c: Ctx, who: Principal, id: string, use: "read" | "write" = "read") {
	const sessionId = sessionIdOf(id);
	const refused = await team(c, who).admit(sessionId, who, use);
	if (refused) throw new Refusal(refused);
	return c.env.SESSION.getByName(`${who.team}/${sessionId}`);
}

/** Opens a socket to a session with what the caller may do there. The key may end while that happens, so it is asked about again afterwards. */
async function openSocket(c: Ctx, who: Principal, id: string): Promise<Response> {
	const sessionId = sessionIdOf(id);
	use(c, who, "sockets");
	const stub = team(c, who);
	const scopes = unwrap<Scope[]>(await stub.admitSocket(sessionId, who));
	const object = c.env.SESSION.getByName(`${who.team}/${sessionId}`);
	const response = await object.fetch(handOver(c, { [PRINCIPAL_HEADER]: JSON.stringify({ ...who, scopes }) }));
	if (response.status === 429) return refuse("rate_limited", "too many watchers on this session");
	if (!(await stub.socketOpened(sessionId, who, c.var.address))) {
		if (who.keyId !== null) await object.revokeKey(who.keyId);
		return refuse("unauthorized", "this API key was revoked");
	}
	return response;
}

function sessionIdOf(id: string): SessionId {
	const parsed = SessionId.safeParse(id);
	if (!parsed.success) throw new Refusal(noSuchSession());
	return parsed.data;
}

const unwrapPolicy = (version: PolicyVersion | null): PolicyVersion =>
	version ?? refuse("not_found", "there is no such version of the policy");

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
		summary: "Terminate a session: its turns end at once, and then its processes; its log stays",
		security,
		request: { params: inSession },
		responses: {
			202: { description: "It has ended; its runner is away, or has not said yet that its processes are gone" },
			204: { description: "It has ended, and no process of it is left" },
			...errors,
		},
	}),
	async (c) => {
		const who = allow(c, "sessions:write");
		const object = await session(c, who, c.req.valid("param").sessionId, "write");
		await object.terminate(who.actor);
		return c.body(null, (await object.isGone(PROCESSES_END_MS)) ? 204 : 202);
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
		use(c, who, "inputs");
		const { text, clientId } = c.req.valid("json");
		const header = c.req.valid("header")["idempotency-key"];
		if (header !== undefined && clientId !== undefined && header !== clientId)
			return refuse("bad_request", "Idempotency-Key and clientId are the same thing; they differ here");
		const object = await session(c, who, c.req.valid("param").sessionId, "write");
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
		return c.json({ turnId: await (await session(c, who, c.req.valid("param").sessionId, "write")).interrupt(who.actor) }, 202);
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
		const refused = await (await session(c, who, c.req.valid("param").sessionId, "write")).giveUp(who.actor, c.req.valid("json").again);
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
	async (c) => {
		const who = allow(c, "sessions:read");
		const data = await team(c, who).listApprovals();
		return c.json({ data, now: Date.now(), principal: { actor: who.actor, scopes: who.scopes } }, 200);
	},
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
		const object = await session(c, who, sessionId, "write");
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
		const socket = (await openSocket(c, who, c.req.valid("param").sessionId)).webSocket;
		if (!socket) return refuse("internal", "the session gave no socket");
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
		if (!id.success || !(await team(c, who).drainRunner(id.data, who.actor))) return refuse("not_found", "no such runner in this team");
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
		if (!id.success || !(await team(c, who).revokeRunner(id.data, who.actor))) return refuse("not_found", "no such runner in this team");
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
		return c.json(await team(c, who).createRunnerToken(labels, expiresInMs, who.actor), 201);
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
		if (!id.success || !(await team(c, who).revokeKey(id.data, who.actor))) return refuse("not_found", "no such key in this team");
		return c.body(null, 204);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/policy",
		summary: "The team's policy as it holds now; version 0 is the built-in one",
		security,
		responses: { 200: json(PolicyVersion, "The policy"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "policy:read");
		return c.json(unwrapPolicy(await team(c, who).getPolicy(null)), 200);
	},
);

app.openapi(
	createRoute({
		method: "put",
		path: "/v1/policy",
		summary: "Make the next version of the policy, from the one that `baseVersion` names; sessions go by it at once",
		security,
		request: body(PutPolicy),
		responses: { 200: json(ChangedPolicy, "The new version"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "policy:write");
		const { policy, baseVersion } = c.req.valid("json");
		return c.json(unwrap<z.output<typeof ChangedPolicy>>(await team(c, who).putPolicy(policy, baseVersion, who.actor)), 200);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/policy/versions",
		summary: "All versions of the policy, newest first, with their authors",
		security,
		request: { query: PageQuery },
		responses: { 200: json(PolicyVersionPage, "A page"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "policy:read");
		const { limit, cursor } = c.req.valid("query");
		const before =
			cursor === undefined ? null : /^\d{1,15}$/.test(cursor) ? Number(cursor) : refuse("bad_request", "cursor: not one of ours");
		const versions = await team(c, who).listPolicies(limit + 1, before);
		const last = versions.length > limit ? versions[limit - 1] : undefined;
		return c.json({ data: versions.slice(0, limit), nextCursor: last ? String(last.version) : null }, 200);
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/policy/versions/{version}",
		summary: "One version of the policy; versions never change",
		security,
		request: { params: z.object({ version: z.string() }) },
		responses: { 200: json(PolicyVersion, "The policy as it was"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "policy:read");
		const { version } = c.req.valid("param");
		return c.json(unwrapPolicy(/^\d{1,15}$/.test(version) ? await team(c, who).getPolicy(Number(version)) : null), 200);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/policy/test",
		summary: "What the policy, or the one in the request, makes of commands and prompts; nothing is done",
		security,
		request: body(TestPolicy),
		responses: { 200: json(TestedPolicy, "A verdict a row"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "policy:read");
		const { rows, policy } = c.req.valid("json");
		const now = Date.now();
		if (policy !== undefined)
			return c.json({ version: null, data: testPolicy({ version: 0, policy: unwrap(checkPolicy(policy, now)) }, rows, now) }, 200);
		const current = unwrapPolicy(await team(c, who).getPolicy(null));
		return c.json({ version: current.version, data: testPolicy(current, rows, now) }, 200);
	},
);

app.openapi(
	createRoute({
		method: "post",
		path: "/v1/policy/bypass",
		summary: "Let through for a time what built-in rules would stop, for all or for one session or principal; every use is audited",
		security,
		request: body(CreateBypass),
		responses: { 201: json(CreatedBypass, "It holds"), ...errors },
	}),
	async (c) => {
		const who = allow(c, "policy:write");
		return c.json(unwrap<z.output<typeof CreatedBypass>>(await team(c, who).createBypass(c.req.valid("json"), who.actor)), 201);
	},
);

app.openapi(
	createRoute({
		method: "delete",
		path: "/v1/policy/bypass/{bypassId}",
		summary: "End a bypass before its time",
		security,
		request: { params: z.object({ bypassId: z.string() }) },
		responses: { 204: { description: "It has ended" }, ...errors },
	}),
	async (c) => {
		const who = allow(c, "policy:write");
		const known = unwrap<boolean>(await team(c, who).endBypass(c.req.valid("param").bypassId, who.actor));
		return known ? c.body(null, 204) : refuse("not_found", "no such bypass holds");
	},
);

app.openapi(
	createRoute({
		method: "get",
		path: "/v1/audit",
		summary:
			"The audit log after a record: a JSON page, or with `Accept: application/jsonl` (or `format=jsonl`) all of it up to now, a line each",
		security,
		request: { query: AuditQuery },
		responses: {
			200: { content: { "application/json": { schema: AuditPage }, "application/jsonl": { schema: z.string() } }, description: "Records" },
			...errors,
		},
	}),
	async (c) => {
		const who = allow(c, "audit:read");
		const { after, limit, format } = c.req.valid("query");
		const stub = team(c, who);
		if (format === "jsonl" || (format === undefined && (c.req.header("accept") ?? "").includes("application/jsonl")))
			// Hono's types take "jsonl" for JSON.
			return c.body(await auditExport(stub, after), 200, { "content-type": "application/jsonl", "cache-control": "no-store" }) as never;
		const { records, head } = await stub.readAudit(after, limit);
		const last = records.at(-1)?.n ?? after;
		return c.json({ data: records, head, nextCursor: last < head.n ? String(last) : null }, 200);
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
	return openSocket(c, who, sessionId);
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

// The page holds no data: it asks for it as any program does, and is answered as one.
for (const [path, serve] of Object.entries(CONSOLE)) app.get(path, serve);

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
