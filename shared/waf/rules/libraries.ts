import { accessRules } from "./access.ts";
import { arePassing, isLastingUrl, loses, losesData, lossRules } from "./loss.ts";
import { exfiltrateRules, isMetadata, isShady, remoteRules } from "./network.ts";
import { type Call, hostOf, isLoopback, type Rule } from "./rule.ts";

/*
 * What program texts have services do through their libraries: the same as a command line's tools would, and judged by the same rules.
 */

interface Library {
	/** By what its users can be told. */
	is: RegExp;
	/** Its calls that matter. */
	does: RegExp;
	rule: Rule;
}

const CLOUD =
	/\b(aio)?boto(3|core)\b|\bgoogle\.cloud\b|\bgoogleapiclient\b|\bazure\.(mgmt|storage|identity|cosmos)\b|@aws-sdk\/|['"]aws-sdk['"/]|@google-cloud\/|@azure\/|\bAws::|\blibcloud\b|\bopenstack\.connect|\bhcloud\b|\bdigitalocean\b|\bpydo\b|\blinode_api4\b|\bCloudFlare\b|\bcloudflare['"]/;
const KUBERNETES = /\bkubernetes(_asyncio)?\b|@kubernetes\/client-node|\bk8s\.io\/client-go\b|\blightkube\b|\bpykube\b|\bkubeclient\b/i;
const DOCKER = /\bimport docker\b|\bfrom docker import\b|\bdocker\.(from_env|DockerClient)\b|\bDockerClient\b|\bdockerode\b|\baiodocker\b/;
const STORES =
	/\b(pymongo|motor|mongoose|MongoClient|redis|ioredis|aioredis|valkey|elasticsearch|opensearchpy|@elastic\/|cassandra|influxdb|chromadb|qdrant_client|pymilvus|neo4j)\b/i;
const KEYRINGS =
	/\bsecretstorage\b|\bbrowser_?cookie3\b|\bkeytar\b|\bwin32crypt\b|\blibsecret\b|\bSecret\b|\bgnomekeyring\b|\borg\.freedesktop\.secrets\b/i;

