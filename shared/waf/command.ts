import { baseName, judgementOf } from "./rules/rule.ts";
import { shellRules } from "./rules/shell.ts";
import { Shell } from "./shell.ts";
import type { Judgement, Place } from "./verdict.ts";
import { squeezed } from "./words.ts";

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

/** Commands of one text that policies look at. */
const MAX_COMMANDS = 256;

/**
 * All rules that object to a command line, each once, and the commands that it would run, resolved and without what is around them: `git push`
 * of `cd x && sudo g"i"t push`. For policies, which grade rules and name commands. As total and bounded as `judgeCommand`.
 */
export function inspectCommand(text: string, place: Place): { objections: Judgement[]; commands: string[] } {
	if (text.length > MAX_COMMAND_LENGTH) return { objections: [judgementOf(shellRules["too-long"], text.slice(0, 128))], commands: [] };
	const seen: (readonly string[])[] = [];
	const shell = new Shell(place, seen);
	shell.judge(text);
	const commands = seen
		.slice(0, MAX_COMMANDS)
		.map(([program = "", ...args]) => squeezed([baseName(program), ...args].join(" ").slice(0, 4096)));
	return { objections: [...shell.objections.values()], commands };
}

/** The commands that a text would start, in order, their words resolved; those inside wrappers and nested shells come after these. */
export function commandsIn(text: string, place: Place): (readonly string[])[] {
	const seen: (readonly string[])[] = [];
	if (text.length <= MAX_COMMAND_LENGTH) new Shell(place, seen).judge(text);
	return seen;
}
