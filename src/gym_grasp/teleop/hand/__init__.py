"""The operator's hand: what devices send, frames, retargeting and calibration."""
