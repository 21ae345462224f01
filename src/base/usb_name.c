/* SPDX-License-Identifier: MIT */
#include "base/usb_name.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"

#define NODES "/dev/bus/usb/"
#define NUMBER_MAX 255u /* of buses, addresses and ports */

/* A number, and what stands behind it. */
static bool take_number(const char **at, unsigned *ret)
{
    unsigned n = 0, digits = 0;

    for (; isdigit((unsigned char)**at) && digits < 4; (*at)++, digits++)
        n = 10 * n + (unsigned)(**at - '0');
    *ret = n;
    return digits && n && n <= NUMBER_MAX;
}

static bool take_hex(const char **at, uint16_t *ret)
{
    unsigned n = 0, digits = 0;

    for (; isxdigit((unsigned char)**at) && digits < 5; (*at)++, digits++)
        n = 16 * n + (unsigned)(isdigit((unsigned char)**at) ? **at - '0' : (**at | 32) - 'a' + 10);
    *ret = (uint16_t)n;
    return digits == 4;
}

static bool parse_id(const char *text, struct usb_name *ret)
{
    ret->kind = USB_NAME_ID;
    return take_hex(&text, &ret->vendor) && *text++ == ':' && take_hex(&text, &ret->product) && !*text;
}

static bool parse_address(const char *text, struct usb_name *ret)
{
    if (!strncmp(text, NODES, strlen(NODES)))
        text += strlen(NODES);
    ret->kind = USB_NAME_ADDRESS;
    return take_number(&text, &ret->bus) && *text++ == '/' && take_number(&text, &ret->address) && !*text;
}

/* At most six hubs are between a device and its bus (USB 2.0 4.1.1). */
static bool parse_port(const char *text, struct usb_name *ret)
{
    unsigned port, depth = 0;
    int len;

    ret->kind = USB_NAME_PORT;
    if (!take_number(&text, &ret->bus) || (*text != '-' && *text != '.'))
        return false;
    len = snprintf(ret->port, sizeof(ret->port), "%u", ret->bus);
    do {
        text++;
        if (!take_number(&text, &port) || ++depth > 6)
            return false;
        len += snprintf(ret->port + len, sizeof(ret->port) - (size_t)len, "%c%u", depth == 1 ? '-' : '.', port);
    } while (*text == '.');
    return !*text;
}

int usb_name_parse(const char *text, struct usb_name *ret, struct vz_error *err)
{
    bool ok;

    memset(ret, 0, sizeof(*ret));
    ok = strchr(text, ':') ? parse_id(text, ret) : strchr(text, '/') ? parse_address(text, ret) : parse_port(text, ret);
    if (ok)
        return 0;
    return error_set(err, EINVAL, VZ_ERROR_INVALID,
                     "'%.60s' is no USB device: expected its port, such as 1-2, or its vendor and product, such as "
                     "046d:c52b ('vz usb list' shows both)", text);
}
