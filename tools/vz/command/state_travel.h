/* SPDX-License-Identifier: MIT */
/* Saved states that leave a machine's folder (`vz save --to`) and come back to it (`vz restore --from`). A state fits
 * the disks as they were when it was saved, and nothing else: that they have been written since is told as far as
 * their files say so. */
#ifndef VZ_TOOLS_STATE_TRAVEL_H
#define VZ_TOOLS_STATE_TRAVEL_H

#include "command/machine_command.h"

/* May a state be called so: is there nothing, or a saved state? Names are those of the working folder cwd. False
 * after cli_error(). */
bool state_may_go(int cwd, const char *to);

/* The state that the machine has been saved into is to's from now on, and the machine is off. False after
 * cli_error(): it is saved in its folder still. */
bool state_go(struct bundle *b, int cwd, const char *to);

/* A machine that is off, and has no state of its own, is saved from now on; the caller has locked it. force: whatever
 * its disks' files say. False after cli_error(). */
bool state_come(const struct bundle *b, int cwd, const char *from, bool force);

#endif
