/* SPDX-License-Identifier: MIT */
/* The serial line nobody listens to. */
#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "char/char_backend.h"

static ssize_t null_write(struct char_dev *c, const uint8_t *data, size_t len)
{
    return (ssize_t)len;
}

static int null_wait(struct char_dev *c, int timeout_ms)
{
    return 0;
}

static const struct char_ops null_ops = {
    .name = "null", .write = null_write, .wait = null_wait};

int char_null_create(struct loop *loop, struct char_dev **ret, struct vz_error *err)
{
    struct char_dev *c = calloc(1, sizeof(*c));

    if (!c || char_backend_init(c, &null_ops, loop) < 0) {
        free(c);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    *ret = c;
    return 0;
}
