/**
 * The console: the team's tool calls that wait for a person, and their answers. It asks the gateway as any program does, by its API key or by
 * what Cloudflare Access makes of the browser's cookie. The key is nowhere but in this module. Nothing that comes from a session is ever markup:
 * all of it goes through `show` (APR-8).
 *
 * @typedef {import("../../shared/api.ts").Approval} Approval
 * @typedef {import("../../shared/api.ts").ApprovalList} ApprovalList
 * @typedef {{ status: number, body: unknown, why: string, retryAfterMs: number }} Answer `why`: what the gateway says of an error
 * @typedef {{ approval: Approval, element: HTMLElement, state: "waits" | "busy" | "gone", isWhole: boolean, steadyAt: number }} Card
 */

const POLL_MS = 3_000;
/** After failures it asks less and less often. */
const MAX_POLL_MS = 30_000;
const ANSWER_TIMEOUT_MS = 30_000;
/** How long it stays to be read what became of a call. */
const GONE_MS = 6_000;
/** A click within this time after the page moved, or came to the front, may be meant for what was there before. */
const STEADY_MS = 500;
const SOON_MS = 60_000;
/** What the list cuts off at; the log has the rest. */
const CUT_UNITS = 4_096;

/** @type {string | null} */
let key = null;
/** @type {ApprovalList["principal"] | null} */
let principal = null;
/** The gateway's clock, less this page's. Both are read again with each list, so that they cannot drift apart. */
let clockAhead = 0;
let steadyAt = 0;
let pollMs = POLL_MS;
let polling = false;
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {Map<string, Card>} */
const cards = new Map();
/** Calls that were answered, and may stand in the list for a moment more. */
const answered = new Set();

// ---------------------------------------------------------------- text

/** What cannot be seen, or turns the direction of reading. Of blanks only the space: a shell takes no other for one. */
const UNSEEN = /(?![\n\t])(?:[\p{C}\p{Zl}\p{Zp}\p{DI}\u2800]|[^\P{Zs} ])/gu;
const UNSEEN_IN_LINE = new RegExp(`${UNSEEN.source}|[\\n\\t]`, "gu");

/** @param {string} c */
function escapeOf(c) {
	if (c === "\n") return "\\n";
	if (c === "\t") return "\\t";
	const code = c.codePointAt(0) ?? 0;
	const hex = code.toString(16);
	return code < 0x100 ? `\\x${hex.padStart(2, "0")}` : code < 0x10000 ? `\\u${hex.padStart(4, "0")}` : `\\u{${hex}}`;
}

/**
 * Shows a text as nothing but text, with escapes for what cannot be seen. A block keeps its lines; in a line there is no second one.
 *
 * @param {Element} element
 * @param {string} text
 */
function show(element, text) {
	const unseen = element.tagName === "PRE" ? UNSEEN : UNSEEN_IN_LINE;
	const pieces = [];
	let from = 0;
	for (const found of text.matchAll(unseen)) {
		pieces.push(text.slice(from, found.index));
		const shown = document.createElement("span");
		shown.className = "unseen";
		shown.textContent = escapeOf(found[0]);
		pieces.push(shown);
		from = found.index + found[0].length;
	}
	element.replaceChildren(...pieces, text.slice(from));
}

/** @param {number} ms */
function inWords(ms) {
	const minutes = Math.floor(ms / 60_000);
	if (minutes < 1) return "just now";
	return minutes < 60 ? `${minutes} min ago` : `${Math.floor(minutes / 60)} h ${minutes % 60} min ago`;
}

