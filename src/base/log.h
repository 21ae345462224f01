/* SPDX-License-Identifier: MIT */
/* Log lines of the library: only what the guest did wrong, or what was dropped. Failures that a
 * caller sees as an error are never logged as well. */
#ifndef VZ_BASE_LOG_H
#define VZ_BASE_LOG_H

#include "base/compiler.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_ENVIRONMENT }; /* as in <vz/log.h> */

/* Any thread. One line, cut at 500 bytes, to the program's function, or else to standard error:
 * "libvz: text", unless it is below the level in the environment variable VZ_LOG (error, warn, info,
 * debug; default warn). */
void log_line(enum log_level level, const char *fmt, ...) printf_like(2, 3);

/* vz_set_log(). The process's, as standard error is: lines come from places that know no machine. */
typedef void log_sink_fn(void *arg, unsigned level, const char *text);
void log_set_sink(log_sink_fn *fn, void *arg, unsigned level);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* Log once per call site: for what a guest can repeat a million times a second. */
#define log_once(level, ...)                                                                       \
    do {                                                                                           \
        static _Atomic bool logged_;                                                               \
        if (!__atomic_exchange_n((bool *)&logged_, true, __ATOMIC_RELAXED))                        \
            log_line(level, __VA_ARGS__);                                                          \
    } while (0)

#endif
