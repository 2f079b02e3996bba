import { z } from "zod";

/** An id is its noun's prefix and 26 characters of Crockford's base 32: 130 bits, lower case, safe in a path. */
const BODY = "[0-9a-hjkmnp-tv-z]{26}";
const id = <B extends string>(prefix: B) =>
	z
		.string()
		.regex(new RegExp(`^${prefix}_${BODY}$`), `expected an id like ${prefix}_ and 26 characters`)
		.brand(prefix);

export const SessionId = id("ses");
export type SessionId = z.infer<typeof SessionId>;
export const TurnId = id("trn");
export type TurnId = z.infer<typeof TurnId>;
export const RunnerId = id("run");
export type RunnerId = z.infer<typeof RunnerId>;
export const ApprovalId = id("apr");
export type ApprovalId = z.infer<typeof ApprovalId>;
export const KeyId = id("key");
export type KeyId = z.infer<typeof KeyId>;
export const Epoch = id("epo");
export type Epoch = z.infer<typeof Epoch>;

/** A team's name. It stands in object names and in the clear part of credentials, so it is short and plain. */
export const TeamId = z
	.string()
	.regex(/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/, "expected 1 to 32 of a-z, 0-9 and inner hyphens")
	.brand("team");
export type TeamId = z.infer<typeof TeamId>;

/** An event's place in its session's log: 1, 2, 3 ... given by the gateway at append. 0 is "before the first". */
export const Offset = z.int().nonnegative().brand("offset");
export type Offset = z.infer<typeof Offset>;

/** A runner's own number of an event within one lease: 1, 2, 3 ... It never mixes with `Offset`. */
export const Seq = z.int().nonnegative().brand("seq");
export type Seq = z.infer<typeof Seq>;

/** A lease's fencing number. It rises with every new lease of a session; the higher one is right. */
export const Generation = z.int().positive().brand("generation");
export type Generation = z.infer<typeof Generation>;

/** A number that only this function brands. */
export const offset = (n: number): Offset => n as Offset;
export const seq = (n: number): Seq => n as Seq;
export const generation = (n: number): Generation => n as Generation;

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

/** The id's body for at least 26 bytes of chance or of a hash; five bits of each byte are used. */
export function idBody(bytes: Uint8Array): string {
	if (bytes.length < 26) throw new Error(`an id needs 26 bytes, got ${bytes.length}`);
	let body = "";
	for (let i = 0; i < 26; i++) body += ALPHABET.charAt((bytes[i] ?? 0) & 31);
	return body;
}
