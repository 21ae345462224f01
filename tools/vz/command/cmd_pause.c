/* SPDX-License-Identifier: MIT */
/* `vz pause MACHINE` and `vz resume MACHINE`. */
#include "command/machine_command.h"
#include "control/client.h"
#include "guest/agent_link.h"

static bool ask(struct bundle *b, const char *method)
{
    struct vz_error err;
    json_t *result = client_ask(b, method, NULL, NULL, &err);

    json_decref(result);
    if (!result)
        cli_error("%s: %s", b->name, err.text);
    return result;
}

static bool pause_machine(struct bundle *b, const struct args *a)
{
    return ask(b, "pause");
}

static bool resume_machine(struct bundle *b, const struct args *a)
{
    if (!ask(b, "resume"))
        return false;
    agent_link_set_clock(b);
    return true;
}

static int pause_main(int argc, char **argv)
{
    return machine_each(&pause_command, argc, argv, pause_machine);
}

static int resume_main(int argc, char **argv)
{
    return machine_each(&resume_command, argc, argv, resume_machine);
}

const struct command pause_command = {
    "pause", pause_main, NULL, no_options, "let running machines stand still", NULL, "MACHINE...",
    "CPUs and devices stop, and the guest's clocks with them; its memory stays taken."};
const struct command resume_command = {
    "resume", resume_main, NULL, no_options, "let paused machines go on", NULL, "MACHINE...",
    "The clock of a guest with an agent (vz-agent) is set: it stood still, too."};
