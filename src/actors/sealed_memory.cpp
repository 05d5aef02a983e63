#include "actors/sealed_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

namespace vgpu::daemon {

UniqueFd sealed_memory(const char* name, std::uint64_t bytes) {
  UniqueFd fd(::memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd && (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
             ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)) {
    const int kept = errno;
    fd.reset();
    errno = kept;
  }
  return fd;
}

}  // namespace vgpu::daemon
