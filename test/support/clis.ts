import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, chmod, constants, copyFile, mkdir, mkdtemp, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

/** Absolute paths of the real CLIs' executables. */
export interface Clis {
	claude: string;
	opencode: string;
}

const ROOT = join(import.meta.dirname, "../..");
const SET = join(ROOT, "test/clis");
const CACHE = join(ROOT, "node_modules/.cache");
/** Half a gigabyte from a slow registry. */
const INSTALL_TIMEOUT_MS = 10 * 60_000;
const POLL_MS = 250;

/**
 * The CLIs of `test/clis/package-lock.json`, installed once per lock file into the cache, whoever asks first. They
 * are not the project's own dependencies: a user of the project must not download them.
 */
export async function installClis(): Promise<Clis> {
	const hash = createHash("sha256")
		.update(await readFile(join(SET, "package-lock.json")))
		.digest("hex")
		.slice(0, 12);
	const installed = join(CACHE, `clis-${hash}`);
	if (!(await exists(installed))) {
		await mkdir(CACHE, { recursive: true });
		await locked(`${installed}.lock`, async () => {
			if (!(await exists(installed))) await install(installed);
		});
	}
	const clis = {
		claude: join(installed, `node_modules/@anthropic-ai/claude-code-linux-${process.arch}/claude`),
		opencode: join(installed, `node_modules/opencode-linux-${process.arch}/bin/opencode`),
	};
	for (const path of Object.values(clis)) {
		await access(path, constants.X_OK).catch(() => {
			throw new Error(`${path} is not there: test/clis/package.json names no package for ${process.platform} ${process.arch}`);
		});
	}
	return clis;
}

/** The directory appears whole or not at all, so a test run that is killed in mid-install leaves nothing half done. */
async function install(target: string): Promise<void> {
	const dir = await mkdtemp(`${target}.tmp-`);
	try {
		for (const file of ["package.json", "package-lock.json"]) await copyFile(join(SET, file), join(dir, file));
		await promisify(execFile)("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: dir, timeout: INSTALL_TIMEOUT_MS });
		await chmod(dir, 0o755);
		await rename(dir, target);
	} catch (cause) {
		await rm(dir, { recursive: true, force: true });
		const said = cause instanceof Error && "stderr" in cause ? String(cause.stderr).trim() : "";
		throw new Error(`the real CLIs of test/clis could not be installed: ${said || String(cause)}`, { cause });
	}
}

/** Runs `work` while holding a lock file that names its holder; one left behind by a dead process is taken over. */
async function locked(path: string, work: () => Promise<void>): Promise<void> {
	const giveUpAt = Date.now() + INSTALL_TIMEOUT_MS + 60_000;
	for (;;) {
		try {
			const file = await open(path, "wx");
			await file.writeFile(String(process.pid));
			await file.close();
			break;
		} catch (error) {
			if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
		}
		// Empty for the moment between its holder's open and write.
		const holder = Number(await readFile(path, "utf8").catch(() => ""));
		if (holder > 0 && !isAlive(holder)) await rm(path, { force: true });
		else if (Date.now() > giveUpAt) throw new Error(`${path} is held by process ${holder}, which does not finish`);
		else await sleep(POLL_MS);
	}
	try {
		await work();
	} finally {
		await rm(path, { force: true });
	}
}

function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch {
		return false;
	}
}

const exists = (path: string): Promise<boolean> =>
	access(path).then(
		() => true,
		() => false,
	);
