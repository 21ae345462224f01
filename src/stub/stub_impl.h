/* SPDX-License-Identifier: MIT */
/* What the files of this folder have among each other. */
#ifndef VZ_STUB_STUB_IMPL_H
#define VZ_STUB_STUB_IMPL_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "base/clock.h"
#include "stub/stub.h"
#include "stub/stub_child.h"
#include "stub/stub_frame.h"
#include "stub/stub_layout.h"

#define STUB_KICK SIGURG /* in stubs. Others ignore it, of whom a sandbox cannot tell them */

/* ---- the code that stubs run (stub_blob.S) ---- */

extern const uint8_t stub_blob[];
extern const struct stub_blob_at {
    uint32_t event, report, map, unmap, open, left, no_signals, first, begin, last;
    uint32_t tsc_event, tsc_resume; /* an RDTSC each */
} stub_blob_at;

/* ---- the parent of a machine's stubs (stub_parent.c) ---- */

struct stub_parent {
    int socket, pidfd; /* -1: none */
    pid_t pid;
    bool sandbox;
};

/* Start one, which dies with the calling thread. It has the two descriptors then. 0 or -errno, and
 * words in why[160]. */
int parent_start(struct stub_parent *p, int ram, int ram_ro, char why[160]) must_check;

/* Its stubs die with it. */
void parent_end(struct stub_parent *p);

/* One request, with descriptors; *ret is its answer. got, if not NULL: one descriptor that comes with
 * it. -EIO: it is dead. */
int parent_ask(struct stub_parent *p, const struct child_request *q, const int *fd, unsigned fds,
               struct child_answer *ret, int *got) must_check;

/* Receive an answer from a stub in the making, waiting up to timeout_ms; its descriptors, of which
 * there must be as many as asked for. -EIO: it has died; -ETIMEDOUT, -EPROTO. */
int child_receive(int socket, int timeout_ms, struct child_answer *ret, int *fd,
                  unsigned fds) must_check;

/* ---- stubs ---- */

/* The page of commands, as stub_layout.h has it. */
struct stub_page {
    uint32_t count, report;
    uint64_t fs_base, gs_base, xsave, rip, rflags, gpr[16], features;
    uint8_t unused[STUB_PAGE_FIRST - STUB_PAGE_FEATURES - 8];
    struct stub_command {
        uint64_t address, length, offset;
        uint32_t prot_fd; /* rights, and the descriptor from bit 8 on */
        uint32_t flags;   /* of mmap; 0: munmap */
    } command[STUB_COMMANDS_MAX];
};

_Static_assert(sizeof(struct stub_page) <= STUB_COMMANDS_SIZE, "");
_Static_assert(offsetof(struct stub_page, xsave) == STUB_PAGE_XSAVE, "");
_Static_assert(offsetof(struct stub_page, rip) == STUB_PAGE_RIP, "");
_Static_assert(offsetof(struct stub_page, rflags) == STUB_PAGE_RFLAGS, "");
_Static_assert(offsetof(struct stub_page, gpr) == STUB_PAGE_GPR, "");
_Static_assert(offsetof(struct stub_page, features) == STUB_PAGE_FEATURES, "");
_Static_assert(offsetof(struct stub_page, command) == STUB_PAGE_FIRST, "");
_Static_assert(sizeof(struct stub_command) == STUB_COMMAND_SIZE, "");

struct stub_thread {
    struct stub *stub;
    unsigned index;

    /* Never changed once it is made. */
    int listener;
    pid_t tid;
    uint64_t at;            /* its slice, as all addresses here in the stub */
    uint64_t secret;        /* 63 bits, not 0 */
    uint64_t frame_at;
    struct stub_page *page; /* ours, as all pointers */
    uint8_t *stack;
    struct stub_frame *frame;
    void *xsave;
    size_t xsave_size;

    /* Its user's thread's. */
    uint64_t hand_over;     /* the notification that waits for its answer */
    unsigned count;         /* commands that wait */
    uint64_t ran;           /* ticks of user code, as it says */
    enum stub_event end;    /* once dead: STUB_BROKEN or STUB_DIED */
    bool dead;

    atomic_uint exchanges;  /* it writes, any thread reads: odd while the stub's thread is waited for, */
    unsigned waited_for;    /* and what that was when the host's thread began to watch; 0: it was not */

