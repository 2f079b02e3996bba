import { spawnSync } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { PROTOCOL_VERSION, SUBPROTOCOL } from "../shared/frames.ts";
import { cliHome } from "../test/support/clihome.ts";
import { installClis } from "../test/support/clis.ts";
import { startFakeModelApi } from "../test/support/fake-model-api.ts";
import { Conversation, type ConversationOptions } from "./conversation.ts";
import { copyProduct } from "./copy.ts";
import { storm } from "./proxy.ts";
import { Daemon, type DaemonOptions, type World } from "./world.ts";

/** This machine cannot do it. */
export class NotTried extends Error {}

async function oneDaemon(world: World, options: DaemonOptions = {}): Promise<Daemon> {
	const daemon = await world.daemon("r1", options);
	daemon.launch();
	await daemon.ready();
	return daemon;
}

const open = (world: World, name: `s${number}`, more: Partial<ConversationOptions> = {}): Promise<Conversation> =>
	Conversation.open(world, { name, provider: "r1", random: world.random.fork(name), ...more });

const settleAll = (world: World): Promise<unknown> => Promise.all(world.conversations.map((conversation) => conversation.settle()));

const pidsOf = (world: World, { workDir }: Conversation): number[] => world.clis().get(workDir) ?? [];

async function poll(holds: () => boolean, ms: number): Promise<boolean> {
	for (const deadline = Date.now() + ms; Date.now() < deadline; ) {
		if (holds()) return true;
		await sleep(50);
	}
	return holds();
}

/** All processes of the host are gone, and it starts again. */
export async function hostRestart(world: World): Promise<void> {
	const daemon = await oneDaemon(world);
	const [busy, idle, asking] = await Promise.all([open(world, "s1"), open(world, "s2"), open(world, "s3", { decides: false })]);
	await Promise.all(world.conversations.map((c) => c.ask({ text: `say 3 ${c.options.name}t1a_` })));
	const broken = await busy.send({ text: "slow 20\nsay 400 s1t2a_", mayEnd: ["failed"] });
	const asked = await asking.send({ text: "ask s3t2a_tool", mayEnd: ["failed"] });
	await busy.words(broken, 30);
	await asking.until((events) => events.some(({ event }) => event.type === "approval_requested"));
	await daemon.kill();
	world.endClis();
	if (world.random.chance(0.5)) await world.gateway.restart("all", 300);
	// Typed while it is away.
	const meanwhile = await idle.send({ text: "recall" });
	await sleep(world.random.whole(0, 1_500));
	daemon.launch();
	for (const conversation of world.conversations) [conversation.processes, conversation.mayLack] = [2, 1];
	for (const [conversation, input] of [[busy, broken] as const, [asking, asked] as const]) {
		await conversation.ended(input);
		const code = conversation.end(input)?.error?.code as string | undefined;
		world.expect(code === "interrupted", "unfinished", conversation.options.name, `the broken turn ended as ${code}, not as interrupted`);
	}
	await idle.ended(meanwhile);
	for (const conversation of world.conversations) {
		const input = conversation === idle ? meanwhile : await conversation.ask({ text: "recall" });
		const first = `say 3 ${conversation.options.name}t1a_`;
		world.expect(conversation.said(input).startsWith(first), "lost", conversation.options.name, `it remembers ${conversation.said(input)}`);
	}
	await settleAll(world);
}

/** A second daemon with the identity of the first: the first gives way. */
export async function twoDaemons(world: World): Promise<void> {
	const first = await oneDaemon(world);
	const [busy, idle] = await Promise.all([open(world, "s1"), open(world, "s2")]);
	await Promise.all(world.conversations.map((c) => c.ask({ text: `say 3 ${c.options.name}t1a_` })));
	const broken = await busy.send({ text: "slow 20\nsay 200 s1t2a_", mayEnd: ["failed"] });
	const queued = await busy.send({ text: "say 20 s1t3a_" });
	await busy.words(broken, 20);
	first.mayEnd = true;
	const second = await Daemon.copy(world, first, "r1-again");
	second.launch();
	const exit = await first.ended(30_000);
	world.expect(exit?.code === 12, "secondProcesses", "r1", `the replaced daemon ended with ${JSON.stringify(exit)}, not with 12`);
	for (const conversation of world.conversations) [conversation.processes, conversation.mayLack] = [2, Number.POSITIVE_INFINITY];
	await busy.ended(queued);
	await idle.ask({ text: "say 5 s2t2a_" });
	const code = busy.end(broken)?.error?.code;
	world.expect(code === "runner_lost", "unfinished", "s1", `the turn that was running ended as ${code}, not as runner_lost`);
	await settleAll(world);
	await oneProcessEach(world);
}

