/* SPDX-License-Identifier: MIT */
#include "make_folders.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One in the middle may be such that nobody may make anything in it, and yet has the next one: the last one counts. */
static int make(char *path)
{
    for (char *slash = path[0] ? strchr(path + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -1;
}

int make_folders(const char *path)
{
    char *copy = strdup(path);
    int r = copy ? make(copy) : -1;

    free(copy);
    return r;
}

int make_parents(const char *file)
{
    char *copy = strdup(file), *end = copy ? strrchr(copy, '/') : NULL;
    int r = copy ? 0 : -1;

    if (end && end != copy) {
        *end = '\0';
        r = make(copy);
    }
    free(copy);
    return r;
}