const LIBRARIES: readonly Library[] = [
	{
		is: CLOUD,
		// One message or one row is no more than what it has been made for.
		does: /(?<!["'\w])(delete|terminate|destroy|purge|empty|force_delete|batch_delete)(?!_?(message|item|object\b|log_stream|marker))_?\w{0,64}\s{0,2}\(|\.(delete|destroy|terminate|clear)!|\b(Delete|Terminate|Purge)(?!Message|Item|ObjectCommand)[A-Z]\w{2,48}Command\b|\bbegin_delete\w{0,32}\(|\.schedule_key_deletion\(/,
		rule: lossRules["cloud-destroy"],
	},
	{
		is: KUBERNETES,
		does: /\bdelete_?(collection|node|namespace(?!d)|persistent|custom_?resource_?def|cluster_?role|namespaced_(deployment|stateful|persistent|secret))\w{0,64}\s{0,2}\(|\bdelete(Collection|Node|Namespace(?!d)|Persistent|CustomResourceDef|ClusterRole|Namespaced(Deployment|Stateful|Persistent|Secret))\w{0,64}\s{0,2}\(/,
		rule: lossRules["cloud-destroy"],
	},
	{
		is: DOCKER,
		does: /\bvolumes?(\(\))?\.prune\s{0,2}\(|\bprune_?volumes\s{0,2}\(|\bremove_?volume\s{0,2}\(|\bvolumes?\.(get|list)\([^()]{0,128}\)[\s\S]{0,128}\.remove\s{0,2}\(|\bgetVolume\([^()]{0,128}\)\.remove\s{0,2}\(/i,
		rule: lossRules["docker-destroy"],
	},
	{
		is: STORES,
		does: /\b(flushall|flushdb|drop_?database|drop_?collection|delete_?collection|drop_?keyspace)\s{0,2}\(|\bdelete_?many\s{0,2}\(\s{0,2}(\{\s{0,2}\})?\s{0,2}\)|\.drop\s{0,2}\(\s{0,2}\)|\bindices\.delete\s{0,2}\(|\bdelete_?by_?query\s{0,2}\(/i,
		rule: lossRules["database-destroy"],
	},
	{
		is: KEYRINGS,
		does: /\b(get_?secrets?|get_all_items|search_items|find_?credentials|CryptUnprotectData|password_(lookup|search)\w{0,8}|item_get_info_sync|browser_?cookie3\.\w{2,16})\b\s{0,2}\(/i,
		rule: accessRules["dump-credentials"],
	},
	{
		is: /\bkeyring\b|\bkeytar\b/,
		does: /\bget_?(password|credential)\s{0,2}\(/i,
		rule: accessRules["print-credential"],
	},
	// A port over there that leads here.
	{
		is: /\bparamiko\b|\basyncssh\b|\bfabric\b|\bssh2\b|\bnet\/ssh\b/i,
		does: /\brequest_port_forward\s{0,2}\(|\bforward_remote_\w{1,16}\s{0,2}\(|\bforward_remote\s{0,2}\(|\bforwardIn\s{0,2}\(|\bforward\.remote\b/,
		rule: remoteRules["net-listen"],
	},
];

/** Drivers of databases on servers; what a file of the project holds is the project's. */
const DRIVERS =
	/\b(psycopg[23]?|asyncpg|pg8000|pymysql|aiomysql|MySQLdb|mysql\.connector|mysql2?\/promise|oracledb|cx_Oracle|pyodbc|pymssql|DBI:(mysql|Pg|Oracle)|new PDO|PG\.connect|Mysql2::Client|jdbc:)|require\(['"](pg|mysql2?|mssql|tedious|oracledb)['"]\)|from ['"](pg|mysql2?|mssql|postgres)['"]/;
const REQUESTS_DELETE =
	/\b(requests|httpx|axios|got|session|client|superagent|ky|http)\.delete\s{0,2}\(|\bmethod["']?\s{0,2}[:=]\s{0,2}["']DELETE["']|\brequest\s{0,2}\(\s{0,2}["']DELETE["']|\bNet::HTTP::Delete\b/i;
const ARCHIVES =
	/\btarfile\b|\bzipfile\b|\bmake_archive\b|\barchiver\b|['"]tar(-stream|-fs)?['"]|\bArchive::(Tar|Zip)\b|\bPharData\b|\bZipArchive\b/;

/** Judges what a program text has services do. `strings`: those that stand in it; `talks`: whether it sends anything anywhere. */
export function judgeLibraries(call: Call, text: string, strings: readonly string[], talks: boolean): void {
	// A test's stores are the test's.
	const mayLose = TESTS.test(call.name);
	// An emulator of a cloud on this machine.
	const isLocal = strings.some((one) => /^https?:\/\//.test(one) && isLoopback(hostOf(one)));
	for (const { is, does, rule } of LIBRARIES)
		if (is.test(text) && does.test(text)) {
			if (!LOSSES.has(rule)) call.hit(rule);
			else if (!mayLose && !(rule === lossRules["cloud-destroy"] && isLocal) && !arePassing(strings)) loses(call, rule, strings);
		}
	if (mayLose) return;
	if (DRIVERS.test(text) && strings.some(losesData) && !arePassing(strings.flatMap((one) => one.split(/[\s=;/]/, 32))))
		loses(call, lossRules["database-destroy"], strings);
	if (REQUESTS_DELETE.test(text) && strings.some((one) => /^https?:\/\//.test(one) && isLastingUrl(one)))
		loses(call, lossRules["database-destroy"], strings);
	if (!talks) return;
	if (strings.some((one) => isMetadata(one)) || joinedNumbers(text).some(isMetadata)) call.hit(exfiltrateRules["cloud-metadata"]);
	if (ARCHIVES.test(text) && strings.some((one) => /^[\w.:/-]{4,256}$/.test(one) && isShady(one))) call.hit(exfiltrateRules["send-file"]);
}
const TESTS = /^(pytest|jest|vitest|mocha|ava|rspec|phpunit|tox|nox|playwright|cypress)$/;
const LOSSES: ReadonlySet<Rule> = new Set(Object.values(lossRules));

/** Four numbers in a list, as the address that they are joined to; one large number is an address too. */
function joinedNumbers(text: string): string[] {
	const found: string[] = [];
	for (const match of text.matchAll(/\b\d{1,3}["']?(?:\s{0,2},\s{0,2}["']?\d{1,3}["']?){3}(?!\d)/g))
		found.push(match[0].replace(/[^\d,]/g, "").replaceAll(",", "."));
	for (const match of text.matchAll(/\b(0x[0-9a-f]{8}|\d{9,10})\b/gi)) found.push(match[0].toLowerCase());
	return found.slice(0, 64);
}
