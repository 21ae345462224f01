/* SPDX-License-Identifier: MIT */
/* resize-disk, limit-disk: disks, changed while the machine runs. */
#include "control/control.h"

#include <limits.h>

#include <vz/runtime.h>

/* Which disk: a member that must be there. */
static bool which(struct control_call *call, json_t *params, unsigned *ret)
{
    uint64_t disk = UINT64_MAX;

    if (!call_param_number(call, params, "disk", 0, UINT_MAX, &disk))
        return false;
    if (disk > UINT_MAX) {
        call_fail_text(call, VZ_ERROR_INVALID, "which disk? (\"disk\": its number, from 0)");
        return false;
    }
    *ret = (unsigned)disk;
    return true;
}

void method_resize_disk(struct control_call *call, json_t *params)
{
    uint64_t size = 0;
    unsigned disk;

    if (!which(call, params, &disk) || !call_param_number(call, params, "size", 512, INT64_MAX, &size))
        return;
    if (!size)
        call_fail_text(call, VZ_ERROR_INVALID, "how large? (\"size\": bytes)");
    else if (vz_machine_resize_disk(call_machine(call), disk, size, call_done, call) < 0)
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* What is not said stays. */
void method_limit_disk(struct control_call *call, json_t *params)
{
    struct vz_machine *m = call_machine(call);
    struct vz_disk_limits l = VZ_DISK_LIMITS_INIT;
    struct vz_error err;
    uint64_t burst;
    unsigned disk;

    if (!which(call, params, &disk))
        return;
    if (vz_machine_disk_limits(m, disk, &l, &err) < 0) {
        call_fail(call, &err);
        return;
    }
    burst = l.burst;
    if (!call_param_number(call, params, "bytes", 0, INT64_MAX, &l.bytes) ||
        !call_param_number(call, params, "operations", 0, INT64_MAX, &l.operations) ||
        !call_param_number(call, params, "burst", 1, VZ_DISK_BURST_MAX, &burst))
        return;
    l.burst = (uint32_t)burst;
    if (vz_machine_set_disk_limits(m, disk, &l, &err) < 0)
        call_fail(call, &err);
    else
        call_reply(call, NULL);
}
