/* SPDX-License-Identifier: MIT */
/* save: the machine goes into a file of its folder, and off. It never runs again in between, so what is
 * in the file fits what is on its disks. */
#include "control/control.h"

#include <stdlib.h>

#include <vz/saved_state.h>

#include "bundle/bundle.h"

struct saving {
    struct control_call *call;
    struct vz_save_options options;
    bool was_running;
};

static void fail_saving(struct saving *s, const struct vz_error *err)
{
    call_fail(s->call, err);
    free(s);
}

static const struct vz_error no_memory = {.code = VZ_ERROR_NO_MEMORY, .text = "out of memory"};

static void on_saved(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct saving *s = arg;

    if (err && s->was_running)
        (void)vz_machine_resume(machine, NULL, NULL);
    if (err)
        fail_saving(s, err);
    else if (vz_machine_stop(machine, call_done, s->call) < 0)
        fail_saving(s, &no_memory);
    else
        free(s);
}

static void on_paused(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct saving *s = arg;

    if (!err && vz_machine_save(machine, BUNDLE_STATE, &s->options, on_saved, s) == 0)
        return;
    fail_saving(s, err ? err : &no_memory);
}

void method_save(struct control_call *call, json_t *params)
{
    struct vz_machine *m = call_machine(call);
    struct saving *s;
    bool compress = false;

    if (!call_param_bool(call, params, "compress", &compress))
        return;
    s = malloc(sizeof(*s));
    if (!s) {
        call_fail(call, &no_memory);
        return;
    }
    *s = (struct saving){call, VZ_SAVE_OPTIONS_INIT, vz_machine_get_state(m) != VZ_STATE_PAUSED};
    s->options.compress = compress;
    if (!s->was_running)
        on_paused(s, m, NULL);
    else if (vz_machine_pause(m, on_paused, s) < 0)
        fail_saving(s, &no_memory);
}
