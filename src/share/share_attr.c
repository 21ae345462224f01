/* SPDX-License-Identifier: MIT */
/* Looking up and forgetting; attributes. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "share/share_impl.h"

#define SETTABLE (FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME)

/* ---- Answers -------------------------------------------------------------------------------- */

/* File systems mounted below the directory have inode numbers of their own: tell them apart by what a
 * number has bits for. */
static uint64_t shown_ino(const struct root *root, const struct statx *st)
{
    uint64_t device = (uint64_t)st->stx_dev_major << 20 ^ st->stx_dev_minor;

    if (!root || (st->stx_dev_major == root->dev_major && st->stx_dev_minor == root->dev_minor))
        return st->stx_ino;
    return st->stx_ino ^ device << 44 ^ UINT64_C(1) << 63;
}

static uint32_t encoded_device(uint32_t major, uint32_t minor)
{
    return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12); /* as Linux' new_encode_dev() */
}

/* A file in memory has no name on the host; the guest's kernel would take it for one that is deleted. */
static uint32_t shown_links(const struct root *root, const struct statx *st)
{
    return root && root->is_text ? 1 : st->stx_nlink;
}

void fill_attr(const struct share *s, const struct root *root, const struct statx *st, struct fuse_attr *ret)
{
    *ret = (struct fuse_attr){
        .ino = shown_ino(root, st), .size = st->stx_size, .blocks = st->stx_blocks,
        .atime = (uint64_t)st->stx_atime.tv_sec, .mtime = (uint64_t)st->stx_mtime.tv_sec,
        .ctime = (uint64_t)st->stx_ctime.tv_sec, .atimensec = st->stx_atime.tv_nsec,
        .mtimensec = st->stx_mtime.tv_nsec, .ctimensec = st->stx_ctime.tv_nsec,
        .mode = st->stx_mode, .nlink = shown_links(root, st), .uid = st->stx_uid, .gid = st->stx_gid,
        .rdev = encoded_device(st->stx_rdev_major, st->stx_rdev_minor), .blksize = st->stx_blksize};
    /* A guest that asks us which: those for which it is worth a piece of the window. */
    if (session_has(s, FUSE_HAS_INODE_DAX) && S_ISREG(st->stx_mode) && st->stx_size >= DAX_FILE_LEAST)
        ret->flags |= FUSE_ATTR_DAX;
}

void fill_entry(struct share *s, struct node *n, struct statx *view, struct fuse_entry_out *ret)
{
    *ret = (struct fuse_entry_out){.nodeid = n->id, .entry_valid = belief_in_name_of(s, n),
                                   .attr_valid = belief_told(s, n, view)};
    fill_attr(s, n->root, view, &ret->attr);
}

/* The folder of folders. */
static void synthetic_view(const struct share *s, struct statx *ret)
{
    *ret = (struct statx){.stx_mask = STATX_BASIC_STATS, .stx_mode = S_IFDIR | 0555, .stx_ino = 1,
                          .stx_nlink = 2 + s->root_count, .stx_blksize = 4096};
    if (s->ownership == SHARE_MAP) {
        ret->stx_uid = s->uid;
        ret->stx_gid = s->gid;
    }
}

/* What is seen of a node, of any kind. */
static int view(struct share *s, struct node *n, struct statx *ret, bool *ret_tagged)
{
    if (n->root)
        return node_view(s, n, ret, ret_tagged);
    synthetic_view(s, ret);
    *ret_tagged = false;
    return 0;
}

/* ---- Lookup --------------------------------------------------------------------------------- */

/* A link of ours has no tag: it belongs to whom its folder does. */
void view_link(struct share *s, struct node *n, struct statx *st)
{
    struct node *parent;
    struct statx dir;

    if (s->ownership != SHARE_MINE || n->type != S_IFLNK || st->stx_uid != s->seen_uid || n->root->no_tags)
        return;
    parent = node_parent(s, n);
    if (parent && !node_view(s, parent, &dir, NULL)) {
        st->stx_uid = dir.stx_uid;
        st->stx_gid = dir.stx_gid;
    }
    node_put(s, parent);
}

