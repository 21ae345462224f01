/* SPDX-License-Identifier: MIT */
/* Open files. Data goes between the guest's memory and the file without a copy of ours. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "share/share_impl.h"

/* What a guest's open() may ask of the host's. O_DIRECT goes around the guest's cache only: the host's
 * demands on alignment are not those that a driver's buffers keep. O_APPEND is each write's (write_flags()). */
#define OPEN_FLAGS (O_ACCMODE | O_TRUNC | O_SYNC | O_DSYNC)
#define IOVS_MAX   (SHARE_DATA_MAX / 4096u + 8)

/* Is it the host that finds the end of the file? With a write-back cache the guest knows where that is. */
static bool appends(const struct share *s, uint32_t asked)
{
    return (asked & O_APPEND) && !session_has(s, FUSE_WRITEBACK_CACHE);
}

/* With a write-back cache the guest reads the pages that it writes parts of. */
static int host_flags(const struct share *s, uint32_t asked)
{
    int flags = (int)asked & OPEN_FLAGS;

    if (session_has(s, FUSE_WRITEBACK_CACHE) && (flags & O_ACCMODE) == O_WRONLY)
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    return flags;
}

/* May the guest keep what it has cached of the file, of which the host says st (NULL: nothing)? While the host may
 * still write to it in the same tick of its clock the time of change does not tell, so not then. */
static uint32_t caching_flags(struct share *s, struct node *n, const struct statx *st)
{
    struct timespec now;
    bool keep;

    if (s->caching == SHARE_CACHE_ALWAYS)
        return FOPEN_KEEP_CACHE;
    if (s->caching == SHARE_CACHE_NEVER)
        return session_has(s, FUSE_DIRECT_IO_ALLOW_MMAP) ? FOPEN_DIRECT_IO : 0;
    if (!st)
        return 0;
    clock_gettime(CLOCK_REALTIME, &now);
    pthread_mutex_lock(&s->lock);
    keep = n->settled && is_stamp_of(&n->seen, st);
    n->seen = stamp_of(st);
    n->settled = st->stx_mtime.tv_sec + 1 < now.tv_sec;
    pthread_mutex_unlock(&s->lock);
    return keep ? FOPEN_KEEP_CACHE : 0;
}

static bool writes(uint32_t flags)
{
    return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
}

static int open_out(struct share *s, struct node *n, int fd, int flags, const struct statx *st,
                    struct fuse_open_out *ret)
{
    *ret = (struct fuse_open_out){.open_flags = caching_flags(s, n, st)};
    return handle_new(s, n, fd, flags, false, &ret->fh);
}

/* The user who runs this owns the file, but its mode keeps even its owner off, as a guest's root is not:
 * what the guest is shown stays, by a tag. */
static int open_up(struct share *s, struct node *n, int flags)
{
    char path[PROC_PATH_MAX];
    int fd, r;

    if (n->type != S_IFREG)
        return -EACCES;
    r = node_fd(s, n, &fd);
    if (r < 0)
        return r;
    proc_path(path, fd, NULL);
    r = owner_open_up(s, n->root, path);
    owner_tag_changed(s, n);
    node_fd_put(s, n);
    return r < 0 ? r : node_open(s, n, flags);
}

int file_open(struct share *s, struct node *n, int flags)
{
    int fd;

    if (!n->root || n->type == S_IFDIR)
        return -EISDIR;
    if (n->root->read_only) {
        if (writes((uint32_t)flags))
            return -EROFS;
        flags |= O_NOATIME;
    }
    fd = node_open(s, n, flags);
    if (fd == -EPERM && (flags & O_NOATIME))
        fd = node_open(s, n, flags & ~O_NOATIME); /* not ours to ask for */
    return fd == -EACCES ? open_up(s, n, flags) : fd;
}

