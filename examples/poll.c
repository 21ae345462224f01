/* SPDX-License-Identifier: MIT */
/* poll KERNEL: a machine inside a program that has a poll() loop of its own. Everything comes
 * through one descriptor; no callback runs in another thread. After ten seconds the guest is asked
 * to stop, then made to. */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>

#include <vz/vz.h>

static void on_state(void *arg, struct vz_machine *machine, enum vz_machine_state state)
{
    printf("state: %s\n", vz_machine_state_name(state));
    if (state == VZ_STATE_STOPPED || state == VZ_STATE_ERROR)
        *(bool *)arg = true;
}

static void on_started(void *arg, struct vz_machine *machine, const struct vz_error *err)
{
    printf("start: %s\n", err ? err->text : "done");
}

static struct vz_machine *make(const char *kernel, bool *over, struct vz_error *err)
{
    struct vz_machine_delegate delegate = VZ_MACHINE_DELEGATE_INIT;
    struct vz_machine_options options = VZ_MACHINE_OPTIONS_INIT;
    struct vz_linux_boot_loader_options b = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_boot_loader *loader;
    struct vz_config *config = vz_config_new(NULL, err);
    struct vz_machine *machine = NULL;

    b.kernel = kernel;
    loader = vz_linux_boot_loader_new(&b, err);
    delegate.state_changed = on_state;
    options.delegate = &delegate;
    options.delegate_arg = over;
    options.use_events_fd = true;
    if (config && loader) {
        vz_config_set_boot_loader(config, loader);
        machine = vz_machine_new(config, &options, err);
    }
    vz_boot_loader_unref(loader);
    vz_config_unref(config);
    return machine;
}

int main(int argc, char **argv)
{
    bool over = false;
    struct vz_error err = {.text = "out of memory"};
    struct vz_machine *machine = make(argc > 1 ? argv[1] : NULL, &over, &err);
    struct pollfd p = {.events = POLLIN};
    int waits = 0;

    if (!machine) {
        fprintf(stderr, "poll: %s\n", err.text);
        return 1;
    }
    p.fd = vz_machine_events_fd(machine);
    vz_machine_start(machine, on_started, NULL);
    while (!over) {
        if (poll(&p, 1, 5000) > 0)
            vz_machine_dispatch(machine);
        else if (++waits == 2)
            vz_machine_request_stop(machine, NULL);
        else if (waits > 2)
            vz_machine_stop(machine, NULL, NULL);
    }
    vz_machine_free(machine);
    return 0;
}
