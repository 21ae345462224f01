/* SPDX-License-Identifier: MIT */
/* Sections of VESA E-EDID 1.4 (release A, revision 2) in brackets. A detailed timing holds 12 bits of
 * a size and 16 bits of a clock in 10 kHz; larger modes stand in a DisplayID extension, which comes
 * always, so that there is one form. */
#include "display/edid.h"

#include <stdio.h>
#include <string.h>

#include "base/le.h"

#define BLOCK     128u
#define REFRESH   60u
#define DPI       96u
#define TIMING_AT 54u /* four descriptors of 18 bytes [3.10] */

struct timing {
    uint32_t width, height, h_blank, v_blank, clock_khz;
};

/* The blanking of CVT's reduced timing, in what is even of it: guests only go by the size. */
static struct timing timing_of(uint32_t width, uint32_t height)
{
    struct timing t = {.width = width, .height = height, .h_blank = 160, .v_blank = MAX(height / 35, 23u)};

    t.clock_khz = (uint32_t)((uint64_t)(width + t.h_blank) * (height + t.v_blank) * REFRESH / 1000);
    return t;
}

static uint32_t millimetres(uint32_t pixels)
{
    return (uint32_t)((uint64_t)pixels * 254 / (DPI * 10));
}

/* Detailed timing [3.10.2]: hsync 48 behind the picture, 32 long; vsync 3 and 6. */
static void put_detailed(uint8_t *d, const struct timing *t)
{
    uint32_t w_mm = MIN(millimetres(t->width), 4095u), h_mm = MIN(millimetres(t->height), 4095u);

    store_le16(d, (uint16_t)(t->clock_khz / 10));
    d[2] = (uint8_t)t->width;
    d[3] = (uint8_t)t->h_blank;
    d[4] = (uint8_t)((t->width >> 8) << 4 | t->h_blank >> 8);
    d[5] = (uint8_t)t->height;
    d[6] = (uint8_t)t->v_blank;
    d[7] = (uint8_t)((t->height >> 8) << 4 | t->v_blank >> 8);
    d[8] = 48;
    d[9] = 32;
    d[10] = 3 << 4 | 6;
    d[11] = 0;
    d[12] = (uint8_t)w_mm;
    d[13] = (uint8_t)h_mm;
    d[14] = (uint8_t)((w_mm >> 8) << 4 | h_mm >> 8);
    d[17] = 0x1a; /* digital separate sync, +h -v */
}

/* A text descriptor [3.10.3]: 13 bytes, ended by a line feed and padded with blanks. */
static void put_text(uint8_t *d, uint8_t tag, const char *text)
{
    size_t len = strlen(text);

    memset(d, 0, 5);
    d[3] = tag;
    memset(d + 5, ' ', 13);
    memcpy(d + 5, text, MIN(len, (size_t)13));
    if (len < 13)
        d[5 + len] = '\n';
}

/* What it can follow [3.10.3.3]: 50 to 125 Hz, 30 to 255 kHz, any clock there is. */
static void put_limits(uint8_t *d)
{
    static const uint8_t limits[18] = {0, 0, 0, 0xfd, 0, 50, 125, 30, 255, 255, 1, 10, ' ', ' ', ' ',
                                       ' ', ' ', ' '};

    memcpy(d, limits, sizeof(limits));
}

static void put_checksum(uint8_t *block)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < BLOCK - 1; i++)
        sum = (uint8_t)(sum + block[i]);
    block[BLOCK - 1] = (uint8_t)-sum;
}

static void put_base(uint8_t *e, const struct timing *t, unsigned number)
{
    static const uint8_t head[] = {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0,
                                   'Z' - '@', 0, 1, 0}; /* the maker comes below */
    const unsigned maker = ('V' - '@') << 10 | ('I' - '@') << 5 | ('Z' - '@'); /* three letters */
    /* sRGB's chromaticities [3.7] */
    static const uint8_t colours[10] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
    char serial[16];

    memcpy(e, head, sizeof(head));
    e[8] = (uint8_t)(maker >> 8);
    e[9] = (uint8_t)maker;
    store_le32(e + 12, number + 1);
    e[16] = 1;
    e[17] = 2026 - 1990;
    e[18] = 1;
    e[19] = 4;
    e[20] = 0xa5; /* digital, 8 bits, DisplayPort */
    e[21] = (uint8_t)MIN(millimetres(t->width) / 10, 255u);
    e[22] = (uint8_t)MIN(millimetres(t->height) / 10, 255u);
    e[23] = 120; /* gamma 2.2 */
    e[24] = 0x06; /* sRGB; the first timing is the best */
    memcpy(e + 25, colours, sizeof(colours));
    e[35] = 0x21; /* 640x480, 800x600 at 60 Hz */
    e[36] = 0x08; /* 1024x768 at 60 Hz */
    memset(e + 38, 1, 16); /* no standard timings */
    snprintf(serial, sizeof(serial), "%u", number + 1);
    put_text(e + TIMING_AT + 18, 0xfc, "vz display");
    put_limits(e + TIMING_AT + 36);
    put_text(e + TIMING_AT + 54, 0xff, serial);
}

/* A type I timing (DisplayID 1.3 section 4.4.1): 24 bits of clock, 16 of each size, all less one. */
static void put_display_id(uint8_t *e, const struct timing *t)
{
    uint8_t *s = e + 1, *d = s + 8, sum = 0;

    e[0] = 0x70;
    s[0] = 0x13;     /* version 1.3 */
    s[1] = 121;      /* bytes of the section: all that an extension has room for */
    s[2] = 3;        /* a monitor */
    s[4 + 0] = 0x03; /* type I timings, */
    s[4 + 2] = 20;   /* one of them */
    d = s + 7;
    d[0] = (uint8_t)(t->clock_khz / 10 - 1);
    d[1] = (uint8_t)((t->clock_khz / 10 - 1) >> 8);
    d[2] = (uint8_t)((t->clock_khz / 10 - 1) >> 16);
    d[3] = 0x88; /* preferred, not interlaced, no aspect said */
    store_le16(d + 4, (uint16_t)(t->width - 1));
    store_le16(d + 6, (uint16_t)(t->h_blank - 1));
    store_le16(d + 8, 48 - 1);
    store_le16(d + 10, 32 - 1);
    store_le16(d + 12, (uint16_t)(t->height - 1));
    store_le16(d + 14, (uint16_t)(t->v_blank - 1));
    store_le16(d + 16, 3 - 1);
    store_le16(d + 18, 6 - 1);
    for (unsigned i = 0; i < 4 + 121; i++)
        sum = (uint8_t)(sum + s[i]);
    s[4 + 121] = (uint8_t)-sum;
}

void edid_make(uint32_t width, uint32_t height, unsigned number, uint8_t ret[EDID_SIZE])
{
    struct timing t = timing_of(width, height), small = timing_of(1024, 768);
    bool fits = width < 4096 && height < 4096 && t.v_blank < 4096 && t.clock_khz / 10 < 65536;

    memset(ret, 0, EDID_SIZE);
    put_base(ret, &t, number);
    put_detailed(ret + TIMING_AT, fits ? &t : &small);
    ret[126] = 1;
    put_checksum(ret);
    put_display_id(ret + BLOCK, &t);
    put_checksum(ret + BLOCK);
}
