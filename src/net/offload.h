/* SPDX-License-Identifier: MIT */
/* What network cards do for their drivers, done in software: fill in checksums, and cut large TCP
 * and UDP packets into segments (VIRTIO 1.2 5.1.6.2; TCP: RFC 9293, checksums: RFC 1071, IPv4
 * header RFC 791, IPv6 RFC 8200). Frames come from a guest: whatever is in them, nothing is read or
 * written outside of them, and each call ends. Pure functions, any thread. */
#ifndef VZ_NET_OFFLOAD_H
#define VZ_NET_OFFLOAD_H

#include <linux/virtio_net.h>

#include "base/compiler.h"

/* Sum of len bytes as big-endian 16-bit words, an odd last byte as the high half (RFC 1071), added to
 * sum. offload_fold() makes the checksum of it. */
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

#endif
