#!/usr/bin/env bash
# From a clean checkout to a measured int8 network: installs, builds, converts the flower classifier, runs the benchmark.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
install_missing "${octet_packages[@]}"
configure_and_build release octet_convert octet_tool bench_resnet

model=build/release/flowers_int8.octet
build/release/converter/octet_convert models/flowers/flowers_resnet.safetensors --graph=flowers_resnet --precision=int8 \
  --calibration-table=models/flowers/calibration.json --output="$model"
build/release/engine/tools/octet verify "$model"
build/release/bench/bench_resnet --precision=int8 --model="$model"
exec build/release/bench/bench_resnet --precision=int8 "$@"
