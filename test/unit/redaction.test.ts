import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Hosting } from "../../runner/hosting.ts";
import type { DialogueEvent } from "../../runner/providers/provider.ts";
import { EventRedactor, judgeHidden, Redactor } from "../../runner/redaction.ts";
import { RunnerReport } from "../../shared/events.ts";
import type { TurnId } from "../../shared/ids.ts";
import { MAX_EVENT_BYTES } from "../../shared/limits.ts";
import { turnId } from "../support/samples.ts";

const redact = (text: string, known: string[] = []): string => new Redactor(known).redact(text);
/** The same text in these pieces. */
function inPieces(text: string, cuts: number[], known: string[] = []): string {
	const redactor = new Redactor(known);
	const at = [...new Set(cuts.map((cut) => cut % (text.length + 1)))].sort((a, b) => a - b);
	let out = "";
	let from = 0;
	for (const to of [...at, text.length]) {
		out += redactor.push("s", text.slice(from, to));
		from = to;
	}
	return out + redactor.flush("s");
}
/** Units that look random, the same each time. */
const random = (n: number, alphabet = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0z"): string =>
	Array.from({ length: n }, (_, i) => alphabet[(i * 7 + (i >> 3)) % alphabet.length]).join("");
const upper = random(60, "A2C3D4F6G7H8J9K");

const PEM = `-----BEGIN OPENSSH PRIVATE KEY-----\n${random(70)}\n${random(70)}\n${random(20)}==\n-----END OPENSSH PRIVATE KEY-----`;
const ENCRYPTED = `-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,${upper.slice(0, 32)}\n\n${random(64)}\n${random(64)}\n-----END RSA PRIVATE KEY-----`;
const JWT = `eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.${random(43)}`;
const SECRETS: [string, string, string][] = [
	["an Anthropic key", "anthropic_key", `sk-ant-api03-${random(60)}_-x`],
	["an OpenAI key", "openai_key", `sk-proj-${random(40)}`],
	["an old OpenAI key", "api_key", `sk-${random(48)}`],
	["a GitHub token", "github_token", `ghp_${random(36)}`],
	["a fine-grained GitHub token", "github_token", `github_pat_${random(22)}_${random(59)}`],
	["a GitLab token", "gitlab_token", `glpat-${random(20)}`],
	["a Slack token", "slack_token", "xoxb-123456789012-1234567890123-AbCdEfGhIjKl"],
	["an AWS key id", "aws_key_id", `AKIA${upper.slice(0, 16)}`],
	["a Google key", "google_key", `AIza${random(35)}`],
	["an npm token", "npm_token", `npm_${random(36)}`],
	["a Stripe key", "stripe_key", `sk_live_${random(24)}`],
	["a key of ours", "hotplex_key", `hpk_${random(12)}_${random(20)}_${random(43)}`],
	["a JWT", "jwt", JWT],
	["a private key", "private_key", PEM],
	["a private key in JSON", "private_key", JSON.stringify(PEM).slice(1, -1)],
	["an encrypted private key", "private_key", ENCRYPTED],
];

describe("what is known by its shape", () => {
	test.each(SECRETS)("[SEC-1] %s", (_, kind, secret) => {
		for (const [before, after] of [
			["", ""],
			["key: ", "\n"],
			['{"a":"', '"}'],
			["\\n", " and more"],
			["https://x.test/?k%3D", "&b=c"],
		])
			expect(redact(`${before}${secret}${after}`)).toBe(`${before}[redacted:${kind}]${after}`);
	});

	test.each([
		["Authorization: Bearer abc123def456ghi789jkl0", "Authorization: Bearer [redacted:bearer]"],
		["authorization: Basic dXNlcjpwYXNzd29yZDEyMw==", "authorization: Basic [redacted:basic]"],
		["postgres://app:s3cr3t!@db.test:5432/x", "postgres://[redacted:password]@db.test:5432/x"],
		["git clone https://0123456789abcdef0123@github.com/a/b", "git clone https://[redacted:password]@github.com/a/b"],
		["DB_PASSWORD=hunter2hunter2\nNEXT=1", "DB_PASSWORD=[redacted:value]\nNEXT=1"],
		['export GITHUB_TOKEN="abcdef123456"', 'export GITHUB_TOKEN="[redacted:value]"'],
		[`aws_secret_access_key = ${random(40)}\n`, "aws_secret_access_key = [redacted:aws_secret_key]\n"],
		[`"SecretAccessKey": "${random(40)}"`, '"SecretAccessKey": "[redacted:aws_secret_key]"'],
		[`${PEM.slice(0, 120)}`, "[redacted:private_key]"],
	])("[SEC-1] %j", (text, redacted) => {
		expect(redact(text)).toBe(redacted);
	});

	test.each([
		"",
		"the task-force asked a risk-averse disk-based desk",
		"sk-fading-circle { color: red } sk-spinner-three-bounce-with-a-long-name-of-more-than-thirty-two",
		"const token = await getToken(); // TOKEN=... see PASSWORD=secret",
		`MAX_TOKEN=100000000000 API_KEY=your-api-key-here SECRET=$SECRET TOKEN=\${TOKEN} PASSWORD=`,
		"Bearer authentication-is-described-below, Basic knowledge-of-authentication",
		"grep -r -- '-----BEGIN PRIVATE KEY-----' . | head",
		"-----BEGIN CERTIFICATE-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n-----END CERTIFICATE-----",
		"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----",
		"| a | b |\n|-----|-----|\n------------------------------------------------------------",
		"https://example.com:8080/a@b?c=d#e http://[::1]:80/ ssh://git@github.com/a/b.git postgres://user:password@localhost/x",
		"sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 8f14e45fceea167a5a36dedd4bea2543",
		"uuid 3f2504e0-4f89-11d3-9a0c-0305e82c3301, commit 9bc1a2d4e5f60718293a4b5c6d7e8f9012345678",
		`data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk${random(60)}AKIAx`,
		"eyJhbGciOiJIUzI1NiJ9 is the head of a JWT, eyJhbGciOiJIUzI1NiJ9.eyJ. too",
		"npm_config_registry npm_lifecycle_event npm_package_name hf_hub_download gsk_ AIza ghp_ xoxb- AKIA",
		"überall \u{1f600} 日本語のテキスト",
	])("[SEC-1] what only looks like one stays: %j", (text) => {
		expect(redact(text)).toBe(text);
	});
});

const KEY = 'p@ss "w\\rd" äß/+ 0123456789 of-the-team';
const b64 = (text: string) => Buffer.from(text).toString("base64");
describe("what is known by its value", () => {
	test.each<[string, string]>([
		["as it is", KEY],
		["in JSON", JSON.stringify(KEY)],
		["in JSON in JSON", JSON.stringify(JSON.stringify({ a: KEY }))],
		["in a URL", encodeURIComponent(KEY)],
		["in a URL, in small letters", encodeURIComponent(KEY).replace(/%../g, (c) => c.toLowerCase())],
		["in hexadecimal", Buffer.from(KEY).toString("hex")],
		["in capital hexadecimal", Buffer.from(KEY).toString("hex").toUpperCase()],
		["in base64", b64(KEY)],
		["in base64 after one byte", b64(`x${KEY}`)],
		["in base64 after two", b64(`xy${KEY}z`)],
		["in base64 for URLs", Buffer.from(`x${KEY}`).toString("base64url")],
		["in wrapped base64", b64(`x${KEY}`).replace(/.{20}/g, "$&\n")],
		["in base64 whose newlines are escaped", b64(`xy${KEY}`).replace(/.{20}/g, "$&\\n")],
		["in base64 of much else", b64(`${"a".repeat(100)}${KEY}${"b".repeat(100)}`)],
	])("[SEC-2] %s", (_, spelt) => {
		const out = redact(`before ${spelt} after`, [KEY]);
		expect(out).toMatch(/^before \W*(?:[\w+/]*|\W+a\W+)\[redacted:secret\][\w+/=]*(?:\\n|\W*) after$/s);
		expect(out.length).toBeLessThan(Math.max(40, spelt.length));
		const decoded = Buffer.from(out.slice(7), "base64").toString("latin1") + Buffer.from(out, "hex").toString("latin1");
		expect(decoded).not.toContain("0123456789");
	});

	test("[SEC-2] a key file's lines, each by itself", () => {
		const [, line = ""] = PEM.split("\n");
		expect(redact(`> ${line}\n`, [PEM])).toBe("> [redacted:secret]\n");
	});

	test("[SEC-2] too short a value is a word", () => {
		expect(redact("dummy dummy-1", ["dummy", ""])).toBe("dummy dummy-1");
	});

	test("[SEC-2] two values that overlap, and one that goes on behind what has a shape, leave no end of either", () => {
		expect(redact("see abcdefgh-ijklmnop!", ["abcdefgh-ijkl", "ijklmnop"])).toBe("see [redacted:secret]!");
		expect(redact("Bearer abc123def456ghi789jkl0%%%tail.", ["789jkl0%%%tail"])).toBe("Bearer [redacted:bearer].");
		expect(redact(`ghp_${random(36)}abc%%%tail.`, ["abc%%%tail"])).toBe("[redacted:github_token].");
	});

	test("[SEC-2] strings in any JSON value; its keys and its shape stay", () => {
		const value = { command: `curl -H ${KEY}`, n: 1, list: ["x", { deep: KEY }], nothing: null };
		expect(new Redactor([KEY]).redactValue(value)).toEqual({
			command: "curl -H [redacted:secret]",
			n: 1,
			list: ["x", { deep: "[redacted:secret]" }],
			nothing: null,
		});
		const plain = { a: ["x", { b: "y" }] };
		expect(new Redactor([KEY]).redactValue(plain)).toBe(plain);
	});
});

describe("streams", () => {
	const known = [KEY, "sk-ant-api03-the-key-of-this-session", "aaaaaaaabaaaaaaaa"];
	const crumbs = fc.oneof(
		fc.constantFrom(
			...SECRETS.map(([, , secret]) => secret),
			...known,
			b64(KEY),
			b64(`x${KEY}`),
			JSON.stringify(KEY),
			encodeURIComponent(KEY),
		),
		fc.constantFrom(
			"Bearer ",
			"TOKEN=",
			"://",
			"@",
			"-----BEGIN ",
			"PRIVATE KEY-----",
			"-----END ",
			"eyJ",
			"sk-",
			"\\n",
			"\n",
			".",
			'"',
			" ",
		),
		fc.constantFrom("ghp_", "AKIA", "aws_secret_access_key=", "a".repeat(7), "Proc-Type: 4", "abc123def456ghi789jkl0", "user:pass1word"),
		fc.string({ maxLength: 12 }),
		fc.string({ unit: "binary", maxLength: 4 }),
		fc.nat({ max: 300 }).map((n) => random(n)),
	);
	/** Crumbs, some of them cut, so that beginnings and ends of secrets meet. */
	const texts = fc
		.array(fc.tuple(crumbs, fc.nat({ max: 400 }), fc.nat({ max: 60 })), { maxLength: 12 })
		.map((all) => all.map(([crumb, end, start]) => (end < 200 ? crumb.slice(0, end) : crumb.slice(start % 7 === 0 ? start : 0))).join(""));

	test("[SEC-3] a text in pieces comes out as if it had come whole, and no known value is ever in it", () => {
		fc.assert(
			fc.property(texts, fc.array(fc.nat({ max: 5000 }), { maxLength: 12 }), (text, cuts) => {
				const whole = redact(text, known);
				expect(inPieces(text, cuts, known)).toBe(whole);
				for (const secret of known) expect(whole).not.toContain(secret);
			}),
			{ numRuns: 800 },
		);
	}, 60_000);

	test("[SEC-3] unit by unit too", () => {
		const text = [...SECRETS.map(([, , secret]) => `x ${secret} y`), KEY, b64(KEY), JSON.stringify(KEY)].join(" ");
		expect(
			inPieces(
				text,
				Array.from({ length: text.length }, (_, i) => i),
				known,
			),
		).toBe(redact(text, known));
	});

	test("[SEC-3] a text without secrets comes out unchanged, and little of it late", () => {
		const redactor = new Redactor([KEY]);
		const text = "The quick brown fox jumps over the lazy dog; see https://example.com/a/b for the task at hand. ".repeat(20);
		let out = "";
		let latest = 0;
		for (let at = 0; at < text.length; at += 5) {
			out += redactor.push("s", text.slice(at, at + 5));
			latest = Math.max(latest, Math.min(text.length, at + 5) - out.length);
		}
		expect(out + redactor.flush("s")).toBe(text);
		// A word at most.
		expect(latest).toBeLessThan(30);
	});

	test("[SEC-3] what is held back is bounded", () => {
		const redactor = new Redactor([KEY]);
		for (const text of ["eyJ", "://", "TOKEN=", "-----BEGIN PRIVATE KEY-----\n", "Bearer ", "sk-ant-"]) {
			let [given, said] = [0, 0];
			for (const piece of [text, ..."a".repeat(10_000)]) {
				given += piece.length;
				said += redactor.push(text, piece).length;
				if (!text.startsWith("sk") && !text.startsWith("---")) expect(given - said).toBeLessThan(2200);
			}
			expect(redactor.flush(text).length).toBeLessThan(2200);
		}
	});

	test("[SEC-3] streams do not mix", () => {
		const redactor = new Redactor([KEY]);
		const [a, b] = [KEY.slice(0, 20), KEY.slice(20)];
		const out = [redactor.push("a", a), redactor.push("b", b), redactor.flush("a"), redactor.flush("b")];
		expect(out).toEqual(["", b, a, ""]);
	});
});

describe("events", () => {
	const SECRET = "hunter2hunter2";
	const text = (said: string, more: object = {}): RunnerReport => ({ type: "text_delta", turnId, messageId: "m", text: said, ...more });
	const thought = (said: string): RunnerReport => ({ type: "thought_delta", turnId, messageId: "m", text: said });
	const output = (said: string): RunnerReport => ({ type: "tool_output", turnId, toolCallId: "t", text: said });
	const call = (more: object = {}): RunnerReport => ({ type: "tool_call", turnId, toolCallId: "t", tool: "Bash", input: {}, ...more });
	const usage: RunnerReport = {
		...{ type: "usage", turnId, inputTokens: 1, outputTokens: 1, cacheReadTokens: 0, cacheWriteTokens: 0, costUsd: null },
	};
	const DENIED: RunnerReport = {
		...{ type: "gate_denied", turnId, tool: "network", subject: "x.test:443", layer: "jail" },
		...{ verdict: "deny", rule: "egress.host", category: "network", reason: "-" },
	};
	const ended: RunnerReport = { type: "turn_ended", turnId, stopReason: "end_turn" };
	const seen = (...events: RunnerReport[]): RunnerReport[] => {
		const redactor = new EventRedactor([SECRET]);
		return events.flatMap((event) => redactor.take(event));
	};

	test.each<[string, RunnerReport[], RunnerReport[]]>([
		["text over two deltas", [text("it is hunter2h"), text("unter2."), ended], [text("it is"), text(" [redacted:secret]."), ended]],
		["what only began like one comes before the turn's end", [text("a hunter"), ended], [text("a"), text(" hunter"), ended]],
		["and before a tool call", [text("a hunt"), call()], [text("a"), text(" hunt"), call()]],
		[
			"not before another author's",
			[text("a hunter2"), call({ parentToolCallId: "p" }), text("hunter2"), ended],
			[text("a"), call({ parentToolCallId: "p" }), text(" [redacted:secret]"), ended],
		],
		[
			"what stands between two deltas does not tear one apart",
			[text("hunter2"), usage, thought("q"), text("hunter2"), ended],
			[usage, thought("q"), text("[redacted:secret]"), ended],
		],
		["texts and thoughts do not mix", [text("hunter2"), thought("hunter2"), ended], [text("hunter2"), thought("hunter2"), ended]],
		[
			"what is retracted is not said any more",
			[text("a hunt"), { type: "text_retracted", turnId, messageId: "m" }, text("er"), ended],
			[text("a"), { type: "text_retracted", turnId, messageId: "m" }, text("er"), ended],
		],
		[
			"output of a tool",
			[output("x hunter2"), output("hunter2 hun"), { type: "tool_result", turnId, toolCallId: "t", status: "completed", output: SECRET }],
			[
				output("x"),
				output(" [redacted:secret]"),
				output(" hun"),
				{ type: "tool_result", turnId, toolCallId: "t", status: "completed", output: "[redacted:secret]" },
			],
		],
		["a tool call's input", [call({ input: { command: `x ${SECRET}` } })], [call({ input: { command: "x [redacted:secret]" } })]],
		[
			"what is not known",
			[{ type: "raw", source: "stdout", text: SECRET }],
			[{ type: "raw", source: "stdout", text: "[redacted:secret]" }],
		],
		[
			"why a turn failed",
			[{ ...ended, stopReason: "failed", error: { code: "model_error", detail: `no ${SECRET}` } }],
			[{ ...ended, stopReason: "failed", error: { code: "model_error", detail: "no [redacted:secret]" } }],
		],
		[
			"why a process died, but not by what it is resumed",
			[{ type: "process_state", state: "dead", why: SECRET, nativeSessionId: SECRET }],
			[{ type: "process_state", state: "dead", why: "[redacted:secret]", nativeSessionId: SECRET }],
		],
		[
			"what the proxy refuses does not tear one apart either",
			[text("hunter2"), DENIED, text("hunter2"), ended],
			[DENIED, text("[redacted:secret]"), ended],
		],
		["an empty delta", [text("")], [text("")]],
		[
			"what a CLI wrote between stands where it stood",
			[text("a hunt"), { type: "raw", source: "stdout", text: "x" }, ended],
			[text("a"), text(" hunt"), { type: "raw", source: "stdout", text: "x" }, ended],
		],
		[
			"the end of a message comes before the next message",
			[text("a hunt"), { type: "text_delta", turnId, messageId: "m2", text: "b" }, ended],
			[text("a"), text(" hunt"), { type: "text_delta", turnId, messageId: "m2", text: "b" }, ended],
		],
		["a word is held back whole", [text("one xh"), text("y two"), ended], [text("one"), text(" xhy"), text(" two"), ended]],
	])("[SEC-4] %s", (_, events, shown) => {
		expect(seen(...events)).toEqual(shown);
	});

	test("[SEC-4] words that have a bound keep it, though what stands for a secret is longer than it", () => {
		const evidence = "://a:bcd@ ".repeat(102).slice(0, 1024);
		const denied = {
			type: "gate_denied",
			turnId,
			tool: "Bash",
			subject: evidence,
			verdict: "deny",
			rule: "r",
			category: "policy",
			reason: "x",
		};
		const [shown] = seen({ ...denied, evidence } as RunnerReport);
		expect(JSON.stringify(shown)).toContain("[redacted:password]");
		expect(RunnerReport.safeParse(shown).error).toBeUndefined();
	});

	const says = (...events: DialogueEvent[]) => ({ type: "line" as const, text: JSON.stringify(events) });
	const hosting = (secrets: string[]): Hosting => {
		const take: ConstructorParameters<typeof Hosting>[1]["take"] = (input) =>
			input.type === "line"
				? { events: JSON.parse(input.text) as DialogueEvent[], writes: [] }
				: { events: [], writes: [JSON.stringify(input)] };
		return new Hosting("x", { take }, (prefix, ordinal) => `${prefix}_${ordinal}`, secrets);
	};
	const begin = [
		{ type: "started", pid: 1, isolation: "process_group" },
		{ type: "turn", turnId: turnId as TurnId, text: SECRET },
	] as const;

	test("[SEC-4] a person sees a call without its secrets; what is judged and what runs is the call as it was", () => {
		const asks = says({ type: "approval_requested", requestId: "r", tool: "Bash", input: { command: `login ${SECRET}` } });
		const host = hosting([SECRET]);
		for (const entry of [...begin, asks]) host.take(entry);
		expect(host.unjudged.get("r")?.input).toEqual({ command: `login ${SECRET}` });
		const place = { workDir: "/w", cwd: "/w", home: null };
		const judgement = { verdict: "ask", rule: null, category: "unresolved", reason: "-" } as const;
		const { events } = host.take({ type: "judged", requestId: "r", place, judgement } as Parameters<Hosting["take"]>[0]);
		expect(events).toMatchObject([{ type: "approval_requested", input: { command: "login [redacted:secret]" } }]);
		const [approvalId = ""] = host.pending.keys();
		const { writes } = host.take({ type: "decide", decision: { approvalId, decision: "allow" } } as Parameters<Hosting["take"]>[0]);
		expect(writes).toEqual(['{"type":"decide","requestId":"r","decision":{"decision":"allow"}}']);
	});

	test("[SEC-4] an approval that is too large once its secrets are hidden is denied like any other", () => {
		const command = "://a:bcd@ ".repeat(MAX_EVENT_BYTES / 20);
		const host = hosting([]);
		for (const entry of [...begin, says({ type: "question_asked", requestId: "r", questions: [{ question: command, options: [] }] })])
			host.take(entry);
		expect(host.pending.size).toBe(0);
	});

	test("[SEC-4] ids of what follows do not depend on what is hidden", () => {
		const lines = [
			...begin,
			says({ type: "text_delta", messageId: "m", text: `a ${SECRET.slice(0, 5)}` }),
			says({ type: "tool_call", toolCallId: "t", tool: "Bash", input: {} }),
			says({ type: "question_asked", requestId: "r", questions: [] }),
		];
		const ids = [[], [SECRET]].map((secrets) => {
			const host = hosting(secrets);
			for (const entry of lines) host.take(entry);
			return [...host.pending.keys()];
		});
		expect(ids[0]).toEqual(ids[1]);
	});
});

describe("what is hidden from the gateway's gate", () => {
	const place = { workDir: "/w", cwd: "/w", home: "/home/a" };
	const block = `-----BEGIN RSA PRIVATE KEY-----\n${random(40)}`;
	const verdictOn = (input: object, tool = "Bash"): [verdict: string, rule: string | null] => {
		const call = { tool, input };
		const { verdict, rule } = judgeHidden(call, new Redactor(["hunter2hunter2"]).redactValue(call), place);
		return [verdict, rule];
	};

	test.each([
		["nothing", "ls -la; rm -rf ~", "allow"],
		["a credential", 'curl -H "Authorization: Bearer abc123def456ghi789jkl0" https://api.test/', "ask"],
		["a known value", "login hunter2hunter2", "ask"],
		["a command behind a key block", `echo "${block}"\nrm -rf /usr\ntrue "-----END RSA PRIVATE KEY-----"`, "deny"],
		["a path behind a word", "rm -rf Bearer a1aaaaaaaaaaaaaaaaaa/../../../../../../usr", "deny"],
		["a path behind an assignment", "rm -rf /x_TOKEN=abc123def456/../../usr", "deny"],
	])("[SEC-6] %s", (_, command, verdict) => {
		expect(verdictOn({ command })[0]).toBe(verdict);
	});

	test("[SEC-6] a command in the place of a password is not hidden at all", () => {
		const { redact } = { redact: (text: string) => new Redactor().redact(text) };
		for (const command of ["echo ://a:b;rm$IFS-rf$IFS~;echo@", "echo ://a:b&reboot&echo@", "echo TOKEN=abc123;reboot"])
			expect(redact(command)).toBe(command);
	});

	test("[SEC-6] the content of a file may be hidden, its path not", () => {
		expect(verdictOn({ file_path: "/w/.env", content: "DB_PASSWORD=hunter2hunter2" }, "Write")).toEqual(["allow", null]);
		expect(verdictOn({ file_path: "/w/hunter2hunter2", content: "" }, "Write")).toEqual(["ask", "hidden-part"]);
	});

	test("[SEC-6] nor the title, where that is the command", () => {
		const call = { tool: "shell", kind: "execute", title: "login hunter2hunter2", input: {} };
		expect(judgeHidden(call, new Redactor(["hunter2hunter2"]).redactValue(call), place).verdict).toBe("ask");
	});
});
