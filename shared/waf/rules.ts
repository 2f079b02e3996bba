import { codeRules } from "./code.ts";
import { pathRules } from "./paths.ts";
import { accessJudges, accessRules, judgeArguments } from "./rules/access.ts";
import { destroyJudges, destroyRules, judgeMining } from "./rules/destroy.ts";
import { givenJudges } from "./rules/given.ts";
import { judgeShellWords, languageJudges, languageRules } from "./rules/languages.ts";
import { lossJudges, lossRules } from "./rules/loss.ts";
import { machineJudges, machineRules } from "./rules/machine.ts";
import { exfiltrateRules, networkJudges, remoteRules } from "./rules/network.ts";
import type { Call, Judge, Rule } from "./rules/rule.ts";
import { shellRules } from "./rules/shell.ts";

/** Every rule of the engine, by its id. */
export const RULES: ReadonlyMap<string, Rule> = new Map(
	[
		shellRules,
		pathRules,
		destroyRules,
		accessRules,
		exfiltrateRules,
		remoteRules,
		machineRules,
		lossRules,
		languageRules,
		codeRules,
	].flatMap((table) => Object.entries<Rule>(table)),
);

/** Who looks at which program. */
export const judges: ReadonlyMap<string, readonly Judge[]> = (() => {
	const all = new Map<string, Judge[]>();
	for (const { names, judge } of [
		givenJudges,
		accessJudges,
		destroyJudges,
		networkJudges,
		machineJudges,
		lossJudges,
		languageJudges,
	].flat())
		for (const name of names) all.set(name, [...(all.get(name) ?? []), judge]);
	return all;
})();

/** Judges what holds for every program; what one that it may run would print. `known`: there is a rule or a wrapper for this one. */
export function judgeAny(call: Call, known: boolean): string {
	judgeMining(call);
	judgeArguments(call);
	return judgeShellWords(call, known, (name) => judges.has(name));
}
