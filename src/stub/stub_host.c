/* SPDX-License-Identifier: MIT */
/* A machine's stubs: one thread that keeps some ready and takes others apart, so that who needs one
 * does not wait. It starts the parent of stubs as well, which dies with the thread that did. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/clock.h"
#include "base/thread.h"
#include "stub/stub_impl.h"

#define KEEP_READY   2 /* once somebody has wanted one: most machines that only boot never do */
#define MAX_STUBS    16
#define PATIENCE_MS  10000 /* of stub_host_watch() */
#define PARTS        10    /* of that, each counted from when the one before was seen to be over */
#define REGION_FIRST UINT64_C(0x400000000000) /* until somebody asks for another */

#ifndef HWCAP2_FSGSBASE
#define HWCAP2_FSGSBASE BIT(1)
#endif
#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
#define ARCH_CPUID_SET 0x1012

/* ---- its thread ---- */

static bool is_same(const struct stub_wish *a, const struct stub_wish *b)
{
    return a->region == b->region && a->tsc_faults == b->tsc_faults;
}

/* Those that are other than what is asked for are no good to anybody. */
static void drop_strangers_locked(struct stub_host *h)
{
    struct stub *s, *next;

    for (s = LIST_FIRST(&h->ready); s; s = next) {
        next = LIST_NEXT(s, next);
        if (is_same(&s->wish, &h->wish))
            continue;
        LIST_REMOVE(s, next);
        LIST_INSERT_HEAD(&h->dying, s, next);
        h->ready_count--;
    }
}

static void tried_locked(struct stub_host *h, int error, const char *why)
{
    h->tries++;
    h->error = error;
    if (error && !h->probed) {
        h->probe.works = false;
        snprintf(h->probe.why, sizeof(h->probe.why), "%s", why[0] ? why : strerror(-error));
    }
    pthread_cond_broadcast(&h->changed);
}

static void make_one_locked(struct stub_host *h)
{
    const struct stub_wish wish = h->wish;
    uint64_t begin = clock_mono_ns();
    struct stub *s;
    char why[160] = "";
    int r;

    pthread_mutex_unlock(&h->lock);
    r = stub_make(h, &wish, &s, why);
    pthread_mutex_lock(&h->lock);
    if (r == 0) {
        LIST_INSERT_HEAD(&h->ready, s, next);
        h->ready_count++;
        begin = clock_mono_ns() - begin;
        if (!h->make_ns || begin < h->make_ns)
            h->make_ns = begin;
    }
    tried_locked(h, r, why);
}

static void unmake_one_locked(struct stub_host *h)
{
    struct stub *s = LIST_FIRST(&h->dying);

    LIST_REMOVE(s, next);
    pthread_mutex_unlock(&h->lock);
    stub_unmake(s);
    pthread_mutex_lock(&h->lock);
}

/* A stub that has died is still used by the thread that found that, and waits to be told how. */
static void reap_one_locked(struct stub_host *h)
{
    struct stub *s;
    int status;

    LIST_FOREACH (s, &h->live, next)
        if (s->reap_wanted && !s->reaped)
            break;
    h->reaps--;
    if (!s)
        return;
    pthread_mutex_unlock(&h->lock);
    status = stub_reap(s);
    pthread_mutex_lock(&h->lock);
    s->reaped = true;
    s->status = status;
    pthread_cond_broadcast(&h->changed);
}

/* Something may be to do. Any thread. */
static void wake_locked(struct stub_host *h)
{
    pthread_cond_broadcast(&h->changed);
    sem_post(&h->work);
}

static void wait_locked(struct stub_host *h)
{
    const struct timespec until = {.tv_sec = (time_t)(h->watch_ends_ns / NS_PER_SEC),
                                   .tv_nsec = (long)(h->watch_ends_ns % NS_PER_SEC)};

    pthread_mutex_unlock(&h->lock);
    if (h->watch_ends_ns)
        sem_clockwait(&h->work, CLOCK_MONOTONIC, &until);
    else
        sem_wait(&h->work);
    pthread_mutex_lock(&h->lock);
}

