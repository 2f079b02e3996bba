/**
 * What HotPlex adds to a turn: the same CLI spoken to directly through its pipes, and through runner and gateway on this machine.
 *
 *   npm run bench:turn -- [--turns N] [--claude PATH] [--json]
 *
 *   --turns N      turns of each kind (200)
 *   --claude PATH  the real CLI against the fake model API, instead of test/fixtures/fake-cli.ts
 *   --json         only the last line: {"direct":{...},"gateway":{...},"addedMs":...,"turns":...}
 *
 * One warm process of each kind; blocks of turns alternate, so that the machine's moods meet both. A turn is measured from the
 * input's sending (a line on stdin; an `input` frame on a WebSocket) to its end's arrival (the result line; `turn_ended`).
 * `addedMs` is the difference of the medians.
 */
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import WebSocket from "ws";
import { claudeCode } from "../runner/providers/claude-code.ts";
import { type ClientFrame, PROTOCOL_VERSION, SUBPROTOCOL, ToClientFrame } from "../shared/frames.ts";
import { cliHome } from "../test/support/clihome.ts";
import { startFakeModelApi } from "../test/support/fake-model-api.ts";
import { startStack } from "../test/support/stack.ts";

const WARM_UP_TURNS = 10;
const BLOCK_TURNS = 10;
const FAKE_CLI = fileURLToPath(new URL("../test/fixtures/fake-cli.ts", import.meta.url));

/** Runs one turn and gives its duration in ms. */
type RunTurn = () => Promise<number>;

const { values } = parseArgs({
	options: { turns: { type: "string", default: "200" }, claude: { type: "string" }, json: { type: "boolean", default: false } },
});
const turns = Number(values.turns);
if (!Number.isInteger(turns) || turns < 1) throw new Error(`--turns ${values.turns}: expected a positive whole number`);

const dir = mkdtempSync(join(tmpdir(), "hotplex-bench-"));
const model = await startFakeModelApi({ rate: 0 });
const home = await cliHome(dir, model.url);
const command = values.claude ?? process.execPath;
const args = values.claude === undefined ? [FAKE_CLI] : [];
const prompt = values.claude === undefined ? "say 20" : "fake:text tokens=20 rate=0";
const stateDir = join(dir, "state");
mkdirSync(stateDir);
writeFileSync(
	join(stateDir, "runner.toml"),
	`[providers.claude-code]\nkind = "claude-code"\ncommand = ${JSON.stringify(command)}\nargs = ${JSON.stringify(args)}\nenv = ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"]\n`,
);
const stack = await startStack({ stateDir, env: home.claude });
const ends: (() => void)[] = [];
try {
	const kinds = { direct: direct(), gateway: await throughGateway() };
	const measured: Record<keyof typeof kinds, number[]> = { direct: [], gateway: [] };
	for (const run of Object.values(kinds)) for (let i = 0; i < WARM_UP_TURNS; i++) await run();
	for (let done = 0; done < turns; done += BLOCK_TURNS)
		for (const kind of ["direct", "gateway"] as const)
			for (let i = 0; i < Math.min(BLOCK_TURNS, turns - done); i++) measured[kind].push(await kinds[kind]());
	const [d, g] = [summary(measured.direct), summary(measured.gateway)];
	const addedMs = round(g.p50Ms - d.p50Ms);
	if (!values.json) {
		console.log(`${turns} turns of 20 words each, ${values.claude ?? "fake-cli"}, ms from input to end\n`);
		console.log("              p50      p95      p99");
		for (const [name, s] of Object.entries({ direct: d, gateway: g }))
			console.log(`${name.padEnd(8)}${[s.p50Ms, s.p95Ms, s.p99Ms].map((ms) => ms.toFixed(2).padStart(9)).join("")}`);
		console.log(`${"added".padEnd(8)}${addedMs.toFixed(2).padStart(9)}\n`);
	}
	console.log(JSON.stringify({ direct: d, gateway: g, addedMs, turns }));
} finally {
	for (const end of ends) end();
	await stack.remove();
	await model.close();
	rmSync(dir, { recursive: true, force: true });
}

function direct(): RunTurn {
	const spec = { provider: "claude-code", workDir: home.workDir, model: null, permissionMode: "default" as const };
	const launch = claudeCode.launch({ spec, workDir: home.workDir, nativeSessionId: null });
	const cli = spawn(command, [...args, ...launch.args], {
		cwd: home.workDir,
		env: { ...home.claude, ...launch.env },
		stdio: ["pipe", "pipe", "inherit"],
	});
	ends.push(() => cli.kill("SIGKILL"));
	let onResult: () => void = () => {};
	createInterface({ input: cli.stdout }).on("line", (line) => {
		if ((JSON.parse(line) as { type: string }).type === "result") onResult();
	});
	const send = (line: unknown): boolean => cli.stdin.write(`${JSON.stringify(line)}\n`);
	send({ type: "control_request", request_id: "initialize", request: { subtype: "initialize" } });
	return () =>
		new Promise((resolve) => {
			const began = performance.now();
			onResult = () => resolve(performance.now() - began);
			send({ type: "user", message: { role: "user", content: prompt }, parent_tool_use_id: null, uuid: randomUUID() });
		});
}

async function throughGateway(): Promise<RunTurn> {
	const workDir = join(dir, "gateway-work");
	mkdirSync(workDir);
	const session = await stack.client.openSession({ provider: "claude-code", workDir });
	const socket = new WebSocket(`${stack.url.replace(/^http/, "ws")}/v1/sessions/${session.id}/socket`, SUBPROTOCOL, {
		headers: { authorization: `Bearer ${stack.apiKey}` },
		perMessageDeflate: false,
	});
	ends.push(() => socket.terminate());
	await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
	const send = (frame: ClientFrame): void => socket.send(JSON.stringify(frame));
	let onEnd: (stopReason: string) => void = () => {};
	socket.on("message", (data) => {
		const frame = ToClientFrame.parse(JSON.parse(String(data)));
		if (frame.type === "error") throw new Error(frame.problem.detail);
		if (frame.type !== "events") return;
		for (const { event } of frame.events) if (event.type === "turn_ended") onEnd(event.stopReason);
		const last = frame.events.at(-1);
		if (last) send({ type: "ack", offset: last.offset });
	});
	send({ type: "hello", protocol: PROTOCOL_VERSION });
	return () =>
		new Promise((resolve, reject) => {
			const began = performance.now();
			onEnd = (stopReason) =>
				stopReason === "end_turn" ? resolve(performance.now() - began) : reject(new Error(`the turn ended as ${stopReason}`));
			send({ type: "input", clientId: randomUUID(), text: prompt });
		});
}

function summary(ms: number[]): { p50Ms: number; p95Ms: number; p99Ms: number } {
	const sorted = ms.toSorted((a, b) => a - b);
	const at = (q: number): number => round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0);
	return { p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99) };
}

function round(ms: number): number {
	return Math.round(ms * 100) / 100;
}
