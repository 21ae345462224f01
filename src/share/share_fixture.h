/* SPDX-License-Identifier: MIT */
/* A share of a temporary directory, and a guest's side of FUSE without a guest, for tests. */
#ifndef VZ_SHARE_SHARE_FIXTURE_H
#define VZ_SHARE_SHARE_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/error.h"
#include "share/share_impl.h"
#include "unit.h"

#define FX_FLAGS (FUSE_ASYNC_READ | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS | FUSE_ATOMIC_O_TRUNC |            \
                  FUSE_DO_READDIRPLUS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_MAX_PAGES |     \
                  FUSE_INIT_EXT)

struct fx {
    struct share *s;
    char dir[64];
    uint32_t uid, gid; /* who asks */
    uint64_t unique;
    uint8_t out[8192], in[SHARE_DATA_MAX / 4];
    size_t room;       /* of in */
    size_t got;        /* bytes of the answer behind its header */
};

static inline void *fx_answer(struct fx *f)
{
    return f->in + sizeof(struct fuse_out_header);
}

/* Serve what is in f->out. Returns the answer's error; 1: there was none. */
static inline int fx_serve(struct fx *f, size_t len)
{
    const struct iovec out = {f->out, len}, in = {f->in, f->room};
    const struct share_request r = {.out = &out, .out_count = 1, .in = &in, .in_count = f->room ? 1 : 0};
    struct fuse_out_header h;
    size_t n;

    memset(f->in, 0xee, sizeof(h));
    n = share_serve(f->s, &r);
    if (!n)
        return 1;
    memcpy(&h, f->in, sizeof(h));
    ck_assert_uint_ge(n, sizeof(h));
    ck_assert_uint_eq(h.len, n);
    ck_assert_uint_eq(h.unique, f->unique);
    f->got = n - sizeof(h);
    ck_assert(h.error <= 0 && (!h.error || !f->got));
    return h.error;
}

/* An operation with its fixed part and up to two texts behind it. */
static inline int fx_ask(struct fx *f, uint32_t opcode, uint64_t node, const void *args, size_t len,
                         const char *first, const char *second)
{
    struct fuse_in_header h = {.opcode = opcode, .nodeid = node, .unique = ++f->unique, .uid = f->uid,
                               .gid = f->gid, .pid = 1};
    size_t at = sizeof(h);

    if (len)
        memcpy(f->out + at, args, len);
    at += len;
    for (unsigned i = 0; i < 2; i++) {
        const char *text = i ? second : first;

        if (text) {
            strcpy((char *)f->out + at, text);
            at += strlen(text) + 1;
        }
    }
    h.len = (uint32_t)at;
    memcpy(f->out, &h, sizeof(h));
    return fx_serve(f, at);
}

static inline int fx_init(struct fx *f, uint64_t flags)
{
    struct fuse_init_in in = {.major = 7, .minor = 38, .flags = (uint32_t)flags,
                              .flags2 = (uint32_t)(flags >> 32)};

    return fx_ask(f, FUSE_INIT, 0, &in, sizeof(in), NULL, NULL);
}

static inline void fx_open_with(struct fx *f, struct share_options *o)
{
    struct share_directory d = {.path = f->dir};
    struct vz_error err = {0};

    if (!o->count) {
        o->directory = &d;
        o->count = 1;
    }
    o->threads = 1;
    ck_assert_msg(share_open(o, &f->s, &err) == 0, "%s", err.text);
    share_thread_init();
    f->room = sizeof(f->in);
    ck_assert_int_eq(fx_init(f, FX_FLAGS), 0);
}

