import { createExecutionContext } from "cloudflare:test";
import { expect, test } from "vitest";
import { ApprovalId, SessionId } from "../../shared/ids.ts";
import worker from "../../worker/index.ts";
import { newId } from "../../worker/secrets.ts";
import { bindings, freshTeam } from "./scripted.ts";

const env = { ...bindings, HOTPLEX_KEYS: `hpk_default_${"0".repeat(26)}:${"0".repeat(64)}` };
const get = (path: string, headers = {}): Promise<Response> =>
	Promise.resolve(worker.fetch(new Request(`https://gateway.example${path}`, { headers }), env, createExecutionContext()));

test.each([
	["/console", "text/html; charset=utf-8"],
	["/console/console.css", "text/css; charset=utf-8"],
	["/console/console.js", "text/javascript; charset=utf-8"],
])("[APR-8] %s is served to all, and bound to its own script, style and gateway", async (path, type) => {
	const response = await get(path);
	expect([response.status, Object.fromEntries(response.headers)]).toMatchObject([
		200,
		{
			"content-type": type,
			"content-security-policy":
				"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			"x-content-type-options": "nosniff",
			"referrer-policy": "no-referrer",
			"cache-control": "no-store",
		},
	]);
	expect((await get(path, { origin: "https://evil.example" })).status).toBe(403);
	expect((await get(`${path}?key=x`)).status).toBe(400);
});

test("[APR-8] the page has no script or style of its own text, and its script makes no markup, code or lasting store of anything", async () => {
	const page = await (await get("/console")).text();
	expect(page).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=|javascript:|https?:/i);
	const script = await (await get("/console/console.js")).text();
	expect(script).not.toMatch(
		/innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|localStorage|sessionStorage|indexedDB|document\.cookie/,
	);
});

test("[APR-7] an approval that was noted before it had a suggestion and an offset is listed without them", async () => {
	const stub = bindings.TEAM.getByName(freshTeam());
	const [sessionId, approvalId] = [newId(SessionId, "ses"), newId(ApprovalId, "apr")];
	const said = { approvalId, tool: "Bash", subject: "make", cwd: "/srv", rule: null, reason: null, requestedBy: "key:a", askedAt: 1 };
	const expiresAt = Date.now() + 60_000;
	await stub.noteApprovals(sessionId, [{ ...said, expiresAt } as never]);
	expect(await stub.listApprovals()).toEqual([{ sessionId, ...said, expiresAt, suggestion: null, offset: null }]);
});
