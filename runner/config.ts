import { existsSync, readFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { join, resolve } from "node:path";
import { parse as parseToml } from "smol-toml";
import { z } from "zod";
import { describe } from "../shared/codec.ts";
import { err, ok, type Result } from "../shared/result.ts";
import { Duration, Size } from "../shared/units.ts";
import { OwnerPolicy } from "../shared/waf/policy.ts";
import { isOwnerHost } from "./reach.ts";

/** A place that is mounted in jails, `?` before it if it need not be there. */
const JailPath = z.string().regex(/^\??(\/|~\/)/, "expected an absolute path or one in ~/");

const ProviderSettings = z.strictObject({
	/** What it speaks: Claude Code's own stream-json, or the Agent Client Protocol. */
	kind: z.enum(["claude-code", "acp"]),
	/** A name on PATH or an absolute path. */
	command: z.string().min(1),
	/** Arguments before the provider's own (claude-code), or all of them (acp). */
	args: z.array(z.string()).default([]),
	/** Names of the runner's environment that its processes may see, besides the plain ones. */
	env: z.array(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/)).default([]),
	/** More of the machine that its processes may read in the jail: absolute, or in the runner's home (`~/.config/x`), where it then lies in theirs. */
	read: z.array(JailPath).default([]),
	/** The same, to be written too. */
	write: z.array(JailPath).default([]),
	/**
	 * What its sessions may reach besides the policy's hosts, the model's API most of all: names, `*.NAME`, `HOST:PORT`; addresses and this machine's
	 * own ports too, if they are written here. The APIs of the keys in `env` are among them already.
	 */
	hosts: z.array(z.string().refine(isOwnerHost, "expected a host, *.HOST, HOST:PORT or an address, without a scheme")).optional(),
	/** acp: the session mode to set, where the agent has modes. */
	mode: z.string().optional(),
	/** acp: false for an agent that makes calls without asking, so that only the jail bounds it; its sessions say so. */
	asks: z.boolean().default(true),
	/** acp: the authentication method to name after initialize, where the agent wants one. */
	authMethod: z.string().optional(),
});
export type ProviderSettings = z.infer<typeof ProviderSettings>;

const JailSettings = z.strictObject({
	/** `auto`: the strongest jail that works here, told loudly if that is the weaker one; `require`: namespaces or nothing; `off`: none. */
	mode: z.enum(["auto", "require", "off"]).default("auto"),
	/** What every session may read, and write, besides its work directory. */
	read: z.array(JailPath).default([]),
	write: z.array(JailPath).default([]),
	/** `proxy`: only through the runner's proxy and to the hosts that the policies name; `host`: the machine's own network. */
	network: z.enum(["proxy", "host"]).default("proxy"),
	/** Of one session's processes together, where cgroup v2 is delegated. */
	maxMemory: Size.optional(),
	/** Processes and threads of one session. */
	maxProcesses: z.int().min(16).max(4_194_304).optional(),
});

