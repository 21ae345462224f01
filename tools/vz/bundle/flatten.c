/* SPDX-License-Identifier: MIT */
#include "bundle/flatten.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/layer.h"
#include "bundle/snapshot.h"
#include "cli.h"
#include "failure.h"

#define DUE_AT  24u /* layers of a disk: from then on behind the user's back... */
#define FULL_AT 56u /* ...and from then on before his eyes: whoever was to do it was too slow, or could not */
#define HALF_DONE ".flat.new"  /* of who has the lock, */
#define TO_SWEEP  ".flat.gone" /* and what he will not need any more when that has its name: a JSON array of images */
#define ROOM_LEFT (64u << 20)
#define LOCK_MS 30000
#define OPEN_MAX_HERE 4096

struct flattening {
    const struct bundle *b;
    unsigned depth;
    char top[LAYER_NAME_MAX]; /* a disk of that depth */
};

/* config_path_fn */
static bool look_at(void *arg, json_t *object, const char *member, const char *path)
{
    struct flattening *f = arg;
    unsigned depth;
    bool whole;

    if (!layer_is_for(object) || strcmp(member, "path") || !layer_is_here(path) || strlen(path) >= LAYER_NAME_MAX)
        return true;
    depth = layer_depth(f->b, path, FLATTEN_LAYERS_MAX + 1, &whole);
    if (whole && depth > f->depth) {
        f->depth = depth;
        strcpy(f->top, path);
    }
    return true;
}

static struct flattening look(const struct bundle *b)
{
    struct flattening f = {.b = b};
    struct vz_error ignored;
    json_t *json = bundle_config_as_is(b, &ignored);

    if (json)
        (void)config_paths(json, look_at, &f);
    json_decref(json);
    return f;
}

/* ---- One image of many ---------------------------------------------------------------------- */

/* Of an image's own, which another program made: they are not in a copy of it. */
static bool has_snapshots(const char *path)
{
    struct vz_disk_info info = VZ_DISK_INFO_INIT;
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;
    struct vz_error ignored;

    o.format = VZ_DISK_FORMAT_QCOW2;
    return vz_disk_get_info(path, &o, &info, &ignored) == 0 && info.snapshots;
}

/* The images that are read from there on down, as a configuration has them, but for those that are more than that.
 * The working folder is the machine's. */
static json_t *images_from(const struct bundle *b, const char *path)
{
    char below[LAYER_NAME_MAX], name[LAYER_NAME_MAX];
    json_t *images = json_array();
    struct vz_error ignored;

    for (const char *at = path; *at && json_array_size(images) < FLATTEN_LAYERS_MAX; at = strcpy(name, below)) {
        if (!has_snapshots(at))
            json_array_append_new(images, json_pack("{s:s, s:s}", "type", "diskImage", "path", at));
        if (!layer_below(b, at, below, &ignored))
            break;
    }
    return images;
}

/* At most what all of them take, or the whole disk. */
static uint64_t room_for(const struct bundle *b, const char *path)
{
    struct vz_disk_info info = VZ_DISK_INFO_INIT;
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;
    json_t *images = images_from(b, path), *image;
    struct vz_error ignored;
    uint64_t bytes = 0;
    struct stat st;
    size_t i;

    json_array_foreach(images, i, image)
        if (fstatat(b->fd, json_string_value(json_object_get(image, "path")), &st, 0) == 0)
            bytes += (uint64_t)st.st_blocks * 512;
    json_decref(images);
    o.format = VZ_DISK_FORMAT_QCOW2;
    return vz_disk_get_info(path, &o, &info, &ignored) == 0 && info.bytes < bytes ? info.bytes : bytes;
}

/* A file system that is filled up behind the user's back, if only for a moment, fails his guests' writes. */
static bool has_room(const struct bundle *b, const char *path, struct vz_error *err)
{
    uint64_t bytes = room_for(b, path), room;
    struct statvfs fs;

    if (fstatvfs(b->fd, &fs) < 0 || !fs.f_blocks)
        return true;
    room = (uint64_t)fs.f_bavail * fs.f_frsize;
    return room >= bytes + bytes / 4 + ROOM_LEFT ||
           fail_false(err, VZ_ERROR_IO,
                      "%.100s and what is below it take up to %llu MiB as one image, and there is no room for that",
                      path, (unsigned long long)(bytes >> 20));
}

