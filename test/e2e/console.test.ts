import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Approval, Scope } from "../../shared/api.ts";
import { Client, type TurnHandle } from "../../shared/client.ts";
import { ApprovalId, idBody } from "../../shared/ids.ts";
import { Browser, type Page } from "../support/browser.ts";
import { Follower } from "../support/follower.ts";
import { AUDIENCE, type Issuer, startIssuer } from "../support/issuer.ts";
import { type ControlSocket, RawRunner } from "../support/raw-runner.ts";
import { type Stack, startStack } from "../support/stack.ts";

const FAKE_CLI = fileURLToPath(new URL("../fixtures/fake-cli.ts", import.meta.url));

let work: string;
let issuer: Issuer;
let stack: Stack;
let access: Front;
let browser: Browser;
let runner: RawRunner;
let control: ControlSocket;
let pings: NodeJS.Timeout;
const followers: Follower[] = [];

/** Cloudflare Access as far as a browser can see it: it adds the token that stands in the cookie, and hands everything on as it is. */
class Front {
	readonly server: Server;
	readonly seen: { call: string; origin: string | undefined; hasCookie: boolean; status: number }[] = [];
	/** While it is set, lists wait for it: what a page shows is as old as a test wants. */
	listsWait: Promise<void> | null = null;
	/** It has signed everybody out: calls are sent to its own page, on another host. */
	isSignedOut = false;

	constructor(to: string) {
		this.server = createServer(async (request, response) => {
			if (request.url === "/v1/approvals") await this.listsWait;
			const token = /CF_Authorization=([^;]+)/.exec(request.headers.cookie ?? "")?.[1];
			if (this.isSignedOut) return void response.writeHead(302, { location: "http://login.example/" }).end();
			const { hostname, port } = new URL(to);
			const headers = { ...request.headers, ...(token === undefined ? {} : { "cf-access-jwt-assertion": token }) };
			const on = httpRequest({ hostname, port, path: request.url, method: request.method, headers }, (answer) => {
				const status = answer.statusCode ?? 0;
				const { origin } = request.headers;
				this.seen.push({ call: `${request.method} ${request.url}`, origin, hasCookie: token !== undefined, status });
				response.writeHead(status, answer.headers);
				answer.pipe(response);
			});
			on.on("error", () => response.destroy());
			request.pipe(on);
		});
	}

	get url(): string {
		return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
	}
}
const listening = (server: Server): Promise<void> => new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

beforeAll(async () => {
	work = mkdtempSync(join(tmpdir(), "hotplex-console-"));
	const stateDir = mkdtempSync(join(tmpdir(), "hotplex-e2e-"));
	const toml = `[providers.claude-code]\nkind = "claude-code"\ncommand = ${JSON.stringify(process.execPath)}\nargs = [${JSON.stringify(FAKE_CLI)}]\n`;
	writeFileSync(join(stateDir, "runner.toml"), toml);
	issuer = await startIssuer();
	browser = new Browser();
	stack = await startStack({ stateDir, env: { CF_ACCESS_TEAM_DOMAIN: issuer.url, CF_ACCESS_AUD: AUDIENCE } });
	access = new Front(stack.url);
	await listening(access.server);
	runner = await RawRunner.enrol(stack.client);
	control = await runner.connect({ capacity: 100 });
	pings = setInterval(() => control.sendText('{"type":"ping"}'), 10_000);
	await rules({});
});
afterAll(async () => {
	await Promise.all(followers.map((follower) => follower.terminate()));
	clearInterval(pings);
	control?.close();
	await browser?.close();
	access?.server.close();
	issuer?.server.close();
	await stack?.remove();
	if (work) rmSync(work, { recursive: true, force: true });
});
beforeEach(() => {
	access.seen.length = 0;
});

async function rules(more: object): Promise<void> {
	const { version } = await stack.client.policy();
	const tools = [{ id: "ask-touch", tool: "Bash", match: "touch *", verdict: "ask" as const, reason: "touching is asked about" }];
	await stack.client.putPolicy({ prompts: { order: "allow", mention: "allow" }, tools, ...more }, version);
}

