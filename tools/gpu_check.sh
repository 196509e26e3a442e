#!/bin/bash
# Checks and measures Encke on this machine's GPU, from an unpacked encke-*-cuda package; takes about
# twenty minutes on an H100. Everything is written to one folder: logs, gpu_check.json with all
# results, and goals.txt, which puts the numbers to be reached beside those measured. A part that
# fails is reported and the next one runs; a number that is missed fails nothing.
#
#   gpu_check.sh                 all parts but the long ones
#   gpu_check.sh --long          the long ones, too: some two hours
#   gpu_check.sh --only PART     one part, long or not (may be repeated)
#   gpu_check.sh --dry-run       lists the parts and what they run
#   gpu_check.sh --quick         fewer iterations: whether it runs, not how fast
#
# $OUT is the folder (default ./gpu_check), $PYTHON a Python that may have PyTorch (default python3),
# $DATA the folder of Fashion-MNIST, for the part `accuracy` (default: where Debian installs it).
# Exit codes: 0 all passed, 1 some part failed, 2 usage, 5 no GPU that can be used.
set -uo pipefail

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(dirname "$here")
encke=$here/encke
out=${OUT:-gpu_check}
python=${PYTHON:-python3}
data=${DATA:-/usr/share/datasets/fashion-mnist}
iterations=40 compared=100 epochs=10 dry=false long=false
only=()

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

while (($# > 0)); do
  case $1 in
    --only)
      [[ -n "${2:-}" ]] || { echo "gpu_check: --only needs a part" >&2 && exit 2; }
      only+=("$2") && shift
      ;;
    --dry-run) dry=true ;;
    --long) long=true ;;
    --quick) iterations=5 compared=5 epochs=1 ;;
    -h | --help) usage && exit 0 ;;
    *) echo "gpu_check: no option $1" >&2 && usage >&2 && exit 2 ;;
  esac
  shift
done

steps=() # JSON objects
names=() # of the parts
failed=0

running=
trap '[[ -z "$running" ]] || kill "$running"; exit 130' INT TERM

# part NAME SECONDS COMMAND...: runs the command, which may take so long, with its output in a log.
part() {
  local name=$1 seconds=$2 status=0 verdict=passed begin=$SECONDS
  shift 2
  names+=("$name")
  if ((${#only[@]} > 0)) && [[ ! " ${only[*]} " == *" $name "* ]]; then return 0; fi
  if $dry; then
    printf '%-22s %s\n' "$name" "$*"
    return 0
  fi
  # A function of this script needs a shell around it. What `timeout` ends is all that the part has started; so is what
  # a signal to this script ends.
  timeout --kill-after=10 "$seconds" bash -c '"$@"' "$name" "$@" >"$out/$name.log" 2>&1 &
  running=$!
  wait "$running" || status=$?
  kill -KILL -- "-$running" 2>/dev/null || true # what has not ended by itself, of the group that `timeout` made
  running=
  case $status in
    0) ;;
    77) verdict=skipped ;;
    124 | 137) verdict='out of time' ;;
    *) verdict=failed ;;
  esac
  [[ $verdict == passed || $verdict == skipped ]] || failed=1
  steps+=("{\"part\": \"$name\", \"verdict\": \"$verdict\", \"status\": $status, \"seconds\": $((SECONDS - begin))}")
  printf '%-22s %-12s %4d s   %s\n' "$name" "$verdict" $((SECONDS - begin)) "$(headline "$name")"
}

