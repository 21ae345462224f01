/* SPDX-License-Identifier: MIT */
/* Stopping a machine in the background: stop, restart, delete, save. */
#ifndef VZ_TOOLS_MACHINE_STOP_H
#define VZ_TOOLS_MACHINE_STOP_H

#include "command/machine_command.h"

#define MACHINE_STOP_MS 60000

/* Returns when nobody runs it any more: true. Else false, after cli_error(). */
bool machine_stop(struct bundle *b, bool now, int timeout_ms);

struct saving_manner { /* all 0: as it is */
    bool seal, compress;
    const char *passphrase; /* NULL: none */
};

/* Have it saved into its folder; nobody runs it then: true. Else it runs on, after cli_error(). */
bool machine_save(struct bundle *b, const struct saving_manner *how);

#endif