/** A session of the stand-in CLI in which a command waits for a person. */
async function waiting(command: string): Promise<{ session: Follower; turn: TurnHandle; workDir: string; approval: Approval }> {
	const workDir = mkdtempSync(join(work, "work-"));
	const session = new Follower(await stack.client.openSession({ provider: "claude-code", workDir }));
	followers.push(session);
	const turn = await session.session.send(`bash ${command}`);
	return { session, turn, workDir, approval: await listed((await session.until("approval_requested")).approvalId) };
}
async function listed(approvalId: string): Promise<Approval> {
	const look = async () => (await stack.client.approvals()).data.find((a) => a.approvalId === approvalId);
	await expect.poll(look).toBeDefined();
	return (await look()) as Approval;
}
/** A call that a runner says waits, in a turn that goes on whatever is decided. */
async function said(tool: string, input: Record<string, unknown>): Promise<Approval> {
	const session = await stack.client.openSession({ provider: "scripted" });
	await session.send("hello");
	const hosting = await runner.host(control, session.id);
	const approvalId = ApprovalId.parse(`apr_${idBody(crypto.getRandomValues(new Uint8Array(26)))}`);
	const turnId = hosting.turnId as never;
	const place = { cwd: "/srv/project", workDir: "/srv/project", home: null };
	hosting.report(
		{ type: "process_state", state: "busy" },
		{ type: "turn_started", turnId, origin: "input" },
		{ type: "approval_requested", turnId, approvalId, tool, input, place },
	);
	await hosting.acked();
	return listed(approvalId);
}

/** The page, with a key that was typed into it. */
async function opened(apiKey: string = stack.apiKey): Promise<Page> {
	const page = await browser.open(`${access.url}/console`);
	await page.until("a field for the key", "!document.querySelector('#sign-in').hidden");
	await page.type(apiKey);
	await page.press("Enter");
	return page;
}
const card = ({ sessionId }: Approval): string =>
	`[...document.querySelectorAll('li.approval')].find((e) => e.querySelector('.session').textContent === '${sessionId}')`;
const button = (approval: Approval, answer: string): string => `${card(approval)}.querySelector('[data-answer=${answer}]')`;
const textOf = (page: Page, approval: Approval, selector: string): Promise<unknown> =>
	page.evaluate(`${card(approval)}.querySelector('${selector}').textContent`);
/** Shown, and for so long that a click on it counts. */
async function steady(page: Page, approval: Approval): Promise<void> {
	await page.until("the call", `${card(approval)} !== undefined`);
	await page.evaluate("new Promise((resolve) => setTimeout(resolve, 600))");
}
/** As when somebody comes back to it, without waiting until it asks by itself. */
const lookAgain = (page: Page): Promise<unknown> => page.evaluate("document.dispatchEvent(new Event('visibilitychange'))");
const outcome = (page: Page, approval: Approval): Promise<unknown> =>
	page.until("an outcome", `${card(approval)}?.querySelector('.outcome:not([hidden])')?.textContent`);
const decisions = async ({ sessionId, approvalId }: Approval): Promise<unknown[]> =>
	(await stack.client.session(sessionId).eventPage()).data.flatMap(({ event }) =>
		event.type === "approval_decided" && event.approvalId === approvalId ? [event] : [],
	);
const keyWith = async (...scopes: Scope[]) => stack.client.createKey({ name: "test", scopes });

