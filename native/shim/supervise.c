/* The supervisor: one poll loop from the start of the command to its exit record. */
#include "supervisor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a pipe holds at most is read after the end; an exec's heirs may write for ever. */
enum { CHUNK = 32 * 1024, LAST_CHUNKS = 64 };

static int open_signals(struct problem *problem)
{
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	sigaddset(&mask, SIGTERM);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	int fd = sigprocmask(SIG_SETMASK, &mask, NULL) < 0 ? -1 : signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? problem_errno(problem, EXIT_SHIM, "take the signals") : fd;
}

/* Takes one chunk into the log; false when the stream has ended or has nothing now. */
static bool take_output(struct supervisor *self, int *fd, enum stream stream)
{
	static char chunk[CHUNK];
	if (*fd < 0)
		return false;
	ssize_t n = read(*fd, chunk, sizeof chunk);
	if (n > 0) {
		log_write(&self->log, stream, chunk, (size_t)n);
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (*fd != self->target.terminal)
		close(*fd);
	*fd = -1;
	return false;
}

static void drain(struct supervisor *self, int *fd, enum stream stream)
{
	for (int i = 0; i < LAST_CHUNKS && *fd >= 0; i++) {
		/* The poll matters: it moves what a terminal still holds back to where read finds it. */
		struct pollfd ready = { .fd = *fd, .events = POLLIN };
		if (poll(&ready, 1, 0) <= 0 || !take_output(self, fd, stream))
			return;
	}
}

static void take_signals(struct supervisor *self)
{
	struct signalfd_siginfo info;
	while (read(self->signals, &info, sizeof info) == (ssize_t)sizeof info)
		if (info.ssi_signo == SIGTERM && self->target.pidfd >= 0)
			pidfd_send_signal(self->target.pidfd, SIGTERM, NULL, 0);
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != self->target.pid)
			continue;
		self->ended = true;
		self->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
}

static void loop(struct supervisor *self)
{
	enum { SIGNALS, LISTENER, OUTPUT, ERRORS, INPUT, FIRST_CONNECTION };
	while (!self->ended) {
		const bool waits = control_waits();
		struct pollfd polls[FIRST_CONNECTION + CONTROL_CONNECTIONS] = {
			[SIGNALS] = { .fd = self->signals, .events = POLLIN },
			[LISTENER] = { .fd = self->listener, .events = POLLIN },
			[OUTPUT] = { .fd = self->output, .events = POLLIN },
			[ERRORS] = { .fd = self->errors, .events = POLLIN },
			/* Without POLLOUT it still tells when the command has closed its input. */
			[INPUT] = { .fd = self->target.input, .events = waits ? POLLOUT : 0 },
		};
		/* A terminal's two directions are one descriptor; only a pipe says by POLLERR that nobody reads. */
		if (self->target.input == self->target.terminal && !waits)
			polls[INPUT].fd = -1;
		size_t count = control_poll(polls + FIRST_CONNECTION);
		/* What waits for an input that was closed meanwhile need not wait. */
		const bool moot = waits && self->target.input < 0;
		if (poll(polls, FIRST_CONNECTION + count, moot ? 0 : -1) < 0) {
			if (errno == EINTR)
				continue;
			break;
		}
		if (polls[OUTPUT].revents != 0)
			take_output(self, &self->output, STREAM_OUT);
		if (polls[ERRORS].revents != 0)
			take_output(self, &self->errors, STREAM_ERR);
		if (polls[INPUT].revents & POLLERR && self->target.input != self->target.terminal) {
			close(self->target.input);
			self->target.input = -1;
		}
		control_serve(&self->target, polls + FIRST_CONNECTION, count, moot || (waits && polls[INPUT].revents != 0));
		if (polls[LISTENER].revents != 0)
			control_accept(self->listener);
		if (polls[SIGNALS].revents != 0)
			take_signals(self);
	}
}

static void finish(struct supervisor *self)
{
	if (self->slave >= 0)
		close(self->slave);
	drain(self, &self->output, STREAM_OUT);
	drain(self, &self->errors, STREAM_ERR);
	log_flush(&self->log);
	exit_write(self->dir, self->exit_code, self->target.started_ns, self->log.lost_in_all);
}

static _Noreturn void give_up(struct supervisor *self, const char *socket_path, int report, const struct problem *problem)
{
	if (self->target.pidfd >= 0)
		pidfd_send_signal(self->target.pidfd, SIGKILL, NULL, 0);
	else if (self->target.pid > 0)
		kill(self->target.pid, SIGKILL);
	if (self->target.pid > 0)
		waitpid(self->target.pid, NULL, 0);
	exit_drop(self->dir);
	if (self->listener >= 0)
		unlink(socket_path);
	write_all(report, (const char *)problem, sizeof *problem);
	_exit(problem->code);
}

void supervise(int dir, bool exec, struct spec *spec, int report)
{
	struct problem problem = { .code = 0 };
	struct supervisor self = {
		.dir = dir, .signals = -1, .listener = -1, .channel = -1, .output = -1, .errors = -1, .slave = -1,
		.target = { .pidfd = -1, .input = -1, .terminal = -1 },
	};
	char path[108] = "";

	/* Held to the end of this process, however it comes: by it others know that the supervisor lives. */
	if (flock(dir, LOCK_EX) < 0) {
		problem_errno(&problem, EXIT_SHIM, "lock the directory");
		give_up(&self, path, report, &problem);
	}
	if (spec_read(dir, exec, spec, &problem) < 0)
		give_up(&self, path, report, &problem);
	strcpy(path, spec->control); /* spec_read has seen that it fits */
	self.signals = open_signals(&problem);
	if (self.signals < 0 || (self.listener = control_listen(path, &problem)) < 0)
		give_up(&self, path, report, &problem);
	/* The claim, once the socket answers: the daemon may have changed its mind, or died and come back. */
	if (unlinkat(dir, "spec", 0) < 0) {
		problem_errno(&problem, EXIT_SHIM, "claim the spec");
		give_up(&self, path, report, &problem);
	}
	if (exit_reserve(dir, &problem) < 0 || log_open(&self.log, dir, spec->log_size, &problem) < 0 ||
	    start_command(&self, spec, &problem) < 0)
		give_up(&self, path, report, &problem);
	snprintf(problem.text, sizeof problem.text, "%d %llu", (int)self.target.pid,
		 (unsigned long long)(self.target.started_ns / 1000000));
	write_all(report, (const char *)&problem, sizeof problem);
	close(report);
	control_started(&self.target);
	loop(&self);
	finish(&self);
	unlink(path);
	_exit(0);
}
