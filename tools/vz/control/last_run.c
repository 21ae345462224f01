/* SPDX-License-Identifier: MIT */
#include "control/last_run.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vz/machine.h>

#include "bundle/bundle.h"
#include "cli.h"

static const char *const reasons[] = {
    [VZ_END_POWEROFF] = "poweroff", [VZ_END_RESET] = "reset", [VZ_END_DEBUG_EXIT] = "debug-exit",
    [VZ_END_STOPPED] = "stopped",   [VZ_END_ERROR] = "error", [VZ_END_PANIC] = "panic",
    [VZ_END_FAULT] = "fault"};

static json_t *time_now(void)
{
    char text[32];
    time_t now = time(NULL);
    struct tm tm;

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    return json_string(text);
}

static void save(const struct bundle *b, json_t *what)
{
    char *text = what ? json_dumps(what, JSON_INDENT(2)) : NULL;
    struct vz_error err = {.text = "out of memory"};

    if (!text || bundle_write(b, BUNDLE_LAST_RUN, text, strlen(text), &err) < 0)
        cli_error("%s", err.text);
    free(text);
}

void last_run_began(const struct bundle *b)
{
    json_t *run = json_pack("{s:o}", "began", time_now());

    save(b, run);
    json_decref(run);
}

json_t *last_run_json(const struct vz_machine_end *end)
{
    json_t *j = json_pack("{s:s}", "reason", reasons[end->reason]);

    if (end->reason == VZ_END_DEBUG_EXIT)
        json_object_set_new(j, "code", json_integer(end->debug_code));
    if (end->text[0])
        json_object_set_new(j, "text", json_string(end->text));
    return j;
}

void last_run_ended(const struct bundle *b, const struct vz_machine_end *end)
{
    json_t *run = last_run_load(b), *how = last_run_json(end);

    if (!run)
        run = json_object();
    json_object_set_new(run, "ended", time_now());
    json_object_update(run, how);
    save(b, run);
    json_decref(how);
    json_decref(run);
}

json_t *last_run_load(const struct bundle *b)
{
    char *text = bundle_read(b, BUNDLE_LAST_RUN, NULL, NULL);
    json_t *run = text ? json_loads(text, 0, NULL) : NULL;

    free(text);
    if (json_is_object(run))
        return run;
    json_decref(run);
    return NULL;
}

int last_run_status(const json_t *end)
{
    const char *reason = json_string_value(json_object_get(end, "reason"));

    if (!reason || !strcmp(reason, "error"))
        return EXIT_FAILED;
    return !strcmp(reason, "panic") || !strcmp(reason, "fault") ? EXIT_GUEST : EXIT_OK;
}
