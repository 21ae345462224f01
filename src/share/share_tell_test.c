/* SPDX-License-Identifier: MIT */
/* Calls by which watchers are told: they answer as if they had been done, and nothing is. */
#include "share_fixture.h"
#include "share/share_tell.h"

static void fx_tell(struct fx *f, bool on)
{
    static uint32_t uid, gid;

    if (on) {
        uid = f->uid;
        gid = f->gid;
    }
    f->uid = on ? 0 : uid;
    f->gid = on ? SHARE_TELL_FILE : gid;
}

/* The error of "making" name, and its node. */
static int make(struct fx *f, const char *name, uint64_t *ret)
{
    struct fuse_mknod_in in = {.mode = S_IFREG | 0600};
    int r = fx_ask(f, FUSE_MKNOD, 1, &in, sizeof(in), name, NULL);

    if (!r)
        *ret = ((struct fuse_entry_out *)fx_answer(f))->nodeid;
    return r;
}

START_TEST(what_the_host_made_is_made_again_and_stays)
{
    uint64_t node, known, fh;
    struct stat before, after;
    struct fx f;

    fx_open(&f);
    fx_host_write(&f, "new", "text");
    ck_assert_int_eq(stat(fx_path(&f, "new"), &before), 0);
    known = fx_lookup(&f, 1, "new");
    fx_tell(&f, true);
    ck_assert_uint_eq(fx_lookup(&f, 1, "new"), 0);
    ck_assert_int_eq(make(&f, "new", &node), 0);
    ck_assert_uint_eq(node, known);
    ck_assert_int_eq(make(&f, "nothing", &node), -ENOENT);
    ck_assert_int_eq(access(fx_path(&f, "nothing"), F_OK), -1);
    fx_tell(&f, false);
    ck_assert_uint_eq(fx_lookup(&f, 1, "new"), known);
    ck_assert_int_eq(fx_fopen(&f, known, O_RDONLY, &fh), 0);
    fx_tell(&f, true); /* whoever has it open goes on to know it by that name */
    ck_assert_uint_eq(fx_lookup(&f, 1, "new"), known);
    ck_assert_int_eq(stat(fx_path(&f, "new"), &after), 0);
    ck_assert_mem_eq(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim));
    fx_close(&f);
}
END_TEST

START_TEST(what_the_host_removed_is_removed_again)
{
    uint64_t gone;
    struct fuse_attr attr;
    struct fx f;

    fx_open(&f);
    fx_host_write(&f, "here", "text");
    fx_tell(&f, true);
    gone = fx_lookup(&f, 1, "gone");
    ck_assert_uint_ne(gone, 0);
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(&f))->attr.mode, S_IFREG);
    ck_assert_int_eq(fx_getattr(&f, gone, &attr), -ESTALE); /* it leads nowhere */
    fx_forget(&f, gone, 1);
    ck_assert_int_eq(fx_ask(&f, FUSE_UNLINK, 1, NULL, 0, "gone", NULL), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_UNLINK, 1, NULL, 0, "here", NULL), -EEXIST);
    ck_assert_int_eq(fx_ask(&f, FUSE_RMDIR, 1, NULL, 0, "here", NULL), -EEXIST);
    ck_assert_int_eq(access(fx_path(&f, "here"), F_OK), 0);
    f.gid = SHARE_TELL_FOLDER;
    ck_assert_uint_ne(fx_lookup(&f, 1, "gone"), gone);
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(&f))->attr.mode, S_IFDIR);
    fx_tell(&f, false);
    ck_assert_uint_eq(fx_lookup(&f, 1, "gone"), 0);
    fx_close(&f);
}
END_TEST

START_TEST(what_the_host_moved_is_moved_again)
{
    struct fuse_rename2_in in = {.newdir = 1};
    struct fx f;

    fx_open(&f);
    fx_host_write(&f, "to", "text");
    fx_host_write(&f, "other", "text");
    fx_tell(&f, true);
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "from", "to"), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "other", "to"), -EEXIST);
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "from", "nowhere"), -ENOENT);
    ck_assert_int_eq(access(fx_path(&f, "to"), F_OK) | access(fx_path(&f, "other"), F_OK), 0);
    fx_close(&f);
}
END_TEST

START_TEST(nothing_else_is_done_and_nobody_else_is_believed)
{
    struct share_directory d = {.read_only = true};
    struct share_options o = {.directory = &d, .count = 1};
    struct fuse_setattr_in mode = {.valid = FATTR_MODE, .mode = S_IFREG | 0600};
    struct fuse_setattr_in size = {.valid = FATTR_SIZE};
    struct fuse_open_in open = {.flags = O_RDONLY};
    uint64_t node, fh;
    struct stat st;
    struct fx f;

    fx_dir(&f);
    d.path = f.dir;
    fx_host_write(&f, "a", "text");
    ck_assert_int_eq(chmod(fx_path(&f, "a"), 0644), 0);
    fx_open_with(&f, &o);
    node = fx_lookup(&f, 1, "a");
    ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &mode, sizeof(mode), NULL, NULL), -EROFS);
    mode.mode = S_IFREG | 0644; /* not even what changes nothing */
    ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &mode, sizeof(mode), NULL, NULL), -EROFS);
    fx_tell(&f, true);
    mode.mode = S_IFREG | 0600;
    ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &mode, sizeof(mode), NULL, NULL), 0);
    ck_assert_uint_eq(((struct fuse_attr_out *)fx_answer(&f))->attr.mode, S_IFREG | 0644);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETATTR, node, &size, sizeof(size), NULL, NULL), -EPERM);
    ck_assert_int_eq(fx_ask(&f, FUSE_OPEN, node, &open, sizeof(open), NULL, NULL), -EPERM);
    ck_assert_int_eq(fx_create(&f, 1, "b", O_RDWR, 0644, &node, &fh), -EPERM);
    ck_assert_int_eq(make(&f, "..", &node), -EINVAL);
    f.uid = 1;
    ck_assert_uint_ne(fx_lookup(&f, 1, "a"), 0);
    ck_assert_int_eq(stat(fx_path(&f, "a"), &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0644);
    ck_assert_int_eq(st.st_size, 4);
    fx_close(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_the_host_made_is_made_again_and_stays);
    UNIT_TEST(s, what_the_host_removed_is_removed_again);
    UNIT_TEST(s, what_the_host_moved_is_moved_again);
    UNIT_TEST(s, nothing_else_is_done_and_nobody_else_is_believed);
}

UNIT_TEST_MAIN("share_tell", add_tests)
