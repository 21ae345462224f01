/* SPDX-License-Identifier: MIT */
/* vz_lock_thread(): a program's own threads give up what they do not need. */
#include <vz/machine.h>

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "sandbox/sandbox.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true /* whose threads read /proc and make processes when they end */
#else
#define SANITIZED false
#endif

int vz_lock_thread(enum vz_thread_work work, enum vz_sandbox sandbox, const char *folder, struct vz_error *err)
{
    static const enum thread_kind kind[] = {THREAD_TALK, THREAD_SERVE, THREAD_WATCH, THREAD_CONTROL};
    int r;

    if ((unsigned)work >= ARRAY_SIZE(kind) || (unsigned)sandbox > VZ_SANDBOX_AUTOMATIC) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "there is no such work of a thread, or no such sandbox");
        return -1;
    }
    if (sandbox == VZ_SANDBOX_NONE || SANITIZED)
        return 0;
    r = sandbox_lock_program(kind[work], sandbox == VZ_SANDBOX_LOG, folder);
    if (r < 0)
        error_set(err, -r, VZ_ERROR_INTERNAL, "a thread cannot enter the sandbox: %s", strerror(-r));
    return r < 0 ? -1 : 0;
}
