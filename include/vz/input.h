/* SPDX-License-Identifier: MIT */
/* Keyboards and pointing devices: what a configuration has, and how a program types and points in a
 * running machine. All of them are USB devices; a configuration that has some and no USB controller
 * gets one. Apple's: VZUSBKeyboardConfiguration, VZMacKeyboardConfiguration,
 * VZUSBScreenCoordinatePointingDeviceConfiguration, VZMacTrackpadConfiguration.
 *
 * Lifetime: counted. Threads: any; objects do not change once made. */
#ifndef VZ_INPUT_H
#define VZ_INPUT_H

#include <vz/error.h>
#include <vz/public.h>

#ifdef __cplusplus
extern "C" {
#endif

VZ_DECLARE_COUNTED(keyboard);
VZ_DECLARE_COUNTED(pointing_device);

struct vz_keyboard_options { /* start from VZ_KEYBOARD_OPTIONS_INIT */
    size_t size;
};
#define VZ_KEYBOARD_OPTIONS_INIT VZ_INIT_(struct vz_keyboard_options, )

/**
 * A USB keyboard with all keys, media keys and a power key: firmware and boot loaders know it too (HID's
 * boot protocol).
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size) or
 * VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_keyboard *vz_usb_keyboard_new(const struct vz_keyboard_options *options,
                                                  struct vz_error *err);
/* The same as Apple makes it, with the fn (Globe) key: VZ_KEY_FN. Since 0.4. */
VZ_PUBLIC struct vz_keyboard *vz_mac_keyboard_new(const struct vz_keyboard_options *options,
                                                  struct vz_error *err);

struct vz_pointing_device_options { /* start from VZ_POINTING_DEVICE_OPTIONS_INIT */
    size_t size;
};
#define VZ_POINTING_DEVICE_OPTIONS_INIT VZ_INIT_(struct vz_pointing_device_options, )

/**
 * A pointer that is where it is told to be on the screen, with five buttons and wheels both ways.
 * Returns a new reference, or NULL with VZ_ERROR_INVALID (options of an unknown size) or
 * VZ_ERROR_NO_MEMORY. Since 0.4. */
VZ_PUBLIC struct vz_pointing_device *
vz_usb_pointer_new(const struct vz_pointing_device_options *options, struct vz_error *err);
/* A mouse, which knows only how far it was moved. Since 0.4. */
VZ_PUBLIC struct vz_pointing_device *
vz_usb_mouse_new(const struct vz_pointing_device_options *options, struct vz_error *err);
/* A trackpad for VZ_TOUCHES_MAX fingers, which can be pressed as a whole. For a guest without a driver for
 * it, as firmware, it is a mouse. Since 0.4. */
VZ_PUBLIC struct vz_pointing_device *
vz_trackpad_new(const struct vz_pointing_device_options *options, struct vz_error *err);

/* ---- Input for a live machine --------------------------------------------------------------- */

struct vz_machine;

/* Keys are USB usages: page << 16 | usage, of the HID Usage Tables 1.4 (the keys of page 7 are chapter
 * 10). These pages are known, others are not; a key that a keyboard does not have does nothing. */
#define VZ_KEY(usage)          (0x00070000u | (usage)) /* 0x04 a .. 0x1d z, 0xe0 .. 0xe7 modifiers */
#define VZ_KEY_CONSUMER(usage) (0x000c0000u | (usage)) /* 0xe2 mute, 0xe9 and 0xea volume, ... */
#define VZ_KEY_SYSTEM(usage)   (0x00010000u | (usage)) /* 0x81 power down, 0x82 sleep, 0x83 wake up */
#define VZ_KEY_FN              0x00ff0003u             /* of a Mac keyboard */

/**
 * Press or release a key. Pressing one that is down, and releasing one that is up, does nothing. What
 * the guest does not read yet waits; when too much waits (some hundred events: a guest without a driver),
 * it is dropped, and all keys are up then.
 * @keyboard  of the configuration's keyboards
 * Returns 0, or -1 with VZ_ERROR_DEVICE_NOT_FOUND or VZ_ERROR_INVALID_STATE (not live). Since 0.4. */
VZ_PUBLIC int vz_machine_send_key(struct vz_machine *machine, unsigned keyboard, uint32_t key, bool down,
                                  struct vz_error *err);

/* Release all keys that are down: for one who goes away with some held. As above. Since 0.4. */
VZ_PUBLIC int vz_machine_release_keys(struct vz_machine *machine, unsigned keyboard,
                                      struct vz_error *err);

enum vz_keyboard_leds { VZ_LED_NUM_LOCK = 1, VZ_LED_CAPS_LOCK = 2, VZ_LED_SCROLL_LOCK = 4 };

/* Which lights the guest has switched on: bits of enum vz_keyboard_leds. Returns 0, or -1 as above. Since
 * 0.4. */
VZ_PUBLIC int vz_machine_keyboard_leds(struct vz_machine *machine, unsigned keyboard, unsigned *ret,
                                       struct vz_error *err);

#define VZ_POINTER_MAX 32767 /* the right and lower edge of the screen */
#define VZ_WHEEL_NOTCH 120   /* of a wheel: one click */

enum vz_pointer_buttons {
    VZ_BUTTON_LEFT = 1, VZ_BUTTON_RIGHT = 2, VZ_BUTTON_MIDDLE = 4, VZ_BUTTON_BACK = 8,
    VZ_BUTTON_FORWARD = 16
};

/* Where a pointing device is now, and how far its wheels were turned since the last one. */
struct vz_pointer_event { /* start from VZ_POINTER_EVENT_INIT */
    size_t size;
    uint16_t x, y;     /* pointer: 0..VZ_POINTER_MAX, from the upper left corner; the others do not look */
    int32_t dx, dy;    /* mouse and trackpad: moved by so much, right and down positive; pointers do not look */
    uint32_t buttons;  /* that are down: of enum vz_pointer_buttons */
    int32_t wheel;     /* in 1/VZ_WHEEL_NOTCH; up (away from the user) is positive */
    int32_t wheel_horizontal; /* right is positive */
};
#define VZ_POINTER_EVENT_INIT VZ_INIT_(struct vz_pointer_event, )

/**
 * Move, click and scroll. Events that a guest has not read yet are joined when no button changes in between.
 * A guest that has not asked for fine wheels gets whole notches; parts add up.
 * @device  of the configuration's pointing devices
 * Returns 0, or -1 with VZ_ERROR_DEVICE_NOT_FOUND, VZ_ERROR_INVALID_STATE (not live) or VZ_ERROR_INVALID (a
 * struct of an unknown size, or NULL). Since 0.4. */
VZ_PUBLIC int vz_machine_send_pointer(struct vz_machine *machine, unsigned device,
                                      const struct vz_pointer_event *event, struct vz_error *err);

#define VZ_TOUCHES_MAX 5

/* A finger on the trackpad. */
struct vz_touch {
    uint32_t id;   /* the same as long as it stays on; any number */
    uint16_t x, y; /* 0..VZ_POINTER_MAX, from the upper left corner */
};

/**
 * Say which fingers are on a trackpad now, and where: those that were and are not among them are lifted.
 * Gestures (scrolling, pinching, swiping) are made of these by the guest.
 * @touch    count of them, 0..VZ_TOUCHES_MAX; NULL where count is 0
 * @pressed  the pad is pressed down
 * Returns 0, or -1 with VZ_ERROR_DEVICE_NOT_FOUND (no such device, or none that is a trackpad),
 * VZ_ERROR_INVALID_STATE (not live) or VZ_ERROR_INVALID. Since 0.4. */
VZ_PUBLIC int vz_machine_send_touches(struct vz_machine *machine, unsigned device,
                                      const struct vz_touch *touch, unsigned count, bool pressed,
                                      struct vz_error *err);

#ifdef __cplusplus
}
#endif
#endif
