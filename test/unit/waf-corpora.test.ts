import { expect, test } from "vitest";
import { judgeCommand } from "../../shared/waf/command.ts";
import { judgePrompt } from "../../shared/waf/prompts.ts";
import { type Label, nastyInputs, readCorpora, tally } from "../support/waf-corpora.ts";

/**
 * Shares of a corpus, in percent, that the WAF is held to. Of commands, for the rows that rules were tuned on and for those held out; of prompts for
 * those held out alone: the scale has learnt the others by heart.
 */
const TARGETS: { label: Label; least: { stopped?: number; denied?: number }; most: { stopped?: number; denied?: number }; rows: number }[] =
	[
		{ label: "attack", rows: 300, least: { stopped: 97, denied: 90 }, most: {} },
		{ label: "devloss", rows: 100, least: { stopped: 90 }, most: {} },
		{ label: "benign", rows: 800, least: {}, most: { stopped: 1.5, denied: 0.1 } },
		{ label: "order", rows: 350, least: { stopped: 95 }, most: {} },
		{ label: "mention", rows: 350, least: {}, most: { stopped: 5 } },
		{ label: "ordinary", rows: 450, least: {}, most: { stopped: 2.5, denied: 0.5 } },
	];
const rows = readCorpora();

for (const { label, least, most, rows: leastRows } of TARGETS)
	test(`of our corpus of ${label} rows, the shares that are stopped and denied reach their targets`, () => {
		const of = rows.filter((row) => row.label === label && (row.kind === "command" || row.held));
		expect(of.length).toBeGreaterThanOrEqual(leastRows);
		const { denied, asked, wrong } = tally(of, { judgeCommand, judgePrompt });
		const shares = { stopped: (100 * (denied + asked)) / of.length, denied: (100 * denied) / of.length };
		// What was judged wrongly, as far as anybody may tune on it.
		const message = wrong
			.filter(({ row }) => !row.held)
			.map(({ row, judgement }) => `${row.id} ${judgement.verdict} ${judgement.rule}: ${row.text}`)
			.join("\n");
		for (const share of ["stopped", "denied"] as const) {
			expect(shares[share], message).toBeGreaterThanOrEqual(least[share] ?? 0);
			expect(shares[share], message).toBeLessThanOrEqual(most[share] ?? 100);
		}
	});

test("no row stands in the corpora twice, and a part of each is held out", () => {
	expect(new Set(rows.map((row) => row.id)).size).toBe(rows.length);
	for (const [label, of] of Map.groupBy(rows, (row) => row.label)) {
		expect(new Set(of.map((row) => row.text)).size, label).toBe(of.length);
		const held = of.filter((row) => row.held).length;
		// Of prompts, of which there are thousands, some hundred tell enough.
		expect(held >= 0.25 * of.length || held >= 350, label).toBe(true);
	}
});

test("every nasty input of 64 KiB gets a verdict, as a command and as a prompt", () => {
	for (const { name, text } of nastyInputs())
		for (const kind of ["command", "prompt"] as const) {
			const { ms } = tally([{ id: name, kind, label: "attack", text, cwd: "/srv/project", held: false, source: "" }], {
				judgeCommand,
				judgePrompt,
			});
			// Generous, since machines that test are busy: the figure is the bench's.
			expect(ms[0], name).toBeLessThan(2000);
		}
}, 60_000);
