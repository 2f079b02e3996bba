/*
 * Words by what they mean for a gate, so that the scale knows at once of all of them what it has learnt of one. English, with the commonest of
 * German, French, Spanish, Italian, Portuguese, Russian, Chinese and Japanese. Lower case; `*` at the end: whatever it goes on with.
 */
const CLASSES = {
	run: "run runs running execut* invoke launch start fire kick trigger perform type paste enter apply do eval source spawn try use call submit feed führe ausführ* starte lance* exécut* ejecut* corre esegui* lancia execute rode выполн* запус* 运行 执行 実行",
	destroy:
		"delet* eras* wip* nuk* purg* shred* destroy* obliterat* annihilat* raze torch trash format reformat zero overwrit* clobber* truncat* drop drops dropping dropped remov* rm rid unlink empty clear clears clearing cleared clean clean-up cleanup scrub* vaporize blow blast kill-off gut brick corrupt* ruin* sabotag* lösch* loesch* entfern* vernicht* zerstör* formatier* überschreib* supprim* effac* détrui* vide* borr* elimin* destru* cancell* distrugg* apag* exclua удал* стер* сотр* уничтож* очист* 删除 删掉 清空 格式化 抹掉 销毁 削除 消去",
	send: "send sends sending sent upload* post posts posting posted mail mails e-mail email emails exfil* leak* publish* push pushes transmit* forward* share ship ships beam* deliver* submit* copy copies copying scp rsync sync transfer* dump pipe report smuggl* paste export* sende schick* übertrag* hochlad* lade envoi* envoy* téléverse* transmet* enví* envia* mand* sube* subir invia* carica* отправ* загруз* выгруз* перешл* 发送 上传 发给 发到 送信 アップロード",
	take: "read reads reading cat print prints show shows display reveal* output give get gets grab* collect* harvest* steal* stole* stolen loot siphon* swip* extract* dump* find fetch* pull pulls list expos* gather* pinch lift retriev* obtain* snatch* scrap* hunt search* look open decrypt* crack* lies lese zeig* gib hole stiehl* kopier* such* samml* lis lisez affich* montr* donn* récupèr* vol* cherch* lee lea muestr* dame rob* busc* leggi mostr* rub* leia прочит* покаж* укради* найди 读取 打印 显示 表示 読",
	open: "open opens spawn* start establish* initiat* listen* connect* serve expos* bring stand spin bind forward* tunnel* öffn* oeffn* verbind* ouvr* connect* abr* conect* apr* открой* 打开 开启 開",
	install:
		"install* add adds adding put plant plants planting create creates creating insert* inject* append* drop place register* schedul* set sets setup deploy* embed* hook hooks slip hide hides sneak* write wire configur* enabl* introduc* leave build implement* make turn swap replac* patch* modify edit chang* mach* füg* schreib* richt* setz* erstell* bau* ajout* crée* mets install* cré* añad* agreg* pon* instal* aggiung* crea* metti adicion* crie coloque добав* установ* созда* 添加 安装 创建 追加",
	disable:
		"disabl* stop stops stopping stopped deactivat* turn switch* shut flush* unload* mask mute silenc* suspend* paus* neutrali* circumvent* bypass* evad* defeat* tamper* blind* blinding kill kills off unset uninstall* skip skips override overrid* rip deaktivier* schalt* stopp* umgeh* abschalt* ausschalt* désactiv* arrêt* coup* contourn* desactiv* deshabilit* apaga* disattiv* disabilit* desativ* desligu* отключ* выключ* останов* 关闭 禁用 停用 停止 绕过 無効",
	gain: "become gain* escalat* elevat* promot* grant* obtain root-me impersonat* log login logon werde* verschaff* deviens obtiens convert* 获取 提升",
	end: "kill kills killing terminat* reboot* restart* shutdown halt* poweroff crash* freez* hang overload* exhaust* fill fills eat hog beend* töte* tue* tuez redémarr* mata* reinici* termina* 杀死 终止 重启 关机",
	attack:
		"attack* exploit* hack* ddos dos flood* brute* bruteforc* crack* phish* infect* spread* scan scans scanning spoof* sniff* intercept* hijack* compromis* mine mines mining breach* break pivot* poison* knack* hack* piraté* attaqu* ataca* hacke* взлом* 攻击 入侵 破解 挖矿",
	encrypt: "encrypt* lock ransom* verschlüssel* chiffr* cifr* 加密 暗号化",
	hide: "hide hides hidden hiding conceal* cloak* disguis* cover covers covert* mask stealth* invisib* undetect* unnoticed notice notices trace-free quietly silently secretly secret-ly heimlich unbemerkt discrètement 隐藏 偷偷",
	ignore:
		"ignor* disregard* forget bypass* override overrid* circumvent* pretend* jailbreak* dan vergiss* missacht* oublie* ignora* olvida* 忽略 无视 忘记",
	secret:
		"password* passwd passphrase* passcode* credential* creds key keys apikey* api-key* token tokens secret secrets cookie cookies session-cookies keyring* keychain* wallet* seed-phrase private privkey id_rsa id_ed25519 pem pfx kdbx shadow hash hashes vault kubeconfig netrc pgpass npmrc env dotenv .env environment aws keystore signing certificate-key login-data logins passwort* passwörter schlüssel zugangsdaten geheim* mot-de-passe mots clé clés contraseñ* clave claves llave credencial* chiave chiavi senha* chave* парол* ключ* секрет* токен* 密码 密钥 私钥 凭证 凭据 令牌 秘密鍵 パスワード",
	private:
		"customer* client-data payroll salary salaries medical invoices personal pii contacts mailbox inbox mails chats messages documents photos browser firefox chrome history profile source-code codebase backup database-dump colleague* coworker* neighbour* others someone else's user's users' kunden* 客户",
	guard:
		"firewall* ufw iptables nftables firewalld selinux apparmor audit auditd audits antivirus anti-virus clamav clamd edr falco crowdstrike falcon sentinelone defender wazuh osquery fail2ban rsyslog syslog logging monitor* watchdog seccomp aslr gatekeeper ids ips suricata snort siem sandbox* guardrail* permission* approval* protections protection safeguard* hooks brandmauer pare-feu cortafuegos 防火墙 防火牆 审计 安全 杀毒 沙箱 ファイアウォール брандмауэр* фаервол*",
	trace:
		"log logs history journal* trace traces tracks footprint* evidence wtmp btmp utmp lastlog timestamps mtime auditlog* bash_history spuren protokoll* traces journaux historial registros rastros логи историю следы 日志 历史 痕迹 ログ 履歴",
	persist:
		"cron crontab cronjob cronjobs cron.d anacron systemd unit units timer service services daemon startup boot boots reboot reboots autostart bashrc zshrc profile rc.local motd udev login logon authorized_keys authorised_keys persist* survive* survives permanently permanent keep-alive backdoor* git-hook pre-commit post-checkout hook ld_preload preload init init.d rc at-job always every hourly nightly minute minutes",
	priv: "root sudo sudoers suid setuid sgid setcap capability capabilities admin administrator* wheel nopasswd passwordless uid pam privilege* privileged superuser polkit pkexec doas su rights root-rechte admin-rechte рут* root权限 管理员 权限",
	account:
		"user users account accounts useradd adduser usermod passwd konto benutzer compte* usuario* cuenta* utente пользовател* 用户 账户",
	netshell:
		"reverse bind shell shells listener listeners backdoor* back-door webshell* web-shell c2 c&c beacon* implant* netcat ncat socat ngrok ttyd chisel meterpreter rat remote-shell callback call-back phone-home tunnel* nc rückwärts hintertür porte-dérobée puerta-trasera porta бэкдор* 反弹 反向 后门 後門 バックドア リバース",
	evil: "ransomware malware miner miners cryptominer* coinminer* monero xmr xmrig bitcoin keylogger* worm botnet bot-net trojan* rootkit* spyware virus payload* dropper* exploit* phishing ddos malicious evil hacker* attacker* victim* loot fork-bomb forkbomb bomb zip-bomb zero-day typosquat* stealer 木马 勒索软件 病毒 マルウェア вирус* майнер*",
	whole:
		"everything all entire whole every complete completely any anything whatever total everywhere recursiv* disk disks drive drives partition* filesystem file-system mbr bootloader boot-sector volume volumes machine box host laptop computer system server servers cluster clusters fleet datacenter home homes /home festplatte rechner ganze* alle alles dateien tout tous toute disque système serveur todo todos toda disco sistema servidor tutto tutti tudo все всё диск сервер систем* 所有 全部 整个 系统 硬盘 磁盘 服务器 主机 すべて 全て ディスク サーバー",
	shared:
		"prod production live master main origin database databases db schema schemas bucket buckets s3 namespace namespaces snapshots backup backups replicas cluster terraform kubernetes tables table repo repository repositories branch branches tags release releases registry org organisation organization force-push force --force rewrite rewrit* produktion* datenbank* base-de-données base producción 生产 数据库 主分支 本番 データベース",
	drop: "pastebin webhook webhooks requestbin discord telegram transfer.sh gist gists slack dropbox ftp external outside elsewhere attacker remote internet public publicly anonymous* mega paste.rs 0x0.st oastify interactsh burpcollaborator",
	container:
		"container containers docker docker.sock podman privileged nsenter namespaces namespace chroot cgroup hostpid hostpath host-path escape* breakout break-out kubelet metadata imds 169.254.169.254 容器 コンテナ",
	kernel: "kernel module modules insmod modprobe kexec sysctl sysrq firmware bios uefi grub initramfs driver 内核 カーネル",
	net: "download* curl wget fetch* pull pulls url link script scripts http https installer bash sh binary binaries executable raw 下载 ダウンロード herunterlad* télécharg* descarg* scaric* baix* скача*",
	prevent:
		"detect* prevent* block* alert* rule rules policy policies deny denies denied denylist* blocklist* blacklist* guard guards forbid* forbidden harden* hardening protect* restrict* refus* reject* flag flagged flags disallow* disallowed warn* quarantine* mitigat* defend* avoid* safeguard* sanitiz* escap* validat* linter lint scanner scanners signature* sigma yara semgrep waf threat* erkenn* verhinder* blockier* empêch* bloqu* détect* impid* detect* prevenir 检测 阻止 拦截 防止 検知 防止 防",
	text: "test tests testcase* unit-test* spec specs fixture* assertion* assert asserts regex* regexp pattern* doc docs documentation readme comment comments warning* note notes example* article blog post-mortem postmortem guide tutorial faq section paragraph message messages error errors changelog string strings constant* enum enums snapshot* report* essay slide slides talk training quiz question* glossary lesson cheatsheet runbook* wiki page story novel poem column columns field fields variable* type types class function method component parser tokenizer lexer highlighter translation translat* summary summar* review* proofread* diff pr pull-request ticket issue incident* write-up writeup policy-text schulung vortrag artikel dokumentation 文档 测试 例子 テスト ドキュメント документац* тест*",
	write:
		"write draft compos* prepar* defin* document elaborat* enumerat* correct* simplif* improv* translat* summari* label categori* rephras* reword proofread* count compar* list sketch design plan propos* suggest* outline phras* formulat* recommend* illustrat* draw highlight* classif* rename* refactor* extend* implement* add integrat* append insert put includ* mention quot* cite argu* discuss* review* analys* analyz* investigat* triag* parse grep search replac* format render print fill sort rank map collect schreib* entwirf rédige* écri* escrib* redact* scrivi escrev* напиши* составь* 写 编写 書いて 添加",
	report:
		"found notic* saw caught discover* record* report* said says say stat* declar* accord* reveal* show* shown quot* claim* told mention* logged observ* appear* happen* occurr* turned came went took learned learnt heard read suspect* confirm* demonstrat* publish* advis* insist* demand* warn* think thinks thought gefunden berichtet gesagt signal* trouv* encontr* trovat* обнаруж* сообщ* 发现 报告",
	wish: "want wants need needs like love would'd i'd we'd wish hope hoping wonderful lovely great nice kind grateful appreciate* favour favor mind trouble thanks thank glad happy able possible supposed must should shall ought gotta time next task todo step plan job goal order instruct* möchte will brauche voudrais quiero necesito voglio quero хочу нужно 想 需要 要",
	mine: "me my mine myself us our ours mir uns mich mein* moi mes nous mon ma mí mi mis nuestro* mio nostr* meu minha мне мой нам наш 我 我们 私",
	work: "fix bug feature endpoint button page form css frontend backend api app ui npm yarn pip pytest jest cargo go build lint compile refactor migrate migration typescript python react component webpack docker-compose readme dependency dependencies version changelog ci pipeline pr branch merge rebase commit staging local dev localhost node_modules dist target cache",
	ask: "what what's whats why how when who whose which whether explain* descri* clarif* mean means meaning differ* difference compar* dangerous risky safe harmful bad wrong curious wonder* understand* teach tell was wie warum wieso welche* erklär* pourquoi comment quoi expliqu* explic* qué cómo cuál cosa perché spiega* como почему что как объясн* 什么 为什么 如何 怎么 解释 说明 意味 なぜ とは 教え",
	not: "not never don't dont doesn't didn't won't can't cannot shouldn't mustn't no none nobody without nor neither isn't aren't wasn't wouldn't nicht nie niemals kein* ohne pas jamais sans nunca jamás sin non mai senza não nem не никогда 不要 不 别 勿 ないで",
	past: "ran executed typed pasted deleted wiped removed destroyed killed happened was were did had been has found saw noticed caught got reported yesterday ago earlier recently previously last incident said wrote told asked",
	third:
		"somebody someone they he she attacker attackers adversar* hacker hackers user users student* intern customer* colleague* coworker* people anyone nobody red-team llm model agent agents gpt chatgpt copilot script",
	please:
		"please pls plz kindly just now immediately asap quickly quick simply go ahead let's lets i need want you could would can mind bitte s'il por favor per favore пожалуйста 请 幫 帮 ください",
} as const;
export type WordClass = keyof typeof CLASSES | "past-form" | "going-on" | "manner" | "noun";
const exact = new Map<string, WordClass[]>();
const prefixes = new Map<string, WordClass[]>();
for (const [name, words] of Object.entries(CLASSES) as [WordClass, string][])
	for (const word of words.split(" ")) {
		const map = word.endsWith("*") ? prefixes : exact;
		const key = word.endsWith("*") ? word.slice(0, -1) : word;
		map.set(key, [...(map.get(key) ?? []), name]);
	}
/** What a word may mean; a word can be in several classes. */
export function classesOf(word: string): readonly WordClass[] {
	const found = new Set(exact.get(word) ?? []);
	for (let length = 3; length <= Math.min(12, word.length); length++)
		for (const name of prefixes.get(word.slice(0, length)) ?? []) found.add(name);
	// Endings tell what nobody has listed: what happened, what goes on, how.
	const ending = word.length > 4 ? /(ed|ing|ly|tion)$/.exec(word)?.[1] : undefined;
	if (ending !== undefined) found.add(ENDINGS[ending as keyof typeof ENDINGS]);
	return [...found];
}
const ENDINGS = { ed: "past-form", ing: "going-on", ly: "manner", tion: "noun" } as const;
