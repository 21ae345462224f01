/* SPDX-License-Identifier: MIT */
/* Print the frequency of this host's TSC in kHz. scripts/kvm-rig tells it the kernel in the rig,
 * which would have to measure it by timers that an emulator on a busy host delivers late. */
#include <stdio.h>

#include "base/tsc_rate.h"

int main(void)
{
    struct tsc_rate tsc;

    tsc_rate_start(&tsc);
    printf("%u\n", tsc_rate_khz(&tsc));
    return 0;
}
