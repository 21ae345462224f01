/* SPDX-License-Identifier: MIT */
/* A process in a world of its own looks for the host: its files, its processes, its name, its queues. As root, as a
 * user, and where the host gives none, as in containers. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forbid_call.h"
#include "sandbox/sandbox_world.h"
#include "unit.h"

#define NOBODY 65534
enum { FINE = 42, WRONG, ABSENT };

static unsigned line_of_failure;
#define EXPECT(condition)               \
    do {                                \
        if (!(condition)) {             \
            line_of_failure = __LINE__; \
            return WRONG;               \
        }                               \
    } while (0)

static bool is_empty(const char *folder)
{
    DIR *d = opendir(folder);
    bool empty = d != NULL;
    struct dirent *e;

    while (d && (e = readdir(d)))
        empty &= !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
    if (d)
        closedir(d);
    return empty;
}

/* In the process that is the first of its world. */
static int look_around(int shared)
{
    unsigned world = sandbox_world_empty(~(unsigned)SANDBOX_OWN_NETWORK);
    struct shmid_ds ds;

    if (!(world & SANDBOX_OWN_FILES))
        return ABSENT;
    EXPECT(is_empty("/"));
    EXPECT(open("/etc/passwd", O_RDONLY) < 0 && errno == ENOENT);
    EXPECT(open("/proc/self/status", O_RDONLY) < 0 && errno == ENOENT);
    EXPECT(chdir("..") == 0 && is_empty("."));
    EXPECT(mkdir("/made", 0700) < 0 && (errno == EROFS || errno == EACCES));
    EXPECT(shmctl(shared, IPC_STAT, &ds) < 0 && (errno == EINVAL || errno == EIDRM));
    EXPECT(kill(getppid() ? getppid() : 2, 0) < 0 && errno == ESRCH);
    EXPECT(getpid() == 1);
    return FINE;
}

/* The exit status of who looks around. */
static int begin(bool root, int shared)
{
    int status;
    pid_t pid;

    if (!root && geteuid() == 0 && (setgid(NOBODY) || setuid(NOBODY) || prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)))
        return WRONG;
    (void)sandbox_world_begin(true);
    pid = fork();
    if (pid == 0) {
        int r = look_around(shared);

        if (r == WRONG)
            fprintf(stderr, "line %u: %s\n", line_of_failure, strerror(errno));
        _exit(r);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : WRONG;
}

static int run(bool root, int shared)
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(begin(root, shared));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(there_is_nothing)
{
    int shared = shmget(IPC_PRIVATE, 4096, 0666), r;

    r = run(_i, shared);
    shmctl(shared, IPC_RMID, NULL);
    ck_assert_msg(r == FINE || r == ABSENT, "%d", r);
    if (r == ABSENT)
        puts("this host gives no namespaces");
}
END_TEST

START_TEST(where_there_are_none_it_says_so)
{
    char text[80];

    forbid_call(SYS_unshare, EPERM);
    ck_assert_uint_eq(sandbox_world_try(), 0);
    sandbox_world_text(0, text);
    ck_assert_str_eq(text, "none");
    sandbox_world_text(SANDBOX_OWN_USERS | SANDBOX_OWN_NETWORK, text);
    ck_assert_str_eq(text, "users, network");
    sandbox_world_text(~0u, text);
    ck_assert_str_eq(text, "users, processes, files, IPC, host name, control groups, network");
}
END_TEST

static void add_tests(Suite *s)
{
    TCase *c = tcase_create("there_is_nothing");

    tcase_add_loop_test(c, there_is_nothing, 0, 2);
    suite_add_tcase(s, c);
    UNIT_TEST(s, where_there_are_none_it_says_so);
}

UNIT_TEST_MAIN("sandbox_world", add_tests)
