import { deleteRule, isPlainSetting, located, pathRules, readRule, writeRule } from "../paths.ts";
import { edit } from "../programs.ts";
import { isKnown, UNKNOWN } from "../words.ts";
import { type Call, each, type Judges, Options, rules } from "./rule.ts";

export const destroyRules = rules("destroy", {
	"format-disk": {
		verdict: "deny",
		reason: "makes a new file system or partition table, or wipes one",
		match: [
			"mkfs.ext4 /dev/sda1",
			"wipefs -a /dev/sdb",
			"sgdisk --zap-all /dev/sda",
			"echo y | mkswap /dev/sda2",
			"parted -s /dev/sda mklabel gpt",
			"cryptsetup luksFormat /dev/sda",
		],
		pass: ["mkfs.ext4 disk.img", "lsblk", "fdisk -l", "parted -l", "parted -s /dev/sda print"],
	},
	"permissions-catastrophe": {
		verdict: "deny",
		reason: "changes owner or permissions of the system or a home, all the way down",
		match: [
			"chmod -R 777 /",
			"chown -R nobody /etc",
			"chmod -R 000 ~",
			"chmod 777 /etc/shadow",
			"chmod -R a= /etc",
			"find /etc -depth ! -type l -print0 | xargs -0 chmod 0",
			"find /usr | xargs chown nobody",
			"fd . /home/ann -X chmod 000",
			"printf 'x:\\n\\tchmod -R a= $(D)\\n' > /tmp/m; make -f /tmp/m D=/etc",
		],
		pass: [
			"find /etc/app -name '*.conf' -exec chmod 644 {} +",
			"find . -type d -exec chmod 755 {} +",
			"chmod -R 755 dist",
			"chmod +x run.sh",
			"chown -R user:user .",
			"chmod 600 ~/.ssh/id_rsa",
		],
	},
	"shred-files": {
		verdict: "ask",
		reason: "overwrites files so that nothing brings them back",
		match: ["shred -u secrets.txt", "srm x"],
		pass: ["rm x"],
	},
	"hide-or-lock-file": {
		verdict: "ask",
		reason: "makes files unchangeable, or changeable again",
		match: ["chattr +i x"],
		pass: ["lsattr x"],
	},
	"lock-system": {
		verdict: "deny",
		reason: "makes files of the system unchangeable, or changeable again",
		match: ["chattr -i /etc/passwd", "chattr +i /etc/resolv.conf"],
		pass: ["lsattr /etc/passwd", "chattr +i x"],
	},
	"clear-traces": {
		verdict: "deny",
		reason: "removes or stops the records of what was done on this machine",
		match: [
			"history -c",
			"rm /var/log/auth.log",
			"> /var/log/syslog",
			"sudo find / -name '*.log' -newermt yesterday -delete",
			"journalctl --vacuum-time=1s",
			"unset HISTFILE",
			"ln -sf /dev/null ~/.bash_history",
			"truncate -s 0 /var/log/wtmp",
		],
		pass: ["history | tail", "tail /var/log/syslog", "journalctl -u nginx", "HISTSIZE=1000"],
	},
	"clear-log": {
		verdict: "ask",
		reason: "empties or edits a log of this machine",
		match: [
			"truncate -s 0 /var/log/app/x.log",
			"sed -i '/10.0.0.9/d' /var/log/apache2/access.log",
			"find /var/log -name '*.log' -exec truncate -s 0 {} \\;",
		],
		pass: ["tail /var/log/app/x.log", "find /var/log -mtime +30 -delete"],
	},
	"forge-time": {
		verdict: "ask",
		reason: "gives a system file another file's time, or the machine another date",
		match: ["date -s '2020-01-01'", "timedatectl set-time 2020-01-01"],
		pass: ["touch x", "date +%F", "touch -d yesterday x"],
	},
	"fill-machine": {
		verdict: "deny",
		reason: "uses up the machine: endless processes, memory or disk",
		match: ["stress --vm 8", "yes > /dev/null &"],
		pass: ["yes | head", "yes | apt-get install x", "head -c 10 /dev/urandom"],
	},
	"fill-disk": {
		verdict: "ask",
		reason: "writes until the disk is full",
		match: ["fallocate -l 1T /tmp/f", "yes > x", "dd if=/dev/zero of=x bs=1M", "cat /dev/zero > x"],
		pass: ["fallocate -l 1G x", "yes | head > x", "dd if=/dev/zero of=x bs=1M count=10"],
	},
	"move-system": {
		verdict: "deny",
		reason: "moves the system or a home away",
		match: ["mv / /tmp/x", "mv ~ /dev/null", "mv /etc /tmp", "mv /* /tmp", "mv important /dev/null"],
		pass: ["mv a b", "mv a /tmp/", "mv ~/Downloads/x ."],
	},
	"disguise-shell": {
		verdict: "deny",
		reason: "copies a shell under another name",
		match: ["cp /bin/sh /tmp/crond", "install -m 755 /bin/bash ./x"],
		pass: ["cp /bin/sh rootfs/bin/", "cp run.sh /tmp/run.sh"],
	},
	"crypto-miner": {
		verdict: "deny",
		reason: "mines coins",
		match: ["xmrig -o pool.example.com:3333", "./x -o stratum+tcp://pool.minexmr.com:4444 -u x"],
		pass: ["grep stratum+tcp README.md"],
	},
});
const d = destroyRules;

