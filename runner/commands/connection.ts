import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { z } from "zod";
import { Client, LogLost, ProblemError, Unreachable } from "../../shared/client.ts";
import { check } from "../../shared/codec.ts";
import { findStateDir } from "../config.ts";
import { neutralise } from "./screen.ts";

/** Exit codes of all commands; `run` adds those of a turn's end. Stated in the README. */
export const EXIT = { done: 0, failed: 1, usage: 2, auth: 10, interrupted: 130 } as const;

/** What the person who typed can mend; told in one line. */
export class UsageError extends Error {
	readonly exitCode: number;
	constructor(message: string, exitCode: number = EXIT.usage) {
		super(message);
		this.exitCode = exitCode;
	}
}

export interface ConnectionOptions {
	url?: string;
	apiKeyFile?: string;
	stateDir?: string;
}

/** What `hotplex up` leaves in the state directory for the other commands of this machine. */
export const ClientFile = z.object({ url: z.string(), apiKey: z.string() });
export type ClientFile = z.infer<typeof ClientFile>;

export const withConnection = (command: Command): Command =>
	command
		.option("--url <address>", "the gateway's address (or HOTPLEX_URL)")
		.option("--api-key-file <path>", "a file that holds the API key (or HOTPLEX_API_KEY)")
		.option("--state-dir <path>", "where `hotplex up` keeps its state (or HOTPLEX_STATE_DIR)");

/**
 * The gateway and the key: flag over environment over what `hotplex up` wrote. The key of that file is for the address in it
 * and goes to no other.
 */
export function resolveConnection(
	options: ConnectionOptions,
	env: NodeJS.ProcessEnv = process.env,
	cwd: string = process.cwd(),
): { url: string; apiKey: string } {
	const saidUrl = options.url ?? nonEmpty(env.HOTPLEX_URL);
	const saidKey = options.apiKeyFile === undefined ? nonEmpty(env.HOTPLEX_API_KEY) : keyFrom(resolve(cwd, options.apiKeyFile));
	if (saidUrl !== undefined && !/^https?:\/\/./.test(saidUrl))
		throw new UsageError(`--url ${saidUrl}: expected an address like https://hotplex.example.com`);
	if (saidUrl !== undefined && saidKey !== undefined) return { url: saidUrl, apiKey: saidKey };
	const path = join(findStateDir(options.stateDir, env, cwd), "client.json");
	const file = clientFile(path);
	const url = saidUrl ?? file?.url;
	if (url === undefined)
		throw new UsageError(
			`no gateway is known. Start one with \`hotplex up\`, or say --url (HOTPLEX_URL) and --api-key-file (HOTPLEX_API_KEY); ${path} does not exist`,
		);
	const apiKey = saidKey ?? (file !== null && sameOrigin(file.url, url) ? file.apiKey : undefined);
	if (apiKey === undefined) throw new UsageError(`no API key for ${url} is known. Say --api-key-file or HOTPLEX_API_KEY`, EXIT.auth);
	return { url, apiKey };
}

export const connect = (options: ConnectionOptions): Client => new Client(resolveConnection(options));

/** An action whose expected failures are one line on stderr and an exit code, never a stack. */
export function action<A extends unknown[]>(run: (...args: A) => Promise<void>): (...args: A) => Promise<void> {
	return async (...args) => {
		try {
			await run(...args);
		} catch (error) {
			process.exitCode = report(error);
		}
	};
}

/** Tells an error as a person can use it; returns the exit code. */
export function report(error: unknown): number {
	const [text, code] = described(error);
	process.stderr.write(`hotplex: ${neutralise(text)}\n`);
	return code;
}

function described(error: unknown): [string, number] {
	if (error instanceof ProblemError) {
		const { code, detail } = error.problem;
		return [`${detail} (${code})`, code === "unauthorized" ? EXIT.auth : EXIT.failed];
	}
	if (error instanceof UsageError) return [error.message, error.exitCode];
	if (error instanceof Unreachable) return [`${error.message} (unreachable)`, EXIT.failed];
	if (error instanceof LogLost) return [`${error.message} (log_lost)`, EXIT.failed];
	return [error instanceof Error ? error.message : String(error), EXIT.failed];
}

/** One JSON document on stdout. C1 and direction controls are escaped too, since a terminal may show it. */
export function printJson(value: unknown): void {
	process.stdout.write(`${jsonText(value, 2)}\n`);
}

export function jsonText(value: unknown, indent?: number): string {
	return JSON.stringify(value, null, indent).replace(
		/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
		(c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
	);
}

/** Rows under their heads, columns as wide as their widest; nothing at all says so. */
export function printTable(heads: string[], rows: (string | number | null)[][], none: string): void {
	if (rows.length === 0) {
		process.stdout.write(`${none}\n`);
		return;
	}
	const cells = [heads, ...rows.map((row) => row.map((cell) => neutralise(cell === null ? "-" : String(cell)).replaceAll("\n", " ")))];
	const widths = heads.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? "").length)));
	for (const row of cells)
		process.stdout.write(
			`${row
				.map((cell, i) => cell.padEnd(widths[i] ?? 0))
				.join("  ")
				.trimEnd()}\n`,
		);
}

export const when = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString().replace(/\.\d+Z$/, "Z"));

/** `90s`, `15m`, `24h`, `30d` in ms. */
export function duration(text: string): number {
	const found = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
	const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[found?.[2] ?? ""];
	if (!found || unit === undefined) throw new UsageError(`${text}: expected a duration with its unit, like 90s, 15m, 24h or 30d`);
	return Number(found[1]) * unit;
}

/** A whole number of a flag. */
export function wholeNumber(flag: string, text: string | undefined): number | undefined {
	if (text === undefined) return undefined;
	if (!/^\d{1,15}$/.test(text)) throw new UsageError(`${flag} ${text}: expected a whole number`);
	return Number(text);
}

function keyFrom(path: string): string {
	let text: string;
	try {
		text = readFileSync(path, "utf8").trim();
	} catch (cause) {
		throw new UsageError(`--api-key-file ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
	}
	if (!/^[\x21-\x7e]+$/.test(text)) throw new UsageError(`--api-key-file ${path}: expected one API key and nothing else`);
	return text;
}

function clientFile(path: string): ClientFile | null {
	let json: unknown;
	try {
		json = JSON.parse(readFileSync(path, "utf8"));
	} catch (cause) {
		if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return null;
		throw new UsageError(`${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
	}
	const file = check(ClientFile, json);
	if (!file.ok) throw new UsageError(`${path}: ${file.error.detail}`);
	return file.value;
}

const nonEmpty = (text: string | undefined): string | undefined => (text === "" ? undefined : text);
const sameOrigin = (a: string, b: string): boolean => URL.canParse(a) && URL.canParse(b) && new URL(a).origin === new URL(b).origin;
