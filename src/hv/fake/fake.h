/* SPDX-License-Identifier: MIT */
/* The fake backend: "CPUs" that execute a script out of guest memory, for tests of everything that
 * is not a CPU. RIP is the guest-physical address of the next struct fake_op; since the script is
 * guest code, kernel loaders, reset and reboot can be tested with it too. CPUs other than 0 wait
 * until they are kicked. Interrupts are swallowed; it has no interrupt controllers. */
#ifndef VZ_HV_FAKE_FAKE_H
#define VZ_HV_FAKE_FAKE_H

#include "base/compiler.h"

enum fake_kind {
    FAKE_WAIT = 0,    /* until a kick, and again after it (so zeroed memory waits) */
    FAKE_PORT_WRITE,  /* value to port `addr` */
    FAKE_PORT_READ,   /* port `addr`, which must give value, or the CPU ends with an error */
    FAKE_MMIO_WRITE,
    FAKE_MMIO_READ,
    FAKE_SHUTDOWN,    /* a triple fault */
    FAKE_ERROR,       /* a state that cannot be continued */
    FAKE_JUMP,        /* to addr */
};

/* In guest memory, little-endian, 24 bytes. */
struct fake_op {
    uint32_t kind; /* an unknown one is FAKE_ERROR */
    uint32_t size; /* of the access */
    uint64_t addr;
    uint64_t value;
};

#endif
