/* SPDX-License-Identifier: MIT */
/* What a machine runs first. */
#include <vz/boot_loader.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "config/objects.h"
#include "config/report.h"
#include "config/schema_option.h"

static const struct vz_linux_boot_loader_options *options_of(const void *object)
{
    return &((const struct vz_boot_loader *)object)->options;
}

static int complete(void *object, struct vz_error *err)
{
    const struct vz_linux_boot_loader_options *o = options_of(object);

    if (o->disk && (o->kernel || o->initrd || o->module_count))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "kernel or initrd given, and a disk to read them from");
    return 0;
}

/* As options make one, member by member. */
static void check_combination(struct report *r, const void *object)
{
    struct vz_error err;

    if (complete((void *)(uintptr_t)object, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
}

static void check_kernel(struct report *r, const void *object)
{
    if (options_of(object)->kernel)
        report_opens(r, options_of(object)->kernel, O_RDONLY);
    else if (!options_of(object)->disk)
        report_problem(r, VZ_ERROR_INVALID, "no kernel given");
}

static void check_initrd(struct report *r, const void *object)
{
    if (options_of(object)->initrd)
        report_opens(r, options_of(object)->initrd, O_RDONLY);
}

static void check_disk(struct report *r, const void *object)
{
    if (options_of(object)->disk)
        report_opens(r, options_of(object)->disk, O_RDONLY);
}

static void check_module(struct report *r, const void *object)
{
    report_opens(r, ((const struct vz_boot_module *)object)->path, O_RDONLY);
}

/* FILE[,TEXT] */
static bool parse_module(char *text, void *element)
{
    struct vz_boot_module *m = element;
    char *path = schema_next_member(&text);

    m->path = strdup(path);
    m->text = text ? strdup(text) : NULL;
    return m->path && (m->text || !text);
}

static const struct schema_field module_fields[] = {
    FIELD_PATH(struct vz_boot_module, path, "path", .required = true, .check = check_module,
               .text = "a file"),
    FIELD_STRING(struct vz_boot_module, text, "text",
                 .text = "what a Multiboot or PVH kernel is told of it (default the path)"),
    FIELD_END};
static const struct schema_type module_type = {
    .name = "boot_module", .size = sizeof(struct vz_boot_module), .sized = true,
    .fields = module_fields, .parse = parse_module, .value = "FILE[,TEXT]",
    .text = "a file that the kernel finds in memory"};

static const struct schema_field linux_fields[] = {
    FIELD_PATH(struct vz_boot_loader, options.kernel, "kernel", .required = true,
               .unless = "disk", .check = check_kernel, .option = "kernel", .letter = 'k',
               .heading = "Kernel", .value = "FILE",
               .text = "a Linux bzImage (as in /boot), an ELF64 kernel such as vmlinux, or a "
                       "Multiboot 1 kernel",
               .more = "A pipe is read once, and what came through it kept for resets. One that says "
                       "nothing for 20 seconds is given up."),
    FIELD_PATH(struct vz_boot_loader, options.initrd, "initrd", .check = check_initrd,
               .option = "initrd", .letter = 'i', .heading = "Kernel", .value = "FILE",
               .text = "its initial RAM disk or initramfs (Multiboot: the first module)"),
    FIELD_STRING(struct vz_boot_loader, options.cmdline, "cmdline", .initial_text = "",
                 .option = "cmdline", .letter = 'a', .heading = "Kernel", .value = "STRING",
                 .text = "its command line; Linux wants console=ttyS0 to be heard on COM1",
                 .more = "console=hvc0 alone stays silent where the driver virtio_console is a "
                         "module, as in Debian's kernels, until an initramfs loads it: write "
                         "console=ttyS0 console=hvc0."),
    FIELD_PATH(struct vz_boot_loader, options.disk, "disk", .check = check_disk,
               .text = "a raw image or block device whose file system has kernel and initrd, "
                       "instead of both",
               .more = "Without a command line Linux is told where its root is, if that is on the "
                       "same file system, and to use COM1 and a virtio console as consoles. "
                       "At each start and reset the newest /boot/vmlinuz-* and its initrd (or "
                       "/vmlinuz and /initrd.img) are read from an ext2, ext3 or ext4 file system "
                       "on the whole disk, or on the first partition that has a kernel. So the "
                       "guest boots what it has installed. A file system that was cut off is read "
                       "as its journal's last checkpoint left it, which may be an older kernel "
                       "than the last one installed."),
    FIELD_ARRAY(struct vz_boot_loader, options.modules, options.module_count, "modules",
                &module_type, .max = VZ_BOOT_MODULES_MAX, .noun = "modules", .rare = true,
                .option = "module", .heading = "Kernel",
                .text = "one more file behind the initrd, with a text for kernels that read it: a "
                        "module of a Multiboot or PVH kernel; Linux takes all as one initrd"),
    FIELD_END};
const struct schema_type config_linux_type = {
    .name = "linux", .json = "linux", .size = sizeof(struct vz_boot_loader),
    .fields = linux_fields, .complete = complete, .check = check_combination,
    .text = "the direct boot of a kernel: bzImage, ELF64 or Multiboot 1"};

static void check_firmware(struct report *r, const void *object)
{
    const char *path = ((const struct vz_boot_loader *)object)->efi.firmware;

    if (path)
        report_opens(r, path, O_RDONLY);
}

/* One that is not there yet is made. */
static void check_store(struct report *r, const void *object)
{
    const char *path = ((const struct vz_boot_loader *)object)->efi.variable_store;

    if (path && access(path, F_OK) == 0)
        report_opens(r, path, O_RDWR);
}

static void check_order(struct report *r, const char *words)
{
    struct vz_error err;

    if (words && config_boot_order_parse(words, NULL, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
}

static void check_boot_order(struct report *r, const void *object)
{
    check_order(r, ((const struct vz_boot_loader *)object)->efi.boot_order);
}

static void check_boot_once(struct report *r, const void *object)
{
    check_order(r, ((const struct vz_boot_loader *)object)->efi.boot_once);
}

int config_boot_order_parse(const char *words, struct boot_order *ret, struct vz_error *err)
{
    static const char *const names[BOOT_GROUPS] = {"cdrom", "usb", "disk", "network"};
    struct boot_order o = {.count = 0};
    size_t len;

    for (;; words += len + 1) {
        unsigned group = 0;
        bool twice = false;

        len = strcspn(words, ",");
        while (group < BOOT_GROUPS && (strlen(names[group]) != len || strncmp(words, names[group], len) != 0))
            group++;
        for (unsigned i = 0; i < o.count; i++)
            twice = twice || o.group[i] == group;
        if (group == BOOT_GROUPS || twice)
            return error_set(err, EINVAL, VZ_ERROR_INVALID,
                             "'%.40s': expected some of usb, cdrom, disk and network, each once, with commas between", words);
        o.group[o.count++] = (enum boot_group)group;
        if (!words[len])
            break;
    }
    if (ret)
        *ret = o;
    return 0;
}

static const struct schema_field efi_fields[] = {
    FIELD_PATH(struct vz_boot_loader, efi.variable_store, "variableStore", .check = check_store,
               .value = "FILE", .text = "where firmware keeps its variables; made where it is not there",
               .more = "Without one they last as long as the machine."),
    FIELD_PATH(struct vz_boot_loader, efi.firmware, "firmware", .check = check_firmware,
               .value = "FILE", .text = "the firmware's code, a build of OVMF",
               .more = "Without it, the one that the system has installed and that goes with the store."),
    FIELD_BOOL(struct vz_boot_loader, efi.secure_boot, "secureBoot",
               .text = "start only what is signed by a key that the store trusts",
               .more = "A store that is made gets the keys that the distribution's firmware comes with."),
    FIELD_STRING(struct vz_boot_loader, efi.boot_order, "bootOrder", .check = check_boot_order,
                 .text = "what firmware looks at first, at every start and reset: usb, cdrom, disk and network, with commas "
                         "between",
                 .more = "What is not named comes behind, but for networks. Without it the variables say so, and where they say "
                         "nothing yet it is cdrom,usb,disk."),
    FIELD_STRING(struct vz_boot_loader, efi.boot_once, "bootOnce", .check = check_boot_once,
                 .text = "the same for one start",
                 .more = "The next start has the order of before, behind what was installed meanwhile."),
    FIELD_UINT(struct vz_boot_loader, efi.boot_menu_wait, "bootMenuWait", .value = "MS", .max = UINT16_MAX,
               .noun = "boot menu time-out",
               .text = "how many milliseconds firmware waits for a key (Esc: its menus) before it starts something"),
    FIELD_END};
const struct schema_type config_efi_type = {
    .name = "efi", .json = "efi", .size = sizeof(struct vz_boot_loader), .fields = efi_fields,
    .text = "UEFI firmware, which finds an operating system on the disks and starts it"};

static const struct schema_type *const boot_loaders_types[] = {&config_linux_type, &config_efi_type,
                                                               NULL};
const struct schema_class config_boot_loaders = {.types = boot_loaders_types};

struct vz_boot_loader *vz_boot_loader_ref(struct vz_boot_loader *object)
{
    return object_ref(object);
}

void vz_boot_loader_unref(struct vz_boot_loader *object)
{
    object_unref(object);
}

struct vz_boot_loader *
vz_linux_boot_loader_new(const struct vz_linux_boot_loader_options *options, struct vz_error *err)
{
    struct vz_linux_boot_loader_options o = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_boot_loader b = {.object = {0}};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    b.options = o;
    return schema_make(&config_linux_type, &b, err);
}

struct vz_boot_loader *vz_efi_boot_loader_new(const struct vz_efi_boot_loader_options *options,
                                              struct vz_error *err)
{
    struct vz_efi_boot_loader_options o = VZ_EFI_BOOT_LOADER_OPTIONS_INIT;
    struct vz_boot_loader b = {.object = {0}};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    b.efi = o;
    return schema_make(&config_efi_type, &b, err);
}
