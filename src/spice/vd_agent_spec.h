/* SPDX-License-Identifier: MIT */
/* The protocol between a SPICE client and the guest's agent: spice-protocol 0.14.4, vd_agent.h. Names as there; all
 * numbers are little-endian and nothing is padded. The bytes of the port are chunks; those of a chunk's data belong to
 * the stream of messages of its port. */
#ifndef VZ_SPICE_VD_AGENT_SPEC_H
#define VZ_SPICE_VD_AGENT_SPEC_H

#include <stdint.h>

enum { VDP_CLIENT_PORT = 1, VDP_SERVER_PORT = 2 };

#define VD_AGENT_PROTOCOL      1u
#define VD_AGENT_MAX_DATA_SIZE 2048u /* bytes of data in a chunk */

struct vdi_chunk_header {
    uint32_t port, size; /* of the data that follows */
} __attribute__((packed));

struct vd_agent_message {
    uint32_t protocol, type;
    uint64_t opaque;
    uint32_t size; /* of the body that follows */
} __attribute__((packed));

enum {
    VD_AGENT_MOUSE_STATE = 1,
    VD_AGENT_MONITORS_CONFIG,
    VD_AGENT_REPLY,
    VD_AGENT_CLIPBOARD,
    VD_AGENT_DISPLAY_CONFIG,
    VD_AGENT_ANNOUNCE_CAPABILITIES,
    VD_AGENT_CLIPBOARD_GRAB,
    VD_AGENT_CLIPBOARD_REQUEST,
    VD_AGENT_CLIPBOARD_RELEASE,
    VD_AGENT_FILE_XFER_START,
    VD_AGENT_FILE_XFER_STATUS,
    VD_AGENT_FILE_XFER_DATA,
    VD_AGENT_CLIENT_DISCONNECTED,
    VD_AGENT_MAX_CLIPBOARD,
    VD_AGENT_AUDIO_VOLUME_SYNC,
    VD_AGENT_GRAPHICS_DEVICE_INFO,
};

/* Bits of the first word of an announcement. */
enum {
    VD_AGENT_CAP_MOUSE_STATE,
    VD_AGENT_CAP_MONITORS_CONFIG,
    VD_AGENT_CAP_REPLY,
    VD_AGENT_CAP_CLIPBOARD,
    VD_AGENT_CAP_DISPLAY_CONFIG,
    VD_AGENT_CAP_CLIPBOARD_BY_DEMAND,
    VD_AGENT_CAP_CLIPBOARD_SELECTION,
    VD_AGENT_CAP_SPARSE_MONITORS_CONFIG,
    VD_AGENT_CAP_GUEST_LINEEND_LF,
    VD_AGENT_CAP_GUEST_LINEEND_CRLF,
    VD_AGENT_CAP_MAX_CLIPBOARD,
    VD_AGENT_CAP_AUDIO_VOLUME_SYNC,
    VD_AGENT_CAP_MONITORS_CONFIG_POSITION,
    VD_AGENT_CAP_FILE_XFER_DISABLED,
    VD_AGENT_CAP_FILE_XFER_DETAILED_ERRORS,
    VD_AGENT_CAP_GRAPHICS_DEVICE_INFO,
    VD_AGENT_CAP_CLIPBOARD_NO_RELEASE_ON_REGRAB,
    VD_AGENT_CAP_CLIPBOARD_GRAB_SERIAL,
};

struct vd_agent_announce_capabilities {
    uint32_t request; /* 1: answer with yours */
    uint32_t caps[1]; /* or more, or none */
} __attribute__((packed));

/* In front of the body of the four clipboard messages, where both sides have CLIPBOARD_SELECTION. */
struct vd_agent_clipboard_selection {
    uint8_t selection, reserved[3];
} __attribute__((packed));

enum {
    VD_AGENT_CLIPBOARD_SELECTION_CLIPBOARD,
    VD_AGENT_CLIPBOARD_SELECTION_PRIMARY,
    VD_AGENT_CLIPBOARD_SELECTION_SECONDARY,
};

/* Bodies: GRAB, types to the end; REQUEST, one type; CLIPBOARD, a type and data; RELEASE, nothing. */
enum {
    VD_AGENT_CLIPBOARD_NONE,
    VD_AGENT_CLIPBOARD_UTF8_TEXT,
    VD_AGENT_CLIPBOARD_IMAGE_PNG,
    VD_AGENT_CLIPBOARD_IMAGE_BMP,
    VD_AGENT_CLIPBOARD_IMAGE_TIFF,
    VD_AGENT_CLIPBOARD_IMAGE_JPG,
};

struct vd_agent_max_clipboard {
    int32_t max; /* bytes that the other side takes; -1: any number */
} __attribute__((packed));

enum { VD_AGENT_CONFIG_MONITORS_FLAG_USE_POS = 1 };

struct vd_agent_mon_config {
    uint32_t height, width, depth;
    int32_t x, y;
} __attribute__((packed));

struct vd_agent_monitors_config {
    uint32_t num_of_monitors, flags;
    struct vd_agent_mon_config monitors[];
} __attribute__((packed));

/* START: the text of a key file (GLib's), with a NUL behind it, whose group has the keys name and size. */
#define VD_AGENT_FILE_XFER_GROUP "vdagent-file-xfer"

struct vd_agent_file_xfer_start {
    uint32_t id;
} __attribute__((packed));

struct vd_agent_file_xfer_status {
    uint32_t id, result;
} __attribute__((packed));

struct vd_agent_file_xfer_data {
    uint32_t id;
    uint64_t size; /* of the data that follows */
} __attribute__((packed));

enum {
    VD_AGENT_FILE_XFER_STATUS_CAN_SEND_DATA,
    VD_AGENT_FILE_XFER_STATUS_CANCELLED,
    VD_AGENT_FILE_XFER_STATUS_ERROR,
    VD_AGENT_FILE_XFER_STATUS_SUCCESS,
    VD_AGENT_FILE_XFER_STATUS_NOT_ENOUGH_SPACE,
    VD_AGENT_FILE_XFER_STATUS_SESSION_LOCKED,
    VD_AGENT_FILE_XFER_STATUS_VDAGENT_NOT_CONNECTED,
    VD_AGENT_FILE_XFER_STATUS_DISABLED,
};

_Static_assert(sizeof(struct vd_agent_file_xfer_data) == 12 && sizeof(struct vd_agent_file_xfer_status) == 8,
               "as on the wire");
_Static_assert(sizeof(struct vdi_chunk_header) == 8 && sizeof(struct vd_agent_message) == 20 &&
               sizeof(struct vd_agent_mon_config) == 20, "as on the wire");

#endif
