import { decode, encode } from "../shared/codec.ts";
import type { Problem } from "../shared/errors.ts";
import { problem } from "../shared/errors.ts";
import { PROTOCOL_VERSION, ToClientFrame } from "../shared/frames.ts";
import { MAX_DEPTH_FROM_GATEWAY } from "../shared/limits.ts";
import { err, ok, type Result } from "../shared/result.ts";

/** A named event this often, so that proxies and readers see life; comments are invisible to some parsers. */
const HEARTBEAT_MS = 15_000;

/**
 * A session's log as Server-Sent Events: the same frames that a WebSocket gets, read from one in the Worker. So the session's
 * object can hibernate under it, and a reader that does not read is paused by the same window (WAT-1).
 */
export function serverSentEvents(socket: WebSocket, hello: { after?: number; epoch?: string }): Response {
	const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
	const writer = writable.getWriter();
	const text = new TextEncoder();
	let writing: Promise<void> = Promise.resolve();
	let ended = false;

	const end = () => {
		if (ended) return;
		ended = true;
		clearInterval(heartbeat);
		writer.close().catch(() => {});
		try {
			socket.close(1000);
		} catch {
			// It is closed already.
		}
	};
	const write = (chunk: string, then?: () => void) => {
		// One after another: the promise settles when the reader has taken it, which is what the acknowledgement says.
		writing = writing.then(() => writer.write(text.encode(chunk))).then(then, end);
	};
	const heartbeat = setInterval(() => write("event: heartbeat\ndata: {}\n\n"), HEARTBEAT_MS);

	socket.addEventListener("message", (message) => {
		const frame = decode(ToClientFrame, message.data, Number.MAX_SAFE_INTEGER, MAX_DEPTH_FROM_GATEWAY);
		if (!frame.ok) return end();
		const f = frame.value;
		if (f.type === "events") {
			const last = f.events.at(-1)?.offset;
			const lines = f.events.map((e) => `id: ${e.offset}\ndata: ${JSON.stringify(e)}\n\n`).join("");
			if (last !== undefined) write(lines, () => socket.send(encode({ type: "ack", offset: last })));
		} else if (f.type !== "pong" && f.type !== "accepted") {
			write(`event: ${f.type}\ndata: ${JSON.stringify(f)}\n\n`);
		}
	});
	socket.addEventListener("close", () => {
		writing = writing.then(end, end);
	});
	write("retry: 1000\n\n");
	socket.send(encode({ type: "hello", protocol: PROTOCOL_VERSION, ...hello }));
	return new Response(readable, {
		headers: {
			"content-type": "text/event-stream; charset=utf-8",
			"cache-control": "no-store",
			// Some proxies hold a stream back to fill their buffers.
			"x-accel-buffering": "no",
		},
	});
}

/** The reader's place: `Last-Event-ID`, which a browser sends by itself when it comes back, over `?after=`. */
export function placeOf(request: Request, after: number | undefined): Result<number | undefined, Problem> {
	const last = request.headers.get("last-event-id");
	if (last === null || last === "") return ok(after);
	return /^\d{1,15}$/.test(last) ? ok(Number(last)) : err(problem("bad_request", "Last-Event-ID must be an offset"));
}
