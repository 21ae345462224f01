/* SPDX-License-Identifier: MIT */
/* Machines with a disk that takes its time, or for ever. The test is the guest: it drives the disk
 * through the machine's bus, as a CPU would. */
#include <linux/virtio_blk.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "block/blk_filters.h"
#include "board/pc/board.h"
#include "device/device_kinds.h"
#include "machine/machine_fixture.h"
#include "machine/machine_impl.h"
#include "virtio/virtio.h"

#define RING   0x800000u
#define HEADER (RING + 0x1000)
#define DATA   (RING + 0x2000)
#define NOTIFY 0x3000u

#define FOR_EVER UINT32_MAX

/* Of a sanitizer's leak checker: parts of a machine that a disk hangs are abandoned, and leak. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:parts_init\n";
}

static const struct fake_op waiting[] = {{FAKE_WAIT}};

struct machine {
    struct file kernel, disk;
    struct vz_config *config;
    struct vz_machine *m;
};

static uint32_t delay_ms;

/* At the line, where the hosts' ends are there and the models not yet: another disk. */
static int slow_down(void *machine, struct vz_error *err)
{
    struct vz_machine *m = machine;
    struct device_slot *s = device_slots_find_kind(m->parts.slots, &disk_kind);
    uint32_t delay[BLK_OP_COUNT];
    struct blk *b;

    for (unsigned i = 0; i < BLK_OP_COUNT; i++)
        delay[i] = delay_ms;
    blk_close(s->host);
    ck_assert_int_eq(blk_null_create(MIB, m->parts.loop, &b), 0);
    ck_assert_int_eq(blk_delay_create(b, delay, &b), 0);
    s->host = b;
    return 0;
}

static void add_disk(struct machine *t)
{
    struct vz_disk_image_options o = VZ_DISK_IMAGE_OPTIONS_INIT;
    struct vz_storage_attachment *a;
    struct vz_storage_device *d;
    int fd;

    strcpy(t->disk.path, "/tmp/vz-hang-test.XXXXXX");
    fd = mkstemp(t->disk.path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, MIB), 0);
    close(fd);
    o.read_only = true;
    a = vz_disk_image_attachment_new(t->disk.path, &o, NULL);
    d = vz_virtio_block_device_new(a, NULL, NULL);
    vz_config_add_storage_device(t->config, d, NULL);
    vz_storage_device_unref(d);
    vz_storage_attachment_unref(a);
}

static void begin(struct machine *t, uint32_t delay)
{
    struct vz_error err = {0};

    delay_ms = delay;
    t->kernel = write_kernel(waiting, 1);
    t->config = make_config(t->kernel.path, 2, false);
    add_disk(t);
    t->m = vz_machine_new(t->config, NULL, &err);
    ck_assert_msg(t->m != NULL, "%s", err.text);
    t->m->opened = slow_down;
    t->m->late_ms = 50;
}

static void end(struct machine *t)
{
    t->m->late_ms = MACHINE_LATE_MS; /* it ends in good order, however slowly */
    vz_machine_free(t->m);
    vz_config_unref(t->config);
    unlink(t->kernel.path);
    unlink(t->disk.path);
}

static void start(struct machine *t)
{
    struct vz_error err = {0};

    ck_assert_msg(vz_machine_start_wait(t->m, &err) == 0, "%s", err.text);
}

/* ---- The guest ------------------------------------------------------------------------------ */

static void out(struct machine *t, unsigned off, unsigned size, uint64_t value)
{
    struct board *b = t->m->parts.board;

    bus_io_ops.mmio_write(b->bus, memory_map_pci64_base(b->phys_bits) + off, size, value);
}

static void *at(struct machine *t, uint64_t gpa, size_t len)
{
    void *p = mem_ptr(t->m->parts.board->mem, gpa, len, MEM_WRITE);

    ck_assert_ptr_nonnull(p);
    return p;
}

