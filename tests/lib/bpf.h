/* SPDX-License-Identifier: MIT */
/* A seccomp filter as the kernel would run it: classic BPF, as far as filters here use it. */
#ifndef VZ_TESTS_BPF_H
#define VZ_TESTS_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>

#include "unit.h"

static inline uint32_t bpf_run(const struct sock_filter *code, unsigned count, const struct seccomp_data *d)
{
    uint32_t a = 0;

    for (unsigned pc = 0;; pc++) {
        const struct sock_filter *i = &code[pc];

        if (pc >= count)
            ck_abort_msg("it has no end");
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (i->k % 4 || i->k >= sizeof(*d))
                ck_abort_msg("it loads from %u", i->k);
            memcpy(&a, (const char *)d + i->k, 4);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            pc += a == i->k ? i->jt : i->jf;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            pc += a & i->k ? i->jt : i->jf;
            break;
        case BPF_RET | BPF_K:
            return i->k;
        default:
            ck_abort_msg("instruction %#x", i->code);
        }
    }
}

#endif
