import { fileURLToPath } from "node:url";
import { execa } from "execa";
import type { Jail } from "../shared/events.ts";
import type { OfferedProvider } from "../shared/frames.ts";
import { findCommand } from "./cli-process.ts";
import type { ProviderSettings, RunnerConfig } from "./config.ts";
import { acp } from "./providers/acp.ts";
import { claudeCode } from "./providers/claude-code.ts";
import type { Provider } from "./providers/provider.ts";

/** A provider as this machine has it. */
export interface InstalledProvider {
	name: string;
	settings: ProviderSettings;
	provider: Provider;
	version: string | null;
	/** What the operator names here reaches its processes, and nothing else of the runner's environment but `PLAIN`. */
	env: Record<string, string>;
}

/** Names that every CLI may see: none of them is a secret. */
const PLAIN = [
	"PATH",
	"HOME",
	"USER",
	"LOGNAME",
	"SHELL",
	"LANG",
	"LC_ALL",
	"LC_CTYPE",
	"TZ",
	"TERM",
	"TMPDIR",
	"XDG_CONFIG_HOME",
	"XDG_DATA_HOME",
	"XDG_STATE_HOME",
	"XDG_CACHE_HOME",
	"NO_PROXY",
	"HTTP_PROXY",
	"HTTPS_PROXY",
	"SSL_CERT_FILE",
	"NODE_EXTRA_CA_CERTS",
];
/** What the CLIs that are found by themselves need to reach their models. A runner.toml replaces the whole table. */
const CLAUDE_ENV = [
	"ANTHROPIC_API_KEY",
	"ANTHROPIC_AUTH_TOKEN",
	"ANTHROPIC_BASE_URL",
	"ANTHROPIC_MODEL",
	"CLAUDE_CODE_OAUTH_TOKEN",
	"CLAUDE_CONFIG_DIR",
	"CLAUDE_CODE_USE_BEDROCK",
	"CLAUDE_CODE_USE_VERTEX",
	"CLAUDE_CODE_MAX_RETRIES",
	"CLAUDE_CODE_TMPDIR",
];
const OPENCODE_ENV = [
	"OPENCODE_CONFIG",
	"OPENCODE_CONFIG_DIR",
	"OPENCODE_DISABLE_MODELS_FETCH",
	"OPENCODE_DISABLE_AUTOUPDATE",
	"ANTHROPIC_API_KEY",
	"OPENAI_API_KEY",
	"GEMINI_API_KEY",
	"OPENROUTER_API_KEY",
];

const demo = (): ProviderSettings => ({
	kind: "acp",
	command: process.execPath,
	args: [fileURLToPath(new URL("./demo-agent.ts", import.meta.url))],
	env: [],
	// What it imports.
	read: [fileURLToPath(new URL("../node_modules", import.meta.url))],
	write: [],
	asks: true,
});

/** What this machine offers, the default first. Configured ones that are not installed are left out and told. */
export async function installedProviders(
	config: RunnerConfig,
	env: NodeJS.ProcessEnv,
	demoDir: string,
): Promise<{ installed: InstalledProvider[]; missing: string[] }> {
	const table: Record<string, ProviderSettings> = config.providers ?? {
		"claude-code": { kind: "claude-code", command: "claude", args: [], env: CLAUDE_ENV, read: [], write: [], asks: true },
		opencode: {
			kind: "acp",
			command: "opencode",
			args: ["acp"],
			env: OPENCODE_ENV,
			read: ["opencode.json", "opencode.jsonc", "AGENTS.md"].map((name) => `?~/.config/opencode/${name}`),
			write: [],
			asks: true,
		},
	};
	const installed: InstalledProvider[] = [];
	const missing: string[] = [];
	for (const [name, settings] of Object.entries(table)) {
		if (findCommand(settings.command, env.PATH ?? "") === null) missing.push(name);
		else
			installed.push({
				name,
				settings,
				provider: toProvider(settings),
				version: await versionOf(settings, env),
				env: pick(env, [...PLAIN, ...settings.env]),
			});
	}
	if (config.providers === undefined) {
		const settings = demo();
		installed.push({
			name: "demo",
			settings,
			provider: toProvider(settings),
			version: null,
			env: { ...pick(env, PLAIN), HOTPLEX_DEMO_DIR: demoDir },
		});
	}
	return { installed, missing };
}

/** How else Claude Code may be let in. */
const CLAUDE_LOGINS = [
	...["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"],
	...["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX"],
];

/** What to tell the owner of a machine whose claude has no key: a login in his home lies outside the jail. Null: nothing. */
export function loginHint(installed: Pick<InstalledProvider, "settings" | "env">[], jail: Jail): string | null {
	const lacking = installed.some(({ settings, env }) => settings.kind === "claude-code" && !CLAUDE_LOGINS.some((name) => env[name]));
	if (jail !== "namespaces" || !lacking) return null;
	return "claude has no key here, and a login in your home is outside the jail: run `claude setup-token` and set CLAUDE_CODE_OAUTH_TOKEN, or set ANTHROPIC_API_KEY, and start again";
}

export const offered = (providers: InstalledProvider[]): OfferedProvider[] => providers.map(({ name, version }) => ({ name, version }));

function toProvider(settings: ProviderSettings): Provider {
	if (settings.kind === "claude-code") return claudeCode;
	return acp({
		args: settings.args,
		asks: settings.asks,
		...(settings.mode === undefined ? {} : { mode: settings.mode }),
		...(settings.authMethod === undefined ? {} : { authMethod: settings.authMethod }),
	});
}

async function versionOf(settings: ProviderSettings, env: NodeJS.ProcessEnv): Promise<string | null> {
	if (settings.command === process.execPath) return null;
	const tried = await execa(settings.command, ["--version"], {
		reject: false,
		timeout: 10_000,
		env: pick(env, PLAIN),
		extendEnv: false,
		stdin: "ignore",
	});
	const version = /\d+\.\d+[^\s]*/.exec(typeof tried.stdout === "string" ? tried.stdout : "")?.[0];
	return version?.slice(0, 64) ?? null;
}

function pick(env: NodeJS.ProcessEnv, names: string[]): Record<string, string> {
	const picked: Record<string, string> = {};
	for (const name of names) {
		const value = env[name];
		if (value !== undefined) picked[name] = value;
	}
	return picked;
}
