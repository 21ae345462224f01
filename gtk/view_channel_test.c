/* SPDX-License-Identifier: MIT */
/* A machine's process that says what makes no sense. */
#include "unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "view_channel.h"

#define MEMORY 65536u

static int memory_file(size_t size, int seals)
{
    int fd = memfd_create("test", MFD_ALLOW_SEALING);

    ck_assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, seals) == 0);
    return fd;
}

static void say(int fd, const void *message, size_t len, int with)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } u = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(void *)(uintptr_t)message, len};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

    if (with >= 0) {
        memcpy(CMSG_DATA(&u.header), &with, sizeof(with));
        m.msg_control = &u;
        m.msg_controllen = sizeof(u);
    }
    ck_assert_int_eq(sendmsg(fd, &m, 0), (ssize_t)len);
    if (with >= 0)
        close(with);
}

/* The machine's end. */
static bool open_with(struct view_channel *c, const struct vz_channel_hello *hello, int memory, int *ret)
{
    int pair[2];

    ck_assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    say(pair[0], hello, sizeof(*hello), memory);
    *ret = pair[0];
    return view_channel_open(c, pair[1]);
}

static const struct vz_channel_hello good = {.kind = VZ_CHANNEL_HELLO, .version = VZ_CHANNEL_VERSION,
                                             .memory_size = MEMORY, .display_count = 1};

START_TEST(what_is_no_hello_is_refused)
{
    struct vz_channel_hello bad = good;
    struct view_channel c;
    int end;

    ck_assert(!open_with(&c, &good, -1, &end));
    close(end);
    ck_assert(!open_with(&c, &good, memory_file(MEMORY - 4096, F_SEAL_SHRINK), &end)); /* too short */
    close(end);
    ck_assert(!open_with(&c, &good, memory_file(MEMORY, F_SEAL_GROW), &end)); /* may become so */
    close(end);
    bad.version = 2;
    ck_assert(!open_with(&c, &bad, memory_file(MEMORY, F_SEAL_SHRINK), &end));
    close(end);
    ck_assert(open_with(&c, &good, memory_file(MEMORY, F_SEAL_SHRINK), &end));
    view_channel_close(&c);
    close(end);
}
END_TEST

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

START_TEST(no_descriptor_stays_open)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(2 * sizeof(int))];
    } u = {.header = {.cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct vz_channel_hello bad = good;
    struct iovec iov = {&bad, sizeof(bad)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)};
    unsigned before = open_descriptors();
    struct view_channel c;
    int pair[2];

    ck_assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    say(pair[0], &good, sizeof(good) - 4, memory_file(MEMORY, F_SEAL_SHRINK)); /* too short */
    ck_assert(!view_channel_open(&c, pair[1]));
    close(pair[0]);
    ck_assert_uint_eq(open_descriptors(), before);
    bad.version = 2;
    memcpy(CMSG_DATA(&u.header), (const int[]){0, 0}, 2 * sizeof(int)); /* two at once */
    ck_assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    ck_assert_int_eq(sendmsg(pair[0], &m, 0), sizeof(bad));
    ck_assert(!view_channel_open(&c, pair[1]));
    close(pair[0]);
    ck_assert_uint_eq(open_descriptors(), before);
}
END_TEST

static enum view_received after(const void *message, size_t len)
{
    union view_message m;
    struct view_channel c;
    enum view_received r;
    int end, fd;

    ck_assert(open_with(&c, &good, memory_file(MEMORY, F_SEAL_SHRINK), &end));
    ck_assert_int_eq(view_channel_receive(&c, &m, &fd), VIEW_NOTHING);
    say(end, message, len, -1);
    r = view_channel_receive(&c, &m, &fd);
    close(end);
    if (r == VIEW_MESSAGE)
        ck_assert_int_eq(view_channel_receive(&c, &m, &fd), VIEW_OVER); /* the end */
    view_channel_close(&c);
    return r;
}

START_TEST(pictures_lie_in_the_memory)
{
    const struct vz_channel_update fine = {.kind = VZ_CHANNEL_UPDATE, .flags = VZ_CHANNEL_SHOWN, .width = 128,
                                           .height = 128, .stride = 512, .damage_count = 1,
                                           .damage = {{0, 0, 128, 128}}};
    struct vz_channel_update u = fine;
    struct {
        uint32_t *member, value;
    } bad[] = {{&u.height, 129}, {&u.width, 129}, {&u.width, 0}, {&u.height, 0}, {&u.height, UINT32_MAX},
               {&u.width, 0x40000000}, {&u.stride, 508}, {&u.stride, 516}, {&u.stride, UINT32_MAX},
               {&u.damage_count, 17}, {&u.damage[0].x, 1}, {&u.damage[0].y, UINT32_MAX}, {&u.damage[0].width, 129},
               {&u.damage[0].height, UINT32_MAX}};

    ck_assert_int_eq(after(&fine, sizeof(fine)), VIEW_MESSAGE);
    ck_assert_int_eq(after(&fine, sizeof(fine) - 4), VIEW_OVER);
    ck_assert_int_eq(after(&fine, 3), VIEW_OVER);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        u = fine;
        *bad[i].member = bad[i].value;
        ck_assert_msg(after(&u, sizeof(u)) == VIEW_OVER, "%u", i);
    }
    u = fine;
    u.offset = 4;
    ck_assert_int_eq(after(&u, sizeof(u)), VIEW_OVER);
    u.offset = UINT64_MAX - 3;
    ck_assert_int_eq(after(&u, sizeof(u)), VIEW_OVER);
    u.flags = 0; /* nothing is shown, so it lies nowhere */
    ck_assert_int_eq(after(&u, sizeof(u)), VIEW_MESSAGE);
}
END_TEST

