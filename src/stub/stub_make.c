/* SPDX-License-Identifier: MIT */
/* Making a stub and taking it apart, on the host's thread. Its memory file holds the code, the plan
 * for the child and what filters it installs; then each thread says by a first event that it is
 * where it should be, and nothing of the child is left there. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stub/stub_filter.h"
#include "stub/stub_impl.h"

#define MAKE_TIMEOUT_MS 10000

_Static_assert(sizeof(struct stub_filters) < STUB_STACK_SIZE / 2, "below the first frame");

/* ---- its memory ---- */

static int make_memory(struct stub *stub)
{
    int fd = memfd_create("vz-stub", MFD_CLOEXEC), r = 0;

    if (fd < 0)
        return -errno;
    stub->memory_size = STUB_FILE_SLICES + (size_t)stub->threads * STUB_FILE_SLICE;
    if (ftruncate(fd, (off_t)stub->memory_size) == 0)
        stub->memory = mmap(NULL, stub->memory_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (!stub->memory || stub->memory == MAP_FAILED) {
        r = -errno;
        stub->memory = NULL;
        close(fd);
        return r;
    }
    return fd;
}

static struct stub_plan *plan_of(struct stub *stub)
{
    return (struct stub_plan *)(stub->memory + STUB_FILE_PLAN);
}

static struct stub_filters *filters_of(struct stub_thread *t)
{
    return (struct stub_filters *)t->stack;
}

/* The stub's own code may not read the TSC either, where that faults: MOV %EDX, %EDX in its place, as long as that. */
static void leave_tsc(struct stub *stub, uint32_t at)
{
    memcpy(stub->memory + STUB_FILE_CODE + at, "\x89\xd2", 2);
}

static void write_plan(struct stub *stub)
{
    struct stub_plan *plan = plan_of(stub);

    *plan = (struct stub_plan){
        .region = stub->wish.region,
        .region_size = STUB_REGION,
        .address_end = STUB_ADDRESS_END,
        .threads = stub->threads,
        .first = stub_blob_at.first,
        .begin = stub_blob_at.begin,
        .cpuid_faulting = 1,
        .tsc_faulting = stub->wish.tsc_faults,
        .kick = STUB_KICK,
    };
    memcpy(plan->name, stub->host->name, sizeof(plan->name));
    memcpy(stub->memory + STUB_FILE_CODE, stub_blob, STUB_CODE_SIZE);
    if (stub->wish.tsc_faults) {
        leave_tsc(stub, stub_blob_at.tsc_event);
        leave_tsc(stub, stub_blob_at.tsc_resume);
    }
}

/* Positive and not 0: the code tells answers apart by their sign. */
static int make_secret(uint64_t *ret)
{
    do
        if (getrandom(ret, sizeof(*ret), 0) != (ssize_t)sizeof(*ret))
            return -errno;
    while (!(*ret &= INT64_MAX));
    return 0;
}

static int write_filters(struct stub_thread *t)
{
    struct stub_filters *f = filters_of(t);
    uint64_t there = t->at + STUB_STACK_AT;
    const struct filter_sites at = {
        .event = t->at + stub_blob_at.event,
        .report = t->at + stub_blob_at.report,
        .map = t->at + stub_blob_at.map,
        .unmap = t->at + stub_blob_at.unmap,
        .open = t->at + stub_blob_at.open,
        .no_signals = t->at + stub_blob_at.no_signals,
    };

    f->listen.len = (uint16_t)filter_listen((struct sock_filter *)f->listen_code,
                                            ARRAY_SIZE(f->listen_code), &at);
    f->listen.code = there + offsetof(struct stub_filters, listen_code);
    f->rule.len = (uint16_t)filter_rule((struct sock_filter *)f->rule_code,
                                        ARRAY_SIZE(f->rule_code), &at, t->secret);
    f->rule.code = there + offsetof(struct stub_filters, rule_code);
    return f->listen.len && f->rule.len ? 0 : -E2BIG;
}

static int prepare_thread(struct stub *stub, unsigned n)
{
    struct stub_thread *t = &stub->thread[n];
    uint8_t *slice = stub->memory + STUB_FILE_SLICES + (size_t)n * STUB_FILE_SLICE;
    int r;

    *t = (struct stub_thread){
        .stub = stub,
        .index = n,
        .listener = -1,
        .at = stub->wish.region + (uint64_t)n * STUB_SLICE,
        .page = (struct stub_page *)slice,
        .stack = slice + STUB_COMMANDS_SIZE,
    };
    r = make_secret(&t->secret);
    return r ? r : write_filters(t);
}

/* ---- its beginning ---- */

/* Where it keeps its registers and vector state, of a frame that no user code can have written. */
static int learn_frame(struct stub_thread *t, const struct stub_word *w)
{
    uint64_t stack = t->at + STUB_STACK_AT, at = w->arg[1] - stack, fp;
    uint32_t magic, size;

    if (at > STUB_STACK_SIZE - sizeof(struct stub_frame))
        return -EPROTO;
    t->frame_at = w->arg[1];
    t->frame = (struct stub_frame *)(t->stack + at);
    fp = t->frame->fpstate - stack;
    if (fp > STUB_STACK_SIZE - 512)
        return -EPROTO;
    t->xsave = t->stack + fp;
    memcpy(&magic, t->stack + fp + FRAME_XSAVE_MAGIC_AT, 4);
    memcpy(&size, t->stack + fp + FRAME_XSAVE_SIZE_AT, 4);
    if (magic != FRAME_XSAVE_MAGIC || size < 576 || size > STUB_STACK_SIZE - fp)
        return -EPROTO;
    t->xsave_size = size;
    t->page->xsave = stack + fp;
    /* Not more than there is room for: Linux leaves AMX' tiles out, and XRSTOR looks where they would be, even
     * if it has nothing to load there. */
    memcpy(&t->page->features, t->stack + fp + FRAME_XSAVE_FEATURES_AT, 8);
    return 0;
}

static int await_first(struct stub_thread *t)
{
    struct stub_word w;
    int r = hand_over_wait(t, MAKE_TIMEOUT_MS, &w);

    if (r)
        return r;
    if (w.ip != t->at + stub_blob_at.event || w.arg[0] != SIGILL)
        return -EPROTO;
    r = learn_frame(t, &w);
    if (r)
        return r;
    t->tid = w.tid;
    t->hand_over = w.id;
    /* The secret was among them. */
    explicit_bzero(filters_of(t), sizeof(struct stub_filters));
    return 0;
}

static int take_listeners(struct stub *stub, int socket, char why[160])
{
    int fd[STUB_THREADS_MAX];
    struct child_answer a;
    int r = child_receive(socket, MAKE_TIMEOUT_MS, &a, fd, stub->threads);

    if (r == 0 && a.result < 0) {
        snprintf(why, 160, "a process to run user code was refused (%d): %s", a.status,
                 strerror(-a.result));
        return a.result;
    }
    if (r) {
        snprintf(why, 160, "a process to run user code did not begin: %s", strerror(-r));
        return r;
    }
    for (unsigned i = 0; i < stub->threads; i++)
        stub->thread[i].listener = fd[i];
    return 0;
}

static int begin(struct stub *stub, int memory, char why[160])
{
    const struct child_request q = {.op = CHILD_MAKE};
    struct child_answer a;
    int pair[2], r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    r = parent_ask(&stub->host->parent, &q, (int[]){memory, pair[1]}, 2, &a,
                   &stub->pidfd);
    close(pair[1]);
    if (r == 0 && a.result < 0)
        r = a.result;
    if (r == 0) {
        stub->pid_there = a.result;
        r = take_listeners(stub, pair[0], why);
    }
    close(pair[0]);
    for (unsigned i = 0; i < stub->threads && r == 0; i++) {
        hand_over_prepare(stub->thread[i].listener);
        r = await_first(&stub->thread[i]);
        if (r)
            snprintf(why, 160, "a process to run user code ended early: %s", strerror(-r));
    }
    stub->pid = stub->thread[0].tid;
    return r;
}

int stub_make(struct stub_host *host, const struct stub_wish *wish, struct stub **ret, char why[160])
{
    unsigned threads = host->options.threads;
    struct stub *stub = calloc(1, sizeof(*stub) + threads * sizeof(struct stub_thread));
    int memory, r = 0;

    if (!stub)
        return -ENOMEM;
    stub->host = host;
    stub->wish = *wish;
    stub->threads = threads;
    stub->pidfd = -1;
    stub->status = -1;
    for (unsigned i = 0; i < threads; i++)
        stub->thread[i].listener = -1;
    memory = make_memory(stub);
    if (memory < 0) {
        snprintf(why, 160, "no memory for a process to run user code: %s", strerror(-memory));
        free(stub);
        return memory;
    }
    write_plan(stub);
    for (unsigned i = 0; i < threads && r == 0; i++)
        r = prepare_thread(stub, i);
    if (r == 0)
        r = begin(stub, memory, why);
    close(memory);
    if (r) {
        stub_unmake(stub);
        return r;
    }
    *ret = stub;
    return 0;
}

/* ---- its end ---- */

void stub_kill(struct stub *stub)
{
    if (stub->pidfd >= 0 &&
        (syscall(SYS_pidfd_send_signal, stub->pidfd, SIGKILL, NULL, 0) == 0 || errno == ESRCH))
        return;
    /* Filtered, then. It is not reaped yet, so the number is its own. */
    if (stub->pid > 0 && !stub->reaped)
        kill(stub->pid, SIGKILL);
}

void stub_break(struct stub *stub)
{
    atomic_store(&stub->broken, true);
    stub_kill(stub);
}

int stub_reap(struct stub *stub)
{
    struct child_request q = {.op = CHILD_REAP, .pid = stub->pid_there};
    struct child_answer a;

    if (parent_ask(&stub->host->parent, &q, NULL, 0, &a, NULL) || a.result < 0)
        return -1;
    return a.status;
}

void stub_unmake(struct stub *stub)
{
    stub_kill(stub);
    /* Nobody can answer it now: one that we cannot signal ends as its listeners do. */
    for (unsigned i = 0; i < stub->threads; i++)
        if (stub->thread[i].listener >= 0)
            close(stub->thread[i].listener);
    if (stub->pid_there > 0 && !stub->reaped)
        stub_reap(stub);
    if (stub->pidfd >= 0)
        close(stub->pidfd);
    munmap(stub->memory, stub->memory_size);
    explicit_bzero(stub, sizeof(*stub) + stub->threads * sizeof(struct stub_thread));
    free(stub);
}
