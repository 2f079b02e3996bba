import type { Command } from "commander";
import { wordsOfLoss } from "../../shared/client.ts";
import {
	action,
	type ConnectionOptions,
	connect,
	jsonText,
	printJson,
	printTable,
	when,
	wholeNumber,
	withConnection,
} from "./connection.ts";
import { oneLine } from "./screen.ts";

interface ReadOptions extends ConnectionOptions {
	json?: boolean;
}
interface PageOptions extends ReadOptions {
	limit?: string;
	cursor?: string;
}
interface EventOptions extends ReadOptions {
	after?: string;
	limit?: string;
}

export function register(program: Command): void {
	const sessions = program.command("sessions").description("List, inspect and end sessions");
	sessions.addHelpText(
		"after",
		`
Examples:
  hotplex sessions list
  hotplex sessions get ses_01jd3m7q6w8e9r0t1y2v3b4n5m --json | jq -r .state
  hotplex sessions events ses_01jd3m7q6w8e9r0t1y2v3b4n5m --after 40 --json | jq '.data[].event.type'
  hotplex sessions rm ses_01jd3m7q6w8e9r0t1y2v3b4n5m`,
	);

	withConnection(sessions.command("list"))
		.description("The team's sessions, newest first")
		.option("--limit <n>", "at most this many, 1 to 200")
		.option("--cursor <cursor>", "where the last page ended")
		.option("--json", "print one JSON document")
		.action(
			action(async (options: PageOptions) => {
				const page = await connect(options).sessions({ limit: wholeNumber("--limit", options.limit), cursor: options.cursor });
				if (options.json) return printJson(page);
				printTable(
					["SESSION", "STATE", "PROVIDER", "KEY", "RUNNER", "ON", "UPDATED", "WHY"],
					page.data.map((s) => [s.sessionId, s.state, s.provider, s.key, s.runnerId, s.selector, when(s.updatedAt), s.why ?? ""]),
					"no sessions; begin one with: hotplex chat",
				);
				if (page.nextCursor !== null) process.stderr.write(`more with --cursor ${page.nextCursor}\n`);
			}),
		);

	withConnection(sessions.command("get"))
		.argument("<session>", "ses_...")
		.description("One session as it is now")
		.option("--json", "print one JSON document")
		.action(
			action(async (id: string, options: ReadOptions) => {
				const session = await connect(options).session(id).get();
				if (options.json) return printJson(session);
				const { createdAt, updatedAt, ...rest } = session;
				printTable(["FIELD", "VALUE"], [...Object.entries(rest), ["createdAt", when(createdAt)], ["updatedAt", when(updatedAt)]], "");
			}),
		);

	withConnection(sessions.command("events"))
		.argument("<session>", "ses_...")
		.description("A page of its log; `hotplex attach` follows it")
		.option("--after <offset>", "only what comes after this offset")
		.option("--limit <n>", "at most this many, 1 to 1000")
		.option("--json", "print one JSON document")
		.action(
			action(async (id: string, options: EventOptions) => {
				const after = wholeNumber("--after", options.after);
				const limit = wholeNumber("--limit", options.limit);
				const page = await connect(options).session(id).eventPage({ after, limit });
				if (options.json) return printJson(page);
				if (page.snapshot) {
					const lost = { after: after ?? 0, firstOffset: page.firstOffset, sameLog: true };
					process.stderr.write(`${wordsOfLoss(lost)}\n`);
				}
				printTable(
					["OFFSET", "AT", "TYPE", "CONTENT"],
					page.data.map(({ offset, at, event: { type, ...content } }) => [offset, when(at), type, oneLine(jsonText(content))]),
					"no events",
				);
				const last = page.data.at(-1);
				if (last && last.offset < page.lastOffset) process.stderr.write(`more with --after ${last.offset}\n`);
			}),
		);

	withConnection(sessions.command("stats"))
		.argument("<session>", "ses_...")
		.description("What it has used so far")
		.option("--json", "print one JSON document")
		.action(
			action(async (id: string, options: ReadOptions) => {
				const stats = await connect(options).session(id).stats();
				if (options.json) return printJson(stats);
				const { turns, tokens } = stats;
				printTable(
					["WHAT", "VALUE"],
					[
						["turns", `${turns.accepted} (${turns.ended} ended, ${turns.failed} failed, ${turns.cancelled} cancelled)`],
						["time in turns", `${(stats.turnMs / 1000).toFixed(1)} s`],
						["input tokens", tokens.inputTokens],
						["output tokens", tokens.outputTokens],
						["cache read tokens", tokens.cacheReadTokens],
						["cache write tokens", tokens.cacheWriteTokens],
						["cost", stats.costUsd === null ? null : `${stats.costUsd.toFixed(4)} USD`],
						["process starts", stats.processStarts],
						["events", `${stats.events} (${stats.bytes} bytes)`],
						["created", when(stats.createdAt)],
						["last event", when(stats.lastEventAt)],
					],
					"",
				);
			}),
		);

	withConnection(sessions.command("release"))
		.argument("<session>", "ses_...")
		.description("Give up the runner that holds it, or that it waits for; another may take it")
		.option("--again", "take the turn that it had once more; its first runner may have begun it")
		.action(
			action(async (id: string, options: ConnectionOptions & { again?: true }) => {
				await connect(options)
					.session(id)
					.release({ again: options.again ?? false });
				process.stdout.write(`${id} released\n`);
			}),
		);

	withConnection(sessions.command("rm"))
		.argument("<session...>", "ses_...")
		.description("End sessions for good, with their turns and processes")
		.action(
			action(async (ids: string[], options: ConnectionOptions) => {
				const client = connect(options);
				for (const id of ids) {
					await client.session(id).terminate();
					process.stdout.write(`${id} ended\n`);
				}
			}),
		);
}