describe("with an API key", () => {
	test("[APR-8] what waits is shown with all that it is decided by, a click allows it, and the tool runs; the key is nowhere but in the page", async () => {
		const { session, turn, workDir, approval } = await waiting("touch made.txt");
		const page = await opened();
		await steady(page, approval);
		const shown = async (selector: string) => textOf(page, approval, selector);
		expect([await shown(".tool"), await shown(".subject"), await shown(".cwd code")]).toEqual(["Bash", "touch made.txt", workDir]);
		expect([await shown(".rule"), await shown(".reason span")]).toEqual(["entry:ask-touch", "touching is asked about"]);
		expect([await shown(".requester"), await shown("time")]).toEqual([approval.requestedBy, expect.stringMatching(/^just now \(/)]);
		expect(await shown(".left")).toMatch(/^expires in (14:[45]\d|15:00)$/);
		expect(await page.evaluate("document.title")).toMatch(/^\(1\)/);
		expect(existsSync(join(workDir, "made.txt"))).toBe(false);
		await page.click(button(approval, "once"));
		expect(await outcome(page, approval)).toBe("Allowed.");
		expect((await session.ended(turn)).stopReason).toBe("end_turn");
		expect(existsSync(join(workDir, "made.txt"))).toBe(true);
		expect(await decisions(approval)).toMatchObject([{ decision: "allow", by: approval.requestedBy }]);
		await page.until("that nothing waits", `document.querySelector('#summary').textContent === 'Nothing waits for a person.'`);
		expect(
			await page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, document.querySelector('#key').value]"),
		).toEqual([...[0, 0, "", ""]]);
		expect(page.requests.filter((url) => !url.startsWith(access.url) || url.includes("hpk_"))).toEqual([]);
		expect(page.troubles).toEqual([]);
	});

	test("[APR-8] it is denied with a reason by the keyboard alone, and the model is told", async () => {
		const { session, turn, workDir, approval } = await waiting("touch denied.txt");
		const page = await opened();
		await steady(page, approval);
		await page.evaluate(`${card(approval)}.querySelector('[data-answer=always]').focus()`);
		await page.press("Tab");
		await page.type("not today");
		await page.press("Tab");
		await page.press("Enter");
		expect(await outcome(page, approval)).toBe("Denied.");
		// What is pressed next is not pressed on another call.
		expect(await page.evaluate("document.activeElement.className")).toContain("outcome");
		expect((await session.ended(turn)).text).toContain("denied: not today");
		expect(existsSync(join(workDir, "denied.txt"))).toBe(false);
		expect(await decisions(approval)).toMatchObject([{ decision: "deny", message: "not today" }]);
	});

	test("[POL-5] an answer for always is asked about once more, with its author; it becomes an entry of the policy", async () => {
		const { session, turn, approval } = await waiting("touch always.txt");
		const page = await opened();
		await steady(page, approval);
		await page.click(button(approval, "always"));
		await page.until("a question", "document.querySelector('#always').open");
		const question = "document.querySelector('#always')";
		expect(await page.evaluate(`${question}.innerText`)).toContain(`with ${approval.requestedBy} as its author`);
		expect(await page.evaluate(`${question}.querySelector('.subject').textContent`)).toBe("touch always.txt");
		await page.press("Escape");
		expect([await decisions(approval), await page.evaluate(`${question}.open`)]).toEqual([[], false]);
		await steady(page, approval);
		await page.click(button(approval, "always"));
		// A double click does not answer what it has opened.
		await page.click("document.querySelector('#always-yes')");
		expect(await page.evaluate(`${question}.open`)).toBe(true);
		await page.evaluate("new Promise((resolve) => setTimeout(resolve, 600))");
		await page.click("document.querySelector('#always-yes')");
		expect(await outcome(page, approval)).toBe("Allowed, and a rule of the team.");
		expect((await session.ended(turn)).stopReason).toBe("end_turn");
		const { policy } = await stack.client.policy();
		expect(policy.tools.at(-1)).toMatchObject({ tool: "Bash", verdict: "allow", author: approval.requestedBy });
		await rules({});
	});

	test("[APR-2] whoever is too late is told who was first; what was answered elsewhere goes", async () => {
		const [late, elsewhere] = [await said("Bash", { command: "touch late" }), await said("Bash", { command: "touch elsewhere" })];
		const { keyId, apiKey } = await keyWith("sessions:read", "sessions:write");
		const other = new Client({ url: stack.url, apiKey });
		const page = await opened();
		await steady(page, elsewhere);
		let goOn = () => {};
		access.listsWait = new Promise((resolve) => {
			goOn = resolve;
		});
		for (const { sessionId, approvalId } of [late, elsewhere]) await other.session(sessionId).decide(approvalId, { decision: "deny" });
		await page.click(button(late, "session"));
		expect(await outcome(page, late)).toBe(`Somebody was first: this approval was already decided by key:${keyId}: deny.`);
		access.listsWait = null;
		goOn();
		await lookAgain(page);
		expect(await outcome(page, elsewhere)).toContain("somebody else answered it");
		expect(await decisions(late)).toMatchObject([{ decision: "deny", by: `key:${keyId}` }]);
	});

	test("[APR-3] what nobody answers counts down by the gateway's clock, and goes when it expires; a page that nobody sees asks nothing", async () => {
		const unseen = await opened();
		await unseen.until("a list", "document.querySelector('#sign-in').hidden");
		await unseen.evaluate("Object.defineProperty(document, 'hidden', { value: true })");
		await lookAgain(unseen);
		const asked = unseen.requests.length;
		await rules({ approvalTimeoutMs: 3000 });
		const approval = await said("Bash", { command: "touch late" });
		await rules({});
		const page = await opened();
		await page.until("the call", `${card(approval)} !== undefined`);
		// The machine's own clock may say what it likes.
		await page.evaluate("Date.now = () => 0");
		expect(await textOf(page, approval, ".left")).toMatch(/^expires in 0:0[1-3]$/);
		expect(await outcome(page, approval)).toContain("Expired");
		expect(unseen.requests.length).toBe(asked);
	});

	test("a key that may only read answers nothing, a wrong one is told, and a forgotten one leaves nothing to see", async () => {
		const approval = await said("Bash", { command: "touch x" });
		const { apiKey } = await keyWith("sessions:read");
		const page = await opened(`${apiKey.slice(0, -8)}AAAAAAAA`);
		await page.until("why not", "document.querySelector('#trouble').textContent.includes('not valid')");
		await page.type(apiKey);
		await page.press("Enter");
		await page.until("the call", `${card(approval)} !== undefined`);
		const buttons = `[...${card(approval)}.querySelectorAll('button')]`;
		expect(await page.evaluate(`${buttons}.map((b) => b.disabled)`)).toEqual([true, true, true, true]);
		expect(await page.evaluate(`${buttons}[0].title`)).toBe("needs the scope sessions:write");
		await page.click("document.querySelector('#forget')");
		expect(await page.evaluate("document.querySelectorAll('li.approval').length + document.querySelector('#summary').textContent")).toBe(
			"0",
		);
		expect(await page.evaluate("document.body.innerText")).not.toContain("touch x");
	});
});

