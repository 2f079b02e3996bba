import type { Category, Judgement, VerdictName } from "./verdict.ts";

/** What is wrong with addresses, whatever the policy names. */
export const HOST_RULES = {
	"url-scheme": {
		verdict: "deny",
		reason: "It is no http or https address",
		suggestion: "Read files with the file tools; fetch over https.",
	},
	"url-credentials": {
		verdict: "deny",
		reason: "The address carries credentials, which end up in logs",
		suggestion: "Leave name and password out of the address.",
	},
	"url-unreadable": {
		verdict: "ask",
		reason: "No host can be read from the address with certainty",
		suggestion: "Write it as https://HOST/PATH in plain ASCII.",
	},
	"host-address": {
		verdict: "deny",
		reason: "It names an IP address, which no policy can name",
		suggestion: "Use the host's name, and let the policy name it.",
	},
	"host-local": {
		verdict: "deny",
		reason: "It leads to this machine or its local network",
		suggestion: "Ask a person to look at local services, or use a shell command inside the session.",
	},
	"host-metadata": {
		verdict: "deny",
		reason: "It is a cloud's metadata service, which hands out the machine's credentials",
		suggestion: "Sessions have no use for the machine's own credentials.",
	},
	"host-not-named": {
		verdict: "ask",
		reason: "The policy does not name this host",
		suggestion: "Ask for the host to be added to the policy, or use one that it names.",
	},
} as const satisfies Record<string, { verdict: VerdictName; reason: string; suggestion: string }>;
type HostRule = keyof typeof HOST_RULES;

/** Whether a list of names and `*.NAME` patterns holds this host. `*.example.com` does not hold `example.com` itself. */
export const namesHost = (hosts: readonly string[], host: string): boolean => hosts.some((pattern) => holds(pattern, host));

const holds = (pattern: string, host: string): boolean => (pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) : host === pattern);

/** What both lists hold: of two patterns the narrower. */
export function hostsInBoth(a: readonly string[], b: readonly string[]): string[] {
	const both = a.flatMap((one) => b.flatMap((other) => (isWithin(one, other) ? [one] : isWithin(other, one) ? [other] : [])));
	return [...new Set(both)];
}
const isWithin = (inner: string, outer: string): boolean =>
	inner === outer || holds(outer, inner.startsWith("*.") ? inner.slice(1) : inner);

/**
 * The host of an http(s) address, in lower case and without a final dot, or the rule that it breaks. Stricter than the URL standard, on purpose:
 * whatever two readers could read differently (backslashes, controls, percent signs or letters beyond ASCII in the host) has no host.
 */
export function hostOf(url: string): { host: string } | { rule: HostRule } {
	const scheme = /^\s*([a-z][a-z0-9+.-]*):/i.exec(url.slice(0, 64))?.[1]?.toLowerCase();
	if (scheme === undefined) return { rule: "url-unreadable" };
	if (scheme !== "http" && scheme !== "https") {
		// "localhost:3000/x" reads as a scheme too.
		return { rule: /^\s*[a-z0-9.-]+:\d/i.test(url.slice(0, 300)) ? "url-unreadable" : "url-scheme" };
	}
	if (!/^https?:\/\//i.test(url)) return { rule: "url-unreadable" };
	const rest = url.slice(scheme.length + 3);
	const end = rest.search(/[/?#]/);
	const authority = end < 0 ? rest : rest.slice(0, end);
	if (authority.includes("@")) return { rule: "url-credentials" };
	if (authority.startsWith("[")) return { rule: "host-address" };
	const found = /^([a-z0-9._-]{1,254})(:\d{0,5})?$/i.exec(authority)?.[1];
	if (found === undefined) return { rule: "url-unreadable" };
	const host = found.toLowerCase().replace(/\.$/, "");
	if (host === "" || host.includes("..") || host.startsWith(".")) return { rule: "url-unreadable" };
	return { host };
}

/** An address against the hosts that may be reached; null: any host that is a public name. Total and linear. */
export function judgeUrl(url: string, hosts: readonly string[] | null): Judgement | null {
	const found = hostOf(url);
	if ("rule" in found) return objection(found.rule, url);
	const { host } = found;
	if (METADATA.has(host)) return objection("host-metadata", host);
	const labels = host.split(".");
	const top = labels.at(-1) ?? "";
	// As browsers do: a host whose last label is a number is an IPv4 address, in whatever base (127.1, 0x7f.1, 2130706433).
	if (/^(\d+|0x[0-9a-f]*)$/.test(top)) return objection(host.startsWith("169.254.") ? "host-metadata" : "host-address", host);
	if (labels.length === 1 || LOCAL.has(top) || host.endsWith(".home.arpa")) return objection("host-local", host);
	return hosts === null || namesHost(hosts, host) ? null : objection("host-not-named", host);
}

const METADATA = new Set(["metadata.google.internal", "metadata", "metadata.goog", "instance-data", "instance-data.ec2.internal"]);
/** Top labels that no public name has (RFC 6761, 6762, 9476 and what home routers use). */
const LOCAL = new Set(["localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private", "test", "invalid"]);

function objection(rule: HostRule, evidence: string): Judgement {
	const category: Category = rule === "host-metadata" ? "read_secrets" : "network";
	return { rule, category, ...HOST_RULES[rule], evidence: evidence.slice(0, 512) };
}
