/* SPDX-License-Identifier: MIT */
/* `vz snapshot MACHINE TAG`, `vz snapshots MACHINE`, `vz rewind MACHINE TAG`. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bundle/flatten.h"
#include "bundle/snapshot.h"
#include "command/machine_command.h"
#include "command/machine_start.h"
#include "command/machine_stop.h"
#include "control/client.h"

#define DEPTH_MAX 64

static const struct opt snapshot_options[] = {
    {"delete", 0, OPT_NEVER, NULL, "Options", "remove the snapshot TAG; those that came after it stay", NULL, 0},
    {.name = NULL}};
static const struct opt snapshots_options[] = {
    {"json", 'j', OPT_NEVER, NULL, "Options", "for programs", NULL, 0}, {.name = NULL}};

/* ---- snapshot ------------------------------------------------------------------------------- */

static bool lock_all(struct bundle *b, struct vz_error *err)
{
    return bundle_lock(b, BUNDLE_RUN, err) == 0 && bundle_lock(b, BUNDLE_CHANGE, err) == 0;
}

/* A running machine does it itself. */
static bool take(struct bundle *b, const char *tag, struct vz_error *err)
{
    json_t *result;

    if (!bundle_is_running(b))
        return lock_all(b, err) && snapshot_take(b, tag, err) == 0;
    result = client_ask(b, "snapshot", json_pack("{s:s}", "tag", tag), NULL, err);
    json_decref(result);
    return result;
}

static bool drop(struct bundle *b, const char *tag, struct vz_error *err)
{
    return bundle_lock(b, BUNDLE_CHANGE, err) == 0 && snapshot_delete(b, tag, err) == 0;
}

/* "2026-11-30-020155": what nobody gave a name has its time. */
static const char *time_tag(char buffer[32])
{
    time_t now = time(NULL);
    struct tm tm;

    localtime_r(&now, &tm);
    strftime(buffer, 32, "%Y-%m-%d-%H%M%S", &tm);
    return buffer;
}

/* The library's errors do not begin with the machine. */
static void say(const struct bundle *b, const struct vz_error *err)
{
    if (strncmp(err->text, b->name, strlen(b->name)))
        cli_error("%s: %s", b->name, err->text);
    else
        cli_error("%s", err->text);
}

static bool snapshot_machine(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    char buffer[32];
    const char *tag = a->count > 1 ? a->word[1] : time_tag(buffer);
    bool ok;

    if (args_flag(a, "delete") && a->count < 2) {
        cli_error("snapshot: which snapshot is to be removed? (usage: vz snapshot %s TAG --delete)", a->word[0]);
        return false;
    }
    if (args_flag(a, "delete")) {
        ok = drop(b, tag, &err);
    } else {
        flatten_where_full(b);
        ok = take(b, tag, &err);
        flatten_behind(b);
    }
    if (!ok)
        say(b, &err);
    else if (a->count < 2)
        printf("%s\n", tag);
    return ok;
}

static int snapshot_main(int argc, char **argv)
{
    return machine_one(&snapshot_command, argc, argv, 1, 2, snapshot_machine);
}

/* ---- snapshots ------------------------------------------------------------------------------ */

static bool comes_after(json_t *s, const char *parent)
{
    const char *its = json_string_value(json_object_get(s, "parent"));

    return parent ? its && !strcmp(its, parent) : !its;
}

static void print_below(json_t *all, const char *parent, int depth)
{
    const char *current = json_string_value(json_object_get(all, "current"));
    json_t *s;
    size_t i;

    json_array_foreach(json_object_get(all, "snapshots"), i, s) {
        time_t when = (time_t)json_integer_value(json_object_get(s, "time"));
        const char *tag = json_string_value(json_object_get(s, "tag"));
        char text[32];
        struct tm tm;

        if (!comes_after(s, parent) || depth > DEPTH_MAX)
            continue;
        localtime_r(&when, &tm);
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
        printf("%s%*s%-*s  %s  %s\n", current && !strcmp(current, tag) ? "* " : "  ", 2 * depth, "",
               depth < 12 ? 24 - 2 * depth : 0, tag, text,
               json_is_string(json_object_get(s, "state")) ? "running" : "off");
        print_below(all, tag, depth + 1);
    }
}

