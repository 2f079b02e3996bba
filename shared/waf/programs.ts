import { literalsOf } from "./code.ts";
import { base32HexText, base32Text, base64Text, hexText } from "./encodings.ts";
import { homeOf, located, readRule } from "./paths.ts";
import { lineExpression, printedBy, substituted, turnedBy, turnedUnknown } from "./printed.ts";
import { type Call, isLoopback, Options } from "./rules/rule.ts";
import { escapes, FETCHED, globMatches, isKnown, marksOf, PACKED, PRIVATE, quoted, UNKNOWN } from "./words.ts";

/*
 * What programs print, where it can be said without running them. This is what makes `echo ... | base64 -d | sh` readable.
 */

/** What a program writes to its standard output; marks, as far as it is not known. */
export function outputOf(call: Call): string {
	// Processes that hold keys or take passwords: whoever looks into them gets those.
	if (/^(pgrep|pidof)$/.test(call.name) && call.args.some((arg) => KEY_HOLDER.test(arg))) return UNKNOWN + PRIVATE;
	const program = Object.hasOwn(PROGRAMS, call.name) ? PROGRAMS[call.name] : undefined;
	call.spend((call.stdin?.length ?? 0) >> 3);
	return program ? program(call) : call.stdin === null ? UNKNOWN : turnedUnknown(call.stdin);
}

const KEY_HOLDER = /^(sshd?|ssh-agent|gpg-agent|login|sudo|passwd|gnome-keyring.{0,16}|keepassxc|vault)$/;

type Program = (call: Call) => string;

/** Content of the files that a filter names, or of its standard input. */
function inputOf(call: Call, files: readonly string[]): string {
	if (files.length === 0 || (files.length === 1 && files[0] === "-")) return call.stdin ?? UNKNOWN;
	const text = files.map((file) => (file === "-" ? (call.stdin ?? UNKNOWN) : (call.file(file) ?? UNKNOWN))).join("");
	call.spend(text.length >> 3);
	return text;
}

/** A filter that turns known text into other text; what is not known stays so. */
const filter =
	(withValue: string, turn: (text: string, options: Options) => string | undefined, filesFrom = 0): Program =>
	(call) => {
		const options = new Options(call.args, withValue);
		const text = inputOf(call, options.operands.slice(filesFrom));
		return isKnown(text) ? (turn(text, options) ?? turnedUnknown(text)) : UNKNOWN + marksOf(text);
	};

/** A filter that gives back lines as they came, at least of its standard input; `skip` operands are no files. */
const kept =
	(withValue: string, skip = 0): Program =>
	(call) => {
		const options = new Options(call.args, withValue);
		const files = options.operands.slice(options.has("-e", "-f") ? 0 : skip);
		if (options.has("-c", "-q", "-o", "--count", "--quiet", "--only-matching")) return UNKNOWN + marksOf(call.stdin ?? "");
		if (files.length > 0 && files[0] !== "-") {
			const text = inputOf(call, files);
			return skip === 0 && isKnown(text) ? text : UNKNOWN + marksOf(text);
		}
		// Of everything that lies there, what a pattern picks.
		const picks = skip === 1 && !options.has("-v", "--invert-match") && /\w{2}/.test(options.operands[0] ?? "");
		return picks ? (call.stdin ?? UNKNOWN).replaceAll("/**", "/") : (call.stdin ?? UNKNOWN);
	};

/** `grep PATTERN` of known lines: those that match, or what matches in them. */
function picked(call: Call): string {
	const options = new Options(call.args, "-e -f -A -B -C -m -g --regexp");
	const [pattern = "", ...files] = options.has("-e", "--regexp", "-f")
		? [options.value("-e", "--regexp") ?? "", ...options.operands]
		: options.operands;
	const text = inputOf(call, files);
	if (!isKnown(text) || files.length > 1 || options.has("-c", "-q", "-l", "-L", "--count", "--quiet"))
		return kept("-e -f -A -B -C -m -g", 1)(call);
	const extended = /^(egrep|rg)$/.test(call.name) || options.has("-E", "-P", "--extended-regexp", "--perl-regexp");
	const expression = lineExpression(pattern, options.has("-F", "--fixed-strings"), extended, options.has("-i", "--ignore-case"));
	if (!expression || options.has("-A", "-B", "-C", "-m", "-f", "-w", "-x", "-z")) return turnedUnknown(text);
	// Letter by letter, a text costs more than by lines.
	if (options.has("-o", "--only-matching")) call.spend(text.length >> 2);
	const found = lines(text).filter((line) => expression.test(line) !== options.has("-v", "--invert-match"));
	const parts = options.has("-o", "--only-matching") ? found.flatMap((line) => line.match(new RegExp(expression, "g")) ?? []) : found;
	return parts
		.filter((part) => part !== "" || !options.has("-o"))
		.map((part) => `${part}\n`)
		.join("");
}

