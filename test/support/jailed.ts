import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import { CliProcess, findCommand } from "../../runner/cli-process.ts";
import { type RunnerConfig, readRunnerConfig } from "../../runner/config.ts";
import { type Confinement, enter, type Inmate, type Launch } from "../../runner/jail.ts";
import { Journal } from "../../runner/journal.ts";
import { findLayers } from "../../runner/layers.ts";
import { SessionId } from "../../shared/ids.ts";

/** The configuration that a runner has that was told nothing. */
export function plainConfig(stateDir: string): RunnerConfig {
	const config = readRunnerConfig({}, {}, stateDir);
	if (!config.ok) throw new Error(config.error);
	return config.value;
}

export interface JailedRun {
	code: number | null;
	stdout: string;
	stderr: string;
}

/** Jails as the daemon makes them for its sessions, for one command each. */
export class Jailer {
	readonly stateDir: string;
	readonly confinement: Confinement;
	readonly sessionId = SessionId.parse(`ses_${"a".repeat(26)}`);

	/** `isThere`: of the machine's programs, those that this one has. */
	constructor(stateDir: string, isThere?: (name: string) => boolean) {
		this.stateDir = stateDir;
		mkdirSync(stateDir, { recursive: true, mode: 0o700 });
		this.confinement = findLayers(plainConfig(stateDir), process.env, isThere).confinement;
	}

	/** Starts a command as a session's CLI is started, with a journal. */
	async start(workDir: string, command: string[], more: Partial<Inmate> = {}): Promise<CliProcess> {
		const started = await CliProcess.start(this.launch(workDir, command, more), new Journal(this.journalDir));
		if (!started.ok) throw new Error(started.error.detail);
		return started.value;
	}

	get journalDir(): string {
		return join(this.stateDir, "sessions", this.sessionId, "1", "1");
	}

	launch(workDir: string, [command = "", ...args]: string[], more: Partial<Inmate> = {}): Launch {
		const env = { PATH: process.env.PATH ?? "", LANG: "C.UTF-8", ...more.env };
		const file = findCommand(command, env.PATH);
		if (file === null) throw new Error(`${command} is not installed`);
		const launch = enter(this.confinement, this.stateDir, {
			sessionId: this.sessionId,
			workDir,
			file,
			args,
			ownerArgs: [],
			read: [],
			write: [],
			limits: {},
			network: "none",
			...more,
			env,
		});
		if (!launch.ok) throw new Error(launch.error.detail);
		return launch.value;
	}

	/** Starts a command in the session's jail with what stdio says. */
	spawn(workDir: string, command: string[], stdio: "pipe" | "ignore", more: Partial<Inmate> = {}): ChildProcess {
		const { file, args, cwd, env, descriptors } = this.launch(workDir, command, more);
		const fds = descriptors.map((path) => openSync(path, "r"));
		try {
			return spawn(file, args, {
				cwd,
				env,
				stdio: ["ignore", stdio, stdio, ...fds],
				detached: true,
			});
		} finally {
			for (const fd of fds) closeSync(fd);
		}
	}

	/** Runs a command in the jail to its end. */
	run(workDir: string, command: string[], more: Partial<Inmate> = {}): Promise<JailedRun> {
		return new Promise((resolve) => {
			const child = this.spawn(workDir, command, "pipe", more);
			let stdout = "";
			let stderr = "";
			child.stdout?.on("data", (chunk: Buffer) => {
				stdout += chunk.toString("utf8");
			});
			child.stderr?.on("data", (chunk: Buffer) => {
				stderr += chunk.toString("utf8");
			});
			child.once("close", (code) => resolve({ code, stdout, stderr }));
		});
	}

	workDir(name: string): string {
		const dir = join(this.stateDir, "..", name);
		mkdirSync(dir, { recursive: true });
		return dir;
	}
}