/* Before it is cut: others may still have it open. */
static bool is_removed(struct share *s, struct node *n)
{
    struct statx st;
    bool removed;
    int fd;

    if (node_fd(s, n, &fd) < 0)
        return false; /* whoever opens it hears why */
    removed = !stat_fd(fd, &st) && node_was_removed(s, n, &st);
    node_fd_put(s, n);
    return removed;
}

/* What may only be appended to on the host (chattr +a) is opened only by who says so, and stays so; *flags are then. */
static int open_as_asked(struct share *s, struct node *n, uint32_t asked, int *flags)
{
    int fd = file_open(s, n, *flags);

    if (fd != -EPERM || !appends(s, asked))
        return fd;
    *flags |= O_APPEND;
    return file_open(s, n, *flags);
}

static int open_node(struct share *s, struct node *n, uint32_t asked, struct fuse_open_out *ret)
{
    int flags = host_flags(s, asked), fd;
    struct statx st;
    bool looked;

    fd = (flags & O_TRUNC) && is_removed(s, n) ? -ESTALE : open_as_asked(s, n, asked, &flags);
    if (fd < 0)
        return fd;
    looked = s->caching == SHARE_CACHE_AUTO && !stat_fd(fd, &st);
    /* Who finds another's journal, say, which was removed when all was done, would undo that. */
    if (looked && node_was_removed(s, n, &st)) {
        close(fd);
        return -ESTALE;
    }
    dax_opened(s, n);
    return open_out(s, n, fd, flags, looked ? &st : NULL, ret);
}

int op_open(struct call *c)
{
    struct fuse_open_in in;
    struct fuse_open_out out;
    struct share *s = c->s;
    struct node *n;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (r < 0)
        return r;
    n = node_get(s, c->h.nodeid);
    r = n ? open_node(s, n, in.flags, &out) : -ESTALE;
    if (!r && (in.flags & O_TRUNC)) {
        belief_ends(s, n);
        r = owner_drop_privileges(s, n, in.open_flags & FUSE_OPEN_KILL_SUIDGID);
    }
    node_put(s, n);
    return r < 0 ? r : call_put(c, 0, &out, sizeof(out));
}

/* ---- Making --------------------------------------------------------------------------------- */

struct creation {
    struct fuse_create_in in;
    char name[SHARE_NAME_MAX + 1];
    struct node *parent;
    int fd;      /* of parent */
    int file;    /* made; -1: it was there */
    struct statx st; /* what the host says of it */
    struct tag want;
    struct acl acl;
};

static int give_acl(const struct share *s, struct creation *k)
{
    char path[PROC_PATH_MAX];

    proc_path(path, k->file, NULL);
    return acl_give(s, k->parent->root, path, &k->want, &k->acl);
}

/* The host's file, as it was made, is what the guest is to see: it has neither a tag nor a list. */
static bool is_as_made(const struct share *s, const struct creation *k)
{
    return !k->acl.len && owner_is_plain(s, &k->st, &k->want);
}

static int create_file(struct share *s, struct creation *k, bool unnamed)
{
    int flags = host_flags(s, k->in.flags) | O_CLOEXEC | O_NOFOLLOW;
    int r;

    if (unnamed)
        k->file = openat(k->fd, ".", flags | O_TMPFILE | ((int)k->in.flags & O_EXCL), owner_host_mode(s, &k->want));
    else
        k->file = openat(k->fd, k->name, flags | O_CREAT | O_EXCL, owner_host_mode(s, &k->want));
    if (k->file < 0)
        return errno == EEXIST && !(k->in.flags & O_EXCL) ? 0 : -errno;
    r = stat_fd(k->file, &k->st);
    if (!r)
        r = owner_made(s, k->parent->root, k->file, &k->want, &k->st);
    if (!r)
        r = give_acl(s, k);
    if (!r && !is_as_made(s, k))
        r = stat_fd(k->file, &k->st);
    if (r < 0 && !unnamed)
        unlinkat(k->fd, k->name, 0);
    return r;
}

