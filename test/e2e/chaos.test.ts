import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../../chaos/main.ts", import.meta.url));
const ZEROS = { lost: 0, doubled: 0, reordered: 0, unfinished: 0, secondProcesses: 0, unanswered: 0 };

/** One run of the fault harness: its last line, and what it said. */
function chaos(args: string[]): Promise<{ code: number | null; total: Record<string, unknown>; said: string }> {
	return new Promise((resolve, reject) => {
		const child = spawn(process.execPath, [MAIN, ...args], { stdio: ["ignore", "pipe", "pipe"] });
		// A test that is given up ends its worlds too.
		process.once("exit", () => child.kill("SIGTERM"));
		let out = "";
		let said = "";
		child.stdout.setEncoding("utf8").on("data", (text: string) => {
			out += text;
		});
		child.stderr.setEncoding("utf8").on("data", (text: string) => {
			said += text;
		});
		child.once("error", reject);
		child.once("close", (code) => {
			const last = out.trimEnd().split("\n").at(-1) ?? "";
			if (last.startsWith("{")) resolve({ code, total: JSON.parse(last) as Record<string, unknown>, said });
			else reject(new Error(`the harness ended with ${code}: ${said}`));
		});
	});
}

test("[P1][P2][P3][P4][P5][P6] some hundred cuts of links, and kills of daemons and gateways, on a fresh seed: nothing is lost", async () => {
	const seed = randomInt(1_000_000_000);
	const faults = "all-at-once,links,daemon-killed";
	const { code, total, said } = await chaos(["--seed", String(seed), "--runs", "3", "--parallel", "3", "--only", faults]);
	console.log(`seed ${seed}: ${total.cuts} cuts, ${total.daemonKills} + ${total.gatewayKills} kills in ${total.minutes} minutes`);
	expect(total, said).toMatchObject({ seed, ...ZEROS });
	expect(code).toBe(0);
	expect(Number(total.cuts)).toBeGreaterThan(150);
	expect([Number(total.daemonKills) > 3, Number(total.gatewayKills) > 0]).toEqual([true, true]);
}, 300_000);

/** Seeds that failed once, each with what was wrong. */
const FAILED_ONCE: [fault: string, seed: number, what: string][] = [
	["daemon-killed-at", 1, "a prompt was given to its CLI twice, and a CLI that was started and not noted never began"],
	["gateway-killed-at-start", 3, "a workerd that was killed while it started was not started again"],
	["clock-off", 2, "a clock that jumped made a quiet turn a stalled one"],
	["leases-move", 30_020, "a session whose process was starting was taken for idle, and its turn cancelled"],
	["links", 30_064, "a link's late proof pushed off the newer one, and a reset after a refused upgrade ended the daemon"],
];
test.concurrent.each(FAILED_ONCE)(
	"%s, seed %i: %s",
	async (fault, seed) => {
		const { total, said } = await chaos(["--seed", String(seed), "--runs", "1", "--only", fault, "--patience", "45"]);
		expect(total, said).toMatchObject(ZEROS);
	},
	200_000,
);
