/* SPDX-License-Identifier: MIT */
/* `vz fork MACHINE`: running copies of a machine that runs, or is saved. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/draft.h"
#include "bundle/freeze.h"
#include "bundle/identity.h"
#include "bundle/snapshot.h"
#include "command/machine_command.h"
#include "control/client.h"
#include "control/process.h"
#include "failure.h"

#define COUNT_MAX 1000u
#define TELL_MS   15000u /* for guests to become others */
#define STEP_MS   10
#define LOCK_MS   5000u

static const struct opt fork_options[] = {
    {"count", 0, OPT_ALWAYS, "N", "Options", "how many copies (default 1)", NULL, 1},
    {"name", 0, OPT_ALWAYS, "NAME", "Options", "what they are called; %d stands for their number",
     "Default: MACHINE-%d. With several copies and no %d, -%d is added.", 1},
    {"no-start", 0, OPT_NEVER, NULL, "Options", "only make them: 'vz start' has them go on", NULL, 0},
    {.name = NULL}};

struct fork {
    struct bundle *from;
    unsigned count;
    const char *pattern;
    char state[SNAPSHOT_NAME_MAX];
    bool is_ours;   /* the state: it goes when the copies have it */
    json_t *frozen; /* configuration */
    struct bundle *copy;
    unsigned made, published;
};

/* ---- What they are made from ---------------------------------------------------------------- */

/* Its process has the lock until it has answered, and maybe a moment longer; from then on nobody takes away what the copies are
 * made from. */
static bool lock_soon(struct bundle *b, struct vz_error *err)
{
    for (unsigned waited = 0; waited < LOCK_MS; waited += STEP_MS) {
        if (bundle_lock(b, BUNDLE_CHANGE, err) == 0)
            return true;
        poll(NULL, 0, STEP_MS);
    }
    return false;
}

/* A machine that runs makes it, and goes on. */
static bool freeze_running(struct fork *f, struct vz_error *err)
{
    json_t *result = client_ask(f->from, "snapshot", NULL, NULL, err);
    const char *state = json_string_value(json_object_get(result, "state"));

    if (state && strlen(state) < sizeof(f->state)) {
        strcpy(f->state, state);
        f->is_ours = true;
        f->frozen = json_incref(json_object_get(result, "configuration"));
    }
    json_decref(result);
    return f->frozen && lock_soon(f->from, err);
}

static const char *saved_file(const struct bundle *b)
{
    return bundle_has(b, BUNDLE_STATE) ? BUNDLE_STATE : bundle_has(b, BUNDLE_COPY) ? BUNDLE_COPY : NULL;
}

/* It stays saved, with layers on its disks. */
static bool freeze_saved(struct fork *f, struct vz_error *err)
{
    struct bundle *b = f->from;
    struct vz_config *config = NULL;
    json_t *layered = NULL;
    bool ok = false;

    if (bundle_lock(b, BUNDLE_RUN, err) < 0 || bundle_lock(b, BUNDLE_CHANGE, err) < 0)
        return false;
    if (!saved_file(b))
        return fail_false(err, VZ_ERROR_INVALID_STATE,
                          "%s: does not run, and is not saved, so there is nothing to go on from: 'vz start' it first, or 'vz "
                          "clone' it", b->name);
    strcpy(f->state, saved_file(b));
    config = bundle_config(b, err);
    f->frozen = config ? config_json(config, err) : NULL;
    vz_config_unref(config);
    layered = f->frozen ? freeze_layers(b, f->frozen, true, err) : NULL;
    config = layered ? config_of_json(layered, err) : NULL;
    if (config)
        ok = bundle_set_config(b, config, err) == 0;
    vz_config_unref(config);
    json_decref(layered);
    return ok;
}

/* Two guests with one MAC address on one network are one too many. */
static bool check_networks(const struct fork *f, struct vz_error *err)
{
    json_t *card;
    size_t i;

    json_array_foreach(json_object_get(f->frozen, "networkDevices"), i, card) {
        const char *type = json_string_value(json_object_get(json_object_get(card, "attachment"), "type"));

        if (type && strcmp(type, "nat"))
            return fail_false(err, VZ_ERROR_UNSUPPORTED,
                              "%s: networkDevices[%zu] is on a network that its copies would share, with one MAC address: only NAT "
                              "can be forked", f->from->name, i);
    }
    return true;
}

/* ---- Making them ---------------------------------------------------------------------------- */

static bool name_of(const struct fork *f, unsigned number, char ret[BUNDLE_NAME_MAX + 1], struct vz_error *err)
{
    const char *at = f->pattern ? strstr(f->pattern, "%d") : NULL;
    int n;

    if (!f->pattern)
        n = snprintf(ret, BUNDLE_NAME_MAX + 1, "%s-%u", f->from->name, number);
    else if (at)
        n = snprintf(ret, BUNDLE_NAME_MAX + 1, "%.*s%u%s", (int)(at - f->pattern), f->pattern, number, at + 2);
    else if (f->count > 1)
        n = snprintf(ret, BUNDLE_NAME_MAX + 1, "%s-%u", f->pattern, number);
    else
        n = snprintf(ret, BUNDLE_NAME_MAX + 1, "%s", f->pattern);
    return n <= BUNDLE_NAME_MAX || fail_false(err, VZ_ERROR_INVALID, "'%.60s...': a machine's name has 1 to %d characters",
                                              ret, BUNDLE_NAME_MAX);
}

