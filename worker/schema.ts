/**
 * Brings an object's tables to this version of the code: `steps` in order, each once, ever. The state on disk outlives every
 * deploy, so a step that has shipped is never edited; a change is a new step at the end. The first step says IF NOT EXISTS, since
 * states of before this file have its tables and no version. Steps only add, so that a deploy can be rolled back.
 */
export function migrate(sql: SqlStorage, steps: readonly string[]): void {
	sql.exec("CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL)");
	const [row] = sql.exec<{ version: number }>("SELECT version FROM schema").toArray();
	const version = row?.version ?? 0;
	if (version >= steps.length) return;
	// What is written without an await in between is one transaction (Durable Objects' write coalescing).
	for (const step of steps.slice(version)) sql.exec(step);
	sql.exec(row === undefined ? "INSERT INTO schema (version) VALUES (?)" : "UPDATE schema SET version = ?", steps.length);
}
