/**
 * The one kind of pattern of policies: text in which `*` stands for anything, also for nothing; `\*` and `\\` are the characters
 * themselves. No regular expressions: whoever writes a policy cannot make a gate slow.
 */

/** The pattern that only this text matches. */
export const literalPattern = (text: string): string => text.replace(/[\\*]/g, "\\$&");

/** Whether the pattern can match one text only. */
export const isLiteral = (pattern: string): boolean => piecesOf(pattern).length === 1;

/**
 * Whether the whole text matches, in time linear in pattern plus text. With `starTakes`, a `*` stands only for characters that it
 * takes; then a text that would match in an unusual way may be refused, never the other way round.
 */
export function matchesPattern(pattern: string, text: string, starTakes?: (text: string, from: number, to: number) => boolean): boolean {
	const pieces = piecesOf(pattern);
	const first = pieces[0] ?? "";
	if (pieces.length === 1) return text === first;
	const last = pieces.at(-1) ?? "";
	if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
	const end = text.length - last.length;
	const takes = starTakes ?? (() => true);
	let at = first.length;
	// Leftmost is right: what matches further right leaves no more room for the pieces after it.
	for (const piece of pieces.slice(1, -1)) {
		const found = indexOf(text, piece, at, end);
		if (found < 0 || !takes(text, at, found)) return false;
		at = found + piece.length;
	}
	return takes(text, at, end);
}

/** `NAME`, or `PREFIX*`. */
export const matchesName = (pattern: string, name: string): boolean =>
	pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;

/** What stands between the stars. */
function piecesOf(pattern: string): string[] {
	const pieces: string[] = [];
	let piece = "";
	for (let i = 0; i < pattern.length; i++) {
		const c = pattern.charAt(i);
		const next = pattern.charAt(i + 1);
		if (c === "\\" && (next === "*" || next === "\\")) {
			piece += next;
			i++;
		} else if (c === "*") {
			pieces.push(piece);
			piece = "";
		} else piece += c;
	}
	return [...pieces, piece];
}

/** `String.indexOf` may take pattern times text; this is Knuth, Morris and Pratt's. Searches `text[from, to)`. */
function indexOf(text: string, piece: string, from: number, to: number): number {
	if (piece === "") return from;
	const back: number[] = [0];
	for (let i = 1, k = 0; i < piece.length; i++) {
		while (k > 0 && piece[i] !== piece[k]) k = back[k - 1] ?? 0;
		if (piece[i] === piece[k]) k++;
		back.push(k);
	}
	for (let i = from, k = 0; i < to; i++) {
		while (k > 0 && text[i] !== piece[k]) k = back[k - 1] ?? 0;
		if (text[i] === piece[k]) k++;
		if (k === piece.length) return i - piece.length + 1;
	}
	return -1;
}
