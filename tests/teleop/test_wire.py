"""What the host writes the page reads, and the other way round: by the page's own code."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable

import numpy as np
import pytest
from teleop_browser import WEBXR

from gym_grasp.teleop.web import protocol
from gym_grasp.teleop.web.protocol import Flag, Kind


def test_page_and_host_agree_about_the_bytes() -> None:
    text = (WEBXR / "src" / "protocol.ts").read_text()
    constants = {name: int(value) for name, value in re.findall(r"const (\w+) = (\d+);", text)}
    fields, header = protocol.INPUT.fields, protocol.SCENE.fields
    assert fields is not None
    assert header is not None
    assert constants["HAND_SIZE"] == protocol.HAND.itemsize
    assert constants["HANDS_AT"] == fields["hands"][1]
    assert constants["CAPTURE_AT"] == fields["capture"][1]
    assert constants["SCENE_HEADER"] == protocol.SCENE.itemsize
    assert constants["FINGERS_AT"] == header["fingers"][1]
    assert constants["VERSION"] == protocol.VERSION
    assert f'SUBPROTOCOL = "{protocol.SUBPROTOCOL}"' in text
    for enum in (Flag, Kind):
        said = dict(
            re.findall(r"(\w+): (\d+)", re.search(rf"{enum.__name__} = {{(.*?)}}", text)[1])
        )
        assert said == {member.name.lower(): str(int(member)) for member in enum}


@pytest.fixture(scope="module")
def page_script(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Runs JavaScript with the page's own `protocol.ts` as `page`; returns what it prints."""
    node, esbuild = shutil.which("node"), WEBXR / "node_modules" / ".bin" / "esbuild"
    if node is None or not esbuild.exists():
        pytest.skip("needs node, and npm ci in teleop/webxr")
    module = tmp_path_factory.mktemp("page") / "protocol.mjs"
    source = WEBXR / "src" / "protocol.ts"
    subprocess.run([esbuild, source, f"--outfile={module}", "--log-level=error"], check=True)

    def run(script: str) -> str:
        text = f"import * as page from {json.dumps(module.as_uri())};\n{script}"
        command = [node, "--input-type=module", "-e", text]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return run


@pytest.mark.parametrize("fingers", [5, 3, 0])
def test_a_page_reads_of_a_scene_what_the_host_wrote(
    page_script: Callable[[str], str], fingers: int
) -> None:
    rng = np.random.default_rng(fingers)
    poses = rng.normal(size=(4, 7)).astype(np.float32)
    brake, vibration = rng.uniform(size=(2, fingers))
    data = protocol.write_scene(
        poses, sequence=2**31 + 7, input_sequence=2, epoch=1, simulated=0.5, time=9.0,
        brake=brake, vibration=vibration,
    )  # fmt: skip
    assert len(data) == protocol.SCENE.itemsize + 4 * (2 * fingers + 7 * 4)
    told = page_script(f"""
        const scene = page.readScene(new Uint8Array({list(data)}).buffer);
        for (const name of ["brake", "vibration", "poses"]) scene[name] = [...scene[name]];
        console.log(JSON.stringify(scene));
    """)
    scene = json.loads(told)
    assert (scene["sequence"], scene["simulated"]) == (2**31 + 7, 0.5)
    np.testing.assert_allclose(scene["brake"], brake, rtol=1e-6)
    np.testing.assert_allclose(scene["vibration"], vibration, rtol=1e-6)
    np.testing.assert_allclose(scene["poses"], poses.ravel(), rtol=1e-6)


def test_a_host_reads_of_an_input_what_the_page_wrote(page_script: Callable[[str], str]) -> None:
    told = page_script("""
        const message = new page.InputMessage();
        const from = (start, count) => [...Array(count).keys()].map((i) => start + i);
        message.begin(page.Flag.visible, 8, 9, 12.5);
        message.addFlags(page.Flag.next);
        message.head(from(100, 7));
        message.hand(page.LEFT, page.Kind.controller, from(200, 7));
        message.buttons(page.LEFT, 0b110000);
        message.values(page.LEFT, [0.25, 0.75]);
        message.hand(page.RIGHT, page.Kind.hand, from(300, 7));
        message.values(page.RIGHT, [1, 2, 3, 4, 5]);
        message.joint(page.RIGHT, 24, from(400, 7), 0.5);
        console.log(JSON.stringify([...new Uint8Array(message.copy())]));
    """)
    record = protocol.read_input(bytes(json.loads(told)))
    left, right = record["hands"]
    assert record["flags"] == Flag.VISIBLE | Flag.NEXT | Flag.HEAD
    assert [record[name] for name in ("sequence", "scene", "epoch", "capture")] == [1, 8, 9, 12.5]
    np.testing.assert_array_equal(record["head"], np.arange(100, 107))
    assert (left["kind"], left["buttons"], left["mask"]) == (Kind.CONTROLLER, 0b110000, 0)
    np.testing.assert_array_equal(left["pose"], np.arange(200, 207))
    np.testing.assert_array_equal(left["values"], [0.25, 0.75, 0, 0, 0])
    assert (right["kind"], right["buttons"], right["mask"]) == (Kind.HAND, 0, 1 << 24)
    np.testing.assert_array_equal(right["pose"], np.arange(300, 307))
    np.testing.assert_array_equal(right["values"], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(right["joints"][24], [*range(400, 407), 0.5])
    assert not right["joints"][:24].any()
