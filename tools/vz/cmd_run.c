/* SPDX-License-Identifier: MIT */
/* `vz run`: one machine from the command line to its exit status. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"

struct run {
    struct run_options o;
    struct vz_machine *machine;
    struct keys *keys; /* when standard input is a terminal and a port leads there */
};

static bool prepare_console(struct run *run)
{
    if (!vz_config_uses_stdio(run->o.config) || !isatty(STDIN_FILENO))
        return true;
    run->keys = keys_new(STDIN_FILENO);
    if (!run->keys) {
        cli_error("out of memory or file descriptors");
        return false;
    }
    vz_config_set_stdio(run->o.config, keys_fd(run->keys), STDOUT_FILENO);
    return true;
}

static void on_problem(void *arg, const struct vz_problem *p)
{
    cli_error("%s: %s", p->object, p->text);
    if (p->code == VZ_ERROR_INVALID)
        *(int *)arg = EXIT_USAGE;
}

/* Make and start the machine; the exit status when that fails. */
static int start(struct run *run)
{
    struct vz_error err = {0};

    run->machine = vz_machine_new(run->o.config, NULL, &err);
    if (!run->machine || vz_machine_start_wait(run->machine, &err) < 0) {
        terminal_restore();
        cli_error("%s", err.text);
        return EXIT_FAILED;
    }
    if (run->keys && !keys_start(run->keys, run->machine)) {
        terminal_restore();
        cli_error("cannot start a thread");
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

/* Where ports that are pseudo-terminals are found. */
static void print_paths(struct run *run)
{
    char path[256];

    for (unsigned i = 0; i < 64; i++) {
        if (vz_machine_serial_path(run->machine, i, path, sizeof(path)) == 0)
            fprintf(stderr, "vz: serial port %u is %s\r\n", i, path);
    }
}

static int end_status(const struct vz_machine_end *end)
{
    switch (end->reason) {
    case VZ_END_POWEROFF:
    case VZ_END_RESET:
    case VZ_END_STOPPED:
        return EXIT_OK;
    case VZ_END_DEBUG_EXIT:
        return (int)((end->debug_code << 1) | 1) & 0xff;
    case VZ_END_ERROR:
        break;
    }
    cli_error("%s", end->text);
    return EXIT_FAILED;
}

static void print_stat(void *arg, const char *name, uint64_t value)
{
    fprintf(stderr, "%-32s %20llu\n", name, (unsigned long long)value);
}

static int run_machine(struct run *run)
{
    struct vz_machine_end end;
    int status = EXIT_FAILED;

    if (vz_config_validate(run->o.config, on_problem, &status, NULL) < 0)
        return status;
    if (!prepare_console(run))
        return EXIT_FAILED;
    if (run->keys && !terminal_raw())
        cli_error("the terminal cannot be put into raw mode");
    status = start(run);
    if (status == EXIT_OK) {
        print_paths(run);
        vz_machine_wait(run->machine, &end);
        terminal_restore();
        status = end_status(&end);
        if (run->o.stats)
            vz_machine_stats(run->machine, print_stat, NULL);
    }
    return status;
}

static int print_config(const struct vz_config *config)
{
    struct vz_error err;
    char *text = vz_config_to_json(config, &err);
    bool ok = text && printf("%s\n", text) >= 0 && fflush(stdout) == 0;

    if (!ok)
        cli_error("%s", text ? "standard output cannot be written" : err.text);
    free(text);
    return ok ? EXIT_OK : EXIT_FAILED;
}

int run_main(int argc, char **argv)
{
    struct run run = {.keys = NULL};
    int status;

    if (run_options_parse(argc, argv, &run.o, &status))
        status = run.o.print_config ? print_config(run.o.config) : run_machine(&run);
    /* The machine may still be asked to stop by a key: the keys go first, then the machine. */
    if (run.keys && run.machine)
        vz_machine_stop(run.machine, NULL, NULL);
    keys_free(run.keys);
    vz_machine_free(run.machine);
    run_options_free(&run.o);
    terminal_restore();
    return status;
}
