/* SPDX-License-Identifier: MIT */
/* What this host allows, by trying: a stub of its own, some bytes of code in it for each thing that
 * must hold, and how long a trap takes. A list; the first that fails is why it does not work. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "stub/stub_impl.h"

#define RAM_SIZE 0x4000
#define REGION   UINT64_C(0x400000000000)
#define CODE     UINT64_C(0x10000000) /* the first page of RAM */
#define DATA     UINT64_C(0x20000000) /* the second */
#define ELSEWHERE UINT64_C(0x30000000)

#define TIME_ENOUGH (20 * NS_PER_MS)  /* to measure one thing, */
#define TIME_MAX    (500 * NS_PER_MS) /* where little has been seen by then */

struct trial {
    struct stub_host *host;
    struct stub *stub;
    struct stub_thread *t;
    uint8_t *ram;
    struct stub_regs regs;
    enum stub_event event;
    uint64_t address;
    struct stub_probe *probe;
    struct frame_ways *ways;
};

/* ---- running a few bytes ---- */

/* From the beginning of the code, with what registers there are. */
static bool go(struct trial *p)
{
    p->regs.rip = CODE;
    p->regs.rflags = 0;
    p->regs.gpr[4] = DATA + 0x1000;
    return stub_run(p->t, &p->regs, &p->event, &p->address) == 0;
}

#define GO(p, ...)                                                                                 \
    ({                                                                                             \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                             \
        memcpy((p)->ram, bytes_, sizeof(bytes_));                                                  \
        go(p);                                                                                     \
    })

/* The event, at so many bytes into the code. */
static bool came(const struct trial *p, enum stub_event event, unsigned at)
{
    return p->event == event && p->regs.rip == CODE + at;
}

static bool new_stub(struct trial *p, bool tsc_faults)
{
    const struct stub_wish wish = {.region = REGION, .tsc_faults = tsc_faults};

    stub_destroy(p->stub);
    p->stub = NULL;
    if (stub_create(&p->stub, p->host, &wish))
        return false;
    p->t = stub_thread(p->stub, 0);
    return stub_map(p->t, CODE, 0x1000, 0, PROT_READ | PROT_EXEC) &&
           stub_map(p->t, DATA, 0x1000, 0x1000, PROT_READ | PROT_WRITE);
}

/* ---- what must hold ---- */

static bool try_system_call(struct trial *p)
{
    p->regs.gpr[0] = 39;
    p->regs.fs_base = 0x123456789000;
    p->regs.gs_base = 0xffff800000001000;
    return GO(p, 0x90, 0x0f, 0x05) && came(p, STUB_SYSCALL, 1) && p->regs.gpr[0] == 39 &&
           p->regs.fs_base == 0x123456789000 && p->regs.gs_base == 0xffff800000001000;
}

/* Calls that Linux makes for its own probes, and lets through any filter. */
static bool try_probe_calls(struct trial *p)
{
    for (unsigned nr = 335; nr <= 336; nr++) {
        p->regs.gpr[0] = nr;
        if (!GO(p, 0x90, 0x0f, 0x05) || !came(p, STUB_SYSCALL, 1) || p->regs.gpr[0] != nr)
            return false;
    }
    return true;
}

static bool try_faults(struct trial *p)
{
    p->regs.gpr[1] = 0;
    return GO(p, 0x90, 0x0f, 0x0b) && came(p, STUB_FAULT, 1) /* UD2 */ &&
           GO(p, 0x90, 0xf4) && came(p, STUB_FAULT, 1) /* HLT */ &&
           GO(p, 0x90, 0xf7, 0xf1) && came(p, STUB_FAULT, 1) /* DIV by 0 */ &&
           GO(p, 0x90, 0xcc) && came(p, STUB_BREAKPOINT, 1) &&
           GO(p, 0x9c, 0x80, 0x4c, 0x24, 1, 1, 0x9d, 0x90) && came(p, STUB_SINGLE_STEP, 8) &&
           GO(p, 0x90, 0xcd, 0x80) && (came(p, STUB_INT80, 1) || came(p, STUB_FAULT, 1));
}

/* Some hypervisors leave RIP at an ICEBP. */
static bool try_icebp(struct trial *p)
{
    if (!GO(p, 0x90, 0xf1, 0x90) || p->event != STUB_BREAKPOINT)
        return false;
    p->ways->icebp_length = (unsigned)(p->regs.rip + p->ways->icebp_length - (CODE + 1));
    return p->ways->icebp_length <= 1;
}

