import { base64Text, hexText } from "../encodings.ts";
import { isKnown, squeezed } from "../words.ts";
import { AWS_OPTIONS, type Call, each, hostOf, isLoopback, type Judges, Options, type Rule, rules } from "./rule.ts";

export const lossRules = rules("rewrite_history", {
	"git-lose-work": {
		verdict: "ask",
		reason: "throws away work that git has no copy of",
		suggestion: "Commit or stash it first.",
		match: [
			"git reset --hard",
			"git clean -fdx",
			"git checkout -- .",
			"git restore .",
			"git stash drop",
			"git stash clear",
			"git checkout -f main",
		],
		pass: [
			'git checkout --theirs -- "$conflicted"',
			"git restore --ours -- src/",
			"git reset HEAD file",
			"git clean -n",
			"git clean -fdx node_modules",
			"git checkout main",
			"git restore --staged x",
			"git stash pop",
			"git checkout -b x",
			"git checkout -- package-lock.json",
			"git restore src/a.ts",
		],
	},
	"git-rewrite-shared": {
		verdict: "ask",
		reason: "rewrites or deletes history that others may have",
		suggestion: "Push to a new branch; --force-with-lease at least notices others' work.",
		match: [
			"git push --force",
			"git push -f origin main",
			"git push origin +main",
			"git push origin --delete main",
			"git push origin :main",
			"git push --mirror",
			"git filter-branch --tree-filter 'rm x' HEAD",
			"git config remote.backup.push +refs/heads/main",
			"git -c remote.origin.mirror=true push origin",
			"GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=alias.up GIT_CONFIG_VALUE_0='push --force origin main' git up",
			"printf '[alias]\\n\\tup = push --force origin main\\n' > /tmp/g; git -c include.path=/tmp/g up",
			"git remote add --mirror=push copy git@example.com:a/b.git",
			"git fast-export --all | ./edit | git fast-import --force",
			"bfg --delete-files secrets.yml",
		],
		pass: [
			"git filter-branch --help",
			"git config remote.origin.push HEAD",
			"git remote add --mirror=fetch copy https://example.com/a/b.git",
			"git push",
			"git push -u origin feature",
			"git push origin --delete feature/done",
			"git push --tags",
		],
	},
	"git-lose-history": {
		verdict: "ask",
		reason: "deletes branches, reflogs or objects for good",
		match: [
			"git branch -D old",
			"git reflog expire --expire=now --all",
			"git gc --prune=now",
			"git update-ref -d refs/heads/x",
			"git worktree remove --force x",
			"git -c gc.pruneExpire=now gc",
			"git config gc.reflogExpire now",
		],
		pass: ["git config gc.reflogExpire 90.days", "git branch -d merged", "git reflog", "git gc", "git branch"],
	},
	"destroy-production": {
		verdict: "deny",
		reason: "deletes data or infrastructure that is called production, or everything of a kind there is",
		suggestion: "A person who answers for it does this, and not in an agent's session.",
		match: [
			"kubectl delete namespace production",
			"psql -h db.prod.example.com -c 'DROP SCHEMA public CASCADE'",
			"dropdb prod",
			"aws s3 rb s3://acme-prod-backups --force",
			"kubectl delete all --all --all-namespaces",
			"helm ls -A -q | xargs -n1 helm uninstall",
			"kubectl delete --raw /api/v1/namespaces/production",
			`kubectl delete -f <(echo '{"kind": "Namespace", "metadata": {"name": "prod"}}')`,
			"curl -X DELETE localhost:8001/apis/apps/v1/namespaces/prod/statefulsets/db",
			`mysql -e "SET @s = CONCAT('DROP ', 'SCHEMA prod'); PREPARE p FROM @s; EXECUTE p"`,
			'python3 -c \'import subprocess; subprocess.run(["psql"], input="drop database production")\'',
			"python3 -c 'from kubernetes import client; client.CoreV1Api().delete_namespace(\"production\")'",
		],
		pass: [
			"kubectl get pods -n production",
			"kubectl delete --raw /api/v1/namespaces/production/pods/web-1",
			"psql -h db.prod.example.com -c 'SELECT 1'",
		],
	},
	"cloud-destroy": {
		verdict: "ask",
		reason: "deletes infrastructure or data in a cloud or cluster",
		match: [
			"terraform destroy -auto-approve",
			"kubectl delete namespace shop",
			"aws s3 rb s3://b --force",
			"aws s3 rm s3://b --recursive",
			"gcloud projects delete x",
			"helm uninstall app",
			"az group delete -n x",
			"pulumi destroy",
			"kubectl get pvc -o name | xargs kubectl delete",
			"kubectl delete --raw /api/v1/persistentvolumes/pv-7",
			'python3 -c \'import boto3; boto3.client("rds").delete_db_instance(DBInstanceIdentifier="shop")\'',
			'node -e \'const {S3Client, DeleteBucketCommand: D} = require("@aws-sdk/client-s3"); new S3Client().send(new D({Bucket: "b"}))\'',
		],
		pass: [
			"kubectl get pods -o name | grep web | xargs kubectl delete pod",
			'echo \'{"kind": "Job"}\' | kubectl delete -f -',
			'python3 -c \'import boto3; boto3.client("s3", endpoint_url="http://localhost:4566").delete_bucket(Bucket="b")\'',
			"python3 -c 'import boto3; print(boto3.client(\"s3\").list_buckets())'",
			'python3 -c \'from kubernetes import client; client.CoreV1Api().delete_namespaced_pod("web", "shop")\'',
			"terraform plan",
			"kubectl get pods",
			"kind delete cluster --name ci",
			"kubectl delete ns pr-123",
			"terraform -chdir=envs/dev destroy",
			"aws s3 sync dist/ s3://www.example.com --delete",
			"aws s3 ls",
			"gcloud config list",
			"helm list",
			"kubectl delete pod x",
		],
	},
	"database-destroy": {
		verdict: "ask",
		reason: "deletes a database, a table or all of its rows",
		match: [
			"psql -c 'DROP DATABASE shop'",
			"mysql -e 'TRUNCATE users'",
			"redis-cli FLUSHALL",
			"dropdb shop",
			"mongosh --eval 'db.dropDatabase()'",
			"sqlite3 x.db 'DELETE FROM users;'",
			"psql shop <<< \"select 'drop table '||'users' \\\\gexec\"",
			"echo 'drop table users;' > /tmp/x.sql; psql shop -f /tmp/x.sql",
			"python3 -c 'import redis; redis.Redis().flushall()'",
			'python3 -c \'import psycopg2 as p; p.connect("dbname=shop").cursor().execute("truncate users")\'',
			"wget --method=DELETE http://db.example.com/users",
			"curl -H 'X-HTTP-Method-Override: DELETE' -X POST https://api.example.com/users/7",
		],
		pass: [
			"psql -c \"select 'create database app' where not exists (select 1) \\\\gexec\"",
			"python3 -c 'import redis; print(redis.Redis().get(\"a\"))'",
			'python3 -c \'import psycopg2 as p; p.connect("dbname=app_test").cursor().execute("truncate users")\'',
			"psql -c 'SELECT 1'",
			"sqlite3 x.db 'DELETE FROM users WHERE id=1'",
			"dropdb --if-exists app_test",
			"psql app_test -c 'TRUNCATE users'",
			"curl -XDELETE http://localhost:9200/test-index",
			"redis-cli GET x",
			"createdb test",
			"redis-cli -h 127.0.0.1 FLUSHDB",
			"RAILS_ENV=test bin/rails db:reset",
			"psql -h localhost -c 'DROP DATABASE IF EXISTS app_test'",
			"docker exec db psql -U postgres app_dev -c 'DELETE FROM sessions'",
			"python manage.py flush --no-input --settings=app.settings.test",
		],
	},
	"publish-or-unpublish": {
		verdict: "ask",
		reason: "publishes to, or withdraws from, a registry that everybody uses",
		match: [
			"npm publish",
			"npm unpublish left-pad --force",
			"cargo publish",
			"twine upload dist/*",
			"gem push x.gem",
			"gh repo delete a/b --yes",
			"gh release delete v1",
		],
		pass: [
			"npm pack",
			"npm publish --dry-run",
			"npm publish --registry http://localhost:4873",
			"gh run cancel 1",
			"cargo build",
			"gh repo view",
		],
	},
	"docker-destroy": {
		verdict: "ask",
		reason: "deletes containers' volumes or everything that docker holds",
		match: [
			"docker system prune -a --volumes",
			"docker volume rm data",
			"docker volume prune -f",
			"docker compose down -v",
			"docker rm -f $(docker ps -aq)",
			"python3 -c 'import docker; docker.from_env().volumes.prune()'",
			"curl -XPOST http://localhost:2375/volumes/prune",
		],
		pass: [
			"python3 -c 'import docker; docker.from_env().images.prune()'",
			"docker system df",
			"docker compose -f compose.test.yml down -v",
			"docker rm -f $(docker ps -aq --filter label=ci)",
			"docker rm x",
			"docker compose down",
			"docker image prune",
		],
	},
});
const l = lossRules;

