/* SPDX-License-Identifier: MIT */
/* NULL where something is needed is an error, not a crash (<vz/public.h>). */
#include <vz/hypervisor.h>
#include <vz/vz.h>

#include "unit.h"

/* err must have been filled in with VZ_ERROR_INVALID; it is emptied. */
#define INVALID(failed)                                                                            \
    do {                                                                                           \
        ck_assert(failed);                                                                         \
        ck_assert_int_eq(err.code, VZ_ERROR_INVALID);                                              \
        ck_assert_str_ne(err.text, "");                                                            \
        err = (struct vz_error){0};                                                                \
    } while (0)

START_TEST(arrays_that_are_counted_must_be_there)
{
    struct vz_nat_network_options nat = VZ_NAT_NETWORK_OPTIONS_INIT;
    struct vz_virtio_console_options console = VZ_VIRTIO_CONSOLE_OPTIONS_INIT;
    struct vz_virtio_socket_options sock = VZ_VIRTIO_SOCKET_OPTIONS_INIT;
    struct vz_error err = {0};

    nat.forward_count = console.port_count = sock.forward_count = 1;
    INVALID(!vz_nat_network_attachment_new(&nat, &err));
    INVALID(!vz_virtio_console_device_new(&console, &err));
    INVALID(!vz_virtio_socket_device_new(&sock, &err));
}
END_TEST

START_TEST(texts_must_be_there)
{
    struct vz_error err = {0};
    struct vz_mac_address mac;
    struct vz_machine_identifier id;

    ck_assert_int_eq(vz_mac_address_parse(NULL, &mac), -1);
    ck_assert_int_eq(vz_mac_address_parse("00:11:22:33:44:55", NULL), -1);
    ck_assert_int_eq(vz_machine_identifier_parse(NULL, &id), -1);
    INVALID(vz_block_identifier_validate(NULL, &err) < 0);
    INVALID(!vz_disk_image_attachment_new(NULL, NULL, &err));
    INVALID(!vz_tap_network_attachment_new(NULL, &err));
    INVALID(!vz_unix_serial_attachment_new(NULL, &err));
    INVALID(!vz_virtio_block_device_new(NULL, NULL, &err));
    INVALID(!vz_config_from_json(NULL, 5, &err));
    INVALID(!vz_config_copy(NULL, &err));
    INVALID(!vz_config_get(NULL, "cpus", &err));
    INVALID(vz_config_add(NULL, "rng", NULL, &err) < 0);
    ck_assert_ptr_null(vz_closest_word(NULL, NULL));
    INVALID(vz_disk_create(NULL, 512, NULL, &err) < 0);
    INVALID(vz_disk_get_info(NULL, NULL, NULL, &err) < 0);
    INVALID(vz_disk_get_info("/dev/null", NULL, NULL, &err) < 0);
    INVALID(vz_disk_resize(NULL, 512, false, NULL, &err) < 0);
    INVALID(vz_disk_convert(NULL, "a", NULL, NULL, &err) < 0);
    INVALID(vz_disk_convert("a", NULL, NULL, NULL, &err) < 0);
    INVALID(vz_disk_commit(NULL, NULL, &err) < 0);
    INVALID(vz_disk_rebase(NULL, "b", VZ_DISK_FORMAT_RAW, false, NULL, &err) < 0);
    INVALID(vz_disk_check(NULL, false, NULL, NULL, &err) < 0);
    INVALID(vz_size_parse(NULL, NULL, &err) < 0);
    vz_config_describe(NULL, NULL);
}
END_TEST

START_TEST(a_missing_configuration_is_found_in_the_end)
{
    struct vz_serial_port *port = vz_uart_serial_port_new(NULL, NULL);
    struct vz_error err = {0};

    vz_config_set_memory_size(NULL, 1);
    vz_config_set_cpu_count(NULL, 1);
    vz_config_set_host_cpu(NULL, true);
    vz_config_set_stdio(NULL, 0, 1);
    vz_config_set_boot_loader(NULL, NULL);
    vz_config_set_platform(NULL, NULL);
    INVALID(vz_config_set_accel(NULL, "soft", &err) < 0);
    INVALID(vz_config_set_jit(NULL, "on", &err) < 0);
    INVALID(vz_config_add_serial_port(NULL, port, &err) < 0);
    ck_assert(!vz_config_uses_stdio(NULL));
    INVALID(!vz_machine_new(NULL, NULL, &err));
    vz_serial_port_unref(port);
}
END_TEST

