import { z } from "zod";
import { AuditRecord } from "./audit.ts";
import { ErrorCode, Problem } from "./errors.ts";
import { Isolation, Jail, LoggedEvent, SessionStateName, StopReason, Usage, WafReach } from "./events.ts";
import { ClientId, Decision, InputText, Labels, OfferedProvider, PermissionMode, Snapshot } from "./frames.ts";
import { ApprovalId, Epoch, KeyId, Offset, RunnerId, SessionId, TeamId, TurnId } from "./ids.ts";
import { parseSelector, selectorErrorText } from "./selector.ts";
import { Stats } from "./stats.ts";
import { Bypass, Policy } from "./waf/policy.ts";
import { Judgement } from "./waf/verdict.ts";

/** The bodies of the REST interface. Requests are strict: an unknown field is an error that names it. */

export const Scope = z.enum([
	"sessions:read",
	"sessions:write",
	"runners:read",
	"runners:write",
	"keys:write",
	"policy:read",
	"policy:write",
	"audit:read",
]);
export type Scope = z.infer<typeof Scope>;
export const ALL_SCOPES: Scope[] = Scope.options;

const page = <T extends z.ZodType>(item: T) => z.object({ data: z.array(item), nextCursor: z.string().nullable() });
export const PageQuery = z.object({
	limit: z.coerce.number().int().min(1).max(200).default(50),
	cursor: z.string().max(256).optional(),
});

/** Which runners a session may go to, by their labels: `gpu=true, os in (linux), !spot`. */
const SelectorText = z.string().superRefine((text, issues) => {
	const selector = parseSelector(text);
	if (!selector.ok) issues.addIssue({ code: "custom", message: selectorErrorText(selector.error) });
});

export const CreateSession = z.strictObject({
	/** A name of the caller's own: the same key gives the same session for ever, per team. */
	key: z.string().min(1).max(256).optional(),
	/** Absent: what the team's runners offer first. */
	provider: z
		.string()
		.min(1)
		.max(64)
		.regex(/^[a-z0-9][a-z0-9_-]*$/)
		.optional(),
	/** Absolute path on the runner. Absent: an empty directory of the session's own. */
	workDir: z
		.string()
		.max(4096)
		// biome-ignore lint/suspicious/noControlCharactersInRegex: a name with one is somebody's trick with logs and terminals
		.regex(/^\/[^\x00-\x1f\x7f]*$/, "expected an absolute path without control characters")
		.optional(),
	model: z
		.string()
		.min(1)
		.max(128)
		.regex(/^[A-Za-z0-9][A-Za-z0-9._:/@[\]-]*$/, "expected a model's name")
		.optional(),
	permissionMode: PermissionMode.default("default"),
	/** Absent: any runner that offers the provider. */
	selector: SelectorText.optional(),
});
export type CreateSession = z.infer<typeof CreateSession>;

export const Session = z.object({
	sessionId: SessionId,
	key: z.string().nullable(),
	provider: z.string(),
	workDir: z.string().nullable(),
	model: z.string().nullable(),
	permissionMode: PermissionMode,
	state: SessionStateName,
	why: z.string().nullable(),
	runnerId: RunnerId.nullable(),
	/** In its canonical form; null: any runner. */
	selector: z.string().nullable(),
	/** Who opened it; null: it is older than that is kept. */
	principal: z.string().nullable(),
	/** How its processes were bounded when they last ran; null: none has run. `waf`: which of its tool calls are judged before they run. */
	isolation: Isolation.nullable(),
	jail: Jail.nullable(),
	waf: WafReach.nullable(),
	createdAt: z.int(),
	updatedAt: z.int(),
});
export type Session = z.infer<typeof Session>;
export const SessionPage = page(Session);

export const ReleaseSession = z.strictObject({
	/** Take the running turn's input once more, as a new turn. Its runner may have begun it, so only a person can say that this is right. */
	again: z.boolean().default(false),
});
/** A session that waits for a runner. */
export const QueueEntry = z.object({
	sessionId: SessionId,
	principal: z.string().nullable(),
	/** 1 is served next, if all can be placed. */
	position: z.int(),
	since: z.int(),
	why: z.string(),
	provider: z.string(),
	selector: z.string().nullable(),
});
export type QueueEntry = z.infer<typeof QueueEntry>;
export const QueueList = z.object({ data: z.array(QueueEntry) });

