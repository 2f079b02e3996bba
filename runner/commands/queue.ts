import type { Command } from "commander";
import { action, type ConnectionOptions, connect, printJson, printTable, when, withConnection } from "./connection.ts";

interface QueueOptions extends ConnectionOptions {
	json?: boolean;
}

export function register(program: Command): void {
	withConnection(program.command("queue"))
		.description("Sessions that wait for a runner, in the order of service, and why")
		.option("--json", "print one JSON document")
		.addHelpText("after", "\nExample:\n  hotplex queue --json | jq -r '.data[0].why'\n")
		.action(
			action(async (options: QueueOptions) => {
				const queue = await connect(options).queue();
				if (options.json) return printJson(queue);
				printTable(
					["POSITION", "SESSION", "PRINCIPAL", "PROVIDER", "ON", "SINCE", "WHY"],
					queue.data.map((w) => [w.position, w.sessionId, w.principal, w.provider, w.selector, when(w.since), w.why]),
					"nothing waits for a runner",
				);
			}),
		);
}
