/* SPDX-License-Identifier: MIT */
/* stop, pause, resume. */
#include "control/control.h"

#include <vz/machine.h>

static void no_memory(struct control_call *call)
{
    call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* Without "now": the guest's power button. That it is off then is an event, and the end of the
 * connection. */
void method_stop(struct control_call *call, json_t *params)
{
    struct vz_machine *m = call_machine(call);
    struct vz_error err;
    bool now = false;

    if (!call_param_bool(call, params, "now", &now))
        return;
    if (now && vz_machine_stop(m, call_done, call) < 0)
        no_memory(call);
    if (now)
        return;
    if (vz_machine_get_state(m) == VZ_STATE_PAUSED)
        call_fail_text(call, VZ_ERROR_INVALID_STATE,
                       "the machine is paused, and its guest hears nothing; resume it first");
    else if (vz_machine_get_state(m) == VZ_STATE_RUNNING && !vz_machine_hears_request_stop(m))
        call_fail_text(call, VZ_ERROR_INVALID_STATE, "the guest does not listen to its power button "
                                                     "(yet)");
    else if (vz_machine_request_stop(m, &err) < 0)
        call_fail(call, &err);
    else
        call_reply(call, NULL);
}

void method_pause(struct control_call *call, json_t *params)
{
    if (vz_machine_pause(call_machine(call), call_done, call) < 0)
        no_memory(call);
}

void method_resume(struct control_call *call, json_t *params)
{
    if (vz_machine_resume(call_machine(call), call_done, call) < 0)
        no_memory(call);
}
