/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "chipset/chipset.h"
#include "fake_machine.h"
#include "unit.h"

static uint64_t item(struct fake_machine *m, uint16_t key, unsigned len)
{
    uint64_t v = 0;

    fake_out(m, 0x510, 2, key);
    for (unsigned n = 0; n < len; n++)
        v |= (uint64_t)fake_in(m, 0x511, 1) << (8 * n);
    return v;
}

START_TEST(items_say_what_the_machine_has)
{
    struct fake_machine m;

    fake_machine_init(&m);
    ck_assert_int_eq(fw_cfg_create(m.bus, &(struct fw_cfg_options){UINT64_C(5) << 30, 3, NULL}, NULL), 0);
    ck_assert_uint_eq(item(&m, 0x00, 4), 0x554d4551); /* "QEMU" */
    ck_assert_uint_eq(item(&m, 0x01, 4), 1);
    ck_assert_uint_eq(item(&m, 0x03, 8), UINT64_C(5) << 30);
    ck_assert_uint_eq(item(&m, 0x05, 2), 3);
    ck_assert_uint_eq(item(&m, 0x0f, 2), 3);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(what_is_not_there_reads_as_zeroes)
{
    struct fake_machine m;

    fake_machine_init(&m);
    ck_assert_int_eq(fw_cfg_create(m.bus, &(struct fw_cfg_options){1 << 30, 1, NULL}, NULL), 0);
    ck_assert_uint_eq(item(&m, 0x19, 4), 0);
    ck_assert_uint_eq(item(&m, 0xffff, 8), 0);
    (void)item(&m, 0x00, 8);
    ck_assert_uint_eq(fake_in(&m, 0x511, 1), 0);
    fake_out(&m, 0x511, 1, 0x55);
    ck_assert_uint_eq(item(&m, 0x01, 1), 1);
    fake_machine_fini(&m);
}
END_TEST

START_TEST(a_half_read_item_survives_a_save)
{
    struct state_writer w = {0};
    struct fake_machine m, n;

    fake_machine_init(&m);
    fake_machine_init(&n);
    ck_assert_int_eq(fw_cfg_create(m.bus, &(struct fw_cfg_options){1 << 30, 1, NULL}, NULL), 0);
    ck_assert_int_eq(fw_cfg_create(n.bus, &(struct fw_cfg_options){1 << 30, 1, NULL}, NULL), 0);
    ck_assert_uint_eq(item(&m, 0x00, 2), 0x4551);
    ck_assert_int_eq(bus_save(m.bus, &w), 0);
    ck_assert_int_eq(bus_load(n.bus, w.data, w.len, NULL), 0);
    ck_assert_uint_eq(fake_in(&n, 0x511, 1), 'M');
    state_writer_fini(&w);
    fake_machine_fini(&m);
    fake_machine_fini(&n);
}
END_TEST

/* A request of the DMA interface, at REQUEST in memory; its answer. */
#define REQUEST 0x1000

static uint32_t dma(struct fake_machine *m, struct mem *mem, uint32_t control, uint32_t len,
                    uint64_t address)
{
    uint8_t request[16];

    store_be32(request, control);
    store_be32(request + 4, len);
    store_be64(request + 8, address);
    ck_assert_int_eq(mem_write(mem, REQUEST, request, sizeof(request)), 0);
    fake_out(m, 0x514, 4, 0);
    fake_out(m, 0x518, 4, __builtin_bswap32(REQUEST));
    ck_assert_int_eq(mem_read(mem, REQUEST, request, 4), 0);
    return load_be32(request);
}

enum { DMA_ERROR = 1, DMA_READ = 2, DMA_SKIP = 4, DMA_SELECT = 8, DMA_WRITE = 16 };

static void with_memory(struct fake_machine *m, struct mem **ret_mem, struct fw_cfg **ret)
{
    struct fw_cfg_options o = {.ram_size = 1 << 20, .cpus = 1};

    fake_machine_init(m);
    ck_assert_int_eq(mem_create(1 << 20, ret_mem, NULL), 0);
    ck_assert_int_eq(mem_add(*ret_mem, 0, 1 << 20, false), 0);
    o.mem = *ret_mem;
    ck_assert_int_eq(fw_cfg_create(m->bus, &o, ret), 0);
}

START_TEST(files_are_in_the_directory)
{
    struct fake_machine m;
    struct fw_cfg *f;
    struct mem *mem;
    uint8_t entry[68];

    with_memory(&m, &mem, &f);
    ck_assert_int_eq(fw_cfg_set_file(f, "etc/one", "1", 1), 0);
    ck_assert_int_eq(fw_cfg_set_file(f, "opt/two", "two", 3), 0);
    ck_assert_int_eq(fw_cfg_set_file(f, "etc/one", "other", 5), 0); /* in its place */
    fake_out(&m, 0x510, 2, 0x19);
    for (unsigned i = 0; i < sizeof(entry); i++)
        entry[i] = (uint8_t)fake_in(&m, 0x511, 1);
    ck_assert_uint_eq(load_be32(entry), 2);
    ck_assert_uint_eq(load_be32(entry + 4), 5);
    ck_assert_uint_eq(load_be16(entry + 8), 0x20);
    ck_assert_str_eq((char *)entry + 12, "etc/one");
    ck_assert_uint_eq(item(&m, 0x20, 5), UINT64_C(0x726568746f));
    ck_assert_uint_eq(item(&m, 0x21, 5), UINT64_C(0x6f7774));
    ck_assert_uint_eq(item(&m, 0x22, 5), 0);
    fake_machine_fini(&m);
    mem_destroy(mem);
}
END_TEST

START_TEST(there_is_room_for_so_many_files)
{
    struct fake_machine m;
    struct fw_cfg *f;
    struct mem *mem;
    char name[64];
    int r = 0;
    unsigned n;

    with_memory(&m, &mem, &f);
    for (n = 0; !r && n < 100; n++) {
        snprintf(name, sizeof(name), "opt/%u", n);
        r = fw_cfg_set_file(f, name, NULL, 0);
    }
    ck_assert_int_eq(r, -ENOSPC);
    ck_assert_uint_gt(n, 8);
    memset(name, 'x', sizeof(name));
    name[56] = 0;
    ck_assert_int_eq(fw_cfg_set_file(f, name, NULL, 0), -ENOSPC);
    fake_machine_fini(&m);
    mem_destroy(mem);
}
END_TEST

START_TEST(bytes_go_to_memory_in_one_request)
{
    struct fake_machine m;
    struct fw_cfg *f;
    struct mem *mem;
    char got[8];

    with_memory(&m, &mem, &f);
    ck_assert_uint_eq(item(&m, 0x01, 4), 3);
    ck_assert_uint_eq(fake_in(&m, 0x514, 4), 0x554d4551); /* "QEMU", then " CFG", big-endian */
    ck_assert_uint_eq(fake_in(&m, 0x518, 4), 0x47464320);
    ck_assert_int_eq(fw_cfg_set_file(f, "etc/x", "abcdef", 6), 0);
    ck_assert_uint_eq(dma(&m, mem, 0x20 << 16 | DMA_SELECT | DMA_READ, 3, 0x2000), 0);
    ck_assert_uint_eq(dma(&m, mem, DMA_SKIP, 1, 0), 0);
    ck_assert_int_eq(mem_write(mem, 0x2003, "zzzz", 4), 0);
    ck_assert_uint_eq(dma(&m, mem, DMA_READ, 4, 0x2003), 0);
    ck_assert_int_eq(mem_read(mem, 0x2000, got, 8), 0);
    ck_assert_int_eq(memcmp(got, "abcef\0\0\0", 8), 0); /* zeroes behind the end */
    ck_assert_uint_eq(dma(&m, mem, DMA_WRITE, 1, 0x2000), DMA_ERROR);
    ck_assert_uint_eq(dma(&m, mem, 0x20 << 16 | DMA_SELECT | DMA_READ, 6, (1 << 20) - 3), DMA_ERROR);
    ck_assert_uint_eq(dma(&m, mem, DMA_READ, 6, UINT64_MAX - 2), DMA_ERROR);
    ck_assert_uint_eq(dma(&m, mem, DMA_SKIP, UINT32_MAX, 0), 0);
    ck_assert_uint_eq(dma(&m, mem, DMA_SKIP, UINT32_MAX, 0), 0);
    ck_assert_uint_eq(dma(&m, mem, DMA_READ, 4, 0x2000), 0);
    fake_out(&m, 0x514, 4, UINT32_MAX); /* a request that is nowhere */
    fake_out(&m, 0x518, 4, UINT32_MAX);
    fake_machine_fini(&m);
    mem_destroy(mem);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, files_are_in_the_directory);
    UNIT_TEST(s, there_is_room_for_so_many_files);
    UNIT_TEST(s, bytes_go_to_memory_in_one_request);
    UNIT_TEST(s, items_say_what_the_machine_has);
    UNIT_TEST(s, what_is_not_there_reads_as_zeroes);
    UNIT_TEST(s, a_half_read_item_survives_a_save);
}

UNIT_TEST_MAIN("fw_cfg", add_tests)
