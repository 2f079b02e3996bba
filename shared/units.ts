import { z } from "zod";

const MAX_TIMER_MS = 24 * 24 * 3_600_000;
const DURATIONS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZES: Record<string, number> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** A duration with its unit, "30s" or "30d", as milliseconds. A bare number is refused: nobody can know its unit. */
export const LongDuration = z
	.string()
	.regex(/^\d+(ms|s|m|h|d)$/, 'expected a number with a unit, like "30s", "10m" or "24h"')
	.transform((text) => Number.parseInt(text, 10) * (DURATIONS[text.replace(/^\d+/, "")] ?? 1));

/** One for a timer: a longer one makes it fire at once. */
export const Duration = LongDuration.refine((ms) => ms <= MAX_TIMER_MS, "expected at most 24 days");

/** A size with its unit, "64MiB", as bytes. */
export const Size = z
	.string()
	.regex(/^\d+(KiB|MiB|GiB)$/, 'expected a number with a unit, like "64MiB" or "2GiB"')
	.transform((text) => Number.parseInt(text, 10) * (SIZES[text.replace(/^\d+/, "")] ?? 1))
	.refine((bytes) => bytes > 0 && bytes <= Number.MAX_SAFE_INTEGER, "expected at least 1KiB");

/** A duration in words for a person: "10 minutes". */
export function inWords(ms: number): string {
	for (const [unit, size] of [
		["hour", 3_600_000],
		["minute", 60_000],
	] as const)
		if (ms >= size) return `${ms % size === 0 ? ms / size : (ms / size).toFixed(1)} ${unit}${ms === size ? "" : "s"}`;
	return `${Math.round(ms / 1000)} seconds`;
}
