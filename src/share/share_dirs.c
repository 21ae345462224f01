/* SPDX-License-Identifier: MIT */
/* Reading folders. Positions are the host's file system's own. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "share/share_impl.h"

#define LIST_MAX (256u * 1024) /* bytes of an answer */
#define READ_MAX (32u * 1024)  /* bytes of the host's list at a time */

struct linux_dirent64 {
    uint64_t d_ino;
    int64_t d_off;
    uint16_t d_reclen;
    uint8_t d_type;
    char d_name[];
};

/* An answer that is being written. */
struct list {
    struct call *c;
    struct node *node; /* the folder */
    int fd;            /* of it, for look-ups; -1 with the folder of folders */
    bool plus;
    uint8_t *data;
    size_t len, max;
};

int op_opendir(struct call *c)
{
    struct fuse_open_out out = {0};
    struct share *s = c->s;
    struct node *n = node_get(s, c->h.nodeid);
    int fd = -1, r = n ? 0 : -ESTALE;

    if (!r && n->type != S_IFDIR)
        r = -ENOTDIR;
    if (!r) {
        fd = n->root ? node_open(s, n, O_RDONLY | O_DIRECTORY) : open("/dev/null", O_PATH | O_CLOEXEC);
        r = fd < 0 ? fd : handle_new(s, n, fd, O_RDONLY, true, &out.fh);
    }
    if (s->caching == SHARE_CACHE_ALWAYS)
        out.open_flags = FOPEN_CACHE_DIR | FOPEN_KEEP_CACHE;
    node_put(s, n);
    return r < 0 ? r : call_put(c, 0, &out, sizeof(out));
}

/* What readdirplus says besides: a look-up, which the guest then has, but of "." and "..". Where it fails the
 * name is there all the same: the guest will ask for it. */
static void fill_plus(struct list *l, const char *name, struct fuse_entry_out *ret)
{
    *ret = (struct fuse_entry_out){0};
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        return;
    if (l->fd < 0 ? look_up_root(l->c->s, name, ret) < 0 : look_up(l->c->s, l->node, l->fd, name, ret) < 0)
        *ret = (struct fuse_entry_out){0};
}

/* False: there is no room. */
static bool add(struct list *l, const char *name, uint64_t ino, uint64_t off, uint8_t type)
{
    size_t name_len = strlen(name), head = l->plus ? sizeof(struct fuse_direntplus) : sizeof(struct fuse_dirent);
    size_t len = align_up(head + name_len, 8);
    struct fuse_dirent d = {.ino = ino, .off = off, .namelen = (uint32_t)name_len, .type = type};
    uint8_t *at = l->data + l->len;

    if (l->len + len > l->max)
        return false;
    memset(at, 0, len);
    if (l->plus) {
        struct fuse_entry_out e;

        fill_plus(l, name, &e);
        if (e.attr.ino)
            d.ino = e.attr.ino;
        if (e.attr.mode)
            d.type = (uint8_t)((e.attr.mode & S_IFMT) >> 12); /* a stand-in is not what it is on the host */
        memcpy(at, &e, sizeof(e));
        memcpy(at + sizeof(e), &d, sizeof(d));
    } else {
        memcpy(at, &d, sizeof(d));
    }
    memcpy(at + head, name, name_len);
    l->len += len;
    return true;
}

static int list_roots(struct list *l, uint64_t offset)
{
    struct share *s = l->c->s;
    bool room = true;

    for (uint64_t i = offset; room; i++) {
        char name[SHARE_NAME_MAX + 1] = "";
        uint8_t type = DT_DIR;

        /* Since it was opened the share may have become another, of a single directory even. */
        pthread_mutex_lock(&s->lock);
        if (i >= 2 && i - 2 < s->root_count && s->root[i - 2]->name) {
            strncpy(name, s->root[i - 2]->name, SHARE_NAME_MAX);
            type = (uint8_t)(s->root[i - 2]->node->type >> 12);
        }
        pthread_mutex_unlock(&s->lock);
        if (i >= 2 && !name[0])
            break;
        room = add(l, i == 0 ? "." : i == 1 ? ".." : name, 1 + i, i + 1, type);
    }
    return 0;
}

/* Type of a file that may be a stand-in: only a look at its tag tells. */
static uint8_t shown_type(struct list *l, const struct linux_dirent64 *d)
{
    return l->c->s->ownership == SHARE_MINE && d->d_type == DT_REG && !l->plus ? DT_UNKNOWN : d->d_type;
}

static int list_folder(struct list *l, struct handle *h, uint64_t offset)
{
    char *buffer = malloc(READ_MAX);
    bool room = true;
    long n = 0;

    if (!buffer)
        return -ENOMEM;
    if (lseek(h->fd, (off_t)offset, SEEK_SET) < 0) {
        free(buffer);
        return -EINVAL;
    }
    while (room && (n = syscall(SYS_getdents64, h->fd, buffer, READ_MAX)) > 0) {
        for (long at = 0; room && at < n;) {
            const struct linux_dirent64 *d = (const void *)(buffer + at);

            room = add(l, d->d_name, d->d_ino, (uint64_t)d->d_off, shown_type(l, d));
            at += d->d_reclen;
        }
        if (l->len + READ_MAX / 4 > l->max)
            break; /* what is read now would mostly be read again */
    }
    free(buffer);
    return n < 0 && !l->len ? -errno : 0;
}

static int read_folder(struct call *c, bool plus)
{
    struct fuse_read_in in;
    struct share *s = c->s;
    struct list l = {.c = c, .fd = -1, .plus = plus};
    struct handle *h;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (r < 0)
        return r;
    h = handle_get(s, in.fh);
    if (!h || !h->is_dir) {
        handle_put(s, h);
        return h ? -EBADF : handle_missing(s, in.fh);
    }
    l.max = MIN(MIN(in.size, LIST_MAX), c->in_len);
    l.node = h->node;
    l.data = malloc(l.max + 1);
    if (!l.data)
        r = -ENOMEM;
    else if (plus && l.node->root)
        r = node_fd(s, l.node, &l.fd);
    if (!r) {
        pthread_mutex_lock(&h->lock);
        r = l.node->root ? list_folder(&l, h, in.offset) : list_roots(&l, in.offset);
        pthread_mutex_unlock(&h->lock);
        if (l.fd >= 0)
            node_fd_put(s, l.node);
    }
    if (!r)
        r = call_put(c, 0, l.data, l.len);
    free(l.data);
    handle_put(s, h);
    return r;
}

int op_readdir(struct call *c)
{
    return read_folder(c, false);
}

int op_readdirplus(struct call *c)
{
    return read_folder(c, true);
}

int op_releasedir(struct call *c)
{
    struct fuse_release_in in;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (!r)
        handle_close(c->s, in.fh);
    return r;
}

int op_fsyncdir(struct call *c)
{
    return op_fsync(c);
}
