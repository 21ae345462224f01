/* SPDX-License-Identifier: MIT */
/* vguest KERNEL INITRD CMDLINE FOLDER: boot Linux on a board with virtio devices, serial port on
 * standard output, and play the host's part in what tests/virtio/init does in the guest; what the
 * guest writes to its console ports is in FOLDER/hvc0 and FOLDER/flood. It uses the library from
 * inside, as src/machine does. Exit status: 0 when the guest switched itself off, or 99. For
 * tests/boot/test_virtio.py. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vguest.h"

static void on_request(void *arg, enum chipset_request kind, uint32_t value)
{
    struct vguest *g = arg;

    if (kind == CHIPSET_POWER_OFF)
        g->status = 0;
    g->end = true;
    hv_soft_ops.vcpu_kick(g->cpu);
}

static void *loop_main(void *arg)
{
    loop_run(((struct vguest *)arg)->loop);
    return NULL;
}

static int boot(struct vguest *g, char **argv, struct vz_error *err)
{
    const struct boot_module initrd = {.path = argv[2]};
    struct boot_params params = {.kernel_path = argv[1], .modules = &initrd, .module_count = 1,
                                 .cmdline = argv[3], .ram_size = g->board->options.ram_size,
                                 .rsdp_gpa = g->board->rsdp};
    struct boot_sources sources = {0};
    struct x86_cpu_state state;
    int r = hv_soft_ops.vcpu_create(g->board->vm, 0, &g->cpu);

    if (!r)
        r = hv_x86_get(&hv_soft_ops, g->cpu, &state);
    if (!r)
        r = boot_open(&params, &sources, err);
    if (!r)
        r = boot_load(&params, &sources, g->board->mem, &state, err);
    boot_close(&sources);
    return r ? r : hv_x86_set(&hv_soft_ops, g->cpu, &state);
}

static int create(struct vguest *g, struct vz_error *err)
{
    struct board_options o = {.ram_size = 256 * MIB, .vcpu_count = 1, .hv = &hv_soft_ops,
                              .memory_strict = true, .requests = {on_request, g}};
    int r = loop_create(&g->loop);

    if (!r)
        r = vguest_devices(g, err);
    if (r < 0)
        return r;
    o.loop = g->loop;
    o.slots = g->slots;
    r = board_create(&o, &g->board, err);
    return r ? r : board_populate(g->board, err);
}

static void run(struct vguest *g)
{
    struct hv_exit e = {0};
    int r;

    while (!g->end) {
        e.kind = HV_EXIT_NONE;
        r = hv_soft_ops.vcpu_run(g->cpu, &e);
        if (r != -EINTR && (r < 0 || e.kind != HV_EXIT_NONE)) {
            fprintf(stderr, "vguest: %s\n", e.text);
            g->end = true;
        }
    }
}

int main(int argc, char **argv)
{
    static struct vguest g = {.status = 99};
    struct vz_error err = {0};
    pthread_t thread;

    if (argc == 5)
        g.folder = argv[4];
    if (argc != 5 || create(&g, &err) < 0 || boot(&g, argv, &err) < 0) {
        fprintf(stderr, "vguest KERNEL INITRD CMDLINE FOLDER: %s\n", err.text);
        return 99;
    }
    vguest_begin(&g);
    pthread_create(&thread, NULL, loop_main, &g);
    run(&g);
    loop_stop(g.loop);
    pthread_join(thread, NULL);
    device_slots_drain(g.slots);
    hv_soft_ops.vcpu_destroy(g.cpu);
    vguest_end(&g);
    board_destroy(g.board);
    device_slots_free(g.slots);
    vguest_gone(&g);
    loop_destroy(g.loop);
    return g.status;
}
