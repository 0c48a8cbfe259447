"""What the fingers feel: fingertip forces as brake and vibration."""
