/* SPDX-License-Identifier: MIT */
/* What kind of computer the machine is, and its identity.
 * Apple's: VZGenericPlatformConfiguration, VZGenericMachineIdentifier.
 * Lifetime: counted. Threads: any; does not change once made. */
#ifndef VZ_PLATFORM_H
#define VZ_PLATFORM_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(platform);

/* Tells machines apart: the guest sees it as its SMBIOS UUID, byte for byte in the order in which a
 * UUID is printed. Keep it with a machine's disks. Two running machines with the same one confuse
 * guests. */
struct vz_machine_identifier {
    uint8_t bytes[16];
};
#define VZ_MACHINE_IDENTIFIER_TEXT_MAX 37

/* A new random one (a version 4 UUID). Since 0.2. */
VZ_PUBLIC void vz_machine_identifier_random(struct vz_machine_identifier *ret);
/* From "12345678-9abc-def0-1234-56789abcdef0", any case. Returns 0, or -1 and *ret untouched.
 * Since 0.2. */
VZ_PUBLIC int vz_machine_identifier_parse(const char *text, struct vz_machine_identifier *ret);
/* The same form, lower case. Since 0.2. */
VZ_PUBLIC void vz_machine_identifier_format(const struct vz_machine_identifier *id,
                                            char ret[VZ_MACHINE_IDENTIFIER_TEXT_MAX]);

struct vz_generic_platform_options { /* start from VZ_GENERIC_PLATFORM_OPTIONS_INIT */
    size_t size;
    const struct vz_machine_identifier *machine_identifier; /* copied; NULL: a random one */
};
#define VZ_GENERIC_PLATFORM_OPTIONS_INIT VZ_INIT_(struct vz_generic_platform_options, )

/**
 * Describe a PC for Linux and other generic guests. A configuration without a platform gets one of
 * these with the defaults.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size) or
 * VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_platform *
vz_generic_platform_new(const struct vz_generic_platform_options *options, struct vz_error *err);

/* Since 0.2. */
VZ_PUBLIC void vz_platform_machine_identifier(const struct vz_platform *platform,
                                              struct vz_machine_identifier *ret);

#ifdef __cplusplus
}
#endif
#endif
