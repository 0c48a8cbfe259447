"""The command `gym-grasp`: one file per subcommand, each imported only when called."""

HELP = frozenset(("-h", "--help"))
"""Words that ask what a command takes."""
