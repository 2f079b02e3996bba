import { z } from "zod";
import { Usage } from "./events.ts";
import { SessionId } from "./ids.ts";

/** What a session has used so far. All of it counts from its first day, whatever the log still holds. */
export const Stats = z.object({
	sessionId: SessionId,
	turns: z.object({ accepted: z.int(), ended: z.int(), failed: z.int(), cancelled: z.int() }),
	events: z.int(),
	bytes: z.int(),
	tokens: Usage.omit({ costUsd: true }),
	/** Null until a turn reported a cost. */
	costUsd: z.number().nullable(),
	processStarts: z.int(),
	createdAt: z.int(),
	lastEventAt: z.int(),
	/** Time spent inside turns, from start to end. */
	turnMs: z.int(),
});
export type Stats = z.infer<typeof Stats>;
