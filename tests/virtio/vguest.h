/* SPDX-License-Identifier: MIT */
/* The two halves of vguest: the machine (vguest.c), and what the host does (vguest_host.c). */
#ifndef VZ_TESTS_VGUEST_H
#define VZ_TESTS_VGUEST_H

#include <vz/error.h>

#include "arch/x86/cpu_state.h"
#include "board/pc/board.h"
#include "board/pc/boot/boot.h"
#include "char/char.h"
#include "hv/hv_x86.h"
#include "loop/loop.h"
#include "virtio/virtio.h"

struct vguest {
    const char *folder;
    struct loop *loop;
    struct loop_work go;
    struct device_slots *slots;
    struct board *board;
    struct hv_vcpu *cpu;
    _Atomic bool end;
    int status;
    struct char_dev *line[3];
    pthread_t echo;
    struct virtio_dev *vsock, *balloon;
};

/* Make the slots. 0 or -errno. */
int vguest_devices(struct vguest *g, struct vz_error *err);
void vguest_begin(struct vguest *g); /* before the loop runs */
void vguest_end(struct vguest *g);   /* after it; the board is still there */
void vguest_gone(struct vguest *g);  /* the board is gone, the loop still there */

#endif
