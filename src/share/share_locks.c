/* SPDX-License-Identifier: MIT */
/* Locks, which are the host's, so they hold between guests and against programs of the host.
 *
 * flock() locks belong to an open file, here as there. POSIX locks belong to a process of the guest, which
 * has a number in requests: each that locks something of a node gets an open file of its own for it, whose
 * (F_OFD_SETLK) locks they are. Locks of open files there (F_OFD_SETLK) look the same, with the open file as their
 * process: Linux' driver does not say when they end, but with the file that they were asked for by. So that no guest can
 * have the host's kernel keep any number of them, they are counted: the ranges that each owner has are known here too. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "share/share_impl.h"

#define OWNERS_MAX 4096u
#define LOCKS_MAX  65536u /* ranges, of all owners together */

struct range {
    uint64_t start, end; /* both included */
    uint32_t type;
};

struct lock_owner {
    TAILQ_ENTRY(lock_owner) link;
    struct node *node; /* a reference */
    uint64_t id;
    uint64_t fh;  /* by which it locked something first: a process gives all up before it closes that */
    uint32_t pid; /* of the guest's; 0: not known */
    int fd;
    bool gone;       /* not in the list any more; under share.lock, as refs */
    unsigned refs;
    pthread_mutex_t lock; /* over a change of its locks; before share.lock */
    /* Sorted, apart. Changed under both locks. */
    struct range *range;
    unsigned count;
};

/* ---- Owners --------------------------------------------------------------------------------- */

static void owner_put(struct share *s, struct lock_owner *o)
{
    bool last;

    pthread_mutex_lock(&s->lock);
    last = !--o->refs;
    if (last)
        s->lock_count -= o->count;
    pthread_mutex_unlock(&s->lock);
    if (!last)
        return;
    close(o->fd); /* and its locks are gone */
    node_put(s, o->node);
    pthread_mutex_destroy(&o->lock);
    free(o->range);
    free(o);
}

static struct lock_owner *owner_find_locked(struct share *s, const struct node *n, uint64_t id)
{
    struct lock_owner *o;

    TAILQ_FOREACH(o, &s->owners, link) {
        if (o->node == n && o->id == id)
            return o;
    }
    return NULL;
}

static int owner_make(struct share *s, const struct held_lock *l, struct lock_owner **ret)
{
    struct node *n = l->node;
    struct lock_owner *o = calloc(1, sizeof(*o)), *other;
    bool listed = false;
    int fd = n->root && !n->root->read_only ? node_open(s, n, O_RDWR) : -EACCES;

    if (fd == -EACCES || fd == -EROFS || fd == -ETXTBSY)
        fd = n->root ? node_open(s, n, O_RDONLY) : -EBADF;
    if (!o || fd < 0) {
        if (fd >= 0)
            close(fd);
        free(o);
        return fd < 0 ? fd : -ENOMEM;
    }
    *o = (struct lock_owner){.node = n, .id = l->owner, .fh = l->fh, .pid = l->pid, .fd = fd, .refs = 1};
    pthread_mutex_init(&o->lock, NULL);
    node_ref(s, n);
    pthread_mutex_lock(&s->lock);
    other = owner_find_locked(s, n, l->owner);
    if (other) {
        other->refs++;
    } else if (s->owner_count < MIN(OWNERS_MAX, s->fds_max)) {
        TAILQ_INSERT_TAIL(&s->owners, o, link);
        s->owner_count++;
        o->refs++;
        listed = true;
    }
    pthread_mutex_unlock(&s->lock);
    *ret = listed ? o : other;
    if (!listed)
        owner_put(s, o);
    return *ret ? 0 : -ENOLCK;
}

/* NULL: there is none. */
static struct lock_owner *owner_get(struct share *s, struct node *n, uint64_t id)
{
    struct lock_owner *o;

    pthread_mutex_lock(&s->lock);
    o = owner_find_locked(s, n, id);
    if (o)
        o->refs++;
    pthread_mutex_unlock(&s->lock);
    return o;
}

