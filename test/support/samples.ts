import type { RunnerEvent, RunnerReport, SessionEvent } from "../../shared/events.ts";
import type { Snapshot } from "../../shared/frames.ts";
import { ApprovalId, Epoch, generation, idBody, offset, RunnerId, SessionId, seq, TurnId } from "../../shared/ids.ts";

/** The same id for the same number, so that a failing test can be read. */
const body = (n: number): string => idBody(new Uint8Array(26).fill(n));
export const sessionId = SessionId.parse(`ses_${body(1)}`);
export const turnId = TurnId.parse(`trn_${body(2)}`);
export const runnerId = RunnerId.parse(`run_${body(3)}`);
export const approvalId = ApprovalId.parse(`apr_${body(4)}`);
export const epoch = Epoch.parse(`epo_${body(5)}`);
export { generation, offset, seq };

type Samples<U extends { type: string }> = { [T in U["type"]]: Extract<U, { type: T }> };
type GatewayEvent = Exclude<SessionEvent, RunnerEvent>;

/** One of each event that only the gateway writes; a new type does not compile until it has a sample. */
export const GATEWAY_EVENTS: Samples<GatewayEvent> = {
	session_created: { type: "session_created", provider: "claude-code", workDir: null, by: "key:key_1" },
	input: { type: "input", turnId, clientId: "c-1", text: "hello", by: "access:ann@example.com" },
	interrupt_requested: { type: "interrupt_requested", turnId, by: "gateway" },
	approval_decided: { type: "approval_decided", approvalId, decision: "deny", message: "not here", by: "access:ann@example.com" },
	session_state: { type: "session_state", state: "queued", why: "no runner offers claude-code" },
	lease_granted: { type: "lease_granted", runnerId, generation: generation(1) },
	lease_ended: { type: "lease_ended", runnerId, generation: generation(1), why: "released" },
	log_trimmed: { type: "log_trimmed", firstOffset: offset(513), why: "size" },
	tool_verdict: {
		...{ type: "tool_verdict", turnId, toolCallId: "t1", tool: "Bash", layer: "gateway", policyVersion: 3, by: "policy:3" },
		...{ verdict: "deny", rule: "rm-root", category: "destroy", reason: "it deletes everything", suggestion: "name a directory" },
	},
	prompt_flagged: {
		...{ type: "prompt_flagged", turnId, policyVersion: 3, by: "access:ann@example.com" },
		...{ verdict: "ask", rule: "prompt-order", category: "destroy", reason: "it orders a deletion" },
	},
};

/** One of each event that a runner reports. */
export const RUNNER_EVENTS: Samples<RunnerEvent> = {
	process_state: { type: "process_state", state: "dead", pid: 7, nativeSessionId: null, exitCode: null, signal: "SIGKILL", why: "killed" },
	isolation: { type: "isolation", reached: "process_group", why: "no user namespaces" },
	turn_started: { type: "turn_started", turnId, origin: "cli" },
	text_delta: { type: "text_delta", turnId, messageId: "m1", text: 'a "quoted"\nline' },
	thought_delta: { type: "thought_delta", turnId, messageId: "m1", text: "hm", parentToolCallId: "t0" },
	text_retracted: { type: "text_retracted", turnId, messageId: "m1" },
	tool_call: { type: "tool_call", turnId, toolCallId: "t1", tool: "Bash", title: "ls", input: { command: "ls", nested: [1, null, {}] } },
	tool_output: { type: "tool_output", turnId, toolCallId: "t1", text: "README.md" },
	tool_result: { type: "tool_result", turnId, toolCallId: "t1", status: "completed", output: "README.md\n" },
	approval_requested: { type: "approval_requested", turnId, approvalId, tool: "Bash", input: { command: "rm -r x" }, reason: "asks" },
	question_asked: {
		type: "question_asked",
		turnId,
		approvalId,
		questions: [
			{ question: "Which?", header: "Pick", multiSelect: false, options: [{ label: "a", description: "the first" }, { label: "b" }] },
		],
	},
	approval_withdrawn: { type: "approval_withdrawn", approvalId, why: "interrupted" },
	retry: { type: "retry", turnId, attempt: 1, maxAttempts: 10, delayMs: 512.5, reason: "overloaded" },
	background_task: { type: "background_task", taskId: "b1", status: "started", description: "a build", toolCallId: "t1" },
	usage: { type: "usage", turnId, inputTokens: 1, outputTokens: 2, cacheReadTokens: 3, cacheWriteTokens: 4, costUsd: 0.01 },
	turn_ended: { type: "turn_ended", turnId, stopReason: "failed", error: { code: "process_died", detail: "exit code 1" } },
	notice: { type: "notice", code: "silent", detail: "nothing for 60 s" },
	raw: { type: "raw", source: "stderr", text: "warning: \u0000" },
	part: { type: "part", partId: "p1", index: 0, count: 2, text: '{"type":"tool_re' },
};

/** What a runner says to the session alone. */
export const GATE_EVENTS: Samples<Exclude<RunnerReport, RunnerEvent>> = {
	gate_requested: { type: "gate_requested", turnId, approvalId, toolCallId: "t1", tool: "Bash", input: { command: "ls" } },
	gate_denied: {
		...{ type: "gate_denied", turnId, toolCallId: "t1", tool: "Bash", subject: "ls" },
		...{ verdict: "deny", rule: "entry:owner-deny-1", category: "policy", reason: "the machine's owner denies it" },
	},
};

/** What a reader is told that came too late for the first 40 events. */
export const SNAPSHOT: Snapshot = {
	spec: { provider: "claude-code", workDir: "/srv/app", model: null, permissionMode: "default" },
	createdAt: 1,
	state: "busy",
	why: null,
	turn: { turnId, clientId: "c-1", text: "hello", acceptedAt: 2, startedAt: 3, afterOffset: offset(7), interrupt: false },
	waiting: [],
	approvals: [{ approvalId, offset: offset(42), expiresAt: 4, event: RUNNER_EVENTS.approval_requested }],
	nativeSessionId: "n-1",
	lease: { runnerId, generation: generation(1) },
	stats: {
		sessionId,
		turns: { accepted: 1, ended: 0, failed: 0, cancelled: 0 },
		events: 44,
		bytes: 9000,
		tokens: { inputTokens: 0, outputTokens: 0, cacheReadTokens: 0, cacheWriteTokens: 0 },
		costUsd: null,
		processStarts: 1,
		createdAt: 1,
		lastEventAt: 5,
		turnMs: 0,
	},
};
export const ALL_EVENTS: SessionEvent[] = [...Object.values(GATEWAY_EVENTS), ...Object.values(RUNNER_EVENTS)];
export type { Samples };
