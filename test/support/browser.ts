import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const DEADLINE_MS = 20_000;

type Params = Record<string, unknown>;
interface Message {
	id?: number;
	sessionId?: string;
	method?: string;
	params?: Params;
	result?: Params;
	error?: { message: string };
}

/** A real Chromium with a profile of its own, which opens this address and nothing else. */
export function openChromium(address: string, ...more: string[]): { process: ReturnType<typeof spawn>; close(): Promise<void> } {
	if (CHROMIUM === undefined) throw new Error("no Chromium is installed: apt-get install chromium");
	const profile = mkdtempSync(join(tmpdir(), "hotplex-chromium-"));
	const browser = spawn(
		CHROMIUM,
		[
			"--headless",
			"--no-sandbox",
			"--disable-gpu",
			"--disable-quic",
			"--no-first-run",
			"--disable-background-networking",
			"--disable-component-update",
			"--disable-sync",
			`--user-data-dir=${profile}`,
			...more,
			address,
		],
		{ stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], env: { PATH: process.env.PATH ?? "", HOME: profile } },
	);
	const ended = new Promise<void>((resolve) => browser.once("exit", () => resolve()));
	return {
		process: browser,
		close: async () => {
			browser.kill("SIGKILL");
			await ended;
			rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
		},
	};
}

/** A browser that a test drives over its DevTools pipe. Each page has cookies and storage of its own. */
export class Browser {
	readonly #chromium = openChromium("about:blank", "--remote-debugging-pipe");
	readonly #answers = new Map<number, (message: Message) => void>();
	readonly #pages = new Map<string, Page>();
	#lastId = 0;

	constructor() {
		let rest = "";
		const said = this.#chromium.process.stdio[4] as Readable;
		said.setEncoding("utf8");
		said.on("data", (chunk: string) => {
			const messages = (rest + chunk).split("\0");
			rest = messages.pop() ?? "";
			for (const text of messages) this.#hear(JSON.parse(text) as Message);
		});
		// It is killed in the end.
		for (const pipe of this.#chromium.process.stdio) pipe?.on("error", () => {});
	}

	async open(address: string, cookie?: { name: string; value: string }): Promise<Page> {
		const { browserContextId } = await this.send("Target.createBrowserContext");
		if (cookie) await this.send("Storage.setCookies", { browserContextId, cookies: [{ ...cookie, url: new URL(address).origin }] });
		const { targetId } = await this.send("Target.createTarget", { url: "about:blank", browserContextId });
		const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
		const page = new Page((method, params) => this.send(method, params, sessionId as string));
		this.#pages.set(sessionId as string, page);
		for (const domain of ["Page", "Runtime", "Log", "Network"]) await page.send(`${domain}.enable`);
		await page.send("Page.navigate", { url: address });
		await page.until("the page", "document.readyState === 'complete'");
		return page;
	}

	close(): Promise<void> {
		return this.#chromium.close();
	}

	async send(method: string, params: Params = {}, sessionId?: string): Promise<Params> {
		const id = ++this.#lastId;
		const answer = new Promise<Message>((resolve) => this.#answers.set(id, resolve));
		const to = this.#chromium.process.stdio[3] as Writable;
		to.write(`${JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) })}\0`);
		const { result, error } = await answer;
		if (error) throw new Error(`${method}: ${error.message}`);
		return result ?? {};
	}

	#hear(message: Message): void {
		if (message.id !== undefined) {
			this.#answers.get(message.id)?.(message);
			this.#answers.delete(message.id);
		} else this.#pages.get(message.sessionId ?? "")?.hear(message.method ?? "", message.params ?? {});
	}
}

/** A page as a person has it: looked at as it is, clicked and typed into by real input. */
export class Page {
	/** What went wrong in it, what it was refused, and what tried to run or to open where nothing should. */
	readonly troubles: string[] = [];
	/** All addresses that it asked for. */
	readonly requests: string[] = [];
	readonly send: (method: string, params?: Params) => Promise<Params>;

	constructor(send: (method: string, params?: Params) => Promise<Params>) {
		this.send = send;
	}

	hear(method: string, params: Params): void {
		if (method === "Network.requestWillBeSent") this.requests.push((params.request as { url: string }).url);
		if (method === "Runtime.exceptionThrown") this.troubles.push(JSON.stringify(params.exceptionDetails));
		if (method === "Page.javascriptDialogOpening") this.troubles.push(`a dialog: ${String(params.message)}`);
		if (method === "Log.entryAdded") {
			const { source, text } = params.entry as { source: string; text: string };
			if (source === "security") this.troubles.push(text);
		}
	}

	/** The value of an expression in the page. */
	async evaluate(expression: string): Promise<unknown> {
		const { result, exceptionDetails } = await this.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
		if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
		return (result as { value?: unknown }).value;
	}

	/** The expression's value as soon as it is something. */
	async until(what: string, expression: string): Promise<unknown> {
		for (const deadline = Date.now() + DEADLINE_MS; Date.now() < deadline; await sleep(20)) {
			const value = await this.evaluate(expression);
			if (value) return value;
		}
		throw new Error(`there was not ${what}; the page says\n${String(await this.evaluate("document.body.innerText"))}`);
	}

	/** Clicks with the pointer on what the expression gives, wherever that is now. */
	async click(element: string): Promise<void> {
		const at = (await this.evaluate(
			`(() => { const e = ${element}; e.scrollIntoView({ block: "center" }); const r = e.getBoundingClientRect(); return { x: r.x + r.width / 2, y: r.y + r.height / 2 }; })()`,
		)) as { x: number; y: number };
		for (const type of ["mousePressed", "mouseReleased"])
			await this.send("Input.dispatchMouseEvent", { type, ...at, button: "left", clickCount: 1 });
	}

	type(text: string): Promise<Params> {
		return this.send("Input.insertText", { text });
	}

	async press(key: "Tab" | "Enter" | "Escape"): Promise<void> {
		const code = { Tab: 9, Enter: 13, Escape: 27 }[key];
		const text = key === "Enter" ? { text: "\r" } : {};
		await this.send("Input.dispatchKeyEvent", { type: "keyDown", key, code: key, windowsVirtualKeyCode: code, ...text });
		await this.send("Input.dispatchKeyEvent", { type: "keyUp", key, code: key, windowsVirtualKeyCode: code });
	}
}
