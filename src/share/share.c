/* SPDX-License-Identifier: MIT */
/* Requests: taken apart, checked, served, answered. See share.h. */
#include "share/share.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.h"
#include "base/thread.h"
#include "mem/mem_window.h"
#include "share/share_impl.h"

#define THREADS    8u
#define NODES      1000000u
#define FDS_LEAST  16u
#define HANDLES_MAX 65536u
#define FDS_MAX    65536u
#define MINOR      38u /* of the protocol's version 7 */
#define MINOR_OLDEST 31u

/* ---- Parts of a request --------------------------------------------------------------------- */

int call_args(const struct call *c, void *ret, size_t len, size_t min)
{
    size_t have = c->out_len - HEADER_LEN;

    if (have < min)
        return -EINVAL;
    memset(ret, 0, len);
    iov_read(c->r->out, c->r->out_count, HEADER_LEN, ret, MIN(len, have));
    return 0;
}

int call_text(const struct call *c, size_t off, char *ret, size_t len, size_t *ret_next)
{
    size_t have = off < c->out_len ? MIN(c->out_len - off, len) : 0, end;

    iov_read(c->r->out, c->r->out_count, off, ret, have);
    end = strnlen(ret, have);
    if (end == have)
        return have == len ? -ENAMETOOLONG : -EINVAL; /* it does not end */
    *ret_next = off + end + 1;
    return 0;
}

int call_name(const struct call *c, size_t off, char ret[SHARE_NAME_MAX + 1], size_t *ret_next)
{
    int r = call_text(c, off, ret, SHARE_NAME_MAX + 1, ret_next);

    if (r < 0)
        return r;
    return ret[0] && strcmp(ret, ".") && strcmp(ret, "..") && !strchr(ret, '/') ? 0 : -EINVAL;
}

int call_put(const struct call *c, size_t off, const void *data, size_t len)
{
    if (off > c->in_len || len > c->in_len - off)
        return -EINVAL;
    iov_write(c->r->in, c->r->in_count, sizeof(struct fuse_out_header) + off, data, len);
    return (int)(off + len);
}

/* ---- The session ---------------------------------------------------------------------------- */

/* Lists of access come with a mask that is ours to lay over modes, since a folder's list is there instead. Kernels
 * before 5.12, which know no FUSE_SETXATTR_EXT, do not say when a list takes a set-group-ID bit: they have none. */
#define ACL_FLAGS ((uint64_t)(FUSE_POSIX_ACL | FUSE_DONT_MASK))

static uint64_t consistent(uint64_t flags)
{
    bool lists = (flags & ACL_FLAGS) == ACL_FLAGS && (flags & FUSE_SETXATTR_EXT);

    return lists ? flags : flags & ~ACL_FLAGS;
}

static uint64_t wanted_flags(const struct share *s)
{
    uint64_t flags = FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT |
                     FUSE_BIG_WRITES | FUSE_FLOCK_LOCKS | FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS |
                     FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_ABORT_ERROR |
                     FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT |
                     FUSE_INIT_EXT;

    if (s->ownership != SHARE_MAP)
        flags |= ACL_FLAGS;
    if (s->caching == SHARE_CACHE_ALWAYS) /* size and times are the guest's then: nobody else writes */
        flags |= FUSE_WRITEBACK_CACHE;
    if (s->caching == SHARE_CACHE_NEVER)
        flags |= FUSE_DIRECT_IO_ALLOW_MMAP;
    if (s->dax)
        flags |= FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX;
    return flags;
}

static void session_set(struct share *s, uint64_t flags, uint32_t minor)
{
    pthread_mutex_lock(&s->lock);
    __atomic_store_n(&s->session.flags, flags, __ATOMIC_RELAXED);
    __atomic_store_n(&s->session.minor, minor, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&s->lock);
}

