/* SPDX-License-Identifier: MIT */
#include "efi/efi_firmware.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/le.h"

struct pair {
    const char *code, *variables;
};

/* Without Secure Boot, and without the System Management Mode that builds for it insist on. */
static const struct pair plain[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},     /* Debian, Ubuntu */
    {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},           /* and before */
    {"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"}, /* Fedora */
    {"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"}, /* Arch */
    {"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"}, /* SUSE */
};

/* With it; the templates have the keys of Microsoft and of the distribution. */
static const struct pair secured[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"},   /* Debian, Ubuntu */
    {"/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"},         /* and before */
    {"/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"}, /* Fedora */
    {"/usr/share/qemu/ovmf-x86_64-smm-ms-code.bin", "/usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin"}, /* SUSE */
};

bool efi_sizes_fit(uint64_t code_len, uint64_t variables_len)
{
    return code_len && code_len <= EFI_CODE_MAX && variables_len &&
           variables_len <= EFI_VARIABLES_MAX && is_power_of_two(code_len + variables_len);
}

bool efi_is_variables(const uint8_t *data, uint64_t len)
{
    /* EFI_SYSTEM_NV_DATA_FV_GUID: fff12b8d-7696-4c8b-a985-2747075b4f50 */
    static const uint8_t guid[16] = {0x8d, 0x2b, 0xf1, 0xff, 0x96, 0x76, 0x8b, 0x4c,
                                     0xa9, 0x85, 0x27, 0x47, 0x07, 0x5b, 0x4f, 0x50};

    return len >= 64 && !memcmp(data + 16, guid, sizeof(guid)) && load_le64(data + 32) == len &&
           !memcmp(data + 40, "_FVH", 4);
}

static uint64_t size_of(const char *path)
{
    struct stat st;

    return stat(path, &st) < 0 || !S_ISREG(st.st_mode) ? 0 : (uint64_t)st.st_size;
}

void efi_firmware_fini(struct efi_firmware *f)
{
    free(f->code);
    free(f->variables);
    *f = (struct efi_firmware){0};
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* How distributions name them. */
static bool has_smm(const char *code)
{
    const char *name = name_of(code);

    return strstr(name, "secboot") || strstr(name, ".ms.") || strstr(name, "snakeoil") ||
           strstr(name, "-smm-");
}

static int fill(struct efi_firmware *f, const char *code, const char *variables,
                struct vz_error *err)
{
    *f = (struct efi_firmware){.smm = has_smm(code), .code = strdup(code), .variables = strdup(variables),
                               .code_len = size_of(code), .variables_len = size_of(variables)};
    if (f->code && f->variables)
        return 0;
    efi_firmware_fini(f);
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

/* A build that can do Secure Boot may have the template of the one that cannot: without keys. */
static void drop_word(char *path, const char *word)
{
    char *at = size_of(path) ? NULL : strstr(path, word);

    if (at)
        memmove(at, at + strlen(word), strlen(at + strlen(word)) + 1);
}

/* ".../OVMF_CODE_4M.fd" has ".../OVMF_VARS_4M.fd" beside it, in every distribution's spelling. */
static char *template_beside(const char *code)
{
    static const char *const words[][2] = {{"CODE", "VARS"}, {"code", "vars"}};
    const char *name = name_of(code);
    char *path = strdup(code);

    for (unsigned i = 0; path && i < ARRAY_SIZE(words); i++) {
        const char *word = strstr(name, words[i][0]);

        if (word)
            memcpy(path + (word - code), words[i][1], strlen(words[i][1]));
    }
    if (path)
        drop_word(path, ".secboot");
    return path;
}

static int use(const char *code, uint64_t variables_len, bool secure, struct efi_firmware *ret,
               struct vz_error *err)
{
    char *template = template_beside(code);
    int r = template ? fill(ret, code, template, err)
                     : error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");

    free(template);
    if (r < 0)
        return r;
    if (!ret->code_len)
        r = error_set(err, ENOENT, VZ_ERROR_IO, "firmware %s: is no file", code);
    else if (secure && !ret->smm)
        r = error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                      "firmware %s: cannot do Secure Boot, as OVMF_CODE_4M.secboot.fd can", code);
    else if (!variables_len && (!strcmp(ret->variables, code) || !ret->variables_len))
        r = error_set(err, ENOENT, VZ_ERROR_IO,
                      "firmware %s: no template of variables is beside it, as OVMF_VARS.fd is beside OVMF_CODE.fd", code);
    else if (variables_len && !efi_sizes_fit(ret->code_len, variables_len))
        r = error_set(err, EINVAL, VZ_ERROR_INVALID,
                      "firmware %s: does not go with a variable store of %llu bytes: they are of "
                      "different builds", code, (unsigned long long)variables_len);
    if (r < 0)
        efi_firmware_fini(ret);
    return r;
}

int efi_firmware_find(const char *code, uint64_t variables_len, bool secure, struct efi_firmware *ret,
                      struct vz_error *err)
{
    const struct pair *installed = secure ? secured : plain;
    unsigned count = secure ? ARRAY_SIZE(secured) : ARRAY_SIZE(plain);
    const char *kind = secure ? "UEFI firmware for Secure Boot" : "UEFI firmware";

    if (code)
        return use(code, variables_len, secure, ret, err);
    for (unsigned i = 0; i < count; i++) {
        uint64_t len = size_of(installed[i].code), template_len = size_of(installed[i].variables);

        if (efi_sizes_fit(len, variables_len ? variables_len : template_len))
            return fill(ret, installed[i].code, installed[i].variables, err);
    }
    if (variables_len)
        return error_set(err, ENOENT, VZ_ERROR_IO,
                         "no %s is installed that goes with a variable store of %llu bytes", kind,
                         (unsigned long long)variables_len);
    return error_set(err, ENOENT, VZ_ERROR_IO, "no %s is installed (Debian's package is called ovmf)", kind);
}
