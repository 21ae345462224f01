/* SPDX-License-Identifier: MIT */
/* eXtensible Host Controller Interface for USB 1.1: registers, contexts, TRBs. Section numbers are its. */
#ifndef VZ_USB_XHCI_SPEC_H
#define VZ_USB_XHCI_SPEC_H

#include "base/compiler.h"

/* 5.3 Capability registers. */
enum {
    XHCI_CAPLENGTH = 0x00, XHCI_HCSPARAMS1 = 0x04, XHCI_HCSPARAMS2 = 0x08, XHCI_HCSPARAMS3 = 0x0c,
    XHCI_HCCPARAMS1 = 0x10, XHCI_DBOFF = 0x14, XHCI_RTSOFF = 0x18, XHCI_HCCPARAMS2 = 0x1c,
};
#define XHCI_HCIVERSION 0x0110u
enum { XHCI_HCC1_AC64 = 0x0001, XHCI_HCC1_PPC = 0x0008, XHCI_HCC1_NSS = 0x0080, XHCI_HCC1_SPC = 0x0200 };
#define XHCI_HCC1_MAX_PSA_SHIFT 12

/* 5.4 Operational registers. */
enum {
    XHCI_USBCMD = 0x00, XHCI_USBSTS = 0x04, XHCI_PAGESIZE = 0x08, XHCI_DNCTRL = 0x14, XHCI_CRCR = 0x18,
    XHCI_DCBAAP = 0x30, XHCI_CONFIG = 0x38, XHCI_PORTS = 0x400,
};
enum {
    XHCI_CMD_RS = BIT(0), XHCI_CMD_HCRST = BIT(1), XHCI_CMD_INTE = BIT(2), XHCI_CMD_HSEE = BIT(3),
    XHCI_CMD_CSS = BIT(8), XHCI_CMD_CRS = BIT(9), XHCI_CMD_EWE = BIT(10),
};
enum {
    XHCI_STS_HCH = BIT(0), XHCI_STS_HSE = BIT(2), XHCI_STS_EINT = BIT(3), XHCI_STS_PCD = BIT(4),
    XHCI_STS_SRE = BIT(10), XHCI_STS_CNR = BIT(11), XHCI_STS_HCE = BIT(12),
};
enum { XHCI_CRCR_RCS = BIT(0), XHCI_CRCR_CS = BIT(1), XHCI_CRCR_CA = BIT(2), XHCI_CRCR_CRR = BIT(3) };

/* 5.4.8 PORTSC. */
enum { XHCI_PORT_SC = 0, XHCI_PORT_PMSC = 4, XHCI_PORT_LI = 8, XHCI_PORT_HLPMC = 12 };
#define XHCI_PORT_CCS       (UINT32_C(1) << 0)
#define XHCI_PORT_PED       (UINT32_C(1) << 1)
#define XHCI_PORT_PR        (UINT32_C(1) << 4)
#define XHCI_PORT_PLS_SHIFT 5
#define XHCI_PORT_PLS_MASK  (UINT32_C(15) << XHCI_PORT_PLS_SHIFT)
#define XHCI_PORT_PP        (UINT32_C(1) << 9)
#define XHCI_PORT_SPEED_SHIFT 10
#define XHCI_PORT_SPEED_MASK  (UINT32_C(15) << XHCI_PORT_SPEED_SHIFT)
#define XHCI_PORT_PIC       (UINT32_C(3) << 14)
#define XHCI_PORT_LWS       (UINT32_C(1) << 16)
#define XHCI_PORT_CSC       (UINT32_C(1) << 17)
#define XHCI_PORT_PEC       (UINT32_C(1) << 18)
#define XHCI_PORT_WRC       (UINT32_C(1) << 19)
#define XHCI_PORT_PRC       (UINT32_C(1) << 21)
#define XHCI_PORT_PLC       (UINT32_C(1) << 22)
#define XHCI_PORT_CHANGES   (UINT32_C(0x7f) << 17)
#define XHCI_PORT_WAKES     (UINT32_C(7) << 25) /* WCE, WDE, WOE */
#define XHCI_PORT_WPR       (UINT32_C(1) << 31)
enum xhci_pls {
    XHCI_U0 = 0, XHCI_U1 = 1, XHCI_U2 = 2, XHCI_U3 = 3, XHCI_PLS_DISABLED = 4, XHCI_RX_DETECT = 5,
    XHCI_INACTIVE = 6, XHCI_POLLING = 7, XHCI_COMPLIANCE = 10, XHCI_RESUME = 15,
};

/* 5.5 Runtime registers; an interrupter each 32 bytes from 0x20 on. */
enum { XHCI_MFINDEX = 0x00, XHCI_INTERRUPTERS = 0x20 };
enum {
    XHCI_IMAN = 0x00, XHCI_IMOD = 0x04, XHCI_ERSTSZ = 0x08, XHCI_ERSTBA = 0x10, XHCI_ERDP = 0x18,
};
enum { XHCI_IMAN_IP = BIT(0), XHCI_IMAN_IE = BIT(1) };
#define XHCI_ERDP_EHB      UINT64_C(8)
#define XHCI_IMOD_DEFAULT  4000u /* of 250 ns */
#define XHCI_IMOD_UNIT_NS  250u

