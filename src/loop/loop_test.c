/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

struct fixture {
    struct loop *loop;
    struct loop_timer *timer, *other;
    struct loop_fd *fd, *fd2;
    unsigned fired, order[4], posted;
    bool on_loop;
    int pipe[2];
    uint64_t at;
};

static void stop_cb(void *arg)
{
    loop_stop(((struct fixture *)arg)->loop);
}

static void count_cb(void *arg)
{
    struct fixture *f = arg;

    f->fired++;
    f->at = clock_mono_ns();
}

static void count_and_stop_cb(void *arg)
{
    count_cb(arg);
    stop_cb(arg);
}

static void first_cb(void *arg)
{
    struct fixture *f = arg;

    f->order[f->posted++] = 1;
    f->on_loop = loop_is_current(f->loop);
}

static void second_cb(void *arg)
{
    struct fixture *f = arg;

    f->order[f->posted++] = 2;
}

START_TEST(works_run_once_and_in_order_on_the_loop)
{
    struct fixture f = {0};
    struct loop_work first = {.fn = first_cb, .arg = &f}, second = {.fn = second_cb, .arg = &f},
                     stop = {.fn = stop_cb, .arg = &f}, never = {.fn = count_cb, .arg = &f};

    ck_assert_int_eq(loop_create(&f.loop), 0);
    loop_work_queue(f.loop, &first);
    loop_work_queue(f.loop, &never);
    loop_work_queue(f.loop, &second);
    loop_work_queue(f.loop, &first); /* is there already */
    loop_work_queue(f.loop, &stop);
    loop_work_cancel(f.loop, &never);
    loop_work_cancel(f.loop, &never);
    ck_assert(!loop_is_current(f.loop));
    loop_run(f.loop);
    ck_assert(f.posted == 2 && f.order[0] == 1 && f.order[1] == 2 && f.on_loop);
    ck_assert_uint_eq(f.fired, 0);
    loop_destroy(f.loop);
}
END_TEST

struct restless {
    struct fixture f;
    struct loop_work work;
    unsigned rounds;
};

static void again_cb(void *arg)
{
    struct restless *r = arg;

    r->rounds++;
    loop_work_queue(r->f.loop, &r->work);
}

START_TEST(a_work_that_queues_itself_leaves_room_for_others)
{
    struct restless r = {.work = {.fn = again_cb, .arg = &r}};

    ck_assert_int_eq(loop_create(&r.f.loop), 0);
    ck_assert_int_eq(loop_timer_create(r.f.loop, stop_cb, &r.f, &r.f.timer), 0);
    loop_timer_arm(r.f.timer, clock_mono_ns() + NS_PER_MS);
    loop_work_queue(r.f.loop, &r.work);
    loop_run(r.f.loop);
    ck_assert_uint_gt(r.rounds, 0);
    loop_timer_destroy(r.f.timer);
    loop_destroy(r.f.loop);
}
END_TEST

START_TEST(timer_fires_once_and_not_early)
{
    struct fixture f = {0};
    uint64_t deadline;

    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(loop_timer_create(f.loop, count_cb, &f, &f.timer), 0);
    ck_assert_int_eq(loop_timer_create(f.loop, stop_cb, &f, &f.other), 0);
    deadline = clock_mono_ns() + 5 * NS_PER_MS;
    loop_timer_arm(f.timer, deadline);
    loop_timer_arm(f.other, deadline + 20 * NS_PER_MS);
    loop_run(f.loop);
    ck_assert_uint_eq(f.fired, 1);
    ck_assert(f.at >= deadline);

    loop_timer_arm(f.timer, 0); /* in the past: at once */
    loop_timer_arm(f.other, clock_mono_ns() + 5 * NS_PER_MS);
    loop_run(f.loop);
    ck_assert_uint_eq(f.fired, 2);

    loop_timer_arm(f.timer, clock_mono_ns() + NS_PER_MS);
    loop_timer_disarm(f.timer);
    loop_timer_arm(f.other, clock_mono_ns() + 5 * NS_PER_MS);
    loop_run(f.loop);
    ck_assert_uint_eq(f.fired, 2);

    loop_timer_arm(f.timer, clock_mono_ns() + NS_PER_MS);
    loop_timer_arm(f.timer, UINT64_MAX); /* put off for ever */
    loop_timer_arm(f.other, clock_mono_ns() + 5 * NS_PER_MS);
    loop_run(f.loop);
    ck_assert_uint_eq(f.fired, 2);
    loop_timer_destroy(f.timer);
    loop_timer_destroy(f.other);
    loop_timer_destroy(NULL);
    loop_destroy(f.loop);
}
END_TEST

