import type { z } from "zod";
import { idBody } from "../shared/ids.ts";

/** A fresh id of this kind. */
export function newId<S extends z.ZodType>(schema: S, prefix: string): z.output<S> {
	return schema.parse(`${prefix}_${idBody(crypto.getRandomValues(new Uint8Array(26)))}`);
}

/** 256 random bits, base64url. */
export const newSecret = (): string => base64url(crypto.getRandomValues(new Uint8Array(32)));

export function base64url(bytes: Uint8Array): string {
	return btoa(String.fromCharCode(...bytes))
		.replaceAll("+", "-")
		.replaceAll("/", "_")
		.replaceAll("=", "");
}

/** Null if it is not base64url. */
export function fromBase64url(text: string): Uint8Array<ArrayBuffer> | null {
	if (!/^[A-Za-z0-9_-]*$/.test(text)) return null;
	try {
		return Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
	} catch {
		return null;
	}
}

/** SHA-256, hex: what is kept of a secret of 256 random bits, for which a slow hash would add nothing. */
export async function digest(secret: string): Promise<string> {
	const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(secret)));
	return [...hash].map((b) => b.toString(16).padStart(2, "0")).join("");
}

/** Compares two digests without telling by time where they differ. */
export function sameDigest(a: string, b: string): boolean {
	const x = new TextEncoder().encode(a);
	const y = new TextEncoder().encode(b);
	return x.length === y.length && crypto.subtle.timingSafeEqual(x, y);
}

/** Whether the signature over the text is by this Ed25519 key (raw, base64url). Anything malformed is "no". */
export async function verifyEd25519(publicKey: string, signature: string, text: string): Promise<boolean> {
	const key = fromBase64url(publicKey);
	const sig = fromBase64url(signature);
	if (key?.length !== 32 || sig?.length !== 64) return false;
	const imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
	return crypto.subtle.verify({ name: "Ed25519" }, imported, sig, new TextEncoder().encode(text));
}
