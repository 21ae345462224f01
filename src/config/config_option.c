/* SPDX-License-Identifier: MIT */
/* Options of the command line on a configuration: those of the tables, and shortcuts, which do more
 * than one thing. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/closest.h"
#include "base/error.h"
#include "config/config_option.h"
#include "config/objects.h"

static int apply(struct vz_config *c, const char *name, const char *value, struct vz_error *err)
{
    struct schema_option o;

    if (!schema_find_option(&config_machine_type, name, &o))
        return -ENOENT;
    return schema_apply_option(&o, c, value, err);
}

/* ---- Shortcuts ------------------------------------------------------------------------------ */

/* The disk that was added last, which nobody else knows yet. */
static struct vz_storage_attachment *last_disk(struct vz_config *c)
{
    return config_storage_device(c, c->storage_devices.count - 1)->attachment;
}

static int add_seed(struct vz_config *c, const char *value, struct vz_error *err)
{
    char *text;
    int r;

    if (asprintf(&text, "seed=%s", value ? value : "") < 0)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    r = apply(c, "disk", text, err);
    free(text);
    return r;
}

static int add_clipboard(struct vz_config *c, const char *value, struct vz_error *err)
{
    struct vz_virtio_console_options o = VZ_VIRTIO_CONSOLE_OPTIONS_INIT;
    struct vz_console_port_options port = VZ_CONSOLE_PORT_OPTIONS_INIT;
    struct vz_console_device *d;
    int r;

    if (config_spice_agent(c))
        return 0;
    port.name = VZ_SPICE_AGENT_PORT_NAME;
    port.attachment = vz_spice_agent_attachment_new(true, err);
    if (!port.attachment)
        return -ENOMEM;
    o.ports = &port;
    o.port_count = 1;
    d = vz_virtio_console_device_new(&o, err);
    r = d ? vz_config_add_console_device(c, d, err) : -ENOMEM;
    vz_console_device_unref(d);
    vz_serial_attachment_unref(port.attachment);
    return r < 0 ? -ENOMEM : 0;
}

static int add_boot_disk(struct vz_config *c, const char *value, struct vz_error *err)
{
    struct vz_linux_boot_loader_options o = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_boot_loader *b;
    int r;

    if (c->boot_loader && schema_type_of(c->boot_loader) == &config_linux_type) {
        o = c->boot_loader->options;
        if (o.disk)
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "the kernel is on %s already", o.disk);
    }
    r = apply(c, "disk", value, err);
    if (r < 0)
        return r;
    if (last_disk(c)->kind != STORAGE_DISK_IMAGE) {
        object_unref(c->storage_devices.item[--c->storage_devices.count]);
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "a kernel is read from a disk's image only");
    }
    o.disk = last_disk(c)->path;
    b = vz_linux_boot_loader_new(&o, err);
    if (!b) {
        object_unref(c->storage_devices.item[--c->storage_devices.count]);
        return -EINVAL;
    }
    vz_config_set_boot_loader(c, b);
    vz_boot_loader_unref(b);
    return 0;
}

/* One member of "[STORE][,firmware=FILE][,secure-boot]"; only the first may be the store. */
static bool set_efi_word(struct vz_efi_boot_loader_options *o, char *word, bool first)
{
    if (!strcmp(word, "secure-boot"))
        return o->secure_boot = true;
    if (!strncmp(word, "firmware=", 9)) {
        o->firmware = o->firmware || !word[9] ? NULL : word + 9;
        return o->firmware;
    }
    if (first)
        o->variable_store = word[0] ? word : NULL;
    return first;
}

/* What is said of firmware already, in whatever order of options. */
static struct vz_efi_boot_loader_options efi_options(const struct vz_config *c)
{
    struct vz_efi_boot_loader_options o = VZ_EFI_BOOT_LOADER_OPTIONS_INIT;

    if (c->boot_loader && schema_type_of(c->boot_loader) == &config_efi_type)
        o = c->boot_loader->efi;
    o.size = sizeof(o);
    return o;
}

static int put_efi(struct vz_config *c, const struct vz_efi_boot_loader_options *o, struct vz_error *err)
{
    struct vz_boot_loader *b = vz_efi_boot_loader_new(o, err);

    if (!b)
        return -EINVAL;
    vz_config_set_boot_loader(c, b);
    vz_boot_loader_unref(b);
    return 0;
}

