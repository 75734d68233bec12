#!/usr/bin/env bash
# Makes the virtual environments whose exporters the tests in this folder run: frameworks from PyPI, in build/exporters: 10 GB,
# because PyPI's PyTorch needs the GPU's libraries even to run without one. A second run is quick. Usage: tests/golden/setup_exporters.sh [NAME...], with NAME tensorflow, torch or torch113.
# Python 3.11 serves all three; another one where it is named: PYTHON=python3.12 ... (no torch113 there).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD/build/exporters
wanted=" ${*:-tensorflow torch torch113} "
status=0

# environment NAME COMMAND...: runs the command with $pip in a new environment; it counts once the command has succeeded.
environment() {
  local name=$1 folder=$root/$1
  shift
  [[ "$wanted" == *" $name "* ]] || return 0
  if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    pip=("$folder/bin/python" -m pip install --quiet --disable-pip-version-check)
    if "${PYTHON:-python3}" -m venv "$folder" && "$@"; then
      touch "$folder/complete"
    else
      echo "$name: could not be installed; its tests will be skipped" >&2
      rm -rf "$folder"
      status=1
      return
    fi
  fi
  echo "$name: $folder/bin/python"
}

# PyTorch without Triton: a gigabyte, needed only to compile for GPUs.
current_torch() {
  "${pip[@]}" --no-deps torch torchvision timm &&
    "$folder/bin/python" -c 'import importlib.metadata as m
print("\n".join(r for r in m.requires("torch") if not r.startswith("triton") and "extra ==" not in r))' > "$folder/requirements.txt" &&
    "${pip[@]}" -r "$folder/requirements.txt" numpy "pillow<13" onnx onnxscript onnxruntime huggingface_hub safetensors pyyaml &&
    "${pip[@]}" nncf && "${pip[@]}" --no-deps torchao
}

environment tensorflow eval '"${pip[@]}" tensorflow-cpu keras numpy tf2onnx onnx pillow opencv-python-headless && "${pip[@]}" dm-tree && "${pip[@]}" --no-deps tf_keras tensorflow_model_optimization'
environment torch current_torch
environment torch113 eval '"${pip[@]}" torch==1.13.1 "numpy<2"'
exit "$status"
