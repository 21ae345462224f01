/* SPDX-License-Identifier: MIT */
/* Shared directories. */
#include <vz/share.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/utf8.h"
#include "config/foreign_binaries.h"
#include "config/limits.h"
#include "config/objects.h"
#include "config/report.h"
#include "config/share_ownership.h"

/* ---- Names ---------------------------------------------------------------------------------- */

/* May the character stand in a name? */
static bool is_safe(const char *s, size_t len)
{
    bool c1 = len == 2 && (unsigned char)s[0] == 0xc2 && (unsigned char)s[1] < 0xa0;

    return len && !c1 && (unsigned char)s[0] >= 0x20 && s[0] != 0x7f && !strchr("/\\:", s[0]);
}

int vz_shared_directory_name_canonical(const char *name, char ret[VZ_SHARED_DIRECTORY_NAME_MAX + 1],
                                       struct vz_error *err)
{
    char to[VZ_SHARED_DIRECTORY_NAME_MAX + 1];
    size_t used = 0;

    if (!options_given(name, "name", err))
        return -1;
    while (*name) {
        size_t len = utf8_len(name);
        bool safe = is_safe(name, len);

        if (used + (safe ? len : 1) > VZ_SHARED_DIRECTORY_NAME_MAX)
            break;
        if (safe)
            memcpy(to + used, name, len);
        else
            to[used] = '_';
        used += safe ? len : 1;
        name += len ? len : 1;
    }
    to[used] = '\0';
    if (!used) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "the name of a shared directory is empty");
        return -1;
    }
    if (!strcmp(to, ".") || !strcmp(to, ".."))
        memset(to, '_', used);
    memcpy(ret, to, used + 1);
    return 0;
}

int vz_shared_directory_name_validate(const char *name, struct vz_error *err)
{
    char canonical[VZ_SHARED_DIRECTORY_NAME_MAX + 1];

    if (vz_shared_directory_name_canonical(name, canonical, err) < 0)
        return -1;
    if (!strcmp(name, canonical))
        return 0;
    error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.80s' cannot be a shared directory's name, '%.80s' can", name,
              canonical);
    return -1;
}

int vz_share_tag_validate(const char *tag, struct vz_error *err)
{
    if (!options_given(tag, "tag", err))
        return -1;
    if (tag[0] && strlen(tag) <= VZ_SHARE_TAG_MAX && utf8_is_text(tag))
        return 0;
    error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.80s' is not a tag: 1 to %d bytes of UTF-8", tag,
              VZ_SHARE_TAG_MAX);
    return -1;
}

/* ---- Shares --------------------------------------------------------------------------------- */

static void check_directory(struct report *r, const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        report_problem(r, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISDIR(st.st_mode))
        report_problem(r, VZ_ERROR_INVALID, "%s: not a directory", path);
}

static void check_path(struct report *r, const void *object)
{
    check_directory(r, ((const struct vz_directory_share *)object)->path);
}

static const struct schema_field single_fields[] = {
    FIELD_CONST(struct vz_directory_share, kind, SHARE_OF_ONE),
    FIELD_PATH(struct vz_directory_share, path, "path", .required = true, .option = "", .check = check_path,
               .noun = "path of a directory", .text = "a directory of the host"),
    FIELD_BOOL(struct vz_directory_share, read_only, "readOnly", .option = "ro",
               .text = "the guest cannot change anything in it"),
    FIELD_END};
static const struct schema_type single_type = {
    .name = "single_directory", .json = "singleDirectory", .size = sizeof(struct vz_directory_share),
    .fields = single_fields, .text = "a directory of the host, the root of what the guest mounts"};

/* NAME:PATH[:ro] */
static bool parse_directory(char *text, void *element)
{
    struct vz_shared_directory *d = element;
    char *path = strchr(text, ':');
    size_t len;

    if (!path || path == text || !path[1])
        return false;
    *path++ = '\0';
    len = strlen(path);
    if (len > 3 && !strcmp(path + len - 3, ":ro")) {
        path[len - 3] = '\0';
        d->read_only = true;
    }
    d->name = strdup(text);
    d->path = strdup(path);
    return d->name && d->path;
}

