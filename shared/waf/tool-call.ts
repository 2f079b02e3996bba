import { unreachable } from "../result.ts";
import { inspectCommand } from "./command.ts";
import { hostOf, judgeUrl } from "./hosts.ts";
import { judgePath } from "./paths.ts";
import { graver, type Judgement, NO_OBJECTION, type Place } from "./verdict.ts";

/** A call as a CLI asks for it. */
export interface ToolCall {
	/** The CLI's own name for it: `Bash`, `Write`, `mcp__github__create_issue`, `exec_command`. */
	tool: string;
	input: unknown;
	/** What an ACP program says it is: execute, read, edit, delete, move, fetch, search, think, other. */
	kind?: string | undefined;
	/** Some ACP programs (gemini) give no input, only a title; that of a command is the command itself. */
	title?: string | undefined;
}

export type PathUse = "read" | "write" | "delete";

/** What a call is about: what rules judge and entries match. Paths are absolute and without `..`. */
export type Subject =
	| { kind: "command"; text: string; cwd: string }
	| { kind: "path"; text: string; use: PathUse }
	| { kind: "host"; text: string; url: string }
	| { kind: "other"; text: string };

/** What is said of calls whose input is not as it should be. */
export const TOOL_RULES = {
	"tool-input-missing": {
		category: "unresolved",
		verdict: "ask",
		reason: "The call does not say what it would do",
		suggestion: "Call the tool again with its complete input.",
	},
	"tool-input-too-large": {
		category: "unresolved",
		verdict: "ask",
		reason: "The call's input is too large or too deep to be judged whole",
		suggestion: "Split it into smaller calls.",
	},
	"tool-input-unjudged": {
		category: "unresolved",
		verdict: "ask",
		reason: "The rules failed on this call, so a person must look at it",
		suggestion: "Write it in a simpler way.",
	},
} as const satisfies Record<string, Pick<Judgement, "category" | "verdict" | "reason" | "suggestion">>;

/** Of one call at most this many commands, paths and addresses are judged; with more a person is asked. */
const MAX_SUBJECTS = 256;
/** Values of an input that are looked at. */
const MAX_VALUES = 4096;
const MAX_LEVELS = 12;

/**
 * The gravest that the built-in rules say of a call. Shell tools are judged by their command, file tools by every path, web tools by their
 * host against `hosts` (null: hosts are judged elsewhere), MCP and unknown tools by what their input's names show. Never throws; bounded.
 */
export const judgeToolCall = (call: ToolCall, place: Place, hosts: readonly string[] | null): Judgement =>
	objectionsTo(call, place, hosts).reduce(graver, NO_OBJECTION);

/** All that the built-in rules hold against a call, for those who grade rules anew. */
export function objectionsTo(call: ToolCall, place: Place, hosts: readonly string[] | null): Judgement[] {
	try {
		const { subjects, lacks } = readCall(call, place);
		const found = subjects.flatMap((subject) => judgeSubject(subject, place, hosts));
		return [...(lacks === null ? [] : [inputRule(lacks, call.tool)]), ...found].filter(
			(one) => one.rule !== null || one.verdict !== "allow",
		);
	} catch {
		// An engine that fails must not let a call through, and a gate that throws might.
		return [inputRule("tool-input-unjudged", call.tool)];
	}
}

function judgeSubject(subject: Subject, place: Place, hosts: readonly string[] | null): Judgement[] {
	switch (subject.kind) {
		case "command":
			return inspectCommand(subject.text, { ...place, cwd: subject.cwd }).objections;
		case "path":
			return [judgePath(subject.text, subject.use, place)];
		case "host":
			return [judgeUrl(subject.url, hosts) ?? NO_OBJECTION];
		case "other":
			return [];
		default:
			return unreachable(subject);
	}
}

/** What the call is about; never empty: a call that shows nothing is about its tool. */
export function subjectOf(call: ToolCall, place: Place): Subject[] {
	const { subjects } = readCall(call, place);
	return subjects.length > 0 ? subjects : [{ kind: "other", text: call.tool }];
}

