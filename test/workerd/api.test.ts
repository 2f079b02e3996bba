import { createExecutionContext } from "cloudflare:test";
import { describe, expect, test } from "vitest";
import worker from "../../worker/index.ts";
import { bindings } from "./scripted.ts";

interface Document {
	openapi: string;
	info: { title: string; version: string };
	paths: Record<
		string,
		Record<
			string,
			{ responses?: Record<string, { description?: string }>; security?: unknown[]; parameters?: { in: string; name: string }[] }
		>
	>;
	components: Record<string, Record<string, unknown>>;
}
/** Upgrades, which OpenAPI cannot describe (PROTOCOL.md does), the console, and the document itself. */
const UNDESCRIBED = [
	"GET /console",
	"GET /console/console.css",
	"GET /console/console.js",
	"GET /healthz",
	"GET /openapi.json",
	"GET /v1/link/{team}/{runnerId}/{sessionId?}",
	"GET /v1/sessions/{sessionId}/socket",
];

async function document(): Promise<Document> {
	const env = { ...bindings, HOTPLEX_KEYS: `hpk_default_${"0".repeat(26)}:${"0".repeat(64)}` };
	const response = await worker.fetch(new Request("https://gateway.example/openapi.json"), env, createExecutionContext());
	return (await response.json()) as Document;
}

describe("the OpenAPI document", () => {
	test("[P14] it lists exactly the routes that the Worker has", async () => {
		const { paths } = await document();
		const described = Object.entries(paths).flatMap(([path, methods]) => Object.keys(methods).map((m) => `${m.toUpperCase()} ${path}`));
		const routes = worker.routes.filter((r) => r.method !== "ALL").map((r) => `${r.method} ${r.path.replace(/:(\w+\??)/g, "{$1}")}`);
		expect([...new Set(routes)].toSorted()).toEqual([...described, ...UNDESCRIBED].toSorted());
	});

	test("it is OpenAPI 3.1: every operation has answers, a credential and its path's parameters, and every reference resolves", async () => {
		const whole = await document();
		expect(whole).toMatchObject({ openapi: "3.1.0", info: { title: "HotPlex Edge", version: "1" } });
		for (const [path, methods] of Object.entries(whole.paths))
			for (const [method, operation] of Object.entries(methods)) {
				const at = `${method} ${path}`;
				const answers = Object.entries(operation.responses ?? {});
				expect([at, answers.some(([status]) => status.startsWith("2")), answers.some(([status]) => status === "default")]).toEqual([
					at,
					true,
					true,
				]);
				for (const [, { description }] of answers) expect([at, typeof description]).toEqual([at, "string"]);
				expect([at, (operation.security ?? []).length > 0]).toEqual([at, true]);
				const named = (operation.parameters ?? []).filter((p) => p.in === "path").map((p) => p.name);
				expect([at, named.toSorted()]).toEqual([at, [...path.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).toSorted()]);
			}
		const references = [...JSON.stringify(whole).matchAll(/"\$ref":"([^"]+)"/g)].map((m) => m[1] ?? "");
		for (const reference of references) {
			const found = reference
				.replace(/^#\//, "")
				.split("/")
				.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], whole);
			expect([reference, typeof found]).toEqual([reference, "object"]);
		}
		const schemes = Object.keys(whole.components.securitySchemes ?? {});
		expect(schemes.toSorted()).toEqual(["access", "bearer"]);
	});
});