/* Without what only vz itself needs to know. */
static json_t *report(json_t *all)
{
    json_t *list = json_array(), *s;
    const char *current = json_string_value(json_object_get(all, "current"));
    size_t i;

    json_array_foreach(json_object_get(all, "snapshots"), i, s) {
        const char *tag = json_string_value(json_object_get(s, "tag"));

        json_array_append_new(list, json_pack("{s:s, s:O, s:O, s:b, s:b}", "tag", tag, "parent",
                                              json_object_get(s, "parent"), "time", json_object_get(s, "time"),
                                              "running", json_is_string(json_object_get(s, "state")), "current",
                                              current && !strcmp(current, tag)));
    }
    return list;
}

static bool show_machine(struct bundle *b, const struct args *a)
{
    struct vz_error err;
    json_t *all = snapshots_load(b, &err);
    bool ok = all;

    if (!ok)
        cli_error("%s", err.text);
    else if (args_flag(a, "json"))
        ok = print_json(report(all)) == EXIT_OK;
    else
        print_below(all, NULL, 0);
    json_decref(all);
    return ok && cli_finish_output() == EXIT_OK;
}

static int snapshots_main(int argc, char **argv)
{
    return machine_one(&snapshots_command, argc, argv, 0, 1, show_machine);
}

/* ---- rewind --------------------------------------------------------------------------------- */

/* The one given, or the last that the machine was at. */
static bool find_tag(const struct bundle *b, const struct args *a, char ret[BUNDLE_NAME_MAX + 1], struct vz_error *err)
{
    json_t *all = snapshots_load(b, err);
    const char *tag = a->count > 1 ? a->word[1] : json_string_value(json_object_get(all, "current"));
    bool ok = tag && snapshots_find(all, tag);

    if (ok)
        snprintf(ret, BUNDLE_NAME_MAX + 1, "%s", tag);
    else if (all && tag)
        cli_error("%s: has no snapshot '%s' ('vz snapshots %s' shows what there is)", b->name, tag, b->name);
    else if (all)
        cli_error("%s: has no snapshots ('vz snapshot %s' takes one)", b->name, b->name);
    else
        cli_error("%s", err->text);
    json_decref(all);
    return ok;
}

/* A machine that runs is turned off once it is known that it can go back. */
static bool go_back(struct bundle *b, const char *tag, bool running, struct vz_error *err)
{
    struct rewinding r;

    if (bundle_lock(b, BUNDLE_CHANGE, err) < 0 || snapshot_rewind_begin(b, tag, &r, err) < 0)
        return false;
    if ((running && !machine_stop(b, true, 0)) || bundle_lock(b, BUNDLE_RUN, err) < 0) {
        snapshot_rewind_abandon(b, &r);
        return false;
    }
    return snapshot_rewind_end(b, &r, err) == 0;
}

static bool rewind_machine(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool running = bundle_is_running(b), ok;
    char tag[BUNDLE_NAME_MAX + 1];

    if (!find_tag(b, a, tag, &err))
        return false;
    flatten_where_full(b);
    ok = go_back(b, tag, running, &err);
    bundle_unlock(b, BUNDLE_CHANGE);
    flatten_behind(b);
    if (!ok && err.code)
        cli_error("%s", err.text);
    return ok && (!running || machine_start(b, MACHINE_EITHER));
}

static int rewind_main(int argc, char **argv)
{
    return machine_one(&rewind_command, argc, argv, 1, 2, rewind_machine);
}

/* ---- The commands --------------------------------------------------------------------------- */

const struct command snapshot_command = {
    "snapshot", snapshot_main, NULL, snapshot_options, "keep a moment of a machine, to come back to it", NULL,
    "MACHINE [TAG]",
    "Disks, and of a running or saved machine memory, CPUs and devices: all of one moment. A running one stands still while its "
    "state is written. Disks stay as they are in files that nobody writes any more, and what comes goes to layers on them. "
    "Without TAG it is called by its time, which is printed."};
const struct command snapshots_command = {
    "snapshots", snapshots_main, NULL, snapshots_options, "list the moments that a machine can come back to", NULL, "[MACHINE]",
    "As a tree: what is further right came after what is above it. The star is where the machine came from. 'vz snapshot "
    "MACHINE TAG --delete' removes one."};
const struct command rewind_command = {
    "rewind", rewind_main, NULL, no_options, "have a machine be what it was at a snapshot", NULL, "MACHINE [TAG]",
    "What has come since is gone, unless a snapshot has it: take one before. A machine that runs is turned off first, and runs "
    "on from there; another one is saved then, where it ran at that moment, and 'vz start' goes on. Without TAG: the last one "
    "that it was at."};
