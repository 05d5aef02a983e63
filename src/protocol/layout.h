/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-or-later */
/* The shared memory of one channel, as guest and host see it. Plain C: the guest's kernel module and the QEMU device
 * include it too. docs/protocol.md explains it. All numbers are little-endian; all offsets are from the region's start.
 */
#ifndef VGPU_PROTOCOL_LAYOUT_H
#define VGPU_PROTOCOL_LAYOUT_H

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stddef.h>
#include <stdint.h>
#endif

#ifdef __cplusplus
#define VGPU_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define VGPU_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

#define VGPU_MAGIC 0x55504756u /* "VGPU" */

/* A guest and a host work together when the major numbers are equal; a higher minor number only adds. */
#define VGPU_VERSION_MAJOR 1u
#define VGPU_VERSION_MINOR 0u
#define VGPU_VERSION ((VGPU_VERSION_MAJOR << 16) | VGPU_VERSION_MINOR)

/* Feature bits of the control page. */
#define VGPU_FEATURE_ARENA (1ull << 0)          /* pinned memory lives in the arena, at one address on both sides */
#define VGPU_FEATURE_HOST_FUNCTIONS (1ull << 1) /* the guest may be called back in stream order */
#define VGPU_FEATURE_STATUS (1ull << 2)         /* no session: only a status (status.hpp) in staging, then the end */

#define VGPU_PAGE 4096u
#define VGPU_RING_BYTES (1u << 20)
#define VGPU_SLOT_COUNT 1024u
#define VGPU_SLOT_BYTES 256u
#define VGPU_SLOT_REPLY_BYTES 240u
#define VGPU_STAGING_CHUNK_BYTES (1u << 20)
#define VGPU_STAGING_CHUNKS 32u

/* Where the parts lie. The control page and the slots come first so that all offsets are compile-time constants; only
 * the arena's size differs from region to region. */
#define VGPU_CONTROL_OFFSET 0u
#define VGPU_SLOTS_OFFSET VGPU_PAGE
#define VGPU_RING_OFFSET (VGPU_SLOTS_OFFSET + VGPU_SLOT_COUNT * VGPU_SLOT_BYTES)
#define VGPU_STAGING_OFFSET (2u << 20)
#define VGPU_STAGING_BYTES (VGPU_STAGING_CHUNKS * VGPU_STAGING_CHUNK_BYTES)
#define VGPU_ARENA_OFFSET (64u << 20)
#define VGPU_ARENA_GRANULE (2u << 20) /* extents of the arena are multiples of it */

VGPU_STATIC_ASSERT(VGPU_RING_OFFSET + VGPU_RING_BYTES <= VGPU_STAGING_OFFSET, "ring and staging overlap");
VGPU_STATIC_ASSERT(VGPU_STAGING_OFFSET + VGPU_STAGING_BYTES <= VGPU_ARENA_OFFSET, "staging and arena overlap");

/* A record of the ring is this header, then the call's request, then its tail; its length is a multiple of 32,
 * so that a header never wraps around the ring's end. */
#define VGPU_RECORD_ALIGN 32u
#define VGPU_RECORD_MAX_BYTES (128u << 10)
#define VGPU_NO_SLOT 0xffffffffu
#define VGPU_CALL_PAD 0u /* fills the ring's end: the next record starts at the ring's start */

/* Flags of a record. */
#define VGPU_RECORD_MORE (1u << 0) /* one call in several records: this is not the last of them, and is not counted */
#define VGPU_RECORD_FLAGS VGPU_RECORD_MORE

struct vgpu_record {
  uint32_t bytes;      /* of the whole record, header and padding included */
  uint16_t call;       /* catalogue/; VGPU_CALL_PAD */
  uint16_t flags;      /* VGPU_RECORD_... */
  uint32_t slot;       /* the completion slot to answer in, or VGPU_NO_SLOT */
  uint32_t ticket;     /* written into the slot with the answer; never 0 */
  uint32_t context;    /* index of the guest thread's current context; 0: none */
  uint32_t tail_bytes; /* bytes after the request that carry data; padding follows them */
  uint32_t sequence;   /* low half of the record's position in the ring's byte stream */
  uint32_t check;      /* vgpu_check() over the header with check = 0 and the request */
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_record) == 32, "layout");

