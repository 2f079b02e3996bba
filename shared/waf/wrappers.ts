import { pathRules, readRule } from "./paths.ts";
import { isNarrow, secretsFound } from "./programs.ts";
import { destroyRules } from "./rules/destroy.ts";
import { baseName, type Call, hostOf, isLoopback, Options } from "./rules/rule.ts";
import { shellRules } from "./rules/shell.ts";
import { escapes, FETCHED, globMatches, isKnown, PRIVATE, quoted, UNKNOWN } from "./words.ts";

/*
 * Programs that run other programs. Each takes its own options off and hands what is left to the same judgement as if it stood alone.
 * A wrapper gives what the inner command prints, or nothing where that is not its output.
 */

type Wrapper = (call: Call) => string | undefined;

/** A program whose first operands (`skip` of them) are its own and the rest a command. */
const prefix =
	(withValue = "", skip = 0): Wrapper =>
	(call) => {
		const inner = new Options(call.args, withValue, true).operands.slice(skip);
		if (inner[0] === "--") inner.shift();
		return inner.length === 0 ? undefined : call.argv(inner);
	};

/** A program that runs what follows one of these words: `conda run`, `poetry run`, `bundle exec`. */
const after =
	(words: string, withValue = ""): Wrapper =>
	(call) => {
		const at = call.args.findIndex((arg) => words.split(" ").includes(arg));
		if (at < 0) return undefined;
		const inner = new Options(call.args.slice(at + 1), withValue, true).operands;
		return inner.length === 0 ? undefined : call.argv(inner);
	};

/** Both `-c SCRIPT` and a command as operands. */
const either =
	(scriptFlags: string, withValue: string, skip = 0): Wrapper =>
	(call) => {
		const flags = scriptFlags.split(" ");
		const options = new Options(call.args, `${withValue} ${scriptFlags}`, true);
		for (const script of options.values(...flags)) call.script(script);
		const inner = options.operands.slice(skip);
		// `flock FILE -c SCRIPT`: the option comes after the operand.
		if (flags.includes(inner[0] ?? "") && inner[1] !== undefined) return call.script(inner[1]);
		return inner.length === 0 ? undefined : call.argv(inner);
	};

const environment: Wrapper = (call) => {
	const args = [...call.args];
	let directory: string | undefined;
	for (let index = 0; index < args.length; index++) {
		const arg = args[index] ?? "";
		if (arg === "-C" || arg === "--chdir") directory = args[index + 1];
		else if (arg.startsWith("--chdir=")) directory = arg.slice(8);
		if (arg === "--") {
			args.splice(0, index + 1);
			break;
		}
		const split = /^(?:-[i0v]{0,3}S|--split-string=?)([\s\S]*)$/.exec(arg);
		if (split) {
			// Its own escapes: `\_` is a blank.
			const text = (split[1] || args[++index] || "").replace(/\\[_tnfv]/g, " ");
			return call.script([text, ...args.slice(index + 1).map(quoted)].join(" "));
		}
		if (arg === "-u" || arg === "-C" || arg === "--unset" || arg === "--chdir" || arg === "-P") index++;
		else if (!arg.startsWith("-")) {
			args.splice(0, index);
			break;
		}
		if (index >= args.length - 1) return PRIVATE;
	}
	// `env $(cat .env | xargs) x`: assignments that nobody sees here.
	while (args[0]?.includes(PRIVATE) && !isKnown(args[0].charAt(0))) args.shift();
	// Functions that a shell finds in its environment.
	for (const arg of args.slice(0, 64)) {
		const body = /^BASH_FUNC_[^=]{1,64}=\(\)\s{0,8}(\{[\s\S]{1,4096})$/.exec(arg)?.[1];
		if (body !== undefined) call.script(body);
	}
	const from = args.findIndex((arg) => !/^([A-Za-z_][A-Za-z0-9_]{0,127}|BASH_FUNC_[^=]{1,64})=/.test(arg));
	// Assignments are the shell's to judge: LD_PRELOAD=x is the same with env before it.
	const assigned = from < 0 ? args : args.slice(0, from);
	for (const one of assigned) {
		const [name = "", value = ""] = [one.slice(0, one.indexOf("=")), one.slice(one.indexOf("=") + 1)];
		if (
			/^(LD_PRELOAD|LD_AUDIT|DYLD_INSERT_LIBRARIES|BASH_ENV|ENV|PROMPT_COMMAND|PS[14]|GIT_[A-Z_]*|[A-Z]*PAGER|EDITOR|VISUAL|BASH_FUNC.*)$/.test(
				name,
			) &&
			isKnown(value)
		)
			call.argv(["export", `${name}=${value}`]);
	}
	if (from < 0) return call.args.length === 0 ? PRIVATE : "";
	if (directory !== undefined && args.length < 64)
		return call.script(
			`cd ${quoted(directory)} && ${[...assigned, ...args.slice(from)].map((arg) => (assigned.includes(arg) ? arg.replace(/=([\s\S]*)$/, (_, value: string) => `=${quoted(value)}`) : quoted(arg))).join(" ")}`,
		);
	return call.argv(args.slice(from), "env", undefined, assignments(assigned));
};

/** `A=1 B=2` before a command. */
const assignments = (words: readonly string[]): ReadonlyMap<string, string> =>
	new Map(words.map((word) => [word.slice(0, word.indexOf("=")), word.slice(word.indexOf("=") + 1)]));

const xargs: Wrapper = (call) => {
	// What these take they take at once: `-i`, `-iX`, `-l1`.
	const inside = call.args.findIndex((arg, at) => !arg.startsWith("-") && !/^-[adEILnPs]$/.test(call.args[at - 1] ?? ""));
	const args = call.args.map((arg, at) =>
		at >= inside && inside >= 0 ? arg : /^-i./.test(arg) ? `-I${arg.slice(2)}` : /^-[le]/.test(arg) ? "-r" : arg,
	);
	const options = new Options(
		args,
		"-a --arg-file -d --delimiter -E -I -L -n -P -s --max-args --max-procs --max-lines --replace --max-chars",
		true,
	);
	const replace = options.value("-I", "--replace") ?? (options.has("-i") ? "{}" : undefined);
	const inner = options.operands.length > 0 ? [...options.operands] : ["echo"];
	const from = options.value("-a", "--arg-file");
	const text = from === undefined ? (call.stdin ?? UNKNOWN) : from === "/dev/null" ? "" : (call.file(from) ?? UNKNOWN);
	const delimiter = options.value("-d", "--delimiter");
	const given = (
		delimiter !== undefined
			? text.replace(/\n$/, "").split(escapes(delimiter))
			: options.has("-0", "--null")
				? // What `find -print0` would print is known as lines.
					text.split(text.includes("\0") || isKnown(text) ? "\0" : "\n")
				: replace !== undefined
					? text.split("\n")
					: unquotedItems(text)
	)
		.filter((item) => item.trim() !== "")
		.slice(0, 64)
		.map((item) => (replace !== undefined ? item.trimStart() : item));
	if (replace !== undefined && replace !== "") {
		let output = "";
		for (const item of given.length > 0 ? given : [UNKNOWN])
			output += call.argv(
				inner.map((arg) => arg.replaceAll(replace, () => item)),
				"xargs",
				null,
			);
		return output;
	}
	return call.argv([...inner, ...given], "xargs", null);
};

/** Words as xargs takes them out of its input: parted by blanks, in quotes or behind a backslash whatever they are. */
const unquotedItems = (text: string): string[] =>
	text.length > 16_384
		? text.split(/[ \t\n\0]+/)
		: (text.match(/(?:[^\s\0"'\\]|\\[\s\S]|"[^"\n]{0,4096}"|'[^'\n]{0,4096}'|["'\\])+/g) ?? []).map((item) =>
				item.replace(
					/\\([\s\S])|"([^"\n]{0,4096})"|'([^'\n]{0,4096})'/g,
					(_, escaped, double, single) => escaped ?? double ?? single ?? "",
				),
			);

