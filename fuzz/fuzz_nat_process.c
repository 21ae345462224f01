/* SPDX-License-Identifier: MIT */
/* A hostile process of a NAT: the input is what the machine's side hears from it, message after message, while a card
 * takes frames, or has no room. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "no_check.h"

#include "base/child.h"
#include "fake_loop.h"
#include "fuzz.h"
#include "fuzz_input.h"
#include "net/net_nat_wire.h"

struct card {
    unsigned offloads, room;
};

static bool receive(void *arg, const struct virtio_net_hdr *hdr, const uint8_t *frame, size_t len)
{
    struct card *c = arg;
    volatile uint8_t last;

    if (!c->room)
        return false;
    c->room--;
    require(len >= NET_FRAME_MIN && len <= NET_FRAME_MAX, "a frame has an Ethernet header, and an end");
    require(c->offloads & NET_CSUM || !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM), "checksums are filled in");
    require(c->offloads & (NET_TSO4 | NET_TSO6) || hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE, "large ones are cut");
    require(!(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || hdr->csum_start + hdr->csum_offset + 2u <= len,
            "a checksum lies in its frame");
    last = frame[len - 1];
    (void)last;
    return true;
}

static void nothing(void *arg) {}

static const struct net_client client = {.receive = receive, .received = nothing, .writable = nothing};

/* The process says yes before it is asked, and gives nothing away. */
static struct net *connect_card(struct loop *loop, struct child *c, int *ret_frames, int *ret_other)
{
    const struct child_answer yes = {.result = 1};
    const struct net_nat_options o = {.child = c};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    static struct nat_question q;
    struct iovec iov = {&q, sizeof(q)};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    struct net *n = NULL;
    int pair[2];

    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "a pair of sockets");
    *c = (struct child){.socket = pair[0], .life = -1};
    require(send(pair[1], &yes, sizeof(yes), 0) == sizeof(yes) && net_nat_create(loop, &o, &n, NULL) == 0, "a network");
    require(recvmsg(pair[1], &msg, MSG_CMSG_CLOEXEC) > 0 && CMSG_FIRSTHDR(&msg), "a question");
    memcpy(ret_frames, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
    *ret_other = pair[1];
    return n;
}

static void say(int frames, struct input *in)
{
    static uint8_t message[70000];
    size_t len = take(in, 2) * (take(in, 1) & 1 ? 1 : 4) % sizeof(message), given = MIN(len, in->len);

    memset(message, 0, len);
    memcpy(message, in->p, given);
    in->p += given;
    in->len -= given;
    (void)!send(frames, message, len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct card card = {.room = 3};
    struct child c;
    struct loop *loop;
    struct net *n;
    int frames, other;

    require(loop_create(&loop) == 0, "a loop");
    n = connect_card(loop, &c, &frames, &other);
    net_attach(n, &client, &card);
    card.offloads = (unsigned)take(&in, 1) & (NET_CSUM | NET_TSO4 | NET_TSO6 | NET_ECN);
    net_set_offloads(n, card.offloads);
    for (unsigned i = 0; i < 64 && in.len; i++) {
        say(frames, &in);
        fake_loop_turn(loop);
        card.room = (unsigned)take(&in, 1) & 7;
        net_accept_input(n);
        fake_loop_turn(loop);
    }
    close(other);
    net_attach(n, NULL, NULL);
    net_destroy(n);
    loop_destroy(loop);
    close(frames);
    return 0;
}

/* A frame, a large one, and news. */
size_t fuzz_seed(unsigned index, uint8_t *ret, size_t room)
{
    static const struct nat_message m[] = {
        {.kind = NAT_MESSAGE_FRAME},
        {.kind = NAT_MESSAGE_FRAME,
         .header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 100,
                    .hdr_len = 54, .csum_start = 34, .csum_offset = 16}},
        {.kind = NAT_MESSAGE_NEWS}};
    static const uint8_t tcp[] = "\x52\x54\x00\x12\x34\x56\x52\x55\x0a\x00\x02\x02\x08\x00\x45\x00\x01\xf2\x00\x00\x40\x00"
                                 "\x40\x06\x00\x00\x0a\x00\x02\x02\x0a\x00\x02\x0f\x00\x50\x10\x00\x00\x00\x00\x01\x00\x00"
                                 "\x00\x02\x50\x10\x10\x00";
    size_t len = sizeof(m[0]) + (index == 2 ? sizeof(struct nat_news) : 512);

    if (index >= ARRAY_SIZE(m) || room < 4 + len)
        return 0;
    memset(ret, 0, 4 + len);
    ret[0] = (uint8_t)(index * 7);
    ret[1] = (uint8_t)(len >> 8);
    ret[2] = (uint8_t)len;
    ret[3] = 1;
    memcpy(ret + 4, &m[index], sizeof(m[0]));
    if (index < 2)
        memcpy(ret + 4 + sizeof(m[0]), tcp, sizeof(tcp) - 1);
    return 4 + len;
}
