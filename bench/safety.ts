/**
 * What keeps a session in, measured on this machine.
 *
 *   npm run bench:safety -- [--processes N] [--starts N] [--json]
 *
 *   --processes N  of the tree that is ended (500)
 *   --starts N     of each kind, jailed and bare, taken in turn (21)
 *   --json         only the last line: {"decision":{"p50Ms","p99Ms","worst64KiBMs"},"escapes":{"tried","succeeded"},
 *                  "tree":{"processes","survivors","zombies","ms"},"jailStartMs","jailStartNodeMs"}
 *
 * Decisions are bench/waf.ts's. Escapes are those of test/support/escapes.ts, tried in each kind of jail that this user can make. The tree is
 * ended as a session is; `ms` is from the order until nothing of it is left. `jailStartMs` is the difference of the medians from the
 * decision to start until `true` has ended, with the layout of the jail and the bridge to the network.
 */
import { execFileSync, spawn } from "node:child_process";
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { SERVICE_UID } from "../runner/jail.ts";
import { ESCAPES, Outside } from "../test/support/escapes.ts";
import { Jailer } from "../test/support/jailed.ts";
import { inNamespacesBelow, leftOf, treeOf } from "../test/support/tree.ts";

const { values } = parseArgs({
	options: {
		processes: { type: "string", default: "500" },
		starts: { type: "string", default: "21" },
		json: { type: "boolean", default: false },
	},
});
const print = (line: string): void => {
	if (!values.json) console.log(line);
};
const round = (ms: number): number => Math.round(ms * 10) / 10;
const median = (of: number[]): number => of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)] ?? Number.NaN;
const dir = mkdtempSync(join(tmpdir(), "hotplex-safety-"));
const isRoot = process.getuid?.() === 0;

function decisions(): Record<string, number> {
	const waf = fileURLToPath(new URL("./waf.ts", import.meta.url));
	const said = execFileSync(process.execPath, [waf, "--json"], { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
	const { p50Ms, p99Ms, worst64KiBMs } = (JSON.parse(said.trim().split("\n").at(-1) ?? "{}") as { decision: Record<string, number> })
		.decision;
	return { p50Ms: p50Ms ?? Number.NaN, p99Ms: p99Ms ?? Number.NaN, worst64KiBMs: worst64KiBMs ?? Number.NaN };
}

/** Every attempt in every kind of jail. */
async function escapes(): Promise<{ tried: number; succeeded: number }> {
	let tried = 0;
	let succeeded = 0;
	for (const owner of isRoot ? [SERVICE_UID, 0] : [process.getuid?.() ?? 0]) {
		const place = join(dir, `escapes-${owner}`);
		mkdirSync(place);
		const outside = new Outside(place, new Jailer(join(place, "state")), owner);
		await outside.open();
		for (const attempt of ESCAPES) {
			tried++;
			const reached = await outside.attempt(attempt);
			if (reached === null) continue;
			succeeded++;
			print(`  ESCAPED: ${attempt.name}: ${reached}`);
		}
		outside.close();
	}
	return { tried, succeeded };
}

async function tree(processes: number): Promise<{ processes: number; survivors: number; zombies: number; ms: number }> {
	const jailer = new Jailer(join(dir, "tree-state"));
	const run = await jailer.start(jailer.workDir("tree-work"), treeOf(processes));
	const stdout = join(jailer.journalDir, "stdout");
	for (const deadline = Date.now() + 60_000; !readFileSync(stdout, "utf8").includes("READY"); await sleep(20))
		if (Date.now() > deadline) throw new Error(`the tree did not come to be: ${readFileSync(join(jailer.journalDir, "stderr"), "utf8")}`);
	const all = [run.pid, ...inNamespacesBelow(run.pid)];
	const before = performance.now();
	await run.stop(1_500);
	const ms = round(performance.now() - before);
	return { processes: all.length, ...leftOf(all), ms };
}

/** Median extra milliseconds of a start in the jail. */
async function startOf(command: string[], starts: number): Promise<number> {
	const jailer = new Jailer(join(dir, "start-state"));
	const workDir = jailer.workDir("start-work");
	if (isRoot) chownSync(workDir, SERVICE_UID, SERVICE_UID);
	const socketDir = join(dir, "start-socket");
	mkdirSync(socketDir, { recursive: true });
	const server = createServer().listen(join(socketDir, "proxy.sock"));
	const [bare, jailed]: [number[], number[]] = [[], []];
	const timed = (start: () => ReturnType<typeof spawn>): Promise<number> => {
		const before = performance.now();
		const child = start();
		return new Promise((resolve) => child.once("exit", () => resolve(performance.now() - before)));
	};
	const [file = "", ...args] = command;
	for (let i = 0; i < starts; i++) {
		bare.push(await timed(() => spawn(file, args, { cwd: workDir, env: { PATH: process.env.PATH }, stdio: "ignore", detached: true })));
		jailed.push(await timed(() => jailer.spawn(workDir, command, "ignore", { network: { socketDir } })));
	}
	server.close();
	rmSync(socketDir, { recursive: true, force: true });
	print(`  ${command.join(" ").padEnd(12)} bare ${round(median(bare))} ms, in the jail ${round(median(jailed))} ms`);
	return round(median(jailed) - median(bare));
}

try {
	print("decisions");
	const decision = decisions();
	print(`  p50 ${decision.p50Ms} ms, p99 ${decision.p99Ms} ms, worst of 64 KiB ${decision.worst64KiBMs} ms`);
	print("escapes");
	const escaped = await escapes();
	print(`  ${escaped.tried} tried, ${escaped.succeeded} succeeded`);
	print("ending a tree");
	const ended = await tree(Number(values.processes));
	print(`  ${ended.processes} processes: ${ended.survivors} survivors and ${ended.zombies} zombies after ${ended.ms} ms`);
	print("starting");
	const jailStartMs = await startOf(["true"], Number(values.starts));
	const jailStartNodeMs = await startOf(["node", "-e", "0"], Number(values.starts));
	print(`  the jail adds ${jailStartMs} ms\n`);
	console.log(JSON.stringify({ decision, escapes: escaped, tree: ended, jailStartMs, jailStartNodeMs }));
	if (escaped.succeeded + ended.survivors + ended.zombies > 0) process.exitCode = 1;
} finally {
	rmSync(dir, { recursive: true, force: true });
}