static void check_name(struct report *r, const void *object)
{
    struct vz_error err;

    if (vz_shared_directory_name_validate(((const struct vz_shared_directory *)object)->name, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
}

static void check_element_path(struct report *r, const void *object)
{
    check_directory(r, ((const struct vz_shared_directory *)object)->path);
}

static const struct schema_field directory_fields[] = {
    FIELD_STRING(struct vz_shared_directory, name, "name", .required = true, .check = check_name,
                 .noun = "name of a shared directory", .text = "of its folder in the share"),
    FIELD_PATH(struct vz_shared_directory, path, "path", .required = true, .check = check_element_path,
               .noun = "path of a directory", .text = "a directory of the host"),
    FIELD_BOOL(struct vz_shared_directory, read_only, "readOnly",
               .text = "the guest cannot change anything in it"),
    FIELD_END};
static const struct schema_type directory_type = {
    .name = "shared_directory", .size = sizeof(struct vz_shared_directory), .sized = true,
    .fields = directory_fields, .parse = parse_directory, .value = "NAME:PATH[:ro]",
    .text = "a directory of the host under a name"};

static void check_names(struct report *r, const void *object)
{
    const struct vz_directory_share *s = object;

    for (unsigned i = 0; i < s->directory_count; i++) {
        size_t back = report_enter(r, "directories", (int)i);

        for (unsigned k = 0; k < i; k++) {
            if (!strcmp(s->directory[i].name, s->directory[k].name))
                report_problem(r, VZ_ERROR_INVALID, "'%s' is the name of directories[%u] too",
                               s->directory[i].name, k);
        }
        report_leave(r, back);
    }
}

static const char *const directory_options[] = {"dir", NULL};
static const struct schema_field multiple_fields[] = {
    FIELD_CONST(struct vz_directory_share, kind, SHARE_OF_SEVERAL),
    FIELD_ARRAY(struct vz_directory_share, directory, directory_count, "directories", &directory_type,
                .max = VZ_SHARED_DIRECTORIES_MAX, .words = directory_options,
                .noun = "shared directories", .text = "directories of the host, each under its name",
                .more = "Options call each dir."),
    FIELD_END};
static const struct schema_type multiple_type = {
    .name = "multiple_directory", .json = "multipleDirectory", .size = sizeof(struct vz_directory_share),
    .fields = multiple_fields, .check = check_names, .option = "multiple",
    .text = "several directories of the host, each a folder in what the guest mounts"};

static bool parse_choice(char *text, void *element)
{
    struct foreign_choice *c = element;

    c->name = strdup(text);
    return c->name && *text;
}

static const struct schema_field choice_fields[] = {
    FIELD_STRING(struct foreign_choice, name, "name", .required = true, .check = foreign_check_name,
                 .noun = "architecture", .text = FOREIGN_ARCHITECTURES),
    FIELD_END};
static const struct schema_type choice_type = {
    .name = "foreign_architecture", .size = sizeof(struct foreign_choice), .fields = choice_fields,
    .parse = parse_choice, .value = "ARCHITECTURE", .text = "an architecture whose programs the guest is to run"};

static const char *const choice_options[] = {"arch", NULL};
static const struct schema_field foreign_fields[] = {
    FIELD_CONST(struct vz_directory_share, kind, SHARE_OF_INTERPRETERS),
    FIELD_ARRAY(struct vz_directory_share, choice, choice_count, "architectures", &choice_type,
                .max = VZ_FOREIGN_ARCHITECTURES_MAX, .words = choice_options, .noun = "architectures", .rare = true,
                .text = "those whose programs the guest is to run; without any, all that the host has interpreters of",
                .more = "Options call each arch."),
    FIELD_PATH(struct vz_directory_share, path, "directory", .noun = "path of a directory",
               .text = "where the interpreters are, each called qemu-NAME-static; else they are the system's"),
    FIELD_END};
static const struct schema_type foreign_type = {
    .name = "foreign_binaries", .json = "foreignBinaries", .size = sizeof(struct vz_directory_share),
    .fields = foreign_fields, .check = foreign_check, .option = "foreign-binaries",
    .text = "interpreters by which a Linux guest runs programs of other processors",
    .more = "The guest's agent mounts them at /run/vz/TAG, unless the device says another place, and registers them with "
            "the kernel. They are QEMU's (Debian's package qemu-user-static). They are only read, and the guest's root's."};

static const struct schema_type *const directory_shares_types[] = {&single_type, &multiple_type, &foreign_type, NULL};
static const struct schema_class directory_shares = {.types = directory_shares_types};

struct vz_directory_share *vz_directory_share_ref(struct vz_directory_share *object)
{
    return object_ref(object);
}

void vz_directory_share_unref(struct vz_directory_share *object)
{
    object_unref(object);
}

struct vz_directory_share *vz_single_directory_share_new(const char *path, bool read_only,
                                                         struct vz_error *err)
{
    struct vz_directory_share s = {.path = (char *)path, .read_only = read_only};

    return schema_make(&single_type, &s, err);
}

struct vz_directory_share *
vz_multiple_directory_share_new(const struct vz_shared_directory *directories, unsigned count,
                                struct vz_error *err)
{
    struct vz_directory_share s = {.directory = directories, .directory_count = count};

    if (count && !options_given(directories, "directories", err))
        return NULL;
    return schema_make(&multiple_type, &s, err);
}

struct vz_directory_share *vz_foreign_binaries_share_new(const struct vz_foreign_binaries_options *options,
                                                         struct vz_error *err)
{
    struct vz_foreign_binaries_options o = VZ_FOREIGN_BINARIES_OPTIONS_INIT;
    struct foreign_choice choice[VZ_FOREIGN_ARCHITECTURES_MAX];
    struct vz_directory_share s = {.choice = choice};

    if (options_copy(&o, sizeof(o), options, err) < 0 ||
        (o.architecture_count && !options_given(o.architectures, "architectures", err)))
        return NULL;
    if (o.architecture_count > VZ_FOREIGN_ARCHITECTURES_MAX) {
        error_set(err, EINVAL, VZ_ERROR_INVALID, "more than %u architectures", VZ_FOREIGN_ARCHITECTURES_MAX);
        return NULL;
    }
    for (unsigned i = 0; i < o.architecture_count; i++) {
        if (vz_foreign_binaries_availability(o.architectures[i]) == VZ_FOREIGN_BINARIES_NOT_SUPPORTED) {
            error_set(err, EINVAL, VZ_ERROR_INVALID, "there are no interpreters of '%.40s' programs",
                      o.architectures[i] ? o.architectures[i] : "");
            return NULL;
        }
        choice[i].name = (char *)o.architectures[i];
    }
    s.choice_count = o.architecture_count;
    s.path = (char *)o.directory;
    return schema_make(&foreign_type, &s, err);
}

/* ---- Devices -------------------------------------------------------------------------------- */

static void check_tag(struct report *r, const void *object)
{
    const struct vz_directory_sharing_device *d = object;
    struct vz_error err;

    if (vz_share_tag_validate(d->tag, &err) < 0)
        report_problem(r, err.code, "%s", err.text);
    for (unsigned k = 0; r->whole && k < r->index; k++) {
        const struct vz_directory_sharing_device *other = r->whole->directory_sharing_devices.item[k];

        if (!strcmp(other->tag, d->tag))
            report_problem(r, VZ_ERROR_INVALID, "'%s' is the tag of directorySharingDevices[%u] too", d->tag,
                           k);
    }
}

bool share_ownership_parse(const char *text, struct share_ownership_words *ret)
{
    int end = 0;

    *ret = (struct share_ownership_words){.same = !strcmp(text, "same"), .root = !strcmp(text, "root")};
    if (ret->same || ret->root || !strcmp(text, "mine"))
        return true;
    ret->map = sscanf(text, "%u:%u%n", &ret->uid, &ret->gid, &end) == 2 && !text[end] &&
               text[0] != '-' && text[0] != '+' && strlen(text) <= 21;
    return ret->map;
}

static void check_ownership(struct report *r, const void *object)
{
    const struct vz_directory_sharing_device *d = object;
    struct share_ownership_words words;

    if (!share_ownership_parse(d->ownership, &words))
        report_problem(r, VZ_ERROR_INVALID, "'%.40s' is not mine, root, same or UID:GID", d->ownership);
}

static void check_mount_point(struct report *r, const void *object)
{
    const struct vz_directory_sharing_device *d = object;

    if (d->mount_point[0] && d->mount_point[0] != '/')
        report_problem(r, VZ_ERROR_INVALID, "'%.80s' is not an absolute path", d->mount_point);
}

uint64_t config_dax_sizes(const struct vz_config *c)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < c->directory_sharing_devices.count; i++) {
        const struct vz_directory_sharing_device *d = c->directory_sharing_devices.item[i];

        sum += MIN(d->dax_size, DAX_SIZE_MAX);
    }
    return sum;
}

