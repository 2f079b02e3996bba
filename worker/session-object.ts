import { DurableObject } from "cloudflare:workers";
import type { z } from "zod";
import type { AcceptedTurn, EventPage, Stats, Turn } from "../shared/api.ts";
import type { AuditEntry } from "../shared/audit.ts";
import { decode, encode } from "../shared/codec.ts";
import { closeCode, closeReason, type ErrorCode, type Problem, problem } from "../shared/errors.ts";
import { type Asked, byteLength, DURABLE, isGateEvent } from "../shared/events.ts";
import {
	ClientFrame,
	type Decision,
	type Desired,
	PING,
	PONG,
	PROTOCOL_VERSION,
	RunnerFrame,
	type SessionSpec,
	type Snapshot,
	signedText,
	type ToClientFrame,
	type ToRunnerFrame,
} from "../shared/frames.ts";
import { Epoch, type Generation, type Offset, offset, type RunnerId, type SessionId, seq, type TeamId, TurnId } from "../shared/ids.ts";
import {
	FRAMES_WINDOW_MS,
	HEARTBEAT_MS,
	HELLO_TIMEOUT_MS,
	MAX_CLIENT_FRAME_BYTES,
	MAX_CLIENT_FRAMES,
	MAX_FLOOD_FRAMES,
	MAX_HELLO_BYTES,
	MAX_INPUT_BYTES,
	MAX_PAGE_BYTES,
	MAX_PAGE_EVENTS,
	MAX_RUNNER_FRAME_BYTES,
	MAX_SNAPSHOT_BYTES,
	MAX_WATCHERS,
	OFFLINE_AFTER_MS,
	WATCHER_WINDOW_BYTES,
	WATCHERS_WINDOW_BYTES,
} from "../shared/limits.ts";
import { err, ok, type Result } from "../shared/result.ts";
import { BUILT_IN, type PolicyEntry, type VersionedPolicy } from "../shared/waf/policy.ts";
import type { Principal } from "./auth.ts";
import { type Env, readRetention } from "./config.ts";
import { EventLog } from "./event-log.ts";
import { Bucket } from "./rate-limit.ts";
import { newId, newSecret, verifyEd25519 } from "./secrets.ts";
import {
	describe,
	type Effect,
	type Granted,
	initial,
	nextAlarm,
	openApprovals,
	type Rules,
	type SessionInput,
	type SessionState,
	step,
	touchesState,
	whyWaits,
} from "./session.ts";

/** What a session is from its first to its last day. */
export interface SessionMeta {
	sessionId: SessionId;
	team: TeamId;
	epoch: Epoch;
	createdAt: number;
}

/** What the Worker says of an upgrade that it hands over; it strips these headers from what callers send. */
export const PRINCIPAL_HEADER = "hotplex-principal";
export const RUNNER_HEADER = "hotplex-runner";
/** The hosts that the runner's proof may name, comma-separated. */
export const HOSTS_HEADER = "hotplex-hosts";

/** What survives hibernation with a client's socket. */
interface Watcher {
	kind: "client";
	principal: Principal;
	/** Null until its hello. Events up to here were sent. */
	sent: number | null;
	acked: number;
	openedAt: number;
}

/** What survives with a runner's link. */
interface RunnerLink {
	kind: "runner";
	runnerId: RunnerId;
	hosts: string[];
	/** Gone once it was used, whatever came of it. */
	nonce: string | null;
	/** Null until it attached. */
	generation: Generation | null;
	/** Above that of every link that was open when it came: a first frame that comes late takes nothing over from a newer link. */
	order?: number;
	openedAt: number;
}

/** Where the log stands in what the current generation sent. */
interface Cursor {
	generation: number;
	seq: number;
}

interface Stored {
	state: SessionState;
	cursor: Cursor;
}

/** What the team is owed by a session, until it has it. */
type Owed = { audit: AuditEntry } | { rule: PolicyEntry; by: string };
/** Handed over at once. */
const MAX_OWED = 100;
/** How long after a failure it is tried again. */
const OWED_AGAIN_MS = 5_000;

/** What a reader says of its place: `life` and `durable` as they were where it saw `after`. */
interface Place {
	after: number | null;
	epoch: string | null;
	life: string | null;
	durable: number | null;
}

/** Where it goes on. */
interface Resume {
	after: number;
	recovered: boolean;
	rewindTo?: Offset;
	/** What follows neither continues what it has nor begins at offset 1, so it needs the snapshot. */
	isCut: boolean;
}

/** Events as they go out, made once for all watchers that need just these. */
interface Page {
	json: string;
	bytes: number;
	last: Offset;
}

/** One session: its log, its watchers, its runner's link, its one alarm. Nothing else orders its events. */
export class SessionObject extends DurableObject<Env> {
	readonly #log: EventLog<Stored>;
	#meta: SessionMeta | null;
	#state: SessionState;
	/** What is stored; `#taken` is what came in, ahead of it by the tail. */
	#cursor: Cursor;
	#taken: number;
	/** Names this memory of the log: if it is lost, what was shown and not stored may come again otherwise. */
	#life = newSecret().slice(0, 16);
	/** When the alarm is set to, as far as this life knows; undefined: ask. */
	#alarmAt: number | null | undefined;
	/** When the first socket must be looked at, or earlier; undefined: ask them all. */
	#socketsDueAt: number | null | undefined;
	/** The team's policy as this session was told it last. */
	#policy: VersionedPolicy;
	/** Something is being handed over to the team. */
	#delivering = false;
	/** Something is to be handed over, as far as this life knows. */
	#owes: boolean;
	/** When what could not be handed over is tried again. */
	#owedAgainAt: number | null = null;
	/** Since when the lease's runner has no link; told (`detached`) after a grace, since most come back at once. */
	#linkLostAt: number | null = null;
	/** Who waits for the runner to give an ended session back. */
	#whenGone: (() => void)[] = [];
	/** The team is being asked for its policy. */
	#learning: Promise<boolean> | null = null;
	/** What a client's socket may still send; a socket that is idle for so long that this is forgotten has all of it again. */
	readonly #allowance = new WeakMap<WebSocket, { frames: Bucket; flood: Bucket }>();
	/** Frames sent and not acknowledged, by socket; lost with the memory, and then counted from the attachment. */
	readonly #outstanding = new WeakMap<WebSocket, { offset: number; bytes: number }[]>();

