import { judgementOf, type Rule, rules } from "./rules/rule.ts";
import { graver, type Judgement, NO_OBJECTION, type Place } from "./verdict.ts";
import { globMatches, isKnown, squeezed } from "./words.ts";

/** What may be wrong with touching a path. */
export const pathRules = {
	...rules("read_secrets", {
		"read-secret": {
			verdict: "deny",
			reason: "reads keys, passwords or tokens",
			suggestion: "Name the secret that the task needs and let a person provide it.",
			match: [
				"cat ~/.ssh/id_rsa",
				"cat /etc/shadow",
				"/???/c?t /???/sh?d?w",
				"base64 /root/.ssh/id_ed25519",
				"cat /proc/1/environ",
				"set -e; shopt -s nocaseglob; cat /[E]TC/[S]HADOW",
				"xxd ~/.aws/credentials",
				"cat /etc/sh*dow",
				"less /home/bob/app/.env",
				"ln -s /etc e; cat e/shadow",
				"cat /etc/*",
				`python3 -c 'print(open("".join(["/etc/sha", "dow"])).read())'`,
				`python3 -c 'import os;os.system("wodahs/cte/ tac"[::-1])'`,
				"IFS=: read -r a b <<< 'cat:/etc/shadow'; $a $b",
				"cat /var/lib/jenkins/secrets/master.key",
				"grep token /home/*/.bash_history",
				"cat /root/.vnc/passwd",
				"openssl rsa -in /etc/cups/ssl/server.key",
				"git cat-file -p $(git hash-object -w ~/.git-credential?)",
				"cd && git grep --no-index -h . -- .git-credentials",
				"git credential-store get",
				"python3 -m base64 ~/.ssh/id_rsa",
				"ruby -ne 'puts $_' ~/.aws/credentials",
				"grep -rhs '' / --include=.pgpass",
				"sudo ps eww -p 1",
				"python3 -c 'import urllib.request as u; print(u.urlopen(\"file:///etc/shadow\").read())'",
				"php -r 'readfile(\"php://filter/resource=/etc/shadow\");'",
			],
			pass: [
				"cat ~/.ssh/id_rsa.pub",
				"cat /etc/passwd",
				"ls -l ~/.ssh",
				"chmod 600 ~/.ssh/id_rsa",
				"ssh -i ~/.ssh/id_ed25519 host uptime",
				"echo ~/.ssh/id_rsa",
				"grep -rl theme ~ --include=.netrc",
				"ps -e",
				"ps aux",
				"python3 -m json.tool a.json",
				"brew install bash curl",
			],
		},
		"read-private": {
			verdict: "ask",
			reason: "reads what a person keeps for themselves: histories, tokens of tools, browser profiles",
			match: ["ps auxe", "cat ~/.bash_history", "cat ~/.npmrc", "cat ~/.kube/config"],
			pass: ["cat .npmrc", "kubectl --kubeconfig ~/.kube/config get pods", "cat .env"],
		},
	}),
	...rules("persist", {
		"write-persistence": {
			verdict: "deny",
			reason: "writes to a place from which programs are started later: cron, services, logins, library preloading",
			suggestion: "Start the program in the session, or ask a person to install it.",
			match: [
				"echo x >> /home/$(whoami)/.ssh/authorized_keys",
				"echo '* * * * * root x' >> /etc/crontab",
				"cp x.service /etc/systemd/system/x.service",
				"echo key >> ~/.ssh/authorized_keys",
				"echo /tmp/x.so > /etc/ld.so.preload",
			],
			pass: ["cat /etc/crontab", "ls /etc/systemd/system", "echo key >> authorized_keys"],
		},
		"write-shell-start": {
			verdict: "ask",
			reason: "changes a file that every shell, editor or git of this user reads at its start",
			suggestion: "Set it for this session only, or in a file of the project.",
			match: ["echo alias >> ~/.bashrc", "echo x | tee -a ~/.profile"],
			pass: ["cat ~/.bashrc", "source ~/.bashrc", "grep PATH ~/.profile"],
		},
		"write-protected": {
			verdict: "ask",
			reason: "changes a file of the project that other programs run or obey: git hooks and settings, editor and CLI settings",
			match: ["echo x > .git/hooks/pre-commit", "echo '{}' > .claude/settings.json", "cp x .vscode/tasks.json"],
			pass: ["cat .git/config", "ls .git/hooks", "git config user.name x", "echo x > src/.envelope"],
		},
	}),
	...rules("escalate", {
		"write-privilege": {
			verdict: "deny",
			reason: "changes who may do what on this machine: accounts, sudo, PAM",
			match: [
				"cd /etc && sed -n 'w passwd' /dev/null",
				"cd /etc && awk 'BEGIN { print > \"passwd\" }'",
				"echo 'x ALL=(ALL) NOPASSWD: ALL' >> /etc/sudoers",
				"echo x >> /etc/passwd",
				"cp x /etc/pam.d/sshd",
			],
			pass: ["cat /etc/passwd", "getent passwd", "grep root /etc/group"],
		},
	}),
	...rules("kernel", {
		"write-kernel": {
			verdict: "deny",
			reason: "changes the kernel, its settings or what the machine boots",
			match: ["echo c > /proc/sysrq-trigger", "echo 0 > /proc/sys/kernel/randomize_va_space", "cp x /boot/vmlinuz"],
			pass: ["cat /proc/cpuinfo", "cat /sys/class/net/eth0/address"],
		},
	}),
	...rules("escape", {
		"container-control": {
			verdict: "deny",
			reason: "reaches for what controls containers from outside: their runtime's socket, cgroup release agents",
			match: ["echo /cmd > /sys/fs/cgroup/rdma/release_agent", "curl --unix-socket /var/run/docker.sock http://x/containers/json"],
			pass: ["ls -l /var/run/docker.sock", "docker ps", "cat /proc/self/cgroup"],
		},
	}),
	...rules("destroy", {
		"write-device": {
			verdict: "deny",
			reason: "writes over a disk, or reads it past its file system",
			match: ["dd if=/dev/zero of=/dev/sda", "cat x > /dev/nvme0n1", "cat /dev/sda"],
			pass: ["echo x > /dev/null", "dd if=/dev/zero of=disk.img bs=1M count=1", "ls /dev/sda"],
		},
		"write-system": {
			verdict: "deny",
			reason: "changes the system's own programs, libraries or settings",
			suggestion: "Work in the work directory; a package manager changes the system.",
			match: ["echo x > /etc/hosts", "cp x /usr/bin/ls", "cp x /usr/local/bin/.x", "> /etc/fstab", "rm /etc/passwd", "mv /bin/ls /tmp"],
			pass: ["cat /etc/hosts", "echo x > hosts", "cp /etc/hosts ."],
		},
		"delete-catastrophe": {
			verdict: "deny",
			reason: "deletes the system, a home, or the directory that the work directory lies in",
			match: [
				"RUN make; rm -rf /",
				"RUN a && b || rm -rf ~",
				"rm -rf /",
				"rm -rf ~",
				"rm -rf /*",
				"rm -r -f /home",
				"mkfifo q; sh q & echo 'rm -rf /home' > q",
				"echo 'rm -rf /home' > /tmp/x; eval \"$(< /tmp/x)\"",
				"printf '[default]\\ncredential_process = rm -rf /home\\n' > /tmp/a; AWS_CONFIG_FILE=/tmp/a aws s3 ls",
				"printf 'users:\\n- user:\\n    exec:\\n      command: sh\\n      args: [-c, \"rm -rf /home\"]\\n' > /tmp/k; kubectl --kubeconfig /tmp/k get pods",
				"printf '[Interface]\\nPostUp = rm -rf /home\\n' > /tmp/w.conf; wg-quick up /tmp/w.conf",
				"printf 'run-shell \"rm -rf /home\"\\n' > /tmp/t; tmux -f /tmp/t new -d",
				"printf ':!rm -rf /home\\n' > /tmp/v; vim -u /tmp/v",
				"rm -rf $(getent passwd 0 | cut -d: -f6)",
				"octave-cli --eval 'eval(char([115 121 115 116 101 109 40 34 114 109 32 45 114 102 32 47 104 111 109 101 34 41]))'",
				"d=$(mktemp -d); mv ~/.config $d/; rm -r $d",
				"mv ~/Documen?s /tmp/x && rm -rf /tmp/x",
				'python3 -c \'import subprocess as s; d = "/home"; s.run(["rm", "-rf", d])\'',
				"printf '@test \"x\" {\\n  run rm -rf /home\\n}\\n' > t.bats; bats t.bats",
				"rm -rf ..",
				"find / -delete",
				"rm -rf /usr/lib",
				"fakeroot rm -rf /home",
				"echo 'web: rm -rf /home' > Procfile; foreman start",
				"env -C / rm -rf home",
				"npx cross-env A=1 rm -rf /home",
				"cp /bin/rm ./x && ./x -rf /home",
				"sed 's/.*/rm -rf \\/home/e' f",
				"find ~/ -type f -mtime +0 | parallel rm -f",
				"fd . /home -t f -X rm",
				`if [ -n "$CI" ]; then d=build; else d=/home; fi; rm -rf "$d"`,
				"c='rm -rf /home'; [ -e /none ] && c=id; $c",
				"declare -A m=([x]=rm [y]=/home); ${m[x]} -rf ${m[y]}",
				"s='emoh/ fr- mr'; o=; for ((i=${#s}-1;i>=0;i--)); do o+=${s:i:1}; done; eval \"$o\"",
				"exec 3<<< 'rm -rf /home'; read -r -u 3 l; eval \"$l\"",
				`coproc bash; echo 'rm -rf /home' >&"\${COPROC[1]}"`,
				"echo 'rm -rf /home' > >(sh)",
				"history -s 'rm -rf /home'; fc -s",
				"echo 726d202d7266202f686f6d65 | perl -pe 's/(..)/chr hex $1/ge' | sh",
				`$(python3 -c 'print("r"+"m")') -rf /home`,
				"printf 'ls\\nrm\\n' > l; $(sed -n 2p l) -rf /home",
			],
			pass: [
				"RUN make && rm -rf /usr/lib",
				"rm -rf node_modules dist",
				"rm -rf ./build",
				"rm -rf /tmp/x",
				"printf 'command: rm -rf /home\\n' > job.yml; kubectl apply -f job.yml",
				"mv ~/.config/app /tmp/x && rm -rf /tmp/x",
				"echo rm -rf /",
				"echo 'never rm -rf /home' > NOTES.md; npm test",
				"printf '# Notes\\n\\n    rm -rf /home\\n' > NOTES.md; npx markdownlint NOTES.md",
				`printf '@test "refuses" {\\n  run ./check "rm -rf /home"\\n}\\n' > t.bats; bats t.bats; npm test`,
				`if [ -n "$CI" ]; then d=build; else d=dist; fi; rm -rf "$d"`,
				"for ((i=0; i<3; i++)); do rm -rf build$i; done",
				'rm -rf "${WORKSPACE:?}"/*',
				"sudo rm -rf /usr/share/dotnet /usr/local/lib/android /opt/ghc",
			],
		},
		"delete-outside": {
			verdict: "ask",
			reason: "deletes a directory outside the work directory",
			match: ["rm -rf /opt/app", "rm -rf ~/old-stuff"],
			pass: ["rm -rf build", "rm -rf /tmp/build", "rm -rf ~/.cache/pip"],
		},
		"delete-work": {
			verdict: "ask",
			reason: "deletes the whole work directory or its history",
			match: ["rm -rf .", "rm -rf .git", "rm -rf *"],
			pass: ["rm -rf src/*.o", "rm -rf ./*.pyc", "rm -rf .next .cache"],
		},
		"delete-unknown": {
			verdict: "ask",
			reason: "deletes all of a directory whose path is not known before it runs",
			suggestion: "Write the path out, or have the shell stop where the variable is not set.",
			match: ['rm -rf "$dir"/*', "rm -rf /$x"],
			pass: ['rm -rf "$dir"', 'rm -rf "$TMPDIR/x"', "rm $file"],
		},
	}),
	...rules("destroy", {
		"install-program": {
			verdict: "ask",
			reason: "puts a program where everybody on this machine finds it",
			suggestion: "Install it with a package manager, or keep it in the project.",
			match: ["sudo mv terraform /usr/bin/terraform", "cp tool /usr/sbin/tool"],
			pass: ["mv kubectl /usr/local/bin/kubectl", "ls /usr/bin"],
		},
		"write-settings": {
			verdict: "ask",
			reason: "changes the settings of the system or of one of its services",
			match: ["echo 203.0.113.9 github.com >> /etc/hosts", "cp nginx.conf /etc/nginx/nginx.conf", "echo x | sudo tee -a /etc/sysctl.conf"],
			pass: [
				"cat /etc/hosts",
				"nginx -t",
				"echo 127.0.0.1 app.local | sudo tee -a /etc/hosts",
				"echo 'Acquire::Retries \"3\";' > /etc/apt/apt.conf.d/80-retries",
				"ln -sf /usr/share/zoneinfo/UTC /etc/localtime",
				"gpg --dearmor -o /etc/apt/keyrings/x.gpg x.asc",
			],
		},
	}),
	...rules("outside", {
		"write-outside": {
			verdict: "ask",
			reason: "writes outside the work directory",
			suggestion: "Write below the work directory or to /tmp.",
			match: [],
			pass: [],
		},
		"read-outside": {
			verdict: "ask",
			reason: "reads files of a person outside the work directory",
			match: [],
			pass: [],
		},
	}),
};

