/* SPDX-License-Identifier: MIT */
/* For unit tests: a store in memory without variables. */
#ifndef VZ_EFI_EFI_FIXTURE_H
#define VZ_EFI_EFI_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "base/le.h"
#include "efi/efi_store.h"
#include "unit.h"

#define LEN    0x4000u
#define REGION 72u
#define FIRST  (REGION + 28u)
#define ROOM   (LEN - REGION - 0x1000u)

static const uint8_t authenticated[16] = {0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43,
                                          0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92};

static struct efi_store empty_store(void)
{
    struct efi_store s = {.data = malloc(LEN), .len = LEN, .fd = -1};

    ck_assert_ptr_nonnull(s.data);
    memset(s.data, 0xff, LEN);
    store_le16(s.data + 48, REGION);
    memcpy(s.data + REGION, authenticated, 16);
    store_le32(s.data + REGION + 16, ROOM);
    s.data[REGION + 20] = 0x5a;
    s.data[REGION + 21] = 0xfe;
    return s;
}

#endif