static int set_boot_order(struct vz_config *c, const char *value, struct vz_error *err)
{
    struct vz_efi_boot_loader_options o = efi_options(c);

    o.boot_order = value;
    return config_boot_order_parse(value ? value : "", NULL, err) < 0 ? -EINVAL : put_efi(c, &o, err);
}

static int set_boot_once(struct vz_config *c, const char *value, struct vz_error *err)
{
    struct vz_efi_boot_loader_options o = efi_options(c);

    o.boot_once = value;
    return config_boot_order_parse(value ? value : "", NULL, err) < 0 ? -EINVAL : put_efi(c, &o, err);
}

static int set_boot_menu_wait(struct vz_config *c, const char *value, struct vz_error *err)
{
    struct vz_efi_boot_loader_options o = efi_options(c);
    char *end = NULL;
    unsigned long ms = value && value[0] >= '0' && value[0] <= '9' ? strtoul(value, &end, 10) : UINT16_MAX + 1ul;

    if (end && !strcmp(end, "s") && ms <= UINT16_MAX)
        ms *= 1000;
    else if (!end || strcmp(end, "ms") != 0)
        ms = UINT16_MAX + 1ul;
    if (ms > UINT16_MAX)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.40s': expected a time up to 65s, such as 3s or 500ms",
                         value ? value : "");
    o.boot_menu_wait = (uint32_t)ms;
    return put_efi(c, &o, err);
}

static int set_efi(struct vz_config *c, const char *value, struct vz_error *err)
{
    const struct vz_efi_boot_loader_options was = efi_options(c);
    struct vz_efi_boot_loader_options o = VZ_EFI_BOOT_LOADER_OPTIONS_INIT;
    char *text = strdup(value ? value : ""), *rest = text, *word;
    bool fine = true;
    int r = -EINVAL;

    if (!text)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    for (bool first = true; fine && rest && (word = schema_next_member(&rest)); first = false)
        fine = set_efi_word(&o, word, first);
    o.boot_order = was.boot_order;
    o.boot_once = was.boot_once;
    o.boot_menu_wait = was.boot_menu_wait;
    if (fine)
        r = put_efi(c, &o, err);
    else
        error_set(err, EINVAL, VZ_ERROR_INVALID, "'%s' is not [STORE][,firmware=FILE][,secure-boot]", value);
    free(text);
    return r;
}

/* The first card behind NAT; NULL: none is. */
static void **find_nat(struct vz_config *c)
{
    for (unsigned i = 0; i < c->network_devices.count; i++) {
        const struct vz_network_attachment *a = config_network_device(c, i)->attachment;

        if (a && a->kind == NETWORK_NAT)
            return &c->network_devices.item[i];
    }
    return NULL;
}

/* A copy of a card, with one more forward. */
static struct vz_network_device *with_forward(const struct vz_network_device *card,
                                              const char *value, struct vz_error *err)
{
    const struct schema_type *type = schema_type_of(card->attachment);
    struct vz_network_device *d = schema_copy(schema_type_of(card), card, err);
    struct vz_network_attachment *a = schema_copy(type, card->attachment, err);

    if (!d || !a || schema_add_element(schema_find(type, "forwards"), a, 0, value, err) < 0) {
        vz_network_attachment_unref(a);
        vz_network_device_unref(d);
        return NULL;
    }
    vz_network_attachment_unref(d->attachment);
    d->attachment = a;
    return d;
}

static int add_forward(struct vz_config *c, const char *value, struct vz_error *err)
{
    bool alone = !c->network_devices.count;
    struct vz_network_device *card;
    void **nat;
    int r = alone ? apply(c, "net", "nat", err) : 0;

    if (r < 0)
        return r;
    nat = find_nat(c);
    if (!nat)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "no network card is behind NAT; add one with --net nat");
    card = with_forward(*nat, value ? value : "", err);
    if (!card) {
        if (alone)
            object_unref(c->network_devices.item[--c->network_devices.count]);
        return -EINVAL;
    }
    object_unref(*nat);
    *nat = card;
    return 0;
}

/* A copy of a disk whose changes are thrown away. */
static struct vz_storage_device *as_ephemeral(const struct vz_storage_device *disk,
                                              struct vz_error *err)
{
    struct vz_storage_device *d = schema_copy(schema_type_of(disk), disk, err);
    struct vz_storage_attachment *a =
        schema_copy(schema_type_of(disk->attachment), disk->attachment, err);

