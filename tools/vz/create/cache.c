/* SPDX-License-Identifier: MIT */
/* Where what was made or loaded once is kept, and running programs. */
#include "create/create.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "failure.h"
#include "make_folders.h"
#include "progress.h"

extern char **environ;

char *cache_path(struct vz_error *err)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int n;

    if (cache && cache[0] == '/')
        n = asprintf(&path, "%s/vz", cache);
    else
        n = asprintf(&path, "%s/.cache/vz", home ? home : "");
    if (n < 0) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    if (make_folders(path) == 0)
        return path;
    fail_errno(err, path);
    free(path);
    return NULL;
}

int cache_lock(const char *path, struct vz_error *err)
{
    char *name;
    int fd;

    if (asprintf(&name, "%s.lock", path) < 0)
        return fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        cli_error("somebody else makes %s; waiting for that", path);
        if (flock(fd, LOCK_EX) < 0) {
            close(fd);
            fd = -1;
        }
    }
    if (fd < 0)
        fail_errno(err, name);
    free(name);
    return fd;
}

/* Until it ends. Interrupted, all that it started is ended too, wherever the signal came from, and waited for: it has
 * things to tidy up. */
static int wait_program(pid_t pid)
{
    const struct timespec step = {.tv_nsec = 20000000};
    bool told = false;
    int status = -1;
    pid_t r;

    while ((r = waitpid(pid, &status, WNOHANG)) == 0 || (r < 0 && errno == EINTR)) {
        if (interrupt_came() && !told)
            told = kill(-pid, SIGTERM) == 0;
        nanosleep(&step, NULL);
    }
    return status;
}

bool spawn_program(const char *const *argv, bool quiet, struct vz_error *err, int *ret_status)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int status, no;
    pid_t pid;

    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP); /* its own: see wait_program() */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (quiet)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    no = posix_spawnp(&pid, argv[0], &actions, &attributes, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (no)
        return fail_false(err, VZ_ERROR_IO, "%.100s: %s", argv[0], strerror(no));
    status = wait_program(pid);
    if (ret_status)
        *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    return fail_false(err, VZ_ERROR_IO, "%.100s failed", argv[0]);
}
