import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { AuditRecord } from "../../shared/audit.ts";
import { Client } from "../../shared/client.ts";
import { PROTOCOL_VERSION, type ToClientFrame } from "../../shared/frames.ts";
import { Policy } from "../../shared/waf/policy.ts";
import { dialSession, RawRunner } from "../support/raw-runner.ts";
import { type Stack, startStack } from "../support/stack.ts";

let stack: Stack;

beforeAll(async () => {
	stack = await startStack();
});
afterAll(() => stack?.remove());

const file = (name: string, text: string): string => {
	const path = join(stack.stateDir, name);
	writeFileSync(path, text);
	return path;
};
const keyWith = async (
	...scopes: Parameters<Client["createKey"]>[0]["scopes"]
): Promise<{ client: Client; actor: string; apiKey: string }> => {
	const { apiKey, keyId } = await stack.client.createKey({ name: "test", scopes });
	return { client: new Client({ url: stack.url, apiKey }), actor: `key:${keyId}`, apiKey };
};
const audited = async (fits: (record: AuditRecord) => boolean = () => true): Promise<AuditRecord[]> =>
	(await stack.client.audit({ limit: 1000 })).data.filter(fits);

describe("the policy", () => {
	test("[POL-1] it is read, changed and read back over REST and on the command line, with its author and version", async () => {
		expect(await stack.client.policy()).toMatchObject({ version: 0, author: null });
		const got = await stack.hotplex(["policy", "get"]);
		expect([got.code, JSON.parse(got.stdout)]).toEqual([0, Policy.parse({})]);
		const wanted = file("policy.json", JSON.stringify({ tools: [{ id: "no-curl", tool: "Bash", match: "curl *", verdict: "deny" }] }));
		const put = await stack.hotplex(["policy", "put", wanted, "--base", "0"]);
		expect([put.code, put.stdout]).toEqual([0, "version 1 holds\n"]);
		const held = await stack.client.policy();
		expect(held).toMatchObject({ version: 1, policy: { tools: [{ id: "no-curl", author: held.author, at: held.at }] } });
		const again = await stack.hotplex(["policy", "put", wanted, "--base", "0"]);
		expect([again.code, again.stderr]).toEqual([1, expect.stringContaining("(conflict)")]);
		const versions = await stack.hotplex(["policy", "versions", "--json"]);
		expect((JSON.parse(versions.stdout) as { data: { version: number }[] }).data.map((v) => v.version)).toEqual([1, 0]);
		expect((await stack.hotplex(["policy", "get", "9"])).code).toBe(1);
		const wrong = await stack.hotplex(["policy", "put", file("wrong.json", '{"tools":[{"id":"A","tool":"Bash","verdict":"never"}]}')]);
		expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("tools.0.id")]);
	});

	test("[POL-2] a policy that is wrong is answered with its fields, on the way in too", async () => {
		await expect(stack.client.putPolicy({ mode: "off" as never }, 0)).rejects.toMatchObject({
			problem: { code: "bad_request", detail: expect.stringContaining("policy.mode") },
		});
		await expect(stack.client.putPolicy({ roots: { read: ["../x"] } }, 0)).rejects.toMatchObject({
			problem: { detail: expect.stringContaining("policy.roots.read.0") },
		});
	});

	test("[POL-7] rows are judged by the policy that holds or by the one in the request, each with its rule, and nothing is done", async () => {
		const before = (await stack.client.audit()).head.n;
		const rows = [
			{ id: "a", kind: "command" as const, text: "curl https://example.com" },
			{ id: 2, kind: "command" as const, text: "ls -l" },
			{ id: "p", kind: "prompt" as const, text: "please \u001b[2J" },
		];
		const byHeld = await stack.client.testPolicy(rows);
		expect(byHeld.version).toBe((await stack.client.policy()).version);
		expect(byHeld.data[0]).toMatchObject({ id: "a", verdict: "deny", rule: "entry:no-curl" });
		expect(byHeld.data[1]).toMatchObject({ id: 2, verdict: "allow", rule: null });
		const byGiven = await stack.client.testPolicy(rows, { allowedTools: ["Read"] });
		expect([byGiven.version, byGiven.data[1]]).toMatchObject([null, { id: 2, verdict: "deny" }]);
		await expect(stack.client.testPolicy(rows, { rules: { nonsense: "allow" } })).rejects.toMatchObject({
			problem: { detail: expect.stringContaining("rules.nonsense") },
		});
		expect((await stack.client.audit()).head.n).toBe(before);
	});

	test("[POL-4] a bypass is made and ended by hand, and both stand in the audit log with the reason", async () => {
		const made = await stack.hotplex(["policy", "bypass", "--reason", "mirror is down", "--for", "2h", "--lift", "network", "--json"]);
		const { bypass } = JSON.parse(made.stdout) as { bypass: { id: string } };
		expect((await stack.client.policy()).policy.bypasses).toMatchObject([{ id: bypass.id, lifts: ["network"] }]);
		expect((await stack.hotplex(["policy", "end-bypass", bypass.id])).code).toBe(0);
		expect((await stack.client.policy()).policy.bypasses).toEqual([]);
		await expect(stack.client.endBypass(bypass.id)).rejects.toMatchObject({ problem: { code: "not_found" } });
		const log = await audited((r) => r.subject === bypass.id);
		expect(log.map((r) => [r.action, r.detail.reason])).toEqual([
			["bypass.made", "mirror is down"],
			["bypass.ended", "mirror is down"],
		]);
	});

	test("[POL-6] when dispatch rules change, a socket that may not write any more is told to come back, and then only watches", async () => {
		const bob = await keyWith("sessions:read", "sessions:write");
		const runner = await RawRunner.enrol(stack.client, "dispatch");
		const control = await runner.connect();
		const session = await stack.client.openSession({ provider: "scripted" });
		const dial = async () => {
			const socket = await dialSession<ToClientFrame>(stack.url, bob.apiKey, session.id);
			socket.send({ type: "hello", protocol: PROTOCOL_VERSION });
			await socket.next("welcome");
			return socket;
		};
		const before = await dial();
		const { version, policy } = await stack.client.policy();
		const [opener] = (await audited((r) => r.action === "session.opened" && r.subject === session.id)).map((r) => r.actor);
		await stack.client.putPolicy({ ...policy, dispatch: [{ who: [opener ?? ""] }] }, version);
		expect(await before.ended()).toMatchObject({ code: 1001 });
		const after = await dial();
		after.send({ type: "input", clientId: "c1", text: "hello" });
		expect(await after.next("error")).toMatchObject({ problem: { code: "forbidden" } });
		after.close();
		for (const write of [
			() => bob.client.session(session.id).send("hello"),
			() => bob.client.session(session.id).interrupt(),
			() => bob.client.session(session.id).terminate(),
			() => bob.client.session(session.id).decide(`apr_${"0".repeat(26)}`, { decision: "allow" }),
			() => bob.client.openSession({ provider: "scripted" }),
		])
			await expect(write()).rejects.toMatchObject({ problem: { code: "forbidden", detail: expect.stringContaining(bob.actor) } });
		expect((await bob.client.session(session.id).get()).sessionId).toBe(session.id);
		expect(await audited((r) => r.action === "session.refused" && r.actor === bob.actor)).toHaveLength(5);
		expect(await audited((r) => r.action === "socket.opened" && r.actor === bob.actor)).toMatchObject([
			{ subject: session.id, detail: { address: "unknown", count: 1 } },
		]);
		expect(await audited((r) => r.action === "login" && r.actor === bob.actor)).toMatchObject([
			{ subject: "unknown", detail: { credential: "API key" } },
		]);
		await stack.client.putPolicy(policy, version + 1);
		control.close();
	});
});

