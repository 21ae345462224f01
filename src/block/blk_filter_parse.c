/* SPDX-License-Identifier: MIT */
/* Filters by their description; see blk_filters.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "block/blk_filters.h"

static const struct { const char *name; int err; } errors[] = {
    {"eio", EIO}, {"enospc", ENOSPC}, {"etimedout", ETIMEDOUT}};

/* One filter's words: "delay:10ms:read" */
struct words {
    char text[64];
    char *rest;
};

static char *next_word(struct words *w)
{
    return strtok_r(w->rest ? NULL : w->text, ":", &w->rest);
}

static bool parse_op(const char *word, unsigned *ops)
{
    for (unsigned i = 0; i < BLK_OP_COUNT; i++) {
        if (!strcmp(word, blk_op_name(i))) {
            *ops |= 1u << i;
            return true;
        }
    }
    return false;
}

/* "10ms", "2s"; up to an hour. */
static bool parse_time(const char *word, uint32_t *ret_ms)
{
    char *end;
    unsigned long v = word && *word >= '0' && *word <= '9' ? strtoul(word, &end, 10) : 0;

    if (!v || v > 3600000 || (strcmp(end, "ms") && strcmp(end, "s")))
        return false;
    *ret_ms = (uint32_t)(end[0] == 's' ? v * 1000 : v);
    return *ret_ms <= 3600000;
}

static bool parse_number(const char *word, const char *name, uint64_t *ret)
{
    size_t len = strlen(name);
    char *end;

    if (strncmp(word, name, len) || word[len] != '=' || word[len + 1] < '0' || word[len + 1] > '9')
        return false;
    *ret = strtoull(word + len + 1, &end, 10);
    return !*end;
}

static int make_delay(struct words *w, struct blk **b)
{
    uint32_t ms, delay_ms[BLK_OP_COUNT] = {0};
    unsigned ops = 0;
    char *word;

    if (!parse_time(next_word(w), &ms))
        return -EINVAL;
    while ((word = next_word(w))) {
        if (!parse_op(word, &ops))
            return -EINVAL;
    }
    for (unsigned i = 0; i < BLK_OP_COUNT; i++)
        delay_ms[i] = !ops || ops & 1u << i ? ms : 0;
    return b ? blk_delay_create(*b, delay_ms, b) : 0;
}

static int make_fault(struct words *w, struct blk **b)
{
    struct blk_fault f = {0};
    uint64_t percent = 0;
    char *word = next_word(w);

    for (unsigned i = 0; word && i < ARRAY_SIZE(errors); i++) {
        if (!strcmp(word, errors[i].name))
            f.err = -errors[i].err;
    }
    if (!f.err)
        return -EINVAL;
    while ((word = next_word(w))) {
        if (!parse_op(word, &f.ops) && !parse_number(word, "skip", &f.skip) &&
            !parse_number(word, "times", &f.times) && !parse_number(word, "percent", &percent))
            return -EINVAL;
    }
    f.percent = (unsigned)MIN(percent, UINT64_C(100));
    return b ? blk_fault_create(*b, &f, 1, b) : 0;
}

static int make(struct words *w, struct blk **b)
{
    const char *name = next_word(w);

    if (name && !strcmp(name, "delay"))
        return make_delay(w, b);
    if (name && !strcmp(name, "fault"))
        return make_fault(w, b);
    if (name && !strcmp(name, "log") && !next_word(w))
        return b ? blk_log_create(*b, NULL, NULL, b) : 0;
    return -EINVAL;
}

/* The last filter of text is put on first, so that the first one lies on top. */
static int stack_from(const char *text, struct blk **b)
{
    size_t len = strcspn(text, "+");
    struct words w = {.rest = NULL};
    int r = text[len] ? stack_from(text + len + 1, b) : 0;

    if (len >= sizeof(w.text))
        return -EINVAL;
    memcpy(w.text, text, len);
    return r < 0 ? r : make(&w, b);
}

int blk_filters_stack(const char *text, struct blk **b, struct vz_error *err)
{
    /* All of it is read first: nothing is put on for a text that is wrong, or deep without end. */
    int r = strlen(text) > BLK_FILTERS_TEXT_MAX ? -EINVAL : stack_from(text, NULL);

    if (!r && b)
        r = stack_from(text, b);
    if (r == -EINVAL)
        return error_set(err, EINVAL, VZ_ERROR_INVALID,
                         "filter '%.60s' is none: log, delay:TIME[:OPERATION]... or "
                         "fault:eio|enospc|etimedout[:OPERATION]...[:skip=N][:times=N][:percent=N], "
                         "joined by '+'", text);
    return r < 0 ? error_set(err, -r, VZ_ERROR_NO_MEMORY, "its filter: %s", strerror(-r)) : 0;
}
