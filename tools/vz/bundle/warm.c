/* SPDX-License-Identifier: MIT */
#include "bundle/warm.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/layer.h"
#include "failure.h"

#define WARM_FILE   "warm.json"
#define WARM_PREFIX "warm-"
#define STATES_MAX  4u /* side by side: each has the memory of a guest */

/* ---- What it is good for -------------------------------------------------------------------- */

/* A file of the machine, as far as one can see from outside whether it is the same. A log's is not. */
static bool add_file(void *arg, json_t *object, const char *member, const char *path)
{
    struct stat st;

    if (!strcmp(member, "path") && json_object_get(object, "append"))
        return true;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return true;
    return json_array_append_new(arg, json_pack("[s,I,I,I,I]", path, (json_int_t)st.st_ino,
                                                (json_int_t)st.st_size, (json_int_t)st.st_mtim.tv_sec,
                                                (json_int_t)st.st_mtim.tv_nsec)) == 0;
}

/* Directories that are shared are not in it: a state is made without them, and each run brings its own. What the guest sees of
 * them, their tags and whether they can be written, is. */
static void forget_directories(json_t *config)
{
    json_t *device, *share;
    size_t i;

    json_array_foreach(json_object_get(config, "directorySharingDevices"), i, device) {
        share = json_object_get(device, "share");
        if (warm_share_is_brought(share))
            json_object_del(share, "path");
    }
}

bool warm_share_is_brought(json_t *share)
{
    const char *type = json_string_value(json_object_get(share, "type"));

    return type && !strcmp(type, "singleDirectory");
}

/* Text for free(), or NULL without memory. */
static char *fingerprint(json_t *config)
{
    json_t *files = json_array(), *seen = json_deep_copy(config), *all = NULL;
    char *text = NULL;

    forget_directories(seen);
    if (files && seen && config_paths(config, add_file, files))
        all = json_pack("{s:s, s:O, s:O}", "vz", vz_version(), "configuration", seen, "files", files);
    if (all)
        text = json_dumps(all, JSON_SORT_KEYS);
    json_decref(all);
    json_decref(seen);
    json_decref(files);
    return text;
}

/* Are the files that it was made of still those, and this vz that one? */
static bool is_current(const char *print)
{
    json_t *all = json_loads(print, 0, NULL), *files = json_object_get(all, "files"), *now = json_array(), *file;
    const char *version = json_string_value(json_object_get(all, "vz")), *path;
    bool is = version && !strcmp(version, vz_version()) && json_is_array(files) && now;
    size_t i;

    json_array_foreach(files, i, file) {
        path = json_string_value(json_array_get(file, 0));
        is = is && path && add_file(now, NULL, "", path);
    }
    is = is && json_equal(files, now);
    json_decref(now);
    json_decref(all);
    return is;
}

/* ---- Its files ------------------------------------------------------------------------------ */

struct layering {
    const struct bundle *b;
    const char *id;
    unsigned count;
    bool make; /* or only name them */
    bool possible;
    struct vz_error *err;
};

/* config_path_fn: the disk becomes its layer. Those outside of the folder are not ours to put layers on. */
static bool put_layer(void *arg, json_t *object, const char *member, const char *path)
{
    struct layering *l = arg;
    size_t len = strlen(l->b->path);
    char name[64];

    if (!layer_is_for(object) || strcmp(member, "path"))
        return true;
    if (strncmp(path, l->b->path, len) || path[len] != '/' || !layer_is_here(path + len + 1))
        return l->possible = false;
    snprintf(name, sizeof(name), WARM_PREFIX "%s-%u.qcow2", l->id, l->count++);
    if (l->make && !layer_make(l->b, path + len + 1, name, l->err))
        return false;
    json_object_set_new(object, "format", json_string("qcow2"));
    return json_object_set_new(object, member, json_sprintf("%s/%s", l->b->path, name)) == 0;
}

/* Fill in what goes by the id. false: not possible, or err. */
static bool name_all(const struct bundle *b, json_t *json, bool make, struct warm *w, struct vz_error *err)
{
    struct layering l = {.b = b, .id = w->id, .make = make, .possible = true, .err = err};
    bool ok = config_paths(json, put_layer, &l) &&
              asprintf(&w->state, "%s/" WARM_PREFIX "%s.state", b->path, w->id) > 0;

    if (ok)
        w->config = config_of_json(json, err);
    else if (l.possible && !err->code)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    return ok && w->config;
}

static bool has_id(const char *name, const char *id)
{
    size_t len = strlen(WARM_PREFIX);

    return !strncmp(name, WARM_PREFIX, len) && (!id || !strncmp(name + len, id, strlen(id)));
}

static bool is_kept(const char *name, const json_t *states)
{
    const json_t *s;
    size_t i;

    json_array_foreach(states, i, s) {
        if (has_id(name, json_string_value(json_object_get(s, "id"))))
            return true;
    }
    return false;
}

