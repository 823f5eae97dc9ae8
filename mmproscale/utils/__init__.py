"""Files, configs, types of configs, image names, processors and progress bars."""
