/* SPDX-License-Identifier: MIT */
/* snapshot: the machine stands still for a moment, in which its state goes into a file and its disks get layers, below which
 * they stay as they are; then it goes on. docs/machines.md says what is where. */
#include "control/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/freeze.h"
#include "bundle/snapshot.h"
#include "failure.h"

struct snapshot {
    struct control_call *call;
    struct bundle bundle; /* the process', with the lock for changes */
    char *tag;            /* NULL: for somebody who makes something else of it */
    char state[SNAPSHOT_NAME_MAX];
    json_t *frozen, *layered; /* configurations */
    bool was_running, has_state, done;
    struct vz_error err;
};

static void answer(struct snapshot *s)
{
    if (s->done)
        call_reply(s->call, json_pack("{s:s, s:O}", "state", s->state, "configuration", s->frozen));
    else
        call_fail(s->call, &s->err);
    if (!s->done && s->has_state)
        unlinkat(s->bundle.fd, s->state, 0);
    bundle_unlock(&s->bundle, BUNDLE_CHANGE);
    json_decref(s->frozen);
    json_decref(s->layered);
    free(s->tag);
    free(s);
}

static void on_resumed(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct snapshot *s = arg;

    if (err && s->done) {
        s->err = *err;
        s->done = false;
    }
    answer(s);
}

static void go_on(struct snapshot *s)
{
    if (!s->was_running || vz_machine_resume(call_machine(s->call), on_resumed, s) < 0)
        answer(s);
}

/* ---- At rest -------------------------------------------------------------------------------- */

/* The layers that came to nothing. */
static void drop_layers(struct snapshot *s)
{
    json_t *gone = json_pack("[O]", s->layered), *kept = json_pack("[O]", s->frozen);

    if (gone && kept)
        freeze_sweep(&s->bundle, gone, kept);
    json_decref(gone);
    json_decref(kept);
}

/* In this order whoever starts it after a crash finds what the guest had written: config.json changes before it goes
 * on, and what is written to the layers before the machine has them is nothing. */
static bool switch_disks(struct snapshot *s)
{
    struct vz_config *now = config_of_json(s->layered, &s->err), *was = config_of_json(s->frozen, &s->err);
    struct vz_machine *m = call_machine(s->call);
    struct vz_error ignored;
    bool ok = now && was && vz_machine_set_disks(m, now, &s->err) == 0;

    if (ok && bundle_set_config(&s->bundle, now, &s->err) < 0) {
        vz_machine_set_disks(m, was, &ignored);
        ok = false;
    }
    vz_config_unref(now);
    vz_config_unref(was);
    return ok;
}

static void on_saved(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct snapshot *s = arg;

    if (err)
        s->err = *err;
    else if (s->has_state = true, !switch_disks(s))
        drop_layers(s);
    else if (!s->tag || snapshot_add(&s->bundle, s->tag, s->state, s->frozen, &s->err) == 0)
        s->done = true;
    if (err)
        drop_layers(s);
    go_on(s);
}

static void on_paused(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct vz_save_options o = VZ_SAVE_OPTIONS_INIT;
    struct snapshot *s = arg;

    o.plain_memory = true;
    if (!err && vz_machine_save(machine, s->state, &o, on_saved, s) == 0)
        return;
    s->err = err ? *err : (struct vz_error){.code = VZ_ERROR_NO_MEMORY, .text = "out of memory"};
    drop_layers(s);
    if (err)
        answer(s);
    else
        go_on(s);
}

/* ---- Before it ------------------------------------------------------------------------------ */

/* What it runs with now: config.json may have been changed since. */
static bool prepare(struct snapshot *s)
{
    struct vz_machine *m = call_machine(s->call);
    struct vz_config *file;

    if (vz_config_validate_save_restore_support(vz_machine_config(m), &s->err) < 0 ||
        (s->tag && !snapshot_tag_check(&s->bundle, s->tag, &s->err)))
        return false;
    file = bundle_config(&s->bundle, &s->err);
    s->frozen = file ? config_json(file, &s->err) : NULL;
    vz_config_unref(file);
    s->layered = s->frozen ? freeze_layers(&s->bundle, s->frozen, &s->err) : NULL;
    snapshot_state_name(&s->bundle, s->state);
    return s->layered;
}

void method_snapshot(struct control_call *call, json_t *params)
{
    struct vz_machine *m = call_machine(call);
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct bundle bundle = *control_bundle(call_control(call));
    const char *tag = NULL;
    struct snapshot *s;

    if (!call_param_string(call, params, "tag", &tag))
        return;
    if (bundle_lock(&bundle, BUNDLE_CHANGE, &err) < 0) {
        call_fail(call, &err);
        return;
    }
    s = calloc(1, sizeof(*s));
    if (!s) {
        bundle_unlock(&bundle, BUNDLE_CHANGE);
        call_fail_text(call, VZ_ERROR_NO_MEMORY, "out of memory");
        return;
    }
    *s = (struct snapshot){.call = call, .bundle = bundle, .tag = tag ? strdup(tag) : NULL,
                           .was_running = vz_machine_get_state(m) != VZ_STATE_PAUSED};
    if (!prepare(s))
        answer(s);
    else if (!s->was_running)
        on_paused(s, m, NULL);
    else if (vz_machine_pause(m, on_paused, s) < 0)
        on_paused(s, m, &(struct vz_error){.code = VZ_ERROR_NO_MEMORY, .text = "out of memory"});
}
