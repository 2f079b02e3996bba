/**
 * What it costs that no secret gets out: how fast output is redacted, and what a request to a model loses by way of the proxy.
 *
 *   npm run bench:secrets -- [--json]
 *
 *   --json  only the last line: {"redaction":{"sourceMBps","streamedMBps","worstMBps","worst"},"proxy":{"addedMs","deltaMs","tunnelMBps"}}
 */
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { Agent, createServer, request } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { SessionProxy } from "../runner/egress-proxy.ts";
import { Redactor } from "../runner/redaction.ts";

const { values } = parseArgs({ options: { json: { type: "boolean", default: false } } });
const print = (line: string): void => {
	if (!values.json) console.log(line);
};
const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
const round = (value: number): number => Math.round(value * 100) / 100;

// ------------------------------------------------------------ redaction

const UNITS = 4_000_000;
const secrets = Array.from({ length: 12 }, (_, i) => `sk-ant-api03-${i}-a-key-of-this-runner-${i * 7919}`);
const runner = new URL("../runner/", import.meta.url);
const source = readdirSync(runner)
	.filter((name) => name.endsWith(".ts"))
	.map((name) => readFileSync(new URL(name, runner), "utf8"))
	.join("\n");
const fill = (text: string): string => text.repeat(Math.ceil(UNITS / text.length)).slice(0, UNITS);
/** Everyday text, and what makes each finder look as far as it can. */
const TEXTS: Record<string, string> = {
	source: fill(source),
	base64: Buffer.from(Uint8Array.from({ length: UNITS * 0.75 }, (_, i) => (i * 2654435761) >>> 13)).toString("base64"),
	tables: fill("| a | b |\n|-----|-----|\n"),
	addresses: fill("https://example.com:8080/a?b=c://x://y "),
	"heads of JWTs": fill(` eyJ${"a".repeat(2040)}`),
	"heads of tokens": fill("ghp_"),
	"heads of key blocks": fill("-----BEGIN PRIVATE KEY----- "),
	"users in addresses": fill(`://${"a".repeat(255)}`),
	assignments: fill(`TOKEN=${"a".repeat(127)} `),
	"known values": fill(`${secrets.join(" ")} `),
	"known values, cut": fill((secrets[1] ?? "").slice(0, -1)),
};
const speeds = Object.entries(TEXTS).map(([name, text]) => {
	const redactor = new Redactor(secrets);
	redactor.redact(text.slice(0, 100_000));
	const started = performance.now();
	redactor.redact(text);
	return { name, mbps: text.length / 1000 / (performance.now() - started) };
});
const streamed = (() => {
	const [redactor, text] = [new Redactor(secrets), TEXTS.source ?? ""];
	const started = performance.now();
	for (let at = 0; at < text.length; at += 16) redactor.push("s", text.slice(at, at + 16));
	redactor.flush("s");
	return text.length / 1000 / (performance.now() - started);
})();
const worst = speeds.reduce((a, b) => (b.mbps < a.mbps ? b : a));
for (const { name, mbps } of speeds) print(`redaction of ${name}: ${mbps.toFixed(0)} MB/s`);
print(`redaction of source in pieces of 16 units: ${streamed.toFixed(0)} MB/s`);

// ------------------------------------------------------------ the proxy

const listen = async (server: Server): Promise<number> => {
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	return (server.address() as AddressInfo).port;
};
const DELTAS = 50;
const model = createServer((asked, answer) => {
	asked.resume();
	if (asked.url !== "/v1/messages/stream") return void answer.end("{}");
	let sent = 0;
	const timer = setInterval(() => {
		answer.write(`data: ${performance.now()}\n\n`);
		if (++sent === DELTAS) answer.end();
		if (sent === DELTAS) clearInterval(timer);
	}, 5);
});
const sink = createTcpServer((socket) => socket.resume());
const [modelPort, sinkPort] = [await listen(model), await listen(sink)];
const dir = mkdtempSync(join(tmpdir(), "hotplex-bench-"));
const socketPath = join(dir, "proxy.sock");
const rules = {
	reach: { policy: [], owner: [`127.0.0.1:${sinkPort}`] },
	routes: {
		model: {
			upstream: `http://127.0.0.1:${modelPort}`,
			paths: ["/v1/messages"],
			credentials: [{ header: "x-api-key", placeholder: "placeholder", secret: "secret" }],
		},
	},
};
const proxy = new SessionProxy(rules, { resolve: () => Promise.resolve([]), ownAddresses: () => new Set(), connect }, () => {});
await proxy.listen(socketPath);

const direct = { port: modelPort, host: "127.0.0.1", prefix: "", agent: new Agent({ keepAlive: true }) };
const proxied = { socketPath, prefix: "/model/model", agent: new Agent({ keepAlive: true }) };
async function ask({ prefix, ...to }: typeof direct | typeof proxied, path: string, onData: (chunk: string) => void): Promise<number> {
	const started = performance.now();
	const asked = request({ ...to, path: prefix + path, method: "POST", headers: { "x-api-key": "placeholder" } });
	asked.end("{}");
	const [answer] = await once(asked, "response");
	answer.on("data", (chunk: Buffer) => onData(String(chunk)));
	await once(answer, "end");
	return performance.now() - started;
}
const times: Record<"direct" | "proxied", number[]> = { direct: [], proxied: [] };
for (let i = 0; i < 400; i++) {
	times.direct.push(await ask(direct, "/v1/messages", () => {}));
	times.proxied.push(await ask(proxied, "/v1/messages", () => {}));
}
const addedMs = median(times.proxied.slice(50)) - median(times.direct.slice(50));
const delays: number[] = [];
await ask(proxied, "/v1/messages/stream", (chunk) => delays.push(performance.now() - Number(chunk.trim().split(" ").at(-1))));
const deltaMs = median(delays);

const tunnel = connect(socketPath);
tunnel.write(`CONNECT 127.0.0.1:${sinkPort} HTTP/1.1\r\nhost: x\r\n\r\n`);
await once(tunnel, "data");
const chunk = Buffer.alloc(256 * 1024);
const CHUNKS = 800;
const began = performance.now();
for (let i = 0; i < CHUNKS; i++) if (!tunnel.write(chunk)) await once(tunnel, "drain");
const tunnelMBps = (CHUNKS * chunk.length) / 1000 / (performance.now() - began);
tunnel.destroy();
print(
	`a request to a model by way of the proxy: ${addedMs.toFixed(2)} ms more; a streamed delta: ${deltaMs.toFixed(2)} ms; a tunnel: ${tunnelMBps.toFixed(0)} MB/s`,
);

proxy.close();
for (const { agent } of [direct, proxied]) agent.destroy();
model.close();
sink.close();
rmSync(dir, { recursive: true });
console.log(
	JSON.stringify({
		redaction: {
			sourceMBps: round(speeds[0]?.mbps ?? Number.NaN),
			streamedMBps: round(streamed),
			worstMBps: round(worst.mbps),
			worst: worst.name,
		},
		proxy: { addedMs: round(addedMs), deltaMs: round(deltaMs), tunnelMBps: round(tunnelMBps) },
	}),
);
