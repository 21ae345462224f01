/* SPDX-License-Identifier: MIT */
/* save: the machine goes into a file of its folder, and off. It never runs again in between, so what is
 * in the file fits what is on its disks. Also when the host asks its process to end. */
#include "control/control.h"

#include <stdlib.h>

#include <vz/saved_state.h>

#include "bundle/bundle.h"

struct saving {
    vz_machine_done_fn *done; /* once: it is off, or runs on */
    void *arg;
    struct vz_save_options options;
    bool was_running;
};

static void fail_saving(struct saving *s, struct vz_machine *machine, const struct vz_error *err)
{
    s->done(s->arg, machine, err);
    free(s);
}

static const struct vz_error no_memory = {.code = VZ_ERROR_NO_MEMORY, .text = "out of memory"};

static void on_saved(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct saving *s = arg;

    if (err && s->was_running)
        (void)vz_machine_resume(machine, NULL, NULL);
    if (err)
        fail_saving(s, machine, err);
    else if (vz_machine_stop(machine, s->done, s->arg) < 0)
        fail_saving(s, machine, &no_memory);
    else
        free(s);
}

static void on_paused(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct saving *s = arg;

    if (!err && vz_machine_save(machine, BUNDLE_STATE, &s->options, on_saved, s) == 0)
        return;
    fail_saving(s, machine, err ? err : &no_memory);
}

void control_save(struct vz_machine *m, bool seal, bool compress, vz_machine_done_fn *done, void *arg)
{
    struct saving *s = malloc(sizeof(*s));

    if (!s) {
        done(arg, m, &no_memory);
        return;
    }
    *s = (struct saving){done, arg, VZ_SAVE_OPTIONS_INIT, vz_machine_get_state(m) != VZ_STATE_PAUSED};
    s->options.compress = compress;
    s->options.plain_memory = !compress && !seal;
    if (!s->was_running)
        on_paused(s, m, NULL);
    else if (vz_machine_pause(m, on_paused, s) < 0)
        fail_saving(s, m, &no_memory);
}

void method_save(struct control_call *call, json_t *params)
{
    bool compress = false, seal = false;

    if (call_param_bool(call, params, "seal", &seal) && call_param_bool(call, params, "compress", &compress))
        control_save(call_machine(call), seal, compress, call_done, call);
}
