/* SPDX-License-Identifier: MIT */
/* Locks of open files, whose end Linux' driver does not tell of; who has a lock; and what each write says of itself. */
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "share_fixture.h"

/* Whom start is locked by, as owner is told; -1: nobody. */
static int64_t holder(struct fx *f, uint64_t fh, uint64_t owner, uint64_t start)
{
    struct fuse_lk_in in = {.fh = fh, .owner = owner, .lk = {.start = start, .end = start, .type = F_WRLCK}};
    const struct fuse_lk_out *out;

    ck_assert_int_eq(fx_ask(f, FUSE_GETLK, 0, &in, sizeof(in), NULL, NULL), 0);
    out = fx_answer(f);
    return out->lk.type == F_UNLCK ? -1 : (int64_t)out->lk.pid;
}

static void flush(struct fx *f, uint64_t fh, uint64_t owner)
{
    struct fuse_flush_in in = {.fh = fh, .lock_owner = owner};

    ck_assert_int_eq(fx_ask(f, FUSE_FLUSH, 0, &in, sizeof(in), NULL, NULL), 0);
}

START_TEST(locks_of_an_open_file_end_with_it)
{
    uint64_t node, fh, second;
    struct fx f;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_fopen(&f, node, O_RDWR, &second), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 7, F_WRLCK, 0, 9, 0), 0);    /* of an open file: its owner is none that is flushed */
    ck_assert_int_eq(fx_lock(&f, second, 8, F_WRLCK, 20, 29, 0), 0); /* a process', with both open */
    flush(&f, fh, 9);
    ck_assert_int_eq(fx_release(&f, fh), 0);
    ck_assert_int_eq(holder(&f, second, 9, 5), -1);
    ck_assert_int_ne(holder(&f, second, 9, 25), -1);
    flush(&f, second, 8);
    ck_assert_int_eq(holder(&f, second, 9, 25), -1);
    ck_assert_uint_eq(f.s->owner_count, 0);
    ck_assert_uint_eq(f.s->lock_count, 0);
    fx_close(&f);
}
END_TEST

START_TEST(who_has_a_lock_is_told_if_it_is_the_guests)
{
    struct flock host = {.l_type = F_WRLCK, .l_start = 100, .l_len = 10};
    uint64_t node, fh;
    struct fx f;
    int fd;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 7, F_RDLCK, 0, 9, 0), 0);
    ck_assert_int_eq(fx_lock(&f, fh, 8, F_WRLCK, 20, 29, 0), 0);
    fd = open(fx_path(&f, "a"), O_RDWR);
    ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &host), 0);
    ck_assert_int_eq(holder(&f, fh, 9, 5), 107);
    ck_assert_int_eq(holder(&f, fh, 9, 25), 108);
    ck_assert_int_eq(holder(&f, fh, 9, 15), -1);
    ck_assert_int_eq(holder(&f, fh, 9, 105), 0);
    ck_assert_int_eq(holder(&f, fh, 8, 25), -1); /* its own is in nobody's way */
    close(fd);
    fx_close(&f);
}
END_TEST

static int write_with(struct fx *f, uint64_t fh, uint64_t offset, const char *text, uint32_t flags, uint32_t write_flags)
{
    struct fuse_write_in in = {.fh = fh, .offset = offset, .size = (uint32_t)strlen(text), .write_flags = write_flags,
                               .flags = flags};

    return fx_ask(f, FUSE_WRITE, 0, &in, sizeof(in), text, NULL);
}

START_TEST(each_write_says_whether_it_appends)
{
    uint64_t node, fh, plain;
    char text[32] = "";
    struct fx f;
    int fd;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "a", O_RDWR | O_APPEND, 0644, &node, &fh), 0);
    ck_assert_int_eq(fx_fopen(&f, node, O_RDWR, &plain), 0);
    ck_assert_int_eq(write_with(&f, fh, 0, "first", O_RDWR | O_APPEND, 0), 0);
    fd = open(fx_path(&f, "a"), O_RDWR | O_APPEND);
    ck_assert_int_eq(write(fd, "host", 4), 4); /* the guest does not know of that yet */
    ck_assert_int_eq(write_with(&f, fh, 5, "second", O_RDWR | O_APPEND, 0), 0);
    ck_assert_int_eq(write_with(&f, fh, 0, "F", O_RDWR, 0), 0);                           /* it was told not to any more */
    ck_assert_int_eq(write_with(&f, fh, 5, "H", O_RDWR | O_APPEND, FUSE_WRITE_CACHE), 0); /* of a mapping */
    ck_assert_int_eq(write_with(&f, plain, 0, "!", O_RDWR | O_APPEND, 0), 0);             /* it was told to */
    ck_assert_int_eq(write_with(&f, plain, 9, "S", O_RDWR | O_DSYNC, 0), 0);
    ck_assert_int_eq(write_with(&f, plain, UINT64_MAX, "?", O_RDWR, 0), -EINVAL); /* is no place */
    ck_assert_int_eq(pread(fd, text, sizeof(text), 0), 16);
    ck_assert_str_eq(text, "FirstHostSecond!");
    close(fd);
    fx_close(&f);
}
END_TEST

static int set_append_only(const char *path, bool on)
{
    int fd = open(path, O_RDONLY), flags = 0, r = -1;

    if (fd >= 0 && ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags = on ? flags | FS_APPEND_FL : flags & ~FS_APPEND_FL;
        r = ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
    close(fd);
    return r;
}

/* Such as a log that nobody is to change. */
START_TEST(what_is_append_only_on_the_host_is_appended_to)
{
    uint64_t node, fh, other;
    char text[32] = "";
    struct fx f;
    int fd;

    fx_open(&f);
    ck_assert_int_eq(fx_create(&f, 1, "log", O_RDWR, 0644, &node, &fh), 0);
    ck_assert_int_eq(write_with(&f, fh, 0, "first", O_RDWR, 0), 0);
    ck_assert_int_eq(fx_release(&f, fh), 0);
    if (set_append_only(fx_path(&f, "log"), true) == 0) { /* else it is no file system, or no user, that can */
        ck_assert_int_eq(fx_fopen(&f, node, O_RDWR, &other), -EPERM);
        ck_assert_int_eq(fx_fopen(&f, node, O_RDWR | O_APPEND, &fh), 0);
        ck_assert_int_eq(write_with(&f, fh, 0, "second", O_RDWR | O_APPEND, 0), 0);
        ck_assert_int_eq(write_with(&f, fh, 0, "F", O_RDWR, 0), 0); /* whatever the guest says of it */
        ck_assert_int_eq(write_with(&f, fh, 0, "F", O_RDWR, FUSE_WRITE_CACHE), -EPERM);
        fd = open(fx_path(&f, "log"), O_RDONLY);
        ck_assert_int_eq(pread(fd, text, sizeof(text), 0), 12);
        ck_assert_str_eq(text, "firstsecondF");
        close(fd);
        ck_assert_int_eq(set_append_only(fx_path(&f, "log"), false), 0);
    }
    fx_close(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, locks_of_an_open_file_end_with_it);
    UNIT_TEST(s, who_has_a_lock_is_told_if_it_is_the_guests);
    UNIT_TEST(s, each_write_says_whether_it_appends);
    UNIT_TEST(s, what_is_append_only_on_the_host_is_appended_to);
}

UNIT_TEST_MAIN("share_locks", add_tests)
