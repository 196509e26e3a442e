#!/bin/bash
# Checks and measures Encke on this machine's GPU, from an unpacked encke-*-cuda package; takes about
# twenty minutes on an H100. Everything is written to one folder: logs, and gpu_check.json with all
# results. A part that fails is reported and the next one runs.
#
#   gpu_check.sh                 all parts
#   gpu_check.sh --only PART     one part (may be repeated)
#   gpu_check.sh --dry-run       lists the parts and what they run
#   gpu_check.sh --quick         fewer iterations: whether it runs, not how fast
#
# $OUT is the folder (default ./gpu_check), $PYTHON a Python that may have PyTorch (default python3).
# Exit codes: 0 all passed, 1 some part failed, 2 usage, 5 no GPU that can be used.
set -uo pipefail

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(dirname "$here")
encke=$here/encke
out=${OUT:-gpu_check}
python=${PYTHON:-python3}
iterations=40 dry=false
only=()

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

while (($# > 0)); do
  case $1 in
    --only) only+=("$2") && shift ;;
    --dry-run) dry=true ;;
    --quick) iterations=5 ;;
    -h | --help) usage && exit 0 ;;
    *) echo "gpu_check: no option $1" >&2 && usage >&2 && exit 2 ;;
  esac
  shift
done

steps=() # JSON objects
failed=0

# part NAME SECONDS COMMAND...: runs the command, which may take so long, with its output in a log.
part() {
  local name=$1 seconds=$2 status=0 verdict=passed begin=$SECONDS
  shift 2
  if ((${#only[@]} > 0)) && [[ ! " ${only[*]} " == *" $name "* ]]; then return 0; fi
  if $dry; then
    printf '%-22s %s\n' "$name" "$*"
    return 0
  fi
  # A function of this script needs a shell around it.
  timeout --foreground "$seconds" bash -c '"$@"' "$name" "$@" >"$out/$name.log" 2>&1 || status=$?
  case $status in
    0) ;;
    77) verdict=skipped ;;
    124) verdict='out of time' ;;
    *) verdict=failed ;;
  esac
  [[ $verdict == passed || $verdict == skipped ]] || failed=1
  steps+=("{\"part\": \"$name\", \"verdict\": \"$verdict\", \"status\": $status, \"seconds\": $((SECONDS - begin))}")
  printf '%-22s %-12s %4d s   %s\n' "$name" "$verdict" $((SECONDS - begin)) "$(headline "$name")"
}

# What matters of a log, in a line.
headline() {
  awk '/\[  PASSED  \]|\[  FAILED  \] .*tests?,|images per second|peak memory|largest batch|ERROR SUMMARY|^skip|^error/ {
         gsub(/ +/, " "); line = line (line == "" ? "" : "; ") $0 }
       END {print substr(line, 1, 150)}' "$out/$1.log"
}

run_codec_benchmark() { ENCKE_PROGRAM=gpu_codec_benchmark "$encke" >"$out/codec.json" && cat "$out/codec.json"; }
run_tests() { ENCKE_PROGRAM=gpu_tests ENCKE_TEST_DEVICE=cuda "$encke" "$@"; }
export -f run_tests run_codec_benchmark
export encke out python root

# Of the tests' names: what does not run on the CPU.
on_gpu='-*/fp32:*/bf16'

# Raw and encke side by side; where that fails, raw at least.
run_compare() {
  "$encke" compare "$@" --modes raw,encke && return
  local status=$?
  echo "once more, raw alone"
  "$encke" compare "$@" --modes raw
  return $status
}

run_pytorch() {
  "$python" -c 'import torch, torchvision; assert torch.cuda.is_available()' 2>/dev/null ||
    { echo "skipped: $python has no PyTorch that sees the GPU"; return 77; }
  "$python" "$root/libexec/pytorch_baseline.py" "$@" --device cuda
}
export -f run_compare run_pytorch

# compare NAME NETWORK BATCH OPTIONS...: data from memory, nothing evaluated but at the end.
compare() {
  local name=$1 network=$2 batch=$3
  shift 3
  part "$name" 400 run_compare "$network" --device=cuda --data synthetic --batch "$batch" --iterations "$iterations" \
    --json "$out/$name.json" --set training.evaluate_every=1000000 --set data.test_size="$batch" \
    --set data.train_size=$((batch * 4)) "$@"
}

