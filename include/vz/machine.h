/* SPDX-License-Identifier: MIT */
/* A virtual machine and its life. Apple's: VZVirtualMachine.
 *
 *     start:   stopped, error -> starting -> running     (or error: it could not start)
 *     pause:   running -> pausing -> paused     (or running: a disk does not answer)
 *     resume:  paused -> resuming -> running
 *     stop:    running, paused -> stopping -> stopped
 *     save and restore: <vz/saved_state.h>
 *
 * A guest that powers off takes the machine from running (pausing, ...) to stopped, and one that
 * cannot go on takes it to error, from where only start leads on. Each start builds the machine
 * anew and boots the guest from its beginning.
 *
 * Threads. A machine runs threads of its own (one that is its event loop, one per CPU), with all
 * signals blocked except those that a fault raises. The functions below may be called from any
 * thread. Completions and events come on the machine's event thread; or, when the machine was made
 * so, in the thread that calls vz_machine_dispatch(). No lock is held meanwhile: they may call
 * anything here but vz_machine_free() and, on the event thread, the ..._wait() functions. They
 * should return soon: on the event thread the guest's devices wait for them. */
#ifndef VZ_MACHINE_H
#define VZ_MACHINE_H

#include <vz/config.h>
#include <vz/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vz_machine;

/* Apple's numbers. */
enum vz_machine_state {
    VZ_STATE_STOPPED = 0,
    VZ_STATE_RUNNING = 1,
    VZ_STATE_PAUSED = 2,
    VZ_STATE_ERROR = 3,
    VZ_STATE_STARTING = 4,
    VZ_STATE_PAUSING = 5,
    VZ_STATE_RESUMING = 6,
    VZ_STATE_STOPPING = 7,
    VZ_STATE_SAVING = 8,
    VZ_STATE_RESTORING = 9,
};

/* "stopped", "running", ...: a static string. Since 0.2. */
VZ_PUBLIC const char *vz_machine_state_name(enum vz_machine_state state);

enum vz_end_reason {
    VZ_END_POWEROFF,   /* the guest turned the machine off */
    VZ_END_RESET,      /* the guest reset it, and the configuration says stop_at_reset */
    VZ_END_DEBUG_EXIT, /* the guest wrote debug_code to the debug exit port */
    VZ_END_STOPPED,    /* vz_machine_stop() */
    VZ_END_ERROR,      /* an error of ours or of the host's */
    VZ_END_PANIC,      /* the guest's kernel panicked, and told so (pvpanic) */
    VZ_END_FAULT,      /* a CPU is in a state that leads nowhere: a triple fault */
};

#define VZ_END_TEXT_MAX 512

struct vz_machine_end {
    enum vz_end_reason reason;
    uint32_t debug_code;
    char text[VZ_END_TEXT_MAX]; /* VZ_END_ERROR, _PANIC, _FAULT: one line on what happened */
    uint64_t reserved[8];       /* 0; see "Structs without a size" in public.h */
};

/* Of a guest behind NAT. Numeric; empty: not known (yet). */
struct vz_guest_address { /* start from VZ_GUEST_ADDRESS_INIT */
    size_t size;
    char ipv4[16];
    char ipv6[46]; /* a routable one */
};
#define VZ_GUEST_ADDRESS_INIT VZ_INIT_(struct vz_guest_address, )

/* What a program hears of a machine without asking. All members are optional; arg is that of the
 * options. */
