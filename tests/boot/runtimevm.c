/* SPDX-License-Identifier: MIT */
/* runtimevm KERNEL INITRD SOCKET FOLDER: a machine whose devices are changed while it runs, for
 * tests/boot/test_runtime.py. COM1 is the Unix socket; hvc0, the port "channel" and "disk" are files
 * in FOLDER. Standard input has commands, a line each; standard output an answer to each, and a line
 * for each event. The machine can be saved, and another one restored in its place, for test_save.py.
 * RUNTIMEVM_CPUS says how many CPUs it has (1); RUNTIMEVM_MEMORY: MiB (384); RUNTIMEVM_HOST: 10.0.2.2 is the host's
 * loopback; RUNTIMEVM_DEVICES has further devices for vz_config_add(), "OPTION VALUE" a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vz/vz.h>

static int pair[2] = {-1, -1};
static struct vz_config *config;
static struct vz_machine *machine;
static struct vz_machine_options options;

static void need(bool ok, const struct vz_error *err)
{
    if (ok)
        return;
    fprintf(stderr, "runtimevm: %s\n", err->text);
    exit(1);
}

/* ---- Events --------------------------------------------------------------------------------- */

static void on_opened(void *arg, struct vz_machine *m, unsigned device, unsigned port)
{
    printf("event opened %u %u\n", device, port);
}

static void on_closed(void *arg, struct vz_machine *m, unsigned device, unsigned port)
{
    printf("event closed %u %u\n", device, port);
}

static void on_lost(void *arg, struct vz_machine *m, unsigned device, const struct vz_error *err)
{
    printf("event lost %u\n", device);
}

static void on_address(void *arg, struct vz_machine *m, unsigned device,
                       const struct vz_guest_address *address)
{
    printf("event address %u %s\n", device, address->ipv4);
}

static bool on_accept(void *arg, struct vz_machine *m, struct vz_socket_connection *c)
{
    bool ok = vz_socket_connection_destination_port(c) == 1000;

    if (ok && write(vz_socket_connection_fd(c), "welcome\n", 8) != 8)
        ok = false;
    printf("event connection %u\n", vz_socket_connection_destination_port(c));
    return ok;
}

/* ---- The machine ---------------------------------------------------------------------------- */

static struct vz_serial_attachment *file_in(const char *folder, const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return vz_file_serial_attachment_new(path, false, NULL);
}

static void add_ports(struct vz_config *c, const char *socket_path, const char *folder)
{
    struct vz_serial_attachment *a[3] = {vz_unix_serial_attachment_new(socket_path, NULL),
                                         file_in(folder, "hvc0"), file_in(folder, "channel")};
    struct vz_console_port_options port = VZ_CONSOLE_PORT_OPTIONS_INIT;
    struct vz_virtio_console_options o = VZ_VIRTIO_CONSOLE_OPTIONS_INIT;
    struct vz_serial_port *com1 = vz_uart_serial_port_new(a[0], NULL);
    struct vz_serial_port *hvc0 = vz_virtio_serial_port_new(a[1], NULL);
    struct vz_console_device *d;

    port.name = "channel";
    port.attachment = a[2];
    o.ports = &port;
    o.port_count = 1;
    d = vz_virtio_console_device_new(&o, NULL);
    vz_config_add_serial_port(c, com1, NULL);
    vz_config_add_serial_port(c, hvc0, NULL);
    vz_config_add_console_device(c, d, NULL);
    vz_serial_port_unref(com1);
    vz_serial_port_unref(hvc0);
    vz_console_device_unref(d);
    for (unsigned i = 0; i < 3; i++)
        vz_serial_attachment_unref(a[i]);
}

static void add_disk(struct vz_config *c, const char *folder)
{
    struct vz_storage_attachment *image;
    struct vz_storage_device *disk;
    struct vz_error err;
    char path[4096];

    snprintf(path, sizeof(path), "%s/disk", folder);
    image = vz_disk_image_attachment_new(path, NULL, &err);
    need(image != NULL, &err);
    disk = vz_virtio_block_device_new(image, NULL, NULL);
    vz_config_add_storage_device(c, disk, NULL);
    vz_storage_attachment_unref(image);
    vz_storage_device_unref(disk);
}

