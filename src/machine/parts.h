/* SPDX-License-Identifier: MIT */
/* What a machine is made of, built in order and taken apart in reverse: event loop, the hosts' ends
 * of its devices, board, vCPUs. machine_thread.c and runner.c give them threads and a life. */
#ifndef VZ_MACHINE_PARTS_H
#define VZ_MACHINE_PARTS_H

#include "base/compiler.h"
#include "base/tsc_rate.h"
#include "board/pc/boot/boot.h"
#include "board/pc/firmware.h"
#include "chipset/chipset.h"
#include "device/device_slots.h"
#include "hv/hv.h"

struct board;
struct child;
struct loop_fd;
struct parts_frozen;
struct state_writer;
struct loop;
struct vz_config;
struct vz_error;

/* Who has the parts. */
struct parts_owner {
    /* What the guest asks of the machine: on a vCPU thread in the middle of vcpu_run(), maybe many
     * times. */
    void (*request)(void *arg, enum chipset_request kind, uint32_t value);
    /* What devices tell: see struct device_env. */
    void (*tell)(void *arg, const struct device_slot *s, const struct device_event *e);
    bool (*goes_on)(void *arg); /* see struct device_env */
    bool restored; /* see struct device_env */
    /* Optional. Everything that the host has to give is open (see parts_init()): whoever wants the
     * process locked up closes the door here. 0; or -errno with err, and there is no machine. */
    int (*opened)(void *arg, struct vz_error *err);
    void *arg;
    struct child *nat; /* the process for networks behind NAT; NULL: this one */
    struct child *nbd; /* the same, for connections to NBD servers */
    bool map_memory; /* a saved state's memory is to be mapped, so it is no file of its own */
};

struct parts {
    const struct vz_config *config; /* the caller's, outlives the parts */
    const struct hv_ops *hv;
    struct loop *loop;
    struct device_slots *slots;
    struct boot_sources boot; /* of a kernel that is loaded, */
    struct firmware firmware; /* or of the firmware that loads one */
    struct loop_fd *wake; /* the machine's, which sets it */
    struct parts_frozen *frozen; /* of a paused machine */
    struct tsc_rate tsc;
    /* Of the CPUs that a restored guest has seen, until it reboots; 0: the backend's. */
    uint64_t features;
    unsigned phys_bits;
    struct board *board;
    struct hv_vm *vm; /* the board's */
    struct hv_vcpu *vcpu[HV_VCPUS_MAX];
};

/* Fills in *p, which stays where it is until parts_fini(); that follows also after a failure.
 *
 * Two halves with a line between them. Before it the host is asked for all it has to give: the
 * devices' files, sockets and interfaces, the kernel's files, the VM. Behind it, also at a reset or
 * a resume, nothing is opened any more, but for what a person asks for meanwhile (another network
 * or line: device_kind.change, a device more: device_slots_add()) and what a guest's connections
 * need of the host (NAT's sockets, the socket device's forwards to it). 0 or -errno. */
int parts_init(struct parts *p, const struct vz_config *config, const struct parts_owner *owner,
               struct vz_error *err) must_check;

/* NULL members are fine. Neither loop nor vCPUs run. */
void parts_fini(struct parts *p);

/* Instead: let go of everything without freeing it, since devices have requests under way that may
 * still write to guest memory. */
void parts_abandon(struct parts *p);

/* Load the kernel and set up the CPUs, which are in reset state and do not run. 0 or -errno. */
int parts_boot(struct parts *p, struct vz_error *err) must_check;

/* Stop the guest's time and let it go on from there: TSCs, local APIC timers, PIT, ACPI timer; not
 * the RTC, which follows the host. Interrupts that are raised between the two are lost. vCPUs stand
 * still and the loop does not run from before the one until after the other. 0 or -errno. */
int parts_freeze(struct parts *p, struct vz_error *err) must_check;
int parts_thaw(struct parts *p, struct vz_error *err) must_check;

void parts_forget_frozen(struct parts *p);

/* Append the sections of a frozen machine: of its devices and CPUs, and of the backend's controllers;
 * load them into one that was just built, which is frozen then. At rest, as above. 0; or -errno: after a
 * failed load only parts_fini() is left. */
int parts_save(struct parts *p, struct state_writer *devices,
               struct state_writer *controllers) must_check;
int parts_load(struct parts *p, const void *devices, size_t devices_len, const void *controllers,
               size_t controllers_len, struct vz_error *err) must_check;

/* The counters of what is not the CPUs. Any thread. */
void parts_stats(const struct parts *p, hv_stats_fn *fn, void *arg);

#endif
