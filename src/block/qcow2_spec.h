/* SPDX-License-Identifier: MIT */
/* The qcow2 format, versions 2 and 3, as its specification has it (docs/specs.md): offsets in the
 * file and bits of its entries, and nothing else. All big-endian. */
#ifndef VZ_BLOCK_QCOW2_SPEC_H
#define VZ_BLOCK_QCOW2_SPEC_H

#include "base/compiler.h"

#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */

/* The header: offsets of its members. */
enum {
    QCOW2_H_MAGIC = 0,               /* u32 */
    QCOW2_H_VERSION = 4,             /* u32: 2 or 3 */
    QCOW2_H_BACKING_OFFSET = 8,      /* u64; 0: none */
    QCOW2_H_BACKING_SIZE = 16,       /* u32: length of the name, up to 1023 */
    QCOW2_H_CLUSTER_BITS = 20,       /* u32 */
    QCOW2_H_SIZE = 24,               /* u64: of the disk */
    QCOW2_H_CRYPT = 32,              /* u32: enum qcow2_crypt */
    QCOW2_H_L1_SIZE = 36,            /* u32: entries */
    QCOW2_H_L1_OFFSET = 40,          /* u64 */
    QCOW2_H_REFTABLE_OFFSET = 48,    /* u64 */
    QCOW2_H_REFTABLE_CLUSTERS = 56,  /* u32 */
    QCOW2_H_SNAPSHOTS = 60,          /* u32: how many */
    QCOW2_H_SNAPSHOTS_OFFSET = 64,   /* u64 */
    QCOW2_H_V2_LENGTH = 72,
    /* Version 3 */
    QCOW2_H_INCOMPATIBLE = 72,       /* u64 */
    QCOW2_H_COMPATIBLE = 80,         /* u64 */
    QCOW2_H_AUTOCLEAR = 88,          /* u64 */
    QCOW2_H_REFCOUNT_ORDER = 96,     /* u32: log2 of the width in bits */
    QCOW2_H_LENGTH = 100,            /* u32 */
    QCOW2_H_V3_LENGTH = 104,
    QCOW2_H_COMPRESSION = 104,       /* u8, where the header is long enough */
    QCOW2_H_FULL_LENGTH = 112,
};

enum qcow2_crypt { QCOW2_CRYPT_NONE, QCOW2_CRYPT_AES, QCOW2_CRYPT_LUKS };

#define QCOW2_INCOMPAT_DIRTY       BIT(0) /* refcounts may be wrong */
#define QCOW2_INCOMPAT_CORRUPT     BIT(1) /* must not be written to */
#define QCOW2_INCOMPAT_DATA_FILE   BIT(2) /* the data is in another file */
#define QCOW2_INCOMPAT_COMPRESSION BIT(3) /* QCOW2_H_COMPRESSION is not deflate */
#define QCOW2_INCOMPAT_EXTENDED_L2 BIT(4) /* entries of 16 bytes, with subclusters */
#define QCOW2_COMPAT_LAZY_REFCOUNTS BIT(0)

enum qcow2_compression { QCOW2_DEFLATE, QCOW2_ZSTD };
#define QCOW2_DEFLATE_WINDOW 12 /* bits; no zlib header */

/* Header extensions: u32 type, u32 length, data, padding to 8 bytes. */
enum {
    QCOW2_EXT_END = 0,
    QCOW2_EXT_BACKING_FORMAT = (int)0xe2792aca,
    QCOW2_EXT_FEATURE_NAMES = 0x6803f857,
    QCOW2_EXT_BITMAPS = 0x23852875,
    QCOW2_EXT_ENCRYPTION = 0x0537be77,
    QCOW2_EXT_DATA_FILE = 0x44415441,
};
#define QCOW2_EXT_HEAD          8u
#define QCOW2_FEATURE_ENTRY     48u /* u8 kind (0: incompatible), u8 bit, name */
#define QCOW2_FEATURE_NAME_SIZE 46u

/* Entries of L1 and L2 tables. */
#define QCOW2_COPIED       BIT(63) /* what it points to has a refcount of exactly 1 */
#define QCOW2_OFFSET_MASK  UINT64_C(0x00fffffffffffe00)
#define QCOW2_L1_RESERVED  UINT64_C(0x7f000000000001ff)
#define QCOW2_L2_COMPRESSED BIT(62)
#define QCOW2_L2_ZERO      BIT(0)  /* version 3, not with extended L2 */
#define QCOW2_L2_RESERVED  UINT64_C(0x3f000000000001fe)
#define QCOW2_SUBCLUSTERS  32u     /* of a cluster, with extended L2 */
/* A compressed cluster: the low bits are a byte's offset, those above the number of sectors beyond
 * the first that its data reaches into. */
#define QCOW2_COMPRESSED_OFFSET_BITS(cluster_bits) (62u - ((cluster_bits) - 8u))
#define QCOW2_SECTOR       512u

/* An entry of the snapshot table: then extra data, id, name, padding to 8 bytes. */
enum {
    QCOW2_S_L1_OFFSET = 0,   /* u64 */
    QCOW2_S_L1_SIZE = 8,     /* u32: entries */
    QCOW2_S_ID_SIZE = 12,    /* u16 */
    QCOW2_S_NAME_SIZE = 14,  /* u16 */
    QCOW2_S_EXTRA_SIZE = 36, /* u32 */
    QCOW2_S_LENGTH = 40,
};

#define QCOW2_CLUSTER_BITS_MIN 9u
#define QCOW2_CLUSTER_BITS_MAX 21u
#define QCOW2_NAME_MAX         1023u
#define QCOW2_REFCOUNT_ORDER_MAX 6u

#endif
