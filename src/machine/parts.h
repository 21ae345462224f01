/* SPDX-License-Identifier: MIT */
/* What a machine is made of, built in order and taken apart in reverse: memory, event loop, VM,
 * serial line, board. machine.c gives them threads and a life. */
#ifndef VZ_MACHINE_PARTS_H
#define VZ_MACHINE_PARTS_H

#include "base/compiler.h"
#include "device/backends.h"
#include "hv/hv.h"

struct board;
struct loop_fd;
struct parts_frozen;
struct loop;
struct vz_config;
struct vz_error;

/* What the guest asks of the machine through its devices. */
enum parts_request { PARTS_POWER_OFF, PARTS_RESET, PARTS_DEBUG_EXIT };

/* Called on a vCPU thread in the middle of vcpu_run(), maybe many times. */
typedef void parts_request_fn(void *arg, enum parts_request kind, uint32_t value);

struct parts {
    const struct vz_config *config; /* the caller's, outlives the parts */
    const struct hv_ops *hv;
    struct loop *loop;
    struct backends backends;
    struct loop_fd *wake; /* the machine's, which sets it */
    struct parts_frozen *frozen;
    struct board *board;
    struct hv_vm *vm; /* the board's */
    struct hv_vcpu *vcpu[HV_VCPUS_MAX];
    parts_request_fn *request;
    void *request_arg;
};

/* Fills in *p, which stays where it is until parts_fini(); that follows also after a failure.
 * 0 or -errno. */
int parts_init(struct parts *p, const struct vz_config *config, parts_request_fn *request,
               const struct backends_events *events, void *arg, struct vz_error *err) must_check;

/* NULL members are fine. Neither loop nor vCPUs run. */
void parts_fini(struct parts *p);

/* Instead: let go of everything without freeing it, since devices have requests under way that may
 * still write to guest memory. */
void parts_abandon(struct parts *p);

/* Load the kernel and set up the CPUs, which are in reset state and do not run. 0 or -errno. */
int parts_boot(struct parts *p, struct vz_error *err) must_check;

/* Put CPUs and devices into reset state, after parts_quiesce() and before parts_resume(). No vCPU
 * runs, nor does the loop. 0 or -errno. */
int parts_reset(struct parts *p, struct vz_error *err) must_check;

/* Have the devices finish what is under way and take nothing new; then done(arg) is called, maybe
 * from inside. On the loop; vCPUs stand still. */
void parts_quiesce(struct parts *p, void (*done)(void *arg), void *arg);
/* Let the devices go on. The loop does not run. */
void parts_resume(struct parts *p);

/* Stop the guest's time and let it go on from there: TSCs, local APIC timers, PIT, ACPI timer; not
 * the RTC, which follows the host. Interrupts that are raised between the two are lost. vCPUs stand
 * still and the loop does not run from before the one until after the other. 0 or -errno. */
int parts_freeze(struct parts *p, struct vz_error *err) must_check;
int parts_thaw(struct parts *p, struct vz_error *err) must_check;

/* On the loop. */
void parts_press_power_button(struct parts *p);

/* The counters of what is not the CPUs. Any thread. */
void parts_stats(const struct parts *p, hv_stats_fn *fn, void *arg);

/* Of a serial port of the configuration: NULL, or a path that lives until parts_fini(). */
const char *parts_serial_path(const struct parts *p, unsigned index);

/* Wait (not for ever) until the guest's last output has reached the host. The loop has stopped. */
void parts_drain(struct parts *p);

#endif
