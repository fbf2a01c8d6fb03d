/* What outlives the container: the log, the exit record, the pid. */
#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_HEADER = 16, EXIT_ROOM = 256 };

uint64_t now_ns(void)
{
	struct timespec now;
	if (clock_gettime(CLOCK_REALTIME, &now) < 0)
		return 0;
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, bytes, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		bytes += n;
		length -= (size_t)n;
	}
	return 0;
}

static void log_name(char name[32], uint64_t base)
{
	snprintf(name, 32, "log.%" PRIu64, base);
}

static int open_file(struct log *log, int flags)
{
	char name[32];
	log_name(name, log->base);
	log->fd = openat(log->dir, name, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	log->size = 0;
	return log->fd < 0 ? -1 : 0;
}

/* The two newest files that an earlier life of the command has left. */
static int find_files(struct log *log)
{
	int fd = openat(log->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	if (entries == NULL) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	bool found = false;
	for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
		uint64_t base = 0;
		char name[32];
		if (sscanf(entry->d_name, "log.%" SCNu64, &base) != 1)
			continue;
		log_name(name, base);
		if (strcmp(name, entry->d_name) != 0)
			continue;
		if (!found || base > log->base) {
			log->has_previous = found;
			log->previous = log->base;
			log->base = base;
			found = true;
		} else if (!log->has_previous || base > log->previous) {
			log->has_previous = true;
			log->previous = base;
		}
	}
	closedir(entries);
	return 0;
}

/* Behind the last whole frame: what a power cut has torn is not read by anyone and would hide all that follows. */
static int skip_frames(struct log *log)
{
	static unsigned char bytes[64 * 1024];
	size_t filled = 0;
	for (uint64_t at = 0;;) {
		ssize_t n = pread(log->fd, bytes + filled, sizeof bytes - filled, (off_t)(at + filled));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		filled += (size_t)n;
		size_t whole = 0;
		while (filled - whole >= FRAME_HEADER) {
			const unsigned char *header = bytes + whole;
			size_t length = (size_t)header[4] << 24 | (size_t)header[5] << 16 | (size_t)header[6] << 8 | header[7];
			if (length > sizeof bytes - FRAME_HEADER || filled - whole < FRAME_HEADER + length)
				break;
			whole += FRAME_HEADER + length;
		}
		if (whole == 0) {
			log->size = at;
			return filled == 0 ? 0 : ftruncate(log->fd, (off_t)at);
		}
		at += whole;
		filled -= whole;
		memmove(bytes, bytes + whole, filled);
	}
}

int log_open(struct log *log, int dir, uint64_t limit, struct problem *problem)
{
	memset(log, 0, sizeof *log);
	log->dir = dir;
	log->limit = limit;
	if (find_files(log) < 0 || open_file(log, 0) < 0 || skip_frames(log) < 0)
		return problem_errno(problem, EXIT_SHIM, "open the log");
	return 0;
}

/* The next file begins where this one ends, which its name says; the last but one goes. */
static int rotate(struct log *log)
{
	struct log next = *log;
	next.base = log->base + log->size;
	next.previous = log->base;
	next.has_previous = true;
	if (open_file(&next, O_TRUNC) < 0)
		return -1;
	if (log->has_previous) {
		char name[32];
		log_name(name, log->previous);
		unlinkat(log->dir, name, 0);
	}
	close(log->fd);
	*log = next;
	return 0;
}

static int append(struct log *log, enum stream stream, const char *bytes, size_t length)
{
	uint64_t total = FRAME_HEADER + length;
	if (log->size > 0 && log->size + total > log->limit && rotate(log) < 0)
		return -1;
	unsigned char header[FRAME_HEADER] = { (unsigned char)stream };
	uint64_t time = now_ns();
	for (int i = 0; i < 4; i++)
		header[4 + i] = (unsigned char)(length >> (24 - 8 * i));
	for (int i = 0; i < 8; i++)
		header[8 + i] = (unsigned char)(time >> (56 - 8 * i));
	struct iovec parts[2] = {
		{ .iov_base = header, .iov_len = sizeof header },
		{ .iov_base = (void *)(uintptr_t)bytes, .iov_len = length },
	};
	ssize_t n;
	do
		n = writev(log->fd, parts, 2);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)total) {
		log->size += total;
		return 0;
	}
	int cause = n < 0 ? errno : ENOSPC;
	/* A torn frame would garble all that follows: back to the last whole one, or on to a new file. */
	if (n > 0 && ftruncate(log->fd, (off_t)log->size) < 0)
		rotate(log);
	errno = cause;
	return -1;
}

