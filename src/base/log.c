/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 500

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

static void to_stderr(void *arg, unsigned level, const char *text)
{
    char line[LINE_MAX_LEN + 16];
    int len = snprintf(line, sizeof(line), "libvz: %s\n", text);

    if (write(STDERR_FILENO, line, (size_t)len) < 0)
        return; /* nowhere left to say so */
}

/* The one thing that is the process's and not a machine's. */
static struct {
    pthread_rwlock_t lock; /* held for reading while fn runs */
    log_sink_fn *fn;
    void *arg;
    unsigned level;
} sink = {PTHREAD_RWLOCK_INITIALIZER, to_stderr, NULL, LOG_ENVIRONMENT};

void log_set_sink(log_sink_fn *fn, void *arg, unsigned level)
{
    pthread_rwlock_wrlock(&sink.lock);
    sink.fn = fn ? fn : to_stderr;
    sink.arg = arg;
    sink.level = fn ? level : LOG_ENVIRONMENT;
    pthread_rwlock_unlock(&sink.lock);
}

void log_line(enum log_level level, const char *fmt, ...)
{
    char text[LINE_MAX_LEN];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    pthread_rwlock_rdlock(&sink.lock);
    if (level <= (sink.level < LOG_ENVIRONMENT ? sink.level : log_threshold()))
        sink.fn(sink.arg, level, text);
    pthread_rwlock_unlock(&sink.lock);
}
