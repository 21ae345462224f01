/* SPDX-License-Identifier: MIT */
/* Stopping a machine in the background: stop, restart, delete. */
#ifndef VZ_TOOLS_MACHINE_STOP_H
#define VZ_TOOLS_MACHINE_STOP_H

#include "command/machine_command.h"

#define MACHINE_STOP_MS 60000

/* Returns when nobody runs it any more: true. Else false, after cli_error(). */
bool machine_stop(struct bundle *b, bool now, int timeout_ms);

#endif