/* Those of n (NULL: of all), with that number and file (NULL: with any). */
static void drop_some(struct share *s, const struct node *n, const uint64_t *owner, const uint64_t *fh)
{
    struct lock_owner *o, *next;
    TAILQ_HEAD(, lock_owner) dropped = TAILQ_HEAD_INITIALIZER(dropped);

    pthread_mutex_lock(&s->lock);
    for (o = TAILQ_FIRST(&s->owners); o; o = next) {
        next = TAILQ_NEXT(o, link);
        if ((n && o->node != n) || (owner && o->id != *owner) || (fh && o->fh != *fh))
            continue;
        TAILQ_REMOVE(&s->owners, o, link);
        o->gone = true;
        TAILQ_INSERT_TAIL(&dropped, o, link);
        s->owner_count--;
    }
    pthread_mutex_unlock(&s->lock);
    while ((o = TAILQ_FIRST(&dropped))) {
        TAILQ_REMOVE(&dropped, o, link);
        owner_put(s, o);
    }
}

void locks_drop(struct share *s, const struct node *n, const uint64_t *owner)
{
    drop_some(s, n, owner, NULL);
}

void locks_drop_of_file(struct share *s, const struct handle *h)
{
    drop_some(s, h->node, NULL, &h->fh);
}

/* ---- Ranges --------------------------------------------------------------------------------- */

static void append(struct range *to, unsigned *count, struct range r)
{
    struct range *last = *count ? &to[*count - 1] : NULL;

    if (r.start > r.end)
        return;
    if (last && last->type == r.type && last->end + 1 == r.start)
        last->end = r.end;
    else
        to[(*count)++] = r;
}

/* What o's ranges are once that one is laid over them, as the kernel does: in ret, which has room for two
 * more than there are. */
static unsigned laid_over(const struct lock_owner *o, struct range new, struct range *ret)
{
    unsigned count = 0;
    bool placed = new.type == F_UNLCK;

    for (unsigned i = 0; i < o->count; i++) {
        struct range r = o->range[i], before = r, behind = r;

        if (r.start < new.start) {
            before.end = MIN(r.end, new.start - 1);
            append(ret, &count, before);
        }
        if (!placed && r.end >= new.start) {
            append(ret, &count, new);
            placed = true;
        }
        if (r.end > new.end) {
            behind.start = MAX(r.start, new.end + 1);
            append(ret, &count, behind);
        }
    }
    if (!placed)
        append(ret, &count, new);
    return count;
}

static struct flock host_lock(uint32_t type, uint64_t start, uint64_t end)
{
    struct flock f = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = (off_t)start};

    f.l_len = end >= INT64_MAX ? 0 : (off_t)(end - start + 1);
    return f;
}

/* Does it give up some of what o has? To take that back might fail. */
static bool gives_up(const struct lock_owner *o, struct range new)
{
    bool gives = new.type == F_UNLCK;

    for (unsigned i = 0; i < o->count && !gives; i++)
        gives = new.type == F_RDLCK && o->range[i].type == F_WRLCK && o->range[i].start <= new.end &&
                o->range[i].end >= new.start;
    return gives;
}

static void set_part(const struct lock_owner *o, uint32_t type, uint64_t start, uint64_t end)
{
    struct flock l = host_lock(type, start, end);

    if (start <= end)
        (void)!fcntl(o->fd, F_OFD_SETLK, &l); /* it is less than there is now */
}

/* new was taken, and gave up nothing: have o's locks as they were. */
static void take_back(const struct lock_owner *o, struct range new)
{
    uint64_t at = new.start;

    for (unsigned i = 0; i < o->count; i++) {
        const struct range *r = &o->range[i];

        if (r->end < new.start || r->start > new.end)
            continue;
        if (r->start > at)
            set_part(o, F_UNLCK, at, r->start - 1);
        set_part(o, r->type, MAX(r->start, new.start), MIN(r->end, new.end));
        if (r->end >= new.end)
            return;
        at = r->end + 1;
    }
    set_part(o, F_UNLCK, at, new.end);
}