const inputRule = (rule: keyof typeof TOOL_RULES, evidence: string): Judgement => ({
	rule,
	...TOOL_RULES[rule],
	evidence: evidence.slice(0, 512),
});

// ------------------------------------------------------------ what a call is about

interface Read {
	subjects: Subject[];
	lacks: keyof typeof TOOL_RULES | null;
}
const NOTHING: Read = { subjects: [], lacks: null };

type Family = "shell" | "typed" | "read" | "search" | "write" | "delete" | "patch" | "web" | "quiet" | "unknown";

/** Tools by their names in lower case without separators: Claude Code, opencode, gemini, codex and what others call theirs. */
const FAMILIES: Record<string, Family> = Object.fromEntries(
	(
		[
			[
				"shell",
				"bash shell sh zsh powershell pwsh cmd terminal exec execute execcommand executecommand runcommand runshellcommand runterminalcmd runterminalcommand runinterminal localshell localshellcall containerexec unifiedexec shellcommand createterminal terminalcreate executebash bashtool shelltool",
			],
			// Characters for a shell that already runs.
			["typed", "writestdin sendinput sendtoterminal"],
			[
				"read",
				"read readfile readmanyfiles notebookread view viewfile viewimage openfile cat readtextfile fsreadtextfile getfile readmultiplefiles",
			],
			[
				"search",
				"glob grep ls list listdir listdirectory searchfilecontent grepsearch filesearch codebasesearch search searchfiles find findfiles directorytree",
			],
			[
				"write",
				"write writefile edit editfile multiedit notebookedit replace strreplace strreplaceeditor strreplacebasededittool createfile writetextfile fswritetextfile insertedit searchreplace move movefile rename copyfile createdirectory",
			],
			["delete", "delete deletefile removefile rm"],
			["patch", "applypatch patch applydiff"],
			["web", "webfetch fetch fetchurl urlfetch httprequest browse openurl"],
			[
				"quiet",
				"websearch googlewebsearch bashoutput killshell killbash taskoutput taskstop task agent todowrite todoread exitplanmode enterplanmode askuserquestion skill toolsearch think updateplan savememory killterminal releaseterminal terminaloutput waitforterminalexit",
			],
		] as [Family, string][]
	).flatMap(([family, names]) => names.split(" ").map((name) => [name, family] as const)),
);
const KINDS: Record<string, Family> = {
	execute: "shell",
	read: "read",
	edit: "write",
	delete: "delete",
	move: "write",
	fetch: "web",
	search: "search",
};

function familyOf(call: ToolCall): Family {
	if (call.tool.startsWith("mcp__")) return "unknown";
	const name = call.tool
		.slice(0, 256)
		.replace(/[^A-Za-z0-9]/g, "")
		.toLowerCase();
	const known = Object.hasOwn(FAMILIES, name) ? FAMILIES[name] : undefined;
	const kind = call.kind !== undefined && Object.hasOwn(KINDS, call.kind) ? KINDS[call.kind] : undefined;
	// A program that names its tool harmlessly and says that it executes is believed the latter.
	if (kind === "shell" && known !== "typed") return "shell";
	return known ?? kind ?? "unknown";
}

const COMMAND_KEYS = new Set(["command", "cmd", "commands", "cmds", "commandline", "shellcommand", "bash", "script", "shell"]);
const ARGUMENT_KEYS = new Set(["args", "arguments", "argv"]);
const TYPED_KEYS = new Set(["chars", "input", "text", "data", "keys", "line"]);
const CWD_KEYS = new Set(["cwd", "workdir", "workingdir", "workingdirectory", "directory", "dir", "dirpath"]);
const PATH_KEYS = new Set([
	...["path", "paths", "filepath", "filepaths", "file", "files", "filename", "filenames", "absolutepath", "relativepath", "targetfile"],
	...["notebookpath", "directory", "directorypath", "dir", "dirpath", "folder", "folderpath", "source", "sourcepath", "destination"],
	...[
		"destinationpath",
		"src",
		"dst",
		"dest",
		"oldpath",
		"newpath",
		"targetpath",
		"outputpath",
		"inputpath",
		"locations",
		"searchpath",
		"root",
	],
]);
const URL_KEYS = new Set(["url", "urls", "uri", "href", "link", "endpoint", "baseurl", "website", "address"]);
const PATCH_KEYS = new Set(["patch", "patchtext", "diff", "input", "changes"]);

