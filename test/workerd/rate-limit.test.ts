import { createExecutionContext } from "cloudflare:test";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import type { Env } from "../../worker/config.ts";
import worker from "../../worker/index.ts";
import { addressOf, Bucket, Limits } from "../../worker/rate-limit.ts";
import { digest } from "../../worker/secrets.ts";
import { bindings, clock, makeSession } from "./scripted.ts";

describe("a bucket", () => {
	test("[RAT-1] in no minute is more taken than it holds and gets back, and who is refused gets one after the time that it is told", () => {
		fc.assert(
			fc.property(fc.integer({ min: 1, max: 500 }), fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 300 }), (perMinute, gaps) => {
				const bucket = new Bucket(perMinute, perMinute / 60_000, 0);
				let now = 0;
				const taken: number[] = [];
				for (const gap of gaps) {
					now += gap;
					const waitMs = bucket.take(now);
					if (waitMs === 0) taken.push(now);
					else {
						expect(waitMs).toBeGreaterThan(0);
						now += waitMs;
						expect(bucket.take(now)).toBe(0);
						taken.push(now);
					}
				}
				for (const from of taken)
					expect(taken.filter((at) => at >= from && at < from + 60_000).length).toBeLessThanOrEqual(2 * perMinute + 1);
			}),
		);
	});

	test("a clock that goes back gives nothing, and nothing for ever", () => {
		const bucket = new Bucket(1, 1 / 1000, 10_000);
		expect(bucket.take(10_000)).toBe(0);
		expect(bucket.take(0)).toBe(1000);
		expect(bucket.take(1000)).toBe(0);
	});
});

describe("limits", () => {
	test("[RAT-1] each name has its own; 0 is no limit; a limit that is set anew counts at once", () => {
		const limits = new Limits();
		expect([limits.take("a", 2, 0), limits.take("a", 2, 0), limits.take("a", 2, 0)]).toEqual([0, 0, 30_000]);
		expect(limits.take("b", 2, 0)).toBe(0);
		expect(Array.from({ length: 100 }, () => limits.take("c", 0, 0))).toEqual(Array.from({ length: 100 }, () => 0));
		expect(limits.take("a", 5, 0)).toBe(0);
	});

	test("what it remembers is bounded, however many names come", () => {
		const limits = new Limits();
		expect(limits.take("first", 1, 0)).toBe(0);
		expect(limits.take("first", 1, 0)).toBeGreaterThan(0);
		for (let i = 0; i < 30_000; i++) limits.take(`name ${i}`, 1, 0);
		// Forgotten: a bound on memory is worth more than the last of the limits.
		expect(limits.take("first", 1, 0)).toBe(0);
	});

	test("[AUD-4] what comes in crowds is told at once and then with its count, each kind by itself, and nothing is lost of it", () => {
		const limits = new Limits();
		const what = (subject: string) => ({ team: "t" as never, actor: "unknown", action: "login.failed" as const, subject, detail: {} });
		const counts = (subject: string, now: number) => limits.count(what(subject), now).map((c) => [c.subject, c.count]);
		expect(counts("x", 0)).toEqual([["x", 1]]);
		expect(counts("y", 1)).toEqual([["y", 1]]);
		for (let i = 0; i < 10; i++) expect(counts("x", 2)).toEqual([]);
		expect(counts("y", 60_000)).toEqual([["x", 10]]);
		expect(counts("x", 60_001)).toEqual([["y", 1]]);
		expect(counts("z", 200_000)).toEqual([
			["x", 1],
			["z", 1],
		]);
	});

	test("a credential that was good is known for an hour", () => {
		const limits = new Limits();
		expect([limits.wasGood("h", 0), limits.isFirst("h", 0), limits.isFirst("h", 3_599_999), limits.wasGood("h", 3_599_999)]).toEqual([
			false,
			true,
			false,
			true,
		]);
		expect([limits.wasGood("h", 3_600_000), limits.isFirst("h", 3_600_000)]).toEqual([false, true]);
	});
});

describe("addresses", () => {
	const from = (headers: Record<string, string>, cf: boolean, addressHeader: string | null = null): string => {
		const request = new Request("https://gateway.example/", { headers, ...(cf ? { cf: {} } : {}) });
		return addressOf(request, { addressHeader });
	};

	test("[RAT-2] an address is believed only if Cloudflare's edge or the operator's own proxy says it", () => {
		expect(from({ "cf-connecting-ip": "192.0.2.1" }, true)).toBe("192.0.2.1");
		expect(from({ "cf-connecting-ip": "192.0.2.1", "x-forwarded-for": "192.0.2.2" }, false)).toBe("unknown");
		expect(from({ "x-forwarded-for": "10.0.0.9, 192.0.2.1" }, false, "X-Forwarded-For")).toBe("192.0.2.1");
		expect(from({}, false, "X-Real-IP")).toBe("unknown");
		expect(from({ "x-real-ip": '"><script>' }, false, "X-Real-IP")).toBe("unknown");
	});

	test("[RAT-2] a machine's IPv6 addresses are one, however they are written", () => {
		for (const address of ["2001:db8:1:2::7", "2001:DB8:1:2:aaaa:bbbb:cccc:dddd", "2001:0db8:0001:0002::"])
			expect(from({ "cf-connecting-ip": address }, true)).toBe("2001:db8:1:2::/64");
		expect(from({ "cf-connecting-ip": "::1" }, true)).toBe("0:0:0:0::/64");
		expect(from({ "cf-connecting-ip": "2001:db8::1" }, true)).toBe("2001:db8:0:0::/64");
		expect(from({ "cf-connecting-ip": "::ffff:192.0.2.1" }, true)).toBe("::ffff:192.0.2.1");
	});
});

