#include "softgpu/physical_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <string>
#include <string_view>

#include "softgpu/guard.hpp"

namespace vgpu::softgpu {
namespace {

/// The file's name says which device it is of: nothing else comes along with a descriptor.
constexpr std::string_view kName = "vgpu-device-";
/// With these nobody can take pages away beneath a mapping.
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/// The device that a descriptor's file is of; -1 if it is no file of ours.
int device_of(int file) {
  char target[128];
  const std::string link = "/proc/self/fd/" + std::to_string(file);
  const ssize_t length = readlink(link.c_str(), target, sizeof target);
  if (length <= 0) return -1;
  std::string_view name(target, static_cast<std::size_t>(length));
  const std::string wanted = "/memfd:" + std::string(kName);
  if (!name.starts_with(wanted)) return -1;
  name.remove_prefix(wanted.size());
  int ordinal = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), ordinal);
  return error == std::errc() ? ordinal : -1;
}

}  // namespace

PhysicalMemory::PhysicalMemory(Device& device, std::uint64_t bytes, const CUmemAllocationProp& properties, int file,
                               bool charged)
    : device_(device), bytes_(bytes), properties_(properties), file_(file), charged_(charged) {}

PhysicalMemory::~PhysicalMemory() {
  close(file_);
  if (charged_) device_.refund(bytes_);
}

CUresult PhysicalMemory::create(Device& device, std::uint64_t bytes, const CUmemAllocationProp& properties,
                                std::shared_ptr<PhysicalMemory>& memory) {
  if (!device.charge(bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  const std::string name = std::string(kName) + std::to_string(device.ordinal);
  const int file = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0 || fcntl(file, F_ADD_SEALS, kSeals) != 0) {
    if (file >= 0) close(file);
    device.refund(bytes);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  memory.reset(new PhysicalMemory(device, bytes, properties, file, true));
  return CUDA_SUCCESS;
}

CUresult PhysicalMemory::import(int file, std::shared_ptr<PhysicalMemory>& memory) {
  struct stat status {};
  const int seals = fcntl(file, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals || fstat(file, &status) != 0) return CUDA_ERROR_INVALID_VALUE;
  const auto bytes = static_cast<std::uint64_t>(status.st_size);
  const int ordinal = device_of(file);
  if (bytes == 0 || bytes % kGranularity != 0 || check_device(ordinal) != CUDA_SUCCESS) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const int own = fcntl(file, F_DUPFD_CLOEXEC, 0);
  if (own < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, ordinal};
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  memory.reset(new PhysicalMemory(driver().device(ordinal), bytes, properties, own, false));
  return CUDA_SUCCESS;
}

CUresult PhysicalMemory::export_file(int& file) const {
  if ((properties_.requestedHandleTypes & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const int copy = fcntl(file_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return CUDA_ERROR_OPERATING_SYSTEM;
  file = copy;
  return CUDA_SUCCESS;
}

}  // namespace vgpu::softgpu
