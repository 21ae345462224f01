/* SPDX-License-Identifier: MIT */
#include "usbhost/usb_find.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

#define FOLDER    "/sys/bus/usb/devices"
#define CLASS_HUB 9u
#define LIST_MAX  160u /* characters of a message */

/* ---- One ------------------------------------------------------------------------------------ */

/* An attribute's first line. What devices say of themselves may be anything. */
static bool read_text(int folder, const char *device, const char *name, char *ret, size_t size)
{
    char path[USB_PORT_TEXT_MAX + 32];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", device, name);
    fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, ret, size - 1);
        close(fd);
    }
    ret[n > 0 ? n : 0] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
    for (char *c = ret; *c; c++)
        *c = isprint((unsigned char)*c) ? *c : '?';
    return n > 0;
}

static bool read_number(int folder, const char *device, const char *name, int base, unsigned *ret)
{
    char text[32];

    if (!read_text(folder, device, name, text, sizeof(text)))
        return false;
    *ret = (unsigned)strtoul(text, NULL, base);
    return true;
}

/* "1-2.3" is a device; "usb1" a bus, "1-2:1.0" an interface. */
static bool look(int folder, const char *device, struct usb_found *ret)
{
    unsigned class, vendor, product;

    *ret = (struct usb_found){.bus = 0};
    if (!isdigit((unsigned char)device[0]) || strchr(device, ':') || strlen(device) >= sizeof(ret->port) ||
        !read_number(folder, device, "bDeviceClass", 16, &class) || class == CLASS_HUB ||
        !read_number(folder, device, "busnum", 10, &ret->bus) ||
        !read_number(folder, device, "devnum", 10, &ret->address) ||
        !read_number(folder, device, "idVendor", 16, &vendor) ||
        !read_number(folder, device, "idProduct", 16, &product))
        return false;
    strcpy(ret->port, device);
    ret->vendor = (uint16_t)vendor;
    ret->product = (uint16_t)product;
    (void)read_number(folder, device, "speed", 10, &ret->mbit);
    (void)read_text(folder, device, "manufacturer", ret->maker, sizeof(ret->maker));
    (void)read_text(folder, device, "product", ret->name, sizeof(ret->name));
    return true;
}

void usb_found_node(const struct usb_found *f, char ret[USB_NODE_MAX])
{
    snprintf(ret, USB_NODE_MAX, "/dev/bus/usb/%03u/%03u", f->bus, f->address);
}

/* ---- All ------------------------------------------------------------------------------------ */

int usb_find_each(const char *folder, void (*fn)(void *arg, const struct usb_found *f), void *arg, struct vz_error *err)
{
    struct dirent **entry;
    struct usb_found f;
    int count = scandir(folder ? folder : FOLDER, &entry, NULL, versionsort);
    int at = count < 0 ? -1 : open(folder ? folder : FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (int i = 0; i < count; i++) {
        if (at >= 0 && look(at, entry[i]->d_name, &f))
            fn(arg, &f);
        free(entry[i]);
    }
    if (count >= 0)
        free(entry);
    if (at < 0)
        return error_set(err, ENOENT, VZ_ERROR_DEVICE_NOT_FOUND,
                         "this host shows no USB devices (%s is not there: a container, or a kernel without USB)",
                         FOLDER);
    close(at);
    return 0;
}

struct search {
    const struct usb_name *name;
    struct usb_found *ret;
    unsigned count;
    char ports[LIST_MAX]; /* of those that there are */
};

static bool is_wanted(const struct usb_name *n, const struct usb_found *f)
{
    switch (n->kind) {
    case USB_NAME_ID: return f->vendor == n->vendor && f->product == n->product;
    case USB_NAME_PORT: return !strcmp(f->port, n->port);
    case USB_NAME_ADDRESS: return f->bus == n->bus && f->address == n->address;
    default: return false;
    }
}

static void consider(void *arg, const struct usb_found *f)
{
    struct search *s = arg;
    size_t len = strlen(s->ports);

    if (!is_wanted(s->name, f))
        return;
    *s->ret = *f;
    snprintf(s->ports + len, sizeof(s->ports) - len, "%s%s", s->count++ ? ", " : "", f->port);
}

int usb_find(const char *folder, const struct usb_name *name, struct usb_found *ret, struct vz_error *err)
{
    struct search s = {.name = name, .ret = ret};
    int r = usb_find_each(folder, consider, &s, err);

    if (r < 0 || s.count == 1)
        return r;
    if (s.count)
        return error_set(err, ENOENT, VZ_ERROR_DEVICE_NOT_FOUND,
                         "there are %u such USB devices: say which by its port (%s)", s.count, s.ports);
    return error_set(err, ENOENT, VZ_ERROR_DEVICE_NOT_FOUND,
                     "the host has no such USB device; 'vz usb list' shows those that there are");
}