/* A file without a name is found by its descriptor only. */
static int adopt(struct share *s, struct node *n, int file)
{
    char path[PROC_PATH_MAX];
    int fd;

    proc_path(path, file, NULL);
    fd = open(path, O_PATH | O_CLOEXEC);
    return fd < 0 ? -errno : node_adopt(s, n, fd);
}

/* The entry of what was made, which needs no look at its name: that may be another file's by now, as after any
 * open(). */
static int enter_made(struct share *s, struct creation *k, bool unnamed, struct fuse_entry_out *ret)
{
    struct statx st = k->st;
    struct node *n;
    int r = node_found(s, k->parent, k->name, &st, &n);

    if (r < 0)
        return r;
    if (unnamed)
        r = adopt(s, n, k->file);
    if (is_as_made(s, k)) {
        owner_view_plain(s, &st);
    } else {
        char path[PROC_PATH_MAX];

        proc_path(path, k->file, NULL);
        owner_view(s, k->parent->root, path, &st, NULL);
    }
    if (st.stx_mode & (S_ISUID | S_ISGID))
        n->privileges = true;
    fill_entry(s, n, &st, ret);
    if (r < 0)
        node_forget(s, n->id, 1);
    node_put(s, n);
    return r;
}

static int create_node(struct share *s, struct creation *k, bool unnamed, struct fuse_entry_out *entry,
                       struct fuse_open_out *open)
{
    struct node *n;
    int r = create_file(s, k, unnamed);

    if (!r)
        r = k->file >= 0 ? enter_made(s, k, unnamed, entry) : look_up(s, k->parent, k->fd, k->name, entry);
    n = r < 0 ? NULL : node_get(s, entry->nodeid);
    if (!r && !n)
        r = -ESTALE;
    if (!r && k->file >= 0) {
        r = open_out(s, n, k->file, host_flags(s, k->in.flags), &k->st, open);
        k->file = -1; /* the handle's */
    } else if (!r) {
        r = open_node(s, n, k->in.flags, open);
    }
    if (r < 0 && n)
        node_forget(s, n->id, 1);
    if (k->file >= 0)
        close(k->file);
    node_put(s, n);
    return r;
}

static int create(struct call *c, bool unnamed)
{
    struct creation k = {.file = -1}; /* with a list: 8 KiB */
    struct fuse_entry_out entry;
    struct fuse_open_out out;
    struct share *s = c->s;
    struct statx dir;
    size_t next;
    int r = call_args(c, &k.in, sizeof(k.in), sizeof(k.in));

    if (!r && !unnamed) /* Linux sends "/" for a file that has no name */
        r = call_name(c, HEADER_LEN + sizeof(k.in), k.name, &next);
    if (!r && !(k.parent = node_get(s, c->h.nodeid)))
        r = -ESTALE;
    if (!r && (!k.parent->root || k.parent->root->read_only))
        r = k.parent->root ? -EROFS : -EPERM;
    if (!r)
        r = node_view(s, k.parent, &dir, NULL);
    if (!r)
        r = node_fd(s, k.parent, &k.fd);
    if (!r) {
        owner_of_new(c, &dir, S_IFREG | (k.in.mode & 07777), &k.want);
        acl_of_new(c, k.fd, k.in.umask, &k.want, &k.acl);
        r = create_node(s, &k, unnamed, &entry, &out);
        node_fd_put(s, k.parent);
    }
    node_put(s, k.parent);
    if (!r)
        r = call_put(c, 0, &entry, sizeof(entry));
    return r < 0 ? r : call_put(c, sizeof(entry), &out, sizeof(out));
}

int op_create(struct call *c)
{
    return create(c, false);
}

int op_tmpfile(struct call *c)
{
    return create(c, true);
}

/* ---- Data ----------------------------------------------------------------------------------- */

/* The arguments of a request, which begin with a handle's number; *ret: a reference to that. */
static int args_of_handle(struct call *c, void *args, size_t len, struct handle *(*get)(struct share *s, uint64_t fh),
                          struct handle **ret)
{
    uint64_t fh;
    int r = call_args(c, args, len, len);

