import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { ownWorkDir, resolveWorkDir } from "../../runner/work-dir.ts";

const root = realpathSync(mkdtempSync(join(tmpdir(), "hotplex-work-dir-")));
afterAll(() => rmSync(root, { recursive: true, force: true }));
afterEach(() => vi.unstubAllEnvs());
/** Not normalized: what `..` means is for the code to find out. */
const at = (path: string): string => `${root}/${path}`;
const own = at("own");
for (const dir of ["project/sub", "project-2", "home/ann/code"]) mkdirSync(at(dir), { recursive: true });
writeFileSync(at("project/file"), "");
symlinkSync(at("project"), at("link"));
symlinkSync("/etc", at("etc"));
symlinkSync(at("nowhere"), at("dangling"));
symlinkSync(at("home/ann"), at("home/ann-link"));

/** The path that is used, or the code of the refusal. */
const resolved = (asked: string | null, roots?: string[]): string => {
	const result = resolveWorkDir(asked, own, roots);
	return result.ok ? result.value : result.error.code;
};

describe("work directories", () => {
	test.each([
		["project", "project"],
		["project/sub/", "project/sub"],
		["project/sub/../../project-2", "project-2"],
		["link", "project"],
		["link/sub", "project/sub"],
		["project/file", "work_dir_not_found"],
		["nowhere", "work_dir_not_found"],
		["dangling", "work_dir_not_found"],
		["project\0", "work_dir_not_found"],
		["etc", "work_dir_refused"],
		["/", "work_dir_refused"],
		["/etc", "work_dir_refused"],
		["/etc/", "work_dir_refused"],
		["/usr/share", "work_dir_refused"],
		["/home", "work_dir_refused"],
		["/bin", "work_dir_refused"],
	])("[LSE-4] %j is %j", (asked, expected) => {
		expect(resolved(asked.startsWith("/") ? asked : at(asked)).replace(`${root}/`, "")).toBe(expected);
	});

	test("[LSE-4] a home directory is refused, also by its other name, and a project in it is not", () => {
		vi.stubEnv("HOME", at("home/ann"));
		expect([resolved(at("home/ann")), resolved(at("home/ann-link")), resolved(at("home/ann/code"))]).toEqual([
			"work_dir_refused",
			"work_dir_refused",
			at("home/ann/code"),
		]);
		vi.stubEnv("HOME", at("home/ann-link"));
		expect([resolved(at("home/ann")), resolved(at("home/ann-link/code"))]).toEqual(["work_dir_refused", at("home/ann/code")]);
	});

	test.each([
		["inside", at("project/sub"), [at("project")], at("project/sub")],
		["the root itself", at("project"), [at("project")], at("project")],
		["a root by its other name", at("project"), [at("link")], at("project")],
		["one of several", at("project-2"), [at("project"), at("project-2")], at("project-2")],
		["a neighbour whose name begins alike", at("project-2"), [at("project")], "work_dir_refused"],
		["out of the root by a link", at("link"), [at("home")], "work_dir_refused"],
		["above the root", at("project"), [at("project/sub")], "work_dir_refused"],
		["a root that does not exist", at("project"), [at("nowhere")], "work_dir_refused"],
		["no root at all", at("project"), [], "work_dir_refused"],
		["the root of everything", at("project"), ["/"], at("project")],
		["what an operator names is allowed, system or not", "/etc", ["/etc"], realpathSync("/etc")],
	])("[LSE-4] with roots: %s", (_, asked, roots, expected) => {
		expect(resolved(asked, roots)).toBe(expected);
	});

	test.each([
		["itself", "state", undefined],
		["another session's directory", "state/work/ses_2", undefined],
		["in a root that holds it", "state/sessions", [root]],
		["by another name", "state-link/sessions", undefined],
	])("[JAL-1] [LSE-4] the runner's own state is no work directory: %s", (_, asked, roots) => {
		for (const dir of ["state/work/ses_2", "state/sessions", "state/projects"]) mkdirSync(at(dir), { recursive: true });
		if (!existsSync(at("state-link"))) symlinkSync(at("state"), at("state-link"));
		expect(resolveWorkDir(at(asked), own, roots, at("state"))).toMatchObject({ ok: false, error: { code: "work_dir_refused" } });
		expect(resolveWorkDir(at("state/projects"), own, [at("state/projects")], at("state"))).toEqual({
			ok: true,
			value: at("state/projects"),
		});
		expect(resolveWorkDir(root, own, undefined, at("state"))).toEqual({ ok: true, value: root });
	});

	test("[LSE-4] a hidden directory of a home is refused, unless it is a root", () => {
		vi.stubEnv("HOME", at("home/ann"));
		mkdirSync(at("home/ann/.ssh/keys"), { recursive: true });
		mkdirSync(at("home/ann/code/.hidden"), { recursive: true });
		expect([".ssh", ".ssh/keys", "code/.hidden"].map((name) => resolved(at(`home/ann/${name}`)))).toEqual([
			"work_dir_refused",
			"work_dir_refused",
			at("home/ann/code/.hidden"),
		]);
		expect(resolved(at("home/ann/.ssh"), [at("home/ann/.ssh")])).toBe(at("home/ann/.ssh"));
	});

	test("[LSE-4] a session without one gets its own, for nobody else's eyes, roots or not", () => {
		expect(existsSync(own)).toBe(false);
		expect([resolved(null), resolved(null, [at("project")])]).toEqual([own, own]);
		expect(statSync(own).mode & 0o777).toBe(0o700);
		expect(ownWorkDir("/var/lib/hotplex", "ses_1")).toBe("/var/lib/hotplex/work/ses_1");
	});

	test("[LSE-4] a refusal says which directory and why", () => {
		const refusal = (asked: string, roots?: string[]) => {
			const result = resolveWorkDir(asked, own, roots);
			return result.ok ? "" : result.error.detail;
		};
		expect(refusal(at("etc"))).toBe("/etc is a system or home directory; name a project's directory inside it");
		expect(refusal("/tmp", [at("project")])).toBe("/tmp is not in one of this runner's roots");
		expect(refusal("/nowhere")).toBe("/nowhere does not exist on this runner, or it may not look there");
		expect(refusal(at("project/file"))).toBe(`${at("project/file")} is not a directory on this runner`);
	});
});
