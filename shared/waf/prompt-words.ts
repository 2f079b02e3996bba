import type { Category, VerdictName } from "./verdict.ts";

// The words by which prompts are read: English, with the commonest of German, French, Spanish, Italian, Portuguese and Chinese. Lower case.

const words = (...lists: string[]): ReadonlySet<string> => new Set(lists.join(" ").split(/\s+/));

/** Makes something run, when said in the imperative. */
export const RUN_VERBS = words(
	"begin proceed schedule repeat invoke run execute exec do launch start invoke issue type enter paste perform trigger fire carry use try apply kick spawn rerun re-run call submit carry sudo eval source feed pipe ssh",
	"mach mache führe fuehre starte benutze verwende tippe gib rufe lass ausführen ausfuehren starten eingeben",
	"exécutes lances exécute execute exécutez lance lancez utilise utilisez tape tapez fais faites exécuter lancer",
	"ejecutes ejecuta ejecute ejecutar corre corra correr lanza lance usa use utiliza teclea haz",
	"esegui lancia usa eseguire rode roda executa executar rodar faça",
);

/** Speaks of something, when said in the imperative: what follows is its matter, nothing to be run. */
export const SPEAK_VERBS = words(
	"suggest draw propose illustrate recommend sketch expect break walk dissect unpack interpret outline explain describe document detect block prevent reject refuse deny flag warn review audit grep search find locate parse tokenize tokenise lex handle support analyze analyse",
	"check verify ensure assert confirm test validate sanitize sanitise escape quote mock stub simulate pretend imagine consider discuss compare summarize summarise translate",
	"tell teach show clarify list count highlight mention note remember know understand read print echo output log say answer classify label match forbid disallow ban avoid",
	"skip ignore report investigate debug diagnose trace look see think guess help identify spot catch filter strip complain mark recognise recognize render display cite quote reproduce",
	"erkläre erklaere erklär beschreibe prüfe pruefe überprüfe suche finde zeige zeig dokumentiere teste verhindere blockiere sag sage übersetze vergleiche warne erkennen",
	"explique expliquez décris décrivez vérifie vérifiez cherche trouve montre documente teste empêche bloque dis traduis compare avertis",
	"explica explique describe verifica comprueba busca encuentra muestra documenta prueba impide bloquea di traduce compara avisa revisa",
	"spiega descrivi verifica cerca trova mostra controlla explique descreva verifique procure mostre revise",
);

/** Makes or changes something; whether it orders what it holds depends on what is made. */
export const BUILD_VERBS = words(
	"write create add make generate build implement produce prepare draft compose put insert append prepend include embed change update modify edit set configure extend turn rewrite code craft develop place save store design give",
	"schreibe schreib erstelle erzeuge füge baue ergänze ändere implementiere setze",
	"écris écrivez crée créez ajoute ajoutez génère fabrique modifie",
	"escribe escriba crea cree añade agrega genera haz construye modifica",
	"scrivi crea aggiungi genera escreva crie adicione gere",
);

/** Any other imperative that a task begins with: what follows is what it works on. */
export const WORK_VERBS = words(
	"free solve repair recover shrink finish complete unblock resolve speed fix refactor remove delete replace rename move convert migrate port improve optimize optimise simplify clean format lint split merge extract wrap unwrap deprecate drop bump upgrade downgrade pin revert undo restore commit amend squash",
	"rework redesign tidy polish annotate comment sort group order align adjust correct adapt allow enable disable install uninstall wipe erase destroy kill send post upload open connect download fetch get grab copy read dump",
	"entferne lösche ersetze behebe repariere verschiebe supprime supprimez remplace corrige répare elimina borra reemplaza arregla corrige rimuovi sostituisci remova substitua corrija",
);

/** Written things that hold commands as text. */
export const TEXT_THINGS = words(
	"test tests testcase testcases spec specs suite unit assertion assertions fixture fixtures rule rules regex regexes regexp pattern patterns doc docs documentation readme comment comments warning warnings note notes",
	"explanation lint linter check checks checker example examples policy policies guard guards blog post article guide tutorial faq section paragraph message messages error detector detection detects scanner filter filters",
	"blocklist denylist blacklist allowlist whitelist list table parser tokenizer lexer changelog summary description docstring string strings constant prompt prompts dataset corpus quiz question questions slide slides",
	"guideline guidelines advisory memo newsletter talk lecture workshop training exercise primer paper email letter presentation report checklist essay poem story joke translation highlighter highlighting sentence chapter page validation validator sanitizer matcher case cases heading markdown mock mocks stub benchmark issue ticket bug log logs",
	"function method class module parser component snapshot analysis review walkthrough lesson cheatsheet glossary safeguard protection confirmation approval approvals overview diagram flowchart definition introduction course dialog modal simulation simulator",
	"einen-test tests testfall warnung kommentar regel dokumentation abschnitt erklärung liste prueba pruebas advertencia comentario regla documentación sección explicación avertissement commentaire règle documentation explication liste",
);

/** Made things that run commands. */
export const RUNNING_THINGS = words(
	"script scripts cron cronjob crontab job service daemon unit timer hook payload program programme binary one-liner oneliner command commands alias makefile target task macro playbook workflow pipeline step dockerfile entrypoint virus worm malware",
	"exploit trojan backdoor dropper tool app bot container skript programm dienst befehl programme commande commandes comando comandos servicio guion tarea script.",
);

/** Words that undo the verb after them. */
export const NEGATIONS = words(
	"don't dont don’t not never cannot can't can’t won't won’t shouldn't shouldn’t mustn't mustn’t avoid without refuse refuses refusing instead rather no stop prevent neither nor nobody wouldn't doesn't didn't isn't unless",
	"nicht nie niemals kein keine ohne statt ne n'exécute n’exécute pas jamais sans nunca jamás sin no non mai senza não nunca sem evita évite vermeide",
);

/** Said before a command that is only an example. */
export const LIKENESS = words(
	"than instance like as e.g eg called named titled labelled labeled of about containing contains mentions mentioning saying says said mentioned versus vs wie comme como",
);

/** May stand before an imperative without changing it. */
export const FILLERS = words(
	"please pls plz kindly just only now simply also immediately quickly next first firstly second secondly third finally lastly ok okay hey hi hello so therefore afterwards afterward silently secretly quietly recursively forcefully permanently",
	"really truly actually go ahead directly once again carefully alright right well yes sure listen urgently asap dear claude assistant agent ai robot dude everyone step then finally sofort bitte dann jetzt mal einfach nun zuerst danach anschließend sofort leise",
	"favor por luego ahora primero después simplemente puis maintenant ensuite d'abord simplement plaît plait te vous stp svp s'il poi ora adesso prima per favore depois agora",
);
/** Join a second imperative to a first. */
export const JOINERS = words("and then & plus but or und oder aber y e o et ou puis luego poi depois sowie");

export const QUESTION_WORDS = words(
	"what what's whats why how when's where's who which whose whom is are was were does did has isn't aren't doesn't didn't wouldn't should would wäre was warum wieso weshalb wie welche welcher welches wer wozu ist sind",
	"pourquoi comment quel quelle quels quelles qu'est-ce qu'est est-ce qui qué por-qué cómo cuál cuáles quién perché cosa quale porque qual",
);
/** Begin a clause that ends at a comma. */
export const SUBORDINATORS = words(
	"if when once after before while where since because although though whenever as wenn falls nachdem bevor si quand lorsque cuando se quando",
);
export const MODALS = words(
	"can could would will must should shall may might need needs have has kannst könntest koenntest würdest sollst musst peux pourrais pouvez puedes podrías puede debes",
);
export const REQUESTS = words("can could would will can't won't kannst könntest würdest kann");
/** Before "to": the speaker's wish. */
export const WISHES = words(
	"allowed permitted authorised authorized welcome permission left you us need want have time sure remember going proceed required supposed task job goal is are continue begin start free ahead try like love wish order ask instruct instructed told ordered asked must forget hesitate gotta mission objective aim duty instructions plan ready",
);
export const SPEAKERS = words(
	"i we you i'd we'd i'll we'll you'll i'm we're you're also just really still now and then please urgently team boss",
);

