/* SPDX-License-Identifier: MIT */
/* Building a machine's parts and taking them apart. */
#include "api/parts.h"

#include <errno.h>
#include <string.h>

#include "api/accel.h"
#include "api/config_impl.h"
#include "base/error.h"
#include "board/pc/boot/boot.h"
#include "board/pc/memory_map.h"
#include "bus/bus.h"
#include "loop/loop.h"

static int out_of_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

static int create_memory(struct parts *p, struct vz_error *err)
{
    uint64_t size = p->config->o.memory_size;
    uint64_t low = memory_map_low(size), high = memory_map_high(size);
    int r = mem_create(size, &p->mem, err);

    if (r < 0)
        return r;
    r = mem_add(p->mem, 0, low, false);
    if (!r && high)
        r = mem_add(p->mem, HIGH_RAM_BASE, high, false);
    return r < 0 ? out_of_memory(err) : 0;
}

static int create_vm(struct parts *p, struct vz_error *err)
{
    struct hv_vm_desc desc = {.mem = p->mem, .loop = p->loop, .io = &bus_io_ops,
                              .vcpu_count = p->config->o.cpu_count, .io_arg = p->bus};
    int r = p->hv->vm_create(&desc, &p->vm, err);

    for (unsigned i = 0; !r && i < desc.vcpu_count; i++) {
        r = p->hv->vcpu_create(p->vm, i, &p->vcpu[i]);
        if (r < 0)
            error_set(err, -r, VZ_ERROR_NO_MEMORY, "CPU %u: %s", i, strerror(-r));
    }
    return r;
}

static int build(struct parts *p, struct vz_error *err)
{
    int r = accel_find(p->config->o.accel, &p->hv, err);

    if (!r)
        r = create_memory(p, err);
    if (r < 0)
        return r;
    if (loop_create(&p->loop) < 0 || bus_create(&p->bus) < 0)
        return out_of_memory(err);
    r = create_vm(p, err);
    if (!r)
        bus_set_hv(p->bus, p->hv, p->vm);
    return r;
}

int parts_init(struct parts *p, const struct vz_config *config, parts_request_fn *request,
               void *request_arg, struct vz_error *err)
{
    *p = (struct parts){.config = config, .request = request, .request_arg = request_arg};
    return build(p, err); /* the caller calls parts_fini() in any case */
}

void parts_fini(struct parts *p)
{
    if (p->vm)
        p->hv->vm_destroy(p->vm); /* and its vCPUs */
    bus_destroy(p->bus);
    loop_destroy(p->loop);
    mem_destroy(p->mem);
}

int parts_boot(struct parts *p, struct vz_error *err)
{
    const struct vz_config_options *o = &p->config->o;
    struct boot_params params = {.kernel_path = o->kernel, .initrd_path = o->initrd,
                                 .cmdline = o->cmdline, .ram_size = o->memory_size};
    struct x86_cpu_state state;
    int r = p->hv->vcpu_get(p->vcpu[0], &state);

    if (!r)
        r = boot_load(&params, p->mem, &state, err);
    if (r < 0)
        return r;
    r = p->hv->vcpu_set(p->vcpu[0], &state);
    for (unsigned i = 1; !r && i < o->cpu_count; i++) {
        r = p->hv->vcpu_get(p->vcpu[i], &state);
        boot_prepare_cpu(&state);
        if (!r)
            r = p->hv->vcpu_set(p->vcpu[i], &state);
    }
    if (r < 0)
        error_set(err, -r, VZ_ERROR_INTERNAL, "CPU state refused: %s", strerror(-r));
    return r;
}

void parts_reset(struct parts *p)
{
    p->hv->vm_reset(p->vm);
    bus_reset(p->bus);
}

void parts_drain(struct parts *p)
{
}
