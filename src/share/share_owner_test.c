/* SPDX-License-Identifier: MIT */
/* Who owns what, and that nothing a guest makes has power on the host. */
#include "share_fixture.h"

static struct stat host(const struct fx *f, const char *name)
{
    struct stat st;

    ck_assert_msg(lstat(fx_path(f, name), &st) == 0, "%s: %s", name, strerror(errno));
    return st;
}

static bool is_tagged(const struct fx *f, const char *name)
{
    return lgetxattr(fx_path(f, name), TAG_NAME, NULL, 0) > 0;
}

static int set_attr(struct fx *f, uint64_t node, struct fuse_setattr_in in)
{
    return fx_ask(f, FUSE_SETATTR, node, &in, sizeof(in), NULL, NULL);
}

START_TEST(what_the_user_makes_needs_no_tag)
{
    uint64_t node, fh;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0664, &node, &fh), 0);
    ck_assert_uint_eq(host(&f, "a").st_mode, S_IFREG | 0664); /* whatever our own mask is */
    ck_assert(!is_tagged(&f, "a"));
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 0400}), 0);
    ck_assert_uint_eq(host(&f, "a").st_mode, S_IFREG | 0400);
    ck_assert(!is_tagged(&f, "a"));
    fx_close(&f);
}
END_TEST

START_TEST(other_owners_and_set_id_bits_are_the_guests_alone)
{
    struct fuse_setattr_in in = {.valid = FATTR_MODE, .mode = 06755};
    uint64_t node, fh;
    struct fuse_attr a;
    struct fx f;
    char text[64] = "";

    fx_open(&f);
    f.uid = 12345;
    f.gid = 54321;
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0444, &node, &fh), 0);
    ck_assert_uint_eq(host(&f, "a").st_uid, geteuid());
    ck_assert_uint_eq(host(&f, "a").st_mode, S_IFREG | 0644); /* we must be able to write the tag */
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.uid, 12345);
    ck_assert_uint_eq(a.gid, 54321);
    ck_assert_uint_eq(a.mode, S_IFREG | 0444);
    ck_assert_int_eq(set_attr(&f, node, in), 0);
    ck_assert_uint_eq(host(&f, "a").st_mode & 07000, 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode, S_IFREG | 06755);
    ck_assert_int_gt(getxattr(fx_path(&f, "a"), TAG_NAME, text, sizeof(text)), 0);
    ck_assert_str_eq(text, "12345:54321:6755:file");
    fx_close(&f);
}
END_TEST

START_TEST(set_id_bits_end_as_they_do_on_a_disk)
{
    struct fuse_setattr_in set_id = {.valid = FATTR_MODE, .mode = 06755};
    struct fuse_setattr_in owner = {.valid = FATTR_UID, .uid = 7};
    struct fuse_setattr_in size = {.valid = FATTR_SIZE | FATTR_KILL_SUIDGID, .size = 1};
    uint64_t node, fh;
    struct fuse_attr a;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0755, &node, &fh), 0);
    ck_assert_int_eq(set_attr(&f, node, set_id), 0);
    ck_assert_int_eq(fx_write(&f, fh, 0, "root may", 0), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode & 07777, 06755);
    ck_assert_int_eq(fx_write(&f, fh, 0, "others not", FUSE_WRITE_KILL_SUIDGID), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode & 07777, 0755);
    ck_assert_int_eq(set_attr(&f, node, set_id), 0);
    ck_assert_int_eq(set_attr(&f, node, size), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode & 07777, 0755);
    ck_assert_int_eq(set_attr(&f, node, set_id), 0);
    ck_assert_int_eq(set_attr(&f, node, owner), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode & 07777, 0755);
    ck_assert_uint_eq(a.uid, 7);
    fx_close(&f);
}
END_TEST

START_TEST(special_files_are_stand_ins)
{
    static const struct { const char *name; mode_t mode; uint32_t rdev; } make[] = {
        {"char", S_IFCHR | 0666, 0x103}, {"block", S_IFBLK | 0660, (259u << 8) | 5 | (1u << 20)},
        {"fifo", S_IFIFO | 0644, 0}, {"socket", S_IFSOCK | 0755, 0}};
    struct fuse_attr a;
    struct fx f;

    fx_open(&f);
    for (unsigned i = 0; i < ARRAY_SIZE(make); i++) {
        struct fuse_mknod_in in = {.mode = make[i].mode, .rdev = make[i].rdev};

        ck_assert_int_eq(fx_ask(&f, FUSE_MKNOD, 1, &in, sizeof(in), make[i].name, NULL), 0);
        a = ((struct fuse_entry_out *)fx_answer(&f))->attr;
        ck_assert_uint_eq(a.mode, make[i].mode);
        ck_assert_uint_eq(a.rdev, make[i].rdev);
        ck_assert(S_ISREG(host(&f, make[i].name).st_mode));
        ck_assert(!(host(&f, make[i].name).st_mode & 0177));
    }
    fx_close(&f);
}
END_TEST