/** Lines in sort's order, by the bytes or by numbers; undefined: in another one. */
function sorted(all: readonly string[], options: Options): string | undefined {
	if (options.has("-R", "--random-sort", "-h", "-M", "-V", "-d", "-f", "-i", "-z")) return undefined;
	const key = /^(\d{1,2})(?:,\d{1,2})?([nr]{0,2})$/.exec(options.value("-k", "--key") ?? "1");
	if (!key) return undefined;
	const separator = options.value("-t", "--field-separator");
	const keyed = options.has("-k", "--key");
	const keyOf = (line: string): string => (keyed ? (line.trim().split(separator ?? /[ \t]+/)[Number(key[1]) - 1] ?? "") : line);
	const numbers = options.has("-n", "-g", "--numeric-sort") || key[2]?.includes("n");
	const order = (a: string, b: string): number => {
		const [left, right] = [keyOf(a), keyOf(b)];
		const by = numbers ? (Number.parseFloat(left) || 0) - (Number.parseFloat(right) || 0) : left < right ? -1 : left > right ? 1 : 0;
		return by !== 0 ? by : a < b ? -1 : a > b ? 1 : 0;
	};
	const result = [...all].sort(order);
	if (options.has("-r", "--reverse") || key[2]?.includes("r")) result.reverse();
	return `${(options.has("-u", "--unique") ? result.filter((line, at) => line !== result[at - 1]) : result).join("\n")}\n`;
}

/** Whether `find` picks by more than the kind and the depth. */
export const isNarrow = (args: readonly string[]): boolean =>
	args.some(
		(arg, at) =>
			/^-(name|iname|path|ipath|wholename|regex|iregex|mtime|mmin|ctime|atime|amin|newer|size|empty|user|perm|inum|samefile|links)/.test(
				arg,
			) && !/^(\*{0,3}|\+0)$/.test(args[at + 1] ?? ""),
	);

/** Names that are looked for only by who wants what is in them. */
const SECRET_NAMES = [
	"id_rsa",
	"id_ed25519",
	"id_ecdsa",
	"credentials",
	"shadow",
	".netrc",
	".git-credentials",
	".pgpass",
	".gnupg",
	".ssh",
	".aws",
	"logins.json",
	"key4.db",
	"accessTokens.json",
	"msal_token_cache.json",
	"access_tokens.db",
	"application_default_credentials.json",
	"wallet.dat",
	"keystore.jks",
	".pypirc",
	".azure",
	".docker",
	".password-store",
	"id_dsa",
	"Cookies",
	"Login Data",
	"auth.json",
	"hosts.yml",
	".vault-token",
	".bash_history",
	".env",
	".npmrc",
	".kube",
];
/** The secrets that `find` would find, each at the place where it lies. */
export function secretsFound(args: readonly string[], start: string): string[] {
	const wanted = args.flatMap((arg, at) =>
		/^-i?(name|path|wholename|regex)$/.test(args[at - 1] ?? "") ? arg.split("/").map((part) => part.replaceAll(".*", "*")) : [],
	);
	if (!/^(\/|\/(home|root|etc|Users)|\/(home|Users)\/[^/]{1,64}|~)\/?$/.test(start)) return [];
	return SECRET_NAMES.filter((name) =>
		wanted.some((pattern) => pattern.replace(/\*/g, "").length > 3 && isKnown(pattern) && globMatches(pattern, name)),
	).map((name) =>
		name === "shadow"
			? "/etc/shadow"
			: `/root/${name.startsWith("id_") ? ".ssh/" : name === "credentials" ? ".aws/" : /^(logins|key4)/.test(name) ? ".mozilla/firefox/x/" : ""}${name}`,
	);
}

const lines = (text: string): string[] => text.replace(/\n$/, "").split("\n");
const silent: Program = () => "";

