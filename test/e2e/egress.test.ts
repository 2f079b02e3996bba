import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Egress, type EgressOptions, type OpenEgress } from "../../runner/egress.ts";
import { cliHome } from "../support/clihome.ts";
import { installClis } from "../support/clis.ts";
import { type FakeModelApi, startFakeModelApi } from "../support/fake-model-api.ts";
import { Follower } from "../support/follower.ts";
import { RunnerDaemon } from "../support/runner-daemon.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stateDir: string;
let upstream: Server;
let port: number;
let daemons: Egress[];
let refused: Parameters<EgressOptions["onRefused"]>[0][];
const KEY = "sk-ant-api03-the-real-key";

beforeEach(async () => {
	// As long as state directories are.
	stateDir = mkdtempSync(join(tmpdir(), `egress-${"x".repeat(80)}-`));
	upstream = createServer((request, response) => {
		if (request.url === "/v1/messages/slow") response.write("first ");
		else response.end(request.headers["x-api-key"] ?? "no key");
	}).listen(0, "127.0.0.1");
	await once(upstream, "listening");
	port = (upstream.address() as AddressInfo).port;
	[daemons, refused] = [[], []];
});
afterEach(async () => {
	for (const daemon of daemons) daemon.leave();
	await daemon().end();
	upstream.close();
	upstream.closeAllConnections();
	rmSync(stateDir, { recursive: true, force: true });
});

function daemon(more: Partial<EgressOptions> = {}): Egress {
	const egress = new Egress({ stateDir, env: {}, log: () => {}, lookMs: 200, onRefused: (refusal) => refused.push(refusal), ...more });
	daemons.push(egress);
	return egress;
}
async function open(egress: Egress, sessionId = "ses_1", hosts: string[] = []): Promise<OpenEgress> {
	const env = { ANTHROPIC_API_KEY: KEY, ANTHROPIC_BASE_URL: `http://127.0.0.1:${port}`, OTHER_TOKEN: "other-token", LANG: "C" };
	const opened = await egress.open({ sessionId, hosts, provider: { settings: { kind: "claude-code", command: "claude" } }, env });
	if (!opened.ok) throw new Error(opened.error.detail);
	return opened.value;
}
const pid = () => (JSON.parse(readFileSync(join(stateDir, "egress/process.json"), "utf8")) as { pid: number }).pid;
function ask(opened: OpenEgress, path: string, headers: Record<string, string> = {}): Promise<string> {
	return new Promise((resolve, reject) => {
		const request = httpRequest({ createConnection: () => connectTo(opened), path, headers });
		request.on("error", reject);
		request.on("response", async (response) => {
			let body = "";
			for await (const chunk of response) body += chunk;
			resolve(`${response.statusCode} ${body}`);
		});
		request.end();
	});
}
/** Its path is longer than a socket's may be; in a jail it is mounted where it is short. */
function connectTo(opened: OpenEgress) {
	const at = openSync(opened.socketDir, "r");
	const socket = connect(`/proc/self/fd/${at}/proxy.sock`);
	closeSync(at);
	// The proxy may end after its answer.
	socket.on("error", () => {});
	return socket;
}
const asModel = (opened: OpenEgress) => ask(opened, "/model/anthropic/v1/messages", { "x-api-key": opened.env.ANTHROPIC_API_KEY ?? "" });

test("[EGR-4] a CLI is given the proxy's address and a placeholder, and works by them; its key stays outside", async () => {
	const opened = await open(daemon());
	expect(opened.env).toMatchObject({
		ANTHROPIC_BASE_URL: "http://127.0.0.1:3128/model/anthropic",
		HTTPS_PROXY: "http://127.0.0.1:3128",
		http_proxy: "http://127.0.0.1:3128",
		NO_PROXY: "localhost,127.0.0.1,::1",
		LANG: "C",
	});
	expect(opened.env.ANTHROPIC_API_KEY).toMatch(/^sk-ant-api03-hotplex-[\w-]{43}$/);
	expect(opened).toMatchObject({ keysInside: ["OTHER_TOKEN"], secrets: [KEY, "other-token"] });
	expect(await asModel(opened)).toBe(`200 ${KEY}`);
	const other = await open(daemon(), "ses_2");
	expect(other.env.ANTHROPIC_API_KEY).not.toBe(opened.env.ANTHROPIC_API_KEY);
	expect(await ask(other, "/model/anthropic/v1/messages", { "x-api-key": opened.env.ANTHROPIC_API_KEY ?? "" })).toMatch(/^401 /);
});

