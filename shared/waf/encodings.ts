/*
 * What texts are written in so that nobody reads them at once: base64, base32, hexadecimal, percent signs, letters moved by thirteen. Each gives
 * a letter for every byte.
 */

export function base64Text(text: string): string | undefined {
	const clean = text
		.replace(/[^A-Za-z0-9+/_-]/g, "")
		.replaceAll("-", "+")
		.replaceAll("_", "/");
	let bits = 0;
	let held = 0;
	const bytes: number[] = [];
	for (const character of clean) {
		held = (held << 6) | "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".indexOf(character);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			bytes.push((held >> bits) & 0xff);
		}
	}
	return fromBytes(bytes);
}

const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
export function base32Text(text: string): string {
	let bits = 0;
	let held = 0;
	const bytes: number[] = [];
	for (const character of text.toUpperCase().replace(/[^A-Z2-7]/g, "")) {
		held = ((held << 5) | BASE32.indexOf(character)) & 0xffff;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			bytes.push((held >> bits) & 0xff);
		}
	}
	return fromBytes(bytes);
}

/** base32 with the letters that keep the order: `basenc --base32hex`. */
export const base32HexText = (text: string): string =>
	base32Text(text.replace(/[0-9A-V]/g, (letter) => BASE32.charAt(Number.parseInt(letter, 32))));

const fromBytes = (bytes: readonly number[]): string => {
	let text = "";
	for (const byte of bytes) text += String.fromCharCode(byte);
	return text;
};
export const hexText = (text: string): string =>
	fromBytes((text.replace(/[^0-9a-fA-F]/g, "").match(/../g) ?? []).map((pair) => Number.parseInt(pair, 16)));

/** `%72`, `&#114;`, `&#x72;`, `&lt;` */
export const unescaped = (text: string): string =>
	text
		.replace(/%([0-9a-fA-F]{2})|&#x([0-9a-fA-F]{1,4});/g, (_, percent, hex) => String.fromCharCode(Number.parseInt(percent ?? hex, 16)))
		.replace(/&#(\d{1,5});/g, (_, number: string) => String.fromCharCode(Number(number)))
		.replace(/&(lt|gt|amp|quot|apos);/g, (_, name: string) => ({ lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" })[name] ?? "");

export const rot13 = (text: string): string =>
	text.replace(/[a-z]/gi, (letter) => {
		const base = letter <= "Z" ? 65 : 97;
		return String.fromCharCode(((letter.charCodeAt(0) - base + 13) % 26) + base);
	});
