import { type CompoundList, forEachChild, type Statement, type SyntaxNode } from "unbash";
import { nameOf, SHELLS } from "./running.ts";
import { Exhausted, isKnown, UNKNOWN } from "./words.ts";

/*
 * What scripts look like: forms that say what somebody is about, whatever the words in them turn out to be, and forms that nobody can follow.
 */

/** What the first group of a pattern finds: `[[ x/dev/sda =~ x(.*) ]]`; marks where the pattern is not a plain one. */
export function groupsOf(text: string, pattern: string): readonly string[] {
	const [, before = "", group = "", behind = ""] =
		/^\^?([^()*+?[\]{}|\\.^$]{0,256})\(([^()]{1,64})\)([^()*+?[\]{}|\\.^$]{0,256})\$?$/.exec(pattern) ?? [];
	if (group === "" || !isKnown(text)) return [text, UNKNOWN];
	const from = text.indexOf(before);
	const to = behind === "" ? text.length : text.lastIndexOf(behind);
	return from < 0 || to < from ? [text, UNKNOWN] : [text, text.slice(from + before.length, to)];
}

/** Whether a function's body calls it again in a pipe or in the background. */
export function bombs(body: SyntaxNode, name: string, spend: () => void): boolean {
	let found = false;
	const visit = (node: SyntaxNode, loose: boolean): void => {
		spend();
		if (found) return;
		if (node.type === "Command" && loose && node.name?.value === name) {
			found = true;
			return;
		}
		const looser =
			loose || (node.type === "Pipeline" && node.commands.length > 1) || (node.type === "Statement" && node.background === true);
		if (node.type !== "Word") forEachChild(node, (child) => visit(child, looser));
	};
	visit(body, false);
	return found;
}

/** Whether a compound command has a shell in it: with its standard input from the network, that is what it is there for. */
export function startsShell(node: SyntaxNode, spend: () => void): boolean {
	let found = false;
	const visit = (one: SyntaxNode): void => {
		spend();
		if (found || one.type === "Word") return;
		if (one.type === "Command" && one.name && SHELLS.has(nameOf(one.name.value))) found = true;
		else forEachChild(one, visit);
	};
	visit(node);
	return found;
}

/** Whether a loop without an end starts something behind itself on every turn, and never waits. */
export function endless(clause: CompoundList | null, body: CompoundList): boolean {
	const first = clause?.commands[0]?.command;
	if (clause && !(first?.type === "Command" && /^(true|:)$/.test(first.name?.value ?? ""))) return false;
	const named = (statement: Statement): string => (statement.command.type === "Command" ? (statement.command.name?.value ?? "") : "");
	return (
		body.commands.some((statement) => statement.background) &&
		!body.commands.some((statement) => /^(sleep|wait|read|break|inotifywait|timeout)$/.test(named(statement)))
	);
}

const MAX_NESTING = 100;
const MAX_HEREDOCS = 200;

/** The parser takes seconds for some inputs of this kind, so they are not given to it. */
export function refuseDepth(text: string): void {
	let depth = 0;
	let heredocs = 0;
	for (let index = 0; index < text.length; index++) {
		const code = text.charCodeAt(index);
		if (code === 40 || code === 123) {
			if (++depth > MAX_NESTING) throw new Exhausted("nested too deeply");
		} else if (code === 41 || code === 125) depth = Math.max(0, depth - 1);
		else if (code === 60 && text.charCodeAt(index + 1) === 60 && ++heredocs > MAX_HEREDOCS) throw new Exhausted("too many heredocs");
	}
}
