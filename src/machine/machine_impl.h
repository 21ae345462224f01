/* SPDX-License-Identifier: MIT */
/* A machine from the inside. machine.c is what programs call, machine_thread.c the thread that does
 * it, machine_still.c how all comes to rest for it; docs/threads.md tells how they meet. */
#ifndef VZ_MACHINE_MACHINE_IMPL_H
#define VZ_MACHINE_MACHINE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include <vz/runtime.h>

#include "config/objects.h"
#include "machine/events.h"
#include "machine/machine_clipboard.h"
#include "machine/machine_save.h"
#include "machine/machine_state.h"
#include "machine/parts.h"
#include "machine/runner.h"
#include "machine/still.h"
#include "machine/waiter.h"
#include "base/child.h"
#include "sandbox/sandbox.h"

/* An operation under way, from its call to its completion. */
struct machine_op {
    struct event event; /* completes it */
    struct still still; /* of what needs the machine at rest */
    enum machine_op_kind kind;
    vz_machine_done_fn *fn; /* may be NULL */
    void *arg;
    struct machine_file *file; /* SAVE, RESTORE; the operation's */
    bool direct;            /* of a ..._wait(): completed by the machine's thread itself */
    bool failed;
    struct vz_error err;
};

/* On the machine's thread, with devices there. 0, or below 0 with *err. */
typedef int machine_call_fn(struct vz_machine *m, void *arg, struct vz_error *err);

/* What devices of a live machine take their time for, from its call to its completion. At the start of a struct that
 * says what it is. */
struct machine_work {
    struct event event;
    struct vz_machine *machine;
    vz_machine_done_fn *fn; /* may be NULL */
    void *arg;
    void (*release)(struct machine_work *w); /* what else it holds, behind fn; may be NULL */
    bool direct; /* of the waiting form: completed by the machine's thread itself */
    bool opens;  /* as machine_call_opening() */
    bool failed;
    struct vz_error err;
};

/* A call from another thread, which waits for it. */
struct machine_call {
    struct machine_call *next;
    machine_call_fn *fn;
    void *arg;
    int result;
    struct waiter waiter;
    bool opens;               /* the caller makes it itself, between the two: */
    struct waiter turn, over; /* the machine's thread waits; it goes on */
};

struct machine_background;
struct usb_op;
struct machine_listener;

/* A disk that has not answered for so long will not. */
#define MACHINE_LATE_MS 30000u

#define MACHINE_STATS_MAX 256

/* USB disks that came while it runs: as many as there are ports for them. */
#define MACHINE_USB_MAX ((unsigned)VZ_USB_DEVICES_MAX)

struct machine_stat {
    const char *name;
    uint64_t value;
};

struct vz_machine {
    /* Fixed once made. */
    int (*opened)(void *machine, struct vz_error *err); /* see struct parts_owner; NULL: nothing */
    struct vz_config *config;
    struct vz_machine_delegate delegate;
    void *delegate_arg;
    bool use_events_fd;
    enum vz_sandbox sandbox_mode;
    uint32_t sandbox_uid, sandbox_gid;
    char **sandbox_folders; /* ends with NULL; may be NULL */
    int wake_fd; /* an eventfd the machine's thread always watches */
    pthread_t thread;

    struct events events;

    pthread_mutex_t lock;   /* for what follows. Under it: leaves, and vcpu_kick(); no device */
    pthread_cond_t changed; /* state */
    enum vz_machine_state state;
    struct machine_op *op;  /* under way; NULL in states that wait for nothing */
    bool quit;              /* vz_machine_free() */
    struct still_queue still;
    struct still reset, ending; /* requests that come without an operation */
    struct vz_machine_end end;  /* of the last run, or of this one once ending waits */
    uint64_t resets;
    uint32_t trace; /* base/trace.h; constant */
    atomic_bool cancel;         /* the save or restore under way */
    atomic_bool progress_waits; /* to be delivered */
    struct machine_stat stat[MACHINE_STATS_MAX]; /* at the end of the last run */
    unsigned stat_count;
    unsigned lost_output; /* with them, as the next */
    struct vz_disk_stats *disk_stats; /* of each storage device, and of those that may come */
    struct machine_call *first_call, **last_call;
    LIST_HEAD(, machine_listener) listeners;
    LIST_HEAD(, machine_background) background; /* saves whose files are being written */
    uint64_t memory_target; /* bytes */
    struct machine_clipboard clipboard;
    LIST_HEAD(, file_transfer) files; /* that viewers send the guest, under the lock; */
    uint32_t last_file;               /* the number of the last one */

