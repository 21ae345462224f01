/* SPDX-License-Identifier: MIT */
/* Which system calls which kind of thread may make, with what arguments, and why: a table. */
#ifndef VZ_SANDBOX_SANDBOX_CALLS_H
#define VZ_SANDBOX_SANDBOX_CALLS_H

#include <stdbool.h>

#include "base/thread.h"

/* Of one argument's lower half, which is all that the kernel looks at in those that are checked. */
struct sandbox_check {
    enum {
        SANDBOX_ANY,  /* nothing is checked */
        SANDBOX_IS,   /* it is value */
        SANDBOX_SELF, /* it is this process' number */
        SANDBOX_NONE, /* no bit of value is set in it */
        SANDBOX_ALL,  /* all bits of value are */
    } kind;
    unsigned arg; /* 0..5 */
    uint32_t value;
};

/* What a machine has, without which some rows are not there. */
enum sandbox_feature {
    SANDBOX_NET = 1 << 0,    /* a network that makes connections: NAT, NBD */
    SANDBOX_VSOCK = 1 << 1,  /* a socket device, whose connections go on to sockets of the host */
    SANDBOX_KVM = 1 << 2,    /* the KVM backend */
    SANDBOX_STUBS = 1 << 3,  /* direct execution */
    SANDBOX_FOLDERS = 1 << 4, /* folders in which it may make files: saved states, layers */
    SANDBOX_USB = 1 << 6,    /* USB devices of the host, or room for those */
    SANDBOX_LOCAL = 1 << 7,  /* the same on this host, by Unix sockets: who may connect to one can to any */
    SANDBOX_NBD = 1 << 5,    /* a disk on an NBD server, whose connections the loop's threads make again */
};

/* One call, allowed with arguments that pass both checks. Several rows of a call stand together: one that
 * passes is enough. */
struct sandbox_row {
    int nr;
    const char *name;
    uint32_t kinds; /* BIT(enum thread_kind) */
    uint32_t needs; /* one of these enum sandbox_feature; 0: nothing */
    struct sandbox_check check[2];
    int error; /* with other arguments, unless another row has them: what the call returns; 0: the process ends */
    const char *why;
    bool rare; /* no run of scripts/sandbox-calls has to show it: why says who makes it when */
};

#define SANDBOX_KIND(name) ((uint32_t)BIT(THREAD_##name))

const struct sandbox_row *sandbox_rows(unsigned *ret_count);

/* Whose rows a thread of this kind has. */
uint32_t sandbox_kinds_of(enum thread_kind kind);

/* "openat", or NULL. */
const char *sandbox_call_name(int nr);

/* "loop", "cpu", ... */
const char *sandbox_kind_name(enum thread_kind kind);

#endif
