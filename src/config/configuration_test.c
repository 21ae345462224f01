/* SPDX-License-Identifier: MIT */
/* What configurations keep, what they refuse, and their JSON form. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vz/saved_state.h>

#include "config/objects.h"

struct problems {
    unsigned count;
    char text[8192]; /* "object: text\n" each */
};

static void note(void *arg, const struct vz_problem *p)
{
    struct problems *all = arg;
    size_t len = strlen(all->text);

    ck_assert_int_ne(p->code, VZ_ERROR_NONE);
    all->count++;
    snprintf(all->text + len, sizeof(all->text) - len, "%s: %s\n", p->object, p->text);
}

static struct problems validate(const struct vz_config *c)
{
    struct problems all = {0};
    struct vz_error err = {0};
    int r = vz_config_validate(c, note, &all, &err);

    ck_assert_int_eq(r, all.count ? -1 : 0);
    if (all.count)
        ck_assert_msg(!strncmp(err.text, all.text, strlen(err.text)), "%s", err.text);
    return all;
}

static void expect(const struct problems *all, const char *line)
{
    ck_assert_msg(strstr(all->text, line) != NULL, "no '%s' in\n%s", line, all->text);
}

static struct vz_config *good(void)
{
    struct vz_linux_boot_loader_options b = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;
    struct vz_boot_loader *loader;
    struct vz_config *c;

    b.kernel = "/dev/null";
    o.memory_size = 64u << 20;
    o.accel = "fake";
    c = vz_config_new(&o, NULL);
    loader = vz_linux_boot_loader_new(&b, NULL);
    vz_config_set_boot_loader(c, loader);
    vz_boot_loader_unref(loader);
    return c;
}

static void add_disk(struct vz_config *c, const char *path, const char *identifier)
{
    struct vz_virtio_block_options o = VZ_VIRTIO_BLOCK_OPTIONS_INIT;
    struct vz_storage_attachment *a = vz_disk_image_attachment_new(path, NULL, NULL);
    struct vz_storage_device *d;

    o.identifier = identifier;
    d = vz_virtio_block_device_new(a, &o, NULL);
    ck_assert_int_eq(vz_config_add_storage_device(c, d, NULL), 0);
    vz_storage_device_unref(d);
    vz_storage_attachment_unref(a);
}

static void add_card(struct vz_config *c, const char *mac, struct vz_network_attachment *a)
{
    struct vz_virtio_network_options o = VZ_VIRTIO_NETWORK_OPTIONS_INIT;
    struct vz_mac_address address;
    struct vz_network_device *d;

    ck_assert_int_eq(vz_mac_address_parse(mac, &address), 0);
    o.mac = &address;
    d = vz_virtio_network_device_new(a, &o, NULL);
    ck_assert_int_eq(vz_config_add_network_device(c, d, NULL), 0);
    vz_network_device_unref(d);
    vz_network_attachment_unref(a);
}

START_TEST(config_that_is_fine_validates)
{
    struct vz_config *c = good();
    struct problems all = validate(c);

    ck_assert_msg(!all.count, "%s", all.text);
    vz_config_unref(c);
    vz_config_unref(NULL);
    all = validate(NULL);
    expect(&all, "configuration: there is none");
    ck_assert_ptr_null(vz_config_to_json(NULL, NULL));
    c = good();
    ck_assert_int_eq(vz_config_set_accel(c, NULL, NULL), 0);
    ck_assert_str_eq(c->options.accel, "auto");
    vz_config_unref(c);
}
END_TEST

START_TEST(config_names_every_problem_in_one_pass)
{
    struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;
    struct vz_port_forward forward = {.size = sizeof(forward), .host = "nowhere", .host_port = 80};
    struct vz_nat_network_options nat = VZ_NAT_NETWORK_OPTIONS_INIT;
    struct vz_fd_network_options fd = VZ_FD_NETWORK_OPTIONS_INIT;
    struct vz_balloon_device *balloon = vz_virtio_balloon_device_new(NULL, NULL);
    struct vz_socket_device *vsock = vz_virtio_socket_device_new(NULL, NULL);
    struct vz_serial_attachment *file =
        vz_file_serial_attachment_new("/nonexistent/log", false, NULL);
    struct vz_serial_port *port = vz_uart_serial_port_new(file, NULL);
    struct vz_config *c;
    struct problems all;

    o.label = "   ";
    o.cpu_count = 0;
    o.memory_size = (64u << 20) + 4096;
    o.accel = "warp";
    nat.forwards = &forward;
    nat.forward_count = 1;
    fd.mtu = 1499;
    c = vz_config_new(&o, NULL);
    vz_config_add_serial_port(c, port, NULL);
    vz_config_add_serial_port(c, port, NULL);
    add_disk(c, "/nonexistent/disk", "123456789012345678901");
    add_disk(c, "/etc", "good");
    add_card(c, "01:00:00:00:00:01", vz_nat_network_attachment_new(&nat, NULL));
    add_card(c, "00:00:00:00:00:00", vz_fd_network_attachment_new(-1, &fd, NULL));
    for (unsigned i = 0; i < 2; i++) {
        vz_config_add_balloon_device(c, balloon, NULL);
        vz_config_add_socket_device(c, vsock, NULL);
    }
    all = validate(c);
    expect(&all, "label: ");
    expect(&all, "accel: accelerator 'warp' is unknown");
    expect(&all, "cpus: CPU count 0");
    expect(&all, "memory: memory size 67112960 is not a multiple of 1 MiB");
    expect(&all, "bootLoader: no boot loader");
    expect(&all, "serialPorts[0]: /nonexistent/log: No such file");
    expect(&all, "serialPorts[1]: a machine has at most 1 device of type uart");
    expect(&all, "storageDevices[0]: /nonexistent/disk: No such file");
    expect(&all, "storageDevices[0]: identifier '123456789012345678901' is longer than 20");
    expect(&all, "storageDevices[1]: /etc: ");
    expect(&all, "networkDevices[0]: MAC address 01:00:00:00:00:01 is not a unicast");
    expect(&all, "networkDevices[0].attachment.forwards[0]: 'nowhere' is not an IP address");
    expect(&all, "networkDevices[0].attachment.forwards[0]: forwarded port 0 is not between 1");
    expect(&all, "networkDevices[1]: MAC address is all zeros");
    expect(&all, "networkDevices[1]: MTU 1499 is not between 1500 and 65535");
    expect(&all, "networkDevices[1]: file descriptor -1 is not open");
    expect(&all, "memoryBalloonDevices[1]: a machine has at most 1");
    expect(&all, "socketDevices[1]: a machine has at most 1");
    vz_config_unref(c);
    vz_balloon_device_unref(balloon);
    vz_socket_device_unref(vsock);
    vz_serial_attachment_unref(file);
    vz_serial_port_unref(port);
}
END_TEST

