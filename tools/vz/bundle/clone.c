/* SPDX-License-Identifier: MIT */
/* Disks are the point. Cheapest is a file that shares its blocks (reflink). Where the file system has none,
 * layers do it, in steps of which each leaves both machines whole:
 *   1. the disk gets a second name in the old folder, BASE, and a third one in the new folder: hard links;
 *   2. the new machine's disk is a qcow2 layer on its BASE;
 *   3. the old machine's disk is a qcow2 layer on its own BASE, and from when its configuration says so
 *      (one rename) nobody writes the file that BASE means;
 *   4. only then the new machine appears, by draft_publish().
 * A disk that is such a layer and has nothing of its own yet is not put under another one: the new machine
 * gets a layer on the same BASE. After a crash between 1 and 3 a name is left that costs nothing, and the old machine writes the file that
 * nobody else reads. Either folder can be moved or deleted: a link of its own keeps the file. */
#include "bundle/clone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/copy.h"
#include "bundle/identity.h"
#include "bundle/layer.h"
#include "failure.h"

#define FILES_MAX 128u

/* A file of the folder that has been dealt with, and what it is called now. */
struct done {
    char *was;
    char from[LAYER_NAME_MAX], to[LAYER_NAME_MAX]; /* in the old folder and in the new one */
    char base[LAYER_NAME_MAX]; /* "": it has got no layer */
};

struct clone {
    struct bundle *from, *to;
    bool full;
    bool (*progress)(void *arg, uint64_t done, uint64_t total);
    void *arg;
    struct vz_error *err;
    struct done file[FILES_MAX];
    unsigned count;
    bool old_changes; /* the old machine gets layers too */
};

static struct done *find(struct clone *c, const char *path)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (!strcmp(c->file[i].was, path))
            return &c->file[i];
    }
    return NULL;
}

/* ---- Layers --------------------------------------------------------------------------------- */

