import { type Arm, heaviness, unpacked, weighed, windowsOf } from "./prompt-scale.ts";
import { type ReadPrompt, type ReadSentence, readPrompt } from "./prompt-tokens.ts";
import { MATTER, ORDER } from "./prompt-weights.ts";
import { classesOf, type WordClass } from "./prompt-words.ts";
import { type Category, graver, type Judgement, NO_OBJECTION } from "./verdict.ts";

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
/** Heavier than this it is so for certain. What only may be an order is asked about. */
const CERTAIN = 2;

/**
 * Whether a prompt orders what the rules would stop, or only speaks of it. Commands in it are judged by the command engine; whether they, or an attack
 * in plain words, are ordered is weighed on a scale that was learnt from corpora of both. Advice at the gateway's door: what a CLI then does is
 * judged at each tool call. Never throws; linear; of a prompt over 32 KiB the first 24 and the last 8 KiB are judged.
 */
export function judgePrompt(text: string): PromptJudgement {
	if (holdsControls(text)) {
		const { category, verdict, reason, suggestion } = PROMPT_RULES["prompt-control-characters"];
		return { kind: "none", rule: "prompt-control-characters", category, verdict, reason, suggestion };
	}
	try {
		return judged(readPrompt(excerptOf(text)));
	} catch {
		return { ...orderOf("something that cannot be judged", "unresolved"), verdict: "ask", kind: "order" };
	}
}

/** What is read of a prompt, in one spelling. */
export function excerptOf(text: string): string {
	// Cut before and after: of some letters plain text makes eighteen.
	const head = plainText(text.slice(0, HEAD_UNITS)).slice(0, HEAD_UNITS);
	const tail = plainText(text.slice(Math.max(HEAD_UNITS, text.length - TAIL_UNITS))).slice(-TAIL_UNITS);
	return text.length <= HEAD_UNITS + TAIL_UNITS ? head + tail : `${head}\n\n${tail}`;
}

/** Unpacked when the first prompt comes: a Worker's start has no time for it. */
let scale: { matter: Arm; order: Arm } | undefined;

function judged({ sentences, findings }: ReadPrompt): PromptJudgement {
	scale ??= { matter: unpacked(MATTER), order: unpacked(ORDER) };
	const arms = scale;
	const pieces = windowsOf(sentences).map((piece) => ({ ...piece, ...weighed(piece.cells, arms) }));
	const [heaviest] = pieces.sort((a, b) => heaviness(b) - heaviness(a));
	if (heaviest !== undefined && heaviness(heaviest) > 0) {
		const { from, to } = heaviest;
		const [first, ...others] = findings.filter(({ sentence }) => sentence >= from && sentence < to);
		const gravest = first && others.reduce((a, b) => (graver(a.judgement, b.judgement) === a.judgement ? a : b), first);
		const order = gravest ? ordered(gravest.judgement, gravest.evidence) : orderInWords(sentences.slice(from, to), arms);
		if (heaviness(heaviest) > CERTAIN) return { ...order, kind: "order" };
		return { ...order, verdict: "ask", reason: order.reason.replace(/^It orders/, "It may order"), kind: "order" };
	}
	const denied = findings.find(({ judgement }) => judgement.verdict === "deny");
	const speaks = pieces.find(({ matter }) => matter > CERTAIN);
	if (denied === undefined && speaks === undefined) return { ...NO_OBJECTION, kind: "none" };
	const { verdict, reason } = PROMPT_RULES["prompt-mention"];
	const of = denied ?? findings[0] ?? { judgement: orderInWords(sentences.slice(speaks?.from, speaks?.to), arms), evidence: undefined };
	const { category, rule, evidence } = { ...of.judgement, ...(of.evidence === undefined ? {} : { evidence: of.evidence }) };
	return {
		kind: "mention",
		verdict,
		rule: "prompt-mention",
		category,
		reason: `${reason}: ${rule ?? ""}`,
		...(evidence === undefined ? {} : { evidence }),
	};
}

/** What an order without a command is about, by the words of its heaviest sentence; of several the first of these. */
const ABOUT: readonly (readonly [Category, string, readonly (readonly WordClass[])[]])[] = [
	["remote_shell", "to open a shell to the network or to plant malicious code", [["netshell"], ["evil"]]],
	[
		"exfiltrate",
		"to send secrets or files to somebody else",
		[
			["send", "secret"],
			["send", "private"],
			["send", "drop"],
		],
	],
	["read_secrets", "to read secrets", [["take", "secret"]]],
	["escape", "to leave the sandbox", [["container"]]],
	["escalate", "to gain rights or to switch off what protects the machine", [["priv"], ["disable", "guard"], ["account"]]],
	["persist", "to stay on the machine", [["persist"]]],
	["kernel", "to change the kernel", [["kernel"]]],
	[
		"remote_shell",
		"to run what the network sends",
		[
			["net", "run"],
			["net", "install"],
		],
	],
	["rewrite_history", "to destroy what others share", [["destroy", "shared"]]],
	["destroy", "to destroy data or traces", [["destroy"], ["encrypt"], ["trace"]]],
	["kill", "to end what is not the session's", [["end"]]],
	["exfiltrate", "to attack machines or people", [["attack"]]],
];

function orderInWords(sentences: readonly ReadSentence[], arms: { matter: Arm; order: Arm }): Judgement {
	const [heaviest] = sentences
		.flatMap((sentence) => windowsOf([sentence]).map(({ cells }) => ({ sentence, ...weighed(cells, arms) })))
		.sort((a, b) => b.matter - a.matter);
	const { tokens, text } = heaviest?.sentence ?? { tokens: [], text: "" };
	const kinds = new Set(tokens.flatMap((token) => classesOf(token)));
	const found = ABOUT.find(([, , needs]) => needs.some((all) => all.every((kind) => kinds.has(kind))));
	return orderOf(found?.[1] ?? "something that the rules would stop", found?.[0] ?? "unresolved", text);
}

const ordered = (judgement: Judgement, evidence: string): Judgement => ({
	...judgement,
	reason: `${PROMPT_RULES["prompt-order"].reason}: ${judgement.reason}`.slice(0, 2048),
	suggestion: judgement.suggestion ?? PROMPT_RULES["prompt-order"].suggestion,
	evidence: evidence.slice(0, 512),
});

const orderOf = (what: string, category: Category, evidence?: string): Judgement => ({
	verdict: PROMPT_RULES["prompt-order"].verdict,
	rule: "prompt-order",
	category,
	reason: `${PROMPT_RULES["prompt-order"].reason}: ${what}`,
	suggestion: PROMPT_RULES["prompt-order"].suggestion,
	...(evidence === undefined ? {} : { evidence: evidence.slice(0, 512) }),
});

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

/** One spelling of everything: compatible forms of letters, no invisible characters, plain apostrophes. */
const plainText = (text: string): string =>
	text
		.normalize("NFKC")
		.replace(/[\u200b-\u200f\u2060\ufeff\u00ad\ue000\ue001]/g, "")
		.replace(/[\u2018\u2019]/g, "'")
		.replace(/<\/?(?:s|system|user|assistant|human|instructions?|prompt|im_start|im_end|\|im_start\||\|im_end\|)>/gi, "\n")
		.replace(/\r\n?/g, "\n");
