/* SPDX-License-Identifier: MIT */
/* Every kind of device that a pc can have is whole: it has a type of the configuration, a model with
 * a saved state and a reset, a unit test of that model, and a fuzz program. So docs/HACKING.md cannot
 * be followed by half. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/pc/board.h"
#include "config/objects.h"
#include "device/device_kinds.h"
#include "fake_machine.h"
#include "mem/mem.h"
#include "unit.h"

/* Where the sources and what was built of them are; meson says so. */
static void must_exist(const char *root, const char *otherwise, const char *fmt, const char *name)
{
    char path[512];
    int len = snprintf(path, sizeof(path), "%s/", getenv(root) ? getenv(root) : otherwise);

    snprintf(path + len, sizeof(path) - (size_t)len, fmt, name);
    ck_assert_msg(access(path, F_OK) == 0, "there is no %s", path);
}

/* "virtio/rng" is tested by fuzz_virtio_rng, "virtio/virtio_console" by fuzz_virtio_console, "nvme/nvme"
 * by fuzz_nvme. */
static void fuzz_name(const char *model, char ret[64])
{
    const char *slash = strchr(model, '/');
    size_t folder = (size_t)(slash - model);
    const char *name = slash + 1;

    if (!strncmp(name, model, folder) && name[folder] == '_')
        name += folder + 1;
    if (!strncmp(name, model, folder) && !name[folder])
        snprintf(ret, 64, "fuzz_%s", name);
    else
        snprintf(ret, 64, "fuzz_%.*s_%s", (int)folder, model, name);
}

START_TEST(every_kind_has_a_type_a_unit_test_and_a_fuzz_program)
{
    char fuzz[64];

    for (const struct device_kind *const *k = pc_device_kinds; *k; k++) {
        ck_assert_ptr_nonnull((*k)->type);
        ck_assert_ptr_nonnull((*k)->type->json);
        ck_assert_ptr_nonnull((*k)->type->text);
        ck_assert_msg((*k)->model && strchr((*k)->model, '/'), "%s: no model", (*k)->type->json);
        must_exist("VZ_SOURCE", ".", "src/%s.c", (*k)->model);
        must_exist("VZ_SOURCE", ".", "src/%s_test.c", (*k)->model);
        fuzz_name((*k)->model, fuzz);
        must_exist("VZ_BUILD", "build", "fuzz/%s", fuzz);
    }
}
END_TEST

START_TEST(no_type_has_two_kinds)
{
    for (const struct device_kind *const *a = pc_device_kinds; *a; a++) {
        for (const struct device_kind *const *b = a + 1; *b; b++)
            ck_assert_ptr_ne((*a)->type, (*b)->type);
    }
}
END_TEST

/* Each device that a configuration can list is of some kind, or nobody would make it. */
START_TEST(every_type_of_the_configuration_has_a_kind)
{
    for (const struct schema_field *f = config_machine_type.fields; f->kind != SCHEMA_END; f++) {
        if (f->kind != SCHEMA_LIST)
            continue;
        for (const struct schema_type *const *type = f->class->types; *type; type++) {
            const struct device_kind *const *k = pc_device_kinds;

            while (*k && (*k)->type != *type)
                k++;
            ck_assert_msg(*k != NULL, "no kind for %s", (*type)->json);
        }
    }
}
END_TEST

static unsigned quiet_count;

static void on_quiet(void *arg)
{
    quiet_count++;
}

/* What create() has put on the bus. */
static void check_models(const struct device *d, const char *name)
{
    ck_assert_msg(d != NULL, "%s: nothing is on the bus", name);
    for (; d; d = d->next) {
        ck_assert_msg(d->ops->state && d->ops->state->fields, "%s: no state table", name);
        ck_assert_msg(d->ops->reset_locked, "%s: no reset", name);
        ck_assert_uint_ge(d->ops->state->version, 1);
        if (d->own_state)
            ck_assert_uint_ge(d->own_state->version, 1);
    }
}

static void on_bus(struct fake_machine *m, struct device_env *env)
{
    const struct pci_host_options o = {.ecam_base = 0xb0000000, .mem32_base = 0xc0000000,
                                       .mem32_end = 0xfec00000, .io_base = 0x1000,
                                       .mem64_base = UINT64_C(1) << 45,
                                       .mem64_end = UINT64_C(1) << 46};

    fake_machine_init(m);
    *env = (struct device_env){.loop = m->loop, .bus = m->bus, .cpu_count = 2,
                               .ram_size = 16 * MIB, .stdio_read_fd = -1, .stdio_write_fd = -1};
    ck_assert_int_eq(mem_create(16 * MIB, &env->mem, NULL), 0);
    ck_assert_int_eq(pci_host_create(m->bus, &o, &env->pci), 0);
}

struct before {
    struct device_slots *slots;
    const struct config_device *device;
};

/* All of a list that stand before one, which may be part of them. 1 at that. */
static int add_those_before(void *arg, const struct config_device *device)
{
    const struct before *b = arg;
    const struct device_kind *const *kind = pc_device_kinds;

    if (device->object == b->device->object)
        return 1;
    while ((*kind)->type != device->type)
        kind++;
    return strcmp(device->list, b->device->list) ? 0 : device_slots_add(b->slots, *kind, device, NULL, NULL);
}

static unsigned lived;

