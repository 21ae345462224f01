/* SPDX-License-Identifier: MIT */
#include "bundle/freeze.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/copy.h"
#include "bundle/identity.h"
#include "bundle/layer.h"
#include "failure.h"

#define NAMES_MAX 100000u

/* ---- Layers --------------------------------------------------------------------------------- */

struct layering {
    const struct bundle *b;
    json_t *names; /* of layers, by what they are on; and of copies */
    bool off;
    struct vz_error *err;
};

/* For what takes the place of path. */
static bool free_name(const struct layering *l, const char *path, const char *kind, const char *ending,
                      char ret[LAYER_NAME_MAX])
{
    for (unsigned i = 1; i < NAMES_MAX; i++) {
        snprintf(ret, LAYER_NAME_MAX, "%s-%u.%s", kind, i, ending);
        if (!bundle_has(l->b, ret) && strcmp(ret, path))
            return true;
    }
    return fail_false(l->err, VZ_ERROR_LIMIT_EXCEEDED, "there are too many files %s-N.%s", kind, ending);
}

/* The name of the image that a qcow2 image reads through to, or "". false: it cannot be told. */
static bool look_below(const struct bundle *b, const char *path, char ret[LAYER_NAME_MAX], struct vz_error *err)
{
    struct vz_disk_info info = VZ_DISK_INFO_INIT;
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;

    ret[0] = '\0';
    if (!layer_is_qcow2(b->fd, path))
        return bundle_has(b, path) || fail_false(err, VZ_ERROR_IO, "%.100s: is not there", path);
    o.format = VZ_DISK_FORMAT_QCOW2;
    if (bundle_enter(b, err) < 0 || vz_disk_get_info(path, &o, &info, err) < 0)
        return false;
    if (strlen(info.backing) >= LAYER_NAME_MAX || strchr(info.backing, '/'))
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "%.80s: reads through to %.100s, which is not beside it", path,
                          info.backing);
    strcpy(ret, info.backing);
    return true;
}

static bool copy_store(const struct layering *l, const char *path)
{
    char name[LAYER_NAME_MAX];

    if (!l->off || !layer_is_here(path))
        return true;
    /* Before the first start there is none, and then neither is there one of that moment. */
    return free_name(l, path, "variables", "fd", name) &&
           (!bundle_has(l->b, path) || copy_file(l->b->fd, path, l->b->fd, name, NULL, NULL, l->err) == 0) &&
           json_object_set_new(l->names, path, json_string(name)) == 0;
}

/* config_path_fn, first pass */
static bool make_one(void *arg, json_t *object, const char *member, const char *path)
{
    const struct layering *l = arg;
    char name[LAYER_NAME_MAX];

    if (layer_is_store(member))
        return copy_store(l, path);
    if (!layer_is_for(object) || strcmp(member, "path") || json_object_get(l->names, path))
        return true;
    if (!layer_is_here(path))
        return fail_false(l->err, VZ_ERROR_UNSUPPORTED,
                          "%.150s: lies outside of the machine's folder, so nothing keeps it as it is; 'vz detach' takes it "
                          "off", path);
    return free_name(l, path, "disk", "qcow2", name) && layer_make(l->b, path, name, l->err) &&
           json_object_set_new(l->names, path, json_string(name)) == 0;
}

/* config_path_fn, second pass: also what is booted from one of them. */
static bool use_one(void *arg, json_t *object, const char *member, const char *path)
{
    const struct layering *l = arg;
    json_t *name = json_object_get(l->names, path);

    if (!name)
        return true;
    if (layer_is_for(object))
        json_object_set_new(object, "format", json_string("qcow2"));
    return json_object_set(object, member, name) == 0;
}

json_t *freeze_layers(const struct bundle *b, json_t *config, bool off, struct vz_error *err)
{
    struct layering l = {b, json_object(), off, err};
    json_t *layered = json_deep_copy(config), *name;
    const char *was;
    bool ok;

    err->code = VZ_ERROR_NONE;
    ok = layered && l.names && config_paths(layered, make_one, &l) && config_paths(layered, use_one, &l);
    if (!ok) {
        json_object_foreach(l.names, was, name)
            unlinkat(b->fd, json_string_value(name), 0);
        json_decref(layered);
        layered = NULL;
    }
    json_decref(l.names);
    if (!ok && !err->code)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    return layered;
}

void freeze_each(json_t *layered, void (*fn)(void *arg, unsigned device, const char *path), void *arg)
{
    json_t *device;
    size_t i;

    json_array_foreach(json_object_get(layered, "storageDevices"), i, device) {
        json_t *a = json_object_get(device, "attachment");
        const char *path = json_string_value(json_object_get(a, "path"));

        if (a && layer_is_for(a) && path)
            fn(arg, (unsigned)i, path);
    }
}