struct vz_machine_delegate { /* start from VZ_MACHINE_DELEGATE_INIT */
    size_t size;
    void (*state_changed)(void *arg, struct vz_machine *machine, enum vz_machine_state state);
    /* The guest ended by itself; state is stopped. Not after vz_machine_stop(). */
    void (*guest_did_stop)(void *arg, struct vz_machine *machine,
                           const struct vz_machine_end *end);
    /* state is error: VZ_END_ERROR or VZ_END_FAULT. */
    void (*did_stop_with_error)(void *arg, struct vz_machine *machine,
                                const struct vz_machine_end *end);
    /* The host's end of a network card is gone (the peer hung up, the interface vanished): the
     * guest sees the link down. device counts the configuration's network devices. */
    void (*network_disconnected)(void *arg, struct vz_machine *machine, unsigned device,
                                 const struct vz_error *err);
    /* A program in the guest opened or closed a port of a console device. */
    void (*console_port_opened)(void *arg, struct vz_machine *machine, unsigned device,
                                unsigned port);
    void (*console_port_closed)(void *arg, struct vz_machine *machine, unsigned device,
                                unsigned port);
    /* The guest behind a NAT has an address, or another one. */
    void (*guest_address_changed)(void *arg, struct vz_machine *machine, unsigned device,
                                  const struct vz_guest_address *address);
    /* The guest's kernel panicked, and told so. It goes on when a crash kernel takes over, or by
     * continue_at_panic; else the machine ends. Since 0.4. */
    void (*guest_panicked)(void *arg, struct vz_machine *machine, bool crash_kernel);
    /* The connection of a disk on an NBD server is there again, after an error. device counts the
     * configuration's storage devices. Since 0.4. */
    void (*disk_connected)(void *arg, struct vz_machine *machine, unsigned device);
    /* It was lost (VZ_ERROR_NBD_DISCONNECTED), or the server that answers now has not that disk any more
     * (VZ_ERROR_NBD_NEGOTIATION_FAILED). Attempts to connect go on in both cases. Since 0.4. */
    void (*disk_error)(void *arg, struct vz_machine *machine, unsigned device,
                       const struct vz_error *err);
    /* A display of a graphics device is about to have another size, because vz_machine_reconfigure_display() asked for
     * that or by the guest's own wish; and then has it, or will not. Since 0.4. */
    void (*display_reconfiguration_began)(void *arg, struct vz_machine *machine, unsigned device,
                                          unsigned display);
    void (*display_reconfiguration_ended)(void *arg, struct vz_machine *machine, unsigned device,
                                          unsigned display);
    /* A USB device of the host was pulled out of it, or has become another one: the machine has it no more. uuid as in
     * vz_machine_usb_devices(). Since 0.4. */
    void (*usb_device_disconnected)(void *arg, struct vz_machine *machine, const char *uuid);
};
#define VZ_MACHINE_DELEGATE_INIT VZ_INIT_(struct vz_machine_delegate, )

/* What a machine's threads give up once all is open: system calls, files and capabilities, each kind of thread what
 * it does not need. docs/security.md tells which, and against whom that helps. A machine with a sandbox can be started
 * once. Since 0.4. */
enum vz_sandbox {
    VZ_SANDBOX_NONE,
    /* Only threads that the library makes. A system call that its thread must not make ends the process, by a handler
     * for SIGSYS, which is the library's from then on; a line on standard error says which. */
    VZ_SANDBOX_THREADS,
    /* For a process that is for this machine: the same, and no core files, nor may others of its user trace it. Networks behind
     * NAT are in a child process, and connections to NBD servers are made by one; they end with the machine. A program that waits for
     * any of its children (waitpid(-1)) hears of that and may reap them: the library waits for its own only. */
    VZ_SANDBOX_PROCESS,
    /* Refuse nothing: tell on standard error, once for each kind of thread, the calls that would be refused. */
    VZ_SANDBOX_LOG,
    /* VZ_SANDBOX_PROCESS where that is possible; none, and a line in the log, on a kernel without seccomp filters. */
    VZ_SANDBOX_AUTOMATIC,
};

/* What a thread of a program's does for a machine, once all that it needs is open, and so what is left to it. Each may read and
 * write what is open, wait, take memory, and call this library's functions. Since 0.4. */
enum vz_thread_work {
    /* Nothing else: it talks to somebody on descriptors that it has. */
    VZ_THREAD_TALKS,
    /* It takes connections too, makes threads for them, and reads files of one folder. */
    VZ_THREAD_SERVES,
    /* It reads files and hears of what becomes of them, connects to Unix sockets, makes threads for that, and writes in one
     * folder. */
    VZ_THREAD_WATCHES,
    /* It has a user's orders: it opens what that user names, and makes what a machine is to have. It starts no program,
     * makes no memory executable, and reaches no other process. */
    VZ_THREAD_CONTROLS,
};

/**
 * The calling thread gives up what its work does not need, and so do threads that it makes; there is no way back. A thread
 * that TALKS and makes another system call ends the process, as a machine's own do; others get EPERM.
 * @sandbox  as in struct vz_machine_options: VZ_SANDBOX_NONE does nothing, VZ_SANDBOX_LOG only tells
 * @folder   may be NULL: none
 * Returns 0, also on a kernel without seccomp filters, where nothing is given up; or -1 with err (may be NULL):
 *   VZ_ERROR_INVALID   there is no such work
 *   VZ_ERROR_INTERNAL  the kernel refused
 * Since 0.4. */
