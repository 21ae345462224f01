/* SPDX-License-Identifier: MIT */
/* `vz run`: one machine from the command line to its exit status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "bundle/identity.h"
#include "cli.h"
#include "disk_counters.h"
#include "guest/guest_care.h"
#include "guest/run_program.h"
#include "run_view.h"
#include "run_vnc.h"
#include "vnc_process.h"

struct run {
    struct run_options o;
    struct vz_machine *machine;
    struct guest_care *care; /* NULL: its guest has no agent that could be reached */
    struct vnc_process *vnc; /* --vnc */
    struct run_view *view;  /* --view */
    struct keys *keys; /* when a port leads to standard input and output */
    bool raw;          /* standard input is a terminal */
    const char *const *program; /* one command in the guest; NULL: none */
    struct vz_guest_address address; /* of the guest behind the first NAT, at last */
};

static bool prepare_console(struct run *run)
{
    if (!vz_config_uses_stdio(run->o.config))
        return true;
    run->raw = isatty(STDIN_FILENO);
    run->keys = keys_new(run->raw ? STDIN_FILENO : -1, STDOUT_FILENO, run->o.life.prefix);
    if (!run->keys) {
        cli_error("out of memory or file descriptors");
        return false;
    }
    if (run->raw)
        vz_config_set_stdio(run->o.config, keys_fd(run->keys), STDOUT_FILENO);
    return true;
}

static void on_problem(void *arg, const struct vz_problem *p)
{
    cli_error("%s: %s", p->object, p->text);
    if (p->code == VZ_ERROR_INVALID)
        *(int *)arg = EXIT_USAGE;
}

static void on_address(void *arg, struct vz_machine *machine, unsigned device,
                       const struct vz_guest_address *address)
{
    ((struct run *)arg)->address = *address;
}

static void on_disconnected(void *arg, struct vz_machine *machine, unsigned device,
                            const struct vz_error *err)
{
    cli_error("%s", err->text);
}

static void on_disk_connected(void *arg, struct vz_machine *machine, unsigned device)
{
    cli_error("storageDevices[%u]: is connected again", device);
}

static void on_usb_gone(void *arg, struct vz_machine *machine, const char *uuid)
{
    cli_error("the USB device %s is gone from the host", uuid);
}

static void on_state(void *arg, struct vz_machine *machine, enum vz_machine_state state)
{
    const struct run *run = arg;

    if (run->view)
        run_view_state(run->view, state);
}

/* Whoever waits for a state to be restored sees how far that is. */
static bool opens_early(const struct run *run)
{
    return run->view && opts_given(run->o.given, "restore");
}

/* A warm state that is no good (another host, another way to run it) is made anew the next time. */
static bool make(struct run *run, const struct vz_machine_options *o, struct vz_error *err)
{
    run->machine = vz_machine_new(run->o.config, o, err);
    if (run->machine && opens_early(run) && run_view_open(run->view, run->machine, err) < 0)
        return false;
    if (run->machine && run_saved_start(&run->o.saved, run->machine, err) == 0)
        return true;
    if (!run->o.cold || !run->o.warm)
        return false;
    /* Or another run has made room for its own since this one was found. */
    if (!(run->machine && err->code == VZ_ERROR_RESTORE) && access(run->o.warm, F_OK) == 0)
        return false;
    if (!run_warm_forget(&run->o))
        return false;
    vz_machine_free(run->machine);
    run->machine = vz_machine_new(run->o.config, o, err);
    return run->machine && run_saved_start(&run->o.saved, run->machine, err) == 0;
}

