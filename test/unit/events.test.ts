import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { byteLength, DURABLE, PartJoiner, RunnerEvent, SessionEvent, splitEvent } from "../../shared/events.ts";
import { ALL_EVENTS, GATEWAY_EVENTS, RUNNER_EVENTS, turnId } from "../support/samples.ts";

/** Text as hostile as a tool's output may be: controls, quotes, surrogates alone and in pairs, long runs of each. */
const text = fc
	.array(
		fc.tuple(
			fc.oneof(
				fc.string({ unit: "binary", maxLength: 40 }),
				fc.constantFrom('"', "\\", "\u0000", "\u2028", "é", "漢", "😀", "👩‍👩‍👧", "\ud800", "\udc00", "\udc00\ud800", "x"),
			),
			fc.integer({ min: 1, max: 400 }),
		),
		{ maxLength: 8 },
	)
	.map((pieces) => pieces.map(([piece, times]) => piece.repeat(times)).join(""));

const split = (event: RunnerEvent, maxBytes: number): RunnerEvent[] => splitEvent(event, "part-1", maxBytes);

describe("events", () => {
	test.each(ALL_EVENTS.map((event) => [event.type, event] as const))("[EVT-1] %s survives its JSON", (_, event) => {
		expect(SessionEvent.parse(JSON.parse(JSON.stringify(event)))).toEqual(event);
	});

	test("[EVT-2] what a turn's watchers must not lose is durable, and only streamed text and hints are not", () => {
		const hints = Object.entries(DURABLE).filter(([, durable]) => !durable);
		expect(hints.map(([type]) => type).sort()).toEqual(
			["background_task", "notice", "part", "raw", "retry", "text_delta", "thought_delta", "tool_output", "usage"].sort(),
		);
	});

	test("[EVT-3] an event of any size travels in parts and comes out equal", () => {
		fc.assert(
			fc.property(text, fc.integer({ min: 1024, max: 8192 }), (output, maxBytes) => {
				const event: RunnerEvent = { type: "tool_result", turnId, toolCallId: "t1", status: "completed", output };
				const sent = split(event, maxBytes);
				for (const part of sent) expect(Buffer.byteLength(JSON.stringify(part))).toBeLessThanOrEqual(maxBytes);
				const joiner = new PartJoiner();
				const shown = sent.map((part) => joiner.push(RunnerEvent.parse(JSON.parse(JSON.stringify(part)))));
				expect(shown.slice(0, -1).every((e) => e === null)).toBe(true);
				expect(shown.at(-1)).toEqual(event);
			}),
		);
	});

	test("[EVT-3] an event that fits is not split", () => {
		const event = RUNNER_EVENTS.tool_call;
		expect(split(event, Buffer.byteLength(JSON.stringify(event)))).toEqual([event]);
		expect(split(event, 1024)).toEqual([event]);
	});

	test("[EVT-3] parts with a gap, a missing start or another's parts between show nothing instead of something wrong", () => {
		const event: RunnerEvent = { ...RUNNER_EVENTS.tool_result, output: "x".repeat(5000) };
		const parts = split(event, 1024);
		expect(parts.length).toBeGreaterThan(3);
		const shown = (given: RunnerEvent[]): unknown[] => {
			const joiner = new PartJoiner();
			return given.map((part) => joiner.push(part)).filter((e) => e !== null);
		};
		expect(shown(parts.filter((_, i) => i !== 1))).toEqual([]);
		expect(shown(parts.slice(1))).toEqual([]);
		const other = splitEvent(event, "part-2", 1024);
		expect(shown([...parts.slice(0, 2), ...other.slice(2)])).toEqual([]);
		expect(shown([...parts.slice(0, 2), ...parts]), "sent again from the start").toEqual([event]);
		const between = RUNNER_EVENTS.notice;
		expect(shown([...parts.slice(0, 2), between, ...parts.slice(2)])).toEqual([between, event]);
	});

	test.each(Object.values(GATEWAY_EVENTS))("[EVT-4] a runner cannot speak as the gateway: $type", (event) => {
		expect(RunnerEvent.safeParse(event).success).toBe(false);
	});

	test.each(Object.values(GATEWAY_EVENTS))("[EVT-4] a runner cannot speak as the gateway in parts either: $type", (event) => {
		const joiner = new PartJoiner();
		const json = JSON.stringify(event);
		expect(joiner.push({ type: "part", partId: "p", index: 0, count: 2, text: json.slice(0, 9) })).toBeNull();
		expect(joiner.push({ type: "part", partId: "p", index: 1, count: 2, text: json.slice(9) })).toBeNull();
	});

	test("[LIM-1] a text's bytes are counted as UTF-8 counts them", () => {
		fc.assert(
			fc.property(text, (t) => {
				expect(byteLength(t)).toBe(Buffer.byteLength(t));
			}),
		);
	});
});
