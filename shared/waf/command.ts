import { judgementOf } from "./rules/rule.ts";
import { shellRules } from "./rules/shell.ts";
import { Shell } from "./shell.ts";
import type { Judgement, Place } from "./verdict.ts";

export { RULES } from "./rules.ts";

/** Longer commands are not judged but asked about. */
export const MAX_COMMAND_LENGTH = 65_536;

/**
 * Judges a command line as bash would run it in this place, without running anything. Never throws; what cannot be parsed, resolved or
 * followed is `ask`. Its time is bounded whatever the text is.
 */
export function judgeCommand(text: string, place: Place): Judgement {
	if (text.length > MAX_COMMAND_LENGTH) return judgementOf(shellRules["too-long"], text.slice(0, 128));
	return new Shell(place).judge(text);
}

/**
 * All rules that object to a command line, each once, and the commands that it would run, resolved and without what is around them: `git push`
 * of `cd x && sudo g"i"t push`. For policies, which grade rules and name commands. As total and bounded as `judgeCommand`.
 */
export function inspectCommand(text: string, place: Place): { objections: Judgement[]; commands: string[] } {
	if (text.length > MAX_COMMAND_LENGTH) return { objections: [judgementOf(shellRules["too-long"], text.slice(0, 128))], commands: [] };
	const shell = new Shell(place);
	shell.judge(text);
	return { objections: [...shell.objections.values()], commands: shell.commands };
}
