import { readdirSync, readFileSync } from "node:fs";

export interface FoundProcess {
	pid: number;
	command: string;
}

/** The processes of this machine whose command line contains `marker`, in any pid namespace below ours. */
export function processesWith(marker: string): FoundProcess[] {
	const found: FoundProcess[] = [];
	for (const name of readdirSync("/proc")) {
		if (!/^\d+$/.test(name)) continue;
		try {
			const command = readFileSync(`/proc/${name}/cmdline`, "utf8").replaceAll("\0", " ").trim();
			if (command.includes(marker)) found.push({ pid: Number(name), command });
		} catch {
			// Gone since the directory was read.
		}
	}
	return found;
}