/** Where a person is at home, if it is not said. */
export const homeOf = (place: Place): string => place.home ?? "/home/user";

/** An absolute path without `.`, `..`, `//`; of what begins with a mark, the rest is taken as it is. */
export function located(path: string, place: Place): string {
	let text = /^file:\/\/(localhost)?(?=[/~]|$)/i.test(path) ? path.replace(/^file:\/\/(localhost)?/i, "") : path;
	if (text === "~" || text.startsWith("~/")) text = homeOf(place) + text.slice(1);
	if (!text.startsWith("/") && !(text !== "" && !isKnown(text.charAt(0)))) text = `${place.cwd}/${text}`;
	const parts: string[] = [];
	for (const part of text.split("/")) {
		if (part === "" || part === ".") continue;
		if (part === "..") parts.pop();
		else parts.push(/[*?[]|[@+]\(/.test(part) && isKnown(part) ? likely(parts, part) : part);
		// Doors back to the root and the current directory.
		if (parts[0] === "proc" && parts.length === 3 && part === "root") parts.length = 0;
		else if (parts[0] === "proc" && parts.length === 3 && part === "cwd") parts.splice(0, 3, ...place.cwd.split("/").filter(Boolean));
	}
	// `/home/$(whoami)`: whoever it is, it is somebody's home.
	if (parts[0] === "home" && parts[1] !== undefined && squeezed(parts[1]) === "")
		parts.splice(0, 2, ...homeOf(place).split("/").filter(Boolean));
	return isKnown(text.charAt(0)) ? `/${parts.join("/")}` : parts.join("/");
}

/** What the patterns of somebody who hides a path mean, as far as they are among these; any other pattern stays as it is. */
const LIKELY: Readonly<Record<string, readonly string[]>> = {
	"": ["etc", "home", "root", "usr", "var", "bin", "sbin", "dev", "proc", "boot", "opt", "lib"],
	etc: ["shadow", "passwd", "sudoers", "crontab", "hosts", "ssh", "cron.d", "profile", "pam.d", "sudoers.d", "gshadow", "ld.so.preload"],
	root: [
		".ssh",
		".aws",
		".bashrc",
		".gnupg",
		".config",
		".local",
		".netrc",
		".bash_history",
		".git-credentials",
		".pgpass",
		".my.cnf",
		".npmrc",
		".kube",
		".docker",
		".vault-token",
		"Documents",
	],
	".ssh": ["id_rsa", "id_ed25519", "authorized_keys"],
	".aws": ["credentials"],
	proc: ["self"],
	self: ["environ"],
	dev: ["sda", "nvme0n1", "tcp"],
};
function likely(parts: readonly string[], part: string): string {
	if (!/[A-Za-z0-9]/.test(part) && !/^\?{2,16}$/.test(part)) return part;
	const alternatives = /^(.{0,64})[@+?*]\(([^()]{1,256})\)(.{0,64})$/.exec(part);
	if (alternatives) {
		const all = (alternatives[2] ?? "").split("|").map((one) => `${alternatives[1]}${one}${alternatives[3]}`);
		return all.find((one) => Object.values(LIKELY).some((known) => known.includes(one))) ?? all[0] ?? part;
	}
	const parent = parts.length === 2 && parts[0] === "proc" ? "self" : (parts.at(-1) ?? "");
	const names =
		LIKELY[parts.length === 2 && parts[0] === "home" ? "root" : Object.hasOwn(LIKELY, parent) && parts.length < 4 ? parent : "-"] ?? [];
	// `*.conf` is no spelling of a name; `sh?dow`, `sh*dow` and `????ow` are.
	if (/^\.?\*/.test(part)) return part;
	return (
		names.find((name) => globMatches(part, name) && (!part.includes("*") || part.replace(/\*/g, "").length * 2 >= name.length)) ?? part
	);
}

export const below = (path: string, directory: string): boolean =>
	path === directory || path.startsWith(directory === "/" ? "/" : `${directory}/`);

const SYSTEM = /^\/(bin|boot|dev|etc|lib|lib32|lib64|libx32|proc|root|run|sbin|sys|usr|var|System|Library|Applications|private)(\/|$)/;
const TOP =
	/^\/(bin|boot|dev|etc|home|lib|lib32|lib64|libx32|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var|Users|System|Library|Applications|private|data)$/;
const TEMPORARY = /^\/(tmp|var\/tmp|dev\/shm|private\/tmp|private\/var\/folders)(\/|$)/;
const HARMLESS_DEVICE = /^\/dev\/(null|zero|full|random|urandom|tty|stdin|stdout|stderr|fd(\/.{0,8})?|pts\/\d{1,5}|ptmx)$/;
const DISK = /^\/dev\/(sd|hd|vd|xvd|nvme|mmcblk|dm-|md|loop|sr|disk\/|mapper\/|mem$|kmem$|port$|rdisk|disk\d)/;
const PERSISTENCE_SYSTEM =
	/^\/(etc\/(cron[^/]{0,16}(\/|$)|anacrontab|systemd(\/|$)|init\.d(\/|$)|init(\/|$)|rc[^/]{0,12}(\/|$)|profile(\.d)?(\/|$)|bash\.?[^/]{0,20}$|zsh(\/|$)|zshrc|zshenv|csh|environment$|xdg\/(autostart|systemd)|ld\.so\.|udev(\/|$)|update-motd\.d|apt\/apt\.conf|X11\/|at\.|logrotate\.d|inittab|network\/if-|dhcp\/|NetworkManager\/dispatcher|modules|inetd|xinetd|supervisor|rsyslog|incron|yum\/pluginconf)|var\/spool\/(cron|at|anacron|incron)|(usr\/)?lib\/(systemd|udev)\/|usr\/local\/lib\/systemd|run\/systemd\/|var\/lib\/(dbus|systemd)\/|Library\/Launch|System\/Library\/Launch|Library\/StartupItems)/;
const PRIVILEGE =
	/^\/etc\/(passwd|shadow|group|gshadow|sudoers|sudo\.conf|doas\.conf|pam\.|security\/|polkit|dbus-1|subuid|subgid|master\.passwd|login\.defs|shells|ssh\/|krb5|nsswitch\.conf|selinux|apparmor|audit|fail2ban)|^\/(usr\/)?lib(64)?\/(security|x86_64-linux-gnu\/security)\/|^\/usr\/share\/polkit/;
const KERNEL =
	/^\/(proc\/(sys|sysrq-trigger|kcore|irq|acpi|kallsyms)(\/|$)|sys(\/|$)|boot(\/|$)|lib\/modules|usr\/lib\/modules|etc\/(sysctl|modprobe|modules))|^\/dev\/(kmem|mem|port|watchdog)/;
const CONTAINER =
	/\/(docker|containerd|crio|podman)\.sock$|\/(release_agent|notify_on_release)$|^\/proc\/sys\/kernel\/core_pattern$|\/uevent_helper$|^\/sys\/fs\/cgroup\/.{0,200}(devices\.allow|cgroup\.procs)$|^\/proc\/sys\/fs\/binfmt_misc/;

/** Programs that people and the system rely on: another one in their place is an attack. */
const CORE_PROGRAM =
	/\/((ba|da|z|k|c|tc)?sh|ls|ps|cat|cp|mv|rm|ln|login|su|sudo|ssh|sshd|passwd|netstat|ss|top|who|w|last|find|grep|egrep|kill|mount|umount|id|ip|iptables|systemctl|init|cron|crond|curl|wget|git|perl|env|chmod|chown|lsof|ping|scp|date|df|du|tar|gpg|apt|apt-get|dpkg|yum|rpm|docker|[.*\uFFF9-\uFFFC].{0,32})$/;
/** What is there to be set; adding to the second kind is everyday, replacing them is not. */
const SETTINGS =
	/^\/etc\/(security\/limits\.d|apk)\/|^\/usr\/share\/keyrings\/|^\/usr\/local\/share\/ca-certificates\/|^\/etc\/(nginx|apache2|httpd|docker|apt\/(sources|preferences|keyrings|trusted)|yum\.repos\.d|default\/|mysql|postgresql|redis|php|haproxy|prometheus|grafana|containerd|cni|tmpfiles|ssl\/certs|pki\/ca|ca-certificates|hostname$|timezone$|localtime$|locale|dnsmasq|squid|varnish|memcached|elasticsearch|kafka|rabbitmq|mongod|samba|exports|netplan|wpa_supplicant|fonts|vim|npmrc|pip\.conf|gitconfig|environment\.d|motd|issue)/;
/** Keys that no source names yet, clocks and languages: nobody is harmed by them. */
const HARMLESS_SETTINGS =
	/^\/(usr\/share\/keyrings|etc\/apt\/keyrings)(\/[^/]{1,128}){0,2}$|^\/etc\/(timezone|localtime|locale(\.(gen|conf))?|default\/locale)(\/[^/]{0,128})?$/;
const SETTINGS_APPENDED =
	/^\/etc\/(hosts|resolv\.conf|fstab|sysctl\.(conf|d\/)|security\/limits|environment$|modules|ssh\/ssh_config|nsswitch)/;

const HOME_SECRET =
	/^(\.ssh$|\.ssh\/(?!known_hosts|config$|authorized_keys|[^/]{1,64}\.pub$|environment$)|\.aws\/?|\.netrc$|_netrc$|\.git-credentials|\.config\/(git\/credentials|gcloud|gh\/hosts|hub$|op\/|rclone|doctl|age|sops|google-chrome|chromium|BraveSoftware|keepassxc)|\.azure|\.gnupg|\.pgpass|\.my\.cnf|\.pypirc|\.gem\/credentials|\.cargo\/credentials|\.mozilla|\.local\/share\/(keyrings|kwalletd)|\.password-store|\.vault-token|\.terraform\.d\/credentials|\.claude\/\.credentials|\.codex\/auth|\.gemini\/oauth|\.electrum|\.bitcoin|\.ethereum|\.monero|\.thunderbird|\.s3cfg|\.boto$|\.oci\/|\.hotplex\/|\.minikube\/[^/]{0,64}\.key|Library\/(Keychains|Application Support\/(Google|Firefox|com\.apple\.TCC)|Cookies))/;
const HOME_PRIVATE =
	/^(\.[a-z_]{0,32}history$|\.lesshst|\.viminfo|\.npmrc$|\.yarnrc|\.kube\/|\.docker\/config\.json|\.config\/(containers|helm)|\.claude\.json|\.claude\/|\.purple|\.irssi|\.env$|\.subversion\/auth|\.m2\/settings|\.gradle\/gradle\.properties|\.ansible|\.composer\/auth|\.nuget|Documents\/[^/]{0,64}\.kdbx?$)/;
const SYSTEM_SECRET =
	/^\/(etc\/((cups|ssl|pki|nginx|apache2|httpd|haproxy|dovecot|postfix|mysql|etcd|docker)\/([^/]{1,64}\/){0,4}[^/]{1,64}\.key$|shadow|gshadow|sudoers|master\.passwd|security\/opasswd|krb5\.keytab|kubernetes\/|ssh\/ssh_host_[a-z0-9]{1,16}_key$|ssl\/private|ppp\/chap-secrets|NetworkManager\/system-connections|letsencrypt\/(live|archive|keys)|wireguard|openvpn\/|ipsec\.secrets|rndc\.key|mysql\/debian\.cnf|postgresql\/(?!.{0,64}\.conf$)|samba\/private|machine-key|pki\/tls\/private)|proc\/[^/]{1,32}\/(task\/[^/]{1,16}\/)?(environ|mem|auxv|stack)$|proc\/kcore|dev\/(mem|kmem|uinput)$|dev\/input\/|(var\/)?run\/secrets|var\/lib\/(jenkins\/(secrets|credentials\.xml)|docker\/containers|sss|kubelet\/pki|samba\/private|cloud\/instance|docker\/(volumes|swarm))|var\/backups\/(shadow|gshadow|passwd)|run\/user\/[0-9]{1,10}\/(keyring|gnupg)|private\/etc\/master|private\/var\/db\/shadow)/;
const KEY_NAME =
	/^(id_(rsa|dsa|ecdsa|ed25519)|.{0,64}\.(ppk|kdbx)|\.git-credentials|\.netrc|credentials\.tfrc\.json|logins\.json|key4\.db|wallet\.dat)$/;
const HOME_PERSISTENCE =
	/^(\.ssh\/(authorized_keys2?|rc|environment)|\.config\/(systemd|autostart|upstart)(\/|$)|\.local\/share\/systemd|\.xinitrc|\.xsession|\.xprofile|\.pam_environment|\.forward|\.crontab|Library\/LaunchAgents|\.local\/share\/dbus-1)/;
const HOME_SHELL_START =
	/^(\.(bashrc|bash_profile|bash_login|bash_logout|bash_aliases|profile|zshrc|zshenv|zprofile|zlogin|zlogout|kshrc|cshrc|tcshrc|login|logout|inputrc|vimrc|vim\/|emacs|emacs\.d|gitconfig|tmux\.conf|screenrc|pythonrc|gdbinit|lldbinit|Rprofile|wgetrc|curlrc|config\/pip|pip\/|cargo\/config|gemrc|m2\/settings|yarnrc|condarc|mailcap|procmailrc|rhosts|k5login|lesskey|Xresources|config\/(openbox|plasma-workspace|environment\.d|i3|sway|hypr)|local\/(bin\/(ls|git|sudo|ssh|cat|su)$|lib\/python)|bin\/(ls|git|sudo|ssh|cat|su)$|editrc|psqlrc|sqliterc|perldb|irbrc|config\/(fish|nvim|git)|ssh\/(?!known_hosts|id_|deploy|[\w.-]{0,32}key))|\.oh-my-zsh)/;
const PROTECTED =
	/^(\.git\/(hooks(\/|$)|config$|info\/attributes|modules\/)|\.claude(\/|$)|\.mcp\.json$|\.vscode(\/|$)|\.envrc$|\.husky(\/|$)|\.gemini(\/|$)|\.codex(\/|$)|\.cursor(\/|$)|\.idea\/runConfigurations|\.devcontainer(\/|$))/;
/** Caches and build directories of the user and of package managers: made to be deleted. */
const DISPOSABLE =
	/^\/var\/(cache|lib\/apt\/lists|lib\/dpkg\/triggers)(\/.|$)|^\/(home\/[^/]{1,64}|root|Users\/[^/]{1,64})\/(\.cache|\.npm|\.gradle\/caches|\.m2\/repository|\.cargo\/registry|\.yarn|\.ccache|\.nuget|\.local\/share\/Trash|Library\/Caches|go\/pkg|node_modules)(\/|$)|^\/usr\/(local\/)?(share\/(doc|man|locale)|src)\/.|^\/root\/\.[a-z]|^\/(usr\/share\/(dotnet|swift|nginx\/html)|usr\/local\/(lib\/(android|node_modules)|share\/(boost|powershell|chromium|vcpkg)|graalvm|nginx|julia[\w.-]{0,16}|\.ghcup)|opt\/(ghc|hostedtoolcache|az|microsoft|google)|github\/workspace|home\/runner\/work|__w|builds|workspace|var\/(lib\/)?jenkins(_home)?\/workspace)(\/|$)/;

/** The part of a path below somebody's home; null: it is in none. */
function inHome(path: string, place: Place): string | null {
	const home = homeOf(place);
	if (below(path, home)) return path.slice(home.length + 1);
	const match = /^\/(?:home\/[^/]{1,64}|root|Users\/[^/]{1,64}|var\/root|export\/home\/[^/]{1,64})(?:\/|$)/.exec(path);
	return match ? path.slice(match[0].length) : null;
}

const inside = (path: string, place: Place, roots: readonly string[] | undefined): boolean =>
	below(path, place.workDir) || (roots ?? []).some((root) => below(path, root));

/** Files that a pattern is tried on: a pattern that could mean one of them is taken to mean it. */
const WELL_KNOWN_SECRETS = [
	"/etc/shadow",
	"/etc/gshadow",
	"/etc/sudoers",
	"/root/.ssh/id_rsa",
	"/root/.ssh/id_ed25519",
	"/proc/self/environ",
];

/** What nobody reads in somebody else's home: keys, passwords, histories, by whatever name. */
const OTHERS_SECRET =
	/(^|\/)(\.env(\.[\w-]{1,16})?|[^/]{0,64}(passw|secret|credential|token|history|kubeconfig)[^/]{0,64}|[^/]{0,64}\.(key|pem|p12|pfx|kdbx|ovpn|keytab)|\.vnc\/[^/]{1,64})$/i;

/** The rule against reading a path, if there is one. */
export function readRule(path: string, place: Place): Rule | undefined {
	const where = located(path, place);
	const full = squeezed(where);
	if (/[*?[]/.test(full) && isKnown(where.charAt(0))) {
		const last = full.slice(full.lastIndexOf("/") + 1);
		if (last.replace(/[^A-Za-z0-9]/g, "").length >= 2 || /^\?{3,}$/.test(last)) {
			const known = [
				...WELL_KNOWN_SECRETS,
				`${homeOf(place)}/.ssh/id_rsa`,
				`${homeOf(place)}/.ssh/id_ed25519`,
				`${homeOf(place)}/.aws/credentials`,
			];
			if (known.some((secret) => secret.split("/").length === full.split("/").length && globMatches(full, secret)))
				return pathRules["read-secret"];
		}
	}
	if (inside(where, place, undefined)) return undefined;
	if (SYSTEM_SECRET.test(where) || SYSTEM_SECRET.test(full)) return pathRules["read-secret"];
	if (DISK.test(full)) return pathRules["write-device"];
	if (CONTAINER.test(full)) return pathRules["container-control"];
	const home = inHome(full, place) ?? (isKnown(where) ? null : /^[\uFFF9-\uFFFC]\//.test(where) ? where.slice(2) : null);
	if (home !== null && home !== "") {
		if (HOME_SECRET.test(home)) return pathRules["read-secret"];
		const others = !below(full, homeOf(place)) && isKnown(where.charAt(0));
		if (others && (HOME_PRIVATE.test(home) || OTHERS_SECRET.test(home)) && !inside(where, place, place.readRoots))
			return pathRules["read-secret"];
		if (HOME_PRIVATE.test(home)) return pathRules["read-private"];
	}
	const name = full.slice(full.lastIndexOf("/") + 1);
	if (KEY_NAME.test(name) && !/\/(test|tests|testdata|fixtures|example|examples)\//.test(full) && !inside(where, place, place.readRoots))
		return pathRules["read-secret"];
	return undefined;
}

/** The rule against changing a path's content, if there is one. */
export function writeRule(path: string, place: Place, append = false): Rule | undefined {
	const where = located(path, place);
	if (HARMLESS_DEVICE.test(where)) return undefined;
	const full = squeezed(where);
	if (below(where, place.workDir)) return PROTECTED.test(where.slice(place.workDir.length + 1)) ? pathRules["write-protected"] : undefined;
	if (!isKnown(where.charAt(0))) {
		const rest = where.slice(2);
		if (HOME_PERSISTENCE.test(rest)) return pathRules["write-persistence"];
		if (HOME_SHELL_START.test(rest)) return pathRules["write-shell-start"];
		if (PROTECTED.test(rest) || /(^|\/)\.git\/hooks(\/|$)/.test(rest)) return pathRules["write-protected"];
		return undefined;
	}
	if (CONTAINER.test(full)) return pathRules["container-control"];
	// Among the system's programs and libraries nothing is hidden but what shall not be found.
	if (/^\/(usr\/(local\/)?)?(s?bin|lib|lib64)\/([^/]{1,64}\/){0,4}\.(?!build-id)[^/]{1,64}$/.test(full)) return pathRules["write-system"];
	if (HARMLESS_SETTINGS.test(full)) return undefined;
	if (SETTINGS.test(full) || (append && SETTINGS_APPENDED.test(full))) return pathRules["write-settings"];
	// Limits and caches: what guides and benchmarks change.
	if (
		/^\/proc\/sys\/(vm\/(drop_caches|swappiness|max_map_count|overcommit_memory)|fs\/(inotify|file-max)|net\/(core\/somaxconn|ipv4\/(ip_forward|ip_local_port_range|tcp_)|ipv6\/conf)|kernel\/(perf_event_paranoid|apparmor_restrict_unprivileged_userns|unprivileged_userns_clone|kptr_restrict))/.test(
			full,
		)
	)
		return pathRules["write-settings"];
	if (KERNEL.test(full)) return pathRules["write-kernel"];
	if (DISK.test(full)) return pathRules["write-device"];
	if (PERSISTENCE_SYSTEM.test(full)) return pathRules["write-persistence"];
	if (PRIVILEGE.test(full)) return pathRules["write-privilege"];
	if (inside(where, place, place.writeRoots) || TEMPORARY.test(full)) return undefined;
	const home = inHome(full, place);
	if (home !== null) {
		// What starts with this user's session only, and is written by everyday tools too.
		if (/^\.config\/systemd\/user\//.test(home)) return pathRules["write-shell-start"];
		if (HOME_PERSISTENCE.test(home)) return pathRules["write-persistence"];
		if (HOME_SHELL_START.test(home)) return pathRules["write-shell-start"];
		if (/^\.(git\/hooks|claude|vscode|config\/git)\//.test(home)) return pathRules["write-shell-start"];
		// A key of its own for a deployment.
		if (/^\.ssh\/(known_hosts|id_|deploy|[\w.-]{0,32}key)/.test(home)) return undefined;
		if (HOME_SECRET.test(home) && !/^\.ssh$/.test(home)) return pathRules["read-private"];
		return undefined;
	}
	if (/^\/(usr\/local|var\/(www|log|lib|cache|opt|run|tmp|backups?)|opt|run)\//.test(full)) return undefined;
	if (/^\/(usr\/)?s?bin\/[^/]{1,64}$/.test(full) && !CORE_PROGRAM.test(full)) return pathRules["install-program"];
	// A program's settings, whichever; what the system itself stands on is another matter.
	if (
		/^\/etc\/[^/]{1,64}(\/[^/]{1,64}){0,4}\.(conf|cnf|ini|xml|ya?ml|json|toml|cfg|d\/[^/]{1,64})$/.test(full) &&
		!/^\/etc\/(resolv|host|nsswitch|ld\.|sysctl|crowdsec|falco|osquery|wazuh|clamav|aide)/.test(full)
	)
		return pathRules["write-settings"];
	return SYSTEM.test(full) || full === "/" ? pathRules["write-system"] : undefined;
}

/** The rule against deleting a path, if there is one. */
export function deleteRule(path: string, recursive: boolean, place: Place): Rule | undefined {
	let where = located(path, place);
	if (HARMLESS_DEVICE.test(where)) return where === "/dev/null" ? pathRules["write-device"] : undefined;
	if (!recursive && HARMLESS_SETTINGS.test(where)) return undefined;
	// Everything that is found below a directory, one by one.
	if (/\/\*\*\uFFFC?$/.test(where)) recursive = true;
	// All that is in a directory is as much as the directory.
	const all = /\/(\*|\.\*|\{?\*?,?\.\*\}?|\.\[!\.\]\*|\*\*?\uFFFC?|\?\*|\[^\.\]\*|[\uFFF9-\uFFFC]\*?)$/.exec(where);
	const unknownEnd = all !== null && !isKnown(all[0]) && !all[0].startsWith("/**");
	if (all) where = where.slice(0, all.index) || "/";
	if (!isKnown(where.charAt(0)) || where === "") {
		if (!recursive) return undefined;
		// `${dir:?}/*`: the shell stops where nothing is known.
		if (/^[\uFFF9-\uFFFC]{1,4}_$/.test(where)) return undefined;
		return all || where === "" || /\/$/.test(path) ? pathRules["delete-unknown"] : undefined;
	}
	const full = squeezed(where);
	if (unknownEnd && !recursive && full === "/") return pathRules["delete-unknown"];
	if (unknownEnd) {
		// `/$x`: everything, if x is empty; `/tmp/$x` is only /tmp.
		if (inside(full, place, place.writeRoots) || TEMPORARY.test(full) || DISPOSABLE.test(full)) return undefined;
		if (!recursive) return undefined;
		if (full === "/" || SYSTEM.test(full) || TOP.test(full)) return pathRules["delete-unknown"];
		return undefined;
	}
	if (below(full, place.workDir)) {
		if (full === place.workDir) return recursive && (all || isKnown(where)) ? pathRules["delete-work"] : undefined;
		const rest = full.slice(place.workDir.length + 1);
		if (/^\.git(\/|$)/.test(rest) && (recursive || /^\.git\/(HEAD|config|refs|objects|hooks)/.test(rest))) return pathRules["delete-work"];
		return undefined;
	}
	if (DISK.test(full)) return pathRules["write-device"];
	if (full === "/" || below(place.workDir, full))
		return recursive ? pathRules["delete-catastrophe"] : all ? pathRules["delete-outside"] : undefined;
	if (/^\/(tmp|var\/tmp)$/.test(full)) return undefined;
	if (TEMPORARY.test(full) || inside(full, place, place.writeRoots)) return undefined;
	if (DISPOSABLE.test(full)) return undefined;
	const home = inHome(full, place);
	if (recursive) {
		if (TOP.test(full) || home === "" || /^\/(home|Users)\/[^/]{1,64}$/.test(full)) return pathRules["delete-catastrophe"];
		if (/^\/(bin|boot|dev|etc|lib|lib32|lib64|libx32|proc|run|sbin|sys|usr|System|Library)\//.test(full)) {
			return /^\/(usr\/local|run|usr\/src|etc)\/[^/]{1,64}\/./.test(full) || /^\/usr\/(local|share|src)\/[^/]{1,64}\/?/.test(full)
				? pathRules["delete-outside"]
				: pathRules["delete-catastrophe"];
		}
		if (
			/^\/var\/(lib|log|spool|mail|backups?|run|db|www|opt)$/.test(full) ||
			/^\/var\/lib\/(dpkg|rpm|docker|mysql|postgresql|apt)$/.test(full)
		)
			return pathRules["delete-catastrophe"];
		if (
			home !== null &&
			/^(Documents|Desktop|Pictures|Music|Videos|Movies|Library|Mail|Dropbox|OneDrive|projects?|Projects|src|code|repos?|workspace|work|dev|backups?)$/.test(
				home,
			)
		)
			return pathRules["delete-catastrophe"];
		if (home !== null && (HOME_SECRET.test(home) || /^\.config$|^\.local$/.test(home))) return pathRules["delete-catastrophe"];
		return pathRules["delete-outside"];
	}
	// Sources of packages and sites that an image brings along.
	if (/^\/etc\/(apt\/sources\.list\.d|nginx\/(sites-enabled|conf\.d)|apache2\/sites-enabled)\/[^/]{1,128}$/.test(full)) return undefined;
	if (SETTINGS.test(full)) return pathRules["write-settings"];
	if (PRIVILEGE.test(full) || KERNEL.test(full)) return pathRules["write-system"];
	if (/^\/(bin|boot|lib|lib32|lib64|sbin|usr\/(bin|sbin|lib)|etc)\//.test(full)) return pathRules["write-system"];
	if (home !== null && HOME_SECRET.test(home)) return pathRules["delete-outside"];
	return undefined;
}

/**
 * Judges what a file tool does to a path, absolute, relative to `place.cwd`, or from `~`. Links are not seen here: the jail's are.
 *
 * Stricter than what the same path gets inside a shell command: a file tool names its one file, and outside of the work directory and
 * the place's roots it has a person to ask.
 */
export function judgePath(path: string, use: "read" | "write" | "delete", place: Place): Judgement {
	const where = located(path, place);
	if (path === "" || path.length > 4096 || path.includes("\0")) return judgementOf(pathRules["write-outside"], path.slice(0, 128));
	const said = (rule: Rule | undefined): Judgement => (rule ? judgementOf(rule, where) : NO_OBJECTION);
	if (use === "read") {
		const judgement = said(readRule(path, place));
		if (judgement.verdict !== "allow" || inside(where, place, [...(place.readRoots ?? []), ...(place.writeRoots ?? [])])) return judgement;
		return inHome(where, place) !== null && !TEMPORARY.test(where) ? judgementOf(pathRules["read-outside"], where) : judgement;
	}
	const judgement = said(use === "write" ? writeRule(path, place) : deleteRule(path, true, place));
	if (inside(where, place, place.writeRoots) || TEMPORARY.test(where) || HARMLESS_DEVICE.test(where)) {
		return use === "delete" ? graver(judgement, said(writeRule(path, place))) : judgement;
	}
	return graver(judgement, judgementOf(pathRules["write-outside"], where));
}

/** Where what is written decides what it is; the rest of the system's settings is one thing or the other by its place. */
export const isSettingByContent = (path: string): boolean =>
	/^\/etc\/(hosts|apt\/sources\.list\.d\/[\w.-]{1,64}|apt\/apt\.conf\.d\/[\w.-]{1,64}|profile\.d\/[\w.-]{1,64})$/.test(path);

/**
 * What install guides, images and tests add to the system's settings: names of this machine, a vendor's own packages over https, how patient
 * apt is, where a tool lies.
 */
export function isPlainSetting(path: string, content: string, append: boolean): boolean {
	if (!isSettingByContent(path)) return false;
	const lines = content.split("\n", 33).filter((line) => line.trim() !== "");
	if (lines.length === 0 || lines.length > 32) return false;
	if (path === "/etc/hosts")
		return (
			append &&
			lines.every((line) =>
				/^(127\.0\.0\.1|::1)(\s{1,8}([a-z0-9_-]{1,63}|[a-z0-9._-]{1,128}\.(local|localhost|test|internal|lan|docker)))+\s{0,8}$/.test(line),
			)
		);
	if (path.includes("/apt.conf.d/"))
		return lines.every((line) =>
			/^(APT|Acquire|Dpkg|DPkg)(::[\w-]{1,64}){1,5}\s{1,4}("[\w.-]{1,32}"|[\w.-]{1,32}|\{\s?"[\w=-]{1,32}";\s?\});\s{0,4}$/i.test(line),
		);
	if (path.includes("/profile.d/"))
		return lines.every((line) =>
			/^(#.{0,128}|export [A-Z_]{2,32}="?(\/(usr|opt)(\/[\w.-]{1,64}){1,6})?(:?(\/(usr|opt)(\/[\w.-]{1,64}){1,6}|\$\{?(PATH|JAVA_HOME|GOPATH|GOROOT|HOME)\}?(\/[\w.-]{1,32}){0,3})){0,6}"?)$/.test(
				line,
			),
		);
	return lines.every((line) => {
		const url = /^deb(?:-src)?\s{1,4}\[[^\]]{0,256}signed-by=[^\]]{1,256}\]\s{1,4}(https:\/\/[^\s]{1,256})\s/.exec(line)?.[1];
		return url !== undefined && !/^https:\/\/[\d.:[\]]+(\/|$)|evil|attacker|malicious/.test(url) && !line.includes("trusted=yes");
	});
}

/** What everybody here may read, and what is nobody's business elsewhere. */
export function isPersonal(path: string, place: Place): boolean {
	// All that is in a directory is as much as the directory.
	const where = located(path, place).replace(/(.)\/\*$/, "$1");
	if (/^\/(home|root|Users)?$/.test(where)) return true;
	if (/^\/etc(\/(passwd|group|hosts|fstab|ssh|sudoers).{0,64})?$/.test(where)) return true;
	// A project's own secrets are everyday here.
	if (/\/\.env(\.(?!example|sample|template|dist)[\w.-]{1,32})?$|\.(pem|p12|pfx|ppk)$/.test(where)) return true;
	const home = inside(where, place, undefined) ? null : inHome(where, place);
	return home !== null && (home === "" || home.startsWith("."));
}
