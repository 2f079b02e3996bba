import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Generation, idBody, Offset, SessionId, TeamId, TurnId } from "../../shared/ids.ts";

const bytes = fc.uint8Array({ minLength: 26, maxLength: 40 });

describe("ids", () => {
	test("[IDS-1] an id made of any 26 bytes is accepted as an id, and only of its own noun", () => {
		fc.assert(
			fc.property(bytes, (b) => {
				expect(SessionId.safeParse(`ses_${idBody(b)}`).success).toBe(true);
				expect(TurnId.safeParse(`ses_${idBody(b)}`).success).toBe(false);
			}),
		);
	});

	test("[IDS-2] five bits of every byte count, so that ids do not collide", () => {
		const zero = idBody(new Uint8Array(26));
		for (let at = 0; at < 26; at++) {
			const seen = new Set([zero]);
			for (let value = 1; value < 32; value++) seen.add(idBody(new Uint8Array(26).with(at, value)));
			expect(seen.size, `byte ${at}`).toBe(32);
		}
	});

	test("[IDS-3] an id is never made of too little chance", () => {
		expect(() => idBody(new Uint8Array(25))).toThrow("26 bytes");
	});

	test.each([
		["ses_", "no body"],
		["ses_0123456789abcdefghjkmnpqr", "25 characters"],
		["ses_0123456789abcdefghjkmnpqrst", "27 characters"],
		["ses_0123456789ABCDEFGHJKMNPQRS", "upper case"],
		["ses_0123456789abcdefghjkmnpqri", "a letter that is left out"],
		["ses_0123456789abcdefghjkmnp/..", "a path"],
		["ses_0123456789abcdefghjkmnpqrs\n", "a line's end"],
	])("[IDS-4] what only looks like an id is refused: %j (%s)", (text) => {
		expect(SessionId.safeParse(text).success).toBe(false);
	});

	test.each(["a", "team-1", "a".repeat(32)])("[IDS-5] %j is a team's name", (text) => {
		expect(TeamId.safeParse(text).success).toBe(true);
	});
	test.each(["", "-a", "a-", "A", "a_b", "a.b", "a/b", "a\n", "a".repeat(33)])("[IDS-5] %j is no team's name", (text) => {
		expect(TeamId.safeParse(text).success).toBe(false);
	});

	test("[IDS-6] offsets count from 0, generations from 1, and neither takes a fraction or a number that is not exact", () => {
		expect(Offset.safeParse(0).success).toBe(true);
		expect(Generation.safeParse(0).success).toBe(false);
		for (const bad of [-1, 1.5, Number.NaN, Number.MAX_SAFE_INTEGER + 1, "1", null]) {
			expect(Offset.safeParse(bad).success, String(bad)).toBe(false);
			expect(Generation.safeParse(bad).success, String(bad)).toBe(false);
		}
	});
});
