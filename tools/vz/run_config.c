/* SPDX-License-Identifier: MIT */
/* From the command line of `vz run` to a configuration. Options are only looked at one by one here;
 * that the whole makes sense is for vz_config_validate(). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vz/vz.h>

#include "cli.h"

static bool set_text(const char **to, const char *name, const char *value)
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
    return set_text(&((struct run_options *)arg)->kernel, name, value);
}

static bool set_initrd(void *arg, const char *name, const char *value)
{
    return set_text(&((struct run_options *)arg)->initrd, name, value);
}

static bool set_cmdline(void *arg, const char *name, const char *value)
{
    ((struct run_options *)arg)->cmdline = value;
    return true;
}

static bool set_memory_bytes(struct run_options *o, const char *name, const char *value,
                             uint64_t bytes)
{
    uint64_t min = vz_config_memory_min(), max = vz_config_memory_max();

    if (bytes < min || bytes > max) {
        cli_error("--%s %s: this host allows %lluM to %lluM", name, value,
                  (unsigned long long)(min >> 20), (unsigned long long)(max >> 20));
        return false;
    }
    if (bytes % (1 << 20)) {
        cli_error("--%s %s: expected a multiple of 1M", name, value);
        return false;
    }
    o->memory_size = bytes;
    return true;
}

static bool set_memory(void *arg, const char *name, const char *value)
{
    uint64_t bytes;

    if (!opts_size(value, &bytes)) {
        cli_error("--%s '%s': expected a number of bytes, or one with K, M or G behind", name,
                  value);
        return false;
    }
    return set_memory_bytes(arg, name, value, bytes);
}

/* vftool's -m: megabytes, unless a unit says otherwise. */
static bool set_megabytes(void *arg, const char *name, const char *value)
{
    unsigned megabytes;

    if (opts_unsigned(value, &megabytes))
        return set_memory_bytes(arg, "memory", value, (uint64_t)megabytes << 20);
    return set_memory(arg, "memory", value);
}

static bool set_cpus(void *arg, const char *name, const char *value)
{
    struct run_options *o = arg;

    if (!opts_unsigned(value, &o->cpu_count) || o->cpu_count < 1 ||
        o->cpu_count > vz_config_cpu_max()) {
        cli_error("--%s '%s': expected a number from 1 to %u", name, value, vz_config_cpu_max());
        return false;
    }
    return true;
}

static bool set_accel(void *arg, const char *name, const char *value)
{
    if (strcmp(value, "auto") && strcmp(value, "kvm") && strcmp(value, "soft")) {
        cli_error("--%s '%s': expected auto, kvm or soft", name, value);
        return false;
    }
    ((struct run_options *)arg)->accel = value;
    return true;
}

static bool set_cpu(void *arg, const char *name, const char *value)
{
    if (strcmp(value, "default") && strcmp(value, "host")) {
        cli_error("--%s '%s': expected default or host", name, value);
        return false;
    }
    ((struct run_options *)arg)->host_cpu = value[0] == 'h';
    return true;
}

static bool set_memory_prealloc(void *arg, const char *name, const char *value)
{
    return ((struct run_options *)arg)->memory_preallocate = true;
}

static bool set_memory_huge(void *arg, const char *name, const char *value)
{
    return ((struct run_options *)arg)->memory_huge_pages = true;
}

static bool set_uuid(void *arg, const char *name, const char *value)
{
    struct vz_machine_identifier id;

    if (vz_machine_identifier_parse(value, &id) < 0) {
        cli_error("--%s '%s': expected a UUID", name, value);
        return false;
    }
    ((struct run_options *)arg)->uuid = value;
    return true;
}

static bool set_line(const char **to, const char *name, const char *value)
{
    static const char *const words[] = {"stdio", "null", "pty"};

    *to = value;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strcmp(value, words[i]))
            return true;
    }
    if ((!strncmp(value, "file:", 5) || !strncmp(value, "unix:", 5)) && value[5])
        return true;
    cli_error("--%s '%s': expected stdio, null, pty, file:PATH or unix:PATH", name, value);
    return false;
}

static bool set_serial(void *arg, const char *name, const char *value)
{
    return set_line(&((struct run_options *)arg)->serial, name, value);
}

