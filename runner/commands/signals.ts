/**
 * The first SIGTERM, SIGHUP or Ctrl-C drains, the second ends the running turns, the third stops at once. Each is told with what the
 * next one does. SIGUSR2 makes way for the next daemon: nothing ends.
 */
export function onSignals(stages: {
	drain(): Promise<void>;
	hurry(): void;
	stop(): void;
	makeWay(): Promise<void>;
	log(line: string): void;
}): void {
	// Whoever read what is said here may be gone (`npm start | tee log` and Ctrl-C); what others rely on goes on, and ends as it should.
	for (const stream of [process.stdout, process.stderr]) stream.removeAllListeners("error").on("error", () => {});
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
	// The terminal is gone.
	process.on("SIGHUP", take);
	process.on("SIGUSR2", () => {
		stages.log("making way: turns go on without a daemon until the next one is started");
		void stages.makeWay();
	});
}
