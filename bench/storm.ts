/**
 * A reconnect storm: every socket of many sessions is cut at once, those of their readers and those of the runner that hosts them.
 *
 *   npm run bench:storm -- [--sessions N] [--cuts N] [--json]
 *
 *   --sessions N  sessions, each with one reader and one hosted process (1000)
 *   --cuts N      how often all are cut (3)
 *   --json        only the last line: {"sessions":...,"cuts":...,"readers":{"p50Ms",...},"links":{...},"lost":...}
 *
 * Gateway, runner and readers are the real ones, on this machine; the CLI is a shell script of a few lines, since a thousand of any other would
 * measure the machine's memory. A reader is back when it was welcomed, a link when the gateway upgraded it. After the last cut
 * every session runs a turn, which each reader must see the end of: `lost` counts those that did not.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Client, type SessionHandle } from "../shared/client.ts";
import { RunnerDaemon } from "../test/support/runner-daemon.ts";
import { startStack } from "../test/support/stack.ts";

const DEADLINE_MS = 120_000;
/** Sessions that are opened, and turns that are sent, at once. */
const ABREAST = 16;
const CLI = `#!/bin/sh
while IFS= read -r line; do
	case "$line" in
	*'"subtype":"initialize"'*)
		id=\${line#*'"request_id":"'}
		printf '{"type":"control_response","response":{"subtype":"success","request_id":"%s","response":{"claude_code_version":"0"}}}\\n' "\${id%%'"'*}" ;;
	*'"type":"user"'*)
		uuid=\${line#*'"uuid":"'}
		printf '{"type":"system","subtype":"init","session_id":"%s","claude_code_version":"0"}\\n' "$$-$PPID-$PWD"
		printf '{"type":"result","subtype":"success","is_error":false,"terminal_reason":"completed","stop_reason":"end_turn","user_message_uuids":["%s"],"session_id":"%s","total_cost_usd":0,"usage":{"input_tokens":1,"output_tokens":1}}\\n' "\${uuid%%'"'*}" "$$-$PPID-$PWD" ;;
	esac
done
`;

const { values } = parseArgs({
	options: {
		sessions: { type: "string", default: "1000" },
		cuts: { type: "string", default: "3" },
		json: { type: "boolean", default: false },
	},
});
const [sessions, cuts] = [Number(values.sessions), Number(values.cuts)];
if (!Number.isInteger(sessions) || sessions < 1 || !Number.isInteger(cuts) || cuts < 1)
	throw new Error("--sessions and --cuts: expected positive whole numbers");

const stop = new AbortController();

/** Follows one session, as its client does. */
class Reader {
	readonly session: SessionHandle;
	readonly #ended = new Set<string>();
	readonly #looking = new Set<() => void>();
	#connections = 0;
	#connectedAt = 0;

	constructor(session: SessionHandle) {
		this.session = session;
		void this.#follow();
	}

	/** When it is welcomed the next time. */
	back(): Promise<number> {
		const before = this.#connections;
		return this.#until(() => (this.#connections > before ? this.#connectedAt : undefined));
	}

	ended(turnId: string): Promise<true> {
		return this.#until(() => (this.#ended.has(turnId) ? true : undefined));
	}

	async #follow(): Promise<void> {
		for await (const item of this.session.watch({ signal: stop.signal })) {
			if (item.kind === "connected") {
				this.#connections++;
				this.#connectedAt = performance.now();
			} else if (item.kind === "event" && item.logged.event.type === "turn_ended") this.#ended.add(item.logged.event.turnId);
			for (const look of [...this.#looking]) look();
		}
	}

	#until<T>(look: () => T | undefined): Promise<T> {
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => {
				this.#looking.delete(again);
				reject(new Error(`session ${this.session.id}: nothing for ${DEADLINE_MS / 1000} s`));
			}, DEADLINE_MS);
			const again = (): void => {
				const found = look();
				if (found === undefined) return;
				clearTimeout(timer);
				this.#looking.delete(again);
				resolve(found);
			};
			this.#looking.add(again);
			again();
		});
	}
}

