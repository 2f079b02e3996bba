import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

// workerd's start would otherwise fetch an example of request.cf from the internet, and wrangler would report usage.
process.env.CLOUDFLARE_CF_FETCH_ENABLED ??= "false";
process.env.WRANGLER_SEND_METRICS ??= "false";
process.env.WRANGLER_SEND_ERROR_REPORTS ??= "false";
// Trace capture costs WebSockets most of their throughput (wrangler 4.118 and later).
process.env.X_LOCAL_OBSERVABILITY ??= "false";

export default defineConfig({
	test: {
		projects: [
			// Not isolated: pure code has nothing to leak, and loading it once a worker saves seconds. Workers are counted everywhere,
			// since on two cores vitest takes but one. Orders start at 1: it puts order 0 last where it has one worker.
			{ test: { name: "unit", include: ["test/unit/**/*.test.ts"], isolate: false, maxWorkers: 2, sequence: { groupOrder: 1 } } },
			{
				plugins: [cloudflareTest({ wrangler: { configPath: "./wrangler.toml" } })],
				test: {
					name: "workerd",
					include: ["test/workerd/**/*.test.ts"],
					maxWorkers: 2,
					sequence: { groupOrder: 2 },
					// Some take an object through its whole life; a busy machine is no failure.
					testTimeout: 30_000,
				},
			},
			{
				test: {
					name: "e2e",
					include: ["test/e2e/**/*.test.ts"],
					// Each file runs a gateway, a runner and CLIs of its own; with more of them at once two cores are too few
					// for anything that a test times. They run last: when a unit test is red, read that first.
					maxWorkers: 3,
					sequence: { groupOrder: 3 },
					testTimeout: 60_000,
					// The first file may have to install the real CLIs.
					hookTimeout: 300_000,
				},
			},
		],
	},
});
