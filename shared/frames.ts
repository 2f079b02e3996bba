import { z } from "zod";
import { Problem } from "./errors.ts";
import { Asked, Isolation, Jail, LoggedEvent, RunnerReport, SessionStateName } from "./events.ts";
import { ApprovalId, Epoch, Generation, Offset, RunnerId, Seq, SessionId, TurnId } from "./ids.ts";
import { MAX_INPUT_BYTES } from "./limits.ts";
import { Stats } from "./stats.ts";

/** Raised when a frame changes its meaning. Peers say theirs in the hello; an unknown one is refused with 4426. */
export const PROTOCOL_VERSION = 1;
/** The WebSocket subprotocol of clients. A browser adds `ticket.…` beside it; only this one is answered. */
export const SUBPROTOCOL = "hotplex.v1";
/** Answered by the platform itself without waking the object, so they are exact texts. */
export const PING = '{"type":"ping"}';
export const PONG = '{"type":"pong"}';

const protocol = z.int();

/** A client's own name for an input; the same name is taken once, however often it is sent. */
export const ClientId = z
	.string()
	.min(1)
	.max(128)
	.regex(/^[\x21-\x7e]+$/, "expected 1 to 128 printable ASCII characters without spaces");
/** A turn's prompt, in UTF-16 units here; its bytes are checked where it is taken. */
export const InputText = z.string().min(1).max(MAX_INPUT_BYTES);

export const Decision = z.object({
	approvalId: ApprovalId,
	decision: z.enum(["allow", "deny"]),
	/** Told to the model on deny, where the provider can. */
	message: z.string().max(4096).optional(),
	/** What is to run instead, where the provider can rewrite; absent: as asked. */
	updatedInput: z.record(z.string(), z.unknown()).optional(),
	/** For a question: the chosen label by question. */
	answers: z.record(z.string(), z.string()).optional(),
	/** Decide calls like this one the same from now on: in this session, or (with the scope policy:write) in the whole team. */
	remember: z.enum(["session", "always"]).optional(),
});
export type Decision = z.infer<typeof Decision>;

export const PermissionMode = z.enum(["default", "acceptEdits", "plan"]);

/** How a session's CLI is to be started. */
export const SessionSpec = z.object({
	provider: z.string(),
	/** Absolute, on the runner. Null: the runner makes an empty one for the session. */
	workDir: z.string().nullable(),
	model: z.string().nullable(),
	permissionMode: PermissionMode,
});
export type SessionSpec = z.infer<typeof SessionSpec>;

// ---------------------------------------------------------------- client link

/** A turn that has not ended. */
const OpenTurn = z.object({
	turnId: TurnId,
	/** Null: the CLI began it by itself. */
	clientId: z.string().nullable(),
	/** The prompt. Null: the CLI began it, or it is too large to stand here beside the rest. */
	text: z.string().nullable(),
	acceptedAt: z.int(),
	startedAt: z.int().nullable(),
	afterOffset: Offset,
});

/**
 * The session as it is at `lastOffset`, for a reader that cannot have all events before: with it and the events from
 * `firstOffset` on it knows what there is to know (LOG-9).
 */
export const Snapshot = z.object({
	spec: SessionSpec,
	createdAt: z.int(),
	state: SessionStateName,
	why: z.string().nullable(),
	/** The current turn. `interrupt`: somebody asked for its end. */
	turn: z.object({ ...OpenTurn.shape, interrupt: z.boolean() }).nullable(),
	/** Behind it, in order. */
	waiting: z.array(OpenTurn),
	/** What waits for a person. `event` is null if it is too large to stand here: it stays in the log, at `offset`, as long as it is open. */
	approvals: z.array(z.object({ approvalId: ApprovalId, offset: Offset, expiresAt: z.int(), event: Asked.nullable() })),
	/** The CLI's own id of the conversation. */
	nativeSessionId: z.string().nullable(),
	lease: z.object({ runnerId: RunnerId, generation: Generation }).nullable(),
	stats: Stats,
});
export type Snapshot = z.infer<typeof Snapshot>;

