import { z } from "zod";
import { describe } from "../shared/codec.ts";
import { TeamId } from "../shared/ids.ts";
import { MAX_RECONNECT_WINDOW_MS, RECONNECT_WINDOW_MS } from "../shared/limits.ts";
import { err, ok, type Result } from "../shared/result.ts";
import { Duration, LongDuration, Size } from "../shared/units.ts";
import type { Retention } from "./event-log.ts";
import type { Capacities } from "./placement.ts";
import type { Rates } from "./rate-limit.ts";
import type { SessionObject } from "./session-object.ts";
import type { TeamObject } from "./team-object.ts";

/** What the platform binds; wrangler.toml and the self-hosting launcher name the same. */
export interface Env {
	SESSION: DurableObjectNamespace<SessionObject>;
	TEAM: DurableObjectNamespace<TeamObject>;
	/** Keys that exist by configuration: `hpk_TEAM_ID:SHA-256 of the whole key in hex`, comma-separated. They have all scopes. */
	HOTPLEX_KEYS?: string;
	/** Teams besides those of the configured keys and of Access, comma-separated: a team whose configured key was taken out goes on here. */
	HOTPLEX_TEAMS?: string;
	/** `NAME.cloudflareaccess.com`; only on loopback a whole `http://` address. */
	CF_ACCESS_TEAM_DOMAIN?: string;
	/** The Access application's audience tag. */
	CF_ACCESS_AUD?: string;
	/** The team that people of that Access application belong to; `default` if absent. */
	ACCESS_TEAM?: string;
	/** E-mail addresses and service token names, comma-separated, that have all scopes. Others may use sessions and see runners. */
	ACCESS_ADMINS?: string;
	/** Exact origins of browsers, comma-separated, besides the gateway's own. */
	ALLOWED_ORIGINS?: string;
	/** The gateway's address as callers see it, if a proxy changes the host. */
	PUBLIC_URL?: string;
	/** How large a session's log may become, "64MiB". */
	LOG_MAX_BYTES?: string;
	/** How old its events may become, "30d". Absent: as old as they like. */
	LOG_MAX_AGE?: string;
	/** How long a session is held for a runner that is away, "10m" if absent, at most "24h". */
	RECONNECT_WINDOW?: string;
	/** How many sessions a team may have hosted at once, idle ones included; absent: as many as its runners take. */
	TEAM_CAPACITY?: string;
	/** How many of those one principal may have opened. */
	PRINCIPAL_CAPACITY?: string;
	/** REST calls a minute of one principal, "12000" if absent. Of all limits "0" is none. */
	RATE_LIMIT_REQUESTS?: string;
	/** Inputs a minute of one principal over REST, "3000" if absent. */
	RATE_LIMIT_INPUTS?: string;
	/** Sockets and event streams that one principal opens a minute, "3000" if absent. */
	RATE_LIMIT_SOCKETS?: string;
	/** Wrong credentials a minute of one address, and ids that are not there a minute of one principal, "600" if absent. */
	RATE_LIMIT_FAILURES?: string;
	/** Links of runners a minute of one address, "30000" if absent. */
	RATE_LIMIT_LINKS?: string;
	/** The header in which your own proxy says where a call comes from, self-hosted. Absent: all calls share the limits of one address. */
	ADDRESS_HEADER?: string;
	/** A rate limit of Cloudflare's, for all calls of a principal; optional. */
	RATE_LIMITER?: RateLimit;
}

export interface Config {
	/** SHA-256 of each configured key, by the key's clear part. */
	keys: Map<string, string>;
	/** The teams that exist. Nothing is made for any other, so that a stranger cannot make objects by naming teams. */
	teams: Set<string>;
	access: { issuer: string; audience: string; team: TeamId; admins: Set<string> } | null;
	allowedOrigins: Set<string>;
	publicUrl: URL | null;
	retention: Retention;
	reconnectWindowMs: number;
	rates: Rates;
	addressHeader: string | null;
}

const list = z
	.string()
	.default("")
	.transform((s) =>
		s
			.split(",")
			.map((x) => x.trim())
			.filter((x) => x !== ""),
	);