static void add_devices(struct vz_config *c, char *lines)
{
    struct vz_error err;
    char *line, *value;

    while ((line = strsep(&lines, "\n"))) {
        value = strchr(line, ' ');
        if (value)
            *value++ = '\0';
        need(vz_config_add(c, line, value, &err) == 0, &err);
    }
}

static struct vz_config *make_config(char **argv)
{
    struct vz_linux_boot_loader_options b = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_virtio_balloon_options bo = VZ_VIRTIO_BALLOON_OPTIONS_INIT;
    struct vz_nat_network_options no = VZ_NAT_NETWORK_OPTIONS_INIT;
    struct vz_network_attachment *nat;
    struct vz_network_device *card;
    struct vz_socket_device *sockets = vz_virtio_socket_device_new(NULL, NULL);
    struct vz_config *c = vz_config_new(NULL, NULL);
    struct vz_balloon_device *balloon;
    struct vz_boot_loader *loader;

    no.host_loopback = getenv("RUNTIMEVM_HOST") != NULL;
    nat = vz_nat_network_attachment_new(&no, NULL);
    card = vz_virtio_network_device_new(nat, NULL, NULL);
    bo.no_free_page_reporting = true; /* or nobody could tell which of the two it was */
    balloon = vz_virtio_balloon_device_new(&bo, NULL);
    b.kernel = argv[1];
    b.initrd = argv[2];
    b.cmdline = "console=ttyS0 quiet watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=300";
    loader = vz_linux_boot_loader_new(&b, NULL);
    vz_config_set_memory_size(c, (uint64_t)(getenv("RUNTIMEVM_MEMORY") ? atoi(getenv("RUNTIMEVM_MEMORY")) : 384) << 20);
    if (getenv("RUNTIMEVM_CPUS"))
        vz_config_set_cpu_count(c, (unsigned)atoi(getenv("RUNTIMEVM_CPUS")));
    vz_config_set_boot_loader(c, loader);
    add_ports(c, argv[3], argv[4]);
    add_disk(c, argv[4]);
    vz_config_add_network_device(c, card, NULL);
    vz_config_add_balloon_device(c, balloon, NULL);
    vz_config_add_socket_device(c, sockets, NULL);
    if (getenv("RUNTIMEVM_DEVICES"))
        add_devices(c, getenv("RUNTIMEVM_DEVICES"));
    vz_boot_loader_unref(loader);
    vz_network_attachment_unref(nat);
    vz_network_device_unref(card);
    vz_balloon_device_unref(balloon);
    vz_socket_device_unref(sockets);
    return c;
}

/* ---- Commands ------------------------------------------------------------------------------- */

static int set_network(struct vz_machine *m, const char *what, struct vz_error *err)
{
    struct vz_nat_network_options o = VZ_NAT_NETWORK_OPTIONS_INIT;
    struct vz_network_attachment *a = NULL;
    int r;

    o.host_loopback = !strcmp(what, "nat-host");
    if (!strncmp(what, "nat", 3))
        a = vz_nat_network_attachment_new(&o, err);
    if (!strcmp(what, "pair")) {
        need(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, err);
        a = vz_fd_network_attachment_new(pair[0], NULL, err);
    }
    r = vz_machine_set_network_attachment(m, 0, a, err);
    vz_network_attachment_unref(a);
    return r;
}

static int set_port(struct vz_machine *m, const char *which, const char *path,
                    struct vz_error *err)
{
    struct vz_serial_attachment *a = vz_file_serial_attachment_new(path, false, err);
    int r = !strcmp(which, "hvc0") ? vz_machine_set_serial_attachment(m, 1, a, err)
                                   : vz_machine_set_console_port_attachment(m, 0, 0, a, err);

    vz_serial_attachment_unref(a);
    return r;
}

static void make_machine(void)
{
    struct vz_error err;

    machine = vz_machine_new(config, &options, &err);
    need(machine != NULL, &err);
    for (unsigned port = 1000; port < 1002; port++)
        need(vz_machine_socket_listen(machine, port, on_accept, NULL, &err) == 0, &err);
}