/* ---- Another machine ------------------------------------------------------------------------ */

struct filling {
    const struct bundle *from, *to;
    struct vz_error *err;
};

/* A file that nobody writes, and those below it. */
static bool link_chain(const struct filling *f, const char *path)
{
    char name[2][LAYER_NAME_MAX];
    unsigned n = 0;

    snprintf(name[0], sizeof(name[0]), "%s", path);
    for (; name[n][0]; n ^= 1) {
        if (linkat(f->from->fd, name[n], f->to->fd, name[n], 0) < 0 && errno != EEXIST)
            return fail_errno(f->err, name[n]) == 0;
        if (!look_below(f->from, name[n], name[n ^ 1], f->err))
            return false;
    }
    return true;
}

/* config_path_fn. What is made when the machine runs (sockets, logs) is not taken along. */
static bool take(void *arg, json_t *object, const char *member, const char *path)
{
    const struct filling *f = arg;
    struct stat st;

    if (layer_is_store(member) && !layer_is_here(path))
        return fail_false(f->err, VZ_ERROR_INVALID,
                          "%.150s: lies outside of the machine's folder, and both machines would write it", path);
    if (!layer_is_here(path) || fstatat(f->from->fd, path, &st, 0) < 0 || !S_ISREG(st.st_mode) ||
        json_object_get(object, "append"))
        return true;
    if (layer_is_for(object) && !strcmp(member, "path"))
        return link_chain(f, path);
    return (!layer_is_store(member) && (linkat(f->from->fd, path, f->to->fd, path, 0) == 0 || errno == EEXIST)) ||
           copy_file(f->from->fd, path, f->to->fd, path, NULL, NULL, f->err) == 0;
}

int freeze_fill(const struct bundle *from, json_t *frozen, const struct bundle *to, struct vz_error *err)
{
    struct filling f = {from, to, err};
    json_t *copy = json_deep_copy(frozen), *layered = NULL;
    struct vz_config *config = NULL;
    int r = -1;

    err->code = VZ_ERROR_NONE;
    if (copy && config_paths(copy, take, &f))
        layered = freeze_layers(to, copy, false, err);
    else if (!err->code)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    if (layered) {
        config_new_identity(layered);
        config = config_of_json(layered, err);
    }
    if (config && bundle_set_config(to, config, err) == 0)
        r = identity_ask(to, to->name, true, err);
    vz_config_unref(config);
    json_decref(layered);
    json_decref(copy);
    return r;
}

/* ---- What nobody needs ---------------------------------------------------------------------- */

struct marking {
    const struct bundle *b;
    json_t *names;
    bool any; /* files that are read, too, and what is below them */
};

/* config_path_fn: note it, and what is below. */
static bool mark(void *arg, json_t *object, const char *member, const char *path)
{
    const struct marking *m = arg;
    char below[LAYER_NAME_MAX], name[LAYER_NAME_MAX];
    struct vz_error ignored;

    if (!layer_is_here(path) ||
        (!m->any && !layer_is_store(member) && (!layer_is_for(object) || strcmp(member, "path"))))
        return true;
    if (m->any && !bundle_has(m->b, path))
        return !layer_is_for(object); /* what is made when the machine runs; a disk is missed */
    for (const char *at = path; *at; at = strcpy(name, below)) {
        json_object_set_new(m->names, at, json_true());
        if (!look_below(m->b, at, below, &ignored))
            return false;
    }
    return true;
}

/* Layers that no configuration names: a disk that was detached, a crash's. Whatever they are, what they read stays; but a warm
 * state is of a disk that is not any more. */
static bool mark_others(const struct marking *now, json_t *gone)
{
    int fd = openat(now->b->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    bool ok = d;

    for (struct dirent *e; ok && (e = readdir(d));) {
        if (e->d_name[0] != '.' && strncmp(e->d_name, "warm-", 5) && !json_object_get(gone, e->d_name) &&
            layer_is_qcow2(now->b->fd, e->d_name))
            ok = mark((void *)now, NULL, "", e->d_name);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    return ok;
}

void freeze_sweep(const struct bundle *b, json_t *gone, json_t *kept)
{
    struct marking old = {.b = b, .names = json_object()}, now = {.b = b, .names = json_object(), .any = true};
    const char *name;
    json_t *value;

    if (old.names && now.names && config_paths(kept, mark, &now) &&
        (config_paths(gone, mark, &old), mark_others(&now, old.names))) {
        json_object_foreach(old.names, name, value) {
            if (!json_object_get(now.names, name))
                unlinkat(b->fd, name, 0);
        }
    }
    json_decref(old.names);
    json_decref(now.names);
}
