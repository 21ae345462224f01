/* SPDX-License-Identifier: MIT */
/* PCI configuration space under a guest that does anything: the input is a program of accesses of
 * all sizes through the ports and ECAM, to the bridges, the test device and a virtio device; of
 * accesses where BARs and ECAM may have been moved to; of resets, saves and loads. Identities stay,
 * what was saved must load, and a reset undoes everything. */
#include <string.h>

#include "no_check.h"

#include "fake_virtio_driver.h"
#include "fuzz.h"
#include "virtio/virtio.h"

#define ECAM       UINT64_C(0xb0000000)
#define TEST_DEVFN PCI_DEVFN(5, 0)
#define REG_IDS    0x00u

static const unsigned functions[] = {0, PCI_DEVFN(31, 0), FV_DEVFN, TEST_DEVFN};

enum { FUNCTIONS = ARRAY_SIZE(functions) };

struct rig {
    struct fv v;
    uint32_t at_reset[FUNCTIONS][PCI_CONFIG_SIZE / 4];
};

static uint32_t config_read(struct rig *r, unsigned devfn, unsigned reg, unsigned size)
{
    fake_out(&r->v.m, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
    return fake_in(&r->v.m, (uint16_t)(0xcfc + (reg & 3)), size);
}

static void config_write(struct rig *r, unsigned devfn, unsigned reg, unsigned size, uint32_t value)
{
    fake_out(&r->v.m, 0xcf8, 4, 0x80000000u | devfn << 8 | (reg & 0xfc));
    fake_out(&r->v.m, (uint16_t)(0xcfc + (reg & 3)), size, value);
}

static void set_up(struct rig *r)
{
    struct pci_dev *test;

    fv_create(&r->v, &virtio_rng_ops, NULL);
    require(!pci_dev_create(r->v.host, &pci_testdev_ops, TEST_DEVFN, &test), "the test device");
    bus_reset(r->v.m.bus);
    for (unsigned f = 0; f < FUNCTIONS; f++) {
        for (unsigned reg = 0; reg < PCI_CONFIG_SIZE; reg += 4)
            r->at_reset[f][reg / 4] = config_read(r, functions[f], reg, 4);
    }
}

/* After a reset: nothing that the guest did is left. */
static void must_be_reset(struct rig *r)
{
    for (unsigned f = 0; f < FUNCTIONS; f++) {
        for (unsigned reg = 0; reg < PCI_CONFIG_SIZE; reg += 4)
            require(config_read(r, functions[f], reg, 4) == r->at_reset[f][reg / 4],
                    "a register outlives a reset");
    }
}

static void identities_must_stay(struct rig *r)
{
    for (unsigned f = 0; f < FUNCTIONS; f++)
        require(config_read(r, functions[f], REG_IDS, 4) == r->at_reset[f][0],
                "a function has another identity");
}

/* Saves, changes a byte of what was saved if with is not 0, and loads it. */
static void save_and_load(struct rig *r, unsigned at, uint8_t with)
{
    struct state_writer w = {0};
    struct vz_error err = {0};

    require(!bus_save(r->v.m.bus, &w) && w.len, "save");
    ((uint8_t *)w.data)[at % w.len] ^= with;
    if (bus_load(r->v.m.bus, w.data, w.len, &err) < 0) {
        require(with, err.text);
        bus_reset(r->v.m.bus);
    }
    state_writer_fini(&w);
}

/* Registers that decide something, more often than others. */
static unsigned pick_register(uint8_t in)
{
    static const uint8_t likely[] = {PCI_CFG_COMMAND, PCI_CFG_BAR0, PCI_CFG_BAR0 + 4,
                                     PCI_CFG_BAR0 + 8, PCI_CFG_BAR0 + 16, PCI_CFG_BAR0 + 20,
                                     0x40, 0x44, 0x60, 0x64};

    return in & 0x80 ? likely[in % ARRAY_SIZE(likely)] + (in >> 5 & 3) : (in << 1 | in >> 6) & 0xff;
}

/* Addresses that BARs and ECAM are moved to, among others onto RAM, each other and beyond any. */
static uint64_t pick_address(uint8_t in)
{
    static const uint64_t likely[] = {0, 0x1000, ECAM, ECAM + (FV_DEVFN << 12), 0xc0000000,
                                      0xd0000000, 0xe0000000, 0xfec00000, FV_BAR, FV_MSIX,
                                      UINT32_MAX & ~UINT64_C(0xfff), UINT64_C(1) << 46,
                                      UINT64_MAX & ~UINT64_C(0xfff)};

    return likely[in % ARRAY_SIZE(likely)];
}

static uint32_t pick_value(const uint8_t *in)
{
    uint32_t v = in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;

    switch (in[0] & 3) {
    case 0: return (uint32_t)pick_address(in[1]) | (in[2] & 7);
    case 1: return (uint32_t)(pick_address(in[1]) >> 32);
    case 2: return UINT32_MAX;
    default: return v;
    }
}

/* One step takes 8 bytes. */
static void step(struct rig *r, const uint8_t *in)
{
    struct fake_machine *m = &r->v.m;
    unsigned devfn = in[1] & 0x80 ? in[1] & 0x7fu : functions[in[1] % FUNCTIONS];
    unsigned size = 1u << (in[0] >> 6) % 3, reg = pick_register(in[2]);
    uint64_t in_ecam = pick_address(in[3] & 1 ? 2 : in[3]) + (devfn << 12) + reg + (in[3] & 0xe00);

    switch (in[0] & 15) {
    case 0: bus_reset(m->bus); must_be_reset(r); break;
    case 1: save_and_load(r, 0, 0); break;
    case 2: save_and_load(r, in[2] | (unsigned)in[3] << 8, in[4] ? in[4] : 1); break;
    case 3: pci_assign_bars(r->v.host); break;
    case 4: (void)fake_read(m, in_ecam, size); break;
    case 5: fake_write(m, in_ecam, size, pick_value(in + 4)); break;
    case 6: (void)fake_read(m, pick_address(in[1]) + in[2], 1u << in[3] % 4); break;
    case 7: fake_write(m, pick_address(in[1]) + in[2], 1u << in[3] % 4, pick_value(in + 4)); break;
    case 8: fake_out(m, (uint16_t)(0xcf8 + in[1] % 8), size, pick_value(in + 4)); break;
    case 9: (void)fake_in(m, (uint16_t)(0xcf8 + in[1] % 8), size); break;
    case 10: (void)config_read(r, devfn, reg, size); break;
    case 11: fv_turn(&r->v); break;
    default: config_write(r, devfn, reg, size, pick_value(in + 4)); break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig r;

    set_up(&r);
    for (size_t at = 0; at + 8 <= size; at += 8)
        step(&r, data + at);
    identities_must_stay(&r);
    save_and_load(&r, 0, 0);
    bus_reset(r.v.m.bus);
    must_be_reset(&r);
    fv_destroy(&r.v);
    return 0;
}
