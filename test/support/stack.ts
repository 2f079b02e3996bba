import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Client } from "../../shared/client.ts";

const MAIN = fileURLToPath(new URL("../../runner/main.ts", import.meta.url));

export interface StackOptions {
	/** Added to a bare environment (PATH and a private HOME); nothing of the surrounding one is passed on. */
	env?: Record<string, string>;
	/** More arguments for `hotplex up`. */
	args?: string[];
	/** An existing state directory, to start again on. Absent: a fresh one. */
	stateDir?: string;
}

/** A whole self-hosted HotPlex: `hotplex up --json` as its own process, on loopback, in a directory of its own. */
export interface Stack {
	url: string;
	apiKey: string;
	client: Client;
	stateDir: string;
	home: string;
	process: ChildProcess;
	stderr(): string;
	/** What `hotplex ARGS` prints and how it ends, with this stack's gateway and key. */
	hotplex(args: string[], input?: string): Promise<{ code: number | null; stdout: string; stderr: string }>;
	/** SIGTERM, and waits for the end; the exit code. The state stays. */
	stop(): Promise<number | null>;
	/** Stops it and removes its directories. */
	remove(): Promise<void>;
}

export async function startStack(options: StackOptions = {}): Promise<Stack> {
	const stateDir = options.stateDir ?? mkdtempSync(join(tmpdir(), "hotplex-e2e-"));
	const home = join(stateDir, "home");
	const env = { PATH: process.env.PATH ?? "", HOME: home, LANG: "C.UTF-8", ...options.env };
	const child = spawn(process.execPath, [MAIN, "up", "--json", "--state-dir", stateDir, "--port", "0", ...(options.args ?? [])], {
		env,
		stdio: ["ignore", "pipe", "pipe"],
	});
	let stderr = "";
	child.stderr?.on("data", (chunk: Buffer) => {
		stderr += chunk.toString("utf8");
	});
	// A test that fails leaves its stack to this: it stops, and its gateway with it.
	process.once("exit", () => child.kill("SIGTERM"));
	const ended = new Promise<number | null>((resolve) => child.once("exit", (code) => resolve(code)));
	const line = await new Promise<string>((resolve, reject) => {
		let out = "";
		child.stdout?.on("data", (chunk: Buffer) => {
			out += chunk.toString("utf8");
			const end = out.indexOf("\n");
			if (end >= 0) resolve(out.slice(0, end));
		});
		ended.then((code) => reject(new Error(`hotplex up ended with ${code}: ${stderr}`)), reject);
	});
	const { url, apiKey } = JSON.parse(line) as { url: string; apiKey: string };
	const stop = async (): Promise<number | null> => {
		if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
		return await ended;
	};
	return {
		url,
		apiKey,
		client: new Client({ url, apiKey }),
		stateDir,
		home,
		process: child,
		stderr: () => stderr,
		hotplex: (args, input) => runHotplex(args, { ...env, HOTPLEX_STATE_DIR: stateDir }, input),
		stop,
		remove: async () => {
			await stop();
			rmSync(stateDir, { recursive: true, force: true });
		},
	};
}

/** One run of the `hotplex` command. */
export function runHotplex(
	args: string[],
	env: Record<string, string>,
	input = "",
): Promise<{ code: number | null; stdout: string; stderr: string }> {
	return new Promise((resolve) => {
		const child = spawn(process.execPath, [MAIN, ...args], { env, stdio: ["pipe", "pipe", "pipe"] });
		let stdout = "";
		let stderr = "";
		child.stdout.on("data", (chunk: Buffer) => {
			stdout += chunk.toString("utf8");
		});
		child.stderr.on("data", (chunk: Buffer) => {
			stderr += chunk.toString("utf8");
		});
		child.once("close", (code) => resolve({ code, stdout, stderr }));
		child.stdin.on("error", () => {});
		child.stdin.end(input);
	});
}

/** The pid of the gateway's workerd, to be killed as a test of what survives that. */
export function gatewayPid(stack: Stack): number {
	const identity = JSON.parse(readFileSync(join(stack.stateDir, "gateway", "process.json"), "utf8")) as { pid: number };
	return identity.pid;
}
