/* SPDX-License-Identifier: MIT */
/* Saved states that anybody may have written, of a bus with every virtio device and a chipset: a
 * state is loaded or refused with a reason; what was loaded runs, comes to rest, saves and loads
 * again. Seeds are states of devices at work. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "no_check.h"

#include "block/blk_mem.h"
#include "chipset/chipset.h"
#include "fake_virtio_driver.h"
#include "fuzz.h"
#include "given_slot.h"
#include "net/net.h"
#include "strict_mem.h"
#include "virtio/balloon.h"
#include "virtio/virtio_blk.h"
#include "virtio/virtio_console.h"
#include "virtio/virtio_net.h"
#include "virtio/vsock.h"

#define DEVICES 6

struct rig {
    struct fake_machine m;
    struct device_env env;
    struct device_slots *slots;
    struct blk *blk;
    struct net *net;
    int net_peer;
};

static void on_request(void *arg, enum chipset_request kind, uint32_t value) {}

static void make_hosts(struct rig *r)
{
    const struct blk_mem_options disk = {.size = MIB};
    int pair[2];

    require(!blk_mem_create(&disk, r->m.loop, &r->blk), "disk");
    require(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), "socketpair");
    require(!net_dgram_create(r->m.loop, pair[0], 1500, &r->net, NULL), "network");
    close(pair[0]);
    r->net_peer = pair[1];
}

static void make_chipset(struct rig *r)
{
    const struct chipset_requests requests = {.request = on_request};
    const struct rtc_options rtc = {.loop = r->m.loop};
    struct reset_ctl *reset;
    struct acpi_pm *pm;
    struct rtc *clock;

    require(!rtc_create(r->m.bus, &rtc, &clock) && !i8042_create(r->m.bus, &requests) &&
            !reset_ctl_create(r->m.bus, &requests, &reset) &&
            !acpi_pm_create(r->m.bus, r->m.loop, &requests, &pm) &&
            !fw_cfg_create(r->m.bus, &(struct fw_cfg_options){FV_RAM, 1, NULL}, NULL), "chipset");
}

static void make_devices(struct rig *r)
{
    static const struct vsock_options vsock = {.guest_cid = 3};
    static const struct balloon_options balloon = {.ram_size = FV_RAM};
    static const struct console_port_options port[2] = {{.console = true}, {.name = "x"}};
    static const struct console_options console = {.port = port, .port_count = 2, .multiport = true};
    static struct virtio_blk_options blk;
    static struct virtio_net_options net = {.mac = {2, 0, 0, 0, 0, 1}};
    struct device_env *env;
    static const struct given given[DEVICES] = {
        {&virtio_blk_ops, &blk, 2, NULL}, {&virtio_net_ops, &net, 0, NULL},
        {&virtio_console_ops, &console, 6, NULL}, {&virtio_rng_ops, NULL, 0, NULL},
        {&virtio_balloon_ops, &balloon, 0, NULL}, {&virtio_vsock_ops, &vsock, 0, NULL}};

    blk.blk = r->blk;
    net.net = r->net;
    require(!given_slots(r->m.loop, -1, given, DEVICES, &r->slots, NULL), "slots");
    env = device_slots_env(r->slots); /* the board's part of it: as board.c fills it in */
    env->mem = r->env.mem;
    env->bus = r->env.bus;
    env->pci = r->env.pci;
    env->ram_size = FV_RAM;
    require(!device_slots_create(r->slots, NULL), "devices");
}

static struct rig *create(void)
{
    struct pci_host_options o = {.ecam_base = 0xb0000000, .mem32_base = FV_MSIX,
                                 .mem32_end = 0xfec00000, .io_base = 0x1000, .mem64_base = FV_BAR,
                                 .mem64_end = UINT64_C(1) << 46};
    struct rig *r = calloc(1, sizeof(*r));