static bool try_page_fault(struct trial *p)
{
    p->regs.gpr[0] = 0x1234;
    p->regs.gpr[3] = ELSEWHERE + 8;
    if (!GO(p, 0x48, 0x89, 0x03, 0x0f, 0x05) || !came(p, STUB_PAGE_FAULT, 0) ||
        p->address != ELSEWHERE + 8)
        return false;
    /* By the read-only descriptor it stays that. */
    return stub_map(p->t, ELSEWHERE, 0x1000, 0x2000, PROT_READ) && go(p) &&
           came(p, STUB_PAGE_FAULT, 0) &&
           stub_map(p->t, ELSEWHERE, 0x1000, 0x2000, PROT_READ | PROT_WRITE) && go(p) &&
           came(p, STUB_SYSCALL, 3) && !memcmp(p->ram + 0x2008, "\x34\x12", 2) &&
           stub_unmap(p->t, ELSEWHERE, 0x1000) && stub_flush(p->t) == 0 && go(p) &&
           came(p, STUB_PAGE_FAULT, 0);
}

/* XMM0 goes in and comes out. */
static bool try_vectors(struct trial *p)
{
    enum { XSTATE_BV = 512, XMM0 = 160, SSE = BIT(1) };
    size_t size;
    uint8_t *area = stub_xsave(p->t, &size), pattern[16];
    uint64_t bits;

    memset(pattern, 0x5a, sizeof(pattern));
    memcpy(&bits, area + XSTATE_BV, sizeof(bits));
    bits |= SSE;
    memcpy(area + XSTATE_BV, &bits, sizeof(bits));
    memcpy(area + XMM0, pattern, sizeof(pattern));
    p->regs.gpr[3] = DATA;
    /* movups %xmm0, (%rbx); pcmpeqd %xmm0, %xmm0; ud2 */
    if (!GO(p, 0x0f, 0x11, 0x03, 0x66, 0x0f, 0x76, 0xc0, 0x0f, 0x0b) || !came(p, STUB_FAULT, 7) ||
        memcmp(p->ram + 0x1000, pattern, sizeof(pattern)))
        return false;
    memset(pattern, 0xff, sizeof(pattern));
    return !memcmp(area + XMM0, pattern, sizeof(pattern));
}

static bool try_kick(struct trial *p)
{
    /* One before it goes in, and one that comes while its thread is in the handler. */
    stub_kick(p->t);
    if (!GO(p, 0xeb, 0xfe) || p->event != STUB_KICKED)
        return false;
    syscall(SYS_tgkill, p->stub->pid, p->t->tid, STUB_KICK);
    return go(p) && came(p, STUB_KICKED, 0);
}

static bool try_cpuid(struct trial *p)
{
    p->regs.gpr[0] = p->regs.gpr[1] = 0;
    if (!GO(p, 0x90, 0x0f, 0xa2, 0x0f, 0x0b))
        return false;
    p->probe->cpuid_faults = came(p, STUB_FAULT, 1);
    return p->probe->cpuid_faults || came(p, STUB_FAULT, 3);
}

/* The filter is in force, and user code in the stub's own found out: a call from the instruction that
 * makes mappings which is not its call. (With its own call and without the secret the kernel would
 * kill, and write that to its log at each start of a machine.) */
static bool try_filter(struct trial *p)
{
    p->regs.gpr[0] = SYS_getppid;
    p->regs.gpr[3] = p->t->at + stub_blob_at.map - 2;
    if (!GO(p, 0xff, 0xe3) || p->event != STUB_BROKEN) /* jmp *%rbx */
        return false;
    return new_stub(p, false);
}

static bool try_tsc(struct trial *p)
{
    if (!new_stub(p, true) || !GO(p, 0x90, 0x0f, 0x31, 0x0f, 0x0b))
        return false;
    p->probe->tsc_faults = came(p, STUB_FAULT, 1);
    return (p->probe->tsc_faults || came(p, STUB_FAULT, 3)) && new_stub(p, false);
}

/* The best of many, each for itself: on a busy host most wait for others' time slices. There it takes the
 * time that it takes to see a few that did not. System calls, since hypervisors look at each #UD, which is another 5 us. */
static bool time_traps(struct trial *p)
{
    enum { TRAPS = 800, FEW = 100 };
    const uint64_t begin = clock_mono_ns();
    uint64_t best = UINT64_MAX, last = begin;

    if (!GO(p, 0x0f, 0x05))
        return false;
    for (unsigned i = 0; i < TRAPS && last - begin < (i < FEW ? TIME_MAX : TIME_ENOUGH); i++) {
        uint64_t now;

        last = clock_mono_ns();
        if (!go(p) || p->event != STUB_SYSCALL)
            return false;
        now = clock_mono_ns();
        best = MIN(best, now - last);
    }
    p->probe->round_trip_ns = best;
    return true;
}

/* A page that is mapped and read, and unmapped: by how much a trap is longer that carries it out. The
 * second ends in a fault, so it is compared with one that has nothing to carry out. */
