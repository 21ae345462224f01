/* SPDX-License-Identifier: MIT */
/* The state of a machine at rest: kept while it is paused, saved, and loaded. */
#include "machine/parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "board/pc/board.h"
#include "config/objects.h"
#include "hv/hv_x86.h"
#include "state/state.h"

static int out_of_memory(struct vz_error *err)
{
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* ---- Time stands still ---------------------------------------------------------------------- */

/* While a machine is paused its TSCs, local APIC timers, PIT and ACPI timer stand still: what they
 * were is kept, and set again when it goes on, counted from then. So the guest's monotonic clock
 * does not jump, and no timer fires in a burst. The RTC follows the host's time, as a
 * battery-backed clock does: a guest that wants the time of day after a pause asks there or by NTP. */
struct parts_frozen {
    struct state_writer chips;
    struct x86_cpu_state cpu[]; /* config->options.cpu_count */
};

void parts_forget_frozen(struct parts *p)
{
    if (p->frozen)
        state_writer_fini(&p->frozen->chips);
    free(p->frozen);
    p->frozen = NULL;
}

static struct parts_frozen *frozen_new(const struct parts *p)
{
    struct parts_frozen *f;

    return calloc(1, sizeof(*f) + p->config->options.cpu_count * sizeof(f->cpu[0]));
}

/* Read the CPUs' states as of one moment. They are read one after the other, and this process may
 * have had to wait in between, for seconds on a busy host; from then on their TSCs stand still, so
 * those that are in step must be the same. In step: as far apart as the time between the readings
 * was, which the host's TSC tells. */
static int read_cpus(struct parts *p)
{
    uint64_t first_before = 0, first_after = 0, before, after;
    struct x86_cpu_state *cpu = p->frozen->cpu;
    int r = 0;

    for (unsigned i = 0; !r && i < p->config->options.cpu_count; i++) {
        const int64_t tolerance = INT64_C(1) << 30; /* less than a second */

        before = clock_tsc();
        r = hv_x86_get(p->hv, p->vcpu[i], &cpu[i]);
        after = clock_tsc();
        if (!i) {
            first_before = before;
            first_after = after;
        } else if ((int64_t)(cpu[i].tsc - cpu[0].tsc) > (int64_t)(before - first_after) - tolerance &&
                   (int64_t)(cpu[i].tsc - cpu[0].tsc) < (int64_t)(after - first_before) + tolerance) {
            cpu[i].tsc = cpu[0].tsc;
        }
    }
    return r;
}

int parts_freeze(struct parts *p, struct vz_error *err)
{
    int r;

    parts_forget_frozen(p);
    p->frozen = frozen_new(p);
    if (!p->frozen)
        return out_of_memory(err);
    acpi_pm_freeze(p->board->pm);
    r = p->hv->irqchip_save(p->vm, &p->frozen->chips);
    if (!r)
        r = read_cpus(p);
    if (!r)
        return 0;
    acpi_pm_thaw(p->board->pm);
    parts_forget_frozen(p);
    return error_set(err, -r, VZ_ERROR_INTERNAL, "pause: %s", strerror(-r));
}

/* The CPUs first: the local APICs' timers count by their TSCs. */
int parts_thaw(struct parts *p, struct vz_error *err)
{
    int r = 0;

    if (!p->frozen)
        return 0;
    for (unsigned i = 0; !r && i < p->config->options.cpu_count; i++)
        r = hv_x86_set(p->hv, p->vcpu[i], &p->frozen->cpu[i]);
    if (r < 0)
        error_set(err, -r, VZ_ERROR_INTERNAL, "resume: %s", strerror(-r));
    else
        r = p->hv->irqchip_load(p->vm, p->frozen->chips.data, p->frozen->chips.len, err);
    acpi_pm_thaw(p->board->pm);
    parts_forget_frozen(p);
    return r;
}

/* ---- Saved and loaded ----------------------------------------------------------------------- */

/* The controllers and CPUs are those of the pause: what the backend has now has ticked on. */
int parts_save(struct parts *p, struct state_writer *devices, struct state_writer *controllers)
{
    int r = p->frozen ? bus_save(p->board->bus, devices) : -EINVAL;

    if (!r)
        r = device_slots_save(p->slots, devices);
    for (unsigned i = 0; !r && i < p->config->options.cpu_count; i++)
        r = state_save(devices, &x86_cpu_state_desc, i, &p->frozen->cpu[i]);
    return r ? r : state_append(controllers, p->frozen->chips.data, p->frozen->chips.len);
}

static int load_cpus(struct parts *p, const void *data, size_t len, struct vz_error *err)
{
    struct x86_cpu_state *cpu = p->frozen->cpu;
    int r = 0;

    for (unsigned i = 0; !r && i < p->config->options.cpu_count; i++) {
        r = hv_x86_get(p->hv, p->vcpu[i], &cpu[i]); /* for what the file does not say */
        if (!r)
            r = state_load(data, len, &x86_cpu_state_desc, i, &cpu[i], err);
        if (r < 0)
            return r;
        r = hv_x86_set(p->hv, p->vcpu[i], &cpu[i]);
        if (r < 0)
            error_set(err, -r, VZ_ERROR_INVALID, "CPU %u: a state that no CPU of %s can be in", i,
                      p->hv->name);
    }
    return r;
}

/* CPUs and controllers are loaded here to see whether they can be, and by the thaw once more: as of
 * then. Controllers before devices, so that the devices' lines, set again, are no new edges. */
int parts_load(struct parts *p, const void *devices, size_t devices_len, const void *controllers,
               size_t controllers_len, struct vz_error *err)
{
    int r;

    parts_forget_frozen(p);
    p->frozen = frozen_new(p);
    if (!p->frozen)
        return out_of_memory(err);
    acpi_pm_freeze(p->board->pm);
    r = state_check(devices, devices_len, err);
    if (!r)
        r = state_check(controllers, controllers_len, err);
    if (!r)
        r = load_cpus(p, devices, devices_len, err);
    if (!r)
        r = p->hv->irqchip_load(p->vm, controllers, controllers_len, err);
    if (!r)
        r = bus_load(p->board->bus, devices, devices_len, err);
    if (!r)
        r = device_slots_load(p->slots, devices, devices_len, err);
    if (!r && state_append(&p->frozen->chips, controllers, controllers_len) < 0)
        r = out_of_memory(err);
    if (r < 0)
        parts_forget_frozen(p);
    return r;
}
