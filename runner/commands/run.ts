import { createInterface, type Interface } from "node:readline/promises";
import type { Command } from "commander";
import {
	type Client,
	type KnownEnd,
	ProblemError,
	type SessionHandle,
	type TurnHandle,
	TurnText,
	wordsOfLoss,
} from "../../shared/client.ts";
import type { Asked, LoggedEvent, Question, SessionEvent, StopReason } from "../../shared/events.ts";
import { SessionId } from "../../shared/ids.ts";
import { action, type ConnectionOptions, connect, EXIT, jsonText, UsageError, withConnection } from "./connection.ts";
import { Screen, Sink } from "./screen.ts";

/** What a turn's end means to a script. */
export const EXIT_OF: Record<StopReason, number> = {
	end_turn: EXIT.done,
	failed: EXIT.failed,
	max_tokens: 3,
	max_turn_requests: 3,
	refusal: 4,
	cancelled: EXIT.interrupted,
};

export interface SessionOptions extends ConnectionOptions {
	session?: string;
	provider?: string;
	workDir?: string;
	model?: string;
	on?: string;
}

interface RunOptions extends SessionOptions {
	allowTools?: boolean;
	denyTools?: boolean;
	json?: boolean;
}

export const withSession = (command: Command): Command =>
	withConnection(command)
		.option("--session <key>", "a session's id, or a name of your own: the same name is the same session")
		.option("--provider <name>", "which CLI, for a new session (claude-code, opencode, ...)")
		.option("--work-dir <path>", "its directory on the runner, absolute, for a new session")
		.option("--model <name>", "its model, for a new session")
		.option("--on <selector>", 'runners that it may go to, by their labels, for a new session ("gpu=true, os in (linux), !spot")');

export function register(program: Command): void {
	withSession(program.command("run"))
		.argument("<prompt>", "what to do; - reads it from standard input")
		.description("Run one turn and print its text; the exit code says how it ended")
		.option("--allow-tools", "allow every tool call that is asked about")
		.option("--deny-tools", "deny them (the default where nobody can be asked)")
		.option("--json", "print one event a line instead of the text")
		.addHelpText(
			"after",
			`
Exit codes: 0 done, 1 failed, 2 usage, 3 out of tokens or requests, 4 refused, 10 not authenticated, 130 cancelled.

Examples:
  hotplex run "what does this repository do?" --work-dir /srv/app
  git diff | hotplex run - --session review --deny-tools
  hotplex run "fix the failing test" --allow-tools --json | jq -r 'select(.event.type == "tool_call") | .event.tool'`,
		)
		.action(action(run));
}

async function run(prompt: string, options: RunOptions): Promise<void> {
	if (options.allowTools && options.denyTools) throw new UsageError("--allow-tools and --deny-tools exclude each other");
	const text = prompt === "-" ? await readAll() : prompt;
	if (text.trim() === "") throw new UsageError("the prompt is empty");
	const session = await openSession(connect(options), options);
	const turn = await session.send(text);

	const exact = !options.json && !process.stdout.isTTY;
	const nowhere = new Sink(() => {});
	const aside = options.json ? nowhere : new Sink((piece) => process.stderr.write(piece));
	const screen = new Screen({
		// Both on one terminal share its cursor; what is piped comes whole, at the end.
		text: options.json || exact ? nowhere : new Sink((piece) => process.stdout.write(piece), process.stderr.isTTY ? aside : undefined),
		aside,
		color: wantsColor(process.stderr),
		isOwn: (clientId) => clientId === turn.clientId,
		wanted: wantedOf(turn),
	});
	const person = options.allowTools || options.denyTools || !process.stdin.isTTY || !process.stderr.isTTY ? null : new Person();
	const said = new TurnText();
	const stop = new AbortController();
	let interrupted = 0;
	const onInterrupt = (): void => {
		interrupted++;
		if (interrupted > 1) return stop.abort();
		process.stderr.write("\nhotplex: interrupting the turn; Ctrl-C again stops waiting for it\n");
		session.interrupt().catch((error: unknown) => screen.note(messageOf(error)));
	};
	process.on("SIGINT", onInterrupt);
	try {
		const ended = await followTurn(turn, screen, {
			signal: stop.signal,
			event: (logged) => {
				said.push(logged.offset, logged.event);
				if (options.json) process.stdout.write(`${jsonText(logged)}\n`);
			},
			lost: (words) => {
				if (options.json) process.stderr.write(`hotplex: ${words}\n`);
			},
			decide: (asked, signal) => (person ? person.decide(asked, signal) : Promise.resolve(automatic(asked, options.allowTools === true))),
		});
		// Into a pipe goes the whole answer, exactly: what was withdrawn or came twice is not in it.
		if (exact && said.toString() !== "") process.stdout.write(`${said}\n`);
		process.exitCode = ended === null ? EXIT.interrupted : EXIT_OF[ended.stopReason];
	} finally {
		process.off("SIGINT", onInterrupt);
		person?.leave();
	}
}

