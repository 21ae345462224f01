/* SPDX-License-Identifier: MIT */
/* vz_config: the whole. Whether it makes sense is for validate.c and the checks here. */
#include "config/objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/error.h"
#include "config/limits.h"
#include "config/report.h"
#include "hv/accel.h"
#include "hv/hv.h"

uint64_t vz_config_memory_min(void)
{
    return RAM_SIZE_MIN;
}

uint64_t vz_config_memory_max(void)
{
    struct sysinfo info;
    uint64_t have;

    if (sysinfo(&info) < 0)
        return RAM_SIZE_MAX;
    have = ((uint64_t)info.totalram + info.totalswap) * info.mem_unit;
    return MIN(have, RAM_SIZE_MAX) & ~(MIB - 1);
}

unsigned vz_config_cpu_max(void)
{
    return HV_VCPUS_MAX;
}

/* ---- Checks --------------------------------------------------------------------------------- */

/* Of UTF-8. */
static size_t characters(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += (*text & 0xc0) != 0x80;
    return n;
}

static const struct vz_config_options *options_of(const void *object)
{
    return &((const struct vz_config *)object)->options;
}

static void check_label(struct report *r, const void *object)
{
    const char *label = options_of(object)->label;

    if (label && (!label[0] || characters(label) > 64 || strspn(label, " \t") == strlen(label)))
        report_problem(r, VZ_ERROR_INVALID, "not 1 to 64 characters, one of them not a space");
}

/* Then there is always one, and which it is does not matter before a start: a probe takes time. */
static bool is_automatic(const char *accel)
{
    return !strcmp(accel, "auto");
}

