/* SPDX-License-Identifier: MIT */
#include "cpu/x86/jit/jit_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static const char *const opt_names[JIT_OPTS] = {
    [JIT_OPT_CHAIN] = "chain",   [JIT_OPT_INDIRECT] = "indirect", [JIT_OPT_LIVENESS] = "liveness",
    [JIT_OPT_NARROW] = "narrow",
    [JIT_OPT_MEMORY] = "memory", [JIT_OPT_VECTOR] = "vector",     [JIT_OPT_GUARD] = "guard",
    [JIT_OPT_DETOUR] = "detour", [JIT_OPT_FLAGS] = "flags",       [JIT_OPT_FORWARD] = "forward",
    [JIT_OPT_SPAN] = "span",     [JIT_OPT_SLOTS] = "slots",
    [JIT_OPT_CROSS] = "cross",     [JIT_OPT_BMI] = "bmi",
    [JIT_OPT_DIVIDE] = "divide", [JIT_OPT_STRING] = "string",
    [JIT_OPT_IF] = "if",         [JIT_OPT_SYSTEM] = "system",
    [JIT_OPT_PLACE] = "place",       [JIT_OPT_HOLD] = "hold",
    [JIT_OPT_MOVE] = "move",         [JIT_OPT_RUNS] = "runs",
};

#define WORD_MAX 32

static bool parse_number(const char *text, uint64_t *ret)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *ret = strtoull(text, &end, 10);
    if ((*end == 'K' || *end == 'k') && *ret < UINT32_MAX)
        *ret <<= 10, end++;
    else if ((*end == 'M' || *end == 'm') && *ret < UINT32_MAX)
        *ret <<= 20, end++;
    return !*end;
}

static bool disable(struct jit_options *o, const char *name)
{
    for (unsigned n = 0; n < JIT_OPTS; n++)
        if (!strcmp(name, opt_names[n])) {
            o->without |= 1u << n;
            return true;
        }
    return false;
}

static bool apply_direct(struct jit_options *o, const char *how)
{
    static const char *const ways[] = {
        [JIT_DIRECT_OFF] = "off", [JIT_DIRECT_ON] = "on", [JIT_DIRECT_ALWAYS] = "always"};

    for (unsigned n = 0; n < ARRAY_SIZE(ways); n++)
        if (!strcmp(how, ways[n])) {
            o->direct = n;
            return true;
        }
    if (!strcmp(how, "check")) {
        o->direct = JIT_DIRECT_ALWAYS;
        o->direct_check = true;
        o->on = false;
        return true;
    }
    o->direct_scan |= !strcmp(how, "scan");
    o->direct_tsc |= !strcmp(how, "tsc");
    return !strcmp(how, "scan") || !strcmp(how, "tsc");
}

static int apply(struct jit_options *o, const char *word, struct vz_error *err)
{
    uint64_t n;

    if (!strcmp(word, "on") || !strcmp(word, "off")) {
        o->on = !strcmp(word, "on");
        return 0;
    }
    if (!strcmp(word, "perf")) {
        o->on = o->perf = true;
        return 0;
    }
    if (!strcmp(word, "record")) {
        o->on = o->record = true;
        return 0;
    }
    if (!strcmp(word, "check")) {
        o->on = o->check = true;
        return 0;
    }
    if (!strncmp(word, "check=", 6)) {
        if (!parse_number(word + 6, &n) || n < 1 || n > UINT32_MAX)
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%s': expected a number above 0", word);
        o->on = o->check = true;
        o->check_limit = (uint32_t)n;
        return 0;
    }
    if (!strncmp(word, "direct=", 7)) {
        if (!apply_direct(o, word + 7))
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%s': expected on, off, always, check, scan or tsc",
                             word);
        return 0;
    }
    if (!strncmp(word, "no-", 3) && disable(o, word + 3))
        return 0;
    if (!strncmp(word, "cache=", 6)) {
        if (!parse_number(word + 6, &n) || n < JIT_CACHE_MIN || n > JIT_CACHE_MAX)
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%s': expected 64K to 1024M", word);
        o->cache_bytes = (uint32_t)n;
        return 0;
    }
    if (!strncmp(word, "threshold=", 10)) {
        if (!parse_number(word + 10, &n) || n < 1 || n > UINT16_MAX)
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%s': expected 1 to 65535", word);
        o->threshold = (uint16_t)n;
        return 0;
    }
    return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%s' is unknown", word);
}

int jit_options_parse(const char *text, struct jit_options *ret, struct vz_error *err)
{
    *ret = (struct jit_options){
        .on = true, .cache_bytes = JIT_CACHE_DEFAULT, .threshold = JIT_THRESHOLD};
    while (text && *text) {
        size_t len = strcspn(text, ",");
        char word[WORD_MAX] = "";
        int r;

        if (len >= sizeof(word))
            return error_set(err, EINVAL, VZ_ERROR_INVALID, "'%.40s' is unknown", text);
        memcpy(word, text, len);
        r = apply(ret, word, err);
        if (r)
            return r;
        text += len + (text[len] == ',');
    }
    return 0;
}
