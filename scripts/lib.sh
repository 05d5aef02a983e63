# What the scripts share. Sourced, not run.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Debian 12's names for what building and testing need.
# shellcheck disable=SC2034  # used by the scripts that source this
packages=(
  cmake ninja-build g++ pkg-config python3
  libcaf-dev libasio-dev prometheus-cpp-dev catch2 libzstd-dev liblz4-dev
  libtomlplusplus-dev nlohmann-json3-dev libcli11-dev libspdlog-dev libfmt-dev
  libseccomp-dev libsystemd-dev libncurses-dev python3-pyte
)
# Free space, in MiB, that a build of one preset with its CUDA programs takes.
needed_mib=3000

say() { printf '==> %s\n' "$*"; }
die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Fetches the machine's index of packages anew, as root or through sudo where that asks no question; else leaves it as it is.
refresh_index() {
  local become=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 0
    become=(sudo -n)
  fi
  say "fetching the index of packages"
  "${become[@]}" apt-get update -q >/dev/null 2>&1 || true
}

# Installs what is missing of the packages named, as root or through sudo where that asks no question.
install_missing() {
  local missing=() package
  command -v dpkg-query >/dev/null || {
    say "not a Debian system: taking for granted that these are installed: $*"
    return
  }
  local installed
  # dpkg-query fails where it has never heard of one of them.
  installed=$({ dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null || true; } | sed -n 's/ install ok installed$//p')
  for package in "$@"; do
    grep -qxF "$package" <<<"$installed" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local become=()
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      become=(sudo -n)
    else
      die "these packages are missing and installing them needs root: run 'apt-get install ${missing[*]}' as root, then this again"
    fi
  fi
  say "installing ${missing[*]}"
  # An index that is too old, or none at all, is only noticed when a package can't be had.
  "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" ||
    { "${become[@]}" apt-get update -q &&
      "${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}"; } ||
    die "apt-get could not install ${missing[*]}: see what it says above"
}

# Prints the folder of a CUDA toolkit that has nvcc.
find_cuda() {
  local nvcc candidate
  if nvcc=$(command -v nvcc); then
    dirname "$(dirname "$(readlink -f "$nvcc")")"
    return
  fi
  for candidate in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda /usr/local/cuda-13* /usr/local/cuda-12*; do
    if [ -n "$candidate" ] && [ -x "$candidate/bin/nvcc" ]; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# Puts the toolkit's programs into PATH, or says what to do.
need_cuda() {
  local cuda
  cuda=$(find_cuda) || die "no CUDA toolkit was found: install version 12.4 or newer from NVIDIA, or set CUDA_HOME to the folder that holds bin/nvcc"
  export CUDA_HOME=$cuda CUDACXX=$cuda/bin/nvcc
  export PATH=$cuda/bin:$PATH
}

# Makes sure that there are prometheus and promtool, for tests: in PATH, or Debian's unpacked into build/tools. Not
# installed: that would start a service.
need_prometheus() {
  local folder=$root/build/tools
  if command -v prometheus >/dev/null && command -v promtool >/dev/null; then return; fi
  if [ -x "$folder/usr/bin/prometheus" ]; then return; fi
  command -v apt-get >/dev/null || {
    say "not a Debian system: the tests of monitoring need prometheus and promtool in PATH"
    return
  }
  say "fetching prometheus"
  mkdir -p "$folder"
  (
    cd "$folder"
    apt-get download -q prometheus || { refresh_index && apt-get download -q prometheus; }
    dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb
  ) || die "Debian's package prometheus could not be fetched: see what apt-get says above"
}

# need_space FOLDER MIB
need_space() {
  local free
  free=$(df --output=avail -m "$1" | tail -n 1 | tr -d ' ')
  [ "$free" -ge "$2" ] || die "$1 has $free MiB free and building needs $2: make room, then run this again"
}

# build_preset PRESET [CMAKE ARGUMENT…]: configures where that was never done or the arguments changed, and builds.
build_preset() {
  local preset=$1 folder arguments
  shift
  folder=$root/build/$preset
  arguments="$*"
  if [ ! -f "$folder/build.ninja" ] || [ "$(cat "$folder/.arguments" 2>/dev/null)" != "$arguments" ]; then
    need_space "$root" "$needed_mib"
    say "configuring $preset"
    mkdir -p "$folder"
    cmake --preset "$preset" -S "$root" "$@" >"$folder/configure.log" 2>&1 || {
      cat "$folder/configure.log" >&2
      die "CMake could not configure the preset '$preset': see above"
    }
    printf '%s' "$arguments" >"$folder/.arguments"
  fi
  say "building $preset"
  cmake --build "$folder"
}

# http_get PORT PATH: the body of what a server on this machine answers.
http_get() {
  local line
  exec 9<>"/dev/tcp/127.0.0.1/$1" || return 1
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&9
  while IFS= read -r line <&9 && [ "$line" != $'\r' ]; do :; done
  cat <&9
  exec 9>&-
}

# A TCP port of this machine that nobody uses.
free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])' 2>/dev/null
}

# wait_for SECONDS COMMAND…: until the command succeeds.
wait_for() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.05
  done
}
