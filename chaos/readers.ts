import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, LogLost, ProblemError, type SessionHandle } from "../shared/client.ts";
import { LoggedEvent, type SessionEvent } from "../shared/events.ts";
import { digestOf, REPLACED, type Reader, type Seen } from "./checker.ts";
import type { Random } from "./random.ts";

/** Of a back-off's wait, so that a run is short. */
export const HASTE = 0.25;

/** What a reader is of: the address it dials, and whose session. */
export interface ReaderOptions {
	url: string;
	apiKey: string;
	sessionId: string;
	random: Random;
	/** How long it takes over each event, for one that is slow. */
	paceMs?: number;
}

/** One of the ways to read a session's log. It reads until it is stopped, through whatever happens to its link. */
export abstract class LogReader {
	readonly seen: Seen[] = [];
	/** What is left of it after rewinds, for whoever waits for something. */
	events: { offset: number; event: SessionEvent }[] = [];
	failed: string | undefined;
	abstract readonly name: string;
	protected readonly options: ReaderOptions;
	protected readonly stopped = new AbortController();
	readonly #looking = new Set<() => void>();

	constructor(options: ReaderOptions) {
		this.options = options;
		void this.read().catch((cause: unknown) => {
			if (this.stopped.signal.aborted) return;
			this.failed = cause instanceof Error ? cause.message : String(cause);
			this.#look();
		});
	}

	protected abstract read(): Promise<void>;

	get last(): number {
		return this.events.at(-1)?.offset ?? 0;
	}

	get view(): Reader {
		return { name: this.name, seen: this.seen, ...(this.failed === undefined ? {} : { failed: this.failed }) };
	}

	stop(): void {
		this.stopped.abort();
		this.#look();
	}

	/** Looks again after whatever comes; null when the time is over, or it is stopped or failed. */
	until<T>(look: () => T | undefined | false | null, ms: number): Promise<T | null> {
		return new Promise((resolve) => {
			const end = (found: T | null): void => {
				clearTimeout(timer);
				this.#looking.delete(again);
				resolve(found);
			};
			const again = (): void => {
				const found = look();
				if (found !== undefined && found !== false && found !== null) end(found);
				else if (this.stopped.signal.aborted || this.failed !== undefined) end(null);
			};
			const timer = setTimeout(() => end(null), ms);
			this.#looking.add(again);
			again();
		});
	}

	protected take({ offset, event }: LoggedEvent): void {
		this.seen.push({ offset, digest: digestOf(event) });
		// Of long ones nobody waits for the text.
		this.events.push({ offset, event: event.type === "part" ? { ...event, text: "" } : event });
		this.#look();
	}

	protected rewind(to: number): void {
		this.seen.push({ rewindTo: to });
		this.events = this.events.filter((e) => e.offset <= to);
	}

	protected restart(at: number): void {
		this.seen.push({ restartAt: at });
		this.events = [];
	}

	#look(): void {
		for (const look of [...this.#looking]) look();
	}
}

/** By WebSocket, with the project's own client. */
export class SocketReader extends LogReader {
	readonly name = "WebSocket";

	protected async read(): Promise<void> {
		const { url, apiKey, sessionId, random, paceMs } = this.options;
		const client = new Client({ url, apiKey, random: () => HASTE * random.next() });
		for await (const item of client.session(sessionId).watch({ signal: this.stopped.signal })) {
			if (item.kind === "event") this.take(item.logged);
			else if (item.kind === "rewind") this.rewind(item.to);
			else if (item.kind === "recovered_false") this.restart(item.firstOffset);
			if (paceMs !== undefined && item.kind === "event") await sleep(paceMs);
		}
		if (!this.stopped.signal.aborted && !this.events.some(({ event }) => event.type === "session_state" && event.state === "closed"))
			throw new Error("the gateway closed it for good");
	}
}

/** By server-sent events, as a browser's EventSource does it: it comes back with the id of the last event that it had, and forgets only what it is told to. */
export class SseReader extends LogReader {
	readonly name = "SSE";
	/** Of the last event, as it was sent: all that a browser's EventSource remembers. */
	#lastId: string | null = null;

	protected async read(): Promise<void> {
		const { random } = this.options;
		while (!this.stopped.signal.aborted) {
			try {
				await this.#stream();
			} catch (cause) {
				if (cause instanceof LogLost) throw cause;
			}
			await sleep(random.whole(20, 300));
		}
	}