START_TEST(links_belong_to_whom_their_folder_does_or_are_stand_ins)
{
    struct fuse_attr a;
    uint64_t dir;
    struct fx f;

    fx_open(&f);
    f.uid = f.gid = 4242;
    ck_assert_int_eq(fx_mkdir(&f, 1, "d", 0755, &dir), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_SYMLINK, dir, NULL, 0, "l", "target"), 0);
    a = ((struct fuse_entry_out *)fx_answer(&f))->attr;
    ck_assert_uint_eq(a.uid, 4242);
    ck_assert(S_ISLNK(host(&f, "d/l").st_mode));
    f.uid = f.gid = 17;
    ck_assert_int_eq(fx_ask(&f, FUSE_SYMLINK, dir, NULL, 0, "m", "../elsewhere"), 0);
    a = ((struct fuse_entry_out *)fx_answer(&f))->attr;
    ck_assert_uint_eq(a.uid, 17);
    ck_assert_uint_eq(a.mode, S_IFLNK | 0777);
    ck_assert(S_ISREG(host(&f, "d/m").st_mode));
    ck_assert_int_eq(fx_ask(&f, FUSE_READLINK, fx_lookup(&f, dir, "m"), NULL, 0, NULL, NULL), 0);
    ck_assert_uint_eq(f.got, 12);
    ck_assert_mem_eq(fx_answer(&f), "../elsewhere", 12);
    fx_close(&f);
}
END_TEST

/* As tar and dpkg do after they have made one. */
START_TEST(a_link_that_is_given_away_becomes_a_stand_in_under_the_same_number)
{
    struct fuse_setattr_in give = {.valid = FATTR_UID | FATTR_GID, .uid = 1234, .gid = 5678};
    struct fuse_attr a, before;
    struct stat st;
    uint64_t node;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_ask(&f, FUSE_SYMLINK, 1, NULL, 0, "l", "some/where"), 0);
    node = ((struct fuse_entry_out *)fx_answer(&f))->nodeid;
    before = ((struct fuse_entry_out *)fx_answer(&f))->attr;
    ck_assert_int_eq(set_attr(&f, node, give), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.uid, 1234);
    ck_assert_uint_eq(a.gid, 5678);
    ck_assert_uint_eq(a.mode, S_IFLNK | 0777);
    ck_assert_uint_eq(a.size, 10);
    ck_assert_uint_eq(a.mtime, before.mtime);
    ck_assert_uint_eq(a.mtimensec, before.mtimensec);
    ck_assert_uint_eq(fx_lookup(&f, 1, "l"), node);
    ck_assert_int_eq(fx_ask(&f, FUSE_READLINK, node, NULL, 0, NULL, NULL), 0);
    ck_assert_uint_eq(f.got, 10);
    ck_assert_mem_eq(fx_answer(&f), "some/where", 10);
    st = host(&f, "l");
    ck_assert(S_ISREG(st.st_mode) && st.st_uid == geteuid());
    fx_forget(&f, node, 2);
    ck_assert_int_eq(fx_getattr(&f, node, &a), -ESTALE); /* the counts were right */
    ck_assert_uint_eq(f.s->node_count, 1);
    fx_close(&f);
}
END_TEST

START_TEST(a_link_of_several_names_is_not_given_away)
{
    struct fuse_setattr_in give = {.valid = FATTR_UID, .uid = 1234};
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(symlink("x", fx_path(&f, "l")), 0);
    ck_assert_int_eq(linkat(AT_FDCWD, fx_path(&f, "l"), AT_FDCWD, fx_path(&f, "m"), 0), 0);
    ck_assert_int_eq(set_attr(&f, fx_lookup(&f, 1, "l"), give), -EPERM);
    ck_assert(S_ISLNK(host(&f, "l").st_mode));
    fx_close(&f);
}
END_TEST

