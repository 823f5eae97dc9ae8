"""Files, configs, image names and progress bars."""
