import { quoted } from "../words.ts";
import { CURL_VALUES } from "./network.ts";
import { type Call, each, type Judges, Options } from "./rule.ts";
import { shellRules } from "./shell.ts";

/*
 * What programs are told by files and by their environment: settings that this script has written, or that come through the pipe, count
 * like the same options on the command line. They are turned into those, and the program is judged again with them before its own.
 */

/** Marks a program that is judged again, so that this happens once; what it then starts has settings of its own. */
const AGAIN = "its settings";
/** Settings that start a program with settings, and so on. */
const MAX_AGAIN = 3;

/** Settings that are looked at: nobody who is in earnest has more in a file that he has just written. */
const MAX_SETTINGS = 40;

/** A file that a program is given, if this script has written it; `-` is what comes through the pipe. */
function contentOf(call: Call, path: string): string {
	const text = /^(-|\.|\/dev\/stdin|\/dev\/fd\/0)$/.test(path) ? call.stdin : call.file(path);
	return text ?? "";
}

/** A file's lines that are no comments. */
const linesOf = (text: string): string[] =>
	text
		.slice(0, 32_768)
		.split("\n", 1024)
		.map((line) => line.trim())
		.filter((line) => line !== "" && !/^[#;]/.test(line));

/** A file's settings, to be judged again as options; of too many the first, and a person is asked. */
function settingsOf(call: Call, text: string): string[] {
	call.spend(8 + (text.length >> 2));
	const lines = linesOf(text);
	if (lines.length > MAX_SETTINGS || text.length > 32_768) call.hit(shellRules["too-complex"]);
	return lines.slice(0, MAX_SETTINGS);
}
/** A value as it is without quotes around it. */
const bare = (value: string): string => /^(["'])(.*)\1$/.exec(value)?.[2]?.replace(/\\(["\\])/g, "$1") ?? value;

/** `key = value`, `key: value`, `key value`. */
function settingIn(line: string): [key: string, value: string] | undefined {
	const found = /^-{0,2}([A-Za-z][\w-]{0,63})(?:\s{0,16}[=:]\s{0,16}|\s{1,16}|$)(.{0,2048})$/.exec(line);
	return found ? [found[1] ?? "", bare(found[2] ?? "")] : undefined;
}

function again(call: Call, options: readonly string[]): void {
	if (options.length > 0) call.argv([call.program, ...options, ...call.args], AGAIN);
}

/** How one gets through to a machine behind another. */
const PLAIN_PROXY = /^(nc|ncat|connect|connect-proxy)( -[xXwS456]( ?[\w.:-]{1,64})?){0,4} %h %p$/;

/** ssh: keywords are what `-o` takes. `Match exec` runs a command here, like a local one. */
const sshOptions = (call: Call, text: string): string[] =>
	settingsOf(call, text).flatMap((line) => {
		const [key, value] = settingIn(line) ?? [];
		if (key === undefined || value === undefined || /^host$/i.test(key) || PLAIN_PROXY.test(value)) return [];
		if (!/^match$/i.test(key)) return ["-o", `${key}=${value}`];
		const command = /\bexec\s{1,8}(?:"([^"]{1,1024})"|(\S{1,1024}))/i.exec(line);
		return command ? ["-o", `LocalCommand=${command[1] ?? command[2]}`] : [];
	});
/** curl: options with or without their dashes. */
const curlOptions = (call: Call, text: string): string[] =>
	settingsOf(call, text).flatMap((line) => {
		const [key, value = ""] = settingIn(line) ?? [];
		return key === undefined ? [] : [`${key.length === 1 ? "-" : "--"}${key}`, ...(value === "" ? [] : [value])];
	});
/** wget: `post_file = x` is `--post-file=x`. */
const wgetOptions = (call: Call, text: string): string[] =>
	settingsOf(call, text).flatMap((line) => {
		const [key, value = ""] = settingIn(line) ?? [];
		return key === undefined
			? []
			: [
					`--${key
						.toLowerCase()
						.replaceAll("_", "-")
						.replace(/^input$/, "input-file")}=${value}`,
				];
	});