int look_up(struct share *s, struct node *parent, int fd, const char *name, struct fuse_entry_out *ret)
{
    char path[PROC_PATH_MAX];
    struct statx st;
    struct node *n;
    bool tagged;
    int r = stat_in(fd, name, &st);

    if (!r)
        r = node_found(s, parent, name, &st, &n);
    if (r < 0)
        return r;
    proc_path(path, fd, name);
    owner_view_node(s, n, path, fd, name, &st, &tagged);
    view_link(s, n, &st);
    if (st.stx_mode & (S_ISUID | S_ISGID))
        n->privileges = true;
    fill_entry(s, n, &st, ret);
    node_put(s, n);
    return 0;
}

int look_up_root(struct share *s, const char *name, struct fuse_entry_out *ret)
{
    struct node *n = NULL;
    struct statx st;
    int r;

    pthread_mutex_lock(&s->lock);
    for (unsigned i = 0; i < s->root_count && !n; i++) {
        if (s->root[i]->name && !strcmp(s->root[i]->name, name)) /* there was more than one once, it may be */
            n = s->root[i]->node;
    }
    if (n) {
        if (!n->lookups++)
            n->refs++;
        n->refs++;
    }
    pthread_mutex_unlock(&s->lock);
    if (!n)
        return -ENOENT;
    r = node_view(s, n, &st, NULL);
    if (!r)
        fill_entry(s, n, &st, ret);
    else
        node_forget(s, n->id, 1);
    node_put(s, n);
    return r;
}

/* "." and "..", which file handles of the guest's ask for. */
static int look_up_self(struct share *s, struct node *n, bool above, struct fuse_entry_out *ret)
{
    struct statx st;
    bool tagged, top;
    int r;

    pthread_mutex_lock(&s->lock);
    if (above && n->parent)
        n = n->parent;
    top = s->single && n == s->root[0]->node;
    if (n->id != FUSE_ROOT_ID && !n->lookups++)
        n->refs++;
    n->refs++;
    pthread_mutex_unlock(&s->lock);
    r = view(s, n, &st, &tagged);
    if (!r)
        fill_entry(s, n, &st, ret);
    else
        node_forget(s, n->id, 1);
    if (top)
        ret->nodeid = FUSE_ROOT_ID;
    node_put(s, n);
    return r;
}

static int name_of_lookup(const struct call *c, char name[SHARE_NAME_MAX + 1], bool *ret_self)
{
    size_t next;
    int r = call_text(c, HEADER_LEN, name, SHARE_NAME_MAX + 1, &next);

    *ret_self = !r && (!strcmp(name, ".") || !strcmp(name, ".."));
    return *ret_self ? 0 : call_name(c, HEADER_LEN, name, &next);
}

int op_lookup(struct call *c)
{
    struct share *s = c->s;
    struct node *parent = node_get(s, c->h.nodeid);
    struct fuse_entry_out e = {0};
    char name[SHARE_NAME_MAX + 1];
    bool self;
    int fd, r = parent ? name_of_lookup(c, name, &self) : -ESTALE;

    if (r < 0) {
        node_put(s, parent);
        return r;
    }
    if (self) {
        r = look_up_self(s, parent, name[1], &e);
    } else if (!parent->root) {
        r = look_up_root(s, name, &e);
    } else {
        r = node_fd(s, parent, &fd);
        if (!r) {
            r = look_up(s, parent, fd, name, &e);
            node_fd_put(s, parent);
        }
    }
    if (r == -ENOENT && belief_in_names(s, parent)) {
        e = (struct fuse_entry_out){.entry_valid = belief_in_names(s, parent)}; /* the guest may remember that, too */
        r = 0;
    }
    node_put(s, parent);
    return r < 0 ? r : call_put(c, 0, &e, sizeof(e));
}

int op_forget(struct call *c)
{
    struct fuse_forget_in in;

    if (!call_args(c, &in, sizeof(in), sizeof(in)))
        node_forget(c->s, c->h.nodeid, in.nlookup);
    return NO_ANSWER;
}

