"""Prediction: from a trained model and image files to results on disk."""
