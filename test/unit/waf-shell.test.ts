import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import fc from "fast-check";
import { forEachChild, parse, type SyntaxNode } from "unbash";
import { describe, expect, test } from "vitest";
import { commandsIn, judgeCommand, MAX_COMMAND_LENGTH, RULES } from "../../shared/waf/command.ts";
import type { Place } from "../../shared/waf/verdict.ts";
import { UNKNOWN } from "../../shared/waf/words.ts";
import { REJECTED, RESOLVED } from "../fixtures/waf-shell-cases.ts";

/** The part of mvdan-sh that is used here; it has no types. */
interface SecondParser {
	syntax: {
		NewParser(): { Parse(text: string, name: string): unknown };
		Walk(node: unknown, visit: (node: unknown) => boolean): void;
		NodeType(node: unknown): string;
	};
}
const sh = createRequire(import.meta.url)("mvdan-sh") as SecondParser;

const place: Place = { workDir: "/srv/work/project", cwd: "/srv/work/project", home: "/home/ann" };
const examples = [...RULES.values()].flatMap((rule) => [...rule.examples.match, ...rule.examples.pass]);

/** Runs a harmless script in bash, with nothing to find in its environment. */
const bash = (args: readonly string[], input = ""): { status: number | null; stdout: string } => {
	const { status, stdout } = spawnSync("/bin/bash", ["--norc", "--noprofile", ...args], {
		env: { PATH: "/nonexistent" },
		input,
		encoding: "utf8",
		timeout: 20_000,
	});
	return { status, stdout };
};

describe("a command line becomes the commands that bash would start", () => {
	test.each(RESOLVED)("%j", (text, commands) => {
		expect(commandsIn(text, place).map((command) => command.map((word) => word.replaceAll(UNKNOWN, "?")))).toEqual(commands);
	});

	test("what bash cannot parse is asked about", () => {
		for (const text of REJECTED) expect(judgeCommand(text, place), text).toMatchObject({ verdict: "ask", rule: "parse-error" });
	});

	test("bash agrees on what can be parsed and what cannot", () => {
		const texts = [...RESOLVED.map(([text]) => text), ...REJECTED, ...examples];
		const script = texts.map((text) => `/bin/bash --norc -O extglob -n -c ${quoted(text)} 2>/dev/null; echo $?`).join("\n");
		const accepted = bash(["-c", script]).stdout.trim().split("\n");
		const differing = texts.filter((text, index) => (accepted[index] === "0") !== ((parse(text).errors ?? []).length === 0));
		// The shell takes a here document that ends with the text as complete, with a warning.
		expect(differing).toEqual([]);
	});

	test("words that are spelled in every way of quoting come out as bash has them", () => {
		const piece = fc.stringMatching(/^[a-z0-9./ $*{},~#!\\"'-]{1,8}$/);
		const spell = fc.tuple(piece, fc.constantFrom("single", "double", "escape", "ansi", "split")).map(([text, how]) => {
			if (how === "single") return `'${text.replaceAll("'", "'\\''")}'`;
			if (how === "double") return `"${text.replace(/[\\"$`!]/g, "\\$&")}"`.replaceAll("\\!", '"\\!"');
			if (how === "ansi") return `$'${[...text].map((letter) => `\\x${letter.charCodeAt(0).toString(16).padStart(2, "0")}`).join("")}'`;
			if (how === "split")
				return [...text]
					.map((letter) => `'${letter === "'" ? "'\\''" : letter}'`)
					.join('""')
					.replaceAll("''\\'''", "\\'");
			return [...text].map((letter) => `\\${letter}`).join("");
		});
		const words = fc.sample(
			fc.array(spell, { minLength: 1, maxLength: 4 }).map((parts) => parts.join("")),
			{ seed: 20_261_123, numRuns: 1500 },
		);
		const printed = bash(["-c", words.map((word) => `printf '%s\\0' ${word}`).join("\n")])
			.stdout.split("\0")
			.slice(0, -1);
		expect(printed).toHaveLength(words.length);
		const different = words.filter((word, index) => commandsIn(`x ${word}`, place)[0]?.[1] !== printed[index]);
		expect(different).toEqual([]);
	});

	test("expansions of known variables come out as bash has them", () => {
		const value = fc.stringMatching(/^[a-c./_-]{0,10}$/);
		const operation = fc.constantFrom(
			"",
			"#a",
			"##*/",
			"%/*",
			"%%.*",
			"/a/x",
			"//a/x",
			"/#a/x",
			"/%a/x",
			":1",
			":0:2",
			": -2",
			":1:-1",
			"^^",
			",,",
			"^",
			":-d",
			"-d",
			":+s",
			"+s",
			"#*[ab]",
			"%[./]*",
			"//[a-b]/y",
			"@U",
		);
		const cases = fc.sample(fc.tuple(value, operation), { seed: 7, numRuns: 600 });
		const printed = bash([
			"-c",
			cases.map(([text, how]) => `(x='${text}'; printf '%s\\0' "\${x${how}}") 2>/dev/null || printf 'failed\\0'`).join("\n"),
		])
			.stdout.split("\0")
			.slice(0, -1);
		const different = cases.filter(([text, how], index) => {
			const last = commandsIn(`x='${text}'; y "\${x${how}}"`, place).at(-1)?.[1] ?? "";
			// Not to know is no mistake.
			return !last.includes(UNKNOWN) && printed[index] !== "failed" && last !== printed[index];
		});
		expect(different).toEqual([]);
	});
});