static void check_dax(struct report *r, const void *object)
{
    const struct vz_directory_sharing_device *d = object;

    if (d->dax_size && (d->dax_size < DAX_SIZE_MIN || d->dax_size > DAX_SIZE_MAX || !is_power_of_two(d->dax_size)))
        report_problem(r, VZ_ERROR_INVALID, "the size of a window is a power of two, from %llu MiB to %llu GiB",
                       (unsigned long long)(DAX_SIZE_MIN / MIB), (unsigned long long)(DAX_SIZE_MAX / GIB));
    else if (d->dax_size && r->whole && config_dax_sizes(r->whole) > DAX_SIZES_MAX)
        report_problem(r, VZ_ERROR_INVALID, "the windows of all shared directories are more than %llu GiB",
                       (unsigned long long)(DAX_SIZES_MAX / GIB));
}

static const char *const caching_words[] = {"automatic", "never", "always", NULL};
static const struct schema_field device_fields[] = {
    FIELD_STRING(struct vz_directory_sharing_device, tag, "tag", .required = true, .option = "=",
                 .value = "TAG", .check = check_tag, .noun = "tag of a share",
                 .text = "what the guest mounts it by, of up to 35 bytes"),
    FIELD_ONE(struct vz_directory_sharing_device, share, "share", &directory_shares, .required = true,
              .noun = "shared directory", .text = "what is shared"),
    FIELD_STRING(struct vz_directory_sharing_device, ownership, "ownership", .initial_text = "mine",
                 .option = "map", .value = "mine|root|same|UID:GID", .check = check_ownership,
                 .text = "who owns the files on the host, and what of it the guest sees",
                 .more = "mine: they are the user's who runs the machine, and what the guest makes of owners, "
                         "modes and devices is kept in extended attributes. root: the same, but what is the user's is seen "
                         "as root's: for trees that a system is to be booted from. same: numbers are those of the "
                         "host, which takes root. UID:GID: the guest sees all as theirs."),
    FIELD_ENUM(struct vz_directory_sharing_device, caching, "caching", caching_words, .option = "cache",
               .noun = "caching mode", .text = "how long the guest believes what it knows of files",
               .more = "automatic: a second. never: not at all. always: for good, and it writes later, so "
                       "nobody else may change anything there."),
    FIELD_SIZE(struct vz_directory_sharing_device, dax_size, "daxSize", .option = "dax", .check = check_dax,
               .noun = "size of a window",
               .text = "a window in which the guest maps files without copies; a power of two",
               .more = "DAX, as Linux calls it. It takes no memory of the guest's. 0: none. docs/shares.md says when "
                       "it is worth it."),
    FIELD_BOOL(struct vz_directory_sharing_device, automount, "automount", .option = "automount",
               .text = "the guest's agent mounts it, at /media/shares/TAG"),
    FIELD_STRING(struct vz_directory_sharing_device, mount_point, "mountPoint", .initial_text = "",
                 .option = "mount", .value = "DIR", .check = check_mount_point, .noun = "path in the guest",
                 .text = "the guest's agent mounts it there"),
    FIELD_END};
