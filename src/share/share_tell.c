/* SPDX-License-Identifier: MIT */
/* Calls that are made for those who watch files in the guest (share_tell.h). The protocol has no word for what the host
 * changed, and a kernel tells its watchers of a name that was made or removed only after a call that did so.
 *
 * Names are as they were before the host's change: one that is there is not yet, so that it can be "made", and one that
 * is not there still is, so that it can be "removed". The first is answered with the file that the host has, the second
 * with one that nobody ever gets at: its number leads nowhere, and it is forgotten at once. Nothing is
 * changed on the host, whoever asks: a guest's root that does so by itself deceives itself. */
#include <errno.h>
#include <string.h>

#include "share/share_impl.h"
#include "share/share_tell.h"

bool is_telling(const struct call *c)
{
    return !c->h.uid && (c->h.gid == SHARE_TELL_FILE || c->h.gid == SHARE_TELL_FOLDER);
}

/* ---- Names ---------------------------------------------------------------------------------- */

/* A folder, and what the host has by a name in it. */
struct told {
    struct node *parent; /* a reference */
    int fd;
    bool is_there;
    char name[SHARE_NAME_MAX + 1];
    struct statx st;
};

static int told_open(struct call *c, uint64_t folder, size_t at, struct told *ret, size_t *ret_next)
{
    int r = call_name(c, at, ret->name, ret_next);

    ret->parent = NULL;
    if (r < 0)
        return r;
    ret->parent = node_get(c->s, folder);
    if (!ret->parent)
        return -ESTALE;
    r = !ret->parent->root ? -EPERM : ret->parent->type != S_IFDIR ? -ENOTDIR : node_fd(c->s, ret->parent, &ret->fd);
    if (r < 0) {
        node_put(c->s, ret->parent);
        ret->parent = NULL;
        return r;
    }
    r = stat_in(ret->fd, ret->name, &ret->st);
    ret->is_there = !r;
    return r == -ENOENT ? 0 : r;
}

static void told_close(struct call *c, struct told *t)
{
    if (!t->parent)
        return;
    node_fd_put(c->s, t->parent);
    node_put(c->s, t->parent);
}

/* To be seen as new, what the guest knows of it is dropped first: not while it has it open, when its programs know it
 * by that name. */
static bool is_open(struct call *c, const struct told *t)
{
    struct node *n = node_known(c->s, t->parent->root, &t->st);
    struct handle *h = n ? handle_of(c->s, n) : NULL;

    handle_put(c->s, h);
    node_put(c->s, n);
    return h;
}

/* What was there: good for one call. */
static void entry_of_gone(struct call *c, struct fuse_entry_out *ret)
{
    mode_t type = c->h.gid == SHARE_TELL_FOLDER ? S_IFDIR : S_IFREG;

    *ret = (struct fuse_entry_out){.attr = {.mode = type, .nlink = type == S_IFDIR ? 2 : 1, .blksize = 4096}};
    pthread_mutex_lock(&c->s->lock);
    ret->nodeid = c->s->next_node++;
    pthread_mutex_unlock(&c->s->lock);
    ret->attr.ino = ret->nodeid;
}

static int told_lookup(struct call *c)
{
    struct fuse_entry_out e;
    struct told t;
    size_t next;
    int r = told_open(c, c->h.nodeid, HEADER_LEN, &t, &next);

    if (!r && !t.is_there)
        entry_of_gone(c, &e);
    else if (!r)
        r = is_open(c, &t) ? look_up(c->s, t.parent, t.fd, t.name, &e) : -ENOENT;
    told_close(c, &t);
    return r < 0 ? r : call_put(c, 0, &e, sizeof(e));
}

/* at: where the name is, behind the operation's own words. */
static int told_made(struct call *c, size_t at)
{
    struct fuse_entry_out e;
    struct told t;
    size_t next;
    int r = told_open(c, c->h.nodeid, HEADER_LEN + at, &t, &next);

    if (!r)
        r = t.is_there ? look_up(c->s, t.parent, t.fd, t.name, &e) : -ENOENT;
    told_close(c, &t);
    return r < 0 ? r : call_put(c, 0, &e, sizeof(e));
}

static int told_gone(struct call *c)
{
    struct told t;
    size_t next;
    int r = told_open(c, c->h.nodeid, HEADER_LEN, &t, &next);

    if (!r && t.is_there)
        r = -EEXIST;
    told_close(c, &t);
    return r;
}

static int told_moved(struct call *c, uint64_t to, size_t at)
{
    struct told old, new = {.parent = NULL};
    size_t next;
    int r = told_open(c, c->h.nodeid, HEADER_LEN + at, &old, &next);

    if (!r)
        r = told_open(c, to, next, &new, &next);
    if (!r && (old.is_there || !new.is_there))
        r = old.is_there ? -EEXIST : -ENOENT;
    told_close(c, &old);
    told_close(c, &new);
    return r;
}

/* ---- All of them ---------------------------------------------------------------------------- */

/* A mode that changes nothing, by which attributes are told of. */
static int told_attributes(struct call *c)
{
    const uint32_t harmless = FATTR_MODE | FATTR_FH | FATTR_LOCKOWNER | FATTR_KILL_SUIDGID | FATTR_CTIME;
    struct fuse_setattr_in in;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    return r < 0 ? r : in.valid & ~harmless ? -EPERM : op_getattr(c);
}

int told(struct call *c, operation *op)
{
    struct fuse_rename2_in in = {.flags = 0};

    switch (c->h.opcode) {
    case FUSE_LOOKUP:
        return told_lookup(c);
    case FUSE_MKNOD:
        return told_made(c, sizeof(struct fuse_mknod_in));
    case FUSE_MKDIR:
        return told_made(c, sizeof(struct fuse_mkdir_in));
    case FUSE_SYMLINK:
        return told_made(c, 0);
    case FUSE_UNLINK:
    case FUSE_RMDIR:
        return told_gone(c);
    case FUSE_RENAME:
    case FUSE_RENAME2:
        if (call_args(c, &in, sizeof(in), sizeof(struct fuse_rename_in)) < 0)
            return -EINVAL;
        return told_moved(c, in.newdir, c->h.opcode == FUSE_RENAME ? sizeof(struct fuse_rename_in) : sizeof(in));
    case FUSE_SETATTR:
        return told_attributes(c);
    /* What a kernel asks on the way. */
    case FUSE_FORGET:
    case FUSE_BATCH_FORGET:
    case FUSE_GETATTR:
    case FUSE_STATX:
    case FUSE_ACCESS:
    case FUSE_GETXATTR:
    case FUSE_STATFS:
    case FUSE_FLUSH:
    case FUSE_RELEASE:
    case FUSE_RELEASEDIR:
        return op(c);
    default:
        return -EPERM;
    }
}