describe("what a session says", () => {
	test("[APR-8] is text: markup does nothing, and what cannot be seen or turns the direction is an escape", async () => {
		const markup = "<img src=x onerror=alert(1)><script>alert(2)</script><a href='javascript:alert(3)'>x</a>";
		const command = `${markup} \u001b]52;c;ZXZpbA==\u0007\u009b2J\r\u202e\u2066\u200b\u00ad\ufe0f\u3164\u00a0\u2028\u{e0041}\ud800\n\tls "ä😀"`;
		const approval = await said(`Bash\n${markup}`, { command });
		const page = await opened();
		await page.until("the call", `${card(approval)} !== undefined`);
		const escaped = '\\x1b]52;c;ZXZpbA==\\x07\\x9b2J\\x0d\\u202e\\u2066\\u200b\\xad\\ufe0f\\u3164\\xa0\\u2028\\u{e0041}\\ufffd\n\tls "ä😀"';
		await page.evaluate(`${card(approval)}.querySelector('details').open = true`);
		const whole = String(await page.until("the whole call", `${card(approval)}.querySelector('details pre')?.textContent`));
		for (const shown of [String(await textOf(page, approval, ".subject")), whole])
			expect(shown.replace("\\ud800", "\\ufffd").replace("\ufffd", "\\ufffd")).toBe(`${markup} ${escaped}`);
		expect(await textOf(page, approval, ".tool")).toBe(`Bash\\n${markup}`);
		expect(await page.evaluate("document.querySelectorAll('main img, main script, main a').length")).toBe(0);
		expect(page.troubles).toEqual([]);
	});

	test("[APR-7] [APR-8] what is too long for the list is allowed when it is shown whole, as the log has it at its offset", async () => {
		const command = `touch ${"a ".repeat(4000)}; rm -rf precious`;
		const approval = await said("Bash", { command });
		expect(approval.subject).not.toContain("precious");
		const { now, principal } = await stack.client.approvals();
		expect([Math.abs(now - Date.now()) < 60_000, principal.actor, principal.scopes.includes("policy:write")]).toEqual([
			...[true, approval.requestedBy, true],
		]);
		const at = await stack.client.session(approval.sessionId).eventPage({ after: (approval.offset ?? 0) - 1, limit: 1 });
		expect(at.data).toMatchObject([{ offset: approval.offset, event: { approvalId: approval.approvalId, input: { command } } }]);
		const page = await opened();
		await page.until("the whole call", `${card(approval)}?.querySelector('details pre')?.textContent.endsWith('precious')`);
		expect(await page.evaluate(`${button(approval, "once")}.disabled`)).toBe(false);
	});
});

