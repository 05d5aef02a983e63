// SPDX-License-Identifier: GPL-2.0
/* What a process does with /dev/vgpu0. */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vgpu.h"

static void vgpu_file_free(struct vgpu_file *file)
{
	if (file->ended_page)
		__free_page(file->ended_page);
	if (file->blank_page)
		__free_page(file->blank_page);
	kfree(file);
}

static struct vgpu_file *vgpu_file_new(void)
{
	struct vgpu_file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);
	struct vgpu_control *control;

	if (!file)
		return NULL;
	file->ended_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	file->blank_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!file->ended_page || !file->blank_page) {
		vgpu_file_free(file);
		return NULL;
	}
	control = page_address(file->ended_page);
	control->magic = VGPU_MAGIC;
	control->version = VGPU_VERSION;
	control->end_reason = VGPU_END_DAEMON_STOPPED;
	control->end_result = VGPU_RESULT_UNAVAILABLE;
	control->state = VGPU_STATE_ENDED;
	mutex_init(&file->connect_lock);
	return file;
}

/* misc_open() holds a lock that misc_deregister() needs: the device is not being removed meanwhile. */
static int vgpu_open(struct inode *inode, struct file *filp)
{
	struct vgpu_device *vgpu = container_of(filp->private_data, struct vgpu_device, misc);
	struct vgpu_file *file;

	if (!vgpu_attach(vgpu))
		return -ENODEV;
	file = vgpu_file_new();
	if (!file)
		return -ENOMEM;
	file->channel = vgpu_channel_open(vgpu);
	if (!file->channel) {
		vgpu_file_free(file);
		return -EBUSY;
	}
	kref_get(&vgpu->refs);
	file->vgpu = vgpu;
	file->mapping = filp->f_mapping;
	spin_lock_irq(&vgpu->lock);
	file->seen = file->channel->interrupts;
	spin_unlock_irq(&vgpu->lock);
	mutex_lock(&vgpu->files_lock);
	list_add(&file->link, &vgpu->files);
	mutex_unlock(&vgpu->files_lock);
	filp->private_data = file;
	return stream_open(inode, filp);
}

static int vgpu_release(struct inode *inode, struct file *filp)
{
	struct vgpu_file *file = filp->private_data;
	struct vgpu_device *vgpu = file->vgpu;

	mutex_lock(&vgpu->files_lock);
	list_del(&file->link);
	mutex_unlock(&vgpu->files_lock);
	vgpu_channel_close(file->channel);
	vgpu_file_free(file);
	kref_put(&vgpu->refs, vgpu_device_release);
	return 0;
}

static long vgpu_ioctl_connect(struct vgpu_file *file, void __user *argument)
{
	struct vgpu_connect connect, answer = {};
	long result;

	if (copy_from_user(&connect, argument, sizeof(connect)))
		return -EFAULT;
	if (connect.abi != VGPU_DRIVER_ABI || connect.zero)
		return -EINVAL;
	answer.abi = connect.abi;
	answer.version = connect.version;
	answer.features = connect.features;
	if (mutex_lock_interruptible(&file->connect_lock))
		return -ERESTARTSYS;
	result = vgpu_channel_connect(file->channel, &answer);
	mutex_unlock(&file->connect_lock);
	/* With ENOTCONN the text says what to look at. */
	if ((!result || result == -ENOTCONN) && copy_to_user(argument, &answer, sizeof(answer)))
		return -EFAULT;
	return result;
}

static long vgpu_ioctl_take(struct vgpu_file *file, void __user *argument)
{
	struct vgpu_extent extent;
	long result;

	if (copy_from_user(&extent, argument, sizeof(extent)))
		return -EFAULT;
	result = vgpu_extent_take(file->channel, &extent);
	if (result)
		return result;
	if (!copy_to_user(argument, &extent, sizeof(extent)))
		return 0;
	/* The process will never know what it got. */
	vgpu_extent_give(file, &extent);
	return -EFAULT;
}

static bool vgpu_gone(struct vgpu_device *vgpu)
{
	bool gone;

	spin_lock_irq(&vgpu->lock);
	gone = vgpu->gone;
	spin_unlock_irq(&vgpu->lock);
	return gone;
}