static inline void fx_dir(struct fx *f)
{
    memset(f, 0, sizeof(*f));
    strcpy(f->dir, "/tmp/vz-share-test.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    f->uid = geteuid();
    f->gid = getegid();
}

static inline void fx_open(struct fx *f)
{
    struct share_options o = {.ownership = SHARE_MINE};

    fx_dir(f);
    fx_open_with(f, &o);
}

static inline int fx_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static inline void fx_close(struct fx *f)
{
    share_close(f->s);
    nftw(f->dir, fx_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* The host's path of a name in the directory. */
static inline const char *fx_path(const struct fx *f, const char *name)
{
    static char path[8][512];
    static unsigned next;
    char *ret = path[next++ % 8];

    snprintf(ret, 512, "%s/%s", f->dir, name);
    return ret;
}

static inline void fx_host_write(const struct fx *f, const char *name, const char *text)
{
    int fd = open(fx_path(f, name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* It was written long ago: no tick of a clock of files, before Linux 6.13 or on other file systems, is that long. */
static inline void fx_host_age(const struct fx *f, const char *name)
{
    const struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000, .tv_nsec = 123456789}};

    ck_assert_int_eq(utimensat(AT_FDCWD, fx_path(f, name), t, 0), 0);
}

/* The node of name in parent; 0: there is none. Asserts that nothing else went wrong. */
static inline uint64_t fx_lookup(struct fx *f, uint64_t parent, const char *name)
{
    int r = fx_ask(f, FUSE_LOOKUP, parent, NULL, 0, name, NULL);

    if (r == -ENOENT)
        return 0;
    ck_assert_msg(r == 0, "%s: %s", name, strerror(-r));
    return ((struct fuse_entry_out *)fx_answer(f))->nodeid;
}

static inline int fx_getattr(struct fx *f, uint64_t node, struct fuse_attr *ret)
{
    struct fuse_getattr_in in = {0};
    int r = fx_ask(f, FUSE_GETATTR, node, &in, sizeof(in), NULL, NULL);

    if (!r)
        *ret = ((struct fuse_attr_out *)fx_answer(f))->attr;
    return r;
}

static inline int fx_create(struct fx *f, uint64_t parent, const char *name, uint32_t flags, uint32_t mode,
                            uint64_t *ret_node, uint64_t *ret_fh)
{
    struct fuse_create_in in = {.flags = flags | O_CREAT, .mode = S_IFREG | mode};
    int r = fx_ask(f, FUSE_CREATE, parent, &in, sizeof(in), name, NULL);

    if (!r) {
        *ret_node = ((struct fuse_entry_out *)fx_answer(f))->nodeid;
        *ret_fh = ((struct fuse_open_out *)((uint8_t *)fx_answer(f) + sizeof(struct fuse_entry_out)))->fh;
    }
    return r;
}

static inline int fx_fopen(struct fx *f, uint64_t node, uint32_t flags, uint64_t *ret_fh)
{
    struct fuse_open_in in = {.flags = flags};
    int r = fx_ask(f, FUSE_OPEN, node, &in, sizeof(in), NULL, NULL);

    if (!r)
        *ret_fh = ((struct fuse_open_out *)fx_answer(f))->fh;
    return r;
}

static inline int fx_write(struct fx *f, uint64_t fh, uint64_t offset, const char *text, uint32_t flags)
{
    struct fuse_write_in in = {.fh = fh, .offset = offset, .size = (uint32_t)strlen(text),
                               .write_flags = flags};

    return fx_ask(f, FUSE_WRITE, 0, &in, sizeof(in), text, NULL);
}

static inline int fx_read(struct fx *f, uint64_t fh, uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};

    return fx_ask(f, FUSE_READ, 0, &in, sizeof(in), NULL, NULL);
}

/* By the guest's process whose number is 100 more than its number as an owner. */
static inline int fx_lock(struct fx *f, uint64_t fh, uint64_t owner, uint32_t type, uint64_t start, uint64_t end, uint32_t flags)
{
    struct fuse_lk_in in = {.fh = fh, .owner = owner, .lk_flags = flags,
                            .lk = {.start = start, .end = end, .type = type, .pid = (uint32_t)owner + 100}};

    return fx_ask(f, FUSE_SETLK, 0, &in, sizeof(in), NULL, NULL);
}

static inline int fx_release(struct fx *f, uint64_t fh)
{
    struct fuse_release_in in = {.fh = fh};

    return fx_ask(f, FUSE_RELEASE, 0, &in, sizeof(in), NULL, NULL);
}

static inline int fx_mkdir(struct fx *f, uint64_t parent, const char *name, uint32_t mode, uint64_t *ret)
{
    struct fuse_mkdir_in in = {.mode = mode};
    int r = fx_ask(f, FUSE_MKDIR, parent, &in, sizeof(in), name, NULL);

    if (!r)
        *ret = ((struct fuse_entry_out *)fx_answer(f))->nodeid;
    return r;
}

static inline void fx_forget(struct fx *f, uint64_t node, uint64_t count)
{
    struct fuse_forget_in in = {.nlookup = count};

    ck_assert_int_eq(fx_ask(f, FUSE_FORGET, node, &in, sizeof(in), NULL, NULL), 1);
}

#endif