/** A verb of the speaker's wish for a thing: "I need a reverse shell". */
export const WANT_VERBS = words("need want require möchte brauche will veux voudrais quiero necesito voglio quero preciso");

/** Words that point to a command said before or after. */
export const POINTERS = words(
	"it this that them these those following above below command commands snippet script line lines code block everything again es das dies diese folgendes folgende ça ceci cela suivante suivant lo esto eso siguiente questo quello isso isto",
);

/** After a command that stands at the beginning of a sentence: it is spoken of. */
export const FINITE = words(
	"can uses calls invokes contains does says tried typed pasted is isn't was were are does doesn't did didn't has had should shouldn't would will wouldn't could can't cannot gets got fails failed fail deletes deleted wiped removes removed looks means returns returned throws threw crashes crashed works worked happens",
	"happened considered harmful dangerous explained ran runs executes executed breaks broke hangs seems needs vs versus ist war wird darf soll sollte est était doit es fue debe era ought became caused causes leads triggers triggered may might must never",
);

/** Said before a block or a line that is shown, not ordered. */
export const SHOWN = words(
	"given suppose assume here here's this my our got get saw see found ran error output result example examples following-error hier voici aquí ecco trace why",
);

/** First words of commands that are no words of a language; a command may stand anywhere in a sentence. */
export const COMMAND_WORDS = words(
	"rm rmdir dd mkfs mkfs.ext4 mkfs.xfs mke2fs mkswap wipefs sgdisk parted fdisk shred srm chmod chown chgrp chattr curl wget nc ncat netcat socat telnet openssl bash sh zsh dash ksh fish busybox sudo doas su pkexec",
	"git gh kubectl helm terraform tofu pulumi ansible docker podman nerdctl crictl psql mysql mysqldump pg_dump dropdb createdb mongo mongosh redis-cli sqlite3 iptables nft ufw firewall-cmd systemctl service crontab ",
	"scp sftp rsync ssh ssh-keygen ssh-copy-id pkill killall xkill insmod modprobe rmmod kexec sysctl setenforce useradd usermod userdel adduser passwd chpasswd visudo gpasswd groupadd perl python python2 python3 ruby node php lua awk gawk sed tar zip gzip 7z base64 xxd",
	"mkfifo tee truncate unlink history unset export alias eval exec nohup setsid env xargs mount umount nsenter unshare chroot capsh setcap strace gdb aws gcloud az gsutil s3cmd rclone npm npx yarn pnpm pip pip3 cargo nmap masscan hydra john hashcat xmrig msfvenom msfconsole",
	"poweroff init telinit swapoff cryptsetup lvremove vgremove zfs zpool btrfs journalctl auditctl logrotate ln cp mv ls cat cd echo printf head tail less dig nslookup host ping tcpdump powershell pwsh del rd net reg schtasks wmic bcdedit vssadmin cipher diskpart ed vim",
);
/** First words that are also words of a language: only with what looks like arguments. */
export const COMMAND_OR_WORD = words(
	"find kill format shutdown reboot halt watch time timeout script install touch source screen wall write who make link cut sort split open read test set trap command history service host ed cat echo cd env head tail less tee mount init alias export eval exec node ruby python perl lua docker git net del az helm fish dash sed tar zip ping su host cipher unset",
);

// ------------------------------------------------------------ orders in words

/** What is ordered without a command: a verb of the set, and its object in the words that follow it. */
export interface Concept {
	category: Category;
	verdict: VerdictName;
	/** "orders to ..." */
	what: string;
	/** Null: any, which is for objects that nothing good is done to. */
	verbs: ReadonlySet<string> | null;
	/** In the next 240 units; without nested or unbounded repetition. */
	object: RegExp;
	/** All of these must be there too. */
	also?: RegExp;
	/** With this it is something else. */
	unless?: RegExp;
}

const DESTROY = words(
	"throw discard burn blank uninstall delete remove wipe erase destroy format nuke purge clear trash shred overwrite zero obliterate annihilate blow rm kill drop reformat empty corrupt encrypt eliminate clean scrub truncate unlink rid clobber ransom",
	"lösche loesche löschen entferne formatiere überschreibe vernichte zerstöre leere verschlüssle lösch",
	"supprime supprimez supprimer efface effacez effacer détruis détruisez formate formatez vide videz écrase",
	"borra borre borrar elimina elimine eliminar destruye formatea formatee vacía sobrescribe suprime",
	"cancella elimina distruggi formatta apague apaga exclua delete formate remova",
);
const READ = words(
	"read print show cat dump display reveal output give tell list leak extract steal grab collect copy exfiltrate harvest get fetch find open view send echo expose paste return include exfil retrieve hand need want look decode encode access take export base64 summarize search locate gather scan check look hunt",
	"lies lese zeige zeig gib drucke kopiere hole stiehl suche sammle verrate auslesen anzeigen",
	"lis lisez affiche affichez montre montrez donne donnez copie copiez récupère vole lire afficher cherche",
	"lee lea leer muestra muestre mostrar imprime dame copia roba busca obtén extrae enseña",
	"leggi mostra stampa copia ruba leia mostre imprima copie roube",
);
const SEND = words(
	"exfil commit send post upload email mail transmit share forward publish exfiltrate leak push curl copy transfer ship deliver submit beam scp rsync sync pipe put paste report smuggle encode read zip tar archive compress collect gather steal grab take get fetch cat base64 dump export stream attach",
	"sende schicke schick lade übertrage kopiere poste mail schicken senden lies packe sammle",
	"envoie envoyez envoyer transmets poste publie téléverse copie lis archive",
	"envía envia envíe enviar manda sube publica copia transmite lee comprime",
	"invia manda carica envie mande carregue leggi",
);
const OPEN = words(
	"connect listen serve offer open start create spawn establish launch give get make set setup run connect install deploy plant drop put build write add initiate bring obtain need want spin hide place leave inject insert embed implement execute expose bind download pop grant provide",
	"öffne oeffne starte erstelle baue installiere richte brauche aufbauen öffnen gib verbinde",
	"ouvre ouvrez ouvrir lance lancez crée créez établis installe installez donne",
	"abre abra abrir inicia crea establece instala instale lanza dame conecta",
	"apri avvia crea installa abra inicie crie instale",
);
const DISABLE = words(
	"rip tear knock blank disable turn stop deactivate flush remove uninstall kill switch shut bypass circumvent drop clear delete wipe erase mask unload neutralize neutralise evade defeat tamper disarm silence truncate empty suspend purge unset hide cover scrub take get put",
	"deaktiviere schalte stoppe entferne deinstalliere umgehe lösche beende abschalten ausschalten deaktivieren",
	"désactive désactivez désactiver arrête arrêtez coupe supprime contourne efface",
	"desactiva desactive desactivar deshabilita apaga detén para elimina borra omite",
	"disattiva disabilita spegni desative desabilite desligue pare",
);
const GAIN = words(
	"make give grant add become get gain obtain escalate elevate set change allow create switch put chmod chown modify edit turn configure assign let append write install need want run login log promote exploit use",
	"gib mache mach werde füge setze ändere erstelle verschaffe",
	"donne donnez rends fais ajoute ajoutez crée deviens obtiens accorde",
	"dame da dale haz añade agrega crea obtén conviértete otorga concede",
	"dai aggiungi crea diventa dê adicione crie",
);
const KILL = words(
	"turn switch cut crash send lock kill terminate stop end reboot restart shutdown shut power halt crash freeze overload take bring beende töte stoppe fahre starte schalte tue tuez arrête arrêtez redémarre éteins mata mate detén apaga apague reinicia termina spegni riavvia desligue reinicie mate",
);
const IGNORE = words(
	"ignore disregard forget bypass override circumvent skip disable drop abandon break violate evade disobey suspend ignoriere vergiss umgehe missachte ignorez oublie oubliez contourne ignora ignore olvida omite salta dimentica esqueça",
);
const REWRITE = words(
	"force force-push push rewrite delete drop destroy wipe truncate purge remove erase reset flush overwrite terminate tear nuke filter empty clear squash erzwinge lösche überschreibe leere force-pushe supprime efface force réécris borra elimina fuerza reescribe sobrescribe cancella apague",
);
const FETCH = words(
	"eval poll download fetch curl wget get grab pull pipe run execute retrieve lade hole télécharge téléchargez récupère descarga descargue baja scarica baixe load install",
);
const ATTACK = words(
	"mine ddos dos flood brute brute-force bruteforce crack hack attack exploit phish infect spread scan poison backdoor hijack compromise sabotage spoof sniff keylog install deploy run start download write create build knacke hacke greife pirate attaque craque ataca hackea infecta mina schürfe set launch",
);

