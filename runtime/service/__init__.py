"""HTTP service: a page to draw or upload pictures, an API for pictures, and the Open Inference Protocol (extra)."""
