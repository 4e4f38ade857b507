"""Reduced precision: int8 without overflow, fp16, quantization-aware fine-tuning."""
