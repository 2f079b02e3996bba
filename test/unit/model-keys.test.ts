import { describe, expect, test } from "vitest";
import { isCredentialName, keepKeysApart } from "../../runner/model-keys.ts";

const PROXY = "127.0.0.1:3128";
const apart = (command: string, env: Record<string, string>, kind: "claude-code" | "acp" = "acp") =>
	keepKeysApart({ kind, command }, env, PROXY, (key) => `hotplex-${key.toLowerCase()}`);

describe("where keys stay", () => {
	test("[EGR-4] Claude Code has none of the three that it may log in by", () => {
		const env = { ANTHROPIC_API_KEY: "sk-ant-api03-a", ANTHROPIC_AUTH_TOKEN: "b", CLAUDE_CODE_OAUTH_TOKEN: "sk-ant-oat01-c", LANG: "C" };
		expect(apart("/opt/my-claude", env, "claude-code")).toEqual({
			env: {
				ANTHROPIC_API_KEY: "sk-ant-api03-hotplex-anthropic_api_key",
				ANTHROPIC_AUTH_TOKEN: "hotplex-anthropic_auth_token",
				CLAUDE_CODE_OAUTH_TOKEN: "sk-ant-oat01-hotplex-claude_code_oauth_token",
				ANTHROPIC_BASE_URL: "http://127.0.0.1:3128/model/anthropic",
				LANG: "C",
			},
			routes: {
				anthropic: {
					upstream: "https://api.anthropic.com",
					paths: ["/v1/messages", "/v1/models", "/api/hello"],
					credentials: [
						{ header: "x-api-key", placeholder: "sk-ant-api03-hotplex-anthropic_api_key", secret: "sk-ant-api03-a" },
						{ header: "authorization", placeholder: "Bearer hotplex-anthropic_auth_token", secret: "Bearer b" },
						{
							header: "authorization",
							placeholder: "Bearer sk-ant-oat01-hotplex-claude_code_oauth_token",
							secret: "Bearer sk-ant-oat01-c",
						},
					],
				},
			},
			hosts: [],
			keysInside: [],
		});
	});

	test.each([
		["gemini", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "gemini", "https://generativelanguage.googleapis.com", "x-goog-api-key"],
		["/usr/bin/opencode", "OPENAI_API_KEY", "OPENAI_BASE_URL", "openai", "https://api.openai.com/v1", "authorization"],
		["opencode", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "anthropic", "https://api.anthropic.com/v1", "x-api-key"],
		["claude-agent-acp", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "anthropic", "https://api.anthropic.com", "x-api-key"],
	])("[EGR-4] %s takes %s from the proxy", (command, key, base, name, upstream, header) => {
		const { env, routes, keysInside, hosts } = apart(command, { [key]: "sk-secret" });
		expect({ env, keysInside, hosts }).toEqual({
			env: { [key]: `sk-hotplex-${key.toLowerCase()}`, [base]: `http://${PROXY}/model/${name}` },
			keysInside: [],
			hosts: [],
		});
		expect(routes).toMatchObject({ [name]: { upstream, credentials: [{ header }] } });
	});

	test("[EGR-4] the owner's own gateway takes the place of the API", () => {
		const { routes, env, hosts } = apart(
			"claude",
			{ ANTHROPIC_AUTH_TOKEN: "x", ANTHROPIC_BASE_URL: "http://gw.corp.test:4000/llm" },
			"claude-code",
		);
		expect([routes.anthropic?.upstream, env.ANTHROPIC_BASE_URL, hosts]).toEqual([
			"http://gw.corp.test:4000/llm",
			`http://${PROXY}/model/anthropic`,
			[],
		]);
	});

	test("[EGR-4] of any other CLI the keys are as they were, it is said which, and it may reach whom they are for", () => {
		const env = {
			OPENAI_API_KEY: "sk-1",
			OPENROUTER_API_KEY: "sk-2",
			MY_LLM_BASE_URL: "http://127.0.0.1:18080/v1",
			MY_TOKEN: "t",
			HOME: "/h",
		};
		expect(apart("codex-acp", env)).toEqual({
			env,
			routes: {},
			hosts: ["api.openai.com", "openrouter.ai", "127.0.0.1:18080"],
			keysInside: ["OPENAI_API_KEY", "OPENROUTER_API_KEY", "MY_TOKEN"],
		});
	});

	test.each([
		["an empty key", { ANTHROPIC_API_KEY: "" }],
		["an address that is none", { ANTHROPIC_API_KEY: "k", ANTHROPIC_BASE_URL: "unix:///x" }],
		["an address with a user", { ANTHROPIC_API_KEY: "k", ANTHROPIC_BASE_URL: "https://user:pw@api.test" }],
	])("[EGR-4] %s makes no route", (_, env) => {
		expect(apart("claude", env, "claude-code")).toMatchObject({ env, routes: {} });
	});
});

test("[SEC-1] a credential is known by its variable's name", () => {
	const secret = [
		"OPENAI_API_KEY",
		"GITHUB_TOKEN",
		"DB_PASSWORD",
		"AWS_SECRET_ACCESS_KEY",
		"NPM_AUTH",
		"GH_PAT",
		"SENTRY_DSN",
		"MY_APIKEY",
		"CLAUDE_CODE_OAUTH_TOKEN",
		"Secret",
	];
	const plain = [
		"PATH",
		"HOME",
		"KEYBOARD",
		"TOKENIZERS_PARALLELISM",
		"SSH_AUTH_SOCK",
		"ANTHROPIC_BASE_URL",
		"KEY_FILE",
		"AWS_ACCESS_KEY_ID",
		"TERM",
		"PASSAGE",
		"TOKEN_PATH",
		"XDG_CONFIG_HOME",
	];
	expect(secret.filter((name) => !isCredentialName(name))).toEqual([]);
	expect(plain.filter(isCredentialName)).toEqual([]);
});
