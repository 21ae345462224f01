/* SPDX-License-Identifier: MIT */
/* The server under a guest that behaves, and under one that does not. */
#include "share_fixture.h"

#include <linux/fs.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/thread.h"
#include "entries.h"

/* ---- A guest that behaves ------------------------------------------------------------------- */

START_TEST(nothing_before_init_and_flags_are_ours_and_theirs)
{
    struct fx f;
    struct fuse_init_out *out;

    fx_open(&f);
    share_reset(f.s);
    ck_assert_int_eq(fx_ask(&f, FUSE_LOOKUP, 1, NULL, 0, "x", NULL), -EIO);
    ck_assert_int_eq(fx_init(&f, ~UINT64_C(0)), 0);
    out = fx_answer(&f);
    ck_assert_uint_eq(out->major, 7);
    ck_assert(!(out->flags & (FUSE_WRITEBACK_CACHE | FUSE_SPLICE_READ | FUSE_MAP_ALIGNMENT)));
    ck_assert(out->flags & FUSE_DO_READDIRPLUS);
    ck_assert_int_eq(fx_init(&f, FUSE_ASYNC_READ), 0);
    ck_assert_uint_eq(out->flags, FUSE_ASYNC_READ); /* nothing that was not offered */
    fx_close(&f);
}
END_TEST

START_TEST(a_file_is_made_written_read_moved_and_removed)
{
    struct fuse_rename2_in rename = {.newdir = 1};
    uint64_t node, fh, other;
    struct fuse_attr a;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR | O_EXCL, 0640, &node, &fh), 0);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR | O_EXCL, 0640, &other, &other), -EEXIST);
    ck_assert_int_eq(fx_write(&f, fh, 3, "hello", 0), 0);
    ck_assert_uint_eq(((struct fuse_write_out *)fx_answer(&f))->size, 5);
    ck_assert_int_eq(fx_read(&f, fh, 1, 100), 0);
    ck_assert_uint_eq(f.got, 7);
    ck_assert_mem_eq(fx_answer(&f), "\0\0hello", 7);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.size, 8);
    ck_assert_uint_eq(a.mode, S_IFREG | 0640);
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &rename, sizeof(rename), "a", "b"), 0);
    ck_assert_int_eq(fx_release(&f, fh), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0); /* by its new name */
    ck_assert_uint_eq(fx_lookup(&f, 1, "b"), node);
    ck_assert_int_eq(fx_fopen(&f, node, O_RDONLY, &fh), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_UNLINK, 1, NULL, 0, "b", NULL), 0);
    ck_assert_int_eq(fx_read(&f, fh, 3, 100), 0); /* open files have no need of a name */
    ck_assert_mem_eq(fx_answer(&f), "hello", 5);
    ck_assert_int_eq(fx_release(&f, fh), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0); /* nor have those that the guest knows */
    ck_assert_uint_eq(a.nlink, 0);
    ck_assert_int_eq(fx_release(&f, fh), -EBADF);
    fx_close(&f);
}
END_TEST

START_TEST(renames_that_exchange_and_that_must_not_replace)
{
    struct fuse_rename2_in in = {.newdir = 1, .flags = RENAME_NOREPLACE};
    uint64_t a, b;
    struct fx f;

    fx_open(&f);
    fx_host_write(&f, "a", "a");
    fx_host_write(&f, "b", "b");
    a = fx_lookup(&f, 1, "a");
    b = fx_lookup(&f, 1, "b");
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "a", "b"), -EEXIST);
    in.flags = RENAME_EXCHANGE;
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "a", "b"), 0);
    ck_assert_uint_eq(fx_lookup(&f, 1, "a"), b);
    ck_assert_uint_eq(fx_lookup(&f, 1, "b"), a);
    in.flags = 1u << 20;
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "a", "b"), -EINVAL);
    fx_close(&f);
}
END_TEST

START_TEST(a_file_without_a_name_can_be_given_one)
{
    struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0600};
    struct fuse_link_in link_in;
    uint64_t node, fh;
    struct fuse_attr a;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_ask(&f, FUSE_TMPFILE, 1, &in, sizeof(in), "/", NULL), 0);
    node = ((struct fuse_entry_out *)fx_answer(&f))->nodeid;
    fh = ((struct fuse_open_out *)((uint8_t *)fx_answer(&f) + sizeof(struct fuse_entry_out)))->fh;
    ck_assert_int_eq(fx_write(&f, fh, 0, "text", 0), 0);
    ck_assert_int_eq(fx_release(&f, fh), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.nlink, 0);
    link_in.oldnodeid = node;
    ck_assert_int_eq(fx_ask(&f, FUSE_LINK, 1, &link_in, sizeof(link_in), "named", NULL), 0);
    ck_assert_uint_eq(fx_lookup(&f, 1, "named"), node);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.nlink, 1);
    ck_assert_uint_eq(a.size, 4);
    fx_close(&f);
}
END_TEST

/* The names that a listing has, with answers of a few entries. */
static unsigned list_all(struct fx *f, uint64_t fh, uint32_t opcode, bool seen[1000])
{
    struct fuse_read_in in = {.fh = fh, .size = 2000};
    unsigned count = 0;

    for (;;) {
        size_t head = opcode == FUSE_READDIRPLUS ? sizeof(struct fuse_entry_out) : 0;

        ck_assert_int_eq(fx_ask(f, opcode, 1, &in, sizeof(in), NULL, NULL), 0);
        if (!f->got)
            return count;
        for (size_t at = 0; at < f->got;) {
            struct fuse_dirent d;
            unsigned number;

            memcpy(&d, (uint8_t *)fx_answer(f) + at + head, offsetof(struct fuse_dirent, name));
            if (sscanf((char *)fx_answer(f) + at + head + offsetof(struct fuse_dirent, name), "f%3u", &number) == 1) {
                ck_assert(!seen[number]);
                seen[number] = true;
                count++;
            }
            in.offset = d.off;
            at += (head + offsetof(struct fuse_dirent, name) + d.namelen + 7) & ~(size_t)7;
        }
    }
}

