/* SPDX-License-Identifier: MIT */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct vz_error *err, int errno_value, enum vz_error_code code, const char *fmt, ...)
{
    va_list args;

    if (err) {
        err->code = code;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof(err->text), fmt, args);
        va_end(args);
    }
    return -errno_value;
}

void error_prefix(struct vz_error *err, const char *fmt, ...)
{
    char text[VZ_ERROR_TEXT_MAX];
    va_list args;
    int len;

    if (!err)
        return;
    va_start(args, fmt);
    len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(text))
        return;
    snprintf(text + len, sizeof(text) - (size_t)len, ": %s", err->text);
    memcpy(err->text, text, sizeof(text));
}