test("[EGR-6] neither its command line, its environment nor its files hold a key, and only its user comes near", async () => {
	await open(daemon());
	const proc = (name: string) => readFileSync(`/proc/${pid()}/${name}`, "latin1");
	expect(proc("cmdline") + proc("environ")).not.toContain(KEY);
	const dir = join(stateDir, "egress");
	expect(statSync(join(dir, `control.${pid()}.sock`)).mode & 0o077).toBe(0);
	expect(statSync(join(dir, "placeholder-key")).mode & 0o077).toBe(0);
	expect(statSync(join(dir, "sessions/ses_1")).mode & 0o077).toBe(0);
});

test("[EGR-6] a daemon that is gone interrupts nothing, and the next one goes on with the same process and the same placeholders", async () => {
	const first = daemon();
	const opened = await open(first);
	const before = pid();
	const slow = httpRequest({
		createConnection: () => connectTo(opened),
		path: "/model/anthropic/v1/messages/slow",
		headers: { "x-api-key": opened.env.ANTHROPIC_API_KEY ?? "" },
	});
	slow.on("error", () => {});
	slow.end();
	const [response] = await once(slow, "response");
	first.leave();
	// While nobody is there to be told.
	expect(await asModel(opened)).toBe(`200 ${KEY}`);
	expect(await ask(opened, "http://evil.test/", { host: "evil.test" })).toMatch(/^403 /);
	const second = daemon();
	expect(await open(second)).toEqual(opened);
	expect(pid()).toBe(before);
	expect(response.destroyed).toBe(false);
	await expect
		.poll(() => refused, { timeout: 10_000 })
		.toMatchObject([{ sessionId: "ses_1", host: "evil.test", port: 80, rule: "egress.host", times: 1 }]);
	slow.destroy();
});

test("[EGR-6] a process that dies is started again, and its sessions are open again", async () => {
	const egress = daemon();
	const opened = await open(egress);
	const before = pid();
	process.kill(before, "SIGKILL");
	await expect.poll(() => asModel(opened).catch(() => ""), { timeout: 10_000 }).toBe(`200 ${KEY}`);
	expect(pid()).not.toBe(before);
});

test("[EGR-6] one that dies with an order unread is no more than gone", async () => {
	const egress = daemon();
	const opened = await open(egress);
	process.kill(pid(), "SIGSTOP");
	const unread = expect(egress.update("ses_1", ["example.com"])).rejects.toThrow("it ended");
	// A socket whose end dies with something unread is reset.
	await new Promise((resolve) => setImmediate(resolve));
	process.kill(pid(), "SIGKILL");
	await unread;
	await expect.poll(() => asModel(opened).catch(() => ""), { timeout: 10_000 }).toBe(`200 ${KEY}`);
});

test("[EGR-6] a process of another version is replaced: what it carried goes on there, what is new comes to the new one", async () => {
	const first = daemon();
	const opened = await open(first);
	await open(first, "ses_2");
	const before = pid();
	const slow = httpRequest({
		createConnection: () => connectTo(opened),
		path: "/model/anthropic/v1/messages/slow",
		headers: { "x-api-key": opened.env.ANTHROPIC_API_KEY ?? "" },
	});
	slow.on("error", () => {});
	slow.end();
	const [response] = await once(slow, "response");
	first.leave();
	const second = daemon({ build: "another" });
	await open(second);
	expect(pid()).not.toBe(before);
	// Also for a session that the new daemon has not come to yet.
	expect(await asModel(opened)).toBe(`200 ${KEY}`);
	expect(existsSync(join(stateDir, "egress/sessions/ses_2/proxy.sock"))).toBe(true);
	expect([response.destroyed, existsSync(`/proc/${before}`)]).toEqual([false, true]);
	slow.destroy();
	await expect.poll(() => existsSync(`/proc/${before}`), { timeout: 15_000, interval: 200 }).toBe(false);
}, 30_000);

