/* SPDX-License-Identifier: MIT */
#include "usbhost/usb_find.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "unit.h"

static char folder[64];

static void put(const char *device, const char *name, const char *text)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, device);
    mkdir(path, 0755);
    snprintf(path, sizeof(path), "%s/%s/%s", folder, device, name);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
}

static void put_device(const char *device, const char *class, const char *address, const char *vendor, const char *product)
{
    put(device, "bDeviceClass", class);
    put(device, "busnum", "1\n");
    put(device, "devnum", address);
    put(device, "idVendor", vendor);
    put(device, "idProduct", product);
    put(device, "speed", "480\n");
}

static void make(void)
{
    strcpy(folder, "/tmp/vz-usb-find.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    put_device("usb1", "09\n", "1\n", "1d6b\n", "0002\n");
    put_device("1-1", "09\n", "2\n", "05e3\n", "0608\n"); /* a hub */
    put_device("1-1.10", "00\n", "5\n", "046d\n", "c52b\n");
    put_device("1-1.2", "00\n", "4\n", "046d\n", "c52b\n");
    put_device("1-3", "00\n", "9\n", "0781\n", "5581\n");
    put("1-3", "manufacturer", "San\x1b[31mDisk\n");
    put("1-3", "product", "Ultra\n");
    put("1-3:1.0", "bInterfaceClass", "08\n");
    put_device("1-3bad", "zz\n", "x\n", "\n", "\n");
}

static void unmake(void)
{
    char command[96];

    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static struct usb_found find(const char *text, int result, const char *why)
{
    struct vz_error err = {0};
    struct usb_found f = {.bus = 0};
    struct usb_name n;

    ck_assert_int_eq(usb_name_parse(text, &n, NULL), 0);
    ck_assert_int_eq(usb_find(folder, &n, &f, &err), result);
    if (why)
        ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
    return f;
}

START_TEST(a_device_is_found_by_each_of_its_names)
{
    char node[USB_NODE_MAX];
    struct usb_found f;

    make();
    f = find("0781:5581", 0, NULL);
    ck_assert_str_eq(f.port, "1-3");
    ck_assert_uint_eq(f.mbit, 480);
    ck_assert_str_eq(f.maker, "San?[31mDisk");
    ck_assert_str_eq(f.name, "Ultra");
    usb_found_node(&f, node);
    ck_assert_str_eq(node, "/dev/bus/usb/001/009");
    ck_assert_uint_eq(find("1-1.10", 0, NULL).address, 5);
    ck_assert_str_eq(find("001/004", 0, NULL).port, "1-1.2");
    unmake();
}
END_TEST

START_TEST(two_of_a_kind_are_told_apart_by_their_ports)
{
    make();
    find("046d:c52b", -ENOENT, "1-1.2, 1-1.10");
    unmake();
}
END_TEST

START_TEST(hubs_and_what_is_not_there_are_not_found)
{
    make();
    find("1-1", -ENOENT, "no such USB device");
    find("1-2", -ENOENT, "vz usb list");
    unmake();
    find("1-2", -ENOENT, "shows no USB devices");
}
END_TEST

static void add(void *arg, const struct usb_found *f)
{
    strcat(arg, f->port);
    strcat(arg, " ");
}

START_TEST(all_come_in_the_order_of_their_ports)
{
    char all[160] = "";

    make();
    ck_assert_int_eq(usb_find_each(folder, add, all, NULL), 0);
    ck_assert_str_eq(all, "1-1.2 1-1.10 1-3 1-3bad ");
    unmake();
}
END_TEST

static void add_tests(Suite *s)
{
    UNIT_TEST(s, a_device_is_found_by_each_of_its_names);
    UNIT_TEST(s, two_of_a_kind_are_told_apart_by_their_ports);
    UNIT_TEST(s, hubs_and_what_is_not_there_are_not_found);
    UNIT_TEST(s, all_come_in_the_order_of_their_ports);
}

UNIT_TEST_MAIN("usb_find", add_tests)
