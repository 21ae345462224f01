/* SPDX-License-Identifier: MIT */
/* Names: what makes, removes and moves them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "share/share_impl.h"

/* A folder in which a name is to be changed. */
struct place {
    struct node *node; /* a reference */
    int fd;
    struct statx view; /* by place_view() */
};

static int place_open(struct share *s, uint64_t id, struct place *ret)
{
    int r = 0;

    *ret = (struct place){.node = node_get(s, id), .fd = -1};
    if (!ret->node)
        return -ESTALE;
    if (!ret->node->root)
        r = -EPERM; /* the folder of folders is as the configuration says */
    else if (ret->node->root->read_only)
        r = -EROFS;
    else if (ret->node->type != S_IFDIR)
        r = -ENOTDIR;
    if (!r)
        r = node_fd(s, ret->node, &ret->fd);
    if (r < 0) {
        node_put(s, ret->node);
        ret->node = NULL;
    }
    return r;
}

static void place_close(struct share *s, struct place *p)
{
    if (p->node && p->fd >= 0)
        node_fd_put(s, p->node);
    node_put(s, p->node);
}

/* ---- Making --------------------------------------------------------------------------------- */

/* What is to be made. */
struct making {
    struct tag want;
    const char *target; /* of a link */
    bool stand_in;
    struct acl acl;
};

static int write_target(int fd, const char *target)
{
    size_t len = strlen(target);
    ssize_t n = write(fd, target, len);

    return n < 0 ? -errno : (size_t)n < len ? -ENOSPC : 0;
}

static int make_file(const struct share *s, const struct place *p, const char *name, const struct making *m)
{
    int fd = openat(p->fd, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC,
                    owner_host_mode(s, &m->want)), r = 0;

    if (fd < 0)
        return -errno;
    if (m->target)
        r = write_target(fd, m->target);
    close(fd);
    if (r < 0)
        unlinkat(p->fd, name, 0);
    return r;
}

static int make_on_host(const struct share *s, const struct place *p, const char *name, const struct making *m)
{
    mode_t mode = owner_host_mode(s, &m->want);
    int r;

    if (m->stand_in || S_ISREG(m->want.mode))
        return make_file(s, p, name, m);
    if (S_ISDIR(m->want.mode))
        r = mkdirat(p->fd, name, mode);
    else if (S_ISLNK(m->want.mode))
        r = symlinkat(m->target, p->fd, name);
    else if (S_ISFIFO(m->want.mode) || S_ISSOCK(m->want.mode))
        r = mknodat(p->fd, name, m->want.mode & (S_IFMT | 0777u), 0);
    else
        return -EPERM; /* device nodes of the host are not for guests to make */
    return r < 0 ? -errno : 0;
}

/* Have what was made seen as it is to be, or take it away again. */
static int finish(struct share *s, struct place *p, const char *name, struct making *m)
{
    char path[PROC_PATH_MAX];
    struct statx st;
    int fd = openat(p->fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), r;

    if (fd < 0)
        return -errno;
    r = stat_fd(fd, &st);
    if (!r)
        r = owner_made(s, p->node->root, fd, &m->want, &st);
    proc_path(path, fd, NULL);
    if (!r)
        r = acl_give(s, p->node->root, path, &m->want, &m->acl);
    close(fd);
    if (r < 0)
        unlinkat(p->fd, name, S_ISDIR(m->want.mode) ? AT_REMOVEDIR : 0);
    return r;
}

static int make(struct call *c, const char *name, mode_t mode, uint32_t umask, uint32_t rdev, const char *target)
{
    struct making m = {.target = target};
    struct fuse_entry_out e;
    struct share *s = c->s;
    struct place p;
    int r = place_open(s, c->h.nodeid, &p);

    if (!r)
        r = node_view(s, p.node, &p.view, NULL);
    if (!r) {
        owner_of_new(c, &p.view, mode, &m.want);
        acl_of_new(c, p.fd, umask, &m.want, &m.acl);
        m.want.rdev_major = (rdev & 0xfff00) >> 8; /* new_decode_dev() */
        m.want.rdev_minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
        m.stand_in = owner_needs_stand_in(s, p.node->root, &m.want, &p.view);
        r = make_on_host(s, &p, name, &m);
    }
    if (!r)
        r = finish(s, &p, name, &m);
    if (!r)
        r = look_up(s, p.node, p.fd, name, &e);
    place_close(s, &p);
    return r < 0 ? r : call_put(c, 0, &e, sizeof(e));
}

