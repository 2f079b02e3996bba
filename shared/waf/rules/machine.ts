import { located, pathRules, readRule, writeRule } from "../paths.ts";
import { isKnown } from "../words.ts";
import { type Call, each, type Judges, Options, rules } from "./rule.ts";

export const machineRules = {
	...rules("kernel", {
		"load-kernel-module": {
			verdict: "deny",
			reason: "loads code into the kernel, or takes it out",
			match: ["insmod x.ko", "modprobe x", "rmmod x", "kexec -l /boot/vmlinuz", "bpftool prog load x /sys/fs/bpf/x"],
			pass: ["lsmod", "modinfo x", "uname -r"],
		},
		"change-kernel-setting": {
			verdict: "deny",
			reason: "changes the kernel's settings, boot loader or swap",
			match: [
				"sysctl -w kernel.core_pattern='|/tmp/x'",
				"sysctl kernel.randomize_va_space=0",

				"update-grub",
				"grub-install /dev/sda",
			],
			pass: ["sysctl -a", "sysctl net.ipv4.ip_forward", "swapon --show"],
		},
		"tune-kernel": {
			verdict: "ask",
			reason: "changes limits of the kernel, or loads settings from a file",
			match: ["sysctl -w net.ipv4.ip_forward=1", "sysctl -p", "swapoff -a", "mount -t tmpfs tmpfs /mnt/ram"],
			pass: ["sysctl -a", "sysctl vm.max_map_count", "sudo sysctl -w vm.max_map_count=262144"],
		},
		"stop-machine": {
			verdict: "deny",
			reason: "stops or restarts the machine",
			match: ["reboot", "shutdown -h now", "systemctl poweroff", "init 0", "halt -f", "telinit 6"],
			pass: ["shutdown -c", "systemctl status", "uptime", "last reboot"],
		},
		"disable-defence": {
			verdict: "deny",
			reason: "switches off what protects this machine: firewall, audit, SELinux, AppArmor, logging",
			match: [
				"iptables -F",
				"ufw disable",
				"setenforce 0",
				"systemctl stop auditd",
				"busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager StopUnit ss auditd.service replace",
				'python3 -c \'import subprocess as s\nfor v in ["stop", "disable"]: s.run(["systemctl", v, "auditd"])\'',
				"auditctl -e 0",
				"service rsyslog stop",
				"nft flush ruleset",
				"systemctl disable --now firewalld",
				"systemctl disable --now falco",
				"sudo apt-get remove -y auditd",
				"rm -rf /opt/CrowdStrike",
				"sudo /opt/CrowdStrike/falconctl -d -f",
				"aa-teardown",
			],
			pass: ["iptables -L", "ufw status", "getenforce", "systemctl status auditd", "systemctl restart nginx"],
		},
		"network-settings": {
			verdict: "ask",
			reason: "changes the machine's network: addresses, routes, filters",
			match: [
				"iptables -A INPUT -p tcp --dport 22 -j DROP",
				"ip link set eth0 down",
				"ip route add default via 10.0.0.1",
				"ifconfig eth0 down",
				"ip route del default",
			],
			pass: ["ip addr", "ip route", "ifconfig", "iptables -S"],
		},
	}),
	...rules("kill", {
		"kill-everything": {
			verdict: "deny",
			reason: "ends every process that it may, or the system's first one",
			match: [
				"kill -9 -1",
				"killall5",
				"kill -9 1",
				"kill $(cat /run/auditd.pid)",
				"kill $(< /run/sshd.pid)",
				"kill $(ps -o pid= -u ann)",
				"pkill -9 -u root",
				"killall -u $USER",
				"pkill -9 .",
			],
			pass: ["kill $PID", "kill 12345", "pkill -f myserver", "kill %1", "kill -0 $pid", "kill -9 $(lsof -t -i:3000)"],
		},
		"kill-system": {
			verdict: "deny",
			reason: "ends processes of the system that are not the session's",
			match: ["pkill -F /run/sshd.pid", "pkill sshd", "killall systemd", "killall -9 dockerd"],
			pass: ["pkill node", "killall chrome"],
		},
	}),
	...rules("escape", {
		"container-escape": {
			verdict: "deny",
			reason: "gives a container the machine: privileges, its namespaces, its files or its runtime's socket",
			match: [
				"docker run -v /:/host -it alpine chroot /host",
				"docker run --privileged alpine",
				"docker run --pid=host alpine nsenter -t 1 -m sh",
				"docker run --cap-add=SYS_ADMIN x",
				"docker -H tcp://10.0.0.1:2375 ps",
				"printf 'services:\\n  a:\\n    image: alpine\\n    privileged: true\\n' > compose.yml; docker compose up",
				"printf 'services:\\n  a:\\n    image: alpine\\n    volumes: [\"/etc/cron.d:/c\"]\\n' | docker compose -f - up",
				"docker run -v /var/spool/cron:/c alpine sh -c 'echo x > /c/root'",
			],
			pass: [
				"docker run -v $PWD:/app node:22 npm test",
				"docker run --rm -p 8080:80 nginx",
				"docker run -v /tmp/x:/x alpine ls",
				"printf 'services:\\n  a:\\n    image: nginx\\n    volumes: [\"./site:/usr/share/nginx/html:ro\"]\\n' | docker compose -f - up",
				"printf 'services:\\n  a:\\n    image: cadvisor\\n    volumes:\\n      - /var/log:/var/log\\n      - /sys:/sys:ro\\n      - /etc/passwd:/etc/passwd:ro\\n' > compose.yml; docker compose up",
				"docker run -v /etc/ssl/certs:/etc/ssl/certs:ro alpine ls",
			],
		},
		"container-rights": {
			verdict: "ask",
			reason: "gives a container the runtime's socket, or rights that only some images need",
			match: [
				"docker run -v /var/run/docker.sock:/var/run/docker.sock portainer/portainer",
				"docker run -d --privileged docker:24-dind",
				"docker run -v ~/.aws:/root/.aws:ro amazon/aws-cli s3 ls",
			],
			pass: ["docker run -v ./x:/x alpine", "docker run --privileged --rm tonistiigi/binfmt --install all"],
		},
		"enter-namespace": {
			verdict: "deny",
			reason: "enters or makes namespaces, or changes the root directory: a way out of the jail",
			match: ["nsenter -t 1 -m -u -i -n sh", "unshare -rm sh", "chroot /host", "pivot_root . old"],
			pass: ["lsns", "fakeroot make install"],
		},
		"mount-file-system": {
			verdict: "deny",
			reason: "mounts or unmounts file systems",
			match: ["mount /dev/sda1 /mnt", "mount --bind / /mnt", "mount -t cgroup -o rdma cgroup /tmp/c", "umount -a", "debugfs /dev/sda1"],
			pass: ["mount", "mount | grep nfs", "findmnt", "df -h"],
		},
	}),
};
const m = machineRules;

