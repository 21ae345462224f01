/* SPDX-License-Identifier: MIT */
/* What a PC's BIOS leaves in memory behind it: interrupt vectors, its data area, the extended one
 * and the end of its ROM. Linux asks for none of it; kernels that start by Multiboot, boot loaders
 * and memory testers take base memory and serial ports from there. Layout: IBM PC/AT Technical
 * Reference, "ROM BIOS data areas". Called by board.c, at each start and reset. */
#include <string.h>

#include "arch/x86/pic_spec.h"
#include "base/le.h"
#include "board/pc/board.h"

#define BDA_BASE      UINT64_C(0x400)
#define BDA_COM1      0x00 /* I/O ports of four serial lines */
#define BDA_EBDA      0x0e /* segment of the extended data area */
#define BDA_EQUIPMENT 0x10
#define BDA_BASE_KIB  0x13 /* memory below the extended data area */
#define BDA_KEYS_HEAD 0x1a /* keyboard buffer: first, next, start, end, from BDA_BASE on */
#define BDA_KEYS_TAIL 0x1c
#define BDA_KEYS_FROM 0x80
#define BDA_KEYS_TO   0x82
#define BDA_COM1_WAIT 0x7c /* time-outs of the serial lines, in units of a second or so */
#define BDA_LEN       0x100

#define KEYS_FROM 0x1e
#define KEYS_TO   0x3e

#define EQUIPMENT_FPU       0x0002u
#define EQUIPMENT_ONE_COM   0x0200u /* bits 9 to 11: how many serial lines */

/* The ROM's last 64 KiB, segment F000. The offsets are those of the IBM PC's own, which programs
 * know; what the vectors lead to does nothing but end, hardware's after it has said so to the
 * interrupt controllers. */
#define ROM_SEG         0xf000u
#define ROM_BASE        UINT64_C(0xf0000)
#define ROM_IRET        0xff53u
#define ROM_IRQ_MASTER  0xff54u
#define ROM_IRQ_SLAVE   0xff5bu
#define ROM_RESET       0xfff0u
#define ROM_DATE        0xfff5u
#define ROM_MODEL       0xfffeu /* 0xfc: a PC/AT */

#define VECTORS 256u
#define IRQS    8u

static const uint8_t handlers[] = {
    0xcf,                         /* iret */
    0x50,                         /* push ax */
    0xb0, 0x20,                   /* mov al, 0x20: end of interrupt */
    0xe6, 0x20,                   /* out 0x20, al */
    0x58,                         /* pop ax */
    0xcf,                         /* iret; the slave's: */
    0x50,                         /* push ax */
    0xb0, 0x20,                   /* mov al, 0x20 */
    0xe6, 0xa0,                   /* out 0xa0, al */
    0xe6, 0x20,                   /* out 0x20, al */
    0x58,                         /* pop ax */
    0xcf,                         /* iret */
};

/* The CPU's reset vector: whoever jumps there in real mode wants another start (Linux's reboot=bios). The fast reset of
 * port 0x92, which every machine has, then wait for it. */
static const uint8_t reset_code[] = {
    0xb0, 0x01,                   /* mov al, 1 */
    0xe6, 0x92,                   /* out 0x92, al */
    0xf4,                         /* hlt */
};

static int write_vectors(struct mem *mem)
{
    uint8_t table[4 * VECTORS];

    for (unsigned v = 0; v < VECTORS; v++) {
        uint16_t off = v - PIC_BIOS_MASTER_BASE < IRQS ? ROM_IRQ_MASTER
                     : v - PIC_BIOS_SLAVE_BASE < IRQS ? ROM_IRQ_SLAVE : ROM_IRET;

        store_le16(table + 4 * v, off);
        store_le16(table + 4 * v + 2, ROM_SEG);
    }
    return mem_write(mem, 0, table, sizeof(table));
}

static int write_data_area(struct mem *mem)
{
    uint8_t bda[BDA_LEN] = {0};

    store_le16(bda + BDA_COM1, UART_COM1_PORT);
    store_le16(bda + BDA_EBDA, LOW_FREE_END / 16);
    store_le16(bda + BDA_EQUIPMENT, EQUIPMENT_FPU | EQUIPMENT_ONE_COM);
    store_le16(bda + BDA_BASE_KIB, LOW_FREE_END / KIB);
    store_le16(bda + BDA_KEYS_HEAD, KEYS_FROM);
    store_le16(bda + BDA_KEYS_TAIL, KEYS_FROM);
    store_le16(bda + BDA_KEYS_FROM, KEYS_FROM);
    store_le16(bda + BDA_KEYS_TO, KEYS_TO);
    bda[BDA_COM1_WAIT] = 1;
    return mem_write(mem, BDA_BASE, bda, sizeof(bda));
}

static int write_extended_data_area(struct mem *mem)
{
    uint8_t ebda[KIB] = {1}; /* its size in KiB */

    return mem_write(mem, LOW_FREE_END, ebda, sizeof(ebda));
}

int bios_data_write_reset(struct mem *mem)
{
    return mem_write(mem, ROM_BASE + ROM_RESET, reset_code, sizeof(reset_code));
}

static int write_rom(struct mem *mem)
{
    static const char date[] = "01/01/26";
    static const uint8_t model = 0xfc;
    int r = mem_write(mem, ROM_BASE + ROM_IRET, handlers, sizeof(handlers));

    if (!r)
        r = bios_data_write_reset(mem);
    if (!r)
        r = mem_write(mem, ROM_BASE + ROM_DATE, date, strlen(date));
    return r ? r : mem_write(mem, ROM_BASE + ROM_MODEL, &model, sizeof(model));
}

int bios_data_write(struct mem *mem)
{
    int r = write_vectors(mem);

    if (!r)
        r = write_data_area(mem);
    if (!r)
        r = write_extended_data_area(mem);
    return r ? r : write_rom(mem);
}