START_TEST(cursors_have_a_size)
{
    struct vz_channel_cursor c = {.kind = VZ_CHANNEL_CURSOR, .visible = 1, .width = 64, .height = 64};

    ck_assert_int_eq(after(&c, sizeof(c)), VIEW_MESSAGE);
    c.width = 65;
    ck_assert_int_eq(after(&c, sizeof(c)), VIEW_OVER);
    c.width = 0;
    ck_assert_int_eq(after(&c, sizeof(c)), VIEW_OVER);
    c.kind = 77; /* of a later version */
    ck_assert_int_eq(after(&c, 64), VIEW_MESSAGE);
}
END_TEST

START_TEST(only_content_comes_with_a_descriptor)
{
    const struct vz_channel_got got = {.kind = VZ_CHANNEL_GOT, .there = 1, .request = 7};
    const struct vz_channel_copied copied = {.kind = VZ_CHANNEL_COPIED};
    struct vz_channel_paste paste = {.kind = VZ_CHANNEL_PASTE, .selection = 1, .type = VZ_CLIPBOARD_JPEG};
    union view_message m;
    struct view_channel c;
    unsigned before;
    int end, fd;

    ck_assert(open_with(&c, &good, memory_file(MEMORY, F_SEAL_SHRINK), &end));
    before = open_descriptors();
    say(end, &got, sizeof(got), memory_file(10, 0));
    ck_assert_int_eq(view_channel_receive(&c, &m, &fd), VIEW_MESSAGE);
    ck_assert(fd >= 0 && m.got.request == 7);
    close(fd);
    say(end, &copied, sizeof(copied), memory_file(10, 0));
    ck_assert_int_eq(view_channel_receive(&c, &m, &fd), VIEW_MESSAGE);
    ck_assert_int_eq(fd, -1);
    say(end, &got, sizeof(got) - 4, memory_file(10, 0));
    ck_assert_int_eq(view_channel_receive(&c, &m, &fd), VIEW_OVER);
    ck_assert_int_eq(fd, -1);
    ck_assert_uint_eq(open_descriptors(), before);
    close(end);
    view_channel_close(&c);
    ck_assert_int_eq(after(&paste, sizeof(paste)), VIEW_MESSAGE);
    paste.type = VZ_CLIPBOARD_JPEG + 1;
    ck_assert_int_eq(after(&paste, sizeof(paste)), VIEW_OVER);
    paste.type = 0;
    ck_assert_int_eq(after(&paste, sizeof(paste)), VIEW_OVER);
    paste.type = VZ_CLIPBOARD_TEXT;
    paste.selection = 2;
    ck_assert_int_eq(after(&paste, sizeof(paste)), VIEW_OVER);
}
END_TEST

/* It does not read for a long time: no key is lost to where the pointer was meanwhile. */
START_TEST(moves_leave_room_for_keys)
{
    const struct vz_channel_pointer move = {.kind = VZ_CHANNEL_POINTER};
    const struct vz_channel_key key = {.kind = VZ_CHANNEL_KEY};
    struct view_channel c;
    unsigned moves = 0;
    char buffer[100];
    int end;

    ck_assert(open_with(&c, &good, memory_file(MEMORY, F_SEAL_SHRINK), &end));
    ck_assert(!view_channel_is_behind(&c));
    for (; !view_channel_is_behind(&c); moves++)
        ck_assert(view_channel_send(&c, &move, sizeof(move)));
    ck_assert_uint_gt(moves, 10);
    for (unsigned n = 0; n < 2 * moves; n++)
        ck_assert(view_channel_send(&c, &key, sizeof(key)));
    for (unsigned n = 0; n < 3 * moves; n++)
        ck_assert_int_gt(recv(end, buffer, sizeof(buffer), 0), 0);
    ck_assert(!view_channel_is_behind(&c));
    close(end);
    view_channel_close(&c);
    ck_assert(!view_channel_is_behind(&c));
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, moves_leave_room_for_keys);
    UNIT_TEST(s, what_is_no_hello_is_refused);
    UNIT_TEST(s, no_descriptor_stays_open);
    UNIT_TEST(s, pictures_lie_in_the_memory);
    UNIT_TEST(s, cursors_have_a_size);
    UNIT_TEST(s, only_content_comes_with_a_descriptor);
}

UNIT_TEST_MAIN("view_channel", add_tests)
