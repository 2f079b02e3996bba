import type { Command } from "commander";
import type { Approval } from "../../shared/api.ts";
import type { Client } from "../../shared/client.ts";
import { action, type ConnectionOptions, connect, printJson, printTable, when, withConnection } from "./connection.ts";

interface ApprovalsOptions extends ConnectionOptions {
	json?: boolean;
	session?: boolean;
	always?: boolean;
}

export function register(program: Command): void {
	const approvals = program.command("approvals").description("Tool calls that wait for a person");

	withConnection(approvals.command("list"))
		.description("What waits, in all sessions of the team, the first to expire first")
		.option("--json", "print one JSON document")
		.addHelpText("after", "\nExample:\n  hotplex approvals list --json | jq -r '.data[].approvalId'\n")
		.action(
			action(async (options: ApprovalsOptions) => {
				const open = await connect(options).approvals();
				if (options.json) return printJson(open);
				printTable(
					["APPROVAL", "SESSION", "TOOL", "WHAT", "IN", "RULE", "WHY", "ASKED BY", "UNTIL"],
					open.data.map((a) => [
						a.approvalId,
						a.sessionId,
						a.tool,
						brief(a.subject),
						a.cwd,
						a.rule,
						a.reason,
						a.requestedBy,
						when(a.expiresAt),
					]),
					"nothing waits for a person",
				);
			}),
		);

	withConnection(approvals.command("allow <approval>"))
		.description("Let the call be made; the first answer counts")
		.option("--session", "and calls like it in this session")
		.option("--always", "and calls like it in the whole team (needs the scope policy:write)")
		.action(
			action(async (approvalId: string, options: ApprovalsOptions) => {
				const remember = options.always ? "always" : options.session ? "session" : undefined;
				const client = connect(options);
				const { sessionId } = await find(client, approvalId);
				await client.session(sessionId).decide(approvalId, { decision: "allow", ...(remember === undefined ? {} : { remember }) });
			}),
		);

	withConnection(approvals.command("deny <approval> [reason...]"))
		.description("Do not let it be made; the reason is told to the model")
		.option("--session", "nor calls like it in this session")
		.option("--always", "nor calls like it in the whole team (needs the scope policy:write)")
		.action(
			action(async (approvalId: string, words: string[], options: ApprovalsOptions) => {
				const remember = options.always ? "always" : options.session ? "session" : undefined;
				const client = connect(options);
				const { sessionId } = await find(client, approvalId);
				await client.session(sessionId).decide(approvalId, {
					decision: "deny",
					...(words.length === 0 ? {} : { message: words.join(" ") }),
					...(remember === undefined ? {} : { remember }),
				});
			}),
		);
}

async function find(client: Client, approvalId: string): Promise<Approval> {
	const found = (await client.approvals()).data.find((a) => a.approvalId === approvalId);
	if (found === undefined)
		throw new Error(`no approval ${approvalId} waits; it may be decided, withdrawn or expired (hotplex approvals list)`);
	return found;
}

const brief = (text: string): string => (text.length > 60 ? `${text.slice(0, 59)}…` : text);
