/* SPDX-License-Identifier: MIT */
/* The timers against the TSC (CPUID 15h tells its rate), and the ways their interrupts come: PIC with
 * and without AEOI, IOAPIC by edge and level, ExtINT. Rates have wide margins: the host is shared. */
#include "guest.h"

#define IOAPIC ((volatile uint32_t *)0xfec00000)

static uint64_t tsc_hz;
static volatile unsigned ticks;
static volatile uint64_t first, last;
static bool use_pic, use_apic;

static void on_tick(struct frame *f)
{
    last = rdtsc();
    if (!ticks++)
        first = last;
    if (use_pic)
        outb(0x20, 0x20);
    if (use_apic)
        apic_write(0xb0, 0);
}

static void outw_pit(uint16_t v)
{
    outb(0x40, (uint8_t)v);
    outb(0x40, (uint8_t)(v >> 8));
}

static bool wait_ticks(unsigned n, unsigned ms)
{
    uint64_t end = rdtsc() + tsc_hz / 1000 * ms;

    __asm__ volatile("sti");
    while (ticks < n && rdtsc() < end)
        __asm__ volatile("pause");
    __asm__ volatile("cli");
    return ticks >= n;
}

static void near(const char *name, uint64_t got, uint64_t want)
{
    if (!CHECK(name, got > want - want / 4 && got < want + want / 4))
        print("# %s: expected about %lu, got %lu\n", name, want, got);
}

static void ioapic(unsigned index, uint32_t value)
{
    IOAPIC[0] = index;
    IOAPIC[4] = value;
}

static void pic_init(unsigned icw4)
{
    outb(0x20, 0x11);
    outb(0x21, 0x20);
    outb(0x21, 4);
    outb(0x21, (uint8_t)icw4);
    outb(0x21, 0xfe);
}

/* 100 Hz through the PIC, which is wired to LINT0. */
static void pit_pic(void)
{
    set_handler(0x20, on_tick);
    apic_write(0x350, 0x700);
    pic_init(1);
    use_pic = true;
    outb(0x43, 0x34);
    outw_pit(11932);
    ticks = 0;
    CHECK("PIT mode 2 through PIC and ExtINT", wait_ticks(21, 2000));
    near("  its rate", (last - first) / 20, tsc_hz / 100);
    use_pic = false;
    ticks = 0;
    wait_ticks(2, 40);
    CHECK_EQ("without EOI only one comes", ticks, 1);
    outb(0x20, 0x0b);
    CHECK_EQ("  ISR", inb(0x20), 1);
    outb(0x20, 0x20);
    pic_init(3);
    ticks = 0;
    CHECK("with AEOI", wait_ticks(3, 200));
    outb(0x43, 0x36);
    outw_pit(11932);
    ticks = 0;
    CHECK("PIT mode 3", wait_ticks(11, 1000));
    near("  its rate", (last - first) / 10, tsc_hz / 100);
    outb(0x43, 0x30);
    outw_pit(11932);
    ticks = 0;
    wait_ticks(2, 50);
    CHECK_EQ("PIT mode 0 comes once", ticks, 1);
    outb(0x43, 0xe2);
    CHECK_EQ("  status: output high, 16 bits, mode 0", inb(0x40) & 0xbf, 0xb0);
    outb(0x21, 0xff);
    apic_write(0x350, 0x10000);
}

static void pit_ioapic(void)
{
    use_apic = true;
    set_handler(0x55, on_tick);
    ioapic(0x10 + 2 * 2 + 1, apic_read(0x20) & 0xff000000);
    ioapic(0x10 + 2 * 2, 0x55);
    outb(0x43, 0x34);
    outw_pit(11932);
    ticks = 0;
    CHECK("PIT through IOAPIC pin 2", wait_ticks(11, 1000));
    near("  its rate", (last - first) / 10, tsc_hz / 100);
    ioapic(0x10 + 2 * 2, 0x10055);
    ticks = 0;
    wait_ticks(2, 30);
    CHECK("masked", ticks <= 1);
}

static void lapic(void)
{
    uint32_t eax = 1, ecx, before;
    uint64_t end, at;

    set_handler(0x56, on_tick);
    apic_write(0x3e0, 0xb);
    apic_write(0x320, 0x10056);
    apic_write(0x380, 0xffffffff);
    before = apic_read(0x390);
    end = rdtsc() + tsc_hz / 50;
    while (rdtsc() < end)
        ;
    before -= apic_read(0x390); /* counts in 20 ms */
    apic_write(0x320, 0x56);
    apic_write(0x380, before / 2);
    ticks = 0;
    wait_ticks(2, 40);
    CHECK_EQ("LAPIC one-shot comes once", ticks, 1);
    CHECK_EQ("  its count is 0", apic_read(0x390), 0);
    apic_write(0x320, 0x20056);
    apic_write(0x380, before / 2);
    ticks = 0;
    CHECK("LAPIC periodic", wait_ticks(11, 1000));
    near("  its rate", (last - first) / 10, tsc_hz / 100);
    apic_write(0x380, 0);
    __asm__("cpuid" : "+a"(eax), "=c"(ecx) : : "rbx", "rdx");
    if (!(ecx >> 24 & 1))
        return;
    apic_write(0x320, 0x40056);
    ticks = 0;
    at = rdtsc() + tsc_hz / 100;
    wrmsr(0x6e0, at);
    CHECK("TSC deadline", wait_ticks(1, 500));
    CHECK("  not early", last >= at);
    CHECK_EQ("  the MSR is 0 again", rdmsr(0x6e0), 0);
    ticks = 0;
    wrmsr(0x6e0, 1);
    CHECK("a deadline in the past comes at once", wait_ticks(1, 500));
}

static void pm_timer(void)
{
    uint32_t from = inl(0x608) & 0xffffff;
    uint64_t end = rdtsc() + tsc_hz / 50;

    while (rdtsc() < end)
        ;
    near("PM timer", (inl(0x608) - from) & 0xffffff, 3579545 / 50);
}

int guest_main(void)
{
    uint32_t eax = 0x15, ebx, ecx = 0;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx) : : "rdx");
    if (!CHECK("CPUID tells the TSC's rate", eax && ebx && ecx))
        return check_failures();
    tsc_hz = (uint64_t)ecx * ebx / eax;
    apic_enable();
    pit_pic();
    pit_ioapic();
    lapic();
    pm_timer();
    return check_failures();
}
