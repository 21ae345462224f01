/* SPDX-License-Identifier: MIT */
/* The DAX window: what a guest may have in it, and what a hostile one may not. */
#include <stdlib.h>

#include "entries.h"
#include "mem/mem_window.h"
#include "share_fixture.h"

#define WINDOW (4 * MEM_WINDOW_PIECE)
#define NO_HANDLE UINT64_MAX /* Linux names none */

struct dx {
    struct fx f;
    struct mem *mem;
    struct mem_window *w;
};

static void give_window(struct dx *d)
{
    const struct mem_options o = {.capacity = 0x10000, .windows = WINDOW};

    ck_assert_int_eq(mem_create_with(&o, &d->mem, NULL), 0);
    ck_assert_int_eq(mem_add_windows(d->mem, UINT64_C(0x100000000)), 0);
    ck_assert_int_eq(mem_window_create(d->mem, WINDOW, &d->w), 0);
    ck_assert_int_eq(share_set_window(d->f.s, d->w), 0);
}

static void dx_open_with(struct dx *d, struct share_options *o)
{
    fx_open_with(&d->f, o);
    give_window(d);
    ck_assert_int_eq(fx_init(&d->f, FX_FLAGS | FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX), 0);
    ck_assert_uint_eq(((struct fuse_init_out *)fx_answer(&d->f))->map_alignment, 21);
}

static void dx_open(struct dx *d)
{
    struct share_options o = {.ownership = SHARE_MINE};

    fx_dir(&d->f);
    dx_open_with(d, &o);
}

static void dx_close(struct dx *d)
{
    share_drop_window(d->f.s);
    mem_destroy(d->mem);
    fx_close(&d->f);
}

static char *at(struct dx *d, uint64_t off)
{
    return (char *)d->w->host + off;
}

static int map_len(struct dx *d, uint64_t node, uint64_t fh, uint64_t foffset, uint64_t moffset, uint64_t len,
                   bool write)
{
    struct fuse_setupmapping_in in = {.fh = fh, .foffset = foffset, .len = len, .moffset = moffset,
                                      .flags = FUSE_SETUPMAPPING_FLAG_READ};

    if (write)
        in.flags |= FUSE_SETUPMAPPING_FLAG_WRITE;
    return fx_ask(&d->f, FUSE_SETUPMAPPING, node, &in, sizeof(in), NULL, NULL);
}

static int map(struct dx *d, uint64_t node, uint64_t foffset, uint64_t moffset, bool write)
{
    return map_len(d, node, NO_HANDLE, foffset, moffset, MEM_WINDOW_PIECE, write);
}

static int unmap(struct dx *d, uint64_t moffset, uint64_t len)
{
    struct {
        uint32_t count;
        uint32_t one[4];
    } in = {1, {(uint32_t)moffset, (uint32_t)(moffset >> 32), (uint32_t)len, (uint32_t)(len >> 32)}};

    return fx_ask(&d->f, FUSE_REMOVEMAPPING, 1, &in, sizeof(in), NULL, NULL);
}

static const char *host_text(struct dx *d, const char *name)
{
    static char text[64];
    int fd = open(fx_path(&d->f, name), O_RDONLY);

    memset(text, 0, sizeof(text));
    ck_assert_int_ge(fd, 0);
    ck_assert_int_ge(read(fd, text, sizeof(text) - 1), 0);
    close(fd);
    return text;
}

START_TEST(a_window_is_offered_to_who_knows_of_it)
{
    struct fuse_init_out *out;
    struct fuse_attr attr;
    struct dx d;

    fx_open(&d.f);
    ck_assert_int_eq(map(&d, 1, 0, 0, false), -ENOSYS);
    ck_assert_int_eq(unmap(&d, 0, MEM_WINDOW_PIECE), -ENOSYS);
    give_window(&d);
    ck_assert_int_eq(fx_init(&d.f, FX_FLAGS), 0); /* an older driver */
    out = fx_answer(&d.f);
    ck_assert(!(out->flags & FUSE_MAP_ALIGNMENT) && !out->map_alignment);
    ck_assert_int_eq(map(&d, 1, 0, 0, false), -ENOSYS);
    ck_assert_int_eq(fx_init(&d.f, FX_FLAGS | FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX), 0);
    out = fx_answer(&d.f);
    ck_assert(out->flags & FUSE_MAP_ALIGNMENT && out->flags2 & FUSE_HAS_INODE_DAX >> 32);
    fx_host_write(&d.f, "small", "x");
    fx_host_write(&d.f, "large", "x");
    ck_assert_int_eq(truncate(fx_path(&d.f, "large"), DAX_FILE_LEAST), 0);
    ck_assert_int_eq(fx_getattr(&d.f, fx_lookup(&d.f, 1, "small"), &attr), 0);
    ck_assert(!(attr.flags & FUSE_ATTR_DAX));
    ck_assert_int_eq(fx_getattr(&d.f, fx_lookup(&d.f, 1, "large"), &attr), 0);
    ck_assert(attr.flags & FUSE_ATTR_DAX);
    dx_close(&d);
}
END_TEST

