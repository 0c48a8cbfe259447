#!/bin/sh
# Runs the tests of what needs an environment of its own: run_datasets.sh [lerobot|viewers ...]
# Their pins exclude each other and our torch: what conflicts is installed without dependencies.
set -e
root=$(cd "$(dirname "$0")/../.." && pwd)
torch=$(grep '^torch==' "$root/constraints.txt")
for name in ${*:-lerobot viewers}; do
    venv=${VENVS:-$root/.venvs}/$name
    if [ ! -f "$venv/ready" ]; then
        ${PYTHON:-python3} -m venv "$venv"
        pip="$venv/bin/pip install --quiet"
        $pip --upgrade pip
        $pip "$torch"
        $pip pytest --editable "$root[export,onnx]"
        case $name in
        lerobot)
            $pip "datasets>=4,<5" "draccus==0.10.0" "accelerate>=1.10,<2" einops jsonlines \
                termcolor pyserial wandb pandas "av>=15,<16" "deepdiff>=8,<9" \
                "huggingface-hub>=0.34.2,<0.36" "opencv-python-headless<4.13"
            $pip --no-deps "torchvision>=0.28,<0.29" "diffusers>=0.34,<0.36" regex \
                importlib-metadata zipp "lerobot==0.4.4" ;;
        viewers)
            $pip rerun-sdk mjviser ur-rtde ;;
        esac
        touch "$venv/ready"
    fi
    tests=$root/tests/integrations/test_$name.py
    if [ "$name" = viewers ]; then tests=$root/tests/test_examples.py; fi
    (cd "$root" && HF_HUB_OFFLINE=1 PYTHONPATH=tests OMP_WAIT_POLICY=PASSIVE \
        "$venv/bin/python" -m pytest -W ignore "$tests")
done
