import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

export type CliEnv = Record<string, string>;

/** A private home for the real CLIs, and the whole environment that each is to be started with. */
export interface CliHome {
	/** An empty directory to work in. */
	workDir: string;
	claude: CliEnv;
	opencode: CliEnv;
}

/**
 * Makes a home in `dir` from which the real CLIs talk to `modelUrl` (a fake model API) and to nobody else, and ask
 * before they run a command or write a file. Nothing of the surrounding environment but PATH reaches them: no
 * credential of the machine, and no setting that changes a test.
 */
export async function cliHome(dir: string, modelUrl: string): Promise<CliHome> {
	const home = join(dir, "home");
	const temp = join(dir, "tmp");
	const workDir = join(dir, "work");
	const opencodeConfig = join(home, ".config/opencode");
	for (const made of [opencodeConfig, temp, workDir]) await mkdir(made, { recursive: true });
	await writeFile(join(opencodeConfig, "opencode.json"), JSON.stringify(opencodeSettings(modelUrl), null, "\t"));
	const common: CliEnv = { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: home, TMPDIR: temp, LANG: "C.UTF-8" };
	return {
		workDir,
		claude: {
			...common,
			ANTHROPIC_API_KEY: "dummy",
			ANTHROPIC_BASE_URL: modelUrl,
			// Without it, telemetry and an update check.
			CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
		},
		opencode: {
			...common,
			// Without them, a list of models and the newest version are looked up.
			OPENCODE_DISABLE_MODELS_FETCH: "1",
			OPENCODE_DISABLE_AUTOUPDATE: "1",
		},
	};
}

function opencodeSettings(modelUrl: string): object {
	const model = { name: "M", limit: { context: 200_000, output: 8192 }, cost: { input: 3, output: 15 } };
	return {
		autoupdate: false,
		share: "disabled",
		model: "fake/m",
		small_model: "fake/m",
		enabled_providers: ["fake"],
		provider: {
			fake: { npm: "@ai-sdk/openai-compatible", options: { baseURL: `${modelUrl}/v1`, apiKey: "dummy" }, models: { m: model } },
		},
		permission: { bash: "ask", edit: "ask" },
	};
}
