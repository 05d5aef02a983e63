#include "actors/driver_choice.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>

using namespace vgpu::daemon;
namespace fs = std::filesystem;

namespace {

struct Folders {
  fs::path root = fs::temp_directory_path() / ("vgpu-driver-test-" + std::to_string(::getpid()));
  DriverSearch search;
  Folders() {
    fs::create_directories(root / "guest");
    fs::create_directories(root / "driver");
    std::ofstream(root / "guest/libcuda.so.1") << std::string(5000, 'x') << "VGPU_SOCKET" << std::string(100, 'x');
    search.library_folders = {root / "guest", root / "driver"};
    search.kernel_signs = {root / "nvidiactl"};
    search.software_library = root / "libvgpu-softgpu.so";
  }
  ~Folders() { fs::remove_all(root); }
  void load_kernel_driver() { std::ofstream(root / "nvidiactl") << ""; }
  void install_library() { std::ofstream(root / "driver/libcuda.so.1") << "cuInit"; }
  Driver choose(const std::string& gpu) {
    auto chosen = choose_driver(*parse_gpu(gpu), search);
    if (const auto* text = std::get_if<std::string>(&chosen)) FAIL(*text);
    return std::get<Driver>(std::move(chosen));
  }
  std::string refusal(const std::string& gpu) {
    auto chosen = choose_driver(*parse_gpu(gpu), search);
    REQUIRE(std::holds_alternative<std::string>(chosen));
    return std::get<std::string>(chosen);
  }
};

void put(std::string& out, std::uint32_t word) { out.append(reinterpret_cast<const char*>(&word), sizeof word); }

}  // namespace

TEST_CASE("auto takes the driver only where kernel driver and library are both there, and never the shim") {
  Folders folders;
  CHECK(folders.choose("auto").software);
  folders.install_library();
  CHECK(folders.choose("auto").software);
  folders.load_kernel_driver();
  const Driver driver = folders.choose("auto");
  CHECK(!driver.software);
  CHECK(driver.library == folders.root / "driver/libcuda.so.1");
  CHECK(driver.device == -1);
  CHECK(folders.choose("software").software);
  fs::remove(folders.root / "driver/libcuda.so.1");
  CHECK(folders.choose("auto").software);
}

TEST_CASE("An index and a UUID need the driver") {
  Folders folders;
  CHECK_THAT(folders.refusal("1"), Catch::Contains("needs NVIDIA's driver") && Catch::Contains("software"));
  folders.load_kernel_driver();
  CHECK_THAT(folders.refusal("GPU-01234567"), Catch::Contains("no libcuda.so.1 was found"));
  folders.install_library();
  CHECK(folders.choose("1").device == 1);
  CHECK(folders.choose("1").visible_devices.empty());
  CHECK(folders.choose("GPU-01234567").visible_devices == "GPU-01234567");
  CHECK(folders.choose("GPU-01234567").device == 0);
}

TEST_CASE("A missing software GPU is named") {
  Folders folders;
  folders.search.software_library.clear();
  CHECK_THAT(folders.refusal("software"), Catch::Contains("libvgpu-softgpu.so"));
  CHECK_THAT(folders.refusal("auto"), Catch::Contains("install NVIDIA's driver"));
}

TEST_CASE("The shim's folder leaves LD_LIBRARY_PATH") {
  Folders folders;
  const std::string guest = (folders.root / "guest").string();
  CHECK(library_path_without_shim(guest + ":/usr/lib:/opt/lib") == "/usr/lib:/opt/lib");
  CHECK(library_path_without_shim("/opt/lib::" + guest) == "/opt/lib");
  CHECK(library_path_without_shim(guest) == "");
  CHECK(!is_shim("/nonexistent"));
  CHECK(!is_shim(folders.root));
}

TEST_CASE("The linker's cache is read, and nothing malformed is believed") {
  std::string cache = "glibc-ld.so.cache1.1";
  const std::string strings = std::string("libcuda.so.1\0/usr/lib/nvidia/libcuda.so.1\0/usr/lib32/libcuda.so.1\0", 66);
  const std::uint32_t at = 48 + 2 * 24;
  put(cache, 2);
  put(cache, static_cast<std::uint32_t>(strings.size()));
  cache.resize(48);
  const auto entry = [&](std::uint32_t flags, std::uint32_t value) {
    put(cache, flags);
    put(cache, at);
    put(cache, value);
    cache.append(12, '\0');
  };
  entry(0x0003, at + 42);  // 32 bits
  entry(0x0303, at + 13);
  cache += strings;
  const auto paths = linker_cache_paths(cache, "libcuda.so.1");
  REQUIRE(paths.size() == 1);
  CHECK(paths[0] == "/usr/lib/nvidia/libcuda.so.1");
  CHECK(linker_cache_paths(cache, "libcudart.so").empty());
  CHECK(linker_cache_paths("", "libcuda.so.1").empty());
  // Every truncation and every damaged word: no crash, no path that is not in the file.
  for (std::size_t length = 0; length < cache.size(); ++length)
    linker_cache_paths(cache.substr(0, length), "libcuda.so.1");
  for (std::size_t place = 20; place + 4 < cache.size(); ++place) {
    std::string damaged = cache;
    std::memset(damaged.data() + place, 0xff, 4);
    linker_cache_paths(damaged, "libcuda.so.1");
  }
}