/* ---- stubs that do not come out ---- */

/* The hand-over that a thread must come out of, having been kicked, or carrying out commands only; 0: none. */
static unsigned overdue(struct stub_thread *t)
{
    unsigned count = atomic_load(&t->exchanges);

    return count % 2 && (atomic_load(&t->kicked) || !atomic_load(&t->inside)) ? count : 0;
}

static void watch_on_locked(struct stub_host *h)
{
    h->watch_ends_ns = clock_mono_ns() + h->patience_ms * NS_PER_MS / PARTS;
}

static void watch_begin_locked(struct stub_host *h)
{
    struct stub *s;

    LIST_FOREACH (s, &h->live, next)
        for (unsigned n = 0; n < s->threads; n++)
            s->thread[n].waited_for = overdue(&s->thread[n]);
    h->watch_parts = PARTS;
    watch_on_locked(h);
}

static bool is_stuck(struct stub *s)
{
    bool stuck = false;

    for (unsigned n = 0; n < s->threads; n++) {
        struct stub_thread *t = &s->thread[n];

        stuck |= t->waited_for && overdue(t) == t->waited_for;
        t->waited_for = 0;
    }
    return stuck;
}

static void watch_end_locked(struct stub_host *h)
{
    struct stub *s;

    h->watch_ends_ns = 0;
    LIST_FOREACH (s, &h->live, next)
        if (is_stuck(s))
            stub_kill(s);
}

/* One that is asked for while another goes on is answered by the later end of its own. While this process was stopped
 * or frozen itself, nobody could take what a stub handed over: however long that was, it is one part of the patience. */
static void watch_locked(struct stub_host *h)
{
    if (h->watch_ends_ns && clock_mono_ns() >= h->watch_ends_ns) {
        if (--h->watch_parts)
            watch_on_locked(h);
        else
            watch_end_locked(h);
    }
    if (!h->watch_ends_ns && atomic_exchange(&h->watch, false))
        watch_begin_locked(h);
}

void stub_host_watch(struct stub_host *h)
{
    if (!atomic_exchange(&h->watch, true)) /* else its thread has been told, and looks when it has ended the one before */
        sem_post(&h->work);
}

static void work_locked(struct stub_host *h)
{
    while (!h->stop) {
        drop_strangers_locked(h);
        watch_locked(h);
        if (h->reaps)
            reap_one_locked(h);
        else if (h->waiting && !h->ready_count)
            make_one_locked(h);
        else if (!LIST_EMPTY(&h->dying))
            unmake_one_locked(h);
        else if (h->wanted && h->ready_count < KEEP_READY && !h->error)
            make_one_locked(h);
        else
            wait_locked(h);
    }
}

static void end_all_locked(struct stub_host *h)
{
    struct stub *s;

    while ((s = LIST_FIRST(&h->ready))) {
        LIST_REMOVE(s, next);
        LIST_INSERT_HEAD(&h->dying, s, next);
    }
    while (!LIST_EMPTY(&h->dying))
        unmake_one_locked(h);
}

/* Before the lock is first taken by anybody else. Why it does not work, or nothing. */
static int begin(struct stub_host *h, struct stub_probe *p)
{
    int r;

    if (h->is_test)
        p->works = true;
    else
        probe_run(h->options.mode, p, &h->ways);
    if (!p->works)
        return -ENOSYS;
    r = parent_start(&h->parent, h->options.ram, h->options.ram_ro, p->why);
    p->works = r == 0;
    p->sandbox = h->parent.sandbox;
    return r;
}

static void *host_main(void *arg)
{
    struct stub_host *h = arg;
    struct stub_probe probe = {0};
    int r, locked;

    r = begin(h, &probe);
    locked = thread_enter(THREAD_STUBS); /* what it needs more than that was for the parent */
    if (r == 0 && locked < 0) {
        parent_end(&h->parent);
        r = locked;
    }
    pthread_mutex_lock(&h->lock);
    h->probe = probe;
    h->error = r;
    if (r == 0) {
        make_one_locked(h);
        h->probe.make_ns = h->make_ns;
    }
    h->probed = true;
    h->tries++;
    pthread_cond_broadcast(&h->changed);
    if (!h->parent.pid) {
        /* Nobody gets a stub: stub_create() fails by itself. */
        while (!h->stop)
            wait_locked(h);
    } else {
        work_locked(h);
    }
    end_all_locked(h);
    pthread_mutex_unlock(&h->lock);
    parent_end(&h->parent);
    return NULL;
}

