/* SPDX-License-Identifier: MIT */
/* `vz wait MACHINE --for WHAT`: until its guest has booted, its agent answers, or it has ended. */
#include <string.h>
#include <time.h>

#include "command/machine_command.h"
#include "control/client.h"
#include "control/last_run.h"
#include "guest/agent_link.h"

static const struct opt wait_options[] = {
    {"for", 0, OPT_ALWAYS, "boot|agent|stop", "Options",
     "until the guest's start is done, its agent answers, or the machine has ended (default boot)", NULL, 1},
    {"timeout", 0, OPT_ALWAYS, "TIME", "Options", "for so long at most (90s, 5m, 1h), with status 124", NULL, 1},
    {.name = NULL}};

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int wait_guest(const struct bundle *b, bool booted, int timeout_ms)
{
    uint64_t start = now_ms(), took;
    struct vz_error err = {.text = ""};
    bool late = false;
    struct vz_agent *agent = agent_link(b, timeout_ms < 0 ? LINK_FOREVER : timeout_ms, &late, &err);
    int status = EXIT_OK;

    if (!agent) {
        cli_error("%s", err.text);
        return late ? EXIT_TIMEOUT : EXIT_FAILED;
    }
    took = now_ms() - start;
    if (booted && timeout_ms >= 0 && took >= (uint64_t)timeout_ms)
        status = EXIT_TIMEOUT;
    else if (booted && vz_agent_wait_booted(agent, timeout_ms < 0 ? 0 : (uint64_t)timeout_ms - took, &err) < 0) {
        cli_error("%s: %s", b->name, err.text);
        status = err.code == VZ_ERROR_NETWORK && timeout_ms >= 0 && now_ms() - start >= (uint64_t)timeout_ms
                     ? EXIT_TIMEOUT : EXIT_FAILED;
    }
    vz_agent_free(agent);
    return status;
}

/* How it ended is the status, as that of vz run. */
static int wait_stop(const struct bundle *b, int timeout_ms)
{
    json_t *last, *text;
    int status = EXIT_OK;

    if (!client_wait_end(b, timeout_ms)) {
        cli_error("%s: it still runs", b->name);
        return EXIT_TIMEOUT;
    }
    last = last_run_load(b);
    text = json_object_get(last, "text");
    if (last && !json_object_get(last, "ended"))
        cli_error("%s: its process was killed", b->name);
    else if (text)
        cli_error("%s: %s", b->name, json_string_value(text));
    if (last)
        status = last_run_status(last);
    json_decref(last);
    return status;
}

static int wait_for(const struct bundle *b, const char *what, int timeout_ms)
{
    return !strcmp(what, "stop") ? wait_stop(b, timeout_ms)
                                 : wait_guest(b, !strcmp(what, "boot"), timeout_ms);
}

static int wait_main(int argc, char **argv)
{
    const char *what;
    int status = EXIT_USAGE, timeout_ms = -1;
    struct bundle b;
    struct args a;

    if (args_parse(&wait_command, argc, argv, 0, 1, &a)) {
        what = args_value(&a, "for");
        what = what ? what : "boot";
        if (strcmp(what, "boot") && strcmp(what, "agent") && strcmp(what, "stop"))
            cli_error("--for '%s': expected boot, agent or stop", what);
        else if (time_option("timeout", args_value(&a, "timeout"), &timeout_ms)) {
            status = EXIT_FAILED;
            if (machine_open(a.count ? a.word[0] : NULL, &b)) {
                status = wait_for(&b, what, timeout_ms);
                bundle_close(&b);
            }
        }
    }
    args_free(&a);
    return status;
}

const struct command wait_command = {
    "wait", wait_main, NULL, wait_options, "wait until a machine's guest has booted, or until it has ended",
    NULL, "[MACHINE]",
    "The status is 0 when it has come to that, 124 when the time was over, and 1 otherwise: a machine that does not run will not "
    "boot. For boot and agent the guest needs its agent. For stop it is 3 when the guest panicked, and 1 when "
    "an error ended it or its process was killed."};
