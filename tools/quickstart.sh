#!/bin/bash
# From a fresh Debian 12 machine to a comparison of uncompressed and compressed training:
# installs the packages, builds, trains ResNet-20 on Fashion-MNIST for one epoch in each mode, and
# prints what memory, speed and accuracy came out.
#
#   tools/quickstart.sh                      one epoch a mode (some minutes)
#   tools/quickstart.sh --iterations 100     a first impression
#   tools/quickstart.sh --epochs 2 --modes raw,encke,encke:tolerance=0.1
#
# All options are handed to `encke compare` (see `bazel-bin/tools/encke help compare`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ "${1:-}" == -h || "${1:-}" == --help ]]; then
  sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
  exit 0
fi

tools/setup.sh
echo "quickstart: building (the first time takes some minutes)"
bazel build --noshow_progress --curses=no --ui_event_filters=-info --jobs=2 //tools:encke

length=(--epochs 1)
for argument in "$@"; do
  case "$argument" in
    --epochs* | --iterations*) length=() ;;
  esac
done
command=(compare models/recipes/resnet20_fashion.textproto "${length[@]}" "$@")
echo "quickstart: bazel-bin/tools/encke ${command[*]}"
exec bazel-bin/tools/encke "${command[@]}"