static int op_init(struct call *c)
{
    struct share *s = c->s;
    struct fuse_init_in in;
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION, .minor = MINOR};
    uint64_t flags;
    int r = call_args(c, &in, sizeof(in), 16);

    if (r < 0)
        return r;
    if (in.major > FUSE_KERNEL_VERSION) /* it will ask again, for ours */
        return call_put(c, 0, &out, sizeof(out));
    if (in.major < FUSE_KERNEL_VERSION || in.minor < MINOR_OLDEST)
        return -EPROTO;
    share_reset(s); /* whoever had it mounted before does not any more */
    flags = in.flags;
    if (flags & FUSE_INIT_EXT)
        flags |= (uint64_t)in.flags2 << 32;
    flags = consistent(flags & wanted_flags(s));
    session_set(s, flags, MIN(in.minor, MINOR));
    out.flags = (uint32_t)flags;
    out.flags2 = (uint32_t)(flags >> 32);
    out.max_readahead = in.max_readahead;
    out.max_background = 128;
    out.congestion_threshold = 96;
    out.max_write = SHARE_DATA_MAX;
    out.max_pages = SHARE_DATA_MAX / 4096;
    out.time_gran = 1;
    if (flags & FUSE_MAP_ALIGNMENT)
        out.map_alignment = (uint16_t)__builtin_ctzll(MEM_WINDOW_PIECE);
    return call_put(c, 0, &out, sizeof(out));
}

static int op_destroy(struct call *c)
{
    share_reset(c->s);
    return 0;
}

/* The driver of Linux sends none; another may. */
static int op_interrupt(struct call *c)
{
    struct fuse_interrupt_in in;

    if (!call_args(c, &in, sizeof(in), sizeof(in)) && c->s->pool)
        pool_interrupt(c->s->pool, in.unique);
    return NO_ANSWER;
}

/* ---- Serving -------------------------------------------------------------------------------- */

static operation *const operations[] = {
    [FUSE_LOOKUP] = op_lookup, [FUSE_FORGET] = op_forget, [FUSE_GETATTR] = op_getattr,
    [FUSE_SETATTR] = op_setattr, [FUSE_READLINK] = op_readlink, [FUSE_SYMLINK] = op_symlink,
    [FUSE_MKNOD] = op_mknod, [FUSE_MKDIR] = op_mkdir, [FUSE_UNLINK] = op_unlink,
    [FUSE_RMDIR] = op_rmdir, [FUSE_RENAME] = op_rename, [FUSE_LINK] = op_link, [FUSE_OPEN] = op_open,
    [FUSE_READ] = op_read, [FUSE_WRITE] = op_write, [FUSE_STATFS] = op_statfs,
    [FUSE_RELEASE] = op_release, [FUSE_FSYNC] = op_fsync, [FUSE_SETXATTR] = op_setxattr,
    [FUSE_GETXATTR] = op_getxattr, [FUSE_LISTXATTR] = op_listxattr,
    [FUSE_REMOVEXATTR] = op_removexattr, [FUSE_FLUSH] = op_flush, [FUSE_INIT] = op_init,
    [FUSE_OPENDIR] = op_opendir, [FUSE_READDIR] = op_readdir, [FUSE_RELEASEDIR] = op_releasedir,
    [FUSE_FSYNCDIR] = op_fsyncdir, [FUSE_GETLK] = op_getlk, [FUSE_SETLK] = op_setlk,
    [FUSE_SETLKW] = op_setlkw, [FUSE_ACCESS] = op_access, [FUSE_CREATE] = op_create,
    [FUSE_INTERRUPT] = op_interrupt, [FUSE_DESTROY] = op_destroy,
    [FUSE_BATCH_FORGET] = op_batch_forget, [FUSE_FALLOCATE] = op_fallocate,
    [FUSE_READDIRPLUS] = op_readdirplus, [FUSE_RENAME2] = op_rename2, [FUSE_LSEEK] = op_lseek,
    [FUSE_COPY_FILE_RANGE] = op_copy_file_range, [FUSE_SYNCFS] = op_syncfs,
    [FUSE_TMPFILE] = op_tmpfile, [FUSE_STATX] = op_statx, [FUSE_SETUPMAPPING] = op_setupmapping,
    [FUSE_REMOVEMAPPING] = op_removemapping,
};

