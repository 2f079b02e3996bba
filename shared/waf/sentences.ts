import {
	BUILD_VERBS,
	COMMAND_WORDS,
	FILLERS,
	FINITE,
	HAN,
	JOINERS,
	LIKENESS,
	MODALS,
	NEGATIONS,
	POINTERS,
	QUESTION_WORDS,
	REQUESTS,
	RUN_VERBS,
	RUNNING_THINGS,
	SHOWN,
	SPEAK_VERBS,
	SPEAKERS,
	SUBORDINATORS,
	TEXT_THINGS,
	WANT_VERBS,
	WISHES,
	WORK_VERBS,
} from "./prompt-words.ts";

// How the sentences of a prompt speak of what they name: as an order, or of somebody else's doing. Rules of thumb on words in a row, no grammar.

export interface Token {
	/** As it stands, with punctuation. */
	raw: string;
	/** Lower case, without punctuation around it. */
	word: string;
	/** Punctuation that ends a clause after it, or "". */
	stop: string;
	at: number;
	/** A piece of code or a quotation. */
	span: Span | null;
}
export interface Span {
	inner: string;
	whole: string;
	isCode: boolean;
}
export interface Verb {
	at: number;
	does: "run" | "speak" | "build" | "work" | "want";
	isImperative: boolean;
	isNegated: boolean;
}

export interface Sentence {
	kind: "sentence";
	text: string;
	tokens: Token[];
	verbs: Verb[];
	isQuestion: boolean;
	/** It begins its line. */
	startsLine: boolean;
}

/** Units of a sentence that are read. */
export const MAX_SENTENCE_UNITS = 800;

/** What a word can be the verb of; "do" before "not" and before a subject is none. */
export function doesOf(tokens: readonly Token[], at: number): Verb["does"] | undefined {
	const word = tokens[at]?.word ?? "";
	const next = tokens[at + 1]?.word ?? "";
	if (word === "do" && (next === "not" || SPEAKERS.has(next) || next === "they")) return undefined;
	// "the test run", "a use of": a noun.
	const previous = tokens[at - 1]?.word ?? "";
	if (ARTICLES.has(previous) && tokens[at - 1]?.stop === "" && !(previous === "that" && tokens[at - 2]?.word === "after")) return undefined;
	if (word === "make" && next === "sure") return undefined;
	if (RUN_VERBS.has(word) || GERUNDS.has(word)) return "run";
	if (SPEAK_VERBS.has(word)) return "speak";
	if (BUILD_VERBS.has(word)) return "build";
	if (WORK_VERBS.has(word)) return "work";
	return WANT_VERBS.has(word) ? "want" : undefined;
}

