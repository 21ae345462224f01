/* SPDX-License-Identifier: MIT */
/* `vz usb list`: the USB devices of this host, for machines to have. */
#include "command/machine_command.h"

#include <string.h>

#include <vz/usb.h>

static const struct opt usb_options[] = {
    {"json", 'j', OPT_NEVER, NULL, "Options", "for programs: an array", NULL, 0}, {.name = NULL}};
static const char *const usb_verbs[] = {"list", NULL};

static void add_device(void *arg, const struct vz_host_usb_device *d)
{
    json_t *id = json_sprintf("%04x:%04x", d->vendor, d->product);

    json_array_append_new(arg, json_pack("{s:s, s:o, s:i, s:i, s:i, s:s, s:s, s:b}", "device", d->device, "id", id, "bus",
                                         (int)d->bus, "address", (int)d->address, "megabits", (int)d->megabits,
                                         "maker", d->maker, "name", d->name, "accessible", (int)d->accessible));
}

static const char *text_of(const json_t *d, const char *member)
{
    return json_string_value(json_object_get(d, member));
}

static int print_table(json_t *list)
{
    json_t *d;
    size_t i;

    printf("%-12s  %-9s  %-6s  %s\n", "DEVICE", "ID", "MBIT/S", "NAME");
    json_array_foreach(list, i, d) {
        const char *maker = text_of(d, "maker");

        printf("%-12s  %-9s  %6d  %s%s%s%s\n", text_of(d, "device"), text_of(d, "id"),
               (int)json_integer_value(json_object_get(d, "megabits")), maker, maker[0] ? " " : "", text_of(d, "name"),
               json_is_true(json_object_get(d, "accessible")) ? "" : " (this user may not use it)");
    }
    json_decref(list);
    return cli_finish_output();
}

static int usb_list(const struct args *a)
{
    json_t *list = json_array();
    struct vz_error err;

    if (vz_host_usb_devices(add_device, list, &err) < 0) {
        cli_error("%s", err.text);
        json_decref(list);
        return EXIT_FAILED;
    }
    if (args_flag(a, "json"))
        return print_json(list);
    if (json_array_size(list))
        return print_table(list);
    json_decref(list);
    cli_error("this host has no USB devices");
    return EXIT_OK;
}

static int usb_main(int argc, char **argv)
{
    struct args a;
    int status = EXIT_USAGE;

    if (args_parse(&usb_command, argc, argv, 1, 1, &a)) {
        if (!strcmp(a.word[0], "list"))
            status = usb_list(&a);
        else
            cli_error("'%s': is nothing that can be done with the host's USB devices (list)", a.word[0]);
    }
    args_free(&a);
    return status;
}

const struct command usb_command = {
    "usb", usb_main, NULL, usb_options, "show the USB devices of this host", usb_verbs, "list",
    "DEVICE, the port, is what 'vz run --usb host=DEVICE' and 'vz attach MACHINE usb host=DEVICE' take; or the ID, where "
    "there is only one of that. Hubs are not shown."};