/* It is for whom the old one was: root's machines may run as another user. */
static bool take_over(const struct bundle *b, const struct stat *old)
{
    int fd = openat(b->fd, HALF_DONE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    bool ok = fd >= 0 && (geteuid() != 0 || fchown(fd, old->st_uid, old->st_gid) == 0) &&
              fchmod(fd, old->st_mode & 07777) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

/* Is it still the file that was copied? */
static bool is_same(const struct bundle *b, const char *name, const struct stat *old)
{
    struct stat st;

    return fstatat(b->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == old->st_ino && st.st_dev == old->st_dev;
}

/* config_path_fn */
static bool is_other(void *arg, json_t *object, const char *member, const char *path)
{
    return !layer_is_for(object) || strcmp(member, "path") || strcmp(path, arg) != 0;
}

/* Nor one that is written, as what has got its name since is when the machine has been rewound. */
static bool is_below(const struct bundle *b, const char *name)
{
    struct vz_error ignored;
    json_t *json = bundle_config_as_is(b, &ignored);
    bool below = json && config_paths(json, is_other, (void *)name);

    json_decref(json);
    return below;
}

static bool note(const struct bundle *b, const json_t *images)
{
    struct vz_error ignored;
    char *text = json_dumps(images, JSON_COMPACT);
    bool ok = text && bundle_write(b, TO_SWEEP, text, strlen(text), &ignored) == 0;

    free(text);
    return ok;
}

/* What nothing needs of the images that were noted; and the note. */
static void sweep_noted(struct bundle *b)
{
    struct vz_error ignored;
    char *text = bundle_has(b, TO_SWEEP) ? bundle_read(b, TO_SWEEP, NULL, &ignored) : NULL;
    json_t *images = text ? json_loads(text, 0, NULL) : NULL; /* whoever has them open keeps them */

    free(text);
    if (bundle_lock_soon(b, BUNDLE_CHANGE, LOCK_MS, NULL) == 0) {
        if (images)
            snapshot_sweep_disks(b, images);
        unlinkat(b->fd, TO_SWEEP, 0);
        bundle_unlock(b, BUNDLE_CHANGE);
    }
    json_decref(images);
}

/* Only then is the lock for changes held, and for moments, so nobody waits for the copy, nor for the disk. */
static bool replace(struct bundle *b, const char *name, const struct stat *old)
{
    json_t *images = images_from(b, name);
    bool ok = images && note(b, images) && bundle_lock_soon(b, BUNDLE_CHANGE, LOCK_MS, NULL) == 0;

    if (ok) {
        ok = is_same(b, name, old) && is_below(b, name) && take_over(b, old) &&
             renameat(b->fd, HALF_DONE, b->fd, name) == 0;
        bundle_unlock(b, BUNDLE_CHANGE);
    }
    ok = ok && fsync(b->fd) == 0;
    json_decref(images);
    if (ok)
        sweep_noted(b);
    return ok;
}

static bool flatten(struct bundle *b, const char *name, struct vz_error *err)
{
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;
    struct vz_disk_create_options to = VZ_DISK_CREATE_OPTIONS_INIT;
    int fd = openat(b->fd, name, O_PATH | O_CLOEXEC | O_NOFOLLOW); /* so no other file gets its number meanwhile */
    struct stat old;
    bool ok;

    o.format = to.format = VZ_DISK_FORMAT_QCOW2; /* what is named stays what the configurations say that it is */
    to.replace = true;
    ok = fd >= 0 && fstat(fd, &old) == 0 && S_ISREG(old.st_mode) && bundle_enter(b, err) == 0;
    ok = ok && has_room(b, name, err) && vz_disk_convert(name, HALF_DONE, &o, &to, err) == 0 && replace(b, name, &old);
    if (!ok)
        unlinkat(b->fd, HALF_DONE, 0);
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Each disk with more layers than that; one after the other. */
static bool flatten_all(struct bundle *b, struct vz_error *err)
{
    for (struct flattening f = look(b); f.depth >= DUE_AT; f = look(b)) {
        char below[LAYER_NAME_MAX];

        if (!layer_below(b, f.top, below, err) || !*below || !flatten(b, below, err))
            return false;
    }
    return true;
}

/* With a descriptor and locks of its own: those of another process' are the same ones. */
static bool flatten_alone(const struct bundle *b, bool waits, struct vz_error *err)
{
    struct bundle own;
    bool ok;

    if (bundle_open(b->path, &own, err) < 0)
        return false;
    ok = bundle_lock_soon(&own, BUNDLE_FLATTEN, waits ? LOCK_MS : 0, err) == 0;
    if (ok) {
        unlinkat(own.fd, HALF_DONE, 0); /* a crash's */
        if (bundle_has(&own, TO_SWEEP)) /* likewise */
            sweep_noted(&own);
        ok = flatten_all(&own, err);
    }
    bundle_close(&own);
    return ok;
}

/* ---- Behind the user's back ----------------------------------------------------------------- */

static void come_last(void)
{
    setpriority(PRIO_PROCESS, 0, 19);
    (void)!syscall(SYS_ioprio_set, 1, 0, 3 << 13); /* this process, idle */
}

/* Without a terminal, and without anything that somebody may wait for the end of. */
static void be_nobodys(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    setsid();
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (syscall(SYS_close_range, 3, ~0U, 0) < 0) /* before Linux 5.9: a lock that is left is held */
        for (int fd = 3; fd < OPEN_MAX_HERE; fd++)
            close(fd);
}

/* Where the caller is, he stays: the next machine may be called by a relative path. */
static bool is_due(const struct bundle *b)
{
    int folder = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool is = look(b).depth >= DUE_AT || bundle_has(b, HALF_DONE) || bundle_has(b, TO_SWEEP);

    if (folder >= 0) {
        (void)!fchdir(folder);
        close(folder);
    }
    return is;
}

void flatten_behind(const struct bundle *b)
{
    struct vz_error ignored;

    if (!is_due(b))
        return;
    fflush(NULL);
    if (fork() != 0)
        return;
    be_nobodys();
    come_last();
    _exit(flatten_alone(b, false, &ignored) ? 0 : 1);
}

void flatten_where_full(const struct bundle *b)
{
    struct vz_error err = {.text = "somebody else is at it"};
    unsigned depth = look(b).depth;

    if (depth < FULL_AT)
        return;
    cli_error("%s: a disk of it has %u layers; making one of them", b->name, depth);
    if (!flatten_alone(b, true, &err))
        cli_error("%s: %s", b->name, err.text);
}
