/** More than any client says before it waits for the server. */
export const MAX_HELLO_BYTES = 32 * 1024;

/**
 * Whom a TLS client asks for, from its first bytes (RFC 8446 4.1.2, RFC 6066 3); pure. `more`: they are not all there yet. Null: they are no TLS, or name nobody.
 * Many hosts share an address, so that a tunnel to an allowed one could lead to any of them.
 */
export function serverName(bytes: Uint8Array): string | null | "more" {
	const message = handshake(bytes);
	if (message === null || message === "more") return message;
	const read = new Reader(message);
	// Version and random; then what the client can do.
	read.skip(2 + 32);
	read.skip(read.number(1));
	read.skip(read.number(2));
	read.skip(read.number(1));
	const end = read.number(2) + read.at;
	while (!read.failed && read.at < end) {
		const type = read.number(2);
		const length = read.number(2);
		if (type !== 0) {
			read.skip(length);
			continue;
		}
		const listLength = read.number(2);
		const nameType = read.number(1);
		const name = read.text(read.number(2));
		// One name, of the only kind there is: what says more could be read in two ways.
		return read.failed || nameType !== 0 || listLength !== name.length + 3 || length !== listLength + 2 ? null : name.toLowerCase();
	}
	return null;
}

/** The first message of a handshake, which may come in several records. */
function handshake(bytes: Uint8Array): Uint8Array | null | "more" {
	const message: number[] = [];
	let at = 0;
	for (;;) {
		// Not waiting for what cannot be TLS any more.
		if (at < bytes.length && bytes[at] !== 22) return null;
		if (at + 1 < bytes.length && bytes[at + 1] !== 3) return null;
		if (at + 5 > bytes.length) return "more";
		const length = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0);
		if (length === 0 || length > 16_384) return null;
		for (const byte of bytes.subarray(at + 5, at + 5 + length)) message.push(byte);
		if (message.length > 0 && message[0] !== 1) return null;
		if (message.length >= 4) {
			const whole = 4 + (((message[1] ?? 0) << 16) | ((message[2] ?? 0) << 8) | (message[3] ?? 0));
			if (whole > MAX_HELLO_BYTES) return null;
			if (message.length >= whole) return Uint8Array.from(message.slice(4, whole));
		}
		if (at + 5 + length > bytes.length) return "more";
		at += 5 + length;
	}
}

/** Numbers and texts one after the other; past the end it fails and gives nothing. */
class Reader {
	readonly #bytes: Uint8Array;
	at = 0;
	failed = false;

	constructor(bytes: Uint8Array) {
		this.#bytes = bytes;
	}

	skip(count: number): void {
		this.at += count;
		if (this.at > this.#bytes.length) this.failed = true;
	}

	number(width: number): number {
		let value = 0;
		for (let i = 0; i < width; i++) value = (value << 8) | (this.#bytes[this.at + i] ?? 0);
		this.skip(width);
		return this.failed ? 0 : value;
	}

	text(length: number): string {
		const from = this.at;
		this.skip(length);
		return this.failed ? "" : String.fromCharCode(...this.#bytes.subarray(from, from + length));
	}
}
