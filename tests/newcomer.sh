#!/usr/bin/env bash
# A newcomer's path, as README and docs/extending.md tell it: clone, two commands, a package with a
# task of one's own (copied out of the guide), recorded, trained, looked at and filmed.
#
# usage: newcomer.sh REPOSITORY [FOLDER]   WITHOUT_TESTS=1 leaves `make test` out
set -euo pipefail
repository=$(realpath "$1")
folder=${2:-$(mktemp -d)}

git clone --quiet "$repository" "$folder/gym-grasp"
cd "$folder/gym-grasp"
make demo
test -s runs/demo/dapg/video.mp4
[[ -n ${WITHOUT_TESTS:-} ]] || make test
if command -v npm >/dev/null; then make client; fi

source .venv/bin/activate
mkdir "$folder/package" && cd "$folder/package"
# `file`: and the block below it are what a reader copies.
python - "$folder/gym-grasp/docs/extending.md" "$folder/gym-grasp/docs/own-device.md" <<'END'
import re, sys
from pathlib import Path
for page in map(Path, sys.argv[1:]):
    for name, text in re.findall(r"^`([\w./]+)`:\n```\w+\n(.*?)^```$", page.read_text(), re.M | re.S):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
END
pip install --quiet --editable .
gym-grasp --help | grep lift-peg
gym-grasp demos record lift-peg --clearance 0.08 --episodes 20
gym-grasp demos validate data/lift-peg.hdf5
gym-grasp train lift-peg --clearance 0.08 --epochs 2 --num-envs 16 --pretrain-epochs 5 --film-interval 2
gym-grasp evaluate runs/lift-peg-dapg-sparse-0 --episodes 4 --max-episode-steps 60 --video-episodes 1
gym-grasp demos film data/lift-peg.hdf5 --episode 1
if command -v npm >/dev/null; then # without it there is no page
    gym-grasp teleop lift-peg --device stirrer --radius 0.03 --port 0 --seconds 4
    if gym-grasp --help | grep --quiet "^  view "; then
        gym-grasp view data/lift-peg.hdf5 --port 0 --seconds 4
    fi
fi
python -c 'import gymnasium; gymnasium.make("my_package:my_package/LiftPeg-v0")'
for film in runs/lift-peg-dapg-sparse-0/{video.mp4,films/epoch-2.mp4} data/lift-peg-episode-1.mp4; do
    test -s "$film"
done
echo "The newcomer has arrived: $folder"