/* The answer to one record. The guest owns a slot until `done` equals the ticket that it sent. */
struct vgpu_slot {
  uint32_t done;     /* ticket of the answer that lies here; written last by the host, with release */
  uint32_t sleeping; /* 1 while the guest thread sleeps on `done` (set by the guest, then a full fence, then a look) */
  int32_t result;    /* CUresult */
  uint32_t reply_bytes;
  uint8_t reply[VGPU_SLOT_REPLY_BYTES];
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_slot) == VGPU_SLOT_BYTES, "layout");

/* How a session stands, in vgpu_control.state. */
enum vgpu_state {
  VGPU_STATE_OPENING = 0,
  VGPU_STATE_OPEN = 1,
  VGPU_STATE_ENDED = 2 /* end_reason and end_result say why; no record is read any more */
};

/* The first page. The host writes the first block once, before the guest sees it, and never reads it again. */
struct vgpu_control {
  uint32_t magic;
  uint32_t version;
  uint64_t features;
  uint64_t region_bytes;
  uint64_t arena_bytes;
  uint64_t arena_address; /* where both sides map the arena if the guest can; vgpuAttach settles it */
  uint32_t ring_bytes;
  uint32_t slot_count;
  uint32_t record_max_bytes;
  uint32_t staging_chunks;
  uint32_t session;
  uint32_t vm;
  uint8_t reserved0[64];

  /* Written by the guest. */
  uint64_t head __attribute__((aligned(128))); /* bytes ever published in the ring */
  uint32_t host_functions_done;                /* ticket of the last answer of vgpuServeHostFunctions that is done */

  /* Written by the executor. */
  uint64_t tail __attribute__((aligned(128))); /* bytes ever consumed */

  /* Doorbell suppression: the executor sets it to 1, fences and looks at head once more before it sleeps; the guest
   * publishes, fences, and rings only if an exchange with 0 gave 1. */
  uint32_t executor_sleeping __attribute__((aligned(128)));

  /* Written by the host; read by the guest at each call. */
  uint32_t state __attribute__((aligned(128))); /* enum vgpu_state */
  uint32_t end_reason;                          /* enum vgpu_end_reason */
  int32_t end_result;                           /* the CUresult that each later call returns */
  int32_t async_error;   /* first CUresult of a record without slot that failed; the guest takes it
                            by exchanging it with 0 and returns it from its next call */
  uint32_t text_waiting; /* 1: kernels printed what the guest has not fetched yet */
};
VGPU_STATIC_ASSERT(sizeof(struct vgpu_control) <= VGPU_PAGE, "layout");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_control, head) == 128, "layout");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_control, tail) == 256, "layout");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_control, executor_sleeping) == 384, "layout");
VGPU_STATIC_ASSERT(offsetof(struct vgpu_control, state) == 512, "layout");

/* Why a session ended. Numbers have gaps for additions; texts: end_reason.hpp. */
enum vgpu_end_reason {
  VGPU_END_NONE = 0,
  VGPU_END_CLOSED = 1, /* the guest process closed its channel or died */
  VGPU_END_DAEMON_STOPPED = 2,
  VGPU_END_BAD_RECORD = 16, /* length, alignment or position of a record */
  VGPU_END_BAD_CHECK = 17,  /* the check word does not fit: memory was overwritten */
  VGPU_END_UNKNOWN_CALL = 18,
  VGPU_END_BAD_REQUEST = 19, /* a request shorter than its call's, a flag or slot that does not exist */
  VGPU_END_BAD_RING = 20,    /* head moved backwards or too far */
  VGPU_END_BAD_BULK = 21,    /* an offset outside of the region */
  VGPU_END_VERSION = 22,
  VGPU_END_EXECUTOR_DIED = 32,
  VGPU_END_EXECUTOR_START = 33, /* the executor could not be started, or found no GPU */
  VGPU_END_GPU_FAULT = 48,
  VGPU_END_LIMIT = 49,
  VGPU_END_KILLED = 50,   /* by the operator */
  VGPU_END_WATCHDOG = 51, /* its work did not end when others wanted the GPU */
  VGPU_END_GPU_LOST = 52, /* the GPU failed */
  VGPU_END_INTERNAL = 53  /* vgpud failed */
};

/* One multiplication for each eight bytes: each single flipped bit changes the sum, and 2^-32 of all other damage is
 * missed. Not cryptography: the guest could compute it for anything. It finds stray writes into the ring. */
static inline uint64_t vgpu_check_step(uint64_t sum, uint64_t word) {
  sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
  return sum ^ (sum >> 32);
}

#endif