int op_mknod(struct call *c)
{
    char name[SHARE_NAME_MAX + 1];
    struct fuse_mknod_in in;
    size_t next;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (!r)
        r = call_name(c, HEADER_LEN + sizeof(in), name, &next);
    if (!r && (S_ISDIR(in.mode) || S_ISLNK(in.mode)))
        r = -EINVAL;
    if (!r && !(in.mode & S_IFMT))
        in.mode |= S_IFREG;
    return r < 0 ? r : make(c, name, in.mode & (S_IFMT | 07777u), in.umask, in.rdev, NULL);
}

int op_mkdir(struct call *c)
{
    char name[SHARE_NAME_MAX + 1];
    struct fuse_mkdir_in in;
    size_t next;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (!r)
        r = call_name(c, HEADER_LEN + sizeof(in), name, &next);
    return r < 0 ? r : make(c, name, S_IFDIR | (in.mode & 07777), in.umask, 0, NULL);
}

int op_symlink(struct call *c)
{
    char name[SHARE_NAME_MAX + 1], target[PATH_MAX];
    size_t next;
    int r = call_name(c, HEADER_LEN, name, &next);

    if (!r)
        r = call_text(c, next, target, sizeof(target), &next);
    if (!r && !target[0])
        r = -ENOENT;
    return r < 0 ? r : make(c, name, S_IFLNK | 0777, 0, 0, target);
}

int op_readlink(struct call *c)
{
    struct share *s = c->s;
    struct node *n = node_get(s, c->h.nodeid);
    char target[PATH_MAX + 1];
    ssize_t len = -1;
    int fd, r = n ? node_fd(s, n, &fd) : -ESTALE;

    if (r < 0) {
        node_put(s, n);
        return r;
    }
    if (n->type == S_IFLNK) {
        len = readlinkat(fd, "", target, PATH_MAX);
    } else if (n->type == S_IFREG) { /* a stand-in, or the guest would not ask */
        int real = node_open(s, n, O_RDONLY);

        len = real < 0 ? -1 : pread(real, target, PATH_MAX, 0);
        if (real >= 0)
            close(real);
    } else {
        errno = EINVAL;
    }
    r = len < 0 ? -errno : 0;
    node_fd_put(s, n);
    node_put(s, n);
    return r < 0 ? r : call_put(c, 0, target, (size_t)len);
}

/* ---- Removing and moving -------------------------------------------------------------------- */

/* What is called name, if the guest knows it, keeps its descriptor: the name is about to go. */
static void keep(struct share *s, const struct place *p, const char *name)
{
    struct statx st;
    struct node *n;

    if (stat_in(p->fd, name, &st) < 0)
        return;
    n = node_known(s, p->node->root, &st);
    if (n)
        node_pin(s, n);
    node_put(s, n);
}

static int remove_name(struct call *c, int flags)
{
    char name[SHARE_NAME_MAX + 1];
    struct share *s = c->s;
    struct place p;
    size_t next;
    int r = call_name(c, HEADER_LEN, name, &next);

    if (r < 0)
        return r;
    r = place_open(s, c->h.nodeid, &p);
    if (!r) {
        keep(s, &p, name);
        r = unlinkat(p.fd, name, flags) < 0 ? -errno : 0;
    }
    place_close(s, &p);
    return r;
}

int op_unlink(struct call *c)
{
    return remove_name(c, 0);
}

int op_rmdir(struct call *c)
{
    return remove_name(c, AT_REMOVEDIR);
}

/* name in p leads to something else now: its node learns of it. */
static void moved(struct share *s, const struct place *p, const char *name)
{
    struct statx st;
    struct node *n;

    if (stat_in(p->fd, name, &st) < 0)
        return;
    n = node_known(s, p->node->root, &st);
    if (n)
        node_moved(s, n, p->node, name);
    node_put(s, n);
}

