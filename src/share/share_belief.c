/* SPDX-License-Identifier: MIT */
/* What the guest believes of files without asking. Its kernel keeps a file's pages until it is told of another size or
 * time of change, and asks for these before a read only when those that it has are too old: a second, in the
 * automatic mode. Who is granted a lock, though, must see what others did while they had it. So
 *
 * - on a file on which the guest has ever asked for a lock it believes nothing: each read asks;
 * - the first lock may come while the guest still believes what it was told before. It is granted if the file is as it was
 *   told; else when that time has run out (share_locks.c);
 * - where the host's times of change are those of a clock that ticks, what was told within a tick does not tell of changes
 *   later in it. It is not believed; and if it is still so when a lock is granted, the guest is told another time from then
 *   on, by a nanosecond, until there is a new one.
 *
 * The guest counts from when it has got the answer, by its own clock, which stands while it is paused. */
#include <stdio.h>
#include <sys/utsname.h>
#include <linux/magic.h>

#include "base/clock.h"
#include "share/share_impl.h"

#define AUTO_SECONDS   1u
#define ALWAYS_SECONDS 86400u
#define OTHER_NS       1000000u /* more than times are ever shifted */
#define TICK_NS        ((int64_t)30 * 1000 * 1000) /* longer than any of Linux' */
#define SECONDS_NS     ((int64_t)2030 * 1000 * 1000) /* where times have only seconds, or only even ones */
#define BELIEF_NS      ((uint64_t)1250 * 1000 * 1000) /* AUTO_SECONDS, and what the guest may be late */

/* From Linux 6.13 on and with some file systems, a time that was asked for is followed by another at any change. */
int64_t belief_tick_ns(uint64_t magic)
{
    const bool is_fine = magic == EXT4_SUPER_MAGIC || magic == XFS_SUPER_MAGIC || magic == BTRFS_SUPER_MAGIC ||
                         magic == TMPFS_MAGIC;
    unsigned major = 0, minor = 0;
    struct utsname u;

    if (!is_fine || uname(&u) < 0 || sscanf(u.release, "%u.%u", &major, &minor) != 2)
        return TICK_NS;
    return major > 6 || (major == 6 && minor >= 13) ? 0 : TICK_NS;
}

/* May it change again, and have the same time? */
static bool is_in_tick(const struct node *n, const struct statx *st)
{
    const struct root *root = n->root;
    const bool is_there = st->stx_dev_major == root->dev_major && st->stx_dev_minor == root->dev_minor;
    const int64_t tick = !st->stx_mtime.tv_nsec ? SECONDS_NS : is_there ? root->tick_ns : TICK_NS;
    int64_t age;

    if (!tick || __builtin_mul_overflow(st->stx_mtime.tv_sec, (int64_t)NS_PER_SEC, &age) ||
        __builtin_sub_overflow((int64_t)clock_real_ns(), age, &age))
        return false;
    age -= st->stx_mtime.tv_nsec;
    return age < tick && age > -tick;
}

uint32_t belief_in_names(const struct share *s)
{
    static const uint32_t seconds[] = {[SHARE_CACHE_AUTO] = AUTO_SECONDS, [SHARE_CACHE_ALWAYS] = ALWAYS_SECONDS};

    return seconds[s->caching];
}

static bool is_as_told_locked(const struct node *n, const struct statx *st)
{
    return n->told && n->told_size == st->stx_size && n->told_sec == st->stx_mtime.tv_sec &&
           n->told_nsec == st->stx_mtime.tv_nsec;
}

static void shift(struct statx_timestamp *t, uint32_t ns)
{
    t->tv_sec -= t->tv_nsec < ns;
    t->tv_nsec = t->tv_nsec < ns ? t->tv_nsec + (uint32_t)NS_PER_SEC - ns : t->tv_nsec - ns;
}

uint32_t belief_told(struct share *s, struct node *n, struct statx *st)
{
    uint32_t seconds = belief_in_names(s);
    bool in_tick;

    if (s->caching == SHARE_CACHE_ALWAYS || n->type != S_IFREG)
        return seconds;
    in_tick = is_in_tick(n, st);
    /* In one step with the look at n->locked: who locks comes before, or finds what was told. */
    pthread_mutex_lock(&s->lock);
    if (!is_as_told_locked(n, st)) {
        n->told_in_tick = false;
        n->shift_ns = 0;
    }
    n->told = true;
    n->told_in_tick |= in_tick; /* what it has read since then may be older, also when the tick is over */
    n->told_size = st->stx_size;
    n->told_sec = st->stx_mtime.tv_sec;
    n->told_nsec = st->stx_mtime.tv_nsec;
    shift(&st->stx_mtime, n->shift_ns);
    if (n->locked || in_tick)
        seconds = 0;
    else if (seconds)
        n->believed_ns = clock_mono_ns() + BELIEF_NS;
    pthread_mutex_unlock(&s->lock);
    return seconds;
}

/* The guest's kernel takes such an answer over without a look at its pages. If the file is not as it was told before, what
 * the host wrote meanwhile would stay hidden for good: so it gets a time that the file has not, and asks anew. */
uint32_t belief_told_of_change(struct share *s, struct node *n, struct statx *st)
{
    bool hides;

    if (s->caching == SHARE_CACHE_ALWAYS || n->type != S_IFREG)
        return belief_told(s, n, st);
    pthread_mutex_lock(&s->lock);
    hides = !is_as_told_locked(n, st);
    if (hides) {
        n->told = n->told_in_tick = false;
        n->believed_ns = 0;
    }
    pthread_mutex_unlock(&s->lock);
    if (!hides)
        return belief_told(s, n, st);
    shift(&st->stx_mtime, OTHER_NS);
    return 0;
}

void belief_ends(struct share *s, struct node *n)
{
    if (s->caching != SHARE_CACHE_AUTO)
        return;
    pthread_mutex_lock(&s->lock);
    n->believed_ns = 0;
    pthread_mutex_unlock(&s->lock);
}

void belief_restored_locked(struct node *n, bool over)
{
    n->locked = over;
    n->believed_ns = !over; /* since share.resumed_ns, whatever it was told */
}

void belief_resumes(struct share *s)
{
    pthread_mutex_lock(&s->lock);
    s->resumed_ns = clock_mono_ns();
    pthread_mutex_unlock(&s->lock);
}

static bool believes_locked(const struct share *s, const struct node *n)
{
    uint64_t until = s->resumed_ns ? MAX(n->believed_ns, s->resumed_ns + BELIEF_NS) : n->believed_ns;

    return n->believed_ns && clock_mono_ns() < until;
}

bool belief_is_over_locked(const struct share *s, const struct node *n)
{
    return n->locked && !believes_locked(s, n);
}

void belief_locked(struct share *s, struct node *n)
{
    pthread_mutex_lock(&s->lock);
    n->locked = true;
    pthread_mutex_unlock(&s->lock);
}

bool belief_misleads(struct share *s, struct node *n, int fd)
{
    struct statx st;
    bool misleads;

    if (s->caching != SHARE_CACHE_AUTO || stat_fd(fd, &st) < 0)
        return false;
    pthread_mutex_lock(&s->lock);
    misleads = believes_locked(s, n) && !is_as_told_locked(n, &st);
    if (!misleads && n->told_in_tick && is_as_told_locked(n, &st)) {
        n->told_in_tick = false; /* until that is told */
        n->shift_ns++;
    }
    pthread_mutex_unlock(&s->lock);
    return misleads;
}