/* What an overlay of the guest's does whose upper folder is here. */
START_TEST(a_rename_leaves_a_whiteout)
{
    struct fuse_rename2_in in = {.newdir = 1, .flags = RENAME_WHITEOUT};
    struct fuse_attr a;
    struct fx f;

    fx_open(&f);
    fx_host_write(&f, "a", "moved");
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "a", "b"), 0);
    ck_assert_int_eq(fx_getattr(&f, fx_lookup(&f, 1, "a"), &a), 0);
    ck_assert_uint_eq(a.mode, S_IFCHR);
    ck_assert_uint_eq(a.rdev, 0);
    ck_assert_int_eq(fx_getattr(&f, fx_lookup(&f, 1, "b"), &a), 0);
    ck_assert_uint_eq(a.size, 5);
    in.flags |= RENAME_NOREPLACE;
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "b", "a"), -EEXIST);
    ck_assert_int_eq(fx_getattr(&f, fx_lookup(&f, 1, "b"), &a), 0);
    ck_assert_uint_eq(a.size, 5);
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "none", "c"), -ENOENT);
    in.flags = RENAME_WHITEOUT | RENAME_EXCHANGE;
    ck_assert_int_eq(fx_ask(&f, FUSE_RENAME2, 1, &in, sizeof(in), "b", "a"), -EINVAL);
    ck_assert_int_eq(unlink(fx_path(&f, "a")) + unlink(fx_path(&f, "b")), 0);
    ck_assert_int_eq(rmdir(f.dir), 0); /* nothing of ours is left */
    ck_assert_int_eq(mkdir(f.dir, 0700), 0);
    fx_close(&f);
}
END_TEST

START_TEST(folders_hand_on_their_group)
{
    struct fuse_setattr_in in = {.valid = FATTR_MODE | FATTR_GID, .mode = 02775, .gid = 99};
    uint64_t dir, below, node, fh;
    struct fuse_attr a;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_mkdir(&f, 1, "d", 0755, &dir), 0);
    ck_assert_int_eq(set_attr(&f, dir, in), 0);
    ck_assert_int_eq(fx_mkdir(&f, dir, "e", 0755, &below), 0);
    ck_assert_int_eq(fx_getattr(&f, below, &a), 0);
    ck_assert_uint_eq(a.gid, 99);
    ck_assert_uint_eq(a.mode, S_IFDIR | 02755);
    ck_assert_int_eq(fx_create(&f, below, "x", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.gid, 99);
    ck_assert_uint_eq(a.mode, S_IFREG | 0644);
    fx_close(&f);
}
END_TEST

START_TEST(attributes_of_kernels_are_kept_apart_and_ours_are_hidden)
{
    struct fuse_setxattr_in set = {.size = 5};
    struct fuse_getxattr_in get = {.size = 1000};
    uint64_t node, fh;
    struct fx f;

    fx_open(&f);
    f.uid = 5;
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETXATTR, node, &set, sizeof(set), "user.mine", "value"), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETXATTR, node, &set, sizeof(set), "trusted.overlay.opaque", "value"), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETXATTR, node, &set, sizeof(set), "security.capability", "value"), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETXATTR, node, &set, sizeof(set), TAG_NAME, "value"), -EPERM);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETXATTR, node, &set, sizeof(set), "user.vz.security.x", "value"), -EPERM);
    ck_assert_int_eq(fx_ask(&f, FUSE_SETXATTR, node, &set, sizeof(set), "other.x", "value"), -EOPNOTSUPP);
    ck_assert_int_eq(fx_ask(&f, FUSE_GETXATTR, node, &get, sizeof(get), TAG_NAME, NULL), -ENODATA);
    ck_assert_int_eq(fx_ask(&f, FUSE_GETXATTR, node, &get, sizeof(get), "security.capability", NULL), 0);
    ck_assert_mem_eq(fx_answer(&f), "value", 5);
    ck_assert_int_lt(getxattr(fx_path(&f, "a"), "security.capability", NULL, 0), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_LISTXATTR, node, &get, sizeof(get), NULL, NULL), 0);
    ck_assert_uint_eq(f.got, sizeof("user.mine") + sizeof("trusted.overlay.opaque") + sizeof("security.capability"));
    get.size = 3;
    ck_assert_int_eq(fx_ask(&f, FUSE_LISTXATTR, node, &get, sizeof(get), NULL, NULL), -ERANGE);
    get.size = 0;
    ck_assert_int_eq(fx_ask(&f, FUSE_GETXATTR, node, &get, sizeof(get), "user.mine", NULL), 0);
    ck_assert_uint_eq(((struct fuse_getxattr_out *)fx_answer(&f))->size, 5);
    ck_assert_int_eq(fx_write(&f, fh, 0, "x", 0), 0); /* and capabilities are over */
    get.size = 100;
    ck_assert_int_eq(fx_ask(&f, FUSE_GETXATTR, node, &get, sizeof(get), "security.capability", NULL), -ENODATA);
    ck_assert_int_eq(fx_ask(&f, FUSE_REMOVEXATTR, node, NULL, 0, "user.mine", NULL), 0);
    ck_assert_int_lt(getxattr(fx_path(&f, "a"), "user.mine", NULL, 0), 0);
    fx_close(&f);
}
END_TEST

