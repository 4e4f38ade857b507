"""Reduced precision: int8 without overflow, fp16, and quantization-aware fine-tuning."""
