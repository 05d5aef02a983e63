/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later */
/* What /dev/vgpu0 offers to a guest process: the ABI between the guest's kernel module and the shim. Plain C.
 *
 *   open()   takes a channel. EBUSY: none is free. ENODEV: the device is gone, or never met a daemon.
 *   VGPU_IOC_CONNECT  asks the daemon for a session and waits for its answer (interruptible).
 *   mmap()   offset 0: the channel's area, VGPU_CHANNEL_BYTES at most, after a CONNECT that succeeded
 *            (ENOTCONN before); VGPU_MMAP_DOORBELL: one page, whose first 32-bit word rings the doorbell when written
 *            (ENXIO where the device has no such page; write() rings everywhere); VGPU_MMAP_EXTENT + offset: an extent.
 *            Shared mappings only; children of fork() don't inherit them.
 *   write()  any byte: rings the doorbell.
 *   read()   4 bytes: interrupts of this channel since the last read; waits for one (EAGAIN with O_NONBLOCK).
 *   poll()   POLLIN: an interrupt came since the last read; POLLHUP: the host or the device is gone.
 *   close()  by the last process that has it, or its death: the session ends, channel and extents go back once the host
 *            has let go of them.
 */
#ifndef VGPU_PROTOCOL_DRIVER_H
#define VGPU_PROTOCOL_DRIVER_H

#include "layout.h"

#ifdef __KERNEL__
#include <linux/ioctl.h>
#else
#include <sys/ioctl.h>
#endif

#define VGPU_DRIVER_ABI 1u
#define VGPU_MMAP_DOORBELL (1ull << 40)
#define VGPU_MMAP_EXTENT (1ull << 41)

/* In: abi (VGPU_DRIVER_ABI), version, features. Out: the rest. Returns 0 with result 0, or with the daemon's refusal in
 * result, reason and text; ENOTCONN: there is no daemon (text says what to look at); EISCONN: done already. Once. */
struct vgpu_connect {
  uint32_t abi;
  uint32_t version;
  uint64_t features;
  int32_t result;
  uint32_t reason;
  uint32_t session;
  uint32_t vm;
  uint64_t region_bytes; /* channel area and virtual arena */
  uint32_t doorbell_mappable;
  uint32_t zero;
  char text[104];
};

/* Waits until the slot's `done` equals `ticket`, the session has ended, the host is gone, or the time is over. Returns
 * 0 in each of these cases: the caller looks. Interruptible (EINTR). */
struct vgpu_wait {
  uint32_t slot;
  uint32_t ticket;
  uint64_t timeout_ns;
};

/* In: bytes wanted. Out: a run of granules for this channel, zeroed: at least one granule, at most what was asked for
 * (rounded up), and where it lies in BAR2. ENOMEM: none is free. Map it with VGPU_MMAP_EXTENT + offset. */
struct vgpu_extent {
  uint64_t bytes;
  uint64_t offset;
};

#define VGPU_IOC_CONNECT _IOWR('V', 0x01, struct vgpu_connect)
#define VGPU_IOC_WAIT _IOW('V', 0x02, struct vgpu_wait)
#define VGPU_IOC_TAKE_EXTENT _IOWR('V', 0x03, struct vgpu_extent)
/* Gives granules back; their mappings in this process go. EBUSY: the host holds one of them. */
#define VGPU_IOC_GIVE_EXTENT _IOW('V', 0x04, struct vgpu_extent)

#endif
