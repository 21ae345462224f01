/* SPDX-License-Identifier: MIT */
/* Network cards, and the network of the host behind them.
 * Apple's: VZVirtioNetworkDeviceConfiguration, VZMACAddress, VZNetworkDeviceAttachment.
 * Lifetime: counted. Threads: any; objects do not change once made. */
#ifndef VZ_NETWORK_H
#define VZ_NETWORK_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- MAC addresses -------------------------------------------------------------------------- */

struct vz_mac_address {
    uint8_t bytes[6]; /* as they go over the wire */
};
#define VZ_MAC_ADDRESS_TEXT_MAX 18

/* From "aa:bb:cc:dd:ee:ff", any case. Returns 0, or -1 and *ret untouched. Since 0.2. */
VZ_PUBLIC int vz_mac_address_parse(const char *text, struct vz_mac_address *ret);
/* The same form, lower case. Since 0.2. */
VZ_PUBLIC void vz_mac_address_format(const struct vz_mac_address *mac,
                                     char ret[VZ_MAC_ADDRESS_TEXT_MAX]);
/* A random one, unicast and locally administered. Since 0.2. */
VZ_PUBLIC void vz_mac_address_random(struct vz_mac_address *ret);
/* Since 0.2. */
VZ_PUBLIC bool vz_mac_address_is_broadcast(const struct vz_mac_address *mac);
VZ_PUBLIC bool vz_mac_address_is_multicast(const struct vz_mac_address *mac); /* and broadcast */
VZ_PUBLIC bool vz_mac_address_is_unicast(const struct vz_mac_address *mac);
VZ_PUBLIC bool vz_mac_address_is_local(const struct vz_mac_address *mac); /* administered */

/* ---- Attachments ---------------------------------------------------------------------------- */

VZ_DECLARE_COUNTED(network_attachment);
VZ_DECLARE_COUNTED(network_device);

#define VZ_MTU_MIN 1500u
#define VZ_MTU_MAX 65535u

struct vz_port_forward { /* start from VZ_PORT_FORWARD_INIT */
    size_t size;
    bool udp;             /* false: TCP */
    const char *host;     /* address of the host to listen on; NULL: 127.0.0.1 */
    uint16_t host_port;   /* not 0 */
    uint16_t guest_port;  /* not 0 */
};

#define VZ_PORT_FORWARD_INIT VZ_INIT_(struct vz_port_forward, )

struct vz_nat_network_options { /* start from VZ_NAT_NETWORK_OPTIONS_INIT */
    size_t size;
    const struct vz_port_forward *forwards; /* of this many; copied */
    unsigned forward_count;
    /* The router's address (10.0.2.2, fec0::2) reaches services on the host's 127.0.0.1, which
     * trust who can reach them. false: it does not. */
    bool host_loopback;
};
#define VZ_NAT_NETWORK_OPTIONS_INIT VZ_INIT_(struct vz_nat_network_options, )

/**
 * The guest reaches what the host reaches, through a router in this process that also answers DHCP and
 * DNS; the host's loopback only with host_loopback. Nothing reaches the guest but what is forwarded.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_network_attachment *
vz_nat_network_attachment_new(const struct vz_nat_network_options *options,
                              struct vz_error *err);

struct vz_fd_network_options { /* start from VZ_FD_NETWORK_OPTIONS_INIT */
    size_t size;
    unsigned mtu; /* bytes, VZ_MTU_MIN to VZ_MTU_MAX */
};
#define VZ_FD_NETWORK_OPTIONS_INIT VZ_INIT_(struct vz_fd_network_options, VZ_SET_(mtu, VZ_MTU_MIN))

/**
 * A connected datagram (or SOCK_SEQPACKET) socket on which each datagram is an Ethernet frame. Give it a
 * receive buffer of at least twice, better four times the other end's send buffer. That the peer hung up
 * is told at once by the latter kind only.
 * @fd  stays the caller's, and open while a machine uses it
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_network_attachment *
vz_fd_network_attachment_new(int fd, const struct vz_fd_network_options *options,
                             struct vz_error *err);

/**
 * A tap interface of the host that exists, or that the process may make.
 * @interface  its name, at most 15 bytes; copied
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_network_attachment *
vz_tap_network_attachment_new(const char *interface, struct vz_error *err);

/**
 * A tap interface made for each run and put into a bridge of the host; needs CAP_NET_ADMIN.
 * @bridge  the bridge's name, at most 15 bytes; copied
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_network_attachment *
vz_bridged_network_attachment_new(const char *bridge, struct vz_error *err);

/* ---- Devices -------------------------------------------------------------------------------- */

struct vz_virtio_network_options { /* start from VZ_VIRTIO_NETWORK_OPTIONS_INIT */
    size_t size;
    const struct vz_mac_address *mac; /* copied; unicast, not zero; NULL: a random one */
};
#define VZ_VIRTIO_NETWORK_OPTIONS_INIT VZ_INIT_(struct vz_virtio_network_options, )

/**
 * A virtio network card.
 * @attachment  a reference is taken; NULL: no link until vz_machine_set_network_attachment()
 * Returns a new reference, or NULL with VZ_ERROR_INVALID or VZ_ERROR_NO_MEMORY. Since 0.2. */
VZ_PUBLIC struct vz_network_device *
vz_virtio_network_device_new(struct vz_network_attachment *attachment,
                             const struct vz_virtio_network_options *options,
                             struct vz_error *err);

/* To be stored, so that the guest keeps its address. Since 0.2. */
VZ_PUBLIC void vz_network_device_mac(const struct vz_network_device *device,
                                     struct vz_mac_address *ret);

/* What an attachment of vz_nat_network_attachment_new() forwards: number index, which lives as long as the
 * attachment; NULL: there are not so many. Since 0.4. */
VZ_PUBLIC const struct vz_port_forward *
vz_nat_attachment_forward(const struct vz_network_attachment *attachment, unsigned index);
/**
 * The same NAT with other forwards: for vz_machine_set_network_attachment(), which then leaves the guest's
 * connections alone.
 * @attachment  of vz_nat_network_attachment_new()
 * @forwards    of this many; copied
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (it is no NAT) or VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_network_attachment *
vz_nat_attachment_with_forwards(const struct vz_network_attachment *attachment,
                                const struct vz_port_forward *forwards, unsigned forward_count,
                                struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