static bool is_taken(const char *name)
{
    char *path = bundle_path_of(name, NULL);
    bool taken = path && access(path, F_OK) == 0;

    free(path);
    return taken;
}

/* The numbers that are free, from 1 on; a name without one is taken or not. */
static bool make_one(struct fork *f, unsigned *number, struct vz_error *err)
{
    struct bundle *to = &f->copy[f->made];
    char name[BUNDLE_NAME_MAX + 1];
    bool numbered = !f->pattern || strstr(f->pattern, "%d") || f->count > 1;

    do {
        if (!name_of(f, ++*number, name, err))
            return false;
    } while (numbered && is_taken(name));
    if (draft_begin(name, to, err) < 0)
        return false;
    f->made++;
    if (freeze_fill(f->from, f->frozen, to, err) < 0)
        return false;
    return linkat(f->from->fd, f->state, to->fd, BUNDLE_COPY, 0) == 0 || fail_errno(err, f->state) == 0;
}

static bool make_all(struct fork *f, struct vz_error *err)
{
    unsigned number = 0;

    for (unsigned i = 0; i < f->count; i++) {
        if (!make_one(f, &number, err))
            return false;
    }
    return draft_publish_all(f->copy, f->count, &f->published, err) == 0;
}

/* ---- Their guests --------------------------------------------------------------------------- */

/* Each one's process sees to it that its guest becomes another one; their kernels know already (generation ID). */
static void wait_identities(const struct fork *f)
{
    unsigned waits = TELL_MS / STEP_MS, left;

    if (!json_array_size(json_object_get(f->frozen, "socketDevices")))
        return; /* no agent can be reached */
    do {
        left = 0;
        for (unsigned i = 0; i < f->count; i++)
            left += bundle_is_running(&f->copy[i]) && identity_load(&f->copy[i], NULL);
        if (left)
            poll(NULL, 0, STEP_MS);
    } while (left && waits--);
    if (left)
        cli_error("%u of %u guests still have the name and keys of %s: no agent answers in them", left, f->count, f->from->name);
}

/* ---- All ------------------------------------------------------------------------------------ */

static bool start_all(struct fork *f)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};

    for (unsigned i = 0; i < f->count; i++) {
        if (process_start(&f->copy[i], &err) < 0) {
            cli_error("%s: %s", f->copy[i].name, err.text);
            return false;
        }
    }
    return true;
}

static bool fork_all(struct fork *f, struct vz_error *err)
{
    bool ok = bundle_is_running(f->from) ? freeze_running(f, err) : freeze_saved(f, err);

    ok = ok && check_networks(f, err);
    f->copy = ok ? calloc(f->count, sizeof(*f->copy)) : NULL;
    if (ok && !f->copy)
        ok = fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    ok = ok && make_all(f, err);
    if (f->is_ours)
        unlinkat(f->from->fd, f->state, 0);
    return ok;
}

static void release(struct fork *f)
{
    for (unsigned i = 0; i < f->made; i++) {
        if (i < f->published)
            bundle_close(&f->copy[i]);
        else
            draft_abandon(&f->copy[i]);
    }
    free(f->copy);
    json_decref(f->frozen);
}

static bool parse_count(const struct args *a, unsigned *ret)
{
    const char *text = args_value(a, "count");
    char *end;
    unsigned long n = text ? strtoul(text, &end, 10) : 1;

    if (text && (*text < '0' || *text > '9' || *end || !n || n > COUNT_MAX)) {
        cli_error("--count '%s': expected a number from 1 to %u", text, COUNT_MAX);
        return false;
    }
    *ret = (unsigned)n;
    return true;
}

static bool fork_machine(struct bundle *b, const struct args *a)
{
    struct fork f = {.from = b, .pattern = args_value(a, "name")};
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool ok, started;

    if (!parse_count(a, &f.count))
        return false;
    ok = fork_all(&f, &err);
    if (!ok)
        cli_error("%s", err.text);
    started = ok && !args_flag(a, "no-start");
    if (started)
        ok = start_all(&f);
    if (ok && started)
        wait_identities(&f);
    for (unsigned i = 0; ok && i < f.count; i++)
        puts(f.copy[i].name);
    release(&f);
    return ok && cli_finish_output() == EXIT_OK;
}

static int fork_main(int argc, char **argv)
{
    return machine_one(&fork_command, argc, argv, 1, 1, fork_machine);
}

const struct command fork_command = {
    "fork", fork_main, NULL, fork_options, "make running copies of a machine that runs, or is saved", NULL, "MACHINE",
    "Each is a machine of its own from then on, which goes on from the same moment: memory is shared until it is written, so are "
    "disks (by layers). A running machine stands still while its state is written, and goes on. The copies' guests are told that "
    "they are others: by a generation ID, which Linux' random numbers heed, and by their agent, which changes host name, "
    "machine-id, ssh's host keys and clock. Their names are printed. Only cards behind NAT can be copied so."};
