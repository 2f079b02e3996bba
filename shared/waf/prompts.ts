import { unreachable } from "../result.ts";
import { judgeCommand } from "./command.ts";
import { judgePath } from "./paths.ts";
import {
	BUILD_VERBS,
	COMMAND_OR_WORD,
	COMMAND_WORDS,
	CONCEPTS,
	type Concept,
	FILLERS,
	FINITE,
	HAN,
	JOINERS,
	LIKENESS,
	MODALS,
	NEGATIONS,
	POINTERS,
	SPEAK_VERBS,
	SUBORDINATORS,
	TEXT_THINGS,
	WANT_VERBS,
} from "./prompt-words.ts";
import {
	ANEW,
	clauseStart,
	doesOf,
	followsIn,
	GUARDS,
	isImperative,
	isMeans,
	isNegated,
	isProvenBy,
	isQuestion,
	isReporting,
	isShowing,
	isShown,
	isStarted,
	isToBe,
	isToGo,
	lastImperative,
	MAX_SENTENCE_UNITS,
	makesRunning,
	mayBeVerb,
	NO_LEAD,
	namesFile,
	namesText,
	PREPOSITIONS,
	participleOf,
	pointsTo,
	type Sentence,
	type Span,
	SUBJECTS,
	sentencesOf,
	speaksHan,
	startsAnew,
	type Token,
	wantsOutput,
	wordsOf,
} from "./sentences.ts";
import { graver, type Judgement, NO_OBJECTION, type Place } from "./verdict.ts";

/** Rules of prompts; an order of a command has the rule of the command. */
export const PROMPT_RULES = {
	"prompt-control-characters": {
		category: "unresolved",
		verdict: "deny",
		reason: "It holds control characters (NUL, escape sequences or the like) or characters that change the direction of text or hide it",
		suggestion: "Send plain text; new lines and tabs are fine.",
	},
	"prompt-order": {
		category: "unresolved",
		verdict: "deny",
		reason: "It orders something that the rules would stop",
		suggestion: "Say what is to be achieved, within the work directory; to talk about it, ask a question or put it in quotes.",
	},
	"prompt-mention": {
		category: null,
		verdict: "allow",
		reason: "It only speaks of something that the rules would stop",
	},
} as const;

/** `order`: the prompt says to do what a rule would stop; `mention`: it only speaks of such a thing. */
export type PromptJudgement = Judgement & { kind: "order" | "mention" | "none" };

/** Units that are judged of a longer prompt: this many from its beginning and these from its end, where orders stand. */
const HEAD_UNITS = 24 * 1024;
const TAIL_UNITS = 8 * 1024;
/** What is given to the command engine for one prompt, altogether. */
const MAX_CANDIDATES = 192;
const MAX_CANDIDATE_UNITS = 24 * 1024;
/** A prompt that is read as a whole once more. */
const MAX_UNMARKED_UNITS = 2048;
/** Of a line that is a command. */
const MAX_LINE_UNITS = 4096;
const MAX_BLOCK_UNITS = 8 * 1024;
/** How far after a verb its object may stand. */
const OBJECT_UNITS = 240;

/**
 * Whether a prompt orders what the rules would stop, or only speaks of it: commands in it are judged by the command engine, orders in words by a
 * table of concepts, and both by how the sentence around them speaks. Advice at the gateway's door: what a CLI then does is judged at each
 * tool call. Never throws; linear; of a prompt over 32 KiB the first 24 and the last 8 KiB are judged.
 */
export function judgePrompt(text: string): PromptJudgement {
	if (holdsControls(text)) {
		const { category, verdict, reason, suggestion } = PROMPT_RULES["prompt-control-characters"];
		return { kind: "none", rule: "prompt-control-characters", category, verdict, reason, suggestion };
	}
	try {
		return new Reading(text).judgement();
	} catch {
		return { ...orderOf("something that cannot be judged", "unresolved", "ask"), kind: "order" };
	}
}

/** Controls but tab, newline and return; direction overrides; tag characters, which hide text, but in flags. */
function holdsControls(text: string): boolean {
	for (let i = 0; i < text.length; i++) {
		const c = text.charCodeAt(i);
		if (c < 0x20 && c !== 9 && c !== 10 && c !== 13) return true;
		if (c >= 0x7f && c < 0xa0 && c !== 0x85) return true;
		if ((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069)) return true;
		if (c === 0xdb40 && (text.charCodeAt(i + 1) & 0xff80) === 0xdc00 && !isInFlag(text, i)) return true;
	}
	return false;
}
function isInFlag(text: string, at: number): boolean {
	let i = at - 2;
	while (i > at - 16 && text.charCodeAt(i) === 0xdb40) i -= 2;
	return text.charCodeAt(i) === 0xd83c && text.charCodeAt(i + 1) === 0xdff4;
}

// ------------------------------------------------------------ a prompt in pieces

/** A line that is a command by itself. */
interface CommandLine {
	kind: "command";
	text: string;
	/** It begins with a shell's prompt, like a transcript. */
	isTranscript: boolean;
	tokens: Token[];
}
interface Block {
	kind: "block";
	language: string;
	text: string;
}
type Piece = Sentence | CommandLine | Block;

interface Finding {
	isOrder: boolean;
	judgement: Judgement;
	/** The piece it is in, and how far into it. */
	piece: number;
	isText: boolean;
}

const PLACE: Place = { workDir: "/srv/project", cwd: "/srv/project", home: "/home/user" };

class Reading {
	readonly #text: string;
	#spans: Span[] = [];
	#pieces: Piece[];
	#findings: Finding[] = [];
	#candidates = 0;
	#candidateUnits = 0;

	constructor(text: string) {
		// Cut before and after: of some letters plain text makes eighteen.
		const head = plainText(text.slice(0, HEAD_UNITS)).slice(0, HEAD_UNITS);
		const tail = plainText(text.slice(Math.max(HEAD_UNITS, text.length - TAIL_UNITS))).slice(-TAIL_UNITS);
		this.#text = text.length <= HEAD_UNITS + TAIL_UNITS ? head + tail : `${head}\n\n${tail}`;
		this.#pieces = this.#split(this.#text);
	}

