/* SPDX-License-Identifier: MIT */
/* What a process has, counted, for tests that nothing is left behind. */
#ifndef VZ_TESTS_ENTRIES_H
#define VZ_TESTS_ENTRIES_H

#include <check.h>
#include <dirent.h>

/* Of a folder, "." and ".." among them. */
static inline unsigned count_entries(const char *path)
{
    DIR *d = opendir(path);
    unsigned count = 0;

    ck_assert_msg(d != NULL, "%s cannot be read", path);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* Of this process: always as many too many, so that they serve to be compared. */
static inline unsigned count_fds(void)
{
    return count_entries("/proc/self/fd");
}

static inline unsigned count_threads(void)
{
    return count_entries("/proc/self/task");
}

#endif