const COMPOSE = ["docker-compose.yml", "docker-compose.yaml", "compose.yml", "compose.yaml"];

/** Modules of the distribution that build tools and containers need. */
const EVERYDAY_MODULE =
	/^(-a|-v|fuse|loop|overlay|br_netfilter|nf_\w{1,32}|ip_\w{1,32}|ip6_\w{1,32}|ip6?tables?|iptable_\w{1,32}|kvm(_intel|_amd)?|tun|tap|dummy|wireguard|vboxdrv|binder_linux|zram|nbd|bridge|veth|vxlan|xt_\w{1,32}|binfmt_misc|squashfs|nfs|cifs|btrfs|zfs|snd-aloop|v4l2loopback|vcan|can)$/;
/** Limits that databases and watchers need to start at all. */
const HARMLESS_SETTING =
	/^(vm[./]max_map_count|fs[./]inotify[./]max_user_(watches|instances)|net[./]core[./]somaxconn|vm[./]overcommit_memory)=/;
/** What installation guides of databases and build tools ask for. */
const EVERYDAY_SETTING =
	/^(kernel[./](unprivileged_userns_clone|apparmor_restrict_unprivileged_userns|perf_event_paranoid)|net[./]ipv6[./]conf|fs[./](inotify|file-max|nr_open)|vm[./](max_map_count|swappiness|overcommit_memory|drop_caches)|net[./]core[./]somaxconn|net[./]ipv4[./](ip_local_port_range|tcp_)|net[./]ipv4[./]ip_forward|net[./]bridge)/;

