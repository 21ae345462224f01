/* SPDX-License-Identifier: MIT */
/* What the guest knows and has open, in another share of the same directory: as after a restore. */
#include <stdlib.h>
#include <sys/file.h>

#include "share_fixture.h"

/* Another share of a's directory that goes on where a is; a's bytes are changed by spoil() before. */
static void restore(struct fx *a, struct fx *b, void (*spoil)(uint8_t *data, size_t len))
{
    struct share_directory d = {.path = a->dir};
    struct share_options o = {.directory = &d, .count = 1, .no_threads = true};
    struct share_session session;
    const struct state_blob *from = &share_files(a->s)->list;
    struct state_blob *to;

    memcpy(b, a, sizeof(*b));
    ck_assert_int_eq(share_open(&o, &b->s, NULL), 0);
    share_save(a->s, &session);
    to = &share_files(b->s)->list;
    free(to->data);
    *to = (struct state_blob){malloc(from->len), from->len};
    memcpy(to->data, from->data, from->len);
    if (spoil)
        spoil(to->data, to->len);
    share_load(b->s, &session);
}

START_TEST(files_that_were_known_and_open_are_found_again)
{
    uint64_t dir, node, fh, listed = 0;
    struct fuse_open_out *out;
    struct fuse_open_in open_in = {0};
    struct fuse_attr attr;
    struct fx a, b;

    fx_open(&a);
    ck_assert_int_eq(fx_mkdir(&a, 1, "d", 0755, &dir), 0);
    ck_assert_int_eq(fx_create(&a, dir, "f", O_RDWR | O_TRUNC, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_write(&a, fh, 0, "written before", 0), 0);
    ck_assert_int_eq(fx_ask(&a, FUSE_OPENDIR, dir, &open_in, sizeof(open_in), NULL, NULL), 0);
    out = fx_answer(&a);
    listed = out->fh;
    restore(&a, &b, NULL);
    ck_assert_int_eq(fx_getattr(&b, node, &attr), 0);
    ck_assert_uint_eq(attr.size, 14);
    ck_assert_int_eq(fx_read(&b, fh, 8, 100), 0);
    ck_assert_mem_eq(fx_answer(&b), "before", 6);
    ck_assert_int_eq(fx_write(&b, fh, 8, "behind", 0), 0);
    ck_assert_uint_eq(fx_lookup(&b, 1, "d"), dir);
    ck_assert_uint_eq(fx_lookup(&b, dir, "f"), node);
    ck_assert_int_eq(fx_ask(&b, FUSE_READDIR, dir, &(struct fuse_read_in){.fh = listed, .size = 4096},
                            sizeof(struct fuse_read_in), NULL, NULL), 0);
    ck_assert_uint_gt(b.got, 0);
    ck_assert_int_eq(fx_release(&b, fh), 0);
    ck_assert_int_eq(fx_release(&b, listed), 0);
    fx_forget(&b, node, 2); /* one before, one after */
    fx_forget(&b, dir, 2);
    ck_assert_uint_eq(b.s->node_count, 1);
    share_close(b.s);
    fx_close(&a);
}
END_TEST

START_TEST(what_has_gone_is_stale_and_never_another_file)
{
    uint64_t kept, gone, replaced, moved, kept_fh, gone_fh, replaced_fh;
    struct fuse_attr attr;
    struct fx a, b;

    fx_open(&a);
    ck_assert_int_eq(fx_create(&a, 1, "kept", O_RDWR, 0644, &kept, &kept_fh), 0);
    ck_assert_int_eq(fx_create(&a, 1, "gone", O_RDWR, 0644, &gone, &gone_fh), 0);
    ck_assert_int_eq(fx_create(&a, 1, "replaced", O_RDWR, 0644, &replaced, &replaced_fh), 0);
    fx_host_write(&a, "moved", "x");
    moved = fx_lookup(&a, 1, "moved");
    ck_assert_int_eq(rename(fx_path(&a, "moved"), fx_path(&a, "elsewhere")), 0);
    ck_assert_int_eq(unlink(fx_path(&a, "gone")), 0);
    fx_host_write(&a, "new", "of somebody else");
    ck_assert_int_eq(rename(fx_path(&a, "new"), fx_path(&a, "replaced")), 0);
    restore(&a, &b, NULL);
    ck_assert_int_eq(fx_getattr(&b, kept, &attr), 0);
    ck_assert_int_eq(fx_getattr(&b, gone, &attr), -ESTALE);
    ck_assert_int_eq(fx_getattr(&b, replaced, &attr), -ESTALE);
    ck_assert_int_eq(fx_getattr(&b, moved, &attr), -ESTALE);
    ck_assert_int_eq(fx_read(&b, kept_fh, 0, 10), 0);
    ck_assert_int_eq(fx_read(&b, gone_fh, 0, 10), -ESTALE);
    ck_assert_int_eq(fx_write(&b, replaced_fh, 0, "mine", 0), -ESTALE);
    ck_assert_int_eq(fx_read(&b, UINT64_C(99) << 32, 0, 10), -EBADF);
    ck_assert_uint_ne(fx_lookup(&b, 1, "replaced"), replaced);
    ck_assert_uint_eq(fx_lookup(&b, 1, "elsewhere"), moved); /* known by its identity, and found again */
    ck_assert_int_eq(fx_getattr(&b, moved, &attr), 0);
    share_close(b.s);
    fx_close(&a);
}
END_TEST

static uint64_t seed;

static void change_some(uint8_t *data, size_t len)
{
    for (unsigned i = 0; i < 6; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        data[(seed >> 20) % len] = (uint8_t)(seed >> 50) & (i & 1 ? 0xff : 3);
    }
}

START_TEST(damaged_lists_do_no_harm)
{
    uint64_t dir, node, fh;
    struct fx a, b;

    fx_open(&a);
    for (unsigned i = 0; i < 4; i++) {
        char name[8] = {(char)('a' + i)};

        ck_assert_int_eq(fx_mkdir(&a, i ? dir : 1, name, 0755, &dir), 0);
        ck_assert_int_eq(fx_create(&a, dir, "f", O_RDWR, 0644, &node, &fh), 0);
    }
    ck_assert_int_eq(fx_lock(&a, fh, 7, F_RDLCK, 0, 9, 0), 0);
    ck_assert_int_eq(fx_lock(&a, fh, 7, F_RDLCK, 0, 9, FUSE_LK_FLOCK), 0);
    for (unsigned i = 0; i < 1000; i++) {
        struct fuse_attr attr;

        restore(&a, &b, change_some);
        for (uint64_t id = 1; id < 20; id++)
            (void)!fx_getattr(&b, id, &attr);
        (void)!fx_read(&b, fh, 0, 10);
        share_close(b.s);
    }
    fx_close(&a);
}
END_TEST

/* A name in it that is a path would lead out. */
static void name_outside(uint8_t *data, size_t len)
{
    uint8_t *at = memmem(data, len, "xxxxxxxxxxx", 11);

    ck_assert_ptr_nonnull(at);
    memcpy(at, "../../../tm", 11);
}

START_TEST(names_that_are_paths_are_dropped)
{
    uint64_t node, fh;
    struct fuse_attr attr;
    struct fx a, b;

    fx_open(&a);
    ck_assert_int_eq(fx_create(&a, 1, "xxxxxxxxxxx", O_RDWR, 0644, &node, &fh), 0);
    restore(&a, &b, name_outside);
    ck_assert_int_eq(fx_getattr(&b, node, &attr), -ESTALE);
    ck_assert_int_eq(fx_read(&b, fh, 0, 1), -ESTALE);
    share_close(b.s);
    fx_close(&a);
}
END_TEST

START_TEST(a_file_that_is_served_by_itself_must_be_the_same)
{
    struct share_directory d = {.name = "f", .is_file = true};
    struct share_options o = {.directory = &d, .count = 1, .no_threads = true};
    struct share_session session;
    uint64_t node, fh;
    struct fx a, b;

    fx_dir(&a);
    fx_host_write(&a, "f", "first");
    d.path = fx_path(&a, "f");
    fx_open_with(&a, &o);
    node = fx_lookup(&a, 1, "f");
    ck_assert_int_eq(fx_fopen(&a, node, O_RDONLY, &fh), 0);
    for (unsigned turn = 0; turn < 2; turn++) {
        const struct state_blob *from = &share_files(a.s)->list;
        struct state_blob *to;

        if (turn) { /* as an upgrade of a package does it */
            fx_host_write(&a, "new", "other");
            ck_assert_int_eq(rename(fx_path(&a, "new"), fx_path(&a, "f")), 0);
        }
        d.path = fx_path(&a, "f");
        memcpy(&b, &a, sizeof(b));
        ck_assert_int_eq(share_open(&o, &b.s, NULL), 0);
        share_save(a.s, &session);
        to = &share_files(b.s)->list;
        free(to->data);
        *to = (struct state_blob){malloc(from->len), from->len};
        memcpy(to->data, from->data, from->len);
        share_load(b.s, &session);
        ck_assert_int_eq(fx_read(&b, fh, 0, 100), turn ? -ESTALE : 0);
        if (turn)
            ck_assert_uint_ne(fx_lookup(&b, 1, "f"), node);
        else
            ck_assert_mem_eq(fx_answer(&b), "first", 5);
        share_close(b.s);
    }
    fx_close(&a);
}
END_TEST

/* Is the range free for a program of the host? */
static bool is_free(const struct fx *f, const char *name, off_t start)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
    int fd = open(fx_path(f, name), O_RDWR);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(fcntl(fd, F_OFD_GETLK, &l), 0);
    close(fd);
    return l.l_type == F_UNLCK;
}

