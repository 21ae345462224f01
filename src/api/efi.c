/* SPDX-License-Identifier: MIT */
/* Files of UEFI variables. */
#include <vz/boot_loader.h>

#include "base/error.h"
#include "config/object.h"
#include "efi/efi_firmware.h"
#include "efi/efi_store.h"

int vz_efi_variable_store_create(const char *path,
                                 const struct vz_efi_variable_store_options *options,
                                 struct vz_error *err)
{
    struct vz_efi_variable_store_options o = VZ_EFI_VARIABLE_STORE_OPTIONS_INIT;
    struct efi_firmware f;
    int r;

    if (!options_given(path, "path", err) || options_copy(&o, sizeof(o), options, err) < 0)
        return -1;
    r = efi_firmware_find(o.firmware, 0, &f, err);
    if (r < 0)
        return -1;
    r = efi_store_create(path, f.variables, o.allow_overwrite, err);
    efi_firmware_fini(&f);
    return r < 0 ? -1 : 0;
}