    /* The machine's thread's, changed while idle; others look only when it is not. */
    struct parts parts;
    struct runner runner;
    struct sandbox sandbox;
    struct child nat; /* the process for networks behind NAT; none without a sandbox */
    struct child nbd; /* the same, for connections to NBD servers */
    struct child *nbd_by; /* that one, though it may have ended; NULL: such connections are made by this process */
    char **late_sockets; /* paths of those that listen since; ends with NULL; may be NULL */
    bool locked; /* its thread has entered the sandbox, and opens nothing any more */
    struct vz_storage_device *usb[MACHINE_USB_MAX]; /* machine_usb.c: those that came; references */
    LIST_HEAD(, usb_op) usb_ops, usb_dials;
    struct vz_usb_device *usb_host[MACHINE_USB_MAX]; /* likewise */
    struct loop_work usb_lost; /* takes those out that are gone from the host */
    struct loop_timer *late; /* fires when devices take too long to be quiet */
    unsigned late_ms;
};

/* Are its parts whole? On the machine's thread that stays so. */
static inline bool machine_is_live_locked(const struct vz_machine *m)
{
    return m->still.phase != STILL_IDLE;
}

/* machine.c: begin a save or restore, which takes f over. As the operations of <vz/machine.h>. */
int machine_begin_file(struct vz_machine *m, enum machine_op_kind kind, struct machine_file *f,
                       vz_machine_done_fn *fn, void *arg);
int machine_begin_file_wait(struct vz_machine *m, enum machine_op_kind kind, struct machine_file *f,
                            struct vz_error *err);

/* machine_thread.c: the thread, from vz_machine_new() to quit. */
void *machine_thread(void *arg);

/* Have the thread look at what is wanted; and, on it, wait until somebody does so. */
void machine_wake(struct vz_machine *m);
void machine_sleep(struct vz_machine *m);

/* The move must be in the table of states, or the process ends; tells the delegate. */
void machine_move_locked(struct vz_machine *m, enum vz_machine_state to);

/* The operation under way is over with this move: both in one step, so that the next one, which may
 * begin at once, is not taken for it. Returns the operation, or NULL. */
struct machine_op *machine_settle_locked(struct vz_machine *m, enum vz_machine_state to);

/* machine_still.c: before the thread starts. */
void machine_init_still(struct vz_machine *m);

/* Have the machine come to rest for op. Any thread. */
void machine_ask_locked(struct vz_machine *m, struct machine_op *op);

/* The run is to end; the first reason counts, the others are forgotten. Any thread. */
void machine_end_locked(struct vz_machine *m, enum vz_end_reason reason, uint32_t code,
                        const char *text);

/* A device asks for something: chipset's and others'. On a vCPU thread, under the device's lock. */
void machine_on_request(void *arg, enum chipset_request kind, uint32_t value);

/* On the machine's thread: make what the phases need, which is gone with the parts; 0 or -errno */
int machine_still_prepare(struct vz_machine *m) must_check;
void machine_still_release(struct vz_machine *m);

/* Start the CPUs. 0 or -errno. */
int machine_go_locked(struct vz_machine *m) must_check;

/* In the loop: look at the phase. */
void machine_still_step(struct vz_machine *m);

/* The loop has been left: serve who waits, then let all go on. Returns false when the run ends, and
 * all rests, or is stuck. */
bool machine_still_serve(struct vz_machine *m);

/* machine_tell.c: deliver what waits, unless the program fetches it. */
void machine_deliver(struct vz_machine *m);

/* Have e's function called, as a completion; direct: here and now, for who waits. No lock held. */
void machine_complete(struct vz_machine *m, struct event *e, bool direct);

/* Complete op, which may be NULL; err NULL is success. It is gone when this returns, or soon after.
 * No lock held. */
void machine_op_complete(struct vz_machine *m, struct machine_op *op, const struct vz_error *err);

