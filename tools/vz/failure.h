/* SPDX-License-Identifier: MIT */
/* Filling in a struct vz_error, as the library does. All of them take NULL. */
#ifndef VZ_TOOLS_FAILURE_H
#define VZ_TOOLS_FAILURE_H

#include <stdbool.h>

#include <vz/error.h>

/* Returns -1. */
int fail(struct vz_error *err, enum vz_error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Returns false. */
bool fail_false(struct vz_error *err, enum vz_error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* "WHAT: strerror(errno)", with the code that suits. Returns -1. */
int fail_errno(struct vz_error *err, const char *what);

#endif
