/**
 * Loaded into a daemon before its program (`node --import`): kills it with SIGKILL at one of its own steps, where a kill from outside would
 * meet it once in thousands of times. CHAOS_DIE says where: a `DiePoint` as JSON.
 */
import childProcess from "node:child_process";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { basename } from "node:path";

export interface DiePoint {
	step: Step;
	when: "before" | "after";
	nth: number;
}

/** What a daemon does that its next life finds, or not. */
export const STEPS = [
	"spawn",
	"hosting.json",
	"launch.json",
	"process.json",
	"stdin",
	"note started",
	"note turn",
	"note wrote",
	"note decide",
	"note interrupt",
	"note exited",
] as const;
export type Step = (typeof STEPS)[number];

const text = process.env.CHAOS_DIE;
if (text !== undefined) dieAt(JSON.parse(text) as DiePoint);

function dieAt(point: DiePoint): void {
	let left = point.nth;
	const passes = <T>(step: string | null, run: () => T): T => {
		const isIt = step === point.step && --left === 0;
		if (isIt && point.when === "before") process.kill(process.pid, "SIGKILL");
		const result = run();
		if (isIt) process.kill(process.pid, "SIGKILL");
		return result;
	};
	const { appendFileSync, writeFileSync, writeSync, openSync } = fs;
	const { spawn } = childProcess;
	/** FIFOs that a CLI's input is written into. */
	const inputs = new Set<number>();
	fs.openSync = (path, flags, mode) => {
		const fd = openSync(path, flags, mode);
		if (basename(String(path)) === "stdin" && flags === (fs.constants.O_WRONLY | fs.constants.O_NONBLOCK)) inputs.add(fd);
		else inputs.delete(fd);
		return fd;
	};
	fs.appendFileSync = (path, data, options) => passes(noteOf(String(path), String(data)), () => appendFileSync(path, data, options));
	fs.writeFileSync = (path, data, options) =>
		passes(basename(String(path)).replace(/\.new$/, ""), () => writeFileSync(path, data, options));
	fs.writeSync = ((fd: number, ...rest: [NodeJS.ArrayBufferView]) =>
		passes(inputs.has(fd) ? "stdin" : null, () => writeSync(fd, ...rest))) as typeof writeSync;
	childProcess.spawn = ((...args: Parameters<typeof spawn>) =>
		passes((args[2] as { detached?: boolean } | undefined)?.detached ? "spawn" : null, () => spawn(...args))) as typeof spawn;
	syncBuiltinESMExports();
}

function noteOf(path: string, data: string): string | null {
	const type = basename(path) === "notes" ? /"note":\{"type":"(\w+)"/.exec(data)?.[1] : undefined;
	return type === undefined ? null : `note ${type}`;
}
