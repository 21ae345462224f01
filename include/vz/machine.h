/* SPDX-License-Identifier: MIT */
/* A virtual machine: made from a configuration, started once, and over when it ends.
 *
 * Threads: a machine runs threads of its own (one per CPU and one for its devices), with all
 * signals blocked except those that a fault raises. The functions below may be called from any
 * thread but the machine's own; vz_machine_free() last. */
#ifndef VZ_MACHINE_H
#define VZ_MACHINE_H

#include <vz/config.h>
#include <vz/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vz_machine;

enum vz_end_reason {
    VZ_END_POWEROFF,   /* the guest turned the machine off */
    VZ_END_RESET,      /* the guest reset it, and the configuration says stop_at_reset */
    VZ_END_DEBUG_EXIT, /* the guest wrote debug_code to the debug exit port */
    VZ_END_STOPPED,    /* vz_machine_stop() */
    VZ_END_ERROR,      /* triple fault, a state that cannot be continued, an error of ours */
};

#define VZ_END_TEXT_MAX 512

struct vz_machine_end {
    enum vz_end_reason reason;
    uint32_t debug_code;
    char text[VZ_END_TEXT_MAX]; /* VZ_END_ERROR: one line on what happened and where */
};

/**
 * Make a machine: memory, CPUs, devices. It does not run yet. config may be freed afterwards.
 * Returns NULL, and fills in err (may be NULL), with
 *   VZ_ERROR_UNSUPPORTED  no backend, or not the one asked for, works on this host
 *   VZ_ERROR_IO           the serial port's file cannot be opened
 *   VZ_ERROR_NO_MEMORY
 * Since 0.1. */
VZ_PUBLIC struct vz_machine *vz_machine_new(const struct vz_config *config, struct vz_error *err);

/**
 * Load the kernel and start the CPUs; once per machine.
 * Returns 0; or -1, and fills in err (may be NULL), with
 *   VZ_ERROR_IO          a file cannot be read
 *   VZ_ERROR_INVALID     a file is not what it should be, or does not fit; or started before
 *   VZ_ERROR_NO_MEMORY
 * Since 0.1. */
VZ_PUBLIC int vz_machine_start(struct vz_machine *machine, struct vz_error *err);

/* Wait until a started machine has ended, its last output is written, and its threads are idle.
 * Returns at once when it is over already or was never started (VZ_END_STOPPED). Since 0.1. */
VZ_PUBLIC void vz_machine_wait(struct vz_machine *machine, struct vz_machine_end *ret);

/* Turn it off, as pulling the plug would: it ends soon, with VZ_END_STOPPED unless it was ending
 * for another reason already. Does not wait. Since 0.1. */
VZ_PUBLIC void vz_machine_stop(struct vz_machine *machine);

/* Call fn for each counter: a static name and its value now. Since 0.1. */
typedef void vz_machine_stats_fn(void *arg, const char *name, uint64_t value);
VZ_PUBLIC void vz_machine_stats(struct vz_machine *machine, vz_machine_stats_fn *fn, void *arg);

/* Stop it, wait for it, and let go of everything. NULL is fine. Since 0.1. */
VZ_PUBLIC void vz_machine_free(struct vz_machine *machine);

#ifdef __cplusplus
}
#endif
#endif
