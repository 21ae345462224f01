/* SPDX-License-Identifier: MIT */
/* A display's channel, without a guest that draws (the fake backend): what a viewer hears, and what happens with one
 * that makes no sense. What a guest draws and is typed is tested by the window in tests/boot. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vz/vz.h>

#include "base/clock.h"
#include "machine/channel_clipboard.h"
#include "machine/machine_fixture.h"

static const struct fake_op waiting[] = {{FAKE_WAIT}};

struct rig {
    struct file kernel;
    struct vz_config *config;
    struct vz_machine *m;
    struct vz_display_channel *channel;
    int fd, memory;
    struct vz_channel_hello hello;
};

/* One message within some seconds; its length, 0 at the end. */
static ssize_t hear(struct rig *r, void *to, size_t size)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};

    ck_assert_int_eq(poll(&p, 1, 20000), 1);
    return recv(r->fd, to, size, MSG_TRUNC);
}

static void hear_hello(struct rig *r)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } u;
    struct iovec iov = {&r->hello, sizeof(r->hello)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)};

    ck_assert_int_eq(recvmsg(r->fd, &m, 0), sizeof(r->hello));
    ck_assert_ptr_nonnull(CMSG_FIRSTHDR(&m));
    memcpy(&r->memory, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(r->memory));
}

static void open_channel(struct rig *r, unsigned display)
{
    struct vz_error err = {.text = ""};

    r->channel = vz_display_channel_new(r->m, 0, display, &r->fd, &err);
    ck_assert_msg(r->channel != NULL, "%s", err.text);
    hear_hello(r);
}

static void close_channel(struct rig *r)
{
    vz_display_channel_free(r->channel);
    close(r->fd);
    close(r->memory);
}

static void begin_with(struct rig *r, const char *pointing, bool clipboard)
{
    struct vz_error err = {.text = ""};

    r->kernel = write_kernel(waiting, 1);
    r->config = make_config(r->kernel.path, 1, false);
    ck_assert_msg(vz_config_add(r->config, "display", "800x600,scanout=1024x768", &err) >= 0, "%s", err.text);
    ck_assert_msg(vz_config_add(r->config, "keyboard", NULL, &err) >= 0, "%s", err.text);
    ck_assert_msg(vz_config_add(r->config, pointing, NULL, &err) >= 0, "%s", err.text);
    if (clipboard)
        ck_assert_msg(vz_config_add(r->config, "clipboard", NULL, &err) >= 0, "%s", err.text);
    r->m = vz_machine_new(r->config, NULL, &err);
    ck_assert_msg(r->m != NULL, "%s", err.text);
    ck_assert_msg(vz_machine_start_wait(r->m, &err) == 0, "%s", err.text);
}

static void begin(struct rig *r, const char *pointing)
{
    begin_with(r, pointing, false);
}

static void begin_clipboard(struct rig *r)
{
    begin_with(r, "pointer", true);
}

static void end(struct rig *r)
{
    vz_machine_free(r->m);
    vz_config_unref(r->config);
    unlink(r->kernel.path);
}

