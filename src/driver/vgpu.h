/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the parts of the module share.
 *
 * Locks, in the order in which they are taken:
 *   mmap_lock (the kernel's) -> vgpu_device.memory -> vgpu_device.lock
 * vgpu_device.files_lock is taken alone.
 */
#ifndef VGPU_H
#define VGPU_H

#include <linux/kernel.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/stddef.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "../protocol/layout.h"
#include "../protocol/device.h"
#include "../protocol/driver.h"

struct file;
struct pci_dev;
struct vm_area_struct;

/* CUDA_ERROR_DEVICE_UNAVAILABLE: what calls of an ended session return. */
#define VGPU_RESULT_UNAVAILABLE 46

enum vgpu_channel_state {
	VGPU_CHANNEL_FREE,
	VGPU_CHANNEL_TAKEN,	/* by an open file without a session */
	VGPU_CHANNEL_OPEN,	/* its session runs, for all the driver knows */
	VGPU_CHANNEL_LOST,	/* its session went with its daemon or epoch */
	VGPU_CHANNEL_CLOSING,	/* no file; the host may still touch it */
};

/* Protected by vgpu_device.lock, unless said otherwise. */
struct vgpu_channel {
	struct vgpu_device *vgpu;
	unsigned int index;
	enum vgpu_channel_state state;
	bool requested;		/* an OPEN went to the host, in `epoch` */
	u32 epoch;
	u32 request;		/* number of the newest request */
	u32 interrupts;		/* ever counted */
	unsigned int granules;	/* owned; protected by vgpu_device.memory */
	wait_queue_head_t wait;
	char irq_name[24];
};

/* One open file. */
struct vgpu_file {
	struct vgpu_device *vgpu;
	struct vgpu_channel *channel;
	struct address_space *mapping;
	struct list_head link;		/* in vgpu_device.files */
	struct mutex connect_lock;	/* one CONNECT at a time */
	u32 seen;			/* interrupts read; device's lock */
	/*
	 * What the mappings show once the device is gone: a control page that
	 * says so, and one page for everything else.
	 */
	struct page *ended_page;
	struct page *blank_page;
};

/* Marks a granule that is on its way in or out: nobody may map it. */
#define VGPU_GRANULE_BUSY 0x80

struct vgpu_device {
	struct kref refs;	/* one of the PCI device, one of each file */
	struct pci_dev *pdev;	/* until `gone` */
	struct miscdevice misc;
	char name[16];
	int id;
	bool ivshmem;
	bool doorbell_pages;

	void __iomem *registers;
	resource_size_t registers_start;
	u8 *bar;			/* BAR2, write-back */
	resource_size_t bar_start;
	u64 bar_bytes;
	struct vgpu_device_page *page;	/* in `bar` */
	struct vgpu_granule *table;	/* in `bar` */
	unsigned int vectors;

	/*
	 * Held for reading while the BAR's memory is mapped or zeroed, for
	 * writing while the ownership of granules changes or `gone` is set.
	 */
	struct rw_semaphore memory;
	u8 *owners;		/* of granules: channel + 1, BUSY; or 0 */
	unsigned int max_granules;	/* length of `owners` */

	spinlock_t lock;	/* also taken by the interrupt handlers */
	bool gone;		/* set with both locks; read with either */
	bool attached;		/* the host was told that the driver starts */
	bool geometry;		/* page_channels, granules, vm are known */
	bool ready;		/* the daemon is there, as last seen */
	u32 epoch;		/* as last seen */
	u32 reset;		/* guest_reset as this driver set it */
	u32 vm;
	unsigned int page_channels;	/* as the host lays BAR2 out */
	unsigned int usable;	/* min(page_channels, vectors); 0: unknown */
	u64 arena_offset;
	unsigned int granules;
	const char *trouble;	/* what is wrong with the device page */

	struct mutex files_lock;
	struct list_head files;
	struct work_struct work;

	struct vgpu_channel channels[VGPU_MAX_CHANNELS];
};

/* pci.c */
void vgpu_device_release(struct kref *refs);

/* host.c: what the device page says, and mailboxes. `lock` is held where the name ends so. */
bool vgpu_attach(struct vgpu_device *vgpu);
void vgpu_look_locked(struct vgpu_device *vgpu);
bool vgpu_host_usable_locked(struct vgpu_device *vgpu);
const char *vgpu_absence_locked(struct vgpu_device *vgpu);
void vgpu_ring_locked(struct vgpu_device *vgpu, unsigned int channel);
void vgpu_announce_reset_locked(struct vgpu_device *vgpu);
void vgpu_wake_all(struct vgpu_device *vgpu);

static inline struct vgpu_mailbox *vgpu_mailbox(struct vgpu_device *vgpu,
						unsigned int channel)
{
	return (struct vgpu_mailbox *)(vgpu->bar + VGPU_MAILBOXES_OFFSET) +
	       channel;
}

static inline u8 *vgpu_channel_area(struct vgpu_device *vgpu,
				    unsigned int channel)
{
	return vgpu->bar + VGPU_CHANNEL_OFFSET(channel);
}

static inline struct vgpu_control *vgpu_control(struct vgpu_device *vgpu,
						unsigned int channel)
{
	return (struct vgpu_control *)vgpu_channel_area(vgpu, channel);
}

/* channel.c */
struct vgpu_channel *vgpu_channel_open(struct vgpu_device *vgpu);
int vgpu_channel_connect(struct vgpu_channel *channel,
			 struct vgpu_connect *connect);
int vgpu_channel_wait(struct vgpu_channel *channel,
		      const struct vgpu_wait *wait);
void vgpu_channel_close(struct vgpu_channel *channel);
void vgpu_reap(struct vgpu_device *vgpu);

/* extent.c */
int vgpu_extent_take(struct vgpu_channel *channel, struct vgpu_extent *extent);
int vgpu_extent_give(struct vgpu_file *file, const struct vgpu_extent *extent);
void vgpu_extents_free_memory_held(struct vgpu_channel *channel);
bool vgpu_extent_owned(struct vgpu_channel *channel, u64 offset, u64 bytes);

/* mmap.c */
int vgpu_mmap(struct file *file, struct vm_area_struct *vma);

/* file.c */
extern const struct file_operations vgpu_file_operations;

#endif
