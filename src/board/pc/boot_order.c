/* SPDX-License-Identifier: MIT */
#include "board/pc/boot_order.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "board/pc/board.h"
#include "device/device_kinds.h"
#include "device/disk_kind.h"
#include "efi/efi_variables.h"

/* ---- Paths ------------------------------------------------------------------------------------ */

struct writer {
    const struct board *board;
    char *text;
    size_t len;
};

static void put(struct writer *w, const char *fmt, unsigned a, unsigned b)
{
    size_t room = BOOT_ORDER_TEXT_MAX - w->len;
    int n = snprintf(w->text + w->len, room, fmt, a, b);

    if (n > 0 && (size_t)n + 1 < room) {
        w->len += (size_t)n;
        w->text[w->len++] = '\n';
    }
}

static struct device_slot *find(const struct board *b, const char *list, unsigned i)
{
    return device_slots_find(b->options.slots, list, i);
}

/* A namespace of an NVMe controller has its number by the order of those of it. */
static void put_namespace(struct writer *w, const struct device_slot *s)
{
    const struct device_slot *c = nvme_namespace_controller(s);
    unsigned number = 2;

    for (unsigned i = 0; i < s->index; i++) {
        const struct device_slot *other = find(w->board, "storageDevices", i);

        number += other && other->kind == s->kind && nvme_namespace_controller(other) == c;
    }
    if (c)
        put(w, "/pci@i0cf8/pci8086,5845@%x/namespace@%x,0", c->place, number);
}

/* Ports count from 1 here, and from 0 in UEFI's paths. */
static void put_usb(struct writer *w, const struct device_slot *s)
{
    const struct device_slot *x = device_slots_find_kind(w->board->options.slots, &xhci_kind);
    struct device_identity id;

    s->kind->identify(s, &id);
    if (x && id.port)
        put(w, "/pci@i0cf8/usb@%x/storage@%x/channel@0/disk@0,0", x->place, id.port);
}

static enum boot_group group_of(const struct device_slot *s)
{
    return s->kind == &usb_cdrom_kind ? BOOT_CDROM : s->kind == &usb_disk_kind ? BOOT_USB : BOOT_DISK;
}

static void put_disk(struct writer *w, const struct device_slot *s)
{
    if (s->kind == &disk_kind)
        put(w, "/pci@i0cf8/scsi@%x/disk@0,0", s->place, 0);
    else if (s->kind == &nvme_kind)
        put(w, "/pci@i0cf8/pci8086,5845@%x/namespace@%x,0", s->place, 1);
    else if (s->kind == &nvme_namespace_kind)
        put_namespace(w, s);
    else
        put_usb(w, s);
}

/* Slots have no holes before the machine runs; at a reset some may have come or gone. */
#define NUMBERS_MAX 256u

static void put_group(struct writer *w, enum boot_group group)
{
    for (unsigned i = 0; i < NUMBERS_MAX; i++) {
        const struct device_slot *s = find(w->board, group == BOOT_NETWORK ? "networkDevices" : "storageDevices", i);

        if (s && group == BOOT_NETWORK)
            put(w, "/pci@i0cf8/ethernet@%x", s->place, 0);
        else if (s && group_of(s) == group)
            put_disk(w, s);
    }
}

size_t boot_order_write(const struct board *b, const struct boot_order *order, char ret[BOOT_ORDER_TEXT_MAX])
{
    struct writer w = {.board = b, .text = ret};
    uint64_t named = BIT(BOOT_NETWORK);

    for (unsigned i = 0; i < order->count; i++) {
        put_group(&w, order->group[i]);
        named |= BIT(order->group[i]);
    }
    for (unsigned g = 0; g < BOOT_GROUPS; g++) {
        if (!(named & BIT(g)))
            put_group(&w, (enum boot_group)g);
    }
    if (!w.len)
        return 0;
    ret[w.len - 1] = '\0';
    return w.len;
}

