/* SPDX-License-Identifier: MIT */
/* The disk that cloud-init reads: see blk_seed.h. */
#include "block/blk_seed.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/error.h"
#include "block/blk_mem.h"
#include "block/iso_image.h"

#define HOST_NAME_MAX_ 63u /* a label of a domain name */

enum { META_DATA, NETWORK_CONFIG, USER_DATA, FILES }; /* as their names are sorted */

/* ---- Files ---------------------------------------------------------------------------------- */

static int read_all(int fd, size_t len, char **ret)
{
    char *data = malloc(len + 1);
    size_t at = 0;
    ssize_t n = 1;

    if (!data)
        return -ENOMEM;
    while (at < len && (n = read(fd, data + at, len - at)) != 0) {
        if (n < 0 && errno != EINTR)
            break;
        at += n > 0 ? (size_t)n : 0;
    }
    if (at < len) {
        free(data);
        return n < 0 ? -errno : -EIO; /* it shrank */
    }
    data[len] = '\0';
    *ret = data;
    return 0;
}

static int read_file(const char *path, struct iso_file *f, struct vz_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;
    struct stat st;
    char *data = NULL;

    if (fd < 0 || fstat(fd, &st) < 0)
        r = error_set(err, errno, VZ_ERROR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        r = error_set(err, EINVAL, VZ_ERROR_INVALID, "%s: is not a file", path);
    else if ((uint64_t)st.st_size > SEED_FILE_MAX)
        r = error_set(err, EFBIG, VZ_ERROR_INVALID, "%s: is larger than 16 MiB", path);
    else if ((r = read_all(fd, (size_t)st.st_size, &data)) < 0)
        error_set(err, -r, r == -ENOMEM ? VZ_ERROR_NO_MEMORY : VZ_ERROR_IO, "%s: %s", path,
                  strerror(-r));
    if (fd >= 0)
        close(fd);
    if (r < 0)
        return r;
    f->data = data;
    f->len = (size_t)st.st_size;
    return 0;
}

/* cloud-init silently takes no notice of what begins otherwise: it would be found out by nobody being able to
 * log in. */
static int check_user_data(const char *path, const struct iso_file *f, struct vz_error *err)
{
    static const char *const begins[] = {"#", "Content-Type:", "MIME-Version:", "From ", "\x1f\x8b",
                                         "rem cmd"};
    const char *text = f->data;

    for (unsigned i = 0; i < ARRAY_SIZE(begins); i++) {
        if (!f->len || !strncasecmp(text, begins[i], strlen(begins[i])))
            return 0;
    }
    return error_set(err, EINVAL, VZ_ERROR_INVALID,
                     "%s: cloud-init would ignore it: its first line must be #cloud-config, or another of its "
                     "headers", path);
}

/* ---- What is said by default ---------------------------------------------------------------- */

/* Of a name for people what a host can be called. */
static void host_name(const char *label, char ret[HOST_NAME_MAX_ + 1])
{
    size_t n = 0;

    for (; label && *label && n < HOST_NAME_MAX_; label++) {
        if (isalnum((unsigned char)*label))
            ret[n++] = (char)tolower((unsigned char)*label);
        else if (n && ret[n - 1] != '-')
            ret[n++] = '-';
    }
    while (n && ret[n - 1] == '-')
        n--;
    ret[n] = '\0';
    if (!n)
        strcpy(ret, "vz");
}

/* cloud-init sets a machine up once for each instance-id: a copy of a disk must not have its original's, and
 * a machine not another one at each start. */
static int make_meta_data(const struct blk_seed_options *o, struct iso_file *f)
{
    const uint8_t *id = o->identifier;
    char host[HOST_NAME_MAX_ + 1], *text;
    int n;

    host_name(o->label, host);
    n = asprintf(&text,
                 "instance-id: %02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n"
                 "local-hostname: %s\n",
                 id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11],
                 id[12], id[13], id[14], id[15], host);
    if (n < 0)
        return -ENOMEM;
    f->data = text;
    f->len = (size_t)n;
    return 0;
}

/* ---- The disk ------------------------------------------------------------------------------- */

static int read_files(const struct blk_seed_options *o, struct iso_file file[FILES],
                      struct vz_error *err)
{
    int r = read_file(o->user_data, &file[USER_DATA], err);

    if (!r)
        r = check_user_data(o->user_data, &file[USER_DATA], err);
    if (!r && o->network_config)
        r = read_file(o->network_config, &file[NETWORK_CONFIG], err);
    if (r < 0)
        return r;
    if (o->meta_data)
        return read_file(o->meta_data, &file[META_DATA], err);
    return make_meta_data(o, &file[META_DATA]) < 0
               ? error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory")
               : 0;
}

static int make_disk(const struct iso_file *file, unsigned count, struct loop *loop, struct blk **ret,
                     struct vz_error *err)
{
    const struct blk_mem_options o = {.size = iso_image_size(file, count), .read_only = true};
    int r = blk_mem_create(&o, loop, ret);

    if (r < 0)
        return error_set(err, -r, VZ_ERROR_NO_MEMORY, "cannot make the seed's disk: %s", strerror(-r));
    r = iso_image_write("cidata", file, count, blk_mem_data(*ret));
    if (r < 0) {
        blk_close(*ret);
        return error_set(err, -r, VZ_ERROR_INTERNAL, "cannot make the seed's file system");
    }
    return 0;
}

int blk_seed_open(const struct blk_seed_options *o, struct loop *loop, struct blk **ret,
                  struct vz_error *err)
{
    struct iso_file file[FILES] = {[META_DATA] = {.name = "meta-data"},
                                   [NETWORK_CONFIG] = {.name = "network-config"},
                                   [USER_DATA] = {.name = "user-data"}};
    struct iso_file there[FILES];
    int r = read_files(o, file, err);
    unsigned count = 0;

    for (unsigned i = 0; i < FILES; i++) {
        if (file[i].data)
            there[count++] = file[i];
    }
    if (!r)
        r = make_disk(there, count, loop, ret, err);
    for (unsigned i = 0; i < count; i++)
        free((void *)there[i].data);
    return r;
}
