/**
 * Loaded into a daemon before its program (`node --import`): its wall clock is off by as many ms as the file that CHAOS_CLOCK names says,
 * and jumps when the file changes. Timers go by another clock, as they do on a machine whose time is set.
 */
import { readFileSync } from "node:fs";

const file = process.env.CHAOS_CLOCK;
if (file !== undefined) {
	const { now } = Date;
	let off = 0;
	const look = (): void => {
		try {
			off = Number(readFileSync(file, "utf8"));
		} catch {
			// In mid-write.
		}
	};
	look();
	setInterval(look, 50).unref();
	Date.now = () => now() + off;
}
