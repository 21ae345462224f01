/* SPDX-License-Identifier: MIT */
/* A guest that means harm: random port and MMIO accesses, code, stacks and tables in device memory
 * and beyond RAM, random bytes run as user code, code that rewrites itself, thousands of vector
 * instructions. The only claim is that the machine is still there afterwards. */
#include "guest.h"

void *memcpy(void *d, const void *s, size_t n);

#ifndef ROUNDS
#define ROUNDS 16 /* starting points in each of 64 random pages */
#endif
#ifndef SEED
#define SEED UINT64_C(0x9e3779b97f4a7c15)
#endif

static uint64_t seed = SEED;

static uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * UINT64_C(0x2545f4914f6cdd1d);
}

static void ignore(struct frame *f)
{
    (void)f;
}

/* ---- ports ---- */

static bool port_ends_machine(uint16_t port)
{
    return (port >= 0x60 && port <= 0x64) || (port >= 0x8f && port <= 0x92) ||
           (port >= 0xf0 && port <= 0xf7) || (port >= 0x3f5 && port <= 0x3ff) ||
           (port >= 0x600 && port <= 0x680) || (port >= 0xcf0 && port <= 0xcff) ||
           (port >= 0xb0 && port <= 0xb3);
}

static void random_port(void *arg)
{
    static const uint16_t known[] = {0x20, 0x40, 0x70, 0xa0, 0x4d0, 0x61, 0x80, 0xc000, 0x2f8};
    uint64_t r = rnd();
    uint16_t port = (uint16_t)(r & 1 ? r >> 8 : known[(r >> 8) % 9] + (r >> 24 & 7));
    uint32_t v = (uint32_t)(r >> 32);

    if (port_ends_machine(port))
        return;
    switch (r >> 1 & 7) {
    case 0: outb(port, (uint8_t)v); break;
    case 1: __asm__ volatile("outw %w0, %w1" : : "a"(v), "d"(port)); break;
    case 2: outl(port, v); break;
    case 3: inb(port); break;
    case 4: __asm__ volatile("inw %w1, %w0" : "+a"(v) : "d"(port)); break;
    case 5: inl(port); break;
    case 6: {
        uint64_t n = 1 + (v & 63), si = UINT64_C(0xfec00000) + (v & 0xfff);

        __asm__ volatile("rep outsl" : "+S"(si), "+c"(n) : "d"(port) : "memory");
        break;
    }
    default: {
        uint64_t n = 1 + (v & 63), di = UINT64_C(0xa0000) + (v & 0xfff);

        __asm__ volatile("rep insw" : "+D"(di), "+c"(n) : "d"(port) : "memory");
    }
    }
}

/* ---- device memory ---- */

static const uint64_t windows[] = {
    0xfee00000, 0xfec00000, 0xb0000000, 0xb0008000, 0xb00f8000, 0xfed00000, 0xa0000, 0xc0000,
    0xf0000, 0xffff0000, 0xe0000000, 0xfebff000, 0x20000000, 0xc0000000, 0xfffff000,
};
#define WINDOWS (sizeof(windows) / sizeof(windows[0]))

static uint64_t device_address(void)
{
    uint64_t a;

    do
        a = windows[rnd() % WINDOWS] + (rnd() & 0xfff);
    while (a >= 0xfee002f0 && a < 0xfee00320); /* an INIT to ourselves would end the program */
    return a;
}

static void random_mmio(void *arg)
{
    uint64_t at = device_address(), v = rnd() & ~UINT64_C(0x70000000700), n = 1 + (v >> 56);
    bool apic = at >> 12 == 0xfee00 || at >> 12 == 0xfec00;

    switch (rnd() % (apic ? 11 : 16)) {
    case 0: *(volatile uint8_t *)at = (uint8_t)v; break;
    case 1: *(volatile uint16_t *)at = (uint16_t)v; break;
    case 2: *(volatile uint32_t *)at = (uint32_t)v; break;
    case 3: *(volatile uint64_t *)at = v; break;
    case 4: *(volatile uint8_t *)at; break;
    case 5: *(volatile uint16_t *)at; break;
    case 6: *(volatile uint32_t *)at; break;
    case 7: *(volatile uint64_t *)at; break;
    case 8: __asm__ volatile("lock cmpxchg %0, (%1)" : : "r"(v), "r"(at) : "rax", "memory"); break;
    case 9: __asm__ volatile("lock cmpxchg16b (%0)" : : "r"(at & ~15) : "rax", "rdx", "memory"); break;
    case 10: __asm__ volatile("movdqu (%0), %%xmm1; paddd (%1), %%xmm2"
                              : : "r"(at), "r"(at & ~15) : "memory"); break;
    case 11: __asm__ volatile("movups %%xmm3, (%0)" : : "r"(at) : "memory"); break;
    case 12: __asm__ volatile("fxsave (%0); fxrstor (%0)" : : "r"(at & ~15) : "memory"); break;
    case 13: __asm__ volatile("rep stosl" : "+D"(at), "+c"(n) : "a"(v) : "memory"); break;
    case 14: {
        uint64_t from = device_address();

        __asm__ volatile("rep movsw" : "+D"(at), "+S"(from), "+c"(n) : : "memory");
        break;
    }
    default: __asm__ volatile("xchg %0, (%1); lock btsl %k0, (%1); fldt (%1); fstpt (%1)"
                              : "+r"(v) : "r"(at) : "memory");
    }
}

