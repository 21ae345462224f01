/* SPDX-License-Identifier: MIT */
#include "device/line.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/log.h"
#include "char/char.h"
#include "config/objects.h"
#include "device/agent_line.h"
#include "device/device_counters.h"
#include "device/device_kinds.h"

/* A reader that takes nothing for this long has gone away; a shorter time for a line that is
 * replaced while the machine waits. */
#define DRAIN_END_MS     2000
#define DRAIN_REPLACE_MS 100

static int open_agent(struct device_slot *s, const struct vz_serial_attachment *a, struct char_dev **ret,
                      struct vz_error *err)
{
    if (s->kind != &console_kind)
        return error_set(err, EINVAL, VZ_ERROR_INVALID, "a SPICE agent needs a port of a console device");
    return agent_line_create(s, !a->private, ret, err);
}

static int open_dev(struct device_slot *s, const struct vz_serial_attachment *a,
                    struct char_dev **ret, struct vz_error *err)
{
    struct device_env *env = s->env;

    switch (a ? a->kind : SERIAL_NULL) {
    case SERIAL_STDIO:
        return char_fd_create(env->loop, env->stdio_read_fd, env->stdio_write_fd, ret, err);
    case SERIAL_FD:
        return char_fd_create(env->loop, a->read_fd, a->write_fd, ret, err);
    case SERIAL_FILE:
        return a->append ? char_file_append_create(env->loop, a->path, ret, err)
                         : char_file_create(env->loop, a->path, ret, err);
    case SERIAL_PTY:
        return char_pty_create(env->loop, ret, err);
    case SERIAL_CALLBACK:
        return char_callback_create(env->loop, a->output, a->output_arg, ret, err);
    case SERIAL_SPICE_AGENT:
        return open_agent(s, a, ret, err);
    case SERIAL_UNIX:
        return char_unix_create(env->loop, a->path, ret, err);
    default:
        return char_null_create(env->loop, ret, err);
    }
}

static int open_line(struct device_slot *s, const struct vz_serial_attachment *a, struct line *ret,
                     struct vz_error *err)
{
    struct line l = {.is_stdio = a && a->kind == SERIAL_STDIO};
    int r = open_dev(s, a, &l.dev, err);

    if (r < 0)
        return r;
    char_account(l.dev, l.is_stdio ? "standard output" : a ? a->path : NULL, &s->lost_output);
    char_count(l.dev, &s->env->counters->lines);
    *ret = l;
    return 0;
}

int lines_allocate(struct device_slot *s, unsigned count, struct vz_error *err)
{
    struct lines *lines = calloc(1, sizeof(*lines) + count * sizeof(lines->line[0]));

    if (!lines)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    lines->count = count;
    s->host = lines;
    return 0;
}

int lines_open(struct device_slot *s, unsigned i, const struct vz_serial_attachment *a,
               struct vz_error *err)
{
    return open_line(s, a, &((struct lines *)s->host)->line[i], err);
}

static bool has_part(const struct device_slot *s, unsigned part, struct vz_error *err)
{
    bool has = part < ((const struct lines *)s->host)->count;

    if (!has)
        error_set(err, ENODEV, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no such port");
    return has;
}

int lines_change(struct device_slot *s, unsigned i, const struct vz_serial_attachment *a,
                 void (*set)(struct device_slot *s, unsigned i, struct char_dev *line),
                 struct vz_error *err)
{
    struct line *l, old, new;
    int r;

    if (!has_part(s, i, err))
        return -ENODEV;
    r = open_line(s, a, &new, err);
    if (r < 0)
        return r;
    l = &((struct lines *)s->host)->line[i];
    old = *l;
    *l = new;
    set(s, i, new.dev);
    char_guest_opened(old.dev, false); /* an agent there says goodbye */
    if (char_drain(old.dev, DRAIN_REPLACE_MS) < 0)
        log_warn("the last output of a serial line could not be written");
    char_destroy(old.dev);
    return 0;
}

int lines_send(struct device_slot *s, unsigned part, const void *data, size_t len,
               size_t *ret_taken, struct vz_error *err)
{
    if (!has_part(s, part, err))
        return -ENODEV;
    if (char_callback_send(lines_dev(s, part), data, len, ret_taken) < 0)
        return error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                         "this port does not lead to the program");
    return 0;
}

int lines_resize(struct device_slot *s, unsigned part, uint16_t columns, uint16_t rows,
                 void (*fn)(struct device_slot *s, unsigned i, uint16_t columns, uint16_t rows),
                 struct vz_error *err)
{
    const struct lines *lines = s->host;

    if (part != DEVICE_PART_STDIO && !has_part(s, part, err))
        return -ENODEV;
    for (unsigned i = 0; fn && i < lines->count; i++) {
        if (i == part || (part == DEVICE_PART_STDIO && lines->line[i].is_stdio))
            fn(s, i, columns, rows);
    }
    return 0;
}

void lines_drain(struct device_slot *s)
{
    const struct lines *lines = s->host;

    for (unsigned i = 0; i < lines->count; i++) {
        if (char_drain(lines->line[i].dev, DRAIN_END_MS) < 0)
            log_warn("the guest's last output could not be written");
    }
}

const char *lines_path(const struct device_slot *s, unsigned part)
{
    const struct lines *lines = s->host;

    return part < lines->count ? char_path(lines->line[part].dev) : NULL;
}

void lines_close(struct device_slot *s)
{
    struct lines *lines = s->host;

    for (unsigned i = 0; lines && i < lines->count; i++)
        char_destroy(lines->line[i].dev);
    free(lines);
}
