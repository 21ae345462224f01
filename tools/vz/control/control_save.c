/* SPDX-License-Identifier: MIT */
/* save: the machine goes into a file of its folder, and off. It never runs again in between, so what is
 * in the file fits what is on its disks. Also when the host asks its process to end. */
#include "control/control.h"

#include <stdlib.h>
#include <string.h>

#include <vz/saved_state.h>

#include "bundle/bundle.h"

struct saving {
    vz_machine_done_fn *done; /* once: it is off, or runs on */
    void *arg;
    struct control *control;
    struct vz_save_options options;
    char *passphrase;
    bool was_running;
};

static void forget(struct saving *s)
{
    if (s->passphrase)
        explicit_bzero(s->passphrase, strlen(s->passphrase));
    free(s->passphrase);
    free(s);
}

static void fail_saving(struct saving *s, struct vz_machine *machine, const struct vz_error *err)
{
    s->done(s->arg, machine, err);
    forget(s);
}

static const struct vz_error no_memory = {.code = VZ_ERROR_NO_MEMORY, .text = "out of memory"};

static void on_progress(void *control, struct vz_machine *machine, uint64_t done, uint64_t total)
{
    control_tell(control, "progress", json_pack("{s:s, s:I, s:I}", "of", "save", "done", (json_int_t)done, "total",
                                                (json_int_t)total));
}

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
        forget(s);
}

static void on_paused(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct saving *s = arg;

    if (!err && vz_machine_save(machine, BUNDLE_STATE, &s->options, on_saved, s) == 0)
        return;
    fail_saving(s, machine, err ? err : &no_memory);
}

void control_save(struct control *c, const struct control_saving *how, vz_machine_done_fn *done, void *arg)
{
    struct vz_machine *m = control_machine(c);
    struct saving *s = malloc(sizeof(*s));
    char *passphrase = how->passphrase ? strdup(how->passphrase) : NULL;

    if (!s || (how->passphrase && !passphrase)) {
        done(arg, m, &no_memory);
        free(passphrase);
        free(s);
        return;
    }
    *s = (struct saving){done, arg, c, VZ_SAVE_OPTIONS_INIT, passphrase, vz_machine_get_state(m) != VZ_STATE_PAUSED};
    s->options.progress = on_progress;
    s->options.progress_arg = c;
    s->options.passphrase = passphrase;
    s->options.compress = how->compress;
    s->options.plain_memory = !how->compress && !how->seal && !passphrase;
    if (!s->was_running)
        on_paused(s, m, NULL);
    else if (vz_machine_pause(m, on_paused, s) < 0)
        fail_saving(s, m, &no_memory);
}

void method_save(struct control_call *call, json_t *params)
{
    struct control_saving how = {.passphrase = NULL};

    if (call_param_bool(call, params, "seal", &how.seal) && call_param_bool(call, params, "compress", &how.compress) &&
        call_param_string(call, params, "passphrase", &how.passphrase))
        control_save(call_control(call), &how, call_done, call);
}
