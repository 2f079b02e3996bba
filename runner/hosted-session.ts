import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Problem, problem } from "../shared/errors.ts";
import { byteLength, type CallPlace, DURABLE, type RunnerReport } from "../shared/events.ts";
import { type Decision, type Desired, type GateVerdict, type RunnerFrame, type SessionSpec, ToRunnerFrame } from "../shared/frames.ts";
import { type Generation, idBody, type SessionId, seq, type TurnId } from "../shared/ids.ts";
import { MAX_BATCH_BYTES } from "../shared/limits.ts";
import { ok, type Result } from "../shared/result.ts";
import { decideForOwner, narrowHosts } from "../shared/waf/policy.ts";
import { graver, type Judgement } from "../shared/waf/verdict.ts";
import { CliProcess, findCommand, TERM_GRACE_MS } from "./cli-process.ts";
import type { RunnerConfig } from "./config.ts";
import type { Egress, OpenEgress } from "./egress.ts";
import { Hosting, type Note, type PauseWhy, type StopWhy } from "./hosting.ts";
import type { Identity } from "./identity.ts";
import { type Confinement, enter, JAIL_HOME, removeHome, userOf } from "./jail.ts";
import { Journal, seal, unseal, writeWhole } from "./journal.ts";
import { Link } from "./link.ts";
import { credentialsIn } from "./model-keys.ts";
import type { InstalledProvider } from "./providers.ts";
import { judgeHidden } from "./redaction.ts";
import { ownWorkDir, resolveWorkDir } from "./work-dir.ts";

/** The first event after a pause goes at once; those that follow closely share a batch. */
const COALESCE_MS = 15;
/** Unacknowledged events in memory; at this the output is not read on, and stays in the journal. */
const MAX_OUTBOX_BYTES = 8 * 1024 * 1024;
/** An interrupted turn that goes on for this long has its process ended. */
const INTERRUPT_GRACE_MS = 10_000;
/** How often silence and idleness are looked for, at least. */
const WATCH_MS = 5_000;
const MIN_WATCH_MS = 50;
/** How often the journal's size is looked at, when no output is reported. */
const GUARD_MS = 250;
/** How long a daemon that makes way for the next waits until what it read is in the log. Streamed text is stored within 5 s. */
const LEAVE_MS = 8_000;
const TAKEN = "another session of this runner has this conversation open; two processes would fork it and lose a branch";
/** Between SIGTERM and SIGKILL when the session is over: all of it is to be gone within 2 s. */
const TERMINATE_GRACE_MS = 1_500;
const STDERR_TAIL_BYTES = 2_000;

/** Milliseconds that no correction of the machine's clock changes: what is measured by them ends processes. */
const now = (): number => performance.now();

export interface Host {
	config: RunnerConfig;
	identity: Identity;
	stateDir: string;
	confinement: Confinement;
	/** The sessions' way to the network; null where it is the machine's own. */
	egress: Egress | null;
	provider(name: string): InstalledProvider | null;
	/** One process per conversation: false if another hosted session has it. */
	claimNative(nativeSessionId: string, sessionId: SessionId): boolean;
	/** Bytes that are free for journals, above what is to stay free. */
	spareDiskBytes(): number;
	/** A note could not be written. What is not written is not done, so the daemon ends; the CLIs stay, and the next one goes on with them. */
	failed(cause: unknown): never;
	/** What its process does has changed, for whoever looks at the daemon. */
	changed(): void;
	/** The session is over here, and nothing of it is left. */
	forget(session: HostedSession): void;
}

/** One process of the session with its journal. */
interface Run {
	journal: Journal;
	hosting: Hosting;
	process: CliProcess | null;
	/** Lines for stdin so far, for comparison with what an earlier daemon had written. */
	writes: number;
	/** The seq that its last mark says. */
	markedSeq: number;
	started: boolean;
	exited: boolean;
	/** And nothing of it is left to be read. */
	ended: boolean;
}

/**
 * A session as its runner sees it: the link to its object, the journals of its processes, and what of them is not acknowledged.
 * It compares what the gateway desires with what the journals say was done, and does the difference.
 */