const SHELL_WORDS = new Set(["bash", "shell", "sh", "zsh", "fish", "terminal", "powershell", "pwsh", "cmd", "ssh"]);
const BROWSER_WORDS = new Set(["browser", "playwright", "puppeteer", "page", "evaluate", "javascript", "js", "sql", "query", "chrome"]);
const WRITE_WORDS = new Set(
	"write create edit update append save move rename copy put upload download patch replace insert set add mkdir touch make modify export".split(
		" ",
	),
);
const DELETE_WORDS = new Set(["delete", "remove", "rm", "unlink", "trash", "rmdir"]);

function readCall(call: ToolCall, place: Place): Read {
	const family = familyOf(call);
	if (family === "quiet") return NOTHING;
	const values = valuesOf(call.input);
	if (values === null) return { subjects: [], lacks: "tool-input-too-large" };
	const read = BY_FAMILY[family](call, values, place);
	if (read.subjects.length <= MAX_SUBJECTS) return read;
	return { subjects: read.subjects.slice(0, MAX_SUBJECTS), lacks: "tool-input-too-large" };
}

const BY_FAMILY: Record<Exclude<Family, "quiet">, (call: ToolCall, values: Value[], place: Place) => Read> = {
	shell: (call, values, place) => {
		const cwd = cwdOf(values, place);
		let commands = commandsOf(call.input, values);
		if (commands.length === 0 && isEmpty(call.input) && call.title !== undefined) commands = [call.title];
		if (commands.length === 0) commands = values.filter((v) => TYPED_KEYS.has(v.key) || v.key === "code").map((v) => v.text);
		return needed(commands.filter((text) => text.trim() !== "").map((text) => ({ kind: "command", text, cwd })));
	},
	typed: (_call, values, place) => ({
		// Nothing typed only waits for output.
		subjects: values
			.filter((v) => TYPED_KEYS.has(v.key) && v.text.trim() !== "")
			.map((v) => ({ kind: "command", text: v.text, cwd: place.cwd })),
		lacks: null,
	}),
	read: (_call, values, place) => needed(pathsOf(values, "read", place)),
	search: (call, values, place) => {
		// Without a path they search the work directory; a glob may lead out of it. The pattern of a grep is no path.
		const isGlob = wordsOf(call.tool).some((word) => word === "glob" || word === "find" || word === "files");
		const patterns = values.filter((v) => isGlob && v.key === "pattern").flatMap((v) => patternRoot(v.text) ?? []);
		return { subjects: [...pathsOf(values, "read", place), ...patterns.map((p) => pathSubject(p, "read", place))], lacks: null };
	},
	write: (call, values, place) => {
		const paths = pathsOf(values, useByInput(call.input) ?? "write", place);
		return paths.length > 0 ? needed(paths) : BY_FAMILY.patch(call, values, place);
	},
	delete: (_call, values, place) => needed(pathsOf(values, "delete", place)),
	patch: (call, values, place) => {
		const inside = record(call.input).changes;
		const named = Array.isArray(inside) ? [] : Object.keys(record(inside));
		const touched = values.filter((v) => PATCH_KEYS.has(v.key)).flatMap((v) => patched(v.text));
		return needed([
			...pathsOf(values, "write", place),
			...named.map((path) => pathSubject(path, "write", place)),
			...touched.map(({ path, use }) => pathSubject(path, use, place)),
		]);
	},
	web: (_call, values) => {
		const named = values.filter((v) => URL_KEYS.has(v.key)).map((v) => v.text);
		// gemini's web_fetch names its addresses in a prompt.
		const inText = named.length > 0 ? [] : values.flatMap((v) => v.text.match(/\bhttps?:\/\/[^\s"'<>)\]]{1,2048}/gi) ?? []);
		return needed([...named, ...inText].map(hostSubject));
	},
	unknown: (call, values, place) => {
		const words = new Set(wordsOf(call.tool));
		const uses = (set: ReadonlySet<string>): boolean => [...words].some((word) => set.has(word));
		const cwd = cwdOf(values, place);
		const isShell = uses(SHELL_WORDS);
		let commands = commandsOf(call.input, uses(BROWSER_WORDS) ? values.filter((v) => v.key !== "script") : values);
		if (isShell && commands.length === 0) commands = values.filter((v) => !CWD_KEYS.has(v.key)).map((v) => v.text);
		const use = uses(DELETE_WORDS) ? "delete" : uses(WRITE_WORDS) ? "write" : "read";
		const urls = values.filter((v) => URL_KEYS.has(v.key) && /^\s*[a-z][a-z0-9+.-]*:/i.test(v.text.slice(0, 64)));
		return {
			subjects: [
				...commands.filter((text) => text.trim() !== "").map((text): Subject => ({ kind: "command", text, cwd })),
				...pathsOf(values, use, place),
				...urls.map((v) => hostSubject(v.text)),
			],
			lacks: null,
		};
	},
};

const needed = (subjects: Subject[]): Read => ({ subjects, lacks: subjects.length > 0 ? null : "tool-input-missing" });

/** Anthropic's text editor tool says in its input what it does. */
function useByInput(input: unknown): PathUse | null {
	const { command } = record(input);
	return command === "view" ? "read" : null;
}

function cwdOf(values: Value[], place: Place): string {
	const said = values.find((v) => v.level === 1 && CWD_KEYS.has(v.key) && v.text !== "");
	return said === undefined ? place.cwd : absolute(said.text, place);
}

/** Texts that a shell would run. An argument list becomes shell text again, so that `["bash", "-lc", "..."]` is unwrapped like any other. */
function commandsOf(input: unknown, values: Value[]): string[] {
	const lists = new Set<unknown>();
	const joined: string[] = [];
	const top = record(input);
	const entries = Object.entries(top).map(([key, value]) => ({ key: keyOf(key), value }));
	const args = entries.find((e) => ARGUMENT_KEYS.has(e.key))?.value;
	const rest = Array.isArray(args) ? args.filter((a) => typeof a === "string") : typeof args === "string" ? [args] : [];
	for (const { key, value } of entries) {
		if (!COMMAND_KEYS.has(key)) continue;
		if (Array.isArray(value) && value.every((one) => typeof one === "string") && !PLURAL.has(key)) {
			lists.add(value);
			joined.push([...value, ...rest].map(quoted).join(" "));
		} else if (typeof value === "string" && rest.length > 0 && key !== "shell") joined.push(`${value} ${rest.map(quoted).join(" ")}`);
	}
	const plain = values.filter((v) => COMMAND_KEYS.has(v.key) && !lists.has(v.list));
	// `shell: "bash"` says which shell, beside a command.
	const said = plain.filter((v) => v.key !== "shell" || /\s/.test(v.text));
	return [...joined, ...said.map((v) => v.text)];
}
const PLURAL = new Set(["commands", "cmds"]);

const quoted = (word: string): string => (/^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

function pathsOf(values: Value[], use: PathUse, place: Place): Subject[] {
	return values
		.filter((v) => (PATH_KEYS.has(v.key) || (v.key === "uri" && v.text.startsWith("file:"))) && v.text !== "")
		.map((v) => pathSubject(v.text, use, place));
}

const pathSubject = (path: string, use: PathUse, place: Place): Subject => ({ kind: "path", text: absolute(path, place), use });

function hostSubject(url: string): Subject {
	const found = hostOf(url);
	return { kind: "host", text: "host" in found ? found.host : url, url };
}

/** The directory that a glob starts from, where it can lead out of the one that is searched; else null. */
function patternRoot(pattern: string): string | null {
	if (!/^[/~]|(^|\/)\.\.(\/|$)/.test(pattern)) return null;
	const star = pattern.search(/[*?[{]/);
	return star < 0 ? pattern : pattern.slice(0, pattern.lastIndexOf("/", star) + 1) || "/";
}

/** Files that a patch touches: of a unified diff or of codex's own format. */
function patched(text: string): { path: string; use: PathUse }[] {
	return text.split("\n").flatMap((line) => {
		const own = /^\*\*\* (Add File|Update File|Delete File|Move to): (.+)$/.exec(line.slice(0, 4200));
		if (own) return [{ path: (own[2] ?? "").trim(), use: own[1] === "Delete File" ? "delete" : "write" }] as const;
		const unified = /^(?:\+\+\+|---) (?:[ab]\/)?([^\t]+)/.exec(line.slice(0, 4200))?.[1]?.trim();
		return unified === undefined || unified === "/dev/null" ? [] : [{ path: unified, use: "write" as const }];
	});
}

/** Absolute and without `.`, `..` and doubled slashes, by the text alone: links are the jail's concern. */
function absolute(path: string, place: Place): string {
	let text = path.startsWith("file://") ? decoded(path.slice(7)) : path;
	if (place.home !== null && (text === "~" || text.startsWith("~/"))) text = place.home + text.slice(1);
	const parts: string[] = [];
	for (const part of (text.startsWith("/") || text.startsWith("~") ? text : `${place.cwd}/${text}`).split("/")) {
		if (part === "..") parts.pop();
		else if (part !== "" && part !== ".") parts.push(part);
	}
	return text.startsWith("~") ? parts.join("/") : `/${parts.join("/")}`;
}

function decoded(text: string): string {
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}

// ------------------------------------------------------------ inputs

interface Value {
	/** Of the nearest object, in lower case without separators: `file_path` and `filePath` are one. */
	key: string;
	text: string;
	/** The array that it stands in. */
	list: unknown;
	/** 1: of the input itself. */
	level: number;
}

/** All texts of an input, in order; null if there are too many or they lie too deep. A text alone has no key. */
function valuesOf(input: unknown): Value[] | null {
	const values: Value[] = [];
	const todo: { key: string; value: unknown; list: unknown; level: number }[] = [{ key: "", value: input, list: null, level: 0 }];
	for (let seen = 0; ; seen++) {
		const one = todo.pop();
		if (one === undefined) return values;
		if (seen > MAX_VALUES || one.level > MAX_LEVELS) return null;
		const { key, value, list, level } = one;
		if (typeof value === "string") values.push({ key, text: value, list, level });
		else if (Array.isArray(value)) {
			if (value.length > MAX_VALUES) return null;
			for (const item of value.toReversed()) todo.push({ key, value: item, list: value, level });
		} else if (typeof value === "object" && value !== null) {
			const entries = Object.entries(value);
			if (entries.length > MAX_VALUES) return null;
			for (const [name, item] of entries.toReversed()) todo.push({ key: keyOf(name), value: item, list: null, level: level + 1 });
		}
	}
}

const keyOf = (name: string): string =>
	name
		.slice(0, 64)
		.replace(/[^A-Za-z0-9]/g, "")
		.toLowerCase();
const wordsOf = (name: string): string[] => (name.slice(0, 256).match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g) ?? []).map((w) => w.toLowerCase());
const record = (value: unknown): Record<string, unknown> =>
	typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
const isEmpty = (input: unknown): boolean => input === undefined || input === null || Object.keys(record(input)).length === 0;
