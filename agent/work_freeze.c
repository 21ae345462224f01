/* SPDX-License-Identifier: MIT */
/* All file systems on disks stand still until the host says go on, its connection ends, or the time is
 * over, whichever is first: a guest must never stay frozen. While they are, nothing here may write to a
 * file or touch memory that would have to be read from one: it is locked. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "job.h"

#define MOUNTS_MAX 256u
#define TIME_MAX   UINT64_C(300000)

struct mount {
    dev_t device;
    int fd;
    bool frozen;
};

struct mounts {
    struct mount item[MOUNTS_MAX];
    unsigned count;
    int failed; /* -errno of the first that should have frozen and did not */
};

static bool is_known(const struct mounts *m, dev_t device)
{
    for (unsigned i = 0; i < m->count; i++) {
        if (m->item[i].device == device)
            return true;
    }
    return false;
}

/* A line of mountinfo: file systems of devices (those of memory and of the kernel have major 0, but so
 * has btrfs: its source is a device), once each, that are written to. */
static void take_mount(void *arg, const char *line)
{
    struct mounts *m = arg;
    unsigned major_number, minor_number;
    char path[4096], options[1024], type[64], source[1024];
    const char *rest = strstr(line, " - ");
    dev_t device;
    int fd;

    if (m->count == MOUNTS_MAX || !rest ||
        sscanf(line, "%*u %*u %u:%u %*s %4095s %1023s", &major_number, &minor_number, path, options) != 4 ||
        sscanf(rest + 3, "%63s %1023s", type, source) != 2)
        return;
    device = makedev(major_number, minor_number);
    if ((!major_number && strncmp(source, "/dev/", 5)) || is_known(m, device) ||
        !strncmp(options, "ro", 2) || !strncmp(type, "fuse", 4))
        return;
    work_unescape(path);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0)
        m->item[m->count++] = (struct mount){device, fd, false};
}

static void read_mounts(struct mounts *m)
{
    work_each_line("/proc/self/mountinfo", take_mount, m);
}

static void thaw(struct mounts *m)
{
    for (unsigned i = 0; i < m->count; i++) {
        if (m->item[i].frozen)
            (void)!ioctl(m->item[i].fd, FITHAW, 0);
        m->item[i].frozen = false;
    }
}

/* The last mounted first: it may lie in a file of one before. -EBUSY: somebody froze it already. */
static unsigned freeze(struct mounts *m)
{
    unsigned count = 0;

    for (unsigned i = m->count; i-- && !m->failed;) {
        if (ioctl(m->item[i].fd, FIFREEZE, 0) == 0) {
            m->item[i].frozen = true;
            count++;
        } else if (errno != EOPNOTSUPP && errno != ENOTTY && errno != EINVAL) {
            m->failed = -errno;
        }
    }
    return count;
}

/* True: the host said so. */
static bool wait_for_host(uint64_t ms)
{
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    uint64_t until = now_ms() + ms, now;
    uint8_t byte;

    while ((now = now_ms()) < until) {
        if (poll(&p, 1, (int)(until - now)) > 0 && read(STDIN_FILENO, &byte, 1) == 0)
            return true;
    }
    return false;
}

void work_freeze(const struct request *q, struct agent_fields *ret)
{
    uint64_t ms = MIN(agent_get_number(q->data, q->len, AGENT_F_TIMEOUT_MS, 10000), TIME_MAX);
    struct agent_fields told = {.failed = false};
    static struct mounts m;
    unsigned count;
    int adjust = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    bool in_time = true;

    if (adjust >= 0)
        (void)!write(adjust, "-1000", 5);
    if (geteuid() || mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
        work_failed(ret, geteuid() ? EPERM : errno, "freeze", NULL);
        return;
    }
    read_mounts(&m);
    sync();
    count = freeze(&m);
    if (!m.failed) {
        agent_put_number(&told, AGENT_F_COUNT, count);
        (void)!write(STDOUT_FILENO, agent_bytes_front(&told.b), told.b.len);
        in_time = wait_for_host(ms);
    }
    thaw(&m);
    if (m.failed)
        work_failed(ret, -m.failed, "freeze", NULL);
    else if (!in_time)
        work_failed(ret, ETIMEDOUT, "freeze", "the time was over, and the guest goes on already");
}

void freeze_rescue(void)
{
    static struct mounts m;
    pid_t pid = fork();

    if (pid)
        return;
    read_mounts(&m);
    for (unsigned i = 0; i < m.count; i++)
        m.item[i].frozen = true; /* one that is not says EINVAL */
    thaw(&m);
    _exit(EXIT_SUCCESS);
}
