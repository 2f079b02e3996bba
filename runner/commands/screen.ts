import type { WatchItem } from "../../shared/client.ts";
import { RewindableJoiner, wordsOfLoss } from "../../shared/client.ts";
import type { LoggedEvent, Question, SessionEvent } from "../../shared/events.ts";
import type { Snapshot } from "../../shared/frames.ts";

/** Lines of a tool's output that are shown. */
const OUTPUT_LINES = 8;

/** Where text goes, and whether the cursor stands at a line's start there. Two streams of one terminal share a cursor. */
export class Sink {
	readonly #write: (text: string) => void;
	readonly #cursor: { atLineStart: boolean };

	constructor(write: (text: string) => void, sameTerminal?: Sink) {
		this.#write = write;
		this.#cursor = sameTerminal ? sameTerminal.#cursor : { atLineStart: true };
	}

	get atLineStart(): boolean {
		return this.#cursor.atLineStart;
	}

	write(text: string): void {
		if (text === "") return;
		this.#write(text);
		this.#cursor.atLineStart = LINE_END.test(text);
	}

	/** The text on lines of its own. */
	lines(text: string): void {
		this.write(`${this.atLineStart ? "" : "\n"}${text}\n`);
	}
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours may follow the newline.
const LINE_END = /\n(?:\x1b\[\d+m)*$/;

export interface ScreenOptions {
	/** What the model says. */
	text: Sink;
	/** Everything else; the same sink where both are one terminal. */
	aside: Sink;
	color: boolean;
	/** Whether an input was typed here, so that it stands on the screen already. */
	isOwn?: (clientId: string) => boolean;
	/** Events that are to be left out answer false. */
	wanted?: (event: SessionEvent) => boolean;
}

/** How many events are remembered, to tell what comes again after a rewind from what is new. */
const REMEMBERED = 4096;
const LINE_CHARS = 160;

/** Renders a session's events as a person reads them. */
export class Screen {
	readonly #text: Sink;
	readonly #aside: Sink;
	readonly #dim: (text: string) => string;
	readonly #strong: (text: string) => string;
	readonly #isOwn: (clientId: string) => boolean;
	readonly #wanted: (event: SessionEvent) => boolean;
	#joiner = new RewindableJoiner();
	/** What is on the screen, by offset. */
	#shown = new Map<number, string>();
	/** Whose text the cursor stands in. */
	#speaking: string | null = null;
	/** Messages of which something is on the screen, until their turn ends. */
	#spoke = new Set<string>();
	#tools = new Map<string, string>();

	constructor(options: ScreenOptions) {
		this.#text = options.text;
		this.#aside = options.aside;
		this.#dim = options.color ? (text) => `\x1b[2m${text}\x1b[22m` : (text) => text;
		this.#strong = options.color ? (text) => `\x1b[1m${text}\x1b[22m` : (text) => text;
		this.#isOwn = options.isOwn ?? (() => false);
		this.#wanted = options.wanted ?? (() => true);
	}

	/** Shows one item. Returns the event in it, whole, if there is one and it was not shown before. */
	show(item: WatchItem): LoggedEvent | null {
		switch (item.kind) {
			case "event":
				return this.#take(item.logged);
			case "rewind":
				this.#joiner.rewind(item.to);
				return null;
			case "recovered_false":
				this.#joiner = new RewindableJoiner();
				this.#shown.clear();
				this.note(wordsOfLoss(item));
				if (item.snapshot !== null) this.#goOn(item.snapshot, item.firstOffset);
				return null;
			case "disconnected":
				this.note(`connection lost (${item.reason || `code ${item.code ?? "none"}`}); trying again`);
				return null;
			case "connected":
				if (item.snapshot === null) return null;
				this.note(wordsOfLoss({ after: 0, firstOffset: item.firstOffset, sameLog: true }));
				this.#goOn(item.snapshot, item.firstOffset);
				return null;
		}
	}

	/** Shows an event that is known from elsewhere than the log. */
	tell(event: SessionEvent): void {
		if (this.#wanted(event)) this.#render(event);
	}

	/** What the lost events would have told of what goes on. Open approvals are still in the log and come from there. */
	#goOn({ spec, state, why, turn, waiting }: Snapshot, firstOffset: number): void {
		const where = spec.workDir === null ? spec.provider : `${spec.provider} in ${spec.workDir}`;
		this.note(`[${where}: ${state}${why === null ? "" : `, ${oneLine(why)}`}]`);
		for (const open of turn === null ? waiting : [turn, ...waiting]) {
			const { turnId, clientId, text, afterOffset } = open;
			// Its input is still to come.
			if (afterOffset + 1 >= firstOffset) continue;
			if (clientId !== null && text !== null) this.tell({ type: "input", turnId, clientId, text, by: "" });
			else this.note(clientId === null ? "[a turn that the CLI began]" : "[a prompt that is too large to be shown again]");
		}
	}

	/** A remark that is not the model's. */
	note(text: string): void {
		this.#speaking = null;
		this.#aside.lines(this.#dim(neutralise(text)));
	}

	#take(logged: LoggedEvent): LoggedEvent | null {
		const whole = this.#joiner.push(logged);
		if (whole === null || !this.#wanted(whole.event)) return null;
		const json = JSON.stringify(whole.event);
		const before = this.#shown.get(whole.offset);
		// What a rewind brings again is mostly what stands there already.
		if (before === json) return null;
		if (before !== undefined) {
			for (const at of [...this.#shown.keys()]) if (at >= whole.offset) this.#shown.delete(at);
			this.note("[the gateway was restarted; what follows replaces the end of what is above]");
		}
		this.#shown.set(whole.offset, json);
		if (this.#shown.size > REMEMBERED)
			for (const oldest of this.#shown.keys()) {
				this.#shown.delete(oldest);
				break;
			}
		this.#render(whole.event);
		return whole;
	}

	#render(event: SessionEvent): void {
		switch (event.type) {
			case "text_delta":
				if (event.parentToolCallId === undefined)
					this.#speak(this.#text, `text ${event.messageId}`, neutralise(event.text), event.messageId);
				else this.#speak(this.#aside, `sub ${event.messageId}`, this.#dim(neutralise(event.text)), event.messageId);
				return;
			case "thought_delta":
				return this.#speak(this.#aside, `thought ${event.messageId}`, this.#dim(neutralise(event.text)), event.messageId);
			case "text_retracted":
				if (this.#spoke.delete(event.messageId)) this.note("[withdrawn: the text above is void, it comes again]");
				return;
			case "input":
				if (!this.#isOwn(event.clientId)) this.#line(this.#strong(`> ${indented(event.text, "> ")}`));
				return;
			case "tool_call":
				this.#tools.set(event.toolCallId, event.tool);
				return this.#line(this.#dim(`* ${oneLine(event.tool)}: ${oneLine(event.title ?? summary(event.input))}`));
			case "tool_result": {
				const tool = this.#tools.get(event.toolCallId) ?? "tool";
				this.#tools.delete(event.toolCallId);
				if (event.status === "failed") return this.#line(this.#dim(`* ${oneLine(tool)} failed: ${oneLine(event.output)}`));
				for (const line of beginning(event.output)) this.#line(this.#dim(`  | ${neutralise(line)}`));
				return;
			}
			case "tool_output":
			case "usage":
			case "part":
			case "turn_started":
			case "interrupt_requested":
				return;
			case "approval_requested":
				return this.#line(
					[
						this.#strong(`? ${oneLine(event.tool)} asks to run${event.title === undefined ? "" : `: ${oneLine(event.title)}`}`),
						...(event.reason === undefined
							? []
							: [`  reason: ${oneLine(event.reason)}${event.rule == null ? "" : ` (rule ${oneLine(event.rule)})`}`]),
						...(event.suggestion === undefined ? [] : [`  instead: ${oneLine(event.suggestion)}`]),
						...(event.place === undefined ? [] : [`  in: ${oneLine(event.place.cwd)}`]),
						`  | ${indented(details(event.input), "  | ")}`,
					].join("\n"),
				);
			case "tool_verdict": {
				const rule = event.rule === null ? "" : `, rule ${oneLine(event.rule)}`;
				const would = event.dryRun === true ? "would be " : "";
				const said = { allow: "allowed", ask: "asked about", deny: "denied" }[event.verdict];
				return this.note(`[${oneLine(event.tool)} ${would}${said} by the ${event.layer}${rule}: ${oneLine(event.reason)}]`);
			}
			case "prompt_flagged":
				return this.note(
					`[the prompt was flagged${event.rule === null ? "" : ` by rule ${oneLine(event.rule)}`}: ${oneLine(event.reason)}]`,
				);
			case "question_asked":
				return this.#line(event.questions.map((question) => this.#question(question)).join("\n"));
			case "approval_decided":
				return this.note(
					`[${event.decision === "allow" ? "allowed" : "denied"}${event.remember === undefined ? "" : event.remember === "session" ? " for this session" : " always"} by ${event.by}${event.message ? `: ${oneLine(event.message)}` : ""}]`,
				);
			case "approval_withdrawn":
				return this.note(`[the question above is void${event.why ? `: ${oneLine(event.why)}` : ""}]`);
			case "turn_ended":
				this.#spoke.clear();
				this.#speaking = null;
				if (!this.#text.atLineStart) this.#text.write("\n");
				if (event.stopReason === "failed")
					this.#line(`! the turn failed: ${oneLine(event.error?.detail ?? "no reason was given")} (${event.error?.code ?? "failed"})`);
				else if (event.stopReason !== "end_turn") this.note(`[the turn ended: ${event.stopReason}]`);
				return;
			case "session_created":
				return this.note(`[${event.provider}${event.workDir === null ? "" : ` in ${event.workDir}`}]`);
			case "session_state":
				// These two frame every turn; the text between them says as much.
				if ((event.state === "busy" || event.state === "ready") && event.why === undefined) return;
				return this.note(`[${event.state}${event.why ? `: ${oneLine(event.why)}` : ""}]`);
			case "lease_granted":
				return this.note(`[on ${event.runnerId}]`);
			case "lease_ended":
				return this.note(`[left ${event.runnerId}: ${oneLine(event.why)}]`);
			case "process_state":
				if (event.state === "dead") this.note(`[the CLI ended${event.why ? `: ${oneLine(event.why)}` : ""}]`);
				return;
			case "isolation":
				if (event.reached !== "pid_namespace" || event.jail !== "namespaces" || event.waf === "jail-only")
					this.note(
						`[isolation: ${event.reached}, jail: ${event.jail ?? "none"}, tool calls judged: ${event.waf ?? "none"}${event.why ? `; ${oneLine(event.why)}` : ""}]`,
					);
				return;
			case "retry":
				return this.note(
					`[retry ${event.attempt}${event.maxAttempts === undefined ? "" : ` of ${event.maxAttempts}`}: ${oneLine(event.reason)}]`,
				);
			case "background_task":
				return this.note(`[background task ${event.status}: ${oneLine(event.description)}]`);
			case "log_trimmed":
				// Who was here before has them on the screen; who was not is told when he comes.
				return;
			case "notice":
				return this.note(`[${event.code}: ${oneLine(event.detail)}]`);
			case "raw":
				return this.note(`[${event.source}] ${oneLine(event.text)}`);
			default:
				return event satisfies never;
		}
	}

	/** Streamed text: goes on where the same speaker stopped, else begins a line. */
	#speak(sink: Sink, speaker: string, text: string, messageId: string): void {
		if (this.#speaking !== speaker && !sink.atLineStart) sink.write("\n");
		this.#speaking = speaker;
		this.#spoke.add(messageId);
		sink.write(text);
	}

	#line(text: string): void {
		this.#speaking = null;
		this.#aside.lines(text);
	}

	#question(question: Question): string {
		const options = question.options.map(
			(option, i) => `  ${i + 1}. ${oneLine(option.label)}${option.description ? this.#dim(` - ${oneLine(option.description)}`) : ""}`,
		);
		return [this.#strong(`? ${oneLine(question.question)}`), ...options].join("\n");
	}
}

/** As much of a tool's output as tells what came of it; `hotplex sessions events` has the whole. */
function beginning(output: string): string[] {
	const lines = output.trimEnd().split("\n");
	if (output.trim() === "") return [];
	return lines.length <= OUTPUT_LINES ? lines : [...lines.slice(0, OUTPUT_LINES - 1), `… ${lines.length - OUTPUT_LINES + 1} more lines`];
}

/**
 * Text that a terminal only shows and never obeys: control characters but newline and tab become pictures of themselves,
 * and so do the ones that turn the reading direction, which make a command look like another.
 */
export function neutralise(text: string): string {
	return text.replace(CONTROLS, (c) => {
		if (c === "\r\n") return "\n";
		const code = c.charCodeAt(0);
		if (code < 0x20) return String.fromCharCode(0x2400 + code);
		if (code === 0x7f) return "\u2421";
		return `<${code.toString(16).toUpperCase().padStart(4, "0")}>`;
	});
}
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding them is what this is for.
const CONTROLS = /\r\n|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** For places that are one line: what a model writes cannot begin a line that looks like ours. */
export function oneLine(text: string): string {
	const line = neutralise(text.slice(0, LINE_CHARS * 4))
		.replace(/\s*\n\s*/g, " ")
		.replaceAll("\t", " ")
		.trim();
	return line.length > LINE_CHARS ? `${line.slice(0, LINE_CHARS - 3)}...` : line;
}

/** All of it, each further line behind the same mark, so that it cannot pass for ours. */
const indented = (text: string, mark: string): string => neutralise(text).replaceAll("\n", `\n${mark}`);

/** What is to run, whole: somebody decides on it. A lone command stands as it is, everything else as JSON. */
function details(input: unknown): string {
	if (typeof input === "object" && input !== null && "command" in input && typeof input.command === "string") {
		const { command, ...rest } = input;
		return Object.keys(rest).length === 0 ? command : `${command}\n${JSON.stringify(rest, null, 2)}`;
	}
	return JSON.stringify(input, null, 2) ?? "";
}

/** The field that says most of a tool call's input. */
function summary(input: unknown): string {
	if (typeof input === "object" && input !== null)
		for (const name of ["command", "file_path", "path", "pattern", "url", "query", "description"]) {
			const value = (input as Record<string, unknown>)[name];
			if (typeof value === "string") return value;
		}
	return JSON.stringify(input) ?? "";
}