START_TEST(the_guest_the_host_and_requests_see_one_file)
{
    uint64_t node, fh;
    struct dx d;
    unsigned files;

    dx_open(&d);
    ck_assert_int_eq(fx_create(&d.f, 1, "f", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_write(&d.f, fh, 0, "by a request", 0), 0);
    ck_assert_int_eq(map(&d, node, 0, 0, false), 0);
    ck_assert_int_eq(unmap(&d, 0, MEM_WINDOW_PIECE), 0); /* the node is open from now on */
    files = count_fds();
    ck_assert_int_eq(map(&d, node, 0, MEM_WINDOW_PIECE, false), 0);
    ck_assert_str_eq(at(&d, MEM_WINDOW_PIECE), "by a request");
    ck_assert_int_eq(map(&d, node, 0, MEM_WINDOW_PIECE, true), 0); /* Linux makes it writable like that */
    strcpy(at(&d, MEM_WINDOW_PIECE) + 3, "the windo");
    ck_assert_str_eq(host_text(&d, "f"), "by the windo");
    ck_assert_int_eq(fx_read(&d.f, fh, 3, 100), 0);
    ck_assert_mem_eq(fx_answer(&d.f), "the windo", 9);
    ck_assert_int_eq(fx_write(&d.f, fh, 3, "a request", 0), 0);
    ck_assert_str_eq(at(&d, MEM_WINDOW_PIECE), "by a request");
    ck_assert_int_eq(map(&d, node, 0, 0, true), 0); /* twice */
    ck_assert_str_eq(at(&d, 0), "by a request");
    ck_assert_uint_eq(count_fds(), files + 1);
    ck_assert_int_eq(fx_release(&d.f, fh), 0);
    strcpy(at(&d, 0), "later");
    ck_assert_str_eq(host_text(&d, "f"), "later");
    ck_assert_int_eq(unmap(&d, 0, WINDOW), 0);
    ck_assert_str_eq(at(&d, 0), "");
    ck_assert_uint_eq(count_fds(), files - 1);
    dx_close(&d);
}
END_TEST

START_TEST(what_is_not_to_be_written_is_not)
{
    struct share_directory dir[2];
    struct share_options o = {.ownership = SHARE_MINE, .directory = dir, .count = 2};
    uint64_t node, fh;
    struct dx d;

    fx_dir(&d.f);
    dir[0] = (struct share_directory){.name = "ro", .path = d.f.dir, .read_only = true};
    dir[1] = (struct share_directory){.name = "text", .text = "in memory", .is_file = true};
    fx_host_write(&d.f, "f", "read only");
    dx_open_with(&d, &o);
    node = fx_lookup(&d.f, fx_lookup(&d.f, 1, "ro"), "f");
    ck_assert_int_eq(map(&d, node, 0, 0, true), -EROFS);
    ck_assert_int_eq(map(&d, node, 0, 0, false), 0);
    ck_assert_str_eq(at(&d, 0), "read only");
    strcpy(at(&d, 0), "hostile");
    ck_assert_str_eq(host_text(&d, "f"), "read only");
    ck_assert_int_eq(map(&d, node, 0, 0, true), -EROFS);
    ck_assert_int_eq(fx_fopen(&d.f, node, O_RDONLY, &fh), 0);
    ck_assert_int_eq(map_len(&d, node, fh, 0, 0, MEM_WINDOW_PIECE, true), -EBADF);
    node = fx_lookup(&d.f, 1, "text");
    ck_assert_int_lt(map(&d, node, 0, 0, true), 0);
    ck_assert_int_eq(map(&d, node, 0, 0, false), 0);
    ck_assert_str_eq(at(&d, 0), "in memory");
    dx_close(&d);
}
END_TEST

START_TEST(a_hostile_guest_gets_errors)
{
    static const struct {
        uint64_t foffset, moffset, len;
    } bad[] = {{0, 0, 0}, {0, 0, 1}, {0, 0, MEM_WINDOW_PIECE + 4096}, {4096, 0, MEM_WINDOW_PIECE},
               {0, 4096, MEM_WINDOW_PIECE}, {0, WINDOW, MEM_WINDOW_PIECE}, {0, 0, WINDOW + MEM_WINDOW_PIECE},
               {0, WINDOW - MEM_WINDOW_PIECE, 2 * MEM_WINDOW_PIECE},
               {0, UINT64_MAX & ~(MEM_WINDOW_PIECE - 1), MEM_WINDOW_PIECE},
               {0, MEM_WINDOW_PIECE, UINT64_MAX & ~(MEM_WINDOW_PIECE - 1)},
               {UINT64_MAX & ~(MEM_WINDOW_PIECE - 1), 0, MEM_WINDOW_PIECE},
               {INT64_MAX & ~(MEM_WINDOW_PIECE - 1), 0, MEM_WINDOW_PIECE}};
    uint64_t node, fh, other, other_fh, folder;
    struct fuse_removemapping_in many = {.count = 257};
    struct dx d;
    unsigned files;

    dx_open(&d);
    ck_assert_int_eq(fx_create(&d.f, 1, "f", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_create(&d.f, 1, "other", O_RDWR, 0644, &other, &other_fh), 0);
    ck_assert_int_eq(fx_mkdir(&d.f, 1, "d", 0755, &folder), 0);
    ck_assert_int_eq(map(&d, node, 0, 0, false), 0);
    ck_assert_int_eq(map(&d, other, 0, 0, false), 0);
    ck_assert_int_eq(unmap(&d, 0, MEM_WINDOW_PIECE), 0);
    files = count_fds();
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        ck_assert_int_eq(map_len(&d, node, NO_HANDLE, bad[i].foffset, bad[i].moffset, bad[i].len, true), -EINVAL);
    for (size_t i = 0; i < 3; i++)
        ck_assert_int_eq(unmap(&d, bad[i].moffset, bad[i].len), -EINVAL);
    for (size_t i = 4; i < 10; i++)
        ck_assert_int_eq(unmap(&d, bad[i].moffset, bad[i].len), -EINVAL);
    ck_assert_int_eq(map(&d, 12345, 0, 0, false), -ESTALE);
    ck_assert_int_eq(map(&d, folder, 0, 0, false), -EISDIR);
    ck_assert_int_eq(map(&d, 1, 0, 0, false), -EISDIR);
    ck_assert_int_eq(map_len(&d, node, 12345, 0, 0, MEM_WINDOW_PIECE, false), -EBADF);
    ck_assert_int_eq(map_len(&d, node, other_fh, 0, 0, MEM_WINDOW_PIECE, false), -EBADF);
    ck_assert_int_eq(map_len(&d, node, fh, 0, 0, MEM_WINDOW_PIECE, true), 0);
    ck_assert_int_eq(fx_ask(&d.f, FUSE_REMOVEMAPPING, 1, &many, sizeof(many), NULL, NULL), -EINVAL);
    many.count = 2; /* and one is there */
    ck_assert_int_eq(fx_ask(&d.f, FUSE_REMOVEMAPPING, 1, &many, sizeof(many), "0123456789abcdef", NULL), -EINVAL);
    ck_assert_int_eq(fx_ask(&d.f, FUSE_SETUPMAPPING, node, &many, sizeof(many), NULL, NULL), -EINVAL);
    ck_assert_int_eq(map(&d, other, 0, 0, true), 0); /* in its place */
    strcpy(at(&d, 0), "x");
    ck_assert_str_eq(host_text(&d, "f"), "");
    ck_assert_int_eq(unmap(&d, 0, MEM_WINDOW_PIECE), 0);
    ck_assert_int_eq(unmap(&d, 0, MEM_WINDOW_PIECE), 0); /* nothing is there */
    ck_assert_uint_eq(count_fds(), files);
    dx_close(&d);
}
END_TEST

START_TEST(a_file_that_the_guest_cuts_and_makes_longer_is_seen_as_it_is)
{
    struct fuse_setattr_in cut = {.valid = FATTR_SIZE};
    uint64_t node, fh;
    struct dx d;

    dx_open(&d);
    ck_assert_int_eq(fx_create(&d.f, 1, "f", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_write(&d.f, fh, 0x8000, "before", 0), 0);
    ck_assert_int_eq(map(&d, node, 0, 0, true), 0);
    ck_assert_str_eq(at(&d, 0x8000), "before");
    ck_assert_int_eq(fx_ask(&d.f, FUSE_SETATTR, node, &cut, sizeof(cut), NULL, NULL), 0);
    strcpy(at(&d, 0x8000), "nowhere");
    ck_assert_int_eq(fx_write(&d.f, fh, 0x8000, "behind", 0), 0);
    ck_assert_str_eq(at(&d, 0x8000), "behind");
    strcpy(at(&d, 0x8000), "window");
    ck_assert_int_eq(fx_read(&d.f, fh, 0x8000, 6), 0);
    ck_assert_mem_eq(fx_answer(&d.f), "window", 6);
    dx_close(&d);
}
END_TEST

START_TEST(what_was_lost_is_an_error_of_fsync_once)
{
    struct fuse_fsync_in in = {0};
    uint64_t node;
    struct dx d;

    dx_open(&d);
    ck_assert_int_eq(fx_create(&d.f, 1, "f", O_RDWR, 0644, &node, &in.fh), 0);
    ck_assert_int_eq(map(&d, node, 0, 0, true), 0);
    ck_assert_int_eq(fx_ask(&d.f, FUSE_FSYNC, node, &in, sizeof(in), NULL, NULL), 0);
    atomic_store(&d.w->piece[0].file->lost, true);
    ck_assert_int_eq(fx_ask(&d.f, FUSE_FSYNC, node, &in, sizeof(in), NULL, NULL), -EIO);
    ck_assert_int_eq(fx_ask(&d.f, FUSE_FSYNC, node, &in, sizeof(in), NULL, NULL), 0);
    dx_close(&d);
}
END_TEST

START_TEST(a_session_that_ends_leaves_nothing)
{
    uint64_t node, fh;
    struct dx d;
    unsigned files;

    dx_open(&d);
    files = count_fds();
    for (unsigned n = 0; n < 3; n++) {
        ck_assert_int_eq(fx_create(&d.f, 1, "f", O_RDWR, 0644, &node, &fh), 0);
        ck_assert_int_eq(fx_write(&d.f, fh, 0, "text", 0), 0);
        ck_assert_int_eq(map_len(&d, node, NO_HANDLE, 0, 0, WINDOW, true), 0);
        ck_assert_int_eq(fx_ask(&d.f, FUSE_UNLINK, 1, NULL, 0, "f", NULL), 0);
        fx_forget(&d.f, node, 1);
        ck_assert_str_eq(at(&d, 0), "text"); /* as any file that is mapped */
        if (n == 2)
            share_reset(d.f.s);
        else
            ck_assert_int_eq(n ? fx_ask(&d.f, FUSE_DESTROY, 0, NULL, 0, NULL, NULL)
                               : fx_init(&d.f, FX_FLAGS | FUSE_MAP_ALIGNMENT), 0);
        ck_assert_str_eq(at(&d, 0), "");
        ck_assert_uint_eq(d.f.s->node_count, 1);
        ck_assert_uint_eq(count_fds(), files);
        ck_assert_int_eq(fx_init(&d.f, FX_FLAGS | FUSE_MAP_ALIGNMENT), 0);
    }
    dx_close(&d);
}
END_TEST

/* ---- Save and restore ----------------------------------------------------------------------- */

/* spoil: the byte that is another; SIZE_MAX: none. False: there is no such byte. */
static bool restore_in(struct dx *a, struct dx *b, const struct share_options *like, size_t spoil)
{
    struct share_options o = *like;
    const struct state_blob *from = &share_files(a->f.s)->list;
    struct share_session session;
    struct state_blob *to;

    o.no_threads = true;
    memcpy(b, a, sizeof(*b));
    ck_assert_int_eq(share_open(&o, &b->f.s, NULL), 0);
    give_window(b);
    share_save(a->f.s, &session);
    to = &share_files(b->f.s)->list;
    free(to->data);
    *to = (struct state_blob){malloc(from->len), from->len};
    memcpy(to->data, from->data, from->len);
    if (spoil < to->len)
        to->data[spoil] ^= 0xff;
    share_load(b->f.s, &session);
    return spoil < from->len;
}

static void restore(struct dx *a, struct dx *b)
{
    struct share_directory dir = {.path = a->f.dir};

    restore_in(a, b, &(struct share_options){.directory = &dir, .count = 1}, SIZE_MAX);
}

static uint64_t make_mapped(struct dx *d, const char *name, unsigned piece, bool write)
{
    uint64_t node, fh;

    ck_assert_int_eq(fx_create(&d->f, 1, name, O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_write(&d->f, fh, 0, name, 0), 0);
    ck_assert_int_eq(fx_release(&d->f, fh), 0);
    ck_assert_int_eq(map(d, node, 0, piece * MEM_WINDOW_PIECE, write), 0);
    return node;
}

START_TEST(a_restored_window_shows_what_is_still_there_and_no_other_file)
{
    struct dx a, b;

    dx_open(&a);
    make_mapped(&a, "written", 0, true);
    make_mapped(&a, "read", 1, false);
    make_mapped(&a, "gone", 2, true);
    make_mapped(&a, "replaced", 3, true);
    ck_assert_int_eq(unlink(fx_path(&a.f, "gone")), 0);
    ck_assert_int_eq(unlink(fx_path(&a.f, "replaced")), 0);
    fx_host_write(&a.f, "replaced", "another");
    restore(&a, &b);
    ck_assert_str_eq(at(&b, 0), "written");
    ck_assert_str_eq(at(&b, MEM_WINDOW_PIECE), "read");
    for (unsigned i = 0; i < 4; i++)
        strcpy(at(&b, i * MEM_WINDOW_PIECE), "changed");
    ck_assert_str_eq(host_text(&b, "written"), "changed");
    ck_assert_str_eq(host_text(&b, "read"), "read");
    ck_assert_str_eq(host_text(&b, "replaced"), "another");
    ck_assert_int_eq(unmap(&b, 0, WINDOW), 0);
    share_close(b.f.s);
    mem_destroy(b.mem);
    dx_close(&a);
}
END_TEST

/* Whatever a saved state says, a read-only mapping's file is not written, and nothing lies outside of the window. */
START_TEST(a_damaged_state_shows_nothing_that_may_not_be_shown)
{
    struct share_directory dir;
    struct share_options o = {.ownership = SHARE_MINE, .directory = &dir, .count = 1};
    bool more = true;
    struct dx a, b;

    fx_dir(&a.f);
    dir = (struct share_directory){.path = a.f.dir, .read_only = true};
    fx_host_write(&a.f, "f", "read only");
    dx_open_with(&a, &o);
    ck_assert_int_eq(map(&a, fx_lookup(&a.f, 1, "f"), 0, MEM_WINDOW_PIECE, false), 0);
    for (size_t i = 0; more; i++) {
        more = restore_in(&a, &b, &o, i);
        for (unsigned n = 0; n < 4; n++)
            strcpy(at(&b, n * MEM_WINDOW_PIECE), "hostile");
        share_close(b.f.s);
        mem_destroy(b.mem);
    }
    ck_assert_str_eq(host_text(&a, "f"), "read only");
    dx_close(&a);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_window_is_offered_to_who_knows_of_it);
    UNIT_TEST(s, the_guest_the_host_and_requests_see_one_file);
    UNIT_TEST(s, what_is_not_to_be_written_is_not);
    UNIT_TEST(s, a_hostile_guest_gets_errors);
    UNIT_TEST(s, a_file_that_the_guest_cuts_and_makes_longer_is_seen_as_it_is);
    UNIT_TEST(s, what_was_lost_is_an_error_of_fsync_once);
    UNIT_TEST(s, a_session_that_ends_leaves_nothing);
    UNIT_TEST(s, a_restored_window_shows_what_is_still_there_and_no_other_file);
    UNIT_TEST(s, a_damaged_state_shows_nothing_that_may_not_be_shown);
}

UNIT_TEST_MAIN("share_dax", add_tests)
