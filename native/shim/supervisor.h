/* What the supervisor's two files share: start.c makes it run, supervise.c sees it to its end. */
#ifndef SKEIN_SUPERVISOR_H
#define SKEIN_SUPERVISOR_H

#include "shim.h"

struct supervisor {
	int dir;
	int signals;
	int listener;
	int channel;
	int output;
	int errors;
	int slave; /* held open, so that the terminal hangs up only at the end */
	bool ended;
	int exit_code;
	struct log log;
	struct target target;
};

/* Returns when the command has been executed; spec is freed then. What it has begun when it fails, the caller ends. */
int start_command(struct supervisor *self, struct spec *spec, struct problem *problem);

#endif
