/* SPDX-License-Identifier: MIT */
/* snapshot: the machine stands still for a moment, in which its state goes into a file and its disks get layers, below which
 * they stay as they are; then it goes on. docs/machines.md says what is where. */
#include "control/control.h"

#include <fcntl.h>
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
    json_t *frozen;         /* the configuration that it runs with */
    struct vz_config *now;  /* with layers, since config.json says so */
    json_t *named, *layered; /* that of config.json, which may have been changed since: now, and with layers */
    bool was_running, goes_on, is_written;
    struct vz_error err; /* the first */
};

static void note(struct snapshot *s, const struct vz_error *err)
{
    if (err && !s->err.code)
        s->err = *err;
}

/* Who hears of it may change the machine at once. */
static void answer(struct snapshot *s)
{
    if (s->err.code && s->state[0])
        unlinkat(s->bundle.fd, s->state, 0);
    control_end_change(call_control(s->call));
    if (!s->err.code)
        call_reply(s->call, json_pack("{s:s, s:O}", "state", s->state, "configuration", s->frozen));
    else
        call_fail(s->call, &s->err);
    json_decref(s->frozen);
    json_decref(s->named);
    json_decref(s->layered);
    vz_config_unref(s->now);
    free(s->tag);
    free(s);
}

/* It goes on, and the state is written, in whatever order. Only then is it a snapshot. */
static void look(struct snapshot *s)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};

    if (!s->goes_on || !s->is_written)
        return;
    if (!s->err.code && s->tag && snapshot_add(&s->bundle, s->tag, s->state, s->frozen, &err) < 0)
        note(s, &err);
    answer(s);
}

static void on_resumed(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct snapshot *s = arg;

    note(s, err);
    s->goes_on = true;
    look(s);
}

static void on_written(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct snapshot *s = arg;

    note(s, err);
    s->is_written = true;
    look(s);
}

static const struct vz_error no_memory = {.code = VZ_ERROR_NO_MEMORY, .text = "out of memory"};

static void go_on(struct snapshot *s)
{
    if (!s->was_running)
        on_resumed(s, NULL, NULL);
    else if (vz_machine_resume(call_machine(s->call), on_resumed, s) < 0)
        on_resumed(s, NULL, &no_memory);
}

/* ---- At rest -------------------------------------------------------------------------------- */

/* As it was before, if it can be. */
static void name_disks(struct snapshot *s)
{
    struct vz_error ignored;
    struct vz_config *was = config_of_json(s->named, &ignored);

    if (was)
        (void)!bundle_set_config(&s->bundle, was, &ignored);
    vz_config_unref(was);
}

/* The layers that came to nothing; but what config.json names stays, whatever became of the attempt to change it. */
static void drop_layers(struct snapshot *s)
{
    struct vz_error ignored;
    json_t *named, *gone, *kept;

    if (s->now)
        name_disks(s);
    named = bundle_config_as_is(&s->bundle, &ignored);
    gone = json_pack("[O]", s->layered);
    kept = json_pack("[O,O]", s->named, named);
    if (gone && kept)
        freeze_sweep(&s->bundle, gone, kept);
    json_decref(named);
    json_decref(gone);
    json_decref(kept);
}

static void on_saved(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct snapshot *s = arg;

    s->is_written = s->is_written || err; /* there will be no more of it */
    note(s, err);
    if (err || vz_machine_set_disks(machine, s->now, &s->err) < 0)
        drop_layers(s);
    go_on(s);
}

static void on_paused(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    struct vz_save_options o = VZ_SAVE_OPTIONS_INIT;
    struct snapshot *s = arg;

    o.plain_memory = o.background = true;
    o.unsynced = !s->tag; /* copies are made of it now or never */
    o.written = on_written;
    o.written_arg = s;
    if (!err && vz_machine_save(machine, s->state, &o, on_saved, s) == 0)
        return;
    note(s, err ? err : &no_memory);
    drop_layers(s);
    s->is_written = true;
    s->was_running = s->was_running && !err; /* it still runs */
    go_on(s);
}

/* ---- Before it ------------------------------------------------------------------------------ */

