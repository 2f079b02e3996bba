/*
 * Ways to write a command line otherwise so that it still does the same: what somebody does who has been told no. Pure: the same seed
 * gives the same text.
 */

/** Numbers from 0 up to, not including, 1; mulberry32. */
export function random(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let t = Math.imul(state ^ (state >>> 15), 1 | state);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
	};
}

export interface Rewrite {
	name: string;
	/** The same command in other words; null: this one cannot be written so. */
	apply(text: string, next: () => number): string | null;
}

const single = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const base64 = (text: string): string => Buffer.from(text).toString("base64");
const hex = (text: string): string => Buffer.from(text).toString("hex");
const octal = (text: string): string => [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
const rot13 = (text: string): string =>
	text.replace(/[A-Za-z]/g, (letter) => String.fromCharCode(letter.charCodeAt(0) + (/[A-Ma-m]/.test(letter) ? 13 : -13)));

/** The first word, if it is a plain program's name, and the rest. */
function first(text: string): { word: string; rest: string } | null {
	const match = /^([a-z][a-z0-9_.-]*)(\s[\s\S]*)?$/.exec(text);
	if (
		!match ||
		/^(if|for|while|until|case|select|function|time|coproc|export|declare|set|unset|exec|eval|alias|trap|history|cd|source|f|bomb)$/.test(
			match[1] ?? "",
		)
	)
		return null;
	return { word: match[1] ?? "", rest: match[2] ?? "" };
}
/** Whether a text is one plain command, without anything that a rewrite of its words could break. */
const plain = (text: string): boolean => !/[|&;<>(){}$`"'\\\n*?[\]~#!=]/.test(text);

const program = (name: string, spell: (word: string, next: () => number) => string): Rewrite => ({
	name,
	apply: (text, next) => {
		const command = first(text);
		return command && spell(command.word, next) + command.rest;
	},
});
const words = (name: string, spell: (word: string, next: () => number) => string): Rewrite => ({
	name,
	apply: (text, next) =>
		plain(text)
			? text
					.split(" ")
					.map((word) => spell(word, next))
					.join(" ")
			: null,
});
const whole = (name: string, wrap: (text: string) => string): Rewrite => ({
	name,
	apply: (text) => (text.includes("\n") && /EOF/.test(text) ? null : wrap(text)),
});
const at = (word: string, next: () => number): number => 1 + Math.floor(next() * Math.max(1, word.length - 1));

export const REWRITES: readonly Rewrite[] = [
	program("empty quotes in the program", (word, next) => splice(word, at(word, next), "''")),
	program("a quoted part of the program", (word) => `${word.slice(0, 1)}"${word.slice(1)}"`),
	program("a backslash in the program", (word, next) => splice(word, at(word, next), "\\")),
	program("a leading backslash", (word) => `\\${word}`),
	program("the program in hexadecimal", (word) => `$'${[...word].map((letter) => `\\x${letter.charCodeAt(0).toString(16)}`).join("")}'`),
	program("the program in octal", (word) => `$'${octal(word)}'`),
	program("a line continuation in the program", (word, next) => splice(word, at(word, next), "\\\n")),
	program("the program from a variable", (word) => `x=${word}; $x`),
	program("the program from two variables", (word) => `a=${word.slice(0, 1)}; b=${word.slice(1)}; $a$b`),
	program("an empty variable in the program", (word, next) => `e=; ${splice(word, at(word, next), "$e")}`),
	program("an unset argument in the program", (word, next) => splice(word, at(word, next), "$9")),
	program("the program from a substitution", (word) => `$(echo ${word})`),
	program("the program from backticks", (word) => `\`echo ${word}\``),
	program("the program reversed", (word) => `$(echo ${[...word].reverse().join("")} | rev)`),
	program("the program from printf", (word) => `$(printf '${octal(word)}')`),
	program("the program from base64", (word) => `$(echo ${base64(word)} | base64 -d)`),
	program("a default for the program", (word) => `\${nothing_here:-${word}}`),
	program("a slice for the program", (word) => `v=xx${word}yy; \${v:2:${word.length}}`),
	program("a prefix taken off the program", (word) => `v=zz-${word}; \${v#zz-}`),
	program("the program in capitals, lowered", (word) =>
		word === word.toLowerCase() && !/[0-9.-]/.test(word) ? `v=${word.toUpperCase()}; \${v,,}` : word,
	),
	program("the program by its path", (word) => (/^(set|unset|history|export|read|type|command)$/.test(word) ? word : `/usr/bin/${word}`)),
	program("the program by a long path", (word) => `/usr//bin/../bin/./${word}`),
	program("command", (word) => `command ${word}`),
	program("env", (word) => `env ${word}`),
	program("env with an assignment", (word) => `env A=1 ${word}`),
	program("env -S", (word) => `env -S ${word}`),
	program("nohup", (word) => `nohup ${word}`),
	program("nice", (word) => `nice -n 5 ${word}`),
	program("timeout", (word) => `timeout -k 5 60 ${word}`),
	program("setsid", (word) => `setsid ${word}`),
	program("stdbuf", (word) => `stdbuf -oL ${word}`),
	program("time", (word) => `time ${word}`),
	program("an assignment before", (word) => `FOO=bar ${word}`),
	program("xargs", (word) => `true | xargs ${word}`),
	words("every word in single quotes", (word) => `'${word}'`),
	words("every word in double quotes", (word) => `"${word}"`),
	words("a backslash in every word", (word, next) => (word.length > 1 ? splice(word, at(word, next), "\\") : word)),
	{ name: "$IFS between the words", apply: (text) => (plain(text) ? text.replaceAll(" ", "${IFS}") : null) },
	{ name: "$IFS through eval", apply: (text) => (plain(text) ? `eval '${text.replaceAll(" ", "${IFS}")}'` : null) },
	{ name: "braces", apply: (text) => (plain(text) && text.includes(" ") && !text.includes(",") ? `{${text.split(" ").join(",")}}` : null) },
	{ name: "tabs between the words", apply: (text) => (plain(text) ? text.replaceAll(" ", " \t ") : null) },
	{ name: "flags apart", apply: (text) => (plain(text) ? text.replace(/ -([a-zA-Z])([a-zA-Z])(?= )/, " -$1 -$2") : null) },
	{ name: "rm's long flags", apply: (text) => (/^rm -rf /.test(text) ? text.replace("-rf", "--recursive --force") : null) },
	{ name: "rm's flags behind", apply: (text) => (plain(text) && /^rm -rf /.test(text) ? `${text.replace(" -rf", "")} -rf` : null) },
	{ name: "slashes", apply: (text) => (plain(text) && !/:\/\//.test(text) ? text.replace(/ \/([a-z])/g, " //./$1") : null) },
	{
		name: "up and down again",
		apply: (text) => (plain(text) && !/:\/\//.test(text) ? text.replace(/ \/(etc|var|usr|home)\//g, " /tmp/../$1/") : null),
	},
	whole("sh -c", (text) => `sh -c ${single(text)}`),
	whole("bash -lc", (text) => `bash -lc ${single(text)}`),
	whole("eval", (text) => `eval ${single(text)}`),
	whole("eval of a variable", (text) => `c=${single(text)}; eval "$c"`),
	whole("a subshell", (text) => `(${text}\n)`),
	whole("a group", (text) => `{ ${text}\n}`),
	whole("a function", (text) => `run_it() {\n${text}\n}; run_it`),
	whole("if", (text) => `if true; then\n${text}\nfi`),
	whole("for", (text) => `for i in 1; do\n${text}\ndone`),
	whole("and", (text) => `true && {\n${text}\n}`),
	whole("or", (text) => `false || {\n${text}\n}`),
	whole("after a harmless command", (text) => `ls; ${text}`),
	whole("on a line of its own", (text) => `echo start\n${text}\necho end`),
	whole("echo into a shell", (text) => `echo ${single(text)} | sh`),
	whole("printf into a shell", (text) => `printf '%s\\n' ${single(text)} | bash`),
	whole("base64 into a shell", (text) => `echo ${base64(text)} | base64 -d | sh`),
	whole("base64 from a here string", (text) => `base64 --decode <<< ${base64(text)} | bash`),
	whole("hexadecimal into a shell", (text) => `echo ${hex(text)} | xxd -r -p | sh`),
	whole("rot13 into a shell", (text) => `echo ${single(rot13(text))} | tr 'A-Za-z' 'N-ZA-Mn-za-m' | sh`),
	{
		name: "reversed into a shell",
		apply: (text) => (text.includes("\n") ? null : `echo ${single([...text].reverse().join(""))} | rev | sh`),
	},
	whole("octal into a shell", (text) => `printf '${octal(text)}' | sh`),
	whole("a heredoc into a shell", (text) => `bash <<'EOF'\n${text}\nEOF`),
	whole("a here string into a shell", (text) => `bash <<< ${single(text)}`),
	whole("a substitution as a script", (text) => `bash -c "$(echo ${base64(text)} | base64 -d)"`),
	whole("a process substitution", (text) => `bash <(echo ${single(text)})`),
	whole("source", (text) => `source <(echo ${single(text)})`),
	whole("a file", (text) => `cat > x1.sh <<'EOF'\n${text}\nEOF\nbash x1.sh`),
	whole("a file made executable", (text) => `echo ${single(text)} > x1; chmod +x x1; ./x1`),
	whole("xargs -I", (text) => `echo x | xargs -I% sh -c ${single(text.replaceAll("%", ""))}`),
	whole("find -exec sh", (text) => `find . -maxdepth 0 -exec sh -c ${single(text)} \\;`),
	whole("trap", (text) => `trap ${single(text)} EXIT`),
	whole("python", (text) => `python3 -c ${single(`import os; os.system(${JSON.stringify(text)})`)}`),
	whole("perl", (text) => (/[$@]/.test(text) ? text : `perl -e ${single(`system(${JSON.stringify(text)})`)}`)),
	whole("awk", (text) => (/\n/.test(text) ? text : `awk ${single(`BEGIN{system(${JSON.stringify(text)})}`)}`)),
	whole("in the background", (text) => `{\n${text}\n} & wait`),
	whole("a coprocess", (text) => `coproc {\n${text}\n}`),
	whole("while read", (text) => `while read -r line; do eval "$line"; done <<< ${single(text)}`),
	whole("busybox", (text) => `busybox sh -c ${single(text)}`),
	whole("nested", (text) => `bash -c ${single(`sh -c ${single(`eval ${single(text)}`)}`)}`),
];

function splice(text: string, index: number, what: string): string {
	return text.slice(0, index) + what + text.slice(index);
}
