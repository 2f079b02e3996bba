import { randomUUID } from "node:crypto";
import { clearLine, createInterface, cursorTo, type Interface } from "node:readline";
import type { Command } from "commander";
import { ProblemError, type SessionHandle, type WatchItem } from "../../shared/client.ts";
import type { Asked, SessionEvent } from "../../shared/events.ts";
import type { Snapshot } from "../../shared/frames.ts";
import { action, connect, EXIT } from "./connection.ts";
import {
	ALLOW_PROMPT,
	answerTo,
	automatic,
	decisionOf,
	EXIT_OF,
	followTurn,
	messageOf,
	openSession,
	type SessionOptions,
	wantedOf,
	wantsColor,
	withSession,
} from "./run.ts";
import { Screen, Sink } from "./screen.ts";

export function register(program: Command): void {
	withSession(program.command("chat"))
		.description("Talk to a CLI in a session; what is piped in is one turn a line")
		.addHelpText(
			"after",
			`
At the prompt: /quit (or Ctrl-C, Ctrl-D) leaves, the session stays. During a turn Ctrl-C interrupts it.
What a tool asks is answered with y or n (n may say why: "n use the other branch"), a question with a number or words.

Examples:
  hotplex chat --work-dir /srv/app
  hotplex chat --session release-notes --provider claude-code
  printf 'list the open TODOs\\nfix the first one\\n' | hotplex chat --session todo`,
		)
		.action(action(chat));
}

async function chat(options: SessionOptions): Promise<void> {
	const session = await openSession(connect(options), options);
	if (!process.stdin.isTTY) return pipe(session);
	const from = session.opened?.created ? {} : await whereToJoin(session);
	process.stderr.write(`session ${session.id}\n`);
	await new Conversation(session, "quit").run(from);
	process.stderr.write(`Come back with: hotplex attach ${session.id}\n`);
}

/** After the log's end, or before the turn that runs, so that what it asked is seen. */
async function whereToJoin(session: SessionHandle): Promise<{ after?: number; epoch?: string }> {
	const { data } = await session.turns();
	const running = data.filter((turn) => turn.state !== "ended").map((turn) => turn.afterOffset);
	const { lastOffset, epoch } = await session.eventPage({ limit: 1 });
	return { after: Math.min(lastOffset, ...running), epoch };
}

/** Each line is a turn; the next is sent when it has ended. */
async function pipe(session: SessionHandle): Promise<void> {
	const stop = new AbortController();
	const aside = new Sink((text) => process.stderr.write(text));
	const text = new Sink((piece) => process.stdout.write(piece), process.stdout.isTTY && process.stderr.isTTY ? aside : undefined);
	let running = false;
	let interrupted = false;
	const onInterrupt = (): void => {
		if (!running || interrupted) return stop.abort();
		interrupted = true;
		process.stderr.write("\nhotplex: interrupting the turn; Ctrl-C again quits\n");
		session.interrupt().catch((error: unknown) => process.stderr.write(`hotplex: ${messageOf(error)}\n`));
	};
	process.on("SIGINT", onInterrupt);
	const lines = createInterface({ input: process.stdin });
	stop.signal.addEventListener("abort", () => lines.close());
	try {
		for await (const line of lines) {
			if (line.trim() === "") continue;
			if (line.trim() === "/quit") break;
			running = true;
			interrupted = false;
			const turn = await session.send(line, { signal: stop.signal });
			const screen = new Screen({
				text,
				aside,
				color: wantsColor(process.stderr),
				isOwn: (id) => id === turn.clientId,
				wanted: wantedOf(turn),
			});
			const ended = await followTurn(turn, screen, { signal: stop.signal, decide: (asked) => Promise.resolve(automatic(asked, false)) });
			running = false;
			if (ended === null) break;
			// The last turn that went wrong is what a script is told.
			if (ended.stopReason !== "end_turn") process.exitCode = EXIT_OF[ended.stopReason];
		}
	} catch (error) {
		if (!stop.signal.aborted) throw error;
	} finally {
		process.off("SIGINT", onInterrupt);
		lines.close();
	}
	if (stop.signal.aborted) process.exitCode = EXIT.interrupted;
	process.stderr.write(`Come back with: hotplex attach ${session.id}\n`);
}

const PROMPT = "> ";

interface Asking {
	asked: Asked;
	/** For a question: what was answered so far. */
	answers: Record<string, string>;
	at: number;
}

/** A session on a terminal: its events above, a line to type below. */
export class Conversation {
	readonly #session: SessionHandle;
	/** What the last Ctrl-C does, in a word. */
	readonly #leaving: "quit" | "detach";
	readonly #lines: Interface;
	readonly #screen: Screen;
	readonly #stop = new AbortController();
	readonly #own = new Set<string>();
	readonly #running = new Set<string>();
	readonly #ended = new Set<string>();
	#prompting = false;
	#interrupting = false;
	#pending = new Map<string, Asked>();
	#asking: Asking | null = null;
	/** Up to here the log is history: what was asked in it may have been answered in it. */
	#historyEnd = 0;
	#offset = 0;
	#sending: Promise<void> = Promise.resolve();

	constructor(session: SessionHandle, leaving: "quit" | "detach") {
		this.#session = session;
		this.#leaving = leaving;
		this.#lines = createInterface({ input: process.stdin, output: process.stdout, prompt: PROMPT });
		const sink = new Sink((text) => {
			if (this.#prompting) {
				cursorTo(process.stdout, 0);
				clearLine(process.stdout, 0);
				this.#prompting = false;
			}
			process.stdout.write(text);
		});
		this.#screen = new Screen({ text: sink, aside: sink, color: wantsColor(process.stdout), isOwn: (id) => this.#own.has(id) });
		this.#lines.on("line", (line) => this.#typed(line));
		this.#lines.on("SIGINT", () => this.#interrupted());
		this.#lines.on("close", () => this.#stop.abort());
	}

