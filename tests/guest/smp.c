/* SPDX-License-Identifier: MIT */
/* Two CPUs: start-up, IPIs, TLB shootdown, locked operations and code changed by the other one.
 * SDM vol. 3, 8.1, 8.4, 10.6. */
#include "guest.h"

#define ROUNDS 20000u

static volatile unsigned command, done, ipis, nmis;
static uint64_t counter, *crossing, wide[2] __attribute__((aligned(16)));
static volatile uint64_t *shared;
static volatile uint64_t seen;
static uint8_t *code;
static volatile unsigned code_round;
static volatile bool code_ok = true;
static uint32_t other_apic;

static void add_many(void)
{
    for (unsigned n = 0; n < ROUNDS; n++) {
        uint64_t lo = wide[0], hi = wide[1], one = 1;
        bool ok = false;

        __asm__ volatile("lock incq %0; lock xaddq %2, %0; lock addq $3, (%1)"
                         : "+m"(counter), "+r"(crossing), "+r"(one) : : "memory");
        while (!ok)
            __asm__ volatile("lock cmpxchg16b %1" : "=@ccz"(ok), "+m"(wide), "+a"(lo), "+d"(hi)
                             : "b"(lo + 1), "c"(hi + 2) : "memory");
    }
}

static void run_code(void)
{
    while (code_round < 1000) {
        unsigned v = code_round;
        uint32_t eax = 0;

        if (!(v & 1))
            continue; /* odd: the code is ready for us */
        __asm__ volatile("cpuid" : "+a"(eax) : : "rbx", "rcx", "rdx", "memory");
        code_ok &= ((unsigned (*)(void))code)() == v;
        code_round = v + 1;
    }
}

void guest_ap_main(void)
{
    unsigned last = 0;

    load_idt();
    other_apic = apic_read(0x20) & 0xff000000;
    apic_write(0xf0, 0x1ff);
    __asm__ volatile("sti");
    for (;;) {
        unsigned now = command;

        if (now == last) {
            __asm__ volatile("pause");
            continue;
        }
        last = now;
        if (now == 1)
            add_many();
        else if (now == 2)
            run_code();
        else if (now == 3)
            seen = *shared;
        else if (now == 4)
            __asm__ volatile("hlt");
        done = now;
    }
}

static bool wait_for(volatile unsigned *what, unsigned value)
{
    for (uint64_t end = rdtsc() + UINT64_C(20000000000); rdtsc() < end;)
        if (*what == value)
            return true;
    return false;
}

static void on_ipi(struct frame *f)
{
    __asm__ volatile("lock incl %0" : "+m"(ipis));
    apic_write(0xb0, 0);
}

static void on_nmi(struct frame *f)
{
    __asm__ volatile("lock incl %0" : "+m"(nmis));
}

static void on_shootdown(struct frame *f)
{
    flush_page((void *)shared);
    seen = *shared;
    apic_write(0xb0, 0);
    ipis++;
}

static void send(uint32_t to, uint32_t what)
{
    while (apic_read(0x300) & 0x1000)
        ;
    apic_write(0x310, to);
    apic_write(0x300, what);
}

static void ipi_modes(void)
{
    set_handler(0x70, on_ipi);
    set_handler(2, on_nmi);
    send(other_apic, 0x4070);
    CHECK("a fixed IPI", wait_for(&ipis, 1));
    send(0, 0xc4070);
    CHECK("to all but self", wait_for(&ipis, 2));
    send(0, 0x84070);
    __asm__ volatile("sti; nop; nop; cli");
    CHECK("to all with self", wait_for(&ipis, 4));
    send(0xff000000, 0x4070);
    __asm__ volatile("sti; nop; nop; cli");
    CHECK("broadcast by destination", wait_for(&ipis, 6));
    send(other_apic, 0x4400);
    CHECK("NMI", wait_for(&nmis, 1));
}

static void shootdown(void)
{
    uint64_t *a = alloc_page(), *b = alloc_page(), va = UINT64_C(0x8000000000);
    bool ok = true;

    shared = (uint64_t *)va;
    set_handler(0x71, on_shootdown);
    ipis = 0;
    for (unsigned n = 0; n < 500; n++) {
        uint64_t *page = n & 1 ? a : b;

        page[0] = n;
        *page_entry(va) = (uint64_t)page | 3;
        send(other_apic, 0x4071);
        ok &= wait_for(&ipis, n + 1) && seen == n;
    }
    CHECK("TLB shootdown by IPI", ok);
}

static void sums(void)
{
    uint8_t *pages = alloc_page();

    alloc_page();
    crossing = (uint64_t *)(pages + 4093);
    command = 1;
    add_many();
    CHECK("the other CPU finished", wait_for(&done, 1));
    CHECK_EQ("LOCK INC and XADD", counter, ROUNDS * 2 * 2 - 0);
    CHECK_EQ("LOCK ADD across two pages", *crossing, ROUNDS * 2 * 3);
    CHECK_EQ("CMPXCHG16B, low", wide[0], ROUNDS * 2);
    CHECK_EQ("CMPXCHG16B, high", wide[1], ROUNDS * 4);
}

/* SDM vol. 3, 8.1.3: write, tell the other CPU, which serializes before it runs the new code. */
static void cross_modify(void)
{
    code = alloc_page();
    code[0] = 0xb8;
    code[5] = 0xc3;
    command = 2;
    for (unsigned n = 1; n < 1000; n += 2) {
        *(volatile uint32_t *)(code + 1) = n;
        code_round = n;
        if (!wait_for(&code_round, n + 1))
            break;
    }
    CHECK("the other CPU finished", wait_for(&done, 2));
    CHECK("code changed by the other CPU", code_ok);
}

int guest_main(void)
{
    CHECK_EQ("the other CPU came", start_cpus(1), 1);
    while (!*(volatile uint32_t *)&other_apic)
        __asm__ volatile("pause");
    CHECK_EQ("its APIC id", other_apic, 1 << 24);
    ipi_modes();
    sums();
    cross_modify();
    shootdown();
    command = 4;
    send(other_apic, 0x4070); /* may come before HLT: the next one wakes it then */
    for (unsigned n = 0; n < 200000 && done != 4; n++) {
        send(other_apic, 0x4070);
        for (unsigned k = 0; k < 1000; k++)
            __asm__ volatile("pause");
    }
    CHECK_EQ("an IPI ends HLT", done, 4);
    return check_failures();
}
