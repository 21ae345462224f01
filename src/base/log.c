/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum log_level log_threshold(void)
{
    const char *env = getenv("VZ_LOG");

    if (!env)
        return LOG_WARN;
    if (!strcmp(env, "debug"))
        return LOG_DEBUG;
    if (!strcmp(env, "info"))
        return LOG_INFO;
    return strcmp(env, "error") ? LOG_WARN : LOG_ERROR;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char line[512];
    size_t len;
    va_list args;

    if (level > log_threshold())
        return;
    len = (size_t)snprintf(line, sizeof(line), "vz: ");
    va_start(args, fmt);
    len += (size_t)vsnprintf(line + len, sizeof(line) - len - 1, fmt, args);
    va_end(args);
    len = MIN(len, sizeof(line) - 2);
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* nowhere left to say so */
}