	judgement(): PromptJudgement {
		this.#pieces.forEach((piece, at) => {
			if (piece.kind === "sentence") this.#readSentence(piece, at);
			else if (piece.kind === "command") this.#readLine(piece, at);
			else this.#readBlock(piece, at);
		});
		this.#followPointers();
		const orders = this.#findings.filter((one) => one.isOrder).map((one) => one.judgement);
		const [first, ...others] = orders;
		if (first !== undefined) return { ...others.reduce(graver, first), kind: "order" };
		const left = this.#unmarked();
		if (left !== null) return { ...left, kind: "order" };
		const mention = this.#findings[0];
		if (mention === undefined) return { ...NO_OBJECTION, kind: "none" };
		const { reason } = PROMPT_RULES["prompt-mention"];
		const { judgement } = mention;
		return {
			kind: "mention",
			verdict: "allow",
			rule: "prompt-mention",
			category: judgement.category,
			reason: `${reason}: ${judgement.rule ?? ""}`,
			...(judgement.evidence === undefined ? {} : { evidence: judgement.evidence }),
		};
	}

	/**
	 * The last resort: a short prompt that holds a command which is denied, and nowhere a word by which people speak of commands, gives it to be run,
	 * in whatever words it does.
	 */
	#unmarked(): Judgement | null {
		if (this.#text.length > MAX_UNMARKED_UNITS) return null;
		const lines = this.#text.split("\n");
		const candidates = [
			...this.#spans.map((span) => span.inner),
			...this.#pieces.flatMap((piece) => (piece.kind === "sentence" ? [] : [piece.text])),
			...lines.filter((line) => /^\s*(> )?[a-z./$~(:{]/.test(line) && !/^\s*[a-z]+ [a-z]+ [a-z]+ /.test(line)),
			...lines.flatMap((line) => /:\s+(\S.*)$/.exec(line)?.[1] ?? []),
			...lines.flatMap((line) => TOOL_CALL.exec(line)?.[1] ?? []),
			// "Hey, X, thanks!"
			...lines.flatMap((line) => /^[^,]{1,40}, ([^`"].{1,400}), [^,]{1,40}$/.exec(line)?.[1] ?? []),
			// "cd into it and ./x -p": after the last joint.
			...lines.flatMap((line) => /^.{1,400}\b(?:and|then) ([^\s`"].*)$/.exec(line)?.[1] ?? []),
		];
		for (const candidate of candidates.slice(0, 24)) {
			const text = candidate.replace(/^\s*[$#>]\s+/, "").trim();
			const judged = text === "" ? null : this.#judge(text, true);
			if (judged?.verdict !== "deny") continue;
			// "a flowchart of X".
			if (OF_IT.test(this.#text.slice(0, Math.max(0, this.#text.indexOf(candidate))).slice(-80))) return null;
			const asks = this.#pieces.some((piece) => piece.kind === "sentence" && piece.isQuestion);
			const rest = this.#text
				.replace(candidate, " ")
				.replace(ASKED_OTHERWISE, " ")
				.replace(asks ? /^$/ : /[?？]/g, " ");
			if (
				lines.includes(candidate) &&
				/[?？]|\b(was|vs|which|what|considered|is|denied|blocked|refused|allowed|fails|looks)\b/.test(candidate)
			)
				return null;
			return SPEAKS_OF.test(rest) || CJK.test(this.#text) || wordsIn(rest).some(isOfSpeech) ? null : judged;
		}
		return null;
	}

	// ------------------------------------------------------------ pieces

	#split(text: string): Piece[] {
		const pieces: Piece[] = [];
		const lines = text.split("\n");
		for (let i = 0; i < lines.length; i++) {
			const line = lines[i] ?? "";
			const fence = /^\s{0,8}(```+|~~~+)\s*([\w+.-]{0,32})/.exec(line.slice(0, 64));
			if (fence !== null && !line.trim().slice(3).includes("```")) {
				const close = (fence[1] ?? "```").slice(0, 3);
				let end = i + 1;
				while (end < lines.length && !lines[end]?.trimStart().startsWith(close)) end++;
				pieces.push({ kind: "block", language: (fence[2] ?? "").toLowerCase(), text: lines.slice(i + 1, end).join("\n") });
				i = end;
				continue;
			}
			const last = pieces.at(-1);
			const isAnnounced = last?.kind === "sentence" && last.text.endsWith(":") && this.#leadStance(last) === true;
			pieces.push(...this.#splitLine(line, isAnnounced));
		}
		return pieces;
	}

	#splitLine(line: string, isAnnounced: boolean): Piece[] {
		// Four spaces make a line of code.
		const isCode = /^( {4}|\t)\s*[^-*•\d\s]/.test(line.slice(0, 80));
		const marked = isCode ? 0 : (/^\s*((?:[-*•>]|\d{1,3}[.)]|\[[ x]\])\s+)*/.exec(line.slice(0, 200))?.[0].length ?? 0);
		const rest = line.slice(marked);
		if (rest.trim() === "") return [];
		const prompt = /^(?:[\w.-]{1,64}@[\w.-]{1,64}[:~\w/. -]{0,80})?[$#%]\s+/.exec(rest.slice(0, 220))?.[0] ?? "";
		const command = rest.slice(prompt.length).trim();
		if (
			(looksLikeCommand(command) ||
				(prompt.startsWith("$") && /^[a-z./]/.test(command)) ||
				((isAnnounced || isCode) && /^[^A-Z]/.test(command))) &&
			!CJK.test(command) &&
			command.length <= MAX_LINE_UNITS
		)
			return [{ kind: "command", text: command, isTranscript: prompt !== "", tokens: this.#tokens(command) }];
		return sentencesOf(this.#withSpans(rest)).map((text, i) => this.#sentence(text, i === 0));
	}

	/** Pieces of code and quotations become one token each, so that what they hold is not read as the writer's own words. */
	#withSpans(line: string): string {
		return line.replace(SPANS, (whole: string, ...groups: unknown[]) => {
			const inner = groups.slice(0, 6).find((group) => typeof group === "string");
			if (typeof inner !== "string" || this.#spans.length >= 4096) return whole;
			this.#spans.push({ inner, whole, isCode: whole.startsWith("`") });
			return `${OPEN}${(this.#spans.length - 1).toString(36)}${CLOSE}`;
		});
	}

	#expand(text: string): string {
		return text.replace(SPAN_MARKS, (_, n: string) => this.#spans[Number.parseInt(n, 36)]?.whole ?? "");
	}

	#tokens(text: string): Token[] {
		return [...text.matchAll(/\S+/g)].map((found): Token => {
			const raw = found[0];
			const mark = SPAN_MARK.exec(raw);
			const span = mark === null ? null : (this.#spans[Number.parseInt(mark[1] ?? "", 36)] ?? null);
			const word = raw.toLowerCase().replace(/^[("'*_[{¡¿<-]+|[)"'*_\]}.,;:!?。、，；：！？…>]+$/g, "");
			return { raw, word, stop: /[.,;:!?。、，；：！？—–]$/.exec(raw)?.[0] ?? (/^[-—–]+$/.test(raw) ? "-" : ""), at: found.index, span };
		});
	}

	#sentence(text: string, startsLine: boolean): Sentence {
		const tokens = this.#tokens(text.slice(0, MAX_SENTENCE_UNITS));
		const sentence: Sentence = { kind: "sentence", text, tokens, verbs: [], isQuestion: isQuestion(tokens), startsLine };
		tokens.forEach((token, at) => {
			const does = token.span !== null ? undefined : doesOf(tokens, at);
			if (does !== undefined)
				sentence.verbs.push({ at, does, isImperative: isImperative(sentence, at, does), isNegated: isNegated(tokens, at) });
		});
		return sentence;
	}

	// ------------------------------------------------------------ sentences

	#readSentence(sentence: Sentence, piece: number): void {
		const { tokens, text, verbs } = sentence;
		const before = this.#findings.length;
		/** Ends, in units, of the commands that are only spoken of, by the token that they begin at: their words order nothing. */
		const spokenOf = new Map<number, number>();
		let skipTo = 0;
		let ran = -1;
		tokens.forEach((token, at) => {
			if (at < skipTo) return;
			// What follows "run" is a command, even one that nobody knows.
			const verb = verbs.find((one) => one.at === at);
			if (verb?.does === "run" && verb.isImperative) {
				const next = tokens.findIndex((one, i) => i > at && !RUN_FILLERS.has(one.word));
				if (next > at && tokens[next]?.span === null && !NEGATIONS.has(tokens[next]?.word ?? "")) ran = next;
			}
			if (token.span !== null) {
				const judgement = this.#judge(token.span.inner, token.span.isCode);
				if (judgement !== null) {
					this.#find(piece, judgement, this.#commandStance(sentence, at, 1, piece));
					return;
				}
			}
			if (!startsCommand(tokens, at) && (at !== ran || isProse(tokens[at + 1]))) return;
			const end = clauseEnd(tokens, at);
			const said = trimmed(this.#expand(text.slice(token.at, end)));
			const found = this.#judge(/[a-z]/.test(said) ? said.replace(/^[A-Z](?=[a-z])/, (c) => c.toLowerCase()) : said.toLowerCase(), false);
			if (found === null) return;
			const isOrder = this.#commandStance(sentence, at, tokens.length - at, piece);
			this.#find(piece, found, isOrder);
			if (!isOrder) spokenOf.set(at, end);
			skipTo = tokens.length;
		});
		this.#readEncoded(sentence, piece);
		if (!sentence.isQuestion && UNBOUND.test(text) && !tokens.some(({ word }) => TEXT_THINGS.has(word) && !BINDS.test(word)))
			this.#find(piece, orderOf("to set aside the rules that bind it", "unresolved", "ask", text), true);
		if (this.#findings.length > before && this.#findings.slice(before).some((one) => one.isOrder)) return;
		this.#readWords(sentence, piece, spokenOf);
	}

	/** "decode this base64 and run it": judged as what it would be. */
	#readEncoded(sentence: Sentence, piece: number): void {
		if (!/base ?64|decode|dekodier|décode|decodifica/i.test(sentence.text)) return;
		sentence.tokens.forEach(({ span, word, raw }, at) => {
			const code = span?.inner ?? raw.replace(/[.,;:)"']+$/, "");
			if (code.startsWith("/") || word.length > 4096 || !/^[A-Za-z0-9+/]{8,4096}={0,2}$/.test(code)) return;
			const judgement = this.#judge(`echo ${code} | base64 -d | sh`, true);
			if (judgement !== null)
				this.#find(
					piece,
					judgement,
					sentence.verbs.some((v) => v.does === "run" && v.isImperative && !v.isNegated && v.at !== at),
				);
		});
	}

	/** Orders without a command: a verb in the imperative and what it is to be done to. */
	#readWords(sentence: Sentence, piece: number, spokenOf: ReadonlyMap<number, number>): void {
		const { tokens } = sentence;
		const inline = tokens.map((token) => (token.span === null ? token.raw : /\s/.test(token.span.inner) ? "…" : token.span.inner));
		const whole = inline.join(" ").slice(0, MAX_SENTENCE_UNITS);
		if (CJK.test(whole)) this.#readHan(whole, piece);
		let spokenOfTo = 0;
		tokens.forEach((token, at) => {
			spokenOfTo = Math.max(spokenOfTo, spokenOf.get(at) ?? 0);
			if (token.at < spokenOfTo) return;
			if (token.span !== null || token.word === "") return;
			// "make sure that I can ...": what is wanted, however it is brought about.
			const isWished = WISHED.has(token.word) && /^(make sure|see that|see to|ensure that|ensure \w+)$/.test(wordsOf(tokens, at, at + 2));
			if (
				isWished &&
				(/^(that )?no\b/.test(wordsOf(tokens, at + 2, at + 4)) ||
					tokens.slice(at + 2, at + 20).some((one) => NEGATIONS.has(one.word) && !/^(no|without)$/.test(one.word)))
			)
				return;
			const isGone = isToGo(tokens, at);
			const isPassive = isGone || (PARTICIPLE.test(token.word) && isToBe(tokens, at));
			const bases = isGone
				? ["delete", "disable"]
				: isPassive
					? participleOf(token.word)
					: isWished
						? []
						: token.word === "get" && tokens[at + 1]?.word === "rid"
							? ["delete"]
							: [token.word, token.word.replace(/(?<=[a-z]{2})s$/, "").replace(/(?<=ch|sh|ss|x)e$/, "")];
			const meant = new Set(bases.flatMap((base) => CONCEPTS_BY_VERB.get(base) ?? NO_CONCEPTS));
			// "hackers", "reads": no imperative; "safe or unsafe": joined to what is to be said.
			const isUnlisted = doesOf(tokens, at) === undefined && !isWished;
			const isNoun =
				isUnlisted &&
				(token.stop !== "" ||
					/^(is|are|was|were|has|have|had|can|should)$/.test(tokens[at + 1]?.word ?? "") ||
					/[^s]s$/.test(token.word) ||
					(at > 0 &&
						lastImperative(sentence.verbs, at)?.does === "speak" &&
						!startsAnew(tokens, at) &&
						JOINERS.has(tokens[at - 1]?.word ?? "")));
			if (!isPassive && !isNoun && (isWished || mayBeVerb(tokens, at)) && isImperative(sentence, at, "work"))
				for (const concept of CONCEPTS_OF_ANY_VERB) meant.add(concept);
			if (meant.size > 0) {
				const object = isPassive
					? inline
							.slice(Math.max(0, at - 40), at)
							.join(" ")
							.slice(-OBJECT_UNITS)
					: inline
							.slice(at + 1, at + 48)
							.join(" ")
							.slice(0, OBJECT_UNITS);
				// "every private key that you find: encrypt it".
				const matter =
					!isPassive && /^\W*(it|them|all of (it|them))\b/.test(object)
						? `${object} ${inline.slice(Math.max(0, at - 24), at).join(" ")}`
						: object;
				const clause = isPassive
					? whole
					: (inline
							.slice(clauseStart(tokens, at), at + 48)
							.join(" ")
							.split(CLAUSE_END)[0] ?? "");
				for (const concept of meant) {
					const found = objectOf(concept, matter, clause);
					if (found === null) continue;
					const between = object.slice(0, found);
					if ((concept.verbs === null ? ASKS_HOW : ASKS_WHETHER).test(between)) continue;
					// "summarise this news: ...".
					if (/:\s/.test(between) && /^(summari[sz]e|scan|check|look|find|search)$/.test(token.word)) continue;
					const isText =
						!isPassive && BUILD_VERBS.has(token.word) && wordsIn(between).some((word) => TEXT_THINGS.has(word) || ABOUT.has(word));
					const isOrder = !isText && (isPassive ? !sentence.isQuestion && !isNegated(tokens, at) : this.#isOrdered(sentence, at));
					this.#find(piece, orderOf(`to ${concept.what}`, concept.category, concept.verdict, whole), isOrder);
					if (isOrder) return;
				}
			}
			this.#readPaths(sentence, piece, at, bases, inline, isPassive);
		});
	}

	#readPaths(sentence: Sentence, piece: number, at: number, bases: string[], inline: string[], isPassive: boolean): void {
		if (sentence.isQuestion && ASKS_CONTENT.test(inline.slice(0, at + 2).join(" ")) && /^(of|in|inside)$/.test(bases[0] ?? "")) {
			const path = (inline[at + 1] ?? "").replace(/^["'`([]+|["'`)\],;:!?.]+$/g, "");
			const judged = /^[~/]/.test(path) ? judgePath(path, "read", PLACE) : NO_OBJECTION;
			if (judged.category === "read_secrets" && judged.verdict === "deny") this.#find(piece, ordered(judged, `read ${path}`), true);
			return;
		}
		const use = PATH_VERBS.find(([verbs]) => bases.some((base) => verbs.has(base)))?.[1];
		if (use === undefined) return;
		const around = isPassive ? inline.slice(Math.max(0, at - 16), at) : inline.slice(at + 1, at + 17);
		around.forEach((raw, k) => {
			const path = raw.replace(/^["'`([]+|["'`)\],;:!?]+$|\.$/g, "");
			if (!/^(\/|~\/?$|~\/|\$HOME\b|\/$)/.test(path) && !DOT_FILE.test(path)) return;
			if (path.length > 512) return;
			const previous = (around[k - 1] ?? "").toLowerCase();
			const isAll =
				ROOT_AFTER.has(previous) || ROOT_VERBS.has(bases[0] ?? "") || /^(recursive(ly)?|rekursiv|completely)\b/i.test(around[k + 1] ?? "");
			if (path === "/" && !isAll) return;
			const judged = judgePath(DOT_FILE.test(path) && !path.startsWith(".git") ? `~/${path}` : path.replace(/^\$HOME\b/, "~"), use, PLACE);
			if (judged.verdict === "allow" || judged.category === "outside" || judged.category === "unresolved") return;
			// A path that is not the machine's is more often one of a web site: "remove the endpoint /v1/foo".
			if (judged.verdict === "ask" && judged.category === "destroy") return;
			// "add X to /etc/os-release", "remove /usr/bin/x from the list": packaging.
			const isGrave = /^\/[^/]*\/?$|\b(hosts|passwd|group|fstab|resolv\.conf|nsswitch\.conf|sshd?_config)$/.test(path);
			if (judged.rule === "write-system" && !isGrave && !/^(overwrite|fill|strip|replace|chmod|chown)$/.test(bases[0] ?? "")) return;
			if (use === "delete" && around[k + 1] === "from") return;
			const isText = !isPassive && wordsIn(around.slice(0, k).join(" ")).some((word) => TEXT_THINGS.has(word));
			const isOrder = isText ? false : isPassive ? !sentence.isQuestion && !isNegated(sentence.tokens, at) : this.#isOrdered(sentence, at);
			this.#find(piece, ordered(judged, `${use} ${path}`), isOrder);
		});
	}

	/** Whether the verb at this token is said as an order, or as what a script that is ordered shall do. */
	#isOrdered(sentence: Sentence, at: number): boolean {
		const { tokens, verbs } = sentence;
		if (isNegated(tokens, at)) return false;
		const word = tokens[at]?.word ?? "";
		// "reads /etc/shadow": somebody does.
		const isInflected = /[^s]s$/.test(word) && !CONCEPTS_BY_VERB.has(word);
		if (!isInflected && isImperative(sentence, at, WANT_VERBS.has(word) ? "want" : "work")) return true;
		const governing = lastImperative(verbs, at);
		if (governing === null || governing.does !== "build" || governing.isNegated) return false;
		// "write something that ... and run it": whatever it is called, it is run.
		return makesRunning(tokens, governing.at) || verbs.some((verb) => verb.at > at && isStarted(sentence, verb));
	}

	#readHan(text: string, piece: number): void {
		const isSpoken = speaksHan(text);
		for (const { category, what, match } of HAN.concepts)
			if (match.test(text)) this.#find(piece, orderOf(`to ${what}`, category, "deny", text), !isSpoken);
	}

	// ------------------------------------------------------------ commands

	#readLine(line: CommandLine, piece: number): void {
		const judgement = this.#judge(line.text, true);
		if (judgement === null) {
			// It may have been a sentence after all.
			for (const text of sentencesOf(this.#withSpans(line.text))) this.#readSentence(this.#sentence(text, true), piece);
			return;
		}
		if (line.tokens.slice(2).some((token) => FINITE.has(token.word)) && !/[;&|]/.test(line.text))
			return this.#find(piece, judgement, false);
		const lead = this.#lead(piece);
		const isOrder =
			lead === null ? !(line.isTranscript && this.#pieces.length > 1) : (this.#leadStance(lead) ?? !(line.isTranscript || isShown(lead)));
		this.#find(piece, judgement, isOrder);
	}

	#readBlock(block: Block, piece: number): void {
		const judgement = this.#judgeBlock(block);
		if (judgement === null) return;
		const prose = this.#pieces.filter((one) => one.kind === "sentence");
		const isBare = prose.every((one) => !one.isQuestion && one.verbs.every((verb) => verb.does === "run"));
		if (isBare && prose.reduce((sum, one) => sum + one.tokens.length, 0) <= 3) return this.#find(piece, judgement, true);
		const next = this.#pieces[piece + 1];
		const lead = this.#lead(piece);
		const isAskedAbout = next?.kind === "sentence" && (next.isQuestion || next.verbs[0]?.does === "speak" || next.tokens.some(isShowing));
		this.#find(piece, judgement, (lead === null ? null : this.#leadStance(lead)) ?? !(isAskedAbout || (lead !== null && isShown(lead))));
	}

	#judgeBlock({ language, text }: Block): Judgement | null {
		const body = text.slice(0, MAX_BLOCK_UNITS);
		if (SHELL_LANGUAGES.has(language)) return this.#judge(body.replace(/^\s*[$#%]\s+(?=\S)/gm, ""), true);
		const program = SCRIPT_LANGUAGES[language];
		if (program === undefined) return null;
		return this.#judge(`${program} '${body.replaceAll("'", "'\\''")}'`, true);
	}

	/** The sentence that a line or block follows. */
	#lead(piece: number): Sentence | null {
		for (let i = piece - 1; i >= 0 && i > piece - 8; i--) {
			const one = this.#pieces[i];
			if (one?.kind === "sentence") return one;
			if (one?.kind === "block") return null;
		}
		return null;
	}

	/** How a sentence speaks of what follows it; null: it does not say. */
	#leadStance(lead: Sentence): boolean | null {
		if (lead.isQuestion) return false;
		if (lead.verbs.some((verb) => verb.does === "run" && verb.isImperative && !verb.isNegated && pointsTo(lead.tokens, verb.at)))
			return true;
		const governing = lastImperative(lead.verbs, lead.tokens.length);
		// Another task, then a command by itself.
		if (governing !== null && /^(work|build)$/.test(governing.does) && !lead.text.endsWith(":"))
			return namesText(lead.tokens, 0, lead.tokens.length) ? false : null;
		if (governing === null) return isShown(lead) ? false : null;
		if (governing.does === "run") return !governing.isNegated && !namesText(lead.tokens, governing.at + 1, lead.tokens.length);
		if (isMeans(lead.tokens, governing.at, lead.tokens.length)) return !governing.isNegated && governing.does !== "speak";
		if (governing.does === "build") return !governing.isNegated && makesRunning(lead.tokens, governing.at);
		return governing.does === "want" ? null : false;
	}

	#commandStance(sentence: Sentence, at: number, length: number, piece: number): boolean {
		const { tokens, verbs, text } = sentence;
		if (CJK.test(text)) return !speaksHan(text) && (HAN.run.test(text) || /请|請|把|帮|幫/.test(text));
		const previous = tokens[at - 1];
		const isOf =
			previous?.word === "of" && /^(means|help|aid|way|care|stdout|stderr|output|results?|contents?)$/.test(tokens[at - 2]?.word ?? "");
		if (previous !== undefined && LIKENESS.has(previous.word) && previous.stop !== ":" && !isOf) return false;
		const governing = lastImperative(verbs, at);
		// What follows in the same clause.
		const rest = tokens[at + length - 1]?.stop === "" ? tokens.slice(at + length, at + length + 8) : [];
		const joined = rest.findIndex(
			(token) => JOINERS.has(token.word) || /^(until|if|so|because|unless|while|before|after|to|for|on|in)$/.test(token.word),
		);
		const after = joined < 0 ? rest : rest.slice(0, joined);
		if (isNegated(tokens, at)) return false;
		// "I want to see X executed".
		if (WANTS_SEEN.test(wordsOf(tokens, 0, at)) && SEEN_RUN.test(wordsOf(tokens, at + 1, at + 4))) return !sentence.isQuestion;
		// "do the following in order: a, b, X".
		if (
			verbs.some(
				(verb) =>
					verb.at < at &&
					verb.does === "run" &&
					verb.isImperative &&
					!verb.isNegated &&
					/^(the )?(following|these|this)\b/.test(wordsOf(tokens, verb.at + 1, verb.at + 3)) &&
					tokens.slice(verb.at, at).some((token) => token.stop === ":" && !TEXT_THINGS.has(token.word)),
			)
		)
			return !sentence.isQuestion;
		// "skip the review, `X` instead".
		if (after[0]?.word === "instead" && previous?.stop === "," && !sentence.isQuestion) return true;
		// "check the disk and `X`" tells to run it, "explain `Y` and `X`" does not.
		const isVerb =
			previous !== undefined &&
			JOINERS.has(previous.word) &&
			tokens[at - 2]?.span === null &&
			!tokens.slice(0, at).some((token) => token.span !== null);
		const isJoinedAnew = at > 0 && isImperative(sentence, at, "work") && (startsAnew(tokens, at) || isVerb);
		if (governing !== null && !isJoinedAnew) {
			switch (governing.does) {
				case "run": {
					const between = tokens.slice(governing.at + 1, at);
					const isUndone = [...between, ...after.slice(0, 1)].some((token) => LATE_NEGATIONS.has(token.word));
					return !governing.isNegated && !isUndone && !namesText(tokens, governing.at + 1, at);
				}
				case "build":
					if (governing.isNegated) return false;
					if (
						/^a (try|go|shot|run|spin)\b/.test(wordsOf(tokens, at + length, at + length + 2)) ||
						/ a (try|go|shot)$/.test(wordsOf(tokens, at, tokens.length))
					)
						return true;
					if (previous?.stop === ":" && PREPARES.has(tokens[governing.at]?.word ?? "") && !namesText(tokens, governing.at, at)) return true;
					return makesRunning(tokens, governing.at) || namesFile(tokens, governing.at) || isMeans(tokens, governing.at, at);
				case "want":
					return (
						tokens.slice(at + 1).some((token) => /^(run|executed|ausgeführt|exécuté|ejecutado|eseguito)$/.test(token.word)) &&
						!sentence.isQuestion
					);
				case "work":
					if (governing.isNegated || namesText(tokens, governing.at + 1, at)) return false;
					if (previous?.stop === ":" && PREPARES.has(tokens[governing.at]?.word ?? "")) return true;
					return INSTALLS.has(tokens[governing.at]?.word ?? "") || isMeans(tokens, governing.at, at);
				case "speak":
					return (
						!governing.isNegated &&
						!sentence.isQuestion &&
						(wantsOutput(tokens, governing.at, at, after) || isProvenBy(tokens, governing.at, at))
					);
				default:
					return unreachable(governing.does);
			}
		}
		if (isOf && !sentence.isQuestion && !/\b(example|sample|expected|fake|mock|old|last|earlier|previous)\b/.test(wordsOf(tokens, 0, at)))
			return true;
		// A command that nothing marks as spoken of is meant to be run: the ways to order are endless, those to mention are not.
		const before = tokens.slice(0, at);
		const said = before.map((token) => token.word).join(" ");
		const start = clauseStart(tokens, at);
		if (sentence.isQuestion || before.slice(start).some((token) => NEGATIONS.has(token.word))) return false;
		if (RUN_PASSIVELY.test(said) || RUN_WISHED.test(said) || TASK_IS.test(said)) return true;
		// A verb at the end, as in German: "kannst du rm -rf / ausführen".
		if (
			after.some((token) => /^(ausführen|ausfuehren|ausführst|laufen|exécuter|ejecutar|aus)$/.test(token.word)) &&
			!before.some(isShowing)
		)
			return true;
		if (MUST_BE_RUN.test(wordsOf(tokens, at + 1, tokens.length))) return true;
		const isSpokenOf = (length === 1 ? after.slice(0, 6) : tokens.slice(at + 2)).some((token) => FINITE.has(token.word));
		if (isSpokenOf || after.slice(0, 4).some((token) => TEXT_THINGS.has(token.word))) return false;
		const isOrdered = isImperative(sentence, at, "work");
		if (
			(!isOrdered || previous?.stop === ":") &&
			before.slice(previous?.stop === ":" ? 0 : start).some(previous?.stop === ":" ? isShowing : isReporting)
		)
			return false;
		if (!isOrdered) {
			const subject = before[start]?.word ?? "";
			// "users can type ...", "he pastes ...": somebody else does.
			return !(
				SUBJECTS.has(subject) ||
				before.slice(start).some((token) => SUBORDINATORS.has(token.word)) ||
				(SUBORDINATORS.has(before[0]?.word ?? "") && isSomebody(before[1]?.word ?? ""))
			);
		}
		if (at > 0) return true;
		const lead = this.#lead(piece);
		// "What is wrong with this? X"
		if (!sentence.startsLine) return !(lead?.isQuestion === true && lead.tokens.some((token) => POINTERS.has(token.word)));
		// Alone in its line, it is what the sentence before says of it.
		return lead === null ? after.length <= 6 : (this.#leadStance(lead) ?? !isShown(lead));
	}

	/** "`rm -rf /` ... Run it.": what was only shown becomes an order. */
	#followPointers(): void {
		for (const finding of this.#findings) {
			if (finding.isOrder || finding.isText) continue;
			const isPointedTo = this.#pieces.some((piece, at) => {
				if (piece.kind !== "sentence" || at > finding.piece + 3 || at < finding.piece - 3) return false;
				if (at >= finding.piece && !piece.isQuestion && GOES.test(piece.text) && !piece.tokens.some((token) => NEGATIONS.has(token.word)))
					return true;
				const isBlock = this.#pieces[finding.piece]?.kind === "block";
				return piece.verbs.some(
					(verb) =>
						verb.does === "run" &&
						verb.isImperative &&
						!verb.isNegated &&
						pointsTo(piece.tokens, verb.at) &&
						(isBlock || at > finding.piece || followsIn(piece, verb.at)),
				);
			});
			if (!isPointedTo) continue;
			const near = this.#pieces.slice(Math.max(0, finding.piece - 2), finding.piece + 4);
			const isAboutText = near.some(
				(piece) =>
					piece.kind === "sentence" && piece.verbs.some((v) => v.does === "build" && v.isImperative && !makesRunning(piece.tokens, v.at)),
			);
			if (!isAboutText) finding.isOrder = true;
		}
	}

	// ------------------------------------------------------------ what was found

	#find(piece: number, judgement: Judgement, isOrder: boolean): void {
		if (this.#findings.length < 1024) this.#findings.push({ piece, judgement, isOrder, isText: judgement.rule === "prompt-order" });
	}

	/** What the command engine holds against a text, if it is a command at all. Not resolvable is no ground here: most prose is not. */
	#judge(text: string, isSurelyCode: boolean): Judgement | null {
		const command = text.trim().replace(CRON_TIME, "");
		if (command === "" || !(isSurelyCode || /\s|[/|;&:{(]/.test(command))) return null;
		if (!isSurelyCode && /^[\w.$#@-]+(\(\))?$/.test(command) && !LONE_COMMANDS.has(command)) return null;
		if (this.#candidates >= MAX_CANDIDATES || this.#candidateUnits + command.length > MAX_CANDIDATE_UNITS) return null;
		this.#candidates++;
		this.#candidateUnits += command.length;
		const judged = judgeCommand(command, PLACE);
		if (judged.rule === "parse-error" && !isSurelyCode) {
			// "git push -f origin main, I know what I'm doing": a command and then prose.
			const prose = /[,;:!?.]\s|\s[A-Za-z]+'[a-z]{1,2}\b| [—–-] /.exec(command);
			return prose === null || prose.index === 0 ? null : this.#judge(command.slice(0, prose.index), true);
		}
		if (judged.verdict === "allow" && !isSurelyCode) {
			// "ln -s ... real quick": neither are those.
			const said = TRAILERS.exec(command);
			if (said !== null && said.index > 0) return this.#judge(command.slice(0, said.index), true);
			// "curl ... | bash for me": those are no arguments.
			const piped = SHELL_THEN_PROSE.exec(command)?.[1];
			if (piped !== undefined) return this.#judge(piped, true);
		}
		if (judged.verdict === "allow") return null;
		if (NO_GROUND.has(judged.category) && !(isSurelyCode && judged.rule === "bare-shell")) return null;
		return ordered(judged, command);
	}
}

// ------------------------------------------------------------ small things

const PARTICIPLE = /^([a-z-]{2,20}ed|sent|read|shut|taken|put|made|given|off|overwritten|written|stolen|shown|broken|set)$/;

const NO_CONCEPTS: readonly Concept[] = [];
const CONCEPTS_OF_ANY_VERB = CONCEPTS.filter((concept) => concept.verbs === null);
const CONCEPTS_BY_VERB: ReadonlyMap<string, readonly Concept[]> = (() => {
	const byVerb = new Map<string, Concept[]>();
	for (const concept of CONCEPTS) for (const verb of concept.verbs ?? []) byVerb.set(verb, [...(byVerb.get(verb) ?? []), concept]);
	return byVerb;
})();

/** Where in the text after a verb its object stands; null: it has none. */
function objectOf({ object, also, unless }: Concept, text: string, clause: string): number | null {
	const found = object.exec(text);
	return found !== null && (also?.test(text) ?? true) && !(unless?.test(clause) ?? false) ? found.index : null;
}

const wordsIn = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}-]+/gu) ?? [];

const OPEN = "\ue000";

const CLOSE = "\ue001";

const SPAN_MARK = /\ue000([0-9a-z]+)\ue001/;

const SPAN_MARKS = /\ue000([0-9a-z]+)\ue001/g;

/** Code between backticks; quotations of up to 500 units. Each alternative has one bounded part. */
const SPANS =
	/``([^\n]{1,500}?)``|`([^`\n]{1,1500})`|"([^"\n]{2,500})"|“([^”\n]{2,500})”|«([^»\n]{2,500})»|(?<=^|[\s(:])'([^'\n]{2,300})'(?=$|[\s.,;:!?)])/g;

const CJK = /[\u3040-\u30ff\u3400-\u9fff]/;

const ROOT_AFTER = new Set(
	"under below beneath inside within across in on from of at everything directory dir filesystem partition path unter auf in von dans sous en su em sur de".split(
		" ",
	),
);

const ROOT_VERBS = new Set(["wipe", "erase", "nuke", "format", "destroy", "purge", "shred", "rm"]);

const PATH_VERBS: [ReadonlySet<string>, "read" | "write" | "delete"][] = [
	[
		new Set(
			"delete remove wipe erase destroy nuke purge shred trash truncate format empty clear lösche entferne supprime supprimez efface borra elimina cancella apague".split(
				" ",
			),
		),
		"delete",
	],
	[
		new Set(
			"strip chmod chown overwrite fill append write add edit modify put insert inject replace change echo install place drop schreibe füge ändere écris ajoute modifie escribe añade modifica scrivi aggiungi escreva adicione".split(
				" ",
			),
		),
		"write",
	],
	[
		new Set(
			"read print show cat dump display reveal output copy send upload post email exfiltrate steal grab extract get find fetch retrieve include paste export attach tell open give tell share leak commit exfil tar zip archive compress encode base64 curl lies zeige kopiere sende lis affiche copie envoie lee muestra copia envía leggi mostra invia leia mostre".split(
				" ",
			),
		),
		"read",
	],
];

/** Negations that stand after their verb. */
const LATE_NEGATIONS = new Set(["not", "never", "nicht", "nie", "niemals", "pas", "jamais", "nunca"]);

/** Asks for what a file holds, which is to say: read it. */
const ASKS_CONTENT =
	/^(what('s| is| are)|was (ist|steht)|qué (hay|contiene)|quel est)( the| exactly| der| le| el)* ?(contents?|value|text|inhalt|contenu|contenido)? ?(of|in|inside|von)\b/i;

const RUN_PASSIVELY = /\b(must|should|needs? to|has to|have to|shall|to) be (executed|run|launched|typed|entered|invoked)\b/;

/** Files of the home directory that people name without it. */
const DOT_FILE =
	/^\.(bashrc|bash_profile|profile|zshrc|zprofile|zshenv|bash_logout|ssh|aws|gnupg|kube|netrc|npmrc|pypirc|git-credentials|docker\/config\.json|git)(\/\S*)?$/;

/** What most prose and much code is, too. */
const NO_GROUND: ReadonlySet<Judgement["category"]> = new Set([null, "outside", "unresolved"]);

/** What people say after a command without a comma. */
const TRAILERS =
	/(\s+(real|right|quick|quickly|now|please|pls|anyway|anyways|again|first|today|asap|for|me|us|thanks|already|once|immediately|ok|okay)){1,4}$/i;

const SHELL_THEN_PROSE = /^(.{1,2000}\|\s*(?:sudo\s+)?(?:ba|z|da|k)?sh)\s+\p{L}/su;

const BINDS = /^(rules?|guidelines?|polic(y|ies)|guards?)$/;
const UNBOUND =
	/\b(developer|dan|god|jailbreak|unrestricted) mode\b.{0,40}\b(now|enabled|on|active)\b|\bno (restrictions|rules|limits|guidelines) (apply|bind you|any ?more)|\byou (have no|are free of|are free from|are not bound by) (any )?(restrictions|rules|guidelines|limits|policies)/i;

const RUN_WISHED =
	/\b(great|nice|appreciate|helpful|wonderful|good|love|glad|grateful|happy|perfect|cool|like)\b.*\byou (could |would |can )?(ran|run|executed?|did|do|used?|typed?)$/;

const WANTS_SEEN = /\b(want|wants|like|love|need|needs|get|have|expect|expects)( to (see|have|get))?$|\bsee to it that$/;
const SEEN_RUN =
	/^((to )?(be|get) |being |gets )?(run|done|executed|launched|started|typed|applied|fired)\b|^to (happen|have (happened|been (run|executed|done)))\b/;
/** Says so of whatever was named before. */
const GOES =
	/(^|[,;:—–-] |\b(so|just|then|and|please) )(go for it|go ahead|do it|do so|do that|make it happen|get it done|get on with it|carry it out|proceed|let it rip|fire away)\b|^go[.!]*$/i;

const TASK_IS =
	/\b(next|only|last|first|your) (\w+ ){0,3}(to (run|execute|type|enter|do) )?is$|\b(safe|fine|ok|okay|easy|simple|approved)$|\byour( \w+){0,2} (job|task|step|action|mission|assignment|order)( \w+){0,2} is$/;

/** With a colon, "set the project up: X", they say how. */
const PREPARES = new Set(
	"make do set setup prepare configure clean free restore deploy reset build upgrade bump kill send get fetch download install open enable connect".split(
		" ",
	),
);

const WISHED = new Set(["make", "see", "ensure"]);
const isSomebody = (word: string): boolean => /^(some|any|every)(one|body)$|^(a|an|the|users?|they|people|he|she)$/.test(word);
const ASKS_WHETHER = /\b(whether|if|how|why)\b/i;
const ASKS_HOW = /\b(how|what|why|when|whether|if|about|ways?)\b/i;

const MUST_BE_RUN =
	/^([^a-z]\S*\s)*(must|should|needs? to|has to|shall|is to|will) be (run|executed|launched|started|typed|entered)\b|^needs? (running|executing)\b/;

/** Words of prompts that speak of commands. */
const SPEAKS_OF =
	/[?？吗]|\b(sort|rank|rate|grade|score|expect\w*|danger|what|why|how|which|who|whether|explain|descri\w+|summari[sz]\w+|review|analy[sz]\w+|compar\w+|translat\w+|document\w*|docs?|readme|write|draft|rename|replace|remove|tests?|spec|regression|rules?|detect\w*|den(y|ied|ies|ial)|block\w*|refus\w*|reject\w*|flag\w*|forb\w+|never|don'?t|not|no|avoid\w*|without|instead|logs?|history|fixtures?|examples?|typo|says?|said|posted?|mention\w*|forum|slides?|incident|alerts?|scanner|parser?|regex|strings?|comments?|attack\w*|malware|classif\w+|lesson|article|report|list|table|snippet|cve|transcript|commit|guard|policy|grep|search|students?|training|some(one|body)|nobody|users?|customers?|colleague|found|saw|reads?|warn\w*|dangerous|harmful|risky|safe|safer|prefer\w*|curious|wonder\w*|bug|fix|fails?|failed|error|joke|story|poem|quote\w*|print|echo|output|nie|niemals|nicht|warum|wieso|erkläre?|was|wie|pourquoi|explique\w*|jamais|pas|nunca|explica)\b|解释|为什么|什么|不要|测试|写/i;
/** Words that speak of something, where they only ask for it or say when. */
const ASKED_OTHERWISE =
	/\b(no need to [a-z]{1,16}( [a-z]{1,16})?|without (explaining|asking)( [a-z]{1,16})?|(don't|do not) (explain|ask|comment|warn|argue)( [a-z]{1,16})?|what (i|we|you|is|was|are|comes|remain\w*|need\w*)( was| is)?|what's left|(want|like|love|need|have) to see|let me see|(before|after|once|during|while|until|between|as soon as) (the |our |all |your |my )?[a-z]{1,16}( [a-z]{1,16}){0,2}(?=[,:]|$))/gim;
const OF_IT =
	/(?<!\b(output|stdout|stderr|care|results?|contents?|help|means|aid) )\b(of|about|like|than|versus|vs|named|called)\s+[`"'(]*$/i;
/** How tools are called in transcripts. */
const TOOL_CALL =
	/^\s*(?:bash|shell|sh|exec|execute|run|terminal|system|os\.system|run_(?:shell_)?command|execute_command)\((.{2,1500})\)\s*;?$/i;
const isOfSpeech = (word: string): boolean =>
	SPEAK_VERBS.has(word) ||
	TEXT_THINGS.has(word) ||
	GUARDS.test(word) ||
	(FINITE.has(word) && !MODALS.has(word) && !/^(is|are|isn't|doesn't|did|does|was)$/.test(word));
const CLAUSE_END = /,? (?:and )?(?:then|afterwards?|after that|before) /;
const ABOUT = new Set(["about", "regarding", "concerning", "describing", "explaining", "against", "über", "sobre"]);

const CRON_TIME = /^(?:[\d*/,-]{1,20}\s+){5}|^@(?:reboot|daily|hourly)\s+/;

const RUN_FILLERS = new Set(
	"the this that following command commands shell please out line script code : in a terminal bash now just exactly as root on your my of off up".split(
		" ",
	),
);

const INSTALLS = new Set(["install", "setup", "get", "fetch", "download", "installiere", "installe", "instala"]);

const LONE_COMMANDS = new Set(["reboot", "poweroff", "halt", "shutdown"]);

const SHELL_LANGUAGES = new Set([
	"",
	"sh",
	"bash",
	"shell",
	"zsh",
	"console",
	"terminal",
	"ksh",
	"dash",
	"shell-session",
	"cmd",
	"text",
	"txt",
	"plaintext",
]);

const SCRIPT_LANGUAGES: Record<string, string> = {
	python: "python3 -c",
	py: "python3 -c",
	python3: "python3 -c",
	javascript: "node -e",
	js: "node -e",
	perl: "perl -e",
	ruby: "ruby -e",
	php: "php -r",
};

/** One spelling of everything: compatible forms of letters, no invisible characters, plain apostrophes. */
const plainText = (text: string): string =>
	text
		.normalize("NFKC")
		.replace(/[\u200b-\u200f\u2060\ufeff\u00ad\ue000\ue001]/g, "")
		.replace(/[\u2018\u2019]/g, "'")
		.replace(/<\/?(?:s|system|user|assistant|human|instructions?|prompt|im_start|im_end|\|im_start\||\|im_end\|)>/gi, "\n")
		.replace(/\r\n?/g, "\n");

/** Whether a line seems to be a command: by its first word, or because nobody would write prose like that. */
function looksLikeCommand(line: string): boolean {
	const [first = "", second = ""] = line.split(/\s+/, 2);
	if (/^(sudo|doas)$/.test(first)) return second !== "";
	if (COMMAND_OR_WORD.has(first)) return ARGUMENT.test(line.slice(first.length, first.length + 80));
	if (COMMAND_WORDS.has(first)) return second !== "" || LONE_COMMANDS.has(first);
	if (/^(\.{0,2}\/|~\/|:\(\)|[A-Za-z_]\w{0,40}=)\S/.test(first)) return true;
	return (
		/[\\$'"`{]/.test(first) &&
		/^["'\\$`{]|[a-z][\\'"]+[a-z'"]*[a-z]|\{[^}]{1,80},/.test(first) &&
		!/^["'`]?[A-Z]?[a-z]+(['’][a-z]{1,2})?["'`,.:]*$/.test(first)
	);
}

const ARGUMENT = /^\s+(-{1,2}[A-Za-z0-9]|[/~.$*]|\d|\S{0,60}[/|>$=*])|\|\s*\S|>\s*\S|&&/;

/** Whether a command may begin at this token of a sentence: a command's name, with something after it that is no prose. */
function startsCommand(tokens: readonly Token[], at: number): boolean {
	const { raw, word, stop, span } = tokens[at] ?? { raw: "", word: "", stop: "", span: null };
	if (span !== null || stop !== "") return raw.startsWith(":(){");
	const name = raw.replace(/^[("'*_[]+/, "");
	const isFirst = at === 0 && name.slice(1) === word.slice(1) && !COMMAND_OR_WORD.has(word);
	if ((name === word || name === word.toUpperCase() || isFirst) && (COMMAND_WORDS.has(word) || COMMAND_OR_WORD.has(word))) {
		const next = tokens.slice(at + 1, at + 4);
		return (
			(word === "sudo" && LONE_COMMANDS.has(next[0]?.word ?? "")) ||
			next.some(
				(token) =>
					(token.span?.isCode === false && !COMMAND_OR_WORD.has(word)) ||
					/^-{1,2}[A-Za-z0-9]|[/~$*|<>=]|^\d+$|^\.$|^[A-Z_]{4,}$/.test(token.raw),
			)
		);
	}
	if (/^(\/(usr\/)?(local\/)?s?bin\/|:\(\))/.test(name)) return true;
	// Any word where a command may stand, if arguments follow it as they follow nothing else.
	const previous = tokens[at - 1];
	const isHead =
		previous === undefined ||
		previous.stop === ":" ||
		JOINERS.has(previous.word) ||
		ANEW.has(previous.word) ||
		FILLERS.has(previous.word) ||
		/^(is|was|of)$/.test(previous.word);
	return (
		isHead &&
		/^(\.{0,2}\/)?[a-z][\w.-]*(\/[\w.-]+)*$/.test(name) &&
		/^(-{1,2}[A-Za-z]|[~/$]|\.{1,2}\/|['"]\S*[/$])/.test(tokens[at + 1]?.span?.whole ?? tokens[at + 1]?.raw ?? "")
	);
}

/** "use sudo in the Dockerfile": no argument. */
const isProse = (next: Token | undefined): boolean =>
	next !== undefined &&
	(NO_LEAD.has(next.word) || PREPOSITIONS.has(next.word) || /^(only|where|when|if|instead|everywhere)$/.test(next.word));

/** Where the command that begins at a token ends, in units: the end of the sentence. */
function clauseEnd(tokens: readonly Token[], at: number): number {
	const last = tokens.at(-1);
	const cut = tokens.findIndex(
		({ word, span }, i) => i > at && (span?.isCode === true || (i > at + 2 && /^(and|then|und|dann|et|puis|luego|,)$/.test(word))),
	);
	const end = cut < 0 ? last : tokens[cut - 1];
	return end === undefined ? 0 : end.at + end.raw.length;
}

/** Without the punctuation of the sentence around it. */
const trimmed = (command: string): string => command.replace(/(?<=\S)[.,;:!?)]+$/, "");

const ordered = (judged: Judgement, evidence: string): Judgement => ({
	...judged,
	reason: `${PROMPT_RULES["prompt-order"].reason}: ${judged.reason}`.slice(0, 2048),
	suggestion: judged.suggestion ?? PROMPT_RULES["prompt-order"].suggestion,
	evidence: evidence.slice(0, 512),
});

const orderOf = (what: string, category: Judgement["category"], verdict: Judgement["verdict"], evidence?: string): Judgement => ({
	verdict,
	rule: "prompt-order",
	category,
	reason: `${PROMPT_RULES["prompt-order"].reason}: ${what}`,
	suggestion: PROMPT_RULES["prompt-order"].suggestion,
	...(evidence === undefined ? {} : { evidence: evidence.slice(0, 512) }),
});
