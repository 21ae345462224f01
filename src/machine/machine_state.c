/* SPDX-License-Identifier: MIT */
#include "machine/machine_state.h"

static const char *const names[MACHINE_STATE_COUNT] = {
    [VZ_STATE_STOPPED] = "stopped",   [VZ_STATE_RUNNING] = "running",
    [VZ_STATE_PAUSED] = "paused",     [VZ_STATE_ERROR] = "error",
    [VZ_STATE_STARTING] = "starting", [VZ_STATE_PAUSING] = "pausing",
    [VZ_STATE_RESUMING] = "resuming", [VZ_STATE_STOPPING] = "stopping",
    [VZ_STATE_SAVING] = "saving",     [VZ_STATE_RESTORING] = "restoring",
};

#define TO(state) BIT(VZ_STATE_##state)

/* The moves by where they begin. A guest that ends moves to stopped or error from wherever it ran. */
static const uint64_t moves[MACHINE_STATE_COUNT] = {
    [VZ_STATE_STOPPED] = TO(STARTING) | TO(RESTORING),
    [VZ_STATE_RUNNING] = TO(PAUSING) | TO(STOPPING) | TO(STOPPED) | TO(ERROR),
    [VZ_STATE_PAUSED] = TO(RESUMING) | TO(STOPPING) | TO(SAVING) | TO(ERROR),
    [VZ_STATE_ERROR] = TO(STARTING),
    [VZ_STATE_STARTING] = TO(RUNNING) | TO(ERROR),
    [VZ_STATE_PAUSING] = TO(PAUSED) | TO(RUNNING) | TO(STOPPED) | TO(ERROR),
    [VZ_STATE_RESUMING] = TO(RUNNING) | TO(STOPPED) | TO(ERROR),
    [VZ_STATE_STOPPING] = TO(STOPPED) | TO(ERROR),
    [VZ_STATE_SAVING] = TO(PAUSED) | TO(STOPPED) | TO(ERROR),
    [VZ_STATE_RESTORING] = TO(PAUSED) | TO(STOPPED) | TO(ERROR),
};

/* The operations: from where, through which state, to which one, and to which when they fail. */
static const struct {
    const char *name;
    uint64_t from;
    enum vz_machine_state through, to, failed;
} ops[MACHINE_OP_COUNT] = {
    [MACHINE_OP_START] = {"start", TO(STOPPED) | TO(ERROR), VZ_STATE_STARTING, VZ_STATE_RUNNING,
                          VZ_STATE_ERROR},
    [MACHINE_OP_PAUSE] = {"pause", TO(RUNNING), VZ_STATE_PAUSING, VZ_STATE_PAUSED,
                          VZ_STATE_RUNNING},
    [MACHINE_OP_RESUME] = {"resume", TO(PAUSED), VZ_STATE_RESUMING, VZ_STATE_RUNNING,
                           VZ_STATE_ERROR},
    [MACHINE_OP_STOP] = {"stop", TO(RUNNING) | TO(PAUSED), VZ_STATE_STOPPING, VZ_STATE_STOPPED,
                         VZ_STATE_ERROR},
    [MACHINE_OP_SAVE] = {"save", TO(PAUSED), VZ_STATE_SAVING, VZ_STATE_PAUSED, VZ_STATE_PAUSED},
    [MACHINE_OP_RESTORE] = {"restore", TO(STOPPED), VZ_STATE_RESTORING, VZ_STATE_PAUSED,
                            VZ_STATE_STOPPED},
};

const char *vz_machine_state_name(enum vz_machine_state state)
{
    return (unsigned)state < MACHINE_STATE_COUNT ? names[state] : "unknown";
}

const char *machine_op_name(enum machine_op_kind op)
{
    return ops[op].name;
}

bool machine_state_move_ok(enum vz_machine_state from, enum vz_machine_state to)
{
    return moves[from] & BIT(to);
}

bool machine_state_begin(enum vz_machine_state from, enum machine_op_kind op,
                         enum vz_machine_state *ret)
{
    if (!(ops[op].from & BIT(from)))
        return false;
    *ret = ops[op].through;
    return true;
}

enum vz_machine_state machine_state_after(enum machine_op_kind op, bool ok)
{
    return ok ? ops[op].to : ops[op].failed;
}
