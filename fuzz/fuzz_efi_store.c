/* SPDX-License-Identifier: MIT */
/* Stores of UEFI variables: whatever is in the file, it is refused in a sentence, or its variables and keys are told
 * and changed; then what was set is there, and what was there besides is as it was. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vz/efi.h>

#include "base/le.h"
#include "efi/efi_variables.h"
#include "fuzz.h"
#include "require.h"

#define BLOCK       4096u
#define STORE_MAX   (32 * BLOCK) /* more would be as much again, only slower */
#define REGION      72u          /* of variables, behind the volume's header */
#define OURS        "FuzzOurs"
#define OURS_GUID   "6a1f7c52-1d0b-4d6e-9b1a-0f1e2d3c4b5a"

static const uint8_t volume_guid[16] = {0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
                                        0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50};
static const uint8_t region_guid[2][16] = {
    {0x78, 0x2c, 0xf3, 0xaa, 0x7b, 0x94, 0x9a, 0x43, 0xa1, 0x80, 0x2e, 0x14, 0x4e, 0xc3, 0x77, 0x92},
    {0x16, 0x36, 0xcf, 0xdd, 0x75, 0x32, 0x64, 0x41, 0x98, 0xb6, 0xfe, 0x85, 0x70, 0x7f, 0xfe, 0x7d}};

static uint8_t store[STORE_MAX];

/* A volume's header, without which nobody looks further. */
static void put_volume(uint8_t *p, size_t len)
{
    memcpy(p + 16, volume_guid, 16);
    store_le64(p + 32, len);
    memcpy(p + 40, "_FVH", 4);
    store_le16(p + 48, REGION);
}

/* What is in it, in one number: all variables but ours. */
struct told {
    uint64_t sum;
    unsigned count;
    bool ours;
};

static bool tell(void *arg, const struct vz_efi_variable *v)
{
    struct told *t = arg;
    const uint8_t *data = v->data;

    if (!strcmp(v->name, OURS) && !strcmp(v->guid, OURS_GUID)) {
        t->ours = v->length == 5 && !memcmp(v->data, "value", 5);
        return true;
    }
    t->count++;
    for (size_t i = 0; i < v->length; i++)
        t->sum = t->sum * 31 + data[i];
    t->sum = t->sum * 31 + strlen(v->name) + v->attributes;
    return true;
}

static int look(const char *path, struct told *ret)
{
    struct vz_error err = {0};
    int r;

    *ret = (struct told){0};
    r = vz_efi_variable_store_list(path, tell, ret, &err);
    require(!r || (err.code && err.text[0]), "an error without words");
    return r;
}

static void keys_told(void *arg, const struct vz_efi_signature *s)
{
    const uint8_t *data = s->data;

    for (size_t i = 0; i < s->length; i++)
        *(uint64_t *)arg += data[i];
    require(strlen(s->owner) == 36, "an owner that is no GUID");
}

static void use_keys(const char *path)
{
    enum vz_efi_secure_boot state;
    uint8_t hash[32] = {1, 2, 3};
    uint64_t sum = 0;

    (void)vz_efi_secure_boot_get(path, &state, NULL);
    for (unsigned k = VZ_EFI_PK; k <= VZ_EFI_DBX; k++)
        (void)vz_efi_secure_boot_list(path, (enum vz_efi_keys)k, keys_told, &sum, NULL);
    if (!vz_efi_secure_boot_enroll(path, VZ_EFI_DB, hash, sizeof(hash), NULL))
        require(!vz_efi_secure_boot_enroll(path, VZ_EFI_DB, hash, sizeof(hash), NULL), "it was enrolled once");
    (void)vz_efi_secure_boot_set(path, false, NULL);
    (void)vz_efi_secure_boot_reset(path, NULL);
}

static void change(const char *path)
{
    struct vz_efi_variable v = VZ_EFI_VARIABLE_INIT;
    struct told before, after;

    v.name = OURS;
    v.guid = OURS_GUID;
    v.data = "value";
    v.length = 5;
    if (look(path, &before) < 0)
        return;
    if (!vz_efi_variable_store_set(path, &v, NULL)) {
        require(!look(path, &after) && after.ours, "what was set is not there");
        require(after.sum == before.sum && after.count == before.count, "others have changed");
        require(!vz_efi_variable_store_remove(path, OURS, OURS_GUID, NULL), "it cannot be taken away");
        require(!look(path, &after) && !after.ours, "it was taken away");
        require(after.sum == before.sum && after.count == before.count, "others have gone with it");
    }
    use_keys(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t len = size > STORE_MAX ? STORE_MAX : (size + BLOCK - 1) / BLOCK * BLOCK;
    int fd = memfd_create("store", MFD_CLOEXEC);
    char path[32];

    require(fd >= 0, "no file");
    memset(store, 0xff, sizeof(store));
    memcpy(store, data, size > len ? len : size);
    if (len && !(store[0] & 1)) /* else it is as it is */
        put_volume(store, len);
    require(write(fd, store, len) == (ssize_t)len, "no room");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    change(path);
    close(fd);
    return 0;
}

/* ---- Seeds ---------------------------------------------------------------------------------- */

static void put(struct efi_store *s, const char *name, const struct efi_guid *guid, const void *data, uint32_t len)
{
    uint8_t utf16[64] = {0};
    struct efi_variable v = {.name = utf16, .name_len = 2 * (uint32_t)strlen(name) + 2, .guid = *guid, .attributes = 7,
                             .data = data, .len = len};

    for (unsigned i = 0; name[i]; i++)
        utf16[2 * i] = (uint8_t)name[i];
    require(!efi_variable_set(s, &v), "no seed");
}

/* Boot entries, and a list of one signature (UEFI 2.10, 32.4.1). */
static void fill(struct efi_store *s)
{
    static const struct efi_guid global = {{0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11,
                                            0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c}};
    static const struct efi_guid database = {{0xcb, 0xb2, 0x19, 0xd7, 0x3a, 0x3d, 0x96, 0x45,
                                              0xa3, 0xbc, 0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f}};
    static const uint8_t entry[] = {1, 0, 0, 0, 4, 0, 'x', 0, 0, 0, 0x7f, 0xff, 4, 0};
    uint8_t list[76] = {0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40, 0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28};

    store_le32(list + 16, sizeof(list));
    store_le32(list + 24, 48);
    put(s, OURS, &global, entry, sizeof(entry)); /* of another GUID: not ours */
    put(s, "Boot0001", &global, entry, sizeof(entry));
    put(s, "BootOrder", &global, "\1\0\2\0", 4);
    put(s, "BootOrder", &global, "\2\0\1\0", 4);
    put(s, "db", &database, list, sizeof(list));
    put(s, "PK", &global, list, sizeof(list));
    put(s, OURS, &global, "others'", 7); /* of our name, and not ours */
}

size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    struct efi_store s = {.data = ret, .len = 4 * BLOCK, .fd = -1};

    if (index >= 4 || room < s.len)
        return 0;
    memset(ret, 0xff, s.len);
    memset(ret, 0, 16);
    put_volume(ret, s.len);
    memcpy(ret + REGION, region_guid[index & 1], 16);
    store_le32(ret + REGION + 16, 2 * BLOCK);
    ret[REGION + 20] = 0x5a;
    ret[REGION + 21] = 0xfe;
    if (index & 2)
        fill(&s);
    return s.len;
}
