/* SPDX-License-Identifier: MIT */
/* Filling in struct vz_error. A function fills it in or passes it on, and never logs it too. */
#ifndef VZ_BASE_ERROR_H
#define VZ_BASE_ERROR_H

#include <vz/error.h>

#include "base/compiler.h"

/* Set code and text. err may be NULL. Returns -errno_value, so that a failing function of the
 * 0/-errno kind can say `return error_set(err, EINVAL, VZ_ERROR_INVALID, "...")`. */
int error_set(struct vz_error *err, int errno_value, enum vz_error_code code, const char *fmt, ...)
    printf_like(4, 5);

/* Put "context: " in front of the text that a callee left. err may be NULL. */
void error_prefix(struct vz_error *err, const char *fmt, ...) printf_like(2, 3);

#endif
