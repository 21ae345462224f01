/* SPDX-License-Identifier: MIT */
#include "bundle/fitting.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/layer.h"
#include "failure.h"

#define LEFT_FILE "left.json"
#define LEFT_MAX  100u /* states; the ones that left first are forgotten first */

/* docs/state-format.md, the header. */
#define UUID_AT  48
#define UUID_LEN 16u

struct uuid_text {
    char text[2 * UUID_LEN + 1];
};

static bool uuid_of(int folder, const char *path, struct uuid_text *ret, struct vz_error *err)
{
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    uint8_t uuid[UUID_LEN];
    bool ok = fd >= 0 && pread(fd, uuid, UUID_LEN, UUID_AT) == UUID_LEN;

    if (!ok)
        fail(err, VZ_ERROR_RESTORE, "%s: %s", path, fd < 0 ? strerror(errno) : "is not a saved state");
    for (unsigned i = 0; ok && i < UUID_LEN; i++)
        snprintf(ret->text + (size_t)2 * i, 3, "%02x", uuid[i]);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* ---- Disks ---------------------------------------------------------------------------------- */

struct disks {
    const struct bundle *b;
    json_t *list;
};

/* config_path_fn */
static bool add_disk(void *arg, json_t *object, const char *member, const char *path)
{
    struct disks *d = arg;
    struct stat st;

    if (layer_is_for(object) && !strcmp(member, "path") && fstatat(d->b->fd, path, &st, 0) == 0)
        json_array_append_new(d->list,
                              json_pack("{s:s, s:I, s:I, s:I}", "path", path, "bytes", (json_int_t)st.st_size,
                                        "seconds", (json_int_t)st.st_mtim.tv_sec, "nanoseconds",
                                        (json_int_t)st.st_mtim.tv_nsec));
    return true;
}

/* Those that the machine writes, as they are now. NULL and err. */
static json_t *disks_now(const struct bundle *b, struct vz_error *err)
{
    struct vz_config *config = bundle_config(b, err);
    json_t *json = config ? config_json(config, err) : NULL;
    struct disks d = {.b = b, .list = json ? json_array() : NULL};

    if (d.list)
        (void)config_paths(json, add_disk, &d);
    json_decref(json);
    vz_config_unref(config);
    return d.list;
}

static json_int_t number(json_t *disk, const char *name)
{
    return json_integer_value(json_object_get(disk, name));
}

/* As a person's clock says it. */
static const char *time_of(json_t *disk, char ret[64])
{
    time_t seconds = (time_t)number(disk, "seconds");
    struct tm tm;
    size_t len = localtime_r(&seconds, &tm) ? strftime(ret, 32, "%Y-%m-%d %H:%M:%S", &tm) : 0;

    snprintf(ret + len, 64 - len, ".%03d", (int)(number(disk, "nanoseconds") / 1000000));
    return ret;
}

static bool is_disk(json_t *a, json_t *b)
{
    return !strcmp(json_string_value(json_object_get(a, "path")), json_string_value(json_object_get(b, "path")));
}

static json_t *find(json_t *disks, json_t *wanted)
{
    json_t *disk;
    size_t i;

    json_array_foreach(disks, i, disk)
        if (is_disk(disk, wanted))
            return disk;
    return NULL;
}

/* There is room for one line. */
static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash && slash[1] ? slash + 1 : path;
}

#define FORCE "--force goes on in any case"

static bool same(json_t *was, json_t *is, const char *state, struct vz_error *err)
{
    const char *path = json_string_value(json_object_get(is, "path"));
    char before[64], now[64];

    if (number(was, "bytes") != number(is, "bytes"))
        return fail_false(err, VZ_ERROR_RESTORE,
                          "%s had %" JSON_INTEGER_FORMAT " bytes when %s was saved, and has %" JSON_INTEGER_FORMAT
                          ": " FORCE, path, number(was, "bytes"), state, number(is, "bytes"));
    if (number(was, "seconds") != number(is, "seconds") || number(was, "nanoseconds") != number(is, "nanoseconds"))
        return fail_false(err, VZ_ERROR_RESTORE,
                          "%s has been written since %s was saved (it was as of %s, and is as of %s): bring it back "
                          "as it was; " FORCE, path, state, time_of(was, before), time_of(is, now));
    return true;
}

