// Reading a status out of memory that somebody else writes.
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "shim/nvml/library.hpp"

using namespace vgpu::nvml;
using namespace vgpu::protocol;

namespace {

StatusPtr read(const Status& status) { return read_status(reinterpret_cast<const std::byte*>(&status), sizeof status); }

std::unique_ptr<Status> good() {
  auto status = std::make_unique<Status>();
  status->gpu_count = 1;
  status->gpus[0].memory_total = 100;
  status->gpus[0].memory_free = 100;
  return status;
}

}  // namespace

TEST_CASE("nvml: a status of another kind, version or size is none") {
  CHECK(read(*good()) != nullptr);
  const auto wrong = [](auto change) {
    const auto status = good();
    change(*status);
    return read(*status) == nullptr;
  };
  CHECK(wrong([](Status& s) { s.magic = 0; }));  // of a daemon that knows no status
  CHECK(wrong([](Status& s) { s.version = 2; }));
  CHECK(wrong([](Status& s) { s.bytes = sizeof(Status) - 1; }));
  CHECK(wrong([](Status& s) { s.gpu_count = kStatusGpus + 1; }));
  CHECK(wrong([](Status& s) { s.process_count = kStatusProcesses + 1; }));
  CHECK(wrong([](Status& s) { s.gpus[0].memory_used = 101; }));
  CHECK(wrong([](Status& s) { s.gpus[0].memory_used = 1; }));  // free and used are more than there is
  CHECK(wrong([](Status& s) { s.gpus[0].memory_free = ~0ull; }));
  const auto status = good();
  CHECK(read_status(reinterpret_cast<const std::byte*>(status.get()), sizeof(Status) - 1) == nullptr);
}

TEST_CASE("nvml: texts of a status end, and processes are on GPUs that exist") {
  const auto status = good();
  status->gpus[0].name.fill('x');
  status->gpus[0].uuid.fill('x');
  status->driver_version.fill('x');
  status->process_count = 1;
  status->processes[0].name.fill('x');
  status->processes[0].gpus = ~0u;
  const StatusPtr read_back = read(*status);
  REQUIRE(read_back != nullptr);
  CHECK(std::strlen(read_back->gpus[0].name.data()) == status->gpus[0].name.size() - 1);
  CHECK(std::strlen(read_back->gpus[0].uuid.data()) == status->gpus[0].uuid.size() - 1);
  CHECK(std::strlen(read_back->driver_version.data()) == status->driver_version.size() - 1);
  CHECK(std::strlen(read_back->processes[0].name.data()) == status->processes[0].name.size() - 1);
  CHECK(read_back->processes[0].gpus == 1);
}

TEST_CASE("nvml: random bytes are never more than a bounded status") {
  std::mt19937 random(7);
  std::vector<std::byte> bytes(sizeof(Status));
  for (int round = 0; round < 50; ++round) {
    for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    Status head;
    head.gpu_count = random() % 40;
    head.process_count = random() % 2000;
    std::memcpy(bytes.data(), &head, offsetof(Status, driver_version));
    // The sums fit in one round of two.
    if (round % 2 == 0)
      for (u32 i = 0; i < kStatusGpus; ++i) {
        const StatusGpu empty;
        std::memcpy(bytes.data() + offsetof(Status, gpus) + i * sizeof(StatusGpu), &empty, sizeof empty);
      }
    const StatusPtr status = read_status(bytes.data(), bytes.size());
    if (status == nullptr) continue;
    CHECK(status->gpu_count <= kStatusGpus);
    CHECK(status->process_count <= kStatusProcesses);
    for (u32 i = 0; i < status->process_count; ++i) {
      CHECK(status->processes[i].name.back() == '\0');
      CHECK((status->processes[i].gpus >> status->gpu_count) == 0);
    }
  }
}

TEST_CASE("nvml: PCI addresses are understood as they are written") {
  PciAddress address;
  CHECK((parse_pci_address("00000000:F0:00.0", address) && address == PciAddress{0, 0xf0, 0, 0}));
  CHECK((parse_pci_address("0001:0a:1f.3", address) && address == PciAddress{1, 0x0a, 0x1f, 3}));
  CHECK((parse_pci_address("0:1:2", address) && address == PciAddress{0, 1, 2, 0}));
  CHECK((parse_pci_address("0a:00.1", address) && address == PciAddress{0, 0x0a, 0, 1}));
  for (const char* wrong : {"", "GPU-1", "0000:F0:00.0 ", "0000:F0:00.0x", "123456789:00:00.0", "0", "F0:"})
    CHECK_FALSE(parse_pci_address(wrong, address));
}
