/* SPDX-License-Identifier: MIT */
/* Threads of a machine, made in one place: so each has its name, no signals but its own faults, and what its
 * machine's policy says of its kind (src/sandbox/). */
#ifndef VZ_BASE_THREAD_H
#define VZ_BASE_THREAD_H

#include <pthread.h>
#include <sys/select.h> /* sigset_t */

#include "base/compiler.h"

/* What a thread does, and so what it asks of the host. THREAD_FREE: anything, until it says otherwise. NAT and NAMES are
 * processes of their own (src/child/): a guest's way to the network, and who reads resolv.conf for it. So is VNC
 * (tools/vz/vnc/), which talks to viewers from afar. SOUND moves samples, in a
 * thread that PipeWire makes. VIEW talks to a
 * viewer, and reads files that it hands over. TALK and the last three are a program's own, which it locks itself: TALK has
 * open connections, SERVE takes more of them and reads files of one folder, WATCH looks at files and connects to a
 * machine's socket, CONTROL has a user's orders. */
#define THREAD_KINDS_LIST(X)                                                                                   \
    X(FREE) X(LOOP) X(CPU) X(DISK) X(NBD) X(SHARE) X(STUBS) X(SAVE) X(USB) X(NAT) X(NAMES) X(VNC) X(SOUND)     \
    X(TALK) X(VIEW) X(SERVE) X(WATCH) X(CONTROL)
enum thread_kind {
#define X(name) THREAD_##name,
    THREAD_KINDS_LIST(X)
#undef X
        THREAD_KINDS
};

/* A thread's, and so of all threads that it makes from then on; outlives them. */
struct thread_policy {
    /* The calling thread is of this kind from now on. 0 or -errno: it must not go on then. */
    int (*enter)(struct thread_policy *p, enum thread_kind kind);
};

/* What is blocked in threads and processes of ours: all but their own faults. Who presses Ctrl-C means the program. */
void thread_blocked_signals(sigset_t *ret);

/* Of the calling thread; NULL: none, which is how the program's threads begin. Returns what it had. */
struct thread_policy *thread_set_policy(struct thread_policy *p);

/* Has the calling thread one? */
bool thread_has_policy(void);

/* The calling thread is of this kind from now on; there is no way back. 0 without a policy, or -errno. */
int thread_enter(enum thread_kind kind) must_check;

/* pthread_create(); name is at most 15 characters. thread_blocked_signals() are blocked in it.
 * Returns when it is of its kind: 0, or -errno and there is no thread. */
int thread_start(pthread_t *ret, enum thread_kind kind, const char *name, void *(*fn)(void *), void *arg) must_check;

#endif