# The same for what takes too long to be run each time.
long_part() {
  if $long || ((${#only[@]} > 0)); then
    part "$@"
  else
    names+=("$1")
    if $dry; then printf '%-22s only with --long\n' "$1"; fi
  fi
}

# What matters of a log, in a line.
headline() {
  awk '/\[  PASSED  \]|\[  FAILED  \] .*tests?,|images per second|peak memory|largest batch|ERROR SUMMARY|^each iteration|^accuracy|^skip|^error/ {
         gsub(/ +/, " "); line = line (line == "" ? "" : "; ") $0 }
       END {print substr(line, 1, 150)}' "$out/$1.log"
}

run_codec_benchmark() { ENCKE_PROGRAM=gpu_codec_benchmark "$encke" >"$out/codec.json" && cat "$out/codec.json"; }
run_tests() { ENCKE_PROGRAM=gpu_tests ENCKE_TEST_DEVICE=cuda "$encke" "$@"; }
export -f run_tests run_codec_benchmark
export encke out python root data epochs

# Of the tests' names: what does not run on the CPU.
on_gpu='-*/fp32:*/bf16'

# run_compare MODES OPTIONS...: side by side; where that fails, raw at least.
run_compare() {
  local modes=$1
  shift
  "$encke" compare "$@" --modes "$modes" && return
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

# compare NAME NETWORK BATCH MODES OPTIONS...: data from memory, nothing evaluated but at the end. With so short an
# interval all but the first 20 iterations are like those of a long training, as far as probes go.
compare() {
  local name=$1 network=$2 batch=$3 modes=$4
  shift 4
  part "$name" 400 run_compare "$modes" "$network" --device=cuda --data synthetic --batch "$batch" --iterations "$compared" \
    --json "$out/$name.json" --set training.evaluate_every=1000000 --set data.test_size="$batch" \
    --set data.train_size=$((batch * compared)) --set activations.interval=5 "$@"
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

# trace_of MODE: where the time of a training goes, and what the host calls. Fails where a steady iteration
# allocates memory, waits for the whole device, or copies without a stream. All are of one epoch, as each ends with a
# checkpoint.
trace_of() {
  local iterations=20 trace=$out/trace_$1.tsv status=0
  CUDA_INJECTION64_PATH=$root/libexec/libcuda_trace.so ENCKE_CUDA_TRACE=$trace \
    "$encke" train resnet50 --device=cuda --mode "$1" --data synthetic --batch 64 --iterations $iterations \
    --output "$out/trace_runs" --set training.evaluate_every=1000000 --set data.train_size=$((64 * iterations)) \
    --set data.test_size=64 || return 1
  [[ -s "$trace" ]] || { echo "error: the trace is empty"; return 1; }
  echo "in mode $1:"
  "$python" "$root/libexec/cuda_trace.py" "$trace" --iterations $iterations --steady --json "${trace%.tsv}.json" ||
    status=1
  gzip -f "$trace"
  return $status
}

run_trace() {
  local mode status=0
  command -v "$python" >/dev/null || { echo "skipped: no $python"; return 77; }
  [[ -e "$root/libexec/libcuda_trace.so" ]] || { echo "skipped: no libcuda_trace.so in this package"; return 77; }
  if ENCKE_PROGRAM=libcuda_trace.so ENCKE_WRAPPER=ldd "$encke" | grep -q 'libcupti.*not found'; then
    echo "skipped: no libcupti.so.13; set CUDA_HOME to a CUDA 13 toolkit, or pip install nvidia-cuda-cupti"
    return 77
  fi
  for mode in raw encke; do trace_of $mode || status=1; done
  return $status
}
export -f trace_of run_trace

# numbers FIELD FILE: the values of a field in a file that `compare` wrote, in the order of its modes.
numbers() { sed -n 's/^ *"'"$1"'": \([0-9.e+-]*\),*$/\1/p' "$2"; }
export -f numbers

# fits MODE BATCH: whether a batch of ResNet-50 really trains.
fits() {
  "$encke" compare resnet50 --device=cuda --data synthetic --batch "$2" --iterations 3 --modes "$1" \
    --json "$out/largest/$1_$2.json" --set training.evaluate_every=1000000 --set data.train_size="$2" \
    --set data.test_size=64 --set training.evaluation_batch=64 --set data.prefetch=1
}

# largest_of MODE BATCH: the largest batch that trains, in steps of a twentieth, from a guess on.
largest_of() {
  local mode=$1 batch=$2 best=0
  for _ in {1..12}; do
    if fits "$mode" "$batch" >&2; then
      best=$batch
      batch=$((batch + (batch + 19) / 20))
    elif ((best > 0 || batch <= 1)); then
      break
    else
      batch=$((batch - (batch + 19) / 20))
    fi
  done
  echo "$best"
}

# run_largest MEMORY: from the plan's guess on.
run_largest() {
  local guess raw encke_batch
  mkdir -p "$out/largest"
  "$encke" compare resnet50 --device=cuda --data synthetic --batch 64 --iterations 3 --modes raw,encke \
    --json "$out/largest/guess.json" --memory-limit "$1" --set training.evaluate_every=1000000 \
    --set data.train_size=64 --set data.test_size=64 || return 1
  mapfile -t guess < <(numbers largest_batch "$out/largest/guess.json")
  raw=$(largest_of raw "${guess[0]}")
  encke_batch=$(largest_of encke "${guess[1]}")
  echo "largest batch that trained: $raw raw, $encke_batch with encke; planned ${guess[0]} and ${guess[1]}"
  printf '{"raw": %d, "encke": %d, "planned_raw": %d, "planned_encke": %d}\n' \
    "$raw" "$encke_batch" "${guess[0]}" "${guess[1]}" >"$out/largest.json"
  ((raw > 0 && encke_batch > 0))
}
export -f fits largest_of run_largest

# ResNet-18 on Fashion-MNIST from three seeds: the mean difference is within twice its standard error, as
# the scatter of both modes' seeds gives it.
run_accuracy() {
  local seed
  [[ -d "$data" ]] || { echo "skipped: no Fashion-MNIST in $data"; return 77; }
  mkdir -p "$out/accuracy"
  for seed in 1 2 3; do
    "$encke" compare resnet18_fashion --device=cuda --epochs "$epochs" --seed "$seed" --modes raw,encke \
      --json "$out/accuracy/$seed.json" --set data.train="$data" || return 1
  done
  for seed in 1 2 3; do numbers accuracy "$out/accuracy/$seed.json" | paste -s -d ' '; done |
    awk '{raw += $1; encke += $2; squares += $1 ^ 2 + $2 ^ 2; list = list (NR > 1 ? ", " : "") "[" $1 ", " $2 "]"}
         NF != 2 {broken = 1}
         END {
           if (NR != 3 || broken) {print "error: accuracies are missing"; exit 1}
           difference = (encke - raw) / 3
           scatter = squares - raw ^ 2 / 3 - encke ^ 2 / 3
           error = sqrt((scatter > 0 ? scatter : 0) / 2 / 3)
           printf "{\"raw_and_encke\": [%s], \"difference\": %.3f, \"standard_error\": %.3f}\n",
             list, difference, error >json
           printf "accuracy: raw %.2f, difference %.2f, standard error %.2f\n", raw / 3, difference, error
           exit !(difference <= 2 * error && -difference <= 2 * error)
         }' json="$out/accuracy.json"
}
export -f run_accuracy

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
part trace 400 run_trace
for precision in FP32 BF16; do
  suffix=$([[ $precision == FP32 ]] && echo tf32 || echo bf16)
  flag=$([[ $precision == BF16 ]] && echo --bf16 || true)
  for case in resnet18:128 resnet50:128 vgg16:128; do
    network=${case%:*} batch=${case#*:}
    # shellcheck disable=SC2086
    pytorch "pytorch_${network}_$suffix" "$network" "$batch" $flag
    compare "encke_${network}_$suffix" "$network" "$batch" raw,encke --set "training.precision=$precision"
  done
done
# What memory buys: raw takes 10.5 GiB in tf32 and 5.4 in bf16. With some to spare the plan takes larger slices; with
# more, it leaves values as they are.
limited() { printf 'encke:training.memory_limit=%s,' "$@"; }
compare limited_resnet50_tf32 resnet50 128 "$(limited 2.5GiB 4GiB 5.3GiB 8GiB)raw"
compare limited_resnet50_bf16 resnet50 128 "$(limited 1.3GiB 2GiB 2.7GiB 4GiB)raw" --set training.precision=BF16
# How many samples a GPU wants in a slice at least, beside what it gets unless asked for otherwise.
compare slices_resnet50 resnet50 128 raw,encke,encke:slice=8,encke:slice=32,encke:slice=128
memory=$(sed -n 's/^  memory *\([0-9.]* [KMGT]iB\).*/\1/p' "${out}/devices.log" 2>/dev/null | tail -1)
memory=${memory:-80 GiB}
compare peak_resnet50_256 resnet50 256 "$(limited 2.57GiB)raw,encke,encke:codec=dense,encke:codec=auto" --memory-limit "$memory"
long_part largest_resnet50 3600 run_largest "$memory"
long_part accuracy 5400 run_accuracy

for name in "${only[@]}"; do
  [[ " ${names[*]} " == *" $name "* ]] || { echo "gpu_check: there is no part $name" >&2 && exit 2; }
done
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
if command -v "$python" >/dev/null; then
  "$python" "$root/libexec/gpu_goals.py" "$out/gpu_check.json" | tee "$out/goals.txt"
fi
echo "gpu_check: results in $out/gpu_check.json"
exit $failed
