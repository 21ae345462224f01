/* SPDX-License-Identifier: MIT */
/* linux KERNEL [INITRD [CMDLINE]]: boot Linux with its serial console on standard input and output. */
#include <stdio.h>

#include <vz/vz.h>

static struct vz_config *configure(int argc, char **argv, struct vz_error *err)
{
    struct vz_linux_boot_loader_options b = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_config *config = vz_config_new(NULL, err);
    struct vz_serial_attachment *console = vz_stdio_serial_attachment_new(err);
    struct vz_serial_port *port = vz_uart_serial_port_new(console, err);
    struct vz_boot_loader *loader;

    b.kernel = argc > 1 ? argv[1] : NULL;
    b.initrd = argc > 2 ? argv[2] : NULL;
    b.cmdline = argc > 3 ? argv[3] : "console=ttyS0";
    loader = vz_linux_boot_loader_new(&b, err);
    if (!config || !loader || vz_config_add_serial_port(config, port, NULL) < 0) {
        vz_config_unref(config);
        config = NULL;
    } else {
        vz_config_set_boot_loader(config, loader);
    }
    vz_boot_loader_unref(loader);
    vz_serial_port_unref(port);
    vz_serial_attachment_unref(console);
    return config;
}

int main(int argc, char **argv)
{
    struct vz_error err = {.text = "out of memory"};
    struct vz_config *config = configure(argc, argv, &err);
    struct vz_machine *machine = config ? vz_machine_new(config, NULL, &err) : NULL;
    struct vz_machine_end end = {.reason = VZ_END_ERROR};

    if (machine && vz_machine_start_wait(machine, &err) == 0)
        vz_machine_wait(machine, &end);
    else
        fprintf(stderr, "linux: %s\n", err.text);
    vz_machine_free(machine);
    vz_config_unref(config);
    return end.reason == VZ_END_ERROR;
}
