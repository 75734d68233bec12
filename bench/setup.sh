# Sourced by bench/run.sh and tests/run.sh: installs what is missing (Debian 12), configures and builds build/PRESET.
# Uses root or sudo only when a package is missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

octet_packages=(g++ cmake ninja-build libxsimd-dev nlohmann-json3-dev libstb-dev libjpeg62-turbo-dev libcli11-dev
                libprotozero-dev libflatbuffers-dev flatbuffers-compiler libxxhash-dev zlib1g-dev libgtest-dev libgmock-dev
                libbenchmark-dev)
# For the tests that x86-64 machines also run as aarch64 programs.
octet_aarch64_packages=(g++-aarch64-linux-gnu qemu-user googletest)
# For windows_test, which nothing installs on its own.
octet_windows_packages=(g++-mingw-w64-x86-64-posix libz-mingw-w64-dev wine64 googletest)

install_missing() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing: ${missing[*]}"
  local run=()
  [ "$(id -u)" = 0 ] || run=(sudo)
  "${run[@]}" apt-get update -qq
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# configure_and_build PRESET [TARGET...]: all targets when none is named.
configure_and_build() {
  local preset=$1 werror=OFF
  shift
  [ "${CI:-}" != true ] || werror=ON
  cmake --preset "$preset" -DOCTET_WERROR=$werror >build-configure.log 2>&1 || { cat build-configure.log; return 1; }
  rm -f build-configure.log
  cmake --build "build/$preset" ${1:+--target "$@"} -- --quiet
}