/* -EAGAIN also with *ret_early, unless that is NULL: it could be had, but the guest would not see yet what others did. */
static int lock_range(struct share *s, struct lock_owner *o, struct range new, bool *ret_early)
{
    const struct flock l = host_lock(new.type, new.start, new.end);
    struct range *next = malloc((o->count + 2) * sizeof(*next)), *was;
    unsigned count;
    int r = 0;

    if (!next)
        return -ENOMEM;
    count = laid_over(o, new, next);
    pthread_mutex_lock(&s->lock);
    if (count > o->count && s->lock_count + (count - o->count) > LOCKS_MAX)
        r = -ENOLCK;
    pthread_mutex_unlock(&s->lock);
    if (!r && fcntl(o->fd, F_OFD_SETLK, &l) < 0)
        r = -errno;
    if (!r && ret_early && !gives_up(o, new) && belief_misleads(s, o->node, o->fd)) {
        take_back(o, new);
        *ret_early = true;
        r = -EAGAIN;
    }
    if (r < 0) {
        free(next);
        return r;
    }
    pthread_mutex_lock(&s->lock);
    s->lock_count = s->lock_count - o->count + count;
    was = o->range;
    o->range = next;
    o->count = count;
    pthread_mutex_unlock(&s->lock);
    free(was);
    return 0;
}

/* ---- Operations ----------------------------------------------------------------------------- */

static bool is_sane(const struct fuse_file_lock *l)
{
    return (l->type == F_RDLCK || l->type == F_WRLCK || l->type == F_UNLCK) && l->start <= l->end &&
           l->start <= INT64_MAX;
}

static int lock_args(const struct call *c, struct fuse_lk_in *ret)
{
    int r = call_args(c, ret, sizeof(*ret), sizeof(*ret));

    return r < 0 ? r : is_sane(&ret->lk) ? 0 : -EINVAL;
}

/* Who of this guest has what the host says is in the way; 0: it is somebody else. */
static uint32_t pid_of(struct share *s, const struct node *n, const struct flock *l)
{
    struct lock_owner *o;
    uint32_t pid = 0;

    pthread_mutex_lock(&s->lock);
    TAILQ_FOREACH(o, &s->owners, link) {
        for (unsigned i = 0; i < o->count && o->node == n && !pid; i++)
            pid = o->range[i].start == (uint64_t)l->l_start && o->range[i].type == (uint32_t)l->l_type ? o->pid : 0;
    }
    pthread_mutex_unlock(&s->lock);
    return pid;
}

int op_getlk(struct call *c)
{
    struct fuse_lk_in in;
    struct fuse_lk_out out = {0};
    struct lock_owner *o;
    struct flock l;
    struct handle *h;
    int r = lock_args(c, &in);

    if (r < 0)
        return r;
    h = handle_get_file(c->s, in.fh);
    if (!h)
        return handle_missing(c->s, in.fh);
    l = host_lock(in.lk.type, in.lk.start, in.lk.end);
    /* Without an owner of its own a handle asks in nobody's name: it has no POSIX locks. */
    o = owner_get(c->s, h->node, in.owner);
    if (o) {
        r = fcntl(o->fd, F_OFD_GETLK, &l) < 0 ? -errno : 0;
        owner_put(c->s, o);
    } else {
        r = fcntl(h->fd, F_OFD_GETLK, &l) < 0 ? -errno : 0;
    }
    out.lk = (struct fuse_file_lock){.type = (uint32_t)l.l_type};
    if (!r && l.l_type != F_UNLCK) {
        out.lk.start = (uint64_t)l.l_start;
        out.lk.end = l.l_len ? (uint64_t)(l.l_start + l.l_len - 1) : INT64_MAX;
        out.lk.pid = pid_of(c->s, h->node, &l);
    }
    handle_put(c->s, h);
    return r < 0 ? r : call_put(c, 0, &out, sizeof(out));
}

