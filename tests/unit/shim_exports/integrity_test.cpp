// Table d4082055 and the hash behind it.
#include <cuda.h>
#include <pthread.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <map>
#include <string>

#include "driver_double.hpp"
#include "shim/tables/integrity_check.hpp"
#include "shim/tables/integrity_hmac.hpp"

using vgpu::shim::integrity_answer;
using vgpu::shim::IntegrityDevice;
using vgpu::shim::IntegrityInput;

namespace {

std::span<const std::uint8_t> bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::string hex(const vgpu::shim::Md2Digest& digest) {
  std::string text;
  for (const unsigned byte : digest) {
    text += "0123456789abcdef"[byte / 16];
    text += "0123456789abcdef"[byte % 16];
  }
  return text;
}

}  // namespace

TEST_CASE("MD2 of RFC 1319's test suite") {
  const std::map<std::string, std::string> suite{
      {"", "8350e5a3e24c153df2275c9f80692773"},
      {"a", "32ec01ec4a6dac72c0ab96fb34c0b5d1"},
      {"abc", "da853b0d3f88d99b30283a69e6ded6bb"},
      {"message digest", "ab4f496bfb2a530b219ff33031fe06b0"},
      {"abcdefghijklmnopqrstuvwxyz", "4e8ddff3650292ab5a4108c3aa47940b"},
      {"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "da33def2a42df13975352846c30338cd"},
      {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
       "d5976f79d83d3a0dc9806c3c66f3efd8"}};
  for (const auto& [text, digest] : suite) {
    INFO(text);
    vgpu::shim::Md2 whole;
    whole.update(bytes(text));
    CHECK(hex(whole.finish()) == digest);
    vgpu::shim::Md2 split;
    for (const char letter : text) split.update(bytes(std::string(1, letter)));
    CHECK(hex(split.finish()) == digest);
  }
}

TEST_CASE("the answer is a real driver's") {
  // Inputs and answers of one process on an H100, driver 580.159.04.
  IntegrityInput input{.driver_version = 13000,
                       .request = 13002,
                       .process = 452,
                       .thread = 0x2f1ad140,
                       .cudart_interface = 0x7f602e4c4680,
                       .integrity_check = 0x7f602e4c4660,
                       .integrity_slot_1 = 0x7f6028e23350,
                       .seconds = 1700000000};
  const IntegrityDevice device{
      .uuid = {0xc1, 0x74, 0xf9, 0x5e, 0xcf, 0x1f, 0xe5, 0xb3, 0x36, 0x77, 0x00, 0xcb, 0x05, 0x17, 0x74, 0x97},
      .pci_domain = 0,
      .pci_bus = 0,
      .pci_device = 6};
  using Answer = std::array<std::uint64_t, 2>;
  const std::map<unsigned, Answer> answers{{13000, {0x3341181c03cb675c, 0x8ed383aa1f4cd1e8}},
                                           {13001, {0x1841181c03cb675c, 0x8ed383aa1f4cd1e8}},
                                           {13002, {0x6d4d7488787b46f6, 0x893001b8c6c48d01}},
                                           {5, {0x950eaeba4e66e1aa, 0x841043131c41fcb0}},
                                           {12030, {0x3341181c03cb675c, 0x8ed383aa1f4cd1e8}}};
  for (const auto& [request, answer] : answers) {
    INFO(request);
    input.request = request;
    CHECK(integrity_answer(input, {&device, 1}) == answer);
  }
}

TEST_CASE("d4082055: the inputs are this process's") {
  driver_double = {};
  const void* const table = get_table("d4082055");
  const auto check = slot<CUresult(unsigned, std::uint64_t, std::uint64_t*)>(table, 1);
  const IntegrityInput input{.driver_version = 13000,
                             .request = 13002,
                             .process = static_cast<std::uint32_t>(getpid()),
                             .thread = static_cast<std::uint32_t>(pthread_self()),
                             .cudart_interface = reinterpret_cast<std::uintptr_t>(get_table("6bd5fb6c")),
                             .integrity_check = reinterpret_cast<std::uintptr_t>(table),
                             .integrity_slot_1 = words(table)[1],
                             .seconds = 1234567};
  std::array<IntegrityDevice, 2> devices{};
  for (int i = 0; i < 2; ++i) {
    auto& device = devices[static_cast<std::size_t>(i)];
    device.uuid.fill(static_cast<std::uint8_t>(0x40 + i));
    device.pci_domain = 1000 * i + 50;
    device.pci_bus = 1000 * i + 33;
    device.pci_device = 1000 * i + 34;
  }
  std::array<std::uint64_t, 2> answer{};
  CHECK(check(13002, 1234567, answer.data()) == CUDA_SUCCESS);
  CHECK(answer == integrity_answer(input, devices));
  CHECK(check(13002, 1234568, answer.data()) == CUDA_SUCCESS);
  CHECK(answer != integrity_answer(input, devices));
  CHECK(check(13002, 1, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(slot<CUresult(int)>(table, 2)(1) == CUDA_SUCCESS);
  driver_double.ready = CUDA_ERROR_NOT_INITIALIZED;
  CHECK(check(13000, 1, answer.data()) == CUDA_ERROR_NOT_INITIALIZED);
}