describe("what is open", () => {
	test("[EGR-6] a session that ended has no socket any more, nor one that no daemon hosts", async () => {
		const egress = daemon();
		const opened = await open(egress);
		await open(egress, "ses_2");
		await open(egress, "ses_3");
		await egress.close("ses_1");
		expect(existsSync(opened.socketDir)).toBe(false);
		egress.leave();
		const next = daemon();
		await next.keepOnly(new Set(["ses_3"]));
		expect(["ses_2", "ses_3"].map((id) => existsSync(join(stateDir, "egress/sessions", id)))).toEqual([false, true]);
	});

	test("[EGR-1] another policy counts for the next request of an open session", async () => {
		const egress = daemon();
		const opened = await open(egress);
		const target = `http://localhost:${port}/`;
		const asked = () => ask(opened, target, { host: `localhost:${port}` });
		expect(await asked()).toMatch(/^403 .*policy/);
		await egress.update("ses_1", ["localhost"]);
		// Named by the policy, but this machine is the owner's to name.
		expect(await asked()).toMatch(/^403 .*only ports/);
	});

	test("[EGR-1] a refusal is told once, and how often it came again", async () => {
		const opened = await open(daemon());
		for (let i = 0; i < 5; i++) await ask(opened, "http://evil.test/", { host: "evil.test" });
		await expect.poll(() => refused.map((r) => r.times), { timeout: 10_000 }).toEqual([1, 4]);
	}, 15_000);

	test("[EGR-1] a session that asks for many hosts is told of by some of them, and how many more there were", async () => {
		const opened = await open(daemon({ lookMs: 1000 }));
		for (let i = 0; i < 30; i++) await ask(opened, `http://evil${i}.test/`, { host: `evil${i}.test` });
		await expect.poll(() => refused.reduce((sum, { times }) => sum + times, 0), { timeout: 10_000 }).toBe(30);
		expect(refused.length).toBe(21);
	}, 15_000);

	test("[EGR-6] the process ends when nobody has needed it for long", async () => {
		const egress = daemon({ lonelyMs: 0 });
		await open(egress);
		await egress.close("ses_1");
		const was = pid();
		egress.leave();
		await expect.poll(() => existsSync(`/proc/${was}`), { timeout: 15_000, interval: 200 }).toBe(false);
	}, 30_000);

	test("[EGR-6] where its pid is another process's by now, that one is left alone", async () => {
		const egress = daemon();
		await open(egress);
		egress.leave();
		const path = join(stateDir, "egress/process.json");
		const was = pid();
		writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, "utf8")) as object), pid: process.pid }));
		await open(daemon());
		expect(pid()).not.toBe(was);
		// And it sees that another one has its place.
		await expect.poll(() => existsSync(`/proc/${was}`), { timeout: 10_000 }).toBe(false);
	});
});

/** What the real CLI needs of a jail: no network but a bridge to its proxy, and processes of its own. */
async function inJail(opened: OpenEgress, cwd: string, ...command: string[]): Promise<string> {
	const bridge = 'socat TCP-LISTEN:3128,bind=127.0.0.1,fork,reuseaddr UNIX-CONNECT:/mnt/proxy.sock & sleep 0.2; "$@"';
	const jail = [
		"--dev-bind",
		"/",
		"/",
		"--unshare-net",
		"--unshare-pid",
		"--proc",
		"/proc",
		"--bind",
		opened.socketDir,
		"/mnt",
		"--die-with-parent",
	];
	const child = spawn("bwrap", [...jail, "--", "sh", "-c", bridge, "bridge", ...command], {
		env: opened.env,
		cwd,
		stdio: ["ignore", "pipe", "inherit"],
	});
	let output = "";
	child.stdout.on("data", (chunk) => {
		output += chunk;
	});
	await once(child, "exit");
	return output;
}

describe("the real claude", () => {
	let model: FakeModelApi;
	let claude: string;
	beforeAll(async () => {
		model = await startFakeModelApi({ rate: 0 });
		claude = (await installClis()).claude;
	});
	afterAll(() => model.close());

	test.each([
		["ANTHROPIC_API_KEY", "sk-ant-api03-in-nobodys-hands", "x-api-key", ""],
		["ANTHROPIC_AUTH_TOKEN", "sk-ant-api03-in-nobodys-hands", "authorization", "Bearer "],
		["CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-in-nobodys-hands", "authorization", "Bearer "],
	])(
		"[EGR-4] makes a turn with %s, and nothing that it starts can read the key",
		async (name, key, header, scheme) => {
			const keys = new Set<unknown>();
			const front = createServer((request, response) => {
				keys.add(request.headers[header]);
				const { method, headers } = request;
				const asked = httpRequest(`${model.url}${request.url}`, { method: method ?? "GET", headers }, (answer) => {
					response.writeHead(answer.statusCode ?? 502, answer.headers);
					answer.pipe(response);
				});
				request.pipe(asked);
			}).listen(0, "127.0.0.1");
			await once(front, "listening");
			const home = await cliHome(join(stateDir, "cli"), `http://127.0.0.1:${(front.address() as AddressInfo).port}`);
			const { ANTHROPIC_API_KEY: _, ...plain } = home.claude;
			const opened = await daemon().open({
				...{ sessionId: "ses_1", hosts: [], provider: { settings: { kind: "claude-code", command: "claude" } } },
				env: { ...plain, [name]: key },
			});
			if (!opened.ok) throw new Error(opened.error.detail);
			const look = `cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'; grep -r nobodys-[h]ands ${home.workDir} $HOME $TMPDIR; curl -sS -m 9 https://evil.test/; echo looked`;
			const prompt = `fake:bash cmd=${JSON.stringify(look)}\nfake:text text="the end"`;
			const flags = ["--output-format", "stream-json", "--verbose", "--allowedTools", "Bash", "--setting-sources", ""];
			const output = await inJail(opened.value, home.workDir, claude, "-p", prompt, ...flags);
			expect([...keys]).toEqual([scheme + key]);
			expect(output).toContain("looked");
			expect(output).toContain("hotplex-");
			expect(output).toContain("CONNECT tunnel failed, response 403");
			expect(output).toContain('"result":"the end"');
			expect(output).not.toContain(key);
			await expect.poll(() => refused, { timeout: 10_000 }).toMatchObject([{ host: "evil.test", port: 443, rule: "egress.host" }]);
			front.close();
			front.closeAllConnections();
		},
		60_000,
	);
});

