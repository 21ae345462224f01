/* SPDX-License-Identifier: MIT */
/* Building a machine's parts and taking them apart. */
#include "machine/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "board/pc/board.h"
#include "board/pc/boot/boot.h"
#include "config/objects.h"
#include "hv/accel.h"
#include "hv/hv_x86.h"
#include "loop/loop.h"

static int out_of_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

static int open_slots(struct parts *p, const struct parts_owner *owner, struct vz_error *err)
{
    const struct vz_config *c = p->config;
    const struct device_env env = {.loop = p->loop, .cpu_count = c->options.cpu_count,
                                   .share_count = c->directory_sharing_devices.count,
                                   .ram_size = c->options.memory_size,
                                   .identifier = c->platform->identifier.bytes,
                                   .label = c->options.label,
                                   .stdio_read_fd = c->stdio_read_fd,
                                   .stdio_write_fd = c->stdio_write_fd, .tell = owner->tell, .goes_on = owner->goes_on,
                                   .nat = owner->nat, .nbd = owner->nbd, .arg = owner->arg,
                                   .restored = owner->restored};

    if (device_slots_new(&env, &p->slots) < 0)
        return out_of_memory(err);
    return device_slots_open(p->slots, pc_device_kinds, c, err);
}

/* Where Linux is to be heard: the last one is its own console. COM1 comes first though it may lead
 * nowhere, since hvc0's driver may be a module, and an initrd's init ends without any console. */
static const char *consoles_of(const struct vz_config *c)
{
    for (unsigned i = 0; i < c->serial_ports.count; i++) {
        if (config_serial_port(c, i)->is_virtio)
            return "console=ttyS0 console=hvc0";
    }
    return "console=ttyS0";
}

_Static_assert(1 + VZ_BOOT_MODULES_MAX <= BOOT_MODULES_MAX, "an initrd and its modules");

/* What the configuration says of the disk to boot from, if it is one of the machine's. */
static const struct vz_storage_attachment *boot_disk_of(const struct vz_config *c)
{
    for (unsigned i = 0; c->boot_loader->options.disk && i < c->storage_devices.count; i++) {
        const struct vz_storage_attachment *a = config_storage_device(c, i)->attachment;

        if (a->path && !strcmp(a->path, c->boot_loader->options.disk))
            return a;
    }
    return NULL;
}

/* params points to module[], which has room for BOOT_MODULES_MAX. */
static struct boot_params boot_params_of(const struct parts *p, struct boot_module *module)
{
    const struct vz_config *c = p->config;
    const struct vz_boot_loader *b = c->boot_loader;
    const struct vz_storage_attachment *disk = boot_disk_of(c);
    unsigned count = 0;

    if (b->options.initrd)
        module[count++] = (struct boot_module){.path = b->options.initrd};
    for (unsigned i = 0; i < b->options.module_count; i++)
        module[count++] = (struct boot_module){b->options.modules[i].path,
                                               b->options.modules[i].text};
    return (struct boot_params){.kernel_path = b->options.kernel, .modules = module,
                                .module_count = count,
                                .disk_path = b->options.disk,
                                .disk_format = disk ? (enum disk_format)disk->format : 0,
                                .disk_backing = disk ? disk->backing : NULL, .cmdline = b->options.cmdline,
                                .consoles = consoles_of(c),
                                .ram_size = c->options.memory_size};
}

static bool has_firmware(const struct parts *p)
{
    return schema_type_of(p->config->boot_loader) == &config_efi_type;
}

static int open_boot_files(struct parts *p, struct vz_error *err)
{
    const struct vz_efi_boot_loader_options *efi = &p->config->boot_loader->efi;
    const struct firmware_params firmware = {.code = efi->firmware, .store = efi->variable_store,
                                            .secure_boot = efi->secure_boot, .boot_order = efi->boot_order,
                                            .boot_once = efi->boot_once, .menu_wait = efi->boot_menu_wait};
    struct boot_module module[BOOT_MODULES_MAX];
    const struct boot_params params = boot_params_of(p, module);

    return has_firmware(p) ? firmware_open(&firmware, &p->firmware, err)
                           : boot_open(&params, &p->boot, err);
}

