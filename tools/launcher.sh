#!/bin/sh
# Starts the program of this package with the package's own libraries and, in a package with CUDA,
# with cuDNN, cuBLAS and, if it is there, CUPTI from wherever this machine has them. ENCKE_PROGRAM=NAME
# starts another program of libexec/ in the same way, ENCKE_WRAPPER=COMMAND puts a command in front of it.
root=$(cd "$(dirname "$(readlink -f "$0")")/.." && pwd)
path=$root/lib

# The newest of the versions of libstdc++'s interface that a file has.
interface_of() { grep -ao 'GLIBCXX_3\.4\.[0-9]*' "$1" 2>/dev/null | sort -Vu | tail -n 1; }

# Libraries of the machine (a driver's, say) may need a newer libstdc++ than the package brings.
system=$(ldconfig -p 2>/dev/null | sed -n 's/.*libstdc++\.so\.6 .*x86-64.* => //p' | head -n 1)
ours=$(interface_of "$root/lib/c++/libstdc++.so.6")
newest=$(printf '%s\n%s\n' "$(interface_of "${system:-/nowhere}")" "$ours" | sort -V | tail -n 1)
[ "$newest" != "$ours" ] || path=$path:$root/lib/c++

# Folders that may hold CUDA's libraries, in the order in which they are tried.
cuda_folders() {
  for home in "${CUDA_HOME:-}" /usr/local/cuda; do
    [ -z "$home" ] || printf '%s\n' "$home/lib64" "$home/lib" "$home/extras/CUPTI/lib64"
  done
  ldconfig -p 2>/dev/null | sed -n 's/.* => \(.*\)\/lib\(cudnn\.so\.9\|cublas\.so\.13\|cupti\.so\.13\)$/\1/p'
  python3 - 2>/dev/null <<'PYTHON'
import glob, site, sys
for folder in [*site.getsitepackages(), site.getusersitepackages(), *sys.path]:
    print("\n".join(glob.glob(folder + "/nvidia/*/lib")))
PYTHON
}

if [ -e "$root/libexec/needs_cuda" ]; then
  folders=$(cuda_folders)
  missing=
  for library in libcudnn.so.9 libcublas.so.13 libcublasLt.so.13 libcupti.so.13; do
    found=
    while read -r folder; do
      if [ -n "$folder" ] && [ -e "$folder/$library" ]; then
        found=$folder
        break
      fi
    done <<FOLDERS
$folders
FOLDERS
    if [ -n "$found" ]; then
      case ":$path:" in *":$found:"*) ;; *) path=$path:$found ;; esac
    elif [ "$library" != libcupti.so.13 ]; then # which only traces want
      missing="$missing $library"
    fi
  done
  if [ -n "$missing" ]; then
    echo "error: this machine has no$missing" >&2
    echo "  hint: set CUDA_HOME to a CUDA 13 toolkit with cuDNN 9, or pip install nvidia-cublas nvidia-cudnn-cu13, or take the package without -cuda" >&2
    exit 5
  fi
fi

LD_LIBRARY_PATH=$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export LD_LIBRARY_PATH
# shellcheck disable=SC2086
exec ${ENCKE_WRAPPER:-} "$root/libexec/${ENCKE_PROGRAM:-encke}" "$@"