const struct schema_type config_virtio_file_system_type = {
    .name = "file_system", .json = "virtioFileSystem", .size = sizeof(struct vz_directory_sharing_device),
    .fields = device_fields, .option = "share", .heading = "Devices",
    .text = "a directory of the host, which the guest mounts: mount -t virtiofs TAG DIR"};

static const struct schema_type *const directory_sharing_devices_types[] = {&config_virtio_file_system_type,
                                                                            NULL};
const struct schema_class config_directory_sharing_devices = {.types = directory_sharing_devices_types};

struct vz_directory_sharing_device *
vz_directory_sharing_device_ref(struct vz_directory_sharing_device *object)
{
    return object_ref(object);
}

void vz_directory_sharing_device_unref(struct vz_directory_sharing_device *object)
{
    object_unref(object);
}

struct vz_directory_sharing_device *
vz_virtio_file_system_device_new(const char *tag, struct vz_directory_share *share,
                                 const struct vz_virtio_file_system_options *options,
                                 struct vz_error *err)
{
    struct vz_virtio_file_system_options o = VZ_VIRTIO_FILE_SYSTEM_OPTIONS_INIT;
    struct vz_directory_sharing_device d = {.tag = (char *)tag, .share = share};

    if (options_copy(&o, sizeof(o), options, err) < 0)
        return NULL;
    d.ownership = (char *)(o.ownership ? o.ownership : "mine");
    d.caching = o.caching;
    d.automount = o.automount;
    d.mount_point = (char *)(o.mount_point ? o.mount_point : "");
    d.dax_size = o.dax_size;
    return schema_make(&config_virtio_file_system_type, &d, err);
}

int vz_config_add_directory_sharing_device(struct vz_config *config,
                                           struct vz_directory_sharing_device *device,
                                           struct vz_error *err)
{
    return config_add(config ? &config->directory_sharing_devices : NULL, device, err);
}
