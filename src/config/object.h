/* SPDX-License-Identifier: MIT */
/* What all public configuration objects have in common: a count of references, and option structs
 * that start with their size. */
#ifndef VZ_CONFIG_OBJECT_H
#define VZ_CONFIG_OBJECT_H

#include <stdatomic.h>

#include "base/compiler.h"

struct schema_type;
struct vz_error;

/* At the start of each object's struct. */
struct object {
    atomic_uint refs;
    void (*destroy)(void *object); /* let go of what it holds; not of its memory */
    const struct schema_type *type; /* of a configuration's object: schema.h; NULL: of none */
};

/* size bytes of zeros with a count of 1; NULL, with err, without memory. */
void *object_new(size_t size, void (*destroy)(void *object), struct vz_error *err);
void *object_ref(void *object);
void object_unref(void *object); /* NULL is fine */

/* Copy what the caller knows of options over dst, which has size dst_size and holds the defaults.
 * src may be NULL. A longer struct, of a program newer than this library, is fine when what we do
 * not know is zero. 0 or -errno. */
int options_copy(void *dst, size_t dst_size, const void *src, struct vz_error *err) must_check;

/* The other way: what the caller's struct, of dst_size bytes, has room for. 0 or -errno. */
int options_return(void *dst, size_t dst_size, const void *src, size_t src_size,
                   struct vz_error *err) must_check;

/* Is it there at all? false, with err, where what names it. */
bool options_given(const void *p, const char *what, struct vz_error *err) must_check;

#endif
