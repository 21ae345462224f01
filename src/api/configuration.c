/* SPDX-License-Identifier: MIT */
/* vz_config: options are copied up to the size the caller knows, then checked as a whole. */
#include "api/config_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "base/compiler.h"
#include "base/error.h"
#include "board/pc/memory_map.h"
#include "hv/hv.h"

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
    return MIN(have, RAM_SIZE_MAX) & ~(uint64_t)(MEM_PAGE_SIZE - 1);
}

unsigned vz_config_cpu_max(void)
{
    return HV_VCPUS_MAX;
}

static int check_memory(uint64_t size, struct vz_error *err)
{
    if (size < vz_config_memory_min() || size > vz_config_memory_max())
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "memory size %llu KiB is not between %llu KiB and %llu KiB",
                         (unsigned long long)(size / KIB),
                         (unsigned long long)(vz_config_memory_min() / KIB),
                         (unsigned long long)(vz_config_memory_max() / KIB));
    if (size % MEM_PAGE_SIZE)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "memory size %llu is not a multiple of %u", (unsigned long long)size,
                         MEM_PAGE_SIZE);
    return 0;
}

static int check_options(const struct vz_config_options *o, struct vz_error *err)
{
    int r = check_memory(o->memory_size, err);

    if (r < 0)
        return r;
    if (o->cpu_count < 1 || o->cpu_count > HV_VCPUS_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "CPU count %u is not between 1 and %u",
                         o->cpu_count, HV_VCPUS_MAX);
    if (!o->accel || !o->accel[0])
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "no accelerator named");
    if (!o->kernel)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "no kernel given");
    if ((unsigned)o->serial > VZ_SERIAL_FILE)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "serial kind %d is unknown", o->serial);
    if (o->serial == VZ_SERIAL_FILE && !o->serial_path)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "serial file without a path");
    return 0;
}

static bool copy_string(const char **s)
{
    return !*s || (*s = strdup(*s));
}

/* A copy of *o with strings of its own, or NULL. */
static struct vz_config *make(const struct vz_config_options *o)
{
    struct vz_config *c = calloc(1, sizeof(*c));
    const char **strings[] = {&c->o.accel, &c->o.kernel, &c->o.initrd, &c->o.cmdline,
                              &c->o.serial_path};
    bool ok = true;

    if (!c)
        return NULL;
    c->o = *o;
    for (size_t i = 0; i < ARRAY_SIZE(strings); i++)
        ok = copy_string(strings[i]) && ok; /* all of them: none may stay the caller's */
    if (!ok) {
        vz_config_free(c);
        return NULL;
    }
    return c;
}

struct vz_config *vz_config_new(const struct vz_config_options *options, struct vz_error *err)
{
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;
    struct vz_config *c;

    if (!options || options->size < offsetof(struct vz_config_options, accel) ||
        options->size > sizeof(o)) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "options of an unknown size");
        return NULL;
    }
    memcpy(&o, options, options->size);
    o.size = sizeof(o);
    if (check_options(&o, err) < 0)
        return NULL;
    c = make(&o);
    if (!c)
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    return c;
}

struct vz_config *config_copy(const struct vz_config *config)
{
    return make(&config->o);
}

void vz_config_free(struct vz_config *c)
{
    if (!c)
        return;
    free((char *)c->o.accel);
    free((char *)c->o.kernel);
    free((char *)c->o.initrd);
    free((char *)c->o.cmdline);
    free((char *)c->o.serial_path);
    free(c);
}