START_TEST(a_listing_has_every_name_once)
{
    struct fuse_open_in in = {0};
    bool seen[1000] = {0}, again[1000] = {0};
    uint64_t fh;
    struct fx f;
    char name[16];

    fx_open(&f);
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof(name), "f%03u", i);
        fx_host_write(&f, name, "");
    }
    ck_assert_int_eq(fx_ask(&f, FUSE_OPENDIR, 1, &in, sizeof(in), NULL, NULL), 0);
    fh = ((struct fuse_open_out *)fx_answer(&f))->fh;
    ck_assert_uint_eq(list_all(&f, fh, FUSE_READDIR, seen), 1000);
    ck_assert_uint_eq(f.s->node_count, 1); /* no look-ups */
    ck_assert_uint_eq(list_all(&f, fh, FUSE_READDIRPLUS, again), 1000);
    ck_assert_uint_eq(f.s->node_count, 1001);
    fx_close(&f);
}
END_TEST

START_TEST(lookups_are_counted_and_forgotten)
{
    struct fuse_link_in link = {0};
    struct fuse_batch_forget_in batch = {.count = 1};
    struct { struct fuse_batch_forget_in in; struct fuse_forget_one one; } both = {batch, {0, 1}};
    uint64_t dir, node, fh;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_mkdir(&f, 1, "d", 0755, &dir), 0);
    ck_assert_int_eq(fx_create(&f, dir, "x", O_RDWR, 0644, &node, &fh), 0);
    link.oldnodeid = node;
    ck_assert_int_eq(fx_ask(&f, FUSE_LINK, dir, &link, sizeof(link), "y", NULL), 0);
    ck_assert_uint_eq(fx_lookup(&f, dir, "y"), node);
    ck_assert_uint_eq(f.s->node_count, 3);
    fx_forget(&f, dir, 1); /* its child keeps it */
    ck_assert_uint_eq(f.s->node_count, 3);
    fx_forget(&f, node, 2);
    ck_assert_int_eq(fx_release(&f, fh), 0);
    ck_assert_uint_eq(f.s->node_count, 3);
    both.one.nodeid = node;
    ck_assert_int_eq(fx_ask(&f, FUSE_BATCH_FORGET, 0, &both, sizeof(both), NULL, NULL), 1);
    ck_assert_uint_eq(f.s->node_count, 1);
    fx_forget(&f, node, 1);
    fx_forget(&f, 1, 100);
    ck_assert_uint_eq(f.s->node_count, 1);
    fx_close(&f);
}
END_TEST

START_TEST(a_reset_forgets_everything)
{
    uint64_t node, fh;
    struct fuse_attr a;
    unsigned fds;
    struct fx f;

    fx_open(&f);
    fds = f.s->fd_count;
    for (unsigned i = 0; i < 100; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%u", i);
        ck_assert_int_eq(fx_create(&f, 1, name, O_RDWR, 0644, &node, &fh), 0);
        ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    }
    ck_assert_int_eq(fx_ask(&f, FUSE_DESTROY, 0, NULL, 0, NULL, NULL), 0);
    ck_assert_uint_eq(f.s->node_count, 1);
    ck_assert_uint_eq(f.s->handle_count, 0);
    ck_assert_uint_eq(f.s->fd_count, fds);
    ck_assert_int_eq(fx_init(&f, FX_FLAGS), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), -ESTALE); /* numbers are not given twice */
    ck_assert_uint_gt(fx_lookup(&f, 1, "f1"), node);
    fx_close(&f);
}
END_TEST

/* ---- Descriptors ---------------------------------------------------------------------------- */

START_TEST(any_number_of_files_with_few_descriptors)
{
    struct rlimit few = {256, 256};
    uint64_t node[500];
    struct fuse_attr a;
    struct fx f;

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    fx_open(&f);
    for (unsigned i = 0; i < 500; i++) /* each in the one before */
        ck_assert_int_eq(fx_mkdir(&f, i ? node[i - 1] : 1, "d", 0755, &node[i]), 0);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 500; i++)
            ck_assert_int_eq(fx_getattr(&f, node[(i * 77) % 500], &a), 0);
        ck_assert_uint_le(f.s->fd_count, f.s->fds_max + 1);
    }
    fx_close(&f);
}
END_TEST

START_TEST(who_was_replaced_is_stale_and_never_another_file)
{
    struct fuse_attr a;
    uint64_t node;
    struct fx f;

    fx_open(&f);
    fx_host_write(&f, "a", "old");
    node = fx_lookup(&f, 1, "a");
    fx_host_write(&f, "b", "newer");
    ck_assert_int_eq(rename(fx_path(&f, "b"), fx_path(&f, "a")), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), -ESTALE);
    ck_assert_uint_ne(fx_lookup(&f, 1, "a"), node);
    fx_close(&f);
}
END_TEST

START_TEST(files_that_may_be_known_are_limited)
{
    struct share_options o = {.ownership = SHARE_MINE, .nodes_max = 10};
    char name[16];
    struct fx f;
    int r = 0;

    fx_dir(&f);
    fx_open_with(&f, &o);
    for (unsigned i = 0; i < 20 && !r; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        fx_host_write(&f, name, "");
        r = fx_ask(&f, FUSE_LOOKUP, 1, NULL, 0, name, NULL);
    }
    ck_assert_int_eq(r, -ENOMEM);
    ck_assert_uint_eq(f.s->node_count, 10);
    fx_close(&f);
}
END_TEST

/* ---- A guest that does not behave ----------------------------------------------------------- */

