import { expect, test } from "vitest";
import type { Follower } from "./follower.ts";

/** What every real CLI must do through the whole stack, whatever it speaks; its own test file has what only it does. */
export function testEveryCli(open: () => Promise<Follower>, lastAsked: () => string): void {
	test("[TRN-4] an interrupt in mid-stream ends the turn as cancelled, and the same process takes the next", async () => {
		const session = await open();
		const turn = await session.session.send("fake:text tokens=500 rate=50");
		await session.until("text_delta");
		await session.session.interrupt();
		const end = await session.ended(turn);
		expect(end.stopReason).toBe("cancelled");
		expect(end.text.split(" ").length).toBeLessThan(400);
		expect(await session.ask('fake:text text="Still here."')).toMatchObject({ stopReason: "end_turn", text: "Still here." });
		expect(session.of("process_state").filter((e) => e.pid !== undefined)).toHaveLength(1);
	});

	test("[TRN-7] a process that is killed, idle or in mid-turn, is followed by one that knows the conversation", async () => {
		const session = await open();
		await session.ask('fake:text text="The word is heliotrope."');
		const first = session.pid;
		process.kill(first, "SIGKILL");
		await session.until("process_state", (e) => e.state === "dead");
		const cut = await session.session.send("fake:text tokens=500 rate=50");
		await session.until("text_delta", (e) => e.turnId === cut.id);
		const second = session.pid;
		expect(second).not.toBe(first);
		expect(lastAsked()).toContain("The word is heliotrope.");
		process.kill(second, "SIGKILL");
		expect(await session.ended(cut)).toMatchObject({ stopReason: "failed", error: { code: "process_died" } });
		expect(await session.ask('fake:text text="Back again."')).toMatchObject({ stopReason: "end_turn", text: "Back again." });
		expect(lastAsked()).toContain("The word is heliotrope.");
		expect(session.of("turn_ended")).toHaveLength(3);
	});

	test("usage and cost are those of one turn, not of the process's life", async () => {
		const session = await open();
		await session.ask("fake:text tokens=40");
		await session.ask("fake:text tokens=40");
		await session.ask("fake:text tokens=4");
		const usage = session.of("usage");
		expect(usage.map((u) => u.outputTokens)).toEqual([40, 40, 4]);
		const costs = usage.map((u) => u.costUsd ?? 0);
		expect(costs.every((cost) => cost > 0)).toBe(true);
		// The conversation grows a little; a cumulative count would at least double.
		expect(costs[1]).toBeLessThan((costs[0] ?? 0) * 1.5);
		const stats = await session.session.stats();
		expect(stats.costUsd).toBeCloseTo(
			costs.reduce((a, b) => a + b, 0),
			6,
		);
		expect(stats.tokens.outputTokens).toBe(84);
	});
}
