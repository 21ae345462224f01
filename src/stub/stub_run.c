/* SPDX-License-Identifier: MIT */
/* Running a thread of a stub: its commands, the way in, the event that brings it out.
 *
 * What is believed: which thread hands over, from which instruction, and with what in its argument
 * registers, since the kernel says so. All else is the program's. A hand-over that does not fit what
 * we have asked for means that the program has jumped into the stub's code, and the stub is killed:
 *
 * - An event whose frame lies elsewhere, or which has no signal, or came from inside the region: the
 *   last would also be how a signal, taken while the secret was in a register, wrote it to a frame.
 * - Where several threads run in a stub one could change such a frame before we read it. So there the
 *   end of commands is reported by a hand-over of its own, the secret wiped: whatever comes in its
 *   place is known from the instruction pointer, which nobody can change. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/checked.h"
#include "stub/stub_impl.h"

/* Mappings up to this are filled in at once: a fault costs more. */
#define POPULATE_MAX (2 * MIB)

/* ---- commands ---- */

bool stub_can_map(const struct stub *stub, uint64_t address, uint64_t length)
{
    return length && !((address | length) % STUB_PAGE) &&
           range_fits(address, length, STUB_ADDRESS_END) &&
           !ranges_overlap(address, length, stub->wish.region, STUB_REGION);
}

static bool put(struct stub_thread *t, const struct stub_command *c)
{
    if (t->count == STUB_COMMANDS_MAX || !stub_can_map(t->stub, c->address, c->length))
        return false;
    t->page->command[t->count++] = *c;
    return true;
}

bool stub_map(struct stub_thread *t, uint64_t address, uint64_t length, uint64_t offset_in_ram,
              unsigned prot)
{
    uint32_t fd = prot & PROT_WRITE ? STUB_FD_RAM : STUB_FD_RAM_RO;
    uint32_t populate = length <= POPULATE_MAX ? MAP_POPULATE : 0;

    return put(t, &(struct stub_command){
                      .address = address,
                      .length = length,
                      .offset = offset_in_ram,
                      .prot_fd = (prot & (PROT_READ | PROT_WRITE | PROT_EXEC)) | fd << 8,
                      .flags = MAP_SHARED | MAP_FIXED | populate,
                  });
}

bool stub_unmap(struct stub_thread *t, uint64_t address, uint64_t length)
{
    return put(t, &(struct stub_command){.address = address, .length = length});
}

unsigned stub_commands(const struct stub_thread *t)
{
    return t->count;
}

void *stub_xsave(struct stub_thread *t, size_t *size)
{
    *size = t->xsave_size;
    return t->xsave;
}

uint64_t stub_ran(const struct stub_thread *t)
{
    return t->ran;
}