static void set_up_queue(struct machine *t)
{
    out(t, VIRTIO_PCI_COMMON_STATUS, 1, VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER);
    out(t, VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
    out(t, VIRTIO_PCI_COMMON_GF, 4, 1); /* VERSION_1 */
    out(t, VIRTIO_PCI_COMMON_STATUS, 1,
        VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK);
    out(t, VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
    out(t, VIRTIO_PCI_COMMON_Q_SIZE, 2, 8);
    out(t, VIRTIO_PCI_COMMON_Q_DESCLO, 4, RING);
    out(t, VIRTIO_PCI_COMMON_Q_AVAILLO, 4, RING + 0x100);
    out(t, VIRTIO_PCI_COMMON_Q_USEDLO, 4, RING + 0x200);
    out(t, VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
    out(t, VIRTIO_PCI_COMMON_STATUS, 1,
        VIRTIO_S_ACKNOWLEDGE | VIRTIO_S_DRIVER | VIRTIO_S_FEATURES_OK | VIRTIO_S_DRIVER_OK);
}

static int see_inflight(struct vz_machine *m, void *arg, struct vz_error *err)
{
    const struct blk *b = device_slots_find_kind(m->parts.slots, &disk_kind)->host;

    *(unsigned *)arg = b->inflight;
    return 0;
}

/* Read a sector, and come back while the disk is at it. */
static void read_sector(struct machine *t)
{
    struct vring_desc *desc = at(t, RING, 0x100);
    struct vring_avail *avail = at(t, RING + 0x100, 0x100);
    struct virtio_blk_outhdr *header = at(t, HEADER, sizeof(*header));
    unsigned inflight = 0;

    *header = (struct virtio_blk_outhdr){.type = VIRTIO_BLK_T_IN};
    desc[0] = (struct vring_desc){HEADER, sizeof(*header), VRING_DESC_F_NEXT, 1};
    desc[1] = (struct vring_desc){DATA, 512, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 2};
    desc[2] = (struct vring_desc){DATA + 512, 1, VRING_DESC_F_WRITE, 0};
    avail->ring[avail->idx % 8] = 0;
    __atomic_store_n(&avail->idx, (uint16_t)(avail->idx + 1), __ATOMIC_RELEASE);
    out(t, NOTIFY, 2, 0);
    while (!inflight)
        ck_assert_int_eq(machine_call(t->m, see_inflight, &inflight, NULL), 0);
}

/* ---- Tests ---------------------------------------------------------------------------------- */

START_TEST(a_disk_that_hangs_does_not_hold_up_a_stop)
{
    struct vz_error err = {0};
    struct machine t;

    begin(&t, FOR_EVER);
    for (unsigned i = 0; i < 2; i++) {
        start(&t);
        set_up_queue(&t);
        read_sector(&t);
        ck_assert_int_eq(vz_machine_stop_wait(t.m, &err), -1);
        ck_assert_int_eq(err.code, VZ_ERROR_IO);
        ck_assert_int_eq(vz_machine_get_state(t.m), VZ_STATE_ERROR);
    }
    t.m->late_ms = MACHINE_LATE_MS;
    start(&t);
    ck_assert_int_eq(vz_machine_stop_wait(t.m, &err), 0);
    end(&t);
}
END_TEST

START_TEST(a_slow_disk_fails_a_pause_and_allows_the_next)
{
    struct vz_error err = {0};
    struct machine t;

    begin(&t, 400);
    start(&t);
    set_up_queue(&t);
    for (unsigned i = 0; i < 2; i++) {
        read_sector(&t);
        ck_assert_int_eq(vz_machine_pause_wait(t.m, &err), -1);
        ck_assert_int_eq(err.code, VZ_ERROR_IO);
        ck_assert_int_eq(vz_machine_get_state(t.m), VZ_STATE_RUNNING);
        t.m->late_ms = MACHINE_LATE_MS;
        ck_assert_msg(!vz_machine_pause_wait(t.m, &err), "%s", err.text);
        ck_assert_uint_eq(*(uint8_t *)at(&t, DATA + 512, 1), VIRTIO_BLK_S_OK);
        ck_assert_msg(!vz_machine_resume_wait(t.m, &err), "%s", err.text);
        t.m->late_ms = 50;
    }
    end(&t);
}
END_TEST

START_TEST(a_stop_after_a_pause_that_hangs_ends_too)
{
    struct vz_error err = {0};
    struct machine t;

    begin(&t, FOR_EVER);
    start(&t);
    set_up_queue(&t);
    read_sector(&t);
    ck_assert_int_eq(vz_machine_pause(t.m, NULL, NULL), 0);
    while (vz_machine_stop_wait(t.m, &err) < 0 && err.code == VZ_ERROR_INVALID_TRANSITION)
        usleep(1000);
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    ck_assert_int_eq(vz_machine_get_state(t.m), VZ_STATE_ERROR);
    end(&t);
}
END_TEST

/* The pause fails, the reset waits on, and the end is not held up by it. */
START_TEST(a_reset_that_hangs_fails_pauses_and_does_not_hold_up_a_stop)
{
    struct vz_error err = {0};
    struct machine t;
    unsigned inflight;

    begin(&t, FOR_EVER);
    start(&t);
    set_up_queue(&t);
    read_sector(&t);
    bus_io_ops.port_write(t.m->parts.board->bus, 0x64, 1, 0xfe);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(vz_machine_pause_wait(t.m, &err), -1);
        ck_assert_int_eq(err.code, VZ_ERROR_IO);
        ck_assert_int_eq(vz_machine_get_state(t.m), VZ_STATE_RUNNING);
        ck_assert_int_eq(machine_call(t.m, see_inflight, &inflight, NULL), 0); /* calls are served */
        ck_assert_uint_eq(inflight, 1);
    }
    ck_assert_uint_eq(t.m->resets, 0);
    ck_assert_int_eq(vz_machine_stop_wait(t.m, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_IO);
    end(&t);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_disk_that_hangs_does_not_hold_up_a_stop);
    UNIT_TEST(s, a_slow_disk_fails_a_pause_and_allows_the_next);
    UNIT_TEST(s, a_stop_after_a_pause_that_hangs_ends_too);
    UNIT_TEST(s, a_reset_that_hangs_fails_pauses_and_does_not_hold_up_a_stop);
}

UNIT_TEST_MAIN("hang", add_tests)
