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

	test("[EVT-3] the longest text that three bytes a unit allow fills its parts, and none is larger than it may be", () => {
		const sizes = (unit: string): number[] =>
			split({ ...RUNNER_EVENTS.tool_result, output: unit.repeat(10_000) }, 4096).map((part) => Buffer.byteLength(JSON.stringify(part)));
		for (const unit of ["漢", "\u001f", '"', "\\", "\ud800", "😀", "x"])
			expect(Math.max(...sizes(unit)), JSON.stringify(unit)).toBeLessThanOrEqual(4096);
		expect(Math.min(...sizes("漢").slice(1, -1))).toBeGreaterThan(4080);
	});

	test("[EVT-3] what leaves no room for text is refused, not tried for ever", () => {
		const event: RunnerEvent = { ...RUNNER_EVENTS.tool_result, output: "😀".repeat(400) };
		expect(() => split(event, 64)).toThrow("cannot split an event into parts of 64 bytes");
		expect(() => splitEvent(event, "p".repeat(900), 1000)).not.toThrow();
		expect(() => splitEvent(event, "p".repeat(1000), 1000)).toThrow("cannot split");
		const smallest = Array.from({ length: 100 }, (_, n) => n + 50).find((maxBytes) => {
			try {
				return split(event, maxBytes).length > 0;
			} catch {
				return false;
			}
		});
		expect(smallest).toBe('{"type":"part","partId":"part-1","index":000,"count":000,"text":""}'.length + 2 * 3);
		for (const part of split(event, smallest ?? 0)) expect(Buffer.byteLength(JSON.stringify(part))).toBeLessThanOrEqual(smallest ?? 0);
	});

	test("[EVT-3] parts that no runner sends show nothing: too many, of changing count, parts of parts", () => {
		const event: RunnerEvent = { ...RUNNER_EVENTS.tool_result, output: "x".repeat(5000) };
		const inParts = (json: string, count: number): SessionEvent[] =>
			Array.from({ length: count }, (_, index) => ({
				type: "part",
				partId: "p",
				index,
				count,
				text: index + 1 < count ? json.charAt(index) : json.slice(index),
			}));
		const shown = (given: SessionEvent[]): unknown[] => {
			const joiner = new PartJoiner();
			return given.map((part) => joiner.push(part)).filter((e) => e !== null);
		};
		const json = JSON.stringify(event);
		expect(shown(inParts(json, 2309))).toEqual([event]);
		expect(shown(inParts(json, 2310))).toEqual([]);
		const changing = inParts(json, 3).map((part, n) => (part.type === "part" && n === 1 ? { ...part, count: 4 } : part));
		expect(shown(changing)).toEqual([]);
		expect(shown(inParts(JSON.stringify({ type: "part", partId: "q", index: 0, count: 1, text: json }), 2))).toEqual([]);
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
