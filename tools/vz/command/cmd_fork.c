/* SPDX-License-Identifier: MIT */
/* `vz fork MACHINE`: running copies of a machine that runs, or is saved. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/draft.h"
#include "bundle/flatten.h"
#include "bundle/freeze.h"
#include "bundle/identity.h"
#include "bundle/saved_file.h"
#include "bundle/settle.h"
#include "bundle/snapshot.h"
#include "command/machine_command.h"
#include "control/client.h"
#include "control/process.h"
#include "failure.h"
#include "guest/agent_link.h"
#include "now_ms.h"

#define COUNT_MAX 1000u
#define AT_ONCE   32u    /* processes that start at the same time */
#define TELL_MS   15000  /* for all guests to become others */
#define LOCK_MS   5000

static const struct opt fork_options[] = {
    {"count", 0, OPT_ALWAYS, "N", "Options", "how many copies (default 1)", NULL, 1},
    {"name", 0, OPT_ALWAYS, "NAME", "Options", "what they are called; %d stands for their number",
     "Default: MACHINE-%d. With several copies and no %d, -%d is added.", 1},
    {"wait", 0, OPT_NEVER, NULL, "Options", "return when their guests have names and keys of their own, not as soon as they run",
     "Commands that go into one (exec, shell, cp, ssh) wait for that anyway.", 0},
    {"json", 'j', OPT_NEVER, NULL, "Options", "print their names for programs: an array", NULL, 0},
    {"no-start", 0, OPT_NEVER, NULL, "Options", "only make them: 'vz start' has them go on", NULL, 0},
    {.name = NULL}};

struct fork {
    struct bundle *from;
    unsigned count;
    const char *pattern;
    char state[SNAPSHOT_NAME_MAX];
    bool is_ours;   /* the state: it goes when the copies have it */
    bool starts;    /* they are */
    json_t *frozen; /* configuration */
    struct bundle *copy;
    unsigned made, published;
};

/* ---- What they are made from ---------------------------------------------------------------- */

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
    /* Its process has the lock until it has answered, and maybe a moment longer; from then on nobody takes away what the
     * copies are made from. Who had the lock in between may have swept what no snapshot names. */
    return f->frozen && bundle_lock_soon(f->from, BUNDLE_CHANGE, LOCK_MS, err) == 0 &&
           (bundle_has(f->from, f->state) ||
            fail_false(err, VZ_ERROR_INVALID_STATE, "%s: somebody else changed it at this moment; try again", f->from->name));
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
    snapshot_sweep_layers(b);
    f->frozen = bundle_config_as_is(b, err);
    if (f->frozen && freeze_below(b, f->frozen))
        return true; /* it has not run since it was forked last: its disks would grow a layer each time */
    layered = f->frozen ? freeze_layers(b, f->frozen, true, err) : NULL;
    config = layered ? config_of_json(layered, err) : NULL;
    if (config)
        ok = bundle_set_config(b, config, err) == 0;
    if (ok)
        freeze_named(b, layered);
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

