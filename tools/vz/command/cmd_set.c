/* SPDX-License-Identifier: MIT */
/* `vz set MACHINE KEY=VALUE...`, attach, detach: change a machine's configuration. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "command/live_usb.h"
#include "command/machine_change.h"
#include "command/set_disk.h"
#include "failure.h"

/* ---- Options of the library ----------------------------------------------------------------- */

struct search {
    const char *name;
    bool found, adds;
};

static void look_at(void *arg, const struct vz_description *d)
{
    struct search *s = arg;

    if (d->kind == VZ_DESCRIBES_OPTION && !strcmp(d->name, s->name)) {
        s->found = true;
        s->adds = d->object != NULL;
    }
}

static struct search find_option(const char *name)
{
    struct search s = {name, false, false};

    vz_config_describe(look_at, &s);
    return s;
}

static bool add(struct vz_config *c, const char *option, const char *value, struct vz_error *err)
{
    struct vz_error why = {.text = "out of memory"};

    return vz_config_add(c, option, value, &why) == 0 ||
           fail_false(err, why.code, "%s: %.200s", option, why.text);
}

/* ---- Members of the JSON form --------------------------------------------------------------- */

/* The value at "a.b[1].c": its holder, and in name or index where in that. NULL: there is no such place. */
static json_t *walk(json_t *at, const char *path, char name[64], size_t *ret_index)
{
    for (;;) {
        size_t len = strcspn(path, ".[");
        json_t *next;

        snprintf(name, 64, "%.*s", (int)(len < 63 ? len : 63), path);
        path += len;
        if (!*path)
            return json_is_object(at) ? at : NULL;
        next = json_object_get(at, name);
        while (next && *path == '[') {
            char *end;

            *ret_index = strtoul(path + 1, &end, 10);
            if (*end != ']' || !isdigit((unsigned char)path[1]))
                return NULL;
            path = end + 1;
            if (!*path) {
                name[0] = '\0';
                return json_is_array(next) && *ret_index < json_array_size(next) ? next : NULL;
            }
            next = json_array_get(next, *ret_index);
        }
        if (!next || *path != '.')
            return NULL;
        path++;
        at = next;
    }
}

static bool set_member(json_t *json, const char *path, const char *value, struct vz_error *err)
{
    json_t *new = json_loads(value, JSON_DECODE_ANY, NULL), *at;
    char name[64];
    size_t index;

    at = walk(json, path, name, &index);
    if (!new)
        new = json_string(value);
    if (at && new && name[0])
        return json_object_set_new(at, name, new) == 0;
    json_decref(new);
    return fail_false(err, VZ_ERROR_INVALID, "'%.80s': there is nothing of that name to be set ('vz inspect' shows "
                                             "what there is, 'vz run --help' the options)", path);
}

static json_t *find_uuid(json_t *list, const char *wanted, size_t *ret_index)
{
    json_t *d;
    size_t i;

    json_array_foreach(list, i, d) {
        const char *uuid = json_string_value(json_object_get(d, "uuid"));

        *ret_index = i;
        if (uuid && !strcmp(uuid, wanted))
            return list;
    }
    return NULL;
}

/* "storageDevices[1]", or the UUID of a USB device: where it is. NULL: there is none. */
static json_t *find_item(json_t *json, const char *path, size_t *ret_index)
{
    char name[64];
    json_t *at = walk(json, path, name, ret_index);

    if (at && !name[0])
        return at;
    at = find_uuid(json_object_get(json, "storageDevices"), path, ret_index);
    return at ? at : find_uuid(json_object_get(json, "usbDevices"), path, ret_index);
}

static bool remove_item(json_t *json, const char *path, struct vz_error *err)
{
    size_t index;
    json_t *at = find_item(json, path, &index);

    if (at)
        return json_array_remove(at, index) == 0;
    return fail_false(err, VZ_ERROR_INVALID,
                      "'%.80s': is no device; they are called as 'vz inspect' shows them, such as "
                      "storageDevices[1]", path);
}

/* ---- Changes -------------------------------------------------------------------------------- */

/* Sizes, and what a running machine does at once. */
static bool do_now(const struct bundle *b, const struct vz_config *config, const struct args *a,
                   unsigned *ret_count, struct vz_error *err)
{
    json_t *json = config_json(config, err);
    bool ok = json;

    *ret_count = 0;
    for (unsigned i = 1; ok && i < a->count; i++) {
        size_t len = strcspn(a->word[i], "=");
        char *key = strndup(a->word[i], len);

        if (key && set_disk_is(key)) {
            ok = set_disk_now(b, json, key, a->word[i] + len + 1, err);
            ++*ret_count;
        }
        free(key);
    }
    json_decref(json);
    return ok;
}

/* A device or a member by an option. */
static struct vz_config *with_option(const struct vz_config *old, const char *option, const char *value,
                                     struct vz_error *err)
{
    struct vz_config *new = vz_config_copy(old, err);

    if (!new || add(new, option, value, err))
        return new;
    vz_config_unref(new);
    return NULL;
}

