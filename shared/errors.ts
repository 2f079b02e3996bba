import { z } from "zod";

/**
 * Every error that crosses a wire. `status` is its HTTP status, `close` the WebSocket close code when the socket
 * ends for it (null: it is an answer to one frame and the socket stays), `retryable` whether the same call may
 * succeed later. PROTOCOL.md section 7 is the same table in words; a test holds the two together.
 */
export const ERRORS = {
	bad_request: { status: 400, close: 4400, retryable: false, title: "The request is not understood" },
	credentials_in_url: { status: 400, close: 4400, retryable: false, title: "Credentials in addresses are not accepted" },
	unauthorized: { status: 401, close: 4401, retryable: false, title: "Authentication is missing or not valid" },
	forbidden: { status: 403, close: 4403, retryable: false, title: "Not allowed" },
	policy_denied: { status: 403, close: null, retryable: false, title: "The team's policy does not allow it" },
	not_found: { status: 404, close: 4404, retryable: false, title: "Not found" },
	hello_timeout: { status: 408, close: 4408, retryable: true, title: "The socket said no hello in time" },
	conflict: { status: 409, close: null, retryable: false, title: "It conflicts with what is there" },
	lease_lost: { status: 409, close: 4409, retryable: false, title: "Another lease has replaced this one" },
	superseded: { status: 409, close: 4410, retryable: false, title: "A newer connection of the same runner took over" },
	session_closed: { status: 410, close: null, retryable: false, title: "The session has ended" },
	too_large: { status: 413, close: 4413, retryable: false, title: "Too large" },
	provider_not_available: { status: 422, close: null, retryable: false, title: "No runner of the team offers this provider" },
	provider_not_installed: { status: 422, close: null, retryable: false, title: "The provider's program is not installed on the runner" },
	work_dir_not_found: { status: 422, close: null, retryable: false, title: "The work directory does not exist on the runner" },
	work_dir_refused: { status: 422, close: null, retryable: false, title: "The runner does not host sessions in this directory" },
	unsupported_version: { status: 426, close: 4426, retryable: false, title: "This protocol version is not spoken" },
	too_many_inputs: { status: 429, close: null, retryable: true, title: "Too many inputs wait in this session" },
	rate_limited: { status: 429, close: 4429, retryable: true, title: "Too many requests" },
	at_capacity: { status: 503, close: null, retryable: true, title: "The runner is full" },
	draining: { status: 503, close: null, retryable: true, title: "The runner takes no new sessions" },
	no_runner: { status: 503, close: null, retryable: true, title: "No runner took the session in time" },
	runner_lost: { status: 503, close: null, retryable: true, title: "The runner was away for too long" },
	process_died: { status: 502, close: null, retryable: true, title: "The CLI ended in mid-turn" },
	interrupted: { status: 502, close: null, retryable: true, title: "The CLI was gone when its runner came back" },
	journal_damaged: { status: 502, close: null, retryable: true, title: "The runner's journal of the session cannot be trusted" },
	start_failed: { status: 502, close: null, retryable: true, title: "The CLI did not start" },
	stalled: { status: 504, close: null, retryable: true, title: "The CLI fell silent in mid-turn" },
	model_error: { status: 502, close: null, retryable: true, title: "The model's API reported an error" },
	not_configured: {
		status: 503,
		close: 1013,
		retryable: false,
		title: "The gateway has no way to authenticate anybody, so it serves nothing",
	},
	going_away: { status: 503, close: 1001, retryable: true, title: "The peer is going away" },
	internal: { status: 500, close: 1011, retryable: true, title: "Internal error" },
} as const satisfies Record<string, { status: number; close: number | null; retryable: boolean; title: string }>;

export type ErrorCode = keyof typeof ERRORS;
export const ErrorCode = z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]);

/** RFC 9457 `application/problem+json`; the same body stands in a WebSocket's error frame. */
export const Problem = z.object({
	type: z.string(),
	title: z.string(),
	status: z.int(),
	code: ErrorCode,
	/** What was wrong with this call, and what to do about it. */
	detail: z.string(),
	retryable: z.boolean(),
	retryAfterMs: z.int().optional(),
});
export type Problem = z.infer<typeof Problem>;

export function problem(code: ErrorCode, detail: string, retryAfterMs?: number): Problem {
	const { status, title, retryable } = ERRORS[code];
	const body = { type: `urn:hotplex:error:${code}`, title, status, code, detail, retryable };
	return retryAfterMs === undefined ? body : { ...body, retryAfterMs };
}

/** The close code for a socket that ends for this error. */
export const closeCode = (code: ErrorCode): number => ERRORS[code].close ?? 4400;

/** Whether a peer that was closed with this code should come back (PROTOCOL.md section 7). */
export function mayComeBack(code: number): boolean {
	for (const row of Object.values(ERRORS)) if (row.close === code) return row.retryable;
	// 1000 was asked for by this side or is a normal end; everything else (1006 most of all) is the network.
	return code !== 1000;
}

/** A close reason holds at most 123 bytes (RFC 6455 5.5), and cutting inside a character would make it invalid. */
export function closeReason(text: string): string {
	let bytes = 0;
	let cut = "";
	for (const c of text) {
		const point = c.codePointAt(0) ?? 0;
		bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
		if (bytes > 123) break;
		cut += c;
	}
	return cut;
}