/* A port of the host leads to one guest: to that of the machine which they are made from. */
static void leave_forwards(const struct fork *f)
{
    json_t *card, *attachment;
    bool had = false;
    size_t i;

    json_array_foreach(json_object_get(f->frozen, "networkDevices"), i, card) {
        attachment = json_object_get(card, "attachment");
        had = had || json_array_size(json_object_get(attachment, "forwards"));
        json_object_del(attachment, "forwards");
    }
    if (had)
        cli_error("the forwards of %s stay with it; 'vz forward' gives a copy ports of its own", f->from->name);
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

static bool link_state(const struct fork *f, const struct bundle *to, struct vz_error *err)
{
    return linkat(f->from->fd, f->state, to->fd, BUNDLE_COPY, 0) == 0 || fail_errno(err, f->state) == 0;
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
    if ((f->made ? draft_begin_another : draft_begin)(name, to, err) < 0)
        return false;
    f->made++;
    return freeze_fill(f->from, f->frozen, to, err) == 0 && link_state(f, to, err);
}

/* That of a fork is not on stable storage, and settle_now() takes what has other names for old. */
static bool sync_state(const struct bundle *to, struct vz_error *err)
{
    int fd = openat(to->fd, BUNDLE_COPY, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 ? fsync(fd) == 0 : errno == ENOENT; /* it got as far as that */

    if (!ok)
        fail_errno(err, BUNDLE_COPY);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* It is saved then, as with --no-start. */
static void did_not_start(const struct fork *f, unsigned i, const struct vz_error *why)
{
    struct vz_error err;

    if (why)
        cli_error("%s: %s", f->copy[i].name, why->text);
    if (!sync_state(&f->copy[i], &err) || settle_now(&f->copy[i], &err) < 0)
        cli_error("%s: %s", f->copy[i].name, err.text);
}

static bool make_all(struct fork *f, struct vz_error *err)
{
    unsigned number = 0;

    for (unsigned i = 0; i < f->count; i++) {
        if (!make_one(f, &number, err))
            return false;
    }
    if (draft_publish_all(f->copy, f->count, f->starts, &f->published, err) == 0)
        return true;
    for (unsigned i = 0; i < f->published; i++) /* those are there */
        did_not_start(f, i, NULL);
    return false;
}

/* ---- Their guests --------------------------------------------------------------------------- */

/* Each one's process sees to it that its guest becomes another one; their kernels know already (generation ID). */
static void wait_identities(const struct fork *f)
{
    uint64_t end = now_ms() + TELL_MS, now;
    unsigned left = 0;

    if (!json_array_size(json_object_get(f->frozen, "socketDevices")))
        return; /* no agent can be reached */
    for (unsigned i = 0; i < f->count; i++) {
        now = now_ms();
        agent_link_settle(&f->copy[i], now < end ? (int)(end - now) : 0);
        left += bundle_is_running(&f->copy[i]) && identity_load(&f->copy[i], NULL);
    }
    if (left)
        cli_error("%u of %u guests still have the name and keys of %s: no agent answers in them", left, f->count, f->from->name);
}

/* ---- All ------------------------------------------------------------------------------------ */

/* Some of them at the same time; returns how many began. */
static unsigned begin_some(struct fork *f, unsigned first, const struct process_manner *how, struct process_starting *s)
{
    struct vz_error err;
    unsigned n = 0;

    while (n < AT_ONCE && first + n < f->count) {
        if (process_begin(&f->copy[first + n], how, &s[n], &err) < 0) {
            cli_error("%s: %s", f->copy[first + n].name, err.text);
            break;
        }
        n++;
    }
    return n;
}

/* None begins any more when one could not. */
static bool start_from(struct fork *f, const struct process_manner *how)
{
    struct process_starting s[AT_ONCE];
    struct vz_error err;
    bool ok = true;
    unsigned at = 0;

    while (ok && at < f->count) {
        unsigned began = begin_some(f, at, how, s);

        ok = began == AT_ONCE || at + began == f->count;
        for (unsigned i = 0; i < began; i++, at++) {
            if (process_wait_started(&s[i], &err) < 0) {
                did_not_start(f, at, &err);
                ok = false;
            }
        }
    }
    for (; at < f->count; at++)
        did_not_start(f, at, NULL);
    return ok;
}

/* Guests become others, which takes a processor longer than a start, when all have started: the other end of turn closes. */
static bool start_all(struct fork *f)
{
    int turn[2];
    bool ok;

    if (pipe2(turn, O_CLOEXEC) < 0)
        turn[0] = turn[1] = 0; /* then each at once */
    ok = start_from(f, &(struct process_manner){.after_fd = turn[0]});
    for (unsigned i = 0; i < 2; i++) {
        if (turn[i] > 0)
            close(turn[i]);
    }
    return ok;
}

static bool fork_all(struct fork *f, struct vz_error *err)
{
    bool ok = bundle_is_running(f->from) ? freeze_running(f, err) : freeze_saved(f, err);

    ok = ok && check_networks(f, err);
    if (ok)
        leave_forwards(f);
    f->copy = ok ? calloc(f->count, sizeof(*f->copy)) : NULL;
    if (ok && !f->copy)
        ok = fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    return ok && make_all(f, err);
}

/* The copies have it. */
static void drop_state(struct fork *f)
{
    if (f->is_ours)
        unlinkat(f->from->fd, f->state, 0);
    f->is_ours = false;
}

static void release(struct fork *f)
{
    drop_state(f);
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

static bool print_names(const struct fork *f, bool json)
{
    json_t *names = json ? json_array() : NULL;

    for (unsigned i = 0; i < f->count; i++) {
        if (json)
            json_array_append_new(names, json_string(f->copy[i].name));
        else
            puts(f->copy[i].name);
    }
    return (json ? print_json(names) : cli_finish_output()) == EXIT_OK;
}

static bool fork_machine(struct bundle *b, const struct args *a)
{
    struct fork f = {.from = b, .pattern = args_value(a, "name")};
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool ok, started;

    if (!parse_count(a, &f.count))
        return false;
    flatten_where_full(b);
    f.starts = !args_flag(a, "no-start");
    ok = fork_all(&f, &err);
    if (!ok)
        cli_error("%s", err.text);
    drop_state(&f);
    started = ok && f.starts;
    if (started)
        ok = start_all(&f);
    if (ok && started && args_flag(a, "wait"))
        wait_identities(&f);
    ok = ok && print_names(&f, args_flag(a, "json"));
    flatten_behind(b);
    release(&f);
    return ok;
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
    "machine-id, ssh's host keys and clock, a moment after they run. Their names are printed. Only cards behind NAT can be copied so, "
    "and without the ports of the host that lead to them (vz forward)."};
