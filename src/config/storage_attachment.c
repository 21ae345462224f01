/* SPDX-License-Identifier: MIT */
/* Where the bytes of disks are: files, block devices, NBD servers, what seeds cloud-init, or nothing. */
#include <vz/storage.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk_format.h"
#include "base/error.h"
#include "base/nbd_uri.h"
#include "config/objects.h"
#include "config/report.h"

/* ---- Checks --------------------------------------------------------------------------------- */

/* Of one that is open as fd. Is it raw? */
static bool check_format(struct report *r, const struct vz_storage_attachment *a, const char *name,
                         int fd)
{
    enum disk_format format = (enum disk_format)a->format;
    char text[DISK_FORMAT_TEXT_MAX];

    if (disk_format_choose(fd, a->path, storage_is_shared(a), &format, text)) {
        report_problem(r, VZ_ERROR_INVALID_DISK_IMAGE, "%s: %s", name, text);
        return false;
    }
    return format == DISK_FORMAT_RAW;
}

static void check_bytes(struct report *r, const struct vz_storage_attachment *a, int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        report_problem(r, VZ_ERROR_IO, "%s: %s", a->path, strerror(errno));
    else if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        report_problem(r, VZ_ERROR_INVALID_DISK_IMAGE, "%s: neither a file nor a block device",
                       a->path);
    else if (check_format(r, a, a->path, fd) && S_ISREG(st.st_mode) &&
             (!st.st_size || st.st_size % 512))
        report_problem(r, VZ_ERROR_INVALID_DISK_IMAGE,
                       "%s: its size, %lld bytes, is not a multiple of 512 above 0", a->path,
                       (long long)st.st_size);
}

