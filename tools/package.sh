#!/bin/bash
# Makes a tarball that runs on any x86-64 Linux with glibc 2.36 or later: the program, the model zoo,
# and every shared library but glibc's and CUDA's. Nothing has to be installed there.
#
#   tools/package.sh                     encke-VERSION-linux-x86_64.tar.xz in the current folder
#   tools/package.sh --cuda              ...-cuda.tar.xz; on the other machine the launcher looks for
#                                        cuDNN and cuBLAS; tools/gpu_check.sh, its tests and, where the
#                                        toolkit has CUPTI, the library that traces come along
#   tools/package.sh --output DIR        where to put it
#   tools/package.sh --stage DIR         makes the folder that would be packed, and no tarball
#   tools/package.sh --program FILE      packs this binary in place of building one
set -euo pipefail

readonly newest_glibc=2.36
readonly most_bytes=$((60 << 20))
# glibc's own parts and the driver's belong to the machine, CUDA's libraries to whoever installs CUDA.
readonly not_bundled='^(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|anl|nss_[a-z]+|cuda|cudnn.*|cublas.*|cupti|nccl))\.so'

repository=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
cuda=false output=$PWD stage='' program='' extras=''

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

while (($# > 0)); do
  case $1 in
    --cuda) cuda=true ;;
    --output) output=$(mkdir -p "$2" && cd "$2" && pwd) && shift ;;
    --stage) stage=$(mkdir -p "$2" && cd "$2" && pwd) && shift ;;
    --program) program=$(readlink -f "$2") && shift ;;
    -h | --help) usage && exit 0 ;;
    *) echo "package: no option $1" >&2 && usage >&2 && exit 2 ;;
  esac
  shift
done

build() {
  local targets=(//tools:encke) options=(--noshow_progress --curses=no --ui_event_filters=-info)
  if $cuda; then
    # With the wildcard comes what not every toolkit can build.
    targets=(//tools:all //tests/gpu:gpu_tests //tests/compression/cuda:gpu_codec_benchmark)
    options+=(--config=cuda)
  fi
  (cd "$repository" && bazel build "${options[@]}" "${targets[@]}")
  program=$repository/bazel-bin/tools/encke
  local tracer=$repository/bazel-bin/tools/libcuda_trace.so
  if $cuda; then
    extras="$repository/bazel-bin/tests/gpu/gpu_tests $repository/bazel-bin/tests/compression/cuda/gpu_codec_benchmark"
    [[ ! -e "$tracer" ]] || extras+=" $tracer"
  fi
}

# Paths of the libraries that the files need, those of libraries included.
libraries_of() {
  local -A path_of=() seen=()
  local queue=("$@") file name path
  while read -r name path; do path_of[$name]=$path; done < <(ldd "$@" | awk '/=> \//{print $1, $3}' | sort -u)
  while ((${#queue[@]} > 0)); do
    file=${queue[0]} queue=("${queue[@]:1}")
    for name in $(objdump -p "$file" | awk '/NEEDED/{print $2}'); do
      [[ -z "${seen[$name]:-}" && -n "${path_of[$name]:-}" ]] || continue
      [[ ! "$name" =~ $not_bundled ]] || continue
      seen[$name]=1
      queue+=("${path_of[$name]}")
      echo "${path_of[$name]}"
    done
  done
}

# The newest version of glibc that the files ask for.
glibc_of() { objdump -T "$@" 2>/dev/null | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -Vu | tail -1; }

fill() {
  local folder=$1
  mkdir -p "$folder"/{bin,lib/c++,libexec,share/encke,share/doc/encke/doc/results}
  install -m 755 "$repository/tools/launcher.sh" "$folder/bin/encke"
  install -m 755 "$program" "$folder/libexec/encke"
  libraries_of "$program" $extras >"$folder/libraries"
  while read -r path; do
    case $(basename "$path") in
      libstdc++.so* | libgcc_s.so*) install -m 644 "$path" "$folder/lib/c++/" ;;
      *) install -m 644 "$path" "$folder/lib/" ;;
    esac
  done <"$folder/libraries"
  rm "$folder/libraries"
  (cd "$repository" && find models \( -name '*.textproto' -o -name '*.proto' \) -exec cp --parents -t "$folder/share/encke" {} +)
  install -m 644 "$repository"/{README.md,LICENSE} "$folder/share/doc/encke/"
  install -m 644 "$repository"/doc/*.md "$folder/share/doc/encke/doc/"
  install -m 644 "$repository"/doc/results/* "$folder/share/doc/encke/doc/results/"
  if $cuda; then
    install -m 755 "$repository/tools/gpu_check.sh" "$folder/bin/gpu_check.sh"
    install -m 755 "$repository"/tools/bench/{pytorch_baseline,gpu_goals,cuda_trace}.py "$folder/libexec/"
    # All are words of one variable, to be empty where --program gives the program alone.
    if [[ -n "$extras" ]]; then install -m 755 $extras "$folder/libexec/"; fi
    touch "$folder/libexec/needs_cuda"
  fi
  strip --strip-unneeded "$folder"/libexec/* "$folder"/lib/*.so* "$folder"/lib/c++/*.so* 2>/dev/null || true
}

check() {
  local folder=$1 needed
  needed=$(glibc_of "$folder"/libexec/encke "$folder"/lib/*.so* "$folder"/lib/c++/*.so*)
  if [[ "$(printf '%s\n' "$needed" "$newest_glibc" | sort -V | tail -1)" != "$newest_glibc" ]]; then
    echo "package: something in it needs glibc $needed, newer than $newest_glibc" >&2
    exit 1
  fi
}

pack() {
  local folder=$1 tarball=$2
  tar -C "$(dirname "$folder")" --owner=0 --group=0 --sort=name -c "$(basename "$folder")" | xz -T0 -6 >"$tarball"
  local bytes
  bytes=$(stat -c %s "$tarball")
  echo "package: $tarball, $((bytes >> 20)) MiB"
  if ((bytes > most_bytes)); then
    echo "package: that is more than $((most_bytes >> 20)) MiB" >&2
    exit 1
  fi
}

[[ -n "$program" ]] || build
if [[ -n "$stage" ]]; then
  fill "$stage"
  check "$stage"
  exit 0
fi
version=$("$program" --version 2>/dev/null | awk '{print $2}')
name=encke-${version:-unknown}-linux-x86_64$($cuda && echo -cuda || true)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fill "$scratch/$name"
check "$scratch/$name"
pack "$scratch/$name" "$output/$name.tar.xz"
