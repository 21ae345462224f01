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
 * Names in the folder of a file that was locked are looked up anew each time, too: journals are beside what they are of.
 *
 * The guest counts from when it has got the answer, by its own clock, which stands while it is paused. */
#include <stdio.h>
#include <sys/utsname.h>
#include <linux/magic.h>

#include "base/clock.h"
#include "share/share_impl.h"

#define AUTO_SECONDS   1u
#define ALWAYS_SECONDS 86400u
#define SHIFT_MAX      500000u /* of what is saved */
#define OTHER_NS       1000000u /* more than times are ever shifted */
#define ON_ITS_WAY_NS  (100 * NS_PER_MS)
#define LOOKS_MAX      16u /* a guest that locks without a pause holds nobody up */
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

static uint32_t in_names_locked(const struct share *s, const struct node *folder)
{
    static const uint32_t seconds[] = {[SHARE_CACHE_AUTO] = AUTO_SECONDS, [SHARE_CACHE_ALWAYS] = ALWAYS_SECONDS};

    return folder && folder->names_asked && s->caching == SHARE_CACHE_AUTO ? 0 : seconds[s->caching];
}

uint32_t belief_in_names(struct share *s, const struct node *folder)
{
    uint32_t seconds;

    pthread_mutex_lock(&s->lock);
    seconds = in_names_locked(s, folder);
    pthread_mutex_unlock(&s->lock);
    return seconds;
}

uint32_t belief_in_name_of(struct share *s, const struct node *n)
{
    uint32_t seconds;

    pthread_mutex_lock(&s->lock);
    seconds = in_names_locked(s, n->parent);
    pthread_mutex_unlock(&s->lock);
    return seconds;
}

/* The guest has not come to that time yet; 0: there is none. */
static bool is_ahead_locked(const struct share *s, uint64_t ns, uint64_t now)
{
    return ns && now < (s->resumed_ns ? MAX(ns, s->resumed_ns + BELIEF_NS) : ns);
}

static void shift(struct statx_timestamp *t, uint32_t ns)
{
    t->tv_sec -= t->tv_nsec < ns;
    t->tv_nsec = t->tv_nsec < ns ? t->tv_nsec + (uint32_t)NS_PER_SEC - ns : t->tv_nsec - ns;
}

/* Which answer its kernel takes over first, and when, is for the guest's processes to say. */
static void believe_locked(const struct share *s, struct node *n, const struct statx *st, uint64_t now)
{
    if (is_ahead_locked(s, n->believed_ns, now) && !is_stamp_of(&n->believed, st))
        n->mixed_ns = now + BELIEF_NS;
    n->believed = stamp_of(st);
    n->believed_ns = now + BELIEF_NS;
}

static uint32_t tell_locked(const struct share *s, struct node *n, struct statx *st)
{
    const bool in_tick = is_in_tick(n, st);
    const uint32_t seconds = n->locked || in_tick || s->caching == SHARE_CACHE_NEVER ? 0 : AUTO_SECONDS;
    const uint64_t now = clock_mono_ns();

    if (seconds)
        believe_locked(s, n, st, now);
    if (n->told.is && !is_stamp_of(&n->told, st)) {
        n->older_ns = n->told_ns;
        n->told_in_tick = false;
        n->shift_ns = 0;
    }
    n->told = stamp_of(st);
    n->told_ns = now;
    n->told_in_tick |= in_tick; /* what it has read since then may be older, also when the tick is over */
    shift(&st->stx_mtime, n->shift_ns);
    return seconds;
}

/* What a change of contents changes. */
static void look_again(struct share *s, struct node *n, struct statx *st)
{
    struct hold hold;
    struct statx now;

    if (!S_ISREG(st->stx_mode) || node_hold(s, n, &hold) < 0) /* a stand-in has none */
        return;
    if (!stat_fd(hold.fd, &now)) {
        st->stx_size = now.stx_size;
        st->stx_blocks = now.stx_blocks;
        st->stx_mtime = now.stx_mtime;
        st->stx_ctime = now.stx_ctime;
    }
    node_let_go(s, n, &hold);
}

/* What is told of a file that was locked was seen after all that was granted before: its kernel may take what is older
 * for the answer to another process, which has a lock, and drop that one's. */
uint32_t belief_told(struct share *s, struct node *n, struct statx *st)
{
    uint32_t seconds;
    bool looked = false;
    uint64_t grants = 0;

    if (s->caching == SHARE_CACHE_ALWAYS || n->type != S_IFREG)
        return s->caching == SHARE_CACHE_ALWAYS ? ALWAYS_SECONDS : s->caching == SHARE_CACHE_AUTO ? AUTO_SECONDS : 0;
    /* In one step with the look at n->locked: who locks comes before, or finds what was told. */
    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < LOOKS_MAX && n->locked && (!looked || n->grants != grants); i++) {
        grants = n->grants;
        pthread_mutex_unlock(&s->lock);
        look_again(s, n, st);
        looked = true;
        pthread_mutex_lock(&s->lock);
    }
    seconds = tell_locked(s, n, st);
    pthread_mutex_unlock(&s->lock);
    return seconds;
}