export const ClientFrame = z.discriminatedUnion("type", [
	z.object({
		type: z.literal("hello"),
		protocol,
		/** Events after this offset are sent. Absent: from the first that is left. */
		after: Offset.optional(),
		/** The epoch that `after` belongs to, from an earlier welcome. */
		epoch: Epoch.optional(),
		/** The life that `after` was seen in, and the highest `durableOffset` seen, so that what was shown and then lost is told (LOG-6). */
		life: z.string().max(64).optional(),
		durable: Offset.optional(),
	}),
	z.object({ type: z.literal("input"), clientId: ClientId, text: InputText }),
	z.object({ type: z.literal("interrupt") }),
	z.object({ type: z.literal("decide"), ...Decision.shape }),
	/** Everything up to here was taken in; opens the window again. */
	z.object({ type: z.literal("ack"), offset: Offset }),
	z.object({ type: z.literal("ping") }),
]);
export type ClientFrame = z.infer<typeof ClientFrame>;

export const ToClientFrame = z.discriminatedUnion("type", [
	/**
	 * The answer to the hello. It comes once more, with `recovered: false`, to a watcher that lagged so far that what it lacks
	 * was removed.
	 */
	z.object({
		type: z.literal("welcome"),
		protocol,
		sessionId: SessionId,
		epoch: Epoch,
		/** Changes whenever the gateway's memory of this log was lost; say it in the next hello. */
		life: z.string(),
		/**
		 * True: what follows continues after `after`, or after `rewindTo` if that is given. False: it begins at `firstOffset`, and
		 * events before that are lost to this reader.
		 */
		recovered: z.boolean(),
		/** Forget what you have after this offset: it was shown and then lost; it is sent again. */
		rewindTo: Offset.optional(),
		/** The first offset that is left in the log. */
		firstOffset: Offset,
		lastOffset: Offset,
		/** Up to here the log survives anything. */
		durableOffset: Offset,
		state: SessionStateName,
		why: z.string().optional(),
		/** There if what follows neither continues what the reader has nor begins at offset 1. */
		snapshot: Snapshot.optional(),
		limits: z.object({
			maxFrameBytes: z.int(),
			maxInputBytes: z.int(),
			windowBytes: z.int(),
			heartbeatMs: z.int(),
		}),
	}),
	z.object({ type: z.literal("events"), events: z.array(LoggedEvent), durableOffset: Offset }),
	/** As `rewindTo`, on a socket that stayed open while the object lost its memory. */
	z.object({ type: z.literal("rewind"), rewindTo: Offset, life: z.string() }),
	z.object({ type: z.literal("accepted"), clientId: ClientId, turnId: TurnId, duplicate: z.boolean() }),
	/** The answer to a frame that was refused. `re` repeats what it answers: a clientId, an approvalId or a frame's type. */
	z.object({ type: z.literal("error"), re: z.string().optional(), problem: Problem }),
	z.object({ type: z.literal("pong") }),
]);
export type ToClientFrame = z.infer<typeof ToClientFrame>;

// ---------------------------------------------------------------- both runner links

/** Sent first by the gateway on every runner link; answered by a signature over `signedText`. */
export const Challenge = z.object({ type: z.literal("challenge"), nonce: z.string(), protocol });
const proof = {
	protocol,
	runnerId: RunnerId,
	/** The host as the runner dialled it; binds the signature to this gateway. */
	host: z.string().max(256),
	/** Ed25519 over `signedText`, base64url. */
	signature: z.string().max(128),
};

/** What a runner signs to prove its key on one link. The nonce is the gateway's and counts once. */
export function signedText(link: { host: string; runnerId: string; nonce: string; link: string }): string {
	return ["hotplex-runner-v1", link.host, link.runnerId, link.link, link.nonce].join("\0");
}

// ---------------------------------------------------------------- a runner's session link

export const RunnerFrame = z.discriminatedUnion("type", [
	z.object({ type: z.literal("attach"), ...proof, generation: Generation }),
	/** `events[0]` has this seq, the next one more, and so on. */
	z.object({ type: z.literal("batch"), generation: Generation, firstSeq: Seq, events: z.array(RunnerReport).min(1) }),
	/** Everything is acknowledged and no process is left; the lease may end. */
	z.object({ type: z.literal("release"), generation: Generation, why: z.string().max(512) }),
	z.object({ type: z.literal("ping") }),
]);
export type RunnerFrame = z.infer<typeof RunnerFrame>;

/** The gateway's word on a tool call that waits at the gate. `pass`: nothing objects, so the CLI's own mode says whether somebody is asked. */
export const GateVerdict = z.object({
	approvalId: ApprovalId,
	verdict: z.enum(["allow", "pass", "ask", "deny"]),
	reason: z.string().max(4096),
});
export type GateVerdict = z.infer<typeof GateVerdict>;

