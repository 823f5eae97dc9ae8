"""Latency and peak memory, measured in turns on this machine."""
