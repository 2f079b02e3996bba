import { z } from "zod";

/** A number with its unit. A bare number is refused: nobody can know its unit. */
const withUnit = (units: Record<string, number>, example: string) =>
	z
		.string()
		.regex(new RegExp(`^\\d{1,12}(${Object.keys(units).join("|")})$`), `expected a number with a unit, like ${example}`)
		.transform((text) => Number.parseInt(text, 10) * (units[text.replace(/^\d+/, "")] ?? 1));

/** As milliseconds. */
export const Duration = withUnit({ ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }, '"30s", "10m" or "24h"');

/** As bytes. */
export const Size = withUnit({ B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }, '"512KiB", "64MiB" or "1GiB"');