START_TEST(config_checks_balloon_and_sockets)
{
    enum { SIZE = sizeof(struct vz_socket_forward) };
    static const struct vz_socket_forward forward[] = {
        {SIZE, true, 1, "/nonexistent/socket"}, {SIZE, true, UINT32_MAX, "/etc"}, {SIZE, true, 2, "/nonexistent/socket"},
        {SIZE, false, 7, "/nonexistent/fine"}, {SIZE, false, 7, "/x"},
    };
    struct vz_virtio_balloon_options b = VZ_VIRTIO_BALLOON_OPTIONS_INIT;
    struct vz_virtio_socket_options s = VZ_VIRTIO_SOCKET_OPTIONS_INIT;
    struct vz_config *c = vz_config_new(NULL, NULL);
    struct vz_balloon_device *balloon;
    struct vz_socket_device *vsock;
    struct problems all;

    b.minimum_size = UINT64_C(1) << 40;
    b.target_size = (UINT64_C(1) << 40) - 1;
    s.guest_cid = 2;
    s.forwards = forward;
    s.forward_count = 5;
    balloon = vz_virtio_balloon_device_new(&b, NULL);
    vsock = vz_virtio_socket_device_new(&s, NULL);
    vz_config_add_balloon_device(c, balloon, NULL);
    vz_config_add_socket_device(c, vsock, NULL);
    all = validate(c);
    expect(&all, "memoryBalloonDevices[0]: minimum size");
    expect(&all, "memoryBalloonDevices[0]: target size");
    expect(&all, "is below the minimum size");
    expect(&all, "socketDevices[0]: CID 2 is not between 3 and 4294967294");
    expect(&all, "socketDevices[0].forwards[0]: /nonexistent/socket: No such file");
    expect(&all, "socketDevices[0].forwards[1]: port 4294967295 is none");
    expect(&all, "socketDevices[0].forwards[1]: /etc: File exists");
    expect(&all, "socketDevices[0].forwards[2]: /nonexistent/socket is another socket's path too");
    expect(&all, "socketDevices[0].forwards[4]: port 7 is that of forwards[3]");
    vz_balloon_device_unref(balloon);
    vz_socket_device_unref(vsock);
    vz_config_unref(c);
    s.forward_count = VZ_SOCKET_FORWARDS_MAX + 1;
    ck_assert_ptr_null(vz_virtio_socket_device_new(&s, NULL));
}
END_TEST

START_TEST(config_does_not_ignore_the_host_cpu_in_silence)
{
    struct vz_config *c = good();
    struct problems all;

    vz_config_set_host_cpu(c, true);
    vz_config_set_accel(c, "soft", NULL);
    all = validate(c);
    ck_assert_uint_eq(all.count, 1);
    expect(&all, "hostCpu: the software CPU cannot be the host's");
    vz_config_unref(c);
}
END_TEST

START_TEST(config_limits_memory_and_cpus)
{
    static const struct {
        uint64_t memory;
        unsigned cpus;
    } bad[] = {{0, 1}, {1 << 20, 1}, {UINT64_MAX, 1}, {64 << 20, 65}, {(64 << 20) + 1, 1}};
    struct vz_config *c = good();

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        vz_config_set_memory_size(c, bad[i].memory);
        vz_config_set_cpu_count(c, bad[i].cpus);
        ck_assert_int_eq(vz_config_validate(c, NULL, NULL, NULL), -1);
    }
    vz_config_set_memory_size(c, vz_config_memory_min());
    vz_config_set_cpu_count(c, vz_config_cpu_max());
    ck_assert_int_eq(vz_config_validate(c, NULL, NULL, NULL), 0);
    vz_config_unref(c);
}
END_TEST

