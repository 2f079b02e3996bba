/**
 * A gateway in a process of its own, so that it can be killed: `node gateway-child.ts ROOT STATE_DIR PORT`. Prints one line of JSON when it
 * serves, {"url":...,"apiKey":...}, and ends with its standard input.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [root = "", stateDir = "", port = ""] = process.argv.slice(2);
const { startGateway } = (await import(pathToFileURL(join(root, "runner/gateway.ts")).href)) as typeof import("../runner/gateway.ts");
const started = await startGateway({
	stateDir,
	host: "127.0.0.1",
	port: Number(port),
	env: process.env,
	log: (line) => process.stderr.write(`${line}\n`),
	verbose: true,
});
if (!started.ok) {
	process.stderr.write(`${started.error}\n`);
	process.exit(1);
}
const { url, apiKey } = started.value;
process.stdout.write(`${JSON.stringify({ url, apiKey })}\n`);
process.stdin.on("end", () => void started.value.stop().then(() => process.exit(0)));
process.stdin.resume();