/** The first daemon is cut off when the second comes, and does not hear of it; later its cable is put in again. */
export async function splitBrain(world: World): Promise<void> {
	const first = await oneDaemon(world);
	const busy = await open(world, "s1");
	await busy.ask({ text: "say 3 s1t1a_" });
	const broken = await busy.send({ text: "slow 15\nsay 600 s1t2a_", mayEnd: ["failed"] });
	const queued = await busy.send({ text: "slow 10\nsay 150 s1t3a_" });
	await busy.words(broken, 20);
	first.proxy.hold();
	world.note("r1 is cut off");
	// What it says meanwhile comes late, or never; it has no right to the session any more.
	[busy.processes, busy.mayLack, busy.mayOverlap] = [2, Number.POSITIVE_INFINITY, true];
	first.mayEnd = true;
	await sleep(world.random.whole(100, 600));
	const second = await Daemon.copy(world, first, "r1-again");
	second.launch();
	await second.ready();
	await busy.words(queued, world.random.whole(5, 60));
	first.proxy.release();
	world.note("r1 is back");
	const exit = await first.ended(60_000);
	world.expect(exit?.code === 12, "secondProcesses", "r1", `the replaced daemon ended with ${JSON.stringify(exit)}, not with 12`);
	await busy.ended(queued);
	await busy.ask({ text: "say 5 s1t4a_" });
	await settleAll(world);
	await oneProcessEach(world);
}

/**
 * The first daemon's links break, and its new ones get no answer until the second has taken over. Then it is the newer connection of the two,
 * with a lease that is not the session's any more: the second gives way, and the session is nobody's but the next lease's.
 */
export async function splitBrainRedialled(world: World): Promise<void> {
	const first = await oneDaemon(world);
	const busy = await open(world, "s1");
	await busy.ask({ text: "say 3 s1t1a_" });
	const mayEnd = ["failed" as const, "end_turn" as const];
	const broken = await busy.send({ text: "slow 15\nsay 700 s1t2a_", mayEnd });
	const queued = await busy.send({ text: "slow 10\nsay 300 s1t3a_", mayEnd });
	await busy.words(broken, 20);
	first.proxy.hold();
	first.proxy.performAll({ do: "cut_before" });
	world.note("r1 is cut off, and dials again");
	[busy.processes, busy.mayLack, busy.mayOverlap] = [4, Number.POSITIVE_INFINITY, true];
	const second = await Daemon.copy(world, first, "r1-again");
	for (const daemon of [first, second]) daemon.mayEnd = true;
	second.launch();
	await second.ready();
	await busy.words(queued, world.random.whole(5, 60));
	first.proxy.release();
	world.note("r1 is back");
	await poll(() => first.exit !== null || second.exit !== null, 60_000);
	const exits = [first.exit, second.exit].filter((exit) => exit !== null);
	world.expect(
		exits.length === 1 && exits[0]?.code === 12,
		"secondProcesses",
		"r1",
		`of two daemons these ended: ${JSON.stringify(exits)}`,
	);
	await busy.ended(broken);
	await busy.ended(queued);
	await busy.ask({ text: "say 5 s1t4a_" });
	await settleAll(world);
	await oneProcessEach(world);
}

async function oneProcessEach(world: World): Promise<void> {
	for (const conversation of world.conversations) {
		const isOne = await poll(() => pidsOf(world, conversation).length <= 1, 8_000);
		const { name } = conversation.options;
		world.expect(isOne, "secondProcesses", name, `${pidsOf(world, conversation).length} processes are left of it`);
	}
}

