/* SPDX-License-Identifier: MIT */
/* libvz: virtual machines for programs. Everything a user of the library includes.
 *
 * A configuration says what hardware a machine has (config.h); a machine made from it runs
 * (machine.h), and its devices are spoken to (runtime.h); what fails says why in a struct vz_error
 * (error.h). The library never exits, keeps no state outside its objects, and runs any number of
 * machines in one process. */
#ifndef VZ_VZ_H
#define VZ_VZ_H

#include <vz/agent.h>
#include <vz/config.h>
#include <vz/disk.h>
#include <vz/display_channel.h>
#include <vz/efi.h>
#include <vz/error.h>
#include <vz/host.h>
#include <vz/log.h>
#include <vz/machine.h>
#include <vz/provisioning.h>
#include <vz/runtime.h>
#include <vz/saved_state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The library's version, "0.4.0": a static string. Since 0.1. */
VZ_PUBLIC const char *vz_version(void);

/* For "did you mean": which of words, a list that ends with NULL, word was probably meant to be; NULL:
 * none is close. Since 0.4. */
VZ_PUBLIC const char *vz_closest_word(const char *word, const char *const *words);

#ifdef __cplusplus
}
#endif
#endif
