import { describe, expect, test } from "vitest";
import type { Result } from "../../shared/result.ts";

/** As in worker/config.ts, whose types are workerd's and unknown to this program. */
interface Config {
	keys: Map<string, string>;
	teams: Set<string>;
	access: { issuer: string; audience: string; team: string; admins: Set<string> } | null;
	allowedOrigins: Set<string>;
	publicUrl: URL | null;
	reconnectWindowMs: number;
	retention: { maxBytes: number; maxAgeMs: number | null };
	rates: { requests: number; inputs: number; sockets: number; failures: number; links: number };
	addressHeader: string | null;
}
const path: string = "../../worker/config.ts";
const { readConfig, readCapacities, readRetention } = (await import(path)) as {
	readConfig: (env: Record<string, unknown>) => Result<Config, string>;
	readCapacities: (env: Record<string, unknown>) => { team: number | null; principal: number | null };
	readRetention: (env: Record<string, unknown>) => Config["retention"];
};

const id = "0123456789abcdefghjkmnpqrs";
const hash = "ab".repeat(32);
const KEYS = { HOTPLEX_KEYS: `hpk_default_${id}:${hash}` };
const ACCESS = { CF_ACCESS_TEAM_DOMAIN: "acme.cloudflareaccess.com", CF_ACCESS_AUD: "a".repeat(64) };
const retention = { maxBytes: 256 * 1024 * 1024, maxAgeMs: null };
const rates = { requests: 12_000, inputs: 3_000, sockets: 3_000, failures: 600, links: 30_000 };
const LIMITS = { rates, addressHeader: null };
const WITH_KEYS: Config = {
	keys: new Map([[`hpk_default_${id}`, hash]]),
	teams: new Set(["default"]),
	access: null,
	allowedOrigins: new Set(),
	publicUrl: null,
	reconnectWindowMs: 600_000,
	retention,
	...LIMITS,
};
const WITH_ACCESS: Config = {
	keys: new Map(),
	teams: new Set(["default"]),
	access: { issuer: "https://acme.cloudflareaccess.com", audience: "a".repeat(64), team: "default", admins: new Set() },
	allowedOrigins: new Set(),
	publicUrl: null,
	reconnectWindowMs: 600_000,
	retention,
	...LIMITS,
};

