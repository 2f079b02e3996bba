import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	type AuditEntry,
	type AuditRecord,
	auditLine,
	auditText,
	type BrokenChain,
	ChainVerifier,
	canonicalJson,
	chain,
	EMPTY_LOG,
	toolCallDecided,
} from "../../shared/audit.ts";

const entry = (n: number): AuditEntry => ({
	at: 1_800_000_000_000 + n,
	actor: "key:key_1",
	action: "tool_call.decided",
	subject: `cat 'ümlaut ${n}' \u2028 \ufffd`,
	detail: { verdict: "deny", rule: "read-secrets", policyVersion: 3, by: null, ok: true, lifts: ["a", "b"], labels: { os: "linux" } },
});

async function exported(count: number): Promise<AuditRecord[]> {
	const records: AuditRecord[] = [];
	for (let n = 1; n <= count; n++) records.push(await chain(records.at(-1) ?? EMPTY_LOG, entry(n)));
	return records;
}

/** How the whole of these lines is judged: what is wrong first, or the head. */
async function verify(lines: string[]): Promise<{ broken: BrokenChain } | { head: { n: number; hash: string } }> {
	const verifier = new ChainVerifier();
	for (const line of lines) {
		const result = await verifier.push(line);
		if (!result.ok) return { broken: result.error };
	}
	return { head: verifier.head };
}

describe("the chain", () => {
	test("[AUD-2] an export as it was written is proven, and its head is that of its last record", async () => {
		const records = await exported(20);
		const last = records.at(-1);
		expect(await verify(records.map(auditLine))).toEqual({ head: { n: 20, hash: last?.hash } });
		expect(await verify([])).toEqual({ head: EMPTY_LOG });
	});

	test("[AUD-2] one byte that was changed, put in or left out anywhere is found, in its line or the next", async () => {
		const lines = (await exported(6)).map(auditLine);
		const bytes = new TextEncoder().encode(lines.join("\n"));
		await fc.assert(
			fc.asyncProperty(
				fc.nat(bytes.length - 1),
				fc.integer({ min: 1, max: 255 }),
				fc.constantFrom("xor", "cut", "insert"),
				async (at, x, how) => {
					const changed =
						how === "xor"
							? bytes.map((b, i) => (i === at ? b ^ x : b))
							: how === "cut"
								? [...bytes.slice(0, at), ...bytes.slice(at + 1)]
								: [...bytes.slice(0, at), x, ...bytes.slice(at)];
					let text: string;
					try {
						text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(changed));
					} catch {
						// The command reads so, and tells the line.
						return;
					}
					const at1 = new TextDecoder().decode(bytes.slice(0, at)).split("\n").length;
					const result = await verify(text.split("\n"));
					expect(result).toHaveProperty("broken");
					if ("broken" in result) expect([at1, at1 + 1]).toContain(result.broken.line);
				},
			),
			{ numRuns: 600 },
		);
	});

	test("[AUD-2] a record that is missing, moved, doubled, or made anew with a right hash of its own is named by its line", async () => {
		const records = await exported(8);
		const lines = records.map(auditLine);
		const without = (n: number): string[] => lines.filter((_, i) => i !== n - 1);
		expect(await verify(without(3))).toEqual({ broken: { line: 3, why: "record 3 is missing" } });
		expect(await verify(lines.slice(4))).toEqual({ broken: { line: 1, why: "records 1 to 4 are missing" } });
		const moved = [...lines.slice(0, 2), lines[3] ?? "", lines[2] ?? "", ...lines.slice(4)];
		expect(await verify(moved)).toMatchObject({ broken: { line: 3 } });
		const doubled = [...lines.slice(0, 3), lines[2] ?? "", ...lines.slice(3)];
		expect(await verify(doubled)).toMatchObject({ broken: { line: 4, why: "record 3 is out of its place: 4 was due" } });
		const forged = await chain(records[3] ?? EMPTY_LOG, { ...entry(5), actor: "key:somebody-else" });
		expect(await verify([...lines.slice(0, 4), auditLine(forged), ...lines.slice(5)])).toMatchObject({
			broken: { line: 6, why: expect.stringContaining("does not follow") },
		});
	});

	test("[AUD-2] another spelling of the same record, such as with blanks or escapes, is no record", async () => {
		const [record] = await exported(1);
		const line = record ? auditLine(record) : "";
		for (const other of [`${line} `, line.replace(":", ": "), line.replace("tool_call", "tool\\u005fcall"), JSON.stringify(record)])
			expect([other, await verify([other])]).toMatchObject([other, { broken: { line: 1 } }]);
	});

	test("an export that begins later is proven from the head that it begins after", async () => {
		const records = await exported(5);
		const after = records[2];
		const verifier = new ChainVerifier({ n: 3, hash: after?.hash ?? "" });
		for (const record of records.slice(3)) expect((await verifier.push(auditLine(record))).ok).toBe(true);
		expect(verifier.head.n).toBe(5);
	});
});

test("canonical JSON is the same for the same value in any order, and what JSON reads back is that value", () => {
	fc.assert(
		fc.property(fc.jsonValue(), (value) => {
			const text = canonicalJson(value);
			expect(canonicalJson(JSON.parse(text))).toBe(text);
			expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
		}),
	);
	expect(canonicalJson({ b: [2, { d: 1, c: undefined }], a: "x" })).toBe('{"a":"x","b":[2,{"d":1}]}');
});

test("a subject is cut to 4,096 units at a whole character, and says that it was cut", () => {
	expect(auditText("short")).toBe("short");
	const cut = auditText("😀".repeat(3000));
	expect([cut.length, cut.endsWith("…"), cut.isWellFormed()]).toEqual([4096, true, true]);
	const decided = toolCallDecided({
		at: 1,
		by: "gateway",
		sessionId: "ses_1",
		turnId: null,
		tool: "Bash",
		subject: "x".repeat(10_000),
		verdict: "deny",
		rule: "r",
		layer: "gateway",
		policyVersion: 0,
	});
	expect(decided.subject.length).toBe(4096);
});