static int dispatch(struct call *c)
{
    operation *op = c->h.opcode < ARRAY_SIZE(operations) ? operations[c->h.opcode] : NULL;

    if (!op)
        return -ENOSYS;
    if (!__atomic_load_n(&c->s->session.minor, __ATOMIC_RELAXED) && op != op_init)
        return op == op_forget || op == op_batch_forget ? NO_ANSWER : -EIO;
    return is_telling(c) ? told(c, op) : op(c);
}

/* The length in the answer's header is that of all that was written, also after an error. */
static size_t answer(const struct share_request *r, uint64_t unique, int result)
{
    struct fuse_out_header h = {.len = sizeof(h), .unique = unique};

    if (result < 0)
        h.error = result;
    else
        h.len += (uint32_t)result;
    return iov_write(r->in, r->in_count, 0, &h, sizeof(h)) == sizeof(h) ? h.len : 0;
}

bool share_serve_or_wait(struct share *s, const struct share_request *r, bool again, size_t *ret_written)
{
    struct call c = {.s = s, .r = r, .may_wait = s->pool != NULL, .again = again};
    size_t room = iov_length(r->in, r->in_count);
    int result;

    *ret_written = 0;
    c.out_len = iov_length(r->out, r->out_count);
    if (iov_read(r->out, r->out_count, 0, &c.h, sizeof(c.h)) < sizeof(c.h))
        return true;
    if (c.h.len < HEADER_LEN || c.h.len > c.out_len) {
        *ret_written = answer(r, c.h.unique, -EINVAL);
        return true;
    }
    c.out_len = c.h.len;
    c.in_len = room > sizeof(struct fuse_out_header) ? room - sizeof(struct fuse_out_header) : 0;
    result = dispatch(&c);
    if (result == WAITS)
        return false;
    dax_regain(s);
    if (result != NO_ANSWER)
        *ret_written = answer(r, c.h.unique, result);
    return true;
}

size_t share_serve(struct share *s, const struct share_request *r)
{
    size_t written;

    return share_serve_or_wait(s, r, false, &written) ? written : share_refuse(r, -EAGAIN);
}

uint64_t share_unique(const struct share_request *r)
{
    struct fuse_in_header h = {0};

    iov_read(r->out, r->out_count, 0, &h, sizeof(h));
    return h.unique;
}

size_t share_refuse(const struct share_request *r, int error)
{
    return answer(r, share_unique(r), error);
}

void share_submit(struct share *s, struct share_request *r)
{
    if (s->pool)
        pool_submit(s->pool, r);
    else
        r->done(r, share_serve(s, r));
}

bool share_has_threads(const struct share *s)
{
    return s->pool;
}

void share_set_source(struct share *s, struct share_source *source)
{
    if (s->pool)
        pool_set_source(s->pool, source);
}

void share_wake(struct share *s)
{
    if (s->pool)
        pool_wake(s->pool);
}

void share_ask_waiters(struct share *s)
{
    if (s->pool)
        pool_ask_waiters(s->pool);
}

void share_resumes(struct share *s)
{
    belief_resumes(s);
}

void share_thread_init(void)
{
    if (unshare(CLONE_FS) == 0)
        umask(0);
}

/* ---- Life ----------------------------------------------------------------------------------- */

void share_reset(struct share *s)
{
    locks_drop(s, NULL, NULL);
    dax_clear(s);
    handles_close_all(s);
    nodes_forget_all(s);
    session_set(s, 0, 0);
}

