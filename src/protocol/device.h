/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later */
/* What a virtual machine's guest driver, the QEMU device and the daemon share: the registers of `vgpu-stub` (BAR0) and
 * the layout of the guest's shared memory (BAR2 of `vgpu-stub` and of `ivshmem-doorbell` alike). Plain C.
 * docs/device.md explains it. All numbers are little-endian; all offsets of memory are from BAR2's start.
 *
 * Who trusts whom: the host trusts nothing here; the guest's kernel trusts the host (which owns its memory anyway) but
 * checks sizes; a guest process sees only its own channel and extents, never the device area.
 */
#ifndef VGPU_PROTOCOL_DEVICE_H
#define VGPU_PROTOCOL_DEVICE_H

#include "layout.h"

/* ---- PCI identity of vgpu-stub ----
 * Vendor: the one of QEMU's devices without a registered id (edu, standard VGA). Not NVIDIA's, on which installers
 * act. */
#define VGPU_PCI_VENDOR 0x1234u
#define VGPU_PCI_DEVICE 0x7670u
#define VGPU_PCI_CLASS 0x1200u /* processing accelerator */

/* ivshmem-doorbell of any QEMU. */
#define VGPU_IVSHMEM_VENDOR 0x1af4u
#define VGPU_IVSHMEM_DEVICE 0x1110u
#define VGPU_IVSHMEM_DOORBELL 12u /* offset in its BAR0; value: peer << 16 | vector */
#define VGPU_IVSHMEM_GUEST_PEER 0u
#define VGPU_IVSHMEM_DAEMON_PEER 1u

/* ---- BAR0 of vgpu-stub: 32-bit registers, aligned 32-bit accesses only ---- */
#define VGPU_REG_MAGIC 0x00u      /* RO VGPU_MAGIC */
#define VGPU_REG_VERSION 0x04u    /* RO VGPU_DEVICE_VERSION */
#define VGPU_REG_FEATURES 0x08u   /* RO VGPU_DEVICE_FEATURE_... */
#define VGPU_REG_VM_ID 0x0cu      /* RO property vm-id */
#define VGPU_REG_CHANNELS 0x10u   /* RO property channels */
#define VGPU_REG_SHM_LOW 0x14u    /* RO property shm-size in bytes, low half */
#define VGPU_REG_SHM_HIGH 0x18u   /* RO high half */
#define VGPU_REG_STATUS 0x1cu     /* RO VGPU_STATUS_...; reset value as the chardev stands */
#define VGPU_REG_CONNECTS 0x20u   /* RO times that a daemon connected since the VM started */
#define VGPU_REG_PAGE_BYTES 4096u /* registers fill one page; reads elsewhere give 0, writes are ignored */
/* WO, 32 bits, any value: the doorbell of a channel; one page each, so that a process can map its own and no other. */
#define VGPU_REG_DOORBELL(channel) (((channel) + 1u) * 4096u)

#define VGPU_DEVICE_VERSION 0x00010000u /* major << 16 | minor */
#define VGPU_DEVICE_FEATURE_DOORBELL_PAGES (1u << 0)
#define VGPU_STATUS_CONNECTED (1u << 0) /* the chardev is connected */
#define VGPU_STATUS_READY (1u << 1)     /* and the daemon took the VM */
#define VGPU_STATUS_REFUSED (1u << 2)   /* or refused it; its reason is in QEMU's log */

/* ---- BAR2: the guest's shared memory ----
 * device area | channel 0 | channel 1 | ... | arena. A channel's area is what layout.h calls a region without its
 * arena; offsets within it are offsets of that region. */
#define VGPU_DEVICE_PAGE_OFFSET 0u
#define VGPU_MAILBOXES_OFFSET 4096u
#define VGPU_GRANULES_OFFSET (64u << 10)
#define VGPU_DEVICE_AREA_BYTES (2u << 20)
#define VGPU_CHANNEL_STRIDE VGPU_ARENA_OFFSET /* 64 MiB of address space, of which 34 MiB are ever touched */
#define VGPU_CHANNEL_BYTES (VGPU_STAGING_OFFSET + VGPU_STAGING_BYTES)
#define VGPU_CHANNEL_OFFSET(channel) (((uint64_t)(channel) + 1u) * VGPU_CHANNEL_STRIDE)
#define VGPU_MAX_CHANNELS 64u
#define VGPU_DEFAULT_CHANNELS 16u
/* Granule n of the arena lies at VGPU_CHANNEL_OFFSET(channels) + n * VGPU_ARENA_GRANULE. The table bounds the arena. */
#define VGPU_MAX_GRANULES ((VGPU_DEVICE_AREA_BYTES - VGPU_GRANULES_OFFSET) / 4u)
#define VGPU_MIN_MEMORY(channels) (VGPU_CHANNEL_OFFSET(channels) + VGPU_ARENA_GRANULE)