START_TEST(mapped_files_are_all_one_users)
{
    struct share_options o = {.ownership = SHARE_MAP, .uid = 1000, .gid = 1001};
    uint64_t node, fh;
    struct fuse_attr a;
    struct fx f;

    fx_dir(&f);
    fx_open_with(&f, &o);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.uid, 1000);
    ck_assert_uint_eq(a.gid, 1001);
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 1000}), 0);
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 0}), -EPERM);
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 04711}), 0);
    ck_assert_uint_eq(host(&f, "a").st_mode & 07000, 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode, S_IFREG | 04711);
    ck_assert_uint_eq(a.uid, 1000);
    fx_close(&f);
}
END_TEST

START_TEST(what_is_ours_can_be_seen_as_roots)
{
    struct share_options o = {.ownership = SHARE_MINE, .mine_is_root = true};
    uint64_t node, fh, made;
    char value[8];
    bool was_root = geteuid() == 0;
    struct fuse_attr a;
    struct fx f;

    if (was_root) { /* an ordinary user, of this process alone */
        ck_assert_int_eq(setresgid(1234, 1234, 0), 0);
        ck_assert_int_eq(setresuid(1233, 1233, 0), 0);
    }
    fx_dir(&f);
    f.uid = f.gid = 0; /* root in the guest */
    fx_host_write(&f, "host", "x");
    ck_assert_int_eq(symlink("host", fx_path(&f, "link")), 0);
    fx_open_with(&f, &o);
    node = fx_lookup(&f, 1, "host");
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.uid, 0);
    ck_assert_uint_eq(a.gid, 0);
    ck_assert_int_eq(fx_getattr(&f, fx_lookup(&f, 1, "link"), &a), 0);
    ck_assert_uint_eq(a.uid, 0);
    ck_assert_int_eq(fx_getattr(&f, 1, &a), 0);
    ck_assert_uint_eq(a.uid, 0);
    /* What root makes needs no tag; what is made over to others does, also to who we are on the host. */
    ck_assert_int_eq(fx_create(&f, 1, "new", O_RDWR, 0644, &made, &fh), 0);
    ck_assert_int_lt(getxattr(fx_path(&f, "new"), TAG_NAME, value, 0), 0);
    ck_assert_uint_eq(host(&f, "new").st_uid, geteuid());
    ck_assert_int_eq(set_attr(&f, made, (struct fuse_setattr_in){.valid = FATTR_UID, .uid = geteuid()}), 0);
    ck_assert_int_gt(getxattr(fx_path(&f, "new"), TAG_NAME, value, 0), 0);
    ck_assert_int_eq(fx_getattr(&f, made, &a), 0);
    ck_assert_uint_eq(a.uid, geteuid());
    ck_assert_uint_eq(a.gid, 0);
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 04755}), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode, S_IFREG | 04755);
    ck_assert_uint_eq(a.uid, 0);
    ck_assert_uint_eq(host(&f, "host").st_mode & 07777, 0755);
    fx_close(&f);
    if (was_root) /* or a sanitizer may not look at its own process when that ends */
        ck_assert_int_eq(setresuid(0, 0, 0), 0);
}
END_TEST

