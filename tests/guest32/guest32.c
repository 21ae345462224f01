/* SPDX-License-Identifier: MIT */
#include "guest32.h"

struct gate {
    uint16_t offset_low, selector;
    uint8_t zero, type;
    uint16_t offset_high;
};

static struct gate idt[256];
static handler_fn *handlers[256];
struct tss main_tss;
extern char vector_stubs[], real_base[], real_end[];
void real_mode(void);

static struct {
    void *sp[5];
    volatile bool active;
    struct frame frame;
} catcher;

/* ---- exceptions ---- */

void guest_exception(struct frame *f);

void guest_exception(struct frame *f)
{
    if (catcher.active && (f->vector < 32 || f->vector == 0x80)) {
        catcher.active = false;
        catcher.frame = *f;
        __builtin_longjmp(catcher.sp, 1);
    }
    if (handlers[f->vector]) {
        handlers[f->vector](f);
        return;
    }
    print("FAIL unexpected vector %d error %x at %x:%x cr2 %x\n", f->vector, f->error, f->cs, f->eip,
          READ_CR(2));
    guest_exit(check_failures() + 1);
}

void set_handler(unsigned vector, handler_fn *fn)
{
    handlers[vector] = fn;
}

uint32_t stub(unsigned vector)
{
    return (uint32_t)vector_stubs + 16 * vector;
}

void set_gate(unsigned vector, unsigned type, unsigned dpl, uint32_t where)
{
    uint32_t offset = type == 5 ? 0 : stub(vector);

    idt[vector] = (struct gate){
        .offset_low = (uint16_t)offset, .offset_high = (uint16_t)(offset >> 16),
        .selector = type == 5 ? (uint16_t)where : 8, .type = (uint8_t)(0x80 | dpl << 5 | type)};
}

int catch_exception(void (*fn)(void *arg), void *arg, struct frame *ret)
{
    if (__builtin_setjmp(catcher.sp)) {
        __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" : : "r"(0x10));
        if (ret)
            *ret = catcher.frame;
        return (int)catcher.frame.vector;
    }
    catcher.active = true;
    fn(arg);
    catcher.active = false;
    return -1;
}

struct user_entry {
    void (*fn)(void *arg);
    void *arg;
    uint32_t *stack, eflags;
};

static void enter_user(void *p)
{
    struct user_entry *u = p;

    *--u->stack = (uint32_t)u->arg;
    *--u->stack = 0; /* nobody returns */
    __asm__ volatile("mov %0, %%ds; mov %0, %%es\n"
                     "push %0; push %1; push %2; push $0x2b; push %3; iret"
                     : : "r"(0x33), "r"(u->stack), "r"(u->eflags), "r"(u->fn) : "memory");
}

int run_user(void (*fn)(void *arg), void *arg, unsigned iopl, struct frame *ret)
{
    static uint32_t user_stack[1024], kernel_stack[2048];
    struct user_entry u = {fn, arg, user_stack + 1024, 0x202 | iopl << 12};
    int vector;

    main_tss.esp0 = (uint32_t)(kernel_stack + 2048);
    main_tss.ss0 = 0x10;
    set_gate(0x80, 14, 3, 0);
    vector = catch_exception(enter_user, &u, ret);
    return vector == 0x80 ? -1 : vector;
}

uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 |
           (uint64_t)(base >> 24) << 56;
}

void run_real(const void *start, const void *end)
{
    memcpy((void *)0x6000, real_base, (size_t)(real_end - real_base));
    memcpy((void *)0x7000, start, (size_t)((const char *)end - (const char *)start));
    real_mode();
}

void apic_enable(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    apic_write(0xf0, 0x1ff);
}

void guest_start(void);

void guest_start(void)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint32_t)idt};

    for (unsigned v = 0; v < 256; v++)
        set_gate(v, 14, 0, 0);
    __asm__ volatile("lidt %0" : : "m"(pointer));
    main_tss.iomap = sizeof(main_tss);
    gdt[SEL_MAIN_TSS / 8] = descriptor((uint32_t)&main_tss, sizeof(main_tss) - 1, 0x89, 0);
    __asm__ volatile("ltr %w0" : : "r"(SEL_MAIN_TSS));
    guest_exit(guest_main() ? check_failures() : 0);
}
