/* SPDX-License-Identifier: MIT */
/* Capabilities of the calling thread: capabilities(7). Sets are of BIT(CAP_...). */
#ifndef VZ_SANDBOX_SANDBOX_RIGHTS_H
#define VZ_SANDBOX_SANDBOX_RIGHTS_H

#include "base/compiler.h"

/* Are all of them in effect? */
bool sandbox_rights_has(uint64_t rights);

/* It may have no others than these from now on, and of those these are in effect. 0 or -errno. */
int sandbox_rights_limit(uint64_t permitted, uint64_t effective) must_check;

#endif
