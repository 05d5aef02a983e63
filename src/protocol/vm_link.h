/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later */
/* What QEMU's device vgpu-stub (or the ivshmem server) and the daemon say to each other over a Unix stream socket.
 * Plain C. Fixed-size messages; descriptors (SCM_RIGHTS) come with the first byte of the message that they belong to.
 *
 *   device -> daemon   HELLO with the memory's memfd (sealed against changes of size)
 *   device -> daemon   CHANNEL 0 .. channels - 1 in order, each with two eventfds: doorbell (the guest rings, the
 *                      daemon reads) and interrupt (daemon and executors write, the guest is interrupted)
 *   daemon -> device   READY, or REFUSED with a text, after which both sides close the connection
 *   device -> daemon   RESET whenever the VM is reset; also once when a device is plugged in or starts connected
 *
 * Closing the connection, by whichever side, ends every session of the VM.
 */
#ifndef VGPU_PROTOCOL_VM_LINK_H
#define VGPU_PROTOCOL_VM_LINK_H

#include "device.h"

#define VGPU_VM_LINK_MAGIC 0x4d555056u /* "VPUM" */
#define VGPU_VM_LINK_VERSION 0x00010000u

enum vgpu_vm_message_type {
  VGPU_VM_HELLO = 1,
  VGPU_VM_CHANNEL = 2,
  VGPU_VM_RESET = 3,
  VGPU_VM_READY = 16,
  VGPU_VM_REFUSED = 17
};

enum vgpu_vm_device_kind { VGPU_VM_DEVICE_STUB = 1, VGPU_VM_DEVICE_IVSHMEM = 2 };

struct vgpu_vm_message {
  uint32_t magic;   /* VGPU_VM_LINK_MAGIC */
  uint32_t version; /* VGPU_VM_LINK_VERSION; equal major numbers work together */
  uint32_t type;    /* enum vgpu_vm_message_type */
  uint32_t bytes;   /* sizeof(struct vgpu_vm_message) */
  union {
    struct {
      uint32_t vm;
      uint32_t channels; /* 1 .. VGPU_MAX_CHANNELS */
      uint64_t memory_bytes;
      uint32_t device; /* enum vgpu_vm_device_kind */
      uint32_t zero;
      char pool[32]; /* NUL-terminated; empty: as the daemon's configuration says */
      char name[64]; /* of the VM (QEMU's -name), for the log; NUL-terminated, may be empty */
    } hello;
    struct {
      uint32_t index;
    } channel;
    struct {
      char text[192]; /* NUL-terminated */
    } refused;
    uint8_t fill[240];
  } u;
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_vm_message) == 256, "layout");

#endif
