import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { type AgentContext, agent, methods, ndJsonStream, RequestError } from "@agentclientprotocol/sdk";
import { z } from "zod";

/**
 * The built-in demonstration provider: an ACP agent without a model, so that a runner without any CLI can show what a
 * session looks like. `node runner/demo-agent.ts`, one JSON-RPC message a line on stdio.
 */
const VERSION = "1";
/** Fast enough not to bore, slow enough to see that it streams. */
const TOKEN_DELAY_MS = 25;
/** Prompts a conversation keeps, oldest forgotten first. */
const MAX_TURNS = 200;
const MAX_LISTED = 200;

const Session = z.object({ cwd: z.string(), prompts: z.array(z.string()) });
type Session = z.infer<typeof Session>;

const dir = process.env.HOTPLEX_DEMO_DIR ?? join(homedir(), ".hotplex-demo");
/** By session id: the prompt that runs, to be cancelled. */
const running = new Map<string, AbortController>();

/** The file of a session. Ids are ours; one that is not could name a file elsewhere. */
function fileOf(sessionId: string): string {
	if (!z.uuid().safeParse(sessionId).success) throw RequestError.resourceNotFound(sessionId);
	return join(dir, `${sessionId}.json`);
}

async function load(sessionId: string): Promise<Session> {
	const file = fileOf(sessionId);
	try {
		return Session.parse(JSON.parse(await readFile(file, "utf8")));
	} catch {
		throw RequestError.resourceNotFound(sessionId);
	}
}

async function save(sessionId: string, session: Session): Promise<void> {
	const file = fileOf(sessionId);
	await mkdir(dir, { recursive: true, mode: 0o700 });
	await writeFile(`${file}.new`, JSON.stringify(session), { mode: 0o600 });
	await rename(`${file}.new`, file);
}

/** What it says, before and after it may list files. */
function answer(prompt: string, earlier: number): string {
	const words = prompt.trim().split(/\s+/);
	const short = words.length > 20 ? `${words.slice(0, 20).join(" ")} ...` : words.join(" ");
	return [
		"This is the demonstration provider of HotPlex; no model answers here.",
		`You asked: "${short}".`,
		...(earlier === 0 ? [] : [`I remember ${earlier} earlier ${earlier === 1 ? "prompt" : "prompts"} of this session.`]),
		"To work with a real agent, install one on the runner's machine:",
		"`npm i -g @anthropic-ai/claude-code` or `npm i -g opencode-ai`, then restart the runner.",
		'Ask me to "list files" to see a tool call with an approval.',
	].join(" ");
}

type Speech = { client: AgentContext; sessionId: string; signal: AbortSignal; spoken: number };

async function say(speech: Speech, words: string): Promise<void> {
	const { client, sessionId, signal } = speech;
	const messageId = randomUUID();
	for (const token of words.match(/\s*\S+/g) ?? []) {
		const content = { type: "text" as const, text: token };
		await client.notify(methods.client.session.update, {
			sessionId,
			update: { sessionUpdate: "agent_message_chunk", messageId, content },
		});
		speech.spoken += 1;
		await sleep(TOKEN_DELAY_MS, undefined, { signal });
	}
}