/** git: `[remote "origin"]` and `push = +main` are `-c remote.origin.push=+main`. */
function gitOptions(call: Call, text: string): string[] {
	let section = "";
	return settingsOf(call, text).flatMap((line) => {
		const header = /^\[\s{0,4}([\w.-]{1,64})(?:\s{1,4}"([^"]{1,256})")?\s{0,4}\]/.exec(line);
		if (header) section = [header[1], header[2]].filter((part) => part !== undefined).join(".");
		const [key, value = "true"] = header || section === "" ? [] : (settingIn(line) ?? []);
		return key === undefined ? [] : ["-c", `${section}.${key}=${value}`];
	});
}

/** Settings that git finds in its environment, and in files that its environment or its options name. */
function gitSettings(call: Call): string[] {
	const value = (name: string): string => call.environment.get(name) ?? call.variable(name) ?? "";
	const found: string[] = [];
	for (let at = 0; at < Math.min(Number(value("GIT_CONFIG_COUNT")) || 0, 32); at++)
		found.push("-c", `${value(`GIT_CONFIG_KEY_${at}`)}=${value(`GIT_CONFIG_VALUE_${at}`)}`);
	for (const [, key = "", set, rest] of value("GIT_CONFIG_PARAMETERS").matchAll(
		/'([^'=]{1,256})(?:=([^']{0,1024}))?'(?:='([^']{0,1024})')?/g,
	))
		found.push("-c", `${key}=${rest ?? set ?? "true"}`);
	const files = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG"].map(value).filter((path) => path !== "");
	const home = call.environment.get("HOME");
	if (home !== undefined) files.push(`${home}/.gitconfig`);
	call.args.slice(0, 32).forEach((arg, at) => {
		const path = call.args[at - 1] === "-c" ? /^include\.path=(.{1,1024})$/i.exec(arg)?.[1] : undefined;
		if (path !== undefined) files.push(path);
		const named = /^--config-env(?:=(.{1,512}))?$/.exec(arg);
		const [key = "", variable = ""] = (named ? (named[1] ?? call.args[at + 1] ?? "") : "").split("=", 2);
		if (variable !== "") found.push("-c", `${key}=${value(variable)}`);
	});
	return [...found, ...files.flatMap((path) => gitOptions(call, contentOf(call, path)))].slice(0, 128);
}

/** make in another directory, and with what its command line sets: the makefile's own definitions do not count against that. */
function makes(call: Call): void {
	const options = new Options(call.args, "-f -C -I -j -l -o -W --file --makefile --directory --eval");
	const directory = options.value("-C", "--directory");
	const file = options.value("-f", "--file", "--makefile");
	const set = options.operands.flatMap((arg) => {
		const found = /^([A-Za-z_][\w-]{0,63})[:?+]{0,2}=(.{0,1024})$/.exec(arg);
		return found ? [found.slice(1, 3)] : [];
	});
	const names = (file === undefined ? ["GNUmakefile", "makefile", "Makefile"] : [file]).map((name) =>
		directory === undefined || name.startsWith("/") ? name : `${directory}/${name}`,
	);
	let text = names.map((name) => contentOf(call, name)).find((content) => content !== "");
	if (text === undefined || (directory === undefined && set.length === 0 && file !== undefined)) return;
	for (const [name = "", value = ""] of set.slice(0, 16)) text = text.replaceAll(`$(${name})`, value).replaceAll(`\${${name}}`, value);
	if (text.length > 32_768) return void call.hit(shellRules["too-complex"]);
	const argv = ["make", "--eval", text];
	if (directory === undefined) call.argv(argv, AGAIN);
	else call.script(`cd ${quoted(directory)} && ${argv.map(quoted).join(" ")}`, AGAIN);
}