describe("a session of the whole", () => {
	const KEY_OF_RUNNER = "sk-ant-api03-of-the-runner-alone";
	let model: FakeModelApi;
	let stack: Stack;
	let runner: RunnerDaemon;
	let dir: string;
	let follower: Follower;

	beforeAll(async () => {
		dir = mkdtempSync(join(tmpdir(), "hotplex-egress-"));
		model = await startFakeModelApi({ rate: 20 });
		const [{ claude }, home] = await Promise.all([installClis(), cliHome(join(dir, "cli"), model.url)]);
		stack = await startStack();
		runner = new RunnerDaemon(join(dir, "runner"));
		const env = { ...home.claude, ANTHROPIC_API_KEY: KEY_OF_RUNNER, CLAUDE_CODE_MAX_RETRIES: "5" };
		Object.assign(runner.env, env);
		writeFileSync(
			join(runner.stateDir, "runner.toml"),
			`[providers.away]\nkind = "claude-code"\ncommand = "${claude}"\nenv = ${JSON.stringify(Object.keys(env))}\n`,
		);
		await runner.enrol(stack);
		await runner.start();
	});
	afterAll(async () => {
		await runner?.end("SIGTERM");
		await stack?.remove();
		await model?.close();
		if (dir) rmSync(dir, { recursive: true, force: true });
	});
	beforeEach(async () => {
		const workDir = join(dir, "work");
		mkdirSync(workDir, { recursive: true });
		follower = new Follower(await stack.client.openSession({ provider: "away", workDir }));
	});
	afterEach(() => follower.terminate());

	const pidOfProxy = () => (JSON.parse(readFileSync(join(runner.stateDir, "egress/process.json"), "utf8")) as { pid: number }).pid;
	const messages = () => model.requests().filter(({ path }) => path.startsWith("/v1/messages")).length;
	const tokens = Array.from({ length: 80 }, (_, i) => `token${i + 1}`).join(" ");
	const someText = () => follower.wait("some text", () => (follower.of("text_delta").length >= 10 ? true : undefined));

	test("[EGR-6] [P6] a killed daemon cuts no answer of the model: it was asked once", async () => {
		const before = messages();
		const turn = await follower.session.send(`fake:text text="${tokens}"`);
		await someText();
		const proxy = pidOfProxy();
		await runner.end("SIGKILL");
		await runner.start();
		expect(await follower.ended(turn)).toMatchObject({ stopReason: "end_turn", text: tokens });
		expect([messages() - before, pidOfProxy()]).toEqual([1, proxy]);
	});

	test("[EGR-6] a proxy that dies costs a repetition, not the turn", async () => {
		const turn = await follower.session.send(`fake:text text="${tokens}"`);
		await someText();
		const proxy = pidOfProxy();
		process.kill(proxy, "SIGKILL");
		expect(await follower.ended(turn)).toMatchObject({ stopReason: "end_turn", text: tokens });
		expect(pidOfProxy()).not.toBe(proxy);
	});

	test("[EGR-6] [P11] a service that is stopped leaves no proxy behind", async () => {
		await follower.ask('fake:text text="here"');
		const proxy = pidOfProxy();
		await runner.end("SIGTERM");
		// Not a zombie either.
		expect(existsSync(`/proc/${proxy}`)).toBe(false);
		await runner.start();
	});
});
