/* SPDX-License-Identifier: MIT */
/* The machine's life as a table: framework reference 1.15. */
#ifndef VZ_MACHINE_MACHINE_STATE_H
#define VZ_MACHINE_MACHINE_STATE_H

#include <vz/machine.h>

#include "base/compiler.h"

#define MACHINE_STATE_COUNT (VZ_STATE_RESTORING + 1)

enum machine_op_kind {
    MACHINE_OP_START,
    MACHINE_OP_PAUSE,
    MACHINE_OP_RESUME,
    MACHINE_OP_STOP,
    MACHINE_OP_SAVE,
    MACHINE_OP_RESTORE,
    MACHINE_OP_COUNT
};

/* Is there such a move at all? */
bool machine_state_move_ok(enum vz_machine_state from, enum vz_machine_state to);

/* May the operation begin in this state? Then *ret is the state while it is under way. */
bool machine_state_begin(enum vz_machine_state from, enum machine_op_kind op,
                         enum vz_machine_state *ret);

/* Where the operation leads when it succeeds, or fails. VZ_STATE_ERROR: the run ends. */
enum vz_machine_state machine_state_after(enum machine_op_kind op, bool ok);

/* Does a run that ends so leave the machine in error? */
static inline bool machine_end_is_error(enum vz_end_reason reason)
{
    return reason == VZ_END_ERROR || reason == VZ_END_FAULT;
}

const char *machine_op_name(enum machine_op_kind op);

#endif
