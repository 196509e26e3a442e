#!/bin/bash
# tools/gpu_check.sh over a made-up package, whose program says what a GPU might: every part runs, what it
# finds is judged, and the numbers to be reached are put beside those measured.
set -euo pipefail

fail() {
  echo "gpu_check_test: $*" >&2
  exit 1
}

package=$TEST_TMPDIR/package
export OUT=$TEST_TMPDIR/out
mkdir -p "$package"/{bin,libexec} "$TEST_TMPDIR/path" "$TEST_TMPDIR/fashion"
cp tools/gpu_check.sh "$package/bin/"
cp tools/bench/{gpu_goals,cuda_trace}.py "$package/libexec/"
touch "$package/libexec/"{pytorch_baseline.py,libcuda_trace.so}

# The program, which also writes traces as the library does that it is to load. RAW_FITS and ENCKE_FITS are the largest
# batches, ENCKE_ACCURACY that of seed 1, CUPTI where ldd finds it, CALL what encke's iterations call.
cat >"$package/bin/encke" <<'PROGRAM'
#!/bin/bash
case ${ENCKE_PROGRAM:-} in
  gpu_tests) echo "[  PASSED  ] 7 tests." && exit 0 ;;
  gpu_codec_benchmark)
    row() { printf '{"codec": "%s", "coded_as": "%s", "dtype": "%s", "encode_gb_per_s": %d, "decode_gb_per_s": %d}' "$@"; }
    echo "{\"gpu\": \"H\", \"results\": [$(row fast fast fp32 1100 1600), $(row fast fast fp32 1200 1400)," \
      "$(row fast fast bf16 1 1), $(row dense fast fp32 1 1), $(row dense dense fp32 350 450)]}"
    exit 0
    ;;
  libcuda_trace.so) echo "libcupti.so.13 => $CUPTI" && exit 0 ;;