START_TEST(names_are_single_components_everywhere)
{
    static const char *const bad[] = {"", ".", "..", "../x", "a/b", "/etc/passwd", "/"};
    static const struct { uint32_t opcode; size_t args; bool two; } ops[] = {
        {FUSE_LOOKUP, 0, false}, {FUSE_MKNOD, sizeof(struct fuse_mknod_in), false},
        {FUSE_MKDIR, sizeof(struct fuse_mkdir_in), false}, {FUSE_UNLINK, 0, false}, {FUSE_RMDIR, 0, false},
        {FUSE_SYMLINK, 0, true}, {FUSE_CREATE, sizeof(struct fuse_create_in), false},
        {FUSE_LINK, sizeof(struct fuse_link_in), false}, {FUSE_RENAME, sizeof(struct fuse_rename_in), true},
        {FUSE_RENAME2, sizeof(struct fuse_rename2_in), true}};
    uint64_t args[8] = {1};
    char longest[300];
    struct fx f;

    fx_open(&f);
    memset(longest, 'x', 256);
    longest[256] = '\0';
    for (unsigned i = 0; i < ARRAY_SIZE(ops); i++) {
        for (unsigned k = 0; k < ARRAY_SIZE(bad); k++) {
            if (ops[i].opcode == FUSE_LOOKUP && (!strcmp(bad[k], ".") || !strcmp(bad[k], "..")))
                continue; /* of the root: itself; below */
            ck_assert_int_eq(fx_ask(&f, ops[i].opcode, 1, args, ops[i].args, bad[k],
                                    ops[i].two ? "x" : NULL), -EINVAL);
            if (ops[i].two && ops[i].opcode != FUSE_SYMLINK)
                ck_assert_int_eq(fx_ask(&f, ops[i].opcode, 1, args, ops[i].args, "x", bad[k]), -EINVAL);
        }
        ck_assert_int_eq(fx_ask(&f, ops[i].opcode, 1, args, ops[i].args, longest,
                                ops[i].two ? "x" : NULL), -ENAMETOOLONG);
    }
    ck_assert_uint_eq(fx_lookup(&f, 1, ".."), 1);
    ck_assert_uint_eq(fx_lookup(&f, 1, "."), 1);
    ck_assert_int_eq(rmdir(f.dir), 0); /* nothing was made */
    ck_assert_int_eq(mkdir(f.dir, 0700), 0);
    fx_close(&f);
}
END_TEST

START_TEST(links_lead_nowhere_on_the_host)
{
    struct fuse_mkdir_in in = {.mode = 0755};
    uint64_t link, dir, fh;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(symlink("/etc", fx_path(&f, "link")), 0);
    link = fx_lookup(&f, 1, "link");
    ck_assert_int_ne(fx_ask(&f, FUSE_LOOKUP, link, NULL, 0, "passwd", NULL), 0);
    ck_assert_int_ne(fx_fopen(&f, link, O_RDONLY, &fh), 0);
    ck_assert_int_ne(fx_ask(&f, FUSE_OPENDIR, link, &in, sizeof(in), NULL, NULL), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_READLINK, link, NULL, 0, NULL, NULL), 0);
    ck_assert_mem_eq(fx_answer(&f), "/etc", 4);
    /* a folder that becomes a link */
    ck_assert_int_eq(fx_mkdir(&f, 1, "d", 0755, &dir), 0);
    ck_assert_int_eq(rename(fx_path(&f, "d"), fx_path(&f, "e")), 0);
    ck_assert_int_eq(symlink("/etc", fx_path(&f, "d")), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_LOOKUP, dir, NULL, 0, "passwd", NULL), -ESTALE);
    ck_assert_int_eq(fx_ask(&f, FUSE_MKDIR, dir, &in, sizeof(in), "vz-escape", NULL), -ESTALE);
    ck_assert_uint_eq(fx_lookup(&f, 1, "e"), dir);
    ck_assert_uint_eq(fx_lookup(&f, dir, "passwd"), 0);
    fx_close(&f);
}
END_TEST

START_TEST(what_would_act_or_wait_is_not_opened)
{
    uint64_t node, fh;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(mkfifo(fx_path(&f, "fifo"), 0666), 0);
    node = fx_lookup(&f, 1, "fifo");
    ck_assert_int_eq(fx_fopen(&f, node, O_RDONLY, &fh), -EACCES);
    ck_assert_int_eq(fx_create(&f, 1, "fifo", O_RDWR, 0644, &node, &fh), -EACCES);
    fx_close(&f);
}
END_TEST

START_TEST(sizes_that_lie)
{
    struct fuse_in_header h = {.opcode = FUSE_GETATTR, .nodeid = 1};
    struct fuse_write_in write = {.size = 100000};
    struct fuse_read_in read = {.size = 0xd6ff08ff};
    struct fuse_setxattr_in xattr = {.size = 60000};
    uint64_t node, fh;
    struct fx f;

    fx_open(&f);
    h.unique = ++f.unique;
    for (unsigned i = 0; i < 4; i++) {
        static const uint32_t len[] = {0, 39, 4000, UINT32_MAX};

        h.len = len[i];
        memcpy(f.out, &h, sizeof(h));
        ck_assert_int_eq(fx_serve(&f, 56), -EINVAL);
    }
    ck_assert_int_eq(fx_serve(&f, 39), 1); /* no header, no answer */
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    write.fh = read.fh = fh;
    ck_assert_int_eq(fx_ask(&f, FUSE_WRITE, node, &write, sizeof(write), "few", NULL), -EINVAL);
    ck_assert_int_eq(fx_ask(&f, FUSE_READ, node, &read, sizeof(read), NULL, NULL), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETXATTR, node, &xattr, sizeof(xattr), "user.x", "few"), -EINVAL);
    ck_assert_int_eq(fx_ask(&f, 0, 1, NULL, 0, NULL, NULL), -ENOSYS);
    ck_assert_int_eq(fx_ask(&f, 4096, 1, NULL, 0, NULL, NULL), -ENOSYS);
    ck_assert_int_eq(fx_ask(&f, FUSE_GETATTR, 77, &read, 16, NULL, NULL), -ESTALE);
    ck_assert_int_eq(fx_read(&f, UINT64_MAX, 0, 1), -EBADF);
    f.room = 20; /* the answer does not fit */
    ck_assert_int_eq(fx_ask(&f, FUSE_GETATTR, 1, &read, 16, NULL, NULL), -EINVAL);
    f.room = 0;
    ck_assert_int_eq(fx_ask(&f, FUSE_GETATTR, 1, &read, 16, NULL, NULL), 1);
    fx_close(&f);
}
END_TEST

