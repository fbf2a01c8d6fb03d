/* The control socket: a few connections, each with a buffer for one message. */
#include "shim.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct connection {
	int fd; /* 0 is free: the standard descriptors are never connections */
	size_t filled;
	size_t taken; /* of the payload of the input message at the front */
	bool waits;   /* for the command to read */
	bool asked;   /* a ping before the start */
	bool ended;   /* the peer sends no more */
	bool writes;  /* has been let in as a writer of input */
	uint64_t turn; /* of its last message, or of its coming: the lowest is put out for a newcomer */
	unsigned char buffer[CONTROL_HEADER + CONTROL_PAYLOAD];
};

static struct connection connections[CONTROL_CONNECTIONS];

int control_listen(const char *path, struct problem *problem)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof address.sun_path)
		return problem_set(problem, EXIT_SHIM, "the control socket's path %s is too long", path);
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0177);
	bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
	umask(mask);
	if (!bound || listen(fd, CONTROL_CONNECTIONS) < 0) {
		problem_errno(problem, EXIT_SHIM, "listen on %s", path);
		if (bound)
			unlink(path);
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

static void drop(struct connection *connection)
{
	close(connection->fd);
	connection->fd = 0;
	connection->waits = connection->writes = false;
}

/* Who has spoken stays longer than who has not, whenever that was. */
static uint64_t next_turn(bool spoken)
{
	static uint64_t turns;
	return (uint64_t)spoken << 63 | ++turns;
}

/* A free one, or that of the quietest who writes no input. */
static struct connection *find_place(void)
{
	_Static_assert(CONTROL_WRITERS < CONTROL_CONNECTIONS, "writers leave room for others");
	struct connection *quietest = NULL;
	for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
		struct connection *connection = &connections[i];
		if (connection->fd == 0)
			return connection;
		if (!connection->writes && (quietest == NULL || connection->turn < quietest->turn))
			quietest = connection;
	}
	drop(quietest);
	return quietest;
}

void control_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct connection *connection = find_place();
	connection->fd = fd;
	connection->filled = connection->taken = 0;
	connection->waits = connection->asked = connection->ended = connection->writes = false;
	connection->turn = next_turn(false);
}

