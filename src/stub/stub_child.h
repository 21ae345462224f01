/* SPDX-License-Identifier: MIT */
/* What a machine says to the parent of its stubs (stub_child.c), and what to a stub that is being
 * made. Both sides are of one build.
 *
 * Over a socket of packets, one request at a time:
 *   CHILD_START  with the two descriptors of RAM; answered by 0
 *   CHILD_MAKE   with the stub's memory file, whose second page is its plan, and a socket; answered by
 *                its pid as the parent sees it, and a pidfd. The stub then says {0} with its listeners on that
 *                socket, or {-errno, where it failed}; nothing more if it dies
 *   CHILD_REAP   pid; answered by its wait status. It has been killed before
 * When the socket ends, so does the parent, and with it its stubs. */
#ifndef VZ_STUB_STUB_CHILD_H
#define VZ_STUB_STUB_CHILD_H

#include <stdint.h>

enum child_op { CHILD_START = 1, CHILD_MAKE, CHILD_REAP };

struct child_request {
    uint32_t op;
    int32_t pid;
};

struct child_answer {
    int32_t result; /* 0 or more, or -errno */
    int32_t status; /* CHILD_REAP; of a failed stub: the line of stub_child.c */
};

#define CHILD_START_SANDBOX 1 /* result of CHILD_START, a bit: it is in an empty file system */

struct stub_plan {
    uint64_t region, region_size, address_end;
    uint32_t threads;
    uint32_t first, begin;   /* where in the code a thread begins */
    uint32_t cpuid_faulting; /* switch it on; done: 2 */
    uint32_t tsc_faulting;   /* the same, of RDTSC */
    uint32_t arrived;        /* threads but the first that are in their own slices */
    uint32_t kick;           /* the signal's number */
    char name[16];
};

/* At the lower end of each thread's stack: its two filters, as seccomp() takes them. The second one
 * has the stub's secret: wiped before user code runs. */
struct stub_filters {
    struct {
        uint16_t len;
        uint64_t code; /* its address in the stub */
    } listen, rule;
    uint32_t arrived, unused; /* as in the plan, where it can be reached to the end */
    struct {
        uint16_t code;
        uint8_t jt, jf;
        uint32_t k;
    } listen_code[32], rule_code[80];
};

#endif