/** A daemon is killed in mid-turn, and a newer one that says things otherwise takes its place. */
export async function newerDaemon(world: World): Promise<void> {
	const daemon = await oneDaemon(world);
	const conversation = await open(world, "s1");
	await conversation.ask({ text: "say 3 s1t1a_\ngarbage" });
	const turn = await conversation.send({ text: "slow 10\nsay 100 s1t2a_\ngarbage\nask s1t2b_tool\nsay 100 s1t2c_" });
	await conversation.words(turn, world.random.whole(5, 90));
	const before = pidsOf(world, conversation);
	await daemon.kill();
	daemon.options.root = copyProduct(join(world.dir, "newer"), [
		{ file: "runner/daemon.ts", from: 'VERSION = "0.1.0"', to: 'VERSION = "0.2.0"' },
		{ file: "runner/hosting.ts", from: '"its turn ended"', to: '"its turn is over, as the newer version puts it"' },
		{
			file: "runner/providers/claude-code.ts",
			from: '"the CLI withdrew it"',
			to: '"withdrawn by the CLI, as the newer version puts it"',
		},
	]);
	await sleep(200);
	daemon.launch();
	await daemon.ready();
	await conversation.ended(turn);
	await conversation.ask({ text: "say 5 s1t3a_" });
	const after = pidsOf(world, conversation);
	world.expect(JSON.stringify(before) === JSON.stringify(after), "secondProcesses", "s1", `its process was ${before}, now ${after}`);
	const version = (await world.gateway.client.runners()).data[0]?.version;
	world.expect(version === "0.2.0", "unfinished", "r1", `the newer daemon says it is ${version}`);
	await settleAll(world);
}

/** 100 MiB from one CLI, one of its readers slow; another session goes on as always. */
export async function muchOutput(world: World): Promise<void> {
	const MIB = 1024 * 1024;
	await oneDaemon(world);
	const loud = await open(world, "s1", { paceMs: { sse: 12 } });
	const quiet = await open(world, "s2");
	const turn = await loud.send({ text: `${`line ${2 * MIB}\n`.repeat(50)}say 5 s1t1a_` });
	let isOver = false;
	const watched = loud.ended(turn, 150_000).then(() => {
		isOver = true;
	});
	for (let t = 1; !isOver && t < 200; t++) {
		await quiet.ask({ text: `say 10 s2t${t}a_` });
		await sleep(500);
	}
	await watched;
	await Promise.all([loud.settle(150_000), quiet.settle()]);
	const bytes = loud.log.reduce((sum, { event }) => sum + (event.type === "part" ? Buffer.byteLength(event.text) : 0), 0);
	world.expect(bytes > 100 * MIB, "lost", "s1", `only ${Math.round(bytes / MIB)} MiB are in its log`);
	// By the gateway's clock: this process has 300 MiB of readers to itself.
	const times = quiet.inputs.map(({ turnId }) => {
		const of = (type: string) =>
			quiet.log.find(({ event }) => event.type === type && "turnId" in event && event.turnId === turnId)?.at ?? 0;
		return of("turn_ended") - of("input");
	});
	const longest = Math.max(...times.slice(1));
	world.note(`the longest of ${times.length} turns beside it took ${longest} ms`);
	// Other worlds share the machine: this tells starved from slow.
	world.expect(longest < 30_000, "unfinished", "s2", `a turn of ten words took ${longest} ms beside 100 MiB of another session`);
}

/** One line of 16 MiB. */
export async function longLine(world: World): Promise<void> {
	await oneDaemon(world);
	const conversation = await open(world, "s1");
	await conversation.ask({ text: `say 3 s1t1a_\nline ${16 * 1024 * 1024}\nsay 3 s1t1b_` });
	await settleAll(world);
}

