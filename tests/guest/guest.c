/* SPDX-License-Identifier: MIT */
#include "guest.h"

struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, zero;
};

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, iomap;
} __attribute__((packed));

static struct gate idt[256];
static handler_fn *handlers[256];
static struct tss tss;
uint32_t uncaught;
void (*user_event)(struct frame *f);

/* What catch_exception() and run_user() unwind to. */
static struct {
    void *sp[5]; /* rbx rbp rsp rip and scratch of __builtin_setjmp() */
    volatile bool active;
    struct frame frame;
} catcher;

/* ---- exceptions ---- */

void guest_exception(struct frame *f);

void guest_exception(struct frame *f)
{
    bool kept = f->vector < 32 && (uncaught >> f->vector & 1);

    if ((f->cs & 3) && user_event)
        user_event(f);
    if (catcher.active && !kept && (f->vector < 32 || f->vector == 0x80)) {
        catcher.active = false;
        catcher.frame = *f;
        __builtin_longjmp(catcher.sp, 1);
    }
    if (handlers[f->vector]) {
        handlers[f->vector](f);
        return;
    }
    print("FAIL unexpected vector %u error %lx at %lx:%lx cr2 %lx\n", (unsigned)f->vector,
          f->error, f->cs, f->rip, READ_CR(2));
    guest_exit(check_failures() + 1);
}

void set_gate(unsigned vector, unsigned type, unsigned dpl, unsigned ist)
{
    uint64_t at = (uint64_t)vector_stubs + 16 * vector;

    idt[vector] = (struct gate){
        .offset_low = (uint16_t)at,
        .selector = 8,
        .ist = (uint8_t)ist,
        .type = (uint8_t)(0x80 | dpl << 5 | type),
        .offset_mid = (uint16_t)(at >> 16),
        .offset_high = (uint32_t)(at >> 32),
    };
}

void set_handler(unsigned vector, handler_fn *fn)
{
    handlers[vector] = fn;
}

void load_idt(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) p = {sizeof(idt) - 1, (uint64_t)idt};

    __asm__ volatile("lidt %0" : : "m"(p));
}

int __attribute__((noinline)) catch_exception(void (*fn)(void *arg), void *arg, struct frame *ret)
{
    if (__builtin_setjmp(catcher.sp)) {
        if (ret)
            *ret = catcher.frame;
        return (int)catcher.frame.vector;
    }
    catcher.active = true;
    fn(arg);
    catcher.active = false;
    return -1;
}

/* ---- memory ---- */

void *alloc_page(void)
{
    static uint8_t *next = (uint8_t *)0x1000000;
    void *p = next;

    next += 4096;
    return memset(p, 0, 4096);
}

