/* SPDX-License-Identifier: MIT */
/* `vz insert MACHINE [DEVICE] IMAGE` and `vz eject MACHINE [DEVICE]`: what is in a machine's CD-ROM drive. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "command/live_usb.h"
#include "command/machine_change.h"
#include "control/client.h"
#include "failure.h"

/* The words of one command. */
struct disc {
    const char *drive;  /* "storageDevices[1]", or a UUID; NULL: the first */
    const char *image;  /* NULL: none */
    bool force;
};

static struct disc words_of(const struct args *a, bool insert)
{
    struct disc d = {.force = args_flag(a, "force")};

    if (insert)
        d.image = a->word[a->count - 1];
    if (a->count > (insert ? 2 : 1))
        d.drive = a->word[1];
    return d;
}

static bool is_called(const json_t *device, size_t index, const char *name)
{
    const char *uuid = json_string_value(json_object_get(device, "uuid"));
    char place[48];

    snprintf(place, sizeof(place), "storageDevices[%zu]", index);
    return !name || !strcmp(place, name) || (uuid && !strcmp(uuid, name));
}

/* The drive in a configuration. NULL with err: there is none. */
static json_t *find_drive(json_t *config, const char *name, size_t *ret_index, struct vz_error *err)
{
    json_t *device;
    size_t i;

    json_array_foreach(json_object_get(config, "storageDevices"), i, device) {
        const char *type = json_string_value(json_object_get(device, "type"));

        *ret_index = i;
        if (type && !strcmp(type, "usbCdrom") && is_called(device, i, name))
            return device;
    }
    if (name)
        fail(err, VZ_ERROR_DEVICE_NOT_FOUND, "'%.60s' is no CD-ROM drive ('vz inspect' shows storageDevices)", name);
    else
        fail(err, VZ_ERROR_DEVICE_NOT_FOUND, "it has no CD-ROM drive ('vz attach MACHINE cdrom IMAGE' gives it one)");
    return NULL;
}

static bool is_address(const char *image)
{
    return !strncmp(image, "nbd", 3) && strstr(image, "://");
}

static json_t *attachment_of(const struct disc *d)
{
    if (d->image && is_address(d->image))
        return json_pack("{s:s, s:s}", "type", "nbd", "uri", d->image);
    return d->image ? json_pack("{s:s, s:s}", "type", "diskImage", "path", d->image) : json_pack("{s:s}", "type", "empty");
}

static struct vz_config *with_disc(const struct vz_config *old, const struct disc *d, struct vz_error *err)
{
    json_t *json = config_json(old, err);
    struct vz_config *new = NULL;
    size_t index;
    json_t *drive = json ? find_drive(json, d->drive, &index, err) : NULL;

    if (drive && json_object_set_new(drive, "attachment", attachment_of(d)) == 0)
        new = config_of_json(json, err);
    json_decref(json);
    return new;
}

static struct vz_config *inserted(const struct vz_config *old, const struct args *a, struct vz_error *err)
{
    const struct disc d = words_of(a, true);

    return with_disc(old, &d, err);
}

static struct vz_config *ejected(const struct vz_config *old, const struct args *a, struct vz_error *err)
{
    const struct disc d = words_of(a, false);

    return with_disc(old, &d, err);
}

/* In the machine that runs, first: its guest may keep the drive closed. */
static bool change_now(const struct bundle *b, const struct disc *d, struct vz_error *err)
{
    json_t *config = bundle_config_as_is(b, err), *result = NULL;
    size_t index;
    json_t *drive = config ? find_drive(config, d->drive, &index, err) : NULL;
    int number = drive ? live_usb_number(b, drive, index, err) : -1;
    char *path = !d->image ? NULL : is_address(d->image) ? strdup(d->image) : realpath(d->image, NULL);
    const struct disc there = {.image = path};

    if (d->image && !path)
        fail_errno(err, d->image);
    else if (number >= 0)
        result = client_ask(b, "set-disc", json_pack("{s:i, s:o, s:b}", "disk", number, "attachment", attachment_of(&there),
                                                     "force", (int)d->force), NULL, err);
    free(path);
    json_decref(result);
    json_decref(config);
    return result;
}

static bool change(struct bundle *b, const struct args *a, machine_change_fn *fn)
{
    const struct disc d = words_of(a, fn == inserted);
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool ok = (!bundle_is_running(b) || change_now(b, &d, &err)) && machine_change(b, a, fn, &err);

    if (!ok)
        cli_error("%s: %s", b->name, err.code ? err.text : "out of memory");
    return ok;
}

static bool insert(struct bundle *b, const struct args *a)
{
    return change(b, a, inserted);
}

static bool eject(struct bundle *b, const struct args *a)
{
    return change(b, a, ejected);
}

static const struct opt disc_options[] = {
    {"force", 0, OPT_NEVER, NULL, "Options", "though the guest keeps the drive closed", NULL, 0},
    {.name = NULL}};

static int insert_main(int argc, char **argv)
{
    return machine_one(&insert_command, argc, argv, 2, 3, insert);
}

static int eject_main(int argc, char **argv)
{
    return machine_one(&eject_command, argc, argv, 1, 2, eject);
}

const struct command insert_command = {
    "insert", insert_main, NULL, disc_options, "put a disc into a machine's CD-ROM drive", NULL, "MACHINE [DEVICE] IMAGE",
    "IMAGE is a file, or an address as nbd://HOST/EXPORT. DEVICE is the drive, as in vz detach; without one it is the "
    "first. A machine that runs has it at once, in place of what was in the drive, and from its next start on. A guest that uses the disc of before (one that is mounted) keeps the drive "
    "closed: then it is asked to eject the disc, as by the button of a drive, and this fails unless --force is given."};
const struct command eject_command = {
    "eject", eject_main, NULL, disc_options, "take the disc out of a machine's CD-ROM drive", NULL, "MACHINE [DEVICE]",
    "As vz insert, with no disc."};
