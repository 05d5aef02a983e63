#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace vgpu::ctl {

/// Made from the description of the command line, so that they never differ from it: "bash" and "zsh": completions for
/// that shell; "man": the man page.
std::string generate(const CLI::App& app, const std::string& kind);

}  // namespace vgpu::ctl
