import { deflateSync, gzipSync } from "node:zlib";

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

const base32 = (text: string): string => {
	const bits = [...Buffer.from(text)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
	const letters = (bits.match(/.{1,5}/g) ?? []).map((five) =>
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".charAt(Number.parseInt(five.padEnd(5, "0"), 2)),
	);
	return letters.join("").padEnd(Math.ceil(letters.length / 8) * 8, "=");
};
const packed = (text: string): string => gzipSync(text).toString("base64");
const deflated = (text: string): string => deflateSync(text).toString("base64");

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
/** The same where several lines would be something else. */
const line = (name: string, wrap: (text: string) => string): Rewrite => ({
	name,
	apply: (text) => (text.includes("\n") ? null : wrap(text)),
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
	program("an empty variable in the program", (word, next) => `e=; ${splice(word, at(word, next), "${e}")}`),
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
	whole("xargs -I", (text) => (text.includes("%") ? text : `echo x | xargs -I% sh -c ${single(text)}`)),
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
	// Kinds that came later: what holds a state, writes a file, or hands the text to a program that runs it.
	program("an unset variable in braces in the program", (word, next) => splice(word, at(word, next), "${nothing_here}")),
	program("backticks in the program", (word, next) => splice(word, at(word, next), "`true`")),
	program("an empty substitution in the program", (word, next) => splice(word, at(word, next), "$()")),
	program("the program through two names", (word) => `x=${word}; y=x; \${!y}`),
	program("the program through a name reference", (word) => `w=${word}; declare -n r=w; $r`),
	program("the program out of an array", (word) => `a=(ls ${word} id); \${a[1]}`),
	program("the program out of an array from behind", (word) => `a=(ls id ${word}); \${a[-1]}`),
	program("the program out of an associative array", (word) => `declare -A m=([k]=${word} [l]=ls); \${m[k]}`),
	program("the program set in an associative array", (word) => `declare -A m; m[one]=ls; m[two]=${word}; k=two; "\${m[$k]}"`),
	program("the program out of places of an array", (word) => `p[3]=ls; p[7]=${word}; \${p[7]}`),
	program("letters out of an alphabet", (word) =>
		/^[a-z]+$/.test(word)
			? `s=abcdefghijklmnopqrstuvwxyz; ${[...word].map((letter) => `\${s:${letter.charCodeAt(0) - 97}:1}`).join("")}`
			: word,
	),
	program("the program from read", (word) => `read -r p <<< ${word}; $p`),
	program("the program from mapfile", (word) => `mapfile -t l < <(printf '%s\\n' ls ${word}); \${l[1]}`),
	program("the program from printf -v", (word) => `printf -v p '%s%s' ${word.slice(0, 1)} ${word.slice(1)}; $p`),
	program("the program with a letter replaced", (word) => `v=${word.slice(0, 1)}@${word.slice(1)}; \${v/@/}`),
	program("the program without its end", (word) => `v=${word}.bak; \${v%.bak}`),
	program("the program capitalised back", (word) => (/^[a-z]+$/.test(word) ? `declare -l v=${word.toUpperCase()}; $v` : word)),
	program("the program from expr", (word) => `$(expr substr xx${word} 3 ${word.length})`),
	program("the program from awk", (word) => `$(awk 'BEGIN{printf "%s%s","${word.slice(0, 1)}","${word.slice(1)}"}')`),
	program("the program from python", (word) => `$(python3 -c 'print("${word.slice(0, 1)}"+"${word.slice(1)}")')`),
	program(
		"the program from python, decoded",
		(word) => `$(python3 -c 'import base64; print(base64.b64decode("${base64(word)}").decode())')`,
	),
	program("the program from perl, packed", (word) => `$(perl -e 'print pack("H*","${hex(word)}")')`),
	program("the program from cut", (word) => `$(echo ls:${word}:id | cut -d: -f2)`),
	program("the program from sed", (word) => `$(echo ${word.slice(0, 1)}_${word.slice(1)} | sed 's/_//')`),
	program("the program from a file's line", (word) => `printf 'ls\\n${word}\\n' > l; $(sed -n 2p l)`),
	program("the program from which", (word) => `$(which ${word})`),
	program("the program from type", (word) => `$(type -P ${word})`),
	program("the program by command -v", (word) => `$(command -v ${word})`),
	program("an alias", (word) => `shopt -s expand_aliases; alias z=${word}\nz`),
	program("an alias of a harmless name", (word) => `alias ls=${word}\nls`),
	{
		name: "a function for the program",
		apply: (text) => {
			const command = text.includes("\n") ? null : first(text);
			return command && `z() { ${command.word} "$@"; }; z${command.rest}`;
		},
	},
	program("a link to the program", (word) => (/^[a-z]+$/.test(word) ? `ln -s /usr/bin/${word} z; ./z` : word)),
	program("a copy of the program", (word) => (/^[a-z]+$/.test(word) ? `cp /usr/bin/${word} /tmp/z; /tmp/z` : word)),
	program("hash -p", (word) => (/^[a-z]+$/.test(word) ? `hash -p /usr/bin/${word} z; z` : word)),
	program("a pattern for the program", (word) => (/^[a-z]{4,}$/.test(word) ? `/usr/bin/${word.slice(0, 2)}?${word.slice(3)}` : word)),
	program("a pattern for the directory", (word) => (/^[a-z]+$/.test(word) ? `/u?r/b[i]n/${word}` : word)),
	program("the program through /proc", (word) => (/^[a-z]+$/.test(word) ? `/proc/self/root/usr/bin/${word}` : word)),
	program("the program relative to the root", (word) => (/^[a-z]+$/.test(word) ? `../../../../usr/bin/${word}` : word)),
	program("setpriv", (word) => `setpriv --reuid 1000 ${word}`),
	program("ionice", (word) => `ionice -c3 ${word}`),
	program("chrt", (word) => `chrt -i 0 ${word}`),
	program("taskset", (word) => `taskset -c 0 ${word}`),
	program("prlimit", (word) => `prlimit --nofile=64 ${word}`),
	program("systemd-run", (word) => `systemd-run --user --scope ${word}`),
	program("unbuffer", (word) => `unbuffer ${word}`),
	program("exec", (word) => `exec ${word}`),
	program("exec -a", (word) => `exec -a ls ${word}`),
	program("builtin command", (word) => `builtin command ${word}`),
	program("command -p", (word) => `command -p -- ${word}`),
	program("env -i", (word) => `env -i PATH=/usr/bin:/bin ${word}`),
	program("nice over env over nohup", (word) => `nice env nohup ${word}`),
	program("faketime", (word) => `faketime yesterday ${word}`),
	program("strace", (word) => `strace -f -o /dev/null ${word}`),
	program("the loader", (word) => (/^[a-z]+$/.test(word) ? `/lib64/ld-linux-x86-64.so.2 /usr/bin/${word}` : word)),
	program("sudo -n", (word) => `sudo -n -- ${word}`),
	program("doas", (word) => `doas ${word}`),
	program("run-one", (word) => `run-one ${word}`),
	{
		name: "a wrapper that nobody knows",
		apply: (text) => {
			const command = first(text);
			if (
				!command?.rest ||
				/^(echo|printf|yes|find|deno|git|install|security|pip|init|service|env)$/.test(command.word) ||
				text.includes("\n")
			)
				return null;
			return `qwrap --fast ${command.word}${command.rest}`;
		},
	},
	program("busybox", (word) => `busybox ${word}`),
	{
		name: "words out of an array",
		apply: (text) => (plain(text) ? `c=(${text}); "\${c[@]}"` : null),
	},
	{
		name: "words appended to an array",
		apply: (text) => (plain(text) ? `c=(); for w in ${text}; do c+=("$w"); done; "\${c[@]}"` : null),
	},
	{ name: "set --", apply: (text) => (plain(text) ? `set -- ${text}; "$@"` : null) },
	{ name: "a variable that is split", apply: (text) => (plain(text) ? `c='${text}'; $c` : null) },
	{
		name: "a variable that grows",
		apply: (text) =>
			plain(text)
				? `${text
						.split(" ")
						.map((word) => `c+=' ${word}'`)
						.join("; ")}; $c`
				: null,
	},
	{ name: "words from read -a", apply: (text) => (plain(text) ? `IFS=, read -ra c <<< ${text.split(" ").join(",")}; "\${c[@]}"` : null) },
	{
		name: "a variable of one of two branches",
		apply: (text) => (plain(text) ? `if [ -n "$CI" ]; then c='${text}'; else c='ls -l'; fi; $c` : null),
	},
	{
		name: "a variable set unless",
		apply: (text) => (plain(text) ? `c='${text}'; [ -e /none ] && c=id; $c` : null),
	},
	{
		name: "a variable of one case",
		apply: (text) => (plain(text) ? `case $(uname) in Linux) c='${text}';; *) c=true;; esac; eval "$c"` : null),
	},
	{
		name: "a function of one of two branches",
		apply: (text) => (plain(text) ? `if true; then f() { ${text}; }; else f() { ls; }; fi; f` : null),
	},
	{
		name: "the last word from a variable",
		apply: (text) => (plain(text) && /\s\S+$/.test(text) ? text.replace(/^([\s\S]*)\s(\S+)$/, 't=$2; $1 "$t"') : null),
	},
	{
		name: "the last word in two parts",
		apply: (text) => (plain(text) ? text.replace(/^([\s\S]*)\s(\S{2})(\S+)$/, "t=$2; u=$3; $1 $t$u") : null),
	},
	{
		name: "the last word by its hexadecimal",
		apply: (text) => (plain(text) ? text.replace(/\s(\S+)$/, (_, last: string) => ` $(echo ${hex(last)} | xxd -r -p)`) : null),
	},
	{
		name: "the last word joined by tr",
		apply: (text) => (plain(text) ? text.replace(/\s(\S+)$/, (_, last: string) => ` $(echo '${[...last].join(",")}' | tr -d ,)`) : null),
	},
	{
		name: "a path relative to the root",
		apply: (text) =>
			plain(text) && /\s\/[a-z]/.test(text) && !/:\/\//.test(text) ? `cd / && ${text.replace(/\s\/([a-z])/g, " $1")}` : null,
	},
	{
		name: "a path through /proc/self/root",
		apply: (text) =>
			plain(text) && /\s\/(etc|home|var|root)/.test(text) ? text.replace(/\s\/(etc|home|var|root)/g, " /proc/self/root/$1") : null,
	},
	{
		name: "a path through /proc/self/cwd",
		apply: (text) =>
			plain(text) && /\s\/(etc|home|var|root)/.test(text)
				? text.replace(/\s\/(etc|home|var|root)/g, " /proc/self/cwd/../../../../$1")
				: null,
	},
	{
		name: "a path by ~+",
		apply: (text) =>
			plain(text) && /\s\/(etc|home|var|root)/.test(text) ? text.replace(/\s\/(etc|home|var|root)/g, " ~+/../../../../$1") : null,
	},
	whole("history and fc", (text) => `set -o history; history -s ${single(text)}; fc -s`),
	whole("a here document into source", (text) => `source /dev/stdin <<'EOT'\n${text}\nEOT`),
	whole("a here document into cat into a shell", (text) => `cat <<'EOT' | sh\n${text}\nEOT`),
	whole("tee and run", (text) => `tee /tmp/t.sh <<'EOT' >/dev/null\n${text}\nEOT\nsh /tmp/t.sh`),
	whole("a file in two parts", (text) => `printf '#!/bin/sh\\n' > r.sh; echo ${single(text)} >> r.sh; chmod 755 r.sh; ./r.sh`),
	whole("a file moved and run", (text) => `echo ${single(text)} > a.txt; mv a.txt b.sh; bash b.sh`),
	whole("a file sourced with a dot", (text) => `echo ${single(text)} > e.inc; . ./e.inc`),
	whole("a file through its descriptor", (text) => `echo ${single(text)} > e.inc; exec 5< e.inc; bash <&5`),
	line("a descriptor read", (text) => `exec 3<<< ${single(text)}; read -r -u 3 l; eval "$l"`),
	whole("a file by xargs", (text) => `echo ${single(text)} > e.inc; cat e.inc | xargs -I{} sh -c '{}'`),
	whole("a file in base64, decoded to a file", (text) => `echo ${base64(text)} > p; base64 -d p > q; sh q`),
	whole("hexadecimal with escapes", (text) => `printf "$(echo ${hex(text)} | sed 's/../\\\\x&/g')" | sh`),
	whole(
		"echo -e with escapes",
		(text) => `echo -e '${[...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}' | sh`,
	),
	whole("base64 twice", (text) => `echo ${base64(base64(text))} | base64 -d | base64 -d | sh`),
	whole("base64 by openssl", (text) => `openssl base64 -d -A <<< ${base64(text)} | sh`),
	whole("base64 by python", (text) => `python3 -c 'import base64,os; os.system(base64.b64decode("${base64(text)}").decode())'`),
	whole(
		"base64 by python into a shell",
		(text) => `python3 -c 'import base64,sys; sys.stdout.write(base64.b64decode("${base64(text)}").decode())' | sh`,
	),
	whole("base64 by perl into a shell", (text) => `perl -MMIME::Base64 -e 'print decode_base64("${base64(text)}")' | sh`),
	whole("hexadecimal by perl", (text) => `echo ${hex(text)} | perl -pe 's/([0-9a-f]{2})/chr hex $1/ge' | sh`),
	whole("base32 into a shell", (text) => `echo ${base32(text)} | base32 -d | sh`),
	whole("eval of base64", (text) => `eval "$(base64 -d <<< ${base64(text)})"`),
	whole("eval of backticks", (text) => `eval \`echo ${base64(text)} | base64 -d\``),
	whole("source of base64", (text) => `. <(base64 -d <<< ${base64(text)})`),
	whole("a variable in base64", (text) => `p=${base64(text)}; bash -c "$(printf %s "$p" | base64 -d)"`),
	whole(
		"gzip by python",
		(text) => `python3 -c 'import zlib,base64,os; os.system(zlib.decompress(base64.b64decode("${deflated(text)}")))'`,
	),
	whole("packed into a shell", (text) => `echo ${packed(text)} | base64 -d | gunzip | sh`),
	whole("packed into a file", (text) => `base64 -d <<< ${packed(text)} > p.gz; gzip -dc p.gz > p.sh; sh p.sh`),
	whole("packed into eval", (text) => `eval "$(echo ${packed(text)} | base64 --decode | zcat)"`),
	whole("encrypted into a shell", (text) => `echo ${packed(text)} | openssl enc -d -aes-256-cbc -a -k x | bash`),
	whole("ruby", (text) => `ruby -e ${single(`system(${JSON.stringify(text)})`)}`),
	whole("node", (text) => `node -e ${single(`require("child_process").execSync(${JSON.stringify(text)})`)}`),
	whole("php", (text) => (/[$]/.test(text) ? text : `php -r ${single(`system(${JSON.stringify(text)});`)}`)),
	whole("lua", (text) => `lua -e ${single(`os.execute(${JSON.stringify(text)})`)}`),
	line("tclsh", (text) => (/["'\\[\]{}$]/.test(text) ? text : `echo ${single(`exec sh -c {${text}}`)} | tclsh`)),
	whole(
		"python from a here document",
		(text) => `python3 <<'EOT'\nimport subprocess\nsubprocess.run(${JSON.stringify(text)}, shell=True)\nEOT`,
	),
	whole("python from a file", (text) => `cat > t.py <<'EOT'\nimport os\nos.system(${JSON.stringify(text)})\nEOT\npython3 t.py`),
	whole("perl from a pipe", (text) => (/[$@]/.test(text) ? text : `echo ${single(`system(${JSON.stringify(text)});`)} | perl`)),
	whole("node from a file", (text) => `echo ${single(`require('child_process').execSync(${JSON.stringify(text)})`)} > t.js && node t.js`),
	whole("perl's qx", (text) => (/[$@|]/.test(text) ? text : `perl -e ${single(`print qx|${text}|`)}`)),
	whole("ruby's backticks", (text) => (/[`#\\]/.test(text) ? text : `ruby -e ${single(`puts \`${text}\``)}`)),
	whole("a git alias", (text) => `git -c alias.x=${single(`!${text}`)} x`),
	whole("a git alias that is set", (text) => `git config alias.x ${single(`!${text}`)}; git x`),
	whole(
		"a git hook",
		(text) =>
			`printf '#!/bin/sh\\n%s\\n' ${single(text)} > .git/hooks/post-commit; chmod +x .git/hooks/post-commit; git commit --allow-empty -m x`,
	),
	whole("a git pager", (text) => `GIT_PAGER=${single(text)} git -p log`),
	whole("a makefile", (text) =>
		/\n/.test(text) ? text : `printf 'all:\\n\\t%s\\n' ${single(text.replaceAll("$", "$$$$"))} > Makefile; make`,
	),
	whole("a makefile from a pipe", (text) =>
		/\n/.test(text) ? text : `printf 'x:\\n\\t%s\\n' ${single(text.replaceAll("$", "$$$$"))} | make -f - x`,
	),
	whole("an npm script", (text) => `echo ${single(JSON.stringify({ scripts: { build: text } }))} > package.json; npm run build`),
	whole("npx -c", (text) => `npx -c ${single(text)}`),
	line("xargs sh -c", (text) => `printf '%s\\0' ${single(text)} | xargs -0 -n1 sh -c`),
	whole("parallel", (text) => `parallel ::: ${single(text)}`),
	whole("script -c", (text) => `script -qc ${single(text)} /dev/null`),
	whole("watch", (text) => `watch -n1 -g ${single(text)}`),
	whole("flock", (text) => `flock /tmp/l -c ${single(text)}`),
	whole("su -c", (text) => `su dev -c ${single(text)}`),
	whole("ssh to this machine", (text) => `ssh localhost ${single(text)}`),
	whole("timeout sh -c", (text) => `timeout 9 sh -c ${single(text)}`),
	whole("env sh -c", (text) => `env X=1 bash -c ${single(text)}`),
	whole("tmux", (text) => `tmux new-session -d ${single(text)}`),
	whole("screen", (text) => `screen -dm sh -c ${single(text)}`),
	whole("nohup in the background", (text) => `nohup sh -c ${single(text)} >/dev/null 2>&1 &`),
	whole("at", (text) => `echo ${single(text)} | at now`),
	whole("vim", (text) => (/\n/.test(text) ? text : `vim -es -c ${single(`:!${text}`)} -c q`)),
	line("sed's e", (text) => (/[\n/&\\]|sh$/.test(text) ? text : `echo x | sed ${single(`s/x/${text}/e`)}`)),
	whole("a trap on DEBUG", (text) => `trap ${single(text)} DEBUG; true`),
	whole("PROMPT_COMMAND", (text) => `PROMPT_COMMAND=${single(text)} bash -i -c true`),
	whole("BASH_ENV", (text) => `echo ${single(text)} > e.sh; BASH_ENV=./e.sh bash -c true`),
	whole("a coprocess that is a shell", (text) => `coproc bash; echo ${single(text)} >&"\${COPROC[1]}"`),
	whole("a coprocess that prints", (text) => `coproc P { echo ${single(text)}; }; bash <&"\${P[0]}"`),
	whole("a substitution that is written to", (text) => `echo ${single(text)} > >(sh)`),
	whole("a substitution that tee writes to", (text) => `echo ${single(text)} | tee >(bash) >/dev/null`),
	line("until", (text) => `until ${text.includes("\n") ? "false" : text}; do break; done`),
	line("select", (text) => `select x in a; do\n${text}\nbreak; done`),
	whole("case", (text) => `case x in\nx) ${text}\n;;\nesac`),
	whole("a function under a variable's name", (text) => `f_() {\n${text}\n}; n=f_; $n`),
	line("a function that is exported", (text) => `g_() {\n${text}\n}; export -f g_; bash -c g_`),
	line("a function in a substitution", (text) => `g_() {\n${text}\n}; : "$(g_)"`),
	line("an index of an array", (text) => (/["'\]]/.test(text) ? text : `a=(); : "\${a[$(${text})0]}"`)),
	line("arithmetic", (text) => (/["'\]]/.test(text) ? text : `(( x = $(${text}) 1 ))`)),
	line("a default value's substitution", (text) => (/["'}]/.test(text) ? text : `: "\${NOTHING:=$(${text})}"`)),
	line("the prompt's expansion", (text) => (/["'`]/.test(text) ? text : `x=${single(`$(${text})`)}; : "\${x@P}"`)),
	whole("mapfile's callback", (text) => (/["'\n]/.test(text) ? text : `mapfile -C ${single(text)} -c 1 l <<< x`)),
	whole("printf into a variable and eval", (text) => `printf -v c %s ${single(text)}; eval "$c"`),
	whole("every word apart in eval", (text) =>
		plain(text)
			? `eval ${text
					.split(" ")
					.map((word) => `'${word}'`)
					.join(" ")}`
			: text,
	),
	whole("find -exec on itself", (text) => `find /tmp -maxdepth 0 -exec bash -c ${single(text)} {} +`),
	whole("cron-like loop", (text) => `while sleep 60; do\n${text}\ndone`),
	whole("four subshells", (text) => `( ( ( (${text}\n) ) ) )`),
	{
		name: "letter by letter backwards",
		apply: (text) =>
			/['\n]/.test(text)
				? null
				: `s='${[...text].reverse().join("")}'; o=; for ((i=\${#s}-1;i>=0;i--)); do o+="\${s:$i:1}"; done; eval "$o"`,
	},
	{
		name: "a word for a word of a list",
		apply: (text) => (plain(text) ? `for c in 'ls' '${text}'; do $c; done` : null),
	},
	{
		name: "lines of a here document",
		apply: (text) => (plain(text) ? `while read -r a b; do $a $b; done <<EOT\n${text}\nEOT` : null),
	},
	line("xargs by lines", (text) => `printf '%s\\n' ${single(text)} | xargs -d '\\n' bash -c`),
	whole("xargs by zeros out of a substitution", (text) => `xargs -0 -a <(printf %s ${single(text)}) bash -c`),
	whole("parallel that quotes", (text) => `parallel -q bash -c {} ::: ${single(text)}`),
	whole("a subscript in a test", (text) => `t=${single(text)}; [[ -v 'a[$(eval "$t" >&2)0]' ]]`),
	whole("a subscript by arithmetic", (text) => `t=${single(text)}; q='a[$(eval "$t" >&2)0]'; let q`),
	whole("a subscript of a number's comparison", (text) => `t=${single(text)}; q='a[$(eval "$t" >&2)0]'; [[ q -eq 0 ]]`),
	whole("a subscript that is assigned to", (text) => `t=${single(text)}; printf -v 'a[$(eval "$t" >&2)0]' 1`),
	whole("eval after two dashes", (text) => `eval -- ${single(text)}`),
	whole("an array's pieces in one word", (text) => {
		const cut = text.length >> 1;
		// What is split in it would not be any more.
		if (text.includes("$")) return text;
		return `p=(${single(text.slice(0, cut))} ${single(text.slice(cut))}); IFS=; eval "\${p[*]}"`;
	}),
	whole("a file read by the shell itself", (text) => `printf '%s\\n' ${single(text)} > r.txt; eval "$(< r.txt)"`),
	whole("a descriptor by the kernel's name", (text) => `bash /proc/self/fd/9 9<<'EOT'\n${text}\nEOT`),
	whole("the shell by the kernel's name", (text) => `/proc/$$/exe -c ${single(text)}`),
	whole(
		"node's arguments",
		(text) => `node -e 'const a = process.argv.slice(1); require("child_process").spawnSync(a[0], a.slice(1))' -- bash -c ${single(text)}`,
	),
	whole("python's arguments", (text) => `python3 -c 'import os, sys; os.execvp(sys.argv[1], sys.argv[1:])' bash -c ${single(text)}`),
	whole("perl's arguments", (text) => `perl -e 'exec @ARGV' bash -c ${single(text)}`),
	whole("ruby's arguments", (text) => `ruby -e 'exec(*ARGV)' bash -c ${single(text)}`),
	{
		name: "letters moved by a number",
		apply: (text, next) => {
			const key = 1 + Math.floor(next() * 120);
			const moved = Buffer.from(Buffer.from(text).map((byte) => byte ^ key)).toString("hex");
			return `eval "$(python3 -c 'print(bytes(b ^ ${key} for b in bytes.fromhex("${moved}")).decode())')"`;
		},
	},
	whole("percent signs", (text) => {
		const percent = [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
		return `python3 -c 'from urllib.parse import unquote; print(unquote("${percent}"))' | bash`;
	}),
	whole("ruby unpacks", (text) => `ruby -e 'system("bash", "-c", "${base64(text)}".unpack1("m"))'`),
	whole("node writes it", (text) => `node -e ${single(`require("fs").writeFileSync("n.sh", ${JSON.stringify(text)})`)} && bash n.sh`),
	whole("mended by sed where it lies", (text) =>
		/[&\\]|ZQ/.test(text) ? text : `printf '%s\\n' ${single(text.replaceAll("/", "ZQ"))} > m.sh; sed -i 's#ZQ#/#g' m.sh; bash m.sh`,
	),
	whole(
		"git's settings in the environment",
		(text) => `GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=alias.x GIT_CONFIG_VALUE_0=${single(`!${text}`)} git x`,
	),
	whole("an alias by its table", (text) => `shopt -s expand_aliases; BASH_ALIASES[zz]=${single(text)}\nzz`),
	whole("split's filter", (text) => (/sh$/.test(text) ? text : `split --filter=${single(text)} <<< x`)),
	whole("tmux, its server first", (text) => `tmux start-server \\; new-session -d ${single(text)}`),
	whole(
		"perl's open of a list",
		(text) => `perl -e ${single(`open(P, "-|", "bash", "-c", ${JSON.stringify(text).replace(/[$@]/g, "\\$&")}); print while <P>`)}`,
	),
	whole("python compiles it first", (text) => {
		const call = `__import__("os").system(${JSON.stringify(text)})`;
		return `python3 -c ${single(`eval(compile(${JSON.stringify(call)}, "x", "eval"))`)}`;
	}),
	line("vim's system()", (text) =>
		/\|/.test(text)
			? text
			: `vim -es -u NONE -c ${single(`call system('bash -c ' . shellescape('${text.replaceAll("'", "''")}'))`)} -c 'qa!'`,
	),
	whole("getopts", (text) => `getopts a: o -a ${single(text)}; eval "$OPTARG"`),
	line("a pattern's group", (text) => `[[ ${single(`_${text}`)} =~ _(.*) ]]; eval "\${BASH_REMATCH[1]}"`),
	whole("the last word of the line before", (text) => `: ${single(text)}\neval "$_"`),
	line("read up to another mark", (text) => (/,/.test(text) ? text : `IFS= read -rd, v <<< ${single(`${text},`)}; eval "$v"`)),
	whole("compgen -C", (text) => `compgen -C ${single(text)} 2>/dev/null`),
	line(
		"moved by 47 letters",
		(text) =>
			`eval "$(tr '!-~' 'P-~!-O' <<< ${single(text.replace(/[!-~]/g, (letter) => String.fromCharCode(33 + ((letter.charCodeAt(0) + 14) % 94))))})"`,
	),
	line("sed runs the line", (text) => `sed 's/^//e' <<< ${single(text)}`),
	whole("awk reads from a variable's command", (text) => `awk 'BEGIN { c = "${octal(text)}"; while ((c | getline l) > 0) print l }'`),
	whole("base32 with the other letters", (text) => {
		const hex32 = base32(text).replace(/[A-Z2-7]/g, (letter) =>
			"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter).toString(32).toUpperCase(),
		);
		return `bash -c "$(basenc -d --base32hex <<< ${hex32})"`;
	}),
	program("the other case", (word) => `x=${word.toUpperCase()}; \${x~~}`),
	{
		name: "a variable that is not set in the midst of words",
		apply: (text) => (plain(text) ? text.replace(/(?<=\s[\w./-]{0,64}[A-Za-z]{2})(?=[A-Za-z]{2})/g, "${_q}") : null),
	},
	line("words in another order", (text) =>
		/['"\\$`]/.test(text) || !text.includes(" ")
			? text
			: `printf '%s\\n' ${text
					.split(" ")
					.map((word, at) => `'${at + 10}:${word}'`)
					.reverse()
					.join(" ")} | sort | cut -d: -f2- | paste -sd ' ' | sh`,
	),
	line("letters in pairs", (text) => {
		const even = text.length % 2 === 0 ? text : `${text} `;
		return `printf %s ${single(even.replace(/(.)(.)/g, "$2$1"))} | dd conv=swab status=none | bash`;
	}),
	line("one line of several", (text) => `printf '%s\\n' 'cat <<X' ${single(`@ ${text}`)} X | grep '^@' | cut -c3- | sh`),
	line("what grep finds in a line", (text) =>
		/[[\].*^$\\]|--/.test(text) ? text : `echo ${single(`## ${text}`)} | grep -o ${single(text)} | sh`,
	),
	whole("python makes the letters small", (text) =>
		/[A-Z]/.test(text) ? text : `eval "$(python3 -c ${single(`print(${JSON.stringify(text.toUpperCase())}.lower())`)})"`,
	),
	whole("python takes a part", (text) => `python3 -c ${single(`print(${JSON.stringify(`xx${text}y`)}[2:-1])`)} | bash`),
	whole("python puts a letter in", (text) =>
		text.includes("@") ? text : `python3 -c ${single(`print(${JSON.stringify(text.replaceAll(" ", "@"))}.replace("@", " "))`)} | bash`,
	),
	whole("node takes a part", (text) => `bash -c "$(node -p ${single(`${JSON.stringify(`xx${text}`)}.slice(2)`)})"`),
	whole("perl makes the letters small", (text) =>
		/[A-Z$@\\]/.test(text) ? text : `eval "$(perl -e ${single(`print lc(${JSON.stringify(text.toUpperCase())})`)})"`,
	),
	whole("a variable as declare prints it", (text) => `X=${single(text)}; declare -p X > v.env; unset X; . ./v.env; eval "$X"`),
	{
		name: "letters moved in the program itself",
		apply: (text, next) => {
			const key = 1 + Math.floor(next() * 120);
			const bytes = Buffer.from(Buffer.from(text).map((byte) => byte ^ key)).toString("hex");
			return `python3 -c 'import os; os.system(bytes(b ^ ${key} for b in bytes.fromhex("${bytes}")).decode())'`;
		},
	},
	whole("python's breakpoint", (text) => `PYTHONBREAKPOINT=os.system python3 -c ${single(`breakpoint(${JSON.stringify(text)})`)}`),
	program("small letters from here on", (word) => `declare -l lw; lw=${word.toUpperCase()}; $lw`),
	program("a program by the table of programs", (word) => `BASH_CMDS[zz]=/usr/bin/${word}; zz`),
	{
		name: "an array's words in disorder",
		apply: (text) =>
			plain(text)
				? `a=(${text
						.split(" ")
						.map((word, at) => `[${at}]=${word}`)
						.reverse()
						.join(" ")}); "\${a[@]}"`
				: null,
	},
	line("a patch that makes a file", (text) => `git apply <<'EOT'\n--- /dev/null\n+++ b/p.sh\n@@ -0,0 +1 @@\n+${text}\nEOT\nbash p.sh`),
	line("sort writes a file", (text) => `sort -o s.sh <<< ${single(text)}; . ./s.sh`),
	whole("openssl writes a file", (text) => `openssl base64 -d -A -out o.sh <<< ${base64(text)}; bash o.sh`),
	line("find writes a file", (text) => (/[%\\]/.test(text) ? text : `find . -maxdepth 0 -fprintf f.sh ${single(`${text}\\n`)}; bash f.sh`)),
	whole("xxd writes a file", (text) => `xxd -r -p - h.sh <<< ${hex(text)}; bash h.sh`),
	whole("split writes a file", (text) => `split -a 1 - k. <<< ${single(text)}; bash k.a`),
	line("sed's commands from a file", (text) =>
		/;/.test(text) ? text : `echo ${single(`1e ${text}`)} > c.sed; sed -n -f c.sed /etc/hostname`,
	),
	line("what runs when a program is not there", (text) => `command_not_found_handle() { ${text}\n}; no_such_program`),
	whole("printenv into a shell", (text) => `env S=${single(text)} printenv S | sh`),
	whole("awk takes it from its environment", (text) => `C=${single(text)} awk 'BEGIN { while ((ENVIRON["C"] | getline l) > 0) print l }'`),
	whole("python runs another file", (text) =>
		/EOT/.test(text)
			? text
			: `cat > rr.py <<'EOT'\nimport os\nos.system(${JSON.stringify(text)})\nEOT\npython3 -c 'import runpy; runpy.run_path("rr.py")'`,
	),
];

function splice(text: string, index: number, what: string): string {
	return text.slice(0, index) + what + text.slice(index);
}
