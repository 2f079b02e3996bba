import type { Config } from "./config.ts";

/** Where a request comes from. */
export function addressOf(request: Request, _config: Config): string {
	return request.headers.get("cf-connecting-ip") ?? "unknown";
}