static void check_accel(struct report *r, const void *object)
{
    const char *accel = options_of(object)->accel;
    const struct hv_ops *hv;
    struct vz_error err = {0};

    if (!accel[0])
        report_problem(r, VZ_ERROR_INVALID, "no accelerator named");
    else if (!is_automatic(accel) && accel_find(accel, &hv, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
}

static void check_host_cpu(struct report *r, const void *object)
{
    const struct vz_config_options *o = options_of(object);

    if (o->host_cpu && !strcmp(o->accel, "soft"))
        report_problem(r, VZ_ERROR_INVALID,
                       "the software CPU cannot be the host's: that takes accel kvm");
}

static void check_jit(struct report *r, const void *object)
{
    const struct vz_config_options *o = options_of(object);
    const struct hv_ops *hv;
    struct vz_error err = {0};

    if (o->jit && accel_named(is_automatic(o->accel) ? "soft" : o->accel, &hv, NULL) == 0 &&
        hv->jit_check && hv->jit_check(o->jit, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
}

/* "512 MiB", "4 KiB", "5 bytes". */
static const char *size_text(uint64_t bytes, char ret[32])
{
    static const char *const units[] = {"bytes", "KiB", "MiB"};
    unsigned i = 0;

    for (; i + 1 < ARRAY_SIZE(units) && bytes && !(bytes % KIB); i++)
        bytes /= KIB;
    snprintf(ret, 32, "%llu %s", (unsigned long long)bytes, units[i]);
    return ret;
}

static void check_memory(struct report *r, const void *object)
{
    uint64_t size = options_of(object)->memory_size;
    uint64_t min = vz_config_memory_min(), max = vz_config_memory_max();
    char text[3][32];

    if (size < min || size > max)
        report_problem(r, VZ_ERROR_INVALID, "memory size %s is not between %s and %s",
                       size_text(size, text[0]), size_text(min, text[1]),
                       size_text(max, text[2]));
    if (size % MIB)
        report_problem(r, VZ_ERROR_INVALID, "memory size %llu is not a multiple of 1 MiB",
                       (unsigned long long)size);
}

static void check_boot_loader(struct report *r, const void *object)
{
    if (!((const struct vz_config *)object)->boot_loader)
        report_problem(r, VZ_ERROR_INVALID, "no boot loader, so no kernel given");
}

static int count_slot(void *count, const struct config_device *d)
{
    *(unsigned *)count += d->type != &config_uart_type && d->type != &config_nvme_namespace_type;
    return 0;
}

static void check_slots(struct report *r, const void *object)
{
    unsigned count = 0;
    size_t back = report_enter(r, "machine", -1);

    config_each_device(object, count_slot, &count);
    if (count > PCI_DEVICES_MAX)
        report_problem(r, VZ_ERROR_INVALID, "%u devices, and the PCI bus has room for %u", count,
                       PCI_DEVICES_MAX);
    report_leave(r, back);
}

/* ---- What there is -------------------------------------------------------------------------- */

#define MACHINE .heading = "Machine"
static const char *const accel_words[] = {"auto", "kvm", "soft", NULL};
static const char *const cpu_words[] = {"default", "host", NULL};

#define LIST_ROW(member, json_name, what)                                                          \
    FIELD_LIST(struct vz_config, member, json_name, &config_##member, .text = what),

static bool parse_firmware_item(char *text, void *element)
{
    struct firmware_item *item = element;
    char *value = strchr(text, '=');

    if (!value)
        return false;
    *value++ = '\0';
    item->name = strdup(text);
    item->text = strdup(value);
    return item->name && item->text;
}

static bool is_item_name(const char *name)
{
    size_t len = strlen(name);

    if (strncmp(name, "opt/", 4) != 0 || len == 4 || len > VZ_FIRMWARE_ITEM_NAME_MAX)
        return false;
    for (const char *p = name; *p; p++) {
        if (*p <= ' ' || *p > '~')
            return false;
    }
    return true;
}

static void check_firmware_item(struct report *r, const void *object)
{
    const struct firmware_item *item = object;

    if (!is_item_name(item->name))
        report_problem(r, VZ_ERROR_INVALID, "'%.60s' is not opt/ and more, of up to %d printable characters without spaces", item->name,
                       VZ_FIRMWARE_ITEM_NAME_MAX);
}

static void check_firmware_items(struct report *r, const void *object)
{
    const struct vz_config *c = object;

    for (unsigned i = 0; i < c->firmware_item_count; i++) {
        for (unsigned k = 0; k < i; k++) {
            if (!strcmp(c->firmware_item[i].name, c->firmware_item[k].name))
                report_problem(r, VZ_ERROR_INVALID, "two are called %s", c->firmware_item[i].name);
        }
    }
}

static const struct schema_field firmware_item_fields[] = {
    FIELD_STRING(struct firmware_item, name, "name", .required = true, .check = check_firmware_item,
                 .text = "by which it is asked for: opt/ and more"),
    FIELD_STRING(struct firmware_item, text, "text", .required = true, .text = "what is answered"),
    FIELD_END};
static const struct schema_type firmware_item_type = {
    .name = "firmware_item", .size = sizeof(struct firmware_item), .fields = firmware_item_fields,
    .parse = parse_firmware_item, .value = "NAME=TEXT", .text = "a text that the guest can ask for by fw_cfg"};

static void check_machine(struct report *r, const void *object)
{
    check_slots(r, object);
    check_firmware_items(r, object);
}

static const struct schema_field machine_fields[] = {
    FIELD_STRING(struct vz_config, options.label, "label", .host = true, .check = check_label, .option = "name",
                 MACHINE, .value = "NAME", .text = "a name for people, of 1 to 64 characters"),
    FIELD_STRING(struct vz_config, options.accel, "accel", .host = true, .initial_text = "auto",
                 .words = accel_words, .check = check_accel, .option = "accel", MACHINE,
                 .text = "what runs the CPUs: the host's processor by KVM, our software CPU, or the first of "
                         "the two that works",
                 .more = "The software CPU needs nothing of the host. auto tries in a few milliseconds "
                         "whether KVM can run what kernels need."),
    FIELD_UINT(struct vz_config, options.cpu_count, "cpus", .min = 1, .max = HV_VCPUS_MAX,
               .initial = 1, .noun = "CPU count", .option = "cpus", .letter = 'p', MACHINE,
               .value = "N", .text = "how many CPUs, 1 to 64"),
    FIELD_SIZE(struct vz_config, options.memory_size, "memory", .initial = GIB,
               .check = check_memory, .option = "memory", MACHINE,
               .text = "the guest's memory, a multiple of 1 MiB"),
    FIELD_BOOL(struct vz_config, options.stop_at_reset, "stopAtReset", .host = true, .option = "no-reboot",
               .heading = "Ending",
               .text = "a guest's reset ends the machine instead of rebooting it"),
    FIELD_BOOL(struct vz_config, options.continue_at_panic, "continueAtPanic", .host = true,
               .option = "ignore-panic", .heading = "Ending",
               .text = "a panic of the guest's kernel does not end the machine",
               .more = "Kernels tell of it by a pvpanic device, which Linux drives by itself once its "
                       "driver is there: an initramfs has to load the modules pvpanic and "
                       "pvpanic-mmio. Without this option the machine ends then, with status 3, "
                       "unless the guest has a crash kernel that takes over."),
    FIELD_BOOL(struct vz_config, options.debug_exit, "debugExit", .option = "debug-exit",
               .heading = "Ending",
               .text = "a byte v that the guest writes to port 0xf4 ends the machine; vz's status "
                       "is (v << 1) | 1, of which the system keeps the low 8 bits"),
    FIELD_BOOL(struct vz_config, options.interpret_only, "interpretOnly", .host = true,
               .text = "the software CPU translates no code, as with jit off"),
    FIELD_BOOL(struct vz_config, options.memory_preallocate, "memoryPreallocate", .host = true,
               .option = "memory-prealloc", MACHINE,
               .text = "take all memory from the host at the start, or fail",
               .more = "Without it, memory is taken page by page as the guest comes to use it."),
    FIELD_BOOL(struct vz_config, options.memory_huge_pages, "memoryHugePages", .host = true,
               .option = "memory-huge", MACHINE,
               .text = "take memory from the host's pool of huge pages",
               .more = "/proc/sys/vm/nr_hugepages makes the pool. Without it, the kernel is asked "
                       "for huge pages where it can give some."),
    FIELD_BOOL(struct vz_config, options.host_cpu, "hostCpu", .words = cpu_words,
               .check = check_host_cpu, .option = "cpu", MACHINE,
               .text = "the guest's processor: the same everywhere, or the host's own, with KVM only",
               .more = "With the host's own, and what KVM adds to it, such as its clock, a machine "
                       "may not be moved to another accelerator or host."),
    FIELD_STRING(struct vz_config, options.jit, "jit", .host = true, .check = check_jit, .option = "jit", MACHINE,
                 .value = "WORDS",
                 .text = "how the software CPU translates: on (hot code, the default), off (interpret "
                         "everything), and words for experts with commas between: see vz(1)"),
    FIELD_ARRAY(struct vz_config, firmware_item, firmware_item_count, "firmwareItems", &firmware_item_type,
                .max = VZ_FIRMWARE_ITEMS_MAX, .noun = "firmware items", .rare = true,
                .option = "fw-cfg", MACHINE,
                .text = "a text for what asks for it by fw_cfg: firmware, boot loaders, systemd's credentials",
                .more = "Names begin with opt/: opt/io.systemd.credentials/NAME, for one."),
    FIELD_ONE(struct vz_config, platform, "platform", &config_platforms,
              .text = "what kind of computer it is"),
    FIELD_ONE(struct vz_config, boot_loader, "bootLoader", &config_boot_loaders,
              .host = true, .check = check_boot_loader, .text = "what it runs first"),
    CONFIG_LISTS(LIST_ROW)
    FIELD_END};
const struct schema_type config_machine_type = {
    .name = "configuration", .size = sizeof(struct vz_config), .fields = machine_fields,
    .check = check_machine, .text = "a machine"};

int config_each_device(const struct vz_config *config,
                       int (*fn)(void *arg, const struct config_device *device), void *arg)
{
    int r = 0;

    for (const struct schema_field *f = machine_fields; !r && f->kind; f++) {
        const struct object_list *list = f->kind == SCHEMA_LIST ? schema_at(f, config) : NULL;

        for (unsigned i = 0; !r && list && i < list->count; i++) {
            struct config_device d = {f->json, i, schema_type_of(list->item[i]), list->item[i]};

            r = fn(arg, &d);
        }
    }
    return r;
}

/* ---- Making, changing ----------------------------------------------------------------------- */

struct vz_config *vz_config_ref(struct vz_config *object)
{
    return object_ref(object);
}

void vz_config_unref(struct vz_config *object)
{
    object_unref(object);
}

struct vz_config *vz_config_new(const struct vz_config_options *options, struct vz_error *err)
{
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;
    struct vz_config c = {.stdio_read_fd = STDIN_FILENO, .stdio_write_fd = STDOUT_FILENO};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    c.options = o;
    return schema_make(&config_machine_type, &c, err);
}

struct vz_config *vz_config_copy(const struct vz_config *config, struct vz_error *err)
{
    return options_given(config, "configuration", err)
               ? schema_make(&config_machine_type, config, err)
               : NULL;
}

void vz_config_set_memory_size(struct vz_config *config, uint64_t bytes)
{
    if (config)
        config->options.memory_size = bytes;
}

void vz_config_set_cpu_count(struct vz_config *config, unsigned count)
{
    if (config)
        config->options.cpu_count = count;
}

void vz_config_set_stop_at_reset(struct vz_config *config, bool stop)
{
    if (config)
        config->options.stop_at_reset = stop;
}

void vz_config_set_interpret_only(struct vz_config *config, bool on)
{
    if (config)
        config->options.interpret_only = on;
}

void vz_config_set_memory_preallocate(struct vz_config *config, bool on)
{
    if (config)
        config->options.memory_preallocate = on;
}

void vz_config_set_memory_huge_pages(struct vz_config *config, bool on)
{
    if (config)
        config->options.memory_huge_pages = on;
}

void vz_config_set_host_cpu(struct vz_config *config, bool on)
{
    if (config)
        config->options.host_cpu = on;
}

void vz_config_set_debug_exit(struct vz_config *config, bool on)
{
    if (config)
        config->options.debug_exit = on;
}

void vz_config_set_continue_at_panic(struct vz_config *config, bool on)
{
    if (config)
        config->options.continue_at_panic = on;
}

static int no_memory(struct vz_error *err)
{
    error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    return -1;
}

int config_add(struct object_list *list, void *object, struct vz_error *err)
{
    if (!options_given(list, "configuration", err) || !options_given(object, "device", err))
        return -1;
    return object_list_add(list, object) == 0 ? 0 : no_memory(err);
}

static int set_text(struct vz_config *config, const char *name, const char *text,
                    struct vz_error *err)
{
    const struct schema_field *f = schema_find(&config_machine_type, name);
    char *copy;

    if (!options_given(config, "configuration", err))
        return -1;
    copy = text ? strdup(text) : NULL;
    if (text && !copy)
        return no_memory(err);
    schema_set_string(f, config, copy);
    return 0;
}

int vz_config_set_accel(struct vz_config *config, const char *name, struct vz_error *err)
{
    return set_text(config, "accel", name ? name : "auto", err);
}

int vz_config_set_jit(struct vz_config *config, const char *how, struct vz_error *err)
{
    return set_text(config, "jit", how, err);
}

int vz_config_add_firmware_item(struct vz_config *config, const char *name, const char *text, struct vz_error *err)
{
    struct firmware_item *item;

    if (!options_given(config, "configuration", err) || !options_given(name, "name", err) || !options_given(text, "text", err))
        return -1;
    if (config->firmware_item_count == VZ_FIRMWARE_ITEMS_MAX) {
        error_set(err, 0, VZ_ERROR_INVALID, "more than %d firmware items", VZ_FIRMWARE_ITEMS_MAX);
        return -1;
    }
    item = schema_array_add(schema_find(&config_machine_type, "firmwareItems"), config);
    if (item) {
        item->name = strdup(name);
        item->text = strdup(text);
    }
    if (item && item->name && item->text)
        return 0;
    if (item) {
        free(item->name);
        free(item->text);
        config->firmware_item_count--;
    }
    error_set(err, 0, VZ_ERROR_NO_MEMORY, "out of memory");
    return -1;
}

void vz_config_set_boot_loader(struct vz_config *config, struct vz_boot_loader *loader)
{
    if (!config)
        return;
    vz_boot_loader_ref(loader);
    vz_boot_loader_unref(config->boot_loader);
    config->boot_loader = loader;
}

void vz_config_set_platform(struct vz_config *config, struct vz_platform *platform)
{
    if (!config || !platform)
        return; /* there is always one; its identity stays */
    vz_platform_ref(platform);
    vz_platform_unref(config->platform);
    config->platform = platform;
}

bool vz_config_uses_stdio(const struct vz_config *c)
{
    for (unsigned i = 0; c && i < c->serial_ports.count; i++) {
        if (config_serial_port(c, i)->attachment->kind == SERIAL_STDIO)
            return true;
    }
    for (unsigned i = 0; c && i < c->console_devices.count; i++) {
        const struct vz_console_device *d = config_console_device(c, i);

        for (unsigned k = 0; k < d->port_count; k++) {
            if (d->port[k].attachment->kind == SERIAL_STDIO)
                return true;
        }
    }
    return false;
}

void vz_config_set_stdio(struct vz_config *config, int read_fd, int write_fd)
{
    if (!config)
        return;
    config->stdio_read_fd = read_fd;
    config->stdio_write_fd = write_fd;
}
