/* SPDX-License-Identifier: MIT */
#include "base/pidfd.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "forbid_call.h"
#include "unit.h"

static pid_t make_child(int status)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(status);
    ck_assert_int_gt(pid, 0);
    return pid;
}

static void reap_one(void)
{
    pid_t pid = make_child(3);

    pidfd_reap(pidfd_of(pid), pid);
    ck_assert(waitpid(pid, NULL, WNOHANG) < 0 && errno == ECHILD);
}

START_TEST(a_child_that_has_ended_leaves_nothing)
{
    reap_one();
}
END_TEST

/* Linux 5.2, or a process without descriptors left. */
START_TEST(nor_where_there_are_no_such_descriptors)
{
    forbid_call(SYS_pidfd_open, ENOSYS);
    reap_one();
}
END_TEST

/* Linux 5.3. */
START_TEST(nor_where_nobody_can_wait_by_them)
{
    forbid_call(SYS_waitid, EINVAL);
    reap_one();
}
END_TEST

/* The number may be another child's by now. */
START_TEST(whom_somebody_else_has_reaped_is_not_waited_for)
{
    pid_t pid = make_child(3), other = make_child(4);
    int pidfd = pidfd_of(pid), status;

    ck_assert_int_ge(pidfd, 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    pidfd_reap(pidfd, other);
    ck_assert_int_eq(waitpid(other, &status, 0), other);
    ck_assert_int_eq(WEXITSTATUS(status), 4);
}
END_TEST

START_TEST(who_does_not_end_in_time_is_killed)
{
    pid_t pid = fork();
    int pidfd;

    if (pid == 0)
        for (;;)
            pause();
    pidfd = pidfd_of(pid);
    pidfd_kill_late(pidfd, 1);
    pidfd_reap(pidfd, pid);
    ck_assert(waitpid(pid, NULL, WNOHANG) < 0 && errno == ECHILD);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_child_that_has_ended_leaves_nothing);
    UNIT_TEST(s, nor_where_there_are_no_such_descriptors);
    UNIT_TEST(s, nor_where_nobody_can_wait_by_them);
    UNIT_TEST(s, whom_somebody_else_has_reaped_is_not_waited_for);
    UNIT_TEST(s, who_does_not_end_in_time_is_killed);
}

UNIT_TEST_MAIN("pidfd", add_tests)
