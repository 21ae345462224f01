/* SPDX-License-Identifier: MIT */
#include "base/given_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

START_TEST(files_in_memory_are_known)
{
    int memory = memfd_create("test", 0), file = open("/proc/self/status", O_RDONLY), pair[2];

    ck_assert(pipe(pair) == 0);
    ck_assert(given_fd_is_memory(memory));
    ck_assert(!given_fd_is_memory(file));
    ck_assert(!given_fd_is_memory(pair[0]));
    ck_assert(!given_fd_is_memory(-1));
    given_fd_close(memory);
    ck_assert(fcntl(memory, F_GETFD) < 0); /* at once */
    close(file);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

/* What hangs is tested with a file system that does, in tests/cli/test_hanging_files.py. */
START_TEST(others_are_closed_soon)
{
    int pair[100][2];

    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < 100; i++)
        ck_assert(pipe(pair[i]) == 0);
    for (unsigned i = 0; i < 100; i++) {
        given_fd_close(pair[i][0]);
        for (unsigned n = 0; write(pair[i][1], "x", 1) == 1; n++) {
            ck_assert_uint_lt(n, 5000);
            usleep(1000);
        }
        ck_assert_int_eq(errno, EPIPE);
        close(pair[i][1]);
    }
    given_fd_close(-1);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, files_in_memory_are_known);
    UNIT_TEST(s, others_are_closed_soon);
}

UNIT_TEST_MAIN("given_fd", add_tests)
