/**
 * What a session may reach on the network: pure. A name is judged before it is looked up, and what it resolved to before it is connected to;
 * both must pass. Whatever is not understood is refused.
 */
export interface Reach {
	/** The team's policy, narrowed by the owner: `example.com`, `*.example.com` for all below it. Never an address. */
	policy: readonly string[];
	/** The machine owner's for this provider: the same, and `host:port`, and addresses (`127.0.0.1:8080`, `[::1]:8080`). */
	owner: readonly string[];
}

export interface Refusal {
	host: string;
	port: number;
	rule: "egress.malformed" | "egress.host" | "egress.port" | "egress.address" | "egress.credential" | "egress.path" | "egress.connections";
	/** In words, with what to do about it. */
	why: string;
}

/** What was refused, in words: some requests name no host that could be told. */
export const subjectOf = ({ host, port }: Pick<Refusal, "host" | "port">): string =>
	host === "" ? "what it asked for" : port === 0 ? host : `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** A host that may be connected to, if all that it resolves to is of a kind that is granted. */
export interface Grant {
	host: string;
	port: number;
	isAddress: boolean;
	/** `named`: public ones, and private networks since the owner named the host. `exact`: its own machine too, since the port was named as well. */
	addresses: "public" | "named" | "exact";
}

/** Where nobody named a port. Not 22: what goes through a tunnel there cannot be told from anything else, and git speaks https. */
const PORTS = [443, 80];

export interface Authority {
	/** Lower case, without a trailing dot or brackets. */
	host: string;
	port: number | null;
	isAddress: boolean;
}

/** `host` or `host:port` as a request or a setting writes it; null for what is neither, and for odd spellings of addresses (`127.1`, `0x7f000001`). */
export function parseAuthority(text: string): Authority | null {
	const parts = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9.-]{1,254}))(?::([0-9]{1,5}))?$/.exec(text);
	if (parts === null) return null;
	const port = parts[3] === undefined ? null : Number(parts[3]);
	if (port !== null && (port < 1 || port > 65_535)) return null;
	if (parts[1] !== undefined) return groupsOf(parts[1]) === null ? null : { host: canonical(parts[1]), port, isAddress: true };
	const host = (parts[2] ?? "").toLowerCase().replace(/\.$/, "");
	if (octetsOf(host) !== null) return { host, port, isAddress: true };
	const labels = host.split(".");
	if (host.length > 253 || !labels.every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(label))) return null;
	// A resolver takes these for addresses.
	if (/^(?:[0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "")) return null;
	return { host, port, isAddress: false };
}

/** Whether an entry of a runner's settings says something that `grant` understands. */
export const isOwnerHost = (entry: string): boolean => parseAuthority(entry.replace(/^\*\./, "")) !== null;

/** Whether a session may connect to this host at all, and to which kind of address. */
export function grant(to: Authority & { port: number }, reach: Reach): { ok: true; value: Grant } | { ok: false; error: Refusal } {
	const { host, port, isAddress } = to;
	const refuse = (rule: Refusal["rule"], why: string) => ({ ok: false as const, error: { host, port, rule, why } });
	let named = false;
	for (const entry of reach.owner) {
		const wildcard = entry.startsWith("*.");
		const own = parseAuthority(wildcard ? entry.slice(2) : entry);
		if (own === null || own.isAddress !== isAddress || (wildcard ? isAddress || !host.endsWith(`.${own.host}`) : host !== own.host))
			continue;
		named = true;
		if (own.port === port || (own.port === null && PORTS.includes(port)))
			return { ok: true, value: { host, port, isAddress, addresses: isAddress || own.port !== null ? "exact" : "named" } };
	}
	if (isAddress)
		return refuse(
			"egress.address",
			"addresses are not reached, only names; the owner of the machine can name this one in runner.toml ([providers.NAME] hosts)",
		);
	if (reach.policy.some((pattern) => (pattern.startsWith("*.") ? host.endsWith(pattern.slice(1)) : host === pattern))) {
		if (PORTS.includes(port)) return { ok: true, value: { host, port, isAddress, addresses: "public" } };
		named = true;
	}
	if (named)
		return refuse(
			"egress.port",
			`only ports ${PORTS.join(" and ")} of this host are reached; the owner of the machine can name "${host}:${port}" in runner.toml ([providers.NAME] hosts)`,
		);
	return refuse(
		"egress.host",
		'the policy does not name this host; add it to "hosts" of the team\'s policy (PUT /v1/policy), or the owner of the machine to runner.toml ([providers.NAME] hosts)',
	);
}

/** What is wrong with an address that a granted host resolved to, in words; null if nothing. `own`: the addresses of this machine's interfaces. */
export function objection(to: Grant, address: string, own: ReadonlySet<string>): string | null {
	const kind = addressKind(address);
	// Nobody can name these: what answers there gives out credentials, or is not one host.
	if (kind === "metadata" || kind === "link_local" || kind === "multicast" || kind === "unspecified" || kind === "reserved")
		return `${address} is ${WORDS[kind]}, which no session reaches`;
	if (to.addresses === "exact") return null;
	if (kind === "loopback" || own.has(canonical(address)))
		return `${address} is this machine itself; its owner can name "${to.host}:${to.port}" in runner.toml ([providers.NAME] hosts)`;
	if (kind === "public" || to.addresses === "named") return null;
	return `${address} is ${WORDS[kind]}; the owner of the machine can name "${to.host}" in runner.toml ([providers.NAME] hosts)`;
}

export type AddressKind =
	| "public"
	| "private"
	| "carrier"
	| "loopback"
	| "metadata"
	| "link_local"
	| "multicast"
	| "unspecified"
	| "reserved";
const WORDS: Record<AddressKind, string> = {
	public: "a public address",
	private: "of a private network",
	carrier: "of a carrier's or an overlay network",
	loopback: "this machine itself",
	metadata: "a cloud's metadata service",
	link_local: "a link-local address",
	multicast: "a multicast address",
	unspecified: "no address of anything",
	reserved: "a reserved address",
};

/** Bits of the prefix, the prefix, what it is: the first that fits counts. IANA's registries, and where clouds put their metadata. */
const IPV4: [string, number, AddressKind][] = [
	["168.63.129.16", 32, "metadata"],
	["100.100.100.200", 32, "metadata"],
	["192.0.0.192", 32, "metadata"],
	["169.254.169.254", 32, "metadata"],
	["169.254.170.2", 32, "metadata"],
	["0.0.0.0", 8, "unspecified"],
	["10.0.0.0", 8, "private"],
	["100.64.0.0", 10, "carrier"],
	["127.0.0.0", 8, "loopback"],
	["169.254.0.0", 16, "link_local"],
	["172.16.0.0", 12, "private"],
	["192.0.0.0", 24, "reserved"],
	["192.0.2.0", 24, "reserved"],
	["192.88.99.0", 24, "reserved"],
	["192.168.0.0", 16, "private"],
	["198.18.0.0", 15, "reserved"],
	["198.51.100.0", 24, "reserved"],
	["203.0.113.0", 24, "reserved"],
	["224.0.0.0", 4, "multicast"],
	["240.0.0.0", 4, "reserved"],
];
const IPV6: [string, number, AddressKind][] = [
	["fd00:ec2::254", 128, "metadata"],
	["fd00:ec2::23", 128, "metadata"],
	["fd20:ce::254", 128, "metadata"],
	["fd00:42::42", 128, "metadata"],
	["::", 128, "unspecified"],
	["::1", 128, "loopback"],
	["fe80::", 10, "link_local"],
	["fc00::", 7, "private"],
	["ff00::", 8, "multicast"],
	// Teredo and 6to4 hold another address; nobody serves anything there.
	["2001::", 23, "reserved"],
	["2001:db8::", 32, "reserved"],
	["2002::", 16, "reserved"],
	["3fff::", 20, "reserved"],
	["2000::", 3, "public"],
];

export function addressKind(address: string): AddressKind {
	const v4 = octetsOf(address);
	if (v4 !== null) return IPV4.find(([prefix, bits]) => isIn(v4, octetsOf(prefix) ?? [], bits, 8))?.[2] ?? "public";
	const v6 = groupsOf(address.replace(/%.*$/, ""));
	if (v6 === null) return "reserved";
	// An IPv4 address in other clothes: mapped, or by way of NAT64.
	const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = v6;
	if (c === 0 && d === 0 && e === 0 && ((a === 0 && b === 0 && f === 0xffff) || (a === 0x64 && b === 0xff9b && f === 0)))
		return addressKind([g >> 8, g & 255, h >> 8, h & 255].join("."));
	return IPV6.find(([prefix, bits]) => isIn(v6, groupsOf(prefix) ?? [], bits, 16))?.[2] ?? "reserved";
}

/** One spelling of each address, so that two can be compared. */
export function canonical(address: string): string {
	const groups = groupsOf(address.replace(/%.*$/, ""));
	if (groups === null) return address;
	const [a, b, c, d, e, f, g = 0, h = 0] = groups;
	if ([a, b, c, d, e].every((group) => group === 0) && f === 0xffff) return [g >> 8, g & 255, h >> 8, h & 255].join(".");
	return groups.map((group) => group.toString(16)).join(":");
}

function isIn(address: readonly number[], prefix: readonly number[], bits: number, width: number): boolean {
	for (let i = 0; i * width < bits; i++) {
		const spare = Math.max(0, (i + 1) * width - bits);
		if ((address[i] ?? 0) >> spare !== (prefix[i] ?? 0) >> spare) return false;
	}
	return true;
}

/** The four numbers of an IPv4 address in its one proper spelling, null for anything else. */
function octetsOf(text: string): number[] | null {
	if (!/^(?:(?:0|[1-9][0-9]{0,2})(?:\.(?!$)|$)){4}$/.test(text)) return null;
	const octets = text.split(".").map(Number);
	return octets.every((octet) => octet <= 255) ? octets : null;
}

/** The eight numbers of an IPv6 address, null for anything else. */
function groupsOf(text: string): number[] | null {
	let rest = text;
	const tail = /^(.*:)([0-9.]+)$/.exec(text);
	if (tail !== null && text.includes(".")) {
		const [a = 0, b = 0, c = 0, d = 0] = octetsOf(tail[2] ?? "") ?? [];
		if (octetsOf(tail[2] ?? "") === null) return null;
		rest = `${tail[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
	}
	const halves = rest.split("::");
	if (halves.length > 2) return null;
	const [head = [], end = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
	const missing = 8 - head.length - end.length;
	if (halves.length === 1 ? missing !== 0 : missing < 1) return null;
	const groups = [...head, ...Array<string>(halves.length === 1 ? 0 : missing).fill("0"), ...end];
	return groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group)) ? groups.map((group) => Number.parseInt(group, 16)) : null;
}
