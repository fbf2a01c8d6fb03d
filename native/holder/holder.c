/*
 * skein-holder: keeps descriptors for a daemon, so that its sockets live on while it is replaced: what arrives meanwhile
 * waits in them. It knows nothing of what it keeps but a name, and has no capability.
 *
 * usage: skein-holder PATH    listens at the unix socket PATH (SOCK_SEQPACKET), goes into the background and returns
 *
 * It is for one daemon at a time: who is connected beside another that keeps and drops may miss some of what is kept.
 *
 * A message in, one message out, each `kind:8 | payload`:
 *   keep (name) with a descriptor   -> done (): instead of what had the name
 *   drop (name)                     -> done (): also when nothing has it
 *   get  (index:32, big endian)     -> held (name) with the descriptor, or end () when there are no more
 * and `error (errno:32)` for what cannot be done. Indexes count what is kept without gaps; keep and drop move them.
 * When it keeps nothing and the last connection closes it ends, and also when nobody connects in the beginning: who connects
 * at that moment is cut off, and starts another.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { NAME_MAX_LENGTH = 128, HELD_MAX = 65536, CONNECTIONS = 8, PATIENCE_MS = 5000, PAUSE_MS = 100, ANSWER_SECONDS = 5 };
enum { KEEP = 'k', DROP = 'd', GET = 'g', DONE = 'o', HELD = 'h', END = 'z', ERROR = 'e' };

struct held {
	int fd;
	uint8_t length;
	char name[NAME_MAX_LENGTH];
};

static struct held *held;
static size_t count;
static size_t room;

static struct held *find(const char *name, size_t length)
{
	for (size_t i = 0; i < count; i++)
		if (held[i].length == length && memcmp(held[i].name, name, length) == 0)
			return &held[i];
	return NULL;
}

/* Takes the descriptor over, whatever it returns. Returns 0 or an errno. */
static int keep(const char *name, size_t length, int fd)
{
	int failure = fd < 0 ? EBADF : length == 0 || length > NAME_MAX_LENGTH ? EINVAL : 0;
	struct held *place = failure == 0 ? find(name, length) : NULL;
	if (failure == 0 && place == NULL) {
		if (count == HELD_MAX)
			failure = ENOSPC;
		if (failure == 0 && count == room) {
			size_t more = room == 0 ? 64 : room * 2;
			struct held *grown = reallocarray(held, more, sizeof *held);
			failure = grown == NULL ? ENOMEM : 0;
			if (grown != NULL) {
				held = grown;
				room = more;
			}
		}
		if (failure == 0) {
			place = &held[count++];
			place->fd = -1;
			place->length = (uint8_t)length;
			memcpy(place->name, name, length);
		}
	}
	if (failure != 0) {
		if (fd >= 0)
			close(fd);
		return failure;
	}
	if (place->fd >= 0)
		close(place->fd);
	place->fd = fd;
	return 0;
}

static void drop(const char *name, size_t length)
{
	struct held *place = find(name, length);
	if (place == NULL)
		return;
	close(place->fd);
	*place = held[--count];
}

static bool answer(int connection, char kind, const void *payload, size_t length, int fd)
{
	struct iovec parts[] = { { &kind, 1 }, { (void *)payload, length } };
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof fd)];
	} control = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof control;
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof fd);
		memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	}
	return sendmsg(connection, &message, MSG_NOSIGNAL) == (ssize_t)(1 + length);
}

static bool answer_errno(int connection, int failure)
{
	const uint8_t bytes[] = { 0, 0, (uint8_t)(failure >> 8), (uint8_t)failure };
	return failure == 0 ? answer(connection, DONE, NULL, 0, -1) : answer(connection, ERROR, bytes, sizeof bytes, -1);
}

