#!/usr/bin/env node
import { enableCompileCache } from "node:module";
import { join } from "node:path";

// Half of a command's start is the compiling of what has not changed since the last one. The cache lies beside what it is made of and is
// as trusted as that; where it cannot be written, nothing is kept.
enableCompileCache(join(import.meta.dirname, "../node_modules/.cache/hotplex"));
await import("./program.ts");
