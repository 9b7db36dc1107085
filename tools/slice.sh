#!/usr/bin/env bash
# A slice of missing trials on somebody else's machine: a bare box with Python, torch and a graphics
# card, for minutes. It needs no Jupyter, no git and no network there.
#
#   tools/slice.sh pack plan.jsonl slice.tgz [DATA.npz ...]     here: the package, the plan, the data
#   scp slice.tgz box:
#   ssh box 'tar xzf slice.tgz && bash slice/tools/slice.sh run slice/plan.jsonl slice/out 10'
#   scp box:slice/out/records.tgz .
#   tools/slice.sh merge records.tgz                            here: into .hplab/, then hplab pack
#
# run PLAN OUT MINUTES: a minute of tests on the card, whatever they say; then the trials of the plan in
# its order, by SHARERS processes (default 4); stops in time. PYTHON names the Python to use, HPLAB_DATA
# the folder of data if it is not the one packed.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)

pack() { # PLAN BUNDLE [DATA ...]
    local plan=$1 bundle=$2 work
    shift 2
    work=$(mktemp -d)
    mkdir -p "$work/slice/tools" "$work/slice/tests/training" "$work/slice/data"
    (cd "$here" && find hplab -name '*.py' -o -name '*.mplstyle' | tar cf - -T - pyproject.toml) | tar xf - -C "$work/slice"
    cp "$here/tools/slice.sh" "$work/slice/tools/"
    cp "$here/tests/conftest.py" "$work/slice/tests/"
    cp "$here/tests/training/test_gpu.py" "$work/slice/tests/training/"
    cp "$plan" "$work/slice/plan.jsonl"
    [ $# -eq 0 ] || cp "$@" "$work/slice/data/"
    tar czf "$bundle" -C "$work" slice
    rm -rf "$work"
    ls -l "$bundle"
}

run() { # PLAN OUT MINUTES
    local plan=$1 out=$2 minutes=$3 python=${PYTHON:-python3} began=$SECONDS device=cpu sharers=${SHARERS:-4}
    mkdir -p "$out"
    export PYTHONPATH=$here PYTHONUNBUFFERED=1 TQDM_DISABLE=1
    export HPLAB_DATA=${HPLAB_DATA:-$here/data} HPLAB_OFFLINE=1
    if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
        device=cuda
        nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
        (cd "$here" && timeout 60 "$python" -m pytest -q --maxfail 12 --tb short --timeout 60 -p no:cacheprovider tests/training/test_gpu.py 2>&1 | tail -n 40) || true
        # Kernels of several processes run side by side only where the card's own daemon may mix them.
        export CUDA_MPS_PIPE_DIRECTORY=/tmp/mps CUDA_MPS_LOG_DIRECTORY=/tmp/mps
        mkdir -p /tmp/mps
        if timeout 10 nvidia-cuda-mps-control -d 2>/dev/null \
            && timeout 40 "$python" -c 'import torch; torch.ones(1, device="cuda").sum().item()'; then
            echo "processes share the card (MPS)"
        else
            echo quit | timeout 5 nvidia-cuda-mps-control >/dev/null 2>&1 || true
            unset CUDA_MPS_PIPE_DIRECTORY
            echo "processes take turns on the card (no MPS)"
        fi
    fi
    minutes=$(awk "BEGIN { print $minutes - ($SECONDS - $began) / 60 }")
    mkdir -p "$out/pending"
    while sleep 45; do save "$out"; done & # what is finished is there to be fetched, come what may
    local saver=$!
    timeout "$(awk "BEGIN { print int(60 * $minutes - 8) }")" "$python" -m hplab.sweeps.slices "$plan" \
        --out "$out" --device $device --minutes "$minutes" --sharers "$sharers" || echo "stopped early ($?)"
    kill $saver
    save "$out"
    rm -rf "$out/pending"
    ls -l "$out"
}

save() { # OUT
    tar czf "$1/records.part" -C "$1" pending 2>/dev/null && mv "$1/records.part" "$1/records.tgz"
}

merge() { # RECORDS: all of them or, if anything of it is damaged, none
    local work pending=$here/.hplab/pending
    mkdir -p "$pending/prov"
    work=$(mktemp -d "$here/.hplab/merge.XXXXXX")
    trap "rm -rf '$work'" EXIT
    mkdir "$work/.hplab"
    if ! tar xzf "$1" -C "$work/.hplab" || ! HPLAB_RESULTS=$work/results "$here/.venv/bin/hplab" store check; then
        echo "nothing is taken from $1" >&2
        exit 1
    fi
    find "$work/.hplab/pending/prov" -name '*.json' -exec mv {} "$pending/prov/" \;
    find "$work/.hplab/pending" -name '*.jsonl' -exec mv {} "$pending/" \;
    "$here/.venv/bin/hplab" pack
}

case ${1:-} in
    pack | run | merge) "$@" ;;
    *) sed -n '2,/^set/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 2 ;;
esac
