/* SPDX-License-Identifier: MIT */
/* Handles: what the guest has open. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "share/share_impl.h"

/* The node to let go of after the lock, if that was the last reference: operations use the node of a handle
 * that the guest has closed meanwhile. */
static struct node *put_locked(struct handle *h)
{
    struct node *n = h->node;

    if (--h->refs)
        return NULL;
    close(h->fd);
    pthread_mutex_destroy(&h->lock);
    free(h);
    return n;
}

static int find_slot_locked(struct share *s)
{
    for (unsigned i = 0; i < s->handles_max; i++) {
        unsigned at = (s->handle_hint + i) % s->handles_max;

        if (!s->handle[at]) {
            s->handle_hint = at + 1;
            return (int)at;
        }
    }
    return -ENFILE;
}

int handle_new(struct share *s, struct node *n, int fd, int flags, bool is_dir, uint64_t *ret)
{
    struct handle *h = calloc(1, sizeof(*h));
    int slot;

    if (!h) {
        close(fd);
        return -ENOMEM;
    }
    *h = (struct handle){.node = n, .fd = fd, .flags = flags, .is_dir = is_dir, .refs = 1};
    pthread_mutex_init(&h->lock, NULL);
    pthread_mutex_lock(&s->lock);
    slot = s->handle_count < s->handles_max ? find_slot_locked(s) : -ENFILE;
    if (slot >= 0) {
        n->refs++;
        s->handle[slot] = h;
        s->handle_count++;
        h->fh = (uint64_t)++s->handle_generation << 32 | (unsigned)slot;
        LIST_INSERT_HEAD(&n->handles, h, link);
        *ret = h->fh;
    } else {
        put_locked(h);
    }
    pthread_mutex_unlock(&s->lock);
    return slot < 0 ? slot : 0;
}

void handle_restore(struct share *s, struct node *n, int fd, int flags, bool is_dir, uint64_t fh)
{
    struct handle *h = calloc(1, sizeof(*h));
    uint32_t slot = (uint32_t)fh;

    pthread_mutex_lock(&s->lock);
    if (!h || slot >= s->handles_max || s->handle[slot]) {
        close(fd);
        free(h);
    } else {
        *h = (struct handle){.fh = fh, .node = n, .fd = fd, .flags = flags, .is_dir = is_dir, .refs = 1};
        pthread_mutex_init(&h->lock, NULL);
        n->refs++;
        s->handle[slot] = h;
        s->handle_count++;
        LIST_INSERT_HEAD(&n->handles, h, link);
    }
    pthread_mutex_unlock(&s->lock);
}

int handle_missing(const struct share *s, uint64_t fh)
{
    return fh >> 32 && fh >> 32 <= s->lost_generation ? -ESTALE : -EBADF;
}

static struct handle *find_locked(struct share *s, uint64_t fh)
{
    uint32_t slot = (uint32_t)fh;

    return slot < s->handles_max && s->handle[slot] && s->handle[slot]->fh == fh ? s->handle[slot] : NULL;
}

struct handle *handle_get(struct share *s, uint64_t fh)
{
    struct handle *h;

    pthread_mutex_lock(&s->lock);
    h = find_locked(s, fh);
    if (h)
        h->refs++;
    pthread_mutex_unlock(&s->lock);
    return h;
}

struct handle *handle_of(struct share *s, struct node *n)
{
    struct handle *h;

    pthread_mutex_lock(&s->lock);
    h = LIST_FIRST(&n->handles);
    if (h)
        h->refs++;
    pthread_mutex_unlock(&s->lock);
    return h;
}

void handle_put(struct share *s, struct handle *h)
{
    struct node *n;

    if (!h)
        return;
    pthread_mutex_lock(&s->lock);
    n = put_locked(h);
    pthread_mutex_unlock(&s->lock);
    node_put(s, n);
}

struct handle *handle_get_file(struct share *s, uint64_t fh)
{
    struct handle *h = handle_get(s, fh);

    if (h && h->is_dir) {
        handle_put(s, h);
        return NULL;
    }
    return h;
}

static void close_slot(struct share *s, unsigned slot, uint64_t fh, bool any)
{
    struct node *n = NULL;

    pthread_mutex_lock(&s->lock);
    if (s->handle[slot] && (any || s->handle[slot]->fh == fh)) {
        struct handle *h = s->handle[slot];

        LIST_REMOVE(h, link);
        s->handle[slot] = NULL;
        s->handle_count--;
        n = put_locked(h);
    }
    pthread_mutex_unlock(&s->lock);
    node_put(s, n);
}

void handle_close(struct share *s, uint64_t fh)
{
    if ((uint32_t)fh < s->handles_max)
        close_slot(s, (uint32_t)fh, fh, false);
}

void handles_close_all(struct share *s)
{
    for (unsigned i = 0; i < s->handles_max && s->handle_count; i++)
        close_slot(s, i, 0, true);
}

void handles_lose(struct share *s, struct node *n)
{
    struct handle *h;

    while ((h = handle_of(s, n))) {
        handle_close(s, h->fh);
        handle_put(s, h);
    }
}

int node_hold(struct share *s, struct node *n, struct hold *ret)
{
    *ret = (struct hold){.handle = n->root ? handle_of(s, n) : NULL};
    if (!ret->handle)
        return node_fd(s, n, &ret->fd);
    ret->fd = ret->handle->fd;
    return 0;
}

void node_let_go(struct share *s, struct node *n, struct hold *hold)
{
    if (hold->handle)
        handle_put(s, hold->handle);
    else
        node_fd_put(s, n);
}

int node_open(struct share *s, struct node *n, int flags)
{
    char path[PROC_PATH_MAX];
    int fd, ret, r;

    /* Others have no business on the host: a device would act, a FIFO would wait. */
    if (n->type != S_IFREG && n->type != S_IFDIR)
        return n->type == S_IFLNK ? -ELOOP : -EACCES;
    ret = node_fd(s, n, &fd);
    if (ret < 0)
        return ret;
    proc_path(path, fd, NULL);
    ret = open(path, (flags & ~(O_CREAT | O_EXCL | O_NOFOLLOW | O_PATH)) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (ret < 0)
        ret = -errno;
    if (ret >= 0 && (flags & O_ACCMODE) != O_RDONLY && (r = owner_disarm(s, n->root, ret)) < 0) {
        close(ret);
        ret = r;
    }
    node_fd_put(s, n);
    return ret;
}