/* As restore(), of a machine that has ended: its locks are free. */
static void restore_ended(struct fx *a)
{
    struct share_directory d = {.path = a->dir};
    struct share_options o = {.directory = &d, .count = 1, .no_threads = true};
    struct state_blob copy = share_files(a->s)->list, *to;
    struct share_session session;
    uint8_t *data = malloc(copy.len);

    memcpy(data, copy.data, copy.len);
    share_save(a->s, &session);
    share_close(a->s);
    ck_assert_int_eq(share_open(&o, &a->s, NULL), 0);
    to = &share_files(a->s)->list;
    free(to->data);
    *to = (struct state_blob){data, copy.len};
    share_load(a->s, &session);
}

START_TEST(locks_are_taken_again)
{
    uint64_t node, fh, other, other_fh;
    struct fx f;
    int fd;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "posix", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_create(&f, 1, "whole", O_RDWR, 0644, &other, &other_fh), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 7, F_WRLCK, 10, 19, 0), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 7, F_RDLCK, 30, INT64_MAX, 0), 0);
    ck_assert_int_eq(fx_lock(&f, other_fh, 8, F_WRLCK, 0, INT64_MAX, FUSE_LK_FLOCK), 0);
    restore_ended(&f);
    ck_assert(is_free(&f, "posix", 9) && !is_free(&f, "posix", 10) && !is_free(&f, "posix", 19));
    ck_assert(is_free(&f, "posix", 20) && !is_free(&f, "posix", 1000));
    fd = open(fx_path(&f, "whole"), O_RDWR);
    ck_assert_int_eq(flock(fd, LOCK_SH | LOCK_NB), -1);
    ck_assert_int_eq(fx_lock(&f, fh, 7, F_UNLCK, 0, 19, 0), 0); /* they are that owner's */
    ck_assert(is_free(&f, "posix", 10) && !is_free(&f, "posix", 1000));
    ck_assert_int_eq(fx_release(&f, fh), 0); /* and that file's */
    ck_assert(is_free(&f, "posix", 1000));
    ck_assert_int_eq(fx_lock(&f, other_fh, 8, F_UNLCK, 0, INT64_MAX, FUSE_LK_FLOCK), 0);
    ck_assert_int_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
    close(fd);
    fx_close(&f);
}
END_TEST

