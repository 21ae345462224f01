/* SPDX-License-Identifier: MIT */
/* `vz run ... -- CMD`: one command in the machine of this process, by the agent in its guest. */
#ifndef VZ_TOOLS_RUN_PROGRAM_H
#define VZ_TOOLS_RUN_PROGRAM_H

#include <stdbool.h>

struct vz_machine;

/* Wait for the guest's agent, run it with our input and output, and return its exit status; EXIT_OURS after
 * cli_error() when it did not come to that. flush: what the guest wrote is on its disks afterwards. */
int run_program(struct vz_machine *machine, const char *const *argv, bool flush);

#endif