START_TEST(same_numbers_without_powers)
{
    struct share_options o = {.ownership = SHARE_SAME};
    struct fuse_mknod_in in = {.mode = S_IFCHR | 0666, .rdev = 0x103};
    uint64_t node, fh;
    struct fuse_attr a;
    struct fx f;

    fx_dir(&f);
    if (geteuid()) {
        struct share_directory d = {.path = f.dir};

        o.directory = &d;
        o.count = 1;
        ck_assert_int_eq(share_open(&o, &f.s, NULL), -EPERM);
        rmdir(f.dir);
        return;
    }
    fx_open_with(&f, &o);
    f.uid = 1000;
    f.gid = 1001;
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_uint_eq(host(&f, "a").st_uid, 1000);
    ck_assert_uint_eq(host(&f, "a").st_gid, 1001);
    ck_assert(!is_tagged(&f, "a"));
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 06755}), 0);
    ck_assert_uint_eq(host(&f, "a").st_mode & 07777, 0755);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode, S_IFREG | 06755);
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 7}), 0);
    ck_assert_uint_eq(host(&f, "a").st_uid, 7);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.uid, 7);
    ck_assert_uint_eq(a.mode, S_IFREG | 0755);
    ck_assert_int_eq(fx_ask(&f, FUSE_MKNOD, 1, &in, sizeof(in), "null", NULL), 0);
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(&f))->attr.mode, S_IFCHR | 0666);
    ck_assert(S_ISREG(host(&f, "null").st_mode));
    fx_close(&f);
}
END_TEST

/* The time of change is all that it changes. */
START_TEST(a_mode_that_is_set_again_takes_nothing)
{
    static const enum share_ownership all[] = {SHARE_MINE, SHARE_SAME, SHARE_MAP};

    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        struct share_options o = {.ownership = all[i]};
        struct stat before, after;
        struct fuse_attr a;
        uint64_t node;
        struct fx f;

        fx_dir(&f);
        fx_open_with(&f, &o);
        fx_host_write(&f, "file", "x");
        ck_assert_int_eq(mkfifo(fx_path(&f, "fifo"), 0600), 0);
        for (unsigned n = 0; n < 2; n++) {
            const char *name = n ? "fifo" : "file";

            ck_assert_int_eq(chmod(fx_path(&f, name), 06755), 0);
            before = host(&f, name);
            node = fx_lookup(&f, 1, name);
            ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
            ck_assert_uint_eq(a.mode & 07777, 06755);
            usleep(20000); /* a tick of the host's */
            ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 06755}), 0);
            ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
            ck_assert_uint_eq(a.mode & 07777, 06755);
            after = host(&f, name);
            ck_assert_uint_eq(after.st_mode, before.st_mode);
            ck_assert(!is_tagged(&f, name));
            ck_assert(after.st_ctim.tv_sec != before.st_ctim.tv_sec || after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
        }
        fx_close(&f);
    }
}
END_TEST

/* Root here, a set-ID program of the host's in the share: its bits must not be those of what the guest writes,
 * nor of the owner that the guest gives it. */
START_TEST(set_id_bits_of_the_host_do_not_outlive_a_guests_change)
{
    static const enum share_ownership all[] = {SHARE_MINE, SHARE_SAME, SHARE_MAP};
    struct fuse_setattr_in owner = {.valid = FATTR_UID | FATTR_GID | FATTR_MODE, .uid = 1, .gid = 1,
                                    .mode = 04711};
    uint64_t node, fh;
    struct fuse_attr a;

    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        struct share_options o = {.ownership = all[i], .uid = 1, .gid = 1};
        struct fx f;

        if (all[i] == SHARE_SAME && geteuid())
            continue;
        fx_dir(&f);
        fx_open_with(&f, &o);
        fx_host_write(&f, "a", "program");
        fx_host_write(&f, "b", "program");
        ck_assert_int_eq(chmod(fx_path(&f, "a"), 06755), 0);
        ck_assert_int_eq(chmod(fx_path(&f, "b"), 04755), 0);
        node = fx_lookup(&f, 1, "a");
        ck_assert_int_eq(fx_fopen(&f, node, O_RDONLY, &fh), 0);
        ck_assert_uint_eq(host(&f, "a").st_mode & 07777, 06755); /* who only reads changes nothing */
        ck_assert_int_eq(fx_fopen(&f, node, O_WRONLY, &fh), 0);
        ck_assert_int_eq(fx_write(&f, fh, 0, "hostile", 0), 0);
        ck_assert_uint_eq(host(&f, "a").st_mode & 07777, 0755);
        ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
        if (!geteuid())
            ck_assert_uint_eq(a.mode, S_IFREG | 06755); /* root may write to it there */
        node = fx_lookup(&f, 1, "b");
        ck_assert_int_eq(set_attr(&f, node, owner), 0);
        ck_assert_uint_eq(host(&f, "b").st_mode & 07000, 0);
        ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
        ck_assert_uint_eq(a.mode, S_IFREG | 04711);
        fx_close(&f);
    }
}
END_TEST

