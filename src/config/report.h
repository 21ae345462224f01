/* SPDX-License-Identifier: MIT */
/* What the checks of a configuration's objects report to. A check reports its problems and goes on,
 * so that a person sees all of them at once. */
#ifndef VZ_CONFIG_REPORT_H
#define VZ_CONFIG_REPORT_H

#include <vz/config.h>

#include "base/compiler.h"

/* So many sockets are compared with each other: every forward's, and more ports than fit into a
 * machine. */
#define REPORT_SOCKETS_MAX (VZ_SOCKET_FORWARDS_MAX + 256)

struct report {
    vz_problem_fn *fn; /* may be NULL */
    void *arg;
    struct vz_error first;
    unsigned count;
    const struct vz_config *whole; /* NULL: an attachment alone is checked */
    unsigned index;                /* of the item of a list that is being checked */
    char path[160];                /* of what is being checked, as in the JSON form */
    /* What is there once only. */
    const char *socket[REPORT_SOCKETS_MAX]; /* paths that will be listened on */
    unsigned socket_count;
    unsigned stdio_users;
};

/* The problem's object is the innermost item of a list, or else the member. */
void report_problem(struct report *r, enum vz_error_code code, const char *fmt, ...)
    printf_like(3, 4);

/* Go to a member of what is being checked, or with index >= 0 to an item of it; returns where
 * report_leave() comes back to. */
size_t report_enter(struct report *r, const char *member, int index);
void report_leave(struct report *r, size_t back);

/* ---- Files and descriptors ------------------------------------------------------------------ */

/* Does it open? */
void report_opens(struct report *r, const char *path, int flags);

/* Is it open for want (O_RDONLY, O_WRONLY, O_RDWR)? False after a problem. */
bool report_fd(struct report *r, int fd, int want);

/* A file that is written, and may have to be made: then its folder must allow it. */
void report_output_file(struct report *r, const char *path);

/* A socket that will be made; no two are at the same path. */
void report_new_socket(struct report *r, const char *path);

/* Is path short enough for a socket? */
void report_socket_path(struct report *r, const char *path);

#endif