VZ_PUBLIC int vz_lock_thread(enum vz_thread_work work, enum vz_sandbox sandbox, const char *folder, struct vz_error *err);

struct vz_machine_options { /* start from VZ_MACHINE_OPTIONS_INIT */
    size_t size;
    const struct vz_machine_delegate *delegate; /* copied; NULL: none */
    void *delegate_arg;
    bool use_events_fd; /* completions and events wait for vz_machine_dispatch() */
    enum vz_sandbox sandbox; /* since 0.4 */
    /* With a sandbox: folders in which it may make files while it runs, for saved states and for other images of its
     * disks; absolute, or as seen from where the process is when it starts. Copied; ends with NULL, and may be NULL:
     * none. Since 0.4. */
    const char *const *sandbox_folders;
    /* With a sandbox, of a process of root's: whose its threads are from then on, without other groups; 0: root's. What they
     * need has been opened before. In sandbox_folders, and where sockets of the host's are connected to by name, they are
     * root still. Threads of shared directories are root's, and so are those of disks that come later, and all with direct
     * execution. The process is not dumpable then. A start fails with VZ_ERROR_INTERNAL when they cannot become that.
     * Since 0.4. */
    uint32_t sandbox_uid, sandbox_gid;
};
#define VZ_MACHINE_OPTIONS_INIT VZ_INIT_(struct vz_machine_options, )

/**
 * Make a machine. The configuration must validate, and is copied. Nothing is opened and no memory taken before it
 * starts; it is in state stopped.
 * Returns NULL, and fills in err (may be NULL), with
 *   whatever vz_config_validate() found first
 *   VZ_ERROR_NO_MEMORY
 * Since 0.1; options since 0.2. */
VZ_PUBLIC struct vz_machine *vz_machine_new(const struct vz_config *config,
                                            const struct vz_machine_options *options,
                                            struct vz_error *err);

/* Stop it at once if it runs, wait for that, and let go of everything. Completions and events not
 * yet delivered come from inside. Not from completions and events. NULL is fine. Since 0.1. */
VZ_PUBLIC void vz_machine_free(struct vz_machine *machine);

/* ---- Its life ------------------------------------------------------------------------------- */

/* Since 0.2; called vz_machine_state() before 0.4. */
VZ_PUBLIC enum vz_machine_state vz_machine_get_state(const struct vz_machine *machine);

/* What it was made from, with what it chose itself (identifiers, addresses): the machine's own, and
 * as long alive. vz_machine_set_disks() and vz_machine_set_disc() change its storage devices: not while somebody looks at
 * them. Since 0.4. */
VZ_PUBLIC const struct vz_config *vz_machine_config(const struct vz_machine *machine);

/* Would the operation be accepted now? Since 0.2. */
VZ_PUBLIC bool vz_machine_can_start(const struct vz_machine *machine);
VZ_PUBLIC bool vz_machine_can_pause(const struct vz_machine *machine);
VZ_PUBLIC bool vz_machine_can_resume(const struct vz_machine *machine);
VZ_PUBLIC bool vz_machine_can_stop(const struct vz_machine *machine);
VZ_PUBLIC bool vz_machine_can_request_stop(const struct vz_machine *machine);

/* The end of an operation: err is NULL when it succeeded. */
typedef void vz_machine_done_fn(void *arg, struct vz_machine *machine, const struct vz_error *err);

/**
 * Begin an operation. fn (may be NULL) is called exactly once, never from inside:
 *   VZ_ERROR_INVALID_TRANSITION  the state does not allow it; or the guest ended first
 *   start: VZ_ERROR_IO, VZ_ERROR_INVALID, VZ_ERROR_NO_MEMORY, VZ_ERROR_UNSUPPORTED, and those of
 *          devices; the state is error then
 * start   build the machine, load the kernel, let the CPUs run
 * pause   CPUs and devices stand still when it completes, and the guest's clocks with them. What is
 *         under way is finished first: a disk that does not answer for 30 s makes it fail with
 *         VZ_ERROR_IO, and the machine runs on
 * resume  go on
 * stop    as pulling the plug would: the guest is not asked. What it wrote to its disks is there. Not while another
 *         operation is under way, also one that was begun just before: that completes first
 *         A disk that does not answer for 30 s (also when the guest ends by itself) is given up:
 *         VZ_ERROR_IO, the state is error, and the run's memory and files stay taken until the
 *         process ends
 * Returns 0; or -1, and fn is not called, without memory. Since 0.1 (start, stop), 0.2. */