static int flock_file(struct share *s, struct handle *h, uint32_t type, bool *ret_early)
{
    int op = type == F_UNLCK ? LOCK_UN : type == F_WRLCK ? LOCK_EX : LOCK_SH;

    if (flock(h->fd, op | LOCK_NB) < 0) {
        h->flock = 0; /* one that was to become another is lost, as everywhere */
        return -errno;
    }
    if (!h->flock && op != LOCK_UN && belief_misleads(s, h->node, h->fd)) {
        flock(h->fd, LOCK_UN);
        *ret_early = true;
        return -EAGAIN;
    }
    h->flock = op == LOCK_UN ? 0 : op;
    return 0;
}

/* One whose lock is taken, and which is in the list: another thread may just have given up its last range,
 * and with it the owner, whose new locks would be gone with its file. */
static int owner_get_locked(struct share *s, const struct held_lock *l, struct lock_owner **ret)
{
    for (;;) {
        int r = 0;
        bool gone;

        *ret = owner_get(s, l->node, l->owner);
        if (!*ret)
            r = l->type == F_UNLCK ? -ENOENT : owner_make(s, l, ret);
        if (r < 0)
            return r;
        pthread_mutex_lock(&(*ret)->lock);
        pthread_mutex_lock(&s->lock);
        gone = (*ret)->gone;
        pthread_mutex_unlock(&s->lock);
        if (!gone)
            return 0;
        pthread_mutex_unlock(&(*ret)->lock);
        owner_put(s, *ret);
    }
}

static int lock_posix(struct share *s, const struct held_lock *l, bool *ret_early)
{
    struct lock_owner *o;
    int r = owner_get_locked(s, l, &o);

    if (r == -ENOENT)
        return 0; /* it has none to give up */
    if (r < 0)
        return r;
    r = lock_range(s, o, (struct range){l->start, l->end, l->type}, ret_early);
    if (!r && !o->count)
        locks_drop(s, o->node, &o->id);
    pthread_mutex_unlock(&o->lock);
    owner_put(s, o);
    return r;
}

void locks_each(struct share *s, void (*fn)(void *arg, const struct held_lock *l), void *arg)
{
    struct lock_owner *o;

    TAILQ_FOREACH(o, &s->owners, link) {
        for (unsigned i = 0; i < o->count; i++) {
            const struct held_lock l = {o->node, o->id, o->range[i].start, o->range[i].end, o->range[i].type, o->pid, o->fh};

            fn(arg, &l);
        }
    }
}

int lock_again(struct share *s, const struct held_lock *l)
{
    if ((l->type != F_RDLCK && l->type != F_WRLCK) || l->start > l->end || l->end > INT64_MAX)
        return -EINVAL;
    return lock_posix(s, l, NULL);
}

/* Who has been granted a lock sees what others did while they had theirs: else it is too early to have one. */
static int try_lock(struct call *c, struct handle *h, const struct fuse_lk_in *in, bool *ret_early)
{
    struct held_lock l;

    if (in->lk.type != F_UNLCK)
        belief_locked(c->s, h->node);
    *ret_early = c->again && belief_misleads(c->s, h->node, h->fd); /* as it was: do not even disturb others */
    if (*ret_early)
        return -EAGAIN;
    if (in->lk_flags & FUSE_LK_FLOCK)
        return flock_file(c->s, h, in->lk.type, ret_early);
    l = (struct held_lock){h->node, in->owner, in->lk.start, MIN(in->lk.end, (uint64_t)INT64_MAX), in->lk.type, in->lk.pid,
                           h->fh};
    return lock_posix(c->s, &l, ret_early);
}

static int set_lock(struct call *c, bool waits)
{
    struct fuse_lk_in in;
    struct handle *h;
    bool early = false;
    int r = lock_args(c, &in);

    if (r < 0)
        return r;
    h = handle_get_file(c->s, in.fh);
    r = h ? try_lock(c, h, &in, &early) : handle_missing(c->s, in.fh);
    handle_put(c->s, h);
    if (r == -EACCES)
        r = -EAGAIN; /* POSIX allows either */
    return r == -EAGAIN && (waits || early) && c->may_wait ? WAITS : r;
}

int op_setlk(struct call *c)
{
    return set_lock(c, false);
}

int op_setlkw(struct call *c)
{
    return set_lock(c, true);
}
