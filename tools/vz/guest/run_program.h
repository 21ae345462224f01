/* SPDX-License-Identifier: MIT */
/* `vz run ... -- CMD`: one program in the guest of a machine of this process. */
#ifndef VZ_TOOLS_RUN_PROGRAM_H
#define VZ_TOOLS_RUN_PROGRAM_H

#include <stdbool.h>

struct bundle;
struct given;
struct guest_care;
struct vz_agent;
struct vz_error;
struct vz_machine;

struct run_program {
    const char *const *argv;
    const struct given *given; /* --env, --user, --cwd */
    bool *ret_off;             /* afterwards the guest is told to power off, and this is that it was; NULL: it is not */
    bool flush;                /* what was written is on the guest's disks before this returns */
    bool copy;                 /* the guest goes on from a saved state: time has passed, and others have done so too */
    /* A clone at its first start: its guest is another one before the program runs, by care. NULL: it is no clone. */
    const struct bundle *becomes;
    struct guest_care *care;
};

/* An agent_connect_fn whose arg is a machine of this process. */
int run_program_connect(void *machine, struct vz_error *err);

/* Wait for the guest's agent, as long as the machine runs. NULL and err. */
struct vz_agent *run_program_link(struct vz_machine *machine, struct vz_error *err);

/* Run it with our input and output, and return its exit status, or EXIT_OURS after cli_error(). */
int run_program(struct vz_machine *machine, const struct run_program *p);

#endif
