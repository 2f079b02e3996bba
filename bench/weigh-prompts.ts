/**
 * Weighs the scale that prompts are judged on (shared/waf/prompt-scale.ts) anew, from the corpora of prompts in test/fixtures/waf.
 *
 *   npm run weigh:prompts -- [--across] [--wrong SOURCE]
 *
 *   --across        writes nothing: for each source of rows, a scale is weighed from all the others and judges that one, as it would judge what
 *                   a hand writes that it does not know; the share of its orders, mentions and ordinary prompts that it takes for orders
 *   --wrong SOURCE  with --across: prints what of this source it judges wrongly
 *
 * Rows that are held out are never weighed. Each arm of the scale is learnt by logistic regression (AdaGrad, a shuffle that is always the same, so that
 * the same corpora make the same file). Of a long prompt only its heaviest piece learns, since that is the one that counts.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type Arm, CELLS, isOrder, MOST_WEIGHT, packed, share, weighed, windowsOf } from "../shared/waf/prompt-scale.ts";
import { readPrompt } from "../shared/waf/prompt-tokens.ts";
import { excerptOf } from "../shared/waf/prompts.ts";
import { digestOfPrompts, type Row, readCorpora } from "../test/support/waf-corpora.ts";

const { values } = parseArgs({ options: { across: { type: "boolean", default: false }, wrong: { type: "string" } } });

/** How often the corpora are gone through, and how far a step goes. */
const ROUNDS = 10;
const STEP = 0.5;
/** A phrase that fewer prompts have says more of these than of prompts. */
const LEAST_PROMPTS = 2;
/** Added to what the arms say: everyday prompts are far more among all prompts than in the corpora. */
const LEAN = { matter: -0.7, order: 0.3 };
/** The share of phrases that a step does without. */
const LEFT_OUT = 0.5;
/** Cells that an arm keeps: those that weigh most. */
const MOST_CELLS = 60_000;

interface Example {
	row: Row;
	pieces: Int32Array[];
}

const rows = readCorpora();
const examples: Example[] = rows
	.filter((row) => row.kind === "prompt" && !row.held)
	.map((row) => ({ row, pieces: windowsOf(readPrompt(excerptOf(row.text)).sentences).map(({ cells }) => cells) }))
	.filter(({ pieces }) => pieces.length > 0);

if (values.across) across();
else {
	const { matter, order } = scaleOf(examples);
	const file = fileURLToPath(new URL("../shared/waf/prompt-weights.ts", import.meta.url));
	writeFileSync(
		file,
		`import type { PackedArm } from "./prompt-scale.ts";

// Made by \`npm run weigh:prompts\` from ${examples.length} prompts; not to be edited.

/** Of which corpora. */
export const CORPORA = "${digestOfPrompts(rows)}";

/** Whether a prompt speaks of what the rules would stop. */
export const MATTER: PackedArm = ${JSON.stringify(packed(matter))};
/** Whether such a prompt says that it is to be done. */
export const ORDER: PackedArm = ${JSON.stringify(packed(order))};
`,
	);
	console.log(`weighed ${examples.length} prompts`);
}

function scaleOf(of: readonly Example[]): { matter: Arm; order: Arm } {
	const said = of.filter(({ row }) => row.label !== "ordinary");
	const matter = learnt(of, ({ row }) => row.label !== "ordinary");
	const order = learnt(said, ({ row }) => row.label === "order");
	return { matter: { ...matter, bias: matter.bias + LEAN.matter }, order: { ...order, bias: order.bias + LEAN.order } };
}

function learnt(of: readonly Example[], isSo: (example: Example) => boolean): Arm {
	const prompts = new Uint32Array(CELLS);
	for (const { pieces } of of) for (const cell of new Set(pieces.flatMap((cells) => [...cells]))) prompts[cell] = (prompts[cell] ?? 0) + 1;
	const known = of.map((example) => ({
		isSo: isSo(example) ? 1 : 0,
		pieces: example.pieces.map((cells) => ({
			cells: cells.filter((cell) => (prompts[cell] ?? 0) >= LEAST_PROMPTS),
			share: share(cells.length),
		})),
	}));
	const weights = new Float64Array(CELLS);
	const moved = new Float64Array(CELLS).fill(1e-3);
	let bias = 0;
	let biasMoved = 1e-3;
	const random = randomOf(7);
	for (let round = 0; round < ROUNDS; round++) {
		shuffle(known, random);
		for (const { isSo: wanted, pieces } of known) {
			let heaviest = pieces[0];
			let sum = Number.NEGATIVE_INFINITY;
			for (const piece of pieces) {
				let own = 0;
				for (const cell of piece.cells) own += weights[cell] ?? 0;
				if (bias + own * piece.share > sum) [heaviest, sum] = [piece, bias + own * piece.share];
			}
			if (!heaviest) continue;
			// Each time half of the phrases are left out, so that no phrase is relied on that a new hand may not use.
			const used = heaviest.cells.filter(() => random() >= LEFT_OUT);
			const usedShare = heaviest.share / (1 - LEFT_OUT);
			let sumOfUsed = bias;
			for (const cell of used) sumOfUsed += (weights[cell] ?? 0) * usedShare;
			const off = 1 / (1 + Math.exp(-sumOfUsed)) - wanted;
			for (const cell of used) {
				const slope = off * usedShare;
				moved[cell] = (moved[cell] ?? 0) + slope * slope;
				weights[cell] = (weights[cell] ?? 0) - (STEP * slope) / Math.sqrt(moved[cell] ?? 1);
			}
			biasMoved += off * off;
			bias -= (0.1 * STEP * off) / Math.sqrt(biasMoved);
		}
	}
	const heaviest = weights.map(Math.abs).sort();
	const least = heaviest.at(-MOST_CELLS) ?? 0;
	const unit = (heaviest.at(-1) ?? 0) / MOST_WEIGHT;
	return { bias, unit, weights: Int8Array.from(weights, (weight) => (Math.abs(weight) < least ? 0 : Math.round(weight / unit))) };
}

function across(): void {
	const total: Record<string, [number, number]> = {};
	for (const [source, own] of Map.groupBy(examples, ({ row }) => row.source)) {
		const scale = scaleOf(examples.filter(({ row }) => row.source !== source));
		const shares: Record<string, [number, number]> = {};
		for (const { row, pieces } of own) {
			const taken = isOrder(pieces.map((cells) => weighed(cells, scale)));
			for (const counts of [shares, total]) {
				const [orders, all] = counts[row.label] ?? [0, 0];
				counts[row.label] = [orders + (taken ? 1 : 0), all + 1];
			}
			if (values.wrong === source && taken !== (row.label === "order"))
				console.log(`  ${row.label} ${JSON.stringify(row.text.slice(0, 240))}`);
		}
		print(source, shares);
	}
	print("all", total);
}

function print(name: string, shares: Record<string, [number, number]>): void {
	const said = Object.entries(shares).map(([label, [orders, all]]) => `${label} ${((100 * orders) / all).toFixed(1)} % of ${all}`);
	console.log(`${name.padEnd(16)} taken for orders: ${said.join(", ")}`);
}

/** The same numbers every time: a linear congruential generator (Numerical Recipes). */
function randomOf(seed: number): () => number {
	let state = seed;
	return () => {
		state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
		return state / 2 ** 32;
	};
}

function shuffle<T>(list: T[], random: () => number): void {
	for (let i = list.length - 1; i > 0; i--) {
		const j = Math.floor(random() * (i + 1));
		[list[i], list[j]] = [list[j] as T, list[i] as T];
	}
}