    /* Any thread's. inside is set before kicked is read, and kicked before inside is. */
    atomic_bool inside, kicked;
};

struct stub {
    struct stub_host *host;
    struct stub_wish wish;
    pid_t pid;               /* as we see it; 0: not known */
    pid_t pid_there;         /* as its parent does */
    int pidfd;               /* -1: none */
    uint8_t *memory;
    size_t memory_size;
    unsigned threads;
    atomic_bool broken;      /* we have killed it for what its program did */
    atomic_int error;        /* of the first command that failed; 0: none */

    /* Of stub_run.c, any thread's. */
    struct stub_thread *_Atomic alone; /* inside, with commands that it does not report */
    atomic_uint waiters;     /* threads that wait until there is none; by host->changed */
    atomic_uint reports;     /* so many times commands shall be reported */

    /* The host's lock's. */
    LIST_ENTRY(stub) next;
    bool reap_wanted, reaped; /* reaped: of the host's thread's while it is being unmade */
    int status;              /* of wait(), once reaped; -1: nobody knows */

    struct stub_thread thread[];
};

LIST_HEAD(stub_list, stub);

struct stub_host {
    struct stub_host_options options; /* its descriptors are its own */
    char name[16];
    bool is_test;            /* the probe's: has none itself */
    bool recv_ends;          /* NOTIF_RECV returns when the stub dies: no need for poll() */
    struct frame_ways ways;
    struct stub_parent parent; /* its own thread's */
    pthread_t thread;

    pthread_mutex_t lock;    /* a leaf; protects what follows */
    pthread_cond_t changed;  /* any of it; not for its own thread */
    sem_t work;              /* wakes its thread: for anything below */
    bool stop;
    struct stub_list ready, live, dying;
    unsigned ready_count, live_count;
    struct stub_wish wish;   /* that ready ones are for */
    unsigned waiting;        /* threads that want one now */
    bool wanted;             /* some thread ever has */
    unsigned tries;          /* how often one was made, or not */
    int error;               /* of the last try */
    uint64_t make_ns;        /* the shortest time that one took */
    unsigned reaps;          /* stubs whose status somebody waits for */
    atomic_bool watch;       /* stub_host_watch() has been called */
    unsigned patience_ms;    /* of who watches */
    uint64_t watch_ends_ns;  /* its thread's, by the monotonic clock: when this part of that ends; 0: it watches nothing */
    unsigned watch_parts;    /* of it that are left */
    bool probed;             /* from here on probe and ways do not change */
    struct stub_probe probe;
};

/* A host without a probe, for the probe. */
int host_open(struct stub_host **ret, const struct stub_host_options *options,
              bool is_test) must_check;

/* Of the calling thread. */
void cpuid_faulting(bool on);

/* Find out what this host allows, by a machine of its own. Fills in all of *ret but make_ns. */
void probe_run(enum stub_mode mode, struct stub_probe *ret, struct frame_ways *ways);

/* The host's thread's. Make a stub whose threads all wait for their first stub_run(). */
int stub_make(struct stub_host *host, const struct stub_wish *wish, struct stub **ret, char why[160]) must_check;

/* The host's thread's: kill, reap, free. */
void stub_unmake(struct stub *stub);

/* The host's thread's: its wait status, now that it has been killed; -1: nobody knows. */
int stub_reap(struct stub *stub);

void stub_kill(struct stub *stub);

/* Kill it for what its program did: STUB_BROKEN for all its threads. Any thread. */
void stub_break(struct stub *stub);

/* Wait for a thread's next hand-over, at most timeout_ms (-1: for ever). -EIO: it is dead;
 * -ETIMEDOUT. */
struct stub_word {
    uint64_t id, ip;
    uint64_t arg[6];
    int nr, tid;
};
int hand_over_wait(struct stub_thread *t, int timeout_ms, struct stub_word *ret) must_check;

/* Answer it. -ENOENT: it waits no longer. */
int hand_over_answer(struct stub_thread *t, uint64_t id, uint64_t value) must_check;

/* Ask for synchronous wake-ups; false: this kernel has none. */
bool hand_over_prepare(int listener);

/* Its death's meaning: waits for the host's thread to find out. */
enum stub_event host_how_died(struct stub *stub);

#endif
