"""Policies: written by hand, trained with stable-baselines3, exported to ONNX and proven equal to what was trained."""
