import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from "jose";

/** The Access application that tokens are for, unless a test says another. */
export const AUDIENCE = "the-application-s-tag";

export const seconds = (): number => Math.floor(Date.now() / 1000);

export type Claims = { [claim in keyof JWTPayload]: JWTPayload[claim] | undefined };

export interface Issuer {
	server: Server;
	url: string;
	publicPem: string;
	fetches(): number;
	/** A token for our application and ten minutes, but for what is said otherwise; `undefined` leaves a claim out. */
	sign(claims: Claims, kid?: string): Promise<string>;
}

/** Cloudflare Access as far as a token's check can see it: a key set at its address. */
export async function startIssuer(): Promise<Issuer> {
	const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
	const keys = [{ ...(await exportJWK(publicKey)), kid: "k1", alg: "RS256", use: "sig" }];
	let fetches = 0;
	const server = createServer((request, response) => {
		if (request.url !== "/cdn-cgi/access/certs") return void response.writeHead(404).end();
		fetches++;
		response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ keys }));
	});
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	server.unref();
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	return {
		server,
		url,
		publicPem: await exportSPKI(publicKey),
		fetches: () => fetches,
		sign: (claims, kid = "k1") => {
			const payload = { iss: url, aud: AUDIENCE, sub: "u", iat: seconds(), exp: seconds() + 600, ...claims };
			return new SignJWT(JSON.parse(JSON.stringify(payload)) as JWTPayload).setProtectedHeader({ alg: "RS256", kid }).sign(privateKey);
		},
	};
}