export const CreateTurn = z.strictObject({ text: InputText, clientId: ClientId.optional() });
export const Turn = z.object({
	turnId: TurnId,
	clientId: z.string().nullable(),
	state: z.enum(["waiting", "running", "ended"]),
	/** Why it waits, in words for a person; null if it does not. */
	why: z.string().nullable(),
	stopReason: StopReason.nullable(),
	error: z.object({ code: ErrorCode, detail: z.string() }).nullable(),
	acceptedAt: z.int(),
	startedAt: z.int().nullable(),
	endedAt: z.int().nullable(),
	usage: Usage.nullable(),
	/** The log's last offset before this turn's input: read events after it to follow the turn. */
	afterOffset: Offset,
});
export type Turn = z.infer<typeof Turn>;
export const TurnPage = page(Turn);
export const AcceptedTurn = z.object({ ...Turn.shape, duplicate: z.boolean() });

/** A tool call that waits for a person. */
export const Approval = z.object({
	approvalId: ApprovalId,
	sessionId: SessionId,
	tool: z.string(),
	/** The command, path or host, cut to 4,096 units; the whole input is in the session's log. */
	subject: z.string(),
	cwd: z.string(),
	/** The rule that asks; null: the CLI does. */
	rule: z.string().nullable(),
	reason: z.string().nullable(),
	/** What the rule says to do instead. */
	suggestion: z.string().nullable(),
	/** Who sent the input that led to it. */
	requestedBy: z.string(),
	askedAt: z.int(),
	/** Then it is denied. */
	expiresAt: z.int(),
	/** Where the session's log has the call with its whole input; null: it has waited since before that was kept. */
	offset: Offset.nullable(),
});
export type Approval = z.infer<typeof Approval>;
export const ApprovalList = z.object({
	data: z.array(Approval),
	/** The gateway's clock, by which they expire. */
	now: z.int(),
	/** Who asks for this list, as the log would name them if they decided, and what they may do. */
	principal: z.object({ actor: z.string(), scopes: z.array(Scope) }),
});
export type ApprovalList = z.infer<typeof ApprovalList>;

export const Decide = z.strictObject(Decision.omit({ approvalId: true }).shape);

export const EventsQuery = z.object({
	after: z.coerce.number().int().nonnegative().pipe(Offset).optional(),
	epoch: Epoch.optional(),
	limit: z.coerce.number().int().min(1).max(1000).default(1000),
});
export const EventPage = z.object({
	data: z.array(LoggedEvent),
	epoch: Epoch,
	firstOffset: Offset,
	lastOffset: Offset,
	durableOffset: Offset,
	/** False: events that were asked for are not there any more; `firstOffset` is the first that is left. */
	recovered: z.boolean(),
	rewindTo: Offset.optional(),
	/** As in a socket's welcome (LOG-9). */
	snapshot: Snapshot.optional(),
});
export type EventPage = z.infer<typeof EventPage>;

export const Runner = z.object({
	runnerId: RunnerId,
	name: z.string(),
	state: z.enum(["online", "offline", "draining", "revoked"]),
	version: z.string().nullable(),
	/** Its own, its providers' (`provider/NAME`, with the version), and over both those of the token that it enrolled with. */
	labels: z.record(z.string(), z.string()),
	capacity: z.int(),
	hosting: z.int(),
	providers: z.array(OfferedProvider),
	isolation: Isolation.nullable(),
	/** What bounds its sessions' files and network; null: it has not registered, or is older than the jail. */
	jail: Jail.nullable(),
	enrolledAt: z.int(),
	lastSeenAt: z.int().nullable(),
});
export type Runner = z.infer<typeof Runner>;
export const RunnerList = z.object({ data: z.array(Runner) });

export const CreateRunnerToken = z.strictObject({
	labels: Labels.default({}),
	expiresInMs: z
		.int()
		.min(1000)
		.max(24 * 3600_000)
		.default(3600_000),
});
export const RunnerToken = z.object({ token: z.string(), expiresAt: z.int() });

