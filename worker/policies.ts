import type { z } from "zod";
import type { CreateBypass, PolicyVersion, PolicyVersionSummary, TestedPolicy, TestPolicy } from "../shared/api.ts";
import { canonicalJson } from "../shared/audit.ts";
import { type Problem, problem } from "../shared/errors.ts";
import { idBody } from "../shared/ids.ts";
import { err, ok, type Result } from "../shared/result.ts";
import {
	BUILT_IN,
	type Bypass,
	checkPolicy,
	type Decided,
	decidePrompt,
	decideToolCall,
	Policy,
	type PolicyEntry,
	type VersionedPolicy,
} from "../shared/waf/policy.ts";

/** A row of SQLite holds 2 MB; a policy that comes in a body is smaller, but one grows by the entries of people's answers. */
const MAX_POLICY_UNITS = 1_000_000;
const MAX_ENTRIES = 2000;

// RPC types are computed by the compiler; named ones keep that from going deep.
export type PolicyVersionDto = z.output<typeof PolicyVersion>;
type TestRows = z.output<typeof TestPolicy>["rows"];
export type PolicySummaryDto = z.output<typeof PolicyVersionSummary>;

/** Who makes a change, and when (ms since the epoch). */
interface Change {
	by: string;
	at: number;
}

/**
 * The policy that a team wants, with its authors: an entry or bypass that stands in `current` as it is keeps who made it and when, and
 * every other one is by who changes it now, whatever the body says. Bypasses that are over are left out.
 */
export function authored(current: Policy, wanted: Policy, change: Change): Result<Policy, Problem> {
	const running = wanted.bypasses.filter((b) => b.until > change.at || !current.bypasses.some((c) => sameSaid(b, c)));
	const over = running.findIndex((b) => b.until <= change.at);
	if (over >= 0) return err(problem("bad_request", `bypasses.${over}.until: expected a time that is still to come`));
	const tools = stamped(current.tools, wanted.tools, change);
	return checkPolicy({ ...wanted, tools, bypasses: stamped(current.bypasses, running, change) }, change.at);
}

/** The same but for who made it and when. */
const sameSaid = <T extends { author?: string | undefined; at?: number | undefined }>(a: T, b: T): boolean =>
	canonicalJson({ ...a, author: undefined, at: undefined }) === canonicalJson({ ...b, author: undefined, at: undefined });

function stamped<T extends { id: string; author?: string | undefined; at?: number | undefined }>(
	current: readonly T[],
	wanted: readonly T[],
	{ by, at }: Change,
): T[] {
	return wanted.map((item) => current.find((c) => c.id === item.id && sameSaid(c, item)) ?? { ...item, author: by, at });
}

type Row = { version: number; policy: string; author: string; at: number };

/** A team's policies, one after the other: versions are added and never changed. The table is the team's (team-object.ts). */
export class Policies {
	readonly #sql: SqlStorage;
	/** Parsed once, since every dispatch asks. */
	#parsed: { text: string; version: PolicyVersionDto } | null = null;

	constructor(sql: SqlStorage) {
		this.#sql = sql;
	}

