// vgpuctl: asks and steers vgpud over its admin socket.
#include <unistd.h>

#include <exception>
#include <iostream>

#include "ctl/commands.hpp"
#include "ctl/generate.hpp"
#include "ctl/show.hpp"
#include "ctl/top.hpp"

namespace vgpu::ctl {
namespace {

using namespace std::chrono_literals;

constexpr auto kPatience = 15s;

int fail(const Failure& failure) {
  std::cerr << "vgpuctl: " << failure.text << '\n';
  return failure.exit;
}

Json request_of(const Options& options) {
  Json request{{"verb", options.verb}};
  if (!options.vm.empty()) request["vm"] = options.vm;
  if (!options.pool.empty()) request["pool"] = options.pool;
  if (!options.session.empty()) request["session"] = options.session;
  if (!options.key.empty()) request["key"] = options.key;
  if (!options.value.empty()) request["value"] = options.value;
  if (!options.level.empty()) request["value"] = options.level;
  if (options.end) request["end"] = true;
  if (options.verb == "profile") request["seconds"] = options.seconds;
  if (options.verb == "events") request["follow"] = !options.once;
  return request;
}

/// Prints what comes until vgpud ends, or the user.
int follow(Client& client, const Options& options) {
  Failure failure;
  while (const auto line = client.next(failure)) {
    if (options.json)
      std::cout << line->dump() << '\n';
    else
      std::cout << (options.verb == "trace" ? show_call(*line) : show_event(*line));
    std::cout.flush();
  }
  return fail(failure);
}

int run_verb(const Options& options) {
  Failure failure;
  auto client = Client::connect(options.socket, failure);
  if (!client) return fail(failure);
  auto patience = std::chrono::milliseconds(kPatience);
  if (options.verb == "profile")
    patience += std::chrono::milliseconds(static_cast<std::int64_t>(options.seconds * 1000));
  const auto answer = client->ask(request_of(options), failure, patience);
  if (!answer) return fail(failure);
  const auto refused = refusal(*answer);
  if (options.json) std::cout << answer->dump() << '\n';
  if (refused) return options.json ? refused->exit : fail(*refused);
  if (options.verb == "events") {
    if (!options.json)
      for (const Json& event : answer->at("events")) std::cout << show_event(event);
    std::cout.flush();
    return options.once ? kDone : follow(*client, options);
  }
  if (options.verb == "trace") {
    if (!options.json) std::cerr << "tracing; Ctrl-C ends it\n";
    std::cout.flush();
    return follow(*client, options);
  }
  if (!options.json) std::cout << show(options.verb, *answer);
  return options.verb == "status" && !answer->at("status").at("healthy").get<bool>() ? kRefused : kDone;
}

int run_top(const Options& options) {
  TopOptions top_options;
  top_options.socket = options.socket;
  top_options.interval = std::chrono::milliseconds(static_cast<std::int64_t>(options.interval * 1000));
  top_options.sort = parse_sort_key(options.sort).value_or(SortKey::share);
  const char* const terminal = std::getenv("TERM");
  const bool has_terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1 && terminal != nullptr;
  return options.once || !has_terminal ? top_once(top_options) : top(top_options);
}

int run(int argc, char** argv) {
  CLI::App app;
  Options options;
  describe(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  }
  if (options.verb == "completion") {
    std::cout << generate(app, options.shell);
    return kDone;
  }
  return options.verb == "top" && !options.json ? run_top(options) : run_verb(options);
}

}  // namespace
}  // namespace vgpu::ctl

int main(int argc, char** argv) {
  try {
    return vgpu::ctl::run(argc, argv);
  } catch (const nlohmann::json::exception& error) {
    std::cerr << "vgpuctl: vgpud's answer is not what this vgpuctl knows; install the same release of both ("
              << error.what() << ")\n";
  } catch (const std::exception& error) {
    std::cerr << "vgpuctl: " << error.what() << '\n';
  }
  return vgpu::ctl::kRefused;
}
