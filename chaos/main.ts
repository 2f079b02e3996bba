/**
 * The fault harness: real gateways, runners and CLIs, broken by chance in ways that a seed repeats, and nothing may be lost.
 *
 *   npm run chaos -- [--seed N] [--runs N] [--only FAULT,...] [--minutes M] [--nightly] [--parallel N] [--json]
 *
 *   --seed N       of the first run; each further one has the next number. Absent: by the clock
 *   --runs N       how many (20). Each is a world of its own: a gateway, runners, sessions, and one row of the table of faults
 *   --only FAULT   runs of these faults alone, one after the other; `--list` names them
 *   --minutes M    begins no run after this long
 *   --nightly      goes on until 10,000 cuts, 500 kills of daemons, 200 of gateways, and each fault
 *   --parallel N   worlds at once (4)
 *   --root DIR     the product's sources, a copy with something changed in it
 *   --report FILE  a table of what was tried and what came of it
 *   --patience S   how long a turn or a reader may take after what was done to it (45)
 *   --keep         leaves the worlds' directories, with the logs of what failed
 *   --json         only the last line, which is there in any case
 *
 * The last line is JSON. The exit code is 0 only if nothing was lost, doubled, reordered, unfinished, unanswered or run twice. A failing run
 * tells its seed; `--seed N --runs 1` does the same again.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Finding, KINDS, type Kind } from "./checker.ts";
import { FAULTS, type FaultRow } from "./faults.ts";
import { Random } from "./random.ts";
import { type Outcome, report } from "./report.ts";
import { NotTried } from "./scenarios.ts";
import { World } from "./world.ts";

const { values } = parseArgs({
	options: {
		seed: { type: "string" },
		runs: { type: "string" },
		only: { type: "string" },
		minutes: { type: "string" },
		nightly: { type: "boolean", default: false },
		parallel: { type: "string", default: "4" },
		root: { type: "string" },
		report: { type: "string" },
		patience: { type: "string", default: "45" },
		keep: { type: "boolean", default: false },
		list: { type: "boolean", default: false },
		json: { type: "boolean", default: false },
	},
});

/** Each fault this often, and then what its numbers are made of. */
const NIGHT = {
	cuts: 10_000,
	daemonKills: 500,
	gatewayKills: 200,
	times: 1,
	afterwards: { "all-at-once": 6, "daemon-killed": 1, "gateway-killed": 1, links: 1 },
};

if (values.list) {
	for (const row of FAULTS) console.log(`${row.name.padEnd(20)} ${row.what}`);
	process.exit(0);
}
const wholeNumber = (name: string, text: string): number => {
	if (!/^\d{1,15}$/.test(text)) throw new Error(`--${name} ${text}: expected a whole number`);
	return Number(text);
};
const only = values.only?.split(",");
for (const name of only ?? []) if (!FAULTS.some((row) => row.name === name)) throw new Error(`--only ${name}: no such fault; see --list`);
const firstSeed = wholeNumber("seed", values.seed ?? String(Date.now() % 1_000_000_000));
const runs = values.nightly ? Number.POSITIVE_INFINITY : wholeNumber("runs", values.runs ?? "20");
const endsAt = values.minutes === undefined ? Number.POSITIVE_INFINITY : Date.now() + Number(values.minutes) * 60_000;
const say = (line: string): void => {
	if (!values.json) process.stderr.write(`${line}\n`);
};

/** A signal ends all worlds' processes too. */
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

/** What no run waited for; it must not end the others. */
const strays: string[] = [];
process.on("unhandledRejection", (cause) => {
	strays.push(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause));
	process.stderr.write(`${strays.at(-1)}\n`);
});

const began = Date.now();
const outcomes: Outcome[] = [];
say(`seed ${firstSeed}`);
let next = 0;
await Promise.all(Array.from({ length: wholeNumber("parallel", values.parallel) }, work));
const total = summary();
if (values.report !== undefined) writeFileSync(values.report, report(FAULTS, outcomes, total));
console.log(JSON.stringify(total));
// Whatever an undici pool or a timer of a reader still holds must not keep it.
process.exit(KINDS.every((kind) => total[kind] === 0) && outcomes.length > 0 ? 0 : 1);

async function work(): Promise<void> {
	while (next < runs && Date.now() < endsAt && !(values.nightly && isNightOver())) {
		const number = next++;
		const seed = firstSeed + number;
		const row = choose(seed, number);
		const outcome = await run(seed, row);
		outcomes.push(outcome);
		const { cuts, daemonKills, gatewayKills, seconds, findings, notTried } = outcome;
		const what = notTried !== null ? `NOT TRIED: ${notTried}` : findings.length === 0 ? "ok" : "FAILED";
		say(
			`seed ${seed} ${row.name.padEnd(18)} ${seconds.toFixed(1).padStart(5)} s ${String(cuts).padStart(4)} cuts ${daemonKills}+${gatewayKills} kills  ${what}`,
		);
	}
}

/** Those that were asked for in their order, at night first each of them, else by chance. */
function choose(seed: number, number: number): FaultRow {
	const rows = FAULTS.filter((row) => only?.includes(row.name) ?? true);
	const due = only !== undefined || number < rows.length * (values.nightly ? NIGHT.times : 0) ? rows[number % rows.length] : undefined;
	if (due !== undefined) return due;
	const weights: Record<string, number> = values.nightly ? NIGHT.afterwards : Object.fromEntries(rows.map((row) => [row.name, row.weight]));
	const name = new Random(seed).fork("fault").weighted(weights);
	return rows.find((row) => row.name === name) ?? (rows[0] as FaultRow);
}