static bool set_console(void *arg, const char *name, const char *value)
{
    struct run_options *o = arg;

    if (o->console_count == CONSOLES_MAX) {
        cli_error("--%s '%s': there are %u already", name, value, CONSOLES_MAX);
        return false;
    }
    return set_line(&o->console[o->console_count++], name, value);
}

static bool set_disk(void *arg, const char *name, const char *value)
{
    return run_devices_disk(((struct run_options *)arg)->config, "disk", value, false);
}

/* A disk like another one, and the kernel is on it. */
static bool set_boot_disk(void *arg, const char *name, const char *value)
{
    struct run_options *o = arg;
    char *rest;

    if (o->boot_disk) {
        cli_error("--boot-disk is given twice");
        return false;
    }
    if (!run_devices_disk(o->config, name, value, false))
        return false;
    rest = o->boot_disk = strdup(value);
    if (!rest)
        return cli_no_memory();
    (void)opts_member(&rest); /* the first one is the path */
    return true;
}

static bool set_cdrom(void *arg, const char *name, const char *value)
{
    return run_devices_disk(((struct run_options *)arg)->config, "cdrom", value, true);
}

static bool set_net(void *arg, const char *name, const char *value)
{
    return run_devices_net(((struct run_options *)arg)->devices, name, value);
}

static bool set_mac(void *arg, const char *name, const char *value)
{
    return run_devices_mac(((struct run_options *)arg)->devices, name, value);
}

static bool set_forward(void *arg, const char *name, const char *value)
{
    return run_devices_forward(((struct run_options *)arg)->devices, name, value);
}

static bool set_rng(void *arg, const char *name, const char *value)
{
    return run_devices_rng(((struct run_options *)arg)->config);
}

static bool set_balloon(void *arg, const char *name, const char *value)
{
    return run_devices_balloon(((struct run_options *)arg)->config, name, value);
}

static bool set_vsock(void *arg, const char *name, const char *value)
{
    return run_sockets_option(((struct run_options *)arg)->sockets, name, value);
}

/* --config has been looked for before all others. */
static bool skip_config(void *arg, const char *name, const char *value)
{
    if (!strcmp(value, ((struct run_options *)arg)->config_file))
        return true;
    cli_error("--%s '%s': there is one configuration, and another --%s follows", name, value, name);
    return false;
}

/* vftool's -t. */
static bool set_terminal(void *arg, const char *name, const char *value)
{
    if (strcmp(value, "0") && strcmp(value, "1")) {
        cli_error("-t '%s': expected 0 (standard input and output) or 1 (a pty)", value);
        return false;
    }
    ((struct run_options *)arg)->serial = value[0] == '0' ? "stdio" : "pty";
    return true;
}

static bool set_no_reboot(void *arg, const char *name, const char *value)
{
    return ((struct run_options *)arg)->no_reboot = true;
}

static bool set_jit(void *arg, const char *name, const char *value)
{
    ((struct run_options *)arg)->jit = value;
    return true;
}

static bool set_debug_exit(void *arg, const char *name, const char *value)
{
    return ((struct run_options *)arg)->debug_exit = true;
}

static bool set_stats(void *arg, const char *name, const char *value)
{
    return ((struct run_options *)arg)->stats = true;
}

static bool set_print_config(void *arg, const char *name, const char *value)
{
    return ((struct run_options *)arg)->print_config = true;
}