describe("the audit log", () => {
	test("[AUD-2] an export is proven by the command, and a changed byte, a lost line and a cut end are named", async () => {
		const path = join(stack.stateDir, "audit.jsonl");
		await stack.client.createKey({ name: "ümlaut", scopes: ["audit:read"] });
		const exported = await stack.hotplex(["audit", "export", "--out", path]);
		expect(exported.code).toBe(0);
		const head = /head (\d+:[0-9a-f]{64})/.exec(exported.stderr)?.[1] ?? "";
		const proven = await stack.hotplex(["audit", "verify", path, "--head", head, "--online"]);
		expect([proven.code, proven.stdout]).toEqual([0, expect.stringContaining(head)]);
		const more = `${path}.more`;
		const [n] = head.split(":");
		await stack.client.createKey({ name: "later", scopes: ["audit:read"] });
		expect((await stack.hotplex(["audit", "export", "--after", n ?? "", "--out", more])).code).toBe(0);
		const goesOn = await stack.hotplex(["audit", "verify", more, "--after", head]);
		expect([goesOn.code, goesOn.stdout]).toEqual([0, expect.stringContaining(`records ${Number(n) + 1} to`)]);
		expect((await stack.hotplex(["audit", "verify", more])).code).toBe(1);
		const text = readFileSync(path, "utf8");
		const lines = text.split("\n").slice(0, -1);
		expect(lines.length).toBeGreaterThan(3);
		const cases: [string, string | Buffer, string[], string][] = [
			["changed", text.replace('"action":"key.made"', '"action":"key.mado"'), [], "no record of an audit log"],
			["renamed", text.replace("ümlaut", "ümlout"), [], "does not fit its hash"],
			["lost", [...lines.slice(0, 1), ...lines.slice(2), ""].join("\n"), [], "line 2: record 2 is missing"],
			["cut", [...lines.slice(0, -1), ""].join("\n"), ["--head", head], "its end was cut off"],
			["another", text, ["--head", `${n}:${"0".repeat(64)}`], "the log was made anew"],
			["torn", text.slice(0, -10), [], `line ${lines.length}: the file ends in the middle`],
			[
				"no utf-8",
				Buffer.concat([Buffer.from(text.slice(0, 20)), Buffer.from([0xff]), Buffer.from(text.slice(21))]),
				[],
				"line 1: this is no UTF-8",
			],
		];
		for (const [name, content, more, why] of cases) {
			writeFileSync(`${path}.changed`, content);
			const found = await stack.hotplex(["audit", "verify", `${path}.changed`, ...more]);
			expect([name, found.code, found.stdout]).toEqual([name, 1, expect.stringContaining(why)]);
		}
	});

	test("[AUD-3] it comes as pages of JSON, as lines, and at its end for people; each reader needs the scope", async () => {
		const page = await stack.client.audit({ limit: 2 });
		expect([page.data.map((r) => r.n), page.nextCursor]).toEqual([[1, 2], "2"]);
		expect((await stack.client.audit({ after: page.head.n })).data).toEqual([]);
		const lines = await fetch(`${stack.url}/v1/audit?after=${page.head.n - 1}`, {
			headers: { authorization: `Bearer ${stack.apiKey}`, accept: "application/jsonl" },
		});
		expect([lines.headers.get("content-type"), (JSON.parse(await lines.text()) as AuditRecord).hash]).toEqual([
			"application/jsonl",
			page.head.hash,
		]);
		const tail = await stack.hotplex(["audit", "tail", "--lines", "3"]);
		expect([tail.code, tail.stdout.trim().split("\n").length]).toEqual([0, 3]);
		const without = await keyWith("policy:read");
		await expect(without.client.audit()).rejects.toMatchObject({ problem: { code: "forbidden" } });
	});
});
