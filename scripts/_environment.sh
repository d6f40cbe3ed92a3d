# Sourced by scripts/quickstart and scripts/test: a virtual environment with hwnas, made once and kept.
#
# HWNAS_VENV         where it lives (default: .venv beside this repository's files)
# HWNAS_TORCH_INDEX  package index with CPU builds of torch, used where there is no NVIDIA GPU; without it torch
#                    comes from pip's default index, whose Linux builds may include CUDA libraries
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${HWNAS_VENV:-$root/.venv}

find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python; do
    if command -v "$candidate" >/dev/null 2>&1 &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "hwnas needs Python 3.11 or newer, found none on the PATH; install it and run this script again" >&2
  exit 1
}

# prepare EXTRA: install hwnas[EXTRA] unless exactly this version is installed already.
prepare() {
  local extra=$1 stamp index=()
  stamp="$extra $(cat "$root/pyproject.toml" "$root/constraints.txt" | cksum)"
  if [ -f "$venv/.hwnas-$extra" ] && [ "$(cat "$venv/.hwnas-$extra")" = "$stamp" ]; then
    return
  fi
  echo "installing hwnas[$extra] into $venv (only once; takes a few minutes)" >&2
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$(find_python)" -m venv "$venv"
  if [ -n "${HWNAS_TORCH_INDEX:-}" ] && ! command -v nvidia-smi >/dev/null 2>&1; then
    index=(--index-url "$HWNAS_TORCH_INDEX")
  fi
  # torch first and alone, so that no other package decides which build is installed
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check ${index[@]+"${index[@]}"} \
    "$(grep '^torch==' "$root/constraints.txt")"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -c "$root/constraints.txt" -e "$root[$extra]"
  echo "$stamp" >"$venv/.hwnas-$extra"
}
