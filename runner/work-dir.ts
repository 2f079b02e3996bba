import { mkdirSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve, sep } from "node:path";
import { type Problem, problem } from "../shared/errors.ts";
import { err, ok, type Result } from "../shared/result.ts";

/** Directories whose whole content is the machine's, not a project's. */
const SYSTEM = [
	"/bin",
	"/boot",
	"/dev",
	"/etc",
	"/lib",
	"/lib32",
	"/lib64",
	"/proc",
	"/run",
	"/sbin",
	"/sys",
	"/usr",
	"/var/lib",
	"/var/run",
];

const OF_PROCESSES = ["/proc", "/dev", "/sys"];

/**
 * The real path of a session's work directory, or why it is refused. Symbolic links are resolved first, so that what is
 * checked is what is used. This is where a session starts, not a jail around it.
 */
export function resolveWorkDir(
	asked: string | null,
	ownDir: string,
	roots: string[] | undefined,
	stateDir?: string,
): Result<string, Problem> {
	if (asked === null) {
		mkdirSync(ownDir, { recursive: true, mode: 0o700 });
		return ok(realpathSync(ownDir));
	}
	// Another process's names for directories: `/proc/self/cwd` is the daemon's own.
	if (OF_PROCESSES.some((dir) => `${resolve(asked)}/`.startsWith(`${dir}/`)))
		return err(problem("work_dir_refused", `${asked} is no project's directory; name the directory itself`));
	let real: string;
	try {
		real = realpathSync(asked);
		if (!statSync(real).isDirectory()) return err(problem("work_dir_not_found", `${asked} is not a directory on this runner`));
	} catch {
		return err(problem("work_dir_not_found", `${asked} does not exist on this runner, or it may not look there`));
	}
	const inside = (dir: string) => dir === sep || real === dir || real.startsWith(dir + sep);
	// What works there would have the runner's key, or other sessions' files. Only an owner who names a directory in it as a root means it.
	const state = stateDir === undefined ? null : realOrSame(stateDir);
	if (
		state !== null &&
		inside(state) &&
		!(roots ?? []).some((root) => realOrSame(root).startsWith(state + sep) && inside(realOrSame(root)))
	)
		return err(problem("work_dir_refused", `${asked} is the runner's own, which no session may see`));
	if (roots !== undefined)
		return roots.some((root) => inside(realOrSame(root)))
			? ok(real)
			: err(problem("work_dir_refused", `${asked} is not in one of this runner's roots`));
	const home = realOrSame("/home");
	const homes = ["/", "/var", home, realOrSame(homedir())];
	if (homes.includes(real) || dirname(real) === home || SYSTEM.some(inside))
		return err(problem("work_dir_refused", `${real} is a system or home directory; name a project's directory inside it`));
	// ~/.ssh, ~/.aws, ~/.config: settings and keys of the user's programs.
	for (const dir of [realOrSame(homedir()), "/root", ...(real.startsWith(home + sep) ? [real.split(sep).slice(0, 3).join(sep)] : [])])
		if (dir !== sep && real.startsWith(`${dir}${sep}.`))
			return err(
				problem("work_dir_refused", `${real} is a hidden directory of a home; its owner can allow it as one of the roots in runner.toml`),
			);
	return ok(real);
}

function realOrSame(path: string): string {
	try {
		return realpathSync(path);
	} catch {
		return path;
	}
}

/** Where a session without a work directory works. */
export const ownWorkDir = (stateDir: string, sessionId: string): string => join(stateDir, "work", sessionId);