uint64_t stub_worked_ns(const struct stub *stub)
{
    /* CPUCLOCK_SCHED of a process, as clock_getcpuclockid() has it. */
    const clockid_t clock = (clockid_t)(~(unsigned)stub->pid << 3 | 2);
    struct timespec t;

    return clock_gettime(clock, &t) == 0 ? (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec : 0;
}

/* ---- ends ---- */

static int died(struct stub_thread *t)
{
    t->dead = true;
    t->end = host_how_died(t->stub);
    return -EIO;
}

static int broken(struct stub_thread *t)
{
    t->dead = true;
    t->end = STUB_BROKEN;
    stub_break(t->stub);
    return -EIO;
}

/* ---- hand-overs ---- */

static bool is_from(const struct stub_thread *t, const struct stub_word *w, uint32_t at)
{
    return w->ip == t->at + at && w->tid == t->tid && w->nr == STUB_HAND_OVER;
}

/* At its beginning and its end, for who watches. */
static void count_exchange(struct stub_thread *t)
{
    atomic_store_explicit(&t->exchanges, atomic_load_explicit(&t->exchanges, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* The answer, and the next hand-over. One that was taken back, since the process was stopped or
 * frozen, comes again. */
static int exchange(struct stub_thread *t, uint64_t value, struct stub_word *ret)
{
    int r;

    count_exchange(t);
    r = hand_over_answer(t, t->hand_over, value);
    while (r == -ENOENT) {
        r = hand_over_wait(t, -1, ret);
        if (r == 0)
            r = hand_over_answer(t, ret->id, value);
    }
    if (r == 0)
        r = hand_over_wait(t, -1, ret);
    count_exchange(t);
    if (r)
        return died(t);
    t->hand_over = ret->id;
    return 0;
}

/* It has handed over in place of an event, or where a report was wanted: how its commands went. */
static int reported(struct stub_thread *t, const struct stub_word *w)
{
    int64_t error = (int64_t)w->arg[2];
    int none = 0;

    if (!is_from(t, w, stub_blob_at.report) || w->arg[0] != (uint64_t)STUB_REPORTED ||
        error < -4095 || error > 0)
        return broken(t);
    t->count = 0;
    if (error)
        atomic_compare_exchange_strong(&t->stub->error, &none, (int)error);
    return (int)error; /* a program can pretend one, and never a success */
}

/* Let it carry out its commands and report. */
static int flush(struct stub_thread *t)
{
    struct stub_word w;
    int r;

    t->page->count = t->count;
    t->page->report = 1;
    r = exchange(t, t->secret, &w);
    return r ? r : reported(t, &w);
}

/* What is mapped is not known any more once a command has failed: not by any of its threads. */
static int check_alive(const struct stub_thread *t)
{
    return t->dead ? -EIO : atomic_load(&t->stub->error);
}

int stub_flush(struct stub_thread *t)
{
    int r = check_alive(t);

    return r ? r : t->count ? flush(t) : 0;
}

/* ---- being alone ---- */

/* Commands without a report need one hand-over less, and that no other thread of the stub runs user
 * code until this one has come out: it could change the frame that we would find the theft in. So
 * one says that it is alone (after it is inside, before it looks for others), and who goes inside
 * later (before it looks for that) makes it come out first. Where that happens, reports are the
 * better way for a while. */
#define REPORTS_AFTER_MEETING 256

static bool others_are_inside(const struct stub_thread *t)
{
    const struct stub *s = t->stub;

    for (unsigned i = 0; i < s->threads; i++)
        if (i != t->index && atomic_load(&s->thread[i].inside))
            return true;
    return false;
}

static void alone_end(struct stub_thread *t)
{
    struct stub *s = t->stub;

    if (atomic_load(&s->alone) != t)
        return;
    atomic_store(&s->alone, NULL);
    if (!atomic_load(&s->waiters))
        return;
    pthread_mutex_lock(&s->host->lock);
    pthread_cond_broadcast(&s->host->changed);
    pthread_mutex_unlock(&s->host->lock);
}

/* Let one that is alone come out. */
static void meet(struct stub_thread *t)
{
    struct stub *s = t->stub;
    struct stub_thread *other;

    atomic_fetch_add(&s->waiters, 1);
    pthread_mutex_lock(&s->host->lock);
    while ((other = atomic_load(&s->alone)) && other != t) {
        stub_kick(other);
        pthread_cond_wait(&s->host->changed, &s->host->lock);
    }
    pthread_mutex_unlock(&s->host->lock);
    atomic_fetch_sub(&s->waiters, 1);
    atomic_store(&s->reports, REPORTS_AFTER_MEETING);
}

/* Called inside. True: the commands need a report. */
static bool needs_report(struct stub_thread *t)
{
    struct stub *s = t->stub;
    struct stub_thread *none = NULL;
    unsigned reports;

    if (s->threads == 1)
        return false;
    if (atomic_load(&s->alone))
        meet(t);
    if (!t->count)
        return false;
    reports = atomic_load(&s->reports);
    if (reports) {
        atomic_store(&s->reports, reports - 1);
        return true;
    }
    if (!atomic_compare_exchange_strong(&s->alone, &none, t))
        return true;
    if (!others_are_inside(t))
        return false;
    alone_end(t);
    return true;
}

/* ---- running ---- */

static int check_regs(const struct stub_thread *t, const struct stub_regs *r)
{
    bool ok = frame_is_canonical(r->fs_base) && frame_is_canonical(r->gs_base) &&
              r->rip < STUB_ADDRESS_END && r->rip - t->stub->wish.region >= STUB_REGION;

    return ok ? 0 : -EINVAL;
}

/* A kick that came before the first instruction of user code: the registers are as they were given. */
static bool came_early(const struct stub_thread *t, const struct stub_frame *f, uint64_t signal)
{
    return signal == STUB_KICK && f->rip >= t->at + stub_blob_at.open &&
           f->rip <= t->at + stub_blob_at.left;
}

static int take_event(struct stub_thread *t, const struct stub_word *w, struct stub_regs *regs,
                      enum stub_event *event, uint64_t *address)
{
    struct stub_frame f;

    if (!is_from(t, w, stub_blob_at.event) || w->arg[FRAME_AT] != t->frame_at)
        return broken(t);
    memcpy(&f, (const void *)t->frame, sizeof(f));
    memcpy(&t->ran, t->stack + STUB_RESUMED_AT - STUB_STACK_AT, sizeof(t->ran));
    __asm__ volatile("" ::: "memory"); /* the copy is what is judged */
    t->ran = t->stub->wish.tsc_faults ? 0 : w->arg[FRAME_TSC] - t->ran;
    if (!f.signo)
        return broken(t);
    if (came_early(t, &f, w->arg[FRAME_SIGNAL])) {
        *event = STUB_KICKED;
        return 0;
    }
    if (f.rip - t->stub->wish.region < STUB_REGION ||
        !frame_read(&f, w->arg, &t->stub->host->ways, regs, event, address))
        return broken(t);
    return 0;
}

/* Commands without a report, then user code, until it hands over. */
static int enter(struct stub_thread *t, const struct stub_regs *regs, struct stub_word *ret)
{
    uint64_t answer = t->count ? t->secret : 0;
    int r;

    t->page->count = t->count;
    t->page->report = 0;
    t->page->fs_base = regs->fs_base;
    t->page->gs_base = regs->gs_base;
    t->page->rip = regs->rip;
    t->page->rflags = frame_flags(regs->rflags);
    memcpy(t->page->gpr, regs->gpr, sizeof(t->page->gpr));
    t->frame->signo = 0; /* the kernel writes it with each signal: so a hand-over without one shows */
    r = exchange(t, answer, ret);
    if (r)
        return r;
    if (answer && ret->ip == t->at + stub_blob_at.report) {
        r = reported(t, ret);
        return r ? r : broken(t); /* a success was not to be reported */
    }
    t->count = 0;
    return 0;
}

/* Says that it is inside, unless a kick has come. */
static bool go_inside(struct stub_thread *t)
{
    atomic_store(&t->inside, true);
    if (!atomic_load(&t->kicked))
        return true;
    atomic_store(&t->inside, false);
    atomic_store(&t->kicked, false);
    return false;
}

int stub_run(struct stub_thread *t, struct stub_regs *regs, enum stub_event *event,
             uint64_t *address)
{
    struct stub_word w;
    int r = check_alive(t);

    if (!r)
        r = check_regs(t, regs);

    if (r == 0) {
        if (!go_inside(t)) {
            *event = STUB_KICKED;
            return 0;
        }
        if (needs_report(t))
            r = flush(t);
        if (r == 0)
            r = enter(t, regs, &w);
        if (r == 0)
            r = take_event(t, &w, regs, event, address);
        atomic_store(&t->inside, false);
        alone_end(t);
    }
    if (r == 0 && *event == STUB_KICKED)
        atomic_store(&t->kicked, false);
    if (r == -EIO && t->dead) {
        *event = t->end;
        return 0;
    }
    return r;
}

void stub_kick(struct stub_thread *t)
{
    atomic_store(&t->kicked, true);
    if (atomic_load(&t->inside))
        syscall(SYS_tgkill, t->stub->pid, t->tid, STUB_KICK);
}