int op_batch_forget(struct call *c)
{
    struct fuse_batch_forget_in in;
    size_t at = HEADER_LEN + sizeof(in);

    if (call_args(c, &in, sizeof(in), sizeof(in)) < 0)
        return NO_ANSWER;
    for (; in.count && at + sizeof(struct fuse_forget_one) <= c->out_len; in.count--) {
        struct fuse_forget_one one;

        iov_read(c->r->out, c->r->out_count, at, &one, sizeof(one));
        node_forget(c->s, one.nodeid, one.nlookup);
        at += sizeof(one);
    }
    return NO_ANSWER;
}

/* ---- Attributes ----------------------------------------------------------------------------- */

/* *ret: a reference. */
static int view_by_id(struct share *s, uint64_t id, struct node **ret, struct statx *ret_view)
{
    struct node *n = node_get(s, id);
    bool tagged;
    int r = n ? view(s, n, ret_view, &tagged) : -ESTALE;

    if (r < 0) {
        node_put(s, n);
        return r;
    }
    view_link(s, n, ret_view);
    *ret = n;
    return 0;
}

static int put_attr(struct call *c, uint32_t (*told)(struct share *s, struct node *n, struct statx *st))
{
    struct fuse_attr_out out = {0};
    struct share *s = c->s;
    struct statx st;
    struct node *n;
    int r = view_by_id(s, c->h.nodeid, &n, &st);

    if (r < 0)
        return r;
    out.attr_valid = told(s, n, &st);
    fill_attr(s, n->root, &st, &out.attr);
    node_put(s, n);
    return call_put(c, 0, &out, sizeof(out));
}

int op_getattr(struct call *c)
{
    return put_attr(c, belief_told);
}

static struct fuse_sx_time sx_time(struct statx_timestamp t)
{
    return (struct fuse_sx_time){.tv_sec = t.tv_sec, .tv_nsec = t.tv_nsec};
}

int op_statx(struct call *c)
{
    struct fuse_statx_out out = {0};
    struct statx st;
    struct node *n;
    int r = view_by_id(c->s, c->h.nodeid, &n, &st);

    if (r < 0)
        return r;
    out.attr_valid = belief_told(c->s, n, &st);
    out.stat = (struct fuse_statx){
        .mask = st.stx_mask & (STATX_BASIC_STATS | STATX_BTIME), .blksize = st.stx_blksize,
        .nlink = shown_links(n->root, &st), .uid = st.stx_uid, .gid = st.stx_gid, .mode = st.stx_mode,
        .ino = shown_ino(n->root, &st), .size = st.stx_size, .blocks = st.stx_blocks,
        .atime = sx_time(st.stx_atime), .btime = sx_time(st.stx_btime), .ctime = sx_time(st.stx_ctime),
        .mtime = sx_time(st.stx_mtime), .rdev_major = st.stx_rdev_major,
        .rdev_minor = st.stx_rdev_minor};
    node_put(c->s, n);
    return call_put(c, 0, &out, sizeof(out));
}

