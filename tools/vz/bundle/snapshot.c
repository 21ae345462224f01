/* SPDX-License-Identifier: MIT */
#include "bundle/snapshot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/freeze.h"
#include "bundle/saved_file.h"
#include "bundle/settle.h"
#include "failure.h"

#define SNAPSHOTS_FILE "snapshots.json"
#define NAMES_MAX      100000u

static int no_memory(struct vz_error *err)
{
    return fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* ---- The file ------------------------------------------------------------------------------- */

static bool is_whole(json_t *all)
{
    json_t *s;
    size_t i;

    if (!json_is_array(json_object_get(all, "snapshots")))
        return false;
    json_array_foreach(json_object_get(all, "snapshots"), i, s) {
        json_t *state = json_object_get(s, "state");

        if (!json_is_string(json_object_get(s, "tag")) || !json_is_object(json_object_get(s, "configuration")) ||
            (json_is_string(state) && strchr(json_string_value(state), '/')))
            return false;
    }
    return true;
}

json_t *snapshots_load(const struct bundle *b, struct vz_error *err)
{
    char *text;
    json_t *all;

    if (!bundle_has(b, SNAPSHOTS_FILE)) {
        all = json_pack("{s:n, s:[]}", "current", "snapshots");
        if (!all)
            no_memory(err);
        return all;
    }
    text = bundle_read(b, SNAPSHOTS_FILE, NULL, err);
    all = text ? json_loads(text, 0, NULL) : NULL;
    free(text);
    if (!text || (all && is_whole(all)))
        return all;
    json_decref(all);
    fail(err, VZ_ERROR_INVALID, "%s: " SNAPSHOTS_FILE " is damaged", b->name);
    return NULL;
}

static int store(const struct bundle *b, json_t *all, struct vz_error *err)
{
    char *text = json_dumps(all, JSON_INDENT(2));
    int r = text ? bundle_write(b, SNAPSHOTS_FILE, text, strlen(text), err) : no_memory(err);

    free(text);
    return r;
}

json_t *snapshots_find(json_t *all, const char *tag)
{
    json_t *s;
    size_t i;

    json_array_foreach(json_object_get(all, "snapshots"), i, s) {
        if (!strcmp(json_string_value(json_object_get(s, "tag")), tag))
            return s;
    }
    return NULL;
}

bool snapshot_tag_check(const struct bundle *b, const char *tag, struct vz_error *err)
{
    json_t *all;
    bool taken;

    if (!bundle_name_check(tag, NULL))
        return fail_false(err, VZ_ERROR_INVALID,
                          "'%.80s': a snapshot's name has 1 to %d letters, digits, '-', '_' and '.', and begins with a letter or "
                          "digit", tag, BUNDLE_NAME_MAX);
    all = snapshots_load(b, err);
    if (!all)
        return false;
    taken = snapshots_find(all, tag);
    json_decref(all);
    return !taken || fail_false(err, VZ_ERROR_INVALID, "%s: has a snapshot '%s' already", b->name, tag);
}

void snapshot_state_name(const struct bundle *b, char ret[SNAPSHOT_NAME_MAX])
{
    for (unsigned i = 1; i < NAMES_MAX; i++) {
        snprintf(ret, SNAPSHOT_NAME_MAX, "snap-%u.state", i);
        if (!bundle_has(b, ret))
            return;
    }
}

/* The configurations of all snapshots, and one more. A reference, or NULL. */
static json_t *configs_of(json_t *all, json_t *more)
{
    json_t *configs = json_array(), *s;
    size_t i;

    json_array_foreach(json_object_get(all, "snapshots"), i, s)
        json_array_append(configs, json_object_get(s, "configuration"));
    json_array_append(configs, more);
    return configs;
}

/* ---- Taking --------------------------------------------------------------------------------- */

int snapshot_add(const struct bundle *b, const char *tag, const char *state, json_t *frozen, struct vz_error *err)
{
    json_t *all = snapshots_load(b, err), *one;
    int r;

    if (!all)
        return -1;
    one = json_pack("{s:s, s:O, s:I, s:s?, s:O}", "tag", tag, "parent", json_object_get(all, "current"), "time",
                    (json_int_t)time(NULL), "state", state, "configuration", frozen);
    if (!one || json_array_append_new(json_object_get(all, "snapshots"), one) < 0 ||
        json_object_set_new(all, "current", json_string(tag)) < 0)
        r = no_memory(err);
    else
        r = store(b, all, err);
    json_decref(all);
    return r;
}

static int set_config(const struct bundle *b, json_t *json, struct vz_error *err)
{
    struct vz_config *config = config_of_json(json, err);
    int r = config ? bundle_set_config(b, config, err) : -1;

    if (r == 0)
        freeze_named(b, json);
    vz_config_unref(config);
    return r;
}

/* It came to nothing. Where the machine has its layers already, they stay. */
static void undo(const struct bundle *b, json_t *layered, json_t *frozen, const char *state)
{
    struct vz_error ignored;
    json_t *now = bundle_config_as_is(b, &ignored), *gone = json_pack("[O]", layered), *kept = json_pack("[O,O]", frozen, now);

    if (now && gone && kept)
        freeze_sweep(b, gone, kept);
    if (state)
        unlinkat(b->fd, state, 0);
    json_decref(now);
    json_decref(gone);
    json_decref(kept);
}

int snapshot_take(const struct bundle *b, const char *tag, struct vz_error *err)
{
    json_t *frozen, *layered = NULL;
    char name[SNAPSHOT_NAME_MAX];
    const char *state = saved_file(b);
    int r = -1;

    if (!snapshot_tag_check(b, tag, err) || !(frozen = bundle_config_as_is(b, err)))
        return -1;
    snapshot_sweep(b);
    snapshot_state_name(b, name);
    layered = freeze_layers(b, frozen, true, err);
    if (layered && state && linkat(b->fd, state, b->fd, name, 0) < 0)
        fail_errno(err, state);
    else if (layered && set_config(b, layered, err) == 0)
        r = snapshot_add(b, tag, state ? name : NULL, frozen, err);
    if (r < 0 && layered)
        undo(b, layered, frozen, state ? name : NULL);
    json_decref(layered);
    json_decref(frozen);
    return r;
}

/* ---- Coming back ---------------------------------------------------------------------------- */

/* In this order a crash leaves a machine that is off, with its disks of now or of then, or what was wanted. */
static int go_back(const struct bundle *b, json_t *all, json_t *snapshot, json_t *layered, struct vz_error *err)
{
    const char *state = json_string_value(json_object_get(snapshot, "state"));

    if (settle_now(b, err) < 0 || saved_file_drop(b, err) < 0 || set_config(b, layered, err) < 0)
        return -1;
    if (state && (linkat(b->fd, state, b->fd, BUNDLE_COPY, 0) < 0 || fsync(b->fd) < 0))
        return fail_errno(err, state);
    json_object_set(all, "current", json_object_get(snapshot, "tag"));
    return store(b, all, err);
}

static json_t *find(const struct bundle *b, json_t *all, const char *tag, struct vz_error *err)
{
    json_t *s = snapshots_find(all, tag);

    if (!s)
        fail(err, VZ_ERROR_INVALID, "%s: has no snapshot '%.63s' ('vz snapshots %s' shows what there is)", b->name, tag,
             b->name);
    return s;
}

/* What is gone of the disks, and what is not: both are references. */
static void sweep_disks(const struct bundle *b, json_t *gone, json_t *kept)
{
    if (gone && kept)
        freeze_sweep(b, gone, kept);
    json_decref(gone);
    json_decref(kept);
}

static void rewind_release(struct rewinding *r)
{
    json_decref(r->layered);
    json_decref(r->all);
    *r = (struct rewinding){.all = NULL};
}

int snapshot_rewind_begin(const struct bundle *b, const char *tag, struct rewinding *ret, struct vz_error *err)
{
    struct rewinding r = {.all = snapshots_load(b, err)};
    const char *state;

    r.snapshot = r.all ? find(b, r.all, tag, err) : NULL;
    state = json_string_value(json_object_get(r.snapshot, "state"));
    if (state && !bundle_has(b, state))
        fail(err, VZ_ERROR_IO, "%s: %.80s, the state of snapshot '%.63s', is not there", b->name, state, tag);
    else if (r.snapshot)
        r.layered = freeze_layers(b, json_object_get(r.snapshot, "configuration"), true, err);
    if (!r.layered) {
        rewind_release(&r);
        return -1;
    }
    *ret = r;
    return 0;
}

void snapshot_rewind_abandon(const struct bundle *b, struct rewinding *r)
{
    struct vz_error ignored;
    json_t *now = bundle_config_as_is(b, &ignored);

    if (now)
        sweep_disks(b, json_pack("[O]", r->layered), configs_of(r->all, now));
    json_decref(now);
    rewind_release(r);
}

int snapshot_rewind_end(const struct bundle *b, struct rewinding *r, struct vz_error *err)
{
    json_t *now = bundle_config_as_is(b, err);

    if (!now || go_back(b, r->all, r->snapshot, r->layered, err) < 0) {
        json_decref(now);
        snapshot_rewind_abandon(b, r);
        return -1;
    }
    sweep_disks(b, json_pack("[O]", now), configs_of(r->all, r->layered));
    snapshot_sweep(b);
    json_decref(now);
    rewind_release(r);
    return 0;
}

/* ---- Going ---------------------------------------------------------------------------------- */

static bool is_named(json_t *all, const char *state)
{
    json_t *s;
    size_t i;

    json_array_foreach(json_object_get(all, "snapshots"), i, s) {
        const char *its = json_string_value(json_object_get(s, "state"));

        if (its && !strcmp(its, state))
            return true;
    }
    return false;
}

static bool is_state_name(const char *name)
{
    size_t digits = strncmp(name, "snap-", 5) ? 0 : strspn(name + 5, "0123456789");

    return digits && !strcmp(name + 5 + digits, ".state");
}

/* The configurations whose disks stay: the machine's and its snapshots'. A reference, or NULL. */
static json_t *kept_now(const struct bundle *b)
{
    struct vz_error ignored;
    json_t *all = snapshots_load(b, &ignored), *now = all ? bundle_config_as_is(b, &ignored) : NULL;
    json_t *kept = now ? configs_of(all, now) : NULL;

    json_decref(now);
    json_decref(all);
    return kept;
}

void snapshot_sweep_layers(const struct bundle *b)
{
    json_t *kept = kept_now(b);

    if (kept)
        freeze_sweep_begun(b, kept);
    json_decref(kept);
}

void snapshot_sweep_disks(const struct bundle *b, json_t *gone)
{
    json_t *kept = kept_now(b);

    if (kept)
        freeze_sweep(b, gone, kept);
    json_decref(kept);
}

void snapshot_sweep(const struct bundle *b)
{
    struct vz_error ignored;
    json_t *all = snapshots_load(b, &ignored);
    int fd = all ? openat(b->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    for (struct dirent *e; d && (e = readdir(d));) {
        if (is_state_name(e->d_name) && !is_named(all, e->d_name))
            unlinkat(b->fd, e->d_name, 0);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    json_decref(all);
    snapshot_sweep_layers(b);
}

static void take_out(json_t *all, json_t *snapshot)
{
    const char *tag = json_string_value(json_object_get(snapshot, "tag"));
    json_t *parent = json_object_get(snapshot, "parent"), *list = json_object_get(all, "snapshots"), *s;
    const char *current = json_string_value(json_object_get(all, "current"));
    size_t i, at = 0;

    if (current && !strcmp(current, tag))
        json_object_set(all, "current", parent ? parent : json_null());
    json_array_foreach(list, i, s) {
        const char *its = json_string_value(json_object_get(s, "parent"));

        if (its && !strcmp(its, tag))
            json_object_set(s, "parent", parent ? parent : json_null());
        if (s == snapshot)
            at = i;
    }
    json_array_remove(list, at);
}

/* Who makes room by removing a snapshot may have none for the list without it: then its memory goes first, where nobody
 * else has it. After a crash in between it is still listed, and can be removed. */
static int store_without(const struct bundle *b, json_t *all, json_t *snapshot, struct vz_error *err)
{
    const char *state = json_string_value(json_object_get(snapshot, "state"));
    struct vz_error full;
    struct stat st;
    int r = store(b, all, &full);

    if (r < 0 && full.code == VZ_ERROR_OUT_OF_DISK_SPACE && state && fstatat(b->fd, state, &st, 0) == 0 &&
        st.st_nlink == 1 && bundle_remove_file(b, state, &full) == 0)
        r = store(b, all, &full);
    if (r < 0 && err)
        *err = full;
    return r;
}

int snapshot_delete(const struct bundle *b, const char *tag, struct vz_error *err)
{
    json_t *all = snapshots_load(b, err), *now = all ? bundle_config_as_is(b, err) : NULL, *snapshot, *gone, *kept;
    int r = -1;

    snapshot = json_incref(now ? find(b, all, tag, err) : NULL);
    if (snapshot) {
        take_out(all, snapshot);
        r = store_without(b, all, snapshot, err);
    }
    if (r == 0) {
        gone = json_pack("[O]", json_object_get(snapshot, "configuration"));
        kept = configs_of(all, now);
        freeze_sweep(b, gone, kept);
        json_decref(gone);
        json_decref(kept);
        snapshot_sweep(b); /* its state, too */
    }
    json_decref(snapshot);
    json_decref(now);
    json_decref(all);
    return r;
}
