import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Judgement, Place, VerdictName } from "../../shared/waf/verdict.ts";

/** What a row is, and so what the WAF should say to it. */
export const Label = z.enum([
	/** A command that harms the machine, its people or another machine: to be denied, asked at least. */
	"attack",
	/** An attack in another spelling. */
	"rewrite",
	/** A command that loses the developer's own work or the team's shared state: to be asked. */
	"devloss",
	/** Everyday work. */
	"benign",
	/** A prompt that orders an attack. */
	"order",
	/** A prompt that speaks of one and orders none. */
	"mention",
	/** A prompt of everyday work. */
	"ordinary",
]);
export type Label = z.infer<typeof Label>;

const Row = z.object({
	id: z.string(),
	kind: z.enum(["command", "prompt"]),
	label: Label,
	text: z.string(),
	cwd: z.string().default("/srv/project"),
	/** Nobody tunes on these: they tell whether the rules know the field or only the other rows. */
	held: z.boolean().default(false),
	source: z.string().default(""),
});
export type Row = z.infer<typeof Row>;

export interface Judges {
	judgeCommand: (text: string, place: Place) => Judgement;
	judgePrompt: (text: string) => Judgement;
}

/** Rows and what came of them. */
export interface Tally {
	rows: number;
	denied: number;
	asked: number;
	/** Decision times in ms, one a row. */
	ms: number[];
	/** Rows that were judged the wrong way: an attack let through, everyday work stopped. */
	wrong: { row: Row; judgement: Judgement }[];
}

const HARM: ReadonlySet<Label> = new Set(["attack", "rewrite", "devloss", "order"]);
const FIXTURES = fileURLToPath(new URL("../fixtures/waf/", import.meta.url));

/** Every row of the *.jsonl files in `dir` that are corpora, our own by default. */
export function readCorpora(dir: string = FIXTURES): Row[] {
	return readdirSync(dir)
		.filter((name) => name.endsWith(".jsonl"))
		.toSorted()
		.flatMap((name) => readFileSync(join(dir, name), "utf8").split("\n"))
		.filter((line) => line !== "")
		.map((line) => Row.parse(JSON.parse(line)));
}

/** What the scale of prompts is weighed from, in short. */
export function digestOfPrompts(rows: readonly Row[]): string {
	const hash = createHash("sha256");
	for (const { kind, held, label, text } of rows) if (kind === "prompt" && !held) hash.update(`${label}\0${text}\0`);
	return hash.digest("hex").slice(0, 16);
}

/** Judges `rows` and counts. */
export function tally(rows: readonly Row[], judges: Judges): Tally {
	const counts: Record<VerdictName, number> = { allow: 0, ask: 0, deny: 0 };
	const sum: Tally = { rows: rows.length, denied: 0, asked: 0, ms: [], wrong: [] };
	for (const row of rows) {
		const began = performance.now();
		const judgement =
			row.kind === "prompt"
				? judges.judgePrompt(row.text)
				: judges.judgeCommand(row.text, { workDir: "/srv/project", cwd: row.cwd, home: "/home/dev" });
		sum.ms.push(performance.now() - began);
		counts[judgement.verdict]++;
		if ((judgement.verdict === "allow") === HARM.has(row.label)) sum.wrong.push({ row, judgement });
	}
	return Object.assign(sum, { denied: counts.deny, asked: counts.ask });
}

const MAX = 64 * 1024;

