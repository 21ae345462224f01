/* SPDX-License-Identifier: MIT */
/* `vz share MACHINE [TAG=PATH... | --remove TAG]`: what a machine shares with its guest, seen and changed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "command/machine_change.h"
#include "control/client.h"
#include "failure.h"

#define LIST "directorySharingDevices"

static const struct opt share_options[] = {
    {"remove", 0, OPT_ALWAYS, "TAG", "Options", "share that no more", NULL, 0},
    {"json", 'j', OPT_NEVER, NULL, "Options", "list them for programs: as in the configuration", NULL, 0},
    {.name = NULL}};

/* ---- Configurations ------------------------------------------------------------------------- */

static const char *tag_of(const json_t *device)
{
    return json_string_value(json_object_get(device, "tag"));
}

/* Its place among the devices before end; end: there is none. */
static size_t find(const json_t *devices, const char *tag, size_t end)
{
    size_t i = 0;

    while (i < end && strcmp(tag_of(json_array_get(devices, i)), tag) != 0)
        i++;
    return i;
}

/* The last of the devices, which was added, takes the place of the one that has its tag. */
static bool put_in_place(json_t *devices)
{
    size_t last = json_array_size(devices) - 1;
    json_t *device = json_array_get(devices, last);
    size_t at = find(devices, tag_of(device), last);

    return at == last || (json_array_set(devices, at, device) == 0 && json_array_remove(devices, last) == 0);
}

static struct vz_config *remove_tag(const struct vz_config *old, const char *tag, struct vz_error *err)
{
    json_t *json = config_json(old, err), *devices = json_object_get(json, LIST);
    size_t count = json_array_size(devices), at = json ? find(devices, tag, count) : 0;
    struct vz_config *new = NULL;

    if (json && at == count)
        fail(err, VZ_ERROR_DEVICE_NOT_FOUND, "there is no shared directory of the tag '%.40s'", tag);
    else if (json && json_array_remove(devices, at) == 0)
        new = config_of_json(json, err);
    json_decref(json);
    return new;
}

/* As --share of vz run says it. */
static struct vz_config *add_share(const struct vz_config *old, const char *value, struct vz_error *err)
{
    struct vz_config *copy = vz_config_copy(old, err), *new = NULL;
    struct vz_error why = {.text = "out of memory"};
    json_t *json = NULL;

    if (copy && vz_config_add(copy, "share", value, &why) < 0)
        fail(err, why.code, "%.200s", why.text);
    else if (copy)
        json = config_json(copy, err);
    if (json && put_in_place(json_object_get(json, LIST)))
        new = config_of_json(json, err);
    json_decref(json);
    vz_config_unref(copy);
    return new;
}

static struct vz_config *change(const struct vz_config *old, const struct args *a, struct vz_error *err)
{
    struct vz_config *c = vz_config_copy(old, err);

    if (c && args_value(a, "remove")) {
        struct vz_config *next = remove_tag(c, args_value(a, "remove"), err);

        vz_config_unref(c);
        return next;
    }
    for (unsigned i = 1; c && i < a->count; i++) {
        struct vz_config *next = add_share(c, a->word[i], err);

        vz_config_unref(c);
        c = next;
    }
    return c;
}

/* ---- Running machines ----------------------------------------------------------------------- */

/* Have the running machine's device of that tag lead to share (NULL: nothing). *ret: it has one. */
static bool tell(const struct bundle *b, const json_t *running, const char *tag, json_t *share, bool *ret,
                 struct vz_error *err)
{
    const json_t *devices = json_object_get(running, LIST);
    size_t count = json_array_size(devices);
    json_t *result;

    *ret = find(devices, tag, count) < count;
    if (!*ret)
        return true;
    result = client_ask(b, "share", json_pack("{s:s, s:O?}", "tag", tag, "share", share), NULL, err);
    json_decref(result);
    return result;
}

static void say_later(const struct bundle *b, const char *tag)
{
    cli_error("%s: the machine runs, and has no device for '%s' yet: it has when it is started the next time", b->name,
              tag);
}