/** Programs whose settings name commands that they run, and where those settings are. */
const CONFIGURED: readonly { names: string; options?: string; variables?: readonly string[]; operands?: true }[] = [
	{ names: "tmux", options: "-f" },
	{ names: "screen", options: "-c" },
	{ names: "wg-quick redis-server", operands: true },
	{ names: "openvpn", options: "--config", operands: true },
	{ names: "sshd", options: "-f" },
	{ names: "supervisord pre-commit monit", options: "-c --config --configuration" },
	{ names: "dnsmasq msmtp", options: "-C --conf-file --file" },
	{ names: "fetchmail", options: "-f --fetchmailrc" },
	{ names: "mutt neomutt", options: "-F" },
	{ names: "aws", variables: ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"] },
	{ names: "kubectl oc helm", options: "--kubeconfig", variables: ["KUBECONFIG"] },
];
/** What such a setting is called; its value is a command. */
const NAMES_COMMAND =
	/^(?:-\s{1,4})?["']?(?:(?:pre|post)?(?:up|down)|(?:set\s{1,4}\S{1,32}\s{1,4})?run(?:-shell)?|if-shell|exec|(?:force|authorizedkeys|authorizedprincipals)?command|entry|credential_process|passwordeval|dhcp-script|(?:start|stop) program|(?:pre|post)connect|on_\w{1,32}|loadmodule|(?:route|client|learn|tls|auth)-[\w-]{1,32})["']?\s{0,8}[=:\s]\s{0,8}(.{2,2048})$/i;

/** The commands that a program's settings have it run: on a line of their own, or as a program and its arguments. */
function judgeCommands(call: Call, text: string): void {
	for (const line of linesOf(text)) {
		const command = NAMES_COMMAND.exec(line)?.[1];
		if (command !== undefined) call.maybe(bare(command), call.name);
	}
	const program = /(?:^|[\s{])["']?command["']?:\s{0,4}([^\s,]{1,256})/.exec(text)?.[1];
	const list = /(?:^|[\s{])["']?args["']?:\s{0,64}(?:\[([^\]]{1,1024})\]|((?:\n?\s{0,64}-\s{1,4}[^\n]{1,512}){1,16}))/.exec(text);
	const words = (list?.[1]?.split(",") ?? list?.[2]?.split(/\n?\s{0,64}-\s{1,4}/) ?? []).map((word) => bare(word.trim()));
	if (program !== undefined && words.length > 0) call.argv([bare(program), ...words.filter((word) => word !== "")], call.name, null);
}

const once =
	(judge: (call: Call) => void): ((call: Call) => void) =>
	(call) => {
		if (call.via.at(-1) !== AGAIN && call.via.filter((name) => name === AGAIN).length < MAX_AGAIN) judge(call);
	};

export const givenJudges: Judges = [
	each(
		"ssh scp sftp autossh",
		once((call) => {
			for (const file of new Options(call.args, "-b -c -D -E -e -F -I -i -J -L -l -m -O -o -P -p -Q -R -S -W -w -B").values("-F"))
				again(call, sshOptions(call, contentOf(call, file)));
		}),
	),
	each(
		"curl",
		once((call) => {
			const homes = ["CURL_HOME", "HOME"].flatMap((name) => call.environment.get(name) ?? []).map((home) => `${home}/.curlrc`);
			for (const file of [...homes, ...new Options(call.args, CURL_VALUES).values("-K", "--config")])
				again(call, curlOptions(call, contentOf(call, file)));
		}),
	),
	each(
		"wget",
		once((call) => {
			const options = new Options(call.args, "-e -O -o -P -a -i --execute --config --output-document");
			const file = options.value("--config") ?? call.environment.get("WGETRC") ?? call.variable("WGETRC") ?? "";
			again(call, wgetOptions(call, [...options.values("-e", "--execute"), file === "" ? "" : contentOf(call, file)].join("\n")));
		}),
	),
	// A name to ask for on each line.
	each(
		"dig kdig nslookup",
		once((call) => {
			const options = new Options(call.args, "-f -p -t -q -b -c -x -k -y");
			const files = call.name === "nslookup" && call.args.length === 0 ? ["-"] : options.values("-f");
			for (const line of settingsOf(call, files.map((file) => contentOf(call, file)).join("\n")))
				call.argv([call.program, ...line.split(/\s{1,64}/)], AGAIN, null);
		}),
	),
	each(
		"git",
		once((call) => again(call, gitSettings(call))),
	),
	each("make gmake", once(makes)),
	each(
		"psql",
		once((call) => {
			const file = call.environment.get("PSQLRC") ?? call.variable("PSQLRC");
			if (file !== undefined) again(call, ["-f", file]);
		}),
	),
	...CONFIGURED.map(({ names, options = "", variables = [], operands }) =>
		each(
			names,
			once((call) => {
				const given = new Options(call.args, options);
				const named = variables.flatMap((name) => (call.environment.get(name) ?? call.variable(name) ?? "").split(":", 4));
				for (const path of [...(options === "" ? [] : given.values(...options.split(" "))), ...named, ...(operands ? given.operands : [])])
					if (path !== "" && path !== "-") judgeCommands(call, contentOf(call, path));
			}),
		),
	),
];
