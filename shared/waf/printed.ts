import { base64Text, hexText, rot13, unescaped } from "./encodings.ts";
import { textOfExpression } from "./expressions.ts";
import { isKnown, marksOf, PACKED, UNKNOWN } from "./words.ts";

/*
 * What little programs print: `python3 -c 'print("r"+"m")'`, `perl -pe 's/(..)/chr hex $1/ge'`, `awk 'BEGIN{printf "%s", "rm"}'`. Only what is
 * there to spell another text is followed: a text out of quotes, put together, decoded or turned, and printed.
 */

/** A word that somebody has encoded, packed or encrypted: nobody reads it, and nobody types it. */
export function isUnreadable(text: string): boolean {
	if (text.length > 65_536) return false;
	const bare = text.trim().replace(/\\x|\b0x|[\s,:\\]/g, "");
	if (/^[0-9a-fA-F]{16,}$/.test(bare) || /^[A-Za-z0-9+/=_-]{20,}$/.test(text.trim())) return true;
	return /\p{Cc}/u.test(text.replace(/[\t\n\v\f\r]/g, ""));
}

/** What is not known of a text that a program has made of another one: where that one cannot be read, it was hidden. */
export const turnedUnknown = (text: string): string =>
	isKnown(text) ? (isUnreadable(text) ? UNKNOWN + PACKED : UNKNOWN) : UNKNOWN + marksOf(text);

const IMPORTS =
	/^(?:\s{0,8}(?:import\s{1,4}[\w., ]{1,128}|from\s{1,4}[\w.]{1,64}\s{1,4}import\s{1,4}[\w, *]{1,128}|use\s{1,4}[\w:]{1,64}[^;]{0,64}|require\s{0,4}\(?\s{0,2}§\)?)\s{0,8}[;\n]){0,8}/;
const PRINTS =
	/^\s{0,8}(?:BEGIN\s{0,4}\{)?\s{0,8}(?:print|printf|puts|putc|echo|say|p|\$><<|console\.log|io\.write|sys\.stdout\.(?:buffer\.)?write|process\.stdout\.write|\$stdout\.write|STDOUT\.write|write|System\.out\.print(?:ln)?)(?![\w])([^;{}]{0,2048})[;}\s]{0,8}$/;
/** `b ^ 101`, `ord(c) - 1`: each letter by the same number. */
export const MOVES =
	/(?:\b(?:ord|charCodeAt|codePointAt)\s{0,2}\([^()]{0,16}\)|\$_\)?|\b[b-hk-z]\)?)\s{0,4}(\^|\+|-)\s{0,4}(0x[0-9a-fA-F]{1,4}|\d{1,3})\b/;
/** A text, each letter moved as a match of `MOVES` says. */
export function movedBy([, sign, amount]: readonly string[], text: string): string {
	const by = Number(amount);
	const step = (code: number): number => (sign === "^" ? code ^ by : sign === "+" ? code + by : code - by);
	return [...text].map((letter) => String.fromCharCode(step(letter.charCodeAt(0)) & 0xffff)).join("");
}
/** What may stand around texts that are turned in one of the ways below, one by one or all at once. */
const GUESSED =
	/^(for|chr|ord|map|list|tuple|int|str|len|range|zip|join|bytes|bytearray|from|fromhex|fromCharCode|fromCodePoint|charCodeAt|codePointAt|char|hex|unhexlify|binascii|pack|unpack1?|split|String|Buffer|Array|toString|base64|b64decode|decode64|base64_decode|decode_base64|atob|MIME|Base64|codecs|decode|encode|rot_?13|str_rot13|unquote|unescape|decodeURI(Component)?|urldecode|urllib|parse|html|URI|CGI|reverse|reversed|strrev|scalar|decompress|inflate|inflateSync|gunzipSync|zlib|gzip|bz2|lzma|loads|print|printf|format|puts|end|sep|sys|stdout|write|console|log|each|bytes|utf8|require|BEGIN|\$_|parseInt)$/;
