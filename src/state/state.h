/* SPDX-License-Identifier: MIT */
/* Save and restore: what a device's state is, said once as a table beside its struct.
 *
 * A table lists the fields of the *modelled* device, not of the implementation: registers, FIFOs,
 * latches, deadlines. Saving never changes the device. Loading trusts nothing: a field out of its
 * range fails the load and names the field, and leaves the caller to reset the device.
 *
 * Wire format of one section: see docs/state-format.md. Fields are found by name, so a field may
 * be added later (absent in an old file: it keeps the value that reset gave it). */
#ifndef VZ_STATE_STATE_H
#define VZ_STATE_STATE_H

#include "base/compiler.h"

struct vz_error;

enum state_kind {
    STATE_KIND_END,
    STATE_KIND_BOOL,
    STATE_KIND_UINT,   /* 1, 2, 4 or 8 bytes */
    STATE_KIND_BYTES,  /* a fixed array of bytes */
    STATE_KIND_ARRAY,  /* a fixed array of unsigned integers */
    STATE_KIND_STRUCT, /* a nested struct, or an array of them, with a table of its own */
    STATE_KIND_BLOB,   /* any number of bytes, up to max: a struct state_blob */
    STATE_KIND_LIST,   /* as many structs as there are, up to max, behind a pointer */
};

/* Bytes by malloc(), the object's own: a load frees what there is. */
struct state_blob {
    uint8_t *data; /* NULL: none */
    uint64_t len;
};

struct state_field {
    const char *name;
    enum state_kind kind;
    uint32_t offset;                  /* in the struct */
    uint32_t size;                    /* of one element, in bytes */
    uint32_t count;                   /* elements; 1 for a scalar. LIST: where in the struct their count is */
    uint64_t max;                     /* UINT, ARRAY: greatest value that a load accepts; BLOB: most bytes; LIST: most
                                         elements */
    const struct state_field *fields; /* STRUCT, LIST */
};

#define STATE_FIELD_(type, member, kind_, elem_size, n, max_, fields_)                             \
    {                                                                                              \
        .name = #member, .kind = kind_, .offset = offsetof(type, member), .size = (elem_size),     \
        .count = (n), .max = (max_), .fields = (fields_)                                           \
    }
#define STATE_SIZEOF_(type, member) sizeof(((type *)0)->member)

#define STATE_BOOL(type, member) STATE_FIELD_(type, member, STATE_KIND_BOOL, 1, 1, 1, NULL)
/* An unsigned integer (or enum) of any size; loads accept 0..max. */
#define STATE_UINT_MAX(type, member, max_)                                                         \
    STATE_FIELD_(type, member, STATE_KIND_UINT, STATE_SIZEOF_(type, member), 1, max_, NULL)
#define STATE_UINT(type, member) STATE_UINT_MAX(type, member, UINT64_MAX)
#define STATE_BYTES(type, member)                                                                  \
    STATE_FIELD_(type, member, STATE_KIND_BYTES, STATE_SIZEOF_(type, member), 1, 0, NULL)
#define STATE_ARRAY_MAX(type, member, max_)                                                        \
    STATE_FIELD_(type, member, STATE_KIND_ARRAY, STATE_SIZEOF_(type, member[0]),                   \
                 STATE_SIZEOF_(type, member) / STATE_SIZEOF_(type, member[0]), max_, NULL)
#define STATE_ARRAY(type, member) STATE_ARRAY_MAX(type, member, UINT64_MAX)
#define STATE_STRUCT(type, member, table)                                                          \
    STATE_FIELD_(type, member, STATE_KIND_STRUCT, STATE_SIZEOF_(type, member), 1, 0, table)
#define STATE_STRUCT_ARRAY(type, member, table)                                                    \
    STATE_FIELD_(type, member, STATE_KIND_STRUCT, STATE_SIZEOF_(type, member[0]),                  \
                 STATE_SIZEOF_(type, member) / STATE_SIZEOF_(type, member[0]), 0, table)
#define STATE_BLOB(type, member, max_)                                                             \
    STATE_FIELD_(type, member, STATE_KIND_BLOB, STATE_SIZEOF_(type, member), 1, max_, NULL)
/* A pointer to elements, and member n, a uint32_t, says how many; loads accept up to max_. A load finds an
 * empty list and makes elements by calloc(), zeros but for what is saved; they are the object's, also after a
 * load that failed. */
#define STATE_LIST(type, member, n, max_, table)                                                   \
    STATE_FIELD_(type, member, STATE_KIND_LIST, STATE_SIZEOF_(type, member[0]), offsetof(type, n), max_, table)
#define STATE_END {.kind = STATE_KIND_END}

/* What a device registers. */
struct state_desc {
    const char *name;   /* of the section: "lapic", "uart" */
    uint32_t version;   /* raised when the meaning of a field changes */
    const struct state_field *fields;
    /* Optional: checks what spans fields after all were loaded, derives what is not saved (timers,
     * lines). 0 or -EINVAL with err filled in. NULL: nothing to check. */
    int (*loaded)(void *object, struct vz_error *err);
};

/* A growing buffer of sections. Zero-initialise; state_writer_fini() frees. */
struct state_writer {
    uint8_t *data;
    size_t len, capacity;
    bool failed; /* out of memory: everything later is a no-op */
};

void state_writer_fini(struct state_writer *w);

/* Append a section for one object. instance tells two objects of a kind apart (vCPU number, PCI
 * address). 0 or -ENOMEM. */
int state_save(struct state_writer *w, const struct state_desc *desc, uint32_t instance,
               const void *object) must_check;

/* Append sections that another writer made. 0 or -ENOMEM. */
int state_append(struct state_writer *w, const void *sections, size_t len) must_check;

/* Is data nothing but sections, each whole? 0 or -EINVAL. Who loads many at once asks first, since a
 * load stops where it has found its own. */
int state_check(const void *data, size_t len, struct vz_error *err) must_check;

/* Find the section of desc and instance in data and load it into object. On failure object may be
 * partly loaded: reset it.
 * -ENOENT no such section, -EINVAL damaged or out of range, -ENOTSUP version is newer. */
int state_load(const void *data, size_t len, const struct state_desc *desc, uint32_t instance,
               void *object, struct vz_error *err) must_check;

#endif