    require(r, "memory");
    fake_machine_init(&r->m);
    r->env = (struct device_env){.loop = r->m.loop, .bus = r->m.bus, .cpu_count = 1,
                                 .ram_size = FV_RAM, .stdio_read_fd = -1, .stdio_write_fd = -1};
    r->env.mem = strict_mem(FV_RAM);
    require(r->env.mem, "guest memory");
    make_hosts(r);
    make_chipset(r);
    require(!pci_host_create(r->m.bus, &o, &r->env.pci), "PCI");
    make_devices(r);
    pci_assign_bars(r->env.pci);
    return r;
}

static void turn(struct rig *r)
{
    for (unsigned i = 0; i < 4; i++)
        fake_loop_turn(r->m.loop);
    fake_loop_fire(r->m.loop);
}

static bool is_quiet;

static void on_quiet(void *arg)
{
    is_quiet = true;
}

static void come_to_rest(struct rig *r)
{
    is_quiet = false;
    device_slots_quiesce(r->slots, on_quiet, NULL);
    for (unsigned i = 0; i < 100 && !is_quiet; i++)
        turn(r);
    require(is_quiet, "devices do not come to rest");
}

/* The state of devices of which number n is at work. */
static void save(struct rig *r, unsigned n, struct state_writer *w)
{
    uint64_t bar = FV_BAR + n * UINT64_C(0x4000);

    if (n < DEVICES) {
        fake_write(&r->m, bar + VIRTIO_PCI_COMMON_STATUS, 1, 3);
        fake_write(&r->m, bar + VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
        fake_write(&r->m, bar + VIRTIO_PCI_COMMON_GF, 4, 1);
        fake_write(&r->m, bar + VIRTIO_PCI_COMMON_STATUS, 1, 11);
        for (unsigned q = 0; q < 2; q++) {
            fake_write(&r->m, bar + VIRTIO_PCI_COMMON_Q_SELECT, 2, q);
            fake_write(&r->m, bar + VIRTIO_PCI_COMMON_Q_SIZE, 2, 16);
            fake_write(&r->m, bar + VIRTIO_PCI_COMMON_Q_DESCLO, 4, FV_RINGS + q * 0x10000);
            fake_write(&r->m, bar + VIRTIO_PCI_COMMON_Q_AVAILLO, 4, FV_RINGS + q * 0x10000 + 0x8000);
            fake_write(&r->m, bar + VIRTIO_PCI_COMMON_Q_USEDLO, 4, FV_RINGS + q * 0x10000 + 0xc000);
            fake_write(&r->m, bar + VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
        }
        fake_write(&r->m, bar + VIRTIO_PCI_COMMON_STATUS, 1, 15);
    }
    turn(r);
    come_to_rest(r);
    require(!bus_save(r->m.bus, w), "save");
}

static void reset(struct rig *r)
{
    bus_reset(r->m.bus);
    pci_assign_bars(r->env.pci);
    device_slots_resume(r->slots);
    turn(r);
}

static struct rig *the_rig(void)
{
    static struct rig *r; /* making it takes longer than all else */

    if (!r)
        r = create();
    return r;
}

static void load_again(struct rig *r)
{
    struct state_writer w = {0};
    struct vz_error err = {0};

    require(!bus_save(r->m.bus, &w), "save");
    if (bus_load(r->m.bus, w.data, w.len, &err) < 0)
        require(false, err.text);
    state_writer_fini(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig *r = the_rig();
    struct vz_error err = {0};

    come_to_rest(r);
    if (bus_load(r->m.bus, data, size, &err) < 0) {
        require(err.text[0] && err.code, "no reason");
    } else {
        load_again(r);
        device_slots_resume(r->slots);
        turn(r);
        come_to_rest(r);
        load_again(r);
    }
    reset(r);
    return 0;
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    struct state_writer w = {0};
    struct rig *r = the_rig();
    size_t len = 0;

    if (index > DEVICES)
        return 0;
    save(r, index, &w);
    if (w.len <= room) {
        memcpy(ret, w.data, w.len);
        len = w.len;
    }
    state_writer_fini(&w);
    reset(r);
    return len;
}
