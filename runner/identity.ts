import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { Enrolled } from "../shared/api.ts";
import { check, parse } from "../shared/codec.ts";
import { Problem, problem } from "../shared/errors.ts";
import { PROTOCOL_VERSION, signedText } from "../shared/frames.ts";
import { RunnerId, TeamId } from "../shared/ids.ts";
import { err, ok, type Result } from "../shared/result.ts";

const Stored = z.strictObject({
	/** The gateway's address, `https://host`. */
	url: z.url(),
	team: TeamId,
	runnerId: RunnerId,
	/** Ed25519, PKCS #8, PEM. It never leaves this machine. */
	privateKey: z.string(),
});

/** Who this runner is to its gateway. */
export interface Identity {
	url: string;
	team: TeamId;
	runnerId: RunnerId;
	/** What must be in no output: its key. */
	secrets: readonly string[];
	/** The proof for one link: `control`, or a session's id. */
	prove(nonce: string, link: string): { protocol: number; runnerId: RunnerId; host: string; signature: string };
}

const fileOf = (stateDir: string): string => join(stateDir, "identity.json");

/** The identity in this state directory, null if it was never enrolled. */
export function loadIdentity(stateDir: string): Result<Identity, string> | null {
	let text: string;
	try {
		text = readFileSync(fileOf(stateDir), "utf8");
	} catch {
		return null;
	}
	const json = parse(text, 65_536);
	const stored = json.ok ? check(Stored, json.value) : json;
	if (!stored.ok) return err(`${fileOf(stateDir)} is damaged (${stored.error.detail}); enrol again`);
	const { url, team, runnerId, privateKey } = stored.value;
	const key = createPrivateKey(privateKey);
	const { host } = new URL(url);
	return ok({
		url: url.replace(/\/$/, ""),
		team,
		runnerId,
		secrets: [privateKey],
		prove: (nonce, link) => ({
			protocol: PROTOCOL_VERSION,
			runnerId,
			host,
			signature: sign(null, Buffer.from(signedText({ host, runnerId, nonce, link })), key).toString("base64url"),
		}),
	});
}

/** Makes a key pair and registers its public half with a one-use token. */
export async function enrol(stateDir: string, url: string, token: string, name: string): Promise<Result<Identity, Problem>> {
	const { publicKey, privateKey } = generateKeyPairSync("ed25519");
	const raw = publicKey.export({ format: "jwk" }).x ?? "";
	let response: Response;
	try {
		response = await fetch(new URL("/v1/runners", url), {
			method: "POST",
			headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
			body: JSON.stringify({ publicKey: raw, name }),
			redirect: "error",
		});
	} catch (cause) {
		const why = cause instanceof Error && cause.cause instanceof Error ? cause.cause.message : String(cause);
		return err(problem("going_away", `the gateway ${url} cannot be reached: ${why}`));
	}
	const body = parse(await response.text(), 65_536);
	if (!body.ok) return body;
	if (!response.ok) {
		const refused = check(Problem, body.value);
		return err(refused.ok ? refused.value : problem("internal", `the gateway answered HTTP ${response.status}`));
	}
	const enrolled = check(Enrolled, body.value);
	if (!enrolled.ok) return enrolled;
	const stored = { url, ...enrolled.value, privateKey: privateKey.export({ format: "pem", type: "pkcs8" }).toString() };
	mkdirSync(stateDir, { recursive: true, mode: 0o700 });
	writeFileSync(`${fileOf(stateDir)}.new`, JSON.stringify(stored), { mode: 0o600 });
	renameSync(`${fileOf(stateDir)}.new`, fileOf(stateDir));
	const identity = loadIdentity(stateDir);
	return identity?.ok === true ? identity : err(problem("internal", "the identity was written and cannot be read"));
}

/** The same runner at a gateway whose port changed, as a local one's may. */
export function moveIdentity(stateDir: string, url: string): void {
	const stored = JSON.parse(readFileSync(fileOf(stateDir), "utf8")) as Record<string, unknown>;
	if (stored.url !== url) writeFileSync(fileOf(stateDir), JSON.stringify({ ...stored, url }), { mode: 0o600 });
}