/* A name that neither folder has. */
static bool free_name(const struct clone *c, const char *kind, const char *suffix, char ret[LAYER_NAME_MAX])
{
    for (unsigned i = 1; i < 100000; i++) {
        snprintf(ret, LAYER_NAME_MAX, "%s-%u%s", kind, i, suffix);
        if (faccessat(c->from->fd, ret, F_OK, AT_SYMLINK_NOFOLLOW) < 0 &&
            faccessat(c->to->fd, ret, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
            return true;
    }
    return false;
}

/* What a qcow2 image reads through to, in info; backing is "" where that is nothing. */
static bool look_below(struct clone *c, const char *path, struct vz_disk_info *info)
{
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;

    *info = (struct vz_disk_info)VZ_DISK_INFO_INIT;
    if (!layer_is_qcow2(c->from->fd, path))
        return true;
    o.format = VZ_DISK_FORMAT_QCOW2;
    return bundle_enter(c->from, c->err) == 0 && vz_disk_get_info(path, &o, info, c->err) == 0;
}

/* That must be in the new folder too: names in images stay. */
static bool link_backing(struct clone *c, const char *path)
{
    struct vz_disk_info info;

    if (!look_below(c, path, &info))
        return false;
    if (!info.backing[0] || info.backing[0] == '/')
        return true;
    if (strchr(info.backing, '/'))
        return fail_false(c->err, VZ_ERROR_UNSUPPORTED, "%.80s: reads through to %.100s, which is not beside it",
                          path, info.backing);
    if (linkat(c->from->fd, info.backing, c->to->fd, info.backing, 0) < 0 && errno != EEXIST &&
        copy_file(c->from->fd, info.backing, c->to->fd, info.backing, c->progress, c->arg, c->err) < 0)
        return false;
    return link_backing(c, info.backing);
}

static bool depth_of(struct clone *c, const char *path, unsigned *ret)
{
    struct vz_disk_info info;

    *ret = 1;
    for (char name[1024]; look_below(c, path, &info); path = name) {
        if (!info.backing[0])
            return true;
        snprintf(name, sizeof(name), "%s", info.backing);
        ++*ret;
    }
    return false;
}

/* A layer on a file beside it that has nothing of its own: it is as long as a new one. */
static bool share_base(struct clone *c, struct done *d, bool *ret_shared)
{
    struct vz_disk_info info;
    struct stat old, new;

    *ret_shared = false;
    if (!look_below(c, d->was, &info))
        return false;
    if (!info.backing[0] || strchr(info.backing, '/'))
        return true;
    if (linkat(c->from->fd, info.backing, c->to->fd, info.backing, 0) < 0 && errno != EEXIST)
        return true; /* another file system: it is copied */
    if (!link_backing(c, info.backing) ||
        !layer_make(c->to, info.backing, d->was, c->err))
        return false;
    *ret_shared = fstatat(c->from->fd, d->was, &old, 0) == 0 && fstatat(c->to->fd, d->was, &new, 0) == 0 &&
                  old.st_size == new.st_size;
    return *ret_shared || unlinkat(c->to->fd, d->was, 0) == 0;
}

static bool make_layers(struct clone *c, struct done *d)
{
    bool qcow2 = layer_is_qcow2(c->from->fd, d->was);
    const char *suffix = qcow2 ? ".qcow2" : ".img";
    char base[LAYER_NAME_MAX], layer[LAYER_NAME_MAX];

    if (!free_name(c, "base", suffix, base) || !free_name(c, "disk", ".qcow2", layer))
        return fail_false(c->err, VZ_ERROR_LIMIT_EXCEEDED, "there are too many layers already");
    if (linkat(c->from->fd, d->was, c->from->fd, base, 0) < 0 ||
        linkat(c->from->fd, d->was, c->to->fd, base, 0) < 0) {
        unlinkat(c->from->fd, base, 0);
        return false; /* no hard links, or another file system: it is copied */
    }
    snprintf(d->from, sizeof(d->from), "%s", layer);
    snprintf(d->to, sizeof(d->to), "%s", layer);
    snprintf(d->base, sizeof(d->base), "%s", base);
    c->old_changes = true;
    return link_backing(c, d->was) && layer_make(c->to, base, layer, c->err) &&
           layer_make(c->from, base, layer, c->err);
}

/* ---- Files ---------------------------------------------------------------------------------- */

/* All that a guest would see, in one file. */
static bool flatten(struct clone *c, struct done *d)
{
    struct vz_disk_create_options to = VZ_DISK_CREATE_OPTIONS_INIT;
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;
    char path[64 + LAYER_NAME_MAX];

    o.progress = c->progress;
    o.arg = c->arg;
    o.format = to.format = VZ_DISK_FORMAT_QCOW2;
    snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", c->to->fd, d->to);
    return bundle_enter(c->from, c->err) == 0 && vz_disk_convert(d->was, path, &o, &to, c->err) == 0;
}

static bool copy_plain(struct clone *c, struct done *d)
{
    return copy_file(c->from->fd, d->was, c->to->fd, d->to, c->progress, c->arg, c->err) == 0;
}

static bool take_disk(struct clone *c, struct done *d)
{
    unsigned depth;
    bool shared;

    if (!depth_of(c, d->was, &depth))
        return false;
    if (c->full || depth > LAYERS_MAX)
        return layer_is_qcow2(c->from->fd, d->was) ? flatten(c, d) : copy_plain(c, d);
    if (copy_by_reflink(c->from->fd, d->was, c->to->fd, d->was))
        return link_backing(c, d->was);
    if (!share_base(c, d, &shared))
        return false;
    if (shared)
        return true;
    c->err->code = VZ_ERROR_NONE;
    if (make_layers(c, d))
        return true;
    if (c->err->code) /* it is not that this file system has no hard links */
        return false;
    return layer_is_qcow2(c->from->fd, d->was) ? flatten(c, d) : copy_plain(c, d);
}

static bool is_boot_disk(json_t *object, const char *member)
{
    const char *type = json_string_value(json_object_get(object, "type"));

    return type && !strcmp(type, "linux") && !strcmp(member, "disk");
}

/* config_path_fn, first pass: have each file in the new folder. */
static bool take(void *arg, json_t *object, const char *member, const char *path)
{
    struct clone *c = arg;
    bool disk = layer_is_for(object) && !strcmp(member, "path"), ok;
    struct done *d;
    struct stat st;

    if (find(c, path))
        return true;
    if (path[0] == '/' || strchr(path, '/'))
        return !(disk || layer_is_store(member)) ||
               fail_false(c->err, VZ_ERROR_INVALID,
                          "%.150s: lies outside of the machine's folder, and both machines would write it%s", path,
                          disk ? "; 'vz detach' takes it off" : "");
    if (fstatat(c->from->fd, path, &st, 0) < 0 || !S_ISREG(st.st_mode))
        return true; /* what is made when the machine runs: sockets, logs */
    if (!disk && !is_boot_disk(object, member) && !strcmp(member, "path") &&
        json_object_get(object, "append"))
        return true; /* a log */
    if (c->count == FILES_MAX)
        return fail_false(c->err, VZ_ERROR_LIMIT_EXCEEDED, "it consists of more than %u files", FILES_MAX);
    d = &c->file[c->count++];
    *d = (struct done){.was = strdup(path)};
    snprintf(d->from, sizeof(d->from), "%s", path);
    snprintf(d->to, sizeof(d->to), "%s", path);
    ok = d->was && strlen(path) < LAYER_NAME_MAX &&
         (disk || is_boot_disk(object, member) ? take_disk(c, d) : copy_plain(c, d));
    if (!ok && !c->err->code)
        fail(c->err, VZ_ERROR_NO_MEMORY, "out of memory");
    return ok;
}

struct renaming {
    struct clone *c;
    bool old;
};

/* Second pass: by the names that files have now. */
static bool rename_path(void *arg, json_t *object, const char *member, const char *path)
{
    const struct renaming *r = arg;
    const struct done *d = find(r->c, path);

    if (!d || !d->base[0])
        return true;
    if (json_object_get(object, "format"))
        json_object_set_new(object, "format", json_string("qcow2"));
    return json_object_set_new(object, member, json_string(r->old ? d->from : d->to)) == 0;
}

/* ---- The whole ------------------------------------------------------------------------------ */

static bool store(struct clone *c, const struct bundle *b, json_t *json, bool old)
{
    json_t *copy = json_deep_copy(json);
    struct vz_config *config;
    bool ok;

    if (!copy || !config_paths(copy, rename_path, &(struct renaming){c, old})) {
        json_decref(copy);
        return fail_false(c->err, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    if (!old)
        config_new_identity(copy);
    config = config_of_json(copy, c->err);
    ok = config && bundle_set_config(b, config, c->err) == 0 &&
         (old || identity_ask(b, b->name, true, NULL, c->err) == 0);
    vz_config_unref(config);
    json_decref(copy);
    return ok;
}

/* Names of the old machine that nothing means any more, when all went well or nothing did. */
static void tidy(struct clone *c, bool switched)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct done *d = &c->file[i];

        if (d->base[0])
            unlinkat(c->from->fd, switched ? d->was : d->from, 0);
        if (d->base[0] && !switched)
            unlinkat(c->from->fd, d->base, 0);
        free(d->was);
    }
}

int clone_fill(struct bundle *from, struct bundle *to, bool full,
               bool (*progress)(void *arg, uint64_t done, uint64_t total), void *arg, struct vz_error *err)
{
    struct clone *c = calloc(1, sizeof(*c));
    json_t *json = bundle_config_as_is(from, err);
    bool ok = c && json, switched = false;

    if (ok) {
        *c = (struct clone){.from = from, .to = to, .full = full, .progress = progress, .arg = arg,
                            .err = err};
        ok = config_paths(json, take, c) && store(c, to, json, false);
        if (ok && c->old_changes)
            ok = switched = store(c, from, json, true);
        tidy(c, switched);
    } else if (!c) {
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    json_decref(json);
    free(c);
    return ok ? 0 : -1;
}
