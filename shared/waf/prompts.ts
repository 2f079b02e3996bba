import { type Judgement, NO_OBJECTION } from "./verdict.ts";

export const PROMPT_RULES = { "prompt-control-characters": {}, "prompt-order": {} };

export function judgePrompt(_text: string): Judgement & { kind: "order" | "mention" | "none" } {
	return { ...NO_OBJECTION, kind: "none" };
}