const File = z.strictObject({
	name: z.string().min(1).max(128).default(hostname()),
	/** Sessions that this machine hosts at once. */
	capacity: z.int().min(1).max(10_000).default(8),
	labels: z.record(z.string().min(1).max(64), z.string().max(128)).default({}),
	/** Work directories must lie in one of these. Absent: anywhere but in system directories, home directories themselves and "/". */
	roots: z.array(z.string().regex(/^\//, "expected an absolute path")).optional(),
	/** A session without a turn for this long has its process ended; the next input resumes it. */
	idleTimeout: Duration.default(30 * 60_000),
	/** No output in mid-turn for this long is told; for twice as long, with no tool running and nobody asked, the process is ended. */
	silenceTimeout: Duration.default(10 * 60_000),
	/** How long turns may go on after SIGTERM. */
	drainGrace: Duration.default(30_000),
	/** Output of a session that the gateway has not taken yet; at this its CLI is stopped until it takes some. A journal that is larger when a turn ends has its process replaced. */
	maxJournal: Size.default(1024 ** 3),
	/** What stays free on the disk of the state directory; below it CLIs are stopped and no sessions are taken. */
	minFreeDisk: Size.default(128 * 1024 ** 2),
	jail: JailSettings.prefault({}),
	/** What this machine's owner lets sessions do, whatever their teams allow. */
	policy: OwnerPolicy.default(OwnerPolicy.parse({})),
	/** Absent: claude-code and opencode where they are installed, and the demonstration. */
	providers: z.record(z.string().regex(/^[a-z0-9][a-z0-9_-]*$/), ProviderSettings).optional(),
});
export type RunnerConfig = z.infer<typeof File>;

export interface Flags {
	config?: string | undefined;
	name?: string | undefined;
	capacity?: string | undefined;
	label?: string[] | undefined;
	idleTimeout?: string | undefined;
	silenceTimeout?: string | undefined;
	drainGrace?: string | undefined;
	maxJournal?: string | undefined;
	minFreeDisk?: string | undefined;
	requireJail?: true | undefined;
	unsafeNoJail?: true | undefined;
	jailRead?: string[] | undefined;
	jailWrite?: string[] | undefined;
	jailNetwork?: string | undefined;
	maxMemory?: string | undefined;
	maxProcesses?: string | undefined;
}

/** Flag over environment (`HOTPLEX_CAPACITY`, ...) over file over the command's own defaults. Unknown keys are errors. */
export function readRunnerConfig(
	flags: Flags,
	env: NodeJS.ProcessEnv,
	stateDir: string,
	defaults: z.input<typeof File> = {},
): Result<RunnerConfig, string> {
	const path = flags.config ?? env.HOTPLEX_CONFIG ?? join(stateDir, "runner.toml");
	let file: Record<string, unknown> = {};
	if (existsSync(path)) {
		try {
			file = parseToml(readFileSync(path, "utf8"));
		} catch (cause) {
			return err(`${path} is not TOML: ${cause instanceof Error ? cause.message : String(cause)}`);
		}
	} else if (flags.config !== undefined || env.HOTPLEX_CONFIG !== undefined) return err(`the configuration file ${path} does not exist`);
	const labels = (flags.label ?? env.HOTPLEX_LABELS?.split(",") ?? []).map((pair) => pair.split("="));
	const bad = labels.find((pair) => pair.length !== 2 || pair[0] === "");
	if (bad) return err(`a label is name=value, not ${bad.join("=")}`);
	const capacity = flags.capacity ?? env.HOTPLEX_CAPACITY;
	const over = {
		name: flags.name ?? env.HOTPLEX_NAME,
		capacity: capacity === undefined ? undefined : Number(capacity),
		labels: labels.length > 0 ? Object.fromEntries(labels) : undefined,
		idleTimeout: flags.idleTimeout ?? env.HOTPLEX_IDLE_TIMEOUT,
		silenceTimeout: flags.silenceTimeout ?? env.HOTPLEX_SILENCE_TIMEOUT,
		drainGrace: flags.drainGrace ?? env.HOTPLEX_DRAIN_GRACE,
		maxJournal: flags.maxJournal ?? env.HOTPLEX_MAX_JOURNAL,
		minFreeDisk: flags.minFreeDisk ?? env.HOTPLEX_MIN_FREE_DISK,
	};
	if (flags.requireJail && flags.unsafeNoJail) return err("--require-jail and --unsafe-no-jail contradict each other");
	const maxProcesses = flags.maxProcesses ?? env.HOTPLEX_MAX_PROCESSES;
	const jail = {
		mode: flags.requireJail ? "require" : flags.unsafeNoJail ? "off" : env.HOTPLEX_JAIL,
		read: flags.jailRead ?? env.HOTPLEX_JAIL_READ?.split(":"),
		write: flags.jailWrite ?? env.HOTPLEX_JAIL_WRITE?.split(":"),
		network: flags.jailNetwork ?? env.HOTPLEX_JAIL_NETWORK,
		maxMemory: flags.maxMemory ?? env.HOTPLEX_MAX_MEMORY,
		maxProcesses: maxProcesses === undefined ? undefined : Number(maxProcesses),
	};
	if (Object.values(jail).some((v) => v !== undefined)) file = { ...file, jail: { ...asTable(file.jail), ...known(jail) } };
	const merged = { ...defaults, ...file, ...known(over) };
	const parsed = File.safeParse(merged);
	return parsed.success
		? ok(parsed.data)
		: err(`the runner's configuration (${path}, environment or flags) is not valid: ${describe(parsed.error)}`);
}

const known = (over: Record<string, unknown>): Record<string, unknown> =>
	Object.fromEntries(Object.entries(over).filter(([, v]) => v !== undefined));

/** What is no table stays what it is, and is refused by the schema. */
const asTable = (value: unknown): object =>
	typeof value === "object" && value !== null ? value : value === undefined ? {} : { mode: value };

/** Where everything of this machine lives: flag over environment over `.hotplex` here, if it exists, over the user's state directory. */
export function findStateDir(flag: string | undefined, env: NodeJS.ProcessEnv, cwd: string = process.cwd()): string {
	const named = flag ?? (env.HOTPLEX_STATE_DIR || undefined);
	if (named !== undefined) return resolve(cwd, named);
	const here = join(cwd, ".hotplex");
	if (existsSync(here)) return here;
	return join(env.XDG_STATE_HOME || join(homedir(), ".local", "state"), "hotplex");
}
