/* SPDX-License-Identifier: MIT */
#include "loop/listener.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fake_loop.h"
#include "unit.h"

struct fixture {
    struct loop *loop;
    struct loop_listener *l;
    int fd, got[100];
    unsigned count;
    bool close_at_once;
};

static struct sockaddr_un address(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    /* an abstract one: no file */
    snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "vz-listener-test-%d", getpid());
    return a;
}

static void on_connection(void *arg, int fd)
{
    struct fixture *f = arg;

    f->got[f->count++] = fd;
    if (f->close_at_once) {
        loop_listener_destroy(f->l);
        f->l = NULL;
    }
}

static void set_up(struct fixture *f)
{
    struct sockaddr_un a = address();

    *f = (struct fixture){.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
    ck_assert_int_eq(bind(f->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ck_assert_int_eq(listen(f->fd, LISTENER_BACKLOG), 0);
    ck_assert_int_eq(loop_create(&f->loop), 0);
    ck_assert_int_eq(loop_listener_create(f->loop, f->fd, on_connection, f, &f->l), 0);
}

static void tear_down(struct fixture *f)
{
    for (unsigned i = 0; i < f->count; i++)
        close(f->got[i]);
    loop_listener_destroy(f->l);
    close(f->fd);
    loop_destroy(f->loop);
}

static int come(void)
{
    struct sockaddr_un a = address();
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

START_TEST(many_are_taken_in_one_turn)
{
    struct fixture f;
    int fd[50];

    set_up(&f);
    for (unsigned i = 0; i < 50; i++)
        fd[i] = come();
    fake_loop_turn(f.loop);
    ck_assert_uint_eq(f.count, 0); /* not switched on */
    loop_listener_set(f.l, true);
    fake_loop_turn(f.loop);
    ck_assert_uint_eq(f.count, 50);
    for (unsigned i = 0; i < 50; i++)
        close(fd[i]);
    tear_down(&f);
}
END_TEST

START_TEST(without_descriptors_it_rests_instead_of_spinning)
{
    struct fixture f;
    struct rlimit was, none;
    int fd;

    set_up(&f);
    loop_listener_set(f.l, true);
    fd = come();
    getrlimit(RLIMIT_NOFILE, &was);
    none = (struct rlimit){.rlim_cur = 1, .rlim_max = was.rlim_max}; /* and 0 is in use */
    setrlimit(RLIMIT_NOFILE, &none);
    fake_loop_turn(f.loop);
    for (unsigned i = 0; i < FAKE_LOOP_MAX; i++)
        ck_assert(!f.loop->fd[i] || !f.loop->fd[i]->events);
    setrlimit(RLIMIT_NOFILE, &was);
    ck_assert_uint_eq(f.count, 0);
    ck_assert_uint_eq(fake_loop_fire(f.loop), 1);
    fake_loop_turn(f.loop);
    ck_assert_uint_eq(f.count, 1);
    close(fd);
    tear_down(&f);
}
END_TEST

START_TEST(the_owner_may_close_it_from_inside)
{
    struct fixture f;
    int a, b;

    set_up(&f);
    f.close_at_once = true;
    loop_listener_set(f.l, true);
    a = come();
    b = come();
    fake_loop_turn(f.loop);
    ck_assert_uint_eq(f.count, 1);
    close(a);
    close(b);
    tear_down(&f);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, many_are_taken_in_one_turn);
    UNIT_TEST(s, without_descriptors_it_rests_instead_of_spinning);
    UNIT_TEST(s, the_owner_may_close_it_from_inside);
}

UNIT_TEST_MAIN("listener", add_tests)