START_TEST(read_only_directories_stay_as_they_are)
{
    struct share_directory d = {.read_only = true};
    struct share_options o = {.directory = &d, .count = 1};
    struct fuse_setattr_in set = {.valid = FATTR_MODE, .mode = 0777};
    struct fuse_mkdir_in mkdir_in = {.mode = 0755};
    struct fuse_rename2_in rename_in = {.newdir = 1};
    struct fuse_setxattr_in xattr = {0};
    uint64_t node, fh;
    struct fx f;

    fx_dir(&f);
    d.path = f.dir;
    fx_host_write(&f, "a", "text");
    fx_open_with(&f, &o);
    node = fx_lookup(&f, 1, "a");
    ck_assert_int_eq(fx_fopen(&f, node, O_RDWR, &fh), -EROFS);
    ck_assert_int_eq(fx_fopen(&f, node, O_RDONLY | O_TRUNC, &fh), -EROFS);
    ck_assert_int_eq(fx_create(&f, 1, "b", O_RDWR, 0644, &node, &fh), -EROFS);
    ck_assert_int_eq(fx_ask(&f, FUSE_UNLINK, 1, NULL, 0, "a", NULL), -EROFS);
    ck_assert_int_eq(fx_ask(&f, FUSE_MKDIR, 1, &mkdir_in, sizeof(mkdir_in), "d", NULL), -EROFS);
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &rename_in, sizeof(rename_in), "a", "b"), -EROFS);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &set, sizeof(set), NULL, NULL), -EROFS);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETXATTR, node, &xattr, sizeof(xattr), "user.x", "v"), -EROFS);
    ck_assert_int_eq(fx_ask(&f, FUSE_REMOVEXATTR, node, NULL, 0, "user.x", NULL), -EROFS);
    ck_assert_int_eq(fx_fopen(&f, node, O_RDONLY, &fh), 0);
    ck_assert_int_eq(fx_write(&f, fh, 0, "x", 0), -EBADF);
    ck_assert_int_eq(fx_read(&f, fh, 0, 10), 0);
    ck_assert_uint_eq(f.got, 4);
    fx_close(&f);
}
END_TEST

START_TEST(several_directories_are_apart)
{
    struct share_directory d[2] = {{.name = "ro", .read_only = true}, {.name = "rw"}};
    struct share_options o = {.directory = d, .count = 2};
    struct fuse_link_in link = {0};
    struct fuse_rename2_in rename_in = {0};
    uint64_t ro, rw, in_ro, in_rw;
    struct fx f;

    fx_dir(&f);
    d[0].path = d[1].path = f.dir; /* the same one twice, even */
    fx_host_write(&f, "a", "text");
    fx_open_with(&f, &o);
    ck_assert_uint_eq(fx_lookup(&f, 1, "a"), 0);
    ro = fx_lookup(&f, 1, "ro");
    rw = fx_lookup(&f, 1, "rw");
    in_ro = fx_lookup(&f, ro, "a");
    in_rw = fx_lookup(&f, rw, "a");
    ck_assert_uint_ne(in_ro, in_rw);
    link.oldnodeid = in_ro;
    ck_assert_int_eq(fx_ask(&f, FUSE_LINK, rw, &link, sizeof(link), "b", NULL), -EXDEV);
    link.oldnodeid = in_rw;
    ck_assert_int_eq(fx_ask(&f, FUSE_LINK, rw, &link, sizeof(link), "b", NULL), 0);
    rename_in.newdir = ro;
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, rw, &rename_in, sizeof(rename_in), "a", "c"), -EROFS);
    rename_in.newdir = 1;
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, rw, &rename_in, sizeof(rename_in), "a", "c"), -EPERM);
    fx_close(&f);
}
END_TEST

START_TEST(another_share_makes_the_old_one_stale)
{
    struct share_directory other = {0};
    struct fuse_attr a;
    uint64_t node, fh;
    struct fx f, g;

    fx_dir(&g);
    fx_host_write(&g, "new", "new");
    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "old", O_RDWR, 0644, &node, &fh), 0);
    other.path = g.dir;
    ck_assert_int_eq(share_replace(f.s, &other, 1, NULL), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), -ESTALE);
    ck_assert_uint_eq(fx_lookup(&f, 1, "old"), 0);
    ck_assert_uint_ne(fx_lookup(&f, 1, "new"), 0);
    ck_assert_int_eq(fx_write(&f, fh, 0, "x", 0), 0); /* an open file stays open */
    ck_assert_int_eq(share_replace(f.s, &(struct share_directory){.path = "/nonexistent"}, 1, NULL), -ENOENT);
    ck_assert_uint_ne(fx_lookup(&f, 1, "new"), 0);
    ck_assert_int_eq(share_replace(f.s, NULL, 0, NULL), 0);
    ck_assert_uint_eq(fx_lookup(&f, 1, "new"), 0);
    fx_close(&f);
    nftw(g.dir, fx_remove, 16, FTW_DEPTH | FTW_PHYS);
}
END_TEST

static atomic_uint entered;

static int count_entering(struct thread_policy *p, enum thread_kind kind)
{
    ck_assert_int_eq(kind, THREAD_SHARE);
    atomic_fetch_add(&entered, 1);
    return 0;
}