static const uint64_t executed[] = {0xfee00020, 0xfec00000, 0xb0000000, 0xe0000000, 0x20000000, 0xfffff000};

static void execute_device(void *arg)
{
    __asm__ volatile("mov $0x2000000, %%eax; mov %%eax, %%ecx; mov %%eax, %%edx; mov %%eax, %%esi;"
                     "mov %%eax, %%ebx; mov %%eax, %%r8d; call *%%rdi"
                     : "+D"(arg) : : "memory", "rax", "rcx", "rdx", "rbx", "rsi", "r8", "r9", "r10", "r11");
}

/* ---- user code ---- */

static uint8_t *user_page;

static void run_random(void *arg)
{
    __asm__ volatile("xor %%ebp, %%ebp; jmp *%0" : : "r"(user_page + (uintptr_t)arg) : "memory");
}

static void fill_random(unsigned kind)
{
    for (unsigned n = 0; n < 2048; n++)
        ((uint64_t *)user_page)[n] = rnd();
    if (kind == 1) /* mostly vector instructions */
        for (unsigned n = 0; n < 16300; n += 9) {
            static const uint8_t prefix[] = {0x66, 0xf2, 0xf3, 0x90};
            uint64_t r = rnd();

            user_page[n] = prefix[r & 3];
            user_page[n + 1] = 0x0f;
            user_page[n + 2] = (uint8_t)(r >> 8);
            user_page[n + 3] = (uint8_t)(0xc0 | r >> 16);
            user_page[n + 4] = user_page[n + 5] = user_page[n + 6] = 0x90;
            user_page[n + 7] = user_page[n + 8] = 0x90;
        }
    if (kind == 2) /* VEX */
        for (unsigned n = 0; n < 16300; n += 6) {
            uint64_t r = rnd();

            user_page[n] = 0xc4;
            user_page[n + 1] = (uint8_t)(0xe0 | (1 + (r & 3) % 3));
            user_page[n + 2] = (uint8_t)(r >> 8);
            user_page[n + 3] = (uint8_t)(r >> 16);
            user_page[n + 4] = (uint8_t)(0xc0 | r >> 24);
        }
    if (kind == 3) /* short jumps: tight loops and blocks that overlap */
        for (unsigned n = 0; n < 16300; n += 1 + rnd() % 5)
            user_page[n] = (uint8_t)(0x70 | rnd() % 16);
}

/* ---- code that rewrites itself ---- */

static void rewrite(void *arg)
{
    uint8_t *p = (uint8_t *)0x3000000;

    for (unsigned n = 0; n < 2000; n++) {
        uint8_t *q = p + (n * 7 & 0x1fff);

        q[0] = 0xb8; /* mov eax, n; movb [rip + 0], ret; what follows is rewritten by itself */
        *(uint32_t *)(q + 1) = n;
        memcpy(q + 5, "\xc6\x05\x00\x00\x00\x00\xc3\x0f\x0b", 9);
        ((void (*)(void))q)();
    }
}

static void timer(unsigned on)
{
    apic_write(0xf0, 0x1ff);
    apic_write(0x3e0, 0xb);
    apic_write(0x320, on ? 0x200f0 : 0x100f0);
    apic_write(0x380, on ? 2000000 : 0);
}

/* User code may loop for ever: the timer sends it to an INT 0x80 it cannot overwrite. */
static uint8_t *way_out;

static void on_timer(struct frame *f)
{
    apic_write(0xb0, 0);
    if (f->cs & 3) {
        f->rip = (uint64_t)way_out;
        f->cs = 0x33;
    }
}