void flush_page(const void *va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

/* The table below an entry; a large page becomes a table of smaller ones. */
static uint64_t *descend(uint64_t *entry, unsigned level)
{
    uint64_t old = *entry;

    if (!(old & 1)) {
        *entry = (uint64_t)alloc_page() | 7;
    } else if (old & 0x80) {
        uint64_t *t = alloc_page(), step = level == 3 ? 0x200000 : 0x1000;

        for (unsigned n = 0; n < 512; n++)
            t[n] = ((old & ~UINT64_C(0x80)) | (level == 3 ? 0x80 : 0)) + n * step;
        *entry = (uint64_t)t | 7;
    }
    return (uint64_t *)(*entry & UINT64_C(0xffffffffff000));
}

uint64_t *page_entry(uint64_t va)
{
    uint64_t *t = pml4;

    for (unsigned level = 4; level > 1; level--)
        t = descend(&t[va >> (12 + 9 * (level - 1)) & 511], level);
    return &t[va >> 12 & 511];
}

void map_user(const void *start, size_t len)
{
    for (uint64_t va = (uint64_t)start & ~UINT64_C(4095); va < (uint64_t)start + len; va += 4096) {
        *page_entry(va) |= 4;
        flush_page((void *)va);
    }
}

void take_from_user(void)
{
    uint64_t *pdpt = (uint64_t *)(pml4[0] & ~UINT64_C(0xfff));

    for (unsigned n = 0; n < 2048; n++)
        ((uint64_t *)(pdpt[n / 512] & ~UINT64_C(0xfff)))[n % 512] &= ~UINT64_C(4);
    WRITE_CR(3, READ_CR(3));
}

/* ---- user mode ---- */

void load_tss(uint64_t rsp0, unsigned ist, uint64_t ist_stack)
{
    uint64_t base = (uint64_t)&tss;

    tss.rsp[0] = rsp0;
    if (ist)
        tss.ist[ist - 1] = ist_stack;
    tss.iomap = sizeof(tss);
    gdt[9] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 |
             (base >> 24 & 0xff) << 56;
    gdt[10] = base >> 32;
    __asm__ volatile("ltr %w0" : : "r"(0x48));
}

struct user_entry {
    void (*fn)(void *arg);
    void *arg, *stack;
};

uint64_t user_rflags = 0x202;

static void enter_user(void *p)
{
    struct user_entry *u = p;

    __asm__ volatile("push $0x2b; push %0; push %3; push $0x33; push %1; iretq"
                     : : "r"(u->stack), "r"(u->fn), "D"(u->arg), "r"(user_rflags) : "memory");
}

int run_user(void (*fn)(void *arg), void *arg, struct frame *ret)
{
    static uint8_t kernel_stack[8192] __attribute__((aligned(16)));
    static uint8_t *user_stack;
    struct user_entry u = {.fn = fn, .arg = arg};
    int vector;

    if (!user_stack) {
        user_stack = alloc_page();
        map_user(user_stack, 4096);
    }
    u.stack = user_stack + 4096 - 8;
    load_tss((uint64_t)kernel_stack + sizeof(kernel_stack), 0, 0);
    set_gate(0x80, 14, 3, 0);
    vector = catch_exception(enter_user, &u, ret);
    return vector == 0x80 ? -1 : vector;
}

/* ---- more CPUs ---- */

void apic_enable(void)
{
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    apic_write(0xf0, 0x1ff);
}

static void delay_us(unsigned us)
{
    uint64_t end = rdtsc() + (uint64_t)us * 4000; /* at least that long below 4 GHz */

    while (rdtsc() < end)
        __asm__ volatile("pause");
}

unsigned start_cpus(unsigned count)
{
    memcpy((void *)0x8000, trampoline, (size_t)(trampoline_end - trampoline));
    apic_enable();
    apic_write(0x310, 0);
    apic_write(0x300, 0xc4500); /* INIT to all but us */
    delay_us(10000);
    apic_write(0x300, 0xc4608); /* SIPI, page 8 */
    for (unsigned n = 0; n < 1000 && ap_count < count; n++)
        delay_us(1000);
    return ap_count;
}

__attribute__((weak)) void guest_ap_main(void)
{
    load_idt();
}

/* ---- the start ---- */

static const char *command_line = "";

/* Where the value of a word NAME=VALUE of the command line starts, or NULL. */
static const char *option(const char *name)
{
    for (const char *s = command_line; *s;) {
        const char *n = name;

        while (*n && *s == *n)
            s++, n++;
        if (!*n && *s == '=')
            return s + 1;
        while (*s && *s != ' ')
            s++;
        while (*s == ' ')
            s++;
    }
    return NULL;
}

uint64_t guest_option(const char *name, uint64_t otherwise)
{
    const char *s = option(name);
    uint64_t v = 0;

    for (; s && *s >= '0' && *s <= '9'; s++)
        v = v * 10 + (unsigned)(*s - '0');
    return s ? v : otherwise;
}

bool guest_option_is(const char *name, const char *value)
{
    const char *s = option(name);

    while (s && *value && *s == *value)
        s++, value++;
    return s && !*value && (!*s || *s == ' ');
}

void guest_start(uint32_t info);

void guest_start(uint32_t info)
{
    const uint32_t *multiboot = (const uint32_t *)(uintptr_t)info;

    if (multiboot[0] & 4)
        command_line = (const char *)(uintptr_t)multiboot[4];
    outb(0x3f9, 0);
    outb(0x3fb, 3);
    outb(0x21, 0xff); /* the firmware may have left the timer's interrupt on */
    outb(0xa1, 0xff);
    for (unsigned n = 0; n < 256; n++)
        set_gate(n, 14, 0, 0);
    load_idt();
    guest_exit(guest_main());
}