export class HostedSession {
	readonly sessionId: SessionId;
	readonly generation: Generation;
	readonly #host: Host;
	readonly #dir: string;
	#spec: SessionSpec;
	#nativeSessionId: string | null = null;
	readonly #link: Link<typeof ToRunnerFrame>;
	#attached = false;
	/** Null until the first attach: only then it is known where the log stands. */
	#ackedSeq: number | null = null;
	#seq = 0;
	#outbox: { seq: number; event: RunnerReport; bytes: number }[] = [];
	#outboxBytes = 0;
	#sentSeq = 0;
	#sendTimer: NodeJS.Timeout | null = null;
	#sendNow: NodeJS.Immediate | null = null;
	#lastSentAt = 0;
	#runs: Run[] = [];
	/** Journals of an earlier daemon that are not opened yet, in order. */
	#unread: number[];
	/** The process of the last of them, found at once, so that its journal is kept within bounds before the gateway is reached. */
	#survivor: { journal: Journal; process: CliProcess } | null = null;
	/** Why the CLI is stopped. */
	#paused: PauseWhy | null = null;
	#toldPaused = false;
	readonly #guardTimer: NodeJS.Timeout;
	/** Makes way for the next daemon: nothing more is read or written. */
	#leaving: (() => void) | null = null;
	#caughtUp = false;
	/** Turns under way to a journal; those in it are its own to know. */
	readonly #begun = new Set<TurnId>();
	#desired: Desired | null = null;
	#reconciling: Promise<void> | null = null;
	#again = false;
	/** Why processes are being ended, and no more are started. */
	#handingBack: StopWhy | null = null;
	#stopWhy: StopWhy | null = null;
	#interruptTimer: NodeJS.Timeout | null = null;
	readonly #watchTimer: NodeJS.Timeout;
	#lastOutputAt = now();
	#lastTurnAt = now();
	#toldSilent = false;
	/** The hosts that the network's proxy was told last, joined; null: none yet. */
	#openHosts: string | null = null;
	/** Names of keys that its CLI holds itself. */
	#keysInside: string[] = [];
	#released = false;
	#abandoned = false;
	#over = false;

