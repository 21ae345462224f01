/* SPDX-License-Identifier: MIT */
/* The memory balloon of a machine. */
#include <vz/runtime.h>

#include "base/error.h"
#include "device/device_kinds.h"
#include "machine/machine_impl.h"
#include "virtio/balloon.h"

static int no_balloon(struct vz_error *err)
{
    error_set(err, 0, VZ_ERROR_DEVICE_NOT_FOUND, "the machine has no memory balloon");
    return -1;
}

uint64_t machine_memory_minimum(const struct vz_config *c)
{
    uint64_t min = config_balloon(c)->options.minimum_size;

    return min ? min : vz_config_memory_min();
}

static uint64_t clamp(const struct vz_config *c, uint64_t bytes)
{
    return MAX(MIN(bytes & ~(MIB - 1), c->options.memory_size), machine_memory_minimum(c));
}

uint64_t machine_first_memory_target(const struct vz_config *c)
{
    const struct vz_balloon_device *b = config_balloon(c);

    return b && b->options.target_size ? clamp(c, b->options.target_size) : c->options.memory_size;
}

void machine_apply_memory_target(struct vz_machine *m)
{
    struct device_slot *s;
    uint64_t target;

    pthread_mutex_lock(&m->lock);
    target = m->memory_target;
    pthread_mutex_unlock(&m->lock);
    s = device_slots_find_kind(m->parts.slots, &balloon_kind);
    if (s)
        balloon_set_target(s->model, target);
}

static int apply(struct vz_machine *m, void *arg, struct vz_error *err)
{
    machine_apply_memory_target(m);
    return 0;
}

int vz_machine_set_memory_target(struct vz_machine *m, uint64_t bytes, struct vz_error *err)
{
    if (!options_given(m, "machine", err))
        return -1;
    if (!config_balloon(m->config))
        return no_balloon(err);
    pthread_mutex_lock(&m->lock);
    m->memory_target = clamp(m->config, bytes);
    pthread_mutex_unlock(&m->lock);
    machine_call(m, apply, NULL, NULL); /* not live: at the next start */
    return 0;
}

static int query(struct vz_machine *m, void *arg, struct vz_error *err)
{
    struct virtio_dev *balloon = device_slots_find_kind(m->parts.slots, &balloon_kind)->model;
    struct vz_memory_state *s = arg;

    s->actual = balloon_actual(balloon);
    s->freed = balloon_freed(balloon);
    return 0;
}

int vz_machine_memory_state(struct vz_machine *m, struct vz_memory_state *ret,
                            struct vz_error *err)
{
    struct vz_memory_state s = VZ_MEMORY_STATE_INIT;
    size_t size;

    if (!options_given(m, "machine", err) || !options_given(ret, "memory state", err))
        return -1;
    size = ret->size;
    if (!config_balloon(m->config))
        return no_balloon(err);
    s.actual = m->config->options.memory_size;
    machine_call(m, query, &s, NULL); /* not live: as it is */
    pthread_mutex_lock(&m->lock);
    s.target = m->memory_target;
    pthread_mutex_unlock(&m->lock);
    return options_return(ret, size, &s, sizeof(s), err) < 0 ? -1 : 0;
}
