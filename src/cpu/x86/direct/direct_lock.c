/* SPDX-License-Identifier: MIT */
/* The lock of direct_vm. It may be taken with the guest's vector state in the host's registers, so it
 * is none of libc's. */
#include <stdatomic.h>
#include <sys/syscall.h>

#include "cpu/x86/direct/direct_priv.h"

static void yield(void)
{
    long ret;

    __asm__ volatile("syscall" : "=a"(ret) : "0"((long)SYS_sched_yield) : "rcx", "r11", "memory");
}

void direct_lock(struct direct_vm *v)
{
    unsigned spins = 0;

    while (atomic_exchange_explicit(&v->lock, true, memory_order_acquire)) {
        __builtin_ia32_pause();
        if (++spins % 256 == 0)
            yield(); /* who has it may need our core */
    }
}

void direct_unlock(struct direct_vm *v)
{
    atomic_store_explicit(&v->lock, false, memory_order_release);
}