/* ---- its life ---- */

static int check_options(const struct stub_host_options *o, char why[160])
{
    if (o->threads < 1 || o->threads > STUB_THREADS_MAX)
        return -EINVAL;
    if (o->mode == STUB_PTRACE) {
        snprintf(why, 160, "this way to run user code is not there yet");
        return -ENOSYS;
    }
    if (!(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE)) {
        snprintf(why, 160, "programs may not use RDFSBASE here: the kernel is older than 5.9 or "
                           "the processor has no FSGSBASE");
        return -ENOSYS;
    }
    if (getauxval(AT_MINSIGSTKSZ) + STUB_PAGE > STUB_STACK_SIZE) {
        snprintf(why, 160, "this processor's registers have no room in a signal frame of ours");
        return -ENOSYS;
    }
    return 0;
}

static bool kernel_at_least(unsigned major, unsigned minor)
{
    unsigned a = 0, b = 0;
    struct utsname u;

    return uname(&u) == 0 && sscanf(u.release, "%u.%u", &a, &b) == 2 &&
           (a > major || (a == major && b >= minor));
}

static void free_host(struct stub_host *h)
{
    if (h->options.ram >= 0)
        close(h->options.ram);
    if (h->options.ram_ro >= 0)
        close(h->options.ram_ro);
    sem_destroy(&h->work);
    pthread_cond_destroy(&h->changed);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

int host_open(struct stub_host **ret, const struct stub_host_options *options, bool is_test)
{
    struct stub_host *h = calloc(1, sizeof(*h));
    int r = 0;

    if (!h)
        return -ENOMEM;
    h->options = *options;
    h->options.max_stubs = options->max_stubs ? options->max_stubs : MAX_STUBS;
    h->patience_ms = PATIENCE_MS;
    h->options.ram = fcntl(options->ram, F_DUPFD_CLOEXEC, 0);
    h->options.ram_ro = fcntl(options->ram_ro, F_DUPFD_CLOEXEC, 0);
    if (h->options.ram < 0 || h->options.ram_ro < 0)
        r = -errno;
    snprintf(h->name, sizeof(h->name), "%s", options->name ? options->name : "vz-stub");
    h->options.name = h->name;
    h->is_test = is_test;
    h->recv_ends = kernel_at_least(6, 12);
    h->ways = (struct frame_ways){.kick = STUB_KICK, .icebp_length = 1};
    h->wish.region = REGION_FIRST;
    h->parent = (struct stub_parent){.socket = -1, .pidfd = -1};
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    sem_init(&h->work, 0, 0);
    LIST_INIT(&h->ready);
    LIST_INIT(&h->live);
    LIST_INIT(&h->dying);
    if (r == 0)
        r = thread_start(&h->thread, THREAD_FREE, "vz-stubs", host_main, h);
    if (r) {
        free_host(h);
        return r;
    }
    *ret = h;
    return 0;
}

int stub_host_create(struct stub_host **ret, const struct stub_host_options *options,
                     char why[160])
{
    char unused[160];
    int r;

    if (!why)
        why = unused;
    why[0] = 0;
    r = check_options(options, why);
    return r ? r : host_open(ret, options, false);
}

void stub_host_destroy(struct stub_host *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    wake_locked(h);
    pthread_mutex_unlock(&h->lock);
    pthread_join(h->thread, NULL);
    free_host(h);
}

const struct stub_probe *stub_host_probed(struct stub_host *h, bool wait)
{
    bool probed;

    pthread_mutex_lock(&h->lock);
    while (wait && !h->probed)
        pthread_cond_wait(&h->changed, &h->lock);
    probed = h->probed;
    pthread_mutex_unlock(&h->lock);
    return probed ? &h->probe : NULL;
}

const struct stub_probe *stub_host_probe(struct stub_host *h)
{
    return stub_host_probed(h, true);
}

void cpuid_faulting(bool on)
{
    syscall(SYS_arch_prctl, ARCH_CPUID_SET, !on);
}

void stub_host_cpuid_thread(struct stub_host *h, bool on)
{
    const struct stub_probe *p = stub_host_probed(h, false);

    if (p && p->cpuid_faults)
        cpuid_faulting(on);
}

/* ---- stubs ---- */

static struct stub *find_ready_locked(struct stub_host *h, const struct stub_wish *wish)
{
    struct stub *s;

    LIST_FOREACH (s, &h->ready, next)
        if (is_same(&s->wish, wish))
            break;
    return s;
}

/* Wait for one. 0, or why there is none. */
static int take_locked(struct stub_host *h, const struct stub_wish *wish, struct stub **ret)
{
    unsigned tries;

    while (!h->probed)
        pthread_cond_wait(&h->changed, &h->lock);
    if (!h->parent.pid)
        return h->error;
    h->error = 0;
    h->wanted = true;
    h->waiting++;
    tries = h->tries;
    while (!(*ret = find_ready_locked(h, wish)) && !(h->tries != tries && h->error)) {
        h->wish = *wish; /* somebody else may have asked for another meanwhile */
        wake_locked(h);
        pthread_cond_wait(&h->changed, &h->lock);
    }
    h->waiting--;
    return *ret ? 0 : h->error;
}

int stub_create(struct stub **ret, struct stub_host *h, const struct stub_wish *wish)
{
    struct stub *s;
    int r;

    if (wish->region % STUB_REGION || !wish->region || wish->region > STUB_ADDRESS_END - 2 * STUB_REGION)
        return -EINVAL;
    pthread_mutex_lock(&h->lock);
    if (h->live_count >= h->options.max_stubs) {
        r = -EBUSY;
    } else {
        h->live_count++;
        h->wish = *wish;
        r = take_locked(h, wish, &s);
        if (r) {
            h->live_count--;
        } else {
            LIST_REMOVE(s, next);
            h->ready_count--;
            LIST_INSERT_HEAD(&h->live, s, next);
            *ret = s;
        }
        wake_locked(h);
    }
    pthread_mutex_unlock(&h->lock);
    return r;
}

void stub_destroy(struct stub *s)
{
    struct stub_host *h;

    if (!s)
        return;
    h = s->host;
    stub_kill(s);
    pthread_mutex_lock(&h->lock);
    LIST_REMOVE(s, next);
    LIST_INSERT_HEAD(&h->dying, s, next);
    h->live_count--;
    wake_locked(h);
    pthread_mutex_unlock(&h->lock);
}

struct stub_thread *stub_thread(struct stub *stub, unsigned n)
{
    return n < stub->threads ? &stub->thread[n] : NULL;
}

/* The status of a process whose end has been seen, or has been caused. */
static int status_of(struct stub *s)
{
    struct stub_host *h = s->host;
    int status;

    pthread_mutex_lock(&h->lock);
    if (!s->reaped && !s->reap_wanted) {
        s->reap_wanted = true;
        h->reaps++;
        wake_locked(h);
    }
    while (!s->reaped)
        pthread_cond_wait(&h->changed, &h->lock);
    status = s->status;
    pthread_mutex_unlock(&h->lock);
    return status;
}

/* A program can end its stub by what it does there: then it is the program's end, not the machine's. */
enum stub_event host_how_died(struct stub *s)
{
    int status;

    if (atomic_load(&s->broken))
        return STUB_BROKEN;
    stub_kill(s); /* it is dead already, or about to be */
    status = status_of(s);
    if (status == -1 || !WIFSIGNALED(status))
        return STUB_DIED;
    switch (WTERMSIG(status)) {
    case SIGSYS:
    case SIGSEGV:
    case SIGBUS:
    case SIGILL:
    case SIGFPE:
    case SIGTRAP:
        return STUB_BROKEN;
    default:
        return STUB_DIED;
    }
}
