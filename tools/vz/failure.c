/* SPDX-License-Identifier: MIT */
#include "failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void fill(struct vz_error *err, enum vz_error_code code, const char *fmt, va_list ap)
{
    struct vz_error new = {.code = code}; /* what is said may be in *err */

    if (!err)
        return;
    vsnprintf(new.text, sizeof(new.text), fmt, ap);
    *err = new;
}

int fail(struct vz_error *err, enum vz_error_code code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fill(err, code, fmt, ap);
    va_end(ap);
    return -1;
}

bool fail_false(struct vz_error *err, enum vz_error_code code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fill(err, code, fmt, ap);
    va_end(ap);
    return false;
}

int fail_errno(struct vz_error *err, const char *what)
{
    int no = errno;

    return fail(err, no == ENOSPC || no == EDQUOT ? VZ_ERROR_OUT_OF_DISK_SPACE
                     : no == ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_IO,
                "%s: %s", what, strerror(no));
}