	async #stream(): Promise<void> {
		const { url, apiKey, sessionId } = this.options;
		const response = await fetch(`${url}/v1/sessions/${sessionId}/events`, {
			headers: {
				authorization: `Bearer ${apiKey}`,
				accept: "text/event-stream",
				...(this.#lastId === null ? {} : { "last-event-id": this.#lastId }),
			},
			signal: this.stopped.signal,
		});
		if (!response.ok || response.body === null) return;
		const decoder = new TextDecoder();
		let rest = "";
		for await (const chunk of response.body) {
			const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
			rest = blocks.pop() ?? "";
			for (const block of blocks) {
				this.#block(block);
				if (this.options.paceMs !== undefined) await sleep(this.options.paceMs);
			}
		}
	}

	#block(block: string): void {
		const field = (name: string): string | undefined =>
			block
				.split("\n")
				.find((line) => line.startsWith(`${name}: `))
				?.slice(name.length + 2);
		const text = field("data");
		if (text === undefined) return;
		const kind = field("event");
		this.#lastId = field("id") ?? this.#lastId;
		if (kind === undefined) this.take(LoggedEvent.parse(JSON.parse(text)));
		if (kind !== "welcome" && kind !== "rewind") return;
		const told = JSON.parse(text) as { recovered?: boolean; rewindTo?: number; firstOffset?: number };
		if (told.recovered === false) this.restart(told.firstOffset ?? 1);
		else if (told.rewindTo !== undefined && told.rewindTo < this.last) this.rewind(told.rewindTo);
	}
}

/** By pages, asked for again and again. */
export class PageReader extends LogReader {
	readonly name = "REST";

	protected async read(): Promise<void> {
		const { url, apiKey, sessionId, random } = this.options;
		const session = new Client({ url, apiKey, random: () => HASTE * random.next() }).session(sessionId);
		while (!this.stopped.signal.aborted) {
			try {
				const page = await session.eventPage({ after: this.last });
				if (!page.recovered) this.restart(page.firstOffset);
				else if (page.rewindTo !== undefined) this.rewind(page.rewindTo);
				for (const logged of page.data) this.take(logged);
				if (page.data.length > 0 && this.last < page.lastOffset) continue;
			} catch (cause) {
				if (cause instanceof ProblemError && !cause.problem.retryable) throw cause;
			}
			await sleep(random.whole(100, 500));
		}
	}
}

/** `hotplex attach` as a person runs it, its output not a terminal; run again if it did not get as far as printing anything. */
export class Attached {
	printed = "";
	#child: ChildProcess | null = null;
	#isStopped = false;
	readonly #ended: Promise<void>;

	constructor(main: string, { url, apiKey, sessionId }: ReaderOptions, env: Record<string, string>) {
		const run = (): Promise<string> => {
			const child = spawn(process.execPath, [main, "attach", sessionId], {
				env: { ...env, HOTPLEX_URL: url, HOTPLEX_API_KEY: apiKey },
				stdio: ["ignore", "pipe", "pipe"],
			});
			this.#child = child;
			let said = "";
			child.stderr.setEncoding("utf8").on("data", (text: string) => {
				said += text;
			});
			child.stdout.setEncoding("utf8").on("data", (text: string) => {
				this.printed += text;
			});
			return new Promise((resolve) => child.once("close", (code, signal) => resolve(`attach ended (${signal ?? code}): ${said}`)));
		};
		this.#ended = (async () => {
			for (;;) {
				const how = await run();
				if (this.#isStopped) return;
				if (this.printed !== "") {
					this.printed += `\n${how}`;
					return;
				}
				await sleep(200);
			}
		})();
	}

	/** Waits until it has printed this; after a rewind, printed it again. */
	async until(text: string, ms: number): Promise<void> {
		const deadline = Date.now() + ms;
		while (!this.printed.includes(text, Math.max(0, this.printed.lastIndexOf(REPLACED))) && Date.now() < deadline) await sleep(50);
	}

	async stop(): Promise<void> {
		this.#isStopped = true;
		this.#child?.kill("SIGKILL");
		await this.#ended;
	}
}

/** The whole log by pages, over a link to which nothing happens. */
export async function wholeLog(session: SessionHandle): Promise<LoggedEvent[]> {
	const all: LoggedEvent[] = [];
	for (;;) {
		const { data, lastOffset } = await session.eventPage({ after: all.at(-1)?.offset ?? 0 });
		for (const logged of data) all.push(logged);
		if (data.length === 0 || (all.at(-1)?.offset ?? 0) >= lastOffset) return all;
	}
}