static void add_nvme(struct vz_config *c, const char *path, const char *identifier)
{
    struct vz_nvme_options options = VZ_NVME_OPTIONS_INIT;
    struct vz_disk_image_options image = VZ_DISK_IMAGE_OPTIONS_INIT;
    struct vz_storage_attachment *a;
    struct vz_storage_device *d;

    image.read_only = true;
    a = vz_disk_image_attachment_new(path, &image, NULL);
    options.identifier = identifier;
    d = vz_nvme_device_new(a, &options, NULL);
    ck_assert_int_eq(vz_config_add_storage_device(c, d, NULL), 0);
    vz_storage_device_unref(d);
    vz_storage_attachment_unref(a);
}

static void add_namespace(struct vz_config *c, const char *path, const char *controller)
{
    struct vz_nvme_namespace_options options = VZ_NVME_NAMESPACE_OPTIONS_INIT;
    struct vz_disk_image_options image = VZ_DISK_IMAGE_OPTIONS_INIT;
    struct vz_storage_attachment *a;
    struct vz_storage_device *d;

    image.read_only = true;
    a = vz_disk_image_attachment_new(path, &image, NULL);
    options.controller = controller;
    d = vz_nvme_namespace_new(a, &options, NULL);
    ck_assert_int_eq(vz_config_add_storage_device(c, d, NULL), 0);
    vz_storage_device_unref(d);
    vz_storage_attachment_unref(a);
}

START_TEST(namespaces_have_a_controller)
{
    char path[] = "/tmp/vz-disk-test.XXXXXX";
    int fd = mkstemp(path);
    struct vz_config *c = good();
    struct problems all;

    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    add_namespace(c, path, NULL); /* none before it */
    add_nvme(c, path, "a");
    add_nvme(c, path, "b");
    add_namespace(c, path, "a");
    add_namespace(c, path, "c");
    for (unsigned i = 0; i < 33; i++) /* of "b": they, and its own */
        add_namespace(c, path, NULL);
    all = validate(c);
    expect(&all, "storageDevices[0]: there is no NVMe controller before it");
    expect(&all, "storageDevices[4]: no NVMe controller has the identifier 'c'");
    expect(&all, "storageDevices[36]: an NVMe controller has room for 32 namespaces");
    vz_config_unref(c);
    unlink(path);
    close(fd);
}
END_TEST

static void add_usb(struct vz_config *c, const char *device, const char *uuid)
{
    struct vz_usb_host_options o = VZ_USB_HOST_OPTIONS_INIT;
    struct vz_usb_device *d;

    o.uuid = uuid;
    d = vz_usb_host_device_new(device, &o, NULL);
    ck_assert_int_eq(vz_config_add_usb_device(c, d, NULL), 0);
    vz_usb_device_unref(d);
}