esac
command=$1 network=$2 json='' modes=raw,encke batch=0 seed=1 device='' iterations=0
while (($# > 0)); do
  case $1 in
    --json) json=$2 ;;
    --modes) modes=$2 ;;
    --batch) batch=$2 ;;
    --seed) seed=$2 ;;
    --mode) modes=$2 ;;
    --iterations) iterations=$2 ;;
    --device=*) device=${1#*=} ;;
  esac
  shift
done
case $command in
  devices) printf 'cpu: C\ncuda:0: H\n  memory   79.6 GiB\n' ;;
  bench)
    trap '' TERM
    [[ -z ${HANGS:-} ]] || sleep "$HANGS"
    echo '{"totals": []}' >"$json"
    ;;
  train)
    [[ $CUDA_INJECTION64_PATH == */libexec/libcuda_trace.so ]] || exit 1
    calls="cudaEventSynchronize_v3020 cudaEventSynchronize_v3020"
    [[ $modes == raw ]] || calls+=" $CALL"
    for ((i = 0; i < iterations * 100; i += 100)); do
      printf 'kernel\t%d\t%d\t7\t%s\n' $i $((i + 50)) conv $((i + 60)) $((i + 70)) SgdOp $((i + 70)) $((i + 80)) SgdOp
      for call in $calls; do printf 'call\t%d\t%d\t1\t%s\n' $i $((i + 1)) "$call"; done
    done >"$ENCKE_CUDA_TRACE"
    ;;
  compare)
    separator=''
    {
      printf '{\n  "network": "%s",\n  "modes": {' "$network"
      for mode in ${modes//,/ }; do
        fits=$ENCKE_FITS speed=900 peak=9 accuracy=$((ENCKE_ACCURACY + seed - 1)) guess=6000
        [[ $mode == encke ]] || peak=5
        if [[ $mode == raw ]]; then fits=$RAW_FITS speed=1000 peak=40 accuracy=$((90 + seed)) guess=1000; fi
        ((batch <= fits)) || exit 4
        printf '%s\n    "%s": {\n      "images_per_second": %d,\n      "peak_bytes": {\n        "total": %d\n      },\n' \
          "$separator" "$mode" $speed $peak
        printf '      "loss": 2.5,\n      "accuracy": %d,\n      "largest_batch": %d\n    }' $accuracy $guess
        separator=,
      done
      printf '\n  }\n}\n'
    } >"$json"
    echo "$device: images per second"
    ;;
esac
PROGRAM

# A Python with PyTorch.
cat >"$TEST_TMPDIR/path/python" <<'PYTHON'
#!/bin/bash
[[ $1 != -c ]] || exit 0
[[ $1 != */pytorch_baseline.py ]] || { echo '{"images_per_second": {"nchw": 900.0, "channels_last": 950.0}}' && exit 0; }
exec python3 "$@"
PYTHON
chmod +x "$package/bin/encke" "$TEST_TMPDIR"/path/*
export PATH=$TEST_TMPDIR/path:$PATH PYTHON=$TEST_TMPDIR/path/python DATA=$TEST_TMPDIR/fashion
export RAW_FITS=870 ENCKE_FITS=6400 ENCKE_ACCURACY=91 CUPTI=/somewhere CALL=cudaLaunchKernel_v7000

# check STATUS OPTIONS...: runs the script, which has to end so.
check() {
  local expected=$1 status=0
  shift
  rm -rf "$OUT"
  "$package/bin/gpu_check.sh" "$@" >"$TEST_TMPDIR/log" 2>&1 || status=$?
  [[ $status == "$expected" ]] || fail "$* ended with $status: $(cat "$TEST_TMPDIR/log" "$OUT"/*.log)"
}
goal() { grep -q "^$1  *$2 .*$3\$" "$OUT/goals.txt" || fail "no '$1 $2 $3' in $(cat "$OUT/goals.txt")"; }

check 0
python3 -m json.tool "$OUT/gpu_check.json" >"$TEST_TMPDIR/json" || fail "no JSON: $(cat "$OUT/gpu_check.json")"
for part in tests codec same_training trace bench_codec slices_resnet50; do
  grep -q "^$part  *passed" "$TEST_TMPDIR/log" || fail "$part in $(cat "$TEST_TMPDIR/log")"
done
grep -q 'each iteration waits by 2 cudaEventSynchronize' "$TEST_TMPDIR/log" || fail "waits in $(cat "$TEST_TMPDIR/log")"
for trace in trace_raw trace_encke; do
  grep -q "\"$trace\": {" "$OUT/gpu_check.json" || fail "no $trace in $(cat "$OUT/gpu_check.json")"
done
goal 'vgg16 bf16: raw over PyTorch' 1.05x reached
goal 'resnet50 tf32: encke over raw' 0.90x reached
goal 'resnet50 tf32: in 5.3GiB' 0.90x reached
goal 'codec fast: encode' '1100 GB/s' reached
goal 'codec fast: decode' '1400 GB/s' MISSED
goal 'codec dense: decode' '450 GB/s' reached
goal "resnet50, batch 256: raw's peak over encke's" 4.4x MISSED
goal "resnet50, batch 256: raw's peak over encke:codec=dense's" 8.0x reached
goal "resnet50, batch 256: raw's peak over encke:training.memory_limit=2.57GiB's" 8.0x reached
goal "resnet50: largest batch over raw's" - -

check 0 --long
[[ $(cat "$OUT/largest.json") == '{"raw": 856, "encke": 6300, '* ]] || fail "largest: $(cat "$OUT/largest.json")"
goal "resnet50: largest batch over raw's" 7.4x reached
goal 'resnet18, accuracy: difference in standard errors' -0.0 reached

CALL=cudaMalloc_v3020 check 1 --only trace
grep -q 'error: each iteration calls 1 cudaMalloc' "$OUT/trace.log" || fail "$(cat "$OUT/trace.log")"
CUPTI='not found' check 0 --only trace
grep -q '^trace  *skipped .* no libcupti' "$TEST_TMPDIR/log" || fail "$(cat "$TEST_TMPDIR/log")"
PYTHON=no_python check 0 --only trace
grep -q '^trace  *skipped .* no no_python' "$TEST_TMPDIR/log" || fail "$(cat "$TEST_TMPDIR/log")"
ENCKE_ACCURACY=80 check 1 --only accuracy
grep -q 'accuracy: raw 92.00, difference -11.00' "$OUT/accuracy.log" || fail "$(cat "$OUT/accuracy.log")"
DATA=$TEST_TMPDIR/nowhere check 0 --only accuracy
grep -q '^accuracy  *skipped' "$TEST_TMPDIR/log" || fail "$(cat "$TEST_TMPDIR/log")"
ENCKE_FITS=100 check 1 --only encke_resnet50_tf32 --only tests
# Nothing of a part that runs out of time, here of a second, goes on.
printf '#!/bin/bash\nwhile [[ $1 == -* ]]; do options+=("$1"); shift; done\nshift\nexec %s "${options[@]}" 1 "$@"\n' \
  "$(command -v timeout)" >"$TEST_TMPDIR/path/timeout"
chmod +x "$TEST_TMPDIR/path/timeout"
HANGS=271.$$ check 1 --only bench_codec
grep -q '^bench_codec  *out of time' "$TEST_TMPDIR/log" || fail "$(cat "$TEST_TMPDIR/log")"
! grep -ls "27[1][.]$$" /proc/[0-9]*/cmdline >"$TEST_TMPDIR/running" || fail "still running: $(cat "$TEST_TMPDIR/running")"
rm "$TEST_TMPDIR/path/timeout"
check 2 --only nonsense
check 2 --only