enum vgpu_host_state {
  VGPU_HOST_ABSENT = 0, /* no daemon; sessions that were open have ended */
  VGPU_HOST_READY = 1
};

/* At VGPU_DEVICE_PAGE_OFFSET. Each group of one writer has its own cache lines. */
struct vgpu_device_page {
  /* Written by the daemon before host_state becomes READY for the first time. */
  uint32_t magic;   /* VGPU_MAGIC */
  uint32_t version; /* VGPU_VERSION: of layout.h and of this file */
  uint32_t vm;
  uint32_t channels;
  uint64_t memory_bytes; /* what the host takes BAR2's size for: at most BAR2's own */
  uint64_t arena_offset; /* VGPU_CHANNEL_OFFSET(channels) */
  uint64_t arena_bytes;  /* a multiple of VGPU_ARENA_GRANULE; at most VGPU_MAX_GRANULES of them */
  uint8_t reserved0[88];

  /* Written by the daemon; host_state also by the QEMU device (or the ivshmem server), which writes ABSENT and then
   * raises every channel's interrupt when the daemon's connection breaks. The guest's driver then ends the sessions in
   * their control pages. */
  uint32_t host_epoch
      __attribute__((aligned(128))); /* changes each time that all sessions are gone; then, with release: */
  uint32_t host_state;               /* enum vgpu_host_state */
  uint32_t reset_done;               /* the last guest_reset that was carried out */

  /* Written by the guest's driver. It adds one when it starts and rings channel 0's doorbell: the daemon ends every
   * session of the VM, forgets every request, changes host_epoch and copies the number to reset_done. */
  uint32_t guest_reset __attribute__((aligned(128)));
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_device_page) <= 4096, "layout");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_device_page, host_epoch) == 128, "layout");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_device_page, guest_reset) == 256, "layout");

enum vgpu_request_type {
  VGPU_REQUEST_NONE = 0,
  VGPU_REQUEST_OPEN = 1, /* a session for the process named; answered when its executor is ready or there is none */
  VGPU_REQUEST_CLOSE = 2 /* end it, whatever its state; answered when the host touches neither channel nor extents */
};

/* One for each channel, at VGPU_MAILBOXES_OFFSET. The guest's driver fills its half, adds one to `request` with release
 * and rings the channel's doorbell; the daemon fills its half, sets `answered` to that number with release and raises
 * the channel's interrupt. A newer request makes an older one void: it gets no answer. */
struct vgpu_mailbox {
  /* Written by the guest's driver. */
  uint32_t request;  /* number of the request */
  uint32_t type;     /* enum vgpu_request_type */
  uint64_t features; /* VGPU_FEATURE_... that the process can use */
  int32_t pid;       /* as the guest's kernel numbers the process */
  uint32_t uid;
  uint32_t version; /* VGPU_VERSION of the process's shim */
  uint32_t zero;
  char process[32]; /* name of the program, NUL-terminated */
  uint8_t reserved0[64];

  /* Written by the daemon. */
  uint32_t answered;
  int32_t result;  /* CUresult: 0, or why there is no session */
  uint32_t reason; /* enum vgpu_end_reason */
  uint32_t session;
  uint64_t region_bytes; /* channel area and arena: VGPU_ARENA_OFFSET + arena_bytes */
  char text[104];        /* for people, NUL-terminated */
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_mailbox) == 256, "layout");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_mailbox, answered) == 128, "layout");
VGPU_STATIC_ASSERT(VGPU_MAILBOXES_OFFSET + VGPU_MAX_CHANNELS * sizeof(struct vgpu_mailbox) <= VGPU_GRANULES_OFFSET,
                   "mailboxes and granules overlap");

/* One for each granule of the arena, at VGPU_GRANULES_OFFSET. An executor that is asked to map a granule sets `held`,
 * fences and looks at `owner` once more; a driver that takes a granule back clears `owner`, fences and looks at `held`:
 * if the host still holds it, it keeps its owner until the channel is closed. */
struct vgpu_granule {
  uint16_t owner; /* written by the guest's driver: channel + 1, or 0 */
  uint16_t held;  /* written by the channel's executor: channel + 1 while it has the granule mapped, else 0 */
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_granule) == 4, "layout");

#endif
