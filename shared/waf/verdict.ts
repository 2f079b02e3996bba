import { z } from "zod";

/** What a gate says of a tool call or a prompt. Whatever cannot be judged is `ask`, never `allow`. */
export const VerdictName = z.enum(["allow", "ask", "deny"]);
export type VerdictName = z.infer<typeof VerdictName>;

/** What is wrong with it, by what it would do. */
export const Category = z.enum([
	/** Deletes or overwrites what is not the session's to lose. */
	"destroy",
	/** Becomes another user, or gives itself rights. */
	"escalate",
	"read_secrets",
	/** Sends files, secrets or the environment to another machine. */
	"exfiltrate",
	/** Opens a shell to the network, or runs what the network says. */
	"remote_shell",
	/** Stays after the session: cron, services, shell start files, authorized keys. */
	"persist",
	/** Leaves a container, a namespace or the jail. */
	"escape",
	/** Loads or changes kernel code and settings. */
	"kernel",
	/** Ends processes that are not its own. */
	"kill",
	/** Rewrites what others share: forced pushes, dropped databases, deleted clouds. */
	"rewrite_history",
	/** Reads or writes outside the work directory. */
	"outside",
	/** A host that the policy does not name. */
	"network",
	/** Cannot be resolved to what would run. */
	"unresolved",
	/** A team's own entry, a tool that is not allowed, a machine owner's limit. */
	"policy",
]);
export type Category = z.infer<typeof Category>;

/** A verdict with its grounds. */
export const Judgement = z.object({
	verdict: VerdictName,
	/** The rule that decided, `rm-recursive-outside`; null: no rule objects. */
	rule: z.string().max(128).nullable(),
	category: Category.nullable(),
	/** In words for a person: what it would do. */
	reason: z.string().max(2048),
	/** What to do instead, where there is something. */
	suggestion: z.string().max(1024).optional(),
	/** The resolved command or path that the rule saw, cut to 512 units. */
	evidence: z.string().max(1024).optional(),
});
export type Judgement = z.infer<typeof Judgement>;

export const NO_OBJECTION: Judgement = { verdict: "allow", rule: null, category: null, reason: "no rule objects" };

/** The graver of two judgements; of equal ones the first. */
export const graver = (a: Judgement, b: Judgement): Judgement => (GRAVITY[b.verdict] > GRAVITY[a.verdict] ? b : a);
const GRAVITY: Record<VerdictName, number> = { allow: 0, ask: 1, deny: 2 };

/** Where a session works: what its paths and commands are judged against. */
export interface Place {
	/** Absolute. What lies in it is the session's own. */
	workDir: string;
	/** The directory that the command runs in; absolute. */
	cwd: string;
	/** Of the session's user; null: not known. */
	home: string | null;
	/** Directories besides the work directory that may be read, or read and written. Absolute. */
	readRoots?: readonly string[];
	writeRoots?: readonly string[];
}

/** What a model is told of a denial, and by whom: whose rule it was, why, and what to do instead. */
export const denialInWords = ({ rule, reason, suggestion }: Judgement, whose: string): string =>
	`Denied by ${whose}${rule === null ? "" : `, rule ${rule}`}: ${reason}.${suggestion === undefined ? "" : ` ${suggestion}`}`.slice(
		0,
		4096,
	);