START_TEST(usb_devices_of_the_host_are_named_once)
{
    const char *uuid = "12345678-9abc-4def-8012-3456789abcde";
    struct vz_config *c = good();
    struct problems all;
    struct vz_error err = {0};

    add_usb(c, "1-2", uuid);
    ck_assert_uint_eq(validate(c).count, 0); /* whether it is there is seen when it is opened */
    ck_assert_ptr_nonnull(vz_config_usb_device(c, 0));
    ck_assert_ptr_null(vz_config_usb_device(c, 1));
    ck_assert_int_eq(vz_config_validate_save_restore_support(c, &err), -1);
    ck_assert_int_eq(err.code, VZ_ERROR_UNSUPPORTED);
    add_usb(c, "046d:c52b", uuid);
    add_usb(c, "1-2", NULL);
    add_usb(c, "printer", "12345678-9ABC-4def-8012-3456789abcde");
    all = validate(c);
    expect(&all, "usbDevices[1]: usbDevices[0] has the same UUID");
    expect(&all, "usbDevices[2]: usbDevices[0] is the same device");
    expect(&all, "usbDevices[3]: 'printer' is no USB device");
    expect(&all, "usbDevices[3]: the UUID '12345678-9ABC-4def-8012-3456789abcde' is not in lower case");
    ck_assert_uint_eq(all.count, 4);
    ck_assert_ptr_null(vz_usb_host_device_new(NULL, NULL, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    vz_config_unref(c);
}
END_TEST

START_TEST(nvme_controllers_have_names_of_their_own)
{
    char path[] = "/tmp/vz-disk-test.XXXXXX";
    int fd = mkstemp(path);
    struct vz_config *c = good();
    struct problems all;

    ck_assert_int_eq(ftruncate(fd, 4096), 0);
    add_nvme(c, path, "vz2");
    add_nvme(c, path, NULL);
    add_nvme(c, path, NULL); /* vz2 as well */
    add_nvme(c, path, "a");
    add_nvme(c, path, "a");
    all = validate(c);
    expect(&all, "storageDevices[2]: storageDevices[0] is an NVMe controller with the identifier 'vz2' already");
    expect(&all, "storageDevices[4]: storageDevices[3] is an NVMe controller with the identifier 'a' already");
    vz_config_unref(c);
    unlink(path);
    close(fd);
}
END_TEST

START_TEST(config_refuses_a_disk_written_twice_and_odd_sizes)
{
    char path[] = "/tmp/vz-disk-test.XXXXXX", link[64];
    int fd = mkstemp(path);
    struct vz_config *c = good();
    struct problems all;

    ck_assert_int_eq(ftruncate(fd, 1000), 0);
    snprintf(link, sizeof(link), "%s.link", path);
    ck_assert_int_eq(symlink(path, link), 0);
    add_disk(c, path, NULL);
    add_disk(c, link, NULL);
    all = validate(c);
    expect(&all, "its size, 1000 bytes, is not a multiple of 512");
    expect(&all, "is in use by storageDevices[0] too");
    vz_config_unref(c);
    unlink(link);
    unlink(path);
    close(fd);
}
END_TEST

START_TEST(config_sees_what_two_devices_cannot_share)
{
    struct vz_port_forward forward = {.size = sizeof(forward), .host_port = 2222, .guest_port = 22};
    struct vz_nat_network_options nat = VZ_NAT_NETWORK_OPTIONS_INIT;
    struct vz_serial_attachment *a = vz_unix_serial_attachment_new("/tmp/vz-no-such-socket", NULL);
    struct vz_serial_port *p = vz_virtio_serial_port_new(a, NULL);
    struct vz_config *c = good();
    struct problems all;

    nat.forwards = &forward;
    nat.forward_count = 1;
    add_card(c, "02:00:00:00:00:01", vz_nat_network_attachment_new(&nat, NULL));
    add_card(c, "02:00:00:00:00:02", vz_nat_network_attachment_new(&nat, NULL));
    vz_config_add_serial_port(c, p, NULL);
    vz_config_add_serial_port(c, p, NULL);
    all = validate(c);
    ck_assert_uint_eq(all.count, 2);
    expect(&all, "networkDevices[1].attachment.forwards[0]: TCP port 2222 of 127.0.0.1 is "
                 "forwarded twice");
    expect(&all, ": /tmp/vz-no-such-socket is another socket's path too");
    vz_config_unref(c);
    vz_serial_port_unref(p);
    vz_serial_attachment_unref(a);
}
END_TEST

START_TEST(labels_are_counted_in_characters)
{
    struct vz_config *c;
    char label[2 * 65 + 1] = "";

    for (unsigned n = 1; n <= 65; n++) {
        struct vz_config_options o = VZ_CONFIG_OPTIONS_INIT;

        strcat(label, "\xc3\xa9");
        if (n < 64)
            continue;
        o.label = label;
        c = vz_config_new(&o, NULL);
        ck_assert_int_eq(strstr(validate(c).text, "label: ") == NULL, n == 64);
        vz_config_unref(c);
    }
}
END_TEST

START_TEST(config_checks_network_sockets_and_duplicates)
{
    struct vz_config *c = good();
    struct problems all;
    int stream[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, stream), 0);
    add_card(c, "02:00:00:00:00:01", vz_fd_network_attachment_new(stream[0], NULL, NULL));
    add_card(c, "02:00:00:00:00:01", vz_tap_network_attachment_new("a-name-that-is-too-long", NULL));
    add_card(c, "02:00:00:00:00:02", vz_bridged_network_attachment_new("vz-no-bridge", NULL));
    all = validate(c);
    expect(&all, "networkDevices[0]: file descriptor");
    expect(&all, "is not a datagram socket");
    expect(&all, "networkDevices[1]: MAC address 02:00:00:00:00:01 is that of networkDevices[0]");
    expect(&all, "networkDevices[1]: 'a-name-that-is-too-long' cannot be");
    expect(&all, "networkDevices[2]: there is no interface vz-no-bridge");
    vz_config_unref(c);
    close(stream[0]);
    close(stream[1]);
}
END_TEST

START_TEST(options_grow_and_strings_are_copied)
{
    struct {
        struct vz_linux_boot_loader_options o;
        long more;
    } newer = {.o = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT};
    char kernel[] = "vmlinuz";
    struct vz_boot_loader *b;
    struct vz_error err = {0};

    newer.o.kernel = kernel;
    newer.o.initrd = "initrd";
    newer.o.size = offsetof(struct vz_linux_boot_loader_options, initrd); /* an older program */
    b = vz_linux_boot_loader_new(&newer.o, NULL);
    kernel[0] = 'X';
    ck_assert_str_eq(b->options.kernel, "vmlinuz");
    ck_assert_ptr_null(b->options.initrd);
    vz_boot_loader_unref(b);

    newer.o.size = sizeof(newer); /* a newer one: fine while it asks for nothing new */
    b = vz_linux_boot_loader_new(&newer.o, NULL);
    ck_assert_ptr_nonnull(b);
    vz_boot_loader_unref(b);
    newer.more = 1;
    ck_assert_ptr_null(vz_linux_boot_loader_new(&newer.o, &err));
    ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
    newer.o.size = 0;
    ck_assert_ptr_null(vz_linux_boot_loader_new(&newer.o, &err));
}
END_TEST

/* Elements of arrays are as long as the program knows them. */
START_TEST(modules_grow_too)
{
    struct {
        struct vz_boot_module m;
        long more;
    } newer[2] = {{.m = VZ_BOOT_MODULE_INIT}, {.m = VZ_BOOT_MODULE_INIT}};
    struct vz_linux_boot_loader_options o = VZ_LINUX_BOOT_LOADER_OPTIONS_INIT;
    struct vz_boot_loader *b;
    struct vz_error err = {0};

    o.kernel = "k";
    o.modules = &newer[0].m;
    o.module_count = 2;
    newer[0].m.size = newer[1].m.size = sizeof(newer[0]);
    newer[0].m.path = "a";
    newer[1].m.path = "b";
    newer[1].m.text = "text";
    b = vz_linux_boot_loader_new(&o, &err);
    ck_assert_msg(b != NULL, "%s", err.text);
    ck_assert_uint_eq(b->options.module_count, 2);
    ck_assert_str_eq(b->options.modules[1].path, "b");
    ck_assert_str_eq(b->options.modules[1].text, "text");
    ck_assert_uint_eq(b->options.modules[1].size, sizeof(struct vz_boot_module));
    vz_boot_loader_unref(b);
    newer[1].more = 1;
    ck_assert_ptr_null(vz_linux_boot_loader_new(&o, &err));
    newer[1].more = 0;
    newer[1].m.path = NULL;
    ck_assert_ptr_null(vz_linux_boot_loader_new(&o, &err));
    ck_assert_str_eq(err.text, "no path given");
    newer[0].m.size = 0;
    ck_assert_ptr_null(vz_linux_boot_loader_new(&o, &err));
}
END_TEST

START_TEST(references_keep_objects)
{
    struct vz_serial_attachment *a = vz_file_serial_attachment_new("log", true, NULL);
    struct vz_serial_port *p = vz_virtio_serial_port_new(a, NULL);
    struct vz_config *c = good(), *d;

    vz_serial_attachment_unref(a);
    ck_assert_int_eq(vz_config_add_serial_port(c, p, NULL), 0);
    vz_serial_port_unref(p);
    ck_assert_int_eq(vz_config_add_serial_port(c, NULL, NULL), -1);
    d = vz_config_copy(c, NULL);
    vz_config_unref(c);
    ck_assert_str_eq(config_serial_port(d, 0)->attachment->path, "log");
    ck_assert_ptr_eq(vz_config_ref(d), d);
    vz_config_unref(d);
    vz_config_unref(d);
}
END_TEST

START_TEST(addresses_and_identifiers_parse_and_print)
{
    static const char *const bad[] = {"", "02:00:00:00:00", "02:00:00:00:00:0", "02-00-00-00-00-00",
                                      "02:00:00:00:00:01:02", "0g:00:00:00:00:00", "2:0:0:0:0:0"};
    struct vz_machine_identifier id, again;
    char uuid[VZ_MACHINE_IDENTIFIER_TEXT_MAX], text[VZ_MAC_ADDRESS_TEXT_MAX];
    struct vz_mac_address mac;

    ck_assert_int_eq(vz_mac_address_parse("AA:bb:cc:DD:ee:0f", &mac), 0);
    vz_mac_address_format(&mac, text);
    ck_assert_str_eq(text, "aa:bb:cc:dd:ee:0f");
    ck_assert(vz_mac_address_is_unicast(&mac) && vz_mac_address_is_local(&mac));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ck_assert_int_eq(vz_mac_address_parse(bad[i], &mac), -1);
    ck_assert_int_eq(vz_mac_address_parse("ff:ff:ff:ff:ff:ff", &mac), 0);
    ck_assert(vz_mac_address_is_broadcast(&mac) && vz_mac_address_is_multicast(&mac));
    for (unsigned i = 0; i < 100; i++) {
        vz_mac_address_random(&mac);
        ck_assert(vz_mac_address_is_unicast(&mac) && vz_mac_address_is_local(&mac));
    }
    vz_machine_identifier_random(&id);
    vz_machine_identifier_format(&id, uuid);
    ck_assert_int_eq(vz_machine_identifier_parse(uuid, &again), 0);
    ck_assert_mem_eq(&id, &again, sizeof(id));
    ck_assert_int_eq(vz_machine_identifier_parse("12345678-9abc-def0-1234-56789abcdef", &id), -1);
    ck_assert_int_eq(vz_machine_identifier_parse("12345678-9abc-def0-1234-56789abcdef01", &id), -1);
}
END_TEST

START_TEST(sound_devices_are_what_was_said)
{
    struct vz_sound_attachment *wav = vz_wav_sound_attachment_new("/nonexistent/a.wav", NULL);
    struct vz_sound_stream_options stream[2] = {VZ_SOUND_STREAM_OPTIONS_INIT,
                                                VZ_SOUND_STREAM_OPTIONS_INIT};
    struct vz_virtio_sound_options o = VZ_VIRTIO_SOUND_OPTIONS_INIT;
    struct vz_sound_device *usual = vz_virtio_sound_device_new(NULL, NULL), *d;
    struct vz_config *c = good();
    struct vz_error err = {0};
    struct problems all;

    ck_assert_uint_eq(usual->stream_count, 2);
    ck_assert_int_eq(usual->stream[0].direction, VZ_SOUND_OUTPUT);
    ck_assert_int_eq(usual->stream[1].direction, VZ_SOUND_INPUT);
    ck_assert_ptr_nonnull(usual->stream[1].attachment);
    ck_assert_ptr_null(vz_wav_sound_attachment_new("", NULL));
    ck_assert_ptr_null(vz_wav_sound_attachment_new(NULL, NULL));
    stream[0].attachment = stream[1].attachment = wav;
    stream[1].direction = VZ_SOUND_INPUT;
    o.streams = stream;
    o.stream_count = 2;
    d = vz_virtio_sound_device_new(&o, &err);
    ck_assert_msg(d != NULL, "%s", err.text);
    o.stream_count = VZ_SOUND_STREAMS_MAX + 1;
    ck_assert_ptr_null(vz_virtio_sound_device_new(&o, &err));
    ck_assert_int_eq(vz_config_add_sound_device(c, usual, NULL), 0);
    ck_assert_int_eq(vz_config_add_sound_device(c, d, NULL), 0);
    ck_assert_int_eq(vz_config_add_sound_device(c, NULL, NULL), -1);
    all = validate(c);
    expect(&all, "audioDevices[1].streams[0]: /nonexistent/a.wav: No such file");
    expect(&all, "audioDevices[1].streams[1]: /nonexistent/a.wav: No such file");
    vz_config_unref(c);
    vz_sound_device_unref(usual);
    vz_sound_device_unref(d);
    vz_sound_attachment_unref(wav);
}
END_TEST

/* Everything there is, once. */
static const char everything[] =
    "{\"label\": \"a\", \"accel\": \"soft\", \"cpus\": 3, \"memory\": 134217728,"
    " \"stopAtReset\": true, \"continueAtPanic\": true, \"debugExit\": true,"
    " \"memoryPreallocate\": true, \"memoryHugePages\": true, \"hostCpu\": true,"
    " \"platform\": {\"type\": \"generic\","
    "   \"machineIdentifier\": \"01234567-89ab-cdef-0123-456789abcdef\"},"
    " \"bootLoader\": {\"type\": \"linux\", \"kernel\": \"k\", \"initrd\": \"i\", \"cmdline\": \"c\","
    "   \"modules\": [{\"path\": \"m\", \"text\": \"t\"}, {\"path\": \"n\"}]},"
    " \"serialPorts\": [{\"type\": \"uart\", \"attachment\": {\"type\": \"stdio\"}},"
    "   {\"type\": \"virtio\", \"attachment\": {\"type\": \"fd\", \"readDescriptor\": 5,"
    "     \"writeDescriptor\": -1}},"
    "   {\"type\": \"virtio\", \"attachment\": {\"type\": \"pty\"}}],"
    " \"storageDevices\": [{\"type\": \"virtioBlock\", \"identifier\": \"root\", \"attachment\":"
    "   {\"type\": \"diskImage\", \"path\": \"d\", \"readOnly\": true, \"caching\": \"uncached\","
    "    \"synchronization\": \"none\"}},"
    "   {\"type\": \"virtioBlock\", \"attachment\": {\"type\": \"blockDevice\", \"descriptor\": 9}}],"
    " \"networkDevices\": [{\"type\": \"virtioNet\", \"mac\": \"02:00:00:00:00:01\", \"attachment\":"
    "   {\"type\": \"nat\", \"forwards\": [{\"protocol\": \"udp\", \"host\": \"127.0.0.2\","
    "     \"hostPort\": 53, \"guestPort\": 54}, {\"hostPort\": 2222, \"guestPort\": 22}]}},"
    "   {\"type\": \"virtioNet\", \"mac\": \"02:00:00:00:00:02\", \"attachment\":"
    "     {\"type\": \"fd\", \"descriptor\": 7, \"mtu\": 9000}},"
    "   {\"type\": \"virtioNet\", \"mac\": \"02:00:00:00:00:03\", \"attachment\":"
    "     {\"type\": \"tap\", \"interface\": \"tap0\"}},"
    "   {\"type\": \"virtioNet\", \"mac\": \"02:00:00:00:00:04\", \"attachment\":"
    "     {\"type\": \"bridged\", \"interface\": \"br0\"}},"
    "   {\"type\": \"virtioNet\", \"mac\": \"02:00:00:00:00:05\"}],"
    " \"consoleDevices\": [{\"type\": \"virtioConsole\", \"ports\": [{\"name\": \"p\", \"console\":"
    "   true, \"attachment\": {\"type\": \"file\", \"path\": \"f\", \"append\": true}},"
    "   {\"name\": \"q\"}]}],"
    " \"entropyDevices\": [{\"type\": \"virtioEntropy\"}],"
    " \"memoryBalloonDevices\": [{\"type\": \"virtioBalloon\", \"targetSize\": 67108864,"
    "   \"minimumSize\": 33554432, \"freePageReporting\": false, \"deflateOnOutOfMemory\": false}],"
    " \"socketDevices\": [{\"type\": \"virtioSocket\", \"guestCid\": 4294967294, \"forwards\":"
    "   [{\"to\": \"guest\", \"port\": 4294967294, \"path\": \"a\"},"
    "    {\"to\": \"host\", \"port\": 0, \"path\": \"b\"}]}],"
    " \"audioDevices\": [{\"type\": \"virtioSound\", \"streams\": [{\"direction\": \"output\","
    "   \"attachment\": {\"type\": \"host\"}}, {\"direction\": \"input\", \"attachment\":"
    "   {\"type\": \"wav\", \"path\": \"w\"}}, {\"direction\": \"input\"}]}]}";

START_TEST(json_goes_round)
{
    struct vz_error err = {0};
    struct vz_config *c = vz_config_from_json(everything, strlen(everything), &err), *d;
    char *text, *again;

    ck_assert_msg(c != NULL, "%s", err.text);
    ck_assert_uint_eq(c->options.cpu_count, 3);
    ck_assert_int_eq(config_storage_device(c, 0)->attachment->sync, VZ_DISK_SYNC_NONE);
    ck_assert_int_eq(config_storage_device(c, 1)->attachment->sync, VZ_DISK_SYNC_FULL);
    ck_assert_str_eq(config_network_device(c, 0)->attachment->forward[1].host, "127.0.0.1");
    ck_assert_uint_eq(config_network_device(c, 1)->attachment->mtu, 9000);
    ck_assert(config_console_device(c, 0)->port[0].is_console);
    ck_assert_uint_eq(config_balloon(c)->options.minimum_size, 32 << 20);
    ck_assert(config_balloon(c)->options.no_free_page_reporting);
    ck_assert_uint_eq(config_socket(c)->guest_cid, VZ_SOCKET_CID_MAX);
    ck_assert_uint_eq(config_socket(c)->forward[0].port, 0xfffffffe);
    ck_assert_str_eq(config_socket(c)->forward[1].path, "b");
    ck_assert_str_eq(c->boot_loader->options.modules[0].text, "t");
    ck_assert_ptr_null(c->boot_loader->options.modules[1].text);
    text = vz_config_to_json(c, &err);
    ck_assert_msg(text != NULL, "%s", err.text);
    d = vz_config_from_json(text, strlen(text), &err);
    ck_assert_msg(d != NULL, "%s", err.text);
    again = vz_config_to_json(d, NULL);
    ck_assert_str_eq(text, again);
    free(text);
    free(again);
    vz_config_unref(c);
    vz_config_unref(d);
}
END_TEST

/* As some programs write all their numbers. */
START_TEST(json_takes_whole_numbers_in_any_form)
{
    static const char text[] = "{\"cpus\": 2.0, \"memory\": 1.34217728e8}";
    struct vz_config *c = vz_config_from_json(text, strlen(text), NULL);

    ck_assert_uint_eq(c->options.cpu_count, 2);
    ck_assert_uint_eq(c->options.memory_size, 128 << 20);
    vz_config_unref(c);
    c = vz_config_from_json("{\"cpus\": 1e1}", 13, NULL);
    ck_assert_uint_eq(c->options.cpu_count, 10);
    vz_config_unref(c);
}
END_TEST

START_TEST(json_errors_name_the_member)
{
    static const char *const bad[][2] = {
        {"", "line 1"},
        {"[]", "is not an object"},
        {"{\"cpus\": 1, \"cpus\": 2}", "line 1"},
        {"{\"cpu\": 1}", "cpu: is not known here; did you mean 'cpus'?"},
        {"{\"colour\": 1}", "colour: is not known here"},
        {"{\"memroy\": 1}", "memroy: is not known here; did you mean 'memory'?"},
        {"{\"cpus\": \"1\"}", "cpus: is not a number"},
        {"{\"cpus\": -1}", "cpus: is below 0"},
        {"{\"cpus\": 1.5}", "cpus: is not a whole number up to 4294967295"},
        {"{\"cpus\": 4294967296}", "cpus: is not a number up to 4294967295"},
        {"{\"cpus\": 1e300}", "cpus: is not a whole number up to 4294967295"},
        {"{\"memory\": -1}", "memory: is below 0"},
        {"{\"memory\": -1.0}", "memory: is below 0"},
        {"{\"memory\": 1e19}", "memory: is not a whole number up to 9223372036854775807"},
        {"{\"memory\": \"1G\"}", "memory: is not a number up to 9223372036854775807"},
        {"{\"label\": \"a\\u0000b\"}", "line 1"},
        {"{\"accel\": 1}", "accel: is not a string"},
        {"{\"debugExit\": 1}", "debugExit: is not true or false"},
        {"{\"platform\": {\"type\": \"mac\"}}", "platform.type: 'mac' is not 'generic'"},
        {"{\"platform\": {\"type\": \"generic\", \"machineIdentifier\": \"1\"}}",
         "platform.machineIdentifier"},
        {"{\"platform\": {}}", "platform.type: is missing"},
        {"{\"platform\": 1}", "platform: is not an object"},
        {"{\"bootLoader\": {\"type\": \"linux\"}}", "bootLoader.kernel: is missing"},
        {"{\"bootLoader\": {\"type\": \"linux\", \"kernel\": \"k\", \"disk\": \"d\"}}",
         "bootLoader: kernel or initrd given, and a disk to read them from"},
        {"{\"bootLoader\": {\"type\": \"linux\", \"kernel\": \"\"}}", "bootLoader: no kernel given"},
        {"{\"serialPorts\": 1}", "serialPorts: is not an array"},
        {"{\"serialPorts\": [1]}", "serialPorts[0]: is not an object"},
        {"{\"serialPorts\": [{\"type\": \"x\"}]}", "serialPorts[0].type: 'x' is not uart or virtio"},
        {"{\"serialPorts\": [{\"type\": \"uart\", \"attachment\": {\"type\": \"x\"}}]}",
         "serialPorts[0].attachment.type: 'x' is not null, stdio, fd, file, pty or unix"},
        {"{\"serialPorts\": [{\"type\": \"uart\", \"attachment\": {\"type\": \"fd\","
         " \"readDescriptor\": -2}}]}",
         "serialPorts[0].attachment.readDescriptor: is below -1"},
        {"{\"storageDevices\": [{\"type\": \"virtioBlock\", \"attachment\": {\"type\": \"diskImage\","
         " \"path\": \"d\", \"synchronization\": \"maybe\"}}]}",
         "storageDevices[0].attachment.synchronization: 'maybe' is not full, fsync or none"},
        {"{\"storageDevices\": [{\"type\": \"virtioBlock\", \"attachment\": {\"type\": \"diskImage\","
         " \"path\": \"d\", \"caching\": \"x\"}}]}",
         "storageDevices[0].attachment.caching: 'x' is not automatic, uncached or cached"},
        {"{\"serialPorts\": [{\"type\": \"uart\", \"attachment\": {\"type\": \"pty\", \"x\": 1}}]}",
         "serialPorts[0].attachment.x: is not known"},
        {"{\"storageDevices\": [{\"type\": \"virtioBlock\"}]}",
         "storageDevices[0].attachment: is missing"},
        {"{\"networkDevices\": [{\"type\": \"virtioNet\"}, {\"type\": \"virtioNet\", \"mac\": \"1\"}]}",
         "networkDevices[1].mac: '1' is not a MAC address like 02:00:00:00:00:01"},
        {"{\"networkDevices\": [{\"type\": \"virtioNet\", \"attachment\": {\"type\": \"nat\","
         " \"forwards\": [{\"protocol\": \"sctp\"}]}}]}",
         "networkDevices[0].attachment.forwards[0].protocol: 'sctp' is not tcp or udp"},
        {"{\"networkDevices\": [{\"type\": \"virtioNet\", \"attachment\": {\"type\": \"nat\","
         " \"forwards\": [{\"hostPort\": 65536}]}}]}",
         "networkDevices[0].attachment.forwards[0].hostPort: is not a number up to 65535"},
        {"{\"consoleDevices\": [{\"type\": \"virtioConsole\", \"ports\": [{\"name\": 1}]}]}",
         "consoleDevices[0].ports[0].name"},
        {"{\"entropyDevices\": [{\"type\": \"rng\"}]}", "entropyDevices[0].type: 'rng' is not 'virtioEntropy'"},
        {"{\"memoryBalloonDevices\": [{\"type\": \"virtioBalloon\", \"targetSize\": -1}]}",
         "memoryBalloonDevices[0].targetSize: is below 0"},
        {"{\"socketDevices\": [{\"type\": \"virtioSocket\", \"forwards\": [{\"to\": \"x\"}]}]}",
         "socketDevices[0].forwards[0].to"},
        {"{\"socketDevices\": [{\"type\": \"virtioSocket\", \"forwards\": [{\"to\": \"host\","
         " \"port\": 1}]}]}",
         "socketDevices[0].forwards[0].path: is missing"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct vz_error err = {0};

        ck_assert_ptr_null(vz_config_from_json(bad[i][0], strlen(bad[i][0]), &err));
        ck_assert_int_eq(err.code, VZ_ERROR_INVALID);
        ck_assert_msg(strstr(err.text, bad[i][1]) != NULL, "%s: '%s' does not say '%s'", bad[i][0],
                      err.text, bad[i][1]);
    }
}
END_TEST

START_TEST(a_copy_has_a_life_of_its_own)
{
    struct vz_config *c = vz_config_from_json(everything, strlen(everything), NULL);
    struct vz_config *d = vz_config_copy(c, NULL);
    char *one = vz_config_to_json(c, NULL), *two = vz_config_to_json(d, NULL);

    ck_assert_str_eq(one, two);
    ck_assert_ptr_eq(config_storage_device(c, 0), config_storage_device(d, 0));
    vz_config_set_accel(d, "kvm", NULL);
    vz_config_set_boot_loader(d, NULL);
    ck_assert_str_eq(c->options.accel, "soft");
    ck_assert_ptr_nonnull(c->boot_loader);
    vz_config_unref(c);
    ck_assert_str_eq(config_socket(d)->forward[1].path, "b");
    vz_config_unref(d);
    ck_assert_ptr_null(vz_config_copy(NULL, NULL));
    free(one);
    free(two);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, config_that_is_fine_validates);
    UNIT_TEST(s, config_names_every_problem_in_one_pass);
    UNIT_TEST(s, config_checks_balloon_and_sockets);
    UNIT_TEST(s, sound_devices_are_what_was_said);
    UNIT_TEST(s, config_does_not_ignore_the_host_cpu_in_silence);
    UNIT_TEST(s, config_limits_memory_and_cpus);
    UNIT_TEST(s, namespaces_have_a_controller);
    UNIT_TEST(s, nvme_controllers_have_names_of_their_own);
    UNIT_TEST(s, config_refuses_a_disk_written_twice_and_odd_sizes);
    UNIT_TEST(s, config_sees_what_two_devices_cannot_share);
    UNIT_TEST(s, labels_are_counted_in_characters);
    UNIT_TEST(s, config_checks_network_sockets_and_duplicates);
    UNIT_TEST(s, options_grow_and_strings_are_copied);
    UNIT_TEST(s, modules_grow_too);
    UNIT_TEST(s, references_keep_objects);
    UNIT_TEST(s, addresses_and_identifiers_parse_and_print);
    UNIT_TEST(s, json_goes_round);
    UNIT_TEST(s, usb_devices_of_the_host_are_named_once);
    UNIT_TEST(s, json_takes_whole_numbers_in_any_form);
    UNIT_TEST(s, json_errors_name_the_member);
    UNIT_TEST(s, a_copy_has_a_life_of_its_own);
}

UNIT_TEST_MAIN("configuration", add_tests)
