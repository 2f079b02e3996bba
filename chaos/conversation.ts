import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, ProblemError, type SessionHandle, Unreachable } from "../shared/client.ts";
import type { LoggedEvent, SessionEvent, StopReason } from "../shared/events.ts";
import { idBody } from "../shared/ids.ts";
import type { Ledger } from "../test/fixtures/fake-cli.ts";
import { type Case, check, type Finding, type Input, WORDS } from "./checker.ts";
import type { ProxyOptions } from "./proxy.ts";
import type { Random } from "./random.ts";
import { Attached, HASTE, type LogReader, PageReader, SocketReader, SseReader, wholeLog } from "./readers.ts";
import type { World } from "./world.ts";

export type ReaderKind = "socket" | "sse" | "pages" | "attach";

export interface Turn {
	text: string;
	/** Interrupted after this many of its words. */
	interruptAfter?: number;
	/** Sent while the one before still runs. */
	ahead?: boolean;
	mayEnd?: StopReason[];
	says?: string;
	/** This long after the one before ended. */
	afterMs?: number;
}

export interface ConversationOptions {
	/** Short and of this form, since its words are named after it. */
	name: `s${number}`;
	provider: string;
	random: Random;
	readers?: ReaderKind[];
	/** What happens to the links of its readers and of who types. */
	plan?: ProxyOptions["plan"];
	/** A CLI that writes nothing down. */
	hasLedger?: boolean;
	paceMs?: Partial<Record<ReaderKind, number>>;
	/** Whether approvals are decided as soon as they are asked. */
	decides?: boolean;
}

/** One session with whoever types into it and all who read it. */
export class Conversation {
	readonly options: ConversationOptions;
	readonly world: World;
	readonly session: SessionHandle;
	readonly workDir: string;
	readonly inputs: Input[] = [];
	readonly readers: LogReader[] = [];
	readonly #typist: SessionHandle;
	#attached: Attached | null = null;
	/** Processes that it should need. */
	processes = 1;
	/** See `Case`. */
	mayLack = 0;
	mayOverlap = false;
	log: LoggedEvent[] = [];
	#end = 0;

	private constructor(world: World, options: ConversationOptions, workDir: string, session: SessionHandle, typist: SessionHandle) {
		this.world = world;
		this.options = options;
		this.workDir = workDir;
		this.session = session;
		this.#typist = typist;
	}

	static async open(world: World, options: ConversationOptions): Promise<Conversation> {
		const { name, provider, random, plan } = options;
		const workDir = world.workDir(name);
		const session = await world.gateway.client.openSession({ provider, workDir });
		world.name(session.id, name);
		const { apiKey } = world.gateway;
		const hands = await world.proxy({ plan: plan && ((link, kind, n) => plan(`${name}:typist:${link}`, kind, n)) });
		const typist = new Client({ url: hands.url, apiKey, random: () => HASTE * random.next() }).session(session.id);
		const conversation = new Conversation(world, options, workDir, session, typist);
		world.conversations.push(conversation);
		for (const kind of options.readers ?? ["socket", "sse", "pages"]) await conversation.#read(kind);
		if (options.decides ?? true) void conversation.#decideAll();
		return conversation;
	}

