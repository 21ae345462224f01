/* SPDX-License-Identifier: MIT */
/* The whole board on a hypervisor that runs nothing: tables, reset, save and load. */
#include "board/pc/board.h"

#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/le.h"
#include "board/pc/smbios.h"
#include "config/objects.h"
#include "fake_machine.h"
#include "given_slot.h"
#include "unit.h"

static int on_vm_create(const struct hv_vm_desc *desc, struct hv_vm **ret, struct vz_error *err)
{
    struct fake_machine *m = calloc(1, sizeof(*m));

    ck_assert_ptr_eq(desc->io, &bus_io_ops);
    ck_assert_uint_ge(desc->mem->region_count, 1);
    *ret = (struct hv_vm *)m;
    return 0;
}

static void on_vm_destroy(struct hv_vm *vm)
{
    free(vm);
}

static void on_vm_reset(struct hv_vm *vm) {}

static int on_irqchip_save(struct hv_vm *vm, struct state_writer *w)
{
    return 0;
}

static int on_irqchip_load(struct hv_vm *vm, const void *data, size_t len, struct vz_error *err)
{
    return 0;
}

static unsigned on_phys_bits(struct hv_vm *vm)
{
    return 46;
}

static const struct hv_ops board_hv = {
    .name = "nothing", .vm_create = on_vm_create, .vm_destroy = on_vm_destroy,
    .irq_line = fake_irq_line, .msi = fake_msi, .vm_reset = on_vm_reset,
    .irqchip_save = on_irqchip_save, .irqchip_load = on_irqchip_load,
    .phys_bits = on_phys_bits};

struct fixture {
    struct loop *loop;
    struct device_slots *slots;
    struct board *board;
    unsigned requests[3];
};

static void on_request(void *arg, enum chipset_request kind, uint32_t value)
{
    ((struct fixture *)arg)->requests[kind]++;
}

static struct board_options options_of(struct fixture *f, uint64_t ram, unsigned cpus)
{
    return (struct board_options){
        .ram_size = ram, .vcpu_count = cpus, .hv = &board_hv, .loop = f->loop,
        .slots = f->slots, .debug_exit = true, .requests = {on_request, f},
        .uuid = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc,
                 0xdd, 0xee, 0xff}};
}

static void setup(struct fixture *f, uint64_t ram, unsigned cpus)
{
    struct board_options o;
    struct vz_error err = {0};

    memset(f, 0, sizeof(*f));
    ck_assert_int_eq(loop_create(&f->loop), 0);
    ck_assert_int_eq(given_slots(f->loop, -1, NULL, 0, &f->slots, NULL), 0);
    o = options_of(f, ram, cpus);
    ck_assert_msg(board_create(&o, &f->board, &err) == 0, "%s", err.text);
    ck_assert_msg(board_populate(f->board, &err) == 0, "%s", err.text);
}

static void teardown(struct fixture *f)
{
    board_destroy(f->board);
    device_slots_free(f->slots);
    fake_loop_turn(f->loop);
    loop_destroy(f->loop);
}

static uint8_t sum(const uint8_t *p, size_t len)
{
    uint8_t s = 0;

    while (len--)
        s = (uint8_t)(s + *p++);
    return s;
}

static const uint8_t *at(struct fixture *f, uint64_t gpa, size_t len)
{
    const uint8_t *p = mem_ptr(f->board->mem, gpa, len, MEM_READ);

    ck_assert_ptr_nonnull(p);
    return p;
}

static const uint8_t *table_at(struct fixture *f, uint64_t gpa, const char *signature)
{
    const uint8_t *p = at(f, gpa, 36);
    uint32_t len = load_le32(p + 4);

    ck_assert_mem_eq(p, signature, 4);
    ck_assert_uint_le(gpa + len, TABLES_END);
    ck_assert_uint_eq(sum(at(f, gpa, len), len), 0);
    return p;
}

