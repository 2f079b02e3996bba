import type { CommandNode, CompoundList } from "unbash";
import type { Value } from "./words.ts";

/*
 * What a shell remembers while a script is followed: variables, arrays, functions, aliases. All branches are taken, one after the other,
 * so a variable may turn out to be one thing or another: `if ...; then c=ls; else c='rm -rf /'; fi; $c`. It has its last value, and beside it
 * the others that it would have had otherwise; what uses such a variable is followed once more with each of them.
 */

/** Of one variable. */
const MAX_OTHERS = 3;

/** Which branch is being followed, and which of a variable's values counts. Of a whole judgement. */
export class Branches {
	#branch = 0;
	#count = 0;
	/** Zero: the last values; one and more: the others. */
	choice = 0;
	/** The most other values that a variable had which has been looked at. */
	met = 0;

	/** Follows what is run or is not. */
	in<T>(work: () => T): T {
		const before = this.#branch;
		this.#branch = ++this.#count;
		try {
			return work();
		} finally {
			this.#branch = before;
		}
	}
	/** Where it is being followed now; zero: in no branch. */
	get branch(): number {
		return this.#branch;
	}
	/** Does something, and does it again with every other value of the variables that it has looked at. The first result counts. */
	each<T>(work: () => T, again: () => boolean): T {
		const before = this.met;
		this.met = 0;
		const result = work();
		if (this.choice === 0) {
			for (let choice = 1; choice <= this.met && again(); choice++) {
				this.choice = choice;
				try {
					work();
				} finally {
					this.choice = 0;
				}
			}
		}
		this.met = Math.max(this.met, before);
		return result;
	}
}

interface Variable {
	value: Value;
	/** What it would be otherwise. */
	others: Value[];
	branch: number;
}

/** Variables and the rest of a shell's state. A subshell's is a scope of its own that sees the outer one. */
export class Scope {
	readonly outer: Scope | undefined;
	readonly #branches: Branches;
	readonly #variables = new Map<string, Variable>();
	/** Arrays' values by their keys, as far as those were said. */
	readonly #keyed = new Map<string, Map<string, string>>();
	/** Several bodies of one function: whichever branch was taken. */
	readonly functions = new Map<string, { bodies: (CommandNode | CompoundList)[]; branch: number }>();
	readonly aliases = new Map<string, string>();
	cwd: string;
	args: readonly string[];

	constructor(outer: Scope | undefined, cwd: string, args: readonly string[], branches = outer?.branches ?? new Branches()) {
		this.outer = outer;
		this.#branches = branches;
		this.cwd = cwd;
		this.args = args;
	}
	get branches(): Branches {
		return this.#branches;
	}
	inner(): Scope {
		return new Scope(this, this.cwd, this.args);
	}
	lookup<V>(of: (scope: Scope) => ReadonlyMap<string, V>, name: string): V | undefined {
		for (let scope: Scope | undefined = this; scope; scope = scope.outer) {
			const found = of(scope).get(name);
			if (found !== undefined) return found;
		}
		return undefined;
	}
	#find(name: string): Variable | undefined {
		return this.lookup((one) => one.#variables, name);
	}
	get(name: string): Value | undefined {
		const found = this.#find(name);
		if (found === undefined) return undefined;
		this.#branches.met = Math.max(this.#branches.met, found.others.length);
		return this.#branches.choice === 0 ? found.value : (found.others[this.#branches.choice - 1] ?? found.others.at(-1) ?? found.value);
	}
	has(name: string): boolean {
		return this.#variables.has(name);
	}
	/** @param keyed what is known of an array's keys stays so */
	set(name: string, value: Value, keyed = false): void {
		const { choice, branch } = this.#branches;
		const own = this.#variables.get(name);
		if (choice > 0 && own !== undefined) {
			if (own.others.length < MAX_OTHERS) own.others.push(value);
			return;
		}
		const before = branch === 0 ? undefined : this.#find(name);
		const others = before === undefined ? [] : before.branch === branch ? before.others : [before.value, ...before.others];
		this.#variables.set(name, { value, others: others.slice(0, MAX_OTHERS).filter((other) => other !== value), branch });
		if (!keyed) this.#keyed.delete(name);
	}
	/** What an array has at a key. */
	at(name: string, key: string): string | undefined {
		return this.lookup((one) => one.#keyed, name)?.get(key);
	}
	keys(name: string): readonly string[] | undefined {
		const keyed = this.lookup((one) => one.#keyed, name);
		if (keyed !== undefined) return [...keyed.keys()];
		const list = this.get(name);
		return typeof list === "object" ? list.map((_, at) => String(at)) : undefined;
	}
	setAt(name: string, key: string, value: string): void {
		const own = this.#keyed.get(name) ?? new Map(this.lookup((one) => one.#keyed, name));
		this.#keyed.set(name, own.set(key, value));
	}
	/** Takes over what another scope has set. */
	take(other: Scope): void {
		for (const [name, { value, others, branch }] of other.#variables) {
			this.set(name, value);
			const own = this.#variables.get(name);
			if (own && own.others.length === 0) this.#variables.set(name, { value: own.value, others, branch });
		}
		for (const [name, keyed] of other.#keyed) this.#keyed.set(name, keyed);
	}
	/** A function is defined: besides what it is in other branches. */
	define(name: string, body: CommandNode | CompoundList): void {
		const { branch } = this.#branches;
		const before = branch === 0 ? undefined : this.lookup((one) => one.functions, name);
		const bodies = before !== undefined && before.branch !== branch ? [body, ...before.bodies].slice(0, MAX_OTHERS + 1) : [body];
		this.functions.set(name, { bodies, branch });
	}
}