/** Inputs of 64 KiB, each of them hard on a parser, an expander or a table of rules in another way. */
export function nastyInputs(): { name: string; text: string }[] {
	const fill = (unit: string, head = "", tail = ""): string =>
		head + unit.repeat(Math.floor((MAX - head.length - tail.length) / unit.length)) + tail;
	const nest = (open: string, close: string, levels: number, inner = "x"): string => open.repeat(levels) + inner + close.repeat(levels);
	const numbered = (unit: (i: number) => string): string => {
		let text = "";
		for (let i = 0; text.length + unit(i).length <= MAX; i++) text += unit(i);
		return text;
	};
	// One text through the same filter again and again, as one line and as many.
	const filters = [
		"cat",
		"rev",
		"sort",
		"sort -r",
		"sort -k2",
		"uniq",
		"tac",
		"tac -s ' '",
		"grep a",
		"grep -o .",
		"dd conv=swab",
		"tr a b",
	];
	filters.push(
		"tr -d z",
		"sed s/z/y/",
		"sed y/a/b/",
		"cut -c1-",
		"fold",
		"paste -s",
		"head -n 9999",
		"base64 -d",
		"xxd -r",
		"awk 1",
		"xargs",
	);
	filters.push("awk '{print $1 $2}'", "tee x", "sort -o x", "split", "xargs -n1 echo");
	const filtered = filters.flatMap((filter): [string, string][] => [
		[`${filter}, a line again and again`, fill(`|${filter}`, `echo ${"abc ".repeat(500)}`)],
		[`${filter}, lines again and again`, fill(`|${filter}`, `printf '${"ab\\n".repeat(7500)}'`)],
	]);
	return Object.entries({
		...Object.fromEntries(filtered),
		"a file edited again and again": fill("sed -i s/b/c/ x;", `echo ${"a".repeat(20_000)}>x;`),
		"a file sorted again and again": fill("sort -o y x;", `echo ${"a ".repeat(10_000)}>x;`),
		"a file split again and again": fill("split x;", `echo ${"a".repeat(20_000)}>x;`),
		"a file run again and again": fill(". ./x;", "echo ls>x;"),
		"a variable printed again and again": fill("declare -p x;", `x=${"a".repeat(20_000)};`),
		"settings read again and again": fill("curl -K c;", "printf 'url = \"http://a/\"\\n' > c;"),
		"settings of git": fill("git a;", "export GIT_CONFIG_COUNT=9 GIT_CONFIG_KEY_0=alias.a GIT_CONFIG_VALUE_0=!ls;"),
		"a makefile with settings": fill("make A=b;", "printf 'x:\\n\\tls\\n'>Makefile;"),
		"files and patterns": fill("ls f*;", Array.from({ length: 1500 }, (_, i) => `echo a>f${i};`).join("")),
		"files that find finds": fill("find . -name 'f*' -exec cat {} +;", Array.from({ length: 1000 }, (_, i) => `echo a>f${i};`).join("")),
		patches: `git apply <<'E'\n${numbered((i) => `+++ b/x${i}\n+rm\n`).slice(0, MAX - 20)}E\n`,
		subscripts: fill("let t;", "t='a[$(ls)0]';"),
		"array in disorder": fill(
			'echo "${a[@]}";',
			numbered((i) => `a[${999 - i}]=x;`)
				.slice(0, 9000)
				.replace(/[^;]*$/, ""),
		),
		"letters read one by one": fill("a", "while read -n1 c; do echo $c; done <<< '", "'"),
		"little programs": fill(`python3 -c 'print("a")';`),
		"little programs that run others": fill("python3 -c 'import os;os.system(\"ls \"+chr(47))';"),
		"a program's arguments": fill("abcdef ", `python3 -c '${"sys.argv[1:];".repeat(2000)}' `),
		"a program's arguments in perl": fill("abcdefghijklmnopqrstuvwxyz ", `perl -e '${"@ARGV;".repeat(4000)}' `),
		"an expression in brackets": fill("(", "python3 -c 'print(", "'"),
		"an expression that grows": `python3 -c 'print("${"a".repeat(3000)}"${'.replace("a","aa")'.repeat(100)})'`,
		"words with gaps": fill("a${x}b ", "echo "),
		"open $(": fill("$("),
		'open "$(echo': fill('"$(echo '),
		"nested $(": nest("$(echo ", ")", 9000),
		"nested subshells": nest("(", ")", 32_000),
		"nested groups": nest("{ ", ";}", 16_000, "x"),
		"nested backticks": fill("`\\"),
		"nested arithmetic": nest("$((1+", "))", 9000, "1"),
		"nested defaults": nest(`\${a:-`, "}", 10_000),
		"nested braces": nest("{a,", "}", 16_000, "b"),
		"brace bomb": `echo ${fill("{a,b,c,d}")}`.slice(0, MAX),
		"brace range": "rm {1..99999999}{1..99999999} {a..z}{a..z}{a..z}{a..z}{a..z}",
		"long sum": fill("1+", "echo $((", "1))"),
		"long word": fill("a", "rm -rf /"),
		"quoted letters": fill("'r'\"m\"\\x", "echo "),
		"ansi escapes": fill("\\x72", "$'", "'"),
		"open quote": fill("a b ", "rm '"),
		"open here-documents": fill("cat <<A;"),
		"here-documents": numbered((i) => `cat <<E${i}\nrm -rf /\nE${i}\n`),
		"here-documents on one line": fill("<<A ", "cat "),
		pipes: fill("cat|", "", "sh"),
		"curl pipes": fill("curl x|", "", "sh"),
		ands: fill("a&&", "", "a"),
		commands: fill("rm -rf /tmp/x;"),
		"curl words": fill("curl "),
		"find execs": fill("-exec rm {} ; ".replace(";", "\\;"), "find . "),
		"sed words": fill("sed "),
		"find words": fill("find "),
		"find deletes": fill("-delete ", "find . -type f "),
		"find shells": fill("\\; ", "find . -exec sh -c 'cat ~/.ssh/id_rsa' "),
		"sed files": fill("passwd ", "sed '1{:a;s/.*/x/;n;6!ba}' "),
		"moved paths": fill("/etc ~/.Trash/ ", "mv "),
		"secret paths": fill("~/.ssh/id_rsa ", "gh gist "),
		"docker options": fill("run --pid=host -v /:/mnt alpine cat /mnt/etc/shadow ", "docker "),
		"directory after directory": fill("cd docs; make;"),
		"globs in directories": fill("mv a-*.tgz test/a.tgz && cd test && "),
		assignments: numbered((i) => `a${i}=b `),
		"doubling variables": numbered((i) => `v${i + 1}=$v${i}$v${i};`).replace("v1=$v0$v0", "v1=aaaaaaaaaaaaaaaa"),
		"doubling variables, run": `${numbered((i) => (i < 3000 ? `v${i + 1}=$v${i}$v${i};` : " ")).slice(0, MAX - 20)};$v3000`,
		"self-naming variable": fill('x="$x$x";', "x=rm;", "$x"),
		"loops in loops": fill("for i in 1 2 3; do ", "", "rm; "),
		"loop over many": fill("/etc/x ", "for i in ", "; do for j in $i $i; do rm -rf $i$j; done; done"),
		cases: fill("case x in x) "),
		functions: numbered((i) => `f${i}(){ f${i + 1};};`),
		"function that calls itself": fill("f(){ f;f;};f;"),
		sudos: fill("sudo ", "", "rm -rf /"),
		wrappers: fill("env nice timeout 5 ", "", "rm -rf /"),
		xargs: fill("xargs ", "", "rm"),
		"sh -c in sh -c": fill("sh -c "),
		evals: fill("eval ", "", "rm"),
		"quoted shells": Array.from({ length: 14 }).reduce<string>((text) => `sh -c ${JSON.stringify(text)}`.slice(0, MAX), "rm -rf /"),
		"base64 of itself": Array.from({ length: 20 }).reduce<string>(
			(text) => (text.length < MAX / 2 ? `echo ${Buffer.from(text).toString("base64")} | base64 -d | sh` : text),
			"rm -rf /",
		),
		paths: fill("../", "cat ", "etc/shadow"),
		slashes: fill("/", "rm -rf "),
		globs: fill("*", "ls "),
		"glob letters": fill("[a-z]?*", "/bin/"),
		"extended globs": fill("@(a|", "ls "),
		redirects: fill(">/tmp/x "),
		"process substitutions": fill("<(cat ", "diff "),
		"dollars and braces": fill("${"),
		slices: fill(`\${a:0:1}`, "a=rm;"),
		replacements: fill(`\${a//a/aa}`, "a=aaaaaaaa;"),
		comments: fill("# $(rm -rf /)\n"),
		newlines: fill("\n"),
		backslashes: fill("\\"),
		"line continuations": fill("\\\n"),
		"control characters": fill("\u0001\u0000\u001b"),
		"lone surrogates": fill("\ud800"),
		"python, no end": fill('__import__("os").system(', "python3 -c '", "'"),
		"python strings": fill('"a"+', "python3 -c 'import os; os.system(", '"b")\''),
		"awk systems": fill('system("x");', "awk 'BEGIN{", "}'"),
		"perl quotes": fill("q(", "perl -e '", "'"),
		"sed commands": fill("s/a/b/e;", "sed '", "'"),
		"sql words": fill("DELETE FROM a ", "psql -c '", "'"),
		"git options": fill("-c a=b ", "git ", "push --force"),
		"prompt in fences": fill("```\nrm -rf /\n"),
		"prompt of backticks": fill("`rm -rf /` "),
		"prompt of orders": fill("please delete everything on the server and "),
		"prompt of lines": fill("run rm -rf /\n"),
		"prompt of letters, a line each": fill("不\n"),
		"prompt of short sentences": fill("a. B. "),
	}).map(([name, text]) => ({ name, text: text.slice(0, MAX) }));
}