/* Threads may open what their maker's policy says when they begin: another share has others. */
START_TEST(another_share_has_other_threads)
{
    static struct thread_policy policy = {.enter = count_entering};
    struct share_options o = {.threads = 3};
    struct share_directory d = {0};
    unsigned threads;
    struct fx f;

    fx_dir(&f);
    fx_host_write(&f, "a", "text");
    d.path = f.dir;
    o.directory = &d;
    o.count = 1;
    thread_set_policy(&policy);
    ck_assert_int_eq(share_open(&o, &f.s, NULL), 0);
    ck_assert_uint_eq(atomic_load(&entered), 1); /* who makes the others, which are as it is */
    threads = count_threads();
    for (unsigned i = 0; i < 50; i++)
        ck_assert_int_eq(share_replace(f.s, &d, 1, NULL), 0);
    ck_assert_uint_eq(atomic_load(&entered), 51);
    for (unsigned i = 0; i < 1000 && count_threads() > threads; i++)
        usleep(10000);
    ck_assert_uint_eq(count_threads(), threads);
    thread_set_policy(NULL);
    ck_assert_int_eq(share_replace(f.s, &d, 1, NULL), 0);
    ck_assert_uint_eq(atomic_load(&entered), 51);
    fx_close(&f);
}
END_TEST

START_TEST(what_is_served_no_more_is_not_reached_by_requests_under_way)
{
    struct share_directory d[2] = {{.name = "one"}, {.name = "two"}}, single = {0};
    struct share_options o = {.directory = d, .count = 2};
    struct fuse_open_in open_in = {0};
    struct fuse_read_in list = {.size = 4096};
    struct fuse_entry_out e;
    struct root *unserved;
    struct node *n;
    uint64_t next;
    struct fx f;
    int fd;

    fx_dir(&f);
    single.path = d[0].path = d[1].path = f.dir;
    fx_host_write(&f, "a", "text");
    fx_open_with(&f, &o);
    ck_assert_int_eq(fx_ask(&f, FUSE_OPENDIR, 1, &open_in, sizeof(open_in), NULL, NULL), 0);
    list.fh = ((struct fuse_open_out *)fx_answer(&f))->fh;
    n = node_get(f.s, fx_lookup(&f, 1, "one"));
    ck_assert_ptr_nonnull(n);
    ck_assert_int_eq(node_fd(f.s, n, &fd), 0);
    next = f.s->next_node;
    ck_assert_int_eq(root_open(f.s, &single, &unserved, NULL), 0); /* its number can be guessed */
    ck_assert_ptr_null(node_get(f.s, next));
    root_free(f.s, unserved);
    ck_assert_int_eq(share_replace(f.s, &single, 1, NULL), 0);
    ck_assert_int_eq(look_up(f.s, n, fd, "a", &e), -ESTALE);
    node_fd_put(f.s, n);
    node_put(f.s, n);
    ck_assert_int_eq(fx_ask(&f, FUSE_READDIR, 1, &list, sizeof(list), NULL, NULL), 0); /* "." and ".." */
    ck_assert_int_eq(fx_ask(&f, FUSE_READDIRPLUS, 1, &list, sizeof(list), NULL, NULL), 0);
    ck_assert_uint_ne(fx_lookup(&f, 1, "a"), 0);
    fx_close(&f);
}
END_TEST

START_TEST(files_can_be_served_by_themselves_and_only_read)
{
    struct share_directory d[3] = {{.name = "program", .is_file = true},
                                   {.name = "text", .text = "only here\n", .is_file = true}, {.name = "dir"}};
    struct share_options o = {.directory = d, .count = 3, .ownership = SHARE_MAP};
    struct fuse_read_in list = {.size = 4096};
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0777};
    struct fuse_link_in link_in = {0};
    struct fuse_open_in open_in = {0};
    struct share_directory bad = {.name = "x", .path = "/", .is_file = true};
    struct vz_error err = {0};
    struct fuse_dirent *entry;
    struct fuse_attr attr;
    uint64_t program, text, fh;
    struct fx f;

    fx_dir(&f);
    fx_host_write(&f, "a", "of the host's");
    d[0].path = strdup(fx_path(&f, "a"));
    d[2].path = f.dir;
    fx_open_with(&f, &o);
    program = fx_lookup(&f, 1, "program");
    text = fx_lookup(&f, 1, "text");
    ck_assert_uint_ne(fx_lookup(&f, 1, "dir"), 0);
    ck_assert_int_eq(fx_getattr(&f, program, &attr), 0);
    ck_assert_uint_eq(attr.mode & S_IFMT, S_IFREG);
    ck_assert_uint_eq(attr.size, 13);
    ck_assert_int_eq(fx_getattr(&f, text, &attr), 0);
    ck_assert_uint_eq(attr.mode, S_IFREG | 0444);
    ck_assert_uint_eq(attr.nlink, 1);
    ck_assert_uint_eq(attr.uid, 0);
    ck_assert_int_eq(fx_fopen(&f, text, O_RDONLY, &fh), 0);
    ck_assert_int_eq(fx_read(&f, fh, 0, 100), 0);
    ck_assert_mem_eq(fx_answer(&f), "only here\n", 10);
    ck_assert_int_eq(fx_release(&f, fh), 0);
    ck_assert_int_eq(fx_fopen(&f, program, O_RDONLY, &fh), 0);
    ck_assert_int_eq(fx_read(&f, fh, 0, 100), 0);
    ck_assert_mem_eq(fx_answer(&f), "of the host's", 13);
    ck_assert_int_eq(fx_fopen(&f, program, O_RDWR, &fh), -EROFS);
    ck_assert_int_eq(fx_fopen(&f, text, O_WRONLY | O_TRUNC, &fh), -EROFS);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, text, &mode, sizeof(mode), NULL, NULL), -EROFS);
    link_in.oldnodeid = program;
    ck_assert_int_eq(fx_ask(&f, FUSE_LINK, fx_lookup(&f, 1, "dir"), &link_in, sizeof(link_in), "l", NULL), -EXDEV);
    ck_assert_int_eq(fx_ask(&f, FUSE_UNLINK, 1, NULL, 0, "text", NULL), -EPERM);
    ck_assert_int_eq(fx_ask(&f, FUSE_LOOKUP, program, NULL, 0, "x", NULL), -ENOTDIR);
    ck_assert_int_eq(fx_ask(&f, FUSE_OPENDIR, 1, &open_in, sizeof(open_in), NULL, NULL), 0);
    list.fh = ((struct fuse_open_out *)fx_answer(&f))->fh;
    list.offset = 2;
    ck_assert_int_eq(fx_ask(&f, FUSE_READDIR, 1, &list, sizeof(list), NULL, NULL), 0);
    entry = fx_answer(&f);
    ck_assert_mem_eq(entry->name, "program", 7);
    ck_assert_uint_eq(entry->type, DT_REG);
    ck_assert_int_lt(share_replace(f.s, &bad, 1, &err), 0);
    ck_assert_msg(strstr(err.text, "not a regular file") != NULL, "%s", err.text);
    free((char *)d[0].path);
    fx_close(&f);
}
END_TEST

