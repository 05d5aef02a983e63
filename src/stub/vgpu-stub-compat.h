/*
 * What differs between the QEMU versions that vgpu-stub is built for: 7.2 to 10.0
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_MISC_VGPU_STUB_COMPAT_H
#define HW_MISC_VGPU_STUB_COMPAT_H

#include "qapi/error.h"
#include "migration/blocker.h"
#include "hw/qdev-properties.h"

#if QEMU_VERSION_MAJOR >= 8
#include "hw/pci/pci_device.h"
#else
#include "hw/pci/pci.h"
#endif

#if QEMU_VERSION_MAJOR >= 10
#include "system/kvm.h"
#include "system/system.h"
#define VGPU_PROPERTIES static const Property
#define VGPU_PROPERTIES_END
#else
#include "sysemu/kvm.h"
#include "sysemu/sysemu.h"
#define VGPU_PROPERTIES static Property
#define VGPU_PROPERTIES_END DEFINE_PROP_END_OF_LIST(),
#endif

/* The reset handler got another name in 9.2. */
static inline void vgpu_compat_set_reset(DeviceClass *dc,
                                         void (*reset)(DeviceState *))
{
#if QEMU_VERSION_MAJOR >= 10 || \
    (QEMU_VERSION_MAJOR == 9 && QEMU_VERSION_MINOR >= 2)
    device_class_set_legacy_reset(dc, reset);
#else
    dc->reset = reset;
#endif
}

/*
 * Both functions leave *@reason NULL when there is no blocker. From 8.2 on
 * QEMU sees to that itself.
 */
static inline int vgpu_compat_block_migration(Error **reason, Error **errp)
{
#if QEMU_VERSION_MAJOR >= 9 || \
    (QEMU_VERSION_MAJOR == 8 && QEMU_VERSION_MINOR >= 2)
    return migrate_add_blocker(reason, errp);
#else
    int ret = migrate_add_blocker(*reason, errp);

    if (ret < 0) {
        error_free(*reason);
        *reason = NULL;
    }
    return ret;
#endif
}

static inline void vgpu_compat_unblock_migration(Error **reason)
{
#if QEMU_VERSION_MAJOR >= 9 || \
    (QEMU_VERSION_MAJOR == 8 && QEMU_VERSION_MINOR >= 2)
    migrate_del_blocker(reason);
#else
    if (*reason) {
        migrate_del_blocker(*reason);
        error_free(*reason);
        *reason = NULL;
    }
#endif
}

#endif