static void put_u32(unsigned char *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void answer(struct connection *connection, unsigned char kind, const unsigned char *payload, size_t length)
{
	unsigned char message[CONTROL_HEADER + 16] = { kind };
	put_u32(message + 4, (uint32_t)length);
	memcpy(message + CONTROL_HEADER, payload, length);
	/* Who asks so much without reading the answers is not worth waiting for. */
	if (send(connection->fd, message, CONTROL_HEADER + length, MSG_NOSIGNAL | MSG_DONTWAIT) !=
	    (ssize_t)(CONTROL_HEADER + length))
		drop(connection);
}

static void answer_error(struct connection *connection, unsigned char kind, int error)
{
	unsigned char payload[4];
	put_u32(payload, (uint32_t)error);
	answer(connection, kind, payload, sizeof payload);
}

static void answer_ping(struct connection *connection, const struct target *target)
{
	connection->asked = target->started_ns == 0;
	if (connection->asked)
		return;
	unsigned char payload[12];
	put_u32(payload, (uint32_t)target->pid);
	put_u32(payload + 4, (uint32_t)(target->started_ns >> 32));
	put_u32(payload + 8, (uint32_t)target->started_ns);
	answer(connection, CONTROL_PING, payload, sizeof payload);
}

static void let_write(struct connection *connection)
{
	int writers = 0;
	for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
		writers += connections[i].fd != 0 && connections[i].writes && &connections[i] != connection;
	connection->writes = writers < CONTROL_WRITERS;
	answer_error(connection, CONTROL_OPEN, connection->writes ? 0 : EBUSY);
}

static void close_input(struct target *target)
{
	if (target->input >= 0 && target->input != target->terminal)
		close(target->input);
	target->input = -1;
}

/* Whether all was taken; what the command will never read counts as taken. */
static bool give_input(struct target *target, struct connection *connection, const unsigned char *bytes, size_t length)
{
	while (connection->taken < length && target->input >= 0) {
		ssize_t n = write(target->input, bytes + connection->taken, length - connection->taken);
		if (n >= 0)
			connection->taken += (size_t)n;
		else if (errno == EAGAIN)
			return false;
		else if (errno != EINTR)
			close_input(target);
	}
	return true;
}

/* Whether the message is done with. */
static bool obey(struct target *target, struct connection *connection, size_t length)
{
	const unsigned char kind = connection->buffer[0];
	const unsigned char *payload = connection->buffer + CONTROL_HEADER;
	static const unsigned char end_of_text = 4;

	connection->turn = next_turn(true);
	if (kind == CONTROL_INPUT && connection->writes)
		return give_input(target, connection, payload, length);
	if (kind == CONTROL_OPEN && length == 0) {
		let_write(connection);
	} else if (kind == CONTROL_EOF && length == 0 && connection->writes) {
		if (target->terminal >= 0)
			return give_input(target, connection, &end_of_text, 1);
		close_input(target);
	} else if (kind == CONTROL_PING && length == 0) {
		answer_ping(connection, target);
	} else if (kind == CONTROL_SIZE && length == 4) {
		struct winsize size = {
			.ws_row = (unsigned short)(payload[0] << 8 | payload[1]),
			.ws_col = (unsigned short)(payload[2] << 8 | payload[3]),
		};
		int failed = target->terminal < 0 ? (errno = ENOTTY, -1) : ioctl(target->terminal, TIOCSWINSZ, &size);
		answer_error(connection, kind, failed < 0 ? errno : 0);
	} else if (kind == CONTROL_SIGNAL && length == 1) {
		int failed = pidfd_send_signal(target->pidfd, payload[0], NULL, 0);
		answer_error(connection, kind, failed < 0 ? errno : 0);
	} else {
		drop(connection);
	}
	return true;
}

static void obey_all(struct target *target, struct connection *connection)
{
	while (connection->fd != 0 && connection->filled >= CONTROL_HEADER) {
		const unsigned char *header = connection->buffer;
		size_t length = (size_t)header[4] << 24 | (size_t)header[5] << 16 | (size_t)header[6] << 8 | header[7];
		if (length > CONTROL_PAYLOAD) {
			drop(connection);
			return;
		}
		size_t total = CONTROL_HEADER + length;
		if (connection->filled < total)
			break;
		connection->waits = !obey(target, connection, length);
		if (connection->waits || connection->fd == 0)
			return;
		connection->taken = 0;
		connection->filled -= total;
		memmove(connection->buffer, connection->buffer + total, connection->filled);
	}
	if (connection->fd != 0 && connection->ended)
		drop(connection);
}

static void receive(struct target *target, struct connection *connection)
{
	ssize_t n = recv(connection->fd, connection->buffer + connection->filled,
			 sizeof connection->buffer - connection->filled, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		drop(connection);
		return;
	}
	connection->ended = n == 0;
	connection->filled += (size_t)n;
	obey_all(target, connection);
}

size_t control_poll(struct pollfd *polls)
{
	for (size_t i = 0; i < CONTROL_CONNECTIONS; i++) {
		const struct connection *connection = &connections[i];
		polls[i].fd = connection->fd != 0 && !connection->waits ? connection->fd : -1;
		polls[i].events = POLLIN;
		polls[i].revents = 0;
	}
	return CONTROL_CONNECTIONS;
}

void control_serve(struct target *target, const struct pollfd *polls, size_t count, bool room)
{
	for (size_t i = 0; i < count; i++) {
		struct connection *connection = &connections[i];
		if (connection->fd == 0)
			continue;
		if (connection->waits && room)
			obey_all(target, connection);
		else if (polls[i].revents != 0 && polls[i].fd == connection->fd)
			receive(target, connection);
	}
}

bool control_waits(void)
{
	for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
		if (connections[i].fd != 0 && connections[i].waits)
			return true;
	return false;
}

void control_started(struct target *target)
{
	for (size_t i = 0; i < CONTROL_CONNECTIONS; i++)
		if (connections[i].fd != 0 && connections[i].asked)
			answer_ping(&connections[i], target);
}