/** The disk that holds the journals is full in mid-turn, to the runner's own bound or to the last byte, and then has room again. */
export async function diskFull(world: World): Promise<void> {
	const KIB = 1024;
	const isBounded = world.random.chance(0.5);
	const bound = isBounded ? 4 * KIB * KIB : KIB;
	const stateDir = join(world.dir, "runners", "r1");
	const daemon = await world.daemon("r1", { settings: `minFreeDisk = "${bound / KIB}KiB"` });
	const identity = readFileSync(join(stateDir, "identity.json"));
	const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs", stateDir], { encoding: "utf8" });
	if (mounted.status !== 0) throw new NotTried(`a tmpfs cannot be mounted here: ${(mounted.stderr || String(mounted.error)).trim()}`);
	world.atEnd(() => spawnSync("umount", ["-l", stateDir]));
	writeFileSync(join(stateDir, "identity.json"), identity, { mode: 0o600 });
	daemon.configure();
	daemon.launch();
	await daemon.ready();
	const [loud, quiet] = await Promise.all([open(world, "s1"), open(world, "s2")]);
	await Promise.all([loud.ask({ text: "say 3 s1t1a_" }), quiet.ask({ text: "say 3 s2t1a_" })]);
	const filler = join(stateDir, "filler");
	const leave = bound + world.random.whole(100, 900) * KIB;
	const { bavail, bsize } = statfsSync(stateDir);
	writeFileSync(filler, Buffer.alloc(bavail * bsize - leave));
	world.note(`the disk has ${Math.round(leave / KIB)} KiB left, the runner wants ${Math.round(bound / KIB)}`);
	// Within its bound nothing is lost. With no bound its CLI ends of it; that is told then, and the next input starts another.
	const mayEnd = isBounded ? undefined : { mayEnd: ["failed" as const, "end_turn" as const] };
	if (!isBounded) for (const conversation of [loud, quiet]) [conversation.processes, conversation.mayLack] = [3, 1];
	const turns = [
		await loud.send({ text: `slow 2\nsay 20 s1t2a_\n${"line 300000\n".repeat(4)}say 50 s1t2b_`, ...mayEnd }),
		await quiet.send({ text: "slow 5\nsay 100 s2t2a_", ...mayEnd }),
	] as const;
	await sleep(6_000);
	rmSync(filler);
	world.note("the disk has room again");
	await Promise.all([loud.ended(turns[0]), quiet.ended(turns[1])]);
	await Promise.all([loud.ask({ text: "say 5 s1t3a_" }), quiet.ask({ text: "say 5 s2t3a_" })]);
	await settleAll(world);
}

/** A byte of a journal changes while its daemon is away, in what is in the log already: that must stay, or the damage must be told. */
export async function journalFlipped(world: World): Promise<void> {
	const daemon = await oneDaemon(world);
	const conversation = await open(world, "s1");
	const turn = await conversation.send({ text: "slow 30\nsay 400 s1t1a_\nsay 5 s1t1b_", mayEnd: ["end_turn", "failed"] });
	// What is to be damaged was stored and acknowledged by then, 5 s after the first word.
	await conversation.words(turn, 220);
	await daemon.kill();
	const journal = find(daemon.stateDir, "stdout");
	const bytes = readFileSync(journal);
	const word = bytes.indexOf("s1t1a_20");
	if (word < 0) throw new Error("the journal does not hold the word that is to be damaged");
	const what = world.random.pick(["word", "json", "newline"] as const);
	const at = what === "word" ? word : what === "json" ? bytes.lastIndexOf("{", word) : bytes.indexOf(10, word);
	bytes[at] = (bytes[at] ?? 0) ^ 0x10;
	// In place: the CLI goes on appending to the same file.
	writeAt(journal, at, bytes[at] ?? 0);
	world.note(`one byte of the journal was flipped: ${what}`);
	daemon.launch();
	await conversation.ended(turn);
	// Either it makes no difference, or the turn is said to have failed of it.
	if (conversation.end(turn)?.stopReason === "failed") [conversation.processes, conversation.mayLack] = [2, Number.POSITIVE_INFINITY];
	await conversation.ask({ text: "say 5 s1t2a_" });
	await settleAll(world);
}

function writeAt(path: string, at: number, byte: number): void {
	const fd = openSync(path, "r+");
	writeSync(fd, Buffer.from([byte]), 0, 1, at);
	closeSync(fd);
}

