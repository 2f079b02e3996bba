import { Args } from "./directives.ts";
import { asList, asObject, asText } from "./json.ts";
import type { OfferedTool } from "./requests.ts";

export interface ToolCall {
	id: string;
	name: string;
	freeform: boolean;
	input: unknown;
}
type NamedKind = "bash" | "write" | "read" | "ask";
export type ToolKind = NamedKind | "tool";
type Call = Omit<ToolCall, "id"> | { missing: string };

/** What the CLIs call the tool. */
const NAMES: Record<NamedKind, [string, ...string[]]> = {
	bash: ["Bash", "bash", "exec_command", "shell_command", "shell", "local_shell", "run_shell_command", "execute_command", "terminal"],
	write: ["Write", "write", "write_file", "create_file", "apply_patch"],
	read: ["Read", "read", "read_file", "view_file"],
	ask: ["AskUserQuestion", "question", "ask_user", "request_user_input"],
};
const CONTENT = "written by the fake model\n";

/** The call of the offered tool of this kind, or the name of what is not offered. */
export function toolCall(kind: ToolKind, args: Args, tools: Map<string, OfferedTool>): Call {
	if (kind !== "tool") return namedCall(kind, args, tools);
	const name = args.text("name") ?? "";
	return { name, freeform: tools.get(name)?.freeform ?? false, input: args.value("input") ?? {} };
}

function namedCall(kind: NamedKind, args: Args, tools: Map<string, OfferedTool>): Call {
	const name = NAMES[kind].find((n) => tools.has(n));
	const tool = name === undefined ? undefined : tools.get(name);
	if (name === undefined || tool === undefined) return kind === "write" ? writeByShell(args, tools) : { missing: NAMES[kind][0] };
	const properties = asObject(tool.schema.properties);
	const pick = (first: string, ...others: string[]): string => [first, ...others].find((k) => k in properties) ?? first;
	const input: Record<string, unknown> = {};
	switch (kind) {
		case "bash": {
			const key = pick("command", "cmd");
			const command = args.text("cmd") ?? "true";
			input[key] = asObject(properties[key]).type === "array" ? ["bash", "-lc", command] : command;
			if ("description" in properties) input.description = args.text("description") ?? "scripted command";
			if (args.has("timeout")) input[pick("timeout", "timeout_ms", "yield_time_ms")] = args.number("timeout", 0);
			if (args.has("bg") && "run_in_background" in properties) input.run_in_background = args.text("bg") !== "false";
			break;
		}
		case "write": {
			const content = args.text("content") ?? CONTENT;
			if (name === "apply_patch") {
				const lines = content.replace(/\n$/, "").split("\n");
				const patch = `*** Begin Patch\n*** Add File: ${args.text("path")}\n${lines.map((l) => `+${l}`).join("\n")}\n*** End Patch\n`;
				return { name, freeform: tool.freeform, input: tool.freeform ? patch : { [pick("input", "patch")]: patch } };
			}
			input[pick("file_path", "filePath", "path")] = args.text("path");
			input[pick("content", "contents", "text")] = content;
			break;
		}
		case "read":
			input[pick("file_path", "filePath", "path", "absolute_path")] = args.text("path");
			break;
		case "ask":
			input.questions = [
				{
					...(name === "request_user_input" && { id: "q1" }),
					question: args.text("question") ?? "Which one?",
					header: args.text("header") ?? "Choice",
					multiSelect: false,
					multiple: false,
					options: (args.text("options") ?? "first|second").split("|").map((label) => ({ label, description: `the ${label} option` })),
				},
			];
			break;
	}
	for (const key of asList(tool.schema.required).map(asText)) {
		const { type } = asObject(properties[key]);
		if (!(key in input)) input[key] = type === "boolean" ? false : type === "number" ? 0 : "";
	}
	return { name, freeform: tool.freeform, input };
}

/** CLIs without a file-writing tool write through their shell. */
function writeByShell(args: Args, tools: Map<string, OfferedTool>): Call {
	const text = (args.text("content") ?? CONTENT).replaceAll("'", `'\\''`);
	const call = namedCall("bash", new Args(new Map([["cmd", `printf %s '${text}' > '${args.text("path")}'`]])), tools);
	return "missing" in call ? { missing: "write" } : call;
}
