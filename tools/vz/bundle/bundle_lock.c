/* SPDX-License-Identifier: MIT */
/* Who may use a machine's folder. One file, of which each use locks a byte, by open file description:
 * such a lock goes over a fork to the process that will run the machine, and a crash cannot leave it
 * behind. The file
 * is never removed while the folder lasts, so nobody can hold a lock on one that has been replaced. */
#include "bundle/bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "failure.h"

#define LOCK_FILE  "lock"
#define FLATTEN_MS 5000
#define STEP_MS    5

static struct flock range(enum bundle_use use)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = use, .l_len = 1};
}

static int open_lock(const struct bundle *b, struct vz_error *err)
{
    int fd = openat(b->fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0 && err)
        fail_errno(err, b->path);
    return fd;
}

static bool is_others(int fd, enum bundle_use use)
{
    struct flock l = range(use);

    return fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

/* Nobody has asked for that, nor is to notice it, and it takes an instant (flatten.h). */
static bool wait_for_flattening(int fd, struct flock *l)
{
    for (int waited = 0; waited < FLATTEN_MS && is_others(fd, BUNDLE_FLATTEN); waited += STEP_MS) {
        poll(NULL, 0, STEP_MS);
        if (fcntl(fd, F_OFD_SETLK, l) == 0)
            return true;
    }
    return false;
}

int bundle_lock(struct bundle *b, enum bundle_use use, struct vz_error *err)
{
    struct flock l = range(use);

    if (b->lock_fd < 0)
        b->lock_fd = open_lock(b, err);
    if (b->lock_fd < 0)
        return -1;
    if (fcntl(b->lock_fd, F_OFD_SETLK, &l) == 0)
        return 0;
    if (errno != EAGAIN && errno != EACCES)
        return fail_errno(err, b->path);
    if (use == BUNDLE_CHANGE && wait_for_flattening(b->lock_fd, &l))
        return 0;
    if (use == BUNDLE_RUN)
        return fail(err, VZ_ERROR_INVALID_STATE, "%s: the machine runs, or somebody copies or moves it",
                    b->name);
    return fail(err, VZ_ERROR_INVALID_STATE, "%s: somebody else changes it at this moment; try again",
                b->name);
}

int bundle_lock_soon(struct bundle *b, enum bundle_use use, int wait_ms, struct vz_error *err)
{
    int r = bundle_lock(b, use, err);

    for (int waited = 0; r < 0 && waited < wait_ms; waited += STEP_MS) {
        poll(NULL, 0, STEP_MS);
        r = bundle_lock(b, use, err);
    }
    return r;
}

void bundle_unlock(const struct bundle *b, enum bundle_use use)
{
    struct flock l = range(use);

    l.l_type = F_UNLCK;
    if (b->lock_fd >= 0)
        fcntl(b->lock_fd, F_OFD_SETLK, &l);
}

bool bundle_is_running(const struct bundle *b)
{
    struct flock l = range(BUNDLE_RUN);
    int fd = openat(b->fd, LOCK_FILE, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    bool locked;

    if (fd < 0)
        return false;
    locked = fcntl(fd, F_OFD_GETLK, &l) == 0 && l.l_type != F_UNLCK;
    close(fd);
    return locked;
}
