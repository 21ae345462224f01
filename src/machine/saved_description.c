/* SPDX-License-Identifier: MIT */
#include "machine/saved_description.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/features.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/tsc_rate.h"
#include "board/pc/board.h"
#include "machine/parts.h"

/* So much may two measurements of one clock differ, or a guest's clock go wrong unnoticed. */
#define TSC_TOLERANCE_PPM 250u

/* ---- CPUs ----------------------------------------------------------------------------------- */

static uint64_t offered_by(const struct parts *p)
{
    return p->hv->cpu_features ? p->hv->cpu_features(p->vm) : 0;
}

/* 0: its CPUs have none. */
static uint32_t tsc_khz_of(const struct parts *p)
{
    struct tsc_rate *rate = (struct tsc_rate *)&p->tsc;

    return p->hv->cpu_features ? tsc_rate_khz(rate) : 0;
}

static json_t *write_features(uint64_t features)
{
    json_t *list = json_array();

    for (unsigned n = 0; n < X86_FEATURE_COUNT; n++) {
        if (features & BIT(n))
            json_array_append_new(list, json_string(x86_feature_name(n)));
    }
    return list;
}

/* The name of the first that is in list and not offered here; NULL: none, and *ret_all is all of them. */
static const char *missing_feature(json_t *list, uint64_t offered, uint64_t *ret_all)
{
    const char *name;
    size_t i;
    json_t *v;

    *ret_all = 0;
    json_array_foreach(list, i, v) {
        unsigned n = 0;

        name = json_string_value(v);
        while (name && n < X86_FEATURE_COUNT && strcmp(name, x86_feature_name(n)))
            n++;
        if (!name || n == X86_FEATURE_COUNT || !(offered & BIT(n)))
            return name ? name : "?";
        *ret_all |= BIT(n);
    }
    return NULL;
}

static int check_cpu(json_t *root, struct parts *p, const char *path, struct vz_error *err)
{
    const char *missing = missing_feature(json_object_get(root, "cpuFeatures"), offered_by(p),
                                          &p->features);
    const char *accel = json_string_value(json_object_get(root, "accel"));
    int64_t was = json_integer_value(json_object_get(root, "tscKHz")), now = tsc_khz_of(p);
    int64_t bits = json_integer_value(json_object_get(root, "physicalAddressBits"));

    if (missing)
        return error_set(err, EINVAL, VZ_ERROR_RESTORE,
                         "%s: the guest's CPU has %s (saved on %s), and %s on this host has not: restore "
                         "it where it was saved", path, missing, accel ? accel : "?", p->hv->name);
    if (now && (was <= 0 || llabs(now - was) > was / 1000000 * TSC_TOLERANCE_PPM + 1))
        return error_set(err, EINVAL, VZ_ERROR_RESTORE,
                         "%s: the guest's TSC counts %lld kHz, and this host's %lld: its clock would go "
                         "wrong; restore it where it was saved", path, (long long)was, (long long)now);
    if (bits > p->board->phys_bits)
        return error_set(err, EINVAL, VZ_ERROR_RESTORE,
                         "%s: the guest's physical addresses have %lld bits, and %s on this host has %u",
                         path, (long long)bits, p->hv->name, p->board->phys_bits);
    p->phys_bits = bits > 0 ? (unsigned)bits : 0;
    return 0;
}

/* ---- Disks ---------------------------------------------------------------------------------- */

struct rank {
    unsigned index, lower;
};

static void count_lower(void *arg, const struct device_slot *s, const struct device_identity *id)
{
    struct rank *r = arg;

    r->lower += s->index < r->index;
}

/* Its number once those that are gone are not counted any more: in the configuration that is saved. */
static unsigned rank_of(const struct device_slot *s)
{
    struct rank r = {.index = s->index};

    device_slots_identify(s->slots, count_lower, &r);
    return r.lower;
}

static void add_disk(void *arg, const struct device_slot *s, const struct device_identity *id)
{
    json_t *disk = json_pack("{s:i, s:s*, s:I}", "index", (int)rank_of(s), "path", id->path, "size",
                             (json_int_t)id->size);

    if (id->port)
        json_object_set_new(disk, "port", json_integer((json_int_t)id->port));
    json_array_append_new(arg, disk);
}

struct disk_check {
    json_t *list;
    const char *path;
    struct vz_error *err;
    int result;
};

static json_t *find_disk(json_t *list, unsigned index)
{
    json_t *disk;
    size_t i;

    json_array_foreach(list, i, disk) {
        if (json_integer_value(json_object_get(disk, "index")) == (json_int_t)index)
            return disk;
    }
    return NULL;
}

/* On the port where the guest knows it. */
static int put_back(struct device_slot *s, json_t *was, struct vz_error *err)
{
    json_int_t port = json_integer_value(json_object_get(was, "port"));

    if (port <= 0 || !s->kind->place)
        return 0;
    return s->kind->place(s, (unsigned)MIN(port, (json_int_t)UINT16_MAX), err);
}

static void check_disk(void *arg, const struct device_slot *s, const struct device_identity *id)
{
    struct disk_check *c = arg;
    json_t *was = find_disk(c->list, s->index);
    json_int_t size = json_integer_value(json_object_get(was, "size"));
    const char *name = json_string_value(json_object_get(was, "path"));

    if (c->result)
        return;
    if (json_is_object(was) && size == (json_int_t)id->size) {
        c->result = put_back((struct device_slot *)(uintptr_t)s, was, c->err);
        return;
    }
    c->result = error_set(c->err, EINVAL, VZ_ERROR_RESTORE,
                          "%s: disk %u has %llu bytes and had %lld: give it %s as it was when it was saved",
                          c->path, s->index, (unsigned long long)id->size, (long long)size,
                          name ? name : "the image");
}

/* ---- All ------------------------------------------------------------------------------------ */

char *saved_description_write(const struct parts *p)
{
    json_t *disks = json_array();
    json_t *root;
    char *text;

    device_slots_identify(p->slots, add_disk, disks);
    root = json_pack("{s:s, s:s, s:I, s:I, s:i, s:o, s:o}", "vz", VZ_VERSION, "accel", p->hv->name,
                     "time", (json_int_t)(clock_real_ns() / NS_PER_SEC), "tscKHz",
                     (json_int_t)tsc_khz_of(p), "physicalAddressBits",
                     (int)(p->phys_bits ? p->phys_bits : p->board->phys_bits),
                     "cpuFeatures", write_features(p->features ? p->features : offered_by(p)), "disks",
                     disks);
    text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    return text;
}

int saved_description_check(const char *text, size_t len, struct parts *p, const char *path,
                            struct vz_error *err)
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    struct disk_check c = {.path = path, .err = err};
    int r;

    if (!json_is_object(root)) {
        json_decref(root);
        return error_set(err, EINVAL, VZ_ERROR_RESTORE, "%s is damaged: it does not say what it is of",
                         path);
    }
    c.list = json_object_get(root, "disks");
    r = check_cpu(root, p, path, err);
    if (!r) {
        device_slots_identify(p->slots, check_disk, &c);
        r = c.result;
    }
    json_decref(root);
    return r;
}