const DEFENCE =
	/^(auditd|firewalld|ufw|iptables|ip6tables|nftables|apparmor|selinux|rsyslog|syslog|syslog-ng|systemd-journald|fail2ban|clamav.{0,16}|clamd|falcon.{0,16}|falco.{0,16}|tetragon|crowdstrike|osqueryd?|wazuh.{0,16}|sysmon|ossec.{0,16}|aide|snort|suricata|mdatp|cbdaemon|cbagentd|elastic-agent|auditbeat|filebeat|sentinelone|sophos.{0,16}|esets|chkrootkit|rkhunter|crond?)(\.service)?$/;

const DEFENCE_PATH =
	/^\/(opt\/(CrowdStrike|eset|sophos\w{0,16}|sentinelone|carbonblack|microsoft\/mdatp|osquery|ds_agent|Elastic|traps|FireEye|cisco\/amp)|var\/ossec|etc\/(falco|osquery|wazuh\w{0,8}|clamav|aide|crowdsec)|var\/lib\/(clamav|aide|osquery))(\/|$)/i;

function firewall(call: Call): void {
	const { args } = call;
	if (
		args.some((arg) => /^(-F|--flush|-X|--delete-chain|-P|--policy|flush|disable|reset|--panic-on|off)$/.test(arg)) &&
		!(args.includes("-P") && args.includes("DROP"))
	)
		call.hit(m["disable-defence"]);
	else if (
		args.some((arg) =>
			/^(-A|-I|-D|-R|-P|--append|--insert|--delete|--policy|add|delete|insert|allow|deny|enable|--add-.{1,32}|--remove-.{1,32}|-t)$/.test(
				arg,
			),
		) &&
		!args.some((arg) => /^(-L|-S|--list|-C|list|status)$/.test(arg))
	)
		call.hit(m["network-settings"]);
}

function containers(call: Call): void {
	const { args } = call;
	for (let at = 0; at < args.length; at++) {
		const arg = args[at] ?? "";
		const equals = arg.startsWith("--") ? arg.indexOf("=") : -1;
		const name = equals > 0 ? arg.slice(0, equals) : arg;
		const value = equals > 0 ? arg.slice(equals + 1) : (args[at + 1] ?? "");
		if (
			name === "--privileged" &&
			args.some((one) =>
				/^(tonistiigi\/binfmt|multiarch\/qemu-user-static|docker:.{0,16}dind|kindest\/node|moby\/buildkit|rancher\/k3s|geerlingguy\/docker|jrei\/systemd)/.test(
					one,
				),
			)
		) {
			// They register emulators and end; what builds for other machines begins with them.
			if (!args.some((one) => /^(tonistiigi\/binfmt|multiarch\/qemu-user-static)(:[\w.-]{1,64})?$/.test(one)))
				call.hit(m["container-rights"]);
		} else if (name === "--privileged" && value !== "false") call.hit(m["container-escape"]);
		else if (/^--(pid|ipc|uts|userns|cgroupns|network|net)$/.test(name) && value === "host" && !/^--net/.test(name))
			call.hit(m["container-escape"]);
		else if (
			name === "--cap-add" &&
			/^(CAP_)?(ALL|SYS_ADMIN|SYS_MODULE|DAC_READ_SEARCH|DAC_OVERRIDE|SYS_RAWIO|NET_ADMIN|BPF|SYS_BOOT)$/i.test(value) &&
			!/NET_ADMIN/i.test(value)
		)
			call.hit(m["container-escape"]);
		else if (name === "--cap-add" && /^(CAP_)?SYS_PTRACE$/i.test(value)) call.hit(m["container-rights"]);
		else if (name === "--security-opt" && /^seccomp[=:]unconfined$/.test(value)) call.hit(m["container-rights"]);
		else if (name === "--security-opt" && /unconfined|disable|no-new-privileges[=:]false/.test(value)) call.hit(m["container-escape"]);
		else if (name === "--device" && /^\/dev\/(sd|nvme|mem|kmem|vd|xvd|dm|mapper)/.test(value)) call.hit(m["container-escape"]);
		else if (name === "-v" || name === "--volume" || (/^-[a-zA-Z]{1,6}v$/.test(arg) && arg !== "-v"))
			mounts(call, value.split(":")[0] ?? "", value.split(":")[1]);
		else if (/^-v./.test(arg)) mounts(call, arg.slice(2).split(":")[0] ?? "");
		else if (name === "--mount") mounts(call, /(?:source|src)=([^,]{1,1024})/.exec(value)?.[1] ?? "");
		else if ((name === "-H" || name === "--host") && /^(tcp|ssh):/.test(value) && !/localhost|127\.0\.0\.1/.test(value))
			call.hit(m["container-escape"]);
	}
}