	constructor(host: Host, sessionId: SessionId, generation: Generation, spec: SessionSpec) {
		this.#host = host;
		this.sessionId = sessionId;
		this.generation = generation;
		this.#spec = spec;
		this.#dir = join(sessionsDir(host.stateDir), sessionId, String(generation));
		mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
		const specFile = join(this.#dir, "hosting.json");
		if (!existsSync(specFile)) this.#write(() => writeWhole(specFile, seal(spec)));
		this.#unread = readdirSync(this.#dir)
			.filter((name) => /^\d+$/.test(name))
			.map(Number)
			.sort((a, b) => a - b);
		const last = this.#unread.at(-1);
		if (last !== undefined) {
			const journal = new Journal(join(this.#dir, String(last)));
			const process = CliProcess.adopt(journal.dir) ?? CliProcess.adoptStray(journal.dir);
			if (process !== null) this.#survivor = { journal, process };
		}
		const { url, team, runnerId } = host.identity;
		this.#link = new Link({
			url: `${url.replace(/^http/, "ws")}/v1/link/${team}/${runnerId}/${sessionId}`,
			schema: ToRunnerFrame,
			onFrame: (frame) => this.#onFrame(frame),
			onDown: () => {
				this.#attached = false;
			},
			onEnded: () => void this.drop("lease_lost"),
		});
		const { silenceTimeout, idleTimeout } = host.config;
		this.#guardTimer = setInterval(() => this.#guard(), GUARD_MS);
		this.#guard();
		this.#watchTimer = setInterval(() => this.#watch(), Math.max(MIN_WATCH_MS, Math.min(WATCH_MS, silenceTimeout / 2, idleTimeout / 2)));
	}

	/** What its process is doing, for people. */
	get status(): { state: string; pid: number | null; turn: TurnId | null } {
		const run = this.#run;
		return { state: run?.hosting.process ?? "idle", pid: run?.process?.pid ?? null, turn: run?.hosting.turn?.turnId ?? null };
	}

	/** It has said that no process of it is left; it holds no place here, though the gateway's answer is not here yet. */
	get isReleased(): boolean {
		return this.#released;
	}

	/** Ends the process when its turn has ended, and gives the lease back. After the grace, if there is one, the turn is interrupted. */
	async handBack(why: StopWhy, graceMs: number | null): Promise<void> {
		this.#handingBack ??= why;
		// None for who is idle: a turn that began meanwhile is nobody's fault.
		const deadline = graceMs === null ? undefined : setTimeout(() => this.#interrupt(), graceMs);
		await this.#reconcile();
		await new Promise<void>((resolve) => {
			const timer = setInterval(() => {
				if (!this.#over) return;
				clearInterval(timer);
				clearTimeout(deadline);
				resolve();
			}, 20);
		});
	}

	/** The lease is gone: ends the processes now and forgets the session. Nothing more is sent. */
	async drop(why: StopWhy): Promise<void> {
		if (this.#over) return;
		const isTerminated = this.#handingBack === "terminated";
		this.#handingBack = why;
		this.#close();
		await this.#process?.stop(1_000);
		await this.#host.egress?.close(this.sessionId);
		rmSync(this.#dir, { recursive: true, force: true });
		if (isTerminated) removeHome(this.#host.stateDir, this.sessionId);
		this.#host.forget(this);
	}

	/** Its proxy refused it a host. */
	refused(to: { subject: string; rule: string; reason: string }): void {
		const run = this.#run;
		if (!this.#caughtUp || run === null || run.ended || this.#leaving !== null) return;
		this.#note(run, { type: "refused", ...to });
	}

	/** Ends the running turn. */
	interrupt(): void {
		this.#interrupt();
	}

	/** Ends the process and keeps the journal: its end is told by the next daemon. */
	async suspend(graceMs: number): Promise<void> {
		await this.#survivor?.process.stop(graceMs);
		await this.#stopProcess("drained", graceMs);
		await this.#host.egress?.close(this.sessionId);
		this.#close();
	}

	/** Lets go without ending anything: the process goes on, and the next daemon finds it. */
	leave(): void {
		if (!this.#over) this.#close();
	}

	/**
	 * The same, for a daemon of another version: waits until what was read is in the log and marks the place, so that the next one may make
	 * other events of what follows.
	 */
	async makeWay(): Promise<void> {
		if (this.#over) return;
		this.#flush();
		await new Promise<void>((resolve) => {
			this.#leaving = resolve;
			setTimeout(resolve, LEAVE_MS).unref();
			this.#mark();
		});
		this.leave();
	}

	// ------------------------------------------------------------ the link

	#onFrame(frame: ToRunnerFrame): void {
		switch (frame.type) {
			case "challenge": {
				const proof = this.#host.identity.prove(frame.nonce, this.sessionId);
				this.#send({ type: "attach", ...proof, generation: this.generation });
				return;
			}
			case "attached":
				this.#attached = true;
				this.#spec = frame.spec;
				this.#nativeSessionId ??= frame.nativeSessionId;
				this.#acked(frame.ackedSeq);
				this.#fold();
				this.#sentSeq = frame.ackedSeq;
				this.#flush();
				this.#want(frame.desired);
				this.#releaseIfDone();
				return;
			case "desired":
				this.#want(frame.desired);
				return;
			case "ack":
				this.#acked(frame.seq);
				this.#mark();
				this.#fold();
				this.#releaseIfDone();
				return;
			case "resend":
				this.#sentSeq = Math.min(this.#sentSeq, frame.fromSeq - 1);
				this.#flush();
				return;
			case "error":
			case "pong":
				return;
		}
	}

	#send(frame: RunnerFrame): boolean {
		return this.#link.send(frame);
	}

	#want(desired: Desired): void {
		this.#desired = desired;
		this.#narrowNetwork();
		void this.#reconcile();
	}

	#acked(upTo: number): void {
		this.#ackedSeq = Math.max(this.#ackedSeq ?? 0, upTo);
		let n = 0;
		while ((this.#outbox[n]?.seq ?? Number.POSITIVE_INFINITY) <= this.#ackedSeq) this.#outboxBytes -= this.#outbox[n++]?.bytes ?? 0;
		if (n > 0) this.#outbox.splice(0, n);
	}

	/** Sends what was not sent on this connection, in batches under the limit. */
	#flush(): void {
		this.#cancelFlush();
		if (!this.#attached) return;
		let at = this.#outbox.findIndex((o) => o.seq > this.#sentSeq);
		while (at >= 0 && at < this.#outbox.length) {
			const firstSeq = this.#outbox[at]?.seq ?? 0;
			const events: RunnerReport[] = [];
			for (let bytes = 0; at < this.#outbox.length; at++) {
				const next = this.#outbox[at];
				if (next === undefined || (events.length > 0 && bytes + next.bytes > MAX_BATCH_BYTES)) break;
				events.push(next.event);
				bytes += next.bytes;
			}
			if (!this.#send({ type: "batch", generation: this.generation, firstSeq: seq(firstSeq), events })) return;
			this.#sentSeq = firstSeq + events.length - 1;
			this.#lastSentAt = now();
		}
	}

	#cancelFlush(): void {
		if (this.#sendTimer) clearTimeout(this.#sendTimer);
		if (this.#sendNow) clearImmediate(this.#sendNow);
		this.#sendTimer = this.#sendNow = null;
	}

	/** Notes that everything up to here is in the log, whenever it is. */
	#mark(): void {
		const run = this.#run;
		if (this.#outbox.length > 0 || !this.#caughtUp) return;
		if (run !== null && run.markedSeq !== this.#seq) {
			this.#write(() => run.journal.mark(run.hosting.mark(this.#seq)));
			run.markedSeq = this.#seq;
			if (run.ended) run.journal.close();
		}
		this.#leaving?.();
	}

	#push(event: RunnerReport): void {
		const place = ++this.#seq;
		// In the log already: this journal was read before, by an earlier daemon.
		if (place <= (this.#ackedSeq ?? 0)) return;
		const bytes = byteLength(JSON.stringify(event)) + 1;
		this.#outbox.push({ seq: place, event, bytes });
		this.#outboxBytes += bytes;
		// With all that was read together; a timer of 0 would be one of 1 ms.
		if (DURABLE[event.type] || now() - this.#lastSentAt >= COALESCE_MS) this.#sendNow ??= setImmediate(() => this.#flush());
		else this.#sendTimer ??= setTimeout(() => this.#flush(), COALESCE_MS);
	}

	// ------------------------------------------------------------ journals

	get #run(): Run | null {
		return this.#runs.at(-1) ?? null;
	}

	/** The process that there is, also before its journal is read. */
	get #process(): CliProcess | null {
		return this.#run?.process ?? this.#survivor?.process ?? null;
	}

	#openRun(number: number): Run {
		const installed = this.#host.provider(this.#spec.provider);
		const workDir = this.#workDir();
		const journal = new Journal(join(this.#dir, String(number)));
		// Read again later, the dialogue must begin as it began, and hide what it hid: a key that was replaced meanwhile is still this process's.
		const launchFile = join(journal.dir, "launch.json");
		const secrets = credentialsIn(installed?.env ?? {});
		// A daemon killed just before this line left a journal without a single note.
		if (!existsSync(launchFile)) this.#write(() => writeWhole(launchFile, seal({ nativeSessionId: this.#nativeSessionId, secrets })));
		const launch = unseal<{ nativeSessionId: string | null; secrets?: string[] }>(readFileSync(launchFile, "utf8"));
		if (launch === null) journal.damage = "what its CLI was launched with is not what was written";
		const nativeSessionId = launch?.nativeSessionId ?? null;
		const dialogue = installed?.provider.dialogue({ spec: this.#spec, workDir: workDir.ok ? workDir.value : "/", nativeSessionId }) ?? {
			take: () => ({ events: [], writes: [] }),
		};
		const deriveId = <P extends string>(prefix: P, ordinal: string) =>
			`${prefix}_${idBody(createHash("sha256").update(`${this.sessionId}\0${this.generation}\0${number}\0${prefix}\0${ordinal}`).digest())}`;
		const run: Run = {
			journal,
			hosting: new Hosting(this.#spec.provider, dialogue, deriveId, [...this.#host.identity.secrets, ...(launch?.secrets ?? secrets)]),
			process: null,
			writes: 0,
			markedSeq: -1,
			started: false,
			exited: false,
			ended: false,
		};
		this.#runs.push(run);
		return run;
	}

	/** Passes on whatever the journals have, up to the bound of the outbox. */
	#fold(): void {
		if (this.#ackedSeq === null || this.#over || this.#leaving !== null) return;
		while (this.#outboxBytes < MAX_OUTBOX_BYTES) {
			const run = this.#run;
			if (run === null || run.ended) {
				const number = this.#unread.shift();
				if (number === undefined) break;
				const reopened = this.#openRun(number);
				if (this.#unread.length > 0) continue;
				reopened.process = this.#survivor?.process ?? null;
				this.#survivor = null;
				if (reopened.process) this.#followProcess(reopened, reopened.process);
				continue;
			}
			const entry = run.journal.damage === null ? run.journal.next() : null;
			if (run.journal.damage !== null) return void this.#abandon(run.journal.damage);
			if (entry !== null) {
				if (entry.type === "line") {
					this.#lastOutputAt = now();
					this.#toldSilent = false;
				}
				this.#apply(run, entry);
				continue;
			}
			this.#write(() => run.journal.sumUp());
			// It ended while no daemon looked.
			if (this.#caughtUp || run.process !== null) break;
			this.#note(run, {
				type: "exited",
				exitCode: null,
				signal: null,
				stderr: run.journal.stderrTail(STDERR_TAIL_BYTES),
				why: null,
				unseen: true,
			});
		}
		const run = this.#run;
		if (run?.hosting.unusable != null && run.process !== null && this.#stopWhy === null) void this.#stopProcess("unusable");
		if (!this.#caughtUp && this.#unread.length === 0 && (run === null || run.ended || run.journal.isReplayed)) {
			// As after a machine that lost its power with unwritten pages: the log has more than the files.
			if (this.#seq < this.#ackedSeq) return void this.#abandon(`it holds ${this.#seq} events, and ${this.#ackedSeq} are in the log`);
			this.#caughtUp = true;
			void this.#reconcile();
		}
		this.#judge();
		this.#guard();
	}

	/** This machine's own gate, before the gateway's. What it says is noted, so that the next daemon says the same. */
	#judge(): void {
		const run = this.#run;
		if (!this.#caughtUp || run === null || run.ended || this.#leaving !== null) return;
		for (const [requestId, call] of [...run.hosting.unjudged]) {
			const place = this.#placeOf(call.type === "gate_requested" ? call.cwd : undefined);
			const { readRoots = [], writeRoots = [] } = this.#desired?.policy ?? {};
			let judgement: Judgement;
			try {
				const here = { ...place, readRoots, writeRoots };
				judgement = graver(decideForOwner(this.#host.config.policy, call, here), judgeHidden(call, run.hosting.shown(call), here));
			} catch (cause) {
				const reason = `the runner's gate failed on it: ${cause instanceof Error ? cause.message : String(cause)}`;
				judgement = { verdict: "deny", rule: "gate-failed", category: "unresolved", reason: reason.slice(0, 2048) };
			}
			this.#note(run, { type: "judged", requestId, place, judgement });
		}
	}

	/** Where a call would run. */
	#placeOf(cwd: string | undefined): CallPlace {
		const found = this.#workDir();
		const workDir = found.ok ? found.value : "/nonexistent";
		return {
			workDir,
			cwd: cwd?.startsWith("/") === true ? cwd : workDir,
			home: this.#host.confinement.jail === "none" ? (this.#host.provider(this.#spec.provider)?.env.HOME ?? null) : JAIL_HOME,
		};
	}

	/**
	 * The journal cannot be trusted: nothing more is made of it. The process is ended, the turn too, and the lease is given back, so that the next
	 * input starts with a journal that can.
	 */
	async #abandon(damage: string): Promise<void> {
		if (this.#abandoned) return;
		this.#abandoned = true;
		const process = this.#process;
		await process?.stop(TERM_GRACE_MS);
		if (this.#over) return;
		for (const run of this.#runs) run.journal.close();
		this.#runs = [];
		this.#unread = [];
		this.#survivor = null;
		this.#outbox = [];
		this.#outboxBytes = 0;
		this.#seq = this.#ackedSeq ?? 0;
		const why = `the journal of this session is damaged: ${damage}; what it held and the log does not is lost`;
		this.#push({ type: "notice", code: "journal_damaged", detail: why });
		const turn = this.#desired?.turn ?? null;
		if (turn !== null) {
			// Where no process was left the machine restarted, most likely, and that is what a person must know.
			const code = process === null ? "interrupted" : "journal_damaged";
			this.#begun.add(turn.turnId);
			this.#push({ type: "turn_ended", turnId: turn.turnId, stopReason: "failed", error: { code, detail: why } });
		}
		this.#push({ type: "process_state", state: "dead", why });
		this.#caughtUp = true;
		this.#handingBack = "journal_damaged";
		this.#flush();
	}

	#apply(run: Run, entry: Parameters<Hosting["take"]>[0]): void {
		const hadTurn = run.hosting.turn !== null;
		const was = run.hosting.process;
		const { events, writes } = run.hosting.take(entry);
		// Before a mark everything is in the log, whatever this code makes of it.
		if (!run.journal.hasMarkAhead) for (const event of events) this.#push(event);
		if (entry.type === "mark") this.#seq = run.markedSeq = entry.seq;
		for (const line of writes) {
			run.writes++;
			// What an earlier daemon wrote stays written; what it only meant to write is written now.
			if (run.writes <= run.journal.wroteBefore || run.process === null) continue;
			if (run.writes <= run.journal.maybeWroteBefore && !this.#mayRepeat(line)) {
				run.hosting.unusable = "its runner was killed while it passed the input on, and nobody knows whether it arrived; send it again";
				return;
			}
			const total = run.writes;
			this.#write(() => run.journal.note({ type: "writing", total }));
			run.process.write(line, () => this.#write(() => run.journal.note({ type: "wrote", total })));
		}
		const { nativeSessionId } = run.hosting;
		if (nativeSessionId !== undefined && nativeSessionId !== this.#nativeSessionId) {
			this.#nativeSessionId = nativeSessionId;
			if (nativeSessionId !== null && !this.#host.claimNative(nativeSessionId, this.sessionId)) {
				run.hosting.unusable = TAKEN;
				void this.#stopProcess("unusable");
			}
		}
		if (entry.type === "started") run.started = true;
		if (entry.type === "exited" || entry.type === "not_started") run.exited = true;
		// A mark can follow the end.
		if (run.exited && !run.journal.hasMarkAhead) {
			run.ended = true;
			run.journal.close();
		}
		if (run.hosting.process !== was) this.#host.changed();
		if (hadTurn && run.hosting.turn === null) {
			this.#lastTurnAt = now();
			if (this.#interruptTimer) clearTimeout(this.#interruptTimer);
			this.#interruptTimer = null;
			// All of it is kept until the process ends; a new one resumes the conversation with an empty journal.
			if (this.#caughtUp && run.journal.bytes > this.#host.config.maxJournal) void this.handBack("journal_full", null);
			void this.#reconcile();
		}
	}

	#mayRepeat(line: string): boolean {
		return this.#host.provider(this.#spec.provider)?.provider.mayRepeat(line) ?? false;
	}

	#note(run: Run, note: Note): void {
		this.#write(() => run.journal.note(note));
		this.#apply(run, note);
	}

	#write(write: () => void): void {
		try {
			write();
		} catch (cause) {
			this.#host.failed(cause);
		}
	}

	/**
	 * Stops the CLI while the gateway does not take its output and the journal is at its bound, or the disk almost full, and lets it go on
	 * when there is room for half as much again. It writes to the file itself, so what it writes before the next look comes on top.
	 */
	#guard(): void {
		const process = this.#process;
		if (this.#over || process === null || process.isGone) return;
		const { maxJournal, minFreeDisk } = this.#host.config;
		const waiting = (this.#run?.journal ?? this.#survivor?.journal)?.waitingBytes ?? 0;
		const bytes = waiting + this.#outboxBytes;
		const spare = this.#host.spareDiskBytes();
		const factor = this.#paused === null ? 1 : 0.5;
		const why: PauseWhy | null =
			spare <= (this.#paused === "disk_full" ? minFreeDisk / 2 : 0) ? "disk_full" : bytes >= maxJournal * factor ? "journal_full" : null;
		if (why !== null && this.#paused === null) process.pause();
		if (why === null && this.#paused !== null) process.resume();
		this.#paused = why;
		this.#tellPaused(bytes);
	}

	/** Once the journals are read: a note in mid-replay would stand elsewhere at the next reading. */
	#tellPaused(bytes: number): void {
		const run = this.#run;
		if (!this.#caughtUp || run === null || run.ended || this.#leaving !== null || (this.#paused !== null) === this.#toldPaused) return;
		this.#toldPaused = this.#paused !== null;
		if (this.#paused === null) return this.#note(run, { type: "resumed" });
		const detail =
			this.#paused === "disk_full"
				? "the runner's disk is almost full; the CLI is stopped until there is room"
				: `${bytes} bytes of its output wait for the gateway; the CLI is stopped until half of that is taken`;
		this.#note(run, { type: "paused", why: this.#paused, detail });
	}

	#followProcess(run: Run, process: CliProcess): void {
		run.journal.follow(() => this.#fold());
		void process.exited.then((exit) => {
			if (this.#over || run.ended) return;
			this.#finish(run, exit);
		});
	}

	/** After the exit: what it still wrote, then the exit itself. */
	#finish(run: Run, exit: { exitCode: number | null; signal: string | null }): void {
		this.#fold();
		// Whoever comes next sees that it is gone.
		if (this.#leaving !== null || this.#abandoned) return;
		if (this.#outboxBytes >= MAX_OUTBOX_BYTES) {
			setTimeout(() => this.#finish(run, exit), 100);
			return;
		}
		if (run.ended) return;
		run.process = null;
		this.#note(run, { type: "exited", ...exit, stderr: run.journal.stderrTail(STDERR_TAIL_BYTES), why: this.#stopWhy });
		this.#stopWhy = null;
		this.#flush();
		void this.#reconcile();
	}

	// ------------------------------------------------------------ what is desired, and what is done

	/** One at a time; asked for again while it runs, it runs again. */
	#reconcile(): Promise<void> {
		if (this.#reconciling !== null) {
			this.#again = true;
			return this.#reconciling;
		}
		this.#reconciling = (async () => {
			do {
				this.#again = false;
				await this.#doDifference();
			} while (this.#again);
		})().finally(() => {
			this.#reconciling = null;
		});
		return this.#reconciling;
	}

	async #doDifference(): Promise<void> {
		const desired = this.#desired;
		if (this.#over || desired === null || !this.#caughtUp || this.#leaving !== null) return;
		if (desired.stop) {
			this.#handingBack = "terminated";
			await this.#stopProcess("terminated", TERMINATE_GRACE_MS);
			return this.#releaseIfDone();
		}
		for (const decision of desired.decisions) this.#decide(decision);
		for (const verdict of desired.verdicts ?? []) this.#pass(verdict);
		const { turn } = desired;
		const running = this.#run?.hosting.turn ?? null;
		if (turn !== null && !this.#knows(turn.turnId)) {
			// While a turn that the CLI began by itself runs, this one is next. While handing back, the next lease has it.
			if (running === null && turn.interrupt) this.#note(this.#openOrNewRun(), { type: "turn_dropped", turnId: turn.turnId });
			else if (running === null && this.#handingBack === null) return this.#startTurn(turn.turnId, turn.text);
		} else if (turn?.interrupt === true && running?.turnId === turn.turnId) this.#interrupt();
		if (this.#handingBack !== null && running === null) {
			await this.#stopProcess(this.#handingBack);
			this.#releaseIfDone();
		}
	}

	/** Whether this lease has heard of the turn, be it long over. */
	#knows(turnId: TurnId): boolean {
		return this.#begun.has(turnId) || this.#runs.some((run) => run.hosting.turns.has(turnId));
	}

	async #startTurn(turnId: TurnId, text: string): Promise<void> {
		// The exit of the last process is still being read; it comes back here.
		if (this.#run?.process?.isGone === true) return;
		const run = this.#openOrNewRun();
		this.#begun.add(turnId);
		// Not idle while its process starts.
		this.#lastTurnAt = now();
		if (run.process === null) {
			const started = await this.#startProcess(run);
			if (this.#over) return;
			if (!started.ok) {
				this.#note(run, { type: "turn", turnId, text: "" });
				this.#note(run, { type: "not_started", code: started.error.code, detail: started.error.detail });
				return;
			}
		}
		// Also where an earlier daemon started it and could not say so any more.
		if (!run.started && run.process !== null) {
			const { isolation, jail } = this.#host.confinement;
			const why = this.#whyWeak();
			const waf = this.#host.provider(this.#spec.provider)?.provider.waf ?? "jail-only";
			this.#note(run, { type: "started", pid: run.process.pid, isolation, jail, waf, ...(why === undefined ? {} : { why }) });
		}
		this.#lastOutputAt = this.#lastTurnAt = now();
		this.#toldSilent = false;
		this.#note(run, { type: "turn", turnId, text });
	}

	/** What of its confinement is not as strong as it could be. */
	#whyWeak(): string | undefined {
		const { why } = this.#host.confinement;
		const keys = this.#keysInside.length === 0 ? [] : [`its processes can read ${this.#keysInside.join(", ")}`];
		const network = this.#host.egress === null && why === undefined ? ["it has the machine's own network"] : [];
		return [...(why === undefined ? [] : [why]), ...keys, ...network].join("; ") || undefined;
	}

	async #startProcess(run: Run): Promise<{ ok: true } | { ok: false; error: Problem }> {
		const installed = this.#host.provider(this.#spec.provider);
		if (installed === null)
			return { ok: false, error: problem("provider_not_installed", `this runner does not offer ${this.#spec.provider}`) };
		const workDir = this.#workDir();
		if (!workDir.ok) return workDir;
		if (this.#nativeSessionId !== null && !this.#host.claimNative(this.#nativeSessionId, this.sessionId))
			return { ok: false, error: problem("start_failed", TAKEN) };
		const { args, env } = installed.provider.launch({ spec: this.#spec, workDir: workDir.value, nativeSessionId: this.#nativeSessionId });
		const before = installed.settings.kind === "acp" ? [] : installed.settings.args;
		const { command } = installed.settings;
		const allEnv = { ...installed.env, ...env };
		const file = findCommand(command, allEnv.PATH ?? "");
		if (file === null)
			return { ok: false, error: problem("provider_not_installed", `${command} is not installed on this runner, or not on its PATH`) };
		const { jail } = this.#host.config;
		const network = await this.#openNetwork(installed, workDir.value, allEnv);
		if (!network.ok) return { ok: false, error: network.error };
		const roots = this.#ownRoots();
		const launch = enter(this.#host.confinement, this.#host.stateDir, {
			sessionId: this.sessionId,
			workDir: workDir.value,
			file,
			args: [...before, ...args],
			ownerArgs: installed.settings.args,
			env: network.value?.env ?? allEnv,
			read: [...jail.read, ...installed.settings.read, ...roots.read],
			write: [...jail.write, ...installed.settings.write, ...roots.write],
			limits: { maxMemory: jail.maxMemory, maxProcesses: jail.maxProcesses },
			network: network.value ?? "host",
		});
		if (!launch.ok) return launch;
		const started = await CliProcess.start(launch.value, run.journal);
		if (!started.ok) return started;
		run.process = started.value;
		this.#followProcess(run, started.value);
		return { ok: true };
	}

	/**
	 * Opens the session's way to the network, to the hosts that its team names and this machine's owner does not forbid. A session that was found
	 * has its way still: what is told again is where it leads. Null where sessions have the machine's own network.
	 */
	async #openNetwork(
		installed: InstalledProvider,
		workDir: string,
		env: Record<string, string>,
	): Promise<Result<OpenEgress | null, Problem>> {
		const { egress, confinement, stateDir } = this.#host;
		if (egress === null) return ok(null);
		const as = userOf(confinement, stateDir, this.sessionId, workDir);
		const hosts = this.#hosts;
		const opened = await egress.open({
			sessionId: this.sessionId,
			hosts,
			provider: { settings: installed.settings },
			env,
			...(as.kind === "drop" ? { owner: { uid: as.uid, gid: as.gid } } : {}),
		});
		if (opened.ok) {
			this.#openHosts = hosts.join();
			this.#keysInside = opened.value.keysInside;
		}
		return opened;
	}

	get #hosts(): string[] {
		return narrowHosts(this.#desired?.policy?.hosts ?? [], this.#host.config.policy.hosts);
	}

	/** Tells the network's proxy what the policy allows now. */
	#narrowNetwork(): void {
		const { egress } = this.#host;
		const process = this.#process;
		if (egress === null || process === null || this.#hosts.join() === this.#openHosts) return;
		this.#openHosts = this.#hosts.join();
		const installed = this.#host.provider(this.#spec.provider);
		const workDir = this.#workDir();
		if (installed === null || !workDir.ok) return;
		void this.#openNetwork(installed, workDir.value, {
			...installed.env,
			...installed.provider.launch({ spec: this.#spec, workDir: workDir.value, nativeSessionId: this.#nativeSessionId }).env,
		}).then((opened) => {
			// It goes on with what it was allowed before; the next word of the gateway tries again.
			if (!opened.ok) this.#openHosts = null;
		});
	}

	/** The team's roots that lie in those which the machine's owner named: no policy alone shows a session more of a machine. */
	#ownRoots(): { read: string[]; write: string[] } {
		const { readRoots = [], writeRoots = [] } = this.#desired?.policy ?? {};
		const { policy } = this.#host.config;
		const within = (roots: string[], own: string[] | undefined) =>
			roots.filter((root) => own?.some((dir) => root === dir || root.startsWith(`${dir}/`))).map((root) => `?${root}`);
		return { read: within(readRoots, policy.readRoots), write: within(writeRoots, policy.writeRoots) };
	}

	/** The journal that is being written, or a new one. */
	#openOrNewRun(): Run {
		const run = this.#run;
		return run !== null && !run.ended ? run : this.#openRun(this.#runs.length + 1);
	}

	#decide(decision: Decision): void {
		const run = this.#run;
		if (run !== null && !run.ended && run.hosting.pending.has(decision.approvalId)) this.#note(run, { type: "decide", decision });
	}

	#pass(verdict: GateVerdict): void {
		const run = this.#run;
		if (run !== null && !run.ended && run.hosting.gates.has(verdict.approvalId)) this.#note(run, { type: "verdict", verdict });
	}

	#interrupt(): void {
		const run = this.#run;
		// A note in mid-replay would stand elsewhere at the next reading.
		if (!this.#caughtUp || this.#leaving !== null) return;
		if (run?.hosting.turn && !run.ended && !run.hosting.turn.interrupted) this.#note(run, { type: "interrupt" });
		if (run?.process) this.#interruptTimer ??= setTimeout(() => void this.#stopProcess("interrupted"), INTERRUPT_GRACE_MS);
	}

	async #stopProcess(why: StopWhy, graceMs = TERM_GRACE_MS): Promise<void> {
		const run = this.#run;
		if (run === null || run.process === null) return;
		this.#stopWhy ??= why;
		await run.process.stop(graceMs);
		// The exit is noted by whoever follows the process; wait until it is.
		while (!run.ended && !this.#over) await new Promise((resolve) => setTimeout(resolve, 5));
	}

	/** A CLI that fell silent, and a session that nobody uses. */
	#watch(): void {
		if (!this.#caughtUp || this.#leaving !== null) return;
		const at = now();
		if (this.#paused !== null) this.#lastOutputAt = at;
		const run = this.#run;
		const { silenceTimeout, idleTimeout } = this.#host.config;
		if (run?.hosting.turn && run.process && !run.ended) {
			const silentMs = Math.round(at - this.#lastOutputAt);
			if (silentMs >= silenceTimeout && !this.#toldSilent) {
				this.#toldSilent = true;
				this.#note(run, { type: "silent", silentMs });
			}
			if (silentMs >= 2 * silenceTimeout && !run.hosting.isWaiting) void this.#stopProcess("stalled");
		} else if (this.idleSince !== null && at - this.idleSince >= idleTimeout) void this.handBack("idle", null);
	}

	/** Since when it has nothing to do, by the clock that `now` reads; null while it has. */
	get idleSince(): number | null {
		return this.#attached && this.#handingBack === null && this.#hasNothingToDo && !this.#run?.hosting.turn ? this.#lastTurnAt : null;
	}

	/** The gateway does not say again what it desires when a turn ends: a turn that a journal knows is done or being done; one whose process starts is neither. */
	get #hasNothingToDo(): boolean {
		const { turn } = this.#desired ?? {};
		return turn === null || (turn !== undefined && this.#runs.some((run) => run.hosting.turns.has(turn.turnId)));
	}

	/** Gives the lease back once no process is left and all that was said is in the log. */
	#releaseIfDone(): void {
		const run = this.#run;
		if (this.#handingBack === null || !this.#attached || this.#outbox.length > 0 || this.#over) return;
		if (run !== null && !run.ended && run.process !== null) return;
		// The gateway answers by closing; until then the lease is held, and a link that breaks says it again.
		this.#released = this.#send({ type: "release", generation: this.generation, why: this.#handingBack }) || this.#released;
	}

	#close(): void {
		this.#over = true;
		clearInterval(this.#watchTimer);
		clearInterval(this.#guardTimer);
		this.#cancelFlush();
		if (this.#interruptTimer) clearTimeout(this.#interruptTimer);
		for (const run of this.#runs) run.journal.close();
		this.#link.close();
	}

	#workDir() {
		return resolveWorkDir(
			this.#spec.workDir,
			ownWorkDir(this.#host.stateDir, this.sessionId),
			this.#host.config.roots,
			this.#host.stateDir,
		);
	}
}

export const sessionsDir = (stateDir: string): string => join(stateDir, "sessions");
