/* SPDX-License-Identifier: MIT */
/* The host's ends of a slot's serial lines: a serial port has one, a console device one per port.
 * They are slot->host of the kinds that have them. */
#ifndef VZ_DEVICE_LINE_H
#define VZ_DEVICE_LINE_H

#include "device/device_kind.h"

struct char_dev;
struct vz_serial_attachment;

struct line {
    struct char_dev *dev; /* NULL: not opened */
    bool is_stdio;
};

struct lines {
    unsigned count;
    struct line line[];
};

/* For open(): make slot->host with count lines. 0 or -errno. */
int lines_allocate(struct device_slot *s, unsigned count, struct vz_error *err) must_check;

/* Open slot->host's line i. a may be NULL: nowhere. 0 or -errno. */
int lines_open(struct device_slot *s, unsigned i, const struct vz_serial_attachment *a,
               struct vz_error *err) must_check;

/* For change(): open a, hand it to the model by set(slot, i, line), and close the line before,
 * whose last output gets some time. 0; or -errno, and nothing has changed. */
int lines_change(struct device_slot *s, unsigned i, const struct vz_serial_attachment *a,
                 void (*set)(struct device_slot *s, unsigned i, struct char_dev *line),
                 struct vz_error *err) must_check;

/* For resize(): call fn, which may be NULL, for each line that part means. 0, or -ENODEV. */
int lines_resize(struct device_slot *s, unsigned part, uint16_t columns, uint16_t rows,
                 void (*fn)(struct device_slot *s, unsigned i, uint16_t columns, uint16_t rows),
                 struct vz_error *err) must_check;

/* The members of the same names of struct device_kind. */
int lines_send(struct device_slot *s, unsigned part, const void *data, size_t len,
               size_t *ret_taken, struct vz_error *err);
void lines_drain(struct device_slot *s);
const char *lines_path(const struct device_slot *s, unsigned part);
void lines_close(struct device_slot *s);

static inline struct char_dev *lines_dev(const struct device_slot *s, unsigned i)
{
    return ((const struct lines *)s->host)->line[i].dev;
}

#endif