	async #read(kind: ReaderKind): Promise<void> {
		const { name, random, plan, paceMs } = this.options;
		const proxy = await this.world.proxy({
			// A socket's tickets and an attach's first question are asked anew after the same back-off as the socket itself.
			plan:
				plan &&
				((link, linkKind, n) => (linkKind === "rest" && kind !== "pages" && n > 2 ? [] : plan(`${name}:${kind}:${link}`, linkKind, n))),
		});
		const pace = paceMs?.[kind];
		const { apiKey } = this.world.gateway;
		const from = {
			url: proxy.url,
			apiKey,
			sessionId: this.session.id,
			random: random.fork(kind),
			...(pace === undefined ? {} : { paceMs: pace }),
		};
		if (kind === "attach") this.#attached = new Attached(this.world.main, from, this.world.env);
		else if (kind === "sse") this.readers.push(new SseReader(from));
		else if (kind === "pages") this.readers.push(new PageReader(from));
		else this.readers.push(new SocketReader(from));
	}

	/** Sends a turn, over and over until it is taken. */
	async send(turn: Turn): Promise<Input> {
		const { random } = this.options;
		const bytes = Uint8Array.from({ length: 26 }, () => random.whole(0, 255));
		const input: Input = {
			text: turn.text,
			clientId: `inp_${idBody(bytes)}`,
			turnId: null,
			...(turn.mayEnd === undefined ? {} : { mayEnd: turn.mayEnd }),
			...(turn.says === undefined ? {} : { says: turn.says }),
		};
		this.inputs.push(input);
		try {
			const taken = await this.#tried(() => this.#typist.send(turn.text, { clientId: input.clientId }));
			input.turnId = taken?.id ?? null;
		} catch (cause) {
			this.world.note(`${this.options.name}: an input was refused: ${cause instanceof Error ? cause.message : cause}`);
		}
		return input;
	}

	/** Sends the turns and waits for their ends; each in its turn, unless it may be sent ahead. */
	async talk(turns: Turn[]): Promise<void> {
		const ends: Promise<unknown>[] = [];
		for (const turn of turns) {
			// One that does not end is told by the check; those behind it would wait as long again.
			if (!turn.ahead && (await Promise.all(ends)).includes(null)) return;
			if (turn.afterMs !== undefined) await sleep(turn.afterMs);
			const input = await this.send(turn);
			if (input.turnId === null) continue;
			ends.push(this.ended(input));
			if (turn.interruptAfter !== undefined) {
				await this.words(input, turn.interruptAfter);
				await this.#tried(() => this.#typist.interrupt());
			}
		}
		await Promise.all(ends);
	}

	/** Null if it did not end in time, which the check will tell. */
	ended(input: Input, ms = this.world.patienceMs): Promise<string | null> {
		return this.until((events) => {
			for (const { event } of events) if (event.type === "turn_ended" && event.turnId === input.turnId) return event.stopReason;
			return null;
		}, ms);
	}

	/** Waits for this many words of a turn, or its end. */
	words(input: Input, count: number, ms = this.world.patienceMs): Promise<unknown> {
		return this.until((events) => {
			const own = events.filter(({ event }) => "turnId" in event && event.turnId === input.turnId);
			return own.filter(({ event }) => event.type === "text_delta").length >= count || own.some(({ event }) => event.type === "turn_ended");
		}, ms);
	}

	/** What a turn said, in whole, as its log has it so far. */
	said(input: Input): string {
		const reader = this.readers.toSorted((a, b) => b.last - a.last)[0];
		return (reader?.events ?? [])
			.map(({ event }) => (event.type === "text_delta" && event.turnId === input.turnId ? event.text : ""))
			.join("");
	}

	/** How it ended, if it did. */
	end(input: Input): Extract<SessionEvent, { type: "turn_ended" }> | null {
		for (const reader of this.readers)
			for (const { event } of reader.events) if (event.type === "turn_ended" && event.turnId === input.turnId) return event;
		return null;
	}

	/** Sends a turn and waits for its end. */
	async ask(turn: Turn): Promise<Input> {
		const input = await this.send(turn);
		await this.ended(input);
		return input;
	}

	/** Waits for something, by whichever reader sees it first; null if it does not come. */
	until<T>(look: (events: LogReader["events"]) => T | undefined | null | false, ms = this.world.patienceMs): Promise<T | null> {
		return new Promise((resolve) => {
			let left = this.readers.length;
			for (const reader of this.readers)
				void reader
					.until(() => look(reader.events), ms)
					.then((found) => {
						if (found !== null || --left === 0) resolve(found);
					});
		});
	}

	async #decideAll(): Promise<void> {
		const decided = new Set<string>();
		for (;;) {
			const approvalId = await this.until(
				(events) => {
					for (const { event } of events)
						if (event.type === "approval_requested" && !decided.has(event.approvalId)) return event.approvalId;
					return null;
				},
				2 ** 31 - 1,
			);
			if (approvalId === null) return;
			decided.add(approvalId);
			await this.decide(approvalId, "allow");
		}
	}

	async decide(approvalId: string, decision: "allow" | "deny"): Promise<void> {
		await this.#tried(() => this.#typist.decide(approvalId, { decision })).catch((cause: unknown) => {
			// The answer to the first one was lost, or the turn was interrupted meanwhile.
			if (cause instanceof ProblemError && ["conflict", "not_found"].includes(cause.problem.code)) return;
			throw cause;
		});
	}

	/** Calls until there is an answer; null if none comes in time. */
	async #tried<T>(call: () => Promise<T>): Promise<T | null> {
		const deadline = Date.now() + this.world.patienceMs;
		for (;;) {
			try {
				return await call();
			} catch (cause) {
				const mayWork = cause instanceof Unreachable || (cause instanceof ProblemError && cause.problem.retryable);
				if (!mayWork) throw cause;
				if (Date.now() > deadline || this.world.isClosing) return null;
				await sleep(this.options.random.whole(20, 300));
			}
		}
	}

	/** Waits until all readers are where the log is, ends them, and takes the log as it is then. */
	async settle(ms = this.world.patienceMs): Promise<void> {
		const deadline = Date.now() + ms;
		// Quiet is when the log is whole in the store and grows no more.
		for (let last = -1; Date.now() < deadline; ) {
			const page = await this.session.eventPage({ after: Math.max(0, last) }).catch(() => null);
			if (page !== null && page.lastOffset === last && page.durableOffset === last) break;
			last = page?.lastOffset ?? -1;
			await sleep(300);
		}
		const soFar = await wholeLog(this.session);
		this.#end = soFar.at(-1)?.offset ?? 0;
		const left = (): number => Math.max(1_000, deadline - Date.now());
		await Promise.all(this.readers.map((reader) => reader.until(() => reader.last >= this.#end, left())));
		// Of what is said more than once it cannot be told which of them is printed.
		const word = soFar.flatMap(({ event }) => (event.type === "text_delta" ? (event.text.match(WORDS) ?? []) : [])).at(-1);
		if (word !== undefined) await this.#attached?.until(word, left() + 30_000);
		await this.stop();
		// A link that died late is told of late; what readers saw of that is there too.
		this.log = await wholeLog(this.session);
	}

	async stop(): Promise<void> {
		for (const reader of this.readers) reader.stop();
		await this.#attached?.stop();
	}

	get ledger(): Ledger[] {
		const file = join(this.workDir, "ledger.jsonl");
		// Where no CLI came to be, it printed nothing.
		const lines = existsSync(file) ? readFileSync(file, "utf8").split("\n") : [];
		return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Ledger);
	}

	get case(): Case {
		return {
			name: this.options.name,
			inputs: this.inputs,
			ledger: (this.options.hasLedger ?? true) ? this.ledger : null,
			log: this.log,
			end: this.#end,
			readers: this.readers.map((reader) => reader.view),
			...(this.#attached === null ? {} : { printed: this.#attached.printed }),
			mostAtOnce: this.world.mostAtOnce(this.workDir),
			processes: this.processes,
			mayLack: this.mayLack,
			mayOverlap: this.mayOverlap,
		};
	}

	check(): Finding[] {
		return check(this.case);
	}
}