	/** What holds now; version 0, the built-in one, where the team has said nothing. */
	get current(): PolicyVersionDto {
		const [row] = this.#sql.exec<Row>("SELECT * FROM policies ORDER BY version DESC LIMIT 1").toArray();
		if (row === undefined) return BUILT_IN_VERSION;
		// Compared by its text, since a transaction that failed takes a version back.
		if (this.#parsed?.text !== row.policy || this.#parsed.version.version !== row.version)
			this.#parsed = { text: row.policy, version: toVersion(row) };
		return this.#parsed.version;
	}

	get(version: number): PolicyVersionDto | null {
		if (version === 0) return BUILT_IN_VERSION;
		const [row] = this.#sql.exec<Row>("SELECT * FROM policies WHERE version = ?", version).toArray();
		return row === undefined ? null : toVersion(row);
	}

	/** Newest first, those before `cursor`; version 0 at the end. */
	list(limit: number, cursor: number | null): PolicySummaryDto[] {
		const rows: PolicySummaryDto[] = this.#sql
			.exec<{ version: number; author: string; at: number }>(
				"SELECT version, author, at FROM policies WHERE version < ? ORDER BY version DESC LIMIT ?",
				cursor ?? Number.MAX_SAFE_INTEGER,
				limit,
			)
			.toArray();
		if (rows.length < limit && cursor !== 0) rows.push({ version: 0, author: null, at: null });
		return rows;
	}

	/** The next version, if nobody else made one since `baseVersion`. */
	put(wanted: Policy, baseVersion: number, change: Change): Result<PolicyVersionDto, Problem> {
		const { version, policy } = this.current;
		if (version !== baseVersion)
			return err(
				problem(
					"conflict",
					`the policy is at version ${version}, not ${baseVersion}: read it, make your change to that, and send it again`,
				),
			);
		const next = authored(policy, wanted, change);
		return next.ok ? this.#add(next.value, change) : next;
	}

	/** Adds a person's answer that is to count always. Null: one that says the same is there. */
	addEntry(entry: PolicyEntry, change: Change): Result<PolicyVersionDto | null, Problem> {
		const { policy } = this.current;
		const says = ({ tool, match, verdict }: PolicyEntry): string => canonicalJson({ tool, match, verdict });
		if (policy.tools.some((e) => says(e) === says(entry))) return ok(null);
		if (policy.tools.length >= MAX_ENTRIES)
			return err(problem("too_large", `the policy has ${MAX_ENTRIES} entries; take some out or join them with *`));
		const id = policy.tools.some((e) => e.id === entry.id) ? `${entry.id}-${randomPart()}`.slice(-64).replace(/^[._-]+/, "") : entry.id;
		return this.#add({ ...policy, tools: [...policy.tools, { ...entry, id, author: change.by, at: change.at }] }, change);
	}

	addBypass(wanted: z.output<typeof CreateBypass>, change: Change): Result<{ version: PolicyVersionDto; bypass: Bypass }, Problem> {
		const { policy } = this.current;
		const { forMs, ...said } = wanted;
		const bypass: Bypass = { ...said, id: `bypass-${randomPart()}`, until: change.at + forMs, author: change.by, at: change.at };
		const running = policy.bypasses.filter((b) => b.until > change.at);
		if (running.length >= 100) return err(problem("too_large", "100 bypasses hold already; end some"));
		const checked = checkPolicy({ ...policy, bypasses: [...running, bypass] }, change.at);
		if (!checked.ok) return checked;
		const added = this.#add(checked.value, change);
		return added.ok ? ok({ version: added.value, bypass }) : added;
	}

	/** Ends one before its time. Null: there is none of this id. */
	endBypass(id: string, change: Change): Result<{ version: PolicyVersionDto; ended: Bypass } | null, Problem> {
		const { policy } = this.current;
		const ended = policy.bypasses.find((b) => b.id === id);
		if (ended === undefined) return ok(null);
		const added = this.#add({ ...policy, bypasses: policy.bypasses.filter((b) => b.id !== id) }, change);
		return added.ok ? ok({ version: added.value, ended }) : added;
	}

	/** Takes out what is over; it counts for nobody since then, whether or not this comes late. */
	endOverdue(now: number): Bypass[] {
		const { policy } = this.current;
		const over = policy.bypasses.filter((b) => b.until <= now);
		if (over.length > 0) this.#add({ ...policy, bypasses: policy.bypasses.filter((b) => b.until > now) }, { by: "gateway", at: now });
		return over;
	}

	/** When the next bypass is over; null: none holds. */
	get dueAt(): number | null {
		const { bypasses } = this.current.policy;
		return bypasses.length === 0 ? null : Math.min(...bypasses.map((b) => b.until));
	}

	#add(policy: Policy, { by, at }: Change): Result<PolicyVersionDto, Problem> {
		const text = JSON.stringify(policy);
		if (text.length > MAX_POLICY_UNITS)
			return err(problem("too_large", `a policy may have ${MAX_POLICY_UNITS} characters of JSON; this one has ${text.length}`));
		const version = this.current.version + 1;
		this.#sql.exec("INSERT INTO policies (version, policy, author, at) VALUES (?, ?, ?, ?)", version, text, by, at);
		return ok(this.current);
	}
}

const BUILT_IN_VERSION: PolicyVersionDto = { ...BUILT_IN, author: null, at: null };

// An older gateway's policy gets the defaults of what came since; one that is not understood any more is no policy, and everything stops.
const toVersion = (row: Row): PolicyVersionDto => ({
	version: row.version,
	policy: Policy.parse(JSON.parse(row.policy)),
	author: row.author,
	at: row.at,
});

const randomPart = (): string => idBody(crypto.getRandomValues(new Uint8Array(26))).slice(0, 12);

/**
 * What a policy makes of commands and prompts, as if everybody's; also of one that does not enforce it. A command is judged as a shell tool's, at home in
 * its directory.
 */
export function testPolicy(versioned: VersionedPolicy, rows: TestRows, now: number): z.output<typeof TestedPolicy>["data"] {
	const enforced: VersionedPolicy = { ...versioned, policy: { ...versioned.policy, mode: "enforce" } };
	const who = { sessionId: "", principal: "" };
	return rows.map(({ id, kind, text, cwd }) => {
		const { verdict, rule, reason }: Decided =
			kind === "prompt"
				? decidePrompt(enforced, text, who, now)
				: decideToolCall(enforced, [], { tool: "Bash", input: { command: text } }, { workDir: cwd, cwd, home: null }, who, now);
		return { id, verdict, rule, reason };
	});
}