const isLog = (path: string): boolean =>
	/^\/var\/(log|run|spool|adm|account)\/|\/\.(bash_|zsh_|mysql_|python_|sh_)?history$|\/\.histfile$|^\/(var\/)?run\/(utmp|log\/journal)|^\/private\/var\/log|^\/Library\/Logs/.test(
		path,
	);
export const isSystemLog = (path: string): boolean =>
	/^\/var\/(log|spool)\/?$|^\/var\/log\/(\*|\.\*|auth|secure|syslog|messages|wtmp|btmp|lastlog|audit|faillog|kern|maillog|mail|cron|utmp|utx|journal|lastb|user|daemon|boot|dmesg|dpkg|apt|yum|tallylog|xferlog|system|install)|history$|^\/(var\/)?run\/(utmp|log)|^\/private\/var\/(log|audit)|^\/(var\/spool\/mail|var\/mail)\/root/.test(
		path,
	);

/** A path as the shell would see it, for the rules about logs. */
const absolute = (call: Call, path: string): string => located(path, call.place);

/** In place of a content: what has been moved there, and from where. */
const MOVED = "\x7f<";

function deleting(call: Call, paths: readonly string[], recursive: boolean): void {
	for (const path of paths) {
		// What was put there before is what is lost.
		const lost = [call.file(path) ?? "", ...(recursive ? call.filesBelow(path.replace(/\/\*?$/, "")).map(([, content]) => content) : [])];
		for (const content of lost) if (content.startsWith(MOVED)) call.deletes(content.slice(MOVED.length), true);
		if (isSystemLog(absolute(call, path))) call.hit(d["clear-traces"]);
		call.deletes(path, recursive);
	}
}