/* Remove the files of an id, or (NULL) of all but those of states. */
static void sweep(const struct bundle *b, const char *id, const json_t *states)
{
    int fd = openat(b->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    for (struct dirent *e; d && (e = readdir(d));) {
        if (has_id(e->d_name, id) && !is_kept(e->d_name, states))
            unlinkat(b->fd, e->d_name, 0);
    }
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

/* ---- Finding and making --------------------------------------------------------------------- */

static bool is_whole(const json_t *state)
{
    const char *id = json_string_value(json_object_get(state, "id"));

    return id && *id && strlen(id) < 16 && id[strspn(id, "0123456789abcdef")] == '\0' &&
           json_is_string(json_object_get(state, "for"));
}

/* Those that are there, the last one first: an array, a reference; NULL without memory. */
static json_t *read_states(const struct bundle *b)
{
    char *text = bundle_has(b, WARM_FILE) ? bundle_read(b, WARM_FILE, NULL, NULL) : NULL;
    json_t *all = text ? json_loads(text, 0, NULL) : NULL, *states = json_array(), *s;
    size_t i;

    json_array_foreach(json_object_get(all, "states"), i, s) {
        if (is_whole(s))
            json_array_append(states, s);
    }
    json_decref(all);
    free(text);
    return states;
}

/* The id of the one that is good for this, if there is one. */
static bool find_print(const json_t *states, const char *print, char id[16])
{
    const json_t *s;
    size_t i;

    json_array_foreach(states, i, s) {
        if (strcmp(json_string_value(json_object_get(s, "for")), print) != 0)
            continue;
        strcpy(id, json_string_value(json_object_get(s, "id")));
        return true;
    }
    return false;
}

bool warm_find(const struct bundle *b, const struct vz_config *config, struct warm *ret)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    json_t *json = config_json(config, &err), *states = read_states(b);
    bool found;

    *ret = (struct warm){.print = json ? fingerprint(json) : NULL};
    found = ret->print && find_print(states, ret->print, ret->id) && name_all(b, json, false, ret, &err) &&
            access(ret->state, R_OK) == 0;
    json_decref(states);
    json_decref(json);
    if (!found)
        warm_free(ret);
    return found;
}

int warm_begin(struct bundle *b, const struct vz_config *config, struct warm *ret, struct vz_error *err)
{
    struct vz_error none = {.code = VZ_ERROR_NONE};
    json_t *json, *states;
    uint32_t number;
    bool ok;

    *ret = (struct warm){.print = NULL};
    if (bundle_lock(b, BUNDLE_WARM, &none) < 0 || getrandom(&number, sizeof(number), 0) != sizeof(number))
        return -1;
    states = read_states(b);
    sweep(b, NULL, states);
    json_decref(states);
    snprintf(ret->id, sizeof(ret->id), "%08x", number);
    json = config_json(config, err);
    ret->print = json ? fingerprint(json) : NULL;
    ok = ret->print && name_all(b, json, true, ret, err);
    json_decref(json);
    if (!ok)
        warm_remove(b, ret);
    return ok ? 0 : -1;
}

/* With those of before that are of use still, as far as there is room. */
static json_t *with_older(const struct bundle *b, const struct warm *w)
{
    json_t *states = json_pack("[{s:s, s:s}]", "id", w->id, "for", w->print), *old = read_states(b), *s;
    size_t i;

    json_array_foreach(old, i, s) {
        const char *print = json_string_value(json_object_get(s, "for"));

        if (json_array_size(states) < STATES_MAX && strcmp(print, w->print) != 0 && is_current(print))
            json_array_append(states, s);
    }
    json_decref(old);
    return states;
}

int warm_finish(struct bundle *b, const struct warm *w, struct vz_error *err)
{
    json_t *states = with_older(b, w), *json = states ? json_pack("{s:O}", "states", states) : NULL;
    char *text = json ? json_dumps(json, 0) : NULL;
    int r = text ? bundle_write(b, WARM_FILE, text, strlen(text), err)
                 : fail(err, VZ_ERROR_NO_MEMORY, "out of memory");

    if (r == 0)
        sweep(b, NULL, states);
    free(text);
    json_decref(json);
    json_decref(states);
    bundle_unlock(b, BUNDLE_WARM);
    return r;
}

void warm_remove(struct bundle *b, const struct warm *w)
{
    if (w->id[0])
        sweep(b, w->id, NULL);
    bundle_unlock(b, BUNDLE_WARM);
}

void warm_spoil(struct bundle *b)
{
    struct vz_error none;

    if (bundle_lock(b, BUNDLE_WARM, &none) < 0)
        return;
    unlinkat(b->fd, WARM_FILE, 0);
    sweep(b, NULL, NULL);
    bundle_unlock(b, BUNDLE_WARM);
}

void warm_free(struct warm *w)
{
    free(w->print);
    free(w->state);
    vz_config_unref(w->config);
    *w = (struct warm){.print = NULL};
}
