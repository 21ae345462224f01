/* SPDX-License-Identifier: MIT */
/* A serial line that ends in a part of the library which speaks a protocol: it takes all output, and is asked for input
 * when the guest has room. */
#include <stdlib.h>
#include <errno.h>

#include "base/error.h"
#include "char/char_backend.h"

#define PIECE 4096u

struct char_engine {
    struct char_dev c;
    const struct char_engine_ops *engine;
    void *arg;
};

static struct char_engine *to_engine(struct char_dev *c)
{
    return container_of(c, struct char_engine, c);
}

static ssize_t engine_write(struct char_dev *c, const uint8_t *data, size_t len)
{
    to_engine(c)->engine->output(to_engine(c)->arg, data, len);
    return (ssize_t)len;
}

static int engine_wait(struct char_dev *c, int timeout_ms)
{
    return 0;
}

static void engine_want_input(struct char_dev *c, bool wanted)
{
    struct char_engine *e = to_engine(c);
    uint8_t data[PIECE];
    size_t room, len;

    while (wanted && (room = char_backend_room(c)) > 0 &&
           (len = e->engine->input(e->arg, data, MIN(room, sizeof(data)))) > 0)
        char_backend_receive(c, data, len);
}

static void engine_guest_opened(struct char_dev *c, bool open)
{
    to_engine(c)->engine->opened(to_engine(c)->arg, open);
}

static void engine_close(struct char_dev *c)
{
    to_engine(c)->engine->close(to_engine(c)->arg);
}

static const struct char_ops engine_ops = {
    .name = "an engine", .write = engine_write, .wait = engine_wait, .want_input = engine_want_input,
    .guest_opened = engine_guest_opened, .close = engine_close};

int char_engine_create(struct loop *loop, const struct char_engine_ops *engine, void *arg,
                       struct char_dev **ret, struct vz_error *err)
{
    struct char_engine *e = calloc(1, sizeof(*e));

    if (!e || char_backend_init(&e->c, &engine_ops, loop) < 0) {
        free(e);
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    e->engine = engine;
    e->arg = arg;
    *ret = &e->c;
    return 0;
}

void *char_engine_arg(struct char_dev *c, const struct char_engine_ops *engine)
{
    return c->ops == &engine_ops && to_engine(c)->engine == engine ? to_engine(c)->arg : NULL;
}
