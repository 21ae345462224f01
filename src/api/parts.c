/* SPDX-License-Identifier: MIT */
/* Building a machine's parts and taking them apart. */
#include "api/parts.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "api/accel.h"
#include "api/config_impl.h"
#include "base/error.h"
#include "base/log.h"
#include "board/pc/board.h"
#include "board/pc/boot/boot.h"
#include "char/char.h"
#include "loop/loop.h"

static int out_of_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

static int create_serial(struct parts *p, struct vz_error *err)
{
    const struct vz_config_options *o = &p->config->o;

    switch (o->serial) {
    case VZ_SERIAL_FDS:
        return char_fd_create(p->loop, o->serial_read_fd, o->serial_write_fd, &p->serial, err);
    case VZ_SERIAL_FILE:
        return char_file_create(p->loop, o->serial_path, &p->serial, err);
    default:
        return char_null_create(p->loop, &p->serial, err);
    }
}

static void on_chipset_request(void *arg, enum chipset_request kind, uint32_t value)
{
    static const enum parts_request kinds[] = {
        [CHIPSET_POWER_OFF] = PARTS_POWER_OFF,
        [CHIPSET_RESET] = PARTS_RESET,
        [CHIPSET_DEBUG_EXIT] = PARTS_DEBUG_EXIT,
    };
    struct parts *p = arg;

    p->request(p->request_arg, kinds[kind], value);
}

static bool is_zero(const uint8_t uuid[16])
{
    static const uint8_t zero[16];

    return !memcmp(uuid, zero, sizeof(zero));
}

/* RFC 9562 5.4. 16 bytes are never cut short, and never waited for once a host is up. */
static void random_uuid(uint8_t uuid[16])
{
    if (getrandom(uuid, 16, 0) != 16)
        memset(uuid, 0x5a, 16);
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

static int create_board(struct parts *p, struct vz_error *err)
{
    const struct vz_config_options *o = &p->config->o;
    struct board_options options = {
        .ram_size = o->memory_size,
        .vcpu_count = o->cpu_count,
        .hv = p->hv,
        .loop = p->loop,
        .serial = p->serial,
        .debug_exit = o->debug_exit,
        .requests = {.request = on_chipset_request, .arg = p},
    };

    memcpy(options.uuid, o->uuid, sizeof(options.uuid));
    if (is_zero(options.uuid))
        random_uuid(options.uuid);
    return board_create(&options, &p->board, err);
}

static int create_vcpus(struct parts *p, struct vz_error *err)
{
    int r = 0;

    for (unsigned i = 0; !r && i < p->config->o.cpu_count; i++) {
        r = p->hv->vcpu_create(p->vm, i, &p->vcpu[i]);
        if (r < 0)
            error_set(err, -r, VZ_ERROR_NO_MEMORY, "CPU %u: %s", i, strerror(-r));
    }
    return r;
}

static int build(struct parts *p, struct vz_error *err)
{
    int r = accel_find(p->config->o.accel, &p->hv, err);

    if (r < 0)
        return r;
    if (loop_create(&p->loop) < 0)
        return out_of_memory(err);
    r = create_serial(p, err);
    if (!r)
        r = create_board(p, err);
    if (r < 0)
        return r;
    p->vm = p->board->vm;
    return create_vcpus(p, err);
}

int parts_init(struct parts *p, const struct vz_config *config, parts_request_fn *request,
               void *request_arg, struct vz_error *err)
{
    *p = (struct parts){.config = config, .request = request, .request_arg = request_arg};
    return build(p, err); /* the caller calls parts_fini() in any case */
}

void parts_fini(struct parts *p)
{
    for (unsigned i = 0; i < HV_VCPUS_MAX && p->vcpu[i]; i++)
        p->hv->vcpu_destroy(p->vcpu[i]);
    board_destroy(p->board);
    char_destroy(p->serial);
    loop_destroy(p->loop);
}

int parts_boot(struct parts *p, struct vz_error *err)
{
    const struct vz_config_options *o = &p->config->o;
    struct boot_params params = {.kernel_path = o->kernel, .initrd_path = o->initrd,
                                 .cmdline = o->cmdline, .ram_size = o->memory_size,
                                 .rsdp_gpa = p->board->rsdp};
    struct x86_cpu_state state;
    int r = p->hv->vcpu_get(p->vcpu[0], &state);

    if (!r)
        r = boot_load(&params, p->board->mem, &state, err);
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

int parts_reset(struct parts *p, struct vz_error *err)
{
    int r;

    board_quiesce_wait(p->board);
    r = board_reset(p->board);
    board_resume(p->board);
    return r < 0 ? error_set(err, -r, VZ_ERROR_INTERNAL, "reset: %s", strerror(-r)) : 0;
}

/* A reader that takes nothing for this long has gone away. */
#define DRAIN_TIMEOUT_MS 2000

void parts_drain(struct parts *p)
{
    if (char_drain(p->serial, DRAIN_TIMEOUT_MS) < 0)
        log_warn("the guest's last output could not be written");
}
