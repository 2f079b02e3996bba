import { parseAuthority } from "./reach.ts";

/**
 * Which keys a CLI in a jail holds itself, and which only the proxy outside; pure. A CLI that takes the address of its model's API from its environment
 * is given the proxy's, and a placeholder for the key. The others get their key as it is, since their requests are encrypted before the proxy sees them.
 */
interface KeyRoute {
	key: string;
	header: "x-api-key" | "authorization" | "x-goog-api-key";
	/** Where the CLI reads the API's address. */
	base: string;
	/** The API, where the owner names no other one. */
	upstream: string;
	name: string;
	paths: readonly string[];
}

const route = (
	name: string,
	base: string,
	upstream: string,
	paths: readonly string[],
	keys: Record<string, KeyRoute["header"]>,
): KeyRoute[] => Object.entries(keys).map(([key, header]) => ({ key, header, base, upstream, name, paths }));

const CLAUDE = route("anthropic", "ANTHROPIC_BASE_URL", "https://api.anthropic.com", ["/v1/messages", "/v1/models", "/api/hello"], {
	ANTHROPIC_API_KEY: "x-api-key",
	ANTHROPIC_AUTH_TOKEN: "authorization",
	CLAUDE_CODE_OAUTH_TOKEN: "authorization",
});
const GEMINI = route("gemini", "GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com", ["/v1beta/models", "/v1/models"], {
	GEMINI_API_KEY: "x-goog-api-key",
});
/** The AI SDK's, whose addresses include the version. */
const OPENCODE = [
	...route("anthropic", "ANTHROPIC_BASE_URL", "https://api.anthropic.com/v1", ["/messages", "/models"], { ANTHROPIC_API_KEY: "x-api-key" }),
	...route("openai", "OPENAI_BASE_URL", "https://api.openai.com/v1", ["/responses", "/chat/completions", "/embeddings", "/models"], {
		OPENAI_API_KEY: "authorization",
	}),
];
/** By the command's name: of no other CLI it is known that it does as its environment says. */
const BY_COMMAND: Record<string, readonly KeyRoute[]> = {
	claude: CLAUDE,
	"claude-agent-acp": CLAUDE,
	"claude-code-acp": CLAUDE,
	gemini: GEMINI,
	opencode: OPENCODE,
};

/** Whom a key is for, so that a CLI that holds its own reaches that API without the owner's naming it. */
const API_HOSTS: Record<string, string> = {
	ANTHROPIC_API_KEY: "api.anthropic.com",
	ANTHROPIC_AUTH_TOKEN: "api.anthropic.com",
	CLAUDE_CODE_OAUTH_TOKEN: "api.anthropic.com",
	OPENAI_API_KEY: "api.openai.com",
	GEMINI_API_KEY: "generativelanguage.googleapis.com",
	OPENROUTER_API_KEY: "openrouter.ai",
};

interface KeysApart {
	routes: Record<string, { upstream: string; paths: string[]; credentials: { header: string; placeholder: string; secret: string }[] }>;
	/** The environment with placeholders and the proxy's addresses. */
	env: Record<string, string>;
	/** Hosts of the APIs that the CLI itself must reach. */
	hosts: string[];
	/** Names in `env` that still hold a credential. */
	keysInside: string[];
}

/**
 * Takes the keys out of an environment. `proxy` is `HOST:PORT` as the CLI sees it, `placeholderFor` makes what stands for a key, always the same
 * in one session.
 */
export function keepKeysApart(
	provider: { kind: "claude-code" | "acp"; command: string },
	env: Readonly<Record<string, string>>,
	proxy: string,
	placeholderFor: (key: string) => string,
): KeysApart {
	const command = provider.command.slice(provider.command.lastIndexOf("/") + 1);
	const known = provider.kind === "claude-code" ? CLAUDE : Object.hasOwn(BY_COMMAND, command) ? (BY_COMMAND[command] ?? []) : [];
	const apart: KeysApart = { routes: {}, env: { ...env }, hosts: [], keysInside: [] };
	for (const { key, header, base, upstream: usual, name, paths } of known) {
		const secret = env[key];
		const upstream = env[base] ?? usual;
		if (secret === undefined || secret === "" || !isHttp(upstream)) continue;
		// The end of a key tells a CLI nothing, but some look at its beginning.
		const placeholder = `${/^(?:sk-ant-[a-z]+[0-9]*-|sk-)?/.exec(secret)?.[0] ?? ""}${placeholderFor(key)}`;
		const bearer = header === "authorization" ? "Bearer " : "";
		apart.routes[name] ??= { upstream, paths: [...paths], credentials: [] };
		apart.routes[name].credentials.push({ header, placeholder: bearer + placeholder, secret: bearer + secret });
		apart.env[key] = placeholder;
		apart.env[base] = `http://${proxy}/model/${name}`;
	}
	for (const [name, value] of Object.entries(env)) {
		if (value === "" || apart.env[name] !== value) continue;
		if (isCredentialName(name)) apart.keysInside.push(name);
		const host = API_HOSTS[name];
		if (host !== undefined) apart.hosts.push(host);
		// An address that the owner wrote for this CLI is one that it may reach.
		if (/_(?:BASE_URL|API_BASE|ENDPOINT|HOST)$/.test(name)) apart.hosts.push(...authorityOf(value));
	}
	return apart;
}

/** Whether a variable of this name holds something that opens doors, as far as its name tells. */
export const isCredentialName = (name: string): boolean =>
	/(?:^|_)(?:KEY|APIKEY|TOKEN|SECRET|PASSWORD|PASSWD|PASS|PASSPHRASE|CREDENTIALS?|AUTH|PAT|DSN|COOKIE)(?:$|_(?!(?:FILE|PATH|DIR|ID|URL|TYPE|NAME|HELPER|SOCK)$))/i.test(
		name,
	) && !/(?:FILE|PATH|DIR|_URL)$/i.test(name);

/** The values of an environment's credentials. */
export const credentialsIn = (env: Readonly<Record<string, string>>): string[] =>
	Object.entries(env).flatMap(([name, value]) => (isCredentialName(name) && value !== "" ? [value] : []));

const isHttp = (url: string): boolean => /^https?:\/\/[^/?#@\s]+(?:\/[^?#\s]*)?$/i.test(url);

function authorityOf(url: string): string[] {
	const [, scheme = "", authority = ""] = /^(https?):\/\/([^/?#@\s]+)(?:[/?#]|$)/i.exec(url) ?? [];
	const to = parseAuthority(authority);
	if (to === null) return [];
	return [to.port === null ? `${authority}:${scheme.toLowerCase() === "https" ? 443 : 80}` : authority];
}