/* A device node as any other of the guest's (owner_needs_stand_in()). */
static int leave_whiteout(const struct call *c, const struct place *from, const char *from_name,
                          const struct place *to, const char *to_name, uint32_t flags)
{
    const struct root *root = from->node->root;
    struct tag want = {.uid = c->h.uid, .gid = c->h.gid, .mode = S_IFCHR};

    if (root->no_tags)
        return -EINVAL;
    if (c->s->ownership == SHARE_MAP) {
        want.uid = c->s->uid;
        want.gid = c->s->gid;
    }
    return rename_to_whiteout(c->s, root, &want, from->fd, from_name, to->fd, to_name,
                              flags & ~(uint32_t)RENAME_WHITEOUT);
}

static int rename_names(struct call *c, uint64_t to_id, uint32_t flags, size_t at)
{
    char from_name[SHARE_NAME_MAX + 1], to_name[SHARE_NAME_MAX + 1];
    struct place from = {.fd = -1}, to = {.fd = -1};
    struct share *s = c->s;
    size_t next;
    int r = call_name(c, at, from_name, &next);

    if (!r)
        r = call_name(c, next, to_name, &next);
    if (!r)
        r = place_open(s, c->h.nodeid, &from);
    if (!r)
        r = place_open(s, to_id, &to);
    if (!r && from.node->root != to.node->root)
        r = -EXDEV; /* even where it is one file system of the host: one may be read-only */
    if (!r) {
        if (!(flags & (RENAME_NOREPLACE | RENAME_EXCHANGE)))
            keep(s, &to, to_name);
        r = flags & RENAME_WHITEOUT ? leave_whiteout(c, &from, from_name, &to, to_name, flags)
            : renameat2(from.fd, from_name, to.fd, to_name, flags) < 0 ? -errno : 0;
    }
    if (!r) {
        moved(s, &to, to_name);
        if (flags & RENAME_EXCHANGE)
            moved(s, &from, from_name);
    }
    place_close(s, &from);
    place_close(s, &to);
    return r;
}

int op_rename(struct call *c)
{
    struct fuse_rename_in in;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    return r < 0 ? r : rename_names(c, in.newdir, 0, HEADER_LEN + sizeof(in));
}

int op_rename2(struct call *c)
{
    struct fuse_rename2_in in;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (!r && (in.flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT)))
        r = -EINVAL;
    if (!r && (in.flags & RENAME_WHITEOUT) && (in.flags & RENAME_EXCHANGE))
        r = -EINVAL;
    return r < 0 ? r : rename_names(c, in.newdir, in.flags, HEADER_LEN + sizeof(in));
}

int op_link(struct call *c)
{
    char name[SHARE_NAME_MAX + 1], path[PROC_PATH_MAX];
    struct share *s = c->s;
    struct fuse_link_in in;
    struct fuse_entry_out e;
    struct node *n = NULL;
    struct place p = {.fd = -1};
    size_t next;
    int fd = -1, r = call_args(c, &in, sizeof(in), sizeof(in));

    if (!r)
        r = call_name(c, HEADER_LEN + sizeof(in), name, &next);
    if (!r)
        r = place_open(s, c->h.nodeid, &p);
    if (!r && !(n = node_get(s, in.oldnodeid)))
        r = -ESTALE;
    if (!r && n->root != p.node->root)
        r = -EXDEV; /* else a file of a read-only directory would get a name that is not */
    if (!r && n->type == S_IFDIR)
        r = -EPERM;
    if (!r)
        r = node_fd(s, n, &fd);
    if (!r) {
        proc_path(path, fd, NULL);
        r = linkat(AT_FDCWD, path, p.fd, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
        node_fd_put(s, n);
    }
    if (!r)
        r = look_up(s, p.node, p.fd, name, &e);
    node_put(s, n);
    place_close(s, &p);
    return r < 0 ? r : call_put(c, 0, &e, sizeof(e));
}
