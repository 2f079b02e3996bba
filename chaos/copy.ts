import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { OWN_ROOT } from "./world.ts";

/** Another text in one file of the product. */
export interface Change {
	file: string;
	from: string;
	to: string;
}

/** A copy of the product with something changed in it. Throws if what is to be changed is not there once, so that no change is silently none. */
export function copyProduct(dir: string, changes: Change[], root = OWN_ROOT): string {
	mkdirSync(dir, { recursive: true });
	for (const part of ["runner", "worker", "shared", "package.json", "wrangler.toml", "tsconfig.json"])
		cpSync(join(root, part), join(dir, part), { recursive: true });
	symlinkSync(join(root, "node_modules"), join(dir, "node_modules"));
	for (const { file, from, to } of changes) {
		const path = join(dir, file);
		const text = readFileSync(path, "utf8");
		const times = text.split(from).length - 1;
		if (times !== 1) throw new Error(`${file} holds ${JSON.stringify(from)} ${times} times; once was expected`);
		writeFileSync(
			path,
			text.replace(from, () => to),
		);
	}
	return dir;
}
