/* SPDX-License-Identifier: MIT */
/* vz_config: what is set and added to it. Whether it makes sense is for validate.c. */
#include "config/config_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/error.h"
#include "config/limits.h"
#include "hv/hv.h"

OBJECT_DEFINE_COUNTED(config);

uint64_t vz_config_memory_min(void)
{
    return RAM_SIZE_MIN;
}

uint64_t vz_config_memory_max(void)
{
    struct sysinfo info;
    uint64_t have;

    if (sysinfo(&info) < 0)
        return RAM_SIZE_MAX;
    have = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
    return MIN(have, RAM_SIZE_MAX) & ~(MIB - 1);
}

unsigned vz_config_cpu_max(void)
{
    return HV_VCPUS_MAX;
}

/* All lists, for what is done to each alike. */
#define LISTS(c)                                                                                   \
    {                                                                                              \
        &(c)->serial_ports, &(c)->storage_devices, &(c)->network_devices, &(c)->console_devices,   \
            &(c)->entropy_devices, &(c)->balloon_devices, &(c)->socket_devices                     \
    }

static void destroy(void *object)
{
    struct vz_config *c = object;
    struct object_list *lists[] = LISTS(c);

    free(c->label);
    free(c->accel);
    free(c->jit);
    vz_boot_loader_unref(c->boot_loader);
    vz_platform_unref(c->platform);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (unsigned k = 0; k < lists[i]->count; k++)
            object_unref(lists[i]->item[k]);
        free(lists[i]->item);
    }
}

struct vz_config *vz_config_new(const struct vz_config_options *options, struct vz_error *err)
{
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;
    struct vz_config *c;

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    c = object_new(sizeof(*c), destroy, err);
    if (!c)
        return NULL;
    c->memory_size = o.memory_size;
    c->cpu_count = o.cpu_count;
    c->stop_at_reset = o.stop_at_reset;
    c->debug_exit = o.debug_exit;
    c->interpret_only = o.interpret_only;
    c->memory_preallocate = o.memory_preallocate;
    c->memory_huge_pages = o.memory_huge_pages;
    c->host_cpu = o.host_cpu;
    c->stdio_read_fd = STDIN_FILENO;
    c->stdio_write_fd = STDOUT_FILENO;
    c->label = o.label ? strdup(o.label) : NULL;
    c->accel = o.accel ? strdup(o.accel) : NULL;
    c->jit = o.jit ? strdup(o.jit) : NULL;
    c->platform = vz_generic_platform_new(NULL, err);
    if (!c->platform || (o.label && !c->label) || (o.accel && !c->accel) ||
        (o.jit && !c->jit)) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        vz_config_unref(c);
        return NULL;
    }
    return c;
}

static int list_add(struct object_list *list, void *object)
{
    void **item;

    if (!object)
        return -1;
    item = reallocarray(list->item, list->count + 1, sizeof(*item));
    if (!item)
        return -1;
    list->item = item;
    item[list->count++] = object_ref(object);
    return 0;
}

struct vz_config *config_copy(const struct vz_config *config, struct vz_error *err)
{
    struct vz_config_options o = {.size = sizeof(o), .label = config->label,
                                  .accel = config->accel, .memory_size = config->memory_size,
                                  .cpu_count = config->cpu_count,
                                  .stop_at_reset = config->stop_at_reset,
                                  .debug_exit = config->debug_exit,
                                  .interpret_only = config->interpret_only,
                                  .memory_preallocate = config->memory_preallocate,
                                  .memory_huge_pages = config->memory_huge_pages,
                                  .host_cpu = config->host_cpu,
                                  .jit = config->jit};
    struct vz_config *c = vz_config_new(&o, err);
    struct object_list *to[] = LISTS(c);
    const struct object_list *from[] = LISTS(config);
    int r = 0;