START_TEST(acpi_tables_hang_together)
{
    struct fixture f;
    const uint8_t *rsdp, *xsdt, *fadt, *madt;

    setup(&f, 64 * MIB, 3);
    rsdp = at(&f, f.board->rsdp, 36);
    ck_assert_mem_eq(rsdp, "RSD PTR ", 8);
    ck_assert_uint_eq(sum(rsdp, 20), 0);
    ck_assert_uint_eq(sum(rsdp, 36), 0);
    xsdt = table_at(&f, load_le64(rsdp + 24), "XSDT");
    ck_assert_uint_eq(load_le32(xsdt + 4), 36 + 3 * 8);
    fadt = table_at(&f, load_le64(xsdt + 36), "FACP");
    table_at(&f, load_le64(fadt + 140), "DSDT");
    ck_assert_mem_eq(at(&f, load_le32(fadt + 36), 64), "FACS", 4);
    ck_assert_uint_eq(load_le32(fadt + 36) % 64, 0);
    madt = table_at(&f, load_le64(xsdt + 44), "APIC");
    ck_assert_uint_eq(load_le32(madt + 4), 36 + 8 + 3 * 8 + 12 + 2 * 10 + 6);
    table_at(&f, load_le64(xsdt + 52), "MCFG");
    teardown(&f);
}
END_TEST

START_TEST(the_largest_machine_has_tables_too)
{
    struct fixture f;

    setup(&f, 8 * GIB, HV_VCPUS_MAX);
    ck_assert_ptr_nonnull(mem_ptr(f.board->mem, HIGH_RAM_BASE, 1, MEM_READ));
    ck_assert_uint_eq(f.board->e820_count, 7);
    teardown(&f);
}
END_TEST

/* The compiler's disassembler reads the DSDT back; skipped where it is not installed. */
START_TEST(the_dsdt_disassembles)
{
    struct fixture f;
    char dir[] = "/tmp/vz-dsdt-XXXXXX", command[256];
    const uint8_t *dsdt;
    uint32_t len;
    FILE *file;
    int status;

    if (system("command -v iasl >/dev/null 2>&1") != 0)
        return;
    setup(&f, 64 * MIB, 2);
    dsdt = at(&f, f.board->rsdp, 36);
    dsdt = table_at(&f, load_le64(dsdt + 24), "XSDT");
    dsdt = table_at(&f, load_le64(dsdt + 36), "FACP");
    dsdt = table_at(&f, load_le64(dsdt + 140), "DSDT");
    len = load_le32(dsdt + 4);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(command, sizeof(command), "%s/dsdt.aml", dir);
    file = fopen(command, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(dsdt, 1, len, file), len);
    fclose(file);
    snprintf(command, sizeof(command),
             "cd %s && iasl -d dsdt.aml >log 2>&1 && iasl dsdt.dsl >>log 2>&1; "
             "s=$?; [ $s = 0 ] || cat log; rm -r %s; exit $s", dir, dir);
    status = system(command);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    teardown(&f);
}
END_TEST

