/* SPDX-License-Identifier: MIT */
/* A device of the chipset under a guest that does anything: the input is a program of port accesses
 * of all sizes, bytes from the host, timers that fire, and resets, saves and loads in between. What
 * was saved must load. Built once per device: FUZZ_UART, FUZZ_RTC, ... */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "no_check.h"

#include "char/char.h"
#include "chipset/chipset.h"
#include "fake_machine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
    struct fake_machine m;
    struct char_dev *line;
    int host; /* the far end of line */
    struct mem *mem; /* of those that have DMA; else NULL */
};

struct place {
    uint64_t base;
    uint16_t len;
    bool is_mmio;
};

static void on_request(void *arg, enum chipset_request kind, uint32_t value) {}

static const struct chipset_requests requests __attribute__((unused)) = {.request = on_request};

#if defined(FUZZ_UART)
static const struct place place = {UART_COM1_PORT, 8};

static int create(struct rig *r)
{
    const struct uart_options o = {.port = UART_COM1_PORT, .gsi = UART_COM1_GSI, .line = r->line,
                                   .loop = r->m.loop};

    return uart_create(r->m.bus, &o, NULL);
}
#elif defined(FUZZ_RTC)
static const struct place place = {0x70, 2};

static uint64_t now(void *arg)
{
    return UINT64_C(1700000000000000000);
}

static int create(struct rig *r)
{
    const struct rtc_options o = {.loop = r->m.loop, .now_ns = now};
    struct rtc *rtc;

    return rtc_create(r->m.bus, &o, &rtc);
}
#elif defined(FUZZ_I8042)
static const struct place place = {0x60, 5};

static int create(struct rig *r)
{
    return i8042_create(r->m.bus, &requests);
}
#elif defined(FUZZ_RESET)
static const struct place place = {0x92, 1};

static int create(struct rig *r)
{
    struct reset_ctl *ctl;

    return reset_ctl_create(r->m.bus, &requests, &ctl);
}
#elif defined(FUZZ_ACPI_PM)
static const struct place place = {ACPI_PM_BASE, ACPI_PM_LEN};

static int create(struct rig *r)
{
    struct acpi_pm *pm;
    int e = acpi_pm_create(r->m.bus, r->m.loop, &requests, &pm);

    if (!e)
        acpi_pm_set_base(pm, ACPI_PM_BASE, true);
    return e;
}
#elif defined(FUZZ_FW_CFG)
static const struct place place = {0x510, 12};

#define FW_RAM (64 * KIB)
/* The address of a request, big-endian, is one that is there. */
#define ADAPT(at, v) ((at) == 0x518 ? __builtin_bswap32((v) & 0xffff) : (v))

/* Requests lie everywhere: lengths and addresses that fit, and that do not. */
static void fill_with_requests(struct mem *mem)
{
    uint8_t request[16];
    uint32_t seed = 1;

    for (gpa_t at = 0; at < FW_RAM; at += sizeof(request)) {
        for (unsigned i = 0; i < sizeof(request); i++) {
            seed = seed * 1664525 + 1013904223;
            request[i] = i < 4 || i > 13 || seed & BIT(30) ? (uint8_t)(seed >> 16) & (i == 2 ? 0 : 0x3f) : 0;
        }
        require(!mem_write(mem, at, request, sizeof(request)), "request");
    }
}

static int create(struct rig *r)
{
    struct fw_cfg *f;
    int e = mem_create(FW_RAM, &r->mem, NULL);

    if (!e)
        e = mem_add(r->mem, 0, FW_RAM, false);
    if (!e)
        e = fw_cfg_create(r->m.bus, &(struct fw_cfg_options){FW_RAM, 2, r->mem}, &f);
    if (!e)
        fill_with_requests(r->mem);
    return e ? e : fw_cfg_set_file(f, "etc/file", "some bytes", 10);
}
#elif defined(FUZZ_FLASH)
static const struct place place = {0xffc00000, 2 * FLASH_BLOCK, true};

static int create(struct rig *r)
{
    static uint8_t data[2 * FLASH_BLOCK];
    const struct flash_options o = {.base = place.base, .len = sizeof(data), .data = data};

    return flash_create(r->m.bus, &o);
}
#else
#error "which device?"
#endif
#ifndef ADAPT
#define ADAPT(at, v) (v)
#endif

static void set_up(struct rig *r)
{
    int pair[2];

    memset(r, 0, sizeof(*r));
    fake_machine_init(&r->m);
    require(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), "socketpair");
    r->host = pair[1];
    require(!char_fd_create(r->m.loop, pair[0], pair[0], &r->line, NULL), "line");
    close(pair[0]); /* the line has its own */
    require(!create(r), "create");
}

static void tear_down(struct rig *r)
{
    bus_destroy(r->m.bus);
    mem_destroy(r->mem);
    char_destroy(r->line);
    fake_loop_turn(r->m.loop);
    loop_destroy(r->m.loop);
    close(r->host);
}

static void save_and_load(struct rig *r)
{
    struct state_writer w = {0};
    struct vz_error err;

    require(!bus_save(r->m.bus, &w), "save");
    if (bus_load(r->m.bus, w.data, w.len, &err) < 0)
        require(false, err.text);
    state_writer_fini(&w);
}

/* A saved state with a byte changed is loaded or refused; then the device is reset. */
static void load_damaged(struct rig *r, unsigned at, uint8_t with)
{
    struct state_writer w = {0};
    struct vz_error err;

    require(!bus_save(r->m.bus, &w), "save");
    if (w.len) {
        ((uint8_t *)w.data)[at % w.len] ^= with;
        if (bus_load(r->m.bus, w.data, w.len, &err) < 0)
            bus_reset(r->m.bus);
    }
    state_writer_fini(&w);
}

static void look(struct rig *r, uint64_t at, unsigned size)
{
    if (place.is_mmio)
        (void)fake_read(&r->m, at, size);
    else
        (void)fake_in(&r->m, (uint16_t)at, size);
}

static void change(struct rig *r, uint64_t at, unsigned size, uint32_t v)
{
    if (place.is_mmio)
        fake_write(&r->m, at, size, v);
    else
        fake_out(&r->m, (uint16_t)at, size, ADAPT(at, v));
}

/* One step takes 4 bytes. */
static void step(struct rig *r, const uint8_t *in)
{
    uint64_t at = place.base + (place.len > 256 ? in[1] * 61u : in[1]) % place.len;
    unsigned size = 1u << (in[0] >> 6) % 3;
    char sink[256];

    switch (in[0] & 15) {
    case 0:
        bus_reset(r->m.bus);
        break;
    case 1:
        save_and_load(r);
        break;
    case 2:
        load_damaged(r, in[1] | (unsigned)in[2] << 8, in[3]);
        break;
    case 3:
        fake_loop_fire(r->m.loop);
        break;
    case 4:
        (void)!write(r->host, in + 1, 3);
        fake_loop_turn(r->m.loop);
        break;
    case 5:
        fake_loop_turn(r->m.loop);
        (void)!read(r->host, sink, sizeof(sink));
        break;
    case 6:
    case 7:
    case 8:
    case 9:
        look(r, at, size);
        break;
    default:
        change(r, at, size, in[2] | (unsigned)in[3] << 8 | (unsigned)in[2] << 24);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig r;

    set_up(&r);
    for (size_t at = 0; at + 4 <= size; at += 4)
        step(&r, data + at);
    bus_reset(r.m.bus);
    save_and_load(&r);
    tear_down(&r);
    return 0;
}
