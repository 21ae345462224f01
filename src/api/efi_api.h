/* SPDX-License-Identifier: MIT */
/* What the files behind <vz/efi.h> share. */
#ifndef VZ_API_EFI_API_H
#define VZ_API_EFI_API_H

#include "efi/efi_variables.h"

#define EFI_GUID_TEXT 37u

void efi_guid_text(const struct efi_guid *guid, char ret[EFI_GUID_TEXT]);

/* Say in err why something did not work on the store at path. Returns r. */
int efi_failed(const char *path, int r, struct vz_error *err);

#endif
