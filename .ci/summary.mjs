// Prints "N passed, N failed" of a vitest JSON report. Fails if anything failed, or if nothing ran at all: a run without
// a report or without tests is not a good one.
import { readFileSync } from "node:fs";

let report;
try {
	report = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8"));
} catch (cause) {
	console.log(`0 passed, 1 failed (no report: ${cause instanceof Error ? cause.message : cause})`);
	process.exit(1);
}
const passed = report.numPassedTests;
// A file that does not load has no tests to count, and must not vanish for it.
const unloaded = report.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
const failed = report.numFailedTests + unloaded;
console.log(`${passed} passed, ${failed} failed`);
if (failed > 0 || passed === 0 || report.success !== true) process.exitCode = 1;