test("[RAT-1] Cloudflare's own limit, where one is bound, refuses a principal's calls as ours does, with Retry-After", async () => {
	const asked: string[] = [];
	const apiKey = `hpk_default_${"0".repeat(26)}_${"A".repeat(43)}`;
	const env = {
		...bindings,
		HOTPLEX_KEYS: `hpk_default_${"0".repeat(26)}:${await digest(apiKey)}`,
		RATE_LIMITER: {
			limit: async ({ key }: { key: string }) => {
				asked.push(key);
				return { success: asked.length < 3 };
			},
		},
	};
	const call = () =>
		worker.fetch(
			new Request("https://gateway.example/v1/sessions", { headers: { authorization: `Bearer ${apiKey}` } }),
			env,
			createExecutionContext(),
		);
	const answers = [await call(), await call(), await call()];
	expect(answers.map((a) => a.status)).toEqual([200, 200, 429]);
	expect(answers[2]?.headers.get("retry-after")).toBe("60");
	expect(new Set(asked)).toEqual(new Set([`default/key:key_${"0".repeat(26)}`]));
});

test("[RAT-1][P14] calls, inputs and sockets of one principal have their own limits, which the settings set; the others go on", async () => {
	const apiKey = `hpk_default_${"1".repeat(26)}_${"A".repeat(43)}`;
	const keys = `hpk_default_${"1".repeat(26)}:${await digest(apiKey)}`;
	const statuses = async (set: Partial<Env>, method: string, path: string, body?: object): Promise<number[]> => {
		const answers: number[] = [];
		for (let i = 0; i < 4; i++) {
			const init = { method, headers: { authorization: `Bearer ${apiKey}`, upgrade: "websocket", "content-type": "application/json" } };
			const request = new Request(`https://gateway.example${path}`, {
				...init,
				...(body === undefined ? {} : { body: JSON.stringify(body) }),
			});
			answers.push((await worker.fetch(request, { ...bindings, HOTPLEX_KEYS: keys, ...set }, createExecutionContext())).status);
		}
		return answers;
	};
	const session = `/v1/sessions/ses_${"0".repeat(26)}`;
	expect(await statuses({ RATE_LIMIT_REQUESTS: "2" }, "GET", "/v1/keys")).toEqual([200, 200, 429, 429]);
	expect(await statuses({ RATE_LIMIT_INPUTS: "2" }, "POST", `${session}/turns`, { text: "x" })).toEqual([404, 404, 429, 429]);
	expect(await statuses({ RATE_LIMIT_SOCKETS: "2" }, "GET", `${session}/socket`)).toEqual([404, 404, 429, 429]);
	expect(await statuses({ RATE_LIMIT_SOCKETS: "1" }, "GET", `${session}/events`)).toEqual([404, 404, 404, 404]);
	expect(await statuses({}, "GET", "/v1/keys")).toEqual([200, 200, 200, 200]);
});

test("[RAT-4] links of runners have a limit of their own, by address, before any object is touched", async () => {
	const env = {
		...bindings,
		HOTPLEX_KEYS: `hpk_default_${"0".repeat(26)}:${"0".repeat(64)}`,
		RATE_LIMIT_LINKS: "2",
		ADDRESS_HEADER: "x-address",
	};
	const status = async (address: string): Promise<number> => {
		const headers = { upgrade: "websocket", "x-address": address };
		const request = new Request(`https://gateway.example/v1/link/nobody/run_${"0".repeat(26)}`, { headers });
		return (await worker.fetch(request, env, createExecutionContext())).status;
	};
	expect([await status("192.0.2.1"), await status("192.0.2.1"), await status("192.0.2.1")]).toEqual([401, 401, 429]);
	expect(await status("192.0.2.2")).toBe(401);
});

describe("a client's socket", () => {
	afterEach(() => clock.stop());

	test("[RAT-3] of more than 600 frames in 10 s what is over it is answered `rate_limited` and not taken; acknowledgements are free; it stays", async () => {
		clock.start();
		const session = await makeSession();
		const { socket } = await session.watch();
		for (let i = 0; i < 599; i++) socket.send({ type: "ping", more: i });
		for (let i = 0; i < 1000; i++) socket.send({ type: "ack", offset: 1 });
		socket.send({ type: "input", clientId: "c-1", text: "too many" });
		expect(await socket.frame("error")).toMatchObject({ re: "c-1", problem: { code: "rate_limited", retryAfterMs: 17 } });
		expect((await session.stub.turns(10, null)).length).toBe(0);
		clock.pass(17);
		socket.send({ type: "input", clientId: "c-1", text: "in time" });
		expect(await socket.frame("accepted")).toMatchObject({ clientId: "c-1" });
		expect(socket.closed).toBeNull();
	});

	test("[RAT-3] one that floods, with frames of whatever kind, is closed with 4429", async () => {
		clock.start();
		const session = await makeSession();
		const { socket } = await session.watch();
		for (let i = 0; i < 6_001; i++) socket.send({ type: "ack", offset: 1 });
		expect(await socket.ended()).toMatchObject({ code: 4429 });
	});
});