/* A list of access: owner, user 1000 rwx, group, mask, others. */
struct list {
    uint32_t version;
    struct { uint16_t tag, perm; uint32_t id; } e[5];
};

static struct list list_of(unsigned owner, unsigned named, unsigned group, unsigned mask, unsigned other)
{
    return (struct list){2, {{1, (uint16_t)owner, ~0u}, {2, (uint16_t)named, 1000}, {4, (uint16_t)group, ~0u},
                             {0x10, (uint16_t)mask, ~0u}, {0x20, (uint16_t)other, ~0u}}};
}

static int set_list(struct fx *f, uint64_t node, const char *name, const void *list, uint32_t size, uint32_t flags)
{
    struct fuse_setxattr_in in = {.size = size, .setxattr_flags = flags};
    uint8_t args[sizeof(in) + 64 + 128] = {0};
    size_t name_len = strlen(name) + 1;

    memcpy(args, &in, sizeof(in));
    memcpy(args + sizeof(in), name, name_len);
    memcpy(args + sizeof(in) + name_len, list, size);
    return fx_ask(f, FUSE_SETXATTR, node, args, sizeof(in) + name_len + size, NULL, NULL);
}

static int get_list(struct fx *f, uint64_t node, const char *name, struct list *ret)
{
    struct fuse_getxattr_in in = {.size = 512};
    int r = fx_ask(f, FUSE_GETXATTR, node, &in, sizeof(in), name, NULL);

    if (!r)
        memcpy(ret, fx_answer(f), sizeof(*ret));
    return r;
}

#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
#define WITH_LISTS (FX_FLAGS | FUSE_POSIX_ACL | FUSE_DONT_MASK)

START_TEST(a_list_and_a_mode_say_the_same)
{
    struct list l = list_of(6, 7, 4, 7, 0), got, *none = NULL;
    struct fuse_attr a;
    uint64_t node, fh;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0444, &node, &fh), 0);
    ck_assert_int_eq(set_list(&f, node, ACCESS, &l, sizeof(l), 0), -EOPNOTSUPP); /* this session has none */
    ck_assert_int_eq(fx_init(&f, FX_FLAGS | FUSE_POSIX_ACL), 0);
    ck_assert(!(f.s->session.flags & FUSE_POSIX_ACL)); /* they come together or not at all */
    ck_assert_int_eq(fx_init(&f, WITH_LISTS), 0);
    node = fx_lookup(&f, 1, "a");
    ck_assert_int_eq(get_list(&f, node, ACCESS, &got), -ENODATA);
    ck_assert_int_eq(set_list(&f, node, ACCESS, &l, sizeof(l), 0), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode, S_IFREG | 0670);
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 02404}), 0);
    ck_assert_int_eq(get_list(&f, node, ACCESS, &got), 0);
    l = list_of(4, 7, 4, 0, 4);
    ck_assert_mem_eq(&got, &l, sizeof(l));
    ck_assert_int_eq(set_list(&f, node, ACCESS, &l, sizeof(l), FUSE_SETXATTR_ACL_KILL_SGID), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode, S_IFREG | 0404);
    ck_assert_int_eq(set_list(&f, node, DEFAULT, &l, sizeof(l), 0), -EACCES); /* it is no folder */
    ck_assert_int_eq(set_list(&f, node, ACCESS, &l, sizeof(l) - 1, 0), -EINVAL);
    ck_assert_int_eq(set_list(&f, node, ACCESS, &l, 4, 0), -EINVAL);
    ck_assert_int_eq(fx_ask(&f, FUSE_REMOVEXATTR, node, none, 0, ACCESS, NULL), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_REMOVEXATTR, node, none, 0, ACCESS, NULL), 0);
    ck_assert_int_eq(get_list(&f, node, ACCESS, &got), -ENODATA);
    fx_close(&f);
}
END_TEST

