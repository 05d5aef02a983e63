#include "actors/identity.hpp"

#include <catch2/catch.hpp>
#include <cstring>

using namespace vgpu;
using namespace vgpu::daemon;
using protocol::Hello;

namespace {

constexpr uid_t kOwn = 1000;

Config config(bool allow = true) {
  const std::string text = std::string("[[pool]]\nname=\"A\"\n[[pool]]\nname=\"B\"\n[[vm]]\nid=5\npool=\"B\"\n") +
                           "[unregistered]\nallow=" + (allow ? "true" : "false") + "\n";
  return std::get<Config>(read_config(text, "test"));
}

Hello hello(std::uint32_t vm, const std::string& pool = "") {
  Hello made;
  made.vm = vm;
  pool.copy(made.pool.data(), made.pool.size() - 1);
  return made;
}

ErrorCode refusal(const std::variant<Identity, Refusal>& result) {
  REQUIRE(std::holds_alternative<Refusal>(result));
  return std::get<Refusal>(result).code;
}

Identity identity(const std::variant<Identity, Refusal>& result) {
  REQUIRE(std::holds_alternative<Identity>(result));
  return std::get<Identity>(result);
}

}  // namespace

TEST_CASE("Who claims no VM is VM 0 in the default pool or in the one that it names") {
  const Identity plain = identity(identify(config(), {1, 77, 77}, kOwn, hello(protocol::kNoVm)));
  CHECK(plain.vm == 0);
  CHECK(plain.pool == "A");
  CHECK(identity(identify(config(), {1, 77, 77}, kOwn, hello(protocol::kNoVm, "B"))).pool == "B");
  CHECK(refusal(identify(config(), {1, 77, 77}, kOwn, hello(protocol::kNoVm, "C"))) == ErrorCode::no_such_pool);
}

TEST_CASE("A claim is believed from root and the daemon's user only") {
  CHECK(identity(identify(config(), {1, kOwn, 0}, kOwn, hello(9))).vm == 9);
  CHECK(identity(identify(config(), {1, 0, 0}, kOwn, hello(9))).vm == 9);
  CHECK(refusal(identify(config(), {1, 77, 0}, kOwn, hello(9))) == ErrorCode::claim_denied);
  CHECK(refusal(identify(config(), {1, 77, 0}, kOwn, hello(0))) == ErrorCode::claim_denied);
}

TEST_CASE("QEMU's user may claim a VM too, where the configuration names it") {
  Config named = config();
  named.qemu_user = 64055;
  CHECK(identity(identify(named, {1, 64055, 0}, kOwn, hello(9))).vm == 9);
  CHECK(refusal(identify(named, {1, 77, 0}, kOwn, hello(9))) == ErrorCode::claim_denied);
}

TEST_CASE("A registered VM's pool wins over the claimed one") {
  const Identity registered = identity(identify(config(), {1, 0, 0}, kOwn, hello(5, "A")));
  CHECK(registered.vm == 5);
  CHECK(registered.pool == "B");
  CHECK(registered.registered);
}

TEST_CASE("Unregistered guests can be refused") {
  CHECK(refusal(identify(config(false), {1, 0, 0}, kOwn, hello(6))) == ErrorCode::unregistered);
  CHECK(refusal(identify(config(false), {1, 0, 0}, kOwn, hello(protocol::kNoVm))) == ErrorCode::unregistered);
  CHECK(identity(identify(config(false), {1, 0, 0}, kOwn, hello(5))).pool == "B");
}

TEST_CASE("A Hello is checked whole") {
  const auto code = [](const Hello& made, std::size_t bytes = sizeof(Hello)) {
    std::vector<std::byte> message(bytes);
    if (bytes != 0) std::memcpy(message.data(), &made, std::min(bytes, sizeof made));
    const auto checked = check_hello(message);
    return std::holds_alternative<Refusal>(checked) ? std::get<Refusal>(checked).code : ErrorCode::count;
  };
  CHECK(code(Hello{}) == ErrorCode::count);
  for (std::size_t bytes = 0; bytes < sizeof(Hello); ++bytes) CHECK(code(Hello{}, bytes) == ErrorCode::hello_length);
  CHECK(code(Hello{}, sizeof(Hello) + 1) == ErrorCode::hello_length);
  Hello made;
  made.magic = 0;
  CHECK(code(made) == ErrorCode::hello_magic);
  made = {};
  made.version += 0x10000;
  CHECK(code(made) == ErrorCode::hello_version);
  made = {};
  made.version += 1;
  CHECK(code(made) == ErrorCode::count);
  made.bytes = sizeof(Hello) + 8;
  CHECK(code(made, sizeof(Hello) + 8) == ErrorCode::count);
  made = {};
  made.process.fill('x');
  CHECK(code(made) == ErrorCode::hello_malformed);
  made = {};
  made.pool.fill('x');
  CHECK(code(made) == ErrorCode::hello_malformed);
  made = {};
  made.zero = 1;
  CHECK(code(made) == ErrorCode::hello_malformed);
}
