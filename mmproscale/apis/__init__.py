"""What tools and notebooks call: configs, runs, prediction, progress."""
