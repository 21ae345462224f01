/* SPDX-License-Identifier: MIT */
/* The table of backends, best first. */
#include "hv/accel.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "hv/hv.h"

static const struct {
    const struct hv_ops *ops;
    bool automatic; /* may "auto" choose it? */
} backends[] = {
    {&hv_kvm_ops, true},
    {&hv_soft_ops, true},
    {&hv_fake_ops, false}, /* for tests of the machine itself */
};

static int probe(const struct hv_ops *ops, struct vz_error *err)
{
    return ops->probe ? ops->probe(err) : 0;
}

/* How loud to say that another one is taken than this one, which fails with error. What may be gone
 * the next time is a warning. That a user may not open it stays as it is, run after run: doctor tells
 * it, once. Else there is nothing that a person could do. */
static enum log_level how_loud(int error)
{
    if (error == EBUSY || error == EMFILE || error == ENFILE || error == ENOMEM || error == EAGAIN)
        return LOG_WARN;
    return error == EACCES ? LOG_INFO : LOG_DEBUG;
}

static int find_automatic(const struct hv_ops **ret, bool tell, struct vz_error *err)
{
    struct vz_error why = {0}; /* *err stays as it is where one is found */
    int r = error_set(&why, ENODEV, VZ_ERROR_UNSUPPORTED, "no accelerator");

    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        if (!backends[i].automatic)
            continue;
        r = probe(backends[i].ops, &why);
        if (r == 0) {
            *ret = backends[i].ops;
            return 0;
        }
        if (tell)
            log_line(how_loud(-r), "%s; so it runs on another accelerator (vz doctor tells more)",
                     why.text);
    }
    if (err)
        *err = why;
    return r; /* why the last one does not work */
}

int accel_choose(const char *name, const struct hv_ops **ret, struct vz_error *err)
{
    return strcmp(name, "auto") ? accel_named(name, ret, err) : find_automatic(ret, true, err);
}

int accel_named(const char *name, const struct hv_ops **ret, struct vz_error *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        if (strcmp(name, backends[i].ops->name))
            continue;
        *ret = backends[i].ops;
        return 0;
    }
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "accelerator '%s' is unknown", name);
}

int accel_find(const char *name, const struct hv_ops **ret, struct vz_error *err)
{
    int r;

    if (!strcmp(name, "auto"))
        return find_automatic(ret, false, err);
    for (size_t i = 0; i < ARRAY_SIZE(backends); i++) {
        if (strcmp(name, backends[i].ops->name))
            continue;
        r = probe(backends[i].ops, err);
        if (r == 0)
            *ret = backends[i].ops;
        return r;
    }
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "accelerator '%s' is unknown", name);
}
