/* From the fork to the command's execution, as the supervisor sees it. */
#include "supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

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

int start_command(struct supervisor *self, struct spec *spec, struct problem *problem)
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