static int set_size(struct share *s, struct node *n, const struct fuse_setattr_in *in)
{
    struct handle *h = in->valid & FATTR_FH ? handle_get(s, in->fh) : NULL;
    struct statx st;
    int fd, r;

    if (h && !h->is_dir && h->node == n && (h->flags & O_ACCMODE) != O_RDONLY) {
        r = ftruncate(h->fd, (off_t)in->size) < 0 ? -errno : 0;
        handle_put(s, h);
        return r;
    }
    handle_put(s, h);
    if (n->type != S_IFREG)
        return n->type == S_IFDIR ? -EISDIR : -EINVAL;
    fd = node_open(s, n, O_WRONLY);
    if (fd < 0)
        return fd;
    if (!stat_fd(fd, &st) && node_was_removed(s, n, &st))
        r = -ESTALE;
    else
        r = ftruncate(fd, (off_t)in->size) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static struct timespec time_to_set(uint32_t valid, uint32_t set, uint32_t now, uint64_t sec, uint32_t nsec)
{
    if (!(valid & set))
        return (struct timespec){.tv_nsec = UTIME_OMIT};
    if (valid & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return (struct timespec){.tv_sec = (time_t)sec, .tv_nsec = MIN(nsec, 999999999u)};
}

static int set_times(const char *path, const struct fuse_setattr_in *in)
{
    const struct timespec t[2] = {
        time_to_set(in->valid, FATTR_ATIME, FATTR_ATIME_NOW, in->atime, in->atimensec),
        time_to_set(in->valid, FATTR_MTIME, FATTR_MTIME_NOW, in->mtime, in->mtimensec)};

    return utimensat(AT_FDCWD, path, t, 0) < 0 ? -errno : 0;
}

/* Nothing is to change but the time of change. Where it cannot, nothing is the matter. A chown() would take set-ID
 * bits, of FIFOs, too, and capabilities of the host's; a chmod() takes the one bit of a group that is not ours. */
static void touch(const struct share *s, int fd, const struct statx *host)
{
    char path[PROC_PATH_MAX];
    int r = 0;

    proc_path(path, fd, NULL);
    if (S_ISLNK(host->stx_mode) || S_ISDIR(host->stx_mode))
        r = fchownat(fd, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH);
    else if (!(host->stx_mode & S_ISGID) || host->stx_gid == s->self_gid || !s->self_uid)
        r = chmod(path, host->stx_mode & 07777);
    (void)r;
}

/* Owner and mode, as they are to be. */
static int set_owner(struct share *s, struct node *n, int fd, const struct fuse_setattr_in *in)
{
    char path[PROC_PATH_MAX];
    struct statx now, host;
    struct tag want;
    bool tagged;
    int denied, r = node_view(s, n, &now, &tagged);

    if (!r)
        r = stat_fd(fd, &host);
    if (r < 0)
        return r;
    view_link(s, n, &now);
    want = (struct tag){.uid = in->valid & FATTR_UID ? in->uid : now.stx_uid,
                        .gid = in->valid & FATTR_GID ? in->gid : now.stx_gid, .mode = now.stx_mode,
                        .rdev_major = now.stx_rdev_major, .rdev_minor = now.stx_rdev_minor};
    if (in->valid & FATTR_MODE)
        want.mode = (now.stx_mode & (unsigned)S_IFMT) | (in->mode & 07777);
    else if (!S_ISDIR(now.stx_mode)) /* another owner: what it was trusted with is over */
        want.mode &= want.mode & S_IXGRP ? ~(mode_t)(S_ISUID | S_ISGID) : ~(mode_t)S_ISUID;
    if (want.uid == now.stx_uid && want.gid == now.stx_gid && want.mode == now.stx_mode) {
        touch(s, fd, &host);
        return 0;
    }
    if (n->type == S_IFLNK && s->ownership == SHARE_MINE && !n->root->no_tags)
        return link_give_to(s, n, fd, &host, &want);
    if (want.mode & (S_ISUID | S_ISGID))
        n->privileges = true;
    proc_path(path, fd, NULL);
    r = in->valid & FATTR_MODE && session_has(s, FUSE_POSIX_ACL) ? acl_follow_mode(path, want.mode) : 0;
    if (r < 0 && r != -EACCES)
        return r;
    denied = r; /* by the mode as it was: as it will be, it may not; else by a tag */
    r = owner_change(s, n->root, path, &host, tagged, &want);
    if (r < 0 || !denied)
        return r;
    r = acl_follow_mode(path, want.mode);
    if (r == -EACCES && !owner_open_up(s, n->root, path))
        r = acl_follow_mode(path, want.mode);
    return r;
}

int set_permissions(struct share *s, struct node *n, int fd, mode_t permissions, bool no_sgid)
{
    struct fuse_setattr_in in = {.valid = FATTR_MODE};
    struct statx now;
    int r = node_view(s, n, &now, NULL);

    in.mode = (now.stx_mode & 07000u & ~(no_sgid ? (unsigned)S_ISGID : 0)) | permissions;
    if (!r)
        r = set_owner(s, n, fd, &in);
    owner_tag_changed(s, n);
    return r;
}

/* A chown() that names nobody is a request without anything to set, and takes set-ID bits from a file of the
 * caller's. A write by somebody else makes the same request before it says itself what it takes. */
static bool is_for_nothing(const struct call *c, struct node *n, const struct fuse_setattr_in *in)
{
    struct statx now;

    if ((in->valid & SETTABLE) || !c->h.uid)
        return false;
    return node_view(c->s, n, &now, NULL) < 0 ||
           (c->h.uid != now.stx_uid && !S_ISDIR(now.stx_mode) && (now.stx_mode & (S_ISUID | S_ISGID)));
}

static int set_all(struct share *s, struct node *n, const struct fuse_setattr_in *in)
{
    char path[PROC_PATH_MAX];
    struct hold hold;
    int r = node_hold(s, n, &hold);

    if (r < 0)
        return r;
    proc_path(path, hold.fd, NULL);
    if ((in->valid & (FATTR_MODE | FATTR_UID | FATTR_GID)) || !(in->valid & SETTABLE))
        r = set_owner(s, n, hold.fd, in);
    if (!r && (in->valid & (FATTR_UID | FATTR_GID)))
        r = owner_drop_privileges(s, n, false);
    if (!r && (in->valid & FATTR_SIZE))
        r = set_size(s, n, in);
    if (!r && (in->valid & FATTR_SIZE))
        r = owner_drop_privileges(s, n, in->valid & FATTR_KILL_SUIDGID);
    if (!r && (in->valid & (FATTR_ATIME | FATTR_MTIME)))
        r = set_times(path, in);
    owner_tag_changed(s, n);
    node_let_go(s, n, &hold);
    return r;
}

int op_setattr(struct call *c)
{
    struct fuse_setattr_in in;
    struct share *s = c->s;
    struct node *n;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (r < 0)
        return r;
    n = node_get(s, c->h.nodeid);
    if (!n)
        r = -ESTALE;
    else if (!n->root)
        r = -EPERM;
    else if (n->root->read_only)
        r = -EROFS;
    else if (!is_for_nothing(c, n, &in))
        r = set_all(s, n, &in);
    node_put(s, n);
    return r < 0 ? r : put_attr(c, belief_told_of_change);
}

/* ---- The rest ------------------------------------------------------------------------------- */

/* The guest's kernel decides by what attributes say; what the host forbids shows when it is done. */
int op_access(struct call *c)
{
    struct fuse_access_in in;
    struct node *n = node_get(c->s, c->h.nodeid);
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (!n)
        r = -ESTALE;
    else if (!r && (in.mask & W_OK) && (!n->root || n->root->read_only))
        r = -EROFS;
    node_put(c->s, n);
    return r;
}

int op_statfs(struct call *c)
{
    struct fuse_statfs_out out = {.st = {.bsize = 4096, .frsize = 4096, .namelen = SHARE_NAME_MAX}};
    struct node *n = node_get(c->s, c->h.nodeid);
    struct statvfs v;
    int fd, r = n ? 0 : -ESTALE;

    if (!r && n->root)
        r = node_fd(c->s, n, &fd);
    if (!r && n->root) {
        r = fstatvfs(fd, &v) < 0 ? -errno : 0;
        node_fd_put(c->s, n);
    }
    if (!r && n->root)
        out.st = (struct fuse_kstatfs){
            .blocks = v.f_blocks, .bfree = v.f_bfree, .bavail = v.f_bavail, .files = v.f_files,
            .ffree = v.f_ffree, .bsize = (uint32_t)v.f_bsize, .namelen = (uint32_t)v.f_namemax,
            .frsize = (uint32_t)v.f_frsize};
    node_put(c->s, n);
    return r < 0 ? r : call_put(c, 0, &out, sizeof(out));
}