const YEAR_MS = 365 * 86_400_000;
const LOOPBACK = /^http:\/\/(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/;

const capacity = z
	.string()
	.regex(/^[1-9]\d{0,5}$/, "expected a whole number from 1 to 999999")
	.transform(Number)
	.optional();
const CapacitySettings = z.object({ TEAM_CAPACITY: capacity, PRINCIPAL_CAPACITY: capacity });

const RetentionSettings = z.object({
	// A log holds its largest events and some more at least; an object of Cloudflare's ends at 10 GB.
	LOG_MAX_BYTES: Size.refine((n) => n >= 1024 ** 2 && n <= 8 * 1024 ** 3, "expected 1MiB to 8GiB").default(256 * 1024 ** 2),
	LOG_MAX_AGE: LongDuration.refine((ms) => ms >= 60_000 && ms <= 100 * YEAR_MS, "expected 1m to 36500d").optional(),
});

const perMinute = (otherwise: number) =>
	z
		.string()
		.regex(/^\d{1,7}$/, "expected a whole number a minute, 0 for no limit")
		.transform(Number)
		.default(otherwise);

const Settings = z.object({
	...CapacitySettings.shape,
	...RetentionSettings.shape,
	HOTPLEX_KEYS: list.pipe(z.array(z.string().regex(/^hpk_[a-z0-9-]+_[0-9a-z]{26}:[0-9a-f]{64}$/, "expected hpk_TEAM_ID:HEX"))),
	HOTPLEX_TEAMS: list.pipe(z.array(TeamId)),
	CF_ACCESS_TEAM_DOMAIN: z
		.string()
		.regex(/^[a-z0-9-]+\.cloudflareaccess\.com$/)
		.or(z.string().regex(LOOPBACK))
		.optional(),
	CF_ACCESS_AUD: z.string().min(8).optional(),
	ACCESS_TEAM: TeamId.default(TeamId.parse("default")),
	ACCESS_ADMINS: list,
	ALLOWED_ORIGINS: list.pipe(z.array(z.string().regex(/^https?:\/\/[^/]+$/, "expected scheme://host, without a path"))),
	PUBLIC_URL: z.url().optional(),
	RECONNECT_WINDOW: Duration.refine((ms) => ms >= 1000 && ms <= MAX_RECONNECT_WINDOW_MS, "expected 1s to 24h").optional(),
	// A thousand sessions of one key that all come back in one minute are everyday: a gateway was restarted.
	RATE_LIMIT_REQUESTS: perMinute(12_000),
	RATE_LIMIT_INPUTS: perMinute(3_000),
	RATE_LIMIT_SOCKETS: perMinute(3_000),
	RATE_LIMIT_FAILURES: perMinute(600),
	RATE_LIMIT_LINKS: perMinute(30_000),
	ADDRESS_HEADER: z
		.string()
		.regex(/^[A-Za-z0-9-]{1,64}$/, "expected the name of a header")
		.optional(),
});

/** The settings among the bindings. In wrangler.toml a number may stand without quotes, and must not pass for absent. */
const present = (env: Env): Record<string, string> =>
	Object.fromEntries(
		Object.entries(env as unknown as Record<string, unknown>).flatMap(([name, value]) =>
			typeof value === "number" || (typeof value === "string" && value !== "") ? [[name, String(value)]] : [],
		),
	);

/** What may be hosted at once; nothing at all if that cannot be read, since a gateway with such settings serves nothing either. */
export function readCapacities(env: Env): Capacities {
	const parsed = CapacitySettings.safeParse(present(env));
	if (!parsed.success) return { team: 0, principal: 0 };
	return { team: parsed.data.TEAM_CAPACITY ?? null, principal: parsed.data.PRINCIPAL_CAPACITY ?? null };
}

/** The settings, or why the gateway serves nothing: with no way to authenticate anybody it stays shut (P15). */
export function readConfig(env: Env): Result<Config, string> {
	const parsed = Settings.safeParse(present(env));
	if (!parsed.success) return err(`the configuration is not valid: ${describe(parsed.error)}`);
	const s = parsed.data;
	if ((s.CF_ACCESS_TEAM_DOMAIN === undefined) !== (s.CF_ACCESS_AUD === undefined))
		return err("CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD must be set together");
	const domain = s.CF_ACCESS_TEAM_DOMAIN;
	const access =
		domain !== undefined && s.CF_ACCESS_AUD !== undefined
			? {
					issuer: domain.startsWith("http") ? domain : `https://${domain}`,
					audience: s.CF_ACCESS_AUD,
					team: s.ACCESS_TEAM,
					admins: new Set(s.ACCESS_ADMINS),
				}
			: null;
	if (s.HOTPLEX_KEYS.length === 0 && access === null)
		return err("no way to authenticate is configured: set HOTPLEX_KEYS, or CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD");
	const keys = new Map(s.HOTPLEX_KEYS.map((k) => [k.slice(0, k.indexOf(":")), k.slice(k.indexOf(":") + 1)] as const));
	const teams = new Set<string>([
		...s.HOTPLEX_TEAMS,
		...s.HOTPLEX_KEYS.map((k) => k.split("_")[1] ?? ""),
		...(access ? [access.team] : []),
	]);
	return ok({
		keys,
		teams,
		access,
		allowedOrigins: new Set(s.ALLOWED_ORIGINS),
		publicUrl: s.PUBLIC_URL ? new URL(s.PUBLIC_URL) : null,
		retention: retentionOf(s),
		reconnectWindowMs: s.RECONNECT_WINDOW ?? RECONNECT_WINDOW_MS,
		rates: {
			requests: s.RATE_LIMIT_REQUESTS,
			inputs: s.RATE_LIMIT_INPUTS,
			sockets: s.RATE_LIMIT_SOCKETS,
			failures: s.RATE_LIMIT_FAILURES,
			links: s.RATE_LIMIT_LINKS,
		},
		addressHeader: s.ADDRESS_HEADER ?? null,
	});
}

/** For the objects, which need nothing else. Where the settings are not valid the gateway serves nothing, and nothing is removed. */
export function readRetention(env: Env): Retention {
	const parsed = RetentionSettings.safeParse(present(env));
	return parsed.success ? retentionOf(parsed.data) : { maxBytes: Number.MAX_SAFE_INTEGER, maxAgeMs: null };
}

const retentionOf = (s: z.output<typeof RetentionSettings>): Retention => ({ maxBytes: s.LOG_MAX_BYTES, maxAgeMs: s.LOG_MAX_AGE ?? null });
