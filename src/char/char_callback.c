/* SPDX-License-Identifier: MIT */
/* A serial line that ends in the program: output goes to a function, input comes by calls. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "char/char_backend.h"

#define PIECE 256u

struct char_callback {
    struct char_dev c;
    char_output_fn *output;
    void *arg;
    /* Loop thread: input that the guest has no room for yet, in a ring. */
    uint8_t input[CHAR_BUFFER_SIZE];
    size_t head, used;
};

static struct char_callback *to_callback(struct char_dev *c)
{
    return container_of(c, struct char_callback, c);
}

static ssize_t callback_write(struct char_dev *c, const uint8_t *data, size_t len)
{
    to_callback(c)->output(to_callback(c)->arg, data, len);
    return (ssize_t)len;
}

static int callback_wait(struct char_dev *c, int timeout_ms)
{
    return 0;
}

static void callback_want_input(struct char_dev *c, bool wanted)
{
    struct char_callback *f = to_callback(c);
    size_t len;

    while (f->used && (len = char_backend_room(c)) > 0) {
        len = MIN(MIN(len, f->used), MIN(CHAR_BUFFER_SIZE - f->head, (size_t)PIECE));
        char_backend_receive(c, f->input + f->head, len);
        f->head = (f->head + len) % CHAR_BUFFER_SIZE;
        f->used -= len;
    }
}

static const struct char_ops callback_ops = {
    .name = "the program", .write = callback_write, .wait = callback_wait,
    .want_input = callback_want_input};

int char_callback_create(struct loop *loop, char_output_fn *output, void *arg,
                         struct char_dev **ret, struct vz_error *err)
{
    struct char_callback *f = calloc(1, sizeof(*f));

    if (!f || char_backend_init(&f->c, &callback_ops, loop) < 0) {
        free(f);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    f->output = output;
    f->arg = arg;
    *ret = &f->c;
    return 0;
}

int char_callback_send(struct char_dev *c, const void *data, size_t len, size_t *ret_taken)
{
    struct char_callback *f = to_callback(c);
    size_t tail, first;

    if (c->ops != &callback_ops)
        return -ENOTSUP;
    tail = (f->head + f->used) % CHAR_BUFFER_SIZE;
    len = MIN(len, CHAR_BUFFER_SIZE - f->used);
    first = MIN(len, CHAR_BUFFER_SIZE - tail);
    memcpy(f->input + tail, data, first);
    memcpy(f->input, (const uint8_t *)data + first, len - first);
    f->used += len;
    *ret_taken = len;
    callback_want_input(c, true);
    return 0;
}
