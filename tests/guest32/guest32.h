/* SPDX-License-Identifier: MIT */
/* What the 32-bit guest test programs stand on: flat protected mode, a serial console, exceptions
 * that can be expected, real mode on demand, and a verdict. As tests/guest/guest.h, which is for
 * 64-bit programs and says more. */
#ifndef VZ_TESTS_GUEST32_H
#define VZ_TESTS_GUEST32_H

#include "../guest/console.h"

struct frame {
    uint32_t gs, fs, es, ds;
    uint32_t edi, esi, ebp, unused_esp, ebx, edx, ecx, eax;
    uint32_t vector, error, eip, cs, eflags;
    uint32_t esp, ss;             /* from another privilege level, or virtual-8086 mode */
    uint32_t v_es, v_ds, v_fs, v_gs; /* from virtual-8086 mode */
};

int guest_main(void);

typedef void handler_fn(struct frame *f);
void set_handler(unsigned vector, handler_fn *fn);
/* type: 14 and 15 gates with selector 8, 5 a task gate, whose selector is where. */
void set_gate(unsigned vector, unsigned type, unsigned dpl, uint32_t where);
/* The stub that leads to the vector's handler: for gates of one's own. */
uint32_t stub(unsigned vector);

/* Run fn(arg); an exception in it unwinds to here. Returns the vector, or -1. */
int catch_exception(void (*fn)(void *arg), void *arg, struct frame *ret);
/* Run fn(arg) at CPL 3 with that IOPL on a stack of its own; it ends by user_return(). */
int run_user(void (*fn)(void *arg), void *arg, unsigned iopl, struct frame *ret);
static inline void user_return(void)
{
    __asm__ volatile("int $0x80");
}

extern uint64_t gdt[32];
/* A descriptor; flags: 0xc for 4 KiB granularity and 32 bits, 4 for 32 bits, 0. */
uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags);

struct tss {
    uint32_t link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp,
        esi, edi, es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, iomap;
};
#define SEL_MAIN_TSS 0x38
#define SEL_FREE     0x40 /* and up: what tests put there */
extern struct tss main_tss;

/* Copy code to 0x7000 and run it in real mode; it ends by a far return. IVT entries of its own are
 * the test's. */
void run_real(const void *start, const void *end);

void apic_enable(void);
static inline void apic_write(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)(uintptr_t)(0xfee00000 + reg) = v;
}
#define READ_CR(n)                                                                                 \
    ({                                                                                             \
        uint32_t v_;                                                                               \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_));                                         \
        v_;                                                                                        \
    })
#define WRITE_CR(n, v) __asm__ volatile("mov %0, %%cr" #n : : "r"((uint32_t)(v)) : "memory")

#endif
