/* SPDX-License-Identifier: MIT */
#include "disk_counters.h"

#include <stdio.h>

#include <vz/runtime.h>

struct teller {
    unsigned disk;
    vz_machine_stats_fn *fn;
    void *arg;
};

static void tell(const struct teller *t, const char *name, uint64_t value)
{
    char full[64];

    snprintf(full, sizeof(full), "disk%u.%s", t->disk, name);
    t->fn(t->arg, full, value);
}

/* "disk0.read_us_below_128": how many took that, and no less than half of it. */
static void tell_time(const struct teller *t, const char *kind, const struct vz_disk_time *time)
{
    char name[48];

    if (!time->total_ns)
        return;
    snprintf(name, sizeof(name), "%s_ns", kind);
    tell(t, name, time->total_ns);
    snprintf(name, sizeof(name), "%s_ns_max", kind);
    tell(t, name, time->max_ns);
    for (unsigned i = 0; i < VZ_DISK_TIME_COUNTS; i++) {
        if (!time->count[i])
            continue;
        if (i == VZ_DISK_TIME_COUNTS - 1)
            snprintf(name, sizeof(name), "%s_us_above", kind);
        else
            snprintf(name, sizeof(name), "%s_us_below_%lu", kind, 1ul << i);
        tell(t, name, time->count[i]);
    }
}

void disk_counters(struct vz_machine *m, vz_machine_stats_fn *fn, void *arg)
{
    struct vz_disk_stats s = VZ_DISK_STATS_INIT;
    struct teller t = {.fn = fn, .arg = arg};

    for (; vz_machine_disk_stats(m, t.disk, &s, NULL) == 0; t.disk++) {
        tell(&t, "reads", s.reads);
        tell(&t, "writes", s.writes);
        tell(&t, "flushes", s.flushes);
        tell(&t, "discards", s.discards);
        tell(&t, "zeroes", s.zeroes);
        tell(&t, "bytes_read", s.bytes_read);
        tell(&t, "bytes_written", s.bytes_written);
        tell(&t, "errors", s.errors);
        tell(&t, "limited", s.limited);
        if (s.reconnects)
            tell(&t, "reconnects", s.reconnects);
        tell_time(&t, "read", &s.read);
        tell_time(&t, "write", &s.write);
        tell_time(&t, "flush", &s.flush);
        tell_time(&t, "discard", &s.discard);
        tell_time(&t, "zero", &s.zero);
    }
}
