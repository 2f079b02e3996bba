import { once } from "node:events";
import { Duplex, PassThrough } from "node:stream";
import { connect } from "node:tls";
import { describe, expect, test } from "vitest";
import { serverName } from "../../runner/client-hello.ts";

/** What a real client says first. */
async function helloTo(servername: string): Promise<Buffer> {
	const said = new PassThrough();
	const socket = Duplex.from({ writable: said, readable: new PassThrough() });
	const tls = connect({ socket, servername, rejectUnauthorized: false });
	tls.on("error", () => {});
	const [bytes] = await once(said, "data");
	tls.destroy();
	return bytes as Buffer;
}

describe("whom a TLS client asks for", () => {
	test("[EGR-2] is read from what it says first, whole or not", async () => {
		const hello = await helloTo("API.example.com");
		expect(serverName(hello)).toBe("api.example.com");
		expect(serverName(Buffer.concat([hello, Buffer.from("more")]))).toBe("api.example.com");
		for (let length = 0; length < hello.length; length++) expect(serverName(hello.subarray(0, length)), `${length} bytes`).toBe("more");
		expect(serverName(await helloTo(""))).toBeNull();
	});

	test("[EGR-2] also where it comes in several records", async () => {
		const hello = await helloTo("api.example.com");
		const message = hello.subarray(5);
		const records = [];
		for (let at = 0; at < message.length; at += 7) {
			const piece = message.subarray(at, at + 7);
			records.push(Buffer.from([22, 3, 1, 0, piece.length]), piece);
		}
		const all = Buffer.concat(records);
		expect(serverName(all)).toBe("api.example.com");
		for (let length = 0; length < all.length; length += 13) expect(serverName(all.subarray(0, length))).toBe("more");
	});

	test("[EGR-2] nothing is read from what is damaged", async () => {
		const hello = await helloTo("api.example.com");
		// The name's place, and lengths before it that do not fit any more.
		const at = hello.indexOf("api.example.com");
		for (const [offset, value] of [
			[at - 1, 200],
			[at - 3, 1],
			[at - 4, 0],
			[43, 255],
			[0, 23],
			[1, 2],
			[5, 2],
		] as const) {
			const damaged = Buffer.from(hello);
			damaged[offset] = value;
			expect(serverName(damaged), `${offset}`).toBeNull();
		}
		expect(serverName(Buffer.from("GET / HTTP/1.1"))).toBeNull();
		expect(serverName(Buffer.from([22, 3, 1, 0, 0]))).toBeNull();
		expect(serverName(Buffer.from([22, 3, 1, 255, 255]))).toBeNull();
	});
});
