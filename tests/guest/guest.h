/* SPDX-License-Identifier: MIT */
/* What the guest test programs stand on: a 64-bit kernel of a few hundred lines with a serial
 * console, an IDT whose exceptions can be expected, page tables that can be edited, and a verdict.
 *
 * A program defines guest_main(), which returns the number of failed checks (console.h). */
#ifndef VZ_TESTS_GUEST_H
#define VZ_TESTS_GUEST_H

#include "console.h"

struct frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

int guest_main(void);

/* Words NAME=VALUE of the kernel command line: a decimal number, or whether it is this value. */
uint64_t guest_option(const char *name, uint64_t otherwise);
bool guest_option_is(const char *name, const char *value);

void guest_ap_main(void);

/* Gets what comes from user mode first; NULL (nobody) unless user.h is used. */
extern void (*user_event)(struct frame *f);

/* Handlers: by default an exception or interrupt nobody expects ends the program as failed. */
typedef void handler_fn(struct frame *f);
void set_handler(unsigned vector, handler_fn *fn);
void set_gate(unsigned vector, unsigned type, unsigned dpl, unsigned ist);

void load_idt(void); /* other CPUs call it themselves */

/* Run fn(arg); an exception in it unwinds to here. Returns the vector, or -1 when there was none.
 * *ret (may be NULL) is the exception's frame. */
extern uint32_t uncaught; /* vectors, as bits, that go to their handlers all the same; 0 at first */
int catch_exception(void (*fn)(void *arg), void *arg, struct frame *ret);

/* Page tables: the entry that maps va, at 4 KiB granularity (large pages are split on the way). */
uint64_t *page_entry(uint64_t va);
void *alloc_page(void); /* zeroed, below 4 GiB; never freed */
void flush_page(const void *va);

/* Load a TSS with the given stacks; ist: 1..7, 0 for none. */
void load_tss(uint64_t rsp0, unsigned ist, uint64_t ist_stack);

/* Run fn(arg) in 64-bit user mode on a stack of its own; it must be in pages with U set. Ends by
 * INT 0x80 (user_return()). Returns -1, or the vector of the exception that ended it. */
extern uint64_t user_rflags; /* what it starts with; IF at first */
int run_user(void (*fn)(void *arg), void *arg, struct frame *ret);
void map_user(const void *start, size_t len); /* set U for these pages and above them */
void take_from_user(void); /* the large pages of the start, which user mode has */
static inline void user_return(void)
{
    __asm__ volatile("int $0x80");
}

/* Local APIC, through xAPIC MMIO. */
static inline uint32_t apic_read(unsigned reg)
{
    return *(volatile uint32_t *)(uintptr_t)(0xfee00000 + reg);
}
static inline void apic_write(unsigned reg, uint32_t v)
{
    *(volatile uint32_t *)(uintptr_t)(0xfee00000 + reg) = v;
}
void apic_enable(void); /* and mask the PICs */
unsigned start_cpus(unsigned count); /* start count other CPUs; how many arrived */

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}
#define READ_CR(n)                                                                                 \
    ({                                                                                             \
        uint64_t v_;                                                                               \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_));                                         \
        v_;                                                                                        \
    })
#define WRITE_CR(n, v) __asm__ volatile("mov %0, %%cr" #n : : "r"((uint64_t)(v)) : "memory")

extern uint64_t gdt[], gdt_end[], pml4[];
extern volatile uint32_t ap_count;
extern char trampoline[], trampoline_end[], vector_stubs[];

#endif
