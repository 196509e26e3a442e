#!/bin/bash
# Fuzzes the decoders with address and undefined-behaviour sanitizers.
#   tests/fuzz/run.sh [SECONDS]     default 600; the corpus is kept in tests/fuzz/corpus
# Needs clang (Debian: clang libclang-rt-14-dev libzstd-dev libxxhash-dev nlohmann-json3-dev).
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${1:-600}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

flags=(-std=c++17 -O1 -g1 -I. -ffp-contract=off -fno-sanitize-recover=undefined
       -fsanitize=fuzzer-no-link,address,undefined)
avx2=(-mavx2 -mbmi -mbmi2 -mlzcnt -mpopcnt)
avx512=("${avx2[@]}" -mavx512f -mavx512bw -mavx512dq -mavx512vl)
compile() { # SOURCE FLAG...
  local source=$1
  shift
  clang++ "${flags[@]}" "$@" -c "$source" -o "$build/$(echo "$source" | tr / _).o"
}
for source in compression/*.cc compression/simd/dispatch.cc engine/core/error.cc \
  engine/core/memory.cc engine/core/rng.cc engine/core/shape.cc engine/core/device.cc \
  engine/core/tensor.cc engine/core/units.cc tests/fuzz/codec_decode_fuzzer.cc; do
  case $source in */compressed_store.cc | */raw_store.cc) continue ;; esac
  compile "$source"
done
compile compression/simd/kernels_reference.cc
compile compression/simd/kernels_avx2.cc "${avx2[@]}"
compile compression/simd/kernels_avx512.cc "${avx512[@]}"
clang++ -fsanitize=fuzzer,address,undefined "$build"/*.o -lzstd -lxxhash -o "$build/fuzzer"

mkdir -p tests/fuzz/corpus
"$build/fuzzer" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 \
  tests/fuzz/corpus