    if (!d || !a) {
        vz_storage_attachment_unref(a);
        vz_storage_device_unref(d);
        return NULL;
    }
    a->ephemeral = true;
    vz_storage_attachment_unref(d->attachment);
    d->attachment = a;
    return d;
}

static int make_ephemeral(struct vz_config *c, const char *value, struct vz_error *err)
{
    for (unsigned i = 0; i < c->storage_devices.count; i++) {
        struct vz_storage_attachment *a = config_storage_device(c, i)->attachment;
        struct vz_storage_device *d;

        if (a->read_only)
            continue;
        if (a->kind != STORAGE_DISK_IMAGE)
            return error_set(err, EINVAL, VZ_ERROR_INVALID,
                             "storageDevices[%u] is no disk image, so what is written to it stays", i);
        d = as_ephemeral(config_storage_device(c, i), err);
        if (!d)
            return -EINVAL;
        object_unref(c->storage_devices.item[i]);
        c->storage_devices.item[i] = d;
    }
    return 0;
}

/* Interpreters that are there make way. */
static void remove_foreign(struct vz_config *c)
{
    struct object_list *l = &c->directory_sharing_devices;
    unsigned kept = 0;

    for (unsigned i = 0; i < l->count; i++) {
        struct vz_directory_sharing_device *d = l->item[i];

        if (d->share->kind == SHARE_OF_INTERPRETERS)
            object_unref(d);
        else
            l->item[kept++] = d;
    }
    l->count = kept;
}

/* "ARCHITECTURE,...", "all" or "none" as --share has it. NULL without memory. */
static char *foreign_share(const char *value)
{
    char *text = NULL, *copy = strdup(value), *rest = copy, *name;
    size_t len;
    FILE *f = copy ? open_memstream(&text, &len) : NULL;

    if (!f) {
        free(copy);
        return NULL;
    }
    fputs(VZ_FOREIGN_BINARIES_TAG "=foreign-binaries", f);
    while (strcmp(value, "all") && (name = strsep(&rest, ",")))
        fprintf(f, ",arch=%s", name);
    free(copy);
    if (fclose(f) == 0)
        return text;
    free(text);
    return NULL;
}

static int set_foreign(struct vz_config *c, const char *value, struct vz_error *err)
{
    char *text;
    int r;

    if (!value || !*value)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "expected architectures, all or none");
    if (!strcmp(value, "none")) {
        remove_foreign(c);
        return 0;
    }
    text = foreign_share(value);
    if (!text)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    remove_foreign(c);
    r = apply(c, "share", text, err);
    free(text);
    return r;
}

/* A device of a type, as its own option would add it. */
static int add_as(struct vz_config *c, const char *list, const struct schema_type *type, const char *value, struct vz_error *err)
{
    const struct schema_option o = {.place = schema_find(&config_machine_type, list), .type = type, .name = "usb"};

    return schema_apply_option(&o, c, value, err);
}

static int add_usb(struct vz_config *c, const char *value, struct vz_error *err)
{
    if (!value || !value[0])
        return add_as(c, "usbControllers", &config_xhci_type, NULL, err);
    if (!strncmp(value, "host=", 5))
        return add_as(c, "usbDevices", &config_usb_host_type, value + 5, err);
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "expected host=DEVICE, or nothing");
}

