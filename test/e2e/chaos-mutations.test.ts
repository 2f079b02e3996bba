import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { type Change, copyProduct } from "../../chaos/copy.ts";

const MAIN = fileURLToPath(new URL("../../chaos/main.ts", import.meta.url));
const dir = mkdtempSync(join(tmpdir(), "hotplex-mutations-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const OBJECT = "worker/session-object.ts";

/** The product with one of its safeguards taken out, and a fault that must then be seen to do harm. */
const MUTATIONS: { name: string; fault: string; harm: string[]; changes: Change[] }[] = [
	{
		name: "an acknowledgement before it is stored",
		fault: "gateway-killed",
		// What is lost may be what a turn waits for.
		harm: ["lost", "unfinished"],
		changes: [
			{
				file: OBJECT,
				from: "			if (this.#log.isFlushDue(now)) this.#store();\n			this.#broadcast(after);",
				to: '			this.#tellRunner({ type: "ack", seq: seq(this.#taken) });\n			this.#broadcast(after);',
			},
		],
	},
	{
		name: "events that are taken however often they come",
		fault: "takeover",
		harm: ["doubled"],
		changes: [{ file: OBJECT, from: "const events = f.events.slice(this.#taken + 1 - f.firstSeq);", to: "const events = f.events;" }],
	},
	{
		name: "an older generation that may write",
		fault: "split-brain-redialled",
		harm: ["reordered", "doubled"],
		changes: [
			{
				file: OBJECT,
				from: 'if (f.generation !== link.generation || !this.#isCurrent(link)) return close(ws, "lease_lost", "another lease has replaced this one");',
				to: "",
			},
			{
				file: OBJECT,
				from: 'if (lease.phase !== "held" || lease.runnerId !== link.runnerId || lease.generation !== f.generation)',
				to: 'if (lease.phase !== "held")',
			},
			{
				file: OBJECT,
				from: 'return lease.phase === "held" && lease.generation === link.generation && lease.runnerId === link.runnerId;',
				to: 'return lease.phase === "held" && link.generation !== null;',
			},
		],
	},
	{
		name: "a log that is stored in another order",
		fault: "takeover",
		harm: ["reordered"],
		changes: [
			{
				file: "worker/event-log.ts",
				from: "for (const { logged, json, bytes } of this.#tail) {",
				to: "for (const { logged, json, bytes } of this.#tail.toReversed()) {",
			},
		],
	},
];

test.concurrent.each(MUTATIONS)(
	"the harness fails on $name",
	async ({ name, fault, harm, changes }) => {
		const root = copyProduct(join(dir, name.replaceAll(" ", "-")), changes);
		// A busy machine may miss the moment in which it does harm; then another seed has its turn.
		const said: string[] = [];
		for (const seed of ["1", "2", "3"]) {
			const args = [MAIN, "--json", "--root", root, "--seed", seed, "--runs", "1", "--only", fault, "--patience", "10"];
			const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
			process.once("exit", () => child.kill("SIGTERM"));
			let out = "";
			child.stdout.setEncoding("utf8").on("data", (text: string) => {
				out += text;
			});
			const code = await new Promise((resolve) => child.once("close", resolve));
			const total = JSON.parse(out.trimEnd().split("\n").at(-1) ?? "null") as Record<string, number>;
			if (code === 1 && harm.some((kind) => (total[kind] ?? 0) > 0)) return;
			said.push(out);
		}
		expect.unreachable(`no seed did harm: ${said.join("\n")}`);
	},
	240_000,
);