/** The session that the flags name: an id, a key of the caller's own, or a new one. */
export async function openSession(client: Client, options: SessionOptions): Promise<SessionHandle> {
	const { session: key, provider, workDir, model, on: selector } = options;
	if (key !== undefined && SessionId.safeParse(key).success) {
		if (provider !== undefined || workDir !== undefined || model !== undefined || selector !== undefined)
			throw new UsageError(`${key} exists: --provider, --work-dir, --model and --on are for new sessions`);
		const known = client.session(key);
		await known.get();
		return known;
	}
	return client.openSession({
		...(key === undefined ? {} : { key }),
		...(provider === undefined ? {} : { provider }),
		...(workDir === undefined ? {} : { workDir }),
		...(model === undefined ? {} : { model }),
		...(selector === undefined ? {} : { selector }),
	});
}

export type TurnEnd = Extract<SessionEvent, { type: "turn_ended" }>;
export type Decided = {
	decision: "allow" | "deny";
	message?: string;
	answers?: Record<string, string>;
	remember?: "session" | "always";
};

interface Following {
	signal: AbortSignal;
	event?: (logged: LoggedEvent) => void;
	/** Events of it are not kept any more; the screen has said so. */
	lost?: (words: string) => void;
	/** The answer to what a tool asks. `signal` ends when it needs none any more; null then. */
	decide: (asked: Asked, signal: AbortSignal) => Promise<Decided | null>;
}

/** Shows a turn to its end and answers what it asks. Null if `signal` came first. */
export async function followTurn(turn: TurnHandle, screen: Screen, following: Following): Promise<TurnEnd | null> {
	const open = new Map<string, AbortController>();
	let known: KnownEnd | null = null;
	try {
		for await (const item of turn.session.watch({ after: turn.accepted.afterOffset, signal: following.signal })) {
			const logged = screen.show(item);
			if (logged !== null) following.event?.(logged);
			if (logged?.event.type === "turn_ended" && logged.event.turnId === turn.id) return logged.event;
			if (item.kind === "recovered_false") {
				following.lost?.(wordsOfLoss(item));
				known = await turn.ended();
			} else if (known !== null && item.kind === "event" && item.logged.offset >= known.toldBy) {
				const { stopReason, error } = known;
				const end: TurnEnd = { type: "turn_ended", turnId: turn.id, stopReason, ...(error === null ? {} : { error }) };
				screen.tell(end);
				return end;
			}
			if (logged === null) continue;
			const { event } = logged;
			if (event.type === "approval_decided" || event.type === "approval_withdrawn") open.get(event.approvalId)?.abort();
			if (event.type !== "approval_requested" && event.type !== "question_asked") continue;
			const over = new AbortController();
			open.set(event.approvalId, over);
			void answer(turn.session, event, screen, () => following.decide(event, over.signal));
		}
		if (following.signal.aborted) return null;
		throw new Error(`the session ended before its turn ${turn.id} did`);
	} finally {
		for (const over of open.values()) over.abort();
	}
}

