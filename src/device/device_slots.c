/* SPDX-License-Identifier: MIT */
#include "device/device_slots.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/limits.h"
#include "config/objects.h"
#include "device/device_counters.h"
#include "device/disk_kind.h"
#include "loop/loop.h"
#include "state/state.h"

struct device_slots {
    struct device_counters counters;
    struct device_env env;
    pthread_mutex_t lock; /* a leaf: the loop thread changes the list under it, others look */
    TAILQ_HEAD(, device_slot) slot;
    uint32_t places; /* bit per PCI slot that is taken: 1 to PCI_DEVICES_MAX */
    struct loop_work resume;
    /* device_slots_quiesce() at work. */
    unsigned waiting; /* for so many slots, and one for the asking itself */
    void (*quiet)(void *arg);
    void *quiet_arg;
};

static void resume_all(void *arg)
{
    struct device_slots *slots = arg;
    struct device_slot *s;

    TAILQ_FOREACH(s, &slots->slot, link) {
        s->resting = false;
        if (s->created && !s->leaving && s->kind->resume)
            s->kind->resume(s);
    }
}

int device_slots_new(const struct device_env *env, struct device_slots **ret)
{
    struct device_slots *slots = calloc(1, sizeof(*slots));

    if (!slots)
        return -ENOMEM;
    slots->env = *env;
    slots->env.counters = &slots->counters;
    slots->resume = (struct loop_work){.fn = resume_all, .arg = slots};
    pthread_mutex_init(&slots->lock, NULL);
    TAILQ_INIT(&slots->slot);
    *ret = slots;
    return 0;
}

struct device_env *device_slots_env(struct device_slots *slots)
{
    return &slots->env;
}

void device_slot_set_host(struct device_slot *s, void *host)
{
    pthread_mutex_lock(&s->slots->lock);
    s->host = host;
    pthread_mutex_unlock(&s->slots->lock);
}

void device_slot_prefix(const struct device_slot *s, struct vz_error *err)
{
    if (!err || !s->list)
        return;
    /* ".ports[2]: ..." of a kind goes on where we end. */
    if (err->text[0] == '.') {
        struct vz_error inner = *err;

        error_set(err, 0, inner.code, "%s[%u]%s", s->list, s->index, inner.text);
    } else {
        error_prefix(err, "%s[%u]", s->list, s->index);
    }
}

/* ---- One by one ----------------------------------------------------------------------------- */

static int take_place(struct device_slots *slots, struct device_slot *s, struct vz_error *err)
{
    if (s->kind->bus != DEVICE_ON_PCI)
        return 0;
    for (unsigned i = 1; i <= PCI_DEVICES_MAX; i++) {
        if (slots->places & BIT(i))
            continue;
        slots->places |= (uint32_t)BIT(i);
        s->place = i;
        return 0;
    }
    return error_set(err, ENOSPC, VZ_ERROR_INVALID, "more devices than the PCI bus has room for");
}

/* The model is gone. */
static void destroy(struct device_slots *slots, struct device_slot *s)
{
    if (s->leaving)
        loop_work_cancel(slots->env.loop, &s->removal);
    if (s->kind->close)
        s->kind->close(s);
    disk_hang_up(s->dial); /* it did not come to that */
    if (s->place)
        slots->places &= ~(uint32_t)BIT(s->place);
    free(s);
}

static int open_host(struct device_slot *s, struct vz_error *err)
{
    int r = s->kind->open ? s->kind->open(s, err) : 0;

    if (r < 0)
        device_slot_prefix(s, err);
    return r;
}

static int add_needed(struct device_slots *slots, const struct device_kind *kind, struct vz_error *err)
{
    return !kind->needs || device_slots_find_kind(slots, kind->needs)
               ? 0 : device_slots_add(slots, kind->needs, NULL, NULL, err);
}

int device_slots_add(struct device_slots *slots, const struct device_kind *kind,
                     const struct config_device *device, struct device_slot **ret,
                     struct vz_error *err)
{
    return device_slots_add_dialled(slots, kind, device, NULL, ret, err);
}

int device_slots_add_dialled(struct device_slots *slots, const struct device_kind *kind,
                             const struct config_device *device, struct nbd_dial *dial, struct device_slot **ret,
                             struct vz_error *err)
{
    struct device_slot *s = NULL;
    int r = add_needed(slots, kind, err);

    if (!r)
        s = calloc(1, sizeof(*s));
    if (!s) {
        disk_hang_up(dial);
        return r < 0 ? r : error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    }
    s->dial = dial;
    s->kind = kind;
    if (device) {
        s->config = device->object;
        s->list = device->list;
        s->index = device->index;
    }
    s->env = &slots->env;
    s->slots = slots;
    r = take_place(slots, s, err);
    if (!r)
        r = open_host(s, err);
    if (r < 0) {
        destroy(slots, s);
        return r;
    }
    pthread_mutex_lock(&slots->lock);
    TAILQ_INSERT_TAIL(&slots->slot, s, link);
    pthread_mutex_unlock(&slots->lock);
    if (ret)
        *ret = s;
    return 0;
}

