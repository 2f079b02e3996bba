/**
 * What the WAF says to corpora of commands and prompts, and how long it takes to say it.
 *
 *   npm run bench:waf -- [--corpus DIR]... [--from DIR] [--by source|rule] [--wrong N] [--json]
 *
 *   --corpus DIR  corpora to judge, *.jsonl, instead of our own in test/fixtures/waf: {"id","kind","label","text","cwd"} a line
 *   --from DIR    another checkout, whose rules are to be measured instead of this one's
 *   --by          split the counts by each row's source; or list what was stopped wrongly by rule
 *   --wrong N     print up to N rows of each label that were judged wrongly; never of the held-out part
 *   --json        only the last line: {"corpora":{LABEL:{"tuned":{...},"heldOut":{...}}},"decision":{"p50Ms","p99Ms","worst64KiBMs","worst"}}
 */
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { type Judges, Label, nastyInputs, type Row, readCorpora, type Tally, tally } from "../test/support/waf-corpora.ts";

const { values } = parseArgs({
	options: {
		corpus: { type: "string", multiple: true },
		from: { type: "string", default: fileURLToPath(new URL("../", import.meta.url)) },
		by: { type: "string" },
		wrong: { type: "string", default: "0" },
		json: { type: "boolean", default: false },
	},
});
if (values.by !== undefined && !["source", "rule"].includes(values.by)) throw new Error(`--by ${values.by}: expected source or rule`);

// By address and not by name: --from measures a checkout that this program was not compiled with.
const load = (file: string): Promise<Partial<Judges>> => import(pathToFileURL(resolve(values.from, "shared/waf", file)).href);
const { judgeCommand } = await load("command.ts");
const { judgePrompt } = await load("prompts.ts");
if (!judgeCommand || !judgePrompt)
	throw new Error(`${values.from}: no judgeCommand in shared/waf/command.ts, or no judgePrompt in prompts.ts`);
const judges: Judges = { judgeCommand, judgePrompt };

const rows = (values.corpus ?? [undefined]).flatMap((dir) => readCorpora(dir));
tally(rows.slice(0, 2000), judges); // warms up
const print = (line: string): void => {
	if (!values.json) console.log(line);
};
print(
	`${"".padEnd(32)}${["rows", "denied", "asked", "denied %", "stopped %", "p50 ms", "p99 ms"].map((head) => head.padStart(10)).join("")}`,
);

const corpora: Record<string, Record<string, ReturnType<typeof summary>>> = {};
const ms: number[] = [];
for (const label of Label.options) {
	for (const held of [false, true]) {
		const part = rows.filter((row) => row.label === label && row.held === held);
		if (part.length === 0) continue;
		const counted = tally(part, judges);
		// The better of two: what another process took from this one is not the rules' time.
		const again = tally(part, judges).ms;
		counted.ms = counted.ms.map((took, i) => Math.min(took, again[i] ?? took));
		for (const one of counted.ms) ms.push(one);
		const name = held ? "heldOut" : "tuned";
		corpora[label] = { ...corpora[label], [name]: summary(counted) };
		line(`${label}, ${held ? "held out" : "tuned"}`, counted);
		if (values.by === "source") for (const [source, of] of Map.groupBy(part, (row) => row.source)) line(`  ${source}`, tally(of, judges));
		if (values.by === "rule")
			for (const [rule, of] of Map.groupBy(counted.wrong, (one) => one.judgement.rule)) print(`  ${rule ?? "(no rule)"}: ${of.length}`);
		if (!held)
			for (const { row, judgement } of counted.wrong.slice(0, Number(values.wrong)))
				print(`    ${row.id} ${judgement.verdict} ${judgement.rule ?? ""} ${JSON.stringify(row.text.slice(0, 200))}`);
	}
}

let worst = { name: "", ms: 0 };
for (const { name, text } of nastyInputs())
	for (const kind of ["command", "prompt"] as const) {
		const row: Row = { id: name, kind, label: "attack", text, cwd: "/srv/project", held: false, source: "" };
		const took = Math.min(...[0, 1].map(() => tally([row], judges).ms[0] ?? 0));
		if (took > worst.ms) worst = { name: `${name} (${kind})`, ms: took };
		if (took > 100) print(`over 100 ms: ${name} as a ${kind}, ${round(took)} ms`);
	}

const decision = { p50Ms: quantile(ms, 0.5), p99Ms: quantile(ms, 0.99), worst64KiBMs: round(worst.ms), worst: worst.name };
print(`\na decision: p50 ${decision.p50Ms} ms, p99 ${decision.p99Ms} ms; worst of 64 KiB ${decision.worst64KiBMs} ms: ${worst.name}\n`);
console.log(JSON.stringify({ corpora, decision }));

function line(name: string, of: Tally): void {
	const s = summary(of);
	const cells = [s.rows, s.denied, s.asked, s.deniedPercent.toFixed(2), s.stoppedPercent.toFixed(2), s.p50Ms, s.p99Ms];
	print(name.padEnd(32) + cells.map((cell) => String(cell).padStart(10)).join(""));
}

function summary({ rows, denied, asked, ms }: Tally) {
	const percent = (n: number): number => Math.round((10_000 * n) / Math.max(1, rows)) / 100;
	const [deniedPercent, stoppedPercent] = [percent(denied), percent(denied + asked)];
	return { rows, denied, asked, deniedPercent, stoppedPercent, p50Ms: quantile(ms, 0.5), p99Ms: quantile(ms, 0.99) };
}

function quantile(of: readonly number[], q: number): number {
	const sorted = of.toSorted((a, b) => a - b);
	return round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0);
}

function round(ms: number): number {
	return Math.round(ms * 1000) / 1000;
}