static const struct opt table[] = {
    OPT("config", OPT_ALWAYS, 0, skip_config),
    OPT("kernel", OPT_ALWAYS, 'k', set_kernel),
    OPT("initrd", OPT_ALWAYS, 'i', set_initrd),
    OPT("cmdline", OPT_ALWAYS, 'a', set_cmdline),
    OPT("memory", OPT_ALWAYS, 0, set_memory),
    OPT("", OPT_ALWAYS, 'm', set_megabytes),
    OPT("cpus", OPT_ALWAYS, 'p', set_cpus),
    OPT("memory-prealloc", OPT_NEVER, 0, set_memory_prealloc),
    OPT("memory-huge", OPT_NEVER, 0, set_memory_huge),
    OPT("accel", OPT_ALWAYS, 0, set_accel),
    OPT("cpu", OPT_ALWAYS, 0, set_cpu),
    OPT("jit", OPT_ALWAYS, 0, set_jit),
    OPT("uuid", OPT_ALWAYS, 0, set_uuid),
    OPT("serial", OPT_ALWAYS, 0, set_serial),
    OPT("", OPT_ALWAYS, 't', set_terminal),
    OPT("console", OPT_ALWAYS, 0, set_console),
    OPT("disk", OPT_ALWAYS, 'd', set_disk),
    OPT("boot-disk", OPT_ALWAYS, 0, set_boot_disk),
    OPT("cdrom", OPT_ALWAYS, 'c', set_cdrom),
    OPT("net", OPT_ALWAYS, 0, set_net),
    OPT("mac", OPT_ALWAYS, 0, set_mac),
    OPT("forward", OPT_ALWAYS, 0, set_forward),
    OPT("vsock", OPT_MAYBE, 0, set_vsock),
    OPT("balloon", OPT_MAYBE, 0, set_balloon),
    OPT("rng", OPT_NEVER, 0, set_rng),
    OPT("no-reboot", OPT_NEVER, 0, set_no_reboot),
    OPT("debug-exit", OPT_NEVER, 0, set_debug_exit),
    OPT("stats", OPT_NEVER, 0, set_stats),
    OPT("print-config", OPT_NEVER, 0, set_print_config),
    {NULL, OPT_NEVER, 0, NULL},
};

/* ---- The configuration ---------------------------------------------------------------------- */

/* The whole file, or NULL after cli_error(). */
static char *read_file(const char *path, size_t *ret_len)
{
    static const size_t max = 1 << 20; /* no configuration is that long */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = malloc(max);
    size_t len = 0;
    ssize_t n = -1;

    if (fd >= 0 && text) {
        while ((n = read(fd, text + len, max - len)) > 0)
            len += (size_t)n;
    }
    if (n < 0)
        cli_error("%s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (n < 0) {
        free(text);
        return NULL;
    }
    *ret_len = len;
    return text;
}

static struct vz_config *from_file(const char *path, int *ret_status)
{
    struct vz_error err;
    struct vz_config *c;
    size_t len;
    char *text = read_file(path, &len);

    *ret_status = EXIT_FAILED;
    if (!text)
        return NULL;
    c = vz_config_from_json(text, len, &err);
    if (!c)
        cli_error("%s: %s", path, err.text);
    free(text);
    return c;
}

static bool add_boot_loader(struct run_options *o, struct vz_error *err)
{
    struct vz_linux_boot_loader_options b = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_boot_loader *loader;

    if (!o->kernel && !o->boot_disk)
        return true;
    b.disk = o->boot_disk;
    b.kernel = o->kernel;
    b.initrd = o->initrd;
    b.cmdline = o->cmdline;
    loader = vz_linux_boot_loader_new(&b, err);
    vz_config_set_boot_loader(o->config, loader);
    vz_boot_loader_unref(loader);
    return loader != NULL;
}

/* Add a port that leads to where; virtio: hvc0 instead of COM1. */
static bool add_port(struct vz_config *config, const char *where, bool virtio,
                     struct vz_error *err)
{
    struct vz_serial_attachment *a;
    struct vz_serial_port *port;
    int r;

    if (!strcmp(where, "stdio"))
        a = vz_stdio_serial_attachment_new(err);
    else if (!strcmp(where, "null"))
        a = vz_null_serial_attachment_new(err);
    else if (!strcmp(where, "pty"))
        a = vz_pty_serial_attachment_new(err);
    else if (!strncmp(where, "unix:", 5))
        a = vz_unix_serial_attachment_new(where + 5, err);
    else
        a = vz_file_serial_attachment_new(where + strlen("file:"), false, err);
    port = !a ? NULL : virtio ? vz_virtio_serial_port_new(a, err) : vz_uart_serial_port_new(a, err);
    r = vz_config_add_serial_port(config, port);
    vz_serial_port_unref(port);
    vz_serial_attachment_unref(a);
    return r == 0;
}

