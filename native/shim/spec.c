#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_text(int dir, char **text, size_t *length, struct problem *problem)
{
	int fd = openat(dir, "spec", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return problem_errno(problem, EXIT_SHIM, "open the spec");
	struct stat status;
	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
		close(fd);
		return problem_set(problem, EXIT_SHIM, "the spec is not a file");
	}
	if (status.st_size > SPEC_MAX) {
		close(fd);
		return problem_set(problem, EXIT_SHIM, "the spec has %lld bytes where at most %d are allowed",
				   (long long)status.st_size, SPEC_MAX);
	}
	size_t size = (size_t)status.st_size;
	char *bytes = malloc(size + 1);
	if (bytes == NULL) {
		close(fd);
		return problem_errno(problem, EXIT_SHIM, "read the spec");
	}
	size_t done = 0;
	while (done < size) {
		ssize_t n = read(fd, bytes + done, size - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	close(fd);
	if (done != size || size == 0 || bytes[size - 1] != '\0') {
		free(bytes);
		return problem_set(problem, EXIT_SHIM, "the spec ends within a record");
	}
	bytes[size] = '\0';
	*text = bytes;
	*length = size;
	return 0;
}

static int set_text(const char **field, const char *key, const char *value, size_t most, struct problem *problem)
{
	if (*field != NULL)
		return problem_set(problem, EXIT_SHIM, "the spec has %s twice", key);
	if (*value == '\0' || strlen(value) > most)
		return problem_set(problem, EXIT_SHIM, "the spec's %s is empty or longer than %zu bytes", key, most);
	*field = value;
	return 0;
}

static int set_flag(bool *field, const char *key, const char *value, struct problem *problem)
{
	if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
		return problem_set(problem, EXIT_SHIM, "the spec's %s is neither 0 nor 1", key);
	*field = value[0] == '1';
	return 0;
}

static int set_number(uint64_t *field, const char *key, const char *value, struct problem *problem)
{
	size_t length = strlen(value);
	if (length == 0 || length > 15 || strspn(value, "0123456789") != length)
		return problem_set(problem, EXIT_SHIM, "the spec's %s is not a number", key);
	*field = strtoull(value, NULL, 10);
	return 0;
}

static int set_length(uint64_t *field, const char *key, const char *value, struct problem *problem)
{
	if (set_number(field, key, value, problem) < 0)
		return -1;
	if (*field < 1 || *field > UINT16_MAX)
		return problem_set(problem, EXIT_SHIM, "the spec's %s is not between 1 and %d", key, UINT16_MAX);
	return 0;
}

static int add_word(char **words, size_t *count, const char *key, char *value, struct problem *problem)
{
	if (*count == SPEC_WORDS)
		return problem_set(problem, EXIT_SHIM, "the spec has more than %d of %s", SPEC_WORDS, key);
	words[(*count)++] = value;
	return 0;
}

static int read_record(struct spec *spec, const char *key, char *value, struct problem *problem)
{
	if (strcmp(key, "arg") == 0)
		return add_word(spec->argv, &spec->argc, key, value, problem);
	if (strcmp(key, "env") == 0) {
		if (strchr(value, '=') == NULL || value[0] == '=')
			return problem_set(problem, EXIT_SHIM, "an env of the spec is not NAME=VALUE");
		return add_word(spec->envp, &spec->envc, key, value, problem);
	}
	if (strcmp(key, "control") == 0)
		return set_text(&spec->control, key, value, 107, problem);
	if (strcmp(key, "netns") == 0)
		return set_text(&spec->netns, key, value, 4095, problem);
	if (strcmp(key, "hostname") == 0)
		return set_text(&spec->hostname, key, value, 64, problem);
	if (strcmp(key, "rootfs") == 0)
		return set_text(&spec->rootfs, key, value, 4095, problem);
	if (strcmp(key, "join") == 0)
		return set_text(&spec->join, key, value, 4095, problem);
	if (strcmp(key, "tty") == 0)
		return set_flag(&spec->tty, key, value, problem);
	if (strcmp(key, "rows") == 0)
		return set_length(&spec->rows, key, value, problem);
	if (strcmp(key, "columns") == 0)
		return set_length(&spec->columns, key, value, problem);
	if (strcmp(key, "input") == 0)
		return set_flag(&spec->input, key, value, problem);
	if (strcmp(key, "log-size") == 0)
		return set_number(&spec->log_size, key, value, problem);
	return problem_set(problem, EXIT_SHIM, "the spec has an unknown key, %.32s", key);
}

static int check(const struct spec *spec, bool exec, struct problem *problem)
{
	const char *missing = NULL;
	if (spec->control == NULL)
		missing = "control";
	else if (spec->argc == 0)
		missing = "arg";
	else if (exec && spec->join == NULL)
		missing = "join";
	else if (!exec && spec->netns == NULL)
		missing = "netns";
	else if (!exec && spec->hostname == NULL)
		missing = "hostname";
	else if ((spec->rows == 0) != (spec->columns == 0))
		missing = spec->rows == 0 ? "rows" : "columns";
	if (missing != NULL)
		return problem_set(problem, EXIT_SHIM, "the spec lacks %s", missing);
	if (spec->log_size < 64 * 1024)
		return problem_set(problem, EXIT_SHIM, "the spec's log-size is below 65536");
	return 0;
}

int spec_read(int dir, bool exec, struct spec *spec, struct problem *problem)
{
	size_t length = 0;
	memset(spec, 0, sizeof *spec);
	spec->log_size = 64 * 1024 * 1024;
	if (read_text(dir, &spec->text, &length, problem) < 0)
		return -1;
	char *end = spec->text + length;
	bool first = true;
	for (char *record = spec->text; record < end; record += strlen(record) + 1) {
		if (first != (strcmp(record, "skein-spec=1") == 0))
			return problem_set(problem, EXIT_SHIM, "the spec is not of version 1");
		if (first) {
			first = false;
			continue;
		}
		if (strcmp(record, "end=") == 0) {
			if (record + strlen(record) + 1 != end)
				return problem_set(problem, EXIT_SHIM, "the spec goes on after its end");
			return check(spec, exec, problem);
		}
		char *equals = strchr(record, '=');
		if (equals == NULL)
			return problem_set(problem, EXIT_SHIM, "a record of the spec is not key=value");
		*equals = '\0';
		char *value = equals + 1;
		if (read_record(spec, record, value, problem) < 0)
			return -1;
		record = value;
	}
	return problem_set(problem, EXIT_SHIM, "the spec has no end");
}

void spec_free(struct spec *spec)
{
	free(spec->text);
	spec->text = NULL;
	spec->argc = spec->envc = 0;
}

const char *spec_env(const struct spec *spec, const char *name)
{
	size_t length = strlen(name);
	const char *found = NULL;
	for (size_t i = 0; i < spec->envc; i++)
		if (strncmp(spec->envp[i], name, length) == 0 && spec->envp[i][length] == '=')
			found = spec->envp[i] + length + 1;
	return found;
}
