import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runHotplex, type Stack } from "./stack.ts";

const MAIN = fileURLToPath(new URL("../../runner/main.ts", import.meta.url));

/** `hotplex runner run` as a process of its own, with a state directory that it is started on again and again. */
export class RunnerDaemon {
	readonly stateDir: string;
	readonly env: Record<string, string>;
	/** What the last one said. */
	said = "";
	#child: ChildProcess | null = null;

	constructor(stateDir: string) {
		this.stateDir = stateDir;
		mkdirSync(stateDir, { recursive: true });
		this.env = { PATH: process.env.PATH ?? "", HOME: stateDir, LANG: "C.UTF-8" };
	}

	/** Enrols the state directory as a runner of this stack's team, at this address of its gateway. */
	async enrol(stack: Pick<Stack, "url" | "client">, name = "lonely"): Promise<void> {
		const { token } = await stack.client.createRunnerToken();
		const args = ["runner", "enrol", "--url", stack.url, "--token-file", "-", "--name", name, "--state-dir", this.stateDir];
		const enrolled = await runHotplex(args, this.env, token);
		if (enrolled.code !== 0) throw new Error(enrolled.stderr);
	}

	get pid(): number {
		if (this.#child?.pid === undefined) throw new Error("no daemon runs");
		return this.#child.pid;
	}

	/** Starts it; settles when it is registered. `main`: another version's. */
	async start(args: string[] = [], main = MAIN): Promise<void> {
		const child = this.spawn(args, main);
		this.#child = child;
		await new Promise<void>((resolve, reject) => {
			child.stderr?.on("data", () => this.said.includes("ready at") && resolve());
			child.once("exit", (code) => reject(new Error(`the runner ended with ${code}: ${this.said}`)));
		});
	}

	/** Starts it and waits for nothing. */
	spawn(args: string[] = [], main = MAIN): ChildProcess {
		this.said = "";
		const child = spawn(process.execPath, [main, "runner", "run", "--state-dir", this.stateDir, ...args], {
			env: this.env,
			stdio: ["ignore", "ignore", "pipe"],
		});
		child.stderr?.on("data", (chunk: Buffer) => {
			this.said += chunk.toString("utf8");
		});
		return child;
	}

	signal(name: NodeJS.Signals): void {
		process.kill(this.pid, name);
	}

	/** Its exit code, once it has ended; null after a kill. */
	async ended(): Promise<number | null> {
		const child = this.#child;
		if (child === null) return null;
		this.#child = null;
		if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
		return new Promise((resolve) => child.once("exit", (code) => resolve(code)));
	}

	/** Sends the signal and waits for the end. Nothing if none runs. */
	async end(signal: NodeJS.Signals): Promise<number | null> {
		if (this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null) this.signal(signal);
		return this.ended();
	}
}
