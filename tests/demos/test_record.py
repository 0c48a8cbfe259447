"""Recording depends on its arguments alone."""

from gym_grasp.demos.record import record


def test_threads_change_no_byte(tmp_path):
    first, again = tmp_path / "a.hdf5", tmp_path / "b.hdf5"
    record("lift-object", first, episodes=4, seed=3, num_threads=1)
    record("lift-object", again, episodes=4, seed=3, num_threads=2)
    assert first.read_bytes() == again.read_bytes()
