"""Adapters to other tools."""

from gym_grasp.errors import end_in_a_line

end_in_a_line()
