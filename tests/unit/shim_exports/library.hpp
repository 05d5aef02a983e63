// The library under test, loaded as a program would load it.
#pragma once

#include <dlfcn.h>

#include <stdexcept>
#include <string>

#include "doubles.hpp"

inline void* test_library() {
  static void* const library = [] {
    void* const opened = dlopen(VGPU_TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) throw std::runtime_error(dlerror());
    return opened;
  }();
  return library;
}

/// The function of that name; null when the library does not export it.
template <class Function>
Function* symbol(const std::string& name) {
  return reinterpret_cast<Function*>(dlsym(test_library(), name.c_str()));
}

/// The stand-ins inside the library.
inline Doubles& doubles() { return *symbol<Doubles*()>("cuEGLApiInit")(); }
