"""The command `gym-grasp`: one file per subcommand, each imported only when called."""