	/** Follows the session until somebody leaves or it is closed. */
	async run(from: { after?: number; epoch?: string }): Promise<void> {
		this.#offset = from.after ?? 0;
		try {
			for await (const item of this.#session.watch({ ...from, signal: this.#stop.signal })) if (this.#follow(item) === "closed") break;
		} finally {
			this.#stop.abort();
			this.#lines.close();
			process.stdout.write("\n");
		}
	}

	#follow(item: WatchItem): "closed" | "open" {
		const logged = this.#screen.show(item);
		if (item.kind === "connected") {
			this.#historyEnd = item.lastOffset;
			if (item.snapshot !== null) this.#goOn(item.snapshot);
		} else if (item.kind === "recovered_false") {
			this.#offset = item.firstOffset - 1;
			this.#running.clear();
			// What is open is in the log still, and comes.
			this.#pending.clear();
			this.#asking = null;
			if (item.snapshot !== null) this.#goOn(item.snapshot);
		} else if (item.kind === "event") this.#offset = item.logged.offset;
		if (logged) this.#note(logged.event);
		if (this.#offset >= this.#historyEnd) this.#invite();
		return logged?.event.type === "session_state" && logged.event.state === "closed" ? "closed" : "open";
	}

	/** The turns whose beginnings are not kept any more. */
	#goOn({ turn, waiting }: Snapshot): void {
		for (const { turnId } of turn === null ? waiting : [turn, ...waiting]) this.#running.add(turnId);
	}

	#note(event: SessionEvent): void {
		switch (event.type) {
			case "input":
			case "turn_started":
				if (!this.#ended.has(event.turnId)) this.#running.add(event.turnId);
				return;
			case "turn_ended":
				this.#ended.add(event.turnId);
				this.#running.delete(event.turnId);
				for (const [id, asked] of this.#pending) if (asked.turnId === event.turnId) this.#settled(id);
				this.#interrupting = false;
				return;
			case "approval_requested":
			case "question_asked":
				this.#pending.set(event.approvalId, event);
				return;
			case "approval_decided":
			case "approval_withdrawn":
				return this.#settled(event.approvalId);
		}
	}

	#settled(approvalId: string): void {
		this.#pending.delete(approvalId);
		if (this.#asking?.asked.approvalId === approvalId) this.#asking = null;
	}

	/** The prompt that fits, if somebody is to type now. */
	#invite(): void {
		if (this.#stop.signal.aborted) return;
		if (this.#asking === null) {
			const next = this.#pending.values().next();
			if (!next.done) this.#asking = { asked: next.value, answers: {}, at: 0 };
		}
		if (this.#asking) {
			const { asked, at } = this.#asking;
			this.#lines.setPrompt(asked.type === "approval_requested" ? ALLOW_PROMPT : `${at + 1}/${asked.questions.length}: number or words `);
		} else if (this.#running.size > 0) return;
		else this.#lines.setPrompt(PROMPT);
		this.#prompt();
	}

	#prompt(): void {
		if (this.#prompting) {
			cursorTo(process.stdout, 0);
			clearLine(process.stdout, 0);
		}
		this.#prompting = true;
		this.#lines.prompt(true);
	}

	#typed(line: string): void {
		this.#prompting = false;
		if (line.trim() === "/quit") return this.#lines.close();
		if (this.#asking) return this.#answered(this.#asking, line);
		if (line.trim() === "") return this.#invite();
		const clientId = `cli_${randomUUID()}`;
		this.#own.add(clientId);
		this.#running.add(clientId);
		// One after the other, so that two lines typed quickly arrive in their order.
		this.#sending = this.#sending.then(async () => {
			try {
				const turn = await this.#session.send(line, { clientId, signal: this.#stop.signal });
				if (!this.#ended.has(turn.id)) this.#running.add(turn.id);
			} catch (error) {
				if (!this.#stop.signal.aborted) this.#screen.note(`not sent: ${problemText(error)}`);
			}
			this.#running.delete(clientId);
			if (this.#running.size === 0) this.#invite();
		});
	}

	#answered(asking: Asking, line: string): void {
		const { asked } = asking;
		if (asked.type === "approval_requested") {
			const decided = decisionOf(line);
			if (decided === null) return this.#invite();
			return this.#decide(asked.approvalId, decided);
		}
		const question = asked.questions[asking.at];
		const chosen = question ? answerTo(question, line) : null;
		if (question && chosen === null) return this.#invite();
		if (question && chosen !== null) asking.answers[question.question] = chosen;
		asking.at++;
		if (asking.at < asked.questions.length) return this.#invite();
		this.#decide(asked.approvalId, { decision: "allow", answers: asking.answers });
	}

	#decide(approvalId: string, decided: Parameters<SessionHandle["decide"]>[1]): void {
		this.#settled(approvalId);
		this.#session.decide(approvalId, decided).catch((error: unknown) => this.#screen.note(`not taken: ${problemText(error)}`));
		this.#invite();
	}

	#interrupted(): void {
		if (this.#running.size === 0 || this.#interrupting) return this.#lines.close();
		this.#interrupting = true;
		this.#screen.note(`interrupting the turn; Ctrl-C again ${this.#leaving === "quit" ? "quits" : "detaches"}, the session stays`);
		this.#session.interrupt().catch((error: unknown) => {
			this.#interrupting = false;
			this.#screen.note(`not interrupted: ${problemText(error)}`);
		});
	}
}

const problemText = (error: unknown): string =>
	error instanceof ProblemError ? `${error.message} (${error.problem.code})` : messageOf(error);
