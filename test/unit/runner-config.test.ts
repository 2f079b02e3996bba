import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { type Flags, findStateDir, type RunnerConfig, readRunnerConfig } from "../../runner/config.ts";
import { Duration, Size } from "../../shared/units.ts";

const root = mkdtempSync(join(tmpdir(), "hotplex-config-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let made = 0;
/** A state directory with this runner.toml. */
function stateDir(toml?: string): string {
	const dir = join(root, `${++made}`);
	mkdirSync(dir);
	if (toml !== undefined) writeFileSync(join(dir, "runner.toml"), toml);
	return dir;
}
/** The configuration, or what is wrong with it. */
const read = (toml: string | undefined, flags: Flags = {}, env: NodeJS.ProcessEnv = {}): RunnerConfig | string => {
	const result = readRunnerConfig(flags, env, stateDir(toml));
	return result.ok ? result.value : result.error;
};

const DEFAULTS: RunnerConfig = {
	name: hostname(),
	capacity: 8,
	labels: {},
	idleTimeout: 1_800_000,
	silenceTimeout: 600_000,
	drainGrace: 30_000,
	maxJournal: 1024 ** 3,
	minFreeDisk: 128 * 1024 ** 2,
	jail: { mode: "auto", read: [], write: [], network: "proxy" },
	policy: { deny: [], ask: [], builtIn: "team" },
};
const PROVIDER = { kind: "claude-code", command: "claude", args: [], env: [], read: [], write: [], asks: true } as const;

describe("runner.toml", () => {
	test("[CFG-1] without a file everything has a default", () => {
		expect(read(undefined)).toEqual(DEFAULTS);
		expect(read("")).toEqual(DEFAULTS);
	});

	// A new key does not compile until it is here.
	const KEYS: Record<keyof RunnerConfig, [toml: string, value: unknown]> = {
		name: ['name = "box"', "box"],
		capacity: ["capacity = 3", 3],
		labels: ['labels = { gpu = "a100" }', { gpu: "a100" }],
		roots: ['roots = ["/srv"]', ["/srv"]],
		idleTimeout: ['idleTimeout = "1h"', 3_600_000],
		silenceTimeout: ['silenceTimeout = "90s"', 90_000],
		drainGrace: ['drainGrace = "250ms"', 250],
		maxJournal: ['maxJournal = "64MiB"', 64 * 1024 ** 2],
		minFreeDisk: ['minFreeDisk = "1GiB"', 1024 ** 3],
		jail: ['[jail]\nmode = "require"', { ...DEFAULTS.jail, mode: "require" }],
		policy: ['[policy]\nbuiltIn = "enforce"', { deny: [], ask: [], builtIn: "enforce" }],
		providers: ['[providers.mine]\nkind = "claude-code"\ncommand = "claude"', { mine: PROVIDER }],
	};
	test.each(Object.entries(KEYS))("[CFG-2] %s has an effect, and only its own", (key, [toml, value]) => {
		expect(read(toml)).toEqual({ ...DEFAULTS, [key]: value });
	});

	const PROVIDER_KEYS: Record<keyof NonNullable<RunnerConfig["providers"]>[string], [toml: string, value: unknown]> = {
		kind: ['kind = "acp"', "acp"],
		command: ['command = "/opt/agent"', "/opt/agent"],
		args: ['args = ["acp"]', ["acp"]],
		env: ['env = ["API_KEY"]', ["API_KEY"]],
		read: ['read = ["/opt/x", "?~/.config/x"]', ["/opt/x", "?~/.config/x"]],
		write: ['write = ["~/.x"]', ["~/.x"]],
		hosts: ['hosts = ["*.corp.test", "127.0.0.1:8080"]', ["*.corp.test", "127.0.0.1:8080"]],
		mode: ['mode = "ask"', "ask"],
		authMethod: ['authMethod = "key"', "key"],
		asks: ["asks = false", false],
	};
	test.each(Object.entries(PROVIDER_KEYS))("[CFG-2] a provider's %s has an effect, and only its own", (key, [toml, value]) => {
		const plain = Object.entries({ kind: 'kind = "claude-code"', command: 'command = "claude"' }).filter(([k]) => k !== key);
		const text = ["[providers.mine]", ...plain.map(([, line]) => line), toml].join("\n");
		expect(read(text)).toEqual({ ...DEFAULTS, providers: { mine: { ...PROVIDER, [key]: value } } });
	});

	const JAIL_KEYS: Record<keyof RunnerConfig["jail"], [toml: string, value: unknown]> = {
		mode: ['mode = "off"', "off"],
		read: ['read = ["/opt/x"]', ["/opt/x"]],
		write: ['write = ["/srv/cache"]', ["/srv/cache"]],
		network: ['network = "host"', "host"],
		maxMemory: ['maxMemory = "2GiB"', 2 * 1024 ** 3],
		maxProcesses: ["maxProcesses = 100", 100],
	};
	test.each(Object.entries(JAIL_KEYS))("[CFG-2] the jail's %s has an effect, and only its own", (key, [toml, value]) => {
		expect(read(`[jail]\n${toml}`)).toEqual({ ...DEFAULTS, jail: { ...DEFAULTS.jail, [key]: value } });
	});

	test.each([
		["capcity = 3", "capcity"],
		['[jail]\nmode = "maybe"', "jail.mode"],
		['[jail]\nread = ["opt"]', "jail.read.0: expected an absolute path or one in ~/"],
		["[jail]\nmaxProcesses = 1", "jail.maxProcesses"],
		["[jail]\nnetwrk = 1", "netwrk"],
		["jail = 1", "jail"],
		['[providers.mine]\nkind = "acp"\ncommand = "x"\nargz = []', "argz"],
		["capacity = 0", "capacity"],
		["capacity = 1.5", "capacity"],
		['capacity = "3"', "capacity"],
		['name = ""', "name"],
		['roots = ["srv"]', "expected an absolute path"],
		["idleTimeout = 30", "idleTimeout"],
		["maxJournal = 1000", "maxJournal"],
		['minFreeDisk = "0MiB"', "minFreeDisk"],
		['idleTimeout = "30"', 'expected a number with a unit, like "30s", "10m" or "24h"'],
		['drainGrace = "100d"', "drainGrace"],
		['drainGrace = "600h"', "drainGrace: expected at most 24 days"],
		['[providers."My CLI"]\nkind = "acp"\ncommand = "x"', "providers"],
		['[providers.mine]\nkind = "aider"\ncommand = "x"', "providers.mine.kind"],
		['[providers.mine]\nkind = "acp"', "providers.mine.command"],
		['[providers.mine]\nkind = "acp"\ncommand = "x"\nenv = ["A=1"]', "providers.mine.env.0"],
		["capacity =", "is not TOML"],
	])("[CFG-3] %j is refused, and the error says %j", (toml, words) => {
		expect(read(toml)).toEqual(expect.stringContaining(words));
	});

	test("[CFG-3] an error names the file", () => {
		const dir = stateDir("nam = 1");
		expect(readRunnerConfig({}, {}, dir)).toEqual({ ok: false, error: expect.stringContaining(join(dir, "runner.toml")) });
	});
});

describe("flags and environment", () => {
	const FILE = [
		'name = "file"',
		"capacity = 1",
		'labels = { from = "file" }',
		'idleTimeout = "1s"',
		'silenceTimeout = "1s"',
		'drainGrace = "1s"',
		'maxJournal = "1MiB"',
		'minFreeDisk = "1MiB"',
	];
	const FROM: [keyof RunnerConfig, flag: Flags, env: NodeJS.ProcessEnv, file: unknown, inEnv: unknown, inFlag: unknown][] = [
		["name", { name: "flag" }, { HOTPLEX_NAME: "env" }, "file", "env", "flag"],
		["capacity", { capacity: "3" }, { HOTPLEX_CAPACITY: "2" }, 1, 2, 3],
		[
			"labels",
			{ label: ["from=flag", "a=b"] },
			{ HOTPLEX_LABELS: "from=env,a=c" },
			{ from: "file" },
			{ from: "env", a: "c" },
			{ from: "flag", a: "b" },
		],
		["idleTimeout", { idleTimeout: "3s" }, { HOTPLEX_IDLE_TIMEOUT: "2s" }, 1000, 2000, 3000],
		["silenceTimeout", { silenceTimeout: "3s" }, { HOTPLEX_SILENCE_TIMEOUT: "2s" }, 1000, 2000, 3000],
		["drainGrace", { drainGrace: "3s" }, { HOTPLEX_DRAIN_GRACE: "2s" }, 1000, 2000, 3000],
		["maxJournal", { maxJournal: "3KiB" }, { HOTPLEX_MAX_JOURNAL: "2KiB" }, 1024 ** 2, 2048, 3072],
		["minFreeDisk", { minFreeDisk: "3KiB" }, { HOTPLEX_MIN_FREE_DISK: "2KiB" }, 1024 ** 2, 2048, 3072],
	];
	test.each(FROM)("[CFG-4] %s: flag over environment over file", (key, flag, env, file, inEnv, inFlag) => {
		const toml = FILE.join("\n");
		const base = read(toml) as RunnerConfig;
		expect([read(toml, {}, {}), read(toml, {}, env), read(toml, flag, env), read(toml, flag)]).toEqual([
			{ ...base, [key]: file },
			{ ...base, [key]: inEnv },
			{ ...base, [key]: inFlag },
			{ ...base, [key]: inFlag },
		]);
	});

	const JAIL_FILE = '[jail]\nmode = "auto"\nread = ["/f"]\nwrite = ["/f"]\nnetwork = "proxy"\nmaxMemory = "1MiB"\nmaxProcesses = 20';
	const JAIL_FROM: [keyof RunnerConfig["jail"], flag: Flags, env: NodeJS.ProcessEnv, inEnv: unknown, inFlag: unknown][] = [
		["mode", { requireJail: true }, { HOTPLEX_JAIL: "off" }, "off", "require"],
		["mode", { unsafeNoJail: true }, { HOTPLEX_JAIL: "require" }, "require", "off"],
		["read", { jailRead: ["/flag"] }, { HOTPLEX_JAIL_READ: "/env:~/env" }, ["/env", "~/env"], ["/flag"]],
		["write", { jailWrite: ["/flag"] }, { HOTPLEX_JAIL_WRITE: "/env" }, ["/env"], ["/flag"]],
		["network", { jailNetwork: "proxy" }, { HOTPLEX_JAIL_NETWORK: "host" }, "host", "proxy"],
		["maxMemory", { maxMemory: "3MiB" }, { HOTPLEX_MAX_MEMORY: "2MiB" }, 2 * 1024 ** 2, 3 * 1024 ** 2],
		["maxProcesses", { maxProcesses: "40" }, { HOTPLEX_MAX_PROCESSES: "30" }, 30, 40],
	];
	test.each(JAIL_FROM)("[CFG-4] the jail's %s: flag over environment over file", (key, flag, env, inEnv, inFlag) => {
		const base = read(JAIL_FILE) as RunnerConfig;
		expect([read(JAIL_FILE, {}, env), read(JAIL_FILE, flag, env)]).toEqual([
			{ ...base, jail: { ...base.jail, [key]: inEnv } },
			{ ...base, jail: { ...base.jail, [key]: inFlag } },
		]);
	});

	test("[CFG-4] the file itself: flag over environment over the state directory's, and a named one must exist", () => {
		const [ofFlag, ofEnv] = ["flag.toml", "env.toml"].map((name) => join(root, name)) as [string, string];
		writeFileSync(ofFlag, 'name = "flag"');
		writeFileSync(ofEnv, 'name = "env"');
		const names = [
			read('name = "own"'),
			read('name = "own"', {}, { HOTPLEX_CONFIG: ofEnv }),
			read('name = "own"', { config: ofFlag }, { HOTPLEX_CONFIG: ofEnv }),
		];
		expect(names).toEqual(["own", "env", "flag"].map((name) => ({ ...DEFAULTS, name })));
		expect(read("", { config: "/nowhere.toml" })).toBe("the configuration file /nowhere.toml does not exist");
		expect(read("", {}, { HOTPLEX_CONFIG: "/nowhere.toml" })).toBe("the configuration file /nowhere.toml does not exist");
	});

	test.each<[Flags, NodeJS.ProcessEnv, string]>([
		[{ label: ["gpu"] }, {}, "a label is name=value, not gpu"],
		[{ label: ["a=b", "=x"] }, {}, "a label is name=value, not =x"],
		[{}, { HOTPLEX_LABELS: "a=b=c" }, "a label is name=value, not a=b=c"],
		[{ capacity: "many" }, {}, "capacity"],
		[{}, { HOTPLEX_CAPACITY: "" }, "capacity"],
		[{ requireJail: true, unsafeNoJail: true }, {}, "contradict"],
		[{}, { HOTPLEX_JAIL: "yes" }, "jail.mode"],
		[{ idleTimeout: "30" }, {}, "idleTimeout: expected a number with a unit"],
	])("[CFG-3] %j %j is refused: %s", (flags, env, words) => {
		expect(read(undefined, flags, env)).toEqual(expect.stringContaining(words));
	});

	test.each([
		["a flag", "state", { HOTPLEX_STATE_DIR: "/env", XDG_STATE_HOME: "/xdg" }, resolve("state")],
		["the environment", undefined, { HOTPLEX_STATE_DIR: "/env", XDG_STATE_HOME: "/xdg" }, "/env"],
		["the user's state directory", undefined, { XDG_STATE_HOME: "/xdg" }, "/xdg/hotplex"],
		["where that is by custom", undefined, {}, join(homedir(), ".local/state/hotplex")],
	])("[CFG-4] the state directory from %s", (_, flag, env, expected) => {
		// A checkout in which somebody ran `npm start` has one of its own.
		const before = process.cwd();
		process.chdir(root);
		try {
			expect(findStateDir(flag, env)).toBe(flag === undefined ? expected : join(process.cwd(), "state"));
			mkdirSync(".hotplex", { recursive: true });
			if (flag === undefined && !("HOTPLEX_STATE_DIR" in env)) expect(findStateDir(flag, env)).toBe(resolve(".hotplex"));
		} finally {
			rmSync(".hotplex", { recursive: true, force: true });
			process.chdir(before);
		}
	});
});

describe("durations", () => {
	test("[CFG-5] a duration is its number in its unit, and a number without one is none", () => {
		const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
		fc.assert(
			fc.property(fc.nat({ max: 24 }), fc.constantFrom("ms", "s", "m", "h", "d"), (n, unit) => {
				expect(Duration.parse(`${n}${unit}`)).toBe(n * units[unit]);
				expect(Duration.safeParse(`${n}`).success).toBe(false);
			}),
		);
	});
	test.each(["", "s", "-1s", "1.5s", "1 s", "1S", "1s ", "1s\n", "1m30s", "1w", "25d", "1e3s"])("[CFG-5] %j is none", (text) => {
		expect(Duration.safeParse(text).success).toBe(false);
	});
	test("[CFG-5] a size is its number in its unit, and a number without one is none", () => {
		expect(["1KiB", "64MiB", "2GiB"].map((text) => Size.parse(text))).toEqual([1024, 64 * 1024 ** 2, 2 * 1024 ** 3]);
		for (const text of ["", "1", "0MiB", "1MB", "1.5GiB", "1 MiB", "-1KiB", "9999999GiB"])
			expect([text, Size.safeParse(text).success]).toEqual([text, false]);
	});
});
