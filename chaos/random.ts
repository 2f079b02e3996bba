/** Chance that comes out the same for the same seed. A part of a run takes a fork by name, so that what one part draws moves no other. */
export class Random {
	readonly seed: string;
	#a: number;
	#b: number;
	#c: number;
	#counter = 1;

	constructor(seed: string | number) {
		this.seed = String(seed);
		[this.#a, this.#b, this.#c] = [hash(`${this.seed}/a`), hash(`${this.seed}/b`), hash(`${this.seed}/c`)];
		for (let i = 0; i < 12; i++) this.next();
	}

	/** 0 up to and without 1; sfc32. */
	readonly next = (): number => {
		const t = (this.#a + this.#b + this.#counter) | 0;
		this.#counter = (this.#counter + 1) | 0;
		this.#a = this.#b ^ (this.#b >>> 9);
		this.#b = (this.#c + (this.#c << 3)) | 0;
		this.#c = (this.#c << 21) | (this.#c >>> 11);
		this.#c = (this.#c + t) | 0;
		return (t >>> 0) / 2 ** 32;
	};

	fork(name: string | number): Random {
		return new Random(`${this.seed}/${name}`);
	}

	/** A whole number from `least` to `most`, both included. */
	whole(least: number, most: number): number {
		return least + Math.floor(this.next() * (most - least + 1));
	}

	chance(share: number): boolean {
		return this.next() < share;
	}

	pick<T>(list: readonly T[]): T {
		const one = list[Math.floor(this.next() * list.length)];
		if (one === undefined) throw new Error("nothing to pick from");
		return one;
	}

	/** One of the keys, each as often as its weight says. */
	weighted<K extends string>(weights: Record<K, number>): K {
		const keys = Object.keys(weights) as K[];
		let at = this.next() * keys.reduce((sum, key) => sum + weights[key], 0);
		for (const key of keys) {
			at -= weights[key];
			if (at < 0) return key;
		}
		return this.pick(keys);
	}
}

/** FNV-1a. */
function hash(text: string): number {
	let h = 0x811c9dc5;
	for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
	return h >>> 0;
}