/* A device of the host that no host has: it says so, and what would have become of it is in usb_host_device_test.c. */
static int live_without(const struct device_kind *kind, const struct config_device *device)
{
    struct device_slots *slots;
    struct vz_error err = {0};
    struct device_env env;
    struct fake_machine m;

    on_bus(&m, &env);
    ck_assert_int_eq(device_slots_new(&env, &slots), 0);
    ck_assert_int_lt(device_slots_add(slots, kind, device, NULL, &err), 0);
    ck_assert_msg(err.code == VZ_ERROR_DEVICE_NOT_FOUND || err.code == VZ_ERROR_UNSUPPORTED, "%s", err.text);
    ck_assert_msg(!strncmp(err.text, "usbDevices[0]: ", 15), "%s", err.text);
    bus_destroy(m.bus);
    device_slots_free(slots);
    loop_destroy(m.loop);
    mem_destroy(env.mem);
    lived++;
    return 0;
}

/* From open to close. */
static int live(void *arg, const struct config_device *device)
{
    const struct device_kind *const *kind = pc_device_kinds;
    struct device_slots *slots;
    struct vz_error err = {0};
    struct device_env env;
    struct device *last;
    struct fake_machine m;

    while ((*kind)->type != device->type)
        kind++;
    if (*kind == &usb_host_kind)
        return live_without(*kind, device);
    on_bus(&m, &env);
    ck_assert_int_eq(device_slots_new(&env, &slots), 0);
    if ((*kind)->bus == DEVICE_ON_ANOTHER) {
        ck_assert_int_eq(config_each_device(arg, add_those_before, &(struct before){slots, device}), 1);
        ck_assert_int_eq(device_slots_create(slots, &err), 0);
    }
    ck_assert_msg(device_slots_add(slots, *kind, device, NULL, &err) == 0, "%s", err.text);
    for (last = m.bus->devices; last->next; last = last->next)
        ;
    ck_assert_msg(device_slots_create(slots, &err) == 0, "%s", err.text);
    if ((*kind)->bus != DEVICE_ON_ANOTHER)
        check_models(last->next, device->type->json);
    ck_assert_int_eq(device_slots_start(slots, &err), 0);
    quiet_count = 0;
    device_slots_quiesce(slots, on_quiet, NULL);
    ck_assert_uint_eq(quiet_count, 1);
    device_slots_resume(slots);
    fake_loop_turn(m.loop);
    bus_destroy(m.bus);
    device_slots_free(slots);
    loop_destroy(m.loop);
    mem_destroy(env.mem);
    lived++;
    return 0;
}

/* One of each; the list is checked against pc_device_kinds below. */
static const char everything[] =
    "{\"serialPorts\":[{\"type\":\"uart\"},{\"type\":\"virtio\"}],"
    "\"storageDevices\":[{\"type\":\"virtioBlock\","
    "\"attachment\":{\"type\":\"diskImage\",\"path\":\"%s\",\"readOnly\":true}},"
    "{\"type\":\"nvme\",\"attachment\":{\"type\":\"diskImage\",\"path\":\"%s\",\"readOnly\":true}},"
    "{\"type\":\"nvmeNamespace\",\"attachment\":{\"type\":\"diskImage\",\"path\":\"%s\",\"readOnly\":true}},"
    "{\"type\":\"usbMassStorage\",\"attachment\":{\"type\":\"diskImage\",\"path\":\"%s\",\"readOnly\":true}},"
    "{\"type\":\"usbCdrom\",\"attachment\":{\"type\":\"diskImage\",\"path\":\"%s\"}}],"
    "\"networkDevices\":[{\"type\":\"virtioNet\"}],"
    "\"consoleDevices\":[{\"type\":\"virtioConsole\",\"ports\":[{\"name\":\"a\"},{\"name\":\"b\"}]}],"
    "\"entropyDevices\":[{\"type\":\"virtioEntropy\"}],"
    "\"memoryBalloonDevices\":[{\"type\":\"virtioBalloon\"}],"
    "\"socketDevices\":[{\"type\":\"virtioSocket\"}],"
    "\"directorySharingDevices\":[{\"type\":\"virtioFileSystem\",\"tag\":\"tmp\","
    "\"share\":{\"type\":\"singleDirectory\",\"path\":\"/tmp\"}}],"
    "\"usbControllers\":[{\"type\":\"xhci\"}],"
    "\"usbDevices\":[{\"type\":\"usbHost\",\"device\":\"255-255.255\"}],"
    "\"keyboards\":[{\"type\":\"usbKeyboard\"},{\"type\":\"macKeyboard\"}],"
    "\"pointingDevices\":[{\"type\":\"usbScreenCoordinate\"},{\"type\":\"usbMouse\"},{\"type\":\"trackpad\"}],"
    "\"graphicsDevices\":[{\"type\":\"virtioGraphics\"}],"
    "\"audioDevices\":[{\"type\":\"virtioSound\",\"streams\":[{\"direction\":\"output\"},"
    "{\"direction\":\"input\"}]}]}";

START_TEST(every_kind_lives_and_has_state)
{
    char path[] = "/tmp/vz-kinds-test.XXXXXX", json[sizeof(everything) + 5 * sizeof(path)];
    int fd = mkstemp(path), len = snprintf(json, sizeof(json), everything, path, path, path, path, path);
    unsigned kinds = 0;
    struct vz_error err = {0};
    struct vz_config *c;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, MIB), 0);
    close(fd);
    c = vz_config_from_json(json, (size_t)len, &err);
    ck_assert_msg(c != NULL, "%s", err.text);
    ck_assert_int_eq(config_each_device(c, live, c), 0);
    while (pc_device_kinds[kinds])
        kinds++;
    ck_assert_uint_eq(lived, kinds);
    vz_config_unref(c);
    unlink(path);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, every_kind_has_a_type_a_unit_test_and_a_fuzz_program);
    UNIT_TEST(s, no_type_has_two_kinds);
    UNIT_TEST(s, every_type_of_the_configuration_has_a_kind);
    UNIT_TEST(s, every_kind_lives_and_has_state);
}

UNIT_TEST_MAIN("kinds", add_tests)