/* Events for the delegate; no lock is needed. */
void machine_tell_state(struct vz_machine *m, enum vz_machine_state state);
void machine_tell_end(struct vz_machine *m, const struct vz_machine_end *end);
void machine_tell_panic(struct vz_machine *m, bool crash_kernel);
/* parts_owner.tell: arg is the machine. */
void machine_tell_device(void *arg, const struct device_slot *s, const struct device_event *e);

/* machine_call.c: have fn called by the machine's thread, and wait; at once on that thread itself.
 * What fn returned; or -1 with VZ_ERROR_INVALID_STATE, and fn was not called: the machine is not
 * live. */
int machine_call(struct vz_machine *m, machine_call_fn *fn, void *arg, struct vz_error *err);
/* The same for what opens files, or makes threads for them. The thread of a machine with a sandbox cannot: fn is called on
 * the caller's then, while the machine's waits. What it makes is the machine's, in its sandbox. */
int machine_call_opening(struct vz_machine *m, machine_call_fn *fn, void *arg, struct vz_error *err);
void machine_serve_calls(struct vz_machine *m); /* its thread */
bool machine_is_current(const struct vz_machine *m);
bool machine_can_wait(const struct vz_machine *m, struct vz_error *err); /* not its own thread: false with err */

/* As machine_call(), for what takes its time: fn gets a copy of what (size bytes that begin with a struct machine_work)
 * as its arg. That is completed once: with refused, unless that is NULL, and fn is not called; when fn fails; or by
 * machine_complete_work(). Returns 0; or -1 without memory, and nothing is taken over. */
int machine_begin_work(const void *what, size_t size, machine_call_fn *fn, const struct vz_error *refused);
/* And wait, where it has no fn yet. 0, or -1 with err. */
int machine_begin_work_wait(const void *what, size_t size, machine_call_fn *fn, const struct vz_error *refused,
                            struct vz_error *err);
/* err NULL is success. It is gone when this returns, or soon after. No lock held. */
void machine_complete_work(struct machine_work *w, const struct vz_error *err);

/* machine_memory.c */
uint64_t machine_memory_minimum(const struct vz_config *c); /* bytes; it has a balloon */
uint64_t machine_first_memory_target(const struct vz_config *c);
void machine_apply_memory_target(struct vz_machine *m); /* its thread */

/* machine_sockets.c */
void machine_apply_listeners(struct vz_machine *m);  /* to the device; its thread */
void machine_forget_listeners(struct vz_machine *m); /* the device is gone */
void machine_free_listeners(struct vz_machine *m);

/* machine_usb.c, its thread: the configuration with the USB devices that it has now, a reference, or NULL with err; and when
 * its parts are gone. */
struct vz_config *machine_present_config(struct vz_machine *m, struct vz_error *err);
/* It is gone from the host: it will be taken out; uuid is its. */
void machine_lose_usb(struct vz_machine *m, const struct device_slot *s, char ret_uuid[VZ_USB_UUID_TEXT_MAX]);
void machine_hang_up_usb(struct vz_machine *m); /* before that: devices whose servers have not answered do not come */
void machine_forget_usb(struct vz_machine *m);

/* machine_sandbox.c: on its thread, before anything is opened, when all is, and when that is over. 0 or -errno. */
int machine_sandbox_prepare(struct vz_machine *m, struct vz_error *err) must_check;
int machine_sandbox_enter(struct vz_machine *m, struct vz_error *err) must_check;
void machine_sandbox_release(struct vz_machine *m);
/* In machine_call_opening(): another attachment is about to be opened. NULL can. 0; or -EPERM with err: it cannot. */
int machine_sandbox_admit(struct vz_machine *m, const char *list, const void *attachment,
                          struct vz_error *err) must_check;
/* What it takes from the options. 0 or -errno. */
int machine_sandbox_options(struct vz_machine *m, const struct vz_machine_options *o, struct vz_error *err) must_check;
void machine_sandbox_free(struct vz_machine *m);

/* machine_display.c: when the machine whose display it is has ended, as clock_mono_ns() tells; 0: it has not. Any thread. */
struct vz_display_view;
uint64_t machine_view_ended_ns(const struct vz_display_view *v);

/* Read the counters of a live machine. */
void machine_collect_stats_locked(struct vz_machine *m);
void machine_collect_disk_stats_locked(struct vz_machine *m); /* machine_disks.c */

#endif