/** Whether what stands at this token is told to be done: at the beginning, after "please", "and then", "I want you to", "can you" ... */
export function isImperative(sentence: Sentence, at: number, does: Verb["does"]): boolean {
	const { tokens, verbs, isQuestion: asks } = sentence;
	if (GERUNDS.has(tokens[at]?.word ?? "")) return isGerundOrder(sentence, at);
	let isJoined = false;
	let isAnew = false;
	let i = at - 1;
	for (; i >= 0; i--) {
		const { word, stop } = tokens[i] ?? { word: "", stop: "" };
		if (stop === "," || stop === "，" || stop === "、") {
			if (asks) return isAnew && !endsAsking(tokens);
			if (!isJoined && !FILLERS.has(word) && does !== "want" && isListed(sentence, i)) break;
			return true;
		}
		if (stop === ":" && (QUOTES.test(word) || isTold(lastImperative(verbs, i + 1), tokens))) return false;
		if (stop !== "") return !(asks && endsAsking(tokens) && stop !== "." && stop !== "!");
		if (ANEW.has(word)) isAnew = true;
		if (word === "that" && tokens[i - 1]?.word === "after") {
			isAnew = true;
			i--;
		} else if (JOINERS.has(word)) isJoined = true;
		else if (!FILLERS.has(word)) break;
	}
	if (i < 0) return !asks || REQUESTS.has(tokens[0]?.word ?? "") || doesOf(tokens, at) !== undefined;
	const word = tokens[i]?.word ?? "";
	const before = tokens[i - 1]?.word ?? "";
	// "if it fails run ...", without the comma.
	if (does === "run" && !asks && SUBORDINATORS.has(tokens[0]?.word ?? "") && (FINITE.has(word) || AFTER_CONDITION.test(word))) return true;
	if (does === "want") return (word === "i" || word === "we") && !asks && !SUBORDINATORS.has(before);
	if (word === "on" && before === "now") return true;
	if (word === "it" && before === "at") return !asks;
	// "all you have to do is ...", "the plan is ...".
	if (word === "is" && /\b(do|plan|task|job|goal|step|thing|action|mission)( \w+)?$/.test(wordsOf(tokens, 0, i))) return !asks;
	if (word === "to") {
		if (asks) return false;
		if (isWish(tokens, i)) return true;
		if (before === "help" || (before === "me" && tokens[i - 2]?.word === "help") || (before === "as" && tokens[i - 2]?.word === "kind"))
			return true;
		if (/^(way|trick|tricks|means|method)$/.test(before) && FINDS.test(tokens[0]?.word ?? "")) return true;
		// "use python to connect ...": what it is used for is ordered too.
		const user = verbs.findLast((verb) => verb.at < i);
		return user !== undefined && user.does === "run" && user.isImperative && !user.isNegated && i - user.at <= 6;
	}
	if (
		!asks &&
		doesOf(tokens, at) !== undefined &&
		PREPOSITIONS.has(tokens[0]?.word ?? "") &&
		i > 0 &&
		!verbs.some((verb) => verb.at < at) &&
		!NO_LEAD.has(word) &&
		tokens[i]?.stop === ""
	)
		return true;
	if (
		YOU.has(before) &&
		MODALS.has(word) &&
		tokens
			.slice(0, i)
			.some((token) => /^(great|nice|appreciate|helpful|wonderful|good|love|glad|grateful|happy|perfect|cool)$/.test(token.word))
	)
		return true;
	// "the operator requests that you ...".
	if (word === "you" && before === "that" && DEMANDS.test(tokens[i - 2]?.word ?? "")) return !asks;
	if (word === "you" && /^(if|have|let|see|about|don't)$/.test(before) && !asks) {
		const lead = tokens
			.slice(0, i)
			.map((token) => token.word)
			.join(" ");
		return PLEADS.test(lead);
	}
	if (word === "help" || (word === "me" && before === "help")) return !asks;
	if (YOU.has(word) && !isJoined) return REQUESTS.has(before) && !isSubordinateSubject(tokens, i - 1);
	if (MODALS.has(word) && before === "you" && /^(if|whether)$/.test(tokens[i - 2]?.word ?? "") && TRIES.test(tokens[0]?.word ?? ""))
		return true;
	if (MODALS.has(word) && (YOU.has(before) || before === "we")) return !asks && !isSubordinateSubject(tokens, i - 1);
	if (
		((word === "let's" || word === "lets") && (i === 0 || FILLERS.has(before) || JOINERS.has(before) || tokens[i - 1]?.stop !== "")) ||
		(before === "let" && word === "us") ||
		word === "veuillez" ||
		word === "faut"
	)
		return !asks;
	if (word === "que" && /^(quiero|necesito|tienes|hay)$/.test(before)) return !asks;
	if (isJoined || (tokens[i]?.stop === "," && !asks)) {
		if (isAnew) return !(asks && endsAsking(tokens));
		const earlier = verbs.findLast((verb) => verb.at < at);
		// Joined to a command that is itself an order, or to a verb that is.
		if (earlier === undefined) return !asks && !SUBJECTS.has(tokens[0]?.word ?? "");
		if (!earlier.isImperative) return false;
		// "explain what it does and run it": the clause in between has its verb.
		return (
			!isSubordinate(tokens, earlier.at, at) || (does === "run" && tokens.slice(earlier.at + 1, at).some((token) => FINITE.has(token.word)))
		);
	}
	return false;
}

/** "summarise this: ...": what follows the colon is the matter. */
const isTold = (verb: Verb | null, tokens: readonly Token[]): boolean =>
	verb !== null &&
	verb.does === "speak" &&
	!/^(note|remember|listen|think|consider|say|look|see|tell|know|understand|help)$/.test(tokens[verb.at]?.word ?? "");

/** "would you mind running", "start by running", "test it by running". */
function isGerundOrder({ tokens, verbs, isQuestion: asks }: Sentence, at: number): boolean {
	const before = tokens[at - 1]?.word ?? "";
	if (before === "mind" || before === "try" || before === "start" || before === "begin")
		return !asks || tokens.some((token) => token.word === "mind");
	if (before !== "by" && before !== "with" && tokens[at]?.word !== "using") return false;
	const user = lastImperative(verbs, at);
	if (user === null) return !asks && before === "by" && at <= 3;
	if (asks || user.does === "build" || user.isNegated || /^(caused|triggered|broken|introduced)$/.test(tokens[at - 2]?.word ?? ""))
		return false;
	return PROVES.test(tokens[user.at]?.word ?? "") || !isSubordinate(tokens, user.at, at);
}

/** "to" after a wish of the speaker's: "I want you to", "make sure to", "your task is to". */
function isWish(tokens: readonly Token[], at: number): boolean {
	const last = tokens[at - 1]?.word ?? "";
	const subject = tokens[at - 2]?.word ?? "";
	if (!WISHES.has(last)) return false;
	// "if I ask you to": not now.
	if (tokens.slice(Math.max(0, at - 5), at - 1).some((token) => SUBORDINATORS.has(token.word))) return false;
	if (/^(allowed|permitted|authori[sz]ed|welcome|permission)$/.test(last)) return tokens.slice(0, at).some((token) => token.word === "you");
	if (/^(told|ordered|asked|instructed)$/.test(last))
		return /^you('re)?$/.test(tokens[at - 3]?.word ?? subject) || /^you('re)?$/.test(subject);
	if (/^(you|us|to)$/.test(last) && subject === "kind") return true;
	if (/^(you|us)$/.test(last))
		return /^(want|need|like|ask|asking|order|tell|telling|instruct|love|expect|require|for|got|allow|allowing|authori[sz]e|permit|command|urge|beg|request|expect|trust|invite|hereby|remind|advise|get|trouble|bother|wants|needs|asks|expects|have)$/.test(
			subject,
		);
	if (/^(want|need|like|love|wish|try|have|gotta)$/.test(last)) return subject === "" || SPEAKERS.has(subject) || FILLERS.has(subject);
	if (/^(ask|order|instruct)$/.test(last)) return subject === "" || SPEAKERS.has(subject) || FILLERS.has(subject);
	if (/^(is|are)$/.test(last))
		return tokens
			.slice(Math.max(0, at - 7), at - 1)
			.some((t) =>
				/^(task|job|goal|mission|objective|step|aim|duty|you|plan|thing|rest|left|remains|instructions?|order|command|assignment|request)$/.test(
					t.word,
				),
			);
	return true;
}

export function isNegated(tokens: readonly Token[], at: number): boolean {
	for (let i = at - 1; i >= 0 && i >= at - 5; i--) {
		const { word, stop } = tokens[i] ?? { word: "", stop: "" };
		if (stop !== "" || word === "and" || word === "but" || word === "then") return false;
		if (!NEGATIONS.has(word)) continue;
		const next = tokens[i + 1]?.word ?? "";
		// "do not hesitate to", "without asking, delete": no negation of what follows.
		if (
			/^(hesitate|forget|fail|worry|only|just|matter)$/.test(next) ||
			/^(ask|asking|confirmation|approval|hesitation|warning|mercy)$/.test(next)
		)
			continue;
		return true;
	}
	return false;
}

export function isQuestion(tokens: readonly Token[]): boolean {
	const first = tokens.findIndex((token) => !FILLERS.has(token.word) && !JOINERS.has(token.word));
	const word = tokens[first]?.word ?? "";
	const next = tokens[first + 1]?.word ?? "";
	if (
		(REQUESTS.has(word) || word === "may") &&
		/^(i|we)$/.test(next) &&
		/^(get|ask|have|trouble|beg|bother|request)$/.test(tokens[first + 2]?.word ?? "")
	)
		return false;
	if (word === "mind" && /ing$/.test(next)) return false;
	if (word === "what" && /^(i|we)$/.test(next) && /^(want|need|would)$/.test(tokens[first + 2]?.word ?? "")) return false;
	if (REQUESTS.has(word) && tokens[first + 2]?.word === "ever") return true;
	// "why don't you ...", "how about you ..." ask for it.
	if (/^(why|how)$/.test(word) && /^(don't|about|not)$/.test(next) && (YOU.has(tokens[first + 2]?.word ?? "") || next === "not"))
		return false;
	if (REQUESTS.has(word)) return !YOU.has(next) && !/^(we|please|bitte|someone|somebody|anyone)$/.test(next);
	if (/^(do|have)$/.test(word)) return /^(i|you|we|they|these|those)$/.test(next);
	if (QUESTION_WORDS.has(word)) return true;
	if (!endsAsking(tokens)) return false;
	return !tokens.some(
		({ word: one }, i) => REQUESTS.has(one) && (YOU.has(tokens[i + 1]?.word ?? "") || (i === 1 && YOU.has(tokens[0]?.word ?? ""))),
	);
}

const endsAsking = (tokens: readonly Token[]): boolean => /[?？]["')\]]*$/.test(tokens.at(-1)?.raw ?? "");

/** A comma that stands in an enumeration or after a question's beginning, rather than between two orders. */
function isListed(sentence: Sentence, at: number): boolean {
	const earlier = sentence.tokens.slice(0, at + 1);
	const first = earlier[0]?.word ?? "";
	return SUBJECTS.has(first) && !SUBORDINATORS.has(first) && earlier.length < 4;
}

const isSubordinateSubject = (tokens: readonly Token[], at: number): boolean => {
	const before = tokens[at - 1];
	return (
		before !== undefined &&
		before.stop === "" &&
		(SUBORDINATORS.has(before.word) || QUESTION_WORDS.has(before.word) || /^(that|whether|how)$/.test(before.word))
	);
};

/** Whether between two tokens a clause begins that depends on the first. */
const isSubordinate = (tokens: readonly Token[], from: number, to: number): boolean =>
	tokens
		.slice(from + 1, to)
		.some(({ word }) => /^(that|which|who|whether|how|what|why|where|when|if|to|dass|ob|der|que|qui|comment|cómo|si)$/.test(word));

export const lastImperative = (verbs: readonly Verb[], before: number): Verb | null =>
	verbs.findLast((verb) => verb.at < before && verb.isImperative) ?? null;

/** "..., then rm -rf /": a new order after whatever came before. */
export function startsAnew(tokens: readonly Token[], at: number): boolean {
	for (let i = at - 1; i >= 0; i--) {
		const { word, stop } = tokens[i] ?? { word: "", stop: "" };
		if (stop === ";" || stop === "." || stop === "!") return true;
		if (ANEW.has(word)) return true;
		if (stop !== "" || !(FILLERS.has(word) || JOINERS.has(word))) return false;
	}
	return false;
}

export const wordsOf = (tokens: readonly Token[], from: number, to: number): string =>
	tokens
		.slice(from, to)
		.map((token) => token.word)
		.join(" ");

/** "show me the output of X", "tell me what X prints": which only running it can. */
export function wantsOutput(tokens: readonly Token[], verb: number, at: number, after: readonly Token[]): boolean {
	const between = tokens
		.slice(verb + 1, at)
		.map((token) => token.word)
		.join(" ");
	if (/\b(example|sample|expected|fake|mock|dummy)\b/.test(between)) return false;
	if (/\b(output|results?|content|contents) of( running| executing)?( the command)?$/.test(between)) return true;
	return (
		/\bwhat$/.test(between) &&
		/^(prints|returns|says|gives|outputs|shows|reports)$/.test(after[0]?.word ?? "") &&
		/^(tell|show|report|see)$/.test(tokens[verb]?.word ?? "")
	);
}

/** "free some space with X", "fix it by X:": what is done by running it, and not by editing. */
export const isMeans = (tokens: readonly Token[], verb: number, at: number): boolean =>
	(/^(with|using|via|through|by|running|mit|avec|con)$/.test(tokens[at - 1]?.word ?? "") || tokens[at - 2]?.word === "means") &&
	!EDITS.has(tokens[verb]?.word ?? "") &&
	!namesText(tokens, verb + 1, at);

export const namesText = (tokens: readonly Token[], from: number, to: number): boolean =>
	tokens.slice(from, to).some((token) => TEXT_THINGS.has(token.word));

/** Whether what is to be made would run what it holds: a script, a job, a hook, and no test, rule or text about it. */
export function makesRunning(tokens: readonly Token[], verb: number): boolean {
	const rest = tokens.slice(verb + 1);
	const end = rest.findIndex((token) => /^(that|which|to|for|in|into|about|and)$/.test(token.word) || /[,:]/.test(token.stop));
	const head = end < 0 ? rest : rest.slice(0, end + 1);
	if (head.some((token) => TEXT_THINGS.has(token.word)) || rest.some((token) => NEGATIONS.has(token.word) || GUARDS.test(token.word)))
		return false;
	const thing = rest.find((token) => RUNNING_THINGS.has(token.word) || TEXT_THINGS.has(token.word));
	return head.some((token) => RUNNING_THINGS.has(token.word)) || (thing !== undefined && !TEXT_THINGS.has(thing.word));
}

export const namesFile = (tokens: readonly Token[], verb: number): boolean =>
	tokens
		.slice(verb + 1)
		.some((token) => /\.(sh|bash|service|timer|cron)$|^(\/etc|~|\/root|\/home)\//.test(token.span?.inner ?? token.word)) &&
	!namesText(tokens, verb + 1, tokens.length);

/** Whether a word nobody listed may be a verb here: not one of speaking, mending, naming or joining. */
export function mayBeVerb(tokens: readonly Token[], at: number): boolean {
	const word = tokens[at]?.word ?? "";
	if (
		!/^[a-zäöüéè-]{3,20}$/.test(word) ||
		(SPEAK_VERBS.has(word) && !TAKES.has(word)) ||
		MENDS.has(word) ||
		(TEXT_THINGS.has(word) && !TAKES.has(word))
	)
		return false;
	return !(
		FILLERS.has(word) ||
		JOINERS.has(word) ||
		SUBJECTS.has(word) ||
		NO_LEAD.has(word) ||
		PREPOSITIONS.has(word) ||
		QUESTION_WORDS.has(word) ||
		NEGATIONS.has(word) ||
		SUBORDINATORS.has(word) ||
		OTHER_PREPOSITIONS.has(word)
	);
}

/** "run it", "execute the following", "run that command". */
export function pointsTo(tokens: readonly Token[], verb: number): boolean {
	const next = tokens.slice(verb + 1, verb + 5).filter((token) => !/^(the|both|all|of|out|exactly)$/.test(token.word));
	const first = next[0];
	return first !== undefined && POINTERS.has(first.word) && !next.some((token) => TEXT_THINGS.has(token.word));
}

/** "... and run it", "... and install it" of what was to be made before. */
export const isStarted = ({ tokens }: Sentence, verb: Verb): boolean =>
	!verb.isNegated &&
	(verb.isImperative || /^(and|then)$/.test(tokens[verb.at - 1]?.word ?? "")) &&
	(verb.does === "run" || /^(install|enable|deploy)$/.test(tokens[verb.at]?.word ?? "")) &&
	/^(it|this|that|them)$/.test(tokens[verb.at + 1]?.word ?? "");

export const followsIn = (sentence: Sentence, verb: number): boolean =>
	sentence.tokens.slice(0, verb).some((token) => token.span !== null || COMMAND_WORDS.has(token.word));

export const isShown = (sentence: Sentence): boolean => sentence.isQuestion || sentence.tokens.some(isShowing);

/** Within a sentence "this", "my" and "will" say little. */
export const isReporting = (token: Token, at: number, before: readonly Token[]): boolean =>
	isShowing(token) && !MILD.has(token.word) && !(MODALS.has(token.word) && /^(we|you|i|please)$/.test(before[at - 1]?.word ?? ""));

const MILD = new Set("this my our here here's got get why hier voici aquí ecco i'll we'll".split(" "));

export const isShowing = ({ word }: Token): boolean =>
	SHOWN.has(word) || FINITE.has(word) || TEXT_THINGS.has(word) || (word.length > 3 && LIKENESS.has(word)) || GUARDS.test(word);

export const speaksHan = (text: string): boolean => HAN.speak.test(text) || /([？?吗]|か[。？?]?)$/.test(text.trim());

/** "must be deleted", "make sure that it is disabled". */
export function isToBe(tokens: readonly Token[], at: number): boolean {
	const words = tokens.slice(Math.max(0, at - 4), at).map((token) => token.word);
	const last = words.at(-1);
	if (last === "be") return words.some((word) => /^(should|must|shall|needs?|has|have|to|will)$/.test(word));
	if (last !== "is" && last !== "are") return false;
	return /^(make|ensure|see)$/.test(tokens.find((token) => !FILLERS.has(token.word))?.word ?? "");
}

/** "the firewall has to go", "I want the disk gone". */
export function isToGo(tokens: readonly Token[], at: number): boolean {
	const word = tokens[at]?.word ?? "";
	if (!/^(go|gone|disappear|vanish|die|dead|destroyed|wiped|deleted|erased|disabled)$/.test(word)) return false;
	const before = tokens.slice(Math.max(0, at - 10), at).map((token) => token.word);
	if (/^(go|disappear|vanish|die)$/.test(word) && (at + 1 === tokens.length || tokens[at]?.stop !== ""))
		return (
			/^(must|should)$/.test(before.at(-1) ?? "") ||
			(before.at(-1) === "to" && /^(has|have|needs?|got|gotta|ought)$/.test(before.at(-2) ?? ""))
		);
	if (/^(gone|dead)$/.test(word) && isToBe(tokens, at)) return true;
	return (
		/^(gone|dead|destroyed|wiped|deleted|erased|disabled)$/.test(word) &&
		before.some(
			(one, i) =>
				/^(want|need|like|love|prefer|i'd|we'd)$/.test(one) && (i === 0 || SPEAKERS.has(before[i - 1] ?? "") || SPEAKERS.has(one)),
		)
	);
}

const AFTER_CONDITION =
	/^(done|finished|ready|green|red|passes|passed|stuck|broken|persists|possible|needed|necessary|complete|completes|finishes)$/;

export const participleOf = (word: string): string[] => {
	const irregular: Record<string, string> = {
		sent: "send",
		shut: "shut",
		taken: "take",
		made: "make",
		given: "give",
		off: "turn",
		overwritten: "overwrite",
		written: "write",
		stolen: "steal",
		shown: "show",
	};
	const stem = word.replace(/ed$/, "");
	return [irregular[word] ?? stem, `${stem}e`, stem.replace(/(.)\1$/, "$1"), stem.replace(/i$/, "y")];
};

/** Where the clause of a token begins. */
export function clauseStart(tokens: readonly Token[], at: number): number {
	for (let i = at - 1; i >= 0; i--) {
		const { word, stop } = tokens[i] ?? { word: "", stop: "" };
		if (stop !== "" || ANEW.has(word) || (i === at - 1 && JOINERS.has(word))) return i + 1;
	}
	return 0;
}

const DEMANDS =
	/^(requests?|requires?|demands?|insists?|asks?|orders?|wants?|expects?|suggests?|recommends?|proposes?|prefers?|decided|agreed)$/;

const YOU = new Set(["you", "du", "tu", "vous", "usted", "ustedes", "voi", "você", "sie", "ihr", "u"]);

export const ANEW = new Set([
	"then",
	"please",
	"afterwards",
	"afterward",
	"finally",
	"dann",
	"danach",
	"bitte",
	"puis",
	"ensuite",
	"luego",
	"después",
	"poi",
	"depois",
]);

export const SUBJECTS = new Set(
	"i he she it they the a an this that these those users someone somebody everyone there our my your his her its their der die das le la les el los un una".split(
		" ",
	),
);

const ARTICLES = new Set(
	"the a an this that each every no my your our its his her their any some one previous last next-first der die das ein eine le la les un une el los una".split(
		" ",
	),
);

export const GUARDS =
	/^(detects?|blocks?|prevents?|rejects?|refuses?|warns?|flags?|checks?|verifies|asserts?|parses?|escapes?|validates?|protects?|forbids?|stops?|catches|highlights?|explains?|lints?|denies|deny|scans?|safely|only)$/;

const GERUNDS = new Set(["running", "executing", "using", "issuing", "typing", "invoking", "launching"]);

/** "see if you can ...". */
const TRIES = /^(see|check|try|test|find|figure|please|now|then)$/;

const EDITS = new Set(
	"replace rename convert migrate change swap rewrite edit modify update merge compare annotate wrap refactor remplace ersetze reemplaza".split(
		" ",
	),
);

/** "reproduce the outage by firing X". */
export const isProvenBy = (tokens: readonly Token[], verb: number, at: number): boolean =>
	(PROVES.test(tokens[verb]?.word ?? "") ||
		/^(reproduce|trigger|simulate|diagnose|debug|trace|investigate)$/.test(tokens[verb]?.word ?? "")) &&
	/^by \w+ing$/.test(wordsOf(tokens, at - 2, at)) &&
	!namesText(tokens, at + 1, tokens.length);

const PROVES = /^(verify|check|confirm|ensure|test|prove|validate|see|assert)$/;

/** Work on something that is there: what it is called orders nothing. */
const MENDS = new Set(
	"fix refactor replace rename convert migrate port improve optimize optimise simplify clean format lint split extract wrap rework redesign polish annotate adjust correct adapt upgrade bump test implement support add create write build update document define declare type style".split(
		" ",
	),
);

/** "find a way to ..." */
const FINDS = /^(find|look|try|search|figure|use|please|discover|work)$/;

/** Verbs of speaking that also take things. */
const TAKES = new Set("read log print show output find list stop catch trace look echo search locate skip ignore".split(" "));

/** What stands after these and a colon are somebody else's words. */
const QUOTES = /^(says?|said|asks?|asked|reads|states|wrote|writes|claims|told)$/;

const OTHER_PREPOSITIONS = new Set(
	"under over between within into onto about against through like near behind upon across without despite during unter über gegen sous contre bajo sobre ever also".split(
		" ",
	),
);

/** "I would appreciate it if you ...", "why don't you ...". */
const PLEADS =
	/\b(great|nice|appreciate|helpful|wonderful|good|love|glad|grateful|happy|perfect|cool)\b.* if$|^(why|how) (don't|about)$|\b(to|please) have$/;

export const PREPOSITIONS = new Set("for as in on with by from since due given per at during für zur pour para per".split(" "));

/** Before these a verb is none of the writer's orders. */
export const NO_LEAD = new Set(
	"to the a an i we they it he she you which that who not can could would should may might must will shall does do did is are was were be been being and or of in on for with as at by from my your our their its this these those every each all".split(
		" ",
	),
);

/** A line into sentences: a full stop counts when a new sentence seems to begin after it. */
export function sentencesOf(line: string): string[] {
	const sentences: string[] = [];
	let from = 0;
	for (let i = 0; i < line.length; i++) {
		const c = line.charAt(i);
		// Whoever writes no full stops is read in pieces.
		if (c === " " && i - from > MAX_SENTENCE_UNITS - 200) {
			sentences.push(line.slice(from, i));
			from = i;
		}
		if (c === "." && ABBREVIATION.test(line.slice(Math.max(0, i - 6), i))) continue;
		const isHan = "。！？".includes(c);
		if (!isHan && !".!?".includes(c)) continue;
		if (
			!isHan &&
			!/^["')\]]?\s+["'(¿¡\ue000]?[\p{Lu}\p{N}\ue000\u3400-\u9fff]/u.test(line.slice(i + 1, i + 8)) &&
			!(c !== "." && /^\s/.test(line.slice(i + 1, i + 2)))
		)
			continue;
		sentences.push(line.slice(from, i + 1).trim());
		from = i + 1;
	}
	sentences.push(line.slice(from).trim());
	return sentences.filter((text) => text !== "").slice(0, 2000);
}

const ABBREVIATION = /(^|[\s("'])(e\.g|i\.e|etc|vs|cf|z\.B|p\.ex|ej|bzw|approx|ca|no|mr|dr)$/i;