/** Databases, indexes and containers by whose name nobody loses anything. */
const SCRATCH = /(^|[_-])(tests?|testing|tmp|temp|scratch|e2e|ci|dev|development|local)([_-]?\d{0,4})([_.-]|$)/i;
/** Stacks, namespaces and places that are made to be taken down again, by a part of their names. */
const PASSING =
	/(^|[._/:=-])(tests?|testing|tmp|temp|scratch|e2e|ci|dev|develop|development|local|staging|stage|preview|pr-?\d{1,6}|sandbox|playground|demo|review|ephemeral|canary)([._/-]|\d{1,6}|$)/i;
const LASTING = /prod|live|master|customer|backup/i;
/** Whether a command names what it takes down by such a name, and nothing else. */
const isPassing = (call: Call): boolean =>
	call.args.some(
		(arg) =>
			arg.length < 256 &&
			!arg.startsWith("/dev/") &&
			(PASSING.test(numbered(arg)) || /(Dev|Test|Staging|Preview|Sandbox)[A-Z]?\w{0,32}$/.test(arg)),
	) &&
	!call.args.some(
		(arg) => LASTING.test(arg) || /^(--all|-A|--all-namespaces)$/.test(arg) || (!isKnown(arg) && !PASSING.test(numbered(arg))),
	);
/** `pr-$NUMBER`: what is not known of such a name is its number. */
const numbered = (arg: string): string => arg.replace(/(?<=[\w-])[\uFFF9-\uFFFC]/g, "1");
/** Branches for one piece of work. */
const WORK_BRANCH =
	/^(origin\/)?(feature|feat|fix|bugfix|hotfix|chore|docs|refactor|test|tests|wip|tmp|temp|pr|dependabot|renovate|spike|try|users?|revert|ci|build|style|perf)[/_-]/;
/** Directories that the next build brings back. */
const REBUILT =
	/^(\.\/)?([\w.-]{1,64}\/){0,8}(node_modules|dist|build|out|target|coverage|__pycache__|\.next|\.nuxt|\.cache|\.venv|venv|tmp|\.turbo|\.pytest_cache)\/?$/;

