/*
 * The namespaces and mounts of a container. Without a rootfs the host's root file system is shared and only what has to
 * differ is mounted over it; nothing here writes to the host's files, and no mount leaks back.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const etc_files[] = { "resolv.conf", "hosts", "hostname" };
static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
/* As runc with Docker's specification; and, where the host's root is shared, the daemon's socket and the names of sandboxes. */
static const char *const read_only[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger" };
static const char *const masked[] = {
	"/proc/acpi",	      "/proc/asound",	  "/proc/interrupts", "/proc/kcore",	   "/proc/keys",
	"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",      "/proc/timer_list", "/proc/timer_stats",
	"/sys/devices/virtual/powercap", "/sys/firmware", "/run/skein", "/run/netns",
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* `\040` and its like in mountinfo. */
static void unescape(char *text)
{
	char *to = text;
	for (const char *from = text; *from != '\0'; to++) {
		if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] != '\0' && from[3] != '\0') {
			*to = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

/*
 * Our copies of the host's mounts hold other sandboxes' namespaces (nsfs files in /run/skein/netns): a sandbox would live
 * on, devices and all, for as long as this container.
 */
static int release_namespaces(struct problem *problem)
{
	for (int pass = 0; pass < 8; pass++) {
		FILE *mounts = fopen("/proc/self/mountinfo", "re");
		if (mounts == NULL)
			return problem_errno(problem, EXIT_SHIM, "read the mounts");
		char *line = NULL;
		size_t room = 0;
		bool released = false;
		while (getline(&line, &room, mounts) > 0) {
			char *path = NULL;
			char *type = strstr(line, " - ");
			if (type == NULL || strncmp(type, " - nsfs ", 8) != 0)
				continue;
			char *field = strtok(line, " ");
			for (int i = 0; i < 4 && field != NULL; i++)
				field = strtok(NULL, " ");
			path = field;
			if (path == NULL)
				continue;
			unescape(path);
			if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
				released = true;
		}
		free(line);
		fclose(mounts);
		if (!released)
			break;
	}
	return 0;
}

static int clone_mount(const char *path)
{
	return open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

static int place_mount(int mount, int target)
{
	return move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

/* Links are followed inside the container's root, which is ours by now; /proc's magic ones are not. */
static int open_inside(const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned long long)(flags | O_CLOEXEC),
		.mode = flags & O_CREAT ? 0644 : 0,
		.resolve = RESOLVE_NO_MAGICLINKS,
	};
	return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

/*
 * A file that is not there is made in a rootfs, where its path leads; never on the host's root. One that can be neither
 * found nor made is left out.
 */
static int bind_etc(const int files[], bool rootfs, struct problem *problem)
{
	for (size_t i = 0; i < COUNT(etc_files); i++) {
		char path[64];
		snprintf(path, sizeof path, "/etc/%s", etc_files[i]);
		int target = open_inside(path, O_PATH);
		if (target < 0 && errno == ENOENT && rootfs) {
			if (mkdir("/etc", 0755) < 0 && errno != EEXIST)
				continue;
			int made = open_inside(path, O_WRONLY | O_CREAT | O_NOCTTY);
			if (made >= 0)
				close(made);
			target = open_inside(path, O_PATH);
		}
		if (target < 0)
			continue;
		if (place_mount(files[i], target) < 0)
			return problem_errno(problem, EXIT_SHIM, "bind %s", path);
		close(target);
	}
	return 0;
}

/* There is no device cgroup: CAP_MKNOD may make any node, nodev keeps those in the rootfs and its mounts from being opened. */
static int enter_rootfs(const char *rootfs, struct problem *problem)
{
	struct mount_attr no_devices = { .attr_set = MOUNT_ATTR_NODEV };
	if (mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL) < 0)
		return problem_errno(problem, EXIT_SHIM, "bind the root file system %s", rootfs);
	int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (old < 0 || chdir(rootfs) < 0)
		return problem_errno(problem, EXIT_SHIM, "enter the root file system %s", rootfs);
	if (syscall(SYS_pivot_root, ".", ".") < 0 || fchdir(old) < 0 || umount2(".", MNT_DETACH) < 0)
		return problem_errno(problem, EXIT_SHIM, "make %s the root", rootfs);
	close(old);
	if (chdir("/") < 0)
		return problem_errno(problem, EXIT_SHIM, "enter the root file system %s", rootfs);
	if (mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &no_devices, sizeof no_devices) < 0)
		return problem_errno(problem, EXIT_SHIM, "close the devices in %s", rootfs);
	return 0;
}

static int make_dir(const char *path, mode_t mode)
{
	return mkdir(path, mode) < 0 && errno != EEXIST ? -1 : 0;
}

/* Device nodes are bound, not made: that works in a user namespace too, and these mounts alone have devices. */
static int make_dev(const int nodes[], struct problem *problem)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_STRICTATIME;
	if (make_dir("/dev", 0755) < 0 || mount("tmpfs", "/dev", "tmpfs", flags, "mode=755,size=64k") < 0)
		return problem_errno(problem, EXIT_SHIM, "mount /dev");
	for (size_t i = 0; i < COUNT(devices); i++) {
		char path[32];
		snprintf(path, sizeof path, "/dev/%s", devices[i]);
		int target = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (target < 0 || place_mount(nodes[i], target) < 0)
			return problem_errno(problem, EXIT_SHIM, "make %s", path);
		close(target);
	}
	if (symlink("/proc/self/fd", "/dev/fd") < 0 || symlink("/proc/self/fd/0", "/dev/stdin") < 0 ||
	    symlink("/proc/self/fd/1", "/dev/stdout") < 0 || symlink("/proc/self/fd/2", "/dev/stderr") < 0 ||
	    symlink("pts/ptmx", "/dev/ptmx") < 0 || make_dir("/dev/pts", 0755) < 0 || make_dir("/dev/shm", 0755) < 0 ||
	    make_dir("/dev/mqueue", 0755) < 0)
		return problem_errno(problem, EXIT_SHIM, "fill /dev");
	return 0;
}

static int mount_pts(void)
{
	const unsigned long flags = MS_NOSUID | MS_NOEXEC;
	if (mount("devpts", "/dev/pts", "devpts", flags, "newinstance,ptmxmode=0666,mode=0620,gid=5") == 0)
		return 0;
	/* Group 5 (tty) may not exist in a user namespace. */
	return errno == EINVAL ? mount("devpts", "/dev/pts", "devpts", flags, "newinstance,ptmxmode=0666,mode=0620") : -1;
}

static int mount_own(bool tty, struct problem *problem)
{
	const unsigned long still = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	if (mount("proc", "/proc", "proc", still, NULL) < 0)
		return problem_errno(problem, EXIT_SHIM, "mount /proc");
	if (mount("sysfs", "/sys", "sysfs", still | MS_RDONLY, NULL) < 0)
		return problem_errno(problem, EXIT_SHIM, "mount /sys");
	if (mount_pts() < 0 && (tty || errno != ENOENT))
		return problem_errno(problem, EXIT_SHIM, "mount /dev/pts");
	if (mount("shm", "/dev/shm", "tmpfs", still, "mode=1777,size=65536k") < 0 && errno != ENOENT)
		return problem_errno(problem, EXIT_SHIM, "mount /dev/shm");
	if (mount("mqueue", "/dev/mqueue", "mqueue", still, NULL) < 0 && errno != ENOENT && errno != ENODEV)
		return problem_errno(problem, EXIT_SHIM, "mount /dev/mqueue");
	return 0;
}

static int close_views(struct problem *problem)
{
	const unsigned long still = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	for (size_t i = 0; i < COUNT(read_only); i++) {
		const char *path = read_only[i];
		if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0) {
			if (errno == ENOENT)
				continue;
			return problem_errno(problem, EXIT_SHIM, "make %s read-only", path);
		}
		if (mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | still, NULL) < 0)
			return problem_errno(problem, EXIT_SHIM, "make %s read-only", path);
	}
	for (size_t i = 0; i < COUNT(masked); i++) {
		if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) == 0 || errno == ENOENT)
			continue;
		if (errno == ENOTDIR && mount("tmpfs", masked[i], "tmpfs", still | MS_RDONLY, "size=0k") == 0)
			continue;
		return problem_errno(problem, EXIT_SHIM, "mask %s", masked[i]);
	}
	return 0;
}

