/** Every size limit of the wire, with its reason. workerd enforces none of them, so our own code does. */

/** Frames from a client: room for a large pasted file. Cloudflare takes 32 MiB, but an object has 128 MB for all. */
export const MAX_CLIENT_FRAME_BYTES = 1024 * 1024;
/** Frames before the sender is authenticated: a hello and a signature, nothing else. */
export const MAX_HELLO_BYTES = 10 * 1024;
/** Frames of a runner: a batch of `MAX_BATCH_BYTES` with its envelope. */
export const MAX_RUNNER_FRAME_BYTES = 1024 * 1024;
/** Events in one batch: below a frame, so that one event of the largest size still fits beside others. */
export const MAX_BATCH_BYTES = 640 * 1024;
/** One event as JSON. Larger ones travel as `part` events. A row of the log holds one at least, and rows end at 2 MB. */
export const MAX_EVENT_BYTES = 256 * 1024;
/** A packed row of the log: flushed when it would grow past this. */
export const MAX_ROW_BYTES = 256 * 1024;
/** Prompt text of one turn. */
export const MAX_INPUT_BYTES = 768 * 1024;
/** A REST body; the same as a client's frame, since both carry prompts. */
export const MAX_BODY_BYTES = MAX_CLIENT_FRAME_BYTES;
/** Nesting of any JSON of the wire. A parser's recursion and every walker's is bounded by it. */
export const MAX_DEPTH = 64;
/** What the gateway sends on: what it took, inside its own frames and pages. */
export const MAX_DEPTH_FROM_GATEWAY = MAX_DEPTH + 8;
/** A line of a CLI. Claude Code writes a tool's whole output in one; 32 MiB is over any it was seen to write. */
export const MAX_LINE_BYTES = 32 * 1024 * 1024;
/** What a watcher may have been sent and not acknowledged, before it is paused and fed from the log. */
export const WATCHER_WINDOW_BYTES = 1024 * 1024;
/** And all watchers of a session together: an object has 128 MB for all of its work. Where many watch, each has its share of this. */
export const WATCHERS_WINDOW_BYTES = 32 * 1024 * 1024;
/** What of a snapshot depends on how much people and CLIs wrote: prompts and open approvals. The current prompt always fits. */
export const MAX_SNAPSHOT_BYTES = 1024 * 1024;
/** One frame of events to a watcher, and one page of `GET /events`. */
export const MAX_PAGE_BYTES = 512 * 1024;
export const MAX_PAGE_EVENTS = 1000;
/** Inputs that wait behind the running turn of a session. */
export const MAX_WAITING_INPUTS = 16;
/** A label selector's text. Its characters are ASCII, or it does not parse. */
export const MAX_SELECTOR_BYTES = 1024;
/** Sockets that watch one session. */
export const MAX_WATCHERS = 256;

/** Frames of one client's socket in ten seconds, but for acknowledgements. What is over it is refused, and the socket stays. */
export const MAX_CLIENT_FRAMES = 600;
/** Frames of any kind in ten seconds, after which the socket is closed. A reader that catches up acknowledges some hundreds. */
export const MAX_FLOOD_FRAMES = 6_000;
/** The ten seconds. */
export const FRAMES_WINDOW_MS = 10_000;

/** A socket must say its first frame within this time. */
export const HELLO_TIMEOUT_MS = 10_000;
/** Each side sends a ping this often; two missed answers mean that the link is dead. Proxies cut idle sockets at 60 s and more. */
export const HEARTBEAT_MS = 20_000;
/** Streamed text waits at most this long in memory before it is stored. Objects hibernate after 10 s of silence, so it must be less. */
export const FLUSH_AFTER_MS = 5_000;
/** A session is told to be offline when its runner's link is away for this long; shorter absences cost no write. Less than the 10 s after which an idle object hibernates. */
export const OFFLINE_AFTER_MS = 8_000;
/** How long a lease outlives its runner's control link, if the gateway is not configured otherwise. */
export const RECONNECT_WINDOW_MS = 10 * 60_000;
export const MAX_RECONNECT_WINDOW_MS = 24 * 3_600_000;
/** How long an approval waits for a person, if the policy does not say. Then it is denied. */
export const APPROVAL_TIMEOUT_MS = 15 * 60_000;
/** Rules that people of one session made by answering "for this session". */
export const MAX_ENTRIES = 100;
/** How long a turn waits for a runner. */
export const QUEUE_TIMEOUT_MS = 30 * 60_000;
/** A waiting session asks for a runner again this often, in case a grant was lost on the way. */
export const ASK_AGAIN_MS = 15_000;
