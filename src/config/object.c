/* SPDX-License-Identifier: MIT */
#include "config/object.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

void *object_new(size_t size, void (*destroy)(void *object), struct vz_error *err)
{
    struct object *o = calloc(1, size);

    if (!o) {
        error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
        return NULL;
    }
    atomic_init(&o->refs, 1);
    o->destroy = destroy;
    return o;
}

void *object_ref(void *object)
{
    struct object *o = object;

    if (o)
        atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return object;
}

void object_unref(void *object)
{
    struct object *o = object;

    if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (o->destroy)
        o->destroy(o);
    free(o);
}

int options_copy(void *dst, size_t dst_size, const void *src, struct vz_error *err)
{
    size_t size;

    if (!src)
        return 0;
    memcpy(&size, src, sizeof(size));
    if (size < sizeof(size))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "options without a size (start from the struct's ..._INIT)");
    for (size_t i = dst_size; i < size; i++) {
        if (((const char *)src)[i])
            return error_set(err, EINVAL, VZ_ERROR_INVALID,
                             "options that this version of the library does not know");
    }
    memcpy(dst, src, MIN(size, dst_size));
    memcpy(dst, &dst_size, sizeof(dst_size));
    return 0;
}

int options_return(void *dst, size_t dst_size, const void *src, size_t src_size,
                   struct vz_error *err)
{
    if (dst_size < sizeof(size_t))
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "a struct without a size (start from its ..._INIT)");
    memset(dst, 0, dst_size);
    memcpy(dst, src, MIN(dst_size, src_size));
    memcpy(dst, &dst_size, sizeof(dst_size));
    return 0;
}

bool options_given(const void *p, const char *what, struct vz_error *err)
{
    if (!p)
        error_set(err, EINVAL, VZ_ERROR_INVALID, "no %s given", what);
    return p;
}