static struct vz_config *with_disk(const struct vz_config *old, const char *key, const char *value,
                                   struct vz_error *err)
{
    json_t *json = config_json(old, err);
    struct vz_config *new = json && set_disk_apply(json, key, value, err) ? config_of_json(json, err) : NULL;

    json_decref(json);
    return new;
}

static struct vz_config *with_member(const struct vz_config *old, const char *path, const char *value,
                                     struct vz_error *err)
{
    json_t *json = config_json(old, err);
    struct vz_config *new = json && set_member(json, path, value, err) ? config_of_json(json, err) : NULL;

    json_decref(json);
    return new;
}

/* "KEY=VALUE", or "KEY" of an option without a value. */
static struct vz_config *apply(const struct vz_config *old, const char *word, struct vz_error *err)
{
    size_t len = strcspn(word, "=");
    const char *value = word[len] ? word + len + 1 : NULL;
    struct vz_config *new = NULL;
    char *key = strndup(word, len);
    struct search s = find_option(key ? key : "");

    if (!key)
        fail(err, VZ_ERROR_NO_MEMORY, "out of memory");
    else if (s.adds)
        fail(err, VZ_ERROR_INVALID, "%s: is a device; 'vz attach' adds one", key);
    else if (s.found)
        new = with_option(old, key, value, err);
    else if (value && set_disk_is(key))
        new = with_disk(old, key, value, err);
    else if (value)
        new = with_member(old, key, value, err);
    else
        fail(err, VZ_ERROR_INVALID, "'%.80s': expected KEY=VALUE", word);
    free(key);
    return new;
}

static struct vz_config *set_all(const struct vz_config *old, const struct args *a, struct vz_error *err)
{
    struct vz_config *c = vz_config_copy(old, err);

    for (unsigned i = 1; c && i < a->count; i++) {
        struct vz_config *next = apply(c, a->word[i], err);

        vz_config_unref(c);
        c = next;
    }
    return c;
}

/* Is it a device of the host that an option with that value adds? */
static bool is_host_usb(const char *option, const char *value)
{
    return !strcmp(option, "usb") && value && value[0];
}

/* The device of the host that an option with that value would add, where it has been added before; or NULL. */
static json_t *known_usb(const json_t *config, const char *option, const char *value)
{
    const char *name = is_host_usb(option, value) ? strchr(value, '=') : NULL, *its;
    size_t len = name ? strcspn(++name, ",") : 0, i;
    json_t *d;

    json_array_foreach(json_object_get(config, "usbDevices"), i, d) {
        its = json_string_value(json_object_get(d, "device"));
        if (name && its && strlen(its) == len && !strncmp(its, name, len))
            return d;
    }
    return NULL;
}

/* The last device of the host; or the last disk, if it is on USB; or NULL. */
static json_t *last_usb(const json_t *config, bool hosts)
{
    const json_t *list = json_object_get(config, hosts ? "usbDevices" : "storageDevices");
    json_t *last = json_array_get(list, json_array_size(list) - 1);

    return config_is_usb(last) ? last : NULL;
}

/* It gets a UUID, by which the running machine has it, too. */
static struct vz_config *name_last(struct vz_config *config, bool hosts, struct vz_error *err)
{
    json_t *json = config ? config_json(config, err) : NULL, *last = last_usb(json, hosts);
    struct vz_config *new = NULL;

    if (json && (!last || live_usb_name(last, err)))
        new = config_of_json(json, err);
    json_decref(json);
    vz_config_unref(config);
    return new;
}

static struct vz_config *attach_one(const struct vz_config *old, const struct args *a,
                                    struct vz_error *err)
{
    if (find_option(a->word[1]).adds)
        return name_last(with_option(old, a->word[1], a->word[2], err), is_host_usb(a->word[1], a->word[2]), err);
    fail(err, VZ_ERROR_INVALID, "'%.40s': is no kind of device (disk, net, console, ...: the devices of 'vz run "
                                "--help')", a->word[1]);
    return NULL;
}

static struct vz_config *detach_one(const struct vz_config *old, const struct args *a,
                                    struct vz_error *err)
{
    json_t *json = config_json(old, err);
    struct vz_config *new = json && remove_item(json, a->word[1], err) ? config_of_json(json, err) : NULL;

    json_decref(json);
    return new;
}

/* ---- The commands --------------------------------------------------------------------------- */

static bool change(struct bundle *b, const struct args *a, machine_change_fn *fn)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    struct vz_config *new = NULL;
    unsigned now = 0;
    bool ok = machine_change(b, a, fn, &err) && (new = bundle_config(b, &err)) && do_now(b, new, a, &now, &err);

    if (!ok)
        cli_error("%s: %s", b->name, err.text);
    else if (bundle_is_running(b) && now < a->count - 1)
        cli_error("%s: the machine runs; this takes effect when it is started the next time", b->name);
    vz_config_unref(new);
    return ok;
}

static bool set_machine(struct bundle *b, const struct args *a)
{
    return change(b, a, set_all);
}

/* ---- Devices that come and go --------------------------------------------------------------- */