/* By what the guest's agent has its kernel tell watchers. */
START_TEST(a_hole_where_nothing_is_leaves_no_trace)
{
    struct share_directory d[2] = {{.name = "ro", .read_only = true}, {.name = "rw"}};
    struct share_options o = {.directory = d, .count = 2};
    struct fuse_fallocate_in hole = {.offset = UINT64_C(1) << 60, .length = 4096,
                                     .mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = S_IFREG | 0644};
    struct stat before, after;
    uint64_t file;
    struct fx f;

    fx_dir(&f);
    d[0].path = d[1].path = f.dir;
    fx_host_write(&f, "a", "text");
    ck_assert_int_eq(chmod(fx_path(&f, "a"), 0644), 0);
    ck_assert_int_eq(stat(fx_path(&f, "a"), &before), 0);
    fx_open_with(&f, &o);
    file = fx_lookup(&f, fx_lookup(&f, 1, "rw"), "a");
    ck_assert_int_eq(fx_fopen(&f, file, O_WRONLY, &hole.fh), 0);
    usleep(20000); /* a time that a file can have */
    ck_assert_int_eq(fx_ask(&f, FUSE_FALLOCATE, file, &hole, sizeof(hole), NULL, NULL), 0);
    ck_assert_int_eq(stat(fx_path(&f, "a"), &after), 0);
    ck_assert_mem_eq(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim));
    ck_assert_mem_eq(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
    ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, file, &mode, sizeof(mode), NULL, NULL), 0);
    ck_assert_int_eq(stat(fx_path(&f, "a"), &after), 0); /* as of chmod() on any file system */
    ck_assert_int_ne(memcmp(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim)), 0);
    ck_assert_mem_eq(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim));
    hole.offset = 0; /* of what is there, it is made */
    ck_assert_int_eq(fx_ask(&f, FUSE_FALLOCATE, file, &hole, sizeof(hole), NULL, NULL), 0);
    ck_assert_int_eq(stat(fx_path(&f, "a"), &after), 0);
    ck_assert_int_ne(memcmp(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim)), 0);
    fx_close(&f);
}
END_TEST

START_TEST(a_handle_in_use_keeps_its_node)
{
    uint64_t node, fh;
    struct handle *h;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    h = handle_get(f.s, fh); /* as a write does */
    ck_assert_int_eq(fx_release(&f, fh), 0);
    fx_forget(&f, node, 1);
    ck_assert_uint_eq(f.s->node_count, 2);
    ck_assert_uint_eq(h->node->id, node);
    handle_put(f.s, h);
    ck_assert_uint_eq(f.s->node_count, 1);
    fx_close(&f);
}
END_TEST

/* Somebody else, as the host or another guest, has taken its name meanwhile. */
START_TEST(a_file_that_is_open_is_changed_without_its_name)
{
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = 0600};
    struct fuse_setattr_in size = {.valid = FATTR_SIZE | FATTR_FH, .size = 3};
    struct fuse_setattr_in times = {.valid = FATTR_ATIME | FATTR_MTIME | FATTR_MTIME_NOW, .atime = 1};
    struct fuse_attr a;
    uint64_t node;
    struct fx f;

    fx_open(&f);
    for (unsigned names = 0; names < 2; names++) {
        ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &size.fh), 0);
        ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
        ck_assert_int_eq(names ? rename(fx_path(&f, "a"), fx_path(&f, "b")) : unlink(fx_path(&f, "a")), 0);
        ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &mode, sizeof(mode), NULL, NULL), 0);
        ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &size, sizeof(size), NULL, NULL), 0);
        ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &times, sizeof(times), NULL, NULL), 0);
        ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
        ck_assert_uint_eq(a.mode, S_IFREG | 0600);
        ck_assert_uint_eq(a.size, 3);
        ck_assert_uint_eq(a.atime, 1);
        ck_assert_uint_eq(a.nlink, names);
    }
    fx_close(&f);
}
END_TEST

START_TEST(files_without_names_and_owners_of_locks_leave_descriptors_to_others)
{
    struct fuse_create_in in = {.flags = O_RDWR, .mode = S_IFREG | 0600};
    struct fuse_lk_in lk = {.lk = {.type = F_RDLCK}};
    struct rlimit few = {256, 256};
    uint64_t node, fh;
    unsigned count = 0;
    struct fx f;
    int r = 0;

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    lk.fh = fh;
    while (!r && ++count < 256) {
        lk.owner = count;
        r = fx_ask(&f, FUSE_SETLK, 0, &lk, sizeof(lk), NULL, NULL);
    }
    ck_assert_int_eq(r, -ENOLCK);
    ck_assert_uint_le(count, 256 / 8 + 1);
    for (r = 0, count = 0; !r && count < 256; count++) {
        r = fx_ask(&f, FUSE_TMPFILE, 1, &in, sizeof(in), "/", NULL);
        if (!r)
            ck_assert_int_eq(fx_release(&f, ((struct fuse_open_out *)((uint8_t *)fx_answer(&f) +
                                                 sizeof(struct fuse_entry_out)))->fh), 0);
    }
    ck_assert_int_eq(r, -ENFILE);
    ck_assert_uint_le(count, 256 / 4 + 1);
    ck_assert_uint_eq(f.s->node_count, count + 1); /* and the last one is not known */
    fx_close(&f);
}
END_TEST