static void check_disk_image(struct report *r, const void *object)
{
    const struct vz_storage_attachment *a = object;
    int fd = open(a->path, (storage_is_shared(a) ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        report_problem(r, VZ_ERROR_IO, "%s: %s", a->path, strerror(errno));
        return;
    }
    check_bytes(r, a, fd);
    close(fd);
}

static void check_block_device(struct report *r, const void *object)
{
    const struct vz_storage_attachment *a = object;

    if (report_fd(r, a->fd, a->read_only ? O_RDONLY : O_RDWR))
        (void)check_format(r, a, "the disk", a->fd);
}

static void check_uri(struct report *r, const void *object)
{
    const struct vz_storage_attachment *a = object;
    struct nbd_uri uri;
    struct vz_error err;

    if (nbd_uri_parse(a->uri, &uri, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
}

/* ---- Kinds ---------------------------------------------------------------------------------- */

static const char *const caching_words[] = {"automatic", "uncached", "cached", NULL};
static const char *const format_words[] = {"automatic", "raw", "qcow2", NULL};
static const char *const sync_words[] = {"full", "fsync", "none", NULL};

#define FIELD_READ_ONLY                                                                            \
    FIELD_BOOL(struct vz_storage_attachment, read_only, "readOnly", .option = "ro",                \
               .text = "the guest cannot write to it")
#define FIELD_SYNC                                                                                 \
    FIELD_ENUM(struct vz_storage_attachment, sync, "synchronization", sync_words, .host = true,    \
               .first_word = VZ_DISK_SYNC_FULL, .initial = VZ_DISK_SYNC_FULL, .option = "sync",    \
               .noun = "synchronization mode",                                                     \
               .text = "what a flush of the guest does",                                           \
               .more = "With full (fsync of the host) and fsync (fdatasync) the data is on stable "\
                       "storage before the guest hears of it; with none a crash of the host may "  \
                       "destroy the guest's file systems.")
#define FIELD_FORMAT                                                                               \
    FIELD_ENUM(struct vz_storage_attachment, format, "format", format_words, .host = true, .option = "format", \
               .noun = "disk format", .text = "what its bytes are",                                 \
               .more = "automatic takes an image for qcow2 if it is one and its name ends in "      \
                       ".qcow2, else for raw; one that looks like another format than that (qcow2, "\
                       "VMDK, VHD, VHDX, VDI; ISO unless it is read-only) is refused.")

static const struct schema_field disk_image_fields[] = {
    FIELD_CONST(struct vz_storage_attachment, kind, STORAGE_DISK_IMAGE),
    FIELD_PATH(struct vz_storage_attachment, path, "path", .required = true, .option = "",
               .noun = "path of a disk image", .text = "an image, or a block device"),
    FIELD_READ_ONLY,
    FIELD_ENUM(struct vz_storage_attachment, caching, "caching", caching_words, .host = true, .option = "cache",
               .noun = "caching mode", .text = "whether the host's page cache is used",
               .more = "It makes no difference to what survives a crash."),
    FIELD_SYNC,
    FIELD_FORMAT,
    FIELD_PATH(struct vz_storage_attachment, backing, "backing", .option = "backing",
               .noun = "path of a backing file or folder",
               .text = "where the backing files of a qcow2 image may be",
               .more = "A file, or a folder with all in it. The image's own folder is always allowed; a "
                       "chain that leads elsewhere is refused."),
    FIELD_BOOL(struct vz_storage_attachment, ephemeral, "ephemeral", .host = true, .option = "ephemeral",
               .text = "what the guest writes is thrown away at the end",
               .more = "It goes to a layer above the image, which is only read and may be shared by any "
                       "number of machines. The layer has no name, so nothing is left of it."),
    FIELD_END};
static const struct schema_type disk_image_type = {
    .name = "disk_image", .json = "diskImage", .size = sizeof(struct vz_storage_attachment),
    .fields = disk_image_fields, .check = check_disk_image,
    .text = "a disk image (raw or qcow2) or block device, by its path"};

static const struct schema_field block_device_fields[] = {
    FIELD_CONST(struct vz_storage_attachment, kind, STORAGE_BLOCK_DEVICE),
    FIELD_FD(struct vz_storage_attachment, fd, "descriptor", .required = true,
             .text = "a disk of the host, already open"),
    FIELD_READ_ONLY,
    FIELD_SYNC,
    FIELD_FORMAT,
    FIELD_END};
static const struct schema_type block_device_type = {
    .name = "block_device", .json = "blockDevice", .size = sizeof(struct vz_storage_attachment),
    .fields = block_device_fields, .check = check_block_device,
    .text = "a disk of the host that is open already, by a helper with more rights"};

static void check_seed_file(struct report *r, const char *path)
{
    struct stat st;

    if (!path)
        return;
    if (stat(path, &st) < 0 || access(path, R_OK) < 0)
        report_problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        report_problem(r, VZ_ERROR_INVALID, "%s: is not a file", path);
}

static void check_seed(struct report *r, const void *object)
{
    const struct vz_storage_attachment *a = object;

    check_seed_file(r, a->user_data);
    check_seed_file(r, a->meta_data);
    check_seed_file(r, a->network_config);
}

static const struct schema_field seed_fields[] = {
    FIELD_CONST(struct vz_storage_attachment, kind, STORAGE_SEED),
    FIELD_CONST(struct vz_storage_attachment, read_only, true),
    FIELD_PATH(struct vz_storage_attachment, user_data, "userData", .required = true, .option = "",
               .value = "USER-DATA", .noun = "path of user-data",
               .text = "a file for cloud-init: who may log in, what to install and to run",
               .more = "Its first line is #cloud-config, or another of cloud-init's headers; the file may be "
                       "empty."),
    FIELD_PATH(struct vz_storage_attachment, meta_data, "metaData", .option = "",
               .value = "META-DATA", .noun = "path of meta-data",
               .text = "a file with instance-id and local-hostname; made where it is not given",
               .more = "Then instance-id is the machine's identifier, and local-hostname its name. "
                       "cloud-init sets a machine up once for each instance-id: a disk that is used again "
                       "wants --uuid, so that it is the same machine."),
    FIELD_PATH(struct vz_storage_attachment, network_config, "networkConfig", .option = "",
               .value = "NETWORK-CONFIG", .noun = "path of network-config",
               .text = "a file with the network's configuration; without it the guest uses DHCP"),
    FIELD_END};
static const struct schema_type seed_type = {
    .name = "seed", .json = "seed", .size = sizeof(struct vz_storage_attachment),
    .fields = seed_fields, .check = check_seed, .option = "seed",
    .text = "a disk made for cloud-init (NoCloud), in memory and read-only"};

static const struct schema_field nbd_fields[] = {
    FIELD_CONST(struct vz_storage_attachment, kind, STORAGE_NBD),
    FIELD_STRING(struct vz_storage_attachment, uri, "uri", .host = true, .required = true, .option = "", .value = "nbd://...",
                 .noun = "address of an NBD export", .check = check_uri,
                 .text = "nbd://HOST[:PORT]/EXPORT, nbds://HOST/EXPORT in TLS, or nbd+unix:///EXPORT?socket=PATH",
                 .more = "Further parameters behind '?' and '&': tls-certificates=FOLDER, tls-psk-file=FILE, "
                         "tls-verify-peer=false. %XX is a character."),
    FIELD_READ_ONLY,
    FIELD_UINT(struct vz_storage_attachment, timeout, "timeout", .host = true, .max = VZ_NBD_TIMEOUT_MAX,
               .initial = VZ_NBD_TIMEOUT_DEFAULT, .noun = "timeout", .value = "SECONDS",
               .text = "how long a request may take, and connecting at the start",
               .more = "Then the guest gets an error, unless it is 0: it waits. A connection that is lost is made "
                       "anew, and requests wait for it."),
    FIELD_ENUM(struct vz_storage_attachment, sync, "synchronization", sync_words,
               .first_word = VZ_DISK_SYNC_FULL, .initial = VZ_DISK_SYNC_FULL, .option = "sync",
               .noun = "synchronization mode", .text = "what a flush of the guest does",
               .more = "With full and fsync it is the server's; with none it is nothing, and a server that ends without "
                       "warning may destroy the guest's file systems."),
    FIELD_END};
static const struct schema_type nbd_type = {
    .name = "nbd", .json = "nbd", .size = sizeof(struct vz_storage_attachment), .fields = nbd_fields,
    .claims = nbd_uri_is, .text = "a disk on an NBD server"};

static const struct schema_field empty_fields[] = {
    FIELD_CONST(struct vz_storage_attachment, kind, STORAGE_EMPTY),
    FIELD_CONST(struct vz_storage_attachment, read_only, true),
    FIELD_END};
static const struct schema_type empty_type = {
    .name = "empty", .json = "empty", .size = sizeof(struct vz_storage_attachment), .fields = empty_fields,
    .option = "empty", .text = "nothing: a CD-ROM drive without a disc"};

#define STORAGE_ATTACHMENTS &disk_image_type, &block_device_type, &seed_type, &nbd_type
static const struct schema_type *const storage_attachments_types[] = {STORAGE_ATTACHMENTS, NULL};
const struct schema_class config_storage_attachments = {.types = storage_attachments_types};
static const struct schema_type *const drive_attachments_types[] = {STORAGE_ATTACHMENTS, &empty_type, NULL};
const struct schema_class config_drive_attachments = {.types = drive_attachments_types};

/* ---- Making them ---------------------------------------------------------------------------- */

struct vz_storage_attachment *vz_storage_attachment_ref(struct vz_storage_attachment *object)
{
    return object_ref(object);
}

void vz_storage_attachment_unref(struct vz_storage_attachment *object)
{
    object_unref(object);
}

struct vz_storage_attachment *
vz_disk_image_attachment_new(const char *path, const struct vz_disk_image_options *options,
                             struct vz_error *err)
{
    struct vz_disk_image_options o = VZ_DISK_IMAGE_OPTIONS_INIT;
    struct vz_storage_attachment a = {.path = (char *)path, .fd = -1};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    a.read_only = o.read_only;
    a.caching = o.caching;
    a.sync = o.sync;
    a.format = o.format;
    a.backing = (char *)o.backing;
    a.ephemeral = o.ephemeral;
    return schema_make(&disk_image_type, &a, err);
}

struct vz_storage_attachment *
vz_block_device_attachment_new(int fd, const struct vz_block_device_options *options,
                               struct vz_error *err)
{
    struct vz_block_device_options o = VZ_BLOCK_DEVICE_OPTIONS_INIT;
    struct vz_storage_attachment a = {.fd = fd};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    a.read_only = o.read_only;
    a.sync = o.sync;
    a.format = o.format;
    return schema_make(&block_device_type, &a, err);
}

struct vz_storage_attachment *vz_seed_attachment_new(const char *user_data,
                                                     const struct vz_seed_options *options,
                                                     struct vz_error *err)
{
    struct vz_seed_options o = VZ_SEED_OPTIONS_INIT;
    struct vz_storage_attachment a = {.fd = -1, .user_data = (char *)user_data};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    a.meta_data = (char *)o.meta_data;
    a.network_config = (char *)o.network_config;
    return schema_make(&seed_type, &a, err);
}

struct vz_storage_attachment *vz_empty_storage_attachment_new(struct vz_error *err)
{
    const struct vz_storage_attachment a = {.fd = -1};

    return schema_make(&empty_type, &a, err);
}

struct vz_storage_attachment *vz_nbd_attachment_new(const char *uri,
                                                    const struct vz_nbd_options *options,
                                                    struct vz_error *err)
{
    struct vz_nbd_options o = VZ_NBD_OPTIONS_INIT;
    struct vz_storage_attachment a = {.fd = -1, .uri = (char *)uri};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    a.timeout = o.timeout;
    a.read_only = o.read_only;
    a.sync = o.sync;
    return schema_make(&nbd_type, &a, err);
}

int vz_nbd_uri_validate(const char *uri, struct vz_error *err)
{
    struct nbd_uri u;

    return options_given(uri, "address", err) && nbd_uri_parse(uri, &u, err) == 0 ? 0 : -1;
}