/** `find`'s actions: each `-exec` is a command of its own. */
const find: Wrapper = (call) => {
	const { args } = call;
	const starts = args.slice(0, args.findIndex((arg) => /^[-(!]/.test(arg)) < 0 ? undefined : args.findIndex((arg) => /^[-(!]/.test(arg)));
	// What is looked for by its name has that name.
	const name = args[args.findIndex((arg) => /^-i?name$/.test(arg)) + 1] ?? "";
	const hint =
		args.some((arg) => /^-i?name$/.test(arg)) && isKnown(name)
			? `/${["id_rsa", "credentials", "shadow", ".netrc"].find((one) => name.length > 3 && globMatches(name, one)) ?? (/[?[]/.test(name) ? "x" : name.replace(/^\*/, "x"))}`
			: "";
	const secrets = (starts.length > 0 ? starts.slice(0, 8) : ["."]).flatMap((start) => secretsFound(args, start));
	// With no depth at all, the start and nothing below it.
	const itself = args[args.indexOf("-maxdepth") + 1] === "0" && args.includes("-maxdepth");
	const found = (starts.length > 0 ? starts.slice(0, 64) : ["."]).map((start) =>
		itself ? start : `${start.replace(/\/{1,64}$/, "")}/${UNKNOWN}`,
	);
	const narrow = itself || isNarrow(args);
	for (let index = 0; index < args.length; index++) {
		const action = args[index] ?? "";
		if (/^-(exec|execdir|ok|okdir)$/.test(action)) {
			let end = index + 1;
			while (end < args.length && args[end] !== ";" && !(args[end] === "+" && args[end - 1] === "{}")) end++;
			const inner = args.slice(index + 1, end);
			// By its name, a file that this script has written.
			const whole = args.flatMap((arg, at) => (/^-i?(path|wholename)$/.test(args[at - 1] ?? "") ? [arg] : []));
			if ((name !== "" && isKnown(name)) || whole.length > 0)
				for (const start of starts.length > 0 ? starts.slice(0, 8) : ["."])
					for (const [file] of call.filesBelow(start))
						if (globMatches(name, baseName(file)) || whole.some((path) => globMatches(path.replace(/^\.\//, "*/"), file)))
							call.argv(
								inner.map((arg) => arg.replaceAll("{}", () => file)),
								"find",
								null,
							);
			for (const secret of secrets)
				call.argv(
					inner.map((arg) => arg.replaceAll("{}", () => secret)),
					"find",
					null,
				);
			if (inner[0] === "shred" && found.some((path) => path.startsWith("/var/log"))) call.hit(destroyRules["clear-traces"]);
			// To run whatever is found.
			if (inner[0] === "{}") call.hit(shellRules["shell-escape"]);
			// What is found first is where it starts.
			for (const start of starts.slice(0, 8))
				if (!itself && readRule(start, call.place))
					call.argv(
						inner.map((arg) => arg.replaceAll("{}", () => start)),
						"find",
						null,
					);
			for (const path of found) {
				// Everything below a directory, or only what a test picks.
				const place = narrow ? path : `${path.slice(0, -1)}*`;
				// Caches and leftovers, by names that say so.
				if (/^((\/usr)?\/bin\/)?rm$/.test(inner[0] ?? "") && narrow && isKnown(name) && LEFTOVERS.test(name)) continue;
				// One after the other, all that is below it: as good as recursively.
				if (!narrow && /^((\/usr)?\/bin\/)?(rm|unlink|shred)$/.test(inner[0] ?? ""))
					call.deletes(path === `./${UNKNOWN}` ? "./*" : place, true);
				call.argv(
					inner.map((arg) => arg.replaceAll("{}", () => (narrow ? path + (call.args.includes("-o") && hint === "" ? "" : hint) : place))),
					"find",
					null,
				);
			}
			index = end;
		} else if (action === "-delete") {
			for (const path of found) {
				const start = path.slice(0, -1);
				if (!narrow) call.deletes(path === `./${UNKNOWN}` ? "./*" : `${start}*`, true);
				else if (/^\/(home|root|etc|var)?\/?$/.test(start) && !LEFTOVERS.test(name)) {
					// All over the machine: by such a name, or because they are new.
					if (/log|history|wtmp|journal/i.test(name)) call.hit(destroyRules["clear-traces"]);
					else call.hit(pathRules["delete-outside"]);
				} else call.deletes(`${path}/x`, false);
			}
		} else if (/^-f(printf?|ls|print0)$/.test(action)) {
			call.writes(args[index + 1] ?? "");
			call.wrote(args[index + 1] ?? "", action === "-fprintf" ? escapes(args[index + 2] ?? "") : UNKNOWN);
		}
	}
	return undefined;
};

/** What programs leave behind everywhere, and what everybody clears away. */
const LEFTOVERS =
	/^(\*\.(py[co]|o|a|la|swp|bak|tmp|orig|rej|dpkg-\w{1,8}|apk-new|gz|old|[0-9])|__pycache__|\.DS_Store|Thumbs\.db|core(\.\*)?|\*~|\._\*|node_modules|tests?|\.cache)$/;

const git: Wrapper = (call) => {
	const { args } = call;
	let index = 0;
	for (; index < args.length; index++) {
		const arg = args[index] ?? "";
		if (arg === "-c" || arg === "--config-env") gitSetting(call, args[++index] ?? "", args.slice(index + 1));
		else if (arg === "-C" || arg === "--git-dir" || arg === "--work-tree" || arg === "--namespace" || arg === "--super-prefix") index++;
		else if (/^--exec-path=/.test(arg)) continue;
		else if (!arg.startsWith("-")) break;
	}
	const command = args[index];
	const rest = args.slice(index + 1);
	switch (command) {
		case "config": {
			if (rest.some((arg) => /^--(global|system)$/.test(arg)) && rest.some((arg) => /^core\.hookspath$|^init\.templatedir$/i.test(arg)))
				call.hit(pathRules["write-shell-start"]);
			const operands = rest.filter((arg) => !arg.startsWith("-"));
			if (
				/^core\.hookspath$/i.test(operands[0] ?? "") &&
				operands[1] !== undefined &&
				!/^(\.\/)?(\.?git-?hooks|\.husky(\/_)?|hooks|scripts\/.{1,32}|tools\/.{1,32}|dev\/.{1,32}|\.hooks)\/?$/.test(operands[1])
			)
				call.hit(pathRules["write-protected"]);
			if (operands.length >= 2) gitSetting(call, `${operands[0]}=${operands.slice(1).join(" ")}`, []);
			break;
		}
		case "apply":
		case "am":
			patched(call, rest);
			break;
		case "bisect":
			if (rest[0] === "run") return call.argv(rest.slice(1), "git bisect");
			break;
		case "submodule": {
			const at = rest.indexOf("foreach");
			const inner = at < 0 ? [] : rest.slice(at + 1).filter((arg) => arg !== "--recursive" && arg !== "--quiet");
			if (inner.length > 0) return call.script(inner.join(" "), "git submodule");
			break;
		}
		case "rebase":
			for (const script of new Options(rest, "-x --exec").values("-x", "--exec")) call.script(script, "git rebase");
			break;
		case "filter-branch":
			for (let at = 0; at < rest.length; at++)
				if (/^--[a-z]+-filter$/.test(rest[at] ?? "")) call.script(rest[at + 1] ?? "", "git filter-branch");
			break;
		case "clone":
		case "fetch":
		case "pull":
		case "push":
		case "ls-remote":
		case "archive":
			for (const arg of rest) {
				// Blanks part its words; `% ` is one within a word.
				if (/^ext::/.test(arg))
					call.argv(
						arg
							.slice(5)
							.replace(/%S/g, "")
							.replaceAll("% ", "\0")
							.split(" ")
							.filter(Boolean)
							.map((word) => word.replaceAll("\0", " ")),
						"git ext",
						null,
					);
				const pack = /^--(?:upload-pack|receive-pack|exec)=([\s\S]+)$/.exec(arg);
				if (pack) call.script(pack[1] ?? "", "git pack");
			}
			for (const pack of new Options(rest, "-u --upload-pack --exec --receive-pack -b -o --branch --depth").values(
				"-u",
				"--upload-pack",
				"--exec",
				"--receive-pack",
			))
				if (command !== "push" && pack !== "") call.script(pack, "git pack");
			break;
		case "grep":
			for (const pager of rest) {
				const given = /^(?:-O|--open-files-in-pager=)([\s\S]+)$/.exec(pager);
				if (given) call.script(given[1] ?? "", "git grep");
			}
			break;
		case "difftool":
		case "mergetool":
			for (const script of new Options(rest, "-x --extcmd").values("-x", "--extcmd")) call.script(script, "git difftool");
			break;
	}
	return undefined;
};

/** What a patch puts into files that it makes or changes: its own lines of each. */
function patched(call: Call, args: readonly string[]): void {
	const own = new Options(args, "-p -C -d -i -o --directory --exclude --include");
	for (const text of [call.stdin, ...[...own.operands, ...own.values("-i")].map((file) => call.file(file))]) {
		if (text === null || text === undefined || text.length > 65_536) continue;
		for (const part of text.split(/^\+\+\+ /m).slice(1, 33)) {
			const [name = "", ...lines] = part.split("\n");
			const put = lines.filter((line) => /^[+ ](?!\+\+ )/.test(line)).map((line) => line.slice(1));
			const path = name.replace(/\t.*$/, "").trim();
			for (const file of [path.replace(/^[a-z]\//, ""), path]) call.wrote(file, `${put.join("\n")}\n`);
		}
	}
}

/** Settings of git that name a program. */
function gitSetting(call: Call, setting: string, rest: readonly string[]): void {
	const equals = setting.indexOf("=");
	if (equals < 0) return;
	const key = setting.slice(0, equals).toLowerCase();
	if (
		(/^url\..{1,256}\.insteadof$/.test(key) && /^url\.(http:|.{0,16}(\d{1,3}\.){3}|.{0,32}evil)/.test(key)) ||
		(key === "include.path" && /^(\/tmp|\/var\/tmp|\/dev\/shm)\//.test(setting.slice(equals + 1)))
	)
		call.hit(pathRules["write-shell-start"]);
	const value = setting.slice(equals + 1);
	if (key.startsWith("alias.")) {
		const command = value.startsWith("!") ? value.slice(1) : `git ${value}`;
		call.script([command, ...(rest[0] === key.slice(6) ? rest.slice(1) : [])].join(" "), "git alias");
	} else if (
		/^(core\.(pager|editor|sshcommand|askpass|fsmonitor|gitproxy|hookspath|alternaterefscommand)|pager\.|sequence\.editor|diff\.(external|.{0,64}\.(command|textconv))|difftool\.|mergetool\.|merge\..{0,64}\.driver|filter\.|credential(\..{0,64})?\.helper|gpg\.(program|.{0,16}\.program)|browser\.|man\.|uploadpack\.packobjectshook|remote\..{0,64}\.(uploadpack|receivepack|vcs)|interactive\.difffilter|trailer\.|web\.browser|instaweb\.|sendemail\.|init\.templatedir|protocol\.ext)/.test(
			key,
		)
	) {
		if (key === "core.hookspath" || key === "init.templatedir" || key.startsWith("protocol.")) return;
		if (key === "core.fsmonitor" && /^(true|false)$/.test(value)) return;
		if (/^!?\s{0,4}(\/tmp|\/var\/tmp|\/dev\/shm)\//.test(value)) call.hit(shellRules["shell-escape"]);
		call.script(value.startsWith("!") ? value.slice(1) : value, "git setting");
	}
}

const ssh: Wrapper = (call) => {
	const options = new Options(call.args, "-b -c -D -E -e -F -I -i -J -L -l -m -O -o -p -Q -R -S -W -w -B", true);
	for (const option of options.values("-o")) {
		const command = /^(?:proxycommand|localcommand|knownhostscommand)[=\s]+([\s\S]+)$/i.exec(option);
		if (command) call.script((command[1] ?? "").replace(/^;/, ":;"), "ssh option");
	}
	const [destination = "", ...words] = options.operands;
	const there = isLoopback(hostOf(destination)) ? "ssh to this machine" : "ssh";
	// What runs over there has its own files; ours are not in danger, but it is judged as if they were.
	const inner = new Options(words, "-i -p -o -l -F -J", true).operands;
	if (inner.length > 0) return call.script(inner.join(" "), there);
	if (call.stdin !== null && isKnown(call.stdin)) return call.script(call.stdin, there, [], null);
	return undefined;
};

/** `docker run IMAGE CMD`, `docker exec NAME CMD`; the command runs in there. */
const docker: Wrapper = (call) => {
	const [sub, ...rest] = new Options(
		call.args,
		"-H --host --context --config -c -l --log-level -f --file -p --project-name --namespace",
		true,
	).operands;
	const args = sub === "container" || sub === "compose" ? rest.slice(1) : rest;
	const verb = sub === "container" || sub === "compose" ? rest[0] : sub;
	if (verb !== "run" && verb !== "exec" && verb !== "create") return undefined;
	const options = new Options(args, DOCKER_VALUES, true);
	const entry = options.value("--entrypoint");
	const inner = options.operands.slice(1);
	if (inner.length > 0 || entry !== undefined) inContainer(call, entry === undefined || entry === "" ? inner : [entry, ...inner]);
	return UNKNOWN;
};
const DOCKER_VALUES =
	"-a -c -e -h -l -m -p -u -v -w --add-host --annotation --attach --blkio-weight --cap-add --cap-drop --cgroup-parent --cgroupns --cidfile --cpus --cpu-shares --cpuset-cpus --detach-keys --device --dns --entrypoint --env --env-file --expose --gpus --group-add --health-cmd --hostname --init-path --ip --ipc --isolation --label --link --log-driver --log-opt --mac-address --memory --memory-swap --mount --name --net --network --network-alias --pid --pids-limit --platform --publish --pull --restart --runtime --security-opt --shm-size --stop-signal --stop-timeout --storage-opt --sysctl --tmpfs --ulimit --user --userns --uts --volume --volume-driver --volumes-from --workdir --index";

/** A container's files are its own: deleting them is its business, so only what reaches beyond it is judged there. */
function inContainer(call: Call, inner: readonly string[]): void {
	const mounts = call.args.some((arg) => /^(-v|--volume|--mount|--privileged|--pid|--device)/.test(arg));
	const name = baseName(inner[0] ?? "");
	for (const arg of inner) if (/\/run\/secrets\//.test(arg)) call.reads(arg);
	if (
		!mounts &&
		/^(rm|chmod|chown|mkdir|touch|cp|mv|cat|ls|tee|useradd|adduser|kill|truncate|reboot|dd|apt|apt-get|apk|su|passwd)$/.test(name)
	)
		return;
	call.argv(inner, call.name === "kubectl" || call.name === "oc" ? "kubectl" : "docker", null);
}

const kubectl: Wrapper = (call) => {
	const at = call.args.indexOf("--");
	const verb = call.args.find((arg) => !arg.startsWith("-"));
	if (at >= 0 && at + 1 < call.args.length && (verb === "exec" || verb === "run" || verb === "debug"))
		inContainer(call, call.args.slice(at + 1));
	return undefined;
};

const su: Wrapper = (call) => {
	const options = new Options(call.args, "-c --command -s --shell -g -G -w --session-command -u --user -l --login");
	for (const script of options.values("-c", "--command", "--session-command")) call.script(script);
	if (call.name === "runuser" || call.name === "setpriv") {
		const inner = new Options(
			call.args,
			"-c --command -s --shell -g -G -w -u --user --reuid --regid --groups --bounding-set --inh-caps --ambient-caps",
			true,
		).operands;
		if ((options.has("-u", "--user") || call.name === "setpriv") && inner.length > 0) return call.argv(inner);
	}
	if (call.stdin !== null && isKnown(call.stdin) && options.values("-c").length === 0) call.script(call.stdin, call.name, [], null);
	return undefined;
};

const make: Wrapper = (call) => {
	const options = new Options(call.args, "-f -C -I -j -l -o -W --file --makefile --directory --eval");
	for (const text of options.values("--eval", "-E")) recipes(call, text);
	const file = options.value("-f", "--file", "--makefile");
	if (file === "-" || file === "/dev/stdin") {
		if (call.stdin === null || !isKnown(call.stdin)) call.hit(shellRules["unresolved-script"]);
		else recipes(call, call.stdin);
	} else {
		const content = call.file(file ?? "Makefile") ?? (file === undefined ? call.file("makefile") : undefined);
		if (content !== undefined) recipes(call, content);
		else if (file?.startsWith("/dev/fd/")) call.hit(shellRules["unresolved-script"]);
	}
	for (const arg of options.operands) {
		// `make SHELL='rm -rf /'`, `make CC='sh -c ...'`
		const assigned = /^(SHELL|\.SHELLFLAGS|[A-Z_]{1,32})(:|\+|\?)?=([\s\S]+)$/.exec(arg);
		if (assigned && /[;|&`$]|\s-c\s/.test(assigned[3] ?? "")) call.script(assigned[3] ?? "");
	}
	return undefined;
};

/** A makefile's lines that a shell runs. */
function recipes(call: Call, text: string): void {
	// `GO ?= go`
	const defined = new Map<string, string>();
	for (const line of text.split("\n")) {
		const definition = /^(?:export\s{1,4})?([A-Za-z_][\w-]{0,63})\s{0,8}[:?]{0,2}=\s{0,8}(.{0,1024})$/.exec(line);
		if (definition) defined.set(definition[1] ?? "", definition[2] ?? "");
		const file = /\$\(file\s{0,4}>{1,2}\s{0,4}([^,)]{1,512})/.exec(line);
		if (file) call.writes(file[1] ?? "");
		const shell = /\$\(shell ([\s\S]+)\)/.exec(line);
		if (shell) call.script((shell[1] ?? "").replace(/\)$/, "").replaceAll("$$", "$"));
		const recipe =
			/^\t[-@+]{0,3}\s{0,8}([\s\S]+)$/.exec(line) ?? /^[^\s:=#][^:=]{0,128}:[^;=]{0,256};\s{0,8}[-@+]{0,3}([\s\S]+)$/.exec(line);
		if (recipe)
			call.script(
				(recipe[1] ?? "")
					.replaceAll("$$", "$")
					.replace(/\$[({]([A-Za-z_][\w-]{0,63})[)}]/g, (_, name: string) => defined.get(name) ?? `\${${name}}`),
			);
	}
}

const tar: Wrapper = (call) => {
	if (call.args.includes("--remove-files"))
		for (const path of new Options(call.args, "-f -C -T -X --file --directory").operands)
			if (/^([~/]|\.\.?(\/|$))/.test(path)) call.deletes(path, true);
	if (
		call.args.some((arg) => /^-?[a-zA-Z]{0,8}x|^--extract$/.test(arg)) &&
		call.args.some(
			(arg, at) =>
				/^(-C|--directory)$/.test(call.args[at - 1] ?? "") && /^\/(usr|etc|bin|sbin|lib|lib64|boot|root)?(\/(s?bin|lib))?\/?$/.test(arg),
		)
	)
		call.hit(pathRules["write-system"]);
	// `tar -C /etc -c shadow`
	const at = call.args.findIndex((arg) => arg === "-C" || arg === "--directory");
	if (at >= 0 && !call.args.some((arg) => /^-?[a-zA-Z]{0,8}x|^--extract$/.test(arg)))
		for (const name of call.args.slice(at + 2)) if (/^[\w.][\w./-]{0,256}$/.test(name)) call.reads(`${call.args[at + 1]}/${name}`);
	// `(cd ~/.ssh && tar c .)`: what lies where it stands.
	if (call.args.some((arg, n) => (n === 0 ? /^-?[a-zA-Z]{0,8}c[a-zA-Z]{0,8}$/ : /^(-[a-zA-Z]{0,8}c[a-zA-Z]{0,8}|--create)$/).test(arg)))
		for (const name of call.args.slice(1)) if (/^(\.|\*|[\w.][\w./*-]{0,256})$/.test(name)) call.reads(name === "*" ? "." : name);
	// What comes through the pipe lies there now.
	if (call.stdin?.includes(FETCHED) && call.fetchedBlindly)
		call.wroteBelow(new Options(call.args, "-C -f --directory --file").value("-C", "--directory") ?? ".", FETCHED);
	const options = new Options(
		call.args,
		"-I -F --use-compress-program --to-command --checkpoint-action --info-script --new-volume-script --rsh-command --rmt-command -f -C -T -X --file --directory",
	);
	for (const script of options.values(
		"-I",
		"-F",
		"--use-compress-program",
		"--to-command",
		"--info-script",
		"--new-volume-script",
		"--rsh-command",
		"--rmt-command",
	))
		if (
			script !== "" &&
			!/^(pigz|lbzip2|pbzip2|zstd|zstdmt|xz|gzip|bzip2|lz4|pixz|lzma|brotli|unzstd|unxz)( -[-a-zA-Z0-9=]+){0,4}$/.test(script)
		)
			call.script(script);
	for (const action of options.values("--checkpoint-action")) {
		const command = /^exec=([\s\S]*)$/.exec(action);
		if (command) call.script(command[1] ?? "");
	}
	return undefined;
};

const parallel: Wrapper = (call) => {
	const at = call.args.findIndex((arg) => /^:{3,4}\+?$/.test(arg));
	const own = at < 0 ? call.args : call.args.slice(0, at);
	const inner = new Options(
		own,
		"-j -P -N -n -L -a -d -S -I -C --jobs --max-args --arg-file --delay --joblog --results --timeout --workdir --tmpdir --colsep --sshlogin --retries --load --memfree --nice --halt --block --tagstring",
		true,
	).operands;
	const given =
		at < 0 ? (call.stdin ?? UNKNOWN).split("\n").filter(Boolean) : call.args.slice(at + 1).filter((arg) => !/^:{3,4}\+?$/.test(arg));
	const whole = own.some((arg) => /^(-q|--quote)$/.test(arg));
	for (const item of given.slice(0, 64)) {
		if (inner.length === 0) call.script(item);
		else if (whole)
			call.argv(
				inner.some((arg) => arg.includes("{}")) ? inner.map((arg) => arg.replaceAll("{}", () => item)) : [...inner, item],
				"parallel",
				null,
			);
		else {
			const text = inner.join(" ");
			call.script(text.includes("{}") ? text.replaceAll("{}", () => item) : `${text} ${item}`);
		}
	}
	if (given.length === 0) call.script(inner.join(" "));
	return undefined;
};

/** `npx CMD`, `npx -c SCRIPT`, `npm exec -- CMD`. */
const npx: Wrapper = (call) => {
	let args = call.args;
	if (call.name !== "npx" && call.name !== "bunx" && call.name !== "pnpx") {
		const at = args.findIndex((arg) => arg === "exec" || arg === "x" || arg === "dlx");
		if (at < 0 || args.slice(0, at).some((arg) => !arg.startsWith("-"))) {
			for (const option of new Options(args, "--script-shell --node-options").values("--script-shell")) call.argv([option]);
			return undefined;
		}
		args = args.slice(at + 1);
	}
	const options = new Options(args, "-c --call -p --package -w --workspace", true);
	for (const script of options.values("-c", "--call")) call.script(script);
	const [program = "", ...rest] = options.operands;
	return program !== "" && !options.has("-c", "--call") ? call.argv([program, ...(rest[0] === "--" ? rest.slice(1) : rest)]) : undefined;
};

const busybox: Wrapper = (call) => {
	const inner = call.args[0] === "--" ? call.args.slice(1) : call.args;
	if (inner.length === 0 || inner[0]?.startsWith("-")) return undefined;
	return call.argv(inner);
};

const flagScript =
	(flags: string, others = ""): Wrapper =>
	(call) => {
		for (const script of new Options(call.args, `${flags} ${others}`).values(...flags.split(" "))) if (script !== "") call.script(script);
		return undefined;
	};

const rsync: Wrapper = (call) => {
	for (const script of new Options(call.args, "-e --rsh --rsync-path -f --exclude --include --files-from").values(
		"-e",
		"--rsh",
		"--rsync-path",
	))
		if (script !== "") call.script(script);
	// What lies there and not in an empty directory goes.
	const { operands } = new Options(call.args, "-e --rsh --rsync-path -f --exclude --include --files-from --filter");
	const [source = "", target = ""] = operands;
	if (
		call.args.some((arg) => /^--del(ete)?(-\w{1,16})?$/.test(arg)) &&
		/^\/tmp\/|^\/dev\/null|empty/.test(source) &&
		!/^[^/]*:/.test(target)
	)
		call.deletes(target.replace(/(?<=.)\/$/, ""), true);
	return undefined;
};

const at: Wrapper = (call) => {
	if (call.stdin !== null) call.script(call.stdin, call.name, [], null);
	const file = new Options(call.args, "-f -q -t").value("-f");
	const content = file === undefined ? undefined : call.file(file);
	if (content !== undefined) call.script(content);
	return undefined;
};

const screen: Wrapper = (call) => {
	const options = new Options(call.args, "-S -c -e -h -p -s -t -T -X -L", true);
	for (const shell of options.values("-s")) call.argv([shell]);
	return options.operands.length > 0 && !options.has("-X", "-r", "-x", "-ls") ? call.argv(options.operands) : undefined;
};

const tmux: Wrapper = (call) => {
	// Its own commands, one after the other.
	const ends = call.args.flatMap((arg, index) => (/^\\?;$/.test(arg) ? [index] : []));
	if (ends[0] !== undefined) {
		for (const from of [-1, ...ends].slice(0, 16)) {
			const part = call.args.slice(from + 1);
			const end = part.findIndex((arg) => /^\\?;$/.test(arg));
			call.argv(["tmux", ...part.slice(0, end < 0 ? undefined : end)]);
		}
		return undefined;
	}
	const args = new Options(call.args, "-c -f -L -S -T", true);
	for (const script of args.values("-c")) call.script(script);
	const [verb, ...rest] = args.operands;
	if (
		verb !== undefined &&
		/^(new|new-session|new-window|neww|split-window|splitw|run|run-shell|if-shell|pipe-pane|respawn-pane|popup|display-popup)$/.test(verb)
	) {
		const inner = new Options(rest, "-c -e -F -f -n -s -t -x -y -l -p", true).operands;
		if (inner.length === 1) return call.script(inner[0] ?? "");
		if (inner.length > 1) return call.argv(inner);
	}
	if (verb !== undefined && /^(send|send-keys)$/.test(verb)) {
		const keys = new Options(rest, "-t -N", true).operands.filter((key) => !/^(Enter|C-.|Tab|Escape|Space)$/.test(key));
		if (keys.length > 0) call.script(keys.join(" "));
	}
	return undefined;
};

const startStop: Wrapper = (call) => {
	const options = new Options(
		call.args,
		"-x --exec -a --startas -p --pidfile -u --user -n --name -c --chuid -g -d --chdir -N -s --signal -R",
		true,
	);
	const program =
		options.value("-a") ?? call.args.find((_, at) => /^--(startas|exec)$/.test(call.args[at - 1] ?? "")) ?? options.value("-x", "--exec");
	if (program !== undefined && !options.has("-K", "--stop")) return call.argv([program, ...options.operands]);
	return undefined;
};

const socat: Wrapper = (call) => {
	for (const address of call.args) {
		const file = /^(?:open|create|creat|gopen|file):([^,]{1,1024})/i.exec(address);
		if (file) {
			call.writes(file[1] ?? "");
			call.reads(file[1] ?? "");
		}
		const socket = /^unix(?:-connect|-client)?:([^,]{1,1024})/i.exec(address);
		if (socket) call.reads(socket[1] ?? "");
		const run = /^(?:exec|system|shell):([\s\S]+)$/i.exec(address);
		if (run) call.script((run[1] ?? "").split(/,(?:pty|stderr|setsid|sigint|sane|nofork|fdin|fdout|ctty|su)/)[0] ?? "", "socat");
	}
	return undefined;
};

const commandFlag =
	(name: string): Wrapper =>
	(call) => {
		call.args.forEach((arg, index) => {
			const text = arg === name ? call.args[index + 1] : arg.startsWith(`${name}=`) ? arg.slice(name.length + 1) : undefined;
			if (text !== undefined) call.script(text);
		});
		return undefined;
	};

const nix: Wrapper = (call) => {
	call.args.forEach((arg, index) => {
		if (arg === "--run" || arg === "--command") {
			const rest = call.args.slice(index + 1);
			if (call.name === "nix-shell") call.script(rest[0] ?? "", "nix-shell");
			else call.argv(rest, "nix");
		} else if (arg === "-c" && call.name === "nix") call.argv(call.args.slice(index + 1), "nix");
	});
	return undefined;
};

const ansible: Wrapper = (call) => {
	const options = new Options(call.args, "-m -a -i -u -e -f -l --module-name --args --limit --inventory");
	const module = options.value("-m", "--module-name") ?? "command";
	const text = options.value("-a", "--args");
	if (text !== undefined && /^(ansible\.builtin\.)?file$/.test(module) && /\bstate=absent\b/.test(text))
		call.deletes(/\b(?:path|dest|name)=(\S{1,512})/.exec(text)?.[1] ?? "", true);
	if (text !== undefined && /^(ansible\.builtin\.)?(shell|command|raw|script)$/.test(module)) call.script(text, "ansible");
	return undefined;
};

const loader: Wrapper = (call) => {
	const inner = new Options(call.args, "--library-path --preload --audit --argv0", true).operands;
	return inner.length > 0 ? call.argv(inner) : undefined;
};

const watch: Wrapper = (call) => {
	const options = new Options(call.args, "-n -d -q --interval --equexit", true);
	const inner = options.operands;
	if (inner.length === 0) return undefined;
	return options.has("-x", "--exec") ? call.argv(inner) : call.script(inner.join(" "));
};

/** Which programs run other programs, and how to find those. */
export const wrappers: Readonly<Record<string, Wrapper>> = {
	env: environment,
	nohup: prefix(),
	setsid: prefix(),
	nice: prefix("-n --adjustment"),
	ionice: prefix("-c -n -p -P -u"),
	timeout: prefix("-k -s --kill-after --signal", 1),
	gtimeout: prefix("-k -s --kill-after --signal", 1),
	stdbuf: prefix("-i -o -e --input --output --error"),
	time: prefix("-f -o --format --output"),
	chrt: prefix("-T -P -D", 1),
	taskset: prefix("", 1),
	numactl: prefix("-m -N -C -i --membind --cpunodebind --physcpubind"),
	cpulimit: prefix("-l -p -P -e --limit --pid"),
	prlimit: prefix("-p --pid"),
	choom: prefix("-n -p"),
	logsave: prefix("", 1),
	setarch: (call) => prefix("", /^(x86_64|i[3-6]86|linux(32|64)|aarch64|arm|s390x?|ppc)/.test(call.args[0] ?? "") ? 1 : 0)(call),
	linux32: prefix(),
	linux64: prefix(),
	i386: prefix(),
	x86_64: prefix(),
	strace: prefix("-o -e -p -s -u -E -I -a -b -O -P -S -X"),
	ltrace: prefix("-o -e -p -s -u -a -A -D -F -l -n -w -x"),
	valgrind: prefix("--log-file"),
	catchsegv: prefix(),
	unbuffer: prefix(),
	rlwrap: prefix("-a -b -C -D -f -H -l -p -P -q -s -S -t -w -z"),
	faketime: prefix("-f", 1),
	proxychains: prefix("-f"),
	proxychains4: prefix("-f"),
	torsocks: prefix("-P -a -u -p"),
	torify: prefix(),
	tsocks: prefix(),
	firejail: prefix(),
	bwrap: (call) => {
		const at = call.args.indexOf("--");
		const inner =
			at >= 0
				? call.args.slice(at + 1)
				: new Options(
						call.args.filter((arg) => !/^\//.test(arg) || /\/(ba|da|z)?sh$/.test(arg)),
						"--setenv --uid --gid --chdir --hostname",
						true,
					).operands;
		return inner.length > 0 ? call.argv(inner) : undefined;
	},
	"xvfb-run": prefix("-e -f -n -p -s -w --server-args --server-num --error-file"),
	"dbus-run-session": prefix("--dbus-daemon --config-file"),
	"dbus-launch": prefix("--config-file"),
	"ssh-agent": prefix("-a -E -P -t"),
	sshpass: prefix("-p -f -d -P"),
	"systemd-inhibit": prefix("--what --who --why --mode"),
	"systemd-run": prefix(
		"-u -p -H -M -E --unit --property --slice --uid --gid --nice --working-directory --setenv --on-active --on-calendar --description --machine",
	),
	"systemd-cat": prefix("-t -p --identifier --priority"),
	chroot: prefix("--userspec --groups", 1),
	unshare: prefix("--root --wd --map-user --map-group -S -G -R -w --kill-child --propagation --setuid --setgid"),
	nsenter: prefix("-t -S -G --target --setuid --setgid -r -w"),
	setpriv: su,
	su,
	runuser: su,
	pkexec: prefix("--user -u"),
	doas: prefix("-u -C -a"),
	zip: (call) => {
		// `-m`: what has been packed is deleted.
		if (call.args.some((arg) => /^-[a-zA-Z]{0,6}m[a-zA-Z]{0,6}$|^--move$/.test(arg)))
			for (const path of new Options(call.args, "-x -i -b -n -t -TT").operands.slice(1)) if (/^[~/]/.test(path)) call.deletes(path, true);
		return undefined;
	},
	sudo: (call) => sudo(call),
	"sudo.ws": (call) => sudo(call),
	gosu: prefix("", 1),
	"su-exec": prefix("", 1),
	sg: (call) => either("-c", "", 1)(call),
	capsh: (call) => {
		const at = call.args.findIndex((arg) => arg === "--" || arg === "==");
		return at >= 0 ? call.argv(["bash", ...call.args.slice(at + 1)]) : undefined;
	},
	"aa-exec": prefix("-p -n --profile --namespace"),
	cgexec: prefix("-g"),
	runcon: prefix("-t -u -r -l -c", 1),
	xargs,
	find,
	fd: (call) => {
		const from = call.args.findIndex((arg) => /^(-x|-X|--exec|--exec-batch)$/.test(arg));
		if (from < 0) return undefined;
		const [pattern = "", ...starts] = new Options(
			call.args.slice(0, from),
			"-t -e -d -E -S --type --extension --max-depth --exclude --size",
		).operands;
		const all =
			/^(\.|\.\*|)$/.test(pattern) && !call.args.slice(0, from).some((arg) => /^(-e|-S|--extension|--size|--changed-.{1,16})$/.test(arg));
		const inner = call.args.slice(from + 1);
		for (const start of starts.length > 0 ? starts.slice(0, 8) : ["."]) {
			const found = `${start.replace(/\/$/, "")}/${all ? "**" : ""}${UNKNOWN}`;
			call.argv(inner.includes("{}") ? inner.map((arg) => arg.replaceAll("{}", () => found)) : [...inner, found], "fd", null);
		}
		return undefined;
	},
	fdfind: (call) => wrappers.fd?.(call),
	git,
	ssh,
	autossh: ssh,
	mosh: (call) => after("--")(call),
	docker,
	podman: docker,
	nerdctl: docker,
	"docker-compose": docker,
	kubectl,
	oc: kubectl,
	make,
	gmake: make,
	tar,
	bsdtar: tar,
	gtar: tar,
	parallel,
	npx,
	bunx: npx,
	npm: npx,
	pnpm: npx,
	yarn: npx,
	pnpx: npx,
	busybox,
	toybox: busybox,
	"ld.so": loader,
	"ld-linux": loader,
	script: (call) => {
		const options = new Options(call.args, "-c --command -E -I -O -B -T -m -o", true);
		for (const text of options.values("-c", "--command")) call.script(text);
		const late = new Options(options.operands.slice(1), "-c --command");
		for (const text of late.values("-c", "--command")) call.script(text);
		const after = call.args.indexOf("--");
		if (after >= 0 && call.args.length > after + 1) return call.argv(call.args.slice(after + 1));
		return undefined;
	},
	flock: either("-c --command", "-E -w --timeout --conflict-exit-code", 1),
	watch,
	split: (call) => {
		const options = new Options(call.args, "-l -b -C -n -a -t --lines --bytes --number --filter --suffix-length --additional-suffix");
		for (const script of options.values("--filter")) call.script(script);
		const [file = "-", prefix = "x"] = options.operands;
		const text = file === "-" ? call.stdin : call.file(file);
		if (text !== null && text !== undefined)
			for (const part of ["aa", "ab", "00", "01", "a", "0", "aaa", "000"]) call.wrote(prefix + part, text);
		return undefined;
	},
	csplit: (call) => {
		const [file = "-"] = new Options(call.args, "-f -b -n --prefix").operands;
		const text = file === "-" ? call.stdin : call.file(file);
		if (text !== null && text !== undefined) for (const part of ["00", "01"]) call.wrote(`xx${part}`, text);
		return undefined;
	},
	patch: (call) => {
		patched(call, call.args);
		return undefined;
	},
	entr: prefix(),
	rsync,
	at,
	batch: at,
	screen,
	tmux,
	"start-stop-daemon": startStop,
	socat,
	hyperfine: (call) => {
		for (const script of new Options(
			call.args,
			"-w -r -m -M -p -n -s --warmup --runs --prepare --cleanup --setup --export-json --export-markdown -S --shell",
		).operands)
			call.script(script);
		return undefined;
	},
	concurrently: (call) => {
		for (const script of new Options(call.args, "-n -c --names --prefix-colors -p --prefix --max-processes -m").operands)
			if (!script.startsWith("npm:")) call.script(script);
		return undefined;
	},
	nodemon: flagScript("-x --exec", "-w -e --watch --ext --delay -i"),
	"wp-env": after("run"),
	bundle: after("exec"),
	poetry: after("run"),
	pipenv: after("run"),
	hatch: after("run"),
	pdm: after("run"),
	rye: after("run"),
	uv: after("run", "--with --python -p --extra --group"),
	conda: after("run", "-n -p --name --prefix --cwd"),
	mamba: after("run", "-n -p --name --prefix"),
	micromamba: after("run", "-n -p"),
	asdf: after("exec"),
	mise: after("exec --"),
	rbenv: after("exec"),
	pyenv: after("exec"),
	direnv: (call) => (call.args[0] === "exec" ? call.argv(call.args.slice(2)) : undefined),
	dotenv: after("--"),
	doppler: after("--"),
	op: after("--"),
	chamber: after("--"),
	"aws-vault": after("--"),
	nix,
	"nix-shell": nix,
	ansible,
	salt: (call) => {
		const at = call.args.indexOf("cmd.run");
		return at >= 0 ? call.script(call.args[at + 1] ?? "", "salt") : undefined;
	},
	pdsh: (call) => call.script(new Options(call.args, "-w -x -l -f -t -u -R", true).operands.join(" "), "ssh"),
	pssh: (call) => call.script(new Options(call.args, "-h -H -l -p -t -o -e", true).operands.join(" "), "ssh"),
	vagrant: (call) => {
		for (const script of new Options(call.args, "-c --command").values("-c", "--command")) call.script(script, "vagrant");
		return undefined;
	},
	adb: (call) =>
		call.args.includes("shell") && call.args.at(-1) !== "shell"
			? call.script(call.args.slice(call.args.indexOf("shell") + 1).join(" "), "adb")
			: undefined,
	gcloud: commandFlag("--command"),
	lxc: after("--"),
	"lxc-attach": after("--"),
	python: (call) => (call.args[0] === "-m" && /^(pip|pipx)$/.test(call.args[1] ?? "") ? call.argv(call.args.slice(1)) : undefined),
	runit: prefix(),
	chpst: prefix("-u -U -e -b -n -l -L -m -d -o -p -f -c -t -r -/"),
	softlimit: prefix("-m -d -s -l -a -o -p -f -c -r -t"),
	setlock: prefix("", 1),
	envdir: prefix("", 1),
	multitime: prefix("-n -f -i -o -s"),
	perf: (call) => {
		const inner = new Options(call.args.slice(1), "-e -o -F -p -t -C -c -g -r -a", true).operands;
		return /^(record|stat|trace|mem|c2c|lock)$/.test(call.args[0] ?? "") && inner.length > 0 ? call.argv(inner) : undefined;
	},
	gdb: (call) => {
		const at = call.args.indexOf("--args");
		return at >= 0 ? call.argv(call.args.slice(at + 1), "debugger") : undefined;
	},
	sem: prefix("-j --id -n"),
	daemonize: prefix("-a -c -e -o -p -l -u -E"),
	daemon: prefix("-n -u -D -F -o -O -r"),
	"run-one": prefix(),
	fakeroot: prefix("-l -f -i -s -b"),
	wsl: prefix("-d -u --cd --distribution --user"),
	ifne: prefix(),
	pee: (call) => {
		for (const script of call.args) call.script(script);
		return undefined;
	},
};

function sudo(call: Call): string | undefined {
	for (const arg of call.args)
		if (/^(LD_LIBRARY_PATH|PYTHONPATH|PERL5LIB|RUBYLIB|NODE_PATH|GCONV_PATH)=/.test(arg)) call.hit(shellRules["preload-library"]);
	for (const arg of call.args)
		if (/^(LD_PRELOAD|LD_AUDIT|BASH_ENV|[A-Z_]*PAGER|EDITOR|VISUAL|GIT_[A-Z_]{1,32})=/.test(arg)) call.argv(["export", arg], "sudo");
	if (call.args.some((arg) => /^--preserve-env=.{0,256}(LD_PRELOAD|LD_LIBRARY_PATH|PYTHONPATH|PERL5LIB|BASH_ENV)/.test(arg)))
		call.hit(shellRules["preload-library"]);
	const options = new Options(call.args, "-u -g -h -p -C -r -t -T -U -D -R --user --group --host --prompt --close-from --chdir", true);
	const from = options.operands.findIndex((arg) => !/^[A-Za-z_][A-Za-z0-9_]{0,127}=/.test(arg));
	if (from < 0) return undefined;
	const directory = options.value("-D", "--chdir");
	if (directory !== undefined && options.operands.length < 64)
		return call.script(`cd ${quoted(directory)} && ${options.operands.slice(from).map(quoted).join(" ")}`, "sudo");
	return call.argv(options.operands.slice(from), "sudo", undefined, assignments(options.operands.slice(0, from)));
}