START_TEST(folders_hand_on_their_default_list)
{
    struct list l = list_of(7, 7, 5, 7, 0), got, want;
    struct fuse_mkdir_in dir_in = {.mode = 0777, .umask = 077};
    struct fuse_create_in file_in = {.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0440, .umask = 077};
    struct fuse_attr a;
    uint64_t dir, below;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_init(&f, WITH_LISTS), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_MKDIR, 1, &dir_in, sizeof(dir_in), "d", NULL), 0);
    dir = ((struct fuse_entry_out *)fx_answer(&f))->nodeid;
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(&f))->attr.mode, S_IFDIR | 0700); /* ours to mask */
    ck_assert_int_eq(set_list(&f, dir, DEFAULT, &l, sizeof(l), 0), 0);
    ck_assert_int_eq(fx_getattr(&f, dir, &a), 0);
    ck_assert_uint_eq(a.mode, S_IFDIR | 0700);
    ck_assert_int_eq(fx_ask(&f, FUSE_MKDIR, dir, &dir_in, sizeof(dir_in), "e", NULL), 0);
    below = ((struct fuse_entry_out *)fx_answer(&f))->nodeid;
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(&f))->attr.mode, S_IFDIR | 0770);
    ck_assert_int_eq(get_list(&f, below, DEFAULT, &got), 0);
    ck_assert_mem_eq(&got, &l, sizeof(l));
    ck_assert_int_eq(fx_ask(&f, FUSE_CREATE, below, &file_in, sizeof(file_in), "f", NULL), 0);
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(&f))->attr.mode, S_IFREG | 0440);
    ck_assert_int_eq(get_list(&f, fx_lookup(&f, below, "f"), ACCESS, &got), 0);
    want = list_of(4, 7, 5, 4, 0);
    ck_assert_mem_eq(&got, &want, sizeof(want));
    fx_close(&f);
}
END_TEST

/* Numbers are the host's, so its kernel obeys the lists as well, and hands them on. */
START_TEST(lists_of_the_same_users_are_the_hosts)
{
    struct list l = list_of(7, 7, 5, 7, 0), got, want;
    struct share_options o = {.ownership = SHARE_SAME};
    struct fuse_mkdir_in dir_in = {.mode = 0777, .umask = 077};
    struct fuse_create_in file_in = {.flags = O_RDWR | O_CREAT, .mode = S_IFREG | 0640, .umask = 077};
    struct fuse_getxattr_in names = {.size = 512};
    struct fuse_attr a;
    uint64_t dir, node;
    struct fx f;

    if (geteuid())
        return; /* "same" takes root */
    fx_dir(&f);
    fx_open_with(&f, &o);
    ck_assert_int_eq(fx_init(&f, WITH_LISTS), 0);
    ck_assert_int_eq(fx_ask(&f, FUSE_MKDIR, 1, &dir_in, sizeof(dir_in), "d", NULL), 0);
    dir = ((struct fuse_entry_out *)fx_answer(&f))->nodeid;
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(&f))->attr.mode, S_IFDIR | 0700);
    ck_assert_int_eq(get_list(&f, dir, ACCESS, &got), -ENODATA);
    if (set_list(&f, dir, DEFAULT, &l, sizeof(l), 0) == -EOPNOTSUPP) {
        fx_close(&f); /* the file system here has none */
        return;
    }
    ck_assert_int_eq(getxattr(fx_path(&f, "d"), DEFAULT, &got, sizeof(got)), sizeof(got));
    ck_assert_mem_eq(&got, &l, sizeof(l));
    ck_assert_int_eq(fx_ask(&f, FUSE_CREATE, dir, &file_in, sizeof(file_in), "f", NULL), 0);
    node = ((struct fuse_entry_out *)fx_answer(&f))->nodeid;
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(&f))->attr.mode, S_IFREG | 0640);
    want = list_of(6, 7, 5, 4, 0);
    ck_assert_int_eq(get_list(&f, node, ACCESS, &got), 0);
    ck_assert_mem_eq(&got, &want, sizeof(want));
    ck_assert_int_eq(getxattr(fx_path(&f, "d/f"), ACCESS, &got, sizeof(got)), sizeof(got));
    ck_assert_mem_eq(&got, &want, sizeof(want));
    ck_assert_int_eq(fx_ask(&f, FUSE_LISTXATTR, node, &names, sizeof(names), NULL, NULL), 0);
    ck_assert_str_eq(fx_answer(&f), ACCESS);
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_MODE, .mode = 02604}), 0);
    ck_assert_int_eq(get_list(&f, node, ACCESS, &got), 0);
    want = list_of(6, 7, 5, 0, 4);
    ck_assert_mem_eq(&got, &want, sizeof(want));
    ck_assert_int_eq(set_list(&f, node, ACCESS, &l, sizeof(l), FUSE_SETXATTR_ACL_KILL_SGID), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode, S_IFREG | 0770);
    ck_assert_int_eq(fx_ask(&f, FUSE_REMOVEXATTR, node, NULL, 0, ACCESS, NULL), 0);
    ck_assert_int_eq(get_list(&f, node, ACCESS, &got), -ENODATA);
    fx_close(&f);
}
END_TEST

