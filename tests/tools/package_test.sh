#!/bin/bash
# The package runs from any folder, without the environment it was made in, and with no library of this
# machine but glibc's and, where the program has it, CUDA's.
set -euo pipefail

fail() {
  echo "package_test: $*" >&2
  exit 1
}

program=$PWD/tools/encke
gpu_check=$PWD/tools/gpu_check.sh
package=$TEST_TMPDIR/somewhere/encke
tools/package.sh --program "$program" --stage "$package"
cd /

env -i "$package/bin/encke" devices | grep -q '^cpu' || fail "devices"
env -i "$package/bin/encke" summary resnet20_fashion >"$TEST_TMPDIR/summary" || fail "summary"
grep -q 'backward of' "$TEST_TMPDIR/summary" || fail "no plan in: $(cat "$TEST_TMPDIR/summary")"
ln -s "$package/bin/encke" "$TEST_TMPDIR/link"
env -i "$TEST_TMPDIR/link" --version | grep -q '^encke' || fail "through a link"

foreign=$(LD_LIBRARY_PATH=$package/lib:$package/lib/c++ ldd "$package/libexec/encke" | awk '/=> \//{print $3}' |
  grep -v -e "^$package/" -e '/lib\(c\|m\|dl\|rt\|pthread\|resolv\|cudnn\|cublas\|cublasLt\)\.so' || true)
[[ -z "$foreign" ]] || fail "libraries that are not in the package: $foreign"

# A package with CUDA finds its libraries in a toolkit, and the one for traces in its folder there.
cuda=$TEST_TMPDIR/cuda
mkdir -p "$cuda/lib64" "$cuda/extras/CUPTI/lib64"
touch "$cuda"/lib64/lib{cudnn.so.9,cublas.so.13,cublasLt.so.13} "$cuda/extras/CUPTI/lib64/libcupti.so.13"
printf '#!/bin/sh\necho "$LD_LIBRARY_PATH"\n' >"$package/libexec/show"
chmod +x "$package/libexec/show"
touch "$package/libexec/needs_cuda"
path=$(env -i CUDA_HOME="$cuda" ENCKE_PROGRAM=show "$package/bin/encke")
[[ "$path:" == *":$cuda/lib64:$cuda/extras/CUPTI/lib64:"* ]] || fail "CUDA's libraries are looked for in $path"
rm "$package"/libexec/{show,needs_cuda}

# The parts of the check of GPUs can be listed anywhere; without a GPU it says so and ends with 5.
[[ $("$gpu_check" --dry-run | wc -l) -ge 10 ]] || fail "gpu_check --dry-run"
cp "$gpu_check" "$package/bin/"
status=0
OUT=$TEST_TMPDIR/check CUDA_VISIBLE_DEVICES='' "$package/bin/gpu_check.sh" 2>"$TEST_TMPDIR/refusal" || status=$?
[[ $status == 5 ]] || fail "gpu_check ended with $status"
grep -q 'no GPU' "$TEST_TMPDIR/refusal" || fail "gpu_check said $(cat "$TEST_TMPDIR/refusal")"