/* ---- The order that the variables have --------------------------------------------------------- */

#define WIDE(c) c, 0
static const uint8_t order_name[] = {WIDE('B'), WIDE('o'), WIDE('o'), WIDE('t'), WIDE('O'), WIDE('r'), WIDE('d'), WIDE('e'),
                                     WIDE('r'), WIDE(0)};
static const uint8_t kept_name[] = {WIDE('K'), WIDE('e'), WIDE('p'), WIDE('t'), WIDE('B'), WIDE('o'), WIDE('o'), WIDE('t'),
                                    WIDE('O'), WIDE('r'), WIDE('d'), WIDE('e'), WIDE('r'), WIDE(0)};
/* UEFI 2.10, 3.3: of its own variables. */
static const struct efi_guid global = {{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03,
                                        0x2b, 0x8c}};
/* And of ours. */
static const struct efi_guid ours = {{0x1c, 0x6e, 0x0f, 0x3d, 0x52, 0x8a, 0x41, 0x4b, 0x9d, 0x07, 0x5e, 0x21, 0xc4, 0x90,
                                      0x76, 0xb8}};

#define ENTRIES_MAX 128u

static int set_order(struct efi_store *s, const uint8_t *name, uint32_t name_len, const struct efi_guid *guid,
                     uint32_t attributes, const uint8_t *data, uint32_t len)
{
    const struct efi_variable v = {.name = name, .name_len = name_len, .guid = *guid, .attributes = attributes,
                                   .data = data, .len = len};

    return efi_variable_set(s, &v);
}

/* It is not kept twice: the one of before the first such start counts. */
int boot_order_keep(struct efi_store *s)
{
    uint8_t copy[2 * ENTRIES_MAX];
    struct efi_variable order, kept;
    int r = efi_variable_find(s, kept_name, sizeof(kept_name), &ours, &kept);

    if (r)
        return r < 0 ? r : 0;
    r = efi_variable_find(s, order_name, sizeof(order_name), &global, &order);
    if (r <= 0 || order.len > sizeof(copy))
        return r < 0 ? r : 0; /* there is no order yet */
    memcpy(copy, order.data, order.len);
    r = set_order(s, kept_name, sizeof(kept_name), &ours, 3, copy, order.len);
    return r < 0 ? r : 0;
}

static bool has_entry(const uint8_t *list, uint32_t len, uint16_t entry)
{
    for (uint32_t i = 0; i + 2 <= len; i += 2) {
        if (load_le16(list + i) == entry)
            return true;
    }
    return false;
}

/* What is in order and not in kept, and then kept. */
static int join(struct efi_store *s, const struct efi_variable *order, const struct efi_variable *kept)
{
    uint8_t list[4 * ENTRIES_MAX];
    uint32_t len = 0, attributes = order->attributes;

    if (order->len > 2 * ENTRIES_MAX || kept->len > 2 * ENTRIES_MAX)
        return 0;
    for (uint32_t i = 0; i + 2 <= order->len; i += 2) {
        if (has_entry(kept->data, kept->len, load_le16(order->data + i)))
            continue;
        memcpy(list + len, order->data + i, 2);
        len += 2;
    }
    memcpy(list + len, kept->data, kept->len);
    return set_order(s, order_name, sizeof(order_name), &global, attributes, list, len + kept->len);
}

int boot_order_restore(struct efi_store *s)
{
    struct efi_variable order, kept;
    int has = efi_variable_find(s, order_name, sizeof(order_name), &global, &order);
    int r = has < 0 ? has : efi_variable_find(s, kept_name, sizeof(kept_name), &ours, &kept);

    if (r <= 0)
        return r < 0 ? r : has;
    r = has ? join(s, &order, &kept) : 0;
    if (!r)
        r = efi_variable_find(s, kept_name, sizeof(kept_name), &ours, &kept);
    if (r > 0)
        r = efi_variable_delete(s, &kept);
    return r < 0 ? r : has;
}
