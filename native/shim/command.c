/* The child: from the fork to execve. */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Docker's default: 0x00000000a80425fb. */
static const uint64_t default_capabilities =
	1ull << CAP_CHOWN | 1ull << CAP_DAC_OVERRIDE | 1ull << CAP_FOWNER | 1ull << CAP_FSETID | 1ull << CAP_KILL |
	1ull << CAP_SETGID | 1ull << CAP_SETUID | 1ull << CAP_SETPCAP | 1ull << CAP_NET_BIND_SERVICE |
	1ull << CAP_NET_RAW | 1ull << CAP_SYS_CHROOT | 1ull << CAP_MKNOD | 1ull << CAP_AUDIT_WRITE | 1ull << CAP_SETFCAP;

/* Bounding, permitted and effective; nothing inheritable or ambient, as Docker since CVE-2022-24769. */
static int limit_capabilities(struct problem *problem)
{
	for (int capability = 0; capability < 64; capability++) {
		int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
		if (held < 0)
			break;
		if (held == 1 && (default_capabilities >> capability & 1) == 0 &&
		    prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0)
			return problem_errno(problem, EXIT_SHIM, "drop capability %d", capability);
	}
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return problem_errno(problem, EXIT_SHIM, "clear the ambient capabilities");
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &header, data) < 0)
		return problem_errno(problem, EXIT_SHIM, "read the capabilities");
	for (int i = 0; i < 2; i++) {
		data[i].permitted &= (uint32_t)(default_capabilities >> (32 * i));
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return problem_errno(problem, EXIT_SHIM, "set the capabilities");
	return 0;
}

static int reset_signals(struct problem *problem)
{
	struct sigaction standard = { .sa_handler = SIG_DFL };
	sigset_t none;
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &standard, NULL); /* not those of KILL, STOP and the C library: they have no handler */
	if (sigemptyset(&none) < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return problem_errno(problem, EXIT_SHIM, "reset the signals");
	return 0;
}

/* A pair in the container's own /dev/pts, so that `tty` tells the truth; the supervisor gets the other end. */
static int open_terminal(const struct command *command, int *slave, struct problem *problem)
{
	int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	int unlock = 0;
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 ||
	    (*slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) < 0)
		return problem_errno(problem, EXIT_SHIM, "open a terminal");
	const struct winsize size = {
		.ws_row = (unsigned short)command->spec->rows, .ws_col = (unsigned short)command->spec->columns
	};
	if (size.ws_row != 0 && ioctl(master, TIOCSWINSZ, &size) < 0)
		return problem_errno(problem, EXIT_SHIM, "set the size of the terminal");
	if (command->init < 0 && command->spec->rootfs != NULL) {
		int number = 0;
		char path[32];
		int console = open("/dev/console", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (console < 0 || ioctl(master, TIOCGPTN, &number) < 0)
			return problem_errno(problem, EXIT_SHIM, "make /dev/console");
		close(console);
		snprintf(path, sizeof path, "/dev/pts/%d", number);
		if (mount(path, "/dev/console", NULL, MS_BIND, NULL) < 0)
			return problem_errno(problem, EXIT_SHIM, "make /dev/console");
	}
	char kind = CHANNEL_TERMINAL;
	struct iovec part = { .iov_base = &kind, .iov_len = 1 };
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control = { .room = { 0 } };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room
	};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &master, sizeof master);
	if (sendmsg(command->channel, &message, MSG_NOSIGNAL) != 1)
		return problem_errno(problem, EXIT_SHIM, "hand over the terminal");
	close(master);
	return 0;
}

static int take_streams(const struct command *command, struct problem *problem)
{
	int input = command->input, output = command->output, errors = command->errors;
	if (setsid() < 0)
		return problem_errno(problem, EXIT_SHIM, "begin a session");
	if (command->spec->tty) {
		int slave = -1;
		if (open_terminal(command, &slave, problem) < 0)
			return -1;
		if (ioctl(slave, TIOCSCTTY, 0) < 0)
			return problem_errno(problem, EXIT_SHIM, "take the terminal");
		input = output = errors = slave;
	}
	if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(errors, 2) < 0)
		return problem_errno(problem, EXIT_SHIM, "take the standard streams");
	/* Among the rest is the channel: that it closes tells the supervisor that execve has worked. */
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		return problem_errno(problem, EXIT_SHIM, "close what is not the command's");
	return 0;
}