describe("a second parser sees the same commands", () => {
	/** Commands whose words are all plain, as both parsers tell them apart. */
	const plain = (text: string): string[] => {
		const found: string[] = [];
		const visit = (node: SyntaxNode): void => {
			if (node.type === "Command" && node.name) {
				const words = [node.name, ...node.args.filter((arg) => arg.type === "Word")];
				if (
					words.every(
						(word) => !word.parts?.some((part) => !["Literal", "SingleQuoted", "Glob"].includes(part.type)) && !/[\\{}~]/.test(word.text),
					)
				)
					found.push(words.map((word) => word.value).join(" "));
			}
			forEachChild(node, visit);
		};
		visit(parse(text));
		return found.sort();
	};
	const second = (text: string): string[] | null => {
		const { syntax } = sh;
		const found: string[] = [];
		try {
			syntax.Walk(syntax.NewParser().Parse(text, "x"), (node: unknown) => {
				if (node && syntax.NodeType(node) === "CallExpr") {
					const words: string[] = (node as { Args: { Parts: { Value?: string; Dollar?: boolean }[] }[] }).Args.map((word) =>
						word.Parts.every((part) => ["Lit", "SglQuoted"].includes(syntax.NodeType(part)) && !part.Dollar)
							? word.Parts.map((part) => part.Value ?? "").join("")
							: "\0",
					);
					if (words.length > 0 && !words.some((word) => /[\0\\{}~]/.test(word))) found.push(words.join(" "));
				}
				return true;
			});
		} catch {
			return null;
		}
		return found.sort();
	};
	/** Where the older parser is known to differ: it takes a carriage return for a blank, and does not know some of bash's newer words. */
	const KNOWN_DIFFERENCES = /\r|\v|\$\[|\$'|coproc|declare|export|let |readonly|local |<\(|>\(|\{fd\}|select|\\\n|alias/;

	test("on the tricky cases and on every rule's examples", () => {
		const texts = [...RESOLVED.map(([text]) => text), ...examples].filter((text) => !KNOWN_DIFFERENCES.test(text));
		const differing = texts.flatMap((text) => {
			const other = second(text);
			return other === null || JSON.stringify(other) === JSON.stringify(plain(text)) ? [] : [{ text, other, ours: plain(text) }];
		});
		expect(differing).toEqual([]);
	});
});

describe("whatever it is given, the engine answers, and soon", () => {
	const MAX_MS = 2000;
	const judged = (text: string): void => {
		const started = performance.now();
		const judgement = judgeCommand(text, place);
		expect(["allow", "ask", "deny"]).toContain(judgement.verdict);
		expect(judgement.rule).not.toBe("engine-failed");
		expect(performance.now() - started).toBeLessThan(MAX_MS);
	};
	const TOKENS = [
		"$(",
		")",
		"`",
		'"',
		"'",
		"\\",
		"{",
		"}",
		",",
		"..",
		"<<E\n",
		"E\n",
		"<(",
		"((",
		"))",
		"[[ ",
		" ]]",
		";",
		"|",
		"&",
		"\n",
		" ",
		"$x",
		"${x",
		":-",
		"//",
		"#",
		"%",
		"*",
		"?",
		"[",
		"]",
		"!",
		"=",
		"x=",
		"if ",
		"then ",
		"fi",
		"do ",
		"done",
		"for i in ",
		"case x in ",
		"esac",
		"rm ",
		"-rf ",
		"/",
		"~",
		"eval ",
		"sh -c ",
		"echo ",
		"base64 -d",
		"python3 -c ",
		"awk ",
		"find . -exec ",
		"xargs ",
		"git -c ",
		"\u0000",
		"\ud800",
		"é",
		"1",
		"a",
		"f(){ ",
		"coproc ",
		"$'\\x",
		"cat ",
		">",
		"<",
		"2>&1",
	];

	test("any sequence of tokens", () => {
		fc.assert(
			fc.property(fc.array(fc.constantFrom(...TOKENS), { maxLength: 120 }), (tokens) => judged(tokens.join(""))),
			{ seed: 20_261_123, numRuns: 1500 },
		);
	});

	test("any text", () => {
		fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 400 }), judged), { seed: 5, numRuns: 500 });
	});

	test("examples, cut off, doubled and pasted together", () => {
		const example = fc.constantFrom(...examples);
		fc.assert(
			fc.property(example, example, fc.nat(200), (a, b, at) => {
				judged(a.slice(0, at) + b);
				judged(`${a}${b.slice(at)}`);
			}),
			{ seed: 11, numRuns: 700 },
		);
	});

	test.each([
		...[
			"$(",
			"`",
			"{",
			"{a,",
			"{a,b}",
			"<<E\n",
			"((",
			"$((1+",
			'"$(echo ',
			"${x:-",
			"[[ ",
			"if ",
			"\\",
			"'",
			'"',
			"/",
			"/ ",
			"../",
			"*",
			"?a",
			"~",
		],
		...[
			"a=$a$a;",
			"eval 'ls';",
			"f(){ f|f& };f;",
			"ls|",
			"cd a;",
			"echo a>f;",
			"a[1]=2 ",
			"sudo ",
			"-exec ls \\; ",
			"$'\\x",
			"\ud800",
			"${a//x*x/y};",
		],
	])("64 KiB of %j", (token) => {
		judged(token.repeat(Math.floor(MAX_COMMAND_LENGTH / token.length)));
		judged(`rm -rf ${token.repeat(Math.floor((MAX_COMMAND_LENGTH - 8) / token.length))}`);
		judged(`python3 -c '${token.replaceAll("'", "").repeat(Math.floor(60_000 / token.length))}'`);
	});

	test("more than 64 KiB are not looked at", () => {
		expect(judgeCommand("a".repeat(MAX_COMMAND_LENGTH + 1), place)).toMatchObject({ verdict: "ask", rule: "too-long" });
	});
});

function quoted(text: string): string {
	return `'${text.replaceAll("'", "'\\''")}'`;
}
