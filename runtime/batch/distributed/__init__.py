"""Batch prediction on all processors of a machine or a cluster: `predict_with_ray` (the extra `ray`)."""

from digits_edge.runtime.batch.distributed.ray_engine import RayReport, predict_with_ray

__all__ = ["RayReport", "predict_with_ray"]