void log_flush(struct log *log)
{
	if (log->lost == 0)
		return;
	char note[96];
	int length = snprintf(note, sizeof note, "%" PRIu64 " bytes of output were lost: the log could not be written\n",
			      log->lost);
	if (length > 0 && append(log, STREAM_NOTE, note, (size_t)length) == 0)
		log->lost = 0;
}

void log_write(struct log *log, enum stream stream, const char *bytes, size_t length)
{
	if (length == 0)
		return;
	log_flush(log);
	if (log->lost > 0 || append(log, stream, bytes, length) < 0) {
		log->lost += length;
		log->lost_in_all += length;
	}
}

int exit_reserve(int dir, struct problem *problem)
{
	char room[EXIT_ROOM];
	memset(room, ' ', sizeof room);
	int fd = openat(dir, "exit.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || write_all(fd, room, sizeof room) < 0 || fsync(fd) < 0) {
		problem_errno(problem, EXIT_SHIM, "make room for the exit record");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

void exit_write(int dir, int code, uint64_t started_ns, uint64_t lost)
{
	char record[EXIT_ROOM];
	memset(record, ' ', sizeof record);
	int length = snprintf(record, sizeof record,
			      "{\"exitCode\":%d,\"started\":%" PRIu64 ",\"finished\":%" PRIu64 ",\"lost\":%" PRIu64 "}",
			      code, started_ns / 1000000, now_ns() / 1000000, lost);
	record[length] = ' ';
	record[sizeof record - 1] = '\n';
	int fd = openat(dir, "exit.tmp", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return;
	if (pwrite(fd, record, sizeof record, 0) == (ssize_t)sizeof record) {
		fsync(fd);
		if (renameat(dir, "exit.tmp", dir, "exit") == 0)
			fsync(dir);
	}
	close(fd);
}

void exit_drop(int dir)
{
	unlinkat(dir, "exit.tmp", 0);
}

static int read_small(int dir, const char *name, char *text, size_t room)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -1;
	ssize_t n;
	do
		n = read(fd, text, room - 1);
	while (n < 0 && errno == EINTR);
	close(fd);
	if (n < 0)
		return -1;
	text[n] = '\0';
	return 0;
}

static int boot_id(char id[37])
{
	char text[64];
	if (read_small(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text, sizeof text) < 0 || strlen(text) < 36)
		return -1;
	memcpy(id, text, 36);
	id[36] = '\0';
	return 0;
}

/* Field 22 of /proc/PID/stat; the second field may hold anything, but ends with the last bracket. */
static int start_time(pid_t pid, uint64_t *ticks)
{
	char path[32], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if (read_small(AT_FDCWD, path, text, sizeof text) < 0)
		return -1;
	char *field = strrchr(text, ')');
	for (int i = 2; i < 22 && field != NULL; i++)
		field = strchr(field + 1, ' ');
	if (field == NULL) {
		errno = EPROTO;
		return -1;
	}
	*ticks = strtoull(field + 1, NULL, 10);
	return 0;
}

int pid_write(int dir, pid_t pid, struct problem *problem)
{
	char boot[37], text[128];
	uint64_t ticks = 0;
	if (boot_id(boot) < 0 || start_time(pid, &ticks) < 0)
		return problem_errno(problem, EXIT_SHIM, "read the start time of process %d", (int)pid);
	int length = snprintf(text, sizeof text, "%d %" PRIu64 " %s\n", (int)pid, ticks, boot);
	int fd = openat(dir, "pid.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return problem_errno(problem, EXIT_SHIM, "write the pid");
	int failed = write_all(fd, text, (size_t)length) < 0 || renameat(dir, "pid.tmp", dir, "pid") < 0;
	if (failed)
		problem_errno(problem, EXIT_SHIM, "write the pid");
	close(fd);
	return failed ? -1 : 0;
}

int pid_open(int dir)
{
	char text[128], boot[37], told[37];
	int pid = 0;
	uint64_t ticks = 0, actual = 0;
	if (read_small(dir, "pid", text, sizeof text) < 0 || boot_id(boot) < 0)
		return -1;
	if (sscanf(text, "%d %" SCNu64 " %36s", &pid, &ticks, told) != 3 || pid <= 0 || strcmp(boot, told) != 0) {
		errno = ESRCH;
		return -1;
	}
	int fd = pidfd_open(pid, 0);
	if (fd < 0)
		return -1;
	/* Opened first, compared then: a process that came later under the same number began later. */
	if (start_time(pid, &actual) < 0 || actual != ticks) {
		close(fd);
		errno = ESRCH;
		return -1;
	}
	return fd;
}
