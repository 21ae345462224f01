/* SPDX-License-Identifier: MIT */
/* The configuration of a machine that is made: what the options say, and what goes without saying. */
#include "create/create.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/config_json.h"
#include "bundle/copy.h"
#include "failure.h"

/* A file of that name can still be meant, by ./NAME. */
bool create_disk_size(const char *value, uint64_t *ret)
{
    return value[0] >= '0' && value[0] <= '9' && !strchr(value, '/') && !strchr(value, ',') &&
           vz_size_parse(value, ret, NULL) == 0;
}

static bool add(struct vz_config *c, const char *option, const char *value, struct vz_error *err)
{
    struct vz_error why = {.text = "out of memory"};

    if (vz_config_add(c, option, value, &why) == 0)
        return true;
    return fail_false(err, why.code, "--%s%s%.60s%s: %.160s", option, value ? " '" : "", value ? value : "",
                      value ? "'" : "", why.text);
}

static bool is_own(const struct opt *o)
{
    for (const struct opt *own = create_command.options; own->name; own++) {
        if (!strcmp(o->name, own->name))
            return true;
    }
    return false;
}

/* Those that change what others add come last. */
static bool is_late(const char *name)
{
    return !strcmp(name, "forward") || !strcmp(name, "ephemeral");
}

static bool add_given(struct vz_config *c, const struct args *a, bool late, struct vz_error *err)
{
    uint64_t size;

    for (const struct given *g = a->given; g->opt; g++) {
        bool disk = !strcmp(g->opt->name, "disk") && !create_disk_size(g->value, &size);

        if (is_late(g->opt->name) == late && (disk || !is_own(g->opt)) &&
            !add(c, g->opt->name, g->value, err))
            return false;
    }
    return true;
}

/* What machines in folders have, unless something else was said. */
static bool add_usual(struct vz_config *c, const struct args *a, struct vz_error *err)
{
    static const struct {
        const char *option, *value;
    } usual[] = {{"net", "nat"}, {"rng", NULL}, {"balloon", NULL}, {"vsock", NULL}};
    bool console = args_value(a, "serial") ||
                   (args_value(a, "console") && !strcmp(args_value(a, "console"), "stdio"));

    if (!console && !add(c, "serial", "stdio", err))
        return false;
    if (!args_value(a, "cpus") && !args_flag(a, "config") && sysconf(_SC_NPROCESSORS_ONLN) > 1)
        vz_config_set_cpu_count(c, 2);
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
        if (!args_flag(a, usual[i].option) && !add(c, usual[i].option, usual[i].value, err))
            return false;
    }
    return true;
}

/* Have a file of the boot loader in the folder too, so that the machine is all there. */
static bool take_in(json_t *loader, const char *member, const struct bundle *draft, struct vz_error *err)
{
    const char *path = json_string_value(json_object_get(loader, member));

    return !path ||
           (copy_file(AT_FDCWD, path, draft->fd, member, NULL, NULL, err) == 0 &&
            json_object_set_new(loader, member, json_string(member)) == 0);
}

/* Firmware's variables are as much the machine's as its disk is: those that are there are copied. */
static bool take_in_store(json_t *loader, const struct bundle *draft, struct vz_error *err)
{
    const char *type = json_string_value(json_object_get(loader, "type"));
    const char *path = json_string_value(json_object_get(loader, "variableStore"));

    if (!type || strcmp(type, "efi"))
        return true;
    if (path && access(path, F_OK) == 0 &&
        copy_file(AT_FDCWD, path, draft->fd, CREATE_STORE, NULL, NULL, err) < 0)
        return false;
    return json_object_set_new(loader, "variableStore", json_string(CREATE_STORE)) == 0 ||
           fail_false(err, VZ_ERROR_NO_MEMORY, "out of memory");
}

static struct vz_config *take_in_boot_files(const struct vz_config *c, const struct bundle *draft,
                                            struct vz_error *err)
{
    json_t *json = config_json(c, err), *loader = json_object_get(json, "bootLoader");
    struct vz_config *result = NULL;

    if (json && take_in(loader, "kernel", draft, err) && take_in(loader, "initrd", draft, err) &&
        take_in_store(loader, draft, err))
        result = config_of_json(json, err);
    json_decref(json);
    return result;
}

/* Firmware starts what is on the disk, and before there is anything the installer, which wants to be seen. */
static bool add_installer(struct vz_config *c, const struct args *a, struct vz_error *err)
{
    static const char *const seen[] = {"display", "keyboard", "pointer"};

    bool firmware = !args_flag(a, "efi") && !args_flag(a, "kernel") && !args_flag(a, "boot-disk");

    if ((firmware && !add(c, "efi", NULL, err)) || !add(c, "cdrom", CREATE_DISC, err))
        return false;
    if (firmware && !args_flag(a, "boot-order") && !add(c, "boot-order", "disk,cdrom", err))
        return false;
    for (size_t i = 0; i < sizeof(seen) / sizeof(seen[0]); i++) {
        if (!args_flag(a, seen[i]) && !add(c, seen[i], NULL, err))
            return false;
    }
    return true;
}

static bool fill(struct vz_config *c, const struct args *a, bool has_disk, bool boots, bool installs, const char *seed,
                 struct vz_error *err)
{
    if (has_disk && !add(c, boots ? "boot-disk" : "disk", CREATE_DISK ",format=raw", err))
        return false;
    if (seed && !add(c, "seed", seed, err))
        return false;
    if (installs && !add_installer(c, a, err))
        return false;
    return add_given(c, a, false, err) && add_usual(c, a, err) && add_given(c, a, true, err);
}

struct vz_config *create_config(const struct bundle *draft, const struct args *a, bool has_disk,
                                bool boots, struct vz_error *err)
{
    struct vz_config *c = vz_config_new(NULL, err), *absolute = NULL, *result = NULL;
    const char *seed = bundle_has(draft, CREATE_SEED) ? CREATE_SEED : NULL;
    bool installs = bundle_has(draft, CREATE_DISC);
    const char *const own[] = {has_disk ? CREATE_DISK : CREATE_SEED, CREATE_SEED, CREATE_DISC, NULL};
    char *here = get_current_dir_name();

    if (c && here && fill(c, a, has_disk, boots && !installs, installs, seed, err))
        absolute = config_absolute(c, here, own, err);
    if (absolute)
        result = take_in_boot_files(absolute, draft, err);
    vz_config_unref(absolute);
    vz_config_unref(c);
    free(here);
    return result;
}
