import type { Finding } from "./checker.ts";
import type { FaultRow } from "./faults.ts";

/** What came of one run. */
export interface Outcome {
	seed: number;
	fault: string;
	findings: Finding[];
	/** Why this machine could not do it. */
	notTried: string | null;
	seconds: number;
	cuts: number;
	daemonKills: number;
	gatewayKills: number;
	takeoversMs: number[];
	sessions: number;
	events: number;
}

/** docs/FAULTS.md: the table of faults with what was tried of each and what came of it. */
export function report(faults: FaultRow[], outcomes: Outcome[], total: Record<string, unknown>): string {
	const rows = faults.map((row) => {
		const own = outcomes.filter((o) => o.fault === row.name);
		const tried = own.filter((o) => o.notTried === null);
		const failed = tried.filter((o) => o.findings.length > 0);
		const sum = (of: (o: Outcome) => number): string => tried.reduce((n, o) => n + of(o), 0).toLocaleString("en");
		const unable = own.find((o) => o.notTried !== null)?.notTried;
		const outcome =
			tried.length === 0
				? unable === undefined || unable === null
					? "not tried"
					: `**not tried**: ${unable}`
				: failed.length === 0
					? "held"
					: `**${failed.length} failed**: seeds ${failed
							.slice(0, 3)
							.map((o) => o.seed)
							.join(", ")}`;
		const cells = [
			`\`${row.name}\``,
			row.what,
			row.promises.join(", "),
			tried.length,
			sum((o) => o.sessions),
			sum((o) => o.cuts),
			`${sum((o) => o.daemonKills)} / ${sum((o) => o.gatewayKills)}`,
			outcome,
		];
		return `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
	});
	return `# Faults

What is done to HotPlex Edge on purpose, and what came of it. Made by \`npm run chaos -- --nightly --report docs/FAULTS.md\`; not edited by
hand. Each run is a world of its own (a gateway under workerd, runner daemons, CLIs, proxies on all links), and a seed repeats it:
\`npm run chaos -- --seed N --runs 1 --only FAULT\`. Promises P1 to P15 are those of the tests' titles, the others rules of
[PROTOCOL.md](../shared/PROTOCOL.md).

| fault | what is done | promises | runs | sessions | cuts | daemons / gateways killed | outcome |
|---|---|---|---|---|---|---|---|
${rows.join("\n")}

Held means: of what the CLIs printed nothing was lost, doubled or reordered in the log, nor before any of its readers (WebSocket, SSE, REST,
\`hotplex attach\`); every input was answered, every turn ended once and as its CLI says, and no session had two processes.

\`\`\`json
${JSON.stringify(total)}
\`\`\`
`;
}