/** The one file of this name below a runner's sessions. */
function find(stateDir: string, name: string): string {
	const root = join(stateDir, "sessions");
	const path = readdirSync(root, { recursive: true, encoding: "utf8" }).find((path) => path.endsWith(`/${name}`));
	if (path === undefined) throw new Error(`no ${name} in ${root}`);
	return join(root, path);
}

/** A runner's clock is an hour off, and jumps in mid-turn. */
export async function clockOff(world: World): Promise<void> {
	const HOUR = 3_600_000;
	const file = join(world.dir, "clock");
	const early = world.random.chance(0.5);
	writeFileSync(file, String(early ? -HOUR : HOUR));
	const plan = storm({ random: world.random.fork("links"), budget: { control: 1, session: 2, client: 2, sse: 2, rest: 1 } });
	const daemon = await oneDaemon(world, {
		preload: new URL("clock.ts", import.meta.url).href,
		env: { CHAOS_CLOCK: file },
		plan: (link, kind, n) => plan(`r1:${link}`, kind, n),
	});
	const [steady, pausing] = await Promise.all([open(world, "s1", { plan }), open(world, "s2", { plan })]);
	await steady.ask({ text: "say 5 s1t1a_" });
	const turns = [
		await steady.send({ text: "slow 40\nsay 250 s1t2a_" }),
		// Quiet for longer than the daemon looks away.
		await pausing.send({ text: "slow 7000\nsay 2 s2t1a_\nslow 10\nsay 5 s2t1b_" }),
	];
	await sleep(2_000);
	writeFileSync(file, String(early ? HOUR : -HOUR));
	world.note(`the clock of r1 jumped ${early ? "forward" : "back"} by two hours`);
	await sleep(6_000);
	writeFileSync(file, "0");
	world.note("the clock of r1 is right");
	await Promise.all([steady.ended(turns[0] as never), pausing.ended(turns[1] as never)]);
	await daemon.restart(100);
	await Promise.all([steady.ask({ text: "say 5 s1t3a_" }), pausing.ask({ text: "say 5 s2t2a_" })]);
	await settleAll(world);
}

/** Pauses in which workerd puts idle objects out of memory, between any two things that happen to a session. */
export async function eviction(world: World): Promise<void> {
	await oneDaemon(world);
	const IDLE = 12_000;
	// No pages: whoever asks keeps it awake.
	const readers = { readers: ["socket", "sse"] as ("socket" | "sse")[] };
	const [words, asking, idle] = await Promise.all([
		open(world, "s1", readers),
		open(world, "s2", { ...readers, decides: false }),
		open(world, "s3", readers),
	]);
	const lives = new Map<Conversation, Set<string>>(world.conversations.map((c) => [c, new Set<string>()]));
	const look = async (): Promise<void> => {
		for (const [conversation, seen] of lives) seen.add(await lifeOf(world, conversation));
	};
	await look();
	const turns = [
		await words.send({ text: `slow ${IDLE}\nsay 3 s1t1a_\nslow 5\nsay 10 s1t1b_` }),
		await asking.send({ text: "say 3 s2t1a_\nask s2t1b_tool\nsay 3 s2t1c_" }),
		await idle.send({ text: "say 3 s3t1a_" }),
	];
	await sleep(IDLE + 3_000);
	await look();
	const approvalId = await asking.until((events) => {
		for (const { event } of events) if (event.type === "approval_requested") return event.approvalId;
		return null;
	});
	if (approvalId !== null) await asking.decide(approvalId, "allow");
	await idle.ask({ text: "say 3 s3t2a_" });
	const late = await asking.send({ text: `slow ${IDLE}\nsay 200 s2t2a_`, interruptAfter: 1 });
	await asking.words(late, 1);
	await asking.session.interrupt();
	await Promise.all([words.ended(turns[0] as never), asking.ended(late)]);
	await sleep(IDLE);
	await look();
	await Promise.all(world.conversations.map((c) => c.ask({ text: `say 4 ${c.options.name}t4a_` })));
	await settleAll(world);
	const evictions = [...lives.values()].reduce((sum, seen) => sum + seen.size - 1, 0);
	world.note(`${evictions} evictions were seen`);
	if (evictions === 0) throw new NotTried("workerd put no object out of its memory");
}

