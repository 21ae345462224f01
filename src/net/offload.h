/* SPDX-License-Identifier: MIT */
/* What network cards do for their drivers, done in software: fill in checksums, and cut large TCP
 * and UDP packets into segments (VIRTIO 1.2 5.1.6.2; TCP: RFC 9293, checksums: RFC 1071, IPv4
 * header RFC 791, IPv6 RFC 8200). Frames come from a guest: whatever is in them, nothing is read or
 * written outside of them, and each call ends. Pure functions, any thread. */
#ifndef VZ_NET_OFFLOAD_H
#define VZ_NET_OFFLOAD_H

#include <linux/virtio_net.h>

#include "base/compiler.h"

/* Sum of len bytes as big-endian 16-bit words, an odd last byte as the high half (RFC 1071), added
 * to sum. offload_fold() makes the checksum of it. */
uint64_t offload_sum(const void *data, size_t len, uint64_t sum);
uint16_t offload_fold(uint64_t sum); /* complemented; host byte order */

/* Where the headers are. */
struct offload_headers {
    unsigned l3, l4, payload; /* offsets in the frame */
    bool ipv6, tcp;           /* otherwise IPv4; UDP */
};

/* Find them. false: no IP, a fragment, neither TCP nor UDP, or cut short. */
bool offload_parse(const uint8_t *frame, size_t len, struct offload_headers *ret) must_check;

/* Do what NEEDS_CSUM asks for. false: the offsets are outside of the frame. */
bool offload_checksum(uint8_t *frame, size_t len, const struct virtio_net_hdr *hdr) must_check;

/* Make a large packet a complete one that claims no more: lengths and all checksums. false: not of
 * the kind that hdr says, or too long for IP. */
bool offload_complete(uint8_t *frame, size_t len, const struct virtio_net_hdr *hdr) must_check;

/* Cutting a packet; frame must stay as it is until the end. */
struct offload_split {
    const uint8_t *frame;
    size_t len, pos; /* pos: payload used up to there */
    struct offload_headers headers;
    unsigned gso_size, index;
};

/* false: not of the kind that hdr says, or more than a segment has headers for. */
bool offload_split_begin(struct offload_split *s, const uint8_t *frame, size_t len,
                         const struct virtio_net_hdr *hdr) must_check;
/* The next segment, complete with checksums, into out (room for len). Its length; 0: no more. */
size_t offload_split_next(struct offload_split *s, uint8_t *out) must_check;

/* The way back: TCP segments that follow each other become one large packet, so that a guest
 * handles some dozens of them at the price of one. Frames must have right checksums: they are not
 * looked at again. */
struct offload_merge {
    uint8_t *out;   /* room for NET_FRAME_MAX */
    size_t len;     /* so far; 0 while there is only the first */
    const uint8_t *first;
    size_t first_len, gso_size;
    struct offload_headers headers;
    uint32_t next_seq;
    bool open;      /* more may be added */
};

/* Begin with frame, which must stay as it is until offload_merge_end(). */
void offload_merge_begin(struct offload_merge *m, uint8_t *out, const uint8_t *frame, size_t len);
/* false: it does not belong to it. */
bool offload_merge_add(struct offload_merge *m, const uint8_t *frame, size_t len) must_check;
/* What it became: m->first if it stayed alone. Fills in *ret_hdr. */
const uint8_t *offload_merge_end(struct offload_merge *m, struct virtio_net_hdr *ret_hdr,
                                 size_t *ret_len) must_check;

#endif
