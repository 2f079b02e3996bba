import { Command, CommanderError } from "commander";
import { register as approvals } from "./commands/approvals.ts";
import { register as attach } from "./commands/attach.ts";
import { register as audit } from "./commands/audit.ts";
import { register as chat } from "./commands/chat.ts";
import { EXIT, report } from "./commands/connection.ts";
import { register as keys } from "./commands/keys.ts";
import { register as policy } from "./commands/policy.ts";
import { register as policyTest } from "./commands/policy-test.ts";
import { register as queue } from "./commands/queue.ts";
import { register as run } from "./commands/run.ts";
import { register as runner } from "./commands/runner.ts";
import { register as runners } from "./commands/runners.ts";
import { register as sessions } from "./commands/sessions.ts";
import { register as up } from "./commands/up.ts";
import { VERSION } from "./daemon.ts";

// `hotplex run … | head` closes the pipe early; that is the reader's right and no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	if (error.code === "EPIPE") process.exit(EXIT.done);
	throw error;
});

const program = new Command("hotplex")
	.description("Any AI coding CLI, on any Linux machine of a team, behind one secure address.")
	.version(VERSION)
	.showHelpAfterError("(add --help for what it takes)")
	.exitOverride();
for (const register of [up, chat, attach, run, sessions, approvals, queue, runner, runners, keys, policy, policyTest, audit])
	register(program);

try {
	await program.parseAsync();
} catch (error) {
	// Commander has told what is wrong; help and version are no errors.
	process.exitCode = error instanceof CommanderError ? (error.exitCode === 0 ? EXIT.done : EXIT.usage) : report(error);
}