VZ_PUBLIC int vz_machine_start(struct vz_machine *machine, vz_machine_done_fn *fn, void *arg);
VZ_PUBLIC int vz_machine_pause(struct vz_machine *machine, vz_machine_done_fn *fn, void *arg);
VZ_PUBLIC int vz_machine_resume(struct vz_machine *machine, vz_machine_done_fn *fn, void *arg);
VZ_PUBLIC int vz_machine_stop(struct vz_machine *machine, vz_machine_done_fn *fn, void *arg);

/* The same, and wait for the end. Returns 0, or -1 with the errors above in err (may be NULL); on
 * the event thread: VZ_ERROR_INVALID_STATE. Since 0.2. */
VZ_PUBLIC int vz_machine_start_wait(struct vz_machine *machine, struct vz_error *err);
VZ_PUBLIC int vz_machine_pause_wait(struct vz_machine *machine, struct vz_error *err);
VZ_PUBLIC int vz_machine_resume_wait(struct vz_machine *machine, struct vz_error *err);
VZ_PUBLIC int vz_machine_stop_wait(struct vz_machine *machine, struct vz_error *err);

/**
 * Press the power button: the guest may turn itself off in good order, or may not.
 * Returns 0, or -1 with VZ_ERROR_INVALID_STATE (it is not running). Since 0.2. */
VZ_PUBLIC int vz_machine_request_stop(struct vz_machine *machine, struct vz_error *err);

/* Would the guest hear of it? A kernel starts to listen to the power button while it boots (Linux
 * when it loads its button driver); small ones never do. Since 0.4. */
VZ_PUBLIC bool vz_machine_hears_request_stop(struct vz_machine *machine);

/* Wait until it is stopped or in error, and tell how the last run ended; *ret may be NULL. Without
 * a run: VZ_END_STOPPED; when it could not start: VZ_END_ERROR. Not on the event thread. Since 0.1. */
VZ_PUBLIC void vz_machine_wait(struct vz_machine *machine, struct vz_machine_end *ret);

/* ---- Delivery through a descriptor ---------------------------------------------------------- */

/* Readable while completions or events wait; the machine's, for poll() only. -1 for a machine made
 * without use_events_fd. Since 0.2. */
VZ_PUBLIC int vz_machine_events_fd(const struct vz_machine *machine);

/* Deliver what waits, in the calling thread; one thread at a time. Returns how many. Since 0.2. */
VZ_PUBLIC unsigned vz_machine_dispatch(struct vz_machine *machine);

/* ---- What else there is to know ------------------------------------------------------------- */

/* Call fn for each counter: a static name and its value now; after a run, at its end. Since 0.1. */
typedef void vz_machine_stats_fn(void *arg, const char *name, uint64_t value);
VZ_PUBLIC void vz_machine_stats(struct vz_machine *machine, vz_machine_stats_fn *fn, void *arg);

/* What runs its CPUs: "kvm", "soft", a static string; NULL: it does not run. Since 0.4. */
VZ_PUBLIC const char *vz_machine_accel(struct vz_machine *machine);

/**
 * Where a program finds the other end of a serial port: the name of a pty.
 * @index  of the configuration's serial ports
 * Returns 0, or -1: it has none, or the machine does not run, or len is too short. Since 0.2. */
VZ_PUBLIC int vz_machine_serial_path(struct vz_machine *machine, unsigned index, char *ret,
                                     size_t len);

/* How many serial ports its configuration has. Since 0.4. */
VZ_PUBLIC unsigned vz_machine_serial_count(const struct vz_machine *machine);

/* At how many serial and console ports output of the guest was lost in this run, or the last one: the
 * host's end failed, or took nothing until the end. The log says which when it happens. Since 0.4. */
VZ_PUBLIC unsigned vz_machine_lost_output(struct vz_machine *machine);

#ifdef __cplusplus
}
#endif
#endif