static bool all_same(json_t *were, json_t *are, const char *state, struct vz_error *err)
{
    json_t *disk, *was;
    size_t i;

    json_array_foreach(are, i, disk) {
        was = find(were, disk);
        if (!was)
            return fail_false(err, VZ_ERROR_RESTORE, "when %s was saved, %s was no disk of the machine: " FORCE, state,
                              json_string_value(json_object_get(disk, "path")));
        if (!same(was, disk, state, err))
            return false;
    }
    json_array_foreach(were, i, disk)
        if (!find(are, disk))
            return fail_false(err, VZ_ERROR_RESTORE,
                              "when %s was saved, the machine had the disk %s, and has not now: " FORCE, state,
                              json_string_value(json_object_get(disk, "path")));
    return true;
}

/* ---- What the folder remembers -------------------------------------------------------------- */

static bool is_note(json_t *note)
{
    json_t *disk;
    size_t i;

    if (!json_is_string(json_object_get(note, "uuid")) || !json_is_array(json_object_get(note, "disks")))
        return false;
    json_array_foreach(json_object_get(note, "disks"), i, disk)
        if (!json_is_string(json_object_get(disk, "path")))
            return false;
    return true;
}

/* What is damaged is forgotten: it is not worth a machine that cannot be saved. */
static json_t *load(const struct bundle *b)
{
    struct vz_error ignored;
    char *text = bundle_has(b, LEFT_FILE) ? bundle_read(b, LEFT_FILE, NULL, &ignored) : NULL;
    json_t *all = text ? json_loads(text, 0, NULL) : NULL;

    free(text);
    if (!json_is_array(all)) {
        json_decref(all);
        all = json_array();
    }
    for (size_t i = json_array_size(all); i--;)
        if (!is_note(json_array_get(all, i)))
            json_array_remove(all, i);
    return all;
}

bool fitting_note(const struct bundle *b, const char *file, struct vz_error *err)
{
    json_t *all = load(b), *disks = disks_now(b, err);
    struct uuid_text uuid;
    char *text = NULL;
    bool ok = all && disks && uuid_of(b->fd, file, &uuid, err);

    if (ok) {
        while (json_array_size(all) >= LEFT_MAX)
            json_array_remove(all, 0);
        json_array_append_new(all, json_pack("{s:s, s:O}", "uuid", uuid.text, "disks", disks));
        text = json_dumps(all, JSON_INDENT(2));
        ok = text ? bundle_write(b, LEFT_FILE, text, strlen(text), err) == 0
                  : fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    free(text);
    json_decref(all);
    json_decref(disks);
    return ok;
}

/* By the times of the files alone. */
static bool is_younger_than_all(json_t *disks, int cwd, const char *path, struct vz_error *err)
{
    struct stat state;
    json_t *disk;
    size_t i;

    if (fstatat(cwd, path, &state, 0) < 0)
        return fail_errno(err, path) == 0;
    json_array_foreach(disks, i, disk) {
        json_int_t s = number(disk, "seconds");

        if (s > state.st_mtim.tv_sec ||
            (s == state.st_mtim.tv_sec && number(disk, "nanoseconds") > state.st_mtim.tv_nsec))
            return fail_false(err, VZ_ERROR_RESTORE,
                              "%s was not saved out of this folder, and %s is younger: it may have been written "
                              "since; " FORCE, name_of(path), json_string_value(json_object_get(disk, "path")));
    }
    return true;
}

bool fitting_check(const struct bundle *b, int cwd, const char *path, struct vz_error *err)
{
    json_t *all = load(b), *are = disks_now(b, err), *note, *were = NULL;
    struct uuid_text uuid;
    size_t i;
    bool ok = all && are && uuid_of(cwd, path, &uuid, err);

    json_array_foreach(all, i, note)
        if (ok && !strcmp(json_string_value(json_object_get(note, "uuid")), uuid.text))
            were = json_object_get(note, "disks");
    if (ok)
        ok = were ? all_same(were, are, name_of(path), err) : is_younger_than_all(are, cwd, path, err);
    json_decref(all);
    json_decref(are);
    return ok;
}
