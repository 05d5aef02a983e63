#include "ctl/top_model.hpp"

#include <catch2/catch.hpp>

using namespace vgpu::ctl;

namespace {

Json vm(int id, const char* name, int weight, int sessions, double gpu_seconds, double calls,
        std::vector<int> waits = {0, 0, 0}) {
  return {{"id", id},
          {"name", name},
          {"pool", "A"},
          {"state", sessions != 0 ? "active" : "idle"},
          {"priority", "medium"},
          {"weight", weight},
          {"limits", {{"memory", 1 << 30}, {"sessions", 64}}},
          {"sessions", sessions},
          {"memory_used_bytes", id << 20},
          {"faults", 0},
          {"calls", calls},
          {"gpu_seconds", gpu_seconds},
          {"lease_waits", {{"bounds_seconds", {0.001, 0.01}}, {"counts", waits}}}};
}

Json answer(double clock, std::vector<Json> vms, int gpus = 1) {
  Json all = Json::array(), places = Json::array();
  double gpu_seconds = 0;
  for (Json& one : vms) {
    gpu_seconds += one["gpu_seconds"].get<double>();
    all.push_back(std::move(one));
  }
  for (int i = 0; i < gpus; ++i) places.push_back({{"gpu", "software"}});
  return {{"clock_seconds", clock},
          {"status",
           {{"version", "1"},
            {"pid", 1},
            {"uptime_seconds", 60},
            {"healthy", true},
            {"problems", Json::array()},
            {"sessions", 2},
            {"vms", 3},
            {"vms_active", 2}}},
          {"gpus", Json::array()},
          {"pools",
           {{{"name", "A"},
             {"policy", "fair"},
             {"state", "open"},
             {"gpus", places},
             {"sessions", 2},
             {"vms_active", 2},
             {"gpu_seconds", gpu_seconds}}}},
          {"vms", all}};
}

std::string text_of(const Line& line) {
  std::string text;
  for (const Piece& piece : line) text += piece.text;
  return text;
}

}  // namespace

TEST_CASE("Shares are of the time between two answers, what is due follows from weights of VMs with sessions") {
  const Json before = answer(10, {vm(1, "a", 300, 1, 5, 100), vm(2, "b", 100, 1, 1, 0), vm(3, "c", 600, 0, 0, 0)});
  const Json after = answer(12, {vm(1, "a", 300, 1, 6.5, 300), vm(2, "b", 100, 1, 1.5, 0), vm(3, "c", 600, 0, 0, 0)});
  const TopView view = top_view(before, after, SortKey::share, false);
  REQUIRE(view.vms_by_key.size() == 3);
  CHECK(view.vms_by_key[0].id == 1);
  CHECK(view.vms_by_key[0].share == Approx(0.75));
  CHECK(view.vms_by_key[0].due == Approx(0.75));
  CHECK(view.vms_by_key[0].calls == Approx(100));
  CHECK(view.vms_by_key[1].due == Approx(0.25));
  CHECK(view.vms_by_key[2].due == 0);
  CHECK(view.pools[0].busy == Approx(1));
  CHECK(top_view(before, after, SortKey::memory, false).vms_by_key[0].id == 3);
  CHECK(top_view(before, after, SortKey::share, true).vms_by_key[0].id == 3);
}

TEST_CASE("In a pool of two GPUs all of one is half") {
  const TopView view =
      top_view(answer(0, {vm(1, "a", 1, 1, 0, 0)}, 2), answer(1, {vm(1, "a", 1, 1, 1, 0)}, 2), SortKey::share, false);
  CHECK(view.vms_by_key[0].share == Approx(0.5));
  CHECK(view.pools[0].busy == Approx(0.5));
}

TEST_CASE("A VM that is new, a daemon that counts anew and no time at all give no nonsense") {
  const Json none = answer(5, {}), one = answer(6, {vm(1, "a", 1, 1, 9, 9, {0, 5, 0})});
  CHECK(top_view(none, one, SortKey::share, false).vms_by_key[0].share == 0);
  CHECK_FALSE(top_view(none, one, SortKey::share, false).vms_by_key[0].wait_p99);
  CHECK(top_view(one, one, SortKey::share, false).vms_by_key[0].calls == 0);
  const Json less = answer(7, {vm(1, "a", 1, 1, 1, 1)});
  CHECK(top_view(one, less, SortKey::share, false).vms_by_key[0].share == 0);
}

TEST_CASE("The 99th percentile of waits is of those between the two answers") {
  const auto p99 = [](std::vector<int> was, std::vector<int> is) {
    return top_view(answer(0, {vm(1, "a", 1, 1, 0, 0, was)}), answer(1, {vm(1, "a", 1, 1, 0, 0, is)}), SortKey::waits,
                    false)
        .vms_by_key[0]
        .wait_p99;
  };
  CHECK(*p99({0, 0, 0}, {1000, 0, 0}) == Approx(0.00099));
  CHECK(*p99({0, 9, 9}, {100, 9, 9}) == Approx(0.00099));
  CHECK(*p99({0, 0, 0}, {0, 1, 0}) == Approx(0.00991));
  CHECK(*p99({0, 0, 0}, {0, 0, 5}) == Approx(0.01));  // longer than the last bound: at least that
}

TEST_CASE("No line is wider than the screen, and the heading fills it") {
  const Json one = answer(0, {vm(1, "a", 1, 1, 0, 0)});
  const TopView view = top_view(one, one, SortKey::share, false);
  for (const std::size_t width : {1u, 20u, 80u, 300u})
    for (const Line& line : top_lines(view, width, SortKey::share)) CHECK(text_of(line).size() <= width);
  const auto lines = top_lines(view, 200, SortKey::share);
  CHECK(text_of(lines[lines.size() - 2]).size() == 200);
}
