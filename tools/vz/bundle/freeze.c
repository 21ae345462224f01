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
#include "bundle/flatten.h"
#include "bundle/identity.h"
#include "bundle/layer.h"
#include "failure.h"

#define NAMES_MAX 100000u

/* Of an empty file that says that a layer is being made, until a configuration names it. */
#define BEGUN_PREFIX "."
#define BEGUN_SUFFIX ".begun"

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

/* One that nothing could open any more would have the machine lost. */
static bool has_room(const struct layering *l, const char *path)
{
    bool whole; /* or an image is elsewhere, or not to be read: that is seen when a layer is made */

    return layer_depth(l->b, path, FLATTEN_LAYERS_MAX + 1, &whole) <= FLATTEN_LAYERS_MAX ||
           fail_false(l->err, VZ_ERROR_LIMIT_EXCEEDED,
                      "%.100s: has %u layers, and no more go on them; 'vz clone --full' makes a disk of them all", path,
                      FLATTEN_LAYERS_MAX);
}

/* A draft is there as a whole, or not at all. */
static bool note_begun(const struct layering *l, const char *name)
{
    char begun[LAYER_NAME_MAX + 16];
    int fd;

    if (l->b->draft)
        return true;
    snprintf(begun, sizeof(begun), BEGUN_PREFIX "%s" BEGUN_SUFFIX, name);
    fd = openat(l->b->fd, begun, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(l->err, begun) == 0;
    close(fd);
    return true;
}

static void forget_begun(void *arg, unsigned device, const char *path)
{
    const struct bundle *b = arg;
    char begun[LAYER_NAME_MAX + 16];

    snprintf(begun, sizeof(begun), BEGUN_PREFIX "%s" BEGUN_SUFFIX, path);
    unlinkat(b->fd, begun, 0);
}

void freeze_named(const struct bundle *b, json_t *layered)
{
    freeze_each(layered, forget_begun, (void *)b);
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
    return has_room(l, path) && free_name(l, path, "disk", "qcow2", name) && note_begun(l, name) &&
           layer_make(l->b, path, name, l->err) && json_object_set_new(l->names, path, json_string(name)) == 0;
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
        json_object_foreach(l.names, was, name) {
            unlinkat(b->fd, json_string_value(name), 0);
            forget_begun((void *)b, 0, json_string_value(name));
        }
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
        if (!layer_below(f->from, name[n], name[n ^ 1], f->err))
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

/* What the guest's cards have, and are to have. */
static void pair_macs(json_t *frozen, json_t *new, char ret[IDENTITY_MACS_MAX])
{
    json_t *was = json_object_get(frozen, "networkDevices"), *is = json_object_get(new, "networkDevices");
    size_t len = 0;

    ret[0] = '\0';
    for (size_t i = 0; i < json_array_size(was) && len + 40 < IDENTITY_MACS_MAX; i++) {
        const char *old = json_string_value(json_object_get(json_array_get(was, i), "mac"));
        const char *mac = json_string_value(json_object_get(json_array_get(is, i), "mac"));

        if (old && mac)
            len += (size_t)snprintf(ret + len, IDENTITY_MACS_MAX - len, "%s%.17s %.17s", len ? " " : "", old, mac);
    }
}

int freeze_fill(const struct bundle *from, json_t *frozen, const struct bundle *to, struct vz_error *err)
{
    struct filling f = {from, to, err};
    json_t *copy = json_deep_copy(frozen), *layered = NULL;
    struct vz_config *config = NULL;
    char macs[IDENTITY_MACS_MAX];
    int r = -1;

    err->code = VZ_ERROR_NONE;
    if (copy && config_paths(copy, take, &f))
        layered = freeze_layers(to, copy, false, err);
    else if (!err->code)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    if (layered) {
        config_new_identity(layered);
        pair_macs(frozen, layered, macs);
        config = config_of_json(layered, err);
    }
    if (config && bundle_set_config(to, config, err) == 0)
        r = identity_ask(to, to->name, true, macs, err);
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
        if (!layer_below(m->b, at, below, &ignored))
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

/* ---- What a crash left ---------------------------------------------------------------------- */

#define FRESH ".fresh.qcow2"

static bool same_bytes(int a, int b)
{
    static char text[2][65536];
    ssize_t n;
    off_t at = 0;

    do {
        n = pread(a, text[0], sizeof(text[0]), at);
        if (n < 0 || pread(b, text[1], sizeof(text[1]), at) != n || memcmp(text[0], text[1], (size_t)n) != 0)
            return false;
        at += n;
    } while (n);
    return true;
}

/* Does it read as what is below it, and does nobody use it? It is compared with one that is made for that. */
static bool is_untouched(const struct bundle *b, const char *name)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char below[LAYER_NAME_MAX];
    struct vz_error ignored;
    int fd[2] = {-1, -1};
    bool is = false;

    if (layer_below(b, name, below, &ignored) && *below && layer_make(b, below, FRESH, &ignored)) {
        fd[0] = openat(b->fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        fd[1] = openat(b->fd, FRESH, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        is = fd[0] >= 0 && fd[1] >= 0 && fcntl(fd[0], F_OFD_SETLK, &lock) == 0 && same_bytes(fd[0], fd[1]);
        unlinkat(b->fd, FRESH, 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (fd[i] >= 0)
            close(fd[i]);
    }
    return is;
}

/* ---- What is frozen already ----------------------------------------------------------------- */

struct sinking {
    const struct bundle *b;
    json_t *below; /* names, by those of the layers on them */
    bool all;
};

/* config_path_fn, first pass */
static bool find_below(void *arg, json_t *object, const char *member, const char *path)
{
    struct sinking *s = arg;
    char below[LAYER_NAME_MAX];
    struct vz_error ignored;

    if (layer_is_for(object) && !strcmp(member, "path"))
        s->all = s->all && layer_is_here(path) && is_untouched(s->b, path) && layer_below(s->b, path, below, &ignored) &&
                 json_object_set_new(s->below, path, json_string(below)) == 0;
    return s->all;
}

/* config_path_fn, second pass: also what is booted from one of them. */
static bool use_below(void *arg, json_t *object, const char *member, const char *path)
{
    const struct sinking *s = arg;
    json_t *name = json_object_get(s->below, path);
    bool qcow2 = name && layer_is_qcow2(s->b->fd, json_string_value(name));

    if (!name)
        return true;
    if (layer_is_for(object))
        json_object_set_new(object, "format", json_string(qcow2 ? "qcow2" : "raw"));
    return json_object_set(object, member, name) == 0;
}

bool freeze_below(const struct bundle *b, json_t *config)
{
    struct sinking s = {.b = b, .below = json_object(), .all = true};
    bool ok = s.below && config_paths(config, find_below, &s) && config_paths(config, use_below, &s);

    json_decref(s.below);
    return ok;
}

/* ---- Layers that were begun ----------------------------------------------------------------- */

/* A layer that was begun, and may never have got into a configuration. */
static void sweep_begun(const struct marking *now, const char *mark_name)
{
    char name[LAYER_NAME_MAX];
    size_t len = strlen(mark_name) - strlen(BEGUN_PREFIX) - strlen(BEGUN_SUFFIX);

    snprintf(name, sizeof(name), "%.*s", (int)len, mark_name + strlen(BEGUN_PREFIX));
    if (!json_object_get(now->names, name) && is_untouched(now->b, name))
        unlinkat(now->b->fd, name, 0);
    unlinkat(now->b->fd, mark_name, 0);
}

static bool is_begun(const char *name)
{
    size_t len = strlen(name), ends = strlen(BEGUN_PREFIX) + strlen(BEGUN_SUFFIX);

    return len > ends && len < LAYER_NAME_MAX && !strncmp(name, BEGUN_PREFIX, strlen(BEGUN_PREFIX)) &&
           !strcmp(name + len - strlen(BEGUN_SUFFIX), BEGUN_SUFFIX);
}

void freeze_sweep_begun(const struct bundle *b, json_t *kept)
{
    struct marking now = {.b = b, .names = json_object(), .any = true};
    int fd = openat(b->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    bool known = false;

    for (struct dirent *e; d && (e = readdir(d));) {
        if (!is_begun(e->d_name))
            continue;
        if (!known && !(now.names && config_paths(kept, mark, &now)))
            break;
        known = true;
        sweep_begun(&now, e->d_name);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
    json_decref(now.names);
}