    if (r < 0)
        return r;
    memcpy(&fh, args, sizeof(fh));
    *ret = get(c->s, fh);
    return *ret ? 0 : handle_missing(c->s, fh);
}

int op_read(struct call *c)
{
    struct iovec iov[IOVS_MAX];
    struct fuse_read_in in;
    struct handle *h;
    unsigned count;
    ssize_t n = 0;
    int r = args_of_handle(c, &in, sizeof(in), handle_get_file, &h);

    if (r < 0)
        return r;
    count = iov_slice(c->r->in, c->r->in_count, sizeof(struct fuse_out_header),
                      MIN(MIN(in.size, SHARE_DATA_MAX), c->in_len), iov, IOVS_MAX);
    if (count)
        n = preadv(h->fd, iov, (int)count, (off_t)in.offset);
    r = n < 0 ? -errno : (int)n;
    handle_put(c->s, h);
    return r;
}

/* Of this write: its file may have been told otherwise (F_SETFL) since it was opened, and what a mapping has written
 * has a place of its own by whichever file it comes. */
static int write_flags(const struct share *s, const struct fuse_write_in *in)
{
    const int asked = (int)in->flags;
    int flags = (asked & O_SYNC) == O_SYNC ? RWF_SYNC : asked & O_DSYNC ? RWF_DSYNC : 0;

    if (!(in->write_flags & FUSE_WRITE_CACHE) && appends(s, in->flags))
        flags |= RWF_APPEND;
    return flags;
}

int op_write(struct call *c)
{
    struct iovec iov[IOVS_MAX];
    struct fuse_write_out out = {0};
    struct fuse_write_in in;
    struct handle *h;
    unsigned count;
    ssize_t n = 0;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (r < 0)
        return r;
    /* An offset of -1 would be wherever the descriptor is. */
    if (in.size > SHARE_DATA_MAX || in.offset > INT64_MAX || c->out_len - HEADER_LEN - sizeof(in) < in.size)
        return -EINVAL;
    h = handle_get_file(c->s, in.fh);
    if (!h)
        return handle_missing(c->s, in.fh);
    count = iov_slice(c->r->out, c->r->out_count, HEADER_LEN + sizeof(in), in.size, iov, IOVS_MAX);
    if ((h->flags & O_APPEND) && (in.write_flags & FUSE_WRITE_CACHE))
        r = -EPERM; /* it would be appended: no such file is mapped to be written on the host either */
    if (!r)
        r = owner_drop_privileges(c->s, h->node, in.write_flags & FUSE_WRITE_KILL_SUIDGID);
    if (!r && count)
        n = pwritev2(h->fd, iov, (int)count, (off_t)in.offset, write_flags(c->s, &in));
    if (n < 0)
        r = -errno;
    else if (n && !(in.write_flags & FUSE_WRITE_CACHE)) /* what a mapping has written says nothing of others */
        belief_ends(c->s, h->node);
    handle_put(c->s, h);
    out.size = (uint32_t)n;
    return r < 0 ? r : call_put(c, 0, &out, sizeof(out));
}

int op_flush(struct call *c)
{
    struct fuse_flush_in in;
    struct handle *h;
    int r = args_of_handle(c, &in, sizeof(in), handle_get, &h);

    if (r < 0)
        return r;
    locks_drop(c->s, h->node, &in.lock_owner);
    handle_put(c->s, h);
    return 0;
}

int op_release(struct call *c)
{
    struct fuse_release_in in;
    struct handle *h;
    int r = args_of_handle(c, &in, sizeof(in), handle_get, &h);

    if (r < 0)
        return r;
    if (in.release_flags & FUSE_RELEASE_FLUSH)
        locks_drop(c->s, h->node, &in.lock_owner);
    locks_drop_of_file(c->s, h);
    handle_close(c->s, in.fh);
    handle_put(c->s, h);
    return 0;
}