    if (!c)
        return NULL;
    c->stdio_read_fd = config->stdio_read_fd;
    c->stdio_write_fd = config->stdio_write_fd;
    vz_config_set_boot_loader(c, config->boot_loader);
    vz_config_set_platform(c, config->platform);
    for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
        for (unsigned k = 0; !r && k < from[i]->count; k++)
            r = list_add(to[i], from[i]->item[k]);
    }
    if (r < 0) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        vz_config_unref(c);
        return NULL;
    }
    return c;
}

void vz_config_set_memory_size(struct vz_config *config, uint64_t bytes)
{
    if (config)
        config->memory_size = bytes;
}

void vz_config_set_cpu_count(struct vz_config *config, unsigned count)
{
    if (config)
        config->cpu_count = count;
}

void vz_config_set_stop_at_reset(struct vz_config *config, bool stop)
{
    if (config)
        config->stop_at_reset = stop;
}

void vz_config_set_interpret_only(struct vz_config *config, bool on)
{
    if (config)
        config->interpret_only = on;
}

void vz_config_set_memory_preallocate(struct vz_config *config, bool on)
{
    if (config)
        config->memory_preallocate = on;
}

void vz_config_set_memory_huge_pages(struct vz_config *config, bool on)
{
    if (config)
        config->memory_huge_pages = on;
}

void vz_config_set_host_cpu(struct vz_config *config, bool on)
{
    if (config)
        config->host_cpu = on;
}

void vz_config_set_debug_exit(struct vz_config *config, bool on)
{
    if (config)
        config->debug_exit = on;
}

int vz_config_set_accel(struct vz_config *config, const char *name)
{
    char *copy = config ? strdup(name ? name : "auto") : NULL;

    if (!copy)
        return -1;
    free(config->accel);
    config->accel = copy;
    return 0;
}

int vz_config_set_jit(struct vz_config *config, const char *how)
{
    char *copy = how ? strdup(how) : NULL;

    if (!config || (how && !copy)) {
        free(copy);
        return -1;
    }
    free(config->jit);
    config->jit = copy;
    return 0;
}

void vz_config_set_boot_loader(struct vz_config *config, struct vz_boot_loader *loader)
{
    if (!config)
        return;
    vz_boot_loader_ref(loader);
    vz_boot_loader_unref(config->boot_loader);
    config->boot_loader = loader;
}

void vz_config_set_platform(struct vz_config *config, struct vz_platform *platform)
{
    if (!config || !platform)
        return; /* there is always one; its identity stays */
    vz_platform_ref(platform);
    vz_platform_unref(config->platform);
    config->platform = platform;
}

#define DEFINE_ADD(name)                                                                           \
    int vz_config_add_##name(struct vz_config *config, struct vz_##name *object)                   \
    {                                                                                              \
        return config ? list_add(&config->name##s, object) : -1;                                   \
    }                                                                                              \
    struct vz_##name
DEFINE_ADD(serial_port);
DEFINE_ADD(storage_device);
DEFINE_ADD(network_device);
DEFINE_ADD(console_device);
DEFINE_ADD(entropy_device);
DEFINE_ADD(balloon_device);
DEFINE_ADD(socket_device);

bool vz_config_uses_stdio(const struct vz_config *c)
{
    for (unsigned i = 0; c && i < c->serial_ports.count; i++) {
        if (config_serial_port(c, i)->attachment->kind == SERIAL_STDIO)
            return true;
    }
    for (unsigned i = 0; c && i < c->console_devices.count; i++) {
        const struct vz_console_device *d = config_console_device(c, i);

        for (unsigned k = 0; k < d->port_count; k++) {
            if (d->port[k].attachment->kind == SERIAL_STDIO)
                return true;
        }
    }
    return false;
}

void vz_config_set_stdio(struct vz_config *config, int read_fd, int write_fd)
{
    if (!config)
        return;
    config->stdio_read_fd = read_fd;
    config->stdio_write_fd = write_fd;
}