async function run(seed: number, row: FaultRow): Promise<Outcome> {
	const startedAt = Date.now();
	const findings: Finding[] = [];
	let notTried: string | null = null;
	const world = new World({
		random: new Random(`${seed}/${row.name}`),
		keep: values.keep,
		patienceMs: 1_000 * wholeNumber("patience", values.patience),
		...(values.root === undefined ? {} : { root: values.root }),
	});
	let sessions = 0;
	let events = 0;
	let late: NodeJS.Timeout | undefined;
	try {
		const tooLong = new Promise<never>((_, reject) => {
			late = setTimeout(() => reject(new Error(`it took longer than ${row.limitMs / 1000} s`)), row.limitMs);
		});
		await world.start();
		await Promise.race([row.run(world), tooLong]);
	} catch (cause) {
		if (cause instanceof NotTried) notTried = cause.message;
		else
			findings.push({
				kind: "unfinished",
				count: 1,
				where: "run",
				what: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause),
			});
	}
	clearTimeout(late);
	for (const conversation of world.conversations) {
		sessions++;
		if (notTried !== null) break;
		// Of a run that broke off, what is there.
		if (conversation.log.length === 0) await conversation.settle(1_000).catch(() => {});
		events += conversation.log.length;
		findings.push(...conversation.check());
	}
	findings.push(...world.findings);
	if (findings.length > 0) tell(seed, row, world, findings);
	await world.close();
	return {
		seed,
		fault: row.name,
		findings,
		notTried,
		seconds: (Date.now() - startedAt) / 1000,
		cuts: world.cuts,
		daemonKills: world.daemonKills,
		gatewayKills: world.gatewayKills,
		takeoversMs: world.wasFrozen ? [] : world.proxies.flatMap((proxy) => proxy.takeoversMs),
		sessions,
		events,
	};
}

function tell(seed: number, row: FaultRow, world: World, findings: Finding[]): void {
	const lines = [`\nseed ${seed}, ${row.name}: --seed ${seed} --runs 1 --only ${row.name}   (${world.dir})`];
	for (const { kind, count, where, what } of findings.slice(0, 12)) lines.push(`  ${kind} ${count}  ${where}: ${what}`);
	lines.push(...world.deeds.map((deed) => `    ${deed}`));
	const happened = world.proxies.flatMap((proxy) =>
		proxy.happenings.map((h) => `    ${(h.at / 1000).toFixed(2)} s ${h.link} connection ${h.connection}: ${h.deed} at ${h.type}`),
	);
	lines.push(
		`    and ${happened.length} faults of links, of runners':`,
		...happened.filter((line) => /s (control|session)/.test(line)).slice(0, 60),
	);
	process.stderr.write(`${lines.join("\n")}\n\n`);
	if (!values.keep) return;
	for (const { options, log } of world.conversations)
		writeFileSync(join(world.dir, `${options.name}.log.jsonl`), log.map((logged) => `${JSON.stringify(logged)}\n`).join(""));
}

function summary() {
	const sum = (of: (outcome: Outcome) => number): number => outcomes.reduce((total, outcome) => total + of(outcome), 0);
	const found = (kind: Kind): number => sum((o) => o.findings.filter((f) => f.kind === kind).reduce((n, f) => n + f.count, 0));
	const takeovers = outcomes.flatMap((o) => o.takeoversMs).toSorted((a, b) => a - b);
	const p95 = takeovers[Math.floor(takeovers.length * 0.95)];
	return {
		seed: firstSeed,
		cuts: sum((o) => o.cuts),
		daemonKills: sum((o) => o.daemonKills),
		gatewayKills: sum((o) => o.gatewayKills),
		lost: found("lost"),
		doubled: found("doubled"),
		reordered: found("reordered"),
		unfinished: found("unfinished") + strays.length,
		secondProcesses: found("secondProcesses"),
		unanswered: found("unanswered"),
		runs: outcomes.length,
		sessions: sum((o) => o.sessions),
		events: sum((o) => o.events),
		minutes: Math.round((Date.now() - began) / 600) / 100,
		takeovers: takeovers.length,
		takeoverP95Ms: p95 === undefined ? null : Math.round(p95 * 10) / 10,
		perFault: Object.fromEntries(
			FAULTS.flatMap((row) => {
				const own = outcomes.filter((o) => o.fault === row.name);
				const failed = own.filter((o) => o.findings.length > 0).length;
				return own.length === 0 ? [] : [[row.name, failed === 0 ? own.length : `${own.length}, ${failed} failed`]];
			}),
		),
		failedSeeds: outcomes.filter((o) => o.findings.length > 0).map((o) => `${o.seed} ${o.fault}`),
		notTried: [...new Set(outcomes.filter((o) => o.notTried !== null).map((o) => o.fault))],
	};
}

function isNightOver(): boolean {
	const { cuts, daemonKills, gatewayKills } = summary();
	const each = FAULTS.every((row) => outcomes.filter((o) => o.fault === row.name).length >= NIGHT.times);
	return each && cuts >= NIGHT.cuts && daemonKills >= NIGHT.daemonKills && gatewayKills >= NIGHT.gatewayKills;
}
