#!/usr/bin/env bash
# A rehearsal of tools/slice.sh on this machine: pack, run in a bare environment without Jupyter and
# without the network, merge. It trains four small trials and adds their records to this checkout.
#
#   tools/rehearse-slice.sh [FOLDER]      everything it makes lies in FOLDER (default: a temporary one)
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$(mktemp -d)}
cd "$here"

.venv/bin/python - "$work/plan.jsonl" <<'PLAN'
import sys
from pathlib import Path

from hplab.sweeps import slices
from hplab.trial import Trial, grid

base = Trial(data="digits", model="mlp", model_args={"hidden": [9]}, epochs=2)
slices.write(Path(sys.argv[1]), grid(base, lr=[1e-3, 1e-2], seed=[0, 1]))
PLAN
tools/slice.sh pack "$work/plan.jsonl" "$work/slice.tgz"

# What a machine with a graphics card usually has, and nothing else.
.venv/bin/uv venv -q -p .venv/bin/python "$work/bare"
.venv/bin/uv pip install -q -p "$work/bare" -c requirements.lock -b requirements.lock torch torchvision \
    numpy pandas scipy statsmodels scikit-learn matplotlib pillow click pyyaml tqdm filelock cloudpickle
for name in jupyter ipywidgets jupytext IPython; do
    ! "$work/bare/bin/python" -c "import $name" 2>/dev/null || { echo "the environment is not bare: $name"; exit 1; }
done

tar xzf "$work/slice.tgz" -C "$work"
env -i PATH=/usr/bin:/bin HOME="$work" PYTHON="$work/bare/bin/python" \
    bash "$work/slice/tools/slice.sh" run "$work/slice/plan.jsonl" "$work/out" 3
tools/slice.sh merge "$work/out/records.tgz"

.venv/bin/python - "$work/plan.jsonl" <<'CHECK'
import sys
from pathlib import Path

from hplab.sweeps import slices, store

found = [store.default_store().summary(trial) for trial in slices.read(Path(sys.argv[1]))]
missing = sum(record is None for record in found)
sys.exit(f"{missing} of {len(found)} trials did not come back" if missing else 0)
CHECK
echo "the slice came back whole"
