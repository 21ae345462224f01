/* SPDX-License-Identifier: MIT */
/* Print the frequency of this host's TSC in kHz. scripts/kvm-rig tells it the kernel in the rig,
 * which would have to measure it by timers that an emulator on a busy host delivers late. */
#include <stdio.h>

#include "base/clock.h"

int main(void)
{
    printf("%u\n", clock_measure_tsc_khz());
    return 0;
}
