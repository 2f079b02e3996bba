import { setTimeout as sleep } from "node:timers/promises";
import { Conversation, type ReaderKind, type Turn } from "./conversation.ts";
import type { DiePoint } from "./die.ts";
import { type Fault, storm } from "./proxy.ts";
import type { Random } from "./random.ts";
import type { LinkKind } from "./wire.ts";
import { type Daemon, fakeCli, type World } from "./world.ts";

export interface StormSize {
	sessions: number;
	daemons: number;
	daemonKills: number;
	/** Instead of SIGKILL. */
	signal?: NodeJS.Signals;
	gatewayKills: number;
	freezes: number;
	/** Faults a link, at the most. */
	budget: Record<LinkKind, number>;
	/** Of sessions that `hotplex attach` follows too. */
	attachShare: number;
	/** Faults of the runners' links at certain messages, besides those by chance. */
	aimed?: Fault[];
	/** Where the first daemon kills itself. */
	dies?: DiePoint[];
	/** Lines for all runner.toml. */
	settings?: string;
	readers?: ReaderKind[];
	/** What is typed, if not the usual. */
	turns?: (session: string, chance: Random) => Turn[];
	/** Processes a session should need; absent: one. */
	processes?: number;
	/** All runners offer the same, and may have a session one after the other. */
	shared?: boolean;
}

export const CALM: Record<LinkKind, number> = { control: 0, session: 0, client: 0, sse: 0, rest: 0 };
export const STORMY: Record<LinkKind, number> = { control: 3, session: 4, client: 4, sse: 8, rest: 6 };

/** Several sessions on several runners, all links cut by chance, daemons and the gateway killed meanwhile. */
export async function rage(world: World, size: StormSize): Promise<void> {
	const { random } = world;
	const plan = storm({ random: random.fork("links"), budget: size.budget });
	const daemons: Daemon[] = [];
	for (let i = 1; i <= size.daemons; i++)
		daemons.push(
			await world.daemon(`r${i}`, {
				plan: (link, kind, n) => plan(`r${i}:${link}`, kind, n),
				faults: i === 1 ? size.aimed : undefined,
				...(i === 1 && size.dies !== undefined ? { dies: size.dies } : {}),
				...(size.settings === undefined ? {} : { settings: size.settings }),
				...(size.shared ? { providers: { shared: fakeCli() } } : {}),
			}),
		);
	for (const daemon of daemons) daemon.launch();
	await Promise.all(daemons.map((daemon) => daemon.ready()));
	const talks: Promise<void>[] = [];
	for (let i = 1; i <= size.sessions; i++) {
		const chance = random.fork(`session ${i}`);
		const readers: ReaderKind[] = [...(size.readers ?? (["socket", "sse", "pages"] as const))];
		if (chance.chance(size.attachShare)) readers.push("attach");
		const provider = size.shared ? "shared" : (daemons[(i - 1) % daemons.length]?.name ?? "");
		const conversation = await Conversation.open(world, { name: `s${i}`, provider, random: chance, readers, plan });
		conversation.processes = size.processes ?? 1;
		talks.push(conversation.talk((size.turns ?? turnsOf)(`s${i}`, chance)).then(() => world.note(`s${i} has talked`)));
	}
	await Promise.all([...talks, ...killings(world, daemons, size)]);
	await Promise.all(world.conversations.map((conversation) => conversation.settle()));
}

/** What is typed into one session: a few turns that stream, ask, print much, print rubbish, pause, are interrupted. */
export function turnsOf(session: string, chance: Random): Turn[] {
	const turns: Turn[] = [];
	const count = chance.whole(3, 5);
	for (let t = 1; t <= count; t++) {
		let said = 0;
		const stem = (): string => `${session}t${t}${"abcdefgh"[said++] ?? "z"}_`;
		const steps: string[] = [`slow ${chance.whole(4, 25)}`, `say ${chance.whole(10, 60)} ${stem()}`];
		const more = chance.whole(0, 2);
		for (let i = 0; i < more; i++) {
			const step = chance.weighted({ ask: 4, line: 2, garbage: 1, say: 3, pause: 2 });
			if (step === "ask") steps.push(`ask ${stem()}tool`);
			else if (step === "line") steps.push(`line ${Math.ceil(600_000 * chance.next() ** 3)}`);
			else if (step === "garbage") steps.push("garbage");
			else if (step === "pause") steps.push(`slow ${chance.whole(200, 900)}`, `say 2 ${stem()}`, `slow ${chance.whole(2, 20)}`);
			else steps.push(`say ${chance.whole(1, 40)} ${stem()}`);
		}
		const turn: Turn = { text: steps.join("\n"), ahead: t > 1 && chance.chance(0.3) };
		// Long enough that the interrupt meets it.
		if (chance.chance(0.12)) Object.assign(turn, { text: `slow 30\nsay 200 ${stem()}`, interruptAfter: chance.whole(1, 20), ahead: false });
		turns.push(turn);
	}
	return turns;
}

/** Turns in which all happens that a journal has a note for, each soon. */
export function eventful(session: string, chance: Random): Turn[] {
	return [1, 2, 3, 4].flatMap((t): Turn[] => [
		{ text: `slow ${chance.whole(2, 10)}\nsay 10 ${session}t${t}a_\nask ${session}t${t}b_tool\nsay 5 ${session}t${t}c_` },
		{ text: `slow 30\nsay 200 ${session}t${t}d_`, interruptAfter: chance.whole(1, 8) },
	]);
}

/** Kills at times that the seed says, spread over the first seconds. */
function killings(world: World, daemons: Daemon[], size: StormSize): Promise<void>[] {
	const chance = world.random.fork("kills");
	const spanMs = 1_500 + 1_200 * Math.max(size.daemonKills / Math.max(1, daemons.length), size.gatewayKills);
	const times = (n: number): number[] => Array.from({ length: n }, (_, i) => ((i + chance.next()) / n) * spanMs);
	const done: Promise<void>[] = [];
	const gateway = times(size.gatewayKills).map((at) => ({
		at,
		what: chance.pick(["all", "workerd"] as const),
		downMs: chance.whole(0, 500),
	}));
	const freezes = times(size.freezes).map((at) => ({ at, ms: chance.whole(300, 2_500) }));
	const began = Date.now();
	const until = (at: number): Promise<void> => sleep(Math.max(0, began + at - Date.now()));
	// One after the other: of a gateway that is away nothing can be killed.
	done.push(
		(async () => {
			for (const { at, what, downMs } of gateway) {
				await until(at);
				await world.gateway.restart(what, downMs);
			}
		})(),
		(async () => {
			for (const { at, ms } of freezes) {
				await until(at);
				await world.gateway.freeze(ms);
			}
		})(),
	);
	for (const [i, daemon] of daemons.entries()) {
		const own = times(Math.floor((size.daemonKills + i) / daemons.length)).map((at) => ({ at, downMs: chance.whole(0, 700) }));
		done.push(
			(async () => {
				for (const { at, downMs } of own) {
					await until(at);
					await daemon.restart(downMs, size.signal);
					await sleep(chance.whole(50, 600));
				}
			})(),
		);
	}
	return done;
}
