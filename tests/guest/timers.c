/* SPDX-License-Identifier: MIT */
/* The timers against the TSC (CPUID 15h tells its rate), and the ways their interrupts come: PIC
 * with and without AEOI, IOAPIC by edge and level, ExtINT, and end with KVM's flag. The host is
 * shared and may be away at any time: nothing here takes being late once for wrong. */
#include "guest.h"

#define IOAPIC ((volatile uint32_t *)0xfec00000)

#define PIT_HZ 1193182
#define PATIENCE_MS 10000 /* for what is to come soon, on a host however busy */

static uint64_t tsc_hz, crystal_hz;
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

/* Spins: what never comes must not stop the program. */
static bool wait_ticks(unsigned n, unsigned ms)
{
    uint64_t end = rdtsc() + tsc_hz / 1000 * ms;

    __asm__ volatile("sti");
    while (ticks < n && rdtsc() < end)
        __asm__ volatile("pause");
    __asm__ volatile("cli");
    return ticks >= n;
}

/* Exactly one comes: however late, and then no other in time for three. */
static unsigned ticks_of_one_shot(void)
{
    wait_ticks(1, PATIENCE_MS);
    wait_ticks(2, 30);
    return ticks;
}

/* Take what a timer that was stopped has left behind, so that the next one is not blamed for it. */
static void drain(void)
{
    __asm__ volatile("sti");
    for (unsigned n = 0; n < 100; n++)
        __asm__ volatile("pause");
    __asm__ volatile("cli");
    ticks = 0;
}

static bool is_near(uint64_t got, uint64_t want)
{
    return got > want - want / 4 && got < want + want / 4;
}

static void near(const char *name, uint64_t got, uint64_t want)
{
    if (!CHECK(name, is_near(got, want)))
        print("# %s: expected about %lu, got %lu\n", name, want, got);
}

/* Ticks come 100 times a second. A host that was busy merges late ones, so a few in a row may take
 * longer, but not always. The first may have been late, in being looked at too, and the second
 * have waited for it: the others come no faster. HLT shows the host the idle guest that we are. */
static void rate(const char *name)
{
    const uint64_t want = tsc_hz / 100;
    uint64_t got = 0;
    bool good = false, early = false;

    if (!CHECK(name, wait_ticks(1, PATIENCE_MS)))
        return;
    for (unsigned n = 0; n < 200 && !good; n++) {
        ticks = 0;
        while (ticks < 7)
            __asm__ volatile("sti; hlt; cli");
        got = (last - first) / 6;
        good = is_near(got, want);
        early |= last - first < 4 * want - want / 50;
    }
    if (!CHECK("  its rate", good && !early))
        print("# expected about %lu, got %lu%s\n", want, got, early ? ", and too early" : "");
}

/* A counter and the TSC at one moment. */
struct sample {
    uint64_t tsc, count;
};

/* Reads again where the host was away meanwhile: a read that took long says little. */
static struct sample sample(uint64_t (*read)(void))
{
    struct sample s = {0};
    uint64_t before, took, best = UINT64_MAX;

    for (unsigned n = 0; n < 1000 && best > tsc_hz / 10000; n++) {
        before = rdtsc();
        uint64_t count = read();
        took = rdtsc() - before;
        if (took >= best)
            continue;
        best = took;
        s = (struct sample){.tsc = before + took / 2, .count = count};
    }
    return s;
}

/* How often a second a counter of so many bits counts, up or down by step; it may go round once. */
static uint64_t counter_hz(uint64_t (*read)(void), unsigned bits, unsigned step, bool down)
{
    const uint64_t mask = (UINT64_C(1) << bits) - 1;

    for (unsigned n = 0; n < 1000; n++) {
        struct sample a = sample(read), b;
        uint64_t end = a.tsc + tsc_hz / 200, counts;

        while (rdtsc() < end)
            ;
        b = sample(read);
        counts = (down ? a.count - b.count : b.count - a.count) & mask;
        if (b.tsc - a.tsc < tsc_hz / 50) /* not so long that even the PIT may have gone round */
            return counts / step * (tsc_hz / 1000) / ((b.tsc - a.tsc) / 1000);
    }
    return 0;
}

static uint64_t read_pit(void)
{
    unsigned low;

    outb(0x43, 0);
    low = inb(0x40);
    return low | (unsigned)inb(0x40) << 8;
}

static uint64_t read_lapic(void)
{
    return apic_read(0x390);
}

static uint64_t read_pm_timer(void)
{
    return inl(0x608);
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
    rate("PIT mode 2 through PIC and ExtINT");
    use_pic = false;
    ticks = 0;
    CHECK_EQ("without EOI only one comes", ticks_of_one_shot(), 1);
    outb(0x20, 0x0b);
    CHECK_EQ("  ISR", inb(0x20), 1);
    outb(0x20, 0x20);
    pic_init(3);
    ticks = 0;
    CHECK("with AEOI", wait_ticks(3, PATIENCE_MS));
    outb(0x43, 0x36);
    outw_pit(11932);
    drain();
    rate("PIT mode 3");
    outb(0x43, 0x30);
    drain();
    outw_pit(11932);
    CHECK_EQ("PIT mode 0 comes once", ticks_of_one_shot(), 1);
    outb(0x43, 0xe2);
    CHECK_EQ("  status: output high, 16 bits, mode 0", inb(0x40) & 0xbf, 0xb0);
    outb(0x21, 0xff);
    apic_write(0x350, 0x10000);
}