const permissions = (call: Call): void => {
	if (call.name === "setfacl") {
		const acl = new Options(call.args, "-m -x -M -X --modify --remove");
		for (const path of acl.operands)
			if (/^(\/|\/(etc|usr|bin|home|root|var|lib)\/?|~\/?)$/.test(path) || /^\/etc\/(shadow|passwd|sudoers)/.test(path))
				call.hit(d["permissions-catastrophe"]);
		return;
	}
	const options = new Options(
		call.args.map((arg) => (/^-[rwxXstugo]{1,8}$/.test(arg) && call.name === "chmod" && !/^-R$/.test(arg) ? `${arg.slice(1)}` : arg)),
		"--reference --from",
	);
	const [how = "", ...paths] = options.has("--reference") ? ["", ...options.operands] : options.operands;
	const down = options.has("-R", "--recursive") || call.args.some((arg) => /^-[a-zA-Z]{0,4}R/.test(arg));
	// One after the other, all that is below it: as good as recursively.
	const oneByOne = call.via.some((name) => /^(find|xargs|fd|parallel)$/.test(name));
	// For its owner alone: `chmod 700 /root/.ssh`.
	const tightens = call.name === "chmod" && /^(0?[0-7]?[4-7]00|(og|go|g|o)(-[rwx]{1,3}|=),?.{0,8}|u=[rwX]{1,3},go=)$/.test(how);
	for (const given of paths) {
		if (tightens && /^\/root\/\.(ssh|kube|aws|gnupg|docker|netrc|config|npmrc|pgpass)/.test(given)) continue;
		// A home to whom it belongs.
		if (call.name === "chown" && new RegExp(`^/home/${(how.split(":", 1)[0] ?? "").replace(/[^\w-]/g, ".") || "-"}/?$`).test(given))
			continue;
		// The project's own are its business, wherever it lies; all else counts by where it is: `cd / && chown -R x etc`.
		const recursive = down || (oneByOne && /\/\*{1,2}\uFFFC?$/.test(given));
		const at = located(given.replace(recursive ? /\/\*{1,2}\uFFFC?$/ : /\/\*$/, "") || "/", call.place);
		if (at.startsWith(`${call.place.workDir}/`)) continue;
		const where = at === call.place.workDir ? given : at;
		if (
			recursive &&
			/^(\/|\/(bin|boot|dev|etc|home|lib|lib64|opt|root|run|sbin|srv|sys|usr|var|proc)(\/(bin|lib|sbin|lib64|log|share|spool|cache))?\/?|~\/?|\/home\/[^/]{1,64}\/?|\/root\/?)$/.test(
				where.replace(call.place.home ?? "\0", "~"),
			)
		)
			call.hit(d["permissions-catastrophe"]);
		else if (
			/^\/(etc\/(shadow|passwd|sudoers|gshadow|group|ssh|crontab)|(var\/)?run\/docker\.sock|root|bin|sbin|usr\/s?bin|lib|boot|dev\/(sd|mem|kmem|nvme))/.test(
				where,
			)
		)
			call.hit(d["permissions-catastrophe"]);
	}
};

