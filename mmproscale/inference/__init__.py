"""Prediction: a trained model turns image files into results on disk."""
