/* SPDX-License-Identifier: MIT */
/* System Management Mode, for firmware that lives in it: what the host bridge and the SMI port ask of the rest
 * of the board. Low memory ends with the TSEG, as firmware for virtual machines takes for granted. */
#include "board/pc/board.h"
#include "board/pc/firmware.h"

bool board_has_smm(const struct board_options *o)
{
    return o->firmware && o->firmware->smm;
}

void board_hide_smram(void *arg, unsigned mib)
{
    struct board *b = arg;
    uint64_t end = memory_map_low(b->options.ram_size);

    mem_hide(b->mem, end - mib * MIB, mib * MIB);
    b->options.hv->hidden(b->vm);
}

void board_smi(void *arg)
{
    const struct board *b = arg;

    b->options.hv->smi(b->vm);
}