/** Arguments of decoders that are no text. */
const NAMES = /^(utf-?8|hex|base64|ascii|binary|latin-?1|rot_?13|H\*|m0|%s)$/i;

/** What a program text prints that does nothing but that; undefined: not known. `prints`: its value is printed, as with `node -p`. */
export function printedBy(
	text: string,
	literals: readonly { text: string; start: number; end: number }[],
	language: string,
	prints = false,
): string | undefined {
	if (text.length > 8192) return undefined;
	let skeleton = "";
	let at = 0;
	for (const { start, end } of literals) {
		skeleton += `${text.slice(at, start)}§`;
		at = end;
	}
	skeleton = (skeleton + text.slice(at)).replace(IMPORTS, "");
	const written = prints ? skeleton : PRINTS.exec(skeleton)?.[1];
	if (
		written === undefined ||
		(/\$[A-Za-z_]/.test(written) && !/\bmap\b/.test(written)) ||
		/\$\d|\b(ARGV|argv|stdin|STDIN|input|open|read|environ|ENV|getenv)\b/.test(written)
	)
		return undefined;
	const value = textOfExpression(
		written,
		literals.map((literal) => literal.text),
		language,
	);
	if (value !== undefined) return value;
	if ((written.match(/[A-Za-z_]\w{2,64}/g) ?? []).some((word) => !GUESSED.test(word))) return undefined;
	const moves = MOVES.exec(written);
	const call = moves ? written.replace(moves[0], "") : written;
	const moved = (text: string | undefined): string | undefined => {
		if (text === undefined || (!moves && !/\^/.test(written))) return text;
		// Letter by letter, with a key that is longer than a number.
		return moves ? movedBy(moves, text) : PACKED;
	};
	const numbers = /\b(chr|fromCharCode|pack|%c|bytes|bytearray|char|toChar)\b/.test(
		call + literals.map((literal) => literal.text).join(" "),
	)
		? call.match(/\b\d{1,3}\b/g)
		: null;
	const all = literals.map((literal) => literal.text);
	const texts = all.some((one) => !NAMES.test(one)) ? all.filter((one) => !NAMES.test(one)) : all;
	if (numbers && numbers.length > 1 && texts.every((one) => !/[A-Za-z]{2}/.test(one) || /^(%c|C\*|U\*|\s){1,64}$/.test(one)))
		return moved(numbers.map((number) => String.fromCharCode(Number(number))).join(""));
	if (texts.length === 0) return undefined;
	const [first = "", ...rest] = texts;
	const form = /%s|%d|\{\}/.test(first) && rest.length > 0;
	const whole = form
		? rest.reduce((filled, one) => filled.replace(/%s|%d|\{\}/, () => one), first).replace(/%s|\{\}/g, "")
		: texts.join("");
	return moved(decoded(call, literals.map((literal) => literal.text).join(" "), whole));
}

/** A text after what stands around it has been done to it. */
function decoded(around: string, names: string, text: string): string | undefined {
	let result: string | undefined = text;
	if (/decompress|inflate|gunzip|zlib/i.test(around)) return PACKED;
	if (/b64|base64|atob|decode64/i.test(around) || /\b(base64|m0)\b/.test(names)) result = base64Text(text);
	else if (/hex|\bpack\b/i.test(around) || /\b(hex|H\*)/.test(names)) result = hexText(text);
	else if (/rot_?13/i.test(around + names)) result = rot13(text);
	else if (/unquote|unescape|decodeURI|urldecode|CGI\./.test(around)) result = unescaped(text);
	if (/\[::-1\]|reverse|strrev/.test(around) && result !== undefined) result = [...result].reverse().join("");
	return result;
}