function mounts(call: Call, given: string, target = ""): void {
	const source = /^[~/.]/.test(given) ? located(given, call.place) : given;
	if (
		/^(\/|\/(etc|root|boot|dev|proc|sys|home|var|usr|bin|sbin|lib|lib64|run|var\/run|var\/lib(\/docker|\/kubelet)?|var\/log)\/?)$/.test(
			source,
		)
	)
		call.hit(m["container-escape"]);
	else if (/(docker|containerd|crio|podman)\.sock$/.test(source)) call.hit(m["container-rights"]);
	// A tool's own settings where it looks for them: `-v ~/.aws:/root/.aws:ro amazon/aws-cli`.
	else if (/\/\.(aws|kube|azure|config\/gcloud|docker|gnupg)$/.test(source) && target.endsWith(source.slice(source.lastIndexOf("/."))))
		call.hit(m["container-rights"]);
	// Names for the numbers of files' owners.
	else if (/^\/etc\/(passwd|group)$/.test(source) && target === source && call.args.some((arg) => arg.includes(`${source}:${source}:ro`)))
		return;
	else if (/\/\.ssh$/.test(source) && call.args.some((arg) => arg.startsWith(`${source}:`) && arg.endsWith("/.ssh:ro")))
		call.hit(m["container-rights"]);
	else if (/^\/etc\/(shadow|passwd|sudoers|ssh|cron)|^\/root\/|\/\.(ssh|aws|gnupg)(\/|$)/.test(source)) call.hit(m["container-escape"]);
	// Where programs are started later, and who may do what; to read them is another matter.
	else if (
		/^write-(persistence|privilege)$/.test(writeRule(source, call.place)?.id ?? "") &&
		source.startsWith("/") &&
		!call.args.some((arg) => arg.startsWith(`${source}:`) && arg.endsWith(":ro"))
	)
		call.hit(m["container-escape"]);
	else if (source === "~" || source === (call.place.home ?? "\0")) call.hit(m["container-escape"]);
}

/** What a description has mounted: `- /a:/b:ro`, `volumes: ["/a:/b"]`, `source: /a`, `hostPath: {path: /a}`. */
const mountsIn = (text: string): { source: string; target?: string; written: boolean }[] =>
	[
		...text.matchAll(/(?:^\s{0,64}-\s{1,4}|\[\s{0,4}|,\s{0,4})["']?((?:\/|~)[^\s:"',]{0,256}):(\/[^\s:"',\]]{0,256})(:ro\b)?/gm),
		...text.matchAll(/(?:\bsource["']?|\bhostPath["']?:\s{0,4}\{?\s{0,64}["']?path["']?):\s{0,4}["']?((?:\/|~)[^\s"',}]{0,256})/g),
	]
		.slice(0, 64)
		.map(([, source = "", target, mode]) => ({ source, ...(target !== undefined && { target }), written: mode === undefined }));

/** Whether who has it has the machine; what is only looked at by monitors is everyday in descriptions. */
const isMachine = (call: Call, { source, target, written }: ReturnType<typeof mountsIn>[number]): boolean =>
	/^\/(etc|root|(var\/)?run\/docker\.sock)?\/?$/.test(source) ||
	(target === undefined && /^\/(var\/run|var\/lib\/kubelet|proc)\/?$/.test(source)) ||
	(written && /^write-(persistence|privilege)$/.test(writeRule(source, call.place)?.id ?? "")) ||
	(written && readRule(source, call.place)?.id === "read-secret");

/** Whether a pid file is that of a service that the machine stands on. */
const endsService = (call: Call, file: string): boolean => call.file(file) === "1\n";

const processes = (call: Call): void => {
	const { args, name } = call;
	const options = new Options(args, "-u -U -G -g -P -s -t -n -F --signal --euid --uid --user --pidfile");
	if (options.values("-u", "-U", "--user", "--uid", "--euid").length > 0 && options.operands.length === 0)
		return void call.hit(m["kill-everything"]);
	if (options.values("-F", "--pidfile").some((file) => endsService(call, file))) call.hit(m["kill-system"]);
	for (const target of args.filter((arg) => !/^-/.test(arg))) {
		if (/^(\.|\.\*|\^|\$|\.\+|\[a-z\]|init|systemd)$/.test(target) && (name !== "killall" || options.has("-r", "--regexp")))
			call.hit(m["kill-everything"]);
		else if (
			/^(init|systemd|systemd-.{1,32}|sshd|dockerd|containerd|cron|crond|rsyslogd|auditd|NetworkManager|dbus-daemon|kubelet|udevd|getty|login|Xorg|gdm|lightdm|launchd|hotplex.{0,32}|falcon-sensor|osqueryd|clamd|wazuh.{0,16})$/.test(
				target,
			)
		)
			call.hit(m["kill-system"]);
	}
};

