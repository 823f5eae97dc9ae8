"""Pictures for people: segmented images and learning curves."""