static long vgpu_ioctl(struct file *filp, unsigned int command, unsigned long value)
{
	struct vgpu_file *file = filp->private_data;
	void __user *argument = (void __user *)value;
	struct vgpu_extent extent;
	struct vgpu_wait wait;

	if (vgpu_gone(file->vgpu))
		return -ENODEV;
	switch (command) {
	case VGPU_IOC_CONNECT:
		return vgpu_ioctl_connect(file, argument);
	case VGPU_IOC_WAIT:
		if (copy_from_user(&wait, argument, sizeof(wait)))
			return -EFAULT;
		return vgpu_channel_wait(file->channel, &wait);
	case VGPU_IOC_TAKE_EXTENT:
		return vgpu_ioctl_take(file, argument);
	case VGPU_IOC_GIVE_EXTENT:
		if (copy_from_user(&extent, argument, sizeof(extent)))
			return -EFAULT;
		return vgpu_extent_give(file, &extent);
	default:
		return -ENOTTY;
	}
}

/* Any write rings the channel's doorbell, once. */
static ssize_t vgpu_write(struct file *filp, const char __user *data, size_t bytes, loff_t *position)
{
	struct vgpu_file *file = filp->private_data;
	struct vgpu_device *vgpu = file->vgpu;
	ssize_t result = bytes;

	if (!bytes)
		return 0;
	spin_lock_irq(&vgpu->lock);
	if (vgpu->gone)
		result = -ENODEV;
	else if (file->channel->state == VGPU_CHANNEL_TAKEN)
		result = -ENOTCONN;
	else
		vgpu_ring_locked(vgpu, file->channel->index);
	spin_unlock_irq(&vgpu->lock);
	return result;
}

/* What poll() would say. With `taken` the interrupts since the last read count as read: no other thread gets them. */
static __poll_t vgpu_events(struct vgpu_file *file, u32 *taken)
{
	struct vgpu_device *vgpu = file->vgpu;
	__poll_t events = EPOLLOUT | EPOLLWRNORM;
	u32 interrupts;

	spin_lock_irq(&vgpu->lock);
	vgpu_look_locked(vgpu);
	interrupts = file->channel->interrupts - file->seen;
	if (interrupts)
		events |= EPOLLIN | EPOLLRDNORM;
	if (taken) {
		*taken = interrupts;
		file->seen += interrupts;
	}
	if (vgpu->gone)
		events = EPOLLHUP | EPOLLERR;
	else if (file->channel->state == VGPU_CHANNEL_LOST)
		events |= EPOLLHUP;
	spin_unlock_irq(&vgpu->lock);
	return events;
}

/* Interrupts since the last read; 0 bytes (the end) when the host is gone and none is left. */
static ssize_t vgpu_read(struct file *filp, char __user *data, size_t bytes, loff_t *position)
{
	struct vgpu_file *file = filp->private_data;
	struct vgpu_device *vgpu = file->vgpu;
	__poll_t events;
	u32 interrupts;

	if (bytes < sizeof(interrupts))
		return -EINVAL;
	events = vgpu_events(file, &interrupts);
	if (!(events & (EPOLLIN | EPOLLHUP))) {
		if (filp->f_flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(file->channel->wait,
					     (events = vgpu_events(file, &interrupts)) & (EPOLLIN | EPOLLHUP)))
			return -ERESTARTSYS;
	}
	if (events & EPOLLERR)
		return -ENODEV;
	if (!interrupts)
		return 0;
	if (!copy_to_user(data, &interrupts, sizeof(interrupts)))
		return sizeof(interrupts);
	spin_lock_irq(&vgpu->lock);
	file->seen -= interrupts;
	spin_unlock_irq(&vgpu->lock);
	return -EFAULT;
}

static __poll_t vgpu_poll(struct file *filp, poll_table *table)
{
	struct vgpu_file *file = filp->private_data;

	poll_wait(filp, &file->channel->wait, table);
	return vgpu_events(file, NULL);
}

const struct file_operations vgpu_file_operations = {
	.owner = THIS_MODULE,
	.open = vgpu_open,
	.release = vgpu_release,
	.unlocked_ioctl = vgpu_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.read = vgpu_read,
	.write = vgpu_write,
	.poll = vgpu_poll,
	.mmap = vgpu_mmap,
};