static const char *path_of(json_t *config, size_t device)
{
    json_t *d = json_array_get(json_object_get(config, "storageDevices"), device);

    return json_string_value(json_object_get(json_object_get(d, "attachment"), "path"));
}

/* Layers go on what config.json names, and below the guest's disks: that must be the same. */
static bool same_disks(struct snapshot *s)
{
    size_t count = json_array_size(json_object_get(s->frozen, "storageDevices"));
    bool same = json_array_size(json_object_get(s->named, "storageDevices")) == count;

    for (size_t i = 0; same && i < count; i++) {
        const char *runs = path_of(s->frozen, i), *named = path_of(s->named, i);

        same = runs && named ? !strcmp(runs, named) : !runs && !named;
    }
    return same || fail_false(&s->err, VZ_ERROR_INVALID_STATE,
                              "%s: its disks have been changed since it was started, which it has from its next start on: stop "
                              "and start it first", s->bundle.name);
}

/* What is booted from goes by its disk's name, also where that has got a layer since the start. */
static void name_boot_disk(struct snapshot *s)
{
    json_t *disk = json_object_get(json_object_get(s->named, "bootLoader"), "disk");
    json_t *loader = json_object_get(s->frozen, "bootLoader");

    if (disk && json_object_get(loader, "disk"))
        json_object_set(loader, "disk", disk);
}

/* config.json changes first, and while the machine still runs: that takes the disk a moment. A layer that nobody has written
 * reads as what is below it, so whoever starts the machine from there after a crash, or when its disks could not be exchanged
 * and config.json not changed back, has all that the guest wrote. The other way round the guest could be left to write a layer
 * that nothing names. */
static bool name_layers(struct snapshot *s)
{
    s->now = config_of_json(s->layered, &s->err);
    if (!s->now || bundle_set_config(&s->bundle, s->now, &s->err) < 0)
        return false;
    freeze_named(&s->bundle, s->layered);
    return true;
}

/* What the guest has written so far is put on stable storage while it runs, so that little is left for when it stands still. */
static void sync_disk(void *arg, unsigned device, const char *path)
{
    const struct snapshot *s = arg;
    int fd = openat(s->bundle.fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd >= 0) {
        (void)!fdatasync(fd); /* what fails is told by the flush that follows */
        close(fd);
    }
}

static bool prepare(struct snapshot *s)
{
    struct vz_machine *m = call_machine(s->call);

    if (vz_config_validate_save_restore_support(vz_machine_config(m), &s->err) < 0 ||
        (s->tag && !snapshot_tag_check(&s->bundle, s->tag, &s->err)))
        return false;
    snapshot_sweep_layers(&s->bundle);
    s->named = bundle_config_as_is(&s->bundle, &s->err);
    s->frozen = s->named ? config_json(vz_machine_config(m), &s->err) : NULL;
    name_boot_disk(s);
    s->layered = s->frozen && same_disks(s) ? freeze_layers(&s->bundle, s->named, false, &s->err) : NULL;
    if (!s->layered)
        return false;
    snapshot_state_name(&s->bundle, s->state);
    if (!name_layers(s)) {
        drop_layers(s);
        return false;
    }
    if (s->was_running)
        freeze_each(s->named, sync_disk, s);
    return true;
}

void method_snapshot(struct control_call *call, json_t *params)
{
    struct vz_machine *m = call_machine(call);
    struct vz_error err = {.code = VZ_ERROR_NONE};
    const char *tag = NULL;
    struct snapshot *s;

    if (!call_param_string(call, params, "tag", &tag))
        return;
    if (!control_begin_change(call_control(call), &err)) {
        call_fail(call, &err);
        return;
    }
    s = calloc(1, sizeof(*s));
    if (!s) {
        control_end_change(call_control(call));
        call_fail(call, &no_memory);
        return;
    }
    *s = (struct snapshot){.call = call, .bundle = *control_bundle(call_control(call)),
                           .tag = tag ? strdup(tag) : NULL,
                           .was_running = vz_machine_get_state(m) != VZ_STATE_PAUSED};
    if (!prepare(s))
        answer(s);
    else if (!s->was_running)
        on_paused(s, m, NULL);
    else if (vz_machine_pause(m, on_paused, s) < 0)
        on_paused(s, m, &no_memory);
}
