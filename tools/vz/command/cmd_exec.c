/* SPDX-License-Identifier: MIT */
/* `vz exec MACHINE -- CMD` and `vz shell MACHINE`. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command/machine_command.h"
#include "guest/agent_link.h"
#include "guest/remote.h"

static const struct opt exec_options[] = {
    {"tty", 't', OPT_NEVER, NULL, "Options", "give the program a terminal", NULL, 0},
    {"interactive", 'i', OPT_NEVER, NULL, "Options", "give it this input (it always has it)",
     "For those who are used to it: -i, -t and -it mean what they mean to container tools.", 0},
    {"no-stdin", 0, OPT_NEVER, NULL, "Options", "give it no input", NULL, 0},
    {"detach", 'd', OPT_NEVER, NULL, "Options", "return as soon as it runs",
     "It has no input or output, and goes on by itself.", 0},
    {"env", 'e', OPT_ALWAYS, "NAME=VALUE", "Options",
     "set a variable of its environment; NAME alone: as it is here", NULL, 0},
    {"user", 'u', OPT_ALWAYS, "USER[:GROUP]", "Options", "run it as this user of the guest (default root)",
     NULL, 1},
    {"cwd", 'w', OPT_ALWAYS, "DIR", "Options", "run it in this folder of the guest (default the user's home)",
     NULL, 1},
    {"timeout", 0, OPT_ALWAYS, "TIME", "Options",
     "how long to wait for the guest's agent (90s, 5m, 1h; default a minute after the machine's start)", NULL, 1},
    {.name = NULL}};

static const struct opt shell_options[] = {
    {"user", 'u', OPT_ALWAYS, "USER[:GROUP]", "Options", "whose shell (default root)", NULL, 1},
    {"cwd", 'w', OPT_ALWAYS, "DIR", "Options", "in this folder of the guest (default the user's home)", NULL, 1},
    {"env", 'e', OPT_ALWAYS, "NAME=VALUE", "Options",
     "set a variable of its environment; NAME alone: as it is here", NULL, 0},
    {"timeout", 0, OPT_ALWAYS, "TIME", "Options",
     "how long to wait for the guest's agent (90s, 5m, 1h; default a minute after the machine's start)", NULL, 1},
    {.name = NULL}};

/* ---- The command line ----------------------------------------------------------------------- */

static bool takes_value(const struct opt *options, const char *text)
{
    for (const struct opt *o = options; o->name; o++) {
        bool is_it = (text[1] == o->letter && !text[2]) || (text[1] == '-' && !strcmp(text + 2, o->name));

        if (is_it)
            return o->has_value == OPT_ALWAYS;
    }
    return false;
}

static bool is_bundle_of_flags(const char *text)
{
    return text[0] == '-' && text[1] && text[2] && strspn(text + 1, "itd") == strlen(text + 1);
}

/* What is ours and what is the program's: ours ends at "--", or with the first word behind the
 * machine's. Flags in one word, as -it, become one each. ours has room for 3 * argc + 1. */
static int split(int argc, char **argv, const struct opt *options, char **ours, int *ret_ours)
{
    static char *const flags[] = {"-i", "-t", "-d"};
    bool has_machine = false;
    int i = 0, n = 0;

    for (; i < argc && strcmp(argv[i], "--"); i++) {
        if (is_bundle_of_flags(argv[i])) {
            for (unsigned f = 0; f < 3; f++) {
                if (strchr(argv[i] + 1, flags[f][1]))
                    ours[n++] = flags[f];
            }
            continue;
        }
        if (argv[i][0] != '-' && has_machine)
            break;
        has_machine = has_machine || argv[i][0] != '-';
        ours[n++] = argv[i];
        if (takes_value(options, argv[i]) && i + 1 < argc)
            ours[n++] = argv[++i];
    }
    *ret_ours = n;
    return i < argc && !strcmp(argv[i], "--") ? i + 1 : i;
}

/* ---- What the options mean ------------------------------------------------------------------ */

static int run(const struct args *a, const char *const *argv, bool shell)
{
    struct vz_agent_exec_options o = VZ_AGENT_EXEC_OPTIONS_INIT;
    const char *env[REMOTE_ENV_MAX + 1];
    int wait_ms = LINK_AUTOMATIC, status = EXIT_OURS;
    struct vz_agent *agent;
    struct vz_error err = {.text = ""};
    struct bundle b;

    if (!time_option("timeout", args_value(a, "timeout"), &wait_ms))
        return EXIT_USAGE;
    if (!machine_open(a->count ? a->word[0] : NULL, &b))
        return EXIT_OURS;
    remote_prepare();
    o.terminal = shell ? isatty(STDIN_FILENO) : args_flag(a, "tty");
    o.detach = args_flag(a, "detach");
    remote_env(a->given, o.terminal, env);
    o.argv = argv;
    o.env = env;
    o.user = args_value(a, "user");
    o.cwd = args_value(a, "cwd");
    o.input_fd = o.detach || args_flag(a, "no-stdin") ? -1 : STDIN_FILENO;
    o.output_fd = o.detach ? -1 : STDOUT_FILENO;
    o.error_fd = o.detach ? -1 : STDERR_FILENO;
    agent = agent_link(&b, wait_ms, NULL, &err);
    if (agent)
        status = remote_run(agent, &o, b.name);
    else
        cli_error("%s", err.text);
    vz_agent_free(agent);
    bundle_close(&b);
    remote_env_free(env);
    return status;
}

static int run_command_line(const struct command *c, int argc, char **argv, bool shell)
{
    static const char *const login[] = {"sh", "-c", "exec \"${SHELL:-/bin/sh}\" -l", NULL};
    char **ours = calloc(3 * (size_t)argc + 1, sizeof(*ours));
    int count = 0, at = ours ? split(argc, argv, c->options, ours, &count) : 0;
    int status = EXIT_USAGE;
    struct args a;

    if (!ours) {
        cli_no_memory();
        return EXIT_OURS;
    }
    if (!args_parse(c, count, ours, shell ? 0 : 1, 1, &a))
        status = EXIT_USAGE;
    else if (shell ? at < argc : at == argc)
        cli_error(shell ? "shell: '%s': a command is for 'vz exec'"
                        : "exec: which command? (usage: vz exec MACHINE -- CMD)", shell ? argv[at] : "");
    else
        status = run(&a, shell ? login : (const char *const *)argv + at, shell);
    args_free(&a);
    free(ours);
    return status;
}

static int exec_main(int argc, char **argv)
{
    return run_command_line(&exec_command, argc, argv, false);
}

static int shell_main(int argc, char **argv)
{
    return run_command_line(&shell_command, argc, argv, true);
}

const struct command exec_command = {
    "exec", exec_main, NULL, exec_options, "run a command in a machine's guest", NULL,
    "MACHINE [OPTION]... -- CMD [ARG]...",
    "By the agent in the guest (vz-agent), without a network or ssh. Input, output and errors are the command's, signals "
    "are passed on, and its exit status is that of vz: 128 and the signal's number where one ended it, 127 "
    "where there is no such command, 126 where it cannot be run, 125 when vz itself failed. A command whose vz is "
    "killed gets SIGHUP."};
const struct command shell_command = {
    "shell", shell_main, NULL, shell_options, "open a shell in a machine's guest", NULL, "[MACHINE]",
    "A login shell on a terminal, by the agent in the guest. The exit status is the shell's, 125 when vz itself "
    "failed."};
