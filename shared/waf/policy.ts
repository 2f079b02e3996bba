import { z } from "zod";
import { check } from "../codec.ts";
import { type Problem, problem } from "../errors.ts";
import { PermissionMode } from "../frames.ts";
import { err, ok, type Result } from "../result.ts";
import { inspectCommand, RULES } from "./command.ts";
import { HOST_RULES, hostsInBoth } from "./hosts.ts";
import { isLiteral, literalPattern, matchesName, matchesPattern } from "./pattern.ts";
import { judgePrompt, PROMPT_RULES } from "./prompts.ts";
import { objectionsTo, type Subject, subjectOf, TOOL_RULES, type ToolCall } from "./tool-call.ts";
import { Category, graver, type Judgement, NO_OBJECTION, type Place, VerdictName } from "./verdict.ts";

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

/** Units of an entry's pattern. A longer command can be decided once, but not made an entry. */
const MAX_MATCH = 8192;

/** Package registries and git hosts: what an everyday task fetches from. A policy that names hosts replaces all of them. */
const DEFAULT_HOSTS = [
	...["registry.npmjs.org", "registry.yarnpkg.com", "pypi.org", "files.pythonhosted.org"],
	...["crates.io", "index.crates.io", "static.crates.io", "proxy.golang.org", "sum.golang.org"],
	...["repo.maven.apache.org", "rubygems.org", "index.rubygems.org"],
	...["github.com", "api.github.com", "codeload.github.com", "objects.githubusercontent.com", "raw.githubusercontent.com"],
	...["gitlab.com", "bitbucket.org"],
];

const NamePattern = z
	.string()
	.min(1)
	.max(256)
	.regex(/^[^*]*\*?$/, "expected a name, or the beginning of one with * at its end");

/** What an entry is about. */
const entrySubject = {
	/** A tool's name as the CLI calls it (`Bash`, `Write`, `mcp__github__create_issue`); `*` at the end stands for any rest. */
	tool: NamePattern,
	/**
	 * What its subject must be: the whole command of a shell tool, the path of a file tool (absolute, from `~/`, or within the work
	 * directory), the host of a web tool. `*` stands for anything, `\*` for itself. Absent: whatever it is.
	 */
	match: z.string().min(1).max(MAX_MATCH).optional(),
};