static bool time_pages(struct trial *p)
{
    enum { ROUNDS = 100, FEW = 10 };
    const uint64_t begin = clock_mono_ns();
    uint64_t best[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX}, at[4] = {0};

    p->regs.gpr[3] = ELSEWHERE;
    if (!GO(p, 0x8b, 0x03, 0x0f, 0x05)) /* mov (%rbx), %eax; syscall */
        return false;
    for (unsigned i = 0; i < ROUNDS && (!i || at[3] - begin < (i < FEW ? TIME_MAX : TIME_ENOUGH)); i++) {
        at[0] = clock_mono_ns();
        if (!stub_map(p->t, ELSEWHERE, 0x1000, 0x2000, PROT_READ) || !go(p) || p->event != STUB_SYSCALL)
            return false;
        at[1] = clock_mono_ns();
        if (!stub_unmap(p->t, ELSEWHERE, 0x1000) || !go(p) || p->event != STUB_PAGE_FAULT)
            return false;
        at[2] = clock_mono_ns();
        if (!go(p) || p->event != STUB_PAGE_FAULT)
            return false;
        at[3] = clock_mono_ns();
        for (unsigned n = 0; n < ARRAY_SIZE(best); n++)
            best[n] = MIN(best[n], at[n + 1] - at[n]);
    }
    p->probe->map_ns = best[0] - MIN(best[0], p->probe->round_trip_ns);
    p->probe->unmap_ns = best[1] - MIN(best[1], best[2]);
    return true;
}

static bool try_time(struct trial *p)
{
    bool ok;

    if (p->probe->cpuid_faults) /* as on vCPUs' threads: stub_host_cpuid_thread() */
        cpuid_faulting(true);
    ok = time_traps(p) && time_pages(p);
    if (p->probe->cpuid_faults)
        cpuid_faulting(false);
    return ok;
}

static const struct {
    const char *what;
    bool (*holds)(struct trial *p);
} trials[] = {
    {"a system call of user code is not an event", try_system_call},
    {"some system calls of user code are not events", try_probe_calls},
    {"an exception in user code is not an event", try_faults},
    {"ICEBP in user code is not an event", try_icebp},
    {"a page cannot be mapped for user code as it must be", try_page_fault},
    {"vector registers of user code are not kept", try_vectors},
    {"user code cannot be interrupted", try_kick},
    {"CPUID in user code is neither an event nor executed", try_cpuid},
    {"user code can make system calls", try_filter},
    {"RDTSC in user code is neither an event nor executed", try_tsc},
    {"the time of a trap cannot be told", try_time},
};

/* ---- all of it ---- */

static bool try_all(struct trial *p)
{
    struct stub_probe *ret = p->probe;

    if (!new_stub(p, false)) {
        const struct stub_probe *own = stub_host_probe(p->host);

        snprintf(ret->why, sizeof(ret->why), "%s",
                 own->works ? "a process to run user code cannot be had" : own->why);
        return false;
    }
    ret->sync_wake_up = hand_over_prepare(p->t->listener);
    for (size_t i = 0; i < ARRAY_SIZE(trials); i++) {
        if (trials[i].holds(p))
            continue;
        snprintf(ret->why, sizeof(ret->why), "%s", trials[i].what);
        return false;
    }
    return true;
}

static bool make_ram(struct trial *p, int fd[2])
{
    char path[64];

    fd[0] = memfd_create("vz-probe", MFD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd[0]);
    fd[1] = open(path, O_RDONLY | O_CLOEXEC);
    if (fd[0] < 0 || fd[1] < 0 || ftruncate(fd[0], RAM_SIZE) < 0)
        return false;
    p->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd[0], 0);
    return p->ram != MAP_FAILED;
}

void probe_run(enum stub_mode mode, struct stub_probe *ret, struct frame_ways *ways)
{
    struct trial p = {.probe = ret, .ways = ways};
    struct stub_host_options options = {.threads = 1, .mode = mode, .name = "vz-probe"};
    int fd[2] = {-1, -1}, r = 0;

    *ret = (struct stub_probe){.mode = STUB_NOTIFY};
    if (!make_ram(&p, fd)) {
        snprintf(ret->why, sizeof(ret->why), "a memory file is refused, or /proc is not there: %s",
                 strerror(errno));
        p.ram = NULL;
    } else {
        options.ram = fd[0];
        options.ram_ro = fd[1];
        r = host_open(&p.host, &options, true);
        if (r)
            snprintf(ret->why, sizeof(ret->why), "no thread for stubs: %s", strerror(-r));
        else
            ret->works = try_all(&p);
    }
    stub_destroy(p.stub);
    stub_host_destroy(p.host);
    if (p.ram)
        munmap(p.ram, RAM_SIZE);
    for (unsigned i = 0; i < 2; i++)
        if (fd[i] >= 0)
            close(fd[i]);
}
