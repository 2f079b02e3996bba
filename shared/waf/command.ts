import { type Judgement, NO_OBJECTION, type Place } from "./verdict.ts";

/** STAND-IN until the engine is merged. */
export function judgeCommand(text: string, _place: Place): Judgement {
	if (/rm -rf (\/|~)|\/dev\/tcp|\| *(ba)?sh/.test(text))
		return { verdict: "deny", rule: "rm-recursive-outside", category: "destroy", reason: "deletes what is outside", evidence: text };
	if (/push --force|rm -rf \./.test(text))
		return { verdict: "ask", rule: "git-force-push", category: "rewrite_history", reason: "rewrites history", evidence: text };
	return NO_OBJECTION;
}
