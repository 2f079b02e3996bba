import { afterEach, beforeEach, expect, test } from "vitest";
import { SessionId } from "../../shared/ids.ts";
import { digest } from "../../worker/secrets.ts";
import { bindings, clock, freshTeam, openSession, principalOf, Watcher } from "./scripted.ts";

// The attacks of test/e2e/attacks.test.ts that need a clock which a test can move.
beforeEach(() => clock.start());
afterEach(() => clock.stop());
