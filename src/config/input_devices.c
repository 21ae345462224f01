/* SPDX-License-Identifier: MIT */
/* Keyboards and pointing devices. */
#include "config/objects.h"

/* ---- Keyboards ------------------------------------------------------------------------------ */

static const struct schema_field usb_keyboard_fields[] = {
    FIELD_CONST(struct vz_keyboard, is_mac, 0), FIELD_END};
const struct schema_type config_usb_keyboard_type = {
    .name = "usb_keyboard", .json = "usbKeyboard", .size = sizeof(struct vz_keyboard),
    .fields = usb_keyboard_fields, .option = "keyboard", .heading = "Devices",
    .text = "a USB keyboard, on which programs and VNC clients type"};

static const struct schema_field mac_keyboard_fields[] = {
    FIELD_CONST(struct vz_keyboard, is_mac, 1), FIELD_END};
const struct schema_type config_mac_keyboard_type = {
    .name = "mac_keyboard", .json = "macKeyboard", .size = sizeof(struct vz_keyboard),
    .fields = mac_keyboard_fields, .option = "mac-keyboard", .heading = "Devices",
    .text = "a USB keyboard like Apple's, with an fn (Globe) key"};

static const struct schema_type *const keyboards_types[] = {&config_usb_keyboard_type,
                                                            &config_mac_keyboard_type, NULL};
const struct schema_class config_keyboards = {.types = keyboards_types};

struct vz_keyboard *vz_keyboard_ref(struct vz_keyboard *object)
{
    return object_ref(object);
}

void vz_keyboard_unref(struct vz_keyboard *object)
{
    object_unref(object);
}

static struct vz_keyboard *new_keyboard(const struct schema_type *type,
                                        const struct vz_keyboard_options *options, struct vz_error *err)
{
    struct vz_keyboard_options o = VZ_KEYBOARD_OPTIONS_INIT;

    return options_copy(&o, sizeof(o), options, err) < 0 ? NULL : schema_new(type, err);
}

struct vz_keyboard *vz_usb_keyboard_new(const struct vz_keyboard_options *options, struct vz_error *err)
{
    return new_keyboard(&config_usb_keyboard_type, options, err);
}

struct vz_keyboard *vz_mac_keyboard_new(const struct vz_keyboard_options *options, struct vz_error *err)
{
    return new_keyboard(&config_mac_keyboard_type, options, err);
}

int vz_config_add_keyboard(struct vz_config *config, struct vz_keyboard *keyboard, struct vz_error *err)
{
    return config_add(config ? &config->keyboards : NULL, keyboard, err);
}

/* ---- Pointing devices ----------------------------------------------------------------------- */

static const struct schema_field pointer_fields[] = {
    FIELD_CONST(struct vz_pointing_device, kind, POINTING_ABSOLUTE), FIELD_END};
const struct schema_type config_usb_pointer_type = {
    .name = "usb_screen_coordinate", .json = "usbScreenCoordinate", .size = sizeof(struct vz_pointing_device),
    .fields = pointer_fields, .option = "pointer", .heading = "Devices",
    .text = "a USB pointer that is where a display's viewer points"};

static const struct schema_field mouse_fields[] = {
    FIELD_CONST(struct vz_pointing_device, kind, POINTING_MOUSE), FIELD_END};
const struct schema_type config_usb_mouse_type = {
    .name = "usb_mouse", .json = "usbMouse", .size = sizeof(struct vz_pointing_device),
    .fields = mouse_fields, .option = "mouse", .heading = "Devices", .text = "a USB mouse"};

static const struct schema_field trackpad_fields[] = {
    FIELD_CONST(struct vz_pointing_device, kind, POINTING_TRACKPAD), FIELD_END};
const struct schema_type config_trackpad_type = {
    .name = "trackpad", .json = "trackpad", .size = sizeof(struct vz_pointing_device),
    .fields = trackpad_fields, .option = "trackpad", .heading = "Devices",
    .text = "a USB trackpad for gestures of several fingers"};

static const struct schema_type *const pointing_devices_types[] = {
    &config_usb_pointer_type, &config_usb_mouse_type, &config_trackpad_type, NULL};
const struct schema_class config_pointing_devices = {.types = pointing_devices_types};

struct vz_pointing_device *vz_pointing_device_ref(struct vz_pointing_device *object)
{
    return object_ref(object);
}

void vz_pointing_device_unref(struct vz_pointing_device *object)
{
    object_unref(object);
}

static struct vz_pointing_device *new_pointing(const struct schema_type *type,
                                               const struct vz_pointing_device_options *options,
                                               struct vz_error *err)
{
    struct vz_pointing_device_options o = VZ_POINTING_DEVICE_OPTIONS_INIT;

    return options_copy(&o, sizeof(o), options, err) < 0 ? NULL : schema_new(type, err);
}

struct vz_pointing_device *vz_usb_pointer_new(const struct vz_pointing_device_options *options,
                                              struct vz_error *err)
{
    return new_pointing(&config_usb_pointer_type, options, err);
}

struct vz_pointing_device *vz_usb_mouse_new(const struct vz_pointing_device_options *options,
                                            struct vz_error *err)
{
    return new_pointing(&config_usb_mouse_type, options, err);
}

struct vz_pointing_device *vz_trackpad_new(const struct vz_pointing_device_options *options,
                                           struct vz_error *err)
{
    return new_pointing(&config_trackpad_type, options, err);
}

int vz_config_add_pointing_device(struct vz_config *config, struct vz_pointing_device *device,
                                  struct vz_error *err)
{
    return config_add(config ? &config->pointing_devices : NULL, device, err);
}
