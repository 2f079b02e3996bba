import { type SessionHandle, type TurnHandle, TurnText } from "../../shared/client.ts";
import type { LoggedEvent, SessionEvent } from "../../shared/events.ts";

type EventOf<T extends SessionEvent["type"]> = Extract<SessionEvent, { type: T }>;
/** Far over what anything here takes, also beside another test file on two cores. */
const DEADLINE_MS = 30_000;

/** Follows a session from its beginning: keeps what came, and waits for what is to come, with a deadline. */
export class Follower {
	readonly session: SessionHandle;
	/** Split events joined, as the client gives them; after a rewind without what was taken back. */
	logged: LoggedEvent[] = [];
	readonly #stop = new AbortController();
	readonly #waiting = new Set<() => void>();
	#failed: unknown = null;

	constructor(session: SessionHandle) {
		this.session = session;
		void this.#follow();
	}

	get events(): SessionEvent[] {
		return this.logged.map((l) => l.event);
	}

	of<T extends SessionEvent["type"]>(type: T): EventOf<T>[] {
		return this.events.filter((event): event is EventOf<T> => event.type === type);
	}

	/** Sends an input and waits for its turn's end. */
	async ask(text: string): Promise<Ended> {
		return this.ended(await this.session.send(text));
	}

	async ended(turn: TurnHandle): Promise<Ended> {
		return this.endOf(turn.id);
	}

	async endOf(turnId: string): Promise<Ended> {
		const end = await this.until("turn_ended", (event) => event.turnId === turnId);
		const own = this.logged.filter(({ event }) => "turnId" in event && event.turnId === turnId);
		const text = new TurnText();
		for (const { offset, event } of own) text.push(offset, event);
		return { ...end, text: text.toString(), events: own.map((l) => l.event) };
	}

	/** The first event of this type that fits, among what came and what comes. */
	async until<T extends SessionEvent["type"]>(
		type: T,
		fits: (event: EventOf<T>, logged: LoggedEvent) => boolean = () => true,
	): Promise<EventOf<T>> {
		const found = await this.wait(`a ${type} event`, () =>
			this.logged.find((l) => l.event.type === type && fits(l.event as EventOf<T>, l)),
		);
		return found.event as EventOf<T>;
	}

	/** Looks again after every event until there is something. */
	wait<T>(what: string, look: () => T | undefined): Promise<T> {
		return new Promise((resolve, reject) => {
			const done = (): void => {
				clearTimeout(timer);
				this.#waiting.delete(again);
			};
			const fail = (why: string): void => {
				done();
				const last = this.events.slice(-12).map((event) => JSON.stringify(event).slice(0, 300));
				reject(new Error(`${why} while waiting for ${what}; the last events were\n${last.join("\n")}`));
			};
			const again = (): void => {
				const found = look();
				if (found !== undefined) {
					done();
					resolve(found);
				} else if (this.#failed !== null) fail(`the log ended (${String(this.#failed)})`);
			};
			const timer = setTimeout(() => fail(`${DEADLINE_MS / 1000} s went by`), DEADLINE_MS);
			this.#waiting.add(again);
			again();
		});
	}

	/** The pid of the newest process. */
	get pid(): number {
		const pid = this.of("process_state").findLast((event) => event.pid !== undefined)?.pid;
		if (pid === undefined) throw new Error("no process was started");
		return pid;
	}

	/** Ends the session, so that it holds no place on its runner, and the following. */
	async terminate(): Promise<void> {
		await this.session.terminate();
		this.#stop.abort();
	}

	async #follow(): Promise<void> {
		try {
			for await (const logged of this.session.events({ signal: this.#stop.signal })) {
				const last = this.logged.at(-1)?.offset ?? 0;
				if (logged.offset <= last) this.logged = this.logged.filter((l) => l.offset < logged.offset);
				this.logged.push(logged);
				for (const look of [...this.#waiting]) look();
			}
			this.#failed = "the iteration is over";
		} catch (cause) {
			this.#failed = cause;
		}
		for (const look of [...this.#waiting]) look();
	}
}

type Ended = EventOf<"turn_ended"> & {
	/** What the model said, without what was retracted. */
	text: string;
	/** The turn's own events. */
	events: SessionEvent[];
};