static int create_board(struct parts *p, const struct parts_owner *owner, struct vz_error *err)
{
    const struct vz_config *c = p->config;
    struct board_options options = {
        .ram_size = c->options.memory_size,
        .window_size = config_dax_sizes(c),
        .vcpu_count = c->options.cpu_count,
        .hv = p->hv,
        .loop = p->loop,
        .slots = p->slots,
        .debug_exit = c->options.debug_exit,
        .jit = c->options.interpret_only ? "off" : c->options.jit,
        .name = c->options.label,
        .items = c->firmware_item,
        .item_count = c->firmware_item_count,
        .firmware = has_firmware(p) ? &p->firmware : NULL,
        .memory_preallocate = c->options.memory_preallocate,
        .memory_huge_pages = c->options.memory_huge_pages,
        .memory_strict = getenv("VZ_STRICT_MEMORY") != NULL,
        .host_cpu = c->options.host_cpu,
        .requests = {.request = owner->request, .arg = owner->arg},
    };
    int r;

    options.memory_shared = !owner->map_memory && p->hv->memory_shared && p->hv->memory_shared(options.jit);
    memcpy(options.uuid, c->platform->identifier.bytes, sizeof(options.uuid));
    r = board_create(&options, &p->board, err);
    if (!r)
        p->vm = p->board->vm;
    return r;
}

static int create_vcpus(struct parts *p, struct vz_error *err)
{
    int r = 0;

    for (unsigned i = 0; !r && i < p->config->options.cpu_count; i++) {
        r = p->hv->vcpu_create(p->vm, i, &p->vcpu[i]);
        if (r < 0)
            error_set(err, -r, VZ_ERROR_NO_MEMORY, "CPU %u: %s", i, strerror(-r));
    }
    return r;
}

/* Ask the host for all that the machine needs of it. */
static int open_all(struct parts *p, const struct parts_owner *owner, struct vz_error *err)
{
    int r = accel_choose(p->config->options.accel, &p->hv, err);

    if (r < 0)
        return r;
    r = loop_create(&p->loop);
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make the event loop: %s", strerror(-r));
    r = open_slots(p, owner, err);
    if (!r)
        r = open_boot_files(p, err);
    return r ? r : create_board(p, owner, err);
}

int parts_init(struct parts *p, const struct vz_config *config, const struct parts_owner *owner,
               struct vz_error *err)
{
    int r;

    *p = (struct parts){.config = config};
    tsc_rate_start(&p->tsc);
    r = open_all(p, owner, err);
    if (!r && owner->opened)
        r = owner->opened(owner->arg, err);
    /* ---- The line: from here on no file is opened, no socket made, no interface asked for. ---- */
    if (!r)
        r = board_populate(p->board, err);
    if (!r)
        r = device_slots_start(p->slots, err);
    return r ? r : create_vcpus(p, err); /* the caller calls parts_fini() in any case */
}

void parts_fini(struct parts *p)
{
    for (unsigned i = 0; i < HV_VCPUS_MAX && p->vcpu[i]; i++)
        p->hv->vcpu_destroy(p->vcpu[i]);
    board_destroy(p->board);
    device_slots_free(p->slots);
    boot_close(&p->boot);
    firmware_close(&p->firmware);
    loop_fd_remove(p->wake);
    loop_destroy(p->loop);
    parts_forget_frozen(p);
    *p = (struct parts){.config = p->config};
}

void parts_abandon(struct parts *p)
{
    boot_close(&p->boot);
    loop_fd_remove(p->wake);
    *p = (struct parts){.config = p->config};
}

/* Reading kernel and initrd has taken a while, in which the TSC goes on: for programs that run directly it has to
 * be the host's. */
static int first_cpu(struct parts *p, struct x86_cpu_state *state)
{
    struct x86_cpu_state now;
    int r = hv_x86_get(p->hv, p->vcpu[0], &now);

    if (r)
        return r;
    state->tsc = now.tsc;
    return hv_x86_set(p->hv, p->vcpu[0], state);
}

/* Firmware begins where a reset has put the CPUs. */
int parts_boot(struct parts *p, struct vz_error *err)
{
    struct boot_module module[BOOT_MODULES_MAX];
    struct boot_params params = boot_params_of(p, module);
    struct x86_cpu_state state;
    int r;

    if (has_firmware(p))
        return 0;
    r = hv_x86_get(p->hv, p->vcpu[0], &state);
    params.rsdp_gpa = p->board->rsdp;
    if (!r)
        r = boot_load(&params, &p->boot, p->board->mem, &state, err);
    if (r < 0)
        return r;
    r = first_cpu(p, &state);
    for (unsigned i = 1; !r && i < p->config->options.cpu_count; i++) {
        r = hv_x86_get(p->hv, p->vcpu[i], &state);
        boot_prepare_cpu(&state);
        if (!r)
            r = hv_x86_set(p->hv, p->vcpu[i], &state);
    }
    if (r < 0)
        error_set(err, -r, VZ_ERROR_INTERNAL, "CPU state refused: %s", strerror(-r));
    return r;
}

void parts_stats(const struct parts *p, hv_stats_fn *fn, void *arg)
{
    bus_stats_tell(&p->board->bus->stats, fn, arg);
    device_slots_stats(p->slots, fn, arg);
    fn(arg, "serial.lost_output", device_slots_lost_output(p->slots));
}
