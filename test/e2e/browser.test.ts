import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openChromium } from "../support/browser.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;
let server: Server;
let origin: string;
/** What the page reported, by its path. */
const reports = new Map<string, (body: string) => void>();

beforeAll(async () => {
	const bundle = await build({
		stdin: {
			contents: `
				import { Client } from ${JSON.stringify(fileURLToPath(new URL("../../shared/client.ts", import.meta.url)))};
				const { url, apiKey, report } = window.HOTPLEX;
				const say = (body) => fetch(report, { method: "POST", body: JSON.stringify(body) });
				(async () => {
					const client = new Client({ url, apiKey });
					const session = await client.openSession({ provider: "demo" });
					const result = await (await session.send("from a browser")).result();
					await say({ text: result.text, stopReason: result.stopReason });
				})().catch((error) => say({ error: String(error) }));`,
			loader: "ts",
			resolveDir: ".",
		},
		bundle: true,
		write: false,
		format: "iife",
		platform: "browser",
	});
	server = createServer((request, response) => {
		const { pathname } = new URL(request.url ?? "/", "http://x");
		if (request.method === "POST") {
			let body = "";
			request.on("data", (chunk: Buffer) => {
				body += chunk.toString("utf8");
			});
			request.on("end", () => {
				reports.get(pathname)?.(body);
				response.end();
			});
			return;
		}
		response.setHeader("content-type", "text/html");
		const settings = JSON.stringify({ url: stack.url, apiKey: stack.apiKey, report: `/report${pathname}` });
		response.end(`<!doctype html><script>window.HOTPLEX=${settings}</script><script>${bundle.outputFiles[0]?.text ?? ""}</script>`);
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	stack = await startStack({ env: { ALLOWED_ORIGINS: origin } });
});

afterAll(async () => {
	await stack.remove();
	server.close();
});

/** Opens the page in a real browser and waits for its report. */
async function openPage(address: string): Promise<unknown> {
	const report = new Promise<string>((resolve) => reports.set(`/report${new URL(address).pathname}`, resolve));
	const browser = openChromium(address);
	try {
		return JSON.parse(await report);
	} finally {
		await browser.close();
	}
}

test("[WAT-3] the client in a real browser opens a session and streams a turn, by ticket, from a listed origin", async () => {
	expect(await openPage(`${origin}/turn`)).toEqual({
		text: expect.stringContaining('You asked: "from a browser"'),
		stopReason: "end_turn",
	});
});

test("[WAT-3] a page of an origin that is not listed gets nothing, with a valid key too", async () => {
	// The same machine by another name is another origin.
	const other = origin.replace("127.0.0.1", "localhost");
	expect(await openPage(`${other}/evil`)).toEqual({ error: expect.stringMatching(/fetch|reach/i) });
});
