/* SPDX-License-Identifier: MIT */
/* <vz/log.h>: the library's log lines for programs. */
#include <vz/log.h>

#include "base/log.h"

_Static_assert((int)VZ_LOG_ERROR == LOG_ERROR && (int)VZ_LOG_WARN == LOG_WARN &&
               (int)VZ_LOG_INFO == LOG_INFO && (int)VZ_LOG_DEBUG == LOG_DEBUG &&
               (int)VZ_LOG_ENVIRONMENT == LOG_ENVIRONMENT, "one scale");

/* In C an enum without negative values is compatible with unsigned int, so that the functions'
 * types are. */
_Static_assert(_Generic((enum vz_log_level)0, unsigned: 1, default: 0), "so it is");

void vz_set_log(vz_log_fn *fn, void *arg, enum vz_log_level level)
{
    log_set_sink(fn, arg, level);
}
