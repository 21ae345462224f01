/* SPDX-License-Identifier: MIT */
/* What a machine is made of, built in order and taken apart in reverse: memory, event loop, VM,
 * serial line, board. machine.c gives them threads and a life. */
#ifndef VZ_API_PARTS_H
#define VZ_API_PARTS_H

#include "base/compiler.h"
#include "hv/hv.h"

struct board;
struct char_dev;
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
    struct char_dev *serial;
    struct board *board;
    struct hv_vm *vm; /* the board's */
    struct hv_vcpu *vcpu[HV_VCPUS_MAX];
    parts_request_fn *request;
    void *request_arg;
};

/* Fills in *p, which stays where it is until parts_fini(); that follows also after a failure.
 * 0 or -errno. */
int parts_init(struct parts *p, const struct vz_config *config, parts_request_fn *request,
               void *request_arg, struct vz_error *err) must_check;

/* NULL members are fine. Neither loop nor vCPUs run. */
void parts_fini(struct parts *p);

/* Load the kernel and set up the CPUs, which are in reset state and do not run. 0 or -errno. */
int parts_boot(struct parts *p, struct vz_error *err) must_check;

/* Put CPUs and devices into reset state. No vCPU runs; the loop may. 0 or -errno. */
int parts_reset(struct parts *p, struct vz_error *err) must_check;

/* Wait (not for ever) until the guest's last output has reached the host. The loop has stopped. */
void parts_drain(struct parts *p);

#endif