/* What the words name leads to what the configuration, which has been changed, says. */
static bool tell_all(const struct bundle *b, const json_t *running, const json_t *config, const struct args *a,
                     struct vz_error *err)
{
    const json_t *devices = json_object_get(config, LIST);
    const char *removed = args_value(a, "remove");
    bool ok = true, there;

    if (removed)
        return tell(b, running, removed, NULL, &there, err);
    for (unsigned i = 1; ok && i < a->count; i++) {
        char *tag = strndup(a->word[i], strcspn(a->word[i], "="));
        json_t *device = tag ? json_array_get(devices, find(devices, tag, json_array_size(devices))) : NULL;

        ok = device ? tell(b, running, tag, json_object_get(device, "share"), &there, err)
                    : fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
        if (ok && !there)
            say_later(b, tag);
        free(tag);
    }
    return ok;
}

static bool change_running(const struct bundle *b, const struct args *a, struct vz_error *err)
{
    json_t *running = client_ask(b, "config", NULL, NULL, err);
    json_t *config = running ? bundle_config_json(b, err) : NULL;
    bool ok = config && tell_all(b, running, config, a, err);

    json_decref(config);
    json_decref(running);
    return ok;
}

/* ---- The command ---------------------------------------------------------------------------- */

static void print_directory(const char *tag, const char *name, const json_t *d)
{
    printf("%s\t", tag);
    if (name)
        printf("%s:", name);
    printf("%s%s\n", json_string_value(json_object_get(d, "path")),
           json_is_true(json_object_get(d, "readOnly")) ? "\tread-only" : "");
}

static void print_foreign(const char *tag, const json_t *share)
{
    json_t *architecture;
    size_t i;

    printf("%s\tforeign programs:", tag);
    json_array_foreach(json_object_get(share, "architectures"), i, architecture)
        printf(" %s", json_string_value(json_object_get(architecture, "name")));
    puts(i ? "" : " all");
}

static void print_all(const json_t *devices)
{
    json_t *device, *d;
    size_t i, k;

    json_array_foreach(devices, i, device) {
        json_t *share = json_object_get(device, "share"), *several = json_object_get(share, "directories");
        const char *type = json_string_value(json_object_get(share, "type"));

        if (type && !strcmp(type, "foreignBinaries"))
            print_foreign(tag_of(device), share);
        else if (!json_is_array(several))
            print_directory(tag_of(device), NULL, share);
        json_array_foreach(several, k, d)
            print_directory(tag_of(device), json_string_value(json_object_get(d, "name")), d);
    }
}

static bool list(const struct bundle *b, bool for_programs, struct vz_error *err)
{
    json_t *json = bundle_config_json(b, err), *devices = json_object_get(json, LIST);
    bool ok = json;

    if (for_programs && json)
        ok = print_json(devices ? json_incref(devices) : json_array()) == 0;
    else
        print_all(devices);
    json_decref(json);
    return ok;
}

static bool share(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool lists = a->count < 2 && !args_value(a, "remove"), ok;

    if (args_value(a, "remove") && a->count > 1)
        ok = fail_false(&err, VZ_ERROR_INVALID, "either TAG=PATH or --remove TAG");
    else
        ok = lists ? list(b, args_flag(a, "json"), &err)
                   : machine_change(b, a, change, &err) && (!bundle_is_running(b) || change_running(b, a, &err));
    if (!ok)
        cli_error("%s: %s", b->name, err.text);
    return ok;
}

static int share_main(int argc, char **argv)
{
    return machine_one(&share_command, argc, argv, 1, ARGS_WORDS_MAX, share);
}

const struct command share_command = {
    "share", share_main, NULL, share_options, "see or change the directories that a machine shares", NULL,
    "MACHINE [TAG=PATH[,ro]... | --remove TAG | --json]",
    "Without more it lists them, a line each: tag, directory (NAME:PATH where there are several), and read-only. TAG=PATH and its options are those of --share of vz run; a directory that has the tag "
    "already makes way. A guest that runs sees the other directory under its mount at once, if the machine was started "
    "with that tag; what it knew of the one before is stale (ESTALE), files that it has open stay open. What is removed "
    "becomes an empty folder in it. Who owns what (map) and caching (cache) change at the next start."};