const format: Program = (call) => {
	const [form = "", ...values] = call.args[0] === "--" ? call.args.slice(1) : call.args;
	const rest = [...values];
	let output = "";
	let turns = 0;
	do {
		const before = rest.length;
		output += form.replace(
			/%([-+ 0#]{0,5}[0-9*]{0,6}(?:\.[0-9]{0,6})?)([sbqdiuxXoceEfgGc%])|\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|[0-7]{1,3}|[abefnrtv\\'"c])/g,
			(whole, width: string | undefined, kind: string | undefined) => {
				if (kind === undefined) return escapes(whole);
				if (kind === "%") return "%";
				const value = rest.shift() ?? "";
				if (kind === "b") return escapes(value);
				if (kind === "c") return value.charAt(0);
				if (kind === "q") return quoted(value);
				if (kind === "s") {
					const cut = /\.([0-9]{1,4})$/.exec(width ?? "");
					return cut ? value.slice(0, Number(cut[1])) : value;
				}
				if (!isKnown(value)) return UNKNOWN;
				const number = /^['"]./.test(value)
					? (value.codePointAt(1) ?? 0)
					: Number(/^0[0-7]{1,8}$/.test(value) ? `0o${value.slice(1)}` : value);
				if (Number.isNaN(number)) return "0";
				const pad = Number(/^0([0-9]{1,2})/.exec(width ?? "")?.[1] ?? 0);
				return (
					kind === "x"
						? number.toString(16)
						: kind === "X"
							? number.toString(16).toUpperCase()
							: kind === "o"
								? number.toString(8)
								: String(number)
				).padStart(pad, "0");
			},
		);
		if (rest.length === before) break;
	} while (rest.length > 0 && ++turns < 4096 && output.length < 65_536);
	return output;
};

/** `tr`'s sets: ranges, escapes, the classes that matter. */
function characters(set: string): string[] {
	const text = escapes(
		set
			.replaceAll("[:lower:]", "a-z")
			.replaceAll("[:upper:]", "A-Z")
			.replaceAll("[:digit:]", "0-9")
			.replaceAll("[:alpha:]", "A-Za-z")
			.replaceAll("[:alnum:]", "A-Za-z0-9")
			.replaceAll("[:space:]", " \t\n\r\v\f")
			.replaceAll("[:blank:]", " \t"),
	).replace(/\\([^\\])/g, "$1");
	const all: string[] = [];
	for (let index = 0; index < text.length && all.length < 1024; index++) {
		if (text.charAt(index + 1) === "-" && index + 2 < text.length) {
			const last = Math.min(text.charCodeAt(index + 2), text.charCodeAt(index) + 255);
			for (let code = text.charCodeAt(index); code <= last; code++) all.push(String.fromCharCode(code));
			index += 2;
		} else all.push(text.charAt(index));
	}
	return all;
}

const translate: Program = (call) => {
	const options = new Options(call.args);
	const text = call.stdin ?? UNKNOWN;
	if (!isKnown(text)) return UNKNOWN + marksOf(text);
	const [from = "", to = ""] = options.operands;
	const first = new Set(characters(from));
	const complement = options.has("-c", "-C", "--complement");
	const within = (character: string): boolean => first.has(character) !== complement;
	if (options.has("-d", "--delete")) return [...text].filter((character) => !within(character)).join("");
	if (complement) return UNKNOWN;
	return options.has("-s", "--squeeze-repeats") && to === ""
		? [...text].filter((character, index, all) => !first.has(character) || all[index - 1] !== character).join("")
		: translated(text, from, to);
};

const stream: Program = (call) => {
	const options = new Options(call.args, "-e --expression -f --file");
	const given = options.values("-e", "--expression");
	const scripts = given.length > 0 ? given : options.operands.slice(0, 1);
	const files = options.operands.slice(given.length > 0 ? 0 : 1);
	const edited = (text: string): string => {
		if (!isKnown(text)) return UNKNOWN + marksOf(text);
		let result = text;
		for (const one of scripts.flatMap(statements)) {
			const next = edit(result, one, options.has("-n", "--quiet", "--silent"), options.has("-E", "-r", "--regexp-extended"));
			if (next === undefined || next.length > 65_536) return turnedUnknown(text);
			result = next;
		}
		return result;
	};
	if (!options.has("-i", "--in-place")) return edited(inputOf(call, files));
	// What this script has written and edits now.
	for (const file of files.slice(0, 16)) {
		const content = call.file(file);
		if (content !== undefined) call.wrote(file, edited(content));
	}
	return "";
};

/** sed's commands of one text; what stands between its marks is left whole. */
function statements(script: string): string[] {
	if (/^\s{0,8}[sy][^A-Za-z0-9\\\s]/.test(script)) {
		const parts = marked(script.trim());
		const rest = parts?.[3]?.indexOf(";") ?? -1;
		if (parts && rest >= 0) {
			const first = script.trim().slice(0, script.trim().length - (parts[3]?.length ?? 0) + rest);
			return [first, ...statements(script.trim().slice(first.length + 1))].slice(0, 64);
		}
		return [script.trim()];
	}
	const end = script.search(/[;\n]/);
	return end < 0 ? [script.trim()] : [script.slice(0, end).trim(), ...statements(script.slice(end + 1))].slice(0, 64);
}

/** `s/a/b/g` in its parts: the letter, the pattern, the replacement, the flags. */
function marked(text: string): [string, string, string, string] | undefined {
	const mark = text.charAt(1);
	const parts = [""];
	for (let at = 2; at < text.length; at++) {
		if (parts.length < 3 && text.charAt(at) === "\\" && at + 1 < text.length) {
			const next = text.charAt(++at);
			parts[parts.length - 1] += next === mark && !/[&\\.*[\]^$]/.test(mark) ? next : `\\${next}`;
		} else if (parts.length < 3 && text.charAt(at) === mark) parts.push("");
		else parts[parts.length - 1] += text.charAt(at);
	}
	return parts.length === 3 ? [text.charAt(0), parts[0] ?? "", parts[1] ?? "", parts[2] ?? ""] : undefined;
}

/** What one of sed's commands makes of a text. */
export function edit(text: string, command: string, quiet: boolean, extended: boolean): string | undefined {
	if (command === "") return text;
	const line = /^(\d{1,6}|\$)([pd])$/.exec(command);
	if (line) {
		const all = lines(text);
		const at = line[1] === "$" ? all.length - 1 : Number(line[1]) - 1;
		if (line[2] === "d") return `${all.filter((_, index) => index !== at).join("\n")}\n`;
		return quiet ? `${all[at] ?? ""}\n` : undefined;
	}
	if (quiet && command === "p") return text;
	const parts = /^[sy][^A-Za-z0-9\\\s]/.test(command) ? marked(command) : undefined;
	if (!parts) return undefined;
	const [letter, pattern, replacement, flags] = parts;
	if (letter === "y") return translated(text, pattern, replacement);
	// `s/^/x/`, `s/$/x/`: before or after every line.
	if (/^[\^$]$/.test(pattern) && !/[&\\]/.test(replacement))
		return lines(text)
			.map((one) => (pattern === "^" ? replacement + one : one + replacement))
			.join("\n");
	return substituted(text, pattern, replacement, flags, extended);
}

const translated = (text: string, from: string, to: string): string => {
	const target = characters(to);
	const map = new Map(characters(from).map((character, index) => [character, target[Math.min(index, target.length - 1)] ?? character]));
	return [...text].map((character) => map.get(character) ?? character).join("");
};

function cut(text: string, options: Options): string | undefined {
	if (options.has("--complement", "--output-delimiter")) return undefined;
	const list = options.value("-c", "-b", "-f", "--characters", "--bytes", "--fields");
	if (list === undefined) return undefined;
	const ranges = list.split(",", 64).map((range) => {
		const [from = "", to] = range.split("-");
		return { from: Number(from || 1), to: to === undefined ? Number(from) : to === "" ? Number.POSITIVE_INFINITY : Number(to) };
	});
	const wanted = (index: number): boolean => ranges.some(({ from, to }) => index + 1 >= from && index + 1 <= to);
	const delimiter = options.value("-d", "--delimiter") || "\t";
	return `${lines(text)
		.map((line) => {
			if (!options.has("-f", "--fields")) return [...line].filter((_, index) => wanted(index)).join("");
			return line.includes(delimiter)
				? line
						.split(delimiter)
						.filter((_, index) => wanted(index))
						.join(delimiter)
				: line;
		})
		.join("\n")}\n`;
}

const copied: Program = filter("", (text) => text);

/** What a program text prints: out of its own strings, or out of its input. */
function printed(call: Call): string {
	const text =
		call.args.find(
			(arg, at) => !arg.startsWith("-") && (/^-[a-zA-Z]{1,4}$/.test(call.args[at - 1] ?? "") || /awk$|^jq$/.test(call.name)),
		) ?? "";
	if (text === "" || text.length > 4096) return call.stdin === null ? UNKNOWN : turnedUnknown(call.stdin);
	call.spend(16 + (text.length >> 2));
	const fields = /awk$/.test(call.name) && call.stdin !== null && isKnown(text) && isKnown(call.stdin) ? awkFields(call, text) : undefined;
	if (fields !== undefined) return fields;
	const own = isKnown(text)
		? printedBy(text, literalsOf(text, call.name, true), call.name, /^(-p|--print|-pe)$/.test(call.args[0] ?? ""))
		: undefined;
	if (own !== undefined) return `${own}\n`;
	if (call.stdin === null) return UNKNOWN;
	// `perl -pe 's/a/b/'`, `perl -pe 'tr/a-z/b-za/'`
	const parts = /^\s{0,4}(s|y|tr)([/|!#,])/.exec(text);
	const command = parts && isKnown(call.stdin) ? marked(text.trim().replace(/^tr/, "y").replace(/;$/, "")) : undefined;
	if (command && call.name === "perl" && !/e/.test(command[3])) {
		const edited =
			command[0] === "y"
				? translated(call.stdin, command[1], command[2])
				: substituted(call.stdin, command[1], command[2], command[3], true);
		if (edited !== undefined) return edited;
	}
	return turnedBy(text, call.stdin);
}

/** `awk '{print $2}'`, `awk -F: '{print $1 "/" $NF}'`: fields and strings of each line, and nothing else. */
function awkFields(call: Call, program: string): string | undefined {
	const print = /^\s{0,4}(?:NR\s{0,2}==\s{0,2}(\d{1,3})\s{0,2})?\{\s{0,4}print(?:\s{1,4}|(?=["}$]))([^{}();|>]{0,256})\}\s{0,4}$/.exec(
		program,
	);
	if (!print) return /^\s{0,4}1\s{0,4}$/.test(program) ? (call.stdin ?? undefined) : undefined;
	const parts = (print[2] ?? "").match(/\$\d{1,3}|\$NF|"(?:[^"\\]|\\.){0,256}"|,|[^\s]/g) ?? ["$0"];
	if (parts.some((part) => !/^(\$|"|,)/.test(part))) return undefined;
	const separator = new Options(call.args, "-F -v -f").value("-F", "--field-separator");
	if (separator !== undefined && separator.length !== 1) return undefined;
	return `${lines(call.stdin ?? "")
		.filter((_, at) => print[1] === undefined || at + 1 === Number(print[1]))
		.map((line) => {
			const fields = separator === undefined || separator === " " ? line.trim().split(/[ \t]+/) : line.split(separator);
			return parts
				.map((part) =>
					part === ","
						? " "
						: part.startsWith('"')
							? escapes(part.slice(1, -1))
							: part === "$NF"
								? (fields.at(-1) ?? "")
								: part === "$0"
									? line
									: (fields[Number(part.slice(1)) - 1] ?? ""),
				)
				.join("");
		})
		.join("\n")}\n`;
}

/** What is packed or encrypted in this text: what comes out of it nobody has read. */
const unpacked: Program = (call) => {
	const options = new Options(call.args, "-in -out -k -K -iv -pass -S -md -o --output --passphrase --passphrase-file -i --identity -x");
	const given = call.args.flatMap((arg, at) => (/^(-in|-i)$/.test(call.args[at - 1] ?? "") ? [arg] : []));
	const own = options.operands.filter((arg) => arg !== "enc" && call.file(arg) !== undefined);
	const text = inputOf(call, given.length > 0 ? given : own);
	const plain = isKnown(text) ? UNKNOWN + PACKED : UNKNOWN + marksOf(text);
	const target = call.args.find((_, at) => /^(-out|-o|--output)$/.test(call.args[at - 1] ?? ""));
	if (target !== undefined) call.wrote(target, plain);
	// In place: `gunzip x.gz` makes x of it.
	else for (const file of own) if (/\.\w{1,4}$/.test(file)) call.wrote(file.replace(/\.\w{1,4}$/, ""), plain);
	return plain;
};

/** `head -c 3`, `tail -n 1`, `head -5`. */
const part =
	(end: "head" | "tail"): Program =>
	(call) => {
		const args = call.args.map((arg) => (/^-[0-9]{1,9}$/.test(arg) ? `-n${arg.slice(1)}` : arg));
		const options = new Options(args, "-n -c --lines --bytes");
		const text = inputOf(call, options.operands);
		if (!isKnown(text)) return UNKNOWN + marksOf(text);
		const bytes = options.value("-c", "--bytes");
		const given = bytes ?? options.value("-n", "--lines") ?? "10";
		const count = Number(given);
		if (Number.isNaN(count)) return UNKNOWN;
		const all: readonly string[] = bytes === undefined ? lines(text) : [...text];
		const glue = bytes === undefined ? "\n" : "";
		if (end === "head") return all.slice(0, count).join(glue) + glue;
		return (/^\+/.test(given) ? all.slice(count - 1) : all.slice(count === 0 ? all.length : -Math.abs(count))).join(glue) + glue;
	};

const which: Program = (call) => {
	const options = new Options(call.args);
	return options.operands.map((name) => `${/^[A-Za-z0-9_.+-]{1,64}$/.test(name) ? `/usr/bin/${name}` : UNKNOWN}\n`).join("");
};

/** Ending these is ending the machine's defence, or the machine. */
const SYSTEM_PROCESS =
	/^(auditd|rsyslogd|syslogd|systemd|init|falcon-sensor|osqueryd|dockerd|containerd|sshd|hotplex.{0,16}|clamd|wazuh.{0,16}|fail2ban-server|crond?)$/;

const PROGRAMS: Record<string, Program> = {
	echo: (call) => {
		let args = call.args;
		let escaped = false;
		let newline = "\n";
		while (/^-[neE]{1,3}$/.test(args[0] ?? "")) {
			if (args[0]?.includes("e")) escaped = true;
			if (args[0]?.includes("n")) newline = "";
			args = args.slice(1);
		}
		// dash's echo takes escapes as they are; bash's does with -e only. Either may read it.
		return (escaped ? escapes(args.join(" ")) : args.join(" ")) + newline;
	},
	printf: format,
	cat: (call) => {
		const [file, more] = new Options(call.args).operands;
		// A program of the system, copied byte by byte.
		if (file !== undefined && more === undefined && /^(\/usr)?(\/local)?\/s?bin\/[\w.+-]{1,64}$/.test(file)) return `\x7f${file}`;
		return copied(call);
	},
	...Object.fromEntries("python perl ruby php node lua awk gawk mawk jq".split(" ").map((name) => [name, printed])),
	...Object.fromEntries(
		"gunzip zcat xzcat unxz bzcat bunzip2 zstdcat unzstd lz4cat unlz4 lzcat unlzma uncompress uudecode funzip unzip gpg gpg2 age ccdecrypt"
			.split(" ")
			.map((name) => [name, unpacked]),
	),
	...Object.fromEntries(
		"gzip xz bzip2 zstd lz4 lzma brotli pigz lzip ccrypt lzop"
			.split(" ")
			.map((name) => [
				name,
				(call: Call) => (call.args.some((arg) => /^-[a-z]{0,4}d|^--(decompress|uncompress|decrypt)$/.test(arg)) ? unpacked(call) : UNKNOWN),
			]),
	),
	// What it prints again and again, once.
	yes: (call) => `${call.args.length > 0 ? call.args.join(" ") : "y"}\n`,
	expand: filter("-t", (text) => text.replaceAll("\t", "        ")),
	unexpand: filter("-t", (text) => text),
	nl: () => UNKNOWN,
	date: (call) => (/^\+[^%]{1,64}$/.test(call.args[0] ?? "") ? `${call.args[0]?.slice(1)}\n` : UNKNOWN),
	expr: (call) => {
		const [verb, text = "", from = "", count = ""] = call.args;
		if (verb === "substr") return `${text.slice(Number(from) - 1, Number(from) - 1 + Number(count))}\n`;
		// `expr TEXT : 'x\(.*\)'`: what the brackets find.
		if (text === ":" || verb === "match") {
			const [subject = "", pattern = ""] = text === ":" ? [verb, from] : [text, from];
			const bare = pattern.replace(/\\[()]/g, "");
			const [before = "", inside = "", behind = ""] = pattern.split(/\\[()]/);
			if (bare.length === pattern.length || !/^[^*[\\.]*$/.test(before + behind) || !/^(\.\*|[^*[\\.]*)$/.test(inside)) return UNKNOWN;
			if (!subject.startsWith(before) || !subject.endsWith(behind)) return "\n";
			return `${subject.slice(before.length, subject.length - behind.length)}\n`;
		}
		return verb === "length" && isKnown(text) ? `${text.length}\n` : UNKNOWN;
	},
	dd: (call) => {
		const file = call.args.find((arg) => arg.startsWith("if="))?.slice(3);
		const text = inputOf(call, file === undefined ? [] : [file]);
		if (!isKnown(text) || call.args.some((arg) => arg.startsWith("of="))) return UNKNOWN + marksOf(text);
		const value = (key: string): number => Number(call.args.find((arg) => arg.startsWith(`${key}=`))?.slice(key.length + 1) ?? Number.NaN);
		const from = (value("skip") || 0) * (value("bs") || 512);
		const part = text.slice(from, Number.isNaN(value("count")) ? undefined : from + value("count") * (value("bs") || 512));
		const turns =
			call.args
				.find((arg) => arg.startsWith("conv="))
				?.slice(5)
				.split(",") ?? [];
		let result = part;
		for (const turn of turns)
			if (turn === "lcase") result = result.toLowerCase();
			else if (turn === "ucase") result = result.toUpperCase();
			else if (turn === "swab") result = result.replace(/([\s\S])([\s\S])/g, "$2$1");
			else if (!/^(notrunc|noerror|sync|fsync|fdatasync|nocreat|excl)$/.test(turn)) return turnedUnknown(text);
		return result;
	},
	tac: filter("-s --separator", (text, options) => {
		const separator = options.value("-s", "--separator");
		if (separator === undefined) return `${lines(text).reverse().join("\n")}\n`;
		if (separator === "" || options.has("-r", "-b", "--regex", "--before")) return undefined;
		// Each part ends with it.
		return (text.match(new RegExp(`[\\s\\S]*?(?:${separator.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}|$)`, "g")) ?? []).reverse().join("");
	}),
	rev: filter(
		"",
		(text) =>
			`${lines(text)
				.map((line) => [...line].reverse().join(""))
				.join("\n")}\n`,
	),
	base64: filter("-w --wrap", (text, options) => {
		if (!options.has("-d", "-D", "--decode")) return undefined;
		return base64Text(options.has("-i", "--ignore-garbage") ? text.replace(/[^A-Za-z0-9+/=]/g, "") : text);
	}),
	base32: filter("-w --wrap", (text, options) => (options.has("-d", "--decode") ? base32Text(text) : undefined)),
	basenc: filter("-w --wrap", (text, options) => {
		if (!options.has("-d", "--decode")) return undefined;
		if (options.has("--base32")) return base32Text(text);
		if (options.has("--base32hex")) return base32HexText(text);
		if (options.has("--base2msbf", "--base2lsbf", "--z85", "--base58")) return PACKED;
		return options.has("--base16") ? hexText(text) : base64Text(text);
	}),
	xxd: (call) => {
		const options = new Options(call.args, "-c -g -l -o -s");
		const [file = "-", target] = options.operands;
		const text = inputOf(call, [file]);
		if (!options.has("-r") || !isKnown(text)) return turnedUnknown(text);
		const plain = hexText(options.has("-p") ? text : text.replace(/^[0-9a-f]{1,16}: /gim, "").replace(/ {2}.{0,64}$/gm, ""));
		if (target === undefined) return plain;
		call.wrote(target, plain);
		return "";
	},
	openssl: (call) => {
		if (call.args[0] === "s_client") return FETCHED;
		const file = call.args.find((_, at) => call.args[at - 1] === "-in");
		const text = inputOf(call, file === undefined ? [] : [file]);
		if (!isKnown(text)) return UNKNOWN + marksOf(text);
		const decodes = call.args.includes("-d") && (call.args.includes("-base64") || call.args.includes("-a") || call.args.includes("base64"));
		if (call.args.includes("-d") && (!decodes || call.args.some((arg) => /^-(aes|des|k|pass|bf|camellia|chacha|rc4|pbkdf2)/.test(arg))))
			return unpacked(call);
		const plain = decodes ? (base64Text(text) ?? UNKNOWN) : UNKNOWN;
		const target = call.args.find((_, at) => call.args[at - 1] === "-out");
		if (target === undefined) return plain;
		call.wrote(target, plain);
		return "";
	},
	tr: translate,
	sed: stream,
	cut: filter("-c -b -f -d --characters --bytes --fields --delimiter --output-delimiter", cut),
	head: part("head"),
	tail: part("tail"),
	tee: (call) => {
		const text = call.stdin ?? UNKNOWN;
		for (const file of new Options(call.args).operands) call.wrote(file, text);
		return text;
	},
	sponge: (call) => {
		for (const file of new Options(call.args).operands) call.wrote(file, call.stdin ?? UNKNOWN);
		return "";
	},
	// Built of what came through the pipe.
	...Object.fromEntries(
		"gcc cc clang tcc g++".split(" ").map((name) => [
			name,
			(call: Call) => {
				// `gcc -print-file-name=libasan.so`
				const named = call.args.flatMap((arg) => /^-?-print-file-name=([\w.+-]{1,64})$/.exec(arg)?.[1] ?? [])[0];
				if (named !== undefined) return `/usr/lib/${named}\n`;
				if (call.stdin?.includes(FETCHED)) call.wrote(new Options(call.args, "-x -o").value("-o") ?? "a.out", FETCHED);
				return UNKNOWN;
			},
		]),
	),
	sort: (call) => {
		const options = new Options(call.args, "-k -t -o -S -T --key --field-separator --output");
		const text = inputOf(call, options.operands);
		const result = isKnown(text) ? (sorted(lines(text), options) ?? turnedUnknown(text)) : kept("-k -t -o")(call);
		const target = options.value("-o", "--output");
		if (target === undefined) return result;
		call.wrote(target, result);
		return "";
	},
	uniq: filter("-f -s -w", (text, options) =>
		options.has("-c", "-d", "-D", "-u", "-f", "-s", "-w")
			? undefined
			: `${lines(text)
					.filter((line, at, all) => line !== all[at - 1])
					.join("\n")}\n`,
	),
	shuf: (call) => (isKnown(call.stdin ?? UNKNOWN) && lines(call.stdin ?? "").length > 1 ? UNKNOWN : kept("-n -i -o")(call)),
	// They leave lines out; what is left is what came in.
	grep: picked,
	egrep: picked,
	rg: picked,
	fold: filter("-w -b -s", (text, options) => {
		const width = Number(options.value("-w") ?? "80");
		if (!(width > 0) || text.length > 8192) return undefined;
		return `${lines(text)
			.flatMap((line) => line.match(new RegExp(`.{1,${Math.min(width, 999)}}`, "g")) ?? [""])
			.join("\n")}\n`;
	}),
	paste: filter("-d --delimiters", (text, options) => {
		if (options.has("-s", "--serial"))
			return `${lines(text).join(escapes(options.value("-d", "--delimiters") ?? "\t").replace("\0", ""))}\n`;
		// `paste -d '' - -`: side by side.
		return options.operands.length > 1 ? undefined : text;
	}),
	seq: () => UNKNOWN,
	which,
	command: which,
	type: which,
	basename: (call) => {
		const [path = "", suffix = ""] = new Options(call.args).operands;
		const name =
			path
				.replace(/\/{1,64}$/, "")
				.split("/")
				.at(-1) ?? "";
		return `${suffix !== "" && name.endsWith(suffix) ? name.slice(0, -suffix.length) : name}\n`;
	},
	dirname: (call) =>
		`${located(new Options(call.args).operands[0] ?? ".", { ...call.place, cwd: call.place.cwd }).replace(/\/[^/]*$/, "") || "/"}\n`,
	pwd: (call) => `${call.place.cwd}\n`,
	realpath: (call) => `${located(new Options(call.args).operands[0] ?? ".", call.place)}\n`,
	readlink: (call) => `${located(new Options(call.args).operands[0] ?? ".", call.place)}\n`,
	ls: (call) => {
		const options = new Options(call.args, "-I -w -T --ignore --hide --width");
		// What a pattern picks is called as the pattern says.
		const named =
			options.operands.length > 0 &&
			(options.has("-d", "--directory") ||
				options.operands.every((path) => /[*?[]/.test(path) || readRule(path, call.place) || call.file(path) !== undefined));
		return named ? `${options.operands.join("\n")}\n` : UNKNOWN;
	},
	// What a filter picks is not everything.
	...Object.fromEntries(
		["docker", "podman"].map((name) => [
			name,
			(call: Call) =>
				/^(ps|images|volume|network|container|image)$/.test(call.args[0] ?? "") && call.args.some((arg) => /^(-f|--filter)/.test(arg))
					? "filtered\n"
					: UNKNOWN,
		]),
	),
	// Whatever runs: for who kills what it prints, that is everything.
	// Every process, by number and nothing else: somebody is about to end them.
	ps: (call) =>
		/(^| )-?[a-zA-Z]{0,4}[eAx][a-zA-Z]{0,4} .{0,32}-?o ?(pid=?|pid --no-headers)$/.test(call.args.join(" ")) ||
		// Or all of somebody's.
		/^(?=.{0,64}-?o ?pid=?( |$))(?=.{0,64}(-[uU]|--user)[ =]?\S)/.test(call.args.join(" "))
			? "1\n"
			: UNKNOWN,
	pidof: (call) => (call.args.some((arg) => SYSTEM_PROCESS.test(arg)) ? "1\n" : UNKNOWN),
	pgrep: (call) =>
		call.args.some((arg) => SYSTEM_PROCESS.test(arg)) || call.args.some((arg) => /^(\.|\.\*|\^|\$|)$/.test(arg)) ? "-1\n1\n" : UNKNOWN,
	find: (call) => {
		const tests = call.args.findIndex((arg) => /^[-(!]/.test(arg));
		const starts = call.args.slice(0, tests < 0 ? 64 : Math.min(tests, 64));
		return `${(starts.length > 0 ? starts : ["."])
			.flatMap((start) => [...secretsFound(call.args, start), `${start.replace(/\/$/, "")}/${isNarrow(call.args) ? "" : "**"}${UNKNOWN}`])
			.join("\n")}\n`;
	},
	mktemp: (call) =>
		`/tmp/tmp.${call.args.join("").length}${call.args.some((arg) => /^-[a-z]{0,3}d|^--directory$/.test(arg)) ? "d" : "f"}\n`,
	// They print what a shell is to run, and are there for that.
	...Object.fromEntries(
		"dircolors ssh-agent pyenv rbenv nodenv goenv jenv brew direnv starship zoxide fnm mise conda mamba micromamba opam minikube docker-machine thefuck keychain lesspipe register-python-argcomplete atuin asdf luarocks fzf rustup volta ng"
			.split(" ")
			.map((name) => [name, () => ""]),
	),
	...Object.fromEntries(
		"kubectl helm gh npm pip pip3 oc kind k3d flux argocd hugo poetry yq tilt skaffold eksctl doctl"
			.split(" ")
			.map((name) => [name, (call: Call) => (call.args.some((arg) => /^completions?$|^--completion/.test(arg)) ? "" : UNKNOWN)]),
	),
	whoami: () => `${UNKNOWN}\n`,
	git: (call) => (call.args[0] === "--exec-path" ? "/usr/lib/git-core\n" : call.stdin === null ? UNKNOWN : turnedUnknown(call.stdin)),
	hostname: () => `${UNKNOWN}\n`,
	env: () => PRIVATE,
	printenv: (call) => {
		const value =
			call.args[0] === undefined
				? undefined
				: call.args[0] === "HOME"
					? homeOf(call.place)
					: (call.environment.get(call.args[0]) ?? call.variable(call.args[0]));
		return value === undefined ? PRIVATE : `${value}\n`;
	},
	getent: (call) => {
		const [table, name = ""] = call.args;
		if (table !== "passwd" || !/^[a-z_0-9][\w-]{0,31}$/.test(name)) return UNKNOWN;
		const root = name === "root" || name === "0";
		return `${root ? "root" : name}:x:${root ? 0 : 1000}:${root ? 0 : 1000}::${root ? "/root" : /^\d+$/.test(name) ? homeOf(call.place) : `/home/${name}`}:/bin/bash\n`;
	},
	// What somebody has typed, or has copied to paste it elsewhere.
	history: () => PRIVATE,
	...Object.fromEntries(
		"xclip xsel wl-paste pbpaste"
			.split(" ")
			.map((name) => [
				name,
				(call: Call) => (/^(wl-paste|pbpaste)$/.test(name) || call.args.some((arg) => /^(-o|-out|--output)$/.test(arg)) ? PRIVATE : ""),
			]),
	),
	curl: () => FETCHED,
	wget: () => FETCHED,
	fetch: () => FETCHED,
	aria2c: () => FETCHED,
	lynx: () => FETCHED,
	w3m: () => FETCHED,
	http: () => FETCHED,
	https: () => FETCHED,
	GET: () => FETCHED,
	dig: () => FETCHED,
	nslookup: () => FETCHED,
	// Nobody fetches programs with these but who has nothing better, or may not be seen.
	...Object.fromEntries(
		"nc ncat netcat ftp tftp whois finger rlogin socat ab smbclient lwp-request".split(" ").map((name) => [
			name,
			(call: Call) => {
				if (!call.args.some((arg) => isLoopback(arg))) call.fetches(true);
				return FETCHED;
			},
		]),
	),
	mkdir: silent,
	rm: silent,
	cp: silent,
	mv: silent,
	ln: silent,
	chmod: silent,
	chown: silent,
	touch: silent,
	sleep: silent,
	kill: silent,
	test: silent,
	"[": silent,
	cd: silent,
	clear: silent,
	mkfifo: silent,
	sync: silent,
	rmdir: silent,
};
