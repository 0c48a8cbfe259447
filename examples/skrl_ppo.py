"""skrl's PPO: `pip install "gym-grasp[skrl]"`, then `python skrl_ppo.py`."""