static bool get(int connection, const uint8_t *bytes, size_t length)
{
	if (length != 4)
		return answer_errno(connection, EINVAL);
	size_t index = (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
	if (index >= count)
		return answer(connection, END, NULL, 0, -1);
	return answer(connection, HELD, held[index].name, held[index].length, held[index].fd);
}

/* Returns whether the connection goes on. */
static bool serve(int connection)
{
	char bytes[1 + NAME_MAX_LENGTH];
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { bytes, sizeof bytes };
	/* Room for one descriptor: with the padding that CMSG_SPACE counts the kernel would hand out two. */
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_LEN(sizeof(int))
	};
	ssize_t n = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EINTR;
	int fd = -1;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(header), sizeof fd);
	if (n == 0 && fd < 0)
		return false;
	/* With more descriptors than one, or a longer message than any, the kernel has cut it off. */
	bool cut = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
	if (fd < 0 && (message.msg_flags & MSG_CTRUNC) != 0)
		return answer_errno(connection, EMFILE);
	if (n >= 1 && !cut && bytes[0] == KEEP)
		return answer_errno(connection, keep(bytes + 1, (size_t)n - 1, fd));
	if (fd >= 0)
		close(fd);
	if (n >= 1 && !cut && bytes[0] == GET)
		return get(connection, (uint8_t *)bytes + 1, (size_t)n - 1);
	if (n >= 1 && !cut && bytes[0] == DROP) {
		drop(bytes + 1, (size_t)n - 1);
		return answer_errno(connection, 0);
	}
	return answer_errno(connection, EINVAL);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	umask(0177);
	/* Another holder would keep what it has, out of everybody's reach. */
	if (fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN)) {
		errno = EADDRINUSE;
		return -1;
	}
	if (fd < 0 || (unlink(path) < 0 && errno != ENOENT) || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
	    listen(fd, CONNECTIONS) < 0)
		return -1;
	return fd;
}

/* Nothing of the caller stays but the listener, and `report`, which is closed when all is done. */
static int retire(int listener, int report)
{
	struct rlimit files;
	struct __user_cap_header_struct version = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int kept = fcntl(listener, F_DUPFD_CLOEXEC, 10);
	int kept_report = fcntl(report, F_DUPFD_CLOEXEC, 10);
	if (null < 0 || kept < 0 || kept_report < 0 || setsid() < 0 || chdir("/") < 0)
		return -1;
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			return -1;
	if (dup3(kept, 3, O_CLOEXEC) < 0 || dup3(kept_report, 4, O_CLOEXEC) < 0 || close_range(5, ~0u, 0) < 0)
		return -1;
	/* Each descriptor that it hands out counts until it has been received. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_capset, &version, none) < 0)
		return -1;
	prctl(PR_SET_NAME, "skein-holder");
	signal(SIGHUP, SIG_IGN);
	if (write(4, "", 1) != 1)
		return -1;
	close(4);
	return 3;
}

static _Noreturn void run(int listener)
{
	struct pollfd polls[1 + CONNECTIONS] = { { .fd = listener, .events = POLLIN } };
	size_t connections = 0;
	bool met = false;
	for (;;) {
		bool idle = connections == 0 && count == 0;
		if (idle && met)
			exit(0);
		/* A full house takes no more: they wait in the listener. */
		polls[0].events = connections < CONNECTIONS ? POLLIN : 0;
		int ready = poll(polls, 1 + connections, idle ? PATIENCE_MS : -1);
		if (ready == 0)
			exit(0);
		if (ready < 0) {
			if (errno == EINTR)
				continue;
			exit(1);
		}
		for (size_t i = connections; i >= 1; i--) {
			if (polls[i].revents == 0 || ((polls[i].revents & POLLIN) != 0 && serve(polls[i].fd)))
				continue;
			close(polls[i].fd);
			polls[i] = polls[connections--];
		}
		if ((polls[0].revents & POLLIN) == 0)
			continue;
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
		if (fd < 0) {
			/* No descriptor left: they wait. */
			poll(NULL, 0, PAUSE_MS);
			continue;
		}
		/* Who does not read its answers is let go. */
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
		polls[++connections] = (struct pollfd){ .fd = fd, .events = POLLIN };
		met = true;
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: skein-holder PATH    keeps descriptors for who connects to the unix socket PATH\n", stderr);
		return 2;
	}
	int listener = listen_at(argv[1]);
	if (listener < 0) {
		fprintf(stderr, "listen on %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	int report[2];
	pid_t pid = pipe2(report, O_CLOEXEC) < 0 ? -1 : fork();
	if (pid < 0) {
		fprintf(stderr, "fork: %s\n", strerror(errno));
		return 1;
	}
	if (pid == 0) {
		listener = retire(listener, report[1]);
		if (listener < 0)
			_exit(1);
		run(listener);
	}
	close(report[1]);
	char ready;
	if (read(report[0], &ready, 1) == 1)
		return 0;
	fputs("the holder ended before it was ready\n", stderr);
	return 1;
}
