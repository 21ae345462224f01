/* SPDX-License-Identifier: MIT */
/* `vz run --from MACHINE --ephemeral -- CMD` from a warm state. The first one starts the machine with layers that are
 * kept, waits until its guest's start is done, saves it and turns it off; then it goes on as all later ones do: from
 * the state, mapped, with throw-away layers on those that were kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/warm.h"
#include "cli.h"
#include "failure.h"
#include "guest/remote.h"
#include "guest/run_program.h"

/* Of those that say nothing of the machine. */
static bool is_harmless(const struct given *g)
{
    static const char *const names[] = {"from", "ephemeral", "timeout", "stop", "escape", "stats", "env", "user", "cwd", "share", "stdin",
                                        "no-stdin"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (!strcmp(g->opt->name, names[i]))
            return true;
    }
    return false;
}

bool run_warm_suits(const struct run_options *o)
{
    for (const struct given *g = o->given; g->opt; g++) {
        if (!is_harmless(g))
            return false;
    }
    return o->has_bundle && o->has_program && run_options_flag(o, "ephemeral");
}

/* The start, to its end. false with err. */
static bool wait_started(struct vz_machine *machine, struct vz_error *err)
{
    struct vz_agent *agent = run_program_link(machine, err);
    bool ok = agent && (!vz_agent_has(agent, "booted") || vz_agent_wait_booted(agent, 0, err) == 0) &&
              vz_agent_sync(agent, err) == 0;

    vz_agent_free(agent);
    return ok;
}

static bool save(struct vz_machine *machine, const char *path, struct vz_error *err)
{
    struct vz_save_options o = VZ_SAVE_OPTIONS_INIT;

    o.plain_memory = true;
    return vz_machine_pause_wait(machine, err) == 0 && vz_machine_save_wait(machine, path, &o, err) == 0;
}

/* The same, with an empty folder in place of each directory that a run brings. A reference, or NULL and err. */
static struct vz_config *with_nothing_shared(const struct vz_config *config, const char *empty, struct vz_error *err)
{
    json_t *json = config_json(config, err), *device;
    struct vz_config *ret;
    size_t i;

    json_array_foreach(json_object_get(json, "directorySharingDevices"), i, device) {
        json_t *share = json_object_get(device, "share");

        if (warm_share_is_brought(share))
            json_object_set_new(share, "path", json_string(empty));
    }
    ret = json ? config_of_json(json, err) : NULL;
    json_decref(json);
    return ret;
}

/* false with err, unless it was to end meanwhile. */
static bool start_and_save(const struct run_options *o, const struct warm *w, struct vz_error *err)
{
    static const struct run_saved none;
    struct vz_machine_options options = VZ_MACHINE_OPTIONS_INIT;
    struct sandbox_folders folders;
    bool known = run_sandbox(NULL, NULL, w->state, &folders, &options);
    char empty[] = "/tmp/vz-nothing.XXXXXX";
    bool has_folder = mkdtemp(empty) || fail_errno(err, "/tmp") == 0;
    struct vz_config *config = has_folder ? with_nothing_shared(w->config, empty, err) : NULL;
    struct vz_machine *machine = known && config ? vz_machine_new(config, &options, err) : NULL;
    bool ok = machine && vz_machine_start_wait(machine, err) == 0 && ending_start(machine, &o->life, &none);

    ok = ok && wait_started(machine, err) && save(machine, w->state, err);
    ending_stop();
    vz_machine_free(machine);
    vz_config_unref(config);
    if (has_folder)
        rmdir(empty);
    return ok;
}

/* As it is without one. */
static bool be_cold(struct run_options *o)
{
    struct vz_error err = {.text = "out of memory"};

    if (vz_config_add(o->config, "ephemeral", NULL, &err) == 0)
        return true;
    cli_error("--ephemeral: %s", err.text);
    return false;
}

/* A guest that mounts a directory by itself while it starts has seen the empty one, which it would believe for a day. */
static bool is_believed(const struct vz_config *config)
{
    json_t *json = config_json(config, NULL), *device;
    bool is = !json;
    size_t i;

    json_array_foreach(json_object_get(json, "directorySharingDevices"), i, device) {
        const char *caching = json_string_value(json_object_get(device, "caching"));

        is = is || (caching && !strcmp(caching, "always") && warm_share_is_brought(json_object_get(device, "share")));
    }
    json_decref(json);
    return is;
}

/* What is w's becomes o's. */
static bool use(struct run_options *o, struct warm *w)
{
    o->cold = o->config;
    o->config = w->config;
    o->warm = w->state;
    o->saved.restore = o->warm;
    o->saved.copy = true;
    w->config = NULL;
    w->state = NULL;
    warm_free(w);
    return be_cold(o);
}

static void give_up(struct run_options *o, struct warm *w, const struct vz_error *err)
{
    warm_remove(&o->bundle, w);
    if (!ending_came() && err->code)
        cli_error("%s: no warm state is kept: %s", o->bundle.name, err->text);
}

bool run_warm_prepare(struct run_options *o, int *ret_status)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool done = false;
    struct warm w;

    *ret_status = EXIT_OURS;
    if (is_believed(o->config))
        return be_cold(o);
    if (warm_find(&o->bundle, o->config, &w))
        return use(o, &w);
    if (vz_config_validate_save_restore_support(o->config, NULL) < 0)
        return be_cold(o);
    if (warm_begin(&o->bundle, o->config, &w, &err) == 0) {
        if (isatty(STDERR_FILENO))
            cli_error("%s: starting it once; later runs go on from there", o->bundle.name);
        if (start_and_save(o, &w, &err) && warm_finish(&o->bundle, &w, &err) == 0) {
            if (!ending_came() && !ending_timed_out())
                return use(o, &w);
            done = true; /* it came when the state was as good as there: that stays, for the next one */
        }
    }
    if (!done)
        give_up(o, &w, &err);
    warm_free(&w);
    if (ending_timed_out())
        *ret_status = EXIT_TIMEOUT;
    return !ending_came() && !ending_timed_out() && be_cold(o);
}

bool run_warm_forget(struct run_options *o)
{
    if (access(o->warm, F_OK) == 0)
        warm_spoil(&o->bundle); /* else it is gone already, and others may be good */
    vz_config_unref(o->config);
    o->config = o->cold;
    o->cold = NULL;
    o->saved.restore = NULL;
    return be_cold(o);
}