const struct config_shortcut config_shortcuts[] = {
    {"boot-disk", 0, "PATH[,...]", "Kernel",
     "a --disk whose file system (ext2, 3 or 4) has kernel and initrd in /boot, instead of --kernel "
     "and --initrd: at each start and reset the newest",
     "Newest by the version in the names /boot/vmlinuz-* and their initrd (or /vmlinuz and "
     "/initrd.img), on the whole disk, or on the first partition that has a kernel. So the guest "
     "boots what it has installed. Without --cmdline its root is "
     "found, and the consoles are COM1 and any --console. A file "
     "system that was cut off is read as its journal's last checkpoint left it, which may be an "
     "older kernel than the last one installed.",
     add_boot_disk},
    {"clipboard", 0, NULL, "Devices",
     "share the clipboard with the guest, whose agent (spice-vdagent) sees to it",
     "A console device with the port com.redhat.spice.0. What is copied on one side can be pasted on the other, and only "
     "then travels: by `vz clipboard`, VNC (text), and programs (<vz/clipboard.h>).",
     add_clipboard},
    {"efi", 0, "STORE[,firmware=FILE][,secure-boot]", "Kernel",
     "UEFI firmware, which finds an operating system on the disks, instead of --kernel",
     "Its variables, such as the boot entries that an installer makes, are kept in the file STORE, which is "
     "made where it is not there; without STORE they last as long as the machine. The firmware is OVMF as "
     "the system has it installed (Debian's package ovmf), or FILE. With secure-boot it starts only what is "
     "signed by a key that the store trusts; a store that is made trusts Microsoft's and the distribution's.",
     set_efi, true},
    {"boot-order", 0, "WORD,...", "Kernel",
     "what firmware (--efi) looks at first: usb (disks), cdrom, disk (all others) and network",
     "At every start and reset. What is not named comes behind, but for networks, which are not asked then. Without it the "
     "variables say so (BootOrder, which installers and 'vz efi' set), and where they say nothing yet, it is cdrom,usb,disk.",
     set_boot_order},
    {"boot-once", 0, "WORD,...", "Kernel", "the same for this start, but not for resets after it",
     "The next start has the order of before, behind what was installed meanwhile.", set_boot_once},
    {"boot-menu-wait", 0, "TIME", "Kernel",
     "how long firmware (--efi) waits for a key (Esc: its menus) before it starts something, such as 3s or 500ms",
     NULL, set_boot_menu_wait},
    {"ephemeral", 0, NULL, "Devices", "throw away at the end what the guest writes to its disks",
     "Every disk is only read, and may be shared by any number of machines; what is written goes to a "
     "file without a name in /var/tmp, or where TMPDIR says. Starting costs no copy, whatever the "
     "disk's size. For one disk: --disk PATH,ephemeral.",
     make_ephemeral},
    {"forward", 0, "tcp|udp:[HOST:]PORT:GUESTPORT", "Devices",
     "port forwarding: connections to PORT of the host (127.0.0.1) reach GUESTPORT of the guest, "
     "behind NAT",
     "They belong to the first network card behind NAT, and bring one along where there is no "
     "card.",
     add_forward},
    {"foreign", 0, "ARCHITECTURE,...|all|none", "Devices",
     "programs of arm64, armhf, i386, ppc64le, riscv64, s390x run in the guest as its own do",
     "By interpreters of the host's (QEMU's, Debian's package qemu-user-static), which a share of the tag foreign brings "
     "into the guest. Its agent registers them with the kernel, so this needs a socket device; else the guest "
     "runs a script: docs/foreign-binaries.md. all: those that are installed.",
     set_foreign},
    {"seed", 0, "USER-DATA[,META-DATA[,NETWORK-CONFIG]]", "Devices",
     "a disk that tells cloud-init in the guest who may log in and what to install",
     "It is made in memory of these files (cloud-init's NoCloud data source, called cidata) and cannot be "
     "written. Without META-DATA the instance-id is the machine's identifier and the host name is its "
     "--name; cloud-init sets a machine up once for each instance-id, so a disk that is used again wants "
     "the same --uuid each time.",
     add_seed},
    {"usb", 0, "host=DEVICE[,uuid=UUID]", "Devices",
     "a USB device of the host; or without a value a USB controller (xHCI), for devices that come while the machine runs",
     "DEVICE is its port, such as 1-2 or 1-2.3, or its vendor and product, such as 046d:c52b: 'vz usb list' shows both. The "
     "host's drivers let go of it until the machine ends. A controller comes by itself with the first USB device.",
     add_usb, true, "xhci_controller"},
    {.name = NULL},
};

/* ---- Public --------------------------------------------------------------------------------- */

static int try_option(void *like, const struct schema_option *o)
{
    closest_try(like, o->name);
    return 0;
}

static int refuse(const char *name, struct vz_error *err)
{
    struct closest like = {.word = name};

    schema_each_option(&config_machine_type, try_option, &like);
    for (const struct config_shortcut *s = config_shortcuts; s->name; s++)
        closest_try(&like, s->name);
    if (like.best)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "there is no option '%.40s'; did you mean '%s'?", name, like.best);
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "there is no option '%.40s'", name);
}

int vz_config_add(struct vz_config *config, const char *option, const char *value,
                  struct vz_error *err)
{
    int r;

    if (!options_given(config, "configuration", err) || !options_given(option, "option", err))
        return -1;
    for (const struct config_shortcut *s = config_shortcuts; s->name; s++) {
        if (!strcmp(s->name, option))
            return s->apply(config, value, err) < 0 ? -1 : 0;
    }
    r = apply(config, option, value, err);
    if (r == -ENOENT)
        r = refuse(option, err);
    return r < 0 ? -1 : 0;
}
