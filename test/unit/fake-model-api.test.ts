import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type FakeModelApi, startFakeModelApi } from "../support/fake-model-api.ts";

const BASH = { name: "Bash", input_schema: { properties: { command: { type: "string" } }, required: ["command"] } };
let api: FakeModelApi;
beforeAll(async () => {
	api = await startFakeModelApi({ rate: 0, tokens: 3 });
});
beforeEach(() => api.reset());
afterAll(() => api.close());

const post = (path: string, body: object): Promise<Response> =>
	fetch(api.url + path, {
		method: "POST",
		headers: { "content-type": "application/json", "x-api-key": "s3cret" },
		body: JSON.stringify(body),
	});
const messages = (prompt: string, more: object = {}): Promise<Response> =>
	post("/v1/messages", { model: "m", messages: [{ role: "user", content: prompt }], ...more });
/** The JSON of each event of a stream. */
const events = async (response: Response): Promise<unknown[]> =>
	[...(await response.text()).matchAll(/^data: (\{.*)$/gm)].map(([, data]) => JSON.parse(data ?? ""));

describe("the fake model API", () => {
	test("[FAKE-1] a prompt without directives is answered with text, in each protocol", async () => {
		const user = [{ role: "user", content: "hi" }];
		expect(await (await messages("hi")).json()).toMatchObject({ content: [{ type: "text", text: "Fake answer to: hi" }] });
		const chat = await post("/v1/chat/completions", { model: "m", messages: user });
		expect(await chat.json()).toMatchObject({ choices: [{ message: { content: "Fake answer to: hi" }, finish_reason: "stop" }] });
		const responses = await post("/v1/responses", { model: "m", input: "hi" });
		expect(await responses.json()).toMatchObject({ status: "completed", output: [{ content: [{ text: "Fake answer to: hi" }] }] });
	});

	test("[FAKE-2] the steps of a script are played one a request, and a tool call ends the first", async () => {
		const prompt = 'fake:think tokens=2 + fake:text text="looking" + fake:bash cmd="ls -la"\nfake:text text="done now"';
		const first = await events(await messages(prompt, { stream: true, tools: [BASH] }));
		const call = first.flatMap((e) => JSON.stringify(e).match(/"partial_json":"((?:[^"\\]|\\.)*)"/)?.[1] ?? []).join("");
		expect(JSON.parse(call.replaceAll('\\"', '"'))).toEqual({ command: "ls -la" });
		expect(first).toContainEqual(
			expect.objectContaining({ type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null } }),
		);
		const history = [
			{ role: "user", content: prompt },
			{ role: "assistant", content: [{ type: "text", text: "looking" }] },
			{ role: "user", content: [{ type: "tool_result", content: "README" }] },
		];
		const second = await post("/v1/messages", { model: "m", messages: history, tools: [BASH] });
		expect(await second.json()).toMatchObject({ content: [{ text: "done now" }], stop_reason: "end_turn" });
	});

	test("[FAKE-3] an error that is to happen once happens once, until it is reset", async () => {
		const ask = async (): Promise<number> => (await messages('fake:error status=529 times=1 + fake:text text="ok"')).status;
		expect([await ask(), await ask(), await ask()]).toEqual([529, 200, 200]);
		api.reset();
		expect(await ask()).toBe(529);
	});

	test("[FAKE-4] a stream that is to break breaks in its middle", async () => {
		const cut = await messages("fake:text tokens=9 + fake:disconnect after=2", { stream: true });
		await expect(cut.text()).rejects.toThrow();
		const failed = await events(await messages("fake:text tokens=9 + fake:streamerror after=2", { stream: true }));
		expect(failed.at(-1)).toMatchObject({ type: "error", error: { type: "overloaded_error" } });
	});

	test("[FAKE-5] requests are recorded without credentials", async () => {
		await messages("hi");
		expect(api.requests()).toMatchObject([{ n: expect.any(Number), method: "POST", path: "/v1/messages", body: { model: "m" } }]);
		expect(JSON.stringify(api.requests())).not.toContain("s3cret");
	});

	test("[FAKE-6] a call of a tool that is not offered is answered with text that says so", async () => {
		expect(await (await messages("fake:bash cmd=ls")).json()).toMatchObject({ content: [{ text: "Tool Bash is not offered." }] });
	});
});
