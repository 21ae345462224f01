/* SPDX-License-Identifier: MIT */
#include "base/trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define NAME_(layer) #layer,
static const char *const names[] = { TRACE_LAYERS(NAME_) };
#undef NAME_

static uint32_t bits_of(const char *name, size_t len)
{
    if (len == 3 && !memcmp(name, "all", 3))
        return (1u << TRACE_LAYER_COUNT) - 1;
    for (unsigned i = 0; i < TRACE_LAYER_COUNT; i++) {
        if (strlen(names[i]) == len && !memcmp(names[i], name, len))
            return 1u << i;
    }
    return 0;
}

uint32_t trace_parse(const char *list, const char **ret_unknown, size_t *ret_len)
{
    uint32_t mask = 0;

    *ret_unknown = NULL;
    while (list && *list) {
        size_t len = strcspn(list, ",");
        uint32_t bits = bits_of(list, len);

        if (len && !bits && !*ret_unknown) {
            *ret_unknown = list;
            *ret_len = len;
        }
        mask |= bits;
        list += len + (list[len] == ',');
    }
    return mask;
}

uint32_t trace_mask(void)
{
    const char *unknown;
    size_t len;

    return trace_parse(getenv("VZ_TRACE"), &unknown, &len);
}

void trace_check(void)
{
    const char *unknown;
    size_t len;

    (void)trace_parse(getenv("VZ_TRACE"), &unknown, &len);
    if (unknown)
        log_warn("VZ_TRACE: there is no layer '%.*s', but all, block, char, chipset, irq, machine, "
                 "net, nvme, pci, usb and virtio", (int)MIN(len, (size_t)40), unknown);
}

void trace_line(enum trace_layer layer, const char *kind, const void *object, const char *fmt, ...)
{
    char line[512];
    uint64_t us = clock_mono_ns() / 1000;
    size_t len;
    va_list args;

    len = (size_t)snprintf(line, sizeof(line), "vz: %llu.%06llu %s %.60s:%04x ",
                           (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000),
                           names[layer], kind, (unsigned)((uintptr_t)object >> 4 & 0xffff));
    va_start(args, fmt);
    len += (size_t)vsnprintf(line + len, sizeof(line) - len - 1, fmt, args);
    va_end(args);
    len = MIN(len, sizeof(line) - 2);
    line[len++] = '\n';
    (void)!write(STDERR_FILENO, line, len);
}
