/* SPDX-License-Identifier: MIT */
#ifndef VZ_BOARD_PC_FIRMWARE_FILES_H
#define VZ_BOARD_PC_FIRMWARE_FILES_H

#include "base/compiler.h"

struct board;

/* Have fw_cfg's files say what the board is. 0 or -errno. */
int firmware_set_files(struct board *b) must_check;

#endif