START_TEST(a_missing_machine_does_nothing)
{
    struct vz_error err = {0};
    struct vz_memory_state memory = VZ_MEMORY_STATE_INIT;
    struct vz_guest_address address = VZ_GUEST_ADDRESS_INIT;

    ck_assert_ptr_null(vz_machine_config(NULL));
    ck_assert_uint_eq(vz_machine_serial_count(NULL) + vz_machine_lost_output(NULL), 0);
    INVALID(vz_machine_start_wait(NULL, &err) < 0);
    INVALID(vz_machine_request_stop(NULL, &err) < 0);
    INVALID(vz_machine_set_memory_target(NULL, 0, &err) < 0);
    INVALID(vz_machine_memory_state(NULL, &memory, &err) < 0);
    INVALID(vz_machine_set_network_attachment(NULL, 0, NULL, &err) < 0);
    INVALID(vz_machine_resize_disk_wait(NULL, 0, 512, &err) < 0);
    ck_assert_int_eq(vz_machine_resize_disk(NULL, 0, 512, NULL, NULL), -1);
    INVALID(vz_machine_set_disk_limits(NULL, 0, NULL, &err) < 0);
    INVALID(vz_machine_disk_limits(NULL, 0, NULL, &err) < 0);
    INVALID(vz_machine_disk_stats(NULL, 0, NULL, &err) < 0);
    INVALID(vz_machine_disk_size(NULL, 0, NULL, &err) < 0);
    INVALID(vz_machine_attach_usb_device_wait(NULL, NULL, &err) < 0);
    INVALID(vz_machine_attach_usb_host_device_wait(NULL, NULL, &err) < 0);
    ck_assert_int_eq(vz_machine_attach_usb_host_device(NULL, NULL, NULL, NULL), -1);
    ck_assert_int_eq(vz_machine_insert_disc(NULL, 0, NULL, false, NULL, NULL), -1);
    INVALID(vz_host_usb_devices(NULL, NULL, &err) < 0);
    INVALID(vz_machine_detach_usb_device_wait(NULL, NULL, &err) < 0);
    INVALID(vz_config_add_firmware_item(NULL, NULL, NULL, &err) < 0);
    INVALID(vz_machine_set_disc(NULL, 0, NULL, false, &err) < 0);
    INVALID(vz_machine_usb_devices(NULL, NULL, NULL, &err) < 0);
    ck_assert_int_eq(vz_machine_attach_usb_device(NULL, NULL, NULL, NULL), -1);
    ck_assert_int_eq(vz_machine_detach_usb_device(NULL, NULL, NULL, NULL), -1);
    INVALID(vz_machine_guest_address(NULL, 0, &address, &err) < 0);
    INVALID(vz_machine_set_serial_attachment(NULL, 0, NULL, &err) < 0);
    INVALID(vz_machine_set_console_port_window(NULL, 0, 0, 80, 25, &err) < 0);
    INVALID(vz_machine_socket_listen(NULL, 1, NULL, NULL, &err) < 0);
    INVALID(!vz_machine_socket_connect_wait(NULL, 1, &err));
    ck_assert_int_eq(vz_machine_stop(NULL, NULL, NULL), -1);
    ck_assert_int_eq(vz_machine_socket_connect(NULL, 1, NULL, NULL), -1);
    ck_assert(!vz_machine_can_start(NULL));
    ck_assert(!vz_machine_can_request_stop(NULL));
    ck_assert_int_eq(vz_machine_events_fd(NULL), -1);
    ck_assert_uint_eq(vz_machine_dispatch(NULL), 0);
    ck_assert_int_eq(vz_machine_serial_path(NULL, 0, NULL, 0), -1);
    ck_assert_ptr_null(vz_machine_network_attachment(NULL, 0));
    vz_machine_socket_unlisten(NULL, 1);
    vz_machine_stats(NULL, NULL, NULL);
    vz_machine_free(NULL);
    ck_assert_int_eq(vz_socket_connection_fd(NULL), -1);
    vz_socket_connection_close(NULL);
}
END_TEST

START_TEST(the_level_below_says_bad_argument)
{
    struct vz_hv_exit exit;
    uint64_t value;

    ck_assert_int_eq(vz_hv_vm_create(NULL, NULL, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_map(NULL, NULL, 0, VZ_HV_PAGE_SIZE, 7), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_set_irq(NULL, 1, true), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_create(NULL, 0, NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_run(NULL, &exit), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_cancel(NULL), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vcpu_get_reg(NULL, VZ_HV_REG_RAX, &value), VZ_HV_BAD_ARGUMENT);
    ck_assert_int_eq(vz_hv_vm_destroy(NULL), VZ_HV_SUCCESS);
    ck_assert_int_eq(vz_hv_vcpu_destroy(NULL), VZ_HV_SUCCESS);
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, arrays_that_are_counted_must_be_there);
    UNIT_TEST(s, texts_must_be_there);
    UNIT_TEST(s, a_missing_configuration_is_found_in_the_end);
    UNIT_TEST(s, a_missing_machine_does_nothing);
    UNIT_TEST(s, the_level_below_says_bad_argument);
}

UNIT_TEST_MAIN("api/null", add_tests)
