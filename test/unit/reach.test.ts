import { describe, expect, test } from "vitest";
import { type AddressKind, addressKind, grant, isOwnerHost, objection, parseAuthority, type Reach } from "../../runner/reach.ts";

const REACH: Reach = {
	policy: ["example.com", "*.example.org"],
	owner: ["api.model.test", "*.corp.test", "nexus.test:8443", "127.0.0.1:18080", "[::1]:9000", "localhost:3000", "10.1.2.3"],
};
/** What a session is told that asks for this. */
function ask(authority: string, port = 443): string {
	const to = parseAuthority(authority);
	if (to === null) return "not understood";
	const granted = grant({ ...to, port: to.port ?? port }, REACH);
	return granted.ok ? granted.value.addresses : granted.error.rule;
}

describe("names", () => {
	test.each([
		["example.com", "public"],
		["EXAMPLE.com.", "public"],
		["example.com:443", "public"],
		["example.com:80", "public"],
		["example.com:22", "egress.port"],
		["example.com:8080", "egress.port"],
		["www.example.com", "egress.host"],
		["example.com.evil.test", "egress.host"],
		["notexample.com", "egress.host"],
		["example.org", "egress.host"],
		["a.example.org", "public"],
		["a.b.example.org", "public"],
		["evilexample.org", "egress.host"],
		["xn--e1afmkfd.example.org", "public"],
		["xn--exmple-cua.com", "egress.host"],
		["api.model.test", "named"],
		["api.model.test:8443", "egress.port"],
		["git.corp.test", "named"],
		["corp.test", "egress.host"],
		["nexus.test:8443", "exact"],
		["nexus.test:443", "egress.port"],
		["localhost:3000", "exact"],
		["localhost:3001", "egress.port"],
		["127.0.0.1:18080", "exact"],
		["127.0.0.1:18081", "egress.address"],
		["[::1]:9000", "exact"],
		["[0:0:0:0:0:0:0:1]:9000", "exact"],
		["[::1]:9001", "egress.address"],
		["10.1.2.3", "exact"],
		["8.8.8.8", "egress.address"],
		["[2606:4700::1111]:443", "egress.address"],
	])("[EGR-1] %s: %s", (authority, told) => {
		expect(ask(authority)).toBe(told);
	});

	test.each([
		...["", ":443", "example.com:", "example.com:0", "example.com:65536", "example.com:443:443", "example.com:-1", "example.com:4e2"],
		...[
			"user@example.com",
			"user:pw@example.com:443",
			"example.com/",
			"example.com\t",
			" example.com",
			"example.com\0",
			"example.com\r\nX: y",
		],
		...["exa%6dple.com", "ex\u0430mple.com", "example\u3002com", "example..com", ".example.com", "-a.example.org", "a_b.example.org"],
		...["2130706433", "0x7f000001", "0x7f.1", "127.1", "127.0.1", "0177.0.0.1", "127.0.0.01", "1.2.3.256", "1.2.3.4.5", "example.123"],
		...["[::1", "::1", "[::1%lo]", "[1::2::3]", "[::ffff:1.2.3]", "[12345::]", "[1:2:3:4:5:6:7]", "*.example.org", "*"],
		...[`${"a".repeat(64)}.example.org`, `${"a.".repeat(127)}example.org`],
	])("[EGR-1] is refused, since it is not understood: %j", (authority) => {
		expect(ask(authority)).toBe("not understood");
	});

	test("[CFG-1] an owner names hosts, patterns, ports and addresses, and nothing else", () => {
		const good = ["api.test", "*.api.test", "api.test:8443", "127.0.0.1:80", "[fd00::1]:80", "10.0.0.1"];
		const bad = ["https://api.test", "*", "*.", "api.test:99999", "api test", "10.0.0.0/8", "127.1:80"];
		expect(good.filter((entry) => !isOwnerHost(entry))).toEqual([]);
		expect(bad.filter(isOwnerHost)).toEqual([]);
	});
});

describe("addresses", () => {
	const kinds: [AddressKind, string[]][] = [
		[
			"public",
			["1.1.1.1", "9.255.255.255", "100.63.255.255", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101", "::ffff:1.1.1.1"],
		],
		["private", ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fd12::1", "fc00::", "::ffff:10.0.0.1", "64:ff9b::a00:1"]],
		["carrier", ["100.64.0.1", "100.127.255.255", "::ffff:100.64.0.1"]],
		["loopback", ["127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "64:ff9b::7f00:1"]],
		[
			"metadata",
			["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "::ffff:a9fe:a9fe"],
		],
		["link_local", ["169.254.0.1", "169.254.255.255", "fe80::1", "fe80::1%eth0", "febf::1"]],
		["multicast", ["224.0.0.1", "239.255.255.255", "ff02::1"]],
		["unspecified", ["0.0.0.0", "0.1.2.3", "::"]],
		[
			"reserved",
			[
				"255.255.255.255",
				"240.0.0.1",
				"192.0.2.1",
				"198.18.0.1",
				"2001:db8::1",
				"2001::1",
				"2002:7f00:1::",
				"::7f00:1",
				"fec0::1",
				"4000::1",
				"?",
			],
		],
	];
	test.each(kinds.flatMap(([kind, addresses]) => addresses.map((address) => [address, kind])))("[EGR-2] %s is %s", (address, kind) => {
		expect(addressKind(address)).toBe(kind);
	});

	const to = (addresses: "public" | "named" | "exact") => ({ host: "example.com", port: 443, isAddress: false, addresses });
	const OWN = new Set(["93.184.216.34", "2606:0:0:0:0:0:0:1"]);
	test.each([
		["1.1.1.1", ["public", "named", "exact"]],
		["10.0.0.1", ["named", "exact"]],
		["100.64.0.1", ["named", "exact"]],
		["fd12::1", ["named", "exact"]],
		["127.0.0.1", ["exact"]],
		["::ffff:127.0.0.1", ["exact"]],
		["93.184.216.34", ["exact"]],
		["::ffff:93.184.216.34", ["exact"]],
		["2606::1", ["exact"]],
		["169.254.169.254", []],
		["169.254.0.1", []],
		["fe80::1%eth0", []],
		["fd00:ec2::254", []],
		["0.0.0.0", []],
		["224.0.0.1", []],
		["not an address", []],
	] as const)("[EGR-2] %s is connected to for %j only", (address, by) => {
		expect((["public", "named", "exact"] as const).filter((addresses) => objection(to(addresses), address, OWN) === null)).toEqual(by);
	});
});