int op_fsync(struct call *c)
{
    struct fuse_fsync_in in;
    struct handle *h;
    int r = args_of_handle(c, &in, sizeof(in), handle_get, &h);

    if (r < 0)
        return r;
    r = (in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd)) < 0 ? -errno : 0;
    if (dax_lost(c->s, h->node) && !r)
        r = -EIO;
    handle_put(c->s, h);
    return r;
}

/* There a hole is already, and the host's file stays as it is, its times too: the guest's agent tells those who
 * watch a file that it changed by such a call (agent/work_watch.c). Nearer to a file's end there may be room that
 * was set aside, which the guest wants to give back. */
static bool is_nowhere(int fd, const struct fuse_fallocate_in *in)
{
    struct stat st;

    return in->mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) && in->offset == UINT64_C(1) << 60 &&
           fstat(fd, &st) == 0 && in->offset >= (uint64_t)st.st_size;
}

int op_fallocate(struct call *c)
{
    struct fuse_fallocate_in in;
    struct handle *h;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (r < 0)
        return r;
    if (in.mode & ~(uint32_t)(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        return -EOPNOTSUPP;
    h = handle_get_file(c->s, in.fh);
    if (!h)
        return handle_missing(c->s, in.fh);
    if (is_nowhere(h->fd, &in)) {
        handle_put(c->s, h);
        return 0;
    }
    r = owner_drop_privileges(c->s, h->node, true);
    if (!r && fallocate(h->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) < 0)
        r = -errno;
    if (!r)
        belief_ends(c->s, h->node);
    handle_put(c->s, h);
    return r;
}

int op_lseek(struct call *c)
{
    struct fuse_lseek_out out;
    struct fuse_lseek_in in;
    struct handle *h;
    off_t at;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (r < 0)
        return r;
    if (in.whence != SEEK_DATA && in.whence != SEEK_HOLE)
        return -EINVAL; /* the others are the guest's kernel's */
    h = handle_get_file(c->s, in.fh);
    if (!h)
        return handle_missing(c->s, in.fh);
    at = lseek(h->fd, (off_t)in.offset, (int)in.whence);
    r = at < 0 ? -errno : 0;
    handle_put(c->s, h);
    out.offset = (uint64_t)at;
    return r < 0 ? r : call_put(c, 0, &out, sizeof(out));
}

int op_copy_file_range(struct call *c)
{
    struct fuse_copy_file_range_in in;
    struct fuse_write_out out;
    struct handle *from, *to;
    loff_t from_at, to_at;
    ssize_t n = 0;
    int r = call_args(c, &in, sizeof(in), sizeof(in));

    if (r < 0)
        return r;
    from = handle_get_file(c->s, in.fh_in);
    to = handle_get_file(c->s, in.fh_out);
    r = from && to ? owner_drop_privileges(c->s, to->node, true) : handle_missing(c->s, from ? in.fh_out : in.fh_in);
    if (!r) {
        from_at = (loff_t)in.off_in;
        to_at = (loff_t)in.off_out;
        n = copy_file_range(from->fd, &from_at, to->fd, &to_at, MIN(in.len, GIB), 0);
        r = n < 0 ? -errno : 0;
    }
    if (!r && n)
        belief_ends(c->s, to->node);
    handle_put(c->s, from);
    handle_put(c->s, to);
    out = (struct fuse_write_out){.size = (uint32_t)n};
    return r < 0 ? r : call_put(c, 0, &out, sizeof(out));
}

int op_syncfs(struct call *c)
{
    struct node *n = node_get(c->s, c->h.nodeid);
    int fd, r = n ? 0 : -ESTALE;

    if (!r && n->root) {
        fd = node_open(c->s, n, O_RDONLY);
        r = fd < 0 ? fd : syncfs(fd) < 0 ? -errno : 0;
        if (fd >= 0)
            close(fd);
    }
    node_put(c->s, n);
    return r;
}