/** Whether a site's or a build's directory is mirrored to where it is served from: that is how they are put out. */
function mirrorsBuild(call: Call): boolean {
	const operands = call.args.filter((arg) => !arg.startsWith("-"));
	const target = operands.at(-1) ?? "";
	const source = operands.at(-2) ?? "";
	if (!operands.some((arg) => /^(sync|rsync|cp|mirror)$/.test(arg))) return false;
	return (
		/^(\.\/)?[\w-][\w.-]{0,63}(\/[\w.-]{1,64}){0,8}\/?$/.test(source) &&
		!/empty|blank|null|nothing/i.test(source) &&
		/^(s3|gs):\/\/|^[\w-]{1,32}:/.test(target) &&
		!/prod-?(data|backup|db)|backup|uploads|archive/i.test(target)
	);
}

/** A few files, each by its name. */
const plainFiles = (paths: readonly string[]): boolean =>
	paths.length > 0 &&
	paths.length <= 3 &&
	paths.every((path) => /^[\w@+-][\w@+./-]{0,255}\.[A-Za-z0-9]{1,12}$/.test(path) && !path.includes(".."));

/** Whether words name what is made to be taken down again, and nothing that is there to stay. */
export const arePassing = (words: readonly string[]): boolean =>
	words.some((word) => word.length < 256 && (PASSING.test(word) || SCRATCH.test(word))) && !words.some((word) => LASTING.test(word));

/**
 * Objects to a loss; gravely, if it is production that is lost, or whatever a listing of everything has named. `also`: what names it
 * besides the arguments, such as a statement or a manifest.
 */
export function loses(call: Call, rule: Rule, also: readonly string[] = []): void {
	const production = [...call.args, ...call.environment.values(), ...also].some(
		(arg) => arg.length < 1024 && /(^|[^a-z])(prod|production)([^a-z]|$)/i.test(arg) && !/non-?prod|pre-?prod/i.test(arg),
	);
	const everything =
		call.args.some((arg) => /^(-A|--all-namespaces)$/.test(arg)) ||
		(call.via.includes("xargs") && /^(helm|aws|gcloud|az|doctl|hcloud|linode-cli|gh|glab|virsh|qm)$/.test(call.name)) ||
		(/^(kubectl|oc)$/.test(call.name) &&
			call.args.includes("--all") &&
			call.args.some((arg) => /^(ns|namespaces?|pvc?|nodes?|crds?)$/.test(arg)));
	call.hit(production || everything ? l["destroy-production"] : rule);
}