describe("the gateway's configuration", () => {
	test.each<[string, Record<string, unknown>, Config]>([
		["a key", KEYS, WITH_KEYS],
		["Access", ACCESS, WITH_ACCESS],
		["a team without a configured key", { ...KEYS, HOTPLEX_TEAMS: "other" }, { ...WITH_KEYS, teams: new Set(["default", "other"]) }],
		["both", { ...KEYS, ...ACCESS }, { ...WITH_ACCESS, keys: WITH_KEYS.keys }],
		[
			"several keys, with spaces and a comma too many",
			{ HOTPLEX_KEYS: ` hpk_a_${id}:${hash} , hpk_b-2_${id}:${"0".repeat(64)},` },
			{
				...WITH_KEYS,
				teams: new Set(["a", "b-2"]),
				keys: new Map([
					[`hpk_a_${id}`, hash],
					[`hpk_b-2_${id}`, "0".repeat(64)],
				]),
			},
		],
		[
			"origins",
			{ ...KEYS, ALLOWED_ORIGINS: "https://a.example, http://localhost:3000" },
			{ ...WITH_KEYS, allowedOrigins: new Set(["https://a.example", "http://localhost:3000"]) },
		],
		[
			"a public address",
			{ ...KEYS, PUBLIC_URL: "https://hotplex.example" },
			{ ...WITH_KEYS, publicUrl: new URL("https://hotplex.example") },
		],
		[
			"a team and its admins",
			{ ...ACCESS, ACCESS_TEAM: "acme", ACCESS_ADMINS: "ann@example.com, bob@example.com" },
			{
				...WITH_ACCESS,
				teams: new Set(["acme"]),
				access: {
					issuer: "https://acme.cloudflareaccess.com",
					audience: "a".repeat(64),
					team: "acme",
					admins: new Set(["ann@example.com", "bob@example.com"]),
				},
			},
		],
		[
			"an issuer on loopback",
			{ ...ACCESS, CF_ACCESS_TEAM_DOMAIN: "http://127.0.0.1:8080" },
			{ ...WITH_ACCESS, access: { issuer: "http://127.0.0.1:8080", audience: "a".repeat(64), team: "default", admins: new Set() } },
		],
		[
			"empty settings are absent ones",
			{ ...KEYS, CF_ACCESS_TEAM_DOMAIN: "", CF_ACCESS_AUD: "", PUBLIC_URL: "", ACCESS_TEAM: "" },
			WITH_KEYS,
		],
		[
			"how much of a log is kept",
			{ ...KEYS, LOG_MAX_BYTES: "64MiB", LOG_MAX_AGE: "30d" },
			{ ...WITH_KEYS, retention: { maxBytes: 64 * 1024 * 1024, maxAgeMs: 30 * 86_400_000 } },
		],
		["a reconnect window", { ...KEYS, RECONNECT_WINDOW: "24h" }, { ...WITH_KEYS, reconnectWindowMs: 86_400_000 }],
		[
			"limits, and who says where a call comes from",
			{
				...KEYS,
				RATE_LIMIT_REQUESTS: 1,
				RATE_LIMIT_INPUTS: "2",
				RATE_LIMIT_SOCKETS: "0",
				RATE_LIMIT_FAILURES: "4",
				RATE_LIMIT_LINKS: "5",
				ADDRESS_HEADER: "X-Real-IP",
			},
			{ ...WITH_KEYS, rates: { requests: 1, inputs: 2, sockets: 0, failures: 4, links: 5 }, addressHeader: "X-Real-IP" },
		],
		["bindings are no settings", { ...KEYS, SESSION: {}, TEAM: {}, ANYTHING: "else" }, WITH_KEYS],
	])("[CFG-6] %s", (_, env, config) => {
		expect(readConfig(env)).toEqual({ ok: true, value: config });
	});

	test.each<[string, Record<string, unknown>, string]>([
		["nothing", {}, "no way to authenticate is configured: set HOTPLEX_KEYS, or CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD"],
		["keys that are none", { HOTPLEX_KEYS: " , " }, "no way to authenticate is configured"],
		[
			"settings that let nobody in",
			{ ALLOWED_ORIGINS: "https://a.example", ACCESS_ADMINS: "ann@example.com" },
			"no way to authenticate is configured",
		],
		["Access without its audience", { ...KEYS, CF_ACCESS_TEAM_DOMAIN: ACCESS.CF_ACCESS_TEAM_DOMAIN }, "must be set together"],
		["an audience without its domain", { ...KEYS, CF_ACCESS_AUD: ACCESS.CF_ACCESS_AUD }, "must be set together"],
	])("[CFG-7] with %s it serves nothing", (_, env, words) => {
		expect(readConfig(env)).toEqual({ ok: false, error: expect.stringContaining(words) });
	});

	test.each<[string, Record<string, unknown>]>([
		["HOTPLEX_KEYS", { HOTPLEX_KEYS: `hpk_default_${id}` }],
		["HOTPLEX_KEYS", { HOTPLEX_KEYS: `hpk_default_${id}:${hash.toUpperCase()}` }],
		["HOTPLEX_KEYS", { HOTPLEX_KEYS: `${KEYS.HOTPLEX_KEYS},admin:admin` }],
		["CF_ACCESS_TEAM_DOMAIN", { ...ACCESS, CF_ACCESS_TEAM_DOMAIN: "https://acme.cloudflareaccess.com" }],
		["CF_ACCESS_TEAM_DOMAIN", { ...ACCESS, CF_ACCESS_TEAM_DOMAIN: "acme.cloudflareaccess.com.evil.example" }],
		["CF_ACCESS_TEAM_DOMAIN", { ...ACCESS, CF_ACCESS_TEAM_DOMAIN: "http://evil.example" }],
		["CF_ACCESS_TEAM_DOMAIN", { ...ACCESS, CF_ACCESS_TEAM_DOMAIN: "http://localhost.evil.example" }],
		["CF_ACCESS_AUD", { ...ACCESS, CF_ACCESS_AUD: "short" }],
		["ACCESS_TEAM", { ...ACCESS, ACCESS_TEAM: "Not A Team" }],
		["ALLOWED_ORIGINS", { ...KEYS, ALLOWED_ORIGINS: "*" }],
		["ALLOWED_ORIGINS", { ...KEYS, ALLOWED_ORIGINS: "https://a.example/" }],
		["ALLOWED_ORIGINS", { ...KEYS, ALLOWED_ORIGINS: "a.example" }],
		["PUBLIC_URL", { ...KEYS, PUBLIC_URL: "hotplex.example" }],
		["RATE_LIMIT_REQUESTS", { ...KEYS, RATE_LIMIT_REQUESTS: "many" }],
		["RATE_LIMIT_FAILURES", { ...KEYS, RATE_LIMIT_FAILURES: "-1" }],
		["ADDRESS_HEADER", { ...KEYS, ADDRESS_HEADER: "X-Real-IP: 1" }],
		["LOG_MAX_BYTES", { ...KEYS, LOG_MAX_BYTES: "1000000" }],
		["LOG_MAX_BYTES", { ...KEYS, LOG_MAX_BYTES: "64MB" }],
		["LOG_MAX_BYTES", { ...KEYS, LOG_MAX_BYTES: "512KiB" }],
		["LOG_MAX_BYTES", { ...KEYS, LOG_MAX_BYTES: "9GiB" }],
		["LOG_MAX_AGE", { ...KEYS, LOG_MAX_AGE: "30" }],
		["LOG_MAX_AGE", { ...KEYS, LOG_MAX_AGE: "30s" }],
		["LOG_MAX_AGE", { ...KEYS, LOG_MAX_AGE: "999999999999d" }],
		["RECONNECT_WINDOW", { ...KEYS, RECONNECT_WINDOW: "600" }],
		["RECONNECT_WINDOW", { ...KEYS, RECONNECT_WINDOW: "25h" }],
		["RECONNECT_WINDOW", { ...KEYS, RECONNECT_WINDOW: "0s" }],
		["TEAM_CAPACITY", { ...KEYS, TEAM_CAPACITY: "0" }],
		["TEAM_CAPACITY", { ...KEYS, TEAM_CAPACITY: "10 sessions" }],
		["PRINCIPAL_CAPACITY", { ...KEYS, PRINCIPAL_CAPACITY: "-1" }],
	])("[CFG-7] a %s of another form is named, and it serves nothing: %j", (name, env) => {
		expect(readConfig(env)).toEqual({ ok: false, error: expect.stringMatching(new RegExp(`^the configuration is not valid: ${name}`)) });
	});

	test("[LOG-8] an object reads its retention as the Worker does, and removes nothing where that serves nothing", () => {
		expect(readRetention({})).toEqual(retention);
		expect(readRetention({ LOG_MAX_BYTES: "1MiB", LOG_MAX_AGE: "1m" })).toEqual({ maxBytes: 1024 * 1024, maxAgeMs: 60_000 });
		expect(readRetention({ LOG_MAX_BYTES: "1MiB", LOG_MAX_AGE: "soon" })).toEqual({ maxBytes: Number.MAX_SAFE_INTEGER, maxAgeMs: null });
	});

	test.each<[string, Record<string, unknown>, { team: number | null; principal: number | null }]>([
		["absent", {}, { team: null, principal: null }],
		["empty", { TEAM_CAPACITY: "", PRINCIPAL_CAPACITY: "" }, { team: null, principal: null }],
		["the team's", { TEAM_CAPACITY: "10" }, { team: 10, principal: null }],
		["a number, as wrangler.toml may have it", { TEAM_CAPACITY: 10 }, { team: 10, principal: null }],
		["a principal's", { PRINCIPAL_CAPACITY: "4", TEAM: {} }, { team: null, principal: 4 }],
		["not valid: nothing is hosted", { TEAM_CAPACITY: "10", PRINCIPAL_CAPACITY: "1e3" }, { team: 0, principal: 0 }],
	])("[CFG-6] the bounds of what is hosted at once: %s", (_, env, capacities) => {
		expect(readCapacities(env)).toEqual(capacities);
	});
});
