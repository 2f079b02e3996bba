import { judgeCommand } from "./command.ts";
import { judgePath } from "./paths.ts";
import { isShady } from "./rules/network.ts";
import { judges } from "./rules.ts";
import { SHELLS } from "./running.ts";
import { graver, type Judgement, type Place } from "./verdict.ts";
import { wrappers } from "./wrappers.ts";

/*
 * A prompt as the scale reads it: the writer's words, and in place of each command, path and address what the rules say of it. So `run rm -rf /`
 * and `run dd of=/dev/sda` are one phrase, `run` and something denied, whatever the command is and however it is quoted.
 */

/** A prompt's sentence: its words and marks in order. Marks begin with `§`. */
export interface ReadSentence {
	text: string;
	tokens: string[];
}

/** What a prompt says. */
export interface ReadPrompt {
	sentences: ReadSentence[];
	/** Commands in it that the rules object to, in order. */
	findings: { judgement: Judgement; evidence: string; sentence: number }[];
}

const PLACE: Place = { workDir: "/srv/project", cwd: "/srv/project", home: "/home/user" };

/** What is given to the command engine for one prompt, altogether. */
const MAX_COMMANDS = 96;
const MAX_COMMAND_UNITS = 16 * 1024;
/** Places in its sentences where a command may begin, and how many words such a one has at most. */
const MAX_BARE_COMMANDS = 32;
const MAX_BARE_WORDS = 80;
/** More lines than these are read some at a time. */
const MAX_LINES = 2048;
const MAX_LINE_UNITS = 4096;
const MAX_BLOCK_UNITS = 8 * 1024;

/** What most prose and much code is, too. */
const NO_GROUND: ReadonlySet<Judgement["category"]> = new Set([null, "outside", "unresolved"]);

const SHELL_LANGUAGES = new Set(["", ..."sh bash shell zsh console terminal ksh dash shell-session cmd text txt plaintext".split(" ")]);
const SCRIPT_LANGUAGES: Readonly<Record<string, string>> = {
	python: "python3 -c",
	py: "python3 -c",
	python3: "python3 -c",
	javascript: "node -e",
	js: "node -e",
	perl: "perl -e",
	ruby: "ruby -e",
	php: "php -r",
};

/** Programs, by name; many are words too. */
const PROGRAMS: ReadonlySet<string> = new Set([
	...judges.keys(),
	...Object.keys(wrappers),
	...SHELLS,
	..."git gh kubectl terraform helm aws gcloud az mkfs.ext4 mkfs.xfs cat ls cp mv cd echo history unset export alias eval exec reboot poweroff halt shutdown init insmod modprobe xmrig dropdb redis-cli vssadmin".split(
		" ",
	),
]);
/** Ends of commands in prose: no program takes these as its next argument. */
const PROSE =
	/^(and|then|so|to|because|for|please|which|that|is|was|are|were|will|would|should|must|can|if|when|while|until|before|after|from|with|as|the|it|my|our|your|this|or|but|not|just|now|first|on|in|at|i|we|you|und|dann|et|puis|y|luego|e|poi|und|bitte)$/i;
const ARGUMENT = /^-{1,2}[A-Za-z0-9]|[/~$*|<>=&]|^\d+$|^\.{1,2}$|^[A-Z_]{4,}$|^[-\w]+\.(sh|py|txt|conf|tf|ya?ml|sql|service)$/;

/** Reads a prompt. Never throws; its time is bounded by the prompt's length. */
export const readPrompt = (text: string): ReadPrompt => new Reading(text).read();

class Reading {
	readonly #lines: string[];
	readonly #sentences: ReadSentence[] = [];
	readonly #findings: ReadPrompt["findings"] = [];
	#spans: string[] = [];
	#commands = 0;
	#units = 0;
	#bareCommands = 0;

	constructor(text: string) {
		const lines = text.split("\n");
		const together = Math.ceil(lines.length / MAX_LINES);
		this.#lines = together > 1 ? lines.flatMap((_, at) => (at % together === 0 ? lines.slice(at, at + together).join(" ") : [])) : lines;
	}

