// Stand-ins for what the shim's core gives to the exports, inside a test library.
#pragma once

#include <atomic>

/// The library's side of a test. It is reached through the exported name cuEGLApiInit, which no header declares,
/// because the library must export nothing but libcuda's names.
struct Doubles {
  std::atomic<int> last_refusal{-1};            ///< index that refuse() was last called with
  std::atomic<int> driver_version{13000};       ///< what driver_version() answers
  std::atomic<int> carried_calls{0};            ///< how often a carried call (cuMemcpy, cuStreamQuery) ran
  std::atomic<bool> carried_per_thread{false};  ///< whether the guard was set the last time
};
