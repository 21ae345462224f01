/* SPDX-License-Identifier: MIT */
/* Starting a machine in the background: start, restart, restore. */
#ifndef VZ_TOOLS_MACHINE_START_H
#define VZ_TOOLS_MACHINE_START_H

#include "command/machine_command.h"

enum machine_from {
    MACHINE_EITHER,  /* from its saved state where it has one */
    MACHINE_RESTORE, /* from that and nothing else */
    MACHINE_FRESH,   /* without it: it is removed */
};

/* Lock it, and see to its saved state. False after cli_error(). */
bool machine_start_prepare(struct bundle *b, enum machine_from from);

/* It runs in a process of its own when this returns true. Else false, after cli_error(). */
bool machine_start(struct bundle *b, enum machine_from from);
/* The same with one that is locked, and seen to; passphrase: of its saved state; NULL: it has none. */
bool machine_start_locked(struct bundle *b, char *passphrase);

#endif