	read(): ReadPrompt {
		for (let at = 0; at < this.#lines.length; at++) {
			const line = this.#lines[at] ?? "";
			const fence = /^\s{0,8}(?:```+|~~~+)\s*([\w+.-]{0,32})/.exec(line.slice(0, 64));
			if (fence === null || line.trim().slice(3).includes("```")) {
				this.#line(line);
				continue;
			}
			let end = at + 1;
			while (end < this.#lines.length && !/^\s{0,8}(```|~~~)/.test(this.#lines[end] ?? "")) end++;
			this.#block((fence[1] ?? "").toLowerCase(), this.#lines.slice(at + 1, end).join("\n"));
			at = end;
		}
		return { sentences: this.#sentences, findings: this.#findings };
	}

	// ------------------------------------------------------------ pieces

	#block(language: string, text: string): void {
		const body = text.slice(0, MAX_BLOCK_UNITS);
		const tokens = ["§block"];
		const program = SCRIPT_LANGUAGES[language];
		const judged = SHELL_LANGUAGES.has(language)
			? this.#judge(body.replace(/^\s*[$#%]\s+(?=\S)/gm, ""))
			: program === undefined
				? null
				: this.#judge(`${program} '${body.replaceAll("'", "'\\''")}'`);
		tokens.push(this.#mark(judged, body));
		this.#add(body, tokens);
	}

	#line(line: string): void {
		if (line.trim() === "") return;
		const isCode = /^( {4}|\t)\s*[^-*•\d\s]/.test(line.slice(0, 80));
		const bullet = isCode ? "" : (/^\s*((?:[-*•>]|\d{1,3}[.)]|\[[ x]\])\s+)*/.exec(line.slice(0, 200))?.[0] ?? "");
		const rest = line.slice(bullet.length);
		const prompt = /^(?:[\w.-]{1,64}@[\w.-]{1,64}[:~\w/. -]{0,80})?[$#%+]\s+/.exec(rest.slice(0, 220))?.[0] ?? "";
		const command = rest.slice(prompt.length).trim();
		const lead = [...(bullet.trim() === "" ? [] : ["§item"]), ...(prompt === "" ? [] : ["§shell"])];
		if (command.length <= MAX_LINE_UNITS && (prompt !== "" || isCode || looksLikeCommand(command))) {
			const words = this.#withSpans(command).match(/\S+/g) ?? [];
			const end = proseAfter(words);
			const said = bare(this.#expand(words.slice(0, end).join(" ")).trim());
			const judged = this.#judge(end === words.length ? command : said);
			if (judged !== null || (prompt !== "" && end === words.length)) {
				const [first = "", ...others] = sentencesOf(words.slice(end).join(" "));
				this.#sentence(first, [...lead, "§line", this.#mark(judged, said)], words.slice(0, end).join(" "));
				for (const other of others) this.#sentence(other, []);
				return;
			}
		}
		for (const [index, sentence] of sentencesOf(this.#withSpans(rest)).entries()) this.#sentence(sentence, index === 0 ? lead : []);
	}

	/** Pieces of code and quotations become one word each. */
	#withSpans(line: string): string {
		return line.replace(SPANS, (whole: string) => {
			if (this.#spans.length >= 4096) return whole;
			this.#spans.push(whole);
			return ` ${OPEN}${(this.#spans.length - 1).toString(36)}${CLOSE} `;
		});
	}
	#expand(text: string): string {
		return text.replace(SPAN_MARKS, (_, n: string) => this.#spans[Number.parseInt(n, 36)] ?? "").replace(/\s+/g, " ");
	}

	#sentence(text: string, lead: string[], before = ""): void {
		const tokens = [...lead];
		const words = text.slice(0, MAX_LINE_UNITS).match(/\S+/g) ?? [];
		for (let at = 0; at < words.length; at++) {
			const word = words[at] ?? "";
			const span = SPAN_MARK.exec(word);
			if (span !== null) {
				this.#span(this.#spans[Number.parseInt(span[1] ?? "", 36)] ?? "", tokens);
				continue;
			}
			if (this.#bareCommands < MAX_BARE_COMMANDS && startsCommand(words, at, (word) => this.#shape(word))) {
				this.#bareCommands++;
				const length = commandLength(words, at);
				const said = bare(this.#expand(words.slice(at, at + length).join(" ")));
				const shorter = bare(this.#expand(words.slice(at, at + lastArgument(words, at, length)).join(" ")));
				const judged = [said, ...(shorter === said || shorter === "" ? [] : [shorter])]
					.map((one) => this.#judge(one))
					.reduce((a, b) => (a === null ? b : b === null ? a : graver(a, b)), null);
				if (judged !== null) {
					// "wipe /var/log and ...", "profile /home/ann": perhaps only words.
					const isSure = /(^|\s)-{1,2}[A-Za-z0-9]|[|<>;&]|^(sudo|rm|dd|nc|cat|chmod|chown|curl|wget)\b/.test(said);
					if (!isSure) for (const one of words.slice(at, at + length)) this.#word(one, tokens);
					tokens.push(isSure ? "§bare" : "§maybe", this.#mark(judged, said));
					at += length - 1;
					const stop = /[.?!:;,]$/.exec(words[at] ?? "")?.[0];
					if (stop !== undefined) tokens.push(stop);
					continue;
				}
			}
			this.#word(word, tokens);
		}
		this.#add(this.#expand(`${before} ${text}`).trim(), tokens);
	}

	/** A word as it bears on whether a command stands before it: code never does, a quotation by what it holds. */
	#shape(word: string): string {
		const span = SPAN_MARK.exec(word);
		if (span === null) return word;
		const whole = this.#spans[Number.parseInt(span[1] ?? "", 36)] ?? "";
		return whole.startsWith("`") ? "" : whole;
	}

	#span(whole: string, tokens: string[]): void {
		const isCode = whole.startsWith("`");
		const inner = whole.replace(/^(["'`“«]|``)|(["'`”»]|``)$/g, "");
		const judged = isCode || /\s|^[:/~]/.test(inner) ? this.#judge(inner) : null;
		if (judged !== null) {
			tokens.push(isCode ? "§code" : "§quote", this.#mark(judged, inner));
			return;
		}
		if (isCode && /\s/.test(inner)) {
			tokens.push("§code", "§fine");
			return;
		}
		// What is quoted is not said.
		if (isCode) this.#word(inner, tokens);
		else
			for (const word of ["§open", ...(inner.match(/\S+/g) ?? []).slice(0, 40), "§close"])
				word.startsWith("§") ? tokens.push(word) : this.#word(word, tokens);
	}

	#word(raw: string, tokens: string[]): void {
		const word = raw.replace(/^[("'*[{¡¿<]+|[)"'*\]}>.,;:!?。、，；：！？…]+$/g, "");
		if (word !== "") tokens.push(...meaningOf(word));
		const stop = /[.,;:!?。、，；：！？…]["')\]*]*$/.exec(raw)?.[0].charAt(0);
		if (stop !== undefined) tokens.push(ASCII_STOPS[stop] ?? stop);
	}

	// ------------------------------------------------------------ commands

	/** What the command engine holds against a text; null: nothing that prose could not be taken for. */
	#judge(text: string): Judgement | null {
		const command = text.trim().replace(CRON_TIME, "");
		if (command === "" || this.#commands >= MAX_COMMANDS || this.#units + command.length > MAX_COMMAND_UNITS) return null;
		this.#commands++;
		this.#units += command.length;
		const judged = judgeCommand(command, PLACE);
		return judged.verdict === "allow" || (NO_GROUND.has(judged.category) && judged.rule !== "bare-shell") ? null : judged;
	}

	#mark(judged: Judgement | null, evidence: string): string {
		if (judged === null) return "§fine";
		this.#findings.push({ judgement: judged, evidence: evidence.slice(0, 512), sentence: this.#sentences.length });
		return judged.verdict === "deny" ? "§deny" : "§ask";
	}

	#add(text: string, tokens: string[]): void {
		if (tokens.length === 0) return;
		this.#sentences.push({ text, tokens });
	}
}

// ------------------------------------------------------------ small things

const OPEN = "\ue000";
const CLOSE = "\ue001";
const SPAN_MARK = /\ue000([0-9a-z]+)\ue001/;
const SPAN_MARKS = /\ue000([0-9a-z]+)\ue001/g;
/** Code between backticks; quotations of up to 500 units. Each alternative has one bounded part. */
const SPANS =
	/``([^\n]{1,500}?)``|`([^`\n]{1,1500})`|"([^"\n]{2,500})"|“([^”\n]{2,500})”|«([^»\n]{2,500})»|(?<=^|[\s(:])'([^'\n]{2,300})'(?=$|[\s.,;:!?)])/g;
const CJK = /[\u3040-\u30ff\u3400-\u9fff]/;
const ASCII_STOPS: Readonly<Record<string, string>> = {
	"。": ".",
	"，": ",",
	"、": ",",
	"；": ";",
	"：": ":",
	"！": "!",
	"？": "?",
	"…": ".",
};
const CRON_TIME = /^(?:[\d*/,-]{1,20}\s+){5}|^@(?:reboot|daily|hourly)\s+/;

/** A word as the scale knows it: itself in lower case, or a mark of what it is. */
function meaningOf(word: string): string[] {
	if (/^(https?|ftp|ssh|git|wss?):\/\//i.test(word)) return [isShady(word) ? "§shady" : "§url"];
	if (/^(\d{1,3}\.){3}\d{1,3}(:\d{1,5}|\/\d{1,2})?$/.test(word)) return ["§ip"];
	if (/^[\w.+-]+@[\w-]+(\.[\w-]+)+$/.test(word)) return ["§mail"];
	if (/^[~/$]/.test(word) || /^\.[a-z][\w./-]+$/.test(word) || /^[\w.-]+\/[\w./-]+$/.test(word)) return [pathMark(word), ...partsOf(word)];
	if (/^[A-Za-z0-9+/=]{24,}$/.test(word)) return ["§blob"];
	if (/^[\d.,:%+-]+$/.test(word)) return ["§n"];
	if (CJK.test(word)) return [...word].slice(0, 400);
	return word
		.toLowerCase()
		.slice(0, 48)
		.split(/[/\\]+/)
		.filter((part) => part !== "");
}

/** What the rules say of touching a path. */
function pathMark(word: string): string {
	const path = word.replace(/^\$HOME\b/, "~").replace(/^\.(?=(ssh|aws|gnupg|kube|netrc|npmrc|bash|zsh|profile|git-credentials)\b)/, "~/.");
	if (path === "/") return "§root";
	if (judgePath(path, "read", PLACE).category === "read_secrets") return "§secret";
	const written = judgePath(path, "write", PLACE);
	if (written.category !== "outside" && written.verdict !== "allow") return `§${written.category}`;
	const deleted = judgePath(path, "delete", PLACE);
	if (deleted.category === "destroy" && deleted.verdict === "deny") return "§system";
	return written.verdict === "allow" ? "§path" : "§outside";
}

const bare = (command: string): string => command.replace(/(?<=\S)[.,;:!?)]+$/, "");

const partsOf = (path: string): string[] =>
	path
		.toLowerCase()
		.split(/[^a-z0-9_]+/)
		.filter((part) => part.length > 1)
		.slice(0, 6);

/** Where a sentence begins after a command in the same line: at some words in a row that no command has, or behind a dash. */
function proseAfter(words: readonly string[]): number {
	const isPlain = (word: string | undefined): boolean =>
		word !== undefined && /^[("]?\p{L}[\p{L}'-]*[.,;:!?)"]*$/u.test(word) && !/^[A-Z_]{3,}$/.test(word);
	for (let at = 1; at < words.length; at++) {
		if (/^([—–→←-]|<-|->|#|\/\/)$/.test(words[at] ?? "") && isPlain(words[at + 1]) && isPlain(words[at + 2])) return at;
		const few = words.slice(at, at + 4);
		if (few.length >= 2 && few.slice(0, 3).every(isPlain) && few.some((word) => FUNCTION.test(word.replace(/[^\p{L}']/gu, "")))) return at;
		if (/[^;|&\\][:?]$/.test(words[at - 1] ?? "") && isPlain(words[at]) && (at + 1 === words.length || isPlain(words[at + 1]))) return at;
	}
	return words.length;
}
/** Words that join others to sentences. */
const FUNCTION =
	/^(a|an|the|this|that|these|it|its|i|we|you|he|she|they|my|our|your|is|are|was|were|be|been|does|do|did|has|have|had|can|could|would|should|will|must|may|what|what's|which|who|how|why|when|where|if|and|or|but|then|so|because|for|from|with|without|of|on|in|at|to|by|as|than|into|not|no|please|pls|just|only|here|there|der|die|das|ein|eine|und|ist|nicht|bitte|was|le|la|les|un|une|et|est|que|el|los|y|es|por|o|e|per|di)$/i;

/** Whether a line seems to be a command: by its first word and what follows it, or because nobody would write prose like that. */
function looksLikeCommand(line: string): boolean {
	const [first = "", second = ""] = line.split(/\s+/, 2);
	if (/^(sudo|doas)$/.test(first)) return second !== "";
	if (PROGRAMS.has(first))
		return (
			second === "" ||
			/^\s+(-{1,2}[A-Za-z0-9]|[/~.$*]|\d|\S{0,60}[/|>$=*])|\|\s*\S|>\s*\S|&&|;\s/.test(line.slice(first.length, first.length + 80))
		);
	return (
		/^(\.{0,2}\/|~\/|:\(\)|[A-Za-z_]\w{0,40}=)\S/.test(first) ||
		(/[\\$'"`{]/.test(first) &&
			/[a-z][\\'"]+[a-z'"]*[a-z]|\{[^}]{1,80},|^\$/.test(first) &&
			!/^["'`]?[A-Z]?[a-z]+(['’][a-z]{1,2})?["'`,.:]*$/.test(first)) ||
		/^(for|while) \S+.{1,400};\s*do\b/.test(line)
	);
}

function startsCommand(words: readonly string[], at: number, shapeOf: (word: string) => string): boolean {
	const raw = words[at] ?? "";
	if (raw.startsWith(":(){")) return true;
	if (/[.,;:!?]$/.test(raw)) return false;
	const name = raw.replace(/^[("'*_[]+/, "");
	const lower = at === 0 ? name.charAt(0).toLowerCase() + name.slice(1) : name;
	const next = words.slice(at + 1, at + 4).map(shapeOf);
	if (PROGRAMS.has(lower)) return next.some((word) => ARGUMENT.test(word)) && !(PROSE.test(next[0] ?? "") && !/^(at|in|on)$/.test(lower));
	if (/^(\/(usr\/)?(local\/)?s?bin\/|:\(\))/.test(name)) return true;
	return /^(\.{0,2}\/)?[a-z][\w.-]*(\/[\w.-]+)*$/.test(name) && /^(-{1,2}[A-Za-z]|[~$])/.test(next[0] ?? "");
}

/** How many words a command that stands in a sentence has at most. */
function commandLength(words: readonly string[], at: number): number {
	let end = at + 1;
	while (end < words.length && end - at < MAX_BARE_WORDS) {
		const word = words[end] ?? "";
		if (PROSE.test(word.replace(/[.,;:!?]+$/, "")) && !/^[-|>&]/.test(words[end - 1] ?? "")) break;
		end++;
		if (/[,:!?]$/.test(word) && !/^[-/~$.]/.test(words[end] ?? "")) break;
	}
	return end - at;
}

/** How many words there are up to the last one that is surely an argument. */
function lastArgument(words: readonly string[], at: number, length: number): number {
	let last = 1;
	for (let i = 1; i < length; i++) if (ARGUMENT.test(words[at + i] ?? "") || /^[|]/.test(words[at + i - 1] ?? "")) last = i + 1;
	return last;
}

/** A line into sentences: a full stop counts when a new sentence seems to begin after it. */
function sentencesOf(line: string): string[] {
	const sentences: string[] = [];
	let from = 0;
	for (let i = 0; i < line.length; i++) {
		const c = line.charAt(i);
		if (c === " " && i - from > MAX_LINE_UNITS - 200) {
			sentences.push(line.slice(from, i));
			from = i;
		}
		const isHan = "。！？".includes(c);
		if (!isHan && !".!?".includes(c)) continue;
		if (c === "." && /(^|[\s("'])(e\.g|i\.e|etc|vs|cf|z\.B|p\.ex|approx|no|mr|dr)$/i.test(line.slice(Math.max(0, i - 6), i))) continue;
		if (!isHan && !/^["')\]]{0,2}\s/.test(line.slice(i + 1, i + 4))) continue;
		sentences.push(line.slice(from, i + 1).trim());
		from = i + 1;
	}
	sentences.push(line.slice(from).trim());
	return sentences.filter((text) => text !== "");
}