/** @param {number} ms */
function asClock(ms) {
	const seconds = Math.ceil(ms / 1_000);
	const [h, m, s] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
	const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
	return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/**
 * @template {HTMLElement} T
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new () => T} kind
 */
function find(root, selector, kind) {
	const found = root.querySelector(selector);
	if (!(found instanceof kind)) throw new Error(`the page has no ${selector}`);
	return found;
}
/** @param {string} id */
const byId = (id) => find(document, `#${id}`, HTMLElement);

// ---------------------------------------------------------------- the gateway

/**
 * @param {string} path
 * @param {object} [body] absent: a GET
 * @returns {Promise<Answer>} status 0: no answer
 */
async function call(path, body) {
	const headers = new Headers();
	if (key !== null) headers.set("authorization", `Bearer ${key}`);
	if (body !== undefined) headers.set("content-type", "application/json");
	try {
		const response = await fetch(path, {
			method: body === undefined ? "GET" : "POST",
			headers,
			...(body === undefined ? {} : { body: JSON.stringify(body) }),
			cache: "no-store",
			// Access sends a call whose sign-in has ended to a page of its own.
			redirect: "manual",
			signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
		});
		if (response.type === "opaqueredirect") return { status: 401, body: null, why: "your sign-in has ended", retryAfterMs: 0 };
		const answer = await response.json().catch(() => null);
		const why = typeof answer?.detail === "string" ? answer.detail : `the gateway answered ${response.status}`;
		return { status: response.status, body: answer, why, retryAfterMs: Number(response.headers.get("retry-after") ?? 0) * 1_000 };
	} catch {
		return { status: 0, body: null, why: "the gateway does not answer", retryAfterMs: 0 };
	}
}

const gatewayNow = () => performance.now() + clockAhead;

/** Asks for the list, and again after a while, as long as somebody looks. @returns {Promise<void>} */
async function poll() {
	clearTimeout(timer);
	if (polling || document.hidden) return;
	polling = true;
	const asked = performance.now();
	const keyThen = key;
	const { status, body, why, retryAfterMs } = await call("v1/approvals");
	polling = false;
	// The answer is to somebody else.
	if (keyThen !== key) return key === null ? undefined : poll();
	if (status === 200) {
		const list = /** @type {ApprovalList} */ (body);
		// The gateway read its clock at some moment in between.
		clockAhead = list.now - (asked + performance.now()) / 2;
		pollMs = POLL_MS;
		tell(null);
		update(list);
	} else if (status === 401) return signOut(keyThen === null && principal === null ? null : why);
	else {
		pollMs = Math.max(retryAfterMs, Math.min(pollMs * 2, MAX_POLL_MS));
		tell(`${why}. ${cards.size > 0 ? "What is shown may be out of date. " : ""}It is asked again in ${Math.ceil(pollMs / 1_000)} s.`);
	}
	timer = setTimeout(poll, pollMs);
}

/** @param {string | null} trouble */
function tell(trouble) {
	const element = byId("trouble");
	element.hidden = trouble === null;
	const text = trouble === null ? "" : trouble.charAt(0).toUpperCase() + trouble.slice(1);
	// Told once, not with each poll.
	if (element.textContent !== text) show(element, text);
}

/**
 * Nobody is known any more: what was shown goes, and the key with it.
 *
 * @param {string | null} why
 */
function signOut(why) {
	clearTimeout(timer);
	key = null;
	principal = null;
	for (const { element } of cards.values()) element.remove();
	cards.clear();
	find(document, "#always", HTMLDialogElement).close();
	byId("who").hidden = true;
	byId("summary").textContent = "";
	byId("sign-in").hidden = false;
	byId("key").focus();
	document.title = "Approvals · HotPlex Edge";
	tell(why);
}

// ---------------------------------------------------------------- what waits

/** @param {ApprovalList} list */
function update(list) {
	principal = list.principal;
	byId("sign-in").hidden = true;
	byId("who").hidden = false;
	show(byId("actor"), principal.actor);
	byId("forget").hidden = key === null;
	const waiting = new Set(list.data.map((a) => a.approvalId));
	for (const card of cards.values())
		if (card.state === "waits" && !waiting.has(card.approval.approvalId)) settle(card, gonePerhaps(card), false);
	for (const approval of list.data) if (!cards.has(approval.approvalId) && !answered.has(approval.approvalId)) add(approval);
	tick();
}

/** @param {Card} card */
const gonePerhaps = ({ approval }) =>
	approval.expiresAt <= gatewayNow()
		? "Expired: nobody answered in time, so it was denied."
		: "It does not wait any more: somebody else answered it, or its turn has ended.";

/** New ones come last, so that nothing moves away from under a pointer. @param {Approval} approval */
function add(approval) {
	const template = find(document, "#approval", HTMLTemplateElement);
	const element = find(/** @type {DocumentFragment} */ (template.content.cloneNode(true)), ".approval", HTMLElement);
	const isCut = approval.subject.length >= CUT_UNITS;
	/** @type {Card} */
	const card = { approval, element, state: "waits", isWhole: !isCut, steadyAt: performance.now() + STEADY_MS };
	const put = (/** @type {string} */ selector, /** @type {string | null} */ text) => {
		if (text !== null) show(find(element, selector, HTMLElement), text);
	};
	put(".tool", approval.tool);
	put(".cwd code", approval.cwd);
	put(".subject", approval.subject);
	put(".reason span", approval.reason);
	put(".suggestion span", approval.suggestion);
	put(".rule", approval.rule ?? "none; the CLI asks");
	put(".requester", approval.requestedBy);
	put(".session", approval.sessionId);
	find(element, ".cut", HTMLElement).hidden = !isCut;
	find(element, ".reason", HTMLElement).hidden = approval.reason === null;
	find(element, ".suggestion", HTMLElement).hidden = approval.suggestion === null;
	find(element, "time", HTMLTimeElement).dateTime = new Date(approval.askedAt).toISOString();
	// Read aloud, each button says what it is about.
	find(element, ".subject", HTMLElement).id = `subject-${approval.approvalId}`;
	for (const button of element.querySelectorAll("button")) button.setAttribute("aria-describedby", `subject-${approval.approvalId}`);
	const details = find(element, "details", HTMLDetailsElement);
	details.hidden = approval.offset === null;
	details.addEventListener("toggle", () => void showWhole(card));
	element.addEventListener("click", (event) => {
		const button = event.target instanceof Element ? event.target.closest("button") : null;
		if (button) void answer(card, button);
	});
	cards.set(approval.approvalId, card);
	byId("approvals").append(element);
	enable(card);
	if (isCut) details.open = true;
}

/** Whoever may only read gets no buttons to press, and nobody allows what is not shown whole. @param {Card} card */
function enable({ element, state, isWhole }) {
	// Not disabled while it is answered: a button that is loses the focus.
	element.ariaBusy = String(state === "busy");
	const may = (/** @type {ApprovalList["principal"]["scopes"][number]} */ scope) => principal?.scopes.includes(scope) ?? false;
	for (const button of element.querySelectorAll("button")) {
		const needs =
			button.dataset.answer === "always" && !may("policy:write") ? "policy:write" : may("sessions:write") ? null : "sessions:write";
		button.disabled = needs !== null || (button.dataset.answer !== "deny" && !isWhole);
		button.title = needs === null ? "" : `needs the scope ${needs}`;
	}
}

/** The call as the session's log has it, each field of its input by itself. @param {Card} card */
async function showWhole(card) {
	const { approval, element } = card;
	const details = find(element, "details", HTMLDetailsElement);
	const loading = details.querySelector(".loading");
	if (!details.open || loading === null || approval.offset === null) return;
	const { status, body, why } = await call(`v1/sessions/${approval.sessionId}/events?after=${approval.offset - 1}&limit=1`);
	const event = status === 200 ? /** @type {import("../../shared/api.ts").EventPage} */ (body).data[0]?.event : undefined;
	if (event?.type !== "approval_requested" || event.approvalId !== approval.approvalId) {
		show(loading, `The log does not give it (${why}); close this and open it to try again.`);
		return;
	}
	const list = document.createElement("dl");
	const input = typeof event.input === "object" && event.input !== null ? event.input : { input: event.input };
	for (const [name, value] of Object.entries(input)) {
		const [term, text, description] = [document.createElement("dt"), document.createElement("pre"), document.createElement("dd")];
		term.className = "data";
		show(term, name);
		show(text, typeof value === "string" ? value : (JSON.stringify(value, null, 2) ?? "none"));
		description.append(text);
		list.append(term, description);
	}
	loading.replaceWith(list);
	card.isWhole = true;
	enable(card);
	steadyAt = performance.now() + STEADY_MS;
}

// ---------------------------------------------------------------- answers

/**
 * @param {Card} card
 * @param {HTMLButtonElement} button
 */
async function answer(card, button) {
	const { approval, element } = card;
	const wanted = button.dataset.answer;
	if (card.state !== "waits" || (wanted === "always" && !(await isMeant(approval)))) return;
	const message = find(element, "input", HTMLInputElement).value.trim();
	const decision = wanted === "deny" ? { decision: "deny", ...(message === "" ? {} : { message }) } : { decision: "allow" };
	const remember = wanted === "session" || wanted === "always" ? { remember: wanted } : {};
	// It may have gone while somebody thought about a rule.
	if (cards.get(approval.approvalId) !== card || card.state !== "waits") return;
	card.state = "busy";
	enable(card);
	const { status, why } = await call(`v1/sessions/${approval.sessionId}/approvals/${approval.approvalId}`, { ...decision, ...remember });
	if (status === 401) return signOut(why);
	if (cards.get(approval.approvalId) !== card) return;
	const done = { once: "Allowed.", session: "Allowed, and for the rest of this session.", always: "Allowed, and a rule of the team." };
	const isOver = [200, 404, 409, 410].includes(status) && !why.startsWith("remember:");
	if (isOver) answered.add(approval.approvalId);
	if (status === 200) return settle(card, wanted === "deny" ? "Denied." : (done[/** @type {"once"} */ (wanted)] ?? ""), true);
	// Somebody was first, or nobody is asked any more. (A rule that cannot be made is a conflict too, and then the call waits on.)
	if (isOver) return settle(card, status === 409 ? `Somebody was first: ${why}.` : `It does not wait any more: ${why}.`, false);
	card.state = "waits";
	enable(card);
	button.focus();
	const isLost = status === 0 || status >= 500;
	say(card, isLost ? `${why}: the answer may have been taken or not. Answer again; the first one counts.` : `Not taken: ${why}.`, true);
}

/** Asks once more before there is a rule for the whole team. @param {Approval} approval @returns {Promise<boolean>} */
function isMeant(approval) {
	const dialog = find(document, "#always", HTMLDialogElement);
	show(find(dialog, ".subject", HTMLElement), approval.subject);
	show(byId("author"), principal?.actor ?? "");
	dialog.dataset.approval = approval.approvalId;
	dialog.returnValue = "";
	dialog.showModal();
	steadyAt = performance.now() + STEADY_MS;
	return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

/**
 * @param {Card} card
 * @param {string} text
 * @param {boolean} isFailure
 */
function say({ element }, text, isFailure) {
	const outcome = find(element, ".outcome", HTMLElement);
	// What is below it moves down.
	if (outcome.hidden) steadyAt = performance.now() + STEADY_MS;
	outcome.hidden = false;
	outcome.classList.toggle("failed", isFailure);
	show(outcome, text.charAt(0).toUpperCase() + text.slice(1));
}

/**
 * What became of it, in the place where it stood, for as long as it takes to read.
 *
 * @param {Card} card
 * @param {string} text
 * @param {boolean} isOurs
 */
function settle(card, text, isOurs) {
	const { approval, element } = card;
	card.state = "gone";
	const dialog = find(document, "#always", HTMLDialogElement);
	if (dialog.dataset.approval === approval.approvalId) dialog.close("");
	const hadFocus = element.contains(document.activeElement);
	// As high as before: nothing below it moves yet.
	element.style.minHeight = `${element.offsetHeight}px`;
	element.classList.add("gone");
	find(element, ".answers", HTMLElement).hidden = true;
	find(element, ".left", HTMLElement).textContent = "";
	say(card, text, !isOurs);
	// Never to a button: the next key press is meant for this one.
	if (hadFocus) find(element, ".outcome", HTMLElement).focus();
	setTimeout(() => {
		const next = element.nextElementSibling?.querySelector(".tool");
		const hasFocus = element.contains(document.activeElement);
		element.remove();
		cards.delete(approval.approvalId);
		steadyAt = performance.now() + STEADY_MS;
		if (hasFocus) (next instanceof HTMLElement ? next : byId("summary")).focus();
	}, GONE_MS);
	summarise();
}

// ---------------------------------------------------------------- time

/** Each second, and with each list. */
function tick() {
	if (principal === null) return;
	const now = gatewayNow();
	for (const card of cards.values()) {
		if (card.state === "gone") continue;
		const { approval, element } = card;
		const left = approval.expiresAt - now;
		const text = find(element, ".left", HTMLElement);
		text.textContent = left > 0 ? `expires in ${asClock(left)}` : "expires now";
		text.classList.toggle("soon", left < SOON_MS);
		const at = new Date(approval.askedAt);
		find(element, "time", HTMLTimeElement).textContent = `${inWords(now - approval.askedAt)} (${at.toLocaleTimeString()})`;
		if (left <= 0 && card.state === "waits") settle(card, gonePerhaps(card), false);
	}
	summarise();
}

function summarise() {
	const count = [...cards.values()].filter((card) => card.state !== "gone").length;
	const text =
		count === 0 ? "Nothing waits for a person." : count === 1 ? "1 call waits for a person." : `${count} calls wait for a person.`;
	const summary = byId("summary");
	// Told once, not with each second.
	if (principal !== null && summary.textContent !== text) summary.textContent = text;
	document.title = `${count > 0 ? `(${count}) ` : ""}Approvals · HotPlex Edge`;
}

byId("sign-in").addEventListener("submit", (event) => {
	event.preventDefault();
	const input = find(document, "#key", HTMLInputElement);
	const typed = input.value.trim();
	// Whatever else was pasted here is sent to nobody.
	if (!/^hpk_[\w-]+$/.test(typed)) return tell("That is no API key: one begins with hpk_. `hotplex keys create` makes one.");
	input.value = "";
	key = typed;
	void poll();
});
byId("forget").addEventListener("click", () => signOut(null));
for (const [id, value] of [
	["always-yes", "yes"],
	["always-no", ""],
])
	byId(id ?? "").addEventListener("click", () => find(document, "#always", HTMLDialogElement).close(value));
document.addEventListener(
	"click",
	(event) => {
		const target = event.target instanceof Element ? event.target.closest(".answers button") : null;
		// A key (of which `detail` is 0) is pressed on what has the focus, wherever that moved.
		if (!target || event.detail === 0) return;
		const card = [...cards.values()].find(({ element }) => element.contains(target));
		if (performance.now() >= Math.max(steadyAt, card?.steadyAt ?? 0)) return;
		event.stopPropagation();
		if (card) say(card, "The page had just moved: press it again if this is the one you meant.", true);
	},
	{ capture: true },
);
addEventListener("focus", () => {
	steadyAt = performance.now() + STEADY_MS;
});
document.addEventListener("visibilitychange", () => void poll());
setInterval(() => {
	if (!document.hidden) tick();
}, 1_000);
void poll();