export const EnrolRunner = z.strictObject({
	/** Ed25519, raw, base64url. */
	publicKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/, "expected 32 bytes in base64url"),
	name: z.string().min(1).max(128),
});
export const Enrolled = z.object({ runnerId: RunnerId, team: TeamId });

export const CreateTicket = z.strictObject({ sessionId: SessionId });
export const Ticket = z.object({ ticket: z.string(), expiresAt: z.int() });

export const CreateKey = z.strictObject({
	name: z.string().min(1).max(128),
	scopes: z.array(Scope).min(1),
	expiresInMs: z.int().min(1000).optional(),
});
export const Key = z.object({
	keyId: KeyId,
	name: z.string(),
	scopes: z.array(Scope),
	createdAt: z.int(),
	createdBy: z.string(),
	expiresAt: z.int().nullable(),
	revokedAt: z.int().nullable(),
});
export type Key = z.infer<typeof Key>;
/** The secret is shown here, once, and is nowhere kept. */
export const CreatedKey = z.object({ ...Key.shape, apiKey: z.string() });
export const KeyList = z.object({ data: z.array(Key) });

/** A policy with who made it, and when; both null of version 0, the built-in one. */
export const PolicyVersion = z.object({ version: z.int(), policy: Policy, author: z.string().nullable(), at: z.int().nullable() });
export type PolicyVersion = z.infer<typeof PolicyVersion>;
export const PolicyVersionSummary = PolicyVersion.omit({ policy: true });
export const PolicyVersionPage = page(PolicyVersionSummary);

export const PutPolicy = z.strictObject({
	policy: Policy,
	/** The version that this one was made from. If another came meanwhile it is a `conflict`. */
	baseVersion: z.int().nonnegative(),
});
/** `pending`: how many open sessions could not be told yet; they are told again and again. All others go by the new version from now on. */
const Pushed = { pending: z.int() };
export const ChangedPolicy = z.object({ ...PolicyVersion.shape, ...Pushed });

/** What a policy would say of commands and prompts. Nothing is done and nothing is audited. */
export const TestPolicy = z.strictObject({
	rows: z
		.array(
			z.strictObject({
				id: z.union([z.string().max(256), z.number()]),
				kind: z.enum(["command", "prompt"]),
				text: z.string(),
				/** Where a command runs, and what counts as its work directory. */
				cwd: z
					.string()
					.max(4096)
					.regex(/^\/[^\0]*$/, "expected an absolute path")
					.default("/srv/project"),
			}),
		)
		.min(1)
		.max(1000),
	/** Absent: the team's current one. */
	policy: Policy.optional(),
});
export const TestedPolicy = z.object({
	/** The version that judged; null: the one in the request. */
	version: z.int().nullable(),
	data: z.array(z.object({ id: z.union([z.string(), z.number()]), ...Judgement.pick({ verdict: true, rule: true, reason: true }).shape })),
});
export type TestedPolicy = z.infer<typeof TestedPolicy>;

export const CreateBypass = z.strictObject({
	...Bypass.pick({ lifts: true, sessionId: true, principal: true, reason: true }).shape,
	/** How long it holds, from now. */
	forMs: z
		.int()
		.min(1000)
		.max(24 * 3_600_000),
});
export const CreatedBypass = z.object({ bypass: Bypass, version: z.int(), ...Pushed });

export const AuditQuery = z.object({
	/** Records after this one. */
	after: z.coerce.number().int().nonnegative().default(0),
	/** Of a JSON page. */
	limit: z.coerce.number().int().min(1).max(1000).default(100),
	/** `jsonl`, like `Accept: application/jsonl`: all records up to now, a line each. */
	format: z.enum(["json", "jsonl"]).optional(),
});
export const AuditPage = z.object({
	data: z.array(AuditRecord),
	/** The log's last record. Keep it elsewhere: it proves everything before it (AUD-2). */
	head: z.object({ n: z.int(), hash: z.string() }),
	nextCursor: z.string().nullable(),
});
export type AuditPage = z.infer<typeof AuditPage>;

export { Problem, Stats };
