"""Reports and figures of what a trained model does, for people to look through."""