START_TEST(who_has_lost_a_lock_has_lost_the_file)
{
    uint64_t node, fh, second, other, other_fh, third, third_fh;
    struct fx a, b;

    fx_open(&a);
    ck_assert_int_eq(fx_create(&a, 1, "posix", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_fopen(&a, node, O_RDWR, &second), 0);
    ck_assert_int_eq(fx_create(&a, 1, "whole", O_RDWR, 0644, &other, &other_fh), 0);
    ck_assert_int_eq(fx_create(&a, 1, "none", O_RDWR, 0644, &third, &third_fh), 0);
    ck_assert_int_eq(fx_lock(&a, fh, 7, F_WRLCK, 0, 9, 0), 0);
    ck_assert_int_eq(fx_lock(&a, other_fh, 8, F_WRLCK, 0, INT64_MAX, FUSE_LK_FLOCK), 0);
    restore(&a, &b, NULL); /* a goes on, and has them */
    ck_assert_int_eq(fx_write(&b, fh, 0, "x", 0), -ESTALE);
    ck_assert_int_eq(fx_write(&b, second, 0, "x", 0), -ESTALE);
    ck_assert_int_eq(fx_write(&b, other_fh, 0, "x", 0), -ESTALE);
    ck_assert_int_eq(fx_write(&b, third_fh, 0, "x", 0), 0);
    ck_assert_int_eq(fx_write(&a, fh, 0, "x", 0), 0);
    share_close(b.s);
    fx_close(&a);
}
END_TEST

/* What it was told before is not known any more: while it may believe that, no lock; and of what it had locked long ago,
 * nothing, as before. */
START_TEST(a_restored_guest_believes_what_it_was_told_before)
{
    uint64_t known, known_fh, locked, locked_fh, lately, lately_fh;
    struct fuse_getattr_in get = {0};
    struct node *n;
    struct fx a, b;

    fx_open(&a);
    ck_assert_int_eq(fx_create(&a, 1, "known", O_RDWR, 0644, &known, &known_fh), 0);
    ck_assert_int_eq(fx_create(&a, 1, "locked", O_RDWR, 0644, &locked, &locked_fh), 0);
    fx_host_write(&a, "lately", "");
    fx_host_age(&a, "lately"); /* else it would not be believed */
    lately = fx_lookup(&a, 1, "lately");
    ck_assert_int_eq(fx_fopen(&a, lately, O_RDWR, &lately_fh), 0);
    ck_assert_int_eq(fx_lock(&a, locked_fh, 7, F_RDLCK, 0, 9, 0), 0);
    ck_assert_int_eq(fx_lock(&a, lately_fh, 7, F_RDLCK, 0, 9, 0), 0);
    n = node_get(a.s, locked);
    n->believed_ns = 1; /* long ago */
    node_put(a.s, n);
    restore(&a, &b, NULL);
    ck_assert_int_eq(fx_lock(&b, known_fh, 8, F_RDLCK, 0, 9, 0), -EAGAIN);
    ck_assert_int_eq(fx_lock(&b, lately_fh, 8, F_RDLCK, 0, 9, 0), -EAGAIN);
    ck_assert_int_eq(fx_lock(&b, locked_fh, 8, F_RDLCK, 0, 9, 0), 0);
    ck_assert_int_eq(fx_read(&b, lately_fh, 0, 1), 0); /* its lock was taken again */
    ck_assert_int_eq(fx_ask(&b, FUSE_GETATTR, locked, &get, sizeof(get), NULL, NULL), 0);
    ck_assert_uint_eq(((struct fuse_attr_out *)fx_answer(&b))->attr_valid, 0);
    share_close(b.s);
    fx_close(&a);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_restored_guest_believes_what_it_was_told_before);
    UNIT_TEST(s, a_file_that_is_served_by_itself_must_be_the_same);
    UNIT_TEST(s, files_that_were_known_and_open_are_found_again);
    UNIT_TEST(s, what_has_gone_is_stale_and_never_another_file);
    UNIT_TEST(s, damaged_lists_do_no_harm);
    UNIT_TEST(s, names_that_are_paths_are_dropped);
    UNIT_TEST(s, locks_are_taken_again);
    UNIT_TEST(s, who_has_lost_a_lock_has_lost_the_file);
}

UNIT_TEST_MAIN("share_saved", add_tests)
