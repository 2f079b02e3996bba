import { expect, test } from "vitest";
import { loginHint } from "../../runner/providers.ts";

const claude = (env: Record<string, string>) => [
	{ settings: { kind: "claude-code" as const, command: "claude", args: [], env: [], read: [], write: [], asks: true }, env },
];

test.each([
	["a claude without a key is told of in the jail, where no login of the owner's is", claude({}), "namespaces", true],
	["one with a key is not", claude({ CLAUDE_CODE_OAUTH_TOKEN: "t" }), "namespaces", false],
	["nor is one outside a jail", claude({}), "none", false],
	["nor is a machine without claude", [], "namespaces", false],
] as const)("[P10] %s", (_, installed, jail, isTold) => {
	expect(loginHint([...installed], jail) !== null).toBe(isTold);
});
