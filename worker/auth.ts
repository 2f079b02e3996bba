import { createRemoteJWKSet, errors, jwtVerify } from "jose";
import { ALL_SCOPES, type Scope } from "../shared/api.ts";
import { type Problem, problem } from "../shared/errors.ts";
import { SUBPROTOCOL } from "../shared/frames.ts";
import { KeyId, type SessionId, TeamId } from "../shared/ids.ts";
import { err, ok, type Result } from "../shared/result.ts";
import type { Config, Env } from "./config.ts";
import { digest, sameDigest } from "./secrets.ts";

/** Who calls, after authentication. Everything that follows is done in this team and no other. */
export interface Principal {
	team: TeamId;
	/** As the log names them. */
	actor: string;
	scopes: Scope[];
	/** The API key, if it is one: its revocation closes what was opened with it. */
	keyId: KeyId | null;
	/** When the credential ends, ms since the epoch. */
	expiresAt: number | null;
}

const KEY = /^(hpk_([a-z0-9-]{1,32})_([0-9a-z]{26}))_[A-Za-z0-9_-]{43}$/;
const TICKET = /^tkt_([a-z0-9-]{1,32})_[A-Za-z0-9_-]{43}$/;
const TOKEN = /^hpt_([a-z0-9-]{1,32})_[A-Za-z0-9_-]{43}$/;
/** What people put into addresses by habit. Such a credential is in some proxy's log by now. */
const IN_ADDRESS = /^(api[-_]?key|key|token|access[-_]?token|ticket|auth|authorization|password|secret)$/i;

const unauthorized = (detail: string) => err(problem("unauthorized", detail));

/** A credential that stands in an address: where, and of our own ones whose, but never itself. */
export interface Exposed {
	parameter: string;
	team: TeamId | null;
	/** An API key's clear part. */
	keyId: KeyId | null;
}

/** What an address carries that no address should, whatever else the call is. */
export function exposedIn(request: Request, config: Config): Exposed | null {
	for (const [name, value] of new URL(request.url).searchParams)
		if (IN_ADDRESS.test(name) || KEY.test(value)) {
			const [, , team, body] = KEY.exec(value) ?? [];
			const keyId = KeyId.safeParse(`key_${body}`);
			const named = team ?? TICKET.exec(value)?.[1] ?? TOKEN.exec(value)?.[1];
			return { parameter: name.slice(0, 64), team: knownTeam(named, config), keyId: keyId.success ? keyId.data : null };
		}
	return null;
}

export const credentialInUrl = (): Problem =>
	problem("credentials_in_url", "credentials in addresses end up in logs: send `Authorization: Bearer`, and replace the one you sent");

/** What a caller shows, and the team that it names, before anything of it is believed. */
export function shownBy(request: Request, config: Config): { kind: string; credential: string | null; team: TeamId | null } {
	const bearer = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
	if (bearer !== undefined) {
		const team = KEY.exec(bearer)?.[2] ?? TOKEN.exec(bearer)?.[1];
		return { kind: TOKEN.test(bearer) ? "runner token" : "API key", credential: bearer, team: knownTeam(team, config) };
	}
	const assertion = request.headers.get("cf-access-jwt-assertion");
	if (assertion !== null) return { kind: "Access", credential: assertion, team: config.access?.team ?? null };
	const ticket = ticketOf(request);
	// A ticket counts once: there is nothing to know it again by.
	if (ticket !== null) return { kind: "ticket", credential: null, team: knownTeam(TICKET.exec(ticket)?.[1], config) };
	return { kind: "none", credential: null, team: null };
}

/** The principal of a REST call or an upgrade; `session` narrows a ticket to the session it was made for. */
export async function authenticate(
	request: Request,
	env: Env,
	config: Config,
	session: SessionId | null,
): Promise<Result<Principal, Problem>> {
	const bearer = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
	if (bearer !== undefined) return authenticateKey(bearer, env, config);
	const assertion = request.headers.get("cf-access-jwt-assertion");
	if (assertion !== null) return authenticateAccess(assertion, config);
	const ticket = ticketOf(request);
	if (ticket !== null && session !== null) return authenticateTicket(ticket, request, env, config, session);
	return unauthorized("send `Authorization: Bearer` with an API key, or come through Cloudflare Access");
}

async function authenticateKey(key: string, env: Env, config: Config): Promise<Result<Principal, Problem>> {
	const [, clear, teamName, body] = KEY.exec(key) ?? [];
	const team = knownTeam(teamName, config);
	const keyId = KeyId.safeParse(`key_${body}`);
	// One text for every way to be wrong: a caller learns nothing of which keys exist.
	const wrong = unauthorized("this API key is not valid: it is unknown, expired or revoked");
	if (clear === undefined || team === null || !keyId.success) return wrong;
	const hash = await digest(key);
	const configured = config.keys.get(clear);
	if (configured !== undefined)
		return sameDigest(configured, hash)
			? ok({ team: team, actor: `key:${keyId.data}`, scopes: ALL_SCOPES, keyId: null, expiresAt: null })
			: wrong;
	return (await env.TEAM.getByName(team).authenticateKey(keyId.data, hash)) ?? wrong;
}