/* 6.4 TRBs. */
struct xhci_trb {
    uint64_t parameter;
    uint32_t status, control;
};
_Static_assert(sizeof(struct xhci_trb) == 16, "6.4");
enum {
    XHCI_TRB_C = BIT(0), /* cycle */
    XHCI_TRB_TC = BIT(1), /* link: toggle cycle */
    XHCI_TRB_ISP = BIT(2), XHCI_TRB_CH = BIT(4), XHCI_TRB_IOC = BIT(5), XHCI_TRB_IDT = BIT(6),
    XHCI_TRB_BEI = BIT(9), /* of transfers */
    XHCI_TRB_BSR = BIT(9), /* Address Device */
    XHCI_TRB_DC = BIT(9),  /* Configure Endpoint */
    XHCI_TRB_ED = BIT(2),  /* of events */
    XHCI_TRB_DIR_IN = BIT(16),
};
#define XHCI_TRB_TYPE(control)   ((control) >> 10 & 63)
#define XHCI_TRB_LEN(status)     ((status) & 0x1ffff)
#define XHCI_TRB_INTR(status)    ((status) >> 22)
#define XHCI_TRB_SLOT(control)   ((control) >> 24)
#define XHCI_TRB_EP(control)     ((control) >> 16 & 31)
#define XHCI_TRB_STREAM(status)  ((status) >> 16)       /* Set TR Dequeue Pointer */
#define XHCI_TRB_SCT(parameter)  ((parameter) >> 1 & 7) /* and stream contexts */
enum xhci_trb_type { /* 6.4.6 */
    XHCI_NORMAL = 1, XHCI_SETUP = 2, XHCI_DATA = 3, XHCI_STATUS = 4, XHCI_ISOCH = 5, XHCI_LINK = 6,
    XHCI_EVENT_DATA = 7, XHCI_NO_OP = 8,
    XHCI_ENABLE_SLOT = 9, XHCI_DISABLE_SLOT = 10, XHCI_ADDRESS_DEVICE = 11, XHCI_CONFIGURE_ENDPOINT = 12,
    XHCI_EVALUATE_CONTEXT = 13, XHCI_RESET_ENDPOINT = 14, XHCI_STOP_ENDPOINT = 15, XHCI_SET_TR_DEQUEUE = 16,
    XHCI_RESET_DEVICE = 17, XHCI_FORCE_EVENT = 18, XHCI_NEGOTIATE_BANDWIDTH = 19, XHCI_SET_LATENCY = 20,
    XHCI_GET_PORT_BANDWIDTH = 21, XHCI_FORCE_HEADER = 22, XHCI_NO_OP_COMMAND = 23,
    XHCI_EV_TRANSFER = 32, XHCI_EV_COMMAND = 33, XHCI_EV_PORT = 34, XHCI_EV_HOST = 37, XHCI_EV_MFINDEX = 39,
};
enum xhci_code { /* 6.4.5 */
    XHCI_SUCCESS = 1, XHCI_DATA_BUFFER_ERROR = 2, XHCI_BABBLE_ERROR = 3, XHCI_TRANSACTION_ERROR = 4, XHCI_TRB_ERROR = 5,
    XHCI_STALL_ERROR = 6, XHCI_RESOURCE_ERROR = 7, XHCI_NO_SLOTS = 9, XHCI_INVALID_STREAM_TYPE = 10,
    XHCI_SLOT_NOT_ENABLED = 11, XHCI_EP_NOT_ENABLED = 12,
    XHCI_SHORT_PACKET = 13, XHCI_PARAMETER_ERROR = 17, XHCI_CONTEXT_STATE_ERROR = 19,
    XHCI_RING_FULL = 21, XHCI_RING_STOPPED = 24, XHCI_COMMAND_ABORTED = 25, XHCI_STOPPED = 26,
    XHCI_STOPPED_LENGTH = 27, XHCI_STOPPED_SHORT = 28, XHCI_INVALID_STREAM_ID = 34,
};

/* 6.2 Contexts, of 32 bytes: the slot's, then endpoints by their DCI. */
#define XHCI_CONTEXT_SIZE 32u
enum xhci_slot_state { XHCI_SLOT_ENABLED = 0, XHCI_SLOT_DEFAULT = 1, XHCI_SLOT_ADDRESSED = 2,
                       XHCI_SLOT_CONFIGURED = 3 };
enum xhci_ep_state { XHCI_EP_DISABLED = 0, XHCI_EP_RUNNING = 1, XHCI_EP_HALTED = 2, XHCI_EP_STOPPED = 3,
                     XHCI_EP_ERROR = 4 };
/* 6.2.3, the first word: log2 of the stream contexts, less 1; and that there are no secondary ones. */
#define XHCI_EP_MAX_PSTREAMS(word) ((word) >> 10 & 31)
enum { XHCI_EP_LSA = BIT(15) };
/* 6.2.4 Stream contexts: the ring's dequeue pointer, with its cycle state and what it is. */
#define XHCI_STREAM_SIZE 16u
enum { XHCI_SCT_PRIMARY = 1 };
enum xhci_ep_type {
    XHCI_EP_ISOCH_OUT = 1, XHCI_EP_BULK_OUT = 2, XHCI_EP_INTERRUPT_OUT = 3, XHCI_EP_CONTROL = 4,
    XHCI_EP_ISOCH_IN = 5, XHCI_EP_BULK_IN = 6, XHCI_EP_INTERRUPT_IN = 7,
};

#endif
