#include "shim.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] =
	"usage: skein-shim run DIR    start the container that DIR/spec describes, and supervise it\n"
	"       skein-shim exec DIR   start one more command in a running container\n"
	"       skein-shim end DIR    kill what the supervisor of DIR left behind when it was killed; 1: it lives\n";

static void set_text(struct problem *problem, int code, const char *format, va_list arguments)
{
	problem->code = code;
	vsnprintf(problem->text, sizeof problem->text, format, arguments);
}

int problem_set(struct problem *problem, int code, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	set_text(problem, code, format, arguments);
	va_end(arguments);
	return -1;
}

int problem_errno(struct problem *problem, int code, const char *format, ...)
{
	char why[96];
	snprintf(why, sizeof why, "%s", strerror(errno));
	why[0] = (char)tolower((unsigned char)why[0]);
	va_list arguments;
	va_start(arguments, format);
	set_text(problem, code, format, arguments);
	va_end(arguments);
	size_t length = strlen(problem->text);
	snprintf(problem->text + length, sizeof problem->text - length, ": %s", why);
	return -1;
}

/* Reads the supervisor's report: its pid and time of start, or why there is none. */
static int await_report(int report)
{
	struct problem problem;
	size_t done = 0;
	while (done < sizeof problem) {
		ssize_t n = read(report, (char *)&problem + done, sizeof problem - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done < sizeof problem)
		problem_set(&problem, EXIT_SHIM, "the supervisor ended before the command was started");
	problem.text[sizeof problem.text - 1] = '\0';
	fprintf(problem.code == 0 ? stdout : stderr, "%s\n", problem.text);
	return fflush(stdout) == 0 ? problem.code : EXIT_SHIM;
}

/* Nothing of the caller stays: session, working directory, streams, other descriptors. */
static void detach(int *dir, int *report)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int kept_dir = fcntl(*dir, F_DUPFD_CLOEXEC, 10);
	int kept_report = fcntl(*report, F_DUPFD_CLOEXEC, 10);
	if (null < 0 || kept_dir < 0 || kept_report < 0 || setsid() < 0 || chdir("/") < 0)
		_exit(EXIT_SHIM);
	for (int fd = 0; fd < 3; fd++)
		if (dup2(null, fd) < 0)
			_exit(EXIT_SHIM);
	if (dup2(kept_dir, 3) < 0 || dup2(kept_report, 4) < 0 || close_range(5, ~0u, 0) < 0)
		_exit(EXIT_SHIM);
	*dir = 3;
	*report = 4;
	if (fcntl(3, F_SETFD, FD_CLOEXEC) < 0 || fcntl(4, F_SETFD, FD_CLOEXEC) < 0)
		_exit(EXIT_SHIM);
	umask(077);
}

static int start(const char *path, bool exec)
{
	static struct spec spec;
	int ends[2];
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || pipe2(ends, O_CLOEXEC) < 0) {
		fprintf(stderr, "open %s: %s\n", path, strerror(errno));
		return EXIT_SHIM;
	}
	pid_t pid = fork();
	if (pid < 0) {
		fprintf(stderr, "fork the supervisor: %s\n", strerror(errno));
		return EXIT_SHIM;
	}
	if (pid == 0) {
		detach(&dir, &ends[1]);
		supervise(dir, exec, &spec, ends[1]);
	}
	close(ends[1]);
	return await_report(ends[0]);
}

static int end(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) < 0) {
		const bool lives = errno == EWOULDBLOCK;
		fprintf(stderr, "lock %s: %s\n", path, lives ? "its supervisor lives" : strerror(errno));
		return lives ? EXIT_LIVES : EXIT_SHIM;
	}
	int pidfd = dir < 0 ? -1 : pid_open(dir);
	if (pidfd < 0) {
		if (errno == ESRCH || errno == ENOENT)
			return 0;
		fprintf(stderr, "end what runs for %s: %s\n", path, strerror(errno));
		return EXIT_SHIM;
	}
	struct pollfd gone = { .fd = pidfd, .events = POLLIN };
	if (pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH) {
		fprintf(stderr, "kill what runs for %s: %s\n", path, strerror(errno));
		return EXIT_SHIM;
	}
	if (poll(&gone, 1, 10000) != 1) {
		fprintf(stderr, "what runs for %s does not die\n", path);
		return EXIT_SHIM;
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "run") == 0)
		return start(argv[2], false);
	if (argc == 3 && strcmp(argv[1], "exec") == 0)
		return start(argv[2], true);
	if (argc == 3 && strcmp(argv[1], "end") == 0)
		return end(argv[2]);
	fputs(usage, stderr);
	return EXIT_SHIM;
}
