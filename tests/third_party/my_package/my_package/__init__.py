"""A task, an operator, a device and a hand for gym-grasp; importing this enters them."""

from gym_grasp.demos.operators import register_operator
from gym_grasp.robots import register_hand
from gym_grasp.tasks import register_task
from gym_grasp.teleop.devices import register_device

register_task("lift-peg", "my_package.lift_peg:LiftPeg", namespace="my_package")
register_operator("lift-peg", "my_package.operator:script")
register_device("stirrer", "my_package.stirrer:StirrerOptions")
register_hand("gripper", "my_package.gripper:GRIPPER")