/* On the host its owner cannot write it: what is kept beside it still can be. */
START_TEST(attributes_of_a_file_that_may_only_be_read)
{
    uint64_t node, fh;
    struct fuse_attr a;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0400, &node, &fh), 0);
    ck_assert_int_eq(set_list(&f, node, "trusted.x", "value", 5, 0), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.mode, S_IFREG | 0400);
    fx_close(&f);
}
END_TEST

static void host_tag(const struct fx *f, const char *name, const char *tag)
{
    ck_assert_int_eq(setxattr(fx_path(f, name), TAG_NAME, tag, strlen(tag), 0), 0);
}

/* What is remembered of a tag is so only while nobody changes it, on either side. */
START_TEST(tags_that_the_host_changes_are_seen)
{
    uint64_t node;
    struct fuse_attr a;
    struct fx f;

    fx_open(&f);
    fx_host_write(&f, "a", "x");
    fx_host_write(&f, "b", "x");
    host_tag(&f, "a", "5:6:0644:file");
    sleep(3); /* until a change would be at another time */
    for (unsigned i = 0; i < 3; i++) {
        node = fx_lookup(&f, 1, "a");
        ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
        ck_assert(a.uid == 5 && a.gid == 6);
    }
    ck_assert(f.s->root[0]->node && node_find_locked(f.s, node)->tag_known);
    host_tag(&f, "a", "7:8:0600:file");
    ck_assert_uint_eq(fx_lookup(&f, 1, "a"), node);
    ck_assert_uint_eq(((struct fuse_entry_out *)fx_answer(&f))->attr.uid, 7);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert(a.uid == 7 && a.gid == 8 && a.mode == (S_IFREG | 0600));
    f.uid = f.gid = 0;
    ck_assert_int_eq(set_attr(&f, node, (struct fuse_setattr_in){.valid = FATTR_UID, .uid = 9}), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.uid, 9);
    ck_assert_int_eq(removexattr(fx_path(&f, "a"), TAG_NAME), 0);
    ck_assert_int_eq(fx_getattr(&f, node, &a), 0);
    ck_assert_uint_eq(a.uid, geteuid());
    ck_assert_int_eq(rename(fx_path(&f, "b"), fx_path(&f, "a")), 0);
    ck_assert_uint_ne(fx_lookup(&f, 1, "a"), node);
    fx_close(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, what_the_user_makes_needs_no_tag);
    UNIT_TEST(s, other_owners_and_set_id_bits_are_the_guests_alone);
    UNIT_TEST(s, set_id_bits_end_as_they_do_on_a_disk);
    UNIT_TEST(s, special_files_are_stand_ins);
    UNIT_TEST(s, links_belong_to_whom_their_folder_does_or_are_stand_ins);
    UNIT_TEST(s, a_link_that_is_given_away_becomes_a_stand_in_under_the_same_number);
    UNIT_TEST(s, a_link_of_several_names_is_not_given_away);
    UNIT_TEST(s, a_rename_leaves_a_whiteout);
    UNIT_TEST(s, a_list_and_a_mode_say_the_same);
    UNIT_TEST(s, folders_hand_on_their_default_list);
    UNIT_TEST(s, lists_of_the_same_users_are_the_hosts);
    UNIT_TEST(s, attributes_of_a_file_that_may_only_be_read);
    UNIT_TEST(s, tags_that_the_host_changes_are_seen);
    UNIT_TEST(s, folders_hand_on_their_group);
    UNIT_TEST(s, attributes_of_kernels_are_kept_apart_and_ours_are_hidden);
    UNIT_TEST(s, mapped_files_are_all_one_users);
    UNIT_TEST(s, what_is_ours_can_be_seen_as_roots);
    UNIT_TEST(s, same_numbers_without_powers);
    UNIT_TEST(s, a_mode_that_is_set_again_takes_nothing);
    UNIT_TEST(s, set_id_bits_of_the_host_do_not_outlive_a_guests_change);
}

UNIT_TEST_MAIN("share_owner", add_tests)
