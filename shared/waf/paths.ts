import { type Judgement, NO_OBJECTION, type Place } from "./verdict.ts";

/** STAND-IN until the engine is merged. */
export function judgePath(path: string, use: "read" | "write" | "delete", place: Place): Judgement {
	if (/\.ssh|shadow/.test(path))
		return { verdict: "deny", rule: "read-secret", category: "read_secrets", reason: "secret", evidence: path };
	if (use !== "read" && path.startsWith("/") && !path.startsWith(place.workDir))
		return { verdict: "ask", rule: "write-outside", category: "outside", reason: "writes outside", evidence: path };
	return NO_OBJECTION;
}
