/** What the daemon and the proxy process say to each other, one JSON line each. */
import { z } from "zod";

export const Opened = z.object({
	sessionId: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/),
	rules: z.object({
		reach: z.object({ policy: z.array(z.string()), owner: z.array(z.string()) }),
		routes: z.record(
			z.string(),
			z.object({
				upstream: z.url(),
				paths: z.array(z.string()),
				credentials: z.array(z.object({ header: z.string(), placeholder: z.string().min(16), secret: z.string() })),
			}),
		),
	}),
	/** Whose processes use it, if not the runner's own user's. */
	owner: z.object({ uid: z.int(), gid: z.int() }).optional(),
});
export type Opened = z.infer<typeof Opened>;

export const Order = z.discriminatedUnion("order", [
	/** Opens a session's socket, or gives an open one other rules. */
	z.object({ n: z.int(), order: z.literal("open"), ...Opened.shape }),
	z.object({ n: z.int(), order: z.literal("close"), sessionId: z.string() }),
	/** Takes nothing new, tells what was open, and ends with its last connection. */
	z.object({ n: z.int(), order: z.literal("retire") }),
	z.object({ n: z.int(), order: z.literal("end") }),
]);
export type Order = z.infer<typeof Order>;

/** What it says: first who it is, then answers by their order's number, and refusals as they come. */
export const Told = z.union([
	z.object({ build: z.string(), sessions: z.array(z.string()) }),
	z.object({ n: z.int(), error: z.string().optional(), sessions: z.array(z.unknown()).optional() }),
	z.object({
		refused: z.object({ host: z.string(), port: z.number(), rule: z.string(), why: z.string() }),
		sessionId: z.string(),
		times: z.int(),
	}),
]);
