/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file_lock.h"
#include "base/log.h"
#include "base/unix_socket.h"
#include "unit.h"

START_TEST(sums_and_ranges_are_checked)
{
    uint64_t r;

    ck_assert(add_u64(1, 2, &r) && r == 3);
    ck_assert(!add_u64(UINT64_MAX, 1, &r));
    ck_assert(!mul_u64(UINT64_MAX, 2, &r));
    ck_assert(range_fits(10, 0, 10));
    ck_assert(!range_fits(10, 1, 10));
    ck_assert(!range_fits(5, UINT64_MAX, 10));
    ck_assert(ranges_overlap(0, 10, 9, 1));
    ck_assert(!ranges_overlap(0, 10, 10, 1));
    ck_assert(!ranges_overlap(0, 0, 0, 1));
}
END_TEST

START_TEST(errors_carry_context_in_front)
{
    struct vz_error err = {0};

    ck_assert_int_eq(error_set(&err, ENOENT, VZ_ERROR_IO, "no file %d", 7), -ENOENT);
    error_prefix(&err, "%s", "kernel");
    ck_assert_str_eq(err.text, "kernel: no file 7");
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    ck_assert_int_eq(error_set(NULL, EINVAL, VZ_ERROR_INVALID, "x"), -EINVAL);
}
END_TEST

START_TEST(long_errors_are_cut_not_overrun)
{
    struct vz_error err = {0};
    char text[2 * VZ_ERROR_TEXT_MAX];

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    error_set(&err, EIO, VZ_ERROR_IO, "%s", text);
    ck_assert_uint_eq(strlen(err.text), VZ_ERROR_TEXT_MAX - 1);
    error_prefix(&err, "x");
    ck_assert_uint_eq(strlen(err.text), VZ_ERROR_TEXT_MAX - 1);
}
END_TEST

START_TEST(products_saturate)
{
    ck_assert_uint_eq(mul_div_u64(UINT64_MAX, 2, 2), UINT64_MAX);
    ck_assert_uint_eq(mul_div_u64(UINT64_MAX, 2, 1), UINT64_MAX);
}
END_TEST

START_TEST(stale_sockets_are_replaced_and_nothing_else)
{
    char folder[] = "/tmp/vz-socket-test.XXXXXX", path[64], file[64], far[200];
    int fd, other;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    snprintf(file, sizeof(file), "%s/file", folder);
    snprintf(far, sizeof(far), "%s/%0150d", folder, 0);
    ck_assert(!unix_socket_is_stale(path));
    fd = unix_socket_listen(path, 1);
    ck_assert_int_ge(fd, 0);
    ck_assert(!unix_socket_is_stale(path));
    ck_assert_int_eq(unix_socket_listen(path, 1), -EADDRINUSE);
    close(fd);
    ck_assert(unix_socket_is_stale(path));
    fd = unix_socket_listen(path, 1);
    ck_assert_int_ge(fd, 0);
    close(fd);
    unlink(path);

    other = creat(file, 0600);
    ck_assert(!unix_socket_is_stale(file));
    ck_assert_int_eq(unix_socket_listen(file, 1), -EADDRINUSE);
    ck_assert_int_eq(unix_socket_listen(far, 1), -ENAMETOOLONG);
    close(other);
    unlink(file);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

static void keep(void *arg, unsigned level, const char *text)
{
    char *all = arg;

    snprintf(all + strlen(all), 1000 - strlen(all), "%u %.300s|", level, text);
}

static void become_nobody(void)
{
    if (geteuid() == 0)
        ck_assert(setgid(65534) == 0 && setuid(65534) == 0);
}

/* As a machine in its sandbox: nobody of its user may see what it has open. */
static pid_t lock_in_sandbox(const char *path)
{
    int fd[2];
    char byte;
    pid_t pid;

    ck_assert_int_eq(pipe(fd), 0);
    pid = fork();
    if (pid == 0) {
        become_nobody();
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
        ck_assert_int_eq(file_lock(open(path, O_RDWR), false, path, NULL), 0);
        ck_assert_int_eq(write(fd[1], "x", 1), 1);
        pause();
        _exit(0);
    }
    close(fd[1]);
    ck_assert_int_eq(read(fd[0], &byte, 1), 1);
    close(fd[0]);
    return pid;
}

START_TEST(who_locks_an_image_in_its_sandbox_is_named)
{
    char path[] = "/dev/shm/vz-locked-XXXXXX", who[40];
    struct vz_error err;
    int fd = mkstemp(path);
    pid_t pid;

    ck_assert_int_eq(fchmod(fd, 0666), 0);
    pid = lock_in_sandbox(path);
    unlink(path);
    become_nobody();
    ck_assert_int_eq(file_lock(fd, false, path, &err), -EBUSY);
    snprintf(who, sizeof(who), "(process %d) uses it", (int)pid);
    ck_assert_msg(strstr(err.text, who) != NULL, "%s", err.text);
    ck_assert_int_eq(file_lock(fd, true, path, &err), -EBUSY);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(file_lock(fd, false, path, &err), 0);
    close(fd);
}
END_TEST

START_TEST(log_lines_go_where_the_program_says)
{
    char all[1000] = "", longest[2000];

    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    log_set_sink(keep, all, LOG_INFO);
    log_warn("%d %s", 5, "sheep");
    log_info("more");
    log_debug("not this");
    ck_assert_str_eq(all, "1 5 sheep|2 more|");
    all[0] = 0;
    setenv("VZ_LOG", "error", 1);
    log_set_sink(keep, all, LOG_ENVIRONMENT);
    log_warn("not this either");
    log_error("%s", longest);
    ck_assert_uint_eq(strlen(all), 303);
    log_set_sink(NULL, NULL, 0);
    all[0] = 0;
    log_warn("nor this");
    ck_assert_str_eq(all, "");
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, sums_and_ranges_are_checked);
    UNIT_TEST(s, errors_carry_context_in_front);
    UNIT_TEST(s, long_errors_are_cut_not_overrun);
    UNIT_TEST(s, stale_sockets_are_replaced_and_nothing_else);
    UNIT_TEST(s, products_saturate);
    UNIT_TEST(s, who_locks_an_image_in_its_sandbox_is_named);
    UNIT_TEST(s, log_lines_go_where_the_program_says);
}

UNIT_TEST_MAIN("base", add_tests)