async function listFiles({ client, sessionId, signal }: Speech, cwd: string): Promise<string> {
	const toolCallId = `list-${randomUUID()}`;
	const call = { toolCallId, title: `List ${cwd}`, kind: "read" as const, rawInput: { path: cwd } };
	const report = async (status: "in_progress" | "completed" | "failed", output?: string) => {
		const content = output === undefined ? [] : [{ type: "content" as const, content: { type: "text" as const, text: output } }];
		await client.notify(methods.client.session.update, {
			sessionId,
			update: { sessionUpdate: "tool_call_update", toolCallId, status, content },
		});
	};
	await client.notify(methods.client.session.update, { sessionId, update: { sessionUpdate: "tool_call", status: "pending", ...call } });
	const { outcome } = await client.request(methods.client.session.requestPermission, {
		sessionId,
		toolCall: { ...call, status: "pending" },
		options: [
			{ optionId: "allow", name: "Allow once", kind: "allow_once" },
			{ optionId: "reject", name: "Reject", kind: "reject_once" },
		],
	});
	signal.throwIfAborted();
	if (outcome.outcome !== "selected" || outcome.optionId !== "allow") {
		await report("failed", "The user did not allow it.");
		return "You did not allow me to list the files.";
	}
	await report("in_progress");
	try {
		const entries = await readdir(cwd, { withFileTypes: true });
		const names = entries.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
		const more = names.length > MAX_LISTED ? `\n... and ${names.length - MAX_LISTED} more` : "";
		await report("completed", names.length === 0 ? "(empty)" : names.slice(0, MAX_LISTED).join("\n") + more);
		return `There ${names.length === 1 ? "is 1 entry" : `are ${names.length} entries`} in the work directory.`;
	} catch (error) {
		await report("failed", error instanceof Error ? error.message : String(error));
		return "The work directory could not be read.";
	}
}

async function prompt(client: AgentContext, sessionId: string, asked: string): Promise<{ stopReason: "end_turn" | "cancelled" }> {
	const session = await load(sessionId);
	const controller = new AbortController();
	running.set(sessionId, controller);
	const { signal } = controller;
	const speech: Speech = { client, sessionId, signal, spoken: 0 };
	const usage = () => {
		const inputTokens = asked.trim().split(/\s+/).length;
		return { usage: { inputTokens, outputTokens: speech.spoken, totalTokens: inputTokens + speech.spoken } };
	};
	try {
		await save(sessionId, { ...session, prompts: [...session.prompts, asked].slice(-MAX_TURNS) });
		await say(speech, answer(asked, session.prompts.length));
		if (/\blist (the |my )?files\b/i.test(asked)) {
			await say(speech, await listFiles(speech, session.cwd));
		}
		return { stopReason: "end_turn", ...usage() };
	} catch (error) {
		if (signal.aborted) return { stopReason: "cancelled", ...usage() };
		throw error;
	} finally {
		running.delete(sessionId);
	}
}

const demo = agent({ name: "hotplex-demo" })
	.onRequest(methods.agent.initialize, () => ({
		protocolVersion: 1,
		agentInfo: { name: "hotplex-demo", title: "Demonstration", version: VERSION },
		agentCapabilities: { loadSession: true, sessionCapabilities: { resume: {} } },
	}))
	.onRequest(methods.agent.session.new, async ({ params }) => {
		const sessionId = randomUUID();
		await save(sessionId, { cwd: params.cwd, prompts: [] });
		return { sessionId };
	})
	.onRequest(methods.agent.session.resume, async ({ params }) => {
		await save(params.sessionId, { ...(await load(params.sessionId)), cwd: params.cwd });
		return {};
	})
	.onRequest(methods.agent.session.load, async ({ params, client }) => {
		const session = await load(params.sessionId);
		for (const earlier of session.prompts) {
			const update = { sessionUpdate: "user_message_chunk" as const, content: { type: "text" as const, text: earlier } };
			await client.notify(methods.client.session.update, { sessionId: params.sessionId, update });
		}
		await save(params.sessionId, { ...session, cwd: params.cwd });
		return {};
	})
	.onRequest(methods.agent.session.prompt, ({ params, client }) => {
		const asked = params.prompt.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("\n");
		return prompt(client, params.sessionId, asked);
	})
	.onNotification(methods.agent.session.cancel, ({ params }) => running.get(params.sessionId)?.abort());

const stdin = new ReadableStream<Uint8Array>({
	start(controller) {
		process.stdin.on("data", (bytes: Buffer) => controller.enqueue(new Uint8Array(bytes)));
		process.stdin.once("end", () => controller.close());
	},
});
// It is the first process of its pid namespace, where the kernel drops signals that have no handler.
process.once("SIGTERM", () => process.exit(143));
const connection = demo.connect(ndJsonStream(Writable.toWeb(process.stdout), stdin));
await connection.closed;
process.exit(0);
