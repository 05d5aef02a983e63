// The executor's log lines would only stand between the tests' own.
#include <spdlog/spdlog.h>

namespace {
[[maybe_unused]] const bool quiet = (spdlog::set_level(spdlog::level::off), true);
}  // namespace
