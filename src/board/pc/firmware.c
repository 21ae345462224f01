/* SPDX-License-Identifier: MIT */
#include "board/pc/firmware.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/le.h"
#include "base/log.h"
#include "board/pc/board.h"
#include "board/pc/boot/kernel_file.h"
#include "board/pc/boot_order.h"
#include "board/pc/firmware_files.h"
#include "efi/efi_firmware.h"

/* ---- Its files ------------------------------------------------------------------------------- */

static bool is_there(const char *path)
{
    return path && !(access(path, F_OK) < 0 && errno == ENOENT);
}

static int make_store(const struct firmware_params *p, const struct efi_firmware *files,
                      struct firmware *f, struct vz_error *err)
{
    int r = p->store ? efi_store_create(p->store, files->variables, false, err) : 0;

    return r < 0 ? r : efi_store_open(p->store, files->variables, &f->store, err);
}

static int open_code(const struct efi_firmware *files, struct firmware *f, struct vz_error *err)
{
    int fd, r;

    f->code_path = strdup(files->code);
    if (!f->code_path)
        return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
    r = kernel_file_open("firmware", f->code_path, 0, &fd, err);
    if (r < 0)
        return r;
    r = kernel_file_read("firmware", f->code_path, fd, EFI_CODE_MAX, &f->code, err);
    close(fd);
    return r;
}

/* A store that says nothing of an order gets the usual one at its first start. */
static int plan_order(const struct firmware_params *p, struct firmware *f, struct vz_error *err)
{
    int r = p->boot_order ? config_boot_order_parse(p->boot_order, &f->order, err) : 0;

    if (!r && p->boot_once)
        r = config_boot_order_parse(p->boot_once, &f->once, err);
    if (r < 0)
        return r;
    f->menu_wait = p->menu_wait;
    r = p->boot_once ? boot_order_keep(&f->store) : boot_order_restore(&f->store);
    if (r == -ENOSPC) { /* which firmware makes when it starts: a guest that has filled the store must not prevent that */
        log_warn("%s: has no room for the boot order of before%s", f->store.path,
                 p->boot_once ? ", which is not kept" : "; the next start tries again");
        r = 1;
    }
    if (r < 0)
        return error_set(err, -r, VZ_ERROR_EFI_VARIABLE_INACCESSIBLE, "%s: its boot order: %s", f->store.path, strerror(-r));
    return !r && !p->boot_once && !p->boot_order ? config_boot_order_parse("cdrom,usb,disk", &f->once, err) : 0;
}

int firmware_open(const struct firmware_params *p, struct firmware *ret, struct vz_error *err)
{
    struct firmware f = {.store.fd = -1};
    struct efi_firmware files = {0};
    int r = is_there(p->store) ? efi_store_open(p->store, NULL, &f.store, err) : 0;

    if (!r)
        r = efi_firmware_find(p->code, f.store.len, p->secure_boot, &files, err);
    f.smm = files.smm;
    if (!r)
        r = open_code(&files, &f, err);
    if (!r && !f.store.path)
        r = make_store(p, &files, &f, err);
    if (!r && !efi_sizes_fit(f.code.len, f.store.len))
        r = error_set(err, EINVAL, VZ_ERROR_INVALID,
                      "firmware %s: does not go with variable store %s: they are of different builds",
                      f.code_path, f.store.path);
    if (!r)
        r = plan_order(p, &f, err);
    efi_firmware_fini(&files);
    if (r < 0)
        firmware_close(&f);
    else
        *ret = f;
    return r;
}

void firmware_close(struct firmware *f)
{
    kernel_file_free(&f->code);
    if (f->store.path)
        efi_store_close(&f->store);
    free(f->code_path);
    *f = (struct firmware){0};
}

/* ---- Its places ------------------------------------------------------------------------------ */

/* OVMF maps all that the CPU can address by pages of 2 MiB, unless it is 40 bits or less, which it takes for
 * what QEMU says when it does not know, and finds out by itself what there is. With 46 bits the tables
 * have 256 MiB, and take seconds. */
#define FIRMWARE_PHYS_BITS 40u

unsigned firmware_phys_bits_max(const struct board *b)
{
    uint64_t end = memory_map_end(b->options.ram_size, b->options.window_size);

    return b->options.firmware && end <= memory_map_pci64_base(FIRMWARE_PHYS_BITS)
               ? FIRMWARE_PHYS_BITS : 0;
}

uint64_t firmware_rom_size(const struct firmware *f)
{
    return f ? f->code.len : 0;
}

static gpa_t rom_base(const struct firmware *f)
{
    return FIRMWARE_END - f->code.len;
}

int firmware_add_rom(struct board *b)
{
    const struct firmware *f = b->options.firmware;

    return mem_add(b->mem, rom_base(f), f->code.len, true);
}

static int write_store(void *arg, uint32_t at, const uint8_t *bytes, uint32_t len)
{
    return efi_store_write(arg, at, bytes, len);
}

static void sync_store(void *arg)
{
    efi_store_sync(arg);
}

int firmware_add_flash(struct board *b)
{
    struct firmware *f = b->options.firmware;
    const struct flash_options o = {.base = rom_base(f) - f->store.len, .len = f->store.len,
                                    .guarded = f->smm, .data = f->store.data, .write = write_store,
                                    .sync = sync_store, .arg = &f->store};

    return flash_create(b->bus, &o);
}

/* An empty file is none. */
static int set_order(struct board *b)
{
    struct firmware *f = b->options.firmware;
    const struct boot_order *order = !f->started && f->once.count ? &f->once : &f->order;
    char text[BOOT_ORDER_TEXT_MAX];
    size_t len = order->count ? boot_order_write(b, order, text) : 0;

    if (!len && !f->started)
        return 0;
    f->started = true;
    return fw_cfg_set_file(b->fw_cfg, "bootorder", text, (uint32_t)len);
}

static int set_menu_wait(struct board *b)
{
    uint8_t ms[2];

    store_le16(ms, (uint16_t)b->options.firmware->menu_wait);
    return b->options.firmware->menu_wait ? fw_cfg_set_file(b->fw_cfg, "etc/boot-menu-wait", ms, sizeof(ms)) : 0;
}

/* Firmware keeps BARs out of the memory that a guest may be given later, which ends there; so it does out of windows. */
static int set_windows(struct board *b)
{
    uint8_t end[8];

    store_le64(end, memory_map_end(b->options.ram_size, b->options.window_size));
    return b->options.window_size ? fw_cfg_set_file(b->fw_cfg, "etc/reserved-memory-end", end, sizeof(end)) : 0;
}

/* Devices can write to ROM, by DMA: at a reset it is what it was. */
int firmware_prepare(struct board *b)
{
    const struct firmware *f = b->options.firmware;
    int r = mem_write(b->mem, rom_base(f), f->code.data, f->code.len);

    if (!r)
        r = bios_data_write_reset(b->mem);
    if (!r)
        r = firmware_set_files(b);
    if (!r)
        r = set_windows(b);
    if (!r)
        r = set_menu_wait(b);
    return r ? r : set_order(b);
}
