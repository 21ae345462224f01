/* SPDX-License-Identifier: MIT */
/* The options of `vz run` that are about this run and not about the machine: how long it may take,
 * how it is stopped, which keys are vz's. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define STOP_MS 30000u
#define CTRL_A  '\x01'

static bool bad_value(const char *name, const char *value, const char *expected)
{
    cli_error("--%s '%s': expected %s", name, value, expected);
    return false;
}

/* "90s", "5m", "1h"; not 0. */
static bool parse_time(const char *text, uint64_t *ret_ms)
{
    static const char units[] = "smh";
    static const unsigned ms[] = {1000, 60000, 3600000};
    const char *unit;
    char *end;
    unsigned long v;

    if (!isdigit((unsigned char)*text))
        return false;
    v = strtoul(text, &end, 10);
    unit = *end && !end[1] ? strchr(units, *end) : NULL;
    if (!unit || !v || v > 1000000000)
        return false;
    *ret_ms = (uint64_t)v * ms[unit - units];
    return true;
}

bool run_life_time(const char *name, const char *value, uint64_t *to)
{
    if (parse_time(value, to))
        return true;
    if (*value && value[strspn(value, "0123456789")] == '\0') {
        cli_error("--%s '%s': did you mean %ss? Times are such as 90s, 5m, 1h", name, value, value);
        return false;
    }
    return bad_value(name, value, "a time such as 90s, 5m or 1h");
}

static bool set_timeout(struct run_life *l, const char *name, const char *value)
{
    return run_life_time(name, value, &l->timeout_ms);
}

static bool set_stop(struct run_life *l, const char *name, const char *value)
{
    if (strcmp(value, "now"))
        return run_life_time(name, value, &l->stop_ms);
    l->stop_ms = 0;
    return true;
}

/* What stands behind "ctrl-" or "^", or "". */
static const char *key_of(const char *value)
{
    if (!strncmp(value, "ctrl-", 5) || !strncmp(value, "Ctrl-", 5))
        return value + 5;
    return *value == '^' ? value + 1 : "";
}

static bool set_escape(struct run_life *l, const char *name, const char *value)
{
    const char *key = key_of(value);
    int c = toupper((unsigned char)*key);

    l->prefix = 0;
    if (!strcmp(value, "none"))
        return true;
    if (strlen(key) != 1 || c < 'A' || c > '_')
        return bad_value(name, value, "a key such as ctrl-b or ^], or none");
    l->prefix = (char)(c & 0x1f);
    return true;
}

static bool set_pass(struct run_life *l, const char *name, const char *value)
{
    char *end;
    unsigned long v = strtoul(value, &end, 0);

    if (!isdigit((unsigned char)*value) || *end || v > UINT32_MAX)
        return bad_value(name, value, "the number that a guest writes when all is well");
    l->has_pass = true;
    l->pass = (uint32_t)v;
    return true;
}

static const struct {
    const char *name;
    bool (*set)(struct run_life *l, const char *name, const char *value);
} setters[] = {
    {"timeout", set_timeout}, {"stop", set_stop}, {"escape", set_escape},
    {"debug-exit-pass", set_pass}};

bool run_life_has(const char *name)
{
    for (size_t i = 0; i < sizeof(setters) / sizeof(setters[0]); i++) {
        if (!strcmp(setters[i].name, name))
            return true;
    }
    return false;
}

bool run_life_parse(const struct given *list, struct run_life *ret)
{
    *ret = (struct run_life){.stop_ms = STOP_MS, .prefix = CTRL_A};
    for (; list->opt; list++) {
        for (size_t i = 0; i < sizeof(setters) / sizeof(setters[0]); i++) {
            if (!strcmp(setters[i].name, list->opt->name) &&
                !setters[i].set(ret, list->opt->name, list->value))
                return false;
        }
    }
    return true;
}