# pytorch NAME NETWORK BATCH OPTIONS...
pytorch() {
  local name=$1 network=$2 batch=$3
  shift 3
  part "$name" 300 run_pytorch "$network" --batch "$batch" --iterations "$iterations" --warmup 10 "$@"
}

# The same training on both devices from one seed, in fp32; losses may differ by rounding that grows.
same_training() {
  local device loss=()
  for device in cpu cuda; do
    "$encke" compare resnet20_fashion --device=$device --data synthetic --batch 32 --iterations 20 --modes raw \
      --set training.tf32=false --json "$out/same_$device.json" || return 1
    loss+=("$(sed -n 's/.*"loss": \([0-9.e+-]*\),*$/\1/p' "$out/same_$device.json" | head -1)")
  done
  echo "loss after 20 iterations: ${loss[0]} on the CPU, ${loss[1]} on the GPU"
  awk -v a="${loss[0]}" -v b="${loss[1]}" 'BEGIN {d = a > b ? a - b : b - a; exit !(a > 0 && d <= 0.01 * a)}'
}
export -f same_training

run_sanitizer() {
  local tool
  tool=$(command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer" 2>/dev/null)
  [[ -n "$tool" ]] || { echo "skipped: no compute-sanitizer"; return 77; }
  # The launcher's environment, with the sanitizer in front of the program.
  ENCKE_PROGRAM=gpu_tests ENCKE_WRAPPER="$tool --error-exitcode=9 --tool=$1" "$encke" \
    --gtest_filter='Types/ElementwiseTest.*/cuda_*:Types/PoolTest.*/cuda_*:Types/NormTest.*/cuda_*:All/GpuCodec.*'
}
export -f run_sanitizer

if ! $dry; then
  mkdir -p "$out" || exit 1
  out=$(cd "$out" && pwd)
  if ! "$encke" devices >"$out/devices.log" 2>&1 || ! grep -q '^cuda:[0-9]' "$out/devices.log"; then
    echo "gpu_check: no GPU" >&2
    sed -n '/^cuda/,$p;/^error/,$p' "$out/devices.log" >&2
    exit 5
  fi
  sed -n '/^cuda:/,$p' "$out/devices.log"
fi

part tests 600 run_tests --gtest_filter="$on_gpu"
part codec 120 run_codec_benchmark
part bench_codec 120 "$encke" bench codec --device=cuda --json "$out/bench_codec.json"
part memcheck 240 run_sanitizer memcheck
part racecheck 240 run_sanitizer racecheck
part same_training 240 same_training
for precision in FP32 BF16; do
  suffix=$([[ $precision == FP32 ]] && echo tf32 || echo bf16)
  flag=$([[ $precision == BF16 ]] && echo --bf16 || true)
  for case in resnet18:128 resnet50:128 vgg16:128; do
    network=${case%:*} batch=${case#*:}
    # shellcheck disable=SC2086
    pytorch "pytorch_${network}_$suffix" "$network" "$batch" $flag
    compare "encke_${network}_$suffix" "$network" "$batch" --set "training.precision=$precision"
  done
done
memory=$(sed -n 's/^  memory *\([0-9.]* [KMGT]iB\).*/\1/p' "${out}/devices.log" 2>/dev/null | tail -1)
compare peak_resnet50_256 resnet50 256 --memory-limit "${memory:-80 GiB}"

$dry && exit 0

{
  printf '{\n  "devices": "%s",\n  "parts": [\n' "$(tr '\n' ';' <"$out/devices.log" | sed 's/["\\]//g')"
  for i in "${!steps[@]}"; do printf '    %s%s\n' "${steps[i]}" "$( ((i + 1 < ${#steps[@]})) && echo , || true)"; done
  printf '  ],\n  "results": {'
  separator=
  for json in "$out"/*.json; do
    [[ $json != "$out/gpu_check.json" && -s $json ]] || continue
    printf '%s\n  "%s": ' "$separator" "$(basename "$json" .json)"
    cat "$json"
    separator=,
  done
  for log in "$out"/pytorch_*.log; do
    grep -q '^{' "$log" 2>/dev/null || continue
    printf '%s\n  "%s": ' "$separator" "$(basename "$log" .log)"
    sed -n '/^{/,$p' "$log"
    separator=,
  done
  printf '\n  }\n}\n'
} >"$out/gpu_check.json"
echo "gpu_check: results in $out/gpu_check.json"
exit $failed
