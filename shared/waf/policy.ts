import { z } from "zod";
import { PermissionMode } from "../frames.ts";
import { VerdictName } from "./verdict.ts";

/** Hosts by name, or `*.example.com` for all below it. Never addresses. */
export const HostPattern = z
	.string()
	.max(253)
	.regex(/^(\*\.)?([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9-]+$/, "expected a host name, or *.NAME for all below it");
const AbsolutePath = z
	.string()
	.max(4096)
	.regex(/^\/[^\0]*$/, "expected an absolute path");
const PolicyId = z
	.string()
	.min(1)
	.max(64)
	.regex(/^[a-z0-9][a-z0-9._-]*$/, "expected lower-case letters, digits and . _ -");

/** Package registries and git hosts: what an everyday task fetches from. A policy that names hosts replaces all of them. */
const DEFAULT_HOSTS = [
	...["registry.npmjs.org", "registry.yarnpkg.com", "pypi.org", "files.pythonhosted.org"],
	...["crates.io", "index.crates.io", "static.crates.io", "proxy.golang.org", "sum.golang.org"],
	...["repo.maven.apache.org", "rubygems.org", "index.rubygems.org"],
	...["github.com", "api.github.com", "codeload.github.com", "objects.githubusercontent.com", "raw.githubusercontent.com"],
	...["gitlab.com", "bitbucket.org"],
];

/** One decision of a person about tool calls of one kind. Of the entries that match, the gravest counts. */
export const PolicyEntry = z.strictObject({
	id: PolicyId,
	/** A tool's name as the CLI calls it (`Bash`, `Write`, `mcp__github__create_issue`); `*` at the end stands for any rest. */
	tool: z.string().min(1).max(256),
	/**
	 * What its subject must be: the whole command of a shell tool, the path of a file tool, the host of a web tool. `*` stands for anything.
	 * Absent: whatever it is.
	 */
	match: z.string().min(1).max(4096).optional(),
	verdict: VerdictName,
	reason: z.string().max(1024).optional(),
	/** Who made it, and when (ms since the epoch); set by the gateway. */
	author: z.string().max(256).optional(),
	at: z.int().optional(),
});
export type PolicyEntry = z.infer<typeof PolicyEntry>;

/** Lets through for a time what built-in rules would stop; every use is audited. */
export const Bypass = z.strictObject({
	id: PolicyId,
	/** Rules or categories that it lifts; absent: all of the built-in ones. */
	lifts: z.array(z.string().min(1).max(128)).min(1).optional(),
	/** Only for this session, or for sessions that this principal opened. */
	sessionId: z.string().max(64).optional(),
	principal: z.string().max(256).optional(),
	reason: z.string().min(1).max(1024),
	/** ms since the epoch; at most 24 hours after `at`. */
	until: z.int(),
	author: z.string().max(256).optional(),
	at: z.int().optional(),
});
export type Bypass = z.infer<typeof Bypass>;

/** Who may open and use which sessions. A session needs one entry that allows it; without entries everybody may who has the scope. */
export const DispatchRule = z.strictObject({
	/** Actors as the log names them: `key:key_...`, `access:ann@example.com`; `*` at the end stands for any rest. */
	who: z.array(z.string().min(1).max(256)).min(1),
	providers: z.array(z.string().min(1).max(64)).min(1).optional(),
	/** The session's selector must ask for all of this: a session without these labels is refused. */
	labels: z.record(z.string().min(1).max(64), z.string().max(128)).optional(),
	permissionModes: z.array(PermissionMode).min(1).optional(),
});
export type DispatchRule = z.infer<typeof DispatchRule>;

/** A team's rules, whole. `PUT /v1/policy` makes a new version of it. */
export const Policy = z.strictObject({
	/** `log`: judges, writes down what it would have done, and lets it through. */
	mode: z.enum(["enforce", "log"]).default("enforce"),
	prompts: z
		.strictObject({
			/** What becomes of a prompt that orders what a rule denies. */
			order: z.enum(["block", "flag", "allow"]).default("block"),
			/** And of one that only speaks of it. */
			mention: z.enum(["flag", "allow"]).default("allow"),
		})
		.default({ order: "block", mention: "allow" }),
	/** Names, or `PREFIX*`. Absent: every tool. */
	allowedTools: z.array(z.string().min(1).max(256)).max(512).optional(),
	tools: z.array(PolicyEntry).max(2000).default([]),
	/** Another verdict for a built-in rule or a whole category; the rule's own comes before its category's. */
	rules: z.record(z.string().min(1).max(128), VerdictName).default({}),
	roots: z
		.strictObject({ read: z.array(AbsolutePath).max(256).default([]), write: z.array(AbsolutePath).max(256).default([]) })
		.default({ read: [], write: [] }),
	/** What sessions may reach. The model's own API is the runner's to name. */
	hosts: z.array(HostPattern).max(1000).default(DEFAULT_HOSTS),
	dispatch: z.array(DispatchRule).max(500).optional(),
	bypasses: z.array(Bypass).max(100).default([]),
	/** How long an approval waits for a person; then it is denied. */
	approvalTimeoutMs: z
		.int()
		.min(1000)
		.max(24 * 3_600_000)
		.default(15 * 60_000),
});
export type Policy = z.infer<typeof Policy>;

/** A policy as it is stored: never changed, only followed by the next version. Version 0 is the built-in one. */
export interface VersionedPolicy {
	version: number;
	policy: Policy;
}

/** What holds where a team has said nothing. */
export const BUILT_IN: VersionedPolicy = { version: 0, policy: Policy.parse({}) };

/** Stand-in until the policy branch is merged. */
export function mayDispatch(
	policy: Policy,
	actor: string,
	session: { provider: string; permissionMode: string; selectorLabels: Record<string, string> },
): { ok: true; value: null } | { ok: false; error: { reason: string } } {
	if (policy.dispatch === undefined) return { ok: true, value: null };
	const fits = policy.dispatch.some(
		(rule) =>
			rule.who.some((w) => (w.endsWith("*") ? actor.startsWith(w.slice(0, -1)) : actor === w)) &&
			(rule.providers?.includes(session.provider) ?? true) &&
			(rule.permissionModes?.some((m) => m === session.permissionMode) ?? true) &&
			Object.entries(rule.labels ?? {}).every(([k, v]) => session.selectorLabels[k] === v),
	);
	return fits ? { ok: true, value: null } : { ok: false, error: { reason: `no dispatch rule of the policy lets ${actor} do this` } };
}