const dir = mkdtempSync(join(tmpdir(), "hotplex-storm-"));
const stack = await startStack();
const proxy = await cuttable(new URL(stack.url));
const daemon = new RunnerDaemon(join(dir, "runner"));
try {
	await daemon.enrol({ url: proxy.url, client: stack.client });
	writeFileSync(join(dir, "cli"), CLI, { mode: 0o755 });
	writeFileSync(
		join(daemon.stateDir, "runner.toml"),
		`capacity = ${sessions}\n[providers.storm]\nkind = "claude-code"\ncommand = ${JSON.stringify(join(dir, "cli"))}\n`,
	);
	await daemon.start();
	const client = new Client({ url: proxy.url, apiKey: stack.apiKey });
	const readers: Reader[] = [];
	await abreast(sessions, async () => {
		const session = await stack.client.openSession({ provider: "storm" });
		const reader = new Reader(client.session(session.id));
		const turn = await session.send("begin");
		await reader.ended(turn.id);
		readers.push(reader);
		if (!values.json && readers.length % 100 === 0) console.log(`${readers.length} sessions run`);
	});
	const measured = { readers: [] as number[], links: [] as number[] };
	for (let cut = 1; cut <= cuts; cut++) {
		// What came back is forgotten as a failure only after it held for 10 s; so does a person's network.
		await new Promise((resolve) => setTimeout(resolve, 11_000));
		const back = readers.map((reader) => reader.back());
		const began = performance.now();
		const links = proxy.cut((path) => path.startsWith("/v1/link/"));
		measured.readers.push(...(await Promise.all(back)).map((at) => at - began));
		measured.links.push(...(await links).map((at) => at - began));
		if (!values.json) console.log(`cut ${cut}: all are back`);
	}
	let lost = 0;
	await abreast(sessions, async (i) => {
		const reader = readers[i];
		if (reader === undefined) return;
		const turn = await stack.client.session(reader.session.id).send("after");
		await reader.ended(turn.id).catch(() => lost++);
	});
	const [r, l] = [summary(measured.readers), summary(measured.links)];
	if (!values.json) {
		console.log(`\n${sessions} sessions cut ${cuts} times, ms until they were back\n`);
		console.log("              p50      p95      p99      max");
		for (const [name, s] of Object.entries({ readers: r, links: l }))
			console.log(
				`${name.padEnd(8)}${Object.values(s)
					.map((ms) => ms.toFixed(0).padStart(9))
					.join("")}`,
			);
		console.log();
	}
	console.log(JSON.stringify({ sessions, cuts, readers: r, links: l, lost }));
} finally {
	stop.abort();
	await daemon.end("SIGTERM");
	await stack.remove();
	proxy.close();
	rmSync(dir, { recursive: true, force: true });
}

/** A TCP proxy that can cut all of its connections, and tells when those of certain paths are upgraded again. */
async function cuttable(to: URL) {
	const open = new Set<{ down: Socket; up: Socket; path: string; upgraded: boolean }>();
	let onUpgrade: (path: string) => void = () => {};
	const server = createServer((down) => {
		const up = connect(Number(to.port), to.hostname);
		const connection = { down, up, path: "", upgraded: false };
		open.add(connection);
		for (const [from, other] of [
			[down, up],
			[up, down],
		] as const) {
			from.setNoDelay(true);
			from.on("error", () => {});
			from.on("close", () => {
				open.delete(connection);
				other.destroy();
			});
			from.pipe(other);
		}
		down.once("data", (chunk: Buffer) => {
			connection.path = chunk.toString("latin1").split(" ")[1] ?? "";
		});
		up.once("data", (chunk: Buffer) => {
			connection.upgraded = chunk.toString("latin1").startsWith("HTTP/1.1 101");
			if (connection.upgraded) onUpgrade(connection.path);
		});
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	const address = server.address();
	if (address === null || typeof address === "string") throw new Error("the proxy has no port");
	return {
		url: `http://127.0.0.1:${address.port}`,
		cut: (which: (path: string) => boolean): Promise<number[]> => {
			const waiting = new Set([...open].filter((c) => c.upgraded && which(c.path)).map((c) => c.path));
			const times: number[] = [];
			const all = new Promise<number[]>((resolve, reject) => {
				const timer = setTimeout(() => reject(new Error(`${waiting.size} links are not back after ${DEADLINE_MS / 1000} s`)), DEADLINE_MS);
				onUpgrade = (path) => {
					if (!waiting.delete(path)) return;
					times.push(performance.now());
					if (waiting.size > 0) return;
					clearTimeout(timer);
					resolve(times);
				};
			});
			for (const { down, up } of [...open]) for (const socket of [down, up]) socket.resetAndDestroy();
			return all;
		},
		close: () => {
			server.close();
			for (const { down, up } of open) for (const socket of [down, up]) socket.destroy();
		},
	};
}

/** Runs this many, some at once. */
async function abreast(count: number, run: (i: number) => Promise<void>): Promise<void> {
	let next = 0;
	await Promise.all(
		Array.from({ length: Math.min(ABREAST, count) }, async () => {
			for (let i = next++; i < count; i = next++) await run(i);
		}),
	);
}

function summary(ms: number[]): { p50Ms: number; p95Ms: number; p99Ms: number; maxMs: number } {
	const sorted = ms.toSorted((a, b) => a - b);
	const at = (q: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0);
	return { p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99), maxMs: at(1) };
}