static void pit_count(void)
{
    outb(0x43, 0x34);
    outw_pit(0);
    near("PIT mode 2 counts", counter_hz(read_pit, 16, 1, true), PIT_HZ);
    outb(0x43, 0x36);
    outw_pit(0);
    near("PIT mode 3 counts by two", counter_hz(read_pit, 16, 2, true), PIT_HZ);
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
    rate("PIT through IOAPIC pin 2");
    ioapic(0x10 + 2 * 2, 0x10055);
    drain();
    wait_ticks(1, 30);
    CHECK_EQ("masked", ticks, 0);
}

/* A deadline may be late, where the host is busy, but not always; and never early. */
static void tsc_deadline(void)
{
    bool came = true, early = false, in_time = false, cleared = true;

    apic_write(0x320, 0x40056);
    for (unsigned n = 0; n < 100 && came && !in_time; n++) {
        uint64_t at = rdtsc() + tsc_hz / 100;

        drain();
        wrmsr(0x6e0, at);
        came = wait_ticks(1, PATIENCE_MS);
        early |= last < at;
        in_time = last < at + tsc_hz / 400;
        cleared &= rdmsr(0x6e0) == 0;
    }
    CHECK("TSC deadline", came);
    CHECK("  not early", !early);
    CHECK("  in time", in_time);
    CHECK("  the MSR is 0 again", cleared);
    ticks = 0;
    wrmsr(0x6e0, 1);
    CHECK("a deadline in the past comes at once", wait_ticks(1, PATIENCE_MS));
}

static void lapic(void)
{
    uint32_t eax = 1, ecx;
    uint64_t hz;

    set_handler(0x56, on_tick);
    apic_write(0x3e0, 0xb);
    apic_write(0x320, 0x10056);
    apic_write(0x380, 0xffffffff);
    hz = counter_hz(read_lapic, 32, 1, true);
    near("LAPIC timer counts with the crystal of CPUID 15h", hz, crystal_hz);
    apic_write(0x320, 0x56);
    drain();
    apic_write(0x380, (uint32_t)(hz / 100));
    CHECK_EQ("LAPIC one-shot comes once", ticks_of_one_shot(), 1);
    CHECK_EQ("  its count is 0", apic_read(0x390), 0);
    apic_write(0x320, 0x20056);
    ticks = 0;
    apic_write(0x380, (uint32_t)(hz / 100));
    rate("LAPIC periodic");
    apic_write(0x380, 0);
    drain();
    __asm__("cpuid" : "+a"(eax), "=c"(ecx) : : "rbx", "rdx");
    if (ecx >> 24 & 1)
        tsc_deadline();
}

/* ---- the end of an interrupt by KVM's flag: Linux, Documentation/virt/kvm/x86/msr.rst ---- */

#define PV_EOI 0x4b564d04

static volatile uint32_t eoi_flag;

static void cpuid(uint32_t leaf, uint32_t v[4])
{
    __asm__ volatile("cpuid" : "=a"(v[0]), "=b"(v[1]), "=c"(v[2]), "=d"(v[3]) : "a"(leaf), "c"(0));
}

static bool has_pv_eoi(void)
{
    uint32_t v[4];

    cpuid(0x40000100, v);
    if (v[1] != 0x4b4d564b || v[2] != 0x564b4d56 || v[3] != 0x4d)
        return false;
    cpuid(0x40000101, v);
    return v[0] >> 6 & 1;
}

static void on_flagged(struct frame *f)
{
    bool told;

    ticks++;
    __asm__ volatile("btrl $0, %1" : "=@ccc"(told), "+m"(eoi_flag));
    if (!told)
        apic_write(0xb0, 0);
}

static void write_flag_address(void *p)
{
    wrmsr(PV_EOI, (uint64_t)p);
}

static void flagged_ends(void)
{
    uint64_t address = (uint64_t)&eoi_flag | 1;

    if (!has_pv_eoi())
        return;
    CHECK_EQ("no flag at first", rdmsr(PV_EOI), 0);
    CHECK_EQ("  one that is not aligned is refused",
             catch_exception(write_flag_address, (void *)(address | 2), NULL), 13);
    wrmsr(PV_EOI, address);
    CHECK_EQ("  reads back", rdmsr(PV_EOI), address);
    set_handler(0x60, on_flagged);
    ticks = 0;
    for (unsigned n = 1; n <= 100 && ticks == n - 1; n++) {
        apic_write(0x300, 0x44060); /* to itself */
        wait_ticks(n, PATIENCE_MS);
    }
    CHECK_EQ("each interrupt ends and the next comes", ticks, 100);
    CHECK_EQ("  ISR is empty", apic_read(0x130), 0);
    wrmsr(PV_EOI, 0);
}

int guest_main(void)
{
    uint32_t eax = 0x15, ebx, ecx = 0;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx) : : "rdx");
    if (!CHECK("CPUID tells the TSC's rate", eax && ebx && ecx))
        return check_failures();
    crystal_hz = ecx;
    tsc_hz = (uint64_t)ecx * ebx / eax;
    apic_enable();
    pit_count();
    pit_pic();
    pit_ioapic();
    lapic();
    flagged_ends();
    near("PM timer counts", counter_hz(read_pm_timer, 24, 1, false), 3579545);
    return check_failures();
}