static void *arm_thread(void *arg)
{
    struct fixture *f = arg;

    for (int i = 0; i < 1000; i++)
        loop_timer_arm(f->timer, clock_mono_ns() + NS_PER_SEC);
    loop_timer_arm(f->timer, clock_mono_ns() + NS_PER_MS);
    return NULL;
}

START_TEST(timers_are_armed_from_other_threads)
{
    struct fixture f = {0};
    pthread_t thread;

    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(loop_timer_create(f.loop, count_and_stop_cb, &f, &f.timer), 0);
    pthread_create(&thread, NULL, arm_thread, &f);
    loop_run(f.loop);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(f.fired, 1);
    loop_timer_destroy(f.timer);
    loop_destroy(f.loop);
}
END_TEST

static void fd_cb(void *arg, unsigned events)
{
    struct fixture *f = arg;
    char c;

    ck_assert_uint_eq(events, LOOP_READ);
    f->fired++;
    if (read(f->pipe[0], &c, 1) <= 0) {
        loop_fd_set(f->fd, 0); /* the other end is closed: must not be called again */
        loop_timer_arm(f->timer, clock_mono_ns() + 3 * NS_PER_MS);
    }
}

START_TEST(fds_are_watched_until_told_otherwise)
{
    struct fixture f = {0};

    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(pipe2(f.pipe, O_NONBLOCK), 0);
    ck_assert_int_eq(loop_timer_create(f.loop, stop_cb, &f, &f.timer), 0);
    ck_assert_int_eq(loop_fd_add(f.loop, f.pipe[0], 0, fd_cb, &f, &f.fd), 0);
    loop_fd_set(f.fd, LOOP_READ);
    ck_assert_int_eq(write(f.pipe[1], "ab", 2), 2);
    close(f.pipe[1]);
    loop_run(f.loop);
    ck_assert_uint_eq(f.fired, 3); /* two bytes, one end of file */
    loop_fd_remove(f.fd);
    loop_fd_remove(NULL);
    loop_timer_destroy(f.timer);
    loop_destroy(f.loop);
    close(f.pipe[0]);
}
END_TEST

static void remove_both_cb(void *arg, unsigned events)
{
    struct fixture *f = arg;

    f->fired++;
    loop_fd_remove(f->fd);
    loop_fd_remove(f->fd2);
    loop_stop(f->loop);
}

START_TEST(a_removed_fd_is_not_called_again)
{
    struct fixture f = {0};

    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(pipe2(f.pipe, O_NONBLOCK), 0);
    ck_assert_int_eq(loop_fd_add(f.loop, f.pipe[1], LOOP_WRITE, remove_both_cb, &f, &f.fd), 0);
    ck_assert_int_eq(write(f.pipe[1], "a", 1), 1);
    ck_assert_int_eq(loop_fd_add(f.loop, f.pipe[0], LOOP_READ, remove_both_cb, &f, &f.fd2), 0);
    loop_run(f.loop);
    ck_assert_uint_eq(f.fired, 1); /* both were ready in the same round */
    loop_destroy(f.loop);
}
END_TEST

START_TEST(regular_files_are_refused)
{
    struct fixture f = {0};
    int fd = open("/proc/self/exe", O_RDONLY);

    ck_assert_int_eq(loop_create(&f.loop), 0);
    ck_assert_int_eq(loop_fd_add(f.loop, fd, LOOP_READ, fd_cb, &f, &f.fd), -EPERM);
    loop_destroy(f.loop);
    close(fd);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, works_run_once_and_in_order_on_the_loop);
    UNIT_TEST(s, a_work_that_queues_itself_leaves_room_for_others);
    UNIT_TEST(s, timer_fires_once_and_not_early);
    UNIT_TEST(s, timers_are_armed_from_other_threads);
    UNIT_TEST(s, fds_are_watched_until_told_otherwise);
    UNIT_TEST(s, a_removed_fd_is_not_called_again);
    UNIT_TEST(s, regular_files_are_refused);
}

UNIT_TEST_MAIN("loop", add_tests)
