/* SPDX-License-Identifier: MIT */
#include "sandbox/sandbox_rights.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

struct rights {
    struct __user_cap_header_struct head;
    struct __user_cap_data_struct half[2]; /* of 64: the lower ones first */
};

static int get(struct rights *r)
{
    r->head = (struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capget, &r->head, r->half) < 0 ? -errno : 0;
}

bool sandbox_rights_has(uint64_t rights)
{
    struct rights r;

    return get(&r) == 0 && !(rights & ~(r.half[0].effective | (uint64_t)r.half[1].effective << 32));
}

int sandbox_rights_limit(uint64_t permitted, uint64_t effective)
{
    struct rights r;
    int err = get(&r);

    if (err < 0)
        return err;
    for (unsigned i = 0; i < 2; i++) {
        r.half[i].permitted &= (uint32_t)(permitted >> 32 * i);
        r.half[i].effective = r.half[i].permitted & (uint32_t)(effective >> 32 * i);
        r.half[i].inheritable = 0;
    }
    return syscall(SYS_capset, &r.head, r.half) < 0 ? -errno : 0;
}
