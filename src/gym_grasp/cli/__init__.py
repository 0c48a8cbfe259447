"""The command `gym-grasp`: one file per verb, each imported only when called."""