/** One decision of a person about tool calls of one kind. Of the entries that match, the gravest counts. */
export const PolicyEntry = z.strictObject({
	id: PolicyId,
	...entrySubject,
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
	who: z.array(NamePattern).min(1),
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
	allowedTools: z.array(NamePattern).max(512).optional(),
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

/** The longest that a bypass may last. */
export const MAX_BYPASS_MS = 24 * 3_600_000;

/**
 * A policy as somebody wrote it, complete, or a problem that names the field: the schema, ids that are there once, rules and categories that
 * exist, bypasses that end. Stored policies are read with `Policy` alone: a rule that went away must not make a team's policy unreadable.
 */
export function checkPolicy(json: unknown, now: number): Result<Policy, Problem> {
	const parsed = check(Policy, json);
	if (!parsed.ok) return parsed;
	const policy = parsed.value;
	const wrong = [
		...twice(policy.tools).map(([i, id]) => `tools.${i}.id: ${id} is there twice; expected ids that differ`),
		...twice(policy.bypasses).map(([i, id]) => `bypasses.${i}.id: ${id} is there twice; expected ids that differ`),
		...Object.keys(policy.rules).flatMap((name) => (isRuleOrCategory(name) ? [] : [`rules.${name}: ${EXPECTED_RULE}`])),
		...policy.bypasses.flatMap((bypass, i) => [
			...(bypass.lifts ?? []).flatMap((name, k) => (isRuleOrCategory(name) ? [] : [`bypasses.${i}.lifts.${k}: ${EXPECTED_RULE}`])),
			...(bypass.until - (bypass.at ?? now) > MAX_BYPASS_MS
				? [`bypasses.${i}.until: expected a time at most 24 hours after it was made`]
				: []),
		]),
	];
	return wrong.length === 0 ? ok(policy) : err(problem("bad_request", wrong.slice(0, 4).join("; ")));
}

const EXPECTED_RULE = `expected the id of a rule, or a category: ${Category.options.join(", ")}`;
const twice = (list: { id: string }[]): [number, string][] =>
	list.flatMap(({ id }, i) => (list.findIndex((other) => other.id === id) < i ? [[i, id] as [number, string]] : []));
const isRuleOrCategory = (name: string): boolean =>
	Category.safeParse(name).success || RULES.has(name) || [TOOL_RULES, HOST_RULES, PROMPT_RULES].some((rules) => Object.hasOwn(rules, name));

// ------------------------------------------------------------ decisions

/** Whose call or prompt it is. */
export interface Who {
	sessionId: string;
	/** Who opened the session, as the log names them. */
	principal: string;
}

/** A judgement by a team's policy. */
export interface Decided extends Judgement {
	policyVersion: number;
	/** A person's entry allows exactly this: the CLI need not ask by itself any more. */
	explicit: boolean;
	/** `policy:VERSION`, `entry:ID by AUTHOR` or `bypass:ID by AUTHOR`. */
	by: string;
	/** With mode `log`: what it would have been. */
	dryRun?: Judgement;
}

/**
 * What a team says of a call. In this order: a tool that is not allowed is denied; an entry that denies, denies; then the built-in rules, with
 * the verdicts that the team gave them, less what a bypass lifts; an entry that asks, asks; an entry that allows answers what would be asked,
 * never what is denied. Never throws.
 */
export function decideToolCall(
	versioned: VersionedPolicy,
	sessionEntries: readonly PolicyEntry[],
	call: ToolCall,
	place: Place,
	who: Who,
	now: number,
): Decided {
	const { policy, version } = versioned;
	const decided = decideEnforced(policy, sessionEntries, call, place, who, now);
	const by =
		decided.entry !== undefined ? entryBy(decided.entry) : decided.bypass !== undefined ? bypassBy(decided.bypass) : `policy:${version}`;
	const whole = { ...decided.judgement, policyVersion: version, explicit: decided.explicit, by };
	return policy.mode === "log" ? dryRun(whole, decided.judgement, version) : whole;
}

interface Ground {
	judgement: Judgement;
	explicit: boolean;
	entry?: PolicyEntry | undefined;
	bypass?: Bypass | undefined;
}

function decideEnforced(
	policy: Policy,
	sessionEntries: readonly PolicyEntry[],
	call: ToolCall,
	place: Place,
	who: Who,
	now: number,
): Ground {
	const { allowedTools, roots, hosts } = policy;
	if (allowedTools !== undefined && !allowedTools.some((name) => matchesName(name, call.tool)))
		return { judgement: notAllowed(call.tool, "the team's policy"), explicit: false };
	const here: Place = { ...place, readRoots: roots.read, writeRoots: roots.write };
	const about = aboutOf(call, here, [...policy.tools, ...sessionEntries]);
	const ofTeam = policy.tools.filter((entry) => entryMatches(entry, about));
	const ofSession = sessionEntries.filter((entry) => entryMatches(entry, about));
	const all = [...ofTeam, ...ofSession];

	const denying = firstOf(all, "deny");
	if (denying) return { judgement: entryJudgement(denying, about), explicit: false, entry: denying };

	const builtIn = regrade(policy, objectionsTo(call, here, hosts), who, now);
	if (builtIn.judgement.verdict === "deny") return { ...builtIn, explicit: false };

	const asking = firstOf(all, "ask");
	// A person's answer in this session settles whatever asked; a team's, what the built-in rules ask, and an asking entry that is wider than it.
	const settles = (entry: PolicyEntry): boolean =>
		ofSession.includes(entry) || all.every((other) => other.verdict !== "ask" || (isExact(entry, about) && !isExact(other, about)));
	const allowing = all.filter((entry) => entry.verdict === "allow" && settles(entry)).sort(byId)[0];
	if (allowing) return { judgement: entryJudgement(allowing, about), explicit: true, entry: allowing };
	if (asking) return { judgement: entryJudgement(asking, about), explicit: false, entry: asking };
	return { ...builtIn, explicit: false };
}

const ACTION_VERDICTS = { take: "allow", flag: "ask", block: "deny" } as const;

/** What a team's policy makes of a prompt. The words a rule is named for are only flagged or let through as `prompts` says. Never throws. */
export function decidePrompt(
	versioned: VersionedPolicy,
	text: string,
	who: Who,
	now: number,
): Decided & { action: "take" | "flag" | "block" } {
	const { policy, version } = versioned;
	const judged = judgePrompt(text);
	const { kind, ...judgement } = judged;
	const plain = { policyVersion: version, explicit: false, by: `policy:${version}` };
	// Nobody has a use for them in a prompt, and they do harm where it is shown: no mode and no bypass lets them in.
	if (judgement.rule === "prompt-control-characters") return { ...judgement, ...plain, action: "block" };
	if (kind === "none") return { ...judgement, ...plain, action: "take" };
	if (kind === "mention") return { ...judgement, ...plain, action: policy.prompts.mention === "flag" ? "flag" : "take" };

	const regraded = regrade(policy, [judgement], who, now);
	const by = regraded.bypass !== undefined ? bypassBy(regraded.bypass) : plain.by;
	const { verdict } = regraded.judgement;
	const { order } = policy.prompts;
	const action: "take" | "flag" | "block" = verdict === "allow" || order === "allow" ? "take" : verdict === "ask" ? "flag" : order;
	const enforced: Judgement = { ...regraded.judgement, verdict: ACTION_VERDICTS[action] };
	const whole = { ...enforced, ...plain, by, action };
	return policy.mode === "log" ? { ...dryRun(whole, enforced, version), action: "take" } : whole;
}

/**
 * The entry that "allow for this session" or "always" makes: for exactly this command, path or host; for a call that shows none, the tool. Null
 * for a call that is too long to be named: it can only be decided once.
 */
export function entryFor(call: ToolCall, place: Place, verdict: VerdictName, id: string, author: string, at: number): PolicyEntry | null {
	const about = aboutOf(call, place, []);
	const match = about.whole === null ? {} : { match: literalPattern(about.whole) };
	const parsed = PolicyEntry.safeParse({ id, tool: call.tool, ...match, verdict, author: author.slice(0, 256), at });
	return parsed.success ? parsed.data : null;
}

/** Whether the policy lets this actor use such a session. Labels are those that its selector asks for by `name=value`. */
export function mayDispatch(
	policy: Policy,
	actor: string,
	session: { provider: string; permissionMode: string; selectorLabels: Record<string, string> },
): Result<null, { reason: string }> {
	const rules = policy.dispatch;
	if (rules === undefined) return ok(null);
	const own = rules.filter((rule) => rule.who.some((name) => matchesName(name, actor)));
	if (own.length === 0) return err({ reason: `the team's policy has no dispatch rule for ${actor}` });
	const refusals = own.map((rule) => {
		const { provider, permissionMode, selectorLabels } = session;
		if (rule.providers !== undefined && !rule.providers.includes(provider)) return `the provider must be ${rule.providers.join(" or ")}`;
		if (rule.permissionModes !== undefined && !rule.permissionModes.some((mode) => mode === permissionMode))
			return `the permission mode must be ${rule.permissionModes.join(" or ")}`;
		const missing = Object.entries(rule.labels ?? {}).find(
			([name, value]) => !Object.hasOwn(selectorLabels, name) || selectorLabels[name] !== value,
		);
		return missing === undefined ? null : `the session must ask for runners with ${missing[0]}=${missing[1]}`;
	});
	if (refusals.includes(null)) return ok(null);
	return err({ reason: `the team's policy does not let ${actor} use this session: ${[...new Set(refusals)].join("; or ")}` });
}

// ------------------------------------------------------------ the machine owner

/** A machine owner's limits: `[policy]` of the runner's file. They can only narrow what teams allow. */
export const OwnerPolicy = z.strictObject({
	/** Names, or `PREFIX*`. Absent: every tool. */
	allowedTools: z.array(NamePattern).optional(),
	deny: z.array(z.strictObject({ ...entrySubject, reason: z.string().max(1024).optional() })).default([]),
	/** What a person must be asked about, whatever the team's policy says. */
	ask: z.array(z.strictObject({ ...entrySubject, reason: z.string().max(1024).optional() })).default([]),
	/** Directories besides the work directory; the team's own roots count only within them. Absent: none but what the team names. */
	readRoots: z.array(AbsolutePath).optional(),
	writeRoots: z.array(AbsolutePath).optional(),
	/** What sessions may reach at most. Absent: what the team's policy names. */
	hosts: z.array(HostPattern).optional(),
	permissionModes: z.array(PermissionMode).min(1).optional(),
	/** Whose the built-in rules are: `team` leaves their verdicts to the team's policy; with `enforce` they hold here whatever that says, bypasses included. */
	builtIn: z.enum(["team", "enforce"]).default("team"),
});
export type OwnerPolicy = z.infer<typeof OwnerPolicy>;

/** The runner's own gate: the owner's limits, and the built-in rules where he keeps them. `allow` says no more than that the owner does not object. Never throws. */
export function decideForOwner(owner: OwnerPolicy, call: ToolCall, place: Place): Judgement {
	if (owner.allowedTools !== undefined && !owner.allowedTools.some((name) => matchesName(name, call.tool)))
		return notAllowed(call.tool, "the machine's owner");
	const here: Place = {
		...place,
		...(owner.readRoots === undefined ? {} : { readRoots: owner.readRoots }),
		...(owner.writeRoots === undefined ? {} : { writeRoots: owner.writeRoots }),
	};
	const entries = (["deny", "ask"] as const).flatMap((verdict) =>
		owner[verdict].map((limit, i): PolicyEntry => ({ ...limit, id: `owner-${verdict}-${i + 1}`, verdict })),
	);
	const about = aboutOf(call, here, entries);
	const judgements = entries.flatMap((entry) => (entryMatches(entry, about) ? [entryJudgement(entry, about)] : []));
	// Limits that the owner set hold for their own kind of objection.
	const holds = ({ category }: Judgement): boolean =>
		owner.builtIn === "enforce" ||
		(category === "outside" && (owner.readRoots !== undefined || owner.writeRoots !== undefined)) ||
		(category === "network" && owner.hosts !== undefined);
	return [...judgements, ...objectionsTo(call, here, owner.hosts ?? null).filter(holds)].reduce(graver, NO_OBJECTION);
}

/** Hosts that both name; an owner who names none leaves it to the team. */
export const narrowHosts = (team: readonly string[], owner: readonly string[] | undefined): string[] =>
	owner === undefined ? [...team] : hostsInBoth(team, owner);

// ------------------------------------------------------------ parts

/** A call as entries see it. */
interface About {
	tool: string;
	subjects: Subject[];
	/** Texts that an entry may name it by, for each subject. */
	names: string[][];
	/** What its commands come down to: `git push` of `cd x && sudo git push`. */
	inner: string[];
	/** The one text that stands for all its subjects; null: it shows none. */
	whole: string | null;
	/** Whether its commands run within the work directory, which entries that allow them take for granted. */
	isAtHome: boolean;
}

function aboutOf(call: ToolCall, place: Place, entries: readonly PolicyEntry[]): About {
	const subjects = subjectOf(call, place);
	const texts = subjects.flatMap((subject) => (subject.kind === "other" ? [] : [subject.text.trim()]));
	const [only] = texts;
	const needsInner = entries.some((entry) => entry.match !== undefined && entry.verdict !== "allow" && toolMatches(entry, call.tool));
	return {
		tool: call.tool,
		subjects,
		names: subjects.map((subject) => namesOf(subject, place)),
		inner: needsInner
			? subjects.flatMap((one) => (one.kind === "command" ? inspectCommand(one.text, { ...place, cwd: one.cwd }).commands : []))
			: [],
		whole: only === undefined ? null : texts.length === 1 ? only : JSON.stringify(texts),
		isAtHome: subjects.every((subject) => subject.kind !== "command" || isWithin(subject.cwd, place.workDir)),
	};
}

const isWithin = (path: string, dir: string): boolean => path === dir || path.startsWith(dir.endsWith("/") ? dir : `${dir}/`);

function namesOf(subject: Subject, place: Place): string[] {
	const text = subject.text.trim();
	if (subject.kind === "other") return [];
	if (subject.kind !== "path") return [text];
	const below = (dir: string | null, prefix: string): string[] =>
		dir !== null && text !== dir && isWithin(text, dir) ? [prefix + text.slice(dir.endsWith("/") ? dir.length : dir.length + 1)] : [];
	return [text, ...below(place.workDir, ""), ...below(place.home, "~/")];
}

/**
 * An entry that denies or asks is meant wide: one subject that it names is enough, and a command within a command too. One that allows is meant narrow: it must name all of them, and
 * what a `*` stands for in a command must be plain words, so that `npm test *` does not allow `npm test; curl ... | sh`.
 */
function entryMatches(entry: PolicyEntry, about: About): boolean {
	const { match, verdict } = entry;
	if (verdict !== "allow") {
		if (!toolMatches(entry, about.tool)) return false;
		return match === undefined || [...about.names, about.inner].some((names) => names.some((name) => matchesPattern(match, name)));
	}
	if (!matchesName(entry.tool, about.tool) || !about.isAtHome) return false;
	if (match === undefined) return true;
	if (about.whole === null) return false;
	if (isLiteral(match) && matchesPattern(match, about.whole)) return true;
	return about.subjects.every((subject, i) => {
		const takes = subject.kind === "command" ? isPlainWords : undefined;
		return (about.names[i] ?? []).some((name) => matchesPattern(match, name, takes));
	});
}

/** Whoever forbids `Bash` means opencode's `bash` too. */
const toolMatches = (entry: PolicyEntry, tool: string): boolean => matchesName(entry.tool.toLowerCase(), tool.toLowerCase());

function isPlainWords(text: string, from: number, to: number): boolean {
	for (let i = from; i < to; i++) if (";&|<>()`$\n\r\\\"'{}!#".includes(text.charAt(i))) return false;
	return true;
}

/** Names one subject, or one tool whose calls show none. */
const isExact = (entry: PolicyEntry, about: About): boolean =>
	entry.match === undefined ? about.whole === null && !entry.tool.endsWith("*") : isLiteral(entry.match);

/** Of several that say the same, always the same one, whatever their order. */
const firstOf = (entries: readonly PolicyEntry[], verdict: VerdictName): PolicyEntry | undefined =>
	entries.filter((entry) => entry.verdict === verdict).sort(byId)[0];
const byId = (a: PolicyEntry, b: PolicyEntry): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);

/** Built-in judgements with the team's grades, less what bypasses lift; the gravest that is left. */
function regrade(policy: Policy, objections: Judgement[], who: Who, now: number): { judgement: Judgement; bypass?: Bypass } {
	let worst: { judgement: Judgement; bypass?: Bypass } = { judgement: NO_OBJECTION };
	for (const objection of objections) {
		const graded = { ...objection, verdict: gradeOf(policy, objection) };
		const bypass = graded.verdict === "allow" ? undefined : policy.bypasses.find((one) => lifts(one, graded, who, now));
		const left = bypass === undefined ? { judgement: graded } : { judgement: lifted(graded, bypass), bypass };
		const isWorse = graver(worst.judgement, left.judgement) === left.judgement;
		// Of judgements that all allow, one that was lifted is the one to tell.
		if (isWorse || (worst.judgement.verdict === "allow" && worst.bypass === undefined)) worst = left;
	}
	return worst;
}

function gradeOf(policy: Policy, { rule, category, verdict }: Judgement): VerdictName {
	const grade = (name: string | null): VerdictName | undefined =>
		name !== null && Object.hasOwn(policy.rules, name) ? policy.rules[name] : undefined;
	return grade(rule) ?? grade(category) ?? verdict;
}

function lifts(bypass: Bypass, { rule, category }: Judgement, who: Who, now: number): boolean {
	const until = bypass.at === undefined ? bypass.until : Math.min(bypass.until, bypass.at + MAX_BYPASS_MS);
	if (now >= until || (bypass.at !== undefined && now < bypass.at)) return false;
	if (bypass.sessionId !== undefined && bypass.sessionId !== who.sessionId) return false;
	if (bypass.principal !== undefined && bypass.principal !== who.principal) return false;
	return bypass.lifts === undefined || bypass.lifts.some((name) => name === rule || name === category);
}

const lifted = (objection: Judgement, bypass: Bypass): Judgement => ({
	...objection,
	verdict: "allow",
	rule: `bypass:${bypass.id}`,
	reason: `${bypass.reason}; lifts ${objection.rule ?? "a rule"}: ${objection.reason}`.slice(0, 2048),
});

const notAllowed = (tool: string, whose: string): Judgement => ({
	verdict: "deny",
	rule: "tool-not-allowed",
	category: "policy",
	reason: `${tool.slice(0, 256)} is not among the tools that ${whose} allows`,
	suggestion: "Use a tool that is allowed, or ask for this one.",
});

const entryJudgement = (entry: PolicyEntry, about: About): Judgement => ({
	verdict: entry.verdict,
	rule: `entry:${entry.id}`,
	category: entry.verdict === "allow" ? null : "policy",
	reason:
		entry.reason ?? { allow: "A person allowed this", ask: "A person must look at this", deny: "A person denied this" }[entry.verdict],
	...(about.whole === null ? {} : { evidence: about.whole.slice(0, 512) }),
});

const entryBy = (entry: PolicyEntry): string => `entry:${entry.id} by ${entry.author ?? "nobody named"}`;
const bypassBy = (bypass: Bypass): string => `bypass:${bypass.id} by ${bypass.author ?? "nobody named"}`;

const dryRun = (decided: Decided, wouldBe: Judgement, version: number): Decided => ({
	...NO_OBJECTION,
	policyVersion: version,
	explicit: false,
	by: `policy:${version}`,
	...(decided.verdict === "allow" ? {} : { dryRun: wouldBe }),
});