describe("behind Cloudflare Access", () => {
	const cookie = async () => ({ name: "CF_Authorization", value: await issuer.sign({ email: "ann@example.com" }) });

	test("[APR-8] a person needs nothing but the browser, and answers under their own name", async () => {
		const approval = await said("Bash", { command: "touch x" });
		const page = await browser.open(`${access.url}/console`, await cookie());
		await steady(page, approval);
		expect(await page.evaluate("document.querySelector('#actor').textContent")).toBe("access:ann@example.com");
		expect(await page.evaluate(`${button(approval, "always")}.title`)).toBe("needs the scope policy:write");
		await page.click(button(approval, "session"));
		expect(await outcome(page, approval)).toBe("Allowed, and for the rest of this session.");
		expect(await decisions(approval)).toMatchObject([{ decision: "allow", remember: "session", by: "access:ann@example.com" }]);
		access.isSignedOut = true;
		await lookAgain(page);
		await page.until("that nobody is known", "document.querySelector('#trouble').textContent.includes('sign-in has ended')");
		access.isSignedOut = false;
		expect(await page.evaluate("document.querySelectorAll('li.approval').length")).toBe(0);
	});

	test("[APR-9] a page of another origin answers nothing with its visitor's cookie, whatever it sends", async () => {
		const approval = await said("Bash", { command: "touch x" });
		const path = `/v1/sessions/${approval.sessionId}/approvals/${approval.approvalId}`;
		const evil = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><p>hello"));
		await listening(evil);
		// Another port of the same host: to the browser another origin, but the same site, so that it sends the cookie whatever its SameSite says.
		const page = await browser.open(`http://127.0.0.1:${(evil.address() as AddressInfo).port}/`, await cookie());
		const sends = (type: string | null, mode: string): string =>
			`fetch(${JSON.stringify(access.url + path)}, { method: "POST", credentials: "include", mode: "${mode}", body: '{"decision":"allow"}', headers: ${type === null ? "{}" : `{ "content-type": "${type}" }`} }).then(() => 0, () => 0)`;
		for (const type of ["text/plain", "application/x-www-form-urlencoded", null]) await page.evaluate(sends(type, "no-cors"));
		for (const type of ["text/plain", "application/json"]) await page.evaluate(sends(type, "cors"));
		await page.evaluate(`(() => {
			const frame = document.createElement("iframe"), form = document.createElement("form"), field = document.createElement("input");
			Object.assign(form, { method: "POST", enctype: "text/plain", action: ${JSON.stringify(access.url + path)}, target: (frame.name = "f") });
			Object.assign(field, { name: '{"decision":"allow","message":"', value: '"}' });
			form.append(field);
			document.body.append(frame, form);
			return new Promise((resolve) => { frame.onload = resolve; form.submit(); });
		})()`);
		const tried = access.seen.filter((seen) => seen.call.endsWith(path));
		expect(tried.filter((seen) => seen.call.startsWith("POST") && seen.hasCookie).length).toBe(5);
		expect(tried.map((seen) => seen.status)).toEqual(tried.map(() => 403));
		expect(await decisions(approval)).toEqual([]);

		// Of the same origin too, only what no form can send is taken.
		const assertion = { "cf-access-jwt-assertion": (await cookie()).value, origin: stack.url };
		const post = (type: Record<string, string>, body: string | FormData) =>
			fetch(stack.url + path, { method: "POST", headers: { ...assertion, ...type }, body });
		const form = new FormData();
		form.set("decision", "allow");
		for (const sent of [
			post({ "content-type": "text/plain" }, '{"decision":"allow"}'),
			post({ "content-type": "application/x-www-form-urlencoded" }, "decision=allow"),
			post({}, form),
		])
			expect((await sent).status).toBe(400);
		expect(await decisions(approval)).toEqual([]);
		expect((await post({ "content-type": "application/json" }, '{"decision":"deny"}')).status).toBe(200);

		// Nor is the page shown in another's frame.
		await page.evaluate(`(() => {
			const frame = document.createElement("iframe");
			frame.src = ${JSON.stringify(`${access.url}/console`)};
			document.body.append(frame);
			return new Promise((resolve) => { frame.onload = resolve; });
		})()`);
		expect(page.troubles.join()).toContain("frame-ancestors 'none'");
		evil.close();
	});
});
