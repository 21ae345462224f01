/* SPDX-License-Identifier: MIT */
/* `vz run`: one machine from the command line to its exit status. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"

struct run {
    struct vz_config_options o;
    bool stats;
    bool serial_is_stdio;
    struct vz_config *config;
    struct vz_machine *machine;
    struct keys *keys; /* when standard input is a terminal and the console is there */
};

static bool set_string(const char **to, const char *name, const char *value)
{
    if (!value[0]) {
        cli_error("--%s: the value is empty", name);
        return false;
    }
    *to = value;
    return true;
}

static bool set_kernel(void *arg, const char *name, const char *value)
{
    return set_string(&((struct run *)arg)->o.kernel, name, value);
}

static bool set_initrd(void *arg, const char *name, const char *value)
{
    return set_string(&((struct run *)arg)->o.initrd, name, value);
}

static bool set_cmdline(void *arg, const char *name, const char *value)
{
    ((struct run *)arg)->o.cmdline = value;
    return true;
}

static bool set_memory(void *arg, const char *name, const char *value)
{
    struct run *run = arg;
    uint64_t min = vz_config_memory_min(), max = vz_config_memory_max();

    if (!opts_size(value, &run->o.memory_size)) {
        cli_error("--%s '%s': expected a number of bytes, or one with K, M or G behind", name,
                  value);
        return false;
    }
    if (run->o.memory_size < min || run->o.memory_size > max) {
        cli_error("--%s %s: this host allows %lluM to %lluM", name, value,
                  (unsigned long long)(min >> 20), (unsigned long long)(max >> 20));
        return false;
    }
    if (run->o.memory_size % 4096) {
        cli_error("--%s %s: expected a multiple of 4K", name, value);
        return false;
    }
    return true;
}

static bool set_cpus(void *arg, const char *name, const char *value)
{
    struct run *run = arg;

    if (!opts_unsigned(value, &run->o.cpu_count) || run->o.cpu_count < 1 ||
        run->o.cpu_count > vz_config_cpu_max()) {
        cli_error("--%s '%s': expected a number from 1 to %u", name, value, vz_config_cpu_max());
        return false;
    }
    return true;
}

static bool set_accel(void *arg, const char *name, const char *value)
{
    if (strcmp(value, "auto") && strcmp(value, "soft")) {
        cli_error("--%s '%s': expected auto or soft", name, value);
        return false;
    }
    ((struct run *)arg)->o.accel = value;
    return true;
}

static bool set_serial(void *arg, const char *name, const char *value)
{
    struct run *run = arg;

    run->serial_is_stdio = !strcmp(value, "stdio");
    if (run->serial_is_stdio) {
        run->o.serial = VZ_SERIAL_FDS;
    } else if (!strcmp(value, "null")) {
        run->o.serial = VZ_SERIAL_NULL;
    } else if (!strncmp(value, "file:", 5) && value[5]) {
        run->o.serial = VZ_SERIAL_FILE;
        run->o.serial_path = value + 5;
    } else {
        cli_error("--%s '%s': expected stdio, null or file:PATH", name, value);
        return false;
    }
    return true;
}

static bool set_no_reboot(void *arg, const char *name, const char *value)
{
    return ((struct run *)arg)->o.stop_at_reset = true;
}

static bool set_debug_exit(void *arg, const char *name, const char *value)
{
    return ((struct run *)arg)->o.debug_exit = true;
}

static bool set_stats(void *arg, const char *name, const char *value)
{
    return ((struct run *)arg)->stats = true;
}

static const struct opt run_options[] = {
    {"kernel", true, set_kernel},          {"initrd", true, set_initrd},
    {"cmdline", true, set_cmdline},        {"memory", true, set_memory},
    {"cpus", true, set_cpus},              {"accel", true, set_accel},
    {"serial", true, set_serial},          {"no-reboot", false, set_no_reboot},
    {"debug-exit", false, set_debug_exit}, {"stats", false, set_stats},
    {NULL, false, NULL},
};

static bool prepare_console(struct run *run)
{
    if (!run->serial_is_stdio)
        return true;
    run->o.serial_read_fd = STDIN_FILENO;
    run->o.serial_write_fd = STDOUT_FILENO;
    if (!isatty(STDIN_FILENO))
        return true;
    run->keys = keys_new(STDIN_FILENO);
    if (!run->keys) {
        cli_error("out of memory or file descriptors");
        return false;
    }
    run->o.serial_read_fd = keys_fd(run->keys);
    return true;
}

/* Make and start the machine; the exit status when that fails. */
static int start(struct run *run)
{
    struct vz_error err = {0};

    run->config = vz_config_new(&run->o, &err);
    if (!run->config) {
        cli_error("%s", err.text);
        return err.code == VZ_ERROR_INVALID ? EXIT_USAGE : EXIT_FAILED;
    }
    run->machine = vz_machine_new(run->config, &err);
    if (!run->machine || vz_machine_start(run->machine, &err) < 0) {
        terminal_restore();
        cli_error("%s", err.text);
        return EXIT_FAILED;
    }
    if (run->keys && !keys_start(run->keys, run->machine)) {
        cli_error("cannot start a thread");
        return EXIT_FAILED;
    }
    return EXIT_OK;
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
    int status;

    if (run->keys && !terminal_raw())
        cli_error("the terminal cannot be put into raw mode");
    status = start(run);
    if (status == EXIT_OK) {
        vz_machine_wait(run->machine, &end);
        terminal_restore();
        status = end_status(&end);
        if (run->stats)
            vz_machine_stats(run->machine, print_stat, NULL);
    }
    return status;
}

int run_main(int argc, char **argv)
{
    struct run run = {.o = VZ_CONFIG_OPTIONS_INIT, .serial_is_stdio = true};
    int status;

    run.o.serial = VZ_SERIAL_FDS;
    if (!opts_parse(argc, argv, run_options, "vz run", &run))
        return EXIT_USAGE;
    if (!run.o.kernel) {
        cli_error("option '--kernel' is missing (see 'vz run --help')");
        return EXIT_USAGE;
    }
    if (!prepare_console(&run))
        return EXIT_FAILED;
    status = run_machine(&run);
    /* The machine may still be asked to stop by a key: the keys go first, then the machine. */
    if (run.keys && run.machine)
        vz_machine_stop(run.machine);
    keys_free(run.keys);
    vz_machine_free(run.machine);
    vz_config_free(run.config);
    terminal_restore();
    return status;
}