async function answer(session: SessionHandle, asked: Asked, screen: Screen, decide: () => Promise<Decided | null>): Promise<void> {
	try {
		const decided = await decide();
		if (decided) await session.decide(asked.approvalId, decided);
	} catch (error) {
		// Somebody else was faster; the log says who.
		if (error instanceof ProblemError && (error.problem.code === "conflict" || error.problem.code === "not_found")) return;
		screen.note(`the decision was not taken: ${messageOf(error)}`);
	}
}

/** What is decided where nobody is asked. A question has no answer then. */
export function automatic(asked: Asked, allow: boolean): Decided {
	if (asked.type === "approval_requested" && allow) return { decision: "allow" };
	return { decision: "deny", message: "nobody is there to be asked; go on without it" };
}

/** Everything but what belongs to other turns. */
export const wantedOf =
	(turn: TurnHandle) =>
	(event: SessionEvent): boolean =>
		!("turnId" in event) || event.turnId === turn.id;

/** `2` or `1,3` or words of one's own. Null: a number that none of the options has. */
export function answerTo(question: Question, line: string): string | null {
	const picked = line.trim().split(/\s*,\s*/);
	if (line.trim() === "") return null;
	if (!picked.every((part) => /^\d+$/.test(part))) return line.trim();
	if (picked.length > 1 && !question.multiSelect) return null;
	const labels = picked.map((part) => question.options[Number(part) - 1]?.label);
	return labels.every((label) => label !== undefined) ? labels.join(", ") : null;
}

export const ALLOW_PROMPT = "allow? y once, s this session, a always, n no: ";

/** `y`; `s` or `a`: calls like this one too, in this session or always; `n`, or `n` with a reason for the model. Null: something else. */
export function decisionOf(line: string): Decided | null {
	const found = /^\s*(y|yes|s|session|a|always|n|no)(?:\s+(.*))?$/i.exec(line);
	if (!found) return null;
	const [, word = "", reason] = found;
	const letter = word.toLowerCase().charAt(0);
	if (letter === "n") return reason ? { decision: "deny", message: reason } : { decision: "deny" };
	if (reason) return null;
	return letter === "y" ? { decision: "allow" } : { decision: "allow", remember: letter === "s" ? "session" : "always" };
}

/** Somebody at the terminal, asked one thing at a time. */
class Person {
	#lines: Interface | null = null;
	#turn: Promise<unknown> = Promise.resolve();

	decide(asked: Asked, signal: AbortSignal): Promise<Decided | null> {
		const next = this.#turn.then(() => this.#ask(asked, signal));
		this.#turn = next.catch(() => {});
		return next;
	}

	leave(): void {
		this.#lines?.close();
	}

	async #ask(asked: Asked, signal: AbortSignal): Promise<Decided | null> {
		if (asked.type === "approval_requested") return this.#until(ALLOW_PROMPT, signal, decisionOf);
		const answers: Record<string, string> = {};
		for (const question of asked.questions) {
			const chosen = await this.#until(`${question.header ?? "answer"}: number or words `, signal, (line) => answerTo(question, line));
			if (chosen === null) return null;
			answers[question.question] = chosen;
		}
		return { decision: "allow", answers };
	}

	async #until<T>(prompt: string, signal: AbortSignal, read: (line: string) => T | null): Promise<T | null> {
		for (;;) {
			if (signal.aborted) return null;
			let line: string;
			try {
				line = await this.#open().question(prompt, { signal });
			} catch (error) {
				if (signal.aborted) return null;
				throw error;
			}
			const value = read(line);
			if (value !== null) return value;
		}
	}

	#open(): Interface {
		if (this.#lines) return this.#lines;
		this.#lines = createInterface({ input: process.stdin, output: process.stderr });
		this.#lines.on("SIGINT", () => process.emit("SIGINT"));
		return this.#lines;
	}
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** https://no-color.org: any value but the empty one. */
export const wantsColor = (stream: { isTTY?: boolean }): boolean =>
	stream.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== "dumb";

async function readAll(): Promise<string> {
	const chunks: Buffer[] = [];
	for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
	return Buffer.concat(chunks).toString("utf8");
}
