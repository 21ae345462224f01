/* SPDX-License-Identifier: MIT */
/* diskvm [-s] KERNEL INITRD CMDLINE DISK...: a machine of one CPU with disks, some of them bad; for
 * tests/boot/test_disk.py. The guest's serial line is standard output; it ends with the guest.
 * Its memory is strict (src/mem/mem.h): a disk that writes to it without asking gets EFAULT. -s: and a
 * file that other processes could map.
 *
 * DISK: PATH[,ro][,uncached][,threads][,nosync][,delay=MS][,eio=OFFSET+LENGTH] */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/error.h>

#include "arch/x86/cpu_state.h"
#include "block/blk_filters.h"
#include "block/blk_disk.h"
#include "board/pc/board.h"
#include "board/pc/boot/boot.h"
#include "given_slot.h"
#include "hv/hv_x86.h"
#include "loop/loop.h"
#include "virtio/virtio.h"
#include "virtio/virtio_blk.h"

#define DISKS_MAX 8
#define RAM_SIZE  (512 * MIB)

static struct vz_error error;
static struct loop *loop;
static struct hv_vcpu *cpu;
static _Atomic bool ended;

static void check(int r)
{
    if (!r)
        return;
    fprintf(stderr, "diskvm: %s: %s\n", error.text, strerror(-r));
    exit(1);
}

static struct blk *add_filters(struct blk *b, const char *text)
{
    const char *delay = strstr(text, ",delay="), *eio = strstr(text, ",eio=");
    struct blk_fault fault = {.err = -EIO};
    uint32_t ms[BLK_OP_COUNT];

    if (eio) {
        char *end;

        fault.offset = strtoull(eio + 5, &end, 0);
        fault.len = strtoull(end + 1, NULL, 0);
        check(blk_fault_create(b, &fault, 1, &b));
    }
    if (delay) {
        for (unsigned i = 0; i < BLK_OP_COUNT; i++)
            ms[i] = (uint32_t)strtoul(delay + 7, NULL, 0);
        check(blk_delay_create(b, ms, &b));
    }
    return b;
}

static struct blk *open_disk(const char *text)
{
    char path[4096];
    struct blk_disk_options o = {
        .path = path, .read_only = strstr(text, ",ro"),
        .caching = strstr(text, ",uncached") ? BLK_CACHING_UNCACHED : BLK_CACHING_AUTOMATIC,
        .engine = strstr(text, ",threads") ? BLK_ENGINE_THREADS : BLK_ENGINE_AUTO,
        .sync = strstr(text, ",nosync") ? BLK_SYNC_NONE : BLK_SYNC_FULL};
    struct blk *b;

    snprintf(path, sizeof(path), "%.*s", (int)strcspn(text, ","), text);
    check(blk_disk_open(&o, loop, &b, &error));
    return add_filters(b, text);
}

static void on_request(void *arg, enum chipset_request kind, uint32_t value)
{
    ended = true;
    hv_soft_ops.vcpu_kick(cpu);
}

static void *run_cpu(void *arg)
{
    struct hv_exit e;

    while (!ended) {
        int r = hv_soft_ops.vcpu_run(cpu, &e);

        if (!r && e.kind != HV_EXIT_NONE)
            ended = true;
    }
    loop_stop(loop);
    return NULL;
}

static struct device_slots *make_slots(unsigned count, struct blk **disks)
{
    static struct virtio_blk_options blk[DISKS_MAX];
    static struct given given[DISKS_MAX];
    struct device_slots *slots;

    for (unsigned i = 0; i < count; i++) {
        blk[i].blk = disks[i];
        snprintf(blk[i].identifier, sizeof(blk[i].identifier), "disk-%u", i);
        given[i] = (struct given){.ops = &virtio_blk_ops, .options = &blk[i], .queues = 1 + i % 2};
    }
    check(given_slots(loop, STDOUT_FILENO, given, count, &slots, &error));
    return slots;
}

static struct board *make_board(struct device_slots *slots, bool shared)
{
    const struct board_options o = {
        .ram_size = RAM_SIZE, .vcpu_count = 1, .hv = &hv_soft_ops, .loop = loop, .slots = slots,
        .memory_shared = shared, .memory_strict = true, .requests = {.request = on_request}};
    struct board *b;

    check(board_create(&o, &b, &error));
    check(board_populate(b, &error));
    return b;
}

static void load(struct board *b, char **argv)
{
    const struct boot_module initrd = {.path = argv[2]};
    const struct boot_params params = {.kernel_path = argv[1], .modules = &initrd, .module_count = 1,
                                       .cmdline = argv[3], .ram_size = RAM_SIZE,
                                       .rsdp_gpa = b->rsdp};
    struct boot_sources sources;
    struct x86_cpu_state state;

    check(boot_open(&params, &sources, &error));
    check(hv_soft_ops.vcpu_create(b->vm, 0, &cpu));
    check(hv_x86_get(&hv_soft_ops, cpu, &state));
    check(boot_load(&params, &sources, b->mem, &state, &error));
    check(hv_x86_set(&hv_soft_ops, cpu, &state));
}

int main(int argc, char **argv)
{
    bool shared = argc > 1 && !strcmp(argv[1], "-s");
    unsigned count;
    struct blk *disks[DISKS_MAX];
    struct device_slots *slots;
    struct board *board;
    pthread_t thread;

    argc -= shared;
    argv += shared;
    count = argc > 4 ? (unsigned)argc - 4 : 0;
    if (argc < 5 || count > DISKS_MAX)
        return 2;
    check(loop_create(&loop));
    for (unsigned i = 0; i < count; i++)
        disks[i] = open_disk(argv[4 + i]);
    slots = make_slots(count, disks);
    board = make_board(slots, shared);
    load(board, argv);
    check(-pthread_create(&thread, NULL, run_cpu, NULL));
    loop_run(loop);
    pthread_join(thread, NULL);
    device_slots_drain(slots);
    if (device_slots_lost_output(slots))
        return 1;
    hv_soft_ops.vcpu_destroy(cpu);
    board_destroy(board);
    for (unsigned i = 0; i < count; i++)
        blk_close(disks[i]);
    device_slots_free(slots);
    loop_destroy(loop);
    return 0;
}
