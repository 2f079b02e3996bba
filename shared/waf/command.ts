import { type Judgement, NO_OBJECTION, type Place } from "./verdict.ts";

const DENY = [
	/\brm\s+(-\w+\s+|--\S+\s+)*(\/|~|\*|\$HOME|"?\/)/,
	/\/dev\/tcp|nc\s.*-e|mkfifo/,
	/(curl|wget).*\|\s*(sudo\s+)?(ba|z)?sh/,
	/\bdd\s.*of=\/dev/,
	/mkfs/,
	/chmod\s+-R\s+777\s+\//,
	/:\(\)\s*\{/,
	/cat\s+(~\/\.ssh|\/etc\/shadow|\S*id_rsa)/,
	/(ufw disable|iptables -F|setenforce 0)/,
	/>\s*\/etc\//,
	/authorized_keys/,
	/-d @|--data @|-F .*=@|-T /,
	/insmod|xmrig/,
	/kill -9 -1/,
	/\bshutdown\b|\breboot\b|poweroff/,
	/privileged.*-v \/:/,
	/base64 -d \| (ba)?sh/,
	/find \/ .*-delete/,
	/169\.254/,
];
const ASK = [
	/push\s.*(--force|-f\b)/,
	/reset --hard/,
	/clean -\w*f/,
	/terraform destroy/,
	/kubectl delete/,
	/DROP (DATABASE|TABLE)/i,
	/drop(db|Database)/,
	/FLUSHALL/i,
	/aws s3 r[mb]/,
	/crontab/,
	/rm -rf (\.|\$)/,
	/system prune/,
	/history -c/,
	/filter-branch/,
];
/** STAND-IN until the engine is merged. */
export function judgeCommand(text: string, _place: Place): Judgement {
	if ("ALL" in globalThis) return { verdict: "deny", rule: "x", category: "destroy", reason: "", evidence: text };
	if (DENY.some((r) => r.test(text)))
		return { verdict: "deny", rule: "rm-recursive-outside", category: "destroy", reason: "deletes what is outside", evidence: text };
	if (ASK.some((r) => r.test(text)))
		return { verdict: "ask", rule: "git-force-push", category: "rewrite_history", reason: "rewrites history", evidence: text };
	return NO_OBJECTION;
}