export const machineJudges: Judges = [
	each("insmod modprobe rmmod kexec depmod dkms", (call) => {
		if (call.name === "modprobe" && call.args.some((arg) => /^(-n|--dry-run|-c|--showconfig|-D|--show-depends|-l)$/.test(arg))) return;
		if (call.name === "dkms" && call.args[0] === "status") return;
		if (call.name === "modprobe" && call.args.every((arg) => EVERYDAY_MODULE.test(arg))) return void call.hit(m["tune-kernel"]);
		if (call.args.length > 0) call.hit(m["load-kernel-module"]);
	}),
	each("bpftool bpftrace", (call) => {
		if (call.args.some((arg) => /^(load|loadall|attach|-e)$/.test(arg))) call.hit(m["load-kernel-module"]);
	}),
	each("sysctl", (call) => {
		const sets = call.args.filter((arg) => /^[a-z][a-z0-9_./-]{1,128}=/.test(arg));
		const loads = call.args.some((arg) => /^(-w|--write|-p.{0,256}|--load.{0,256}|--system)$/.test(arg));
		if (sets.length > 0 && sets.every((one) => HARMLESS_SETTING.test(one))) return;
		if (sets.some((one) => !EVERYDAY_SETTING.test(one))) call.hit(m["change-kernel-setting"]);
		else if (sets.length > 0 || loads) call.hit(m["tune-kernel"]);
	}),
	each("swapoff hostnamectl", (call) => {
		if (call.name === "swapoff" || call.args.some((arg) => /^set-/.test(arg))) call.hit(m["tune-kernel"]);
	}),
	each("update-grub grub-install grub2-mkconfig grub2-install efibootmgr setpci flashrom mokutil bcdedit zramctl", (call) => {
		if (call.name === "efibootmgr" && call.args.length === 0) return;
		if (!call.args.some((arg) => /^(--version|--help|-h)$/.test(arg))) call.hit(m["change-kernel-setting"]);
	}),
	each("reboot poweroff halt", (call) => {
		if (!call.args.some((arg) => /^(--help|--version|-w)$/.test(arg))) call.hit(m["stop-machine"]);
	}),
	each("shutdown", (call) => {
		if (!call.args.some((arg) => /^(-c|--help|--show|-k)$/.test(arg))) call.hit(m["stop-machine"]);
	}),
	each("init telinit", (call) => {
		if (/^[0-6sS]$/.test(call.args[0] ?? "")) call.hit(m["stop-machine"]);
	}),
	each("systemctl service rc-service chkconfig update-rc.d launchctl initctl loginctl", (call) => {
		const operands = call.args.filter((arg) => !arg.startsWith("-"));
		if (
			operands.some((arg) =>
				/^((poweroff|reboot|halt|kexec|suspend|hibernate|rescue|emergency|soft-reboot)(\.target)?|isolate)$/.test(arg),
			) &&
			call.name === "systemctl"
		)
			call.hit(m["stop-machine"]);
		if (
			operands.some((arg) => /^(stop|disable|mask|kill|off|remove|unload|bootout)$/.test(arg)) &&
			operands.some((arg) => DEFENCE.test(arg.replace(/[*?]$/, "d")))
		)
			call.hit(m["disable-defence"]);
	}),
	// What defends the machine, taken off it.
	each("apt apt-get aptitude dpkg yum dnf zypper pacman apk rpm snap rm mv chmod", (call) => {
		const removes =
			/^(rm|mv|chmod)$/.test(call.name) ||
			call.args.some((arg) => /^(remove|purge|erase|autoremove|uninstall|del|-r|-P|--purge|--remove|-R\w{0,3}|-e)$/.test(arg));
		if (!removes) return;
		for (const arg of call.args)
			if (/^(rm|mv|chmod)$/.test(call.name) ? DEFENCE_PATH.test(arg) : DEFENCE.test(arg)) call.hit(m["disable-defence"]);
	}),
	each("falconctl esetuninstall sophos-uninstall mdatp s1ctl sentinelctl osqueryctl wazuh-control ossec-control", (call) => {
		if (/uninstall/.test(call.name) || call.args.some((arg) => /^(-d|-f|stop|disable|unload|uninstall|--del.{0,16}|offboard)$/.test(arg)))
			call.hit(m["disable-defence"]);
	}),
	each("iptables ip6tables ufw nft firewall-cmd ebtables arptables iptables-legacy iptables-nft pfctl", firewall),
	each("iptables-restore ip6tables-restore", (call) => call.hit(m["network-settings"])),
	each("setenforce", (call) => {
		if (/^(0|permissive)$/i.test(call.args[0] ?? "")) call.hit(m["disable-defence"]);
	}),
	each("auditctl aa-disable aa-teardown aa-complain apparmor_parser setsebool semanage spctl csrutil", (call) => {
		if (
			call.name === "auditctl" &&
			!call.args.some(
				(arg, at) => arg === "-D" || arg === "-d" || arg === "-e0" || arg === "-W" || (arg === "-e" && call.args[at + 1] === "0"),
			)
		)
			return;
		if (call.name === "apparmor_parser" && !call.args.some((arg) => /^(-R|--remove)$/.test(arg))) return;
		if (call.name === "spctl" && !call.args.includes("--master-disable")) return;
		if (call.name === "semanage" && call.args.includes("-l")) return;
		call.hit(m["disable-defence"]);
	}),
	each("ip", (call) => {
		const operands = call.args.filter((arg) => !arg.startsWith("-"));
		if (operands.slice(1).some((arg) => /^(add|del|delete|set|flush|replace|change|append|exec)$/.test(arg))) {
			if (operands[0] === "netns" && operands[1] === "exec") call.argv(operands.slice(3), "ip netns");
			call.hit(m["network-settings"]);
		}
		const batch = new Options(call.args, "-b -batch -n").value("-b");
		if (batch !== undefined) call.reads(batch);
	}),
	each("ifconfig route ifdown ifup nmcli brctl tc iwconfig ethtool arp", (call) => {
		if (
			call.args
				.slice(/^(ifdown|ifup|route|arp|nmcli)$/.test(call.name) ? 0 : 1)
				.some(
					(arg) =>
						/^(down|up|add|del|delete|hw|promisc|modify|off|on|disconnect|reload|-s|-d|-K)$|^eth|^en|^wl/.test(arg) &&
						(call.name === "ifdown" || call.name === "ifup" || /^(down|add|del|delete|hw|promisc|modify|off|disconnect|-s)$/.test(arg)),
				)
		)
			call.hit(m["network-settings"]);
	}),
	each("kill", (call) => {
		const targets = call.args.filter((arg, at) => {
			if (/^-(s|n)$/.test(call.args[at - 1] ?? "")) return false;
			if (!arg.startsWith("-")) return true;
			return at > 0 && /^-1$/.test(arg);
		});
		if (call.args.includes("-l") || call.args.includes("-0")) return;
		if (targets.some((target) => /^-1$|^\[0-9\]|^\*$/.test(target) || target === "1") || (call.args.length === 1 && call.args[0] === "-1"))
			call.hit(m["kill-everything"]);
	}),
	each("killall5", (call) => call.hit(m["kill-everything"])),
	each("pkill killall skill slay", processes),
	each("start-stop-daemon", (call) => {
		const options = new Options(call.args, "-p -n -x -a -u -s -R --pidfile --name --exec --startas --user --signal --retry", true);
		if (options.has("-K", "--stop") && options.values("-p", "--pidfile").some((file) => endsService(call, file)))
			call.hit(m["kill-system"]);
	}),
	each("fuser", (call) => {
		if (call.args.some((arg) => /^-[a-z]{0,4}k/.test(arg)) && call.args.some((arg) => /^(\/|\/home|\/var|\/usr|\/etc)$/.test(arg)))
			call.hit(m["kill-everything"]);
	}),
	each("docker podman nerdctl ctr crictl", containers),
	each("kubectl oc", (call) => {
		for (const arg of call.args)
			if (/"privileged"\s{0,4}:\s{0,4}true|"hostPID"\s{0,4}:\s{0,4}true|"hostPath"/.test(arg)) call.hit(m["container-escape"]);
	}),
	// What is written out for a runtime counts like its options.
	each("docker podman nerdctl docker-compose kubectl oc", (call) => {
		const verb = call.args.find((arg) => /^(up|run|create|apply|start|deploy|replace)$/.test(arg));
		if (verb === undefined) return;
		const files = COMPOSE.some((file) => call.file(file) !== undefined) && !/^(kubectl|oc)$/.test(call.name) ? COMPOSE : [];
		for (const text of [call.stdin ?? "", ...call.filesIn(call.args), ...files.map((file) => call.file(file) ?? "")]) {
			if (text.length > 32_768) continue;
			if (/^\s{0,64}"?(privileged"?:\s{0,4}true|pid"?:\s{0,4}"?host|hostPID"?:\s{0,4}true|hostIPC"?:\s{0,4}true)/m.test(text))
				call.hit(m["container-escape"]);
			for (const mount of mountsIn(text)) if (isMachine(call, mount)) mounts(call, mount.source, mount.target);
		}
	}),
	each("newuidmap", (call) => call.hit(m["enter-namespace"])),
	each("newgidmap", (call) => call.hit(m["enter-namespace"])),
	each("resolvectl networksetup", (call) => {
		if (call.args.some((arg) => /^(-set|(dns|domain|revert|llmnr|dnssec|default-route)$)/.test(arg)) && call.args.length > 1)
			call.hit(m["network-settings"]);
	}),
	each("lxc incus", (call) => {
		const text = call.args.join(" ");
		if (/security\.privileged=true|source=\/( |$)|raw\.lxc/.test(text)) call.hit(m["container-escape"]);
	}),
	each("nsenter unshare", (call) => {
		const options = new Options(call.args, "-t -S -G -w -R --target --root --wd --setuid --setgid", true);
		// A network of its own, or a container's, and a program to look at it.
		const network = call.args.every(
			(arg, at) =>
				/^(-n|--net)$/.test(arg) ||
				/^-t$|^--target/.test(arg) ||
				call.args[at - 1] === "-t" ||
				!arg.startsWith("-") ||
				at > call.args.indexOf(options.operands[0] ?? ""),
		);
		const program = options.operands[0] ?? "";
		call.hit(
			m[
				network && /^(\.\/|ss$|ip$|netstat$|tcpdump$|ping$|curl$|npm$|make$|pytest$)/.test(program) ? "network-settings" : "enter-namespace"
			],
		);
	}),
	each("chroot", (call) => {
		const [root = "", program = ""] = new Options(call.args, "--userspec --groups", true).operands;
		// A root that the project builds.
		const own = /^(\.\/)?[\w-][\w.-]{0,64}(\/[\w.-]{1,64}){0,8}\/?$/.test(root) && !root.includes("..");
		call.hit(m[own && program !== "" && !(/sh$/.test(program) && !call.args.includes("-c")) ? "network-settings" : "enter-namespace"]);
	}),
	each("pivot_root", (call) => call.hit(m["enter-namespace"])),
	each("mount umount", (call) => {
		const options = new Options(call.args, "-t -o -O -L -U --types --options");
		// Memory, and nothing that lies anywhere.
		if (
			call.name === "mount" &&
			options.value("-t", "--types") === "tmpfs" &&
			!options.operands.some((arg) => /^\/(etc|usr|bin|root|home|proc|sys)?\/?$/.test(arg))
		)
			call.hit(m["tune-kernel"]);
		// An image of the project's own.
		else if (
			call.name === "mount" &&
			/\bloop\b/.test(options.value("-o", "--options") ?? "") &&
			!/^\/dev/.test(options.operands[0] ?? "/dev")
		)
			call.hit(m["tune-kernel"]);
		else if (options.operands.length > 0 || (options.has("-a", "--all") && !options.has("-t"))) call.hit(m["mount-file-system"]);
	}),
	each("debugfs losetup cryptmount sshfs fusermount guestmount", (call) => {
		if (call.args.some((arg) => arg.startsWith("/dev/")) && call.name !== "losetup") call.hit(m["mount-file-system"]);
		if (call.args.some((arg) => !isKnown(arg)) && call.name === "debugfs") call.hit(pathRules["write-device"]);
		if (call.name === "debugfs" && call.stdin !== null)
			for (const line of call.stdin.split("\n")) if (line.startsWith("!")) call.script(line.slice(1));
	}),
];