START_TEST(smbios_says_who_the_machine_is)
{
    static const uint8_t wire[16] = {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66,
                                     0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
    struct fixture f;
    const uint8_t *p, *old, *end;
    bool seen[256] = {false};
    unsigned count = 0;

    setup(&f, 4 * GIB, 2);
    p = at(&f, SMBIOS_BASE, 24);
    ck_assert_mem_eq(p, "_SM3_", 5);
    ck_assert_uint_eq(sum(p, 24), 0);
    old = at(&f, SMBIOS_BASE + 32, 31);
    ck_assert_mem_eq(old, "_SM_", 4);
    ck_assert_uint_eq(sum(old, 31), 0);
    ck_assert_mem_eq(old + 16, "_DMI_", 5);
    ck_assert_uint_eq(sum(old + 16, 15), 0);
    ck_assert_uint_eq(load_le32(old + 24), load_le64(p + 16));
    ck_assert_uint_eq(load_le16(old + 22), load_le32(p + 12));
    end = at(&f, load_le64(p + 16), 4096) + load_le32(p + 12);
    for (p = at(&f, load_le64(p + 16), 4096); p < end; count++) {
        const uint8_t *begin = p;

        seen[p[0]] = true;
        if (p[0] == 1)
            ck_assert_mem_eq(p + 8, wire, 16);
        p += p[1];
        while (p[0] || p[1])
            p++;
        p += 2;
        ck_assert_uint_le(p - begin, load_le16(old + 8));
    }
    ck_assert_ptr_eq(p, end);
    ck_assert_uint_eq(count, load_le16(old + 28));
    ck_assert(seen[0] && seen[1] && seen[2] && seen[3] && seen[4] && seen[16] && seen[17] && seen[19] &&
              seen[32] && seen[127]);
    teardown(&f);
}
END_TEST

START_TEST(smbios_has_credentials_of_systemd)
{
    static const char wanted[] = "io.systemd.credential:one=1\0io.systemd.credential:two=a=b";
    char text[SMBIOS_TABLES_MAX] = {0};
    struct firmware_item items[] = {{"opt/io.systemd.credentials/one", "1"}, {"opt/other", "x"},
                                    {"opt/io.systemd.credentials/long", text},
                                    {"opt/io.systemd.credentials/two", "a=b"}};
    struct fixture f = {.loop = NULL};
    struct board_options o = options_of(&f, 64 * MIB, 1);
    struct smbios s, none;

    smbios_build(&none, &o, 0);
    memset(text, 'x', sizeof(text) - 1);
    o.items = items;
    o.item_count = ARRAY_SIZE(items);
    smbios_build(&s, &o, 0);
    ck_assert_ptr_nonnull(memmem(s.data, s.len, wanted, sizeof(wanted)));
    ck_assert_ptr_null(memmem(s.data, s.len, "long", 4));
    ck_assert_uint_eq(s.len, none.len + 5 + sizeof(wanted) + 1);
    o.items++; /* one that is none, and one that does not fit */
    o.item_count = 2;
    smbios_build(&s, &o, 0);
    ck_assert_uint_eq(s.len, none.len + 5 + 2);
}
END_TEST

START_TEST(memory_looks_as_a_bios_leaves_it)
{
    struct fixture f;
    const uint8_t *vector, *handler;

    setup(&f, 64 * MIB, 1);
    for (unsigned v = 0; v < 256; v++) {
        vector = at(&f, 4 * v, 4);
        handler = at(&f, load_le16(vector + 2) * UINT64_C(16) + load_le16(vector), 1);
        if ((v >= 8 && v < 16) || (v >= 0x70 && v < 0x78))
            ck_assert_uint_eq(*handler, 0x50); /* saves what it uses to end the interrupt */
        else
            ck_assert_uint_eq(*handler, 0xcf); /* IRET */
    }
    ck_assert_uint_eq(load_le16(at(&f, 0x400, 2)), 0x3f8);
    ck_assert_uint_eq(load_le16(at(&f, 0x402, 2)), 0);
    ck_assert_uint_eq(load_le16(at(&f, 0x40e, 2)) * 16, LOW_FREE_END);
    ck_assert_uint_eq(load_le16(at(&f, 0x413, 2)), LOW_FREE_END / KIB);
    ck_assert_uint_eq(f.board->e820[0].len, LOW_FREE_END);
    ck_assert_uint_eq(*at(&f, LOW_FREE_END, 1), 1);
    ck_assert_uint_eq(*at(&f, 0xffffe, 1), 0xfc);
    teardown(&f);
}
END_TEST

static uint32_t in(struct fixture *f, uint16_t port, unsigned size)
{
    return bus_io_ops.port_read(f->board->bus, port, size);
}

static void out(struct fixture *f, uint16_t port, unsigned size, uint32_t v)
{
    bus_io_ops.port_write(f->board->bus, port, size, v);
}

START_TEST(every_device_is_at_its_place)
{
    struct fixture f;

    setup(&f, 64 * MIB, 1);
    ck_assert_uint_eq(in(&f, 0x3fd, 1), 0x60);
    ck_assert_uint_ne(in(&f, 0x64, 1), 0xff);
    ck_assert_uint_eq(in(&f, 0x92, 1), 2);
    out(&f, 0x70, 1, 0x0d);
    ck_assert_uint_eq(in(&f, 0x71, 1), 0x80);
    ck_assert_uint_eq(bus_io_ops.mmio_read(f.board->bus, ECAM_BASE, 4), 0x29c08086);
    out(&f, 0xcf9, 1, 6);
    ck_assert_uint_eq(f.requests[CHIPSET_RESET], 1);
    out(&f, 0x604, 2, 5 << 10 | 1 << 13);
    ck_assert_uint_eq(f.requests[CHIPSET_POWER_OFF], 1);
    out(&f, 0xf4, 4, 1);
    ck_assert_uint_eq(f.requests[CHIPSET_DEBUG_EXIT], 1);
    teardown(&f);
}
END_TEST

START_TEST(reset_brings_back_devices_and_tables)
{
    struct fixture f;
    uint8_t junk[64];

    setup(&f, 64 * MIB, 1);
    memset(junk, 0xaa, sizeof(junk));
    ck_assert_int_eq(mem_write(f.board->mem, f.board->rsdp, junk, sizeof(junk)), 0);
    out(&f, 0x3ff, 1, 0x42);
    out(&f, 0xcf8, 4, 0x8000f840);
    out(&f, 0xcfc, 4, 0xb001);
    ck_assert_uint_eq(in(&f, 0x602, 2), 0xffff);
    ck_assert_int_eq(board_reset(f.board), 0);
    ck_assert_mem_eq(at(&f, f.board->rsdp, 8), "RSD PTR ", 8);
    ck_assert_uint_eq(in(&f, 0x3ff, 1), 0);
    ck_assert_uint_eq(in(&f, 0x602, 2), 0);
    teardown(&f);
}
END_TEST

START_TEST(a_board_loads_what_another_saved)
{
    struct fixture f, g;
    struct state_writer w = {0};
    struct vz_error err = {0};

    setup(&f, 64 * MIB, 1);
    setup(&g, 64 * MIB, 1);
    out(&f, 0x3ff, 1, 0x42);
    out(&f, 0x80, 1, 0x17);
    out(&f, 0x602, 2, 0x100);
    ck_assert_int_eq(board_save(f.board, &w), 0);
    ck_assert_msg(board_load(g.board, w.data, w.len, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(in(&g, 0x3ff, 1), 0x42);
    ck_assert_uint_eq(in(&g, 0x80, 1), 0x17);
    ck_assert_uint_eq(in(&g, 0x602, 2), 0x100);
    ck_assert_int_lt(board_load(g.board, w.data, w.len / 2, NULL), 0);
    ck_assert_int_eq(board_reset(g.board), 0);
    state_writer_fini(&w);
    teardown(&f);
    teardown(&g);
}
END_TEST

START_TEST(memory_can_be_a_file)
{
    struct fixture f;
    struct board_options o;
    struct board *b;

    setup(&f, 64 * MIB, 1);
    ck_assert_int_eq(f.board->mem->fd, -1);
    o = options_of(&f, 64 * MIB, 1);
    o.memory_shared = true;
    ck_assert_int_eq(board_create(&o, &b, NULL), 0);
    ck_assert_int_ge(b->mem->fd, 0);
    ck_assert_int_eq(lseek(b->mem->fd, 0, SEEK_END), 64 * MIB);
    board_destroy(b);
    teardown(&f);
}
END_TEST

/* Where the CPUs do not ask before they write, nobody would know what they have written. */
START_TEST(memory_is_strict_where_cpus_ask)
{
    struct hv_ops hv = board_hv;
    struct fixture f;
    struct board_options o;
    struct board *b;

    setup(&f, 64 * MIB, 1);
    o = options_of(&f, 64 * MIB, 1);
    o.hv = &hv;
    for (unsigned n = 0; n < 4; n++) {
        hv.asks = n & 1;
        o.memory_strict = n & 2;
        ck_assert_int_eq(board_create(&o, &b, NULL), 0);
        ck_assert_int_eq(mem_may_store(b->mem, b->mem->base), n != 3);
        board_destroy(b);
    }
    teardown(&f);
}
END_TEST

START_TEST(impossible_machines_are_refused_with_a_reason)
{
    struct fixture f = {0};
    struct board_options o;
    struct vz_error err = {0};

    ck_assert_int_eq(loop_create(&f.loop), 0);
    o = options_of(&f, MIB, 1);
    ck_assert_int_eq(board_create(&o, &f.board, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "memory"));
    o = options_of(&f, 64 * MIB, HV_VCPUS_MAX + 1);
    ck_assert_int_eq(board_create(&o, &f.board, &err), -EINVAL);
    ck_assert_ptr_nonnull(strstr(err.text, "CPU"));
    ck_assert_ptr_null(f.board);
    loop_destroy(f.loop);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, acpi_tables_hang_together);
    UNIT_TEST(s, the_largest_machine_has_tables_too);
    UNIT_TEST(s, the_dsdt_disassembles);
    UNIT_TEST(s, smbios_says_who_the_machine_is);
    UNIT_TEST(s, smbios_has_credentials_of_systemd);
    UNIT_TEST(s, memory_looks_as_a_bios_leaves_it);
    UNIT_TEST(s, every_device_is_at_its_place);
    UNIT_TEST(s, reset_brings_back_devices_and_tables);
    UNIT_TEST(s, a_board_loads_what_another_saved);
    UNIT_TEST(s, memory_can_be_a_file);
    UNIT_TEST(s, memory_is_strict_where_cpus_ask);
    UNIT_TEST(s, impossible_machines_are_refused_with_a_reason);
}

UNIT_TEST_MAIN("board", add_tests)
