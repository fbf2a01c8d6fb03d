/* The supervisor: one poll loop from the start of the command to its exit record. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a pipe holds at most is read after the end; an exec's heirs may write for ever. */
enum { CHUNK = 32 * 1024, LAST_CHUNKS = 64 };

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

static int set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* The supervisor is the last to be killed when memory runs out; the command stands where the daemon stood. */
static int set_oom_score(int score)
{
	int before = 0;
	char text[16] = "";
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof text - 1) > 0)
		before = atoi(text);
	int length = snprintf(text, sizeof text, "%d", score);
	/* Refused without CAP_SYS_RESOURCE: then both stay where they are. */
	if (pwrite(fd, text, (size_t)length, 0) < 0)
		before = score;
	close(fd);
	return before;
}

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

/* Both ends; `ours` does not block. */
static int open_pipe(int *ours, int *theirs, bool reads, struct problem *problem)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return problem_errno(problem, EXIT_SHIM, "make a pipe");
	*ours = ends[reads ? 0 : 1];
	*theirs = ends[reads ? 1 : 0];
	if (set_nonblocking(*ours) < 0)
		return problem_errno(problem, EXIT_SHIM, "make a pipe");
	return 0;
}

static int open_streams(struct supervisor *self, const struct spec *spec, struct command *command, struct problem *problem)
{
	if (spec->tty)
		return 0;
	if (open_pipe(&self->output, &command->output, true, problem) < 0 ||
	    open_pipe(&self->errors, &command->errors, true, problem) < 0)
		return -1;
	if (spec->input)
		return open_pipe(&self->target.input, &command->input, false, problem);
	command->input = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return command->input < 0 ? problem_errno(problem, EXIT_SHIM, "open /dev/null") : 0;
}

/* Opens what the child enters; from here on, children are born in the right pid namespace. */
static int open_namespaces(const struct spec *spec, struct command *command, struct problem *problem)
{
	if (spec->join == NULL) {
		command->netns = open(spec->netns, O_RDONLY | O_CLOEXEC);
		if (command->netns < 0)
			return problem_errno(problem, EXIT_SHIM, "open the network namespace %s", spec->netns);
		if (unshare(CLONE_NEWPID) < 0)
			return problem_errno(problem, EXIT_SHIM, "make the pid namespace");
		return 0;
	}
	int container = open(spec->join, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	command->init = container < 0 ? -1 : pid_open(container);
	if (container >= 0)
		close(container);
	if (command->init < 0 || setns(command->init, CLONE_NEWPID) < 0)
		return problem_errno(problem, EXIT_SHIM, "join the container");
	return 0;
}

static int take_terminal(struct supervisor *self, const struct spec *spec, struct msghdr *message, struct problem *problem)
{
	struct cmsghdr *rights = CMSG_FIRSTHDR(message);
	if (rights == NULL || rights->cmsg_level != SOL_SOCKET || rights->cmsg_type != SCM_RIGHTS)
		return problem_set(problem, EXIT_SHIM, "the terminal did not come over");
	int master = -1;
	memcpy(&master, CMSG_DATA(rights), sizeof master);
	self->target.terminal = self->output = master;
	self->target.input = spec->input ? master : -1;
	self->slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (self->slave < 0 || set_nonblocking(master) < 0)
		return problem_errno(problem, EXIT_SHIM, "take the terminal");
	return 0;
}

/* Waits until the command has been executed, or the child says why not. */
static int await_start(struct supervisor *self, const struct spec *spec, struct problem *problem)
{
	char word = 0;
	if (recv(self->channel, &word, 1, 0) != 1 || word != CHANNEL_READY)
		return problem_set(problem, EXIT_SHIM, "the container's first process ended before it was prepared");
	word = CHANNEL_GO;
	if (send(self->channel, &word, 1, MSG_NOSIGNAL) != 1)
		return problem_errno(problem, EXIT_SHIM, "start the container's first process");
	for (;;) {
		char bytes[1 + sizeof *problem];
		union {
			char room[CMSG_SPACE(sizeof(int))];
			struct cmsghdr aligned;
		} control;
		struct iovec part = { .iov_base = bytes, .iov_len = sizeof bytes };
		struct msghdr message = {
			.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room
		};
		ssize_t n = recvmsg(self->channel, &message, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return problem_errno(problem, EXIT_SHIM, "hear from the container's first process");
		if (n == 0)
			return 0;
		if (bytes[0] == CHANNEL_TERMINAL && take_terminal(self, spec, &message, problem) < 0)
			return -1;
		if (bytes[0] == CHANNEL_PROBLEM && n == (ssize_t)sizeof bytes) {
			memcpy(problem, bytes + 1, sizeof *problem);
			problem->text[sizeof problem->text - 1] = '\0';
			return -1;
		}
	}
}

static int start(struct supervisor *self, struct spec *spec, struct problem *problem)
{
	struct command command = {
		.spec = spec, .dir = self->dir, .init = -1, .netns = -1, .input = -1, .output = -1, .errors = -1
	};
	int ends[2];
	if (open_streams(self, spec, &command, problem) < 0 || open_namespaces(spec, &command, problem) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return problem_errno(problem, EXIT_SHIM, "make the channel to the container's first process");
	self->channel = ends[0];
	command.channel = ends[1];
	const int oom_score = set_oom_score(-999);
	pid_t pid = fork();
	if (pid < 0)
		return problem_errno(problem, EXIT_SHIM, "fork the container's first process");
	if (pid == 0) {
		close(ends[0]);
		if (oom_score != -999)
			set_oom_score(oom_score);
		command_become(&command);
	}
	const int theirs[] = { ends[1], command.input, command.output, command.errors, command.netns, command.init };
	for (size_t i = 0; i < sizeof theirs / sizeof theirs[0]; i++)
		if (theirs[i] >= 0)
			close(theirs[i]);
	self->target.pid = pid;
	self->target.pidfd = pidfd_open(pid, 0);
	if (self->target.pidfd < 0)
		return problem_errno(problem, EXIT_SHIM, "hold the container's first process");
	if (pid_write(self->dir, pid, problem) < 0 || await_start(self, spec, problem) < 0)
		return -1;
	close(self->channel);
	spec_free(spec);
	self->target.started_ns = now_ns();
	return 0;
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
	    start(&self, spec, &problem) < 0)
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