int device_slots_remove(struct device_slots *slots, struct device_slot *s)
{
    if (s->created && !s->kind->remove)
        return -ENOTSUP;
    if (s->created)
        s->kind->remove(s);
    pthread_mutex_lock(&slots->lock);
    TAILQ_REMOVE(&slots->slot, s, link);
    pthread_mutex_unlock(&slots->lock);
    destroy(slots, s);
    return 0;
}

static void one_quiet(struct device_slots *slots)
{
    if (--slots->waiting == 0)
        slots->quiet(slots->quiet_arg);
}

static void finish_unplug(void *slot)
{
    struct device_slot *s = slot;
    struct device_slots *slots = s->slots;
    void (*left)(void *arg) = s->left;
    void *arg = s->left_arg;
    bool resting = s->resting;

    (void)!device_slots_remove(slots, s);
    left(arg);
    if (resting)
        one_quiet(slots);
}

void device_slots_unplug(struct device_slots *slots, struct device_slot *s, void (*done)(void *arg), void *arg)
{
    s->leaving = s->unplugging = true;
    s->left = done;
    s->left_arg = arg;
    s->removal = (struct loop_work){.fn = finish_unplug, .arg = s};
    s->kind->unplug(s);
    s->unplugging = false;
    if (s->out)
        finish_unplug(s);
}

/* The host's end may be in the middle of telling that it is done, so it is closed later. */
void device_slot_unplugged(void *slot)
{
    struct device_slot *s = slot;

    s->out = true;
    if (!s->unplugging)
        loop_work_queue(s->env->loop, &s->removal);
}

struct device_slot *device_slots_find(struct device_slots *slots, const char *list, unsigned index)
{
    struct device_slot *s;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (s->list && s->index == index && !strcmp(s->list, list))
            return s;
    }
    return NULL;
}

struct device_slot *device_slots_find_kind(struct device_slots *slots,
                                           const struct device_kind *kind)
{
    struct device_slot *s;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (s->kind == kind)
            return s;
    }
    return NULL;
}

/* ---- All ------------------------------------------------------------------------------------ */

struct opening {
    struct device_slots *slots;
    const struct device_kind *kind;
    unsigned count;
    struct vz_error *err;
};

/* A device of the configuration; ours is each of one kind. */
static int open_device(void *arg, const struct config_device *device)
{
    struct opening *o = arg;

    if (device->type != o->kind->type)
        return 0;
    o->count++;
    return device_slots_add(o->slots, o->kind, device, NULL, o->err);
}

int device_slots_open(struct device_slots *slots, const struct device_kind *const kinds[],
                      const struct vz_config *config, struct vz_error *err)
{
    int r = 0;

    for (; !r && *kinds; kinds++) {
        struct opening o = {.slots = slots, .kind = *kinds, .err = err};

        r = config_each_device(config, open_device, &o);
        if (!r && (*kinds)->always && !o.count)
            r = device_slots_add(slots, *kinds, NULL, NULL, err);
    }
    return r;
}

int device_slots_create(struct device_slots *slots, struct vz_error *err)
{
    struct device_slot *s;
    int r = 0;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (s->created)
            continue;
        r = s->kind->create(s, err);
        if (r < 0)
            return r;
        s->created = true;
    }
    return 0;
}

int device_slots_start(struct device_slots *slots, struct vz_error *err)
{
    struct device_slot *s;
    int r;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (s->started)
            continue;
        r = s->kind->start ? s->kind->start(s, err) : 0;
        if (r < 0)
            return r;
        s->started = true;
    }
    return 0;
}

void device_slots_free(struct device_slots *slots)
{
    struct device_slot *s;

    if (!slots)
        return;
    loop_work_cancel(slots->env.loop, &slots->resume);
    while ((s = TAILQ_FIRST(&slots->slot))) {
        TAILQ_REMOVE(&slots->slot, s, link);
        destroy(slots, s);
    }
    pthread_mutex_destroy(&slots->lock);
    free(slots);
}

void device_slot_quiet(void *slot)
{
    struct device_slot *s = slot;

    if (!s->resting)
        return; /* resumed meanwhile */
    s->resting = false;
    one_quiet(s->slots);
}

void device_slots_quiesce(struct device_slots *slots, void (*done)(void *arg), void *arg)
{
    struct device_slot *s;

    loop_work_cancel(slots->env.loop, &slots->resume);
    slots->quiet = done;
    slots->quiet_arg = arg;
    slots->waiting = 1;
    TAILQ_FOREACH(s, &slots->slot, link) {
        if (!s->created || (!s->kind->quiesce && !s->leaving))
            continue;
        slots->waiting++;
        s->resting = true;
        if (!s->leaving)
            s->kind->quiesce(s); /* else it is gone when it is quiet */
    }
    one_quiet(slots);
}

