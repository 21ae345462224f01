/* SPDX-License-Identifier: MIT */
/* Disks, and CD-ROM drives. */
#include <vz/storage.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "config/objects.h"
#include "config/report.h"

/* ---- Checks --------------------------------------------------------------------------------- */

static void check_identifier(struct report *r, const void *object)
{
    const struct vz_storage_device *d = object;
    struct vz_error err;

    if (d->identifier && vz_block_identifier_validate(d->identifier, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
}

static void check_block_size(struct report *r, const void *object)
{
    const struct vz_storage_device *d = object;

    if (d->block_size != 512 && d->block_size != 4096)
        report_problem(r, VZ_ERROR_INVALID, "block size %u is neither 512 nor 4096", d->block_size);
}

/* Is another disk the same file, and one of the two written? The last of them reports it. */
static void check_shared(struct report *r, const void *object)
{
    const struct vz_storage_attachment *a = ((const struct vz_storage_device *)object)->attachment;
    struct stat mine, theirs;

    if (a->kind == STORAGE_EMPTY && schema_type_of(object) != &config_usb_cdrom_type)
        report_problem(r, VZ_ERROR_INVALID, "only a CD-ROM drive can be empty");
    if (a->kind != STORAGE_DISK_IMAGE || stat(a->path, &mine) < 0)
        return;
    for (unsigned k = 0; k < r->index; k++) {
        const struct vz_storage_attachment *b = config_storage_device(r->whole, k)->attachment;

        if (b->kind != STORAGE_DISK_IMAGE || (storage_is_shared(a) && storage_is_shared(b)))
            continue;
        if (stat(b->path, &theirs) == 0 && theirs.st_dev == mine.st_dev &&
            theirs.st_ino == mine.st_ino)
            report_problem(r, VZ_ERROR_INVALID,
                           "%s is in use by storageDevices[%u] too, and written", a->path, k);
    }
}

bool storage_is_usb(const struct vz_storage_device *d)
{
    return schema_type_of(d) == &config_usb_disk_type || schema_type_of(d) == &config_usb_cdrom_type;
}

void config_check_uuid(struct report *r, const char *uuid)
{
    struct vz_machine_identifier id;
    char text[VZ_MACHINE_IDENTIFIER_TEXT_MAX];

    if (!uuid)
        return;
    if (vz_machine_identifier_parse(uuid, &id) < 0) {
        report_problem(r, VZ_ERROR_INVALID, "'%.60s' is not a UUID like 12345678-9abc-4def-8012-3456789abcde", uuid);
        return;
    }
    vz_machine_identifier_format(&id, text);
    if (strcmp(text, uuid) != 0)
        report_problem(r, VZ_ERROR_INVALID, "the UUID '%.60s' is not in lower case", uuid);
}

static void check_uuid(struct report *r, const void *object)
{
    config_check_uuid(r, ((const struct vz_storage_device *)object)->uuid);
}

/* The last of those that share a UUID reports it. */
static void check_usb(struct report *r, const void *object)
{
    const struct vz_storage_device *d = object;

    check_shared(r, object);
    for (unsigned k = 0; d->uuid && k < r->index; k++) {
        const char *its = config_storage_device(r->whole, k)->uuid;

        if (its && !strcmp(its, d->uuid))
            report_problem(r, VZ_ERROR_INVALID, "storageDevices[%u] has the same UUID", k);
    }
}

/* ---- Kinds ---------------------------------------------------------------------------------- */

#define FIELD_FILTER \
    FIELD_STRING(struct vz_storage_device, filter, "filter", .host = true, .option = "filter", .value = "FILTER", \
                 .text = "for tests of a guest: slow or failing requests, or a log of them", \
                 .more = "log; delay:TIME[:OPERATION]...; or fault:eio|enospc|etimedout[:OPERATION]..." \
                         "[:skip=N][:times=N][:percent=N]. Operations are read, write, flush, discard " \
                         "and zero; several filters are joined by +, the first on top.")

#define FIELD_ATTACHMENT                                                                           \
    FIELD_ONE(struct vz_storage_device, attachment, "attachment", &config_storage_attachments,            \
              .required = true, .noun = "attachment of the disk", .text = "where its bytes are")
#define FIELD_BLOCK_SIZE                                                                           \
    FIELD_UINT(struct vz_storage_device, block_size, "blockSize", .check = check_block_size,       \
               .text = "bytes of the guest's blocks: 512, or 4096", .initial = 512)
#define FIELD_LIMITS                                                                               \
    FIELD_SIZE(struct vz_storage_device, limit_bytes, "limitBytes", .host = true,                  \
               .text = "how many bytes a second may be read and written"),                         \
    FIELD_UINT(struct vz_storage_device, limit_operations, "limitOperations", .host = true,        \
               .text = "how many requests a second it does; 0: no limit"),                         \
    FIELD_UINT(struct vz_storage_device, limit_burst, "limitBurst", .host = true, .value = "MS",   \
               .min = 1, .max = VZ_DISK_BURST_MAX, .initial = VZ_DISK_BURST_DEFAULT,               \
               .noun = "burst of the limits",                                                      \
               .text = "how many milliseconds' worth of that may come at once after a rest",       \
               .more = "Limits can be changed while the machine runs.")

static const struct schema_field virtio_block_fields[] = {
    FIELD_ATTACHMENT,
    FIELD_STRING(struct vz_storage_device, identifier, "identifier", .option = "id",
                 .value = "NAME", .check = check_identifier,
                 .text = "its serial number, up to 20 ASCII characters",
                 .more = "Linux shows it as /dev/disk/by-id/virtio-NAME."),
    FIELD_BLOCK_SIZE,
    FIELD_LIMITS,
    FIELD_FILTER,
    FIELD_END};
const struct schema_type config_virtio_block_type = {
    .name = "block", .json = "virtioBlock", .size = sizeof(struct vz_storage_device),
    .fields = virtio_block_fields, .check = check_shared,
    .option = "disk", .letter = 'd', .heading = "Devices",
    .text = "a virtio disk, vda, vdb, ... in their order: an image (raw, qcow2), a block device, an NBD "
            "server's, or what seeds cloud-init; with "
            "sync=none a crash of the host may destroy the guest's file systems"};

void config_storage_serial(const struct vz_storage_device *d, unsigned index, char ret[VZ_BLOCK_IDENTIFIER_MAX + 1])
{
    if (d->identifier)
        snprintf(ret, VZ_BLOCK_IDENTIFIER_MAX + 1, "%s", d->identifier);
    else
        snprintf(ret, VZ_BLOCK_IDENTIFIER_MAX + 1, "vz%u", index);
}

/* Controllers with one serial number have one name (NQN), and Linux takes only the first of them. */
static void check_nvme(struct report *r, const void *object)
{
    char mine[VZ_BLOCK_IDENTIFIER_MAX + 1], other[VZ_BLOCK_IDENTIFIER_MAX + 1];

    check_shared(r, object);
    config_storage_serial(object, r->index, mine);
    for (unsigned k = 0; k < r->index; k++) {
        const struct vz_storage_device *d = config_storage_device(r->whole, k);

        config_storage_serial(d, k, other);
        if (schema_type_of(d) == &config_nvme_type && !strcmp(mine, other))
            report_problem(r, VZ_ERROR_INVALID, "storageDevices[%u] is an NVMe controller with the identifier '%s' already",
                           k, mine);
    }
}

static const struct schema_field nvme_fields[] = {
    FIELD_ATTACHMENT,
    FIELD_STRING(struct vz_storage_device, identifier, "identifier", .option = "id",
                 .value = "NAME", .check = check_identifier,
                 .text = "the controller's serial number, up to 20 ASCII characters",
                 .more = "Without one it is vz and the disk's number among all disks."),
    FIELD_BLOCK_SIZE,
    FIELD_LIMITS,
    FIELD_FILTER,
    FIELD_END};
const struct schema_type config_nvme_type = {
    .name = "nvme", .json = "nvme", .size = sizeof(struct vz_storage_device),
    .fields = nvme_fields, .check = check_nvme, .option = "nvme", .heading = "Devices",
    .text = "a disk behind an NVMe controller, nvme0n1, nvme1n1, ... in their order: for guests without "
            "virtio drivers"};

static bool is_controller(const struct vz_storage_device *d, const char *name)
{
    return schema_type_of(d) == &config_nvme_type &&
           (!name || (d->identifier && !strcmp(d->identifier, name)));
}

int config_nvme_controller(const struct vz_storage_device *(*at)(const void *arg, unsigned i),
                           const void *arg, unsigned index)
{
    const char *name = at(arg, index)->controller;
    const struct vz_storage_device *d;
    int found = -1;

    for (unsigned i = 0; (name || i < index) && (d = at(arg, i)); i++) {
        if (is_controller(d, name))
            found = (int)i;
    }
    return found;
}

static const struct vz_storage_device *device_at(const void *config, unsigned i)
{
    const struct vz_config *c = config;

    return i < c->storage_devices.count ? config_storage_device(c, i) : NULL;
}

/* The first one that is too much for its controller reports it. */
static void check_namespace(struct report *r, const void *object)
{
    const struct vz_storage_device *d = object;
    int controller = config_nvme_controller(device_at, r->whole, r->index);
    unsigned count = 1;

    check_shared(r, object);
    if (controller < 0 && d->controller)
        report_problem(r, VZ_ERROR_INVALID, "no NVMe controller has the identifier '%.40s'", d->controller);
    else if (controller < 0)
        report_problem(r, VZ_ERROR_INVALID, "there is no NVMe controller before it, which it could belong to");
    for (unsigned i = 0; controller >= 0 && i <= r->index; i++)
        count += schema_type_of(device_at(r->whole, i)) == &config_nvme_namespace_type &&
                 config_nvme_controller(device_at, r->whole, i) == controller;
    if (count == VZ_NVME_NAMESPACES_MAX + 1)
        report_problem(r, VZ_ERROR_INVALID, "an NVMe controller has room for %d namespaces",
                       VZ_NVME_NAMESPACES_MAX);
}

static const struct schema_field nvme_namespace_fields[] = {
    FIELD_ATTACHMENT,
    FIELD_STRING(struct vz_storage_device, controller, "controller", .value = "ID",
                 .text = "which NVMe controller it belongs to: by its identifier",
                 .more = "Without that it is the last one before it."),
    FIELD_BLOCK_SIZE,
    FIELD_LIMITS,
    FIELD_FILTER,
    FIELD_END};
const struct schema_type config_nvme_namespace_type = {
    .name = "nvme_namespace", .json = "nvmeNamespace", .size = sizeof(struct vz_storage_device),
    .fields = nvme_namespace_fields, .check = check_namespace, .option = "nvme-namespace",
    .heading = "Devices",
    .text = "a further disk behind an NVMe controller: nvme0n2, nvme0n3, ... in their order"};

#define FIELD_USB_IDENTIFIER                                                                       \
    FIELD_STRING(struct vz_storage_device, identifier, "identifier", .option = "id",               \
                 .value = "NAME", .check = check_identifier,                                       \
                 .text = "its serial number, up to 20 ASCII characters",                           \
                 .more = "Without one it is vz and the disk's number among all disks.")

#define FIELD_USB_UUID                                                                             \
    FIELD_STRING(struct vz_storage_device, uuid, "uuid", .value = "UUID", .check = check_uuid,     \
                 .text = "by which a running machine's USB devices are told apart",                \
                 .more = "One that is attached to a running machine gets a random one, with which it is saved: the " \
                         "configuration that the state is restored with has it, too.")

#define FIELD_UAS                                                                                  \
    FIELD_BOOL(struct vz_storage_device, uas, "uas", .option = "uas",                              \
               .text = "USB attached SCSI: several commands at a time",                            \
               .more = "Drivers that have it are faster with it (Linux's uas; its usb-storage leaves such a device to that " \
                       "one), others and firmware use bulk-only transport, which the device has as well.")

static const struct schema_field usb_disk_fields[] = {
    FIELD_ATTACHMENT,
    FIELD_USB_UUID,
    FIELD_USB_IDENTIFIER,
    FIELD_UAS,
    FIELD_BLOCK_SIZE,
    FIELD_LIMITS,
    FIELD_FILTER,
    FIELD_END};
const struct schema_type config_usb_disk_type = {
    .name = "usb_mass_storage", .json = "usbMassStorage", .size = sizeof(struct vz_storage_device),
    .fields = usb_disk_fields, .check = check_usb, .option = "usb-disk", .heading = "Devices",
    .text = "a USB disk, sda, sdb, ... in their order: what firmware and installers know as a stick"};

/* What is in the drive is only read, whoever wrote what of it. */
static int complete_cdrom(void *object, struct vz_error *err)
{
    struct vz_storage_device *d = object;
    struct vz_storage_attachment *a = d->attachment;

    if (a->read_only)
        return 0;
    a = schema_copy(schema_type_of(a), a, err);
    if (!a)
        return -ENOMEM;
    a->read_only = true;
    vz_storage_attachment_unref(d->attachment);
    d->attachment = a;
    return 0;
}

static const struct schema_field usb_cdrom_fields[] = {
    FIELD_ONE(struct vz_storage_device, attachment, "attachment", &config_drive_attachments, .required = true,
              .noun = "attachment of the drive", .text = "what is in it"),
    FIELD_USB_UUID,
    FIELD_USB_IDENTIFIER,
    FIELD_UAS,
    FIELD_LIMITS,
    FIELD_FILTER,
    FIELD_END};
const struct schema_type config_usb_cdrom_type = {
    .name = "usb_cdrom", .json = "usbCdrom", .size = sizeof(struct vz_storage_device),
    .fields = usb_cdrom_fields, .complete = complete_cdrom, .check = check_usb, .option = "cdrom",
    .letter = 'c', .heading = "Devices",
    .text = "a USB CD-ROM drive with an ISO image in it, sr0, sr1, ... in their order: only read"};

static const struct schema_type *const storage_devices_types[] = {
    &config_virtio_block_type, &config_nvme_type, &config_nvme_namespace_type, &config_usb_disk_type,
    &config_usb_cdrom_type, NULL};
const struct schema_class config_storage_devices = {.types = storage_devices_types};

/* ---- Making them ---------------------------------------------------------------------------- */

struct vz_storage_device *vz_storage_device_ref(struct vz_storage_device *object)
{
    return object_ref(object);
}

void vz_storage_device_unref(struct vz_storage_device *object)
{
    object_unref(object);
}

struct vz_storage_device *
vz_virtio_block_device_new(struct vz_storage_attachment *attachment,
                           const struct vz_virtio_block_options *options, struct vz_error *err)
{
    struct vz_virtio_block_options o = VZ_VIRTIO_BLOCK_OPTIONS_INIT;
    struct vz_storage_device d = {.attachment = attachment};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.identifier = o.identifier;
    d.block_size = o.block_size;
    d.limit_bytes = o.limit_bytes;
    d.limit_operations = o.limit_operations;
    d.limit_burst = o.limit_burst;
    return schema_make(&config_virtio_block_type, &d, err);
}

struct vz_storage_device *
vz_nvme_device_new(struct vz_storage_attachment *attachment,
                   const struct vz_nvme_options *options, struct vz_error *err)
{
    struct vz_nvme_options o = VZ_NVME_OPTIONS_INIT;
    struct vz_storage_device d = {.attachment = attachment};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.identifier = o.identifier;
    d.block_size = o.block_size;
    d.limit_bytes = o.limit_bytes;
    d.limit_operations = o.limit_operations;
    d.limit_burst = o.limit_burst;
    return schema_make(&config_nvme_type, &d, err);
}

struct vz_storage_device *
vz_nvme_namespace_new(struct vz_storage_attachment *attachment,
                      const struct vz_nvme_namespace_options *options, struct vz_error *err)
{
    struct vz_nvme_namespace_options o = VZ_NVME_NAMESPACE_OPTIONS_INIT;
    struct vz_storage_device d = {.attachment = attachment};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.controller = o.controller;
    d.block_size = o.block_size;
    d.limit_bytes = o.limit_bytes;
    d.limit_operations = o.limit_operations;
    d.limit_burst = o.limit_burst;
    return schema_make(&config_nvme_namespace_type, &d, err);
}

static struct vz_storage_device *new_usb(const struct schema_type *type,
                                         struct vz_storage_attachment *attachment,
                                         const struct vz_usb_storage_options *options, struct vz_error *err)
{
    struct vz_usb_storage_options o = VZ_USB_STORAGE_OPTIONS_INIT;
    struct vz_storage_device d = {.attachment = attachment};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.identifier = o.identifier;
    d.block_size = o.block_size;
    d.limit_bytes = o.limit_bytes;
    d.limit_operations = o.limit_operations;
    d.limit_burst = o.limit_burst;
    d.uuid = o.uuid;
    d.uas = o.uas;
    return schema_make(type, &d, err);
}

struct vz_storage_device *
vz_usb_mass_storage_device_new(struct vz_storage_attachment *attachment,
                               const struct vz_usb_storage_options *options, struct vz_error *err)
{
    return new_usb(&config_usb_disk_type, attachment, options, err);
}

struct vz_storage_device *
vz_usb_cdrom_device_new(struct vz_storage_attachment *attachment,
                        const struct vz_usb_storage_options *options, struct vz_error *err)
{
    return new_usb(&config_usb_cdrom_type, attachment, options, err);
}

struct vz_storage_attachment *vz_storage_device_attachment(const struct vz_storage_device *device)
{
    return device ? device->attachment : NULL;
}

int vz_block_identifier_validate(const char *identifier, struct vz_error *err)
{
    size_t len;

    if (!options_given(identifier, "identifier", err))
        return -1;
    len = strlen(identifier);
    if (len > VZ_BLOCK_IDENTIFIER_MAX) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "identifier '%.80s' is longer than %d bytes",
                  identifier, VZ_BLOCK_IDENTIFIER_MAX);
        return -1;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)identifier[i] < 0x20 || (unsigned char)identifier[i] > 0x7e) {
            error_set(err, EINVAL, VZ_ERROR_INVALID,
                      "identifier has a character that is not printable ASCII");
            return -1;
        }
    }
    return 0;
}

struct vz_storage_device *vz_config_storage_device(const struct vz_config *config, unsigned index)
{
    return config && index < config->storage_devices.count ? config->storage_devices.item[index] : NULL;
}

int vz_config_add_storage_device(struct vz_config *config, struct vz_storage_device *device,
                                 struct vz_error *err)
{
    return config_add(config ? &config->storage_devices : NULL, device, err);
}
