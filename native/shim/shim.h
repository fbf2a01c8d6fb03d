/*
 * skein-shim: supervises one process container. It outlives the daemon that started it; all that it knows is in its
 * directory, all that it is told comes over one unix socket. Each command has one supervisor: a container's (`run`), or
 * that of one more command in a running container (`exec`).
 *
 * DIR before the start (written by the daemon):
 *   spec        what to run; unlinking it is the claim: whoever unlinks it (shim or daemon) has decided
 *   resolv.conf hosts hostname    bound over those in the container's /etc (`run` only)
 * DIR afterwards, with flock(2) held on it by the supervisor for as long as that lives, answering or not:
 *   pid         "<pid> <start time in ticks> <boot id>" of the command, in the supervisor's pid namespace
 *   log.<n>     output in frames, n the offset of its first byte in all output; the two newest are kept
 *   exit        {"exitCode":0,"started":<ms>,"finished":<ms>,"lost":0}, written once and last
 */
#ifndef SKEIN_SHIM_H
#define SKEIN_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SPEC_MAX = 2 * 1024 * 1024, SPEC_WORDS = 4096 };

/* Exit codes as Docker's; and that of `end` when there is nothing to end, as the supervisor lives. */
enum { EXIT_LIVES = 1, EXIT_SHIM = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

/* Why there is no container: the exit code of `run` and one sentence. Also what a child tells its supervisor. */
struct problem {
	int code;
	char text[1020];
};

/* Returns -1 always, so that `return problem_set(...)` reads well. */
int problem_set(struct problem *problem, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* With errno's text behind it, in lower case: ": permission denied". */
int problem_errno(struct problem *problem, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/*
 * spec: records that end with NUL, `key=value`; the first is `skein-spec=1`, the last `end=`. `arg` and `env` may repeat.
 * `join` (the container's DIR) for exec; `netns` and `hostname` for run.
 */
struct spec {
	char *text;
	const char *control;
	const char *netns;
	const char *hostname;
	const char *rootfs;
	const char *join;
	bool tty;
	uint64_t rows; /* of the terminal; 0 when not given */
	uint64_t columns;
	bool input;
	uint64_t log_size;
	char *argv[SPEC_WORDS + 1];
	size_t argc;
	char *envp[SPEC_WORDS + 1];
	size_t envc;
};

int spec_read(int dir, bool exec, struct spec *spec, struct problem *problem);
void spec_free(struct spec *spec);
const char *spec_env(const struct spec *spec, const char *name);

/*
 *  | stream:8 | 0:24 | length:32 | time:64 | payload |   big endian; time in ns since 1970
 *  stream: 1 stdout (and a terminal), 2 stderr, 3 a note of the supervisor
 */
enum stream { STREAM_OUT = 1, STREAM_ERR = 2, STREAM_NOTE = 3 };

struct log {
	int dir;
	int fd;
	uint64_t base;
	uint64_t size;
	uint64_t limit;
	uint64_t previous;
	bool has_previous;
	uint64_t lost;
	uint64_t lost_in_all;
};

/* Goes on where an earlier life of the command has ended. */
int log_open(struct log *log, int dir, uint64_t limit, struct problem *problem);
/* Never blocks on a full disk and never fails: what cannot be written is dropped, counted, and noted when there is room. */
void log_write(struct log *log, enum stream stream, const char *bytes, size_t length);
void log_flush(struct log *log);

uint64_t now_ns(void);
/* Writes all of it: regular files only. */
int write_all(int fd, const char *bytes, size_t length);

/* The exit record has its room on the disk from the beginning. */
int exit_reserve(int dir, struct problem *problem);
void exit_write(int dir, int code, uint64_t started_ns, uint64_t lost);
void exit_drop(int dir);

int pid_write(int dir, pid_t pid, struct problem *problem);
/* A pidfd of the very process that `pid` in `dir` names; -1 with ESRCH when it is gone. */
int pid_open(int dir);

/* What a child needs to become the command. All descriptors are the child's own; -1 where there is none. */
struct command {
	const struct spec *spec;
	int dir;     /* the supervisor's DIR */
	int channel; /* SOCK_SEQPACKET to the supervisor */
	int init;    /* pidfd of the container's first process (exec) */
	int netns;   /* (run) */
	int input;
	int output;
	int errors;
};

/* To the supervisor: READY, then perhaps TERMINAL with a descriptor or PROBLEM; execve closes the channel. */
enum { CHANNEL_READY = 'r', CHANNEL_GO = 'g', CHANNEL_TERMINAL = 't', CHANNEL_PROBLEM = 'p' };

_Noreturn void command_become(const struct command *command);

int jail_make(const struct command *command, struct problem *problem);
int jail_join(const struct command *command, struct problem *problem);

/*
 *  | kind:8 | 0:24 | length:32 | payload |   big endian, both ways
 *  ping   ()              -> (pid:32, started:64 in ns), as soon as the command has been executed
 *  open   ()              -> (errno:32); input and eof may follow. EBUSY: CONTROL_WRITERS others have done so already
 *  input  (bytes)         no answer; waits while the command does not read
 *  eof    ()              no answer; on a terminal it is ^D
 *  size   (rows:16, columns:16) -> (errno:32)
 *  signal (number:8)      -> (errno:32)
 */
enum { CONTROL_PING = 0, CONTROL_INPUT = 1, CONTROL_EOF = 2, CONTROL_SIZE = 3, CONTROL_SIGNAL = 4, CONTROL_OPEN = 5 };
/* Writers are never put out, so that no input is lost; a newcomer always finds a place among the others. */
enum { CONTROL_HEADER = 8, CONTROL_PAYLOAD = 16 * 1024, CONTROL_CONNECTIONS = 32, CONTROL_WRITERS = 24 };

/* Answers READY to `report` and supervises to the end. */
_Noreturn void supervise(int dir, bool exec, struct spec *spec, int report);

/* What the control connections act on. */
struct target {
	pid_t pid;
	int pidfd;
	uint64_t started_ns; /* 0 until the command has been executed */
	int input;           /* non-blocking; -1 when closed or never open */
	int terminal;        /* -1 without */
};

struct pollfd;
int control_listen(const char *path, struct problem *problem);
void control_accept(int listener);
/* Fills in what to wait for; returns how many. */
size_t control_poll(struct pollfd *polls);
/* `polls` as filled in by control_poll; `room` says that the command's input may take bytes again. */
void control_serve(struct target *target, const struct pollfd *polls, size_t count, bool room);
/* Whether input waits for room. */
bool control_waits(void);
void control_started(struct target *target);

#endif