const keySets = new Map<string, ReturnType<typeof createRemoteJWKSet>>();

async function authenticateAccess(assertion: string, config: Config): Promise<Result<Principal, Problem>> {
	const { access } = config;
	if (access === null) return unauthorized("this gateway is not configured for Cloudflare Access");
	let keySet = keySets.get(access.issuer);
	if (keySet === undefined) {
		// Keys rotate every six weeks; an unknown kid asks again, at most once a minute.
		keySet = createRemoteJWKSet(new URL(`${access.issuer}/cdn-cgi/access/certs`), {
			cacheMaxAge: 3_600_000,
			cooldownDuration: 60_000,
			timeoutDuration: 5_000,
		});
		keySets.set(access.issuer, keySet);
	}
	try {
		const { payload } = await jwtVerify(assertion, keySet, {
			issuer: access.issuer,
			audience: access.audience,
			algorithms: ["RS256"],
			clockTolerance: 60,
			requiredClaims: ["exp", "iat"],
		});
		const name = typeof payload.email === "string" ? payload.email : typeof payload.common_name === "string" ? payload.common_name : null;
		if (name === null || name === "") return unauthorized("the Access token names neither a person nor a service");
		const scopes: Scope[] = access.admins.has(name) ? ALL_SCOPES : ["sessions:read", "sessions:write", "runners:read"];
		return ok({ team: access.team, actor: `access:${name}`.slice(0, 256), scopes, keyId: null, expiresAt: (payload.exp ?? 0) * 1000 });
	} catch (cause) {
		// A key server that cannot be reached is no reason to let anybody in.
		if (cause instanceof errors.JOSEError) return unauthorized(`the Access token is not valid: ${cause.code}`);
		return unauthorized("the Access token cannot be checked: the key server did not answer");
	}
}

/** The team of this name, if it exists. Without this, anybody's invented team would get an object. */
export function knownTeam(name: string | undefined, config: Config): TeamId | null {
	const team = TeamId.safeParse(name);
	return team.success && config.teams.has(team.data) ? team.data : null;
}

function ticketOf(request: Request): string | null {
	for (const offered of subprotocols(request)) if (offered.startsWith("ticket.")) return offered.slice("ticket.".length);
	return null;
}

async function authenticateTicket(
	ticket: string,
	request: Request,
	env: Env,
	config: Config,
	session: SessionId,
): Promise<Result<Principal, Problem>> {
	const team = knownTeam(TICKET.exec(ticket)?.[1], config);
	const wrong = unauthorized("this ticket is not valid: it was used, is over 30 s old, or was made for another session or origin");
	if (team === null) return wrong;
	return (await env.TEAM.getByName(team).redeemTicket(await digest(ticket), session, request.headers.get("origin"))) ?? wrong;
}

/** The team and digest of a runner's enrolment token. */
export async function enrolmentToken(request: Request, config: Config): Promise<Result<{ team: TeamId; hash: string }, Problem>> {
	const token = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
	const team = knownTeam(TOKEN.exec(token)?.[1], config);
	if (team === null) return unauthorized("send `Authorization: Bearer` with a runner token; `POST /v1/runner-tokens` makes one");
	return ok({ team: team, hash: await digest(token) });
}

/** A browser may act only from an origin that is ours or listed, exactly. Without an Origin it is no browser. */
export function checkOrigin(request: Request, config: Config): Problem | null {
	const origin = request.headers.get("origin");
	if (origin === null) return null;
	const own = (config.publicUrl ?? new URL(request.url)).origin;
	return origin === own || config.allowedOrigins.has(origin)
		? null
		: problem("forbidden", `the origin ${origin.slice(0, 100)} is not allowed here; list it in ALLOWED_ORIGINS`);
}

/**
 * The hosts that a runner's proof may name. The Host of the request alone is not enough where a proxy changes it or whoever
 * relays chooses it; a name of this machine itself is always good, since nobody can relay from there.
 */
export function ownHosts(request: Request, config: Config): string[] {
	const dialled = new URL(request.url);
	if (config.publicUrl === null) return [dialled.host];
	return isLoopback(dialled) ? [config.publicUrl.host, dialled.host] : [config.publicUrl.host];
}

const isLoopback = (url: URL): boolean => /^(127\.0\.0\.1|localhost|\[::1\])$/.test(url.hostname);

/** Refuses an upgrade that offers more than a handful of subprotocols, or long ones: no browser or program of ours does. */
export function checkSubprotocols(request: Request): Problem | null {
	const offered = request.headers.get("sec-websocket-protocol") ?? "";
	return offered.length > 2048 || offered.split(",").length > 8
		? problem("bad_request", "offer `hotplex.v1` and at most one ticket as subprotocols")
		: null;
}

const subprotocols = (request: Request): string[] =>
	(request.headers.get("sec-websocket-protocol") ?? "").split(",").map((offered) => offered.trim());

/** What to answer as the chosen subprotocol. */
export const chosenSubprotocol = (request: Request): string | null => (subprotocols(request).includes(SUBPROTOCOL) ? SUBPROTOCOL : null);
