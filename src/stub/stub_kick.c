/* SPDX-License-Identifier: MIT */
/* Making a thread of a stub come out by a signal, and what becomes of those who do not hear it. User
 * code has no way to block signals (stub_blob.S); should one be found, it must not keep a vCPU for ever. So
 * a stub is killed once it has run for longer than anything honest keeps them blocked: the handler, and in
 * it a list of mappings. Time on the processor counts, not on the clock, so that a busy computer is no
 * reason. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stub/stub_impl.h"

#define DEAF_NS (300 * NS_PER_MS)

void stub_kick(struct stub_thread *t)
{
    struct stub_host *h = t->stub->host;

    atomic_store(&t->kicked, true);
    if (!atomic_load(&t->inside))
        return;
    syscall(SYS_tgkill, t->stub->pid, t->tid, STUB_KICK);
    if (!atomic_exchange(&h->watch, true))
        sem_post(&h->work);
}

/* Of a process, by a clock that anybody may read; of all its threads. */
static uint64_t process_ns(const struct stub *stub)
{
    struct timespec t;
    clockid_t id;

    if (clock_getcpuclockid(stub->pid, &id) || clock_gettime(id, &t))
        return 0;
    return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* How long a thread has been on a processor. Without a /proc that shows it, its process: the others
 * of a stub are as many times too much. */
static uint64_t thread_ns(const struct stub_thread *t)
{
    char text[64] = "";
    ssize_t n;
    int fd;

    snprintf(text, sizeof(text), "/proc/%d/schedstat", (int)t->tid);
    fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return process_ns(t->stub) / t->stub->threads;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    return strtoull(text, NULL, 10);
}

static bool look_at(struct stub_thread *t)
{
    unsigned run = atomic_load(&t->runs);
    uint64_t now;

    if (!atomic_load(&t->inside) || !atomic_load(&t->kicked)) {
        t->stuck_since = 0;
        return false;
    }
    now = thread_ns(t) | 1; /* not 0. Both times: one that has not run at all must not have run backwards */
    if (!t->stuck_since || t->stuck_run != run) {
        t->stuck_since = now;
        t->stuck_run = run;
    } else if (now - t->stuck_since > DEAF_NS) {
        stub_break(t->stub);
    }
    return true;
}

bool kick_look(struct stub *stub)
{
    bool again = false;

    for (unsigned i = 0; i < stub->threads; i++)
        again |= look_at(&stub->thread[i]);
    return again;
}