/** What a program makes of its input: `perl -pe 's/(..)/chr hex $1/ge'`, `ruby -e 'puts STDIN.read.reverse'`. */
export function turnedBy(program: string, input: string): string {
	if (!isKnown(input)) return UNKNOWN + marksOf(input);
	const line = input.replace(/\n$/, "");
	// Two things at once: which comes first is not looked at.
	if (
		/\b(lower|upper|lc|uc|ucfirst|downcase!?|upcase!?|to(Lower|Upper)Case|swapcase|replace|gsub!?|sub!?|slice|translate|sort|sorted|shuffle|index)\b/.test(
			program,
		)
	)
		return turnedUnknown(input);
	if (/b64|base64|atob|decode64/i.test(program)) return base64Text(line) ?? UNKNOWN;
	if (/\bhex\b|fromhex|unhexlify|H\*|["']hex["']|strtonum|hex2bin/.test(program)) return hexText(line.replace(/\\x|0x/g, ""));
	if (/rot_?13/i.test(program)) return rot13(line);
	if (/unquote|unescape|decodeURI|urldecode/.test(program)) return unescaped(line);
	if (/\breverse\b|\[::-1\]|strrev|substr\(\s{0,2}\$0\s{0,2},\s{0,2}\w{1,16}\s{0,2},\s{0,2}1\s{0,2}\)/.test(program))
		return line
			.split("\n")
			.map((one) => [...one].reverse().join(""))
			.join("\n");
	return turnedUnknown(input);
}

/** A basic regular expression as an extended one. */
const asExpression = (pattern: string, extended: boolean): string =>
	extended ? pattern : pattern.replace(/\\([(){}|+?])|([(){}|+?])/g, (_, special: string, literal: string) => special ?? `\\${literal}`);

/** What picks lines; undefined: a pattern that may take long, or one that is not understood. */
export function lineExpression(pattern: string, fixed: boolean, extended: boolean, folds: boolean): RegExp | undefined {
	const plain = fixed ? pattern.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&") : asExpression(pattern, extended);
	if (!fixed && !/^\^?(?:[^\\[\](){}|*+?.^$]|\.|\\[.*[\]^$/\\|+?(){}-]|\[\^?[^\][\\]{1,64}\]){0,64}(?:\.[*+])?\$?$/.test(plain))
		return undefined;
	return new RegExp(plain, folds ? "i" : "");
}

/**
 * `s/a/b/g` as sed and perl have it, over texts of some length. Only patterns of which each part stands for one character, so that no text
 * makes them slow; undefined: it is another one.
 */
export function substituted(text: string, pattern: string, replacement: string, flags: string, extended: boolean): string | undefined {
	if (text.length > 16_384 || pattern === "") return undefined;
	const plain = asExpression(pattern, extended);
	if (!/^\^?(?:[^\\[\](){}|*+?.^$]|\.|\\[.*[\]^$/\\|+?(){}-]|\[\^?[^\][\\]{1,64}\]|[()]){1,64}\$?$/.test(plain)) return undefined;
	let expression: RegExp;
	try {
		expression = new RegExp(plain, /g/.test(flags) ? "gim".slice(0, /[iI]/.test(flags) ? 2 : 1) : /[iI]/.test(flags) ? "i" : "");
	} catch {
		return undefined;
	}
	const put = (...found: unknown[]): string =>
		replacement.replace(/\\([0-9&nt\\/])|&/g, (whole, special: string | undefined) => {
			if (whole === "&") return String(found[0]);
			if (special === "n") return "\n";
			if (special === "t") return "\t";
			return /[0-9]/.test(special ?? "") ? String(found[Number(special)] ?? "") : (special ?? "");
		});
	// `s/a/b/2`: the second of each line.
	const nth = Number(/\d{1,3}/.exec(flags)?.[0] ?? 1);
	if (nth > 1 && /g/.test(flags)) return undefined;
	const each = new RegExp(expression.source, `${expression.flags.replace("g", "")}g`);
	return text
		.split("\n")
		.map((line) => {
			if (nth <= 1) return line.replace(expression, put);
			let count = 0;
			return line.replace(each, (...found: unknown[]) => (++count === nth ? put(...found) : String(found[0])));
		})
		.join("\n");
}
