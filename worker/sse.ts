import { decode, encode } from "../shared/codec.ts";
import type { Problem } from "../shared/errors.ts";
import { problem } from "../shared/errors.ts";
import { PROTOCOL_VERSION, ToClientFrame } from "../shared/frames.ts";
import { MAX_DEPTH_FROM_GATEWAY } from "../shared/limits.ts";
import { err, ok, type Result } from "../shared/result.ts";

/** A named event this often, so that proxies and readers see life; comments are invisible to some parsers. */
const HEARTBEAT_MS = 15_000;

/** A reader's place in a log: an offset, and for an event that was not stored when it was shown, what a hello says beside it (LOG-6). */
export interface Place {
	after: number;
	seenIn: { life: string; durable: number } | null;
}

/**
 * A session's log as Server-Sent Events: the same frames that a WebSocket gets, read from one in the Worker. So the session's
 * object can hibernate under it, and a reader that does not read is paused by the same window (WAT-1).
 */
export function serverSentEvents(socket: WebSocket, place: Place | null, epoch: string | null): Response {
	const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
	const writer = writable.getWriter();
	const text = new TextEncoder();
	let writing: Promise<void> = Promise.resolve();
	let isBeating = false;
	let ended = false;
	let life = "";

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
	const heartbeat = setInterval(() => {
		// Who does not read has no use for more of them, and they would pile up.
		if (isBeating) return;
		isBeating = true;
		write("event: heartbeat\ndata: {}\n\n", () => {
			isBeating = false;
		});
	}, HEARTBEAT_MS);

	socket.addEventListener("message", (message) => {
		const frame = decode(ToClientFrame, message.data, Number.MAX_SAFE_INTEGER, MAX_DEPTH_FROM_GATEWAY);
		if (!frame.ok) return end();
		const f = frame.value;
		if (f.type === "welcome" || f.type === "rewind") life = f.life;
		if (f.type === "events") {
			const last = f.events.at(-1)?.offset;
			const id = (at: number): string => (at <= f.durableOffset ? `${at}` : `${at}.${life}.${f.durableOffset}`);
			const lines = f.events.map((e) => `id: ${id(e.offset)}\ndata: ${JSON.stringify(e)}\n\n`).join("");
			if (last !== undefined) write(lines, () => socket.send(encode({ type: "ack", offset: last })));
		} else if (f.type !== "pong" && f.type !== "accepted") {
			write(`event: ${f.type}\ndata: ${JSON.stringify(f)}\n\n`);
		}
	});
	socket.addEventListener("close", () => {
		writing = writing.then(end, end);
	});
	write("retry: 1000\n\n");
	const hello = { ...(place === null ? {} : { after: place.after, ...place.seenIn }), ...(epoch === null ? {} : { epoch }) };
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

/** The reader's place: `Last-Event-ID`, which a browser sends by itself when it comes back, over `?after=`. Null: none is named. */
export function placeOf(request: Request, after: number | undefined): Result<Place | null, Problem> {
	const last = request.headers.get("last-event-id");
	if (last === null || last === "") return ok(after === undefined ? null : { after, seenIn: null });
	const [, at, life, durable] = /^(\d{1,15})(?:\.([\w-]{1,64})\.(\d{1,15}))?$/.exec(last) ?? [];
	if (at === undefined) return err(problem("bad_request", "Last-Event-ID must be an offset, or the id of an event as it was sent"));
	return ok({ after: Number(at), seenIn: life === undefined ? null : { life, durable: Number(durable) } });
}