/* What the running machine does not take is not stored either, unless it only lacks a controller until it starts again. */
static bool attach_now(struct bundle *b, json_t *device, bool is_new, struct vz_error *err)
{
    struct args undo = {.word = {NULL, json_string_value(json_object_get(device, "uuid"))}, .count = 2};
    struct vz_error ignored;

    if (live_usb_attach(b, device, err))
        return true;
    if (err->code == VZ_ERROR_USB_CONTROLLER_NOT_FOUND) {
        cli_error("%s: the machine runs, and has no USB controller; it has one, and this, when it is started the next time",
                  b->name);
        return true;
    }
    if (is_new)
        machine_change(b, &undo, detach_one, &ignored);
    return false;
}

/* One of the host that was pulled out of it is in the configuration still. */
static bool attach_usb(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    json_t *was = bundle_config_json(b, &err);
    bool is_new = was && !known_usb(was, a->word[1], a->word[2]);
    bool ok = was && (!is_new || machine_change(b, a, attach_one, &err));
    json_t *config = ok ? bundle_config_json(b, &err) : NULL;
    json_t *device = is_new ? last_usb(config, is_host_usb(a->word[1], a->word[2]))
                            : known_usb(config, a->word[1], a->word[2]);

    ok = device && live_usb_name(device, &err) && (!bundle_is_running(b) || attach_now(b, device, is_new, &err));
    if (!ok)
        cli_error("%s: %s", b->name, err.code ? err.text : "out of memory");
    json_decref(config);
    json_decref(was);
    return ok;
}

static bool attach_to_machine(struct bundle *b, const struct args *a)
{
    bool usb = !strcmp(a->word[1], "usb-disk") || !strcmp(a->word[1], "cdrom") || is_host_usb(a->word[1], a->word[2]);

    return usb ? attach_usb(b, a) : change(b, a, attach_one);
}

static struct vz_config *keep_controller(const struct vz_config *old, const struct args *a, struct vz_error *err)
{
    json_t *json = config_json(old, err);
    struct vz_config *new = NULL;

    if (json)
        config_keep_usb(json);
    if (json)
        new = config_of_json(json, err);
    json_decref(json);
    return new;
}

static bool detach_usb(struct bundle *b, const struct args *a, json_t *device, size_t index)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    bool running = bundle_is_running(b), gone = running, ok = machine_change(b, a, detach_one, &err);

    if (ok && running)
        ok = live_usb_detach(b, device, index, &gone, &err);
    if (ok && gone)
        ok = machine_change(b, a, keep_controller, &err);
    if (!ok)
        cli_error("%s: %s", b->name, err.text);
    else if (running && !gone)
        cli_error("%s: the machine that runs does not have it", b->name);
    return ok;
}

static bool detach_from_machine(struct bundle *b, const struct args *a)
{
    struct vz_error err = {.code = VZ_ERROR_NONE};
    size_t index;
    json_t *config = bundle_config_as_is(b, &err), *at = find_item(config, a->word[1], &index);
    json_t *device = at ? json_array_get(at, index) : NULL;
    bool ok = device && config_is_usb(device) && at == json_object_get(config, config_usb_list(device))
                  ? detach_usb(b, a, device, index) : change(b, a, detach_one);

    json_decref(config);
    return ok;
}

static int set_main(int argc, char **argv)
{
    return machine_one(&set_command, argc, argv, 2, ARGS_WORDS_MAX, set_machine);
}

static int attach_main(int argc, char **argv)
{
    return machine_one(&attach_command, argc, argv, 2, 3, attach_to_machine);
}

static int detach_main(int argc, char **argv)
{
    return machine_one(&detach_command, argc, argv, 2, 2, detach_from_machine);
}

const struct command set_command = {
    "set", set_main, NULL, no_options, "change a machine's configuration", NULL, "MACHINE KEY=VALUE...",
    "KEY is an option of vz run without its dashes, such as memory=2G or cpus=4, or a member of the configuration as vz "
    "inspect shows it, such as stopAtReset=true or networkDevices[0].mac=02:00:00:00:00:01. All of it is done or "
    "nothing. A machine that runs has it from its next start on, but for its disks, counted from 0: "
    "disk.N.limit-bytes=SIZE, disk.N.limit-operations=NUMBER and disk.N.limit-burst=MS limit their speed at once, "
    "and disk.N.size=SIZE makes one longer, which a running guest sees, too."};
const struct command attach_command = {
    "attach", attach_main, NULL, no_options, "give a machine another device", NULL,
    "MACHINE KIND [VALUE]",
    "As the options of vz run do: vz attach web disk data.img,ro. A machine that runs has it from its next start on; but "
    "usb-disk, cdrom and usb host=DEVICE (of the host's: 'vz usb list') at once, if it has a USB controller (which one with any "
    "USB device has, or with --usb)."};
const struct command detach_command = {
    "detach", detach_main, NULL, no_options, "take a device from a machine", NULL, "MACHINE DEVICE",
    "DEVICE is its place in the configuration, as vz inspect shows it: storageDevices[1]; or the uuid there. Files behind it "
    "stay. A machine that runs has it until it ends; but a USB disk, CD-ROM drive or device of the host is pulled out at once, and what its "
    "guest has not written to it yet is lost: unmount it there first."};
