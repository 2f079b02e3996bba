/// <reference path="./text.d.ts" />
/**
 * The console's files, as the Worker serves them. They are text to all that bundle it: to esbuild by the imports' attribute, to wrangler and to the
 * workerd tests by the rule in wrangler.toml.
 */
import style from "./console.css" with { type: "text" };
import page from "./console.html" with { type: "text" };
import script from "./console.js" with { type: "text" };

/** Nothing but its own script and style, which ask nobody but this gateway; in no frame, so that nobody clicks without seeing what. */
const HEADERS = {
	"content-security-policy":
		"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	"x-content-type-options": "nosniff",
	"referrer-policy": "no-referrer",
	// Not for a new version's sake alone: a page that may be kept for the way back is kept with all that it shows, and with its key.
	"cache-control": "no-store",
};

const served = (type: string, text: string): (() => Response) => {
	const headers = { ...HEADERS, "content-type": `${type}; charset=utf-8` };
	return () => new Response(text, { headers });
};

/** By path. */
export const CONSOLE = {
	"/console": served("text/html", page),
	"/console/console.css": served("text/css", style),
	"/console/console.js": served("text/javascript", script),
};