/* Free the machine, and have what was saved go on in another one. */
static int restore(const char *path, const char *passphrase, struct vz_error *err)
{
    struct vz_restore_options o = VZ_RESTORE_OPTIONS_INIT;

    vz_machine_free(machine);
    make_machine();
    o.passphrase = passphrase;
    return vz_machine_restore_wait(machine, path, &o, err);
}

static int save(const char *path, const char *passphrase, struct vz_error *err)
{
    struct vz_save_options o = VZ_SAVE_OPTIONS_INIT;

    o.plain_memory = passphrase && !strcmp(passphrase, "-");
    o.passphrase = o.plain_memory ? NULL : passphrase;
    o.compress = o.passphrase != NULL;
    return vz_machine_save_wait(machine, path, &o, err);
}

/* Connect to the guest, send a line, have it back. */
static int talk(struct vz_machine *m, unsigned port, struct vz_error *err)
{
    struct vz_socket_connection *c = vz_machine_socket_connect_wait(m, port, err);
    char got[16] = "";
    int fd;

    if (!c)
        return -1;
    fd = vz_socket_connection_fd(c);
    if (write(fd, "over there\n", 11) == 11 && shutdown(fd, SHUT_WR) == 0)
        (void)!read(fd, got, sizeof(got) - 1);
    vz_socket_connection_unref(c);
    return strcmp(got, "over there\n");
}

static int command(struct vz_machine *m, char *word, char *arg, char *more, struct vz_error *err)
{
    struct vz_memory_state memory = VZ_MEMORY_STATE_INIT;
    struct vz_guest_address address = VZ_GUEST_ADDRESS_INIT;
    int r = 0;

    if (!strcmp(word, "target"))
        return vz_machine_set_memory_target(m, strtoull(arg, NULL, 0) << 20, err);
    if (!strcmp(word, "net"))
        return set_network(m, arg, err);
    if (!strcmp(word, "port"))
        return set_port(m, arg, more, err);
    if (!strcmp(word, "window"))
        return vz_machine_set_serial_window(m, 1, (uint16_t)atoi(arg), (uint16_t)atoi(more), err);
    if (!strcmp(word, "talk"))
        return talk(m, (unsigned)atoi(arg), err);
    if (!strcmp(word, "pause"))
        return vz_machine_pause_wait(m, err);
    if (!strcmp(word, "resume"))
        return vz_machine_resume_wait(m, err);
    if (!strcmp(word, "save"))
        return save(arg, more[0] ? more : NULL, err);
    if (!strcmp(word, "restore"))
        return restore(arg, more[0] ? more : NULL, err);
    if (!strcmp(word, "hangup"))
        return close(pair[1]);
    if (!strcmp(word, "memory")) {
        r = vz_machine_memory_state(m, &memory, err);
        printf("memory %u\n", (unsigned)(memory.actual >> 20));
    } else if (!strcmp(word, "address")) {
        r = vz_machine_guest_address(m, 0, &address, err);
        printf("address %s\n", address.ipv4);
    }
    return r;
}

static void obey(void)
{
    char line[4096], word[32], arg[512], more[3500];
    struct vz_error err;

    while (fgets(line, sizeof(line), stdin)) {
        err.text[0] = word[0] = arg[0] = more[0] = '\0';
        sscanf(line, "%31s %511s %3499s", word, arg, more);
        if (command(machine, word, arg, more, &err) == 0)
            printf("ok\n");
        else
            printf("error %s\n", err.text);
    }
}

int main(int argc, char **argv)
{
    struct vz_machine_delegate d = VZ_MACHINE_DELEGATE_INIT;
    struct vz_machine_end end;
    struct vz_error err = {.text = "usage"};

    need(argc == 5, &err);
    setvbuf(stdout, NULL, _IOLBF, 0);
    d.console_port_opened = on_opened;
    d.console_port_closed = on_closed;
    d.network_disconnected = on_lost;
    d.guest_address_changed = on_address;
    options = (struct vz_machine_options)VZ_MACHINE_OPTIONS_INIT;
    options.delegate = &d;
    config = make_config(argv);
    make_machine();
    need(vz_machine_start_wait(machine, &err) == 0, &err);
    printf("started\n");
    obey();
    vz_machine_wait(machine, &end);
    printf("end %d\n", end.reason);
    vz_machine_free(machine);
    vz_config_unref(config);
    return 0;
}
