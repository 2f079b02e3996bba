/**
 * Where the messages of a connection begin and end: HTTP requests and answers, and after an upgrade WebSocket frames. Pure;
 * bytes in, units out, and the units joined are the bytes.
 */

/** From the side that dialled to the gateway, or back. */
export type Direction = "up" | "down";

export type LinkKind = "control" | "session" | "client" | "sse" | "rest";

/** What a connection is for, as its first request says. */
export interface Purpose {
	kind: LinkKind;
	/** The session's id, where the address names one. */
	session: string | null;
	/** Method and path. */
	request: string;
}

export interface Unit {
	/**
	 * A frame's own `type` first, then the types of the events in it; `request`, `answer`, `chunk` of HTTP; `#ping`, `#pong`, `#close` of
	 * WebSocket itself.
	 */
	types: string[];
	bytes: Buffer;
}

/** Types are looked for in this much of a frame. */
const LOOKED_AT = 64 * 1024;
const HEAD_END = Buffer.from("\r\n\r\n");
const EMPTY = Buffer.alloc(0);

export class Wire {
	purpose: Purpose | null = null;
	readonly up = new Stream("up", this);
	readonly down = new Stream("down", this);
	/** The gateway answered 101: both ways carry frames. */
	upgraded = false;
}

type Reading = "heads" | "chunks" | "anything";

class Stream {
	readonly #direction: Direction;
	readonly #wire: Wire;
	#rest: Buffer = EMPTY;
	#reading: Reading = "heads";

	constructor(direction: Direction, wire: Wire) {
		this.#direction = direction;
		this.#wire = wire;
	}

	/** What came and is no whole unit. */
	get rest(): Buffer {
		return this.#rest;
	}

	push(bytes: Buffer): Unit[] {
		this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
		const units: Unit[] = [];
		for (let unit = this.#take(); unit !== null; unit = this.#take()) units.push(unit);
		return units;
	}

	#take(): Unit | null {
		if (this.#rest.length === 0) return null;
		if (this.#wire.upgraded) return this.#frame();
		switch (this.#reading) {
			case "heads":
				return this.#head();
			case "chunks":
				return this.#chunk();
			case "anything":
				return this.#cut(this.#rest.length, ["chunk"]);
		}
	}

	#cut(length: number, types: string[]): Unit {
		const bytes = this.#rest.subarray(0, length);
		this.#rest = this.#rest.subarray(length);
		return { types, bytes };
	}

	#head(): Unit | null {
		const end = this.#rest.indexOf(HEAD_END);
		if (end < 0) return null;
		const length = end + HEAD_END.length;
		const [first = "", ...lines] = this.#rest.subarray(0, end).toString("latin1").split("\r\n");
		const headers = new Map(
			lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
		);
		const bodyLength = Number(headers.get("content-length") ?? 0);
		if (this.#direction === "up") {
			const [method = "", path = ""] = first.split(" ");
			this.#wire.purpose ??= purposeOf(method, path, headers);
			if (this.#rest.length < length + bodyLength) return null;
			return this.#cut(length + bodyLength, ["request", `${method} ${path.replace(/\?.*/, "")}`]);
		}
		if (first.startsWith("HTTP/1.1 101")) {
			this.#wire.upgraded = true;
			return this.#cut(length, ["upgraded"]);
		}
		if (/chunked/i.test(headers.get("transfer-encoding") ?? "")) this.#reading = "chunks";
		else if (headers.has("content-length") || /^HTTP\/1\.1 (1|204|304)/.test(first)) {
			if (this.#rest.length < length + bodyLength) return null;
			return this.#cut(length + bodyLength, ["answer"]);
		} else this.#reading = "anything";
		return this.#cut(length, ["answer"]);
	}

	#chunk(): Unit | null {
		const line = this.#rest.indexOf("\r\n");
		if (line < 0) return null;
		const size = Number.parseInt(this.#rest.subarray(0, line).toString("latin1"), 16);
		const length = line + 2 + size + 2;
		if (this.#rest.length < length) return null;
		if (size === 0) this.#reading = "heads";
		return this.#cut(length, [size === 0 ? "last_chunk" : "chunk"]);
	}

	/** RFC 6455, 5.2. What comes from the dialling side is masked. */
	#frame(): Unit | null {
		const [first, second] = [this.#rest[0], this.#rest[1]];
		if (first === undefined || second === undefined) return null;
		let at = 2;
		let size = second & 0x7f;
		if (size === 126) {
			if (this.#rest.length < 4) return null;
			size = this.#rest.readUInt16BE(2);
			at = 4;
		} else if (size === 127) {
			if (this.#rest.length < 10) return null;
			size = Number(this.#rest.readBigUInt64BE(2));
			at = 10;
		}
		const isMasked = (second & 0x80) !== 0;
		const mask = isMasked ? this.#rest.subarray(at, at + 4) : null;
		if (isMasked) at += 4;
		if (this.#rest.length < at + size) return null;
		const payload = this.#rest.subarray(at, Math.min(at + size, at + LOOKED_AT));
		return this.#cut(at + size, typesOf(first & 0x0f, mask === null ? payload : unmasked(payload, mask)));
	}
}

function unmasked(payload: Buffer, mask: Buffer): Buffer {
	const plain = Buffer.allocUnsafe(payload.length);
	for (let i = 0; i < payload.length; i++) plain[i] = (payload[i] ?? 0) ^ (mask[i & 3] ?? 0);
	return plain;
}

function typesOf(opcode: number, payload: Buffer): string[] {
	if (opcode === 8) return ["#close"];
	if (opcode === 9) return ["#ping"];
	if (opcode === 10) return ["#pong"];
	// Frames are written with their type first, events too.
	return [...new Set([...payload.toString("latin1").matchAll(/"type":"(\w+)"/g)].map((found) => found[1] ?? ""))];
}

function purposeOf(method: string, path: string, headers: Map<string, string>): Purpose {
	const request = `${method} ${path}`;
	const [link] = /^\/v1\/link\/.*$/.exec(path) ?? [];
	const session = /ses_[0-9a-z]{26}/.exec(path)?.[0] ?? null;
	if (link !== undefined) return { kind: session === null ? "control" : "session", session, request };
	if (headers.get("upgrade")?.toLowerCase() === "websocket") return { kind: "client", session, request };
	if (headers.get("accept")?.includes("text/event-stream")) return { kind: "sse", session, request };
	return { kind: "rest", session, request };
}