static void say(struct rig *r, const void *message, size_t len)
{
    ck_assert_int_eq(send(r->fd, message, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void say_next(struct rig *r)
{
    say(r, &(struct vz_channel_next){.kind = VZ_CHANNEL_NEXT}, sizeof(struct vz_channel_next));
}

static void wait_over(struct rig *r)
{
    for (unsigned i = 0; !vz_display_channel_is_over(r->channel); i++) {
        ck_assert_uint_lt(i, 2000);
        usleep(10000);
    }
}

START_TEST(a_viewer_hears_of_the_display)
{
    struct vz_display_state s = VZ_DISPLAY_STATE_INIT;
    const struct vz_channel_size size = {.kind = VZ_CHANNEL_SIZE, .width = 1, .height = 700};
    struct vz_channel_update u;
    struct rig r;

    begin(&r, "pointer");
    open_channel(&r, 1);
    ck_assert_uint_eq(r.hello.kind, VZ_CHANNEL_HELLO);
    ck_assert_uint_eq(r.hello.version, VZ_CHANNEL_VERSION);
    ck_assert_uint_eq(r.hello.input, VZ_CHANNEL_HAS_KEYBOARD | VZ_CHANNEL_HAS_POINTER);
    ck_assert_uint_eq(r.hello.display, 1);
    ck_assert_uint_eq(r.hello.display_count, 2);
    ck_assert(fcntl(r.memory, F_GET_SEALS) & F_SEAL_SHRINK);
    ck_assert_ptr_eq(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r.memory, 0), MAP_FAILED);
    say_next(&r);
    do
        ck_assert_int_gt(hear(&r, &u, sizeof(u)), 0);
    while (u.kind != VZ_CHANNEL_UPDATE);
    ck_assert_uint_eq(u.width, 1024);
    ck_assert_uint_eq(u.height, 768);
    ck_assert_uint_eq(u.flags, 0);
    say(&r, &size, sizeof(size));
    for (unsigned i = 0; s.wanted_height != 700; i++) {
        ck_assert_uint_lt(i, 2000);
        usleep(10000);
        ck_assert_int_eq(vz_machine_display_state(r.m, 0, 1, &s, NULL), 0);
    }
    ck_assert_uint_eq(s.wanted_width, VZ_DISPLAY_SIDE_MIN);
    close_channel(&r);
    end(&r);
}
END_TEST

START_TEST(the_end_is_told)
{
    const struct vz_channel_next next = {.kind = VZ_CHANNEL_NEXT};
    struct vz_channel_update u = {.kind = 0};
    struct rig r;

    begin(&r, "mouse");
    open_channel(&r, 0);
    ck_assert_uint_eq(r.hello.input, VZ_CHANNEL_HAS_KEYBOARD | VZ_CHANNEL_HAS_MOUSE);
    say_next(&r);
    ck_assert_int_eq(vz_machine_stop_wait(r.m, NULL), 0);
    while (hear(&r, &u, sizeof(u)) > 0 && !(u.kind == VZ_CHANNEL_UPDATE && (u.flags & VZ_CHANNEL_ENDED)))
        (void)!send(r.fd, &next, sizeof(next), MSG_NOSIGNAL); /* it may be over already, with that still to be heard */
    ck_assert(u.flags & VZ_CHANNEL_ENDED);
    wait_over(&r);
    close_channel(&r);
    end(&r);
}
END_TEST

/* Machines go on, whatever their viewers say. */
START_TEST(nonsense_ends_the_channel_alone)
{
    const struct vz_channel_pointer pointers[] = {
        {.kind = VZ_CHANNEL_POINTER, .x = UINT32_MAX, .y = UINT32_MAX, .buttons = UINT32_MAX, .wheel = INT32_MIN},
        {.kind = VZ_CHANNEL_POINTER, .relative = 1, .dx = INT32_MIN, .dy = INT32_MAX, .buttons = 1},
        {.kind = VZ_CHANNEL_POINTER, .relative = 7}};
    struct vz_channel_touches touches = {.kind = VZ_CHANNEL_TOUCHES, .count = VZ_TOUCHES_MAX + 1};
    char junk[400] = {0};
    struct rig r;

    begin(&r, "trackpad");
    open_channel(&r, 0);
    ck_assert_uint_eq(r.hello.input, VZ_CHANNEL_HAS_KEYBOARD | VZ_CHANNEL_HAS_MOUSE | VZ_CHANNEL_HAS_TRACKPAD);
    for (unsigned i = 0; i < 3; i++)
        say(&r, &pointers[i], sizeof(pointers[i]));
    say(&r, &touches, sizeof(touches));
    touches.count = VZ_TOUCHES_MAX;
    touches.touch[0].x = UINT32_MAX;
    say(&r, &touches, sizeof(touches));
    for (uint32_t key = 0; key < 100; key++)
        say(&r, &(struct vz_channel_key){.kind = VZ_CHANNEL_KEY, .key = key * 0x01234567u, .down = 2},
            sizeof(struct vz_channel_key));
    say(&r, &(uint32_t){0x12345678}, 4); /* a kind of a later version */
    ck_assert(!vz_display_channel_is_over(r.channel));
    say(&r, &(uint32_t){VZ_CHANNEL_KEY}, 4); /* too short */
    wait_over(&r);
    close_channel(&r);
    open_channel(&r, 0);
    say(&r, junk, sizeof(junk)); /* too long */
    wait_over(&r);
    close_channel(&r);
    open_channel(&r, 0);
    close(r.fd);
    r.fd = dup(0);
    wait_over(&r);
    close_channel(&r);
    ck_assert_int_eq(vz_machine_get_state(r.m), VZ_STATE_RUNNING);
    end(&r);
}
END_TEST

/* More than anybody types and points: it waits, in the socket and then where it is said. Its last size arrives all the same. */
START_TEST(who_says_too_much_is_read_later)
{
    const uint64_t time_ns = 1500 * NS_PER_MS;
    struct vz_channel_size size = {.kind = VZ_CHANNEL_SIZE, .width = 640};
    struct vz_display_state s = VZ_DISPLAY_STATE_INIT;
    struct vz_channel_key key = {.kind = VZ_CHANNEL_KEY, .key = 4};
    uint64_t began, took, said = 0;
    struct rig r;

    begin(&r, "pointer");
    open_channel(&r, 0);
    for (began = clock_mono_ns(); (took = clock_mono_ns() - began) < time_ns;) {
        key.down = said & 1;
        size.height = 300 + (uint32_t)said % 1000;
        if (send(r.fd, said % 2 ? (void *)&key : &size, sizeof(key), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
            said++;
        else
            ck_assert_int_eq(errno, EAGAIN);
    }
    /* 500 at once, 2000 a second, and what the socket has room for. */
    ck_assert_uint_ge(said, 500);
    ck_assert_msg(said <= 500 + 2000 * took / NS_PER_SEC + 1000, "%llu in %llu ns", (unsigned long long)said,
                  (unsigned long long)took);
    size.height = 2000;
    say(&r, &size, sizeof(size));
    for (unsigned i = 0; s.wanted_height != 2000; i++) {
        ck_assert_uint_lt(i, 2000);
        usleep(10000);
        ck_assert_int_eq(vz_machine_display_state(r.m, 0, 0, &s, NULL), 0);
    }
    close_channel(&r);
    end(&r);
}
END_TEST

START_TEST(there_must_be_a_display)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct rig r;
    int fd = -7;

    begin(&r, "pointer");
    ck_assert_ptr_null(vz_display_channel_new(r.m, 0, 2, &fd, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
    ck_assert_ptr_null(vz_display_channel_new(r.m, 1, 0, &fd, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_DEVICE_NOT_FOUND);
    ck_assert_ptr_null(vz_display_channel_new(r.m, 0, 0, NULL, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    ck_assert_int_eq(vz_machine_stop_wait(r.m, NULL), 0);
    ck_assert_ptr_null(vz_display_channel_new(r.m, 0, 0, &fd, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID_STATE);
    ck_assert_int_eq(fd, -7);
    vz_display_channel_free(NULL);
    end(&r);
}
END_TEST

/* What a thread of its own pastes of the viewer's. */
struct pasting {
    struct vz_clipboard *party;
    pthread_t thread;
    char *got;
    size_t len;
    struct vz_error err;
};

static void *paste(void *arg)
{
    struct pasting *p = arg;

    p->got = vz_clipboard_fetch_wait(p->party, VZ_SELECTION_PRIMARY, VZ_CLIPBOARD_TEXT, &p->len, &p->err);
    return NULL;
}

/* The answer of a viewer that is asked for what it has on offer: file -1, none. */
static void answer_paste(struct rig *r, struct pasting *p, uint32_t there, int file)
{
    struct vz_channel_paste m;
    struct vz_channel_pasted pasted = {.kind = VZ_CHANNEL_PASTED, .there = there};

    ck_assert_int_eq(pthread_create(&p->thread, NULL, paste, p), 0);
    ck_assert_int_eq(hear(r, &m, sizeof(m)), sizeof(m));
    ck_assert_uint_eq(m.kind, VZ_CHANNEL_PASTE);
    ck_assert_uint_eq(m.selection, VZ_SELECTION_PRIMARY);
    ck_assert_uint_eq(m.type, VZ_CLIPBOARD_TEXT);
    pasted.request = m.request;
    ck_assert(channel_send(r->fd, &pasted, sizeof(pasted), file));
    if (file >= 0)
        close(file);
    ck_assert_int_eq(pthread_join(p->thread, NULL), 0);
}

static int file_with(const char *text, off_t len)
{
    int fd = memfd_create("test", MFD_CLOEXEC);

    ck_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && ftruncate(fd, len) == 0);
    return fd;
}

static void expect_failed(struct rig *r, struct pasting *p, uint32_t there, int file)
{
    answer_paste(r, p, there, file);
    ck_assert_ptr_null(p->got);
    ck_assert_int_eq(p->err.code, VZ_ERROR_CANCELLED);
}

START_TEST(a_viewers_clipboard_is_pasted)
{
    const struct vz_channel_next_copied next = {.kind = VZ_CHANNEL_NEXT_COPIED};
    struct vz_channel_copy copy = {.kind = VZ_CHANNEL_COPY, .selection = VZ_SELECTION_PRIMARY,
                                   .types = VZ_CLIPBOARD_BIT(VZ_CLIPBOARD_TEXT)};
    struct vz_clipboard_state state = VZ_CLIPBOARD_STATE_INIT;
    struct pasting p = {.got = NULL};
    struct rig r;
    int pipe_fd[2];
    uint32_t number;

    begin_clipboard(&r);
    p.party = vz_clipboard_new(r.m, NULL, NULL);
    open_channel(&r, 0);
    number = r.hello.clipboard;
    ck_assert_uint_ne(number, 0);
    say(&r, &next, sizeof(next));
    say(&r, &copy, sizeof(copy));
    for (unsigned i = 0; !state.types[VZ_SELECTION_PRIMARY]; i++) {
        ck_assert_uint_lt(i, 2000);
        usleep(10000);
        ck_assert_int_eq(vz_clipboard_get_state(p.party, &state, NULL), 0);
    }
    answer_paste(&r, &p, 1, file_with("from the desktop", 16));
    ck_assert_msg(p.got != NULL, "%s", p.err.text);
    ck_assert(p.len == 16 && !memcmp(p.got, "from the desktop", 16));
    free(p.got);
    expect_failed(&r, &p, 0, -1);
    expect_failed(&r, &p, 1, -1);
    expect_failed(&r, &p, 1, file_with("", VZ_CLIPBOARD_MAX + 1));
    ck_assert(pipe(pipe_fd) == 0);
    expect_failed(&r, &p, 1, pipe_fd[0]); /* nobody waits for what may never come */
    expect_failed(&r, &p, 1, open("/proc/self/status", O_RDONLY | O_CLOEXEC)); /* nor for another file system */
    close(pipe_fd[1]);
    answer_paste(&r, &p, 1, file_with("", 0));
    ck_assert(p.got && p.len == 0);
    free(p.got);
    close_channel(&r);
    ck_assert_int_eq(vz_clipboard_get_state(p.party, &state, NULL), 0);
    ck_assert_uint_eq(state.types[VZ_SELECTION_PRIMARY], 0);
    open_channel(&r, 1);
    ck_assert_uint_eq(r.hello.clipboard, number);
    close_channel(&r);
    vz_clipboard_free(p.party);
    end(&r);
}
END_TEST

START_TEST(what_the_guest_has_not_copied_cannot_be_got)
{
    const struct vz_channel_copy copies[] = {
        {.kind = VZ_CHANNEL_COPY, .selection = 2, .types = 2}, {.kind = VZ_CHANNEL_COPY, .types = UINT32_MAX},
        {.kind = VZ_CHANNEL_COPY, .types = 2}};
    const struct vz_channel_get gets[] = {
        {.kind = VZ_CHANNEL_GET, .type = 1}, {.kind = VZ_CHANNEL_GET, .selection = 2, .type = 1},
        {.kind = VZ_CHANNEL_GET, .selection = UINT32_MAX, .type = UINT32_MAX}, {.kind = VZ_CHANNEL_GET, .type = 32},
        {.kind = VZ_CHANNEL_GET, .type = 0}};
    const struct vz_channel_pasted pasted = {.kind = VZ_CHANNEL_PASTED, .there = 1, .request = 77};
    struct vz_channel_got got;
    struct rig r;

    begin_clipboard(&r);
    open_channel(&r, 0);
    for (unsigned i = 0; i < 3; i++)
        say(&r, &copies[i], sizeof(copies[i]));
    say(&r, &pasted, sizeof(pasted)); /* which nobody has asked for */
    for (unsigned i = 0; i < 5; i++) { /* nor is its own what it gets */
        say(&r, &gets[i], sizeof(gets[i]));
        ck_assert_int_eq(hear(&r, &got, sizeof(got)), sizeof(got));
        ck_assert_uint_eq(got.kind, VZ_CHANNEL_GOT);
        ck_assert_uint_eq(got.there, 0);
    }
    ck_assert(!vz_display_channel_is_over(r.channel));
    close_channel(&r);
    end(&r);
}
END_TEST

/* Its answers would pile up, or get lost. */
START_TEST(one_that_asks_and_does_not_read_is_hung_up_on)
{
    const struct vz_channel_get get = {.kind = VZ_CHANNEL_GET, .type = 1};
    struct rig r, other;

    begin_clipboard(&r);
    open_channel(&r, 0);
    other = r;
    open_channel(&other, 0);
    for (unsigned i = 0; !vz_display_channel_is_over(r.channel); i++) {
        ck_assert_uint_lt(i, 100000);
        if (send(r.fd, &get, sizeof(get), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            usleep(1000);
    }
    say_next(&other);
    ck_assert(!vz_display_channel_is_over(other.channel));
    close_channel(&other);
    close_channel(&r);
    end(&r);
}
END_TEST

static void expect_file(struct rig *r, const char *name, int fd, uint32_t state)
{
    struct vz_channel_send_file m = {.kind = VZ_CHANNEL_SEND_FILE, .file = 77};
    struct vz_channel_file told;

    memcpy(m.name, name, strnlen(name, sizeof(m.name)));
    ck_assert(channel_send(r->fd, &m, sizeof(m), fd));
    if (fd >= 0)
        close(fd);
    ck_assert_int_eq(hear(r, &told, sizeof(told)), sizeof(told));
    ck_assert_uint_eq(told.kind, VZ_CHANNEL_FILE);
    ck_assert_uint_eq(told.file, 77);
    ck_assert_uint_eq(told.state, state);
}

/* What the agent does with files is tested with one in the guest. */
START_TEST(files_need_an_agent_and_a_name)
{
    const struct vz_channel_cancel_file cancel = {.kind = VZ_CHANNEL_CANCEL_FILE, .file = 5};
    char name[VZ_CHANNEL_FILE_NAME_MAX];
    int pipe_fd[2];
    struct rig r;

    begin_clipboard(&r);
    open_channel(&r, 0);
    for (unsigned i = 0; i < 20; i++)
        expect_file(&r, "letter.txt", file_with("dear", 4), VZ_CHANNEL_FILE_NO_AGENT);
    expect_file(&r, "../letter.txt", file_with("dear", 4), VZ_CHANNEL_FILE_BAD);
    expect_file(&r, "letter.txt", -1, VZ_CHANNEL_FILE_BAD);
    memset(name, 'a', sizeof(name)); /* without an end */
    expect_file(&r, name, file_with("dear", 4), VZ_CHANNEL_FILE_BAD);
    ck_assert(pipe(pipe_fd) == 0);
    expect_file(&r, "letter.txt", pipe_fd[0], VZ_CHANNEL_FILE_BAD);
    close(pipe_fd[1]);
    say(&r, &cancel, sizeof(cancel)); /* what there is not */
    expect_file(&r, "letter.txt", file_with("dear", 4), VZ_CHANNEL_FILE_NO_AGENT);
    close_channel(&r);
    end(&r);
}
END_TEST

START_TEST(a_machine_may_share_no_clipboard)
{
    const struct vz_channel_copy copy = {.kind = VZ_CHANNEL_COPY, .types = 2};
    const struct vz_channel_get get = {.kind = VZ_CHANNEL_GET, .type = 1};
    struct vz_channel_update u;
    struct rig r;

    begin(&r, "pointer");
    open_channel(&r, 0);
    ck_assert_uint_eq(r.hello.clipboard, 0);
    say(&r, &copy, sizeof(copy));
    say(&r, &get, sizeof(get));
    say_next(&r);
    do
        ck_assert_int_gt(hear(&r, &u, sizeof(u)), 0);
    while (u.kind != VZ_CHANNEL_UPDATE);
    close_channel(&r);
    end(&r);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_viewer_hears_of_the_display);
    UNIT_TEST(s, the_end_is_told);
    UNIT_TEST(s, nonsense_ends_the_channel_alone);
    UNIT_TEST(s, one_that_asks_and_does_not_read_is_hung_up_on);
    UNIT_TEST(s, who_says_too_much_is_read_later);
    UNIT_TEST(s, there_must_be_a_display);
    UNIT_TEST(s, a_viewers_clipboard_is_pasted);
    UNIT_TEST(s, what_the_guest_has_not_copied_cannot_be_got);
    UNIT_TEST(s, a_machine_may_share_no_clipboard);
    UNIT_TEST(s, files_need_an_agent_and_a_name);
}

UNIT_TEST_MAIN("display_channel", add_tests)
