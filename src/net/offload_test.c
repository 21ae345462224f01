/* SPDX-License-Identifier: MIT */
#include "net/offload.h"

#include <stdlib.h>
#include <string.h>

#include "net/net.h"
#include "unit.h"

/* RFC 1071 3: 00 01 f2 03 f4 f5 f6 f7 sums to ddf2. */
START_TEST(sum_matches_the_example_of_rfc_1071)
{
    static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

    ck_assert_uint_eq(offload_fold(offload_sum(data, sizeof(data), 0)), (uint16_t)~0xddf2);
    ck_assert_uint_eq(offload_fold(offload_sum(data, 7, 0)),
                      (uint16_t)~((0x0001 + 0xf203 + 0xf4f5 + 0xf600 - 0x20000) + 2));
    ck_assert_uint_eq(offload_fold(offload_sum(data, 0, 0)), 0xffff);
}
END_TEST

static uint16_t slow_sum(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++) {
        sum += (uint32_t)p[i] << (i & 1 ? 0 : 8);
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

START_TEST(sum_matches_a_plain_one_at_any_length_and_place)
{
    uint8_t data[300];

    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(rand() | (i % 7 == 0 ? 0xff : 0));
    for (size_t off = 0; off < 8; off++)
        for (size_t len = 0; len + off <= sizeof(data); len++)
            ck_assert_uint_eq(offload_fold(offload_sum(data + off, len, 0)),
                              slow_sum(data + off, len));
}
END_TEST

#define PAYLOAD 5000u

/* A large packet of TCP (or UDP) over IPv4 or IPv6; the payload is a pattern. */
static size_t make(uint8_t *f, bool ipv6, bool tcp)
{
    size_t at = 14, l4;

    memset(f, 0, 100);
    memcpy(f, "\x52\x54\x00\x12\x34\x56\x52\x55\x0a\x00\x02\x02", 12);
    if (ipv6) {
        memcpy(f + 12, "\x86\xdd\x60", 3);
        f[at + 6] = tcp ? 6 : 17;
        f[at + 7] = 64;
        memset(f + at + 8, 0x20, 32);
        at += 40;
    } else {
        memcpy(f + 12, "\x08\x00\x45", 3);
        memcpy(f + at + 4, "\xff\xff\x40\x00\x40", 5);
        f[at + 9] = tcp ? 6 : 17;
        memcpy(f + at + 12, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
        at += 20;
    }
    l4 = at;
    memcpy(f + at, "\x12\x34\x00\x50", 4);
    if (tcp) {
        memcpy(f + at + 4, "\xff\xff\xff\x00\x00\x00\x00\x01\x60\x99\x20\x00", 12);
        memcpy(f + at + 20, "\x01\x01\x01\x00", 4);
        at += 24;
    } else {
        at += 8;
    }
    for (unsigned i = 0; i < PAYLOAD; i++)
        f[at + i] = (uint8_t)(i * 7 + i / 256);
    (void)l4;
    return at + PAYLOAD;
}

static bool checks_out(const uint8_t *f, size_t len, const struct offload_headers *h)
{
    size_t l4_len = len - h->l4;
    uint64_t sum = l4_len + (h->tcp ? 6 : 17);

    if (!h->ipv6 && offload_fold(offload_sum(f + h->l3, 20, 0)) != 0)
        return false;
    sum = h->ipv6 ? offload_sum(f + h->l3 + 8, 32, sum) : offload_sum(f + h->l3 + 12, 8, sum);
    return offload_fold(offload_sum(f + h->l4, l4_len, sum)) == 0;
}

static void split_all(bool ipv6, bool tcp, unsigned type)
{
    static uint8_t frame[8000], out[8000], all[8000];
    size_t len = make(frame, ipv6, tcp), n, total = 0;
    struct virtio_net_hdr hdr = {.gso_type = (uint8_t)type, .gso_size = 1400};
    struct offload_split s;
    unsigned count = 0;

    ck_assert(offload_split_begin(&s, frame, len, &hdr));
    while ((n = offload_split_next(&s, out)) != 0) {
        struct offload_headers h;

        ck_assert(offload_parse(out, n, &h));
        ck_assert(checks_out(out, n, &h));
        if (ipv6)
            ck_assert_uint_eq((unsigned)(out[18] << 8 | out[19]), n - 54);
        else
            ck_assert_uint_eq((unsigned)(out[16] << 8 | out[17]), n - 14);
        if (!ipv6)
            ck_assert_uint_eq((uint16_t)(out[18] << 8 | out[19]), (uint16_t)(0xffff + count));
        if (tcp) {
            uint32_t seq = (uint32_t)out[h.l4 + 4] << 24 | (uint32_t)out[h.l4 + 5] << 16 |
                           (uint32_t)out[h.l4 + 6] << 8 | out[h.l4 + 7];

            ck_assert_uint_eq(seq, (uint32_t)(0xffffff00u + total));
            ck_assert_uint_eq(out[h.l4 + 13], count == 0 ? 0x90 : count == 3 ? 0x19 : 0x10);
        } else {
            ck_assert_uint_eq((unsigned)(out[h.l4 + 4] << 8 | out[h.l4 + 5]), n - h.l4);
        }
        memcpy(all + total, out + h.payload, n - h.payload);
        total += n - h.payload;
        count++;
    }
    ck_assert_uint_eq(count, 4);
    ck_assert_uint_eq(total, PAYLOAD);
    ck_assert_mem_eq(all, frame + len - PAYLOAD, PAYLOAD);
}

START_TEST(packets_are_cut_into_right_segments)
{
    split_all(false, true, VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN);
    split_all(true, true, VIRTIO_NET_HDR_GSO_TCPV6);
    split_all(false, false, NET_GSO_UDP_L4);
    split_all(true, false, NET_GSO_UDP_L4);
}
END_TEST

START_TEST(packets_of_another_kind_than_told_are_refused)
{
    static uint8_t frame[8000];
    size_t len = make(frame, false, true);
    struct virtio_net_hdr hdr = {.gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 1400};
    struct offload_split s;

    ck_assert(!offload_split_begin(&s, frame, len, &hdr));
    hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    hdr.gso_size = 0;
    ck_assert(!offload_split_begin(&s, frame, len, &hdr));
    hdr.gso_size = 65500;
    ck_assert(!offload_split_begin(&s, frame, len, &hdr));
    hdr.gso_size = 1400;
    ck_assert(!offload_split_begin(&s, frame, 40, &hdr));
    frame[20] |= 0x20; /* a fragment */
    ck_assert(!offload_split_begin(&s, frame, len, &hdr));
}
END_TEST

START_TEST(checksums_are_filled_in_inside_the_frame_only)
{
    static uint8_t frame[8000];
    struct offload_headers h;
    size_t len = make(frame, false, true);
    struct virtio_net_hdr hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34,
                                 .csum_offset = 16};
    uint64_t sum = offload_sum(frame + 26, 8, 6 + len - 34);
    uint16_t pseudo = (uint16_t)~offload_fold(sum);

    frame[50] = (uint8_t)(pseudo >> 8);
    frame[51] = (uint8_t)pseudo;
    frame[24] = 0;
    frame[25] = 0;
    frame[16] = (uint8_t)((len - 14) >> 8);
    frame[17] = (uint8_t)(len - 14);
    sum = offload_fold(offload_sum(frame + 14, 20, 0));
    frame[24] = (uint8_t)(sum >> 8);
    frame[25] = (uint8_t)sum;
    ck_assert(offload_checksum(frame, len, &hdr));
    ck_assert(offload_parse(frame, len, &h));
    ck_assert(checks_out(frame, len, &h));
    hdr.csum_start = (uint16_t)len;
    ck_assert(!offload_checksum(frame, len, &hdr));
    hdr.csum_start = 0xffff;
    hdr.csum_offset = 0xffff;
    ck_assert(!offload_checksum(frame, len, &hdr));
    hdr.csum_start = (uint16_t)(len - 17);
    hdr.csum_offset = 16;
    ck_assert(!offload_checksum(frame, len, &hdr));
}
END_TEST

static void merge_all(bool ipv6)
{
    static uint8_t frame[8000], segment[6][8000], out[NET_FRAME_MAX];
    size_t len = make(frame, ipv6, true), n[6], count = 0, merged_len;
    const struct virtio_net_hdr hdr = {
        .gso_type = ipv6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1400};
    struct virtio_net_hdr got;
    struct offload_split s;
    struct offload_merge m;
    struct offload_headers h;
    const uint8_t *merged;

    frame[ipv6 ? 67 : 47] = 0x18; /* no CWR */
    ck_assert(offload_split_begin(&s, frame, len, &hdr));
    while ((n[count] = offload_split_next(&s, segment[count])) != 0)
        count++;
    ck_assert_uint_eq(count, 4);
    offload_merge_begin(&m, out, segment[0], n[0]);
    ck_assert(!offload_merge_add(&m, segment[2], n[2])); /* one is missing */
    offload_merge_begin(&m, out, segment[0], n[0]);
    for (unsigned i = 1; i < 4; i++)
        ck_assert(offload_merge_add(&m, segment[i], n[i]));
    ck_assert(!offload_merge_add(&m, segment[3], n[3]));
    merged = offload_merge_end(&m, &got, &merged_len);
    ck_assert_uint_eq(merged_len, len);
    ck_assert_uint_eq(got.gso_type, hdr.gso_type);
    ck_assert_uint_eq(got.gso_size, 1400);
    ck_assert_uint_eq(got.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    memcpy(frame, merged, merged_len); /* finished as a card would, it is right */
    ck_assert(offload_checksum(frame, len, &got));
    ck_assert(offload_parse(frame, len, &h));
    ck_assert(checks_out(frame, len, &h));
    ck_assert_uint_eq(frame[h.l4 + 13], 0x18);
    ck_assert_uint_eq(offload_split_begin(&s, frame, len, &got), true);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(offload_split_next(&s, out), n[i]);
        ck_assert_mem_eq(out, segment[i], n[i]);
    }
    offload_merge_begin(&m, out, segment[3], n[3]);
    ck_assert_ptr_eq(offload_merge_end(&m, &got, &merged_len), segment[3]);
    ck_assert_uint_eq(got.gso_type, VIRTIO_NET_HDR_GSO_NONE);
    ck_assert_uint_eq(got.flags, VIRTIO_NET_HDR_F_DATA_VALID);
}

START_TEST(segments_become_the_packet_they_were)
{
    merge_all(false);
    merge_all(true);
}
END_TEST

START_TEST(any_bytes_are_survived)
{
    uint8_t *out = malloc(NET_FRAME_MAX);

    for (unsigned round = 0; round < 20000; round++) {
        size_t len = (size_t)rand() % 200, n, total = 0;
        uint8_t *frame = malloc(len ? len : 1); /* exact, for the sanitizers */
        static uint8_t model[8000];
        struct virtio_net_hdr hdr = {.gso_type = (uint8_t)(rand() % 6),
                                     .gso_size = (uint16_t)(rand() % 100)};
        struct offload_split s;

        (void)make(model, round & 1, round & 2);
        memcpy(frame, model, len);
        for (unsigned i = 0; len && i < round % 4; i++)
            frame[(size_t)rand() % len] = (uint8_t)rand();
        if (offload_split_begin(&s, frame, len, &hdr))
            while ((n = offload_split_next(&s, out)) != 0)
                ck_assert_uint_lt(total++, 300);
        (void)!offload_complete(frame, len, &hdr);
        hdr.csum_start = (uint16_t)(rand() % 250);
        hdr.csum_offset = (uint16_t)(rand() % 250);
        (void)!offload_checksum(frame, len, &hdr);
        free(frame);
    }
    free(out);
}
END_TEST

static void add_tests(Suite *suite)
{
    UNIT_TEST(suite, sum_matches_the_example_of_rfc_1071);
    UNIT_TEST(suite, sum_matches_a_plain_one_at_any_length_and_place);
    UNIT_TEST(suite, packets_are_cut_into_right_segments);
    UNIT_TEST(suite, packets_of_another_kind_than_told_are_refused);
    UNIT_TEST(suite, checksums_are_filled_in_inside_the_frame_only);
    UNIT_TEST(suite, segments_become_the_packet_they_were);
    UNIT_TEST(suite, any_bytes_are_survived);
}

UNIT_TEST_MAIN("offload", add_tests)
