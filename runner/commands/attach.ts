import type { Command } from "commander";
import type { SessionHandle } from "../../shared/client.ts";
import { Conversation } from "./chat.ts";
import { action, type ConnectionOptions, connect, EXIT, wholeNumber, withConnection } from "./connection.ts";
import { messageOf, wantsColor } from "./run.ts";
import { Screen, Sink } from "./screen.ts";

interface AttachOptions extends ConnectionOptions {
	after?: string;
}

export function register(program: Command): void {
	withConnection(program.command("attach"))
		.argument("<session>", "a session's id, ses_...")
		.description("Follow a session live, from its beginning, and type into it")
		.option("--after <offset>", "only what comes after this offset")
		.addHelpText(
			"after",
			`
Ctrl-C interrupts the turn that runs; when none runs, or again, it detaches. The session goes on without you.
Where input or output is not a terminal it only follows.

Examples:
  hotplex attach ses_01jd3m7q6w8e9r0t1y2v3b4n5m
  hotplex attach ses_01jd3m7q6w8e9r0t1y2v3b4n5m --after 120 | tee session.txt`,
		)
		.action(action(attach));
}

async function attach(id: string, options: AttachOptions): Promise<void> {
	const session = connect(options).session(id);
	const after = wholeNumber("--after", options.after);
	const from = after === undefined ? {} : { after };
	await session.get();
	if (!process.stdin.isTTY || !process.stdout.isTTY) return follow(session, from);
	process.stderr.write("attached; Ctrl-C interrupts a running turn, else detaches\n");
	await new Conversation(session, "detach").run(from);
}

async function follow(session: SessionHandle, from: { after?: number }): Promise<void> {
	const sink = new Sink((text) => process.stdout.write(text));
	const screen = new Screen({ text: sink, aside: sink, color: wantsColor(process.stdout) });
	const stop = new AbortController();
	const running = new Set<string>();
	let interrupting = false;
	const onInterrupt = (): void => {
		if (running.size === 0 || interrupting) return stop.abort();
		interrupting = true;
		process.stderr.write("\nhotplex: interrupting the turn; Ctrl-C again detaches, the session stays\n");
		session.interrupt().catch((error: unknown) => process.stderr.write(`hotplex: ${messageOf(error)}\n`));
	};
	process.on("SIGINT", onInterrupt);
	try {
		for await (const item of session.watch({ ...from, signal: stop.signal })) {
			const event = screen.show(item)?.event;
			const snapshot = item.kind === "connected" || item.kind === "recovered_false" ? item.snapshot : null;
			if (snapshot?.turn?.startedAt) running.add(snapshot.turn.turnId);
			if (event?.type === "turn_started") running.add(event.turnId);
			if (event?.type === "turn_ended") {
				running.delete(event.turnId);
				interrupting = false;
			}
			if (event?.type === "session_state" && event.state === "closed") break;
		}
	} finally {
		process.off("SIGINT", onInterrupt);
	}
	if (stop.signal.aborted) process.exitCode = EXIT.interrupted;
}