void share_save(struct share *s, struct share_session *ret)
{
    pthread_mutex_lock(&s->lock);
    *ret = s->session;
    ret->next_node = s->next_node;
    pthread_mutex_unlock(&s->lock);
}

void share_load(struct share *s, const struct share_session *session)
{
    pthread_mutex_lock(&s->lock);
    s->session = *session;
    s->next_node = MAX(s->next_node, session->next_node);
    nodes_renumber_locked(s);
    pthread_mutex_unlock(&s->lock);
    belief_resumes(s);
    if (s->pool)
        pool_run(s->pool, share_files_load);
    else
        share_files_load(s);
}

/* Parts of what the process may open: there are others in it, and other shares. A share has six eighths of its part at
 * most: known files, those without names, owners of locks and files in the window an eighth each, open files two. */
static void set_limits(struct share *s, unsigned sharers)
{
    struct rlimit l;
    rlim_t max = getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur != RLIM_INFINITY ? l.rlim_cur : 1024;

    max /= MAX(sharers, 1u);
    s->fds_max = (unsigned)MIN(MAX(max / 8, FDS_LEAST), FDS_MAX);
    s->handles_max = (unsigned)MIN(MAX(max / 4, FDS_LEAST), HANDLES_MAX);
}

int share_replace(struct share *s, const struct share_directory *directory, unsigned count,
                  struct vz_error *err)
{
    struct root **root = calloc(count + 1, sizeof(*root));
    unsigned opened = 0;
    int r = root ? 0 : error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");

    for (; !r && opened < count; opened += !r)
        r = root_open(s, &directory[opened], &root[opened], err);
    if (!r && s->pool && thread_has_policy() && pool_renew(s->pool) < 0) /* those that it has may not open it */
        r = error_set(err, EAGAIN, VZ_ERROR_NO_MEMORY, "no threads for a shared directory");
    if (!r && roots_set(s, root, count) < 0)
        r = error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    if (r < 0) {
        for (unsigned i = 0; i < opened; i++)
            root_free(s, root[i]);
        free(root);
    }
    return r;
}

static int check_options(const struct share_options *o, struct vz_error *err)
{
    if (o->ownership == SHARE_SAME && geteuid())
        return error_set(err, EPERM, VZ_ERROR_UNSUPPORTED,
                         "to give files to the guest's users (same) takes root");
    return 0;
}

int share_open(const struct share_options *o, struct share **ret, struct vz_error *err)
{
    struct share *s = calloc(1, sizeof(*s));
    int r = s ? check_options(o, err) : error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");

    if (r < 0) {
        free(s);
        return r;
    }
    s->ownership = o->ownership;
    s->uid = o->uid;
    s->gid = o->gid;
    s->self_uid = geteuid();
    s->self_gid = getegid();
    s->seen_uid = o->mine_is_root && o->ownership == SHARE_MINE ? 0 : s->self_uid;
    s->seen_gid = o->mine_is_root && o->ownership == SHARE_MINE ? 0 : s->self_gid;
    s->caching = o->caching;
    s->nodes_max = o->nodes_max ? o->nodes_max : NODES;
    pthread_mutex_init(&s->lock, NULL);
    TAILQ_INIT(&s->owners);
    set_limits(s, o->sharers);
    s->handle = calloc(s->handles_max, sizeof(*s->handle));
    if (nodes_init(s) < 0 || !s->handle)
        r = error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    if (!r)
        r = share_replace(s, o->directory, o->count, err);
    if (!r && !o->no_threads &&
        pool_create(s, o->threads ? o->threads : THREADS, &s->pool) < 0)
        r = error_set(err, EAGAIN, VZ_ERROR_NO_MEMORY, "no threads for a shared directory");
    if (r < 0) {
        share_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void share_close(struct share *s)
{
    if (!s)
        return;
    pool_destroy(s->pool);
    if (s->handle)
        share_reset(s);
    share_drop_window(s);
    nodes_fini(s);
    free(s->handle);
    free(s->files.list.data);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
