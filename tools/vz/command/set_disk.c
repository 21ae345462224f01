/* SPDX-License-Identifier: MIT */
#include "command/set_disk.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <vz/disk.h>

#include "bundle/bundle.h"
#include "control/client.h"
#include "failure.h"

/* What can be set so: the member of the configuration, and that of limit-disk. */
static const struct setting {
    const char *key, *member, *param;
    bool is_size;
} settings[] = {
    {"limit-bytes", "limitBytes", "bytes", true},
    {"limit-operations", "limitOperations", "operations", false},
    {"limit-burst", "limitBurst", "burst", false},
    {"size", NULL, NULL, true},
};

/* Cut up a key: the number, and what is set; NULL: no such thing. */
static const struct setting *find(const char *key, unsigned long *ret_disk)
{
    char *end;

    *ret_disk = strtoul(key + strlen("disk."), &end, 10);
    for (size_t i = 0; *end == '.' && i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (!strcmp(end + 1, settings[i].key))
            return &settings[i];
    }
    return NULL;
}

bool set_disk_is(const char *key)
{
    return !strncmp(key, "disk.", 5) && isdigit((unsigned char)key[5]);
}

static bool parse(const struct setting *s, const char *value, uint64_t *ret, struct vz_error *err)
{
    char *end;

    if (!strcmp(value, "0")) {
        *ret = 0;
        return true;
    }
    if (s->is_size)
        return vz_size_parse(value, ret, err) == 0;
    *ret = strtoull(value, &end, 10);
    return (isdigit((unsigned char)*value) && !*end && *ret <= INT64_MAX) ||
           fail_false(err, VZ_ERROR_INVALID, "'%.40s': expected a number", value);
}

/* The disk of a configuration. */
static json_t *disk_of(json_t *config, unsigned long disk)
{
    return json_array_get(json_object_get(config, "storageDevices"), disk);
}

bool set_disk_apply(json_t *config, const char *key, const char *value, struct vz_error *err)
{
    unsigned long disk;
    const struct setting *s = find(key, &disk);
    json_t *device = disk_of(config, disk);
    uint64_t number;

    if (!s)
        return fail_false(err, VZ_ERROR_INVALID, "'%.80s': of a disk there are size, limit-bytes, limit-operations and "
                                                 "limit-burst", key);
    if (!device)
        return fail_false(err, VZ_ERROR_INVALID, "'%.80s': the machine has %zu disks, counted from 0", key,
                          json_array_size(json_object_get(config, "storageDevices")));
    if (!parse(s, value, &number, err))
        return false;
    return !s->member || json_object_set_new(device, s->member, json_integer((json_int_t)number)) == 0;
}

/* Its disks may be others than the configuration's, which has been changed since it started. */
static bool is_same(const struct bundle *b, json_t *config, unsigned long disk, struct vz_error *err)
{
    json_t *running = client_ask(b, "config", NULL, NULL, err);
    bool same = json_equal(json_object_get(disk_of(running, disk), "attachment"),
                           json_object_get(disk_of(config, disk), "attachment"));

    if (running && !same)
        fail(err, VZ_ERROR_INVALID_STATE, "disk %lu of the running machine is another one; it is changed when the machine "
                                          "starts the next time", disk);
    json_decref(running);
    return running && same;
}

static bool ask(const struct bundle *b, const char *method, json_t *params, struct vz_error *err)
{
    json_t *result = client_ask(b, method, params, NULL, err);

    json_decref(result);
    return result;
}

/* Of a machine that is off. */
static bool resize_image(json_t *device, uint64_t size, struct vz_error *err)
{
    json_t *attachment = json_object_get(device, "attachment");
    const char *path = json_string_value(json_object_get(attachment, "path"));
    const char *format = json_string_value(json_object_get(attachment, "format"));
    struct vz_disk_options o = VZ_DISK_OPTIONS_INIT;

    if (!path)
        return fail_false(err, VZ_ERROR_UNSUPPORTED, "it is no disk image");
    /* The running machine's layer grows, or nothing; the image below, which others may share, is not the machine's. */
    if (json_is_true(json_object_get(attachment, "readOnly")) || json_is_true(json_object_get(attachment, "ephemeral")))
        return fail_false(err, VZ_ERROR_INVALID_STATE, "'%.150s' is only read by this machine ('vz disk resize' makes it longer)",
                          path);
    o.backing = json_string_value(json_object_get(attachment, "backing"));
    if (format && !strcmp(format, "raw"))
        o.format = VZ_DISK_FORMAT_RAW;
    else if (format && !strcmp(format, "qcow2"))
        o.format = VZ_DISK_FORMAT_QCOW2;
    return vz_disk_resize(path, size, false, &o, err) == 0;
}

bool set_disk_now(const struct bundle *b, json_t *config, const char *key, const char *value,
                  struct vz_error *err)
{
    unsigned long disk;
    const struct setting *s = find(key, &disk);
    bool runs = bundle_is_running(b);
    uint64_t number;

    if (!parse(s, value, &number, err))
        return false;
    if (!runs)
        return s->member || resize_image(disk_of(config, disk), number, err);
    if (!is_same(b, config, disk, err))
        return false;
    return ask(b, s->member ? "limit-disk" : "resize-disk",
               json_pack("{s:I, s:I}", "disk", (json_int_t)disk, s->member ? s->param : "size",
                         (json_int_t)number), err);
}
