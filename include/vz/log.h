/* SPDX-License-Identifier: MIT */
/* What the library has to say besides errors: what a guest did wrong, what of the host's was lost.
 * A failure that a caller sees as an error is never logged as well.
 *
 * Lines go to standard error, "libvz: TEXT", where their level is that of the environment variable
 * VZ_LOG (error, warn, info, debug) or a graver one; without it warnings and errors are told. */
#ifndef VZ_LOG_H
#define VZ_LOG_H

#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

enum vz_log_level {
    VZ_LOG_ERROR = 0, /* something does not work any more */
    VZ_LOG_WARN = 1,  /* something is not as it should be */
    VZ_LOG_INFO = 2,
    VZ_LOG_DEBUG = 3,
    VZ_LOG_ENVIRONMENT = 4, /* for vz_set_log(): as the environment variable says */
};

/* One line, without an end of line, good until it returns. Any thread, machines' too, several at
 * once; it calls nothing of the library. */
typedef void vz_log_fn(void *arg, enum vz_log_level level, const char *text);

/**
 * Have lines go to a function instead, for the whole process. When it returns, no call of the
 * function before is under way.
 * @fn     NULL: as in the beginning, to standard error
 * @level  the least grave that fn hears of
 * Any thread, but not from fn. Since 0.4. */
VZ_PUBLIC void vz_set_log(vz_log_fn *fn, void *arg, enum vz_log_level level);

#ifdef __cplusplus
}
#endif
#endif
