/**
 * The first SIGTERM or Ctrl-C drains, the second ends the running turns, the third stops at once. Each is told with what the
 * next one does.
 */
export function onSignals(stages: { drain(): Promise<void>; hurry(): void; stop(): void; log(line: string): void }): void {
	let count = 0;
	const take = () => {
		count++;
		if (count === 1) {
			stages.log("draining: running turns may end; again to end them now");
			void stages.drain();
		} else if (count === 2) {
			stages.log("ending running turns; again to stop at once");
			stages.hurry();
		} else stages.stop();
	};
	process.on("SIGTERM", take);
	process.on("SIGINT", take);
}