/* Standard input and output belong to COM1, unless something else was given them. */
static bool add_serial(struct run_options *o, struct vz_error *err)
{
    const char *serial = o->serial;

    bool stdio_used = false;

    for (unsigned i = 0; i < o->console_count; i++)
        stdio_used = stdio_used || !strcmp(o->console[i], "stdio");
    if (!serial && !o->config_file && !stdio_used)
        serial = "stdio";
    if (serial && !add_port(o->config, serial, false, err))
        return false;
    for (unsigned i = 0; i < o->console_count; i++) {
        if (!add_port(o->config, o->console[i], true, err))
            return false;
    }
    return true;
}

static bool add_platform(struct run_options *o, struct vz_error *err)
{
    struct vz_generic_platform_options p = VZ_GENERIC_PLATFORM_OPTIONS_INIT;
    struct vz_machine_identifier id;
    struct vz_platform *platform;

    if (!o->uuid)
        return true;
    vz_machine_identifier_parse(o->uuid, &id);
    p.machine_identifier = &id;
    platform = vz_generic_platform_new(&p, err);
    vz_config_set_platform(o->config, platform);
    vz_platform_unref(platform);
    return platform != NULL;
}

/* What the options say, on top of what the file says. */
static bool apply(struct run_options *o, struct vz_error *err)
{
    if (o->memory_size)
        vz_config_set_memory_size(o->config, o->memory_size);
    if (o->cpu_count)
        vz_config_set_cpu_count(o->config, o->cpu_count);
    if (o->no_reboot)
        vz_config_set_stop_at_reset(o->config, true);
    if (o->debug_exit)
        vz_config_set_debug_exit(o->config, true);
    if (o->memory_preallocate)
        vz_config_set_memory_preallocate(o->config, true);
    if (o->memory_huge_pages)
        vz_config_set_memory_huge_pages(o->config, true);
    if (o->host_cpu)
        vz_config_set_host_cpu(o->config, true);
    if (o->jit) {
        vz_config_set_interpret_only(o->config, false);
        if (vz_config_set_jit(o->config, o->jit) < 0)
            return false;
    }
    if (o->accel && vz_config_set_accel(o->config, o->accel) < 0)
        return false;
    return add_platform(o, err) && add_boot_loader(o, err) && add_serial(o, err);
}

static bool check_combination(const struct run_options *o)
{
    if (o->boot_disk && (o->kernel || o->initrd)) {
        cli_error("--%s and --boot-disk: the kernel and initrd are the disk's",
                  o->kernel ? "kernel" : "initrd");
        return false;
    }
    if (o->boot_disk)
        return true;
    if (!o->kernel && (o->initrd || o->cmdline)) {
        cli_error("--%s goes with --kernel, which is missing%s (see 'vz run --help')",
                  o->initrd ? "initrd" : "cmdline",
                  o->config_file ? ": the configuration's own kernel has its own" : "");
        return false;
    }
    if (!o->kernel && !o->config_file) {
        cli_error("option '--kernel' is missing (see 'vz run --help')");
        return false;
    }
    return true;
}

static bool prepare(int argc, char **argv, struct run_options *o, int *ret_status)
{
    *ret_status = EXIT_FAILED;
    o->config_file = opts_find(argc, argv, table, "config");
    o->devices = run_devices_new();
    o->sockets = run_sockets_new();
    if (o->config_file)
        o->config = from_file(o->config_file, ret_status);
    else
        o->config = vz_config_new(NULL, NULL);
    if ((!o->config && !o->config_file) || !o->devices || !o->sockets)
        cli_error("out of memory");
    return o->config && o->devices && o->sockets;
}

bool run_options_parse(int argc, char **argv, struct run_options *o, int *ret_status)
{
    struct vz_error err = {.text = "out of memory"};

    if (!prepare(argc, argv, o, ret_status))
        return false;
    *ret_status = EXIT_USAGE;
    if (!opts_parse(argc, argv, table, "vz run", o) || !check_combination(o) ||
        !run_devices_finish(o->devices, o->config) || !run_sockets_finish(o->sockets, o->config))
        return false;
    if (apply(o, &err))
        return true;
    cli_error("%s", err.text);
    *ret_status = EXIT_FAILED;
    return false;
}

void run_options_free(struct run_options *o)
{
    free(o->boot_disk);
    run_devices_free(o->devices);
    run_sockets_free(o->sockets);
    vz_config_unref(o->config);
}