	constructor(ctx: DurableObjectState, env: Env) {
		super(ctx, env);
		ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
		this.#log = new EventLog(ctx.storage.sql, readRetention(env));
		this.#meta = this.#log.get<SessionMeta>("meta");
		this.#policy = this.#log.get<VersionedPolicy>("policy") ?? BUILT_IN;
		// A memory that was lost may have owed something.
		this.#owes = this.#log.owed(1).length > 0;
		if (this.#owes) this.#owedAgainAt = Date.now();
		const stored = this.#log.reload();
		this.#state = stored?.state ?? initial({ provider: "", workDir: null, model: null, permissionMode: "default" });
		this.#cursor = stored?.cursor ?? { generation: 0, seq: 0 };
		this.#taken = this.#cursor.seq;
		// Before this memory began more may have been shown and taken than is stored.
		this.#rewind();
		// A link that died with the gateway's process never told that it closed.
		this.#noticeLink(null);
	}

	/** Remembers since when the runner's link is away. Nothing is written for a link that comes back within the grace. */
	#noticeLink(closing: WebSocket | null): void {
		const { lease } = this.#state;
		const isUp = this.ctx.getWebSockets("runner").some((ws) => {
			const link = attachment(ws);
			return ws !== closing && ws.readyState === WebSocket.OPEN && link?.kind === "runner" && this.#isCurrent(link);
		});
		if (lease.phase !== "held" || lease.link !== "up" || isUp) this.#linkLostAt = null;
		else this.#linkLostAt ??= Date.now();
	}