/* ---- Locks ---------------------------------------------------------------------------------- */

START_TEST(locks_hold_between_processes_of_the_guest_and_against_the_host)
{
    struct flock host = {.l_type = F_WRLCK, .l_start = 100, .l_len = 10};
    struct fuse_lk_in flock_in = {.lk = {.type = F_WRLCK, .end = INT64_MAX}, .lk_flags = FUSE_LK_FLOCK};
    struct fuse_flush_in flush = {.lock_owner = 1};
    uint64_t node, fh;
    struct fx f;
    int fd;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 1, F_WRLCK, 0, 9, 0), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 2, F_WRLCK, 5, 15, 0), -EAGAIN);
    ck_assert_int_eq(fx_lock(&f, fh, 2, F_WRLCK, 10, 15, 0), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 1, F_UNLCK, 0, 4, 0), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 2, F_RDLCK, 0, 4, 0), 0);
    fd = open(fx_path(&f, "a"), O_RDWR);
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &host), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 1, F_RDLCK, 50, INT64_MAX, 0), -EAGAIN);
    flush.fh = fh;
    ck_assert_int_eq(fx_ask(&f, FUSE_FLUSH, node, &flush, sizeof(flush), NULL, NULL), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 3, F_WRLCK, 5, 9, 0), 0); /* owner 1 is gone */
    ck_assert_int_eq(flock(fd, LOCK_SH | LOCK_NB), 0);
    flock_in.fh = fh;
    ck_assert_int_eq(fx_ask(&f, FUSE_SETLK, node, &flock_in, sizeof(flock_in), NULL, NULL), -EAGAIN);
    flock(fd, LOCK_UN);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETLK, node, &flock_in, sizeof(flock_in), NULL, NULL), 0);
    ck_assert_int_eq(flock(fd, LOCK_SH | LOCK_NB), -1);
    ck_assert_int_eq(fx_release(&f, fh), 0);
    ck_assert_int_eq(flock(fd, LOCK_SH | LOCK_NB), 0);
    close(fd);
    fx_close(&f);
}
END_TEST

START_TEST(locks_are_limited)
{
    uint64_t node, fh;
    struct fx f;
    int r = 0;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    for (unsigned i = 0; i < 1000; i++) { /* as SQLite does, for ever */
        ck_assert_int_eq(fx_lock(&f, fh, 1, F_WRLCK, 7, 7, 0), 0);
        ck_assert_int_eq(fx_lock(&f, fh, 1, F_UNLCK, 7, 7, 0), 0);
    }
    ck_assert_uint_eq(f.s->lock_count, 0);
    ck_assert_uint_eq(f.s->owner_count, 0);
    f.s->lock_count = 65536 - 100; /* as if others had them */
    for (unsigned i = 0; i < 200 && !r; i++)
        r = fx_lock(&f, fh, 1, F_RDLCK, 2 * i, 2 * i, 0);
    ck_assert_int_eq(r, -ENOLCK);
    ck_assert_uint_eq(f.s->lock_count, 65536);
    ck_assert_int_eq(fx_lock(&f, fh, 1, F_UNLCK, 0, INT64_MAX, 0), 0);
    ck_assert_uint_eq(f.s->lock_count, 65536 - 100);
    fx_close(&f);
}
END_TEST

static struct { struct fx f; uint64_t fh; _Atomic bool stop; } other_thread;

static void *lock_and_unlock(void *arg)
{
    while (!other_thread.stop) {
        ck_assert_int_eq(fx_lock(&other_thread.f, other_thread.fh, 1, F_WRLCK, 0, 0, 0), 0);
        ck_assert_int_eq(fx_lock(&other_thread.f, other_thread.fh, 1, F_UNLCK, 0, 0, 0), 0);
    }
    return NULL;
}

/* A process of two threads: when one gives up its last range, what the other has just locked stays. */
START_TEST(locks_stay_when_another_thread_gives_up_its_own)
{
    static struct fx f;
    uint64_t node, fh;
    pthread_t thread;
    int fd;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    fd = open(fx_path(&f, "a"), O_RDWR);
    other_thread.f = f;
    other_thread.fh = fh;
    ck_assert_int_eq(pthread_create(&thread, NULL, lock_and_unlock, NULL), 0);
    for (unsigned i = 0; i < 3000; i++) {
        struct flock l = {.l_type = F_WRLCK, .l_start = 10, .l_len = 1};

        ck_assert_int_eq(fx_lock(&f, fh, 1, F_WRLCK, 10, 10, 0), 0);
        ck_assert_int_eq(fcntl(fd, F_OFD_GETLK, &l), 0);
        ck_assert_int_eq(l.l_type, F_WRLCK);
        ck_assert_int_eq(fx_lock(&f, fh, 1, F_UNLCK, 10, 10, 0), 0);
    }
    other_thread.stop = true;
    pthread_join(thread, NULL);
    ck_assert_uint_eq(f.s->lock_count, 0);
    ck_assert_uint_eq(f.s->owner_count, 0);
    close(fd);
    fx_close(&f);
}
END_TEST

struct waiter {
    struct share_request r;
    struct iovec out, in;
    _Atomic int done;
    _Atomic bool refused; /* it may not wait */
};

static void on_done(struct share_request *r, size_t written)
{
    struct waiter *w = container_of(r, struct waiter, r);
    struct fuse_out_header h;

    ck_assert_uint_eq(written, sizeof(h));
    memcpy(&h, w->in.iov_base, sizeof(h));
    w->done = h.error ? h.error : 1;
}

static bool may_wait(struct share_request *r)
{
    struct waiter *w = container_of(r, struct waiter, r);
    bool may = !w->refused;

    if (!may)
        w->done = -ECANCELED; /* the caller's again from here on */
    return may;
}