/** SQL that loses data: looked at statement by statement, comments off. */
export function losesData(sql: string): boolean {
	return sql
		.slice(0, 16_384)
		.replace(/--[^\n]{0,512}|\/\*[^*]{0,512}\*\//g, " ")
		.split(";")
		.some((statement) => {
			const text = statement.trim().toLowerCase();
			if (/^drop\s+(database|schema|table|user|owned|tablespace|keyspace|role|view|index|collection)\b/.test(text))
				return !/^drop\s+(table|view|index)\s+if\s+exists\s+(tmp|temp|test)/.test(text);
			if (/^truncate\b/.test(text)) return true;
			if (/^delete\s+from\s+\S+/.test(text)) return !/\bwhere\b(?!\s+(1\s*=\s*1|true)\b)/.test(text);
			if (/^update\s+\S+\s+set\b/.test(text)) return !/\bwhere\b/.test(text);
			return /^alter\s+table\s+\S+\s+drop\b/.test(text);
		});
}

/** What has a server run a text that the statement puts together first. */
const RUNS_TEXT = /\\gexec|\b(prepare|execute|exec|sp_executesql|dblink_exec)\b/i;

/** The texts that a statement has run: its strings, put together and decoded as it says. */
function statementsIn(sql: string): string[] {
	if (sql.length > 16_384 || !RUNS_TEXT.test(sql)) return [];
	const plain = sql
		.replace(
			/\b(?:0x|x')([0-9a-f]{8,4096})'?|\bunhex\(\s{0,4}'([0-9a-f]{8,4096})'\s{0,4}\)/gi,
			(_, bare, quoted) => `'${hexText(bare ?? quoted)}'`,
		)
		.replace(/\bfrom_base64\(\s{0,4}'([\w+/=]{8,4096})'\s{0,4}\)/gi, (_, text) => `'${base64Text(text) ?? ""}'`)
		.replace(/'\s{0,8}(?:\|\||\+)\s{0,8}'/g, "")
		.replace(/\bconcat(?:_ws)?\s{0,4}\(([^()]{1,4096})\)/gi, (_, pieces: string) => pieces.replace(/'\s{0,8},\s{0,8}'/g, ""));
	return [...plain.matchAll(/'((?:[^']|''){4,4096})'/g)].slice(0, 64).map(([, text = ""]) => text.replaceAll("''", "'"));
}

/** Files of statements that a client is given, or that a statement has it read. */
const statementFiles = (call: Call, options: Options, texts: readonly string[]): string[] =>
	[
		...options.values("-f", "--file"),
		...texts.flatMap((text) =>
			[...text.slice(0, 4096).matchAll(/(?:^|\n)\s{0,8}(?:\\i|\\ir|\\\.|source|\.read)\s{1,8}["']?([^\s;"']{1,512})/gi)].map(
				([, path = ""]) => path,
			),
		),
	].flatMap((path) => call.file(path) ?? []);

const sqlClient = (call: Call): void => {
	const options = new Options(
		call.args,
		`-c -h -U -d -p -P -f --command --execute --host --user --username --port --dbname --file --database ${call.name === "psql" ? "-v -F -R -T -o -L" : "-e -u -D -Q -q -S --query"}`,
	);
	const said = [
		...options.values("-c", "-e", "--command", "--execute", "-Q", "-q", "--query"),
		...(call.name === "sqlite3" || call.name === "duckdb" ? options.operands.slice(1) : []),
		...(call.stdin === null ? [] : [call.stdin]),
	];
	const written = [...said, ...statementFiles(call, options, said)];
	const texts = [...written, ...written.flatMap(statementsIn)];
	// `postgres://localhost:5432/app_test`
	const given = options.value("-d", "--dbname", "-D", "--database") ?? options.operands[0] ?? "";
	const url = /^[a-z+]{2,16}:\/\/[^\s]{1,512}$/.test(given) ? given : "";
	const database = /^(sqlite3|duckdb)$/.test(call.name)
		? given.replace(/^.*\/|\.\w{1,8}$/g, "")
		: url === ""
			? given
			: (url.split(/[?#]/, 1)[0] ?? "").replace(/^.*\//, "");
	if (/^(sqlite3|duckdb)$/.test(call.name) && /^\/tmp\//.test(given)) return;
	// A database that the statement itself names so.
	const named = texts.flatMap((text) =>
		[...text.slice(0, 4096).matchAll(/\bdrop\s{1,4}(?:database|schema)\s{1,4}(?:if\s{1,4}exists\s{1,4})?["'`]?([\w-]{1,64})/gi)].map(
			(match) => match[1] ?? "",
		),
	);
	if (
		named.length > 0 &&
		named.every((name) => SCRATCH.test(name)) &&
		!texts.some((text) => /\b(truncate|delete\s{1,4}from|drop\s{1,4}(table|role|user|owned))\b/i.test(text))
	)
		return;
	if (
		texts.every((text) => !/^\s{0,64}(drop\s{1,8}(database|role|user|owned)|\\c)/im.test(text)) &&
		/^[\w-]{1,64}$/.test(database) &&
		SCRATCH.test(database)
	)
		return;
	if (texts.some(losesData)) loses(call, l["database-destroy"], texts);
};

/** Settings of git that do what an option of the same force does, whenever a plain command comes. */
const FORCING: readonly [RegExp, Rule][] = [
	[/^remote\.[^=]{1,128}\.(push=\s{0,4}(\+|:.)|mirror=(true|yes|on|1)$)/i, l["git-rewrite-shared"]],
	[/^gc\.([^=]{1,128}\.)?(reflogexpire|reflogexpireunreachable|pruneexpire)=(now|all|0)$/i, l["git-lose-history"]],
];
/** What a git command sets: for itself with `-c`, or to stay. */
const settingsOf = (args: readonly string[], verb: string, operands: readonly string[]): string[] => {
	const [key = "", ...value] = operands[0] === "set" ? operands.slice(1) : operands;
	return [...args.filter((_, at) => args[at - 1] === "-c"), ...(verb === "config" ? [`${key}=${value.join(" ")}`] : [])];
};

/** Kinds of a cluster's resources with which more is lost than what is started again by itself. */
const LASTING_KIND =
	/^(ns|namespaces?|pvc?|persistentvolume(claim)?s?|crds?|customresourcedefinitions?|nodes?|deployments?|deploy|statefulsets?|sts|secrets?|clusterrole(binding)?s?|all)(\/|$)/i;
/** Whether a path of a cluster's API is such a resource, or all of a kind: `/api/v1/namespaces/x`. */
function isLastingResource(path: string): boolean {
	const parts = (path.split(/[?#]/, 1)[0] ?? "").split("/", 32).filter(Boolean);
	const from = parts.findIndex((part) => /^v\d/.test(part));
	if (!/^apis?$/.test(parts[0] ?? "") || from < 0) return false;
	const within = parts.slice(from + 1);
	const resource = within[0] === "namespaces" && within.length > 2 ? within.slice(2) : within;
	return resource.length === 1 || LASTING_KIND.test(resource[0] ?? "");
}
/** What a manifest, as JSON or YAML, says of its resources. */
const manifestKinds = (text: string): string[] =>
	[...text.slice(0, 16_384).matchAll(/(?:^|[\s{,])["']?kind["']?\s{0,4}:\s{0,4}["']?(\w{1,64})/g)].map(([, kind = ""]) => kind);
const namesIn = (text: string): string[] =>
	[...text.slice(0, 16_384).matchAll(/(?:^|[\s{,])["']?name(?:space)?["']?\s{0,4}:\s{0,4}["']?([\w.-]{1,128})/g)].map(
		([, name = ""]) => name,
	);

/** Whether what is deleted there lasts: a store's data, a cluster's resources, whatever another machine serves. */
export const isLastingUrl = (url: string): boolean =>
	!/^(https?:\/\/)?([\w-]{1,63}\.){0,4}(staging|stage|dev|test|sandbox|preview)\./.test(url) &&
	!(isLoopback(hostOf(url)) && SCRATCH.test(url.slice(url.lastIndexOf("/") + 1))) &&
	(/:(9200|9201|7700|8108|6333|8983|5984|2379|8500|15672|8001|9090|8086)(\/|$)|elastic|\/\*/.test(url) ||
		isLastingResource(pathOf(url)) ||
		(/^https?:\/\//.test(url) && !isLoopback(hostOf(url)) && hostOf(url) !== ""));
const pathOf = (url: string): string => /^(?:https?:\/\/)?[\w.:[\]-]{1,256}(\/[^?#]{0,2048})/.exec(url)?.[1] ?? "";

/** The method of a request that a client is told to make. */
function methodOf(call: Call): string {
	const { args } = call;
	if (/^(http|https|xh|httpie|curlie)$/.test(call.name)) return args.find((arg) => /^[A-Z]{3,7}$/.test(arg)) ?? "";
	const overridden = args
		.map((arg) => /^x-http-method(?:-override)?:\s{0,4}(\w{1,16})/i.exec(arg)?.[1])
		.find((method) => method !== undefined);
	if (overridden !== undefined) return overridden.toUpperCase();
	for (const [at, arg] of args.entries()) {
		const joined = /^(?:-[a-zA-Z]{0,8}X=?|--(?:request|method)=)(\w{1,16})$/.exec(arg)?.[1];
		const next = /^(-[a-zA-Z]{0,8}X|--request|--method|-m)$/.test(arg) && !(arg === "-m" && call.name !== "lwp-request");
		const method = joined ?? (next ? args[at + 1] : undefined);
		if (method !== undefined) return method.toUpperCase();
	}
	return "";
}

const isForce = (options: Options): boolean =>
	options.has("-f", "--force") || options.has("-y", "--yes", "--auto-approve", "-auto-approve");

export const lossJudges: Judges = [
	each("git", (call) => {
		let index = 0;
		while (index < call.args.length && /^-/.test(call.args[index] ?? ""))
			index += /^(-c|-C|--git-dir|--work-tree|--namespace)$/.test(call.args[index] ?? "") ? 2 : 1;
		const verb = call.args[index] ?? "";
		const rest = call.args.slice(index + 1);
		const options = new Options(rest, verb === "clean" ? "-e --exclude" : "-m -b -B -s --source -o -x --exec -u");
		const [first = "", ...more] = options.operands;
		const cleaned = verb === "clean" ? new Options(rest, "-e --exclude").operands : [];
		if (rest.includes("--help")) return;
		for (const setting of settingsOf(
			call.args.slice(0, index + 1),
			verb,
			rest.filter((arg) => !arg.startsWith("-")),
		))
			for (const [forces, rule] of FORCING) if (forces.test(setting)) call.hit(rule);
		switch (verb) {
			case "reset":
				if (options.has("--hard", "--merge")) call.hit(l["git-lose-work"]);
				break;
			case "clean":
				if (
					(options.has("-f", "--force") || call.args.slice(0, index).some((arg) => /^clean\.requireforce=(false|0|no|off)$/i.test(arg))) &&
					!options.has("-n", "--dry-run") &&
					!(cleaned.length > 0 && cleaned.every((path) => REBUILT.test(path)))
				)
					call.hit(l["git-lose-work"]);
				break;
			case "checkout":
				// Which side of a conflict holds: both are in git.
				if (options.has("--ours", "--theirs")) break;
				// One's own change to a file or two, taken back.
				if (rest.includes("--") && !options.has("-f", "--force") && plainFiles(rest.slice(rest.indexOf("--") + 1))) break;
				if (
					options.has("-f", "--force") ||
					rest.includes("--") ||
					first === "." ||
					first === ":/" ||
					more.some((one) => one === ".") ||
					(more.length > 0 && !rest.some((arg) => /^-[bBt]|^--(track|orphan|detach)/.test(arg)))
				)
					call.hit(l["git-lose-work"]);
				break;
			case "apply":
				// `git diff | git apply -R`: all that has been changed, taken back.
				if (options.has("-R", "--reverse") && call.stdin !== null && options.operands.length === 0) call.hit(l["git-lose-work"]);
				break;
			case "switch":
				if (options.has("-f", "--force", "--discard-changes", "-C")) call.hit(l["git-lose-work"]);
				break;
			case "restore":
				if (plainFiles(options.operands) || options.has("--ours", "--theirs")) break;
				if (!options.has("--staged", "-S") || options.has("-W", "--worktree")) call.hit(l["git-lose-work"]);
				break;
			case "stash":
				if (first === "drop" || first === "clear") call.hit(l["git-lose-work"]);
				break;
			case "rm":
				if (options.has("-f", "--force") && !options.has("--cached") && options.has("-r")) call.hit(l["git-lose-work"]);
				break;
			case "worktree":
				if (first === "remove" && options.has("-f", "--force") && !more.every((path) => /^\/tmp\//.test(path)))
					call.hit(l["git-lose-history"]);
				break;
			case "remote":
				if (first === "add" && options.has("--mirror") && options.value("--mirror") !== "fetch") call.hit(l["git-rewrite-shared"]);
				break;
			case "fast-import":
				if (options.has("--force")) call.hit(l["git-rewrite-shared"]);
				break;
			case "push":
			case "send-pack":
			case "http-push":
				if (
					options.has("--delete", "-d") &&
					!options.has("-f", "--force", "--mirror", "--prune") &&
					options.operands.length > 1 &&
					options.operands.slice(1).every((branch) => WORK_BRANCH.test(branch))
				)
					break;
				// Branches and tags that are made anew each time.
				if (
					!options.has("--mirror", "--prune", "--all", "--tags") &&
					options.operands.length > 1 &&
					options.operands.slice(1).every((ref) => /(^|[:/])(gh-pages|pages|nightly|latest|edge|canary|snapshot)$/.test(ref))
				)
					break;
				if (
					options.has("-f", "--force", "--mirror", "--delete", "-d", "--prune") ||
					options.operands.some((ref, at) => at > 0 && /^(\+|:.)/.test(ref))
				)
					call.hit(l["git-rewrite-shared"]);
				break;
			case "rebase":
				if (options.has("--root")) call.hit(l["git-rewrite-shared"]);
				break;
			case "submodule":
				if (first === "deinit" && options.has("-f", "--force")) call.hit(l["git-lose-work"]);
				break;
			case "filter-branch":
			case "filter-repo":
				call.hit(l["git-rewrite-shared"]);
				break;
			case "branch":
				if (options.has("-D", "-M", "-C") || (options.has("-d", "--delete") && options.has("-f", "--force")))
					call.hit(l["git-lose-history"]);
				break;
			case "read-tree":
			case "checkout-index":
				if (options.has("-u", "-f", "--reset", "--force")) call.hit(l["git-lose-work"]);
				break;
			case "lfs":
				if (first === "prune") call.hit(l["git-lose-history"]);
				break;
			case "symbolic-ref":
			case "replace":
				if (options.has("-d", "--delete")) call.hit(l["git-lose-history"]);
				break;
			case "reflog":
				if (first === "expire" || first === "delete") call.hit(l["git-lose-history"]);
				break;
			case "gc":
			case "prune":
				if (verb === "gc" && options.values("--prune").some((when) => when === "now" || when === "all")) call.hit(l["git-lose-history"]);
				break;
			case "update-ref":
				if (options.has("-d", "--delete")) call.hit(l["git-lose-history"]);
				break;
		}
	}),
	each("terraform tofu terragrunt", (call) => {
		const verb = call.args.find((arg) => !arg.startsWith("-"));
		if (isPassing(call) && verb !== "state") return;
		if (
			verb === "destroy" ||
			(verb === "apply" && call.args.some((arg) => /^-{1,2}destroy$/.test(arg))) ||
			(verb === "state" && call.args.includes("rm")) ||
			(verb === "workspace" && call.args.includes("delete"))
		)
			loses(call, l["cloud-destroy"]);
		if (verb === "run-all" && call.args.includes("destroy")) loses(call, l["cloud-destroy"]);
		if (verb === "taint") loses(call, l["cloud-destroy"]);
	}),
	each(
		"pulumi cdk sls serverless copilot eksctl flyctl fly heroku vercel netlify railway firebase wrangler doctl linode-cli hcloud ibmcloud oci openstack civo render supabase vault op doppler velero kafka-topics kafka-topics.sh rabbitmqctl zfs zpool etcdctl nomad consul bosh cf juju argocd flux restic borg borgmatic fastly circleci ldcli flipt unleash datadog-ci newrelic pd splunk stripe sendgrid mailgun apigeecli deck kong jenkins-cli nats rabbitmqadmin kafka-configs kafka-acls kafka-consumer-groups kafka-delete-records kafka-delete-records.sh snapper azcopy cloudflared traefik rancher kops kubeadm skaffold helmfile kustomize meilisearch algolia elasticdump curator glab jfrog nexus temporal airflow dbt influx clickhouse neo4j-admin couchbase-cli cockroach vtctl pscale turso neonctl",
		(call) => {
			if (isPassing(call)) return;
			// What is older than what is kept.
			if (call.args.some((arg) => /^--keep-(last|daily|weekly|monthly|within)/.test(arg))) return;
			// Its database on this machine, which the migrations make again.
			if (call.name === "supabase" && call.args[0] === "db" && !call.args.some((arg) => /^--(linked|db-url)/.test(arg))) return;
			if (
				call.args.some((arg) =>
					/^(destroy|remove|delete|rm|del|disable|reset|--delete|delete[_-][a-z-]{1,24}|[a-z]{1,16}-delete|purge[_-][a-z-]{1,24}|force_reset|drop|forget|prune|uninstall|terminate|--purge|--prune|wipe|flush|del-[a-z]{1,16}|apps:destroy|pg:reset|addons:destroy|purge|(projects|firestore|hosting|database|functions|sites):(delete|remove|disable))$/.test(
						arg,
					),
				) &&
				!call.args.includes("--help")
			)
				loses(call, l["cloud-destroy"]);
		},
	),
	each("kubectl oc", (call) => {
		const operands = call.args.filter((arg) => !arg.startsWith("-"));
		const at = operands.findIndex((arg) => arg === "delete" || arg === "drain" || arg === "replace");
		if (at < 0 || (operands[at] === "delete" && isPassing(call))) return;
		const options = new Options(call.args, "-n -f -l -o --namespace --filename --raw --context --selector");
		const kinds = (operands[at + 1] ?? "").split(",");
		if (operands[at] === "drain") loses(call, l["cloud-destroy"]);
		else if (operands[at] === "replace") {
			if (call.args.includes("--force")) loses(call, l["cloud-destroy"]);
		} else if (
			call.args.some((arg) => /^(--all|--all=true|-A|--all-namespaces|--force|--grace-period=0|-k|--kustomize)$/.test(arg)) ||
			kinds.some((kind) => LASTING_KIND.test(kind)) ||
			// Of whatever kind: `kubectl get ... -o name | xargs kubectl delete`.
			(kinds.length === 1 && kinds[0] !== "" && squeezed(kinds[0] ?? "") === "" && !options.has("-f", "--filename")) ||
			options.values("--raw").some(isLastingResource)
		)
			loses(call, l["cloud-destroy"]);
		for (const file of options.values("-f", "--filename")) {
			const manifest = (file === "-" || file === "/dev/stdin" ? call.stdin : call.file(file)) ?? "";
			const named = namesIn(manifest);
			if (manifestKinds(manifest).some((kind) => LASTING_KIND.test(kind)) && !arePassing(named)) loses(call, l["cloud-destroy"], named);
		}
	}),
	each("helm", (call) => {
		if (isPassing(call)) return;
		if (call.args.some((arg) => /^(uninstall|delete|del|un)$/.test(arg))) loses(call, l["cloud-destroy"]);
	}),
	each("aws", (call) => {
		const [service = "", verb = ""] = new Options(call.args, AWS_OPTIONS).operands;
		if (isPassing(call)) return;
		if (
			service === "s3" &&
			!(verb !== "rm" && verb !== "rb" && mirrorsBuild(call)) &&
			(verb === "rb" || (verb === "rm" && call.args.includes("--recursive")) || (verb === "sync" && call.args.includes("--delete")))
		)
			loses(call, l["cloud-destroy"]);
		else if (
			/^(delete|terminate|deregister-(?!targets|instances|task-definition|container)|remove|purge|schedule-key-deletion|destroy|reset|batch-delete)/.test(
				verb,
			) &&
			service !== "s3"
		)
			loses(call, l["cloud-destroy"]);
	}),
	each("gcloud", (call) => {
		if (isPassing(call)) return;
		if (call.args.includes("delete") || call.args.includes("destroy")) loses(call, l["cloud-destroy"]);
	}),
	each("gsutil", (call) => {
		if (mirrorsBuild(call) || isPassing(call)) return;
		if (
			call.args.includes("rb") ||
			(call.args.includes("rm") && call.args.some((arg) => /^-[a-zA-Z]{0,4}[rR]|\*\*/.test(arg))) ||
			(call.args.includes("rsync") && call.args.includes("-d"))
		)
			loses(call, l["cloud-destroy"]);
	}),
	each("az", (call) => {
		if (call.args.some((arg) => /^(delete|purge|delete-batch)$/.test(arg))) loses(call, l["cloud-destroy"]);
	}),
	each("rclone mc s3cmd s5cmd", (call) => {
		if (
			(!(call.args.includes("sync") && mirrorsBuild(call)) &&
				call.args.some((arg) => /^(purge|delete|rb|sync|--delete-removed|--recursive-delete|deletefile)$/.test(arg))) ||
			(call.args.includes("rm") && call.args.some((arg) => /recursive|^-r/.test(arg)))
		)
			loses(call, l["cloud-destroy"]);
	}),
	each(
		"psql mysql mariadb sqlite3 duckdb cockroach sqlcmd mycli pgcli clickhouse-client cqlsh isql usql impala-shell hive beeline sqlplus",
		sqlClient,
	),
	each("redis-cli valkey-cli keydb-cli", (call) => {
		// One numbered database of a server on this machine is somebody's scratch.
		const options = new Options(call.args, "-h -p -n -a -u -s -t");
		const local = options.values("-h").some(isLoopback) || /^[1-9]/.test(options.value("-n") ?? "");
		if (local && options.operands.some((arg) => /^flushdb$/i.test(arg))) return;
		if (
			[...call.args, call.stdin ?? ""].some((arg) => /^\s{0,64}(flushall|flushdb|shutdown|debug segfault)\b/im.test(arg)) ||
			/config set (save|dir|dbfilename)/i.test(call.args.join(" "))
		)
			loses(call, l["database-destroy"]);
	}),
	each("mongo mongosh", (call) => {
		if (
			!call.args.some(
				(arg) => /^[\w-]{1,64}$|^mongodb:\/\/(localhost|127\.0\.0\.1)[:/]/.test(arg) && SCRATCH.test(arg.slice(arg.lastIndexOf("/") + 1)),
			) &&
			[...call.args, call.stdin ?? ""].some((arg) =>
				/dropDatabase|\.drop\(|deleteMany\(\s*(\{\s*\})?\s*\)|\.remove\(\s*\{\s*\}\s*\)/.test(arg),
			)
		)
			loses(call, l["database-destroy"]);
	}),
	each("ssh-add", (call) => {
		if (call.args.includes("-D")) call.hit(l["git-lose-work"]);
	}),
	each("nginx", (call) => {
		if (call.args.some((arg, at) => arg === "-s" && /^(stop|quit)$/.test(call.args[at + 1] ?? ""))) loses(call, l["cloud-destroy"]);
	}),
	// Machines in machines.
	each("vim-cmd esxcli virsh VBoxManage vmrun qm pct xe multipass govc", (call) => {
		if (
			!call.args.some((arg) =>
				/^(vmsvc\/(destroy|unregister|snapshot\.removeall)|destroy|undefine|unregistervm|deleteVM|vm-destroy|vm-uninstall|delete|purge|vm\.destroy)$/.test(
					arg,
				),
			)
		)
			return;
		call.hit(l[call.args.some((arg) => !isKnown(arg)) ? "destroy-production" : "cloud-destroy"]);
	}),
	each("mongorestore", (call) => {
		if (call.args.includes("--drop")) loses(call, l["database-destroy"]);
	}),
	each("python", (call) => {
		if (call.args.some((arg) => /^--settings=/.test(arg) && /(^|[._=])(test|tests|testing|ci|local|dev|development)$/.test(arg))) return;
		if (/manage\.py$/.test(call.args[0] ?? "") && /^(flush|reset_db|sqlflush)$/.test(call.args[1] ?? ""))
			loses(call, l["database-destroy"]);
	}),
	each("curl wget http https xh httpie curlie lwp-request", (call) => {
		const method = methodOf(call);
		if (method !== "DELETE" && method !== "POST") return;
		const urls = call.args.filter((arg) => /^(https?:\/\/|[\w.-]{1,253}(:\d{1,5})?\/)/.test(arg));
		if (method === "DELETE" && urls.some(isLastingUrl)) loses(call, l["database-destroy"], urls.map(pathOf));
		if (urls.some((url) => /^(\/v[\d.]{1,8})?\/(volumes|system)\/prune$/.test(pathOf(url)) && method === "POST"))
			call.hit(l["docker-destroy"]);
		if (urls.some((url) => /\/_delete_by_query$/.test(pathOf(url)) && isLastingUrl(url))) loses(call, l["database-destroy"]);
	}),
	each("bfg git-filter-repo git-filter-branch", (call) => {
		if (!call.args.some((arg) => /^(--help|--version|--analyze|--dry-run)$/.test(arg))) call.hit(l["git-rewrite-shared"]);
	}),
	each("php", (call) => {
		if (call.args.some((arg) => /^--env=(testing|test|local|ci)$/.test(arg))) return;
		if (/artisan$/.test(call.args[0] ?? "") && /^(migrate:(fresh|reset|refresh|rollback)|db:wipe)$/.test(call.args[1] ?? ""))
			loses(call, l["database-destroy"]);
	}),
	each("btrfs", (call) => {
		if (call.args.includes("delete") || call.args.includes("del")) loses(call, l["cloud-destroy"]);
	}),
	each("dropdb dropuser", (call) => {
		const { operands } = new Options(call.args, "-h -p -U --host --port --username --maintenance-db");
		if (operands.length !== 1 || !SCRATCH.test(operands[0] ?? "")) loses(call, l["database-destroy"]);
	}),
	each("mysqladmin", (call) => {
		if (call.args.includes("drop")) loses(call, l["database-destroy"]);
	}),
	each("rails rake bin/rails", (call) => {
		if (
			["RAILS_ENV", "RACK_ENV"].some((name) => /^(test|ci|development)$/.test(call.environment.get(name) ?? call.variable(name) ?? "")) ||
			call.args.some((arg) => /^RA(ILS|CK)_ENV=(test|development)$/.test(arg))
		)
			return;
		if (call.args.some((arg) => /^db:(drop|reset|purge|truncate|migrate:reset)/.test(arg))) loses(call, l["database-destroy"]);
	}),
	each("prisma sequelize artisan knex alembic", (call) => {
		const url = call.environment.get("DATABASE_URL") ?? call.variable("DATABASE_URL") ?? "";
		if (/^[a-z+]{2,16}:\/\/[^\s]{1,512}$/.test(url) && SCRATCH.test((url.split(/[?#]/, 1)[0] ?? "").replace(/^.*\//, ""))) return;
		if (/^(test|testing|ci|development|local)$/.test(call.environment.get("NODE_ENV") ?? call.environment.get("APP_ENV") ?? "")) return;
		if (
			call.args.some((arg) => /^(reset|db:drop|migrate:(fresh|reset|refresh)|db:wipe|--force-reset|base)$/.test(arg)) &&
			!call.args.includes("--help")
		)
			loses(call, l["database-destroy"]);
	}),
	each("npm yarn pnpm cargo", (call) => {
		const verb = call.args.find((arg) => !arg.startsWith("-") && arg !== "npm") ?? "";
		// A registry on this machine, for trying it.
		if (
			call.args.some(
				(arg, at) =>
					/^--registry/.test(at > 0 && !arg.startsWith("-") ? (call.args[at - 1] ?? "") : arg) &&
					isLoopback(hostOf(arg.replace(/^--registry=/, ""))),
			)
		)
			return;
		if (/^(publish|unpublish|deprecate|yank|owner)$/.test(verb) && !call.args.includes("--dry-run")) call.hit(l["publish-or-unpublish"]);
	}),
	each("twine", (call) => {
		if (call.args.some((arg) => /testpypi|^test\.pypi\.org/.test(arg))) return;
		if (call.args.includes("upload")) call.hit(l["publish-or-unpublish"]);
	}),
	each("poetry uv hatch flit", (call) => {
		if (call.args.some((arg) => /^(-r|--repository|--index)?=?test-?pypi$|test\.pypi\.org/.test(arg))) return;
		if (call.args[0] === "publish" && !call.args.includes("--dry-run")) call.hit(l["publish-or-unpublish"]);
	}),
	each("gem", (call) => {
		if (call.args[0] === "push" || call.args[0] === "yank") call.hit(l["publish-or-unpublish"]);
	}),
	each("gh glab hub", (call) => {
		const [what = "", verb = "", which = ""] = call.args.filter((arg) => !arg.startsWith("-"));
		if (what === "release" && /^(nightly|latest|edge|canary|snapshot|dev|preview)$/.test(which)) return;
		if (
			/^(delete|archive|rename|disable|remove|cancel)$/.test(verb) &&
			/^(repo|release|secret|variable|environment|webhook|hook|project|codespace|ruleset|gist|ssh-key|gpg-key)$/.test(what)
		)
			loses(call, l["publish-or-unpublish"]);
		if (what === "api" && call.args.some((arg, at) => /^(-X|--method)$/.test(arg) && /^delete$/i.test(call.args[at + 1] ?? "")))
			call.hit(l["publish-or-unpublish"]);
		if (what === "api" && call.args.some((arg) => /^(-XDELETE|--method=DELETE)$/i.test(arg))) call.hit(l["publish-or-unpublish"]);
	}),
	each("docker podman nerdctl docker-compose", (call) => {
		const args = call.name === "docker-compose" ? ["compose", ...call.args] : call.args;
		const own = new Options(args, "-c --context -H --host -l --log-level --config --tlscacert --tlscert --tlskey", true).operands;
		const operands = own.filter((arg) => !arg.startsWith("-"));
		const has = (...words: string[]): boolean => words.every((word, at) => operands[at] === word);
		const options = new Options(args);
		const volumes = options.has("-v", "--volumes");
		// What a test has put up is taken down with all that it has written.
		if (
			operands[0] === "compose" &&
			args.some((arg, at) => /^(-f|-p|--file|--project-name)$/.test(args[at - 1] ?? "") && PASSING.test(arg) && !LASTING.test(arg))
		)
			return;
		if (
			has("volume", "rm") &&
			operands.slice(2).every((name) => PASSING.test(name.replaceAll("_", "-")) || /node_?modules|cache/.test(name))
		)
			return;
		if (
			(has("system", "prune") && volumes) ||
			has("volume", "rm") ||
			has("volume", "prune") ||
			has("volume", "remove") ||
			has("swarm", "leave") ||
			has("stack", "rm") ||
			has("service", "rm")
		)
			call.hit(l["docker-destroy"]);
		// What this script itself has put up, or takes down at its end.
		if (operands[0] === "compose" && operands.includes("down") && volumes && !call.via.includes("trap") && !call.did("compose up"))
			call.hit(l["docker-destroy"]);
		if (operands[0] === "compose" && operands.includes("rm") && volumes) call.hit(l["docker-destroy"]);
		if (
			(has("rm") || has("container", "rm") || has("rmi")) &&
			isForce(options) &&
			operands.slice(1).some((arg) => /[\uFFF9-\uFFFC]/.test(arg))
		)
			call.hit(l["docker-destroy"]);
	}),
	each("crontab", () => undefined),
];
