import { isKnown } from "../words.ts";
import { type Call, each, hostOf, isLoopback, type Judges, Options, type Rule, rules } from "./rule.ts";

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
		],
		pass: ["git push", "git push -u origin feature", "git push origin --delete feature/done", "git push --tags"],
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
		],
		pass: ["git branch -d merged", "git reflog", "git gc", "git branch"],
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
		],
		pass: ["kubectl get pods -n production", "psql -h db.prod.example.com -c 'SELECT 1'"],
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
		],
		pass: [
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
		],
		pass: [
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
		],
		pass: [
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
		(arg) => arg.length < 256 && (PASSING.test(numbered(arg)) || /(Dev|Test|Staging|Preview|Sandbox)[A-Z]?\w{0,32}$/.test(arg)),
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

/** Objects to a loss; gravely, if it is production that is lost, or whatever a listing of everything has named. */
function loses(call: Call, rule: Rule): void {
	const production = [...call.args, ...call.environment.values()].some(
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

const sqlClient = (call: Call): void => {
	const options = new Options(
		call.args,
		`-c -h -U -d -p -P -f --command --execute --host --user --username --port --dbname --file --database ${call.name === "psql" ? "-v -F -R -T -o -L" : "-e -u -D -Q -q -S --query"}`,
	);
	const texts = [
		...options.values("-c", "-e", "--command", "--execute", "-Q", "-q", "--query"),
		...(call.name === "sqlite3" || call.name === "duckdb" ? options.operands.slice(1) : []),
		...(call.stdin === null ? [] : [call.stdin]),
	];
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
	if (texts.some(losesData)) loses(call, l["database-destroy"]);
};

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
			case "switch":
				if (options.has("-f", "--force", "--discard-changes", "-C")) call.hit(l["git-lose-work"]);
				break;
			case "restore":
				if (plainFiles(options.operands)) break;
				if (!options.has("--staged", "-S") || options.has("-W", "--worktree")) call.hit(l["git-lose-work"]);
				break;
			case "stash":
				if (first === "drop" || first === "clear") call.hit(l["git-lose-work"]);
				break;
			case "rm":
				if (options.has("-f", "--force") && !options.has("--cached") && options.has("-r")) call.hit(l["git-lose-work"]);
				break;
			case "worktree":
				if (first === "remove" && options.has("-f", "--force")) call.hit(l["git-lose-history"]);
				break;
			case "push":
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
		const kinds = (operands[at + 1] ?? "").split(",");
		if (operands[at] === "drain") loses(call, l["cloud-destroy"]);
		else if (operands[at] === "replace") {
			if (call.args.includes("--force")) loses(call, l["cloud-destroy"]);
		} else if (
			call.args.some((arg) => /^(--all|--all=true|-A|--all-namespaces|--force|--grace-period=0|-k|--kustomize)$/.test(arg)) ||
			kinds.some((kind) =>
				/^(ns|namespaces?|pvc?|persistentvolume(claim)?s?|crds?|customresourcedefinitions?|nodes?|deployments?|deploy|statefulsets?|sts|secrets?|clusterrole(binding)?s?|all)(\/|$)/.test(
					kind,
				),
			)
		)
			loses(call, l["cloud-destroy"]);
	}),
	each("helm", (call) => {
		if (isPassing(call)) return;
		if (call.args.some((arg) => /^(uninstall|delete|del|un)$/.test(arg))) loses(call, l["cloud-destroy"]);
	}),
	each("aws", (call) => {
		const [service = "", verb = ""] = call.args.filter((arg) => !arg.startsWith("-"));
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
	each("curl", (call) => {
		if (
			call.args.some(
				(arg, at) => /^-XDELETE$|^--request=DELETE$/.test(arg) || (/^(-X|--request)$/.test(call.args[at - 1] ?? "") && arg === "DELETE"),
			) &&
			call.args.some(
				(arg) =>
					!/^(https?:\/\/)?([\w-]{1,63}\.){0,4}(staging|stage|dev|test|sandbox|preview)\./.test(arg) &&
					!(isLoopback(hostOf(arg)) && SCRATCH.test(arg.slice(arg.lastIndexOf("/") + 1))) &&
					(/:(9200|9201|7700|8108|6333|8983|5984|2379|8500|15672|8001|9090|8086)(\/|$)|elastic|\/\*/.test(arg) ||
						(/^https?:\/\//.test(arg) && !isLoopback(hostOf(arg)) && hostOf(arg) !== "")),
			)
		)
			loses(call, l["database-destroy"]);
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