static int wait_for(struct waiter *w)
{
    for (unsigned i = 0; !w->done && i < 5000; i++)
        usleep(1000);
    return w->done;
}

static void submit_lock_as(struct fx *f, struct waiter *w, uint64_t fh, uint64_t owner, uint64_t unique)
{
    struct { struct fuse_in_header h; struct fuse_lk_in in; } *q = (void *)f->out;

    *q = (__typeof__(*q)){{.opcode = FUSE_SETLKW, .unique = unique, .len = sizeof(*q)},
                          {.fh = fh, .owner = owner, .lk = {.type = F_WRLCK}}};
    *w = (struct waiter){.out = {q, sizeof(*q)}, .in = {f->in, sizeof(f->in)}};
    w->r = (struct share_request){.out = &w->out, .in = &w->in, .out_count = 1, .in_count = 1,
                                  .done = on_done, .may_wait = may_wait};
    share_submit(f->s, &w->r);
}

static void submit_lock(struct fx *f, struct waiter *w, uint64_t fh, uint64_t owner)
{
    submit_lock_as(f, w, fh, owner, 99);
}

START_TEST(of_many_who_are_interrupted_nobody_goes_on_waiting)
{
    static struct waiter w[20];
    static struct fx f[ARRAY_SIZE(w)], g;
    uint64_t node, fh;

    fx_open(&g);
    ck_assert_int_eq(fx_create(&g, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_lock(&g, fh, 1, F_WRLCK, 0, 0, 0), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(w); i++) {
        f[i] = g;
        submit_lock_as(&f[i], &w[i], fh, 2 + i, 1000 + i);
    }
    usleep(30000);
    for (uint64_t i = 0; i < ARRAY_SIZE(w); i++)
        ck_assert_int_eq(fx_ask(&g, FUSE_INTERRUPT, 0, &(uint64_t){1000 + i}, 8, NULL, NULL), 1);
    for (unsigned i = 0; i < ARRAY_SIZE(w); i++)
        ck_assert_int_eq(wait_for(&w[i]), -EINTR);
    fx_close(&g);
}
END_TEST

START_TEST(who_waits_for_a_lock_gets_it_or_may_not_or_is_interrupted)
{
    static struct waiter w;
    static struct fx f, g;
    uint64_t node, fh;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    g = f; /* requests of ours must not disturb the one that waits */
    ck_assert_int_eq(fx_lock(&g, fh, 1, F_WRLCK, 0, 0, 0), 0);
    submit_lock(&f, &w, fh, 2);
    usleep(30000);
    ck_assert_int_eq(w.done, 0);
    ck_assert_int_eq(fx_lock(&g, fh, 1, F_UNLCK, 0, 0, 0), 0);
    ck_assert_int_eq(wait_for(&w), 1);
    submit_lock(&f, &w, fh, 3);
    usleep(30000);
    ck_assert_int_eq(w.done, 0);
    w.refused = true;
    share_ask_waiters(f.s);
    ck_assert_int_eq(wait_for(&w), -ECANCELED);
    w.done = 0;
    share_submit(f.s, &w.r); /* nor does it begin to */
    ck_assert_int_eq(wait_for(&w), -ECANCELED);
    w.done = 0;
    w.refused = false;
    share_submit(f.s, &w.r);
    usleep(30000);
    ck_assert_int_eq(w.done, 0);
    ck_assert_int_eq(fx_ask(&g, FUSE_INTERRUPT, 0, &(uint64_t){99}, 8, NULL, NULL), 1);
    ck_assert_int_eq(wait_for(&w), -EINTR);
    fx_close(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, nothing_before_init_and_flags_are_ours_and_theirs);
    UNIT_TEST(s, a_file_is_made_written_read_moved_and_removed);
    UNIT_TEST(s, renames_that_exchange_and_that_must_not_replace);
    UNIT_TEST(s, a_file_without_a_name_can_be_given_one);
    UNIT_TEST(s, a_listing_has_every_name_once);
    UNIT_TEST(s, lookups_are_counted_and_forgotten);
    UNIT_TEST(s, a_reset_forgets_everything);
    UNIT_TEST(s, any_number_of_files_with_few_descriptors);
    UNIT_TEST(s, who_was_replaced_is_stale_and_never_another_file);
    UNIT_TEST(s, files_that_may_be_known_are_limited);
    UNIT_TEST(s, names_are_single_components_everywhere);
    UNIT_TEST(s, links_lead_nowhere_on_the_host);
    UNIT_TEST(s, what_would_act_or_wait_is_not_opened);
    UNIT_TEST(s, sizes_that_lie);
    UNIT_TEST(s, read_only_directories_stay_as_they_are);
    UNIT_TEST(s, several_directories_are_apart);
    UNIT_TEST(s, another_share_makes_the_old_one_stale);
    UNIT_TEST(s, another_share_has_other_threads);
    UNIT_TEST(s, what_is_served_no_more_is_not_reached_by_requests_under_way);
    UNIT_TEST(s, a_handle_in_use_keeps_its_node);
    UNIT_TEST(s, a_file_that_is_open_is_changed_without_its_name);
    UNIT_TEST(s, files_without_names_and_owners_of_locks_leave_descriptors_to_others);
    UNIT_TEST(s, locks_stay_when_another_thread_gives_up_its_own);
    UNIT_TEST(s, locks_hold_between_processes_of_the_guest_and_against_the_host);
    UNIT_TEST(s, files_can_be_served_by_themselves_and_only_read);
    UNIT_TEST(s, a_hole_where_nothing_is_leaves_no_trace);
    UNIT_TEST(s, locks_are_limited);
    UNIT_TEST(s, of_many_who_are_interrupted_nobody_goes_on_waiting);
    UNIT_TEST(s, who_waits_for_a_lock_gets_it_or_may_not_or_is_interrupted);
}

UNIT_TEST_MAIN("share", add_tests)