static int make_mounts(const struct command *command, struct problem *problem)
{
	const struct spec *spec = command->spec;
	const bool rootfs = spec->rootfs != NULL;
	int files[COUNT(etc_files)], nodes[COUNT(devices)];

	/* Slave, not private: what the host unmounts later goes here too, instead of being held by the container. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return problem_errno(problem, EXIT_SHIM, "detach the mounts from the host's");
	if (release_namespaces(problem) < 0)
		return -1;
	for (size_t i = 0; i < COUNT(etc_files); i++)
		if ((files[i] = clone_mount(etc_files[i])) < 0)
			return problem_errno(problem, EXIT_SHIM, "open the container's %s", etc_files[i]);
	for (size_t i = 0; rootfs && i < COUNT(devices); i++) {
		char path[32];
		snprintf(path, sizeof path, "/dev/%s", devices[i]);
		if ((nodes[i] = clone_mount(path)) < 0)
			return problem_errno(problem, EXIT_SHIM, "open %s", path);
	}
	if (rootfs && (enter_rootfs(spec->rootfs, problem) < 0 || make_dir("/proc", 0555) < 0 || make_dir("/sys", 0555) < 0 ||
		       make_dev(nodes, problem) < 0)) {
		if (problem->code == 0)
			problem_errno(problem, EXIT_SHIM, "make /proc and /sys in %s", spec->rootfs);
		return -1;
	}
	if (mount_own(spec->tty, problem) < 0 || bind_etc(files, rootfs, problem) < 0 || close_views(problem) < 0)
		return -1;
	return 0;
}

int jail_make(const struct command *command, struct problem *problem)
{
	const char *hostname = command->spec->hostname;
	if (setns(command->netns, CLONE_NEWNET) < 0)
		return problem_errno(problem, EXIT_SHIM, "join the network namespace %s", command->spec->netns);
	/* Into DIR first: the working directory moves to the new mounts with us, a descriptor would stay in the old ones. */
	if (fchdir(command->dir) < 0)
		return problem_errno(problem, EXIT_SHIM, "enter the container's directory");
	if (unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC) < 0)
		return problem_errno(problem, EXIT_SHIM, "make the namespaces");
	/* Some kernels have no cgroup namespaces; the container merely sees its path then. */
	if (unshare(CLONE_NEWCGROUP) < 0 && errno != EINVAL)
		return problem_errno(problem, EXIT_SHIM, "make the cgroup namespace");
	if (make_mounts(command, problem) < 0)
		return -1;
	if (sethostname(hostname, strlen(hostname)) < 0)
		return problem_errno(problem, EXIT_SHIM, "set the host name %s", hostname);
	return 0;
}

int jail_join(const struct command *command, struct problem *problem)
{
	const int namespaces = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
	if (setns(command->init, namespaces) == 0)
		return 0;
	if (errno == EINVAL && setns(command->init, namespaces & ~CLONE_NEWCGROUP) == 0)
		return 0;
	return problem_errno(problem, EXIT_SHIM, "join the container");
}