/** What names an object's memory. */
function lifeOf(world: World, { session }: Conversation): Promise<string> {
	const { url, apiKey } = world.gateway;
	return new Promise((resolve, reject) => {
		const socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/sessions/${session.id}/socket`, SUBPROTOCOL, {
			headers: { authorization: `Bearer ${apiKey}` },
		});
		socket.once("error", reject);
		socket.once("open", () => socket.send(JSON.stringify({ type: "hello", protocol: PROTOCOL_VERSION, after: 1_000_000 })));
		socket.on("message", (data) => {
			const frame = JSON.parse(String(data)) as { type: string; life?: string };
			if (frame.type !== "welcome") return;
			socket.close();
			resolve(frame.life ?? "");
		});
	});
}

/** The gateway stands still past its alarms: text that waits to be stored, an offer that is not answered. */
export async function alarmDelayed(world: World): Promise<void> {
	const daemon = await oneDaemon(world);
	const [streaming, waiting] = await Promise.all([open(world, "s1"), open(world, "s2")]);
	const turn = await streaming.send({ text: "slow 30\nsay 500 s1t1a_" });
	await streaming.words(turn, 10);
	await sleep(world.random.whole(0, 2_000));
	await world.gateway.freeze(world.random.whole(6_000, 9_000));
	// An offer that nobody hears, and its alarm late as well.
	daemon.proxy.hold();
	const asked = await waiting.send({ text: "say 5 s2t1a_" });
	await sleep(1_000);
	await world.gateway.freeze(world.random.whole(15_000, 17_000));
	daemon.proxy.release();
	await Promise.all([streaming.ended(turn), waiting.ended(asked)]);
	await Promise.all([streaming.ask({ text: "say 5 s1t2a_" }), waiting.ask({ text: "say 5 s2t2a_" })]);
	await settleAll(world);
}

/** All links go half-open at once: nobody is told, and each side finds out by itself. */
export async function halfOpen(world: World): Promise<void> {
	const daemon = await oneDaemon(world);
	const conversation = await open(world, "s1");
	const turn = await conversation.send({ text: "slow 100\nsay 700 s1t1a_" });
	await conversation.words(turn, 10);
	const before = conversation.readers.map((reader) => reader.last);
	for (const proxy of world.proxies) proxy.performAll({ do: "stall", ms: 150_000 });
	world.note("all links are half-open");
	const began = Date.now();
	const found = conversation.readers.map((reader, i) =>
		reader.until(() => reader.last > (before[i] ?? 0) + 10, 75_000).then(() => Date.now() - began),
	);
	const socketMs = (await found[0]) ?? 0;
	world.note(`the WebSocket and the runner found out within ${Math.round(socketMs / 1000)} s`);
	// Two heartbeats of 20 s, and the way back.
	world.expect(socketMs < 50_000, "unfinished", "s1", `half-open links were not noticed within ${Math.round(socketMs / 1000)} s`);
	// SSE and pages are read by this harness's own readers, which know no heartbeat.
	for (const proxy of world.proxies) if (proxy !== daemon.proxy) proxy.performAll({ do: "cut_before" });
	await conversation.ended(turn, 90_000);
	await settleAll(world);
}

/** workerd is killed again while it starts. */
export async function gatewayKilledAtStart(world: World): Promise<void> {
	await oneDaemon(world);
	const conversation = await open(world, "s1");
	const turn = await conversation.send({ text: "slow 15\nsay 300 s1t1a_" });
	await conversation.words(turn, 10);
	await world.gateway.kill("workerd");
	const killed = new Set(world.gateway.workerd());
	for (let i = 0; i < 3; i++) {
		const isThere = await poll(() => world.gateway.workerd().some((pid) => !killed.has(pid)), 10_000);
		if (!isThere) break;
		for (const pid of world.gateway.workerd()) killed.add(pid);
		await world.gateway.kill("workerd");
	}
	const isBack = await world.gateway.ready().then(
		() => true,
		() => false,
	);
	world.expect(isBack, "unfinished", "gateway", `killed while it started, it never came back: ${world.gateway.said.slice(-300)}`);
	// What holds for its state shall be seen all the same.
	if (!isBack) await world.gateway.restart("all", 0);
	await conversation.ended(turn);
	await conversation.ask({ text: "say 5 s1t2a_" });
	await settleAll(world);
}

/** The daemon is told to stop again and again, and hands its sessions back; each next one resumes them. */
export async function drained(world: World): Promise<void> {
	const daemon = await oneDaemon(world, { settings: 'drainGrace = "20s"' });
	const conversations = await Promise.all([open(world, "s1"), open(world, "s2"), open(world, "s3")]);
	daemon.mayEnd = true;
	const drains = world.random.whole(3, 5);
	for (const conversation of conversations) conversation.processes = drains + 1;
	const talks = conversations.map((c) =>
		c.talk(
			Array.from({ length: 2 * drains }, (_, i) => ({
				text: `slow ${c.options.random.whole(2, 20)}\nsay ${c.options.random.whole(5, 60)} ${c.options.name}t${i + 1}a_`,
				ahead: i > 0 && c.options.random.chance(0.5),
			})),
		),
	);
	for (let i = 0; i < drains; i++) {
		await sleep(world.random.whole(300, 1_500));
		await daemon.kill("SIGTERM");
		daemon.launch();
		await daemon.ready();
	}
	await Promise.all(talks);
	await settleAll(world);
}

/** A real CLI against the scripted model, its links cut, its daemon and the gateway killed. */
export async function realCli(world: World, which: "claude" | "opencode"): Promise<void> {
	const clis = await installClis();
	const model = await startFakeModelApi({ rate: 60 });
	world.atEnd(() => void model.close());
	// In the jail this machine's own ports are reached only by the proxy, and where the owner names them.
	const modelUrl = which === "claude" ? model.url : model.url.replace("127.0.0.1", "localhost");
	const home = await cliHome(join(world.dir, which), modelUrl);
	const plan = storm({ random: world.random.fork("links"), budget: { control: 2, session: 3, client: 3, sse: 4, rest: 2 } });
	const env = home[which];
	const daemon = await world.daemon("r1", {
		env,
		plan: (link, kind, n) => plan(`r1:${link}`, kind, n),
		providers: {
			r1: {
				kind: which === "claude" ? "claude-code" : "acp",
				command: clis[which],
				args: which === "claude" ? [] : ["acp"],
				env: Object.keys(env),
				...(which === "claude" ? {} : { read: ["~/.config/opencode/opencode.json"], hosts: [new URL(modelUrl).host] }),
			},
		},
	});
	daemon.launch();
	await daemon.ready();
	// opencode has one database for all of its processes of a home, and two that start together end as "database is locked".
	const names = which === "claude" ? (["s1", "s2"] as const) : (["s1"] as const);
	const conversations = await Promise.all(names.map((name) => open(world, name, { hasLedger: false, plan })));
	const talks = conversations.map((conversation) => {
		const { random, name } = conversation.options;
		return conversation.talk(
			[1, 2, 3, 4].map((t) => {
				const says = Array.from({ length: random.whole(10, 120) }, (_, i) => `${name}t${t}a_${i + 1}`).join(" ");
				return { text: `fake:text text="${says}" rate=${random.whole(30, 90)}`, says };
			}),
		);
	});
	const kills = (async () => {
		for (let i = 0; i < 3; i++) {
			await sleep(world.random.whole(800, 2_500));
			if (i === 1) await world.gateway.restart(world.random.pick(["all", "workerd"] as const), 200);
			else await daemon.restart(world.random.whole(0, 500));
		}
	})();
	await Promise.all([...talks, kills]);
	await settleAll(world);
	for (const conversation of conversations) {
		const starts = conversation.log.filter(({ event }) => event.type === "process_state" && event.pid !== undefined).length;
		world.expect(starts <= 1, "secondProcesses", conversation.options.name, `${starts} processes were started`);
	}
}
