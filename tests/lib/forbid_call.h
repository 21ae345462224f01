/* SPDX-License-Identifier: MIT */
/* Hosts that forbid: system calls that fail for a test's process, as container engines have it. */
#ifndef VZ_TESTS_FORBID_CALL_H
#define VZ_TESTS_FORBID_CALL_H

#include <check.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* This process and its children have this filter from now on; flags: SECCOMP_FILTER_FLAG_*. */
static inline void install_filter(const struct sock_filter *code, unsigned count, unsigned flags)
{
    struct sock_fprog p = {.len = (unsigned short)count, .filter = (struct sock_filter *)code};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_ge((int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p), 0);
}

/* They get this error from the call. */
static inline void forbid_call(int nr, int error)
{
    const struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr)},
        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, (uint32_t)nr},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | (uint32_t)error},
        {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
    };

    install_filter(code, sizeof(code) / sizeof(code[0]), 0);
}

#endif