static void user_part(void)
{
    struct frame f;
    unsigned vectors[32] = {0};

    take_from_user();
    user_page = (uint8_t *)0x3800000;
    map_user(user_page, 16384 + 4096);
    way_out = (uint8_t *)0x3900000;
    way_out[0] = 0xcd;
    way_out[1] = 0x80;
    map_user(way_out, 4096);
    *page_entry((uint64_t)way_out) &= ~UINT64_C(2);
    flush_page(way_out);
    for (unsigned n = 0; n < 64; n++) {
        fill_random(n % 4);
        for (unsigned at = 0; at < 16384; at += 16384 / ROUNDS) {
            int v;

            timer(1);
            v = run_user(run_random, (void *)(uintptr_t)(at / 18 * 18), &f);
            if (v >= 0 && v < 32)
                vectors[v]++;
            /* go on behind what faulted */
            for (unsigned m = 0; m < 60 && v >= 0; m++) {
                uint64_t at = f.rip - (uint64_t)user_page;
                uint64_t next = n % 4 == 1 ? at / 9 * 9 + 9 : n % 4 == 2 ? at / 6 * 6 + 6 : at + 1;


                if (next >= 16384)
                    break;
                v = run_user(run_random, (void *)next, &f);
            }
        }
    }
    timer(0);
    CHECK("user code met exceptions", vectors[6] + vectors[13] + vectors[14] > 0);
}

/* ---- tables and stacks ---- */

static void touch(void *arg)
{
    *(volatile uint64_t *)arg = 1;
    *(volatile uint8_t *)arg;
    __asm__ volatile("movups %%xmm0, (%0)" : : "r"(arg) : "memory");
}

static void table_part(void)
{
    for (unsigned n = 0; n < 2000; n++) {
        uint64_t low = rnd() & 0xfff;

        pml4[4] = n & 1 ? (device_address() & ~UINT64_C(4095)) | low | 1 : rnd() | 1;
        __asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" : : : "rax", "memory");
        catch_exception(touch, (void *)(UINT64_C(4) << 39 | (rnd() & 0x7fffffffff)), NULL);
    }
    pml4[4] = 0;
}

static void gdt_in_device(void *arg)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) p = {0xffff, windows[rnd() % (WINDOWS - 1)]}, old; /* the last ends at 4 GiB */

    __asm__ volatile("sgdt %0" : "=m"(old));
    __asm__ volatile("lgdt %0" : : "m"(p));
    for (unsigned n = 0; n < 64; n++) {
        uint32_t sel = (uint32_t)rnd() & 0xfffc, x;

        __asm__ volatile("lar %1, %0; lsl %1, %0; verr %w1; verw %w1" : "=r"(x) : "r"(sel));
    }
    __asm__ volatile("lgdt %0" : : "m"(old));
}

static void stack_in_device(void *arg)
{
    uint64_t at = (device_address() & ~UINT64_C(0xfff)) + 0x200;

    __asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; push %%rax; pop %%rax; pushfq; popq %%rax;"
                     "push $1; push (%%rsp); call 1f; 1: mov %%rbx, %%rsp"
                     : : "r"(at) : "rbx", "rax", "memory");
}

static void harmless_interrupts(void)
{
    for (unsigned n = 32; n < 256; n++)
        set_handler(n, n == 0xf0 ? on_timer : ignore);
    set_handler(1, ignore);
    set_handler(2, ignore);
}

int guest_main(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (c & 1 << 26) {
        WRITE_CR(4, READ_CR(4) | 1 << 18);
        __asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
    }
    wrmsr(0xc0000080, rdmsr(0xc0000080) & ~UINT64_C(1)); /* no SYSCALL to nowhere */
    harmless_interrupts();
    user_part();
    print("ok random user code\n");
    for (unsigned n = 0; n < 3; n++)
        rewrite(NULL);
    print("ok self-modifying code\n");
    table_part();
    print("ok page tables anywhere\n");
    gdt_in_device(NULL);
    for (unsigned n = 0; n < 500; n++)
        catch_exception(stack_in_device, NULL, NULL);
    print("ok GDT and stack in device memory\n");
    for (unsigned n = 0; n < 20000; n++)
        catch_exception(random_port, NULL, NULL);
    print("ok random ports\n");
    for (unsigned n = 0; n < 20000; n++)
        catch_exception(random_mmio, NULL, NULL);
    print("ok random device memory\n");
    for (unsigned n = 0; n < 6; n++)
        catch_exception(execute_device, (void *)executed[n], NULL);
    print("ok execution from device memory\n");
    return check_failures();
}
