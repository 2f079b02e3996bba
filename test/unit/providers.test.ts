import { expect, test } from "vitest";
import type { ProviderSettings } from "../../runner/config.ts";
import { installedProviders } from "../../runner/providers.ts";

/** What makes another program run inside one, or sends what it does elsewhere, and what opens doors. */
const DANGEROUS = {
	...{
		LD_PRELOAD: "x",
		LD_LIBRARY_PATH: "x",
		LD_AUDIT: "x",
		GLIBC_TUNABLES: "x",
		GCONV_PATH: "x",
		NODE_OPTIONS: "--require=x",
		NODE_PATH: "x",
	},
	...{ BASH_ENV: "x", ENV: "x", BASH_FUNC_ls: "x", PROMPT_COMMAND: "x", IFS: "x", CDPATH: "x", EDITOR: "x", PAGER: "x", BROWSER: "x" },
	...{
		PYTHONSTARTUP: "x",
		PYTHONPATH: "x",
		PYTHONHOME: "x",
		PERL5OPT: "x",
		PERL5LIB: "x",
		RUBYOPT: "x",
		JAVA_TOOL_OPTIONS: "x",
		CLASSPATH: "x",
	},
	...{
		GIT_SSH_COMMAND: "x",
		GIT_SSH: "x",
		GIT_ASKPASS: "x",
		GIT_EDITOR: "x",
		GIT_EXTERNAL_DIFF: "x",
		GIT_CONFIG_COUNT: "1",
		GIT_CONFIG_GLOBAL: "x",
	},
	...{ SSH_AUTH_SOCK: "x", SSH_ASKPASS: "x", GPG_AGENT_INFO: "x", DBUS_SESSION_BUS_ADDRESS: "x", DOCKER_HOST: "x", XDG_RUNTIME_DIR: "x" },
	...{
		KUBECONFIG: "x",
		DISPLAY: ":0",
		WAYLAND_DISPLAY: "x",
		GITHUB_TOKEN: "x",
		AWS_SECRET_ACCESS_KEY: "x",
		NPM_TOKEN: "x",
		DATABASE_URL: "x",
	},
	...{ HOTPLEX_API_KEY: "x", HOTPLEX_STATE_DIR: "x", ANTHROPIC_API_KEY: "x", npm_config_registry: "x", GOPROXY: "x", CARGO_HOME: "x" },
};
const offered = async (settings: Partial<ProviderSettings>): Promise<Record<string, string>> => {
	const mine: ProviderSettings = {
		kind: "acp",
		command: process.execPath,
		args: [],
		env: [],
		asks: true,
		read: [],
		write: [],
		...settings,
	};
	const config = { providers: { mine } } as unknown as Parameters<typeof installedProviders>[0];
	const { installed } = await installedProviders(config, { ...DANGEROUS, PATH: "/usr/bin:/bin", HOME: "/home/ann", LANG: "C" }, "/demo");
	return installed[0]?.env ?? {};
};

test("[SEC-5] nothing of the runner's environment reaches a CLI that loads a program, leads elsewhere or opens a door", async () => {
	expect(await offered({})).toEqual({ PATH: "/usr/bin:/bin", HOME: "/home/ann", LANG: "C" });
});

test("[SEC-5] but what the machine's owner names", async () => {
	const env = await offered({ env: ["GITHUB_TOKEN", "NODE_OPTIONS", "NOT_THERE"] });
	expect(env).toEqual({ PATH: "/usr/bin:/bin", HOME: "/home/ann", LANG: "C", GITHUB_TOKEN: "x", NODE_OPTIONS: "--require=x" });
});
