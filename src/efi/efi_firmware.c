/* SPDX-License-Identifier: MIT */
#include "efi/efi_firmware.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "base/error.h"
#include "base/le.h"

/* Without System Management Mode, which builds for Secure Boot insist on. */
static const struct {
    const char *code, *variables;
} installed[] = {
    {"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},     /* Debian, Ubuntu */
    {"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},           /* and before */
    {"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"}, /* Fedora */
    {"/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"}, /* Arch */
    {"/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"}, /* SUSE */
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

static int fill(struct efi_firmware *f, const char *code, const char *variables,
                struct vz_error *err)
{
    *f = (struct efi_firmware){.code = strdup(code), .variables = strdup(variables),
                               .code_len = size_of(code), .variables_len = size_of(variables)};
    if (f->code && f->variables)
        return 0;
    efi_firmware_fini(f);
    return error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
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
    return path;
}

static int use(const char *code, uint64_t variables_len, struct efi_firmware *ret,
               struct vz_error *err)
{
    const char *name = name_of(code);
    char *template = template_beside(code);
    int r = template ? fill(ret, code, template, err)
                     : error_set(err, ENOMEM, VZ_ERROR_NO_MEMORY, "out of memory");

    free(template);
    if (r < 0)
        return r;
    if (strstr(name, "secboot") || strstr(name, ".ms.") || strstr(name, "snakeoil"))
        r = error_set(err, ENOTSUP, VZ_ERROR_UNSUPPORTED,
                      "firmware %s: is built for Secure Boot, which wants System Management Mode", code);
    else if (!ret->code_len)
        r = error_set(err, ENOENT, VZ_ERROR_IO, "firmware %s: is no file", code);
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

int efi_firmware_find(const char *code, uint64_t variables_len, struct efi_firmware *ret,
                      struct vz_error *err)
{
    if (code)
        return use(code, variables_len, ret, err);
    for (unsigned i = 0; i < ARRAY_SIZE(installed); i++) {
        uint64_t len = size_of(installed[i].code), template_len = size_of(installed[i].variables);

        if (efi_sizes_fit(len, variables_len ? variables_len : template_len))
            return fill(ret, installed[i].code, installed[i].variables, err);
    }
    if (variables_len)
        return error_set(err, ENOENT, VZ_ERROR_IO,
                         "no UEFI firmware is installed that goes with a variable store of %llu bytes",
                         (unsigned long long)variables_len);
    return error_set(err, ENOENT, VZ_ERROR_IO,
                     "no UEFI firmware is installed (Debian's package is called ovmf)");
}
