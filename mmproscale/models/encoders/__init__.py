"""Encoders: schedules, the loop that runs them, token recalibration, exit gates."""