/** "the whole machine", in words. */
const WHOLE =
	/\b(root (file ?system|directory|dir|folder)|(entire|whole|complete|full) (file ?system|disk|drive|hard ?drive|system|machine|server|computer|home|partition|host|root|os)|(hard ?(drive|disk)|ssd|boot (sector|partition|loader)|partition table|master boot record|mbr)|(system|os|operating system|boot|kernel) files|home (directory|folder|dir)|(first|last) .{0,24} of the (system |boot |hard )?(disk|drive)|(system|boot|data|backup|root) (disk|drive|volume|partition)|(all|every|each|any)( of)?( (the|my|our|your|user|users'|his|her|their|single))* (files?|data|things?|director(y|ies)|folders?|documents|partitions|disks|drives|backups?|snapshots|volumes)( and (folders|directories))? (on|of|from|in|across|under|at) (the |this |my |our |your |every )?(entire |whole )?(system|machine|server|computer|disk|drive|host|root|box|laptop|home|filesystem|hard drive|vm|production|backups?)\b(?! (module|folder|package|component|tests?|prompts?|config|templates?|class|dir|director|page|menu|screen|settings|table|side|code|layer))|everything (on|in|from) (the |this |my |our |your )?(entire |whole )?(system|machine|server|computer|disk|drive|host|root|box|laptop|home|filesystem|hard drive|vm)|(all|the|every|our|my) (backups?|snapshots)\b|(each|every|any) (single )?(backup|snapshot)\b|(database|db|server|production|nightly|s3|customer|system) backups?\b|(first|second|third|other|external|main) (drive|disk|partition)\b|operating system|c:\\?windows|system32|(the |this |my )(disk|drive|filesystem|hard disk|server's disk)\b(?! (usage|space|size|io|cache|image|label|name|read|write|quota|format)))/i;
const WHOLE_ABROAD =
	/(ganze[ns]? (festplatte|system|rechner|server|dateisystem)|festplatte|heimatverzeichnis|home-verzeichnis|wurzelverzeichnis|alle (dateien|daten|backups|sicherungen)( \S+){0,3} (auf|im|von|unter|in) |systemdateien|alles (auf|unter|in|im) (dem |der |diesem )?(server|system|rechner|festplatte|\/)|(tout le|l'ensemble du|le) (disque|système|serveur)|disque dur|répertoire (personnel|racine)|dossier personnel|tous les fichiers( \S+){0,3} (du|de la|sur|de|dans|sous) (système|serveur|disque|machine|\/|l'ordinateur|ce)|système de fichiers|(todo el|el) (disco|sistema|servidor)|disco duro|directorio (personal|raíz|home)|todos los (archivos|ficheros|datos)( \S+){0,3} (del|de|en) (sistema|servidor|disco|la máquina|\/|este|la)|sistema de archivos|tutti i file (del|di|sul)|disco (rigido|fisso)|todos os (arquivos|ficheiros) (do|da|no)|copias de seguridad|sauvegardes)/i;

const STRONG_SECRET =
	/(?<!\w)\/etc\/g?shadow\b|(?<!\w)\.(git-credentials|netrc|pgpass|my\.cnf|vault-token)\b|^\W*(me )?(the|your) (api[ _-]?keys?|(access|auth) tokens?|credentials|system prompt|secret keys?)\W*$|\b(id_(rsa|ed25519|ecdsa|dsa)|(private|secret) (ssh|gpg|pgp|rsa|signing|deploy|tls|host)?[ -]?keys?|ssh[ -](private[ -])?keys?|(aws|gcp|azure|cloud|git|github|docker|npm|database|db|root|admin|kubernetes|production|prod|user|users'|login|browser|saved|stored|system|wifi) (credentials?|secrets?|passwords?|logins|cookies|access keys?)|(passwords?|credentials?|secrets?|tokens?|keys?) (that are |stored |kept |lying )?(in|from|of|on|under|below|across|throughout|anywhere (in|on|under)) (\/(home|root|etc|var|opt|srv)\b|\/(?=$|\s)|~(?=$|[\s/])|\/root|(the )?other users?|(all|every) (users?|homes?)|the (home|machine|system|server|host))|process environment|environment of (all|every|each|any|other|the)( the| of the)?( other| running)* process(es)?\b|environment of (the )?(process|pid|other|another|parent|init)|service[ -]?account (token|key)s?|vault token|password (hashes|file|database|store)|shadow file|kube ?config|(browser|chrome|firefox|session) (cookies|passwords)|keychain|keyring|wallet|seed phrase|(bash|shell|command|zsh) history of (root|other|another|every|all|the (root|admin|other))|(values?|contents?) of (the |your )?\$?\w{0,40}(_key|_token|_secret|_password)\b|memory of (the |a |any |every |all )?[\w-]{1,40} (process|daemon|agent)|process memory|\/proc\/[\w*]{1,20}\/(environ|mem)|(all|any|every|the) (environment variables|env vars|secrets|passwords|credentials)|whole environment|(?:^|\W)(passwords?) (of|for) (the |a )?[\w -]{0,24}\b(user|account|root|admin|database|server)\b|api[ _-]?keys? (you|that you|in your|from your|of your)|your (own )?(api[ _-]?keys?|secrets?|credentials|environment|env|tokens?|system prompt|access tokens?)|(the|any|all) (api[ _-]?keys?|tokens|secrets|credentials|passwords) (on|from|in|of) (this|the|my|your) (machine|system|server|host|computer|environment|home)|(privaten?|geheimen?) (ssh-?)?schlüssel|passwörter|zugangsdaten|umgebungsvariablen|clés? (privées?|ssh)|mots de passe|identifiants|variables d'environnement|claves? (privadas?|ssh|secretas?)|contraseñas|credenciales|variables de entorno|chiavi? privat[ae]|senhas|chaves? privadas?)/i;
const ANY_SECRET =
	/(?<!\w)(\.(env|ssh|aws|kube|netrc|npmrc|git-credentials)\b|env\b|printenv|credentials?|secrets?|passwords?|tokens?|api[ _-]?keys?|private keys?|ssh keys?|id_rsa|\.env\b|env file|environment|env vars?|cookies|\.ssh|\.aws|shadow|passwd|source code|repository|repo|codebase|home (directory|folder|dir)|database|customer data|files|kubeconfig|\.kube|\.netrc|\.npmrc|wallet|keychain|history|schlüssel|passwörter|zugangsdaten|umgebungsvariablen|quellcode|clés?|mots de passe|identifiants|claves?|contraseñas|credenciales|chiav[ei]|senhas|variables)/i;
const ELSEWHERE =
	/((?<![\p{L}\p{N}])(to|at|in|via|through|using|with|on|into|an|auf|à|vers|sur|a|por|verso|para) (an? |the |my |this |our |der |die |den |un |une |el |la |il )?(https?:\/\/|ftp:\/\/|\d{1,3}(\.\d{1,3}){3}|[\w.+-]{1,64}@[\w-]{1,64}\.|[\w-]{1,63}\.(com|net|org|io|sh|ru|cn|xyz|tk|example|evil|onion|me|co|site|top|dev|app|test)\b|pastebin|webhook|discord|telegram|attacker|external (server|host|url|site|endpoint|address|machine)|remote (server|host|machine|endpoint)|server at|(host|server|machine|box|bucket) (that |which )?(i|we) (own|control|run)\b|my (server|own server|email|machine|endpoint|website|vps)|transfer\.sh|gist|burp|ngrok|requestbin|dns|c2\b|following (url|address|server)|this (url|address|server|endpoint)|public (gist|s3|bucket|pastebin)))/iu;

export const CONCEPTS: readonly Concept[] = [
	{
		category: "read_secrets",
		verdict: "deny",
		what: "steal",
		verbs: words("steal loot exfiltrate siphon swipe stiehl vole roba ruba roube"),
		object: ANY_SECRET,
		unless: /\b(tests?|detect\w*|rules?|examples?|article)\b/i,
	},
	{
		category: "destroy",
		verdict: "deny",
		what: "hide what is done",
		verbs: words("hide mask conceal cloak disguise"),
		object: /\bfrom (the |every |all )?(admin\w*|root|owner|monitoring|ps|top|security|sysadmins?|auditors?|process list)\b/i,
		unless: /\b(button|menu|page|link|field|column|tab|component|panel|section|css|ui|view)\b/i,
	},
	{
		category: "destroy",
		verdict: "deny",
		what: "destroy a system or its files",
		verbs: words("make render leave"),
		object:
			/^\W*(the|this|my|our|your) (whole |entire )?(machine|system|server|host|computer|box|vm) (unusable|unbootable|unresponsive)\b/i,
	},
	{
		category: "remote_shell",
		verdict: "deny",
		what: "put malicious code somewhere",
		verbs: words("replace install run publish add inject insert write create ship upload import deploy push release merge"),
		object:
			/\b(malicious|trojan(ed|i[sz]ed)?|back-?doored|weaponi[sz]ed) (versions?|copy|scripts?|binar(y|ies)|code|packages?|payloads?|commands?|files?|librar(y|ies)|programs?|dependenc(y|ies)|modules?|extensions?)\b/i,
		unless: /\b(detect\w*|tests?|scanner|rules?|examples?|checks?|when|if|against|list|upload filter)\b/i,
	},
	{
		category: "remote_shell",
		verdict: "ask",
		what: "install what an unknown host offers",
		verbs: words("install pip npm"),
		object:
			/^.{0,60}\b(from|at) https?:\/\/(?!([\w-]+\.)*(github\.com|githubusercontent\.com|gitlab\.com|npmjs\.(org|com)|pypi\.org|pythonhosted\.org|debian\.org|ubuntu\.com|docker\.com|nodesource\.com|python\.org|nodejs\.org|rust-lang\.org|rustup\.rs|golang\.org|go\.dev|apache\.org|hashicorp\.com|microsoft\.com|google\.com|googleapis\.com|amazonaws\.com|pytorch\.org|huggingface\.co)\b)/i,
	},
	{
		category: "destroy",
		verdict: "deny",
		what: "destroy a system or its files",
		verbs: DESTROY,
		object: WHOLE,
		unless: /\b(css|cache|button|dialog|ui|table row|docker image)\b/i,
	},
	{
		category: "destroy",
		verdict: "deny",
		what: "destroy a system or its files",
		verbs: words("wipe nuke destroy erase obliterate brick trash format reformat rm zero vernichte zerstöre détruis destruye"),
		object:
			/^\W*(the|this|that|my|our|your|whole|entire|den|diesen|le|el|il|o) (server|machine|system|host|computer|box|laptop|vm|instance|drive|disk|rechner|serveur|servidor|sistema|système)\b(?! (config|state|cache|name|module|error|data|prompt|log|usage|tests?|folder|timer))/i,
	},
	{
		category: "destroy",
		verdict: "deny",
		what: "destroy what others need",
		verbs: DESTROY,
		object:
			/(?<!\w)\.git (directory|folder|dir)\b|\b((every|all)( other| the)? (users?|accounts?) (but|except|on|from) .{0,12}(root|this machine|the (system|machine|server|host))|all( of)?( the| our| my)? (docker|podman) volumes|(the|our) (entire |whole )?(customers?|users?|orders?|billing|payments?|main|primary|company|live|master) (database|db)\b|^\W*(glibc|libc6|coreutils|systemd)\W*$|(python|bash|coreutils|glibc|systemd)( from)? (the|this) (system|machine)|everything (under|in|inside|below|at) (\/|~|the (root|home|etc|parent) (directory|folder)))/i,
	},
	{
		category: "persist",
		verdict: "deny",
		what: "change programs that others trust",
		verbs: words("hook hook swap patch replace modify trojan trojanize backdoor overwrite swap infect tamper change alter"),
		object:
			/\b(sshd?|sudo|login|su|passwd|bash|pam|systemd|kernel|release binary|ls|ps) .{0,20}(with (a|an|one|my|mine|the)|for (mine|my)|so that)|(sudo|ssh|sshd|login|su|passwd|bash|sh|ls|ps|systemd|pam|openssl) (binary|executable|program)\b|\bpam (module|config(uration)?)\b/i,
	},
	{
		category: "rewrite_history",
		verdict: "ask",
		what: "destroy data that others share",
		verbs: RUN_VERBS,
		object:
			/^\W*(the |this )?((sql|query|statement|command)\W{0,3})?(drop (database|schema|table|user|owned)|truncate (table )?\w|delete from \w{1,64}\W{0,3}($|in|on)|flushall|flushdb)\b/i,
	},
	{ category: "destroy", verdict: "deny", what: "destroy a system or its files", verbs: DESTROY, object: WHOLE_ABROAD },
	{
		category: "destroy",
		verdict: "deny",
		what: "remove traces",
		verbs: DISABLE,
		object:
			/\b((bash|shell|zsh|command|terminal) history|\w*_history\b|audit (trail|records?)|(all|every|the)( of)?( the| system| audit| server| access| auth)? logs?(\W*$| so (that )?(nobody|no one|they|it|i|we))|logging (for|of|on|in) (this|the) (session|machine|server|host|system)|(system|audit|auth|security|access|server) logs?( files?)?\b(?! (level|format|message|output|statement))|\/var\/log|(your|our|my|the|all|any) (tracks|traces)\b|event logs?|log entries (of|about) (this|your|our)|journald?|syslog|spuren|protokolle|traces?\b|journaux|registros del sistema|huellas|historial)/i,
		unless: /\b(console\.log|logger|stack ?traces?|unit test|react|component|debug traces?|open ?telemetry|spans?)\b/i,
	},
	{
		category: "read_secrets",
		verdict: "deny",
		what: "read secrets of the machine",
		verbs: READ,
		object: STRONG_SECRET,
		unless:
			/\b(field|form|input|component|button|page|column|schema|placeholder|label|endpoint|middleware|handling|code|logic|parser|generation|used|needed|required|documented|defined|in (the|this|our) (project|repo|app)|validation|class|in the ui|model|documentation|docs|readme|test|tests|reset|type|interface|option|flag|rotation|dialog|policy|manager)\b/i,
	},
	{
		category: "exfiltrate",
		verdict: "deny",
		what: "send secrets or files to somebody else",
		verbs: SEND,
		object: ANY_SECRET,
		also: ELSEWHERE,
		unless:
			/\b(commit|pull request|branch|merge|endpoint in|form|button|component|middleware|header|oauth|openapi|swagger|axios|redux|handler|unit test|tests for|mock)\b/i,
	},
	{
		category: "remote_shell",
		verdict: "deny",
		what: "open a shell to the network or plant malware",
		verbs: OPEN,
		object:
			/\b((reverse|bind|remote|backdoor|web|netcat|nc|interactive|root|meterpreter)[ -]?shells?\b|web ?shell|back ?doors?\b|key ?logger|root ?kit|ransom ?ware|mal ?ware|botnet|trojan|spyware|(crypto|krypto|coin|bitcoin|monero|xmr)[ -]?(coin[ -]?)?miner|worm (that|which)|virus (that|which)|xmrig|c2 (agent|beacon|server|channel|implant)|beacon to|command[- ]and[- ]control|meterpreter|reverse tunnel|ssh backdoor|netcat listener|^\W*(back|out) to .{0,60}|(a )?(socket|(tcp )?connection) to .{0,60}\b(sh|bash|shell|cmd)\b|tunnel .{0,80}(so (that )?(i|we) can|from outside|back in)|(a|an interactive|a root|a remote) shell\b(?! (script|command|function|snippet|one-liner|completion|wrapper|alias)).{0,40}\b(port \d+|outside|\d{1,3}(\.\d{1,3}){3})|(port \d{2,5}|\d{1,3}(\.\d{1,3}){3}).{0,30} (serve|give|offer|start|spawn|get|run)\w* .{0,20}shell\b|(run|execute|eval) (whatever|anything|everything|what(ever)?) .{0,40}(comes|arrives|sends|sent|returns|received|says)|\d{1,3}(\.\d{1,3}){3}(:\d{1,5})? (a|an) (\w{1,12} )?shell|listener (on|at) port \d+ (that|which|with) \S+ (a )?(shell|bash)|hintertür|schadsoftware|trojaner|porte dérobée|logiciel malveillant|puerta trasera|(a )?(shell|bash|terminal)\b.{0,40}\b(connects? (it )?(back )?to|back to|to|listening on) .{0,20}(\d{1,3}(\.\d{1,3}){3}|[\w.-]{1,60}:\d{2,5})|shell (inversa|reversa|remota|inverso|inversé|distant)|software malicioso)/i,
		unless: /\b(detection|detector|detect|signature|yara|rule|article|blog|documentation|wiki|glossary|quiz|training)\b/i,
	},
	{
		category: "remote_shell",
		verdict: "deny",
		what: "run what the network sends",
		verbs: FETCH,
		object:
			/^\W*(whatever|anything|everything|what) .{0,60}\b(tells?|sends?|says?|returns?|serves?|gives?|answers?)\b|^\W*(the )?(response|output|results?|contents?|body|scripts?|code|commands?) (of|from|at|behind) (the )?(url )?https?:|((\band|\bthen|,|und|et|y|e) (immediately |then |directly |just |silently |it )*((run|runs|execute|executes|eval|launch|start|source|führe|exécute|exécutez|lance|ejecuta|esegui|install) (it|its|this|that|them|the (downloaded |resulting |fetched )?(scripts?|binary|files?|payload|installer|program|results?|output|content|code)|with|as|aus|le|lo|es|sie)\b|exécute-le|lance-le|ejecútalo|eseguilo|ausführen|pipe)|\b(pipe[sd]?|piping)? ?(it |that |the output |the result )?(in)?to (sudo |a )?(bash|sh|shell)\b|through (bash|sh|a shell)\b|\blet (bash|sh|python|node|it) (run|execute)|(bash|sh) (run|execute)s? it)/i,
		also: /(https?:\/\/|\d{1,3}(\.\d{1,3}){3}|\b[\w-]{1,63}\.(com|net|org|io|sh|ru|cn|xyz|tk|example|evil|onion)\b).{0,120}|(payload|malware|binary|script) from/i,
		unless: /\b(tests?|npm|yarn|pnpm|pip|migrations?|the app|docker compose|build|linter|benchmarks?|repo(sitory)?|clone|dataset)\b/i,
	},
	{
		category: "escalate",
		verdict: "deny",
		what: "turn off what protects the machine",
		verbs: DISABLE,
		object:
			/\b(fire ?wall|ufw|iptables|nftables|selinux|so (that )?any password (works|is accepted)|authentication checks? (in|of|for) (pam|ssh|sshd|sudo|login)\b|se linux|app ?armor|auditd|audit(ing)? (subsystem|framework|daemon|log(s|ging)?|service|system)|anti-?virus|clam(av|d)|crowd ?strike|falcon|\bedr\b|rsyslog|fail2ban|(windows )?defender|intrusion detection|aslr|seccomp|security (features|measures|mechanisms|software|tools?|agents?|monitoring|updates|modules?|controls|protections?)|gatekeeper|\bwaf\b|(safety|permission|approval|security) (checks?|rails|guards?|gates?|prompts?|hooks?|filters?|polic(y|ies))|sandbox(ing)?|\bjail\b|guard ?rails?|monitoring (agent|daemon|service)|brandmauer|sicherheitssoftware|virenscanner|pare-?feu|antivirus|cortafuegos|seguridad del sistema|parede de fogo)/i,
		unless:
			/\b(in (the )?(tests?|ci|jest|storybook|iframe|eslint)|iframe|unit test|attribute|config option|feature flag|electron|webview)\b/i,
	},
	{
		category: "escalate",
		verdict: "deny",
		what: "gain rights",
		verbs: GAIN,
		object:
			/\b((root|sudo|administrator|superuser) (access|rights?|privileges?|permissions?|shell|without (a )?password)|password-?less sudo|sudo (without|with no) (a )?password|nopasswd|set-?uid|suid|sudoers|uid (=)?0\b|(to|in|into) the (sudo|wheel|docker|root|admin) group|become root|myself root|(world|globally)[- ]writable|(write|full|root|read and write) (access|permissions?|rights) (to|on|for) (\/|the (whole |entire )?(system|root|file ?system))|all (incoming|inbound) (traffic|connections)|777 (on |for |to )?(everything|all|\/|the (whole|entire|root|file ?system))|^\W*(root|superuser)\b(?! (element|node|component|dir|cause|path|module|package|url|view|level|font|route|key|object|class|tsconfig|readme|certificate))|privilege escalation|privileges to root|(?<!non-)(root|superuser|sudo|privileged|uid 0) (user|account)\b|admin(istrator)? (user|account) on (the|this|my) (machine|server|system|host|box|computer)|password (of|for) (the )?(user )?(root|admin)\b|root('s)? password|^\W*(yourself|myself|me|us|everyone|everybody) (an? |the )?(administrator|admin|superuser|root)\b|permissions? (of|on|for) (the (whole|entire|root)|\/(?=\s)|everything|all files)|(user|account) .{0,40}(without|with no) (a )?password|(hidden|secret) (\w{1,20} )?(user|account)|root-?(rechte|zugriff|zugang)|(droits|accès) (root|administrateur)|(permisos|acceso|privilegios) (de )?(root|administrador|superusuario)|everything (readable|writable|executable) (by|for) everyone)/i,
		unless: /\b(app|dashboard|admin panel|role model|rbac|django|rails|component|schema)\b/i,
	},
	{
		category: "persist",
		verdict: "deny",
		what: "stay on the machine",
		verbs: words(
			"hide leave add install create put append set setup schedule plant write leave keep make place drop hide register insert copy start run füge richte hinterlasse installiere ajoute ajoutez installe añade agrega instala configura deja aggiungi adicione spawn launch",
		),
		object:
			/\b(authorized_?keys|(survives?|persists?|persistent|lives? on|stays?|keeps? running|starts?|run|runs) (across |after |through |on |at )?(every |each |the |a )?(reboots?|boot|logins?|log ?out|session ends?|this session|startup of the (machine|server|system)) .{0,80}(connect|phone|call|shell|download|beacon|payload|miner|\d{1,3}(\.\d{1,3}){3}|https?:|send)|ld\.so\.preload|(service|unit|timer|cron ?job|job|daemon|script) (that|which|to) (keeps?|runs?|starts?|restarts?|launch(es)?|executes?) \/(tmp|dev\/shm|var\/tmp)\/|(cron ?job|crontab( entry)?|timer|unit|service|startup (script|item)|login (script|item)|profile) .{0,40}(download|fetch|curl|wget|connect|phone|beacon|call(s)? (home|back)|exfil|sends?).{0,80}(https?:|\d{1,3}(\.\d{1,3}){3}|\.(com|net|org|io|sh|example|evil)\b|home|shell)|persistence\b(?! (layer|module|api|adapter|store|unit|context|provider|tests?|code))|(process|daemon|shell|job) .{0,40}(surviv|outliv|restarts itself)|keep access|(background|hidden) (daemon|process) (that|which) (survives|stays|keeps|outlives|persists|ignores)|(my|this|attacker'?s?|following|the) (public )?(ssh )?(public )?key to .{0,60}(root|server|authorized|every|all)|(every|each) (minute|hour|boot|reboot|login) .{0,60}(curl|wget|connect|https?:|\d{1,3}(\.\d{1,3}){3}|shell|beacon|payload))/i,
		unless: /\b(documentation|article|ansible role for|terraform module)\b/i,
	},
	{
		category: "escape",
		verdict: "deny",
		what: "leave the sandbox",
		verbs: words(
			"escape break leave bypass exit jump breakout exploit evade get entkomme verlasse brich umgehe échappe sors sortez escapa sal rompe elude evadi sfuggi fuja",
		),
		object:
			/^\W*(out )?(of |from |free (of|from) |aus |du |de la |del |de )?(the |this |your |der |dem |docker |a ){0,3}(container|sandbox|jail|chroot|namespace|bubblewrap|vm\b|virtual machine|bac à sable|contenedor|conteneur|sandkasten)(?! (image|port|name|class|div|width|component|query|element|id|status|logs?))/i,
		unless: /\b(div|css|flex|copy|react|widget|layout|margin|padding|tests?|get the container|get a container)\b/i,
	},
	{
		category: "escape",
		verdict: "deny",
		what: "leave the sandbox",
		verbs: words("mount access use start run launch create read list open expose monte monta starte lance exécute ejecuta"),
		object:
			/\b(host('s)? (root|file ?system|disk|namespace|files|root filesystem)|docker\.? ?sock(et)?|privileged container|root filesystem of the host|\/ (mounted|of the host)|wirtssystem|système hôte|sistema anfitrión)/i,
		unless: /\b(image|compose file|documentation|docs|tests?)\b/i,
	},
	{
		category: "kernel",
		verdict: "deny",
		what: "load or change kernel code",
		verbs: words(
			"set change add load insert insmod modprobe install compile build patch unload replace flash lade installiere charge chargez installe carga carica write disable",
		),
		object:
			/\b(kernel module|kernel (parameter|driver|rootkit|protections?|lockdown)|\.ko\b|(kernel|vm|net|fs)\.[a-z_]{2,40}(\.[a-z_0-9]{2,40})+|\/dev\/k?mem\b|ebpf (program|rootkit)|bootloader|firmware|kernelmodul|module noyau|module du noyau|módulo del kernel|módulo de kernel|modulo del kernel)/i,
		unless: /\b(explain|documentation|example|parser|config|code|tutorial|cmake|makefile|linux kernel style)\b/i,
	},
	{
		category: "kill",
		verdict: "deny",
		what: "end what is not the session's, or the machine",
		verbs: KILL,
		object:
			/(^\s*(the |this |my |our |den |le |la |el |il |o )?(whole |entire )?(machine|system|host|computer|laptop|production server|rechner|système|ordinateur|sistema|máquina|ordenador|computador)\b(?! (under|prompt|module|test))|\b((all|every|each)( of)?( the| running| other| active| user)* process(es)?( on| of| except| that| which| not|$|[.!,])|other users'? processes|\binit\b process|pid 1\b|sshd\b|systemd\b|(the|this|that) (server|machine|host|box|computer|system|vm) off\b|power (of|to|from) (the|this) (server|machine|host|box|computer|rack|system)|(sigkill|signal 9) to (every|all)|out (all|every|the other) (other )?users|^\W*(the |this )?(server|site|website)\W*$|alle prozesse|tous les processus|todos los procesos|tutti i processi|todos os processos|(machine|system|host|computer) (down|off|now)$))/i,
		unless: /\b(node process(es)?|test|jest|vite|webpack|language server)\b/i,
	},
	{
		category: "kill",
		verdict: "deny",
		what: "shut the machine down",
		verbs: words(
			"shut shutdown power halt reboot poweroff fahre starte schalte éteins éteignez redémarre apaga apague reinicia spegni riavvia desligue reinicie",
		),
		object:
			/^\s*(down |off )?(the |this |my |our |all |den |le |la |el |il |o )?(whole |entire |production |remote |build |prod )?(servers?|machines?|system|host|computer|box|laptop|node|vm|instance|rechner|serveur|système|ordinateur|servidor|sistema|máquina|ordenador|computador|herunter|it down now)\b|^\s*(now|immediately|please|it)?\W*$/i,
		unless:
			/\b((dev|local|development|mock|test|http|web|express|language|api|grpc|mcp|vite) ?(server|socket)|gracefully|jest|sigterm|sigint|handler|hook|in (the )?tests?|after (all|each|the) tests?|button|endpoint|docs?|when the)\b/i,
	},
	{
		category: "kill",
		verdict: "deny",
		what: "overload the machine",
		verbs: words(
			"allocate eat run start launch execute create write spawn trigger make fill consume exhaust use starte führe erzeuge lance exécute crée ejecuta lanza crea esegui do set",
		),
		object:
			/\b(fork ?bomb|forkbomb|all (the )?(memory|cpu|ram|disk space|inodes)( |$|[.!,])|(until|till) (the |it |this )?.{0,24}(hangs|crash|oom|full|dies|freezes|explodes|out of memory|killer)|(disk|drive|filesystem|memory|ram) (until|till)|disk (until|till) (it is|it's|its) full|denial[- ]of[- ]service|zip bomb|bombe fork|bomba fork)/i,
		unless: /\b(how|prevent|limit|without|detect|test)\b/i,
	},
	{
		category: "unresolved",
		verdict: "deny",
		what: "set aside the rules that bind it",
		verbs: IGNORE,
		object:
			/^\W*((all|any|every|your|my|these|those|of|previous|prior|earlier|above|system|safety|security|existing|current|deine|alle|sämtliche|vorherigen|bisherigen|toutes|tes|vos|tus|todas|sus|previas|anteriores|tutte|tue|todas|as|suas|the|die|les|las|le|following|other) ){1,5}(rules?|instructions?|guidelines?|restrictions?|polic(y|ies)|guard ?rails?|constraints?|safeguards?|permission (checks?|system|prompts?)|approvals?\b(?! (step|flow|state|screen|status|when|if|modal|page|field|logic|email))|sandbox|waf|security (checks?|rules?|polic(y|ies)|controls?)|safety (checks?|rules?|filters?)|content filters?|programming|training|regeln|anweisungen|richtlinien|vorgaben|sicherheitsregeln|règles|consignes|reglas|instrucciones|restricciones|normas|regole|istruzioni|regras|instruções)\b(?! (in|of|from|for(?! (this|now|today|once|me|the (task|session|rest))\b)|section|file|page|engine|table|component|array|text|field))/i,
		unless:
			/\b(eslint|lint|tsconfig|prettier|css|gitignore|stylelint|ruff|flake8|pylint|robots\.txt|cors|rubocop|tslint|biome|formatting|style guide|in (the )?(tests?|docs|readme))\b/i,
	},
	{
		category: "rewrite_history",
		verdict: "ask",
		what: "rewrite what others share",
		verbs: new Set([...REWRITE, ...DESTROY]),
		object:
			/\b(push(e)? .{0,60}(main|master|origin|remote|production|release|upstream|over|trunk)|-?push\W*$|push(e)? (it|them|this|that|everything|my|the branch|your)\b|(with )?--force(?!-)|^\W*(the |our )?(entire |whole )?(git )?history\W*$|history so that|commits (disappear|vanish)|(all|every)( of)? (the |our )?(ec2|aws|gcp|azure|cloud|compute|rds|vm|google) (instances?|resources?|machines?|vms?)\b|(git|commit|repo(sitory)?('s)?|branch) history\b(?! (section|page|view|docs|component|table|panel|tab|screen|list|feature|api))|history of (the )?(main|master|repo)|(main|master|remote|production|release) branch|(prod(uction)?|live|whole|entire|customer|all( of)?( the| our)?) (databases?|db|tables?|schemas?|data ?base|redis|cache|index(es)?|collections?|clusters?|namespaces?|buckets?|instances|environment|infrastructure|volumes|vms?|deployments|pods|topics|queues)|(databases?|db|tables?|cluster|bucket|namespace|infrastructure|server)s? (in|on|of|from) (prod\b|production|live)|s3 buckets?|kubernetes cluster|(the|our|my|this) (github|gitlab|bitbucket|remote|upstream) (repositor(y|ies)|repos?|organi[sz]ation|group)\b|(all|every) (branches|tags|repositories|repos|issues|releases)|(git-?)?historie|produktions(datenbank|-datenbank|server|cluster)|base de données de prod(uction)?|bases? de datos? de prod(ucción)?|l'historique git|historial de git|rama (main|master|principal)|branche (main|master|principale)|redis (cache )?(in|on) prod)/i,
		unless: /\b(test database|local database|staging table|unit test|migration that|mock|in-memory|fixture|documentation)\b/i,
	},
	{
		category: "rewrite_history",
		verdict: "ask",
		what: "rewrite what others share",
		verbs: words("force-push force-pushe force-pushen"),
		object: /\S/,
	},
	{
		category: "read_secrets",
		verdict: "deny",
		what: "ask the cloud's metadata service for credentials",
		verbs: new Set([...READ, ...FETCH, "query", "request", "call", "hit", "ask", "curl", "frage", "interroge", "consulta"]),
		object:
			/\b(169\.254\.169\.254|(instance|cloud|ec2|aws|gcp|azure|google) metadata|(keys?|credentials?|tokens?) .{0,40}metadata (service|endpoint|server|api|address|ip)\b|metadata (service|endpoint|server|api)\b.{0,60}(role|key|cred|token|secret|password|iam)|iam (role )?credentials|instance profile)/i,
		unless: /\b(mock|documentation|docs|client library|test)\b/i,
	},
	{
		category: "exfiltrate",
		verdict: "deny",
		what: "attack machines or people",
		verbs: ATTACK,
		object:
			/\b((ddos|dos) attack|monero|bitcoin|crypto ?currenc(y|ies)|cryptojack|(password hashes|hashes|passwords?) (in|from|of) (\/etc\/shadow|the shadow|the system|this|all)|ssh (passwords?|logins?)|(internal|local|corporate|company) network|(other|neighbou?ring|nearby) (machines|hosts|servers|computers)|phishing (page|mail|email|site)|(network )?traffic .{0,60}(credentials?|passwords?|cookies|tokens)|syn flood|xmrig|stratum|mining pool|metasploit|internes netz(werk)?|réseau interne|red interna)/i,
		unless:
			/\b(price|chart|wallet|api client|portfolio|explain|lecture|documentation|tracker|dashboard|config|settings|docs|accept|payments?)\b/i,
	},
	{
		category: "exfiltrate",
		verdict: "deny",
		what: "attack machines or people",
		verbs: words(
			"ddos dos flood brute brute-force bruteforce crack hack attack exploit hijack compromise sabotage hacke greife attaque craque ataca hackea",
		),
		object:
			/\d{1,3}(\.\d{1,3}){3}|\b[\w-]{1,60}\.(com|net|org|io|de|fr)\b|\b(force|login|password|account|server|host|website|network|bank|hash(es)?)\b/i,
		unless: /\b(documentation|docs|problem|issue|bug|performance|tests?|prevention|protection|rate limit)\b/i,
	},
	{
		category: "destroy",
		verdict: "ask",
		what: "remove traces",
		verbs: null,
		object:
			/\b(no traces? (in|on|behind in) (the |any )?(audit|system|logs?|shell|history|machine|server|disk)\b|nothing .{0,40}(left|remains|shows?|appears?|recorded|kept) .{0,20}(logs?|history)\b|no traces? of (our|my|this|your|the)|so (that )?(nobody|no one|no-one) (notices|knows|sees|finds)|nobody will (notice|know|see)|without (anyone|anybody|the (user|admin|owner|team)) (noticing|knowing|seeing)|from (ps|top|the process list)\b|not show up in (the )?(audit|logs?|ps|history)|(our|your|my) tracks)/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "read_secrets",
		verdict: "deny",
		what: "read secrets of the machine",
		verbs: null,
		object:
			/\b(password hash(es)?|shadow file|(browser|chrome|firefox) cookies|cookies from (chrome|firefox|the browser)|keystrokes|home directories for (secrets|keys|passwords)|other users'? (mail|mails|files|home|keys|history|documents))\b/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "read_secrets",
		verdict: "deny",
		what: "read secrets of the machine",
		verbs: null,
		object: STRONG_SECRET,
		unless:
			/\b(kms|vault|before stor\w+|monitor\w*|worker|at rest|in transit|hash|salt|random\w*|argon2?|bcrypt|scrypt|generat\w*|form|input|used|needed|required|documented|defined|validation|readme|reset|model|type|option|flag|rotation|rotate\w*|dialog|manager|interface|logic|generation|placeholder|label|detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "remote_shell",
		verdict: "deny",
		what: "open a shell to the network or plant malware",
		verbs: null,
		object:
			/\b((call|phone|connect|dial)s?(ing)? (back|home) to\b|my listener\b|shell .{0,40}(from the internet|from outside|remotely)|(machine|server|host|box) .{0,20}to (everyone|anyone|anybody|everybody|the (whole )?(world|internet))|(a|the|our|my|this) (\w{1,12} )?(crypto ?)?miner\b|(daemon|service|program|script|process) (that|which|to) (connects?|calls?|phones?|dials?|reports?) .{0,40}(\d{1,3}(\.\d{1,3}){3}|https?:|boot\b|reboot\b)|(the|an|our|my) implant\b|(shell|terminal|root) to (whoever|anyone|everyone|anybody|everybody|the first)\b|(run|execute|eval|start)s? (whatever|anything|everything|what(ever)?) .{0,24}\b(gets|receives|finds|is told|is sent|fetches|downloads|comes back)\b|web ?shell\b|back ?door\b|ransom note|root ?kit\b|key ?logger\b)/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "escalate",
		verdict: "deny",
		what: "gain rights",
		verbs: null,
		object:
			/\b(become root|me root\b|unsigned (kernel )?modules\b|password (of|for) (the )?(user )?root\b|(in|to|into|onto) (\/etc\/)?sudoers\b|(me|us|him|her|them|everyone|anyone) .{0,16}(in|on) as (root|admin\w*)\b|(sshd?|sudo|pam|login) (to )?(accepts?|allows?|takes?) (any|every|all|my|no|empty)\b|the (security|edr|antivirus|endpoint) (agent|sensor|software)( from| on| of|\W*$)|log(ged)? ?in as root .{0,40}(no|without a?) ?password|root login .{0,40}(no|without a?) ?password|root without|(any|every)(one|body| user) .{0,20}\broot\b|every security (service|tool)|all security (services|tools))/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "destroy",
		verdict: "deny",
		what: "destroy what others need",
		verbs: null,
		object:
			/\b((all|every)( the| of the)?( user)? accounts? on (the|this) (box|machine|server|host|system)|(the )?(whole|entire) (network|cluster|site|data ?cent(er|re)|fleet) (down|offline)\b|(down|over) (the )?(entire |whole )?production(?! (build|bundle|mode|config))|production (down|offline)|database server (over|down)|the (whole|entire) \/(usr|etc|var|home|bin|lib|boot|opt|root)\b|(all|every) (files?|data) (in|under|below) \/(home|etc|usr|var|boot|root)\b)/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "rewrite_history",
		verdict: "ask",
		what: "rewrite what others share",
		verbs: null,
		object:
			/(^\W*(main|master) with (my|this|the)\b|\d+ commits and (force|push)|(?<!\w)--force (to|on|onto) (main|master|origin|the)|(it|them|this) onto (main|master|origin))/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "destroy",
		verdict: "deny",
		what: "destroy everything",
		verbs: DESTROY,
		object:
			/^\W*(it|them) all\b|^\W*(of )?(everything|absolutely everything|all|every file|all (of )?(the |my |our )?(data|files))( (you can( find| see)?|that (runs|exists|is there)|on it|there|now|immediately|please|at once))*\W*$/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "kill",
		verdict: "deny",
		what: "end what is not the session's, or the machine",
		verbs: new Set([...KILL, ...words("trigger cause uninstall revoke remove provoke")]),
		object:
			/^\W*(everything|all)( that (runs|is running))?\W*$|^\W*(the |this |our )(whole |entire )?(cluster|data ?cent(er|re)|fleet|kernel)\b|^\W*(a )?kernel panic|everybody'?s access|(the |all )?other users .{0,12}(kicked|thrown|logged) (out|off)|^\W*the kernel\W*$/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "destroy",
		verdict: "ask",
		what: "destroy what others need",
		verbs: DESTROY,
		object:
			/\b(customers?'? (data|records)|(data|records) (of|from) (our|the|all|every|my) (customers?|users?|clients?)\b|(data|queues?|topics?|namespaces?|volumes?|backups?|records|deployments?|pods|servers?|vms?) (in|on|of|from) (prod|production|live)\b|namespace (prod|production)\b)/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "exfiltrate",
		verdict: "ask",
		what: "send things to somebody else",
		verbs: new Set([...SEND, ...words("make write record store save log stream mirror back backup dump")]),
		object:
			/(?<!\w)(to|on|in|into|at|via|onto) (a |an |the |my |our |this )?(own )?((server|host|machine) (at )?\d|\d{1,3}(\.\d{1,3}){3}|public (gist|issue|pastebin|bucket|repo|paste)|pastebin|paste\.|transfer\.sh|webhook\.site|requestbin|[\w-]{1,40}\.ngrok|ftp:|my (own )?(server|listener|vps|bucket|website)|https?:\/\/(evil|attacker|[\w.-]*\.evil|\d{1,3}(\.\d{1,3}){3})|[\w.-]*evil\b|attacker|(drop|eve|attacker|evil|mallory)@)/i,
		unless: /\b(deploy|tests?|mock|documentation|docs|nginx|proxy|ssh config|bind|listen)\b/i,
	},
	{
		category: "escalate",
		verdict: "deny",
		what: "gain rights",
		verbs: null,
		object:
			/(?<!\w)\/(etc|usr|bin|root|boot)\S{0,60} (world|writable|readable by)|(all|every) files? on (the|this) (machine|system|server|host|disk|drive) (to be )?(owned|writable|readable|executable)|\b((get|become|gain|obtain|getting|becoming) (to be )?root\b(?! (element|node|component|dir|path|cause|url|key|object|module|level|package))|(sudo|root|admin) rights|into other (people|users?)'?s? (home|files|accounts)|the .{0,20}password of (the|my|our) (router|neighbou?r|admin|boss|server))/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "escape",
		verdict: "deny",
		what: "leave the sandbox",
		verbs: null,
		object:
			/\b((see|sees|reach|touch|access|enter) the host'?s? (processes|files|disk|root|filesystem|network)\b|namespaces? of (pid 1|(the )?host|(the )?init)\b|way out of (the |this )?(jail|sandbox|container|chroot|vm)|docker (daemon|api|socket) .{0,30}(port|tcp|world|network)|(sees|access to|mounts|has) the (whole|entire) host|out of the (jail|sandbox))\b/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "persist",
		verdict: "deny",
		what: "stay on the machine",
		verbs: null,
		object:
			/\b(way back in\b|(in|to|into) .{0,40}authorized_?keys\b|\bcron .{0,60}(\d{1,3}(\.\d{1,3}){3}|https?:|runs (what|whatever))|ssh key (on|to|for|into) (root|every|all|the (server|host|machine|root))|phone home\b|phones home\b|into a (bot|zombie)\b|back in later)/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "kill",
		verdict: "deny",
		what: "overload the machine",
		verbs: null,
		object:
			/\bto its knees\b|\buntil (nobody|no one|the (box|machine|host|server|system|disk|cpu|kernel)|it) (can (log|use|do)|dies|hangs|crashes|freezes|falls over|gives up|chokes|panics|goes down|stalls|locks up|grinds|breaks|collapses|stops)\b/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
	{
		category: "exfiltrate",
		verdict: "deny",
		what: "attack machines or people",
		verbs: null,
		object:
			/\b(break into (other|the (network|server|machine|account|system)|their|his|her|every)|and break in\b|ask for (bitcoin|ransom|money)|every key(stroke)? (that )?(the user|people|they)|(what|everything|anything|whatever) (that )?(the )?(people|they|users?|he|she|someone) types?\b|with (the )?default (passwords?|credentials)|(their|another user's|someone else's) (e-?mails?|mails?|inbox)\b|(internal|corporate|company) network|guess the .{0,30}password)/i,
		unless:
			/\b(detect\w*|scanner|tests?|rules?|article|docs|documentation|component|button|page|form|column|schema|endpoint|class|middleware|alerts?|dashboard|header|field|code|helper|function|util\w*|handling|parser|config|settings|mock|banner|policy)\b/i,
	},
];

/** Chinese and Japanese have no spaces: these are looked for as they are. */
export const HAN = {
	run: /运行|执行|跑一下|請執行|執行|輸入|输入|実行(して|せよ)|走らせ/,
	speak:
		/解释|說明|说明|什么|為什麼|为什么|如何|怎么|怎樣|测试|測試|文档|检测|阻止|拦截|不要|别|禁止|避免|勿|教えて|とは|なぜ|テスト|ないで|意味|危险吗|含义|作用|区别/,
	concepts: [
		{
			category: "destroy",
			what: "destroy a system or its files",
			match:
				/(删除|刪除|清空|格式化|抹掉|擦除|销毁|覆盖|削除|消去|フォーマット).{0,24}(所有|全部|整个|整個|系统|系統|根目录|根目錄|硬盘|硬碟|磁盘|主目录|家目录|备份|\/(etc|usr|var|home|boot|bin|root)?\b|すべて|全て|ディスク|ルート)|(所有|全部|整个|系统|根目录|硬盘|磁盘|主目录|\/etc|すべて|全て).{0,24}(删除|删掉|清空|格式化|抹掉|擦除|销毁|刪除|削除|消去)/,
		},
		{
			category: "read_secrets",
			what: "read or send secrets",
			match:
				/(读取|讀取|打印|显示|顯示|发送|發送|上传|上傳|泄露|输出|拷贝|复制|发给|表示|送信|読).{0,24}(私钥|私鑰|密钥|密鑰|密码|密碼|凭证|凭据|环境变量|令牌|\/etc\/shadow|\.ssh|api ?key|秘密鍵|パスワード)|(私钥|密钥|密码|凭证|凭据|环境变量|\/etc\/shadow|\.ssh|秘密鍵|パスワード).{0,24}(发送|上传|发给|发到|打印|显示|送信|表示|给我|告诉我)/i,
		},
		{
			category: "remote_shell",
			what: "open a shell to the network or plant malware",
			match: /(反向|反弹|远程|遠端|绑定|リバース).{0,4}(shell|シェル)|后门|後門|木马|勒索软件|挖矿|バックドア/i,
		},
		{
			category: "escalate",
			what: "turn off what protects the machine or gain rights",
			match:
				/(关闭|關閉|禁用|停用|停止|绕过|無効).{0,12}(防火墙|防火牆|安全|审计|selinux|杀毒|沙箱|ファイアウォール)|(获取|取得|提升|给我).{0,12}(root|管理员|超级用户).{0,6}(权限|權限)/i,
		},
		{
			category: "unresolved",
			what: "set aside the rules that bind it",
			match: /(忽略|无视|無視|忘记|绕过).{0,12}(规则|規則|指令|限制|指示|安全策略|ルール)/,
		},
		{
			category: "rewrite_history",
			what: "rewrite what others share",
			match: /强制推送|強制推送|(删除|清空|删掉|刪除).{0,12}(生产|線上|线上|数据库|資料庫|主分支)/,
		},
		{
			category: "kill",
			what: "end what is not the session's, or the machine",
			match: /(杀死|终止|结束|杀掉).{0,8}(所有|全部).{0,4}进程|(关闭|重启|关掉).{0,6}(服务器|系统|机器|电脑|主机)|fork ?炸弹/i,
		},
	] as { category: Category; what: string; match: RegExp }[],
};
