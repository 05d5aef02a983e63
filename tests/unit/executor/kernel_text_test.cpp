#include "executor/kernel_text.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "guest.hpp"

using namespace vgpu;
using namespace vgpu::test;

namespace {

/// A file as catch_standard_output() makes it, which the test writes to in the driver's place.
class TextFile {
 public:
  TextFile() : fd_(memfd_create("text", MFD_CLOEXEC)) {
    REQUIRE(ftruncate(fd_, static_cast<off_t>(executor::KernelText::kBytes)) == 0);
  }
  ~TextFile() { close(fd_); }
  int fd() const { return fd_; }
  void print(std::string_view text) {
    REQUIRE(write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }

 private:
  int fd_;
};

}  // namespace

TEST_CASE("text that kernels printed is announced before the answer and fetched in pieces") {
  FakeCuda cuda;
  TextFile file;
  executor::SessionConfig config;
  config.kernel_text = file.fd();
  Guest guest(cuda, config);
  guest.make_context();
  CHECK(guest.call<call::cuStreamSynchronize>({StreamHandle{0}}) == CUDA_SUCCESS);
  CHECK(guest.control->text_waiting == 0);
  CHECK(cuda.calls("cuEventSynchronize") == 0);
  file.print("seventeen letters");
  CHECK(guest.call<call::cuStreamSynchronize>({StreamHandle{0}}) == CUDA_SUCCESS);
  CHECK(guest.control->text_waiting == 1);

  const Offset into{VGPU_STAGING_OFFSET};
  call::vgpuKernelText::Reply reply{};
  REQUIRE(guest.call<call::vgpuKernelText>({into, 9}, &reply) == CUDA_SUCCESS);
  CHECK(reply.written == 9);
  CHECK(std::memcmp(guest.region.staging(), "seventeen", 9) == 0);
  REQUIRE(guest.call<call::vgpuKernelText>({into, 4096}, &reply) == CUDA_SUCCESS);
  CHECK(reply.written == 8);
  CHECK(std::memcmp(guest.region.staging(), " letters", 8) == 0);
  REQUIRE(guest.call<call::vgpuKernelText>({into, 4096}, &reply) == CUDA_SUCCESS);
  CHECK(reply.written == 0);
  CHECK(guest.control->text_waiting == 0);
  // Who has printed may print again: the driver is made to hand it out.
  CHECK(guest.call<call::cuStreamSynchronize>({StreamHandle{0}}) == CUDA_SUCCESS);
  CHECK(cuda.calls("cuEventSynchronize") == 1);
}

TEST_CASE("a session whose image names the device's printf synchronizes, others don't") {
  FakeCuda cuda;
  TextFile file;
  executor::SessionConfig config;
  config.kernel_text = file.fd();
  Guest guest(cuda, config);
  guest.session->kernel_text.note_image(bytes_of(".func printing"));
  CHECK_FALSE(guest.session->kernel_text.wanted());
  guest.session->kernel_text.note_image(bytes_of(".extern .func vprintf"));
  CHECK(guest.session->kernel_text.wanted());
}

TEST_CASE("a place for text outside of the region ends the session") {
  FakeCuda cuda;
  Guest guest(cuda);
  guest.call<call::vgpuKernelText>({Offset{~u64{0} - 64}, 32});
  guest.join();
  CHECK(guest.reason() == VGPU_END_BAD_BULK);
}

TEST_CASE("the file of text starts again when it has been read, and never grows") {
  TextFile file;
  vgpu_control control{};
  executor::KernelText text(file.fd(), control);
  const std::string piece(1u << 20, 'x');
  std::vector<std::byte> into(piece.size());
  for (u64 i = 0; i < 2 * executor::KernelText::kBytes / piece.size(); ++i) {
    file.print(piece);
    text.look();
    REQUIRE(control.text_waiting == 1);
    REQUIRE(text.read(into) == piece.size());
    REQUIRE(into.back() == std::byte{'x'});
  }
  CHECK(lseek(file.fd(), 0, SEEK_CUR) <= static_cast<off_t>(executor::KernelText::kBytes));
  CHECK(text.read(into) == 0);
}
