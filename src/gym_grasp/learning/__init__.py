"""Learning: BC, PPO and DAPG as weights of one loss, in one loop."""
