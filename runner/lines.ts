export interface Line {
	/** Null: it was over the limit and not kept. */
	text: string | null;
	/** Bytes from the start up to and with its newline. */
	end: number;
}

/**
 * Bytes to lines, which end at newlines alone: a carriage return before one stays in its line, where JSON takes it for white space. Any cut of the same bytes into chunks gives the same lines: nothing is decoded before its line is
 * whole, so a character that lies across two chunks stays whole too.
 */
export class LineSplitter {
	readonly #maxBytes: number;
	#held: Uint8Array[] = [];
	#heldBytes = 0;
	#overlong = false;
	/** Bytes taken in so far, whole lines or not. */
	#taken = 0;

	constructor(maxBytes: number) {
		this.#maxBytes = maxBytes;
	}

	/** The lines that these bytes complete, without newlines. */
	push(bytes: Uint8Array): Line[] {
		const lines: Line[] = [];
		let at = 0;
		for (;;) {
			const end = bytes.indexOf(10, at);
			const rest = end < 0 ? bytes.subarray(at) : bytes.subarray(at, end);
			this.#hold(rest);
			this.#taken += rest.length;
			if (end < 0) return lines;
			this.#taken += 1;
			lines.push({ text: this.#overlong ? null : this.#join(), end: this.#taken });
			this.#held = [];
			this.#heldBytes = 0;
			this.#overlong = false;
			at = end + 1;
		}
	}

	#hold(bytes: Uint8Array): void {
		if (bytes.length === 0) return;
		this.#heldBytes += bytes.length;
		if (this.#heldBytes > this.#maxBytes) {
			this.#overlong = true;
			this.#held = [];
		}
		// A copy: the caller reads into the same buffer again. Not slice(), which for a Buffer is a view.
		else this.#held.push(new Uint8Array(bytes));
	}

	#join(): string {
		if (this.#held.length === 1 && this.#held[0]) return decodeUtf8(this.#held[0]);
		const whole = new Uint8Array(this.#heldBytes);
		let at = 0;
		for (const piece of this.#held) {
			whole.set(piece, at);
			at += piece.length;
		}
		return decodeUtf8(whole);
	}
}

// A pure file sees no runtime's types; TextDecoder is in every runtime and holds no state here.
declare const TextDecoder: new (label: string) => { decode(bytes: Uint8Array): string };
const decoder = new TextDecoder("utf-8");
const decodeUtf8 = (bytes: Uint8Array): string => decoder.decode(bytes);