/** Copies and moves: the last operand, or `-t`, is written; what is moved away is gone. */
const copying = (call: Call): void => {
	const options = new Options(call.args, "-t -S -m -o -g --target-directory --suffix --mode --owner --group --backup");
	const into = options.value("-t", "--target-directory");
	const operands = [...options.operands];
	const target = into ?? (operands.length > 1 || call.name === "ln" ? operands.pop() : undefined);
	const sources = operands;
	if (call.name === "install" && options.has("-d", "--directory")) {
		for (const path of options.operands) call.writes(`${path}/x`);
		return;
	}
	if (target !== undefined) {
		if (call.name === "mv" && /^\/dev\/null$/.test(target)) call.hit(d["move-system"]);
		if (call.name === "ln" && sources.some((source) => source === "/dev/null") && /history$/.test(target)) call.hit(d["clear-traces"]);
		if (isSystemLog(absolute(call, target))) call.hit(d["clear-traces"]);
		const directory = /\/$|^(\/usr)?(\/local)?\/s?bin$/.test(target) || into !== undefined;
		const plain = writeRule(target, call.place);
		if (!directory) call.writes(target);
		for (const source of sources) {
			const name = source.slice(source.lastIndexOf("/") + 1);
			// Into a directory: which one the rules do not know, so both readings count.
			if (name !== "" && (directory || !plain)) call.writes(`${target.replace(/\/$/, "")}/${name}`);
			if (/^[/~]/.test(source) && (call.name === "ln" || options.has("-r", "-R", "-a", "--recursive", "--archive"))) {
				call.linked(source, target);
				call.linked(source, `${target}/${name}`);
			}
			const content =
				(source === "/dev/stdin" && call.stdin !== null ? call.stdin : undefined) ??
				call.file(source) ??
				(/^(\/usr)?(\/local)?\/s?bin\/[\w.+-]{1,64}$/.test(source) ? `\x7f${source}` : undefined);
			if (content !== undefined) {
				call.wrote(target, content);
				call.wrote(`${target}/${name}`, content);
			} else if (call.name === "mv" && deleteRule(source, true, call.place)?.verdict === "deny")
				call.wrote(`${target.replace(/\/$/, "")}/${name}`, MOVED + located(source, call.place));
		}
	}
	for (const source of sources) {
		if (
			/^(\/usr)?\/bin\/((ba|da|z|k)?sh|busybox)$/.test(located(source, call.place)) &&
			target !== undefined &&
			!/\/bin\/?(\w{0,8}sh|busybox)?$|\/$/.test(target) &&
			(call.name !== "ln" || !/sh$/.test(target))
		)
			call.hit(d["disguise-shell"]);
		if (call.name === "mv") {
			const where = located(source.replace(/\/\*$/, "") || "/", call.place);
			if (
				/^(\/|~|\/(bin|boot|etc|home|lib|lib64|opt|root|sbin|usr|var)(\/(bin|lib|sbin))?)\/?$/.test(
					where.replace(call.place.home ?? "\0", "~"),
				)
			)
				call.hit(d["move-system"]);
			else if (/^\/(bin|sbin|etc|lib|lib64|boot|usr\/(s?bin|lib))\//.test(where)) call.deletes(where, false);
		}
		if (call.name !== "ln" || !options.has("-s", "--symbolic")) call.reads(source);
		else if (readRule(source, call.place)?.id === "read-secret") call.reads(source);
	}
};

export const destroyJudges: Judges = [
	// What is made executable is going to be run, whoever runs it.
	each("chmod", (call) => {
		const [mode = "", ...paths] = new Options(call.args.filter((arg) => !/^-[a-zA-Z]*x/.test(arg))).operands;
		if (!/x|[1357]/.test(mode)) return;
		for (const path of paths.slice(0, 16)) {
			const content = call.file(path);
			if (content !== undefined && isKnown(content) && !content.startsWith("\x7f")) call.maybe(content, "chmod");
		}
	}),
	each("rm rmdir unlink srm trash rimraf del-cli", (call) => {
		const options = new Options(call.args, "--interactive");
		if (call.name === "srm") call.hit(d["shred-files"]);
		const recursive = options.has("-r", "-R", "--recursive") || /^(rimraf|del-cli)$/.test(call.name);
		if (options.has("--no-preserve-root")) call.hit(pathRules["delete-catastrophe"]);
		deleting(call, options.operands, recursive);
	}),
	each("shred wipe scrub", (call) => {
		const options = new Options(call.args, "-n -s --iterations --size --random-source");
		deleting(call, options.operands, true);
		for (const path of options.operands) call.writes(path);
		call.hit(d["shred-files"]);
	}),
	each("truncate", (call) => {
		for (const path of new Options(call.args, "-s -r --size --reference").operands) {
			if (isSystemLog(absolute(call, path))) call.hit(d["clear-traces"]);
			else if (isLog(absolute(call, path))) call.hit(d["clear-log"]);
			call.writes(path);
		}
	}),
	each("dd", (call) => {
		if (
			call.args.some((arg) => /^if=\/dev\/(zero|urandom)$/.test(arg)) &&
			call.args.some((arg) => /^of=(?!\/dev\/null)/.test(arg)) &&
			!call.args.some((arg) => /^count=/.test(arg))
		)
			call.hit(d["fill-disk"]);
		for (const arg of call.args) {
			if (arg.startsWith("of=")) {
				call.writes(arg.slice(3));
				if (call.stdin !== null) call.wrote(arg.slice(3), call.stdin);
				if (isSystemLog(absolute(call, arg.slice(3)))) call.hit(d["clear-traces"]);
			}
			if (arg.startsWith("if=")) call.reads(arg.slice(3));
		}
	}),
	each(
		"mkfs mke2fs mkswap wipefs sgdisk sfdisk fdisk cfdisk parted gdisk cryptsetup blkdiscard hdparm mkdosfs mkntfs mkisofs pvcreate pvremove vgremove lvremove zpool mdadm badblocks nvme",
		(call) => formats(call),
	),
	each(
		"mkfs.ext2 mkfs.ext3 mkfs.ext4 mkfs.xfs mkfs.btrfs mkfs.vfat mkfs.fat mkfs.ntfs mkfs.f2fs mkfs.exfat mkfs.minix mkfs.cramfs",
		(call) => formats(call),
	),
	each("chmod chown chgrp setfacl", (call) => {
		permissions(call);
		if (call.name === "chmod" && call.args.some((arg) => /^([ugoa]{0,3}\+[rwx]{0,3}s|[2467][0-7]{3})$/.test(arg))) return;
	}),
	each("chattr", (call) =>
		call.hit(
			call.args.some((arg) => /^(\/(etc|usr|bin|boot|root|var\/(log|spool))\b|~\/\.ssh)/.test(arg))
				? d["lock-system"]
				: d["hide-or-lock-file"],
		),
	),
	each("cp mv ln install gcp rename", copying),
	each("tee sponge", (call) => {
		const append = call.args.includes("-a") || call.args.includes("--append");
		for (const path of new Options(call.args).operands) {
			if (isSystemLog(absolute(call, path)) && !append) call.hit(d["clear-traces"]);
			if (!isPlainSetting(absolute(call, path), call.stdin ?? "", append)) call.writes(path, append);
		}
	}),
	each("touch", (call) => {
		const options = new Options(call.args, "-r -d -t --reference --date --time");
		for (const path of options.operands) {
			call.writes(path);
			if (options.has("-r", "-t", "-d", "--reference") && /^\/(etc|bin|usr|sbin|lib|var\/log)\/|^\/(tmp|var\/tmp|dev\/shm)\/\./.test(path))
				call.hit(d["forge-time"]);
		}
	}),
	each("cpio", (call) => {
		// `cpio -p DIR`: what its input names is copied there.
		const options = new Options(call.args, "-F -E -H -I -O -R -C --file --directory");
		const into = options.has("-p", "--pass-through") ? options.operands[0] : undefined;
		for (const file of into === undefined ? [] : (call.stdin ?? "").split("\n").slice(0, 64)) {
			if (file === "") continue;
			call.reads(file);
			call.writes(`${into}/${file}`);
		}
	}),
	each("mknod", (call) => {
		if (call.args.includes("b")) call.hit(pathRules["write-device"]);
	}),
	each("zpool zfs", (call) => {
		if (call.args.includes("destroy") && !call.args.includes("-n")) call.hit(d["format-disk"]);
	}),
	each("dmsetup", (call) => {
		if (call.args.some((arg) => /^(remove|remove_all|wipe_table|clear)$/.test(arg))) call.hit(d["format-disk"]);
	}),
	each("mkdir", (call) => {
		for (const path of new Options(call.args, "-m --mode").operands) if (/^\/(sys|proc)\//.test(path)) call.writes(path);
	}),
	each("sed", (call) => {
		const options = new Options(call.args, "-e -f --expression --file -l");
		const given = options.has("-e", "--expression", "-f", "--file");
		const scripts = given
			? [
					...options.values("-e", "--expression"),
					...options.values("-f", "--file").flatMap((file) => (file === "-" ? call.stdin : call.file(file))?.split("\n", 64) ?? []),
				]
			: options.operands.slice(0, 1);
		const files = options.operands.slice(given ? 0 : 1);
		const inPlace = options.has("-i", "--in-place") || call.args.some((arg) => /^-[nErsuz]{0,5}i/.test(arg));
		for (const file of files) {
			if (inPlace) {
				if (isSystemLog(absolute(call, file))) call.hit(d["clear-traces"]);
				else if (isLog(absolute(call, file))) call.hit(d["clear-log"]);
				call.writes(file);
			} else call.reads(file);
		}
		for (const script of scripts.slice(0, 64)) {
			// `1e command`, `s/a/b/e`, `w file`: sed runs and writes too.
			// `1!d;s/a/b/e`: each command by itself.
			const last = /;\s{0,8}(s([/|#,@])(?:[^\\]|\\.){0,1024}\2[gpIim0-9]{0,4}e[gpIim0-9]{0,4})$/.exec(script)?.[1];
			if (last !== undefined) {
				const separator = last.charAt(1);
				call.script((last.replaceAll(`\\${separator}`, "\0").split(separator, 4)[2] ?? "").replaceAll("\0", separator), "sed");
			}
			const runs = /^[0-9$,/!]{0,16}\s{0,4}e\s{0,4}(.{1,2048})$/.exec(script) ?? /^[0-9$]{0,8}\s{0,4}e$/.exec(script);
			if (runs) call.script(runs[1] ?? call.stdin ?? UNKNOWN, "sed");
			const mark = script.charAt(1) || "/";
			const [command = "", , replacement = "", flags = ""] = script.replaceAll(`\\${mark}`, "\0").split(mark, 4);
			if (command === "s" && /^[gpIim0-9]{0,6}e/.test(flags)) {
				// With a known input it is the line as the substitution leaves it.
				const line = call.stdin !== null && isKnown(call.stdin) ? edit(call.stdin, script, false, options.has("-E", "-r")) : undefined;
				call.script(line ?? replacement.replaceAll("\0", mark), "sed");
			}
			const writes = /(?:^|[0-9;}/$gp])\s{0,4}[wW]\s{1,4}([^\s;/][^\n;/]{0,512}|[~/][^\n;]{1,512})$/.exec(script);
			if (writes) {
				call.writes(writes[1] ?? "");
				call.wrote(writes[1] ?? "", call.stdin ?? UNKNOWN);
			}
			const reads = /(?:^|[0-9;}$])\s{0,4}r\s{0,4}([~/][^\n;]{1,512})$/.exec(script);
			if (reads) call.reads(reads[1] ?? "");
		}
	}),
	each("history", (call) => {
		if (call.args.some((arg) => /^-[a-z]{0,4}[cdw]/.test(arg)) && !call.args.includes("-a")) call.hit(d["clear-traces"]);
	}),
	each("unset", (call) => {
		if (call.args.some((arg) => /^(HISTFILE|HISTSIZE|HISTFILESIZE|PROMPT_COMMAND)$/.test(arg))) call.hit(d["clear-traces"]);
	}),
	each("export declare typeset readonly", (call) => {
		for (const arg of call.args)
			if (
				/^(HISTFILE=(\/dev\/null|)|HISTSIZE=0|HISTFILESIZE=0|HISTCONTROL=ignorespace|HISTCONTROL=ignoreboth|HISTIGNORE=\*)$/.test(arg) &&
				!/ignoreboth/.test(arg)
			)
				call.hit(d["clear-traces"]);
	}),
	each("set", (call) => {
		if (call.args[0] === "+o" && call.args[1] === "history") call.hit(d["clear-traces"]);
	}),
	each("shopt", (call) => {
		if (call.args.includes("-u") && call.args.includes("histappend")) call.hit(d["clear-traces"]);
	}),
	each("journalctl", (call) => {
		if (call.args.some((arg) => /^--vacuum-(time=\d{1,3}(s|m|min|h|hour)?$|time=1d|size=\d{1,3}[KB]?$|size=[1-9]M$|files=[01]$)/.test(arg)))
			call.hit(d["clear-traces"]);
	}),
	each("wevtutil lastlog utmpdump", (call) => {
		if (call.args.some((arg) => /^(-C|--clear|-r|cl)$/.test(arg))) call.hit(d["clear-traces"]);
	}),
	each("date timedatectl hwclock", (call) => {
		if (call.args.some((arg) => /^(-s|--set.{0,16}|set-time|set-ntp|--systohc|-w)$/.test(arg) || /^--set=/.test(arg)))
			call.hit(d["forge-time"]);
	}),
	each("dmesg", (call) => {
		if (call.args.some((arg) => /^(-C|--clear)$/.test(arg))) call.hit(d["clear-traces"]);
	}),
	each("tail", (call) => {
		if (call.args.some((arg) => /^\/dev\/(zero|urandom)$/.test(arg)) && !call.args.some((arg) => /^-c|^--bytes/.test(arg)))
			call.hit(d["fill-machine"]);
	}),
	each("stress stress-ng", (call) => call.hit(d[call.args.some((arg) => /^(-t|--timeout)/.test(arg)) ? "fill-disk" : "fill-machine"])),
	each("fallocate", (call) => {
		if (call.args.some((arg) => /^(-l|--length=)?(\d{1,6}T|[1-9]\d{2,6}G|\d{12,20})/.test(arg))) call.hit(d["fill-disk"]);
		for (const path of new Options(call.args, "-l -o --length --offset").operands) call.writes(path);
	}),
	each(
		"xmrig minerd cpuminer ethminer cgminer bfgminer t-rex nbminer phoenixminer lolminer gminer xmr-stak minergate nanominer teamredminer claymore srbminer",
		(call) => call.hit(d["crypto-miner"]),
	),
];

function formats(call: Call): void {
	const { args, name } = call;
	if (
		/^(fdisk|parted|sfdisk|sgdisk|gdisk)$/.test(name) &&
		args.some((arg) => /^(-l|--list|-d|--dump|-p|--print|print|-v|-s)$/.test(arg) && !(arg === "-s" && name === "parted"))
	)
		return;
	if (name === "cryptsetup" && !args.some((arg) => /^(luksFormat|erase|luksErase|reencrypt|luksKillSlot|luksRemoveKey)$/.test(arg))) return;
	if (name === "hdparm" && !args.some((arg) => /security-erase|^-W|trim|make-bad|^-Y|^-y|security-set/.test(arg))) return;
	if (name === "zpool" && !args.some((arg) => /^(destroy|labelclear|create)$/.test(arg))) return;
	if (name === "mdadm" && !args.some((arg) => /^--(zero-superblock|stop|create|remove|fail)$/.test(arg))) return;
	if (name === "nvme" && !args.some((arg) => /^(format|sanitize|write)/.test(arg))) return;
	if (name === "badblocks" && !args.some((arg) => /^-[a-z]{0,4}w/.test(arg))) return;
	if (/^(vgremove|lvremove|pvremove|pvcreate|blkdiscard)$/.test(name) || args.some((arg) => /^\/dev\/(?!loop)/.test(arg)))
		call.hit(d["format-disk"]);
}

/** Miners come under any name; where they dig does not. */
export function judgeMining(call: Call): void {
	if (/^(grep|egrep|rg|echo|printf|git|sed|awk)$/.test(call.name)) return;
	if (
		call.args.some((arg) =>
			/stratum\+?(tcp|ssl|tls)?:\/\/|^--(donate-level|coin|algo)=?|minexmr|nanopool\.org|supportxmr|moneroocean|nicehash\.com|2miners|cryptonight|randomx/.test(
				arg,
			),
		)
	)
		call.hit(d["crypto-miner"]);
}