	/** Takes back what watchers were shown and the log does not hold, and has the runner send it again. */
	#rewind(): void {
		for (const ws of this.ctx.getWebSockets("client")) {
			const watcher = attachment(ws);
			if (watcher?.kind === "client" && watcher.sent !== null && watcher.sent > this.#log.lastOffset) {
				const to = this.#log.lastOffset;
				ws.serializeAttachment({ ...watcher, sent: to, acked: Math.min(watcher.acked, to) } satisfies Watcher);
				this.#outstanding.delete(ws);
				sendTo(ws, { type: "rewind", rewindTo: to, life: this.#life });
			}
		}
		// A runner's link that stayed open knows what it sent; what was not stored must come again.
		if (this.ctx.getWebSockets("runner").length > 0) this.#tellRunner({ type: "resend", fromSeq: seq(this.#taken + 1) });
	}

	// ------------------------------------------------------------ called by the Worker and the team

	/** Makes the session, once; later calls change nothing. */
	create(meta: Omit<SessionMeta, "epoch" | "createdAt">, spec: SessionSpec, by: string, policy: VersionedPolicy = BUILT_IN): void {
		if (this.#meta !== null) this.setPolicy(policy);
		if (this.#meta !== null) return;
		const now = Date.now();
		const made: SessionMeta = { ...meta, epoch: newId(Epoch, "epo"), createdAt: now };
		const state = initial(spec, by);
		try {
			this.ctx.storage.transactionSync(() => {
				this.#log.put("meta", made);
				this.#log.put("policy", policy);
				this.#log.append({ type: "session_created", provider: spec.provider, workDir: spec.workDir, by }, now);
				this.#log.flush({ state, cursor: this.#cursor }, now, true);
			});
		} catch (cause) {
			this.#log.reload();
			throw cause;
		}
		this.#meta = made;
		this.#state = state;
		this.#policy = policy;
	}

	/** The team's policy has changed: what is judged from now on is judged by it. What a socket may do is asked anew if the dispatch rules changed. */
	setPolicy(policy: VersionedPolicy): void {
		const known = this.#policy;
		if (policy.version <= known.version) return;
		this.#log.put("policy", policy);
		this.#policy = policy;
		this.#tellRunner({ type: "desired", desired: this.#desired() });
		if (JSON.stringify(known.policy.dispatch) === JSON.stringify(policy.policy.dispatch)) return;
		for (const ws of this.ctx.getWebSockets("client")) close(ws, "going_away", "the team's dispatch rules changed; come back");
	}

	/** Takes a prompt, once per client id. */
	async input(given: string, clientId: string | null, by: string): Promise<Result<AcceptedTurnDto, Problem>> {
		const learning = this.#learnPolicy();
		if (learning !== null && !(await learning))
			return err(problem("going_away", "the team's policy could not be asked for, and no prompt is taken without it; send it again"));
		// SQLite keeps no half surrogates; the text that comes back must be the one that a repetition is compared with.
		const text = given.toWellFormed();
		if (byteLength(text) > MAX_INPUT_BYTES)
			return err(problem("too_large", `a prompt may have ${MAX_INPUT_BYTES} bytes; put larger ones into a file`));
		const name = clientId ?? `gateway:${newSecret()}`;
		const known = this.#log.turnOfClient(name);
		if (known !== null)
			// A text that is not kept any more cannot be compared.
			return known.text === null || known.text === text
				? ok({ ...this.#withWhy(known.turn), duplicate: true })
				: err(problem("conflict", `the client id ${name} was used for another text; use a new one for a new input`));
		const turnId = newId(TurnId, "trn");
		const refused = this.#take({ type: "input", turnId, clientId: name, text, by });
		if (refused) return err(refused);
		const taken = this.#log.turn(turnId);
		return taken
			? ok({ ...this.#withWhy(taken.turn), duplicate: false })
			: err(problem("internal", "the input was taken and is not there"));
	}

	/**
	 * A session without work is not told of new policies, so it asks before its next input (POL-3). False: it was not answered. Null: it need not
	 * ask.
	 */
	#learnPolicy(): Promise<boolean> | null {
		const meta = this.#meta;
		if (meta === null || this.#state.lease.phase !== "none") return null;
		this.#learning ??= this.env.TEAM.getByName(meta.team)
			.policyAfter(this.#policy.version)
			.then((policy) => {
				if (policy !== null) this.setPolicy(policy);
				return true;
			})
			.catch((cause: unknown) => {
				console.warn(`session ${meta.sessionId}: the policy was not asked for`, cause);
				return false;
			})
			.finally(() => {
				this.#learning = null;
			});
		return this.#learning;
	}

	/** Ends the running turn; answers its id, or null if none runs. */
	interrupt(by: string): TurnId | null {
		const turnId = this.#state.turn?.turnId ?? null;
		this.#take({ type: "interrupt", by });
		return turnId;
	}

	/** `mayRule`: whether who decides may make rules for the whole team. */
	decide(decision: Decision, by: string, mayRule: boolean): Problem | null {
		return this.#take({ type: "decide", decision, by, mayRule });
	}

	terminate(by: string): void {
		this.#take({ type: "terminate", by });
	}

	/**
	 * Whether the ended session's runner has given it back, which it does when no process of it is left; waits for that up to `timeoutMs`. False at
	 * once if the runner is away.
	 */
	async isGone(timeoutMs: number): Promise<boolean> {
		const isHeld = (): boolean => this.#state.lease.phase === "held";
		if (!isHeld()) return true;
		if (this.#linkLostAt !== null || !this.ctx.getWebSockets("runner").some((ws) => ws.readyState === WebSocket.OPEN)) return false;
		await new Promise<void>((resolve) => {
			const timer = setTimeout(resolve, timeoutMs);
			this.#whenGone.push(() => {
				clearTimeout(timer);
				resolve();
			});
		});
		return !isHeld();
	}

	/** Gives up the runner that holds the session or that it waits for. `again`: the running turn's input is taken once more, as a new turn. */
	giveUp(by: string, again: boolean): Problem | null {
		const { turn } = this.#state;
		const text = turn === null ? null : (this.#log.turn(turn.turnId)?.text ?? null);
		const repeated =
			again && turn !== null && text !== null && text !== ""
				? { turnId: newId(TurnId, "trn"), clientId: `again:${turn.turnId}`, text }
				: null;
		const refused = this.#take({ type: "give_up", by, again: repeated });
		if (refused) return refused;
		for (const ws of this.ctx.getWebSockets("runner")) {
			const link = attachment(ws);
			if (link?.kind === "runner" && link.generation !== null && !this.#isCurrent(link)) close(ws, "lease_lost", `released by ${by}`);
		}
		return null;
	}

	/** The team gives it a runner. False: it needs none any more, and the lease is over. */
	granted(lease: Granted, policy?: VersionedPolicy): boolean {
		if (policy !== undefined) this.setPolicy(policy);
		this.#take({ type: "granted", ...lease });
		return this.#state.lease.phase === "held" && this.#state.lease.generation === lease.generation;
	}

	queued(why: string): void {
		this.#take({ type: "queued", why });
	}

	/**
	 * `closing` is what the runner's link is closed for; without it, that the lease is over. `unlessReached`: only if the runner never came. False:
	 * it did, and the lease goes on.
	 */
	leaseEnded({
		closing,
		unlessReached = false,
		...ended
	}: {
		generation: Generation;
		code: ErrorCode;
		detail: string;
		again: boolean;
		closing?: ErrorCode;
		unlessReached?: boolean;
	}): boolean {
		const { lease } = this.#state;
		if (unlessReached && lease.phase === "held" && lease.generation === ended.generation && lease.link !== "never") return false;
		this.#take({ type: "lease_ended", ...ended });
		for (const ws of this.ctx.getWebSockets("runner")) {
			const link = attachment(ws);
			if (link?.kind === "runner" && link.generation !== null && link.generation <= ended.generation)
				close(ws, closing ?? "lease_lost", ended.detail);
		}
		return true;
	}

	/** Closes runner links that are half open: no ping came for two heartbeats. The team asks when the control link is. */
	async endSilentLinks(): Promise<void> {
		for (const ws of this.ctx.getWebSockets("runner")) {
			const link = attachment(ws);
			if (link?.kind !== "runner" || ws.readyState !== WebSocket.OPEN || Date.now() < silentAt(this.ctx, ws, link.openedAt)) continue;
			close(ws, "going_away", "no ping came for two heartbeats; come back");
			this.#noticeLink(ws);
		}
		await this.#schedule();
	}

	/** A page of the log as JSON (`EventPage`): what is stored, so that it never changes again. */
	events(after: number | null, epoch: string | null, limit: number, seenIn: { life: string; durable: number } | null = null): string {
		const from = this.#from({ after, epoch, life: seenIn?.life ?? null, durable: seenIn?.durable ?? null });
		const page: z.input<typeof EventPage> = {
			data: this.#log.read(from.after, { events: Math.min(limit, MAX_PAGE_EVENTS), bytes: MAX_PAGE_BYTES }, true),
			epoch: this.#mustMeta().epoch,
			firstOffset: this.#log.firstOffset,
			lastOffset: this.#log.lastOffset,
			durableOffset: this.#log.durableOffset,
			recovered: from.recovered,
			...(from.rewindTo === undefined ? {} : { rewindTo: from.rewindTo }),
			...(from.isCut ? { snapshot: this.#snapshot() } : {}),
		};
		return JSON.stringify(page);
	}

	turn(turnId: string): TurnDto | null {
		const known = this.#log.turn(turnId);
		return known === null ? null : this.#withWhy(known.turn);
	}

	turns(limit: number, cursor: number | null): TurnDto[] {
		return this.#log.turns(limit, cursor).map((turn) => this.#withWhy(turn));
	}

	#withWhy(turn: TurnDto): TurnDto {
		return { ...turn, why: whyWaits(this.#state, turn.turnId) };
	}

	stats(): StatsDto {
		const meta = this.#mustMeta();
		return { sessionId: meta.sessionId, createdAt: meta.createdAt, ...this.#log.stats() };
	}

	/** Closes what this key had opened. */
	revokeKey(keyId: string): void {
		for (const ws of this.ctx.getWebSockets("client")) {
			const watcher = attachment(ws);
			if (watcher?.kind === "client" && watcher.principal.keyId === keyId) close(ws, "unauthorized", "the API key was revoked");
		}
	}

	// ------------------------------------------------------------ sockets

	/** Upgrades only. The Worker has authenticated the client, or checked that the runner holds a lease. */
	override async fetch(request: Request): Promise<Response> {
		const [client, server] = Object.values(new WebSocketPair()) as [WebSocket, WebSocket];
		const now = Date.now();
		const runnerId = request.headers.get(RUNNER_HEADER) as RunnerId | null;
		if (runnerId !== null) {
			const nonce = newSecret();
			this.ctx.acceptWebSocket(server, ["runner"]);
			const hosts = request.headers.get(HOSTS_HEADER)?.split(",") ?? [];
			const order = 1 + Math.max(0, ...this.ctx.getWebSockets("runner").map((ws) => orderOf(attachment(ws))));
			server.serializeAttachment({ kind: "runner", runnerId, hosts, nonce, generation: null, order, openedAt: now } satisfies RunnerLink);
			sendTo(server, { type: "challenge", nonce, protocol: PROTOCOL_VERSION });
		} else {
			const principal = JSON.parse(request.headers.get(PRINCIPAL_HEADER) ?? "null") as Principal | null;
			if (principal === null || this.#meta === null) return new Response("not for this address", { status: 404 });
			if (this.ctx.getWebSockets("client").length >= MAX_WATCHERS) return new Response("too many watchers", { status: 429 });
			this.ctx.acceptWebSocket(server, ["client"]);
			server.serializeAttachment({ kind: "client", principal, sent: null, acked: 0, openedAt: now } satisfies Watcher);
		}
		this.#socketsDueAt = undefined;
		await this.#schedule();
		const chosen = request.headers.get("sec-websocket-protocol");
		return new Response(null, { status: 101, webSocket: client, headers: chosen === null ? {} : { "sec-websocket-protocol": chosen } });
	}

	override async webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): Promise<void> {
		// An input that waits for the policy keeps its place before what came after it.
		if (this.#learning !== null && attachment(ws)?.kind === "client") await this.#learning;
		const peer = attachment(ws);
		try {
			if (peer?.kind === "client") await this.#fromClient(ws, peer, message);
			else if (peer?.kind === "runner") await this.#fromRunner(ws, peer, message);
		} catch (cause) {
			// Without this the platform would leave the socket open and tell nobody.
			console.error(`session ${this.ctx.id.name}: a frame failed`, cause);
			close(ws, "internal", "the gateway failed on this frame; come back");
		}
		await this.#schedule();
	}

	override async webSocketClose(ws: WebSocket, code: number): Promise<void> {
		// The runtime does not answer the close of a hibernatable socket; without this the peer waits 10 s and sees 1006.
		ws.close(code === 1005 || code === 1006 || code === 1015 ? 1000 : code);
		this.#gone(ws);
		await this.#schedule();
	}

	override async webSocketError(ws: WebSocket): Promise<void> {
		// An oversize frame comes here only; the peer is gone all the same.
		ws.close(1011);
		this.#gone(ws);
		await this.#schedule();
	}

	override async alarm(): Promise<void> {
		this.#alarmAt = null;
		this.#socketsDueAt = undefined;
		const now = Date.now();
		if (this.#log.isFlushDue(now) || this.#isRemovalDue(now)) this.#store();
		for (const ws of this.ctx.getWebSockets()) {
			const peer = attachment(ws);
			if (peer === null) continue;
			if (isSilent(peer) && now - peer.openedAt >= HELLO_TIMEOUT_MS) close(ws, "hello_timeout", "the first frame did not come within 10 s");
			else if (peer.kind === "client" && isExpired(peer.principal, now)) close(ws, "unauthorized", "the credential has expired");
		}
		const { lease } = this.#state;
		if (lease.phase === "held" && this.#linkLostAt !== null && now - this.#linkLostAt >= OFFLINE_AFTER_MS)
			this.#take({ type: "detached", generation: lease.generation });
		this.#take({ type: "clock" });
		if (this.#owes) await this.#deliver();
		await this.#schedule();
	}

	// ------------------------------------------------------------ clients

	async #fromClient(ws: WebSocket, watcher: Watcher, message: string | ArrayBuffer): Promise<void> {
		if (isExpired(watcher.principal, Date.now())) return close(ws, "unauthorized", "the credential has expired");
		const now = Date.now();
		const allowance = this.#allowanceOf(ws, now);
		if (allowance.flood.take(now) > 0) return close(ws, "rate_limited", "too many frames on this socket");
		const frame = decode(ClientFrame, message, MAX_CLIENT_FRAME_BYTES);
		const waitMs = frame.ok && frame.value.type === "ack" ? 0 : allowance.frames.take(now);
		if (waitMs > 0)
			return sendTo(ws, {
				type: "error",
				...(frame.ok ? { re: frame.value.type === "input" ? frame.value.clientId : frame.value.type } : {}),
				problem: problem(
					"rate_limited",
					`at most ${MAX_CLIENT_FRAMES} frames in ${FRAMES_WINDOW_MS / 1000} s; this one was not taken`,
					waitMs,
				),
			});
		if (!frame.ok) return sendTo(ws, { type: "error", problem: frame.error });
		const f = frame.value;
		if (f.type === "ping") return sendTo(ws, { type: "pong" });
		if (f.type === "hello") return this.#hello(ws, watcher, f);
		if (watcher.sent === null) return sendTo(ws, { type: "error", re: f.type, problem: problem("bad_request", "say hello first") });
		if (f.type === "ack") return this.#ack(ws, watcher, f.offset);
		if (!watcher.principal.scopes.includes("sessions:write"))
			return sendTo(ws, {
				type: "error",
				re: f.type,
				problem: problem("forbidden", "this credential may watch only: it lacks the scope sessions:write"),
			});
		const by = watcher.principal.actor;
		switch (f.type) {
			case "input": {
				const taken = await this.input(f.text, f.clientId, by);
				if (taken.ok) sendTo(ws, { type: "accepted", clientId: f.clientId, turnId: taken.value.turnId, duplicate: taken.value.duplicate });
				else sendTo(ws, { type: "error", re: f.clientId, problem: taken.error });
				return;
			}
			case "interrupt":
				this.interrupt(by);
				return;
			case "decide": {
				const { type: _, ...decision } = f;
				const refused = this.decide(decision, by, watcher.principal.scopes.includes("policy:write"));
				if (refused) sendTo(ws, { type: "error", re: f.approvalId, problem: refused });
				return;
			}
		}
	}

	#allowanceOf(ws: WebSocket, now: number): { frames: Bucket; flood: Bucket } {
		const known = this.#allowance.get(ws);
		if (known !== undefined) return known;
		const fresh = {
			frames: new Bucket(MAX_CLIENT_FRAMES, MAX_CLIENT_FRAMES / FRAMES_WINDOW_MS, now),
			flood: new Bucket(MAX_FLOOD_FRAMES, MAX_FLOOD_FRAMES / FRAMES_WINDOW_MS, now),
		};
		this.#allowance.set(ws, fresh);
		return fresh;
	}

	#hello(ws: WebSocket, watcher: Watcher, hello: Extract<ClientFrame, { type: "hello" }>): void {
		if (hello.protocol !== PROTOCOL_VERSION)
			return close(ws, "unsupported_version", `this gateway speaks protocol ${PROTOCOL_VERSION}, the hello says ${hello.protocol}`);
		if (watcher.sent !== null) return sendTo(ws, { type: "error", re: "hello", problem: problem("bad_request", "hello was said already") });
		const { after = null, epoch = null, life = null, durable = null } = hello;
		const from = this.#from({ after, epoch, life, durable });
		this.#welcome(ws, from);
		const welcomed: Watcher = { ...watcher, sent: from.after, acked: from.after };
		ws.serializeAttachment(welcomed);
		this.#pump(ws, welcomed, this.#window());
	}

	#welcome(ws: WebSocket, from: Resume): void {
		const { name, why } = describe(this.#state);
		const meta = this.#mustMeta();
		sendTo(ws, {
			type: "welcome",
			protocol: PROTOCOL_VERSION,
			sessionId: meta.sessionId,
			epoch: meta.epoch,
			life: this.#life,
			recovered: from.recovered,
			...(from.rewindTo === undefined ? {} : { rewindTo: from.rewindTo }),
			firstOffset: this.#log.firstOffset,
			lastOffset: this.#log.lastOffset,
			durableOffset: this.#log.durableOffset,
			state: name,
			...(why === null ? {} : { why }),
			...(from.isCut ? { snapshot: this.#snapshot() } : {}),
			limits: {
				maxFrameBytes: MAX_CLIENT_FRAME_BYTES,
				maxInputBytes: MAX_INPUT_BYTES,
				windowBytes: WATCHER_WINDOW_BYTES,
				heartbeatMs: HEARTBEAT_MS,
			},
		});
	}

	/** Where a reader goes on, and what it is told about that (LOG-6). */
	#from({ after, epoch, life, durable }: Place): Resume {
		const beforeFirst = this.#log.firstOffset - 1;
		if (after === null) return { after: beforeFirst, recovered: true, isCut: beforeFirst > 0 };
		if (epoch !== null && epoch !== this.#mustMeta().epoch) return { after: beforeFirst, recovered: false, isCut: true };
		// What it saw after `known` may have been lost with the memory it was shown from.
		const known = life === null || life === this.#life || durable === null ? after : Math.min(after, durable);
		const to = Math.min(known, this.#log.lastOffset);
		const rewind = to < after ? { rewindTo: offset(to) } : {};
		// What it must have again may be among what was removed.
		if (to < beforeFirst) return { after: beforeFirst, recovered: false, isCut: true, ...rewind };
		return { after: to, recovered: true, isCut: false, ...rewind };
	}

	/** The session as it is now. What people and CLIs wrote fits `MAX_SNAPSHOT_BYTES`; what does not is null. */
	#snapshot(): Snapshot {
		const { spec, lease, turn, waiting, approvals, nativeSessionId } = this.#state;
		const { name, why } = describe(this.#state);
		let room = MAX_SNAPSHOT_BYTES;
		const ifItFits = <T>(value: T): T | null => {
			const bytes = byteLength(JSON.stringify(value));
			if (bytes > room) return null;
			room -= bytes;
			return value;
		};
		const open = (turnId: TurnId): Snapshot["waiting"][number] => {
			const found = this.#log.turn(turnId);
			if (found === null) throw new Error(`turn ${turnId} is open and not in the table`);
			const { clientId, acceptedAt, startedAt, afterOffset } = found.turn;
			return { turnId, clientId, text: ifItFits(found.text), acceptedAt, startedAt, afterOffset };
		};
		return {
			spec,
			createdAt: this.#mustMeta().createdAt,
			state: name,
			why,
			turn: turn === null ? null : { ...open(turn.turnId), interrupt: turn.interrupt },
			approvals: approvals.flatMap(({ approvalId, expiresAt }) => {
				const at = this.#log.asked(approvalId);
				if (at === null) return [];
				const event = this.#log.read(at - 1, { events: 1, bytes: 0 }, true)[0]?.event as Asked | undefined;
				return [{ approvalId, offset: at, expiresAt, event: ifItFits(event ?? null) }];
			}),
			waiting: waiting.map(open),
			nativeSessionId,
			lease: lease.phase === "held" ? { runnerId: lease.runnerId, generation: lease.generation } : null,
			stats: this.stats(),
		};
	}

	#ack(ws: WebSocket, watcher: Watcher, acked: number): void {
		// What was never sent cannot have been taken in (a rewind may have overtaken the ack), and what was acknowledged stays so.
		if (watcher.sent === null || acked > watcher.sent || acked <= watcher.acked) return;
		const window = this.#window();
		const frames = this.#outstandingOf(ws, watcher, window);
		while (frames[0] !== undefined && frames[0].offset <= acked) frames.shift();
		const heard: Watcher = { ...watcher, acked };
		ws.serializeAttachment(heard);
		this.#pump(ws, heard, window);
	}

	#outstandingOf(ws: WebSocket, watcher: Watcher, window: number): { offset: number; bytes: number }[] {
		let frames = this.#outstanding.get(ws);
		if (frames === undefined) {
			// After hibernation the sizes are forgotten; half a window is a guess that neither stalls nor overruns.
			frames = watcher.sent !== null && watcher.sent > watcher.acked ? [{ offset: watcher.sent, bytes: window / 2 }] : [];
			this.#outstanding.set(ws, frames);
		}
		return frames;
	}

	/** What one watcher may have been sent and not acknowledged. */
	#window(watchers = this.ctx.getWebSockets("client").length): number {
		return Math.min(WATCHER_WINDOW_BYTES, Math.floor(WATCHERS_WINDOW_BYTES / Math.max(1, watchers)));
	}

	/** Sends what this watcher lacks, as far as its window allows. The only way that events reach a socket. */
	#pump(ws: WebSocket, watcher: Watcher, window: number, pageAfter = (sent: number) => this.#page(sent, window)): void {
		const frames = this.#outstandingOf(ws, watcher, window);
		let sent = watcher.sent ?? 0;
		let open = frames.reduce((sum, f) => sum + f.bytes, 0);
		while (sent < this.#log.lastOffset && open < window) {
			const beforeFirst = this.#log.firstOffset - 1;
			if (sent < beforeFirst) {
				// It lagged, and what it lacks was removed meanwhile.
				this.#welcome(ws, { after: beforeFirst, recovered: false, isCut: true });
				sent = beforeFirst;
			}
			const page = pageAfter(sent);
			if (page === null) break;
			send(ws, page.json);
			frames.push({ offset: page.last, bytes: page.bytes });
			open += page.bytes;
			sent = page.last;
		}
		if (sent !== watcher.sent) ws.serializeAttachment({ ...watcher, sent } satisfies Watcher);
	}

	/** The events after `after`, as many as one frame takes; null if there are none. */
	#page(after: number, window: number): Page | null {
		const events = this.#log.read(after, { events: MAX_PAGE_EVENTS, bytes: Math.min(MAX_PAGE_BYTES, window / 2) }, false);
		const last = events.at(-1)?.offset;
		if (last === undefined) return null;
		const json = encode({ type: "events", events, durableOffset: this.#log.durableOffset } satisfies ToClientFrame);
		return { json, bytes: byteLength(json), last };
	}

	/**
	 * Shows what was appended after `after` to all who are up to date, each frame made once; the others come to it from the log.
	 * Where nobody takes anything nothing is read.
	 */
	#broadcast(after: number): void {
		const sockets = this.ctx.getWebSockets("client");
		if (sockets.length === 0 || after >= this.#log.lastOffset) return;
		const window = this.#window(sockets.length);
		const fresh = new Map<number, Page | null>();
		const pageAfter = (sent: number): Page | null => {
			if (sent < after) return this.#page(sent, window);
			const made = fresh.get(sent) ?? this.#page(sent, window);
			fresh.set(sent, made);
			return made;
		};
		for (const ws of sockets) {
			const watcher = attachment(ws);
			if (watcher?.kind === "client" && watcher.sent !== null) this.#pump(ws, watcher, window, pageAfter);
		}
	}

	// ------------------------------------------------------------ the runner

	async #fromRunner(ws: WebSocket, link: RunnerLink, message: string | ArrayBuffer): Promise<void> {
		const frame = decode(RunnerFrame, message, link.generation === null ? MAX_HELLO_BYTES : MAX_RUNNER_FRAME_BYTES);
		if (!frame.ok) return close(ws, frame.error.code, frame.error.detail);
		const f = frame.value;
		if (f.type === "ping") return sendTo(ws, { type: "pong" });
		if (f.type === "attach") return this.#attach(ws, link, f);
		if (link.generation === null) return close(ws, "unauthorized", "attach first");
		if (f.generation !== link.generation || !this.#isCurrent(link)) return close(ws, "lease_lost", "another lease has replaced this one");
		if (f.type === "batch") return this.#batch(ws, f);
		this.#take({ type: "released", generation: f.generation, why: f.why });
		ws.close(1000, "released");
	}

	async #attach(ws: WebSocket, link: RunnerLink, f: Extract<RunnerFrame, { type: "attach" }>): Promise<void> {
		if (f.protocol !== PROTOCOL_VERSION)
			return close(ws, "unsupported_version", `this gateway speaks protocol ${PROTOCOL_VERSION}; update the runner`);
		const { lease } = this.#state;
		const { nonce } = link;
		ws.serializeAttachment({ ...link, nonce: null } satisfies RunnerLink);
		const meta = this.#meta;
		if (meta === null || nonce === null || f.runnerId !== link.runnerId || !link.hosts.includes(f.host))
			return close(ws, "unauthorized", "this runner's key was not proven");
		if (lease.phase !== "held" || lease.runnerId !== link.runnerId || lease.generation !== f.generation)
			return close(ws, "lease_lost", "this runner does not hold the session's lease");
		const signed = signedText({ host: f.host, runnerId: f.runnerId, nonce, link: meta.sessionId });
		if (!(await verifyEd25519(lease.publicKey, f.signature, signed))) return close(ws, "unauthorized", "this runner's key was not proven");
		const attached: RunnerLink = { ...link, nonce: null, generation: f.generation };
		// Meanwhile the lease may have gone to another.
		if (!this.#isCurrent(attached)) return close(ws, "lease_lost", "another lease has replaced this one");
		const others = this.ctx.getWebSockets("runner").filter((other) => {
			const peer = attachment(other);
			return other !== ws && other.readyState === WebSocket.OPEN && peer?.kind === "runner" && peer.generation !== null;
		});
		const isLate = others.some((other) => {
			const peer = attachment(other);
			return peer?.kind === "runner" && peer.generation === f.generation && orderOf(peer) > orderOf(link);
		});
		if (isLate) return close(ws, "superseded", "a newer connection of this runner is attached");
		for (const older of others) close(older, "superseded", "a newer connection of this runner took over");
		ws.serializeAttachment(attached);
		this.#linkLostAt = null;
		// The runner goes on after what is stored, perhaps with other events than those that came over an older connection: those must be stored then.
		if (this.#taken > this.#cursor.seq) this.#store();
		this.#take({ type: "attached", generation: f.generation }, () => {
			sendTo(ws, {
				type: "attached",
				protocol: PROTOCOL_VERSION,
				ackedSeq: seq(this.#cursor.seq),
				spec: this.#state.spec,
				nativeSessionId: this.#state.nativeSessionId,
				desired: this.#desired(),
			});
		});
	}

	#isCurrent(link: RunnerLink): boolean {
		const { lease } = this.#state;
		return lease.phase === "held" && lease.generation === link.generation && lease.runnerId === link.runnerId;
	}

	#batch(ws: WebSocket, f: Extract<RunnerFrame, { type: "batch" }>): void {
		if (f.firstSeq > this.#taken + 1) return sendTo(ws, { type: "resend", fromSeq: seq(this.#taken + 1) });
		const events = f.events.slice(this.#taken + 1 - f.firstSeq);
		if (events.length === 0) return this.#ackRunner();
		const now = Date.now();
		const after = this.#log.lastOffset;
		this.#taken += events.length;
		if (events.some((e) => DURABLE[e.type]))
			this.#commit((perform) => {
				for (const event of events) {
					if (touchesState(event) || isGateEvent(event)) perform(step(this.#state, { type: "runner_event", event }, now, this.#rules()));
					else this.#log.append(event, now);
				}
			});
		else {
			for (const event of events) if (!isGateEvent(event)) this.#log.append(event, now);
			if (this.#log.isFlushDue(now)) this.#store();
			this.#broadcast(after);
		}
	}

	#ackRunner(): void {
		this.#tellRunner({ type: "ack", seq: seq(this.#cursor.seq) });
	}

	#tellRunner(frame: ToRunnerFrame): void {
		for (const ws of this.ctx.getWebSockets("runner")) {
			const link = attachment(ws);
			if (link?.kind === "runner" && this.#isCurrent(link)) sendTo(ws, frame);
		}
	}

	#desired(): Desired {
		const { turn, approvals, closed, verdicts } = this.#state;
		const { version, policy } = this.#policy;
		return {
			turn: turn === null ? null : { turnId: turn.turnId, text: this.#log.turn(turn.turnId)?.text ?? "", interrupt: turn.interrupt },
			decisions: approvals.map((a) => a.decision).filter((d) => d !== null),
			verdicts: (verdicts ?? []).map(({ approvalId, verdict, reason }) => ({ approvalId, verdict, reason })),
			stop: closed,
			policy: { version, hosts: policy.hosts, readRoots: policy.roots.read, writeRoots: policy.roots.write },
		};
	}

	#gone(ws: WebSocket): void {
		if (attachment(ws)?.kind === "runner") this.#noticeLink(ws);
	}

	// ------------------------------------------------------------ decide, commit, perform

	/** One input through the state machine. `first` runs after the commit and before the effects. */
	#take(input: SessionInput, first?: () => void): Problem | null {
		const next = step(this.#state, input, Date.now(), this.#rules());
		if (next.refused) {
			if (next.effects.length > 0) this.#commit((perform) => perform(next));
			return next.refused;
		}
		if (next.effects.length > 0 || next.state !== this.#state) this.#commit((perform) => perform(next), first);
		else first?.();
		return null;
	}

	/** Runs steps in one transaction with their events and all that waits to be stored, then performs their effects. */
	#commit(work: (perform: (next: { state: SessionState; effects: Effect[] }) => void) => void, first?: () => void): void {
		const before = { state: this.#state, cursor: this.#cursor, after: this.#log.lastOffset };
		const effects: Effect[] = [];
		try {
			this.ctx.storage.transactionSync(() => {
				work((next) => {
					this.#state = next.state;
					for (const effect of next.effects) {
						if (effect.do === "append") this.#log.append(effect.event, Date.now());
						else if (effect.do === "audit") this.#owe({ audit: effect.entry });
						else if (effect.do === "add_entry") this.#owe({ rule: effect.entry, by: effect.by });
						else effects.push(effect);
					}
				});
				const { lease } = this.#state;
				if (lease.phase === "held" && lease.generation !== this.#cursor.generation) {
					// A new generation numbers from 1.
					this.#cursor = { generation: lease.generation, seq: 0 };
					this.#taken = 0;
				}
				this.#cursor = { ...this.#cursor, seq: this.#taken };
				this.#log.flush({ state: this.#state, cursor: this.#cursor }, Date.now(), this.#isAsking());
			});
		} catch (cause) {
			this.#state = before.state;
			this.#forget(before.cursor);
			throw cause;
		}
		this.#broadcast(before.after);
		if (this.#cursor.seq !== before.cursor.seq) this.#ackRunner();
		first?.();
		for (const effect of effects) this.#perform(effect);
		this.#note(before.state);
		if (this.#state.lease.phase !== "held") for (const look of this.#whenGone.splice(0)) look();
		// Without an alarm: were this memory lost, the runner's link, which comes back, would wake the next one.
		if (this.#owes) this.ctx.waitUntil(this.#deliver());
		this.ctx.waitUntil(this.#schedule());
	}

	#rules(): Rules {
		const sessionId = this.#meta?.sessionId ?? "";
		return {
			versioned: this.#policy,
			sessionId,
			newEntryId: () => `${sessionId}.${newSecret().slice(0, 12)}`.toLowerCase().replace(/[^a-z0-9._-]/g, "-"),
		};
	}

	/** Keeps something for the team. Call inside the transaction. */
	#owe(owed: Owed): void {
		this.#log.owe(owed);
		this.#owes = true;
	}

	/** Hands over to the team what it is owed, in order; what fails is tried again by the alarm. The team takes each once. */
	async #deliver(): Promise<void> {
		const meta = this.#meta;
		if (meta === null || this.#delivering) return;
		this.#delivering = true;
		try {
			const team = this.env.TEAM.getByName(meta.team);
			for (;;) {
				const owed = this.#log.owed<Owed>(MAX_OWED);
				const [first] = owed;
				if (first === undefined) break;
				if ("rule" in first.owed) {
					const added = await team.addEntry(first.owed.rule, first.owed.by);
					if (!added.ok) console.warn(`session ${meta.sessionId}: the team's policy did not take a rule: ${added.error.detail}`);
					this.#log.delivered(first.n);
					continue;
				}
				const entries: AuditEntry[] = [];
				for (const { n, owed: one } of owed) {
					if (!("audit" in one) || n !== first.n + entries.length) break;
					entries.push(one.audit);
				}
				await team.audit(meta.sessionId, first.n, entries);
				this.#log.delivered(first.n + entries.length - 1);
			}
			this.#owes = false;
			this.#owedAgainAt = null;
		} catch (cause) {
			console.warn(`session ${meta.sessionId}: the team did not take what it is owed; it is kept and tried again`, cause);
			this.#owedAgainAt = Date.now() + OWED_AGAIN_MS;
			await this.#schedule();
		} finally {
			this.#delivering = false;
		}
	}

	/** Stores the tail alone. */
	#store(): void {
		const before = this.#cursor;
		const after = this.#log.lastOffset;
		try {
			this.ctx.storage.transactionSync(() => {
				this.#cursor = { ...before, seq: this.#taken };
				this.#log.flush({ state: this.#state, cursor: this.#cursor }, Date.now(), this.#isAsking());
			});
		} catch (cause) {
			this.#forget(before);
			throw cause;
		}
		// A removal tells of itself.
		this.#broadcast(after);
		if (this.#cursor.seq !== before.seq) this.#ackRunner();
	}

	/** While somebody is asked nothing is removed: who comes to decide must see what led there. */
	#isAsking(): boolean {
		return this.#state.approvals.some((a) => a.decision === null);
	}

	#isRemovalDue(now: number): boolean {
		const dueAt = this.#isAsking() ? null : this.#log.removalDueAt;
		return dueAt !== null && dueAt <= now;
	}

	/** After a failed transaction: back to what is stored, as if this memory had begun now. */
	#forget(cursor: Cursor): void {
		this.#cursor = cursor;
		this.#taken = cursor.seq;
		this.#log.reload();
		this.#life = newSecret().slice(0, 16);
		this.#rewind();
	}

	#perform(effect: Effect): void {
		if (effect.do === "append" || effect.do === "audit" || effect.do === "add_entry") return;
		if (effect.do === "tell_runner") return this.#tellRunner({ type: "desired", desired: this.#desired() });
		const { team, sessionId } = this.#mustMeta();
		const stub = this.env.TEAM.getByName(team);
		// If one of these is lost, the alarm asks again, and asking ends whatever lease the team still has on its books.
		const call =
			effect.do === "ask_for_runner"
				? stub.acquire(sessionId, this.#cursor.generation)
				: effect.do === "stop_asking"
					? stub.stopAsking(sessionId)
					: effect.do === "forget_home"
						? stub.forgetHome(sessionId)
						: stub.release(sessionId, effect.generation, effect.forgetHome ?? false);
		this.ctx.waitUntil(call.catch((cause: unknown) => console.warn(`session ${sessionId}: ${effect.do} did not reach the team`, cause)));
	}

	/** Keeps the team's index of sessions up to date. */
	#note(before: SessionState): void {
		const was = describe(before);
		const is = describe(this.#state);
		const { containment, approvals } = this.#state;
		const meta = this.#meta;
		if (meta === null) return;
		if (before.approvals !== approvals)
			this.ctx.waitUntil(
				this.env.TEAM.getByName(meta.team)
					.noteApprovals(
						meta.sessionId,
						openApprovals(this.#state).map((asked) => ({ ...asked, offset: this.#log.asked(asked.approvalId) })),
					)
					.catch((cause: unknown) => console.warn(`session ${meta.sessionId}: its approvals did not reach the index`, cause)),
			);
		if (was.name === is.name && was.why === is.why && before.lease === this.#state.lease && before.containment === containment) return;
		this.ctx.waitUntil(
			this.env.TEAM.getByName(meta.team)
				.noteSession(meta.sessionId, is.name, is.why, containment ?? null)
				.catch((cause: unknown) => console.warn(`session ${meta.sessionId}: its state did not reach the index`, cause)),
		);
	}

	/**
	 * Sets the one alarm to the earliest need, if it is not early enough already. Each setting is a row written. Ages are a need of
	 * their own only where `LOG_MAX_AGE` is set: a session that nobody uses any more must lose its log all the same, and
	 * wakes for that at most eight times in that time, until nothing is left to remove.
	 */
	async #schedule(): Promise<void> {
		const lost = this.#linkLostAt === null ? null : this.#linkLostAt + OFFLINE_AFTER_MS;
		const removalDueAt = this.#isAsking() ? null : this.#log.removalDueAt;
		// Asked again only when a socket came and by the alarm: what went meanwhile makes one alarm too many, not one a message.
		if (this.#socketsDueAt === undefined) this.#socketsDueAt = this.#firstDeadline();
		const needs = [nextAlarm(this.#state), this.#log.flushDueAt, removalDueAt, this.#socketsDueAt, lost, this.#owedAgainAt].filter(
			(n) => n !== null,
		);
		if (needs.length === 0) return;
		const due = Math.min(...needs);
		if (this.#alarmAt === undefined) this.#alarmAt = await this.ctx.storage.getAlarm();
		if (this.#alarmAt !== null && this.#alarmAt <= due) return;
		this.#alarmAt = due;
		await this.ctx.storage.setAlarm(due);
	}

	/** When the first socket must be closed: silent for too long, or its credential over. */
	#firstDeadline(): number | null {
		let first = Number.POSITIVE_INFINITY;
		for (const ws of this.ctx.getWebSockets()) {
			const peer = attachment(ws);
			// One that is closing was told; a peer that does not answer must not keep the alarm busy.
			if (peer === null || ws.readyState !== WebSocket.OPEN) continue;
			if (isSilent(peer)) first = Math.min(first, peer.openedAt + HELLO_TIMEOUT_MS);
			if (peer.kind === "client" && peer.principal.expiresAt !== null) first = Math.min(first, peer.principal.expiresAt);
		}
		return first === Number.POSITIVE_INFINITY ? null : first;
	}

	#mustMeta(): SessionMeta {
		if (this.#meta === null) throw new Error(`session ${this.ctx.id.name} was never created`);
		return this.#meta;
	}
}

/** When a link counts as half open: two heartbeats after its last ping, which the platform answers and remembers without waking the object. */
export const silentAt = (ctx: DurableObjectState, ws: WebSocket, openedAt: number): number =>
	Math.max(openedAt, ctx.getWebSocketAutoResponseTimestamp(ws)?.getTime() ?? 0) + 2 * HEARTBEAT_MS;

// RPC types are computed by the compiler; named ones keep that from going deep.
export type TurnDto = z.output<typeof Turn>;
export type AcceptedTurnDto = z.output<typeof AcceptedTurn>;
export type StatsDto = z.output<typeof Stats>;

function attachment(ws: WebSocket): Watcher | RunnerLink | null {
	// Only this object writes attachments, so they are read back as written.
	return ws.deserializeAttachment() as Watcher | RunnerLink | null;
}

/** Links of before there was an order are older than all that have one. */
const orderOf = (peer: Watcher | RunnerLink | null): number => (peer?.kind === "runner" ? (peer.order ?? 0) : 0);

const isSilent = (peer: Watcher | RunnerLink): boolean => (peer.kind === "client" ? peer.sent === null : peer.generation === null);

const isExpired = (principal: Principal, now: number): boolean => principal.expiresAt !== null && principal.expiresAt <= now;

function send(ws: WebSocket, json: string): void {
	try {
		ws.send(json);
	} catch {
		// It is closing; its close event does the rest.
	}
}

const sendTo = (ws: WebSocket, frame: ToClientFrame | ToRunnerFrame): void => send(ws, encode(frame));

/** Says why in a frame, which has room, and closes with the code. */
function close(ws: WebSocket, code: ErrorCode, detail: string): void {
	sendTo(ws, { type: "error", problem: problem(code, detail) });
	try {
		ws.close(closeCode(code), closeReason(detail));
	} catch {
		// It is closed already.
	}
}