static int judge(const char *name, const char *path, struct problem *problem)
{
	struct stat status;
	if (stat(path, &status) < 0)
		return problem_errno(problem, errno == EACCES ? EXIT_NOT_EXECUTABLE : EXIT_NOT_FOUND, "exec: \"%s\": stat %s",
				     name, path);
	if (S_ISDIR(status.st_mode))
		return problem_set(problem, EXIT_NOT_EXECUTABLE, "exec: \"%s\": is a directory", name);
	if (!S_ISREG(status.st_mode) || access(path, X_OK) < 0)
		return problem_set(problem, EXIT_NOT_EXECUTABLE, "exec: \"%s\": permission denied", name);
	return 0;
}

/* In the PATH of the command's own environment; relative places in it are passed over. */
static int look_up(const struct spec *spec, char path[4096], struct problem *problem)
{
	const char *name = spec->argv[0];
	if (strchr(name, '/') != NULL) {
		if (strlen(name) >= 4096)
			return problem_set(problem, EXIT_NOT_FOUND, "exec: the command's name is too long");
		strcpy(path, name);
		return judge(name, path, problem);
	}
	const char *places = spec_env(spec, "PATH");
	for (const char *place = places; place != NULL && *name != '\0';) {
		size_t length = strcspn(place, ":");
		struct problem ignored;
		if (place[0] == '/' && length + strlen(name) + 2 <= 4096) {
			snprintf(path, 4096, "%.*s/%s", (int)length, place, name);
			if (judge(name, path, &ignored) == 0)
				return 0;
		}
		place = place[length] == ':' ? place + length + 1 : NULL;
	}
	return problem_set(problem, EXIT_NOT_FOUND, "exec: \"%.256s\": executable file not found in $PATH", name);
}

static int prepare(const struct command *command, char path[4096], struct problem *problem)
{
	bool joins = command->init >= 0;
	/*
	 * The container's processes see us already. Once our capabilities are down to theirs, only this keeps them from our
	 * descriptors, until execve makes the command as open as others are.
	 */
	if (joins && prctl(PR_SET_DUMPABLE, 0) < 0)
		return problem_errno(problem, EXIT_SHIM, "close this process to the container's");
	if ((joins ? jail_join(command, problem) : jail_make(command, problem)) < 0)
		return -1;
	if (take_streams(command, problem) < 0 || reset_signals(problem) < 0)
		return -1;
	if (chdir("/") < 0)
		return problem_errno(problem, EXIT_SHIM, "enter the root directory");
	umask(022);
	/* A user namespace may deny setgroups; there are no groups to lose there. */
	if (setgroups(0, NULL) < 0 && errno != EPERM)
		return problem_errno(problem, EXIT_SHIM, "leave the supplementary groups");
	if (limit_capabilities(problem) < 0)
		return -1;
	return look_up(command->spec, path, problem);
}

void command_become(const struct command *command)
{
	struct problem problem = { .code = 0 };
	char path[4096];
	char word = CHANNEL_READY;

	/* Armed before the supervisor says go: it cannot die unnoticed. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || send(command->channel, &word, 1, MSG_NOSIGNAL) != 1)
		_exit(EXIT_SHIM);
	if (recv(command->channel, &word, 1, 0) != 1 || word != CHANNEL_GO)
		_exit(EXIT_SHIM);
	if (prepare(command, path, &problem) == 0) {
		const struct spec *spec = command->spec;
		execve(path, spec->argv, spec->envp);
		problem_errno(&problem, errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE, "exec %s", path);
	}
	char message[1 + sizeof problem];
	message[0] = CHANNEL_PROBLEM;
	memcpy(message + 1, &problem, sizeof problem);
	send(command->channel, message, sizeof message, MSG_NOSIGNAL);
	_exit(problem.code);
}
