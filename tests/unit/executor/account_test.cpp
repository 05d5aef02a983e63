// What a VM's sessions hold together never passes its limits: threads, processes, and one that is killed.
#include "executor/account.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <thread>
#include <vector>

using namespace vgpu::protocol;
using vgpu::executor::Account;

namespace {

/// As the daemon makes it: shared by processes.
class Shared {
 public:
  explicit Shared(u64 memory, u32 slots) {
    void* page = mmap(nullptr, sizeof(VmAccount), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(page != MAP_FAILED);
    account = static_cast<VmAccount*>(page);
    account->limits[static_cast<std::size_t>(Limit::memory)] = memory;
    account->slots_used = slots;
  }
  ~Shared() { munmap(account, sizeof(VmAccount)); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  u64 held(u32 slot) const { return account->slots[slot].held[static_cast<std::size_t>(Limit::memory)]; }

  VmAccount* account = nullptr;
};

}  // namespace

TEST_CASE("account: what is reserved counts against all sessions of the VM, and is given back") {
  Shared shared(100, 2);
  SessionStats first_stats{}, second_stats{};
  Account first({shared.account, 0}, first_stats), second({shared.account, 1}, second_stats);
  CHECK(first.reserve(Limit::memory, 60));
  CHECK_FALSE(second.reserve(Limit::memory, 41));
  CHECK(second.reserve(Limit::memory, 40));
  CHECK(first.used(Limit::memory) == 100);
  CHECK(second.left(Limit::memory) == 0);
  CHECK_FALSE(first.reserve(Limit::memory, 1));
  CHECK(first_stats.memory_used_bytes == 60);
  CHECK(second_stats.memory_used_bytes == 40);
  first.release(Limit::memory, 60);
  CHECK(second.left(Limit::memory) == 60);
  CHECK(first_stats.memory_used_bytes == 0);
  CHECK(first_stats.memory_byte_seconds > 0);
  // Refused whole, without anything that another session could see meanwhile.
  for (const u64 amount : {u64{101}, u64{1} << 50, ~u64{0}}) CHECK_FALSE(first.reserve(Limit::memory, amount));
  CHECK(shared.held(0) == 0);
  CHECK(first_stats.refused[0] == 0);
  first.refuse(Limit::memory);
  CHECK(first_stats.refused[0] == 1);
}

TEST_CASE("account: kinds are counted apart, and what has no limit is only counted") {
  Shared shared(100, 1);
  SessionStats stats{};
  Account account({shared.account, 0}, stats);
  CHECK(account.reserve(Limit::events, 1000));
  CHECK(account.used(Limit::events) == 1000);
  CHECK(account.used(Limit::memory) == 0);
  CHECK(stats.memory_used_bytes == 0);
  CHECK_FALSE(account.reserve(Limit::events, ~u64{0}));
  // What is held already counts, whatever the limit says; then nothing more fits.
  account.take(Limit::memory, 150);
  CHECK(account.left(Limit::memory) == 0);
  CHECK_FALSE(account.reserve(Limit::memory, 1));
}

TEST_CASE("account: a lowered limit refuses what is new and takes nothing away") {
  Shared shared(100, 1);
  SessionStats stats{};
  Account account({shared.account, 0}, stats);
  REQUIRE(account.reserve(Limit::memory, 80));
  shared.account->limits[0] = 50;
  CHECK_FALSE(account.reserve(Limit::memory, 1));
  CHECK(account.used(Limit::memory) == 80);
  account.release(Limit::memory, 40);
  CHECK(account.reserve(Limit::memory, 10));
}

TEST_CASE("account: threads of several sessions that race never hold more than the limit together") {
  constexpr u64 kLimit = 1000;
  Shared shared(kLimit, 4);
  std::atomic<u64> held{0};
  std::atomic<bool> passed{false};
  std::atomic<u64> granted{0};
  std::vector<std::thread> threads;
  for (u32 slot = 0; slot < 4; ++slot)
    for (u64 t = 0; t < 2; ++t)
      threads.emplace_back([&, slot, t] {
        SessionStats stats{};
        Account account({shared.account, slot}, stats);
        u64 state = slot * 7 + t + 1;
        for (int i = 0; i < 20'000; ++i) {
          state = state * 6364136223846793005u + 1442695040888963407u;
          const u64 amount = (state >> 33) % 400 + 1;
          if (!account.reserve(Limit::memory, amount)) continue;
          // Between reserve() and release() the holder has it: counted after the one, taken off before the other.
          if (held.fetch_add(amount) + amount > kLimit) passed = true;
          granted.fetch_add(1);
          held.fetch_sub(amount);
          account.release(Limit::memory, amount);
        }
      });
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(passed.load());
  CHECK(granted.load() > 0);
  for (u32 slot = 0; slot < 4; ++slot) CHECK(shared.held(slot) == 0);
}

TEST_CASE("account: a holder that is killed at any moment leaves what it had in its own slot, and nowhere else") {
  Shared shared(1000, 2);
  auto* const rounds = static_cast<std::atomic<u64>*>(
      mmap(nullptr, sizeof(std::atomic<u64>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t child = fork();
  if (child == 0) {
    SessionStats stats{};
    Account account({shared.account, 1}, stats);
    if (!account.reserve(Limit::memory, 300)) _exit(1);
    for (;;) {
      if (account.reserve(Limit::memory, 700)) account.release(Limit::memory, 700);
      rounds->fetch_add(1);
    }
  }
  REQUIRE(child > 0);
  while (rounds->load() < 1000) std::this_thread::yield();
  kill(child, SIGKILL);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(shared.held(1) >= 300);
  CHECK(shared.held(0) == 0);
  // As the daemon does when it has reaped the process.
  shared.account->slots[1].held[0] = 0;
  SessionStats stats{};
  Account account({shared.account, 0}, stats);
  CHECK(account.reserve(Limit::memory, 1000));
  munmap(rounds, sizeof *rounds);
}