/* Whatever it was told, it asks. */
static void forget_locked(struct node *n)
{
    n->told_ns = n->older_ns = n->believed_ns = 0;
}

/* The guest's kernel takes such an answer over without a look at its pages. If the file is not as it was told before, what
 * the host wrote meanwhile would stay hidden for good: so it gets a time that the file has not, and asks anew. */
uint32_t belief_told_of_change(struct share *s, struct node *n, struct statx *st)
{
    uint32_t seconds = 0;
    bool hides;

    if (s->caching == SHARE_CACHE_ALWAYS || n->type != S_IFREG)
        return belief_told(s, n, st);
    pthread_mutex_lock(&s->lock);
    hides = !is_stamp_of(&n->told, st);
    if (hides) {
        n->told.is = n->told_in_tick = false;
        n->shift_ns = 0;
        forget_locked(n);
        shift(&st->stx_mtime, OTHER_NS);
    } else {
        seconds = tell_locked(s, n, st);
    }
    pthread_mutex_unlock(&s->lock);
    return seconds;
}

void belief_ends(struct share *s, struct node *n)
{
    if (s->caching != SHARE_CACHE_AUTO)
        return;
    pthread_mutex_lock(&s->lock);
    forget_locked(n);
    pthread_mutex_unlock(&s->lock);
}

uint32_t belief_saved_locked(const struct share *s, const struct node *n)
{
    uint32_t saved = n->names_asked ? BELIEF_NAMES_ASKED : 0;

    if (n->locked && !is_ahead_locked(s, n->believed_ns, clock_mono_ns()))
        saved |= BELIEF_IS_OVER;
    if (n->told_in_tick || n->shift_ns)
        saved |= BELIEF_IN_TICK | MIN(n->shift_ns, SHIFT_MAX - 1) << BELIEF_SHIFT;
    return saved;
}

void belief_restored_locked(struct node *n, uint32_t saved)
{
    n->names_asked = saved & BELIEF_NAMES_ASKED;
    n->locked = saved & BELIEF_IS_OVER;
    n->believed_ns = !n->locked; /* since share.resumed_ns, whatever it was told */
    if (saved & BELIEF_IN_TICK)
        n->shift_ns = MIN((saved >> BELIEF_SHIFT) + 1, SHIFT_MAX); /* a time that it has not been told */
}

void belief_resumes(struct share *s)
{
    pthread_mutex_lock(&s->lock);
    s->resumed_ns = clock_mono_ns();
    pthread_mutex_unlock(&s->lock);
}

void belief_locked(struct share *s, struct node *n)
{
    pthread_mutex_lock(&s->lock);
    n->locked = true;
    if (n->parent)
        n->parent->names_asked = true;
    pthread_mutex_unlock(&s->lock);
}

/* Where the host writes without a pause what the guest asks for without a pause, something always is on its way. No lock
 * waits for ever for that: the one that is tried for so long, or another one soon after, is granted all the same. */
static bool is_patient_locked(struct node *n, uint64_t now)
{
    if (!n->early_ns || now >= n->early_ns + BELIEF_NS + ON_ITS_WAY_NS)
        n->early_ns = now;
    return now < n->early_ns + BELIEF_NS;
}

static bool misleads_locked(const struct share *s, struct node *n, const struct statx *st)
{
    uint64_t now = clock_mono_ns(), older;

    if (is_ahead_locked(s, n->believed_ns, now))
        return is_ahead_locked(s, n->mixed_ns, now) || !is_stamp_of(&n->believed, st);
    /* Its kernel drops an answer that overlaps with another. So may it do with the one that tells of the change, if one to
     * another process, from before the change, is still on its way to that. */
    older = is_stamp_of(&n->told, st) ? n->older_ns : n->told_ns;
    if (older && now < older + ON_ITS_WAY_NS)
        return is_patient_locked(n, now);
    n->early_ns = 0;
    return false;
}

bool belief_misleads(struct share *s, struct node *n, int fd)
{
    struct statx st;
    bool misleads;

    if (s->caching != SHARE_CACHE_AUTO || stat_fd(fd, &st) < 0)
        return false;
    pthread_mutex_lock(&s->lock);
    misleads = misleads_locked(s, n, &st);
    if (!misleads && n->told_in_tick && is_stamp_of(&n->told, &st)) {
        n->told_in_tick = false; /* until that is told */
        n->shift_ns++;
    }
    n->grants += !misleads;
    pthread_mutex_unlock(&s->lock);
    return misleads;
}
