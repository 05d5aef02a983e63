#include "ivshmem/device.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <span>

#include "common/descriptor_message.hpp"

namespace vgpu::ivshmem {

std::unique_ptr<Device> Device::create(std::uint64_t bytes, std::uint32_t channels, std::string& error) {
  const auto failed = [&](const char* what) {
    error = std::string(what) + ": " + std::strerror(errno);
    return nullptr;
  };
  std::unique_ptr<Device> device(new Device);
  device->bytes_ = bytes;
  device->memory_.reset(::memfd_create("vgpu-vm", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!device->memory_ || ::ftruncate(device->memory_.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(device->memory_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return failed("the VM's memory");
  void* page =
      ::mmap(nullptr, VGPU_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, device->memory_.get(), VGPU_DEVICE_PAGE_OFFSET);
  if (page == MAP_FAILED) return failed("mapping of the VM's memory");
  device->page_ = static_cast<vgpu_device_page*>(page);
  for (std::uint32_t channel = 0; channel < channels; ++channel) {
    device->doorbells_.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    device->interrupts_.emplace_back(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!device->doorbells_.back() || !device->interrupts_.back()) return failed("a channel's eventfds");
  }
  return device;
}

Device::~Device() {
  if (page_ != nullptr) ::munmap(page_, VGPU_PAGE);
}

void Device::set_absent() noexcept {
  std::atomic_ref(page_->host_state).store(VGPU_HOST_ABSENT, std::memory_order_release);
  const std::uint64_t one = 1;
  for (const UniqueFd& interrupt : interrupts_)
    while (::write(interrupt.get(), &one, sizeof one) < 0 && errno == EINTR) {
    }
}

bool send_with_fds(int socket, const void* data, std::size_t bytes, const std::vector<int>& fds) {
  constexpr int kPatienceMs = 5000;
  std::size_t sent = 0;
  while (sent < bytes) {
    const ssize_t done =
        send_with_descriptors(socket, static_cast<const std::byte*>(data) + sent, bytes - sent,
                              sent == 0 ? std::span<const int>(fds) : std::span<const int>(), MSG_DONTWAIT);
    if (done >= 0) {
      sent += static_cast<std::size_t>(done);
    } else if (errno == EAGAIN) {
      pollfd room{socket, POLLOUT, 0};
      if (::poll(&room, 1, kPatienceMs) == 0) return false;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace vgpu::ivshmem