/** What of the team's policy the runner itself needs. */
export const RunnerPolicy = z.object({
	version: z.int(),
	/** Host patterns that the session's processes may reach. */
	hosts: z.array(z.string().max(253)).max(1000),
	readRoots: z.array(z.string().max(4096)).max(256),
	writeRoots: z.array(z.string().max(4096)).max(256),
});
export type RunnerPolicy = z.infer<typeof RunnerPolicy>;

/**
 * What the session wants of its runner, whole, not as commands: it is sent at attach and after every change, and a
 * runner that compares it with what it has done cannot miss or repeat anything.
 */
export const Desired = z.object({
	/** The current turn. A runner that knows the id does not start it again. */
	turn: z.object({ turnId: TurnId, text: z.string(), interrupt: z.boolean() }).nullable(),
	decisions: z.array(Decision),
	/** Of calls that wait at the gate, or whose result is not here yet. Absent: a gateway of before there were gates. */
	verdicts: z.array(GateVerdict).optional(),
	/** True: end the processes, then release. */
	stop: z.boolean(),
	/** Absent: a gateway of before there was a policy. */
	policy: RunnerPolicy.optional(),
});
export type Desired = z.infer<typeof Desired>;

export const ToRunnerFrame = z.discriminatedUnion("type", [
	Challenge,
	z.object({
		type: z.literal("attached"),
		protocol,
		/** The last seq of this generation that is in the log. */
		ackedSeq: Seq,
		spec: SessionSpec,
		/** From an earlier process of this session, to resume its conversation. */
		nativeSessionId: z.string().nullable(),
		desired: Desired,
	}),
	z.object({ type: z.literal("desired"), desired: Desired }),
	/** In the log up to here, durably. */
	z.object({ type: z.literal("ack"), seq: Seq }),
	/** A gap: send again from this seq. */
	z.object({ type: z.literal("resend"), fromSeq: Seq }),
	z.object({ type: z.literal("error"), re: z.string().optional(), problem: Problem }),
	z.object({ type: z.literal("pong") }),
]);
export type ToRunnerFrame = z.infer<typeof ToRunnerFrame>;

// ---------------------------------------------------------------- a runner's control link

export const OfferedProvider = z.object({ name: z.string().min(1).max(64), version: z.string().max(64).nullable() });
export type OfferedProvider = z.infer<typeof OfferedProvider>;
export const Labels = z
	.record(z.string().min(1).max(64), z.string().max(128))
	.refine((l) => Object.keys(l).length <= 64, "at most 64 labels");

export const ControlFrame = z.discriminatedUnion("type", [
	z.object({ type: z.literal("authenticate"), ...proof }),
	z.object({
		type: z.literal("register"),
		version: z.string().max(64),
		capacity: z.int().min(1).max(10_000),
		labels: Labels,
		providers: z.array(OfferedProvider).max(64),
		isolation: Isolation,
		jail: Jail.optional(),
		draining: z.boolean(),
		/** What this daemon hosts now. A lease that is not here has no process any more. */
		hosted: z.array(z.object({ sessionId: SessionId, generation: Generation })).max(10_000),
	}),
	z.object({ type: z.literal("accept"), sessionId: SessionId, generation: Generation }),
	z.object({ type: z.literal("refuse"), sessionId: SessionId, generation: Generation, problem: Problem }),
	z.object({ type: z.literal("draining") }),
	z.object({ type: z.literal("ping") }),
]);
export type ControlFrame = z.infer<typeof ControlFrame>;

export const ToControlFrame = z.discriminatedUnion("type", [
	Challenge,
	z.object({ type: z.literal("authenticated"), protocol, heartbeatMs: z.int() }),
	/** The registration counts: offers may come. */
	z.object({ type: z.literal("registered") }),
	z.object({ type: z.literal("offer"), sessionId: SessionId, generation: Generation, spec: SessionSpec }),
	/** The lease is gone: end the session's processes at once and forget it. */
	z.object({ type: z.literal("drop"), sessionId: SessionId, generation: Generation, why: z.string() }),
	z.object({ type: z.literal("drain") }),
	/** Others wait: hand back this session if it is idle; without one, whichever was idle for the longest time. */
	z.object({ type: z.literal("make_room"), sessionId: SessionId.optional() }),
	z.object({ type: z.literal("error"), re: z.string().optional(), problem: Problem }),
	z.object({ type: z.literal("pong") }),
]);
export type ToControlFrame = z.infer<typeof ToControlFrame>;
