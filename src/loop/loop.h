/* SPDX-License-Identifier: MIT */
/* The event loop: one thread per machine waits here for file descriptors, timers, and calls that
 * other threads queue. Host backends and device timers live on it. Nothing called from it blocks. */
#ifndef VZ_LOOP_LOOP_H
#define VZ_LOOP_LOOP_H

#include "base/compiler.h"

struct loop;
struct loop_fd;
struct loop_timer;

enum { LOOP_READ = 1, LOOP_WRITE = 2 }; /* errors and hang-ups are reported as LOOP_READ */

/* 0 or -errno. Nothing runs before loop_run(). */
int loop_create(struct loop **ret) must_check;

/* After loop_run() returned. Every fd and timer must be gone. NULL is fine. */
void loop_destroy(struct loop *loop);

/* Serve events until loop_stop(). The calling thread becomes the loop thread. */
void loop_run(struct loop *loop);

/* Make loop_run() return after the handlers it is in. Any thread; sticky when not yet running. */
void loop_stop(struct loop *loop);

/* Is the caller on the loop thread? */
bool loop_is_current(const struct loop *loop);

/* A call from any thread: the caller's memory, so queueing cannot fail. Set fn and arg; the rest is
 * the loop's and starts as zero. */
struct loop_work {
    void (*fn)(void *arg);
    void *arg;
    struct loop_work *next;
    bool queued;
};

/* Call work->fn soon on the loop thread, in the order queued, and once, however often this is called
 * before it begins. Any thread, also under locks; a system call only when the loop sleeps. */
void loop_work_queue(struct loop *loop, struct loop_work *work);
/* Take it back if it has not begun. Loop thread, or while loop_run() is not running: then no call
 * comes after this. */
void loop_work_cancel(struct loop *loop, struct loop_work *work);

/* Watch fd (which stays the caller's). events: LOOP_READ | LOOP_WRITE; may be 0 for now.
 * Level-triggered. Loop thread, or before loop_run(). 0 or -errno (-EPERM: fd cannot be polled,
 * as with regular files). */
int loop_fd_add(struct loop *loop, int fd, unsigned events,
                void (*fn)(void *arg, unsigned events), void *arg,
                struct loop_fd **ret) must_check;
void loop_fd_set(struct loop_fd *f, unsigned events);
/* fn is not called again once this returns. NULL is fine. */
void loop_fd_remove(struct loop_fd *f);

/* A one-shot timer, not armed. Create and destroy: loop thread, or while loop_run() is not
 * running. fn runs on the loop thread. 0 or -errno. */
int loop_timer_create(struct loop *loop, void (*fn)(void *arg), void *arg,
                      struct loop_timer **ret) must_check;
void loop_timer_destroy(struct loop_timer *t); /* NULL is fine */

/* Arm, or re-arm, for CLOCK_MONOTONIC deadline_ns (see clock_mono_ns(); in the past: fires at
 * once). Any thread, and cheap (a system call at most): device models arm from vCPU threads.
 * A call of fn that is already under way is not taken back: fn re-checks its device's state. */
void loop_timer_arm(struct loop_timer *t, uint64_t deadline_ns);
void loop_timer_disarm(struct loop_timer *t); /* any thread */

#endif