/* Make and start the machine; the exit status when that fails. */
static int start(struct run *run)
{
    struct vz_machine_delegate delegate = VZ_MACHINE_DELEGATE_INIT;
    const struct given *sandbox = opts_given(run->o.given, "sandbox"), *run_as = opts_given(run->o.given, "run-as");
    struct vz_machine_options o = VZ_MACHINE_OPTIONS_INIT;
    struct sandbox_folders folders;
    struct vz_error err = {0};

    delegate.state_changed = on_state;
    delegate.guest_address_changed = on_address;
    delegate.network_disconnected = on_disconnected;
    delegate.disk_error = on_disconnected;
    delegate.usb_device_disconnected = on_usb_gone;
    delegate.disk_connected = on_disk_connected;
    o.delegate = &delegate;
    o.delegate_arg = run;
    if (!run_sandbox(sandbox ? sandbox->value : NULL, run_as ? run_as->value : NULL, run->o.saved.save, &folders, &o))
        return EXIT_USAGE;
    if (!make(run, &o, &err)) {
        terminal_restore();
        cli_error("%s", err.text);
        return EXIT_FAILED;
    }
    if (!ending_start(run->machine, &run->o.life, &run->o.saved)) {
        terminal_restore();
        cli_error("cannot start a thread");
        return EXIT_FAILED;
    }
    if (run->keys && !keys_start(run->keys, run->machine)) {
        terminal_restore();
        cli_error("cannot start a thread");
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

/* After a start that succeeded; until the machine has ended. */
static void begin_care(struct run *run)
{
    const struct run_options *o = &run->o;
    const struct guest_care_options c = {.connect = run_program_connect, .arg = run->machine,
                                         .name = o->has_bundle ? o->bundle.name : "run",
                                         .bundle = o->has_bundle ? &o->bundle : NULL,
                                         .keeps = !run_options_flag(o, "ephemeral"),
                                         .config = o->config, .mounted = run->program};

    /* run_program() does all of it before the program runs, but for a clone's first start. */
    if (o->cold && !(c.bundle && identity_load(c.bundle, NULL)))
        return;
    if (guest_care_possible(o->config))
        run->care = guest_care_new(&c);
    if (o->saved.restore && !run->program) /* a program is preceded by that anyway */
        guest_care_went_on(run->care);
}

/* A person at a terminal is told that there is a machine, and how to leave it: a guest may say
 * nothing for a while, or for ever. */
static void greet(const struct run *run)
{
    const char *accel = vz_machine_accel(run->machine);
    const char *on = accel && !strcmp(accel, "kvm") ? "KVM" : "the software CPU";
    char key = (char)(run->o.life.prefix + '@');

    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return;
    if (!run->keys)
        cli_error("a machine runs on %s, and none of its ports leads to this terminal (--serial "
                  "stdio); Ctrl-C asks it to shut down", on);
    else if (!run->o.life.prefix)
        cli_error("a machine runs on %s", on);
    else
        cli_error("a machine runs on %s; Ctrl-%c x leaves it, Ctrl-%c h lists the keys", on, key,
                  key);
}

/* Linux is silent on a line that its command line does not name. */
static void warn_of_silence(const struct run *run)
{
    const struct given *cmdline = opts_given(run->o.given, "cmdline");
    bool linux_given = opts_given(run->o.given, "kernel") && opts_given(run->o.given, "initrd");

    if (!run->raw || !isatty(STDERR_FILENO) || opts_given(run->o.given, "config") ||
        run->o.saved.restore)
        return;
    /* hvc0's driver is a module in Debian's kernels: until it is loaded Linux has no console. */
    if (cmdline ? !strstr(cmdline->value, "console=ttyS0") : linux_given)
        cli_error("Linux may stay silent here: its command line should have console=ttyS0, or with "
                  "--console stdio both console=ttyS0 and console=hvc0");
}

/* Where ports that are pseudo-terminals are found. */
static void print_paths(struct run *run)
{
    char path[256];

    for (unsigned i = 0; i < vz_machine_serial_count(run->machine); i++) {
        if (vz_machine_serial_path(run->machine, i, path, sizeof(path)) == 0)
            fprintf(stderr, "vz: serial port %u is %s\r\n", i, path);
    }
}

static int end_status(const struct run *run, const struct vz_machine_end *end)
{
    const struct run_life *l = &run->o.life;

    switch (end->reason) {
    case VZ_END_POWEROFF:
    case VZ_END_RESET:
    case VZ_END_STOPPED:
        return EXIT_OK;
    case VZ_END_DEBUG_EXIT:
        if (l->has_pass && end->debug_code == l->pass)
            return EXIT_OK;
        return (int)((end->debug_code << 1) | 1) & 0xff;
    case VZ_END_PANIC:
    case VZ_END_FAULT:
        cli_error("%s", end->text);
        return EXIT_GUEST;
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

static void print_stats(struct run *run)
{
    vz_machine_stats(run->machine, print_stat, NULL);
    disk_counters(run->machine, print_stat, NULL);
    if (run->address.ipv4[0])
        fprintf(stderr, "%-32s %20s\n", "net.guest_ipv4", run->address.ipv4);
    if (run->address.ipv6[0])
        fprintf(stderr, "%-32s %20s\n", "net.guest_ipv6", run->address.ipv6);
}

/* The command's exit status, unless the machine ended before it. */
static int run_one_program(struct run *run)
{
    bool keeps = !run_options_flag(&run->o, "ephemeral"), goes = false;
    struct vz_machine_end end;
    const struct run_program how = {.argv = run->program, .given = run->o.given, .flush = keeps,
                                    .ret_off = keeps && run_options_flag(&run->o, "root") ? &goes : NULL,
                                    .copy = run->o.saved.restore,
                                    .becomes = run->o.has_bundle ? &run->o.bundle : NULL, .care = run->care};
    int status = run_program(run->machine, &how);

    if (!goes && vz_machine_get_state(run->machine) == VZ_STATE_RUNNING) {
        if (keeps)
            ending_leave(); /* the guest shuts down, as far as it can */
        else
            ending_turn_off();
    }
    vz_machine_wait(run->machine, &end);
    if (end.reason == VZ_END_PANIC || end.reason == VZ_END_FAULT || end.reason == VZ_END_ERROR)
        cli_error("%s", end.text);
    return ending_timed_out() ? EXIT_TIMEOUT : status;
}

/* For the title of whatever shows the machine. */
static const char *name_of(const struct run *run)
{
    return run->o.has_bundle ? run->o.bundle.name : "vz run";
}

/* Before anything is started: what --view needs is there. */
static bool prepare_view(struct run *run)
{
    const struct run_view_options o = {.name = name_of(run), .saves = run->o.saved.save};
    struct vz_error err;

    if (!opts_given(run->o.given, "view"))
        return true;
    run->view = run_view_new(&o, &err);
    run->o.saved.progress = run_view_progress;
    run->o.saved.restore_progress = run_view_restore_progress;
    run->o.saved.progress_arg = run->view;
    if (!run->view)
        cli_error("%s", err.text);
    return run->view;
}

static bool open_view(struct run *run)
{
    struct vz_error err;

    if (!run->view || opens_early(run) || run_view_open(run->view, run->machine, &err) == 0)
        return true;
    cli_error("%s", err.text);
    return false;
}

static int run_machine(struct run *run)
{
    struct vz_machine_end end;
    int status = EXIT_FAILED;

    if (!run_vnc_prepare(run->o.given, run->o.config))
        return status;
    if (vz_config_validate(run->o.config, on_problem, &status, NULL) < 0)
        return status;
    if (!prepare_view(run) || !prepare_console(run))
        return EXIT_FAILED;
    if (!ending_prepare()) {
        cli_error("out of file descriptors");
        return EXIT_FAILED;
    }
    if (run_warm_suits(&run->o) && !run_warm_prepare(&run->o, &status))
        return status;
    if (run->raw && !terminal_raw())
        cli_error("the terminal cannot be put into raw mode");
    status = start(run);
    run->o.has_run = status == EXIT_OK;
    if (status == EXIT_OK && !run_vnc_start(run->o.given, run->machine, name_of(run), &run->vnc))
        status = EXIT_FAILED;
    if (status == EXIT_OK && !open_view(run))
        status = EXIT_FAILED;
    if (status == EXIT_OK)
        begin_care(run);
    if (status == EXIT_OK && !run_sandbox_lock(VZ_THREAD_CONTROLS, NULL)) {
        vz_machine_stop(run->machine, NULL, NULL);
        status = EXIT_FAILED;
    }
    if (status == EXIT_OK && run->program) {
        status = run_one_program(run);
        if (run_options_flag(&run->o, "stats"))
            print_stats(run);
    } else if (status == EXIT_OK) {
        greet(run);
        warn_of_silence(run);
        print_paths(run);
        vz_machine_wait(run->machine, &end);
        terminal_restore();
        status = ending_timed_out() ? EXIT_TIMEOUT : end_status(run, &end);
        if (end.reason == VZ_END_STOPPED && keys_abandoned(run->keys)) {
            cli_error("nobody reads standard output any more: the machine was turned off");
            status = EXIT_FAILED;
        }
        if (status == EXIT_OK && vz_machine_lost_output(run->machine))
            status = EXIT_FAILED; /* what was lost has been said when it was */
        if (run_options_flag(&run->o, "stats"))
            print_stats(run);
    }
    guest_care_free(run->care);
    vnc_process_free(run->vnc);
    if (run->view)
        run_view_close(run->view);
    return status;
}

/* What is wrong with it, to standard error. */
static int check_config(const struct vz_config *config)
{
    int status = EXIT_FAILED;

    return vz_config_validate(config, on_problem, &status, NULL) < 0 ? EXIT_FAILED : EXIT_OK;
}

/* What makes no machine anywhere. That a file is not there is a matter of time and place, and what is
 * printed may be meant for others. */
static void on_contradiction(void *arg, const struct vz_problem *p)
{
    if (p->code == VZ_ERROR_IO || p->code == VZ_ERROR_NETWORK || p->code == VZ_ERROR_UNSUPPORTED)
        return;
    cli_error("%s: %s", p->object, p->text);
    *(int *)arg = EXIT_FAILED;
}

static int print_config(const struct vz_config *config)
{
    struct vz_error err;
    char *text = vz_config_to_json(config, &err);
    int status = EXIT_OK;
    bool ok = text && printf("%s\n", text) >= 0 && fflush(stdout) == 0;

    if (!ok)
        cli_error("%s", text ? "standard output cannot be written" : err.text);
    free(text);
    if (!ok)
        return EXIT_FAILED;
    vz_config_validate(config, on_contradiction, &status, NULL);
    return status;
}

static int run_or_tell(struct run *run)
{
    if (run_options_flag(&run->o, "print-config"))
        return print_config(run->o.config);
    if (run_options_flag(&run->o, "check"))
        return check_config(run->o.config);
    return run_machine(run);
}

static int run_main(int argc, char **argv)
{
    struct run run = {.keys = NULL};
    int status, own = 0;

    while (own < argc && strcmp(argv[own], "--"))
        own++;
    if (own + 1 < argc)
        run.program = (const char *const *)argv + own + 1;
    run.o.has_program = run.program;
    argc = run.program ? own : argc;
    if (run_options_parse(argc, argv, &run.o, &status))
        status = run_or_tell(&run);
    /* The machine may still be asked to stop by a key: the keys go first, then the machine. */
    if (run.keys && run.machine)
        vz_machine_stop(run.machine, NULL, NULL);
    keys_free(run.keys);
    ending_stop();
    vz_machine_free(run.machine);
    run_view_free(run.view); /* to which the machine has told its states till then */
    run_options_free(&run.o);
    terminal_restore();
    ending_finish();
    return status;
}

const struct command run_command = {
    .name = "run", .main = run_main, .help = run_help, .options = run_options,
    .text = "boot a kernel and connect its serial console to the terminal",
    .has_machine_options = true};