void device_slots_resume(struct device_slots *slots)
{
    loop_work_queue(slots->env.loop, &slots->resume);
}

void device_slots_drain(struct device_slots *slots)
{
    struct device_slot *s;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (s->kind->drain)
            s->kind->drain(s);
    }
}

void device_slots_hurry(struct device_slots *slots)
{
    struct device_slot *s;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (s->created && s->kind->disk)
            s->kind->disk->hurry(s);
    }
}

void device_slots_settle(struct device_slots *slots)
{
    struct device_slot *s;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (s->created && s->kind->disk)
            s->kind->disk->settle(s);
    }
}

int device_slots_flush(struct device_slots *slots, struct vz_error *err)
{
    struct device_slot *s;
    int r = 0;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (!r && s->created && s->kind->flush) {
            r = s->kind->flush(s, err);
            if (r < 0)
                device_slot_prefix(s, err);
        }
    }
    return r;
}

int device_slots_save(struct device_slots *slots, struct state_writer *w)
{
    const struct state_desc *desc;
    struct device_slot *s;
    int r = 0;

    TAILQ_FOREACH(s, &slots->slot, link) {
        void *object = s->created && s->kind->host_state ? s->kind->host_state(s, &desc) : NULL;

        if (!r && object)
            r = state_save(w, desc, s->place, object);
    }
    return r;
}

int device_slots_load(struct device_slots *slots, const void *data, size_t len, struct vz_error *err)
{
    const struct state_desc *desc;
    struct vz_error e;
    struct device_slot *s;
    int r = 0;

    TAILQ_FOREACH(s, &slots->slot, link) {
        void *object = s->created && s->kind->host_state ? s->kind->host_state(s, &desc) : NULL;

        if (r || !object)
            continue;
        r = state_load(data, len, desc, s->place, object, &e);
        if (r == -ENOENT)
            r = 0;
        else if (r < 0 && err)
            *err = e;
    }
    TAILQ_FOREACH(s, &slots->slot, link) {
        if (!r && s->created && s->kind->loaded)
            s->kind->loaded(s);
    }
    return r;
}

void device_slots_identify(struct device_slots *slots,
                           void (*fn)(void *arg, const struct device_slot *s,
                                      const struct device_identity *id),
                           void *arg)
{
    struct device_identity id;
    struct device_slot *s;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (s->created && s->kind->identify) {
            s->kind->identify(s, &id);
            fn(arg, s, &id);
        }
    }
}

void device_slots_stats(const struct device_slots *slots, stats_fn *fn, void *arg)
{
    blk_stats_tell(&slots->counters.block, fn, arg);
    net_stats_tell(&slots->counters.net, fn, arg);
    char_stats_tell(&slots->counters.lines, fn, arg);
    nvme_stats_tell(&slots->counters.nvme, fn, arg);
    xhci_stats_tell(&slots->counters.xhci, fn, arg);
    virtio_stats_tell(&slots->counters.virtio, fn, arg);
}

unsigned device_slots_lost_output(struct device_slots *slots)
{
    const struct device_slot *s;
    unsigned count = 0;

    pthread_mutex_lock(&slots->lock);
    TAILQ_FOREACH(s, &slots->slot, link)
        count += atomic_load(&s->lost_output);
    pthread_mutex_unlock(&slots->lock);
    return count;
}

int device_slots_path(struct device_slots *slots, const char *list, unsigned index, unsigned part,
                      char *ret, size_t len)
{
    const struct device_slot *s;
    const char *path = NULL;
    bool fits;

    pthread_mutex_lock(&slots->lock);
    s = device_slots_find(slots, list, index);
    if (s && s->kind->path)
        path = s->kind->path(s, part);
    fits = path && strlen(path) < len;
    if (fits)
        strcpy(ret, path);
    pthread_mutex_unlock(&slots->lock);
    return fits ? 0 : -ENOENT;
}

bool device_slots_disk_stats(struct device_slots *slots, unsigned index, struct vz_disk_stats *ret)
{
    const struct device_slot *s;
    bool found;

    pthread_mutex_lock(&slots->lock);
    s = device_slots_find(slots, "storageDevices", index);
    found = s && s->kind->disk;
    if (found)
        s->kind->disk->stats(s, ret);
    pthread_mutex_unlock(&slots->lock);
    return found;
}

void device_slots_resize_stdio(struct device_slots *slots, uint16_t columns, uint16_t rows)
{
    struct device_slot *s;

    TAILQ_FOREACH(s, &slots->slot, link) {
        if (s->kind->resize)
            (void)s->kind->resize(s, DEVICE_PART_STDIO, columns, rows, NULL);
    }
}
