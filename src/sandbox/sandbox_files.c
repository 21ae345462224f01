/* SPDX-License-Identifier: MIT */
/* By numbers of our own: the headers of a stable distribution know less than its users' kernels.
 * Documentation/userspace-api/landlock.rst. */
#include "sandbox/sandbox_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif

#define VERSION_FLAG 1u /* LANDLOCK_CREATE_RULESET_VERSION */
#define PATH_BENEATH 1  /* LANDLOCK_RULE_PATH_BENEATH */

enum access {
    EXECUTE = 1 << 0, WRITE_FILE = 1 << 1, READ_FILE = 1 << 2, READ_DIR = 1 << 3, REMOVE_DIR = 1 << 4,
    REMOVE_FILE = 1 << 5, MAKE_CHAR = 1 << 6, MAKE_DIR = 1 << 7, MAKE_REG = 1 << 8, MAKE_SOCK = 1 << 9,
    MAKE_FIFO = 1 << 10, MAKE_BLOCK = 1 << 11, MAKE_SYM = 1 << 12,
    REFER = 1 << 13,     /* since level 2: rename and link between folders */
    TRUNCATE = 1 << 14,  /* 3 */
    IOCTL_DEV = 1 << 15, /* 5 */
};
enum { BIND_TCP = 1 << 0, CONNECT_TCP = 1 << 1 }; /* since level 4 */
enum { ABSTRACT_UNIX_SOCKET = 1 << 0 };           /* 6 */

#define OF_FILES ((uint64_t)(EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV))
#define TO_READ  ((uint64_t)(READ_FILE | READ_DIR))
#define TO_WRITE                                                                                               \
    (TO_READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | MAKE_SOCK | MAKE_FIFO | MAKE_SYM |   \
     REFER | TRUNCATE)

#define TO_ALL (TO_WRITE | IOCTL_DEV)

struct ruleset {
    uint64_t files, net, scoped;
};

struct beneath {
    uint64_t allowed;
    int32_t parent_fd;
} __attribute__((packed));

int sandbox_files_level(void)
{
    long level = syscall(SYS_landlock_create_ruleset, NULL, 0, VERSION_FLAG);

    return level < 0 ? 0 : (int)level;
}

/* What a kernel of this level can refuse. */
static uint64_t known(int level)
{
    static const uint64_t end[] = {0, 13, 14, 15, 15, 16};

    return BIT(end[level < (int)ARRAY_SIZE(end) ? level : (int)ARRAY_SIZE(end) - 1]) - 1;
}

int sandbox_files_new(bool tcp)
{
    int level = sandbox_files_level();
    const struct ruleset r = {.files = known(level),
                              .net = level >= 4 && !tcp ? BIND_TCP | CONNECT_TCP : 0,
                              .scoped = level >= 6 ? ABSTRACT_UNIX_SOCKET : 0};
    long fd;

    if (!level)
        return -ENOSYS;
    fd = syscall(SYS_landlock_create_ruleset, &r, sizeof(r), 0);
    return fd < 0 ? -errno : (int)fd;
}

int sandbox_files_add(int rules, const char *path, enum sandbox_right right)
{
    struct beneath b = {.allowed = (right == SANDBOX_WRITE ? TO_WRITE : TO_READ) & known(sandbox_files_level()),
                        .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    struct stat st;
    int r = 0;

    if (b.parent_fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == EACCES ? 0 : -errno;
    if (fstat(b.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        b.allowed &= OF_FILES;
    if (syscall(SYS_landlock_add_rule, rules, PATH_BENEATH, &b, 0) < 0)
        r = -errno;
    close(b.parent_fd);
    return r;
}

static int add_beneath(int rules, int fd, uint64_t allowed)
{
    const struct beneath b = {.allowed = allowed & known(sandbox_files_level()), .parent_fd = fd};

    return syscall(SYS_landlock_add_rule, rules, PATH_BENEATH, &b, 0) < 0 ? -errno : 0;
}

static int add_entry(int rules, int folder, const char *name)
{
    int fd = openat(folder, name, O_PATH | O_CLOEXEC), r;
    struct stat st;

    if (fd < 0)
        return 0;
    r = fstat(fd, &st) < 0 || S_ISLNK(st.st_mode)
            ? 0
            : add_beneath(rules, fd, S_ISDIR(st.st_mode) ? TO_ALL : TO_ALL & OF_FILES);
    close(fd);
    return r;
}

int sandbox_files_add_all(int rules)
{
    DIR *root = opendir("/");
    struct dirent *e;
    int r = root ? add_beneath(rules, dirfd(root), READ_DIR) : -errno;

    while (!r && (e = readdir(root))) {
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "proc") && strcmp(e->d_name, "sys"))
            r = add_entry(rules, dirfd(root), e->d_name);
    }
    if (root)
        closedir(root);
    return r;
}

int sandbox_files_enter(int rules)
{
    return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}
